//! Polling a set of tasks: fairly, and waking the parent no more than it must.

pub(crate) mod beside;
pub(crate) mod parker;
pub(crate) mod tasks;

use core::future::Future;
use core::mem;
use core::task::{Context, Poll};

use crate::engine::parker::Parent;
use crate::engine::tasks::{Done, Tasks};
use crate::util::sync::Arc;

/// How many tasks are polled between two returns of `Pending`.
const BUDGET: usize = 256;
/// How many of them may be woken ones while there are new ones to start.
const WOKEN_SHARE: usize = 240;
/// How often one poll goes on because it was woken while it ran.
const RETRIES: usize = 64;

/// Running tasks, and what they are polled with.
///
/// A poll goes like this: [`enter`](Engine::enter); then [`poll_woken`](Engine::poll_woken) and
/// [`start`](Engine::start) as long as there is something to do; then [`park`](Engine::park),
/// which ends the poll or says that there is more to do.
pub(crate) struct Engine<F> {
    tasks: Tasks<F>,
    parent: Arc<Parent>,
    /// How many more tasks may be polled before `Pending` has to be returned.
    budget: usize,
    /// How many more woken ones, while there are new ones to start.
    woken_share: usize,
    /// The last poll returned `Pending`, so that the next begins with a new budget.
    pending: bool,
    /// How often this poll may still go on because it was woken, without finding a task to poll.
    retries: usize,
    /// What was left of the budget when it last went on.
    left: usize,
}

impl<F: Future + Unpin> Engine<F> {
    pub(crate) fn new() -> Self {
        let parent = Arc::new(Parent::new());
        Engine {
            tasks: Tasks::new(parent.clone()),
            parent,
            budget: BUDGET,
            woken_share: WOKEN_SHARE,
            pending: false,
            retries: RETRIES,
            left: BUDGET,
        }
    }

    pub(crate) fn parent(&self) -> &Arc<Parent> {
        &self.parent
    }

    /// How many tasks there are.
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// The indices of the tasks, in no order.
    pub(crate) fn indices(&self) -> impl Iterator<Item = usize> {
        self.tasks.indices()
    }

    /// Begins a poll. False if it has to end at once, because the budget is spent.
    pub(crate) fn enter(&mut self, cx: &mut Context<'_>) -> bool {
        if mem::take(&mut self.pending) {
            self.budget = BUDGET;
            self.woken_share = WOKEN_SHARE;
        }
        if self.budget == 0 {
            self.yield_to_others(cx);
            return false;
        }
        self.retries = RETRIES;
        self.left = self.budget;
        self.tasks.begin_round();
        self.look();
        true
    }

    /// Finds out which tasks were woken.
    fn look(&mut self) {
        if self.parent.enter() {
            self.tasks.gather();
        }
    }

    /// Whether a woken task may be waiting to be polled.
    pub(crate) fn is_ready(&self) -> bool {
        self.tasks.is_ready()
    }

    pub(crate) fn has_budget(&self) -> bool {
        self.budget > 0
    }

    /// Polls woken tasks until one is done. Leaves something of the budget if there is one to
    /// start.
    pub(crate) fn poll_woken<P>(&mut self, startable: bool, poll: P) -> Option<Done<F>>
    where
        P: FnMut(&mut F, &mut Context<'_>) -> Poll<F::Output>,
    {
        let share = if startable {
            self.woken_share.min(self.budget)
        } else {
            self.budget
        };
        let mut left = share;
        let done = self.tasks.poll_woken(&mut left, poll);
        self.budget -= share - left;
        self.woken_share = self.woken_share.saturating_sub(share - left);
        done
    }

    /// Starts a task.
    pub(crate) fn start<P>(&mut self, index: usize, task: F, poll: P) -> Option<Done<F>>
    where
        P: FnOnce(&mut F, &mut Context<'_>) -> Poll<F::Output>,
    {
        self.budget -= 1;
        self.tasks.start(index, task, poll)
    }

    /// Ends a poll that has nothing left to do, to return `Pending`. False if something happened
    /// meanwhile, so that it has to go on. With `more`, there is something to do in the next poll.
    pub(crate) fn park(&mut self, cx: &mut Context<'_>, more: bool) -> bool {
        let more = more || self.tasks.is_ready() || self.tasks.is_deferred();
        if !more {
            self.tasks.tidy();
            if self.parent.park(cx.waker()) {
                self.pending = true;
                return true;
            }
        }
        if self.budget < self.left {
            self.retries = RETRIES;
        }
        // Another thread that wakes and wakes, and never to any effect, must not hold us here.
        if more || self.budget == 0 || self.retries == 0 {
            self.yield_to_others(cx);
            return true;
        }
        self.left = self.budget;
        self.retries -= 1;
        self.look();
        false
    }

    /// Returns `Pending` only to be polled again.
    fn yield_to_others(&mut self, cx: &mut Context<'_>) {
        self.pending = true;
        cx.waker().wake_by_ref();
    }

    /// Takes all tasks out, in no order.
    pub(crate) fn take_tasks(&mut self) -> impl Iterator<Item = F> + use<F> {
        mem::replace(&mut self.tasks, Tasks::new(self.parent.clone())).take_tasks()
    }
}
