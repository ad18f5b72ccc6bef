//! A future that is polled beside the tasks of a group.

use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use crate::engine::parker::{Parker, WokenFlag};
use crate::util::sync::Arc;

/// Polls a future when it was woken, and not whenever a task was.
pub(crate) struct Beside<S> {
    flag: Arc<WokenFlag<S>>,
    waker: Waker,
}

impl<S: Send + Sync + 'static> Beside<S> {
    pub(crate) fn new(parker: Arc<Parker<S>>) -> Self {
        let flag = Arc::new(WokenFlag::new(parker));
        Beside {
            waker: Waker::from(flag.clone()),
            flag,
        }
    }

    pub(crate) fn poll<Fut: Future>(&self, future: Pin<&mut Fut>) -> Poll<Fut::Output> {
        if !self.flag.take() {
            return Poll::Pending;
        }
        let unwinding = Unwinding(&self.waker);
        let poll = future.poll(&mut Context::from_waker(&self.waker));
        mem::forget(unwinding);
        poll
    }

    pub(crate) fn is_woken(&self) -> bool {
        self.flag.is_set()
    }
}

/// A future is being polled. If it panics, its next turn is not to wait for a wake of which nobody
/// knows.
struct Unwinding<'a>(&'a Waker);

impl Drop for Unwinding<'_> {
    fn drop(&mut self) {
        self.0.wake_by_ref();
    }
}

/// What a group may be driven together with.
pub(crate) trait Companion {
    /// Polls it if it was woken.
    fn poll(&mut self) -> Poll<()>;

    fn is_woken(&self) -> bool;
}

/// Nothing.
pub(crate) struct Alone;

impl Companion for Alone {
    fn poll(&mut self) -> Poll<()> {
        Poll::Pending
    }

    fn is_woken(&self) -> bool {
        false
    }
}

/// A future in one poll, which ends when it is ready. Its output is kept here.
pub(crate) struct Driven<'a, Fut: Future, S> {
    future: Pin<&'a mut Fut>,
    beside: &'a Beside<S>,
    pub(crate) output: Option<Fut::Output>,
}

impl<'a, Fut: Future, S> Driven<'a, Fut, S> {
    pub(crate) fn new(future: Pin<&'a mut Fut>, beside: &'a Beside<S>) -> Self {
        Driven {
            future,
            beside,
            output: None,
        }
    }
}

impl<Fut: Future, S: Send + Sync + 'static> Companion for Driven<'_, Fut, S> {
    fn poll(&mut self) -> Poll<()> {
        let poll = self.beside.poll(self.future.as_mut());
        poll.map(|output| self.output = Some(output))
    }

    fn is_woken(&self) -> bool {
        self.beside.is_woken()
    }
}
