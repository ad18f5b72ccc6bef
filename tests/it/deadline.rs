//! A deadline in the middle of the work leaves nothing running, and loses no permit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;

use crate::common::{Fail, OnDrop, Probe, Root, probes, yields};
use errgroup::{CancelContext, CancelKind, ErrGroup, Semaphore, try_map};
use futures::future::pending;

const PERMITS: usize = 4;

/// A context whose deadline passes when the probe is finished.
fn deadline() -> (CancelContext, Probe<()>) {
    let timer = Probe::new();
    (CancelContext::new().with_deadline(timer.task()), timer)
}

/// Counts what is there, running or not.
#[derive(Clone, Default)]
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn one(&self) -> impl Send + 'static + use<> {
        self.0.fetch_add(1, SeqCst);
        let count = self.0.clone();
        OnDrop(move || {
            count.fetch_sub(1, SeqCst);
        })
    }

    fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

/// Acquires so many permits, and then waits.
async fn hold(
    semaphore: &Semaphore,
    permits: usize,
    alive: impl Send,
    wait: impl Future<Output = Result<(), Fail>>,
) -> Result<(), Fail> {
    let _alive = alive;
    let _permit = semaphore.acquire(permits).await;
    wait.await
}

// C3, C4, S3, S5
#[test]
fn a_deadline_in_the_middle_drops_a_group_and_gives_back_every_permit() {
    let (root, semaphore, alive) = (Root::new(), Semaphore::new(PERMITS), Alive::default());
    let (context, timer) = deadline();
    let waits = probes(8);
    let mut group = ErrGroup::new().limit(6);
    let spawner = group.spawner();
    for (wait, permits) in waits.iter().zip([1, 2, 1, 1, 3, 1, 1, 1]) {
        group.spawn(hold(&semaphore, permits, alive.one(), wait.task()));
    }
    let mut work = Box::pin(context.run(group));
    assert!(root.poll(&mut work).is_pending());
    assert_eq!(semaphore.available(), 0);
    assert_eq!((spawner.running(), spawner.queued()), (6, 2));

    // One ends, and the next in the queue gets its permit and has not been polled since.
    waits[0].finish(Ok(()));
    assert!(root.poll(&mut work).is_pending());
    waits[1].finish(Ok(()));

    timer.finish(());
    let Poll::Ready(Err(reason)) = root.poll(&mut work) else {
        panic!("the deadline has passed");
    };
    assert!(reason.is_deadline());
    // Running, granted, waiting and queued: all are gone, before anybody has dropped `work`.
    assert_eq!(alive.count(), 0);
    assert_eq!((spawner.running(), spawner.queued()), (0, 0));
    assert!(spawner.is_closed());
    assert_eq!(semaphore.available(), PERMITS);
    assert_eq!(semaphore.try_acquire(PERMITS).unwrap().permits(), PERMITS);
    assert_eq!(timer.drops(), 1);
    // A wake that comes too late is nobody's business.
    root.wakes();
    waits[2].wake();
    timer.wake();
    assert_eq!(root.wakes(), 0);
}

// C3, C4, M1, S3, S5
#[test]
fn a_deadline_in_the_middle_drops_a_map_and_gives_back_every_permit() {
    let (root, semaphore, alive) = (Root::new(), Semaphore::new(PERMITS), Alive::default());
    let (context, timer) = deadline();
    let waits = probes(9);
    let mut work = Box::pin(context.run(try_map(0..9, 6, |item| {
        hold(&semaphore, 1 + item % 3, alive.one(), waits[item].task())
    })));
    assert!(root.poll(&mut work).is_pending());
    assert_eq!(alive.count(), 6);
    waits[0].finish(Ok(()));
    assert!(root.poll(&mut work).is_pending());

    timer.finish(());
    assert!(matches!(root.poll(&mut work), Poll::Ready(Err(reason)) if reason.is_deadline()));
    assert_eq!((alive.count(), semaphore.available()), (0, PERMITS));
}

// C4
#[test]
fn a_deadline_wins_over_work_that_is_ready_and_over_an_error() {
    for outcome in [Ok(()), Err(Fail::Text("no"))] {
        let (root, semaphore) = (Root::new(), Semaphore::new(1));
        let (context, timer) = deadline();
        let wait = Probe::new();
        let mut group = ErrGroup::new();
        group.spawn(hold(&semaphore, 1, (), wait.task()));
        let mut work = Box::pin(context.run(group));
        assert!(root.poll(&mut work).is_pending());
        wait.finish(outcome);
        timer.finish(());
        assert!(matches!(root.poll(&mut work), Poll::Ready(Err(_))));
        assert_eq!(
            (wait.polls(), wait.drops(), semaphore.available()),
            (1, 1, 1)
        );
    }
}

// C3
#[test]
fn work_that_ends_in_time_leaves_a_deadline_that_nobody_waits_for() {
    let root = Root::new();
    let (context, timer) = deadline();
    let mut group = ErrGroup::<_, Fail>::new();
    group.spawn(async {
        yields(3).await;
        Ok(7)
    });
    let mut work = Box::pin(context.run(group.collect()));
    while root.poll(&mut work).is_pending() {
        assert_ne!(root.wakes(), 0);
    }
    drop(work);
    root.wakes();
    timer.wake();
    assert_eq!(root.wakes(), 0);
    drop(context);
    assert_eq!(timer.drops(), 1);
}

// S3
#[test]
fn what_a_deadline_gives_back_goes_to_whoever_waits_outside() {
    let (root, outside, semaphore) = (Root::new(), Root::new(), Semaphore::new(PERMITS));
    let (context, timer) = deadline();
    let mut group = ErrGroup::new();
    group.spawn(hold(&semaphore, 3, (), pending()));
    group.spawn(hold(&semaphore, 2, (), pending()));
    let mut work = Box::pin(context.run(group));
    assert!(root.poll(&mut work).is_pending());

    // Behind the one that waits for two.
    let mut waiting = semaphore.acquire(4);
    assert!(outside.poll(&mut waiting).is_pending());
    timer.finish(());
    assert!(root.poll(&mut work).is_ready());
    assert_eq!(outside.wakes(), 1);
    let Poll::Ready(Ok(permit)) = outside.poll(&mut waiting) else {
        panic!("it is its turn");
    };
    drop(permit);
    assert_eq!(semaphore.available(), PERMITS);
}

// C5, G1
#[test]
fn after_the_grace_nothing_runs_and_no_permit_is_lost() {
    let (root, semaphore, alive) = (Root::new(), Semaphore::new(PERMITS), Alive::default());
    let (parent, timer) = deadline();
    let (grace, graces) = (Probe::new(), AtomicUsize::new(0));
    let waits = probes(6);
    let (context, mut group) = ErrGroup::<(), Fail>::with_grace(&parent, || {
        graces.fetch_add(1, SeqCst);
        grace.task()
    });
    for wait in &waits {
        group.spawn(hold(&semaphore, 2, alive.one(), wait.task()));
    }
    // Two hold permits, four wait. One that listens as well:
    let polite = context.clone();
    let at_once = alive.one();
    group.spawn(async move {
        let _alive = at_once;
        polite.cancelled().await;
        Ok(())
    });
    let mut work = Box::pin(group.settle());
    assert!(root.poll(&mut work).is_pending());
    assert_eq!((alive.count(), semaphore.available()), (7, 0));
    assert_eq!(graces.load(SeqCst), 0);

    timer.finish(());
    assert_ne!(root.wakes(), 0);
    assert!(root.poll(&mut work).is_pending());
    assert!(context.reason().unwrap().is_deadline());
    assert_eq!((alive.count(), graces.load(SeqCst)), (6, 1));

    // Within the grace everything goes on: one ends, and the next gets its permits.
    waits[0].finish(Ok(()));
    assert!(root.poll(&mut work).is_pending());
    assert_eq!((alive.count(), waits[2].polls()), (5, 1));
    assert_eq!(semaphore.available(), 0);

    grace.finish(());
    let Poll::Ready(outcomes) = root.poll(&mut work) else {
        panic!("the grace is over");
    };
    let dropped = Err(Fail::Cancelled(CancelKind::DeadlineExceeded));
    let mut expected = vec![dropped; 7];
    (expected[0], expected[6]) = (Ok(()), Ok(()));
    assert_eq!(outcomes, expected);
    assert_eq!((alive.count(), semaphore.available()), (0, PERMITS));
}

// C4, S3
#[test]
fn tasks_that_run_under_the_context_all_come_home() {
    let (root, semaphore) = (Root::new(), Semaphore::new(2));
    let (parent, timer) = deadline();
    let (context, mut group) = ErrGroup::<(), Fail>::with_context(&parent);
    for _ in 0..5 {
        group.spawn(async {
            let _permit = context.run(semaphore.acquire(1)).await?;
            context.run(pending()).await?
        });
    }
    let mut work = Box::pin(group);
    assert!(root.poll(&mut work).is_pending());
    assert_eq!((root.wakes(), semaphore.available()), (0, 0));
    timer.finish(());
    let error = Fail::Cancelled(CancelKind::DeadlineExceeded);
    assert_eq!(root.poll(&mut work), Poll::Ready(Err(error)));
    assert_eq!(semaphore.available(), 2);
}

// C3, S5
#[test]
fn at_whatever_step_the_deadline_comes_nothing_is_left() {
    for step in 0.. {
        let (root, semaphore, alive) = (Root::new(), Semaphore::new(PERMITS), Alive::default());
        let (context, timer) = deadline();
        let mut group = ErrGroup::<_, Fail>::new().limit(7);
        for number in 0..40 {
            let (alive, semaphore, spawner) = (alive.one(), &semaphore, group.spawner());
            group.spawn(async move {
                let alive = alive;
                yields(number % 3).await;
                // Not for the one that it spawns, which may have to wait for a slot.
                let _permit = semaphore.acquire(1 + number % PERMITS).await;
                yields(1 + number % 5).await;
                spawner.spawn(async move {
                    let _alive = alive;
                    yields(2).await;
                    Ok(number)
                });
                Ok(number)
            });
        }
        let mut work = Box::pin(context.run(group.collect()));
        for _ in 0..step {
            if let Poll::Ready(outcome) = root.poll(&mut work) {
                // Everything was done before the deadline.
                assert_eq!(outcome.unwrap().unwrap().len(), 80);
                assert_eq!((alive.count(), semaphore.available()), (0, PERMITS));
                assert!(step > 20, "{step}");
                return;
            }
            assert_ne!(root.wakes(), 0, "it sleeps for ever");
        }
        timer.set(());
        if step > 0 {
            timer.wake();
        }
        let Poll::Ready(outcome) = root.poll(&mut work) else {
            panic!("the deadline has passed");
        };
        assert!(outcome.unwrap_err().is_deadline());
        assert_eq!((alive.count(), semaphore.available()), (0, PERMITS));
    }
}
