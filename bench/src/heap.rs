//! An allocator that counts what the current thread allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
    static ASKED: Cell<usize> = const { Cell::new(0) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

fn allocated(asked: usize) {
    CALLS.set(CALLS.get() + 1);
    ASKED.set(ASKED.get() + asked);
    LIVE.set(LIVE.get() + asked as isize);
}

fn freed(bytes: usize) {
    LIVE.set(LIVE.get() - bytes as isize);
}

// SAFETY: everything is handed to the system's allocator as it came. The counters are
// thread-local cells without destructors, and never allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        allocated(layout.size());
        // SAFETY: as promised by our caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        allocated(layout.size());
        // SAFETY: as promised by our caller.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        freed(layout.size());
        allocated(size);
        // SAFETY: as promised by our caller.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        freed(layout.size());
        // SAFETY: as promised by our caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a thread has allocated so far.
#[derive(Clone, Copy)]
pub(crate) struct Heap {
    calls: usize,
    asked: usize,
    live: isize,
}

/// What each of so many tasks allocated.
pub(crate) struct Used {
    pub(crate) calls: f64,
    /// All bytes that were asked for.
    pub(crate) asked: f64,
    /// Those that are not freed yet.
    pub(crate) live: f64,
}

impl Heap {
    pub(crate) fn now() -> Self {
        Self {
            calls: CALLS.get(),
            asked: ASKED.get(),
            live: LIVE.get(),
        }
    }

    pub(crate) fn since(self, earlier: Self, tasks: usize) -> Used {
        let tasks = tasks as f64;
        Used {
            calls: (self.calls - earlier.calls) as f64 / tasks,
            asked: (self.asked - earlier.asked) as f64 / tasks,
            live: (self.live - earlier.live) as f64 / tasks,
        }
    }
}
