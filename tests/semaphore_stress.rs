//! Random use of a semaphore, against a model and from several threads.

#[path = "common/wakers.rs"]
mod common;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;

use common::{Counter, poll, poll_with};
use errgroup::{Acquire, Permit, Semaphore};
use futures::executor::block_on;

/// xorshift64*
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end
    }
}

/// What a semaphore does, in the plainest words.
struct Model {
    free: usize,
    /// Who waits without a grant: name and permits.
    queue: VecDeque<(usize, usize)>,
    /// Who has a grant: name and permits.
    granted: Vec<(usize, usize)>,
}

impl Model {
    fn grant(&mut self) {
        while let Some(&(name, permits)) = self.queue.front() {
            if permits > self.free {
                return;
            }
            self.free -= permits;
            self.queue.pop_front();
            self.granted.push((name, permits));
        }
    }

    fn leave(&mut self, name: usize) {
        self.queue.retain(|waiter| waiter.0 != name);
        if let Some(at) = self.granted.iter().position(|granted| granted.0 == name) {
            self.free += self.granted.swap_remove(at).1;
        }
        self.grant();
    }
}

// S1, S2, S3, S5: after every step the semaphore is what the model is.
#[test]
fn every_step_does_what_the_model_does() {
    for seed in 1..=300 {
        let mut random = Random(seed * 0x9E37_79B9);
        let capacity = 1 + random.below(8);
        let semaphore = Semaphore::new(capacity);
        let mut model = Model {
            free: capacity,
            queue: VecDeque::new(),
            granted: Vec::new(),
        };
        let mut waiting: Vec<(usize, Acquire<'_>, Arc<Counter>)> = Vec::new();
        let mut held: Vec<Permit<'_>> = Vec::new();
        for step in 0..400 {
            match random.below(6) {
                0 | 1 => {
                    let permits = random.below(capacity + 2);
                    let (counter, waker) = Counter::new();
                    let mut future = semaphore.acquire(permits);
                    let polled = poll_with(&mut future, &waker);
                    if permits > capacity {
                        assert!(matches!(polled, Poll::Ready(Err(_))));
                    } else if model.queue.is_empty() && permits <= model.free {
                        model.free -= permits;
                        let Poll::Ready(Ok(permit)) = polled else {
                            panic!("{permits} were free")
                        };
                        held.push(permit);
                    } else {
                        assert!(polled.is_pending());
                        model.queue.push_back((step, permits));
                        waiting.push((step, future, counter));
                    }
                }
                2 => {
                    let permits = random.below(capacity + 2);
                    let permit = semaphore.try_acquire(permits);
                    let expected = model.queue.is_empty() && permits <= model.free;
                    assert_eq!(permit.is_some(), expected);
                    if expected {
                        model.free -= permits;
                    }
                    held.extend(permit);
                }
                3 if !held.is_empty() => {
                    let permit = held.swap_remove(random.below(held.len()));
                    model.free += permit.permits();
                    drop(permit);
                    model.grant();
                }
                4 if !waiting.is_empty() => {
                    let (name, future, _) = waiting.swap_remove(random.below(waiting.len()));
                    drop(future);
                    model.leave(name);
                }
                5 if !waiting.is_empty() => {
                    let at = random.below(waiting.len());
                    let (name, future, counter) = &mut waiting[at];
                    let granted = model.granted.iter().position(|granted| granted.0 == *name);
                    // Woken if it was granted, and only then.
                    assert_eq!(counter.wakes(), granted.is_some() as usize);
                    let (new_counter, waker) = Counter::new();
                    match poll_with(future, &waker) {
                        Poll::Ready(permit) => {
                            model.granted.swap_remove(granted.expect("it has no grant"));
                            held.push(permit.unwrap());
                            drop(waiting.swap_remove(at));
                        }
                        Poll::Pending => {
                            assert!(granted.is_none());
                            *counter = new_counter;
                        }
                    }
                }
                _ => {}
            }
            let held: usize = held.iter().map(Permit::permits).sum();
            let granted: usize = model.granted.iter().map(|granted| granted.1).sum();
            assert_eq!(semaphore.available(), model.free);
            assert_eq!(held + granted + model.free, capacity);
        }
        waiting.clear();
        held.clear();
        assert_eq!(semaphore.available(), capacity);
        assert!(semaphore.try_acquire(capacity).is_some());
    }
}

// S5, and nobody waits for ever.
#[test]
fn threads_that_acquire_and_give_up_at_random_lose_nothing() {
    const CAPACITY: usize = 5;
    let semaphore = Semaphore::new(CAPACITY);
    let in_use = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 1..=4 {
            let (semaphore, in_use) = (&semaphore, &in_use);
            scope.spawn(move || {
                let mut random = Random(thread * 0x9E37_79B9);
                let hold = |permit: Permit<'_>| {
                    let before = in_use.fetch_add(permit.permits(), Relaxed);
                    assert!(before + permit.permits() <= CAPACITY);
                    std::hint::spin_loop();
                    in_use.fetch_sub(permit.permits(), Relaxed);
                };
                for _ in 0..20_000 {
                    let permits = random.below(CAPACITY + 1);
                    let mut future = semaphore.acquire(permits);
                    match random.below(4) {
                        0 => semaphore.try_acquire(permits).into_iter().for_each(hold),
                        1 => {
                            // Polled once or twice, then dropped, granted or not.
                            if poll(&mut future).is_pending() && random.below(2) == 0 {
                                std::thread::yield_now();
                                drop(poll(&mut future));
                            }
                        }
                        _ => hold(block_on(future).unwrap()),
                    }
                }
            });
        }
    });
    assert_eq!(semaphore.available(), CAPACITY);
    assert!(semaphore.try_acquire(CAPACITY).is_some());
}

// The orderings of `word`, and of the grant.
#[test]
fn a_permit_hands_on_what_was_written_under_it() {
    let semaphore = Semaphore::new(1);
    let written = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    let _permit = block_on(semaphore.acquire(1)).unwrap();
                    // A load and a store: only the permit makes them one step.
                    written.store(written.load(Relaxed) + 1, Relaxed);
                }
            });
        }
    });
    assert_eq!(written.load(Relaxed), 15_000);
}
