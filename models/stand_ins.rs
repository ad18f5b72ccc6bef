//! What stands in the models for what is made of atomics that loom would not see. A part of
//! `util/sync.rs`.

use alloc::collections::BTreeMap;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::OnceLock;

use super::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use super::atomic::{AtomicBool, AtomicUsize};
use super::{Arc, Lock};

/// So few that four tasks make a second chunk, which has place for two.
pub(crate) const SLOTS: usize = 3;

/// The same each time: a model must do the same whenever the order is the same.
pub(crate) fn seed<T>(_: &T) -> usize {
    0x9e3779b9
}

/// Promises what that of event-listener does, and no more: whoever listens is notified, or sees
/// what was done before a notification that missed him; wakers are woken, cloned and dropped
/// while the list is locked; a listener that is dropped hands its notification on. Who finds the
/// list locked may leave his notification to the one who has it.
#[derive(Default)]
pub(crate) struct Event(Arc<List>);

#[derive(Default)]
struct List {
    listeners: Lock<Listeners>,
    /// How many are to be notified.
    left: AtomicUsize,
}

#[derive(Default)]
struct Listeners {
    next: usize,
    /// In the order in which they came.
    states: BTreeMap<usize, State>,
}

enum State {
    Waiting(Option<Waker>),
    Notified,
}

pub(crate) struct EventListener {
    number: usize,
    list: Arc<List>,
}

impl Event {
    pub(crate) fn listen(&self) -> EventListener {
        let number = self.0.with(|listeners| {
            listeners.next += 1;
            let state = State::Waiting(None);
            listeners.states.insert(listeners.next, state);
            listeners.next
        });
        EventListener {
            number,
            list: self.0.clone(),
        }
    }

    pub(crate) fn notify(&self, count: usize) {
        self.0.left.fetch_max(count, AcqRel);
        self.0.notify_left();
    }
}

impl List {
    fn with<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> R {
        let result = self.listeners.with(f);
        self.notify_left();
        result
    }

    fn notify_left(&self) {
        let is_left = || self.left.fetch_add(0, AcqRel) > 0;
        let notify = |listeners: &mut Listeners| listeners.notify(self.left.swap(0, AcqRel));
        while is_left() && self.listeners.try_with(notify).is_some() {}
    }
}

impl Listeners {
    fn notify(&mut self, count: usize) {
        let is_waiting = |state: &&mut State| matches!(state, State::Waiting(_));
        for state in self.states.values_mut().filter(is_waiting).take(count) {
            if let State::Waiting(Some(waker)) = mem::replace(state, State::Notified) {
                waker.wake();
            }
        }
    }
}

impl Future for EventListener {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.list.with(|listeners| {
            let state = listeners.states.get_mut(&self.number);
            if let Some(State::Waiting(waker)) = state {
                *waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            listeners.states.remove(&self.number);
            Poll::Ready(())
        })
    }
}

impl Drop for EventListener {
    fn drop(&mut self) {
        self.list.with(|listeners| {
            if let Some(State::Notified) = listeners.states.remove(&self.number) {
                listeners.notify(1);
            }
        });
    }
}

/// A lock for which nobody waits. Who finds it taken has seen so without any order, and perhaps
/// as it was before: a compare-exchange that fails is no more than that, though loom's is.
#[derive(Default)]
pub(crate) struct TryLock<T> {
    is_taken: AtomicBool,
    value: std::sync::Mutex<T>,
}

impl<T> TryLock<T> {
    pub(crate) fn try_with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        let flag = &self.is_taken;
        let take = || flag.compare_exchange(false, true, Acquire, Relaxed);
        if flag.load(Relaxed) || take().is_err() {
            // Or loom would go on for ever with who looks again and again.
            loom::thread::yield_now();
            return None;
        }
        let result = f(&mut self.value.lock().expect("nothing panics here"));
        flag.store(false, Release);
        Some(result)
    }
}

/// A value that is set once, and then read without a lock. Of several who set it the first wins.
pub(crate) struct SetOnce<T> {
    value: OnceLock<T>,
    /// Shows loom what `value` does inside: a load that acquires, a store that releases.
    is_set: AtomicBool,
    /// Orders nothing. Of those who loaded before a store loom remembers the last alone, and if
    /// that is the storing thread, tries no other order; of changes it forgets none.
    touched: AtomicBool,
}

impl<T> SetOnce<T> {
    pub(crate) fn new() -> Self {
        SetOnce {
            value: OnceLock::new(),
            is_set: AtomicBool::new(false),
            touched: AtomicBool::new(false),
        }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.touched.swap(true, Relaxed);
        self.is_set
            .load(Acquire)
            .then(|| self.value.get())
            .flatten()
    }

    pub(crate) fn set(&self, value: T) {
        _ = self.value.set(value);
        self.touched.swap(true, Relaxed);
        self.is_set.store(true, Release);
    }
}
