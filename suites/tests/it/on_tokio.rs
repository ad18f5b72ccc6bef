//! Tasks on tokio's threads as tasks of a group.

use std::any::Any;
use std::cell::Cell;
use std::collections::HashSet;
use std::future::{Future, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use crate::common::{Fail, OnDrop, Root};
use crate::runtimes::{PATIENCE, current_thread, threads};
use errgroup::{CancelContext, CancelKind, Cancelled, ErrGroup, local_scope, on_tokio};
use futures::future::BoxFuture;
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio::time::sleep;

/// A future that never ends, and tells when it was started and when it was dropped.
fn watched() -> (
    impl Future<Output = Result<(), Fail>> + Send + 'static,
    mpsc::Receiver<&'static str>,
) {
    let (sender, told) = mpsc::channel();
    let future = async move {
        let dropped = sender.clone();
        let _guard = OnDrop(move || _ = dropped.send("dropped"));
        sender.send("started").unwrap();
        pending().await
    };
    (future, told)
}

#[track_caller]
fn expect(told: &mpsc::Receiver<&'static str>, what: &str) {
    assert_eq!(told.recv_timeout(PATIENCE), Ok(what));
}

#[test]
fn futures_give_the_output_itself() {
    threads(2).block_on(async {
        assert_eq!(on_tokio::spawn(async { 7 }).await, 7);
        assert_eq!(on_tokio::spawn_blocking(|| "seven").await, "seven");
        // Also one that is no `Result`, and is not `Sync`.
        assert_eq!(on_tokio::spawn(async { Cell::new(7) }).await.get(), 7);
    });
}

#[test]
fn task_starts_without_being_polled() {
    let runtime = threads(1);
    let (future, told) = watched();
    let task = {
        let _entered = runtime.enter();
        on_tokio::spawn(future)
    };
    expect(&told, "started");
    drop(task);
    expect(&told, "dropped");
}

#[test]
fn tasks_of_a_group_run_at_the_same_time() {
    // Four threads meet, though one polls the group. They would never, one after the other.
    let barrier = Arc::new(Barrier::new(4));
    let ids = threads(4).block_on(async {
        let mut group = ErrGroup::<_, Fail>::new();
        for _ in 0..2 {
            let (one, two) = (barrier.clone(), barrier.clone());
            group.spawn(on_tokio::spawn(async move {
                one.wait();
                Ok(thread::current().id())
            }));
            group.spawn(on_tokio::spawn_blocking(move || {
                two.wait();
                Ok(thread::current().id())
            }));
        }
        group.collect().await.unwrap()
    });
    let ids: HashSet<_> = ids.into_iter().collect();
    assert_eq!(ids.len(), 4);
    assert!(!ids.contains(&thread::current().id()));
}

#[test]
fn dropping_it_aborts_the_task() {
    for runtime in [threads(1), threads(2)] {
        runtime.block_on(async {
            let (future, told) = watched();
            let task = on_tokio::spawn(future);
            expect(&told, "started");
            drop(task);
            expect(&told, "dropped");
        });
    }
    current_thread().block_on(async {
        let (future, told) = watched();
        let task = on_tokio::spawn(future);
        yield_now().await;
        expect(&told, "started");
        drop(task);
        yield_now().await;
        assert_eq!(told.try_recv(), Ok("dropped"));
    });
}

#[test]
fn dropping_it_before_it_has_started_means_that_it_never_runs() {
    current_thread().block_on(async {
        let (future, told) = watched();
        drop(on_tokio::spawn(future));
        for _ in 0..3 {
            yield_now().await;
        }
        // Gone, and not a word was said.
        assert_eq!(told.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    });
}

#[test]
fn dropping_it_does_not_wait_for_the_task() {
    let runtime = threads(1);
    let (go, gone) = mpsc::channel::<()>();
    let (sender, told) = mpsc::channel();
    let _entered = runtime.enter();
    let task = on_tokio::spawn(async move {
        sender.send("started").unwrap();
        gone.recv().unwrap(); // It blocks, as it should not.
        sender.send("went on").unwrap();
        yield_now().await;
        sender.send("went on after an await").unwrap();
    });
    expect(&told, "started");
    drop(task);
    go.send(()).unwrap();
    expect(&told, "went on");
    assert_eq!(
        told.recv_timeout(PATIENCE),
        Err(mpsc::RecvTimeoutError::Disconnected)
    );
}

#[test]
fn dropping_it_when_it_has_ended_does_nothing() {
    threads(1).block_on(async {
        let mut task = on_tokio::spawn(async { 7 });
        assert_eq!((&mut task).await, 7);
        drop(task);

        // Also one that nobody has polled.
        let (sender, told) = mpsc::channel();
        let task = on_tokio::spawn_blocking(move || sender.send("ran").unwrap());
        expect(&told, "ran");
        drop(task);
    });
}

#[test]
fn blocking_function_that_has_not_started_never_will() {
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).max_blocking_threads(1).build();
    let ran = Arc::new(AtomicUsize::new(0));
    runtime.unwrap().block_on(async {
        let (go, gone) = mpsc::channel::<()>();
        // Holds the only thread.
        let first = on_tokio::spawn_blocking(move || gone.recv().unwrap());
        let counted = ran.clone();
        let second = on_tokio::spawn_blocking(move || counted.fetch_add(1, SeqCst));
        let third = on_tokio::spawn_blocking(|| 3);
        drop(second);
        go.send(()).unwrap();
        first.await;
        assert_eq!(third.await, 3);
    });
    assert_eq!(ran.load(SeqCst), 0);
}

#[test]
fn blocking_function_that_has_started_runs_on() {
    threads(1).block_on(async {
        let (go, gone) = mpsc::channel::<()>();
        let (sender, told) = mpsc::channel();
        let task = on_tokio::spawn_blocking(move || {
            sender.send("started").unwrap();
            gone.recv().unwrap();
            sender.send("went on").unwrap();
        });
        expect(&told, "started");
        drop(task);
        go.send(()).unwrap();
        expect(&told, "went on");
    });
}

/// The payload of the panic with which a future ends.
fn payload(future: impl Future) -> Box<dyn Any + Send> {
    let run = || _ = futures::executor::block_on(future);
    catch_unwind(AssertUnwindSafe(run)).unwrap_err()
}

#[test]
fn panics_go_on_where_it_is_awaited_with_their_payload() {
    let runtime = threads(1);
    let _entered = runtime.enter();
    let task = on_tokio::spawn(async { panic_any(7_u32) });
    assert_eq!(payload(task).downcast_ref(), Some(&7_u32));

    let task = on_tokio::spawn_blocking(|| panic_any(String::from("no")));
    assert_eq!(payload(task).downcast_ref(), Some(&String::from("no")),);

    // Through a group, too. Its other tasks are gone.
    let (future, told) = watched();
    let mut group = ErrGroup::new();
    group.spawn(on_tokio::spawn(future));
    group.spawn(on_tokio::spawn(async { panic_any(7_u32) }));
    assert_eq!(payload(group).downcast_ref(), Some(&7_u32));
    while let Ok(what) = told.recv_timeout(PATIENCE) {
        assert!(["started", "dropped"].contains(&what));
    }
}

// P3
#[test]
fn panics_on_other_threads_become_errors_of_a_group_that_catches_them() {
    let result = threads(2).block_on(async {
        let mut group = ErrGroup::<(), Fail>::new().catch_panics();
        group.spawn(on_tokio::spawn(pending()));
        group.spawn(on_tokio::spawn_blocking(|| panic!("no")));
        group.await
    });
    assert_eq!(result, Err(Fail::Panicked("no".into())));
}

#[test]
fn panic_of_a_task_that_was_dropped_disturbs_nobody() {
    let runtime = threads(1);
    runtime.block_on(async {
        let (sender, told) = mpsc::channel();
        let (go, gone) = mpsc::channel::<()>();
        let task = on_tokio::spawn_blocking(move || {
            let _guard = OnDrop(move || _ = sender.send("dropped"));
            gone.recv().unwrap();
            panic!("nobody hears it")
        });
        drop(task);
        // It may have been started or not.
        _ = go.send(());
        while told.recv_timeout(PATIENCE).is_ok() {}
        assert_eq!(on_tokio::spawn(async { 7 }).await, 7);
    });
}

// R5
#[test]
fn failure_of_a_group_aborts_its_tasks_on_other_threads() {
    let runtime = threads(2);
    let (futures, told): (Vec<_>, Vec<_>) = (0..20).map(|_| watched()).unzip();
    let result = runtime.block_on(async {
        let mut group = ErrGroup::new();
        for future in futures {
            group.spawn(on_tokio::spawn(future));
        }
        for told in &told {
            expect(told, "started");
        }
        group.spawn(on_tokio::spawn(async {
            yield_now().await;
            Err(Fail::Text("no"))
        }));
        group.await
    });
    assert_eq!(result, Err(Fail::Text("no")));
    for told in &told {
        expect(told, "dropped");
    }
}

#[test]
fn dropping_a_group_aborts_its_tasks_on_other_threads() {
    let runtime = threads(2);
    let (one, told_one) = watched();
    let (two, told_two) = watched();
    {
        let _entered = runtime.enter();
        let mut group = ErrGroup::new();
        group.spawn(on_tokio::spawn(one));
        expect(&told_one, "started");
        assert!(Root::new().poll(&mut group).is_pending());
        group.spawn(on_tokio::spawn(two)); // Queued in the group, and running.
        expect(&told_two, "started");
    }
    expect(&told_one, "dropped");
    expect(&told_two, "dropped");
}

// H2
#[test]
fn aborting_one_task_of_a_scope_aborts_it_on_the_other_thread() {
    let (future, told) = watched();
    threads(1).block_on(async {
        local_scope(async |s| {
            let handle = s.spawn_with_handle(on_tokio::spawn(future));
            expect(&told, "started");
            handle.abort();
            handle.await.unwrap_err();
            expect(&told, "dropped");
            Ok::<_, Fail>(())
        })
        .await
        .unwrap();
    });
}

// G1
#[test]
fn end_of_the_grace_aborts_tasks_on_other_threads() {
    let (future, told) = watched();
    let result = threads(1).block_on(async {
        let grace = || sleep(Duration::from_millis(20));
        let (_context, mut group) = ErrGroup::with_grace(&CancelContext::new(), grace);
        group.spawn(on_tokio::spawn(future));
        expect(&told, "started");
        group.spawn(ready(Err(Fail::Text("no"))));
        group.await
    });
    assert_eq!(result, Err(Fail::Text("no")));
    expect(&told, "dropped");
}

#[test]
fn limit_holds_for_tasks_that_spawn_when_they_start() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    threads(4).block_on(async {
        let mut group = ErrGroup::<_, Fail>::new().limit(3);
        for _ in 0..30 {
            let running = running.clone();
            group.spawn(async {
                let work = async move {
                    let now = running.fetch_add(1, SeqCst) + 1;
                    sleep(Duration::from_millis(1)).await;
                    running.fetch_sub(1, SeqCst);
                    now
                };
                Ok(on_tokio::spawn(work).await)
            });
        }
        for now in group.collect().await.unwrap() {
            most.fetch_max(now, SeqCst);
        }
    });
    assert!((1..=3).contains(&most.into_inner()));
}

#[test]
fn thousands_of_tasks_come_back() {
    // More than tokio lets one task poll without a break.
    for runtime in [threads(2), current_thread()] {
        let sum: usize = runtime.block_on(async {
            let mut group = ErrGroup::<_, Fail>::new();
            for number in 0..5_000 {
                group.spawn(on_tokio::spawn(async move {
                    yield_now().await;
                    Ok(number)
                }));
            }
            group.collect().await.unwrap().into_iter().sum()
        });
        assert_eq!(sum, 5_000 * 4_999 / 2);
    }
}

#[test]
fn group_may_be_polled_by_another_executor() {
    let runtime = threads(2);
    let _entered = runtime.enter();
    let mut group = ErrGroup::<_, Fail>::new();
    group.spawn(on_tokio::spawn(async {
        sleep(Duration::from_millis(5)).await;
        Ok(1)
    }));
    group.spawn(on_tokio::spawn_blocking(|| Ok(2)));
    assert_eq!(smol::block_on(group.collect()), Ok(vec![1, 2]));
}

#[test]
fn end_of_the_runtime_panics_no_group_that_runs_on_it() {
    // What is shut down first is decided by a race, so this is done often: one round in a few
    // hundred lets a group see that its tasks were cancelled before it is dropped itself.
    for _ in 0..300 {
        let runtime = threads(2);
        let group = runtime.spawn(async {
            let mut group = ErrGroup::<(), Fail>::new();
            for _ in 0..50 {
                group.spawn(on_tokio::spawn(async {
                    loop {
                        yield_now().await;
                    }
                }));
            }
            group.await
        });
        thread::yield_now();
        runtime.shutdown_timeout(PATIENCE);
        let error = futures::executor::block_on(group).unwrap_err();
        assert!(error.is_cancelled(), "{error}");
    }
}

/// What `spawn` makes on a runtime that is then dropped.
fn left_behind<T>(spawn: impl FnOnce() -> T) -> T {
    let runtime = threads(1);
    let _entered = runtime.enter();
    spawn()
}

#[test]
fn task_of_a_runtime_that_was_shut_down_is_pending_for_ever() {
    let (future, told) = watched();
    let mut task = left_behind(|| on_tokio::spawn(future));
    while told.recv_timeout(PATIENCE).is_ok() {} // It may have started or not.
    let root = Root::new();
    for _ in 0..3 {
        assert!(root.poll(&mut task).is_pending());
    }
    assert_eq!((root.wakes(), root.clones()), (0, 0));

    // A group of such a task goes on with its others.
    let mut group = ErrGroup::<u8, Fail>::new();
    group.spawn(left_behind(|| on_tokio::spawn(pending())));
    group.spawn(left_behind(|| on_tokio::spawn(pending())));
    assert!(root.poll(&mut group).is_pending());
    group.spawn(ready(Ok(7)));
    assert_eq!(root.run(group.next()).0, Some(Ok(7)));
}

#[test]
fn task_that_waits_when_its_runtime_is_shut_down_is_woken_once_and_pends() {
    let runtime = threads(1);
    let (future, told) = watched();
    let mut task = {
        let _entered = runtime.enter();
        on_tokio::spawn(future)
    };
    let root = Root::new();
    assert!(root.poll(&mut task).is_pending());
    expect(&told, "started");
    drop(runtime);
    expect(&told, "dropped");
    assert_eq!(root.wakes(), 1);
    for _ in 0..3 {
        assert!(root.poll(&mut task).is_pending());
    }
    assert_eq!(root.wakes(), 0);
}

#[test]
fn task_of_a_runtime_that_was_shut_down_had_the_time_to_end_or_panic() {
    let runtime = threads(1);
    let (done, panicked) = {
        let _entered = runtime.enter();
        let done = on_tokio::spawn(async { 7 });
        (done, on_tokio::spawn(async { panic_any(8_u32) }))
    };
    runtime.block_on(on_tokio_is_idle());
    drop(runtime);
    assert_eq!(Root::new().run(done).0, 7);
    assert_eq!(payload(panicked).downcast_ref(), Some(&8_u32));
}

/// Everything that was spawned before has run: there is one worker, and its queue is in order.
async fn on_tokio_is_idle() {
    for _ in 0..3 {
        on_tokio::spawn(yield_now()).await;
    }
}

#[test]
fn try_spawn_tells_that_the_runtime_was_shut_down() {
    let runtime = threads(1);
    let handle = runtime.handle().clone();
    let _entered = handle.enter();
    let before = on_tokio::try_spawn(pending::<()>());
    runtime.shutdown_timeout(PATIENCE);
    let after = on_tokio::try_spawn(pending::<()>());
    let blocking = on_tokio::try_spawn_blocking(|| unreachable!("nobody runs it"));
    let mut tasks = [
        left_behind(|| on_tokio::try_spawn(pending())),
        before,
        after,
        blocking,
    ];
    let root = Root::new();
    for task in &mut tasks {
        for _ in 0..2 {
            let Poll::Ready(Err(reason)) = root.poll(task) else {
                panic!("no reason is given");
            };
            assert_eq!(reason.kind(), CancelKind::Cancelled);
            let cause = reason.cause().unwrap().to_string();
            assert_eq!(cause, "tokio's runtime was shut down");
        }
    }
}

#[test]
fn try_spawn_gives_the_output_and_lets_panics_go_on() {
    let runtime = threads(1);
    let _entered = runtime.enter();
    let run = smol::block_on::<Result<u8, Cancelled>>;
    assert_eq!(run(on_tokio::try_spawn(async { 7 })).unwrap(), 7);
    assert_eq!(run(on_tokio::try_spawn_blocking(|| 7)).unwrap(), 7);
    let task = on_tokio::try_spawn(async { panic_any(7_u32) });
    assert_eq!(payload(task).downcast_ref(), Some(&7_u32));
    let task = on_tokio::try_spawn_blocking(|| panic_any(8_u32));
    assert_eq!(payload(task).downcast_ref(), Some(&8_u32));

    let (future, told) = watched();
    let task = on_tokio::try_spawn(future);
    expect(&told, "started");
    drop(task);
    expect(&told, "dropped");
}

#[test]
fn runtime_that_is_shut_down_fails_a_group_elsewhere_whose_tasks_tell_it() {
    let runtime = threads(2);
    let (futures, told): (Vec<_>, Vec<_>) = (0..20).map(|_| watched()).unzip();
    let mut group = ErrGroup::<(), Fail>::new();
    {
        let _entered = runtime.enter();
        for future in futures {
            let task = on_tokio::try_spawn(future);
            group.spawn(async { task.await? });
        }
    }
    let root = Root::new();
    assert!(root.poll(&mut group).is_pending());
    for told in &told {
        expect(told, "started");
    }
    drop(runtime);
    assert_ne!(root.wakes(), 0);
    let cancelled = Err(Fail::Cancelled(CancelKind::Cancelled));
    assert_eq!(root.poll(&mut group), Poll::Ready(cancelled));
}

/// The ways in which a runtime goes down.
const ENDS: [fn(Runtime); 3] = [drop, Runtime::shutdown_background, |runtime| {
    runtime.shutdown_timeout(PATIENCE)
}];

/// Runs a group on a thread of its own, by any means; the receiver is given what it comes to. When
/// this returns the group was polled once.
fn waiting<T: Send + 'static>(
    wait: impl FnOnce(BoxFuture<'static, T>) -> T + Send + 'static,
    group: impl Future<Output = T> + Send + 'static,
) -> mpsc::Receiver<T> {
    let (polled, was_polled) = mpsc::channel();
    let (sender, result) = mpsc::channel();
    thread::spawn(move || {
        let group = async move {
            let mut group = Box::pin(group);
            assert!(futures::poll!(&mut group).is_pending());
            polled.send(()).unwrap();
            group.await
        };
        sender.send(wait(Box::pin(group))).unwrap();
    });
    was_polled.recv_timeout(PATIENCE).unwrap();
    result
}

#[test]
fn runtime_that_goes_down_in_any_way_fails_the_group_that_waits_in_any_way() {
    type Wait = fn(BoxFuture<'static, Result<(), Fail>>) -> Result<(), Fail>;
    let waits: [Wait; 4] = [
        futures::executor::block_on,
        smol::block_on,
        |group| current_thread().block_on(group),
        |group| threads(2).block_on(async { tokio::spawn(group).await.unwrap() }),
    ];
    for wait in waits {
        for end in ENDS {
            for runtime in [threads(2), current_thread()] {
                let mut group = ErrGroup::<(), Fail>::new();
                let (futures, told): (Vec<_>, Vec<_>) = (0..3).map(|_| watched()).unzip();
                let (dropped, drops) = mpsc::channel();
                let sibling = OnDrop(move || dropped.send(()).unwrap());
                group.spawn(async move {
                    let _sibling = sibling;
                    pending().await
                });
                {
                    let _entered = runtime.enter();
                    for future in futures {
                        let task = on_tokio::try_spawn(future);
                        group.spawn(async { task.await? });
                    }
                }
                runtime.block_on(on_tokio_is_idle());
                told.iter().for_each(|told| expect(told, "started"));
                let result = waiting(wait, group);
                end(runtime);
                let result = result.recv_timeout(PATIENCE);
                assert_eq!(result, Ok(Err(Fail::Cancelled(CancelKind::Cancelled))));
                told.iter().for_each(|told| expect(told, "dropped"));
                assert_eq!(drops.try_recv(), Ok(()));
            }
        }
    }
}

#[test]
fn group_on_a_runtime_of_one_thread_goes_down_with_its_tasks() {
    for end in ENDS {
        let runtime = current_thread();
        let (futures, told): (Vec<_>, Vec<_>) = (0..3).map(|_| watched()).unzip();
        let owner = runtime.spawn(async {
            let mut group = ErrGroup::new();
            for future in futures {
                group.spawn(on_tokio::spawn(future));
            }
            group.await
        });
        runtime.block_on(on_tokio_is_idle());
        told.iter().for_each(|told| expect(told, "started"));
        end(runtime);
        told.iter().for_each(|told| expect(told, "dropped"));
        let error = futures::executor::block_on(owner).unwrap_err();
        assert!(error.is_cancelled(), "{error}");
    }
}

// G1: what would wait for ever is dropped when the grace is over.
#[test]
fn grace_ends_a_group_whose_tasks_wait_for_a_runtime_that_is_gone() {
    let parent = CancelContext::new();
    let (_, mut group) = ErrGroup::<(), Fail>::with_grace(&parent, || ready(()));
    for _ in 0..3 {
        group.spawn(left_behind(|| on_tokio::spawn(pending())));
    }
    let result = waiting(futures::executor::block_on, group);
    parent.cancel();
    let result = result.recv_timeout(PATIENCE);
    assert_eq!(result, Ok(Err(Fail::Cancelled(CancelKind::Cancelled))));
}

#[test]
fn blocking_functions_answer_a_group_that_outlives_their_runtime() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let (go, gone) = mpsc::channel::<()>();
    let (sender, told) = mpsc::channel();
    let mut group = ErrGroup::<u8, Fail>::new();
    {
        let _entered = runtime.enter();
        let running = on_tokio::try_spawn_blocking(move || {
            sender.send("started").unwrap();
            gone.recv().unwrap();
            Ok(7)
        });
        group.spawn(async { running.await? });
        expect(&told, "started");
        // It waits for the thread. Whether it is run is up to tokio.
        let queued = on_tokio::try_spawn_blocking(|| Ok(8));
        group.spawn(async { queued.await? });
    }
    let outcomes = waiting(futures::executor::block_on, group.settle());
    runtime.shutdown_background();
    go.send(()).unwrap();
    let outcomes = outcomes.recv_timeout(PATIENCE).unwrap();
    assert_eq!(outcomes[0], Ok(7));
    let cancelled = Err(Fail::Cancelled(CancelKind::Cancelled));
    assert!(outcomes[1] == Ok(8) || outcomes[1] == cancelled);
}

// §3: what cannot be stopped holds up the runtime, not the group.
#[test]
fn blocking_function_that_ignores_a_cancel_does_not_hold_up_its_group() {
    let runtime = threads(1);
    let (go, gone) = mpsc::channel::<()>();
    let (sender, told) = mpsc::channel();
    let result = runtime.block_on(async {
        let mut group = ErrGroup::new();
        group.spawn(on_tokio::spawn_blocking(move || {
            sender.send("started").unwrap();
            gone.recv().unwrap();
            sender.send("went on").unwrap();
            Ok(())
        }));
        expect(&told, "started");
        group.spawn(ready(Err(Fail::Text("no"))));
        group.await
    });
    assert_eq!(result, Err(Fail::Text("no")));
    assert_eq!(told.try_recv(), Err(mpsc::TryRecvError::Empty));
    runtime.shutdown_background(); // Dropping it would hang.
    go.send(()).unwrap();
    expect(&told, "went on");
}

#[test]
fn group_may_outlive_the_runtime() {
    let runtime = threads(1);
    let mut group = ErrGroup::<(), Fail>::new();
    {
        let _entered = runtime.enter();
        group.spawn(on_tokio::spawn(pending()));
        group.spawn(on_tokio::spawn(async { Ok(()) }));
        assert!(Root::new().poll(&mut group).is_pending());
    }
    drop(runtime);
    drop(group);
}

#[test]
fn spawning_outside_of_a_runtime_panics() {
    let caught = catch_unwind(|| drop(on_tokio::spawn(async {})));
    caught.unwrap_err();
    let caught = catch_unwind(|| drop(on_tokio::spawn_blocking(|| ())));
    caught.unwrap_err();
    catch_unwind(|| drop(on_tokio::try_spawn(async {}))).unwrap_err();
    catch_unwind(|| drop(on_tokio::try_spawn_blocking(|| ()))).unwrap_err();
}

#[test]
fn task_is_send_and_sync_if_its_output_is_send() {
    fn assert_send_sync_unpin<T: Send + Sync + Unpin>() {}
    assert_send_sync_unpin::<on_tokio::Task<Cell<u8>>>();
    assert_send_sync_unpin::<on_tokio::TryTask<Cell<u8>>>();

    let runtime = current_thread();
    let _entered = runtime.enter();
    let task = on_tokio::spawn(async {});
    assert!(format!("{task:?}").starts_with("Task("));
    let task = on_tokio::try_spawn(async {});
    assert!(format!("{task:?}").starts_with("TryTask("));
}
