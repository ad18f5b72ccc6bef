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
//! - [`CancelContext`]: cancellation that goes down a tree, with a reason. It works without
//!   groups, too.
//! - The errors: [`Cancelled`], [`Errors`], [`TrySpawnError`], `Panicked`.
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
//! Awaiting the group in one branch of a `select!`, through `&mut`, is another way. It is cancel
//! safe: nothing is lost when another branch wins. But it discards values, and ends when the group
//! is empty.
//!
//! # When not to use it
//!
//! - To keep several processors busy. A group polls its tasks on the thread that polls the group.
//!   Spawn such work onto an executor, and make the handle a task of the group:
//!   `group.spawn(executor.spawn(work))` works as it is with `async_executor::Task`, which cancels
//!   on drop.
//! - For tasks that outlive their scope. That is what executors are for.
//! - For a handful of futures of known types that all must succeed: `try_join!` of the crate
//!   `futures` needs no boxes.
//!
//! # Features
//!
//! - `std` (default): [`catch_panics`](Group::catch_panics), destructors that panic one after the
//!   other, conversions into [`std::io::Error`]. Without it the crate is `no_std` and needs
//!   `alloc`.
//! - `critical-section`: without `std`, guard shared state by critical sections instead of a spin
//!   lock. Needed where an interrupt handler may wake a task.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod aim;
mod beside;
mod context;
mod driver;
mod engine;
mod error;
mod graceful;
mod group;
mod handle;
mod inbox;
mod kind;
mod list;
mod map;
mod node;
mod outcomes;
mod panic;
mod parent;
mod scope;
mod semaphore;
mod spawner;
mod sync;
mod tally;
mod tasks;
#[cfg(feature = "tracing")]
mod trace;
#[cfg(not(feature = "tracing"))]
#[path = "trace_off.rs"]
mod trace;
mod waiters;

#[cfg(feature = "tokio")]
#[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
pub mod on_tokio;
#[cfg(feature = "time")]
#[cfg_attr(docsrs, doc(cfg(feature = "time")))]
pub mod time;

pub use context::{CancelContext, Cancelling, DropGuard, Run};
sync::std_only! {
    pub use error::Panicked;
}
pub use error::{CancelKind, Cancelled, Errors, StartError, TooLarge, TrySpawnError};
pub use group::{ErrGroup, Group, LocalErrGroup, Results};
pub use handle::{Started, TaskHandle};
pub use map::{TryForEach, TryMap, try_for_each, try_for_each_stream, try_map, try_map_stream};
pub use scope::{local_scope, local_scope_in, scope, scope_in};
pub use semaphore::{Acquire, AcquireOwned, OwnedPermit, Permit, Semaphore};
pub use spawner::{ErrSpawner, LocalErrSpawner, Spawner};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
