//! Tasks that follow scripts, and tell a `World` whatever happens to them. The world knows the rules:
//! it says what may happen next, and what a call has to return.
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use crate::common::Root;
use errgroup::{CancelKind, Cancelled, Panicked};
use proptest::prelude::*;

mod groups;
mod maps;

/// What a task does in its polls, one after the other.
#[derive(Clone, Debug)]
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
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Last {
    Ok,
    Err,
    Panic,
}

#[derive(Clone, Debug)]
struct Script {
    steps: Vec<Step>,
    last: Last,
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

#[derive(Debug)]
struct TaskState {
    index: usize,
    state: State,
    woken: bool,
    /// It was woken while it was woken already, which may cost one poll more.
    again: bool,
    waker: Option<Waker>,
    /// The poll of the whole in which it was polled last.
    polled: usize,
    released: bool,
    aborted: bool,
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
    /// Whether this one is refused is open: the group is empty, and its context cancelled.
    unsure: Option<usize>,
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
        world.queue.len() + world.running()
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
            faults: Vec::new(),
        }
    }

    fn fault(&mut self, text: impl Into<String>) {
        self.faults.push(text.into());
    }

    fn running(&self) -> usize {
        let running = |task: &&TaskState| task.state == State::Running;
        self.tasks.iter().filter(running).count()
    }

    fn is_live(&self, id: usize) -> bool {
        matches!(self.tasks[id].state, State::Running | State::Queued)
    }

    fn refuses(&self) -> bool {
        self.failed || self.closed || self.ending || self.cut
    }

    fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.running() == 0
    }

    /// A task is spawned.
    fn add(&mut self, script: &Script, full: bool) -> usize {
        let id = self.tasks.len();
        let refused = self.refuses() || full;
        self.unsure = None;
        if !refused && self.cancelled.is_some() && self.is_empty() {
            self.unsure = Some(id);
        }
        self.tasks.push(TaskState {
            index: self.next_index,
            state: if refused {
                State::Refused
            } else {
                State::Queued
            },
            woken: true,
            again: false,
            waker: None,
            polled: usize::MAX,
            released: false,
            aborted: false,
            aborted_at: 0,
            gone: false,
            hog: script.steps.iter().any(|step| matches!(step, Step::Hog)),
        });
        if !refused {
            self.next_index += 1;
            self.queue.push_back(id);
        }
        id
    }

    /// A task is polled.
    fn polled(&mut self, id: usize, waker: &Waker) {
        let (poll, running, first) = (self.poll, self.running(), self.queue.front() == Some(&id));
        let limit = self.limit;
        let task = &mut self.tasks[id];
        let mut faults = Vec::new();
        match task.state {
            State::Queued => {
                task.state = State::Running;
                if !first {
                    faults.push("R8: started before another");
                }
                if running >= limit {
                    faults.push("R8: started beyond the limit");
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
        let Some(_) = error else {
            self.values.insert(id);
            if self.aim != Aim::Result {
                self.kept.push_back((id, None));
            }
            return;
        };
        let drops = match self.aim {
            Aim::Result => self.failed || self.kept.iter().any(|(_, error)| error.is_some()),
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

    /// A task is dropped.
    fn dropped(&mut self, id: usize) {
        let success =
            self.aim == Aim::FirstOk && self.kept.iter().any(|(_, error)| error.is_none());
        let fail_fast = self.failed && !self.graceful;
        let all = self.ending || self.cut || fail_fast || success;
        let task = &mut self.tasks[id];
        if self.unsure == Some(id) {
            task.state = State::Refused;
            self.closed = true;
            self.next_index -= 1;
            self.queue.retain(|&queued| queued != id);
        }
        let was = task.state;
        let twice = mem::replace(&mut task.gone, true);
        let may = match was {
            State::Refused | State::Ended => true,
            State::Queued => all || task.aborted || self.failed,
            State::Running => all || task.aborted,
            State::Dropped => false,
        };
        if matches!(was, State::Queued | State::Running) {
            task.state = State::Dropped;
            task.waker = None;
            self.queue.retain(|&queued| queued != id);
        }
        if twice || !may {
            self.fault(format!("{id} was dropped while {was:?}; twice: {twice}"));
        }
    }

    /// What is left when the grace is over has an outcome.
    fn grace_is_over(&mut self) {
        let Some(kind) = self.cancelled else {
            return self.fault("G1: a grace without a cancellation");
        };
        self.cut = true;
        self.failed = true;
        // Lowest index first.
        for id in 0..self.tasks.len() {
            if self.is_live(id) && !self.tasks[id].aborted {
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

    /// A call has found the group empty.
    fn found_empty(&mut self) {
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
        if !self.queue.is_empty() && self.running() < self.limit {
            self.fault("R8: sleeps, but a queued task may start");
        }
        if self.grace_over && !self.closed && !self.cut && self.cancelled.is_some() {
            self.fault("G1: sleeps, but the grace is over");
        }
    }
}

/// A task that follows its script.
struct Scripted<T, S> {
    world: Shared,
    id: usize,
    steps: VecDeque<Step>,
    last: Last,
    /// For the steps that need a spawner.
    spawn: S,
    value: PhantomData<fn() -> T>,
}

impl<T, S> Unpin for Scripted<T, S> {}

impl<T: Value, S: Fn(Step)> Future for Scripted<T, S> {
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
                Step::Spawn(_) | Step::SetLimit(_) => {
                    if let Step::SetLimit(limit) = step {
                        world.limit = *limit;
                    }
                    drop(world);
                    let step = this.steps.pop_front().unwrap();
                    (this.spawn)(step);
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

impl<T, S> Drop for Scripted<T, S> {
    fn drop(&mut self) {
        self.world.lock().dropped(self.id);
    }
}

/// Polls the whole once. `None` if a task has panicked.
fn poll_once<F: Future>(
    root: &Root,
    world: &Shared,
    units: usize,
    future: Pin<&mut F>,
) -> Option<Poll<F::Output>> {
    {
        let mut world = world.lock();
        world.poll += 1;
        world.units = units;
    }
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
    let mut future = pin!(future);
    for _ in 0..patience {
        match poll_once(root, world, units, future.as_mut())? {
            Poll::Ready(output) => return Some(output),
            Poll::Pending => {}
        }
    }
    world.lock().fault("R2: it has not ended");
    None
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
        ]
    };
    let leaf = (proptest::collection::vec(simple(), 0..4), last())
        .prop_map(|(steps, last)| Script { steps, last });
    leaf.prop_recursive(3, 8, 2, move |inner| {
        let step = prop_oneof![4 => simple(), 1 => inner.prop_map(Step::Spawn)];
        (proptest::collection::vec(step, 0..4), last())
            .prop_map(|(steps, last)| Script { steps, last })
    })
}
