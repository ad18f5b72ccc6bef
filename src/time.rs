//! Timers that work under every executor, from `async-io`.

use alloc::boxed::Box;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::time::Instant;

use async_io::Timer;

use crate::context::CancelContext;
use crate::error::{CancelKind, Cancelled};

/// Waits for a time.
///
/// Equivalent to: `async fn sleep(duration: Duration)`
///
/// For the grace of a group or the deadline of a context, in code that does not know its runtime.
/// The timer of the runtime will do as well, and under tokio's paused clock only that one will.
///
/// # Examples
///
/// ```
/// use errgroup::{CancelContext, ErrGroup, time::sleep};
/// use std::time::Duration;
///
/// # futures::executor::block_on(async {
/// let grace = || sleep(Duration::from_secs(3));
/// let (context, mut group) =
///     ErrGroup::<(), std::io::Error>::with_grace(&CancelContext::new(), grace);
/// group.spawn(async {
///     sleep(Duration::from_millis(1)).await;
///     Ok(())
/// });
/// group.await.unwrap();
/// # });
/// ```
///
/// # Cancel safety
///
/// Dropping it loses nothing but the time.
pub fn sleep(duration: Duration) -> Sleep {
    Sleep(Timer::after(duration))
}

/// The future of [`sleep`].
///
/// # Examples
///
/// ```
/// use errgroup::time::{Sleep, sleep};
/// use std::time::Duration;
///
/// let sleep: Sleep = sleep(Duration::from_millis(1));
/// # futures::executor::block_on(async {
/// sleep.await;
/// # });
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct Sleep(Timer);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}

/// Shows whether it will ever be ready: it will not when it was, or if its time is too long for the
/// clock.
impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep")
            .field("will_fire", &self.0.will_fire())
            .finish_non_exhaustive()
    }
}

impl CancelContext {
    /// Makes a child that is cancelled after a time, with the kind
    /// [`DeadlineExceeded`](CancelKind::DeadlineExceeded): Go's `context.WithTimeout`.
    ///
    /// Unlike with [`with_deadline`](CancelContext::with_deadline),
    /// [`is_cancelled`](CancelContext::is_cancelled), [`check`](CancelContext::check) and
    /// [`reason`](CancelContext::reason) see that the time has passed even if nobody has polled
    /// the context; for that they look at the clock.
    ///
    /// A time that is too long for the clock never passes.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::CancelContext;
    /// use std::time::Duration;
    ///
    /// let context = CancelContext::new().with_timeout(Duration::from_millis(1));
    /// let mut rounds = 0_u64;
    /// while !context.is_cancelled() {
    ///     rounds += 1; // Work that never awaits.
    /// }
    /// assert!(context.reason().unwrap().is_deadline());
    /// # _ = rounds;
    /// ```
    ///
    /// The compiler warns of a context with a timeout that is thrown away:
    ///
    /// ```compile_fail
    /// #![deny(unused_must_use)]
    /// # use std::time::Duration;
    /// let context = errgroup::CancelContext::new();
    /// context.with_timeout(Duration::from_secs(1));
    /// ```
    ///
    /// ```
    /// #![deny(unused_must_use)]
    /// # use std::time::Duration;
    /// let context = errgroup::CancelContext::new();
    /// let context = context.with_timeout(Duration::from_secs(1));
    /// ```
    #[must_use = "a context with a deadline is a new one: the old one has none"]
    pub fn with_timeout(&self, after: Duration) -> Self {
        let at = Instant::now().checked_add(after);
        let timer = at.map_or_else(Timer::never, Timer::at);
        let reason = Cancelled::new(CancelKind::DeadlineExceeded, None);
        let due = move || at.is_some_and(|at| Instant::now() >= at);
        self.with_deadline_reason(timer, reason, Some(Box::new(due)))
    }
}
