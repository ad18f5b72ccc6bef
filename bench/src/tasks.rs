//! The tasks that are run, and how it is known that they were.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Poll;

use futures::task::AtomicWaker;
use futures_lite::future::yield_now;

/// What every task returns.
pub(crate) type Outcome = Result<(), ()>;
pub(crate) type Boxed = Pin<Box<dyn Future<Output = Outcome> + Send>>;

thread_local! {
    static ENDED: Cell<usize> = const { Cell::new(0) };
    static ANSWERS: Cell<usize> = const { Cell::new(0) };
}

/// How many tasks of this thread have ended so far.
pub(crate) fn ended() -> usize {
    ENDED.get()
}

/// How often tasks of this thread were polled that wait for something.
pub(crate) fn answers() -> usize {
    ANSWERS.get()
}

/// Every task calls it at its end.
pub(crate) fn end() -> Outcome {
    ENDED.set(ENDED.get() + 1);
    black_box(Ok(()))
}

/// A task that yields so many times.
pub(crate) async fn task(yields: usize) -> Outcome {
    for _ in 0..yields {
        yield_now().await;
    }
    end()
}

/// The same, in a box.
pub(crate) fn boxed(yields: usize) -> Boxed {
    Box::pin(task(yields))
}

/// A task with a value.
pub(crate) async fn item(index: usize, yields: usize) -> Result<usize, ()> {
    for _ in 0..yields {
        yield_now().await;
    }
    Ok(black_box(index))
}

/// What the items below `n` sum up to.
pub(crate) fn sum_below(n: usize) -> usize {
    n * (n - 1) / 2
}

/// A task that never ends, and is not woken. It holds as much as a small task does.
pub(crate) fn idle() -> impl Future<Output = Outcome> + Send + 'static {
    let held = [0_u64; 8];
    poll_fn(move |_| {
        black_box(&held);
        ANSWERS.set(ANSWERS.get() + 1);
        Poll::Pending
    })
}

/// Rings as often as one likes.
#[derive(Clone, Default)]
pub(crate) struct Bell(Arc<(AtomicBool, AtomicWaker)>);

impl Bell {
    pub(crate) fn ring(&self) {
        self.0.0.store(true, Relaxed);
        self.0.1.wake();
    }

    fn rang(&self, cx: &std::task::Context<'_>) -> bool {
        self.0.1.register(cx.waker());
        ANSWERS.set(ANSWERS.get() + 1);
        self.0.0.swap(false, Relaxed)
    }

    /// A task that answers every ring, and never ends.
    pub(crate) fn answer(&self) -> impl Future<Output = Outcome> + Send + 'static + use<> {
        let bell = self.clone();
        poll_fn(move |cx| {
            black_box(bell.rang(cx));
            Poll::Pending
        })
    }

    /// A task that fails at the first ring.
    pub(crate) fn fail(&self) -> impl Future<Output = Outcome> + Send + 'static + use<> {
        let bell = self.clone();
        poll_fn(move |cx| {
            if bell.rang(cx) {
                return Poll::Ready(Err(()));
            }
            Poll::Pending
        })
    }
}
