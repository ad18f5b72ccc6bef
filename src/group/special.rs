//! Tasks that are more than a future: those with handles, those that say when they are up, the
//! bodies of scopes.
#![allow(
    missing_debug_implementations,
    reason = "they stand in bounds, and nobody ever has one"
)]

use core::mem;
use core::task::{Context, Poll};

use crate::error::{CancelKind, Cancelled, StartError};
use crate::group::shared::Hub;
use crate::group::task::{Extra, Note, What};
use crate::util::panic::{drop_quietly, sequence, wake_all};
use crate::util::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::util::sync::atomic::{AtomicBool, AtomicUsize};
use crate::util::sync::{Arc, Lock};
use crate::util::waker::WakerCell;

/// A task that can be aborted.
///
/// # Why no abort is lost
///
/// The task leaves its waker here before it looks at `aborted`; whoever aborts raises `aborted`
/// before it takes the waker. Both are under one lock, so one of them is the first: either the waker
/// is found, and the task is polled once more, or the task sees that it is aborted. A task that was
/// never polled has no waker; then the owner of the group is asked to take it out of its queue, and
/// if it was started meanwhile, the above holds for its first poll.
pub(super) struct Target {
    hub: Arc<Hub>,
    index: AtomicUsize,
    /// Raised by the first abort, and when the task is gone: then there is nothing to abort.
    aborted: AtomicBool,
    gone: AtomicBool,
    task: WakerCell,
}

impl Target {
    fn new(hub: &Arc<Hub>) -> Arc<Self> {
        Arc::new(Target {
            hub: hub.clone(),
            index: AtomicUsize::new(usize::MAX),
            aborted: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            task: WakerCell::default(),
        })
    }

    pub(super) fn index(&self) -> usize {
        self.index.load(Relaxed)
    }

    fn is_aborted(&self) -> bool {
        // Acquire: the destructor of the task sees what was done before the abort (models:
        // a_task_that_is_aborted_sees_what_was_done_before).
        self.aborted.load(Acquire)
    }

    pub(super) fn is_gone(&self) -> bool {
        // Acquire: what the destructor of the task did is seen by who finds it gone (models:
        // who_finds_a_task_finished_sees_what_its_destructor_did).
        self.gone.load(Acquire)
    }

    pub(super) fn abort(&self) {
        // Release: pairs with `is_aborted`.
        if self.is_gone() || self.aborted.swap(true, Release) {
            return;
        }
        // Both wake whoever polls the group, with code of the user, and the task has to be told
        // whatever that does; also from a destructor that runs while the thread panics.
        sequence(|steps| {
            steps.run(|| self.hub.abort(self.index(), || self.is_gone()));
            steps.run(|| self.task.wake());
        });
    }
}

/// The end of a target that the task has.
pub struct Abortable(Arc<Target>);

impl Abortable {
    pub(super) fn new(hub: &Arc<Hub>) -> (Arc<Target>, Self) {
        let target = Target::new(hub);
        (target.clone(), Abortable(target))
    }

    fn taken(&mut self, index: usize) {
        self.0.index.store(index, Relaxed);
    }

    fn before_poll(&mut self, cx: &mut Context<'_>) -> bool {
        self.0.task.register(cx.waker());
        !self.0.is_aborted()
    }
}

impl<T, E> Extra<Result<T, E>> for Abortable {
    type Outcome = Result<T, E>;

    fn taken(&mut self, index: usize) {
        Abortable::taken(self, index);
    }

    fn before_poll(&mut self, cx: &mut Context<'_>) -> bool {
        Abortable::before_poll(self, cx)
    }

    fn after_poll(&mut self, poll: Poll<Result<T, E>>) -> Poll<Option<Result<T, E>>> {
        poll.map(Some)
    }
}

impl Drop for Abortable {
    fn drop(&mut self) {
        self.0.gone.store(true, Release);
        // Swapped, so that one of two comes first: an abort that comes later does nothing. One that
        // came before has noted the task, or finds it gone when it does so after this.
        if self.0.aborted.swap(true, Relaxed) {
            self.0.hub.shared.forget_aborted(self.0.index());
        }
        // It is one of the group's own: dropping it runs no code of the user.
        drop(self.0.task.take());
    }
}

/// A value that will come from a task.
pub(super) struct Promise<U> {
    value: Lock<Value<U>>,
    /// Whoever awaits it.
    waiter: WakerCell,
}

enum Value<U> {
    Expected,
    Here(Result<U, Cancelled>),
    /// It was taken, or nobody wants it.
    Gone,
}

impl<U> Promise<U> {
    fn new() -> Self {
        Promise {
            value: Lock::new(Value::Expected),
            waiter: WakerCell::default(),
        }
    }

    pub(super) fn is_resolved(&self) -> bool {
        self.value.with(|value| !matches!(value, Value::Expected))
    }

    /// Resolves it, unless it was resolved before.
    pub(super) fn resolve(&self, result: Result<U, Cancelled>) {
        let refused = self.value.with(|value| match value {
            Value::Expected => {
                *value = Value::Here(result);
                None
            }
            Value::Here(_) | Value::Gone => Some(result),
        });
        match refused {
            None => wake_all(self.waiter.take()),
            // Perhaps the destructor of the task is panicking.
            Some(refused) => drop_quietly(refused),
        }
    }

    /// There will be no value.
    pub(super) fn break_off(&self) {
        self.resolve(Err(Cancelled::new(CancelKind::Finished, None)));
    }

    /// Nobody waits any more.
    fn abandon(&self) {
        let value = self.value.with(|value| mem::replace(value, Value::Gone));
        sequence(|steps| {
            steps.run(|| drop(value));
            steps.run(|| drop(self.waiter.take()));
        });
    }

    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<U, Cancelled>> {
        let poll = self.take();
        if poll.is_ready() {
            return poll;
        }
        self.waiter.register(cx.waker());
        self.take()
    }

    fn take(&self) -> Poll<Result<U, Cancelled>> {
        self.value
            .with(|value| match mem::replace(value, Value::Gone) {
                Value::Here(result) => Poll::Ready(result),
                other => {
                    *value = other;
                    Poll::Pending
                }
            })
    }
}

/// Nobody has taken what is left.
impl<U> Drop for Promise<U> {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// A task whose value goes to a handle.
pub struct Handled<U> {
    promise: Arc<Promise<U>>,
    value: Option<U>,
    /// It has failed, or is being polled: then it stays so if that panics.
    failed: bool,
    abortable: Abortable,
}

impl<U> Handled<U> {
    pub(super) fn new(hub: &Arc<Hub>) -> (Arc<Promise<U>>, Arc<Target>, Self) {
        let promise = Arc::new(Promise::new());
        let (target, abortable) = Abortable::new(hub);
        let handled = Handled {
            promise: promise.clone(),
            value: None,
            failed: false,
            abortable,
        };
        (promise, target, handled)
    }

    /// It was never a task, for this reason.
    pub(super) fn refuse(&self, reason: Cancelled) {
        self.promise.resolve(Err(reason));
    }
}

impl<U, E> Extra<Result<U, E>> for Handled<U> {
    type Outcome = Result<(), E>;

    fn taken(&mut self, index: usize) {
        self.abortable.taken(index);
    }

    fn before_poll(&mut self, cx: &mut Context<'_>) -> bool {
        self.failed = self.abortable.before_poll(cx);
        self.failed
    }

    fn after_poll(&mut self, poll: Poll<Result<U, E>>) -> Poll<Option<Result<(), E>>> {
        // One that failed stays so, too. The value waits for the drop: by then the group has the
        // outcome, so that it is not lost if a waker panics.
        self.failed = matches!(poll, Poll::Ready(Err(_)));
        poll.map(|outcome| Some(outcome.map(|value| self.value = Some(value))))
    }
}

impl<U> Drop for Handled<U> {
    /// The task is gone. If it gave no value, it never will.
    fn drop(&mut self) {
        let target = &self.abortable.0;
        let result = match self.value.take() {
            Some(value) => Ok(value),
            None if self.failed => Err(Cancelled::new(CancelKind::TaskFailed, None)),
            None if target.is_aborted() => Err(Cancelled::new(CancelKind::Cancelled, None)),
            None => Err(target.hub.shared.reason()),
        };
        self.promise.resolve(result);
    }
}

/// What a task that starts, its `Started` and the one who waits share.
pub(super) struct Start<U> {
    pub(super) promise: Promise<U>,
    /// That the task does not count yet.
    note: Lock<Option<Note>>,
}

impl<U> Start<U> {
    pub(super) fn forget_note(&self) {
        let note = self.note.with(Option::take);
        drop(note);
    }

    /// The index of the task, unless it has none yet or somebody is just writing there.
    pub(super) fn index(&self) -> Option<usize> {
        self.note.try_with(|note| note.as_ref()?.index()).flatten()
    }

    fn with_note(&self, f: impl FnOnce(&mut Note)) {
        self.note.with(|note| note.as_mut().map(f));
    }
}

/// A task that will say when it is up.
pub struct Starting<U>(Arc<Start<U>>);

/// Waits for a task to be up. Dropped when it is, and when nobody wants to know any more.
pub(crate) struct UntilUp<U>(Arc<Start<U>>);

impl<U> Starting<U> {
    pub(super) fn new(hub: &Arc<Hub>) -> (Arc<Start<U>>, UntilUp<U>, Self) {
        let start = Arc::new(Start {
            promise: Promise::new(),
            note: Lock::new(Some(Note::new(hub, What::Starting))),
        });
        (start.clone(), UntilUp(start.clone()), Starting(start))
    }

    /// Whether it is up already, before it was spawned.
    pub(crate) fn is_up(&self) -> bool {
        self.0.note.with(|note| note.is_none())
    }
}

impl<U> UntilUp<U> {
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<U, StartError>> {
        self.0.promise.poll(cx).map_err(|_| StartError)
    }
}

impl<U> Drop for UntilUp<U> {
    fn drop(&mut self) {
        self.0.promise.abandon();
    }
}

impl<U, E> Extra<Result<(), E>> for Starting<U> {
    type Outcome = Result<(), E>;

    fn taken(&mut self, index: usize) {
        self.0.with_note(|note| note.taken(index));
    }

    fn before_poll(&mut self, _: &mut Context<'_>) -> bool {
        self.0.with_note(Note::runs);
        true
    }

    fn after_poll(&mut self, poll: Poll<Result<(), E>>) -> Poll<Option<Result<(), E>>> {
        if poll.is_ready() {
            self.0.forget_note();
        }
        poll.map(Some)
    }

    fn has_panicked(&mut self) {
        self.0.forget_note();
    }
}

impl<U> Drop for Starting<U> {
    /// The task is gone. If it was not up, it never will be.
    fn drop(&mut self) {
        self.0.forget_note();
        self.0.promise.break_off();
    }
}

/// The body of a scope: a task that counts for nothing but for the end, and whose value goes to
/// the scope.
pub struct Body<R> {
    value: Arc<BodyValue<R>>,
    note: Note,
}

/// What a body has returned.
pub(crate) struct BodyValue<R>(Lock<Option<R>>);

impl<R> BodyValue<R> {
    pub(crate) fn take(&self) -> Option<R> {
        self.0.with(Option::take)
    }
}

impl<R> Drop for BodyValue<R> {
    fn drop(&mut self) {
        drop_quietly(self.0.get_mut().take());
    }
}

impl<R> Body<R> {
    pub(crate) fn new(hub: &Arc<Hub>) -> (Arc<BodyValue<R>>, Self) {
        let value = Arc::new(BodyValue(Lock::new(None)));
        let body = Body {
            value: value.clone(),
            note: Note::new(hub, What::Body),
        };
        (value, body)
    }
}

impl<R, E> Extra<Result<R, E>> for Body<R> {
    type Outcome = Result<(), E>;

    fn taken(&mut self, index: usize) {
        self.note.taken(index);
    }

    fn before_poll(&mut self, _: &mut Context<'_>) -> bool {
        self.note.runs();
        true
    }

    fn after_poll(&mut self, poll: Poll<Result<R, E>>) -> Poll<Option<Result<(), E>>> {
        if poll.is_ready() {
            self.note.leave();
        }
        poll.map(|outcome| match outcome {
            Ok(value) => {
                self.value.0.with(|place| *place = Some(value));
                None
            }
            Err(error) => Some(Err(error)),
        })
    }

    fn has_panicked(&mut self) {
        self.note.leave();
    }
}
