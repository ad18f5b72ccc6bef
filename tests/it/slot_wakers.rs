//! Each task has a waker of its own, though the wakers of two are one allocation.
use std::task::Waker;

use crate::common::{Probe, Root, probes};
use errgroup::ErrGroup;

/// More than a chunk has slots.
const TASKS: usize = 2 * usize::BITS as usize + 3;

fn running(root: &Root, probes: &[Probe<Result<(), ()>>]) -> ErrGroup<'static, (), ()> {
    let mut group = ErrGroup::new();
    group.extend(probes.iter().map(|probe| probe.task()));
    assert!(root.poll(&mut group).is_pending());
    root.wakes();
    group
}

// R2
#[test]
fn a_waker_is_that_of_one_task_and_of_no_other() {
    let root = Root::new();
    let probes = probes(TASKS);
    let _group = running(&root, &probes);
    let wakers: Vec<Waker> = probes.iter().map(|probe| probe.waker()).collect();
    for (index, waker) in wakers.iter().enumerate() {
        let same = wakers.iter().filter(|other| waker.will_wake(other));
        assert_eq!(same.count(), 1, "{index}");
        assert!(waker.will_wake(&waker.clone()));
    }
}

// R2, R3
#[test]
fn a_waker_wakes_its_task_alone_by_value_and_by_reference() {
    let root = Root::new();
    let probes = probes(TASKS);
    let mut group = running(&root, &probes);
    for (index, probe) in probes.iter().enumerate() {
        let wakes: [fn(Waker); 3] = [
            |waker| waker.wake_by_ref(),
            |waker| waker.wake(),
            |waker| {
                let clone = waker.clone();
                drop(waker);
                clone.wake();
            },
        ];
        for wake in wakes {
            let before: Vec<_> = probes.iter().map(|probe| probe.polls()).collect();
            wake(probe.waker());
            assert_eq!(root.wakes(), 1, "{index}");
            assert!(root.poll(&mut group).is_pending());
            let polled = probes.iter().zip(before);
            let polled = polled.map(|(probe, before)| probe.polls() - before);
            let polled: Vec<_> = polled.collect();
            assert_eq!((polled[index], polled.iter().sum::<usize>()), (1, 1));
        }
    }
}

// R4
#[test]
fn a_waker_of_a_task_that_is_gone_leaves_its_neighbour_alone() {
    let root = Root::new();
    let probes = probes(TASKS);
    let mut group = running(&root, &probes);
    let wakers: Vec<Waker> = probes.iter().map(|probe| probe.waker()).collect();
    for probe in probes.iter().step_by(2) {
        probe.finish(Ok(()));
    }
    assert!(root.poll(&mut group).is_pending());
    root.wakes();
    for waker in wakers.iter().step_by(2) {
        waker.wake_by_ref();
    }
    assert_eq!(root.wakes(), 0);
    for (probe, waker) in probes.iter().zip(wakers).skip(1).step_by(2) {
        waker.wake();
        assert_eq!(root.wakes(), 1);
        assert!(root.poll(&mut group).is_pending());
        assert_eq!(probe.polls(), 2);
    }
}

// R4
#[test]
fn a_waker_of_a_task_that_was_aborted_leaves_those_alone_that_came_after_it() {
    let root = Root::new();
    let before = probes(TASKS);
    let mut group = running(&root, &before);
    let wakers: Vec<Waker> = before.iter().map(|probe| probe.waker()).collect();
    group.abort_all();
    let after = probes(TASKS);
    group.extend(after.iter().map(|probe| probe.task()));
    assert!(root.poll(&mut group).is_pending());
    root.wakes();
    wakers.into_iter().for_each(Waker::wake);
    assert_eq!(root.wakes(), 0);
    assert!(root.poll(&mut group).is_pending());
    for probe in &after {
        assert_eq!(probe.polls(), 1);
        probe.wake();
        assert_eq!(root.wakes(), 1);
        assert!(root.poll(&mut group).is_pending());
        assert_eq!(probe.polls(), 2);
    }
}
