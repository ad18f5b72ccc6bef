//! `FuturesUnordered` of boxed futures, and `try_join_all`.

use std::future::Future;

use futures::future::try_join_all;
use futures::poll;
use futures::stream::{FuturesUnordered, StreamExt};

use super::{Outcomes, Run, Set, Who};
use crate::tasks::{Boxed, Outcome};

pub(crate) struct Unordered(FuturesUnordered<Boxed>);

impl Who for Unordered {
    const NAME: &'static str = "FuturesUnordered";
}

impl Set for Unordered {
    fn new() -> Self {
        Self(FuturesUnordered::new())
    }

    fn add(&mut self, task: impl Future<Output = Outcome> + Send + 'static) {
        self.0.push(Box::pin(task));
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

impl Outcomes for Unordered {
    async fn next(&mut self) -> Option<Outcome> {
        self.0.next().await
    }
}

/// Up to 30 tasks it polls all of them at each wake. For more it has a `FuturesOrdered`.
pub(crate) struct JoinAll;

impl Who for JoinAll {
    const NAME: &'static str = "try_join_all";
}

impl Run for JoinAll {
    async fn run<I>(tasks: I) -> Outcome
    where
        I: Iterator + Send,
        I::Item: Future<Output = Outcome> + Send + 'static,
    {
        let tasks = tasks.map(|task| -> Boxed { Box::pin(task) });
        try_join_all(tasks).await.map(drop)
    }
}
