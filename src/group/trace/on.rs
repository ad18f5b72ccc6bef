//! Feature `tracing`: a span around every task, and events of what becomes of it. The other half
//! is `off.rs`, where there is nothing.
//!
//! Every task that was taken tells its story in events: *spawned*, then *started*, unless it never
//! was, then exactly one of *finished*, *failed* (it returned an error, or has panicked) and
//! *dropped*. All but the first are in its span, in which it is also polled and dropped.
//!
//! A subscriber is code of the user, so nothing here runs under a lock but `enter`, which only
//! stores a number.

use core::future::Future;
use core::pin::Pin;
// Not those of `sync`: loom's cannot be made at compile time.
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::task::{Context, Poll};

use pin_project_lite::pin_project;
use tracing::field::display;
use tracing::{Span, debug, info_span};

use crate::error::{CancelKind, Cancelled};
use crate::group::tally::{Silence, Tally};
use crate::util::sync::Arc;

/// The number of a group, for its spans and events.
#[derive(Clone, Copy)]
pub(crate) struct Group(usize);

impl Group {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Group(NEXT.fetch_add(1, Relaxed))
    }

    pub(crate) fn spawned(self, index: usize) {
        debug!(target: "errgroup", group = self.0, index, "spawned");
    }

    /// The group's context was cancelled. That it is when the group is over, is no news.
    pub(crate) fn cancelled(self, reason: &Cancelled) {
        if reason.kind() != CancelKind::Finished {
            let cause = reason.cause().map(display);
            debug!(target: "errgroup", group = self.0, %reason, cause, "cancelled");
        }
    }

    pub(crate) fn grace_over(self) {
        debug!(target: "errgroup", group = self.0, "grace over");
    }
}

pin_project! {
    /// A task in its span.
    pub struct Task<Fut> {
        // `None` if it was given back.
        #[pin]
        future: Option<Fut>,
        group: Group,
        tally: Arc<Tally>,
        // From when it is taken.
        index: Option<usize>,
        // From the first poll; if there was none, from the drop.
        span: Option<Span>,
        stage: Stage,
    }

    impl<Fut> PinnedDrop for Task<Fut> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let Some(index) = this.index.filter(|_| this.future.is_some()) else {
                return; // Nobody was told of it.
            };
            let new = || span(*this.group, this.tally, index);
            let span = this.span.get_or_insert_with(new);
            let _entered = span.enter();
            match this.stage {
                Stage::Waiting => debug!(target: "errgroup", "dropped"),
                Stage::Polling => debug!(target: "errgroup", "failed"),
                Stage::Ended => {}
            }
            this.future.set(None);
        }
    }
}

enum Stage {
    /// To be polled, or to be dropped.
    Waiting,
    /// Being polled; it stays so if that panics.
    Polling,
    Ended,
}

pub(crate) fn task<Fut>(future: Fut, group: Group, tally: &Arc<Tally>) -> Task<Fut> {
    Task {
        future: Some(future),
        group,
        tally: tally.clone(),
        index: None,
        span: None,
        stage: Stage::Waiting,
    }
}

pub(crate) fn enter<Fut>(task: &mut Task<Fut>, index: usize) {
    task.index = Some(index);
}

pub(crate) fn inner<Fut>(task: &mut Task<Fut>) -> &mut Fut {
    task.future
        .as_mut()
        .expect("a task has its future until it is given back")
}

pub(crate) fn into_inner<Fut>(mut task: Task<Fut>) -> Fut {
    let future = task.future.take();
    future.expect("a task has its future until it is given back")
}

impl<T, E, Fut> Future for Task<Fut>
where
    Fut: Future<Output = Result<T, E>>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (Some(future), Some(index)) = (this.future.as_pin_mut(), *this.index) else {
            return Poll::Pending;
        };
        let new = this.span.is_none();
        let span = this
            .span
            .get_or_insert_with(|| span(*this.group, this.tally, index));
        let _entered = span.enter();
        if new {
            debug!(target: "errgroup", "started");
        }
        *this.stage = Stage::Polling;
        let poll = future.poll(cx);
        // A future that is ready is dropped with the task, by the group: if its destructor
        // panics, the outcome must not be lost.
        *this.stage = match &poll {
            Poll::Pending => Stage::Waiting,
            Poll::Ready(_) => Stage::Ended,
        };
        match &poll {
            Poll::Pending => {}
            Poll::Ready(Err(_)) => debug!(target: "errgroup", "failed"),
            Poll::Ready(Ok(_)) if this.tally.is_silent(Silence::Aborted) => {
                debug!(target: "errgroup", "dropped");
            }
            Poll::Ready(Ok(_)) => debug!(target: "errgroup", "finished"),
        }
        poll
    }
}

fn span(Group(group): Group, tally: &Tally, index: usize) -> Span {
    // The name is looked up only if somebody wants to have the span.
    info_span!(
        target: "errgroup",
        "errgroup.task",
        group,
        index,
        name = tally.name(index).as_deref(),
    )
}
