//! Fallible work on each of many items, so many at a time.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures::future::FusedFuture;
use futures::stream::{self, Stream};
use pin_project_lite::pin_project;

use crate::engine::Engine;
use crate::engine::tasks::Done;
use crate::util::panic::Sequence;

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
/// result it allocates per place, not per item.
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
/// poll. Polling it after that, or after it has completed, panics, too.
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
pub fn try_map_stream<S, F, Fut, T, E>(items: S, limit: usize, f: F) -> TryMap<S, F, Fut, T>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    TryMap {
        values: Values {
            // The hint of an endless stream is larger than any memory.
            done: Vec::with_capacity(items.size_hint().0.min(1024)),
            early: VecDeque::new(),
        },
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
        let values = this.values;
        let result = ready!(this.work.poll(cx, |index, value| values.put(index, value)));
        Poll::Ready(result.map(|()| mem::take(&mut values.done)))
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
        self.project().work.poll(cx, |_, ()| ())
    }
}

impl<S, F, Fut, T, E> FusedFuture for TryMap<S, F, Fut, T>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    fn is_terminated(&self) -> bool {
        self.work.stage == Stage::Over
    }
}

impl<S, F, Fut, E> FusedFuture for TryForEach<S, F, Fut>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    fn is_terminated(&self) -> bool {
        self.work.stage == Stage::Over
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

/// Values on their way into the order of the items.
struct Values<T> {
    /// Those of the first items.
    done: Vec<T>,
    /// Those that came too early; the first place is that of the item after `done`.
    early: VecDeque<Option<T>>,
}

impl<T> Values<T> {
    fn put(&mut self, index: usize, value: T) {
        let place = index - self.done.len();
        if place == 0 && self.early.is_empty() {
            self.done.push(value);
            return;
        }
        if self.early.len() <= place {
            self.early.resize_with(place + 1, || None);
        }
        self.early[place] = Some(value);
        while let Some(Some(_)) = self.early.front() {
            self.done.extend(self.early.pop_front().flatten());
        }
    }
}

pin_project! {
    /// Takes items and runs their futures.
    struct Work<S, F, Fut> {
        #[pin]
        items: S,
        f: F,
        limit: usize,
        engine: Engine<Place<Fut>>,
        // Places whose futures are done.
        free: Vec<Place<Fut>>,
        // How many items were taken.
        taken: usize,
        stage: Stage,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Running,
    /// There are no more items.
    Drained,
    /// The result was given, or a panic took it.
    Over,
}

/// A place for a future, to be used again for another.
struct Place<Fut>(Pin<Box<Option<Fut>>>);

impl<Fut: Future> Future for Place<Fut> {
    type Output = Fut::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Fut::Output> {
        let future = self.0.as_mut().as_pin_mut();
        future.expect("only filled places run").poll(cx)
    }
}

impl<S, F, Fut> Work<S, F, Fut> {
    fn debug(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("limit", &self.limit)
            .field("taken", &self.taken)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

impl<S, F, Fut, T, E> Work<S, F, Fut>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    fn new(items: S, limit: usize, f: F) -> Self {
        assert!(
            limit > 0,
            "the limit must not be 0: no item could ever be worked on"
        );
        Work {
            items,
            f,
            limit,
            engine: Engine::new(),
            free: Vec::new(),
            taken: 0,
            stage: Stage::Running,
        }
    }

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut give: impl FnMut(usize, T),
    ) -> Poll<Result<(), E>> {
        let mut this = self.project();
        // A panic leaves it at `Over`: the item is gone, and its value would be missing.
        let mut stage = mem::replace(this.stage, Stage::Over);
        assert!(stage != Stage::Over, "polled after it was over");
        if !this.engine.enter(cx) {
            *this.stage = stage;
            return Poll::Pending;
        }
        // Whether the stream may have something; it wakes the parent when it does.
        let mut flowing = true;
        loop {
            let takes = stage == Stage::Running && flowing && this.engine.len() < *this.limit;
            let mut done = None;
            if this.engine.is_ready() {
                let poll = |place: &mut Place<Fut>, cx: &mut Context<'_>| Pin::new(place).poll(cx);
                done = this.engine.poll_woken(takes, poll);
            }
            if done.is_none() && takes && this.engine.has_budget() {
                match this.items.as_mut().poll_next(cx) {
                    Poll::Pending => flowing = false,
                    Poll::Ready(None) => stage = Stage::Drained,
                    Poll::Ready(Some(item)) => {
                        let future = (this.f)(item);
                        let place = match this.free.pop() {
                            Some(mut place) => {
                                place.0.set(Some(future));
                                place
                            }
                            None => Place(Box::pin(Some(future))),
                        };
                        let index = *this.taken;
                        *this.taken += 1;
                        done = this
                            .engine
                            .start(index, place, |place, cx| Pin::new(place).poll(cx));
                    }
                }
                if done.is_none() {
                    continue;
                }
            }
            match done {
                Some(Done {
                    index,
                    output: Ok(value),
                    task: mut place,
                }) => {
                    place.0.set(None);
                    this.free.push(place);
                    give(index, value);
                }
                Some(Done {
                    output: Err(error),
                    task,
                    ..
                }) => {
                    let mut sequence = Sequence::default();
                    sequence.run(|| drop(task));
                    sequence.drop_each(this.engine.take_tasks());
                    sequence.finish();
                    return Poll::Ready(Err(error));
                }
                None if stage == Stage::Drained && this.engine.len() == 0 => {
                    return Poll::Ready(Ok(()));
                }
                None => {
                    if this.engine.park(cx, takes) {
                        *this.stage = stage;
                        return Poll::Pending;
                    }
                    flowing = true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_find_their_order() {
        let mut values = Values {
            done: Vec::new(),
            early: VecDeque::new(),
        };
        for index in [2, 0, 4, 1, 3, 5] {
            values.put(index, index);
        }
        assert_eq!(values.done, [0, 1, 2, 3, 4, 5]);
        assert!(values.early.is_empty());
    }
}
