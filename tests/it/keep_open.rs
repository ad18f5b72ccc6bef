//! `KeepOpen`: a group that is not done though nothing runs.

use std::future::{Future, pending, ready};
use std::sync::Mutex;
use std::task::Poll;
use std::thread;

use crate::common::{Fail, Probe, Root, run};
use errgroup::{CancelContext, ErrGroup, ErrSpawner, KeepOpen};
use futures::StreamExt;
use futures::channel::mpsc;
use futures::future::FusedFuture;
use futures::stream::FusedStream;

type Group = ErrGroup<'static, usize, Fail>;

// R14

#[test]
fn a_group_is_not_done_while_it_is_kept_open() {
    let root = Root::new();
    let mut group = Group::new();
    let open: KeepOpen = group.keep_open();
    assert!(root.poll(&mut group).is_pending());
    assert!(root.poll_new(group.next()).is_pending());
    assert!(root.poll_new(group.results().next()).is_pending());
    assert_eq!(root.wakes(), 0);
    group.spawn(ready(Ok(1)));
    // R3: it was spawned from outside of the group's own poll.
    assert_eq!(root.wakes(), 1);
    assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Ok(1))));
    assert!(root.poll_new(group.next()).is_pending());
    assert_eq!(root.wakes(), 0);
    drop(open);
    assert_eq!(root.wakes(), 1);
    assert_eq!(root.poll_new(group.next()), Poll::Ready(None));
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
}

#[test]
fn the_last_of_several_closes_and_wakes_once() {
    let root = Root::new();
    let mut group = Group::new();
    let (first, second) = (group.keep_open(), group.spawner().keep_open());
    assert!(root.poll(&mut group).is_pending());
    drop(first);
    assert_eq!(root.wakes(), 0);
    assert!(root.poll(&mut group).is_pending());
    drop(second);
    assert_eq!(root.wakes(), 1);
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
}

#[test]
fn finishers_wait_for_it() {
    type Finish = fn(Group) -> std::pin::Pin<Box<dyn Future<Output = usize>>>;
    let finishes: [(&str, Finish); 5] = [
        (".await", |group| {
            Box::pin(async { group.await.map_or(9, |()| 1) })
        }),
        ("collect", |group| {
            Box::pin(async { group.collect().await.unwrap().len() })
        }),
        ("wait_all", |group| {
            Box::pin(async { group.wait_all().await.unwrap().len() })
        }),
        ("settle", |group| {
            Box::pin(async { group.settle().await.len() })
        }),
        ("first_ok", |group| {
            Box::pin(async { group.first_ok().await.map_or(9, |_| 1) })
        }),
    ];
    for (name, finish) in finishes {
        let root = Root::new();
        let group = Group::new();
        let (spawner, open) = (group.spawner(), group.keep_open());
        let mut finish = finish(group);
        assert!(root.poll(&mut finish).is_pending(), "{name}");
        spawner.spawn(ready(Ok(1)));
        assert_eq!(root.wakes(), 1, "{name}");
        let poll = root.poll(&mut finish);
        if name == "first_ok" {
            // A success ends it all the same.
            assert_eq!(poll, Poll::Ready(1));
            continue;
        }
        assert!(poll.is_pending(), "{name}");
        drop(open);
        assert_eq!(root.wakes(), 1, "{name}");
        assert_eq!(root.poll(&mut finish), Poll::Ready(1), "{name}");
        assert!(spawner.is_closed());
    }
}

#[test]
fn a_failure_ends_a_group_that_is_kept_open() {
    let mut group = Group::new();
    let open = group.keep_open();
    group.spawn(ready(Err("no".into())));
    assert_eq!(run(&mut group), Err("no".into()));
    // It is usable again, and still kept open.
    assert!(Root::new().poll(&mut group).is_pending());
    drop(open);
    assert_eq!(run(group), Ok(()));
}

#[test]
fn dropping_a_group_that_is_kept_open_drops_everything() {
    let probe = Probe::new();
    let mut group = Group::new();
    let (open, spawner) = (group.keep_open(), group.spawner());
    group.spawn(probe.task());
    drop(group);
    assert!(probe.is_dropped() && spawner.is_closed());
    drop(open);
}

#[test]
fn a_graceful_group_is_not_held_up_once_its_context_is_cancelled() {
    let root = Root::new();
    let (context, mut group) = ErrGroup::<usize, Fail>::with_context(&CancelContext::new());
    let open = group.keep_open();
    assert!(root.poll(&mut group).is_pending());
    context.cancel();
    assert_ne!(root.wakes(), 0);
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
    assert!(group.is_closed());
    drop(open);
}

#[test]
fn a_graceful_group_that_failed_ends_with_its_tasks() {
    let (_context, mut group) = ErrGroup::<usize, Fail>::with_context(&CancelContext::new());
    let _open = group.keep_open();
    group.spawn(async {
        crate::common::yields(3).await;
        Ok(1)
    });
    group.spawn(ready(Err("no".into())));
    assert_eq!(run(group), Err("no".into()));
}

#[test]
fn nothing_is_terminated_while_it_is_kept_open() {
    let root = Root::new();
    let mut group = Group::new();
    assert_eq!(root.poll_new(group.next()), Poll::Ready(None));
    assert!(group.is_terminated());
    let open = group.keep_open();
    assert!(!group.is_terminated() && !group.results().is_terminated());
    drop(open);
    assert_eq!(root.poll_new(group.next()), Poll::Ready(None));
    assert!(group.is_terminated());
}

#[test]
fn select_over_a_group_that_may_be_empty_neither_spins_nor_ends() {
    let root = Root::new();
    let (sender, mut jobs) = mpsc::unbounded::<usize>();
    let mut group = Group::new();
    let mut done = Vec::new();
    let mut server = Box::pin(async {
        let open = group.keep_open();
        loop {
            let mut results = group.results();
            futures::select! {
                outcome = results.select_next_some() => done.push(outcome.unwrap()),
                job = jobs.next() => match job {
                    Some(job) => {
                        drop(results);
                        group.spawn(ready(Ok(job)));
                    }
                    None => break,
                },
            }
        }
        // Else it would wait for itself.
        drop(open);
        done.extend(group.collect().await.unwrap());
        done
    });
    for job in 0..3 {
        assert!(root.poll(&mut server).is_pending());
        root.wakes();
        sender.unbounded_send(job).unwrap();
        assert_eq!(root.wakes(), 1);
        assert!(root.poll(&mut server).is_pending());
        // R3: the spawn wakes, as it comes from outside of the group's own poll. Nothing else does.
        assert!(root.wakes() <= 1);
        assert!(root.poll(&mut server).is_pending());
        assert_eq!(root.wakes(), 0, "it spins");
    }
    drop(sender);
    assert_eq!(root.run(server).0, [0, 1, 2]);
}

#[test]
fn a_producer_on_another_thread_keeps_a_group_open() {
    for _ in 0..100 {
        let group = Group::new();
        let (spawner, open) = (group.spawner(), group.keep_open());
        let producer = thread::spawn(move || {
            for number in 0..3 {
                spawner.spawn(ready(Ok(number)));
                thread::yield_now();
            }
            drop(open);
        });
        let mut values = futures::executor::block_on(group.collect()).unwrap();
        producer.join().unwrap();
        values.sort_unstable();
        assert_eq!(values, [0, 1, 2]);
    }
}

#[test]
fn a_scope_is_kept_open_after_its_body() {
    let root = Root::new();
    let kept = Mutex::new(None::<KeepOpen>);
    let mut scope = Box::pin(errgroup::scope(async |s: ErrSpawner<'_, (), Fail>| {
        *kept.lock().unwrap() = Some(s.keep_open());
        Ok(7)
    }));
    assert!(root.poll(&mut scope).is_pending());
    assert!(root.poll(&mut scope).is_pending());
    root.wakes();
    drop(kept.lock().unwrap().take());
    assert_eq!(root.wakes(), 1);
    assert_eq!(root.poll(&mut scope), Poll::Ready(Ok(7)));
}

#[test]
fn background_tasks_run_on_in_a_group_that_is_kept_open() {
    // H3
    let root = Root::new();
    let background = Probe::<Result<(), Fail>>::new();
    let mut group = ErrGroup::<(), Fail>::new();
    let open = group.keep_open();
    group.spawn_background(background.task());
    let mut finish = Box::pin(group.collect());
    assert!(root.poll(&mut finish).is_pending());
    assert_eq!((background.polls(), background.drops()), (1, 0));
    drop(open);
    assert!(root.poll(&mut finish).is_ready());
    assert_eq!(background.drops(), 1);
}

#[test]
fn debug_shows_how_many_keep_it_open() {
    let group = Group::new();
    let none = format!("{group:?}");
    let _open = [group.keep_open(), group.keep_open()];
    let two = format!("{group:?}");
    assert_ne!(none, two);
    assert!(two.contains('2') && !none.contains('2'), "{none} {two}");
}

#[test]
fn a_keep_open_outlives_its_group_and_may_be_sent_elsewhere() {
    fn is_elsewhere<
        T: Send + Sync + Unpin + std::panic::UnwindSafe + std::panic::RefUnwindSafe + 'static,
    >(
        _: &T,
    ) {
    }
    let open = Group::new().keep_open();
    is_elsewhere(&open);
    let local = errgroup::LocalErrGroup::<(), ()>::new().keep_open();
    is_elsewhere(&local);
    drop(open);
}

#[test]
fn ready_and_drive_do_not_care() {
    let mut group = Group::new().limit(1);
    let _open = group.keep_open();
    assert!(run(group.ready()));
    assert_eq!(run(group.drive(ready(1))), Some(1));
    assert_eq!(group.len(), 0);
    assert!(
        Root::new()
            .poll_new(group.drive(pending::<()>()))
            .is_pending()
    );
}
