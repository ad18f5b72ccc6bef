//! Groups of which at most 64 tasks run at a time. A unit is a task.

use errgroup::ErrGroup;
use futures::pin_mut;
use futures::stream::{self, StreamExt, TryStreamExt};
use futures_buffered::BufferedStreamExt;
use futures_lite::future::block_on;
use tokio::task::JoinSet;

use super::yielding;
use crate::row::{Contender, Room, Row};
use crate::sets::{Outcomes, block_on_tokio, contenders};
use crate::tasks::{Boxed, boxed, task};
use crate::watch::time_tasks;

const LIMIT: usize = 64;
const TASKS: usize = 10_000;

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for yields in [0, 1, 4] {
        let name = format!("queued at a limit of 64, {}", yielding(yields));
        rows.push(Row::new(Room::Limited, name, "task", queued(yields)));
    }
    for yields in [0, 1, 4] {
        let name = format!("fed by `ready` at a limit of 64, {}", yielding(yields));
        rows.push(Row::new(Room::Limited, name, "task", fed(yields)));
    }
    rows
}

/// All futures are there, in their boxes, before the first is polled.
fn queued(yields: usize) -> Vec<Contender> {
    let made = move || -> Vec<Boxed> { (0..TASKS).map(|_| boxed(yields)).collect() };
    let errgroup = move || {
        block_on(async {
            let mut group = ErrGroup::<(), ()>::new().limit(LIMIT);
            for _ in 0..TASKS {
                group.spawn(task(yields));
            }
            group.await.unwrap();
        });
    };
    let buffer_unordered = move || {
        block_on(async {
            let mut outcomes = stream::iter(made()).buffer_unordered(LIMIT);
            while let Some(outcome) = outcomes.next().await {
                outcome.unwrap();
            }
        });
    };
    let for_each = move || {
        let tasks = stream::iter(made()).map(Ok::<_, ()>);
        block_on(tasks.try_for_each_concurrent(LIMIT, |task| task)).unwrap();
    };
    let buffered = move || {
        block_on(async {
            let outcomes = stream::iter(made()).buffered_unordered(LIMIT);
            pin_mut!(outcomes);
            while let Some(outcome) = outcomes.next().await {
                outcome.unwrap();
            }
        });
    };
    let join_set = move || {
        block_on_tokio(async {
            let semaphore = std::sync::Arc::new(tokio::sync::Semaphore::new(LIMIT));
            let mut set = JoinSet::new();
            for _ in 0..TASKS {
                let semaphore = semaphore.clone();
                set.spawn(async move {
                    let _permit = semaphore.acquire().await.unwrap();
                    task(yields).await
                });
            }
            while let Some(outcome) = set.join_next().await {
                outcome.unwrap().unwrap();
            }
        });
    };
    vec![
        all("errgroup", errgroup),
        all("buffer_unordered", buffer_unordered),
        all("try_for_each_concurrent", for_each),
        all("futures-buffered", buffered),
        all("JoinSet + Semaphore", join_set),
    ]
}

/// A future is made, and put into its box, whenever there is room for it.
fn fed(yields: usize) -> Vec<Contender> {
    let errgroup = move || {
        block_on(async {
            let mut group = ErrGroup::<(), ()>::new().limit(LIMIT);
            for _ in 0..TASKS {
                assert!(group.ready().await);
                group.spawn(task(yields));
            }
            group.await.unwrap();
        });
    };
    let tasks = move || stream::iter(0..TASKS).map(move |_| boxed(yields));
    let buffer_unordered = move || {
        block_on(async {
            let mut outcomes = tasks().buffer_unordered(LIMIT);
            while let Some(outcome) = outcomes.next().await {
                outcome.unwrap();
            }
        });
    };
    let buffered = move || {
        block_on(async {
            let outcomes = tasks().buffered_unordered(LIMIT);
            pin_mut!(outcomes);
            while let Some(outcome) = outcomes.next().await {
                outcome.unwrap();
            }
        });
    };
    let mut contenders = vec![
        all("errgroup", errgroup),
        all("buffer_unordered", buffer_unordered),
        all("futures-buffered buffered_unordered", buffered),
    ];
    contenders.extend(
        contenders![by_hand(yields): Unordered, Buffered, ConcurrencyGroup, Unicycle, Joined],
    );
    contenders
}

/// Waits for an outcome whenever the set is full.
fn by_hand<S: Outcomes>(yields: usize) -> Contender {
    all(S::NAME, move || {
        S::block_on(async {
            let mut set = S::new();
            for index in 0..TASKS {
                if index >= LIMIT {
                    set.next().await.unwrap().unwrap();
                }
                set.add(task(yields));
            }
            set.finish().await.unwrap();
        });
    })
}

fn all(name: &'static str, work: impl Fn() + 'static) -> Contender {
    Contender::new(name, move || time_tasks(TASKS, TASKS, &work))
}
