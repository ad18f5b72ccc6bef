//! Other threads wake, spawn, change the limit and cancel, while the group is polled or dropped.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use crate::common::{Fail, OnDrop, Root, yields};
use errgroup::{CancelContext, ErrGroup, LocalErrGroup};
use futures::channel::oneshot;

/// Blocks on a future; panics if nobody wakes it for a long time. That is how a lost wake is
/// seen.
#[track_caller]
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread, AtomicBool);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.1.store(true, SeqCst);
            self.0.unpark();
        }
    }
    let unpark = Arc::new(Unpark(thread::current(), AtomicBool::new(false)));
    let waker = Waker::from(unpark.clone());
    let mut future = std::pin::pin!(future);
    loop {
        unpark.1.store(false, SeqCst);
        let mut cx = Context::from_waker(&waker);
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        let mut waited = 0;
        while !unpark.1.load(SeqCst) {
            thread::park_timeout(Duration::from_millis(100));
            waited += 1;
            assert!(waited < 200, "a wake was lost");
        }
    }
}

/// Runs `f` on a thread of its own; panics if it does not end.
#[track_caller]
fn must_end(f: impl FnOnce() + Send + 'static) {
    let (done, end) = mpsc::channel();
    let thread = thread::spawn(move || {
        f();
        let _ = done.send(());
    });
    if let Err(mpsc::RecvTimeoutError::Timeout) = end.recv_timeout(Duration::from_secs(60)) {
        panic!("it hangs");
    }
    thread.join().unwrap();
}

// R4

#[test]
fn tasks_completed_from_other_threads_all_end() {
    const COUNT: usize = 20_000;
    for threads in [1, 2, 4] {
        let mut group = ErrGroup::<usize, oneshot::Canceled>::new();
        let mut senders: Vec<Vec<_>> = (0..threads).map(|_| Vec::new()).collect();
        for number in 0..COUNT {
            let (sender, receiver) = oneshot::channel();
            senders[number % threads].push((number, sender));
            group.spawn(receiver);
        }
        thread::scope(|scope| {
            for senders in senders {
                scope.spawn(move || {
                    for (number, sender) in senders {
                        sender.send(number).unwrap();
                    }
                });
            }
            let values = block_on(group.collect()).unwrap();
            assert!(values.into_iter().eq(0..COUNT));
        });
    }
}

#[test]
fn one_task_and_one_thread_play_ping_pong_without_losing_a_wake() {
    const ROUNDS: usize = 20_000;
    let turn = Arc::new((AtomicUsize::new(0), futures::task::AtomicWaker::new()));
    let mut group = ErrGroup::<(), ()>::new();
    let mine = turn.clone();
    group.spawn(pending());
    group.spawn(poll_fn(move |cx| {
        mine.1.register(cx.waker());
        let now = mine.0.load(SeqCst);
        if now >= ROUNDS {
            return Poll::Ready(Err(()));
        }
        if now % 2 == 1 {
            mine.0.store(now + 1, SeqCst);
        }
        Poll::Pending
    }));
    thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                let now = turn.0.load(SeqCst);
                if now >= ROUNDS {
                    turn.1.wake();
                    return;
                }
                if now % 2 == 0 {
                    turn.0.store(now + 1, SeqCst);
                    turn.1.wake();
                } else {
                    thread::yield_now();
                }
            }
        });
        assert_eq!(block_on(group), Err(()));
    });
}

#[test]
fn threads_that_wake_at_random_while_tasks_come_and_go_lose_nothing() {
    const TASKS: usize = 3_000;
    let wakers = Arc::new(Mutex::new(Vec::<Waker>::new()));
    let over = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for thread in 0..3_usize {
        let (wakers, over) = (wakers.clone(), over.clone());
        threads.push(thread::spawn(move || {
            let mut step = thread;
            while !over.load(SeqCst) {
                let waker = {
                    let mut wakers = wakers.lock().unwrap();
                    if wakers.is_empty() {
                        None
                    } else {
                        step = step.wrapping_mul(31).wrapping_add(17);
                        let at = step % wakers.len();
                        Some(if step % 2 == 0 {
                            wakers.swap_remove(at)
                        } else {
                            wakers[at].clone()
                        })
                    }
                };
                match waker {
                    Some(waker) => waker.wake(),
                    None => thread::yield_now(),
                }
            }
        }));
    }
    let mut group = ErrGroup::<usize, ()>::new().limit(130);
    for number in 0..TASKS {
        let wakers = wakers.clone();
        let mut left = number % 5;
        group.spawn(poll_fn(move |cx| {
            if left == 0 {
                return Poll::Ready(Ok(number));
            }
            left -= 1;
            wakers.lock().unwrap().push(cx.waker().clone());
            Poll::Pending
        }));
    }
    let values = block_on(group.collect()).unwrap();
    assert!(values.into_iter().eq(0..TASKS));
    over.store(true, SeqCst);
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

#[test]
fn tasks_may_be_woken_while_their_group_is_dropped() {
    for round in 0..300 {
        let wakers = Arc::new(Mutex::new(Vec::new()));
        let drops = Arc::new(AtomicUsize::new(0));
        let mut group = ErrGroup::<(), ()>::new();
        for _ in 0..100 {
            let (wakers, drops) = (wakers.clone(), drops.clone());
            let guard = OnDrop(move || _ = drops.fetch_add(1, SeqCst));
            group.spawn(poll_fn(move |cx| {
                let _guard = &guard;
                wakers.lock().unwrap().push(cx.waker().clone());
                Poll::Pending
            }));
        }
        let root = Root::new();
        assert!(root.poll(&mut group).is_pending());
        let wakers = std::mem::take(&mut *wakers.lock().unwrap());
        thread::scope(|scope| {
            scope.spawn(|| wakers.iter().for_each(Waker::wake_by_ref));
            if round % 2 == 0 {
                drop(group);
            } else {
                group.abort_all();
                assert!(root.poll(&mut group).is_ready());
            }
        });
        assert_eq!(drops.load(SeqCst), 100);
    }
}

#[test]
fn a_task_that_gives_its_waker_away_and_ends_at_once_does_not_hang_the_group() {
    // The wake comes while the slot is vacated, and taken again.
    must_end(|| {
        let (send, receive) = mpsc::channel::<Waker>();
        let receive = Arc::new(Mutex::new(receive));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let receive = receive.clone();
                thread::spawn(move || {
                    loop {
                        let Ok(waker) = receive.lock().unwrap().recv() else {
                            return;
                        };
                        waker.wake();
                    }
                })
            })
            .collect();
        let mut group = ErrGroup::<(), ()>::new().limit(8);
        for number in 0..60_000_usize {
            let send = send.clone();
            let mut left = usize::from(number % 3 == 0);
            group.spawn(poll_fn(move |cx| {
                send.send(cx.waker().clone()).unwrap();
                if left == 0 {
                    return Poll::Ready(Ok(()));
                }
                left -= 1;
                Poll::Pending
            }));
        }
        drop(send);
        block_on(group).unwrap();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

// R3, R8

#[test]
fn threads_spawn_while_the_group_is_polled() {
    const EACH: usize = 5_000;
    let mut group = ErrGroup::<usize, ()>::new().limit(50);
    let (stop, stopped) = oneshot::channel::<()>();
    group.spawn(async move {
        // Keeps the group alive until all threads are done.
        let _ = stopped.await;
        Ok(usize::MAX)
    });
    let spawner = group.spawner();
    let values = thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|thread| {
                let spawner = spawner.clone();
                scope.spawn(move || {
                    for number in 0..EACH {
                        spawner.spawn(async move {
                            yields(number % 3).await;
                            Ok(thread * EACH + number)
                        });
                    }
                })
            })
            .collect();
        scope.spawn(move || {
            threads
                .into_iter()
                .for_each(|thread| thread.join().unwrap());
            drop(stop);
        });
        block_on(group.collect()).unwrap()
    });
    let mut values: Vec<_> = values
        .into_iter()
        .filter(|value| *value < usize::MAX)
        .collect();
    values.sort_unstable();
    assert!(values.into_iter().eq(0..3 * EACH));
}

#[test]
fn threads_that_try_to_spawn_never_exceed_the_limit() {
    const LIMIT: usize = 10;
    let mut group = ErrGroup::<(), ()>::new().limit(LIMIT);
    let (stop, stopped) = oneshot::channel::<()>();
    group.spawn(async move {
        let _ = stopped.await;
        Ok(())
    });
    let spawner = group.spawner();
    let taken = AtomicUsize::new(0);
    let count = thread::scope(|scope| {
        let taken = &taken;
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let spawner = spawner.clone();
                scope.spawn(move || {
                    for _ in 0..5_000 {
                        let mut task = Box::pin(yields(1));
                        let counts = spawner.clone();
                        let tried = spawner.try_spawn(poll_fn(move |cx| {
                            // No task ends while it is counted: this is the thread of the group.
                            assert!(counts.len() <= LIMIT);
                            task.as_mut().poll(cx).map(Ok)
                        }));
                        match tried {
                            Ok(()) => _ = taken.fetch_add(1, SeqCst),
                            Err(refused) => assert!(refused.is_full()),
                        }
                    }
                })
            })
            .collect();
        scope.spawn(move || {
            threads
                .into_iter()
                .for_each(|thread| thread.join().unwrap());
            drop(stop);
        });
        block_on(group.collect()).unwrap().len()
    });
    assert_eq!(count, taken.load(SeqCst) + 1);
}

#[test]
fn what_is_spawned_from_a_thread_runs_or_is_dropped_when_the_group_ends() {
    for round in 0..500 {
        let (ran, gone) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut group = ErrGroup::<(), ()>::new();
        let spawner = group.spawner();
        group.spawn(async {
            yields(3).await;
            Ok(())
        });
        let (told, dropped) = (ran.clone(), gone.clone());
        let thread = thread::spawn(move || {
            for _ in 0..50 {
                let (told, dropped) = (told.clone(), dropped.clone());
                let guard = OnDrop(move || _ = dropped.fetch_add(1, SeqCst));
                spawner.spawn(async move {
                    let _guard = guard;
                    told.fetch_add(1, SeqCst);
                    Ok(())
                });
            }
        });
        let count = match round % 3 {
            0 => block_on(group.collect()).unwrap().len() - 1,
            1 => block_on(group.settle()).len() - 1,
            _ => {
                // Not even polled.
                drop(group);
                0
            }
        };
        thread.join().unwrap();
        // R10: what was taken has run, and its value is there; the rest was dropped.
        assert_eq!(ran.load(SeqCst), count);
        assert_eq!(gone.load(SeqCst), 50);
    }
}

#[test]
fn a_thread_changes_the_limit_while_the_group_is_polled() {
    let mut group = ErrGroup::<(), ()>::new().limit(1);
    let spawner = group.spawner();
    group.extend((0..20_000).map(|number| async move {
        yields(number % 4).await;
        Ok(())
    }));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut limit = 1;
            while !over.load(SeqCst) {
                limit = limit % 100 + 1;
                spawner.set_limit(limit);
                thread::yield_now();
            }
        });
        block_on(group).unwrap();
        over.store(true, SeqCst);
    });
}

#[test]
fn a_limit_that_is_raised_once_from_a_thread_lets_the_queue_go() {
    for _ in 0..500 {
        let mut group = ErrGroup::<(), ()>::new().limit(1);
        let spawner = group.spawner();
        let (send, receive) = oneshot::channel::<()>();
        group.spawn(async move { receive.await.map_err(drop) });
        group.spawn(async move { send.send(()) });
        let thread = thread::spawn(move || spawner.set_limit(2));
        block_on(group).unwrap();
        thread.join().unwrap();
    }
}

// R9

#[test]
fn producers_on_other_threads_wait_for_room() {
    const EACH: usize = 2_000;
    let mut group = ErrGroup::<(), ()>::new().limit(4);
    let spawner = group.spawner();
    let done = Arc::new(AtomicUsize::new(0));
    let (stop, stopped) = oneshot::channel::<()>();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (spawner, done) = (spawner.clone(), done.clone());
                scope.spawn(move || {
                    block_on(async {
                        for number in 0..EACH {
                            assert!(spawner.ready().await);
                            let done = done.clone();
                            spawner.spawn(async move {
                                yields(number % 3).await;
                                done.fetch_add(1, SeqCst);
                                Ok(())
                            });
                        }
                    });
                })
            })
            .collect();
        scope.spawn(move || {
            threads
                .into_iter()
                .for_each(|thread| thread.join().unwrap());
            drop(stop);
        });
        assert!(block_on(group.drive(stopped)).is_some());
        block_on(group).unwrap();
    });
    assert_eq!(done.load(SeqCst), 2 * EACH);
}

#[test]
fn who_waits_for_room_on_another_thread_hears_of_the_end() {
    for round in 0..500 {
        let mut group = ErrGroup::<(), ()>::new().limit(1);
        let spawner = group.spawner();
        group.spawn(pending());
        let waiter = thread::spawn(move || block_on(spawner.ready()));
        if round % 2 == 0 {
            thread::yield_now();
        }
        drop(group);
        assert!(!waiter.join().unwrap());
    }
}

// C5, G1

#[test]
fn a_cancel_from_another_thread_ends_the_group() {
    for round in 0..300 {
        let parent = CancelContext::new();
        let grace = || Box::pin(yields(round % 3));
        let (context, mut group) = ErrGroup::<(), Fail>::with_grace(&parent, grace);
        group.spawn(pending());
        let listener = context.clone();
        group.spawn(async move { Err(listener.cancelled().await.into()) });
        let thread = thread::spawn(move || parent.cancel());
        assert!(block_on(group).is_err());
        assert!(thread.join().unwrap());
    }
}

#[test]
fn nested_groups_are_woken_from_many_threads() {
    const LEAVES: usize = 50;
    let mut senders = Vec::new();
    let mut outer = ErrGroup::<(), oneshot::Canceled>::new();
    for _ in 0..LEAVES {
        let mut middle = ErrGroup::new();
        for _ in 0..LEAVES {
            let (sender, receiver) = oneshot::channel::<()>();
            senders.push(sender);
            let mut inner = ErrGroup::new();
            inner.spawn(receiver);
            middle.spawn(inner);
        }
        outer.spawn(middle);
    }
    thread::scope(|scope| {
        let half = senders.split_off(senders.len() / 2);
        for senders in [senders, half] {
            scope.spawn(|| {
                senders
                    .into_iter()
                    .for_each(|sender| sender.send(()).unwrap())
            });
        }
        block_on(outer).unwrap();
    });
}

#[test]
fn a_local_group_may_be_woken_from_another_thread() {
    let (sender, receiver) = oneshot::channel::<()>();
    let mut group = LocalErrGroup::<(), oneshot::Canceled>::new();
    group.spawn(receiver);
    let thread = thread::spawn(move || sender.send(()));
    block_on(group).unwrap();
    thread.join().unwrap().unwrap();
}

#[test]
fn a_group_that_moves_from_thread_to_thread_loses_no_wake() {
    const ROUNDS: usize = 200;
    let mut group: Pin<Box<ErrGroup<'_, (), oneshot::Canceled>>> = Box::pin(ErrGroup::new());
    let mut senders = Vec::new();
    for _ in 0..ROUNDS {
        let (sender, receiver) = oneshot::channel::<()>();
        group.spawn(receiver);
        senders.push(sender);
    }
    thread::scope(|scope| {
        scope.spawn(move || {
            for sender in senders {
                sender.send(()).unwrap();
                thread::yield_now();
            }
        });
        for _ in 0..ROUNDS {
            let mut taken = group;
            let inner = scope.spawn(move || {
                assert!(block_on(taken.next()).is_some());
                taken
            });
            group = inner.join().unwrap();
        }
        assert!(group.is_empty());
    });
}

// R4: beyond the first 64, where tasks start and end beside those that are woken.
#[test]
fn tasks_of_many_chunks_that_are_woken_by_threads_and_by_each_other_all_end() {
    const TASKS: usize = 150;
    const NEEDS: usize = 400;

    #[derive(Default)]
    struct Mark {
        count: AtomicUsize,
        waker: Mutex<Option<Waker>>,
    }
    impl Mark {
        fn add(&self) {
            self.count.fetch_add(1, SeqCst);
            let waker = self.waker.lock().unwrap().clone();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    must_end(|| {
        let marks: Arc<Vec<Mark>> = Arc::new((0..TASKS).map(|_| Mark::default()).collect());
        let mut group = ErrGroup::<(), ()>::new();
        let spawner = group.spawner();
        for index in 0..TASKS {
            let (marks, spawner) = (marks.clone(), spawner.clone());
            let mut polls = 0;
            group.spawn(poll_fn(move |cx| {
                *marks[index].waker.lock().unwrap() = Some(cx.waker().clone());
                polls += 1;
                match polls % 7 {
                    0 => spawner.spawn(async { Ok(()) }),
                    1 => spawner.spawn(async {
                        yields(1).await;
                        Ok(())
                    }),
                    2 => {
                        let waker = marks[(index + 64) % TASKS].waker.lock().unwrap().clone();
                        waker.into_iter().for_each(Waker::wake);
                    }
                    3 => drop(spawner.spawn_abortable(pending()).abort_on_drop()),
                    _ => {}
                }
                if marks[index].count.load(SeqCst) == NEEDS {
                    return Poll::Ready(Ok(()));
                }
                Poll::Pending
            }));
        }
        thread::scope(|scope| {
            for thread in 0..2 {
                let marks = marks.clone();
                scope.spawn(move || {
                    for step in 0..TASKS * NEEDS / 2 {
                        // All of them, in some order.
                        let index = 2 * (step * 37 % (TASKS / 2)) + thread;
                        marks[index].add();
                        if step % 61 == 0 {
                            thread::yield_now();
                        }
                    }
                });
            }
            block_on(group).unwrap();
        });
    });
}
