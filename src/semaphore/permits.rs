//! Who has permits, who waits for them, and how they go from one to the other.

use core::mem;
use core::task::Waker;

use crate::error::TooLarge;
use crate::util::list::{Key, List};
use crate::util::panic::sequence;
use crate::util::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use crate::util::sync::{Lock, const_fn};
use crate::util::waiters::{Errand, Errands, Waiter, Waiters};

/// What a semaphore consists of.
pub(super) struct Permits {
    /// Twice the number of free permits, plus `QUEUED`.
    word: AtomicUsize,
    /// Changed only under the lock of `queue`.
    capacity: AtomicUsize,
    queue: Lock<Queue>,
}

/// As many permits as `word` can count.
const MOST: usize = usize::MAX / 2;

/// Raised in `word` while free permits are not for everybody: somebody waits for them without a
/// grant, or the semaphore itself does, because more are out than its capacity.
const QUEUED: usize = 1;

/// Those who wait, and those who were served and do not know it yet.
///
/// # Invariants
///
/// 1. The free permits in `word`, the permits of the `Held`s, of the granted entries and of the
///    futures at `Place::Served` add up to the capacity and what is `owed`: every step moves
///    permits between two of them with one operation on `word`. While something is owed, nothing
///    is free.
/// 2. The granted entries stand before all that wait. `head` is the first that waits.
/// 3. While the lock is free, `QUEUED` is up exactly if there is a `head` or something is owed.
/// 4. While `QUEUED` is up, free permits become fewer only under the lock.
/// 5. Whoever frees permits and finds `QUEUED` up, in one operation, locks and grants. So while
///    the lock is free and nobody is on the way to it, the head wants more than is free.
/// 6. Nobody waits for more than the capacity.
/// 7. No waker is cloned, woken or dropped under the lock.
/// 8. While the lock is free and there are errands, `running` is up, and somebody who will lock
///    again has raised it. So errands are never forgotten, and never run in a recursion: an errand
///    that makes more of them leaves them to the one who runs it.
///
/// # Why no grant is lost
///
/// To begin to wait is one operation on `word`, under the lock, that finds too few permits and
/// raises `QUEUED` (or finds it up). To give back is another. If the first comes first, the second
/// sees `QUEUED`, and finds the entry, because the lock was not free until it was made. If the
/// second comes first, the first sees its permits, or whoever gives them back still has to lock.
///
/// # Orderings
///
/// Taking permits is `Acquire` and freeing them is `Release`, so that whoever gets a permit sees
/// what its last holder did (`a_permit_hands_on_what_was_written_under_it`), or what was done
/// before the capacity was raised (`a_raised_capacity_hands_on_what_was_written_before`). Every
/// change of `word` is a read-modify-write and so continues the release sequences of all before
/// it; those that give nobody a permit, or free one that nobody has had in hand, are `Relaxed`. A
/// grant goes to the one that waits through the lock. `capacity` is written under the lock, where
/// the decisions are that depend on it.
struct Queue {
    waiters: Waiters<Request>,
    head: Option<Key>,
    /// Permits that are out beyond the capacity: the next that come back are not for anybody.
    owed: usize,
    /// Wakers that have left `waiters`.
    errands: Errands,
    /// Whether somebody runs the errands.
    running: bool,
}

enum Request {
    Waiting { permits: usize },
    Granted { permits: usize },
    Refused { capacity: usize },
}

impl Queue {
    const fn new() -> Self {
        Queue {
            waiters: List::new(),
            head: None,
            owed: 0,
            errands: Errands::new(),
            running: false,
        }
    }

    /// Settles everyone who waits for more than `capacity`.
    fn refuse(&mut self, capacity: usize) {
        let errands = &mut self.errands;
        self.waiters.for_each(|waiter| match waiter.data {
            Request::Waiting { permits } if permits > capacity => {
                waiter.data = Request::Refused { capacity };
                if let Some(waker) = waiter.waker.take() {
                    errands.push(Errand::Wake(waker));
                }
            }
            _ => {}
        });
    }

    /// The next errand for the one who runs them.
    fn next_errand(&mut self) -> Option<Errand> {
        let errand = self.errands.pop();
        self.running = errand.is_some();
        errand
    }
}

/// How far a request has come.
pub(super) enum Place {
    /// It has not been polled.
    Outside,
    Queued(Key),
    /// The permits are taken and have not been handed out: the destructor of a waker comes first,
    /// and may panic.
    Served,
}

/// `word` after `n` permits were taken, if that is possible.
fn take(word: usize, n: usize) -> Option<usize> {
    if word & QUEUED == 0 && word >> 1 >= n {
        Some(word - (n << 1))
    } else {
        None
    }
}

impl Permits {
    const_fn! {
        #[track_caller]
        pub(super) const fn new(permits: usize) -> Self {
            assert!(permits <= MOST, "a semaphore can have at most usize::MAX / 2 permits");
            Permits {
                word: AtomicUsize::new(permits << 1),
                capacity: AtomicUsize::new(permits),
                queue: Lock::new(Queue::new()),
            }
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity.load(Relaxed)
    }

    pub(super) fn available(&self) -> usize {
        self.word.load(Relaxed) >> 1
    }

    #[track_caller]
    pub(super) fn set_capacity(&self, permits: usize) {
        assert!(
            permits <= MOST,
            "a semaphore can have at most usize::MAX / 2 permits"
        );
        self.change(|queue| {
            let before = self.capacity();
            self.capacity.store(permits, Relaxed);
            if let Some(more) = permits.checked_sub(before) {
                let forgiven = queue.owed.min(more);
                queue.owed -= forgiven;
                self.word.fetch_add((more - forgiven) << 1, Release);
            } else {
                queue.owed += self.withdraw(before - permits);
                queue.refuse(permits);
            }
            self.grant(queue);
        });
    }

    #[inline]
    pub(super) fn try_take(&self, n: usize) -> bool {
        self.word
            .fetch_update(Acquire, Relaxed, |word| take(word, n))
            .is_ok()
    }

    #[inline]
    pub(super) fn give_back(&self, n: usize) {
        if self.word.fetch_add(n << 1, Release) & QUEUED != 0 {
            self.serve();
        }
    }

    /// Takes `n` permits, as far as they are free. Returns how many were not, and if there are any,
    /// raises `QUEUED`.
    fn withdraw(&self, n: usize) -> usize {
        let withdrawn = self.word.fetch_update(Relaxed, Relaxed, |word| {
            Some(match (word >> 1).checked_sub(n) {
                Some(free) => free << 1 | word & QUEUED,
                None => QUEUED,
            })
        });
        let (Ok(before) | Err(before)) = withdrawn;
        n.saturating_sub(before >> 1)
    }

    #[inline(never)]
    fn serve(&self) {
        self.change(|queue| self.grant(queue));
    }

    /// Changes the queue, and then runs the errands, unless somebody is at it already.
    #[inline]
    fn change(&self, change: impl FnOnce(&mut Queue)) {
        let errand = self.queue.with(|queue| {
            change(queue);
            if queue.running {
                None
            } else {
                queue.next_errand()
            }
        });
        if let Some(errand) = errand {
            self.run_errands(errand);
        }
    }

    /// Runs this errand and all others, until there are none.
    #[inline]
    fn run_errands(&self, errand: Errand) {
        /// Goes on if a panic could not be caught.
        struct Handover<'a>(&'a Permits);

        impl Drop for Handover<'_> {
            fn drop(&mut self) {
                if let Some(errand) = self.0.queue.with(Queue::next_errand) {
                    self.0.run_errands(errand);
                }
            }
        }

        let handover = Handover(self);
        sequence(|steps| {
            let mut next = Some(errand);
            while let Some(errand) = next {
                steps.run(|| errand.run());
                next = self.queue.with(Queue::next_errand);
            }
            mem::forget(handover);
        });
    }

    /// Pays what is owed, grants what can be granted, and lowers `QUEUED` if nothing is owed and
    /// nobody waits any more.
    #[inline]
    fn grant(&self, queue: &mut Queue) {
        // Permits that are freed from here on are for whoever freed them to grant.
        let word = self.word.load(Relaxed);
        let paid = queue.owed.min(word >> 1);
        queue.owed -= paid;
        let mut free = (word >> 1) - paid;
        while let Some(key) = queue.head {
            let waiter = queue.waiters.get_mut(key);
            if let Request::Waiting { permits } = waiter.data {
                if permits > free || queue.owed > 0 {
                    break;
                }
                free -= permits;
                waiter.data = Request::Granted { permits };
                if let Some(waker) = waiter.waker.take() {
                    queue.errands.push(Errand::Wake(waker));
                }
            }
            queue.head = queue.waiters.next(key);
        }
        let mut taken = (word & !QUEUED) - (free << 1);
        if queue.head.is_none() && queue.owed == 0 {
            taken |= word & QUEUED;
        }
        if taken != 0 {
            self.word.fetch_sub(taken, Acquire);
        }
    }

    /// Enters the queue, or takes the permits after all.
    #[inline]
    pub(super) fn enter(&self, n: usize, waker: &Waker, place: &mut Place) -> Result<(), TooLarge> {
        // Dropped after unlocking if it is not needed.
        let mut own = Some(waker.clone());
        self.queue.with(|queue| {
            let capacity = self.capacity();
            if n > capacity {
                return Err(TooLarge::new(n, capacity));
            }
            let entered = self.word.fetch_update(Acquire, Relaxed, |word| {
                take(word, n).or((word & QUEUED == 0).then_some(word | QUEUED))
            });
            if entered.is_ok_and(|before| before >> 1 >= n) {
                *place = Place::Served;
                return Ok(());
            }
            let key = queue.waiters.push_back(Waiter {
                waker: own.take(),
                data: Request::Waiting { permits: n },
            });
            queue.head.get_or_insert(key);
            *place = Place::Queued(key);
            Ok(())
        })
    }

    /// Leaves the queue if the request was granted or refused; otherwise sees to it that `waker`
    /// will be woken.
    #[inline]
    pub(super) fn wait(
        &self,
        n: usize,
        key: Key,
        waker: &Waker,
        place: &mut Place,
    ) -> Result<(), TooLarge> {
        let mut own = None;
        loop {
            let settled = self.queue.with(|queue| {
                let waiter = queue.waiters.get_mut(key);
                if let Request::Waiting { .. } = waiter.data {
                    // Mostly the same task polls again, and nothing needs to be cloned.
                    let known = &mut waiter.waker;
                    if own.is_some() {
                        mem::swap(known, &mut own);
                    } else if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
                        return None;
                    }
                    return Some(Ok(()));
                }
                Some(match queue.waiters.remove(key).data {
                    Request::Refused { capacity } => {
                        *place = Place::Outside;
                        Err(TooLarge::new(n, capacity))
                    }
                    _ => {
                        *place = Place::Served;
                        Ok(())
                    }
                })
            });
            if let Some(settled) = settled {
                return settled;
            }
            own = Some(waker.clone());
        }
    }

    /// Gives up a place in the queue, and the permits if they were granted.
    #[inline(never)]
    pub(super) fn leave(&self, key: Key) {
        self.change(|queue| {
            if queue.head == Some(key) {
                queue.head = queue.waiters.next(key);
            }
            let waiter = queue.waiters.remove(key);
            if let Request::Granted { permits } = waiter.data {
                self.word.fetch_add(permits << 1, Relaxed);
            }
            self.grant(queue);
            if let Some(waker) = waiter.waker {
                queue.errands.push(Errand::Drop(waker));
            }
        });
    }
}
