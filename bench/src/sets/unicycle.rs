//! unicycle's `FuturesUnordered` of boxed futures.

use std::future::Future;

use futures::poll;
use unicycle::FuturesUnordered;

use super::{Outcomes, Set, Who};
use crate::tasks::{Boxed, Outcome};

pub(crate) struct Unicycle(FuturesUnordered<Boxed>);

impl Who for Unicycle {
    const NAME: &'static str = "unicycle";
}

impl Set for Unicycle {
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

impl Outcomes for Unicycle {
    async fn next(&mut self) -> Option<Outcome> {
        self.0.next().await
    }
}
