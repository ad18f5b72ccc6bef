//! Semaphores of errgroup, tokio and async-lock. A unit is an acquisition, with its release.

use std::hint::black_box;
use std::thread;

use futures::stream::{FuturesUnordered, StreamExt};
use futures_lite::future::{block_on, yield_now};

use crate::row::{Contender, Mark, Room, Row};
use crate::tasks::{end, ended};
use crate::watch::{Watch, time, time_tasks};

const TASKS: usize = 64;
const PERMITS: usize = 8;
/// Of each task.
const TIMES: usize = 100;

/// A semaphore of any of them.
trait Semaphore: Sync + 'static {
    const NAME: &'static str;
    fn new() -> Self;
    /// The permits are given back when the result is dropped.
    async fn acquire(&self, permits: usize) -> impl Sized;
}

impl Semaphore for errgroup::Semaphore {
    const NAME: &'static str = "errgroup";

    fn new() -> Self {
        Self::new(PERMITS)
    }

    async fn acquire(&self, permits: usize) -> impl Sized {
        self.acquire(permits).await.unwrap()
    }
}

impl Semaphore for tokio::sync::Semaphore {
    const NAME: &'static str = "tokio Semaphore";

    fn new() -> Self {
        Self::new(PERMITS)
    }

    async fn acquire(&self, permits: usize) -> impl Sized {
        self.acquire_many(permits as u32).await.unwrap()
    }
}

impl Semaphore for async_lock::Semaphore {
    const NAME: &'static str = "async-lock Semaphore";

    fn new() -> Self {
        Self::new(PERMITS)
    }

    async fn acquire(&self, permits: usize) -> impl Sized {
        assert_eq!(permits, 1, "it has no weights");
        self.acquire().await
    }
}

pub(crate) fn rows() -> Vec<Row> {
    /// For one of the three.
    macro_rules! all {
        ($make:ident($($argument:expr),*)) => {
            vec![
                $make::<errgroup::Semaphore>($($argument),*),
                $make::<tokio::sync::Semaphore>($($argument),*),
                $make::<async_lock::Semaphore>($($argument),*).mark(Mark::Unfair),
            ]
        };
    }
    let row = |name, contenders| Row::new(Room::Semaphores, name, "permit", contenders);
    let weighted = vec![
        contended::<errgroup::Semaphore>(true),
        contended::<tokio::sync::Semaphore>(true),
    ];
    vec![
        row("a semaphore that is free", all!(free())),
        row("8 permits for 64 tasks", all!(contended(false))),
        row("8 permits for 64 tasks on two threads", all!(threaded())).median(),
        row("8 permits for 64 tasks that want 1 to 4", weighted),
    ]
}

fn free<S: Semaphore>() -> Contender {
    Contender::new(S::NAME, || {
        let semaphore = S::new();
        time(TASKS * TIMES, || {
            block_on(async {
                for _ in 0..TASKS * TIMES {
                    black_box(semaphore.acquire(1).await);
                }
            });
        })
    })
}

/// The tasks are in a `FuturesUnordered`, for all semaphores.
fn contended<S: Semaphore>(weighted: bool) -> Contender {
    Contender::new(S::NAME, move || {
        let semaphore = S::new();
        time_tasks(TASKS * TIMES, TASKS, || {
            block_on(users(&semaphore, TASKS, weighted))
        })
    })
}

/// Half of the tasks on each thread.
fn threaded<S: Semaphore>() -> Contender {
    Contender::new(S::NAME, || {
        let semaphore = S::new();
        let half = || {
            let before = ended();
            block_on(users(&semaphore, TASKS / 2, false));
            assert_eq!(
                ended() - before,
                TASKS / 2,
                "tasks of this thread that have ended"
            );
        };
        let watch = Watch::start_wall();
        thread::scope(|scope| {
            scope.spawn(half);
            half();
        });
        watch.per(TASKS * TIMES)
    })
}

/// Tasks that take permits again and again, and yield while they have them.
async fn users<S: Semaphore>(semaphore: &S, tasks: usize, weighted: bool) {
    let mut users: FuturesUnordered<_> = (0..tasks)
        .map(async |task| {
            for _ in 0..TIMES {
                let permits = if weighted { task % 4 + 1 } else { 1 };
                let _permit = semaphore.acquire(permits).await;
                yield_now().await;
            }
            end()
        })
        .collect();
    while let Some(outcome) = users.next().await {
        outcome.unwrap();
    }
}
