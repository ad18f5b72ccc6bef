//! Driving a group together with something else, or as a stream.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures::future::FusedFuture;
use futures::stream::{FusedStream, Stream};
use pin_project_lite::pin_project;

use crate::engine::beside::{Beside, Driven};
use crate::group::Group;
use crate::group::aim::Aim;
use crate::group::flavor::{Flavor, Sending};
use crate::group::shared::Shared;
use crate::util::panic::{in_passing, sequence};

/// Driving it together with something else, or as a stream.
impl<'env, T, E, K: Flavor> Group<'env, T, E, K> {
    /// Drives the group together with any other future, and gives that one's output; `None` if
    /// the group fails.
    ///
    /// Equivalent to: `async fn drive<Fut: Future>(&mut self, fut: Fut) -> Option<Fut::Output>`
    ///
    /// While you await something else, nobody polls the group. So whatever the code around a
    /// group has to wait for (a connection, a permit, a message) goes through `drive`. Outcomes
    /// are kept for the call that finishes the group. An empty group just waits for `fut`.
    ///
    /// `fut` is polled when it was woken, not whenever a task was. It and the tasks take turns in
    /// being polled first, so that neither starves the other, however busy it is. If the group
    /// fails before `fut` is ready, `fut` is dropped; if it had failed already, `fut` is not
    /// polled at all.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    /// use futures::{SinkExt, StreamExt, channel::mpsc};
    ///
    /// # futures::executor::block_on(async {
    /// let (mut sender, mut jobs) = mpsc::channel(0);
    /// let mut group = ErrGroup::<(), mpsc::SendError>::new();
    /// group.spawn(async move {
    ///     for job in 1..=3 {
    ///         sender.send(job).await?;
    ///     }
    ///     Ok(())
    /// });
    ///
    /// // `jobs.next().await` alone would wait for ever: the task that sends is not polled.
    /// while let Some(Some(job)) = group.drive(jobs.next()).await {
    ///     println!("job {job}");
    /// }
    /// group.await
    /// # }).unwrap();
    /// ```
    ///
    /// # Cancel safety
    ///
    /// As safe as `fut`: the group loses nothing when the future is dropped.
    ///
    /// # Panics
    ///
    /// If `fut` or a task panics. A destructor of `fut` that panics when its output is known, or the
    /// failure of the group, stops nothing: the panic ends there, with the feature `std`.
    pub fn drive<Fut: Future>(&mut self, fut: Fut) -> impl Future<Output = Option<Fut::Output>> {
        let beside = Beside::new(self.driver().share().clone());
        Drive {
            group: self,
            beside,
            fut: Some(fut),
        }
    }

    /// The outcomes as a stream, in the order in which tasks end; like [`next`](Group::next).
    ///
    /// Nothing is driven while you do not poll the stream: a slow `for_each` on it stops the
    /// tasks meanwhile. And it borrows the group: to spawn between two outcomes, use `next`.
    ///
    /// # Cancel safety
    ///
    /// As with [`next`](Group::next): dropping the stream loses nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::ErrGroup;
    /// use futures::TryStreamExt;
    ///
    /// # futures::executor::block_on(async {
    /// let mut group = ErrGroup::<_, ()>::new();
    /// group.spawn(async { Ok(1) });
    /// group.spawn(async { Ok(2) });
    /// let sum = group.results().try_fold(0, |sum, value| async move { Ok(sum + value) });
    /// assert_eq!(sum.await, Ok(3));
    /// # });
    /// ```
    pub fn results(&mut self) -> Results<'_, 'env, T, E, K> {
        Results { group: self }
    }
}

pin_project! {
    /// The future of [`Group::drive`].
    ///
    /// It is no `async fn`, in whose state rustc sees `Fut::Output`: of a stream whose futures
    /// borrow it could not tell then that the whole is `Send`.
    struct Drive<'a, 'env, T, E, K: Flavor, Fut> {
        group: &'a mut Group<'env, T, E, K>,
        beside: Beside<Shared>,
        #[pin]
        fut: Option<Fut>,
    }

    impl<T, E, K: Flavor, Fut> PinnedDrop for Drive<'_, '_, T, E, K, Fut> {
        fn drop(this: Pin<&mut Self>) {
            let mut fut = this.project().fut;
            if fut.is_some() {
                sequence(|steps| steps.run(|| fut.set(None)));
            }
        }
    }
}

impl<T, E, K: Flavor, Fut: Future> Future for Drive<'_, '_, T, E, K, Fut> {
    type Output = Option<Fut::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let fut = this.fut.as_mut().as_pin_mut();
        let mut driven = Driven::new(fut.expect("polled after it has completed"), this.beside);
        ready!(this.group.poll(cx, Aim::Drive, &mut driven));
        let output = driven.output;
        in_passing(|steps| steps.run(|| this.fut.set(None)));
        Poll::Ready(output)
    }
}

/// The outcomes of a group as they come; made by [`Group::results`].
///
/// # Examples
///
/// ```
/// use errgroup::{ErrGroup, Results};
/// use futures::StreamExt;
///
/// async fn failures(mut results: Results<'_, '_, u32, String>) -> usize {
///     let mut count = 0;
///     while let Some(outcome) = results.next().await {
///         count += usize::from(outcome.is_err());
///     }
///     count
/// }
/// # futures::executor::block_on(async {
/// let mut group = ErrGroup::new();
/// group.spawn(async { Err("no".to_string()) });
/// assert_eq!(failures(group.results()).await, 1);
/// # });
/// ```
#[must_use = "streams do nothing unless polled"]
pub struct Results<'a, 'env, T, E, K: Flavor = Sending> {
    group: &'a mut Group<'env, T, E, K>,
}

impl<T, E, K: Flavor> Stream for Results<'_, '_, T, E, K> {
    type Item = Result<T, E>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let outcome = ready!(self.group.poll_next(cx));
        Poll::Ready(outcome.map(|(_, outcome)| outcome))
    }
}

/// Terminated once it has returned `None`, until something is spawned or the group is kept open.
impl<T, E, K: Flavor> FusedStream for Results<'_, '_, T, E, K> {
    fn is_terminated(&self) -> bool {
        self.group.is_terminated()
    }
}

impl<T, E, K: Flavor> fmt::Debug for Results<'_, '_, T, E, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Results").field(&self.group).finish()
    }
}
