//! A limit on how many run at once: of ten tasks, how many have begun and not ended?

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use errgroup::ErrGroup;
use futures::executor::block_on;
use futures::stream::{self, StreamExt};
use futures_buffered::{BufferedStreamExt, FuturesUnorderedBounded};
use futures_concurrency::prelude::*;
use tokio::task::JoinSet;
use tokio_graceful_shutdown::{SubsystemBuilder, Toplevel};
use tokio_util::task::TaskTracker;

use crate::common::{Fine, Subsystem, one_thread, poll_while_woken, yields};
use crate::go;

#[derive(Clone, Default)]
struct Peak {
    running: Arc<AtomicUsize>,
    peak: Arc<AtomicUsize>,
}

impl Peak {
    fn task(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let Peak { running, peak } = self.clone();
        async move {
            peak.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
            yields(20).await;
            running.fetch_sub(1, SeqCst);
        }
    }

    fn tasks(
        &self,
    ) -> impl Iterator<Item = impl Future<Output = ()> + Send + 'static + use<>> + use<> {
        let peak = self.clone();
        (0..10).map(move |_| peak.task())
    }

    #[track_caller]
    fn assert(&self, peak: usize) {
        assert_eq!(self.peak.load(SeqCst), peak);
    }
}

#[test]
fn errgroup_has_a_limit_and_a_queue() {
    let peak = Peak::default();
    let mut group = ErrGroup::<(), ()>::new().limit(3);
    for task in peak.tasks() {
        group.spawn(async {
            task.await;
            Ok(())
        });
    }
    block_on(group).unwrap();
    peak.assert(3);
}

#[test]
fn a_join_set_runs_all() {
    let peak = Peak::default();
    one_thread().block_on(async { peak.tasks().collect::<JoinSet<_>>().join_all().await });
    peak.assert(10);
}

#[test]
fn a_tracker_runs_all() {
    let peak = Peak::default();
    one_thread().block_on(async {
        let tracker = TaskTracker::new();
        for task in peak.tasks() {
            tracker.spawn(task);
        }
        tracker.close();
        tracker.wait().await;
    });
    peak.assert(10);
}

#[test]
fn futures_unordered_runs_all() {
    let peak = Peak::default();
    block_on(
        peak.tasks()
            .collect::<stream::FuturesUnordered<_>>()
            .count(),
    );
    peak.assert(10);
}

#[test]
fn buffer_unordered_has_a_limit() {
    let peak = Peak::default();
    block_on(stream::iter(peak.tasks()).buffer_unordered(3).count());
    peak.assert(3);
}

#[test]
fn buffer_unordered_of_nothing_hangs() {
    let peak = Peak::default();
    let all = stream::iter(peak.tasks()).buffer_unordered(0).count();
    assert_eq!(poll_while_woken(Box::pin(all).as_mut()), None);
    peak.assert(0);
}

#[test]
fn futures_buffered_has_a_limit() {
    let peak = Peak::default();
    block_on(stream::iter(peak.tasks()).buffered_unordered(3).count());
    peak.assert(3);

    let mut set = FuturesUnorderedBounded::new(3);
    let (taken, refused): (Vec<_>, Vec<_>) = peak
        .tasks()
        .map(|task| set.try_push(task))
        .partition(Result::is_ok);
    assert_eq!((taken.len(), refused.len()), (3, 7));
}

#[test]
fn futures_concurrency_has_a_limit() {
    let peak = Peak::default();
    let tasks: Vec<_> = peak.tasks().collect();
    block_on(
        tasks
            .into_co_stream()
            .limit(NonZeroUsize::new(3))
            .for_each(|task| task),
    );
    peak.assert(3);
}

#[test]
fn moro_runs_all() {
    let peak = Peak::default();
    block_on(moro::async_scope!(|scope| {
        peak.tasks().for_each(|task| drop(scope.spawn(task)));
    }));
    peak.assert(10);
}

#[test]
fn all_subsystems_run() {
    let peak = Peak::default();
    one_thread().block_on(async {
        let tasks = peak.clone();
        let toplevel: Toplevel = Toplevel::new(async move |s: &mut Subsystem| {
            for task in tasks.tasks() {
                s.start(SubsystemBuilder::new(
                    "one",
                    async move |_: &mut Subsystem| -> Fine {
                        task.await;
                        Ok(())
                    },
                ));
            }
        });
        toplevel
            .handle_shutdown_requests(Duration::from_secs(1))
            .await
            .unwrap();
    });
    peak.assert(10);
}

#[test]
fn go_has_a_limit() {
    go::says("limit: at most three at once: true");
}
