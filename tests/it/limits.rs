//! How many tasks run at once, in what order they start, and how one waits for room.

use std::future::{Future, pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use crate::common::{OnDrop, Probe, Root, probes, run, yields};
use errgroup::{CancelContext, ErrGroup, ErrSpawner, LocalErrGroup};

type Unit = Result<(), &'static str>;

// R8

#[test]
fn queued_tasks_start_in_spawn_order() {
    for limit in [1, 2, 7, 64, 1_000] {
        let order = Mutex::new(Vec::new());
        let mut group = ErrGroup::<(), ()>::new().limit(limit);
        let spawner = group.spawner();
        for number in 0..200 {
            let order = &order;
            let task = async move {
                order.lock().unwrap().push(number);
                yields(number % 3).await;
                Ok(())
            };
            // Through both doors.
            if number % 2 == 0 {
                group.spawn(task);
            } else {
                spawner.spawn(task);
            }
        }
        run(group).unwrap();
        assert!(order.lock().unwrap().iter().copied().eq(0..200));
    }
}

#[test]
fn a_spawner_made_after_the_first_spawns_keeps_the_order() {
    let order = Mutex::new(Vec::new());
    let mut group = ErrGroup::<_, ()>::new().limit(1);
    let task = |number| {
        let order = &order;
        async move {
            order.lock().unwrap().push(number);
            Ok(number)
        }
    };
    group.spawn(task(0));
    group.spawn(task(1));
    let spawner = group.spawner();
    spawner.spawn(task(2));
    group.spawn(task(3));
    spawner.clone().spawn(task(4));
    drop(spawner);
    group.spawn(task(5));
    assert_eq!(run(group.collect()), Ok(vec![0, 1, 2, 3, 4, 5]));
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_queued_task_starts_in_the_poll_that_frees_a_slot() {
    let root = Root::new();
    let probes = probes::<Unit>(5);
    let mut group = ErrGroup::new().limit(2);
    group.extend(probes.iter().map(Probe::task));
    let polls = || probes.iter().map(Probe::polls).collect::<Vec<_>>();
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(polls(), [1, 1, 0, 0, 0]);
    assert_eq!((group.running(), group.queued(), group.len()), (2, 3, 5));
    probes[1].finish(Ok(()));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(polls(), [1, 2, 1, 0, 0]);
    assert_eq!(root.wakes(), 1);
    // A whole queue of tasks that are ready at once goes through one slot in one poll.
    probes[3].set(Ok(()));
    probes[4].set(Ok(()));
    probes[0].finish(Ok(()));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(polls(), [2, 2, 1, 1, 1]);
    assert_eq!((group.running(), group.queued()), (1, 0));
    assert_eq!(root.wakes(), 1);
}

#[test]
fn never_more_tasks_run_than_the_limit_allows() {
    for limit in [1, 3, 63, 64, 100] {
        let (now, most) = (&AtomicUsize::new(0), &AtomicUsize::new(0));
        let mut group = ErrGroup::<(), ()>::new().limit(limit);
        let spawner = group.spawner();
        for number in 0..500 {
            let spawner = spawner.clone();
            group.spawn(async move {
                most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                assert!(spawner.running() <= limit);
                yields(number % 4).await;
                now.fetch_sub(1, SeqCst);
                Ok(())
            });
        }
        run(group).unwrap();
        assert_eq!(most.load(SeqCst), limit);
    }
}

#[test]
fn a_task_that_spawns_at_the_limit_does_not_deadlock() {
    // conc#88: nested `Go` at the limit.
    fn tree<'env>(
        spawner: ErrSpawner<'env, (), ()>,
        count: &'env AtomicUsize,
        depth: usize,
    ) -> Pin<Box<dyn Future<Output = Result<(), ()>> + Send + 'env>> {
        Box::pin(async move {
            count.fetch_add(1, SeqCst);
            if depth > 0 {
                for _ in 0..2 {
                    spawner.spawn(tree(spawner.clone(), count, depth - 1));
                }
            }
            Ok(())
        })
    }
    for limit in [1, 2, 8] {
        let count = AtomicUsize::new(0);
        let mut group = ErrGroup::new().limit(limit);
        group.spawn(tree(group.spawner(), &count, 8));
        run(group).unwrap();
        assert_eq!(count.into_inner(), 511);
    }
}

#[test]
fn raising_the_limit_starts_queued_tasks_with_the_next_poll() {
    let root = Root::new();
    let probes = probes::<Unit>(6);
    let mut group = ErrGroup::new().limit(1);
    let spawner = group.spawner();
    group.extend(probes.iter().map(Probe::task));
    assert!(root.poll(&mut group).is_pending());
    group.set_limit(3);
    assert_eq!((group.running(), root.wakes()), (1, 1));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(group.running(), 3);
    std::thread::scope(|scope| _ = scope.spawn(|| spawner.set_limit(5)));
    assert_eq!(root.wakes(), 1);
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((group.running(), probes[5].polls()), (5, 0));
}

#[test]
fn raising_the_limit_inside_a_task_starts_queued_tasks_in_the_same_poll() {
    let root = Root::new();
    let mut group = ErrGroup::<(), ()>::new().limit(1);
    let spawner = group.spawner();
    group.spawn(async move {
        spawner.set_limit(usize::MAX);
        pending().await
    });
    group.extend((0..10).map(|_| pending()));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((group.running(), root.wakes()), (11, 0));
}

#[test]
fn lowering_the_limit_stops_nobody_and_drains() {
    let root = Root::new();
    let probes = probes::<Unit>(6);
    let mut group = ErrGroup::new().limit(4);
    group.extend(probes.iter().map(Probe::task));
    assert!(root.poll(&mut group).is_pending());
    group.set_limit(2);
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((group.running(), group.queued()), (4, 2));
    for (done, running) in [(0, 3), (1, 2), (2, 2), (3, 2), (4, 1)] {
        probes[done].finish(Ok(()));
        assert!(root.poll(&mut group).is_pending());
        assert_eq!(group.running(), running, "after {done}");
    }
    assert!(probes.iter().all(|probe| probe.polls() >= 1));
    probes[5].finish(Ok(()));
    assert!(root.poll(&mut group).is_ready());
}

#[test]
fn try_spawn_refuses_when_as_many_tasks_are_there_as_the_limit_says() {
    let root = Root::new();
    let probe = Probe::<Unit>::new();
    let mut group = ErrGroup::new().limit(2);
    let spawner = group.spawner();
    group.try_spawn(probe.task()).unwrap();
    spawner.try_spawn(pending()).unwrap();
    // Queued ones count, too.
    assert_eq!((group.len(), group.running()), (2, 0));
    assert!(group.try_spawn(pending()).unwrap_err().is_full());
    assert!(spawner.try_spawn(pending()).unwrap_err().is_full());
    assert!(root.poll(&mut group).is_pending());
    assert!(group.try_spawn(pending()).unwrap_err().is_full());
    group.set_limit(3);
    spawner.try_spawn(pending()).unwrap();
    assert!(group.try_spawn(pending()).unwrap_err().is_full());
    spawner.spawn(pending());
    assert_eq!(group.len(), 4);
    probe.finish(Ok(()));
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(group.len(), 3);
    group.set_limit(1);
    assert!(spawner.try_spawn(pending()).unwrap_err().is_full());
}

#[test]
fn try_spawn_gives_the_same_future_back_unpolled() {
    for shared in [false, true] {
        let probe = Probe::<Unit>::new();
        let mut group = ErrGroup::new().limit(1);
        let _spawner = shared.then(|| group.spawner());
        group.spawn(pending());
        let task = group.try_spawn(probe.task()).unwrap_err().into_inner();
        assert_eq!((probe.polls(), probe.drops()), (0, 0));
        group.set_limit(2);
        group.try_spawn(task).unwrap();
        assert_eq!((group.len(), probe.drops()), (2, 0));
    }
}

#[test]
fn a_limit_of_zero_panics_and_changes_nothing() {
    let message = |f: &mut dyn FnMut()| {
        let payload = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
        match payload.downcast::<String>() {
            Ok(text) => *text,
            Err(payload) => (*payload.downcast::<&str>().unwrap()).to_string(),
        }
    };
    let mut group = ErrGroup::<(), ()>::new().limit(1);
    let spawner = group.spawner();
    let local = LocalErrGroup::<(), ()>::new();
    let local_spawner = local.spawner();
    let mut local = Some(local);
    let texts = [
        message(&mut || drop(ErrGroup::<(), ()>::new().limit(0))),
        message(&mut || group.set_limit(0)),
        message(&mut || spawner.set_limit(0)),
        message(&mut || drop(local.take().unwrap().limit(0))),
        message(&mut || local_spawner.set_limit(0)),
    ];
    assert!(texts.iter().all(|text| text.contains("limit")), "{texts:?}");
    group.spawn(pending());
    assert!(group.try_spawn(pending()).unwrap_err().is_full());
}

#[test]
fn spawn_never_blocks_and_never_polls() {
    let mut group = ErrGroup::<(), ()>::new().limit(1);
    let spawner = group.spawner();
    for _ in 0..10_000 {
        group.spawn(async { unreachable!() });
        spawner.spawn(async { unreachable!() });
    }
    assert_eq!((group.queued(), spawner.len()), (20_000, 20_000));
    assert!(!spawner.is_empty());
}

// R9

#[test]
fn ready_starts_what_is_queued_and_returns_at_once_when_there_is_room() {
    let root = Root::new();
    let probe = Probe::<Unit>::new();
    let mut group = ErrGroup::new().limit(2);
    group.spawn(probe.task());
    assert_eq!(root.poll_new(group.ready()), Poll::Ready(true));
    assert_eq!(probe.polls(), 1);
}

#[test]
fn ready_drives_the_group_until_there_is_room() {
    let root = Root::new();
    let probes = probes::<Unit>(3);
    let mut group = ErrGroup::new().limit(2);
    group.extend(probes.iter().map(Probe::task));
    assert!(root.poll_new(group.ready()).is_pending());
    assert_eq!((probes[1].polls(), probes[2].polls()), (1, 0));
    probes[0].finish(Ok(()));
    // Still two: one running, and one from the queue.
    assert!(root.poll_new(group.ready()).is_pending());
    assert_eq!((group.len(), probes[2].polls()), (2, 1));
    probes[2].finish(Ok(()));
    assert_eq!(root.poll_new(group.ready()), Poll::Ready(true));
    assert_eq!(group.len(), 1);
    probes[1].finish(Ok(()));
    assert_eq!(run(group.collect()).unwrap().len(), 3);
}

#[test]
fn ready_is_woken_when_the_limit_is_raised() {
    let root = Root::new();
    let mut group = ErrGroup::<(), ()>::new().limit(1);
    let spawner = group.spawner();
    group.spawn(pending());
    let mut ready = Box::pin(group.ready());
    assert!(root.poll(&mut ready).is_pending());
    spawner.set_limit(2);
    assert_eq!(root.wakes(), 1);
    assert_eq!(root.poll(&mut ready), Poll::Ready(true));
}

#[test]
fn ready_is_false_when_the_group_has_failed_or_is_over() {
    let root = Root::new();
    let mut group = ErrGroup::<(), &str>::new().limit(1);
    group.spawn(ready(Err("no")));
    assert_eq!(root.poll_new(group.ready()), Poll::Ready(false));
    assert_eq!(root.poll_new(group.ready()), Poll::Ready(false));
    assert_eq!(run(&mut group), Err("no"));
    assert_eq!(root.poll_new(group.ready()), Poll::Ready(true));

    let (context, mut group) = ErrGroup::<(), &str>::with_context(&CancelContext::new());
    assert_eq!(root.poll_new(group.ready()), Poll::Ready(true));
    context.cancel();
    assert_eq!(run(&mut group), Ok(()));
    assert_eq!(root.poll_new(group.ready()), Poll::Ready(false));
}

type Waiting = Pin<Box<dyn Future<Output = bool> + Send>>;

/// Tasks of the program that wait with `Spawner::ready`.
struct Waiters {
    waiting: Vec<(Root, Waiting)>,
}

impl Waiters {
    #[track_caller]
    fn new(spawner: &ErrSpawner<'static, (), &'static str>, count: usize) -> Self {
        let mut waiting = Vec::new();
        for _ in 0..count {
            let (root, spawner) = (Root::new(), spawner.clone());
            let mut ready = Box::pin(async move { spawner.ready().await });
            assert!(root.poll(&mut ready).is_pending());
            waiting.push((root, ready as Waiting));
        }
        Waiters { waiting }
    }

    /// Every one was woken, once, and gets `expected`.
    #[track_caller]
    fn expect(mut self, expected: bool) {
        for (root, _) in &self.waiting {
            assert_eq!(root.wakes(), 1);
        }
        for (root, ready) in &mut self.waiting {
            assert_eq!(root.poll(ready), Poll::Ready(expected));
        }
    }

    #[track_caller]
    fn expect_asleep(&mut self) {
        for (root, ready) in &mut self.waiting {
            assert_eq!(root.wakes(), 0);
            assert!(root.poll(ready).is_pending());
        }
    }
}

#[test]
fn everyone_who_waits_for_room_is_woken_when_a_task_ends() {
    let root = Root::new();
    let probe = Probe::<Unit>::new();
    let mut group = ErrGroup::new().limit(2);
    group.spawn(pending());
    group.spawn(probe.task());
    let spawner = group.spawner();
    assert!(root.poll(&mut group).is_pending());
    let mut waiters = Waiters::new(&spawner, 10);
    assert!(root.poll(&mut group).is_pending());
    waiters.expect_asleep();
    probe.wake();
    assert!(root.poll(&mut group).is_pending());
    waiters.expect_asleep();
    probe.finish(Ok(()));
    assert!(root.poll(&mut group).is_pending());
    waiters.expect(true);
    assert!(run(spawner.ready()));
    root.wakes();
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(root.wakes(), 0);
}

#[test]
fn waiting_for_room_does_not_drive_the_group() {
    let probe = Probe::<Unit>::new();
    let mut group = ErrGroup::new().limit(1);
    group.spawn(probe.task());
    let spawner = group.spawner();
    let _waiters = Waiters::new(&spawner, 3);
    assert_eq!(probe.polls(), 0);
}

#[test]
fn everyone_who_waits_for_room_is_woken_by_a_higher_limit() {
    let mut group = ErrGroup::<(), &str>::new().limit(1);
    group.spawn(pending());
    let spawner = group.spawner();
    let waiters = Waiters::new(&spawner, 3);
    spawner.set_limit(2);
    waiters.expect(true);
    group.spawn(pending());
    let waiters = Waiters::new(&spawner, 3);
    group.set_limit(3);
    waiters.expect(true);
}

// P5
#[test]
#[cfg(feature = "std")] // Otherwise nothing can be caught on the way.
fn everyone_who_waits_for_room_is_woken_by_a_higher_limit_though_the_waker_of_the_group_panics() {
    use crate::common::{on_wake, poll_with};
    type Raise =
        fn(&mut ErrGroup<'static, (), &'static str>, &ErrSpawner<'static, (), &'static str>);
    let ways: [Raise; 2] = [
        |_, spawner| spawner.set_limit(2),
        |group, _| group.set_limit(2),
    ];
    for raise in ways {
        let mut group = ErrGroup::new().limit(1);
        group.spawn(pending());
        let spawner = group.spawner();
        let bad = on_wake(|| panic!("waker"));
        assert!(poll_with(&mut group, &bad).is_pending());
        let waiters = Waiters::new(&spawner, 3);
        let raised = catch_unwind(AssertUnwindSafe(|| raise(&mut group, &spawner)));
        assert!(raised.is_err());
        waiters.expect(true);
    }
}

#[test]
fn room_is_not_reserved_and_who_comes_too_late_waits_again() {
    let root = Root::new();
    let probe = Probe::<Unit>::new();
    let mut group = ErrGroup::new().limit(1);
    group.spawn(probe.task());
    let spawner = group.spawner();
    assert!(root.poll(&mut group).is_pending());
    let mut waiters = Waiters::new(&spawner, 2);
    probe.finish(Ok(()));
    let _ = root.poll_new(group.drive(pending::<()>()));
    let second = waiters.waiting.pop().unwrap();
    waiters.expect(true);
    let next = Probe::<Unit>::new();
    spawner.try_spawn(next.task()).unwrap();
    let (late, mut ready) = second;
    assert_eq!(late.wakes(), 1);
    assert!(late.poll(&mut ready).is_pending());
    let _ = root.poll_new(group.drive(pending::<()>()));
    assert_eq!(late.wakes(), 0);
    next.finish(Ok(()));
    let _ = root.poll_new(group.drive(pending::<()>()));
    assert_eq!(late.wakes(), 1);
    assert_eq!(late.poll(&mut ready), Poll::Ready(true));
}

#[test]
fn a_waiter_for_room_that_is_dropped_leaves_nothing() {
    let root = Root::new();
    let mut group = ErrGroup::<(), &str>::new().limit(1);
    group.spawn(pending());
    let spawner = group.spawner();
    let mut waiters = Waiters::new(&spawner, 10);
    let gone: Vec<_> = waiters.waiting.drain(2..8).collect();
    let roots: Vec<_> = gone.into_iter().map(|(root, _)| root).collect();
    assert!(roots.iter().all(|root| root.clones() == 0));
    spawner.set_limit(2);
    assert!(roots.iter().all(|root| root.wakes() == 0));
    waiters.expect(true);
    assert!(root.poll(&mut group).is_pending());
}

#[test]
fn a_waiter_for_room_that_was_woken_and_dropped_takes_nothing_along() {
    let mut group = ErrGroup::<(), &str>::new().limit(1);
    group.spawn(pending());
    let spawner = group.spawner();
    let mut waiters = Waiters::new(&spawner, 2);
    spawner.set_limit(2);
    let (root, ready) = waiters.waiting.remove(0);
    assert_eq!(root.wakes(), 1);
    drop(ready);
    waiters.expect(true);
}

#[test]
fn a_waiter_for_room_wakes_the_waker_of_its_last_poll_only() {
    let mut group = ErrGroup::<(), &str>::new().limit(1);
    group.spawn(pending());
    let spawner = group.spawner();
    let (first, second) = (Root::new(), Root::new());
    let mut ready = Box::pin(spawner.ready());
    assert!(first.poll(&mut ready).is_pending());
    assert!(second.poll(&mut ready).is_pending());
    assert_eq!(first.clones(), 0);
    spawner.set_limit(2);
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
}

#[test]
fn everyone_who_waits_for_room_gets_false_when_the_group_fails() {
    let root = Root::new();
    let mut group = ErrGroup::<(), &str>::new().limit(1);
    group.spawn(ready(Err("no")));
    let spawner = group.spawner();
    let waiters = Waiters::new(&spawner, 5);
    assert_eq!(
        root.poll_new(group.drive(pending::<()>())),
        Poll::Ready(None)
    );
    waiters.expect(false);
}

#[test]
fn everyone_who_waits_for_room_gets_false_when_a_graceful_group_fails() {
    let root = Root::new();
    let (_context, group) = ErrGroup::<(), &str>::with_context(&CancelContext::new());
    let mut group = group.limit(2);
    group.spawn(pending());
    group.spawn(ready(Err("no")));
    let spawner = group.spawner();
    let waiters = Waiters::new(&spawner, 5);
    assert!(root.poll(&mut group).is_pending());
    waiters.expect(false);
}

#[test]
fn everyone_who_waits_for_room_gets_false_when_the_group_is_dropped() {
    let mut group = ErrGroup::<(), &str>::new().limit(1);
    group.spawn(pending());
    let spawner = group.spawner();
    let waiters = Waiters::new(&spawner, 5);
    drop(group);
    waiters.expect(false);
}

#[test]
fn everyone_who_waits_for_room_gets_false_when_the_group_is_finished() {
    let root = Root::new();
    let mut group = ErrGroup::<(), &str>::new().limit(1);
    let probe = Probe::<Unit>::new();
    group.spawn(probe.task());
    let spawner = group.spawner();
    let mut collect = Box::pin(group.collect());
    assert!(root.poll(&mut collect).is_pending());
    let waiters = Waiters::new(&spawner, 5);
    probe.finish(Ok(()));
    assert!(root.poll(&mut collect).is_ready());
    waiters.expect(false);
}

#[test]
fn everyone_who_waits_for_room_gets_true_after_abort_all() {
    let mut group = ErrGroup::<(), &str>::new().limit(1);
    group.spawn(pending());
    let spawner = group.spawner();
    let waiters = Waiters::new(&spawner, 5);
    group.abort_all();
    waiters.expect(true);
}

/// A task of an executor that polls it inside of `wake`, or on another thread before `wake`
/// returns.
struct Inline {
    future: Mutex<Option<Pin<Box<dyn Future<Output = bool> + Send>>>>,
    output: Mutex<Option<bool>>,
}

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        let mut future = self.future.lock().unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        if let Some(Poll::Ready(output)) = future.as_mut().map(|f| f.as_mut().poll(&mut cx)) {
            *self.output.lock().unwrap() = Some(output);
        }
    }
}

#[test]
fn who_waits_for_room_is_not_told_of_a_failure_by_abort_all() {
    // R9: false only if the group has failed (or is over). The waiter may be polled on another
    // thread as soon as it is woken.
    let mut group = ErrGroup::<(), &'static str>::new().limit(1);
    group.spawn(pending());
    let spawner = group.spawner();
    let inline = Arc::new(Inline {
        future: Mutex::new(Some(Box::pin(async move { spawner.ready().await }))),
        output: Mutex::new(None),
    });
    let waker = Waker::from(inline.clone());
    let poll = {
        let mut future = inline.future.lock().unwrap();
        let mut cx = Context::from_waker(&waker);
        future.as_mut().unwrap().as_mut().poll(&mut cx)
    };
    assert!(poll.is_pending());
    group.abort_all();
    assert_eq!(*inline.output.lock().unwrap(), Some(true));
}

#[test]
fn a_producer_that_waits_for_room_feeds_a_group_that_is_driven_elsewhere() {
    let mut group = ErrGroup::<(), ()>::new().limit(3);
    let spawner = group.spawner();
    let done = &AtomicUsize::new(0);
    let producer = async move {
        for number in 0..200 {
            assert!(spawner.ready().await);
            assert!(spawner.len() < 3);
            spawner.spawn(async move {
                yields(number % 3).await;
                done.fetch_add(1, SeqCst);
                Ok(())
            });
        }
    };
    run(async {
        assert_eq!(group.drive(producer).await, Some(()));
        group.await.unwrap();
    });
    assert_eq!(done.load(SeqCst), 200);
}

#[test]
fn a_sibling_that_waits_for_room_is_woken_within_the_group() {
    let root = Root::new();
    let probe = Probe::<Unit>::new();
    let mut group = ErrGroup::new().limit(2);
    let spawner = group.spawner();
    let done = Arc::new(AtomicUsize::new(0));
    let told = done.clone();
    group.spawn(async move {
        assert!(spawner.ready().await);
        told.store(1, SeqCst);
        Ok(())
    });
    group.spawn(probe.task());
    assert!(root.poll(&mut group).is_pending());
    assert_eq!((done.load(SeqCst), root.wakes()), (0, 0));
    probe.finish(Ok(()));
    assert_eq!(root.run(group).0, Ok(()));
    assert_eq!(done.load(SeqCst), 1);
}

// R10

#[test]
fn tasks_spawn_siblings_at_any_depth() {
    fn deeper<'env>(
        spawner: ErrSpawner<'env, usize, ()>,
        depth: usize,
    ) -> Pin<Box<dyn Future<Output = Result<usize, ()>> + Send + 'env>> {
        Box::pin(async move {
            if depth < 10_000 {
                spawner.spawn(deeper(spawner.clone(), depth + 1));
            }
            Ok(depth)
        })
    }
    let mut group = ErrGroup::new();
    group.spawn(deeper(group.spawner(), 0));
    let values = run(group.collect()).unwrap();
    assert!(values.into_iter().eq(0..=10_000));
}

#[test]
fn spawners_do_not_keep_a_group_alive() {
    let root = Root::new();
    let mut group = ErrGroup::<(), ()>::new();
    let spawner = group.spawner();
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
    group.spawn(ready(Ok(())));
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
    assert_eq!(root.poll_new(group.collect()), Poll::Ready(Ok(vec![])));
    drop(spawner);
}

#[test]
fn dropping_a_group_frees_tasks_that_hold_a_spawner_to_it() {
    let root = Root::new();
    for polled in [false, true] {
        let alive = Arc::new(());
        let mut group = ErrGroup::<(), ()>::new().limit(70);
        let spawner = group.spawner();
        for _ in 0..100 {
            let (held, alive) = (spawner.clone(), alive.clone());
            let task = async move {
                pending::<()>().await;
                drop((held, alive));
                Ok(())
            };
            group.spawn(task);
        }
        if polled {
            assert!(root.poll(&mut group).is_pending());
        }
        let (held, inner) = (spawner.clone(), alive.clone());
        spawner.spawn(async move {
            pending::<()>().await;
            drop((held, inner));
            Ok(())
        });
        assert_eq!(Arc::strong_count(&alive), 102);
        drop(group);
        assert_eq!(Arc::strong_count(&alive), 1);
        assert!(spawner.is_closed() && spawner.is_empty());
        assert_eq!((spawner.running(), spawner.queued()), (0, 0));
    }
}

#[test]
fn a_consuming_finisher_refuses_what_is_spawned_after_the_end() {
    let finishers: [fn(ErrGroup<'static, (), ()>); 4] = [
        |group| _ = run(group.collect()),
        |group| _ = run(group.wait_all()),
        |group| _ = run(group.settle()),
        |group| _ = run(group.first_ok()),
    ];
    for finish in finishers {
        let mut group = ErrGroup::new();
        let spawner = group.spawner();
        group.spawn(ready(Err(())));
        finish(group);
        assert!(spawner.is_closed());
        let probe = Probe::new();
        spawner.spawn(probe.task());
        assert!(!spawner.try_spawn(probe.task()).unwrap_err().is_full());
        assert_eq!(probe.drops(), 2);
    }
}

#[test]
fn what_the_last_task_spawns_in_its_destructor_still_runs() {
    // The section that finds the group empty is the one that closes it.
    let ran = Arc::new(AtomicUsize::new(0));
    let mut group = ErrGroup::<(), ()>::new();
    let spawner = group.spawner();
    let (told, spawned) = (ran.clone(), spawner.clone());
    let guard = OnDrop(move || {
        let told = told.clone();
        spawned.spawn(async move {
            told.fetch_add(1, SeqCst);
            Ok(())
        });
    });
    group.spawn(async move {
        drop(guard);
        Ok(())
    });
    assert_eq!(run(group.collect()).unwrap().len(), 2);
    assert_eq!(ran.load(SeqCst), 1);
    assert!(spawner.is_closed());
}

#[test]
fn a_group_may_be_used_by_its_spawners_after_it_was_awaited_through_a_reference() {
    let root = Root::new();
    let mut group = ErrGroup::<(), &str>::new();
    let spawner = group.spawner();
    for _ in 0..3 {
        spawner.spawn(ready(Ok(())));
        assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
    }
    assert!(!spawner.is_closed());
}

// R11

#[test]
fn await_discards_values_and_drive_and_ready_keep_them() {
    let root = Root::new();
    let alive = Arc::new(());
    let mut group = ErrGroup::<Arc<()>, ()>::new().limit(1);
    for _ in 0..5 {
        group.spawn(ready(Ok(alive.clone())));
    }
    group.spawn(pending());
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(Arc::strong_count(&alive), 1);
    group.abort_all();

    group.spawn(ready(Ok(alive.clone())));
    assert_eq!(root.poll_new(group.ready()), Poll::Ready(true));
    group.spawn(ready(Ok(alive.clone())));
    assert_eq!(root.poll_new(group.drive(ready(()))), Poll::Ready(Some(())));
    assert_eq!(Arc::strong_count(&alive), 3);
    assert_eq!(run(group.collect()).unwrap().len(), 2);
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[test]
fn values_come_in_spawn_order_whatever_the_order_of_their_ends() {
    let root = Root::new();
    let probes = probes::<Result<usize, ()>>(100);
    let mut group = ErrGroup::new();
    group.extend(probes.iter().map(Probe::task));
    let mut collect = Box::pin(group.collect());
    assert!(root.poll(&mut collect).is_pending());
    for index in (0..100).map(|number| number * 37 % 100) {
        probes[index].finish(Ok(index));
        let poll = root.poll(&mut collect);
        if let Poll::Ready(values) = poll {
            assert!(values.unwrap().into_iter().eq(0..100));
            return;
        }
    }
    panic!("it did not end");
}

#[test]
fn counts_are_right_while_a_task_is_polled_and_after() {
    let root = Root::new();
    let mut group = ErrGroup::<(), ()>::new().limit(2);
    let spawner = group.spawner();
    let seen = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..4 {
        let (spawner, seen) = (spawner.clone(), seen.clone());
        let mut first = true;
        group.spawn(poll_fn(move |cx| {
            let counts = (spawner.running(), spawner.queued(), spawner.len());
            seen.lock().unwrap().push(counts);
            if std::mem::take(&mut first) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(Ok(()))
        }));
    }
    assert_eq!(root.run(&mut group).0, Ok(()));
    let seen = seen.lock().unwrap();
    assert_eq!(seen[..2], [(1, 3, 4), (2, 2, 4)]);
    for (running, queued, len) in seen.iter() {
        assert_eq!(running + queued, *len);
        assert!((1..=2).contains(running));
    }
    assert!(group.is_empty());
}

/// A value or error that tries to spawn when it is dropped.
struct Late(Option<ErrSpawner<'static, Late, Late>>, Arc<AtomicUsize>);

impl Drop for Late {
    fn drop(&mut self) {
        if let Some(spawner) = self.0.take() {
            let refused = spawner.try_spawn(pending()).is_err();
            self.1
                .fetch_add(usize::from(refused && spawner.is_closed()), SeqCst);
        }
    }
}

#[test]
fn what_a_finisher_throws_away_finds_the_group_closed() {
    // R10: the group is closed where it was found empty, not when it is dropped.
    let finishers: [fn(ErrGroup<'static, Late, Late>); 2] = [
        |group| std::mem::forget(run(group.collect())),
        |group| std::mem::forget(run(group.wait_all())),
    ];
    for finish in finishers {
        let refused = Arc::new(AtomicUsize::new(0));
        let mut group = ErrGroup::new().keep_going();
        let spawner = group.spawner();
        for good in [false, true] {
            let late = Late(Some(spawner.clone()), refused.clone());
            group.spawn(async move { if good { Ok(late) } else { Err(late) } });
        }
        // It throws the value away, because there is an error.
        finish(group);
        assert_eq!(refused.load(SeqCst), 1);
    }
}
