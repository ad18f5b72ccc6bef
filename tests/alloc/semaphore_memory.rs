//! What semaphores leave behind, in bytes.

use crate::allocator::bytes;
use crate::common::Root;
use errgroup::Semaphore;

// S4
#[test]
fn many_waiters_that_are_served_at_once_leave_little_behind() {
    const WAITERS: usize = 10_000;
    let (root, semaphore) = (Root::new(), Semaphore::new(WAITERS));
    let all = semaphore.try_acquire(WAITERS).unwrap();
    let before = bytes();
    let mut waiting: Vec<_> = (0..WAITERS).map(|_| semaphore.acquire(1)).collect();
    assert!(waiting.iter_mut().all(|one| root.poll(one).is_pending()));
    drop(all);
    assert_eq!(root.wakes(), WAITERS);
    assert!(waiting.iter_mut().all(|one| root.poll(one).is_ready()));
    drop(waiting);
    assert_eq!(semaphore.available(), WAITERS);
    // Short lists may be kept.
    assert!(bytes() - before < 4_096, "{}", bytes() - before);
}
