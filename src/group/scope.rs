//! Scopes: a body that spawns tasks, and ends when all of them have ended.

use core::future::Future;

use crate::context::CancelContext;
use crate::error::Cancelled;
use crate::group::spawner::{ErrSpawner, LocalErrSpawner};
use crate::group::{ErrGroup, LocalErrGroup};

/// Runs a body that may spawn tasks, and ends when the body and all tasks have ended.
///
/// The body is polled as one of the tasks, so whatever it awaits, no task stands still meanwhile.
/// It does not count for a limit that it sets with [`set_limit`](crate::Spawner::set_limit). Tasks may
/// borrow what the scope may borrow, from outside of it; they may not borrow from the body, which
/// may end before them. So a scope inside of another one mostly
/// [needs `async move`](crate#things-that-bite).
///
/// The scope fails as a fail-fast group does: the first error, of the body or of a task, drops
/// everything else. To end it early and well, the body calls
/// [`abort_all`](crate::Spawner::abort_all) and returns a value.
///
/// This is the nursery of trio. For a scope with a limit, or one that
/// [keeps going](crate::Group::keep_going), see [`Group::scope`](crate::Group::scope).
///
/// Equivalent to: `async fn scope(body) -> Result<R, E>`
///
/// # Examples
///
/// ```
/// use errgroup::scope;
///
/// type Error = Box<dyn std::error::Error + Send + Sync>;
///
/// # smol::block_on(async {
/// let files = ["Cargo.toml".to_string(), "README.md".to_string()];
///
/// let total = scope(async |s| {
///     let mut sizes = Vec::new();
///     for file in &files {
///         // Borrows from outside of the scope.
///         sizes.push(s.spawn_with_handle(async move {
///             Ok::<_, Error>(smol::fs::metadata(file).await?.len())
///         }));
///     }
///     let mut total = 0;
///     for size in sizes {
///         total += size.await?; // Nothing stands still while this waits.
///     }
///     Ok(total)
/// })
/// .await?;
/// # assert!(total > 0);
/// # Ok::<_, Error>(())
/// # }).unwrap();
/// ```
///
/// # Errors
///
/// The first error in time, of the body or of a task.
///
/// # Panics
///
/// A panic of the body or of a task goes on out of the poll. Polling it after that, or after it has
/// completed, panics, too.
///
/// # Cancel safety
///
/// Dropping the future drops the body and all tasks.
pub fn scope<'env, R, E, B, Fut>(body: B) -> impl Future<Output = Result<R, E>> + Send
where
    B: FnOnce(ErrSpawner<'env, (), E>) -> Fut + Send + 'env,
    Fut: Future<Output = Result<R, E>> + Send + 'env,
    R: Send + 'env,
    E: Send + 'env,
{
    ErrGroup::new().scope(body)
}

/// Like [`scope`], for a body and tasks that are not `Send`.
///
/// # Examples
///
/// ```
/// use errgroup::local_scope;
/// use std::cell::Cell;
///
/// # futures::executor::block_on(async {
/// let count = Cell::new(0);
/// local_scope(async |s| {
///     for _ in 0..3 {
///         s.spawn(async {
///             count.set(count.get() + 1);
///             Ok::<_, ()>(())
///         });
///     }
///     Ok(())
/// })
/// .await
/// .unwrap();
/// assert_eq!(count.get(), 3);
/// # });
/// ```
///
/// # Errors
///
/// As with [`scope`].
///
/// # Panics
///
/// As with [`scope`].
///
/// # Cancel safety
///
/// As with [`scope`].
pub fn local_scope<'env, R, E, B, Fut>(body: B) -> impl Future<Output = Result<R, E>>
where
    B: FnOnce(LocalErrSpawner<'env, (), E>) -> Fut + 'env,
    Fut: Future<Output = Result<R, E>> + 'env,
    R: 'env,
    E: 'env,
{
    LocalErrGroup::new().scope(body)
}

/// Like [`scope`], but graceful: an error cancels a context, and the rest may come to an end.
///
/// The body gets the context, a [child](CancelContext::child) of `parent`. When it is cancelled,
/// by the first error or from above, `grace` begins; body and tasks are polled until they return,
/// and dropped when the grace is over, as in [`with_grace`](crate::Group::with_grace).
///
/// # Examples
///
/// ```
/// use errgroup::{CancelContext, scope_in};
/// use std::time::Duration;
///
/// type Error = Box<dyn std::error::Error + Send + Sync>;
///
/// # smol::block_on(async {
/// let parent = CancelContext::new();
/// let grace = || smol::Timer::after(Duration::from_secs(3));
///
/// let result = scope_in(&parent, grace, async |s, context| {
///     s.spawn(async { Err("no".into()) });
///     context.cancelled().await;
///     // Clean up here.
///     Ok::<_, Error>(())
/// });
/// assert_eq!(result.await.unwrap_err().to_string(), "no");
/// # });
/// ```
///
/// # Errors
///
/// The first error in time, of the body or of a task; `E::from` of the reason, if something was
/// dropped when the grace was over, and nothing had failed before.
///
/// # Panics
///
/// A panic of the body or of a task goes on out of the poll. Polling it after that, or after it has
/// completed, panics, too.
///
/// # Cancel safety
///
/// Dropping the future drops the body and all tasks.
pub fn scope_in<'env, R, E, G, S, B, Fut>(
    parent: &CancelContext,
    grace: G,
    body: B,
) -> impl Future<Output = Result<R, E>> + Send + use<'env, R, E, G, S, B, Fut>
where
    G: FnOnce() -> S + Send + 'env,
    S: Future + Send + 'env,
    B: FnOnce(ErrSpawner<'env, (), E>, CancelContext) -> Fut + Send + 'env,
    Fut: Future<Output = Result<R, E>> + Send + 'env,
    R: Send + 'env,
    E: From<Cancelled> + Send + 'env,
{
    let (context, group) = ErrGroup::with_grace(parent, grace);
    group.scope(|spawner| body(spawner, context))
}

/// Like [`scope_in`], for a body and tasks that are not `Send`.
///
/// # Examples
///
/// ```
/// use errgroup::{CancelContext, local_scope_in};
/// use std::{cell::Cell, error::Error, future::pending};
///
/// # futures::executor::block_on(async {
/// let parent = CancelContext::new();
/// let cleaned = Cell::new(false);
/// let result = local_scope_in(&parent, pending::<()>, async |s, context| {
///     s.spawn(async { Err("no".into()) });
///     context.cancelled().await;
///     cleaned.set(true);
///     Ok::<_, Box<dyn Error + Send + Sync>>(())
/// });
/// assert!(result.await.is_err());
/// assert!(cleaned.get());
/// # });
/// ```
///
/// # Errors
///
/// As with [`scope_in`].
///
/// # Panics
///
/// As with [`scope_in`].
///
/// # Cancel safety
///
/// As with [`scope_in`].
pub fn local_scope_in<'env, R, E, G, S, B, Fut>(
    parent: &CancelContext,
    grace: G,
    body: B,
) -> impl Future<Output = Result<R, E>> + use<'env, R, E, G, S, B, Fut>
where
    G: FnOnce() -> S + 'env,
    S: Future + 'env,
    B: FnOnce(LocalErrSpawner<'env, (), E>, CancelContext) -> Fut + 'env,
    Fut: Future<Output = Result<R, E>> + 'env,
    R: 'env,
    E: From<Cancelled> + 'env,
{
    let (context, group) = LocalErrGroup::with_grace(parent, grace);
    group.scope(|spawner| body(spawner, context))
}
