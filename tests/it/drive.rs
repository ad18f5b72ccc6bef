//! `drive`: the group and any other future, neither of them parked.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn, ready};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Poll, Waker};

use crate::common::{OnDrop, Probe, Root, probes, restless, run};
use errgroup::{CancelContext, ErrGroup, LocalErrGroup};

type Unit = Result<(), &'static str>;

// R12

#[test]
fn the_future_is_polled_only_when_it_was_woken() {
    let root = Root::new();
    let probes = probes::<Unit>(3);
    let driven = Probe::<u8>::new();
    let mut group = ErrGroup::new();
    group.extend(probes.iter().map(Probe::task));
    let mut drive = Box::pin(group.drive(driven.task()));
    assert!(root.poll(&mut drive).is_pending());
    assert_eq!((driven.polls(), root.wakes()), (1, 0));
    for probe in &probes {
        probe.wake();
        assert_eq!(root.wakes(), 1);
        assert!(root.poll(&mut drive).is_pending());
    }
    probes[0].finish(Ok(()));
    assert!(root.poll(&mut drive).is_pending());
    assert!(root.poll(&mut drive).is_pending());
    assert_eq!(driven.polls(), 1);

    root.wakes();
    driven.wake();
    driven.wake();
    assert_eq!(root.wakes(), 1);
    assert!(root.poll(&mut drive).is_pending());
    assert_eq!((driven.polls(), root.wakes()), (2, 0));
    assert_eq!((probes[1].polls(), probes[2].polls()), (2, 2));

    driven.finish(7);
    assert_eq!(root.wakes(), 1);
    assert_eq!(root.poll(&mut drive), Poll::Ready(Some(7)));
    assert_eq!((driven.polls(), driven.drops()), (3, 1));
}

#[test]
fn a_future_that_wakes_itself_is_polled_once_per_poll() {
    let root = Root::new();
    let polls = Arc::new(AtomicUsize::new(0));
    let mut group = ErrGroup::<(), ()>::new();
    group.spawn(pending());
    let mut drive = Box::pin(group.drive(restless::<()>(&polls)));
    for round in 1..10 {
        assert!(root.poll(&mut drive).is_pending());
        assert_eq!((polls.load(SeqCst), root.wakes()), (round, 1));
    }
}

#[test]
fn a_task_that_wakes_itself_does_not_poll_the_future_and_does_not_keep_it_out() {
    let root = Root::new();
    let polls = Arc::new(AtomicUsize::new(0));
    let driven = Probe::<()>::new();
    let mut group = ErrGroup::<(), ()>::new();
    group.extend((0..1_000).map(|_| restless(&polls)));
    let mut drive = Box::pin(group.drive(driven.task()));
    for _ in 0..20 {
        assert!(root.poll(&mut drive).is_pending());
        assert_eq!(root.wakes(), 1);
    }
    assert_eq!(driven.polls(), 1);
    driven.finish(());
    let (output, rounds) = root.run(drive);
    assert_eq!((output, rounds), (Some(()), 1));
}

// R2
#[test]
fn a_future_and_a_task_that_both_wake_themselves_are_first_in_turns() {
    let root = Root::new();
    let (order, greedy) = (RefCell::new(String::new()), Cell::new(false));
    let driven = Probe::<()>::new();
    let mut group = LocalErrGroup::<(), ()>::new();
    group.spawn(poll_fn(|cx| {
        order.borrow_mut().push('t');
        cx.waker().wake_by_ref();
        Poll::Pending
    }));
    let mut task = driven.task();
    let mut drive = Box::pin(group.drive(poll_fn(|cx| {
        order.borrow_mut().push('d');
        if greedy.get() {
            cx.waker().wake_by_ref();
        }
        Pin::new(&mut task).poll(cx)
    })));
    let mut poll = || {
        assert!(root.poll(&mut drive).is_pending());
        mem::take(&mut *order.borrow_mut())
    };
    assert_eq!(poll(), "td");
    // It sleeps, and so has waited for nothing.
    for _ in 0..5 {
        assert_eq!(poll(), "t");
    }
    greedy.set(true);
    driven.wake();
    assert_eq!((poll(), poll()), ("td".into(), "td".into()));
    for _ in 0..200 {
        assert_eq!((poll(), poll()), ("td".into(), "dt".into()));
    }
}

#[test]
fn the_output_of_a_future_that_is_ready_comes_in_the_same_poll() {
    let root = Root::new();
    let probe = Probe::<Unit>::new();
    let mut group = ErrGroup::new();
    group.spawn(probe.task());
    assert_eq!(root.poll_new(group.drive(ready(7))), Poll::Ready(Some(7)));
    // The group has had its turn.
    assert_eq!((probe.polls(), root.wakes()), (1, 0));
}

#[test]
fn a_wake_after_drive_is_over_is_not_lost() {
    let root = Root::new();
    let probe = Probe::<Unit>::new();
    let mut group = ErrGroup::new();
    group.spawn(probe.task());
    assert_eq!(root.poll_new(group.drive(ready(7))), Poll::Ready(Some(7)));
    probe.wake();
    // Whoever has the group is awake: it need not be woken, but must see the wake.
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(probe.polls(), 2);
    root.wakes();
    probe.wake();
    assert_eq!(root.wakes(), 1);
}

#[test]
fn an_empty_group_just_waits_for_the_future() {
    let root = Root::new();
    for mut group in [
        ErrGroup::<(), ()>::new(),
        ErrGroup::<(), ()>::new().keep_going().limit(1),
        ErrGroup::with_context(&CancelContext::new()).1,
    ] {
        let driven = Probe::<u8>::new();
        let mut drive = Box::pin(group.drive(driven.task()));
        assert!(root.poll(&mut drive).is_pending());
        assert!(root.poll(&mut drive).is_pending());
        assert_eq!((driven.polls(), root.wakes()), (1, 0));
        driven.finish(7);
        assert_eq!(root.poll(&mut drive), Poll::Ready(Some(7)));
        root.wakes();
    }
}

#[test]
fn a_group_whose_tasks_have_all_ended_waits_for_the_future() {
    let root = Root::new();
    let probe = Probe::<Unit>::new();
    let driven = Probe::<u8>::new();
    let mut group = ErrGroup::new();
    let spawner = group.spawner();
    group.spawn(ready(Ok(())));
    let mut drive = Box::pin(group.drive(driven.task()));
    assert!(root.poll(&mut drive).is_pending());
    spawner.spawn(probe.task());
    assert_eq!(root.wakes(), 1);
    assert!(root.poll(&mut drive).is_pending());
    assert_eq!((probe.polls(), driven.polls()), (1, 1));
    probe.finish(Ok(()));
    assert!(root.poll(&mut drive).is_pending());
    driven.finish(7);
    assert_eq!(root.poll(&mut drive), Poll::Ready(Some(7)));
}

#[test]
fn none_when_the_group_fails_and_the_future_is_dropped_unpolled() {
    let root = Root::new();
    let probe = Probe::<Unit>::new();
    let driven = Probe::<u8>::new();
    let mut group = ErrGroup::new();
    group.spawn(probe.task());
    let mut drive = Box::pin(group.drive(driven.task()));
    assert!(root.poll(&mut drive).is_pending());
    // Both at once: the output must not be thrown away after it was taken.
    driven.finish(7);
    probe.finish(Err("no"));
    assert_eq!(root.poll(&mut drive), Poll::Ready(None));
    drop(drive);
    assert_eq!((driven.polls(), driven.drops()), (1, 1));
    assert_eq!(run(group), Err("no"));
}

#[test]
fn an_error_of_a_keep_going_group_does_not_stop_drive() {
    let root = Root::new();
    let driven = Probe::<u8>::new();
    let mut group = ErrGroup::<(), &str>::new().keep_going();
    group.spawn(ready(Err("no")));
    let mut drive = Box::pin(group.drive(driven.task()));
    assert!(root.poll(&mut drive).is_pending());
    driven.finish(7);
    assert_eq!(root.poll(&mut drive), Poll::Ready(Some(7)));
    drop(drive);
    assert_eq!(run(group), Err("no"));
}

#[test]
fn the_future_may_spawn_into_the_group() {
    let root = Root::new();
    let probe = Probe::<Unit>::new();
    let mut group = ErrGroup::new();
    let spawner = group.spawner();
    let task = probe.task();
    let mut drive = Box::pin(group.drive(async move {
        spawner.spawn(task);
        pending::<()>().await
    }));
    assert!(root.poll(&mut drive).is_pending());
    // It runs in the same poll, so that there is nobody to wake.
    assert_eq!((probe.polls(), root.wakes()), (1, 0));
}

#[test]
fn what_the_future_spawned_with_its_last_poll_is_not_forgotten() {
    let root = Root::new();
    let probe = Probe::<Unit>::new();
    let mut group = ErrGroup::new();
    let spawner = group.spawner();
    let task = probe.task();
    let fut = async move { spawner.spawn(task) };
    assert_eq!(root.poll_new(group.drive(fut)), Poll::Ready(Some(())));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(probe.polls(), 1);
    root.wakes();
    probe.wake();
    assert_eq!(root.wakes(), 1);
}

#[test]
fn the_future_and_a_task_may_wait_for_each_other() {
    // Futurelock: the task sends what the future waits for, and waits for the answer.
    let mut group = ErrGroup::<(), ()>::new();
    let (ask, asked) = futures::channel::oneshot::channel();
    let (answer, answered) = futures::channel::oneshot::channel();
    group.spawn(async move {
        ask.send(1).unwrap();
        assert_eq!(answered.await, Ok(2));
        Ok(())
    });
    run(async {
        assert_eq!(group.drive(asked).await, Some(Ok(1)));
        answer.send(2).unwrap();
        group.await.unwrap();
    });
}

#[test]
fn drive_that_is_dropped_loses_no_task_and_no_outcome() {
    let root = Root::new();
    let probes = probes::<Unit>(3);
    let mut group = ErrGroup::new();
    group.extend(probes.iter().map(Probe::task));
    for probe in &probes {
        let driven = Probe::<()>::new();
        assert!(root.poll_new(group.drive(driven.task())).is_pending());
        assert_eq!((driven.polls(), driven.drops()), (1, 1));
        root.wakes();
        probe.finish(Ok(()));
        assert_eq!(root.wakes(), 1);
    }
    assert_eq!(run(group.collect()).unwrap().len(), 3);
}

#[test]
fn a_nested_drive_of_another_group_works() {
    let root = Root::new();
    let (outer_probe, inner_probe) = (Probe::<Unit>::new(), Probe::<Unit>::new());
    let mut outer = ErrGroup::new();
    let mut inner = LocalErrGroup::new();
    outer.spawn(outer_probe.task());
    inner.spawn(inner_probe.task());
    let driven = Probe::<u8>::new();
    let mut both = Box::pin(outer.drive(inner.drive(driven.task())));
    assert!(root.poll(&mut both).is_pending());
    outer_probe.wake();
    assert_eq!(root.wakes(), 1);
    assert!(root.poll(&mut both).is_pending());
    let polls = || (outer_probe.polls(), inner_probe.polls(), driven.polls());
    assert_eq!((polls(), root.wakes()), ((2, 1, 1), 0));
    inner_probe.wake();
    assert_eq!(root.wakes(), 1);
    assert!(root.poll(&mut both).is_pending());
    assert_eq!((polls(), root.wakes()), ((2, 2, 1), 0));
    driven.finish(7);
    assert_eq!(root.wakes(), 1);
    assert_eq!(root.poll(&mut both), Poll::Ready(Some(Some(7))));
    assert_eq!(polls(), (2, 2, 2));
}

#[test]
fn the_future_is_dropped_when_drive_is_over_and_its_destructor_may_spawn() {
    let root = Root::new();
    let probe = Probe::<Unit>::new();
    let mut group = ErrGroup::new();
    let spawner = group.spawner();
    let spawned = probe.clone();
    let guard = OnDrop(move || spawner.spawn(spawned.task()));
    let fut = async move {
        let _guard = guard;
        pending::<()>().await
    };
    assert!(root.poll_new(group.drive(fut)).is_pending());
    assert_eq!(group.len(), 1);
    assert_eq!(root.wakes(), 1);
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(probe.polls(), 1);
}

#[test]
fn the_waker_of_the_future_may_be_moved_cloned_and_woken_from_any_thread() {
    let root = Root::new();
    let mut group = ErrGroup::<(), ()>::new();
    let waker = Arc::new(std::sync::Mutex::new(None::<Waker>));
    let polls = Arc::new(AtomicUsize::new(0));
    let (kept, counted) = (waker.clone(), polls.clone());
    let mut drive = Box::pin(group.drive(poll_fn(move |cx| {
        counted.fetch_add(1, SeqCst);
        *kept.lock().unwrap() = Some(cx.waker().clone());
        Poll::<()>::Pending
    })));
    assert!(root.poll(&mut drive).is_pending());
    let first = waker.lock().unwrap().clone().unwrap();
    std::thread::spawn(move || first.wake()).join().unwrap();
    assert_eq!(root.wakes(), 1);
    assert!(root.poll(&mut drive).is_pending());
    assert_eq!(polls.load(SeqCst), 2);
    drop(drive);
    drop(group);
    // R4: nobody is there any more.
    waker.lock().unwrap().take().unwrap().wake();
    assert_eq!(polls.load(SeqCst), 2);
}

// P2, P5
#[test]
fn what_panics_beside_a_group_is_polled_when_drive_is_polled_again() {
    let root = Root::new();
    let mut group = ErrGroup::<(), ()>::new();
    group.spawn(pending());
    let mut polls = 0;
    let panics_once = poll_fn(|_| {
        polls += 1;
        if polls == 1 {
            resume_unwind(Box::new(7_u8));
        }
        Poll::Ready(polls)
    });
    let mut drive = Box::pin(group.drive(panics_once));
    let panicked = catch_unwind(AssertUnwindSafe(|| root.poll(&mut drive).is_ready()));
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&7_u8));
    assert_eq!(root.poll(&mut drive), Poll::Ready(Some(2)));
}
