//! What a group knows of tasks that are more than plain: names, background tasks, aborts.
//!
//! Such tasks are wrapped in futures that keep it up to date themselves, by what they do when they
//! are spawned, done and dropped. So plain tasks pay nothing for it.

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::mem;

use crate::engine::parker::Parent;
use crate::error::{CancelKind, Cancelled};
use crate::util::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::util::sync::atomic::{AtomicBool, AtomicUsize};
use crate::util::sync::{Arc, Lock};

pub(crate) struct Tally {
    /// How many tasks do not count for the limit: those in the background, and those that have
    /// not said yet that they are up. Changes under the lock of `notes`.
    uncounted: AtomicUsize,
    /// How many of them are running. Changes under the lock of `notes`.
    uncounted_running: AtomicUsize,
    /// How many of them are in the background. Changes under the lock of `notes`.
    background: AtomicUsize,
    /// The task that has just ended has no outcome. Set by the task, in its poll, and taken by
    /// the owner as soon as that returns.
    silence: AtomicUsize,
    /// There is something in `aborted`.
    aborting: AtomicBool,
    notes: Lock<Notes>,
    parent: Arc<Parent>,
}

/// Why a task that has ended has no outcome.
#[derive(Clone, Copy)]
pub(crate) enum Silence {
    /// It has one.
    Broken,
    Background,
    Aborted,
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
            uncounted_running: AtomicUsize::new(0),
            background: AtomicUsize::new(0),
            silence: AtomicUsize::new(Silence::Broken as usize),
            aborting: AtomicBool::new(false),
            notes: Lock::new(Notes::default()),
            parent,
        }
    }

    pub(crate) fn uncounted(&self) -> usize {
        self.uncounted.load(Acquire)
    }

    pub(crate) fn uncounted_running(&self) -> usize {
        self.uncounted_running.load(Acquire)
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
    pub(crate) fn silence(&self, why: Silence) {
        self.silence.store(why as usize, Relaxed);
    }

    pub(crate) fn is_silent(&self, why: Silence) -> bool {
        self.silence.load(Relaxed) == why as usize
    }

    /// Whether the task that has just ended has no outcome.
    #[inline]
    pub(crate) fn take_silence(&self) -> bool {
        let silent = !self.is_silent(Silence::Broken);
        if silent {
            self.silence(Silence::Broken);
        }
        silent
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

/// Something that is noted of a task until it ends.
pub(crate) struct Note {
    tally: Arc<Tally>,
    kind: Kind,
    /// From when the task is taken until it ends.
    index: Option<usize>,
    running: bool,
}

#[derive(PartialEq, Eq)]
enum Kind {
    Name(Cow<'static, str>),
    Background,
    Starting,
}

impl Note {
    fn new(tally: Arc<Tally>, kind: Kind) -> Self {
        Note {
            tally,
            kind,
            index: None,
            running: false,
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
        let Note { tally, kind, .. } = self;
        tally.notes.with(|notes| match kind {
            Kind::Name(name) => {
                notes.names.insert(index, mem::take(name));
            }
            Kind::Background => {
                notes.background.insert(index);
                increment(&tally.background);
                increment(&tally.uncounted);
            }
            Kind::Starting => increment(&tally.uncounted),
        });
    }

    /// The task is polled.
    pub(crate) fn run(&mut self) {
        if mem::replace(&mut self.running, true) || matches!(self.kind, Kind::Name(_)) {
            return;
        }
        let tally = &*self.tally;
        tally.notes.with(|_| increment(&tally.uncounted_running));
    }

    /// The task has ended. Before it counts as finished, so that there never seems to be room that
    /// is not.
    pub(crate) fn end(&mut self, succeeded: bool) {
        if succeeded && self.kind == Kind::Background {
            self.tally.silence(Silence::Background);
        }
        self.leave();
    }

    fn leave(&mut self) {
        let Some(index) = self.index.take() else {
            return;
        };
        let Note {
            tally,
            kind,
            running,
            ..
        } = self;
        let name = tally.notes.with(|notes| {
            if let Kind::Name(_) = kind {
                return notes.names.remove(&index);
            }
            if *running {
                decrement(&tally.uncounted_running);
            }
            decrement(&tally.uncounted);
            if *kind == Kind::Background {
                notes.background.remove(&index);
                decrement(&tally.background);
            }
            None
        });
        drop(name);
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        self.leave();
    }
}

/// For a counter that changes only under a lock.
fn increment(counter: &AtomicUsize) {
    counter.store(counter.load(Relaxed) + 1, Release);
}

fn decrement(counter: &AtomicUsize) {
    counter.store(counter.load(Relaxed) - 1, Release);
}
