//! Threads that wake, abort, close and change limits while the group is polled.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;

use crate::common::{OnDrop, yields};
use errgroup::ErrGroup;
use futures::executor::block_on;

type Group = ErrGroup<'static, usize, ()>;
type Wakers = Arc<Mutex<Vec<Waker>>>;

/// Ends when `flag` is set, and leaves its waker with `wakers` each time.
fn flagged(wakers: &Wakers, flag: &Arc<AtomicBool>, value: usize) -> Task {
    let (wakers, flag) = (wakers.clone(), flag.clone());
    Box::pin(poll_fn(move |cx| {
        wakers.lock().unwrap().push(cx.waker().clone());
        match flag.load(SeqCst) {
            true => Poll::Ready(Ok(value)),
            false => Poll::Pending,
        }
    }))
}

type Task = Pin<Box<dyn Future<Output = Result<usize, ()>> + Send>>;

/// Wakes whatever it finds until it is told to stop, and once more then.
fn waking(wakers: &Wakers, stop: &Arc<AtomicBool>) -> thread::JoinHandle<()> {
    let (wakers, stop) = (wakers.clone(), stop.clone());
    thread::spawn(move || {
        let mut old = Vec::new();
        while !stop.load(SeqCst) {
            let new = std::mem::take(&mut *wakers.lock().unwrap());
            new.iter().for_each(Waker::wake_by_ref);
            // Wakers of tasks that are long gone, too.
            old.iter().for_each(Waker::wake_by_ref);
            old.extend(new.into_iter().take(8));
            if old.len() > 64 {
                old.clear();
            }
            thread::yield_now();
        }
    })
}

// R4, R10
#[test]
fn tasks_are_woken_from_threads_while_all_are_aborted() {
    let wakers = Wakers::default();
    let stop = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..2).map(|_| waking(&wakers, &stop)).collect();
    let drops = Arc::new(AtomicUsize::new(0));
    let mut group = Group::new();
    let spawner = group.spawner();
    let (never, now) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(true)),
    );
    let mut made = 0;
    for round in 0..200 {
        let count = [1, 63, 64, 65, 200][round % 5];
        for _ in 0..count {
            let task = flagged(&wakers, &never, 0);
            let drops = drops.clone();
            let guard = OnDrop(move || _ = drops.fetch_add(1, SeqCst));
            group.spawn(async move {
                let _guard = guard;
                task.await
            });
        }
        made += count;
        assert_eq!(block_on(group.drive(yields(round % 3))), Some(()));
        match round % 2 {
            0 => group.abort_all(),
            _ => spawner.abort_all(),
        }
        group.spawn(flagged(&wakers, &now, round));
        assert_eq!(block_on(group.next()), Some(Ok(round)));
        assert_eq!((group.len(), drops.load(SeqCst)), (0, made));
    }
    stop.store(true, SeqCst);
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    assert_eq!(block_on(group), Ok(()));
}

// R4
#[test]
fn no_wake_is_lost_while_more_tasks_come_than_a_word_has_bits() {
    for round in 0..100 {
        let wakers = Wakers::default();
        let flags: Vec<_> = (0..200).map(|_| Arc::default()).collect();
        let mut group = Group::new();
        let setter = {
            let (wakers, flags) = (wakers.clone(), flags.clone());
            thread::spawn(move || {
                for flag in flags {
                    AtomicBool::store(&flag, true, SeqCst);
                    // Each waker once: a wake that is lost is never made good.
                    let taken = std::mem::take(&mut *wakers.lock().unwrap());
                    taken.into_iter().for_each(Waker::wake);
                }
            })
        };
        for (value, flag) in flags.iter().enumerate() {
            group.spawn(flagged(&wakers, flag, value));
            if value % (1 + round % 7) == 0 {
                assert_eq!(block_on(group.drive(yields(1))), Some(()));
            }
        }
        assert_eq!(block_on(group.collect()), Ok(Vec::from_iter(0..200)));
        setter.join().unwrap();
    }
}

// R8
#[test]
fn a_limit_that_threads_change_all_the_time_loses_no_task() {
    for _ in 0..20 {
        let group = Group::new().limit(1);
        let stop = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..2_usize)
            .map(|seed| {
                let (spawner, stop) = (group.spawner(), stop.clone());
                thread::spawn(move || {
                    let mut limit = seed;
                    while !stop.load(SeqCst) {
                        limit = (limit * 5 + 3) % 97;
                        spawner.set_limit(limit + 1);
                        _ = spawner.try_spawn(async { Ok(1000) });
                    }
                })
            })
            .collect();
        let mut group = group;
        (0..500).for_each(|value| {
            group.spawn(async move {
                yields(value % 4).await;
                Ok(value)
            });
        });
        let mut seen = Vec::new();
        while seen.len() < 500 {
            match block_on(group.next()).unwrap().unwrap() {
                1000 => {}
                value => seen.push(value),
            }
        }
        stop.store(true, SeqCst);
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        seen.sort_unstable();
        assert_eq!(seen, Vec::from_iter(0..500));
        assert_eq!(block_on(group), Ok(()));
    }
}

// R14
#[test]
fn what_was_spawned_before_a_group_was_let_go_is_never_lost() {
    for round in 0..2000 {
        let group = Group::new();
        let (spawner, open) = (group.spawner(), group.keep_open());
        let producer = thread::spawn(move || {
            (0..round % 3).for_each(|_| thread::yield_now());
            spawner.spawn(async { Ok(7) });
            drop(open);
        });
        assert_eq!(block_on(group.collect()), Ok(vec![7]));
        producer.join().unwrap();
    }
}
