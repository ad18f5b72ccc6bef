//! Handles of tasks, and tasks that say when they are up.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use futures::future::FusedFuture;

use crate::error::Cancelled;
use crate::group::shared::Hub;
use crate::group::special::{Abortable, Handled, Promise, Start, Starting, Target, UntilUp};
use crate::util::panic::sequence;
use crate::util::sync::Arc;

/// The value of one task of a group, to be awaited.
///
/// Made by [`spawn_with_handle`](crate::Spawner::spawn_with_handle). It may be awaited from
/// another task of the group, from outside, or never: dropping it detaches it, and the task runs
/// on. It does not drive the group, which has to be polled elsewhere.
///
/// The task's error belongs to its group, always; a handle whose task will give no value resolves
/// to a [`Cancelled`], whose kind says why:
///
/// - [`TaskFailed`](crate::CancelKind::TaskFailed): the task or its group has failed (or it panicked).
/// - [`Cancelled`](crate::CancelKind::Cancelled): it was aborted.
/// - [`Finished`](crate::CancelKind::Finished): the group is over or was dropped.
/// - the reason of the group's context, if it was dropped when the grace was over, or refused
///   because of it.
///
/// It is `Send` and `Sync` if `U` is `Send`, also that of a task in a
/// [`LocalErrGroup`](crate::LocalErrGroup), and `UnwindSafe` whatever `U` is.
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
    target: Arc<Target>,
    /// The value was given.
    terminated: bool,
}

impl<U> TaskHandle<U> {
    pub(super) fn new(hub: &Arc<Hub>) -> (Self, Handled<U>) {
        let (promise, target, handled) = Handled::new(hub);
        let handle = TaskHandle {
            promise,
            target,
            terminated: false,
        };
        (handle, handled)
    }

    /// Drops the task, at the next poll of its group, whether it is queued or running. It is no
    /// error of the group, and nothing happens if the task has ended.
    ///
    /// A running one takes its turn among the tasks that are woken, of which a group polls 256 between
    /// two returns of `Pending`. So it takes one poll more if the calls before have spent that; and if
    /// more than 256 tasks are woken, as many as it takes to come to it.
    ///
    /// The handle resolves to a [`Cancelled`] of the kind [`Cancelled`](crate::CancelKind::Cancelled).
    ///
    /// It costs what [`AbortHandle::abort`] does.
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
        self.target.abort();
    }

    /// A handle that can abort the task, and does not give its value.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::{CancelKind, scope};
    ///
    /// # futures::executor::block_on(async {
    /// let result = scope(async |s| {
    ///     let handle = s.spawn_with_handle(futures::future::pending::<Result<(), ()>>());
    ///     let abort = handle.abort_handle();
    ///     s.spawn(async move {
    ///         abort.abort();
    ///         Ok(())
    ///     });
    ///     assert_eq!(handle.await.unwrap_err().kind(), CancelKind::Cancelled);
    ///     Ok(())
    /// });
    /// assert_eq!(result.await, Ok(()));
    /// # });
    /// ```
    #[must_use]
    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle {
            target: self.target.clone(),
        }
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
    #[must_use]
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
    #[must_use]
    pub fn index(&self) -> usize {
        self.target.index()
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
        // `is_finished` would wait for a lock.
        let finished = self.terminated || self.target.is_gone();
        f.debug_struct("TaskHandle")
            .field("index", &self.index())
            .field("finished", &finished)
            .finish_non_exhaustive()
    }
}

/// Aborts one task of a group, of values of any type.
///
/// Made by [`spawn_abortable`](crate::Group::spawn_abortable) and
/// [`TaskHandle::abort_handle`], and cheap to clone. Dropping it does nothing to the task; see
/// [`abort_on_drop`](AbortHandle::abort_on_drop) for a handle that does.
///
/// An aborted task has no outcome: no finishing call gives it, and it is no error of the group.
///
/// It is `Send`, `Sync` and `UnwindSafe`, whatever its task is; so are [`AbortOnDrop`] and
/// [`KeepOpen`].
///
/// # Examples
///
/// ```
/// use errgroup::ErrGroup;
/// use futures::future::pending;
///
/// # futures::executor::block_on(async {
/// let mut group = ErrGroup::<u32, ()>::new();
/// group.spawn(async { Ok(1) });
/// let handle = group.spawn_abortable(pending());
/// handle.abort();
/// assert_eq!(group.collect().await, Ok(vec![1]));
/// assert!(handle.is_finished());
/// # });
/// ```
#[derive(Clone)]
pub struct AbortHandle {
    target: Arc<Target>,
}

impl AbortHandle {
    pub(super) fn new(hub: &Arc<Hub>) -> (Self, Abortable) {
        let (target, abortable) = Abortable::new(hub);
        (AbortHandle { target }, abortable)
    }

    /// Drops the task, at the next poll of its group, whether it is queued or running. It is no
    /// error of the group, and nothing happens if the task has ended.
    ///
    /// A running one takes its turn among the tasks that are woken, of which a group polls 256 between
    /// two returns of `Pending`. So it takes one poll more if the calls before have spent that; and if
    /// more than 256 tasks are woken, as many as it takes to come to it.
    ///
    /// The call costs O(log n), for n tasks that were aborted and are not gone yet. The group's poll
    /// adds O(log n) again to find the task if it is one of n that are queued.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    /// use futures::future::pending;
    ///
    /// # futures::executor::block_on(async {
    /// let mut group = ErrGroup::<(), ()>::new();
    /// let handle = group.spawn_abortable(pending());
    /// handle.abort();
    /// group.await.unwrap();
    /// # });
    /// ```
    pub fn abort(&self) {
        self.target.abort();
    }

    /// Whether the task is gone: it has ended, was dropped, or was never taken. Its destructor has
    /// run then.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// # futures::executor::block_on(async {
    /// let mut group = ErrGroup::<u32, ()>::new();
    /// let handle = group.spawn_abortable(async { Ok(1) });
    /// assert!(!handle.is_finished());
    /// group.await.unwrap();
    /// assert!(handle.is_finished());
    /// # });
    /// ```
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.target.is_gone()
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
    /// assert_eq!(group.spawn_abortable(async { Ok(()) }).index(), 1);
    /// ```
    #[must_use]
    pub fn index(&self) -> usize {
        self.target.index()
    }

    /// Makes a handle that aborts the task when it is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    /// use futures::future::pending;
    ///
    /// # futures::executor::block_on(async {
    /// let mut group = ErrGroup::<(), ()>::new();
    /// {
    ///     let _guard = group.spawn_abortable(pending()).abort_on_drop();
    ///     // return early, panic, be dropped …
    /// }
    /// group.await.unwrap();
    /// # });
    /// ```
    pub fn abort_on_drop(self) -> AbortOnDrop {
        AbortOnDrop(self)
    }
}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortHandle")
            .field("index", &self.index())
            .field("finished", &self.is_finished())
            .finish()
    }
}

/// Aborts a task when it is dropped; made by [`AbortHandle::abort_on_drop`].
///
/// # Examples
///
/// ```
/// use errgroup::{AbortOnDrop, ErrGroup};
///
/// /// Reads ahead for as long as somebody reads.
/// struct Reader {
///     _read_ahead: AbortOnDrop,
/// }
///
/// # futures::executor::block_on(async {
/// let mut group = ErrGroup::<(), ()>::new();
/// let task = group.spawn_abortable(futures::future::pending());
/// let reader = Reader { _read_ahead: task.abort_on_drop() };
/// drop(reader);
/// group.await.unwrap();
/// # });
/// ```
#[derive(Debug)]
#[must_use = "dropping it aborts the task"]
pub struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// With this a task that was [started](crate::Spawner::start) says that it is up.
///
/// It is `Send` and `Sync` if `U` is `Send`, and `UnwindSafe` whatever `U` is.
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
    pub(super) fn new(hub: &Arc<Hub>) -> (Self, UntilUp<U>, Starting<U>) {
        let (start, until_up, starting) = Starting::new(hub);
        (Started { start }, until_up, starting)
    }

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
        self.start.promise.break_off();
    }
}

impl<U> fmt::Debug for Started<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut started = f.debug_struct("Started");
        if let Some(index) = self.start.index() {
            started.field("index", &index);
        }
        started.finish_non_exhaustive()
    }
}

/// Keeps a group from being done while nothing runs in it, for a producer elsewhere.
///
/// Made by [`Group::keep_open`](crate::Group::keep_open) and
/// [`Spawner::keep_open`](crate::Spawner::keep_open). The group is done when all of them are
/// dropped and all tasks have ended. It is what the `close` of tokio-util's `TaskTracker` is for.
///
/// A failure, a success in [`first_ok`](crate::Group::first_ok), or dropping the group end it all
/// the same, and once the context of a graceful group is cancelled this holds nothing up.
///
/// # Examples
///
/// ```
/// use errgroup::ErrGroup;
///
/// # futures::executor::block_on(async {
/// let group = ErrGroup::<u32, ()>::new();
/// let spawner = group.spawner();
/// let open = group.keep_open();
/// std::thread::spawn(move || {
///     for number in 0..3 {
///         spawner.spawn(async move { Ok(number) });
///     }
///     drop(open); // That was all.
/// });
/// assert_eq!(group.collect().await, Ok(vec![0, 1, 2]));
/// # });
/// ```
///
/// # Deadlock
///
/// Whoever holds it while it waits for the group waits for ever: `let open = group.keep_open();
/// group.await` hangs. `Debug` of a group shows how many there are of it. The opposite mistake is
/// `let _ = group.keep_open()`, which drops it at once.
#[must_use = "dropping it lets the group end"]
pub struct KeepOpen {
    hub: Arc<Hub>,
}

impl KeepOpen {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        hub.keep_open();
        KeepOpen { hub }
    }
}

impl Drop for KeepOpen {
    fn drop(&mut self) {
        // It wakes whoever polls the group, perhaps while the thread panics.
        sequence(|steps| steps.run(|| self.hub.let_go()));
    }
}

/// Shows how many of them keep the group open.
impl fmt::Debug for KeepOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeepOpen")
            .field("kept_open", &self.hub.shared.open())
            .finish_non_exhaustive()
    }
}
