//! Feature `tracing`: a span around every task, and events of what becomes of it. The other half
//! is `off.rs`, where there is nothing.
//!
//! Every task that was taken tells its story in events: *spawned*, then *started*, unless it never
//! was, then exactly one of *finished*, *failed* (it returned an error, or has panicked) and
//! *dropped*. All but the first are in its span, in which it is also polled and dropped.
//!
//! A subscriber is code of the user, so nothing here runs under a lock but [`traced`], which
//! asks none.

use core::future::Future;
use core::mem;
use core::pin::Pin;
// Not those of `sync`: loom's cannot be made at compile time.
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::task::{Context, Poll};

use pin_project_lite::pin_project;
use tracing::field::display;
use tracing::span::Entered;
use tracing::{Span, debug, info_span};

use crate::error::Cancelled;
use crate::group::shared::Hub;
use crate::util::panic::{discard, drop_quietly, sequence};
use crate::util::sync::{Arc, Payload, catch, resume};

/// The number of a group, for its spans and events.
#[derive(Clone, Copy)]
pub(crate) struct Group(usize);

impl Group {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Group(NEXT.fetch_add(1, Relaxed))
    }

    /// Tells of it, and then wakes the group, whatever the subscriber does.
    pub(crate) fn spawned(self, index: usize, wake: impl FnOnce()) {
        sequence(|steps| {
            steps.run(|| debug!(target: "errgroup", group = self.0, index, "spawned"));
            steps.run(wake);
        });
    }

    /// The group's context was cancelled, for another reason than that the group is over.
    pub(crate) fn cancelled(self, reason: &Cancelled) {
        let cause = reason.cause().map(display);
        debug!(target: "errgroup", group = self.0, %reason, cause, "cancelled");
    }

    pub(crate) fn grace_over(self) {
        debug!(target: "errgroup", group = self.0, "grace over");
    }
}

pin_project! {
    /// A future in the span of its task.
    pub struct Traced<Fut> {
        // Always there, until it is dropped inside of the span.
        #[pin]
        future: Option<Fut>,
        // `None` for what is no task, and tells no story.
        story: Option<Story>,
    }

    impl<Fut> PinnedDrop for Traced<Fut> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let Some(story) = this.story else { return };
            let mut dropped = Ok(());
            // By now the group has the outcome, so that it is not lost if this panics.
            let told = catch(|| {
                sequence(|steps| {
                    if let Some(payload) = story.late.take() {
                        steps.run(|| resume(payload));
                    }
                    steps.run(|| story.make_span());
                    let span = story.span.take();
                    let mut inside = None;
                    steps.run(|| inside = span.as_ref().map(Span::enter));
                    steps.run(|| match story.stage {
                        Stage::New | Stage::Waiting => debug!(target: "errgroup", "dropped"),
                        Stage::Polling => debug!(target: "errgroup", "failed"),
                        Stage::Over => {}
                    });
                    dropped = catch(|| this.future.set(None));
                    steps.run(|| drop(inside));
                    steps.run(|| drop(span));
                })
            });
            // A panic of the task itself leaves this also while the thread unwinds, as it would
            // without a span: whoever drops tasks then catches it.
            match (dropped, told) {
                (Err(payload), Ok(())) | (Ok(()), Err(payload)) => resume(payload),
                (Err(payload), Err(of_subscriber)) => {
                    discard(of_subscriber);
                    resume(payload);
                }
                (Ok(()), Ok(())) => {}
            }
        }
    }
}

/// Inside of a span. Whatever the subscriber does when it is left while the thread unwinds ends here.
struct Inside<'a>(Option<Entered<'a>>);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        drop_quietly(self.0.take());
    }
}

struct Story {
    hub: Arc<Hub>,
    index: usize,
    /// From the first poll; if there was none, from the drop.
    span: Option<Span>,
    stage: Stage,
    /// The subscriber panicked when it heard of an outcome, which is not to be lost: the panic goes
    /// on when the group has it.
    late: Option<Payload>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    /// To be polled, or to be dropped.
    Waiting,
    /// Being polled; it stays so if that panics.
    Polling,
    /// It has said how it ended.
    Over,
}

/// A task that was taken under this index.
pub(crate) fn traced<Fut>(future: Fut, hub: &Arc<Hub>, index: usize) -> Traced<Fut> {
    Traced {
        future: Some(future),
        story: Some(Story {
            hub: hub.clone(),
            index,
            span: None,
            stage: Stage::New,
            late: None,
        }),
    }
}

/// What is polled as a task, and is none.
pub(crate) fn untraced<Fut>(future: Fut) -> Traced<Fut> {
    Traced {
        future: Some(future),
        story: None,
    }
}

impl<T, E, Fut> Future for Traced<Fut>
where
    Fut: Future<Output = Result<T, E>>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(future) = this.future.as_pin_mut() else {
            return Poll::Pending;
        };
        let Some(story) = this.story else {
            return future.poll(cx);
        };
        let before = mem::replace(&mut story.stage, Stage::Polling);
        story.make_span();
        let Story {
            span, stage, late, ..
        } = story;
        let inside = Inside(span.as_ref().map(Span::enter));
        if before == Stage::New {
            debug!(target: "errgroup", "started");
        }
        let poll = future.poll(cx);
        *stage = match &poll {
            Poll::Pending => Stage::Waiting,
            Poll::Ready(_) => Stage::Over,
        };
        let told = catch(|| {
            let _inside = inside;
            match &poll {
                Poll::Pending => {}
                Poll::Ready(Err(_)) => debug!(target: "errgroup", "failed"),
                Poll::Ready(Ok(_)) => debug!(target: "errgroup", "finished"),
            }
        });
        match told {
            Err(payload) if poll.is_pending() => resume(payload),
            told => *late = told.err(),
        }
        poll
    }
}

impl Story {
    fn make_span(&mut self) {
        let Story {
            hub, index, span, ..
        } = self;
        // The name is looked up only if somebody wants to have the span.
        span.get_or_insert_with(|| {
            info_span!(
                target: "errgroup",
                "errgroup.task",
                group = hub.shared.trace.0,
                index = *index,
                name = hub.shared.name(*index).as_deref(),
            )
        });
    }
}
