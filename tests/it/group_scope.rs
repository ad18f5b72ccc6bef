//! `Group::scope`: scopes with a limit, a grace, `catch_panics`, `keep_going`.

use std::cell::{Cell, RefCell};
use std::future::{pending, ready};
use std::task::Poll;

use crate::common::{Fail, Probe, Root, probes, run, yields};
#[cfg(feature = "std")]
use crate::common::{OnDrop, panics};
use errgroup::{CancelContext, CancelKind, ErrGroup, ErrSpawner, LocalErrGroup, LocalErrSpawner};

type Unit = Result<(), Fail>;

fn group<'env>() -> ErrGroup<'env, (), Fail> {
    ErrGroup::new()
}

// R13

#[test]
fn the_body_gives_the_value_when_all_has_ended() {
    let root = Root::new();
    let text = String::from("text");
    let task = Probe::<Unit>::new();
    let mut scope = Box::pin(group().scope(async |s: ErrSpawner<'_, (), Fail>| {
        s.spawn(task.task());
        s.spawn(async {
            assert_eq!(text.len(), 4);
            Ok(())
        });
        Ok(7)
    }));
    assert_eq!(task.polls(), 0);
    while root.poll(&mut scope).is_pending() && root.wakes() > 0 {}
    assert_eq!(task.polls(), 1);
    task.finish(Ok(()));
    assert_eq!(root.poll(&mut scope), Poll::Ready(Ok(7)));
}

#[test]
fn tasks_that_were_spawned_before_belong_to_it() {
    let mut group = ErrGroup::<(), Fail>::new();
    let before = Probe::<Unit>::new();
    group.spawn(before.task());
    before.set(Err("before".into()));
    let result = run(group.scope(async |_: ErrSpawner<'_, (), Fail>| pending::<Unit>().await));
    assert_eq!(result, Err("before".into()));
}

#[test]
fn a_limit_holds_in_a_scope_and_its_body_does_not_count() {
    let most = Cell::new(0);
    let running = Cell::new(0);
    let (most, running) = (&most, &running);
    let result = run(LocalErrGroup::<(), Fail>::new().limit(2).scope(
        async |s: LocalErrSpawner<'_, (), Fail>| {
            for _ in 0..10 {
                s.spawn(async {
                    running.set(running.get() + 1);
                    most.set(most.get().max(running.get()));
                    yields(2).await;
                    running.set(running.get() - 1);
                    Ok(())
                });
            }
            // It runs on beside them.
            yields(3).await;
            assert_eq!(s.running(), 2);
            Ok(s.current_limit())
        },
    ));
    assert_eq!(result, Ok(2));
    assert_eq!(most.get(), 2);
}

#[test]
fn a_body_may_wait_for_room() {
    let started = RefCell::new(Vec::new());
    let started = &started;
    let result = run(LocalErrGroup::<(), Fail>::new().limit(2).scope(
        async |s: LocalErrSpawner<'_, (), Fail>| {
            for number in 0..10 {
                assert!(s.ready().await);
                assert!(s.len() < 2);
                s.spawn(async move {
                    started.borrow_mut().push(number);
                    yields(1).await;
                    Ok(())
                });
            }
            Ok(())
        },
    ));
    assert_eq!(result, Ok(()));
    assert_eq!(*started.borrow(), Vec::from_iter(0..10));
}

#[test]
fn a_body_has_no_index_and_is_not_listed() {
    let result = run(group().scope(async |s: ErrSpawner<'_, (), Fail>| {
        assert_eq!((s.running(), s.queued(), s.len()), (0, 0, 0));
        let handle = s.spawn_with_handle(ready(Ok(1)));
        assert_eq!(handle.index(), 0);
        handle.await.map_err(Fail::from)
    }));
    assert_eq!(result, Ok(1));
}

#[test]
fn the_first_error_drops_siblings_and_body_whoever_fails() {
    for body_fails in [false, true] {
        let root = Root::new();
        let siblings = probes::<Unit>(3);
        let body = Probe::<Unit>::new();
        let failing = Probe::<Unit>::new();
        let mut scope = Box::pin(group().limit(3).scope(async |s: ErrSpawner<'_, (), Fail>| {
            s.spawn(failing.task());
            siblings.iter().for_each(|sibling| s.spawn(sibling.task()));
            body.task().await
        }));
        while root.poll(&mut scope).is_pending() && root.wakes() > 0 {}
        let cause = if body_fails { &body } else { &failing };
        cause.finish(Err("no".into()));
        assert_eq!(root.poll(&mut scope), Poll::Ready(Err("no".into())));
        assert!(siblings.iter().all(Probe::is_dropped) && body.is_dropped());
        // One is queued.
        assert_eq!(siblings[2].polls(), 0);
    }
}

#[test]
fn in_a_keep_going_scope_everything_runs_then_the_first_error_is_given() {
    for body_fails in [false, true] {
        let ran = Cell::new(0);
        let ran = &ran;
        let scope = LocalErrGroup::<(), Fail>::new().keep_going().scope(
            async |s: LocalErrSpawner<'_, (), Fail>| {
                for number in 0..3 {
                    s.spawn(async move {
                        yields(number).await;
                        ran.set(ran.get() + 1);
                        Err("task".into())
                    });
                }
                if body_fails {
                    Err("body".into())
                } else {
                    Ok(())
                }
            },
        );
        let expected = if body_fails { "body" } else { "task" };
        assert_eq!(run(scope), Err(expected.into()));
        assert_eq!(ran.get(), 3);
    }
}

#[cfg(feature = "std")]
#[test]
fn panics_of_tasks_and_of_the_body_are_errors_if_they_are_caught() {
    for body_panics in [false, true] {
        let result = run(group()
            .catch_panics()
            .scope(async |s: ErrSpawner<'_, (), Fail>| {
                s.spawn(async move {
                    assert!(body_panics, "boom");
                    pending().await
                });
                yields(2).await;
                assert!(!body_panics, "boom");
                pending::<Unit>().await
            }));
        assert_eq!(result, Err(Fail::Panicked("boom".into())));
    }
}

// R13, P3
#[cfg(feature = "std")]
#[test]
fn a_panic_in_calling_the_body_is_not_caught() {
    let scope = group()
        .catch_panics()
        .scope(|_| -> std::future::Ready<Unit> { panic!("called") });
    assert_eq!(panics(|| run(scope)), "called");
}

#[test]
fn a_scope_with_a_grace_ends_when_that_is_over() {
    let root = Root::new();
    let parent = CancelContext::new();
    let grace = Probe::<()>::new();
    let task = grace.task();
    let (context, group) = ErrGroup::<(), Fail>::with_grace(&parent, || task);
    let body = Probe::<Unit>::new();
    let mut scope = Box::pin(group.scope(async |s: ErrSpawner<'_, (), Fail>| {
        s.spawn(pending());
        body.task().await
    }));
    while root.poll(&mut scope).is_pending() && root.wakes() > 0 {}
    parent.cancel();
    assert!(root.poll(&mut scope).is_pending());
    assert!(!body.is_dropped());
    grace.finish(());
    let reason = Fail::Cancelled(CancelKind::Cancelled);
    assert_eq!(root.poll(&mut scope), Poll::Ready(Err(reason)));
    assert!(body.is_dropped());
    assert_eq!(context.reason().unwrap().kind(), CancelKind::Cancelled);
}

#[test]
fn a_graceful_scope_waits_for_its_tasks_after_the_first_error() {
    let cleaned = Cell::new(0);
    let (context, group) = LocalErrGroup::<(), Fail>::with_context(&CancelContext::new());
    let (context, cleaned) = (&context, &cleaned);
    let result = run(group.scope(async |s: LocalErrSpawner<'_, (), Fail>| {
        s.spawn(async {
            context.cancelled().await;
            yields(2).await;
            cleaned.set(cleaned.get() + 1);
            Ok(())
        });
        s.spawn(ready(Err("no".into())));
        context.cancelled().await;
        cleaned.set(cleaned.get() + 1);
        Ok(())
    }));
    assert_eq!(result, Err("no".into()));
    assert_eq!(cleaned.get(), 2);
}

#[test]
fn on_a_group_that_has_failed_it_gives_that_failure_and_polls_no_body() {
    let mut group = group();
    group.spawn(ready(Err("before".into())));
    assert!(!run(group.ready()));
    let scope = group.scope(|_| {
        // Made or not, it is not polled.
        std::future::poll_fn(|_| -> Poll<Unit> { panic!("polled") })
    });
    assert_eq!(run(scope), Err("before".into()));
}

#[cfg(feature = "std")]
#[test]
fn on_a_group_whose_grace_was_over_in_a_poll_that_panicked_it_polls_no_body() {
    let parent = CancelContext::new();
    let (_context, mut group) = ErrGroup::with_grace(&parent, || ready(()));
    let bomb = OnDrop(|| panic!("boom"));
    group.spawn(async move {
        let _bomb = bomb;
        pending().await
    });
    parent.cancel();
    assert_eq!(panics(|| run(group.ready())), "boom");
    let scope = group.scope(|_| std::future::poll_fn(|_| -> Poll<Unit> { panic!("polled") }));
    assert_eq!(run(scope), Err(Fail::Cancelled(CancelKind::Cancelled)));
}

#[test]
fn on_a_fail_fast_group_whose_failure_was_handed_over_it_is_as_on_a_new_one() {
    let mut group = group();
    group.spawn(ready(Err("before".into())));
    assert!(!run(group.ready()));
    assert_eq!(run(&mut group), Err("before".into()));
    let result = run(group.scope(async |s: ErrSpawner<'_, (), Fail>| {
        let handle = s.spawn_with_handle(ready(Ok(7)));
        handle.await.map_err(Fail::from)
    }));
    assert_eq!(result, Ok(7));
}

#[test]
fn on_a_closed_group_the_body_runs_and_its_spawns_are_refused() {
    let (context, mut group) = ErrGroup::<(), Fail>::with_context(&CancelContext::new());
    context.cancel();
    assert_eq!(run(group.next()), None);
    assert!(group.is_closed());
    let task = Probe::<Unit>::new();
    let result = run(group.scope(async |s: ErrSpawner<'_, (), Fail>| {
        assert!(s.is_closed() && !s.ready().await);
        s.spawn(task.task());
        assert!(task.is_dropped());
        assert!(!s.try_spawn(ready(Ok(()))).unwrap_err().is_full());
        Ok(7)
    }));
    assert_eq!(result, Ok(7));
    assert_eq!(task.polls(), 0);
}

#[test]
fn abort_all_spares_the_body_and_what_is_spawned_later() {
    let before = probes::<Unit>(3);
    let result = run(group().limit(2).scope(async |s: ErrSpawner<'_, (), Fail>| {
        before.iter().for_each(|task| s.spawn(task.task()));
        yields(2).await;
        s.abort_all();
        let after = s.spawn_with_handle(async {
            yields(2).await;
            Ok(7)
        });
        yields(1).await;
        assert!(before.iter().all(Probe::is_dropped));
        after.await.map_err(Fail::from)
    }));
    assert_eq!(result, Ok(7));
    assert_eq!(before[2].polls(), 0);
}

#[test]
fn a_body_ends_its_scope_early_and_well() {
    let result = run(group().scope(async |s: ErrSpawner<'_, (), Fail>| {
        s.spawn(pending());
        s.spawn_background(pending());
        yields(1).await;
        s.abort_all();
        Ok("found")
    }));
    assert_eq!(result, Ok("found"));
}

#[test]
fn a_scope_that_is_dropped_drops_everything() {
    let root = Root::new();
    let (task, body) = (Probe::<Unit>::new(), Probe::<Unit>::new());
    let mut scope = Box::pin(group().scope(async |s: ErrSpawner<'_, (), Fail>| {
        s.spawn(task.task());
        body.task().await
    }));
    while root.poll(&mut scope).is_pending() && root.wakes() > 0 {}
    drop(scope);
    assert_eq!((task.drops(), body.drops()), (1, 1));
}

#[test]
fn a_scope_that_is_never_polled_runs_no_body() {
    // R1
    let scope = group().scope(|_| -> std::future::Ready<Unit> { panic!("made") });
    drop(scope);
}

/// Polls a graceful group until it has failed, without an error that is still to be handed over.
fn failed_and_handed_over<'env>(grace: bool) -> ErrGroup<'env, (), Fail> {
    let root = Root::new();
    let parent = CancelContext::new();
    if grace {
        let (_, mut group) = ErrGroup::with_grace(&parent, || ready(()));
        parent.cancel();
        assert_eq!(root.poll_new(group.ready()), Poll::Ready(false));
        group
    } else {
        let (_, mut group) = ErrGroup::with_context(&parent);
        group.spawn(async { Err(Fail::Text("one")) });
        assert_eq!(root.poll_new(group.ready()), Poll::Ready(false));
        let next = root.poll_new(group.next());
        assert_eq!(next, Poll::Ready(Some(Err(Fail::Text("one")))));
        group
    }
}

// R13
#[test]
fn the_body_runs_if_the_group_has_failed_and_no_failure_is_left_to_give() {
    for grace in [false, true] {
        let result = run(failed_and_handed_over(grace).scope(
            async |s: ErrSpawner<'_, (), Fail>| {
                assert!(s.try_spawn(ready(Ok(()))).is_err());
                Ok(7)
            },
        ));
        assert_eq!(result, Ok(7));
    }
}

// R13
#[test]
fn an_error_of_that_body_is_the_one_of_the_scope() {
    for grace in [false, true] {
        let result: Result<(), _> =
            run(failed_and_handed_over(grace).scope(async |_| Err(Fail::Text("two"))));
        assert_eq!(result, Err(Fail::Text("two")));
    }
}
