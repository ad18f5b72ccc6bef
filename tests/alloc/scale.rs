//! Many tasks, deep nests, long lives: what they cost.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn, ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::allocator::{bytes, calls};
use crate::common::{Root, run, yields};
use errgroup::{CancelContext, ErrGroup, LocalErrGroup};

const MILLION: usize = 1_000_000;

/// A task that is small, counts its polls, and shows its waker.
struct Idle<'a> {
    polls: &'a Cell<usize>,
    place: Option<&'a Cell<Option<std::task::Waker>>>,
}

impl Future for Idle<'_> {
    type Output = Result<(), ()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.polls.set(self.polls.get() + 1);
        if let Some(place) = self.place {
            place.set(Some(cx.waker().clone()));
        }
        Poll::Pending
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.polls.set(self.polls.get().wrapping_sub(1));
    }
}

#[test]
fn a_million_idle_tasks_of_which_one_is_woken() {
    // R3
    let root = Root::new();
    let polls = Cell::new(0);
    let place = Cell::new(None);
    let mut group = LocalErrGroup::new();
    for number in 0..MILLION {
        group.spawn(Idle {
            polls: &polls,
            place: (number == 654_321).then_some(&place),
        });
    }
    let mut rounds = 0;
    loop {
        assert!(root.poll(&mut group).is_pending());
        rounds += 1;
        if root.wakes() == 0 {
            break;
        }
    }
    assert_eq!(polls.get(), MILLION);
    assert!(rounds <= MILLION / 256 + 2);

    let (start, before) = (Instant::now(), calls());
    for round in 1..=10_000 {
        place.take().unwrap().wake();
        assert_eq!(root.wakes(), 1);
        assert!(root.poll(&mut group).is_pending());
        assert_eq!((polls.get(), root.wakes()), (MILLION + round, 0));
    }
    // Nothing is allocated, and a scan of a million tasks ten thousand times would take minutes.
    assert!(calls() - before < 100, "{}", calls() - before);
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());

    let start = Instant::now();
    drop(group);
    assert_eq!(polls.get(), 10_000);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn a_million_tasks_that_end_leave_no_memory() {
    let before = bytes();
    let mut group = ErrGroup::<(), ()>::new();
    group.extend((0..MILLION).map(|_| ready(Ok(()))));
    run(&mut group).unwrap();
    drop(group);
    assert_eq!(bytes(), before);
}

#[test]
fn a_million_running_tasks_that_end_in_any_order_are_not_quadratic() {
    let root = Root::new();
    let open = Cell::new(false);
    let start = Instant::now();
    for stride in [1, 999_983] {
        open.set(false);
        let wakers: Vec<_> = (0..MILLION / 4).map(|_| Cell::new(None)).collect();
        let mut group = LocalErrGroup::<(), ()>::new();
        for place in &wakers {
            let open = &open;
            group.spawn(poll_fn(move |cx| {
                place.set(Some(cx.waker().clone()));
                if open.get() {
                    Poll::Ready(Ok(()))
                } else {
                    Poll::Pending
                }
            }));
        }
        while root.poll(&mut group).is_pending() && root.wakes() > 0 {}
        open.set(true);
        for number in 0..wakers.len() {
            let number = number as u64 * stride % wakers.len() as u64;
            wakers[number as usize].take().unwrap().wake();
        }
        assert_eq!(root.run(&mut group).0, Ok(()));
    }
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
}

#[test]
fn a_million_kept_values_of_size_zero_take_no_memory() {
    // R11
    let mut group = ErrGroup::<(), ()>::new().limit(8);
    let mut most = 0;
    run(async {
        group.spawn(pending());
        group.ready().await;
        let before = bytes();
        for number in 0..MILLION {
            assert!(group.ready().await);
            group.spawn(ready(Ok(())));
            if number % 1_000 == 0 {
                most = most.max(bytes() - before);
            }
        }
    });
    assert!(most < 4_000, "{most} bytes");
    let root = Root::new();
    while group.len() > 1 {
        assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
    }
    group.abort_all();
    assert_eq!(run(group.settle()).len(), MILLION);
}

#[test]
fn a_group_that_is_driven_for_ever_does_not_grow() {
    // Errors that are handed over, values of size zero, spawners that come and go.
    let mut group = ErrGroup::<(), u64>::new();
    group.spawn(pending());
    let mut before = 0;
    run(async {
        for number in 0..200_000 {
            if number == 100_000 {
                before = bytes();
            }
            let spawner = group.spawner();
            spawner.spawn(async { Ok(()) });
            spawner.spawn(async { Err(7) });
            while let Some(outcome) = group.next().await {
                if outcome.is_err() {
                    break;
                }
            }
        }
    });
    let grown = bytes() - before;
    assert!(grown.abs() < 10_000, "{grown} bytes");
}

#[test]
fn waves_of_tasks_do_not_make_a_group_grow() {
    let root = Root::new();
    let mut group = ErrGroup::<(), ()>::new();
    group.spawn(pending());
    let mut sizes = Vec::new();
    for wave in 0..60 {
        let mut first: Vec<_> = (0..1_000).map(|_| Some(())).collect();
        for left in first.drain(..) {
            let mut left = left;
            group.spawn(poll_fn(move |cx| match left.take() {
                Some(()) => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                None => Poll::Ready(Ok(())),
            }));
        }
        while root.poll(&mut group).is_pending() && root.wakes() > 0 {}
        assert_eq!(group.len(), 1);
        if wave >= 10 {
            sizes.push(bytes());
        }
    }
    assert!(sizes[49] <= sizes[0] + 20_000, "{sizes:?}");
}

#[test]
fn tasks_that_are_ready_at_once_cost_one_allocation_each() {
    let mut group = ErrGroup::<(), ()>::new().limit(8);
    run(async {
        let mut before = 0;
        for number in 0..20_000 {
            if number == 10_000 {
                before = calls();
            }
            assert!(group.ready().await);
            group.spawn(async move { if number > 30_000 { Err(()) } else { Ok(()) } });
        }
        let made = calls() - before;
        assert!(made <= 10_100, "{made} allocations for 10,000 tasks");
    });
}

#[test]
fn a_group_frees_everything_whatever_state_it_is_dropped_in() {
    let before = bytes();
    for polls in 0..4 {
        for count in [0, 1, 63, 64, 500] {
            let root = Root::new();
            let (context, group) = ErrGroup::<String, String>::with_context(&CancelContext::new());
            let mut group = group.keep_going().limit(100);
            let spawner = group.spawner();
            for number in 0..count {
                let spawner = spawner.clone();
                let context = context.clone();
                group.spawn(async move {
                    spawner.spawn(async { Err("no".to_string()) });
                    yields(number % 4).await;
                    if number % 3 == 0 {
                        context.cancelled().await;
                    }
                    Ok("yes".to_string())
                });
            }
            for _ in 0..polls {
                let _ = root.poll_new(group.drive(pending::<()>()));
            }
        }
    }
    assert_eq!(bytes(), before);
}

#[test]
fn wakers_that_outlive_their_group_keep_little_and_free_it() {
    let before = bytes();
    let root = Root::new();
    let wakers: Vec<_> = (0..100).map(|_| Cell::new(None)).collect();
    let mut group = LocalErrGroup::<[u8; 64], ()>::new();
    for place in &wakers {
        let ballast = [0_u8; 1_000];
        group.spawn(poll_fn(move |cx| {
            place.set(Some(cx.waker().clone()));
            std::hint::black_box(&ballast);
            Poll::Pending
        }));
    }
    assert!(root.poll(&mut group).is_pending());
    drop(group);
    let kept = bytes() - before;
    assert!(kept < 30_000, "{kept} bytes for 100 wakers");
    for place in &wakers {
        let waker = place.take().unwrap();
        waker.wake_by_ref();
    }
    drop(wakers);
    drop(root);
    assert_eq!(bytes(), before);
}

#[test]
fn groups_nested_deeply_are_polled_woken_and_dropped() {
    let root = Root::new();
    let place = Cell::new(None);
    let polls = Cell::new(0);
    let mut task: Pin<Box<dyn Future<Output = Result<(), ()>> + '_>> = Box::pin(Idle {
        polls: &polls,
        place: Some(&place),
    });
    for _ in 0..200 {
        let mut group = LocalErrGroup::new();
        group.spawn(task);
        task = Box::pin(group);
    }
    assert!(root.poll(&mut task).is_pending());
    for round in 2..10 {
        place.take().unwrap().wake();
        assert_eq!(root.wakes(), 1);
        assert!(root.poll(&mut task).is_pending());
        assert_eq!((polls.get(), root.wakes()), (round, 0));
    }
    drop(task);
    assert_eq!(polls.get(), 8);
}

#[test]
fn a_long_queue_is_dropped_without_recursion() {
    // Each task holds the spawner, and the queue is as long as a million.
    let mut group = ErrGroup::<(), ()>::new().limit(1);
    let spawner = group.spawner();
    for _ in 0..MILLION {
        let held = spawner.clone();
        group.spawn(async move {
            drop(held);
            Ok(())
        });
    }
    assert_eq!(spawner.queued(), MILLION);
    drop(group);
    assert_eq!(spawner.len(), 0);
}

#[test]
fn a_million_values_come_in_spawn_order() {
    let mut group = ErrGroup::<usize, ()>::new().limit(1_000);
    for number in 0..MILLION / 4 {
        group.spawn(async move {
            yields((number * 7) % 3).await;
            Ok(number)
        });
    }
    assert!(run(group.collect()).unwrap().into_iter().eq(0..MILLION / 4));
}

#[test]
fn a_hundred_thousand_errors_are_listed_and_sorted() {
    let mut group = ErrGroup::<(), usize>::new();
    for number in 0..100_000 {
        group.spawn(async move {
            yields((number * 7) % 3).await;
            Err(number)
        });
    }
    let errors = run(group.wait_all()).unwrap_err();
    assert_eq!((errors.len(), errors.total()), (100_000, 100_000));
    assert_eq!(errors.first(), Some(&0));
    assert!(errors.iter().all(|(index, error)| index == *error));
}
