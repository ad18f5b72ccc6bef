//! What a group has of its own, so that nobody has to know of spawners: `next_indexed`,
//! `is_closed`, `current_limit`, and spawning with names, handles, and in the background.

use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;

use crate::common::{Fail, OnDrop, Probe, Root, probes, run, yields};
use errgroup::{CancelContext, CancelKind, ErrGroup, LocalErrGroup, Started};

type Group = ErrGroup<'static, usize, Fail>;
type Units = ErrGroup<'static, (), Fail>;

// R7: `next_indexed`

#[test]
fn next_indexed_tells_whose_outcome_it_is() {
    let root = Root::new();
    let probes = probes(4);
    let mut group: Group = probes.iter().map(Probe::task).collect();
    assert!(root.poll_new(group.next_indexed()).is_pending());
    for (index, outcome) in [(2, Ok(20)), (0, Err("no".into())), (3, Ok(30)), (1, Ok(10))] {
        probes[index].finish(outcome.clone());
        let next = root.poll_new(group.next_indexed());
        assert_eq!(next, Poll::Ready(Some((index, outcome))));
    }
    assert_eq!(root.poll_new(group.next_indexed()), Poll::Ready(None));
    // Numbers never restart.
    group.spawn(ready(Ok(1)));
    assert_eq!(run(group.next_indexed()), Some((4, Ok(1))));
}

#[test]
fn next_indexed_and_next_take_from_the_same() {
    let mut group = Group::new();
    (0..4).for_each(|number| group.spawn(ready(Ok(number))));
    assert_eq!(run(group.drive(ready(()))), Some(()));
    // Kept ones first, in the order of completion.
    let mut seen = Vec::new();
    while let Some((index, outcome)) = run(group.next_indexed()) {
        assert_eq!(outcome, Ok(index));
        seen.push(index);
        if let Some(outcome) = run(group.next()) {
            seen.push(outcome.unwrap());
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3]);
}

#[test]
fn next_indexed_knows_the_index_of_a_value_without_size() {
    // R11: they cost no memory, but an index that is asked for is right.
    let root = Root::new();
    let probes = probes::<Result<(), Fail>>(3);
    let mut group: Units = probes.iter().map(Probe::task).collect();
    assert!(root.poll_new(group.next_indexed()).is_pending());
    for index in [1, 2, 0] {
        probes[index].finish(Ok(()));
        let next = root.poll_new(group.next_indexed());
        assert_eq!(next, Poll::Ready(Some((index, Ok(())))));
    }
}

#[test]
fn next_indexed_agrees_with_handles_and_errors() {
    let mut group = Units::new();
    let spawner = group.spawner();
    group.spawn(ready(Ok(())));
    let handle = spawner.spawn_with_handle(async {
        yields(3).await;
        Err::<(), Fail>("no".into())
    });
    assert_eq!(run(group.next_indexed()), Some((0, Ok(()))));
    assert_eq!(
        run(group.next_indexed()),
        Some((handle.index(), Err("no".into())))
    );
}

#[test]
fn aborted_and_background_tasks_take_numbers_but_have_no_outcome() {
    let mut group = Units::new();
    group.spawn_background(ready(Ok(())));
    group.spawn_abortable(pending()).abort();
    group.spawn(ready(Ok(())));
    assert_eq!(run(group.next_indexed()), Some((2, Ok(()))));
    assert_eq!(run(group.next_indexed()), None);
}

#[test]
fn the_end_of_a_grace_is_told_with_indices_the_lowest_first() {
    let (context, group) = ErrGroup::with_grace(&CancelContext::new(), || ready(()));
    let mut group: Group = group.limit(2);
    (0..4).for_each(|_| group.spawn(pending()));
    context.cancel();
    let cut = || Err(Fail::Cancelled(CancelKind::Cancelled));
    for index in 0..4 {
        assert_eq!(run(group.next_indexed()), Some((index, cut())));
    }
    assert_eq!(run(group.next_indexed()), None);
}

// R7, R8

#[test]
fn a_group_says_whether_it_is_closed() {
    let mut group = Group::new();
    assert!(!group.is_closed());
    group.spawn(ready(Err("no".into())));
    assert!(!run(group.ready()));
    // It takes nothing until its failure is handed over.
    assert!(group.try_spawn(ready(Ok(1))).is_err());
    assert_eq!(run(&mut group), Err("no".into()));
    assert!(!group.is_closed());

    let (context, mut group) = ErrGroup::<usize, Fail>::with_context(&CancelContext::new());
    assert_eq!(run(group.next()), None);
    assert!(!group.is_closed());
    context.cancel();
    assert_eq!(run(group.next()), None);
    assert!(group.is_closed());
    assert_eq!(group.spawner().is_closed(), group.is_closed());
    // R9
    assert!(!run(group.ready()));
}

#[test]
fn a_group_and_its_spawners_tell_the_limit() {
    let mut group = Group::new();
    let spawner = group.spawner();
    assert_eq!(
        (group.current_limit(), spawner.current_limit()),
        (usize::MAX, usize::MAX)
    );
    group = group.limit(3);
    assert_eq!((group.current_limit(), spawner.current_limit()), (3, 3));
    spawner.set_limit(2);
    assert_eq!((group.current_limit(), spawner.current_limit()), (2, 2));
    group.set_limit(usize::MAX);
    assert_eq!(spawner.current_limit(), usize::MAX);
}

// H1, H3, H5

#[test]
fn a_group_spawns_with_names_handles_and_in_the_background() {
    let mut group = Units::new().limit(1);
    let background = Probe::<Result<(), Fail>>::new();
    group.spawn_named("reader", ready(Ok(())));
    group.spawn_named(String::from("writer"), ready(Ok(())));
    group.spawn_background(background.task());
    let handle = group.spawn_with_handle(async { Ok(7) });
    assert_eq!((handle.index(), group.len()), (3, 3));
    let text = format!("{group:?}");
    assert!(text.contains(r#"0 "reader": queued"#), "{text}");
    assert!(text.contains(r#"1 "writer": queued"#), "{text}");
    assert_eq!(run(group.collect()).unwrap().len(), 3);
    assert_eq!(run(handle).unwrap(), 7);
    assert_eq!(background.drops(), 1);
}

#[test]
fn a_group_with_values_names_its_tasks() {
    let mut group = Group::new();
    group.spawn_named("answer", ready(Ok(42)));
    group.spawner().spawn_named("question", ready(Ok(0)));
    let text = format!("{group:?}");
    assert!(
        text.contains("answer") && text.contains("question"),
        "{text}"
    );
    assert_eq!(run(group.collect()), Ok(vec![42, 0]));
}

#[test]
fn a_local_group_does_so_too() {
    let mut group = LocalErrGroup::<(), Fail>::new();
    let local = std::rc::Rc::new(5);
    let other = local.clone();
    let handle = group.spawn_with_handle(async move { Ok(*local) });
    group.spawn_background(async move {
        let _other = other;
        pending().await
    });
    assert_eq!(run(group), Ok(()));
    assert_eq!(run(handle).unwrap(), 5);
}

// H4, R12: `start` of a group drives it meanwhile

#[test]
fn start_drives_the_group_until_the_task_is_up() {
    let mut group = Units::new();
    let (sender, receiver) = futures::channel::oneshot::channel();
    group.spawn(async move {
        yields(3).await;
        sender.send(7).unwrap();
        Ok(())
    });
    let value = run(group.start(async |started: Started<usize>| {
        // Only the other task can give it.
        started.ready(receiver.await.unwrap());
        yields(3).await;
        Ok(())
    }));
    assert_eq!(value.unwrap().unwrap(), 7);
    assert_eq!(group.len(), 1);
    assert_eq!(run(group.collect()).unwrap().len(), 2);
}

#[test]
fn start_is_none_when_the_group_fails_meanwhile() {
    let mut group = Units::new();
    group.spawn(async {
        yields(2).await;
        Err("no".into())
    });
    let value = run(group.start(|started: Started<()>| async move {
        let _started = started;
        pending().await
    }));
    assert!(value.is_none());
    assert_eq!(run(group), Err("no".into()));
}

#[test]
fn start_tells_of_a_task_that_never_came_up() {
    let mut group = Units::new();
    let value = run(group.start(|_: Started<()>| ready(Ok(()))));
    assert!(value.unwrap().is_err());
    // With an error of its own, the group has failed.
    let value = run(group.start(|_: Started<()>| ready(Err("no".into()))));
    assert!(value.is_none_or(|value| value.is_err()));
    assert_eq!(run(group), Err("no".into()));
}

#[test]
fn a_start_that_is_dropped_leaves_its_task() {
    let root = Root::new();
    let probe = Probe::<Result<(), Fail>>::new();
    let mut group = Units::new();
    let task = probe.task();
    let start = group.start(|started: Started<()>| async move {
        let _started = started;
        task.await
    });
    assert!(root.poll_new(start).is_pending());
    // R8, R9: until it is up it does not count for the limit, so that `len` is without it.
    assert_eq!((probe.polls(), probe.drops(), group.len()), (1, 0, 0));
    // It counts for being done.
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(probe.drops(), 0);
    probe.finish(Ok(()));
    assert_eq!(run(group), Ok(()));
}

#[test]
fn refused_tasks_are_dropped_and_their_handles_resolve() {
    let mut group = Units::new();
    group.spawn(ready(Err("no".into())));
    assert!(!run(group.ready()));
    let drops = Arc::new(AtomicUsize::new(0));
    let refused = || {
        let drops = drops.clone();
        let guard = OnDrop(move || _ = drops.fetch_add(1, SeqCst));
        async move {
            let _guard = guard;
            Ok(())
        }
    };
    group.spawn_named("late", refused());
    group.spawn_background(refused());
    let handle = group.spawn_with_handle(refused());
    assert_eq!(run(handle).unwrap_err().kind(), CancelKind::TaskFailed);
    drop(group);
    assert_eq!(drops.load(SeqCst), 3);
}
