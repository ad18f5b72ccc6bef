//! Graceful groups: when the context is cancelled, and what the grace does.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;

use crate::common::{Fail, OnDrop, Probe, Root, kind, probes, restless, run, yields};
use errgroup::{CancelContext, CancelKind, ErrGroup, LocalErrGroup};

type Unit = Result<(), Fail>;

fn cancelled(kind: CancelKind) -> Fail {
    Fail::Cancelled(kind)
}

/// A group with a grace that is under control.
fn with_grace(
    parent: &CancelContext,
) -> (
    CancelContext,
    ErrGroup<'static, (), Fail>,
    Probe<()>,
    Arc<AtomicUsize>,
) {
    let (grace, made) = (Probe::new(), Arc::new(AtomicUsize::new(0)));
    let (future, counted) = (grace.clone(), made.clone());
    let (context, group) = ErrGroup::with_grace(parent, move || {
        counted.fetch_add(1, SeqCst);
        future.task()
    });
    (context, group, grace, made)
}

// C5

#[test]
fn the_first_error_cancels_the_context_with_task_failed() {
    let root = Root::new();
    let (context, mut group) = ErrGroup::<(), Fail>::with_context(&CancelContext::new());
    group.spawn(pending());
    group.spawn(async {
        yields(1).await;
        Err("no".into())
    });
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(kind(&context), None);
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(kind(&context), Some(CancelKind::TaskFailed));
    assert!(context.reason().unwrap().cause().is_none());
    drop(group);
    // The first cancel wins.
    assert_eq!(kind(&context), Some(CancelKind::TaskFailed));
}

#[test]
fn completion_and_drop_cancel_the_context_with_finished() {
    type Group = ErrGroup<'static, (), Fail>;
    let ways: [fn(Group); 8] = [
        |group| drop(group),
        |group| drop(group.collect()),
        |mut group| run(&mut group).unwrap(),
        |group| _ = run(group.collect()).unwrap(),
        |group| _ = run(group.wait_all()).unwrap(),
        |group| _ = run(group.settle()),
        |group| run(group.first_ok()).unwrap(),
        |mut group| {
            assert!(run(group.next()).is_some());
            assert!(run(group.next()).is_none());
        },
    ];
    for way in ways {
        let parent = CancelContext::new();
        let (context, mut group) = ErrGroup::with_context(&parent);
        let child = context.child();
        group.spawn(ready(Ok(())));
        assert_eq!(kind(&context), None);
        way(group);
        assert_eq!(kind(&context), Some(CancelKind::Finished));
        assert_eq!(kind(&child), Some(CancelKind::Finished));
        assert_eq!(kind(&parent), None);
    }
}

#[test]
fn next_does_not_cancel_at_none_but_the_drop_does() {
    let (context, mut group) = ErrGroup::<(), Fail>::with_context(&CancelContext::new());
    group.spawn(ready(Err("no".into())));
    assert_eq!(run(group.next()), Some(Err("no".into())));
    assert_eq!(kind(&context), None);
    assert_eq!(run(group.next()), None);
    assert_eq!(kind(&context), None);
    drop(group);
    assert_eq!(kind(&context), Some(CancelKind::Finished));
}

#[test]
fn ready_and_drive_of_an_empty_group_do_not_finish_it() {
    let (context, mut group) = ErrGroup::<(), Fail>::with_context(&CancelContext::new());
    group.spawn(ready(Ok(())));
    assert!(run(group.ready()));
    assert_eq!(run(group.drive(ready(()))), Some(()));
    assert!(group.is_empty());
    assert_eq!(kind(&context), None);
    group.spawn(ready(Ok(())));
    assert_eq!(run(group.collect()).unwrap().len(), 2);
}

#[test]
fn an_error_in_first_ok_next_and_results_cancels_nothing() {
    let root = Root::new();
    for way in 0..3 {
        let (context, mut group) = ErrGroup::<(), Fail>::with_context(&CancelContext::new());
        group.spawn(ready(Err("no".into())));
        group.spawn(pending());
        let mut rest: Pin<Box<dyn Future<Output = ()>>> = match way {
            0 => Box::pin(async move { _ = group.first_ok().await }),
            1 => Box::pin(async move { while group.next().await.is_some() {} }),
            _ => Box::pin(async move {
                futures::StreamExt::count(group.results()).await;
            }),
        };
        assert!(root.poll(&mut rest).is_pending());
        assert_eq!(kind(&context), None);
        drop(rest);
        assert_eq!(kind(&context), Some(CancelKind::Finished));
    }
}

#[test]
fn somebody_elses_cancel_does_nothing_to_a_group_without_grace() {
    let root = Root::new();
    let probe = Probe::<Unit>::new();
    let parent = CancelContext::new();
    let (context, mut group) = ErrGroup::with_context(&parent);
    group.spawn(probe.task());
    assert!(root.poll(&mut group).is_pending());
    parent.cancel();
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(kind(&context), Some(CancelKind::Cancelled));
    assert!(group.try_spawn(ready(Ok(()))).is_ok());
    assert!(root.poll(&mut group).is_pending());
    assert!(!probe.is_dropped());
    probe.finish(Ok(()));
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
}

#[test]
fn the_failure_is_there_before_the_context_is_cancelled() {
    // As in Go: a sibling that hears of the cancellation and reports it cannot be the failure.
    let (context, mut group) = ErrGroup::<(), Fail>::with_context(&CancelContext::new());
    for _ in 0..100 {
        let context = context.clone();
        group.spawn(async move { Err(context.cancelled().await.into()) });
    }
    group.spawn(ready(Err("no".into())));
    assert_eq!(run(group), Err("no".into()));
}

// C6

#[test]
fn the_cause_is_made_of_the_error_that_cancelled() {
    let (context, group) = ErrGroup::<(), Fail>::with_context(&CancelContext::new());
    let mut group = group.cause_from(|error| format!("{error:?}").into());
    let seen = context.clone();
    group.spawn(async move {
        let reason = seen.cancelled().await;
        assert_eq!(reason.kind(), CancelKind::TaskFailed);
        assert_eq!(reason.cause().unwrap().to_string(), "Text(\"first\")");
        Err("second".into())
    });
    group.spawn(ready(Err("first".into())));
    assert_eq!(run(group), Err("first".into()));
    let reason = context.reason().unwrap();
    assert_eq!(reason.cause().unwrap().to_string(), "Text(\"first\")");
}

#[test]
fn the_cause_is_made_once_of_the_first_error() {
    // C6, and the docs: it is called once, with the first error.
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let (context, group) = ErrGroup::<(), &str>::with_context(&CancelContext::new());
    let mut group = group.cause_from(|error: &&str| {
        CALLS.fetch_add(1, SeqCst);
        (*error).into()
    });
    for text in ["a", "b", "c"] {
        group.spawn(ready(Err(text)));
    }
    assert_eq!(run(group.wait_all()).unwrap_err().len(), 3);
    assert_eq!(context.reason().unwrap().cause().unwrap().to_string(), "a");
    assert_eq!(CALLS.load(SeqCst), 1);
}

#[test]
fn no_cause_is_made_where_errors_cancel_nothing() {
    let (context, group) = ErrGroup::<(), &str>::with_context(&CancelContext::new());
    let mut group = group.cause_from(|_| unreachable!());
    group.spawn(ready(Err("a")));
    group.spawn(ready(Err("b")));
    assert_eq!(run(group.next()), Some(Err("a")));
    assert_eq!(run(group.first_ok()).unwrap_err().len(), 1);
    assert!(context.reason().unwrap().cause().is_none());
}

#[test]
#[cfg(feature = "std")] // Otherwise nothing can be caught on the way.
fn a_cause_from_that_panics_cancels_the_context_all_the_same() {
    // P1: the siblings wait for it, and would wait for ever.
    let root = Root::new();
    let (context, group) = ErrGroup::<(), &str>::with_context(&CancelContext::new());
    let mut group = group.cause_from(|_| panic!("no cause"));
    let seen = context.clone();
    group.spawn(async move {
        seen.cancelled().await;
        Ok(())
    });
    group.spawn(ready(Err("no")));
    let unwound = catch_unwind(AssertUnwindSafe(|| root.poll(&mut group)));
    assert!(unwound.is_err());
    assert_eq!(kind(&context), Some(CancelKind::TaskFailed));
    assert_eq!(root.run(&mut group).0, Err("no"));
}

// G1

#[test]
fn the_grace_is_made_only_when_the_context_is_cancelled() {
    let root = Root::new();
    let (context, mut group, grace, made) = with_grace(&CancelContext::new());
    group.spawn(pending());
    for _ in 0..3 {
        assert!(root.poll(&mut group).is_pending());
    }
    assert_eq!(made.load(SeqCst), 0);
    context.cancel();
    assert_eq!((made.load(SeqCst), root.wakes()), (0, 1));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((made.load(SeqCst), grace.polls(), root.wakes()), (1, 1, 0));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(made.load(SeqCst), 1);
}

#[test]
fn each_kind_of_cancel_but_finished_makes_the_grace() {
    let root = Root::new();
    for way in 0..5 {
        let deadline = Probe::<()>::new();
        let parent = CancelContext::new().with_deadline(deadline.task());
        let (context, mut group, grace, made) = with_grace(&parent);
        let fails = Probe::<Unit>::new();
        group.spawn(fails.task());
        group.spawn(pending());
        assert!(root.poll(&mut group).is_pending());
        let expected = match way {
            0 => {
                fails.finish(Err("no".into()));
                Fail::Text("no")
            }
            1 => {
                parent.cancel();
                cancelled(CancelKind::Cancelled)
            }
            2 => {
                context.cancel_with("because");
                cancelled(CancelKind::Cancelled)
            }
            3 => {
                deadline.finish(());
                cancelled(CancelKind::DeadlineExceeded)
            }
            _ => {
                // A task cancels the context of its own group.
                let context = context.clone();
                group.spawn(async move {
                    context.cancel();
                    pending().await
                });
                cancelled(CancelKind::Cancelled)
            }
        };
        root.poll(&mut group).is_pending().then_some(()).unwrap();
        while root.wakes() > 0 {
            assert!(root.poll(&mut group).is_pending());
        }
        assert_eq!(made.load(SeqCst), 1, "way {way}");
        grace.finish(());
        assert_eq!(root.wakes(), 1);
        assert_eq!(root.poll(&mut group), Poll::Ready(Err(expected)));
        assert!(group.is_empty());
    }
}

#[test]
fn a_deadline_of_the_parent_is_polled_by_the_group() {
    // C3: nobody else polls it.
    let root = Root::new();
    let deadline = Probe::<()>::new();
    let parent = CancelContext::new().with_deadline(deadline.task());
    let (_context, mut group, grace, made) = with_grace(&parent);
    group.spawn(pending());
    assert!(root.poll(&mut group).is_pending());
    assert!(deadline.polls() > 0);
    deadline.finish(());
    assert!(root.wakes() > 0);
    grace.set(());
    let reason = cancelled(CancelKind::DeadlineExceeded);
    assert_eq!(root.poll(&mut group), Poll::Ready(Err(reason)));
    assert_eq!((made.load(SeqCst), deadline.drops()), (1, 1));
}

#[test]
fn a_cancel_by_finished_makes_no_grace() {
    for drops in [false, true] {
        let (context, mut group, _, made) = with_grace(&CancelContext::new());
        group.spawn(ready(Ok(())));
        if drops {
            drop(group);
        } else {
            let root = Root::new();
            assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
            assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
            assert_eq!(kind(&context), None);
            assert_eq!(run(group.collect()), Ok(vec![]));
        }
        assert_eq!(kind(&context), Some(CancelKind::Finished));
        assert_eq!(made.load(SeqCst), 0);
    }
}

#[test]
fn a_parent_whose_own_group_has_finished_makes_no_grace() {
    let root = Root::new();
    let (outer, outer_group) = ErrGroup::<(), Fail>::with_context(&CancelContext::new());
    let (_context, mut group, _, made) = with_grace(&outer);
    let probe = Probe::<Unit>::new();
    group.spawn(probe.task());
    drop(outer_group);
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(made.load(SeqCst), 0);
    probe.finish(Ok(()));
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
}

#[test]
fn the_grace_is_polled_in_every_poll_also_when_the_budget_is_spent() {
    let root = Root::new();
    let polls = Arc::new(AtomicUsize::new(0));
    let (context, mut group, grace, _) = with_grace(&CancelContext::new());
    group.extend((0..1_000).map(|_| restless(&polls)));
    assert!(root.poll(&mut group).is_pending());
    context.cancel();
    for round in 1..20 {
        assert!(root.poll(&mut group).is_pending());
        assert_eq!(grace.polls(), round);
    }
    // R2: no poll spans two rounds, of which one has 1,000 polls.
    assert!(
        (4_900..=20 * 256).contains(&polls.load(SeqCst)),
        "{polls:?}"
    );
    // Outcomes that `next` gave have spent the budget.
    let mut given = 0;
    group.extend((0..1_000).map(|_| ready(Ok(()))));
    for _ in 0..40 {
        let before = grace.polls();
        given += usize::from(root.poll_new(group.next()).is_ready());
        assert_eq!(grace.polls(), before + 1);
    }
    assert!(given > 0);
    grace.set(());
    let _ = root.poll_new(group.next());
    assert!(group.is_empty());
}

#[test]
fn a_grace_that_wakes_itself_is_polled_once_per_poll() {
    let root = Root::new();
    let polls = Arc::new(AtomicUsize::new(0));
    let counted = polls.clone();
    let (context, mut group) =
        ErrGroup::<(), Fail>::with_grace(&CancelContext::new(), move || restless::<()>(&counted));
    group.spawn(pending());
    context.cancel();
    for round in 1..10 {
        assert!(root.poll(&mut group).is_pending());
        assert_eq!((polls.load(SeqCst), root.wakes()), (round, 1));
    }
}

#[test]
fn the_end_of_the_grace_drops_everything() {
    let root = Root::new();
    let probes = probes::<Unit>(200);
    let (context, group, grace, _) = with_grace(&CancelContext::new());
    let mut group = group.limit(100);
    let spawner = group.spawner();
    group.extend(probes[..150].iter().map(Probe::task));
    assert!(root.poll(&mut group).is_pending());
    context.cancel();
    assert!(root.poll(&mut group).is_pending());
    // Woken, queued, in the inbox: it is all the same.
    probes[..10].iter().for_each(Probe::wake);
    probes[150..]
        .iter()
        .for_each(|probe| spawner.spawn(probe.task()));
    grace.finish(());
    assert_eq!(
        root.poll(&mut group),
        Poll::Ready(Err(cancelled(CancelKind::Cancelled)))
    );
    assert!(probes.iter().all(|probe| probe.drops() == 1));
    assert!(probes[..100].iter().all(|probe| probe.polls() == 1));
    assert!(probes[100..].iter().all(|probe| probe.polls() == 0));
    assert_eq!(grace.drops(), 1);
}

#[test]
fn nothing_is_accepted_after_the_grace_until_the_result_is_out() {
    let root = Root::new();
    let (context, mut group, grace, _) = with_grace(&CancelContext::new());
    let spawner = group.spawner();
    let child = Probe::<Unit>::new();
    let (inner, spawned) = (spawner.clone(), child.clone());
    let guard = OnDrop(move || inner.spawn(spawned.task()));
    group.spawn(async move {
        let _guard = guard;
        pending().await
    });
    assert!(root.poll(&mut group).is_pending());
    context.cancel();
    assert!(root.poll(&mut group).is_pending());
    // While the grace lasts, tasks may still come.
    assert!(!spawner.is_closed());
    group.spawn(pending());
    grace.finish(());
    assert_eq!(
        root.poll_new(group.drive(pending::<()>())),
        Poll::Ready(None)
    );
    assert!(spawner.is_closed());
    spawner.spawn(child.task());
    assert!(group.try_spawn(child.task()).is_err());
    assert_eq!((child.polls(), child.drops()), (0, 3));
    assert_eq!(
        root.poll(&mut group),
        Poll::Ready(Err(cancelled(CancelKind::Cancelled)))
    );
}

#[test]
fn a_failure_before_the_end_of_the_grace_stays_the_result() {
    let root = Root::new();
    for before_cancel in [false, true] {
        let (context, mut group, grace, _) = with_grace(&CancelContext::new());
        let fails = Probe::<Unit>::new();
        group.spawn(pending());
        group.spawn(fails.task());
        assert!(root.poll(&mut group).is_pending());
        if before_cancel {
            fails.finish(Err("mine".into()));
            assert!(root.poll(&mut group).is_pending());
        } else {
            context.cancel();
            assert!(root.poll(&mut group).is_pending());
            fails.finish(Err("mine".into()));
            assert!(root.poll(&mut group).is_pending());
        }
        grace.finish(());
        assert_eq!(root.poll(&mut group), Poll::Ready(Err("mine".into())));
    }
}

#[test]
fn a_failure_in_wait_all_is_the_first_error_and_dropped_tasks_follow() {
    let root = Root::new();
    let (_context, mut group, grace, _) = with_grace(&CancelContext::new());
    group.spawn(pending());
    group.spawn(ready(Err("mine".into())));
    group.spawn(pending());
    let mut all = Box::pin(group.wait_all());
    assert!(root.poll(&mut all).is_pending());
    grace.finish(());
    let Poll::Ready(Err(errors)) = root.poll(&mut all) else {
        panic!("it failed")
    };
    assert_eq!(errors.first(), Some(&Fail::Text("mine")));
    let dropped = cancelled(CancelKind::TaskFailed);
    assert_eq!(
        errors.into_vec(),
        [(0, dropped.clone()), (1, "mine".into()), (2, dropped)]
    );
}

#[test]
fn next_yields_what_was_kept_and_then_the_dropped_tasks() {
    let root = Root::new();
    let (context, group, grace, _) = with_grace(&CancelContext::new());
    let mut group = group.keep_going();
    let probes = probes::<Unit>(4);
    group.extend(probes.iter().map(Probe::task));
    assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
    probes[3].finish(Ok(()));
    probes[2].finish(Err("mine".into()));
    assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
    assert_eq!(kind(&context), Some(CancelKind::TaskFailed));
    grace.finish(());
    let mut outcomes = Vec::new();
    while let Poll::Ready(Some(outcome)) = root.poll_new(group.next()) {
        outcomes.push(outcome);
    }
    let dropped = Err(cancelled(CancelKind::TaskFailed));
    assert_eq!(outcomes.len(), 4);
    assert!(outcomes[..2].contains(&Ok(())) && outcomes[..2].contains(&Err("mine".into())));
    assert_eq!(outcomes[2..], [dropped.clone(), dropped]);
    assert_eq!(root.poll_new(group.next()), Poll::Ready(None));
    assert!(probes.iter().all(|probe| probe.drops() == 1));
}

#[test]
fn a_parent_that_was_cancelled_before_the_group_was_polled() {
    let root = Root::new();
    let parent = CancelContext::new();
    parent.cancel();
    let (context, mut group, grace, made) = with_grace(&parent);
    assert_eq!(kind(&context), Some(CancelKind::Cancelled));
    assert_eq!(made.load(SeqCst), 0);
    let probe = Probe::<Unit>::new();
    group.spawn(probe.task());
    group.spawn(pending());
    assert!(root.poll(&mut group).is_pending());
    // Tasks start, and see it.
    assert_eq!((made.load(SeqCst), grace.polls(), probe.polls()), (1, 1, 1));
    probe.finish(Ok(()));
    assert!(root.poll(&mut group).is_pending());
    grace.finish(());
    assert_eq!(
        root.poll(&mut group),
        Poll::Ready(Err(cancelled(CancelKind::Cancelled)))
    );
}

#[test]
fn a_grace_that_is_ready_at_once_drops_everything_in_the_same_poll() {
    let root = Root::new();
    // The parent was cancelled before: nothing starts.
    let parent = CancelContext::new();
    parent.cancel();
    let probe = Probe::<Unit>::new();
    let (_context, mut group) = ErrGroup::<(), Fail>::with_grace(&parent, || ready("any output"));
    group.spawn(probe.task());
    assert_eq!(
        root.poll(&mut group),
        Poll::Ready(Err(cancelled(CancelKind::Cancelled)))
    );
    assert_eq!((probe.polls(), probe.drops(), root.wakes()), (0, 1, 0));

    // A failure: it is as fast as a fail-fast group.
    let siblings = probes::<Unit>(100);
    let (context, mut group) =
        ErrGroup::<(), Fail>::with_grace(&CancelContext::new(), || ready(()));
    group.extend(siblings.iter().map(Probe::task));
    group.spawn(ready(Err("no".into())));
    assert_eq!(root.poll(&mut group), Poll::Ready(Err("no".into())));
    assert!(siblings.iter().all(|probe| probe.drops() == 1));
    assert_eq!(kind(&context), Some(CancelKind::TaskFailed));
}

#[test]
fn a_grace_that_is_over_with_no_task_left_leaves_a_good_result() {
    // Whatever the order: every task has succeeded.
    let root = Root::new();
    let (context, mut group, grace, _) = with_grace(&CancelContext::new());
    group.spawn(ready(Ok(())));
    assert_eq!(root.poll_new(group.drive(ready(()))), Poll::Ready(Some(())));
    context.cancel();
    grace.set(());
    let _ = root.poll_new(group.drive(pending::<()>()));
    assert_eq!(root.run(group.collect()).0, Ok(vec![()]));
}

#[test]
fn a_grace_that_panics_goes_out_of_the_poll_and_is_not_polled_again() {
    let root = Root::new();
    for in_poll in [false, true] {
        let probe = Probe::<Unit>::new();
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = polls.clone();
        let (context, mut group) =
            ErrGroup::<(), Fail>::with_grace(&CancelContext::new(), move || {
                counted.fetch_add(1, SeqCst);
                assert!(in_poll, "made");
                poll_fn(move |_| -> Poll<()> {
                    counted.fetch_add(1, SeqCst);
                    panic!("polled")
                })
            });
        group.spawn(probe.task());
        assert!(root.poll(&mut group).is_pending());
        context.cancel();
        let unwound = catch_unwind(AssertUnwindSafe(|| root.poll(&mut group)));
        assert!(unwound.is_err());
        let before = polls.load(SeqCst);
        assert!(root.poll(&mut group).is_pending());
        assert_eq!((polls.load(SeqCst), probe.drops()), (before, 0));
        probe.finish(Ok(()));
        assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
    }
}

#[test]
fn a_destructor_that_panics_at_the_end_of_the_grace_loses_no_outcome() {
    // P4
    let root = Root::new();
    let (context, group, grace, _) = with_grace(&CancelContext::new());
    let mut group = group.limit(3);
    let probes = probes::<Unit>(4);
    group.spawn(probes[0].task());
    let bomb = OnDrop(|| panic!("boom"));
    group.spawn(async move {
        let _bomb = bomb;
        pending().await
    });
    group.extend(probes[1..].iter().map(Probe::task));
    assert!(root.poll(&mut group).is_pending());
    context.cancel();
    grace.set(());
    let unwound = catch_unwind(AssertUnwindSafe(|| root.poll_new(group.next())));
    assert!(unwound.is_err());
    assert!(probes.iter().all(|probe| probe.drops() == 1));
    assert!(group.is_empty() && group.try_spawn(ready(Ok(()))).is_err());
    let outcomes = run(group.settle());
    assert_eq!(outcomes, vec![Err(cancelled(CancelKind::Cancelled)); 5]);
}

#[test]
fn the_grace_of_a_local_group_may_borrow_and_need_not_be_send() {
    let root = Root::new();
    let made = Cell::new(false);
    let count = Rc::new(Cell::new(0));
    let probe = Probe::<Unit>::new();
    let inner = count.clone();
    let (context, mut group) = LocalErrGroup::<(), Fail>::with_grace(&CancelContext::new(), || {
        made.set(true);
        async move {
            yields(3).await;
            inner.set(inner.get() + 1);
        }
    });
    group.spawn(probe.task());
    context.cancel();
    let (result, polls) = root.run(&mut group);
    assert_eq!(result, Err(cancelled(CancelKind::Cancelled)));
    assert_eq!(
        (polls, count.get(), made.get(), probe.drops()),
        (4, 1, true, 1)
    );
}

#[test]
fn the_grace_is_dropped_with_the_group() {
    let root = Root::new();
    let (context, mut group, grace, _) = with_grace(&CancelContext::new());
    group.spawn(pending());
    context.cancel();
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(grace.drops(), 0);
    drop(group);
    assert_eq!(grace.drops(), 1);
    grace.wake();
}

#[test]
fn an_error_does_not_poll_the_grace_more_than_once_in_a_poll_of_the_group() {
    // Not promised in so many words, but a grace that counts polls (a busy executor's yield) must
    // not run out because many tasks fail at once.
    let root = Root::new();
    let (context, mut group, grace, _) = with_grace(&CancelContext::new());
    group.extend((0..100).map(|_| ready(Err("no".into()))));
    group.spawn(pending());
    context.cancel();
    let mut all = Box::pin(group.settle());
    assert!(root.poll(&mut all).is_pending());
    assert_eq!(grace.polls(), 1);
}

#[test]
fn a_cancel_from_outside_wakes_the_parent() {
    let root = Root::new();
    let (context, mut group) = ErrGroup::<(), Fail>::with_context(&CancelContext::new());
    let listener = context.clone();
    group.spawn(async move {
        listener.cancelled().await;
        Ok(())
    });
    assert!(root.poll(&mut group).is_pending());
    context.cancel();
    assert!(root.wakes() >= 1);
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
    assert_eq!(root.wakes(), 0);
}

#[test]
fn nested_graceful_groups_come_to_their_end_one_after_the_other() {
    // The inner one has no grace of its own: it listens, and cleans up.
    let root = Root::new();
    let parent = CancelContext::new();
    let (outer_context, mut outer, grace, made) = with_grace(&parent);
    let cleaned = Arc::new(AtomicUsize::new(0));
    let told = cleaned.clone();
    outer.spawn(async move {
        let (context, mut inner) = ErrGroup::<(), Fail>::with_context(&outer_context);
        inner.spawn(async move {
            let reason = context.cancelled().await;
            yields(2).await;
            told.fetch_add(1, SeqCst);
            Err(reason.into())
        });
        inner.await
    });
    assert!(root.poll(&mut outer).is_pending());
    parent.cancel();
    assert_eq!(
        root.run(&mut outer).0,
        Err(cancelled(CancelKind::Cancelled))
    );
    assert_eq!(
        (cleaned.load(SeqCst), made.load(SeqCst), grace.drops()),
        (1, 1, 0)
    );
}

#[test]
fn the_grace_is_polled_in_a_poll_that_has_no_budget_at_all() {
    let root = Root::new();
    let (context, mut group, grace, _) = with_grace(&CancelContext::new());
    group.extend((0..300).map(|_| ready(Ok(()))));
    context.cancel();
    for call in 1..=256 {
        assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Ok(()))));
        assert_eq!(grace.polls(), call);
    }
    assert!(root.poll_new(group.next()).is_pending());
    assert_eq!(grace.polls(), 257);
    for _ in 0..44 {
        assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Ok(()))));
    }
    assert_eq!(root.poll_new(group.next()), Poll::Ready(None));
}

// H6: it was not polled since, as the poll that saw the abort ended with another outcome.
#[test]
fn an_aborted_task_that_is_still_there_when_the_grace_is_over_has_no_outcome() {
    let root = Root::new();
    let parent = CancelContext::new();
    let (grace, first) = (Probe::<()>::new(), Probe::<Result<(), Fail>>::new());
    let (_, mut group) = ErrGroup::with_grace(&parent, || grace.task());
    group.spawn(first.task());
    let handle = group.spawn_abortable(pending());
    assert!(root.poll_new(group.next_indexed()).is_pending());
    parent.cancel();
    assert!(root.poll_new(group.next_indexed()).is_pending());
    handle.abort();
    first.finish(Ok(()));
    let next = root.poll_new(group.next_indexed());
    assert_eq!(next, Poll::Ready(Some((0, Ok(())))));
    grace.finish(());
    assert_eq!(root.poll_new(group.next_indexed()), Poll::Ready(None));
    assert!(handle.is_finished());
}
