//! Tasks on tokio's threads, as tasks of a group.
//!
//! A group polls its tasks on one thread. What is to run on others is spawned onto a runtime, and
//! its handle given to the group. tokio's own `JoinHandle` lets its task run on when it is dropped,
//! and wraps the output; the futures of this module abort their task instead, and give the output
//! itself.
//!
//! [`spawn`] and [`spawn_blocking`] are for groups that run on the same runtime. A group that runs
//! elsewhere, and may outlive the runtime of its tasks, takes [`try_spawn`] and
//! [`try_spawn_blocking`], which tell it when that was shut down.
//!
//! # Examples
//!
//! ```
//! use errgroup::{ErrGroup, on_tokio};
//! use std::io;
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let mut group = ErrGroup::new();
//! group.spawn(on_tokio::spawn(async { Ok::<_, io::Error>(1) }));
//! group.spawn(on_tokio::spawn_blocking(|| {
//!     std::fs::metadata("Cargo.toml").map(|metadata| metadata.len())
//! }));
//! let values = group.collect().await?;
//! assert_eq!(values.len(), 2);
//! # Ok::<_, io::Error>(())
//! # }).unwrap();
//! ```
//!
//! A blocking function that has started cannot be stopped. When its group fails or is cancelled,
//! the group returns at once, but a runtime, of either kind, that is dropped waits until the function
//! returns, however long that takes. [`Runtime::shutdown_timeout`] waits for so long only, and
//! [`Runtime::shutdown_background`] not at all:
//!
//! ```
//! use errgroup::{ErrGroup, on_tokio};
//! use std::sync::mpsc;
//! use std::time::Duration;
//!
//! let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
//! let (_sender, messages) = mpsc::channel::<()>();
//!
//! let result = runtime.block_on(async {
//!     let mut group = ErrGroup::<(), &str>::new();
//!     // It waits for a message that never comes, and nothing can wake it.
//!     group.spawn(on_tokio::spawn_blocking(move || {
//!         messages.recv().map_err(|_| "nobody is left to send")
//!     }));
//!     group.spawn(async { Err("no disk") });
//!     group.await
//! });
//! assert_eq!(result, Err("no disk")); // Here we are, while the function still waits.
//!
//! // Dropping the runtime would hang here.
//! runtime.shutdown_timeout(Duration::from_millis(10));
//! ```
//!
//! The same with a function that ignores its context. With `shutdown_background` it runs on until it
//! returns, or the program ends:
//!
//! ```
//! use errgroup::{CancelContext, ErrGroup, on_tokio};
//! use std::sync::mpsc;
//!
//! let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
//! let (sender, messages) = mpsc::channel();
//!
//! let result = runtime.block_on(async {
//!     let grace = || async {}; // None at all.
//!     let (context, mut group) = ErrGroup::<(), std::io::Error>::with_grace(&CancelContext::new(), grace);
//!     group.spawn(on_tokio::spawn_blocking(move || {
//!         _ = messages.recv(); // Never asks whether it is cancelled.
//!         Ok(())
//!     }));
//!     context.cancel();
//!     group.await
//! });
//! assert_eq!(result.unwrap_err().to_string(), "cancelled"); // The group does not wait for it.
//!
//! runtime.shutdown_background(); // Neither does this.
//! assert!(sender.send("still here").is_ok());
//! ```
//!
//! [`Runtime::shutdown_timeout`]: tokio::runtime::Runtime::shutdown_timeout
//! [`Runtime::shutdown_background`]: tokio::runtime::Runtime::shutdown_background

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use tokio::task::JoinHandle;

use crate::error::{CancelKind, Cancelled};
use crate::util::sync::resume;

/// Spawns a future onto the current runtime of tokio, to be run by any of its threads.
///
/// It starts at once, unlike a plain task of a group, and the limit of a group that it is given to
/// does not hold it back. Where it should, spawn it from a task:
/// `group.spawn(async { on_tokio::spawn(work).await })`.
///
/// # Panics
///
/// If called outside of a runtime. For the future, see [`Task`].
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// assert_eq!(errgroup::on_tokio::spawn(async { 7 }).await, 7);
/// # });
/// ```
#[track_caller]
pub fn spawn<Fut>(fut: Fut) -> Task<Fut::Output>
where
    Fut: Future + Send + 'static,
    Fut::Output: Send + 'static,
{
    Task(try_spawn(fut))
}

/// Runs a function that blocks on a thread that tokio keeps for that.
///
/// Once it has started nothing can stop it: see the [module](self) for what that means when the
/// program ends.
///
/// # Panics
///
/// If called outside of a runtime. For the future, see [`Task`].
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let text = errgroup::on_tokio::spawn_blocking(|| std::fs::read_to_string("Cargo.toml"));
/// assert!(text.await.unwrap().starts_with("[package]"));
/// # });
/// ```
#[track_caller]
pub fn spawn_blocking<F, R>(f: F) -> Task<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    Task(try_spawn_blocking(f))
}

/// Like [`spawn`], with an output that says whether the runtime was shut down before the task had
/// ended.
///
/// # Errors
///
/// The future's output is a [`Cancelled`] in that case: see [`TryTask`].
///
/// # Panics
///
/// If called outside of a runtime. For the future, see [`TryTask`].
///
/// # Examples
///
/// A group that runs on the main thread, and is not stopped by the end of the runtime:
///
/// ```
/// use errgroup::{ErrGroup, on_tokio};
/// use std::{future, io};
///
/// let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// let mut group = ErrGroup::new();
/// {
///     let _entered = runtime.enter();
///     let task = on_tokio::try_spawn(future::pending::<io::Result<()>>());
///     group.spawn(async { task.await? });
/// }
/// drop(runtime);
///
/// let error = futures::executor::block_on(group).unwrap_err();
/// assert_eq!(error.to_string(), "cancelled");
/// ```
#[track_caller]
pub fn try_spawn<Fut>(fut: Fut) -> TryTask<Fut::Output>
where
    Fut: Future + Send + 'static,
    Fut::Output: Send + 'static,
{
    TryTask::new(tokio::spawn(fut))
}

/// Like [`spawn_blocking`], with an output that says whether the runtime was shut down before the
/// function had started.
///
/// # Errors
///
/// The future's output is a [`Cancelled`] in that case: see [`TryTask`].
///
/// # Panics
///
/// If called outside of a runtime. For the future, see [`TryTask`].
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let sum = errgroup::on_tokio::try_spawn_blocking(|| (1..=4).sum::<u32>());
/// assert_eq!(sum.await.unwrap(), 10);
/// # });
/// ```
#[track_caller]
pub fn try_spawn_blocking<F, R>(f: F) -> TryTask<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    TryTask::new(tokio::task::spawn_blocking(f))
}

/// A task on tokio's threads, as a future that gives its output.
///
/// Dropping it aborts the task, and does not wait for that: a future is dropped at its next
/// `await`, and a blocking function that has not started never will. One that has started cannot
/// be stopped, and runs on.
///
/// If the runtime is shut down before the task has ended, this is pending for ever. Whatever
/// awaits it on the same runtime is being dropped as well. What runs elsewhere, also in tokio's
/// `Handle::block_on`, would wait in vain, and needs a [`TryTask`].
///
/// # Panics
///
/// A panic of the task goes on in whoever polls this.
///
/// # Cancel safety
///
/// Poll it through `&mut` and nothing is lost: the task goes on, until this is dropped.
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let task = errgroup::on_tokio::spawn(std::future::pending::<()>());
/// drop(task); // It is not left running.
/// # });
/// ```
#[must_use = "dropping it aborts the task"]
pub struct Task<T>(TryTask<T>);

/// A [`Task`] whose output says whether its runtime was shut down before the task had ended.
///
/// # Errors
///
/// If it was, the output is a [`Cancelled`] of the kind [`CancelKind::Cancelled`], as for a task
/// that was aborted, with a cause that names the runtime. Later polls give the same again.
///
/// # Panics
///
/// A panic of the task goes on in whoever polls this.
///
/// # Cancel safety
///
/// Poll it through `&mut` and nothing is lost: the task goes on, until this is dropped.
///
/// # Examples
///
/// ```
/// use errgroup::on_tokio;
///
/// let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// let task = {
///     let _entered = runtime.enter();
///     on_tokio::try_spawn(std::future::pending::<()>())
/// };
/// drop(runtime);
///
/// let reason = futures::executor::block_on(task).unwrap_err();
/// assert_eq!(reason.cause().unwrap().to_string(), "tokio's runtime was shut down");
/// ```
#[must_use = "dropping it aborts the task"]
pub struct TryTask<T> {
    handle: JoinHandle<T>,
    /// The runtime was shut down, and the handle, which panics if it is polled once more, has
    /// said so.
    lost: bool,
}

impl<T> TryTask<T> {
    fn new(handle: JoinHandle<T>) -> Self {
        TryTask {
            handle,
            lost: false,
        }
    }
}

impl<T> Future for TryTask<T> {
    type Output = Result<T, Cancelled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.lost {
            match ready!(Pin::new(&mut self.handle).poll(cx)) {
                Ok(output) => return Poll::Ready(Ok(output)),
                Err(error) => match error.try_into_panic() {
                    Ok(payload) => resume(payload),
                    // Nobody else can abort it.
                    Err(_) => self.lost = true,
                },
            }
        }
        let cause = "tokio's runtime was shut down";
        let reason = Cancelled::new(CancelKind::Cancelled, Some(cause.into()));
        Poll::Ready(Err(reason))
    }
}

impl<T> Drop for TryTask<T> {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match ready!(Pin::new(&mut self.0).poll(cx)) {
            Ok(output) => Poll::Ready(output),
            // Purposefully never woken again.
            Err(_) => Poll::Pending,
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Task").field(&self.0.handle.id()).finish()
    }
}

impl<T> fmt::Debug for TryTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TryTask").field(&self.handle.id()).finish()
    }
}
