//! What the rows have in common: the tasks they run, and how these are made.

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

use futures::future::BoxFuture;
use futures::task::AtomicWaker;
use futures_lite::future::yield_now;

/// What every task returns.
pub(crate) type Outcome = Result<(), ()>;
pub(crate) type Boxed = BoxFuture<'static, Outcome>;

/// A task that yields so many times.
pub(crate) async fn task(index: usize, yields: usize) -> Outcome {
    for _ in 0..yields {
        yield_now().await;
    }
    black_box(index);
    Ok(())
}

/// The same, in a box.
pub(crate) fn boxed(index: usize, yields: usize) -> Boxed {
    Box::pin(task(index, yields))
}

/// A task that gives the square of an item, for maps that keep values.
pub(crate) async fn item(index: usize, yields: usize) -> Result<usize, ()> {
    for _ in 0..yields {
        yield_now().await;
    }
    Ok(black_box(index))
}

/// Rings so often as one likes.
#[derive(Clone, Default)]
pub(crate) struct Bell(Arc<(AtomicBool, AtomicWaker)>);

impl Bell {
    pub(crate) fn ring(&self) {
        self.0.0.store(true, Relaxed);
        self.0.1.wake();
    }

    /// A task that answers every ring, and never ends.
    pub(crate) fn answer(&self) -> impl Future<Output = Outcome> + Send + 'static + use<> {
        let bell = self.0.clone();
        std::future::poll_fn(move |cx| {
            bell.1.register(cx.waker());
            black_box(bell.0.swap(false, Relaxed));
            Poll::Pending
        })
    }
}

/// Polls until it waits for somebody else, or is ready: some give way after so many tasks, and
/// wake themselves.
pub(crate) fn rest(future: &mut (impl Future + Unpin)) {
    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Relaxed);
        }
    }

    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    while woken.0.swap(false, Relaxed) {
        if Pin::new(&mut *future).poll(&mut cx).is_ready() {
            return;
        }
    }
}
