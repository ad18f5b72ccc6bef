//! Faults of what is not ours, in tables: wherever code of the user runs, it panics, panics while
//! the thread unwinds, or goes on to what called it. Each row counts what it made: every future,
//! value, error, cause and payload is dropped once.
//!
//! Other modules have the rest:
//!
//! - polls and destructors of tasks: `panics`, `misuse`; after `abort_all`: `abort_panics`;
//! - wakers that panic in `clone`, `wake` and `drop`: `panics_odd`, `semaphore`, `context`;
//! - wakers that go on to other contexts: `context_wakers`; to the group: `misuse`;
//! - deadlines, triggers: `context_deadline`; a grace, `cause_from`: `grace`, `panics_odd`;
//! - `E::from`, subscribers: `panics_odd`;
//! - a million tasks that do nothing wrong, and deep nests: `scale`, in `tests/alloc`;
//! - runtimes that go down: `on_tokio` and `executors`, in `suites`.
//!
//! What a caller has in his own hands is as it is with `std`: a `Vec` or an [`Errors`] of two
//! things whose destructors both panic aborts the process, and so does an `async` block.
//!
//! [`Errors`]: errgroup::Errors

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::future::{Future, pending, ready};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use crate::common::{Fail, OnDrop, Probe, Root, run, yields};
use errgroup::{
    CancelContext, CancelKind, Cancelled, ErrGroup, ErrSpawner, Panicked, Started,
    buffer_unordered, buffered, scope, try_for_each_stream, try_map_stream,
};
use futures::stream::{self, Stream, StreamExt};

// What is counted

/// How many things there are that were made with it, and how many of them were dropped.
#[derive(Clone, Default)]
struct Tally(Arc<[AtomicUsize; 2]>);

impl Tally {
    /// Something that panics when it is dropped.
    fn loud(&self) -> Loud {
        self.0[0].fetch_add(1, SeqCst);
        Loud(self.clone())
    }

    /// A payload that panics when it is dropped.
    fn evil(&self) -> Evil {
        self.0[0].fetch_add(1, SeqCst);
        Evil(self.clone())
    }

    /// A task that never ends, and panics when it is dropped.
    fn task<R: Send + 'static>(&self) -> impl Future<Output = R> + Send + Unpin + 'static + use<R> {
        self.after(pending())
    }

    /// A task that panics when it is dropped.
    fn after<F: Future + Unpin>(&self, future: F) -> After<F> {
        After(future, self.loud())
    }

    fn made(&self) -> usize {
        self.0[0].load(SeqCst)
    }

    fn dropped(&self) -> usize {
        self.0[1].load(SeqCst)
    }

    #[track_caller]
    fn is_even(&self, name: &str) {
        assert_eq!(self.dropped(), self.made(), "{name}");
        assert_ne!(self.made(), 0, "{name}");
    }
}

/// A value, an error or a cause. The payload of its panic is as bad as it is.
struct Loud(Tally);

impl Drop for Loud {
    fn drop(&mut self) {
        self.0.0[1].fetch_add(1, SeqCst);
        resume_unwind(Box::new(self.0.evil()));
    }
}

impl fmt::Debug for Loud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Loud")
    }
}

impl fmt::Display for Loud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("loud")
    }
}

impl Error for Loud {}

struct Evil(Tally);

impl Drop for Evil {
    fn drop(&mut self) {
        self.0.0[1].fetch_add(1, SeqCst);
        resume_unwind(Box::new("payload"));
    }
}

struct After<F>(
    F,
    #[allow(dead_code, reason = "it is there to be dropped")] Loud,
);

impl<F: Future + Unpin> Future for After<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

struct Noisy<S>(
    S,
    #[allow(dead_code, reason = "it is there to be dropped")] Loud,
);

impl<F: Stream + Unpin> Stream for Noisy<F> {
    type Item = F::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Item>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}

/// An error that is loud, or says where it comes from.
#[derive(Debug)]
enum Bad {
    Loud(#[allow(dead_code, reason = "it is there to be dropped")] Loud),
    Cancelled(#[allow(dead_code, reason = "it may be the last to have the cause")] Cancelled),
    Panicked(#[allow(dead_code, reason = "it has the payload")] Panicked),
}

impl From<Cancelled> for Bad {
    fn from(reason: Cancelled) -> Self {
        Bad::Cancelled(reason)
    }
}

impl From<Panicked> for Bad {
    fn from(panicked: Panicked) -> Self {
        Bad::Panicked(panicked)
    }
}

type Payload = Box<dyn Any + Send>;

/// Drops a payload, whatever that does.
fn calm(payload: Payload) {
    let mut next = Some(payload);
    while let Some(payload) = next {
        next = catch_unwind(AssertUnwindSafe(|| drop(payload))).err();
    }
}

/// Whether `f` gives something; what it panics with is dropped.
fn caught<R>(f: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(f)).map_err(calm).ok()
}

/// A name, and what is under it.
type Row<R> = (&'static str, R);

/// Runs `body` for each row in a process of its own, as what it tests for is an abort. `test` is the
/// name of the test that calls this.
fn each_alone<R>(test: &str, rows: &[Row<R>], body: impl Fn(&str, &R)) {
    each_alone_in(module_path!(), test, rows, body);
}

fn each_alone_in<R>(module: &str, test: &str, rows: &[Row<R>], body: impl Fn(&str, &R)) {
    const ROW: &str = "ERRGROUP_TEST_ROW";
    if let Some(row) = std::env::var_os(ROW) {
        let row = rows.iter().find(|(name, _)| row == *name).unwrap();
        return body(row.0, &row.1);
    }
    let (_crate, module) = module.split_once("::").unwrap();
    let mut failed = Vec::new();
    for (name, _) in rows {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("{module}::{test}"), "--test-threads=1"])
            .env(ROW, name)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&child.stdout);
        assert!(text.contains("running 1 test"), "{text}");
        if !child.status.success() {
            let errors = String::from_utf8_lossy(&child.stderr);
            failed.push(format!("{name}: {}\n{text}{errors}", child.status));
        }
    }
    assert!(
        failed.is_empty(),
        "{} rows:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

// P1, P5: what is kept for somebody is dropped while the thread unwinds

/// Whatever has something of the user inside when it is dropped.
type Keeper = Box<dyn Any>;

fn group_with<T: Send + 'static>(
    tally: &Tally,
    make: impl Fn(&Tally) -> Result<T, Bad>,
) -> ErrGroup<'static, T, Bad> {
    let mut group = ErrGroup::new().keep_going();
    group.extend((0..3).map(|_| ready(make(tally))));
    assert_eq!(run(group.drive(yields(1))), Some(()));
    group
}

fn unit_group() -> ErrGroup<'static, (), Bad> {
    ErrGroup::new()
}

/// Polls once, and keeps it.
fn polled<F: Future + 'static>(future: F) -> Keeper {
    let mut future = Box::pin(future);
    assert!(Root::new().poll(&mut future).is_pending());
    Box::new(future)
}

/// A stream of numbers that does not end.
fn source(tally: &Tally) -> impl Stream<Item = usize> + Unpin + use<> {
    let numbers = stream::iter(0..4).chain(stream::pending());
    Noisy(numbers, tally.loud())
}

/// Is ready; or, if there is no output, never ends and panics when it is dropped.
fn ready_or_not<R: Send + 'static>(
    tally: &Tally,
    output: Option<R>,
) -> Pin<Box<dyn Future<Output = R> + Send>> {
    match output {
        Some(output) => Box::pin(ready(output)),
        None => Box::pin(tally.task()),
    }
}

fn loud_cause(tally: &Tally) -> Box<dyn Error + Send + Sync> {
    Box::new(tally.loud())
}

type MakeKeeper = fn(&Tally) -> Keeper;

const KEEPERS: &[Row<MakeKeeper>] = &[
    ("values of a group", |tally| {
        Box::new(group_with(tally, |tally| Ok(tally.loud())))
    }),
    ("errors of a group", |tally| {
        Box::new(group_with::<()>(tally, |tally| {
            Err(Bad::Loud(tally.loud()))
        }))
    }),
    ("payloads as errors of a group", |tally| {
        let mut group = unit_group().keep_going().catch_panics();
        for _ in 0..3 {
            let evil = tally.evil();
            group.spawn(async move { resume_unwind(Box::new(evil)) });
        }
        assert_eq!(run(group.drive(yields(1))), Some(()));
        Box::new(group)
    }),
    (
        "running, queued, named, abortable, starting and background tasks",
        |tally| {
            let mut group = unit_group().limit(3);
            let spawner = group.spawner();
            for _ in 0..3 {
                group.spawn(tally.task());
                group.spawn_named("name", tally.task());
                group.spawn_background(tally.task());
                drop(group.spawn_abortable(tally.task()));
                drop(group.spawn_with_handle::<Loud, _>(tally.task()));
                let start = Box::pin(spawner.start(|started: Started<Loud>| {
                    let task = tally.task();
                    async move {
                        let _started = started;
                        task.await
                    }
                }));
                assert!(Root::new().poll(&mut { start }).is_pending());
            }
            assert!(Root::new().poll(&mut group).is_pending());
            // In the mail.
            (0..3).for_each(|_| spawner.spawn(tally.task()));
            Box::new((group, spawner))
        },
    ),
    ("the value of a handle", |tally| {
        let mut group = unit_group();
        let value = tally.loud();
        let handle = group.spawn_with_handle(async { Ok(value) });
        assert!(run(group).is_ok());
        Box::new(handle)
    }),
    ("the reason of a handle", |tally| {
        let context = CancelContext::new();
        context.cancel_with(loud_cause(tally));
        let (_context, mut group) = ErrGroup::<(), Bad>::with_grace(&context, || ready(()));
        let handle = group.spawn_with_handle(pending::<Result<(), Bad>>());
        assert!(caught(|| run(&mut group)).unwrap().is_err());
        drop((group, context));
        Box::new(handle)
    }),
    ("the value of a start", |tally| {
        let mut group = unit_group();
        let spawner = group.spawner();
        let value = tally.loud();
        let mut start = Box::pin(async move {
            spawner
                .start(async move |started: Started<Loud>| {
                    started.ready(value);
                    Ok(())
                })
                .await
        });
        assert!(Root::new().poll(&mut start).is_pending());
        assert!(run(&mut group).is_ok());
        Box::new(start)
    }),
    ("the value of a body", |tally| {
        let value = tally.loud();
        polled(scope(async move |s: ErrSpawner<'_, (), Bad>| {
            s.spawn(pending());
            Ok(value)
        }))
    }),
    ("what is driven", |tally| {
        let mut group = unit_group();
        let task = tally.task::<()>();
        polled(async move { group.drive(task).await })
    }),
    ("what is to be driven", |tally| {
        let task = tally.task::<()>();
        let group = Box::leak(Box::new(unit_group()));
        Box::new(group.drive(task))
    }),
    ("what runs in a context", |tally| {
        let context = CancelContext::new();
        polled(context.run(tally.task::<()>()))
    }),
    ("what is to run in a context", |tally| {
        Box::new(CancelContext::new().run(tally.task::<()>()))
    }),
    ("a deadline and its cause", |tally| {
        Box::new(CancelContext::new().with_deadline_cause(tally.task::<()>(), loud_cause(tally)))
    }),
    ("a trigger", |tally| {
        let context = CancelContext::new().with_trigger(tally.task::<Loud>());
        polled(context.cancelled())
    }),
    ("deadlines below deadlines", |tally| {
        let context = CancelContext::new().with_deadline(tally.task::<()>());
        Box::new(context.with_deadline(tally.task::<()>()).child())
    }),
    ("the cause of a context", |tally| {
        let context = CancelContext::new();
        context.cancel_with(loud_cause(tally));
        Box::new(context)
    }),
    ("a reason", |tally| {
        let context = CancelContext::new();
        context.cancel_with(loud_cause(tally));
        Box::new(context.reason())
    }),
    ("the reason of a group", |tally| {
        let context = CancelContext::new();
        context.cancel_with(loud_cause(tally));
        let (context, mut group) = ErrGroup::<(), Bad>::with_grace(&context, || ready(()));
        group.spawn(pending());
        drop(context);
        assert!(!run(group.ready()));
        Box::new((group.spawner(), group))
    }),
    ("a grace", |tally| {
        let grace = tally.task::<()>();
        Box::new(ErrGroup::<(), Bad>::with_grace(
            &CancelContext::new(),
            || grace,
        ))
    }),
    ("a grace that runs", |tally| {
        let grace = tally.task::<()>();
        let (context, mut group) = ErrGroup::<(), Bad>::with_grace(&CancelContext::new(), || grace);
        group.spawn(tally.task());
        context.cancel();
        assert!(Root::new().poll(&mut group).is_pending());
        Box::new(group)
    }),
    ("the payload of a panic", |tally| {
        let mut group = ErrGroup::<(), Panicked>::new().catch_panics();
        let evil = tally.evil();
        group.spawn(async move { resume_unwind(Box::new(evil)) });
        Box::new(run(group).unwrap_err())
    }),
    ("all that a map has", |tally| {
        let (held, counts) = (tally.loud(), tally.clone());
        polled(try_map_stream(source(tally), 2, move |number| {
            let _held = &held;
            // The first never ends, so that the values of the others come too early.
            ready_or_not(&counts, (number > 0).then(|| Ok::<_, Bad>(counts.loud())))
        }))
    }),
    ("all that a map without values has", |tally| {
        let (held, counts) = (tally.loud(), tally.clone());
        polled(try_for_each_stream(source(tally), 2, move |number| {
            let _held = &held;
            ready_or_not(&counts, (number > 1).then_some(Ok::<_, Bad>(())))
        }))
    }),
    ("all that a buffer has", |tally| {
        let (held, counts) = (tally.loud(), tally.clone());
        let outputs = buffered(source(tally), 4, move |number| {
            let _held = &held;
            ready_or_not(&counts, (number > 0).then(|| counts.loud()))
        });
        polled(Box::pin(outputs).into_future())
    }),
    ("all that a buffer without order has", |tally| {
        let (held, counts) = (tally.loud(), tally.clone());
        let outputs = buffer_unordered(source(tally), 2, move |_| {
            let _held = &held;
            counts.after(pending::<()>())
        });
        polled(Box::pin(outputs).into_future())
    }),
];

#[test]
fn what_is_kept_is_dropped_once_also_while_the_thread_unwinds() {
    let test = "what_is_kept_is_dropped_once_also_while_the_thread_unwinds";
    each_alone(test, KEEPERS, |name, make| {
        for unwinds in [false, true] {
            let tally = Tally::default();
            let keeper = caught(|| make(&tally)).unwrap();
            let payload = catch_unwind(AssertUnwindSafe(move || {
                let _keeper = keeper;
                if unwinds {
                    resume_unwind(Box::new("the first"));
                }
            }));
            match payload {
                Err(payload) if unwinds => {
                    assert_eq!(payload.downcast_ref(), Some(&"the first"), "{name}");
                }
                payload => _ = payload.map_err(calm),
            }
            tally.is_even(name);
        }
    });
}

// P5: what is won is given, though what is left panics as it is dropped

/// Runs something whose result is on its way while what is left is dropped. Whether it was given.
type Win = fn(&Tally) -> bool;

const WINNERS: &[Row<Win>] = &[
    ("what is driven", |tally| {
        let mut group = unit_group();
        run(group.drive(tally.after(ready(7)))) == Some(7)
    }),
    ("a failure for what is driven", |tally| {
        let mut group = unit_group();
        let cause = tally.loud();
        group.spawn(async { Err(Bad::Loud(cause)) });
        let driven = run(group.drive(tally.task::<()>()));
        driven.is_none() && !is_ok(run(group))
    }),
    ("what runs in a context", |tally| {
        matches!(run(CancelContext::new().run(tally.after(ready(7)))), Ok(7))
    }),
    ("the reason for what runs in a context", |tally| {
        let context = CancelContext::new();
        context.cancel();
        run(context.run(tally.task::<()>())).is_err()
    }),
    ("the end of a deadline", |tally| {
        let context = CancelContext::new().with_deadline(tally.after(ready(())));
        run(context.cancelled()).is_deadline()
    }),
    ("the output of a deadline", |tally| {
        let output = tally.loud();
        let context = CancelContext::new().with_deadline(async { output });
        run(context.cancelled()).is_deadline()
    }),
    ("the end of a deadline with a cause", |tally| {
        let context = CancelContext::new();
        let context = context.with_deadline_cause(tally.after(ready(())), "late");
        run(context.cancelled()).is_deadline()
    }),
    ("the end of a trigger", |tally| {
        let context = CancelContext::new().with_trigger(tally.after(ready("stop")));
        run(context.cancelled()).cause().unwrap().to_string() == "stop"
    }),
    ("the failure of collect", |tally| {
        let group = group_with(tally, |tally| Ok(tally.loud()));
        !is_ok(run(with_error(group).collect()))
    }),
    ("the errors of wait_all", |tally| {
        let group = group_with(tally, |tally| Ok(tally.loud()));
        run(with_error(group).wait_all()).is_err()
    }),
    ("the value of first_ok", |tally| {
        let mut group = group_with(tally, |tally| Err(Bad::Loud(tally.loud())));
        group.spawn(ready(Ok(())));
        run(group.first_ok()).is_ok()
    }),
    ("the failure of a scope", |tally| {
        let value = tally.loud();
        run(scope(async |s: ErrSpawner<'_, (), &str>| {
            s.spawn(async {
                yields(1).await;
                Err("no")
            });
            Ok(value)
        }))
        .is_err_and(|error| error == "no")
    }),
    ("the failure for a body that is not called", |tally| {
        let mut group = ErrGroup::<(), &str>::new();
        group.spawn(ready(Err("no")));
        assert!(!run(group.ready()));
        let value = tally.loud();
        let scope = group.scope(async move |_| {
            let _value = value;
            Ok(())
        });
        run(scope) == Err("no")
    }),
    ("the values of a group with a grace", |tally| {
        let grace = tally.task::<()>();
        let (_, mut group) = ErrGroup::<_, Fail>::with_grace(&CancelContext::new(), || grace);
        group.spawn(ready(Ok(7)));
        run(group.collect()) == Ok(vec![7])
    }),
];

/// Adds an error that is quiet.
fn with_error<T: Send + 'static>(
    mut group: ErrGroup<'static, T, Bad>,
) -> ErrGroup<'static, T, Bad> {
    let reason = CancelContext::new();
    reason.cancel();
    group.spawn(ready(Err(reason.reason().unwrap().into())));
    group
}

/// Whether it went well; what is in it is dropped.
fn is_ok<T, E>(result: Result<T, E>) -> bool {
    let is_ok = result.is_ok();
    caught(|| drop(result));
    is_ok
}

#[test]
fn what_is_won_is_given_though_what_is_left_panics_as_it_is_dropped() {
    let test = "what_is_won_is_given_though_what_is_left_panics_as_it_is_dropped";
    each_alone(test, WINNERS, |name, wins| {
        let tally = Tally::default();
        assert_eq!(caught(|| wins(&tally)), Some(true), "{name}");
        tally.is_even(name);
    });
}

// P3, P5: payloads

#[test]
fn a_panic_whose_payload_panics_is_an_error_all_the_same() {
    // `Fail` is made of a panic without its payload, which is dropped then.
    let tally = Tally::default();
    let mut group = ErrGroup::<usize, Fail>::new().keep_going().catch_panics();
    let evil = tally.evil();
    group.spawn(async move { resume_unwind(Box::new(evil)) });
    group.spawn(tally.after(ready(Ok(1))));
    group.spawn(ready(Ok(2)));
    let aborted = group.spawn_abortable(tally.task());
    assert_eq!(run(group.drive(yields(1))), Some(()));
    aborted.abort();
    group.spawn(tally.task());
    let panicked = || Err(Fail::Panicked("?".into()));
    assert_eq!(run(group.next_indexed()), Some((0, panicked())));
    assert_eq!(run(group.next_indexed()), Some((1, panicked())));
    assert_eq!(run(group.next_indexed()), Some((2, Ok(2))));
    assert_eq!(run(group.next_indexed()), Some((3, panicked())));
    assert!(Root::new().poll_new(group.next()).is_pending());
    group.abort_all();
    assert_eq!(run(group.settle()), [panicked()]);
    tally.is_even("payloads");
}

#[test]
fn payloads_that_come_from_each_other_for_ever_do_not_hang() {
    struct Endless;

    impl Drop for Endless {
        fn drop(&mut self) {
            resume_unwind(Box::new(Endless));
        }
    }

    let mut group = ErrGroup::<(), Fail>::new();
    for _ in 0..3 {
        let guard = OnDrop(|| resume_unwind(Box::new(Endless)));
        group.spawn(async move {
            let _guard = guard;
            pending().await
        });
    }
    let payload = catch_unwind(AssertUnwindSafe(|| group.abort_all())).unwrap_err();
    assert!(payload.is::<Endless>());
    mem::forget(payload);
    let mut group = group.catch_panics();
    group.spawn(async { resume_unwind(Box::new(Endless)) });
    assert_eq!(run(group), Err(Fail::Panicked("?".into())));
}

// H1, P1
#[test]
fn the_value_of_a_handle_that_is_gone_is_dropped_though_its_task_panics_as_it_is_dropped() {
    let test =
        "the_value_of_a_handle_that_is_gone_is_dropped_though_its_task_panics_as_it_is_dropped";
    each_alone(test, &[("handle", ())], |name, ()| {
        let tally = Tally::default();
        let mut group = unit_group();
        let task = tally.after(ready(Ok(tally.loud())));
        drop(group.spawn_with_handle(task));
        assert!(caught(|| run(&mut group)).is_none());
        assert!(run(group).is_ok());
        tally.is_even(name);
    });
}

// C3, P5
#[test]
fn a_trigger_whose_cause_cannot_be_made_has_fired_all_the_same() {
    struct NoCause;

    impl From<NoCause> for Box<dyn Error + Send + Sync> {
        fn from(_: NoCause) -> Self {
            resume_unwind(Box::new("no cause"));
        }
    }

    let (fired, other) = (Probe::new(), Probe::<Result<(), Fail>>::new());
    let context = CancelContext::new().with_trigger(fired.task());
    let (child, mut group) = ErrGroup::<(), Fail>::with_context(&context);
    group.spawn(other.task());
    let root = Root::new();
    let mut waiting = child.cancelled();
    assert!(root.poll(&mut waiting).is_pending() && root.poll(&mut group).is_pending());
    fired.finish(NoCause);
    assert_ne!(root.wakes(), 0);
    let payload = catch_unwind(AssertUnwindSafe(|| root.poll(&mut group))).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"no cause"));
    let Poll::Ready(reason) = root.poll(&mut waiting) else {
        panic!("it has not fired");
    };
    assert_eq!((reason.kind(), fired.drops()), (CancelKind::Cancelled, 1));
    assert!(reason.cause().is_none());
    other.finish(Ok(()));
    assert_eq!(run(&mut group), Ok(()));
    assert!(group.is_closed());
}

// H3, R8: what destructors see

#[test]
fn destructors_that_run_while_tasks_are_dropped_see_the_others_counted() {
    type Group = ErrGroup<'static, (), Fail>;
    type Way = fn(&mut Group);
    /// A name, what makes tasks be dropped, who is, and who is running, queued and both then.
    type Counted = (&'static str, Way, &'static [&'static str], [usize; 3]);
    let rows: [Counted; 3] = [
        (
            "Group::abort_all",
            |group| group.abort_all(),
            &[
                "background",
                "running",
                "queued",
                "in the mail",
                "queued background",
            ],
            [0, 0, 0],
        ),
        (
            "Spawner::abort_all, and more tasks",
            |group| {
                group.spawner().abort_all();
                (0..3).for_each(|_| group.spawn(pending()));
                group.spawn_background(pending());
            },
            &[
                "background",
                "running",
                "queued",
                "in the mail",
                "queued background",
            ],
            [0, 3, 3],
        ),
        (
            "a failure",
            |group| group.spawn_background(ready(Err("no".into()))),
            &["queued", "in the mail", "last"],
            [1, 0, 1],
        ),
    ];
    for (name, way, dropped, expected) in rows {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (_context, group) = Group::with_context(&CancelContext::new());
        let mut group = group.limit(1);
        let spawner = group.spawner();
        let task = |what: &'static str| {
            let (spawner, seen) = (spawner.clone(), seen.clone());
            let guard = OnDrop(move || {
                let counts = [spawner.running(), spawner.queued(), spawner.len()];
                seen.lock().unwrap().push((what, counts));
            });
            async move {
                let _guard = guard;
                pending().await
            }
        };
        group.spawn_background(task("background"));
        group.spawn(task("running"));
        assert!(
            Root::new()
                .poll_new(group.drive(pending::<()>()))
                .is_pending()
        );
        group.spawn(task("queued"));
        spawner.spawn(task("in the mail"));
        if !dropped.contains(&"last") {
            group.spawn_background(task("queued background"));
        }
        way(&mut group);
        if dropped.contains(&"last") {
            // It comes after the one that fails, and is dropped before it starts.
            group.spawn_background(task("last"));
        }
        _ = Root::new().poll_new(group.drive(pending::<()>()));
        let mut seen = seen.lock().unwrap().split_off(0);
        let mut all: Vec<_> = dropped.iter().map(|what| (*what, expected)).collect();
        seen.sort_unstable();
        all.sort_unstable();
        assert_eq!(seen, all, "{name}");
    }
}

// P1, P3, P5: subscribers

#[cfg(feature = "tracing")]
mod subscribers {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    /// Panics at everything that is armed, time after time.
    struct Touchy;

    static ARMED: [AtomicBool; 5] = [const { AtomicBool::new(false) }; 5];

    fn arm(armed: &[usize]) {
        for (kind, flag) in ARMED.iter().enumerate() {
            flag.store(armed.contains(&kind), SeqCst);
        }
    }

    fn at(kind: usize) {
        if ARMED[kind].load(SeqCst) {
            resume_unwind(Box::new("subscriber"));
        }
    }

    impl Subscriber for Touchy {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            at(0);
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, _: &Event<'_>) {
            at(1);
        }

        fn enter(&self, _: &Id) {
            at(2);
        }

        fn exit(&self, _: &Id) {
            at(3);
        }

        fn try_close(&self, _: Id) -> bool {
            at(4);
            true
        }
    }

    /// What a subscriber panics at.
    const ROWS: &[Row<&[usize]>] = &[
        ("nothing", &[]),
        ("spans", &[0]),
        ("events", &[1]),
        ("entering", &[2]),
        ("leaving", &[3]),
        ("closing", &[4]),
        ("leaving and closing", &[3, 4]),
        ("everything", &[0, 1, 2, 3, 4]),
    ];

    fn task(tally: &Tally, number: usize) -> Pin<Box<dyn Future<Output = Unit> + Send>> {
        match number % 3 {
            0 => {
                let evil = tally.evil();
                Box::pin(async move { resume_unwind(Box::new(evil)) })
            }
            1 => Box::pin(tally.after(ready(Ok(())))),
            _ => Box::pin(tally.task()),
        }
    }

    type Unit = Result<(), Fail>;

    #[test]
    fn subscribers_that_panic_again_and_again_abort_nothing_and_take_no_task_along() {
        let test = "subscribers_that_panic_again_and_again_abort_nothing_and_take_no_task_along";
        each_alone_in(module_path!(), test, ROWS, |name, armed| {
            tracing::subscriber::set_global_default(Touchy).unwrap();
            for catches in [false, true] {
                for unwinds in [false, true] {
                    let tally = Tally::default();
                    let mut group = ErrGroup::<(), Fail>::new().keep_going().limit(8);
                    if catches {
                        group = group.catch_panics();
                    }
                    arm(armed);
                    for number in 0..12 {
                        caught(|| group.spawn(task(&tally, number)));
                    }
                    for _ in 0..40 {
                        caught(|| _ = Root::new().poll_new(group.drive(pending::<()>())));
                    }
                    let mut group = Some(group);
                    if unwinds {
                        caught(|| {
                            let _group = group.take();
                            resume_unwind(Box::new("the first"));
                        });
                    } else {
                        caught(|| group.as_mut().unwrap().abort_all());
                        arm(&[]);
                        let mut group = group.take().unwrap();
                        group.spawn(ready(Ok(())));
                        let results = run(group.settle());
                        assert_eq!(results.last(), Some(&Ok(())), "{name}");
                    }
                    arm(&[]);
                    tally.is_even(name);
                }
            }
        });
    }
}
