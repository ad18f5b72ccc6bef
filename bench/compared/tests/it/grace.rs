//! Some time to say goodbye, and then a hard stop.

use std::time::Duration;

use errgroup::{CancelContext, Cancelled, ErrGroup};
use futures::stream::{self, StreamExt};
use futures_concurrency::prelude::*;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_graceful_shutdown::errors::GracefulShutdownError;
use tokio_graceful_shutdown::{SubsystemBuilder, Toplevel};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::common::{Counts, Fine, Subsystem, Task, one_thread, poll_while_woken};
use crate::go;

const MINUTE: Duration = Duration::from_secs(60);

/// Says goodbye if anything lets it go on.
fn polite(counts: &Counts, asked: impl Future<Output = ()> + Send + 'static) -> Task {
    let (counts, kept) = (counts.clone(), counts.keep());
    Box::pin(async move {
        let _kept = kept;
        asked.await;
        counts.goodbye();
        Ok(())
    })
}

#[test]
fn errgroup_has_a_grace_and_drops_what_is_left() {
    one_thread().block_on(async {
        let counts = Counts::default();
        let parent = CancelContext::new();
        let (context, mut group) = ErrGroup::<(), Cancelled>::with_grace(&parent, || sleep(MINUTE));
        let asked = context.cancelled();
        let (polite, stubborn) = (
            polite(&counts, async { drop(asked.await) }),
            counts.stubborn(),
        );
        group.spawn(async {
            polite.await.unwrap();
            Ok(())
        });
        group.spawn(async {
            stubborn.await.unwrap();
            Ok(())
        });
        parent.cancel();
        assert_eq!(group.await.unwrap_err().to_string(), "cancelled");
        assert_eq!((counts.goodbyes(), counts.dropped()), (1, 2));
    });
}

#[test]
fn a_join_set_stops_its_tasks_without_asking_them() {
    one_thread().block_on(async {
        let counts = Counts::default();
        let mut set = JoinSet::new();
        set.spawn(polite(&counts, std::future::pending()));
        set.spawn(counts.stubborn());
        sleep(MINUTE).await;
        set.shutdown().await;
        assert_eq!((counts.goodbyes(), counts.dropped()), (0, 2));
    });
}

#[test]
fn a_token_asks_but_a_tracker_cannot_stop_what_does_not_listen() {
    one_thread().block_on(async {
        let counts = Counts::default();
        let (tracker, token) = (TaskTracker::new(), CancellationToken::new());
        tracker.spawn(polite(&counts, token.clone().cancelled_owned()));
        tracker.spawn(counts.stubborn());
        tracker.close();
        token.cancel();
        assert!(timeout(MINUTE, tracker.wait()).await.is_err());
        assert_eq!((counts.goodbyes(), tracker.len()), (1, 1));
        drop((tracker, token));
        sleep(MINUTE).await;
        assert_eq!(counts.dropped(), 1);
    });
}

/// It ends by being dropped, and its tasks hear nothing of it.
#[track_caller]
fn is_only_dropped<F: Future>(all: impl FnOnce(Vec<Task>) -> F) {
    let counts = Counts::default();
    let tasks = vec![polite(&counts, std::future::pending()), counts.stubborn()];
    let mut all = Box::pin(all(tasks));
    assert!(poll_while_woken(all.as_mut()).is_none());
    drop(all);
    assert_eq!((counts.goodbyes(), counts.dropped()), (0, 2));
}

#[test]
fn futures_unordered_is_only_dropped() {
    is_only_dropped(|tasks| {
        tasks
            .into_iter()
            .collect::<stream::FuturesUnordered<_>>()
            .count()
    });
}

#[test]
fn buffer_unordered_is_only_dropped() {
    is_only_dropped(|tasks| stream::iter(tasks).buffer_unordered(2).count());
}

#[test]
fn futures_buffered_is_only_dropped() {
    is_only_dropped(futures_buffered::join_all);
}

#[test]
fn futures_concurrency_is_only_dropped() {
    is_only_dropped(|tasks| tasks.join());
}

#[test]
fn moro_is_only_dropped() {
    is_only_dropped(|tasks| {
        moro::async_scope!(|scope| {
            tasks.into_iter().for_each(|task| drop(scope.spawn(task)));
        })
    });
}

#[test]
fn moro_terminates_without_asking() {
    let counts = Counts::default();
    let tasks = [polite(&counts, std::future::pending()), counts.stubborn()];
    let ended = moro::async_scope!(|scope| {
        tasks.into_iter().for_each(|task| drop(scope.spawn(task)));
        scope.terminate::<()>(1).await;
        2
    });
    assert_eq!(futures::executor::block_on(ended), 1);
    assert_eq!((counts.goodbyes(), counts.dropped()), (0, 2));
}

#[test]
fn subsystems_have_a_grace_and_what_is_left_is_dropped() {
    one_thread().block_on(async {
        let counts = Counts::default();
        let (says, stubborn) = (counts.clone(), counts.stubborn());
        let toplevel: Toplevel = Toplevel::new(async move |s: &mut Subsystem| {
            s.start(SubsystemBuilder::new(
                "polite",
                async move |s: &mut Subsystem| -> Fine {
                    let _kept = says.keep();
                    s.on_shutdown_requested().await;
                    says.goodbye();
                    Ok(())
                },
            ));
            s.start(SubsystemBuilder::new(
                "stubborn",
                async move |_: &mut Subsystem| stubborn.await,
            ));
            s.request_shutdown();
        });
        let error = toplevel.handle_shutdown_requests(MINUTE).await.unwrap_err();
        assert!(matches!(error, GracefulShutdownError::ShutdownTimeout(_)));
        sleep(MINUTE).await;
        assert_eq!((counts.goodbyes(), counts.dropped()), (1, 2));
    });
}

#[test]
fn go_asks_but_cannot_stop_what_does_not_listen() {
    go::says("grace: one that listens says: goodbye");
    go::says("grace: one that does not: runs on");
}
