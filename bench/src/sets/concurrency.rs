//! futures-concurrency's `FutureGroup` of boxed futures, and its `try_join` of a vector.

use std::future::Future;

use futures_concurrency::future::{FutureGroup, TryJoin};

use super::stream::{Peer, Streamed};
use super::{Run, Who};
use crate::tasks::{Boxed, Outcome};

pub(crate) type ConcurrencyGroup = Streamed<FutureGroup<Boxed>>;

impl Peer for FutureGroup<Boxed> {
    const NAME: &'static str = "futures-concurrency";

    fn new() -> Self {
        FutureGroup::new()
    }

    fn push(&mut self, task: Boxed) {
        self.insert(task);
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
