//! The one cell through which whoever polls a group is woken.

use alloc::task::Wake;
use core::task::Waker;

use futures::task::ArcWake;

use crate::engine::wakers::{self, Bell, Wakers};
use crate::util::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::util::sync::atomic::{AtomicBool, AtomicUsize};
use crate::util::sync::{Arc, SLOTS, TryLock};

/// The owner is running, or will come back without being woken.
const AWAKE: usize = 0;
/// The same, and something happened since it last looked.
const NOTIFIED: usize = 1;
/// The owner returned `Pending`, and the parent's waker is in `waker`.
const PARKED: usize = 2;

/// Wakes the *parent*, the task that polls the *owner* of this: exactly once when the owner is
/// parked, never while it is awake. With it, in one allocation, what wakers have to reach: the
/// word of the first chunk of tasks, and what else the owner shares with others.
///
/// # Invariants
///
/// 1. Only the owner writes `AWAKE` and `PARKED`; anybody writes `NOTIFIED`.
/// 2. What was done before [`wake`](Parker::wake) is seen after the call of
///    [`look`](Parker::look) that returns true for it: both are read-modify-writes of one cell, so
///    the later one reads from the earlier, and the pair is a release and an acquire.
/// 3. `PARKED` is only reached from `AWAKE`. A `wake` after the last `look` has put `NOTIFIED`
///    there, and then [`park`](Parker::park) fails: no wake falls between the last look and the
///    return of `Pending`.
/// 4. The owner touches `waker` only while it is not parked, and others only when they have found
///    it parked. Only if the owner is polled before they come to it do they meet there; then nobody
///    waits for anybody. Whoever wakes goes away: the owner has looked since. The owner does not
///    park: it looks again.
/// 5. `len` and `generation` are written by the owner alone.
pub(crate) struct Parker<S> {
    state: AtomicUsize,
    waker: TryLock<Option<Waker>>,
    /// That of the first chunk.
    word: Word,
    len: AtomicUsize,
    /// How often all tasks were taken out at once. Wakers of an earlier generation wake nobody.
    generation: AtomicUsize,
    pub(crate) shared: S,
}

impl<S: Default> Default for Parker<S> {
    fn default() -> Self {
        Parker {
            state: AtomicUsize::new(AWAKE),
            waker: TryLock::default(),
            word: Word::of_first(),
            len: AtomicUsize::new(0),
            generation: AtomicUsize::new(0),
            shared: S::default(),
        }
    }
}

impl<S> Parker<S> {
    /// Tells the owner that something happened; may be called from anywhere.
    pub(crate) fn wake(&self) {
        // Release: see invariant 2 (models: a_raised_limit_starts_what_is_queued). Acquire: pairs with
        // the release of `park`, so that the lock is not seen as it was when the waker was put there
        // (models: a_task_is_polled_after_its_wake_and_sees_what_came_before).
        if self.state.swap(NOTIFIED, AcqRel) == PARKED {
            if let Some(waker) = self.take_waker() {
                waker.wake();
            }
        }
    }

    /// Says that the task in this slot of the first chunk was woken.
    fn wake_slot(&self, bit: usize, generation: usize) {
        if self.generation.load(Relaxed) == generation && self.word.wake(bit) {
            self.wake();
        }
    }

    /// How many tasks are running.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Relaxed)
    }
}

/// For the owner.
impl<S> Parker<S> {
    /// Like [`wake`](Parker::wake), by the owner itself: it sees what it does, so that there is
    /// nothing to tell while it is awake.
    pub(crate) fn wake_if_parked(&self) {
        if self.state.load(Relaxed) == PARKED {
            self.wake();
        }
    }

    /// Starts or goes on with a poll; true if something happened since the last time.
    pub(crate) fn look(&self) -> bool {
        // Acquire: pairs with the release of `wake`.
        self.state.load(Relaxed) != AWAKE && self.state.swap(AWAKE, Acquire) == NOTIFIED
    }

    /// Ends a poll that is to return `Pending`. False if something happened meanwhile: then the
    /// poll has to go on.
    pub(crate) fn park(&self, waker: &Waker) -> bool {
        if self.state.load(Relaxed) != AWAKE {
            return false;
        }
        if self.word.tidy() {
            return false;
        }
        // Cloned before, and dropped after: both are code of the user.
        let waker = waker.clone();
        let old = self.waker.try_with(|place| place.replace(waker));
        let is_here = old.is_some();
        drop(old);
        is_here
            && self
                .state
                .compare_exchange(AWAKE, PARKED, Release, Relaxed)
                .is_ok()
    }

    /// The parent's waker, if it is still here.
    pub(crate) fn take_waker(&self) -> Option<Waker> {
        self.waker.try_with(Option::take).flatten()
    }

    /// There are no tasks any more.
    pub(super) fn clear(&self) {
        self.len.store(0, Relaxed);
        self.word.clear();
        self.generation
            .store(self.generation.load(Relaxed) + 1, Relaxed);
    }

    pub(super) fn word(&self) -> &Word {
        &self.word
    }

    pub(super) fn count(&self) -> Count<'_> {
        Count(&self.len)
    }
}

/// All slots of a chunk.
pub(super) const ALL: usize = usize::MAX >> (usize::BITS as usize - SLOTS);

/// The bit of a further chunk's word that stands for no slot; that slot is for ever vacant. It is
/// set as long as the owner has the chunk in its list, or somebody hands it over.
const LISTED: usize = 1 << (SLOTS - 1);

/// What the wakers of a chunk's slots share with their owner.
///
/// # Invariants
///
/// 1. `vacant` is written by the owner alone, and a slot is not vacant from before its waker is
///    given to its task. So a waker that finds it vacant is that of a task that is gone.
/// 2. Whoever makes `woken` other than 0 next tells the owner. Whoever finds it other than 0 need
///    not: the one who made it so has told, or is about to.
/// 3. In a further chunk `LISTED` is set with the first bit, and the owner clears it, or sets it when
///    it will look at the chunk anyway. While it is set nobody finds 0, and nobody tells.
/// 4. A waker may come between the two halves of its check: then the bit of a vacant slot is left
///    behind, and by 2 the next wake would tell nobody. So the owner never parks on such a bit; in a
///    further chunk, of which it is told, it takes it with the others (models:
///    a_task_that_is_done_when_it_is_woken_takes_no_wake_of_another_along).
pub(super) struct Word {
    /// The slots whose tasks were woken since the owner last took them.
    woken: AtomicUsize,
    /// The slots without a task, also those that were not made yet.
    vacant: AtomicUsize,
    /// What is no slot: nothing in the first chunk, `LISTED` in a further one.
    listed: usize,
}

impl Word {
    fn of_first() -> Self {
        Word::new(0)
    }

    pub(super) fn of_further() -> Self {
        Word::new(LISTED)
    }

    fn new(listed: usize) -> Self {
        Word {
            woken: AtomicUsize::new(0),
            vacant: AtomicUsize::new(ALL),
            listed,
        }
    }

    /// Says that the task in this slot was woken. True if the owner has to be told.
    #[inline]
    pub(super) fn wake(&self, bit: usize) -> bool {
        // Release: the poll that takes the bit sees what was done before the wake (models:
        // a_task_is_polled_after_its_wake_and_sees_what_came_before). Acquire: see `unlist`.
        let bits = bit | self.listed;
        self.vacant.load(Relaxed) & bit == 0 && self.woken.fetch_or(bits, AcqRel) == 0
    }
}

/// For the owner.
impl Word {
    #[inline]
    fn vacant(&self) -> usize {
        self.vacant.load(Relaxed)
    }

    /// The slots that may get a task.
    #[inline]
    pub(super) fn free(&self) -> usize {
        self.vacant() & !self.listed
    }

    /// Whether there is no task.
    pub(super) fn is_empty(&self) -> bool {
        self.vacant() == ALL
    }

    /// Of a further chunk: the owner will look at it. False if it was listed already, which may be
    /// because somebody is about to hand it over.
    pub(super) fn list(&self) -> bool {
        self.woken.fetch_or(self.listed, Relaxed) == 0
    }

    /// Of a further chunk in the hands of the owner, who will not look at it before it is told. False
    /// if something was woken meanwhile.
    pub(super) fn unlist(&self) -> bool {
        // Release: whoever hands the chunk over next does so after the owner has taken it the last time
        // (models: tasks_of_two_further_chunks_are_woken_by_two_threads).
        self.woken
            .compare_exchange(self.listed, 0, Release, Relaxed)
            .is_ok()
    }

    /// The slot gets a task.
    pub(super) fn occupy(&self, bit: usize) {
        self.vacant.store(self.vacant() & !bit, Relaxed);
    }

    /// The task in the slot is gone. Clears its bit, too, so that its last wake does not become a
    /// poll of the next task there.
    pub(super) fn vacate(&self, bit: usize) {
        self.vacant.store(self.vacant() | bit, Relaxed);
        if self.woken.load(Relaxed) & bit != 0 {
            self.woken.fetch_and(!bit, Relaxed);
        }
    }

    /// Clears the bits of vacant slots, for invariant 4. True if a task is woken, of which perhaps
    /// nobody was told.
    fn tidy(&self) -> bool {
        let vacant = self.vacant();
        self.woken.load(Relaxed) & vacant != 0
            && self.woken.fetch_and(!vacant, Relaxed) & !vacant != 0
    }

    /// All tasks are gone.
    fn clear(&self) {
        self.vacant.store(ALL, Relaxed);
        // A swap, as wakers of tasks that are gone may still change it: like this all changes of it
        // stand in one order.
        self.woken.swap(0, Relaxed);
    }

    /// The tasks that were woken, without taking them.
    #[inline]
    pub(super) fn woken(&self) -> usize {
        self.woken.load(Relaxed) & !self.vacant()
    }

    /// Takes the tasks that were woken.
    #[inline]
    pub(super) fn take(&self) -> usize {
        match self.woken.load(Relaxed) & !self.listed {
            0 => 0,
            // Acquire: pairs with the release of the wakers.
            _ => self.woken.swap(self.listed, Acquire) & !self.vacant(),
        }
    }
}

/// How many tasks are running, in the hands of the owner.
#[derive(Clone, Copy)]
pub(super) struct Count<'a>(&'a AtomicUsize);

impl Count<'_> {
    pub(super) fn add_one(self) {
        self.0.store(self.0.load(Relaxed) + 1, Relaxed);
    }

    pub(super) fn subtract_one(self) {
        self.0.store(self.0.load(Relaxed) - 1, Relaxed);
    }
}

impl<S: Send + Sync + 'static> Parker<S> {
    /// Makes the waker of a slot of the first chunk, and perhaps that of the next one. Those of the
    /// very first two are the parker itself: a group of two tasks makes no others.
    pub(super) fn wakers(self: &Arc<Self>, place: usize) -> Wakers {
        match (place, self.generation.load(Relaxed)) {
            (0, 0) => Wakers::OfParker,
            (1, 0) => Wakers::One(Waker::from(self.clone())),
            (_, generation) => {
                let parker = self.clone();
                wakers::pair(First { parker, generation }, place)
            }
        }
    }
}

/// The waker of the first slot, which can be lent without being counted.
impl<S: Send + Sync + 'static> ArcWake for Parker<S> {
    fn wake_by_ref(this: &Arc<Self>) {
        this.wake_slot(1, 0);
    }
}

/// That of the second one.
impl<S: Send + Sync + 'static> Wake for Parker<S> {
    fn wake(self: Arc<Self>) {
        self.wake_slot(2, 0);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_slot(2, 0);
    }
}

/// For the other slots of the first chunk.
struct First<S> {
    parker: Arc<Parker<S>>,
    generation: usize,
}

impl<S: Send + Sync + 'static> Bell for First<S> {
    fn wake_slot(&self, bit: usize) {
        self.parker.wake_slot(bit, self.generation);
    }
}

/// Whether something that is polled beside the tasks was woken.
pub(super) struct WokenFlag<S> {
    woken: AtomicBool,
    parker: Arc<Parker<S>>,
}

impl<S> WokenFlag<S> {
    pub(super) fn new(parker: Arc<Parker<S>>) -> Self {
        WokenFlag {
            woken: AtomicBool::new(true),
            parker,
        }
    }

    pub(super) fn is_set(&self) -> bool {
        self.woken.load(Relaxed)
    }

    pub(super) fn take(&self) -> bool {
        // Acquire: pairs with the release of the waker, as for a word (models:
        // what_drives_a_group_is_polled_after_its_wake).
        self.is_set() && self.woken.swap(false, Acquire)
    }
}

impl<S: Send + Sync + 'static> Wake for WokenFlag<S> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Whoever finds it set need not wake: the one who set it has, or is about to.
        if !self.woken.swap(true, Release) {
            Parker::wake(&self.parker);
        }
    }
}
