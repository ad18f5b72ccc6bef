//! What an error does to the siblings, and what a group is good for after it.

use std::future::{pending, poll_fn, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;

use crate::common::{Fail, OnDrop, Probe, Root, probes, run};
use errgroup::{CancelContext, ErrGroup, ErrSpawner};
use futures::StreamExt;
use futures::future::FusedFuture;
use futures::stream::FusedStream;

type Unit = Result<(), &'static str>;
type Number = Result<u32, &'static str>;

// R5

#[test]
fn the_failure_is_returned_by_the_poll_in_which_the_task_failed_at_any_size() {
    for siblings in [0, 1, 31, 62, 63, 64, 255, 256, 1_000] {
        let root = Root::new();
        let probes = probes::<Unit>(siblings);
        let last = Probe::<Unit>::new();
        let mut group = ErrGroup::new();
        group.extend(probes.iter().map(Probe::task));
        group.spawn(last.task());
        while root.poll(&mut group).is_pending() && root.wakes() > 0 {}
        last.finish(Err("last"));
        assert_eq!(root.wakes(), 1);
        assert_eq!(root.poll(&mut group), Poll::Ready(Err("last")));
        for probe in probes.iter().chain([&last]) {
            assert_eq!(probe.drops(), 1, "{siblings}");
        }
        assert!(probes.iter().all(|probe| probe.polls() == 1));
        assert_eq!((group.len(), root.wakes()), (0, 0));
    }
}

#[test]
fn the_failure_is_returned_by_the_first_poll_when_the_last_new_task_fails() {
    // futures-rs#2866: `try_join_all` stays pending with 31 futures.
    for siblings in [1, 30, 31, 64, 255] {
        let root = Root::new();
        let probes = probes::<Unit>(siblings);
        let mut group = ErrGroup::new();
        group.extend(probes.iter().map(Probe::task));
        group.spawn(ready(Err("last")));
        assert_eq!(root.poll(&mut group), Poll::Ready(Err("last")));
        assert!(probes.iter().all(|probe| probe.drops() == 1));
        assert_eq!(root.wakes(), 0);
    }
}

#[test]
fn collect_drops_every_sibling_before_it_returns_the_failure() {
    for siblings in [31, 64, 1_000] {
        let root = Root::new();
        let probes = probes::<Number>(siblings);
        let last = Probe::<Number>::new();
        let mut group = ErrGroup::new();
        group.extend(probes.iter().map(Probe::task));
        group.spawn(last.task());
        let mut collect = Box::pin(group.collect());
        while root.poll(&mut collect).is_pending() && root.wakes() > 0 {}
        probes[3].finish(Ok(3));
        assert!(root.poll(&mut collect).is_pending());
        last.finish(Err("last"));
        assert_eq!(root.poll(&mut collect), Poll::Ready(Err("last")));
        assert!(probes.iter().all(|probe| probe.drops() == 1));
    }
}

#[test]
fn ready_and_drive_drop_every_sibling_before_they_return() {
    for drives in [false, true] {
        let root = Root::new();
        let siblings = probes::<Unit>(100);
        let queued = Probe::<Unit>::new();
        let last = Probe::<Unit>::new();
        let mut group = ErrGroup::new().limit(101);
        group.extend(siblings.iter().map(Probe::task));
        group.spawn(last.task());
        group.spawn(queued.task());
        assert!(root.poll(&mut group).is_pending());
        last.finish(Err("last"));
        if drives {
            assert_eq!(
                root.poll_new(group.drive(pending::<()>())),
                Poll::Ready(None)
            );
        } else {
            assert_eq!(root.poll_new(group.ready()), Poll::Ready(false));
        }
        assert!(siblings.iter().all(|probe| probe.drops() == 1));
        assert_eq!((queued.polls(), queued.drops()), (0, 1));
        assert_eq!(group.len(), 0);
    }
}

#[test]
fn no_queued_task_is_started_by_a_failure() {
    let root = Root::new();
    let first = Probe::<Unit>::new();
    let queued = probes::<Unit>(100);
    let mut group = ErrGroup::new().limit(1);
    let spawner = group.spawner();
    group.spawn(first.task());
    group.extend(queued[..50].iter().map(Probe::task));
    assert!(root.poll(&mut group).is_pending());
    // These have not even reached the owner.
    queued[50..]
        .iter()
        .for_each(|probe| spawner.spawn(probe.task()));
    first.finish(Err("first"));
    assert_eq!(root.poll(&mut group), Poll::Ready(Err("first")));
    for probe in &queued {
        assert_eq!((probe.polls(), probe.drops()), (0, 1));
    }
}

#[test]
fn what_the_failing_task_spawned_is_dropped_unpolled() {
    let root = Root::new();
    let child = Probe::<Unit>::new();
    let mut group = ErrGroup::new();
    let spawner = group.spawner();
    let task = child.task();
    group.spawn(async move {
        spawner.spawn(task);
        Err("parent")
    });
    assert_eq!(root.poll(&mut group), Poll::Ready(Err("parent")));
    assert_eq!((child.polls(), child.drops()), (0, 1));
}

#[test]
fn siblings_that_were_woken_in_the_poll_of_the_failure_are_not_polled_after_it() {
    let root = Root::new();
    let probes = probes::<Unit>(10);
    let mut group = ErrGroup::new();
    group.extend(probes.iter().map(Probe::task));
    assert!(root.poll(&mut group).is_pending());
    probes[0].set(Err("first"));
    probes.iter().for_each(Probe::wake);
    assert_eq!(root.poll(&mut group), Poll::Ready(Err("first")));
    let polls: usize = probes.iter().map(Probe::polls).sum();
    // In whatever order: the failure ends it.
    assert!(polls <= 20);
    assert_eq!(probes[0].polls(), 2);
    let before = polls;
    probes.iter().for_each(Probe::wake);
    assert!(root.poll(&mut group).is_ready());
    assert_eq!(probes.iter().map(Probe::polls).sum::<usize>(), before);
}

// R6

#[test]
fn errors_that_come_after_the_failure_never_replace_it() {
    for error_first in [false, true] {
        let root = Root::new();
        let (context, mut group) = ErrGroup::<(), &str>::with_context(&CancelContext::new());
        let cause = Probe::<Unit>::new();
        let listen = |context: CancelContext| async move {
            context.cancelled().await;
            Err("I was cancelled")
        };
        if error_first {
            group.spawn(cause.task());
        }
        for _ in 0..10 {
            group.spawn(listen(context.clone()));
        }
        if !error_first {
            group.spawn(cause.task());
        }
        assert!(root.poll(&mut group).is_pending());
        cause.finish(Err("the disk is full"));
        assert_eq!(root.run(group).0, Err("the disk is full"));
    }
}

#[test]
fn the_first_error_in_time_is_the_failure_whatever_its_index() {
    let order = [3, 0, 4, 1, 2];
    let texts = ["0", "1", "2", "3", "4"];
    let finish = |group: &mut ErrGroup<'static, (), &'static str>| {
        let root = Root::new();
        let probes = probes::<Unit>(5);
        group.extend(probes.iter().map(Probe::task));
        assert!(
            root.poll_new(group.drive(pending::<()>()))
                .map(|output| output.is_some())
                .is_pending()
        );
        for index in order {
            probes[index].finish(Err(texts[index]));
            let _ = root.poll_new(group.drive(pending::<()>()));
        }
    };
    let mut group = ErrGroup::new().keep_going();
    finish(&mut group);
    assert_eq!(run(&mut group), Err("3"));

    let mut group = ErrGroup::new().keep_going();
    finish(&mut group);
    assert_eq!(run(group.collect()), Err("3"));

    let mut group = ErrGroup::new().keep_going();
    finish(&mut group);
    let errors = run(group.wait_all()).unwrap_err();
    assert_eq!(errors.first(), Some(&"3"));
    assert!(errors.iter().map(|(index, _)| index).eq(0..5));
    assert_eq!((errors.len(), errors.total()), (5, 5));
    assert_eq!(errors.into_first(), Some("3"));

    let mut group = ErrGroup::new().keep_going();
    finish(&mut group);
    let errors = run(group.first_ok()).unwrap_err();
    assert_eq!(errors.first(), Some(&"3"));

    let mut group = ErrGroup::new().keep_going();
    finish(&mut group);
    let outcomes: Vec<_> = run(group.results().collect());
    assert_eq!(outcomes, order.map(|index| Err(texts[index])));
}

#[test]
fn the_failure_that_ready_kept_stays_the_result_when_later_ones_come() {
    let root = Root::new();
    let (_context, mut group) = ErrGroup::<(), &str>::with_context(&CancelContext::new());
    let probes = probes::<Unit>(2);
    group.extend(probes.iter().map(Probe::task));
    assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
    probes[1].finish(Err("root cause"));
    assert_eq!(
        root.poll_new(group.drive(pending::<()>())),
        Poll::Ready(None)
    );
    assert!(root.poll(&mut group).is_pending());
    probes[0].finish(Err("cancelled"));
    assert_eq!(root.poll(&mut group), Poll::Ready(Err("root cause")));
}

// R7

/// A group that has failed in `drive`, with the value 1 and the failure "no" kept.
fn failed<'env>() -> ErrGroup<'env, u32, &'static str> {
    let mut group = ErrGroup::new();
    group.spawn(ready(Ok(1)));
    group.spawn(ready(Err("no")));
    group.spawn(pending());
    assert_eq!(run(group.drive(pending::<()>())), None);
    group
}

#[test]
fn a_failed_group_drops_what_is_spawned_and_gives_back_what_is_tried() {
    let root = Root::new();
    for limit in [1, usize::MAX] {
        let mut group = failed().limit(limit);
        let spawner = group.spawner();
        assert!(spawner.is_closed());
        let probe = Probe::<Number>::new();
        group.spawn(probe.task());
        spawner.spawn(probe.task());
        group.extend([probe.task()]);
        assert_eq!(probe.drops(), 3);
        let refused = group.try_spawn(probe.task()).unwrap_err();
        assert!(!refused.is_full());
        let task = refused.into_inner();
        assert_eq!(probe.drops(), 3);
        let refused = spawner.try_spawn(task).unwrap_err();
        assert!(!refused.is_full());
        drop(refused);
        assert_eq!((probe.polls(), probe.drops()), (0, 4));
        assert_eq!(group.len(), 0);
        assert_eq!(root.poll_new(spawner.ready()), Poll::Ready(false));
        assert_eq!(root.poll_new(group.ready()), Poll::Ready(false));
        let driven = Probe::<()>::new();
        assert_eq!(root.poll_new(group.drive(driven.task())), Poll::Ready(None));
        assert_eq!((driven.polls(), driven.drops()), (0, 1));
    }
}

#[test]
fn a_full_group_that_has_failed_is_not_full_but_failed() {
    // A graceful group still has its running task.
    let (_context, group) = ErrGroup::<(), &str>::with_context(&CancelContext::new());
    let mut group = group.limit(2);
    group.spawn(pending());
    group.spawn(ready(Err("no")));
    let sibling = Probe::<Unit>::new();
    group.spawn(sibling.task());
    assert_eq!(run(group.drive(pending::<()>())), None);
    group.set_limit(1);
    assert_eq!(group.len(), 1);
    let refused = group.try_spawn(ready(Ok(()))).unwrap_err();
    assert!(!refused.is_full());
    assert!(sibling.is_dropped() && sibling.polls() == 0);
}

#[test]
fn a_fail_fast_group_is_usable_again_when_await_has_handed_the_failure_over() {
    let root = Root::new();
    let mut group = failed();
    let spawner = group.spawner();
    assert_eq!(root.poll(&mut group), Poll::Ready(Err("no")));
    assert!(!spawner.is_closed() && group.is_empty());
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
    assert_eq!(root.poll_new(group.ready()), Poll::Ready(true));
    group.spawn(ready(Ok(2)));
    spawner.spawn(ready(Ok(3)));
    // The kept value went with the failure.
    assert_eq!(run(group.collect()), Ok(vec![2, 3]));
}

#[test]
fn a_fail_fast_group_is_usable_again_when_next_has_handed_the_failure_over() {
    let root = Root::new();
    let mut group = failed();
    let spawner = group.spawner();
    assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Ok(1))));
    assert!(spawner.is_closed());
    assert!(group.try_spawn(ready(Ok(2))).is_err());
    assert_eq!(
        root.poll_new(group.drive(pending::<()>())),
        Poll::Ready(None)
    );
    assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Err("no"))));
    assert!(!spawner.is_closed());
    assert_eq!(root.poll_new(group.next()), Poll::Ready(None));
    group.spawn(ready(Ok(2)));
    spawner.spawn(ready(Ok(3)));
    assert_eq!(run(group.collect()), Ok(vec![2, 3]));
}

#[test]
fn a_failure_that_await_gives_at_once_leaves_the_group_usable() {
    let root = Root::new();
    let mut group = ErrGroup::<u32, &str>::new();
    let spawner = group.spawner();
    for round in 0..5 {
        group.spawn(pending());
        spawner.spawn(ready(Err("no")));
        assert_eq!(root.poll(&mut group), Poll::Ready(Err("no")));
        assert!(group.is_empty(), "round {round}");
    }
    // Indices never restart.
    group = group.keep_going();
    group.spawn(ready(Err("later")));
    assert_eq!(
        run(group.wait_all()).unwrap_err().into_vec(),
        [(10, "later")]
    );
}

#[test]
fn a_graceful_group_closes_for_good_once_its_context_is_cancelled_and_all_has_ended() {
    for fails in [false, true] {
        let root = Root::new();
        let (context, mut group) = ErrGroup::<u32, &str>::with_context(&CancelContext::new());
        let spawner = group.spawner();
        group.spawn(ready(if fails { Err("no") } else { Ok(1) }));
        let expected = if fails { Err("no") } else { Ok(()) };
        assert_eq!(root.poll(&mut group), Poll::Ready(expected));
        if !fails {
            assert!(!spawner.is_closed() && !context.is_cancelled());
            context.cancel();
            assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
        }
        assert!(spawner.is_closed() && context.is_cancelled());
        let probe = Probe::<Number>::new();
        group.spawn(probe.task());
        spawner.spawn(probe.task());
        assert!(!group.try_spawn(probe.task()).unwrap_err().is_full());
        assert_eq!((probe.polls(), probe.drops()), (0, 3));
        assert_eq!(root.poll_new(spawner.ready()), Poll::Ready(false));
        assert_eq!(root.poll_new(group.ready()), Poll::Ready(false));
        assert_eq!(root.poll_new(group.next()), Poll::Ready(None));
        assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
        assert!(group.try_spawn(probe.task()).is_err());
    }
}

#[test]
fn a_graceful_group_closes_for_good_when_next_gives_none_after_the_cancel() {
    let root = Root::new();
    let (context, mut group) = ErrGroup::<u32, &str>::with_context(&CancelContext::new());
    let spawner = group.spawner();
    group.spawn(ready(Err("no")));
    assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Err("no"))));
    assert!(!spawner.is_closed());
    spawner.spawn(ready(Ok(2)));
    assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Ok(2))));
    assert_eq!(root.poll_new(group.next()), Poll::Ready(None));
    assert!(!spawner.is_closed());
    context.cancel();
    assert_eq!(root.poll_new(group.next()), Poll::Ready(None));
    assert!(spawner.is_closed());
    assert!(spawner.try_spawn(ready(Ok(3))).is_err());
}

#[test]
fn a_graceful_group_that_failed_takes_nothing_until_its_tasks_have_ended() {
    let root = Root::new();
    let sibling = Probe::<Unit>::new();
    let (_context, mut group) = ErrGroup::<(), &str>::with_context(&CancelContext::new());
    let spawner = group.spawner();
    group.spawn(sibling.task());
    group.spawn(ready(Err("no")));
    assert!(root.poll(&mut group).is_pending());
    assert!(spawner.is_closed());
    assert!(!spawner.try_spawn(ready(Ok(()))).unwrap_err().is_full());
    assert!(!sibling.is_dropped());
    sibling.finish(Ok(()));
    assert_eq!(root.poll(&mut group), Poll::Ready(Err("no")));
}

#[test]
fn wait_all_after_a_kept_failure_gives_it_with_the_others() {
    let errors = run(failed().wait_all()).unwrap_err();
    assert_eq!(errors.total(), 2);
    assert_eq!(errors.into_vec(), [(1, "no")]);

    // A graceful group still has running tasks: they come to their end, and count.
    let root = Root::new();
    let probes = probes::<Unit>(2);
    let (_context, mut group) = ErrGroup::<(), &str>::with_context(&CancelContext::new());
    group.extend(probes.iter().map(Probe::task));
    group.spawn(ready(Err("first")));
    assert_eq!(run(group.drive(pending::<()>())), None);
    let mut all = Box::pin(group.wait_all());
    assert!(root.poll(&mut all).is_pending());
    probes[0].finish(Err("second"));
    assert!(root.poll(&mut all).is_pending());
    probes[1].finish(Ok(()));
    let Poll::Ready(Err(errors)) = root.poll(&mut all) else {
        panic!("it failed")
    };
    assert_eq!(errors.first(), Some(&"first"));
    assert_eq!(errors.total(), 3);
    assert_eq!(errors.into_vec(), [(0, "second"), (2, "first")]);
}

#[test]
fn settle_after_a_kept_failure_gives_what_was_kept() {
    assert_eq!(run(failed().settle()), [Ok(1), Err("no")]);
}

#[test]
fn first_ok_after_a_kept_failure_gives_a_kept_success() {
    assert_eq!(run(failed().first_ok()).unwrap(), 1);

    let mut group = ErrGroup::<u32, &str>::new();
    group.spawn(ready(Err("no")));
    group.spawn(ready(Ok(1)));
    assert_eq!(run(group.drive(pending::<()>())), None);
    let errors = run(group.first_ok()).unwrap_err();
    assert_eq!(errors.into_vec(), [(0, "no")]);
}

#[test]
fn first_ok_gives_a_kept_success_without_polling_anything() {
    let root = Root::new();
    let probe = Probe::<Number>::new();
    let mut group = ErrGroup::new();
    group.spawn(ready(Ok(7)));
    group.spawn(probe.task());
    assert_eq!(root.poll_new(group.drive(ready(()))), Poll::Ready(Some(())));
    assert_eq!(probe.polls(), 1);
    probe.finish(Ok(8));
    let queued = Probe::<Number>::new();
    group.spawn(queued.task());
    let Poll::Ready(Ok(7)) = root.poll_new(group.first_ok()) else {
        panic!("a success was kept")
    };
    assert_eq!((probe.polls(), probe.drops()), (1, 1));
    assert_eq!((queued.polls(), queued.drops()), (0, 1));
}

#[test]
fn wait_all_settle_and_first_ok_make_a_fail_fast_group_keep_going() {
    let make = || -> ErrGroup<'static, u32, &'static str> {
        let mut group = ErrGroup::new().limit(1);
        group.spawn(ready(Err("a")));
        group.spawn(ready(Ok(1)));
        group.spawn(ready(Err("c")));
        group
    };
    assert_eq!(
        run(make().wait_all()).unwrap_err().into_vec(),
        [(0, "a"), (2, "c")]
    );
    assert_eq!(run(make().settle()), [Err("a"), Ok(1), Err("c")]);
    assert_eq!(run(make().first_ok()).unwrap(), 1);
}

#[test]
fn next_does_not_fail_the_group() {
    let root = Root::new();
    let sibling = Probe::<Unit>::new();
    let mut group = ErrGroup::new();
    let spawner = group.spawner();
    group.spawn(ready(Err("no")));
    group.spawn(sibling.task());
    assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Err("no"))));
    assert!(!spawner.is_closed());
    assert!(root.poll_new(group.next()).is_pending());
    assert_eq!((sibling.polls(), sibling.drops()), (1, 0));
    group.try_spawn(ready(Ok(()))).unwrap();
    assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Ok(()))));
    sibling.finish(Ok(()));
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
}

#[test]
fn next_yields_kept_outcomes_first_in_completion_order() {
    let root = Root::new();
    let probes = probes::<Number>(6);
    let mut group = ErrGroup::new().keep_going();
    group.extend(probes.iter().map(Probe::task));
    assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
    for (index, outcome) in [(4, Ok(4)), (0, Err("0")), (5, Err("5")), (1, Ok(1))] {
        probes[index].finish(outcome);
        assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
    }
    probes[2].finish(Ok(2));
    for outcome in [Ok(4), Err("0"), Err("5"), Ok(1)] {
        assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(outcome)));
        assert_eq!(probes[2].polls(), 1);
    }
    assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Ok(2))));
    assert!(root.poll_new(group.next()).is_pending());
    // What is kept between two calls of `next` comes before the rest, too.
    probes[3].finish(Err("3"));
    assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
    assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Err("3"))));
    assert_eq!(root.poll_new(group.next()), Poll::Ready(None));
}

#[test]
fn kept_values_of_size_zero_and_errors_come_in_completion_order() {
    let root = Root::new();
    let probes = probes::<Unit>(5);
    let mut group = ErrGroup::new().keep_going();
    group.extend(probes.iter().map(Probe::task));
    assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
    let order = [
        (4, Ok(())),
        (0, Err("0")),
        (3, Ok(())),
        (2, Ok(())),
        (1, Err("1")),
    ];
    for (index, outcome) in order {
        probes[index].finish(outcome);
        assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
    }
    for (_, outcome) in order {
        assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(outcome)));
    }
    assert_eq!(root.poll_new(group.next()), Poll::Ready(None));
}

#[test]
fn kept_values_count_in_collect_and_settle() {
    let kept = || {
        let mut group = ErrGroup::<u32, &str>::new();
        group.spawn(ready(Ok(0)));
        assert_eq!(run(group.drive(ready(()))), Some(()));
        group.spawn(ready(Ok(1)));
        group
    };
    assert_eq!(run(kept().collect()), Ok(vec![0, 1]));
    assert_eq!(run(kept().settle()), [Ok(0), Ok(1)]);
    assert_eq!(run(kept().wait_all()).unwrap(), [0, 1]);
    assert_eq!(run(kept()), Ok(()));
}

#[test]
fn a_kept_failure_is_the_result_of_every_way_to_finish() {
    assert_eq!(run(failed()), Err("no"));
    assert_eq!(run(failed().collect()), Err("no"));
}

#[test]
fn keep_going_never_fails() {
    let root = Root::new();
    let sibling = Probe::<Unit>::new();
    let mut group = ErrGroup::new().keep_going().limit(2);
    let spawner = group.spawner();
    group.spawn(ready(Err("no")));
    group.spawn(sibling.task());
    assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
    assert_eq!(root.poll_new(group.ready()), Poll::Ready(true));
    assert!(!spawner.is_closed());
    assert!(root.poll(&mut group).is_pending());
    group.try_spawn(ready(Err("later"))).unwrap();
    assert!(root.poll(&mut group).is_pending());
    sibling.finish(Ok(()));
    assert_eq!(root.poll(&mut group), Poll::Ready(Err("no")));
    // Everything was handed over.
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
}

/// A task that, when it is dropped, spawns another one, and tells whether it was taken.
fn spawns_when_dropped(
    spawner: ErrSpawner<'static, (), &'static str>,
    child: &Probe<Unit>,
    taken: &Arc<AtomicUsize>,
) -> impl Future<Output = Unit> + Send + 'static {
    let (child, taken) = (child.clone(), taken.clone());
    let guard = OnDrop(move || {
        assert!(spawner.is_closed());
        spawner.spawn(child.task());
        match spawner.try_spawn(child.task()) {
            Ok(()) => _ = taken.fetch_add(1, SeqCst),
            Err(refused) => assert!(!refused.is_full()),
        }
    });
    async move {
        let _guard = guard;
        pending().await
    }
}

#[test]
fn a_destructor_cannot_spawn_into_its_group_while_tasks_are_dropped() {
    type Group = ErrGroup<'static, (), &'static str>;
    let root = Root::new();
    let ways: [fn(&Root, Group) -> Option<Group>; 6] = [
        |root, mut group| {
            assert!(root.poll(&mut group).is_ready());
            Some(group)
        },
        |root, mut group| {
            assert!(root.poll_new(group.drive(pending::<()>())).is_ready());
            Some(group)
        },
        |root, group| {
            assert!(root.poll_new(group.collect()).is_ready());
            None
        },
        |root, group| {
            assert!(root.poll_new(group.first_ok()).is_ready());
            None
        },
        |_, mut group| {
            group.abort_all();
            Some(group)
        },
        |_, group| {
            drop(group);
            None
        },
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let (child, taken) = (Probe::new(), Arc::default());
        let mut group = ErrGroup::new().limit(50);
        let spawner = group.spawner();
        for _ in 0..40 {
            group.spawn(spawns_when_dropped(spawner.clone(), &child, &taken));
        }
        assert!(root.poll(&mut group).is_pending());
        // The failure or success, and then some that stay in the queue.
        group.set_limit(41);
        match number {
            0..3 => group.spawn(ready(Err("no"))),
            3 => group.spawn(ready(Ok(()))),
            _ => {}
        }
        for _ in 0..40 {
            group.spawn(spawns_when_dropped(spawner.clone(), &child, &taken));
        }
        let left = way(&root, group);
        assert_eq!(taken.load(SeqCst), 0, "way {number}");
        assert_eq!((child.polls(), child.drops()), (0, 160), "way {number}");
        if let Some(mut group) = left {
            assert!(group.is_empty());
            let _ = root.poll(&mut group);
            assert!(!spawner.is_closed());
        }
    }
}

#[test]
fn a_destructor_cannot_spawn_while_the_queue_of_a_graceful_group_is_dropped() {
    let root = Root::new();
    let (child, taken) = (Probe::new(), Arc::default());
    let (_context, group) = ErrGroup::with_context(&CancelContext::new());
    let mut group = group.limit(1);
    let spawner = group.spawner();
    group.spawn(ready(Err("no")));
    for _ in 0..10 {
        group.spawn(spawns_when_dropped(spawner.clone(), &child, &taken));
    }
    assert_eq!(root.poll(&mut group), Poll::Ready(Err("no")));
    assert_eq!((taken.load(SeqCst), child.drops()), (0, 20));
}

#[test]
fn a_destructor_of_a_task_that_has_ended_may_spawn() {
    let root = Root::new();
    let child = Probe::<Unit>::new();
    child.set(Ok(()));
    let mut group = ErrGroup::<(), &str>::new();
    let spawner = group.spawner();
    let spawned = child.clone();
    let mut guard = Some(OnDrop(move || spawner.spawn(spawned.task())));
    group.spawn(poll_fn(move |_| {
        drop(guard.take());
        Poll::Ready(Ok(()))
    }));
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
    assert_eq!((child.polls(), child.drops()), (1, 1));
}

#[test]
fn abort_all_drops_everything_and_keeps_what_was_kept() {
    let root = Root::new();
    let running = probes::<Number>(70);
    let queued = probes::<Number>(2);
    let mut group = ErrGroup::new().limit(70);
    let spawner = group.spawner();
    group.spawn(ready(Ok(1)));
    group.extend(running.iter().chain(&queued[..1]).map(Probe::task));
    assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
    spawner.spawn(queued[1].task());
    assert_eq!((group.running(), group.queued()), (70, 2));
    group.abort_all();
    assert_eq!((group.running(), group.queued()), (0, 0));
    assert!(
        running
            .iter()
            .chain(&queued)
            .all(|probe| probe.drops() == 1)
    );
    assert!(!spawner.is_closed());
    spawner.spawn(ready(Ok(2)));
    assert_eq!(run(group.collect()), Ok(vec![1, 2]));
}

#[test]
fn abort_all_wakes_who_waits_for_the_end() {
    let root = Root::new();
    let mut group = ErrGroup::<(), ()>::new();
    group.spawn(pending());
    assert!(root.poll(&mut group).is_pending());
    group.abort_all();
    assert_eq!(root.wakes(), 1);
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
}

#[test]
fn abort_all_does_not_take_a_failure_back() {
    let mut group = failed();
    let spawner = group.spawner();
    group.abort_all();
    assert!(spawner.is_closed());
    assert_eq!(run(&mut group), Err("no"));
    assert!(!spawner.is_closed());

    let (context, mut group) = ErrGroup::<(), Fail>::with_context(&CancelContext::new());
    let spawner = group.spawner();
    context.cancel();
    assert_eq!(run(&mut group), Ok(()));
    group.abort_all();
    assert!(spawner.is_closed());
}

#[test]
fn a_group_is_not_terminated_while_it_has_kept_outcomes() {
    // `select!` skips what is terminated: a failure would be lost in there.
    let mut group = ErrGroup::<u32, &str>::new();
    assert!(!group.is_terminated());
    assert_eq!(run(&mut group), Ok(()));
    assert!(group.is_terminated());
    group.spawn(ready(Err("no")));
    assert!(!group.is_terminated());
    assert_eq!(run(group.drive(pending::<()>())), None);
    assert!(!group.is_terminated(), "its failure was not given yet");
    assert_eq!(run(&mut group), Err("no"));
    assert!(group.is_terminated());
}

#[test]
fn results_are_not_terminated_while_outcomes_are_kept() {
    let mut group = ErrGroup::<u32, &str>::new();
    assert_eq!(run(group.next()), None);
    assert!(group.results().is_terminated());
    group.spawn(ready(Ok(1)));
    assert_eq!(run(group.drive(ready(()))), Some(()));
    assert!(group.is_empty());
    assert!(!group.results().is_terminated(), "a value is to come");
    assert_eq!(run(group.next()), Some(Ok(1)));
}

#[test]
fn select_does_not_lose_the_failure_of_a_group_that_was_used_before() {
    let mut group = ErrGroup::<u32, &str>::new();
    assert_eq!(run(&mut group), Ok(()));
    group.spawn(ready(Err("no")));
    assert_eq!(run(group.drive(pending::<()>())), None);
    let result = run(async {
        futures::select! {
            result = group => Some(result),
            complete => None,
        }
    });
    assert_eq!(result, Some(Err("no")));
}

#[test]
fn a_group_that_is_awaited_in_select_loses_nothing() {
    let root = Root::new();
    let probes = probes::<Unit>(2);
    let mut group = ErrGroup::new();
    group.extend(probes.iter().map(Probe::task));
    for _ in 0..3 {
        let mut wait = Box::pin(async { (&mut group).await });
        assert!(root.poll(&mut wait).is_pending());
    }
    probes[0].finish(Ok(()));
    {
        let mut next = Box::pin(group.drive(pending::<()>()));
        assert!(root.poll(&mut next).is_pending());
    }
    probes[1].finish(Err("no"));
    assert_eq!(
        root.poll(Pin::new(&mut group).get_mut()),
        Poll::Ready(Err("no"))
    );
}

// R5
#[test]
fn a_failure_that_is_kept_is_given_at_once_also_when_the_budget_is_spent() {
    let root = Root::new();
    let mut group = ErrGroup::new();
    for _ in 0..255 {
        group.spawn(async { Ok(()) });
    }
    group.spawn(async { Err("last") });
    assert_eq!(root.poll_new(group.ready()), Poll::Ready(false));
    assert_eq!(root.poll(&mut group), Poll::Ready(Err("last")));
}
