//! How the woken chunks among many are found: a list in which whoever wakes one leaves its number.

use core::iter;

use crate::engine::parker::{Parker, Word};
use crate::engine::wakers::Bell;
use crate::util::sync::Arc;
use crate::util::sync::atomic::AtomicUsize;
use crate::util::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// The list is empty. Chunks have numbers from 1 on.
const NOBODY: usize = 0;
/// The tasks of all chunks were taken out.
const CLOSED: usize = usize::MAX;

/// The chunks that were woken since the owner last looked.
///
/// # Invariants
///
/// 1. A chunk is put here by whoever sets the first bit of its word, and the bit `LISTED` with it
///    (`Word`). The owner clears that bit, and only after it took the chunk out. So a chunk is in the
///    list once, or is about to be put there by one thread.
/// 2. Whoever finds the list empty tells the owner. Whoever finds somebody there need not: the first
///    one has told, or is about to.
pub(super) struct Arrivals<S> {
    /// The number of the chunk that came last.
    last: AtomicUsize,
    parker: Arc<Parker<S>>,
}

/// What a further chunk and its wakers share.
pub(super) struct Line<S> {
    pub(super) word: Word,
    id: usize,
    /// The number of the chunk that came before this one.
    before: AtomicUsize,
    arrivals: Arc<Arrivals<S>>,
}

impl<S> Arrivals<S> {
    pub(super) fn new(parker: Arc<Parker<S>>) -> Self {
        Arrivals {
            last: AtomicUsize::new(NOBODY),
            parker,
        }
    }

    fn push(&self, line: &Line<S>) {
        let mut last = self.last.load(Relaxed);
        while last != CLOSED {
            line.before.store(last, Relaxed);
            // Release: the owner sees the bits, and `before`.
            let pushed = self
                .last
                .compare_exchange_weak(last, line.id, Release, Relaxed);
            match pushed {
                Ok(NOBODY) => return self.parker.wake(),
                Ok(_) => return,
                Err(now) => last = now,
            }
        }
    }

    /// Takes all of them out, for the owner, who knows the lines by their numbers.
    pub(super) fn take<'a>(
        &self,
        line: impl Fn(usize) -> &'a Line<S>,
    ) -> impl Iterator<Item = usize>
    where
        S: 'a,
    {
        let last = match self.last.load(Relaxed) {
            NOBODY => NOBODY,
            // Acquire: pairs with the release of each `push` since the last time.
            _ => self.last.swap(NOBODY, Acquire),
        };
        let id = |id| (id != NOBODY).then_some(id);
        iter::successors(id(last), move |&at| id(line(at).before.load(Relaxed)))
    }

    /// From now on nobody is told of anything.
    pub(super) fn close(&self) {
        self.last.store(CLOSED, Relaxed);
    }
}

impl<S> Line<S> {
    pub(super) fn new(id: usize, arrivals: Arc<Arrivals<S>>) -> Self {
        Line {
            word: Word::of_further(),
            id,
            before: AtomicUsize::new(NOBODY),
            arrivals,
        }
    }
}

impl<S: Send + Sync + 'static> Bell for Arc<Line<S>> {
    fn wake_slot(&self, bit: usize) {
        if self.word.wake(bit) {
            self.arrivals.push(self);
        }
    }
}
