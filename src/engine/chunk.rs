//! One word's worth of slots, and how the tasks in them are polled.

use alloc::vec::Vec;
use core::future::Future;
use core::mem;
use core::task::{Context, Poll, Waker};

use crate::engine::parker::{ALL, Count, Parker, Word};
use crate::util::panic::drop_quietly;
use crate::util::sync::SLOTS;

/// One time over all that is woken.
pub(super) struct Round {
    pub(super) number: usize,
    /// Where it began: the number of a chunk times `SLOTS`, plus that of a slot.
    pub(super) from: usize,
    /// No task was polled in it yet.
    pub(super) is_new: bool,
    /// Where the task stands that was polled first, in this round or in the last one with a task.
    pub(super) leader: usize,
}

/// How many tasks may be polled.
pub(crate) struct Limits<'a> {
    pub(crate) budget: &'a mut usize,
    /// So much of the budget is for others.
    pub(crate) reserve: usize,
}

impl Limits<'_> {
    #[inline]
    pub(super) fn are_reached(&self) -> bool {
        *self.budget <= self.reserve
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

    /// Takes the next one with its index, if there is one.
    fn next(&mut self, parker: &Parker<S>, cx: &mut Context<'_>) -> Option<(usize, F)>;

    fn poll(
        &mut self,
        parker: &Parker<S>,
        index: usize,
        task: &mut F,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output>;

    /// Takes what is left of a task that is done. True if somebody has to look at it before
    /// another task is polled.
    fn is_done(&mut self, done: Done<F>) -> bool;
}

pub(super) struct Chunk<F> {
    pub(super) id: usize,
    /// Made in order, each when a task stays in it.
    pub(super) slots: Slots<F>,
    pub(super) woken: usize,
    pub(super) polled: usize,
    pub(super) round: usize,
    /// The waker of the slot that will be made next, if a task was polled with it that did not
    /// stay.
    pub(super) spare: Option<Waker>,
}

pub(super) struct Slot<F> {
    pub(super) task: Option<F>,
    pub(super) index: usize,
    pub(super) waker: Waker,
}

/// The slots of a chunk, in blocks: an allocator is at its best with small ones.
pub(super) struct Slots<F> {
    first: Vec<Slot<F>>,
    others: Vec<Vec<Slot<F>>>,
}

/// How many slots a block has.
const BLOCK: usize = 16;

/// How many are made at first.
const FEW: usize = 4;

impl<F> Slots<F> {
    pub(super) const fn new() -> Self {
        Slots {
            first: Vec::new(),
            others: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        let others = self.others.iter().map(Vec::len);
        self.first.len() + others.sum::<usize>()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot<F>> {
        self.first.iter().chain(self.others.iter().flatten())
    }

    pub(super) fn into_iter(self) -> impl Iterator<Item = Slot<F>> {
        let others = self.others.into_iter().flatten();
        self.first.into_iter().chain(others)
    }

    #[inline]
    pub(super) fn get(&mut self, place: usize) -> Option<&mut Slot<F>> {
        match place {
            0..BLOCK => self.first.get_mut(place),
            _ => self
                .others
                .get_mut(place / BLOCK - 1)?
                .get_mut(place % BLOCK),
        }
    }

    #[inline]
    pub(super) fn at(&mut self, place: usize) -> &mut Slot<F> {
        self.get(place)
            .expect("only slots that were made are woken")
    }

    /// Makes room in the first block. Not by `reserve`: to reallocate takes an allocator longer than
    /// to allocate.
    #[cold]
    pub(super) fn grow(&mut self) {
        let capacity = if self.first.is_empty() { FEW } else { BLOCK };
        let mut first = Vec::with_capacity(capacity);
        first.append(&mut self.first);
        self.first = first;
    }

    /// Makes the slot at `place`, which is the next.
    #[inline]
    pub(super) fn push(&mut self, place: usize, slot: Slot<F>) {
        if place < BLOCK {
            if place == self.first.capacity() {
                self.grow();
            }
            self.first.push(slot);
        } else {
            if place % BLOCK == 0 {
                self.others.push(Vec::with_capacity(BLOCK));
            }
            self.others[place / BLOCK - 1].push(slot);
        }
    }
}

impl<F> Chunk<F> {
    pub(super) fn new(id: usize) -> Self {
        Chunk {
            id,
            slots: Slots::new(),
            woken: 0,
            polled: 0,
            round: 0,
            spare: None,
        }
    }

    /// The woken tasks from a slot on.
    pub(super) fn woken_from(&self, word: &Word, slot: usize) -> usize {
        (self.woken | word.woken()) & (ALL << slot)
    }

    pub(super) fn polled_in(&self, round: &Round) -> usize {
        if self.round == round.number {
            self.polled
        } else {
            0
        }
    }

    pub(super) fn enter(&mut self, round: &Round) {
        self.polled = self.polled_in(round);
        self.round = round.number;
    }

    pub(super) fn take_below(
        &mut self,
        word: &Word,
        count: Count<'_>,
        index: usize,
        taken: &mut Vec<F>,
    ) {
        for place in 0..self.slots.len() {
            let slot = self.slots.at(place);
            if slot.task.is_some() && slot.index < index {
                let mut leaving = Polling {
                    chunk: self,
                    word,
                    count,
                    place,
                };
                taken.extend(leaving.vacate());
                mem::forget(leaving);
            }
        }
    }

    /// The woken tasks that may be polled in this round.
    #[inline]
    pub(super) fn now(&mut self, word: &Word) -> usize {
        let now = self.woken & !self.polled;
        if now != 0 {
            return now;
        }
        self.woken |= word.take();
        self.woken & !self.polled
    }
}

impl<F: Future + Unpin> Chunk<F> {
    pub(super) fn poll<S>(
        &mut self,
        word: &Word,
        parker: &Parker<S>,
        round: &mut Round,
        limits: &mut Limits<'_>,
        source: &mut impl Source<F, S>,
    ) -> bool {
        self.enter(round);
        // What is left over was woken after its poll in an earlier round. It must not come before
        // what was woken since: else it would be first in every round, wherever that begins.
        if round.is_new && self.woken != 0 {
            self.woken |= word.take();
        }
        let base = self.id * SLOTS;
        // Those before it come last.
        let ahead = match round.from.checked_sub(base) {
            Some(from) if from < SLOTS => ALL << from,
            _ => ALL,
        };
        loop {
            let now = self.now(word);
            if now == 0 || limits.are_reached() {
                return false;
            }
            *limits.budget -= 1;
            let next = if now & ahead != 0 { now & ahead } else { now };
            let place = next.trailing_zeros() as usize;
            let bit = 1 << place;
            if mem::take(&mut round.is_new) {
                round.leader = base + place;
            }
            self.woken ^= bit;
            self.polled |= bit;

            let mut polling = Polling {
                chunk: self,
                word,
                count: parker.count(),
                place,
            };
            let Slot { task, index, waker } = polling.chunk.slots.at(place);
            let task = task.as_mut().expect("a slot whose bit is set has a task");
            let index = *index;
            let poll = source.poll(parker, index, task, &mut Context::from_waker(waker));
            let Poll::Ready(output) = poll else {
                mem::forget(polling);
                continue;
            };
            let task = polling.vacate();
            mem::forget(polling);
            let task = task.expect("it was polled just now");
            let done = Done {
                index,
                output,
                task,
            };
            if source.is_done(done) {
                return true;
            }
        }
    }

    #[inline]
    pub(super) fn start<S>(
        &mut self,
        word: &Word,
        parker: &Parker<S>,
        round: &Round,
        (index, task): (usize, F),
        waker: impl FnOnce(usize) -> Waker,
        source: &mut impl Source<F, S>,
    ) -> bool {
        self.enter(round);
        let bit = lowest(word.vacant());
        let place = bit.trailing_zeros() as usize;
        let waker = match self.slots.get(place) {
            Some(slot) => &slot.waker,
            None => self.spare.get_or_insert_with(|| waker(bit)),
        };
        self.polled |= bit;
        word.occupy(bit);
        parker.count().add_one();

        let mut starting = Starting {
            task: Some(task),
            word,
            bit,
            count: parker.count(),
        };
        let mut cx = Context::from_waker(waker);
        let poll = source.poll(parker, index, starting.task(), &mut cx);
        if let Poll::Ready(output) = poll {
            let task = starting.leave();
            mem::forget(starting);
            let task = task.expect("it was polled just now");
            return source.is_done(Done {
                index,
                output,
                task,
            });
        }
        let task = starting.task.take();
        mem::forget(starting);

        if let Some(slot) = self.slots.get(place) {
            slot.task = task;
            slot.index = index;
        } else if let Some(waker) = self.spare.take() {
            self.slots.push(place, Slot { task, index, waker });
        }
        false
    }
}

/// The lowest bit that is set.
fn lowest(bits: usize) -> usize {
    bits & bits.wrapping_neg()
}

/// A task that is being polled. Dropped when that panics, and then removes the task.
struct Polling<'a, F> {
    chunk: &'a mut Chunk<F>,
    word: &'a Word,
    count: Count<'a>,
    place: usize,
}

impl<F> Polling<'_, F> {
    fn vacate(&mut self) -> Option<F> {
        let bit = 1 << self.place;
        self.word.vacate(bit);
        self.chunk.woken &= !bit;
        self.count.subtract(1);
        self.chunk.slots.at(self.place).task.take()
    }
}

impl<F> Drop for Polling<'_, F> {
    fn drop(&mut self) {
        // Its destructor may panic, too.
        drop_quietly(self.vacate());
    }
}

/// A task that is polled for the first time. Dropped when that panics, and then drops the task.
struct Starting<'a, F> {
    task: Option<F>,
    word: &'a Word,
    bit: usize,
    count: Count<'a>,
}

impl<F> Starting<'_, F> {
    fn task(&mut self) -> &mut F {
        self.task.as_mut().expect("it is taken when it was polled")
    }

    fn leave(&mut self) -> Option<F> {
        self.word.vacate(self.bit);
        self.count.subtract(1);
        self.task.take()
    }
}

impl<F> Drop for Starting<'_, F> {
    fn drop(&mut self) {
        drop_quietly(self.leave());
    }
}
