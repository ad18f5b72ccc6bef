//! What it costs to abort many tasks: the same for each, however many there are.

use std::future::pending;
use std::time::{Duration, Instant};

use crate::common::Root;
use errgroup::{ErrGroup, TaskHandle};

/// A group at a limit of 1, with its first task running, and so many queued or running.
fn filled(count: usize, queued: bool) -> (ErrGroup<'static, (), ()>, Vec<TaskHandle<()>>) {
    let mut group = ErrGroup::new();
    if queued {
        group.set_limit(1);
        group.spawn(pending());
    }
    let spawner = group.spawner();
    let handles = (0..count).map(|_| spawner.spawn_with_handle(pending::<Result<(), ()>>()));
    let handles = handles.collect();
    let root = Root::new();
    // In polls of 256 tasks each.
    while root.poll(&mut group).is_pending() && root.wakes() > 0 {}
    assert_eq!(group.queued(), if queued { count } else { 0 });
    (group, handles)
}

/// How long it takes to abort all; the fastest of some attempts.
fn time(count: usize, queued: bool, one_by_one: bool, backwards: bool) -> Duration {
    let attempt = || {
        let (mut group, mut handles) = filled(count, queued);
        if backwards {
            handles.reverse();
        }
        let root = Root::new();
        let start = Instant::now();
        for handle in &handles {
            handle.abort();
            if one_by_one {
                assert_eq!(root.poll(&mut group).is_ready(), group.is_empty());
            }
        }
        while root.poll(&mut group).is_pending() && root.wakes() > 0 {}
        let elapsed = start.elapsed();
        assert_eq!(group.len(), usize::from(queued));
        assert!(handles.iter().all(TaskHandle::is_finished));
        elapsed
    };
    (0..3).map(|_| attempt()).min().unwrap()
}

// H6

#[test]
fn aborting_many_tasks_costs_the_same_for_each_however_many_there_are() {
    let (few, factor) = (500, 16);
    for queued in [true, false] {
        for one_by_one in [true, false] {
            for backwards in [true, false] {
                let base = time(few, queued, one_by_one, backwards);
                let many = time(few * factor, queued, one_by_one, backwards);
                // What is quadratic takes 256 times as long.
                let bound = base * (factor * 5).try_into().unwrap() + Duration::from_millis(5);
                assert!(
                    many < bound,
                    "queued: {queued}, one by one: {one_by_one}, backwards: {backwards}: \
                     {few} in {base:?}, {} in {many:?}",
                    few * factor
                );
            }
        }
    }
}
