//! Spawning into a group from anywhere, its own tasks included.

use alloc::borrow::Cow;
use core::fmt;
use core::future::{Future, poll_fn};

use crate::error::{StartError, TrySpawnError};
use crate::group::flavor::{Accepts, Erases, Flavor, Local, Sending, make};
use crate::group::handle::{AbortHandle, KeepOpen, Started, TaskHandle};
use crate::group::mail::{Mail, closed, closed_because, closed_or_full};
use crate::group::queue::Lane;
use crate::group::shared::{Gate, Hub};
use crate::group::task::{Extra, Noted, Plain, Task, What};
use crate::util::panic::sequence;
use crate::util::sync::Arc;

/// Spawns tasks into the [`ErrGroup`](crate::ErrGroup) it came from.
///
/// # Examples
///
/// ```
/// use errgroup::{ErrGroup, ErrSpawner};
///
/// struct Job<'env> {
///     spawner: ErrSpawner<'env, (), std::io::Error>,
/// }
///
/// let group = ErrGroup::new();
/// let job = Job { spawner: group.spawner() };
/// job.spawner.spawn(async { Ok(()) });
/// # drop(group);
/// ```
pub type ErrSpawner<'env, T, E> = Spawner<'env, T, E, Sending>;

/// Spawns tasks into the [`LocalErrGroup`](crate::LocalErrGroup) it came from.
///
/// # Examples
///
/// ```
/// use errgroup::LocalErrGroup;
/// use std::rc::Rc;
///
/// let text = Rc::new("not Send");
/// let group = LocalErrGroup::<(), ()>::new();
/// let spawner = group.spawner();
/// spawner.spawn(async move {
///     println!("{text}");
///     Ok(())
/// });
/// # drop(group);
/// ```
pub type LocalErrSpawner<'env, T, E> = Spawner<'env, T, E, Local>;

/// Spawns tasks into a group, from anywhere: from another task of the program, from another
/// thread, from a task of the group itself.
///
/// Made by [`Group::spawner`](crate::Group::spawner), and cheap to clone. A spawner does not
/// keep its group alive: a group that is awaited by value is done when nothing is running or queued,
/// and what is spawned after that is dropped. If more will come, take a
/// [`KeepOpen`](Spawner::keep_open).
///
/// The two flavours have aliases: [`ErrSpawner`], which is `Send` and `Sync` if `T` and `E` are
/// `Send`, and [`LocalErrSpawner`]. Both are `UnwindSafe`, whatever `T` and `E` are.
///
/// # Examples
///
/// A tree is walked by tasks that spawn tasks. The signature returns `impl Future`: an `async fn`
/// that spawned itself would have a type that contains itself.
///
/// ```
/// use errgroup::{ErrGroup, ErrSpawner};
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// struct Node(Vec<Node>);
///
/// fn visit<'env>(
///     node: &'env Node,
///     count: &'env AtomicUsize,
///     spawner: ErrSpawner<'env, (), std::io::Error>,
/// ) -> impl Future<Output = std::io::Result<()>> + Send + 'env {
///     async move {
///         count.fetch_add(1, Ordering::Relaxed);
///         for child in &node.0 {
///             spawner.spawn(visit(child, count, spawner.clone()));
///         }
///         Ok(())
///     }
/// }
///
/// # futures::executor::block_on(async {
/// let tree = Node(vec![Node(vec![Node(vec![])]), Node(vec![])]);
/// let count = AtomicUsize::new(0);
/// let mut group = ErrGroup::new().limit(8);
/// group.spawn(visit(&tree, &count, group.spawner()));
/// group.await.unwrap();
/// assert_eq!(count.into_inner(), 4);
/// # });
/// ```
pub struct Spawner<'env, T, E, K: Flavor> {
    mail: Arc<GroupMail<'env, T, E, K>>,
}

pub(crate) type GroupMail<'env, T, E, K> = Mail<<K as Flavor>::Task<'env, Option<Result<T, E>>>>;

impl<'env, T, E, K: Flavor> Spawner<'env, T, E, K> {
    pub(crate) fn new(mail: Arc<GroupMail<'env, T, E, K>>) -> Self {
        Spawner { mail }
    }

    fn hub(&self) -> &Arc<Hub> {
        &self.mail.hub
    }

    #[inline]
    fn push<B, Fut, X, R>(
        &self,
        fut: Fut,
        extra: X,
        lane: Lane,
        refusal: fn(&Hub) -> Option<R>,
    ) -> Result<(), ((Fut, X), R)>
    where
        B: Erases<'env, K, Task<Fut, X>>,
        Fut: Future,
        Task<Fut, X>: Future<Output = Option<X::Outcome>>,
        X: Extra<Fut::Output, Outcome = Result<T, E>>,
    {
        let make = make::<K, B, _, _>;
        self.mail.push((fut, extra), lane, refusal, make)
    }

    /// Spawns a task.
    ///
    /// Like [`Group::spawn`](crate::Group::spawn): it never waits, and beyond the limit the task
    /// is queued. If the group has failed or is over, the future is dropped; use
    /// [`try_spawn`](Spawner::try_spawn) to get it back.
    ///
    /// The tasks of an [`ErrSpawner`] are `Send + 'env`, those of a [`LocalErrSpawner`] only
    /// `'env`.
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
    ///     spawner.spawn(async { Ok(2) });
    ///     Ok(1)
    /// });
    /// assert_eq!(group.collect().await, Ok(vec![1, 2]));
    /// # });
    /// ```
    pub fn spawn<Fut>(&self, fut: Fut)
    where
        Fut: Future<Output = Result<T, E>>,
        K: Accepts<'env, Fut>,
    {
        drop(self.push::<K::Boxer, _, _, _>(fut, Plain, Lane::Regular, closed));
    }

    /// Spawns a task if there is room for it.
    ///
    /// Of several callers at once no two get the same room. The task is `Send + 'env` for an
    /// [`ErrSpawner`], and `'env` for a [`LocalErrSpawner`].
    ///
    /// # Errors
    ///
    /// Gives the future back if there are as many tasks as the [limit](crate::Group::limit)
    /// allows, or if the group has failed or is over.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// let group = ErrGroup::<(), ()>::new().limit(1);
    /// let spawner = group.spawner();
    /// assert!(spawner.try_spawn(async { Ok(()) }).is_ok());
    /// assert!(spawner.try_spawn(async { Ok(()) }).unwrap_err().is_full());
    /// drop(group);
    /// assert!(!spawner.try_spawn(async { Ok(()) }).unwrap_err().is_full());
    /// ```
    pub fn try_spawn<Fut>(&self, fut: Fut) -> Result<(), TrySpawnError<Fut>>
    where
        Fut: Future<Output = Result<T, E>>,
        K: Accepts<'env, Fut>,
    {
        let push = self.push::<K::Boxer, _, _, _>(fut, Plain, Lane::Regular, closed_or_full);
        push.map_err(|((fut, _), refused)| refused.error(fut))
    }

    /// Waits until there is room for a task: until [`len`](Spawner::len) is below the limit. False
    /// if the group has failed or is over.
    ///
    /// It does not drive the group, which has to be polled elsewhere. Everybody who waits is
    /// woken when there is room, and none is reserved: somebody else may take it first. So loop
    /// around [`try_spawn`](Spawner::try_spawn), or [`spawn`](Spawner::spawn) and accept that a
    /// few tasks more are queued.
    ///
    /// N producers that wait together cost in the order of N² polls, because each time all are
    /// woken and one gets the room. One producer that spawns for all costs N.
    ///
    /// # Deadlock
    ///
    /// It is meant for the body of a [scope](crate::scope()) and for other tasks of the program. A
    /// task of the group that waits here may hold the very slot it waits for: with a limit of 1 it
    /// would wait for ever. Inside a task just [`spawn`](Spawner::spawn), which never waits.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// # futures::executor::block_on(async {
    /// let mut group = ErrGroup::<(), ()>::new().limit(2);
    /// let spawner = group.spawner();
    /// let producer = async move {
    ///     for _ in 0..10 {
    ///         assert!(spawner.ready().await);
    ///         assert!(spawner.len() < 2);
    ///         spawner.spawn(async { Ok(()) });
    ///     }
    /// };
    /// let consumer = async {
    ///     group.drive(producer).await;
    ///     group.await
    /// };
    /// consumer.await.unwrap();
    /// # });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Nothing is reserved, so nothing is lost when the future is dropped.
    pub async fn ready(&self) -> bool {
        self.mail.ready().await
    }

    /// Spawns a task with a name, which `Debug` of the group shows.
    ///
    /// Otherwise it is like [`spawn`](Spawner::spawn): the task is `Send + 'env` for an
    /// [`ErrSpawner`], and `'env` for a [`LocalErrSpawner`]. With the feature `tracing` the task's
    /// span has the name, too.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// let group = ErrGroup::<u32, ()>::new();
    /// group.spawner().spawn_named("reader", async { Ok(1) });
    /// assert_eq!(format!("{group:?}"), r#"Group { tasks: [0 "reader": queued], .. }"#);
    /// ```
    pub fn spawn_named<Fut>(&self, name: impl Into<Cow<'static, str>>, fut: Fut)
    where
        Fut: Future<Output = Result<T, E>>,
        K: Accepts<'env, Fut>,
    {
        let noted = Noted::new(self.hub(), What::Name(name.into()));
        drop(self.push::<K::Boxer, _, _, _>(fut, noted, Lane::Regular, closed));
    }

    /// Spawns a task that can be aborted, alone.
    ///
    /// The handle is the one that tokio's `JoinSet::spawn` gives. If the group has failed or is
    /// over, the future is dropped, and the handle says that it is finished. The task is
    /// `Send + 'env` for an [`ErrSpawner`], and `'env` for a [`LocalErrSpawner`].
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    /// use futures::future::pending;
    ///
    /// # futures::executor::block_on(async {
    /// let group = ErrGroup::<u32, ()>::new();
    /// let handle = group.spawner().spawn_abortable(pending());
    /// handle.abort();
    /// assert_eq!(group.collect().await, Ok(vec![]));
    /// # });
    /// ```
    pub fn spawn_abortable<Fut>(&self, fut: Fut) -> AbortHandle
    where
        Fut: Future<Output = Result<T, E>>,
        K: Accepts<'env, Fut>,
    {
        let (handle, abortable) = AbortHandle::new(self.hub());
        drop(self.push::<K::Boxer, _, _, _>(fut, abortable, Lane::Regular, closed));
        handle
    }

    /// Drops all tasks that were spawned before this call, running and queued, at the group's next
    /// poll. They have no outcome.
    ///
    /// The body of a scope is spared: with this a body ends its scope early, and well. It costs
    /// O(tasks), in that poll, out of which a destructor that panics does so, as with
    /// [`Group::abort_all`](crate::Group::abort_all).
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::scope;
    /// use futures::future::pending;
    ///
    /// # futures::executor::block_on(async {
    /// let answer = scope(async |s| {
    ///     s.spawn(pending());
    ///     s.abort_all(); // The scope need not wait for it.
    ///     Ok::<_, ()>(42)
    /// });
    /// assert_eq!(answer.await, Ok(42));
    /// # });
    /// ```
    pub fn abort_all(&self) {
        self.hub().abort_all();
    }

    /// Keeps the group from being done while nothing runs in it.
    ///
    /// See [`Group::keep_open`](crate::Group::keep_open).
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// # futures::executor::block_on(async {
    /// let group = ErrGroup::<(), ()>::new();
    /// let open = group.spawner().keep_open();
    /// std::thread::spawn(move || drop(open));
    /// group.await.unwrap(); // Waits for the thread.
    /// # });
    /// ```
    pub fn keep_open(&self) -> KeepOpen {
        KeepOpen::new(self.hub().clone())
    }

    /// Changes how many tasks may run at once; see [`Group::limit`](crate::Group::limit).
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
    /// let group = ErrGroup::<(), ()>::new().limit(1);
    /// let spawner = group.spawner();
    /// spawner.spawn(async { Ok(()) });
    /// spawner.set_limit(2);
    /// assert!(spawner.try_spawn(async { Ok(()) }).is_ok());
    /// ```
    #[track_caller]
    pub fn set_limit(&self, n: usize) {
        let hub = self.hub();
        hub.shared.set_limit(n);
        sequence(|steps| {
            steps.run(|| hub.wake());
            steps.run(|| self.mail.notice_room());
        });
    }

    /// How many tasks may run at once; `usize::MAX` if there is no limit.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// let group = ErrGroup::<(), ()>::new().limit(8);
    /// assert_eq!(group.spawner().current_limit(), 8);
    /// ```
    #[must_use]
    pub fn current_limit(&self) -> usize {
        self.hub().shared.limit()
    }

    /// Whether the group takes no tasks: it has failed, or is over, or is just dropping its tasks.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// let group = ErrGroup::<(), ()>::new();
    /// let spawner = group.spawner();
    /// assert!(!spawner.is_closed());
    /// drop(group);
    /// assert!(spawner.is_closed());
    /// ```
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.hub().shared.gate() != Gate::Open
    }

    /// How many tasks have been started and are not finished.
    ///
    /// Like [`queued`](Spawner::queued) and [`len`](Spawner::len), the figure may be out of date
    /// when it arrives, if the group is polled on another thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// let mut group = ErrGroup::<(), ()>::new();
    /// let spawner = group.spawner();
    /// group.spawn(async { Ok(()) });
    /// assert_eq!(spawner.running(), 0); // Nobody has polled the group.
    /// ```
    #[must_use]
    pub fn running(&self) -> usize {
        self.hub().running()
    }

    /// How many tasks wait to be started.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// let mut group = ErrGroup::<(), ()>::new();
    /// let spawner = group.spawner();
    /// group.spawn(async { Ok(()) });
    /// assert_eq!(spawner.queued(), 1);
    /// ```
    #[must_use]
    pub fn queued(&self) -> usize {
        self.hub().queued()
    }

    /// How many tasks are running or queued.
    ///
    /// Asked from another thread than that of the group, it may count a task that ends meanwhile
    /// together with the one that takes its place, and so be above the limit.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// let mut group = ErrGroup::<(), ()>::new();
    /// let spawner = group.spawner();
    /// group.spawn(async { Ok(()) });
    /// assert_eq!(spawner.len(), 1);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.hub().shared.len()
    }

    /// Whether nothing is running or queued.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// let mut group = ErrGroup::<(), ()>::new();
    /// let spawner = group.spawner();
    /// group.spawn(async { Ok(()) });
    /// assert!(!spawner.is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// For groups whose tasks have no values, as those of scopes.
impl<'env, E, K: Flavor> Spawner<'env, (), E, K> {
    /// Spawns a task whose value goes to a handle.
    ///
    /// The task's error goes to the group, as that of any task. If the group has failed or is
    /// over, the future is dropped, and the handle resolves at once. The task, with its value, is
    /// `Send + 'env` for an [`ErrSpawner`], and `'env` for a [`LocalErrSpawner`].
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::scope;
    ///
    /// # futures::executor::block_on(async {
    /// let value = scope(async |s| {
    ///     let handle = s.spawn_with_handle(async { Ok("value") });
    ///     Ok::<_, errgroup::Cancelled>(handle.await?)
    /// });
    /// assert_eq!(value.await.unwrap(), "value");
    /// # });
    /// ```
    pub fn spawn_with_handle<U, Fut>(&self, fut: Fut) -> TaskHandle<U>
    where
        Fut: Future<Output = Result<U, E>>,
        K: Accepts<'env, Fut, U>,
    {
        let (handle, handled) = TaskHandle::new(self.hub());
        let pushed = self.push::<K::Boxer, _, _, _>(fut, handled, Lane::Regular, closed_because);
        if let Err(((_, handled), reason)) = &pushed {
            handled.refuse(reason.clone());
        }
        drop(pushed);
        handle
    }

    /// Spawns a task in the background: it counts for nothing, neither for the limit nor for
    /// [`len`](Spawner::len), and the group is done without it.
    ///
    /// When all other tasks have ended (and the body, in a scope), it is dropped with the group; in
    /// a graceful group, after the context was cancelled with
    /// [`Finished`](crate::CancelKind::Finished). A group that is only driven through a reference,
    /// as by [`next`](crate::Group::next), keeps it also while there is no other task, unless it
    /// is graceful and its context was cancelled. Its error fails the group as any other.
    ///
    /// It is not polled once more for the end: it sees a cancellation only if it is polled between
    /// that and the end of the last other task. What has to be done at the end does not belong in
    /// the background.
    ///
    /// For what serves the others: a heartbeat, a cache, a progress bar. It is `Send + 'env` for an
    /// [`ErrSpawner`], and `'env` for a [`LocalErrSpawner`].
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::scope;
    /// use futures::{StreamExt, channel::mpsc};
    ///
    /// # futures::executor::block_on(async {
    /// let (log, mut lines) = mpsc::unbounded();
    /// scope(async |s| {
    ///     s.spawn_background(async {
    ///         while let Some(line) = lines.next().await {
    ///             println!("{line}");
    ///         }
    ///         Ok::<_, ()>(())
    ///     });
    ///     log.unbounded_send("working").unwrap();
    ///     Ok(())
    /// })
    /// .await
    /// .unwrap(); // Ends, though `log` was never closed.
    /// # });
    /// ```
    pub fn spawn_background<Fut>(&self, fut: Fut)
    where
        Fut: Future<Output = Result<(), E>>,
        K: Accepts<'env, Fut>,
    {
        let noted = Noted::new(self.hub(), What::Background);
        drop(self.push::<K::Boxer, _, _, _>(fut, noted, Lane::Express, closed));
    }

    /// Spawns a task, and waits until it says that it is up: until it calls
    /// [`Started::ready`], whose value it gives.
    ///
    /// The task then runs on as any other. Until it is up, the group is not done, but the task
    /// does not count for the limit, so that it starts at once. This is `nursery.start` of trio.
    ///
    /// It does not drive the group, which has to be polled elsewhere, as it is in a scope. The task,
    /// with what it gives to [`Started::ready`], is `Send + 'env` for an [`ErrSpawner`], and `'env`
    /// for a [`LocalErrSpawner`].
    ///
    /// # Errors
    ///
    /// If the task ends or drops its [`Started`] before it is up, or if it is refused because the
    /// group has failed or is over. An error of the task goes to the group. A [`StartError`] is no
    /// `std::io::Error` by `?`: the example says `map_err`.
    ///
    /// # Cancel safety
    ///
    /// The task is spawned at the first poll. If the future is dropped later, the task runs on,
    /// and its value is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::{Started, scope};
    /// use smol::net::TcpListener;
    /// use std::{io, net::SocketAddr};
    ///
    /// async fn server(started: Started<SocketAddr>) -> io::Result<()> {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     started.ready(listener.local_addr()?);
    ///     listener.accept().await?;
    ///     Ok(())
    /// }
    ///
    /// # smol::block_on(async {
    /// scope(async |s| {
    ///     let addr = s.start(server).await.map_err(io::Error::other)?;
    ///     smol::net::TcpStream::connect(addr).await?; // Can be reached now.
    ///     Ok::<_, io::Error>(())
    /// })
    /// .await
    /// .unwrap();
    /// # });
    /// ```
    pub async fn start<U, B, Fut>(&self, body: B) -> Result<U, StartError>
    where
        B: FnOnce(Started<U>) -> Fut,
        Fut: Future<Output = Result<(), E>>,
        K: Accepts<'env, Fut, U>,
    {
        let (started, until_up, starting) = Started::new(self.hub());
        let fut = body(started);
        let lane = match starting.is_up() {
            true => Lane::Regular,
            false => Lane::Express,
        };
        drop(self.push::<K::Boxer, _, _, _>(fut, starting, lane, closed));
        poll_fn(|cx| until_up.poll(cx)).await
    }
}

impl<T, E, K: Flavor> Clone for Spawner<'_, T, E, K> {
    fn clone(&self) -> Self {
        Spawner {
            mail: self.mail.clone(),
        }
    }
}

/// Shows the counts.
impl<T, E, K: Flavor> fmt::Debug for Spawner<'_, T, E, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawner")
            .field("running", &self.running())
            .field("queued", &self.queued())
            .field("closed", &self.is_closed())
            .finish()
    }
}
