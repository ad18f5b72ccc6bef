//! Several cores by itself: two tasks, each of which waits for the other and never gives way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use errgroup::ErrGroup;
use futures::stream::{self, StreamExt};
use futures_concurrency::prelude::*;
use tokio::task::JoinSet;
use tokio_graceful_shutdown::{SubsystemBuilder, Toplevel};
use tokio_util::task::TaskTracker;

use crate::common::{Fine, Subsystem, Task, two_threads};
use crate::go;

/// How long one waits for the other before it gives up.
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(20);

#[derive(Clone, Default)]
struct Meeting {
    here: Arc<AtomicUsize>,
    met: Arc<AtomicBool>,
}

impl Meeting {
    fn task(&self, patience: Duration) -> Task {
        let Meeting { here, met } = self.clone();
        Box::pin(async move {
            here.fetch_add(1, SeqCst);
            let begun = Instant::now();
            while begun.elapsed() < patience && !met.load(SeqCst) {
                if here.load(SeqCst) == 2 {
                    met.store(true, SeqCst);
                }
                std::thread::yield_now();
            }
            here.fetch_sub(1, SeqCst);
            Ok(())
        })
    }
}

/// Whether they meet, on a runtime with two threads.
fn meet<F: Future>(patience: Duration, all: impl FnOnce(Vec<Task>) -> F) -> bool {
    let meeting = Meeting::default();
    two_threads().block_on(all(vec![meeting.task(patience), meeting.task(patience)]));
    meeting.met.load(SeqCst)
}

#[test]
fn errgroup_uses_one_core() {
    assert!(!meet(SHORT, |tasks| {
        let mut group = ErrGroup::new();
        group.extend(tasks);
        group
    }));
}

#[test]
fn a_join_set_uses_several_cores() {
    assert!(meet(LONG, |tasks| async {
        tasks.into_iter().collect::<JoinSet<_>>().join_all().await
    }));
}

#[test]
fn a_tracker_uses_several_cores() {
    assert!(meet(LONG, |tasks| async {
        let tracker = TaskTracker::new();
        tasks.into_iter().for_each(|task| drop(tracker.spawn(task)));
        tracker.close();
        tracker.wait().await;
    }));
}

#[test]
fn futures_unordered_uses_one_core() {
    let all = |tasks: Vec<_>| {
        tasks
            .into_iter()
            .collect::<stream::FuturesUnordered<_>>()
            .count()
    };
    assert!(!meet(SHORT, all));
}

#[test]
fn buffer_unordered_uses_one_core() {
    assert!(!meet(SHORT, |tasks| stream::iter(tasks)
        .buffer_unordered(2)
        .count()));
}

#[test]
fn futures_buffered_uses_one_core() {
    assert!(!meet(SHORT, futures_buffered::join_all));
}

#[test]
fn futures_concurrency_uses_one_core() {
    assert!(!meet(SHORT, |tasks| tasks.join()));
}

#[test]
fn moro_uses_one_core() {
    assert!(!meet(SHORT, |tasks| {
        moro::async_scope!(|scope| {
            tasks.into_iter().for_each(|task| drop(scope.spawn(task)));
        })
    }));
}

#[test]
fn subsystems_use_several_cores() {
    assert!(meet(LONG, |tasks| async {
        let toplevel: Toplevel = Toplevel::new(async move |s: &mut Subsystem| {
            for task in tasks {
                s.start(SubsystemBuilder::new(
                    "one",
                    async move |_: &mut Subsystem| -> Fine {
                        task.await.unwrap();
                        Ok(())
                    },
                ));
            }
        });
        toplevel.handle_shutdown_requests(LONG).await.unwrap();
    }));
}

#[test]
fn go_uses_several_cores() {
    go::says("cores: both ran");
}
