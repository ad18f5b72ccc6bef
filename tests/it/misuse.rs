//! What an expert may do to a group though nobody should: reentrancy, forgetting, polling after
//! the end, destructors and wakers that do too much.

use std::cell::{Cell, RefCell};
use std::future::{Future, Ready, pending, poll_fn, ready};
use std::mem;
use std::panic;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Once};
use std::task::{Poll, Waker};

use crate::common::{Fail, OnDrop, Probe, Root, on_wake, poll_with, probes, restless, run, yields};
use errgroup::{
    CancelContext, CancelKind, ErrGroup, ErrSpawner, LocalErrGroup, Semaphore, Started,
    buffer_unordered, buffered, local_scope, scope, try_for_each, try_for_each_stream, try_map,
    try_map_stream,
};
use futures::future::FusedFuture;
use futures::stream::{self, StreamExt};

type Shared = Arc<Mutex<Option<ErrGroup<'static, (), Fail>>>>;

/// Numbers that look random.
fn random(seed: &mut u64) -> usize {
    *seed = seed
        .wrapping_mul(6364136223846793005)
        .wrapping_add(1442695040888963407);
    (*seed >> 33) as usize
}

// R10, P1
#[test]
fn a_destructor_may_poll_and_drop_other_groups() {
    let polled = Rc::new(Cell::new(0));
    let mut other = LocalErrGroup::<(), ()>::new();
    let mut never = LocalErrGroup::<(), ()>::new();
    never.spawn(pending());
    for _ in 0..3 {
        let polled = polled.clone();
        other.spawn(async move {
            polled.set(polled.get() + 1);
            Ok(())
        });
    }
    let mut both = Some((other, never));
    let mut group = LocalErrGroup::<(), &str>::new();
    group.spawn(async move {
        let _end = OnDrop(move || {
            let (mut other, mut never) = both.take().unwrap();
            assert!(poll_with(&mut other, Waker::noop()).is_ready());
            assert!(poll_with(&mut never, Waker::noop()).is_pending());
        });
        pending().await
    });
    group.spawn(async { Err("no") });
    assert_eq!(run(group), Err("no"));
    assert_eq!(polled.get(), 3);
}

// R4, R7, R10
#[test]
fn the_waker_of_the_parent_may_spawn_and_drop_the_group() {
    // Whoever wakes is in the middle of a spawn, an abort, a change of the limit.
    type Act = fn(&ErrSpawner<'static, (), Fail>, &Probe<Result<(), Fail>>);
    let acts: [Act; 4] = [
        |_, probe| probe.finish(Ok(())),
        |spawner, _| spawner.spawn(pending()),
        |spawner, _| spawner.set_limit(3),
        |spawner, _| assert!(spawner.try_spawn(pending()).is_ok()),
    ];
    for act in acts {
        for drops in [false, true] {
            let shared = Shared::default();
            let probe = Probe::new();
            let mut group = ErrGroup::new().limit(5);
            let spawner = group.spawner();
            group.spawn(probe.task());
            let handle = spawner.spawn_with_handle(pending::<Result<u8, Fail>>());
            let inside = (shared.clone(), spawner.clone());
            let waker = on_wake(move || {
                let (shared, spawner) = &inside;
                spawner.spawn(pending());
                if drops {
                    drop(shared.lock().unwrap().take());
                    spawner.spawn(pending());
                }
            });
            assert!(poll_with(&mut group, &waker).is_pending());
            *shared.lock().unwrap() = Some(group);
            act(&spawner, &probe);
            assert_eq!(shared.lock().unwrap().is_none(), drops);
            assert_eq!((spawner.is_closed(), handle.is_finished()), (drops, drops));
            drop(shared.lock().unwrap().take());
            assert!(probe.is_dropped() && spawner.is_empty());
        }
    }
}

// H2, R4
#[test]
fn the_waker_of_the_parent_may_drop_the_group_while_a_handle_aborts() {
    for polled in [false, true] {
        let shared = Shared::default();
        let mut group = ErrGroup::new();
        let handle = group
            .spawner()
            .spawn_with_handle(pending::<Result<u8, Fail>>());
        let inside = shared.clone();
        let waker = on_wake(move || drop(inside.lock().unwrap().take()));
        if polled {
            assert!(poll_with(&mut group, &waker).is_pending());
        }
        *shared.lock().unwrap() = Some(group);
        handle.abort();
        handle.abort();
        drop(shared.lock().unwrap().take());
        assert_eq!(run(handle).unwrap_err().kind(), CancelKind::Cancelled);
    }
}

// R9
#[test]
fn the_waker_of_who_waits_for_room_may_take_the_room() {
    let mut group = ErrGroup::<u8, ()>::new().limit(1);
    group.spawn(ready(Ok(0)));
    let spawner = group.spawner();
    let mut waiting = Box::pin({
        let spawner = spawner.clone();
        async move { spawner.ready().await }
    });
    let left = AtomicUsize::new(3);
    let waker = on_wake(move || {
        if left.load(SeqCst) > 0 && spawner.try_spawn(ready(Ok(1))).is_ok() {
            left.fetch_sub(1, SeqCst);
        }
    });
    let mut values = Vec::new();
    assert!(poll_with(&mut waiting, &waker).is_pending());
    while let Some(value) = run(group.next()) {
        values.push(value.unwrap());
        if group.is_empty() {
            break;
        }
        assert!(poll_with(&mut waiting, &waker).is_pending());
    }
    assert_eq!(values, [0, 1, 1, 1]);
}

// R10: what is discarded is dropped in the middle of a poll.
#[test]
fn the_destructor_of_a_discarded_value_may_spawn() {
    struct Chain(ErrSpawner<'static, Chain, ()>, Arc<AtomicUsize>);
    impl Drop for Chain {
        fn drop(&mut self) {
            if self.1.fetch_add(1, SeqCst) < 999 {
                let next = Chain(self.0.clone(), self.1.clone());
                self.0.spawn(async { Ok(next) });
            }
        }
    }
    let count = Arc::new(AtomicUsize::new(0));
    let mut group = ErrGroup::new();
    let first = Chain(group.spawner(), count.clone());
    group.spawn(async { Ok(first) });
    let root = Root::new();
    assert!(root.run(&mut group).0.is_ok());
    assert_eq!(count.load(SeqCst), 1000);
}

// R11
#[test]
fn values_of_size_zero_are_each_dropped_once() {
    thread_local!(static DROPS: Cell<usize> = const { Cell::new(0) });
    #[derive(Debug)]
    struct Nothing;
    impl Drop for Nothing {
        fn drop(&mut self) {
            DROPS.set(DROPS.get() + 1);
        }
    }
    let fill = || (0..10).map(|_| ready(Ok::<_, Nothing>(Nothing)));
    run(fill().collect::<ErrGroup<'_, _, _>>()).unwrap();
    assert_eq!(DROPS.replace(0), 10);
    let values = run(fill().collect::<ErrGroup<'_, _, _>>().collect()).unwrap();
    assert_eq!((values.len(), DROPS.get()), (10, 0));
    drop(values);
    assert_eq!(DROPS.replace(0), 10);
    let mut group: ErrGroup<'_, _, _> = fill().collect();
    group.spawn(ready(Err(Nothing)));
    assert!(run(group.drive(yields(2))).is_none());
    assert_eq!(DROPS.get(), 0);
    drop(run(group.next()));
    drop(group);
    assert_eq!(DROPS.replace(0), 11);
}

// R7, R12
#[test]
fn futures_that_are_forgotten_leave_the_group_usable() {
    let root = Root::new();
    let probe = Probe::new();
    let mut group = ErrGroup::<u8, ()>::new().limit(2);
    let spawner = group.spawner();
    group.spawn(probe.task());
    group.spawn(pending());
    macro_rules! forget {
        ($future:expr) => {{
            // In a box: what was polled is pinned, and must not be freed without a drop.
            let mut future = Box::pin($future);
            assert!(root.poll(&mut future).is_pending());
            mem::forget(future);
        }};
    }
    forget!(group.ready());
    forget!(group.drive(pending::<()>()));
    forget!(group.next());
    forget!(group.results().into_future());
    forget!(spawner.ready());
    root.wakes();
    probe.finish(Ok(1));
    assert_eq!(root.wakes(), 1);
    assert!(run(group.ready()));
    assert!(run(spawner.ready()));
    assert_eq!(run(group.next()), Some(Ok(1)));
    mem::forget(group);
    // Nobody will ever drive it, and so it is neither over nor closed.
    assert!(!spawner.is_closed());
    spawner.spawn(ready(Ok(2)));
    assert_eq!(spawner.len(), 2);

    let context = CancelContext::new();
    forget!(context.cancelled());
    forget!(context.run(pending::<()>()));
    mem::forget(context.drop_guard());
    assert!(context.cancel());
    let semaphore = Semaphore::new(2);
    let permit = semaphore.try_acquire(1);
    mem::forget(semaphore.try_acquire(1));
    drop(permit);
    assert_eq!(semaphore.available(), 1);

    let group = ErrGroup::<(), ()>::new();
    let spawner = group.spawner();
    mem::forget(spawner.spawn_with_handle(ready(Ok(1))));
    forget!(spawner.start(|started: Started<()>| async move {
        mem::forget(started);
        Ok(())
    }));
    run(group).unwrap();
    forget!(Box::pin(scope(async |s| {
        s.spawn(pending());
        Ok::<_, ()>(())
    })));
    forget!(try_map([1], 1, |_| pending::<Result<(), ()>>()));
    forget!(try_for_each([1], 1, |_| pending::<Result<(), ()>>()));
}

// P1
#[test]
fn what_is_polled_after_its_end_panics_or_says_the_same_again() {
    fn panics<F: Future + Unpin>(mut future: F) {
        while poll_with(&mut future, Waker::noop()).is_pending() {}
        let again = std::panic::AssertUnwindSafe(|| poll_with(&mut future, Waker::noop()));
        assert!(std::panic::catch_unwind(again).is_err());
    }
    let semaphore = Arc::new(Semaphore::new(1));
    let context = CancelContext::new();
    let new = || ErrGroup::<(), ()>::new();
    panics(semaphore.acquire(2));
    panics(semaphore.acquire_owned(2));
    panics(context.run(ready(())));
    panics(try_map([1], 1, |_| ready(Ok::<_, ()>(()))));
    panics(try_for_each([1], 1, |_| ready(Err(()))));
    panics(Box::pin(scope(async |_| Ok::<_, ()>(()))));
    panics(Box::pin(new().collect()));
    panics(Box::pin(new().first_ok()));
    let handle = new().spawner().spawn_with_handle(ready(Ok(())));
    panics(handle);
    let mut group = new();
    for _ in 0..3 {
        assert_eq!(poll_with(&mut group, Waker::noop()), Poll::Ready(Ok(())));
        assert!(group.is_terminated());
        assert_eq!(run(group.next()), None);
        assert_eq!(run(group.results().next()), None);
    }
    context.cancel();
    let mut waiting = context.cancelled();
    for _ in 0..3 {
        assert!(poll_with(&mut waiting, Waker::noop()).is_ready());
    }
}

// P1
#[test]
fn a_panic_that_is_the_fault_of_the_caller_names_the_line_of_the_caller() {
    fn work(_: u8) -> Ready<Result<(), ()>> {
        ready(Ok(()))
    }
    let new = || ErrGroup::<(), ()>::new();
    let semaphore = Semaphore::new(1);
    let items = || stream::iter([1]);
    let faults: &[(&str, &dyn Fn())] = &[
        ("limit", &|| _ = new().limit(0)),
        ("set_limit", &|| new().set_limit(0)),
        ("Spawner::set_limit", &|| new().spawner().set_limit(0)),
        ("try_map", &|| drop(try_map([1], 0, work))),
        ("try_map_stream", &|| drop(try_map_stream(items(), 0, work))),
        ("try_for_each", &|| drop(try_for_each([1], 0, work))),
        ("try_for_each_stream", &|| {
            drop(try_for_each_stream(items(), 0, work));
        }),
        ("buffered", &|| drop(buffered(items(), 0, work))),
        ("buffer_unordered", &|| {
            drop(buffer_unordered(items(), 0, work));
        }),
        ("Semaphore::new", &|| _ = Semaphore::new(usize::MAX)),
        ("set_capacity", &|| semaphore.set_capacity(usize::MAX)),
        #[cfg(feature = "tokio")]
        ("on_tokio::spawn", &|| {
            drop(errgroup::on_tokio::spawn(ready(())));
        }),
        #[cfg(feature = "tokio")]
        ("on_tokio::try_spawn", &|| {
            drop(errgroup::on_tokio::try_spawn(ready(())));
        }),
        #[cfg(feature = "tokio")]
        ("on_tokio::spawn_blocking", &|| {
            drop(errgroup::on_tokio::spawn_blocking(|| ()));
        }),
        #[cfg(feature = "tokio")]
        ("on_tokio::try_spawn_blocking", &|| {
            drop(errgroup::on_tokio::try_spawn_blocking(|| ()));
        }),
    ];
    for (name, fault) in faults {
        assert_eq!(file_of_panic(fault).as_deref(), Some(file!()), "{name}");
    }
}

/// The file that a panic of `f` names.
fn file_of_panic(f: &dyn Fn()) -> Option<String> {
    thread_local! {
        static FILE: RefCell<Option<String>> = const { RefCell::new(None) };
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let file = info.location().map(|location| location.file().to_string());
            _ = FILE.try_with(|place| place.replace(file));
            before(info);
        }));
    });
    FILE.take();
    assert!(panic::catch_unwind(panic::AssertUnwindSafe(f)).is_err());
    FILE.take()
}

// R3, R4
#[test]
fn a_group_that_changes_hands_in_the_middle_of_everything_loses_nothing() {
    // Each poll has another waker and another method, and futures are dropped at every await.
    for mut seed in 0..200 {
        let (roots, probes) = ([Root::new(), Root::new(), Root::new()], probes(6));
        let limit = 1 + random(&mut seed) % 6;
        let mut group = ErrGroup::<usize, usize>::new().keep_going().limit(limit);
        let spawner = group.spawner();
        for (number, probe) in probes.iter().enumerate() {
            let task = probe.task();
            let yielding = random(&mut seed) % 3;
            group.spawn(async move {
                yields(yielding).await;
                task.await
            });
            let sibling = if number % 2 == 0 {
                Ok(10 + number)
            } else {
                Err(10 + number)
            };
            spawner.spawn(ready(sibling));
        }
        let mut outcomes = Vec::new();
        let mut finished = 0;
        for _ in 0..60 {
            let root = &roots[random(&mut seed) % 3];
            match random(&mut seed) % 6 {
                0 => _ = root.poll_new(group.ready()),
                1 => _ = root.poll_new(group.drive(yields(1))),
                2 => _ = root.poll_new(group.drive(ready(()))),
                3 => {
                    if let Poll::Ready(Some(outcome)) = root.poll_new(group.next()) {
                        outcomes.push(outcome);
                    }
                }
                4 => {
                    if let Poll::Ready(Some(outcome)) = root.poll_new(group.results().next()) {
                        outcomes.push(outcome);
                    }
                }
                _ if finished < probes.len() => {
                    let output = if finished % 2 == 0 {
                        Ok(finished)
                    } else {
                        Err(finished)
                    };
                    if probes[finished].polls() > 0 {
                        probes[finished].finish(output);
                    } else {
                        probes[finished].set(output);
                    }
                    finished += 1;
                }
                _ => {}
            }
        }
        for (number, probe) in probes.iter().enumerate().skip(finished) {
            let output = if number % 2 == 0 {
                Ok(number)
            } else {
                Err(number)
            };
            if probe.polls() > 0 {
                probe.finish(output);
            } else {
                probe.set(output);
            }
        }
        outcomes.extend(run(group.settle()));
        outcomes.sort_unstable_by_key(|outcome| outcome.unwrap_or_else(|error| error));
        let expected: Vec<_> = (0..6)
            .chain(10..16)
            .map(|number| {
                if number % 2 == 0 {
                    Ok(number)
                } else {
                    Err(number)
                }
            })
            .collect();
        assert_eq!(outcomes, expected, "seed {seed}");
    }
}

// S3, S5, R12
#[test]
fn every_future_may_be_dropped_at_every_await() {
    // A `select!` in slow motion: whatever step the other branch wins at, nothing is lost.
    for steps in 0..12 {
        let semaphore = Semaphore::new(1);
        let mut group = ErrGroup::<u8, ()>::new().limit(1);
        let spawner = group.spawner();
        for number in 0..3 {
            let semaphore = &semaphore;
            group.spawn(async move {
                let _permit = semaphore.acquire(1).await;
                yields(2).await;
                Ok(number)
            });
        }
        let root = Root::new();
        let mut work = Box::pin(async {
            let mut values = Vec::new();
            assert!(spawner.is_closed() || !spawner.is_empty());
            drop(group.drive(semaphore.acquire(1)).await.unwrap().unwrap());
            assert!(group.ready().await);
            while let Some(value) = group.next().await {
                values.push(value.unwrap());
            }
            values
        });
        let mut values = Vec::new();
        for _ in 0..steps {
            if let Poll::Ready(some) = root.poll(&mut work) {
                values = some;
                break;
            }
        }
        drop(work);
        values.extend(run(group.collect()).unwrap());
        if values.len() == 3 {
            assert_eq!(values, [0, 1, 2]);
        } else {
            // Only what the loop itself held in its hands is gone.
            assert!(
                values.iter().is_sorted() && steps > 3,
                "{values:?} at {steps}"
            );
        }
        assert_eq!(semaphore.available(), 1);
    }
}

// R8
#[test]
fn a_task_may_change_the_limit_whenever_it_is_polled() {
    let limits = [1, 5, 2, usize::MAX, 1, 3];
    let mut group = ErrGroup::<usize, ()>::new().limit(2);
    let spawner = group.spawner();
    for (number, limit) in limits.into_iter().cycle().take(60).enumerate() {
        let spawner = spawner.clone();
        group.spawn(async move {
            spawner.set_limit(limit);
            yields(number % 4).await;
            spawner.set_limit(limits[number % 3]);
            yields(number % 2).await;
            Ok(number)
        });
    }
    let (values, _) = Root::new().run(group.collect());
    assert_eq!(values, Ok((0..60).collect()));
}

// R7
#[test]
fn abort_all_in_a_loop_keeps_what_was_kept_and_nothing_else() {
    let mut group = ErrGroup::<usize, &str>::new().limit(2);
    for round in 0..100 {
        group.spawn(ready(Ok(round)));
        group.spawn(pending());
        group.spawn(ready(Ok(1000)));
        while group.len() > 1 {
            assert!(run(group.drive(ready(()))).is_some());
        }
        group.abort_all();
        group.abort_all();
        assert_eq!((group.len(), group.running()), (0, 0));
    }
    group.spawn(ready(Err("no")));
    assert!(run(group.drive(yields(2))).is_none());
    group.abort_all();
    let outcomes = run(async {
        let mut outcomes = Vec::new();
        while let Some(outcome) = group.next().await {
            outcomes.push(outcome);
        }
        outcomes
    });
    assert_eq!(outcomes.len(), 201);
    assert_eq!(outcomes[200], Err("no"));
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| **outcome == Ok(1000))
            .count(),
        100
    );
}

// R2
#[test]
fn tasks_that_wake_themselves_and_end_at_once_leave_no_trace() {
    let root = Root::new();
    let wakers = RefCell::new(Vec::new());
    let mut group = LocalErrGroup::<usize, ()>::new().limit(3);
    for number in 0..1000 {
        let wakers = &wakers;
        group.spawn(poll_fn(move |cx| {
            cx.waker().wake_by_ref();
            let waker = cx.waker().clone();
            waker.wake();
            wakers.borrow_mut().push(cx.waker().clone());
            Poll::Ready(Ok(number))
        }));
    }
    assert_eq!(root.run(group.collect()).0.unwrap().len(), 1000);
    for waker in wakers.take() {
        waker.wake();
    }
}

// R10, P1: what is nested is dropped and polled by recursion, as boxes in boxes are.
#[test]
fn groups_that_are_nested_ten_thousand_deep_need_a_large_stack_and_nothing_else() {
    let nested = || {
        let mut task: Pin<Box<dyn Future<Output = Result<(), ()>> + Send>> = Box::pin(yields_ok());
        for _ in 0..10_000 {
            let mut group = ErrGroup::new();
            group.spawn(task);
            task = Box::pin(group);
        }
        let root = Root::new();
        assert!(root.poll(&mut task).is_pending());
        assert_eq!(root.wakes(), 1);
        drop(task);
    };
    let thread = std::thread::Builder::new().stack_size(256 << 20);
    thread.spawn(nested).unwrap().join().unwrap();
}

async fn yields_ok() -> Result<(), ()> {
    yields(1000).await;
    Ok(())
}

// R7, G1
#[test]
fn keep_going_with_a_grace_lets_queued_tasks_see_the_cancel() {
    let grace = Probe::new();
    let task = grace.task();
    let (context, group) =
        LocalErrGroup::<u8, Fail>::with_grace(&CancelContext::new(), move || task);
    let mut group = group.keep_going().limit(1);
    group.spawn(ready(Err(Fail::Text("first"))));
    group.spawn(async { Err(Fail::Cancelled(context.cancelled().await.kind())) });
    group.spawn(ready(Ok(2)));
    group.spawn(pending());
    let root = Root::new();
    let mut all = Box::pin(group.wait_all());
    assert!(root.poll(&mut all).is_pending());
    grace.finish(());
    let Poll::Ready(Err(errors)) = root.poll(&mut all) else {
        panic!("the grace is over");
    };
    assert_eq!(
        (errors.total(), errors.first()),
        (4, Some(&Fail::Text("first")))
    );
    let failed = |index| (index, Fail::Cancelled(CancelKind::TaskFailed));
    let expected = [(0, Fail::Text("first")), failed(1), failed(3)];
    assert_eq!(errors.into_vec(), expected);
}

// R7, C5
#[test]
fn first_ok_of_a_graceful_group_ends_with_the_first_value_or_with_the_grace() {
    let graced = || ErrGroup::<u8, Fail>::with_grace(&CancelContext::new(), || ready(()));
    let (context, mut group) = graced();
    group.spawn(ready(Err(Fail::Text("no"))));
    group.spawn(async {
        yields(2).await;
        Ok(2)
    });
    let seen = Arc::new(Mutex::new(None));
    let (tells, asked) = (seen.clone(), context.clone());
    group.spawn(async move {
        let _end = OnDrop(|| *tells.lock().unwrap() = asked.reason());
        pending().await
    });
    assert_eq!(run(group.first_ok()).unwrap(), 2);
    // Dropped before the context says that the group is over.
    assert!(seen.lock().unwrap().is_none());
    assert_eq!(context.reason().unwrap().kind(), CancelKind::Finished);

    let (context, mut group) = graced();
    group.spawn(ready(Err(Fail::Text("no"))));
    group.spawn(pending());
    let root = Root::new();
    let mut first = Box::pin(group.first_ok());
    assert!(root.poll(&mut first).is_pending());
    context.cancel();
    let Poll::Ready(Err(errors)) = root.poll(&mut first) else {
        panic!("the grace is over");
    };
    let expected = [
        (0, Fail::Text("no")),
        (1, Fail::Cancelled(CancelKind::Cancelled)),
    ];
    assert_eq!(errors.into_vec(), expected);
}

// H1
#[test]
fn a_spawner_and_a_started_that_escape_do_nothing_any_more() {
    let kept = RefCell::new(None);
    let escaped = run(local_scope(async |s| {
        let up = s.start(async |started: Started<u8>| {
            *kept.borrow_mut() = Some(started);
            yields(3).await;
            Ok::<_, ()>(())
        });
        assert!(up.await.is_err());
        Ok(s)
    }));
    let spawner = escaped.unwrap();
    assert!(spawner.is_closed() && spawner.is_empty());
    let drops = Probe::<Result<(), ()>>::new();
    spawner.spawn(drops.task());
    assert!(drops.is_dropped());
    let mut handle = spawner.spawn_with_handle(ready(Ok(1)));
    assert_eq!(run(&mut handle).unwrap_err().kind(), CancelKind::Finished);
    assert!(!run(spawner.ready()));
    assert!(run(spawner.start(|_: Started<()>| ready(Ok(())))).is_err());
    drop(spawner);
    let started = kept.take().unwrap();
    started.ready(1);
}

// H2
#[test]
fn a_task_may_abort_itself_and_everybody_else_in_the_middle_of_its_poll() {
    let handles = RefCell::new(Vec::new());
    let group = LocalErrGroup::<(), ()>::new().limit(3);
    let spawner = group.spawner();
    for number in 0..6 {
        let handles = &handles;
        let handle = spawner.spawn_with_handle(async move {
            if number == 1 {
                handles
                    .borrow()
                    .iter()
                    .for_each(errgroup::TaskHandle::abort);
            }
            yields(1).await;
            Ok(number)
        });
        handles.borrow_mut().push(handle);
    }
    run(group).unwrap();
    for handle in handles.take() {
        assert_eq!(run(handle).unwrap_err().kind(), CancelKind::Cancelled);
    }
    // One that is ready in that poll has its value.
    let place = RefCell::new(None::<errgroup::TaskHandle<u8>>);
    let group = LocalErrGroup::<(), ()>::new();
    *place.borrow_mut() = Some(group.spawner().spawn_with_handle(async {
        place.borrow().as_ref().unwrap().abort();
        Ok(7)
    }));
    run(group).unwrap();
    assert_eq!(run(place.take().unwrap()).unwrap(), 7);
}

// R8, H1
#[test]
fn a_group_may_live_in_a_static_and_be_polled_by_whoever_comes() {
    static GROUP: Mutex<Option<ErrGroup<'static, usize, ()>>> = Mutex::new(None);
    *GROUP.lock().unwrap() = Some(ErrGroup::new().limit(2));
    let spawner = GROUP.lock().unwrap().as_ref().unwrap().spawner();
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let spawner = spawner.clone();
            std::thread::spawn(move || {
                for number in 0..100 {
                    spawner.spawn(async move {
                        yields(2).await;
                        Ok(thread * 100 + number)
                    });
                    let mut group = GROUP.lock().unwrap();
                    let group = group.as_mut().unwrap();
                    _ = Root::new().poll_new(group.drive(ready(())));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let group = GROUP.lock().unwrap().take().unwrap();
    let mut values = run(group.collect()).unwrap();
    values.sort_unstable();
    assert_eq!(values, (0..400).collect::<Vec<_>>());
}

// S1, S2
#[test]
fn the_largest_numbers_of_permits_are_counted() {
    let semaphore = Semaphore::new(usize::MAX / 2);
    let all = run(semaphore.acquire(usize::MAX / 2)).unwrap();
    assert!(semaphore.try_acquire(1).is_none() && semaphore.try_acquire(0).is_some());
    let root = Root::new();
    let mut most = semaphore.acquire(usize::MAX / 2);
    assert!(root.poll(&mut most).is_pending());
    for n in [usize::MAX / 2 + 1, usize::MAX - 1, usize::MAX] {
        assert_eq!(run(semaphore.acquire(n)).unwrap_err().requested, n);
        assert!(semaphore.try_acquire(n).is_none());
    }
    drop(all);
    assert_eq!((root.wakes(), semaphore.available()), (1, 0));
    drop(most);
    assert_eq!(semaphore.available(), usize::MAX / 2);
}

// C3: two deadlines that wait for each other.
#[test]
fn contexts_that_trigger_each_other_do_not_recurse() {
    let (first, second) = (CancelContext::new(), CancelContext::new());
    let (hand, other) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(None)));
    let watch = |place: &Arc<Mutex<Option<CancelContext>>>| {
        let place = place.clone();
        async move {
            let context: CancelContext = place.lock().unwrap().clone().unwrap();
            context.cancelled().await
        }
    };
    let one = first.with_trigger(watch(&other));
    let two = second.with_trigger(watch(&hand));
    *hand.lock().unwrap() = Some(one.clone());
    *other.lock().unwrap() = Some(two.clone());
    let root = Root::new();
    let mut waiting = [one.cancelled(), two.cancelled()];
    for waiting in &mut waiting {
        assert!(root.poll(waiting).is_pending());
    }
    second.cancel_with("second");
    assert!(root.wakes() > 0);
    let reason = run(&mut waiting[0]);
    assert_eq!(reason.kind(), CancelKind::Cancelled);
    assert_eq!(run(&mut waiting[1]).cause().unwrap().to_string(), "second");
}

// R2
#[test]
fn restless_tasks_in_a_map_and_in_groups_leave_room_for_a_select() {
    let polls = Arc::new(AtomicUsize::new(0));
    let mut group = ErrGroup::<(), ()>::new();
    for _ in 0..300 {
        group.spawn(restless(&polls));
    }
    let mut map = pin!(try_for_each(0.., 300, |_| restless::<Result<(), ()>>(
        &polls
    )));
    let mut rounds = 0;
    run(poll_fn(|cx| {
        assert!(Pin::new(&mut group).poll(cx).is_pending());
        assert!(map.as_mut().poll(cx).is_pending());
        rounds += 1;
        if rounds == 50 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }));
    // A round of 300 takes two polls, and no poll spans two rounds.
    assert!(
        (50 * 295..=50 * 512).contains(&polls.load(SeqCst)),
        "{polls:?}"
    );
}

#[cfg(feature = "std")]
mod panicking {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
    use std::task::Context;

    fn catch<R>(f: impl FnOnce() -> R) -> Option<&'static str> {
        match catch_unwind(AssertUnwindSafe(f)) {
            Ok(_) => None,
            Err(payload) => Some(payload.downcast_ref::<&str>().copied().unwrap_or("?")),
        }
    }

    /// Panics when it is dropped, unless the thread panics already.
    struct Bomb<F>(F);

    impl<F> Drop for Bomb<F> {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic_any("bomb");
            }
        }
    }

    impl<F: Future + Unpin> Future for Bomb<F> {
        type Output = F::Output;
        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
            Pin::new(&mut self.0).poll(cx)
        }
    }

    // H1, P4
    #[test]
    fn an_error_of_a_task_with_a_handle_is_not_lost_when_its_destructor_panics() {
        let mut group = ErrGroup::<(), &str>::new();
        let handle = group
            .spawner()
            .spawn_with_handle(Bomb(ready(Err::<u8, _>("no"))));
        assert_eq!(catch(|| run(&mut group)), Some("bomb"));
        assert_eq!(run(group), Err("no"));
        assert_eq!(run(handle).unwrap_err().kind(), CancelKind::TaskFailed);
    }

    // H1, P4
    #[test]
    fn a_value_of_a_task_with_a_handle_is_not_lost_when_its_destructor_panics() {
        let mut group = ErrGroup::<(), &str>::new();
        let handle = group.spawner().spawn_with_handle(Bomb(ready(Ok(5))));
        assert_eq!(catch(|| run(&mut group)), Some("bomb"));
        assert_eq!(run(group), Ok(()));
        assert_eq!(run(handle).ok(), Some(5));
    }

    // P3, R6
    #[test]
    fn catch_panics_keeps_the_error_of_a_task_with_a_handle_whose_destructor_panics() {
        let group = ErrGroup::<(), Fail>::new().catch_panics();
        let failing = Bomb(ready(Err::<u8, _>(Fail::Text("no"))));
        let handle = group.spawner().spawn_with_handle(failing);
        assert_eq!(run(group), Err(Fail::Text("no")));
        assert_eq!(run(handle).unwrap_err().kind(), CancelKind::TaskFailed);
    }

    // P4: also with a task that has a name, waits to be up, or is in the background.
    #[test]
    fn no_error_is_lost_when_the_destructor_of_its_task_panics() {
        type Spawn = fn(&ErrSpawner<'static, (), &'static str>);
        let spawns: [(&str, Spawn); 3] = [
            ("plain", |s| s.spawn(Bomb(ready(Err("no"))))),
            ("named", |s| s.spawn_named("name", Bomb(ready(Err("no"))))),
            ("background", |s| {
                s.spawn(pending());
                s.spawn_background(Bomb(ready(Err("no"))));
            }),
        ];
        for (name, spawn) in spawns {
            let mut group = ErrGroup::new();
            spawn(&group.spawner());
            assert_eq!(catch(|| run(&mut group)), Some("bomb"), "{name}");
            assert_eq!(run(group), Err("no"), "{name}");
        }
    }

    // P4: other errors go when the failure is given.
    #[test]
    fn the_failure_stays_when_the_destructor_of_a_later_error_panics() {
        let mut group = ErrGroup::<(), Result<&str, Bomb<()>>>::new().keep_going();
        group.spawn(ready(Err(Ok("first"))));
        group.spawn(ready(Err(Err(Bomb(())))));
        assert!(run(group.drive(yields(2))).is_some());
        assert_eq!(catch(|| run(&mut group)), Some("bomb"));
        assert!(matches!(run(group), Err(Ok("first"))));
    }

    // P1
    #[test]
    fn a_discarded_value_whose_destructor_panics_takes_nothing_along() {
        let mut group = ErrGroup::<Option<Bomb<()>>, &str>::new();
        group.spawn(ready(Ok(Some(Bomb(())))));
        group.spawn(ready(Ok(None)));
        group.spawn(async {
            yields(1).await;
            Err("no")
        });
        assert_eq!(catch(|| run(&mut group)), Some("bomb"));
        assert_eq!(run(group).err(), Some("no"));
    }

    // P1
    #[test]
    fn a_task_and_its_discarded_value_whose_destructors_both_panic_do_not_abort() {
        struct Always;
        impl Drop for Always {
            fn drop(&mut self) {
                panic_any("always");
            }
        }
        let mut group = ErrGroup::<Always, ()>::new();
        let always = Always;
        group.spawn(poll_fn(move |_| {
            let _task = &always;
            Poll::Ready(Ok(Always))
        }));
        assert_eq!(catch(|| run(&mut group)), Some("always"));
        assert_eq!(run(group), Ok(()));
    }

    // P1: while one task panics in its poll, its siblings panic in their destructors.
    #[test]
    fn panics_in_polls_and_destructors_at_the_same_time_do_not_abort() {
        struct Always;
        impl Drop for Always {
            fn drop(&mut self) {
                panic_any("always");
            }
        }
        for catches in [false, true] {
            let mut group = ErrGroup::<(), Fail>::new();
            if catches {
                group = group.catch_panics();
            }
            for _ in 0..5 {
                group.spawn(async {
                    let _always = Always;
                    pending().await
                });
                let handle = group.spawner().spawn_with_handle(async {
                    let _always = Always;
                    pending::<Result<u8, Fail>>().await
                });
                drop(handle);
                group.spawner().spawn_background(async {
                    let _always = Always;
                    pending().await
                });
            }
            group.spawn(async { panic_any("poll") });
            let caught = catch(|| {
                let mut group = group;
                _ = run(&mut group);
            });
            assert_eq!(caught, Some(if catches { "always" } else { "poll" }));
        }
    }

    // P3
    #[test]
    fn a_group_that_catches_panics_is_a_task_of_a_scope() {
        let spawned = scope(async |s| {
            let handle = s.spawn_with_handle(async {
                let mut group = ErrGroup::<u8, Fail>::new().catch_panics();
                group.spawn(async { panic!("inside") });
                group.spawn(ready(Ok(1)));
                Ok(group.settle().await)
            });
            Ok::<_, Fail>(handle.await.unwrap())
        });
        let caught = Err(Fail::Panicked("inside".into()));
        assert_eq!(run(spawned), Ok(vec![caught, Ok(1)]));
        let body = scope(async |s: ErrSpawner<'_, (), ()>| {
            s.spawn(pending());
            if true {
                panic_any("body");
            }
            Ok(())
        });
        assert_eq!(catch(|| run(body)), Some("body"));
    }
}
