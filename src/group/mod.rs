//! Groups of fallible futures, and the ways to drive and to finish them.

mod aim;
mod debug;
mod doomed;
mod driver;
pub(crate) mod driving;
mod ending;
mod feed;
pub(crate) mod flavor;
mod graceful;
pub(crate) mod handle;
mod mail;
mod outcomes;
mod queue;
mod room;
pub(crate) mod scope;
mod shared;
pub(crate) mod spawner;
mod special;
mod task;
#[cfg_attr(feature = "tracing", path = "trace/on.rs")]
#[cfg_attr(not(feature = "tracing"), path = "trace/off.rs")]
mod trace;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::error::Error;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures::future::FusedFuture;

use crate::context::CancelContext;
use crate::engine::beside::{Alone, Companion};
use crate::error::{Cancelled, Errors, StartError, TrySpawnError};
use crate::group::aim::{Aim, End};
use crate::group::driver::Driver;
use crate::group::flavor::{Accepts, Erases, Flavor, Local, Sending, make};
use crate::group::graceful::{Grace, Lazy};
use crate::group::handle::{AbortHandle, KeepOpen, Started, TaskHandle};
use crate::group::mail::{Refused, closed, closed_or_full};
use crate::group::outcomes::Outcomes;
use crate::group::queue::Lane;
use crate::group::shared::{BODY, Gate, Hub};
use crate::group::spawner::Spawner;
use crate::group::special::Body;
use crate::group::task::{Extra, Noted, Plain, Task, What};
use crate::util::panic::in_passing;
use crate::util::sync::{Lock, std_only};

/// A group of tasks that are `Send`; the group is `Send`, too.
///
/// See [`Group`] for everything else.
///
/// # Examples
///
/// ```
/// use errgroup::ErrGroup;
///
/// fn job<'a>(text: &'a str) -> ErrGroup<'a, usize, std::io::Error> {
///     let mut group = ErrGroup::new();
///     group.spawn(async { Ok(text.len()) });
///     group
/// }
/// # futures::executor::block_on(async {
/// assert_eq!(job("text").collect().await.unwrap(), [4]);
/// # });
/// ```
pub type ErrGroup<'env, T, E> = Group<'env, T, E, Sending>;

/// A group of tasks that need not be `Send`; neither is the group.
///
/// See [`Group`] for everything else.
///
/// # Examples
///
/// ```
/// use errgroup::LocalErrGroup;
/// use std::{cell::Cell, rc::Rc};
///
/// # futures::executor::block_on(async {
/// let count = Rc::new(Cell::new(0));
/// let mut group = LocalErrGroup::<(), ()>::new();
/// for _ in 0..3 {
///     let count = count.clone();
///     group.spawn(async move {
///         count.set(count.get() + 1);
///         Ok(())
///     });
/// }
/// group.await.unwrap();
/// assert_eq!(count.get(), 3);
/// # });
/// ```
///
/// An [`ErrGroup`] does not take these tasks, as they hold an `Rc`:
///
/// ```compile_fail,E0277
/// use errgroup::ErrGroup;
/// use std::rc::Rc;
///
/// let text = Rc::new("text");
/// let mut group = ErrGroup::<usize, ()>::new();
/// group.spawn(async move { Ok(text.len()) });
/// ```
///
/// ```
/// use errgroup::LocalErrGroup;
/// use std::rc::Rc;
///
/// let text = Rc::new("text");
/// let mut group = LocalErrGroup::<usize, ()>::new();
/// group.spawn(async move { Ok(text.len()) });
/// ```
pub type LocalErrGroup<'env, T, E> = Group<'env, T, E, Local>;

/// A group of fallible futures that succeed together or fail together, driven inside one future.
///
/// The two flavours have aliases, which is what code names: [`ErrGroup`] for tasks that are
/// `Send`, and [`LocalErrGroup`] for tasks that need not be. They differ in `K`, the
/// [flavour](crate::flavor), and a bound `K: Accepts<'env, Fut>` of a method says no more than that:
/// `Fut` may borrow what outlives the group, and in an `ErrGroup` it is `Send`.
///
/// Nothing runs until the group is polled, and nothing runs after it is dropped. Tasks may borrow
/// whatever outlives the group, so declare the group after what its tasks borrow. They are
/// numbered from 0 in the order in which they were spawned; that is the *index* of a task.
///
/// How a group takes an error is decided by how it was made:
///
/// - [`new`](Group::new): *fail-fast*. The first error drops all siblings.
/// - [`new().keep_going()`](Group::keep_going): errors touch nobody.
/// - [`with_context`](Group::with_context), [`with_grace`](Group::with_grace): *graceful*. The
///   first error cancels the group's context, and the siblings may come to an end.
///
/// and by what it is driven with; see the table in the [crate docs](crate#what-an-error-does).
///
/// A group is itself a future: awaiting it waits for all tasks, and gives the first error. Values
/// are dropped; [`collect`](Group::collect) gives them, too. It can be awaited through `&mut`, for
/// example in `select!`, as often as wanted, without losing anything.
///
/// A poll of the group polls the tasks that are new or were woken, each at most once, and at most
/// 256 of them; then the group wakes itself and lets others have their turn. In which order it
/// polls them is not promised, but no task waits for ever behind others, however busy they are; that
/// also holds [under tokio's budget](crate#running-under-tokio). To wake one task of many costs
/// the same as to wake one of few.
///
/// An `ErrGroup` is `Send` and `Sync` if `T` and `E` are `Send`; its tasks need not be `Sync`. With
/// `std`, groups are `UnwindSafe`: one that is used again after a caught panic is whole.
///
/// # Examples
///
/// ```
/// use errgroup::ErrGroup;
///
/// # futures::executor::block_on(async {
/// let names = ["one".to_string(), "two".to_string()];
///
/// let mut group = ErrGroup::<usize, std::io::Error>::new();
/// for name in &names {
///     group.spawn(async { Ok(name.len()) }); // Borrows from the stack.
/// }
/// assert_eq!(group.collect().await?, [3, 3]);
/// # Ok::<_, std::io::Error>(())
/// # }).unwrap();
/// ```
///
/// A group that is dropped before what its tasks borrow does compile; the other way round it does
/// not:
///
/// ```compile_fail,E0597
/// use errgroup::ErrGroup;
///
/// let mut group = ErrGroup::<usize, ()>::new();
/// let name = "one".to_string();
/// group.spawn(async { Ok(name.len()) });
/// ```
///
/// ```
/// use errgroup::ErrGroup;
///
/// let name = "one".to_string();
/// let mut group = ErrGroup::<usize, ()>::new();
/// group.spawn(async { Ok(name.len()) });
/// ```
///
/// # Panics
///
/// A task that panics panics out of the poll of the group, at once. If that is caught and the
/// group is polled again, the task is gone and all others go on. With
/// [`catch_panics`](Group#method.catch_panics) the panic becomes the task's error instead, made of a
/// [`Panicked`](struct.Panicked.html).
///
/// When several tasks are dropped and the destructor of one panics, the others are dropped all
/// the same, and then the panic goes on; the failure that led to it is given by the next call.
/// (Without the feature `std` panics cannot be caught, and tasks after it are dropped as
/// unwinding does it.)
#[must_use = "a group does nothing unless it is awaited, and dropping it drops its tasks"]
pub struct Group<'env, T, E, K: Flavor = Sending> {
    /// Locked only by methods that take `&self`, never by a poll: it makes the group `Sync`.
    driver: Lock<GroupDriver<'env, T, E, K>>,
    /// It has returned that it was done, and has not been driven since.
    terminated: bool,
}

type GroupDriver<'env, T, E, K> =
    Driver<T, E, <K as Flavor>::Task<'env, Option<Result<T, E>>>, <K as Flavor>::Task<'env, ()>>;

/// Making groups.
impl<'env, T, E, K: Flavor> Group<'env, T, E, K> {
    /// Makes a fail-fast group: the first error drops all siblings.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    /// use futures::future::pending;
    ///
    /// # futures::executor::block_on(async {
    /// let mut group = ErrGroup::<(), _>::new();
    /// group.spawn(pending()); // Would run for ever.
    /// group.spawn(async { Err("no") });
    /// assert_eq!(group.await, Err("no"));
    /// # });
    /// ```
    pub fn new() -> Self {
        Group {
            driver: Lock::new(Driver::new()),
            terminated: false,
        }
    }

    /// Makes a graceful group, with a context that its first error cancels.
    ///
    /// The context is a [child](CancelContext::child) of `parent`. It is cancelled with
    /// [`TaskFailed`](crate::CancelKind::TaskFailed) at the first error, and with
    /// [`Finished`](crate::CancelKind::Finished) when the group completes or is dropped. Tasks
    /// look at it or wait for it, and return; running ones are polled until they do, while queued
    /// ones are dropped at the error. If somebody else cancels the context, the tasks see it; the
    /// group itself lets them run to their end, and then [closes](Group::is_closed).
    ///
    /// As long as its context is not cancelled, the group stays open, also when
    /// [`next`](Group::next) or `&mut group` finds it empty: a loop may look for outcomes before
    /// there is a first task.
    ///
    /// The context is dead after the group: do not use it for what comes later.
    ///
    /// This is Go's `errgroup.WithContext`. The context comes first in the pair so that it is
    /// dropped last, and tasks may borrow it.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::{CancelContext, CancelKind, ErrGroup};
    ///
    /// # futures::executor::block_on(async {
    /// let (context, mut group) = ErrGroup::with_context(&CancelContext::new());
    /// group.spawn(async {
    ///     let reason = context.cancelled().await;
    ///     assert_eq!(reason.kind(), CancelKind::TaskFailed);
    ///     // Clean up here.
    ///     Ok(())
    /// });
    /// group.spawn(async { Err("no") });
    /// assert_eq!(group.await, Err("no"));
    /// # });
    /// ```
    pub fn with_context(parent: &CancelContext) -> (CancelContext, Self) {
        Self::make_graceful(parent, None)
    }

    /// Makes a graceful group that waits only so long for its tasks after the cancellation.
    ///
    /// Like [`with_context`](Group::with_context), and when the context is cancelled, for
    /// whatever reason (an error of a task, the parent, a deadline, a call of `cancel`), `grace`
    /// is called, and its future polled in every poll of the group. When that completes, all tasks
    /// that are still running or queued are dropped. Their outcome is `E::from` of the reason; that
    /// is what the group returns, unless a task had failed before. A group that ends without a
    /// cancellation never calls `grace`.
    ///
    /// Any timer will do for `grace`, or any other future; its output is dropped. It comes first in
    /// every poll, and takes no turns with the tasks, so it should not be
    /// [greedy](crate#running-under-tokio).
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::{CancelContext, Cancelled, ErrGroup};
    /// use futures::future::pending;
    /// use std::time::Duration;
    ///
    /// # smol::block_on(async {
    /// let grace = || smol::Timer::after(Duration::from_millis(10));
    /// let (context, mut group) = ErrGroup::<(), Cancelled>::with_grace(&CancelContext::new(), grace);
    /// group.spawn(pending()); // Does not listen.
    /// context.cancel_with("time to go home");
    ///
    /// let reason = group.await.unwrap_err();
    /// assert_eq!(reason.cause().unwrap().to_string(), "time to go home");
    /// # });
    /// ```
    pub fn with_grace<G, S>(parent: &CancelContext, grace: G) -> (CancelContext, Self)
    where
        G: FnOnce() -> S + 'env,
        S: Future + 'env,
        K: Accepts<'env, S, G>,
        T: 'env,
        E: From<Cancelled> + 'env,
    {
        let grace = K::Boxer::erase(Box::new(Lazy::new(grace)));
        Self::make_graceful(parent, Some(Grace::new(grace, E::from)))
    }

    fn make_graceful(
        parent: &CancelContext,
        grace: Option<Grace<E, K::Task<'env, ()>>>,
    ) -> (CancelContext, Self) {
        let context = parent.child();
        let mut group = Self::new();
        group.driver().make_graceful(context.clone(), grace);
        (context, group)
    }

    /// Lets everything run to its end, whatever fails; awaiting the group gives the first error.
    ///
    /// The context of a graceful group is cancelled by the first error all the same, but queued
    /// tasks still start, and see it.
    ///
    /// This is what the zero `errgroup.Group` of Go does.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// # futures::executor::block_on(async {
    /// let mut ran = false;
    /// let mut group = ErrGroup::new().keep_going();
    /// group.spawn(async { Err("no") });
    /// group.spawn(async {
    ///     ran = true;
    ///     Ok(())
    /// });
    /// assert_eq!(group.await, Err("no"));
    /// assert!(ran);
    /// # });
    /// ```
    pub fn keep_going(mut self) -> Self {
        self.driver().keep_going = true;
        self
    }

    /// Sets how many tasks may run at once; there is no limit by default.
    ///
    /// Beyond it, [`spawn`](Group::spawn) queues. Queued tasks start in spawn order, each as soon
    /// as a running one is finished. This is Go's `SetLimit`, without a `Go` that blocks.
    ///
    /// # Panics
    ///
    /// If `n` is 0: no task could ever start.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// # futures::executor::block_on(async {
    /// let mut group = ErrGroup::<_, ()>::new().limit(2);
    /// let spawner = group.spawner();
    /// for _ in 0..10 {
    ///     let spawner = spawner.clone();
    ///     group.spawn(async move { Ok(spawner.running()) });
    /// }
    /// assert!(group.collect().await.unwrap().iter().all(|&running| running <= 2));
    /// # });
    /// ```
    #[track_caller]
    pub fn limit(mut self, n: usize) -> Self {
        self.set_limit(n);
        self
    }

    /// Changes how many tasks may run at once, at any time.
    ///
    /// A lower limit stops nobody: no task starts until enough are finished.
    ///
    /// # Panics
    ///
    /// If `n` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// # futures::executor::block_on(async {
    /// let mut group = ErrGroup::<(), ()>::new().limit(1);
    /// group.spawn(async { Ok(()) });
    /// group.spawn(async { Ok(()) });
    /// group.set_limit(2);
    /// group.await.unwrap();
    /// # });
    /// ```
    #[track_caller]
    pub fn set_limit(&mut self, n: usize) {
        self.driver().set_limit(n);
    }

    /// Says what the tasks of a graceful group see as the cause when a sibling's error cancels
    /// their context.
    ///
    /// The error itself is given to whoever awaits the group, so its siblings get a picture of
    /// it: its text, say, or a clone. Without this they see no cause. It is called once, with the
    /// first error.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::{CancelContext, ErrGroup};
    ///
    /// # futures::executor::block_on(async {
    /// let (context, group) = ErrGroup::with_context(&CancelContext::new());
    /// let mut group = group.cause_from(|error: &String| error.clone().into());
    /// group.spawn(async {
    ///     let reason = context.cancelled().await;
    ///     assert_eq!(reason.cause().unwrap().to_string(), "the disk is full");
    ///     Ok(())
    /// });
    /// group.spawn(async { Err("the disk is full".to_string()) });
    /// group.await.unwrap_err();
    /// # });
    /// ```
    pub fn cause_from(mut self, f: fn(&E) -> Box<dyn Error + Send + Sync>) -> Self {
        self.driver().cause_from = Some(f);
        self
    }
}

std_only! {
    impl<T, E, K: Flavor> Group<'_, T, E, K> {
        /// Makes a panic of a task, or of its destructor after it was done or aborted, its error.
        ///
        /// The error is made of a [`Panicked`](crate::Panicked), which is one itself, has the text
        /// of the panic, and can let it go on.
        ///
        /// Tasks that are dropped with all others have no errors: after a failure, when a grace is
        /// over, and with the group. If the destructor of one panics there, the panic goes on when
        /// all are dropped.
        ///
        /// By default a panic goes on at once, out of the poll of the group. A process that
        /// aborts on panics does so here, too.
        ///
        /// An error that is made without the payload of the panic just drops it with the
        /// [`Panicked`](crate::Panicked), also if the destructor of the payload panics.
        ///
        /// # Examples
        ///
        /// ```
        /// use errgroup::ErrGroup;
        ///
        /// # futures::executor::block_on(async {
        /// let mut group = ErrGroup::<(), std::io::Error>::new().catch_panics();
        /// group.spawn(async { panic!("out of cheese") });
        /// let error = group.await.unwrap_err();
        /// assert_eq!(error.to_string(), "a task panicked: out of cheese");
        /// # });
        /// ```
        pub fn catch_panics(mut self) -> Self
        where
            E: From<crate::error::Panicked>,
        {
            self.driver().feed.catch = Some(|payload| crate::error::Panicked::new(payload).into());
            self
        }
    }
}

/// Spawning, and looking.
impl<'env, T, E, K: Flavor> Group<'env, T, E, K> {
    /// Spawns a task.
    ///
    /// It never waits: the task is queued, and starts when the group is polled, in spawn order,
    /// as soon as the [limit](Group::limit) allows. If the group has failed, or is
    /// [closed](Group::is_closed), the future is dropped; use [`try_spawn`](Group::try_spawn) to
    /// get it back.
    ///
    /// The tasks of an [`ErrGroup`] are `Send + 'env`: they may be sent to another thread with the
    /// group, and borrow what outlives it. Those of a [`LocalErrGroup`] are only `'env`, and may
    /// hold an `Rc`. An `async fn` that spawns itself does not compile;
    /// [this](crate#things-that-bite) is how to write it.
    ///
    /// The future is boxed.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// # futures::executor::block_on(async {
    /// let mut group = ErrGroup::<_, ()>::new();
    /// group.spawn(async { Ok(1) });
    /// assert_eq!(group.collect().await, Ok(vec![1]));
    /// # });
    /// ```
    pub fn spawn<Fut>(&mut self, fut: Fut)
    where
        Fut: Future<Output = Result<T, E>>,
        K: Accepts<'env, Fut>,
    {
        drop(self.push::<K::Boxer, _, _>(fut, Plain, Lane::Regular, closed));
    }

    /// Spawns a task if there is room for it: if [`len`](Group::len) is below the limit. This is
    /// Go's `TryGo`.
    ///
    /// To look for room and to take it is one step: no spawner comes between. The task is
    /// `Send + 'env` in an [`ErrGroup`], and `'env` in a [`LocalErrGroup`].
    ///
    /// # Errors
    ///
    /// Gives the future back if there is no room, or if the group has failed or is
    /// [closed](Group::is_closed).
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// let mut group = ErrGroup::<(), ()>::new().limit(1);
    /// assert!(group.try_spawn(async { Ok(()) }).is_ok());
    ///
    /// let refused = group.try_spawn(async { Ok(()) }).unwrap_err();
    /// assert!(refused.is_full());
    /// # drop(refused.into_inner());
    /// ```
    pub fn try_spawn<Fut>(&mut self, fut: Fut) -> Result<(), TrySpawnError<Fut>>
    where
        Fut: Future<Output = Result<T, E>>,
        K: Accepts<'env, Fut>,
    {
        let push = self.push::<K::Boxer, _, _>(fut, Plain, Lane::Regular, closed_or_full);
        push.map_err(|(fut, refused)| refused.error(fut))
    }

    /// Spawns a task with a name, which `Debug` of the group shows.
    ///
    /// Otherwise it is like [`spawn`](Group::spawn): the task is `Send + 'env` in an [`ErrGroup`],
    /// and `'env` in a [`LocalErrGroup`]. With the feature `tracing` the task's span has the name,
    /// too.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// let mut group = ErrGroup::<u32, ()>::new();
    /// group.spawn_named("reader", async { Ok(1) });
    /// assert_eq!(format!("{group:?}"), r#"Group { tasks: [0 "reader": queued], .. }"#);
    /// ```
    pub fn spawn_named<Fut>(&mut self, name: impl Into<Cow<'static, str>>, fut: Fut)
    where
        Fut: Future<Output = Result<T, E>>,
        K: Accepts<'env, Fut>,
    {
        let noted = Noted::new(self.driver().share(), What::Name(name.into()));
        drop(self.push::<K::Boxer, _, _>(fut, noted, Lane::Regular, closed));
    }

    /// Spawns a task that can be aborted, alone: `spawn` of tokio's `JoinSet`.
    ///
    /// An aborted task has no outcome. If the group has failed or is [closed](Group::is_closed),
    /// the future is dropped, and the handle says that it is finished. The task is `Send + 'env` in
    /// an [`ErrGroup`], and `'env` in a [`LocalErrGroup`].
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    /// use futures::future::pending;
    ///
    /// # futures::executor::block_on(async {
    /// let mut group = ErrGroup::new();
    /// group.spawn(async { Ok::<_, ()>(1) });
    /// let handle = group.spawn_abortable(pending());
    /// handle.abort();
    /// assert_eq!(group.collect().await, Ok(vec![1]));
    /// # });
    /// ```
    pub fn spawn_abortable<Fut>(&mut self, fut: Fut) -> AbortHandle
    where
        Fut: Future<Output = Result<T, E>>,
        K: Accepts<'env, Fut>,
    {
        let (handle, abortable) = AbortHandle::new(self.driver().share());
        drop(self.push::<K::Boxer, _, _>(fut, abortable, Lane::Regular, closed));
        handle
    }

    /// Makes a spawner, with which tasks can be spawned from elsewhere, also from tasks.
    ///
    /// It does not keep the group from being done; a [`KeepOpen`](Group::keep_open) does.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// # futures::executor::block_on(async {
    /// let mut group = ErrGroup::<_, ()>::new();
    /// let spawner = group.spawner();
    /// group.spawn(async move {
    ///     spawner.spawn(async { Ok("child") });
    ///     Ok("parent")
    /// });
    /// assert_eq!(group.collect().await, Ok(vec!["parent", "child"]));
    /// # });
    /// ```
    #[must_use]
    pub fn spawner(&self) -> Spawner<'env, T, E, K> {
        Spawner::new(self.driver.with(|driver| driver.mail().clone()))
    }

    /// How many tasks have been started and are not finished.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// let mut group = ErrGroup::<(), ()>::new();
    /// group.spawn(async { Ok(()) });
    /// assert_eq!((group.running(), group.queued(), group.len()), (0, 1, 1));
    /// ```
    #[must_use]
    pub fn running(&self) -> usize {
        self.look(|hub| hub.running()).unwrap_or(0)
    }

    /// How many tasks wait to be started.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// let mut group = ErrGroup::<(), ()>::new();
    /// group.spawn(async { Ok(()) });
    /// assert_eq!(group.queued(), 1);
    /// ```
    #[must_use]
    pub fn queued(&self) -> usize {
        self.look(|hub| hub.queued()).unwrap_or(0)
    }

    /// How many tasks are running or queued.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// let mut group = ErrGroup::<(), ()>::new();
    /// group.spawn(async { Ok(()) });
    /// assert_eq!(group.len(), 1);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.look(|hub| hub.shared.len()).unwrap_or(0)
    }

    /// Whether nothing is running or queued.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// let mut group = ErrGroup::<(), ()>::new();
    /// group.spawn(async { Ok(()) });
    /// assert!(!group.is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The limit: how many tasks may run at once; `usize::MAX` if there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// let mut group = ErrGroup::<(), ()>::new();
    /// assert_eq!(group.current_limit(), usize::MAX);
    /// group.set_limit(8);
    /// assert_eq!(group.current_limit(), 8);
    /// ```
    #[must_use]
    pub fn current_limit(&self) -> usize {
        self.look(|hub| hub.shared.limit()).unwrap_or(usize::MAX)
    }

    /// Whether the group takes no more tasks, for good.
    ///
    /// A graceful group closes when its context was cancelled and everything in it has ended. Until
    /// then it stays open, also when it is found empty. Other groups are open until they are
    /// consumed: one that has failed takes tasks again when its failure was handed over.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::{CancelContext, ErrGroup};
    ///
    /// # futures::executor::block_on(async {
    /// let (context, mut group) = ErrGroup::<(), ()>::with_context(&CancelContext::new());
    /// assert_eq!(group.next().await, None); // Nothing to do yet.
    /// assert!(!group.is_closed());
    ///
    /// context.cancel();
    /// assert_eq!(group.next().await, None);
    /// assert!(group.is_closed());
    /// # });
    /// ```
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.look(|hub| hub.shared.gate()) == Some(Gate::Closed)
    }

    /// Keeps the group from being done while nothing runs in it, until the [`KeepOpen`] is
    /// dropped: for a producer elsewhere.
    ///
    /// While there is one, [`next`](Group::next) and [`results`](Group::results) wait on an empty
    /// group instead of ending, so that they can stand in a `select!` from the start. A failure
    /// ends the group all the same, and once the context of a graceful group is cancelled, only its
    /// tasks are waited for.
    ///
    /// # Deadlock
    ///
    /// Awaiting the group while holding one hangs: `let open = group.keep_open(); group.await`.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// # futures::executor::block_on(async {
    /// let mut group = ErrGroup::<u32, ()>::new();
    /// let (spawner, open) = (group.spawner(), group.keep_open());
    /// let producer = std::thread::spawn(move || {
    ///     spawner.spawn(async { Ok(1) });
    ///     drop(open); // Or when the thread panics.
    /// });
    /// assert_eq!(group.next().await, Some(Ok(1)));
    /// assert_eq!(group.next().await, None);
    /// # producer.join().unwrap();
    /// # });
    /// ```
    pub fn keep_open(&self) -> KeepOpen {
        KeepOpen::new(self.driver.with(|driver| driver.share().clone()))
    }

    /// Drops all tasks, running and queued. They have no outcome.
    ///
    /// They are gone when this returns, at a cost of O(tasks). The group can be used on: what it has
    /// kept, it still has. The context of a graceful group is not cancelled.
    ///
    /// # Panics
    ///
    /// If the destructor of a task panics; all others have been dropped then. With
    /// [`catch_panics`](Group#method.catch_panics) that is the task's error, and the group goes on with it
    /// when it is polled next.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// # futures::executor::block_on(async {
    /// let mut group = ErrGroup::<(), ()>::new();
    /// group.spawn(futures::future::pending());
    /// group.abort_all();
    /// group.await.unwrap();
    /// # });
    /// ```
    pub fn abort_all(&mut self) {
        self.driver().abort();
    }

    fn driver(&mut self) -> &mut GroupDriver<'env, T, E, K> {
        self.driver.get_mut()
    }

    /// Looks at what is shared, if something is.
    fn look<R>(&self, look: impl FnOnce(&Hub) -> R) -> Option<R> {
        self.driver.with(|driver| driver.hub().map(|hub| look(hub)))
    }

    #[inline]
    fn push<B, Fut, X>(
        &mut self,
        fut: Fut,
        extra: X,
        lane: Lane,
        refusal: fn(&Hub) -> Option<Refused>,
    ) -> Result<(), (Fut, Refused)>
    where
        B: Erases<'env, K, Task<Fut, X>>,
        Fut: Future,
        Task<Fut, X>: Future<Output = Option<X::Outcome>>,
        X: Extra<Fut::Output, Outcome = Result<T, E>>,
    {
        let push = self
            .driver()
            .push((fut, extra), lane, refusal, make::<K, B, _, _>);
        push.map_err(|((fut, _), refused)| (fut, refused))
    }
}

/// For groups whose tasks have no values.
impl<'env, E, K: Flavor> Group<'env, (), E, K> {
    /// Spawns a task whose value goes to a handle; see
    /// [`Spawner::spawn_with_handle`].
    ///
    /// The task's error goes to the group. The handle does not drive the group: await it through
    /// [`drive`](Group::drive), or from a task, or when the group is done. The task, with its value,
    /// is `Send + 'env` in an [`ErrGroup`], and `'env` in a [`LocalErrGroup`].
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// # futures::executor::block_on(async {
    /// let mut group = ErrGroup::<(), ()>::new();
    /// let handle = group.spawn_with_handle(async { Ok("value") });
    /// group.await.unwrap();
    /// assert_eq!(handle.await.unwrap(), "value");
    /// # });
    /// ```
    pub fn spawn_with_handle<U, Fut>(&mut self, fut: Fut) -> TaskHandle<U>
    where
        Fut: Future<Output = Result<U, E>>,
        K: Accepts<'env, Fut, U>,
    {
        let (handle, handled) = TaskHandle::new(self.driver().share());
        drop(self.push::<K::Boxer, _, _>(fut, handled, Lane::Regular, closed));
        handle
    }

    /// Spawns a task in the background: it counts for nothing; see
    /// [`Spawner::spawn_background`].
    ///
    /// It is dropped when the group was consumed and all others have ended. Through a reference,
    /// as with [`next`](Group::next) or `(&mut group).await`, an empty group keeps it, so that a
    /// server's heartbeat goes on while there are no clients. Only a graceful group whose context
    /// was cancelled drops it there, too, when all others have ended. It is not polled once more
    /// for that, and may never see the cancel: what has to be done at the end does not belong here.
    /// Its error fails the group. It is `Send + 'env` in an [`ErrGroup`], and `'env` in a
    /// [`LocalErrGroup`].
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    /// use futures::future::pending;
    ///
    /// # futures::executor::block_on(async {
    /// let mut group = ErrGroup::<(), ()>::new();
    /// group.spawn_background(pending()); // A heartbeat, say.
    /// group.spawn(async { Ok(()) });
    /// group.await.unwrap();
    /// # });
    /// ```
    pub fn spawn_background<Fut>(&mut self, fut: Fut)
    where
        Fut: Future<Output = Result<(), E>>,
        K: Accepts<'env, Fut>,
    {
        let noted = Noted::new(self.driver().share(), What::Background);
        drop(self.push::<K::Boxer, _, _>(fut, noted, Lane::Express, closed));
    }

    /// Spawns a task, and drives the group until the task says that it is up; `None` if the group
    /// fails first.
    ///
    /// This is [`Spawner::start`](crate::Spawner::start) and [`drive`](Group::drive) in one. The
    /// task, with what it gives to [`Started::ready`], is `Send + 'env` in an
    /// [`ErrGroup`](crate::ErrGroup), and `'env` in a [`LocalErrGroup`](crate::LocalErrGroup).
    ///
    /// # Errors
    ///
    /// As with [`Spawner::start`](crate::Spawner::start): the task has ended, or was refused, before it was up.
    ///
    /// # Cancel safety
    ///
    /// As with [`Spawner::start`](crate::Spawner::start). The group loses nothing when the future is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::{ErrGroup, Started};
    ///
    /// # futures::executor::block_on(async {
    /// let mut group = ErrGroup::<(), std::io::Error>::new();
    /// let port = group.start(async |started: Started<u16>| {
    ///     started.ready(8080); // Bind first.
    ///     Ok(())
    /// });
    /// assert_eq!(port.await, Some(Ok(8080)));
    /// group.await.unwrap();
    /// # });
    /// ```
    pub async fn start<U, B, Fut>(&mut self, body: B) -> Option<Result<U, StartError>>
    where
        B: FnOnce(Started<U>) -> Fut,
        Fut: Future<Output = Result<(), E>>,
        K: Accepts<'env, Fut, U>,
    {
        let spawner = self.spawner();
        self.drive(spawner.start(body)).await
    }

    /// Runs a body that may spawn tasks into this group, and ends when the body and all tasks have
    /// ended: a [scope](crate::scope()) with the limit, the grace, `catch_panics` and `keep_going`
    /// of the group.
    ///
    /// The body is one of the tasks: it is polled when it was woken, and may await whatever it
    /// likes. It has no index, does not count towards the limit, and [`abort_all`](Spawner::abort_all)
    /// spares it. What was spawned into the group before belongs to the scope, too. The future of the
    /// body, with its value, is `Send + 'env` for an [`ErrGroup`], and `'env` for a [`LocalErrGroup`].
    ///
    /// # Errors
    ///
    /// The first error in time, of the body or of a task. If the group has failed already, that
    /// failure, and the body is not run. If the failure was handed over before, by `(&mut group).await`
    /// or [`next`](Group::next), the body runs: a fail-fast group is as good as new, while a graceful
    /// one refuses what it spawns. So does a group that is closed.
    ///
    /// # Panics
    ///
    /// A panic of the body or of a task goes on out of the poll, unless the group
    /// [catches panics](Group#method.catch_panics). That covers the future that `body` returns; a panic in
    /// calling `body`, before there is a future, goes on in any case. Polling it after that, or after it has completed,
    /// panics, too.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the body and all tasks.
    ///
    /// # Examples
    ///
    /// At most 8 at once:
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// # futures::executor::block_on(async {
    /// let sum = ErrGroup::<(), ()>::new().limit(8).scope(async |s| {
    ///     let mut handles = Vec::new();
    ///     for number in 0..100 {
    ///         handles.push(s.spawn_with_handle(async move { Ok(number) }));
    ///     }
    ///     let mut sum = 0;
    ///     for handle in handles {
    ///         sum += handle.await.map_err(|_| ())?;
    ///     }
    ///     Ok(sum)
    /// });
    /// assert_eq!(sum.await, Ok(4950));
    /// # });
    /// ```
    pub async fn scope<R, B, Fut>(mut self, body: B) -> Result<R, E>
    where
        B: FnOnce(Spawner<'env, (), E, K>) -> Fut,
        Fut: Future<Output = Result<R, E>>,
        K: Accepts<'env, Fut, R>,
    {
        let (mut body, mut place) = (Some(body), None);
        if let Some(body) = body.take_if(|_| !self.driver().owes_failure()) {
            let future = body(self.spawner());
            let driver = self.driver();
            let hub = driver.share().clone();
            let (value, body) = Body::new(&hub);
            let body = make::<K, K::Boxer, _, _>((future, body), BODY, &hub);
            driver.feed.queue.set_body(body);
            place = Some(value);
        }
        poll_fn(|cx| self.poll(cx, Aim::Scope, &mut Alone)).await;
        let result = self.driver().take_result().map(|()| {
            let value = place.as_ref().and_then(|place| place.take());
            value.expect("a body that did not fail has a value")
        });
        leave((place, body, self));
        result
    }
}

/// Driving a group while doing something else.
impl<'env, T, E, K: Flavor> Group<'env, T, E, K> {
    /// Drives the group until there is room for a task, that is until [`len`](Group::len) is
    /// below the limit; false if the group has failed or is [closed](Group::is_closed).
    ///
    /// Each call starts what is queued as far as there is room, and gives tasks that were woken
    /// their share, so that in a loop of `ready` and `spawn` all of them go on. If there is room
    /// then, it returns without waiting. Outcomes are kept for the call that finishes the group.
    /// (Values of size zero take no memory.)
    ///
    /// # Examples
    ///
    /// At most 8 at once, and no queue:
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// # futures::executor::block_on(async {
    /// let mut group = ErrGroup::<_, ()>::new().limit(8);
    /// for number in 0..100 {
    ///     if !group.ready().await {
    ///         break; // A task has failed.
    ///     }
    ///     group.spawn(async move { Ok(number) });
    /// }
    /// assert_eq!(group.collect().await?.len(), 100);
    /// # Ok::<_, ()>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped: tasks stay in the group, outcomes are kept.
    pub async fn ready(&mut self) -> bool {
        poll_fn(|cx| self.poll(cx, Aim::Ready, &mut Alone)).await == End::Room
    }

    /// The next outcome, in the order in which tasks end; `None` when nothing is running or
    /// queued.
    ///
    /// With this, errors are just outcomes: they drop nobody and cancel nothing, and you decide
    /// what to do. What was kept before comes first. If a fail-fast group had failed, it can be
    /// used again when its failure has been given.
    ///
    /// A group that is found empty takes more tasks, and keeps its background tasks. Only a graceful
    /// group whose context was cancelled is [closed](Group::is_closed) at `None`, and without them. While there is a
    /// [`KeepOpen`](Group::keep_open), an empty group has no `None` to give: this waits.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// # futures::executor::block_on(async {
    /// let mut group = ErrGroup::new();
    /// group.spawn(async { Ok(1) });
    /// group.spawn(async { Err("no") });
    /// group.spawn(async { Ok(3) });
    /// while let Some(outcome) = group.next().await {
    ///     match outcome {
    ///         Ok(value) => println!("{value}"),
    ///         Err(error) => eprintln!("{error}"),
    ///     }
    /// }
    /// # });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped: an outcome is given or still to come.
    pub async fn next(&mut self) -> Option<Result<T, E>> {
        let outcome = self.next_indexed().await;
        outcome.map(|(_, outcome)| outcome)
    }

    /// The next outcome with the index of its task, like [`next`](Group::next): `join_next_with_id`
    /// of tokio's `JoinSet`.
    ///
    /// The index is the number of the spawn, and what a handle's
    /// [`index`](crate::AbortHandle::index) says. Of kept values of size zero, of which nothing is
    /// kept but the indices, the lowest comes first.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// # futures::executor::block_on(async {
    /// let hosts = ["example.org", "example.net"];
    /// let mut group = ErrGroup::new();
    /// for host in hosts {
    ///     group.spawn(async move { if host.ends_with("org") { Ok(()) } else { Err("no route") } });
    /// }
    /// while let Some((index, outcome)) = group.next_indexed().await {
    ///     println!("{}: {outcome:?}", hosts[index]);
    /// }
    /// # });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped: an outcome is given or still to come.
    pub async fn next_indexed(&mut self) -> Option<(usize, Result<T, E>)> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Drives the group.
    fn poll(&mut self, cx: &mut Context<'_>, aim: Aim, beside: &mut impl Companion) -> Poll<End> {
        self.terminated = false;
        self.driver().poll(cx, aim, beside)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(usize, Result<T, E>)>> {
        let end = ready!(self.poll(cx, Aim::Next, &mut Alone));
        self.terminated = end == End::Done;
        Poll::Ready(self.driver().pop())
    }
}

/// Finishing. Each of these consumes the group; to await it as a future is the other way.
impl<'env, T, E, K: Flavor> Group<'env, T, E, K> {
    /// Waits for all tasks, and gives their values in spawn order.
    ///
    /// # Errors
    ///
    /// The first error in time. In a fail-fast group it has dropped the siblings.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// # futures::executor::block_on(async {
    /// let mut group = ErrGroup::<_, ()>::new();
    /// for number in 0..3 {
    ///     group.spawn(async move { Ok(number * number) });
    /// }
    /// assert_eq!(group.collect().await, Ok(vec![0, 1, 4]));
    /// # });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the group with all its tasks.
    pub async fn collect(mut self) -> Result<Vec<T>, E> {
        let mut kept = self.finish(Aim::Collect).await;
        let result = match kept.pop_error() {
            Some(failure) => Err(failure),
            None => Ok(kept.take_values()),
        };
        leave((kept, self));
        result
    }

    /// Runs everything to its end, and gives all values in spawn order, or all errors.
    ///
    /// # Errors
    ///
    /// All errors, if there is at least one.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// # futures::executor::block_on(async {
    /// let mut group = ErrGroup::new();
    /// group.spawn(async { Err("a") });
    /// group.spawn(async { Ok(()) });
    /// group.spawn(async { Err("c") });
    /// let errors = group.wait_all().await.unwrap_err();
    /// assert_eq!(errors.into_vec(), [(0, "a"), (2, "c")]);
    /// # });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the group with all its tasks.
    pub async fn wait_all(mut self) -> Result<Vec<T>, Errors<E>> {
        let mut kept = self.finish(Aim::All).await;
        let result = kept.take_all();
        leave((kept, self));
        result
    }

    /// Runs everything to its end, and gives every outcome in spawn order.
    ///
    /// A task that was [aborted](Group::abort_all), or that panicked, has none.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// # futures::executor::block_on(async {
    /// let mut group = ErrGroup::new();
    /// group.spawn(async { Ok(1) });
    /// group.spawn(async { Err("no") });
    /// assert_eq!(group.settle().await, [Ok(1), Err("no")]);
    /// # });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the group with all its tasks.
    pub async fn settle(mut self) -> Vec<Result<T, E>> {
        let results = self.finish(Aim::All).await.take_results();
        leave(self);
        results
    }

    /// Gives the first success, and drops the rest.
    ///
    /// The losers are dropped without being told, also in a graceful group: they are not polled any
    /// more to see that its context is cancelled. A
    /// [recipe](crate::recipes#the-first-answer-wins-and-the-losers-say-goodbye) lets them say
    /// goodbye.
    ///
    /// # Errors
    ///
    /// All errors, if no task succeeded; none at all, if no task came to an outcome.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// # futures::executor::block_on(async {
    /// let mut group = ErrGroup::new();
    /// group.spawn(async { Err("mirror 1 is down") });
    /// group.spawn(async { Ok("from mirror 2") });
    /// group.spawn(futures::future::pending());
    /// assert_eq!(group.first_ok().await.unwrap(), "from mirror 2");
    /// # });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the group with all its tasks.
    pub async fn first_ok(mut self) -> Result<T, Errors<E>> {
        let mut kept = self.finish(Aim::FirstOk).await;
        let result = match kept.pop_value() {
            Some(value) => Ok(value),
            None => Err(kept.take_errors()),
        };
        leave((kept, self));
        result
    }

    /// Drives the group to its end, and gives what was kept.
    async fn finish(&mut self, aim: Aim) -> Outcomes<T, E> {
        poll_fn(|cx| self.poll(cx, aim, &mut Alone)).await;
        self.driver().take_kept()
    }
}

/// Waits for all tasks. Values are dropped.
///
/// Gives the first error in time. What that does to the siblings is up to how the group was made.
/// A group that is awaited through `&mut` is empty afterwards, but for its background tasks, and can
/// be used again; a graceful one only as long as its context is not cancelled.
///
/// # Cancel safety
///
/// Nothing is lost when it is awaited through `&mut` and that is dropped. Dropping the group drops
/// its tasks.
impl<T, E, K: Flavor> Future for Group<'_, T, E, K> {
    type Output = Result<(), E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!((*self).poll(cx, Aim::Await, &mut Alone));
        let result = self.driver().take_result();
        self.terminated = true;
        Poll::Ready(result)
    }
}

/// Nothing is pinned in a group: its tasks are boxed.
impl<T, E, K: Flavor> Unpin for Group<'_, T, E, K> {}

/// Terminated once it has returned, until something is spawned or it is kept open.
impl<T, E, K: Flavor> FusedFuture for Group<'_, T, E, K> {
    fn is_terminated(&self) -> bool {
        let is_idle = |hub: &Hub| hub.shared.len() == 0 && hub.shared.open() == 0;
        let is_over = |driver: &mut GroupDriver<'_, T, E, K>| {
            driver.doomed.is_empty() && driver.hub().is_none_or(|hub| is_idle(hub))
        };
        self.terminated && self.driver.with(is_over)
    }
}

impl<T, E, K: Flavor> Default for Group<'_, T, E, K> {
    fn default() -> Self {
        Self::new()
    }
}

/// Spawns every future.
impl<'env, T, E, K, Fut> Extend<Fut> for Group<'env, T, E, K>
where
    K: Accepts<'env, Fut>,
    Fut: Future<Output = Result<T, E>>,
{
    fn extend<I: IntoIterator<Item = Fut>>(&mut self, futures: I) {
        for future in futures {
            self.spawn(future);
        }
    }
}

/// Makes a fail-fast group of futures.
///
/// ```
/// use errgroup::ErrGroup;
///
/// # futures::executor::block_on(async {
/// let futures = (0..3).map(|number| async move { Ok::<_, ()>(number) });
/// futures.collect::<ErrGroup<_, _>>().await.unwrap();
/// # });
/// ```
impl<'env, T, E, K, Fut> FromIterator<Fut> for Group<'env, T, E, K>
where
    K: Accepts<'env, Fut>,
    Fut: Future<Output = Result<T, E>>,
{
    fn from_iter<I: IntoIterator<Item = Fut>>(futures: I) -> Self {
        let mut group = Group::new();
        group.extend(futures);
        group
    }
}

/// Drops every task, also those that hold a spawner to the group.
impl<T, E, K: Flavor> Drop for Group<'_, T, E, K> {
    fn drop(&mut self) {
        self.driver().close();
    }
}

/// Drops what is left when a result is on its way out: it is not to be lost to a destructor.
fn leave<X>(left: X) {
    in_passing(|steps| steps.run(|| drop(left)));
}
