//! One word's worth of slots, and how the tasks in them are polled.

use alloc::vec::Vec;
use core::future::Future;
use core::mem;
use core::task::{Context, Poll};

use futures::task::{WakerRef, waker_ref};

use crate::engine::parker::{ALL, Count, Parker, Word};
use crate::engine::slots::{Slot, Slots};
use crate::engine::wakers::Wakers;
use crate::util::panic::drop_quietly;
use crate::util::sync::{Arc, SLOTS};

/// One time over all that is woken.
pub(super) struct Round {
    /// Where it began: the number of a chunk times `SLOTS`, plus that of a slot.
    pub(super) from: usize,
    /// No task was polled in it yet.
    pub(super) is_new: bool,
    /// Where the task stands that was polled first, in this round or in the last one with a task.
    pub(super) leader: usize,
}

/// How many more tasks may be polled before `Pending` has to be returned.
pub(super) struct Budget {
    pub(super) left: usize,
    /// So much of it is for new ones.
    pub(super) reserve: usize,
}

impl Budget {
    /// Whether no woken task may be polled any more.
    #[inline]
    pub(super) fn is_spent(&self) -> bool {
        self.left <= self.reserve
    }
}

/// A task that is done.
pub(crate) struct Done<F: Future> {
    pub(crate) index: usize,
    pub(crate) output: F::Output,
    /// Not dropped yet.
    pub(crate) task: F,
}

/// Where new tasks come from, how tasks are polled, and where their outputs go.
pub(crate) trait Source<F: Future, S> {
    /// Whether there may be one to start now.
    fn is_startable(&self, parker: &Parker<S>) -> bool;

    /// Whether somebody has to look at something else than tasks.
    fn has_news(&self, parker: &Parker<S>) -> bool;

    /// Takes the next one with its index, if there is one that may start now.
    fn next(&mut self, parker: &Parker<S>, cx: &mut Context<'_>) -> Option<(usize, F)>;

    fn poll(
        &mut self,
        parker: &Parker<S>,
        index: usize,
        task: &mut F,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output>;

    /// A task is not running any more: it is done, or has panicked.
    fn has_left(&mut self, parker: &Parker<S>, index: usize);

    /// Takes what is left of a task that is done. True if somebody has to look at it before
    /// another task is polled.
    fn is_done(&mut self, done: Done<F>) -> bool;
}

pub(super) struct Chunk<F> {
    pub(super) slots: Slots<F>,
    /// The tasks whose bits were taken out of the word, and that were not polled since.
    pub(super) woken: usize,
    /// The tasks that were polled in this round.
    pub(super) polled: usize,
}

impl<F> Chunk<F> {
    pub(super) const fn new() -> Self {
        Chunk {
            slots: Slots::new(),
            woken: 0,
            polled: 0,
        }
    }

    /// The woken tasks from a slot on.
    pub(super) fn woken_from(&self, word: &Word, slot: usize) -> usize {
        (self.woken | word.woken()) & (ALL << slot)
    }

    /// Whether a task may be polled in this round.
    #[inline]
    pub(super) fn has_woken(&self, word: &Word) -> bool {
        (self.woken | word.woken()) & !self.polled != 0
    }

    /// The woken tasks that may be polled in this round.
    #[inline]
    fn now(&mut self, word: &Word) -> usize {
        let now = self.woken & !self.polled;
        if now != 0 {
            return now;
        }
        self.woken |= word.take();
        self.woken & !self.polled
    }

    pub(super) fn take_below(
        &mut self,
        word: &Word,
        count: Count<'_>,
        index: usize,
        taken: &mut Vec<(usize, F)>,
    ) {
        for place in 0..SLOTS {
            let slot = self.slots.get_mut(place);
            if slot.is_some_and(|slot| slot.index < index) {
                taken.extend(self.vacate(word, count, place));
            }
        }
    }

    /// Takes the task out of a slot with its index, if there is one.
    fn vacate(&mut self, word: &Word, count: Count<'_>, place: usize) -> Option<(usize, F)> {
        let slot = self.slots.get_mut(place)?;
        let left = (slot.index, slot.task.take()?);
        self.woken &= !(1 << place);
        word.vacate(1 << place);
        count.subtract_one();
        Some(left)
    }
}

impl<F: Future + Unpin> Chunk<F> {
    /// Polls woken tasks, until the source wants to look at one that is done (true), there is none
    /// that was not polled in this round, or the budget is spent. `base` is the number of the first
    /// slot, in all chunks.
    pub(super) fn poll<S: Send + Sync + 'static>(
        &mut self,
        word: &Word,
        parker: &Arc<Parker<S>>,
        base: usize,
        round: &mut Round,
        budget: &mut Budget,
        source: &mut impl Source<F, S>,
    ) -> bool {
        // What is left over was woken after its poll in an earlier round. It must not come before
        // what was woken since: else it would be first in every round, wherever that begins.
        if round.is_new && self.woken != 0 {
            self.woken |= word.take();
        }
        // Those before it come last.
        let ahead = match round.from.wrapping_sub(base) {
            from if from < SLOTS => ALL << from,
            _ => ALL,
        };
        let mut turns = Turns::new(self, word, parker, source);
        let stops = 'all: loop {
            let now = turns.chunk.now(word);
            if now == 0 || budget.is_spent() {
                break false;
            }
            let next = if now & ahead != 0 { now & ahead } else { now };
            turns.begin(next);
            if mem::take(&mut round.is_new) {
                round.leader = base + next.trailing_zeros() as usize;
            }
            while turns.to_come != 0 {
                if budget.is_spent() {
                    break 'all false;
                }
                budget.left -= 1;
                let place = turns.to_come.trailing_zeros() as usize;
                turns.to_come &= turns.to_come - 1;
                if turns.poll(place) {
                    break 'all true;
                }
            }
        };
        turns.end();
        stops
    }

    /// Starts new tasks, until the source wants to look at one that is done (true), it has no more
    /// just now, the budget is spent, or every slot has a task.
    #[inline]
    pub(super) fn start<S: Send + Sync + 'static>(
        &mut self,
        word: &Word,
        parker: &Arc<Parker<S>>,
        cx: &mut Context<'_>,
        budget: &mut Budget,
        wakers: impl Fn(usize) -> Wakers,
        source: &mut impl Source<F, S>,
    ) -> bool {
        let mut turns = Turns::new(self, word, parker, source);
        let before = budget.left;
        let stops = loop {
            let free = word.free();
            if budget.left == 0 || free == 0 {
                break false;
            }
            let place = free.trailing_zeros() as usize;
            let Some((index, task)) = turns.source.next(parker, cx) else {
                break false;
            };
            budget.left -= 1;
            // What is new is polled here, and not by `Turns::poll`, which would look for its slot again.
            let bit = 1 << place;
            let slot = turns.chunk.slots.equipped(place, &wakers);
            slot.index = index;
            let running = slot.task.insert(task);
            let waker = slot.waker.as_ref().unwrap_or(&turns.of_parker);
            turns.chunk.polled |= bit;
            word.occupy(bit);
            parker.count().add_one();
            turns.place = place;
            let mut cx = Context::from_waker(waker);
            if let Poll::Ready(output) = turns.source.poll(parker, index, running, &mut cx) {
                let task = slot.task.take().expect("it was just polled");
                if turns.is_done(place, index, output, task) {
                    break true;
                }
            }
            turns.place = NOBODY;
        };
        // If one panics, the reserve stays too high, and woken tasks have fewer turns until it is
        // renewed.
        budget.reserve = budget.reserve.saturating_sub(before - budget.left);
        turns.end();
        stops
    }
}

/// No slot.
const NOBODY: usize = usize::MAX;

/// Tasks of a chunk are being polled, one after the other. Dropped when that panics, and then
/// removes the one whose turn it is.
struct Turns<'a, F: Future, S, X: Source<F, S>> {
    chunk: &'a mut Chunk<F>,
    word: &'a Word,
    parker: &'a Parker<S>,
    /// The waker of the first slot, which has none of its own.
    of_parker: WakerRef<'a>,
    source: &'a mut X,
    /// Whose turn it is; it may be gone already.
    place: usize,
    /// Whose turns are to come. Their bits are in `polled` already, and not in `woken`.
    to_come: usize,
}

impl<'a, F: Future, S: Send + Sync + 'static, X: Source<F, S>> Turns<'a, F, S, X> {
    #[inline]
    fn new(
        chunk: &'a mut Chunk<F>,
        word: &'a Word,
        parker: &'a Arc<Parker<S>>,
        source: &'a mut X,
    ) -> Self {
        Turns {
            chunk,
            word,
            parker,
            of_parker: waker_ref(parker),
            source,
            place: NOBODY,
            to_come: 0,
        }
    }
}

impl<F: Future, S, X: Source<F, S>> Turns<'_, F, S, X> {
    #[inline]
    fn begin(&mut self, woken: usize) {
        self.chunk.woken &= !woken;
        self.chunk.polled |= woken;
        self.to_come = woken;
    }

    #[inline]
    fn end(mut self) {
        self.give_back();
        mem::forget(self);
    }

    /// Those who had no turn have it another time.
    #[inline]
    fn give_back(&mut self) {
        self.chunk.woken |= self.to_come;
        self.chunk.polled &= !self.to_come;
    }

    /// Polls the task in a slot. True if it is done, and the source wants to look at it.
    #[inline(always)]
    fn poll(&mut self, place: usize) -> bool
    where
        F: Unpin,
    {
        self.place = place;
        let slot = self.chunk.slots.get_mut(place);
        let Some(Slot {
            task: turn @ Some(_),
            index,
            waker,
        }) = slot
        else {
            unreachable!("a slot whose bit is set has a task");
        };
        let task = turn.as_mut().expect("it is here");
        let waker = waker.as_ref().unwrap_or(&self.of_parker);
        let mut cx = Context::from_waker(waker);
        match self.source.poll(self.parker, *index, task, &mut cx) {
            Poll::Ready(output) => {
                let (index, task) = (*index, turn.take().expect("it was just polled"));
                self.is_done(place, index, output, task)
            }
            Poll::Pending => {
                self.place = NOBODY;
                false
            }
        }
    }

    /// The task that was in a slot is done. True if the source wants to look at it.
    #[inline(always)]
    fn is_done(&mut self, place: usize, index: usize, output: F::Output, task: F) -> bool {
        // In `woken` there is nothing of it: that was taken for its turn, and a vacant slot has none.
        self.word.vacate(1 << place);
        self.parker.count().subtract_one();
        self.source.has_left(self.parker, index);
        self.source.is_done(Done {
            index,
            output,
            task,
        })
    }

    fn leave(&mut self) -> Option<(usize, F)> {
        let count = self.parker.count();
        let left = self.chunk.vacate(self.word, count, self.place)?;
        self.source.has_left(self.parker, left.0);
        Some(left)
    }
}

impl<F: Future, S, X: Source<F, S>> Drop for Turns<'_, F, S, X> {
    #[cold]
    fn drop(&mut self) {
        self.give_back();
        // Its destructor may panic, too.
        drop_quietly(self.leave());
    }
}
