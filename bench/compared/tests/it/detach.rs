//! A task that outlives its owner.

use std::time::Duration;

use errgroup::ErrGroup;
use futures::stream::{self, StreamExt};
use futures_concurrency::prelude::*;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_graceful_shutdown::{SubsystemBuilder, Toplevel};
use tokio_util::task::TaskTracker;

use crate::common::{Counts, Fine, Subsystem, Task, one_thread, poll_while_woken};
use crate::go;

const MINUTE: Duration = Duration::from_secs(60);

/// Says goodbye in a minute, if it is still there.
fn slow(counts: &Counts) -> Task {
    let (counts, kept) = (counts.clone(), counts.keep());
    Box::pin(async move {
        let _kept = kept;
        sleep(MINUTE).await;
        counts.goodbye();
        Ok(())
    })
}

/// Its task is gone when it is, before the drop returns.
#[track_caller]
fn goes_with_its_owner<F: Future>(all: impl FnOnce(Vec<Task>) -> F) {
    one_thread().block_on(async {
        let counts = Counts::default();
        let mut all = Box::pin(all(vec![slow(&counts)]));
        assert!(poll_while_woken(all.as_mut()).is_none());
        drop(all);
        assert_eq!(counts.dropped(), 1);
        sleep(2 * MINUTE).await;
        assert_eq!(counts.goodbyes(), 0);
    });
}

#[test]
fn a_task_of_errgroup_goes_with_its_group() {
    goes_with_its_owner(|tasks| {
        let mut group = ErrGroup::new();
        group.extend(tasks);
        group
    });
}

#[test]
fn a_task_of_a_join_set_can_be_detached() {
    one_thread().block_on(async {
        let counts = Counts::default();
        let mut set = JoinSet::new();
        set.spawn(slow(&counts));
        set.detach_all();
        drop(set);
        sleep(2 * MINUTE).await;
        assert_eq!(counts.goodbyes(), 1);
    });
}

#[test]
fn a_task_outlives_its_tracker() {
    one_thread().block_on(async {
        let counts = Counts::default();
        let tracker = TaskTracker::new();
        tracker.spawn(slow(&counts));
        drop(tracker);
        sleep(2 * MINUTE).await;
        assert_eq!(counts.goodbyes(), 1);
    });
}

#[test]
fn a_task_goes_with_futures_unordered() {
    goes_with_its_owner(|tasks| {
        tasks
            .into_iter()
            .collect::<stream::FuturesUnordered<_>>()
            .count()
    });
}

#[test]
fn a_task_goes_with_buffer_unordered() {
    goes_with_its_owner(|tasks| stream::iter(tasks).buffer_unordered(2).count());
}

#[test]
fn a_task_goes_with_futures_buffered() {
    goes_with_its_owner(futures_buffered::join_all);
}

#[test]
fn a_task_goes_with_futures_concurrency() {
    goes_with_its_owner(|tasks| tasks.join());
}

#[test]
fn a_task_of_moro_goes_with_its_scope() {
    goes_with_its_owner(|tasks| {
        moro::async_scope!(|scope| {
            tasks.into_iter().for_each(|task| drop(scope.spawn(task)));
        })
    });
}

#[test]
fn a_subsystem_goes_with_its_toplevel_even_if_detached() {
    one_thread().block_on(async {
        let counts = Counts::default();
        let task = slow(&counts);
        let toplevel: Toplevel = Toplevel::new(async move |s: &mut Subsystem| {
            let slow = async move |_: &mut Subsystem| -> Fine {
                task.await.unwrap();
                Ok(())
            };
            s.start(SubsystemBuilder::new("slow", slow).detached());
        });
        sleep(MINUTE / 2).await;
        assert_eq!(counts.dropped(), 0);
        drop(toplevel);
        sleep(2 * MINUTE).await;
        assert_eq!((counts.dropped(), counts.goodbyes()), (1, 0));
    });
}

#[test]
fn a_goroutine_outlives_its_group() {
    go::says("detach: the task outlived its group");
}
