//! Wakers that wait for something, as contexts and semaphores keep them.
//!
//! A waker is code of the user: its `clone`, `wake` and `drop` may take locks, call back into
//! this crate, or panic. So none of them runs while one of our locks is held. Wakers are cloned
//! before locking, and the ones that leave a list leave the lock with it. Only `will_wake`, which
//! compares two pointers, is called inside.

use alloc::collections::VecDeque;
use core::task::Waker;

use crate::util::list::List;

/// A list of those who wait, in the order in which they came; plain data, kept behind a lock.
pub(crate) type Waiters<D = ()> = List<Waiter<D>>;

pub(crate) struct Waiter<D> {
    /// `None` if it was woken and has not been polled since.
    pub(crate) waker: Option<Waker>,
    pub(crate) data: D,
}

/// What has to be done with a waker, and must not be done under a lock.
pub(crate) enum Errand {
    Wake(Waker),
    Drop(Waker),
}

impl Errand {
    pub(crate) fn run(self) {
        match self {
            Errand::Wake(waker) => waker.wake(),
            Errand::Drop(waker) => drop(waker),
        }
    }
}

/// First come, first run. One alone costs no allocation.
pub(crate) struct Errands {
    first: Option<Errand>,
    /// Empty if there is no `first`, and then it has room for at most `KEPT`.
    more: VecDeque<Errand>,
}

/// The most errands for which an empty queue keeps room.
const KEPT: usize = 32;

impl Errands {
    pub(crate) const fn new() -> Self {
        Errands {
            first: None,
            more: VecDeque::new(),
        }
    }

    pub(crate) fn push(&mut self, errand: Errand) {
        if self.first.is_none() {
            self.first = Some(errand);
        } else {
            self.more.push_back(errand);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Errand> {
        let errand = self.first.take();
        if !self.more.is_empty() {
            self.first = self.more.pop_front();
        } else if self.more.capacity() > KEPT {
            self.more = VecDeque::new();
        }
        errand
    }
}
