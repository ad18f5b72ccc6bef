//! Sets of boxed futures that are a stream of the outcomes.

use std::future::Future;

use futures::poll;
use futures::stream::{Stream, StreamExt};

use super::{Outcomes, Set, Who};
use crate::tasks::{Boxed, Outcome};

/// A set of a peer, as it is.
pub(crate) trait Peer: Stream<Item = Outcome> + Unpin + Send + Sized + 'static {
    const NAME: &'static str;

    fn new() -> Self;

    fn push(&mut self, task: Boxed);
}

pub(crate) struct Streamed<P>(P);

impl<P: Peer> Who for Streamed<P> {
    const NAME: &'static str = P::NAME;
}

impl<P: Peer> Set for Streamed<P> {
    fn new() -> Self {
        Self(P::new())
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

impl<P: Peer> Outcomes for Streamed<P> {
    async fn next(&mut self) -> Option<Outcome> {
        self.0.next().await
    }
}
