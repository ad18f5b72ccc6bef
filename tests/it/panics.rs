//! Tasks and destructors that panic.

use std::future::{Future, pending, poll_fn, ready};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::pin::{Pin, pin};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures::future::FusedFuture;
use futures::stream::StreamExt;

use crate::common::{Fail, OnDrop, Probe, Root, panics, probes, run, yields};
use errgroup::{CancelContext, CancelKind, ErrGroup, ErrSpawner, Panicked, Started, scope};

type Unit = Result<(), &'static str>;

/// A task that panics when it is polled, and counts its drops.
fn panicking<R>(drops: &Arc<AtomicUsize>) -> impl Future<Output = R> + Send + 'static + use<R> {
    let drops = drops.clone();
    let guard = OnDrop(move || _ = drops.fetch_add(1, SeqCst));
    poll_fn(move |_| {
        let _guard = &guard;
        panic!("boom")
    })
}

/// A task that never ends, and panics when it is dropped.
fn bomb<R: Send + 'static>(
    drops: &Arc<AtomicUsize>,
) -> impl Future<Output = R> + Send + 'static + use<R> {
    bomb_after(drops, pending())
}

/// A task that panics when it is dropped.
fn bomb_after<R, F>(drops: &Arc<AtomicUsize>, task: F) -> Bomb<F>
where
    F: Future<Output = R> + Unpin,
{
    Bomb(task, drops.clone())
}

struct Bomb<F>(F, Arc<AtomicUsize>);

impl<F: Future + Unpin> Future for Bomb<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<F> Drop for Bomb<F> {
    fn drop(&mut self) {
        self.1.fetch_add(1, SeqCst);
        panic!("destructor");
    }
}

// P1

#[test]
fn a_panic_leaves_the_poll_at_once_with_its_own_payload() {
    let root = Root::new();
    let (before, after) = (Probe::<Unit>::new(), Probe::<Unit>::new());
    let mut group = ErrGroup::new();
    group.spawn(before.task());
    group.spawn(async { panic_any(42_u8) });
    group.spawn(after.task());
    let payload = catch_unwind(AssertUnwindSafe(|| root.poll(&mut group))).unwrap_err();
    assert_eq!(payload.downcast_ref::<u8>(), Some(&42));
    assert_eq!((before.polls(), after.polls()), (1, 0));
    assert_eq!((before.drops(), after.drops()), (0, 0));
}

#[test]
fn a_panic_leaves_every_method() {
    let ways: [fn(ErrGroup<'static, (), &'static str>); 8] = [
        |group| _ = run(group),
        |group| drop(run(group.collect())),
        |group| drop(run(group.wait_all())),
        |group| drop(run(group.settle())),
        |group| drop(run(group.first_ok())),
        |mut group| _ = run(group.next()),
        |mut group| _ = run(group.drive(pending::<()>())),
        |mut group| _ = run(group.ready()),
    ];
    for way in ways {
        let drops = Arc::new(AtomicUsize::new(0));
        let sibling = Probe::<Unit>::new();
        let mut group = ErrGroup::new().limit(2);
        let spawner = group.spawner();
        group.spawn(sibling.task());
        group.spawn(panicking(&drops));
        group.spawn(sibling.task());
        assert_eq!(panics(|| way(group)), "boom");
        assert_eq!((drops.load(SeqCst), sibling.drops()), (1, 2));
        assert!(spawner.is_closed() && spawner.is_empty());
        assert_eq!((spawner.running(), spawner.queued()), (0, 0));
    }
}

#[test]
fn nothing_is_poisoned_by_a_panic() {
    let root = Root::new();
    let mut group = ErrGroup::<(), &str>::new().limit(1);
    let spawner = group.spawner();
    for _ in 0..5 {
        spawner.spawn(async { panic!("boom") });
        panics(|| root.poll(&mut group));
        assert_eq!((spawner.running(), spawner.len()), (0, 0));
        assert_eq!(root.poll_new(spawner.ready()), Poll::Ready(true));
        spawner.try_spawn(ready(Ok(()))).unwrap();
        let _ = format!("{group:?}");
        assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
    }
}

#[test]
fn a_task_that_panics_in_its_first_or_in_a_later_poll_is_dropped_once() {
    let root = Root::new();
    for later in [false, true] {
        let alive = Arc::new(());
        let probe = Probe::<()>::new();
        let mut task = probe.task();
        let held = alive.clone();
        let mut group = ErrGroup::<(), ()>::new();
        group.spawn(poll_fn(move |cx| {
            let _held = &held;
            let poll = Pin::new(&mut task).poll(cx);
            assert!(later && poll.is_pending(), "boom");
            Poll::Pending
        }));
        if later {
            assert!(root.poll(&mut group).is_pending());
            probe.finish(());
        }
        assert_eq!(panics(|| root.poll(&mut group)), "boom");
        assert_eq!((Arc::strong_count(&alive), probe.drops()), (1, 1));
        assert_eq!(group.len(), 0);
        // R4
        probe.wake();
        assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
    }
}

#[test]
fn a_task_that_panics_when_polled_and_when_dropped_does_not_abort() {
    let root = Root::new();
    for later in [false, true] {
        let drops = Arc::new(AtomicUsize::new(0));
        let probe = Probe::<()>::new();
        let mut task = probe.task();
        let sibling = Probe::<Unit>::new();
        let mut group = ErrGroup::new();
        let twice = poll_fn(move |cx| {
            let poll = Pin::new(&mut task).poll(cx);
            assert!(later && poll.is_pending(), "boom");
            Poll::Pending
        });
        group.spawn(bomb_after(&drops, twice));
        group.spawn(sibling.task());
        if later {
            assert!(root.poll(&mut group).is_pending());
            probe.finish(());
        }
        assert_eq!(panics(|| root.poll(&mut group)), "boom");
        assert_eq!((drops.load(SeqCst), group.len()), (1, 1));
        assert!(root.poll(&mut group).is_pending());
        sibling.finish(Ok(()));
        assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
    }
}

#[test]
fn a_group_that_is_dropped_while_unwinding_does_not_abort() {
    // Running, queued, and not yet collected: all with destructors that panic.
    let root = Root::new();
    let drops = Arc::new(AtomicUsize::new(0));
    let text = panics(|| {
        let mut group = ErrGroup::<(), &str>::new().limit(80);
        let spawner = group.spawner();
        group.extend((0..100).map(|_| bomb(&drops)));
        assert!(root.poll(&mut group).is_pending());
        for _ in 0..10 {
            spawner.spawn(bomb(&drops));
        }
        let _group = group;
        panic!("the first");
    });
    assert_eq!((text.as_str(), drops.load(SeqCst)), ("the first", 110));
}

#[test]
fn a_graceful_group_that_is_dropped_while_unwinding_does_not_abort() {
    let root = Root::new();
    let drops = Arc::new(AtomicUsize::new(0));
    let (context, mut group) = ErrGroup::<(), &str>::with_context(&CancelContext::new());
    group.extend((0..3).map(|_| bomb(&drops)));
    assert!(root.poll(&mut group).is_pending());
    let text = panics(|| {
        let _group = group;
        panic!("the first");
    });
    assert_eq!((text.as_str(), drops.load(SeqCst)), ("the first", 3));
    assert_eq!(context.reason().unwrap().kind(), CancelKind::Finished);
}

#[test]
fn a_future_of_a_group_that_is_dropped_while_unwinding_does_not_abort() {
    let root = Root::new();
    let drops = Arc::new(AtomicUsize::new(0));
    let text = panics(|| {
        let mut group = ErrGroup::<(), &str>::new();
        group.extend((0..3).map(|_| bomb(&drops)));
        group.spawn(async { panic!("task") });
        // It unwinds out of the poll, through `collect`, which drops the group.
        run(group.collect())
    });
    assert_eq!((text.as_str(), drops.load(SeqCst)), ("task", 3));
    let _ = root;
}

/// Runs `body` in a process of its own, as what it tests for is an abort. `test` is the name of
/// the test of this module that calls this; it is run once more, and `body` in there.
fn alone(test: &str, body: impl FnOnce()) {
    const ALONE: &str = "ERRGROUP_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return body();
    }
    let (_crate, module) = module_path!().split_once("::").unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::{test}"), "--test-threads=1"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout);
    assert!(text.contains("running 1 test"), "{text}");
    assert!(child.status.success(), "{}: {text}", child.status);
}

struct LoudValue;

impl Drop for LoudValue {
    fn drop(&mut self) {
        panic!("value");
    }
}

#[test]
fn a_kept_value_whose_destructor_panics_while_unwinding_does_not_abort() {
    alone(
        "a_kept_value_whose_destructor_panics_while_unwinding_does_not_abort",
        || {
            let text = panics(|| {
                let mut group = ErrGroup::<LoudValue, &str>::new();
                group.spawn(async { Ok(LoudValue) });
                assert_eq!(run(group.drive(ready(1))), Some(1));
                let _group = group;
                panic!("the first");
            });
            assert_eq!(text, "the first");
        },
    );
}

#[test]
fn kept_values_and_tasks_whose_destructors_panic_do_not_abort() {
    alone(
        "kept_values_and_tasks_whose_destructors_panic_do_not_abort",
        || {
            for count in 1..4 {
                let drops = Arc::new(AtomicUsize::new(0));
                let text = panics(|| {
                    let mut group = ErrGroup::<LoudValue, &str>::new();
                    group.extend((0..count).map(|_| async { Ok(LoudValue) }));
                    group.extend((0..count).map(|_| bomb(&drops)));
                    assert_eq!(run(group.drive(ready(1))), Some(1));
                    drop(group);
                });
                assert_eq!((text.as_str(), drops.load(SeqCst)), ("destructor", count));
            }
        },
    );
}

#[test]
fn a_grace_whose_destructor_panics_while_unwinding_does_not_abort() {
    alone(
        "a_grace_whose_destructor_panics_while_unwinding_does_not_abort",
        || {
            let root = Root::new();
            let drops = Arc::new(AtomicUsize::new(0));
            let grace = bomb::<()>(&drops);
            let (context, mut group) =
                ErrGroup::<(), Fail>::with_grace(&CancelContext::new(), || grace);
            group.spawn(pending());
            context.cancel();
            assert!(root.poll(&mut group).is_pending());
            let text = panics(|| {
                let _group = group;
                panic!("the first");
            });
            assert_eq!((text.as_str(), drops.load(SeqCst)), ("the first", 1));
        },
    );
}

#[test]
fn a_refused_task_whose_destructor_panics_while_unwinding_does_not_abort() {
    alone(
        "a_refused_task_whose_destructor_panics_while_unwinding_does_not_abort",
        || {
            // `spawn` drops what it refuses; here in the destructor of a task, while unwinding.
            let drops = Arc::new(AtomicUsize::new(0));
            let text = panics(|| {
                let mut group = ErrGroup::<(), &str>::new();
                let (spawner, counted) = (group.spawner(), drops.clone());
                let guard = OnDrop(move || spawner.spawn(bomb(&counted)));
                group.spawn(async move {
                    let _guard = guard;
                    pending().await
                });
                let _group = group;
                panic!("the first");
            });
            assert_eq!((text.as_str(), drops.load(SeqCst)), ("the first", 1));
        },
    );
}

// P2

#[test]
fn after_a_panic_the_task_is_gone_and_all_others_go_on() {
    let root = Root::new();
    let drops = Arc::new(AtomicUsize::new(0));
    let probes = probes::<Result<usize, &str>>(130);
    let mut group = ErrGroup::new();
    group.extend(probes[..65].iter().map(Probe::task));
    group.spawn(panicking(&drops));
    group.extend(probes[65..].iter().map(Probe::task));
    panics(|| root.poll(&mut group));
    assert_eq!((drops.load(SeqCst), group.len()), (1, 130));
    assert!(probes.iter().all(|probe| probe.drops() == 0));
    assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
    assert!(probes.iter().all(|probe| probe.polls() == 1));
    for (index, probe) in probes.iter().enumerate() {
        root.wakes();
        probe.finish(Ok(index));
        assert_eq!(root.wakes(), 1);
        assert_eq!(root.poll_new(group.drive(ready(()))), Poll::Ready(Some(())));
        // Park it again.
        assert!(index == 129 || root.poll_new(group.drive(pending::<()>())).is_pending());
    }
    assert!(run(group.collect()).unwrap().into_iter().eq(0..130));
}

#[test]
fn no_wake_is_lost_by_a_panic() {
    // All are woken; some of them panic, wherever they stand; the others are polled all the same.
    for stride in [1, 2, 3, 7, 63, 64, 65] {
        let root = Root::new();
        let probes = probes::<()>(200);
        let mut group = ErrGroup::<(), ()>::new();
        group.spawn(pending());
        for (index, probe) in probes.iter().enumerate() {
            let (me, mut task) = (probe.clone(), probe.task());
            group.spawn(poll_fn(move |cx| {
                let _ = Pin::new(&mut task).poll(cx);
                assert!(me.polls() == 1 || index % stride > 0, "boom");
                Poll::Pending
            }));
        }
        assert!(root.poll(&mut group).is_pending());
        probes.iter().for_each(Probe::wake);
        let mut caught = 0;
        while catch_unwind(AssertUnwindSafe(|| root.poll(&mut group))).is_err() {
            caught += 1;
        }
        let expected = 200_usize.div_ceil(stride);
        assert_eq!((caught, group.len()), (expected, 201 - expected));
        assert!(probes.iter().all(|probe| probe.polls() == 2), "{stride}");
        root.wakes();
        assert!(root.poll(&mut group).is_pending());
        assert_eq!(root.wakes(), 0);
        for (index, probe) in probes.iter().enumerate() {
            probe.wake();
            // Whether the wake of a task that is gone gets through is open.
            assert!(root.wakes() == 1 || index % stride == 0, "{index}");
            assert!(root.poll(&mut group).is_pending());
            root.wakes();
        }
    }
}

#[test]
fn a_task_that_its_panicking_sibling_woke_is_polled() {
    let root = Root::new();
    for (panics_first, count) in [(true, 2), (false, 2), (true, 100), (false, 100)] {
        let probes = probes::<Unit>(count);
        let trigger = Probe::<()>::new();
        let mut task = trigger.task();
        let woken = probes.clone();
        let bad = poll_fn(move |cx| {
            if Pin::new(&mut task).poll(cx).is_ready() {
                woken.iter().for_each(Probe::wake);
                panic!("boom");
            }
            Poll::Pending
        });
        let mut group = ErrGroup::new();
        if panics_first {
            group.spawn(bad);
            group.extend(probes.iter().map(Probe::task));
        } else {
            group.extend(probes.iter().map(Probe::task));
            group.spawn(bad);
        }
        assert!(root.poll(&mut group).is_pending());
        trigger.finish(());
        panics(|| root.poll(&mut group));
        root.wakes();
        assert!(root.poll(&mut group).is_pending());
        assert!(probes.iter().all(|probe| probe.polls() == 2));
        probes[0].wake();
        assert_eq!(root.wakes(), 1);
    }
}

#[test]
fn what_a_panicking_task_spawned_runs() {
    let root = Root::new();
    let child = Probe::<Unit>::new();
    let task = child.task();
    let mut group = ErrGroup::new();
    let spawner = group.spawner();
    group.spawn(async move {
        spawner.spawn(task);
        panic!("boom")
    });
    panics(|| root.poll(&mut group));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(child.polls(), 1);
}

#[test]
fn a_panic_frees_its_slot_for_a_queued_task_and_its_index_stays_empty() {
    let root = Root::new();
    let mut group = ErrGroup::<u32, &str>::new().limit(1);
    group.spawn(ready(Ok(0)));
    group.spawn(async { panic!("boom") });
    group.spawn(ready(Ok(2)));
    panics(|| root.poll_new(group.drive(pending::<()>())));
    assert_eq!((group.running(), group.queued()), (0, 1));
    assert_eq!(run(group.settle()), [Ok(0), Ok(2)]);
}

#[test]
fn outcomes_that_were_kept_survive_a_panic() {
    let root = Root::new();
    let mut group = ErrGroup::<u32, &str>::new().keep_going();
    group.spawn(ready(Ok(0)));
    group.spawn(ready(Err("no")));
    group.spawn(async { panic!("boom") });
    panics(|| root.poll_new(group.drive(pending::<()>())));
    assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Ok(0))));
    assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Err("no"))));
    assert_eq!(root.poll_new(group.next()), Poll::Ready(None));
}

#[test]
fn the_future_of_drive_that_panics_leaves_the_group_as_it_was() {
    let root = Root::new();
    let probe = Probe::<Unit>::new();
    let mut group = ErrGroup::new();
    group.spawn(probe.task());
    panics(|| root.poll_new(group.drive(async { panic!("boom") })));
    probe.wake();
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(probe.polls(), 2);
    root.wakes();
    probe.wake();
    assert_eq!(root.wakes(), 1);
}

#[test]
fn a_destructor_of_a_task_that_has_ended_panics_and_its_outcome_is_not_lost() {
    let root = Root::new();
    let drops = Arc::new(AtomicUsize::new(0));
    let mut group = ErrGroup::<u32, &str>::new();
    group.spawn(pending());
    group.spawn(bomb_after(&drops, ready(Ok(7))));
    assert_eq!(panics(|| root.poll_new(group.next())), "destructor");
    assert_eq!((drops.load(SeqCst), group.len()), (1, 1));
    assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Ok(7))));

    group.spawn(bomb_after(&drops, ready(Err("no"))));
    assert_eq!(panics(|| root.poll(&mut group)), "destructor");
    assert_eq!(root.poll(&mut group), Poll::Ready(Err("no")));
    assert_eq!((drops.load(SeqCst), group.len()), (2, 0));
}

#[test]
fn waiters_for_room_are_woken_after_a_panic_that_made_room() {
    // R9
    let root = Root::new();
    let mut group = ErrGroup::<(), ()>::new().limit(1);
    group.spawn(async { panic!("boom") });
    let spawner = group.spawner();
    let waiter = Root::new();
    let mut wait = Box::pin(async move { spawner.ready().await });
    assert!(waiter.poll(&mut wait).is_pending());
    panics(|| root.poll(&mut group));
    assert_eq!(waiter.wakes(), 1);
    assert_eq!(waiter.poll(&mut wait), Poll::Ready(true));
}

// P3

#[test]
fn catch_panics_makes_a_panic_the_error_of_its_task() {
    let mut group = ErrGroup::<(), Fail>::new().catch_panics();
    group.spawn(pending());
    group.spawn(async { panic!("boom {}", 1) });
    assert_eq!(run(&mut group), Err(Fail::Panicked("boom 1".to_string())));

    group.spawn(async {
        yields(1).await;
        panic!("later")
    });
    group.spawn(ready(Ok(())));
    let errors = run(group.wait_all()).unwrap_err();
    assert_eq!(errors.total(), 2);
    assert_eq!(
        errors.into_vec(),
        [(2, Fail::Panicked("later".to_string()))]
    );
}

#[test]
fn catch_panics_gives_the_payload() {
    let mut group = ErrGroup::<(), Panicked>::new().catch_panics();
    group.spawn(async { panic_any(42_u8) });
    let panicked = run(&mut group).unwrap_err();
    assert_eq!(panicked.message(), None);
    assert_eq!(panicked.into_payload().downcast_ref::<u8>(), Some(&42));
    group.spawn(async { panic!("boom") });
    let panicked = run(&mut group).unwrap_err();
    assert_eq!(panics(|| panicked.resume()), "boom");
}

#[test]
fn catch_panics_catches_the_destructor_of_a_task_that_has_ended() {
    let root = Root::new();
    let drops = Arc::new(AtomicUsize::new(0));
    let mut group = ErrGroup::<u32, Fail>::new().catch_panics();
    let loud = || Fail::Panicked("destructor".to_string());
    group.spawn(bomb_after(&drops, ready(Ok(7))));
    assert_eq!(root.poll(&mut group), Poll::Ready(Err(loud())));
    group.spawn(bomb_after(
        &drops,
        Box::pin(async {
            yields(1).await;
            Ok(7)
        }),
    ));
    assert_eq!(run(group.settle()), [Err(loud())]);
    assert_eq!(drops.load(SeqCst), 2);
}

#[test]
fn catch_panics_keeps_the_root_cause_when_the_destructor_panics_too() {
    // R6: the error of the task came first.
    let drops = Arc::new(AtomicUsize::new(0));
    let mut group = ErrGroup::<u32, Fail>::new().catch_panics();
    group.spawn(bomb_after(&drops, ready(Err("the disk is full".into()))));
    assert_eq!(run(&mut group), Err("the disk is full".into()));
    group.spawn(bomb_after(&drops, poll_fn(|_| panic!("in the poll"))));
    let expected = Fail::Panicked("in the poll".to_string());
    assert_eq!(run(&mut group), Err(expected));
    assert_eq!(drops.load(SeqCst), 2);
}

#[test]
fn catch_panics_loses_no_wake_and_frees_the_slot() {
    let root = Root::new();
    let probes = probes::<Result<(), Fail>>(3);
    let mut group = ErrGroup::new().catch_panics().keep_going().limit(3);
    group.spawn(probes[0].task());
    group.spawn(async { panic!("boom") });
    group.spawn(probes[1].task());
    group.spawn(probes[2].task());
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((group.running(), group.queued()), (3, 0));
    probes.iter().for_each(|probe| probe.finish(Ok(())));
    assert_eq!(
        root.poll(&mut group),
        Poll::Ready(Err(Fail::Panicked("boom".to_string())))
    );
}

#[test]
fn catch_panics_cancels_the_context_of_a_graceful_group() {
    let (context, group) = ErrGroup::<(), Fail>::with_context(&CancelContext::new());
    let mut group = group
        .catch_panics()
        .cause_from(|error| format!("{error:?}").into());
    let seen = context.clone();
    group.spawn(async move { Err(seen.cancelled().await.into()) });
    group.spawn(async { panic!("boom") });
    assert_eq!(run(group), Err(Fail::Panicked("boom".to_string())));
    let reason = context.reason().unwrap();
    assert_eq!(reason.kind(), CancelKind::TaskFailed);
    assert!(reason.cause().unwrap().to_string().contains("boom"));
}

// P4

#[test]
fn a_sibling_whose_destructor_panics_does_not_stop_the_others_and_the_failure_stays() {
    let root = Root::new();
    for drives in [false, true] {
        let drops = Arc::new(AtomicUsize::new(0));
        let probes = probes::<Unit>(100);
        let mut group = ErrGroup::new().limit(120);
        let spawner = group.spawner();
        for probe in &probes {
            group.spawn(probe.task());
            group.spawn(bomb(&drops));
        }
        assert!(root.poll(&mut group).is_pending());
        group.set_limit(121);
        let fails = Probe::<Unit>::new();
        // The 121st: the first of the queue.
        drop(fails);
        let first = &probes[0];
        spawner.spawn(bomb(&drops));
        first.finish(Err("no"));
        let text = if drives {
            panics(|| root.poll_new(group.drive(pending::<()>())))
        } else {
            panics(|| root.poll(&mut group))
        };
        assert_eq!((text.as_str(), drops.load(SeqCst)), ("destructor", 101));
        assert!(probes.iter().all(|probe| probe.drops() == 1));
        assert!(group.is_empty() && spawner.is_closed());
        assert_eq!(root.poll(&mut group), Poll::Ready(Err("no")));
        assert!(!spawner.is_closed());
    }
}

#[test]
fn the_queue_of_a_graceful_group_is_dropped_whatever_its_destructors_do() {
    let root = Root::new();
    let drops = Arc::new(AtomicUsize::new(0));
    let probe = Probe::<Unit>::new();
    let (context, group) = ErrGroup::<(), &str>::with_context(&CancelContext::new());
    let mut group = group.limit(2);
    group.spawn(probe.task());
    group.spawn(ready(Err("no")));
    group.extend((0..5).map(|_| bomb(&drops)));
    assert_eq!(panics(|| root.poll(&mut group)), "destructor");
    assert_eq!((drops.load(SeqCst), group.len()), (5, 1));
    assert_eq!(context.reason().unwrap().kind(), CancelKind::TaskFailed);
    assert!(root.poll(&mut group).is_pending());
    probe.finish(Ok(()));
    assert_eq!(root.poll(&mut group), Poll::Ready(Err("no")));
}

#[test]
fn abort_all_and_drop_drop_everything_whatever_the_destructors_do() {
    let root = Root::new();
    for aborts in [false, true] {
        let drops = Arc::new(AtomicUsize::new(0));
        let probe = Probe::<Unit>::new();
        let mut group = ErrGroup::new().limit(70);
        let spawner = group.spawner();
        for _ in 0..50 {
            group.spawn(bomb(&drops));
            group.spawn(probe.task());
        }
        assert!(root.poll(&mut group).is_pending());
        spawner.spawn(bomb(&drops));
        if aborts {
            assert_eq!(panics(|| group.abort_all()), "destructor");
            assert!(!spawner.is_closed());
            assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
        } else {
            assert_eq!(panics(|| drop(group)), "destructor");
            assert!(spawner.is_closed());
        }
        assert_eq!((drops.load(SeqCst), probe.drops()), (51, 50));
        assert!(spawner.is_empty());
    }
}

// P3, P4
#[test]
fn catch_panics_catches_no_destructors_of_tasks_that_are_dropped_together() {
    type Group = ErrGroup<'static, (), Fail>;
    type Way = fn(&mut Group, &Root);
    let ways: [(Way, Result<(), Fail>); 2] = [
        (
            |group, root| {
                group.spawn(ready(Err("no".into())));
                _ = root.poll(group);
            },
            Err("no".into()),
        ),
        (|group, _| drop(std::mem::take(group)), Ok(())),
    ];
    for (way, expected) in ways {
        let root = Root::new();
        let drops = Arc::new(AtomicUsize::new(0));
        let mut group = Group::new().catch_panics().limit(4);
        group.extend((0..3).map(|_| bomb(&drops)));
        assert!(root.poll(&mut group).is_pending());
        assert_eq!(panics(|| way(&mut group, &root)), "destructor");
        assert_eq!(drops.load(SeqCst), 3);
        assert_eq!(run(&mut group), expected);
    }
}

// P3, P5
#[test]
fn catch_panics_makes_errors_of_all_destructors_that_panic_after_abort_all() {
    type Group = ErrGroup<'static, (), Fail>;
    let ways: [fn(&mut Group); 2] = [
        |group| group.abort_all(),
        |group| group.spawner().abort_all(),
    ];
    for way in ways {
        let make = |root: &Root| {
            let drops = Arc::new(AtomicUsize::new(0));
            let mut group = Group::new().catch_panics().limit(4);
            // One more than may run.
            group.extend((0..5).map(|_| bomb(&drops)));
            assert!(root.poll(&mut group).is_pending());
            group.spawn(ready(Ok(())));
            (group, drops)
        };
        // Each is an outcome of its own.
        let root = Root::new();
        let (mut group, drops) = make(&root);
        way(&mut group);
        let mut seen = Vec::new();
        while let Poll::Ready(Some((index, outcome))) = root.poll(&mut pin!(group.next_indexed())) {
            assert_eq!(outcome, Err(Fail::Panicked("destructor".to_string())));
            assert_eq!(drops.load(SeqCst), 5);
            seen.push(index);
        }
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 4]);

        // The first fails the group, and what is spawned meanwhile is dropped with it.
        let (mut group, drops) = make(&root);
        let probe = Probe::<Result<(), Fail>>::new();
        way(&mut group);
        group.spawn(probe.task());
        let Poll::Ready(Err(error)) = root.poll(&mut group) else {
            panic!("it has not failed");
        };
        assert_eq!(error, Fail::Panicked("destructor".to_string()));
        assert_eq!((drops.load(SeqCst), probe.drops()), (5, 1));

        // Nothing of it is lost in a group that is dropped.
        let (mut group, drops) = make(&root);
        way(&mut group);
        if drops.load(SeqCst) == 0 {
            assert_eq!(panics(|| drop(group)), "destructor");
        } else {
            drop(group);
        }
        assert_eq!(drops.load(SeqCst), 5);
    }
}

// P3: results() is not over while there are such errors
#[test]
fn a_stream_of_results_goes_on_with_the_errors_that_abort_all_leaves() {
    let root = Root::new();
    let drops = Arc::new(AtomicUsize::new(0));
    let mut group = ErrGroup::<(), Fail>::new().catch_panics();
    assert_eq!(root.poll(&mut group.results().next()), Poll::Ready(None));
    group.spawn(bomb(&drops));
    group.abort_all();
    assert!(group.is_empty() && !group.is_terminated());
    let Poll::Ready(Some(outcome)) = root.poll(&mut group.results().next()) else {
        panic!("nothing came");
    };
    assert_eq!(outcome, Err(Fail::Panicked("destructor".to_string())));
    assert_eq!(root.poll(&mut group.results().next()), Poll::Ready(None));
    group.abort_all();
    assert!(group.is_terminated());
}

#[test]
fn first_ok_drops_everything_whatever_the_destructors_do() {
    let drops = Arc::new(AtomicUsize::new(0));
    let probe = Probe::<Unit>::new();
    let mut group = ErrGroup::new();
    group.extend((0..3).map(|_| bomb(&drops)));
    group.spawn(probe.task());
    group.spawn(ready(Ok(())));
    assert_eq!(panics(|| run(group.first_ok())), "destructor");
    assert_eq!((drops.load(SeqCst), probe.drops()), (3, 1));
}

#[test]
fn a_payload_whose_destructor_panics_does_not_abort() {
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            panic!("payload");
        }
    }
    let root = Root::new();
    let probe = Probe::<Unit>::new();
    let mut group = ErrGroup::new();
    for _ in 0..3 {
        let guard = OnDrop(|| resume_unwind(Box::new(Loud)));
        group.spawn(async move {
            let _guard = guard;
            pending().await
        });
    }
    group.spawn(probe.task());
    assert!(root.poll(&mut group).is_pending());
    let payload = catch_unwind(AssertUnwindSafe(|| group.abort_all())).unwrap_err();
    assert!(payload.is::<Loud>());
    std::mem::forget(payload);
    assert_eq!(probe.drops(), 1);
}

// R2, P2
#[test]
fn tasks_that_were_polled_before_a_panic_count_for_the_budget() {
    let root = Root::new();
    let polls = Arc::new(AtomicUsize::new(0));
    let mut group = ErrGroup::<(), Fail>::new();
    for index in 0..600 {
        let polls = polls.clone();
        let mut is_new = true;
        group.spawn(poll_fn(move |cx| {
            if !std::mem::replace(&mut is_new, false) {
                polls.fetch_add(1, SeqCst);
                assert!(index % 100 != 99, "this task panics");
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
    }
    let mut polled = 0;
    for _ in 0..30 {
        polled += polls.swap(0, SeqCst);
        let poll = catch_unwind(AssertUnwindSafe(|| root.poll(&mut group)));
        if poll.is_ok() {
            polled += polls.swap(0, SeqCst);
            assert!(polled <= 256, "{polled} polls");
            polled = 0;
        }
    }
}

/// A task that panics when it is polled once more, and whose destructor notes how many tasks are running,
/// and how many there are.
fn counting<R>(spawner: ErrSpawner<'_, (), Fail>, seen: Arc<Counts>) -> impl Future<Output = R> {
    let guard = OnDrop(move || seen.set((spawner.running(), spawner.len())).unwrap());
    let mut is_new = true;
    poll_fn(move |cx| {
        let _guard = &guard;
        assert!(mem::take(&mut is_new), "boom");
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

type Counts = OnceLock<(usize, usize)>;

// P1, H3, H4, R13
#[test]
fn the_destructor_of_a_task_that_has_panicked_sees_the_others_counted() {
    type Way = fn(&mut ErrGroup<'static, (), Fail>, Arc<Counts>);
    let ways: [Way; 3] = [
        |group, seen| group.spawn(counting(group.spawner(), seen)),
        |group, seen| group.spawn_background(counting(group.spawner(), seen)),
        |group, seen| {
            let spawner = group.spawner();
            let counting = counting(spawner.clone(), seen);
            group.spawn_background(async move {
                let _up = spawner.start(|_: Started<()>| counting).await;
                pending().await
            });
        },
    ];
    for way in ways {
        for catches in [false, true] {
            let seen = Arc::<Counts>::default();
            let mut group = ErrGroup::new();
            if catches {
                group = group.catch_panics().keep_going();
            }
            group.spawn(pending());
            way(&mut group, seen.clone());
            let root = Root::new();
            assert!(root.poll(&mut group).is_pending());
            _ = catch_unwind(AssertUnwindSafe(|| root.poll(&mut group)));
            assert_eq!(seen.get(), Some(&(1, 1)));
        }
    }

    let seen = Arc::<Counts>::default();
    let its_seen = seen.clone();
    let mut scope = Box::pin(scope(|s: ErrSpawner<'_, (), Fail>| {
        s.spawn(pending());
        counting::<Result<(), Fail>>(s, its_seen)
    }));
    let root = Root::new();
    assert!(root.poll(&mut scope).is_pending());
    assert_eq!(panics(|| root.poll(&mut scope)), "boom");
    assert_eq!(seen.get(), Some(&(1, 1)));
}

// R7, R12, P5
#[test]
fn a_failure_is_owed_though_what_is_in_the_background_panics_as_the_group_ends() {
    let root = Root::new();
    let (_context, mut group) = ErrGroup::<(), _>::with_context(&CancelContext::new());
    let bomb = OnDrop(|| panic!("boom"));
    group.spawn_background(async move {
        let _bomb = bomb;
        pending().await
    });
    group.spawn(async { Err("failure") });
    assert!(catch_unwind(AssertUnwindSafe(|| root.poll(&mut group))).is_err());
    assert_eq!(
        root.poll(&mut pin!(group.drive(pending::<()>()))),
        Poll::Ready(None)
    );
    assert_eq!(root.poll(&mut group), Poll::Ready(Err("failure")));
    assert!(group.is_closed());
}
