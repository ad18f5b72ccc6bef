//! How a group comes to an end, and how its tasks are dropped before theirs.

use alloc::vec::Vec;
use core::future::Future;
use core::mem;
use core::task::Context;

use crate::error::{CancelKind, Cancelled};
use crate::group::aim::{Aim, End};
use crate::group::doomed::Remains;
use crate::group::driver::Driver;
use crate::group::queue::Queue;
use crate::group::shared::{BODY, Gate};
use crate::util::panic::{Sequence, sequence};
use crate::util::sync::catch;

/// Failing, aborting and ending.
impl<T, E, F, G> Driver<T, E, F, G>
where
    F: Future<Output = Option<Result<T, E>>> + Unpin,
    G: Future + Unpin,
{
    /// An error came.
    #[cold]
    pub(super) fn error(&mut self, cx: &mut Context<'_>, index: usize, error: E, aim: Aim) {
        let kept = self.feed.kept.get_or_insert_default();
        // The first error in time stays the failure, and `.await` wants no other.
        if !aim.keeps_outcomes() && kept.has_error() {
            return;
        }
        // The body of a scope runs in a failed group only if the failure was handed over.
        if aim.fails() && index != BODY && self.engine.parker().shared.gate() == Gate::Failed {
            return;
        }
        kept.push_error(index, error);
        let fails = aim.fails() && !self.keep_going;
        let cancels = aim.cancels() && self.graceful.as_ref().is_some_and(|it| it.is_live());
        let trace = self.share().shared.trace;
        sequence(|steps| {
            let mut reason = Cancelled::new(CancelKind::TaskFailed, None);
            if let Some(graceful) = &mut self.graceful {
                if cancels {
                    let error = self.feed.kept.as_ref().and_then(|kept| kept.last_error());
                    let cause_from = self.cause_from.zip(error);
                    let mut cause = None;
                    steps.run(|| cause = cause_from.map(|(cause_from, error)| cause_from(error)));
                    steps.run(|| graceful.cancel(CancelKind::TaskFailed, cause, trace));
                }
                reason = graceful.reason().unwrap_or(reason);
            }
            if fails {
                self.set_reason(Some(reason));
                match self.graceful {
                    None => self.drop_tasks(Gate::Failed, steps),
                    Some(_) => self.drop_queue(steps),
                }
            }
        });
        if cancels {
            // The grace begins in this poll.
            self.poll_graceful(cx);
        }
    }

    /// Polls the context and the grace.
    #[inline]
    pub(super) fn poll_graceful(&mut self, cx: &mut Context<'_>) {
        if self.graceful.is_some() {
            self.poll_context(cx);
        }
    }

    #[inline(never)]
    fn poll_context(&mut self, cx: &mut Context<'_>) {
        let trace = self.share().shared.trace;
        let is_closed = self.gate() == Gate::Closed;
        let Some(graceful) = &mut self.graceful else {
            return;
        };
        // What is closed for good has nothing to grant a grace to.
        if !is_closed && graceful.poll(cx, trace) {
            self.poll_grace(cx);
        }
        // Who fails wants the first error alone.
        while !(self.feed.aim.fails()
            && self.feed.kept.as_ref().is_some_and(|kept| kept.has_error()))
        {
            let cut = self
                .graceful
                .as_mut()
                .and_then(|graceful| graceful.next_cut());
            let Some((index, error)) = cut else { break };
            self.feed
                .kept
                .get_or_insert_default()
                .push_error(index, error);
        }
    }

    #[cold]
    fn poll_grace(&mut self, cx: &mut Context<'_>) {
        sequence(|steps| {
            let graceful = self.graceful.as_mut();
            if graceful.is_some_and(|graceful| graceful.poll_grace(cx, steps)) {
                steps.run(|| self.cut_off());
            }
        });
    }

    /// Drops what is left when the grace is over.
    #[cold]
    fn cut_off(&mut self) {
        let hub = self.share().clone();
        let reason = self.graceful.as_ref().and_then(|it| it.reason());
        let _before = self.turn_because(Gate::Failed, reason);
        let background = hub.shared.background();
        let mut indices: Vec<_> = self
            .engine
            .indices()
            .chain(self.feed.queue.indices())
            .collect();
        indices.retain(|index| background.binary_search(index).is_err());
        // One that was aborted has no outcome, though it is still here.
        let aborts = hub.shared.take_aborts(hub.shared.take_asked());
        let aborted = hub.shared.aborted();
        indices.retain(|index| *index >= aborts.below && !aborted.contains(index));
        if self.feed.queue.has_body() {
            indices.push(BODY);
        }
        indices.sort_unstable();
        self.keep_caught();
        if let Some(graceful) = &mut self.graceful {
            graceful.cut(indices);
        }
        sequence(|steps| {
            steps.run(|| hub.shared.trace.grace_over());
            self.drop_tasks(Gate::Failed, steps);
        });
    }

    /// Keeps the errors of tasks that were aborted before the grace was over.
    fn keep_caught(&mut self) {
        for (index, remains) in mem::take(&mut self.doomed) {
            match remains {
                Remains::Error(error) => {
                    self.feed
                        .kept
                        .get_or_insert_default()
                        .push_error(index, error);
                }
                task => self.doomed.push(index, task),
            }
        }
    }

    pub(super) fn set_reason(&mut self, reason: Option<Cancelled>) -> Option<Cancelled> {
        self.share().shared.set_reason(reason)
    }

    /// There is a value, and nothing else matters.
    pub(super) fn succeed(&mut self) -> End {
        sequence(|steps| {
            self.drop_tasks(Gate::Closed, steps);
            steps.run(|| self.finish());
        });
        End::Success
    }

    /// Turns the gate, and takes in what is in the mail.
    pub(super) fn turn(&mut self, gate: Gate) {
        match &self.mail {
            Some(mail) => mail.turn(&mut self.feed.queue, gate, || {}),
            None => self.share().shared.turn(gate),
        }
    }

    /// The same together with the reason for it. Gives the one before.
    pub(super) fn turn_because(
        &mut self,
        gate: Gate,
        reason: Option<Cancelled>,
    ) -> Option<Cancelled> {
        let hub = self.share().clone();
        let mut before = None;
        let change = || before = hub.shared.set_reason(reason);
        match &self.mail {
            Some(mail) => mail.turn(&mut self.feed.queue, gate, change),
            None => {
                change();
                hub.shared.turn(gate);
            }
        }
        before
    }

    fn take_queue(&mut self) -> Option<Queue<F>> {
        let is_empty = self.feed.queue.is_empty();
        (!is_empty).then(|| mem::replace(&mut self.feed.queue, Queue::new()))
    }

    /// Drops every task. The gate is closed to new ones before, and stays so.
    fn drop_tasks(&mut self, gate: Gate, steps: &mut Sequence) {
        self.turn(gate);
        let queue = self.take_queue();
        let running = (self.engine.len() > 0).then(|| self.engine.take_tasks());
        let doomed = mem::take(&mut self.doomed);
        self.share().shared.leave_all();
        if let Some(running) = running {
            running.drop_each(steps);
        }
        if let Some(queue) = queue {
            queue.drop_each(steps);
        }
        if !doomed.is_empty() {
            steps.drop_each(doomed);
        }
        steps.run(|| self.notice_room());
    }

    /// Drops the queued tasks, and refuses new ones.
    fn drop_queue(&mut self, steps: &mut Sequence) {
        self.turn(Gate::Failed);
        if let Some(queue) = self.take_queue() {
            let shared = &self.share().shared;
            shared.leave_together([].into_iter(), queue.indices());
            queue.drop_each(steps);
        }
    }

    /// Drops every task; the group goes on.
    pub(super) fn abort(&mut self) {
        if let Some(mail) = &self.mail {
            mail.collect(&mut self.feed.queue, None);
        }
        if self.hub().is_some() {
            self.abort_below(BODY);
        }
    }

    /// Drops the tasks that were spawned before the one with this index, but not the body of a
    /// scope. Meanwhile the group takes no others.
    #[cold]
    pub(super) fn abort_below(&mut self, below: usize) {
        let running = self.engine.take_below(below);
        let queued = self.feed.queue.take_below(below);
        let doomed = mem::take(&mut self.doomed);
        let hub = self.share().clone();
        let before = self.gate();
        let reason = Some(Cancelled::new(CancelKind::Cancelled, None));
        let reason = self.turn_because(Gate::Paused, reason);
        sequence(|steps| {
            // Only now: the room that they leave is not given away before they are dropped.
            let index = |(index, _): &(usize, F)| *index;
            let shared = &hub.shared;
            shared.leave_together(running.iter().map(index), queued.iter().map(index));
            let tasks = running
                .into_iter()
                .chain(queued)
                .map(|(index, task)| (index, Remains::Task(task)));
            for (index, remains) in doomed.into_iter().chain(tasks) {
                steps.run(|| self.drop_aborted(index, remains));
            }
            drop(self.turn_because(before, reason));
            steps.run(|| self.notice_room());
            steps.run(|| hub.wake_if_parked());
        });
    }

    /// Drops a task. If its destructor panics, and that is to be caught, its error remains.
    fn drop_aborted(&mut self, index: usize, remains: Remains<E, F>) {
        let error = match (remains, self.feed.catch) {
            (Remains::Task(task), None) => return drop(task),
            (Remains::Task(task), Some(convert)) => match catch(|| drop(task)) {
                Ok(()) => return,
                Err(payload) => convert(payload),
            },
            (Remains::Error(error), _) => error,
        };
        self.doomed.push(index, Remains::Error(error));
    }

    /// Ends the group if nothing came in; closes it if it was consumed, or cancelled.
    pub(super) fn end(&mut self, aim: Aim) -> bool {
        let closes = aim.closes() || self.is_cancelled();
        // A group that has failed has done so until its failure is handed over: what is dropped here may
        // panic before that.
        let gate = closes.then(|| match self.gate() {
            Gate::Failed => Gate::Failed,
            _ => Gate::Closed,
        });
        match &self.mail {
            Some(mail) => mail.collect(&mut self.feed.queue, gate),
            None => {
                if let Some(gate) = gate {
                    self.share().shared.turn(gate);
                }
            }
        }
        if !self.feed.queue.is_empty() {
            return false;
        }
        if let Some(gate) = gate {
            sequence(|steps| {
                steps.run(|| self.finish());
                // What is left, if anything, is in the background.
                if self.engine.len() > 0 {
                    self.drop_tasks(gate, steps);
                }
            });
            if gate == Gate::Failed {
                self.turn(Gate::Closed);
            }
        }
        true
    }

    fn finish(&mut self) {
        let Some(graceful) = &mut self.graceful else {
            return;
        };
        let trace = self.engine.parker().shared.trace;
        graceful.cancel(CancelKind::Finished, None, trace);
    }

    /// Closes the group for good, and drops everything in it.
    #[inline]
    pub(super) fn close(&mut self) {
        let has_tasks =
            self.engine.len() > 0 || !self.feed.queue.is_empty() || !self.doomed.is_empty();
        let has_outcomes = self.feed.kept.is_some() || self.feed.ended.is_some();
        if has_tasks || has_outcomes || self.graceful.is_some() {
            return self.close_with_all();
        }
        // What is closed has no mail.
        match self.engine.shared() {
            Some(hub) if hub.shared.gate() != Gate::Closed => match self.mail {
                Some(_) => self.close_with_all(),
                None => hub.shared.turn(Gate::Closed),
            },
            _ => {}
        }
    }

    #[cold]
    fn close_with_all(&mut self) {
        sequence(|steps| {
            steps.run(|| self.finish());
            self.drop_tasks(Gate::Closed, steps);
            let (ended, kept) = (self.feed.ended.take(), self.feed.kept.take());
            steps.run(|| drop(ended));
            steps.run(|| drop(kept));
            let graceful = self.graceful.take();
            steps.run(|| drop(graceful));
        });
    }
}
