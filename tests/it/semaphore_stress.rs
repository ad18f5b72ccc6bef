//! Random use of a semaphore, against a model and from several threads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;

use crate::common::{Counter, poll, poll_with};
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
    capacity: usize,
    free: usize,
    /// How many are out beyond the capacity.
    owed: usize,
    /// Who waits without a grant: name and permits.
    queue: VecDeque<(usize, usize)>,
    /// Who has a grant: name and permits.
    granted: Vec<(usize, usize)>,
    /// Who was refused: name and the capacity then.
    refused: Vec<(usize, usize)>,
}

impl Model {
    fn new(capacity: usize) -> Self {
        Model {
            capacity,
            free: capacity,
            owed: 0,
            queue: VecDeque::new(),
            granted: Vec::new(),
            refused: Vec::new(),
        }
    }

    fn has(&self, permits: usize) -> bool {
        self.queue.is_empty() && self.owed == 0 && permits <= self.free
    }

    fn give_back(&mut self, permits: usize) {
        self.free += permits;
        self.grant();
    }

    fn grant(&mut self) {
        let paid = self.owed.min(self.free);
        self.owed -= paid;
        self.free -= paid;
        while let Some(&(name, permits)) = self.queue.front() {
            if permits > self.free || self.owed > 0 {
                return;
            }
            self.free -= permits;
            self.queue.pop_front();
            self.granted.push((name, permits));
        }
    }

    fn leave(&mut self, name: usize) {
        self.queue.retain(|waiter| waiter.0 != name);
        self.refused.retain(|waiter| waiter.0 != name);
        if let Some(at) = self.granted.iter().position(|granted| granted.0 == name) {
            self.free += self.granted.swap_remove(at).1;
        }
        self.grant();
    }

    fn set_capacity(&mut self, capacity: usize) {
        if capacity < self.capacity {
            self.owed += self.capacity - capacity;
            for &(name, permits) in &self.queue {
                if permits > capacity {
                    self.refused.push((name, capacity));
                }
            }
            self.queue.retain(|waiter| waiter.1 <= capacity);
        } else {
            self.free += capacity - self.capacity;
        }
        self.capacity = capacity;
        self.grant();
    }
}

// S1, S2, S3, S5, S6: after every step the semaphore is what the model is.
#[test]
fn every_step_does_what_the_model_does() {
    for seed in 1..=300 {
        let mut random = Random(seed * 0x9E37_79B9);
        let most = 1 + random.below(8);
        let semaphore = Semaphore::new(most);
        let mut model = Model::new(most);
        // In half of the programs it stays as it is.
        let steps = 6 + (seed % 2) as usize;
        let mut waiting: Vec<(usize, Acquire<'_>, Arc<Counter>)> = Vec::new();
        let mut held: Vec<Permit<'_>> = Vec::new();
        for step in 0..400 {
            match random.below(steps) {
                0 | 1 => {
                    let permits = random.below(most + 2);
                    let (counter, waker) = Counter::new();
                    let mut future = semaphore.acquire(permits);
                    let polled = poll_with(&mut future, &waker);
                    if permits > model.capacity {
                        assert!(matches!(polled, Poll::Ready(Err(_))));
                    } else if model.has(permits) {
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
                    let permits = random.below(most + 2);
                    let permit = semaphore.try_acquire(permits);
                    let expected = model.has(permits);
                    assert_eq!(permit.is_some(), expected);
                    if expected {
                        model.free -= permits;
                    }
                    held.extend(permit);
                }
                3 if !held.is_empty() => {
                    let permit = held.swap_remove(random.below(held.len()));
                    let permits = permit.permits();
                    drop(permit);
                    model.give_back(permits);
                }
                4 if !waiting.is_empty() => {
                    let (name, future, _) = waiting.swap_remove(random.below(waiting.len()));
                    drop(future);
                    model.leave(name);
                }
                5 if !waiting.is_empty() => {
                    let at = random.below(waiting.len());
                    let (name, future, counter) = &mut waiting[at];
                    let place = |list: &[(usize, usize)]| list.iter().position(|at| at.0 == *name);
                    let (granted, refused) = (place(&model.granted), place(&model.refused));
                    // Woken if it was granted or refused, and only then.
                    let is_settled = granted.or(refused).is_some();
                    assert_eq!(counter.wakes(), is_settled as usize);
                    let (new_counter, waker) = Counter::new();
                    match poll_with(future, &waker) {
                        Poll::Ready(Ok(permit)) => {
                            model.granted.swap_remove(granted.expect("it has no grant"));
                            held.push(permit);
                            drop(waiting.swap_remove(at));
                        }
                        Poll::Ready(Err(error)) => {
                            let refused = refused.expect("it was not refused");
                            assert_eq!(error.capacity, model.refused.swap_remove(refused).1);
                            drop(waiting.swap_remove(at));
                        }
                        Poll::Pending => {
                            assert!(!is_settled);
                            *counter = new_counter;
                        }
                    }
                }
                6 => {
                    let capacity = random.below(most + 1);
                    semaphore.set_capacity(capacity);
                    model.set_capacity(capacity);
                }
                _ => {}
            }
            let held: usize = held.iter().map(Permit::permits).sum();
            let granted: usize = model.granted.iter().map(|granted| granted.1).sum();
            assert_eq!(semaphore.capacity(), model.capacity);
            assert_eq!(semaphore.available(), model.free);
            assert_eq!(held + granted + model.free, model.capacity + model.owed);
        }
        waiting.clear();
        held.clear();
        assert_eq!(semaphore.available(), model.capacity);
        assert!(semaphore.try_acquire(model.capacity).is_some());
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

// S5, S6
#[test]
fn threads_that_acquire_while_the_capacity_changes_lose_nothing() {
    const MOST: usize = 5;
    let semaphore = Semaphore::new(MOST);
    let in_use = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 1..=3 {
            let (semaphore, in_use) = (&semaphore, &in_use);
            scope.spawn(move || {
                let mut random = Random(thread * 0x9E37_79B9);
                for _ in 0..10_000 {
                    let permits = random.below(MOST + 1);
                    let Ok(permit) = block_on(semaphore.acquire(permits)) else {
                        continue;
                    };
                    let before = in_use.fetch_add(permit.permits(), Relaxed);
                    assert!(before + permit.permits() <= MOST);
                    std::hint::spin_loop();
                    in_use.fetch_sub(permit.permits(), Relaxed);
                }
            });
        }
        let semaphore = &semaphore;
        scope.spawn(move || {
            let mut random = Random(0x9E37_79B9);
            for _ in 0..10_000 {
                semaphore.set_capacity(random.below(MOST + 1));
            }
            semaphore.set_capacity(MOST);
        });
    });
    assert_eq!(semaphore.available(), MOST);
    assert!(semaphore.try_acquire(MOST).is_some());
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
