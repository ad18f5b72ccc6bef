//! Tasks that spawn tasks, and groups that are tasks of groups.

use std::future::Future;
use std::sync::Arc;

use errgroup::{ErrGroup, ErrSpawner};
use futures::future::try_join_all;
use futures::stream::{FuturesUnordered, StreamExt};
use futures_lite::future::block_on;
use tokio_util::task::TaskTracker;

use crate::row::{Contender, Mark, Room, Row};
use crate::sets::{Set, Who, block_on_tokio, contenders};
use crate::tasks::{Boxed, Outcome, end, task};
use crate::watch::time_tasks;

pub(crate) fn rows() -> Vec<Row> {
    let name = "a tree of 8,191 tasks, each spawns two";
    let mut rows = vec![Row::new(Room::Nested, name, "task", trees())];
    for depth in [1, 3, 10] {
        let name = format!("groups nested {depth} deep");
        let contenders =
            contenders![nested(depth): Errgroup, Unordered, Buffered, Unicycle, Joined, Executor];
        rows.push(Row::new(Room::Nested, name, "group", contenders));
    }
    rows
}

const DEPTH: usize = 13;
const TREE: usize = (1 << DEPTH) - 1;

/// A binary tree. A unit is a task.
fn trees() -> Vec<Contender> {
    let tree =
        |name, work: Box<dyn Fn()>| Contender::new(name, move || time_tasks(TREE, TREE, &work));

    // An `async fn` cannot spawn itself.
    #[allow(clippy::manual_async_fn)]
    fn errgroup(
        depth: usize,
        spawner: ErrSpawner<'_, (), ()>,
    ) -> impl Future<Output = Outcome> + Send {
        async move {
            if depth > 1 {
                spawner.spawn(errgroup(depth - 1, spawner.clone()));
                spawner.spawn(errgroup(depth - 1, spawner.clone()));
            }
            end()
        }
    }
    let whole = || {
        let mut group = ErrGroup::new();
        group.spawn(errgroup(DEPTH, group.spawner()));
        block_on(group).unwrap();
    };

    #[allow(clippy::manual_async_fn)]
    fn tracked(depth: usize, tracker: TaskTracker) -> impl Future<Output = Outcome> + Send {
        async move {
            if depth > 1 {
                tracker.spawn(tracked(depth - 1, tracker.clone()));
                tracker.spawn(tracked(depth - 1, tracker.clone()));
            }
            end()
        }
    }
    let tracker = || {
        block_on_tokio(async {
            let tracker = TaskTracker::new();
            tracker.spawn(tracked(DEPTH, tracker.clone()));
            tracker.close();
            tracker.wait().await;
        });
    };

    /// Nothing counts the tasks, so each waits for those that it spawned.
    fn executed(depth: usize, executor: Arc<async_executor::Executor<'static>>) -> Boxed {
        Box::pin(async move {
            if depth > 1 {
                let left = executor.spawn(executed(depth - 1, executor.clone()));
                let right = executor.spawn(executed(depth - 1, executor.clone()));
                left.await?;
                right.await?;
            }
            end()
        })
    }
    let executor = || {
        let executor = Arc::new(async_executor::Executor::new());
        let root = executor.spawn(executed(DEPTH, executor.clone()));
        block_on(executor.run(root)).unwrap();
    };

    #[allow(clippy::manual_async_fn)]
    fn scoped<'scope, 'env: 'scope>(
        depth: usize,
        scope: &'scope moro::Scope<'scope, 'env, ()>,
    ) -> impl Future<Output = Outcome> + Send + 'scope {
        async move {
            if depth > 1 {
                drop(scope.spawn(scoped(depth - 1, scope)));
                drop(scope.spawn(scoped(depth - 1, scope)));
            }
            end()
        }
    }
    let scope = || {
        block_on(moro::async_scope!(|scope| {
            drop(scope.spawn(scoped(DEPTH, scope)));
        }));
    };

    vec![
        tree("errgroup", Box::new(whole)),
        tree("moro", Box::new(scope)),
        tree("async-executor", Box::new(executor)),
        tree("TaskTracker", Box::new(tracker)).mark(Mark::NoOutcomes),
        in_each("FuturesUnordered in each task", unordered),
        in_each("futures-buffered in each task", buffered),
        in_each("try_join_all in each task", joined).mark(Mark::PollsAll),
    ]
}

/// A tree of groups: each task has a group of its own, with the two that it spawns.
fn in_each(name: &'static str, tree: fn(depth: usize) -> Boxed) -> Contender {
    Contender::new(name, move || {
        time_tasks(TREE, TREE, || block_on(tree(DEPTH)).unwrap())
    })
}

fn unordered(depth: usize) -> Boxed {
    Box::pin(async move {
        if depth > 1 {
            let mut group = FuturesUnordered::new();
            group.push(unordered(depth - 1));
            group.push(unordered(depth - 1));
            while let Some(outcome) = group.next().await {
                outcome?;
            }
        }
        end()
    })
}

fn buffered(depth: usize) -> Boxed {
    Box::pin(async move {
        if depth > 1 {
            let mut group = futures_buffered::FuturesUnordered::new();
            group.push(buffered(depth - 1));
            group.push(buffered(depth - 1));
            while let Some(outcome) = group.next().await {
                outcome?;
            }
        }
        end()
    })
}

fn joined(depth: usize) -> Boxed {
    Box::pin(async move {
        if depth > 1 {
            try_join_all([joined(depth - 1), joined(depth - 1)]).await?;
        }
        end()
    })
}

/// Each group has two tasks that yield once, and the next group. A unit is a group.
fn nested<S: Set>(depth: usize) -> Contender {
    /// The box ends the recursion of types, and is one more for everybody.
    fn nest<S: Set>(depth: usize) -> Boxed {
        Box::pin(async move {
            let mut set = S::new();
            set.add(task(1));
            if depth > 1 {
                set.add(nest::<S>(depth - 1));
            }
            set.add(task(1));
            set.finish().await
        })
    }
    Contender::new(<S as Who>::NAME, move || {
        let nests = 1_000 / depth;
        time_tasks(nests * depth, nests * depth * 2, || {
            S::block_on(async {
                for _ in 0..nests {
                    nest::<S>(depth).await.unwrap();
                }
            });
        })
    })
}
