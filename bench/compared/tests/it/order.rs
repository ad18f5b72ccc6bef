//! Outcomes in the order of the spawns, though the last spawned ends first.

use errgroup::ErrGroup;
use futures::executor::block_on;
use futures::stream::{self, StreamExt};
use futures_concurrency::future::FutureGroup;
use futures_concurrency::prelude::*;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use crate::common::{one_thread, yields};

type Slow = futures::future::BoxFuture<'static, usize>;

fn tasks() -> Vec<Slow> {
    let task = |n| -> Slow {
        Box::pin(async move {
            yields((2 - n) * 20).await;
            n
        })
    };
    (0..3).map(task).collect()
}

#[test]
fn errgroup_collects_in_order() {
    let mut group = ErrGroup::<usize, ()>::new();
    for task in tasks() {
        group.spawn(async { Ok(task.await) });
    }
    assert_eq!(block_on(group.collect()), Ok(vec![0, 1, 2]));
}

#[test]
fn a_join_set_gives_first_what_ended_first() {
    let all = async { tasks().into_iter().collect::<JoinSet<_>>().join_all().await };
    assert_eq!(one_thread().block_on(all), [2, 1, 0]);
}

#[test]
fn a_tracker_gives_handles_that_may_be_awaited_in_order() {
    one_thread().block_on(async {
        let tracker = TaskTracker::new();
        let handles: Vec<_> = tasks()
            .into_iter()
            .map(|task| tracker.spawn(task))
            .collect();
        for (n, handle) in handles.into_iter().enumerate() {
            assert_eq!(handle.await.unwrap(), n);
        }
        tracker.close();
        let () = tracker.wait().await;
    });
}

#[test]
fn futures_unordered_gives_first_what_ended_first() {
    let set: stream::FuturesUnordered<_> = tasks().into_iter().collect();
    assert_eq!(block_on(set.collect::<Vec<_>>()), [2, 1, 0]);
}

#[test]
fn buffer_unordered_gives_first_what_ended_first() {
    let outputs = stream::iter(tasks()).buffer_unordered(3);
    assert_eq!(block_on(outputs.collect::<Vec<_>>()), [2, 1, 0]);
}

#[test]
fn futures_buffered_joins_in_order() {
    assert_eq!(block_on(futures_buffered::join_all(tasks())), [0, 1, 2]);
    let set: futures_buffered::FuturesOrdered<_> = tasks().into_iter().collect();
    assert_eq!(block_on(set.collect::<Vec<_>>()), [0, 1, 2]);
}

#[test]
fn futures_concurrency_joins_in_order_but_its_group_does_not() {
    assert_eq!(block_on(tasks().join()), [0, 1, 2]);
    let group: FutureGroup<_> = tasks().into_iter().collect();
    assert_eq!(block_on(group.collect::<Vec<_>>()), [2, 1, 0]);
}

#[test]
fn moro_gives_handles_that_may_be_awaited_in_order() {
    block_on(moro::async_scope!(|scope| {
        let handles: Vec<_> = tasks().into_iter().map(|task| scope.spawn(task)).collect();
        for (n, handle) in handles.into_iter().enumerate() {
            assert_eq!(handle.await, n);
        }
    }));
}
