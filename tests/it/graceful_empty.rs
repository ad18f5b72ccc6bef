//! Groups that are polled while they are empty: a graceful one stays open as any other, until its
//! context is cancelled and everything in it has ended; and nobody loses its background tasks.

use std::future::{pending, ready};
use std::task::Poll;

use crate::common::{Fail, Probe, Root, restless, run};
use errgroup::{CancelContext, CancelKind, ErrGroup, ErrSpawner};
use futures::channel::mpsc;
use futures::{FutureExt, StreamExt, select};

type Group = ErrGroup<'static, usize, Fail>;

/// Both kinds of graceful groups, with their contexts.
fn graceful() -> [(CancelContext, Group); 2] {
    [
        ErrGroup::with_context(&CancelContext::new()),
        ErrGroup::with_grace(&CancelContext::new(), || ready(())),
    ]
}

/// A way to find a group empty by reference; true if it says so.
type Reap<G> = fn(&Root, &mut G) -> bool;

const REAPS: &[(&str, Reap<Group>)] = &[
    ("next", |root, group| {
        root.poll_new(group.next()) == Poll::Ready(None)
    }),
    ("results", |root, group| {
        root.poll_new(group.results().next()) == Poll::Ready(None)
    }),
    (".await", |root, group| {
        root.poll(group) == Poll::Ready(Ok(()))
    }),
];

fn kind(context: &CancelContext) -> Option<CancelKind> {
    context.reason().map(|reason| reason.kind())
}

// R7, C5

#[test]
fn a_graceful_group_that_is_found_empty_stays_open() {
    for (name, reap) in REAPS {
        for (context, mut group) in graceful() {
            let root = Root::new();
            let spawner = group.spawner();
            for round in 0..3 {
                assert!(reap(&root, &mut group), "{name}");
                assert!(!spawner.is_closed(), "{name}");
                assert_eq!(kind(&context), None, "{name}");
                // Whoever spawns it, it runs.
                group.spawn(ready(Ok(round)));
                assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Ok(round))));
                spawner.spawn(ready(Ok(round)));
                assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Ok(round))));
                assert!(group.try_spawn(ready(Ok(round))).is_ok(), "{name}");
                assert!(spawner.try_spawn(ready(Ok(round))).is_ok(), "{name}");
                assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
            }
        }
    }
}

#[test]
fn tasks_of_a_group_that_was_found_empty_see_the_context() {
    for (name, reap) in REAPS {
        let (context, mut group) = ErrGroup::with_context(&CancelContext::new());
        let root = Root::new();
        assert!(reap(&root, &mut group), "{name}");
        let listener = context.cancelled();
        group.spawn(async move {
            assert_eq!(listener.await.kind(), CancelKind::TaskFailed);
            Ok(0)
        });
        group.spawn(ready(Err("no".into())));
        assert_eq!(run(&mut group), Err("no".into()), "{name}");
        assert_eq!(kind(&context), Some(CancelKind::TaskFailed));
    }
}

#[test]
fn it_closes_when_its_context_is_cancelled_and_everything_has_ended() {
    for (name, reap) in REAPS {
        let (context, mut group) = ErrGroup::with_context(&CancelContext::new());
        let root = Root::new();
        let spawner = group.spawner();
        assert!(reap(&root, &mut group), "{name}");
        let probe = Probe::new();
        group.spawn(probe.task());
        assert!(root.poll_new(group.next()).is_pending());
        context.cancel();
        assert!(root.poll_new(group.next()).is_pending());
        // It is not over, and takes tasks.
        assert!(!spawner.is_closed(), "{name}");
        probe.finish(Ok(1));
        assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Ok(1))));
        assert!(reap(&root, &mut group), "{name}");
        assert!(spawner.is_closed(), "{name}");
        let late = Probe::new();
        group.spawn(late.task());
        spawner.spawn(late.task());
        assert_eq!(
            (late.drops(), late.polls(), group.len()),
            (2, 0, 0),
            "{name}"
        );
        assert!(!group.try_spawn(ready(Ok(1))).unwrap_err().is_full());
        assert!(reap(&root, &mut group), "{name}");
        assert_eq!(kind(&context), Some(CancelKind::Cancelled), "{name}");
    }
}

#[test]
fn an_empty_group_closes_when_it_is_found_empty_after_the_cancel() {
    for (name, reap) in REAPS {
        for (context, mut group) in graceful() {
            let root = Root::new();
            assert!(reap(&root, &mut group), "{name}");
            context.cancel();
            assert!(reap(&root, &mut group), "{name}");
            assert!(group.spawner().is_closed(), "{name}");
        }
    }
}

#[test]
fn a_failed_graceful_group_is_closed_for_good_when_its_failure_was_handed_over() {
    for (name, reap) in REAPS {
        let (context, mut group) = ErrGroup::with_context(&CancelContext::new());
        let root = Root::new();
        assert!(reap(&root, &mut group), "{name}");
        group.spawn(ready(Err("no".into())));
        assert_eq!(root.poll(&mut group), Poll::Ready(Err("no".into())));
        assert!(group.spawner().is_closed(), "{name}");
        assert_eq!(kind(&context), Some(CancelKind::TaskFailed));
        assert!(reap(&root, &mut group), "{name}");
    }
}

#[test]
fn errors_that_next_yields_leave_a_graceful_group_open() {
    for (context, mut group) in graceful() {
        let root = Root::new();
        group.spawn(ready(Err("no".into())));
        assert_eq!(
            root.poll_new(group.next()),
            Poll::Ready(Some(Err("no".into())))
        );
        assert_eq!(root.poll_new(group.next()), Poll::Ready(None));
        assert_eq!(kind(&context), None);
        group.spawn(ready(Ok(1)));
        assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Ok(1))));
    }
}

#[test]
fn a_finisher_ends_the_context_of_a_group_that_was_found_empty_before() {
    type Finish = fn(Group) -> usize;
    let finishes: [Finish; 4] = [
        |group| run(group.collect()).unwrap().len(),
        |group| run(group.wait_all()).unwrap().len(),
        |group| run(group.settle()).len(),
        |group| run(group.first_ok()).unwrap(),
    ];
    for (name, reap) in REAPS {
        for finish in finishes {
            for (context, mut group) in graceful() {
                assert!(reap(&Root::new(), &mut group), "{name}");
                group.spawn(ready(Ok(1)));
                assert_eq!(finish(group), 1, "{name}");
                assert_eq!(kind(&context), Some(CancelKind::Finished), "{name}");
            }
        }
        for (context, mut group) in graceful() {
            assert!(reap(&Root::new(), &mut group), "{name}");
            drop(group);
            assert_eq!(kind(&context), Some(CancelKind::Finished), "{name}");
        }
    }
}

#[test]
fn results_and_groups_are_terminated_only_until_something_is_spawned() {
    use futures::future::FusedFuture;
    use futures::stream::FusedStream;

    for (_context, mut group) in graceful() {
        let root = Root::new();
        assert_eq!(root.poll_new(group.results().next()), Poll::Ready(None));
        assert!(group.results().is_terminated() && group.is_terminated());
        group.spawn(ready(Ok(1)));
        assert!(!group.results().is_terminated() && !group.is_terminated());
        assert_eq!(
            root.poll_new(group.results().next()),
            Poll::Ready(Some(Ok(1)))
        );
        assert!(!group.results().is_terminated());
    }
}

// H3

type Units = ErrGroup<'static, (), Fail>;

/// All kinds of groups.
fn units() -> [(&'static str, Units); 4] {
    [
        ("new", ErrGroup::new()),
        ("keep_going", ErrGroup::new().keep_going()),
        (
            "with_context",
            ErrGroup::with_context(&CancelContext::new()).1,
        ),
        (
            "with_grace",
            ErrGroup::with_grace(&CancelContext::new(), || ready(())).1,
        ),
    ]
}

const UNIT_REAPS: &[(&str, Reap<Units>)] = &[
    ("next", |root, group| {
        root.poll_new(group.next()) == Poll::Ready(None)
    }),
    ("results", |root, group| {
        root.poll_new(group.results().next()) == Poll::Ready(None)
    }),
    (".await", |root, group| {
        root.poll(group) == Poll::Ready(Ok(()))
    }),
];

#[test]
fn background_tasks_outlive_a_reap_through_a_reference() {
    for (name, reap) in UNIT_REAPS {
        for (kind, mut group) in units() {
            let root = Root::new();
            let heartbeat = Probe::<Result<(), Fail>>::new();
            group.spawner().spawn_background(heartbeat.task());
            for round in 1..4 {
                assert!(reap(&root, &mut group), "{kind}, {name}");
                assert_eq!(heartbeat.drops(), 0, "{kind}, {name}, round {round}");
                heartbeat.wake_if_polled();
                group.spawn(ready(Ok(())));
                assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Ok(()))));
            }
            // It is alive: it is polled when it is woken, and its error fails the group.
            let polls = heartbeat.polls();
            assert_ne!(polls, 0, "{kind}, {name}");
            heartbeat.finish(Err("stopped".into()));
            let fails = group.drive(pending::<()>());
            if kind == "keep_going" {
                drop(fails);
                assert_eq!(
                    root.poll_new(group.next()),
                    Poll::Ready(Some(Err("stopped".into())))
                );
            } else {
                assert_eq!(root.poll_new(fails), Poll::Ready(None), "{kind}, {name}");
                assert_eq!(run(group), Err("stopped".into()), "{kind}, {name}");
            }
        }
    }
}

impl<R> WakeIfPolled for Probe<R> {
    fn wake_if_polled(&self) {
        if self.polls() > 0 {
            self.wake();
        }
    }
}

trait WakeIfPolled {
    fn wake_if_polled(&self);
}

#[test]
fn a_group_with_background_tasks_alone_is_empty_and_wakes_nobody() {
    for (name, reap) in UNIT_REAPS {
        for (kind, mut group) in units() {
            let root = Root::new();
            let polls = Default::default();
            group.spawner().spawn_background(restless(&polls));
            // However often it wakes itself.
            assert!(reap(&root, &mut group), "{kind}, {name}");
            assert_eq!(group.len(), 0, "{kind}, {name}");
            assert!(reap(&root, &mut group), "{kind}, {name}");
        }
    }
}

#[test]
fn background_tasks_are_dropped_when_a_finisher_or_a_drop_ends_the_group() {
    type Finish = fn(Units);
    let finishes: [Finish; 5] = [
        |group| _ = run(group.collect()),
        |group| _ = run(group.wait_all()),
        |group| _ = run(group.settle()),
        |group| _ = run(group.first_ok()),
        drop,
    ];
    for finish in finishes {
        for (kind, mut group) in units() {
            let root = Root::new();
            let heartbeat = Probe::<Result<(), Fail>>::new();
            group.spawner().spawn_background(heartbeat.task());
            assert_eq!(root.poll_new(group.next()), Poll::Ready(None));
            finish(group);
            assert_eq!(heartbeat.drops(), 1, "{kind}");
        }
    }
}

#[test]
fn background_tasks_are_dropped_by_a_reap_when_the_context_is_cancelled() {
    for (name, reap) in UNIT_REAPS {
        let (context, mut group) = ErrGroup::with_context(&CancelContext::new());
        let root = Root::new();
        let heartbeat = Probe::<Result<(), Fail>>::new();
        group.spawner().spawn_background(heartbeat.task());
        assert!(reap(&root, &mut group), "{name}");
        context.cancel();
        assert!(reap(&root, &mut group), "{name}");
        // The group is over, for good.
        assert_eq!(heartbeat.drops(), 1, "{name}");
        assert!(group.spawner().is_closed(), "{name}");
    }
}

// R7, R12

/// A server in miniature: connections, and a signal. It reaps before the first client comes.
#[test]
fn a_server_that_selects_over_a_graceful_group_serves_whoever_comes() {
    for grace in [false, true] {
        let parent = CancelContext::new();
        let (context, mut group) = if grace {
            ErrGroup::<usize, Fail>::with_grace(&parent, pending::<()>)
        } else {
            ErrGroup::with_context(&parent)
        };
        let (mut connect, mut accept) = mpsc::channel::<usize>(8);
        let root = Root::new();
        let mut served = Vec::new();
        let mut server = Box::pin(async {
            let mut stop = context.cancelled();
            loop {
                let mut results = group.results();
                select! {
                    outcome = results.next() => match outcome {
                        Some(outcome) => served.push(outcome.unwrap()),
                        // Nobody is there: wait without it.
                        None => select! {
                            client = accept.next() => group.spawn(serve(client.unwrap())),
                            _ = stop => break,
                        },
                    },
                    client = accept.next() => group.spawn(serve(client.unwrap())),
                    _ = stop => break,
                }
            }
            while let Some(outcome) = group.next().await {
                served.push(outcome.unwrap());
            }
            assert!(group.spawner().is_closed());
        });
        assert!(root.poll(&mut server).is_pending());
        for client in 0..5 {
            connect.try_send(client).unwrap();
            for _ in 0..10 {
                assert!(root.poll(&mut server).is_pending());
            }
        }
        parent.cancel();
        root.run(server.as_mut());
        drop(server);
        served.sort_unstable();
        assert_eq!(served, [0, 1, 2, 3, 4], "grace: {grace}");
    }

    async fn serve(client: usize) -> Result<usize, Fail> {
        crate::common::yields(client).await;
        Ok(client)
    }
}

#[test]
fn a_server_that_drives_a_graceful_group_and_reaps_it_serves_whoever_comes() {
    let (context, mut group) = ErrGroup::<usize, Fail>::with_context(&CancelContext::new());
    let (mut connect, mut accept) = mpsc::channel::<usize>(8);
    let mut served = Vec::new();
    (0..5).for_each(|client| connect.try_send(client).unwrap());
    run(async {
        // Between two clients everything that has ended is reaped.
        while let Some(Some(client)) = group.drive(accept.next()).await {
            while let Some(outcome) = group.next().await {
                served.push(outcome.unwrap());
            }
            group.spawn(ready(Ok(client)));
            if client == 4 {
                connect.close_channel();
            }
        }
        assert_eq!(kind(&context), None);
        while let Some(outcome) = group.next().now_or_never().flatten() {
            served.push(outcome.unwrap());
        }
    });
    assert_eq!(served, [0, 1, 2, 3, 4]);
}

// R13: the scope of a context takes tasks until its body has ended, however empty it was.

#[test]
fn a_scope_in_a_context_takes_tasks_after_it_was_empty() {
    let context = CancelContext::new();
    let value = run(errgroup::scope_in(
        &context,
        pending::<()>,
        async |s: ErrSpawner<'_, (), Fail>, _| {
            crate::common::yields(3).await;
            let first = s.spawn_with_handle(ready(Ok(1))).await?;
            crate::common::yields(3).await;
            Ok(first + s.spawn_with_handle(ready(Ok(2))).await?)
        },
    ));
    assert_eq!(value, Ok(3));
}
