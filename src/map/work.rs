//! The work of a map: it takes items, and runs their futures.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll};

use futures::stream::Stream;
use pin_project_lite::pin_project;

use crate::engine::parker::Parker;
use crate::engine::{Done, Engine, Source};
use crate::map::kept::{Keep, Outputs};
use crate::util::panic::{Sequence, in_passing, sequence};

pin_project! {
    /// Takes items and runs their futures.
    pub(super) struct Work<S, F, Fut> {
        // `None` when there are no more.
        #[pin]
        items: Option<S>,
        f: Option<F>,
        limit: usize,
        engine: Engine<Place<Fut>, ()>,
        // Places whose futures are done.
        free: Vec<Place<Fut>>,
        // How many items were taken.
        taken: usize,
        stage: Stage,
    }

    impl<S, F, Fut> PinnedDrop for Work<S, F, Fut> {
        fn drop(this: Pin<&mut Self>) {
            if this.stage != Stage::Over {
                sequence(|steps| this.empty(steps));
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// A poll has not come to an end: it goes on, or something has panicked.
    Polling,
    Over,
}

/// A poll. If code of the user panics in it, an output is missing: then everything is dropped at
/// once.
struct Guard<'a, S, F, Fut, V: Default> {
    work: Pin<&'a mut Work<S, F, Fut>>,
    /// What came of the items.
    kept: &'a mut V,
}

impl<S, F, Fut, V: Default> Drop for Guard<'_, S, F, Fut, V> {
    fn drop(&mut self) {
        if self.work.stage == Stage::Polling {
            sequence(|steps| {
                steps.run(|| drop(mem::take(self.kept)));
                self.work.as_mut().empty(steps);
            });
        }
    }
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

/// How many items are taken before what is woken, in a poll in which the items come first.
const FIRST_ITEMS: usize = 128;

/// What the engine has to know of a map.
struct Feed<'a, S, F, Fut, P> {
    items: Pin<&'a mut Option<S>>,
    f: &'a mut Option<F>,
    free: &'a mut Vec<Place<Fut>>,
    taken: &'a mut usize,
    /// How many may run.
    limit: usize,
    /// How many may have been taken.
    until: usize,
    /// The stream may have something; it wakes the parent when it does.
    flowing: bool,
    /// Where outputs go; false if that was the last.
    put: P,
    /// What is left of the future of the last output.
    last: Option<Place<Fut>>,
}

impl<S, F, Fut, P> Source<Place<Fut>, ()> for Feed<'_, S, F, Fut, P>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future,
    P: FnMut(usize, Fut::Output) -> bool,
{
    #[inline]
    fn is_startable(&self, parker: &Parker<()>) -> bool {
        self.flowing && parker.len() < self.limit && *self.taken < self.until
    }

    fn has_news(&self, parker: &Parker<()>) -> bool {
        parker.len() == 0
    }

    #[inline]
    fn next(&mut self, parker: &Parker<()>, cx: &mut Context<'_>) -> Option<(usize, Place<Fut>)> {
        if !self.is_startable(parker) {
            return None;
        }
        let poll = self
            .items
            .as_mut()
            .as_pin_mut()
            .map(|items| items.poll_next(cx));
        let Some(Poll::Ready(Some(item))) = poll else {
            self.flowing = false;
            if let Some(Poll::Ready(None)) = poll {
                self.items.set(None);
                *self.f = None;
            }
            return None;
        };
        let future = self.f.as_mut()?(item);
        let place = match self.free.pop() {
            Some(mut place) => {
                place.0.set(Some(future));
                place
            }
            None => Place(Box::pin(Some(future))),
        };
        let index = *self.taken;
        *self.taken += 1;
        Some((index, place))
    }

    #[inline]
    fn poll(
        &mut self,
        _: &Parker<()>,
        _: usize,
        place: &mut Place<Fut>,
        cx: &mut Context<'_>,
    ) -> Poll<Fut::Output> {
        Pin::new(place).poll(cx)
    }

    #[inline]
    fn has_left(&mut self, _: &Parker<()>, _: usize) {}

    #[inline]
    fn is_done(&mut self, done: Done<Place<Fut>>) -> bool {
        let Done {
            index,
            output,
            task: mut place,
        } = done;
        // First: the destructor of the future may panic.
        if !(self.put)(index, output) {
            self.last = Some(place);
            return true;
        }
        place.0.set(None);
        self.free.push(place);
        false
    }
}

impl<S, F, Fut> Work<S, F, Fut> {
    pub(super) fn debug(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("limit", &self.limit)
            .field("taken", &self.taken)
            .field("running", &self.engine.len())
            .field("over", &self.is_over())
            .finish_non_exhaustive()
    }

    pub(super) fn is_over(&self) -> bool {
        self.stage != Stage::Running
    }

    /// Drops everything: the stream, the function, and what runs.
    fn empty(self: Pin<&mut Self>, steps: &mut Sequence) {
        let mut this = self.project();
        let (f, free) = (this.f.take(), mem::take(this.free));
        if this.engine.len() > 0 {
            this.engine.take_tasks().drop_each(steps);
        }
        steps.run(|| this.items.set(None));
        steps.run(|| drop(f));
        steps.run(|| drop(free));
    }

    /// Drops everything, and `more`, when the result is known.
    fn end<X>(mut self: Pin<&mut Self>, more: X) {
        *self.as_mut().project().stage = Stage::Over;
        in_passing(|steps| {
            steps.run(|| drop(more));
            self.empty(steps);
        });
    }
}

impl<S, F, Fut> Work<S, F, Fut>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future,
{
    #[track_caller]
    pub(super) fn new(items: S, limit: usize, f: F) -> Self {
        assert!(
            limit > 0,
            "the limit must not be 0: no item could ever be worked on"
        );
        Work {
            items: Some(items),
            f: Some(f),
            limit,
            engine: Engine::new(),
            free: Vec::new(),
            taken: 0,
            stage: Stage::Running,
        }
    }

    /// Begins a poll. False if it has to end at once.
    fn enter(self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        let this = self.project();
        assert!(*this.stage == Stage::Running, "polled after it was over");
        let (parker, rounds) = this.engine.parts();
        rounds.begin();
        rounds.enter(parker, cx)
    }

    /// Takes items until so many were taken, and polls what runs, until nothing more can be done
    /// in this poll. Each output is given to `put`; when that says that it was the last, it ends,
    /// and gives what is left of the future.
    #[inline]
    fn run(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        until: usize,
        put: impl FnMut(usize, Fut::Output) -> bool,
    ) -> Option<Place<Fut>> {
        let this = self.project();
        let (parker, rounds) = this.engine.parts();
        // Whether a stream wakes itself cannot be told.
        rounds.beside_was_polled(true);
        let items_first = this.items.is_some() && rounds.beside_is_first(parker);
        *this.stage = Stage::Polling;
        let mut feed = Feed {
            items: this.items,
            f: this.f,
            free: this.free,
            taken: this.taken,
            limit: *this.limit,
            until,
            flowing: true,
            put,
            last: None,
        };
        let mut stops = false;
        if items_first {
            // Not all that a poll may spend: what is woken has its turn in this one, too.
            feed.until = until.min(feed.taken.saturating_add(FIRST_ITEMS));
            stops = rounds.start_first(parker, &mut feed, cx);
            feed.until = until;
        }
        if !(stops || rounds.step(parker, &mut feed, cx)) {
            *this.stage = Stage::Running;
        }
        feed.last
    }

    /// Whether there is nothing more to come.
    fn is_done(&self) -> bool {
        self.items.is_none() && self.engine.len() == 0
    }

    /// Ends a poll that has nothing left to do. False if it has to go on.
    fn park(self: Pin<&mut Self>, cx: &mut Context<'_>, until: usize) -> bool {
        let this = self.project();
        let has_room = this.engine.len() < *this.limit && *this.taken < until;
        let (parker, rounds) = this.engine.parts();
        // Only the end of the budget leaves something to take.
        let more = this.items.is_some() && has_room && !rounds.has_budget();
        rounds.park(parker, cx, more)
    }

    /// Runs everything to its end, or to the first error, and gives out the values.
    pub(super) fn poll_all<T, E, V: Keep<T>>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        values: &mut V,
    ) -> Poll<Result<V, E>>
    where
        Fut: Future<Output = Result<T, E>>,
    {
        if !self.as_mut().enter(cx) {
            return Poll::Pending;
        }
        let mut guard = Guard {
            work: self,
            kept: values,
        };
        let Guard { work, kept } = &mut guard;
        loop {
            let mut failure = None;
            let last = work
                .as_mut()
                .run(cx, usize::MAX, |index, output| match output {
                    Ok(value) => {
                        kept.put(index, value);
                        true
                    }
                    Err(error) => {
                        failure = Some(error);
                        false
                    }
                });
            if let Some(error) = failure {
                work.as_mut().end((last, mem::take(*kept)));
                return Poll::Ready(Err(error));
            }
            if work.is_done() {
                work.as_mut().end(());
                return Poll::Ready(Ok(mem::take(*kept)));
            }
            if work.as_mut().park(cx, usize::MAX) {
                return Poll::Pending;
            }
        }
    }

    /// The next output that may be given.
    pub(super) fn poll_outputs(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        outputs: &mut Outputs<Fut::Output>,
        put: impl Fn(&mut Outputs<Fut::Output>, usize, Fut::Output),
    ) -> Poll<Option<Fut::Output>> {
        if self.stage == Stage::Over {
            return Poll::Ready(None);
        }
        if !self.as_mut().enter(cx) {
            return Poll::Pending;
        }
        let mut guard = Guard {
            work: self,
            kept: outputs,
        };
        let Guard { work, kept } = &mut guard;
        loop {
            let until = kept.given.saturating_add(work.limit);
            work.as_mut().run(cx, until, |index, output| {
                put(kept, index, output);
                true
            });
            if let Some(output) = kept.take() {
                return Poll::Ready(Some(output));
            }
            if work.is_done() {
                work.as_mut().end(());
                return Poll::Ready(None);
            }
            if work.as_mut().park(cx, until) {
                return Poll::Pending;
            }
        }
    }
}
