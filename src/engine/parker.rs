//! The one waker behind which all wakers of a group stand: that of the task that polls it.

use alloc::task::Wake;
use core::task::Waker;

use crate::util::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use crate::util::sync::atomic::{AtomicBool, AtomicUsize};
use crate::util::sync::{Arc, AtomicWaker};

/// Whoever has the group is running, or will come back without being woken.
const AWAKE: usize = 0;
/// The same, and something happened since it last looked.
const NOTIFIED: usize = 1;
/// The group returned `Pending`, and its parent waits for `waker`.
const PARKED: usize = 2;

/// Wakes the parent of a group: exactly once when it is parked, never while it is awake.
///
/// # Invariants
///
/// 1. Only the owner of the group writes `AWAKE` and `PARKED`; anybody writes `NOTIFIED`.
/// 2. What was done before [`wake`](Parent::wake) is seen after the call of
///    [`enter`](Parent::enter) that returns true for it: both are read-modify-writes of one cell,
///    so the later one reads from the earlier, and the pair is a release and an acquire.
/// 3. `PARKED` is only reached from `AWAKE`. A `wake` after the last `enter` has put `NOTIFIED`
///    there, and then [`park`](Parent::park) fails: no wake falls between the last look and the
///    return of `Pending`.
pub(crate) struct Parent {
    state: AtomicUsize,
    waker: AtomicWaker,
}

impl Parent {
    pub(crate) fn new() -> Self {
        Parent {
            state: AtomicUsize::new(AWAKE),
            waker: AtomicWaker::new(),
        }
    }

    /// Tells the owner that something happened; may be called from anywhere.
    pub(crate) fn wake(&self) {
        if self.state.swap(NOTIFIED, AcqRel) == PARKED {
            self.waker.wake();
        }
    }

    /// Like [`wake`](Parent::wake), by the owner itself: it sees what it does, so that there is
    /// nothing to tell while it is awake.
    pub(crate) fn wake_if_parked(&self) {
        if self.state.load(Relaxed) == PARKED {
            self.wake();
        }
    }

    /// Starts or goes on with a poll; true if something happened since the last time.
    pub(crate) fn enter(&self) -> bool {
        self.state.swap(AWAKE, AcqRel) == NOTIFIED
    }

    /// Ends a poll that is to return `Pending`. False if something happened meanwhile: then the
    /// poll has to go on.
    pub(crate) fn park(&self, waker: &Waker) -> bool {
        self.waker.register(waker);
        self.state
            .compare_exchange(AWAKE, PARKED, AcqRel, Acquire)
            .is_ok()
    }

    /// The waker that was registered last, if there is one.
    pub(crate) fn take_waker(&self) -> Option<Waker> {
        self.waker.take()
    }
}

impl Wake for Parent {
    fn wake(self: Arc<Self>) {
        Parent::wake(&self);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        Parent::wake(self);
    }
}

/// Lets a future be polled beside the tasks of a group: once in a poll of the group, and only if
/// it was woken.
pub(crate) struct Latch {
    woken: AtomicBool,
    parent: Arc<Parent>,
}

impl Latch {
    pub(crate) fn new(parent: Arc<Parent>) -> Self {
        Latch {
            woken: AtomicBool::new(true),
            parent,
        }
    }

    pub(crate) fn is_woken(&self) -> bool {
        self.woken.load(Relaxed)
    }

    pub(crate) fn take(&self) -> bool {
        // Acquire: pairs with the release of the waker, as for the word of a chunk.
        self.woken.load(Relaxed) && self.woken.swap(false, Acquire)
    }
}

impl Wake for Latch {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, AcqRel) {
            Parent::wake(&self.parent);
        }
    }
}
