//! Wakers and destructors that go on to another context while a cancel wakes and drops them.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

use crate::common::{Counter, OnDrop, on_wake, poll_with};
use errgroup::{CancelContext, Cancelling};
use futures::channel::oneshot;

/// As many as overflow a small stack if each needs a piece of it. More would take long, because
/// whoever waits looks up to the root.
const MANY: usize = 2_000;

fn on_a_small_stack(f: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(128 << 10);
    thread.spawn(f).unwrap().join().unwrap();
}

/// Each the child of the one before.
fn nested(length: usize) -> Vec<CancelContext> {
    let mut chain = vec![CancelContext::new()];
    while chain.len() < length {
        chain.push(chain[chain.len() - 1].child());
    }
    chain
}

fn wait(context: &CancelContext, waker: &Waker) -> Cancelling {
    let mut waiting = context.cancelled();
    assert!(poll_with(&mut waiting, waker).is_pending());
    waiting
}

/// Somebody waits for each context. His waker does `f` to the next one, and that of the last is
/// `last`.
fn wait_for_each(
    chain: &[CancelContext],
    last: &Waker,
    f: impl Fn(&CancelContext) + Copy + Send + Sync + 'static,
) -> Vec<Cancelling> {
    let wakers = chain[1..]
        .iter()
        .cloned()
        .map(|next| on_wake(move || f(&next)));
    let waiting = chain.iter().zip(wakers.chain([last.clone()]));
    let waiting = waiting.map(|(context, waker)| wait(context, &waker));
    waiting.collect()
}

// C2, C7
#[test]
fn wakers_that_ask_or_cancel_the_next_context_below_do_not_recurse() {
    on_a_small_stack(|| {
        let ways: [fn(&CancelContext); 4] = [
            |next| assert!(next.reason().is_some()),
            |next| assert!(!next.cancel()),
            |next| drop(next.drop_guard()),
            |next| assert!(poll_with(&mut next.cancelled(), Waker::noop()).is_ready()),
        ];
        for way in ways {
            let (counter, waker) = Counter::new();
            let chain = nested(MANY);
            let waiting = wait_for_each(&chain, &waker, way);
            assert!(chain[0].cancel());
            assert_eq!(counter.wakes(), 1);
            drop(waiting);
        }
    });
}

// C2, C7
#[test]
fn a_waker_that_asks_the_last_context_of_a_chain_does_not_recurse() {
    on_a_small_stack(|| {
        let (counter, waker) = Counter::new();
        let chain = nested(MANY);
        let last = chain[MANY - 1].clone();
        let asks_last = on_wake(move || assert!(last.reason().is_some()));
        let waiting = wait(&chain[0], &asks_last);
        let all = wait_for_each(&chain, &waker, |next| assert!(next.reason().is_some()));
        assert!(chain[0].cancel());
        assert_eq!(counter.wakes(), 1);
        drop((waiting, all));
    });
}

// C2, C3, C7
#[test]
fn triggers_whose_destructors_cancel_the_next_context_below_do_not_recurse() {
    on_a_small_stack(|| {
        let (counter, _) = Counter::new();
        let root = CancelContext::new();
        let mut context = root.clone();
        let mut above = Arc::new(Mutex::new(None));
        for _ in 0..MANY {
            let next = Arc::new(Mutex::new(None::<CancelContext>));
            let (counter, its_next) = (counter.clone(), next.clone());
            let end = OnDrop(move || {
                counter.wake_by_ref();
                let next = its_next.lock().unwrap().take();
                assert!(next.is_none_or(|next| !next.cancel()));
            });
            context = context.with_trigger(async move {
                let _end = end;
                pending::<&str>().await
            });
            *above.lock().unwrap() = Some(context.clone());
            above = next;
        }
        assert!(root.cancel());
        assert_eq!(counter.wakes(), MANY);
    });
}

// C2, C3
#[test]
fn wakers_that_wake_the_deadline_of_the_next_context_below_do_not_recurse() {
    on_a_small_stack(|| {
        let (counter, waker) = Counter::new();
        let mut context = CancelContext::new();
        let mut senders = Vec::new();
        let mut chain = Vec::new();
        for _ in 0..MANY {
            let (sender, receiver) = oneshot::channel::<()>();
            context = context.with_deadline(receiver);
            chain.push(context.clone());
            senders.push(sender);
        }
        let mut senders = senders.into_iter();
        let first = senders.next().unwrap();
        let mut waiting = Vec::new();
        for context in &chain {
            let (next, last) = (Mutex::new(senders.next()), waker.clone());
            let wakes_next = on_wake(move || match next.lock().unwrap().take() {
                Some(sender) => sender.send(()).unwrap(),
                None => last.wake_by_ref(),
            });
            waiting.push(wait(context, &wakes_next));
        }
        first.send(()).unwrap();
        assert_eq!(counter.wakes(), 1);
    });
}

// C2
#[test]
fn wakers_that_cancel_a_context_beside_theirs_nest_as_calls_do() {
    let root = CancelContext::new();
    for chain in [
        (0..500).map(|_| root.child()).collect::<Vec<_>>(),
        (0..500).map(|_| CancelContext::new()).collect(),
    ] {
        let (counter, waker) = Counter::new();
        let waiting = wait_for_each(&chain, &waker, |next| assert!(next.cancel()));
        assert!(chain[0].cancel());
        assert_eq!(counter.wakes(), 1);
        assert!(chain.iter().all(CancelContext::is_cancelled));
        drop(waiting);
    }
    assert!(!root.is_cancelled());
}
