//! The set of running tasks, on `FuturesUnordered`.
//!
//! Tasks live in *chunks* of up to one word of slots. What the `FuturesUnordered` holds is not
//! the tasks but a *token* for each chunk: a tiny future that, when it is polled, puts its chunk
//! on a list. The waker of a slot sets the slot's bit in the chunk's word, and wakes the token
//! only if the word was empty. So a wake is one atomic operation when the chunk is in sight
//! already, a poll costs O(woken tasks), and a task that panics takes no other along.
//!
//! # Invariants
//!
//! 1. A chunk's word is not zero exactly while the chunk is *listed* (then it holds `LISTED`), or
//!    its token was woken and not polled since, or somebody is about to wake it. So who finds the
//!    word zero must wake the token, and who finds it set need not.
//! 2. A chunk is listed exactly while it stands once in `ready` or `deferred`. It leaves with a
//!    compare-and-swap from `LISTED` to 0, which fails if a bit came in.
//! 3. A bit taken out of a word stays in `woken` until its task is polled or gone. It survives
//!    the end of a budget, and panics.
//! 4. The owner never parks while a chunk is listed, because wakes of such a chunk do not reach
//!    the parent.
//! 5. `vacancies` has the bit of every chunk with a vacant slot, and none before `first_vacancy`.

use alloc::collections::VecDeque;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use futures::stream::{FuturesUnordered, Stream};

use crate::engine::parker::Parent;
use crate::util::panic::{Sequence, drop_quietly};
use crate::util::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::util::sync::atomic::{AtomicBool, AtomicUsize};
use crate::util::sync::{Arc, Lock};

const BITS: usize = usize::BITS as usize;
/// How many slots a chunk has: the bits of a word, less one.
const SLOTS: usize = BITS - 1;
/// All slots of a chunk.
const ALL: usize = LISTED - 1;
/// The bit of a word that says that its chunk is listed.
const LISTED: usize = 1 << SLOTS;
/// The end of the list of arrivals.
const NONE: usize = usize::MAX;

/// A set of running tasks.
pub(crate) struct Tasks<F> {
    chunks: Vec<Option<Chunk<F>>>,
    /// Made with the first chunk.
    tokens: Option<Tokens>,
    /// A bit for each chunk: whether it has a vacant slot.
    vacancies: Vec<usize>,
    /// No chunk before this one has a vacant slot.
    first_vacancy: usize,
    /// Chunks that have become empty since the last `tidy`, and the one that it left. Some may
    /// have been filled again.
    empty: Vec<usize>,
    /// Chunks with woken tasks, to be looked at in this round.
    ready: VecDeque<usize>,
    /// Chunks whose woken tasks have all been polled in this round, and have to wait.
    deferred: Vec<usize>,
    round: usize,
    /// The chunk and the slot of the task that is being polled. It is left here by a panic, and
    /// the slot released when the next round begins.
    polling: Option<(usize, usize)>,
    len: usize,
    parent: Arc<Parent>,
}

/// A task that is done.
pub(crate) struct Done<F: Future> {
    pub(crate) index: usize,
    pub(crate) output: F::Output,
    /// Not dropped yet.
    pub(crate) task: F,
}

struct Chunk<F> {
    /// Made as they are needed, the lowest first.
    slots: Vec<Slot<F>>,
    /// The slots without a task.
    vacant: usize,
    /// The tasks that were woken and not yet polled.
    woken: usize,
    /// The tasks that were polled in `round`.
    polled: usize,
    round: usize,
    listed: bool,
    /// It stands in `empty`, once.
    noted: bool,
    word: Arc<Word>,
    line: Arc<Line>,
}

struct Slot<F> {
    task: Option<F>,
    index: usize,
    waker: Waker,
}

/// The word of a chunk: the bits of its woken slots, and `LISTED`.
struct Word {
    bits: AtomicUsize,
    /// The waker of the chunk's token.
    token: Waker,
}

struct SlotWaker {
    word: Arc<Word>,
    bit: usize,
}

impl Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Release: the poll that takes the bit sees what was done before the wake.
        if self.word.bits.fetch_or(self.bit, Release) == 0 {
            self.word.token.wake_by_ref();
        }
    }
}

impl<F: Future + Unpin> Tasks<F> {
    pub(crate) fn new(parent: Arc<Parent>) -> Self {
        Tasks {
            chunks: Vec::new(),
            tokens: None,
            vacancies: Vec::new(),
            first_vacancy: 0,
            empty: Vec::new(),
            ready: VecDeque::new(),
            deferred: Vec::new(),
            round: 0,
            polling: None,
            len: 0,
            parent,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The indices of the tasks, in no order.
    pub(crate) fn indices(&self) -> impl Iterator<Item = usize> {
        let slots = self.chunks.iter().flatten().flat_map(|chunk| &chunk.slots);
        slots.filter_map(|slot| slot.task.as_ref().map(|_| slot.index))
    }

    /// Begins a round; in one round a task is polled at most once.
    pub(crate) fn begin_round(&mut self) {
        self.release();
        self.round = self.round.wrapping_add(1);
        self.ready.extend(self.deferred.drain(..));
    }

    /// Lists the chunks whose tokens were woken.
    pub(crate) fn gather(&mut self) {
        if let Some(tokens) = &mut self.tokens {
            tokens.poll();
            self.list_arrivals();
        }
    }

    /// Whether a woken task may be waiting to be polled in this round.
    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether a woken task waits for the next round.
    pub(crate) fn is_deferred(&self) -> bool {
        !self.deferred.is_empty()
    }

    /// Polls woken tasks, at most `budget` of them, until one is ready. `None` if there is no more
    /// to poll in this round, or the budget is spent.
    pub(crate) fn poll_woken<P>(&mut self, budget: &mut usize, mut poll: P) -> Option<Done<F>>
    where
        P: FnMut(&mut F, &mut Context<'_>) -> Poll<F::Output>,
    {
        while let Some(&id) = self.ready.front() {
            let chunk = self.chunks[id].as_mut().unwrap();
            chunk.enter(self.round);
            while let Some(mut now) = chunk.now() {
                while now != 0 {
                    if *budget == 0 {
                        self.polling = None;
                        return None;
                    }
                    *budget -= 1;
                    let bit = now & now.wrapping_neg();
                    now ^= bit;
                    chunk.woken ^= bit;
                    chunk.polled |= bit;
                    let place = bit.trailing_zeros() as usize;
                    let slot = &mut chunk.slots[place];
                    self.polling = Some((id, place));
                    let mut task = Removal(&mut slot.task);
                    let poll = poll(task.get(), &mut Context::from_waker(&slot.waker));
                    if let Poll::Ready(output) = poll {
                        let index = slot.index;
                        let task = task.take();
                        self.release();
                        return Some(Done {
                            index,
                            output,
                            task,
                        });
                    }
                    mem::forget(task);
                }
            }
            self.polling = None;
            if chunk.woken != 0 {
                self.ready.pop_front();
                self.deferred.push(id);
            } else if chunk.word.unlist() {
                self.ready.pop_front();
                chunk.listed = false;
                if chunk.vacant == ALL && !mem::replace(&mut chunk.noted, true) {
                    self.empty.push(id);
                }
            }
        }
        None
    }

    /// Polls a new task for the first time, and keeps it if it is not ready.
    pub(crate) fn start<P>(&mut self, index: usize, task: F, poll: P) -> Option<Done<F>>
    where
        P: FnOnce(&mut F, &mut Context<'_>) -> Poll<F::Output>,
    {
        let id = self.vacancy();
        let chunk = self.chunks[id].as_mut().unwrap();
        chunk.enter(self.round);
        let bit = chunk.vacant & chunk.vacant.wrapping_neg();
        let place = bit.trailing_zeros() as usize;
        if place == chunk.slots.len() {
            chunk.add_slot(bit);
        }
        chunk.polled |= bit;
        let slot = &mut chunk.slots[place];

        let mut task = Some(task);
        let mut removal = Removal(&mut task);
        let poll = poll(removal.get(), &mut Context::from_waker(&slot.waker));
        if let Poll::Ready(output) = poll {
            let task = removal.take();
            chunk.word.forget(bit);
            return Some(Done {
                index,
                output,
                task,
            });
        }
        mem::forget(removal);

        slot.task = task;
        slot.index = index;
        chunk.vacant ^= bit;
        self.len += 1;
        if chunk.vacant == 0 {
            self.vacancies[id / BITS] &= !(1 << (id % BITS));
        }
        None
    }

    /// Lists the chunks whose tokens were polled. Done at once after each poll of the tokens, so
    /// that no chunk is freed that has arrived.
    fn list_arrivals(&mut self) {
        let Some(tokens) = &self.tokens else { return };
        let mut id = tokens.last.load(Relaxed);
        tokens.last.store(NONE, Relaxed);
        while id != NONE {
            let chunk = self.chunks[id].as_mut().unwrap();
            if !chunk.listed {
                chunk.listed = true;
                self.ready.push_back(id);
            }
            chunk.line.arrived.store(false, Relaxed);
            id = chunk.line.previous.load(Relaxed);
        }
    }

    /// Makes the slot vacant whose task was polled last, and is gone: it was ready, or it has
    /// panicked.
    fn release(&mut self) {
        let Some((id, place)) = self.polling.take() else {
            return;
        };
        let chunk = self.chunks[id].as_mut().unwrap();
        let bit = 1 << place;
        chunk.word.forget(bit);
        chunk.woken &= !bit;
        chunk.vacant |= bit;
        self.len -= 1;
        self.mark_vacancy(id);
    }

    fn mark_vacancy(&mut self, id: usize) {
        self.vacancies[id / BITS] |= 1 << (id % BITS);
        self.first_vacancy = self.first_vacancy.min(id);
    }

    /// The lowest chunk with a vacant slot; made if there is none.
    #[inline]
    fn vacancy(&mut self) -> usize {
        match self.chunks.get(self.first_vacancy) {
            Some(Some(chunk)) if chunk.vacant != 0 => self.first_vacancy,
            _ => self.next_vacancy(),
        }
    }

    #[cold]
    fn next_vacancy(&mut self) -> usize {
        let first = self.first_vacancy / BITS;
        let mut words = self.vacancies.iter().enumerate().skip(first);
        let id = match words.find(|(_, bits)| **bits != 0) {
            Some((word, bits)) => word * BITS + bits.trailing_zeros() as usize,
            None => self.add_chunk(),
        };
        self.first_vacancy = id;
        id
    }

    fn add_chunk(&mut self) -> usize {
        let tokens = self
            .tokens
            .get_or_insert_with(|| Tokens::new(self.parent.clone()));
        let (id, line, token) = tokens.add(self.chunks.len());
        self.list_arrivals();
        // A small group stays small; a large one need not grow its chunks step by step.
        let capacity = if self.chunks.is_empty() { 0 } else { SLOTS };
        let chunk = Chunk {
            slots: Vec::with_capacity(capacity),
            vacant: ALL,
            woken: 0,
            polled: 0,
            round: self.round,
            listed: false,
            noted: false,
            word: Arc::new(Word {
                bits: AtomicUsize::new(0),
                token,
            }),
            line,
        };
        if id == self.chunks.len() {
            self.chunks.push(Some(chunk));
            self.vacancies.resize(id / BITS + 1, 0);
        } else {
            self.chunks[id] = Some(chunk);
        }
        self.mark_vacancy(id);
        id
    }

    /// Frees the chunks that are empty, but one: a task that comes and goes should not make and
    /// free a chunk each time. Done when there is nothing left to poll, because what is empty
    /// before may be filled again.
    pub(crate) fn tidy(&mut self) {
        let mut kept = None;
        while let Some(id) = self.empty.pop() {
            let chunk = self.chunks[id].as_mut().unwrap();
            if chunk.vacant != ALL || chunk.listed {
                chunk.noted = false;
            } else if kept.is_none() {
                kept = Some(id);
            } else {
                // Its number is used again only when its token is gone.
                chunk.line.dismissed.store(true, Relaxed);
                chunk.word.token.wake_by_ref();
                self.chunks[id] = None;
                self.vacancies[id / BITS] &= !(1 << (id % BITS));
            }
        }
        self.empty.extend(kept);
    }
}

impl<F> Tasks<F> {
    /// Takes out all tasks, in no order, and leaves chunks that are good for nothing.
    pub(crate) fn take_tasks(&mut self) -> impl Iterator<Item = F> + use<F> {
        let chunks = mem::take(&mut self.chunks).into_iter().flatten();
        let slots = chunks.flat_map(|chunk| chunk.slots);
        slots.filter_map(|slot| slot.task)
    }
}

/// One after the other, whatever their destructors do.
impl<F> Drop for Tasks<F> {
    fn drop(&mut self) {
        let mut sequence = Sequence::default();
        sequence.drop_each(self.take_tasks());
        sequence.finish();
    }
}

/// A task while it is polled. Dropped when that panics, and then removes the task.
struct Removal<'a, F>(&'a mut Option<F>);

impl<F> Removal<'_, F> {
    fn get(&mut self) -> &mut F {
        self.0.as_mut().expect("a slot whose bit is set has a task")
    }

    fn take(self) -> F {
        let task = self.0.take().expect("a slot whose bit is set has a task");
        mem::forget(self);
        task
    }
}

impl<F> Drop for Removal<'_, F> {
    fn drop(&mut self) {
        // Its destructor may panic, too.
        drop_quietly(self.0.take());
    }
}

impl<F> Chunk<F> {
    fn enter(&mut self, round: usize) {
        if self.round != round {
            self.round = round;
            self.polled = 0;
        }
    }

    /// The woken tasks that may be polled in this round.
    fn now(&mut self) -> Option<usize> {
        let mut now = self.woken & !self.polled;
        if now == 0 && self.word.bits.load(Relaxed) != LISTED {
            // Acquire: pairs with the release of the wakers.
            let bits = self.word.bits.swap(LISTED, Acquire);
            self.woken |= bits & ALL & !self.vacant;
            now = self.woken & !self.polled;
        }
        (now != 0).then_some(now)
    }

    fn add_slot(&mut self, bit: usize) {
        let word = self.word.clone();
        self.slots.push(Slot {
            task: None,
            index: 0,
            waker: Waker::from(Arc::new(SlotWaker { word, bit })),
        });
    }
}

impl Word {
    /// Clears the bit of a slot whose task is gone, so that its last wake does not become a poll
    /// of the next task there.
    fn forget(&self, bit: usize) {
        if self.bits.load(Relaxed) & bit != 0 {
            self.bits.fetch_and(!bit, Relaxed);
        }
    }

    /// Takes the chunk from its list; false if a bit came in meanwhile.
    fn unlist(&self) -> bool {
        self.bits
            .compare_exchange(LISTED, 0, Relaxed, Relaxed)
            .is_ok()
    }
}

/// The tokens of all chunks, and the list on which they put themselves.
struct Tokens {
    set: FuturesUnordered<Token>,
    /// The last chunk that arrived. Written by tokens, which are polled by the owner alone: the
    /// atomics are for the compiler.
    last: Arc<AtomicUsize>,
    /// The numbers of chunks that are gone.
    free: Vec<usize>,
    waker: Waker,
}

/// What a chunk and its token share.
struct Line {
    /// The chunk is on the list of arrivals. Its token may be polled again before the list is
    /// read: a waker that found the word empty may be late to wake the token.
    arrived: AtomicBool,
    /// The chunk that arrived before this one.
    previous: AtomicUsize,
    /// The chunk is gone.
    dismissed: AtomicBool,
    /// The waker of the token, from its first poll until the chunk takes it.
    waker: Lock<Option<Waker>>,
}

struct Token {
    id: usize,
    line: Arc<Line>,
    last: Arc<AtomicUsize>,
    polled: bool,
}

impl Future for Token {
    type Output = usize;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
        if mem::replace(&mut self.polled, true) {
            if self.line.dismissed.load(Relaxed) {
                return Poll::Ready(self.id);
            }
            if !self.line.arrived.load(Relaxed) {
                self.line.arrived.store(true, Relaxed);
                self.line.previous.store(self.last.load(Relaxed), Relaxed);
                self.last.store(self.id, Relaxed);
            }
        } else {
            let waker = cx.waker().clone();
            self.line.waker.with(|place| *place = Some(waker));
        }
        Poll::Pending
    }
}

impl Tokens {
    fn new(parent: Arc<Parent>) -> Self {
        let mut tokens = Tokens {
            set: FuturesUnordered::new(),
            last: Arc::new(AtomicUsize::new(NONE)),
            free: Vec::new(),
            waker: Waker::from(parent),
        };
        // A `FuturesUnordered` wakes its parent when it has polled as many futures as it holds.
        // One token that is never woken keeps it from that.
        tokens.add(NONE);
        tokens
    }

    /// Adds a token for a chunk of a number that is free, or of the one given.
    fn add(&mut self, next: usize) -> (usize, Arc<Line>, Waker) {
        let id = self.free.pop().unwrap_or(next);
        let line = Arc::new(Line {
            arrived: AtomicBool::new(false),
            previous: AtomicUsize::new(NONE),
            dismissed: AtomicBool::new(false),
            waker: Lock::new(None),
        });
        self.set.push(Token {
            id,
            line: line.clone(),
            last: self.last.clone(),
            polled: false,
        });
        loop {
            self.poll();
            // A `FuturesUnordered` may stop early, when another thread is in the middle of a
            // wake; but the token is in its queue.
            if let Some(waker) = line.waker.with(Option::take) {
                return (id, line, waker);
            }
            core::hint::spin_loop();
        }
    }

    /// Polls the tokens that were woken.
    fn poll(&mut self) {
        let mut cx = Context::from_waker(&self.waker);
        while let Poll::Ready(Some(id)) = Pin::new(&mut self.set).poll_next(&mut cx) {
            self.free.push(id);
        }
    }
}
