//! Wakers that wait for something, as contexts, semaphores and spawners keep them.
//!
//! A waker is code of the user: its `clone`, `wake` and `drop` may take locks, call back into
//! this crate, or panic. So none of them runs while one of our locks is held. Wakers are cloned
//! before locking, and the ones that leave a list leave the lock with it. Only `will_wake`, which
//! compares two pointers, is called inside.

use alloc::vec::Vec;
use core::mem;
use core::task::Waker;

use crate::util::list::{Key, List};
use crate::util::panic::wake_all;
use crate::util::sync::Lock;
use crate::util::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// A list of those who wait, in the order in which they came; plain data, kept behind a [`Lock`].
pub(crate) type Waiters<D = ()> = List<Waiter<D>>;

pub(crate) struct Waiter<D> {
    /// `None` if it was woken and has not been polled since.
    pub(crate) waker: Option<Waker>,
    pub(crate) data: D,
}

impl<D> Waiters<D> {
    /// Takes every waker and leaves the entries.
    pub(crate) fn take_wakers(&mut self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        self.for_each(|waiter| wakers.extend(waiter.waker.take()));
        wakers
    }
}

/// Adds a waiter with `waker` to the list that `open` finds behind the lock, if it finds one.
pub(crate) fn register<S, D>(
    lock: &Lock<S>,
    waker: &Waker,
    data: D,
    open: impl FnOnce(&mut S) -> Option<&mut Waiters<D>>,
) -> Option<Key> {
    let mut waiter = Some(Waiter {
        waker: Some(waker.clone()),
        data,
    });
    lock.with(|state| open(state).and_then(|list| Some(list.push_back(waiter.take()?))))
}

/// Sees to it that the waiter at `key` will wake `waker`, unless `open` finds that it need not
/// wait any more.
///
/// Returns whether it still waits, and a waker that the caller has to drop: afterwards, because
/// that may panic.
pub(crate) fn refresh<S, D>(
    lock: &Lock<S>,
    key: Key,
    waker: &Waker,
    open: impl Fn(&mut S) -> Option<&mut Waiters<D>>,
) -> (bool, Option<Waker>) {
    // Mostly the same task polls again, and nothing needs to be cloned.
    let current = lock.with(|state| {
        let known = &open(state)?.get_mut(key).waker;
        Some(known.as_ref().is_some_and(|known| known.will_wake(waker)))
    });
    if current != Some(false) {
        return (current.is_some(), None);
    }
    let mut waker = Some(waker.clone());
    let waits = lock.with(|state| match open(state) {
        Some(list) => {
            mem::swap(&mut list.get_mut(key).waker, &mut waker);
            true
        }
        None => false,
    });
    (waits, waker)
}

/// A list of waiters who are all woken, again and again, whenever something has changed.
///
/// To wait: check the condition, [`register`](Notice::register), check again. To announce: make
/// the condition true, then [`notify`](Notice::notify).
///
/// # Invariants
///
/// 1. `waiting` changes only under the lock of `waiters`, and is true whenever a waiter there
///    has a waker.
/// 2. The condition is written before `notify` and read after `register`, both with `SeqCst` or
///    both under one lock. Then, as `waiting` is written and read with `SeqCst`, either `notify`
///    sees the waiter or the waiter sees the condition. With anything weaker both may miss, and
///    the waiter sleeps for ever.
#[derive(Default)]
pub(crate) struct Notice {
    waiting: AtomicBool,
    waiters: Lock<Waiters>,
}

impl Notice {
    /// Registers the waiter whose place is in `key`, for the first time or once more.
    pub(crate) fn register(&self, key: &mut Option<Key>, waker: &Waker) {
        match *key {
            Some(key) => drop(refresh(&self.waiters, key, waker, |list| {
                self.announce(list)
            })),
            None => *key = register(&self.waiters, waker, (), |list| self.announce(list)),
        }
    }

    fn announce<'a>(&self, list: &'a mut Waiters) -> Option<&'a mut Waiters> {
        self.waiting.store(true, SeqCst);
        Some(list)
    }

    /// Takes the waiter out, if it is in.
    pub(crate) fn deregister(&self, key: &mut Option<Key>) {
        if let Some(key) = key.take() {
            let waiter = self.waiters.with(|waiters| waiters.remove(key));
            drop(waiter);
        }
    }

    /// Wakes everyone who waits. One atomic load if nobody does.
    pub(crate) fn notify(&self) {
        if self.waiting.load(SeqCst) {
            wake_all(self.waiters.with(|waiters| {
                self.waiting.store(false, SeqCst);
                waiters.take_wakers()
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::sync::Arc;
    use crate::util::sync::atomic::AtomicUsize;
    use alloc::task::Wake;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    // R9
    #[test]
    fn everyone_is_woken_once_for_each_time_they_register() {
        let notice = Notice::default();
        let counter = Arc::new(Counter::default());
        let waker = Waker::from(counter.clone());
        let (mut first, mut second) = (None, None);
        notice.notify();
        for round in 0..3 {
            notice.register(&mut first, &waker);
            notice.register(&mut second, &waker);
            notice.register(&mut second, &waker);
            assert!(notice.waiting.load(SeqCst));
            notice.notify();
            notice.notify();
            assert_eq!(counter.0.load(SeqCst), 2 * round + 2);
            assert!(!notice.waiting.load(SeqCst));
        }
        notice.register(&mut first, &waker);
        notice.deregister(&mut first);
        notice.deregister(&mut first);
        notice.deregister(&mut second);
        notice.notify();
        assert_eq!(counter.0.load(SeqCst), 6);
        drop(waker);
        assert_eq!(Arc::strong_count(&counter), 1);
    }

    // R9
    #[test]
    fn a_waker_that_was_replaced_is_let_go() {
        let notice = Notice::default();
        let (old, new) = (Arc::new(Counter::default()), Arc::new(Counter::default()));
        let mut key = None;
        notice.register(&mut key, &Waker::from(old.clone()));
        notice.register(&mut key, &Waker::from(new.clone()));
        assert_eq!(Arc::strong_count(&old), 1);
        notice.notify();
        assert_eq!((old.0.load(SeqCst), new.0.load(SeqCst)), (0, 1));
    }
}
