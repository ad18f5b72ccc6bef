//! What the feature `tracing` tells: a span around every task, and what becomes of each.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Once, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use crate::common::{Fail, OnDrop, Probe, Root, probes, run, yields};
use errgroup::{CancelContext, ErrGroup, LocalErrGroup, local_scope, scope};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Subscriber, info};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

type Unit = Result<(), Fail>;

#[test]
fn every_task_runs_in_a_span_with_group_index_and_name() {
    async fn task() -> Unit {
        info!("runs");
        yields(1).await;
        info!("goes on");
        Ok(())
    }

    let told = Told::by(|| {
        let mut group = ErrGroup::new();
        group.spawn(task());
        assert!(group.try_spawn(task()).is_ok());
        let s = group.spawner();
        s.spawn(task());
        assert!(s.try_spawn(task()).is_ok());
        s.spawn_named("writer", task());
        let handle = s.spawn_with_handle(task());
        assert_eq!(handle.index(), 5);
        s.spawn_named(String::from("reader"), task());
        group.extend([task(), task()]);
        let starter = s.clone();
        s.spawn(async move {
            starter.spawn_background(async {
                task().await?;
                pending().await
            });
            let start = starter.start(async |started| {
                info!("starts");
                started.ready(());
                task().await
            });
            start.await.unwrap();
            task().await
        });
        run(group).unwrap();
    });
    for (index, name) in [None, None, None, None, Some("writer"), None, Some("reader")]
        .into_iter()
        .chain([None; 5])
        .enumerate()
    {
        let task = Task {
            group: 0,
            index: index as u64,
            name: name.map(String::from),
        };
        let of_task = told.of(index);
        let runs: Vec<_> = of_task.iter().filter(|line| line.is("runs")).collect();
        assert_eq!(runs.len(), 1, "{task}: {of_task:?}");
        for line in &of_task {
            assert_eq!(line.task.as_ref(), Some(&task), "{line:?}");
        }
        assert!(of_task.iter().any(|line| line.is("goes on")), "{task}");
    }
    assert!(told.of(11).iter().any(|line| line.is("starts")));
    assert_eq!(told.count("spawned"), 12);
}

#[test]
fn span_and_events_have_their_names_levels_and_targets() {
    let told = Told::by(|| {
        let mut group = ErrGroup::new();
        group.spawn(ready(Unit::Ok(())));
        run(group).unwrap();
    });
    assert_eq!(told.spans(), [("errgroup.task", "errgroup", Level::INFO)]);
    for line in told.events() {
        assert_eq!((line.target, line.level), ("errgroup", Level::DEBUG));
    }
}

#[test]
fn name_is_known_when_the_span_is_made_and_is_a_string() {
    let told = Told::by(|| {
        let group = ErrGroup::<(), Fail>::new();
        group.spawner().spawn_named("a \"b\"", ready(Ok(())));
        run(group).unwrap();
    });
    let made = &told.0.iter().find(|line| line.is("[new]")).unwrap().task;
    assert_eq!(made.as_ref().unwrap().name.as_deref(), Some("a \"b\""));
    // Nothing is added later.
    assert_eq!(told.count("[record]"), 0);
}

#[test]
fn span_is_entered_in_every_poll_and_at_the_drop() {
    let told = Told::by(|| {
        let mut group = ErrGroup::new();
        group.spawn(async {
            let _guard = OnDrop(|| info!("destructor"));
            yields(2).await;
            Unit::Ok(())
        });
        run(group).unwrap();
        info!("outside");
    });
    assert_eq!(
        told.lines(),
        [
            "spawned 0",
            "0: [new]",
            "0: [enter]",
            "0: started",
            "0: [exit]",
            "0: [enter]",
            "0: [exit]",
            "0: [enter]",
            "0: destructor",
            "0: finished",
            "0: [exit]",
            // The empty future.
            "0: [enter]",
            "0: [exit]",
            "0: [close]",
            "outside",
        ]
    );
}

#[test]
fn destructors_run_in_the_span() {
    struct Late;
    impl Drop for Late {
        fn drop(&mut self) {
            info!("destructor");
        }
    }
    impl Future for Late {
        type Output = Unit;

        fn poll(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Unit> {
            std::task::Poll::Ready(Ok(()))
        }
    }

    // One that is done, one that was never started, one that is refused.
    let told = Told::by(|| {
        let mut group = ErrGroup::new();
        group.spawn(Late);
        run(&mut group).unwrap();
        group.spawn(Late);
        let s = group.spawner();
        drop(group);
        s.spawn(Late);
    });
    assert_eq!(
        told.lines(),
        [
            "spawned 0",
            "0: [new]",
            "0: [enter]",
            "0: started",
            "0: finished",
            "0: [exit]",
            "0: [enter]",
            "0: destructor",
            "0: [exit]",
            "0: [close]",
            "spawned 1",
            "1: [new]",
            "1: [enter]",
            "1: dropped",
            "1: destructor",
            "1: [exit]",
            "1: [close]",
            "destructor",
        ]
    );
}

#[test]
fn groups_have_numbers_of_their_own() {
    let told = Told::by(|| {
        for _ in 0..3 {
            let mut group = ErrGroup::new();
            group.spawn(ready(Unit::Ok(())));
            run(group).unwrap();
        }
    });
    let groups: Vec<_> = told
        .events()
        .filter(|line| line.is("started"))
        .map(|line| line.task.as_ref().unwrap().group)
        .collect();
    assert_eq!(groups, [0, 1, 2]);
    let spawned = told.events().filter(|line| line.is("spawned"));
    assert_eq!(spawned.map(|line| line.group).collect::<Vec<_>>(), groups);
}

#[test]
fn span_is_a_child_of_that_in_which_the_group_is_polled() {
    let told = Told::by(|| {
        let outer = scope(async |s| {
            s.spawn_named("outer", async {
                let mut inner = ErrGroup::new();
                inner.spawn(ready(Unit::Ok(())));
                inner.await
            });
            Unit::Ok(())
        });
        run(outer).unwrap();
    });
    let parents: Vec<_> = told.0.iter().filter(|line| line.is("[new]")).collect();
    assert_eq!(parents[0].parent, None);
    assert_eq!(parents[1].parent, parents[0].task);
}

#[test]
fn tasks_that_finish_and_fail_say_so() {
    let told = Told::by(|| {
        let mut group = ErrGroup::new().keep_going();
        group.spawn(ready(Ok(())));
        group.spawn(ready(Err("no")));
        group.spawn(async {
            yields(1).await;
            Err("no")
        });
        run(group).unwrap_err();
    });
    assert_eq!(
        told.end_of_each(),
        [(0, "finished"), (1, "failed"), (2, "failed")]
    );
    assert_eq!(
        told.text(),
        [
            "spawned 0",
            "spawned 1",
            "spawned 2",
            "0: started",
            "0: finished",
            "1: started",
            "1: failed",
            "2: started",
            "2: failed",
        ]
    );
}

// R5
#[test]
fn failure_drops_siblings_running_and_queued() {
    let told = Told::by(|| {
        let mut group = ErrGroup::<(), &str>::new().limit(2);
        group.spawn(pending());
        group.spawn(ready(Err("no")));
        group.spawn(pending());
        run(group).unwrap_err();
    });
    assert_eq!(
        told.text(),
        [
            "spawned 0",
            "spawned 1",
            "spawned 2",
            "0: started",
            "1: started",
            "1: failed",
            "0: dropped",
            "2: dropped",
        ]
    );
}

#[test]
fn dropping_the_group_drops_its_tasks() {
    let told = Told::by(|| {
        let mut group = ErrGroup::<(), Fail>::new().limit(1);
        group.spawn(pending());
        group.spawn(pending());
        group.spawner().spawn_named("third", pending());
        assert!(Root::new().poll(&mut group).is_pending());
        group.spawner().spawn(pending());
        drop(group);
    });
    assert_eq!(
        told.end_of_each(),
        [
            (0, "dropped"),
            (1, "dropped"),
            (2, "dropped"),
            (3, "dropped")
        ]
    );
}

#[test]
fn task_that_is_refused_tells_nothing() {
    let told = Told::by(|| {
        let mut group = ErrGroup::<(), &str>::new().limit(1);
        group.spawn(ready(Err("no")));
        let refused = group.try_spawn(ready(Ok(()))).unwrap_err();
        assert!(refused.is_full());
        let s = group.spawner();
        let refused_too = s.try_spawn(ready(Ok(()))).unwrap_err();
        assert!(refused_too.is_full());
        assert!(run(&mut group).is_err());

        // What was given back can be spawned.
        group.spawn(refused.into_inner());
        run(group).unwrap();
        s.spawn(ready(Ok(())));
        s.spawn_named("late", ready(Ok(())));
        assert!(s.try_spawn(ready(Ok(()))).is_err());
        drop(s.spawn_with_handle(ready(Ok(()))));
        s.spawn_background(ready(Ok(())));
        drop(refused_too.into_inner());
    });
    assert_eq!(
        told.text(),
        [
            "spawned 0",
            "0: started",
            "0: failed",
            "spawned 1",
            "1: started",
            "1: finished",
        ]
    );
}

// H2
#[test]
fn aborted_tasks_are_dropped_and_have_not_finished() {
    let told = Told::by(|| {
        let mut group = ErrGroup::<(), Fail>::new().limit(3);
        let s = group.spawner();
        s.spawn_background(ready(Ok(())));
        let running = s.spawn_with_handle(pending::<Unit>());
        let finished = s.spawn_with_handle(ready(Ok(7)));
        s.spawn(pending());
        s.spawn(pending());
        let queued = s.spawn_with_handle(ready(Ok(())));
        let root = Root::new();
        assert!(root.poll(&mut group).is_pending());
        running.abort();
        finished.abort();
        queued.abort();
        assert!(root.poll(&mut group).is_pending());
        assert!(running.is_finished() && queued.is_finished());
        group.abort_all();
        run(group).unwrap();
    });
    assert_eq!(
        told.end_of_each(),
        [
            (0, "finished"),
            (1, "dropped"),
            (2, "finished"),
            (3, "dropped"),
            (4, "dropped"),
            (5, "dropped"),
        ]
    );
}

// H2, H3: that a task has no outcome is still known where it matters.
#[test]
fn aborted_tasks_and_those_in_the_background_have_no_outcome() {
    let told = Told::by(|| {
        let mut group = ErrGroup::<(), Fail>::new();
        let s = group.spawner();
        s.spawn_with_handle(pending::<Unit>()).abort();
        s.spawn_background(ready(Ok(())));
        s.spawn(yields_then_ok());
        let running = s.spawn_with_handle(pending::<Unit>());
        assert!(Root::new().poll_new(group.next()).is_pending());
        running.abort();
        assert_eq!(run(group.settle()), [Ok(())]);
    });
    assert_eq!(
        told.end_of_each(),
        [
            (0, "dropped"),
            (1, "finished"),
            (2, "finished"),
            (3, "dropped")
        ]
    );
}

// H3
#[test]
fn tasks_in_the_background_are_dropped_at_the_end() {
    let told = Told::by(|| {
        run(scope(async |s| {
            s.spawn_background(pending());
            s.spawn_background(ready(Unit::Ok(())));
            s.spawn(yields_then_ok());
            Ok(())
        }))
        .unwrap();
    });
    assert_eq!(
        told.end_of_each(),
        [(0, "dropped"), (1, "finished"), (2, "finished")]
    );
}

async fn yields_then_ok() -> Unit {
    yields(1).await;
    Ok(())
}

// P2
#[test]
fn task_that_panics_has_failed() {
    let told = Told::by(|| {
        let mut group = ErrGroup::<(), Fail>::new();
        group.spawn(async {
            let _guard = OnDrop(|| info!("destructor"));
            panic!("no")
        });
        group.spawn(yields_then_ok());
        let root = Root::new();
        catch_unwind(AssertUnwindSafe(|| root.poll(&mut group))).unwrap_err();
        run(group).unwrap();
    });
    assert_eq!(told.end_of_each(), [(0, "failed"), (1, "finished")]);
    assert!(told.text().contains(&"0: destructor".into()));
    // The span was left, or what came later would be in it.
    assert!(told.text().contains(&"1: finished".into()));
}

// P3
#[test]
fn task_whose_panic_is_caught_has_failed() {
    let told = Told::by(|| {
        let mut group = ErrGroup::<(), Fail>::new().catch_panics();
        group.spawn(async { panic!("no") });
        group.spawn(pending());
        assert_eq!(run(group), Err(Fail::Panicked("no".into())));
    });
    assert_eq!(told.end_of_each(), [(0, "failed"), (1, "dropped")]);
}

/// A task that is done, and panics when it is dropped.
struct Grenade<R>(Option<R>);

impl<R: Unpin> Future for Grenade<R> {
    type Output = R;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<R> {
        std::task::Poll::Ready(self.0.take().unwrap())
    }
}

impl<R> Drop for Grenade<R> {
    fn drop(&mut self) {
        panic!("from a destructor");
    }
}

// P4
#[test]
fn outcome_of_a_task_whose_destructor_panics_is_told_and_not_lost() {
    let told = Told::by(|| {
        let mut group = ErrGroup::<u8, Fail>::new();
        group.spawn(Grenade(Some(Ok(1))));
        let root = Root::new();
        let drive = || root.poll_new(group.drive(pending::<()>()));
        catch_unwind(AssertUnwindSafe(drive)).unwrap_err();
        assert_eq!(run(group.collect()), Ok(vec![1]));
    });
    assert_eq!(told.end_of_each(), [(0, "finished")]);
}

#[test]
fn task_whose_destructor_panics_while_it_is_dropped_is_told_of() {
    let told = Told::by(|| {
        let mut group = ErrGroup::<u8, Fail>::new();
        group.spawn(Grenade(None));
        group.spawn(pending());
        catch_unwind(AssertUnwindSafe(|| drop(group))).unwrap_err();
    });
    assert_eq!(told.end_of_each(), [(0, "dropped"), (1, "dropped")]);
}

#[test]
fn cancelled_says_why_when_a_task_fails() {
    let told = Told::by(|| {
        let (_context, group) = ErrGroup::with_context(&CancelContext::new());
        let mut group = group.cause_from(|error: &&str| (*error).into());
        group.spawn(ready(Err("the disk is full")));
        group.spawn(ready(Ok(())));
        run(group).unwrap_err();
    });
    assert_eq!(
        told.text(),
        [
            "spawned 0",
            "spawned 1",
            "0: started",
            "0: failed",
            "cancelled: a task of the group failed: the disk is full",
            "1: dropped",
        ]
    );
}

#[test]
fn cancelled_says_that_it_came_from_outside() {
    let told = Told::by(|| {
        let parent = CancelContext::new();
        let (context, mut group) = ErrGroup::with_context(&parent);
        group.spawn(async move {
            context.cancelled().await;
            Unit::Ok(())
        });
        let root = Root::new();
        assert!(root.poll(&mut group).is_pending());
        parent.cancel();
        run(group).unwrap();
    });
    assert_eq!(
        told.text(),
        [
            "spawned 0",
            "0: started",
            "cancelled: cancelled",
            "0: finished",
        ]
    );
}

// G1
#[test]
fn grace_over_comes_before_what_is_dropped() {
    let told = Told::by(|| {
        let parent = CancelContext::new();
        let grace = Probe::new();
        let of_group = grace.clone();
        let (_context, mut group) = ErrGroup::with_grace(&parent, move || of_group.task());
        group.set_limit(1);
        group.spawn(pending::<Unit>());
        group.spawn(pending());
        let root = Root::new();
        assert!(root.poll(&mut group).is_pending());
        parent.cancel();
        assert!(root.poll(&mut group).is_pending());
        grace.finish(());
        run(group).unwrap_err();
    });
    assert_eq!(
        told.text(),
        [
            "spawned 0",
            "spawned 1",
            "0: started",
            "cancelled: cancelled",
            "grace over",
            "0: dropped",
            "1: dropped",
        ]
    );
    let groups: Vec<_> = told.events().map(|line| line.group).collect();
    assert_eq!(groups, [0; 7]);
}

// C5
#[test]
fn end_of_a_graceful_group_is_no_cancellation() {
    let told = Told::by(|| {
        let (context, mut group) = ErrGroup::with_context(&CancelContext::new());
        group.spawn(ready(Unit::Ok(())));
        run(group).unwrap();
        assert!(context.is_cancelled());
    });
    assert_eq!(told.text(), ["spawned 0", "0: started", "0: finished"]);
}

#[test]
fn every_task_that_was_spawned_ends_exactly_once() {
    let told = Told::by(|| {
        let probes = probes(40);
        let mut group = ErrGroup::<(), Fail>::new().keep_going().limit(30);
        let s = group.spawner();
        let mut handles = Vec::new();
        for (number, probe) in probes.iter().enumerate() {
            match number % 5 {
                0 => group.spawn(probe.task()),
                1 => s.spawn(probe.task()),
                2 => s.spawn_named("named", probe.task()),
                3 => s.spawn_background(probe.task()),
                _ => handles.push(s.spawn_with_handle(probe.task())),
            }
        }
        let root = Root::new();
        assert!(root.poll(&mut group).is_pending());
        for (number, probe) in probes.iter().enumerate().filter(|(_, p)| p.polls() > 0) {
            match number % 3 {
                0 => probe.finish(Ok(())),
                1 => probe.finish(Err(Fail::Text("no"))),
                _ => {}
            }
        }
        for handle in handles.iter().skip(2).step_by(2) {
            handle.abort();
        }
        assert!(root.poll(&mut group).is_pending());
    });
    let ends: Vec<_> = told.end_of_each().into_iter().map(|end| end.0).collect();
    assert_eq!(ends, (0..40).collect::<Vec<_>>());
    assert_eq!(told.count("[new]"), 40);
    assert_eq!(told.count("[close]"), 40);
    assert_eq!(told.count("[enter]"), told.count("[exit]"));
}

#[test]
fn local_groups_tell_the_same() {
    let told = Told::by(|| {
        let number = std::rc::Rc::new(1);
        let mut group = LocalErrGroup::new();
        let inner = number.clone();
        group.spawn(async move {
            assert_eq!(*inner, 1);
            Unit::Ok(())
        });
        run(group).unwrap();
        let named = local_scope(async |s| {
            s.spawn_named("local", ready(Unit::Ok(())));
            Ok(())
        });
        run(named).unwrap();
    });
    assert_eq!(
        told.text(),
        [
            "spawned 0",
            "0: started",
            "0: finished",
            "spawned 0",
            "0 local: started",
            "0 local: finished",
        ]
    );
}

#[test]
fn group_may_be_polled_and_dropped_on_other_threads() {
    let recorder = Recorder::default();
    let dispatch = Dispatch::new(Registry::default().with(recorder.clone()));
    let mut group = tracing::dispatcher::with_default(&dispatch, || {
        let mut group = ErrGroup::<(), Fail>::new();
        group.spawn(pending());
        group.spawn(yields_then_ok());
        assert!(Root::new().poll(&mut group).is_pending());
        group
    });
    let on_other = dispatch.clone();
    let group = thread::spawn(move || {
        tracing::dispatcher::with_default(&on_other, || {
            assert!(Root::new().poll(&mut group).is_pending());
            group
        })
    });
    let group = group.join().unwrap();
    // Its spans know where they belong, also where nobody listens.
    thread::spawn(move || drop(group)).join().unwrap();
    drop(dispatch);

    let told = recorder.told();
    assert!(told.text().contains(&"1: finished".into()));
    assert_eq!(told.count("[close]"), 2);
}

/// Any lock that is held while a subscriber is called is found here, because the subscriber takes
/// all of them.
#[test]
fn subscriber_is_never_called_under_a_lock() {
    expect_to_end(|| {
        for scenario in [fails, cancels, finishes, aborts, drops] {
            let recorder = Recorder::default();
            let hook = recorder.hook.clone();
            let calls = Arc::new(AtomicUsize::new(0));
            let subscriber = Registry::default().with(recorder);
            tracing::subscriber::with_default(subscriber, || {
                let parent = CancelContext::new();
                let grace = Probe::new();
                let of_group = grace.clone();
                let (context, group) = ErrGroup::with_grace(&parent, move || of_group.task());
                _ = hook.set(meddle(&group, &context, &calls));
                scenario(group, &parent, &grace);
            });
            // More than one each for spawned, new, enter, started, exit.
            assert!(calls.load(SeqCst) > 10, "it is not called at all");
        }
    });

    type Group = ErrGroup<'static, (), Fail>;

    fn meddle(group: &Group, context: &CancelContext, calls: &Arc<AtomicUsize>) -> Hook {
        let (s, context, calls) = (group.spawner(), context.clone(), calls.clone());
        let background = s.spawn_with_handle(ready(Ok(())));
        Box::new(move || {
            let call = calls.fetch_add(1, SeqCst);
            _ = (s.len(), s.queued(), s.running(), s.is_closed());
            _ = format!("{s:?} {context:?} {background:?}");
            drop(s.clone());
            s.set_limit(1 + call % 3);
            _ = Root::new().poll_new(s.ready());
            _ = (context.is_cancelled(), context.reason(), context.check());
            _ = Root::new().poll_new(context.cancelled());
            _ = (context.child().cancel(), background.is_finished());
            // Not for ever; but those that are refused take the locks, too.
            if call < 50 || s.is_closed() {
                s.spawn(yields_then_ok());
                s.spawn_named("from a subscriber", ready(Ok(())));
                s.spawn_background(pending());
                _ = s.try_spawn(ready(Ok(())));
                s.spawn_with_handle(pending::<Unit>()).abort();
            }
        })
    }

    fn spawn_some(group: &mut Group) {
        let s = group.spawner();
        group.spawn(yields_then_ok());
        assert!(group.try_spawn(yields_then_ok()).is_ok() || !group.is_empty());
        s.spawn(yields_then_ok());
        _ = s.try_spawn(yields_then_ok());
        s.spawn_named("named", yields_then_ok());
        s.spawn_background(pending());
    }

    fn fails(mut group: Group, _: &CancelContext, _: &Probe<()>) {
        spawn_some(&mut group);
        group.spawn(ready(Err(Fail::Text("no"))));
        spawn_some(&mut group);
        run(group).unwrap_err();
    }

    fn cancels(mut group: Group, parent: &CancelContext, grace: &Probe<()>) {
        spawn_some(&mut group);
        group.spawn(pending());
        let root = Root::new();
        assert!(root.poll(&mut group).is_pending());
        parent.cancel();
        assert!(root.poll(&mut group).is_pending());
        grace.finish(());
        run(group).unwrap_err();
    }

    fn finishes(mut group: Group, _: &CancelContext, _: &Probe<()>) {
        spawn_some(&mut group);
        run(group).unwrap();
    }

    fn aborts(mut group: Group, _: &CancelContext, _: &Probe<()>) {
        let s = group.spawner();
        let handles: Vec<_> = (0..9)
            .map(|_| s.spawn_with_handle(pending::<Unit>()))
            .collect();
        _ = Root::new().poll(&mut group);
        handles.iter().step_by(2).for_each(|handle| handle.abort());
        _ = Root::new().poll(&mut group);
        group.abort_all();
        run(group).unwrap();
    }

    fn drops(mut group: Group, _: &CancelContext, _: &Probe<()>) {
        spawn_some(&mut group);
        _ = Root::new().poll(&mut group);
        spawn_some(&mut group);
    }
}

/// A subscriber may also spawn into the very group that tells it something.
#[test]
fn what_a_subscriber_spawns_is_run() {
    let ran = Arc::new(AtomicUsize::new(0));
    let counted = ran.clone();
    expect_to_end(|| {
        let recorder = Recorder::default();
        let hook = recorder.hook.clone();
        tracing::subscriber::with_default(Registry::default().with(recorder), || {
            let mut group = ErrGroup::<(), Fail>::new();
            let (s, calls) = (group.spawner(), AtomicUsize::new(0));
            _ = hook.set(Box::new(move || {
                if calls.fetch_add(1, SeqCst) < 3 {
                    let ran = counted.clone();
                    s.spawn(async move {
                        ran.fetch_add(1, SeqCst);
                        Ok(())
                    });
                }
            }));
            group.spawn(ready(Ok(())));
            run(group).unwrap();
        });
    });
    assert_eq!(ran.load(SeqCst), 3);
}

/// Runs `f` on another thread, because it might hang.
#[track_caller]
fn expect_to_end(f: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        f();
        done.send(()).unwrap();
    });
    let end = is_done.recv_timeout(Duration::from_secs(30));
    assert_eq!(end, Ok(()), "it hangs, or has panicked");
}

/// What is called at everything that a recorder is told.
type Hook = Box<dyn Fn() + Send + Sync>;

/// Collects what it is told.
#[derive(Clone, Default)]
struct Recorder {
    lines: Arc<Mutex<Vec<Line>>>,
    hook: Arc<OnceLock<Hook>>,
}

/// What was told, in order, the groups numbered from 0 in the order in which they came up.
struct Told(Vec<Line>);

#[derive(Clone, Debug)]
struct Line {
    /// The message of an event, or one of `[new]`, `[enter]`, `[exit]`, `[record]`, `[close]`.
    what: String,
    /// The name of the span or event.
    name: &'static str,
    target: &'static str,
    level: Level,
    group: u64,
    index: Option<u64>,
    reason: Option<String>,
    cause: Option<String>,
    /// The task in whose span it was told.
    task: Option<Task>,
    /// Of a new span.
    parent: Option<Task>,
}

/// The fields of a span.
#[derive(Clone, Debug, PartialEq)]
struct Task {
    group: u64,
    index: u64,
    name: Option<String>,
}

impl Told {
    /// Runs `f`, and gives what is told meanwhile on this thread.
    fn by(f: impl FnOnce()) -> Told {
        // Somebody listens on every thread: while there is only one subscriber, a test that has none
        // and comes to an event first turns it off for all.
        static ON_ALL: Once = Once::new();
        ON_ALL.call_once(|| tracing::subscriber::set_global_default(Registry::default()).unwrap());
        let recorder = Recorder::default();
        tracing::subscriber::with_default(Registry::default().with(recorder.clone()), f);
        recorder.told()
    }

    fn events(&self) -> impl Iterator<Item = &Line> {
        self.0.iter().filter(|line| !line.what.starts_with('['))
    }

    fn lines(&self) -> Vec<String> {
        self.0.iter().map(Line::to_string).collect()
    }

    /// The events alone.
    fn text(&self) -> Vec<String> {
        self.events().map(Line::to_string).collect()
    }

    fn spans(&self) -> Vec<(&'static str, &'static str, Level)> {
        let new = self.0.iter().filter(|line| line.is("[new]"));
        new.map(|line| (line.name, line.target, line.level))
            .collect()
    }

    fn count(&self, what: &str) -> usize {
        self.0.iter().filter(|line| line.is(what)).count()
    }

    /// What was told in the span of this task.
    fn of(&self, index: usize) -> Vec<&Line> {
        let of = |line: &&Line| {
            line.task
                .as_ref()
                .is_some_and(|task| task.index == index as u64)
        };
        self.0.iter().filter(of).collect()
    }

    /// The last event of every task that was spawned. Checks that it is the only one of its kind,
    /// and that only one that was started comes to an end of its own.
    #[track_caller]
    fn end_of_each(&self) -> Vec<(u64, &'static str)> {
        let mut ends: BTreeMap<_, _> = self
            .events()
            .filter(|line| line.is("spawned"))
            .map(|line| (line.index.unwrap(), None))
            .collect();
        for (&index, end) in &mut ends {
            let of_task = self.of(index as usize);
            for kind in ["finished", "failed", "dropped"] {
                for _ in of_task.iter().filter(|line| line.is(kind)) {
                    assert_eq!(*end, None, "{kind}: {of_task:?}");
                    *end = Some(kind);
                }
            }
            let starts = of_task.iter().filter(|line| line.is("started")).count();
            assert!(starts == 1 || (starts == 0 && *end == Some("dropped")));
        }
        let told = |(index, end): (u64, Option<_>)| (index, end.expect("it ends"));
        ends.into_iter().map(told).collect()
    }
}

impl Line {
    fn is(&self, what: &str) -> bool {
        self.what == what
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(task) = &self.task {
            write!(f, "{}", task.index)?;
            if let Some(name) = &task.name {
                write!(f, " {name}")?;
            }
            write!(f, ": ")?;
        }
        write!(f, "{}", self.what)?;
        if let Some(index) = self.index {
            write!(f, " {index}")?;
        }
        for why in [&self.reason, &self.cause].into_iter().flatten() {
            write!(f, ": {why}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.index, self.group)
    }
}

impl Recorder {
    fn told(&self) -> Told {
        let mut lines = self.lines.lock().unwrap().clone();
        let mut numbers = BTreeMap::new();
        let mut number = |group: &mut u64| {
            let next = numbers.len() as u64;
            *group = *numbers.entry(*group).or_insert(next);
        };
        for line in &mut lines {
            for task in [&mut line.task, &mut line.parent].into_iter().flatten() {
                number(&mut task.group);
            }
            match &line.task {
                Some(task) => line.group = task.group,
                // What others tell outside of all spans belongs to no group.
                None if line.target == "errgroup" => number(&mut line.group),
                None => {}
            }
        }
        Told(lines)
    }

    fn tell(
        &self,
        what: impl Into<String>,
        metadata: &tracing::Metadata<'static>,
        fields: Fields,
        task: Option<Task>,
        parent: Option<Task>,
    ) {
        let line = Line {
            what: what.into(),
            name: metadata.name(),
            target: metadata.target(),
            level: *metadata.level(),
            group: fields.group.unwrap_or_default(),
            index: fields.index,
            reason: fields.reason,
            cause: fields.cause,
            task,
            parent,
        };
        self.lines.lock().unwrap().push(line);
        if let Some(hook) = self.hook.get() {
            hook();
        }
    }

    fn tell_of_span<S>(&self, what: &str, id: &Id, context: &Context<'_, S>)
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let span = context.span(id).unwrap();
        let task = span.extensions().get::<Task>().cloned();
        let parent = span
            .parent()
            .and_then(|parent| parent.extensions().get::<Task>().cloned());
        self.tell(what, span.metadata(), Fields::default(), task, parent);
    }
}

impl<S> Layer<S> for Recorder
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let task = Task {
            group: fields.group.expect("a span has a group"),
            index: fields.index.expect("a span has an index"),
            name: fields.name,
        };
        context.span(id).unwrap().extensions_mut().insert(task);
        self.tell_of_span("[new]", id, &context);
    }

    fn on_record(&self, id: &Id, _: &Record<'_>, context: Context<'_, S>) {
        self.tell_of_span("[record]", id, &context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let span = context.event_span(event);
        let task = span.and_then(|span| span.extensions().get::<Task>().cloned());
        let what = fields.message.take().unwrap();
        self.tell(what, event.metadata(), fields, task, None);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        self.tell_of_span("[enter]", id, &context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        self.tell_of_span("[exit]", id, &context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.tell_of_span("[close]", &id, &context);
    }
}

#[derive(Default)]
struct Fields {
    message: Option<String>,
    group: Option<u64>,
    index: Option<u64>,
    name: Option<String>,
    reason: Option<String>,
    cause: Option<String>,
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "group" => self.group = Some(value),
            "index" => self.index = Some(value),
            other => panic!("a number {other}"),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        assert_eq!(field.name(), "name");
        self.name = Some(value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = Some(format!("{value:?}")),
            "reason" => self.reason = Some(format!("{value:?}")),
            "cause" => self.cause = Some(format!("{value:?}")),
            other => panic!("a value {other}"),
        }
    }
}
