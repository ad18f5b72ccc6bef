//! What runs when, and who is woken for it.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;

use crate::common::{Probe, Root, probes, restless, run, yields};
use errgroup::{CancelContext, ErrGroup, LocalErrGroup};

type Unit = Result<(), ()>;

// R1

#[test]
fn nothing_runs_before_the_group_is_polled() {
    let probe = Probe::<Unit>::new();
    let mut group = ErrGroup::new();
    let spawner = group.spawner();
    group.spawn(probe.task());
    spawner.spawn(probe.task());
    group.try_spawn(probe.task()).unwrap();
    group.extend([probe.task()]);
    group.set_limit(1);
    assert_eq!(group.len(), 4);
    let _ = format!("{group:?} {spawner:?}");
    assert_eq!(probe.polls(), 0);
    let next = group.next();
    drop(next);
    drop(group.results());
    assert_eq!(probe.polls(), 0);
    let finish = group.collect();
    assert_eq!((probe.polls(), probe.drops()), (0, 0));
    drop(finish);
    assert_eq!((probe.polls(), probe.drops()), (0, 4));
}

#[test]
fn nothing_runs_after_the_group_was_dropped() {
    let root = Root::new();
    let probes = probes::<Unit>(100);
    let mut group = ErrGroup::new();
    group.extend(probes.iter().map(Probe::task));
    assert!(root.poll(&mut group).is_pending());
    drop(group);
    for probe in &probes {
        probe.wake();
        assert_eq!((probe.polls(), probe.drops()), (1, 1));
    }
    assert_eq!(root.wakes(), 0);
}

#[test]
fn a_group_runs_on_a_thread_of_its_own_choice() {
    // No executor, no thread: all tasks are polled by the thread that polls the group.
    let here = std::thread::current().id();
    let mut group = ErrGroup::<_, ()>::new();
    for times in 0..100 {
        group.spawn(async move {
            yields(times % 5).await;
            Ok(std::thread::current().id())
        });
    }
    assert!(run(group.collect()).unwrap().iter().all(|id| *id == here));
}

#[test]
fn a_group_may_move_between_polls_and_between_threads() {
    let root = Root::new();
    let probe = Probe::<Unit>::new();
    let mut group = ErrGroup::new();
    group.spawn(probe.task());
    assert!(root.poll(&mut group).is_pending());
    let mut group = Box::new(group);
    probe.finish(Ok(()));
    assert_eq!(root.wakes(), 1);
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(root.poll(&mut group).is_ready()));
    });
}

// R2

#[test]
fn a_task_is_polled_once_when_it_is_new_and_then_only_when_it_was_woken() {
    let root = Root::new();
    let probes = probes::<Unit>(200);
    let mut group = ErrGroup::new();
    group.extend(probes.iter().map(Probe::task));
    for _ in 0..5 {
        assert!(root.poll(&mut group).is_pending());
        assert!(probes.iter().all(|probe| probe.polls() == 1));
    }
    probes[0].wake();
    probes[63].wake();
    probes[64].wake();
    probes[64].wake();
    probes[199].wake();
    assert!(root.poll(&mut group).is_pending());
    for (index, probe) in probes.iter().enumerate() {
        let polls = if [0, 63, 64, 199].contains(&index) {
            2
        } else {
            1
        };
        assert_eq!(probe.polls(), polls, "task {index}");
    }
}

#[test]
fn a_task_that_wakes_itself_is_polled_once_per_poll_of_the_group() {
    for count in [1, 62, 63, 64, 65, 130] {
        let root = Root::new();
        let polls = Arc::new(AtomicUsize::new(0));
        let mut group = ErrGroup::<(), ()>::new();
        group.extend((0..count).map(|_| restless(&polls)));
        for round in 1..10 {
            assert!(root.poll(&mut group).is_pending());
            assert_eq!(polls.load(SeqCst), round * count);
            assert_eq!(root.wakes(), 1);
        }
    }
}

#[test]
fn a_task_that_its_sibling_wakes_is_polled_once_per_poll_of_the_group() {
    // Two tasks that wake each other for ever.
    let root = Root::new();
    let wakers: Arc<[futures::task::AtomicWaker; 2]> = Arc::default();
    let polls = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let mut group = ErrGroup::<(), ()>::new();
    for me in 0..2 {
        let (wakers, polls) = (wakers.clone(), polls.clone());
        group.spawn(poll_fn(move |cx| {
            polls[me].fetch_add(1, SeqCst);
            wakers[me].register(cx.waker());
            wakers[1 - me].wake();
            Poll::Pending
        }));
    }
    for round in 1..20 {
        assert!(root.poll(&mut group).is_pending());
        for polls in &*polls {
            assert!(polls.load(SeqCst) <= round);
        }
        assert_eq!(root.wakes(), 1);
    }
    assert!(polls.iter().all(|polls| polls.load(SeqCst) >= 18));
}

#[test]
fn at_most_256_tasks_are_polled_in_one_poll() {
    let root = Root::new();
    let probes = probes::<Unit>(1_000);
    let polls = || probes.iter().map(Probe::polls).sum::<usize>();
    let mut group = ErrGroup::new();
    group.extend(probes.iter().map(Probe::task));
    for expected in [256, 512, 768] {
        assert!(root.poll(&mut group).is_pending());
        assert_eq!(polls(), expected);
        assert_eq!(root.wakes(), 1);
    }
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((polls(), root.wakes()), (1_000, 0));

    for probe in &probes {
        probe.wake();
    }
    assert_eq!(root.wakes(), 1);
    for expected in [1_256, 1_512, 1_768] {
        assert!(root.poll(&mut group).is_pending());
        assert_eq!((polls(), root.wakes()), (expected, 1));
    }
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((polls(), root.wakes()), (2_000, 0));
}

#[test]
fn a_budget_that_is_exactly_enough_ends_the_group_in_one_poll() {
    let root = Root::new();
    let mut group: ErrGroup<'_, (), ()> = (0..256).map(|_| ready(Ok(()))).collect();
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
    assert_eq!(root.wakes(), 0);

    let mut group: ErrGroup<'_, (), ()> = (0..257).map(|_| ready(Ok(()))).collect();
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((root.wakes(), group.len()), (1, 1));
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
}

#[test]
fn idle_tasks_that_use_up_the_budget_exactly_cause_one_wake_at_most() {
    let root = Root::new();
    let mut group = ErrGroup::<(), ()>::new();
    group.extend((0..256).map(|_| pending()));
    assert!(root.poll(&mut group).is_pending());
    assert!(root.wakes() <= 1);
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(root.wakes(), 0);
}

/// Calls `method` again and again, as long as it is ready, and gives the number of tasks that
/// were polled before it was pending.
#[track_caller]
fn polls_before_pending(
    polls: &AtomicUsize,
    root: &Root,
    mut method: impl FnMut(&Root, usize) -> bool,
) -> usize {
    let before = polls.load(SeqCst);
    root.wakes();
    for call in 0..5_000 {
        if !method(root, call) {
            assert_eq!(root.wakes(), 1, "it must wake itself");
            return polls.load(SeqCst) - before;
        }
    }
    panic!("{} polls, and never pending", polls.load(SeqCst) - before)
}

/// A thousand tasks that are ready at once.
fn a_thousand(polls: &Arc<AtomicUsize>) -> ErrGroup<'static, (), ()> {
    let mut group = ErrGroup::new();
    for _ in 0..1_000 {
        let polls = polls.clone();
        group.spawn(async move {
            polls.fetch_add(1, SeqCst);
            Ok(())
        });
    }
    group
}

#[test]
fn the_budget_lasts_from_next_to_next() {
    let polls = Arc::default();
    let mut group = a_thousand(&polls);
    let root = Root::new();
    for _ in 0..3 {
        let polls = polls_before_pending(&polls, &root, |root, _| {
            root.poll_new(group.next()).is_ready()
        });
        assert_eq!(polls, 256);
    }
}

#[test]
fn the_budget_lasts_from_drive_to_drive_when_its_future_is_always_ready() {
    let polls = Arc::default();
    let mut group = a_thousand(&polls);
    let root = Root::new();
    let polls = polls_before_pending(&polls, &root, |root, _| {
        root.poll_new(group.drive(ready(()))).is_ready()
    });
    assert!(polls <= 256, "{polls}");
}

#[test]
fn the_budget_lasts_when_drive_is_always_ready_and_tasks_wake_themselves() {
    let polls = Arc::new(AtomicUsize::new(0));
    let mut group = ErrGroup::<(), ()>::new();
    group.extend((0..10).map(|_| restless(&polls)));
    let root = Root::new();
    let polls = polls_before_pending(&polls, &root, |root, _| {
        root.poll_new(group.drive(ready(()))).is_ready()
    });
    assert!(polls <= 256, "{polls}");
}

#[test]
fn the_budget_lasts_when_drive_is_always_ready_and_comes_before_a_task_that_wakes_itself() {
    // It does so in one of these, after a future that was woken in each poll before.
    for before in 0..8 {
        let polls = Arc::new(AtomicUsize::new(0));
        let mut group = ErrGroup::<(), ()>::new();
        group.spawn(restless(&polls));
        let root = Root::new();
        let mut drive = Box::pin(group.drive(restless::<()>(&Arc::default())));
        for _ in 0..before {
            assert!(root.poll(&mut drive).is_pending());
        }
        drop(drive);
        let polls = polls_before_pending(&polls, &root, |root, _| {
            root.poll_new(group.drive(ready(()))).is_ready()
        });
        assert!(polls <= 256, "{polls}");
    }
}

#[test]
fn the_budget_lasts_when_each_future_that_is_driven_wakes_one_task() {
    let root = Root::new();
    let probe = Probe::<Unit>::new();
    let mut group = ErrGroup::new();
    group.spawn(probe.task());
    assert!(root.poll(&mut group).is_pending());
    let mut calls = 0;
    while calls < 5_000 {
        calls += 1;
        let wake = async { probe.wake() };
        if root.poll_new(group.drive(wake)).is_pending() {
            break;
        }
    }
    assert!(
        probe.polls() <= 258,
        "{} polls in {calls} calls",
        probe.polls()
    );
}

#[test]
fn the_budget_lasts_over_all_methods() {
    let polls = Arc::default();
    let mut group = a_thousand(&polls).limit(8);
    let root = Root::new();
    for _ in 0..3 {
        let polls = polls_before_pending(&polls, &root, |root, call| match call % 3 {
            0 => root.poll_new(group.next()).is_ready(),
            1 => {
                use futures::StreamExt;
                root.poll(&mut group.results().next()).is_ready()
            }
            _ => root.poll_new(group.drive(ready(()))).is_ready(),
        });
        assert!(polls <= 256, "{polls}");
    }
    assert!(polls.load(SeqCst) > 0);
}

#[test]
fn the_budget_lasts_from_await_to_await() {
    // A group that is used again and again, by tasks that end at once.
    let polls = Arc::new(AtomicUsize::new(0));
    let mut group = ErrGroup::<(), ()>::new();
    let root = Root::new();
    let counted = polls_before_pending(&polls, &root, |root, _| {
        if group.is_empty() {
            let polls = polls.clone();
            group.spawn(async move {
                polls.fetch_add(1, SeqCst);
                Ok(())
            });
        }
        root.poll(&mut group).is_ready()
    });
    assert_eq!(counted, 256);
}

#[test]
fn the_budget_lasts_over_ready() {
    let polls = Arc::default();
    let mut group = a_thousand(&polls).limit(1);
    let root = Root::new();
    let counted = polls_before_pending(&polls, &root, |root, _| {
        root.poll_new(group.ready()).is_ready()
    });
    assert_eq!(counted, 256);
}

#[test]
fn a_poll_that_begins_with_ready_has_a_budget_of_its_own() {
    let root = Root::new();
    let polls = Arc::new(AtomicUsize::new(0));
    let mut group = ErrGroup::<(), ()>::new().limit(1);
    group.spawn(pending());
    assert!(root.poll_new(group.ready()).is_pending());
    group.set_limit(3);
    let counted = polls_before_pending(&polls, &root, |root, _| {
        let polls = polls.clone();
        group.spawn(async move {
            polls.fetch_add(1, SeqCst);
            Ok(())
        });
        root.poll_new(group.ready()).is_ready()
    });
    assert_eq!(counted, 256);
}

#[test]
fn a_task_that_ready_starts_is_not_polled_once_more_in_that_poll() {
    let root = Root::new();
    let polls = Arc::new(AtomicUsize::new(0));
    let mut group = ErrGroup::<(), ()>::new().limit(1);
    group.spawn(restless(&polls));
    for poll in 1..4 {
        assert!(root.poll_new(group.ready()).is_pending());
        assert_eq!((polls.load(SeqCst), root.wakes()), (poll, 1));
    }
}

/// Polls until `probe` has been polled `polls` times.
#[track_caller]
fn polls_until(group: &mut ErrGroup<'_, (), ()>, most: usize, reached: impl Fn() -> bool) {
    let root = Root::new();
    for _ in 0..most {
        if reached() {
            return;
        }
        assert!(root.poll(group).is_pending());
        assert_eq!(root.wakes(), 1);
    }
    assert!(reached(), "starved for {most} polls of the group");
}

#[test]
fn a_woken_task_does_not_starve_behind_tasks_that_always_wake_themselves() {
    for (count, most) in [(300, 5), (10_000, 320)] {
        let polls = Arc::new(AtomicUsize::new(0));
        let probe = Probe::<Unit>::new();
        let mut group = ErrGroup::new();
        group.extend((0..count / 2).map(|_| restless(&polls)));
        group.spawn(probe.task());
        group.extend((0..count / 2).map(|_| restless(&polls)));
        polls_until(&mut group, most, || probe.polls() == 1);
        for expected in 2..6 {
            probe.wake();
            polls_until(&mut group, most, || probe.polls() == expected);
        }
    }
}

#[test]
fn a_task_that_is_woken_from_elsewhere_is_first_as_often_as_one_that_wakes_itself() {
    let root = Root::new();
    let order = RefCell::new(String::new());
    let probe = Probe::<Unit>::new();
    let mut task = probe.task();
    let mut group = LocalErrGroup::<(), ()>::new();
    group.spawn(poll_fn(|cx| {
        order.borrow_mut().push('i');
        cx.waker().wake_by_ref();
        Poll::Pending
    }));
    group.spawn(poll_fn(|cx| {
        order.borrow_mut().push('e');
        Pin::new(&mut task).poll(cx)
    }));
    let mut first = 0;
    for _ in 0..400 {
        assert!(root.poll(&mut group).is_pending());
        let order = order.take();
        assert_eq!(order.len(), 2);
        first += usize::from(order.starts_with('e'));
        probe.wake();
    }
    assert!((100..=300).contains(&first), "{first}");
}

#[test]
fn a_queued_task_does_not_starve_behind_tasks_that_always_wake_themselves() {
    for (count, most) in [(300, 4), (10_000, 5)] {
        let polls = Arc::new(AtomicUsize::new(0));
        let probes = probes::<Unit>(5);
        let mut group = ErrGroup::new();
        let spawner = group.spawner();
        group.extend((0..count).map(|_| restless(&polls)));
        polls_until(&mut group, count, || spawner.queued() == 0);
        for probe in &probes[..3] {
            group.spawn(probe.task());
            polls_until(&mut group, most, || probe.polls() == 1);
        }
        for probe in &probes[3..] {
            spawner.spawn(probe.task());
            polls_until(&mut group, most, || probe.polls() == 1);
        }
    }
}

#[test]
fn queued_tasks_do_not_keep_a_woken_one_out() {
    // Each new task brings the next two: the queue never ends.
    fn more(
        spawner: errgroup::ErrSpawner<'static, (), ()>,
        left: usize,
    ) -> Pin<Box<dyn Future<Output = Unit> + Send>> {
        Box::pin(async move {
            for _ in 0..2 {
                if left > 0 {
                    spawner.spawn(more(spawner.clone(), left - 1));
                }
            }
            Ok(())
        })
    }
    let root = Root::new();
    let probe = Probe::<Unit>::new();
    let mut group = ErrGroup::new();
    group.spawn(probe.task());
    let spawner = group.spawner();
    group.spawn(more(spawner, 13));
    for round in 1..20 {
        assert!(root.poll(&mut group).is_pending());
        assert_eq!(probe.polls(), round);
        probe.wake();
    }
}

#[test]
fn every_one_of_many_restless_tasks_gets_most_of_its_share() {
    let count = 1_000;
    let polls: Vec<_> = (0..count).map(|_| Arc::new(AtomicUsize::new(0))).collect();
    let mut group = ErrGroup::<(), ()>::new();
    group.extend(polls.iter().map(restless));
    let root = Root::new();
    for _ in 0..400 {
        assert!(root.poll(&mut group).is_pending());
    }
    let polls: Vec<_> = polls.iter().map(|polls| polls.load(SeqCst)).collect();
    // No poll spans two rounds, of which each takes four polls.
    let sum = polls.iter().sum::<usize>();
    assert!((100 * 1_000..=400 * 256).contains(&sum), "{sum}");
    let share = 400 * 256 / count;
    let (least, most) = (*polls.iter().min().unwrap(), *polls.iter().max().unwrap());
    // The order is not promised; whoever is polled before and after a budget ends gets more.
    assert!(
        least >= share * 3 / 4 && most <= share * 5 / 2,
        "from {least} to {most} polls"
    );
}

// R3

#[test]
fn an_idle_group_does_not_wake_its_parent() {
    for count in [0, 1, 2, 62, 63, 64, 126, 127, 200] {
        let root = Root::new();
        let mut group = ErrGroup::<(), ()>::new();
        group.spawn(pending());
        group.extend((0..count).map(|_| pending()));
        for _ in 0..5 {
            assert!(root.poll(&mut group).is_pending());
            assert_eq!(root.wakes(), 0, "{count}");
        }
    }
}

#[test]
fn one_wake_of_one_task_wakes_the_parent_once_and_polls_that_task_once() {
    for count in [1, 2, 63, 64, 200, 1_000] {
        let root = Root::new();
        let probes = probes::<Unit>(count);
        let mut group = ErrGroup::new();
        group.extend(probes.iter().map(Probe::task));
        while root.poll(&mut group).is_pending() && root.wakes() > 0 {}
        let polls = || probes.iter().map(Probe::polls).sum::<usize>();
        for (done, probe) in probes.iter().enumerate().step_by(7) {
            assert_eq!(root.wakes(), 0);
            let before = polls();
            probe.wake();
            assert_eq!(root.wakes(), 1);
            assert_eq!(polls(), before);
            assert!(root.poll(&mut group).is_pending());
            assert_eq!(polls(), before + 1);
            assert_eq!(probe.polls(), 2, "task {done}");
            assert_eq!(root.wakes(), 0);
            assert!(root.poll(&mut group).is_pending());
            assert_eq!((polls(), root.wakes()), (before + 1, 0));
        }
    }
}

#[test]
fn many_wakes_between_two_polls_wake_the_parent_once() {
    let root = Root::new();
    let probes = probes::<Unit>(200);
    let mut group = ErrGroup::new();
    group.extend(probes.iter().map(Probe::task));
    assert!(root.poll(&mut group).is_pending());
    for _ in 0..3 {
        probes.iter().for_each(Probe::wake);
    }
    assert_eq!(root.wakes(), 1);
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(root.wakes(), 0);
    assert!(probes.iter().all(|probe| probe.polls() == 2));
}

#[test]
fn tasks_that_end_leave_no_wake_behind() {
    let root = Root::new();
    for count in [1, 63, 64, 150, 250] {
        let probes = probes::<Unit>(count);
        let mut group = ErrGroup::new();
        group.extend(probes.iter().map(Probe::task));
        group.spawn(pending());
        assert!(root.poll(&mut group).is_pending());
        for probe in &probes {
            probe.finish(Ok(()));
            assert_eq!(root.wakes(), 1);
            assert!(root.poll(&mut group).is_pending());
            assert_eq!(root.wakes(), 0);
        }
        assert_eq!(group.len(), 1);
        for _ in 0..5 {
            assert!(root.poll(&mut group).is_pending());
            assert_eq!(root.wakes(), 0);
        }
    }
}

#[test]
fn tasks_that_end_all_at_once_leave_no_wake_behind() {
    let root = Root::new();
    let probes = probes::<Unit>(250);
    let mut group = ErrGroup::new();
    group.extend(probes.iter().map(Probe::task));
    group.spawn(pending());
    assert!(root.poll(&mut group).is_pending());
    probes.iter().for_each(|probe| probe.finish(Ok(())));
    assert_eq!(root.wakes(), 1);
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((root.wakes(), group.len()), (0, 1));
    for _ in 0..5 {
        assert!(root.poll(&mut group).is_pending());
        assert_eq!(root.wakes(), 0);
    }
}

#[test]
fn a_spawn_from_outside_wakes_the_parent_once() {
    let root = Root::new();
    let probes = probes::<Unit>(3);
    let mut group = ErrGroup::new();
    let spawner = group.spawner();
    group.spawn(pending());
    assert!(root.poll(&mut group).is_pending());
    spawner.spawn(probes[0].task());
    assert_eq!(root.wakes(), 1);
    spawner.spawn(probes[1].task());
    spawner.try_spawn(probes[2].task()).unwrap();
    assert_eq!(root.wakes(), 0);
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(root.wakes(), 0);
    assert!(probes.iter().all(|probe| probe.polls() == 1));
}

#[test]
fn a_spawn_by_the_owner_between_two_polls_wakes_the_parent_once() {
    // Whoever has the group need not be the one who polls it.
    for shared in [false, true] {
        let root = Root::new();
        let mut group = ErrGroup::<(), ()>::new();
        let spawner = shared.then(|| group.spawner());
        group.spawn(pending());
        assert!(root.poll(&mut group).is_pending());
        group.spawn(pending());
        group.spawn(pending());
        group.try_spawn(pending()).unwrap();
        assert_eq!(root.wakes(), 1);
        assert!(root.poll(&mut group).is_pending());
        assert_eq!(root.wakes(), 0);
        drop(spawner);
    }
}

#[test]
fn a_spawn_that_is_refused_wakes_nobody() {
    let root = Root::new();
    let mut group = ErrGroup::<(), ()>::new().limit(1);
    let spawner = group.spawner();
    group.spawn(pending());
    assert!(root.poll(&mut group).is_pending());
    assert!(spawner.try_spawn(pending()).is_err());
    assert!(group.try_spawn(pending()).is_err());
    assert_eq!(root.wakes(), 0);
    drop(group);
    spawner.spawn(pending());
    assert!(spawner.try_spawn(pending()).is_err());
    assert_eq!(root.wakes(), 0);
}

#[test]
fn a_change_of_the_limit_from_outside_wakes_the_parent_once() {
    let root = Root::new();
    let mut group = ErrGroup::<(), ()>::new().limit(1);
    let spawner = group.spawner();
    group.extend((0..3).map(|_| pending()));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((group.running(), root.wakes()), (1, 0));
    spawner.set_limit(2);
    spawner.set_limit(3);
    assert_eq!(root.wakes(), 1);
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((group.running(), root.wakes()), (3, 0));
}

#[test]
fn a_spawn_by_a_task_wakes_nobody_and_runs_in_the_same_poll() {
    let root = Root::new();
    let probe = Probe::<Unit>::new();
    let mut group = ErrGroup::new();
    let spawner = group.spawner();
    let task = probe.task();
    group.spawn(async move {
        spawner.spawn(task);
        pending().await
    });
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((probe.polls(), root.wakes()), (1, 0));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((probe.polls(), root.wakes()), (1, 0));
}

/// A task that spawns the next one, `left` times.
fn chain(
    spawner: errgroup::ErrSpawner<'static, (), ()>,
    left: usize,
    ends: bool,
) -> Pin<Box<dyn Future<Output = Unit> + Send>> {
    Box::pin(async move {
        if left > 0 {
            spawner.spawn(chain(spawner.clone(), left - 1, ends));
        }
        if !ends {
            pending::<()>().await;
        }
        Ok(())
    })
}

#[test]
fn a_chain_of_tasks_that_spawn_the_next_runs_in_one_poll() {
    let root = Root::new();
    let mut group = ErrGroup::new();
    group.spawn(chain(group.spawner(), 254, true));
    assert!(root.poll(&mut group).is_ready());
    assert_eq!(root.wakes(), 0);
}

#[test]
fn a_chain_of_tasks_that_spawn_the_next_runs_in_one_poll_beside_an_idle_task() {
    // R3, R8: the budget allows it.
    let root = Root::new();
    let mut group = ErrGroup::new();
    group.spawn(pending());
    group.spawn(chain(group.spawner(), 199, true));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((group.len(), root.wakes()), (1, 0));
}

#[test]
fn a_chain_of_tasks_that_spawn_the_next_and_stay_runs_in_one_poll() {
    let root = Root::new();
    let mut group = ErrGroup::new();
    group.spawn(chain(group.spawner(), 199, false));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((group.running(), root.wakes()), (200, 0));
}

#[test]
fn a_chain_of_tasks_that_wake_the_next_runs_in_one_poll_backwards_too() {
    // R3: each is polled once, and the budget is not spent, wherever the tasks stand.
    let root = Root::new();
    for stride in [1, 64] {
        let count = 100 * stride;
        let probes: Vec<Probe<Unit>> = probes(count);
        let polls = Arc::new(AtomicUsize::new(0));
        let mut group = ErrGroup::new();
        for index in 0..count {
            let before = index
                .checked_sub(stride)
                .map(|before| probes[before].clone());
            let me = probes[index].clone();
            let mut task = me.task();
            let polls = polls.clone();
            group.spawn(poll_fn(move |cx| {
                let poll = Pin::new(&mut task).poll(cx);
                if me.polls() > 1 {
                    polls.fetch_add(1, SeqCst);
                    if let Some(before) = &before {
                        before.wake();
                    }
                }
                poll
            }));
        }
        while root.poll(&mut group).is_pending() && root.wakes() > 0 {}
        probes[count - 1].wake();
        assert_eq!(root.wakes(), 1);
        assert!(root.poll(&mut group).is_pending());
        assert_eq!(
            (polls.load(SeqCst), root.wakes()),
            (100, 0),
            "stride {stride}"
        );
    }
}

#[test]
fn a_wake_inside_the_poll_that_goes_on_does_not_wake_the_parent() {
    let root = Root::new();
    let (first, second) = (Probe::<Unit>::new(), Probe::<Unit>::new());
    let mut group = ErrGroup::new();
    let mut task = first.task();
    let (me, sibling) = (first.clone(), second.clone());
    group.spawn(poll_fn(move |cx| {
        let poll = Pin::new(&mut task).poll(cx);
        if me.polls() > 1 {
            sibling.wake();
        }
        poll
    }));
    group.spawn(second.task());
    assert!(root.poll(&mut group).is_pending());
    first.wake();
    assert_eq!((root.wakes(), second.polls()), (1, 1));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((root.wakes(), first.polls(), second.polls()), (0, 2, 2));
}

#[test]
fn a_task_woken_during_a_poll_that_returns_something_is_polled_by_the_next_poll() {
    // `next` returns while others are woken: no wake may be lost.
    let root = Root::new();
    let probes = probes::<Unit>(3);
    let mut group = ErrGroup::new();
    let late = probes[2].clone();
    let mut task = probes[0].task();
    let woken = probes[1].clone();
    group.spawn(probes[1].task());
    group.spawn(poll_fn(move |cx| {
        let poll = Pin::new(&mut task).poll(cx);
        if poll.is_ready() {
            woken.wake();
            late.wake();
        }
        poll
    }));
    group.spawn(probes[2].task());
    assert!(root.poll_new(group.next()).is_pending());
    probes[0].finish(Ok(()));
    assert_eq!(root.wakes(), 1);
    assert!(root.poll_new(group.next()).is_ready());
    assert!(root.poll_new(group.next()).is_pending());
    assert_eq!((probes[1].polls(), probes[2].polls()), (2, 2));
    assert_eq!(root.wakes(), 0);
    probes[1].wake();
    assert_eq!(root.wakes(), 1);
}

#[test]
fn only_the_waker_of_the_last_poll_is_woken() {
    let (first, second) = (Root::new(), Root::new());
    let probe = Probe::<Unit>::new();
    let mut group = ErrGroup::new();
    group.spawn(probe.task());
    assert!(first.poll(&mut group).is_pending());
    assert!(second.poll(&mut group).is_pending());
    probe.wake();
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
    assert!(first.poll_new(group.next()).is_pending());
    probe.wake();
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    assert!(second.poll_new(group.drive(pending::<()>())).is_pending());
    probe.wake();
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
}

#[test]
fn one_wake_of_a_leaf_in_nested_groups_polls_the_root_once_and_every_level_once() {
    for depth in 1..=50 {
        let root = Root::new();
        let leaf = Probe::<Unit>::new();
        let levels: Vec<_> = (0..depth).map(|_| Arc::new(AtomicUsize::new(0))).collect();
        let idle = Probe::<Unit>::new();
        let mut task: Pin<Box<dyn Future<Output = Unit> + Send>> = Box::pin(leaf.task());
        for polls in &levels {
            let mut group = ErrGroup::new();
            group.spawn(task);
            group.spawn(idle.task());
            let polls = polls.clone();
            task = Box::pin(poll_fn(move |cx| {
                polls.fetch_add(1, SeqCst);
                Pin::new(&mut group).poll(cx)
            }));
        }
        assert!(root.poll(&mut task).is_pending());
        assert_eq!(root.wakes(), 0);
        for round in 2..5 {
            leaf.wake();
            assert_eq!(root.wakes(), 1, "depth {depth}");
            assert!(root.poll(&mut task).is_pending());
            assert_eq!(root.wakes(), 0, "depth {depth}");
            assert_eq!(leaf.polls(), round);
            assert_eq!(idle.polls(), depth);
            for polls in &levels {
                assert_eq!(polls.load(SeqCst), round, "depth {depth}");
            }
        }
    }
}

#[test]
fn one_wake_of_a_leaf_in_nested_graceful_groups_polls_every_level_once() {
    let root = Root::new();
    let leaf = Probe::<Unit>::new();
    let levels: Vec<_> = (0..20).map(|_| Arc::new(AtomicUsize::new(0))).collect();
    let mut task: Pin<Box<dyn Future<Output = Unit> + Send>> = Box::pin(leaf.task());
    let context = CancelContext::new();
    for polls in &levels {
        let (_, mut group) = ErrGroup::with_context(&context);
        group.spawn(task);
        group.spawn(pending());
        let polls = polls.clone();
        task = Box::pin(poll_fn(move |cx| {
            polls.fetch_add(1, SeqCst);
            Pin::new(&mut group).poll(cx)
        }));
    }
    assert!(root.poll(&mut task).is_pending());
    for round in 2..5 {
        leaf.wake();
        assert_eq!(root.wakes(), 1);
        assert!(root.poll(&mut task).is_pending());
        assert_eq!(root.wakes(), 0);
        assert!(levels.iter().all(|polls| polls.load(SeqCst) == round));
    }
}

#[test]
fn a_group_that_is_nested_in_another_one_gets_its_turn_when_its_budget_is_spent() {
    let root = Root::new();
    let mut outer = ErrGroup::<(), ()>::new();
    let inner: ErrGroup<'_, (), ()> = (0..1_000).map(|_| ready(Ok(()))).collect();
    outer.spawn(inner);
    let (result, polls) = root.run(outer);
    assert_eq!((result, polls), (Ok(()), 4));
}

#[test]
fn a_task_that_comes_and_goes_a_thousand_times_causes_no_wake() {
    let root = Root::new();
    let mut group = ErrGroup::<(), ()>::new();
    group.spawn(pending());
    assert!(root.poll(&mut group).is_pending());
    for count in [1, 2, 63, 64, 100] {
        for _ in 0..20 {
            let probes = probes::<Unit>(count);
            group.extend(probes.iter().map(Probe::task));
            assert_eq!(root.wakes(), 1);
            assert!(root.poll(&mut group).is_pending());
            assert_eq!(root.wakes(), 0);
            probes.iter().rev().for_each(|probe| probe.finish(Ok(())));
            assert_eq!(root.wakes(), 1);
            assert!(root.poll(&mut group).is_pending());
            assert_eq!(root.wakes(), 0);
            assert_eq!(group.len(), 1);
            assert!(probes.iter().all(|probe| probe.polls() == 2));
        }
    }
}

// R4

#[test]
fn a_task_may_be_woken_after_it_is_gone() {
    let root = Root::new();
    let probes = probes::<Unit>(2);
    let mut group = ErrGroup::new();
    group.extend(probes.iter().map(Probe::task));
    assert!(root.poll(&mut group).is_pending());
    let waker = probes[0].waker();
    probes[0].finish(Ok(()));
    assert!(root.poll(&mut group).is_pending());
    for _ in 0..3 {
        waker.wake_by_ref();
        assert!(root.poll(&mut group).is_pending());
    }
    assert_eq!((probes[0].polls(), probes[1].polls()), (2, 1));
    root.wakes();
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(root.wakes(), 0);
    probes[1].finish(Ok(()));
    assert_eq!(root.wakes(), 1);
    assert!(root.poll(&mut group).is_ready());
}

#[test]
fn a_kept_waker_wakes_nobody_while_there_is_no_other_task_in_its_slot() {
    // R3
    let root = Root::new();
    let first = Probe::<Unit>::new();
    let mut group = ErrGroup::new();
    group.spawn(pending());
    group.spawn(first.task());
    assert!(root.poll(&mut group).is_pending());
    let waker = first.waker();
    first.finish(Ok(()));
    assert!(root.poll(&mut group).is_pending());
    root.wakes();
    waker.wake();
    assert_eq!(root.wakes(), 0);
}

#[test]
fn a_wake_from_before_a_failure_polls_no_task_that_came_after_it() {
    // R2
    let root = Root::new();
    let first = Probe::<Unit>::new();
    let mut group = ErrGroup::new();
    group.spawn(first.task());
    assert!(root.poll(&mut group).is_pending());
    let waker = first.waker();
    group.spawn(poll_fn(move |_| {
        waker.wake_by_ref();
        Poll::Ready(Err(()))
    }));
    assert_eq!(root.poll(&mut group), Poll::Ready(Err(())));
    let next = Probe::<Unit>::new();
    group.spawn(next.task());
    for _ in 0..2 {
        assert!(root.poll(&mut group).is_pending());
    }
    assert_eq!(next.polls(), 1);
}

#[test]
fn a_kept_waker_costs_the_next_task_at_most_one_poll_each_time_it_is_woken() {
    // R2, the exception: the slot is used again.
    let root = Root::new();
    let first = Probe::<Unit>::new();
    let mut group = ErrGroup::new();
    group.spawn(pending());
    group.spawn(first.task());
    assert!(root.poll(&mut group).is_pending());
    let waker = first.waker();
    first.finish(Ok(()));
    assert!(root.poll(&mut group).is_pending());
    let second = Probe::<Unit>::new();
    group.spawn(second.task());
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(second.polls(), 1);
    waker.wake_by_ref();
    waker.wake_by_ref();
    assert!(root.poll(&mut group).is_pending());
    assert!(second.polls() <= 2);
    let polls = second.polls();
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(second.polls(), polls);
    second.finish(Ok(()));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(
        (second.polls(), second.drops(), group.len()),
        (polls + 1, 1, 1)
    );
}

#[test]
fn a_wake_of_the_task_that_is_gone_in_the_same_poll_does_not_poll_its_successor() {
    // Its last poll wakes it, and ends it.
    let root = Root::new();
    let mut group = ErrGroup::new().limit(2);
    group.spawn(pending());
    group.spawn(poll_fn(|cx| {
        cx.waker().wake_by_ref();
        Poll::Ready(Ok::<_, ()>(()))
    }));
    let next = Probe::<Unit>::new();
    group.spawn(next.task());
    assert!(root.poll(&mut group).is_pending());
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((next.polls(), root.wakes()), (1, 0));
}

#[test]
fn a_group_that_was_aborted_is_not_woken_by_the_tasks_it_had() {
    let root = Root::new();
    let probes = probes::<Unit>(100);
    let mut group = ErrGroup::new();
    group.extend(probes.iter().map(Probe::task));
    assert!(root.poll(&mut group).is_pending());
    group.abort_all();
    assert!(probes.iter().all(|probe| probe.drops() == 1));
    let next = Probe::<Unit>::new();
    group.spawn(next.task());
    root.wakes();
    assert!(root.poll(&mut group).is_pending());
    probes.iter().for_each(Probe::wake);
    assert_eq!(root.wakes(), 0);
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(next.polls(), 1);
}

#[test]
fn any_thread_may_wake_a_task_after_the_group_is_gone() {
    let root = Root::new();
    let probe = Probe::<Unit>::new();
    let mut group = ErrGroup::new();
    group.spawn(probe.task());
    assert!(root.poll(&mut group).is_pending());
    let waker = probe.waker();
    drop(group);
    std::thread::spawn(move || waker.wake()).join().unwrap();
    assert_eq!((root.wakes(), probe.polls()), (0, 1));
}

#[test]
fn tasks_of_a_local_group_need_not_be_send() {
    let count = Rc::new(Cell::new(0));
    let mut group = LocalErrGroup::<(), ()>::new();
    let spawner = group.spawner();
    for _ in 0..100 {
        let (count, spawner) = (count.clone(), spawner.clone());
        group.spawn(async move {
            yields(2).await;
            let sibling = count.clone();
            spawner.spawn(async move {
                sibling.set(sibling.get() + 1);
                Ok(())
            });
            count.set(count.get() + 1);
            Ok(())
        });
    }
    run(group).unwrap();
    assert_eq!((count.get(), Rc::strong_count(&count)), (200, 1));
}

#[test]
fn a_short_chain_of_tasks_that_spawn_the_next_and_stay_wakes_nobody() {
    // R3: each of them is found by one more look in the same poll.
    let root = Root::new();
    let mut group = ErrGroup::new();
    group.spawn(chain(group.spawner(), 39, false));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((group.running(), root.wakes()), (40, 0));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(root.wakes(), 0);
}
