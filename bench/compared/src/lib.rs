//! Proofs for the table "Compared with" of errgroup's README. The tests are in `tests/it`, one
//! module for each row; README.md lists the proof of every cell. Here is what does not compile.
//!
//! # What borrows from the stack
//!
//! Where the cell says no, the task has to be `'static`. With a `&'static str` all of these compile:
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let text = "static";
//! let mut set = tokio::task::JoinSet::new();
//! set.spawn(async move { text.len() });
//! tokio_util::task::TaskTracker::new().spawn(async move { text.len() });
//! # });
//! ```

/// `JoinSet`
///
/// ```compile_fail,E0597
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let text = String::from("of the stack");
/// let text = &text;
/// let mut set = tokio::task::JoinSet::new();
/// set.spawn(async move { text.len() });
/// # });
/// ```
pub mod a_join_set_borrows {}

/// `TaskTracker::spawn`
///
/// ```compile_fail,E0597
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let text = String::from("of the stack");
/// let text = &text;
/// tokio_util::task::TaskTracker::new().spawn(async move { text.len() });
/// # });
/// ```
pub mod a_tracker_borrows {}

/// A subsystem. The good twin, whose text is static:
///
/// ```
/// use tokio_graceful_shutdown::{SubsystemHandle, Toplevel};
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let text = "static";
/// let toplevel: Toplevel =
///     Toplevel::new(async move |_: &mut SubsystemHandle| drop(text.len()));
/// # drop(toplevel) });
/// ```
///
/// ```compile_fail,E0597
/// use tokio_graceful_shutdown::{SubsystemHandle, Toplevel};
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let text = String::from("of the stack");
/// let text = &text;
/// let toplevel: Toplevel =
///     Toplevel::new(async move |_: &mut SubsystemHandle| drop(text.len()));
/// # drop(toplevel) });
/// ```
pub mod a_subsystem_borrows {}

/// What spawns from inside of a task: `JoinSet::spawn` takes `&mut self`, and a task is `'static`.
///
/// ```compile_fail,E0597
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let mut set = tokio::task::JoinSet::new();
/// let inside = &mut set;
/// set.spawn(async move {
///     inside.spawn(async {});
/// });
/// # });
/// ```
pub mod a_task_of_a_join_set_spawns {}

/// `FuturesUnordered::push` takes `&self`, but who polls the set has it as `&mut`.
///
/// ```compile_fail,E0502
/// use futures::{StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};
/// # futures::executor::block_on(async {
/// let mut set = FuturesUnordered::<LocalBoxFuture<'_, ()>>::new();
/// let inside = &set;
/// set.push(Box::pin(async move { inside.push(Box::pin(async {})) }));
/// set.next().await;
/// # });
/// ```
pub mod a_task_of_futures_unordered_spawns {}

/// A subsystem has no value to give: its output is `Result<(), E>`.
///
/// ```compile_fail,E0271
/// use tokio_graceful_shutdown::{SubsystemBuilder, SubsystemHandle, Toplevel};
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let toplevel: Toplevel = Toplevel::new(async |s: &mut SubsystemHandle| {
///     s.start(SubsystemBuilder::new("one", async |_: &mut SubsystemHandle| {
///         Ok::<u32, std::convert::Infallible>(1)
///     }));
/// });
/// # drop(toplevel) });
/// ```
pub mod a_subsystem_gives_a_value {}
