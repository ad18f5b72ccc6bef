//! What the tests share: wakers that count, and polling by hand.
#![allow(dead_code)]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};

/// A waker that counts how often it was woken.
#[derive(Default)]
pub(crate) struct Counter {
    wakes: AtomicUsize,
}

impl Counter {
    pub(crate) fn new() -> (Arc<Self>, Waker) {
        let counter = Arc::new(Counter::default());
        let waker = Waker::from(counter.clone());
        (counter, waker)
    }

    pub(crate) fn wakes(&self) -> usize {
        self.wakes.load(SeqCst)
    }
}

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, SeqCst);
    }
}

/// A waker that runs a closure when it is woken.
pub(crate) fn on_wake(f: impl Fn() + Send + Sync + 'static) -> Waker {
    struct OnWake<F>(F);

    impl<F: Fn() + Send + Sync + 'static> Wake for OnWake<F> {
        fn wake(self: Arc<Self>) {
            (self.0)();
        }
    }

    Waker::from(Arc::new(OnWake(f)))
}

/// What a hooked waker is told about: only a raw waker can tell that it is cloned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Clone,
    Wake,
    Drop,
}

/// A waker that calls `hook` at everything that happens to it. It leaks the hook.
pub(crate) fn hooked(hook: impl Fn(Event) + Send + Sync + 'static) -> Waker {
    type Hook = Box<dyn Fn(Event) + Send + Sync>;

    const TABLE: RawWakerVTable = RawWakerVTable::new(
        |data| {
            call(data, Event::Clone);
            RawWaker::new(data, &TABLE)
        },
        |data| call(data, Event::Wake),
        |data| call(data, Event::Wake),
        |data| call(data, Event::Drop),
    );

    fn call(data: *const (), event: Event) {
        // SAFETY: only `hooked` makes wakers with this table, from a reference that is 'static.
        let hook: &'static Hook = unsafe { &*data.cast() };
        hook(event);
    }

    let hook: Hook = Box::new(hook);
    let hook: &'static Hook = Box::leak(Box::new(hook));
    let data: *const Hook = hook;
    // SAFETY: the data is shared, `Sync` and never freed, so that nothing has to be counted.
    unsafe { Waker::from_raw(RawWaker::new(data.cast(), &TABLE)) }
}

/// Runs a closure when it is dropped.
pub(crate) struct OnDrop<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Polls once with `waker`.
pub(crate) fn poll_with<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// Polls once with a waker that does nothing.
pub(crate) fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_with(future, Waker::noop())
}
