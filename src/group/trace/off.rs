//! Without the feature `tracing`: nothing.

use crate::error::Cancelled;
use crate::group::shared::Hub;
use crate::util::sync::Arc;

#[derive(Clone, Copy)]
pub(crate) struct Group;

impl Group {
    pub(crate) fn new() -> Self {
        Group
    }

    #[inline]
    pub(crate) fn spawned(self, _index: usize, wake: impl FnOnce()) {
        wake();
    }

    pub(crate) fn cancelled(self, _reason: &Cancelled) {}

    pub(crate) fn grace_over(self) {}
}

pub(crate) type Traced<Fut> = Fut;

pub(crate) fn traced<Fut>(future: Fut, _hub: &Arc<Hub>, _index: usize) -> Fut {
    future
}

pub(crate) fn untraced<Fut>(future: Fut) -> Fut {
    future
}
