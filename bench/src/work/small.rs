//! Groups, scopes and graceful groups of a few tasks. A unit is one of them: made, filled, run to
//! its end and dropped.

use std::hint::black_box;

use errgroup::{CancelContext, ErrGroup, ErrSpawner};
use futures_lite::future::{block_on, yield_now};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::yielding;
use crate::row::{Contender, Mark, Room, Row};
use crate::sets::{
    Buffered, JoinAll, Outcomes, Run, Tracked, Unordered, block_on_tokio, contenders,
};
use crate::tasks::{end, task};
use crate::watch::time_tasks;

const SIZES: [usize; 4] = [1, 3, 10, 50];
/// Of all groups of a round together.
const TASKS: usize = 10_000;

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let each = || SIZES.into_iter().flat_map(|size| [(size, 0), (size, 1)]);
    for (size, yields) in each() {
        let name = format!("a group of {size}, {}", yielding(yields));
        let mut contenders = contenders![group(size, yields): Errgroup, Unordered, Buffered,
            BufferedJoin, ConcurrencyGroup, ConcurrencyJoin, Unicycle, Joined, Executor];
        contenders.push(group::<Tracked>(size, yields).mark(Mark::NoOutcomes));
        let join_all = group::<JoinAll>(size, yields);
        contenders.push(match size {
            0..=30 => join_all.mark(Mark::PollsAll),
            _ => join_all,
        });
        rows.push(Row::new(Room::Groups, name, "group", contenders));
    }
    for (size, yields) in each() {
        let name = format!("a scope of {size}, {}", yielding(yields));
        rows.push(Row::new(Room::Scopes, name, "scope", scopes(size, yields)));
    }
    for (size, yields) in each() {
        let name = format!("a graceful group of {size}, {}", yielding(yields));
        rows.push(Row::new(
            Room::Graceful,
            name,
            "group",
            graceful(size, yields),
        ));
    }
    rows
}

fn group<R: Run>(size: usize, yields: usize) -> Contender {
    Contender::new(R::NAME, move || {
        let groups = TASKS / size;
        time_tasks(groups, groups * size, || {
            R::block_on(async {
                for _ in 0..groups {
                    let tasks = (0..black_box(size)).map(|_| task(yields));
                    R::run(tasks).await.unwrap();
                }
            });
        })
    })
}

/// A body that spawns, and may be joined by its tasks in that.
fn scopes(size: usize, yields: usize) -> Vec<Contender> {
    let scopes = TASKS / size;
    let errgroup = move || {
        time_tasks(scopes, scopes * size, || {
            block_on(async {
                for _ in 0..scopes {
                    errgroup::scope(async |s: ErrSpawner<'_, (), ()>| {
                        for _ in 0..black_box(size) {
                            s.spawn(task(yields));
                        }
                        Ok(())
                    })
                    .await
                    .unwrap();
                }
            });
        })
    };
    let moro = move || {
        time_tasks(scopes, scopes * size, || {
            block_on(async {
                for _ in 0..scopes {
                    moro::async_scope!(|scope| {
                        for _ in 0..black_box(size) {
                            scope.spawn(task(yields));
                        }
                    })
                    .await;
                }
            });
        })
    };
    let mut contenders = vec![
        Contender::new("errgroup", errgroup),
        Contender::new("moro", moro),
    ];
    let others = contenders![group(size, yields): Unordered, Buffered];
    contenders.extend(others.into_iter().map(|other| other.mark(Mark::NoBody)));
    contenders
}

/// Each group has a context, which is a child of one for all, and is cancelled at the end.
fn graceful(size: usize, yields: usize) -> Vec<Contender> {
    let groups = TASKS / size;
    let errgroup = move || {
        time_tasks(groups, groups * size, || {
            block_on(async {
                let parent = CancelContext::new();
                for _ in 0..groups {
                    let (context, mut group) = ErrGroup::<(), ()>::with_context(&parent);
                    for _ in 0..black_box(size) {
                        group.spawn(task(yields));
                    }
                    group.await.unwrap();
                    black_box(context);
                }
            });
        })
    };
    // The tasks themselves have to cancel the token when they fail.
    let tracker = move || {
        time_tasks(groups, groups * size, || {
            block_on_tokio(async {
                let parent = CancellationToken::new();
                for _ in 0..groups {
                    let token = parent.child_token();
                    let tracker = TaskTracker::new();
                    for _ in 0..black_box(size) {
                        let token = token.clone();
                        tracker.spawn(async move {
                            for _ in 0..yields {
                                yield_now().await;
                            }
                            end().inspect_err(|()| token.cancel())
                        });
                    }
                    tracker.close();
                    tracker.wait().await;
                    token.cancel();
                }
            });
        })
    };
    vec![
        Contender::new("errgroup", errgroup),
        with_token::<Unordered>("FuturesUnordered + CancellationToken", size, yields),
        with_token::<Buffered>("futures-buffered + CancellationToken", size, yields),
        Contender::new("TaskTracker + CancellationToken", tracker).mark(Mark::NoOutcomes),
    ]
}

fn with_token<S: Outcomes>(name: &'static str, size: usize, yields: usize) -> Contender {
    Contender::new(name, move || {
        let groups = TASKS / size;
        time_tasks(groups, groups * size, || {
            S::block_on(async {
                let parent = CancellationToken::new();
                for _ in 0..groups {
                    let token = parent.child_token();
                    let mut set = S::new();
                    for _ in 0..black_box(size) {
                        set.add(task(yields));
                    }
                    while let Some(outcome) = set.next().await {
                        if outcome.is_err() {
                            token.cancel();
                        }
                    }
                    token.cancel();
                }
            });
        })
    })
}
