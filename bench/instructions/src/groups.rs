//! Groups of a few tasks, of very many, and of so many at a time.

use std::hint::black_box;
use std::mem::forget;

use errgroup::{CancelContext, ErrGroup};
use futures::channel::oneshot;
use futures::future::{pending, try_join_all};
use futures::stream::{self, FuturesUnordered, StreamExt};
use futures::{pin_mut, poll};
use futures_buffered::BufferedStreamExt;
use futures_lite::future::block_on;
use tokio_util::sync::CancellationToken;

use crate::tasks::{Bell, Boxed, Outcome, boxed, rest, task};

/// Given to `limit` and its like.
const LIMIT: usize = 64;

type Group = ErrGroup<'static, (), ()>;
type Unordered = FuturesUnordered<Boxed>;
type Buffered = futures_buffered::FuturesUnordered<Boxed>;

/// A group of `M` tasks, made and run to its end.
pub(crate) mod whole {
    use super::*;

    pub(crate) fn errgroup<const M: usize>(n: usize, yields: usize) {
        block_on(async {
            for _ in 0..n {
                let mut group = Group::new();
                for i in 0..black_box(M) {
                    group.spawn(task(i, yields));
                }
                group.await.unwrap();
            }
        });
    }

    pub(crate) fn fu<const M: usize>(n: usize, yields: usize) {
        block_on(async {
            for _ in 0..n {
                let mut group = Unordered::new();
                for i in 0..black_box(M) {
                    group.push(boxed(i, yields));
                }
                while let Some(outcome) = group.next().await {
                    outcome.unwrap();
                }
            }
        });
    }

    pub(crate) fn fb<const M: usize>(n: usize, yields: usize) {
        block_on(async {
            for _ in 0..n {
                let mut group = Buffered::new();
                for i in 0..black_box(M) {
                    group.push(boxed(i, yields));
                }
                while let Some(outcome) = group.next().await {
                    outcome.unwrap();
                }
            }
        });
    }

    pub(crate) fn ja<const M: usize>(n: usize, yields: usize) {
        block_on(async {
            for _ in 0..n {
                try_join_all((0..black_box(M)).map(|i| boxed(i, yields)))
                    .await
                    .unwrap();
            }
        });
    }
}

/// A scope of three tasks.
pub(crate) mod scope {
    use super::*;

    pub(crate) fn errgroup(n: usize, yields: usize) {
        block_on(async {
            for _ in 0..n {
                errgroup::scope(async |s: errgroup::ErrSpawner<'_, (), ()>| {
                    for i in 0..3 {
                        s.spawn(task(i, yields));
                    }
                    Ok(())
                })
                .await
                .unwrap();
            }
        });
    }

    pub(crate) fn moro(n: usize, yields: usize) {
        block_on(async {
            for _ in 0..n {
                moro::async_scope!(|scope| {
                    for i in 0..3 {
                        scope.spawn(task(i, yields));
                    }
                })
                .await;
            }
        });
    }
}

/// A group of three tasks with a context of its own.
pub(crate) mod graceful {
    use super::*;

    pub(crate) fn errgroup(n: usize, yields: usize) {
        block_on(async {
            let parent = CancelContext::new();
            for _ in 0..n {
                let (_context, mut group) = Group::with_context(&parent);
                for i in 0..3 {
                    group.spawn(task(i, yields));
                }
                group.await.unwrap();
            }
        });
    }

    pub(crate) fn fu(n: usize, yields: usize) {
        block_on(async {
            let parent = CancellationToken::new();
            for _ in 0..n {
                let token = parent.child_token();
                let mut group = Unordered::new();
                for i in 0..3 {
                    group.push(boxed(i, yields));
                }
                while let Some(outcome) = group.next().await {
                    outcome.unwrap();
                }
                token.cancel();
            }
        });
    }
}

/// Very many tasks in one group; a unit is a task.
pub(crate) mod many {
    use super::*;

    const MANY: usize = 10_000;

    pub(crate) fn errgroup(n: usize, yields: usize) {
        block_on(async {
            for _ in 0..n / MANY {
                let mut group = Group::new();
                for i in 0..MANY {
                    group.spawn(task(i, yields));
                }
                group.await.unwrap();
            }
        });
    }

    pub(crate) fn fu(n: usize, yields: usize) {
        block_on(async {
            for _ in 0..n / MANY {
                let mut group = Unordered::new();
                for i in 0..MANY {
                    group.push(boxed(i, yields));
                }
                while let Some(outcome) = group.next().await {
                    outcome.unwrap();
                }
            }
        });
    }

    pub(crate) fn fb(n: usize, yields: usize) {
        block_on(async {
            for _ in 0..n / MANY {
                let mut group = Buffered::new();
                for i in 0..MANY {
                    group.push(boxed(i, yields));
                }
                while let Some(outcome) = group.next().await {
                    outcome.unwrap();
                }
            }
        });
    }
}

/// A limit, with all tasks there before the first is polled.
pub(crate) mod queued {
    use super::*;

    pub(crate) fn errgroup(n: usize, yields: usize) {
        block_on(async {
            let mut group = Group::new().limit(LIMIT);
            for i in 0..n {
                group.spawn(task(i, yields));
            }
            group.await.unwrap();
        });
    }

    pub(crate) fn fu(n: usize, yields: usize) {
        block_on(async {
            let tasks: Vec<Boxed> = (0..n).map(|i| boxed(i, yields)).collect();
            let mut group = stream::iter(tasks).buffer_unordered(LIMIT);
            while let Some(outcome) = group.next().await {
                outcome.unwrap();
            }
        });
    }

    pub(crate) fn fb(n: usize, yields: usize) {
        block_on(async {
            let tasks: Vec<Boxed> = (0..n).map(|i| boxed(i, yields)).collect();
            let group = stream::iter(tasks).buffered_unordered(LIMIT);
            pin_mut!(group);
            while let Some(outcome) = group.next().await {
                outcome.unwrap();
            }
        });
    }
}

/// A limit, with a task made whenever there is room for one.
pub(crate) mod fed {
    use super::*;

    pub(crate) fn errgroup(n: usize, yields: usize) {
        block_on(async {
            let mut group = Group::new().limit(LIMIT);
            for i in 0..n {
                assert!(group.ready().await);
                group.spawn(task(i, yields));
            }
            group.await.unwrap();
        });
    }

    pub(crate) fn fu(n: usize, yields: usize) {
        block_on(async {
            let tasks = stream::iter(0..n).map(|i| boxed(i, yields));
            let mut group = tasks.buffer_unordered(LIMIT);
            while let Some(outcome) = group.next().await {
                outcome.unwrap();
            }
        });
    }

    pub(crate) fn fb(n: usize, yields: usize) {
        block_on(async {
            let tasks = stream::iter(0..n).map(|i| boxed(i, yields));
            let group = tasks.buffered_unordered(LIMIT);
            pin_mut!(group);
            while let Some(outcome) = group.next().await {
                outcome.unwrap();
            }
        });
    }
}

/// Groups of `M` tasks that wait for something; a unit is a task. What it costs to start it, to
/// drop it, or to wake it, which ends it.
pub(crate) mod idle {
    use super::*;

    pub(crate) const START: usize = 0;
    pub(crate) const DROP: usize = 1;
    pub(crate) const WAKE: usize = 2;

    type Ends = (Vec<oneshot::Sender<()>>, Vec<oneshot::Receiver<()>>);

    fn ends(tasks: usize) -> Ends {
        (0..tasks).map(|_| oneshot::channel()).unzip()
    }

    async fn wait(end: oneshot::Receiver<()>) -> Outcome {
        end.await.map_err(|_| ())
    }

    pub(crate) fn errgroup<const M: usize>(n: usize, what: usize) {
        block_on(async {
            for _ in 0..n / M {
                let (senders, receivers) = ends(M);
                let mut group = Group::new();
                for receiver in receivers {
                    group.spawn(wait(receiver));
                }
                rest(&mut group);
                match what {
                    DROP => {
                        drop(group);
                        forget(senders);
                    }
                    WAKE => {
                        for sender in senders {
                            sender.send(()).unwrap();
                            let _ = poll!(&mut group);
                        }
                    }
                    _ => forget((group, senders)),
                }
            }
        });
    }

    pub(crate) fn fu<const M: usize>(n: usize, what: usize) {
        block_on(async {
            for _ in 0..n / M {
                let (senders, receivers) = ends(M);
                let mut group = Unordered::new();
                for receiver in receivers {
                    group.push(Box::pin(wait(receiver)));
                }
                rest(&mut group.next());
                match what {
                    DROP => {
                        drop(group);
                        forget(senders);
                    }
                    WAKE => {
                        for sender in senders {
                            sender.send(()).unwrap();
                            let _ = poll!(group.next());
                        }
                    }
                    _ => forget((group, senders)),
                }
            }
        });
    }

    pub(crate) fn fb<const M: usize>(n: usize, what: usize) {
        block_on(async {
            for _ in 0..n / M {
                let (senders, receivers) = ends(M);
                let mut group = Buffered::new();
                for receiver in receivers {
                    group.push(Box::pin(wait(receiver)));
                }
                rest(&mut group.next());
                match what {
                    DROP => {
                        drop(group);
                        forget(senders);
                    }
                    WAKE => {
                        for sender in senders {
                            sender.send(()).unwrap();
                            let _ = poll!(group.next());
                        }
                    }
                    _ => forget((group, senders)),
                }
            }
        });
    }
}

/// One task that comes and goes, beside so many that never do anything.
pub(crate) mod churn {
    use super::*;

    const YIELDS: usize = 1;

    pub(crate) fn errgroup(n: usize, idle: usize) {
        block_on(async {
            let mut group = Group::new();
            for _ in 0..idle {
                group.spawn(pending());
            }
            rest(&mut group);
            for i in 0..n {
                group.spawn(task(i, YIELDS));
                for _ in 0..=YIELDS {
                    let _ = poll!(&mut group);
                }
            }
        });
    }

    pub(crate) fn fu(n: usize, idle: usize) {
        block_on(async {
            let mut group = Unordered::new();
            for _ in 0..idle {
                group.push(Box::pin(pending()));
            }
            rest(&mut group.next());
            for i in 0..n {
                group.push(boxed(i, YIELDS));
                for _ in 0..=YIELDS {
                    let _ = poll!(group.next());
                }
            }
        });
    }

    pub(crate) fn fb(n: usize, idle: usize) {
        block_on(async {
            let mut group = Buffered::new();
            for _ in 0..idle {
                group.push(Box::pin(pending()));
            }
            rest(&mut group.next());
            for i in 0..n {
                group.push(boxed(i, YIELDS));
                for _ in 0..=YIELDS {
                    let _ = poll!(group.next());
                }
            }
        });
    }
}

/// Three tasks that never end, one of which is woken: it runs, and sleeps again.
pub(crate) mod wake {
    use super::*;

    fn bells() -> [Bell; 3] {
        Default::default()
    }

    pub(crate) fn errgroup(n: usize, _: usize) {
        block_on(async {
            let bells = bells();
            let mut group = Group::new();
            for bell in &bells {
                group.spawn(bell.answer());
            }
            rest(&mut group);
            for i in 0..n {
                bells[i % bells.len()].ring();
                let _ = poll!(&mut group);
            }
        });
    }

    pub(crate) fn fu(n: usize, _: usize) {
        block_on(async {
            let bells = bells();
            let mut group = Unordered::new();
            for bell in &bells {
                group.push(Box::pin(bell.answer()));
            }
            rest(&mut group.next());
            for i in 0..n {
                bells[i % bells.len()].ring();
                let _ = poll!(group.next());
            }
        });
    }

    pub(crate) fn fb(n: usize, _: usize) {
        block_on(async {
            let bells = bells();
            let mut group = Buffered::new();
            for bell in &bells {
                group.push(Box::pin(bell.answer()));
            }
            rest(&mut group.next());
            for i in 0..n {
                bells[i % bells.len()].ring();
                let _ = poll!(group.next());
            }
        });
    }
}
