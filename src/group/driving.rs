//! A future and a stream that drive a group while something else goes on.

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

pin_project! {
    /// The future of [`Group::drive`].
    ///
    /// It is no `async fn`, in whose state rustc sees `Fut::Output`: of a stream whose futures
    /// borrow it could not tell then that the whole is `Send`.
    pub(super) struct Drive<'a, 'env, T, E, K: Flavor, Fut> {
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

impl<'a, 'env, T, E, K: Flavor, Fut> Drive<'a, 'env, T, E, K, Fut> {
    pub(super) fn new(
        group: &'a mut Group<'env, T, E, K>,
        beside: Beside<Shared>,
        fut: Fut,
    ) -> Self {
        let fut = Some(fut);
        Drive { group, beside, fut }
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

impl<'a, 'env, T, E, K: Flavor> Results<'a, 'env, T, E, K> {
    pub(super) fn new(group: &'a mut Group<'env, T, E, K>) -> Self {
        Results { group }
    }
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
