//! Spawning into a group from anywhere, its own tasks included.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use core::fmt;
use core::future::{Future, poll_fn};

use crate::error::{StartError, TrySpawnError};
use crate::group::flavor::{Accepts, Kind, Local, Sending};
use crate::group::handle::{Extra, Handled, Noted, Start, Started, Starting, TaskHandle};
use crate::group::inbox::{Gate, Inbox, Lane, Refused};
use crate::group::tally::Note;
use crate::group::trace;
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
/// keep its group alive: the group is done when nothing is running or queued, and what is spawned
/// after that is dropped.
///
/// The two flavours have aliases: [`ErrSpawner`], which is `Send` and `Sync`, and
/// [`LocalErrSpawner`].
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
pub struct Spawner<'env, T, E, K: Kind> {
    inbox: Arc<Inbox<K::Task<'env, Result<T, E>>>>,
}

impl<'env, T, E, K: Kind> Spawner<'env, T, E, K> {
    pub(crate) fn new(inbox: Arc<Inbox<K::Task<'env, Result<T, E>>>>) -> Self {
        inbox.share();
        Spawner { inbox }
    }

    /// Spawns a task.
    ///
    /// Like [`Group::spawn`](crate::Group::spawn): it never waits, and beyond the limit the task
    /// is queued. If the group has failed or is over, the future is dropped; use
    /// [`try_spawn`](Spawner::try_spawn) to get it back.
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
        K: Accepts<'env, trace::Task<Fut>>,
    {
        let task = Box::new(trace::task(fut, self.inbox.group(), self.inbox.tally()));
        let refused = self.inbox.push(task, erase::<K, _>, Lane::Regular);
        drop(refused);
    }

    /// Spawns a task if there is room for it.
    ///
    /// Of several callers at once no two get the same room.
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
        K: Accepts<'env, trace::Task<Fut>>,
    {
        try_spawn_with(&self.inbox, fut, |task| {
            self.inbox.try_push(task, erase::<K, _>)
        })
    }

    /// Waits until there is room for a task: until [`len`](Spawner::len) is below the limit. False
    /// if the group has failed or is over.
    ///
    /// It does not drive the group, which has to be polled elsewhere. Everybody who waits is
    /// woken when there is room, and none is reserved: somebody else may take it first. So loop
    /// around [`try_spawn`](Spawner::try_spawn), or [`spawn`](Spawner::spawn) and accept that a
    /// few tasks more are queued.
    ///
    /// It is meant for other tasks of the program. A task of the group that waits here may hold
    /// the very slot it waits for: with a limit of 1 it would wait for ever. Inside a task just
    /// [`spawn`](Spawner::spawn), which never waits.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    /// use futures::future::join;
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
        self.inbox.ready().await
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
    pub fn set_limit(&self, n: usize) {
        self.inbox.set_limit(n);
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
    pub fn is_closed(&self) -> bool {
        self.inbox.gate() != Gate::Open
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
    /// let spawner = group.spawner();
    /// group.spawn(async { Ok(()) });
    /// assert_eq!(spawner.queued(), 1);
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
    /// let spawner = group.spawner();
    /// group.spawn(async { Ok(()) });
    /// assert_eq!(spawner.len(), 1);
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
    /// let spawner = group.spawner();
    /// group.spawn(async { Ok(()) });
    /// assert!(!spawner.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// More than plain tasks, for groups whose tasks have no values, as those of scopes.
impl<'env, E, K: Kind> Spawner<'env, (), E, K> {
    /// Spawns a task whose value goes to a handle.
    ///
    /// The task's error goes to the group, as that of any task. If the group has failed or is
    /// over, the future is dropped, and the handle resolves at once.
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
        K: Accepts<'env, trace::Task<Handled<Fut, U>>>,
    {
        let (handle, task) = Handled::new(fut, self.inbox.tally());
        self.spawn_extra(task, Lane::Regular);
        handle
    }

    /// Spawns a task with a name, which `Debug` of the group shows.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// let group = ErrGroup::<(), ()>::new();
    /// group.spawner().spawn_named("reader", async { Ok(()) });
    /// assert_eq!(format!("{group:?}"), r#"Group { tasks: [0 "reader": queued], .. }"#);
    /// ```
    pub fn spawn_named<Fut>(&self, name: impl Into<Cow<'static, str>>, fut: Fut)
    where
        Fut: Future<Output = Result<(), E>>,
        K: Accepts<'env, trace::Task<Noted<Fut>>>,
    {
        let note = Note::name(self.inbox.tally().clone(), name.into());
        self.spawn_extra(Noted::new(fut, note), Lane::Regular);
    }

    /// Spawns a task in the background: it counts for nothing, neither for the limit nor for
    /// [`len`](Spawner::len), and the group is done without it.
    ///
    /// When all other tasks have ended (and the body, in a scope), it is dropped; in a graceful
    /// group, after the context was cancelled with
    /// [`Finished`](crate::CancelKind::Finished). Its error fails the group as any other.
    ///
    /// For what serves the others: a heartbeat, a cache, a progress bar.
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
        K: Accepts<'env, trace::Task<Noted<Fut>>>,
    {
        let note = Note::background(self.inbox.tally().clone());
        self.spawn_extra(Noted::new(fut, note), Lane::Express);
    }

    /// Spawns a task, and waits until it says that it is up: until it calls
    /// [`Started::ready`], whose value it gives.
    ///
    /// The task then runs on as any other. Until it is up, the group is not done, but the task
    /// does not count for the limit, so that it starts at once. This is `nursery.start` of trio.
    ///
    /// It does not drive the group, which has to be polled elsewhere, as it is in a scope.
    ///
    /// # Errors
    ///
    /// If the task ends or drops its [`Started`] before it is up, or if it is refused because the
    /// group has failed or is over. An error of the task goes to the group.
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
        K: Accepts<'env, trace::Task<Starting<Fut, U>>>,
    {
        let start = Start::new(self.inbox.tally());
        let task = Starting::new(body(start.started()), start.clone());
        self.spawn_extra(task, Lane::Express);
        let waiting = Waiting(start);
        poll_fn(|cx| waiting.0.poll(cx)).await
    }

    fn spawn_extra<Fut>(&self, task: Fut, lane: Lane)
    where
        Fut: Future<Output = Result<(), E>> + Extra,
        K: Accepts<'env, trace::Task<Fut>>,
    {
        let task = Box::new(trace::task(task, self.inbox.group(), self.inbox.tally()));
        let erase = |mut task: Box<trace::Task<Fut>>, index| {
            trace::inner(&mut task).enter(index);
            erase::<K, _>(task, index)
        };
        let refused = self.inbox.push(task, erase, lane);
        drop(refused);
    }
}

/// Waits for a task to be up. Dropped when it is, and when nobody wants to know any more.
struct Waiting<U>(Arc<Start<U>>);

impl<U> Drop for Waiting<U> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Makes a task of a boxed future.
pub(crate) fn erase<'env, K, Fut>(
    mut task: Box<trace::Task<Fut>>,
    index: usize,
) -> K::Task<'env, <trace::Task<Fut> as Future>::Output>
where
    trace::Task<Fut>: Future,
    K: Accepts<'env, trace::Task<Fut>>,
{
    trace::enter(&mut task, index);
    K::erase(task)
}

/// Boxes `fut`, and lets `push` put it into `inbox`, or take it out of the box again.
pub(crate) fn try_spawn_with<Fut, F, P>(
    inbox: &Inbox<F>,
    fut: Fut,
    push: P,
) -> Result<(), TrySpawnError<Fut>>
where
    P: FnOnce(Box<trace::Task<Fut>>) -> Result<(), (Box<trace::Task<Fut>>, Refused)>,
{
    let refused = match inbox.refusal() {
        // A full group is a common case, and costs no allocation.
        Some(refused) => (fut, refused),
        None => match push(Box::new(trace::task(fut, inbox.group(), inbox.tally()))) {
            Ok(()) => return Ok(()),
            Err((task, refused)) => (trace::into_inner(*task), refused),
        },
    };
    Err(match refused {
        (fut, Refused::Full) => TrySpawnError::full(fut),
        (fut, Refused::Closed) => TrySpawnError::closed(fut),
    })
}

impl<T, E, K: Kind> Clone for Spawner<'_, T, E, K> {
    fn clone(&self) -> Self {
        Spawner {
            inbox: self.inbox.clone(),
        }
    }
}

/// Shows the counts.
impl<T, E, K: Kind> fmt::Debug for Spawner<'_, T, E, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawner")
            .field("running", &self.running())
            .field("queued", &self.queued())
            .field("closed", &self.is_closed())
            .finish()
    }
}
