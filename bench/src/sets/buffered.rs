//! futures-buffered's `FuturesUnordered` of boxed futures, and its `try_join_all`.

use std::future::Future;

use futures::poll;
use futures::stream::StreamExt;
use futures_buffered::{FuturesUnordered, try_join_all};

use super::{Outcomes, Run, Set, Who};
use crate::tasks::{Boxed, Outcome};

pub(crate) struct Buffered(FuturesUnordered<Boxed>);

impl Who for Buffered {
    const NAME: &'static str = "futures-buffered";
}

impl Set for Buffered {
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

impl Outcomes for Buffered {
    async fn next(&mut self) -> Option<Outcome> {
        self.0.next().await
    }
}

pub(crate) struct BufferedJoin;

impl Who for BufferedJoin {
    const NAME: &'static str = "futures-buffered try_join_all";
}

impl Run for BufferedJoin {
    async fn run<I>(tasks: I) -> Outcome
    where
        I: Iterator + Send,
        I::Item: Future<Output = Outcome> + Send + 'static,
    {
        // It asks for the exact number beforehand.
        let tasks: Vec<Boxed> = tasks.map(|task| -> Boxed { Box::pin(task) }).collect();
        try_join_all(tasks).await.map(drop)
    }
}
