//! The set of running tasks: slots, the words in which their wakers leave bits, and rounds.
//!
//! Tasks live in *chunks* of as many slots as a word has bits. The waker of a slot sets the slot's
//! bit in the chunk's word, so a wake is one atomic operation, and a poll takes all of a chunk's
//! bits with another one. The word of the first chunk stands in the [`Parker`], and whoever makes
//! it other than 0 wakes that. There is nothing more to it for the first 64 tasks.
//!
//! Beyond them, something has to find the woken chunks among thousands. That is a
//! `FuturesUnordered`; what it holds is not the tasks but a *token* for each further chunk: a tiny
//! future that lists its chunk when it is polled. Whoever makes the word of such a chunk other than
//! 0 wakes its token. The tasks themselves are polled here: one that fails or panics takes no other
//! along, and a poll may stop in the middle.
//!
//! # Invariants
//!
//! 1. A bit that was taken out of a word stays in `woken` until its task is polled or gone. It
//!    survives the end of a budget, and panics.
//! 2. A chunk with a bit in `woken` is the first one or is listed; and if there is a bit in its
//!    word, the owner was told, or is about to be (`Word`). So between two polls the owner knows
//!    whether there is something left to poll without looking at every chunk.
//! 3. `vacancies` has every further chunk with a vacant slot; except, after a panic, the one at
//!    which the owner stands, which `repair` adds.
//! 4. In one round a task is polled at most once: what was polled is in `polled`, which counts only
//!    if `round` is the number of the round.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::Future;
use core::mem;

use crate::engine::chunk::{Chunk, Limits, Round, Slots, Source};
use crate::engine::far::{Far, More};
use crate::engine::parker::Parker;
use crate::util::panic::sequence;
use crate::util::sync::Arc;

/// A set of running tasks.
pub(crate) struct Tasks<F> {
    first: Chunk<F>,
    /// Made with the second chunk.
    more: Option<Box<More<F>>>,
    round: Round,
}

impl<F: Future + Unpin> Tasks<F> {
    /// The indices of the tasks, in no order.
    pub(crate) fn indices(&self) -> impl Iterator<Item = usize> {
        let far = self
            .more
            .iter()
            .flat_map(|more| more.chunks.iter().flatten());
        let chunks = far.map(|far| &far.chunk).chain([&self.first]);
        let slots = chunks.flat_map(|chunk| chunk.slots.iter());
        slots.filter_map(|slot| slot.task.as_ref().map(|_| slot.index))
    }

    /// Begins a round. If its start `moves`, it begins one woken task further than the last one.
    #[inline]
    pub(crate) fn begin_round(&mut self, moves: bool) {
        self.round.number = self.round.number.wrapping_add(1);
        if moves {
            self.round.from = self.round.leader.wrapping_add(1);
        }
        self.round.is_new = true;
        if let Some(more) = &mut self.more {
            more.at = None;
            more.again = true;
        }
    }

    /// Whether there is more than the first chunk.
    #[inline]
    pub(crate) fn is_large(&self) -> bool {
        self.more.is_some()
    }

    /// Lists the chunks whose tokens were woken.
    #[cold]
    pub(crate) fn gather<S>(&mut self, parker: &Parker<S>) {
        if let Some(more) = &mut self.more {
            more.gather();
            more.again |= parker.word().woken() != 0;
        }
    }

    /// Whether a woken task may be waiting to be polled in this round.
    #[inline]
    pub(crate) fn has_woken<S>(&self, parker: &Parker<S>) -> bool {
        match &self.more {
            None => {
                let woken = self.first.woken | parker.word().woken();
                woken & !self.first.polled_in(&self.round) != 0
            }
            Some(more) => {
                let first = self.first.woken_from(parker.word(), 0);
                more.at.is_some() || (more.again && (first != 0 || !more.listed.is_empty()))
            }
        }
    }

    /// Whether a task that was woken has not been polled since.
    pub(crate) fn has_left<S>(&self, parker: &Parker<S>) -> bool {
        self.first.woken | parker.word().woken() != 0
            || self
                .more
                .as_ref()
                .is_some_and(|more| !more.listed.is_empty())
    }

    /// Polls woken tasks, until the source wants to look at one that is done (true), until there is
    /// no more to poll in this round, or the budget is spent.
    #[inline]
    pub(crate) fn poll_woken<S>(
        &mut self,
        parker: &Parker<S>,
        limits: &mut Limits<'_>,
        source: &mut impl Source<F, S>,
    ) -> bool {
        match &mut self.more {
            None => {
                let word = parker.word();
                self.first
                    .poll(word, parker, &mut self.round, limits, source)
            }
            Some(more) => more.poll(&mut self.first, parker, &mut self.round, limits, source),
        }
    }

    /// Polls a new task for the first time, and keeps it if it is not ready. True if the source
    /// wants to look at it.
    #[inline]
    pub(crate) fn start<S: Send + Sync + 'static>(
        &mut self,
        parker: &Arc<Parker<S>>,
        new: (usize, F),
        source: &mut impl Source<F, S>,
    ) -> bool {
        let word = parker.word();
        if word.vacant() != 0 {
            let waker = |bit| parker.slot_waker(bit);
            return self
                .first
                .start(word, parker, &self.round, new, waker, source);
        }
        let more = match &mut self.more {
            Some(more) => more,
            more => more.insert(More::make(parker)),
        };
        more.start(parker, &self.round, new, source)
    }

    /// Frees further chunks that are empty, but one: a task that comes and goes should not make
    /// and free a chunk each time. Done when there is nothing left to poll, because what is empty
    /// before may be filled again.
    #[inline]
    pub(crate) fn tidy(&mut self) {
        if let Some(more) = &mut self.more {
            more.tidy();
        }
    }

    /// Takes out the tasks whose indices are below this one, in no order.
    pub(crate) fn take_below<S>(&mut self, parker: &Parker<S>, index: usize) -> Vec<F> {
        let mut taken = Vec::new();
        let count = parker.count();
        self.first
            .take_below(parker.word(), count, index, &mut taken);
        if let Some(more) = &mut self.more {
            for id in 1..=more.chunks.len() {
                if let Some(Far { chunk, line, .. }) = more.far(id) {
                    chunk.take_below(&line.word, count, index, &mut taken);
                    more.note(id);
                }
            }
        }
        taken
    }

    /// For the begin of a poll: what a panic may have left undone.
    pub(crate) fn repair(&mut self) {
        if let Some(more) = &mut self.more {
            more.repair();
        }
    }
}

impl<F> Tasks<F> {
    pub(crate) fn new() -> Self {
        Tasks {
            first: Chunk::new(0),
            more: None,
            round: Round {
                number: 0,
                from: 0,
                is_new: true,
                // The next is the first.
                leader: usize::MAX,
            },
        }
    }

    /// Takes out all tasks, in no order, and leaves chunks that are good for nothing.
    pub(crate) fn take_tasks(&mut self) -> impl Iterator<Item = F> + use<F> {
        let more = self.more.take().into_iter();
        let far = more
            .flat_map(|more| more.chunks)
            .flatten()
            .map(|far| far.chunk.slots);
        let first = mem::replace(&mut self.first.slots, Slots::new());
        let slots = [first].into_iter().chain(far).flat_map(Slots::into_iter);
        slots.filter_map(|slot| slot.task)
    }
}

/// One after the other, whatever their destructors do.
impl<F> Drop for Tasks<F> {
    fn drop(&mut self) {
        if self.more.is_some() || self.first.slots.iter().any(|slot| slot.task.is_some()) {
            sequence(|steps| steps.drop_each(self.take_tasks()));
        }
    }
}
