//! The one waker behind which all wakers of a group stand: that of the task that polls it.

use alloc::task::Wake;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use futures::task::AtomicWaker;

use crate::sync::Arc;
use crate::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use crate::sync::atomic::{AtomicBool, AtomicUsize};

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

    /// Takes [`park`](Parent::park) back, unless something happened since.
    pub(crate) fn unpark(&self) {
        let _ = self.state.compare_exchange(PARKED, AWAKE, Relaxed, Relaxed);
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

/// Lets a future be polled when it was woken, and not whenever its parent is.
pub(crate) struct Latch {
    woken: AtomicBool,
    parent: AtomicWaker,
}

impl Latch {
    pub(crate) fn new() -> Self {
        Latch {
            woken: AtomicBool::new(true),
            parent: AtomicWaker::new(),
        }
    }

    /// Polls `future` if it was woken.
    pub(crate) fn poll<Fut: Future>(
        self: &Arc<Self>,
        future: Pin<&mut Fut>,
        cx: &mut Context<'_>,
    ) -> Poll<Fut::Output> {
        // Before the look at `woken`: a wake that comes after it finds this waker.
        self.parent.register(cx.waker());
        if !self.woken.swap(false, AcqRel) {
            return Poll::Pending;
        }
        let waker = Waker::from(self.clone());
        future.poll(&mut Context::from_waker(&waker))
    }
}

impl Wake for Latch {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Release: the poll that finds it set sees what was done before the wake.
        if !self.woken.swap(true, AcqRel) {
            self.parent.wake();
        }
    }
}
