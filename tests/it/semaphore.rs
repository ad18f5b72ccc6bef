//! Who gets permits, and when.

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;

use crate::common::{Counter, Event, OnDrop, hooked, on_wake, poll, poll_with};
use errgroup::{Acquire, AcquireOwned, OwnedPermit, Permit, Semaphore};
use futures::future::FusedFuture;

fn acquired<'a>(future: &mut Acquire<'a>) -> Option<Permit<'a>> {
    match poll(future) {
        Poll::Ready(permit) => Some(permit.expect("not too many")),
        Poll::Pending => None,
    }
}

static OF_A_PROGRAM: Semaphore = Semaphore::new(1);

#[test]
fn a_static_may_be_a_semaphore() {
    let permit = OF_A_PROGRAM.try_acquire(1).unwrap();
    assert_eq!(OF_A_PROGRAM.available(), 0);
    drop(permit);
}

// S5
#[test]
fn permits_are_taken_and_given_back() {
    let semaphore = Semaphore::new(5);
    assert_eq!((semaphore.capacity(), semaphore.available()), (5, 5));
    let two = acquired(&mut semaphore.acquire(2)).unwrap();
    let three = semaphore.try_acquire(3).unwrap();
    assert_eq!((two.permits(), three.permits()), (2, 3));
    assert_eq!(semaphore.available(), 0);
    assert!(semaphore.try_acquire(1).is_none());
    drop(two);
    assert_eq!(semaphore.available(), 2);
    drop(three);
    assert_eq!((semaphore.capacity(), semaphore.available()), (5, 5));
}

// S5
#[test]
fn owned_permits_keep_the_semaphore() {
    let semaphore = Arc::new(Semaphore::new(2));
    let first = semaphore.try_acquire_owned(1).unwrap();
    let Poll::Ready(Ok(second)) = poll(&mut semaphore.acquire_owned(1)) else {
        panic!("one is free")
    };
    let mut waiting = semaphore.acquire_owned(2);
    assert!(poll(&mut waiting).is_pending());
    let weak = Arc::downgrade(&semaphore);
    drop(semaphore);
    drop((first, second));
    let Poll::Ready(Ok(both)) = poll(&mut waiting) else {
        panic!("both are free")
    };
    assert_eq!(both.permits(), 2);
    drop(waiting);
    assert_eq!(weak.upgrade().unwrap().available(), 0);
    drop(both);
    assert!(weak.upgrade().is_none());
}

// S1
#[test]
fn a_future_that_was_not_polled_has_no_place() {
    let semaphore = Semaphore::new(1);
    let mut early = semaphore.acquire(1);
    let permit = acquired(&mut semaphore.acquire(1)).unwrap();
    let mut late = semaphore.acquire(1);
    assert!(poll(&mut late).is_pending());
    assert!(poll(&mut early).is_pending());
    drop(permit);
    assert!(poll(&mut early).is_pending());
    assert!(poll(&mut late).is_ready());
}

// S1, Go parity
#[test]
fn permits_go_to_whoever_was_polled_first() {
    let semaphore = Semaphore::new(1);
    let permit = semaphore.try_acquire(1).unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiting: Vec<_> = (0..10).map(|_| semaphore.acquire(1)).collect();
    for (name, waiting) in waiting.iter_mut().enumerate() {
        let order = order.clone();
        let waker = on_wake(move || order.lock().unwrap().push(name));
        assert!(poll_with(waiting, &waker).is_pending());
    }
    drop(permit);
    for (name, waiting) in waiting.iter_mut().enumerate() {
        assert_eq!(order.lock().unwrap().len(), name + 1);
        drop(acquired(waiting).expect("it is its turn"));
    }
    assert_eq!(*order.lock().unwrap(), (0..10).collect::<Vec<_>>());
    assert_eq!(semaphore.available(), 1);
}

// S1, Go parity
#[test]
fn a_large_request_holds_up_small_ones_that_came_later() {
    let semaphore = Semaphore::new(3);
    let permit = semaphore.try_acquire(1).unwrap();
    let mut large = semaphore.acquire(3);
    assert!(poll(&mut large).is_pending());
    assert_eq!(semaphore.available(), 2);

    let (counter, waker) = Counter::new();
    let mut small = semaphore.acquire(1);
    let mut none = semaphore.acquire(0);
    assert!(poll_with(&mut small, &waker).is_pending());
    assert!(poll_with(&mut none, &waker).is_pending());
    assert!(semaphore.try_acquire(1).is_none());
    assert!(semaphore.try_acquire(0).is_none());

    drop(permit);
    assert_eq!(counter.wakes(), 0);
    let large = acquired(&mut large).unwrap();
    assert!(poll_with(&mut small, &waker).is_pending());
    drop(large);
    assert_eq!(counter.wakes(), 2);
    assert!(poll(&mut small).is_ready() && poll(&mut none).is_ready());
}

// S1
#[test]
fn one_that_was_granted_and_not_polled_holds_up_nobody() {
    let semaphore = Semaphore::new(3);
    let permit = semaphore.try_acquire(3).unwrap();
    let mut granted = semaphore.acquire(1);
    assert!(poll(&mut granted).is_pending());
    drop(permit);
    assert_eq!(semaphore.available(), 2);
    drop(semaphore.try_acquire(2).unwrap());
    drop(acquired(&mut semaphore.acquire(2)).unwrap());
    assert!(semaphore.try_acquire(0).is_some());

    // Nor when others have come since.
    let all = semaphore.try_acquire(2).unwrap();
    let mut next = semaphore.acquire(1);
    assert!(poll(&mut next).is_pending());
    drop(all);
    assert!(poll(&mut next).is_ready());
    assert!(poll(&mut granted).is_ready());
}

// S1
#[test]
fn a_request_for_nothing_is_met_if_nobody_waits() {
    let semaphore = Semaphore::new(0);
    let nothing = acquired(&mut semaphore.acquire(0)).unwrap();
    assert_eq!(nothing.permits(), 0);
    assert!(semaphore.try_acquire(0).is_some());
    assert!(semaphore.try_acquire(1).is_none());
}

// S2, Go parity
#[test]
fn a_request_that_can_never_be_met_fails_at_once_and_holds_up_nobody() {
    let semaphore = Arc::new(Semaphore::new(2));
    let permit = semaphore.try_acquire(1).unwrap();
    for requested in [3, usize::MAX / 2, usize::MAX / 2 + 2, usize::MAX] {
        let mut future = semaphore.acquire(requested);
        let Poll::Ready(Err(error)) = poll(&mut future) else {
            panic!("it can never be met")
        };
        assert_eq!((error.requested, error.capacity), (requested, 2));
        assert!(future.is_terminated());
        assert!(matches!(
            poll(&mut semaphore.acquire_owned(requested)),
            Poll::Ready(Err(_))
        ));
        assert!(semaphore.try_acquire(requested).is_none());
        assert!(semaphore.try_acquire_owned(requested).is_none());
        drop(semaphore.try_acquire(1).unwrap());
    }
    // Nor does it wait for those who wait.
    let mut waiting = semaphore.acquire(2);
    assert!(poll(&mut waiting).is_pending());
    assert!(poll(&mut semaphore.acquire(3)).is_ready());
    drop(permit);
    assert!(poll(&mut waiting).is_ready());
}

// S3, Go parity
#[test]
fn when_the_first_in_the_queue_is_dropped_the_next_ones_go() {
    let semaphore = Semaphore::new(3);
    let permit = semaphore.try_acquire(1).unwrap();
    let mut large = semaphore.acquire(3);
    assert!(poll(&mut large).is_pending());
    let (counter, waker) = Counter::new();
    let mut small = [
        semaphore.acquire(1),
        semaphore.acquire(1),
        semaphore.acquire(1),
    ];
    for small in &mut small {
        assert!(poll_with(small, &waker).is_pending());
    }
    drop(large);
    assert_eq!(counter.wakes(), 2);
    assert_eq!(semaphore.available(), 0);
    let [first, second, third] = &mut small;
    let held = (acquired(first).unwrap(), acquired(second).unwrap());
    assert!(poll_with(third, &waker).is_pending());
    drop(permit);
    assert_eq!(counter.wakes(), 3);
    drop(held);
}

// S3
#[test]
fn one_that_is_dropped_in_the_middle_leaves_the_order_as_it_was() {
    let semaphore = Semaphore::new(1);
    let permit = semaphore.try_acquire(1).unwrap();
    let (counter, waker) = Counter::new();
    let mut first = semaphore.acquire(1);
    let mut second = semaphore.acquire(1);
    let mut third = semaphore.acquire(1);
    for waiting in [&mut first, &mut second, &mut third] {
        assert!(poll_with(waiting, &waker).is_pending());
    }
    drop(second);
    assert_eq!(counter.wakes(), 0);
    drop(permit);
    assert_eq!(counter.wakes(), 1);
    assert!(poll(&mut third).is_pending());
    assert!(poll(&mut first).is_ready());
    assert!(poll(&mut third).is_ready());
}

// S3
#[test]
fn one_that_is_dropped_after_its_grant_passes_it_on() {
    let semaphore = Semaphore::new(2);
    let permit = semaphore.try_acquire(2).unwrap();
    let (counter, waker) = Counter::new();
    let mut first = semaphore.acquire(2);
    let mut second = semaphore.acquire(1);
    let mut third = semaphore.acquire(1);
    for waiting in [&mut first, &mut second, &mut third] {
        assert!(poll_with(waiting, &waker).is_pending());
    }
    drop(permit);
    assert_eq!(counter.wakes(), 1);
    drop(first);
    assert_eq!(counter.wakes(), 3);
    drop(second);
    assert_eq!(semaphore.available(), 1);
    assert!(poll(&mut third).is_ready());
    assert_eq!(semaphore.available(), 2);
}

// S3
#[test]
fn the_last_one_to_leave_the_queue_opens_it_again() {
    let semaphore = Semaphore::new(2);
    let permit = semaphore.try_acquire(1).unwrap();
    let mut waiting = semaphore.acquire(2);
    assert!(poll(&mut waiting).is_pending());
    assert!(semaphore.try_acquire(1).is_none());
    drop(waiting);
    assert!(semaphore.try_acquire(1).is_some());
    drop(permit);
}

// S4
#[test]
fn a_waker_may_use_the_semaphore() {
    let semaphore = Arc::new(Semaphore::new(2));
    let permit = semaphore.try_acquire(2).unwrap();
    let other = Arc::new(Mutex::new(Some(semaphore.acquire_owned(1))));
    let seen = Arc::new(Mutex::new(None));
    let mut waiting = semaphore.acquire(1);
    let waker = on_wake({
        let (semaphore, other, seen) = (semaphore.clone(), other.clone(), seen.clone());
        move || {
            drop(other.lock().unwrap().take());
            *seen.lock().unwrap() = Some(semaphore.try_acquire(1).is_some());
        }
    });
    assert!(poll_with(&mut waiting, &waker).is_pending());
    assert!(poll(other.lock().unwrap().as_mut().unwrap()).is_pending());
    drop(permit);
    assert_eq!(*seen.lock().unwrap(), Some(true));
    assert!(poll(&mut waiting).is_ready());
    assert_eq!(semaphore.available(), 2);
}

// S4, S5
#[test]
#[cfg_attr(not(feature = "std"), ignore = "panics cannot be caught")]
fn a_panicking_waker_loses_no_permit_and_stops_nobody() {
    let semaphore = Semaphore::new(2);
    let permit = semaphore.try_acquire(2).unwrap();
    let (counter, waker) = Counter::new();
    let mut first = semaphore.acquire(1);
    let mut second = semaphore.acquire(1);
    assert!(poll_with(&mut first, &on_wake(|| panic!("a waker panics"))).is_pending());
    assert!(poll_with(&mut second, &waker).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(permit))).is_err());
    assert_eq!(counter.wakes(), 1);
    assert!(poll(&mut first).is_ready() && poll(&mut second).is_ready());
    assert_eq!(semaphore.available(), 2);
}

// S5
#[test]
fn a_waker_whose_destructor_panics_loses_no_permit() {
    let bomb = || {
        let bomb = OnDrop(|| {
            if !std::thread::panicking() {
                panic!("a waker's destructor panics")
            }
        });
        on_wake(move || _ = &bomb)
    };
    let semaphore = Semaphore::new(1);
    let permit = semaphore.try_acquire(1).unwrap();
    let mut replaced = semaphore.acquire(1);
    let mut dropped = semaphore.acquire(1);
    for waiting in [&mut replaced, &mut dropped] {
        let waker = bomb();
        assert!(poll_with(waiting, &waker).is_pending());
        drop(catch_unwind(AssertUnwindSafe(|| drop(waker))));
    }
    assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut replaced))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(dropped))).is_err());
    drop(permit);
    assert!(poll(&mut replaced).is_ready());
    assert_eq!(semaphore.available(), 1);
}

// S5: what happens between a look at the queue and the next.
#[test]
fn a_grant_while_a_waker_is_cloned_is_not_lost_when_the_clone_panics_in_its_destructor() {
    let semaphore = Arc::new(Semaphore::new(1));
    for polled_before in [false, true] {
        let permit = Arc::new(Mutex::new(semaphore.try_acquire_owned(1)));
        let mut waiting = semaphore.acquire(1);
        if polled_before {
            assert!(poll(&mut waiting).is_pending());
        }
        let waker = ManuallyDrop::new(hooked(move |event| match event {
            Event::Clone => drop(permit.lock().unwrap().take()),
            Event::Wake => {}
            Event::Drop => panic!("a waker's destructor panics"),
        }));
        assert!(catch_unwind(AssertUnwindSafe(|| poll_with(&mut waiting, &waker))).is_err());
        drop(waiting);
        assert_eq!(semaphore.available(), 1);
    }
}

// P5
#[test]
fn a_grant_while_a_waker_is_cloned_is_handed_out_by_the_poll_after_the_panic() {
    let semaphore = Arc::new(Semaphore::new(1));
    for polled_before in [false, true] {
        let permit = Arc::new(Mutex::new(semaphore.try_acquire_owned(1)));
        let mut waiting = semaphore.acquire(1);
        if polled_before {
            assert!(poll(&mut waiting).is_pending());
        }
        let waker = ManuallyDrop::new(hooked(move |event| match event {
            Event::Clone => drop(permit.lock().unwrap().take()),
            Event::Wake => {}
            Event::Drop => panic!("a waker's destructor panics"),
        }));
        assert!(catch_unwind(AssertUnwindSafe(|| poll_with(&mut waiting, &waker))).is_err());
        assert!(!waiting.is_terminated());
        assert_eq!(semaphore.available(), 0);
        drop(acquired(&mut waiting).unwrap());
        assert_eq!(semaphore.available(), 1);
    }
}

// S4
#[test]
fn the_last_waker_is_the_one_that_is_woken() {
    let semaphore = Semaphore::new(1);
    let permit = semaphore.try_acquire(1).unwrap();
    let mut waiting = semaphore.acquire(1);
    let (first, first_waker) = Counter::new();
    let (second, second_waker) = Counter::new();
    assert!(poll_with(&mut waiting, &first_waker).is_pending());
    assert!(poll_with(&mut waiting, &second_waker).is_pending());
    drop(first_waker);
    assert_eq!(Arc::strong_count(&first), 1);
    drop(permit);
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
}

/// As many as overflow the stack of a thread if each needs a piece of it.
const MANY: usize = 100_000;

type Slot = Arc<Mutex<Option<AcquireOwned>>>;

fn empty(slot: &Slot) {
    let acquire = slot.lock().unwrap().take();
    drop(acquire);
}

// S4
#[test]
fn a_grant_that_is_given_up_by_its_waker_goes_through_many_without_recursion() {
    let semaphore = Arc::new(Semaphore::new(1));
    let permit = semaphore.try_acquire(1).unwrap();
    let slots: Vec<_> = (0..MANY).map(|_| Slot::default()).collect();
    for slot in &slots {
        let mut acquire = semaphore.acquire_owned(1);
        let own = slot.clone();
        assert!(poll_with(&mut acquire, &on_wake(move || empty(&own))).is_pending());
        *slot.lock().unwrap() = Some(acquire);
    }
    drop(permit);
    assert!(slots.iter().all(|slot| slot.lock().unwrap().is_none()));
    assert_eq!(semaphore.available(), 1);
}

/// Waiters of which each is owned by the waker of the one before, which drops it when it is woken
/// or dropped itself.
fn chain(semaphore: &Arc<Semaphore>) -> AcquireOwned {
    let mut slot = Slot::default();
    let first = slot.clone();
    for _ in 0..MANY {
        let mut acquire = semaphore.acquire_owned(1);
        let next = Slot::default();
        let owned = next.clone();
        assert!(poll_with(&mut acquire, &on_wake(move || empty(&owned))).is_pending());
        *slot.lock().unwrap() = Some(acquire);
        slot = next;
    }
    let acquire = first.lock().unwrap().take();
    acquire.unwrap()
}

// S4
#[test]
fn many_waiters_of_which_each_waker_drops_the_next_are_dropped_without_recursion() {
    let semaphore = Arc::new(Semaphore::new(1));

    let permit = semaphore.try_acquire(1).unwrap();
    let mut first = chain(&semaphore);
    drop(permit);
    assert!(poll(&mut first).is_ready());
    assert_eq!(semaphore.available(), 1);

    // The first one goes, and nobody is woken.
    let permit = semaphore.try_acquire(1).unwrap();
    drop(chain(&semaphore));
    assert!(semaphore.try_acquire(0).is_some());
    drop(permit);
    assert_eq!(semaphore.available(), 1);
    assert!(semaphore.try_acquire(1).is_some());

    // Refused.
    let permit = semaphore.try_acquire(1).unwrap();
    let mut first = chain(&semaphore);
    semaphore.set_capacity(0);
    assert!(matches!(poll(&mut first), Poll::Ready(Err(_))));
    drop(permit);
    semaphore.set_capacity(1);
    assert_eq!(semaphore.available(), 1);
}

// S4
#[test]
fn a_waker_that_blocks_delays_the_wakes_of_others_and_blocks_nobody_else() {
    let semaphore = Arc::new(Semaphore::new(2));
    let permits = [0, 1].map(|_| semaphore.try_acquire_owned(1).unwrap());
    let (blocked, is_blocked) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let blocking = on_wake(move || {
        blocked.send(()).unwrap();
        released.lock().unwrap().recv().unwrap();
    });
    let (counter, waker) = Counter::new();
    let [mut first, mut second] = [semaphore.acquire(1), semaphore.acquire(1)];
    assert!(poll_with(&mut first, &blocking).is_pending());
    assert!(poll_with(&mut second, &waker).is_pending());
    let [one, two] = permits;
    std::thread::scope(|scope| {
        scope.spawn(|| drop(one));
        is_blocked.recv().unwrap();
        drop(two);
        assert_eq!(counter.wakes(), 0);
        // Its permit has come all the same.
        assert!(semaphore.try_acquire(1).is_none());
        release.send(()).unwrap();
    });
    assert_eq!(counter.wakes(), 1);
    assert!(poll(&mut first).is_ready() && poll(&mut second).is_ready());
    assert_eq!(semaphore.available(), 2);
}

// S4, P5
#[test]
#[cfg_attr(not(feature = "std"), ignore = "panics cannot be caught")]
fn after_a_panic_of_a_waker_the_next_ones_are_woken_as_before() {
    let semaphore = Arc::new(Semaphore::new(1));
    let permit = semaphore.try_acquire_owned(1).unwrap();
    let (counter, waker) = Counter::new();
    let slot = Slot::default();
    let mut first = semaphore.acquire_owned(1);
    let own = slot.clone();
    let panicking = on_wake(move || {
        // The next two are granted and wait for their wake when this panics.
        empty(&own);
        panic!("a waker panics")
    });
    assert!(poll_with(&mut first, &panicking).is_pending());
    *slot.lock().unwrap() = Some(first);
    let mut others = [0, 0, 1].map(|n| semaphore.acquire(n));
    for waiting in &mut others {
        assert!(poll_with(waiting, &waker).is_pending());
    }
    let panic = catch_unwind(AssertUnwindSafe(|| drop(permit))).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"a waker panics"));
    assert_eq!(counter.wakes(), 3);
    let held = acquired(&mut others[2]).unwrap();
    let mut last = semaphore.acquire(1);
    assert!(poll_with(&mut last, &waker).is_pending());
    drop(held);
    assert_eq!(counter.wakes(), 4);
}

// S4, P5
#[test]
#[cfg(not(feature = "std"))]
fn a_panic_that_cannot_be_caught_hands_the_waking_on() {
    let semaphore = Semaphore::new(2);
    let permit = semaphore.try_acquire(2).unwrap();
    let (counter, waker) = Counter::new();
    let mut waiting = [0, 1, 2, 3].map(|_| semaphore.acquire(1));
    let panicking = on_wake(|| panic!("a waker panics"));
    for (waiting, waker) in waiting.iter_mut().zip([&panicking, &waker, &waker, &waker]) {
        assert!(poll_with(waiting, waker).is_pending());
    }
    assert!(catch_unwind(AssertUnwindSafe(|| drop(permit))).is_err());
    assert_eq!(counter.wakes(), 1);
    let [first, second, ..] = &mut waiting;
    drop((acquired(first), acquired(second)));
    assert_eq!(counter.wakes(), 3);
}

// P5: none of these panics leaves a destructor, which would abort.
#[test]
#[cfg_attr(not(feature = "std"), ignore = "panics cannot be caught")]
fn while_a_thread_unwinds_panics_of_wakers_end_in_the_semaphore() {
    let panics = |at: Event| {
        ManuallyDrop::new(hooked(move |event| {
            if event == at {
                panic!("a waker panics in {event:?}")
            }
        }))
    };
    for at in [Event::Wake, Event::Drop] {
        let semaphore = Semaphore::new(2);
        let permit = semaphore.try_acquire(2).unwrap();
        let (counter, waker) = Counter::new();
        let mut waiting = [0, 1, 2].map(|_| semaphore.acquire(1));
        let panicking = panics(at);
        for (waiting, waker) in waiting.iter_mut().zip([&panicking, &panicking, &waker]) {
            assert!(poll_with(waiting, waker).is_pending());
        }
        let [first, second, mut last] = waiting;
        let panic = catch_unwind(AssertUnwindSafe(|| {
            let _dropped_third = second;
            let _dropped_second = permit;
            let _dropped_first = first;
            panic!("this one")
        }))
        .unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"this one"));
        assert_eq!(counter.wakes(), 1);
        assert!(poll(&mut last).is_ready());
        assert_eq!(semaphore.available(), 2);
    }
}

// P5
#[test]
fn a_waker_whose_clone_panics_changes_nothing() {
    let semaphore = Semaphore::new(1);
    let permit = semaphore.try_acquire(1).unwrap();
    let panicking = ManuallyDrop::new(hooked(|event| {
        if event == Event::Clone {
            panic!("a waker's clone panics")
        }
    }));
    let (counter, waker) = Counter::new();
    let mut waiting = semaphore.acquire(1);
    let clone_panics = |waiting: &mut Acquire<'_>| {
        catch_unwind(AssertUnwindSafe(|| poll_with(waiting, &panicking))).is_err()
    };
    assert!(clone_panics(&mut waiting));
    assert!(poll_with(&mut waiting, &waker).is_pending());
    assert!(clone_panics(&mut waiting));
    drop(permit);
    assert_eq!(counter.wakes(), 1);
    assert!(poll(&mut waiting).is_ready());
    assert_eq!(semaphore.available(), 1);
}

// S6
#[test]
fn a_raised_capacity_lets_those_go_who_wait() {
    let semaphore = Semaphore::new(1);
    let permit = semaphore.try_acquire(1).unwrap();
    let (counter, waker) = Counter::new();
    let mut waiting = [0, 1, 2].map(|_| semaphore.acquire(1));
    for waiting in &mut waiting {
        assert!(poll_with(waiting, &waker).is_pending());
    }
    semaphore.set_capacity(3);
    assert_eq!((semaphore.capacity(), semaphore.available()), (3, 0));
    assert_eq!(counter.wakes(), 2);
    let [first, second, third] = &mut waiting;
    let held = (acquired(first).unwrap(), acquired(second).unwrap());
    assert!(poll_with(third, &waker).is_pending());
    drop(held);
    drop(permit);
    assert!(poll(third).is_ready());
    assert_eq!(semaphore.available(), 3);

    // What was too much is not any more.
    let mut three = semaphore.acquire(4);
    semaphore.set_capacity(5);
    assert_eq!(acquired(&mut three).unwrap().permits(), 4);
    assert_eq!(semaphore.available(), 5);
}

// S6
#[test]
fn a_lowered_capacity_takes_what_is_free() {
    let semaphore = Semaphore::new(5);
    let two = semaphore.try_acquire(2).unwrap();
    semaphore.set_capacity(3);
    assert_eq!((semaphore.capacity(), semaphore.available()), (3, 1));
    assert!(semaphore.try_acquire(2).is_none());
    drop(semaphore.try_acquire(1).unwrap());
    drop(two);
    assert_eq!(semaphore.available(), 3);
    assert!(semaphore.try_acquire(4).is_none());
    semaphore.set_capacity(0);
    assert_eq!((semaphore.capacity(), semaphore.available()), (0, 0));
    assert!(semaphore.try_acquire(0).is_some());
}

// S6
#[test]
fn what_is_out_beyond_the_capacity_comes_back_first_and_is_taken_from_nobody() {
    let semaphore = Semaphore::new(6);
    let [one, two, three] = [1, 2, 3].map(|n| semaphore.try_acquire(n).unwrap());
    semaphore.set_capacity(2);
    assert_eq!((semaphore.capacity(), semaphore.available()), (2, 0));
    assert_eq!((one.permits(), two.permits(), three.permits()), (1, 2, 3));
    // Not even nothing can be had.
    assert!(semaphore.try_acquire(0).is_none());

    let (counter, waker) = Counter::new();
    let mut none = semaphore.acquire(0);
    let mut waiting = semaphore.acquire(1);
    assert!(poll_with(&mut none, &waker).is_pending());
    assert!(poll_with(&mut waiting, &waker).is_pending());
    drop(three);
    assert_eq!((semaphore.available(), counter.wakes()), (0, 0));
    drop(one);
    assert_eq!((semaphore.available(), counter.wakes()), (0, 1));
    assert!(poll(&mut none).is_ready());
    drop(two);
    assert_eq!((semaphore.available(), counter.wakes()), (1, 2));
    drop(acquired(&mut waiting).unwrap());
    assert_eq!(semaphore.available(), 2);
    assert!(semaphore.try_acquire(3).is_none());
}

// S6
#[test]
fn when_nobody_waits_the_last_permits_owed_open_the_semaphore_again() {
    let semaphore = Semaphore::new(3);
    let [one, other] = [1, 2].map(|n| semaphore.try_acquire(n).unwrap());
    semaphore.set_capacity(1);
    drop(one);
    assert!(semaphore.try_acquire(0).is_none());
    drop(other);
    assert_eq!(semaphore.available(), 1);
    assert!(semaphore.try_acquire(1).is_some());
}

// S6
#[test]
fn a_capacity_that_is_raised_again_forgives_what_is_owed() {
    let semaphore = Semaphore::new(4);
    let four = semaphore.try_acquire(4).unwrap();
    let (counter, waker) = Counter::new();
    semaphore.set_capacity(1);
    let mut waiting = semaphore.acquire(1);
    assert!(poll_with(&mut waiting, &waker).is_pending());
    for capacity in [3, 2, 4] {
        semaphore.set_capacity(capacity);
        assert_eq!((semaphore.available(), counter.wakes()), (0, 0));
    }
    semaphore.set_capacity(6);
    assert_eq!((semaphore.available(), counter.wakes()), (1, 1));
    drop(four);
    assert!(poll(&mut waiting).is_ready());
    assert_eq!(semaphore.available(), 6);
}

// S6, S2
#[test]
fn who_waits_for_more_than_a_lowered_capacity_is_woken_and_holds_up_nobody() {
    let semaphore = Semaphore::new(4);
    let permit = semaphore.try_acquire(3).unwrap();
    let (refused, waker_of_refused) = Counter::new();
    let (counter, waker) = Counter::new();
    let mut large = [0, 1, 2].map(|_| semaphore.acquire(4));
    let mut small = [0, 1].map(|_| semaphore.acquire(1));
    let [first, between, last] = &mut large;
    let [early, late] = &mut small;
    assert!(poll_with(first, &waker_of_refused).is_pending());
    assert!(poll_with(early, &waker).is_pending());
    assert!(poll_with(between, &waker_of_refused).is_pending());
    assert!(poll_with(late, &waker).is_pending());
    assert!(poll_with(last, &waker_of_refused).is_pending());

    semaphore.set_capacity(3);
    assert_eq!((refused.wakes(), counter.wakes()), (3, 0));
    drop(permit);
    assert_eq!(counter.wakes(), 2);
    assert_eq!(semaphore.available(), 1);
    // It was refused, and that does not change any more.
    semaphore.set_capacity(4);
    let Poll::Ready(Err(error)) = poll(first) else {
        panic!("it was refused")
    };
    assert_eq!((error.requested, error.capacity), (4, 3));
    assert!(first.is_terminated());
    assert!(poll(early).is_ready() && poll(late).is_ready());
    // Dropped without ever having heard of it.
    drop(large);
    assert_eq!(semaphore.available(), 4);
    assert!(semaphore.try_acquire(4).is_some());
}

// S6
#[test]
fn permits_that_were_granted_and_not_polled_stay_granted() {
    let semaphore = Semaphore::new(3);
    let permit = semaphore.try_acquire(3).unwrap();
    let mut waiting = semaphore.acquire(3);
    assert!(poll(&mut waiting).is_pending());
    drop(permit);
    semaphore.set_capacity(1);
    assert_eq!(semaphore.available(), 0);
    let permit = acquired(&mut waiting).unwrap();
    assert_eq!(permit.permits(), 3);
    drop(permit);
    assert_eq!(semaphore.available(), 1);
}

// S6
#[test]
fn a_future_that_was_not_polled_asks_the_capacity_of_its_first_poll() {
    let semaphore = Semaphore::new(3);
    let mut waiting = semaphore.acquire(3);
    semaphore.set_capacity(2);
    let Poll::Ready(Err(error)) = poll(&mut waiting) else {
        panic!("it is too large")
    };
    assert_eq!((error.requested, error.capacity), (3, 2));
}

// S6, S4
#[test]
fn a_waker_may_change_the_capacity() {
    let semaphore = Arc::new(Semaphore::new(1));
    let permit = semaphore.try_acquire(1).unwrap();
    let (counter, waker) = Counter::new();
    let mut first = semaphore.acquire(1);
    let mut second = semaphore.acquire(1);
    let raising = on_wake({
        let semaphore = semaphore.clone();
        move || semaphore.set_capacity(2)
    });
    assert!(poll_with(&mut first, &raising).is_pending());
    assert!(poll_with(&mut second, &waker).is_pending());
    drop(permit);
    assert_eq!(counter.wakes(), 1);
    assert!(poll(&mut first).is_ready() && poll(&mut second).is_ready());
}

// S6
#[test]
fn the_capacity_of_a_static_may_change() {
    static SEMAPHORE: Semaphore = Semaphore::new(1);
    SEMAPHORE.set_capacity(2);
    assert!(SEMAPHORE.try_acquire(2).is_some());
}

// S6
#[test]
fn the_largest_capacity_may_come_and_go_while_all_of_it_is_out() {
    let most = usize::MAX / 2;
    let semaphore = Semaphore::new(most);
    let permit = semaphore.try_acquire(most).unwrap();
    for capacity in [0, 1, most, 0, 5] {
        semaphore.set_capacity(capacity);
        assert_eq!((semaphore.capacity(), semaphore.available()), (capacity, 0));
    }
    drop(permit);
    assert_eq!(semaphore.available(), 5);
    semaphore.set_capacity(most);
    assert_eq!(semaphore.available(), most);
}

// S6
#[test]
#[should_panic = "at most"]
fn a_capacity_that_cannot_be_counted_panics() {
    Semaphore::new(1).set_capacity(usize::MAX / 2 + 1);
}

#[test]
#[should_panic = "polled after completion"]
fn a_completed_future_panics_when_polled_again() {
    let semaphore = Semaphore::new(1);
    let mut future = semaphore.acquire(1);
    assert!(!future.is_terminated());
    drop(poll(&mut future));
    assert!(future.is_terminated());
    drop(poll(&mut future));
}

#[test]
#[should_panic = "at most"]
fn more_permits_than_can_be_counted_panic() {
    let _ = Semaphore::new(usize::MAX / 2 + 1);
}

#[test]
fn the_most_permits_can_be_taken_and_given_back() {
    let most = usize::MAX / 2;
    let semaphore = Semaphore::new(most);
    let permit = semaphore.try_acquire(most).unwrap();
    assert_eq!(semaphore.available(), 0);
    let mut waiting = semaphore.acquire(most);
    assert!(poll(&mut waiting).is_pending());
    drop(permit);
    assert!(poll(&mut waiting).is_ready());
    assert_eq!(semaphore.available(), most);
}

#[test]
fn debug_shows_numbers() {
    let semaphore = Arc::new(Semaphore::new(5));
    let permit = semaphore.try_acquire(2).unwrap();
    let owned = semaphore.try_acquire_owned(1).unwrap();
    let debug = (
        &semaphore,
        &permit,
        &owned,
        semaphore.acquire(4),
        semaphore.acquire_owned(5),
    );
    assert_eq!(
        format!("{debug:?}"),
        "(Semaphore { capacity: 5, available: 2, .. }, Permit(2), OwnedPermit(1), Acquire(4), \
         AcquireOwned(5))"
    );
}

#[test]
fn semaphores_and_what_they_give_may_go_anywhere() {
    fn anywhere<T: Send + Sync + Unpin + std::panic::UnwindSafe>() {}
    anywhere::<Semaphore>();
    anywhere::<Permit<'static>>();
    anywhere::<OwnedPermit>();
    anywhere::<Acquire<'static>>();
    anywhere::<AcquireOwned>();
}
