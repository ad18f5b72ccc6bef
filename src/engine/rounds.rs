//! The order in which tasks have their turns, and how many of them before the parent goes on.

use core::future::Future;
use core::mem;
use core::task::Context;

use crate::engine::chunk::{Budget, Source};
use crate::engine::parker::Parker;
use crate::engine::tasks::Tasks;
use crate::util::sync::{Arc, seed};

/// How many tasks are polled between two returns of `Pending`, and how many of these are new ones if
/// there are so many.
const BUDGET: Budget = Budget {
    left: 256,
    reserve: 16,
};

/// Running tasks, and whose turn it is.
///
/// A poll goes like this: [`enter`](Rounds::enter); then [`step`](Rounds::step) as long as that
/// gives something; then [`park`](Rounds::park), which ends the poll or says that there is more to
/// do. [`run`](Rounds::run) is the last two, for who has nothing to do in between.
///
/// # Fairness
///
/// Nobody starves, also when the tasks share something that is given out once for each poll of the
/// whole, as the cooperative budget of tokio is: whoever is polled first may take all of it. So
///
/// - a *round* polls what is woken once. A poll takes part in one round alone; a round takes as
///   many polls as its tasks need;
/// - each round begins one woken task further than the last one. So everyone is once the first;
/// - what is polled beside the tasks, if it is woken in each poll, comes first in every second one
///   ([`beside_is_first`](Rounds::beside_is_first)). Where the tasks begin moves on only if they
///   were the first in a poll since it moved last: otherwise two tasks would always have their
///   turn in the same kind of poll;
/// - one time in eight, by chance, neither of the two moves on. For a group may be a task of another
///   one, which is the first in every n-th poll alone: if n were a multiple of the length of its own
///   turns, the same task would be the first of it each time.
///
/// Here a *poll* ends when `Pending` is returned. Of what begins with a result, like a call of
/// `next`, there may be many in one.
pub(crate) struct Rounds<F, S> {
    pub(super) tasks: Tasks<F, S>,
    budget: Budget,
    /// The last call returned `Pending`, so that the next begins with a new budget.
    pending: bool,
    /// The round is not over.
    in_round: bool,
    /// This call has polled a task in this round, or has begun it.
    in_this_call: bool,
    /// The tasks were first in a poll since the start of the rounds moved last.
    led: bool,
    /// Whether what is beside the tasks is first in this poll, if that was asked.
    beside_first: Option<bool>,
    /// Whether it was the last time.
    beside_was_first: bool,
    /// In how many polls in a row it was woken, and polled to no end.
    beside_waits: u8,
    dice: Dice,
}

impl<F, S> Rounds<F, S>
where
    F: Future + Unpin,
    S: Default + Send + Sync + 'static,
{
    /// Begins a poll, in a call that has [begun](Rounds::begin). False if it has to end at once,
    /// because the budget is spent.
    #[inline]
    pub(crate) fn enter(&mut self, parker: &Parker<S>, cx: &mut Context<'_>) -> bool {
        if mem::take(&mut self.pending) {
            self.budget = BUDGET;
            self.led |= self.beside_first.take() != Some(true);
        }
        if !self.has_budget() {
            self.yield_to_others(cx);
            return false;
        }
        if !self.in_round {
            self.begin_round(parker);
        }
        self.look(parker);
        true
    }

    #[inline]
    fn begin_round(&mut self, parker: &Parker<S>) {
        let moves = self.led && self.moves_on(parker);
        self.led &= !moves;
        self.tasks.begin_round(moves);
        self.in_round = true;
        self.in_this_call = true;
    }

    /// Whether what should move on does, and does not stay by chance.
    #[inline]
    fn moves_on(&mut self, parker: &Parker<S>) -> bool {
        // One alone is the first in any case.
        parker.len() <= 1 || self.dice.throw(seed(parker)) != 0
    }

    /// Finds out which tasks were woken.
    #[inline]
    fn look(&mut self, parker: &Parker<S>) {
        if parker.look() {
            self.tasks.gather();
        }
    }

    /// What is beside the tasks was woken and polled to no end, or it was not.
    pub(crate) fn beside_was_polled(&mut self, in_vain: bool) {
        self.beside_waits = if in_vain {
            self.beside_waits.saturating_add(1)
        } else {
            0
        };
    }

    /// Whether what is polled beside the tasks comes before them in this poll.
    pub(crate) fn beside_is_first(&mut self, parker: &Parker<S>) -> bool {
        if let Some(first) = self.beside_first {
            return first;
        }
        if self.beside_waits < 2 {
            return false;
        }
        self.beside_was_first ^= self.moves_on(parker);
        *self.beside_first.insert(self.beside_was_first)
    }

    #[inline]
    pub(crate) fn has_budget(&self) -> bool {
        self.budget.left > 0
    }

    /// Begins a call, which may poll or not.
    #[inline]
    pub(crate) fn begin(&mut self) {
        self.in_this_call = false;
    }

    /// Begins a round, unless this call has one.
    pub(crate) fn begin_own_round(&mut self, parker: &Parker<S>) {
        if !self.in_this_call {
            self.begin_round(parker);
        }
    }

    /// Begins a poll that only starts new tasks.
    pub(crate) fn enter_to_start(&mut self, parker: &Parker<S>) {
        if !self.in_round {
            self.begin_round(parker);
        }
        self.in_this_call = true;
    }

    /// What is beside the tasks has come before them, and counts as one of them: somebody may drive
    /// them together with what is always ready.
    pub(crate) fn spend_one(&mut self) {
        self.budget.left -= 1;
    }

    /// Whether this is the first call with a new budget.
    pub(crate) fn is_fresh(&self) -> bool {
        self.pending
    }

    /// Polls tasks until there is nothing left to do, and parks: the short way of a poll. False if
    /// the source wants to look at something first.
    #[inline]
    pub(crate) fn run(
        &mut self,
        parker: &Arc<Parker<S>>,
        source: &mut impl Source<F, S>,
        cx: &mut Context<'_>,
    ) -> bool {
        loop {
            if self.step(parker, source, cx) || source.has_news(parker) {
                return false;
            }
            let more = source.is_startable(parker);
            if self.park(parker, cx, more) {
                return true;
            }
        }
    }

    /// Polls woken tasks, and starts new ones, until the source wants to look at one that is done
    /// (true), or nothing more can be done in this poll.
    #[inline(always)]
    pub(crate) fn step(
        &mut self,
        parker: &Arc<Parker<S>>,
        source: &mut impl Source<F, S>,
        cx: &mut Context<'_>,
    ) -> bool {
        loop {
            let mut is_over = true;
            if self.tasks.has_woken(parker) {
                // Something of the budget is for new ones, if there are some.
                if !source.is_startable(parker) {
                    self.budget.reserve = 0;
                }
                let before = self.budget.left;
                let stops = self.tasks.poll_woken(parker, &mut self.budget, source);
                self.in_this_call |= self.budget.left < before;
                if stops {
                    return true;
                }
                is_over = !self.budget.is_spent();
            }
            // If the round was an earlier call's, this one may have its own.
            if is_over && !self.in_this_call {
                self.begin_round(parker);
                continue;
            }
            self.in_round &= !is_over;
            if !self.has_budget() || !source.is_startable(parker) {
                return false;
            }
            if self.start(parker, source, cx) {
                return true;
            }
        }
    }

    /// Starts new tasks, until the source wants to look at one that is done (true), or none may
    /// start.
    pub(crate) fn start(
        &mut self,
        parker: &Arc<Parker<S>>,
        source: &mut impl Source<F, S>,
        cx: &mut Context<'_>,
    ) -> bool {
        self.tasks.start(parker, cx, &mut self.budget, source)
    }

    /// Starts new tasks before what is woken has its turn. They have had theirs then, and are for no
    /// round of this call: either that has begun before, or it goes on with an earlier call's.
    pub(crate) fn start_first(
        &mut self,
        parker: &Arc<Parker<S>>,
        source: &mut impl Source<F, S>,
        cx: &mut Context<'_>,
    ) -> bool {
        if self.tasks.has_woken(parker) {
            self.in_this_call = true;
        } else {
            self.begin_own_round(parker);
        }
        self.start(parker, source, cx)
    }

    /// Ends a poll that has nothing left to do, to return `Pending`. False if something happened
    /// meanwhile, so that it has to go on. With `more`, there is something to do in the next poll.
    #[inline(always)]
    pub(crate) fn park(&mut self, parker: &Parker<S>, cx: &mut Context<'_>, more: bool) -> bool {
        if !(more || self.tasks.has_left(parker)) {
            self.tasks.tidy();
            if parker.park(cx.waker()) {
                self.pending = true;
                return true;
            }
            // Another thread that wakes and wakes, and never to any effect, must not hold us here:
            // to look once more is paid for.
            self.budget.left = self.budget.left.saturating_sub(1);
            if self.has_budget() {
                self.look(parker);
                return false;
            }
        }
        self.yield_to_others(cx);
        true
    }

    /// Returns `Pending` only to be polled again.
    fn yield_to_others(&mut self, cx: &mut Context<'_>) {
        self.pending = true;
        cx.waker().wake_by_ref();
    }
}

impl<F, S> Rounds<F, S> {
    pub(super) fn new() -> Self {
        Rounds {
            tasks: Tasks::new(),
            budget: BUDGET,
            pending: false,
            in_round: false,
            in_this_call: false,
            led: false,
            beside_first: None,
            beside_was_first: true,
            beside_waits: 0,
            dice: Dice(0),
        }
    }

    /// Takes all tasks out, for their last time: what is left of the round is over.
    pub(super) fn take_tasks(&mut self) -> Tasks<F, S> {
        self.tasks.close();
        self.in_round = false;
        mem::replace(&mut self.tasks, Tasks::new())
    }
}

/// Numbers that look random; each engine has others.
struct Dice(u32);

impl Dice {
    /// A number below 8.
    #[inline]
    fn throw(&mut self, seed: usize) -> u32 {
        // Steps of the golden ratio; seeds are addresses, which are near to each other; then the upper
        // bits are mixed into the others.
        self.0 = self.0.wrapping_add(0x9e37_79b9);
        let step = self.0 ^ (seed as u32).wrapping_mul(0x85eb_ca6b);
        let mixed = (step ^ (step >> 16)).wrapping_mul(0x21f0_aaad);
        mixed >> 29
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_throw_comes_as_often_as_another_also_of_every_nth_one() {
        for nth in 1..=64 {
            let mut dice = Dice(0);
            let mut counts = [0; 8];
            for _ in 0..8_000 {
                let throws = (0..nth).map(|_| dice.throw(0x7f00_1230));
                counts[throws.last().unwrap() as usize] += 1;
            }
            let close = |count: &i32| (800..1_200).contains(count);
            assert!(counts.iter().all(close), "{nth}: {counts:?}");
        }
    }

    #[test]
    fn those_of_another_engine_come_whatever_comes_here() {
        for distance in [16, 32, 64, 128, 208, 256, 416, 4096, 1 << 20] {
            let seed = 0x7f00_1230;
            let (mut here, mut there) = (Dice(0), Dice(0));
            let throws = (0..64_000).map(|_| (here.throw(seed), there.throw(seed + distance)));
            let same = throws.filter(|(here, there)| here == there).count();
            assert!((7_000..9_000).contains(&same), "{distance}: {same}");
        }
    }
}
