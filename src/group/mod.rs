//! Groups of fallible futures, and the ways to drive and to finish them.

mod aim;
mod driver;
mod flavor;
mod graceful;
pub(crate) mod handle;
mod inbox;
mod outcomes;
pub(crate) mod scope;
pub(crate) mod spawner;
mod tally;
#[cfg_attr(feature = "tracing", path = "trace/on.rs")]
#[cfg_attr(not(feature = "tracing"), path = "trace/off.rs")]
mod trace;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;
use core::future::{Future, poll_fn};
use core::mem;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, ready};

use futures::future::FusedFuture;
use futures::stream::{FusedStream, Stream};

use crate::context::CancelContext;
use crate::engine::beside::{Beside, Body, Companion, Driven};
use crate::engine::parker::Latch;
use crate::error::{Cancelled, Errors, TrySpawnError};
use crate::group::aim::{Aim, End};
use crate::group::driver::Driver;
use crate::group::flavor::{Accepts, Kind, Local, Sending};
use crate::group::graceful::{Grace, Lazy};
use crate::group::inbox::Inbox;
use crate::group::outcomes::Outcomes;
use crate::group::spawner::{Spawner, erase, try_spawn_with};
use crate::util::sync::{Arc, Lock, std_only};

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
pub type LocalErrGroup<'env, T, E> = Group<'env, T, E, Local>;

/// A group of fallible futures that succeed together or fail together, driven inside one future.
///
/// The two flavours have aliases, which is what code names: [`ErrGroup`] for tasks that are
/// `Send`, and [`LocalErrGroup`] for tasks that need not be.
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
/// # Panics
///
/// A task that panics panics out of the poll of the group, at once. If that is caught and the
/// group is polled again, the task is gone and all others go on. With
/// [`catch_panics`](Group::catch_panics) the panic becomes the task's error instead.
///
/// When several tasks are dropped and the destructor of one panics, the others are dropped all
/// the same, and then the panic goes on; the failure that led to it is given by the next call.
/// (Without the feature `std` panics cannot be caught, and tasks after it are dropped as
/// unwinding does it.)
#[must_use = "a group does nothing unless it is awaited, and dropping it drops its tasks"]
pub struct Group<'env, T, E, K: Kind = Sending> {
    /// Nobody ever locks it but `Debug`: it makes the group `Sync`.
    driver: Lock<GroupDriver<'env, T, E, K>>,
    inbox: Arc<Inbox<GroupTask<'env, T, E, K>>>,
    /// It has returned that it was done, and has not been driven since.
    terminated: bool,
}

type GroupTask<'env, T, E, K> = <K as Kind>::Task<'env, Result<T, E>>;
type GroupDriver<'env, T, E, K> =
    Driver<T, E, GroupTask<'env, T, E, K>, <K as Kind>::Task<'env, ()>>;

/// Making groups.
impl<'env, T, E, K: Kind> Group<'env, T, E, K> {
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
        Self::with_driver(Driver::new())
    }

    /// Makes a graceful group, with a context that its first error cancels.
    ///
    /// The context is a [child](CancelContext::child) of `parent`. It is cancelled with
    /// [`TaskFailed`](crate::CancelKind::TaskFailed) at the first error, and with
    /// [`Finished`](crate::CancelKind::Finished) when the group completes or is dropped. Tasks
    /// look at it or wait for it, and return; running ones are polled until they do, while queued
    /// ones are dropped at the error. If somebody else cancels the context, the tasks see it; the
    /// group itself does nothing.
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
    /// is called, and its future polled beside the tasks. When that completes, all tasks that are
    /// still running or queued are dropped. Their outcome is `E::from` of the reason; that is what
    /// the group returns, unless a task had failed before.
    ///
    /// Any timer will do for `grace`, or any other future; its output is dropped.
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
        K: Accepts<'env, Lazy<G, S>>,
        T: 'env,
        E: From<Cancelled> + 'env,
    {
        let grace = Grace {
            future: K::erase(Box::new(Lazy::new(grace))),
            convert: E::from,
        };
        Self::make_graceful(parent, Some(grace))
    }

    fn make_graceful(
        parent: &CancelContext,
        grace: Option<Grace<E, K::Task<'env, ()>>>,
    ) -> (CancelContext, Self) {
        let context = parent.child();
        let mut driver = Driver::new();
        driver.make_graceful(context.clone(), grace);
        (context, Self::with_driver(driver))
    }

    fn with_driver(driver: GroupDriver<'env, T, E, K>) -> Self {
        Group {
            inbox: driver.inbox.clone(),
            driver: Lock::new(driver),
            terminated: false,
        }
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
    /// as a running one is finished.
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
    pub fn set_limit(&mut self, n: usize) {
        self.inbox.set_limit(n);
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
    impl<T, E, K: Kind> Group<'_, T, E, K> {
        /// Makes a panic of a task, or of its destructor after it was done, its error.
        ///
        /// By default a panic goes on at once, out of the poll of the group. A process that
        /// aborts on panics does so here, too.
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
            E: From<crate::Panicked>,
        {
            self.driver().catch = Some(|payload| crate::Panicked::new(payload).into());
            self
        }
    }
}

/// Spawning, and looking.
impl<'env, T, E, K: Kind> Group<'env, T, E, K> {
    /// Spawns a task.
    ///
    /// It never waits: the task is queued, and starts when the group is polled, in spawn order,
    /// as soon as the [limit](Group::limit) allows. If the group has failed, or is over, the
    /// future is dropped; use [`try_spawn`](Group::try_spawn) to get it back.
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
        K: Accepts<'env, trace::Task<Fut>>,
    {
        let task = Box::new(trace::task(fut, self.inbox.group(), self.inbox.tally()));
        let refused = self.driver().push(task, erase::<K, _>);
        drop(refused);
    }

    /// Spawns a task if there is room for it: if [`len`](Group::len) is below the limit.
    ///
    /// # Errors
    ///
    /// Gives the future back if there is no room, or if the group has failed or is over.
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
        K: Accepts<'env, trace::Task<Fut>>,
    {
        let Group { driver, inbox, .. } = self;
        let driver = driver.get_mut();
        try_spawn_with(inbox, fut, |task| driver.try_push(task, erase::<K, _>))
    }

    /// Makes a spawner, with which tasks can be spawned from elsewhere, also from tasks.
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
    pub fn spawner(&self) -> Spawner<'env, T, E, K> {
        Spawner::new(self.inbox.clone())
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
    pub fn running(&self) -> usize {
        self.inbox.running()
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
    pub fn queued(&self) -> usize {
        self.inbox.queued()
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
    pub fn len(&self) -> usize {
        self.inbox.len()
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
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops all tasks, running and queued. They have no outcome.
    ///
    /// The group can be used on: what it has kept, it still has. The context of a graceful group
    /// is not cancelled.
    ///
    /// # Panics
    ///
    /// If the destructor of a task panics; all others have been dropped then.
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
}

/// Driving a group while doing something else.
impl<'env, T, E, K: Kind> Group<'env, T, E, K> {
    /// Drives the group until there is room for a task, that is until [`len`](Group::len) is
    /// below the limit; false if the group has failed or is over.
    ///
    /// If there is room, it returns at once, without driving anything. Outcomes are kept for the
    /// call that finishes the group. (Values of size zero take no memory.)
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
        self.terminated = false;
        let driver = self.driver();
        driver.is_ready() || poll_fn(|cx| driver.poll(cx, Aim::READY)).await == End::Room
    }

    /// Drives the group together with any other future, and gives that one's output; `None` if
    /// the group fails.
    ///
    /// While you await something else, nobody polls the group. So whatever the code around a
    /// group has to wait for (a connection, a permit, a message) goes through `drive`. Outcomes
    /// are kept for the call that finishes the group. An empty group just waits for `fut`.
    ///
    /// The group is polled before `fut`, and `fut` whenever it was woken, not whenever a task
    /// was. If the group fails, `fut` is dropped, and has not been polled since.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    /// use futures::{SinkExt, StreamExt, channel::mpsc};
    ///
    /// # futures::executor::block_on(async {
    /// let (mut sender, mut jobs) = mpsc::channel(0);
    /// let mut group = ErrGroup::<(), mpsc::SendError>::new();
    /// group.spawn(async move {
    ///     for job in 1..=3 {
    ///         sender.send(job).await?;
    ///     }
    ///     Ok(())
    /// });
    ///
    /// // `jobs.next().await` alone would wait for ever: the task that sends is not polled.
    /// while let Some(Some(job)) = group.drive(jobs.next()).await {
    ///     println!("job {job}");
    /// }
    /// group.await
    /// # }).unwrap();
    /// ```
    ///
    /// # Cancel safety
    ///
    /// As safe as `fut`: the group loses nothing when the future is dropped.
    pub async fn drive<Fut: Future>(&mut self, fut: Fut) -> Option<Fut::Output> {
        self.terminated = false;
        let driver = self.driver();
        let future = pin!(Some(fut));
        let mut driven = Driven::new(Companion::new(future, driver.latch()));
        poll_fn(|cx| {
            driven.renew();
            driver.poll_with(cx, Aim::DRIVE, &mut driven)
        })
        .await;
        driven.take()
    }

    /// The next outcome, in the order in which tasks end; `None` when nothing is running or
    /// queued.
    ///
    /// With this, errors are just outcomes: they drop nobody and cancel nothing, and you decide
    /// what to do. What was kept before comes first. If a fail-fast group had failed, it can be
    /// used again when its failure has been given; a graceful group is closed for good at `None`.
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
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The outcomes as a stream, in the order in which tasks end; like [`next`](Group::next).
    ///
    /// Nothing is driven while you do not poll the stream: a slow `for_each` on it stops the
    /// tasks meanwhile.
    ///
    /// # Cancel safety
    ///
    /// As with [`next`](Group::next): dropping the stream loses nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    /// use futures::TryStreamExt;
    ///
    /// # futures::executor::block_on(async {
    /// let mut group = ErrGroup::<_, ()>::new();
    /// group.spawn(async { Ok(1) });
    /// group.spawn(async { Ok(2) });
    /// let sum = group.results().try_fold(0, |sum, value| async move { Ok(sum + value) });
    /// assert_eq!(sum.await, Ok(3));
    /// # });
    /// ```
    pub fn results(&mut self) -> Results<'_, 'env, T, E, K> {
        Results { group: self }
    }

    /// For what is polled beside the tasks.
    pub(crate) fn latch(&mut self) -> Arc<Latch> {
        self.driver().latch()
    }

    /// Drives the group with the body of a scope to the end of both.
    pub(crate) fn poll_scope<R, Fut>(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Body<'_, R, Fut>,
    ) -> Poll<Result<R, E>>
    where
        Fut: Future<Output = Result<R, E>>,
    {
        let driver = self.driver();
        let aim = if body.is_body() {
            Aim::SCOPE
        } else {
            Aim::END_OF_SCOPE
        };
        body.renew();
        ready!(driver.poll_with(cx, aim, body));
        // If a task has failed, it goes as its siblings went.
        body.cut();
        driver.take_result()?;
        let value = body.take();
        Poll::Ready(Ok(value.expect("a body that did not fail has a value")))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, E>>> {
        self.terminated = false;
        let outcome = ready!(self.driver().poll_next(cx));
        self.terminated = outcome.is_none();
        Poll::Ready(outcome)
    }
}

/// Finishing. Each of these consumes the group; to await it as a future is the other way.
impl<'env, T, E, K: Kind> Group<'env, T, E, K> {
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
        let mut kept = self.finish(Aim::COLLECT).await;
        match kept.pop_error() {
            Some(failure) => Err(failure),
            None => Ok(kept.into_values()),
        }
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
        self.finish(Aim::ALL).await.into_all()
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
        self.finish(Aim::ALL).await.into_results()
    }

    /// Gives the first success, and drops the rest.
    ///
    /// # Errors
    ///
    /// All errors, if no task succeeded; none at all, if there was no task.
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
        let mut kept = self.finish(Aim::FIRST_OK).await;
        match kept.pop_value() {
            Some(value) => Ok(value),
            None => Err(kept.take_errors()),
        }
    }

    /// Drives the group to its end, and gives what was kept.
    async fn finish(&mut self, aim: Aim) -> Outcomes<T, E> {
        let driver = self.driver();
        poll_fn(|cx| driver.poll(cx, aim)).await;
        mem::take(&mut driver.kept)
    }
}

/// Waits for all tasks. Values are dropped.
///
/// Gives the first error in time. What that does to the siblings is up to how the group was made.
/// A fail-fast or keep-going group that is awaited through `&mut` is empty afterwards, and can be
/// used again; a graceful one is closed.
///
/// # Cancel safety
///
/// Nothing is lost when it is awaited through `&mut` and that is dropped. Dropping the group drops
/// its tasks.
impl<T, E, K: Kind> Future for Group<'_, T, E, K> {
    type Output = Result<(), E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.terminated = false;
        let driver = self.driver();
        ready!(driver.poll(cx, Aim::AWAIT));
        let result = driver.take_result();
        self.terminated = true;
        Poll::Ready(result)
    }
}

/// Nothing is pinned in a group: its tasks are boxed.
impl<T, E, K: Kind> Unpin for Group<'_, T, E, K> {}

/// Terminated once it has returned, until something is spawned.
impl<T, E, K: Kind> FusedFuture for Group<'_, T, E, K> {
    fn is_terminated(&self) -> bool {
        self.terminated && self.is_empty()
    }
}

impl<T, E, K: Kind> Default for Group<'_, T, E, K> {
    fn default() -> Self {
        Self::new()
    }
}

/// Spawns every future.
impl<'env, T, E, K, Fut> Extend<Fut> for Group<'env, T, E, K>
where
    K: Accepts<'env, trace::Task<Fut>>,
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
    K: Accepts<'env, trace::Task<Fut>>,
    Fut: Future<Output = Result<T, E>>,
{
    fn from_iter<I: IntoIterator<Item = Fut>>(futures: I) -> Self {
        let mut group = Group::new();
        group.extend(futures);
        group
    }
}

/// Lists the unfinished tasks: index, name, and whether it is running or queued.
impl<T, E, K: Kind> fmt::Debug for Group<'_, T, E, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It never waits: if another thread is at the same group just now, a part is left out.
        let names = self.inbox.tally().names().unwrap_or_default();
        let mut tasks = Vec::new();
        self.driver.try_with(|driver| {
            tasks.extend(driver.running().into_iter().map(|index| (index, "running")));
            tasks.extend(driver.queued().map(|index| (index, "queued")));
        });
        let unseen = self.inbox.unseen().unwrap_or_default();
        tasks.extend(unseen.into_iter().map(|index| (index, "queued")));
        tasks.sort_unstable();
        let tasks = tasks.into_iter().map(|(index, state)| Listed {
            index,
            name: names.get(&index).map(|name| &**name),
            state,
        });
        f.debug_struct("Group")
            .field("tasks", &tasks.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// A task in the list that `Debug` prints.
struct Listed<'a> {
    index: usize,
    name: Option<&'a str>,
    state: &'static str,
}

impl fmt::Debug for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.index)?;
        if let Some(name) = self.name {
            write!(f, " {name:?}")?;
        }
        write!(f, ": {}", self.state)
    }
}

/// Drops every task, also those that hold a spawner to the group.
impl<T, E, K: Kind> Drop for Group<'_, T, E, K> {
    fn drop(&mut self) {
        self.driver().close();
    }
}

/// The outcomes of a group as they come; made by [`Group::results`].
///
/// # Examples
///
/// ```
/// use errgroup::{ErrGroup, Results};
/// use futures::StreamExt;
///
/// async fn failures(mut results: Results<'_, '_, u32, String>) -> usize {
///     let mut count = 0;
///     while let Some(outcome) = results.next().await {
///         count += usize::from(outcome.is_err());
///     }
///     count
/// }
/// # futures::executor::block_on(async {
/// let mut group = ErrGroup::new();
/// group.spawn(async { Err("no".to_string()) });
/// assert_eq!(failures(group.results()).await, 1);
/// # });
/// ```
#[must_use = "streams do nothing unless polled"]
pub struct Results<'a, 'env, T, E, K: Kind = Sending> {
    group: &'a mut Group<'env, T, E, K>,
}

impl<T, E, K: Kind> Stream for Results<'_, '_, T, E, K> {
    type Item = Result<T, E>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.group.poll_next(cx)
    }
}

/// Terminated once it has returned `None`, until something is spawned.
impl<T, E, K: Kind> FusedStream for Results<'_, '_, T, E, K> {
    fn is_terminated(&self) -> bool {
        self.group.is_terminated()
    }
}

impl<T, E, K: Kind> fmt::Debug for Results<'_, '_, T, E, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Results").field(&self.group).finish()
    }
}
