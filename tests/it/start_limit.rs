//! A task that says at once that it is up counts for the limit at once.

use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::sync::mpsc;
use std::task::Poll;

use crate::common::{Fail, Probe, Root, probes, run};
use errgroup::{ErrGroup, ErrSpawner, StartError, Started};

type Starting<'a> = Pin<Box<dyn Future<Output = Result<usize, StartError>> + 'a>>;

/// A task that is up before its first poll.
fn up<'a>(
    spawner: &'a ErrSpawner<'static, (), Fail>,
    value: usize,
    task: &Probe<Result<(), Fail>>,
) -> Starting<'a> {
    let task = task.task();
    Box::pin(spawner.start(move |started: Started<usize>| {
        started.ready(value);
        task
    }))
}

// H4, R8

#[test]
fn a_task_that_is_up_before_it_is_spawned_does_not_start_beyond_the_limit() {
    let root = Root::new();
    let tasks = probes::<Result<(), Fail>>(3);
    let mut group = ErrGroup::<(), Fail>::new().limit(2);
    let spawner = group.spawner();
    group.spawn(tasks[0].task());
    group.spawn(tasks[1].task());
    let mut start = up(&spawner, 7, &tasks[2]);
    assert_eq!(root.poll(&mut start), Poll::Ready(Ok(7)));
    assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
    assert_eq!((group.running(), group.queued()), (2, 1));
    assert_eq!(tasks[2].polls(), 0);
    tasks[0].finish(Ok(()));
    assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
    assert_eq!((group.running(), group.queued()), (2, 0));
    assert_eq!(tasks[2].polls(), 1);
}

#[test]
fn a_task_that_is_up_between_its_spawn_and_its_start_does_not_start_beyond_the_limit() {
    let root = Root::new();
    let tasks = probes::<Result<(), Fail>>(2);
    let mut group = ErrGroup::<(), Fail>::new().limit(1);
    let spawner = group.spawner();
    group.spawn(tasks[0].task());
    let (give, take) = mpsc::channel();
    let task = tasks[1].task();
    let mut start = Box::pin(spawner.start(move |started: Started<usize>| {
        give.send(started).unwrap();
        task
    }));
    assert!(root.poll(&mut start).is_pending());
    take.recv().unwrap().ready(7);
    assert_eq!(root.poll(&mut start), Poll::Ready(Ok(7)));
    assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
    assert_eq!((group.running(), group.queued()), (1, 1));
    assert_eq!((tasks[0].polls(), tasks[1].polls()), (1, 0));
    tasks[0].finish(Ok(()));
    assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
    assert_eq!((group.running(), group.queued()), (1, 0));
    assert_eq!(tasks[1].polls(), 1);
}

#[test]
fn many_such_tasks_never_run_beyond_the_limit() {
    let root = Root::new();
    let tasks = probes::<Result<(), Fail>>(10);
    let mut group = ErrGroup::<(), Fail>::new().limit(3);
    let spawner = group.spawner();
    for (value, task) in tasks.iter().enumerate() {
        assert_eq!(
            root.poll(&mut up(&spawner, value, task)),
            Poll::Ready(Ok(value))
        );
    }
    for ended in 0..10 {
        assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
        assert!(group.running() <= 3, "{}", group.running());
        assert_eq!(group.len(), 10 - ended);
        let running = tasks
            .iter()
            .find(|task| task.polls() > 0 && !task.is_dropped());
        running.unwrap().finish(Ok(()));
    }
    assert_eq!(run(group.settle()).len(), 10);
}

#[test]
fn a_task_that_is_up_in_its_first_poll_counts_from_then_on() {
    // It starts at once, because it is not up yet; what is queued waits for two ends.
    let root = Root::new();
    let tasks = probes::<Result<(), Fail>>(2);
    let mut group = ErrGroup::<(), Fail>::new().limit(1);
    let spawner = group.spawner();
    group.spawn(tasks[0].task());
    let task = tasks[1].task();
    let mut start = Box::pin(spawner.start(async move |started: Started<usize>| {
        started.ready(7);
        task.await
    }));
    assert!(root.poll(&mut start).is_pending());
    let queued = Probe::<Result<(), Fail>>::new();
    group.spawn(queued.task());
    assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
    assert_eq!(root.poll(&mut start), Poll::Ready(Ok(7)));
    assert_eq!((group.running(), group.queued()), (2, 1));
    tasks[0].finish(Ok(()));
    assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
    assert_eq!((group.running(), queued.polls()), (1, 0));
    tasks[1].finish(Ok(()));
    assert!(root.poll_new(group.drive(ready(()))).is_ready());
    assert_eq!((group.running(), queued.polls()), (1, 1));
}
