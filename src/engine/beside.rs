//! What is polled beside the tasks of a group: a future that drives it, the body of a scope.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use crate::engine::parker::Latch;
use crate::util::sync::Arc;

/// A future that is polled beside the tasks of a group.
pub(crate) trait Beside<E> {
    /// Polls it if it was woken, but once in a poll of the group.
    fn poll(&mut self) -> Turn<E>;

    /// Whether it was woken again.
    fn is_woken(&self) -> bool;

    /// Whether it is the body of a scope, and has not ended.
    fn is_body(&self) -> bool {
        false
    }

    /// Drops it.
    fn cut(&mut self) {}
}

/// What came of it.
pub(crate) enum Turn<E> {
    Pending,
    /// It is ready, and the group is to be left.
    Ready,
    /// It was the body of a scope, and it has ended, perhaps with an error: the group is driven
    /// to its end.
    Ended(Option<E>),
}

/// Nothing.
pub(crate) struct Alone;

impl<E> Beside<E> for Alone {
    fn poll(&mut self) -> Turn<E> {
        Turn::Pending
    }

    fn is_woken(&self) -> bool {
        false
    }
}

/// A future that is polled when it was woken, and not whenever its parent is.
pub(crate) struct Companion<'a, Fut> {
    /// `None` when it has ended.
    future: Pin<&'a mut Option<Fut>>,
    latch: Arc<Latch>,
    waker: Waker,
    /// It was polled in this poll of the group.
    polled: bool,
}

impl<'a, Fut: Future> Companion<'a, Fut> {
    pub(crate) fn new(future: Pin<&'a mut Option<Fut>>, latch: Arc<Latch>) -> Self {
        Companion {
            future,
            waker: Waker::from(latch.clone()),
            latch,
            polled: false,
        }
    }

    fn poll(&mut self) -> Poll<Fut::Output> {
        let Some(future) = self.future.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        if self.polled || !self.latch.take() {
            return Poll::Pending;
        }
        self.polled = true;
        let poll = future.poll(&mut Context::from_waker(&self.waker));
        if poll.is_ready() {
            self.future.set(None);
        }
        poll
    }

    fn is_woken(&self) -> bool {
        self.future.is_some() && self.latch.is_woken()
    }
}

/// What a group is driven together with.
pub(crate) struct Driven<'a, Fut: Future> {
    companion: Companion<'a, Fut>,
    output: Option<Fut::Output>,
}

impl<'a, Fut: Future> Driven<'a, Fut> {
    pub(crate) fn new(companion: Companion<'a, Fut>) -> Self {
        Driven {
            companion,
            output: None,
        }
    }

    /// For a new poll of the group.
    pub(crate) fn renew(&mut self) {
        self.companion.polled = false;
    }

    pub(crate) fn take(&mut self) -> Option<Fut::Output> {
        self.output.take()
    }
}

impl<E, Fut: Future> Beside<E> for Driven<'_, Fut> {
    fn poll(&mut self) -> Turn<E> {
        match self.companion.poll() {
            Poll::Pending => Turn::Pending,
            Poll::Ready(output) => {
                self.output = Some(output);
                Turn::Ready
            }
        }
    }

    fn is_woken(&self) -> bool {
        self.companion.is_woken()
    }
}

/// The body of a scope.
pub(crate) struct Body<'a, R, Fut> {
    companion: Companion<'a, Fut>,
    value: Option<R>,
}

impl<'a, R, Fut: Future> Body<'a, R, Fut> {
    pub(crate) fn new(companion: Companion<'a, Fut>) -> Self {
        Body {
            companion,
            value: None,
        }
    }

    /// For a new poll of the group.
    pub(crate) fn renew(&mut self) {
        self.companion.polled = false;
    }

    pub(crate) fn take(&mut self) -> Option<R> {
        self.value.take()
    }
}

impl<R, E, Fut> Beside<E> for Body<'_, R, Fut>
where
    Fut: Future<Output = Result<R, E>>,
{
    fn poll(&mut self) -> Turn<E> {
        match self.companion.poll() {
            Poll::Pending => Turn::Pending,
            Poll::Ready(Ok(value)) => {
                self.value = Some(value);
                Turn::Ended(None)
            }
            Poll::Ready(Err(error)) => Turn::Ended(Some(error)),
        }
    }

    fn is_woken(&self) -> bool {
        self.companion.is_woken()
    }

    fn is_body(&self) -> bool {
        self.companion.future.is_some()
    }

    fn cut(&mut self) {
        self.companion.future.set(None);
    }
}
