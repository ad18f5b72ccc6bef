//! futures-concurrency's `FutureGroup` of boxed futures, and its `try_join` of a vector.

use std::future::Future;

use futures::poll;
use futures::stream::StreamExt;
use futures_concurrency::future::{FutureGroup, TryJoin};

use super::{Outcomes, Run, Set, Who};
use crate::tasks::{Boxed, Outcome};

pub(crate) struct ConcurrencyGroup(FutureGroup<Boxed>);

impl Who for ConcurrencyGroup {
    const NAME: &'static str = "futures-concurrency";
}

impl Set for ConcurrencyGroup {
    fn new() -> Self {
        Self(FutureGroup::new())
    }

    fn add(&mut self, task: impl Future<Output = Outcome> + Send + 'static) {
        self.0.insert(Box::pin(task));
    }

    async fn turn(&mut self) {
        let _ = poll!(self.0.next());
    }

    async fn finish(mut self) -> Outcome {
        while let Some(outcome) = self.0.next().await {
            outcome?;
        }
        Ok(())
    }
}

impl Outcomes for ConcurrencyGroup {
    async fn next(&mut self) -> Option<Outcome> {
        self.0.next().await
    }
}

pub(crate) struct ConcurrencyJoin;

impl Who for ConcurrencyJoin {
    const NAME: &'static str = "futures-concurrency try_join";
}

impl Run for ConcurrencyJoin {
    async fn run<I>(tasks: I) -> Outcome
    where
        I: Iterator + Send,
        I::Item: Future<Output = Outcome> + Send + 'static,
    {
        let tasks: Vec<Boxed> = tasks.map(|task| -> Boxed { Box::pin(task) }).collect();
        tasks.try_join().await.map(drop)
    }
}
