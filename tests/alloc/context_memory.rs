//! What contexts leave behind, in bytes.

use crate::allocator::{allocations_of, bytes};
use crate::common::{Event, hooked, poll, poll_with};
use errgroup::CancelContext;

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
    assert_eq!(allocations_of(|| drop(parent.child())).1, 1);
    let child = parent.child();
    drop(poll(&mut child.cancelled()));
    let ((), none) = allocations_of(|| {
        assert!(!child.is_cancelled());
        assert!(child.reason().is_none());
        drop(poll(&mut child.cancelled()));
        drop(poll(&mut child.run(std::future::pending::<()>())));
    });
    assert_eq!(none, 0);
}

// C7: a cancelled parent takes no children in. Looked at, it was not cancelled yet.
#[test]
fn a_child_that_begins_to_wait_while_its_parent_is_cancelled_leaves_nothing_with_it() {
    let parent = CancelContext::new();
    let cancel = {
        let parent = parent.clone();
        hooked(move |event| {
            if event == Event::Clone {
                parent.cancel();
            }
        })
    };
    let before = bytes();
    let child = parent.child();
    assert!(poll_with(&mut child.cancelled(), &cancel).is_ready());
    assert!(parent.is_cancelled());
    drop(child);
    assert_eq!(bytes(), before);
}

// C7: and one that lives forgets those that go.
#[test]
fn a_child_that_has_waited_leaves_nothing_with_a_parent_that_lives() {
    let parent = CancelContext::new();
    let _keeps_the_list = poll(&mut parent.child().cancelled());
    let before = bytes();
    let child = parent.child();
    assert!(poll(&mut child.cancelled()).is_pending());
    drop(child);
    assert_eq!(bytes(), before);
}
