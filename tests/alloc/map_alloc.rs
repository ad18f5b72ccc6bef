//! How often the map helpers allocate.

use crate::allocator::allocations_of;
use crate::common::{run, yields};
use errgroup::{try_for_each, try_map};

const ITEMS: usize = 512_000;
const LIMIT: usize = 256;

/// Items that yield so many times, and allocate nothing.
fn each(items: usize, limit: usize, times: impl Fn(usize) -> usize) -> usize {
    let work = try_for_each(0..items, limit, |item| {
        let times = times(item);
        async move {
            yields(times).await;
            Ok::<_, ()>(())
        }
    });
    let (result, allocations) = allocations_of(|| run(work));
    result.unwrap();
    allocations
}

fn map(items: usize, limit: usize, times: impl Fn(usize) -> usize) -> usize {
    let work = try_map(0..items, limit, |item| {
        let times = times(item);
        async move {
            yields(times).await;
            Ok::<_, ()>(item)
        }
    });
    let (result, allocations) = allocations_of(|| run(work));
    assert!(result.unwrap().into_iter().eq(0..items));
    allocations
}

// M1
#[test]
fn it_allocates_per_place_and_not_per_item() {
    // The place, the waker of two, and something for every 64 of them.
    const PLACES: usize = 2 * LIMIT;
    // Of 512,000 values, in a vector that doubles.
    const RESULT: usize = 20;

    // What is ready at once is in nobody's way: one place is enough.
    let ready = |_| 0;
    let few = each(ITEMS, LIMIT, ready);
    assert!(few < 30, "{few}");
    let few = map(ITEMS, LIMIT, ready);
    assert!(few < 30 + RESULT, "{few}");

    let once = |_| 1;
    let places = each(ITEMS, LIMIT, once);
    assert!((LIMIT..PLACES).contains(&places), "{places}");
    let places = map(ITEMS, LIMIT, once);
    assert!((LIMIT..PLACES + RESULT).contains(&places), "{places}");

    // All places are taken, and freed in another order than they were taken in.
    let mixed = |item| item * 7 % 5;
    let places = each(ITEMS, LIMIT, mixed);
    assert!((LIMIT..PLACES).contains(&places), "{places}");
    let places = map(ITEMS, LIMIT, mixed);
    assert!((LIMIT..PLACES + RESULT).contains(&places), "{places}");

    // It does not depend on how many items there are, and not on a limit that is never reached.
    assert_eq!(each(10_000, 64, mixed), each(100_000, 64, mixed));
    assert_eq!(each(10, 64, mixed), each(10, usize::MAX, mixed));
}
