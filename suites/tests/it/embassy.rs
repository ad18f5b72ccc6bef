//! Groups on embassy's executor, in its port to the standard library, with embassy's timers.
//!
//! Needs:
//!
//! ```toml
//! embassy-executor = { version = "0.10", features = ["executor-thread", "platform-std"] }
//! embassy-time = { version = "0.5", features = ["generic-queue-8", "std"] }
//! ```
//!
//! Without `generic-queue-8` the timers of embassy-time know no wakers but those of embassy's
//! executor, and panic in a group, whose wakers are its own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread;
use std::time;

use crate::common::Fail;
use embassy_executor::Executor;
use embassy_time::{Duration, Instant, Timer};
use errgroup::{CancelContext, CancelKind, Cancelled, ErrGroup, LocalErrGroup, Semaphore, scope};

/// Long enough for anything that is going to happen.
const PATIENCE: time::Duration = time::Duration::from_secs(60);

type Main = Pin<Box<dyn Future<Output = ()>>>;

#[embassy_executor::task(pool_size = 8)]
async fn main_task(main: Main) {
    main.await;
}

/// Runs a future as a task of embassy, and gives its output. The executor itself never ends: its
/// thread is left to the end of the process.
#[track_caller]
fn on_embassy<Fut>(main: impl FnOnce() -> Fut + Send + 'static) -> Fut::Output
where
    Fut: Future<Output: Send> + 'static,
{
    let (sender, output) = mpsc::channel();
    thread::spawn(move || {
        let executor: &'static mut Executor = Box::leak(Box::new(Executor::new()));
        executor.run(|spawner| {
            let main = main();
            let main: Main = Box::pin(async move { sender.send(main.await).unwrap() });
            spawner.spawn(main_task(main).expect("the pool has a place"));
        })
    });
    output.recv_timeout(PATIENCE).expect("it ends, and well")
}

#[test]
fn tasks_of_a_group_wait_for_timers_at_the_same_time() {
    let (values, elapsed) = on_embassy(|| async {
        let start = Instant::now();
        let mut group = ErrGroup::<_, Fail>::new();
        for number in 0..5 {
            group.spawn(async move {
                Timer::after_millis(200).await;
                Ok(number)
            });
        }
        (group.collect().await, start.elapsed())
    });
    assert_eq!(values, Ok(vec![0, 1, 2, 3, 4]));
    assert!(elapsed >= Duration::from_millis(200), "{elapsed}");
    assert!(elapsed < Duration::from_millis(1_000), "{elapsed}");
}

#[test]
fn more_timers_than_the_queue_has_places_all_fire() {
    let sum = on_embassy(|| async {
        let mut group = ErrGroup::<_, Fail>::new();
        for ms in 0..30 {
            group.spawn(async move {
                Timer::after_millis(ms).await;
                Ok(ms)
            });
        }
        group.collect().await.unwrap().into_iter().sum::<u64>()
    });
    assert_eq!(sum, 30 * 29 / 2);
}

// R5
#[test]
fn error_after_a_timer_drops_siblings_that_wait_for_longer_ones() {
    let result = on_embassy(|| async {
        let name = String::from("borrowed");
        let mut group = ErrGroup::<(), Fail>::new();
        group.spawn(async {
            Timer::after_secs(3_600).await;
            unreachable!("{name}")
        });
        group.spawn(async {
            Timer::after_millis(5).await;
            Err(Fail::Text("no"))
        });
        group.await
    });
    assert_eq!(result, Err(Fail::Text("no")));
}

// C3
#[test]
fn deadline_of_a_context_is_a_timer_of_embassy() {
    let (ran, reason) = on_embassy(|| async {
        let context = CancelContext::new().with_deadline(Timer::after_millis(5));
        let ran = context.run(Timer::after_secs(3_600)).await;
        (ran.map_err(|reason| reason.kind()), context.reason())
    });
    assert_eq!(ran, Err(CancelKind::DeadlineExceeded));
    assert!(reason.is_some_and(|reason| reason.is_deadline()));
}

// G1
#[test]
fn grace_of_a_group_is_a_timer_of_embassy() {
    let (said_goodbye, outcomes) = on_embassy(|| async {
        let said_goodbye = AtomicUsize::new(0);
        let parent = CancelContext::new().with_deadline(Timer::after_millis(5));
        let (context, mut group) = ErrGroup::with_grace(&parent, || Timer::after_millis(20));
        group.spawn(async {
            let reason: Cancelled = context.cancelled().await;
            said_goodbye.fetch_add(1, SeqCst);
            Err::<(), _>(Fail::from(reason))
        });
        group.spawn(async {
            Timer::after_secs(3_600).await; // Does not listen.
            Ok(())
        });
        let outcomes = group.settle().await;
        (said_goodbye.into_inner(), outcomes)
    });
    assert_eq!(said_goodbye, 1);
    let late = Err(Fail::Cancelled(CancelKind::DeadlineExceeded));
    assert_eq!(outcomes, [late.clone(), late]);
}

// R8
#[test]
fn limit_holds_while_tasks_wait_for_timers() {
    let (most, values) = on_embassy(|| async {
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let mut group = ErrGroup::<_, Fail>::new().limit(3);
        for number in 0..10 {
            let (running, most) = (&running, &most);
            group.spawn(async move {
                most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                Timer::after_millis(1 + number % 4).await;
                running.fetch_sub(1, SeqCst);
                Ok(number)
            });
        }
        let values = group.collect().await;
        (most.into_inner(), values)
    });
    assert_eq!(most, 3);
    assert_eq!(values, Ok((0..10).collect()));
}

// S1
#[test]
fn semaphore_lets_so_many_tasks_wait_at_once() {
    let most = on_embassy(|| async {
        let memory = Arc::new(Semaphore::new(3));
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let mut group = LocalErrGroup::<(), Fail>::new();
        for _ in 0..9 {
            group.spawn(async {
                let _permit = memory.acquire(1).await.unwrap();
                most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                Timer::after_millis(2).await;
                running.fetch_sub(1, SeqCst);
                Ok(())
            });
        }
        group.await.unwrap();
        most.into_inner()
    });
    assert_eq!(most, 3);
}

// R12
#[test]
fn scope_on_embassy_goes_on_while_its_body_waits_for_a_timer() {
    let values = on_embassy(|| async {
        let values = scope(async |s| {
            let slow = s.spawn_with_handle(async {
                Timer::after_millis(2).await;
                Ok::<_, Fail>(3)
            });
            while !slow.is_finished() {
                Timer::after_millis(1).await;
            }
            Ok((slow.await.unwrap(), 4))
        });
        values.await.unwrap()
    });
    assert_eq!(values, (3, 4));
}
