//! What a group does when it is polled: the one loop behind every way to drive it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::engine::Engine;
use crate::error::{BoxError, CancelKind};
use crate::graceful::{Graceful, Over};
use crate::inbox::{Gate, Inbox, Queued, Refused};
use crate::outcomes::Outcomes;
use crate::panic::Sequence;
use crate::sync::{Arc, Payload, catch, resume};
use crate::tasks::Done;

/// The state of a group that only its owner touches.
pub(crate) struct Driver<T, E, F, G> {
    pub(crate) inbox: Arc<Inbox<F>>,
    engine: Engine<F>,
    queue: VecDeque<Queued<F>>,
    pub(crate) kept: Outcomes<T, E>,
    /// An outcome whose future panicked when it was dropped.
    late: Option<(usize, Result<T, E>)>,
    /// The group has failed, and its failure, the first of the kept errors, is not handed over.
    failed: bool,
    pub(crate) keep_going: bool,
    graceful: Option<Graceful<E, G>>,
    pub(crate) cause_from: Option<fn(&E) -> BoxError>,
    /// Makes an error of a panic, if panics are to be caught.
    pub(crate) catch: Option<fn(Payload) -> E>,
}

/// What a group is driven for.
#[derive(Clone, Copy)]
pub(crate) struct Aim {
    /// An error is a failure.
    fails: bool,
    /// Values are kept.
    keeps: bool,
    /// An error cancels the context of a graceful group.
    cancels: bool,
    /// The group is closed when it is done.
    closes: bool,
    until: Until,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Until {
    Done,
    Success,
    Room,
    Failure,
}

impl Aim {
    const DONE: Aim = Aim {
        fails: true,
        keeps: false,
        cancels: true,
        closes: false,
        until: Until::Done,
    };
    pub(crate) const AWAIT: Aim = Aim::DONE;
    pub(crate) const COLLECT: Aim = Aim {
        keeps: true,
        closes: true,
        ..Aim::DONE
    };
    /// For `wait_all` and `settle`.
    pub(crate) const ALL: Aim = Aim {
        fails: false,
        ..Aim::COLLECT
    };
    pub(crate) const FIRST_OK: Aim = Aim {
        cancels: false,
        until: Until::Success,
        ..Aim::ALL
    };
    pub(crate) const READY: Aim = Aim {
        keeps: true,
        until: Until::Room,
        ..Aim::DONE
    };
    const DRIVE: Aim = Aim {
        until: Until::Failure,
        ..Aim::READY
    };
}

/// Why driving a group came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It has failed.
    Failed,
    /// Nothing is running or queued.
    Done,
    /// There is room for a task.
    Room,
    /// A task succeeded; its value is the only one that was kept.
    Success,
}

/// What the next step of a poll was.
enum Step<T, E> {
    Outcome(usize, Result<T, E>),
    /// Nothing is running or queued.
    Empty,
    /// Nothing more can be done in this round.
    Idle,
}

impl<T, E, F, G> Driver<T, E, F, G>
where
    F: Future<Output = Result<T, E>> + Unpin,
    G: Future + Unpin,
{
    pub(crate) fn new() -> Self {
        let engine = Engine::new();
        Driver {
            inbox: Arc::new(Inbox::new(engine.parent().clone())),
            engine,
            queue: VecDeque::new(),
            kept: Outcomes::default(),
            late: None,
            failed: false,
            keep_going: false,
            graceful: None,
            cause_from: None,
            catch: None,
        }
    }

    pub(crate) fn make_graceful(&mut self, graceful: Graceful<E, G>) {
        self.graceful = Some(graceful);
    }

    /// The indices of the running tasks and of the queued ones.
    pub(crate) fn unfinished(&self) -> (Vec<usize>, Vec<usize>) {
        let mut running: Vec<_> = self.engine.indices().collect();
        running.sort_unstable();
        (
            running,
            self.queue.iter().map(|queued| queued.index).collect(),
        )
    }

    pub(crate) fn push(&mut self, task: F) -> Result<(), F> {
        self.inbox.push_own(&mut self.queue, task)
    }

    pub(crate) fn try_push<B>(
        &mut self,
        task: B,
        erase: impl FnOnce(B) -> F,
    ) -> Result<(), (B, Refused)> {
        self.inbox.try_push_own(&mut self.queue, task, erase)
    }

    /// Drives the group until `aim` is met.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, aim: Aim) -> Poll<End> {
        let poll = self.poll_aim(cx, aim);
        self.inbox.notice_room();
        if poll.is_pending() {
            self.engine.pend(cx);
        }
        poll
    }

    /// Drives the group beside a future; gives its output, or `None` if the group fails.
    pub(crate) fn poll_beside<R>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<R>,
    ) -> Poll<Option<R>> {
        let spent = self.engine.is_spent();
        // The group first, so that a future that is always ready cannot starve the tasks, and so
        // that no output is thrown away because the group fails in the same poll.
        let ended = self.poll_aim(cx, Aim::DRIVE).is_ready();
        self.inbox.notice_room();
        if ended {
            return Poll::Ready(None);
        }
        if !spent {
            if let Poll::Ready(output) = poll(cx) {
                self.engine.unpark();
                return Poll::Ready(Some(output));
            }
        }
        self.engine.pend(cx);
        Poll::Pending
    }

    fn poll_aim(&mut self, cx: &mut Context<'_>, aim: Aim) -> Poll<End> {
        if let Some(end) = self.met(aim) {
            return Poll::Ready(end);
        }
        if !self.enter(cx) {
            return Poll::Pending;
        }
        loop {
            if self.has_failed(aim) {
                return Poll::Ready(End::Failed);
            }
            match self.step() {
                Step::Outcome(index, Ok(value)) => {
                    if aim.keeps && !(aim.fails && self.failed) {
                        self.kept.push_value(index, value);
                    }
                    if aim.until == Until::Success {
                        return Poll::Ready(self.succeed());
                    }
                }
                Step::Outcome(index, Err(error)) => self.error(cx, index, error, aim),
                Step::Empty if aim.until <= Until::Success => {
                    if self.end(aim.closes) {
                        return Poll::Ready(End::Done);
                    }
                }
                Step::Empty | Step::Idle => {
                    if let Some(end) = self.met(aim) {
                        return Poll::Ready(end);
                    }
                    if self.park(cx) {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Whether `aim` is met without polling anything more.
    fn met(&mut self, aim: Aim) -> Option<End> {
        if self.has_failed(aim) {
            return Some(End::Failed);
        }
        match aim.until {
            Until::Success if self.kept.has_value() => Some(self.succeed()),
            Until::Room if self.inbox.gate() != Gate::Open => Some(End::Failed),
            Until::Room if self.inbox.has_room() => Some(End::Room),
            _ => None,
        }
    }

    /// Whether the group has failed and need not be driven on to its end.
    fn has_failed(&self, aim: Aim) -> bool {
        self.failed && aim.fails && (self.graceful.is_none() || aim.until >= Until::Room)
    }

    /// There is a value, and nothing else matters.
    fn succeed(&mut self) -> End {
        self.drop_tasks(Gate::Closed);
        self.finish();
        End::Success
    }

    /// The next outcome, kept or new; `None` if there is nothing running or queued.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, E>>> {
        let poll = self.poll_outcome(cx);
        self.inbox.notice_room();
        if poll.is_pending() {
            self.engine.pend(cx);
        }
        poll
    }

    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, E>>> {
        if let Some(outcome) = self.pop_kept() {
            return Poll::Ready(Some(outcome));
        }
        if !self.enter(cx) {
            return Poll::Pending;
        }
        loop {
            // The end of a grace leaves outcomes here.
            if let Some(outcome) = self.pop_kept() {
                return Poll::Ready(Some(outcome));
            }
            match self.step() {
                Step::Outcome(_, outcome) => return Poll::Ready(Some(outcome)),
                Step::Empty => {
                    if self.end(false) {
                        return Poll::Ready(None);
                    }
                }
                Step::Idle => {
                    if self.park(cx) {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn pop_kept(&mut self) -> Option<Result<T, E>> {
        let outcome = self.kept.pop()?;
        if self.kept.is_empty() {
            self.hand_over();
        }
        Some(outcome)
    }

    /// What `.await` returns when the group is done or has failed.
    pub(crate) fn take_result(&mut self) -> Result<(), E> {
        self.kept.drop_values();
        let failure = self.kept.pop_error();
        self.kept = Outcomes::default();
        self.hand_over();
        failure.map_or(Ok(()), Err)
    }

    /// Nothing that was kept is left. A fail-fast group that had failed is usable again.
    fn hand_over(&mut self) {
        if self.failed && self.graceful.is_none() {
            self.failed = false;
            self.inbox.turn(Gate::Open);
        }
    }

    /// Begins a poll. False if it has to end at once.
    fn enter(&mut self, cx: &mut Context<'_>) -> bool {
        self.poll_graceful(cx);
        let entered = self.engine.enter();
        self.inbox.collect(&mut self.queue);
        entered
    }

    /// Ends a poll that has nothing left to do. False if it has to go on.
    fn park(&mut self, cx: &mut Context<'_>) -> bool {
        self.inbox.notice_room();
        let parked = self.engine.park(cx, self.is_startable());
        if !parked {
            self.inbox.collect(&mut self.queue);
        }
        parked
    }

    fn step(&mut self) -> Step<T, E> {
        if let Some((index, outcome)) = self.late.take() {
            return Step::Outcome(index, outcome);
        }
        loop {
            if let Some(done) = self.poll_woken() {
                return self.finished(done);
            }
            if !self.is_startable() || !self.engine.has_budget() {
                break;
            }
            if let Some(done) = self.start() {
                return self.finished(done);
            }
        }
        if self.queue.is_empty() && self.engine.len() == 0 {
            Step::Empty
        } else {
            Step::Idle
        }
    }

    fn is_startable(&self) -> bool {
        !self.queue.is_empty() && self.engine.len() < self.inbox.limit()
    }

    fn poll_woken(&mut self) -> Option<Done<F>> {
        let catch = self.catch;
        let startable = self.is_startable();
        let inbox = &*self.inbox;
        self.engine.poll_woken(startable, |task, cx| {
            let running = Running(inbox);
            let poll = poll_task(task, cx, catch);
            if poll.is_pending() {
                mem::forget(running);
            }
            poll
        })
    }

    /// Starts the first queued task.
    fn start(&mut self) -> Option<Done<F>> {
        let Queued { index, task } = self.queue.pop_front()?;
        let catch = self.catch;
        let inbox = &*self.inbox;
        inbox.started();
        let running = Running(inbox);
        let done = self
            .engine
            .start(index, task, |task, cx| poll_task(task, cx, catch));
        if done.is_none() {
            mem::forget(running);
        }
        done
    }

    /// Drops a task that is done. If that panics, its outcome is not lost.
    fn finished(&mut self, done: Done<F>) -> Step<T, E> {
        let Done {
            index,
            output,
            task,
        } = done;
        let outcome = match (catch(|| drop(task)), self.catch) {
            (Ok(()), _) => output,
            (Err(payload), Some(convert)) => Err(convert(payload)),
            (Err(payload), None) => {
                self.late = Some((index, output));
                resume(payload)
            }
        };
        Step::Outcome(index, outcome)
    }

    /// An error came.
    fn error(&mut self, cx: &mut Context<'_>, index: usize, error: E, aim: Aim) {
        // The first error in time stays the failure, and `.await` wants no other.
        if (aim.fails && self.failed) || (!aim.keeps && self.kept.has_error()) {
            return;
        }
        self.kept.push_error(index, error);
        let fails = aim.fails && !self.keep_going;
        self.failed |= fails;
        if self.graceful.is_none() {
            if fails {
                self.drop_tasks(Gate::Refusing);
            }
            return;
        }

        let mut sequence = Sequence::default();
        if fails {
            let refused = self.inbox.turn(Gate::Refusing);
            let queue = mem::take(&mut self.queue);
            self.inbox.dropped(refused.len() + queue.len());
            sequence.drop_each(queue.into_iter().map(|queued| queued.task));
            sequence.drop_each(refused.into_iter().map(|queued| queued.task));
        }
        if aim.cancels {
            sequence.run(|| {
                let cause = self.cause_from.zip(self.kept.last_error());
                let cause = cause.map(|(cause_from, error)| cause_from(error));
                if let Some(graceful) = &mut self.graceful {
                    graceful.cancel(CancelKind::TaskFailed, cause);
                }
            });
        }
        sequence.finish();
        self.poll_graceful(cx);
    }

    /// Polls the context and the grace.
    fn poll_graceful(&mut self, cx: &mut Context<'_>) {
        if let Some(graceful) = &mut self.graceful {
            if let Some(over) = graceful.poll(cx) {
                self.grace_over(&over);
            }
        }
    }

    /// Drops what is left when the grace is over.
    fn grace_over(&mut self, over: &Over<E>) {
        let refused = self.inbox.turn(Gate::Refusing);
        self.queue.extend(refused);
        let (mut indices, queued) = self.unfinished();
        indices.extend(queued);
        indices.sort_unstable();
        for index in indices {
            self.kept.push_error(index, over.error());
        }
        self.failed = true;
        self.drop_tasks(Gate::Refusing);
    }

    /// Drops every task, while the group refuses new ones.
    pub(crate) fn drop_tasks(&mut self, gate: Gate) {
        let refused = self.inbox.turn(gate);
        let queue = mem::take(&mut self.queue);
        let tasks = self.engine.take_tasks();
        self.inbox.emptied();
        let mut sequence = Sequence::default();
        sequence.drop_each(tasks);
        sequence.drop_each(queue.into_iter().map(|queued| queued.task));
        sequence.drop_each(refused.into_iter().map(|queued| queued.task));
        sequence.run(|| self.inbox.notice_room());
        sequence.finish();
    }

    /// Drops every task; the group goes on.
    pub(crate) fn abort(&mut self) {
        let before = self.inbox.gate();
        let mut sequence = Sequence::default();
        sequence.run(|| self.drop_tasks(Gate::Refusing));
        self.inbox.turn(before);
        self.engine.parent().wake_if_parked();
        sequence.finish();
    }

    /// Ends the group if nothing came in; closes it if it is to be closed.
    fn end(&mut self, close: bool) -> bool {
        let ended = self
            .inbox
            .end(&mut self.queue, close || self.graceful.is_some());
        if ended {
            self.finish();
        }
        ended
    }

    fn finish(&mut self) {
        if let Some(graceful) = &mut self.graceful {
            graceful.cancel(CancelKind::Finished, None);
        }
    }

    /// Closes the group for good, and drops everything in it.
    pub(crate) fn close(&mut self) {
        let mut sequence = Sequence::default();
        sequence.run(|| self.drop_tasks(Gate::Closed));
        sequence.run(|| self.finish());
        sequence.finish();
    }
}

/// A running task. Dropped when it is done, and when it panics.
struct Running<'a, F>(&'a Inbox<F>);

impl<F> Drop for Running<'_, F> {
    fn drop(&mut self) {
        self.0.ended();
    }
}

fn poll_task<T, E, F>(
    task: &mut F,
    cx: &mut Context<'_>,
    convert: Option<fn(Payload) -> E>,
) -> Poll<Result<T, E>>
where
    F: Future<Output = Result<T, E>> + Unpin,
{
    let Some(convert) = convert else {
        return Pin::new(task).poll(cx);
    };
    match catch(|| Pin::new(task).poll(cx)) {
        Ok(poll) => poll,
        Err(payload) => Poll::Ready(Err(convert(payload))),
    }
}
