//! What a group shares with its spawners, handles and tasks, and has in one allocation with the
//! cell that wakes it.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::mem;

use crate::engine::parker::Parker;
use crate::error::{CancelKind, Cancelled};
use crate::group::trace;
use crate::util::sync::Lock;
use crate::util::sync::atomic::AtomicUsize;
use crate::util::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// The parker of a group.
pub(crate) type Hub = Parker<Shared>;

/// The index that the body of a scope has, which is no task.
pub(crate) const BODY: usize = usize::MAX;

/// Whether a group takes tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// Dropping its tasks, and open again soon.
    Paused,
    /// It has failed, and takes nothing until its failure was handed over.
    Failed,
    /// Over, for good.
    Closed,
}

/// The counters of a group, whether it takes tasks, and what is noted of them or asked of it.
///
/// # Invariants
///
/// 1. `spawned` and `gate` change only while the mail is locked, or, as long as there is no mail,
///    by the owner. So what `try_spawn` tests and what it inserts are one critical section.
/// 2. `gone` is written by the owner alone. `uncounted`, `uncounted_running` and `background` change
///    under the lock of `notes`. So none of these counters needs a read-modify-write; `open` does,
///    which anybody changes at any time.
/// 3. Somebody else who wants the owner to do something first puts down what, then raises its bit
///    in `asked`, then wakes it.
/// 4. The gate is turned after its reason was set, and the reason changes while it is turned only with
///    it, in one section: whoever sees the one with the mail locked finds the other.
pub(crate) struct Shared {
    gate: AtomicUsize,
    /// What the owner should look at: `MAIL`, `ABORT`.
    asked: AtomicUsize,
    limit: AtomicUsize,
    /// How many tasks were ever spawned: the index of the next.
    spawned: AtomicUsize,
    /// How many of them are gone.
    gone: AtomicUsize,
    /// How many tasks do not count for the limit: those in the background, and those that have
    /// not said yet that they are up.
    uncounted: AtomicUsize,
    /// How many of them are running, and the body of a scope.
    uncounted_running: AtomicUsize,
    /// How many tasks are in the background.
    background: AtomicUsize,
    /// How many `KeepOpen`s there are.
    open: AtomicUsize,
    notes: Lock<Notes>,
    pub(super) trace: trace::Group,
}

/// There is mail.
pub(super) const MAIL: usize = 1;
/// Tasks are to be dropped.
const ABORT: usize = 2;

#[derive(Default)]
struct Notes {
    /// Why tasks are being dropped, or are not taken, if not because the group is over.
    reason: Option<Cancelled>,
    rare: Option<Box<Rare>>,
}

/// What most groups never need.
#[derive(Default)]
struct Rare {
    names: BTreeMap<usize, Cow<'static, str>>,
    /// The tasks that do not count, by index.
    uncounted: BTreeMap<usize, Uncounted>,
    /// Which tasks to drop.
    aborts: Aborts,
    /// The tasks that were aborted one by one and are not gone, also when the owner has looked.
    aborted: BTreeSet<usize>,
}

/// Why a task does not count for the limit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Uncounted {
    Background,
    Starting,
}

/// Which tasks to drop. It may name some that are gone already.
#[derive(Default)]
pub(super) struct Aborts {
    pub(super) indices: Vec<usize>,
    /// All that were spawned before this one.
    pub(super) below: usize,
}

impl Default for Shared {
    fn default() -> Self {
        Shared {
            gate: AtomicUsize::new(Gate::Open as usize),
            asked: AtomicUsize::new(0),
            limit: AtomicUsize::new(usize::MAX),
            spawned: AtomicUsize::new(0),
            gone: AtomicUsize::new(0),
            uncounted: AtomicUsize::new(0),
            uncounted_running: AtomicUsize::new(0),
            background: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            notes: Lock::default(),
            trace: trace::Group::new(),
        }
    }
}

/// For everybody.
impl Shared {
    pub(super) fn gate(&self) -> Gate {
        // Acquire: who sees the group closed sees what its tasks did (models:
        // who_sees_a_group_closed_sees_what_its_tasks_did).
        match self.gate.load(Acquire) {
            0 => Gate::Open,
            1 => Gate::Paused,
            2 => Gate::Failed,
            _ => Gate::Closed,
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit.load(Relaxed)
    }

    /// # Panics
    ///
    /// If `limit` is 0.
    #[track_caller]
    pub(super) fn set_limit(&self, limit: usize) {
        assert!(
            limit > 0,
            "the limit of a group must not be 0: no task could ever start"
        );
        self.limit.store(limit, Relaxed);
    }

    /// How many tasks are running or queued, of those that count.
    pub(super) fn len(&self) -> usize {
        // In this order: a task is spawned before it does not count, and that ends before it is gone
        // (models: a_task_that_counts_is_counted_while_others_come_and_go).
        let gone = self.gone.load(Acquire) + self.uncounted.load(Acquire);
        self.spawned.load(Relaxed).saturating_sub(gone)
    }

    pub(super) fn has_room(&self) -> bool {
        self.len() < self.limit()
    }

    /// Why a task was dropped or refused.
    pub(super) fn reason(&self) -> Cancelled {
        let reason = self.notes.with(|notes| notes.reason.clone());
        reason.unwrap_or_else(|| Cancelled::new(CancelKind::Finished, None))
    }

    #[allow(dead_code, reason = "for the feature `tracing`")]
    pub(super) fn name(&self, index: usize) -> Option<Cow<'static, str>> {
        let rare = |notes: &mut Notes| notes.rare.as_ref()?.names.get(&index).cloned();
        self.notes.with(rare)
    }

    /// The names of tasks, unless somebody is just writing there.
    pub(super) fn names(&self) -> BTreeMap<usize, Cow<'static, str>> {
        let names = |notes: &mut Notes| Some(notes.rare.as_ref()?.names.clone());
        self.notes.try_with(names).flatten().unwrap_or_default()
    }

    /// The indices of the tasks in the background.
    pub(super) fn background(&self) -> Vec<usize> {
        self.notes.with(|notes| {
            let uncounted = notes.rare.iter().flat_map(|rare| &rare.uncounted);
            let background = uncounted.filter(|(_, why)| **why == Uncounted::Background);
            background.map(|(index, _)| *index).collect()
        })
    }

    /// The tasks that were aborted one by one and are not gone.
    pub(super) fn aborted(&self) -> BTreeSet<usize> {
        let aborted = |notes: &mut Notes| Some(notes.rare.as_ref()?.aborted.clone());
        self.notes.with(aborted).unwrap_or_default()
    }

    /// A task that was aborted is gone.
    pub(super) fn forget_aborted(&self, index: usize) {
        self.notes.with(|notes| {
            if let Some(rare) = &mut notes.rare {
                rare.aborted.remove(&index);
            }
        });
    }

    pub(super) fn is_uncounted(&self, index: usize) -> bool {
        let rare = |notes: &mut Notes| Some(notes.rare.as_ref()?.uncounted.contains_key(&index));
        self.notes.with(rare).unwrap_or(false)
    }

    pub(super) fn open(&self) -> usize {
        // Acquire: the end of the group sees what was done before each of them was dropped (models:
        // the_end_of_a_group_sees_what_was_done_before_each_keep_open_was_dropped).
        self.open.load(Acquire)
    }

    /// Gives out an index. With the mail locked, or by the owner of a group without mail.
    pub(super) fn count(&self) -> usize {
        let index = self.spawned.load(Relaxed);
        self.spawned.store(index + 1, Relaxed);
        index
    }

    pub(super) fn ask(&self, what: usize) {
        // Relaxed: what was put down lies behind a lock, and whoever sees the bit locks that later.
        self.asked.fetch_or(what, Relaxed);
    }
}

/// For the tasks about which something is noted.
impl Shared {
    pub(super) fn insert_name(&self, index: usize, name: Cow<'static, str>) {
        self.notes.with(|notes| {
            let rare = notes.rare.get_or_insert_default();
            rare.names.insert(index, name);
        });
    }

    pub(super) fn remove_name(&self, index: usize) {
        let name = |notes: &mut Notes| notes.rare.as_mut()?.names.remove(&index);
        drop(self.notes.with(name));
    }

    pub(super) fn insert_uncounted(&self, index: usize, why: Uncounted) {
        self.notes.with(|notes| {
            let rare = notes.rare.get_or_insert_default();
            rare.uncounted.insert(index, why);
            increment(&self.uncounted);
            if why == Uncounted::Background {
                increment(&self.background);
            }
        });
    }

    /// False if it was not one of them any more.
    pub(super) fn remove_uncounted(&self, index: usize) -> bool {
        self.notes.with(|notes| self.forget_uncounted(notes, index))
    }

    fn forget_uncounted(&self, notes: &mut Notes, index: usize) -> bool {
        let rare = notes.rare.as_mut();
        let Some(why) = rare.and_then(|rare| rare.uncounted.remove(&index)) else {
            return false;
        };
        decrement(&self.uncounted);
        if why == Uncounted::Background {
            decrement(&self.background);
        }
        true
    }

    /// A task that does not count is running.
    pub(super) fn runs_uncounted(&self) {
        self.notes.with(|_| increment(&self.uncounted_running));
    }

    /// It is not, or counts from now on.
    pub(super) fn ran_uncounted(&self) {
        self.notes.with(|_| decrement(&self.uncounted_running));
    }
}

/// For the owner.
impl Shared {
    /// Turns the gate, unless it is closed, which is for good. With the mail locked, if there is
    /// one.
    pub(super) fn turn(&self, gate: Gate) {
        if self.gate() != Gate::Closed {
            self.gate.store(gate as usize, Release);
        }
    }

    /// Says why tasks will be dropped or refused; `None` if because the group is over. Gives what
    /// was said before.
    pub(super) fn set_reason(&self, reason: Option<Cancelled>) -> Option<Cancelled> {
        self.notes
            .with(|notes| mem::replace(&mut notes.reason, reason))
    }

    /// What others have asked for since the last time.
    #[inline]
    pub(super) fn take_asked(&self) -> usize {
        match self.asked.load(Relaxed) {
            0 => 0,
            _ => self.asked.swap(0, Relaxed),
        }
    }

    pub(super) fn is_asked(&self) -> bool {
        self.asked.load(Relaxed) != 0
    }

    pub(super) fn take_aborts(&self, asked: usize) -> Aborts {
        if asked & ABORT == 0 {
            return Aborts::default();
        }
        let aborts = |notes: &mut Notes| Some(mem::take(&mut notes.rare.as_mut()?.aborts));
        self.notes.with(aborts).unwrap_or_default()
    }

    /// So many tasks are gone.
    #[inline]
    pub(super) fn leave(&self, count: usize) {
        self.gone.store(self.gone.load(Relaxed) + count, Release);
    }

    /// These tasks are gone, of which some were running: they are dropped after this. Those that did
    /// not count are none of the others that their destructors see.
    pub(super) fn leave_together(
        &self,
        running: impl ExactSizeIterator<Item = usize>,
        queued: impl Iterator<Item = usize>,
    ) {
        let mut count = running.len();
        self.notes.with(|notes| {
            for index in running {
                if self.forget_uncounted(notes, index) {
                    decrement(&self.uncounted_running);
                }
            }
            for index in queued {
                self.forget_uncounted(notes, index);
                count += 1;
            }
        });
        self.leave(count);
    }

    /// All tasks are gone.
    pub(super) fn leave_all(&self) {
        // Release: who sees the room sees the gate, which was turned before (models:
        // who_waits_for_room_is_woken_when_the_group_fails_or_is_dropped).
        self.gone.store(self.spawned.load(Relaxed), Release);
    }
}

impl Hub {
    /// How many tasks are running, of those that count.
    pub(super) fn running(&self) -> usize {
        let uncounted = self.shared.uncounted_running.load(Relaxed);
        self.len().saturating_sub(uncounted)
    }

    pub(super) fn queued(&self) -> usize {
        let running = self.running();
        self.shared.len().saturating_sub(running)
    }

    /// Whether the limit allows for one more task to run.
    pub(super) fn has_slot(&self) -> bool {
        let limit = self.shared.limit();
        self.len() < limit || self.running() < limit
    }

    /// Whether all that is running is in the background.
    pub(super) fn is_idle(&self) -> bool {
        self.len() == self.shared.background.load(Relaxed)
    }

    /// Asks the owner to drop a task.
    pub(super) fn abort(&self, index: usize, is_gone: impl Fn() -> bool) {
        self.ask_for(|rare| {
            rare.aborts.indices.push(index);
            if !is_gone() {
                rare.aborted.insert(index);
            }
        });
    }

    /// Asks the owner to drop all tasks that were spawned so far.
    pub(super) fn abort_all(&self) {
        let spawned = self.shared.spawned.load(Relaxed);
        // Somebody else may have asked in the meantime for more.
        self.ask_for(|rare| rare.aborts.below = rare.aborts.below.max(spawned));
    }

    fn ask_for(&self, change: impl FnOnce(&mut Rare)) {
        self.shared
            .notes
            .with(|notes| change(notes.rare.get_or_insert_default()));
        self.shared.ask(ABORT);
        self.wake();
    }

    pub(super) fn keep_open(&self) {
        self.shared.open.fetch_add(1, Relaxed);
    }

    pub(super) fn let_go(&self) {
        // Release: see `open`.
        if self.shared.open.fetch_sub(1, Release) == 1 {
            self.wake();
        }
    }
}

/// For a counter that changes only under a lock. Release: see `Shared::len`.
fn increment(counter: &AtomicUsize) {
    counter.store(counter.load(Relaxed) + 1, Release);
}

fn decrement(counter: &AtomicUsize) {
    counter.store(counter.load(Relaxed) - 1, Release);
}
