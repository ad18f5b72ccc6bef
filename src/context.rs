//! `CancelContext`: a tree of cancellations with reasons.

use alloc::boxed::Box;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::mem;
use core::panic::RefUnwindSafe;
use core::pin::Pin;
use core::ptr;
use core::task::{Context, Poll, Waker};

use futures::future::FusedFuture;
use pin_project_lite::pin_project;

use crate::error::{BoxError, CancelKind, Cancelled};
use crate::list::{Key, List};
use crate::panic::{Sequence, drop_quietly};
use crate::sync::atomic::{AtomicU32, Ordering::Relaxed};
use crate::sync::{Arc, Lock, SetOnce, Weak};
use crate::waiters::{self, Waiters};

/// A node in a tree of cancellations.
///
/// Cancelling a context cancels its children, their children and so on, and never its parent.
/// Work watches a context with [`run`](CancelContext::run), [`cancelled`](CancelContext::cancelled)
/// or [`check`](CancelContext::check), and learns from the [`Cancelled`] it gets why it should
/// stop.
///
/// The first cancellation wins, for ever: what a context has once reported never changes, and no
/// context below disagrees. A child that was cancelled before its parent keeps its own reason.
///
/// Clones are handles of the same context. Dropping them cancels nothing; see
/// [`drop_guard`](CancelContext::drop_guard).
///
/// This is Go's `context.Context` without its values, with the cause of a cancellation in the
/// error, and with cancelling open to every holder: hand out a [`child`](CancelContext::child) to
/// those who should not cancel you.
///
/// # Examples
///
/// ```
/// use errgroup::CancelContext;
///
/// let service = CancelContext::new();
/// let request = service.child();
///
/// service.cancel_with("shutting down");
///
/// let reason = request.check().unwrap_err();
/// assert_eq!(reason.cause().unwrap().to_string(), "shutting down");
/// ```
#[derive(Clone)]
pub struct CancelContext {
    node: Arc<Node>,
}

impl CancelContext {
    /// Makes a context without a parent, like Go's `context.WithCancel(context.Background())`.
    ///
    /// # Examples
    ///
    /// ```
    /// let context = errgroup::CancelContext::new();
    /// assert!(!context.is_cancelled());
    /// ```
    pub fn new() -> Self {
        CancelContext {
            node: Arc::new(Node::new(None, false)),
        }
    }

    /// Makes a context that is cancelled with this one, and can be cancelled alone: Go's
    /// `context.WithCancelCause`.
    ///
    /// A child of a cancelled context is cancelled from the start, with the same reason.
    ///
    /// It costs one allocation and takes no lock of the parent; neither does dropping it, unless
    /// somebody has waited for it.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::CancelContext;
    ///
    /// let parent = CancelContext::new();
    /// let child = parent.child();
    ///
    /// child.cancel();
    /// assert!(!parent.is_cancelled());
    ///
    /// parent.cancel();
    /// assert!(parent.child().is_cancelled());
    /// ```
    pub fn child(&self) -> Self {
        CancelContext {
            node: Arc::new(Node::new(Some(&self.node), false)),
        }
    }

    /// Makes a child that is cancelled when `at` completes, with the kind
    /// [`DeadlineExceeded`](CancelKind::DeadlineExceeded): Go's `context.WithDeadline`, on the
    /// timer of any runtime.
    ///
    /// `at` is polled by whoever polls a future of this context or of one below it; the first who
    /// comes after `at` has completed cancels the context. **Nobody else does:** a context that
    /// is only asked with [`check`](CancelContext::check) does not see the deadline pass.
    /// Everyone who waits is woken when `at` wakes, so it does not matter if one of them is never
    /// polled again.
    ///
    /// `at` is dropped when the context is cancelled, also through a parent. If this context is
    /// cancelled already, it is dropped at once. A future that holds the context itself keeps it
    /// alive until then.
    ///
    /// # Panics
    ///
    /// If `at` panics, the panic goes to whoever polled. The context stays as it was, but without
    /// its deadline.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::CancelContext;
    /// use smol::Timer;
    /// use std::time::Duration;
    ///
    /// # smol::block_on(async {
    /// let context = CancelContext::new().with_deadline(Timer::after(Duration::from_millis(5)));
    ///
    /// let reason = context.run(std::future::pending::<()>()).await.unwrap_err();
    /// assert!(reason.is_deadline());
    /// # });
    /// ```
    pub fn with_deadline(&self, at: impl Future + Send + 'static) -> Self {
        self.with_source(async move {
            at.await;
            Cancelled::new(CancelKind::DeadlineExceeded, None)
        })
    }

    /// Makes a child with a deadline, like [`with_deadline`](CancelContext::with_deadline), and a
    /// cause to report when it passes: Go's `context.WithDeadlineCause`.
    ///
    /// # Panics
    ///
    /// As with [`with_deadline`](CancelContext::with_deadline).
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::CancelContext;
    ///
    /// # smol::block_on(async {
    /// let context = CancelContext::new();
    /// let context = context.with_deadline_cause(async {}, "the lease has run out");
    ///
    /// let reason = context.cancelled().await;
    /// assert!(reason.is_deadline());
    /// assert_eq!(reason.cause().unwrap().to_string(), "the lease has run out");
    /// # });
    /// ```
    pub fn with_deadline_cause(
        &self,
        at: impl Future + Send + 'static,
        cause: impl Into<Box<dyn core::error::Error + Send + Sync>>,
    ) -> Self {
        let cause = cause.into();
        self.with_source(async move {
            at.await;
            Cancelled::new(CancelKind::DeadlineExceeded, Some(cause))
        })
    }

    /// Makes a child that is cancelled when `on` completes, with its output as the cause.
    ///
    /// A trigger may be a signal of the operating system, a closed connection, a message. Like a
    /// [deadline](CancelContext::with_deadline), it is polled by those who poll the context, and
    /// by nobody else, and dropped when the context is cancelled. Go's `signal.NotifyContext` is
    /// a case of it.
    ///
    /// # Panics
    ///
    /// As with [`with_deadline`](CancelContext::with_deadline).
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::{CancelContext, CancelKind};
    ///
    /// # smol::block_on(async {
    /// let (hang_up, hung_up) = futures::channel::oneshot::channel::<()>();
    /// let context = CancelContext::new().with_trigger(async move {
    ///     _ = hung_up.await;
    ///     "the client has hung up"
    /// });
    /// drop(hang_up);
    ///
    /// let reason = context.cancelled().await;
    /// assert_eq!(reason.kind(), CancelKind::Cancelled);
    /// assert_eq!(reason.cause().unwrap().to_string(), "the client has hung up");
    /// # });
    /// ```
    pub fn with_trigger<C>(&self, on: impl Future<Output = C> + Send + 'static) -> Self
    where
        C: Into<Box<dyn core::error::Error + Send + Sync>>,
    {
        self.with_source(async move {
            let cause = on.await.into();
            Cancelled::new(CancelKind::Cancelled, Some(cause))
        })
    }

    fn with_source(&self, future: impl Future<Output = Cancelled> + Send + 'static) -> Self {
        self.with_timed_source(future, None)
    }

    /// Makes a child with a source. With `due`, the source is a deadline that counts as soon as
    /// that says that it has passed.
    pub(crate) fn with_timed_source(
        &self,
        future: impl Future<Output = Cancelled> + Send + 'static,
        due: Option<Due>,
    ) -> Self {
        if self.node.settle().is_some() {
            drop(future);
            return self.child();
        }
        let mut node = Node::new(Some(&self.node), true);
        node.due = due;
        let node = Arc::new(node);
        let mut source = Some(Box::new(Source {
            future: Box::pin(future),
            waker: Waker::from(Arc::new(Signal {
                node: Arc::downgrade(&node),
            })),
        }));
        node.state.with(|state| {
            if !node.is_set() {
                state.source = source.take().map_or(Slot::Absent, Slot::Idle);
            }
        });
        drop(source);
        // Only a node that its ancestors know is reached by their cancel, which has to drop the
        // source.
        node.link();
        node.settle();
        CancelContext { node }
    }

    /// Cancels this context and everything below it, with the kind
    /// [`Cancelled`](CancelKind::Cancelled) and no cause. Returns whether this was the first
    /// cancellation; a later one changes nothing.
    ///
    /// It wakes whoever waits, and drops the deadlines and triggers below, before it returns: it
    /// costs O(waiters + children that were waited for), and O(depth) to look for a cancelled
    /// parent.
    ///
    /// # Panics
    ///
    /// If a waker or the destructor of a deadline panics, the panic goes on when all others have
    /// been woken and dropped (without `std`, at once).
    ///
    /// # Examples
    ///
    /// ```
    /// let context = errgroup::CancelContext::new();
    /// assert!(context.cancel());
    /// assert!(!context.cancel());
    /// ```
    pub fn cancel(&self) -> bool {
        self.cancel_as(CancelKind::Cancelled, None)
    }

    /// Cancels like [`cancel`](CancelContext::cancel), with a cause: Go's `CancelCauseFunc`.
    ///
    /// # Panics
    ///
    /// As with [`cancel`](CancelContext::cancel).
    ///
    /// # Examples
    ///
    /// ```
    /// let context = errgroup::CancelContext::new();
    /// assert!(context.cancel_with("the disk is full"));
    /// assert!(!context.cancel_with("too late"));
    ///
    /// let reason = context.reason().unwrap();
    /// assert_eq!(reason.cause().unwrap().to_string(), "the disk is full");
    /// ```
    pub fn cancel_with(&self, cause: impl Into<Box<dyn core::error::Error + Send + Sync>>) -> bool {
        self.cancel_as(CancelKind::Cancelled, Some(cause.into()))
    }

    pub(crate) fn cancel_as(&self, kind: CancelKind, cause: Option<BoxError>) -> bool {
        self.node.cancel(Cancelled::new(kind, cause))
    }

    /// Whether this context or one above it is cancelled.
    ///
    /// It takes no lock, and costs one atomic load for this context and for each one above it.
    /// A deadline or trigger that has completed counts from when somebody has
    /// [polled](CancelContext::with_deadline) it.
    ///
    /// # Examples
    ///
    /// ```
    /// let context = errgroup::CancelContext::new();
    /// for chunk in [1, 2, 3] {
    ///     if context.is_cancelled() {
    ///         break;
    ///     }
    ///     // work on the chunk …
    /// #   _ = chunk;
    /// }
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.node.is_cancelled()
    }

    /// Why the context is cancelled, or `None` if it is not: Go's `context.Cause(ctx)`.
    ///
    /// It costs what [`is_cancelled`](CancelContext::is_cancelled) costs while nothing is
    /// cancelled.
    ///
    /// # Panics
    ///
    /// The first to learn of a cancellation above wakes those who wait for this context, so it
    /// may see a waker panic, as with [`cancel`](CancelContext::cancel).
    ///
    /// # Examples
    ///
    /// ```
    /// let context = errgroup::CancelContext::new();
    /// assert!(context.reason().is_none());
    ///
    /// context.cancel();
    /// assert_eq!(context.reason().unwrap().to_string(), "cancelled");
    /// ```
    pub fn reason(&self) -> Option<Cancelled> {
        self.node.settle().cloned()
    }

    /// Returns `Ok` as long as the context is not cancelled, to be used with `?` between two
    /// steps of work.
    ///
    /// # Errors
    ///
    /// The [`reason`](CancelContext::reason), if it is cancelled.
    ///
    /// # Panics
    ///
    /// As with [`reason`](CancelContext::reason).
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::{CancelContext, Cancelled};
    ///
    /// fn sum(numbers: &[u64], context: &CancelContext) -> Result<u64, Cancelled> {
    ///     let mut sum = 0;
    ///     for number in numbers {
    ///         context.check()?;
    ///         sum += number;
    ///     }
    ///     Ok(sum)
    /// }
    ///
    /// let context = CancelContext::new();
    /// assert_eq!(sum(&[1, 2, 3], &context).unwrap(), 6);
    /// context.cancel();
    /// assert!(sum(&[1, 2, 3], &context).is_err());
    /// ```
    pub fn check(&self) -> Result<(), Cancelled> {
        match self.reason() {
            None => Ok(()),
            Some(reason) => Err(reason),
        }
    }

    /// Waits until the context is cancelled, and gives the reason: Go's `<-ctx.Done()`.
    ///
    /// Equivalent to: `async fn cancelled(&self) -> Cancelled`
    ///
    /// The future keeps the context alive and borrows nothing. It costs no allocation of its own.
    /// Polling it polls the deadlines and triggers of the context and of those above it.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time, and a new one goes on where the old one was. In a `select!`
    /// loop it registers and deregisters in constant time.
    ///
    /// # Panics
    ///
    /// If a deadline or trigger panics while being polled; and as with
    /// [`cancel`](CancelContext::cancel) if one completes.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::CancelContext;
    ///
    /// # smol::block_on(async {
    /// let context = CancelContext::new();
    /// let waiting = context.child().cancelled();
    ///
    /// context.cancel_with("enough");
    /// assert_eq!(waiting.await.cause().unwrap().to_string(), "enough");
    /// # });
    /// ```
    pub fn cancelled(&self) -> Cancelling {
        Cancelling {
            node: self.node.clone(),
            key: None,
            done: false,
        }
    }

    /// Runs `fut` until it completes or the context is cancelled.
    ///
    /// Equivalent to: `async fn run<Fut: Future>(&self, fut: Fut) -> Result<Fut::Output, Cancelled>`
    ///
    /// The context is looked at first, in every poll: a cancelled context wins over a future that
    /// is ready, and a future that is always ready to go on does not hide the cancel.
    /// `fut` is dropped in place as soon as the outcome is known.
    ///
    /// # Errors
    ///
    /// The [`reason`](CancelContext::reason), if the context is cancelled before `fut` completes.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops `fut`, so it is as cancel safe as `fut` is.
    ///
    /// # Panics
    ///
    /// As with [`cancelled`](CancelContext::cancelled); and if polled after it has completed.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::CancelContext;
    ///
    /// # smol::block_on(async {
    /// let context = CancelContext::new();
    /// assert_eq!(context.run(async { 7 }).await.unwrap(), 7);
    ///
    /// context.cancel();
    /// assert!(context.run(async { 7 }).await.is_err());
    /// # });
    /// ```
    pub fn run<Fut>(&self, fut: Fut) -> Run<Fut>
    where
        Fut: Future,
    {
        Run {
            fut: Some(fut),
            cancelling: self.cancelled(),
        }
    }

    /// Makes a guard that cancels the context when it is dropped, like Go's `defer cancel()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::CancelContext;
    ///
    /// let context = CancelContext::new();
    /// {
    ///     let _guard = context.drop_guard();
    ///     // return early, panic, be dropped …
    /// }
    /// assert!(context.is_cancelled());
    /// ```
    pub fn drop_guard(&self) -> DropGuard {
        DropGuard {
            context: Some(self.clone()),
        }
    }
}

impl Default for CancelContext {
    fn default() -> Self {
        CancelContext::new()
    }
}

impl fmt::Debug for CancelContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelContext")
            .field("is_cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// The future of [`CancelContext::cancelled`].
///
/// When it has completed it may be polled again, and gives the same reason.
#[must_use = "futures do nothing unless polled"]
pub struct Cancelling {
    node: Arc<Node>,
    /// Our place among the waiters of `node`; stale as soon as `node` is cancelled.
    key: Option<Key>,
    done: bool,
}

impl Cancelling {
    fn look(&mut self) -> Poll<Cancelled> {
        if !self.node.is_cancelled() {
            return Poll::Pending;
        }
        // Before the others are woken: we need not wake ourselves.
        self.deregister();
        match self.node.settle() {
            Some(reason) => {
                self.done = true;
                Poll::Ready(reason.clone())
            }
            None => Poll::Pending,
        }
    }

    fn deregister(&mut self) {
        if let Some(key) = self.key.take() {
            drop(self.node.deregister(key));
        }
    }
}

impl Future for Cancelling {
    type Output = Cancelled;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Cancelled> {
        let this = &mut *self;
        if let Poll::Ready(reason) = this.look() {
            return Poll::Ready(reason);
        }
        this.node.register(&mut this.key, cx.waker());
        // After registering: a source that completes from now on finds us.
        let mut at = Some(&this.node);
        while let Some(node) = at.filter(|node| node.driven) {
            if let Some(reason) = node.poll_source() {
                let node = node.clone();
                this.deregister();
                node.cancel(reason);
                break;
            }
            at = node.parent.as_ref();
        }
        this.look()
    }
}

impl FusedFuture for Cancelling {
    fn is_terminated(&self) -> bool {
        self.done
    }
}

impl Drop for Cancelling {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            drop_quietly(self.node.deregister(key));
        }
    }
}

impl fmt::Debug for Cancelling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancelling")
            .field("is_cancelled", &self.node.is_cancelled())
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of [`CancelContext::run`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Run<Fut> {
        #[pin]
        fut: Option<Fut>,
        cancelling: Cancelling,
    }
}

impl<Fut> Future for Run<Fut>
where
    Fut: Future,
{
    type Output = Result<Fut::Output, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        assert!(this.fut.is_some(), "`Run` polled after completion");

        // A deadline that has passed must be seen before `fut` is polled. If there is none, we
        // need not register for a future that may be ready.
        let driven = this.cancelling.node.driven;
        let cancelled = if driven {
            Pin::new(&mut *this.cancelling).poll(cx)
        } else {
            this.cancelling.look()
        };
        if let Poll::Ready(reason) = cancelled {
            this.fut.set(None);
            return Poll::Ready(Err(reason));
        }
        let fut = this.fut.as_mut().as_pin_mut().expect("it was there above");
        if let Poll::Ready(output) = fut.poll(cx) {
            this.fut.set(None);
            this.cancelling.deregister();
            return Poll::Ready(Ok(output));
        }
        if !driven {
            if let Poll::Ready(reason) = Pin::new(&mut *this.cancelling).poll(cx) {
                this.fut.set(None);
                return Poll::Ready(Err(reason));
            }
        }
        Poll::Pending
    }
}

impl<Fut> fmt::Debug for Run<Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("is_cancelled", &self.cancelling.node.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// Cancels a context when it is dropped; made by [`CancelContext::drop_guard`].
#[must_use = "dropping the guard cancels the context"]
pub struct DropGuard {
    /// `None` once it is disarmed.
    context: Option<CancelContext>,
}

impl DropGuard {
    /// Gives the context back, which is then not cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// let guard = errgroup::CancelContext::new().drop_guard();
    /// let context = guard.disarm();
    /// assert!(!context.is_cancelled());
    /// ```
    pub fn disarm(mut self) -> CancelContext {
        self.context.take().expect("only `disarm` takes it")
    }
}

impl Drop for DropGuard {
    fn drop(&mut self) {
        if let Some(context) = &self.context {
            context.cancel();
        }
    }
}

impl fmt::Debug for DropGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DropGuard").finish_non_exhaustive()
    }
}

/// One context of the tree.
///
/// Nodes own their parents. A parent knows only those of its descendants that have something to
/// lose when it is cancelled: a waiter, or a source. All others cost it nothing, and find
/// out by looking up when they are asked.
///
/// # Invariants
///
/// *Set* means that `reason` is.
///
/// 1. A node is set once and for ever, under the lock of its `state`. The same critical section
///    takes out the waiters, the linked children and the source; a set node takes no new ones.
/// 2. Whoever sets a node then, unlocked, wakes the waiters, drops the source, and sets each
///    of the children, for which the same holds (`spread`). A child that is set already is
///    skipped, because whoever set it does the same.
/// 3. Except while `spread` is on its way to it, a node is set by its own cancel, or to the
///    reason of its parent: `settle` and `spread` carry a reason from a set node to its child,
///    and if the child turns out to be set, its own reason from there on. So no two nodes
///    disagree about what came first.
/// 4. `link` changes only under the lock of the parent, once, from `UNLINKED` to the node's place
///    in `children` there; and only if the parent is not set. Only then does the parent know it.
/// 5. A node with a waiter or source is linked, and so is every node above it up to the first set
///    one; or the thread that put it there is in `link`, on its way up, and will look whether the
///    node is cancelled when it is done.
/// 6. No code of the user runs while a `state` is locked, and no thread locks two.
///
/// # Why no cancel is lost
///
/// A waiter does this: (a) enter `waiters` unless the node is set; (b) link upwards, each node
/// under the lock of its parent, up to a node that is linked already; (c) look at all flags up to
/// the root, and settle if one is up. Let some ancestor be cancelled by a thread C.
///
/// - C sets the ancestor before a link to it is made under the same lock: then the linking thread
///   synchronises with C, sees the flag in (c), and sets every node down to its own, and their
///   linked children. If it stopped in (b) below that link because another thread had made the
///   link there and is still on its way up, then that thread sees the flag in its own (c), and
///   its `spread` comes down through the lock sections that made the links.
/// - C sets it after the link was made: then C finds the child. It comes down the same way, and
///   for each node the argument repeats. At the node itself, C takes out the waiter if (a) came
///   before; otherwise (a) found the node set, and (c) finds the flag up.
struct Node {
    parent: Option<Arc<Node>>,
    /// Whether its deadline has passed, if that can be told without polling anything.
    due: Option<Due>,
    /// Who sees a context cancelled sees what was written before the cancel
    /// (`what_was_written_before_the_cancel_is_seen`): setting is `Release`, reading `Acquire`.
    reason: SetOnce<Cancelled>,
    /// `Relaxed` suffices: it is written under the lock of the parent, and who reads it elsewhere
    /// relies only on that section having come before the next one of that lock.
    link: AtomicU32,
    /// Whether it was made with a source.
    has_source: bool,
    /// Whether it or a node above it was made with a source.
    driven: bool,
    state: Lock<State>,
}

/// Tells without a lock whether a deadline has passed.
pub(crate) type Due = Box<dyn Fn() -> bool + Send + Sync>;

struct State {
    waiters: Waiters,
    /// Most nodes have none.
    children: Option<Box<List<Weak<Node>>>>,
    source: Slot,
}

/// Not in the list of the parent.
const UNLINKED: Key = Key::MAX;

/// The place of the future that cancels a node.
///
/// It is polled outside of the lock, by whoever finds it here; others who come meanwhile leave,
/// because its waker will wake them too. `Absent` if there was none, or it has completed, panicked
/// or been dropped.
enum Slot {
    Absent,
    Idle(Box<Source>),
    /// Somebody polls it now. `woken` if its waker was called since.
    Polled {
        woken: bool,
    },
}

struct Source {
    future: Pin<Box<dyn Future<Output = Cancelled> + Send>>,
    waker: Waker,
}

/// A node is in order whenever user code runs, so a panic leaves nothing broken to be seen.
impl RefUnwindSafe for Node {}

/// What a node hands out when it is set.
struct Released {
    waiters: Waiters,
    children: Option<Box<List<Weak<Node>>>>,
    source: Slot,
}

impl Node {
    fn new(parent: Option<&Arc<Node>>, has_source: bool) -> Self {
        // Looking at the parent alone makes a long chain cheap to build; a cancel farther up is
        // found when somebody asks.
        let reason = SetOnce::new();
        if let Some(of_parent) = parent.and_then(|parent| parent.reason.get()) {
            reason.set(of_parent.clone());
        }
        Node {
            due: None,
            link: AtomicU32::new(UNLINKED),
            has_source,
            driven: has_source || parent.is_some_and(|parent| parent.driven),
            // What is cancelled needs nobody to look up to.
            parent: parent.filter(|_| reason.get().is_none()).cloned(),
            reason,
            state: Lock::new(State {
                waiters: List::new(),
                children: None,
                source: Slot::Absent,
            }),
        }
    }

    fn is_set(&self) -> bool {
        self.reason.get().is_some()
    }

    fn is_cancelled(&self) -> bool {
        self.nearest_set().is_some()
    }

    fn is_due(&self) -> bool {
        self.due.as_ref().is_some_and(|due| due())
    }

    /// The first node on the way from this one to the root that is set, or due to be.
    fn nearest_set(&self) -> Option<&Node> {
        let mut node = self;
        while !node.is_set() && !node.is_due() {
            node = node.parent.as_deref()?;
        }
        Some(node)
    }

    /// Stores the reason of the nearest set ancestor in every node from there down to this one,
    /// and returns what this one has.
    fn settle(&self) -> Option<&Cancelled> {
        let top = self.nearest_set()?;
        let mut sequence = Sequence::default();
        if !top.is_set() {
            let reason = Cancelled::new(CancelKind::DeadlineExceeded, None);
            top.spread(&reason, &mut sequence);
        }
        let mut reason = top.reason.get()?;
        if !ptr::eq(top, self) {
            let mut path = Vec::new();
            let mut node = self;
            while !ptr::eq(node, top) {
                path.push(node);
                node = node.parent.as_deref()?;
            }
            while let Some(node) = path.pop() {
                node.spread(reason, &mut sequence);
                reason = node.reason.get()?;
            }
        }
        sequence.finish();
        Some(reason)
    }

    /// Returns whether this was the first cancellation.
    fn cancel(&self, reason: Cancelled) -> bool {
        if self.settle().is_some() {
            return false;
        }
        let mut sequence = Sequence::default();
        let first = self.spread(&reason, &mut sequence);
        sequence.finish();
        first
    }

    /// Sets this node and whatever is linked below it. Returns whether this node was set by it.
    fn spread(&self, reason: &Cancelled, sequence: &mut Sequence) -> bool {
        let Some(mut released) = self.set(reason) else {
            return false;
        };
        let mut below = Vec::new();
        loop {
            for waker in released
                .waiters
                .into_iter()
                .filter_map(|waiter| waiter.waker)
            {
                sequence.run(|| waker.wake());
            }
            sequence.run(|| drop(released.source));
            below.extend(released.children.into_iter().flat_map(|children| *children));
            released = loop {
                let Some(child) = below.pop() else {
                    return true;
                };
                let Some(child) = child.upgrade() else {
                    continue;
                };
                let set = child.set(reason);
                // We may have become the last owner.
                sequence.run(|| drop(child));
                if let Some(released) = set {
                    break released;
                }
            };
        }
    }

    /// Sets this node alone, if it is not set.
    fn set(&self, reason: &Cancelled) -> Option<Released> {
        let reason = reason.clone();
        self.state.with(|state| {
            if self.is_set() {
                return None;
            }
            self.reason.set(reason);
            Some(Released {
                waiters: mem::take(&mut state.waiters),
                children: mem::take(&mut state.children),
                source: mem::replace(&mut state.source, Slot::Absent),
            })
        })
    }

    /// Makes this node and those above it known to their parents.
    fn link(self: &Arc<Self>) {
        let mut node = self;
        while let Some(parent) = &node.parent {
            if node.link.load(Relaxed) != UNLINKED {
                return;
            }
            parent.state.with(|state| {
                if !parent.is_set() && node.link.load(Relaxed) == UNLINKED {
                    let children = state.children.get_or_insert_default();
                    let key = children.push_back(Arc::downgrade(node));
                    node.link.store(key, Relaxed);
                }
            });
            node = parent;
        }
    }

    /// Registers a waiter, for the first time or once more. The caller has to look again whether
    /// the node is cancelled.
    fn register(self: &Arc<Self>, key: &mut Option<Key>, waker: &Waker) {
        match *key {
            Some(key) => drop(waiters::refresh(&self.state, key, waker, |state| {
                self.open(state)
            })),
            None => {
                *key = waiters::register(&self.state, waker, (), |state| self.open(state));
                self.link();
            }
        }
    }

    /// The list for new waiters, if the node is not set.
    fn open<'a>(&self, state: &'a mut State) -> Option<&'a mut Waiters> {
        (!self.is_set()).then_some(&mut state.waiters)
    }

    /// Takes a waiter out, unless the cancel did.
    fn deregister(&self, key: Key) -> Option<Waker> {
        if self.is_set() {
            return None;
        }
        self.state.with(|state| self.open(state)?.remove(key).waker)
    }

    /// Polls the source of this node, if there is one and nobody else polls it.
    fn poll_source(&self) -> Option<Cancelled> {
        if !self.has_source || self.is_set() {
            return None;
        }
        let mut source =
            self.state.with(
                |state| match mem::replace(&mut state.source, Slot::Absent) {
                    Slot::Idle(source) => {
                        state.source = Slot::Polled { woken: false };
                        Some(source)
                    }
                    other => {
                        state.source = other;
                        None
                    }
                },
            )?;

        let mut polled = None;
        let mut sequence = Sequence::default();
        sequence.run(|| {
            let mut cx = Context::from_waker(&source.waker);
            polled = Some(source.future.as_mut().poll(&mut cx));
        });

        // It goes back only if it is pending, and the node was not set meanwhile.
        let mut source = Some(source);
        let woken = self.state.with(
            |state| match mem::replace(&mut state.source, Slot::Absent) {
                Slot::Polled { woken } if matches!(polled, Some(Poll::Pending)) => {
                    state.source = source.take().map_or(Slot::Absent, Slot::Idle);
                    woken
                }
                _ => false,
            },
        );
        sequence.run(|| drop(source));
        if woken {
            self.wake_below(&mut sequence);
        }
        sequence.finish();
        match polled {
            Some(Poll::Ready(reason)) => Some(reason),
            _ => None,
        }
    }

    /// Wakes every waiter of this node and of those below it; they stay registered.
    fn wake_below(&self, sequence: &mut Sequence) {
        let mut below = Vec::new();
        let mut wakers = self.state.with(|state| state.take_wakers(&mut below));
        loop {
            for waker in wakers {
                sequence.run(|| waker.wake());
            }
            let Some(child) = below.pop() else {
                return;
            };
            wakers = match child.upgrade() {
                Some(child) => {
                    let wakers = child.state.with(|state| state.take_wakers(&mut below));
                    sequence.run(|| drop(child));
                    wakers
                }
                None => Vec::new(),
            };
        }
    }

    /// Takes apart what must not be left to the compiler. Returns the parent, which the caller
    /// may be the last to own.
    fn dismantle(&mut self, sequence: &mut Sequence) -> Option<Arc<Node>> {
        let parent = self.parent.take();
        if let Some(parent) = &parent {
            let link = self.link.load(Relaxed);
            if link != UNLINKED && !parent.is_set() {
                parent.state.with(|state| {
                    if let Some(children) = &mut state.children {
                        children.remove(link);
                    }
                });
            }
        }
        let state = self.state.get_mut();
        let source = mem::replace(&mut state.source, Slot::Absent);
        if self.has_source {
            sequence.run(|| drop(source));
        }
        if self.is_set() {
            let reason = mem::replace(&mut self.reason, SetOnce::new());
            sequence.run(|| drop(reason));
        }
        parent
    }
}

impl State {
    fn take_wakers(&mut self, below: &mut Vec<Weak<Node>>) -> Vec<Waker> {
        if let Some(children) = &mut self.children {
            children.for_each(|child| below.push(child.clone()));
        }
        self.waiters.take_wakers()
    }
}

impl Drop for Node {
    /// A chain of a million nodes is dropped in a loop.
    fn drop(&mut self) {
        let mut sequence = Sequence::default();
        let mut parent = self.dismantle(&mut sequence);
        while let Some(mut node) = parent.and_then(Arc::into_inner) {
            parent = node.dismantle(&mut sequence);
        }
        sequence.finish();
    }
}

/// Wakes for a source. It outlives the node if somebody keeps the waker.
struct Signal {
    node: Weak<Node>,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let Some(node) = self.node.upgrade() else {
            return;
        };
        let idle = node.state.with(|state| match &mut state.source {
            Slot::Absent => false,
            Slot::Idle(_) => true,
            Slot::Polled { woken } => {
                *woken = true;
                false
            }
        });
        let mut sequence = Sequence::default();
        if idle {
            node.wake_below(&mut sequence);
        }
        sequence.run(|| drop(node));
        sequence.finish();
    }
}
