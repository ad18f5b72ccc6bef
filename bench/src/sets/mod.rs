//! Those who are compared, behind the same traits, so that the same code drives each of them.

use std::future::Future;

use crate::tasks::Outcome;

mod buffered;
mod concurrency;
mod errgroup;
mod executor;
mod futures;
mod stream;
mod tokio;
mod unicycle;

pub(crate) use self::buffered::{Buffered, BufferedJoin};
pub(crate) use self::concurrency::{ConcurrencyGroup, ConcurrencyJoin};
pub(crate) use self::errgroup::Errgroup;
pub(crate) use self::executor::Executor;
pub(crate) use self::futures::{JoinAll, Unordered};
pub(crate) use self::tokio::{Joined, Tracked, block_on as block_on_tokio};
pub(crate) use self::unicycle::Unicycle;

pub(crate) trait Who: 'static {
    const NAME: &'static str;

    /// Runs a future where tasks can be made and run.
    fn block_on<F: Future>(future: F) -> F::Output {
        futures_lite::future::block_on(future)
    }
}

/// Runs tasks to their ends.
pub(crate) trait Run: Who {
    /// Ends with the first error.
    fn run<I>(tasks: I) -> impl Future<Output = Outcome> + Send
    where
        I: Iterator + Send,
        I::Item: Future<Output = Outcome> + Send + 'static;
}

/// A set of tasks, to which more can be added.
pub(crate) trait Set: Who + Send + Sized {
    fn new() -> Self;

    fn add(&mut self, task: impl Future<Output = Outcome> + Send + 'static);

    /// Lets some of those run who were woken, if any were.
    fn turn(&mut self) -> impl Future<Output = ()> + Send;

    /// Runs all to their ends, or to the first error, at which the rest is dropped.
    fn finish(self) -> impl Future<Output = Outcome> + Send;

    /// Drops all tasks before it returns.
    fn clear(self) -> impl Future<Output = ()> + Send {
        async { drop(self) }
    }
}

/// A set that gives one outcome after the other.
pub(crate) trait Outcomes: Set {
    fn next(&mut self) -> impl Future<Output = Option<Outcome>> + Send;
}

impl<S: Set> Run for S {
    async fn run<I>(tasks: I) -> Outcome
    where
        I: Iterator + Send,
        I::Item: Future<Output = Outcome> + Send + 'static,
    {
        let mut set = S::new();
        for task in tasks {
            set.add(task);
        }
        set.finish().await
    }
}

/// A contender for each of the types, made by a function that is generic over them.
macro_rules! contenders {
    ($make:ident $arguments:tt: $($who:ident),+ $(,)?) => {
        vec![$($make::<$crate::sets::$who> $arguments),+]
    };
}
pub(crate) use contenders;
