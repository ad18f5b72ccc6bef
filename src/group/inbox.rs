//! What a group shares with its spawners.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::mem;
use core::task::Poll;

use crate::engine::parker::Parent;
use crate::group::tally::Tally;
use crate::group::trace;
use crate::util::list::Key;
use crate::util::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use crate::util::sync::atomic::{AtomicBool, AtomicUsize, fence};
use crate::util::sync::{Arc, Lock};
use crate::util::waiters::Notice;

/// A task that waits to be started.
pub(crate) struct Queued<F> {
    pub(crate) index: usize,
    pub(crate) task: F,
}

/// Whether a group takes tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// Dropping its tasks, and open again soon.
    Paused,
    /// Failed.
    Refusing,
    /// Over, for good.
    Closed,
}

/// Tasks that wait to be started.
pub(crate) struct Queue<F> {
    /// In spawn order.
    pub(crate) regular: VecDeque<Queued<F>>,
    /// Those that the limit does not hold up.
    pub(crate) express: VecDeque<Queued<F>>,
}

impl<F> Queue<F> {
    pub(crate) fn new() -> Self {
        Queue {
            regular: VecDeque::new(),
            express: VecDeque::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.regular.len() + self.express.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.regular.is_empty() && self.express.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Queued<F>> {
        self.express.iter().chain(&self.regular)
    }

    pub(crate) fn append(&mut self, other: &mut Self) {
        append(&mut self.regular, &mut other.regular);
        append(&mut self.express, &mut other.express);
    }

    /// Takes out the tasks of these indices, which are in order.
    pub(crate) fn take(&mut self, indices: &[usize]) -> Vec<F> {
        let mut taken = Vec::new();
        for queue in [&mut self.regular, &mut self.express] {
            for queued in mem::take(queue) {
                if indices.binary_search(&queued.index).is_ok() {
                    taken.push(queued.task);
                } else {
                    queue.push_back(queued);
                }
            }
        }
        taken
    }

    pub(crate) fn into_tasks(self) -> impl Iterator<Item = F> {
        let tasks = self.express.into_iter().chain(self.regular);
        tasks.map(|queued| queued.task)
    }
}

/// Moves all of `from` to the end of `to`.
fn append<T>(to: &mut VecDeque<T>, from: &mut VecDeque<T>) {
    if to.is_empty() {
        mem::swap(to, from);
    } else {
        to.append(from);
    }
}

/// Where a task waits.
#[derive(Clone, Copy)]
pub(crate) enum Lane {
    Regular,
    Express,
}

/// Why a task was not taken.
pub(crate) enum Refused {
    Full,
    Closed,
}

/// # Invariants
///
/// 1. `spawned` and `gate` change only while the lock is held, or, as long as there was never a
///    spawner (`shared`), by the owner. So what [`try_push`](Inbox::try_push) tests and what it
///    inserts are one critical section.
/// 2. `finished` and `running` are written by the owner alone. So no counter needs a
///    read-modify-write: each has one writer at a time.
/// 3. A task is in `incoming` only if `mail` is set. The owner takes all of it before it decides
///    that it is done.
pub(crate) struct Inbox<F> {
    /// What was spawned by spawners, or by the owner since there are spawners. All of it comes
    /// after what is in the owner's queue.
    incoming: Lock<Queue<F>>,
    mail: AtomicBool,
    shared: AtomicBool,
    gate: AtomicUsize,
    limit: AtomicUsize,
    /// How many tasks were ever spawned: the index of the next.
    spawned: AtomicUsize,
    /// How many of them are gone.
    finished: AtomicUsize,
    running: AtomicUsize,
    /// Those who wait until there is room.
    room: Notice,
    tally: Arc<Tally>,
    group: trace::Group,
    parent: Arc<Parent>,
}

impl<F> Inbox<F> {
    pub(crate) fn new(parent: Arc<Parent>) -> Self {
        Inbox {
            incoming: Lock::new(Queue::new()),
            mail: AtomicBool::new(false),
            shared: AtomicBool::new(false),
            gate: AtomicUsize::new(Gate::Open as usize),
            limit: AtomicUsize::new(usize::MAX),
            spawned: AtomicUsize::new(0),
            finished: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            room: Notice::default(),
            tally: Arc::new(Tally::new(parent.clone())),
            group: trace::Group::new(),
            parent,
        }
    }

    pub(crate) fn gate(&self) -> Gate {
        match self.gate.load(Acquire) {
            0 => Gate::Open,
            1 => Gate::Paused,
            2 => Gate::Refusing,
            _ => Gate::Closed,
        }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Relaxed)
    }

    pub(crate) fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    pub(crate) fn group(&self) -> trace::Group {
        self.group
    }

    /// How many tasks are running, of those that count.
    pub(crate) fn running(&self) -> usize {
        let running = self.running.load(Relaxed);
        running.saturating_sub(self.tally.uncounted_running())
    }

    /// How many tasks are running or queued, of those that count.
    pub(crate) fn len(&self) -> usize {
        // In this order: a task is spawned before it is finished.
        let finished = self.finished.load(Acquire) + self.tally.uncounted();
        self.spawned.load(Acquire).saturating_sub(finished)
    }

    pub(crate) fn queued(&self) -> usize {
        let running = self.running();
        self.len().saturating_sub(running)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.len() < self.limit()
    }

    /// Waits until there is room (true), or the group takes nothing more (false).
    pub(crate) async fn ready(&self) -> bool {
        let mut waiting = Waiting {
            inbox: self,
            key: None,
        };
        poll_fn(|cx| {
            if let Some(ready) = self.readiness() {
                return Poll::Ready(ready);
            }
            self.room.register(&mut waiting.key, cx.waker());
            // The other fence is in `notice_room`: either the owner sees this waiter there, or
            // what it did before is seen here.
            fence(SeqCst);
            self.readiness().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    fn readiness(&self) -> Option<bool> {
        // In this order: who sees that the tasks of a group are gone sees why.
        let has_room = self.has_room();
        match self.gate() {
            Gate::Open => has_room.then_some(true),
            Gate::Paused => None,
            Gate::Refusing | Gate::Closed => Some(false),
        }
    }

    /// Wakes those who wait for room if there is some, or never will be.
    pub(crate) fn notice_room(&self) {
        if self.is_shared() && self.readiness().is_some() {
            fence(SeqCst);
            self.room.notify();
        }
    }

    /// # Panics
    ///
    /// If `limit` is 0.
    pub(crate) fn set_limit(&self, limit: usize) {
        assert!(
            limit > 0,
            "the limit of a group must not be 0: no task could ever start"
        );
        self.limit.store(limit, Release);
        self.parent.wake();
        self.notice_room();
    }

    /// Takes a task from whoever has a spawner. `erase` makes it of what is given and its index,
    /// and is called under the lock.
    pub(crate) fn push<B>(
        &self,
        task: B,
        erase: impl FnOnce(B, usize) -> F,
        lane: Lane,
    ) -> Result<(), B> {
        let refused = self.insert(task, erase, lane, Self::closed);
        refused.map_err(|(task, _)| task)
    }

    /// The same, if there is room.
    pub(crate) fn try_push<B>(
        &self,
        task: B,
        erase: impl FnOnce(B, usize) -> F,
    ) -> Result<(), (B, Refused)> {
        self.insert(task, erase, Lane::Regular, Self::refusal)
    }

    fn insert<B>(
        &self,
        task: B,
        erase: impl FnOnce(B, usize) -> F,
        lane: Lane,
        refusal: impl FnOnce(&Self) -> Option<Refused>,
    ) -> Result<(), (B, Refused)> {
        let index = self.incoming.with(|incoming| {
            if let Some(refused) = refusal(self) {
                return Err((task, refused));
            }
            let index = self.count();
            let task = erase(task, index);
            let queue = match lane {
                Lane::Regular => &mut incoming.regular,
                Lane::Express => &mut incoming.express,
            };
            queue.push_back(Queued { index, task });
            self.mail.store(true, Release);
            Ok(index)
        })?;
        self.group.spawned(index);
        self.parent.wake();
        Ok(())
    }

    fn closed(&self) -> Option<Refused> {
        (self.gate() != Gate::Open).then_some(Refused::Closed)
    }

    /// Why a task would not be taken just now, if so. Another moment it may be different.
    pub(crate) fn refusal(&self) -> Option<Refused> {
        let full = || (!self.has_room()).then_some(Refused::Full);
        self.closed().or_else(full)
    }

    /// Gives out an index. Under the lock, or by the owner alone.
    fn count(&self) -> usize {
        let index = self.spawned.load(Relaxed);
        self.spawned.store(index + 1, Release);
        index
    }
}

/// For the owner.
impl<F> Inbox<F> {
    /// From now on others may look into the inbox.
    pub(crate) fn share(&self) {
        self.shared.store(true, Relaxed);
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.shared.load(Relaxed)
    }

    /// Puts a task into the owner's queue, or after what spawners have sent already.
    pub(crate) fn push_own<B>(
        &self,
        queue: &mut Queue<F>,
        task: B,
        erase: impl FnOnce(B, usize) -> F,
    ) -> Result<(), B> {
        if self.is_shared() {
            return self.push(task, erase, Lane::Regular);
        }
        if self.gate() != Gate::Open {
            return Err(task);
        }
        self.enqueue(queue, task, erase);
        Ok(())
    }

    /// The same, if there is room.
    pub(crate) fn try_push_own<B>(
        &self,
        queue: &mut Queue<F>,
        task: B,
        erase: impl FnOnce(B, usize) -> F,
    ) -> Result<(), (B, Refused)> {
        if self.is_shared() {
            return self.try_push(task, erase);
        }
        match self.refusal() {
            Some(refused) => Err((task, refused)),
            None => {
                self.enqueue(queue, task, erase);
                Ok(())
            }
        }
    }

    fn enqueue<B>(&self, queue: &mut Queue<F>, task: B, erase: impl FnOnce(B, usize) -> F) {
        let index = self.count();
        let task = erase(task, index);
        queue.regular.push_back(Queued { index, task });
        self.group.spawned(index);
        self.parent.wake_if_parked();
    }

    /// Moves what spawners have sent to the owner's queue.
    pub(crate) fn collect(&self, queue: &mut Queue<F>) {
        if self.mail.load(Acquire) {
            self.incoming.with(|incoming| self.take(incoming, queue));
        }
    }

    /// The same, but if there is nothing, the group has come to its end, and the gate may be
    /// turned in the same section. True if so.
    pub(crate) fn end(&self, queue: &mut Queue<F>, gate: Option<Gate>) -> bool {
        let ended = self.incoming.with(|incoming| {
            if !incoming.is_empty() {
                self.take(incoming, queue);
                return false;
            }
            if let Some(gate) = gate {
                self.set_gate(gate);
            }
            true
        });
        if ended && gate.is_some() {
            self.notice_room();
        }
        ended
    }

    fn take(&self, incoming: &mut Queue<F>, queue: &mut Queue<F>) {
        self.mail.store(false, Relaxed);
        queue.append(incoming);
    }

    /// Lets tasks in again, or keeps them out; unless it is closed, which is for good. Gives out
    /// what is still in the inbox if it does not stay open.
    pub(crate) fn turn(&self, gate: Gate) -> Queue<F> {
        self.incoming.with(|incoming| {
            self.set_gate(gate);
            if self.gate() == Gate::Open {
                return Queue::new();
            }
            self.mail.store(false, Relaxed);
            mem::replace(incoming, Queue::new())
        })
    }

    fn set_gate(&self, gate: Gate) {
        if self.gate() != Gate::Closed {
            self.gate.store(gate as usize, Release);
        }
    }

    /// The indices of the tasks that the owner has not seen yet; `None` if the lock is taken.
    pub(crate) fn unseen(&self) -> Option<Vec<usize>> {
        self.incoming
            .try_with(|incoming| incoming.iter().map(|queued| queued.index).collect())
    }

    /// A queued task is started.
    pub(crate) fn started(&self) {
        self.running.store(self.running.load(Relaxed) + 1, Relaxed);
    }

    /// A running task is gone.
    pub(crate) fn ended(&self) {
        self.running.store(self.running.load(Relaxed) - 1, Relaxed);
        self.dropped(1);
    }

    /// So many tasks that were not running are gone.
    pub(crate) fn dropped(&self, count: usize) {
        let finished = self.finished.load(Relaxed) + count;
        self.finished.store(finished, Release);
    }

    /// All tasks are gone.
    pub(crate) fn emptied(&self) {
        self.running.store(0, Relaxed);
        self.finished.store(self.spawned.load(Acquire), Release);
    }
}

/// A place in the list of those who wait for room.
struct Waiting<'a, F> {
    inbox: &'a Inbox<F>,
    key: Option<Key>,
}

impl<F> Drop for Waiting<'_, F> {
    fn drop(&mut self) {
        self.inbox.room.deregister(&mut self.key);
    }
}
