//! Parents and children, and what they agree on.

use std::collections::HashSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;

use crate::common::{Counter, cause, poll, poll_with};
use errgroup::CancelContext;
use futures::executor::block_on;

fn cause_of(context: &CancelContext) -> String {
    cause(&context.reason().expect("the context is cancelled"))
}

// C1
#[test]
fn cancelling_a_parent_cancels_child_and_grandchild() {
    let parent = CancelContext::new();
    let child = parent.child();
    let grandchild = child.child();
    assert!(parent.cancel_with("parent"));
    for context in [&parent, &child, &grandchild] {
        assert!(context.is_cancelled());
        assert_eq!(cause_of(context), "parent");
        assert!(!context.cancel_with("too late"));
        assert_eq!(cause_of(context), "parent");
    }
}

// C1
#[test]
fn cancelling_a_child_touches_neither_parent_nor_sibling() {
    let parent = CancelContext::new();
    let (child, sibling) = (parent.child(), parent.child());
    let grandchild = child.child();
    let (counter, waker) = Counter::new();
    let mut waiting = [parent.cancelled(), sibling.cancelled()];
    for waiting in &mut waiting {
        assert!(poll_with(waiting, &waker).is_pending());
    }
    assert!(child.cancel());
    assert!(grandchild.is_cancelled());
    assert!(!parent.is_cancelled() && !sibling.is_cancelled());
    assert!(parent.reason().is_none() && sibling.check().is_ok());
    assert_eq!(counter.wakes(), 0);
}

// C1, Go parity
#[test]
fn a_child_that_was_cancelled_first_keeps_its_own_cause() {
    let parent = CancelContext::new();
    let child = parent.child();
    let grandchild = child.child();
    child.cancel_with("child");
    parent.cancel_with("parent");
    assert_eq!(cause_of(&grandchild), "child");
    assert_eq!(cause_of(&child), "child");
    assert_eq!(cause_of(&parent), "parent");
}

// C1
#[test]
fn a_cancel_after_the_cancel_of_an_ancestor_is_not_the_first() {
    let root = CancelContext::new();
    let middle = root.child();
    let leaf = middle.child();
    root.cancel_with("root");
    // Nobody has asked before.
    assert!(!middle.cancel_with("middle"));
    assert_eq!(cause_of(&leaf), "root");
}

// C1, Go parity
#[test]
fn a_child_of_a_cancelled_context_is_cancelled_at_birth() {
    let root = CancelContext::new();
    let parent = root.child();
    root.cancel_with("root");
    let child = parent.child();
    assert!(child.is_cancelled());
    assert_eq!(cause_of(&child), "root");

    // The grandparent, seen through a parent that has been settled.
    let grandchild = child.child();
    assert_eq!(cause_of(&grandchild), "root");
    assert!(
        matches!(poll(&mut grandchild.cancelled()), Poll::Ready(reason) if cause(&reason) == "root")
    );
}

// C1
#[test]
fn cancel_grandchild_through_parent_after_child_was_dropped() {
    let parent = CancelContext::new();
    let child = parent.child();
    let grandchild = child.child();
    let (counter, waker) = Counter::new();
    let mut waiting = grandchild.cancelled();
    assert!(poll_with(&mut waiting, &waker).is_pending());
    drop(child);
    drop(grandchild);
    parent.cancel_with("parent");
    assert_eq!(counter.wakes(), 1);
    assert!(matches!(poll(&mut waiting), Poll::Ready(reason) if cause(&reason) == "parent"));
}

// C2
#[test]
fn every_waiter_below_is_woken_once() {
    let root = CancelContext::new();
    let (counter, waker) = Counter::new();
    let mut contexts = vec![root.clone()];
    for parent in 0..1_000 {
        for _ in 0..2 {
            contexts.push(contexts[parent].child());
        }
    }
    let mut waiting: Vec<_> = contexts.iter().map(CancelContext::cancelled).collect();
    for waiting in waiting.iter_mut().rev() {
        assert!(poll_with(waiting, &waker).is_pending());
    }
    root.cancel();
    assert_eq!(counter.wakes(), contexts.len());
    assert!(waiting.iter_mut().all(|waiting| poll(waiting).is_ready()));
}

// C7
#[test]
fn a_million_children_leave_nothing_behind() {
    let parent = CancelContext::new();
    let (counter, waker) = Counter::new();
    for _ in 0..1_000_000 {
        drop(parent.child());
    }
    for _ in 0..100_000 {
        assert!(poll_with(&mut parent.child().cancelled(), &waker).is_pending());
    }
    let children: Vec<_> = (0..1_000_000).map(|_| parent.child()).collect();
    let mut waiting: Vec<_> = children[..100_000]
        .iter()
        .map(CancelContext::cancelled)
        .collect();
    for waiting in &mut waiting {
        assert!(poll_with(waiting, &waker).is_pending());
    }
    drop(waiting);
    drop(children);
    drop(waker);
    parent.cancel();
    assert_eq!(counter.wakes(), 0);
    assert_eq!(std::sync::Arc::strong_count(&counter), 1);
}

fn chain(length: usize) -> (CancelContext, CancelContext) {
    let root = CancelContext::new();
    let mut leaf = root.child();
    for _ in 0..length {
        leaf = leaf.child();
    }
    (root, leaf)
}

// C7
#[test]
fn a_chain_of_a_million_is_dropped_without_recursion() {
    drop(chain(1_000_000));

    // Linked, as well.
    let (root, leaf) = chain(1_000_000);
    let mut waiting = leaf.cancelled();
    assert!(poll(&mut waiting).is_pending());
    drop((leaf, waiting));
    assert!(!root.is_cancelled());
}

// C7
#[test]
fn a_chain_of_a_million_is_cancelled_without_recursion() {
    let (root, leaf) = chain(1_000_000);
    let mut waiting = leaf.cancelled();
    let (counter, waker) = Counter::new();
    assert!(poll_with(&mut waiting, &waker).is_pending());
    root.cancel_with("root");
    assert_eq!(counter.wakes(), 1);
    assert_eq!(cause_of(&leaf), "root");

    // And where nobody waits, by the one who asks.
    let (root, leaf) = chain(1_000_000);
    root.cancel_with("root");
    assert_eq!(cause_of(&leaf), "root");
}

// C7
#[test]
fn the_wake_of_a_deadline_goes_down_a_long_chain_without_recursion() {
    let (sender, receiver) = futures::channel::oneshot::channel::<()>();
    let root = CancelContext::new().with_deadline(receiver);
    let mut leaf = root.clone();
    for _ in 0..100_000 {
        leaf = leaf.child();
    }
    let mut waiting = leaf.cancelled();
    let (counter, waker) = Counter::new();
    assert!(poll_with(&mut waiting, &waker).is_pending());
    drop((root, leaf));
    sender.send(()).unwrap();
    assert_eq!(counter.wakes(), 1);
    assert!(poll(&mut waiting).is_ready());
}

// C1
#[test]
fn no_descendant_disagrees() {
    for _ in 0..1_000 {
        let root = CancelContext::new();
        let middle = root.child();
        let leaves = [middle.child(), middle.child(), middle.child().child()];
        let barrier = Barrier::new(5);
        let (won, seen) = std::thread::scope(|scope| {
            let cancel = |context: &CancelContext, cause: &'static str| {
                let context = context.clone();
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    context.cancel_with(cause)
                })
            };
            let cancels = [cancel(&root, "root"), cancel(&middle, "middle")];
            let readers: Vec<_> = leaves
                .iter()
                .map(|leaf| {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        barrier.wait();
                        loop {
                            let was_cancelled = leaf.is_cancelled();
                            match leaf.reason() {
                                Some(reason) => return cause(&reason),
                                None => assert!(!was_cancelled),
                            }
                            std::hint::spin_loop();
                        }
                    })
                })
                .collect();
            (
                cancels.map(|cancel| cancel.join().unwrap()),
                readers
                    .into_iter()
                    .map(|reader| reader.join().unwrap())
                    .collect::<HashSet<_>>(),
            )
        });
        // What was seen first is what stays, and what everybody below has seen.
        assert_eq!(seen.len(), 1);
        assert!(seen.contains(&cause_of(&middle)));
        for leaf in &leaves {
            assert_eq!(cause_of(leaf), cause_of(&middle));
        }
        assert_eq!(cause_of(&root), "root");
        assert!(won[0]);
        assert_eq!(won[1], cause_of(&middle) == "middle");
    }
}

// C2
#[test]
fn no_wakeup_is_lost() {
    for round in 0..3_000 {
        let root = CancelContext::new();
        let middle = root.child();
        let barrier = Barrier::new(4);
        std::thread::scope(|scope| {
            for waiting in [
                middle.child().cancelled(),
                middle.child().child().cancelled(),
                middle.cancelled(),
            ] {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    block_on(waiting);
                });
            }
            barrier.wait();
            if round % 2 == 0 {
                root.cancel()
            } else {
                middle.cancel()
            };
        });
    }
}

// C2: the ordering of the flag
#[test]
fn what_was_written_before_the_cancel_is_seen() {
    for _ in 0..1_000 {
        let context = CancelContext::new();
        let child = context.child();
        let written = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                written.store(1, Relaxed);
                context.cancel();
            });
            while !child.is_cancelled() {
                std::hint::spin_loop();
            }
            assert_eq!(written.load(Relaxed), 1);
        });
    }
}
