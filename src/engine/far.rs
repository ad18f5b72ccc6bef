//! The chunks after the first, and the order in which a round goes over them.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::Future;
use core::mem;
use core::task::Context;

use crate::engine::arrivals::{Arrivals, Line};
use crate::engine::chunk::{Budget, Chunk, Round, Source};
use crate::engine::parker::Parker;
use crate::engine::wakers;
use crate::util::bits::Bits;
use crate::util::panic::Sequence;
use crate::util::sync::{Arc, SLOTS};

/// The chunks after the first.
pub(super) struct More<F, S> {
    /// The first of them has the number 1.
    chunks: Vec<Option<Far<F, S>>>,
    /// The numbers of those that are gone.
    free: Vec<usize>,
    /// The number of the round.
    round: usize,
    arrivals: Arc<Arrivals<S>>,
    vacancies: Bits,
    /// Chunks that have become empty since the last `tidy`, and those that it left. Some may have been
    /// filled again.
    empty: Vec<usize>,
    /// Chunks in which something is woken, or was and is not polled yet, and the one at which the
    /// owner stands: as long as one is here, wakes in it need tell nobody.
    listed: Bits,
    /// From which chunk on the owner goes on in its round, in the order of their numbers; `None`
    /// if it has been everywhere.
    at: Option<usize>,
    /// It has come to the last chunk, and gone on with the first.
    wrapped: bool,
    /// Something was woken where it may have been already.
    again: bool,
}

struct Far<F, S> {
    chunk: Chunk<F>,
    line: Arc<Line<S>>,
    /// The round of which it says what was polled.
    round: usize,
    /// It stands in `empty`, once.
    noted: bool,
}

impl<F, S> Far<F, S> {
    fn enter(&mut self, round: usize) {
        if mem::replace(&mut self.round, round) != round {
            self.chunk.polled = 0;
        }
    }
}

impl<F, S> More<F, S> {
    #[cold]
    pub(super) fn make(parker: &Arc<Parker<S>>) -> Box<Self> {
        Box::new(More {
            chunks: Vec::new(),
            free: Vec::new(),
            round: 0,
            arrivals: Arc::new(Arrivals::new(parker.clone())),
            vacancies: Bits::default(),
            empty: Vec::new(),
            listed: Bits::default(),
            at: None,
            wrapped: false,
            again: false,
        })
    }

    pub(super) fn chunks(&self) -> impl Iterator<Item = &Chunk<F>> {
        self.chunks.iter().flatten().map(|far| &far.chunk)
    }

    pub(super) fn drop_tasks(&mut self, steps: &mut Sequence) {
        for far in self.chunks.iter_mut().flatten() {
            far.chunk.slots.drop_tasks(steps);
        }
    }

    /// From now on wakes in these chunks tell nobody.
    pub(super) fn close(&self) {
        self.arrivals.close();
    }

    fn far(&mut self, id: usize) -> Option<&mut Far<F, S>> {
        self.chunks.get_mut(id.checked_sub(1)?)?.as_mut()
    }

    pub(super) fn begin_round(&mut self) {
        self.repair();
        self.round = self.round.wrapping_add(1);
        self.at = None;
        self.again = self.has_left();
    }

    /// Lists the chunks in which something was woken.
    pub(super) fn gather(&mut self) {
        let chunks = &self.chunks;
        let line = |id: usize| match &chunks[id - 1] {
            Some(far) => &*far.line,
            None => unreachable!("a chunk stays while it is on its way here"),
        };
        for id in self.arrivals.take(line) {
            self.listed.insert(id);
            self.again = true;
        }
    }

    /// Whether a woken task may be waiting to be polled in this round.
    pub(super) fn has_woken(&self, first: &Chunk<F>, parker: &Parker<S>) -> bool {
        first.has_woken(parker.word()) || ((self.at.is_some() || self.again) && self.has_left())
    }

    /// Whether a task that was woken has not been polled since.
    pub(super) fn has_left(&self) -> bool {
        !self.listed.is_empty()
    }

    /// The chunk whose turn it is in this round. The very first one has the number 0.
    fn next(&mut self, first: &Chunk<F>, parker: &Parker<S>, round: &mut Round) -> Option<usize> {
        loop {
            let Some(at) = self.at else {
                if !mem::take(&mut self.again) && !first.has_woken(parker.word()) {
                    return None;
                }
                self.at = Some(self.begin_pass(first, parker, round));
                self.wrapped = false;
                continue;
            };
            let start = round.from / SLOTS;
            let next = match at {
                0 if first.has_woken(parker.word()) => Some(0),
                _ => self.listed.next_from(at),
            };
            let next = next.filter(|&id| !self.wrapped || id < start);
            self.at = match next {
                Some(_) => return next,
                // Those before the start come last.
                None => (!mem::replace(&mut self.wrapped, true)).then_some(0),
            };
        }
    }

    /// Where a pass over all that is woken begins. What comes before the start of a round in its
    /// chunk comes last; so if nothing else is woken there, the next chunk is the first.
    fn begin_pass(&mut self, first: &Chunk<F>, parker: &Parker<S>, round: &mut Round) -> usize {
        let (id, slot) = (round.from / SLOTS, round.from % SLOTS);
        if round.is_new {
            let ahead = match id {
                0 => first.woken_from(parker.word(), slot),
                _ if !self.listed.contains(id) => 0,
                _ => self
                    .far(id)
                    .map_or(0, |far| far.chunk.woken_from(&far.line.word, slot)),
            };
            if ahead == 0 {
                round.from = (id + 1) * SLOTS;
            }
        }
        round.from / SLOTS
    }

    /// The last poll may have ended with a panic of a task, which has left.
    fn repair(&mut self) {
        if let Some(id) = self.at {
            self.note(id);
        }
    }

    /// Notes that a chunk has a vacant slot, and perhaps no task at all.
    fn note(&mut self, id: usize) {
        let Some(far) = self.far(id) else { return };
        let word = &far.line.word;
        let is_new = word.is_empty() && !mem::replace(&mut far.noted, true);
        if word.free() != 0 {
            self.vacancies.insert(id);
        }
        if is_new {
            self.empty.push(id);
        }
    }

    #[inline]
    pub(super) fn tidy(&mut self) {
        if self.empty.len() > 1 {
            self.free_empty();
        }
    }

    fn free_empty(&mut self) {
        let mut spare = false;
        self.empty.retain(|&id| {
            let place = &mut self.chunks[id - 1];
            let Some(far) = place else { return false };
            let word = &far.line.word;
            if !word.is_empty() {
                far.noted = false;
                return false;
            }
            // Once listed, nobody hands it over any more. If somebody is about to, it goes another time.
            if !mem::replace(&mut spare, true) || !word.list() {
                return true;
            }
            *place = None;
            self.vacancies.remove(id);
            self.free.push(id);
            false
        });
    }

    pub(super) fn take_below(
        &mut self,
        parker: &Parker<S>,
        index: usize,
        taken: &mut Vec<(usize, F)>,
    ) {
        for id in 1..=self.chunks.len() {
            if let Some(Far { chunk, line, .. }) = self.far(id) {
                chunk.take_below(&line.word, parker.count(), index, taken);
                self.note(id);
            }
        }
    }
}

impl<F: Future + Unpin, S: Send + Sync + 'static> More<F, S> {
    #[inline(never)]
    pub(super) fn poll(
        &mut self,
        first: &mut Chunk<F>,
        parker: &Arc<Parker<S>>,
        round: &mut Round,
        budget: &mut Budget,
        source: &mut impl Source<F, S>,
    ) -> bool {
        self.repair();
        while let Some(id) = self.next(first, parker, round) {
            self.at = Some(id);
            let mut stops = false;
            if id == 0 {
                stops = first.poll(parker.word(), parker, 0, round, budget, source);
            } else if let Some(Some(far)) = self.chunks.get_mut(id - 1) {
                far.enter(self.round);
                let word = &far.line.word;
                let free = word.free();
                let base = id * SLOTS;
                stops = far.chunk.poll(word, parker, base, round, budget, source);
                // Any other change leaves it in `vacancies`, and out of `empty`, as it was.
                if word.free() != free && (free == 0 || word.is_empty()) {
                    self.note(id);
                }
            }
            if stops || budget.is_spent() {
                return stops;
            }
            if id > 0 && !self.settle(id) {
                // Something was woken just now.
                continue;
            }
            if !self.has_left() && !first.has_woken(parker.word()) {
                self.at = None;
                self.again = false;
                return false;
            }
            self.at = Some(id + 1);
        }
        false
    }

    /// Lets a chunk stand in the list only if something was woken in it. False if that was just
    /// now.
    fn settle(&mut self, id: usize) -> bool {
        match self.far(id) {
            Some(far) if far.chunk.woken != 0 => true,
            Some(far) if !far.line.word.unlist() => false,
            _ => {
                self.listed.remove(id);
                true
            }
        }
    }

    #[inline(never)]
    pub(super) fn start(
        &mut self,
        parker: &Arc<Parker<S>>,
        cx: &mut Context<'_>,
        budget: &mut Budget,
        source: &mut impl Source<F, S>,
    ) -> bool {
        while budget.left > 0 && source.is_startable(parker) {
            let id = match self.vacancies.next_from(0) {
                Some(id) => id,
                None => self.add_chunk(),
            };
            let far = self.chunks[id - 1].as_mut();
            let far = far.expect("only chunks that are there have vacancies");
            far.enter(self.round);
            let Far { chunk, line, .. } = far;
            // What is woken meanwhile is found in the list, unless somebody is about to hand it over.
            let lists = line.word.list();
            if lists {
                self.listed.insert(id);
            }
            let wakers = |place| wakers::pair(line.clone(), place);
            let stops = chunk.start(&line.word, parker, cx, budget, wakers, source);
            let is_full = line.word.free() == 0;
            self.again |= chunk.has_woken(&line.word);
            if is_full {
                self.vacancies.remove(id);
            }
            if lists {
                self.settle(id);
            }
            if stops {
                return true;
            }
        }
        false
    }

    fn add_chunk(&mut self) -> usize {
        let id = self.free.pop().unwrap_or(self.chunks.len() + 1);
        let far = Some(Far {
            chunk: Chunk::new(),
            line: Arc::new(Line::new(id, self.arrivals.clone())),
            round: 0,
            noted: false,
        });
        if id > self.chunks.len() {
            self.chunks.push(far);
        } else {
            self.chunks[id - 1] = far;
        }
        self.vacancies.insert(id);
        id
    }
}
