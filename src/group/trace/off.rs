//! Without the feature `tracing`: nothing.

use crate::error::Cancelled;
use crate::group::tally::Tally;
use crate::util::sync::Arc;

#[derive(Clone, Copy)]
pub(crate) struct Group;

impl Group {
    pub(crate) fn new() -> Self {
        Group
    }

    pub(crate) fn spawned(self, _index: usize) {}

    pub(crate) fn cancelled(self, _reason: &Cancelled) {}

    pub(crate) fn grace_over(self) {}
}

pub(crate) type Task<Fut> = Fut;

pub(crate) fn task<Fut>(future: Fut, _group: Group, _tally: &Arc<Tally>) -> Fut {
    future
}

pub(crate) fn enter<Fut>(_task: &mut Fut, _index: usize) {}

pub(crate) fn inner<Fut>(task: &mut Fut) -> &mut Fut {
    task
}

pub(crate) fn into_inner<Fut>(task: Fut) -> Fut {
    task
}
