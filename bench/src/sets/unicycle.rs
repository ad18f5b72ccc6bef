//! unicycle's `FuturesUnordered` of boxed futures.

use unicycle::FuturesUnordered;

use super::stream::{Peer, Streamed};
use crate::tasks::Boxed;

pub(crate) type Unicycle = Streamed<FuturesUnordered<Boxed>>;

impl Peer for FuturesUnordered<Boxed> {
    const NAME: &'static str = "unicycle";

    fn new() -> Self {
        FuturesUnordered::new()
    }

    fn push(&mut self, task: Boxed) {
        FuturesUnordered::push(self, task);
    }
}
