//! What makes a group graceful: its context, and the grace.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::context::{CancelContext, Cancelling};
use crate::error::{BoxError, CancelKind, Cancelled};
use crate::group::trace;
use crate::util::panic::Sequence;

/// The context of a graceful group.
pub(crate) struct Graceful<E, F> {
    context: CancelContext,
    /// Polls the context; gone once it is known to be cancelled.
    watch: Option<Cancelling>,
    /// Why the context was cancelled, unless because the group was over.
    reason: Option<Cancelled>,
    grace: Option<Grace<E, F>>,
    group: trace::Group,
}

/// How long running tasks are waited for after the cancellation.
pub(crate) struct Grace<E, F> {
    pub(crate) future: F,
    /// Makes the error of a task that is dropped when the grace is over.
    pub(crate) convert: fn(Cancelled) -> E,
}

/// That the grace is over: the error for each task that is dropped.
pub(crate) struct Over<E> {
    reason: Cancelled,
    convert: fn(Cancelled) -> E,
}

impl<E> Over<E> {
    pub(crate) fn reason(&self) -> &Cancelled {
        &self.reason
    }

    pub(crate) fn error(&self) -> E {
        (self.convert)(self.reason.clone())
    }
}

impl<E, F: Future + Unpin> Graceful<E, F> {
    pub(crate) fn new(
        context: CancelContext,
        grace: Option<Grace<E, F>>,
        group: trace::Group,
    ) -> Self {
        Graceful {
            watch: Some(context.cancelled()),
            context,
            reason: None,
            grace,
            group,
        }
    }

    /// Polls the context, and once it is cancelled, the grace. It gets the waker of the parent
    /// itself, so that a grace that wakes itself is polled once in a poll of the group.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Over<E>> {
        if let Some(watch) = &mut self.watch {
            if let Poll::Ready(reason) = Pin::new(watch).poll(cx) {
                self.watch = None;
                self.note(reason);
            }
        }
        let reason = self.reason.as_ref()?;
        // Taken out, because one that panics must not be polled again.
        let mut grace = self.grace.take()?;
        if Pin::new(&mut grace.future).poll(cx).is_ready() {
            Some(Over {
                reason: reason.clone(),
                convert: grace.convert,
            })
        } else {
            self.grace = Some(grace);
            None
        }
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
    pub(crate) fn cancel(&mut self, kind: CancelKind, cause: Option<BoxError>) {
        // Dropped first: the group knows, and need not be woken for it.
        if self.watch.take().is_none() {
            return;
        }
        let mut sequence = Sequence::default();
        sequence.run(|| _ = self.context.cancel_as(kind, cause));
        if let Some(reason) = self.context.reason() {
            self.note(reason);
        }
        sequence.finish();
    }

    fn note(&mut self, reason: Cancelled) {
        self.group.cancelled(&reason);
        if reason.kind() != CancelKind::Finished {
            self.reason = Some(reason);
        }
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
            LazyProjection::Running { future } => future.poll(cx).map(drop),
        }
    }
}
