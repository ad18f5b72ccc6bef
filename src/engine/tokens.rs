//! What finds the woken chunks among many: a token for each, in a `FuturesUnordered`.

use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use futures::stream::Stream;

use crate::engine::parker::{Notifier, Parker, Word};
use crate::util::bits::Bits;
use crate::util::sync::atomic::AtomicBool;
use crate::util::sync::atomic::Ordering::Relaxed;
use crate::util::sync::{Arc, FuturesUnordered, SetOnce, TryLock};

/// No chunk has this number.
const NONE: usize = usize::MAX;

/// The tokens of all chunks but the first.
pub(super) struct Tokens {
    set: FuturesUnordered<Token>,
    arrivals: Arc<Arrivals>,
    /// The numbers of chunks that are gone.
    free: Vec<usize>,
    waker: Waker,
}

/// The chunks whose tokens were polled.
#[derive(Default)]
struct Arrivals(TryLock<Bits>);

impl Arrivals {
    /// Only the owner polls tokens, and then looks here: nobody ever finds the lock taken.
    fn with<R>(&self, f: impl FnOnce(&mut Bits) -> R) -> R {
        self.0.try_with(f).expect("the owner alone comes here")
    }
}

/// What a chunk, its wakers and its token share.
pub(super) struct Line {
    pub(super) word: Word,
    /// The waker of the token, from its first poll, which comes before there is any other waker.
    token: SetOnce<Waker>,
    /// The chunk is gone.
    dismissed: AtomicBool,
}

impl Line {
    fn new() -> Arc<Self> {
        Arc::new(Line {
            word: Word::of_further(),
            token: SetOnce::new(),
            dismissed: AtomicBool::new(false),
        })
    }

    /// Says that the task in this slot was woken.
    pub(super) fn wake_slot(&self, bit: usize) {
        if self.word.wake(bit) {
            self.wake_token();
        }
    }

    fn wake_token(&self) {
        if let Some(token) = self.token.get() {
            token.wake_by_ref();
        }
    }

    /// Says that the chunk is gone. Its number is free when the token has heard of it.
    pub(super) fn dismiss(&self) {
        self.dismissed.store(true, Relaxed);
        self.wake_token();
    }
}

struct Token {
    id: usize,
    line: Arc<Line>,
    arrivals: Arc<Arrivals>,
}

impl Future for Token {
    type Output = usize;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
        if self.line.token.get().is_none() {
            self.line.token.set(cx.waker().clone());
        } else if self.line.dismissed.load(Relaxed) {
            return Poll::Ready(self.id);
        } else {
            self.arrivals.with(|chunks| chunks.insert(self.id));
        }
        Poll::Pending
    }
}

impl Tokens {
    pub(super) fn new<S: Send + Sync + 'static>(parker: &Arc<Parker<S>>) -> Self {
        let mut tokens = Tokens {
            set: FuturesUnordered::new(),
            arrivals: Arc::default(),
            free: Vec::new(),
            waker: Waker::from(Arc::new(Notifier(parker.clone()))),
        };
        // A `FuturesUnordered` wakes its parent when it has polled as many futures as it holds.
        // One token that is never woken keeps it from that.
        tokens.add(NONE);
        tokens
    }

    /// Adds a token for a chunk of a number that is free, or of the one given.
    pub(super) fn add(&mut self, next: usize) -> (usize, Arc<Line>) {
        let id = self.free.pop().unwrap_or(next);
        let line = Line::new();
        self.set.push(Token {
            id,
            line: line.clone(),
            arrivals: self.arrivals.clone(),
        });
        while line.token.get().is_none() {
            self.poll_set();
            // A `FuturesUnordered` may stop early, when another thread is in the middle of a
            // wake; but the token is in its queue.
            core::hint::spin_loop();
        }
        (id, line)
    }

    /// Polls the tokens that were woken, and adds the numbers of their chunks to `listed`. One that
    /// is gone may be among them. Whether there are any.
    pub(super) fn poll(&mut self, listed: &mut Bits) -> bool {
        self.poll_set();
        self.arrivals.with(|chunks| listed.append(chunks))
    }

    fn poll_set(&mut self) {
        let mut cx = Context::from_waker(&self.waker);
        while let Poll::Ready(Some(id)) = Pin::new(&mut self.set).poll_next(&mut cx) {
            self.free.push(id);
        }
    }
}
