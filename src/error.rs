//! Every error type of the crate.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::{self, Vec};
use core::error::Error;
use core::fmt::{self, Write};
use core::{iter, slice};

use crate::util::panic::drop_quietly;
use crate::util::sync::{Arc, std_only};

/// A boxed error, as causes are given.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// The reason why a [`CancelContext`](crate::CancelContext) was cancelled.
///
/// It has a [kind](CancelKind) and perhaps a cause, which is also its
/// [`source`](Error::source). The text never repeats the cause, so that reporters that print the
/// chain of sources print it once.
///
/// This is Go's `ctx.Err()` and `context.Cause(ctx)` in one value.
///
/// # Examples
///
/// ```
/// use errgroup::{CancelContext, CancelKind};
///
/// let context = CancelContext::new();
/// context.cancel_with("the disk is full");
///
/// let reason = context.reason().unwrap();
/// assert_eq!(reason.kind(), CancelKind::Cancelled);
/// assert_eq!(reason.to_string(), "cancelled");
/// assert_eq!(reason.cause().unwrap().to_string(), "the disk is full");
/// ```
#[derive(Clone)]
pub struct Cancelled {
    kind: CancelKind,
    cause: Option<Arc<dyn Error + Send + Sync>>,
}

/// It may be the last to have the cause, and be kept in many places when a thread panics.
impl Drop for Cancelled {
    fn drop(&mut self) {
        if let Some(cause) = self.cause.take() {
            drop_quietly(cause);
        }
    }
}

/// What kind of event cancelled a context; see [`Cancelled::kind`].
///
/// # Examples
///
/// ```
/// use errgroup::{CancelContext, CancelKind};
///
/// let context = CancelContext::new();
/// context.cancel();
/// match context.reason().unwrap().kind() {
///     CancelKind::DeadlineExceeded => eprintln!("too late"),
///     CancelKind::TaskFailed => eprintln!("a sibling failed"),
///     _ => eprintln!("stopped"),
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CancelKind {
    /// Somebody called `cancel` or `cancel_with`, or a trigger fired.
    Cancelled,
    /// A deadline passed.
    DeadlineExceeded,
    /// A task of the group to which the context belongs returned an error.
    TaskFailed,
    /// The group to which the context belongs is over.
    Finished,
}

impl Cancelled {
    pub(crate) fn new(kind: CancelKind, cause: Option<BoxError>) -> Self {
        Cancelled {
            kind,
            cause: cause.map(Arc::from),
        }
    }

    /// The kind of event that cancelled the context.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::{CancelContext, CancelKind};
    ///
    /// let context = CancelContext::new();
    /// context.cancel();
    /// assert_eq!(context.reason().unwrap().kind(), CancelKind::Cancelled);
    /// ```
    #[must_use]
    pub fn kind(&self) -> CancelKind {
        self.kind
    }

    /// Whether it was a deadline that passed.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let context = errgroup::CancelContext::new().with_deadline(async {});
    /// assert!(context.cancelled().await.is_deadline());
    /// # });
    /// ```
    #[must_use]
    pub fn is_deadline(&self) -> bool {
        self.kind == CancelKind::DeadlineExceeded
    }

    /// The cause that was given with the cancellation, if there was one.
    ///
    /// # Examples
    ///
    /// ```
    /// let context = errgroup::CancelContext::new();
    /// context.cancel_with("enough");
    /// assert_eq!(context.reason().unwrap().cause().unwrap().to_string(), "enough");
    /// ```
    #[must_use]
    pub fn cause(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.cause.as_deref()
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            CancelKind::Cancelled => "cancelled",
            CancelKind::DeadlineExceeded => "deadline exceeded",
            CancelKind::TaskFailed => "a task of the group failed",
            CancelKind::Finished => "the group has finished",
        })
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancelled")
            .field("kind", &self.kind)
            .field("cause", &self.cause)
            .finish()
    }
}

impl Error for Cancelled {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_ref().map(|cause| &**cause as _)
    }
}

/// All the errors of a group that kept going.
///
/// Each error stands beside the index of its task; [`iter`](Errors::iter),
/// [`into_vec`](Errors::into_vec) and `for` loops go in spawn order, while
/// [`first`](Errors::first) is the error that came first *in time*: usually the root cause.
///
/// The text lists all of them, each written with `{:#}`, for which the errors of `anyhow` write
/// their whole chain. So nothing is hidden when `?` makes an `anyhow::Error` or a
/// `Box<dyn Error>` of it. The text of `{:#}` is the same as that of `{}`. There is no
/// [`source`](Error::source), because there is no single one.
///
/// Most other errors write only what they say themselves, and leave the rest to their sources:
/// [`report`](Errors::report) writes these, too.
///
/// # Examples
///
/// ```
/// use errgroup::ErrGroup;
///
/// # futures::executor::block_on(async {
/// let mut group = ErrGroup::new();
/// group.spawn(async { Ok(1) });
/// group.spawn(async { Err("no route") });
/// group.spawn(async { Err("no disk") });
///
/// let errors = group.wait_all().await.unwrap_err();
/// assert_eq!(errors.to_string(), "2 of 3 tasks failed: task 1: no route; task 2: no disk");
/// assert_eq!(errors.first(), Some(&"no route"));
/// # });
/// ```
pub struct Errors<E> {
    /// In spawn order.
    errors: Vec<(usize, E)>,
    /// Where in `errors` the one that came first stands.
    first: usize,
    total: usize,
}

impl<E> Errors<E> {
    /// Takes errors in the order in which they came.
    pub(crate) fn new(mut errors: Vec<(usize, E)>, total: usize) -> Self {
        let first = errors.first().map(|first| first.0);
        errors.sort_by_key(|error| error.0);
        let first = first.map_or(0, |first| errors.partition_point(|error| error.0 < first));
        Errors {
            errors,
            first,
            total,
        }
    }

    /// How many errors there are.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    /// use std::future::ready;
    ///
    /// # futures::executor::block_on(async {
    /// let futures = [Ok(1), Err("a"), Err("b")].map(ready);
    /// let group: ErrGroup<'_, _, _> = futures.into_iter().collect();
    /// let errors = group.wait_all().await.unwrap_err();
    /// assert_eq!(errors.len(), 2);
    /// # });
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.errors.len()
    }

    /// Whether there is no error at all, which happens only in
    /// [`first_ok`](crate::Group::first_ok), when no task came to an outcome.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let group = errgroup::ErrGroup::<(), &str>::new();
    /// assert!(group.first_ok().await.unwrap_err().is_empty());
    /// # });
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// How many tasks came to an outcome, good or bad.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    /// use std::future::ready;
    ///
    /// # futures::executor::block_on(async {
    /// let futures = [Ok(1), Err("a"), Err("b")].map(ready);
    /// let group: ErrGroup<'_, _, _> = futures.into_iter().collect();
    /// let errors = group.wait_all().await.unwrap_err();
    /// assert_eq!(errors.total(), 3);
    /// # });
    /// ```
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    /// The errors with the indices of their tasks, in spawn order.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    /// use std::future::ready;
    ///
    /// # futures::executor::block_on(async {
    /// let futures = [Ok(1), Err("a"), Err("b")].map(ready);
    /// let group: ErrGroup<'_, _, _> = futures.into_iter().collect();
    /// let errors = group.wait_all().await.unwrap_err();
    /// for (index, error) in errors.iter() {
    ///     eprintln!("task {index}: {error}");
    /// }
    /// assert_eq!(errors.iter().next(), Some((1, &"a")));
    /// # });
    /// ```
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (usize, &E)> + DoubleEndedIterator {
        self.into_iter()
    }

    /// The error that came first in time, whatever the index of its task.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    /// use std::future::ready;
    ///
    /// # futures::executor::block_on(async {
    /// let futures = [Ok(1), Err("a"), Err("b")].map(ready);
    /// let group: ErrGroup<'_, _, _> = futures.into_iter().collect();
    /// let errors = group.wait_all().await.unwrap_err();
    /// assert_eq!(errors.first(), Some(&"a"));
    /// # });
    /// ```
    #[must_use]
    pub fn first(&self) -> Option<&E> {
        self.errors.get(self.first).map(|(_, error)| error)
    }

    /// Like [`first`](Errors::first), by value; the others are dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    /// use std::future::ready;
    ///
    /// # futures::executor::block_on(async {
    /// let futures = [Ok(1), Err("a"), Err("b")].map(ready);
    /// let group: ErrGroup<'_, _, _> = futures.into_iter().collect();
    /// let errors = group.wait_all().await.unwrap_err();
    /// assert_eq!(errors.into_first(), Some("a"));
    /// # });
    /// ```
    #[must_use]
    pub fn into_first(mut self) -> Option<E> {
        if self.errors.is_empty() {
            None
        } else {
            Some(self.errors.swap_remove(self.first).1)
        }
    }

    /// The errors with the indices of their tasks, in spawn order.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    /// use std::future::ready;
    ///
    /// # futures::executor::block_on(async {
    /// let futures = [Ok(1), Err("a"), Err("b")].map(ready);
    /// let group: ErrGroup<'_, _, _> = futures.into_iter().collect();
    /// let errors = group.wait_all().await.unwrap_err();
    /// assert_eq!(errors.into_vec(), [(1, "a"), (2, "b")]);
    /// # });
    /// ```
    #[must_use]
    pub fn into_vec(self) -> Vec<(usize, E)> {
        self.errors
    }

    /// The text of all errors, each with its whole chain of [sources](Error::source).
    ///
    /// A source that the text before it ends with is not written once more.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    /// use std::{error, fmt, io};
    ///
    /// #[derive(Debug)]
    /// struct NoConfig(io::Error);
    ///
    /// impl fmt::Display for NoConfig {
    ///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    ///         f.write_str("cannot load the config")
    ///     }
    /// }
    ///
    /// impl error::Error for NoConfig {
    ///     fn source(&self) -> Option<&(dyn error::Error + 'static)> {
    ///         Some(&self.0)
    ///     }
    /// }
    ///
    /// # futures::executor::block_on(async {
    /// let mut group = ErrGroup::<(), NoConfig>::new();
    /// group.spawn(async { Err(NoConfig(io::Error::other("no such file"))) });
    ///
    /// let errors = group.wait_all().await.unwrap_err();
    /// assert_eq!(
    ///     errors.report().to_string(),
    ///     "1 of 1 tasks failed: task 0: cannot load the config: no such file"
    /// );
    /// # });
    /// ```
    #[must_use]
    pub fn report(&self) -> impl fmt::Display
    where
        E: Error,
    {
        self.report_with(|error| error)
    }

    /// Like [`report`](Errors::report), for what is no error itself but holds one, as
    /// `Box<dyn Error>` and `anyhow::Error` do.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// type BoxError = Box<dyn std::error::Error + Send + Sync>;
    ///
    /// # futures::executor::block_on(async {
    /// let mut group = ErrGroup::<(), BoxError>::new();
    /// group.spawn(async { Err("no route".into()) });
    ///
    /// let errors = group.wait_all().await.unwrap_err();
    /// let report = errors.report_with(|error| &**error);
    /// assert_eq!(report.to_string(), "1 of 1 tasks failed: task 0: no route");
    /// # });
    /// ```
    #[must_use]
    pub fn report_with(&self, as_error: impl Fn(&E) -> &dyn Error) -> impl fmt::Display {
        Report {
            errors: self,
            as_error,
        }
    }

    /// Writes the list, and each error in it with `write`.
    fn list(
        &self,
        f: &mut fmt::Formatter<'_>,
        mut write: impl FnMut(&mut fmt::Formatter<'_>, &E) -> fmt::Result,
    ) -> fmt::Result {
        write!(f, "{} of {} tasks failed", self.len(), self.total)?;
        for (position, (index, error)) in self.iter().enumerate() {
            f.write_str(if position == 0 { ": " } else { "; " })?;
            write!(f, "task {index}: ")?;
            write(f, error)?;
        }
        Ok(())
    }
}

impl<E> IntoIterator for Errors<E> {
    type Item = (usize, E);
    type IntoIter = vec::IntoIter<(usize, E)>;

    fn into_iter(self) -> Self::IntoIter {
        self.errors.into_iter()
    }
}

impl<'a, E> IntoIterator for &'a Errors<E> {
    type Item = (usize, &'a E);
    type IntoIter = iter::Map<slice::Iter<'a, (usize, E)>, fn(&'a (usize, E)) -> (usize, &'a E)>;

    fn into_iter(self) -> Self::IntoIter {
        self.errors.iter().map(|(index, error)| (*index, error))
    }
}

impl<E: fmt::Display> fmt::Display for Errors<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.list(f, |f, error| write!(f, "{error:#}"))
    }
}

impl<E: fmt::Debug> fmt::Debug for Errors<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Errors")
            .field("errors", &self.errors)
            .field("total", &self.total)
            .finish()
    }
}

impl<E: fmt::Display + fmt::Debug> Error for Errors<E> {}

/// What [`Errors::report_with`] gives.
struct Report<'a, E, F> {
    errors: &'a Errors<E>,
    as_error: F,
}

impl<E, F: Fn(&E) -> &dyn Error> fmt::Display for Report<'_, E, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.errors
            .list(f, |f, error| f.write_str(&chain((self.as_error)(error))?))
    }
}

/// The texts of an error and its sources, without those that only repeat the end of what stands
/// before them: many errors write their source, and give it as well.
fn chain(error: &dyn Error) -> Result<String, fmt::Error> {
    let mut chain = String::new();
    write!(chain, "{error}")?;
    let mut source = error.source();
    while let Some(error) = source {
        let mut text = String::new();
        write!(text, "{error}")?;
        // "not" is no repetition after "cannot".
        let repeats = chain
            .strip_suffix(&*text)
            .is_some_and(|before| !before.ends_with(char::is_alphanumeric));
        if !repeats {
            write!(chain, ": {text}")?;
        }
        source = error.source();
    }
    Ok(chain)
}

/// Gives back the future that [`try_spawn`](crate::Group::try_spawn) did not take.
///
/// # Examples
///
/// ```
/// use errgroup::ErrGroup;
///
/// let mut group = ErrGroup::<(), ()>::new().limit(1);
/// group.try_spawn(async { Ok(()) }).unwrap();
///
/// let refused = group.try_spawn(async { Ok(()) }).unwrap_err();
/// assert!(refused.is_full());
/// let future = refused.into_inner();
/// # drop(future);
/// ```
pub struct TrySpawnError<Fut> {
    future: Fut,
    full: bool,
}

impl<Fut> TrySpawnError<Fut> {
    pub(crate) fn new(future: Fut, full: bool) -> Self {
        TrySpawnError { future, full }
    }

    /// Gives the future back.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// # futures::executor::block_on(async {
    /// let spawner = ErrGroup::<(), ()>::new().spawner();
    /// let refused = spawner.try_spawn(async { Ok(()) }).unwrap_err();
    /// refused.into_inner().await.unwrap(); // Runs it here.
    /// # });
    /// ```
    #[must_use]
    pub fn into_inner(self) -> Fut {
        self.future
    }

    /// Whether the group was at its limit. Otherwise it has failed or is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    ///
    /// let spawner = ErrGroup::<(), ()>::new().spawner();
    /// let refused = spawner.try_spawn(async { Ok(()) }).unwrap_err();
    /// assert!(!refused.is_full()); // The group is gone.
    /// ```
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.full
    }
}

impl<Fut> fmt::Display for TrySpawnError<Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.full {
            "the group is at its limit"
        } else {
            "the group has failed or is closed"
        })
    }
}

impl<Fut> fmt::Debug for TrySpawnError<Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrySpawnError")
            .field("full", &self.full)
            .finish_non_exhaustive()
    }
}

impl<Fut> Error for TrySpawnError<Fut> {}

/// A task that was [started](crate::Spawner::start) ended, or was refused, before it was up.
///
/// If it ended with an error, that goes to its group.
///
/// `?` makes no `std::io::Error` of it, unlike of [`Cancelled`], [`Panicked`](struct.Panicked.html)
/// and [`TooLarge`]. Where the errors of the group are those:
/// `s.start(body).await.map_err(io::Error::other)?`. An error of the task still comes first, and is
/// the one that the group gives.
///
/// # Examples
///
/// ```
/// use errgroup::{Started, scope};
///
/// # futures::executor::block_on(async {
/// let result = scope(async |s| {
///     let up = s.start(async |_: Started<()>| Err("the port is taken")).await;
///     assert_eq!(up.unwrap_err().to_string(), "the task ended before it was up");
///     Ok(())
/// });
/// assert_eq!(result.await, Err("the port is taken"));
/// # });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartError;

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task ended before it was up")
    }
}

impl Error for StartError {}

std_only! {
    use alloc::borrow::Cow;

    use crate::util::panic::discard;
    use crate::util::sync::{Lock, Payload, resume};

    /// A task that panicked, as the error that [`catch_panics`](crate::Group::catch_panics) makes
    /// of it.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::{ErrGroup, Panicked};
    ///
    /// # futures::executor::block_on(async {
    /// let mut group = ErrGroup::<(), Panicked>::new().catch_panics();
    /// group.spawn(async { panic!("out of cheese") });
    ///
    /// let panicked = group.await.unwrap_err();
    /// assert_eq!(panicked.message(), Some("out of cheese"));
    /// assert_eq!(panicked.to_string(), "a task panicked: out of cheese");
    /// # });
    /// ```
    pub struct Panicked {
        message: Option<Cow<'static, str>>,
        /// A payload need not be `Sync`; nobody ever locks this. `None` only when it was given out.
        payload: Lock<Option<Payload>>,
    }

    impl Panicked {
        pub(crate) fn new(payload: Payload) -> Self {
            let message = if let Some(text) = payload.downcast_ref::<&'static str>() {
                Some(Cow::Borrowed(*text))
            } else {
                payload.downcast_ref::<String>().cloned().map(Cow::Owned)
            };
            Panicked {
                message,
                payload: Lock::new(Some(payload)),
            }
        }

        /// The text of the panic, if it was a text, as it is with `panic!`.
        ///
        /// # Examples
        ///
        /// ```
        /// use errgroup::{ErrGroup, Panicked};
        ///
        /// # futures::executor::block_on(async {
        /// let mut group = ErrGroup::<(), Panicked>::new().catch_panics();
        /// group.spawn(async { std::panic::panic_any(7_u8) });
        /// let panicked = group.await.unwrap_err();
        /// assert_eq!(panicked.message(), None); // It was no text.
        /// # });
        /// ```
        #[must_use]
        pub fn message(&self) -> Option<&str> {
            self.message.as_deref()
        }

        /// What the panic carried.
        ///
        /// # Examples
        ///
        /// ```
        /// use errgroup::{ErrGroup, Panicked};
        ///
        /// # futures::executor::block_on(async {
        /// let mut group = ErrGroup::<(), Panicked>::new().catch_panics();
        /// group.spawn(async { std::panic::panic_any(7_u8) });
        /// let panicked = group.await.unwrap_err();
        /// assert_eq!(*panicked.into_payload().downcast::<u8>().unwrap(), 7);
        /// # });
        /// ```
        #[must_use]
        pub fn into_payload(mut self) -> Box<dyn core::any::Any + Send> {
            self.payload.get_mut().take().expect("it is given out once")
        }

        /// Lets the panic go on.
        ///
        /// # Panics
        ///
        /// Always, with the payload of the original panic.
        ///
        /// # Examples
        ///
        /// ```
        /// use errgroup::{ErrGroup, Panicked};
        ///
        /// # futures::executor::block_on(async {
        /// let mut group = ErrGroup::<(), Panicked>::new().catch_panics();
        /// group.spawn(async { std::panic::panic_any(7_u8) });
        /// let panicked = group.await.unwrap_err();
        /// assert!(std::panic::catch_unwind(|| panicked.resume()).is_err());
        /// # });
        /// ```
        pub fn resume(self) -> ! {
            resume(self.into_payload())
        }
    }

    /// A payload whose destructor panics is no reason to panic once more: who makes an error of
    /// this, and does not want the payload, just drops it.
    impl Drop for Panicked {
        fn drop(&mut self) {
            if let Some(payload) = self.payload.get_mut().take() {
                discard(payload);
            }
        }
    }

    impl fmt::Display for Panicked {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a task panicked")?;
            match self.message() {
                Some(message) => write!(f, ": {message}"),
                None => Ok(()),
            }
        }
    }

    impl fmt::Debug for Panicked {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Panicked")
                .field("message", &self.message)
                .finish_non_exhaustive()
        }
    }

    impl Error for Panicked {}

    /// Its kind is [`TimedOut`](std::io::ErrorKind::TimedOut) for a deadline, otherwise
    /// [`Other`](std::io::ErrorKind::Other).
    ///
    /// It is never [`Interrupted`](std::io::ErrorKind::Interrupted), after which the loops of the
    /// standard library, such as [`std::io::copy`], would try again for ever.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::CancelContext;
    /// use std::io;
    ///
    /// fn next_block(context: &CancelContext) -> io::Result<()> {
    ///     context.check()?; // Makes an `io::Error` of the reason.
    ///     Ok(())
    /// }
    ///
    /// let context = CancelContext::new();
    /// context.cancel();
    /// assert_eq!(next_block(&context).unwrap_err().kind(), io::ErrorKind::Other);
    /// ```
    impl From<Cancelled> for std::io::Error {
        fn from(reason: Cancelled) -> Self {
            let kind = if reason.is_deadline() {
                std::io::ErrorKind::TimedOut
            } else {
                std::io::ErrorKind::Other
            };
            std::io::Error::new(kind, reason)
        }
    }

    /// Its kind is [`Other`](std::io::ErrorKind::Other).
    impl From<Panicked> for std::io::Error {
        fn from(panicked: Panicked) -> Self {
            std::io::Error::other(panicked)
        }
    }

    /// Its kind is [`InvalidInput`](std::io::ErrorKind::InvalidInput).
    impl From<TooLarge> for std::io::Error {
        fn from(error: TooLarge) -> Self {
            std::io::Error::new(std::io::ErrorKind::InvalidInput, error)
        }
    }
}

/// More permits were requested than a [`Semaphore`](crate::Semaphore) has in all, or than it was
/// left while the request waited, so that this could not be met.
///
/// # Examples
///
/// ```
/// use errgroup::{Semaphore, TooLarge};
///
/// # futures::executor::block_on(async {
/// let semaphore = Semaphore::new(2);
/// let Err(TooLarge { requested, capacity, .. }) = semaphore.acquire(3).await else {
///     unreachable!();
/// };
/// assert_eq!((requested, capacity), (3, 2));
/// # });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TooLarge {
    /// How many permits were requested.
    pub requested: usize,
    /// How many the semaphore has in all.
    pub capacity: usize,
}

impl TooLarge {
    pub(crate) fn new(requested: usize, capacity: usize) -> Self {
        TooLarge {
            requested,
            capacity,
        }
    }
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} permits were requested of a semaphore that has {}",
            self.requested, self.capacity
        )
    }
}

impl Error for TooLarge {}
