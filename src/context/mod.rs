//! `CancelContext`: a tree of cancellations with reasons.

pub(crate) mod node;

use alloc::boxed::Box;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures::future::FusedFuture;
use pin_project_lite::pin_project;

use crate::context::node::{Due, Fired, Node};
use crate::error::{BoxError, CancelKind, Cancelled};
use crate::util::list::Key;
use crate::util::panic::{drop_quietly, in_passing, sequence};
use crate::util::sync::{Arc, catch, resume};

/// Tells work to stop, and why: a node in a tree of cancellations.
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
    #[must_use]
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
    ///
    /// The compiler warns of a child that is thrown away:
    ///
    /// ```compile_fail
    /// #![deny(unused_must_use)]
    /// let context = errgroup::CancelContext::new();
    /// context.child();
    /// ```
    ///
    /// ```
    /// #![deny(unused_must_use)]
    /// let context = errgroup::CancelContext::new();
    /// let context = context.child();
    /// ```
    #[must_use = "a child is a new context, and this one stays as it was"]
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
    /// polled again. Whoever polls a context polls `at` first, so it should not be
    /// [greedy](crate#running-under-tokio).
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
    ///
    /// The deadline is that of the new context. The old one has none, so the compiler warns of a
    /// new one that is thrown away:
    ///
    /// ```compile_fail
    /// #![deny(unused_must_use)]
    /// # use errgroup::CancelContext;
    /// let context = CancelContext::new();
    /// context.with_deadline(async {});
    /// ```
    ///
    /// ```
    /// #![deny(unused_must_use)]
    /// # use errgroup::CancelContext;
    /// let context = CancelContext::new();
    /// let context = context.with_deadline(async {});
    /// ```
    #[must_use = "a context with a deadline is a new one: the old one has none"]
    pub fn with_deadline(&self, at: impl Future + Send + 'static) -> Self {
        self.with_deadline_reason(at, Cancelled::new(CancelKind::DeadlineExceeded, None), None)
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
    ///
    /// The compiler warns of one that is thrown away, as with
    /// [`with_deadline`](CancelContext::with_deadline):
    ///
    /// ```compile_fail
    /// #![deny(unused_must_use)]
    /// let context = errgroup::CancelContext::new();
    /// context.with_deadline_cause(async {}, "the lease has run out");
    /// ```
    ///
    /// ```
    /// #![deny(unused_must_use)]
    /// let context = errgroup::CancelContext::new();
    /// let context = context.with_deadline_cause(async {}, "the lease has run out");
    /// ```
    #[must_use = "a context with a deadline is a new one: the old one has none"]
    pub fn with_deadline_cause(
        &self,
        at: impl Future + Send + 'static,
        cause: impl Into<Box<dyn core::error::Error + Send + Sync>>,
    ) -> Self {
        let reason = Cancelled::new(CancelKind::DeadlineExceeded, Some(cause.into()));
        self.with_deadline_reason(at, reason, None)
    }

    /// Makes a child that is cancelled when `on` completes, with its output as the cause.
    ///
    /// The output has to be an error or a text. Map what is neither, such as the `io::Result<()>` of
    /// tokio's `ctrl_c`: `async { _ = tokio::signal::ctrl_c().await; "interrupted" }`.
    ///
    /// A trigger may be a signal of the operating system, a closed connection, a message. Like a
    /// [deadline](CancelContext::with_deadline), it is polled by those who poll the context, and
    /// by nobody else, and dropped when the context is cancelled. Go's `signal.NotifyContext` is
    /// a case of it.
    ///
    /// # Panics
    ///
    /// As with [`with_deadline`](CancelContext::with_deadline). If the cause cannot be made of the
    /// output of `on`, because that panics, the context is cancelled without a cause, and the panic
    /// goes to whoever polled.
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
    ///
    /// The compiler warns of one that is thrown away, as with
    /// [`with_deadline`](CancelContext::with_deadline):
    ///
    /// ```compile_fail
    /// #![deny(unused_must_use)]
    /// let context = errgroup::CancelContext::new();
    /// context.with_trigger(async { "enough" });
    /// ```
    ///
    /// ```
    /// #![deny(unused_must_use)]
    /// let context = errgroup::CancelContext::new();
    /// let context = context.with_trigger(async { "enough" });
    /// ```
    #[must_use = "a context with a trigger is a new one: the old one has none"]
    pub fn with_trigger<C>(&self, on: impl Future<Output = C> + Send + 'static) -> Self
    where
        C: Into<Box<dyn core::error::Error + Send + Sync>>,
    {
        self.with_source(
            on,
            |cause| {
                let (cause, late) = match catch(|| cause.into()) {
                    Ok(cause) => (Some(cause), None),
                    Err(payload) => (None, Some(payload)),
                };
                let reason = Cancelled::new(CancelKind::Cancelled, cause);
                Fired { reason, late }
            },
            None,
        )
    }

    /// For a deadline; `due` says whether it has passed, though nobody has polled it.
    pub(crate) fn with_deadline_reason(
        &self,
        at: impl Future + Send + 'static,
        reason: Cancelled,
        due: Option<Due>,
    ) -> Self {
        let fire = |output| {
            in_passing(|steps| steps.run(|| drop(output)));
            Fired { reason, late: None }
        };
        self.with_source(at, fire, due)
    }

    fn with_source<F, M>(&self, future: F, fire: M, due: Option<Due>) -> Self
    where
        F: Future + Send + 'static,
        M: FnOnce(F::Output) -> Fired + Send + 'static,
    {
        if self.node.settle().is_some() {
            drop(future);
            return self.child();
        }
        let source = Until {
            future: Some(future),
            fire: Some(fire),
        };
        let node = Node::with_source(&self.node, Box::pin(source), due);
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
    /// # Wakers
    ///
    /// Everything below is cancelled before the first waker is woken and the first deadline or
    /// trigger dropped. So a waker or destructor that asks or cancels a context below finds nothing
    /// left to do there, however long the chain of them is.
    ///
    /// One that cancels a context elsewhere, in this tree or another, does so as any caller: those
    /// who wait for that context are woken before it goes on. Such cancels are nested in each other,
    /// and a chain of many thousands overflows the stack: each takes about half a kilobyte of it,
    /// or two without optimization, beside what the waker itself takes. Let a waker that starts
    /// such a chain leave the cancel to a task.
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
    #[must_use = "asking changes nothing: leave when it is true"]
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
    #[must_use = "asking changes nothing: leave when there is a reason"]
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
    /// As with [`cancelled`](CancelContext::cancelled); and if polled after it has completed. A
    /// destructor of `fut` that panics when the outcome is known stops nothing: the outcome is
    /// returned (with `std`).
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

pin_project! {
    /// A deadline or trigger, and what comes of it.
    struct Until<F, M> {
        #[pin]
        future: Option<F>,
        fire: Option<M>,
    }
}

impl<F, M> Future for Until<F, M>
where
    F: Future,
    M: FnOnce(F::Output) -> Fired,
{
    type Output = Fired;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Fired> {
        let mut this = self.project();
        let future = this.future.as_mut().as_pin_mut();
        let output = ready!(future.expect("polled after it has fired").poll(cx));
        // It has come to its end, and that is not to be lost to its destructor.
        in_passing(|steps| steps.run(|| this.future.set(None)));
        let fire = this.fire.take().expect("it goes with the future");
        Poll::Ready(fire(output))
    }
}

impl Default for CancelContext {
    fn default() -> Self {
        CancelContext::new()
    }
}

/// Shows of what kind its reason is, if it is cancelled. The cause is left out: it may hold the
/// context itself.
impl fmt::Debug for CancelContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelContext")
            .field("cancelled", &self.node.kind())
            .finish_non_exhaustive()
    }
}

/// The future of [`CancelContext::cancelled`].
///
/// When it has completed it may be polled again, and gives the same reason.
///
/// # Examples
///
/// ```
/// use errgroup::{CancelContext, Cancelling};
///
/// struct Listener {
///     stopped: Cancelling,
/// }
///
/// let context = CancelContext::new();
/// let mut listener = Listener { stopped: context.cancelled() };
/// context.cancel();
/// # futures::executor::block_on(async {
/// (&mut listener.stopped).await;
/// # });
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct Cancelling {
    node: Arc<Node>,
    /// Our place among the waiters of `node`; stale as soon as `node` is cancelled.
    key: Option<Key>,
    done: bool,
}

impl Cancelling {
    #[inline]
    fn look(&mut self) -> Poll<Cancelled> {
        if let Some(reason) = self.node.own_reason() {
            // Whoever set it has taken us out.
            self.key = None;
            self.done = true;
            return Poll::Ready(reason.clone());
        }
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
            if let Some(Fired { reason, late }) = node.poll_source() {
                // Before the others are woken: we need not wake ourselves.
                let waker = this.key.take().and_then(|key| this.node.deregister(key));
                sequence(|steps| {
                    steps.run(|| _ = node.cancel(reason));
                    steps.run(|| drop(waker));
                    if let Some(payload) = late {
                        steps.run(|| resume(payload));
                    }
                });
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
            .field("cancelled", &self.node.kind())
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of [`CancelContext::run`].
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::{CancelContext, Run};
    ///
    /// async fn work() -> u32 { 7 }
    ///
    /// let run: Run<_> = CancelContext::new().run(work());
    /// # futures::executor::block_on(async {
    /// assert_eq!(run.await.unwrap(), 7);
    /// # });
    /// ```
    #[must_use = "futures do nothing unless polled"]
    pub struct Run<Fut> {
        #[pin]
        fut: Option<Fut>,
        cancelling: Cancelling,
    }

    impl<Fut> PinnedDrop for Run<Fut> {
        fn drop(this: Pin<&mut Self>) {
            let mut fut = this.project().fut;
            if fut.is_some() {
                sequence(|steps| steps.run(|| fut.set(None)));
            }
        }
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
        let mut outcome = cancelled.map(Err);
        if outcome.is_pending() {
            let fut = this.fut.as_mut().as_pin_mut().expect("it was there above");
            outcome = fut.poll(cx).map(Ok);
        }
        if outcome.is_pending() && !driven {
            outcome = Pin::new(&mut *this.cancelling).poll(cx).map(Err);
        }
        if outcome.is_ready() {
            in_passing(|steps| {
                steps.run(|| this.fut.set(None));
                steps.run(|| this.cancelling.deregister());
            });
        }
        outcome
    }
}

impl<Fut> fmt::Debug for Run<Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("cancelled", &self.cancelling.node.kind())
            .finish_non_exhaustive()
    }
}

/// Cancels a context when it is dropped; made by [`CancelContext::drop_guard`].
///
/// # Examples
///
/// ```
/// let context = errgroup::CancelContext::new();
/// drop(context.drop_guard());
/// assert!(context.is_cancelled());
/// ```
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
        let context = self.context.as_ref().expect("only `disarm` takes it");
        f.debug_tuple("DropGuard").field(context).finish()
    }
}
