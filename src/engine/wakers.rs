//! The wakers of slots, two in one allocation.

use alloc::task::Wake;
use core::task::Waker;

use futures::task::{ArcWake, waker};

use crate::util::sync::Arc;

/// What is told that the task in a slot was woken.
pub(super) trait Bell: Send + Sync + 'static {
    fn wake_slot(&self, bit: usize);
}

/// What was made for a slot.
pub(super) enum Wakers {
    /// None: its waker is the parker.
    OfParker,
    /// Its waker.
    One(Waker),
    /// Its waker and that of the next one.
    Both([Waker; 2]),
}

/// Makes the wakers of a slot and the next one.
///
/// A waker consists of a pointer to what is woken and of one to the functions that do it. So the same
/// `Arc` is a waker of the first slot with those of std's [`Wake`], and one of the second with those
/// of futures' [`ArcWake`]. It halves what the wakers of idle tasks cost.
pub(super) fn pair(bell: impl Bell, place: usize) -> Wakers {
    let bit = 1 << place;
    let both = Arc::new(Neighbours { bell, bit });
    Wakers::Both([Waker::from(both.clone()), waker(both)])
}

struct Neighbours<B> {
    bell: B,
    /// That of the first slot; that of the second is the next one.
    bit: usize,
}

impl<B: Bell> Wake for Neighbours<B> {
    fn wake(self: Arc<Self>) {
        Wake::wake_by_ref(&self);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.bell.wake_slot(self.bit);
    }
}

impl<B: Bell> ArcWake for Neighbours<B> {
    fn wake_by_ref(this: &Arc<Self>) {
        this.bell.wake_slot(this.bit << 1);
    }
}
