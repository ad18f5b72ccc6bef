//! Scopes: the body is polled as one of the tasks, and everything ends together.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use crate::common::{Fail, OnDrop, Probe, ProbeTask, Root, panics, probes, restless, run, yields};
use errgroup::{
    CancelContext, CancelKind, ErrSpawner, LocalErrSpawner, Semaphore, TaskHandle, local_scope,
    local_scope_in, scope, scope_in,
};
use futures::future::{Either, FutureExt, join, select};
use futures::stream::{FuturesUnordered, StreamExt};

type Unit = Result<(), &'static str>;
type Escaped<E> = Mutex<Option<ErrSpawner<'static, (), E>>>;

fn escaped<E>() -> Arc<Escaped<E>> {
    Arc::new(Mutex::new(None))
}

fn get<E>(escaped: &Escaped<E>) -> ErrSpawner<'static, (), E> {
    escaped.lock().unwrap().clone().expect("the body has run")
}

// R13: how a scope begins and ends

#[test]
fn the_body_is_called_only_when_the_scope_is_polled() {
    let called = AtomicBool::new(false);
    let body = async |_: ErrSpawner<'_, (), ()>| {
        called.store(true, SeqCst);
        Ok(())
    };
    let unpolled = scope(body);
    assert!(!called.load(SeqCst));
    drop(unpolled);
    assert!(!called.load(SeqCst));
    assert_eq!(run(scope(body)), Ok(()));
    assert!(called.load(SeqCst));
}

#[test]
fn the_body_of_a_graceful_scope_is_called_only_when_the_scope_is_polled() {
    let called = AtomicBool::new(false);
    let parent = CancelContext::new();
    let unpolled = scope_in(
        &parent,
        pending::<()>,
        async |_: ErrSpawner<'_, (), Fail>, _| {
            called.store(true, SeqCst);
            Ok(())
        },
    );
    assert!(!called.load(SeqCst));
    drop(unpolled);
    assert!(!called.load(SeqCst));
    assert!(!parent.is_cancelled());
}

#[test]
fn what_a_body_has_captured_is_dropped_with_a_scope_that_was_never_polled() {
    let captured = Arc::new(());
    let held = captured.clone();
    let unpolled = scope(async move |_: ErrSpawner<'_, (), ()>| {
        let _held = held;
        Ok(())
    });
    drop(unpolled);
    assert_eq!(Arc::strong_count(&captured), 1);
}

#[test]
fn a_scope_without_tasks_is_its_body() {
    let root = Root::new();
    let (result, polls) = root.run(scope(async |_: ErrSpawner<'_, (), ()>| Ok(7)));
    assert_eq!((result, polls), (Ok(7), 1));
    assert_eq!(root.wakes(), 0);
    assert_eq!(
        run(scope(async |_: ErrSpawner<'_, (), _>| Err::<(), _>("no"))),
        Err("no")
    );
}

#[test]
fn a_scope_whose_body_ends_first_waits_for_its_tasks() {
    let root = Root::new();
    let task = Probe::<Unit>::new();
    let mut scope = pin!(scope(async |s| {
        s.spawn(task.task());
        Ok("value")
    }));
    assert!(root.poll(&mut scope).is_pending());
    assert_eq!(task.polls(), 1);
    assert_eq!(root.wakes(), 0);
    assert!(root.poll(&mut scope).is_pending());
    assert_eq!(task.polls(), 1);
    task.finish(Ok(()));
    assert_eq!(root.wakes(), 1);
    assert_eq!(root.poll(&mut scope), Poll::Ready(Ok("value")));
    assert!(task.is_dropped());
}

#[test]
fn a_scope_whose_tasks_end_first_waits_for_its_body() {
    let root = Root::new();
    let (task, body) = (Probe::<Unit>::new(), Probe::<Result<u8, &str>>::new());
    let mut scope = pin!(scope(async |s| {
        s.spawn(task.task());
        body.task().await
    }));
    assert!(root.poll(&mut scope).is_pending());
    task.finish(Ok(()));
    assert!(root.poll(&mut scope).is_pending());
    assert!(task.is_dropped());
    body.finish(Ok(3));
    assert_eq!(root.poll(&mut scope), Poll::Ready(Ok(3)));
}

// R13
#[test]
fn a_body_is_not_counted_while_it_is_dropped() {
    let root = Root::new();
    for outcome in [Ok(7), Err("no")] {
        let counts = Arc::new(Mutex::new(Vec::new()));
        let theirs = counts.clone();
        let mut scope = Box::pin(scope(move |s: ErrSpawner<'static, (), &str>| {
            s.spawn(pending());
            let count = move || {
                theirs
                    .lock()
                    .unwrap()
                    .push((s.running(), s.queued(), s.len()))
            };
            let guard = OnDrop(count);
            let mut woken = false;
            poll_fn(move |cx| {
                let _held = &guard;
                if std::mem::replace(&mut woken, true) {
                    return Poll::Ready(outcome);
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            })
        }));
        while root.poll(&mut scope).is_pending() && counts.lock().unwrap().is_empty() {}
        assert_eq!(*counts.lock().unwrap(), [(1, 0, 1)], "{outcome:?}");
    }
}

#[test]
fn tasks_that_spawn_on_after_the_body_has_ended_are_waited_for() {
    fn chain<'env>(s: ErrSpawner<'env, (), ()>, left: usize, count: &'env AtomicUsize) {
        let spawner = s.clone();
        let next: Pin<Box<dyn Future<Output = Result<(), ()>> + Send + 'env>> =
            Box::pin(async move {
                yields(1).await;
                count.fetch_add(1, SeqCst);
                if left > 1 {
                    chain(spawner, left - 1, count);
                }
                Ok(())
            });
        s.spawn(next);
    }
    let count = AtomicUsize::new(0);
    run(scope(async |s: ErrSpawner<'_, (), ()>| {
        chain(s, 100, &count);
        Ok(())
    }))
    .unwrap();
    assert_eq!(count.load(SeqCst), 100);
}

#[test]
fn a_body_that_fails_drops_all_tasks_in_the_same_poll() {
    let root = Root::new();
    let (running, queued) = (probes::<Unit>(300), probes::<Unit>(5));
    let background = Probe::<Unit>::new();
    let body = Probe::<Unit>::new();
    let mut scope = pin!(scope(async |s| {
        s.set_limit(300);
        running.iter().for_each(|probe| s.spawn(probe.task()));
        queued.iter().for_each(|probe| s.spawn(probe.task()));
        s.spawn_background(background.task());
        body.task().await
    }));
    while running[299].polls() == 0 {
        assert!(root.poll(&mut scope).is_pending());
    }
    body.finish(Err("body"));
    assert_eq!(root.poll(&mut scope), Poll::Ready(Err("body")));
    assert!(running.iter().all(|probe| probe.drops() == 1));
    assert!(
        queued
            .iter()
            .all(|probe| probe.drops() == 1 && probe.polls() == 0)
    );
    assert_eq!(background.drops(), 1);
    assert_eq!(body.drops(), 1);
}

#[test]
fn a_body_that_fails_before_it_waits_starts_no_task() {
    let task = Probe::<Unit>::new();
    let result = run(scope(async |s| {
        s.spawn(task.task());
        Err::<(), _>("body")
    }));
    assert_eq!(result, Err("body"));
    assert_eq!((task.polls(), task.drops()), (0, 1));
}

#[test]
fn a_task_that_fails_while_the_body_waits_drops_the_body_in_the_same_poll() {
    let root = Root::new();
    let (task, other, body) = (
        Probe::<Unit>::new(),
        Probe::<Unit>::new(),
        Probe::<Unit>::new(),
    );
    let mut scope = pin!(scope(async |s| {
        s.spawn(other.task());
        s.spawn(task.task());
        body.task().await
    }));
    assert!(root.poll(&mut scope).is_pending());
    task.finish(Err("task"));
    assert_eq!(root.poll(&mut scope), Poll::Ready(Err("task")));
    assert_eq!((body.polls(), body.drops()), (1, 1));
    assert_eq!((other.polls(), other.drops()), (1, 1));
}

#[test]
fn a_task_that_fails_after_the_body_has_ended_drops_its_value() {
    let root = Root::new();
    let (task, value) = (Probe::<Unit>::new(), Arc::new(()));
    let held = value.clone();
    let mut scope = pin!(scope(async |s| {
        s.spawn(task.task());
        Ok(held)
    }));
    assert!(root.poll(&mut scope).is_pending());
    assert_eq!(Arc::strong_count(&value), 2);
    task.finish(Err("task"));
    assert!(matches!(root.poll(&mut scope), Poll::Ready(Err("task"))));
    assert_eq!(Arc::strong_count(&value), 1);
}

// R6
#[test]
fn the_error_of_a_scope_is_the_first_in_time() {
    let root = Root::new();
    let (first, second) = (Probe::<Unit>::new(), Probe::<Unit>::new());
    let body = Probe::<Unit>::new();
    let mut scope = pin!(scope(async |s| {
        s.spawn(first.task());
        s.spawn(second.task());
        body.task().await
    }));
    assert!(root.poll(&mut scope).is_pending());
    // The body is set to fail, too, but only the task is woken.
    body.set(Err("body"));
    second.finish(Err("second"));
    first.set(Err("first"));
    assert_eq!(root.poll(&mut scope), Poll::Ready(Err("second")));
}

#[test]
fn while_a_scope_is_dropping_its_body_it_takes_nothing() {
    let root = Root::new();
    let (task, refused) = (Probe::<Unit>::new(), Probe::<Unit>::new());
    let closed = AtomicBool::new(false);
    let mut scope = pin!(scope(async |s| {
        let spawner = s.clone();
        let late = refused.task();
        let mut late = Some(late);
        let _bomb = OnDrop(|| {
            closed.store(spawner.is_closed(), SeqCst);
            spawner.spawn(late.take().unwrap());
        });
        s.spawn(task.task());
        pending::<Unit>().await
    }));
    assert!(root.poll(&mut scope).is_pending());
    task.finish(Err("task"));
    assert_eq!(root.poll(&mut scope), Poll::Ready(Err("task")));
    assert!(closed.load(SeqCst));
    assert_eq!((refused.polls(), refused.drops()), (0, 1));
}

#[test]
fn a_spawner_that_outlives_its_scope_is_closed_however_that_ended() {
    let root = Root::new();
    for end in ["ok", "error", "drop"] {
        let spawner = escaped::<&str>();
        let (out, body) = (spawner.clone(), Probe::<Unit>::new());
        let inner = body.clone();
        let mut scope = Box::pin(scope(
            async move |s: ErrSpawner<'static, (), &'static str>| {
                *out.lock().unwrap() = Some(s);
                inner.task().await
            },
        ));
        assert!(root.poll(&mut scope).is_pending());
        assert!(!get(&spawner).is_closed());
        match end {
            "ok" => {
                body.finish(Ok(()));
                assert_eq!(root.poll(&mut scope), Poll::Ready(Ok(())));
            }
            "error" => {
                body.finish(Err("no"));
                assert_eq!(root.poll(&mut scope), Poll::Ready(Err("no")));
            }
            _ => {}
        }
        drop(scope);
        root.wakes();
        let late = Probe::<Unit>::new();
        get(&spawner).spawn(late.task());
        assert_eq!((late.polls(), late.drops()), (0, 1), "{end}");
        assert!(get(&spawner).is_closed(), "{end}");
        assert_eq!(root.wakes(), 0, "{end}");
    }
}

#[test]
fn a_scope_that_was_dropped_keeps_no_waker_of_its_parent() {
    let root = Root::new();
    let spawner = escaped::<()>();
    let kept: Arc<Mutex<Option<Waker>>> = Arc::default();
    let (out, waker) = (spawner.clone(), kept.clone());
    let mut scope = Box::pin(scope(async move |s: ErrSpawner<'static, (), ()>| {
        *out.lock().unwrap() = Some(s);
        poll_fn(|cx| {
            *waker.lock().unwrap() = Some(cx.waker().clone());
            Poll::<Result<(), ()>>::Pending
        })
        .await
    }));
    assert!(root.poll(&mut scope).is_pending());
    drop(scope);
    assert_eq!(
        root.clones(),
        0,
        "kept by a spawner or by a waker of the body"
    );
}

#[test]
fn a_scope_that_is_over_is_not_woken_by_its_spawners_or_its_body() {
    let root = Root::new();
    let spawner = escaped::<()>();
    let body = Probe::<Result<(), ()>>::new();
    let (out, inner) = (spawner.clone(), body.clone());
    let mut scope = Box::pin(scope(async move |s: ErrSpawner<'static, (), ()>| {
        *out.lock().unwrap() = Some(s);
        inner.task().await
    }));
    assert!(root.poll(&mut scope).is_pending());
    let late = body.waker();
    drop(scope);
    late.wake();
    assert_eq!(root.wakes(), 0, "by the waker of the body");
    get(&spawner).set_limit(2);
    assert_eq!(root.wakes(), 0, "by a change of the limit");
}

#[test]
fn a_scope_that_is_dropped_early_drops_everything() {
    let root = Root::new();
    let (running, queued, background, body) = (
        Probe::<Unit>::new(),
        Probe::<Unit>::new(),
        Probe::<Unit>::new(),
        Probe::<Unit>::new(),
    );
    let mut scope = Box::pin(scope(async |s| {
        s.set_limit(1);
        s.spawn(running.task());
        s.spawn(queued.task());
        s.spawn_background(background.task());
        let _handle = s.spawn_with_handle(queued.task());
        body.task().await
    }));
    assert!(root.poll(&mut scope).is_pending());
    assert_eq!(queued.polls(), 0);
    drop(scope);
    assert_eq!(running.drops(), 1);
    assert_eq!(queued.drops(), 2);
    assert_eq!(background.drops(), 1);
    assert_eq!(body.drops(), 1);
}

// R13: the limit

#[test]
fn the_body_does_not_count_for_the_limit() {
    let root = Root::new();
    let tasks = probes::<Unit>(2);
    let counts = Mutex::new(Vec::new());
    let mut scope = pin!(scope(async |s| {
        let note = |s: &ErrSpawner<'_, (), _>| {
            let counts_now = (s.running(), s.queued(), s.len());
            counts.lock().unwrap().push(counts_now);
        };
        note(&s);
        s.set_limit(1);
        assert!(s.try_spawn(tasks[0].task()).is_ok());
        note(&s);
        yields(1).await;
        note(&s);
        assert!(s.try_spawn(tasks[1].task()).unwrap_err().is_full());
        s.spawn(tasks[1].task());
        yields(1).await;
        note(&s);
        Ok(())
    }));
    while counts.lock().unwrap().len() < 4 {
        assert!(root.poll(&mut scope).is_pending());
    }
    assert_eq!(
        *counts.lock().unwrap(),
        [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)]
    );
    assert_eq!((tasks[0].polls(), tasks[1].polls()), (1, 0));
    tasks[0].finish(Ok(()));
    assert!(root.poll(&mut scope).is_pending());
    assert_eq!(tasks[1].polls(), 1);
    tasks[1].finish(Ok(()));
    assert_eq!(root.poll(&mut scope), Poll::Ready(Ok(())));
}

// R9
#[test]
fn a_body_may_wait_for_room() {
    let most = AtomicUsize::new(0);
    let now = AtomicUsize::new(0);
    let (now, most_seen) = (&now, &most);
    run(scope(async |s: ErrSpawner<'_, (), ()>| {
        s.set_limit(3);
        for times in 0..100 {
            assert!(s.ready().await);
            s.spawn(async move {
                most_seen.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                yields(1 + times % 4).await;
                now.fetch_sub(1, SeqCst);
                Ok(())
            });
        }
        Ok(())
    }))
    .unwrap();
    assert_eq!(most.load(SeqCst), 3);
}

// R12: the body is polled as a task

#[test]
fn the_body_is_polled_only_when_it_was_woken() {
    let root = Root::new();
    let (task, body) = (Probe::<Unit>::new(), Probe::<Unit>::new());
    let mut scope = pin!(scope(async |s| {
        s.spawn(task.task());
        body.task().await
    }));
    assert!(root.poll(&mut scope).is_pending());
    for round in 2..20 {
        task.wake();
        assert_eq!(root.wakes(), 1);
        assert!(root.poll(&mut scope).is_pending());
        assert_eq!((task.polls(), body.polls()), (round, 1));
        assert_eq!(root.wakes(), 0);
    }
    for round in 2..20 {
        body.wake();
        body.wake();
        assert_eq!(root.wakes(), 1);
        assert!(root.poll(&mut scope).is_pending());
        assert_eq!((task.polls(), body.polls()), (19, round));
        assert_eq!(root.wakes(), 0);
    }
    // Polled for nothing.
    assert!(root.poll(&mut scope).is_pending());
    assert_eq!((task.polls(), body.polls()), (19, 19));
}

#[test]
fn a_body_that_wakes_itself_is_polled_once_per_poll_of_the_scope() {
    let root = Root::new();
    let polls = Arc::new(AtomicUsize::new(0));
    let task = Probe::<Unit>::new();
    let mut scope = pin!(scope(async |s| {
        s.spawn(task.task());
        restless::<Unit>(&polls).await
    }));
    for round in 1..50 {
        assert!(root.poll(&mut scope).is_pending());
        assert_eq!(polls.load(SeqCst), round);
        assert_eq!(root.wakes(), 1);
    }
    assert_eq!(task.polls(), 1);
}

#[test]
fn a_body_that_a_task_wakes_after_its_turn_is_polled_by_the_next_poll() {
    let root = Root::new();
    let (body, polled) = (Probe::<Unit>::new(), AtomicUsize::new(0));
    let mut scope = pin!(scope(async |s| {
        s.spawn(async {
            polled.store(body.polls(), SeqCst);
            body.finish(Ok(()));
            Ok(())
        });
        body.task().await
    }));
    // The body spawns the task, which runs in the same poll, after the body.
    assert!(root.poll(&mut scope).is_pending());
    assert_eq!((polled.load(SeqCst), body.polls()), (1, 1));
    assert_eq!(root.wakes(), 1);
    assert_eq!(root.poll(&mut scope), Poll::Ready(Ok(())));
    assert_eq!(root.wakes(), 0);
}

// R3
#[test]
fn an_idle_scope_does_not_wake_its_parent() {
    let root = Root::new();
    let tasks = probes::<Unit>(200);
    let body = Probe::<Unit>::new();
    let mut scope = pin!(scope(async |s| {
        tasks.iter().for_each(|probe| s.spawn(probe.task()));
        body.task().await
    }));
    for _ in 0..10 {
        assert!(root.poll(&mut scope).is_pending());
        assert_eq!(root.wakes(), 0);
    }
    assert!(tasks.iter().all(|probe| probe.polls() == 1));
    assert_eq!(body.polls(), 1);
    body.finish(Ok(()));
    assert_eq!(root.wakes(), 1);
    assert!(root.poll(&mut scope).is_pending());
    assert!(tasks.iter().all(|probe| probe.polls() == 1));
    for probe in &tasks {
        probe.finish(Ok(()));
    }
    assert_eq!(root.wakes(), 1);
    assert_eq!(root.poll(&mut scope), Poll::Ready(Ok(())));
}

#[test]
fn any_thread_may_wake_the_body() {
    let root = Root::new();
    for _ in 0..200 {
        let body = Probe::<Unit>::new();
        let mut scope = pin!(scope(async |s: ErrSpawner<'_, (), _>| {
            s.spawn(async { Ok(()) });
            body.task().await
        }));
        assert!(root.poll(&mut scope).is_pending());
        root.wakes();
        std::thread::scope(|threads| {
            threads.spawn(|| body.finish(Ok(())));
            while root.wakes() == 0 {
                std::thread::yield_now();
            }
            assert_eq!(root.poll(&mut scope), Poll::Ready(Ok(())));
        });
    }
}

// R2
#[test]
fn nobody_starves_beside_300_restless_tasks_and_a_restless_body() {
    let root = Root::new();
    let body = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..300).map(|_| Arc::new(AtomicUsize::new(0))).collect();
    let total = || tasks.iter().map(|polls| polls.load(SeqCst)).sum::<usize>();
    let queued = Probe::<Unit>::new();
    let mut scope = pin!(scope(async |s| {
        s.set_limit(301);
        for polls in &tasks {
            s.spawn(restless::<Unit>(polls));
        }
        yields(20).await;
        s.spawn(queued.task());
        restless::<Unit>(&body).await
    }));
    let mut before = 0;
    for _ in 0..200 {
        assert!(root.poll(&mut scope).is_pending());
        assert_eq!(root.wakes(), 1);
        assert!(total() - before <= 256, "more than the budget");
        before = total();
    }
    // One round takes two polls.
    assert!(body.load(SeqCst) >= 75, "the body starves: {body:?}");
    assert_eq!(queued.polls(), 1, "a new task starves");
    for polls in &tasks {
        assert!(polls.load(SeqCst) >= 95, "a task starves: {polls:?}");
    }
}

#[test]
fn a_body_that_spawns_whenever_it_is_polled_does_not_keep_tasks_out() {
    let root = Root::new();
    let task = Arc::new(AtomicUsize::new(0));
    let ran = AtomicUsize::new(0);
    let mut scope = pin!(scope(async |s| {
        s.spawn(restless::<Unit>(&task));
        loop {
            for _ in 0..1000 {
                s.spawn(async {
                    ran.fetch_add(1, SeqCst);
                    Ok(())
                });
            }
            yields(1).await;
        }
        #[allow(unreachable_code)]
        Ok(())
    }));
    for _ in 0..50 {
        assert!(root.poll(&mut scope).is_pending());
    }
    assert!(task.load(SeqCst) >= 40, "{task:?}");
    assert!(ran.load(SeqCst) >= 40 * 200, "{ran:?}");
}

#[test]
fn one_wake_of_a_leaf_polls_each_of_the_nested_scopes_once() {
    const DEPTH: usize = 30;
    fn nest<'a>(
        leaf: &'a Probe<Unit>,
        polls: &'a [AtomicUsize],
    ) -> Pin<Box<dyn Future<Output = Unit> + Send + 'a>> {
        let Some((mine, rest)) = polls.split_first() else {
            return Box::pin(leaf.task());
        };
        Box::pin(scope(async move |s: ErrSpawner<'a, (), &'static str>| {
            s.spawn(pending());
            let mut inner = nest(leaf, rest);
            poll_fn(|cx| {
                mine.fetch_add(1, SeqCst);
                inner.poll_unpin(cx)
            })
            .await?;
            Err("the end")
        }))
    }
    let root = Root::new();
    let leaf = Probe::<Unit>::new();
    let polls: Vec<_> = (0..DEPTH).map(|_| AtomicUsize::new(0)).collect();
    let mut scope = nest(&leaf, &polls);
    assert!(root.poll(&mut scope).is_pending());
    assert_eq!(root.wakes(), 0);
    for round in 2..5 {
        leaf.wake();
        assert_eq!(root.wakes(), 1);
        assert!(root.poll(&mut scope).is_pending());
        assert_eq!(root.wakes(), 0);
        assert_eq!(leaf.polls(), round);
        assert!(polls.iter().all(|polls| polls.load(SeqCst) == round));
    }
    leaf.finish(Ok(()));
    assert_eq!(root.poll(&mut scope), Poll::Ready(Err("the end")));
}

#[test]
fn scopes_nest_in_tasks_and_in_bodies() {
    let names = ["a".to_string(), "bb".to_string(), "ccc".to_string()];
    let total = AtomicUsize::new(0);
    let result = run(scope(async |outer: ErrSpawner<'_, (), &str>| {
        for name in &names {
            let total = &total;
            outer.spawn(async move {
                let sum = scope(async |inner| {
                    let one = inner.spawn_with_handle(async { Ok(name.len()) });
                    let two = inner.spawn_with_handle(async {
                        yields(3).await;
                        Ok(name.len())
                    });
                    Ok::<_, &str>(one.await.unwrap() + two.await.unwrap())
                })
                .await?;
                total.fetch_add(sum, SeqCst);
                Ok(())
            });
        }
        scope(async |inner: ErrSpawner<'_, (), &str>| {
            inner.spawn(async {
                yields(2).await;
                Ok(())
            });
            Ok("inner")
        })
        .await
    }));
    assert_eq!(result, Ok("inner"));
    assert_eq!(total.into_inner(), 12);
}

#[test]
fn the_failure_of_an_inner_scope_is_an_error_of_the_outer_one_like_any_other() {
    let (inner, outer) = (Probe::<Unit>::new(), Probe::<Unit>::new());
    let result = run(scope(async |s| {
        s.spawn(outer.task());
        s.spawn(async {
            scope(async |s: ErrSpawner<'_, (), _>| {
                s.spawn(inner.task());
                s.spawn(async { Err("inner") });
                pending::<Unit>().await
            })
            .await
        });
        pending::<Unit>().await
    }));
    assert_eq!(result, Err("inner"));
    assert_eq!((inner.drops(), outer.drops()), (1, 1));
}

// R12: no futurelock. A fair semaphore of one permit is the lock of these programs.

/// Takes the lock, works, and gives it back.
async fn work(lock: &Semaphore) {
    let _permit = lock.acquire(1).await.unwrap();
    yields(1).await;
}

/// Holds the lock until it is told to let go.
async fn hold(lock: &Semaphore, release: &Probe<()>) {
    let _permit = lock.acquire(1).await.unwrap();
    release.task().await;
}

// RFD 609: the first operation is in the queue of the lock when it is not polled any more.
#[test]
fn the_program_of_rfd_609_locks_without_a_scope() {
    let root = Root::new();
    let (lock, release, timer) = (Semaphore::new(1), Probe::new(), Probe::new());
    let mut program = pin!(join(hold(&lock, &release), async {
        let first = pin!(work(&lock));
        match select(timer.task(), first).await {
            Either::Left(((), _first)) => work(&lock).await,
            Either::Right(_) => unreachable!(),
        }
    }));
    assert!(root.poll(&mut program).is_pending());
    timer.finish(());
    assert!(root.poll(&mut program).is_pending());
    release.finish(());
    for _ in 0..10 {
        root.wakes();
        assert!(root.poll(&mut program).is_pending());
    }
    assert_eq!(root.wakes(), 0, "the lock was given to one who sleeps");
}

#[test]
fn the_program_of_rfd_609_ends_in_a_scope() {
    let root = Root::new();
    let (lock, release, timer) = (Semaphore::new(1), Probe::new(), Probe::new());
    let mut program = pin!(join(
        hold(&lock, &release),
        scope(async |s: ErrSpawner<'_, (), ()>| {
            let first = s.spawn_with_handle(async {
                work(&lock).await;
                Ok(())
            });
            match select(timer.task(), first).await {
                Either::Left(((), _first)) => work(&lock).await,
                Either::Right(_) => unreachable!(),
            }
            Ok("done")
        })
    ));
    assert!(root.poll(&mut program).is_pending());
    timer.finish(());
    assert!(root.poll(&mut program).is_pending());
    release.finish(());
    let ((), result) = root.run(program).0;
    assert_eq!(result, Ok("done"));
    assert_eq!(lock.available(), 1);
}

// The "AWS deadlock": requests are made from a pool, and so is what is done with each response,
// while the other requests, which hold the pool, are not polled.

#[test]
fn the_loop_of_the_aws_deadlock_locks_without_a_scope() {
    let root = Root::new();
    let pool = Semaphore::new(2);
    let mut program = pin!(async {
        let mut responses: FuturesUnordered<_> = (0..5)
            .map(|times| {
                let pool = &pool;
                async move {
                    let _connection = pool.acquire(1).await.unwrap();
                    yields(times + 1).await;
                }
            })
            .collect();
        while let Some(()) = responses.next().await {
            work(&pool).await;
        }
    });
    for _ in 0..100 {
        root.wakes();
        assert!(root.poll(&mut program).is_pending());
    }
    assert_eq!(root.wakes(), 0, "nobody will ever wake it");
}

#[test]
fn the_loop_of_the_aws_deadlock_ends_in_a_scope() {
    let pool = Semaphore::new(2);
    let (handled, _) = Root::new().run(scope(async |s: ErrSpawner<'_, (), ()>| {
        let mut responses: FuturesUnordered<TaskHandle<()>> = (0..5)
            .map(|times| {
                let pool = &pool;
                s.spawn_with_handle(async move {
                    let _connection = pool.acquire(1).await.unwrap();
                    yields(times + 1).await;
                    Ok(())
                })
            })
            .collect();
        let mut handled = 0;
        while let Some(response) = responses.next().await {
            response.unwrap();
            work(&pool).await;
            handled += 1;
        }
        Ok(handled)
    }));
    assert_eq!(handled, Ok(5));
    assert_eq!(pool.available(), 2);
}

#[test]
fn a_body_that_waits_for_something_slow_does_not_stop_what_it_buffered() {
    // Buffered streams: the tasks fill a channel of one place, and the body works long on each
    // item. All get their turn while it works.
    let ticks = AtomicUsize::new(0);
    let during = AtomicUsize::new(0);
    run(scope(async |s: ErrSpawner<'_, (), ()>| {
        let (items, mut incoming) = futures::channel::mpsc::channel::<usize>(0);
        for item in 0..10 {
            let mut items = items.clone();
            let ticks = &ticks;
            s.spawn(async move {
                use futures::SinkExt;
                for _ in 0..10 {
                    yields(1).await;
                    ticks.fetch_add(1, SeqCst);
                }
                items.send(item).await.unwrap();
                Ok(())
            });
        }
        drop(items);
        while incoming.next().await.is_some() {
            let before = ticks.load(SeqCst);
            yields(5).await;
            during.fetch_add(ticks.load(SeqCst) - before, SeqCst);
        }
        Ok(())
    }))
    .unwrap();
    assert_eq!(ticks.load(SeqCst), 100);
}

// Graceful scopes

type Graced = Result<(), Fail>;

/// A grace under control, and whether it was made.
fn grace(probe: &Probe<()>) -> impl FnOnce() -> ProbeTask<()> + Send + use<> {
    let probe = probe.clone();
    move || {
        let task = probe.task();
        drop(probe);
        task
    }
}

#[test]
fn a_task_that_fails_cancels_the_context_and_the_rest_is_polled_on() {
    let root = Root::new();
    let (parent, over) = (CancelContext::new(), Probe::<()>::new());
    let (task, other, body) = (Probe::new(), Probe::<Graced>::new(), Probe::<Graced>::new());
    let seen = Mutex::new(None);
    let mut scope = pin!(scope_in(&parent, grace(&over), async |s, context| {
        s.spawn(task.task());
        s.spawn(other.task());
        *seen.lock().unwrap() = Some(context.clone());
        context.cancelled().await;
        body.task().await
    }));
    assert!(root.poll(&mut scope).is_pending());
    let context = seen.lock().unwrap().clone().unwrap();
    assert!(!context.is_cancelled());
    assert_eq!((over.polls(), body.polls()), (0, 0));

    task.finish(Err(Fail::Text("task")));
    assert!(root.poll(&mut scope).is_pending());
    assert_eq!(context.reason().unwrap().kind(), CancelKind::TaskFailed);
    assert_eq!(body.polls(), 1, "the body goes on in the poll that cancels");
    assert_eq!(over.polls(), 1);
    assert!(!other.is_dropped() && !body.is_dropped());
    other.finish(Err(Fail::Text("other")));
    body.finish(Err(Fail::Text("body")));
    assert_eq!(root.poll(&mut scope), Poll::Ready(Err(Fail::Text("task"))));
    assert_eq!(context.reason().unwrap().kind(), CancelKind::TaskFailed);
    assert!(!parent.is_cancelled());
}

#[test]
fn a_body_that_fails_cancels_the_context_drops_the_queue_and_lets_tasks_end() {
    let root = Root::new();
    let (parent, over) = (CancelContext::new(), Probe::<()>::new());
    let (task, queued, body) = (
        Probe::<Graced>::new(),
        Probe::<Graced>::new(),
        Probe::<Graced>::new(),
    );
    let mut scope = pin!(scope_in(&parent, grace(&over), async |s, context| {
        s.set_limit(1);
        let task = &task;
        s.spawn(async move {
            context.cancelled().await;
            task.task().await
        });
        s.spawn(queued.task());
        body.task().await
    }));
    assert!(root.poll(&mut scope).is_pending());
    body.finish(Err(Fail::Text("body")));
    assert!(root.poll(&mut scope).is_pending());
    assert_eq!((queued.polls(), queued.drops()), (0, 1));
    assert_eq!(over.polls(), 1);
    assert!(!task.is_dropped());
    task.finish(Ok(()));
    assert_eq!(root.poll(&mut scope), Poll::Ready(Err(Fail::Text("body"))));
}

#[test]
fn the_end_of_the_grace_drops_body_and_tasks_and_gives_the_reason() {
    let root = Root::new();
    let (parent, over) = (CancelContext::new(), Probe::<()>::new());
    let (task, queued, background, body) = (
        Probe::<Graced>::new(),
        Probe::<Graced>::new(),
        Probe::<Graced>::new(),
        Probe::<Graced>::new(),
    );
    let mut scope = pin!(scope_in(&parent, grace(&over), async |s, _| {
        s.set_limit(1);
        s.spawn(task.task());
        s.spawn(queued.task());
        s.spawn_background(background.task());
        body.task().await
    }));
    assert!(root.poll(&mut scope).is_pending());
    assert_eq!(over.polls(), 0, "the grace is made before it has to be");
    parent.cancel();
    assert_eq!(root.wakes(), 1);
    assert!(root.poll(&mut scope).is_pending());
    assert_eq!(over.polls(), 1);
    assert_eq!(body.polls(), 1);
    assert!(!task.is_dropped() && !body.is_dropped() && !background.is_dropped());
    over.finish(());
    assert_eq!(root.wakes(), 1);
    assert_eq!(
        root.poll(&mut scope),
        Poll::Ready(Err(Fail::Cancelled(CancelKind::Cancelled)))
    );
    for probe in [&task, &queued, &background, &body] {
        assert_eq!(probe.drops(), 1);
    }
    assert_eq!(queued.polls(), 0);
}

#[test]
fn the_end_of_the_grace_drops_a_body_without_tasks() {
    let root = Root::new();
    let (parent, over, body) = (
        CancelContext::new(),
        Probe::<()>::new(),
        Probe::<Graced>::new(),
    );
    let mut scope = pin!(scope_in(
        &parent,
        grace(&over),
        async |_: ErrSpawner<'_, (), Fail>, _| body.task().await
    ));
    assert!(root.poll(&mut scope).is_pending());
    parent.cancel();
    assert!(root.poll(&mut scope).is_pending());
    over.finish(());
    assert_eq!(
        root.poll(&mut scope),
        Poll::Ready(Err(Fail::Cancelled(CancelKind::Cancelled)))
    );
    assert_eq!((body.polls(), body.drops()), (1, 1));
}

#[test]
fn the_end_of_the_grace_drops_tasks_after_the_body_has_ended() {
    let root = Root::new();
    let (parent, over, task) = (
        CancelContext::new(),
        Probe::<()>::new(),
        Probe::<Graced>::new(),
    );
    let value = Arc::new(());
    let held = value.clone();
    let mut scope = pin!(scope_in(&parent, grace(&over), async |s, _| {
        s.spawn(task.task());
        Ok(held)
    }));
    assert!(root.poll(&mut scope).is_pending());
    parent.cancel();
    assert!(root.poll(&mut scope).is_pending());
    over.finish(());
    assert_eq!(
        root.poll(&mut scope),
        Poll::Ready(Err(Fail::Cancelled(CancelKind::Cancelled)))
    );
    assert!(task.is_dropped());
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn a_failure_before_the_end_of_the_grace_stays() {
    let root = Root::new();
    let (parent, over) = (CancelContext::new(), Probe::<()>::new());
    let (task, stubborn, body) = (Probe::new(), Probe::<Graced>::new(), Probe::<Graced>::new());
    let mut scope = pin!(scope_in(&parent, grace(&over), async |s, _| {
        s.spawn(task.task());
        s.spawn(stubborn.task());
        body.task().await
    }));
    assert!(root.poll(&mut scope).is_pending());
    task.finish(Err(Fail::Text("task")));
    assert!(root.poll(&mut scope).is_pending());
    over.finish(());
    assert_eq!(root.poll(&mut scope), Poll::Ready(Err(Fail::Text("task"))));
    assert_eq!((stubborn.drops(), body.drops()), (1, 1));
}

#[test]
fn a_failure_of_the_body_before_the_end_of_the_grace_stays() {
    let root = Root::new();
    let (parent, over) = (CancelContext::new(), Probe::<()>::new());
    let (stubborn, body) = (Probe::<Graced>::new(), Probe::<Graced>::new());
    let mut scope = pin!(scope_in(&parent, grace(&over), async |s, _| {
        s.spawn(stubborn.task());
        body.task().await
    }));
    assert!(root.poll(&mut scope).is_pending());
    body.finish(Err(Fail::Text("body")));
    assert!(root.poll(&mut scope).is_pending());
    over.finish(());
    assert_eq!(root.poll(&mut scope), Poll::Ready(Err(Fail::Text("body"))));
    assert_eq!(stubborn.drops(), 1);
}

#[test]
fn a_cancelled_scope_whose_body_and_tasks_return_in_time_has_a_value() {
    let parent = CancelContext::new();
    parent.cancel();
    let result = run(scope_in(
        &parent,
        pending::<()>,
        async |s: ErrSpawner<'_, (), Fail>, context| {
            assert!(context.is_cancelled(), "a child is cancelled at birth");
            let inner = context.clone();
            s.spawn(async move {
                inner.cancelled().await;
                Ok(())
            });
            context.cancelled().await;
            Ok("cleaned up")
        },
    ));
    assert_eq!(result, Ok("cleaned up"));
}

#[test]
fn a_grace_that_is_over_at_once_still_lets_nothing_run() {
    let parent = CancelContext::new();
    parent.cancel();
    let body = Probe::<Graced>::new();
    let result = run(scope_in(
        &parent,
        || async {},
        async |_: ErrSpawner<'_, (), Fail>, _| body.task().await,
    ));
    assert_eq!(result, Err(Fail::Cancelled(CancelKind::Cancelled)));
    assert_eq!(body.polls(), 0);
}

#[test]
fn the_context_of_a_scope_is_finished_after_it() {
    let parent = CancelContext::new();
    let seen = Mutex::new(None);
    run(scope_in(
        &parent,
        pending::<()>,
        async |_: ErrSpawner<'_, (), Fail>, context| {
            *seen.lock().unwrap() = Some(context);
            Ok(())
        },
    ))
    .unwrap();
    let context = seen.lock().unwrap().take().unwrap();
    assert_eq!(context.reason().unwrap().kind(), CancelKind::Finished);
    assert!(!parent.is_cancelled());
}

#[test]
fn the_context_of_a_scope_that_is_dropped_is_finished() {
    let root = Root::new();
    let parent = CancelContext::new();
    let seen = Mutex::new(None);
    let mut scope = Box::pin(scope_in(
        &parent,
        pending::<()>,
        async |_: ErrSpawner<'_, (), Fail>, context| {
            *seen.lock().unwrap() = Some(context);
            pending::<Graced>().await
        },
    ));
    assert!(root.poll(&mut scope).is_pending());
    drop(scope);
    let context = seen.lock().unwrap().take().unwrap();
    assert_eq!(context.reason().unwrap().kind(), CancelKind::Finished);
}

// C3
#[test]
fn a_deadline_of_the_parent_ends_a_scope() {
    let root = Root::new();
    let at = Probe::<()>::new();
    let parent = CancelContext::new().with_deadline(at.task());
    let mut scope = pin!(scope_in(
        &parent,
        || async {},
        async |_: ErrSpawner<'_, (), Fail>, _| pending::<Graced>().await
    ));
    assert!(root.poll(&mut scope).is_pending());
    at.finish(());
    assert_eq!(root.wakes(), 1);
    assert_eq!(
        root.poll(&mut scope),
        Poll::Ready(Err(Fail::Cancelled(CancelKind::DeadlineExceeded)))
    );
}

#[test]
fn a_scope_does_not_keep_its_parent_context_borrowed() {
    let scope = {
        let parent = CancelContext::new();
        scope_in(
            &parent,
            pending::<()>,
            async |_: ErrSpawner<'_, (), Fail>, _| Ok(1),
        )
    };
    assert_eq!(run(scope), Ok(1));
}

#[test]
fn a_graceful_scope_does_not_wake_its_parent_while_it_is_idle() {
    let root = Root::new();
    let (parent, over) = (CancelContext::new(), Probe::<()>::new());
    let (task, body) = (Probe::<Graced>::new(), Probe::<Graced>::new());
    let mut scope = pin!(scope_in(&parent, grace(&over), async |s, _| {
        s.spawn(task.task());
        body.task().await
    }));
    for _ in 0..5 {
        assert!(root.poll(&mut scope).is_pending());
        assert_eq!(root.wakes(), 0);
    }
    parent.cancel();
    assert_eq!(root.wakes(), 1);
    for _ in 0..5 {
        assert!(root.poll(&mut scope).is_pending());
        assert_eq!(root.wakes(), 0);
    }
    assert_eq!((task.polls(), body.polls()), (1, 1));
}

// P1

#[test]
fn a_panic_of_the_body_goes_on_and_drops_the_tasks() {
    let root = Root::new();
    let (task, body) = (Probe::<Unit>::new(), Probe::<()>::new());
    let mut scope = Box::pin(scope(async |s| {
        s.spawn(task.task());
        body.task().await;
        std::panic::panic_any("the body panics");
        #[allow(unreachable_code)]
        Ok(())
    }));
    assert!(root.poll(&mut scope).is_pending());
    body.finish(());
    assert_eq!(panics(|| root.poll(&mut scope)), "the body panics");
    assert_eq!((task.drops(), body.drops()), (1, 1));
}

#[test]
fn a_panic_of_a_task_goes_on_and_drops_body_and_siblings() {
    let root = Root::new();
    let (task, body, go) = (
        Probe::<Unit>::new(),
        Probe::<Unit>::new(),
        Probe::<()>::new(),
    );
    let mut scope = Box::pin(scope(async |s| {
        s.spawn(task.task());
        s.spawn(async {
            go.task().await;
            std::panic::panic_any("a task panics")
        });
        body.task().await
    }));
    assert!(root.poll(&mut scope).is_pending());
    go.finish(());
    assert_eq!(panics(|| root.poll(&mut scope)), "a task panics");
    assert_eq!((task.drops(), body.drops()), (1, 1));
}

#[test]
fn a_body_that_panics_when_it_is_called_drops_what_it_had_spawned() {
    let task = Probe::<Unit>::new();
    let probe = task.clone();
    let text = panics(|| {
        run(scope(move |s: ErrSpawner<'static, (), &'static str>| {
            s.spawn(probe.task());
            if s.len() == 1 {
                std::panic::panic_any("called");
            }
            async { Ok(()) }
        }))
    });
    assert_eq!(text, "called");
    assert_eq!((task.polls(), task.drops()), (0, 1));
}

#[test]
fn a_destructor_of_the_body_that_panics_stops_no_task_from_being_dropped() {
    let root = Root::new();
    let (task, fails) = (Probe::<Unit>::new(), Probe::<Unit>::new());
    let mut scope = Box::pin(scope(async |s| {
        let _bomb = OnDrop(|| std::panic::panic_any("dropped"));
        s.spawn(task.task());
        s.spawn(fails.task());
        pending::<Unit>().await
    }));
    assert!(root.poll(&mut scope).is_pending());
    fails.finish(Err("task"));
    assert_eq!(panics(|| root.poll(&mut scope)), "dropped");
    assert_eq!(task.drops(), 1);
    drop(scope);
}

// C5
#[test]
fn a_panic_in_a_graceful_scope_finishes_its_context() {
    let parent = CancelContext::new();
    let seen = Mutex::new(None);
    let text = panics(|| {
        run(scope_in(
            &parent,
            pending::<()>,
            async |_: ErrSpawner<'_, (), Fail>, context| {
                *seen.lock().unwrap() = Some(context);
                std::panic::panic_any("body");
                #[allow(unreachable_code)]
                Ok(())
            },
        ))
    });
    assert_eq!(text, "body");
    let context = seen.lock().unwrap().take().unwrap();
    assert_eq!(context.reason().unwrap().kind(), CancelKind::Finished);
}

// The local flavours

#[test]
fn a_local_scope_takes_what_is_not_send() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let outside = Cell::new(0);
    let result = run(local_scope(async |s: LocalErrSpawner<'_, (), Rc<str>>| {
        for index in 0..3 {
            let log = log.clone();
            let outside = &outside;
            s.spawn(async move {
                yields(3 - index).await;
                log.borrow_mut().push(index);
                outside.set(outside.get() + 1);
                Ok(())
            });
        }
        let handle = s.spawn_with_handle(async { Ok(Rc::new(5)) });
        Ok(handle.await.unwrap())
    }));
    assert_eq!(result, Ok(Rc::new(5)));
    assert_eq!(*log.borrow(), [2, 1, 0]);
    assert_eq!(outside.get(), 3);
}

#[test]
fn a_local_graceful_scope_takes_what_is_not_send() {
    let root = Root::new();
    let parent = CancelContext::new();
    let over = Rc::new(Probe::<()>::new());
    let made = Rc::new(Cell::new(false));
    let (grace, flag) = (over.clone(), made.clone());
    let log = RefCell::new(Vec::new());
    let mut scope = pin!(local_scope_in(
        &parent,
        move || {
            flag.set(true);
            let task = grace.task();
            async move {
                let _grace = grace;
                task.await
            }
        },
        async |s: LocalErrSpawner<'_, (), Fail>, context| {
            s.spawn(async {
                let _dropped = OnDrop(|| log.borrow_mut().push("task"));
                pending::<Graced>().await
            });
            let reason = context.cancelled().await;
            log.borrow_mut().push("cancelled");
            let _dropped = OnDrop(|| log.borrow_mut().push("body"));
            let _reason = Rc::new(reason);
            pending::<Graced>().await
        }
    ));
    assert!(root.poll(&mut scope).is_pending());
    assert!(!made.get());
    parent.cancel();
    assert!(root.poll(&mut scope).is_pending());
    assert!(made.get());
    assert_eq!(*log.borrow(), ["cancelled"]);
    over.finish(());
    assert_eq!(
        root.poll(&mut scope),
        Poll::Ready(Err(Fail::Cancelled(CancelKind::Cancelled)))
    );
    let mut log = log.borrow().clone();
    log.sort_unstable();
    assert_eq!(log, ["body", "cancelled", "task"]);
}

// Send: compiled is proved

fn send<'a, F: Future + Send + 'a>(
    future: F,
) -> Pin<Box<dyn Future<Output = F::Output> + Send + 'a>> {
    Box::pin(future)
}

#[test]
fn scopes_that_borrow_are_send() {
    let names = vec!["a".to_string(), "b".to_string()];
    let total = AtomicUsize::new(0);
    let parent = CancelContext::new();
    let plain = send(scope(async |s: ErrSpawner<'_, (), Fail>| {
        for name in &names {
            s.spawn(async {
                total.fetch_add(name.len(), SeqCst);
                Ok(())
            });
        }
        yields(1).await;
        let handle = s.spawn_with_handle(async { Ok(names.len()) });
        s.spawn_named("named", async { Ok(()) });
        s.spawn_background(async {
            total.load(SeqCst);
            pending().await
        });
        let up = s
            .start(async |started: errgroup::Started<&str>| {
                started.ready(&names[0]);
                Ok(())
            })
            .await;
        assert_eq!(up, Ok("a"));
        Ok(handle.await?)
    }));
    let grace = async || {
        total.load(SeqCst);
    };
    let graceful = send(scope_in(
        &parent,
        grace,
        async |s: ErrSpawner<'_, (), Fail>, context| {
            for name in &names {
                let context = context.clone();
                let total = &total;
                s.spawn(async move {
                    context.check()?;
                    total.fetch_add(name.len(), SeqCst);
                    Ok(())
                });
            }
            let handle = s.spawn_with_handle(async { Ok(names.len()) });
            yields(1).await;
            Ok(handle.await?)
        },
    ));
    let results = std::thread::scope(|threads| {
        let plain = threads.spawn(|| run(plain));
        let graceful = threads.spawn(|| run(graceful));
        (plain.join().unwrap(), graceful.join().unwrap())
    });
    assert_eq!(results, (Ok(2), Ok(2)));
    assert_eq!(total.into_inner(), 4);
}

#[test]
fn a_scope_that_owns_everything_is_static() {
    fn needs_static<F: Future + Send + 'static>(future: F) -> F {
        future
    }
    let parent = CancelContext::new();
    let plain = needs_static(scope(async |s: ErrSpawner<'static, (), Fail>| {
        s.spawn(yields(1).map(Ok));
        Ok(1)
    }));
    let graceful = needs_static(scope_in(
        &parent,
        || yields(1),
        async |s: ErrSpawner<'static, (), Fail>, context| {
            s.spawn(async move {
                context.check()?;
                Ok(())
            });
            Ok(2)
        },
    ));
    assert_eq!(run(join(plain, graceful)), (Ok(1), Ok(2)));
}

#[test]
fn a_function_may_spawn_into_a_scope_of_its_caller() {
    fn spawn_all<'env>(
        s: &ErrSpawner<'env, (), ()>,
        names: &'env [String],
        sum: &'env AtomicUsize,
    ) {
        for name in names {
            s.spawn(async move {
                sum.fetch_add(name.len(), SeqCst);
                Ok(())
            });
        }
    }
    let (names, sum) = (["a".to_string(), "bc".to_string()], AtomicUsize::new(0));
    run(scope(async |s| {
        spawn_all(&s, &names, &sum);
        Ok(())
    }))
    .unwrap();
    assert_eq!(sum.into_inner(), 3);
}
