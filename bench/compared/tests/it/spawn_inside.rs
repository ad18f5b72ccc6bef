//! A task spawns a sibling. `JoinSet` and `FuturesUnordered`, whose cells say no, are doctests of
//! `src/lib.rs`.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use errgroup::ErrGroup;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::channel::oneshot;
use futures::executor::block_on;
use futures::future::BoxFuture;
use futures::stream::StreamExt;
use futures_buffered::BufferedStreamExt;
use futures_concurrency::prelude::*;
use tokio_graceful_shutdown::{SubsystemBuilder, Toplevel};
use tokio_util::task::TaskTracker;

use crate::common::{Fine, Subsystem, one_thread, poll_while_woken, yields};
use crate::go;

type Counter = Arc<AtomicUsize>;

#[test]
fn a_task_of_errgroup_spawns() {
    let ran = Counter::default();
    let mut group = ErrGroup::<(), ()>::new();
    let (spawner, inside) = (group.spawner(), ran.clone());
    group.spawn(async move {
        spawner.spawn(async move {
            inside.fetch_add(1, SeqCst);
            Ok(())
        });
        Ok(())
    });
    block_on(group).unwrap();
    assert_eq!(ran.load(SeqCst), 1);
}

#[test]
fn a_task_of_errgroup_spawns_at_the_limit() {
    let mut group = ErrGroup::<(), ()>::new().limit(1);
    let spawner = group.spawner();
    group.spawn(async move {
        spawner.spawn(async { Ok(()) });
        Ok(())
    });
    assert_eq!(poll_while_woken(Box::pin(group).as_mut()), Some(Ok(())));
}

#[test]
fn a_task_of_a_tracker_spawns() {
    one_thread().block_on(async {
        let ran = Counter::default();
        let tracker = TaskTracker::new();
        let (spawner, inside) = (tracker.clone(), ran.clone());
        tracker.spawn(async move {
            spawner.spawn(async move { inside.fetch_add(1, SeqCst) });
        });
        tracker.close();
        tracker.wait().await;
        assert_eq!(ran.load(SeqCst), 1);
    });
}

type Job = BoxFuture<'static, ()>;

/// What is fed from a stream takes tasks from a channel, whose sender any task may hold. The stream
/// ends when the last of them is gone.
fn fed(ran: &Counter) -> UnboundedReceiver<Job> {
    let (sender, receiver) = unbounded();
    let first = job(2, sender.clone(), ran.clone());
    sender.unbounded_send(first).unwrap();
    receiver
}

fn job(depth: u32, sender: UnboundedSender<Job>, ran: Counter) -> Job {
    Box::pin(async move {
        yields(3).await;
        ran.fetch_add(1, SeqCst);
        if depth > 0 {
            for _ in 0..2 {
                let next = job(depth - 1, sender.clone(), ran.clone());
                sender.unbounded_send(next).unwrap();
            }
        }
    })
}

/// One, two, and four.
const FED: usize = 7;

#[test]
fn a_task_of_buffer_unordered_spawns_through_a_channel_that_feeds_it() {
    let ran = Counter::default();
    block_on(fed(&ran).buffer_unordered(8).count());
    assert_eq!(ran.load(SeqCst), FED);
}

#[test]
fn a_task_of_futures_buffered_spawns_through_a_channel_that_feeds_it() {
    let ran = Counter::default();
    block_on(fed(&ran).buffered_unordered(8).count());
    assert_eq!(ran.load(SeqCst), FED);
}

#[test]
fn a_task_of_futures_concurrency_spawns_through_a_channel_that_feeds_it() {
    let ran = Counter::default();
    let all = fed(&ran).co().for_each(|job| job);
    assert_eq!(poll_while_woken(Box::pin(all).as_mut()), Some(()));
    assert_eq!(ran.load(SeqCst), FED);
}

#[test]
fn a_task_of_moro_spawns() {
    let ran = Counter::default();
    let all = moro::async_scope!(|scope| {
        drop(scope.spawn(async {
            drop(scope.spawn(async { ran.fetch_add(1, SeqCst) }));
        }));
    });
    assert_eq!(poll_while_woken(Box::pin(all).as_mut()), Some(()));
    assert_eq!(ran.load(SeqCst), 1);
}

#[test]
fn what_a_task_of_moro_spawns_beside_idle_ones_waits_for_a_wake_of_something_else() {
    let ran = Counter::default();
    let (go, gone) = oneshot::channel();
    let all = moro::async_scope!(|scope| {
        for _ in 0..3 {
            drop(scope.spawn(pending::<()>()));
        }
        drop(scope.spawn(async {
            gone.await.unwrap();
            drop(scope.spawn(async { ran.fetch_add(1, SeqCst) }));
            pending::<()>().await;
        }));
    });
    let mut all = Box::pin(all);
    assert_eq!(poll_while_woken(all.as_mut()), None);
    go.send(()).unwrap();
    assert_eq!(poll_while_woken(all.as_mut()), None);
    assert_eq!(ran.load(SeqCst), 0);
    // Another poll, for no reason.
    assert_eq!(poll_while_woken(all.as_mut()), None);
    assert_eq!(ran.load(SeqCst), 1);
}

#[test]
fn a_subsystem_starts_another() {
    one_thread().block_on(async {
        let ran = Counter::default();
        let inside = ran.clone();
        let toplevel: Toplevel = Toplevel::new(async move |s: &mut Subsystem| {
            s.start(SubsystemBuilder::new(
                "outer",
                async move |s: &mut Subsystem| -> Fine {
                    s.start(SubsystemBuilder::new(
                        "inner",
                        async move |_: &mut Subsystem| -> Fine {
                            inside.fetch_add(1, SeqCst);
                            Ok(())
                        },
                    ));
                    Ok(())
                },
            ));
        });
        toplevel
            .handle_shutdown_requests(Duration::from_secs(1))
            .await
            .unwrap();
        assert_eq!(ran.load(SeqCst), 1);
    });
}

#[test]
fn go_spawns_from_inside_and_is_stuck_at_the_limit() {
    go::says("spawn inside: ran 1");
    go::says("spawn inside: at the limit: stuck");
}
