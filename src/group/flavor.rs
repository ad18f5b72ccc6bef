//! The two flavours of a group: tasks that are `Send`, and tasks that need not be.

use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;

use crate::group::graceful::Lazy;
use crate::group::shared::{BODY, Hub};
use crate::group::special::{Abortable, Body, Handled, Starting};
use crate::group::task::{Extra, Noted, Plain, Task};
use crate::group::trace;
use crate::util::sync::Arc;

/// A flavour of groups: what they ask of their tasks.
///
/// It is [`Sending`] or [`Local`], and there are no others. Code that is for both has a parameter
/// for it.
///
/// # Examples
///
/// ```
/// use errgroup::{ErrGroup, Group, LocalErrGroup, flavor::Flavor};
///
/// fn state<T, E, K: Flavor>(group: &Group<'_, T, E, K>) -> String {
///     format!("{} run, {} wait", group.running(), group.queued())
/// }
///
/// assert_eq!(state(&ErrGroup::<(), ()>::new()), "0 run, 0 wait");
/// assert_eq!(state(&LocalErrGroup::<(), ()>::new()), "0 run, 0 wait");
/// ```
pub trait Flavor: Sized {
    /// A boxed task.
    type Task<'env, O>: Future<Output = O> + Unpin;

    #[doc(hidden)]
    const SEALED: Seal;
}

/// Nobody can name it elsewhere, so that there are no flavours but these two.
#[derive(Debug)]
pub struct Seal;

/// The flavours that take the future `Fut`, with values of type `U` that go elsewhere than to the
/// group.
///
/// [`Sending`] takes what is `Send + 'env`, and [`Local`] what is `'env`, which is the lifetime that
/// the [`Group`](crate::Group) has first among its parameters. A function that spawns into groups of
/// either flavour has this bound, and nobody else has to name it.
///
/// # Examples
///
/// ```
/// use errgroup::flavor::Accepts;
/// use errgroup::{ErrGroup, LocalErrGroup, Spawner};
/// use std::rc::Rc;
///
/// fn spawn_all<'env, T, E, K, Fut>(
///     spawner: &Spawner<'env, T, E, K>,
///     futures: impl IntoIterator<Item = Fut>,
/// ) where
///     K: Accepts<'env, Fut>,
///     Fut: Future<Output = Result<T, E>>,
/// {
///     for future in futures {
///         spawner.spawn(future);
///     }
/// }
///
/// # futures::executor::block_on(async {
/// let text = "text".to_string();
/// let group = ErrGroup::<usize, ()>::new();
/// spawn_all(&group.spawner(), [async { Ok(text.len()) }]);
/// assert_eq!(group.collect().await, Ok(vec![4]));
///
/// let text = Rc::new(text);
/// let group = LocalErrGroup::<usize, ()>::new();
/// spawn_all(&group.spawner(), [async { Ok(text.len()) }]);
/// assert_eq!(group.collect().await, Ok(vec![4]));
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Fut}` cannot be a task of this group",
    label = "an `ErrGroup` takes only futures that are `Send`",
    note = "use a `LocalErrGroup` (or `local_scope`, `local_scope_in`), whose tasks need not be `Send`",
    note = "or make it `Send`: its value, what it captures, and what it holds across an `.await` must not be an `Rc`, a borrow of a `RefCell` or the like; to see which of it is not `Send`, pass the future to a function that takes an `impl Send`"
)]
pub trait Accepts<'env, Fut, U = ()>: Flavor {
    /// It is the flavour itself. As a trait above this one, `Wraps` would stand in every page.
    #[doc(hidden)]
    type Boxer: Wraps<'env, Self, Fut, U>;
}

/// Whoever takes a future takes it in every wrapping.
pub trait Wraps<'env, K: Flavor, Fut, U>:
    Erases<'env, K, Task<Fut, Plain>>
    + Erases<'env, K, Task<Fut, Noted>>
    + Erases<'env, K, Task<Fut, Abortable>>
    + Erases<'env, K, Task<Fut, Handled<U>>>
    + Erases<'env, K, Task<Fut, Starting<U>>>
    + Erases<'env, K, Task<Fut, Body<U>>>
    + Erases<'env, K, Lazy<U, Fut>>
{
}

impl<'env, K: Flavor, Fut, U, B> Wraps<'env, K, Fut, U> for B where
    B: Erases<'env, K, Task<Fut, Plain>>
        + Erases<'env, K, Task<Fut, Noted>>
        + Erases<'env, K, Task<Fut, Abortable>>
        + Erases<'env, K, Task<Fut, Handled<U>>>
        + Erases<'env, K, Task<Fut, Starting<U>>>
        + Erases<'env, K, Task<Fut, Body<U>>>
        + Erases<'env, K, Lazy<U, Fut>>
{
}

/// What can box a future of type `W` as a task of the flavour `K`.
pub trait Erases<'env, K: Flavor, W> {
    /// Forgets the type of a boxed future.
    fn erase(task: Box<W>) -> K::Task<'env, W::Output>
    where
        W: Future;
}

/// The flavour of an [`ErrGroup`](crate::ErrGroup): tasks are `Send`, and so is the group.
///
/// # Examples
///
/// ```
/// use errgroup::{ErrGroup, Group, flavor::Sending};
///
/// let group: Group<'_, (), (), Sending> = ErrGroup::new();
/// ```
#[derive(Debug)]
pub enum Sending {}

/// The flavour of a [`LocalErrGroup`](crate::LocalErrGroup): tasks need not be `Send`.
///
/// # Examples
///
/// ```
/// use errgroup::{Group, LocalErrGroup, flavor::Local};
///
/// let group: Group<'_, (), (), Local> = LocalErrGroup::new();
/// ```
#[derive(Debug)]
pub enum Local {}

impl Flavor for Sending {
    type Task<'env, O> = Pin<Box<dyn Future<Output = O> + Send + 'env>>;

    const SEALED: Seal = Seal;
}

#[diagnostic::do_not_recommend]
impl<'env, Fut, U> Accepts<'env, Fut, U> for Sending
where
    Fut: Send + 'env,
    U: Send + 'env,
{
    type Boxer = Self;
}

impl<'env, W: Send + 'env> Erases<'env, Self, W> for Sending {
    #[inline]
    fn erase(task: Box<W>) -> <Sending as Flavor>::Task<'env, W::Output>
    where
        W: Future,
    {
        Box::into_pin(task)
    }
}

impl Flavor for Local {
    type Task<'env, O> = Pin<Box<dyn Future<Output = O> + 'env>>;

    const SEALED: Seal = Seal;
}

#[diagnostic::do_not_recommend]
impl<'env, Fut: 'env, U: 'env> Accepts<'env, Fut, U> for Local {
    type Boxer = Self;
}

impl<'env, W: 'env> Erases<'env, Self, W> for Local {
    #[inline]
    fn erase(task: Box<W>) -> <Local as Flavor>::Task<'env, W::Output>
    where
        W: Future,
    {
        Box::into_pin(task)
    }
}

/// Makes a task of a future that was taken under this index.
#[inline]
pub(crate) fn make<'env, K, B, Fut, X>(
    (future, mut extra): (Fut, X),
    index: usize,
    hub: &Arc<Hub>,
) -> K::Task<'env, Option<X::Outcome>>
where
    K: Flavor,
    B: Erases<'env, K, Task<Fut, X>>,
    Fut: Future,
    Task<Fut, X>: Future<Output = Option<X::Outcome>>,
    X: Extra<Fut::Output>,
{
    extra.taken(index);
    let future = match index {
        BODY => trace::untraced(future),
        _ => trace::traced(future, hub, index),
    };
    B::erase(Box::new(Task { future, extra }))
}
