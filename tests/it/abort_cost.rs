//! What it costs to abort many tasks: the same for each, however many there are.

use std::future::{Future, pending};
use std::pin::Pin;
use std::time::{Duration, Instant};

use crate::common::Root;
use errgroup::{AbortHandle, ErrGroup};

/// What there is as many of as there are tasks to abort.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Beside {
    Nothing,
    /// Tasks with names.
    Names,
    /// Tasks in the background.
    Background,
    /// Some who wait for room.
    Waiters,
}

#[derive(Clone, Copy, Debug)]
struct Setting {
    /// The tasks to abort are queued, and not running.
    queued: bool,
    /// The group is polled after each abort.
    one_by_one: bool,
    /// The last is aborted first.
    backwards: bool,
    beside: Beside,
}

type Waiter = Pin<Box<dyn Future<Output = bool>>>;

/// Polls until nothing is left to do, in polls of 256 tasks each.
fn rest(root: &Root, group: &mut ErrGroup<'static, (), ()>) {
    while root.poll(group).is_pending() && root.wakes() > 0 {}
}

/// A group in which so many tasks are to be aborted: at a limit of 1 behind one that is running, or
/// running.
fn filled(
    count: usize,
    setting: Setting,
) -> (ErrGroup<'static, (), ()>, Vec<AbortHandle>, Vec<Waiter>) {
    let Setting { queued, beside, .. } = setting;
    let (mut group, root) = (ErrGroup::new(), Root::new());
    if queued {
        group.set_limit(1);
        group.spawn(pending());
    }
    let spawner = group.spawner();
    let mut handles = Vec::new();
    for index in 0..count {
        match beside {
            Beside::Names => spawner.spawn_named(format!("{index}"), pending()),
            Beside::Background => spawner.spawn_background(pending()),
            Beside::Nothing | Beside::Waiters => {}
        }
        // Those of a task with a value are the same.
        handles.push(match index % 2 {
            0 => spawner.spawn_abortable(pending()),
            _ => spawner
                .spawn_with_handle(pending::<Result<u8, ()>>())
                .abort_handle(),
        });
    }
    rest(&root, &mut group);
    let mut waiters = Vec::new();
    if beside == Beside::Waiters {
        if !queued {
            group.set_limit(count);
        }
        waiters.extend((0..count).map(|_| {
            let spawner = spawner.clone();
            Box::pin(async move { spawner.ready().await }) as Waiter
        }));
    }
    for waiter in &mut waiters {
        assert!(root.poll(waiter).is_pending());
    }
    (group, handles, waiters)
}

/// How long it takes to abort all; the fastest of some attempts.
fn time(count: usize, setting: Setting) -> Duration {
    let attempt = || {
        let (mut group, mut handles, mut waiters) = filled(count, setting);
        let named = count * usize::from(setting.beside == Beside::Names);
        if setting.backwards {
            handles.reverse();
            waiters.reverse();
        }
        let root = Root::new();
        let start = Instant::now();
        for handle in &handles {
            handle.abort();
            if setting.one_by_one {
                assert_eq!(root.poll(&mut group).is_ready(), group.is_empty());
            }
        }
        rest(&root, &mut group);
        assert_eq!(group.len(), named + usize::from(setting.queued));
        // What is left goes, too.
        group.abort_all();
        waiters.into_iter().for_each(drop);
        let elapsed = start.elapsed();
        assert!(group.is_empty() && handles.iter().all(AbortHandle::is_finished));
        elapsed
    };
    (0..3).map(|_| attempt()).min().unwrap()
}

// H6

#[test]
fn aborting_many_tasks_costs_the_same_for_each_whatever_else_there_is_as_many_of() {
    let (few, factor) = (500, 16);
    for beside in [
        Beside::Nothing,
        Beside::Names,
        Beside::Background,
        Beside::Waiters,
    ] {
        for queued in [true, false] {
            for one_by_one in [true, false] {
                for backwards in [true, false] {
                    let setting = Setting {
                        queued,
                        one_by_one,
                        backwards,
                        beside,
                    };
                    // Somebody else may need the processor just now, and not twenty times.
                    let costs_the_same = |_| {
                        let base = time(few, setting);
                        let many = time(few * factor, setting);
                        // What is quadratic takes 256 times as long.
                        let bound = base * (factor * 5).try_into().unwrap();
                        many < bound + Duration::from_millis(5)
                    };
                    assert!((0..20).any(costs_the_same), "{setting:?}");
                }
            }
        }
    }
}
