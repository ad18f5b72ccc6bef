//! `AbortHandle`: aborting tasks of any value.

use std::future::{pending, ready};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use crate::common::{Fail, OnDrop, Probe, Root, probes, restless, run};
use errgroup::{AbortHandle, AbortOnDrop, CancelKind, ErrGroup, LocalErrGroup};

type Group = ErrGroup<'static, usize, Fail>;

// H6

#[test]
fn an_aborted_task_has_no_outcome_whatever_its_value_is() {
    for queued in [false, true] {
        let root = Root::new();
        let probes = probes(3);
        let mut group = Group::new().limit(if queued { 1 } else { 3 });
        group.spawn(probes[0].task());
        let handle = group.spawn_abortable(probes[1].task());
        group.spawn(probes[2].task());
        assert_eq!(handle.index(), 1);
        assert!(root.poll_new(group.next()).is_pending());
        handle.abort();
        // It goes at the group's next poll.
        assert!(!probes[1].is_dropped() && !handle.is_finished());
        assert_eq!(root.wakes(), 1);
        assert!(root.poll_new(group.next()).is_pending());
        assert!(probes[1].is_dropped() && handle.is_finished());
        assert_eq!(probes[1].polls(), usize::from(!queued));
        assert_eq!(group.len(), 2);
        probes[0].finish(Ok(0));
        probes[2].set(Ok(2));
        if !queued {
            probes[2].wake();
        }
        // Indices do not move up.
        assert_eq!(run(group.settle()), [Ok(0), Ok(2)]);
    }
}

#[test]
fn aborting_does_not_fail_a_group() {
    type Finish = fn(Group) -> bool;
    let finishes: [(&str, Finish); 5] = [
        (".await", |group| run(group) == Ok(())),
        ("collect", |group| run(group.collect()) == Ok(vec![1])),
        ("wait_all", |group| run(group.wait_all()).unwrap() == [1]),
        ("settle", |group| run(group.settle()) == [Ok(1)]),
        ("first_ok", |group| run(group.first_ok()).unwrap() == 1),
    ];
    for (name, finish) in finishes {
        let mut group = Group::new();
        let handle = group.spawn_abortable(pending());
        group.spawn(ready(Ok(1)));
        handle.abort();
        assert!(finish(group), "{name}");
        assert!(handle.is_finished());
    }
}

#[test]
fn aborting_what_is_over_does_nothing() {
    let mut group = Group::new();
    let handle = group.spawn_abortable(ready(Ok(1)));
    assert_eq!(run(group.drive(ready(()))), Some(()));
    assert!(handle.is_finished());
    handle.abort();
    handle.abort();
    assert_eq!(run(group.collect()), Ok(vec![1]));
    handle.abort();
}

#[test]
fn a_refused_task_is_finished() {
    let mut group = Group::new();
    let spawner = group.spawner();
    group.spawn(ready(Err("no".into())));
    assert!(!run(group.ready()));
    let probe = Probe::new();
    assert!(group.spawn_abortable(probe.task()).is_finished());
    assert!(spawner.spawn_abortable(probe.task()).is_finished());
    assert_eq!((probe.polls(), probe.drops()), (0, 2));
}

#[test]
fn an_aborted_task_that_is_ready_in_the_same_poll_is_dropped_unpolled() {
    let root = Root::new();
    let probe = Probe::new();
    let mut group = Group::new();
    let handle = group.spawn_abortable(probe.task());
    assert!(root.poll(&mut group).is_pending());
    probe.finish(Ok(1));
    handle.abort();
    assert!(run(group.settle()).is_empty());
    assert_eq!((probe.polls(), probe.drops()), (1, 1));
}

// H2, R2
#[test]
fn an_aborted_task_goes_one_poll_later_if_the_budget_was_spent() {
    let root = Root::new();
    let probe = Probe::new();
    let mut group = Group::new();
    let handle = group.spawn_abortable(probe.task());
    assert!(root.poll(&mut group).is_pending());
    group.extend((0..256).map(|_| ready(Ok(1))));
    for _ in 0..256 {
        assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Ok(1))));
    }
    handle.abort();
    root.wakes();
    assert!(root.poll_new(group.next()).is_pending());
    assert!(!probe.is_dropped());
    assert_eq!(root.wakes(), 1);
    assert_eq!(root.poll_new(group.next()), Poll::Ready(None));
    assert_eq!((probe.polls(), probe.drops()), (1, 1));
}

// H2
#[test]
fn a_queued_task_that_is_aborted_goes_though_the_budget_was_spent() {
    let root = Root::new();
    let probe = Probe::new();
    let mut group = Group::new().limit(1);
    group.extend((0..256).map(|_| ready(Ok(1))));
    group.spawn(pending());
    let handle = group.spawn_abortable(probe.task());
    for _ in 0..256 {
        assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Ok(1))));
    }
    handle.abort();
    assert!(root.poll_new(group.next()).is_pending());
    assert_eq!((probe.polls(), probe.drops()), (0, 1));
}

// H2
#[test]
fn an_aborted_task_goes_in_the_next_poll_also_after_a_call_that_ended_in_the_middle_of_a_round() {
    // The round begins somewhere else each time.
    for polls in 1..16 {
        let (root, counter) = (Root::new(), Arc::default());
        let probe = Probe::new();
        let mut group = Group::new();
        let handle = group.spawn_abortable(restless(&counter));
        group.spawn(probe.task());
        group.spawn(restless(&counter));
        for _ in 0..polls {
            assert!(root.poll(&mut group).is_pending());
        }
        probe.finish(Ok(1));
        assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Ok(1))));
        handle.abort();
        assert!(root.poll_new(group.next()).is_pending());
        assert!(handle.is_finished(), "after {polls} polls");
    }
}

// R2: those beyond the first 64 stand in a list of what was woken.
#[test]
fn a_group_that_was_told_of_a_task_that_is_aborted_first_goes_on() {
    let root = Root::new();
    let mut group = Group::new();
    let probes: Vec<_> = (0..130).map(|_| Probe::new()).collect();
    for probe in &probes {
        group.spawn(probe.task());
    }
    assert!(root.poll(&mut group).is_pending());
    for place in [63, 64, 65, 129] {
        probes[place].wake();
    }
    group.spawner().abort_all();
    let last = Probe::new();
    group.spawn(last.task());
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((group.len(), probes[65].polls(), last.polls()), (1, 1, 1));
    root.wakes();
    last.finish(Ok(1));
    assert_eq!(root.wakes(), 1);
    assert!(root.poll(&mut group).is_ready());
}

#[test]
fn an_aborted_task_has_no_outcome_at_the_end_of_a_grace_either() {
    // Abort and end of the grace are seen by the same poll.
    for queued in [false, true] {
        let parent = errgroup::CancelContext::new();
        let (context, group) = ErrGroup::with_grace(&parent, || ready(()));
        let mut group: Group = group.limit(1);
        if queued {
            group.spawn(pending());
        }
        let handle = group.spawn_abortable(pending());
        handle.abort();
        context.cancel();
        let outcomes = run(group.settle());
        let cut = Err(Fail::Cancelled(CancelKind::Cancelled));
        assert_eq!(outcomes, vec![cut; usize::from(queued)]);
    }
}

#[test]
fn its_destructor_runs_in_the_poll_of_the_group_and_may_spawn() {
    let root = Root::new();
    let mut group = Group::new();
    let spawner = group.spawner();
    let guard = OnDrop(move || spawner.spawn(ready(Ok(7))));
    let handle = group.spawn_abortable(async move {
        let _guard = guard;
        pending().await
    });
    assert!(root.poll_new(group.next()).is_pending());
    handle.abort();
    assert_eq!(run(group.next()), Some(Ok(7)));
    assert_eq!(run(group.next()), None);
}

#[test]
fn clones_abort_the_same_task_from_any_thread() {
    let mut group = Group::new();
    let handle = group.spawn_abortable(pending());
    let clones: Vec<AbortHandle> = (0..8).map(|_| handle.clone()).collect();
    std::thread::scope(|scope| {
        for clone in clones {
            scope.spawn(move || clone.abort());
        }
    });
    assert_eq!(run(group.collect()), Ok(vec![]));
    assert!(handle.is_finished());
}

#[test]
fn a_handle_outlives_its_group_and_keeps_nothing_of_it() {
    let alive = Arc::new(());
    let held = alive.clone();
    let mut group = Group::new();
    let handle = group.spawn_abortable(async move {
        let _held = held;
        pending().await
    });
    drop(group);
    assert_eq!(Arc::strong_count(&alive), 1);
    assert!(handle.is_finished());
    handle.abort();
}

#[test]
fn abort_on_drop_aborts_when_it_is_dropped() {
    let root = Root::new();
    let probe = Probe::new();
    let mut group = Group::new();
    let guard: AbortOnDrop = group.spawn_abortable(probe.task()).abort_on_drop();
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(root.wakes(), 0);
    drop(guard);
    assert_eq!(root.wakes(), 1);
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
    assert!(probe.is_dropped());
}

#[test]
fn abort_on_drop_of_one_task_kept_in_another_ends_with_that() {
    let mut group = Group::new();
    let spawner = group.spawner();
    let helper = Probe::new();
    let task = helper.task();
    group.spawn(async move {
        let _helper = spawner.spawn_abortable(task).abort_on_drop();
        crate::common::yields(3).await;
        Ok(1)
    });
    assert_eq!(run(group.collect()), Ok(vec![1]));
    assert!(helper.polls() > 0 && helper.is_dropped());
}

#[test]
fn a_task_handle_gives_an_abort_handle() {
    let mut group = ErrGroup::<(), Fail>::new();
    let handle = group.spawn_with_handle(pending::<Result<usize, Fail>>());
    let abort = handle.abort_handle();
    assert_eq!(abort.index(), handle.index());
    abort.abort();
    assert_eq!(run(&mut group), Ok(()));
    assert!(abort.is_finished() && handle.is_finished());
    assert_eq!(run(handle).unwrap_err().kind(), CancelKind::Cancelled);
}

#[test]
fn an_abort_handle_of_a_detached_task_still_aborts() {
    let mut group = ErrGroup::<(), Fail>::new();
    let abort = group
        .spawn_with_handle(pending::<Result<(), Fail>>())
        .abort_handle();
    abort.abort();
    assert_eq!(run(group), Ok(()));
}

#[test]
fn aborted_tasks_are_dropped_in_any_order_and_the_queue_keeps_its_own() {
    for count in [3, 64, 65, 300] {
        let started = Arc::new(Mutex::new(Vec::new()));
        let mut group = Group::new().limit(1);
        let handles: Vec<_> = (0..count)
            .map(|index| {
                let started = started.clone();
                group.spawn_abortable(async move {
                    started.lock().unwrap().push(index);
                    Ok(index)
                })
            })
            .collect();
        handles
            .iter()
            .skip(1)
            .step_by(2)
            .for_each(AbortHandle::abort);
        let expected: Vec<_> = (0..count).step_by(2).collect();
        assert_eq!(run(group.collect()), Ok(expected.clone()));
        // R8
        assert_eq!(*started.lock().unwrap(), expected);
    }
}

#[test]
fn aborting_a_queued_task_makes_room() {
    let root = Root::new();
    let mut group = Group::new().limit(1);
    group.spawn(pending());
    let handle = group.spawn_abortable(pending());
    group.set_limit(2);
    let spawner = group.spawner();
    let mut room = Box::pin(spawner.ready());
    assert!(root.poll(&mut room).is_pending());
    root.wakes();
    handle.abort();
    assert!(
        Root::new()
            .poll_new(group.drive(pending::<()>()))
            .is_pending()
    );
    assert_ne!(root.wakes(), 0);
    assert_eq!(root.poll(&mut room), Poll::Ready(true));
}

#[test]
fn tasks_of_local_groups_are_aborted_from_other_threads() {
    let mut group = LocalErrGroup::<usize, Fail>::new();
    let local = std::rc::Rc::new(1);
    let handle = group.spawn_abortable(async move {
        let _local = local;
        pending().await
    });
    std::thread::spawn(move || handle.abort()).join().unwrap();
    assert_eq!(run(group.collect()), Ok(vec![]));
}

// R10: `abort_all` of a spawner

#[test]
fn abort_all_of_a_spawner_drops_what_was_spawned_before_at_the_next_poll() {
    let root = Root::new();
    let before = probes::<Result<usize, Fail>>(3);
    let after = Probe::new();
    let mut group = Group::new().limit(2);
    let spawner = group.spawner();
    group.extend(before.iter().map(Probe::task));
    assert!(root.poll_new(group.next()).is_pending());
    spawner.abort_all();
    assert_eq!(root.wakes(), 1);
    assert!(before.iter().all(|probe| !probe.is_dropped()));
    spawner.spawn(after.task());
    assert!(root.poll_new(group.next()).is_pending());
    assert!(before.iter().all(Probe::is_dropped));
    assert_eq!((before[2].polls(), after.polls()), (0, 1));
    assert!(!spawner.is_closed());
    after.finish(Ok(1));
    assert_eq!(run(group.collect()), Ok(vec![1]));
}

#[test]
fn what_a_task_spawns_after_it_has_aborted_all_stays() {
    let root = Root::new();
    let after = Probe::new();
    let mut group = Group::new();
    let (spawner, task) = (group.spawner(), after.task());
    group.spawn(async move {
        spawner.abort_all();
        spawner.spawn(task);
        Err("no".into())
    });
    let mut first = Box::pin(group.first_ok());
    assert!(root.poll(&mut first).is_pending());
    assert_eq!((after.polls(), after.drops()), (1, 0));
    after.finish(Ok(7));
    assert_eq!(root.poll(&mut first).map(Result::unwrap), Poll::Ready(7));
}

#[test]
fn a_task_may_abort_all_including_itself() {
    let mut group = Group::new();
    let spawner = group.spawner();
    group.spawn(pending());
    group.spawn(async move {
        spawner.abort_all();
        pending().await
    });
    assert_eq!(run(group.settle()), []);
}

// H2, H6
#[test]
fn a_queued_task_is_aborted_though_others_were_aborted_before_it_was_spawned() {
    let root = Root::new();
    let mut group = ErrGroup::<(), ()>::new().limit(1);
    let spawner = group.spawner();
    spawner.spawn_abortable(pending()).abort();
    assert_eq!(root.poll_new(group.ready()), Poll::Ready(true));
    spawner.spawn(pending());
    spawner.spawn(pending());
    let queued = spawner.spawn_abortable(pending());
    assert!(root.poll(&mut group).is_pending());
    spawner.spawn(pending());
    queued.abort();
    assert!(root.poll(&mut group).is_pending());
    assert!(queued.is_finished());
    assert_eq!((group.running(), group.queued()), (1, 2));
}

// H2
#[test]
fn a_running_task_that_had_its_turn_is_aborted_by_the_next_poll_of_ready() {
    let root = Root::new();
    let probes = probes(2);
    let mut group = Group::new().limit(3);
    let aborted = group.spawn_abortable(probes[0].task());
    group.spawn(probes[1].task());
    assert!(root.poll_new(group.next()).is_pending());
    probes[0].wake();
    probes[1].finish(Ok(1));
    loop {
        assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Ok(1))));
        if probes[0].polls() == 2 {
            break;
        }
        group.spawn(ready(Ok(1)));
    }
    // It has had its turn in a round that is not over.
    aborted.abort();
    assert_eq!(root.poll_new(group.ready()), Poll::Ready(true));
    assert!(probes[0].is_dropped() && aborted.is_finished());
}
