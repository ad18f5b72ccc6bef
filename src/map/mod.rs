//! Fallible work on each of many items, so many at a time.

mod kept;
mod work;

use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures::future::FusedFuture;
use futures::stream::{self, FusedStream, Stream};
use pin_project_lite::pin_project;

use crate::map::kept::{Nothing, Outputs, Values};
use crate::map::work::Work;

/// Runs `f` on every item, at most `limit` at a time, and gives the values in the order of the
/// items.
///
/// Equivalent to: `async fn try_map(items, limit, f) -> Result<Vec<T>, E>`
///
/// An item is taken only when there is room for it, so `items` may be lazy, or endless until an
/// error. At the first error, in time, no more items are taken, and what runs is dropped before
/// the error is returned.
///
/// Nothing is boxed but the places of the futures, of which there are at most `limit`: beside its
/// result it allocates per place, not per item. When it is over, it drops `items` and `f` at once,
/// before it is dropped itself. However busy the futures and the items are, none of them waits for
/// ever, also [under tokio's budget](crate#running-under-tokio).
///
/// This is the bounded worker pool that Go programs build of `errgroup` with `SetLimit` and a slice
/// of results.
///
/// # Errors
///
/// The first error in time.
///
/// # Panics
///
/// If `limit` is 0, at the call. A panic of `f`, of a future or of `items` goes on out of the
/// poll, and everything is dropped at once. Polling it after that, or after it has completed,
/// panics, too. A destructor that panics when the rest is dropped after an error stops nothing: the
/// error is returned.
///
/// # Cancel safety
///
/// Dropping the future drops what runs, with the values so far.
///
/// # Examples
///
/// ```
/// use errgroup::try_map;
///
/// # smol::block_on(async {
/// let paths = ["Cargo.toml", "README.md"];
/// let texts = try_map(paths, 8, |path| smol::fs::read_to_string(path)).await?;
/// assert!(texts[0].starts_with("[package]"));
/// # Ok::<_, std::io::Error>(())
/// # }).unwrap();
/// ```
#[track_caller]
pub fn try_map<I, F, Fut, T, E>(
    items: I,
    limit: usize,
    f: F,
) -> TryMap<stream::Iter<I::IntoIter>, F, Fut, T>
where
    I: IntoIterator,
    F: FnMut(I::Item) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    try_map_stream(stream::iter(items), limit, f)
}

/// Like [`try_map`], with the items of a stream, in their order.
///
/// A stream that has nothing to give does not hold up what runs.
///
/// # Errors
///
/// The first error in time. A stream of results is made one of plain items by handling the error
/// in `f`: `|item| async { work(item?).await }`.
///
/// # Panics
///
/// As with [`try_map`].
///
/// # Cancel safety
///
/// Dropping the future drops the stream, and what runs, with the values so far.
///
/// # Examples
///
/// ```
/// use errgroup::try_map_stream;
/// use futures::{SinkExt, channel::mpsc, future::try_join};
///
/// # futures::executor::block_on(async {
/// let (mut sender, jobs) = mpsc::channel(1);
/// let produce = async {
///     for job in 0..3 {
///         sender.send(job).await?;
///     }
///     sender.close().await
/// };
/// let work = try_map_stream(jobs, 8, |job| async move { Ok(job * 10) });
/// let (_, results) = try_join(produce, work).await?;
/// assert_eq!(results, [0, 10, 20]);
/// # Ok::<_, mpsc::SendError>(())
/// # }).unwrap();
/// ```
#[track_caller]
pub fn try_map_stream<S, F, Fut, T, E>(items: S, limit: usize, f: F) -> TryMap<S, F, Fut, T>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    TryMap {
        // The hint of an endless stream is larger than any memory.
        values: Values::new(items.size_hint().0.min(1024)),
        work: Work::new(items, limit, f),
    }
}

/// Runs `f` on every item, at most `limit` at a time.
///
/// Equivalent to: `async fn try_for_each(items, limit, f) -> Result<(), E>`
///
/// Like [`try_map`], but there are no values to give.
///
/// # Errors
///
/// The first error in time.
///
/// # Panics
///
/// As with [`try_map`].
///
/// # Cancel safety
///
/// Dropping the future drops what runs.
///
/// # Examples
///
/// ```
/// use errgroup::try_for_each;
/// use std::cell::Cell;
///
/// # futures::executor::block_on(async {
/// let sum = Cell::new(0);
/// let sum = &sum;
/// try_for_each(1..=10, 4, |number| async move {
///     sum.set(sum.get() + number);
///     Ok::<_, ()>(())
/// })
/// .await?;
/// assert_eq!(sum.get(), 55);
/// # Ok::<_, ()>(())
/// # }).unwrap();
/// ```
#[track_caller]
pub fn try_for_each<I, F, Fut, E>(
    items: I,
    limit: usize,
    f: F,
) -> TryForEach<stream::Iter<I::IntoIter>, F, Fut>
where
    I: IntoIterator,
    F: FnMut(I::Item) -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    try_for_each_stream(stream::iter(items), limit, f)
}

/// Like [`try_for_each`], with the items of a stream.
///
/// A stream that has nothing to give does not hold up what runs.
///
/// # Errors
///
/// The first error in time.
///
/// # Panics
///
/// As with [`try_map`].
///
/// # Cancel safety
///
/// Dropping the future drops the stream, and what runs.
///
/// # Examples
///
/// ```
/// use errgroup::try_for_each_stream;
/// use futures::stream;
///
/// # futures::executor::block_on(async {
/// let jobs = stream::iter([1, 2, -3, 4]);
/// let result = try_for_each_stream(jobs, 2, |job| async move {
///     if job > 0 { Ok(()) } else { Err(job) }
/// });
/// assert_eq!(result.await, Err(-3));
/// # });
/// ```
#[track_caller]
pub fn try_for_each_stream<S, F, Fut, E>(items: S, limit: usize, f: F) -> TryForEach<S, F, Fut>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    TryForEach {
        work: Work::new(items, limit, f),
    }
}

pin_project! {
    /// The future of [`try_map`] and [`try_map_stream`].
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::try_map;
    /// use std::future::ready;
    ///
    /// # futures::executor::block_on(async {
    /// let values = try_map([1, 2], 2, |number| ready(Ok::<_, ()>(number * 2)));
    /// assert_eq!(values.await, Ok(vec![2, 4]));
    /// # });
    /// ```
    #[must_use = "futures do nothing unless polled"]
    pub struct TryMap<S, F, Fut, T> {
        #[pin]
        work: Work<S, F, Fut>,
        values: Values<T>,
    }
}

impl<S, F, Fut, T, E> Future for TryMap<S, F, Fut, T>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    type Output = Result<Vec<T>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let values = ready!(this.work.poll_all(cx, this.values));
        Poll::Ready(values.map(|mut values| mem::take(&mut values.done)))
    }
}

pin_project! {
    /// The future of [`try_for_each`] and [`try_for_each_stream`].
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::try_for_each;
    /// use std::future::ready;
    ///
    /// # futures::executor::block_on(async {
    /// let work = try_for_each([1, 2], 2, |number| ready(if number < 2 { Ok(()) } else { Err(number) }));
    /// assert_eq!(work.await, Err(2));
    /// # });
    /// ```
    #[must_use = "futures do nothing unless polled"]
    pub struct TryForEach<S, F, Fut> {
        #[pin]
        work: Work<S, F, Fut>,
    }
}

impl<S, F, Fut, E> Future for TryForEach<S, F, Fut>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    type Output = Result<(), E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let values = ready!(this.work.poll_all(cx, &mut Nothing));
        Poll::Ready(values.map(|Nothing| ()))
    }
}

impl<S, F, Fut, T, E> FusedFuture for TryMap<S, F, Fut, T>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    fn is_terminated(&self) -> bool {
        self.work.is_over()
    }
}

impl<S, F, Fut, E> FusedFuture for TryForEach<S, F, Fut>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    fn is_terminated(&self) -> bool {
        self.work.is_over()
    }
}

impl<S, F, Fut, T> fmt::Debug for TryMap<S, F, Fut, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.work.debug("TryMap", f)
    }
}

impl<S, F, Fut> fmt::Debug for TryForEach<S, F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.work.debug("TryForEach", f)
    }
}

/// Runs `f` on every item of a stream, at most `limit` at a time, and gives the outputs as a
/// stream, in the order of the items.
///
/// Unlike with [`try_map_stream`], an output may be of any type; an `Err` is one like any other,
/// and stops nothing. At most `limit` items are between the source and whoever takes the outputs:
/// running, or done and waiting for their turn. Each time one was taken, the next is pulled. When
/// `items` has ended, it is dropped at once, and `f`, while the last futures still run.
///
/// It is `map(f).buffered(limit)` of the crate `futures`, where no future starves, also
/// [under tokio's budget](crate#running-under-tokio).
///
/// **Nothing runs while you await something else**: the futures are polled when the stream is.
/// A loop that takes an output and then awaits a database stops all of them meanwhile. If that
/// matters, let `f` do that work, too, and use [`try_for_each_stream`]; or spawn tasks into a
/// [group](crate::Group), and take its outcomes through [`drive`](crate::Group::drive).
///
/// # Panics
///
/// If `limit` is 0, at the call. A panic of `f`, of a future (also as it is dropped) or of `items`
/// goes on out of the poll. There may be an output missing then, so the stream is over: it drops
/// everything at once, also outputs that wait for their turn, and polling it after that panics, too.
///
/// # Cancel safety
///
/// Awaiting its next output and dropping that loses nothing. Dropping the stream drops the source,
/// and what runs.
///
/// # Examples
///
/// ```
/// use errgroup::buffered;
/// use futures::{StreamExt, stream};
///
/// # smol::block_on(async {
/// let paths = stream::iter(["Cargo.toml", "no such file", "README.md"]);
/// let mut texts = buffered(paths, 8, |path| smol::fs::read_to_string(path));
/// assert!(texts.next().await.unwrap().unwrap().starts_with("[package]"));
/// assert!(texts.next().await.unwrap().is_err());
/// assert!(texts.next().await.unwrap().is_ok());
/// assert!(texts.next().await.is_none());
/// # });
/// ```
#[track_caller]
pub fn buffered<S, F, Fut>(items: S, limit: usize, f: F) -> Buffered<S, F, Fut, Fut::Output>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future,
{
    Buffered {
        work: Work::new(items, limit, f),
        outputs: Outputs::default(),
    }
}

/// Runs `f` on every item of a stream, at most `limit` at a time, and gives the outputs as a
/// stream, in the order in which they come.
///
/// Like [`buffered`], without the order: a slow item holds up nobody. At most `limit` futures are
/// running. When `items` has ended, it is dropped at once, and `f`. It is `map(f).buffer_unordered(limit)` of the crate `futures`.
///
/// **Nothing runs while you await something else**, as with [`buffered`], which says what to do
/// then.
///
/// # Panics
///
/// As with [`buffered`].
///
/// # Cancel safety
///
/// As with [`buffered`].
///
/// # Examples
///
/// ```
/// use errgroup::buffer_unordered;
/// use futures::{StreamExt, stream};
///
/// # futures::executor::block_on(async {
/// let numbers = buffer_unordered(stream::iter(1..=100), 8, |number| async move { number });
/// assert_eq!(numbers.fold(0, |sum, number| async move { sum + number }).await, 5050);
/// # });
/// ```
#[track_caller]
pub fn buffer_unordered<S, F, Fut>(
    items: S,
    limit: usize,
    f: F,
) -> BufferUnordered<S, F, Fut, Fut::Output>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future,
{
    BufferUnordered {
        work: Work::new(items, limit, f),
        outputs: Outputs::default(),
    }
}

pin_project! {
    /// The stream of [`buffered`].
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::buffered;
    /// use futures::{StreamExt, stream};
    ///
    /// # futures::executor::block_on(async {
    /// let squares = buffered(stream::iter([1, 2, 3]), 2, |number| async move { number * number });
    /// assert_eq!(squares.collect::<Vec<_>>().await, [1, 4, 9]);
    /// # });
    /// ```
    #[must_use = "streams do nothing unless polled"]
    pub struct Buffered<S, F, Fut, O> {
        #[pin]
        work: Work<S, F, Fut>,
        outputs: Outputs<O>,
    }
}

impl<S, F, Fut, O> Stream for Buffered<S, F, Fut, O>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = O>,
{
    type Item = O;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<O>> {
        let this = self.project();
        this.work.poll_outputs(cx, this.outputs, Outputs::put)
    }
}

pin_project! {
    /// The stream of [`buffer_unordered`].
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::buffer_unordered;
    /// use futures::{StreamExt, stream};
    ///
    /// # futures::executor::block_on(async {
    /// let outputs = buffer_unordered(stream::iter([1, 2, 3]), 2, |number| async move { number });
    /// assert_eq!(outputs.count().await, 3);
    /// # });
    /// ```
    #[must_use = "streams do nothing unless polled"]
    pub struct BufferUnordered<S, F, Fut, O> {
        #[pin]
        work: Work<S, F, Fut>,
        outputs: Outputs<O>,
    }
}

impl<S, F, Fut, O> Stream for BufferUnordered<S, F, Fut, O>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = O>,
{
    type Item = O;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<O>> {
        let this = self.project();
        this.work.poll_outputs(cx, this.outputs, Outputs::push)
    }
}

/// Terminated once it has returned `None`.
impl<S, F, Fut, O> FusedStream for Buffered<S, F, Fut, O>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = O>,
{
    fn is_terminated(&self) -> bool {
        self.work.is_over()
    }
}

/// Terminated once it has returned `None`.
impl<S, F, Fut, O> FusedStream for BufferUnordered<S, F, Fut, O>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = O>,
{
    fn is_terminated(&self) -> bool {
        self.work.is_over()
    }
}

impl<S, F, Fut, O> fmt::Debug for Buffered<S, F, Fut, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.work.debug("Buffered", f)
    }
}

impl<S, F, Fut, O> fmt::Debug for BufferUnordered<S, F, Fut, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.work.debug("BufferUnordered", f)
    }
}
