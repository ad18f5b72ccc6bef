//! `FuturesUnordered` of boxed futures, and `try_join_all`.

use std::future::Future;

use futures::future::try_join_all;
use futures::stream::FuturesUnordered;

use super::stream::{Peer, Streamed};
use super::{Run, Who};
use crate::tasks::{Boxed, Outcome};

pub(crate) type Unordered = Streamed<FuturesUnordered<Boxed>>;

impl Peer for FuturesUnordered<Boxed> {
    const NAME: &'static str = "FuturesUnordered";

    fn new() -> Self {
        FuturesUnordered::new()
    }

    fn push(&mut self, task: Boxed) {
        FuturesUnordered::push(self, task);
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
