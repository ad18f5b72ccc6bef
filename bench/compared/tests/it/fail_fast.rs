//! Fails fast at any size: of 1,000 tasks, all idle, one fails. Is the error there in the poll that
//! finds it, and are the siblings stopped?

use std::time::Duration;

use errgroup::ErrGroup;
use futures::TryStreamExt;
use futures::channel::oneshot;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use futures_concurrency::prelude::*;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_graceful_shutdown::errors::GracefulShutdownError;
use tokio_graceful_shutdown::{SubsystemBuilder, Toplevel};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::common::{
    Counts, Fine, Outcome, Subsystem, Task, one_thread, poll_once, poll_while_woken,
};
use crate::go;

const SIBLINGS: usize = 999;

/// Idle tasks, and in their midst one that fails on demand.
fn tasks(counts: &Counts) -> (Vec<Task>, oneshot::Sender<()>) {
    let (fail, failing) = oneshot::channel();
    let mut tasks: Vec<_> = (0..SIBLINGS).map(|_| counts.stubborn()).collect();
    let last = Box::pin(async {
        failing.await.unwrap();
        Err("no route")
    });
    tasks.insert(SIBLINGS / 2, last);
    (tasks, fail)
}

/// The error is the output of the first poll after the failure, and when that future is gone, as it
/// is after an `.await`, so are the siblings.
#[track_caller]
fn fails_in_the_same_poll(all: impl FnOnce(Vec<Task>) -> BoxFuture<'static, Outcome>) {
    let counts = Counts::default();
    let (tasks, fail) = tasks(&counts);
    let mut all = all(tasks);
    assert_eq!(poll_while_woken(all.as_mut()), None);
    fail.send(()).unwrap();
    assert_eq!(poll_once(all.as_mut()), Err("no route").into());
    drop(all);
    assert_eq!(counts.dropped(), SIBLINGS);
}

#[test]
fn errgroup_drops_the_siblings_in_the_poll_that_returns_the_error() {
    let counts = Counts::default();
    let (tasks, fail) = tasks(&counts);
    let mut group = ErrGroup::new();
    group.extend(tasks);
    let mut group = Box::pin(group);
    assert_eq!(poll_while_woken(group.as_mut()), None);
    fail.send(()).unwrap();
    assert_eq!(poll_once(group.as_mut()), Err("no route").into());
    // The group itself is still there.
    assert_eq!(counts.dropped(), SIBLINGS);
}

#[test]
fn a_join_set_goes_on_when_a_task_has_failed() {
    one_thread().block_on(async {
        let counts = Counts::default();
        let (tasks, fail) = tasks(&counts);
        let mut set: JoinSet<_> = tasks.into_iter().collect();
        fail.send(()).unwrap();
        assert_eq!(set.join_next().await.unwrap().unwrap(), Err("no route"));
        sleep(Duration::from_secs(60)).await;
        assert_eq!((set.len(), counts.dropped()), (SIBLINGS, 0));
        // To stop them is up to the caller.
        set.shutdown().await;
        assert_eq!(counts.dropped(), SIBLINGS);
    });
}

#[test]
fn a_tracker_goes_on_when_a_task_has_failed() {
    one_thread().block_on(async {
        let counts = Counts::default();
        let (tasks, fail) = tasks(&counts);
        let (tracker, token) = (TaskTracker::new(), CancellationToken::new());
        for task in tasks {
            tracker.spawn(token.clone().run_until_cancelled_owned(task));
        }
        tracker.close();
        fail.send(()).unwrap();
        let minute = Duration::from_secs(60);
        assert!(timeout(minute, tracker.wait()).await.is_err());
        assert_eq!((tracker.len(), counts.dropped()), (SIBLINGS, 0));
        // To stop them is up to the caller.
        token.cancel();
        tracker.wait().await;
        assert_eq!(counts.dropped(), SIBLINGS);
    });
}

#[test]
fn futures_unordered_fails_fast_with_try_collect() {
    fails_in_the_same_poll(|tasks| {
        let set: stream::FuturesUnordered<_> = tasks.into_iter().collect();
        Box::pin(set.try_collect())
    });
}

#[test]
fn buffer_unordered_fails_fast_with_try_collect() {
    fails_in_the_same_poll(|tasks| {
        Box::pin(
            stream::iter(tasks)
                .buffer_unordered(SIBLINGS + 1)
                .try_collect(),
        )
    });
}

#[test]
fn futures_buffered_fails_fast_with_try_join_all() {
    fails_in_the_same_poll(|tasks| {
        Box::pin(async { futures_buffered::try_join_all(tasks).await.map(drop) })
    });
}

#[test]
fn futures_concurrency_fails_fast_with_try_join() {
    fails_in_the_same_poll(|tasks| Box::pin(async { tasks.try_join().await.map(drop) }));
}

#[test]
fn moro_ends_one_poll_later_with_or_cancel() {
    let counts = Counts::default();
    let (tasks, fail) = tasks(&counts);
    let all = moro::async_scope!(|scope| -> Outcome {
        for task in tasks {
            drop(scope.spawn(task).or_cancel(scope));
        }
        Ok(())
    });
    let mut all = Box::pin(all);
    assert_eq!(poll_while_woken(all.as_mut()), None);
    fail.send(()).unwrap();
    assert!(poll_once(all.as_mut()).is_pending());
    assert_eq!(poll_once(all.as_mut()), Err("no route").into());
    drop(all);
    assert_eq!(counts.dropped(), SIBLINGS);
}

#[test]
fn moro_learns_that_a_task_terminates_it_when_something_else_wakes_it() {
    let counts = Counts::default();
    let (tasks, fail) = tasks(&counts);
    let all = moro::async_scope!(|scope| -> Outcome {
        for task in tasks {
            drop(scope.spawn(async {
                if let Err(error) = task.await {
                    scope.terminate::<()>(Err(error)).await;
                }
            }));
        }
        Ok(())
    });
    let mut all = Box::pin(all);
    assert_eq!(poll_while_woken(all.as_mut()), None);
    fail.send(()).unwrap();
    assert_eq!(poll_while_woken(all.as_mut()), None);
    assert_eq!(counts.dropped(), 0);
    // Another poll, for no reason.
    assert_eq!(poll_once(all.as_mut()), Err("no route").into());
}

#[test]
fn subsystems_are_asked_to_shut_down_when_one_has_failed() {
    one_thread().block_on(async {
        let counts = Counts::default();
        let (asked, stubborn) = (counts.clone(), counts.clone());
        let toplevel: Toplevel = Toplevel::new(async move |s: &mut Subsystem| {
            s.start(SubsystemBuilder::new(
                "asked",
                async move |s: &mut Subsystem| -> Fine {
                    s.on_shutdown_requested().await;
                    asked.goodbye();
                    Ok(())
                },
            ));
            s.start(SubsystemBuilder::new(
                "stubborn",
                async move |_: &mut Subsystem| stubborn.stubborn().await,
            ));
            s.start(SubsystemBuilder::new("fails", async |_: &mut Subsystem| {
                Err::<(), _>("no route")
            }));
        });
        let shut_down = toplevel.handle_shutdown_requests(Duration::from_secs(60));
        let mut shut_down = Box::pin(shut_down);
        // The one that hears it has ended, the other runs on for all of the time that it is given.
        assert!(
            timeout(Duration::from_secs(50), &mut shut_down)
                .await
                .is_err()
        );
        assert_eq!((counts.goodbyes(), counts.dropped()), (1, 0));
        let error = shut_down.await.unwrap_err();
        assert!(matches!(error, GracefulShutdownError::ShutdownTimeout(_)));
    });
}

#[test]
fn go_asks_the_siblings_and_waits_for_them() {
    go::says("fail fast: wait has returned while a sibling that does not listen runs: false");
    go::says("fail fast: wait returned after it: no route");
}
