//! Timeouts that are seen though nobody polled, and timers that work under every executor.

use std::future::{pending, ready};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Fail, Root, kind, restless, run};
use errgroup::{CancelContext, CancelKind, ErrGroup, Semaphore, time::sleep};
use futures::executor::block_on;

const SHORT: Duration = Duration::from_millis(10);
/// It will not come.
const LONG: Duration = Duration::from_secs(3600);
const DEADLINE: Option<CancelKind> = Some(CancelKind::DeadlineExceeded);
const CANCELLED: Option<CancelKind> = Some(CancelKind::Cancelled);

/// Lets short timeouts pass, and polls nothing.
fn let_time_pass() {
    thread::sleep(3 * SHORT);
}

// C3
#[test]
fn passed_timeout_is_seen_though_nobody_has_polled() {
    type Ask = fn(&CancelContext) -> bool;
    let asks: [Ask; 6] = [
        CancelContext::is_cancelled,
        |context| context.check().is_err_and(|reason| reason.is_deadline()),
        |context| context.reason().is_some_and(|reason| reason.is_deadline()),
        |context| !context.cancel(),
        |context| Root::new().poll(&mut context.cancelled()).is_ready(),
        |context| run(context.run(ready(()))).is_err(),
    ];
    let families: Vec<_> = asks
        .iter()
        .map(|_| {
            let root = CancelContext::new();
            let timed = root.with_timeout(SHORT);
            let child = timed.child();
            let grandchild = child.with_timeout(LONG);
            (root, [timed, child, grandchild])
        })
        .collect();
    let_time_pass();
    for (ask, (root, family)) in asks.iter().zip(&families) {
        // From below, so that nobody has settled it before.
        for context in family.iter().rev() {
            assert!(ask(context));
        }
        for context in family {
            assert!(context.is_cancelled());
            let reason = context.reason().unwrap();
            assert_eq!(reason.kind(), CancelKind::DeadlineExceeded);
            assert!(reason.cause().is_none());
        }
        assert!(!root.is_cancelled());
        assert_eq!(kind(root), None);
    }
}

#[test]
fn timeout_is_not_seen_before_its_time() {
    let timed = CancelContext::new().with_timeout(LONG);
    assert!(!timed.is_cancelled() && !timed.child().is_cancelled());
    assert!(timed.check().is_ok() && timed.reason().is_none());
    assert!(Root::new().poll(&mut timed.cancelled()).is_pending());
    assert_eq!(run(timed.run(ready(7))).unwrap(), 7);
    assert!(timed.cancel());
    assert_eq!(kind(&timed), CANCELLED);
}

#[test]
fn work_that_never_awaits_sees_the_timeout() {
    let start = Instant::now();
    let timed = CancelContext::new().with_timeout(SHORT).child();
    while timed.check().is_ok() {
        assert!(start.elapsed() < Duration::from_secs(60));
    }
    assert!(start.elapsed() >= SHORT);
}

#[test]
fn child_that_is_made_later_has_the_reason() {
    let timed = CancelContext::new().with_timeout(SHORT);
    let_time_pass();
    let child = timed.child();
    assert_eq!(kind(&child), DEADLINE);
    assert_eq!(kind(&child.with_timeout(LONG)), DEADLINE);
    assert!(!child.cancel_with("too late"));
    assert!(child.reason().unwrap().cause().is_none());
}

// C1
#[test]
fn cancel_wins_over_a_later_timeout() {
    let timed = CancelContext::new().with_timeout(SHORT);
    let child = timed.child();
    assert!(timed.cancel_with("first"));
    let_time_pass();
    for context in [&timed, &child] {
        assert_eq!(kind(context), CANCELLED);
        let reason = context.reason().unwrap();
        assert_eq!(reason.cause().unwrap().to_string(), "first");
    }
}

// C1
#[test]
fn timeout_wins_over_a_later_cancel() {
    let timed = CancelContext::new().with_timeout(SHORT);
    let child = timed.child();
    let_time_pass();
    assert!(!child.cancel_with("late"));
    assert!(!timed.cancel_with("late"));
    assert_eq!((kind(&timed), kind(&child)), (DEADLINE, DEADLINE));
}

// C1
#[test]
fn child_that_was_cancelled_before_the_timeout_keeps_its_reason() {
    let timed = CancelContext::new().with_timeout(SHORT);
    let (one, other) = (timed.child(), timed.child());
    let below = one.child();
    assert!(one.cancel());
    let_time_pass();
    assert_eq!((kind(&below), kind(&one)), (CANCELLED, CANCELLED));
    assert_eq!((kind(&other), kind(&timed)), (DEADLINE, DEADLINE));
}

// C1
#[test]
fn parent_that_was_cancelled_before_the_timeout_gives_its_reason() {
    for generations in 0..3 {
        let root = CancelContext::new();
        let above = (0..generations).fold(root.clone(), |above, _| above.child());
        let timed = above.with_timeout(SHORT);
        let child = timed.child();
        assert!(root.cancel_with("first"));
        let_time_pass();
        assert_eq!(kind(&child), CANCELLED);
        assert_eq!(kind(&timed), CANCELLED);
    }
}

// C1
#[test]
fn timeout_wins_over_a_later_cancel_of_a_parent() {
    for generations in 0..3 {
        let root = CancelContext::new();
        let above = (0..generations).fold(root.clone(), |above, _| above.child());
        let timed = above.with_timeout(SHORT);
        let child = timed.child();
        let waiting = child.with_timeout(LONG);
        let mut waiter = waiting.cancelled();
        assert!(Root::new().poll(&mut waiter).is_pending());
        let_time_pass();
        assert!(root.cancel());
        assert_eq!(kind(&waiting), DEADLINE);
        assert_eq!(kind(&child), DEADLINE);
        assert_eq!(kind(&timed), DEADLINE);
        assert!(generations == 0 || kind(&above) == CANCELLED);
    }
}

#[test]
fn context_that_is_cancelled_needs_no_timeout() {
    let parent = CancelContext::new();
    parent.cancel_with("first");
    let timed = parent.with_timeout(Duration::ZERO);
    assert_eq!(kind(&timed), CANCELLED);
    assert!(timed.reason().unwrap().cause().is_some());
}

#[test]
fn nearest_timeout_counts() {
    let root = CancelContext::new();
    let short = root.with_timeout(SHORT);
    let below = short.with_timeout(LONG);
    let long = root.with_timeout(LONG);
    let beside = long.with_timeout(SHORT);
    let_time_pass();
    assert!(below.is_cancelled() && beside.is_cancelled());
    assert!(!long.is_cancelled() && !root.is_cancelled());
    assert_eq!((kind(&below), kind(&beside)), (DEADLINE, DEADLINE));
    assert!(long.cancel());
    assert_eq!((kind(&long), kind(&beside)), (CANCELLED, DEADLINE));
}

#[test]
fn timeout_of_no_time_has_passed() {
    let timed = CancelContext::new().with_timeout(Duration::ZERO);
    assert!(timed.is_cancelled());
    assert_eq!(kind(&timed), DEADLINE);
}

#[test]
fn timeout_that_is_too_long_for_the_clock_never_passes() {
    let timed = CancelContext::new().with_timeout(Duration::MAX);
    assert!(!timed.is_cancelled());
    assert!(Root::new().poll(&mut timed.cancelled()).is_pending());
    assert!(Root::new().poll(&mut sleep(Duration::MAX)).is_pending());
    assert!(timed.cancel());
    assert_eq!(kind(&timed), CANCELLED);
}

#[test]
fn waiters_are_woken() {
    let timed = CancelContext::new().with_timeout(SHORT);
    let below = timed.child().with_timeout(LONG);
    let threads: Vec<_> = (0..4)
        .map(|number| {
            let context = if number % 2 == 0 { &timed } else { &below };
            let context = context.clone();
            thread::spawn(move || {
                assert!(block_on(context.cancelled()).is_deadline());
                let reason = block_on(context.run(pending::<()>())).unwrap_err();
                assert!(reason.is_deadline());
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

/// The one who polled the timer first is never polled again.
#[test]
fn waiters_are_woken_though_the_first_has_left_or_sleeps() {
    let timed = CancelContext::new().with_timeout(3 * SHORT);
    let mut parked = timed.cancelled();
    let sleeper = Root::new();
    assert!(sleeper.poll(&mut parked).is_pending());
    let mut gone = timed.cancelled();
    assert!(Root::new().poll(&mut gone).is_pending());
    drop(gone);
    assert!(block_on(timed.cancelled()).is_deadline());
    assert!(sleeper.poll(&mut parked).is_ready());
}

/// Somebody who only asks tells those who wait.
#[test]
fn waiters_are_woken_by_who_sees_the_timeout() {
    let timed = CancelContext::new().with_timeout(SHORT);
    let mut waiting = timed.child().cancelled();
    let root = Root::new();
    assert!(root.poll(&mut waiting).is_pending());
    let_time_pass();
    assert!(timed.reason().is_some());
    assert!(root.wakes() > 0);
    assert!(root.poll(&mut waiting).is_ready());
}

/// Whoever asks, and however the race between the clock and a cancel ends.
#[test]
fn nobody_disagrees_about_what_came_first() {
    for round in 0..300 {
        let root = CancelContext::new();
        let timed = root.with_timeout(Duration::from_micros(20 + round % 50));
        let child = timed.child();
        let linked = child.with_timeout(LONG);
        let start = Barrier::new(3);
        let ask = |order: [usize; 3]| {
            let family = [&timed, &child, &linked];
            start.wait();
            // Each will be cancelled; what is said first is said by all, and for ever.
            order.map(|at| {
                while !family[at].is_cancelled() {}
                kind(family[at])
            })
        };
        thread::scope(|threads| {
            let down = threads.spawn(|| ask([0, 1, 2]));
            let up = threads.spawn(|| ask([2, 1, 0]));
            start.wait();
            root.cancel();
            let (down, up) = (down.join().unwrap(), up.join().unwrap());
            let all: Vec<_> = down.iter().chain(&up).collect();
            assert!(all.iter().all(|said| **said == kind(&timed)), "{all:?}");
        });
    }
}

// C3
#[test]
fn group_sees_the_timeout_of_its_parent() {
    let parent = CancelContext::new().with_timeout(SHORT);
    let (context, mut group) = ErrGroup::with_grace(&parent, || ready(()));
    group.spawn(pending::<Result<(), Fail>>());
    assert_eq!(
        block_on(group),
        Err(Fail::Cancelled(CancelKind::DeadlineExceeded))
    );
    assert_eq!(kind(&context), DEADLINE);
}

// C3: its tasks look at nothing, and nobody wakes them.
#[test]
fn group_that_is_polled_once_after_the_timeout_sees_it() {
    let parent = CancelContext::new().with_timeout(SHORT);
    let (_context, mut group) = ErrGroup::with_grace(&parent, || ready(()));
    group.spawn(pending::<Result<(), Fail>>());
    let_time_pass();
    assert!(Root::new().poll(&mut group).is_ready());
}

// G1
#[test]
fn sleep_is_a_grace() {
    let start = Instant::now();
    let (context, mut group) = ErrGroup::with_grace(&CancelContext::new(), || sleep(20 * SHORT));
    let polls = Arc::new(AtomicUsize::new(0));
    group.spawn(restless(&polls));
    group.spawn(async move {
        context.cancelled().await;
        sleep(SHORT).await;
        Ok("tidied up")
    });
    group.spawn(ready(Err(Fail::Text("no"))));
    let result = block_on(group.settle());
    assert_eq!(result[1..], [Ok("tidied up"), Err(Fail::Text("no"))]);
    assert_eq!(result[0], Err(Fail::Cancelled(CancelKind::TaskFailed)));
    assert!(start.elapsed() >= 20 * SHORT);
    assert!(polls.load(SeqCst) > 0);
}

#[test]
fn sleep_is_a_deadline() {
    let start = Instant::now();
    let context = CancelContext::new().with_deadline_cause(sleep(SHORT), "too slow");
    let semaphore = Semaphore::new(1);
    let _held = semaphore.try_acquire(1).unwrap();
    let reason = block_on(context.run(semaphore.acquire(1))).unwrap_err();
    assert!(reason.is_deadline());
    assert_eq!(reason.cause().unwrap().to_string(), "too slow");
    assert!(start.elapsed() >= SHORT);
}

#[test]
fn sleep_works_under_every_executor() {
    async fn three_at_once() -> Result<Vec<u32>, Fail> {
        let mut group = ErrGroup::new();
        for number in 0..3 {
            group.spawn(async move {
                sleep(SHORT * (3 - number)).await;
                Ok(number)
            });
        }
        let timed = CancelContext::new().with_timeout(LONG);
        let values = timed.run(group.collect()).await?;
        assert!(
            CancelContext::new()
                .with_timeout(SHORT)
                .cancelled()
                .await
                .is_deadline()
        );
        values
    }

    let start = Instant::now();
    let values = Ok(vec![0, 1, 2]);
    assert_eq!(block_on(three_at_once()), values);
    assert_eq!(smol::block_on(three_at_once()), values);
    let pool = futures::executor::ThreadPool::new().unwrap();
    let (sender, receiver) = futures::channel::oneshot::channel();
    pool.spawn_ok(async { sender.send(three_at_once().await).unwrap() });
    assert_eq!(block_on(receiver).unwrap(), values);
    // Without its own timer and its own reactor.
    let tokio = tokio::runtime::Builder::new_current_thread().build();
    assert_eq!(tokio.unwrap().block_on(three_at_once()), values);
    let tokio = tokio::runtime::Builder::new_multi_thread().build();
    let on_tokio = tokio
        .unwrap()
        .block_on(async { tokio::spawn(three_at_once()).await });
    assert_eq!(on_tokio.unwrap(), values);
    assert!(start.elapsed() >= 5 * 4 * SHORT);
}

#[test]
fn sleep_takes_its_time_and_no_less() {
    for ms in [0, 1, 7, 30] {
        let duration = Duration::from_millis(ms);
        let start = Instant::now();
        block_on(sleep(duration));
        assert!(start.elapsed() >= duration);
    }
}

#[test]
fn sleep_and_timeouts_are_send_and_say_what_they_are() {
    fn assert_send_sync_unpin<T: Send + Sync + Unpin>(_: &T) {}
    let sleeping = sleep(LONG);
    assert_send_sync_unpin(&sleeping);
    assert_eq!(format!("{sleeping:?}"), "Sleep { will_fire: true, .. }");
    let timed = CancelContext::new().with_timeout(LONG);
    assert_eq!(
        format!("{timed:?}"),
        "CancelContext { cancelled: None, .. }"
    );
}
