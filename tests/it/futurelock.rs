//! Futures that wait for something that a parked sibling has: how it happens, and that `drive` and
//! tasks keep it from happening.
//!
//! Each story is told three times. The naive version shows that there is something to get wrong;
//! it is polled until it is pending and nobody will ever wake it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use crate::common::{Probe, Root, run, yields};
use errgroup::{ErrGroup, LocalErrGroup, Semaphore};
use futures::channel::mpsc;
use futures::future::{Either, select};
use futures::stream::{self, FuturesUnordered, StreamExt};
use futures::{FutureExt, SinkExt};

/// Whether it comes to a point from which nobody will ever wake it.
fn locks_up<F: Future>(future: F) -> bool {
    let root = Root::new();
    let mut future = pin!(future);
    loop {
        let mut cx = Context::from_waker(root.waker());
        if future.as_mut().poll(&mut cx).is_ready() {
            return false;
        }
        if root.wakes() == 0 {
            return true;
        }
    }
}

// The "AWS deadlock" of the async working group: a loop fills a bounded channel, and the one who
// empties it is in a set of futures that is not polled meanwhile.

const JOBS: u32 = 10;

/// Empties the channel.
async fn work(mut jobs: mpsc::Receiver<u32>, done: &Mutex<Vec<u32>>) -> Result<(), &'static str> {
    while let Some(job) = jobs.next().await {
        yields(1).await;
        done.lock().unwrap().push(job);
    }
    Ok(())
}

// R12
#[test]
fn aws_deadlock_in_the_naive_way_locks_up() {
    let done = Mutex::default();
    assert!(locks_up(async {
        let (mut sender, jobs) = mpsc::channel(1);
        let mut set = FuturesUnordered::new();
        set.push(work(jobs, &done));
        for job in 0..JOBS {
            sender.send(job).await.unwrap();
        }
        drop(sender);
        set.next().await
    }));
    assert!(done.lock().unwrap().is_empty());

    // With a group it is no better.
    assert!(locks_up(async {
        let (mut sender, jobs) = mpsc::channel(1);
        let mut group = ErrGroup::new();
        group.spawn(work(jobs, &done));
        for job in 0..JOBS {
            sender.send(job).await.unwrap();
        }
        drop(sender);
        group.await
    }));
    assert!(done.into_inner().unwrap().is_empty());
}

// R12
#[test]
fn aws_deadlock_cannot_happen_with_drive() {
    let done = Mutex::default();
    run(async {
        let (mut sender, jobs) = mpsc::channel(1);
        let mut group = ErrGroup::new();
        group.spawn(work(jobs, &done));
        for job in 0..JOBS {
            group.drive(sender.send(job)).await.unwrap().unwrap();
        }
        drop(sender);
        group.await
    })
    .unwrap();
    assert!(done.into_inner().unwrap().into_iter().eq(0..JOBS));
}

// R12
#[test]
fn aws_deadlock_cannot_happen_with_tasks() {
    let done = Mutex::default();
    run(async {
        let (mut sender, jobs) = mpsc::channel(1);
        let mut group = ErrGroup::new();
        group.spawn(work(jobs, &done));
        group.spawn(async move {
            for job in 0..JOBS {
                sender.send(job).await.map_err(|_| "nobody works")?;
            }
            Ok(())
        });
        group.await
    })
    .unwrap();
    assert!(done.into_inner().unwrap().into_iter().eq(0..JOBS));
}

// R12
#[test]
fn aws_deadlock_ends_with_the_error_if_the_worker_fails() {
    let (root, worker) = (Root::new(), Probe::<Result<(), _>>::new());
    let mut group = ErrGroup::new();
    group.spawn(worker.task());
    let (mut sender, _jobs) = mpsc::channel(0);
    let mut fill = Box::pin(async {
        for job in 0..JOBS {
            group.drive(sender.send(job)).await?.ok()?;
        }
        Some(())
    });
    assert!(root.poll(&mut fill).is_pending());
    worker.finish(Err("the worker is dead"));
    assert_eq!(root.poll(&mut fill), Poll::Ready(None));
    drop(fill);
    assert_eq!(run(group), Err("the worker is dead"));
}

// The same with a pool of connections: everybody needs one, those who compute and whoever writes
// down what they have computed. A connection that was granted to a parked future is nobody's.

const QUERIES: u32 = 10;

async fn query(pool: &Semaphore, number: u32) -> Result<u32, &'static str> {
    let _connection = pool.acquire(1).await.map_err(|_| "too large")?;
    yields(1).await;
    Ok(number)
}

// R12
#[test]
fn aws_deadlock_of_a_pool_in_the_naive_way_locks_up() {
    let (pool, written) = (Semaphore::new(2), Cell::new(0));
    assert!(locks_up(
        stream::iter(0..QUERIES)
            .map(|number| query(&pool, number))
            .buffer_unordered(5)
            .for_each(|_| async {
                let _connection = pool.acquire(1).await;
                written.set(written.get() + 1);
            })
    ));
    assert!(written.get() < QUERIES);

    let (pool, written) = (Semaphore::new(2), Cell::new(0));
    assert!(locks_up(async {
        let mut group = ErrGroup::new().limit(5);
        group.extend((0..QUERIES).map(|number| query(&pool, number)));
        while let Some(outcome) = group.next().await {
            let _connection = pool.acquire(1).await;
            written.set(written.get() + outcome.map_or(0, |_| 1));
        }
    }));
    assert!(written.get() < QUERIES);
}

// R12
#[test]
fn aws_deadlock_of_a_pool_cannot_happen_with_drive() {
    let (pool, mut written) = (Semaphore::new(2), Vec::new());
    run(async {
        let mut group = ErrGroup::new().limit(5).keep_going();
        group.extend((0..QUERIES).map(|number| query(&pool, number)));
        while let Some(outcome) = group.next().await {
            let _connection = group.drive(pool.acquire(1)).await.unwrap();
            written.push(outcome.unwrap());
        }
    });
    written.sort();
    assert!(written.into_iter().eq(0..QUERIES));
    assert_eq!(pool.available(), 2);
}

// R12
#[test]
fn aws_deadlock_of_a_pool_cannot_happen_with_tasks() {
    let (pool, written) = (Semaphore::new(2), Mutex::new(Vec::new()));
    run(async {
        let mut group = ErrGroup::<(), &str>::new().limit(5);
        for number in 0..QUERIES {
            let spawner = group.spawner();
            let (pool, written) = (&pool, &written);
            group.spawn(async move {
                let number = query(pool, number).await?;
                spawner.spawn(async move {
                    let _connection = pool.acquire(1).await.map_err(|_| "too large")?;
                    written.lock().unwrap().push(number);
                    Ok(())
                });
                Ok(())
            });
        }
        group.await
    })
    .unwrap();
    let mut written = written.into_inner().unwrap();
    written.sort();
    assert!(written.into_iter().eq(0..QUERIES));
    assert_eq!(pool.available(), 2);
}

// RFD 609: somebody has the lock. The first operation waits for it, with a timeout. When that has
// passed, there is a second operation, which needs the lock too, while the first is still there,
// and next in the queue.

/// A fair lock, held by somebody else for as long as `holder` says; and a timer.
struct Rfd609 {
    lock: Semaphore,
    holder: Probe<()>,
    timer: Probe<()>,
    log: RefCell<Vec<&'static str>>,
}

impl Rfd609 {
    fn new() -> Self {
        Rfd609 {
            lock: Semaphore::new(1),
            holder: Probe::new(),
            timer: Probe::new(),
            log: RefCell::default(),
        }
    }

    async fn hold(&self) {
        let _lock = self.lock.acquire(1).await;
        self.holder.task().await;
    }

    async fn operate(&self, name: &'static str) -> Result<(), &'static str> {
        let _lock = self.lock.acquire(1).await.map_err(|_| "too large")?;
        yields(1).await;
        self.log.borrow_mut().push(name);
        Ok(())
    }

    /// The timer goes off, then the holder lets go of the lock. Whether `future` gets to its end.
    fn ends<F: Future>(&self, future: F) -> bool {
        let (root, mut holder, mut future) = (Root::new(), Box::pin(self.hold()), pin!(future));
        let elsewhere = Root::new();
        assert!(elsewhere.poll(&mut holder).is_pending());
        let mut events: VecDeque<_> = [&self.timer, &self.holder].into();
        loop {
            let mut cx = Context::from_waker(root.waker());
            if future.as_mut().poll(&mut cx).is_ready() {
                assert!(events.is_empty());
                return true;
            }
            if elsewhere.wakes() != 0 {
                assert!(elsewhere.poll(&mut holder).is_ready());
            }
            if root.wakes() == 0 {
                let Some(event) = events.pop_front() else {
                    return false;
                };
                event.finish(());
                if elsewhere.wakes() != 0 {
                    assert!(elsewhere.poll(&mut holder).is_ready());
                }
            }
        }
    }
}

// R12
#[test]
fn rfd_609_in_the_naive_way_locks_up() {
    let story = Rfd609::new();
    let ends = story.ends(async {
        let mut first = Box::pin(story.operate("first"));
        match select(&mut first, story.timer.task()).await {
            Either::Left(..) => unreachable!("the lock is held"),
            // The first operation is not polled here, and has the lock.
            Either::Right(..) => story.operate("second").await,
        }
    });
    assert!(!ends);
    assert!(story.log.borrow().is_empty());
    assert!(story.holder.is_dropped());

    // With a group it is no better.
    let story = Rfd609::new();
    let ends = story.ends(async {
        let mut group = LocalErrGroup::new();
        group.spawn(story.operate("first"));
        assert!(group.drive(story.timer.task()).await.is_some());
        story.operate("second").await?;
        group.await
    });
    assert!(!ends);
    assert!(story.log.borrow().is_empty());
}

// R12
#[test]
fn rfd_609_cannot_happen_with_drive() {
    let story = Rfd609::new();
    let ends = story.ends(async {
        let mut group = LocalErrGroup::new();
        group.spawn(story.operate("first"));
        assert!(group.drive(story.timer.task()).await.is_some());
        let second = group.drive(story.operate("second")).await;
        assert_eq!(second, Some(Ok(())));
        assert_eq!(group.await, Ok(()));
    });
    assert!(ends);
    assert_eq!(*story.log.borrow(), ["first", "second"]);
    assert_eq!(story.lock.available(), 1);
}

// R12
#[test]
fn rfd_609_cannot_happen_with_tasks() {
    let story = Rfd609::new();
    let ends = story.ends(async {
        let mut group = LocalErrGroup::new();
        let spawner = group.spawner();
        group.spawn(story.operate("first"));
        group.spawn(async {
            let spawner = spawner;
            story.timer.task().await;
            spawner.spawn(story.operate("second"));
            Ok(())
        });
        assert_eq!(group.await, Ok(()));
    });
    assert!(ends);
    assert_eq!(*story.log.borrow(), ["first", "second"]);
    assert_eq!(story.lock.available(), 1);
}

// R12
#[test]
fn rfd_609_cannot_happen_when_the_first_operation_is_dropped() {
    let story = Rfd609::new();
    let ends = story.ends(async {
        let mut group = LocalErrGroup::new();
        group.spawn(story.operate("first"));
        assert!(group.drive(story.timer.task()).await.is_some());
        // Its place in the queue goes with it.
        group.abort_all();
        assert_eq!(story.operate("second").await, Ok(()));
    });
    assert!(ends);
    assert_eq!(*story.log.borrow(), ["second"]);
}

// R12: a task that is at the limit, and whose child must run before it can end.
#[test]
fn a_task_that_waits_for_what_it_spawned_needs_room_for_it() {
    let nested = |limit| async move {
        let (sender, receiver) = futures::channel::oneshot::channel();
        let mut group = ErrGroup::<(), ()>::new().limit(limit);
        let spawner = group.spawner();
        group.spawn(async move {
            spawner.spawn(async move { sender.send(()) });
            receiver.await.map_err(drop)
        });
        group.await
    };
    // `spawn` does not wait; the task does, for a task that has no slot. No library can help that.
    assert!(locks_up(nested(1)));
    assert!(!locks_up(nested(2).map(Result::unwrap)));
}
