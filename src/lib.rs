//! Runs fallible futures together, on any executor, without spawning: a group succeeds as one or
//! fails as one, and its tasks may borrow from the stack.
//!
//! ```
//! use errgroup::ErrGroup;
//!
//! # futures::executor::block_on(async {
//! let words = ["one".to_string(), "two".to_string(), "three".to_string()];
//!
//! let mut group = ErrGroup::<usize, std::io::Error>::new().limit(2);
//! for word in &words {
//!     group.spawn(async { Ok(word.len()) });
//! }
//! assert_eq!(group.collect().await?, [3, 3, 5]);
//! # Ok::<_, std::io::Error>(())
//! # }).unwrap();
//! ```
//!
//! A group is one future. It polls its tasks itself, so it needs no executor of its own: it runs
//! on smol, async-std, tokio, embassy or a bare `block_on`. Nothing runs before it is polled, and
//! nothing after it is dropped.
//!
//! # What an error does
//!
//! | | `.await`, `collect` | `wait_all`, `settle` | `first_ok` | `ready`, `drive` | `next`, `results` |
//! |---|---|---|---|---|---|
//! | [`new()`](Group::new) | the first error drops siblings and queue, and is returned in the same poll | everything runs to its end | the first success drops the rest | the first error drops siblings and queue, and is kept for the finishing call; `false` / `None` | every outcome; you decide |
//! | [`.keep_going()`](Group::keep_going) | everything runs; then the first error | same | same | outcomes are kept | same |
//! | [`with_context`](Group::with_context) | the first error cancels the context and drops the queue; running tasks are polled until they return | the first error cancels the context; queued tasks still start, and see it | errors cancel nothing | as in the first column; `false` / `None` at once | same |
//! | [`with_grace`](Group::with_grace) | the same, and what still runs when the grace is over is dropped; without an error before, the result is `E::from(reason)` | the same; a dropped or queued task's outcome is `E::from(reason)` | such outcomes count as errors | as above | such outcomes are yielded, lowest index first |
//!
//! The failure is always the first error in time, the root cause: what siblings say when they are
//! cancelled because of it never replaces it.
//!
//! # What is here
//!
//! - [`ErrGroup`], and [`LocalErrGroup`] for tasks that are not `Send`: both are [`Group`], whose
//!   methods they share.
//! - [`ErrSpawner`] and [`LocalErrSpawner`], to spawn from elsewhere, also from tasks.
//! - [`scope()`], [`local_scope`], [`scope_in`], [`local_scope_in`]: a body that spawns, with
//!   [`TaskHandle`]s for values, and [`Started`] for tasks that say when they are up.
//! - [`CancelContext`]: cancellation that goes down a tree, with a reason. It works without
//!   groups, too.
//! - [`Semaphore`]: weighted, and strictly fair.
//! - [`try_map`], [`try_for_each`], and [`try_map_stream`], [`try_for_each_stream`] for streams:
//!   the same work on many items, so many at a time, in order, without a box for each.
//! - The errors: [`Cancelled`], [`Errors`], [`TrySpawnError`], [`StartError`], [`TooLarge`],
//!   `Panicked`.
//!
//! # Driving a group while doing something else
//!
//! While you await something else, nobody polls the group: its tasks stand still, whatever they
//! hold. This loop serves nobody while it waits for the next connection:
//!
//! ```no_run
//! # use errgroup::ErrGroup; use smol::net::{TcpListener, TcpStream}; use std::io;
//! # async fn serve(stream: TcpStream) -> io::Result<()> { Ok(()) }
//! # async fn naive(listener: TcpListener) -> io::Result<()> {
//! let mut group = ErrGroup::new();
//! loop {
//!     let (stream, _) = listener.accept().await?; // Wrong.
//!     group.spawn(serve(stream));
//! }
//! # }
//! ```
//!
//! So whatever the code around a group waits for goes through [`drive`](Group::drive), and room
//! for the next task comes from [`ready`](Group::ready):
//!
//! ```no_run
//! # use errgroup::ErrGroup; use smol::net::{TcpListener, TcpStream}; use std::io;
//! # async fn serve(stream: TcpStream) -> io::Result<()> { Ok(()) }
//! # async fn good(listener: TcpListener) -> io::Result<()> {
//! let mut group = ErrGroup::new().limit(1000);
//! while group.ready().await {
//!     let Some(accepted) = group.drive(listener.accept()).await else {
//!         break; // A task has failed.
//!     };
//!     group.spawn(serve(accepted?.0));
//! }
//! group.await
//! # }
//! ```
//!
//! What goes wrong otherwise has names: *futurelock*, when a task that stands still holds the lock
//! or the permit that the loop waits for; or just a service that answers nobody while it waits.
//!
//! Awaiting the group in one branch of a `select!`, through `&mut`, is another way. It is cancel
//! safe: nothing is lost when another branch wins. But it discards values, and it ends when the
//! group is empty. A group is a [`FusedFuture`](futures::future::FusedFuture), so an empty one
//! that has returned is passed over until something is spawned:
//!
//! ```
//! # use errgroup::ErrGroup; use futures::{StreamExt, channel::mpsc, select};
//! # futures::executor::block_on(async {
//! # let (sender, jobs) = mpsc::unbounded::<u32>();
//! # sender.unbounded_send(1).unwrap(); drop(sender);
//! let mut jobs = jobs.fuse();
//! let mut group = ErrGroup::<(), std::io::Error>::new();
//! loop {
//!     select! {
//!         result = &mut group => result?, // A failure, or nothing left to do.
//!         job = jobs.next() => match job {
//!             Some(job) => group.spawn(async move { println!("{job}"); Ok(()) }),
//!             None => break,
//!         },
//!     }
//! }
//! group.await
//! # }).unwrap();
//! ```
//!
//! [`results()`](Group::results) promises nothing of the kind: while the code that takes outcomes
//! from it awaits something else, the tasks stand still.
//!
//! # Scopes
//!
//! A group of like tasks is half of structured concurrency. The other half is a body that starts
//! different tasks, waits for some of them, and ends when all have ended. In a [`scope()`] the body
//! is polled as one of the tasks, when it was woken: there is nothing it could await that would
//! stop the others.
//!
//! ```
//! use errgroup::scope;
//! use futures::{SinkExt, StreamExt, channel::mpsc};
//!
//! # futures::executor::block_on(async {
//! let sum = scope(async |s| {
//!     let (mut sender, mut numbers) = mpsc::channel(0);
//!     s.spawn_named("producer", async move {
//!         for number in 1..=3 {
//!             sender.send(number).await?;
//!         }
//!         Ok::<_, mpsc::SendError>(())
//!     });
//!     let mut sum = 0;
//!     while let Some(number) = numbers.next().await {
//!         sum += number; // The producer runs meanwhile.
//!     }
//!     Ok(sum)
//! });
//! assert_eq!(sum.await, Ok(6));
//! # });
//! ```
//!
//! - [`spawn_with_handle`](Spawner::spawn_with_handle) gives a [`TaskHandle`]: the task's value, and
//!   a way to abort it. Its error goes to the scope.
//! - [`start`](Spawner::start) waits until a task says that it is up.
//! - [`spawn_background`](Spawner::spawn_background) is for what serves the others; it is dropped
//!   when they have ended.
//! - [`spawn_named`](Spawner::spawn_named) gives a task a name. `Debug` of a group lists its
//!   unfinished tasks with their names, which is what one wants of a service that hangs.
//!
//! Tasks borrow what the scope may borrow, from outside. They may not borrow from the body:
//!
//! ```compile_fail
//! # use errgroup::scope;
//! # futures::executor::block_on(async {
//! scope(async |s| {
//!     let text = String::from("inside");
//!     s.spawn(async { println!("{text}"); Ok::<_, ()>(()) });
//!     Ok(())
//! })
//! # .await.unwrap() });
//! ```
//!
//! ```
//! # use errgroup::scope;
//! # futures::executor::block_on(async {
//! let text = String::from("outside");
//! scope(async |s| {
//!     s.spawn(async { println!("{text}"); Ok::<_, ()>(()) });
//!     Ok(())
//! })
//! # .await.unwrap() });
//! ```
//!
//! # Running under tokio
//!
//! A group needs nothing of its runtime, so it runs under tokio as it is, timers and sockets of
//! tokio included. Three things are worth knowing:
//!
//! - A group is one task of tokio, and runs on one of its threads at a time. To use more of them,
//!   spawn, and give the handle to the group. tokio's `JoinHandle` lets its task run on when it is
//!   dropped; with the feature `tokio`, `on_tokio::spawn` and `on_tokio::spawn_blocking` give
//!   futures that abort it.
//! - What is given to `tokio::spawn` must be `'static`, a group as well as anything else. Its
//!   tasks may borrow from inside of that future.
//! - Under tokio's paused clock, use tokio's timers for deadlines and grace. The timers of the
//!   feature `time` go by the real clock.
//!
//! # When not to use it
//!
//! - To keep several processors busy. A group polls its tasks on the thread that polls the group.
//!   Spawn such work onto an executor, and make the handle a task of the group:
//!   `group.spawn(executor.spawn(work))` works as it is with `async_executor::Task`, which cancels
//!   on drop. For tokio see [above](#running-under-tokio).
//! - For tasks that outlive their scope. That is what executors are for.
//! - For a handful of futures of known types that all must succeed: `try_join!` of the crate
//!   `futures` needs no boxes.
//!
//! # Features
//!
//! - `std` (default): [`catch_panics`](Group::catch_panics), destructors that panic one after the
//!   other, conversions into [`std::io::Error`]. Without it the crate is `no_std` and needs
//!   `alloc`.
//! - `time`: `CancelContext::with_timeout` and `time::sleep`, on async-io, whose reactor works under
//!   every executor.
//! - `tokio`: `on_tokio::spawn` and `on_tokio::spawn_blocking`. Not needed to run under tokio.
//! - `tracing`: a span `errgroup.task` around every task, with `group`, `index` and `name`, and
//!   debug events: spawned, started, finished, failed, dropped; cancelled and grace over for
//!   groups. Nothing of it is compiled in when it is off.
//! - `critical-section`: without `std`, guard shared state by critical sections instead of a spin
//!   lock. Needed where an interrupt handler may wake a task.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod context;
mod engine;
mod error;
mod group;
mod map;
mod semaphore;
mod util;

#[cfg(feature = "tokio")]
#[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
pub mod on_tokio;
#[cfg(feature = "time")]
#[cfg_attr(docsrs, doc(cfg(feature = "time")))]
pub mod time;

pub use context::{CancelContext, Cancelling, DropGuard, Run};
util::sync::std_only! {
    pub use error::Panicked;
}
pub use error::{CancelKind, Cancelled, Errors, StartError, TooLarge, TrySpawnError};
pub use group::handle::{Started, TaskHandle};
pub use group::scope::{local_scope, local_scope_in, scope, scope_in};
pub use group::spawner::{ErrSpawner, LocalErrSpawner, Spawner};
pub use group::{ErrGroup, Group, LocalErrGroup, Results};
pub use map::{TryForEach, TryMap, try_for_each, try_for_each_stream, try_map, try_map_stream};
pub use semaphore::{Acquire, AcquireOwned, OwnedPermit, Permit, Semaphore};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
