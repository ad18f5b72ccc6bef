//! Tasks with handles, and tasks that say when they are up.

use core::fmt;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll};

use futures::future::FusedFuture;
use pin_project_lite::pin_project;

use crate::error::{CancelKind, Cancelled, StartError};
use crate::group::tally::{Note, Silence, Tally};
use crate::util::panic::wake_all;
use crate::util::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::util::sync::atomic::{AtomicBool, AtomicUsize};
use crate::util::sync::{Arc, AtomicWaker, Lock};

/// The value of one task of a group, to be awaited.
///
/// Made by [`spawn_with_handle`](crate::Spawner::spawn_with_handle). It may be awaited from
/// another task of the group, from outside, or never: dropping it detaches it, and the task runs
/// on. It does not drive the group, which has to be polled elsewhere.
///
/// The task's error belongs to its group, always; a handle whose task will give no value resolves
/// to a [`Cancelled`], whose kind says why:
///
/// - [`TaskFailed`](CancelKind::TaskFailed): the task or its group has failed (or it panicked).
/// - [`Cancelled`](CancelKind::Cancelled): it was aborted.
/// - [`Finished`](CancelKind::Finished): the group is over or was dropped.
/// - the reason of the group's context, if it was dropped when the grace was over, or refused
///   because of it.
///
/// # Deadlock
///
/// A task that awaits the handle of a queued task while it holds the only slot waits for ever, as
/// the other never starts. Give the group a limit above the number of such waits, or spawn what
/// waits [in the background](crate::Spawner::spawn_background), or wait in the body of the
/// [scope](crate::scope()): neither of them takes a slot.
///
/// # Cancel safety
///
/// Awaiting it through `&mut` and dropping that loses nothing.
///
/// # Panics
///
/// If polled after it has completed.
///
/// # Examples
///
/// ```
/// use errgroup::scope;
///
/// # futures::executor::block_on(async {
/// let sum = scope(async |s| {
///     let one = s.spawn_with_handle(async { Ok(1) });
///     let two = s.spawn_with_handle(async { Ok(2) });
///     Ok::<_, errgroup::Cancelled>(one.await? + two.await?)
/// });
/// assert_eq!(sum.await.unwrap(), 3);
/// # });
/// ```
#[must_use = "dropping a handle detaches it; use `spawn` if the value is not wanted"]
pub struct TaskHandle<U> {
    promise: Arc<Promise<U>>,
    tally: Arc<Tally>,
    /// The value was given.
    terminated: bool,
}

impl<U> TaskHandle<U> {
    /// Drops the task, at the next poll of its group, whether it is queued or running. It is no
    /// error of the group, and nothing happens if the task has ended.
    ///
    /// The handle resolves to a [`Cancelled`] of the kind [`Cancelled`](CancelKind::Cancelled).
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::{CancelKind, scope};
    ///
    /// # futures::executor::block_on(async {
    /// let result = scope(async |s| {
    ///     let handle = s.spawn_with_handle(futures::future::pending::<Result<(), ()>>());
    ///     handle.abort();
    ///     assert_eq!(handle.await.unwrap_err().kind(), CancelKind::Cancelled);
    ///     Ok(())
    /// });
    /// assert_eq!(result.await, Ok(()));
    /// # });
    /// ```
    pub fn abort(&self) {
        if self.is_finished() || self.promise.aborted.swap(true, AcqRel) {
            return;
        }
        if !self.promise.begun.load(Acquire) {
            self.tally.abort(self.index());
        }
        wake_all(self.promise.task.take());
    }

    /// Whether the handle would resolve at once: the task has ended, or is gone.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// # futures::executor::block_on(async {
    /// let group = ErrGroup::<(), ()>::new();
    /// let handle = group.spawner().spawn_with_handle(async { Ok("done") });
    /// assert!(!handle.is_finished());
    /// group.await.unwrap();
    /// assert!(handle.is_finished());
    /// # });
    /// ```
    pub fn is_finished(&self) -> bool {
        self.terminated || self.promise.is_resolved()
    }

    /// The index of the task: how many were spawned into the group before it. A task that was
    /// refused because its group had failed or was over has the index `usize::MAX`.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// let mut group = ErrGroup::<(), ()>::new();
    /// group.spawn(async { Ok(()) });
    /// let handle = group.spawner().spawn_with_handle(async { Ok("value") });
    /// assert_eq!(handle.index(), 1);
    /// ```
    pub fn index(&self) -> usize {
        self.promise.index.load(Relaxed)
    }
}

impl<U> Future for TaskHandle<U> {
    type Output = Result<U, Cancelled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(!self.terminated, "polled after it has completed");
        let poll = self.promise.poll(cx);
        self.terminated = poll.is_ready();
        poll
    }
}

impl<U> FusedFuture for TaskHandle<U> {
    fn is_terminated(&self) -> bool {
        self.terminated
    }
}

impl<U> fmt::Debug for TaskHandle<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle")
            .field("index", &self.index())
            .finish_non_exhaustive()
    }
}

/// With this a task that was [started](crate::Spawner::start) says that it is up.
///
/// # Examples
///
/// ```
/// use errgroup::{Started, scope};
///
/// async fn serve(started: Started<u16>) -> Result<(), std::io::Error> {
///     let port = 8080; // Bind here.
///     started.ready(port);
///     // Serve here.
///     Ok(())
/// }
///
/// # futures::executor::block_on(async {
/// scope(async |s| {
///     let port = s.start(serve).await.unwrap();
///     assert_eq!(port, 8080);
///     Ok(())
/// })
/// .await
/// .unwrap();
/// # });
/// ```
#[must_use = "dropping it says that the task will never be up"]
pub struct Started<U> {
    start: Arc<Start<U>>,
}

impl<U> Started<U> {
    /// Says that the task is up, and gives a value to whoever waits for that. From now on the task
    /// is one as any other.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::{Started, scope};
    ///
    /// # futures::executor::block_on(async {
    /// scope(async |s| {
    ///     let up = s.start(async |started: Started<&str>| {
    ///         started.ready("up");
    ///         Ok::<_, ()>(())
    ///     });
    ///     assert_eq!(up.await, Ok("up"));
    ///     Ok(())
    /// })
    /// .await
    /// .unwrap();
    /// # });
    /// ```
    pub fn ready(self, value: U) {
        // First, so that who waits finds it counted.
        self.start.forget_note();
        self.start.promise.resolve(Ok(value));
    }
}

impl<U> Drop for Started<U> {
    fn drop(&mut self) {
        self.start.fail();
    }
}

impl<U> fmt::Debug for Started<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Started").finish_non_exhaustive()
    }
}

/// What a task that starts, its `Started` and the one who waits share.
pub(crate) struct Start<U> {
    promise: Promise<U>,
    /// That the task does not count yet.
    note: Lock<Option<Note>>,
}

impl<U> Start<U> {
    pub(crate) fn new(tally: &Arc<Tally>) -> Arc<Self> {
        Arc::new(Start {
            promise: Promise::new(),
            note: Lock::new(Some(Note::starting(tally.clone()))),
        })
    }

    pub(crate) fn started(self: &Arc<Self>) -> Started<U> {
        Started {
            start: self.clone(),
        }
    }

    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<U, StartError>> {
        self.promise.poll(cx).map_err(|_| StartError)
    }

    /// Nobody waits any more.
    pub(crate) fn abandon(&self) {
        self.promise.abandon();
    }

    fn fail(&self) {
        let reason = Cancelled::new(CancelKind::Finished, None);
        self.promise.resolve(Err(reason));
    }

    fn forget_note(&self) {
        let note = self.note.with(Option::take);
        drop(note);
    }
}

/// What will come of a task.
struct Promise<U> {
    value: Lock<Value<U>>,
    /// Wakes whoever awaits it.
    waiter: AtomicWaker,
    /// Wakes the task, to abort it.
    task: AtomicWaker,
    /// The task was polled, so that it can be woken.
    begun: AtomicBool,
    aborted: AtomicBool,
    index: AtomicUsize,
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
            waiter: AtomicWaker::new(),
            task: AtomicWaker::new(),
            begun: AtomicBool::new(false),
            aborted: AtomicBool::new(false),
            index: AtomicUsize::new(usize::MAX),
        }
    }

    fn is_resolved(&self) -> bool {
        self.value.with(|value| !matches!(value, Value::Expected))
    }

    /// Resolves it, unless it was resolved before.
    fn resolve(&self, result: Result<U, Cancelled>) {
        let refused = self.value.with(|value| match value {
            Value::Expected => {
                *value = Value::Here(result);
                None
            }
            Value::Here(_) | Value::Gone => Some(result),
        });
        if refused.is_none() {
            wake_all(self.waiter.take());
        }
    }

    fn abandon(&self) {
        let value = self.value.with(|value| mem::replace(value, Value::Gone));
        drop(value);
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<U, Cancelled>> {
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

/// The end of a promise that a task holds.
struct Promised<U> {
    promise: Arc<Promise<U>>,
    tally: Arc<Tally>,
    /// The task is being polled; it stays so if that panics.
    polling: bool,
}

impl<U> Drop for Promised<U> {
    /// The task is gone. If it gave no value, it never will.
    fn drop(&mut self) {
        if self.promise.is_resolved() {
            return;
        }
        self.promise
            .resolve(Err(if self.promise.aborted.load(Acquire) {
                Cancelled::new(CancelKind::Cancelled, None)
            } else if self.polling {
                Cancelled::new(CancelKind::TaskFailed, None)
            } else {
                self.tally.why()
            }));
    }
}

/// A task about which the tally knows something.
pub(crate) trait Extra {
    /// It is taken by the group, under this index. Called under a lock.
    fn enter(&mut self, index: usize);
}

pin_project! {
    /// A task whose value goes to a handle.
    pub struct Handled<Fut, U> {
        #[pin]
        future: Option<Fut>,
        promised: Promised<U>,
    }
}

impl<Fut, U> Handled<Fut, U> {
    pub(crate) fn new(future: Fut, tally: &Arc<Tally>) -> (TaskHandle<U>, Self) {
        let promise = Arc::new(Promise::new());
        let handle = TaskHandle {
            promise: promise.clone(),
            tally: tally.clone(),
            terminated: false,
        };
        let handled = Handled {
            future: Some(future),
            promised: Promised {
                promise,
                tally: tally.clone(),
                polling: false,
            },
        };
        (handle, handled)
    }
}

impl<Fut, U> Extra for Handled<Fut, U> {
    fn enter(&mut self, index: usize) {
        self.promised.promise.index.store(index, Relaxed);
    }
}

impl<Fut, U, E> Future for Handled<Fut, U>
where
    Fut: Future<Output = Result<U, E>>,
{
    type Output = Result<(), E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Promised {
            promise,
            tally,
            polling,
        } = this.promised;
        // Before the look at `aborted`: an abort that comes after it finds this waker.
        promise.task.register(cx.waker());
        promise.begun.store(true, Release);
        if promise.aborted.load(Acquire) {
            this.future.set(None);
            promise.resolve(Err(Cancelled::new(CancelKind::Cancelled, None)));
            tally.silence(Silence::Aborted);
            return Poll::Ready(Ok(()));
        }
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        *polling = true;
        let poll = future.poll(cx);
        *polling = false;
        // The future is dropped by the group, which loses nothing if its destructor panics.
        poll.map(|result| match result {
            Ok(value) => {
                promise.resolve(Ok(value));
                Ok(())
            }
            Err(error) => {
                promise.resolve(Err(Cancelled::new(CancelKind::TaskFailed, None)));
                Err(error)
            }
        })
    }
}

pin_project! {
    /// A task of which something is noted.
    pub struct Noted<Fut> {
        #[pin]
        future: Fut,
        note: Note,
    }
}

impl<Fut> Noted<Fut> {
    pub(crate) fn new(future: Fut, note: Note) -> Self {
        Noted { future, note }
    }
}

impl<Fut> Extra for Noted<Fut> {
    fn enter(&mut self, index: usize) {
        self.note.enter(index);
    }
}

impl<Fut, E> Future for Noted<Fut>
where
    Fut: Future<Output = Result<(), E>>,
{
    type Output = Result<(), E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.note.run();
        let poll = this.future.poll(cx);
        if let Poll::Ready(result) = &poll {
            this.note.end(result.is_ok());
        }
        poll
    }
}

pin_project! {
    /// A task that will say when it is up.
    pub struct Starting<Fut, U> {
        #[pin]
        future: Fut,
        end: StartEnd<U>,
        begun: bool,
    }
}

struct StartEnd<U>(Arc<Start<U>>);

impl<U> Drop for StartEnd<U> {
    /// The task is gone. If it was not up, it never will be.
    fn drop(&mut self) {
        self.0.forget_note();
        self.0.fail();
    }
}

impl<Fut, U> Starting<Fut, U> {
    pub(crate) fn new(future: Fut, start: Arc<Start<U>>) -> Self {
        Starting {
            future,
            end: StartEnd(start),
            begun: false,
        }
    }
}

impl<Fut, U> Extra for Starting<Fut, U> {
    fn enter(&mut self, index: usize) {
        self.end.0.note.with(|note| {
            if let Some(note) = note {
                note.enter(index);
            }
        });
    }
}

impl<Fut, U, E> Future for Starting<Fut, U>
where
    Fut: Future<Output = Result<(), E>>,
{
    type Output = Result<(), E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let start = &this.end.0;
        if !mem::replace(this.begun, true) {
            start.note.with(|note| note.as_mut().map(Note::run));
        }
        let poll = this.future.poll(cx);
        if poll.is_ready() {
            start.forget_note();
        }
        poll
    }
}
