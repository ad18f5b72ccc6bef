//! Deadlines and graces on the timer of a runtime whose clock is paused: exact times, and no
//! waiting. The core takes any future, so it needs no clock of its own.

use std::future::{pending, ready};
use std::time::Duration;

use crate::common::Fail;
use errgroup::{CancelContext, CancelKind, ErrGroup, Semaphore, scope_in, try_map};
use tokio::time::{Instant, advance, sleep, sleep_until};

const DEADLINE: Fail = Fail::Cancelled(CancelKind::DeadlineExceeded);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Measures virtual time, which passes only when nobody has anything else to do.
struct Clock(Instant);

impl Clock {
    fn start() -> Clock {
        Clock(Instant::now())
    }

    #[track_caller]
    fn expect(&self, elapsed: Duration) {
        // The timer of tokio rounds up to milliseconds.
        let off = self.0.elapsed().abs_diff(elapsed);
        assert!(off <= Duration::from_millis(1), "{:?}", self.0.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn deadline_passes_at_its_time() {
    let clock = Clock::start();
    let context = CancelContext::new().with_deadline(sleep(secs(3600)));
    assert!(context.cancelled().await.is_deadline());
    clock.expect(secs(3600));
}

#[tokio::test(start_paused = true)]
async fn deadline_does_not_pass_before_its_time() {
    let context = CancelContext::new().with_deadline(sleep(secs(10)));
    let mut waiting = context.child().cancelled();
    assert!(futures::poll!(&mut waiting).is_pending());
    advance(Duration::from_millis(9_999)).await;
    assert!(futures::poll!(&mut waiting).is_pending());
    assert!(!context.is_cancelled());
    advance(Duration::from_millis(2)).await;
    assert!(futures::poll!(&mut waiting).is_ready());
    assert!(context.is_cancelled());
}

// C3: unlike a timeout, a deadline on a foreign timer has to be polled.
#[tokio::test(start_paused = true)]
async fn deadline_that_nobody_polls_is_not_seen() {
    let context = CancelContext::new().with_deadline(sleep(secs(10)));
    advance(secs(20)).await;
    assert!(!context.is_cancelled());
    assert!(context.run(ready(())).await.is_err());
    assert!(context.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn earliest_deadline_wins() {
    let clock = Clock::start();
    let root = CancelContext::new();
    let long = root.with_deadline_cause(sleep(secs(20)), "long");
    let short = long.with_deadline_cause(sleep(secs(10)), "short");
    let longest = short.with_deadline_cause(sleep(secs(30)), "longest");
    let cause = |reason: errgroup::Cancelled| reason.cause().unwrap().to_string();

    assert_eq!(cause(longest.cancelled().await), "short");
    clock.expect(secs(10));
    assert!(!long.is_cancelled());
    assert_eq!(cause(long.cancelled().await), "long");
    clock.expect(secs(20));
    // What was reported once does not change.
    sleep(secs(60)).await;
    assert_eq!(cause(longest.reason().unwrap()), "short");
    assert!(!root.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn future_that_is_done_at_the_deadline_is_too_late() {
    // C4: the context is looked at first.
    let at = Instant::now() + secs(5);
    let context = CancelContext::new().with_deadline(sleep_until(at));
    assert!(context.run(sleep_until(at)).await.is_err());

    let context = CancelContext::new().with_deadline(sleep(secs(5)));
    assert!(context.run(sleep(secs(4))).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn grace_begins_with_the_failure() {
    let clock = Clock::start();
    let grace = || sleep(secs(3));
    let (context, mut group) = ErrGroup::<(), _>::with_grace(&CancelContext::new(), grace);
    group.spawn(async {
        sleep(secs(100)).await;
        Err(Fail::Text("no"))
    });
    group.spawn(pending());
    assert_eq!(group.await, Err(Fail::Text("no")));
    clock.expect(secs(103));
    assert_eq!(context.reason().unwrap().kind(), CancelKind::TaskFailed);
}

#[tokio::test(start_paused = true)]
async fn group_that_is_done_early_does_not_wait_for_its_grace() {
    let clock = Clock::start();
    let grace = || sleep(secs(30));
    let (context, mut group) = ErrGroup::with_grace(&CancelContext::new(), grace);
    group.spawn(async {
        sleep(secs(1)).await;
        Err(Fail::Text("no"))
    });
    for cleanup in 1..=5 {
        let context = context.clone();
        group.spawn(async move {
            context.cancelled().await;
            sleep(secs(cleanup)).await;
            Ok(())
        });
    }
    assert_eq!(group.await, Err(Fail::Text("no")));
    clock.expect(secs(6));
}

#[tokio::test(start_paused = true)]
async fn deadline_of_the_parent_starts_the_grace() {
    let clock = Clock::start();
    let parent = CancelContext::new().with_deadline(sleep(secs(10)));
    let (_context, mut group) = ErrGroup::with_grace(&parent, || sleep(secs(3)));
    group.spawn(async {
        sleep(secs(12)).await;
        Ok("in time")
    });
    group.spawn(async {
        sleep(secs(14)).await;
        Ok("too late")
    });
    assert_eq!(group.settle().await, [Ok("in time"), Err(DEADLINE)]);
    clock.expect(secs(13));
}

#[tokio::test(start_paused = true)]
async fn grace_of_a_scope_cuts_its_body() {
    let clock = Clock::start();
    let parent = CancelContext::new().with_deadline(sleep(secs(10)));
    let result = scope_in(
        &parent,
        || sleep(secs(3)),
        async |s, context| {
            s.spawn(async move {
                context.cancelled().await;
                sleep(secs(1)).await;
                Ok(())
            });
            pending::<()>().await;
            Ok(())
        },
    )
    .await;
    assert_eq!(result, Err(DEADLINE));
    clock.expect(secs(13));
}

#[tokio::test(start_paused = true)]
async fn limit_makes_tasks_take_turns() {
    let clock = Clock::start();
    let mut group = ErrGroup::<_, Fail>::new().limit(3);
    for number in 0..10 {
        group.spawn(async move {
            sleep(secs(10)).await;
            Ok(number)
        });
    }
    assert_eq!(group.collect().await, Ok((0..10).collect()));
    clock.expect(secs(40)); // 3 + 3 + 3 + 1
}

#[tokio::test(start_paused = true)]
async fn items_take_the_next_free_slot() {
    let clock = Clock::start();
    let times = [5, 1, 1, 1, 4];
    let mapped = try_map(times, 2, async |time| {
        sleep(secs(time)).await;
        Ok::<_, Fail>(time)
    });
    assert_eq!(mapped.await, Ok(times.to_vec()));
    // One slot takes the first, the other all the rest, the last from 3 to 7.
    clock.expect(secs(7));
}

#[tokio::test(start_paused = true)]
async fn driving_a_group_does_not_hold_up_its_tasks() {
    let clock = Clock::start();
    let mut group = ErrGroup::<_, Fail>::new();
    group.spawn(async {
        sleep(secs(10)).await;
        Ok(())
    });
    assert_eq!(group.drive(sleep(secs(7))).await, Some(()));
    clock.expect(secs(7));
    assert_eq!(group.await, Ok(()));
    clock.expect(secs(10));
}

#[tokio::test(start_paused = true)]
async fn permits_are_waited_for_until_the_deadline() {
    let clock = Clock::start();
    let semaphore = Semaphore::new(1);
    let held = semaphore.acquire(1).await.unwrap();
    let context = CancelContext::new().with_deadline(sleep(secs(5)));
    assert!(context.run(semaphore.acquire(1)).await.is_err());
    clock.expect(secs(5));
    drop(held);
    assert_eq!(semaphore.available(), 1);
}
