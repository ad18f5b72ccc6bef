//! `ErrGroup`.

use std::future::Future;

use errgroup::ErrGroup;
use futures::poll;

use super::{Outcomes, Set, Who};
use crate::tasks::Outcome;

pub(crate) struct Errgroup(pub(crate) ErrGroup<'static, (), ()>);

impl Who for Errgroup {
    const NAME: &'static str = "errgroup";
}

impl Set for Errgroup {
    fn new() -> Self {
        Self(ErrGroup::new())
    }

    fn add(&mut self, task: impl Future<Output = Outcome> + Send + 'static) {
        self.0.spawn(task);
    }

    async fn turn(&mut self) {
        let _ = poll!(&mut self.0);
    }

    async fn finish(self) -> Outcome {
        self.0.await
    }
}

impl Outcomes for Errgroup {
    async fn next(&mut self) -> Option<Outcome> {
        self.0.next().await
    }
}
