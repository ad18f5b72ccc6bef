//! What makes a group graceful: its context, and the grace.

use alloc::collections::VecDeque;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::context::{CancelContext, Cancelling};
use crate::error::{BoxError, CancelKind, Cancelled};
use crate::group::trace;
use crate::util::panic::{Sequence, in_passing, sequence};

/// The context of a graceful group.
pub(crate) struct Graceful<E, F> {
    context: CancelContext,
    /// Polls the context; gone once it is known to be cancelled.
    watch: Option<Cancelling>,
    /// Why the context was cancelled, unless because the group was over.
    reason: Option<Cancelled>,
    grace: Option<Grace<E, F>>,
    /// The tasks that were dropped when the grace was over, and whose errors are still to be made.
    cut: VecDeque<usize>,
}

/// How long running tasks are waited for after the cancellation.
pub(crate) struct Grace<E, F> {
    /// `None` when it is over, or has panicked.
    future: Option<F>,
    /// Makes the error of a task that is dropped when the grace is over.
    convert: fn(Cancelled) -> E,
}

impl<E, F> Grace<E, F> {
    pub(crate) fn new(future: F, convert: fn(Cancelled) -> E) -> Self {
        Grace {
            future: Some(future),
            convert,
        }
    }
}

impl<E, F: Future + Unpin> Graceful<E, F> {
    pub(crate) fn new(context: CancelContext, grace: Option<Grace<E, F>>) -> Self {
        Graceful {
            watch: Some(context.cancelled()),
            context,
            reason: None,
            grace,
            cut: VecDeque::new(),
        }
    }

    /// Polls the context. True if it is cancelled, and there is a grace to poll.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, group: trace::Group) -> bool {
        if let Some(watch) = &mut self.watch {
            if let Poll::Ready(reason) = Pin::new(watch).poll(cx) {
                self.watch = None;
                self.note(reason, group);
            }
        }
        let has_grace = |grace: &Grace<_, _>| grace.future.is_some();
        self.reason.is_some() && self.grace.as_ref().is_some_and(has_grace)
    }

    /// Polls the grace. True when it is over. It gets the waker of the parent itself, so that a
    /// grace that wakes itself is polled once in a poll of the group.
    pub(crate) fn poll_grace(&mut self, cx: &mut Context<'_>, steps: &mut Sequence) -> bool {
        let Some(grace) = &mut self.grace else {
            return false;
        };
        // Taken out, because one that panics must not be polled again.
        let Some(mut future) = grace.future.take() else {
            return false;
        };
        let mut is_over = None;
        steps.run(|| is_over = Some(Pin::new(&mut future).poll(cx).is_ready()));
        if is_over == Some(false) {
            grace.future = Some(future);
        } else {
            steps.run(|| drop(future));
        }
        is_over == Some(true)
    }

    /// Whether nobody has cancelled the context yet.
    pub(crate) fn is_live(&self) -> bool {
        !self.context.is_cancelled()
    }

    /// Why the context was cancelled, unless because the group was over.
    pub(crate) fn reason(&self) -> Option<Cancelled> {
        self.reason.clone()
    }

    /// Cancels the context because of what happened in the group.
    pub(crate) fn cancel(
        &mut self,
        kind: CancelKind,
        cause: Option<BoxError>,
        group: trace::Group,
    ) {
        let Some(watch) = self.watch.take() else {
            return;
        };
        sequence(|steps| {
            // First: the group knows, and need not be woken for it.
            steps.run(|| drop(watch));
            steps.run(|| _ = self.context.cancel_as(kind, cause));
            if let Some(reason) = self.context.reason() {
                steps.run(|| self.note(reason, group));
            }
        });
    }

    fn note(&mut self, reason: Cancelled, group: trace::Group) {
        if reason.kind() != CancelKind::Finished {
            let reason = self.reason.insert(reason);
            group.cancelled(reason);
        }
    }

    /// These tasks were dropped because the grace was over.
    pub(crate) fn cut(&mut self, indices: impl IntoIterator<Item = usize>) {
        self.cut.extend(indices);
    }

    /// Whether there are errors of such tasks still to be made.
    pub(crate) fn has_cut(&self) -> bool {
        !self.cut.is_empty()
    }

    /// The failure was handed over; nobody wants the errors that came after it.
    pub(crate) fn forget_cut(&mut self) {
        self.cut.clear();
    }

    /// The error of the next task that was dropped because the grace was over. One whose making
    /// panics is still the next.
    pub(crate) fn next_cut(&mut self) -> Option<(usize, E)> {
        let index = *self.cut.front()?;
        let reason = self.reason.clone()?;
        let error = (self.grace.as_ref()?.convert)(reason);
        self.cut.pop_front();
        Some((index, error))
    }
}

pin_project! {
    /// A grace that is made when it is first polled.
    #[project = LazyProjection]
    pub enum Lazy<G, S> {
        Idle { make: Option<G> },
        Running { #[pin] future: S },
    }
}

impl<G, S> Lazy<G, S> {
    pub(crate) fn new(make: G) -> Self {
        Lazy::Idle { make: Some(make) }
    }
}

impl<G, S> Future for Lazy<G, S>
where
    G: FnOnce() -> S,
    S: Future,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let LazyProjection::Idle { make } = self.as_mut().project() {
            let make = make
                .take()
                .expect("a grace that panicked is not polled again");
            let future = make();
            self.set(Lazy::Running { future });
        }
        match self.project() {
            LazyProjection::Idle { .. } => unreachable!(),
            LazyProjection::Running { future } => future
                .poll(cx)
                .map(|output| in_passing(|steps| steps.run(|| drop(output)))),
        }
    }
}
