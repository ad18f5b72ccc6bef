//! Why something was cancelled, for those who are. A peer that only drops its tasks tells them
//! nothing: that is shown in `grace`.

use std::error::Error;
use std::time::Duration;

use errgroup::{CancelContext, ErrGroup};
use futures::executor::block_on;
use tokio::task::JoinSet;
use tokio_graceful_shutdown::Toplevel;
use tokio_util::sync::CancellationToken;

use crate::common::{Subsystem, one_thread};

#[test]
fn a_task_of_errgroup_sees_the_error_of_its_sibling_as_the_cause() {
    let mut cause = None;
    let (context, group) = ErrGroup::<(), &str>::with_context(&CancelContext::new());
    let mut group = group.cause_from(|error| (*error).into());
    group.spawn(async {
        cause = Some(context.cancelled().await.source().unwrap().to_string());
        Ok(())
    });
    group.spawn(async { Err("no route") });
    assert_eq!(block_on(group), Err("no route"));
    assert_eq!(cause.as_deref(), Some("no route"));
}

#[test]
fn a_join_set_tells_that_a_task_was_cancelled_and_not_why() {
    one_thread().block_on(async {
        let mut set = JoinSet::new();
        let id = set.spawn(std::future::pending::<()>()).id();
        set.abort_all();
        let error = set.join_next().await.unwrap().unwrap_err();
        assert!(error.is_cancelled() && error.source().is_none());
        assert_eq!(error.to_string(), format!("task {id} was cancelled"));
    });
}

#[test]
fn a_token_tells_nothing() {
    let token = CancellationToken::new();
    let () = token.cancel();
    let () = block_on(token.cancelled());
}

#[test]
fn a_shutdown_request_tells_nothing() {
    one_thread().block_on(async {
        let toplevel: Toplevel = Toplevel::new(async |s: &mut Subsystem| {
            let () = s.request_shutdown();
            let () = s.on_shutdown_requested().await;
        });
        toplevel
            .handle_shutdown_requests(Duration::from_secs(1))
            .await
            .unwrap();
    });
}
