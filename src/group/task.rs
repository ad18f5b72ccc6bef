//! What is wrapped around a future that becomes a task.
#![allow(
    missing_debug_implementations,
    reason = "they stand in bounds, and nobody ever has one"
)]

use alloc::borrow::Cow;
use core::future::Future;
use core::marker::PhantomData;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::group::shared::{Hub, Uncounted};
use crate::group::trace;
use crate::util::sync::Arc;

pin_project! {
    /// A future with what is special about it as a task. It gives `None` if it has no outcome.
    pub struct Task<Fut, X> {
        // Dropped first: who hears through `extra` that a task is gone finds its destructor done.
        #[pin]
        pub(super) future: trace::Traced<Fut>,
        pub(super) extra: X,
    }
}

/// What is special about a task. It is told what becomes of the task, and is dropped with it.
pub trait Extra<O> {
    /// What the task means to its group: mostly `O` itself.
    type Outcome;

    /// The task is taken by the group, under this index. Called under a lock.
    fn taken(&mut self, index: usize);

    /// The task is about to be polled; false if it must not be, and is to be dropped.
    fn before_poll(&mut self, cx: &mut Context<'_>) -> bool;

    /// It was polled.
    fn after_poll(&mut self, poll: Poll<O>) -> Poll<Option<Self::Outcome>>;

    /// Its poll has panicked, so that it has ended, and will be dropped.
    fn has_panicked(&mut self) {}
}

impl<Fut, X, O> Future for Task<Fut, X>
where
    trace::Traced<Fut>: Future<Output = O>,
    X: Extra<O>,
{
    type Output = Option<X::Outcome>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if !this.extra.before_poll(cx) {
            return Poll::Ready(None);
        }
        let guard = PanicGuard(&mut *this.extra, PhantomData);
        let poll = this.future.poll(cx);
        mem::forget(guard);
        this.extra.after_poll(poll)
    }
}

/// Dropped if a poll panics.
struct PanicGuard<'a, O, X: Extra<O>>(&'a mut X, PhantomData<fn(O)>);

impl<O, X: Extra<O>> Drop for PanicGuard<'_, O, X> {
    fn drop(&mut self) {
        self.0.has_panicked();
    }
}

/// Nothing is special.
pub struct Plain;

impl<T, E> Extra<Result<T, E>> for Plain {
    type Outcome = Result<T, E>;

    fn taken(&mut self, _: usize) {}

    #[inline]
    fn before_poll(&mut self, _: &mut Context<'_>) -> bool {
        true
    }

    #[inline]
    fn after_poll(&mut self, poll: Poll<Result<T, E>>) -> Poll<Option<Result<T, E>>> {
        poll.map(Some)
    }
}

/// Its group knows more of it than its index: a name, or that it does not count.
pub struct Noted(Note);

impl Noted {
    pub(crate) fn new(hub: &Arc<Hub>, what: What) -> Self {
        Noted(Note::new(hub, what))
    }
}

impl<T, E> Extra<Result<T, E>> for Noted {
    type Outcome = Result<T, E>;

    fn taken(&mut self, index: usize) {
        self.0.taken(index);
    }

    fn before_poll(&mut self, _: &mut Context<'_>) -> bool {
        self.0.runs();
        true
    }

    fn after_poll(&mut self, poll: Poll<Result<T, E>>) -> Poll<Option<Result<T, E>>> {
        let Poll::Ready(outcome) = poll else {
            return Poll::Pending;
        };
        let is_silent = outcome.is_ok() && matches!(self.0.what, What::Background);
        self.0.leave();
        Poll::Ready(Some(outcome).filter(|_| !is_silent))
    }

    fn has_panicked(&mut self) {
        self.0.leave();
    }
}

/// Something that the group knows of a task, from when it is taken until it ends.
pub(crate) struct Note {
    hub: Arc<Hub>,
    what: What,
    stage: Stage,
}

pub(crate) enum What {
    Name(Cow<'static, str>),
    Background,
    /// It has not said yet that it is up.
    Starting,
    /// It is the body of a scope.
    Body,
}

enum Stage {
    /// Not taken.
    New,
    Queued(usize),
    Running(usize),
    Over,
}

impl Note {
    pub(crate) fn new(hub: &Arc<Hub>, what: What) -> Self {
        Note {
            hub: hub.clone(),
            what,
            stage: Stage::New,
        }
    }

    pub(crate) fn index(&self) -> Option<usize> {
        match self.stage {
            Stage::Queued(index) | Stage::Running(index) => Some(index),
            Stage::New | Stage::Over => None,
        }
    }

    pub(crate) fn taken(&mut self, index: usize) {
        self.stage = Stage::Queued(index);
        let shared = &self.hub.shared;
        match &mut self.what {
            What::Name(name) => shared.insert_name(index, mem::take(name)),
            What::Background => shared.insert_uncounted(index, Uncounted::Background),
            What::Starting => shared.insert_uncounted(index, Uncounted::Starting),
            What::Body => {}
        }
    }

    pub(crate) fn runs(&mut self) {
        if let Stage::Queued(index) = self.stage {
            self.stage = Stage::Running(index);
            if !matches!(self.what, What::Name(_)) {
                self.hub.shared.runs_uncounted();
            }
        }
    }

    /// The task has ended, or counts from now on. Before it counts as gone, so that there never
    /// seems to be room that is not; and before it is dropped, because destructors may ask.
    pub(crate) fn leave(&mut self) {
        let stage = mem::replace(&mut self.stage, Stage::Over);
        let (Stage::Queued(index) | Stage::Running(index)) = stage else {
            return;
        };
        let shared = &self.hub.shared;
        match self.what {
            What::Name(_) => return shared.remove_name(index),
            // Otherwise somebody has done all this: it is dropped together with others.
            What::Background | What::Starting if !shared.remove_uncounted(index) => return,
            What::Background | What::Starting | What::Body => {}
        }
        if let Stage::Running(_) = stage {
            shared.ran_uncounted();
        }
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        self.leave();
    }
}
