//! What the rows share.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use futures::future::BoxFuture;
use tokio::runtime::{Builder, Runtime};
use tokio_graceful_shutdown::SubsystemHandle;

/// An output that stands for success or for one of the errors.
pub(crate) type Outcome = Result<(), &'static str>;
pub(crate) type Task = BoxFuture<'static, Outcome>;
/// What subsystems return here if nothing can fail.
pub(crate) type Fine = Result<(), Infallible>;
pub(crate) type Subsystem = SubsystemHandle;

/// One thread, and a clock that is paused: it jumps to the next timer when nothing else is to do.
pub(crate) fn one_thread() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

pub(crate) fn two_threads() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap()
}

/// Polls once, and leaves the wakes to themselves.
pub(crate) fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// Polls for as long as it is woken. `None`: it is pending, and nobody has called its waker.
pub(crate) fn poll_while_woken<F: Future + ?Sized>(mut future: Pin<&mut F>) -> Option<F::Output> {
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(woken.clone());
    while woken.0.swap(false, SeqCst) {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
    }
    None
}

/// Is pending so many times, and wakes itself.
pub(crate) async fn yields(times: usize) {
    for _ in 0..times {
        smol::future::yield_now().await;
    }
}

/// Counts what was dropped, and what said goodbye before.
#[derive(Clone, Default)]
pub(crate) struct Counts {
    dropped: Arc<AtomicUsize>,
    goodbyes: Arc<AtomicUsize>,
}

pub(crate) struct Counted(Counts);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, SeqCst);
    }
}

impl Counts {
    /// To be kept by a task for as long as it lives.
    pub(crate) fn keep(&self) -> Counted {
        Counted(self.clone())
    }

    pub(crate) fn dropped(&self) -> usize {
        self.dropped.load(SeqCst)
    }

    pub(crate) fn goodbye(&self) {
        self.goodbyes.fetch_add(1, SeqCst);
    }

    pub(crate) fn goodbyes(&self) -> usize {
        self.goodbyes.load(SeqCst)
    }

    /// A task that never ends, and hears nothing.
    pub(crate) fn stubborn(&self) -> Task {
        let kept = self.keep();
        Box::pin(async move {
            let _kept = kept;
            std::future::pending().await
        })
    }
}
