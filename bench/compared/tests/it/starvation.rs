//! tokio's budget: it gives each of its tasks 128 units for each poll, and every message takes one.
//! Here three and more tasks read from channels that are never empty. When the first has read all
//! that it has, how much have the others read?

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use errgroup::ErrGroup;
use futures::TryStreamExt;
use futures::stream::{self, StreamExt};
use futures_concurrency::future::FutureGroup;
use futures_concurrency::prelude::*;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;
use tokio_graceful_shutdown::{SubsystemBuilder, Toplevel};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::common::{Subsystem, Task, one_thread};
use crate::go;

const MESSAGES: usize = 20_000;
/// Fewer than this is next to nothing: an eighth.
const SHARE: usize = MESSAGES / 8;
const SIZES: [usize; 3] = [3, 10, 64];

/// Tasks that read, and fail when nothing is left, and what they have read.
fn readers(count: usize) -> (Vec<Task>, Vec<Arc<AtomicUsize>>) {
    let reader = |_| {
        let (sender, mut receiver) = unbounded_channel();
        (0..MESSAGES).for_each(|_| sender.send(()).unwrap());
        let read = Arc::new(AtomicUsize::new(0));
        let count = read.clone();
        let task: Task = Box::pin(async move {
            while receiver.recv().await.is_some() {
                count.fetch_add(1, SeqCst);
            }
            Err("all read")
        });
        (task, read)
    };
    (0..count).map(reader).unzip()
}

/// How many of so many tasks have read next to nothing.
fn starved<F>(count: usize, all: impl FnOnce(Vec<Task>) -> F) -> usize
where
    F: Future<Output: Send> + Send + 'static,
{
    let (tasks, read) = readers(count);
    let runtime = one_thread();
    let all = runtime.spawn(all(tasks));
    runtime.block_on(all).unwrap();
    let read: Vec<_> = read.iter().map(|read| read.load(SeqCst)).collect();
    assert!(read.contains(&MESSAGES), "{read:?}");
    read.into_iter().filter(|&read| read < SHARE).count()
}

/// All but two and one in ten more, and always somebody.
#[track_caller]
fn all_but_a_few(starved: usize, size: usize) {
    assert!(starved >= size - 2 - size / 10, "{starved} of {size}");
}

#[test]
fn nobody_starves_in_errgroup() {
    for size in SIZES {
        let starved = starved(size, |tasks| {
            let mut group = ErrGroup::new();
            group.extend(tasks);
            group
        });
        assert_eq!(starved, 0);
    }
}

#[test]
fn nobody_starves_in_a_join_set() {
    for size in SIZES {
        let first = |tasks: Vec<Task>| async {
            tasks
                .into_iter()
                .collect::<JoinSet<_>>()
                .join_next()
                .await
                .unwrap()
                .unwrap()
        };
        assert_eq!(starved(size, first), 0);
    }
}

#[test]
fn nobody_starves_in_a_tracker() {
    for size in SIZES {
        let first = |tasks: Vec<Task>| async {
            let (tracker, token) = (TaskTracker::new(), CancellationToken::new());
            for task in tasks {
                let token = token.clone();
                tracker.spawn(token.clone().run_until_cancelled_owned(async move {
                    task.await.unwrap_err();
                    token.cancel();
                }));
            }
            tracker.close();
            tracker.wait().await;
        };
        assert_eq!(starved(size, first), 0);
    }
}

#[test]
fn all_but_a_few_starve_in_futures_unordered() {
    for size in SIZES {
        let starved = starved(size, |tasks| {
            tasks
                .into_iter()
                .collect::<stream::FuturesUnordered<_>>()
                .try_collect::<()>()
        });
        all_but_a_few(starved, size);
    }
}

#[test]
fn all_but_a_few_starve_in_buffer_unordered() {
    for size in SIZES {
        let starved = starved(size, |tasks| {
            stream::iter(tasks).buffer_unordered(64).try_collect::<()>()
        });
        all_but_a_few(starved, size);
    }
}

fn starved_in_futures_buffered(size: usize) -> usize {
    starved(size, |tasks| async {
        futures_buffered::try_join_all(tasks).await.map(drop)
    })
}

#[cfg(not(feature = "tokio-coop"))]
#[test]
fn all_but_a_few_starve_in_futures_buffered() {
    for size in SIZES {
        all_but_a_few(starved_in_futures_buffered(size), size);
    }
}

#[cfg(feature = "tokio-coop")]
#[test]
fn nobody_starves_in_futures_buffered_with_its_feature_tokio_coop() {
    for size in SIZES {
        assert_eq!(starved_in_futures_buffered(size), 0);
    }
}

#[test]
fn all_but_a_few_starve_in_futures_concurrency() {
    for size in SIZES {
        let joined = starved(size, |tasks| async { tasks.try_join().await.map(drop) });
        all_but_a_few(joined, size);
        let grouped = starved(size, |tasks| {
            tasks
                .into_iter()
                .collect::<FutureGroup<_>>()
                .try_collect::<()>()
        });
        all_but_a_few(grouped, size);
    }
}

#[test]
fn all_but_a_few_starve_in_moro() {
    for size in SIZES {
        let starved = starved(size, |tasks| {
            moro::async_scope!(|scope| {
                for task in tasks {
                    drop(scope.spawn(task).or_cancel(scope));
                }
                Ok(())
            })
        });
        all_but_a_few(starved, size);
    }
}

#[test]
fn nobody_starves_among_subsystems() {
    for size in SIZES {
        let starved = starved(size, |tasks| async {
            let toplevel: Toplevel = Toplevel::new(async |s: &mut Subsystem| {
                for task in tasks {
                    let reader = async move |s: &mut Subsystem| {
                        tokio::select! {
                            outcome = task => outcome,
                            () = s.on_shutdown_requested() => Ok(()),
                        }
                    };
                    s.start(SubsystemBuilder::new("one", reader));
                }
            });
            drop(
                toplevel
                    .handle_shutdown_requests(Duration::from_secs(1))
                    .await,
            );
        });
        assert_eq!(starved, 0);
    }
}

#[test]
fn nobody_starves_in_go() {
    go::says("starvation: both had a turn");
}
