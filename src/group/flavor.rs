//! The two flavours of a group: tasks that are `Send`, and tasks that need not be.

use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;

/// How a group stores its tasks.
pub trait Kind: Sized {
    /// A boxed task.
    type Task<'env, O>: Future<Output = O> + Unpin;
}

/// The kinds that take `Fut` as a task.
#[diagnostic::on_unimplemented(
    message = "this group does not take `{Fut}` as a task",
    note = "an `ErrGroup` takes futures that are `Send`, a `LocalErrGroup` any"
)]
pub trait Accepts<'env, Fut: Future>: Kind {
    /// Forgets the type of a boxed future.
    fn erase(task: Box<Fut>) -> Self::Task<'env, Fut::Output>;
}

/// Tasks are `Send`, and so is the group.
#[derive(Debug)]
pub enum Sending {}

/// Tasks need not be `Send`.
#[derive(Debug)]
pub enum Local {}

impl Kind for Sending {
    type Task<'env, O> = Pin<Box<dyn Future<Output = O> + Send + 'env>>;
}

impl<'env, Fut> Accepts<'env, Fut> for Sending
where
    Fut: Future + Send + 'env,
{
    fn erase(task: Box<Fut>) -> Self::Task<'env, Fut::Output> {
        Box::into_pin(task)
    }
}

impl Kind for Local {
    type Task<'env, O> = Pin<Box<dyn Future<Output = O> + 'env>>;
}

impl<'env, Fut> Accepts<'env, Fut> for Local
where
    Fut: Future + 'env,
{
    fn erase(task: Box<Fut>) -> Self::Task<'env, Fut::Output> {
        Box::into_pin(task)
    }
}
