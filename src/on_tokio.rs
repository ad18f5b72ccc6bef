//! Tasks on tokio's threads, as tasks of a group.
//!
//! A group polls its tasks on one thread. What is to run on others is spawned onto a runtime, and
//! its handle given to the group. tokio's own `JoinHandle` lets its task run on when it is dropped,
//! and wraps the output; the futures of this module abort their task instead, and give the output
//! itself.
//!
//! # Examples
//!
//! ```
//! use errgroup::{ErrGroup, on_tokio};
//! use std::io;
//!
//! # tokio::runtime::Builder::new_multi_thread().build().unwrap().block_on(async {
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

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use tokio::task::JoinHandle;

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
/// # tokio::runtime::Builder::new_multi_thread().build().unwrap().block_on(async {
/// assert_eq!(errgroup::on_tokio::spawn(async { 7 }).await, 7);
/// # });
/// ```
pub fn spawn<Fut>(fut: Fut) -> Task<Fut::Output>
where
    Fut: Future + Send + 'static,
    Fut::Output: Send + 'static,
{
    Task(tokio::spawn(fut))
}

/// Runs a function that blocks on a thread that tokio keeps for that.
///
/// # Panics
///
/// If called outside of a runtime. For the future, see [`Task`].
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_multi_thread().build().unwrap().block_on(async {
/// let text = errgroup::on_tokio::spawn_blocking(|| std::fs::read_to_string("Cargo.toml"));
/// assert!(text.await.unwrap().starts_with("[package]"));
/// # });
/// ```
pub fn spawn_blocking<F, R>(f: F) -> Task<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    Task(tokio::task::spawn_blocking(f))
}

/// A task on tokio's threads, as a future that gives its output.
///
/// Dropping it aborts the task, and does not wait for that: a future is dropped at its next
/// `await`, and a blocking function that has not started never will. One that has started cannot
/// be stopped, and runs on.
///
/// # Panics
///
/// A panic of the task goes on in whoever polls this. It panics, too, if the runtime is shut down
/// before the task has ended.
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_multi_thread().build().unwrap().block_on(async {
/// let task = errgroup::on_tokio::spawn(std::future::pending::<()>());
/// drop(task); // It is not left running.
/// # });
/// ```
#[must_use = "dropping it aborts the task"]
pub struct Task<T>(JoinHandle<T>);

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0).poll(cx).map(|result| {
            result.unwrap_or_else(|error| match error.try_into_panic() {
                Ok(payload) => resume(payload),
                Err(_) => panic!("tokio's runtime was shut down before the task had ended"),
            })
        })
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Task").field(&self.0.id()).finish()
    }
}
