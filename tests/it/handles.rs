//! Tasks with handles, in the background, and that say when they are up.

use std::cell::RefCell;
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::common::{Fail, OnDrop, Probe, Root, probes, restless, run, yields};
use errgroup::{
    CancelContext, CancelKind, ErrGroup, ErrSpawner, LocalErrGroup, Started, TaskHandle, scope,
};
use futures::future::{FusedFuture, FutureExt, join};

type Unit = Result<(), &'static str>;
type Group = ErrGroup<'static, (), &'static str>;

/// The kind of the reason with which a handle resolves; `None` if it is pending.
#[track_caller]
fn kind<U>(handle: &mut TaskHandle<U>) -> Option<CancelKind> {
    match Pin::new(handle).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => None,
        Poll::Ready(Ok(_)) => panic!("it has a value"),
        Poll::Ready(Err(reason)) => Some(reason.kind()),
    }
}

fn value<U>(handle: &mut TaskHandle<U>) -> Option<U> {
    match Pin::new(handle).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => None,
        Poll::Ready(result) => Some(result.expect("it has a value")),
    }
}

fn spawn<U: Send + 'static, E: Send + 'static>(
    group: &ErrGroup<'static, (), E>,
    probe: &Probe<Result<U, E>>,
) -> TaskHandle<U> {
    group.spawner().spawn_with_handle(probe.task())
}

/// Spawns a task that waits until it is told to end, and says nothing.
fn occupy(group: &Group) -> Probe<Unit> {
    let probe = Probe::new();
    group.spawner().spawn(probe.task());
    probe
}

// A handle gives the value

#[test]
fn a_handle_gives_the_value_of_its_task_once() {
    let root = Root::new();
    let mut group = Group::new();
    let probe = Probe::<Result<_, _>>::new();
    let mut handle = spawn(&group, &probe);
    assert_eq!((handle.index(), handle.is_finished()), (0, false));
    assert!(root.poll(&mut handle).is_pending());
    assert!(root.poll(&mut group).is_pending());
    assert!(root.poll(&mut handle).is_pending());
    assert!(!handle.is_finished() && !handle.is_terminated());
    root.wakes();
    probe.finish(Ok("value"));
    assert_eq!(root.wakes(), 1);
    assert!(!handle.is_finished());
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
    assert_eq!(root.wakes(), 1, "the handle is woken");
    assert!(handle.is_finished());
    assert_eq!(
        root.poll(&mut handle).map(Result::unwrap),
        Poll::Ready("value")
    );
    assert!(handle.is_finished() && handle.is_terminated());
    let again = catch_unwind(AssertUnwindSafe(|| root.poll(&mut handle)));
    assert!(again.is_err(), "polled after it has completed");
}

#[test]
fn a_handle_may_be_awaited_by_another_task_of_the_group() {
    let sum = AtomicUsize::new(0);
    let mut group = ErrGroup::<(), Fail>::new();
    let spawner = group.spawner();
    let one = spawner.spawn_with_handle(async {
        yields(3).await;
        Ok(1)
    });
    let two = spawner.spawn_with_handle(async { Ok(2) });
    group.spawn(async {
        sum.store(one.await? + two.await?, SeqCst);
        Ok(())
    });
    assert_eq!(run(group), Ok(()));
    assert_eq!(sum.load(SeqCst), 3);
}

#[test]
fn a_handle_may_be_awaited_on_another_thread() {
    for _ in 0..100 {
        let group = Group::new();
        let handle = group.spawner().spawn_with_handle(async {
            yields(3).await;
            Ok(5)
        });
        let other = std::thread::spawn(|| futures::executor::block_on(handle));
        futures::executor::block_on(group).unwrap();
        assert_eq!(other.join().unwrap().unwrap(), 5);
    }
}

#[test]
fn a_handle_may_be_polled_by_one_task_and_then_by_another() {
    let (first, second) = (Root::new(), Root::new());
    let mut group = Group::new();
    let probe = Probe::<Result<u8, _>>::new();
    let mut handle = spawn(&group, &probe);
    assert!(first.poll(&mut handle).is_pending());
    assert!(second.poll(&mut handle).is_pending());
    probe.set(Ok(1));
    assert_eq!(run(&mut group), Ok(()));
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
    assert_eq!(value(&mut handle), Some(1));
}

#[test]
fn a_handle_that_is_dropped_detaches_its_task() {
    let root = Root::new();
    let mut group = Group::new();
    let (running, queued) = (Probe::<Unit>::new(), Probe::<Unit>::new());
    drop(spawn(&group, &queued));
    let handle = spawn(&group, &running);
    assert!(root.poll(&mut group).is_pending());
    drop(handle);
    assert_eq!((running.drops(), queued.drops()), (0, 0));
    assert_eq!(root.wakes(), 0);
    running.finish(Ok(()));
    queued.finish(Ok(()));
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
}

#[test]
fn the_value_for_a_handle_that_is_dropped_is_dropped_with_the_task() {
    let root = Root::new();
    let held = Arc::new(());
    let mut group = Group::new();
    let other = occupy(&group);
    let probe = Probe::<Result<Arc<()>, _>>::new();
    drop(spawn(&group, &probe));
    probe.set(Ok(held.clone()));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(Arc::strong_count(&held), 1);
    other.finish(Ok(()));
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
}

#[test]
fn a_handle_may_outlive_its_group() {
    let held = Arc::new(7);
    let group = Group::new();
    let value_of = held.clone();
    let mut handle = group.spawner().spawn_with_handle(async { Ok(value_of) });
    run(group).unwrap();
    assert!(handle.is_finished());
    handle.abort();
    assert_eq!(value(&mut handle).as_deref(), Some(&7));
    handle.abort();
    assert_eq!(handle.index(), 0);
    drop(handle);
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn a_handle_keeps_no_waker_of_the_parent_of_a_group_that_is_gone() {
    let root = Root::new();
    let mut group = Group::new();
    let handle = spawn(&group, &Probe::<Unit>::new());
    assert!(root.poll(&mut group).is_pending());
    drop(group);
    assert_eq!(root.clones(), 0);
    drop(handle);
}

#[test]
fn a_task_is_gone_when_its_handle_resolves() {
    let root = Root::new();
    let mut group = Group::new();
    let probe = Probe::<Unit>::new();
    let mut handle = spawn(&group, &probe);
    probe.set(Ok(()));
    assert!(root.poll(&mut group).is_ready());
    assert_eq!(value(&mut handle), Some(()));
    assert_eq!(probe.drops(), 1);
}

#[test]
fn indices_are_in_spawn_order_and_never_restart() {
    let mut group = Group::new();
    let spawner = group.spawner();
    group.spawn(async { Ok(()) });
    let one = spawner.spawn_with_handle(async { Ok(()) });
    spawner.spawn_background(async { Ok(()) });
    spawner.spawn_named("three", async { Ok(()) });
    let four = spawner.spawn_with_handle(async { Ok(()) });
    assert_eq!((one.index(), four.index()), (1, 4));
    run(&mut group).unwrap();
    let five = spawner.spawn_with_handle(async { Ok(()) });
    assert_eq!((one.index(), five.index()), (1, 5));
}

#[test]
fn a_handle_awaited_with_the_only_slot_waits_for_ever() {
    // Documented; the ways out follow.
    let root = Root::new();
    let mut group = ErrGroup::<(), Fail>::new().limit(1);
    let spawner = group.spawner();
    group.spawn(async move {
        let queued = spawner.spawn_with_handle(async { Ok(1) });
        queued.await?;
        Ok(())
    });
    assert!(root.poll(&mut group).is_pending());
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((group.running(), group.queued()), (1, 1));
    assert_eq!(root.wakes(), 0);
    // Out: one more place.
    group.set_limit(2);
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
}

#[test]
fn a_handle_awaited_in_the_background_or_in_a_body_takes_no_slot() {
    let total = run(scope(async |s: ErrSpawner<'_, (), Fail>| {
        s.set_limit(1);
        let (spawner, (give, get)) = (s.clone(), futures::channel::oneshot::channel());
        s.spawn_background(async move {
            let queued = spawner.spawn_with_handle(async { Ok(1) });
            give.send(queued.await?).unwrap();
            pending().await
        });
        let first = s.spawn_with_handle(async { Ok(2) });
        let second = s.spawn_with_handle(async { Ok(3) });
        Ok(second.await? + first.await? + get.await.unwrap())
    }));
    assert_eq!(total, Ok(6));
}

// H1

#[test]
fn the_handle_of_a_task_that_fails_says_task_failed_and_the_group_has_the_error() {
    let root = Root::new();
    for keep_going in [false, true] {
        let mut group = match keep_going {
            false => Group::new(),
            true => Group::new().keep_going(),
        };
        let probe = Probe::<Unit>::new();
        let mut handle = spawn(&group, &probe);
        probe.set(Err("no"));
        assert_eq!(root.poll(&mut group), Poll::Ready(Err("no")));
        assert_eq!(kind(&mut handle), Some(CancelKind::TaskFailed));
    }
}

#[test]
fn the_handles_of_siblings_say_task_failed_when_the_group_fails() {
    let root = Root::new();
    let mut group = Group::new().limit(2);
    let (fails, running, queued) = (Probe::new(), Probe::<Unit>::new(), Probe::<Unit>::new());
    group.spawn(fails.task());
    let mut handles = [spawn(&group, &running), spawn(&group, &queued)];
    assert!(root.poll(&mut group).is_pending());
    fails.finish(Err("no"));
    assert_eq!(root.poll(&mut group), Poll::Ready(Err("no")));
    for handle in &mut handles {
        assert!(handle.is_finished());
        assert_eq!(kind(handle), Some(CancelKind::TaskFailed));
    }
    assert_eq!(queued.polls(), 0);
}

#[test]
fn the_handle_of_a_sibling_has_its_value_when_the_group_keeps_going() {
    let group = Group::new().keep_going();
    group.spawner().spawn(async { Err("no") });
    let mut handle = group.spawner().spawn_with_handle(async { Ok(1) });
    assert_eq!(run(group), Err("no"));
    assert_eq!(value(&mut handle), Some(1));

    let group = Group::new();
    group.spawner().spawn(async { Err("no") });
    let mut handle = group.spawner().spawn_with_handle(async {
        yields(1).await;
        Ok(1)
    });
    assert_eq!(run(group.settle()), [Err("no"), Ok(())]);
    assert_eq!(value(&mut handle), Some(1));
}

#[test]
fn the_handles_of_tasks_say_task_failed_when_the_body_of_their_scope_fails() {
    let handles = Mutex::new(Vec::new());
    let result = run(scope(async |s: ErrSpawner<'_, (), &str>| {
        s.set_limit(1);
        for _ in 0..3 {
            let handle = s.spawn_with_handle(pending::<Unit>());
            handles.lock().unwrap().push(handle);
        }
        yields(1).await;
        Err::<(), _>("body")
    }));
    assert_eq!(result, Err("body"));
    for handle in handles.lock().unwrap().iter_mut() {
        assert_eq!(kind(handle), Some(CancelKind::TaskFailed));
    }
}

#[test]
fn the_handle_of_a_task_that_is_aborted_says_cancelled() {
    let root = Root::new();
    let mut group = Group::new().limit(1);
    let (running, queued) = (Probe::<Unit>::new(), Probe::<Unit>::new());
    let mut handles = [spawn(&group, &running), spawn(&group, &queued)];
    assert!(root.poll(&mut group).is_pending());
    for handle in &handles {
        handle.abort();
        assert!(!handle.is_finished(), "it happens at the next poll");
    }
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
    for handle in &mut handles {
        assert_eq!(kind(handle), Some(CancelKind::Cancelled));
    }
}

#[test]
fn handles_say_cancelled_after_abort_all() {
    let root = Root::new();
    let mut group = Group::new().limit(1);
    let (running, queued) = (Probe::<Unit>::new(), Probe::<Unit>::new());
    let mut handles = [spawn(&group, &running), spawn(&group, &queued)];
    assert!(root.poll(&mut group).is_pending());
    group.abort_all();
    for handle in &mut handles {
        assert_eq!(kind(handle), Some(CancelKind::Cancelled));
    }
    // And only those.
    let mut handle = spawn(&group, &running);
    drop(group);
    assert_eq!(kind(&mut handle), Some(CancelKind::Finished));
}

#[test]
fn the_handles_of_a_group_that_is_dropped_say_finished() {
    let root = Root::new();
    for polled in [false, true] {
        let mut group = Group::new().limit(1);
        let (running, queued) = (Probe::<Unit>::new(), Probe::<Unit>::new());
        let mut handles = [spawn(&group, &running), spawn(&group, &queued)];
        if polled {
            assert!(root.poll(&mut group).is_pending());
        }
        for handle in &mut handles {
            assert!(root.poll(handle).is_pending());
        }
        root.wakes();
        drop(group);
        assert_eq!(root.wakes(), 2);
        for handle in &mut handles {
            assert_eq!(kind(handle), Some(CancelKind::Finished));
        }
    }
}

#[test]
fn a_task_that_was_aborted_says_cancelled_also_if_the_group_is_dropped_before_its_next_poll() {
    let group = Group::new();
    let mut handle = spawn(&group, &Probe::<Unit>::new());
    handle.abort();
    drop(group);
    assert_eq!(kind(&mut handle), Some(CancelKind::Cancelled));
}

#[test]
fn the_handles_of_the_tasks_that_a_first_success_drops_say_finished() {
    let group = Group::new();
    let mut slow = group.spawner().spawn_with_handle(pending::<Unit>());
    let mut fast = group.spawner().spawn_with_handle(async { Ok(1) });
    assert!(run(group.first_ok()).is_ok());
    assert_eq!(value(&mut fast), Some(1));
    assert_eq!(kind(&mut slow), Some(CancelKind::Finished));
}

#[test]
fn the_handle_of_a_task_that_is_refused_resolves_at_once() {
    let group = Group::new();
    let spawner = group.spawner();
    drop(group);
    let probe = Probe::<Unit>::new();
    let mut handle = spawner.spawn_with_handle(probe.task());
    assert_eq!((probe.polls(), probe.drops()), (0, 1));
    assert!(handle.is_finished());
    assert_eq!(handle.index(), usize::MAX);
    handle.abort();
    assert_eq!(kind(&mut handle), Some(CancelKind::Finished));
}

#[test]
fn the_handle_of_a_task_that_a_failed_group_refuses_says_task_failed() {
    let mut group = Group::new();
    let spawner = group.spawner();
    group.spawn(async { Err("no") });
    assert_eq!(run(group.drive(pending::<()>())), None);
    let mut handle = spawner.spawn_with_handle(async { Ok(()) });
    assert_eq!(kind(&mut handle), Some(CancelKind::TaskFailed));
    // Handed over: usable again.
    assert_eq!(run(&mut group), Err("no"));
    let mut handle = spawner.spawn_with_handle(async { Ok(()) });
    assert_eq!(run(&mut group), Ok(()));
    assert_eq!(value(&mut handle), Some(()));
    // And the old failure is no reason any more.
    let mut handle = spawner.spawn_with_handle(async { Ok(()) });
    drop(group);
    assert_eq!(kind(&mut handle), Some(CancelKind::Finished));
}

#[test]
fn a_handle_tells_the_cause_when_a_graceful_group_fails() {
    let root = Root::new();
    let (context, group) = ErrGroup::<(), &str>::with_context(&CancelContext::new());
    let mut group = group.cause_from(|error| (*error).into()).limit(2);
    let (fails, running, queued) = (Probe::new(), Probe::<Unit>::new(), Probe::<Unit>::new());
    group.spawn(fails.task());
    let running_handle = spawn(&group, &running);
    let queued_handle = spawn(&group, &queued);
    assert!(root.poll(&mut group).is_pending());
    fails.finish(Err("no"));
    assert!(root.poll(&mut group).is_pending());
    let refused = spawn(&group, &queued);
    assert!(!running_handle.is_finished(), "polled until it returns");
    for mut handle in [queued_handle, refused] {
        let Poll::Ready(Err(reason)) = root.poll(&mut handle) else {
            panic!("it was dropped")
        };
        assert_eq!(reason.kind(), CancelKind::TaskFailed);
        assert_eq!(reason.cause().unwrap().to_string(), "no");
    }
    running.finish(Ok(()));
    assert_eq!(root.poll(&mut group), Poll::Ready(Err("no")));
    assert!(context.is_cancelled());
    let mut handle = running_handle;
    assert_eq!(value(&mut handle), Some(()));
}

#[test]
fn a_handle_tells_the_reason_when_the_grace_is_over() {
    let root = Root::new();
    let parent = CancelContext::new();
    let (over, in_destructor) = (Probe::<()>::new(), Arc::new(Mutex::new(None)));
    let grace = over.clone();
    let (context, group) = ErrGroup::<(), Fail>::with_grace(&parent, move || grace.task());
    let mut group = group.limit(1);
    let (out, spawner) = (in_destructor.clone(), group.spawner());
    let running = group.spawner().spawn_with_handle(async move {
        let _refused = OnDrop(move || {
            let refused = spawner.spawn_with_handle(async { Ok(()) });
            *out.lock().unwrap() = Some(refused);
        });
        pending::<Result<(), Fail>>().await
    });
    let queued = group.spawner().spawn_with_handle(async { Ok(()) });
    assert!(root.poll(&mut group).is_pending());
    parent.cancel_with("go home");
    assert!(root.poll(&mut group).is_pending());
    assert!(!running.is_finished());
    over.finish(());
    assert!(root.poll(&mut group).is_ready());
    let refused = in_destructor.lock().unwrap().take().unwrap();
    for mut handle in [running, queued, refused] {
        let Poll::Ready(Err(reason)) = root.poll(&mut handle) else {
            panic!("it was dropped")
        };
        assert_eq!(reason.kind(), CancelKind::Cancelled);
        assert_eq!(reason.cause().unwrap().to_string(), "go home");
    }
    drop(context);
}

#[cfg(feature = "std")]
#[test]
fn the_handle_of_a_task_that_panics_says_task_failed() {
    let mut group = Group::new();
    let mut handle = group
        .spawner()
        .spawn_with_handle(async { std::panic::panic_any("boom") as Unit });
    let mut sibling = group.spawner().spawn_with_handle(async { Ok(1) });
    assert!(catch_unwind(AssertUnwindSafe(|| run(&mut group))).is_err());
    assert_eq!(kind(&mut handle), Some(CancelKind::TaskFailed));
    assert_eq!(run(&mut group), Ok(()));
    assert_eq!(value(&mut sibling), Some(1));

    let group = ErrGroup::<(), Fail>::new().catch_panics();
    let mut handle = group
        .spawner()
        .spawn_with_handle(async { std::panic::panic_any("boom") as Result<(), Fail> });
    assert_eq!(run(group), Err(Fail::Panicked("boom".into())));
    assert_eq!(kind(&mut handle), Some(CancelKind::TaskFailed));
}

#[test]
fn the_handles_of_a_scope_in_which_something_panics_resolve() {
    let handle = Mutex::new(None);
    let result = catch_unwind(AssertUnwindSafe(|| {
        run(scope(async |s: ErrSpawner<'_, (), &str>| {
            *handle.lock().unwrap() = Some(s.spawn_with_handle(pending::<Unit>()));
            yields(1).await;
            std::panic::panic_any("body");
            #[allow(unreachable_code)]
            Ok(())
        }))
    }));
    assert!(result.is_err());
    let mut handle = handle.lock().unwrap().take().unwrap();
    assert_eq!(kind(&mut handle), Some(CancelKind::Finished));
}

// H2

#[test]
fn abort_drops_a_running_task_at_the_next_poll_and_frees_its_slot() {
    let root = Root::new();
    let mut group = Group::new().limit(1);
    let (first, second) = (Probe::<Unit>::new(), Probe::<Unit>::new());
    let mut handle = spawn(&group, &first);
    let _next = spawn(&group, &second);
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(root.wakes(), 0);
    handle.abort();
    handle.abort();
    assert_eq!(root.wakes(), 1);
    assert!(!first.is_dropped());
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(
        (first.polls(), first.drops()),
        (1, 1),
        "dropped, not polled"
    );
    assert_eq!(second.polls(), 1, "the slot is free in the same poll");
    assert_eq!((group.running(), group.queued(), group.len()), (1, 0, 1));
    assert_eq!(root.wakes(), 0);
    assert_eq!(kind(&mut handle), Some(CancelKind::Cancelled));
    handle.abort();
    assert_eq!(root.wakes(), 0);
}

#[test]
fn abort_drops_a_queued_task_at_the_next_poll_though_there_is_no_slot_for_it() {
    let root = Root::new();
    let mut group = Group::new().limit(1);
    let other = occupy(&group);
    let queued = probes::<Unit>(5);
    let handles: Vec<_> = queued.iter().map(|probe| spawn(&group, probe)).collect();
    assert!(root.poll(&mut group).is_pending());
    handles[1].abort();
    handles[3].abort();
    assert_eq!(root.wakes(), 1);
    assert!(root.poll(&mut group).is_pending());
    let drops: Vec<_> = queued.iter().map(Probe::drops).collect();
    assert_eq!(drops, [0, 1, 0, 1, 0]);
    assert!(queued.iter().all(|probe| probe.polls() == 0));
    assert_eq!((group.running(), group.queued()), (1, 3));
    // The others keep their order.
    other.finish(Ok(()));
    assert!(root.poll(&mut group).is_pending());
    let polls: Vec<_> = queued.iter().map(Probe::polls).collect();
    assert_eq!(polls, [1, 0, 0, 0, 0]);
    queued[0].finish(Ok(()));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((queued[2].polls(), queued[4].polls()), (1, 0));
}

#[test]
fn abort_before_the_first_poll_of_the_group_drops_the_task_unpolled() {
    let group = Group::new();
    let probe = Probe::<Unit>::new();
    let mut handle = spawn(&group, &probe);
    handle.abort();
    assert_eq!(group.len(), 1);
    assert!(run(group.settle()).is_empty());
    assert_eq!((probe.polls(), probe.drops()), (0, 1));
    assert_eq!(kind(&mut handle), Some(CancelKind::Cancelled));
}

#[test]
fn abort_after_the_end_changes_nothing() {
    let root = Root::new();
    let mut group = Group::new();
    let other = occupy(&group);
    let mut handle = group.spawner().spawn_with_handle(async { Ok(1) });
    assert!(root.poll(&mut group).is_pending());
    handle.abort();
    assert_eq!(root.wakes(), 0);
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(value(&mut handle), Some(1));
    other.finish(Ok(()));
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
}

#[test]
fn abort_by_a_sibling_drops_the_task_in_the_same_poll_and_wakes_nobody() {
    let root = Root::new();
    let mut group = Group::new().limit(3);
    let (running, queued) = (Probe::<Unit>::new(), Probe::<Unit>::new());
    let (first, other) = (spawn(&group, &running), occupy(&group));
    assert!(root.poll(&mut group).is_pending());
    let spawner = group.spawner();
    group.spawn(async move {
        first.abort();
        spawner.spawn_with_handle(queued.task()).abort();
        assert_eq!(queued.polls(), 0);
        Ok(())
    });
    root.wakes();
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(running.drops(), 1);
    assert_eq!(group.len(), 1);
    assert_eq!(root.wakes(), 0);
    other.finish(Ok(()));
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
}

#[test]
fn tasks_that_are_aborted_together_go_in_one_poll() {
    let root = Root::new();
    let mut group = Group::new();
    let handles: Vec<_> = (0..200)
        .map(|_| group.spawner().spawn_with_handle(pending::<Unit>()))
        .collect();
    let other = occupy(&group);
    assert!(root.poll(&mut group).is_pending());
    handles.iter().for_each(TaskHandle::abort);
    assert_eq!(root.wakes(), 1);
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(group.len(), 1);
    assert_eq!(root.wakes(), 0);
    other.finish(Ok(()));
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
}

#[test]
fn an_aborted_task_holds_up_no_task_that_was_woken_with_it() {
    let root = Root::new();
    let mut group = Group::new();
    let aborted = spawn(&group, &Probe::<Unit>::new());
    let woken = [occupy(&group), occupy(&group)];
    assert!(root.poll(&mut group).is_pending());
    aborted.abort();
    woken.iter().for_each(Probe::wake);
    root.wakes();
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((woken[0].polls(), woken[1].polls()), (2, 2));
    assert_eq!(root.wakes(), 0);
}

#[test]
fn a_task_may_abort_itself() {
    let root = Root::new();
    let mut group = Group::new();
    let slot: Arc<Mutex<Option<TaskHandle<()>>>> = Arc::default();
    let own = slot.clone();
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = dropped.clone();
    let handle = group.spawner().spawn_with_handle(async move {
        let _flag = OnDrop(move || flag.store(true, SeqCst));
        own.lock().unwrap().as_ref().unwrap().abort();
        yields(1).await;
        unreachable!("it was aborted")
    });
    *slot.lock().unwrap() = Some(handle);
    let (outcomes, _) = root.run(async { group.next().await });
    assert_eq!(outcomes, None);
    assert!(dropped.load(SeqCst));
    let mut handle = slot.lock().unwrap().take().unwrap();
    assert_eq!(kind(&mut handle), Some(CancelKind::Cancelled));
}

#[test]
fn a_task_that_aborts_itself_and_ends_in_the_same_poll_has_ended() {
    let mut group = Group::new();
    let slot: Arc<Mutex<Option<TaskHandle<u8>>>> = Arc::default();
    let own = slot.clone();
    let handle = group.spawner().spawn_with_handle(async move {
        own.lock().unwrap().as_ref().unwrap().abort();
        Ok(1)
    });
    *slot.lock().unwrap() = Some(handle);
    assert_eq!(run(group.next()), Some(Ok(())));
    let mut handle = slot.lock().unwrap().take().unwrap();
    assert_eq!(value(&mut handle), Some(1));
    assert_eq!(run(group), Ok(()));
}

#[test]
fn any_thread_may_abort_a_task_at_any_time() {
    let root = Root::new();
    for round in 0..300 {
        let mut group = Group::new().limit(1 + round % 2);
        let mut handles: Vec<_> = (0..4)
            .map(|_| group.spawner().spawn_with_handle(pending::<Unit>()))
            .collect();
        std::thread::scope(|threads| {
            threads.spawn(|| handles.iter().for_each(TaskHandle::abort));
            let start = Instant::now();
            while root.poll(&mut group).is_pending() {
                while root.wakes() == 0 {
                    assert!(start.elapsed() < Duration::from_secs(20), "a lost abort");
                    std::thread::yield_now();
                }
            }
        });
        for handle in &mut handles {
            assert_eq!(kind(handle), Some(CancelKind::Cancelled));
        }
    }
}

#[test]
fn a_task_that_another_thread_spawns_and_aborts_at_once_goes_though_there_is_no_slot() {
    let root = Root::new();
    let mut group = Group::new().limit(1);
    let other = occupy(&group);
    let spawner = group.spawner();
    assert!(root.poll(&mut group).is_pending());
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let _done = OnDrop(|| done.store(true, SeqCst));
            for _ in 0..20_000 {
                let handle = spawner.spawn_with_handle(pending::<Unit>());
                handle.abort();
                let start = Instant::now();
                while !handle.is_finished() {
                    assert!(start.elapsed() < Duration::from_secs(5), "a lost abort");
                    std::hint::spin_loop();
                }
            }
        });
        while !done.load(SeqCst) {
            if root.wakes() > 0 {
                assert!(root.poll(&mut group).is_pending());
            }
        }
    });
    other.finish(Ok(()));
    assert_eq!(run(group), Ok(()));
}

#[test]
fn an_abort_is_no_outcome_and_no_error() {
    type Make = fn() -> Group;
    for make in [Group::new as Make, || Group::new().keep_going()] {
        let filled = || {
            let group = make().limit(2);
            let handles = [pending::<Unit>().boxed(), async { Ok(()) }.boxed()]
                .into_iter()
                .chain((0..2).map(|_| pending::<Unit>().boxed()))
                .map(|task| group.spawner().spawn_with_handle(task))
                .collect::<Vec<_>>();
            handles[0].abort();
            handles[2].abort();
            handles[3].abort();
            group
        };
        assert_eq!(run(filled()), Ok(()));
        assert_eq!(run(filled().collect()), Ok(vec![()]));
        assert_eq!(run(filled().settle()), [Ok(())]);
        assert_eq!(run(filled().wait_all()).unwrap(), [()]);
        assert!(run(filled().first_ok()).is_ok());
        let mut group = filled();
        assert_eq!(run(group.next()), Some(Ok(())));
        assert_eq!(run(group.next()), None);
    }
    let group = Group::new();
    group.spawner().spawn_with_handle(pending::<Unit>()).abort();
    let errors = run(group.first_ok()).unwrap_err();
    assert_eq!((errors.len(), errors.total()), (0, 0));
}

#[test]
fn an_abort_while_running_is_no_outcome_either() {
    let root = Root::new();
    let mut group = Group::new();
    let handle = spawn(&group, &Probe::<Unit>::new());
    let other = occupy(&group);
    assert!(root.poll_new(group.next()).is_pending());
    handle.abort();
    assert!(root.poll_new(group.next()).is_pending());
    other.finish(Ok(()));
    assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Ok(()))));
    assert_eq!(root.poll_new(group.next()), Poll::Ready(None));
}

#[test]
fn a_destructor_that_panics_in_an_abort_leaves_the_others_alone() {
    let root = Root::new();
    let mut group = Group::new().limit(2);
    let bomb = || async {
        let _bomb = OnDrop(|| std::panic::panic_any("dropped"));
        pending::<Unit>().await
    };
    let mut running = group.spawner().spawn_with_handle(bomb());
    let other = occupy(&group);
    assert!(root.poll(&mut group).is_pending());
    running.abort();
    let poll = catch_unwind(AssertUnwindSafe(|| root.poll(&mut group)));
    assert!(poll.is_err());
    assert_eq!(kind(&mut running), Some(CancelKind::Cancelled));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((group.len(), other.polls()), (1, 1));
    other.finish(Ok(()));
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
}

#[test]
fn the_destructor_of_an_aborted_task_may_spawn() {
    let root = Root::new();
    let mut group = Group::new().limit(2);
    let other = occupy(&group);
    let (spawned, spawner) = (Probe::<Unit>::new(), group.spawner());
    let mut late = Some(spawned.task());
    let handle = group.spawner().spawn_with_handle(async move {
        let _spawns = OnDrop(move || spawner.spawn(late.take().unwrap()));
        pending::<Unit>().await
    });
    assert!(root.poll(&mut group).is_pending());
    handle.abort();
    root.wakes();
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(spawned.polls(), 1, "in the same poll");
    assert_eq!(root.wakes(), 0);
    other.finish(Ok(()));
    spawned.finish(Ok(()));
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
}

// H3

#[test]
fn a_background_task_counts_for_nothing() {
    let root = Root::new();
    let mut group = Group::new().limit(1);
    let spawner = group.spawner();
    let (background, task) = (probes::<Unit>(3), Probe::<Unit>::new());
    for probe in &background {
        spawner.spawn_background(probe.task());
    }
    assert_eq!((group.running(), group.queued(), group.len()), (0, 0, 0));
    assert!(group.is_empty());
    group.try_spawn(task.task()).unwrap();
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((group.running(), group.queued(), group.len()), (1, 0, 1));
    assert!(background.iter().all(|probe| probe.polls() == 1));
    assert_eq!(task.polls(), 1);
    task.finish(Ok(()));
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
    assert!(background.iter().all(|probe| probe.drops() == 0));
    assert_eq!((group.running(), group.queued(), group.len()), (0, 0, 0));
    drop(group);
    assert!(background.iter().all(|probe| probe.drops() == 1));
}

#[test]
fn a_background_task_starts_though_the_limit_is_reached() {
    let root = Root::new();
    let mut group = Group::new().limit(1);
    let other = occupy(&group);
    let (queued, background) = (occupy(&group), Probe::<Unit>::new());
    assert!(root.poll(&mut group).is_pending());
    group.spawner().spawn_background(background.task());
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((background.polls(), queued.polls()), (1, 0));
    other.finish(Ok(()));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(queued.polls(), 1);
}

#[test]
fn a_background_task_that_waits_to_be_started_makes_no_running_task_invisible() {
    let root = Root::new();
    let mut group = Group::new();
    let _other = occupy(&group);
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((group.running(), group.queued(), group.len()), (1, 0, 1));
    group.spawner().spawn_background(pending());
    assert_eq!((group.running(), group.queued(), group.len()), (1, 0, 1));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((group.running(), group.queued(), group.len()), (1, 0, 1));
}

#[test]
fn a_background_task_spawned_by_a_task_lets_no_queued_task_pass_the_limit() {
    let root = Root::new();
    let mut group = Group::new().limit(1);
    let (spawner, hold) = (group.spawner(), Probe::<Unit>::new());
    let task = hold.task();
    group.spawn(async move {
        for _ in 0..3 {
            spawner.spawn_background(pending());
        }
        task.await
    });
    let queued = occupy(&group);
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((hold.polls(), queued.polls()), (1, 0), "two tasks run");
    hold.finish(Ok(()));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(queued.polls(), 1);
}

#[test]
fn a_background_task_that_ends_frees_no_slot_and_has_no_outcome() {
    let root = Root::new();
    let mut group = Group::new().limit(1);
    let (background, other) = (Probe::<Unit>::new(), occupy(&group));
    let queued = occupy(&group);
    group.spawner().spawn_background(background.task());
    assert!(root.poll_new(group.next()).is_pending());
    background.finish(Ok(()));
    assert!(root.poll_new(group.next()).is_pending());
    assert_eq!(background.drops(), 1);
    assert_eq!(queued.polls(), 0);
    assert_eq!((group.running(), group.queued()), (1, 1));
    other.set(Ok(()));
    queued.set(Ok(()));
    other.wake();
    assert_eq!(run(group.settle()), [Ok(()), Ok(())]);
}

#[test]
fn a_group_of_background_tasks_alone_is_done() {
    let background = Probe::<Unit>::new();
    let mut group = Group::new();
    group.spawner().spawn_background(background.task());
    assert_eq!(run(&mut group), Ok(()));
    assert!(background.polls() <= 1);
    group.spawner().spawn_background(background.task());
    assert_eq!(run(group.next()), None);
    group.spawner().spawn_background(background.task());
    // Through a reference they stay.
    assert_eq!(background.drops(), 0);
    assert!(run(group.settle()).is_empty());
    assert_eq!(background.drops(), 3);
}

#[test]
fn a_background_task_is_not_polled_once_more_for_the_end() {
    let (root, other, saw) = (Root::new(), Probe::<Unit>::new(), AtomicBool::new(false));
    let (context, mut group) = ErrGroup::<(), &str>::with_context(&CancelContext::new());
    group.spawn_background(async {
        context.cancelled().await;
        saw.store(true, SeqCst);
        Ok(())
    });
    group.spawn(other.task());
    let mut all = Box::pin(group.collect());
    assert!(root.poll(&mut all).is_pending());
    other.finish(Ok(()));
    assert!(root.poll(&mut all).is_ready());
    assert!(context.is_cancelled() && !saw.load(SeqCst));
}

#[test]
fn background_tasks_that_end_hold_up_no_task_that_was_woken_with_them() {
    let root = Root::new();
    let mut group = Group::new();
    let background = probes::<Unit>(5);
    for probe in &background {
        group.spawner().spawn_background(probe.task());
    }
    let woken = occupy(&group);
    assert!(root.poll(&mut group).is_pending());
    background.iter().for_each(|probe| probe.finish(Ok(())));
    woken.wake();
    assert_eq!(root.wakes(), 1);
    assert!(root.poll(&mut group).is_pending());
    assert!(background.iter().all(|probe| probe.drops() == 1));
    assert_eq!((woken.polls(), root.wakes()), (2, 0));
}

#[test]
fn the_error_of_a_background_task_fails_the_group() {
    let root = Root::new();
    let mut group = Group::new();
    let (background, other) = (Probe::new(), occupy(&group));
    group.spawner().spawn_background(background.task());
    assert!(root.poll(&mut group).is_pending());
    background.finish(Err("background"));
    assert_eq!(root.poll(&mut group), Poll::Ready(Err("background")));
    assert_eq!(other.drops(), 1);
}

#[test]
fn the_error_of_a_background_task_is_one_of_all_errors() {
    let group = Group::new();
    let spawner = group.spawner();
    spawner.spawn(async {
        yields(2).await;
        Err("late")
    });
    spawner.spawn_background(async { Err("background") });
    let errors = run(group.wait_all()).unwrap_err();
    assert_eq!(errors.first(), Some(&"background"));
    assert_eq!(errors.into_vec(), [(0, "late"), (1, "background")]);
}

#[test]
fn the_error_of_a_background_task_fails_a_scope_and_drops_its_body() {
    let body = Probe::<Unit>::new();
    let result = run(scope(async |s| {
        s.spawn_background(async { Err("background") });
        body.task().await
    }));
    assert_eq!(result, Err("background"));
    assert_eq!(body.drops(), 1);
}

#[test]
fn background_tasks_live_as_long_as_the_body_of_their_scope() {
    let root = Root::new();
    let (background, body) = (Probe::<Unit>::new(), Probe::<Unit>::new());
    let mut scope = pin!(scope(async |s| {
        s.spawn_background(background.task());
        s.spawn(async { Ok(()) });
        body.task().await
    }));
    assert!(root.poll(&mut scope).is_pending());
    assert!(root.poll(&mut scope).is_pending());
    assert_eq!(background.drops(), 0);
    body.finish(Ok(()));
    assert_eq!(root.poll(&mut scope), Poll::Ready(Ok(())));
    assert_eq!(background.drops(), 1);
}

#[test]
fn background_tasks_are_dropped_when_all_others_are_done_whatever_drives_the_group() {
    let filled = |background: &Probe<Unit>| {
        let group = Group::new();
        group.spawner().spawn_background(background.task());
        group.spawner().spawn(async {
            yields(1).await;
            Ok(())
        });
        group
    };
    let background = Probe::new();
    assert_eq!(run(filled(&background)), Ok(()));
    assert_eq!(background.drops(), 1);
    assert_eq!(run(filled(&background).collect()), Ok(vec![()]));
    assert_eq!(background.drops(), 2);
    assert_eq!(run(filled(&background).settle()), [Ok(())]);
    assert_eq!(background.drops(), 3);
    assert!(run(filled(&background).first_ok()).is_ok());
    assert_eq!(background.drops(), 4);
    let mut group = filled(&background);
    assert_eq!(run(group.next()), Some(Ok(())));
    assert_eq!(run(group.next()), None);
    assert_eq!(background.drops(), 4);
    drop(group);
    assert_eq!(background.drops(), 5);
    let group = filled(&background);
    drop(group);
    assert_eq!(background.drops(), 6);
}

#[test]
fn a_graceful_group_drops_background_tasks_after_its_context_is_finished() {
    let root = Root::new();
    let (context, mut group) = ErrGroup::<(), &str>::with_context(&CancelContext::new());
    let seen = Arc::new(Mutex::new(None));
    let (out, inner) = (seen.clone(), context.clone());
    group.spawner().spawn_background(async move {
        let _look = OnDrop(move || *out.lock().unwrap() = Some(inner.reason().map(|r| r.kind())));
        pending::<Unit>().await
    });
    let other = occupy(&group);
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(*seen.lock().unwrap(), None);
    other.finish(Ok(()));
    assert_eq!(run(group.collect()), Ok(vec![()]));
    assert_eq!(*seen.lock().unwrap(), Some(Some(CancelKind::Finished)));
    assert_eq!(context.reason().unwrap().kind(), CancelKind::Finished);
}

#[test]
fn a_background_task_runs_on_after_the_failure_of_a_graceful_group_until_all_are_done() {
    let root = Root::new();
    let (context, mut group) = ErrGroup::<(), &str>::with_context(&CancelContext::new());
    let background = Probe::<Unit>::new();
    let (fails, other) = (occupy(&group), occupy(&group));
    group.spawner().spawn_background(background.task());
    assert!(root.poll(&mut group).is_pending());
    fails.finish(Err("no"));
    assert!(root.poll(&mut group).is_pending());
    assert!(context.is_cancelled());
    background.wake();
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((background.polls(), background.drops()), (2, 0));
    other.finish(Ok(()));
    assert_eq!(root.poll(&mut group), Poll::Ready(Err("no")));
    assert_eq!(background.drops(), 1);
}

#[test]
fn the_end_of_a_grace_is_no_outcome_of_a_background_task() {
    let parent = CancelContext::new();
    let (_context, group) = ErrGroup::<(), Fail>::with_grace(&parent, || async {});
    group.spawner().spawn_background(pending());
    group.spawner().spawn(pending());
    group.spawner().spawn_background(pending());
    parent.cancel();
    let outcomes = run(group.settle());
    assert_eq!(outcomes, [Err(Fail::Cancelled(CancelKind::Cancelled))]);
}

#[test]
fn a_destructor_of_a_background_task_cannot_spawn_when_the_group_is_done() {
    let root = Root::new();
    let mut group = Group::new();
    let (refused, spawner) = (Probe::<Unit>::new(), group.spawner());
    let mut late = Some(refused.task());
    group.spawner().spawn_background(async move {
        let _spawns = OnDrop(move || spawner.spawn(late.take().unwrap()));
        pending::<Unit>().await
    });
    let other = occupy(&group);
    assert!(root.poll(&mut group).is_pending());
    other.finish(Ok(()));
    assert_eq!(run(group.collect()), Ok(vec![()]));
    assert_eq!((refused.polls(), refused.drops()), (0, 1));
}

#[test]
fn a_background_task_whose_destructor_panics_has_no_outcome_either() {
    struct Bomb;
    impl Future for Bomb {
        type Output = Unit;
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Unit> {
            Poll::Ready(Ok(()))
        }
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::panic_any("dropped");
        }
    }
    let mut group = Group::new();
    let other = occupy(&group);
    group.spawner().spawn_background(Bomb);
    assert!(catch_unwind(AssertUnwindSafe(|| Root::new().poll_new(group.next()))).is_err());
    other.finish(Ok(()));
    assert_eq!(group.len(), 1);
    assert_eq!(run(group.settle()), [Ok(())]);
}

#[test]
fn a_background_task_that_is_over_makes_no_room_while_it_is_dropped() {
    struct TriesToSpawn(ErrSpawner<'static, (), &'static str>, Arc<AtomicBool>);
    impl Future for TriesToSpawn {
        type Output = Unit;
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Unit> {
            Poll::Ready(Ok(()))
        }
    }
    impl Drop for TriesToSpawn {
        fn drop(&mut self) {
            let spawned = self.0.try_spawn(pending()).is_ok();
            self.1.store(spawned, SeqCst);
        }
    }
    let root = Root::new();
    let mut group = Group::new().limit(1);
    let _other = occupy(&group);
    let spawned = Arc::new(AtomicBool::new(false));
    let task = TriesToSpawn(group.spawner(), spawned.clone());
    group.spawner().spawn_background(task);
    assert!(root.poll(&mut group).is_pending());
    assert!(!spawned.load(SeqCst), "the limit was reached");
    assert_eq!(group.len(), 1);
}

// R2
#[test]
fn a_queued_task_does_not_starve_behind_background_tasks_that_replace_themselves() {
    fn replace(spawner: ErrSpawner<'static, (), &'static str>) {
        let next = spawner.clone();
        spawner.spawn_background(async move {
            replace(next);
            Ok(())
        });
    }
    let root = Root::new();
    let mut group = Group::new();
    for _ in 0..300 {
        replace(group.spawner());
    }
    let queued = occupy(&group);
    for _ in 0..100 {
        assert!(root.poll(&mut group).is_pending());
    }
    assert_eq!(queued.polls(), 1);
}

#[test]
fn a_queued_task_does_not_starve_behind_restless_background_tasks() {
    let root = Root::new();
    let polls = Arc::new(AtomicUsize::new(0));
    let mut group = Group::new().limit(1);
    for _ in 0..300 {
        group.spawner().spawn_background(restless::<Unit>(&polls));
    }
    let queued = occupy(&group);
    for _ in 0..10 {
        assert!(root.poll(&mut group).is_pending());
    }
    assert_eq!(queued.polls(), 1);
    queued.finish(Ok(()));
    let mut left = 10;
    while root.poll(&mut group).is_pending() {
        left -= 1;
        assert!(left > 0, "the group is not done");
    }
}

#[test]
fn abort_all_drops_background_tasks_too() {
    let root = Root::new();
    let mut group = Group::new();
    let background = Probe::<Unit>::new();
    let _other = occupy(&group);
    group.spawner().spawn_background(background.task());
    assert!(root.poll(&mut group).is_pending());
    group.abort_all();
    assert_eq!((background.drops(), group.len()), (1, 0));
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
}

// H4

#[test]
fn start_waits_until_the_task_is_up_and_gives_its_value() {
    let root = Root::new();
    let mut group = Group::new();
    let (up, serve) = (Probe::<()>::new(), Probe::<Unit>::new());
    let (bind, run_on) = (up.task(), serve.task());
    let spawner = group.spawner();
    let mut start = pin!(spawner.start(async move |started: Started<u16>| {
        bind.await;
        started.ready(8080);
        run_on.await
    }));
    assert_eq!(group.len(), 0, "spawned at the first poll");
    assert!(root.poll(&mut start).is_pending());
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(up.polls(), 1);
    root.wakes();
    up.finish(());
    assert_eq!(root.wakes(), 1);
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(root.wakes(), 1, "start is woken");
    assert_eq!(root.poll(&mut start), Poll::Ready(Ok(8080)));
    assert_eq!((group.running(), group.len()), (1, 1));
    serve.finish(Err("serving"));
    assert_eq!(root.poll(&mut group), Poll::Ready(Err("serving")));
}

#[test]
fn who_no_longer_waits_for_a_start_leaves_no_waker() {
    let (root, other) = (Root::new(), Root::new());
    let mut group = Group::new();
    let spawner = group.spawner();
    let mut start = Box::pin(spawner.start(|started: Started<u16>| async move {
        let _started = started;
        pending().await
    }));
    assert!(root.poll(&mut start).is_pending());
    assert!(other.poll(&mut group).is_pending());
    assert_ne!(root.clones(), 0);
    drop(start);
    assert_eq!((root.clones(), group.running()), (0, 0));
}

#[test]
fn until_it_is_up_a_task_counts_for_being_done_but_not_for_the_limit() {
    let root = Root::new();
    let mut group = Group::new().limit(1);
    let (other, queued) = (occupy(&group), occupy(&group));
    let (up, serve) = (Probe::<()>::new(), Probe::<Unit>::new());
    let (bind, run_on) = (up.task(), serve.task());
    let spawner = group.spawner();
    let mut start = pin!(spawner.start(async move |started: Started<()>| {
        bind.await;
        started.ready(());
        run_on.await
    }));
    assert!(root.poll(&mut start).is_pending());
    assert!(root.poll(&mut group).is_pending());
    // It runs beyond the limit, and holds up nobody.
    assert_eq!((up.polls(), queued.polls()), (1, 0));
    assert_eq!((group.running(), group.queued(), group.len()), (1, 1, 2));
    other.finish(Ok(()));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(queued.polls(), 1);
    queued.finish(Ok(()));
    assert!(root.poll(&mut group).is_pending(), "it is not done");
    assert_eq!((group.running(), group.len()), (0, 0));

    let third = occupy(&group);
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(third.polls(), 1);
    up.finish(());
    let fourth = occupy(&group);
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((group.running(), group.queued(), group.len()), (2, 1, 3));
    // Now it counts: two have to end before the next starts.
    third.finish(Ok(()));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(fourth.polls(), 0);
    serve.finish(Ok(()));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(fourth.polls(), 1);
    fourth.finish(Ok(()));
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
    assert_eq!(root.poll(&mut start), Poll::Ready(Ok(())));
}

#[test]
fn a_task_that_starts_another_lets_no_queued_task_pass_the_limit() {
    let root = Root::new();
    let mut group = Group::new().limit(1);
    let spawner = group.spawner();
    let hold = Probe::<Unit>::new();
    let task = hold.task();
    group.spawn(async move {
        let start = spawner.start(async |started: Started<()>| {
            yields(1).await;
            started.ready(());
            Ok(())
        });
        start.await.unwrap();
        task.await
    });
    let queued = occupy(&group);
    let mut polls = 0;
    while hold.polls() == 0 {
        assert!(root.poll(&mut group).is_pending());
        assert_eq!(queued.polls(), 0, "two tasks run");
        polls += 1;
        assert!(
            polls < 10,
            "a task that holds the only slot may start another"
        );
    }
    hold.finish(Ok(()));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(queued.polls(), 1);
}

#[test]
fn a_task_that_waits_to_start_makes_no_running_task_invisible() {
    let root = Root::new();
    let mut group = Group::new();
    let _other = occupy(&group);
    assert!(root.poll(&mut group).is_pending());
    let spawner = group.spawner();
    let mut start = pin!(spawner.start(async |_started: Started<()>| pending().await));
    assert!(root.poll(&mut start).is_pending());
    assert_eq!((group.running(), group.queued(), group.len()), (1, 0, 1));
}

#[test]
fn start_fails_if_the_task_ends_before_it_is_up() {
    for error in [false, true] {
        let mut group = Group::new();
        let spawner = group.spawner();
        let (start, result) = run(join(
            spawner.start(async move |started: Started<()>| {
                yields(1).await;
                drop(started);
                if error { Err("bind") } else { Ok(()) }
            }),
            async {
                yields(1).await;
                (&mut group).await
            },
        ));
        assert!(start.is_err());
        assert_eq!(
            start.unwrap_err().to_string(),
            "the task ended before it was up"
        );
        assert_eq!(result, if error { Err("bind") } else { Ok(()) });
    }
}

#[test]
fn start_fails_as_soon_as_started_is_dropped_though_the_task_runs_on() {
    let root = Root::new();
    let mut group = Group::new();
    let serve = Probe::<Unit>::new();
    let run_on = serve.task();
    let spawner = group.spawner();
    let mut start = pin!(spawner.start(async move |started: Started<()>| {
        drop(started);
        run_on.await
    }));
    assert!(root.poll(&mut start).is_pending());
    assert!(root.poll(&mut group).is_pending());
    assert!(matches!(root.poll(&mut start), Poll::Ready(Err(_))));
    assert_eq!(serve.polls(), 1);
    serve.finish(Ok(()));
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
}

#[test]
fn start_fails_if_the_task_ends_while_started_is_elsewhere() {
    let root = Root::new();
    let mut group = Group::new();
    let elsewhere: Arc<Mutex<Option<Started<u8>>>> = Arc::default();
    let place = elsewhere.clone();
    let spawner = group.spawner();
    let mut start = pin!(spawner.start(async move |started: Started<u8>| {
        *place.lock().unwrap() = Some(started);
        Ok(())
    }));
    assert!(root.poll(&mut start).is_pending());
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
    assert!(matches!(root.poll(&mut start), Poll::Ready(Err(_))));
    elsewhere.lock().unwrap().take().unwrap().ready(1);
    assert_eq!((group.running(), group.queued(), group.len()), (0, 0, 0));
    assert_eq!(run(group), Ok(()));
}

#[test]
fn started_may_be_moved_to_another_thread() {
    for _ in 0..100 {
        let group = Group::new().limit(1);
        let spawner = group.spawner();
        let (start, result) = futures::executor::block_on(join(
            spawner.start(async |started: Started<u8>| {
                let (done, wait) = futures::channel::oneshot::channel();
                std::thread::spawn(move || {
                    started.ready(3);
                    done.send(()).unwrap();
                });
                wait.await.unwrap();
                Ok(())
            }),
            async {
                yields(1).await;
                group.await
            },
        ));
        assert_eq!((start, result), (Ok(3), Ok(())));
    }
}

#[test]
fn start_fails_if_the_task_is_refused() {
    let group = Group::new();
    let spawner = group.spawner();
    drop(group);
    let polled = AtomicBool::new(false);
    let start = run(spawner.start(async |started: Started<()>| {
        started.ready(());
        Ok(())
    }));
    assert!(start.is_err());
    assert!(!polled.load(SeqCst));
}

#[test]
fn start_fails_if_the_group_fails_or_is_dropped() {
    let root = Root::new();
    for fail in [false, true] {
        let mut group = Group::new();
        let other = occupy(&group);
        let spawner = group.spawner();
        let mut start = pin!(spawner.start(async |_started: Started<()>| pending().await));
        assert!(root.poll(&mut start).is_pending());
        assert!(root.poll(&mut group).is_pending());
        if fail {
            other.finish(Err("no"));
            assert_eq!(root.poll(&mut group), Poll::Ready(Err("no")));
        }
        drop(group);
        assert!(matches!(root.poll(&mut start), Poll::Ready(Err(_))));
    }
}

#[test]
fn start_fails_if_the_task_panics_before_it_is_up() {
    let root = Root::new();
    let mut group = Group::new();
    let spawner = group.spawner();
    let mut start = pin!(
        spawner.start(async |_started: Started<()>| { std::panic::panic_any("boom") as Unit })
    );
    assert!(root.poll(&mut start).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| root.poll(&mut group))).is_err());
    assert!(matches!(root.poll(&mut start), Poll::Ready(Err(_))));
    let task = occupy(&group);
    assert_eq!((group.running(), group.queued(), group.len()), (0, 1, 1));
    task.set(Ok(()));
    assert_eq!(run(group), Ok(()));
}

#[test]
fn a_task_runs_on_when_its_start_is_dropped() {
    let root = Root::new();
    let mut group = Group::new();
    let (up, serve) = (Probe::<()>::new(), Probe::<Unit>::new());
    let (bind, run_on) = (up.task(), serve.task());
    let spawner = group.spawner();
    let mut start = Box::pin(spawner.start(async move |started: Started<u8>| {
        bind.await;
        started.ready(1);
        run_on.await
    }));
    assert!(root.poll(&mut start).is_pending());
    assert!(root.poll(&mut group).is_pending());
    drop(start);
    up.finish(());
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((serve.polls(), group.len()), (1, 1));
    serve.finish(Ok(()));
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
}

#[test]
fn the_value_of_a_task_whose_start_was_dropped_is_dropped_while_it_runs() {
    let root = Root::new();
    let mut group = Group::new();
    let (up, value) = (Probe::<()>::new(), Arc::new(()));
    let (bind, given) = (up.task(), value.clone());
    let spawner = group.spawner();
    let mut start = Box::pin(spawner.start(async move |started: Started<Arc<()>>| {
        bind.await;
        started.ready(given);
        pending().await
    }));
    assert!(root.poll(&mut start).is_pending());
    assert!(root.poll(&mut group).is_pending());
    drop(start);
    up.finish(());
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(Arc::strong_count(&value), 1, "nobody can take it any more");
}

#[test]
fn a_start_that_was_never_polled_spawns_nothing() {
    let mut group = Group::new();
    let called = AtomicBool::new(false);
    let spawner = group.spawner();
    drop(spawner.start(|started: Started<()>| {
        called.store(true, SeqCst);
        async {
            started.ready(());
            Ok(())
        }
    }));
    assert!(!called.load(SeqCst));
    assert_eq!(group.len(), 0);
    assert_eq!(run(group.next()), None);
}

#[test]
fn ready_before_the_task_is_spawned_is_ready() {
    let root = Root::new();
    let mut group = Group::new();
    let serve = Probe::<Unit>::new();
    let task = serve.task();
    let spawner = group.spawner();
    let mut start = pin!(spawner.start(move |started: Started<u8>| {
        started.ready(2);
        task
    }));
    assert_eq!(root.poll(&mut start), Poll::Ready(Ok(2)));
    assert_eq!((group.running(), group.queued(), group.len()), (0, 1, 1));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((group.running(), group.queued(), group.len()), (1, 0, 1));
}

#[test]
fn a_body_that_starts_servers_one_after_the_other_has_them_up() {
    let result = run(scope(async |s: ErrSpawner<'_, (), &str>| {
        s.set_limit(1);
        let mut ports = Vec::new();
        for port in 0..5_u16 {
            let up = s.start(async move |started: Started<u16>| {
                yields(3).await;
                started.ready(port);
                yields(3).await;
                Ok(())
            });
            ports.push(up.await.unwrap());
        }
        Ok(ports)
    }));
    assert_eq!(result, Ok(vec![0, 1, 2, 3, 4]));
}

// H5

#[test]
fn debug_lists_the_unfinished_tasks() {
    let root = Root::new();
    let mut group = Group::new().limit(2);
    let spawner = group.spawner();
    let probe = Probe::<Unit>::new();
    assert_eq!(format!("{group:?}"), "Group { tasks: [], limit: 2, .. }");
    group.spawn(probe.task());
    spawner.spawn_named("reader", pending());
    spawner.spawn_named(String::from("a \"writer\""), pending());
    let handle = spawner.spawn_with_handle(pending::<Unit>());
    spawner.spawn_background(pending());
    let listed = r#"Group { tasks: [0: queued, 1 "reader": queued, 2 "a \"writer\"": queued, 3: queued, 4: queued], limit: 2, .. }"#;
    assert_eq!(format!("{group:?}"), listed);
    assert!(root.poll(&mut group).is_pending());
    let listed = r#"Group { tasks: [0: running, 1 "reader": running, 2 "a \"writer\"": queued, 3: queued, 4: running], limit: 2, .. }"#;
    assert_eq!(format!("{group:?}"), listed);
    probe.finish(Ok(()));
    handle.abort();
    assert!(root.poll(&mut group).is_pending());
    let listed = r#"Group { tasks: [1 "reader": running, 2 "a \"writer\"": running, 4: running], limit: 2, .. }"#;
    assert_eq!(format!("{group:?}"), listed);
    let pretty = "Group {\n    tasks: [\n        1 \"reader\": running,";
    assert!(format!("{group:#?}").starts_with(pretty));
    group.abort_all();
    assert_eq!(format!("{group:?}"), "Group { tasks: [], limit: 2, .. }");
}

#[test]
fn debug_may_be_asked_for_by_another_thread_while_spawners_are_busy() {
    let group = Group::new();
    let spawner = group.spawner();
    std::thread::scope(|threads| {
        let busy = threads.spawn(|| {
            for _ in 0..2000 {
                spawner.spawn_named("busy", async { Ok(()) });
            }
        });
        while !busy.is_finished() {
            let _ = format!("{group:?}");
        }
    });
    assert_eq!(group.len(), 2000);
}

#[test]
fn debug_of_a_handle_asks_nothing_of_its_value() {
    struct NotDebug;
    let group = Group::new();
    let handle = group.spawner().spawn_with_handle(async { Ok(NotDebug) });
    assert_eq!(
        format!("{handle:?}"),
        "TaskHandle { index: 0, finished: false, .. }"
    );
    let spawner = group.spawner();
    let mut start = pin!(spawner.start(async |started: Started<NotDebug>| {
        assert_eq!(format!("{started:?}"), "Started { index: 1, .. }");
        started.ready(NotDebug);
        Ok(())
    }));
    let root = Root::new();
    assert!(root.poll(&mut start).is_pending());
    run(group).unwrap();
    assert!(matches!(root.poll(&mut start), Poll::Ready(Ok(NotDebug))));
}

#[test]
fn a_name_goes_with_its_task() {
    let root = Root::new();
    let mut group = Group::new();
    let probe = Probe::<Unit>::new();
    let spawner = group.spawner();
    spawner.spawn_named("first", probe.task());
    let other = occupy(&group);
    assert!(root.poll(&mut group).is_pending());
    probe.finish(Ok(()));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(format!("{group:?}"), "Group { tasks: [1: running], .. }");
    // A name that a group refuses is forgotten, too.
    other.finish(Err("no"));
    assert_eq!(run(group.drive(pending::<()>())), None);
    spawner.spawn_named("refused", probe.task());
    assert_eq!(
        format!("{group:?}"),
        "Group { tasks: [], failed: true, .. }"
    );
}

// Everything at once

#[test]
fn aborted_and_background_tasks_have_no_outcome_among_all_the_others() {
    let filled = || {
        let group = Group::new();
        let spawner = group.spawner();
        spawner.spawn(async {
            yields(3).await;
            Ok(())
        }); // 0
        spawner.spawn_background(pending()); // 1
        let aborted = spawner.spawn_with_handle(pending::<Unit>()); // 2
        spawner.spawn_named("fails", async { Err("three") }); // 3
        spawner.spawn_background(async { Ok(()) }); // 4
        drop(spawner.spawn_with_handle(async { Ok(5) })); // 5
        spawner.spawn_background(async { Err("six") }); // 6
        let inner = spawner.clone();
        spawner.spawn(async move {
            let up = inner
                .start(async |started: Started<u8>| {
                    started.ready(1);
                    yields(1).await;
                    Err("eight") // 8
                })
                .await;
            assert_eq!(up, Ok(1));
            aborted.abort();
            Ok(())
        }); // 7
        group
    };
    assert_eq!(
        run(filled().settle()),
        [
            Ok(()),
            Err("three"),
            Ok(()),
            Err("six"),
            Ok(()),
            Err("eight")
        ]
    );
    let errors = run(filled().wait_all()).unwrap_err();
    assert_eq!(errors.total(), 6);
    assert_eq!(errors.first(), Some(&"three"));
    assert_eq!(errors.into_vec(), [(3, "three"), (6, "six"), (8, "eight")]);
    let mut group = filled();
    let mut outcomes = Vec::new();
    while let Some(outcome) = run(group.next()) {
        outcomes.push(outcome);
    }
    outcomes.sort();
    assert_eq!(
        outcomes,
        [
            Ok(()),
            Ok(()),
            Ok(()),
            Err("eight"),
            Err("six"),
            Err("three")
        ]
    );
    assert!(run(filled().first_ok()).is_ok());
    assert!(run(filled().collect()).is_err());
    assert!(run(filled().keep_going().collect()).is_err());
}

#[test]
fn collect_has_a_value_for_every_task_that_ended_and_counted() {
    let group = Group::new().limit(2);
    let spawner = group.spawner();
    spawner.spawn_background(async { Ok(()) });
    for _ in 0..3 {
        drop(spawner.spawn_with_handle(async { Ok("value") }));
    }
    spawner.spawn_with_handle(pending::<Unit>()).abort();
    assert_eq!(run(group.collect()), Ok(vec![(); 3]));
}

#[test]
fn room_is_noticed_when_tasks_are_aborted() {
    // R9
    let root = Root::new();
    let mut group = Group::new().limit(1);
    let spawner = group.spawner();
    let handle = spawner.spawn_with_handle(pending::<Unit>());
    let mut ready = pin!(spawner.ready());
    assert!(root.poll(&mut ready).is_pending());
    assert!(root.poll(&mut group).is_pending());
    handle.abort();
    assert!(root.poll(&mut ready).is_pending(), "it still runs");
    root.wakes();
    assert!(root.poll(&mut group).is_ready());
    assert_eq!(root.wakes(), 1);
    assert_eq!(root.poll(&mut ready), Poll::Ready(true));

    let waiting = spawner.spawn_with_handle(pending::<Unit>());
    let queued = spawner.spawn_with_handle(pending::<Unit>());
    assert!(root.poll_new(group.ready()).is_pending());
    queued.abort();
    assert!(root.poll_new(group.ready()).is_pending());
    waiting.abort();
    assert_eq!(root.poll_new(group.ready()), Poll::Ready(true));
}

#[test]
fn what_is_started_aborted_or_in_the_background_is_dropped() {
    let root = Root::new();
    let held = Arc::new(());
    let mut group = Group::new();
    let spawner = group.spawner();
    let other = occupy(&group);
    let mut handles = Vec::new();
    for _ in 0..100 {
        let holds = || {
            let held = held.clone();
            async move {
                let _held = held;
                yields(1).await;
                Ok(())
            }
        };
        spawner.spawn_background(holds());
        drop(spawner.spawn_with_handle(holds()));
        handles.push(spawner.spawn_with_handle(holds()));
        let aborted = spawner.spawn_with_handle(holds());
        aborted.abort();
        handles.push(aborted);
        spawner.spawn_named("named", holds());
        let task = holds();
        let value = held.clone();
        let start = spawner.start(async |started: Started<Arc<()>>| {
            started.ready(value);
            task.await
        });
        assert!(root.poll_new(start).is_pending());
    }
    for _ in 0..20 {
        assert!(root.poll(&mut group).is_pending());
    }
    assert_eq!(Arc::strong_count(&held), 1);
    assert_eq!(group.len(), 1);
    other.finish(Ok(()));
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
    assert!(handles.iter().all(TaskHandle::is_finished));
}

#[test]
fn a_local_group_has_all_of_it_for_tasks_that_are_not_send() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let group = LocalErrGroup::<(), Rc<str>>::new();
    let spawner = group.spawner();
    let inner = log.clone();
    let handle = spawner.spawn_with_handle(async move {
        inner.borrow_mut().push("handle");
        Ok(Rc::new(1))
    });
    let inner = log.clone();
    spawner.spawn_background(async move {
        let _end = OnDrop(|| inner.borrow_mut().push("background"));
        pending().await
    });
    let inner = log.clone();
    spawner.spawn_named("named", async move {
        inner.borrow_mut().push("named");
        Ok(())
    });
    let (up, group, value) = run(async {
        futures::join!(
            spawner.start(async |started: Started<Rc<u8>>| {
                started.ready(Rc::new(2));
                Ok(())
            }),
            group,
            handle
        )
    });
    assert_eq!((up, group), (Ok(Rc::new(2)), Ok(())));
    assert_eq!(value.unwrap(), Rc::new(1));
    assert_eq!(*log.borrow(), ["handle", "named", "background"]);
}

#[test]
fn a_handle_that_is_woken_with_a_waker_that_panics_loses_nothing() {
    struct Panics;
    impl std::task::Wake for Panics {
        fn wake(self: Arc<Self>) {
            std::panic::panic_any("waker");
        }
    }
    let root = Root::new();
    let mut group = Group::new();
    let probe = Probe::<Result<u8, _>>::new();
    let mut handle = spawn(&group, &probe);
    let other = occupy(&group);
    let waker = Waker::from(Arc::new(Panics));
    assert!(
        Pin::new(&mut handle)
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    assert!(root.poll(&mut group).is_pending());
    probe.finish(Ok(9));
    assert!(catch_unwind(AssertUnwindSafe(|| root.poll(&mut group))).is_err());
    assert_eq!(value(&mut handle), Some(9));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(group.len(), 1);
    other.finish(Ok(()));
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
}

#[test]
fn a_waker_of_a_handle_may_drop_spawn_and_abort() {
    // No lock is held while it is woken.
    struct Hook(Mutex<Option<Box<dyn FnOnce() + Send>>>);
    impl std::task::Wake for Hook {
        fn wake(self: Arc<Self>) {
            let hook = self.0.lock().unwrap().take();
            if let Some(hook) = hook {
                hook();
            }
        }
    }
    let root = Root::new();
    let mut group = Group::new();
    let probe = Probe::<Unit>::new();
    let handle = Arc::new(Mutex::new(Some(spawn(&group, &probe))));
    let sibling = spawn(&group, &Probe::<Unit>::new());
    let (own, spawner) = (handle.clone(), group.spawner());
    let waker = Waker::from(Arc::new(Hook(Mutex::new(Some(Box::new(move || {
        sibling.abort();
        spawner.spawn(async { Ok(()) });
        drop(own.lock().unwrap().take());
    }))))));
    let mut slot = handle.lock().unwrap();
    let pinned = Pin::new(slot.as_mut().unwrap());
    assert!(pinned.poll(&mut Context::from_waker(&waker)).is_pending());
    drop(slot);
    assert!(root.poll(&mut group).is_pending());
    probe.finish(Ok(()));
    let (result, _) = root.run(group);
    assert_eq!(result, Ok(()));
    assert!(handle.lock().unwrap().is_none());
}
