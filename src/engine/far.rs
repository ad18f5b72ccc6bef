//! The chunks after the first, and the order in which a round goes over them.

use alloc::boxed::Box;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::future::Future;
use core::mem;
use core::task::Waker;

use crate::engine::chunk::{Chunk, Limits, Round, Source};
use crate::engine::parker::{ALL, Parker};
use crate::engine::tokens::{Line, Tokens};
use crate::util::bits::Bits;
use crate::util::sync::{Arc, SLOTS};

/// The chunks after the first.
pub(super) struct More<F> {
    /// The first of them has the number 1.
    pub(super) chunks: Vec<Option<Far<F>>>,
    pub(super) tokens: Tokens,
    pub(super) vacancies: Bits,
    /// Chunks that have become empty since the last `tidy`, and the one that it left. Some may
    /// have been filled again.
    pub(super) empty: Vec<usize>,
    /// Chunks in which something is woken, or was and is not polled yet.
    pub(super) listed: Bits,
    /// The chunk at which the owner stands in its round, in the order of their numbers; `None` if
    /// it has been everywhere.
    pub(super) at: Option<usize>,
    /// It has come to the last chunk, and gone on with the first.
    pub(super) wrapped: bool,
    /// Something was woken where it may have been already.
    pub(super) again: bool,
}

pub(super) struct Far<F> {
    pub(super) chunk: Chunk<F>,
    pub(super) line: Arc<Line>,
    /// It stands in `empty`, once.
    pub(super) noted: bool,
}

impl<F> More<F> {
    #[cold]
    pub(super) fn make<S: Send + Sync + 'static>(parker: &Arc<Parker<S>>) -> Box<Self> {
        Box::new(More {
            chunks: Vec::new(),
            tokens: Tokens::new(parker),
            vacancies: Bits::default(),
            empty: Vec::new(),
            listed: Bits::default(),
            at: None,
            wrapped: false,
            again: true,
        })
    }

    pub(super) fn far(&mut self, id: usize) -> Option<&mut Far<F>> {
        self.chunks.get_mut(id.checked_sub(1)?)?.as_mut()
    }

    pub(super) fn gather(&mut self) {
        for id in self.tokens.poll() {
            if self.chunks[id - 1].is_some() {
                self.listed.insert(id);
                self.again = true;
            }
        }
    }

    /// Begins to go over all that is woken, from where the round begins.
    pub(super) fn begin_pass<S>(
        &mut self,
        first: &mut Chunk<F>,
        parker: &Parker<S>,
        round: &mut Round,
    ) {
        let mut start = round.from / SLOTS;
        if round.is_new {
            let ahead = match start {
                0 => first.woken_from(parker.word(), round.from),
                _ => self.far(start).map_or(0, |far| {
                    let from = round.from % SLOTS;
                    far.chunk.woken_from(&far.line.word, from)
                }),
            };
            if ahead == 0 {
                start += 1;
                round.from = start * SLOTS;
            }
        }
        self.at = match start {
            0 => Some(0),
            _ => self.listed.next_from(start),
        };
        self.wrapped = self.at.is_none();
        self.at.get_or_insert(0);
    }

    /// Goes on to the next chunk of the round. Every pass visits the first chunk.
    pub(super) fn advance(&mut self, start: usize) {
        let Some(at) = self.at else { return };
        let next = self.listed.next_from(at + 1);
        self.at = match next {
            Some(_) if !self.wrapped => next,
            Some(id) if id < start => next,
            None if !self.wrapped && start > 0 => {
                self.wrapped = true;
                Some(0)
            }
            _ => None,
        };
    }

    /// For the begin of a poll: the last one may have ended with a panic of a task.
    pub(super) fn repair(&mut self) {
        if let Some(id) = self.at {
            self.note(id);
        }
    }

    /// Notes that a chunk has a vacant slot, and perhaps no task at all.
    pub(super) fn note(&mut self, id: usize) {
        let Some(far) = self.far(id) else { return };
        let vacant = far.line.word.vacant();
        let is_new = vacant == ALL && !mem::replace(&mut far.noted, true);
        if vacant != 0 {
            self.vacancies.insert(id);
        }
        if is_new {
            self.empty.push(id);
        }
    }

    pub(super) fn tidy(&mut self) {
        let mut kept = None;
        while let Some(id) = self.empty.pop() {
            let Some(far) = self.chunks[id - 1].as_mut() else {
                continue;
            };
            if far.line.word.vacant() != ALL {
                far.noted = false;
            } else if kept.is_none() {
                kept = Some(id);
            } else {
                // Its number is used again only when its token is gone.
                far.line.dismiss();
                self.chunks[id - 1] = None;
                self.vacancies.remove(id);
                self.listed.remove(id);
            }
        }
        self.empty.extend(kept);
    }
}

impl<F: Future + Unpin> More<F> {
    #[inline(never)]
    pub(super) fn poll<S>(
        &mut self,
        first: &mut Chunk<F>,
        parker: &Parker<S>,
        round: &mut Round,
        limits: &mut Limits<'_>,
        source: &mut impl Source<F, S>,
    ) -> bool {
        loop {
            let Some(id) = self.at else {
                if !mem::take(&mut self.again) {
                    return false;
                }
                self.begin_pass(first, parker, round);
                continue;
            };
            let mut stops = false;
            if id == 0 {
                if first.woken_from(parker.word(), 0) != 0 {
                    stops = first.poll(parker.word(), parker, round, limits, source);
                }
            } else if let Some(far) = self.far(id) {
                let word = &far.line.word;
                let vacant = word.vacant();
                stops = far.chunk.poll(word, parker, round, limits, source);
                let (is_idle, changed) = (far.chunk.woken == 0, word.vacant() != vacant);
                if is_idle && !stops {
                    self.listed.remove(id);
                }
                if changed {
                    self.note(id);
                }
            }
            if stops || limits.are_reached() {
                return stops;
            }
            self.advance(round.from / SLOTS);
        }
    }

    #[inline(never)]
    pub(super) fn start<S>(
        &mut self,
        parker: &Parker<S>,
        round: &Round,
        new: (usize, F),
        source: &mut impl Source<F, S>,
    ) -> bool {
        let id = match self.vacancies.next_from(0) {
            Some(id) => id,
            None => self.add_chunk(),
        };
        let far = self
            .far(id)
            .expect("only chunks that are there have vacancies");
        let Far { chunk, line, .. } = far;
        let waker = |bit| {
            let line = line.clone();
            Waker::from(Arc::new(FarWaker { line, bit }))
        };
        let stops = chunk.start(&line.word, parker, round, new, waker, source);
        if line.word.vacant() == 0 {
            self.vacancies.remove(id);
        }
        stops
    }

    pub(super) fn add_chunk(&mut self) -> usize {
        let (id, line) = self.tokens.add(self.chunks.len() + 1);
        let chunk = Chunk::new(id);
        let far = Some(Far {
            chunk,
            line,
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

/// The waker of a slot of a further chunk.
struct FarWaker {
    line: Arc<Line>,
    bit: usize,
}

impl Wake for FarWaker {
    fn wake(self: Arc<Self>) {
        self.line.wake_slot(self.bit);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.line.wake_slot(self.bit);
    }
}
