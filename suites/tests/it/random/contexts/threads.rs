//! Random programs on a tree of contexts, from four threads: afterwards all have to agree.
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Poll, Waker};
use std::thread;

use super::{Controlled, ControlledState, Next, Reason, reason};
use crate::common::poll_with;
use crate::random::{Alarm, config};
use errgroup::{CancelContext, CancelKind, Cancelling};
use futures::future::FusedFuture;
use proptest::prelude::*;

/// What one of several threads does.
#[derive(Clone, Debug)]
enum Step {
    /// Says why.
    Cancel(usize),
    Ask(usize),
    Wait(usize),
    Poll(usize),
    DropWaiter(usize),
    DropHandle(usize),
    /// Waits for a child that nobody else knows.
    WaitBelow(usize),
    /// A trigger goes off.
    Fire(usize),
}

/// One who waits, and how often it had been woken when it was polled last.
struct Sleeper {
    node: usize,
    future: Cancelling,
    alarm: Alarm,
    seen: usize,
}

impl Sleeper {
    fn new(node: usize, context: &CancelContext) -> Self {
        Sleeper {
            node,
            future: context.cancelled(),
            alarm: Alarm::new(|| {}),
            seen: 0,
        }
    }

    fn poll(&mut self) -> Option<Reason> {
        self.seen = self.alarm.wakes();
        match poll_with(&mut self.future, &self.alarm.waker) {
            Poll::Ready(cancelled) => Some(reason(&cancelled)),
            Poll::Pending => None,
        }
    }
}

/// What a thread has to tell.
#[derive(Default)]
struct Told {
    seen: Vec<(usize, Option<Reason>)>,
    /// The cancels that were the first.
    cancels: Vec<(usize, Reason)>,
    sleepers: Vec<Sleeper>,
    faults: Vec<String>,
}

impl Told {
    fn run(
        &mut self,
        thread: usize,
        steps: &[Step],
        contexts: &[CancelContext],
        parents: &[Option<usize>],
        triggers: &[Option<Arc<Mutex<ControlledState>>>],
    ) {
        let mut handles: Vec<_> = contexts.iter().cloned().map(Some).collect();
        let count = contexts.len();
        for (number, step) in steps.iter().enumerate() {
            match *step {
                Step::Cancel(node) => {
                    let node = node % count;
                    let text = format!("{thread}.{number}");
                    let Some(context) = &handles[node] else {
                        continue;
                    };
                    if context.cancel_with(text.clone()) {
                        self.cancels.push((node, (CancelKind::Cancelled, text)));
                    }
                    for (below, handle) in handles.iter().enumerate() {
                        let is_below = path(parents, below).any(|above| above == node);
                        if is_below && handle.as_ref().is_some_and(|it| !it.is_cancelled()) {
                            self.faults.push(format!("C1: {below} does not see {node}"));
                        }
                    }
                }
                Step::Ask(node) => {
                    let node = node % count;
                    if let Some(context) = &handles[node] {
                        let reason = context.reason().map(|cancelled| reason(&cancelled));
                        self.seen.push((node, reason));
                    }
                }
                Step::Wait(node) => {
                    let node = node % count;
                    if let Some(context) = &handles[node] {
                        self.sleepers.push(Sleeper::new(node, context));
                        self.poll(self.sleepers.len() - 1);
                    }
                }
                Step::Poll(sleeper) => {
                    if let Some(sleeper) = sleeper.checked_rem(self.sleepers.len()) {
                        self.poll(sleeper);
                    }
                }
                Step::DropWaiter(sleeper) => {
                    if let Some(sleeper) = sleeper.checked_rem(self.sleepers.len()) {
                        self.sleepers.swap_remove(sleeper);
                    }
                }
                Step::DropHandle(node) => handles[node % count] = None,
                Step::WaitBelow(node) => {
                    let node = node % count;
                    if let Some(context) = &handles[node] {
                        let reason = Sleeper::new(node, &context.child()).poll();
                        self.seen.push((node, reason));
                    }
                }
                Step::Fire(node) => {
                    if let Some(trigger) = &triggers[node % count] {
                        let mut state = trigger.lock().unwrap();
                        state.next = Next::Ready;
                        let waker = state.waker.clone();
                        drop(state);
                        waker.into_iter().for_each(Waker::wake);
                    }
                }
            }
        }
    }

    fn poll(&mut self, sleeper: usize) {
        let sleeper = &mut self.sleepers[sleeper];
        let reason = sleeper.poll();
        self.seen.push((sleeper.node, reason));
    }
}

/// From a node up to its root.
fn path(parents: &[Option<usize>], node: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(node), |&node| parents[node])
}

/// `tree` says for each node which of those before is its parent, and whether it has a trigger.
fn run_on_threads(tree: &[(usize, bool)], scripts: &[Vec<Step>; 4]) -> Vec<String> {
    let mut contexts = vec![CancelContext::new()];
    let (mut parents, mut triggers) = (vec![None], vec![None]);
    for &(parent, has_trigger) in tree {
        let parent = parent % contexts.len();
        parents.push(Some(parent));
        let parent = &contexts[parent];
        let (child, trigger) = if has_trigger {
            let mut future = Controlled::new("trigger".to_string());
            future.is_slow = true;
            let state = future.state.clone();
            (parent.with_trigger(future), Some(state))
        } else {
            (parent.child(), None)
        };
        contexts.push(child);
        triggers.push(trigger);
    }
    let start = Barrier::new(scripts.len());
    let told = thread::scope(|s| {
        let mut threads = Vec::new();
        for (thread, steps) in scripts.iter().enumerate() {
            let (start, contexts, parents, triggers) = (&start, &contexts, &parents, &triggers);
            threads.push(s.spawn(move || {
                let mut told = Told::default();
                start.wait();
                told.run(thread, steps, contexts, parents, triggers);
                told
            }));
        }
        let told = threads.into_iter().map(|thread| thread.join().unwrap());
        told.collect::<Vec<_>>()
    });

    let (mut seen, mut cancels, mut sleepers) = (Vec::new(), Vec::new(), Vec::new());
    let mut faults = Vec::new();
    for told in told {
        seen.extend(told.seen);
        cancels.extend(told.cancels);
        sleepers.extend(told.sleepers);
        faults.extend(told.faults);
    }
    // Who was woken is polled, until nobody is.
    let is_woken = |sleeper: &&mut Sleeper| sleeper.alarm.wakes() > sleeper.seen;
    let mut sleeping = Vec::new();
    while let Some(sleeper) = sleepers.iter_mut().find(is_woken) {
        let reason = sleeper.poll();
        seen.push((sleeper.node, reason));
    }
    for sleeper in &sleepers {
        let is_over = sleeper.future.is_terminated();
        sleeping.extend((!is_over).then_some(sleeper.node));
    }
    for node in sleeping {
        let ready = |node: usize| {
            let trigger = triggers[node].as_ref();
            trigger.is_some_and(|trigger| trigger.lock().unwrap().next == Next::Ready)
        };
        if contexts[node].is_cancelled() || path(&parents, node).any(ready) {
            faults.push(format!("C2: one who waits for {node} was not woken"));
        }
    }
    let reasons: Vec<_> = contexts
        .iter()
        .map(|context| context.reason().map(|cancelled| reason(&cancelled)))
        .collect();
    for (node, reason) in reasons.iter().enumerate() {
        let own: Vec<_> = cancels.iter().filter(|(of, _)| *of == node).collect();
        let of_parent = parents[node].and_then(|parent| reasons[parent].as_ref());
        let of_trigger = reason.as_ref().is_some_and(|(_, text)| text == "trigger");
        let is_right = match own[..] {
            [] => reason.as_ref() == of_parent || of_trigger && triggers[node].is_some(),
            [(_, own)] => reason.as_ref() == Some(own),
            _ => false,
        };
        let is_cut_off = reason.is_none() && of_parent.is_some();
        if !is_right || is_cut_off {
            faults.push(format!(
                "C1: {node}: {reason:?}, cancels {own:?}, parent {of_parent:?}"
            ));
        }
        if let Some(trigger) = &triggers[node] {
            if trigger.lock().unwrap().dropped != reason.is_some() {
                faults.push(format!(
                    "C3: the trigger of {node} lives too long, or too short"
                ));
            }
        }
    }
    for (node, reason) in seen {
        if reason.is_some() && reason != reasons[node] {
            faults.push(format!(
                "C1: {node} was {reason:?}, and is {:?}",
                reasons[node]
            ));
        }
    }
    faults
}

fn steps() -> impl Strategy<Value = Step> {
    let n = || 0..12_usize;
    prop_oneof![
        1 => n().prop_map(Step::Cancel),
        2 => n().prop_map(Step::Ask),
        4 => n().prop_map(Step::Wait),
        3 => n().prop_map(Step::Poll),
        2 => n().prop_map(Step::DropWaiter),
        1 => n().prop_map(Step::DropHandle),
        2 => n().prop_map(Step::WaitBelow),
        1 => n().prop_map(Step::Fire),
    ]
}

proptest! {
    #![proptest_config(config())]

    // C1-C3
    #[test]
    fn random_cancels_from_four_threads_leave_no_two_contexts_that_disagree(
        tree in prop::collection::vec((0..12_usize, prop::bool::weighted(0.2)), 0..12),
        scripts in prop::array::uniform4(prop::collection::vec(steps(), 0..16)),
    ) {
        let faults = run_on_threads(&tree, &scripts);
        prop_assert!(faults.is_empty(), "{:#?}", faults);
    }
}
