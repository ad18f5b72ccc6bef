//! futures-buffered's `FuturesUnordered` of boxed futures, and its `try_join_all`.

use std::future::Future;

use futures_buffered::{FuturesUnordered, try_join_all};

use super::stream::{Peer, Streamed};
use super::{Run, Who};
use crate::tasks::{Boxed, Outcome};

pub(crate) type Buffered = Streamed<FuturesUnordered<Boxed>>;

impl Peer for FuturesUnordered<Boxed> {
    const NAME: &'static str = "futures-buffered";

    fn new() -> Self {
        FuturesUnordered::new()
    }

    fn push(&mut self, task: Boxed) {
        FuturesUnordered::push(self, task);
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
