//! Tasks that follow scripts, and tell a `World` whatever happens to them. The world knows the rules:
//! it says what may happen next, and what a call has to return.
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use crate::common::Root;
use errgroup::{CancelKind, Cancelled, Panicked};
use proptest::prelude::*;

mod groups;
mod maps;

/// What a task does in its polls, one after the other.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// Wakes itself and is pending.
    Yield,
    /// Is pending until it is woken from outside.
    Wait,
    /// Needs one of the units that are given out for each poll of the whole.
    Take,
    /// Takes all units, in each poll, until no other task runs but such ones.
    Hog,
    Spawn(Script),
    SetLimit(usize),
    /// Says that it is up, if somebody waits for that.
    Up,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Last {
    Ok,
    Err,
    Panic,
}

#[derive(Clone, Debug, PartialEq)]
struct Script {
    steps: Vec<Step>,
    last: Last,
    at_drop: AtDrop,
}

/// What the destructor of a task does.
#[derive(Clone, Debug, PartialEq)]
enum AtDrop {
    Nothing,
    Spawn(Box<Script>),
    /// As far as the model knows what comes of that.
    Panic,
}

/// The error of a task.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Failed(usize),
    Panicked(usize),
    Cancelled(CancelKind),
}

impl From<Panicked> for Fault {
    fn from(panicked: Panicked) -> Self {
        Fault::Panicked(*panicked.into_payload().downcast().unwrap())
    }
}

impl From<Cancelled> for Fault {
    fn from(reason: Cancelled) -> Self {
        Fault::Cancelled(reason.kind())
    }
}

/// The value of a task: its number, or nothing.
trait Value: Send + fmt::Debug + PartialEq + Copy + 'static {
    fn of(id: usize) -> Self;
}

impl Value for usize {
    fn of(id: usize) -> Self {
        id
    }
}

impl Value for () {
    fn of(_: usize) -> Self {}
}

/// What the group is being driven for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Aim {
    /// `.await`
    Result,
    /// `collect`, `ready`, `drive`
    Keep,
    /// `wait_all`, `settle`
    All,
    FirstOk,
    Next,
}

impl Aim {
    fn fails(self) -> bool {
        matches!(self, Aim::Result | Aim::Keep)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Refused,
    Queued,
    Running,
    /// It has returned, or panicked.
    Ended,
    Dropped,
}

/// What a task counts for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Counts {
    ForAll,
    /// For being done, not for the limit.
    Starting,
    /// The same, and it has no index.
    Body,
    /// For nothing.
    Background,
}

#[derive(Debug)]
struct TaskState {
    index: usize,
    state: State,
    counts: Counts,
    /// It has said so.
    is_up: bool,
    woken: bool,
    /// It was woken while it was woken already, which may cost one poll more.
    again: bool,
    waker: Option<Waker>,
    /// The poll of the whole in which it was polled last.
    polled: usize,
    released: bool,
    aborted: bool,
    /// By its handle, so that the group goes on taking tasks meanwhile.
    aborted_alone: bool,
    /// How many polls had returned `Pending` before that.
    aborted_at: usize,
    /// It was dropped, which happens once.
    gone: bool,
    hog: bool,
}

/// What has happened, and what may.
#[derive(Debug)]
struct World {
    keep_going: bool,
    graceful: bool,
    catch: bool,
    tasks: Vec<TaskState>,
    queue: VecDeque<usize>,
    next_index: usize,
    limit: usize,
    aim: Aim,
    poll: usize,
    /// How many of them have returned `Pending`.
    pendings: usize,
    /// The last poll of it returned `Pending`, and nobody was woken.
    asleep: bool,
    units: usize,
    /// Those who are woken after the poll of the whole.
    late: Option<Vec<(usize, Waker)>>,
    /// The tasks that have given a value.
    values: HashSet<usize>,
    /// Outcomes that the group keeps, as they came: the task, and its error.
    kept: VecDeque<(usize, Option<Fault>)>,
    /// The one among them that `next` was about to give when the destructor of its task panicked.
    stuck: Option<usize>,
    failed: bool,
    /// The failure of a graceful group was handed over by `next` while tasks were running. What
    /// becomes of outcomes that come later is open.
    open: bool,
    /// The grace was over.
    cut: bool,
    /// The context is cancelled.
    cancelled: Option<CancelKind>,
    grace_over: bool,
    grace_waker: Option<Waker>,
    /// It takes nothing more.
    closed: bool,
    /// Everything may be dropped now.
    ending: bool,
    /// A task has panicked, and nobody caught it.
    panicked: bool,
    /// Everybody goes on without waiting.
    hurry: bool,
    /// The group is consumed, so that a panic drops it.
    consumed: bool,
    /// Whether this one is refused is open.
    unsure: Option<usize>,
    /// If so, because the group has closed for good.
    closes: bool,
    /// How many keep the group open.
    open_by: usize,
    /// All are being aborted, and no others are taken.
    pausing: bool,
    faults: Vec<String>,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<World>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    fn len(&self) -> usize {
        let world = self.lock();
        world.queued() + world.running()
    }
}

impl TaskState {
    fn wake(&mut self) {
        self.again |= self.woken;
        self.woken = true;
    }
}

impl World {
    fn new(limit: usize, late: bool) -> Self {
        World {
            keep_going: false,
            graceful: false,
            catch: false,
            tasks: Vec::new(),
            queue: VecDeque::new(),
            next_index: 0,
            limit,
            aim: Aim::Next,
            poll: 0,
            pendings: 0,
            asleep: false,
            units: 0,
            late: late.then(Vec::new),
            values: HashSet::new(),
            kept: VecDeque::new(),
            stuck: None,
            failed: false,
            open: false,
            cut: false,
            cancelled: None,
            grace_over: false,
            grace_waker: None,
            closed: false,
            ending: false,
            panicked: false,
            hurry: false,
            consumed: false,
            unsure: None,
            closes: false,
            open_by: 0,
            pausing: false,
            faults: Vec::new(),
        }
    }

    fn fault(&mut self, text: impl Into<String>) {
        self.faults.push(text.into());
    }

    fn count(&self, state: State) -> usize {
        let counts = |task: &&TaskState| task.state == state && task.counts == Counts::ForAll;
        self.tasks.iter().filter(counts).count()
    }

    fn running(&self) -> usize {
        self.count(State::Running)
    }

    fn queued(&self) -> usize {
        self.count(State::Queued)
    }

    fn is_live(&self, id: usize) -> bool {
        matches!(self.tasks[id].state, State::Running | State::Queued)
    }

    fn refuses(&self) -> bool {
        self.failed || self.closed || self.ending || self.cut
    }

    /// Nothing is left but what is in the background.
    fn is_empty(&self) -> bool {
        let counts = |&id: &usize| self.tasks[id].counts != Counts::Background;
        !(0..self.tasks.len())
            .filter(counts)
            .any(|id| self.is_live(id))
    }

    /// Nothing holds up its end.
    fn is_done(&self) -> bool {
        self.is_empty() && (self.open_by == 0 || self.cancelled.is_some())
    }

    /// Whether it may have closed: it is empty, and its context cancelled.
    fn may_be_closed(&self) -> bool {
        self.cancelled.is_some() && self.is_empty()
    }

    fn has_success(&self) -> bool {
        self.aim == Aim::FirstOk && self.kept.iter().any(|(_, error)| error.is_none())
    }

    /// A task is spawned.
    fn add(&mut self, script: &Script, full: bool) -> usize {
        self.add_as(script, full, Counts::ForAll)
    }

    /// The body of a scope is made: the first that starts, also in a group that takes no tasks.
    fn add_body(&mut self, script: &Script) -> usize {
        let id = self.push(script, State::Queued, Counts::Body);
        self.tasks[id].index = usize::MAX;
        self.queue.push_front(id);
        id
    }

    fn add_as(&mut self, script: &Script, full: bool, counts: Counts) -> usize {
        let id = self.tasks.len();
        let refused = self.refuses() || full;
        self.unsure = None;
        if !refused && self.may_be_closed() {
            self.unsure = Some(id);
            self.closes = true;
        }
        if refused {
            return self.push(script, State::Refused, counts);
        }
        self.push(script, State::Queued, counts);
        self.next_index += 1;
        self.queue.push_back(id);
        id
    }

    fn push(&mut self, script: &Script, state: State, counts: Counts) -> usize {
        self.tasks.push(TaskState {
            index: self.next_index,
            state,
            counts,
            is_up: false,
            woken: true,
            again: false,
            waker: None,
            polled: usize::MAX,
            released: false,
            aborted: false,
            aborted_alone: false,
            aborted_at: 0,
            gone: false,
            hog: script.steps.iter().any(|step| matches!(step, Step::Hog)),
        });
        self.tasks.len() - 1
    }

    /// A task is polled.
    fn polled(&mut self, id: usize, waker: &Waker) {
        let (poll, running, limit) = (self.poll, self.running(), self.limit);
        // Without a slot it is the turn of those that need none.
        let counts = self.tasks[id].counts;
        let has_slot = running < limit;
        let may_start = |&&id: &&usize| has_slot || self.tasks[id].counts != Counts::ForAll;
        let first = self.queue.iter().find(may_start) == Some(&id);
        // A body runs in a graceful group that has failed, if that was handed over.
        let over = self.failed && self.aim.fails() && counts != Counts::Body;
        self.unsure = None;
        let task = &mut self.tasks[id];
        let mut faults = Vec::new();
        match task.state {
            State::Queued => {
                task.state = State::Running;
                if counts == Counts::ForAll && !has_slot {
                    faults.push("R8: started beyond the limit");
                } else if !first {
                    faults.push("R8: started before another");
                }
                if over {
                    faults.push("R7: started after the failure");
                }
                self.queue.retain(|&queued| queued != id);
            }
            State::Running => {
                if !task.woken && !mem::take(&mut task.again) {
                    faults.push("R2: polled, but was not woken");
                }
                if task.polled == poll {
                    faults.push("R2: polled twice in one poll");
                }
            }
            _ => faults.push("R1: polled, but is over"),
        }
        let task = &mut self.tasks[id];
        if task.aborted {
            faults.push("H2: polled, but was aborted");
        }
        task.woken = false;
        task.polled = poll;
        task.waker = Some(waker.clone());
        if self.failed && !self.graceful && self.aim.fails() {
            faults.push("R5: polled after the failure");
        }
        for fault in faults {
            self.fault(format!("{fault}: {id}"));
        }
    }

    /// A task returns.
    fn ended(&mut self, id: usize, error: Option<Fault>) {
        let task = &mut self.tasks[id];
        task.state = State::Ended;
        task.waker = None;
        if let (Some(Fault::Panicked(_)), false) = (error, self.catch) {
            // It has no outcome.
            self.panicked = true;
            self.ending |= self.consumed;
            return;
        }
        if error.is_none() {
            self.values.insert(id);
        }
        self.outcome(id, error);
    }

    fn outcome(&mut self, id: usize, error: Option<Fault>) {
        if error.is_none() {
            let has_none = self.tasks[id].counts == Counts::Background;
            if self.aim != Aim::Result && !has_none {
                self.kept.push_back((id, None));
            }
            return;
        }
        let drops = match self.aim {
            Aim::Result => {
                let in_vain = self.failed && self.tasks[id].counts != Counts::Body;
                in_vain || self.first_error().is_some()
            }
            Aim::Keep => self.failed,
            _ => false,
        };
        if drops {
            return;
        }
        self.kept.push_back((id, error));
        self.failed |= self.aim.fails() && !self.keep_going;
        if self.graceful && !matches!(self.aim, Aim::FirstOk | Aim::Next) {
            self.cancelled.get_or_insert(CancelKind::TaskFailed);
        }
    }

    /// A task is dropped. Returns whether its destructor could spawn, if that is sure, and whether
    /// it is to panic.
    fn dropped(&mut self, id: usize, at_drop: &AtDrop) -> (Option<bool>, bool) {
        let fail_fast = self.failed && !self.graceful;
        let all = self.ending || self.cut || fail_fast || self.has_success();
        // What is in the background goes with the last of the others.
        let is_over = self.is_empty() && (self.consumed || self.cancelled.is_some());
        let was_closing = self.may_be_closed();
        let task = &mut self.tasks[id];
        if task.counts == Counts::Background && is_over && !all && !task.aborted {
            // Which closes it, though its destructor may panic before that is told.
            self.closed |= matches!(task.state, State::Queued | State::Running);
        }
        let all = all || task.counts == Counts::Background && is_over;
        if self.unsure == Some(id) {
            task.state = State::Refused;
            self.next_index -= 1;
            self.queue.retain(|&queued| queued != id);
        }
        let task = &mut self.tasks[id];
        let was = task.state;
        let twice = mem::replace(&mut task.gone, true);
        let may = match was {
            State::Refused | State::Ended => true,
            State::Queued => all || task.aborted || self.failed,
            State::Running => all || task.aborted,
            State::Dropped => false,
        };
        let alone = task.aborted_alone;
        if matches!(was, State::Queued | State::Running) {
            task.state = State::Dropped;
            task.waker = None;
            self.queue.retain(|&queued| queued != id);
        }
        if twice || !may {
            self.fault(format!("{id} was dropped while {was:?}; twice: {twice}"));
        }
        if self.unsure == Some(id) {
            self.closed |= self.closes;
        }
        let is_open = was_closing || self.may_be_closed() || self.unsure.is_some();
        let welcome = match was {
            // Its own failure, or the end of the whole, may come after its destructor.
            State::Ended => (!self.refuses() && !self.has_success() && !is_open).then_some(true),
            State::Refused if self.refuses() => Some(false),
            State::Refused => (!is_open && !self.pausing).then_some(true),
            _ if alone => None,
            _ => Some(false),
        };
        let panics = *at_drop == AtDrop::Panic && self.may_panic(id, was);
        (welcome, panics)
    }

    /// The destructor of a task may panic; it does if this says so.
    fn may_panic(&mut self, id: usize, was: State) -> bool {
        let has_value = self.values.contains(&id);
        let panics = match was {
            State::Ended => has_value,
            // The outcome that it has then is known in the next poll only.
            State::Queued | State::Running => !(self.catch && self.tasks[id].aborted),
            State::Refused | State::Dropped => false,
        };
        if !panics || std::thread::panicking() {
            return false;
        }
        if was == State::Ended && self.catch {
            // P3: that is its outcome.
            self.kept.retain(|&(kept, _)| kept != id);
            self.outcome(id, Some(Fault::Panicked(id)));
            return true;
        }
        if was == State::Ended && self.aim == Aim::Next {
            self.stuck = Some(id);
        }
        self.panicked = true;
        self.ending |= self.consumed;
        true
    }

    /// A poll begins.
    fn begins(&mut self, units: usize) {
        self.poll += 1;
        self.units = units;
        if self.aim == Aim::Next {
            return;
        }
        let stuck = self.stuck.take();
        if self.aim == Aim::Result {
            // R11: `.await` keeps no values, and takes this one in as if it came now.
            self.kept.retain(|&(id, _)| Some(id) != stuck);
        }
    }

    /// Whether this one is taken is told by what happens.
    fn is_open(&mut self, id: usize) {
        let task = &mut self.tasks[id];
        if task.state == State::Refused {
            task.state = State::Queued;
            task.index = self.next_index;
            self.next_index += 1;
            self.queue.push_back(id);
        }
        self.unsure = Some(id);
        self.closes = false;
    }

    /// The destructor of a task has spawned this one.
    fn spawned_at_drop(&mut self, id: usize, welcome: Option<bool>) {
        self.unsure = None;
        let accepted = !self.tasks[id].gone;
        if welcome.is_some_and(|welcome| welcome != accepted) {
            self.fault(format!("R7: a destructor could spawn {id}: {accepted}"));
        }
    }

    /// A task says that it is up.
    fn up(&mut self, id: usize) {
        self.tasks[id].is_up = true;
        self.tasks[id].counts = Counts::ForAll;
    }

    /// What is left when the grace is over has an outcome.
    fn grace_is_over(&mut self) {
        let Some(kind) = self.cancelled else {
            return self.fault("G1: a grace without a cancellation");
        };
        self.cut = true;
        self.failed = true;
        // Lowest index first.
        let mut ids: Vec<_> = (0..self.tasks.len()).collect();
        ids.sort_by_key(|&id| self.tasks[id].index);
        for id in ids {
            let task = &self.tasks[id];
            if self.is_live(id) && !task.aborted && task.counts != Counts::Background {
                self.kept.push_back((id, Some(Fault::Cancelled(kind))));
            }
        }
    }

    fn abort(&mut self, id: usize) {
        self.tasks[id].aborted = true;
        self.tasks[id].aborted_at = self.pendings;
    }

    /// The group has handed over all that it kept.
    fn handed_over(&mut self) {
        if !self.kept.is_empty() {
            return;
        }
        if !self.graceful {
            self.failed = false;
        } else if self.failed && !self.is_empty() {
            self.open = true;
        }
    }

    /// A call has found the group empty, perhaps because it had failed.
    fn found_empty(&mut self, failed: bool) {
        if self.open_by > 0 && self.cancelled.is_none() && !failed {
            self.fault("R14: it was done, and was kept open");
        }
        if !self.is_empty() {
            self.fault("R10: it was done, and was not empty");
        }
        // R7: closed for good; its failure, if it had one, was handed over, so that `drive` has
        // nothing to stop for.
        if self.cancelled.is_some() {
            self.closed = true;
            self.failed = false;
        }
    }

    /// Whether a task that has ended has given a value.
    fn value_of(&self, id: usize) -> bool {
        self.values.contains(&id)
    }

    fn first_error(&self) -> Option<Fault> {
        self.kept.iter().find_map(|(_, error)| *error)
    }

    /// What was kept, by index.
    fn sorted(&self) -> Vec<(usize, usize, Option<Fault>)> {
        let index = |&(id, error): &(usize, Option<Fault>)| (self.tasks[id].index, id, error);
        let mut sorted: Vec<_> = self.kept.iter().map(index).collect();
        sorted.sort_by_key(|&(index, ..)| index);
        sorted
    }

    /// Those who are to be woken now, and whether any of them is still there.
    fn take_late(&mut self) -> (Vec<Waker>, bool) {
        let late = self.late.as_mut().map(mem::take).unwrap_or_default();
        let any = late.iter().any(|&(id, _)| self.is_live(id));
        (
            late.into_iter().map(|(_, waker)| waker).rev().collect(),
            any,
        )
    }

    /// The group returned `Pending` and was not woken: it must have nothing to do.
    fn sleeps(&mut self) {
        let woken = |task: &TaskState| task.state == State::Running && task.woken;
        if let Some(id) = self.tasks.iter().position(woken) {
            self.fault(format!("R2: sleeps, but {id} is woken"));
        }
        let may_start =
            |&id: &usize| self.running() < self.limit || self.tasks[id].counts != Counts::ForAll;
        if self.queue.iter().any(may_start) {
            self.fault("R8: sleeps, but a queued task may start");
        }
        if self.is_done() && (self.consumed || self.aim != Aim::Keep) {
            self.fault("R10: sleeps, but is done");
        }
        if self.grace_over && !self.closed && !self.cut && self.cancelled.is_some() {
            self.fault("G1: sleeps, but the grace is over");
        }
    }
}

/// A task that follows its script.
struct Scripted<T, S: Fn(Step, Option<bool>)> {
    world: Shared,
    id: usize,
    steps: VecDeque<Step>,
    last: Last,
    at_drop: AtDrop,
    /// For the steps that need a spawner, and for its destructor.
    spawn: S,
    value: PhantomData<fn() -> T>,
}

impl<T, S: Fn(Step, Option<bool>)> Unpin for Scripted<T, S> {}

impl<T: Value, S: Fn(Step, Option<bool>)> Future for Scripted<T, S> {
    type Output = Result<T, Fault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let id = this.id;
        this.world.lock().polled(id, cx.waker());
        while let Some(step) = this.steps.front() {
            let mut world = this.world.lock();
            let wake_late = |world: &mut World| {
                world.tasks[id].wake();
                match &mut world.late {
                    Some(late) => late.push((id, cx.waker().clone())),
                    None => cx.waker().wake_by_ref(),
                }
            };
            match step {
                Step::Yield => {
                    this.steps.pop_front();
                    world.tasks[id].wake();
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Step::Wait if world.hurry || world.tasks[id].released => {}
                Step::Wait => return Poll::Pending,
                Step::Take if world.units > 0 => world.units -= 1,
                Step::Take => {
                    wake_late(&mut world);
                    return Poll::Pending;
                }
                Step::Hog => {
                    world.units = 0;
                    let others = |task: &TaskState| task.state == State::Running && !task.hog;
                    if world.tasks.iter().any(others) {
                        wake_late(&mut world);
                        return Poll::Pending;
                    }
                }
                Step::Spawn(_) | Step::SetLimit(_) | Step::Up => {
                    if let Step::SetLimit(limit) = step {
                        world.limit = *limit;
                    }
                    drop(world);
                    let step = this.steps.pop_front().unwrap();
                    (this.spawn)(step, None);
                    continue;
                }
            }
            this.steps.pop_front();
        }
        let mut world = this.world.lock();
        let error = match this.last {
            Last::Ok => None,
            Last::Err => Some(Fault::Failed(id)),
            Last::Panic => Some(Fault::Panicked(id)),
        };
        world.ended(id, error);
        drop(world);
        if this.last == Last::Panic {
            resume_unwind(Box::new(id));
        }
        Poll::Ready(error.map_or(Ok(T::of(id)), Err))
    }
}

impl<T, S: Fn(Step, Option<bool>)> Drop for Scripted<T, S> {
    fn drop(&mut self) {
        let at_drop = mem::replace(&mut self.at_drop, AtDrop::Nothing);
        let (welcome, panics) = self.world.lock().dropped(self.id, &at_drop);
        if let AtDrop::Spawn(script) = at_drop {
            (self.spawn)(Step::Spawn(*script), welcome);
        }
        if panics {
            resume_unwind(Box::new(self.id));
        }
    }
}

/// Calls what may drop tasks, whose destructors may panic.
fn calling<R>(world: &Shared, f: impl FnOnce() -> R) -> Option<R> {
    let result = catch_unwind(AssertUnwindSafe(f));
    let mut world = world.lock();
    if result.is_ok() == mem::take(&mut world.panicked) {
        world.fault("P4: a panic was lost or made");
    }
    result.ok()
}

/// Polls the whole once. `None` if a task has panicked.
fn poll_once<F: Future + ?Sized>(
    root: &Root,
    world: &Shared,
    units: usize,
    future: Pin<&mut F>,
) -> Option<Poll<F::Output>> {
    world.lock().begins(units);
    root.wakes();
    let mut cx = Context::from_waker(root.waker());
    let poll = catch_unwind(AssertUnwindSafe(|| future.poll(&mut cx)));
    let expected = mem::take(&mut world.lock().panicked);
    if poll.is_ok() == expected {
        world.lock().fault("P1: a panic was lost or made");
    }
    let parked = matches!(poll, Ok(Poll::Pending)) && root.wakes() == 0;
    let (late, any) = world.lock().take_late();
    world.lock().asleep = parked && !any;
    if parked && !any {
        world.lock().sleeps();
    }
    late.into_iter().for_each(Waker::wake);
    if parked && any && root.wakes() == 0 {
        world.lock().fault("R4: a wake was lost");
    }
    if let Ok(Poll::Pending) = poll {
        let mut world = world.lock();
        // Not in a poll that ends at once, because those before have spent the budget; and it may
        // take one more for every 256 tasks that are woken, which come first.
        world.pendings += 1;
        let (pendings, longer) = (world.pendings, 1 + world.tasks.len() / 256);
        let is_late = |task: &TaskState| task.aborted && pendings > task.aborted_at + longer;
        if (0..world.tasks.len()).any(|id| world.is_live(id) && is_late(&world.tasks[id])) {
            world.fault("H2: an aborted task was not dropped");
        }
    }
    poll.ok()
}

/// Drives it to its end. `None` if a task has panicked.
fn finish<F: Future>(
    root: &Root,
    world: &Shared,
    patience: usize,
    units: usize,
    future: F,
) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut polls = (0..patience).map(|_| poll_once(root, world, units, future.as_mut()));
    let ended = polls.find(|poll| !matches!(poll, Some(Poll::Pending)));
    calling(world, || drop(future));
    match ended {
        Some(poll) => match poll? {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        },
        None => {
            world.lock().fault("R2: it has not ended");
            None
        }
    }
}

/// In how many polls everything has ended that these say.
fn patience<'a>(scripts: impl IntoIterator<Item = &'a Script>) -> usize {
    let (mut tasks, mut steps) = (1, 1);
    for script in scripts {
        script.count(&mut tasks, &mut steps);
    }
    100 + 24 * tasks * steps
}

impl Script {
    fn count(&self, tasks: &mut usize, steps: &mut usize) {
        *tasks += 1;
        *steps += self.steps.len();
        for step in &self.steps {
            if let Step::Spawn(script) = step {
                script.count(tasks, steps);
            }
        }
        if let AtDrop::Spawn(script) = &self.at_drop {
            script.count(tasks, steps);
        }
    }
}

fn scripts() -> impl Strategy<Value = Script> {
    let last = || {
        prop_oneof![
            8 => Just(Last::Ok),
            2 => Just(Last::Err),
            1 => Just(Last::Panic),
        ]
    };
    let simple = || {
        prop_oneof![
            3 => Just(Step::Yield),
            3 => Just(Step::Wait),
            3 => Just(Step::Take),
            1 => Just(Step::Hog),
            1 => (1..4_usize).prop_map(Step::SetLimit),
            2 => Just(Step::Up),
        ]
    };
    let at_drop = prop_oneof![12 => Just(AtDrop::Nothing), 1 => Just(AtDrop::Panic)];
    let leaf = (prop::collection::vec(simple(), 0..4), last(), at_drop).prop_map(
        |(steps, last, at_drop)| Script {
            steps,
            last,
            at_drop,
        },
    );
    leaf.prop_recursive(3, 8, 2, move |inner| {
        let step = prop_oneof![4 => simple(), 1 => inner.clone().prop_map(Step::Spawn)];
        let at_drop = prop_oneof![
            12 => Just(AtDrop::Nothing),
            1 => Just(AtDrop::Panic),
            2 => inner.prop_map(|script| AtDrop::Spawn(Box::new(script))),
        ];
        (prop::collection::vec(step, 0..4), last(), at_drop).prop_map(|(steps, last, at_drop)| {
            Script {
                steps,
                last,
                at_drop,
            }
        })
    })
}
