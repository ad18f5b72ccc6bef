//! The set of running tasks: slots, the words in which their wakers leave bits, and rounds.
//!
//! Tasks live in *chunks* of as many slots as a word has bits. The waker of a slot sets the slot's
//! bit in the chunk's word, so a wake is one atomic operation, and a poll takes all of a chunk's
//! bits with another one. The word of the first chunk stands in the [`Parker`], and whoever makes
//! it other than 0 wakes that. There is nothing more to it for the first 64 tasks.
//!
//! Beyond them, something has to find the woken chunks among thousands: whoever makes the word of
//! such a chunk other than 0 leaves its number with the [`Arrivals`](super::arrivals::Arrivals).
//!
//! # Invariants
//!
//! 1. A bit that was taken out of a word stays in `woken` until its task is polled or gone. It
//!    survives the end of a budget, and panics.
//! 2. A chunk with a bit in `woken` is the first one or is listed. If there is a bit in its word, the
//!    same holds, or the owner was told, or is about to be (`Word`). So between two polls the owner
//!    knows whether there is something left to poll without looking at every chunk.
//! 3. `vacancies` has every further chunk with a vacant slot; except, after a panic, the one at
//!    which the owner stands, which `repair` adds, in the next poll of tasks there or the next round.
//! 4. In one round a task is polled at most once: what was polled is in `polled`, which is emptied
//!    with each round: at once in the first chunk, and in a further one when the round comes there.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::Future;
use core::task::Context;

use crate::engine::chunk::{Budget, Chunk, Round, Source};
use crate::engine::far::More;
use crate::engine::parker::Parker;
use crate::util::panic::Sequence;
use crate::util::sync::Arc;

/// A set of running tasks.
pub(crate) struct Tasks<F, S> {
    first: Chunk<F>,
    /// Made with the second chunk.
    more: Option<Box<More<F, S>>>,
    round: Round,
}

impl<F: Future + Unpin, S: Send + Sync + 'static> Tasks<F, S> {
    /// The indices of the tasks, in no order.
    pub(super) fn indices(&self) -> impl Iterator<Item = usize> {
        let far = self.more.iter().flat_map(|more| more.chunks());
        let slots = [&self.first]
            .into_iter()
            .chain(far)
            .flat_map(|chunk| chunk.slots.iter());
        slots.filter_map(|slot| slot.task.as_ref().map(|_| slot.index))
    }

    /// Begins a round. If its start `moves`, it begins one woken task further than the last one.
    #[inline]
    pub(super) fn begin_round(&mut self, moves: bool) {
        if moves {
            self.round.from = self.round.leader.wrapping_add(1);
        }
        self.round.is_new = true;
        self.first.polled = 0;
        if let Some(more) = &mut self.more {
            more.begin_round();
        }
    }

    /// Lists what was woken, if there is so much that it needs a list.
    #[inline]
    pub(super) fn gather(&mut self) {
        if let Some(more) = &mut self.more {
            more.gather();
        }
    }

    /// Whether a woken task may be waiting to be polled in this round.
    #[inline]
    pub(super) fn has_woken(&self, parker: &Parker<S>) -> bool {
        match &self.more {
            None => self.first.has_woken(parker.word()),
            Some(more) => more.has_woken(&self.first, parker),
        }
    }

    /// Whether a task that was woken has not been polled since.
    #[inline]
    pub(super) fn has_left(&self, parker: &Parker<S>) -> bool {
        let more = self.more.as_ref();
        self.first.woken_from(parker.word(), 0) != 0 || more.is_some_and(|more| more.has_left())
    }

    /// Polls woken tasks, until the source wants to look at one that is done (true), until there is
    /// no more to poll in this round, or the budget is spent.
    #[inline]
    pub(super) fn poll_woken(
        &mut self,
        parker: &Arc<Parker<S>>,
        budget: &mut Budget,
        source: &mut impl Source<F, S>,
    ) -> bool {
        let (first, round) = (&mut self.first, &mut self.round);
        match &mut self.more {
            None => first.poll(parker.word(), parker, 0, round, budget, source),
            Some(more) => more.poll(first, parker, round, budget, source),
        }
    }

    /// Starts new tasks, until the source wants to look at one that is done (true), or none may
    /// start.
    #[inline]
    pub(super) fn start(
        &mut self,
        parker: &Arc<Parker<S>>,
        cx: &mut Context<'_>,
        budget: &mut Budget,
        source: &mut impl Source<F, S>,
    ) -> bool {
        let word = parker.word();
        let wakers = |place| parker.wakers(place);
        if self.first.start(word, parker, cx, budget, wakers, source) {
            return true;
        }
        word.free() == 0 && self.start_far(parker, cx, budget, source)
    }

    /// The same when the first chunk is full.
    fn start_far(
        &mut self,
        parker: &Arc<Parker<S>>,
        cx: &mut Context<'_>,
        budget: &mut Budget,
        source: &mut impl Source<F, S>,
    ) -> bool {
        if budget.left == 0 || !source.is_startable(parker) {
            return false;
        }
        let more = self.more.get_or_insert_with(|| More::make(parker));
        more.start(parker, cx, budget, source)
    }

    /// Frees further chunks that are empty, but one: a task that comes and goes should not make
    /// and free a chunk each time. Done when there is nothing left to poll, because what is empty
    /// before may be filled again.
    #[inline]
    pub(super) fn tidy(&mut self) {
        if let Some(more) = &mut self.more {
            more.tidy();
        }
    }

    /// Takes out the tasks whose indices are below this one, with these, in no order.
    pub(super) fn take_below(&mut self, parker: &Parker<S>, index: usize) -> Vec<(usize, F)> {
        let mut taken = Vec::new();
        let count = parker.count();
        self.first
            .take_below(parker.word(), count, index, &mut taken);
        if let Some(more) = &mut self.more {
            more.take_below(parker, index, &mut taken);
        }
        taken
    }
}

impl<F, S> Tasks<F, S> {
    pub(super) fn new() -> Self {
        Tasks {
            first: Chunk::new(),
            more: None,
            round: Round {
                from: 0,
                is_new: true,
                // The next is the first.
                leader: usize::MAX,
            },
        }
    }

    /// They are taken out: from now on wakes beyond the first chunk, whose wakers know by themselves,
    /// tell nobody.
    pub(super) fn close(&self) {
        if let Some(more) = &self.more {
            more.close();
        }
    }

    /// Drops all tasks, in no order.
    pub(crate) fn drop_each(mut self, steps: &mut Sequence) {
        self.first.slots.drop_tasks(steps);
        if let Some(more) = &mut self.more {
            more.drop_tasks(steps);
        }
    }
}
