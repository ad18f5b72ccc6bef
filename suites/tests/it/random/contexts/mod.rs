//! Random programs on a tree of contexts, against a list of nodes.
use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, Waker};
use std::thread;

use super::{Alarm, config, pick};
use crate::common::{cause, poll_with};
use errgroup::{CancelContext, CancelKind, Cancelled, Cancelling, DropGuard, Run};
use proptest::prelude::*;

mod threads;

type Reason = (CancelKind, String);

fn reason(cancelled: &Cancelled) -> Reason {
    (cancelled.kind(), cause(cancelled))
}

#[derive(Clone, Debug)]
enum Op {
    Child(usize),
    /// A child with a deadline or trigger.
    Driven(usize, Way, Then),
    Clone(usize),
    DropHandle(usize),
    Cancel(usize),
    CancelWith(usize),
    Guard(usize),
    DropGuard(usize),
    Disarm(usize),
    Wait(usize, Then),
    Run(usize, Then),
    /// With one of two wakers.
    Poll(usize, usize),
    DropWaiter(usize),
    /// The future that is run will be ready.
    Finish(usize),
    /// The deadline or trigger is to do this in its next poll, and is woken if so told.
    Source(usize, Next, bool),
    Ask(usize),
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Deadline,
    DeadlineCause,
    Trigger,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Next {
    Pending,
    Ready,
    Panic,
}

/// For a waker, when it is woken first, and a deadline, when it is dropped before its time.
type Then = super::Then<Op>;

/// A future under control: a deadline, a trigger, or what is run.
struct Controlled {
    state: Arc<Mutex<ControlledState>>,
    text: String,
    hook: Option<Box<dyn Fn() + Send>>,
    /// It gives other threads a chance to wake it while it is polled.
    is_slow: bool,
}

struct ControlledState {
    next: Next,
    polls: usize,
    dropped: bool,
    waker: Option<Waker>,
}

impl Controlled {
    fn new(text: String) -> Self {
        let state = ControlledState {
            next: Next::Pending,
            polls: 0,
            dropped: false,
            waker: None,
        };
        Controlled {
            state: Arc::new(Mutex::new(state)),
            text,
            hook: None,
            is_slow: false,
        }
    }
}

impl Future for Controlled {
    type Output = String;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<String> {
        let this = &mut *self;
        let mut state = this.state.lock().unwrap();
        state.polls += 1;
        state.waker = Some(cx.waker().clone());
        if state.next == Next::Pending {
            drop(state);
            if this.is_slow {
                thread::yield_now();
            }
            return Poll::Pending;
        }
        this.hook = None;
        if state.next == Next::Panic {
            drop(state);
            resume_unwind(Box::new(()));
        }
        Poll::Ready(this.text.clone())
    }
}

impl Drop for Controlled {
    fn drop(&mut self) {
        let mut state = self.state.lock().unwrap();
        state.dropped = true;
        let waker = state.waker.take();
        drop(state);
        drop(waker);
        if let Some(hook) = self.hook.take() {
            hook();
        }
    }
}

/// The deadline or trigger of a node.
struct Source {
    /// It is there, as long as its node is.
    lives: bool,
    reason: Reason,
    polls: usize,
    real: Arc<Mutex<ControlledState>>,
}

struct Node {
    parent: Option<usize>,
    reason: Option<Reason>,
    source: Option<Source>,
    handles: Vec<CancelContext>,
}

enum Waiting {
    Cancelling(Cancelling),
    Run(Run<Controlled>),
}

/// What is run.
struct Work {
    polls: usize,
    real: Arc<Mutex<ControlledState>>,
}

struct Waiter {
    node: usize,
    /// Which of its wakers is kept.
    armed: Option<usize>,
    over: bool,
    work: Option<Work>,
    wakes: [usize; 2],
    alarms: [Alarm; 2],
    future: Option<Waiting>,
}

/// The model, and beside it what it is compared with.
struct World {
    nodes: Vec<Node>,
    waiters: Vec<Waiter>,
    guards: Vec<(usize, DropGuard)>,
    causes: usize,
    /// A waker or deadline has panicked.
    panicked: bool,
    faults: Vec<String>,
}

impl World {
    fn is_below(&self, mut node: usize, top: usize) -> bool {
        while node != top {
            match self.nodes[node].parent {
                Some(parent) => node = parent,
                None => return false,
            }
        }
        true
    }

    /// Returns whether it was the first.
    fn cancel(&mut self, top: usize, reason: &Reason) -> bool {
        if self.nodes[top].reason.is_some() {
            return false;
        }
        for node in top..self.nodes.len() {
            if self.is_below(node, top) && self.nodes[node].reason.is_none() {
                self.wake(node);
                self.nodes[node].reason = Some(reason.clone());
                if let Some(source) = &mut self.nodes[node].source {
                    source.lives = false;
                }
            }
        }
        true
    }

    /// Wakes those who wait for this node.
    fn wake(&mut self, node: usize) {
        for waiter in self.waiters.iter_mut().filter(|waiter| waiter.node == node) {
            if let Some(waker) = waiter.armed.take() {
                waiter.wakes[waker] += 1;
            }
        }
    }

    /// What happens in a poll. Returns whether a source panics.
    fn poll(&mut self, id: usize, waker: usize) -> bool {
        let node = self.waiters[id].node;
        self.waiters[id].armed = None;
        if self.nodes[node].reason.is_some() {
            return false;
        }
        let mut at = Some(node);
        while let Some(node) = at {
            at = self.nodes[node].parent;
            let Some(source) = self.nodes[node]
                .source
                .as_mut()
                .filter(|source| source.lives)
            else {
                continue;
            };
            source.polls += 1;
            let next = source.real.lock().unwrap().next;
            match next {
                Next::Pending => {}
                Next::Ready => {
                    let reason = source.reason.clone();
                    self.cancel(node, &reason);
                    return false;
                }
                Next::Panic => {
                    source.lives = false;
                    self.waiters[id].armed = Some(waker);
                    return true;
                }
            }
        }
        if let Some(work) = &mut self.waiters[id].work {
            work.polls += 1;
            if work.real.lock().unwrap().next == Next::Ready {
                return false;
            }
        }
        self.waiters[id].armed = Some(waker);
        false
    }

    /// Whether somebody holds the node; not those below it.
    fn has_holder(&self, node: usize) -> bool {
        let waits = |waiter: &Waiter| waiter.node == node && waiter.future.is_some();
        !self.nodes[node].handles.is_empty()
            || self.guards.iter().any(|&(of, _)| of == node)
            || self.waiters.iter().any(waits)
    }

    fn fault(&mut self, text: String) {
        self.faults.push(text);
    }

    fn compare(&mut self) {
        let mut faults = Vec::new();
        for (id, node) in self.nodes.iter().enumerate() {
            let model = node.reason.is_some();
            if node
                .handles
                .iter()
                .any(|handle| handle.is_cancelled() != model)
            {
                faults.push(format!("C1: {id} should be cancelled: {model}"));
            }
            let Some(source) = &node.source else {
                continue;
            };
            let real = source.real.lock().unwrap();
            if real.polls != source.polls {
                let (real, model) = (real.polls, source.polls);
                faults.push(format!("C3: {id}: polls {real}, expected {model}"));
            }
            let mut below = (id..self.nodes.len()).filter(|&node| self.is_below(node, id));
            // What is cancelled may have let go of what is above it.
            let must = below
                .clone()
                .any(|node| self.nodes[node].reason.is_none() && self.has_holder(node));
            let may = below.any(|node| self.has_holder(node));
            let is_wrong = match real.dropped {
                true => source.lives && must,
                false => !source.lives || !may,
            };
            if is_wrong {
                let (dropped, lives) = (real.dropped, source.lives);
                faults.push(format!("C3: {id}: dropped {dropped}, lives {lives}"));
            }
        }
        for (id, waiter) in self.waiters.iter().enumerate() {
            for (number, alarm) in waiter.alarms.iter().enumerate() {
                let mut kept = usize::from(waiter.armed == Some(number));
                if let Some(work) = &waiter.work {
                    let waker = &work.real.lock().unwrap().waker;
                    let keeps = |waker: &Waker| waker.will_wake(&alarm.waker);
                    kept += usize::from(waker.as_ref().is_some_and(keeps));
                }
                let (real, model) = ((alarm.wakes(), alarm.kept()), (waiter.wakes[number], kept));
                if real != model {
                    faults.push(format!(
                        "C2: {id}: wakes, clones {real:?}, expected {model:?}"
                    ));
                }
            }
            if let Some(work) = &waiter.work {
                let real = work.real.lock().unwrap();
                let (real, model) = (
                    (real.polls, real.dropped),
                    (work.polls, waiter.over || waiter.future.is_none()),
                );
                if real != model {
                    faults.push(format!(
                        "C4: {id}: polls, dropped {real:?}, expected {model:?}"
                    ));
                }
            }
        }
        self.faults.extend(faults);
    }
}

#[derive(Clone)]
struct Shared(Arc<Mutex<World>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    fn hook(&self, then: Then) -> impl Fn() + Send + Sync + Clone + 'static {
        let (world, then) = (Arc::downgrade(&self.0), Arc::new(Mutex::new(then)));
        move || goes_off(&world, &then)
    }

    /// A handle of one of the contexts.
    fn context(&self, number: usize) -> Option<(usize, CancelContext)> {
        let world = self.lock();
        let has_handle = |&id: &usize| !world.nodes[id].handles.is_empty();
        let id = pick((0..world.nodes.len()).filter(has_handle), number)?;
        Some((id, world.nodes[id].handles[0].clone()))
    }

    fn waiter(&self, number: usize, is: impl Fn(&Waiter) -> bool) -> Option<usize> {
        let world = self.lock();
        let is = |&id: &usize| world.waiters[id].future.is_some() && is(&world.waiters[id]);
        pick((0..world.waiters.len()).filter(is), number)
    }

    fn wait(&self, node: usize, then: Then, make: impl FnOnce() -> (Option<Work>, Waiting)) {
        let hook = self.hook(then);
        let (work, future) = make();
        let mut world = self.lock();
        world.waiters.push(Waiter {
            node,
            armed: None,
            over: false,
            work,
            wakes: [0, 0],
            alarms: [Alarm::new(hook.clone()), Alarm::new(hook)],
            future: Some(future),
        });
        let id = world.waiters.len() - 1;
        drop(world);
        self.poll(id, 0);
    }

    fn poll(&self, id: usize, waker: usize) {
        let mut world = self.lock();
        let mut future = world.waiters[id].future.take().unwrap();
        let node = world.waiters[id].node;
        world.panicked |= world.poll(id, waker);
        let waker = world.waiters[id].alarms[waker].waker.clone();
        drop(world);
        let poll = catch_unwind(AssertUnwindSafe(|| match &mut future {
            Waiting::Cancelling(future) => poll_with(future, &waker).map(Err),
            Waiting::Run(future) => poll_with(future, &waker),
        }));
        drop(waker);
        let mut world = self.lock();
        let waiter = &mut world.waiters[id];
        waiter.future = Some(future);
        let real = match poll {
            Ok(Poll::Pending) => None,
            Ok(Poll::Ready(output)) => Some(output.map_err(|cancelled| reason(&cancelled))),
            Err(panic) => {
                drop(world);
                resume_unwind(panic);
            }
        };
        waiter.over = real.is_some();
        let finished = |work: &Work| work.real.lock().unwrap().next == Next::Ready;
        let finished = waiter.work.as_ref().is_some_and(finished);
        let model = match &world.nodes[node].reason {
            Some(reason) => Some(Err(reason.clone())),
            None => finished.then(|| Ok("work".to_string())),
        };
        if real != model {
            world.fault(format!("{id}: {real:?}, expected {model:?}"));
        }
    }

    fn add(&self, parent: usize, source: Option<Source>) -> usize {
        let mut world = self.lock();
        let reason = world.nodes[parent].reason.clone();
        world.nodes.push(Node {
            parent: Some(parent),
            source: source.map(|source| Source {
                lives: reason.is_none(),
                ..source
            }),
            reason,
            handles: Vec::new(),
        });
        world.nodes.len() - 1
    }

    fn cancel(&self, number: usize, with_cause: bool) -> Option<()> {
        let (id, context) = self.context(number)?;
        let mut world = self.lock();
        world.causes += 1;
        let text = match with_cause {
            true => format!("cause {}", world.causes),
            false => String::new(),
        };
        let model = world.cancel(id, &(CancelKind::Cancelled, text.clone()));
        drop(world);
        let real = match with_cause {
            true => context.cancel_with(text),
            false => context.cancel(),
        };
        if real != model {
            self.lock()
                .fault(format!("C1: cancel was {real}, expected {model}"));
        }
        Some(())
    }

    /// Does it in the model first: wakers that are woken find the model up to date.
    fn act(&self, op: &Op) -> Option<()> {
        match *op {
            Op::Child(number) => {
                let (parent, context) = self.context(number)?;
                let id = self.add(parent, None);
                let child = context.child();
                self.lock().nodes[id].handles.push(child);
            }
            Op::Driven(number, way, ref then) => {
                let (parent, context) = self.context(number)?;
                let mut future = Controlled::new("passed".to_string());
                future.hook = Some(Box::new(self.hook(then.clone())));
                let (kind, text) = match way {
                    Way::Deadline => (CancelKind::DeadlineExceeded, ""),
                    Way::DeadlineCause => (CancelKind::DeadlineExceeded, "late"),
                    Way::Trigger => (CancelKind::Cancelled, "passed"),
                };
                let source = Source {
                    lives: true,
                    reason: (kind, text.to_string()),
                    polls: 0,
                    real: future.state.clone(),
                };
                let id = self.add(parent, Some(source));
                let child = match way {
                    Way::Deadline => context.with_deadline(future),
                    Way::DeadlineCause => context.with_deadline_cause(future, text),
                    Way::Trigger => context.with_trigger(future),
                };
                self.lock().nodes[id].handles.push(child);
            }
            Op::Clone(number) => {
                let (id, context) = self.context(number)?;
                self.lock().nodes[id].handles.push(context);
            }
            Op::DropHandle(number) => {
                let (id, context) = self.context(number)?;
                let handle = self.lock().nodes[id].handles.pop();
                drop(handle);
                drop(context);
            }
            Op::Cancel(number) => self.cancel(number, false)?,
            Op::CancelWith(number) => self.cancel(number, true)?,
            Op::Guard(number) => {
                let (id, context) = self.context(number)?;
                self.lock().guards.push((id, context.drop_guard()));
            }
            Op::DropGuard(number) | Op::Disarm(number) => {
                let mut world = self.lock();
                let at = number.checked_rem(world.guards.len())?;
                let (id, guard) = world.guards.remove(at);
                if matches!(op, Op::Disarm(_)) {
                    world.nodes[id].handles.push(guard.disarm());
                    return Some(());
                }
                world.cancel(id, &(CancelKind::Cancelled, String::new()));
                drop(world);
                drop(guard);
            }
            Op::Wait(number, ref then) => {
                let (id, context) = self.context(number)?;
                let make = || (None, Waiting::Cancelling(context.cancelled()));
                self.wait(id, then.clone(), make);
            }
            Op::Run(number, ref then) => {
                let (id, context) = self.context(number)?;
                let future = Controlled::new("work".to_string());
                let work = Work {
                    polls: 0,
                    real: future.state.clone(),
                };
                let make = || (Some(work), Waiting::Run(context.run(future)));
                self.wait(id, then.clone(), make);
            }
            Op::Poll(number, waker) => {
                // A `Run` that is over is not to be polled.
                let id = self.waiter(number, |waiter| !waiter.over || waiter.work.is_none())?;
                self.poll(id, waker);
            }
            Op::DropWaiter(number) => {
                let id = self.waiter(number, |_| true)?;
                let mut world = self.lock();
                world.waiters[id].armed = None;
                let future = world.waiters[id].future.take();
                drop(world);
                drop(future);
            }
            Op::Finish(number) => {
                let id = self.waiter(number, |waiter| waiter.work.is_some() && !waiter.over)?;
                let world = self.lock();
                let work = world.waiters[id].work.as_ref()?;
                work.real.lock().unwrap().next = Next::Ready;
            }
            Op::Source(number, next, wakes) => {
                let mut world = self.lock();
                let lives = |id: &usize| world.nodes[*id].source.as_ref().is_some_and(|s| s.lives);
                let id = pick((0..world.nodes.len()).filter(lives), number)?;
                let mut real = world.nodes[id].source.as_ref()?.real.lock().unwrap();
                real.next = next;
                let waker = real.waker.clone().filter(|_| wakes);
                drop(real);
                let waker = waker?;
                for node in id..world.nodes.len() {
                    if world.is_below(node, id) {
                        world.wake(node);
                    }
                }
                drop(world);
                waker.wake();
            }
            Op::Ask(number) => {
                let (id, context) = self.context(number)?;
                let real = context.reason().map(|cancelled| reason(&cancelled));
                let checked = context.check().err().map(|cancelled| reason(&cancelled));
                let mut world = self.lock();
                let model = world.nodes[id].reason.clone();
                if real != model || checked != model {
                    world.fault(format!(
                        "C1: {id}: {real:?}, {checked:?}, expected {model:?}"
                    ));
                }
            }
        }
        Some(())
    }
}

fn goes_off(world: &Weak<Mutex<World>>, then: &Mutex<Then>) {
    let Some(world) = world.upgrade().map(Shared) else {
        return;
    };
    super::once(
        then,
        || world.lock().panicked = true,
        |op| _ = world.act(op),
    );
}

fn run(ops: &[Op]) -> Vec<String> {
    let root = Node {
        parent: None,
        reason: None,
        source: None,
        handles: vec![CancelContext::new()],
    };
    let world = Shared(Arc::new(Mutex::new(World {
        nodes: vec![root],
        waiters: Vec::new(),
        guards: Vec::new(),
        causes: 0,
        panicked: false,
        faults: Vec::new(),
    })));
    // At last all are asked and dropped, in turns.
    let count = 2 * ops.len() + 1;
    let ends = (0..count)
        .map(Op::Ask)
        .chain((0..4 * count).map(|number| match number % 4 {
            0 => Op::DropHandle(number),
            1 => Op::DropWaiter(number),
            2 => Op::DropGuard(number),
            _ => Op::Disarm(number),
        }));
    for op in ops.iter().cloned().chain(ends) {
        let panicked = catch_unwind(AssertUnwindSafe(|| world.act(&op))).is_err();
        let mut world = world.lock();
        if panicked != mem::take(&mut world.panicked) {
            world.fault(format!("a panic was lost or made: {panicked}"));
        }
        world.compare();
        if !world.faults.is_empty() {
            world.fault(format!("after {op:?}"));
            return mem::take(&mut world.faults);
        }
    }
    Vec::new()
}

fn ops() -> impl Strategy<Value = Op> {
    fn op(then: impl Strategy<Value = Then> + Clone + 'static) -> impl Strategy<Value = Op> {
        let n = || 0..12_usize;
        let way = prop_oneof![
            Just(Way::Deadline),
            Just(Way::DeadlineCause),
            Just(Way::Trigger)
        ];
        let next = prop_oneof![
            2 => Just(Next::Pending),
            4 => Just(Next::Ready),
            1 => Just(Next::Panic)
        ];
        prop_oneof![
            4 => n().prop_map(Op::Child),
            2 => (n(), way, then.clone()).prop_map(|(n, way, then)| Op::Driven(n, way, then)),
            1 => n().prop_map(Op::Clone),
            2 => n().prop_map(Op::DropHandle),
            1 => n().prop_map(Op::Cancel),
            1 => n().prop_map(Op::CancelWith),
            1 => n().prop_map(Op::Guard),
            1 => n().prop_map(Op::DropGuard),
            1 => n().prop_map(Op::Disarm),
            4 => (n(), then.clone()).prop_map(|(n, then)| Op::Wait(n, then)),
            2 => (n(), then).prop_map(|(n, then)| Op::Run(n, then)),
            4 => (n(), 0..2_usize).prop_map(|(n, waker)| Op::Poll(n, waker)),
            2 => n().prop_map(Op::DropWaiter),
            1 => n().prop_map(Op::Finish),
            2 => (n(), next, any::<bool>()).prop_map(|(n, next, wakes)| Op::Source(n, next, wakes)),
            1 => n().prop_map(Op::Ask),
        ]
    }
    let inner = op(Just(Then::Nothing)).prop_map(|op| Then::Do(Box::new(op)));
    let then = prop_oneof![6 => Just(Then::Nothing), 1 => Just(Then::Panic), 3 => inner];
    op(then.boxed())
}

proptest! {
    #![proptest_config(config())]

    // C1-C4, P1
    #[test]
    fn random_contexts_do_as_the_model_says(ops in prop::collection::vec(ops(), 0..60)) {
        let faults = run(&ops);
        prop_assert!(faults.is_empty(), "{:#?}", faults);
    }
}
