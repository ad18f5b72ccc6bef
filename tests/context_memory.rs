//! What contexts leave behind, in bytes. One test, because the allocator is shared.

#[path = "common/wakers.rs"]
mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::Relaxed};

use common::poll;
use errgroup::CancelContext;

struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as isize, Relaxed);
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(ptr, layout) }
    }
}

fn allocations_of(f: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.load(Relaxed);
    f();
    ALLOCATIONS.load(Relaxed) - before
}

// C7
#[test]
fn children_and_waiters_leave_nothing_behind() {
    let parent = CancelContext::new();
    // What a list keeps when it is empty is allowed for.
    drop(poll(&mut parent.child().cancelled()));
    let before = LIVE.load(Relaxed);

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
    assert!(LIVE.load(Relaxed) - before < 4_096);

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
