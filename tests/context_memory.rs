//! What contexts leave behind, in bytes.

#[path = "support/allocator.rs"]
mod allocator;
#[path = "common/wakers.rs"]
mod common;

use allocator::{bytes, calls};
use common::poll;
use errgroup::CancelContext;

fn allocations_of(f: impl FnOnce()) -> usize {
    let before = calls();
    f();
    calls() - before
}

// C7
#[test]
fn children_and_waiters_leave_nothing_behind() {
    let parent = CancelContext::new();
    // What a list keeps when it is empty is allowed for.
    drop(poll(&mut parent.child().cancelled()));
    let before = bytes();

    for _ in 0..10_000 {
        drop(poll(&mut parent.child().child().cancelled()));
        drop(poll(&mut parent.cancelled()));
        drop(poll(
            &mut parent
                .with_deadline(std::future::pending::<()>())
                .cancelled(),
        ));
    }
    let children: Vec<_> = (0..10_000).map(|_| parent.child()).collect();
    let mut waiting: Vec<_> = children.iter().map(CancelContext::cancelled).collect();
    waiting.iter_mut().for_each(|waiting| drop(poll(waiting)));
    drop((children, waiting));
    let mut waiting: Vec<_> = (0..10_000).map(|_| parent.cancelled()).collect();
    waiting.iter_mut().for_each(|waiting| drop(poll(waiting)));
    drop(waiting);
    // A short list may be kept.
    assert!(bytes() - before < 4_096);

    // A child costs one allocation; asking and waiting cost none.
    assert_eq!(allocations_of(|| drop(parent.child())), 1);
    let child = parent.child();
    drop(poll(&mut child.cancelled()));
    let none = allocations_of(|| {
        assert!(!child.is_cancelled());
        assert!(child.reason().is_none());
        drop(poll(&mut child.cancelled()));
        drop(poll(&mut child.run(std::future::pending::<()>())));
    });
    assert_eq!(none, 0);
}
