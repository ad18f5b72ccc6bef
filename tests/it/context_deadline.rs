//! Deadlines and triggers: futures that cancel a context.

use std::future::{Future, pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Poll, Waker};

use crate::common::{Counter, OnDrop, on_wake, poll, poll_with};
use errgroup::{CancelContext, CancelKind};
use futures::channel::oneshot;

/// A timer set by hand, which remembers how it was treated.
#[derive(Clone, Default)]
struct Timer(Arc<Shared>);

#[derive(Default)]
struct Shared {
    passed: Mutex<bool>,
    waker: Mutex<Option<Waker>>,
    polls: AtomicUsize,
    drops: AtomicUsize,
}

impl Timer {
    fn at(&self) -> impl Future<Output = ()> + Send + 'static {
        let timer = self.clone();
        let counting = self.clone();
        let guard = OnDrop(move || _ = counting.0.drops.fetch_add(1, SeqCst));
        poll_fn(move |cx| {
            let _ = &guard;
            timer.0.polls.fetch_add(1, SeqCst);
            *timer.0.waker.lock().unwrap() = Some(cx.waker().clone());
            if *timer.0.passed.lock().unwrap() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
    }

    fn pass(&self) {
        *self.0.passed.lock().unwrap() = true;
        self.wake();
    }

    fn wake(&self) {
        let waker = self.0.waker.lock().unwrap().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn polls(&self) -> usize {
        self.0.polls.load(SeqCst)
    }

    fn drops(&self) -> usize {
        self.0.drops.load(SeqCst)
    }
}

// C3
#[test]
fn a_deadline_cancels_when_it_passes() {
    let timer = Timer::default();
    let parent = CancelContext::new();
    let context = parent.with_deadline(timer.at());
    let mut waiting = context.cancelled();
    let (counter, waker) = Counter::new();
    assert!(poll_with(&mut waiting, &waker).is_pending());
    assert_eq!(counter.wakes(), 0);

    timer.pass();
    assert_eq!(counter.wakes(), 1);
    let Poll::Ready(reason) = poll_with(&mut waiting, &waker) else {
        panic!("the deadline has passed")
    };
    assert_eq!(reason.kind(), CancelKind::DeadlineExceeded);
    assert!(reason.cause().is_none());
    assert!(context.is_cancelled());
    assert!(!parent.is_cancelled());
    assert_eq!(timer.drops(), 1);
    // Nobody wakes who has the answer already.
    assert_eq!(counter.wakes(), 1);
}

// C3
#[test]
fn a_deadline_reports_its_cause() {
    let context = CancelContext::new().with_deadline_cause(ready(()), "the lease has run out");
    let Poll::Ready(reason) = poll(&mut context.cancelled()) else {
        panic!("the deadline has passed")
    };
    assert!(reason.is_deadline());
    assert_eq!(reason.cause().unwrap().to_string(), "the lease has run out");
}

// C3
#[test]
fn a_trigger_gives_the_cause() {
    let (sender, receiver) = oneshot::channel::<&str>();
    let context = CancelContext::new().with_trigger(async move { receiver.await.unwrap() });
    let mut waiting = context.child().cancelled();
    let (counter, waker) = Counter::new();
    assert!(poll_with(&mut waiting, &waker).is_pending());
    sender.send("SIGTERM").unwrap();
    assert_eq!(counter.wakes(), 1);
    let Poll::Ready(reason) = poll(&mut waiting) else {
        panic!("the trigger fired")
    };
    assert_eq!(reason.kind(), CancelKind::Cancelled);
    assert_eq!(reason.cause().unwrap().to_string(), "SIGTERM");
}

// C3
#[test]
fn nobody_is_the_leader() {
    let timer = Timer::default();
    let context = CancelContext::new().with_deadline(timer.at());
    let child = context.child();
    let mut parked = context.cancelled();
    let mut dropped = child.cancelled();
    let mut other = child.child().cancelled();
    let (counter, waker) = Counter::new();
    for waiting in [&mut parked, &mut dropped, &mut other] {
        assert!(poll_with(waiting, &waker).is_pending());
    }
    drop(dropped);

    timer.pass();
    assert_eq!(counter.wakes(), 2);
    // `parked` was woken, and is not polled.
    assert!(poll_with(&mut other, &waker).is_ready());
    assert_eq!(counter.wakes(), 2);
    assert!(poll_with(&mut parked, &waker).is_ready());
}

// C2, C3
#[test]
fn a_waker_that_a_deadline_wakes_may_use_the_context() {
    let timer = Timer::default();
    let context = CancelContext::new().with_deadline(timer.at());
    let child = context.child();
    let victim = Arc::new(Mutex::new(Some(child.cancelled())));
    let mut waiting = child.cancelled();
    let waker = on_wake({
        let (context, child, victim) = (context.clone(), child.clone(), victim.clone());
        move || {
            drop(victim.lock().unwrap().take());
            assert!(poll(&mut child.cancelled()).is_pending());
            assert!(poll(&mut context.cancelled()).is_pending());
        }
    });
    assert!(poll_with(&mut waiting, &waker).is_pending());
    assert!(poll(victim.lock().unwrap().as_mut().unwrap()).is_pending());
    timer.wake();
    assert!(victim.lock().unwrap().is_none());
    assert_eq!(timer.polls(), 4);
}

// C3
#[test]
fn a_woken_waiter_that_is_polled_again_is_woken_again() {
    let timer = Timer::default();
    let context = CancelContext::new().with_deadline(timer.at());
    let mut waiting = context.child().cancelled();
    let (counter, waker) = Counter::new();
    for round in 0..5 {
        assert!(poll_with(&mut waiting, &waker).is_pending());
        assert_eq!(counter.wakes(), round);
        timer.wake();
        timer.wake();
        assert_eq!(counter.wakes(), round + 1);
    }
}

// C3: whoever polls a context polls the sources of all above it.
#[test]
fn polling_a_descendant_polls_every_deadline_above_it() {
    let (first, second) = (Timer::default(), Timer::default());
    let above = CancelContext::new().with_deadline(first.at());
    let below = above.child().with_deadline(second.at());
    let mut waiting = below.child().cancelled();
    assert!(poll(&mut waiting).is_pending());
    assert!(poll(&mut waiting).is_pending());
    assert_eq!((first.polls(), second.polls()), (2, 2));

    // And not those below or beside it.
    let beside = Timer::default();
    let _beside = above.with_deadline(beside.at());
    assert!(poll(&mut above.cancelled()).is_pending());
    assert_eq!((first.polls(), second.polls(), beside.polls()), (3, 2, 0));

    first.pass();
    assert!(poll(&mut waiting).is_ready());
    assert!(below.is_cancelled());
    assert!(above.reason().unwrap().is_deadline());
}

// C3
#[test]
fn a_deadline_is_dropped_at_the_cancel() {
    let timer = Timer::default();
    let parent = CancelContext::new();
    let context = parent.with_deadline(timer.at());
    assert_eq!(timer.drops(), 0);
    context.cancel();
    assert_eq!((timer.polls(), timer.drops()), (0, 1));
}

// C3
#[test]
fn a_deadline_is_dropped_at_the_cancel_of_an_ancestor() {
    let timer = Timer::default();
    let root = CancelContext::new();
    let context = root.child().child().with_deadline(timer.at());
    // Nobody has ever waited for it.
    root.cancel();
    assert_eq!((timer.polls(), timer.drops()), (0, 1));
    assert!(!context.cancel());
}

// C3
#[test]
fn a_deadline_is_dropped_with_its_context() {
    let timer = Timer::default();
    let parent = CancelContext::new();
    drop(parent.with_deadline(timer.at()));
    assert_eq!(timer.drops(), 1);
}

// C3
#[test]
fn a_deadline_for_a_cancelled_context_is_dropped_at_once() {
    let timer = Timer::default();
    let root = CancelContext::new();
    let parent = root.child().child();
    root.cancel_with("first");
    let context = parent.with_deadline(timer.at());
    assert_eq!((timer.polls(), timer.drops()), (0, 1));
    assert_eq!(
        context.reason().unwrap().cause().unwrap().to_string(),
        "first"
    );
}

// C1
#[test]
fn a_deadline_after_a_cancel_changes_nothing() {
    let context = CancelContext::new().with_deadline(ready(()));
    context.cancel_with("first");
    let Poll::Ready(reason) = poll(&mut context.cancelled()) else {
        panic!("the context is cancelled")
    };
    assert_eq!(reason.kind(), CancelKind::Cancelled);
}

// C3
#[test]
fn a_wake_during_the_poll_wakes_everyone_when_the_poll_is_over() {
    let again = Arc::new(AtomicUsize::new(1));
    let context = CancelContext::new().with_deadline(poll_fn({
        let again = again.clone();
        move |cx| {
            if again.load(SeqCst) > 0 {
                again.fetch_sub(1, SeqCst);
                cx.waker().wake_by_ref();
                cx.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        }
    }));
    let mut waiting = [context.cancelled(), context.child().cancelled()];
    let (counter, waker) = Counter::new();
    assert!(poll_with(&mut waiting[1], &waker).is_pending());
    assert_eq!(counter.wakes(), 1);
    again.store(1, SeqCst);
    assert!(poll_with(&mut waiting[0], &waker).is_pending());
    // The one that was woken has not been polled since.
    assert_eq!(counter.wakes(), 2);
    // It does not spin.
    assert!(poll_with(&mut waiting[0], &waker).is_pending());
    assert!(poll_with(&mut waiting[1], &waker).is_pending());
    assert_eq!(counter.wakes(), 2);
}

// C3
#[test]
fn whoever_comes_while_the_deadline_is_polled_waits_with_the_others() {
    // The deadline polls a waiter of its own context, as another thread might do meanwhile.
    let context = Arc::new(OnceLock::<CancelContext>::new());
    let timer = Timer::default();
    let inner = Arc::new(Mutex::new(None));
    let (counter, waker) = Counter::new();
    let deadline = Box::pin(timer.at());
    let made = CancelContext::new().with_deadline({
        let (context, inner, mut deadline) = (context.clone(), inner.clone(), deadline);
        poll_fn(move |cx| {
            let polled = deadline.as_mut().poll(cx);
            let mut slot = inner.lock().unwrap();
            let waiting = slot.get_or_insert_with(|| context.get().unwrap().child().cancelled());
            assert!(poll_with(waiting, &waker).is_pending());
            polled
        })
    });
    context.set(made.clone()).unwrap();

    let mut waiting = made.cancelled();
    let (outer, outer_waker) = Counter::new();
    assert!(poll_with(&mut waiting, &outer_waker).is_pending());
    assert_eq!(timer.polls(), 1);
    timer.pass();
    assert_eq!((outer.wakes(), counter.wakes()), (1, 1));
    assert!(poll_with(&mut waiting, &outer_waker).is_ready());
    assert_eq!(counter.wakes(), 2);
    assert!(poll(&mut inner.lock().unwrap().take().unwrap()).is_ready());
}

// C3
#[test]
fn a_deadline_may_cancel_its_own_context_while_it_is_polled() {
    let context = Arc::new(OnceLock::<CancelContext>::new());
    let timer = Timer::default();
    let made = CancelContext::new().with_trigger({
        let context = context.clone();
        let mut timer = Box::pin(timer.at());
        poll_fn(move |cx| {
            context.get().unwrap().cancel_with("from inside");
            assert!(timer.as_mut().poll(cx).is_pending());
            Poll::Ready("too late")
        })
    });
    context.set(made.clone()).unwrap();
    let Poll::Ready(reason) = poll(&mut made.cancelled()) else {
        panic!("the context is cancelled")
    };
    assert_eq!(reason.cause().unwrap().to_string(), "from inside");
    // It was dropped when its poll returned, and not under its own feet.
    assert_eq!((timer.polls(), timer.drops()), (1, 1));
    assert_eq!(Arc::strong_count(&context), 1);
}

// C3
#[test]
fn a_deadline_may_drop_the_last_handle_while_it_is_polled() {
    let context = Arc::new(Mutex::new(None::<CancelContext>));
    let made = CancelContext::new().child().with_deadline({
        let context = context.clone();
        poll_fn(move |cx| {
            *context.lock().unwrap() = None;
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        })
    });
    let mut waiting = made.cancelled();
    *context.lock().unwrap() = Some(made);
    assert!(poll(&mut waiting).is_pending());
    assert!(poll(&mut waiting).is_pending());
    drop(waiting);
    assert_eq!(Arc::strong_count(&context), 1);
}

// C3
#[test]
fn the_waker_of_a_deadline_may_outlive_everything() {
    let timer = Timer::default();
    let context = CancelContext::new().with_deadline(timer.at());
    assert!(poll(&mut context.cancelled()).is_pending());
    drop(context);
    assert_eq!(timer.drops(), 1);
    timer.wake();

    let timer = Timer::default();
    let context = CancelContext::new().with_deadline(timer.at());
    assert!(poll(&mut context.cancelled()).is_pending());
    context.cancel();
    timer.wake();
}

// C3
#[test]
#[cfg_attr(not(feature = "std"), ignore = "panics cannot be caught")]
fn a_panicking_deadline_panics_to_the_poller_and_leaves_the_context_usable() {
    let drops = Arc::new(AtomicUsize::new(0));
    let guard = OnDrop({
        let drops = drops.clone();
        move || _ = drops.fetch_add(1, SeqCst)
    });
    let timer = Timer::default();
    let above = CancelContext::new().with_deadline(timer.at());
    let context = above.with_deadline(async move {
        let _guard = guard;
        panic!("a deadline panics");
    });
    let mut waiting = context.cancelled();
    let (counter, waker) = Counter::new();
    let panic = catch_unwind(AssertUnwindSafe(|| poll_with(&mut waiting, &waker))).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"a deadline panics"));
    assert_eq!(drops.load(SeqCst), 1);

    assert!(poll_with(&mut waiting, &waker).is_pending());
    assert!(!context.is_cancelled());
    timer.pass();
    assert_eq!(counter.wakes(), 1);
    assert!(poll_with(&mut waiting, &waker).is_ready());
}

// C3, P4
#[test]
#[cfg_attr(not(feature = "std"), ignore = "panics cannot be caught")]
fn a_deadline_whose_destructor_panics_stops_nobody() {
    let bomb = || {
        let bomb = OnDrop(|| panic!("a destructor panics"));
        async move {
            let _bomb = bomb;
            pending::<()>().await;
        }
    };
    let root = CancelContext::new();
    let (first, second) = (root.with_deadline(bomb()), root.with_deadline(bomb()));
    let below = [first.child(), second.child()];
    let (counter, waker) = Counter::new();
    let mut waiting: Vec<_> = below.iter().map(CancelContext::cancelled).collect();
    for waiting in &mut waiting {
        assert!(poll_with(waiting, &waker).is_pending());
    }
    assert!(catch_unwind(|| root.cancel()).is_err());
    assert_eq!(counter.wakes(), 2);
    assert!(waiting.iter_mut().all(|waiting| poll(waiting).is_ready()));

    // Dropped with the context instead.
    let timer = Timer::default();
    let parent = CancelContext::new().with_deadline(timer.at());
    let context = parent.with_deadline(bomb());
    drop(parent);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(context))).is_err());
    assert_eq!(timer.drops(), 1);
}

// C3: from any thread
#[test]
fn a_deadline_that_wakes_from_another_thread_is_never_missed() {
    for _ in 0..2_000 {
        let (sender, receiver) = oneshot::channel::<()>();
        let context = CancelContext::new().with_deadline(receiver);
        std::thread::scope(|scope| {
            for context in [context.child(), context.child().child()] {
                scope.spawn(move || {
                    let reason = futures::executor::block_on(context.cancelled());
                    assert!(reason.is_deadline());
                });
            }
            sender.send(()).unwrap();
        });
    }
}
