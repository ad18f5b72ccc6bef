//! How often groups allocate. Most are small, and live for one request.
//!
//! Beside a task's box and its waker a group needs something that wakes its parent, and with more
//! than four tasks a queue and slots; a spawner needs something that it shares with the group, and a
//! scope's body is a task.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};

use crate::allocator::{bytes, calls};
use crate::common::{Root, yields};
use errgroup::{ErrGroup, ErrSpawner, scope};
use futures::task::AtomicWaker;

type Group = ErrGroup<'static, (), ()>;

async fn yields_ok(times: usize) -> Result<(), ()> {
    yields(times).await;
    Ok(())
}

/// How often `f` allocates, with a task that polls and that was there before.
fn allocations_of(f: impl FnOnce(&Root)) -> usize {
    let root = Root::new();
    let before = calls();
    f(&root);
    calls() - before
}

fn group_of(tasks: usize, times: usize) -> usize {
    allocations_of(|root| {
        let mut group = Group::new();
        for _ in 0..tasks {
            group.spawn(yields_ok(times));
        }
        root.run(group).0.unwrap();
    })
}

/// How often the queue has to grow to hold so many.
fn queue(tasks: usize) -> usize {
    match tasks {
        0..=4 => 0,
        5..=20 => 1,
        _ => 1 + (tasks - 4).div_ceil(16).next_power_of_two().ilog2() as usize,
    }
}

/// How often the slots have to.
fn slots(tasks: usize) -> usize {
    match tasks {
        0..=4 => 0,
        5..=16 => 1,
        _ => 2,
    }
}

/// How many wakers are made: one for two neighbours, but the parker is that of the first two.
fn wakers(tasks: usize) -> usize {
    (tasks - 1) / 2
}

#[track_caller]
fn at_most(goal: usize, allocations: usize) {
    assert!(allocations <= goal, "{allocations} instead of {goal}");
}

#[test]
fn a_group_that_is_made_and_dropped_allocates_nothing() {
    at_most(0, allocations_of(|_| drop(Group::new())));
}

#[test]
fn a_group_has_places_for_four_tasks_in_itself_and_no_more() {
    at_most(100 * size_of::<usize>(), size_of::<Group>());
}

#[test]
fn a_group_of_ready_tasks_allocates_a_box_for_each_and_one_more() {
    for tasks in [1, 2, 3, 4, 10, 50] {
        at_most(tasks + 1 + queue(tasks), group_of(tasks, 0));
    }
}

#[test]
fn a_group_of_tasks_that_park_allocates_a_box_for_each_and_a_waker_for_two() {
    // Beyond one chunk, which is as many as a word has bits, there is a list of chunks, too.
    for tasks in [1, 2, 3, 4, 10, 50, 64].map(|tasks| tasks.min(usize::BITS as usize)) {
        let boxes = tasks + 1;
        at_most(
            boxes + wakers(tasks) + queue(tasks) + slots(tasks),
            group_of(tasks, 1),
        );
    }
}

#[test]
fn it_does_not_depend_on_how_often_a_task_parks() {
    assert_eq!(group_of(3, 1), group_of(3, 100));
}

#[test]
fn a_spawner_costs_one_allocation_more() {
    for tasks in [1, 2, 3, 4, 10] {
        let allocations = allocations_of(|root| {
            let group = Group::new();
            let spawner = group.spawner();
            for _ in 0..tasks {
                spawner.spawn(yields_ok(1));
            }
            root.run(group).0.unwrap();
        });
        let boxes = tasks + 2;
        at_most(
            boxes + wakers(tasks) + queue(tasks) + slots(tasks),
            allocations,
        );
    }
}

#[test]
fn a_body_of_a_scope_costs_one_allocation_more_than_a_spawner() {
    for tasks in [1, 2, 3, 4, 10] {
        let allocations = allocations_of(|root| {
            let scope = scope(async |s: ErrSpawner<'_, (), ()>| {
                for _ in 0..tasks {
                    s.spawn(yields_ok(1));
                }
                Ok(())
            });
            root.run(scope).0.unwrap();
        });
        let (boxes, slots) = (tasks + 5, slots(tasks + 1));
        at_most(
            boxes + wakers(tasks + 1) + queue(tasks) + slots,
            allocations,
        );
    }
}

/// A task that ends when it is told to, and the means to tell it. It is used again for the next
/// task, so that only the group allocates.
#[derive(Default)]
struct Switch {
    off: AtomicBool,
    waker: AtomicWaker,
}

struct Switched(Arc<Switch>);

impl Future for Switched {
    type Output = Result<(), ()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.0.off.swap(false, Relaxed) {
            return Poll::Ready(Ok(()));
        }
        self.0.waker.register(cx.waker());
        Poll::Pending
    }
}

struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// Polls until nothing is left to do.
fn rest(root: &Root, group: &mut Group) {
    loop {
        root.wakes();
        assert!(root.poll(group).is_pending());
        if root.wakes() == 0 {
            return;
        }
    }
}

#[test]
fn a_task_that_comes_and_goes_beyond_the_first_chunk_allocates_its_box_alone() {
    let root = Root::new();
    let mut group = Group::new();
    group.extend((0..usize::BITS).map(|_| pending()));
    let switch: Arc<Switch> = Arc::default();
    let mut cycle = || {
        group.spawn(Switched(switch.clone()));
        rest(&root, &mut group);
        switch.off.store(true, Relaxed);
        switch.waker.wake();
        rest(&root, &mut group);
        assert_eq!(group.len(), usize::BITS as usize);
    };
    // What is kept for the next is made.
    (0..4).for_each(|_| cycle());
    let before = calls();
    (0..100).for_each(|_| cycle());
    at_most(100, calls() - before);
}

// R10
#[test]
fn eight_thousand_tasks_of_which_random_ones_end_and_are_replaced_keep_their_bytes() {
    // More than 64 words of 64 tasks.
    const LIVE: usize = 8_192;
    const ROUNDS: usize = 10;
    const BATCHES: usize = 400;
    const AT_ONCE: usize = 100;
    // Less than a byte for each task that came and went in a round.
    const SLACK: isize = 16 * 1024;

    let root = Root::new();
    let switches: Vec<Arc<Switch>> = (0..LIVE).map(|_| Arc::default()).collect();
    let mut group = Group::new();
    for switch in &switches {
        group.spawn(Switched(switch.clone()));
    }
    rest(&root, &mut group);

    let mut random = Xorshift(0x2545_f491_4f6c_dd1d);
    let mut ended = Vec::with_capacity(AT_ONCE);
    let mut after_first = None;
    for _ in 0..ROUNDS {
        for _ in 0..BATCHES {
            while ended.len() < AT_ONCE {
                let switch = &switches[random.below(LIVE)];
                if !switch.off.swap(true, Relaxed) {
                    switch.waker.wake();
                    ended.push(switch);
                }
            }
            rest(&root, &mut group);
            assert_eq!(group.len(), LIVE - AT_ONCE);
            for switch in ended.drain(..) {
                group.spawn(Switched(switch.clone()));
            }
            rest(&root, &mut group);
            assert_eq!(group.len(), LIVE);
        }
        let now = bytes();
        let first = *after_first.get_or_insert(now);
        assert!(now <= first + SLACK, "{first} bytes became {now}");
    }
}
