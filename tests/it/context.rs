//! What cancelling, asking and waiting do, one thread at a time.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Wake, Waker};

use crate::common::{Counter, Event, OnDrop, cause, hooked, on_wake, poll, poll_with};
use errgroup::{CancelContext, CancelKind, Cancelled};
use futures::future::{FusedFuture, pending, ready};

// C1
#[test]
fn the_first_cancel_wins() {
    let context = CancelContext::new();
    assert!(context.check().is_ok());
    assert!(context.cancel_with("first"));
    assert!(!context.cancel_with("second"));
    assert!(!context.cancel());

    let reason = context.reason().unwrap();
    assert_eq!(reason.kind(), CancelKind::Cancelled);
    assert_eq!(cause(&reason), "first");
    assert_eq!(cause(&context.check().unwrap_err()), "first");
}

// C1
#[test]
fn a_clone_is_the_same_context() {
    let context = CancelContext::new();
    assert!(context.clone().cancel());
    assert!(context.is_cancelled());
    assert!(!context.cancel());
}

// C1
#[test]
fn dropping_every_handle_cancels_nothing() {
    let context = CancelContext::new();
    let mut waiting = context.cancelled();
    let (counter, waker) = Counter::new();
    assert!(poll_with(&mut waiting, &waker).is_pending());
    drop(context);
    assert_eq!(counter.wakes(), 0);
    assert!(poll(&mut waiting).is_pending());
}

// C2
#[test]
fn a_waiter_is_woken_once_by_the_cancel_and_not_before() {
    let context = CancelContext::new();
    let mut waiting = context.cancelled();
    let (counter, waker) = Counter::new();
    assert!(poll_with(&mut waiting, &waker).is_pending());
    assert!(poll_with(&mut waiting, &waker).is_pending());
    assert_eq!(counter.wakes(), 0);

    context.cancel();
    context.cancel();
    assert_eq!(counter.wakes(), 1);
    assert!(poll_with(&mut waiting, &waker).is_ready());
}

// C2
#[test]
fn the_last_waker_is_the_one_that_is_woken() {
    let context = CancelContext::new();
    let mut waiting = context.cancelled();
    let (first, first_waker) = Counter::new();
    let (second, second_waker) = Counter::new();
    assert!(poll_with(&mut waiting, &first_waker).is_pending());
    assert!(poll_with(&mut waiting, &second_waker).is_pending());

    // The old waker is let go.
    drop(first_waker);
    assert_eq!(Arc::strong_count(&first), 1);
    context.cancel();
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
}

// C2
#[test]
fn a_dropped_waiter_is_not_woken_and_leaves_nothing_behind() {
    let context = CancelContext::new();
    let (counter, waker) = Counter::new();
    for _ in 0..100 {
        let mut waiting = context.cancelled();
        assert!(poll_with(&mut waiting, &waker).is_pending());
    }
    drop(waker);
    assert_eq!(Arc::strong_count(&counter), 1);
    context.cancel();
    assert_eq!(counter.wakes(), 0);
}

#[test]
fn waiters_are_woken_in_the_order_in_which_they_came() {
    let context = CancelContext::new();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiting: Vec<_> = (0..8).map(|_| Some(context.cancelled())).collect();
    let enter = |waiting: &mut Option<_>, name: usize| {
        let order = order.clone();
        let waker = on_wake(move || order.lock().unwrap().push(name));
        assert!(poll_with(waiting.insert(context.cancelled()), &waker).is_pending());
    };
    for (name, waiting) in waiting.iter_mut().enumerate() {
        enter(waiting, name);
    }
    waiting[0] = None;
    waiting[3] = None;
    enter(&mut waiting[3], 8);
    enter(&mut waiting[0], 9);
    context.cancel();
    assert_eq!(*order.lock().unwrap(), [1, 2, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn a_completed_wait_may_be_polled_again() {
    let context = CancelContext::new();
    let mut waiting = context.cancelled();
    assert!(!waiting.is_terminated());
    context.cancel_with("enough");
    for _ in 0..3 {
        let Poll::Ready(reason) = poll(&mut waiting) else {
            panic!("the context is cancelled")
        };
        assert_eq!(cause(&reason), "enough");
        assert!(waiting.is_terminated());
    }
}

// C2: a waker is woken outside of every lock.
#[test]
fn a_waker_may_drop_another_waiter_of_the_same_context() {
    let context = CancelContext::new();
    let mut victim = context.cancelled();
    let (counter, waker) = Counter::new();
    let slot = Arc::new(Mutex::new(None));
    let mut killer = context.cancelled();
    let waker_of_killer = on_wake({
        let slot = slot.clone();
        move || drop(slot.lock().unwrap().take())
    });
    assert!(poll_with(&mut killer, &waker_of_killer).is_pending());
    assert!(poll_with(&mut victim, &waker).is_pending());
    *slot.lock().unwrap() = Some(victim);

    context.cancel();
    assert!(slot.lock().unwrap().is_none());
    // Woken all the same: it was registered when the context was cancelled.
    assert_eq!(counter.wakes(), 1);
}

// C2: neither clone nor wake nor drop of a waker happens under a lock.
#[test]
fn a_waker_may_reenter_the_context_in_its_clone_wake_and_drop() {
    let context = CancelContext::new();
    let child = context.child();
    let events = Arc::new(Mutex::new(Vec::new()));
    let waker = hooked({
        let (context, child, events) = (context.clone(), child.clone(), events.clone());
        move |event| {
            events.lock().unwrap().push(event);
            for context in [&context, &child, &child.child()] {
                _ = poll(&mut context.cancelled());
                _ = context.reason();
            }
        }
    });
    let mut replaced = child.cancelled();
    let mut dropped = child.cancelled();
    let mut woken = child.cancelled();
    for waiting in [&mut replaced, &mut dropped, &mut woken] {
        assert!(poll_with(waiting, &waker).is_pending());
    }
    assert!(poll(&mut replaced).is_pending());
    assert!(poll_with(&mut replaced, &waker).is_pending());
    drop(dropped);
    context.cancel();
    use Event::{Clone, Drop, Wake};
    assert_eq!(
        *events.lock().unwrap(),
        [Clone, Clone, Clone, Drop, Clone, Drop, Wake, Wake]
    );
    assert!(poll(&mut woken).is_ready());
}

struct Panicking;

impl Wake for Panicking {
    fn wake(self: Arc<Self>) {
        panic!("a waker panics");
    }
}

// C2
#[test]
#[cfg_attr(not(feature = "std"), ignore = "panics cannot be caught")]
fn a_panicking_waker_does_not_stop_the_others() {
    let context = CancelContext::new();
    let child = context.child();
    let (counter, waker) = Counter::new();
    let mut waiting = Vec::new();
    for context in [&context, &child] {
        for waker in [&waker, &Waker::from(Arc::new(Panicking)), &waker] {
            let mut future = context.cancelled();
            assert!(poll_with(&mut future, waker).is_pending());
            waiting.push(future);
        }
    }

    let panic = std::panic::catch_unwind(|| context.cancel()).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"a waker panics"));
    assert_eq!(counter.wakes(), 4);
    assert!(waiting.iter_mut().all(|waiting| poll(waiting).is_ready()));
}

// C2
#[test]
fn ten_thousand_waiters_are_each_woken_once() {
    let context = CancelContext::new();
    let (counter, waker) = Counter::new();
    let mut waiting: Vec<_> = (0..10_000).map(|_| context.cancelled()).collect();
    for waiting in &mut waiting {
        assert!(poll_with(waiting, &waker).is_pending());
    }
    // Dropped from the middle.
    waiting.drain(2_500..7_500);
    context.cancel();
    assert_eq!(counter.wakes(), 5_000);
    drop((waiting, waker));
    assert_eq!(Arc::strong_count(&counter), 1);
}

// C4
#[test]
fn run_gives_the_output() {
    let context = CancelContext::new();
    let mut run = context.run(ready(7));
    assert!(matches!(poll(&mut run), Poll::Ready(Ok(7))));
}

// C4
#[test]
fn a_cancelled_context_wins_over_a_ready_future() {
    let context = CancelContext::new();
    context.cancel_with("enough");
    let polled = AtomicUsize::new(0);
    let dropped = AtomicUsize::new(0);
    let guard = OnDrop(|| _ = dropped.fetch_add(1, SeqCst));
    let mut run = pin!(context.run(async {
        polled.fetch_add(1, SeqCst);
        drop(guard);
    }));

    let Poll::Ready(Err(reason)) = poll(&mut run) else {
        panic!("the context is cancelled")
    };
    assert_eq!(cause(&reason), "enough");
    // Dropped unpolled, and in place.
    assert_eq!(polled.load(SeqCst), 0);
    assert_eq!(dropped.load(SeqCst), 1);
}

// C4
#[test]
fn a_passed_deadline_that_nobody_polled_wins_over_a_ready_future() {
    let context = CancelContext::new().with_deadline(ready(()));
    let mut run = context.child().run(ready(7));
    let Poll::Ready(Err(reason)) = poll(&mut run) else {
        panic!("the deadline has passed")
    };
    assert!(reason.is_deadline());
}

// C4
#[test]
fn run_drops_its_future_as_soon_as_it_is_cancelled() {
    let context = CancelContext::new();
    let dropped = AtomicUsize::new(0);
    let guard = OnDrop(|| _ = dropped.fetch_add(1, SeqCst));
    let mut run = pin!(context.run(async {
        pending::<()>().await;
        drop(guard);
    }));
    let (counter, waker) = Counter::new();
    assert!(poll_with(&mut run, &waker).is_pending());
    assert!(poll_with(&mut run, &waker).is_pending());
    context.cancel();
    assert_eq!(counter.wakes(), 1);
    assert_eq!(dropped.load(SeqCst), 0);
    assert!(matches!(poll(&mut run), Poll::Ready(Err(_))));
    assert_eq!(dropped.load(SeqCst), 1);
}

// C4
#[test]
fn run_drops_its_future_and_its_waker_as_soon_as_it_has_completed() {
    let context = CancelContext::new();
    let dropped = AtomicUsize::new(0);
    let (counter, waker) = Counter::new();
    let guard = OnDrop(|| _ = dropped.fetch_add(1, SeqCst));
    let mut first = true;
    let mut run = Box::pin(context.run(std::future::poll_fn(|_| {
        let _ = &guard;
        if std::mem::take(&mut first) {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })));
    assert!(poll_with(&mut run, &waker).is_pending());
    assert!(matches!(poll_with(&mut run, &waker), Poll::Ready(Ok(()))));
    context.cancel();
    assert_eq!(counter.wakes(), 0);
    drop(run);
    drop(guard);
    assert_eq!(dropped.load(SeqCst), 1);
}

// C4
#[test]
fn a_future_that_cancels_its_own_context_ends_its_run_in_the_same_poll() {
    let context = CancelContext::new();
    let mut run = Box::pin(context.run(async {
        context.cancel();
        pending::<()>().await;
    }));
    let (counter, waker) = Counter::new();
    assert!(matches!(poll_with(&mut run, &waker), Poll::Ready(Err(_))));
    assert_eq!(counter.wakes(), 0);
}

#[test]
#[should_panic = "polled after completion"]
fn run_panics_when_polled_after_completion() {
    let mut run = CancelContext::new().run(ready(()));
    _ = poll(&mut run);
    _ = poll(&mut run);
}

#[test]
fn a_guard_cancels_on_drop_unless_disarmed() {
    let context = CancelContext::new();
    let disarmed = context.drop_guard().disarm();
    assert!(!disarmed.is_cancelled());
    drop(disarmed.drop_guard());
    assert!(context.is_cancelled());
}

#[test]
fn debug_shows_whether_it_is_cancelled() {
    let context = CancelContext::default();
    let waiting = context.cancelled();
    let run = context.run(pending::<()>());
    let guard = context.drop_guard();
    assert_eq!(
        format!("{context:?}"),
        "CancelContext { cancelled: None, .. }"
    );
    context.cancel();
    assert_eq!(
        format!("{context:?}"),
        "CancelContext { cancelled: Some(Cancelled), .. }"
    );
    assert_eq!(
        format!("{waiting:?}"),
        "Cancelling { cancelled: Some(Cancelled), .. }"
    );
    assert_eq!(format!("{run:?}"), "Run { cancelled: Some(Cancelled), .. }");
    assert_eq!(format!("{guard:?}"), format!("DropGuard({context:?})"));
}

#[test]
fn contexts_and_their_futures_may_go_anywhere() {
    fn anywhere<T: Send + Sync + Unpin + 'static>() {}
    anywhere::<CancelContext>();
    anywhere::<errgroup::Cancelling>();
    anywhere::<errgroup::DropGuard>();
    anywhere::<errgroup::Run<std::future::Ready<()>>>();
    anywhere::<Cancelled>();
}
