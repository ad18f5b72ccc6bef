//! Tasks may borrow from the stack. The cells that say no are doctests of `src/lib.rs`.

use errgroup::ErrGroup;
use futures::executor::block_on;
use futures::{StreamExt, stream};
use futures_concurrency::prelude::*;

use crate::go;

fn words() -> [String; 3] {
    ["one", "two", "three"].map(String::from)
}

#[test]
fn errgroup_borrows() {
    let words = words();
    let mut group = ErrGroup::<usize, ()>::new();
    for word in &words {
        group.spawn(async { Ok(word.len()) });
    }
    assert_eq!(block_on(group.collect()), Ok(vec![3, 3, 5]));
}

#[test]
fn a_tracker_borrows_only_in_what_somebody_else_polls() {
    let words = words();
    let tracker = tokio_util::task::TaskTracker::new();
    let length = tracker.track_future(async { words[0].len() });
    assert_eq!(tracker.len(), 1);
    // Here it is polled by whoever awaits it, and by nobody else.
    assert_eq!(block_on(length), 3);
    tracker.close();
    block_on(tracker.wait());
}

#[test]
fn futures_unordered_borrows() {
    let words = words();
    let set: stream::FuturesUnordered<_> = words.iter().map(|word| async { word.len() }).collect();
    assert_eq!(block_on(set.collect::<Vec<_>>()).len(), 3);
}

#[test]
fn buffer_unordered_borrows() {
    let words = words();
    let lengths = stream::iter(&words).map(|word| async { word.len() });
    assert_eq!(block_on(lengths.buffer_unordered(2).count()), 3);
}

#[test]
fn futures_buffered_borrows() {
    let words = words();
    let tasks = words.iter().map(|word| async { word.len() });
    assert_eq!(block_on(futures_buffered::join_all(tasks)), [3, 3, 5]);
}

#[test]
fn futures_concurrency_borrows() {
    let words = words();
    let tasks: Vec<_> = words.iter().map(|word| async { word.len() }).collect();
    assert_eq!(block_on(tasks.join()), [3, 3, 5]);
}

#[test]
fn moro_borrows() {
    let words = words();
    let length = block_on(moro::async_scope!(|scope| {
        scope.spawn(async { words[2].len() }).await
    }));
    assert_eq!(length, 5);
}

#[test]
fn go_borrows() {
    go::says("borrow: [3 3 5]");
}
