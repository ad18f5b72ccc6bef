//! What a group does when it is polled: the one loop behind every way to drive it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::Future;
use core::mem;
use core::task::{Context, Poll};

use crate::context::CancelContext;
use crate::engine::beside::Companion;
use crate::engine::{Engine, Source};
use crate::error::BoxError;
use crate::group::aim::{Aim, End};
use crate::group::doomed::{Doomed, Remains};
use crate::group::feed::Feed;
use crate::group::graceful::{Grace, Graceful};
use crate::group::mail::{Mail, admit};
use crate::group::outcomes::Outcomes;
use crate::group::queue::{Lane, Queue};
use crate::group::shared::{Aborts, BODY, Gate, Hub, Shared};
use crate::util::panic::sequence;
use crate::util::sync::Arc;

/// The state of a group that only its owner touches.
///
/// # Invariants
///
/// 1. The group has failed exactly while its gate is `Failed`; the failure is the first of the
///    kept errors, or is still to be made (`Graceful::cut`), or was handed over.
/// 2. Whenever code of the user runs, an outcome that is not in the user's hands stands in `ended`
///    or `kept`. So a panic loses none: the next call finds it.
pub(crate) struct Driver<T, E, F, G> {
    pub(super) engine: Engine<F, Shared>,
    /// Made with the first spawner.
    pub(super) mail: Option<Arc<Mail<F>>>,
    pub(super) feed: Feed<T, E, F>,
    /// What was aborted, and is still here.
    pub(super) doomed: Doomed<E, F>,
    pub(super) graceful: Option<Box<Graceful<E, G>>>,
    pub(super) keep_going: bool,
    pub(super) cause_from: Option<fn(&E) -> BoxError>,
}

/// Making, spawning and looking.
impl<T, E, F, G> Driver<T, E, F, G>
where
    F: Future<Output = Option<Result<T, E>>> + Unpin,
    G: Future + Unpin,
{
    pub(crate) fn new() -> Self {
        Driver {
            engine: Engine::new(),
            mail: None,
            feed: Feed {
                queue: Queue::new(),
                ended: None,
                kept: None,
                aim: Aim::Next,
                catch: None,
            },
            doomed: Doomed::default(),
            graceful: None,
            keep_going: false,
            cause_from: None,
        }
    }

    pub(crate) fn make_graceful(&mut self, context: CancelContext, grace: Option<Grace<E, G>>) {
        self.graceful = Some(Box::new(Graceful::new(context, grace)));
    }

    /// What the group shares with others, if it does so far.
    pub(crate) fn hub(&self) -> Option<&Arc<Hub>> {
        self.engine.shared()
    }

    /// The same, made if there is none.
    #[inline]
    pub(crate) fn share(&mut self) -> &Arc<Hub> {
        self.engine.parker()
    }

    /// What the group shares with its spawners.
    pub(crate) fn mail(&mut self) -> &Arc<Mail<F>> {
        let hub = self.engine.parker();
        self.mail
            .get_or_insert_with(|| Arc::new(Mail::new(hub.clone())))
    }

    /// The indices of the tasks that are running, and of those that wait to be started, in order.
    pub(crate) fn indices(&self) -> (Vec<usize>, Vec<usize>) {
        let mut running: Vec<_> = self
            .engine
            .indices()
            .filter(|&index| index != BODY)
            .collect();
        running.sort_unstable();
        let mut queued: Vec<_> = self.feed.queue.indices().collect();
        queued.extend(self.mail.iter().flat_map(|mail| mail.unseen()));
        queued.sort_unstable();
        (running, queued)
    }

    /// Takes a task, unless `refusal` has something against it. `make` makes it of what is given
    /// and its index.
    #[inline]
    pub(crate) fn push<B, R>(
        &mut self,
        task: B,
        lane: Lane,
        refusal: fn(&Hub) -> Option<R>,
        make: impl FnOnce(B, usize, &Arc<Hub>) -> F,
    ) -> Result<(), (B, R)> {
        if let Some(mail) = &self.mail {
            return mail.push(task, lane, refusal, make);
        }
        let hub = self.engine.parker();
        let index = admit(&mut self.feed.queue, hub, task, lane, refusal, make)?;
        hub.shared.trace.spawned(index, || hub.wake_if_parked());
        Ok(())
    }

    #[track_caller]
    pub(crate) fn set_limit(&mut self, limit: usize) {
        let hub = self.share().clone();
        hub.shared.set_limit(limit);
        sequence(|steps| {
            steps.run(|| hub.wake_if_parked());
            steps.run(|| self.notice_room());
        });
    }
}

/// Driving.
impl<T, E, F, G> Driver<T, E, F, G>
where
    F: Future<Output = Option<Result<T, E>>> + Unpin,
    G: Future + Unpin,
{
    /// Drives the group until `aim` is met, or what is beside it is ready.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        aim: Aim,
        beside: &mut impl Companion,
    ) -> Poll<End> {
        let polling = Polling(self);
        let poll = polling.0.poll_aim(cx, aim, beside);
        mem::forget(polling);
        self.notice_room();
        poll
    }

    fn poll_aim(
        &mut self,
        cx: &mut Context<'_>,
        aim: Aim,
        beside: &mut impl Companion,
    ) -> Poll<End> {
        self.begin(cx, aim);
        if aim == Aim::Ready {
            if let Some(end) = self.make_ready(cx) {
                return Poll::Ready(end);
            }
        } else if !aim.runs_on() {
            if let Some(end) = self.met(aim) {
                return Poll::Ready(end);
            }
        }
        let (hub, rounds) = self.engine.parts();
        if !rounds.enter(hub, cx) {
            // To drop a task is not to poll one, and to say that the group has failed is neither.
            self.look();
            if !self.doomed.is_empty() {
                self.drop_doomed();
            }
            return match self.is_cut_off(aim) {
                true => Poll::Ready(End::Failed),
                false => Poll::Pending,
            };
        }
        let beside_first = beside.is_woken() && rounds.beside_is_first(hub);
        if beside_first && self.poll_beside(beside) {
            self.engine.rounds.spend_one();
            return Poll::Ready(End::Beside);
        }
        self.look();
        if aim.runs_on() {
            if self.run(cx) {
                return Poll::Pending;
            }
            if self.is_cut_off(aim) {
                return Poll::Ready(End::Failed);
            }
            self.look();
        }
        let mut may_poll_beside = !beside_first;
        // What is in the background may have something to say first.
        let mut may_end = self.engine.len() == 0;
        loop {
            if may_end && self.is_done(aim) && self.end(aim) {
                return Poll::Ready(End::Done);
            }
            may_end = true;
            if self.step(cx) {
                match self.take_in(cx, aim) {
                    Some(end) => return Poll::Ready(end),
                    None => continue,
                }
            }
            if self.is_done(aim) {
                continue;
            }
            if let Some(end) = self.met(aim) {
                return Poll::Ready(end);
            }
            if mem::take(&mut may_poll_beside) {
                // Before, so that nothing stands between its output and the caller.
                self.notice_room();
                if self.poll_beside(beside) {
                    return Poll::Ready(End::Beside);
                }
            }
            self.look();
            let is_startable = self.is_startable();
            let (hub, rounds) = self.engine.parts();
            if (is_startable && rounds.has_budget()) || !self.doomed.is_empty() {
                continue;
            }
            if rounds.park(hub, cx, is_startable || beside.is_woken()) {
                return Poll::Pending;
            }
            self.look();
        }
    }

    /// The short way: polls tasks, and parks. False if there is something else to look at.
    #[inline]
    fn run(&mut self, cx: &mut Context<'_>) -> bool {
        let is_plain = self.feed.ended.is_none() && self.doomed.is_empty();
        let (hub, rounds) = self.engine.parts();
        is_plain && rounds.run(hub, &mut self.feed, cx)
    }

    #[inline]
    fn begin(&mut self, cx: &mut Context<'_>, aim: Aim) {
        self.engine.rounds.begin();
        let before = mem::replace(&mut self.feed.aim, aim);
        if self.feed.ended.is_some() {
            // Code of the user has panicked before it was taken in. What the grace has to say comes
            // after it.
            self.absorb(cx, if before == Aim::Next { aim } else { before });
        }
        self.poll_graceful(cx);
    }

    fn poll_beside(&mut self, beside: &mut impl Companion) -> bool {
        let is_woken = beside.is_woken();
        let is_ready = beside.poll().is_ready();
        self.engine.rounds.beside_was_polled(is_woken && !is_ready);
        is_ready
    }

    /// Starts what is queued as far as there is room. `None` if there is more to do than that.
    fn make_ready(&mut self, cx: &mut Context<'_>) -> Option<End> {
        if self.has_failed() {
            return Some(End::Failed);
        }
        // With a new budget, woken tasks come first.
        if self.engine.rounds.is_fresh() || !self.doomed.is_empty() {
            return None;
        }
        while let Some(hub) = self.engine.shared() {
            if hub.shared.is_asked() || hub.shared.gate() != Gate::Open {
                return None;
            }
            let (hub, rounds) = self.engine.parts();
            rounds.enter_to_start(hub);
            if rounds.start(hub, &mut self.feed, cx) {
                if let Some(end) = self.take_in(cx, Aim::Ready) {
                    return Some(end);
                }
            } else if rounds.has_budget() {
                break;
            } else {
                return None;
            }
        }
        self.has_room().then_some(End::Room)
    }

    fn has_room(&self) -> bool {
        self.engine.shared().is_none_or(|hub| hub.shared.has_room())
    }

    pub(super) fn gate(&self) -> Gate {
        self.engine
            .shared()
            .map_or(Gate::Open, |hub| hub.shared.gate())
    }

    pub(super) fn has_failed(&self) -> bool {
        self.gate() == Gate::Failed
    }

    /// Whether it has failed, and its failure was not handed over yet.
    pub(super) fn owes_failure(&self) -> bool {
        let is_kept = self.feed.kept.as_ref().is_some_and(|kept| kept.has_error());
        let is_cut = self.graceful.as_ref().is_some_and(|it| it.has_cut());
        self.has_failed() && (is_kept || is_cut)
    }

    /// Whether `aim` is met without polling anything more.
    #[inline]
    fn met(&mut self, aim: Aim) -> Option<End> {
        if self.is_cut_off(aim) {
            return Some(End::Failed);
        }
        let kept = self.feed.kept.as_deref();
        match aim {
            Aim::FirstOk if kept.is_some_and(Outcomes::has_value) => Some(self.succeed()),
            Aim::Next if self.feed.ended.is_some() || kept.is_some_and(|kept| !kept.is_empty()) => {
                Some(End::Outcome)
            }
            Aim::Ready if self.gate() != Gate::Open => Some(End::Failed),
            Aim::Ready if self.has_room() => Some(End::Room),
            _ => None,
        }
    }

    /// Whether the group has failed and need not be driven on to its end.
    pub(super) fn is_cut_off(&self, aim: Aim) -> bool {
        self.has_failed() && aim.fails() && (self.graceful.is_none() || aim.leaves_at_failure())
    }

    /// Whether nothing holds up the end of the group but what may be in the mail.
    #[inline]
    fn is_done(&self, aim: Aim) -> bool {
        let hub = self.engine.shared();
        let is_empty = self.feed.queue.is_empty() && hub.is_none_or(|hub| hub.is_idle());
        is_empty && aim.ends_when_empty() && self.may_end()
    }

    /// Whether an empty group is done.
    #[inline]
    fn may_end(&self) -> bool {
        let open = self.engine.shared().map_or(0, |hub| hub.shared.open());
        let has_left = self.feed.ended.is_some() || !self.doomed.is_empty();
        !has_left && (open == 0 || self.is_cancelled())
    }

    /// Whether the context of a graceful group is cancelled.
    pub(super) fn is_cancelled(&self) -> bool {
        self.graceful
            .as_ref()
            .is_some_and(|graceful| !graceful.is_live())
    }

    /// Looks at what others have sent and asked for.
    #[inline]
    fn look(&mut self) {
        let asked = self
            .engine
            .shared()
            .map_or(0, |hub| hub.shared.take_asked());
        if asked != 0 {
            self.answer(asked);
        }
    }

    #[cold]
    fn answer(&mut self, asked: usize) {
        let hub = self.share().clone();
        // First: who aborts a task has spawned it before, so that it is among the mail. Perhaps only
        // since `asked` was read, so that the mail is looked at whatever that says.
        let Aborts { indices, below } = hub.shared.take_aborts(asked);
        if let Some(mail) = &self.mail {
            mail.collect(&mut self.feed.queue, None);
        }
        if !indices.is_empty() {
            // They may have had their turn in the round of an earlier call.
            let (hub, rounds) = self.engine.parts();
            rounds.begin_own_round(hub);
        }
        for index in indices {
            // One that is running was woken, and ends by itself.
            if let Some(task) = self.feed.queue.take(index) {
                hub.shared.leave(1);
                self.doomed.push(index, Remains::Task(task));
            }
        }
        if below > 0 {
            self.abort_below(below);
        }
    }

    /// The next step of a poll. True if a task has ended, whose outcome is in `ended`; otherwise
    /// nothing more can be done in this round.
    fn step(&mut self, cx: &mut Context<'_>) -> bool {
        if self.feed.ended.is_some() || (!self.doomed.is_empty() && self.drop_doomed()) {
            return true;
        }
        let (hub, rounds) = self.engine.parts();
        rounds.step(hub, &mut self.feed, cx)
    }

    fn is_startable(&self) -> bool {
        let hub = self.engine.shared();
        hub.is_some_and(|hub| self.feed.is_startable(hub))
    }

    /// Drops tasks that were aborted. True if one of them has an outcome, which is that its
    /// destructor panicked; then there may be more.
    #[cold]
    fn drop_doomed(&mut self) -> bool {
        if self.feed.ended.is_some() {
            return true;
        }
        if self.feed.catch.is_none() {
            let doomed = mem::take(&mut self.doomed);
            sequence(|steps| steps.drop_each(doomed));
        }
        while let Some((index, remains)) = self.doomed.pop() {
            let has_ended = match remains {
                Remains::Task(task) => self.feed.has_ended(index, None, task),
                Remains::Error(error) => {
                    self.feed.ended = Some((index, Err(error)));
                    true
                }
            };
            if has_ended {
                return true;
            }
        }
        false
    }

    /// Takes in the outcome of a task.
    fn take_in(&mut self, cx: &mut Context<'_>, aim: Aim) -> Option<End> {
        if aim == Aim::Next {
            return Some(End::Outcome);
        }
        self.absorb(cx, aim)
    }

    /// Takes in the outcome of a task, or keeps it if every outcome is to be given.
    fn absorb(&mut self, cx: &mut Context<'_>, aim: Aim) -> Option<End> {
        match self.feed.ended.take()? {
            (index, Ok(value)) => {
                if aim.keeps_outcomes() && !self.is_cut_off(aim) {
                    self.feed
                        .kept
                        .get_or_insert_default()
                        .push_value(index, value);
                }
                if aim == Aim::FirstOk {
                    return Some(self.succeed());
                }
            }
            (index, Err(error)) => self.error(cx, index, error, aim),
        }
        self.is_cut_off(aim).then_some(End::Failed)
    }
}

/// Giving out what is kept.
impl<T, E, F, G> Driver<T, E, F, G>
where
    F: Future<Output = Option<Result<T, E>>> + Unpin,
    G: Future + Unpin,
{
    /// The first outcome, of what is kept or just ended.
    pub(crate) fn pop(&mut self) -> Option<(usize, Result<T, E>)> {
        match self.feed.kept.as_mut().and_then(|kept| kept.pop()) {
            None => self.feed.ended.take(),
            first => {
                self.hand_over();
                first
            }
        }
    }

    /// What `.await` returns when the group is done or has failed.
    #[inline]
    pub(crate) fn take_result(&mut self) -> Result<(), E> {
        match self.feed.kept {
            None if !self.has_failed() => Ok(()),
            _ => self.take_failure(),
        }
    }

    #[cold]
    fn take_failure(&mut self) -> Result<(), E> {
        let Some(kept) = &mut self.feed.kept else {
            self.hand_over();
            return Ok(());
        };
        kept.drop_all_but_failure();
        let failure = kept.pop_error();
        if let Some(graceful) = self.graceful.as_mut().filter(|_| failure.is_some()) {
            graceful.forget_cut();
        }
        self.hand_over();
        failure.map_or(Ok(()), Err)
    }

    pub(crate) fn take_kept(&mut self) -> Outcomes<T, E> {
        self.feed
            .kept
            .take()
            .map_or_else(Outcomes::default, |kept| *kept)
    }

    /// If nothing is left of what was kept, a fail-fast group that had failed is usable again.
    pub(super) fn hand_over(&mut self) {
        self.feed.kept.take_if(|kept| kept.is_empty());
        if self.feed.kept.is_none() && self.has_failed() && self.graceful.is_none() {
            drop(self.turn_because(Gate::Open, None));
        }
    }
}

impl<T, E, F, G> Driver<T, E, F, G> {
    /// Tells those who wait for room.
    #[inline]
    pub(super) fn notice_room(&self) {
        if let Some(mail) = &self.mail {
            mail.notice_room();
        }
    }
}

/// A poll. If it panics, those who wait for room are told all the same.
struct Polling<'a, T, E, F, G>(&'a mut Driver<T, E, F, G>);

impl<T, E, F, G> Drop for Polling<'_, T, E, F, G> {
    fn drop(&mut self) {
        sequence(|steps| steps.run(|| self.0.notice_room()));
    }
}
