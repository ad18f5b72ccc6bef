//! What a group does when it is polled: the one loop behind every way to drive it.

use alloc::vec::Vec;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::context::CancelContext;
use crate::engine::Engine;
use crate::engine::beside::{Alone, Beside, Turn};
use crate::engine::parker::Latch;
use crate::engine::tasks::Done;
use crate::error::{BoxError, CancelKind, Cancelled};
use crate::group::aim::{Aim, End, Until};
use crate::group::graceful::{Grace, Graceful, Over};
use crate::group::inbox::{Gate, Inbox, Queue, Queued, Refused};
use crate::group::outcomes::Outcomes;
use crate::util::panic::Sequence;
use crate::util::sync::{Arc, Payload, catch};

/// The state of a group that only its owner touches.
pub(crate) struct Driver<T, E, F, G> {
    pub(crate) inbox: Arc<Inbox<F>>,
    engine: Engine<F>,
    queue: Queue<F>,
    pub(crate) kept: Outcomes<T, E>,
    /// An outcome whose future panicked when it was dropped.
    late: Option<(usize, Result<T, E>)>,
    /// The group has failed, and its failure, the first of the kept errors, is not handed over.
    failed: bool,
    /// What was left was dropped when the grace was over.
    cut: bool,
    /// The body of a scope is running.
    has_body: bool,
    pub(crate) keep_going: bool,
    graceful: Option<Graceful<E, G>>,
    pub(crate) cause_from: Option<fn(&E) -> BoxError>,
    /// Makes an error of a panic, if panics are to be caught.
    pub(crate) catch: Option<fn(Payload) -> E>,
}

/// The index that the body of a scope has, which is no task.
const BODY: usize = usize::MAX;

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
            queue: Queue::new(),
            kept: Outcomes::default(),
            late: None,
            failed: false,
            cut: false,
            has_body: false,
            keep_going: false,
            graceful: None,
            cause_from: None,
            catch: None,
        }
    }

    pub(crate) fn make_graceful(&mut self, context: CancelContext, grace: Option<Grace<E, G>>) {
        let group = self.inbox.group();
        self.graceful = Some(Graceful::new(context, grace, group));
    }

    /// The indices of the tasks that are running, in order.
    pub(crate) fn running(&self) -> Vec<usize> {
        let mut running: Vec<_> = self.engine.indices().collect();
        running.sort_unstable();
        running
    }

    /// The indices of the tasks that wait to be started.
    pub(crate) fn queued(&self) -> impl Iterator<Item = usize> {
        self.queue.iter().map(|queued| queued.index)
    }

    /// For what is polled beside.
    pub(crate) fn latch(&self) -> Arc<Latch> {
        Arc::new(Latch::new(self.engine.parent().clone()))
    }

    pub(crate) fn push<B>(&mut self, task: B, erase: impl FnOnce(B, usize) -> F) -> Result<(), B> {
        self.inbox.push_own(&mut self.queue, task, erase)
    }

    pub(crate) fn try_push<B>(
        &mut self,
        task: B,
        erase: impl FnOnce(B, usize) -> F,
    ) -> Result<(), (B, Refused)> {
        self.inbox.try_push_own(&mut self.queue, task, erase)
    }

    /// Drives the group until `aim` is met.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, aim: Aim) -> Poll<End> {
        self.poll_with(cx, aim, &mut Alone)
    }

    /// Drives the group until `aim` is met, or what is beside it is ready.
    pub(crate) fn poll_with(
        &mut self,
        cx: &mut Context<'_>,
        aim: Aim,
        beside: &mut impl Beside<E>,
    ) -> Poll<End> {
        self.has_body = beside.is_body();
        Polling(self).0.poll_aim(cx, aim, beside)
    }

    fn poll_aim(
        &mut self,
        cx: &mut Context<'_>,
        mut aim: Aim,
        beside: &mut impl Beside<E>,
    ) -> Poll<End> {
        self.poll_graceful(cx);
        if let Some(end) = self.met(aim) {
            return Poll::Ready(end);
        }
        if !self.enter(cx) {
            return Poll::Pending;
        }
        loop {
            if self.cut && beside.is_body() {
                beside.cut();
                aim = Aim::END_OF_SCOPE;
            }
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
                    match beside.poll() {
                        Turn::Ready => return Poll::Ready(End::Beside),
                        Turn::Ended(error) => {
                            if let Some(error) = error {
                                self.error(cx, BODY, error, aim);
                            }
                            self.has_body = false;
                            aim = Aim::END_OF_SCOPE;
                        }
                        Turn::Pending => {
                            if self.park(cx, beside.is_woken()) {
                                return Poll::Pending;
                            }
                        }
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
        Polling(self).0.poll_outcome(cx)
    }

    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, E>>> {
        self.poll_graceful(cx);
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
                    if self.park(cx, false) {
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
        self.kept.drop_all_but_failure();
        let failure = self.kept.pop_error();
        self.hand_over();
        failure.map_or(Ok(()), Err)
    }

    /// Nothing that was kept is left. A fail-fast group that had failed is usable again.
    fn hand_over(&mut self) {
        if self.failed && self.graceful.is_none() {
            self.failed = false;
            self.inbox.tally().set_why(None);
            self.inbox.turn(Gate::Open);
        }
    }

    /// Begins a poll. False if it has to end at once.
    fn enter(&mut self, cx: &mut Context<'_>) -> bool {
        let entered = self.engine.enter(cx);
        self.look();
        entered
    }

    /// Ends a poll that has nothing left to do. False if it has to go on.
    fn park(&mut self, cx: &mut Context<'_>, more: bool) -> bool {
        self.inbox.notice_room();
        let parked = self.engine.park(cx, more || self.is_startable());
        if !parked {
            self.look();
        }
        parked
    }

    /// Looks at what others have sent.
    fn look(&mut self) {
        // First: who aborts a task has spawned it before, so that it is among the mail.
        let aborted = self.inbox.tally().take_aborted();
        self.inbox.collect(&mut self.queue);
        if !aborted.is_empty() {
            // Those that are running were woken, and end by themselves.
            let tasks = self.queue.take(&aborted);
            self.inbox.dropped(tasks.len());
            let mut sequence = Sequence::default();
            sequence.drop_each(tasks);
            sequence.finish();
        }
    }

    fn step(&mut self) -> Step<T, E> {
        if self.late.is_some() {
            if let Some((index, outcome)) = self.late.take() {
                return Step::Outcome(index, outcome);
            }
        }
        loop {
            if self.engine.is_ready() {
                if let Some(done) = self.poll_woken() {
                    match self.finished(done) {
                        Some(outcome) => return outcome,
                        None => continue,
                    }
                }
            }
            if !self.engine.has_budget() || !self.is_startable() {
                break;
            }
            let done = self.start();
            if let Some(outcome) = done.and_then(|done| self.finished(done)) {
                return outcome;
            }
        }
        if self.queue.is_empty() && self.engine.len() == self.inbox.tally().background() {
            Step::Empty
        } else {
            Step::Idle
        }
    }

    fn is_startable(&self) -> bool {
        !self.queue.express.is_empty() || (!self.queue.regular.is_empty() && self.has_slot())
    }

    /// Whether the limit allows for one more regular task to run.
    fn has_slot(&self) -> bool {
        let limit = self.inbox.limit();
        let running = self.engine.len();
        running < limit || running.saturating_sub(self.inbox.tally().uncounted_running()) < limit
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

    /// Starts the first queued task, of those that may start.
    #[inline]
    fn start(&mut self) -> Option<Done<F>> {
        let first = if self.queue.express.is_empty() {
            self.queue.regular.pop_front()
        } else {
            self.pop_express()
        };
        let Queued { index, task } = first?;
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

    #[cold]
    fn pop_express(&mut self) -> Option<Queued<F>> {
        let slot = self.has_slot();
        let Queue { regular, express } = &mut self.queue;
        match (express.front(), regular.front()) {
            (Some(first), Some(other)) if slot && other.index < first.index => regular.pop_front(),
            _ => express.pop_front(),
        }
    }

    /// Drops a task that is done. If that panics, its outcome is not lost.
    #[inline]
    fn finished(&mut self, done: Done<F>) -> Option<Step<T, E>> {
        let Done {
            index,
            output,
            task,
        } = done;
        // Only success can be silent.
        let silent = self.inbox.tally().take_silence();
        let outcome = match self.catch {
            Some(convert) => match catch(|| drop(task)) {
                Ok(()) => output,
                // What came first stays the root cause.
                Err(payload) => output.and_then(|_| Err(convert(payload))),
            },
            None => {
                let mut late = Late {
                    place: &mut self.late,
                    outcome: (!silent).then_some((index, output)),
                };
                drop(task);
                late.outcome.take()?.1
            }
        };
        (!silent || outcome.is_err()).then_some(Step::Outcome(index, outcome))
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
        let mut sequence = Sequence::default();
        let cancels = aim.cancels && self.graceful.as_ref().is_some_and(Graceful::is_live);
        let mut why = Cancelled::new(CancelKind::TaskFailed, None);
        if let Some(graceful) = &mut self.graceful {
            if cancels {
                let cause_from = self.cause_from.zip(self.kept.last_error());
                let mut cause = None;
                sequence.run(|| cause = cause_from.map(|(cause_from, error)| cause_from(error)));
                sequence.run(|| graceful.cancel(CancelKind::TaskFailed, cause));
            }
            why = graceful.reason().unwrap_or(why);
        }
        if fails {
            self.inbox.tally().set_why(Some(why));
            if self.graceful.is_none() {
                sequence.run(|| self.drop_tasks(Gate::Refusing));
            } else {
                sequence.run(|| self.drop_queue());
            }
        }
        sequence.finish();
        if cancels {
            // The grace begins in this poll.
            self.poll_graceful(cx);
        }
    }

    /// Polls the context and the grace.
    #[inline]
    fn poll_graceful(&mut self, cx: &mut Context<'_>) {
        if let Some(graceful) = &mut self.graceful {
            if let Some(over) = graceful.poll(cx) {
                self.grace_over(&over);
            }
        }
    }

    /// Whether there is room for a task, and nothing that would have to be looked at first.
    pub(crate) fn is_ready(&self) -> bool {
        !self.failed
            && self.graceful.is_none()
            && self.inbox.has_room()
            && self.inbox.gate() == Gate::Open
    }

    /// Drops what is left when the grace is over.
    #[cold]
    fn grace_over(&mut self, over: &Over<E>) {
        self.inbox.group().grace_over();
        self.failed = true;
        self.cut = true;
        self.inbox.tally().set_why(Some(over.reason().clone()));
        let mut refused = self.inbox.turn(Gate::Refusing);
        self.queue.append(&mut refused);
        let mut indices: Vec<_> = self.running();
        indices.extend(self.queued());
        indices.retain(|&index| !self.inbox.tally().is_background(index));
        indices.sort_unstable();
        indices.extend(self.has_body.then_some(BODY));
        let mut sequence = Sequence::default();
        for index in indices {
            sequence.run(|| self.kept.push_error(index, over.error()));
        }
        sequence.run(|| self.drop_tasks(Gate::Refusing));
        sequence.finish();
    }

    /// Drops every task. The gate is closed to new ones before, and stays so.
    fn drop_tasks(&mut self, gate: Gate) {
        let refused = self.inbox.turn(gate);
        let queue = mem::replace(&mut self.queue, Queue::new());
        let tasks = self.engine.take_tasks();
        self.inbox.emptied();
        let mut sequence = Sequence::default();
        sequence.drop_each(tasks);
        sequence.drop_each(queue.into_tasks());
        sequence.drop_each(refused.into_tasks());
        sequence.run(|| self.inbox.notice_room());
        sequence.finish();
    }

    /// Drops the queued tasks, and refuses new ones.
    fn drop_queue(&mut self) {
        let refused = self.inbox.turn(Gate::Refusing);
        let queue = mem::replace(&mut self.queue, Queue::new());
        self.inbox.dropped(refused.len() + queue.len());
        let mut sequence = Sequence::default();
        sequence.drop_each(queue.into_tasks());
        sequence.drop_each(refused.into_tasks());
        sequence.finish();
    }

    /// Drops every task; the group goes on.
    pub(crate) fn abort(&mut self) {
        let before = self.inbox.gate();
        let tally = self.inbox.tally().clone();
        let why = tally.set_why(Some(Cancelled::new(CancelKind::Cancelled, None)));
        let mut sequence = Sequence::default();
        sequence.run(|| self.drop_tasks(Gate::Paused));
        tally.set_why(why);
        self.inbox.turn(before);
        sequence.run(|| self.inbox.notice_room());
        sequence.run(|| self.engine.parent().wake_if_parked());
        sequence.finish();
    }

    /// Ends the group if nothing came in; closes it if it is to be closed.
    fn end(&mut self, close: bool) -> bool {
        let close = close || self.graceful.is_some();
        let before = self.inbox.gate();
        // What is left, if anything, is in the background.
        let left = (self.engine.len() > 0).then_some(Gate::Paused);
        let gate = if close { Some(Gate::Closed) } else { left };
        if !self.inbox.end(&mut self.queue, gate) {
            return false;
        }
        let mut sequence = Sequence::default();
        sequence.run(|| self.finish());
        if left.is_some() {
            sequence.run(|| self.drop_tasks(Gate::Paused));
            self.inbox.turn(before);
        }
        sequence.finish();
        true
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
        let (late, kept) = (self.late.take(), mem::take(&mut self.kept));
        sequence.run(|| drop(late));
        sequence.run(|| drop(kept));
        let graceful = self.graceful.take();
        sequence.run(|| drop(graceful));
        // Wakers of tasks that are kept elsewhere must not keep the parent's alive.
        let parent = self.engine.parent().take_waker();
        sequence.run(|| drop(parent));
        sequence.finish();
    }
}

/// A poll. However it ends, those who wait for room are told.
struct Polling<'a, T, E, F, G>(&'a mut Driver<T, E, F, G>);

impl<T, E, F, G> Drop for Polling<'_, T, E, F, G> {
    fn drop(&mut self) {
        self.0.inbox.notice_room();
    }
}

/// An outcome whose task is being dropped. If that panics, it is kept for the next poll.
struct Late<'a, T, E> {
    place: &'a mut Option<(usize, Result<T, E>)>,
    outcome: Option<(usize, Result<T, E>)>,
}

impl<T, E> Drop for Late<'_, T, E> {
    fn drop(&mut self) {
        if self.outcome.is_some() {
            *self.place = self.outcome.take();
        }
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
