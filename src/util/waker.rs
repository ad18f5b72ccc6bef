//! A place for one waker.

use core::task::Waker;

use crate::util::sync::Lock;

/// A place for the waker of whoever waits. Unlike with an `AtomicWaker`, no code of the user (the
/// `clone`, `wake` and `drop` of a waker) runs while it is in between two states: one that panics
/// leaves it as it was, and good for the next.
#[derive(Default)]
pub(crate) struct WakerCell(Lock<Option<Waker>>);

impl WakerCell {
    /// Leaves `waker` here. To find out first whether it is here already would cost as much.
    pub(crate) fn register(&self, waker: &Waker) {
        let waker = waker.clone();
        let old = self.0.with(|place| place.replace(waker));
        drop(old);
    }

    pub(crate) fn take(&self) -> Option<Waker> {
        self.0.with(Option::take)
    }

    /// Wakes whoever is here.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.take() {
            waker.wake();
        }
    }
}
