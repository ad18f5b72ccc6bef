//! Any executor: here that of smol, on whose threads there is no tokio.

use errgroup::ErrGroup;
use futures::FutureExt;
use futures::stream::{self, StreamExt};
use futures_concurrency::prelude::*;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_graceful_shutdown::Toplevel;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::common::{Subsystem, Task};

fn tasks() -> Vec<Task> {
    let task = || -> Task {
        Box::pin(async {
            smol::Timer::after(Duration::from_millis(1)).await;
            Ok(())
        })
    };
    vec![task(), task()]
}

fn on_smol<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    smol::block_on(smol::spawn(future))
}

/// It panics because there is no runtime of tokio.
#[track_caller]
fn wants_tokio(future: impl Future<Output = ()> + Send + 'static) {
    let panic = on_smol(AssertUnwindSafe(future).catch_unwind()).unwrap_err();
    let says = panic.downcast_ref::<&str>().map(ToString::to_string);
    let says = says
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap();
    assert!(says.contains("Tokio"), "{says}");
}

#[test]
fn errgroup_runs_on_smol() {
    let mut group = ErrGroup::new();
    group.extend(tasks());
    assert_eq!(on_smol(group), Ok(()));
}

#[test]
fn a_join_set_wants_tokio() {
    wants_tokio(async { drop(JoinSet::new().spawn(async {})) });
}

#[test]
fn a_tracker_wants_tokio_to_spawn() {
    wants_tokio(async { drop(TaskTracker::new().spawn(async {})) });
}

#[test]
fn a_tracker_and_a_token_run_on_smol_if_somebody_else_spawns() {
    on_smol(async {
        let (tracker, token) = (TaskTracker::new(), CancellationToken::new());
        smol::spawn(tracker.track_future(token.clone().cancelled_owned())).detach();
        tracker.close();
        token.cancel();
        tracker.wait().await;
    });
}

#[test]
fn futures_unordered_runs_on_smol() {
    assert_eq!(
        on_smol(
            tasks()
                .into_iter()
                .collect::<stream::FuturesUnordered<_>>()
                .count()
        ),
        2
    );
}

#[test]
fn buffer_unordered_runs_on_smol() {
    assert_eq!(
        on_smol(stream::iter(tasks()).buffer_unordered(2).count()),
        2
    );
}

#[test]
fn futures_buffered_runs_on_smol() {
    assert_eq!(on_smol(futures_buffered::join_all(tasks())).len(), 2);
}

#[test]
fn futures_concurrency_runs_on_smol() {
    assert_eq!(on_smol(tasks().join()).len(), 2);
}

#[test]
fn moro_runs_on_smol() {
    let all = moro::async_scope!(|scope| {
        tasks().into_iter().for_each(|task| drop(scope.spawn(task)));
    });
    on_smol(all);
}

#[test]
fn subsystems_want_tokio() {
    wants_tokio(async {
        let toplevel: Toplevel = Toplevel::new(async |_: &mut Subsystem| {});
        drop(toplevel);
    });
}
