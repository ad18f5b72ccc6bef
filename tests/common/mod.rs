//! What the tests poll by hand with: wakers and tasks that count.
#![allow(dead_code, unreachable_pub)]

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};

use errgroup::{CancelContext, CancelKind, Cancelled};

/// A waker that counts how often it was woken.
#[derive(Default)]
pub struct Counter {
    wakes: AtomicUsize,
}

impl Counter {
    pub fn new() -> (Arc<Self>, Waker) {
        let counter = Arc::new(Counter::default());
        let waker = Waker::from(counter.clone());
        (counter, waker)
    }

    pub fn wakes(&self) -> usize {
        self.wakes.load(SeqCst)
    }
}

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wakes.fetch_add(1, SeqCst);
    }
}

/// A waker that runs a closure when it is woken.
pub fn on_wake(f: impl Fn() + Send + Sync + 'static) -> Waker {
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
pub enum Event {
    Clone,
    Wake,
    Drop,
}

/// A waker that calls `hook` at everything that happens to it. It leaks the hook.
pub fn hooked(hook: impl Fn(Event) + Send + Sync + 'static) -> Waker {
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

/// Polls once with `waker`.
pub fn poll_with<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// Polls once with a waker that does nothing.
pub fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_with(future, Waker::noop())
}

/// The task that polls a group: counts how often it is woken.
pub struct Root {
    counter: Arc<Counter>,
    waker: Waker,
}

impl Root {
    pub fn new() -> Self {
        let (counter, waker) = Counter::new();
        Root { counter, waker }
    }

    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Polls once.
    pub fn poll<F: Future + Unpin + ?Sized>(&self, future: &mut F) -> Poll<F::Output> {
        Pin::new(future).poll(&mut Context::from_waker(&self.waker))
    }

    /// Polls something that is not `Unpin`, once; it is dropped if it is not ready.
    pub fn poll_new<F: Future>(&self, future: F) -> Poll<F::Output> {
        std::pin::pin!(future)
            .as_mut()
            .poll(&mut Context::from_waker(&self.waker))
    }

    /// How often it was woken since the last call.
    #[track_caller]
    pub fn wakes(&self) -> usize {
        self.counter.wakes.swap(0, SeqCst)
    }

    /// Polls until it is ready, and gives the number of polls, too.
    ///
    /// # Panics
    ///
    /// If it is pending, and nobody has woken it: nobody ever will.
    #[track_caller]
    pub fn run<F: Future>(&self, future: F) -> (F::Output, usize) {
        let mut future = std::pin::pin!(future);
        for polls in 1.. {
            self.wakes();
            let mut cx = Context::from_waker(&self.waker);
            if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
                return (output, polls);
            }
            assert_ne!(self.counter.wakes(), 0, "it sleeps for ever");
        }
        unreachable!()
    }

    /// How many clones of the waker there are.
    pub fn clones(&self) -> usize {
        Arc::strong_count(&self.counter) - 2
    }
}

/// Runs a future that never has to wait for anybody else.
#[track_caller]
pub fn run<F: Future>(future: F) -> F::Output {
    Root::new().run(future).0
}

/// A task under control: it is pending until it is told its output, and counts its polls and
/// drops.
pub struct Probe<R>(Arc<ProbeState<R>>);

struct ProbeState<R> {
    polls: AtomicUsize,
    drops: AtomicUsize,
    output: Mutex<Option<R>>,
    waker: Mutex<Option<Waker>>,
}

impl<R> Clone for Probe<R> {
    fn clone(&self) -> Self {
        Probe(self.0.clone())
    }
}

impl<R> Probe<R> {
    pub fn new() -> Self {
        Probe(Arc::new(ProbeState {
            polls: AtomicUsize::new(0),
            drops: AtomicUsize::new(0),
            output: Mutex::new(None),
            waker: Mutex::new(None),
        }))
    }

    /// The future that is watched.
    pub fn task(&self) -> ProbeTask<R> {
        ProbeTask(self.0.clone())
    }

    /// How often it was polled.
    pub fn polls(&self) -> usize {
        self.0.polls.load(SeqCst)
    }

    /// How often it was dropped.
    pub fn drops(&self) -> usize {
        self.0.drops.load(SeqCst)
    }

    pub fn is_dropped(&self) -> bool {
        self.drops() > 0
    }

    /// The waker of its last poll.
    pub fn waker(&self) -> Waker {
        let waker = self.0.waker.lock().unwrap();
        waker.clone().expect("it was polled")
    }

    /// Wakes it for nothing.
    pub fn wake(&self) {
        self.waker().wake();
    }

    /// It will return `output` when it is polled next, but is not woken.
    pub fn set(&self, output: R) {
        *self.0.output.lock().unwrap() = Some(output);
    }

    /// It is woken to return `output`.
    pub fn finish(&self, output: R) {
        self.set(output);
        self.wake();
    }
}

pub struct ProbeTask<R>(Arc<ProbeState<R>>);

impl<R> Future for ProbeTask<R> {
    type Output = R;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        self.0.polls.fetch_add(1, SeqCst);
        *self.0.waker.lock().unwrap() = Some(cx.waker().clone());
        match self.0.output.lock().unwrap().take() {
            Some(output) => Poll::Ready(output),
            None => Poll::Pending,
        }
    }
}

impl<R> Drop for ProbeTask<R> {
    fn drop(&mut self) {
        self.0.drops.fetch_add(1, SeqCst);
    }
}

/// Many probes.
pub fn probes<R>(count: usize) -> Vec<Probe<R>> {
    (0..count).map(|_| Probe::new()).collect()
}

/// Pending so many times, waking itself each time.
pub fn yields(times: usize) -> impl Future<Output = ()> + Send + Unpin {
    struct Yields(usize);
    impl Future for Yields {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            if self.0 == 0 {
                return Poll::Ready(());
            }
            self.0 -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    }
    Yields(times)
}

/// Always wakes itself, never ends, and counts its polls.
pub fn restless<R>(polls: &Arc<AtomicUsize>) -> impl Future<Output = R> + Send + 'static + use<R> {
    let polls = polls.clone();
    std::future::poll_fn(move |cx| {
        polls.fetch_add(1, SeqCst);
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

/// Runs a closure when it is dropped.
pub struct OnDrop<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Lets `f` panic, and gives the text.
#[track_caller]
pub fn panics<R>(f: impl FnOnce() -> R) -> String {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("it did not panic"),
        Err(payload) => match payload.downcast::<String>() {
            Ok(text) => *text,
            Err(payload) => (*payload.downcast::<&str>().unwrap()).to_string(),
        },
    }
}

/// For what kind of reason it is cancelled.
pub fn kind(context: &CancelContext) -> Option<CancelKind> {
    context.reason().map(|reason| reason.kind())
}

/// Why it was cancelled, as a text; empty if nobody said.
pub fn cause(reason: &Cancelled) -> String {
    reason.cause().map(ToString::to_string).unwrap_or_default()
}

/// An error that can be made of everything errors are made of.
#[derive(Clone, Debug, PartialEq)]
pub enum Fail {
    Text(&'static str),
    Cancelled(CancelKind),
    Panicked(String),
}

impl From<&'static str> for Fail {
    fn from(text: &'static str) -> Self {
        Fail::Text(text)
    }
}

impl From<Cancelled> for Fail {
    fn from(reason: Cancelled) -> Self {
        Fail::Cancelled(reason.kind())
    }
}

#[cfg(feature = "std")]
impl From<errgroup::Panicked> for Fail {
    fn from(panicked: errgroup::Panicked) -> Self {
        Fail::Panicked(panicked.message().unwrap_or("?").to_string())
    }
}
