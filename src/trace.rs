//! Feature `tracing`: a span around every task, and events of what becomes of it. The other half
//! is `trace_off.rs`, where there is nothing.
//!
//! A subscriber is code of the user, so nothing here runs under a lock but `enter`, which only
//! stores a number.

use core::fmt::Display;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use pin_project_lite::pin_project;
use tracing::field::{Empty, display};
use tracing::{Span, debug, info_span};

use crate::sync::Arc;
use crate::sync::atomic::AtomicUsize;
use crate::sync::atomic::Ordering::Relaxed;
use crate::tally::Tally;

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

    pub(crate) fn cancelled(self, reason: &impl Display) {
        debug!(target: "errgroup", group = self.0, reason = %reason, "cancelled");
    }

    pub(crate) fn grace_over(self) {
        debug!(target: "errgroup", group = self.0, "grace over");
    }
}

pin_project! {
    /// A task in its span.
    pub struct Task<Fut> {
        #[pin]
        future: Option<Fut>,
        group: Group,
        tally: Arc<Tally>,
        index: usize,
        // From the first poll.
        span: Option<Span>,
    }

    impl<Fut> PinnedDrop for Task<Fut> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_none() {
                return;
            }
            let Some(span) = this.span else { return };
            let _entered = span.enter();
            this.future.set(None);
            debug!(target: "errgroup", "dropped");
        }
    }
}

pub(crate) fn task<Fut>(future: Fut, group: Group, tally: &Arc<Tally>) -> Task<Fut> {
    Task {
        future: Some(future),
        group,
        tally: tally.clone(),
        index: 0,
        span: None,
    }
}

pub(crate) fn enter<Fut>(task: &mut Task<Fut>, index: usize) {
    task.index = index;
}

pub(crate) fn inner<Fut>(task: &mut Task<Fut>) -> &mut Fut {
    task.future
        .as_mut()
        .expect("a task has its future until it has ended")
}

pub(crate) fn into_inner<Fut>(mut task: Task<Fut>) -> Fut {
    let future = task.future.take();
    future.expect("a task has its future until it has ended")
}

impl<T, E, Fut> Future for Task<Fut>
where
    Fut: Future<Output = Result<T, E>>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let new = this.span.is_none();
        let span = this
            .span
            .get_or_insert_with(|| span(*this.group, this.tally, *this.index));
        let _entered = span.enter();
        if new {
            debug!(target: "errgroup", "started");
        }
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        let poll = future.poll(cx);
        if let Poll::Ready(result) = &poll {
            this.future.set(None);
            match result {
                Ok(_) => debug!(target: "errgroup", "finished"),
                Err(_) => debug!(target: "errgroup", "failed"),
            }
        }
        poll
    }
}

fn span(Group(group): Group, tally: &Tally, index: usize) -> Span {
    let span = info_span!(target: "errgroup", "errgroup.task", group, index, name = Empty);
    if let Some(name) = tally.name(index) {
        span.record("name", display(name));
    }
    span
}
