//! What a group knows of tasks that are more than plain: names, background tasks, aborts.
//!
//! Such tasks are wrapped in futures that keep it up to date themselves, by what they do when they
//! are spawned, done and dropped. So plain tasks pay nothing for it.

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::mem;

use crate::error::{CancelKind, Cancelled};
use crate::parent::Parent;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::sync::atomic::{AtomicBool, AtomicUsize};
use crate::sync::{Arc, Lock};

pub(crate) struct Tally {
    /// How many tasks do not count for the limit: those in the background, and those that have
    /// not said yet that they are up. Changes under the lock of `notes`.
    uncounted: AtomicUsize,
    /// How many of them are in the background. Changes under the lock of `notes`.
    background: AtomicUsize,
    /// The task that has just ended has no outcome. Set by the task, in its poll, and taken by
    /// the owner as soon as that returns.
    silent: AtomicBool,
    /// There is something in `aborted`.
    aborting: AtomicBool,
    notes: Lock<Notes>,
    parent: Arc<Parent>,
}

#[derive(Default)]
struct Notes {
    names: BTreeMap<usize, Cow<'static, str>>,
    /// The indices of the tasks in the background.
    background: BTreeSet<usize>,
    /// The indices of tasks that are to be dropped. It may name some that are gone already.
    aborted: Vec<usize>,
    /// Why tasks are being dropped, or are not taken, if not because the group is over.
    why: Option<Cancelled>,
}

impl Tally {
    pub(crate) fn new(parent: Arc<Parent>) -> Self {
        Tally {
            uncounted: AtomicUsize::new(0),
            background: AtomicUsize::new(0),
            silent: AtomicBool::new(false),
            aborting: AtomicBool::new(false),
            notes: Lock::new(Notes::default()),
            parent,
        }
    }

    pub(crate) fn uncounted(&self) -> usize {
        self.uncounted.load(Acquire)
    }

    pub(crate) fn background(&self) -> usize {
        self.background.load(Acquire)
    }

    pub(crate) fn is_background(&self, index: usize) -> bool {
        self.background() > 0 && self.notes.with(|notes| notes.background.contains(&index))
    }

    #[allow(dead_code, reason = "for the feature `tracing`")]
    pub(crate) fn name(&self, index: usize) -> Option<Cow<'static, str>> {
        self.notes.with(|notes| notes.names.get(&index).cloned())
    }

    pub(crate) fn names(&self) -> Option<BTreeMap<usize, Cow<'static, str>>> {
        self.notes.try_with(|notes| notes.names.clone())
    }

    /// Says that the task that is just ending has no outcome.
    pub(crate) fn silence(&self) {
        self.silent.store(true, Relaxed);
    }

    /// Whether the task that has just ended has no outcome.
    pub(crate) fn take_silence(&self) -> bool {
        self.silent.load(Relaxed) && {
            self.silent.store(false, Relaxed);
            true
        }
    }

    /// Asks the owner to drop a task.
    pub(crate) fn abort(&self, index: usize) {
        self.notes.with(|notes| notes.aborted.push(index));
        self.aborting.store(true, Release);
        self.parent.wake();
    }

    /// The indices of the tasks to drop, in order.
    pub(crate) fn take_aborted(&self) -> Vec<usize> {
        if !self.aborting.load(Relaxed) || !self.aborting.swap(false, Acquire) {
            return Vec::new();
        }
        let mut aborted = self.notes.with(|notes| mem::take(&mut notes.aborted));
        aborted.sort_unstable();
        aborted
    }

    /// Says why tasks will be dropped or refused; `None` if because the group is over. Gives what
    /// was said before.
    pub(crate) fn set_why(&self, why: Option<Cancelled>) -> Option<Cancelled> {
        self.notes.with(|notes| mem::replace(&mut notes.why, why))
    }

    /// Why a task was dropped or refused.
    pub(crate) fn why(&self) -> Cancelled {
        let why = self.notes.with(|notes| notes.why.clone());
        why.unwrap_or_else(|| Cancelled::new(CancelKind::Finished, None))
    }
}

/// Something that is noted of a task until the task is dropped.
pub(crate) struct Note {
    tally: Arc<Tally>,
    /// From when the task is taken.
    index: Option<usize>,
    kind: Kind,
}

enum Kind {
    Name(Cow<'static, str>),
    Background,
    Starting,
}

impl Note {
    fn new(tally: Arc<Tally>, kind: Kind) -> Self {
        Note {
            tally,
            index: None,
            kind,
        }
    }

    pub(crate) fn name(tally: Arc<Tally>, name: Cow<'static, str>) -> Self {
        Note::new(tally, Kind::Name(name))
    }

    pub(crate) fn background(tally: Arc<Tally>) -> Self {
        Note::new(tally, Kind::Background)
    }

    pub(crate) fn starting(tally: Arc<Tally>) -> Self {
        Note::new(tally, Kind::Starting)
    }

    /// The task is taken, under this index.
    pub(crate) fn enter(&mut self, index: usize) {
        self.index = Some(index);
        let tally = &*self.tally;
        let kind = &mut self.kind;
        tally.notes.with(|notes| match kind {
            Kind::Name(name) => {
                notes.names.insert(index, mem::take(name));
            }
            Kind::Background => {
                notes.background.insert(index);
                tally.background.store(tally.background() + 1, Release);
                tally.uncounted.store(tally.uncounted() + 1, Release);
            }
            Kind::Starting => tally.uncounted.store(tally.uncounted() + 1, Release),
        });
    }

    /// The task has succeeded.
    pub(crate) fn succeeded(&self) {
        if let Kind::Background = self.kind {
            self.tally.silence();
        }
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        let Some(index) = self.index else { return };
        let tally = &*self.tally;
        let name = tally.notes.with(|notes| match self.kind {
            Kind::Name(_) => notes.names.remove(&index),
            Kind::Background => {
                notes.background.remove(&index);
                tally.background.store(tally.background() - 1, Release);
                tally.uncounted.store(tally.uncounted() - 1, Release);
                None
            }
            Kind::Starting => {
                tally.uncounted.store(tally.uncounted() - 1, Release);
                None
            }
        });
        drop(name);
    }
}
