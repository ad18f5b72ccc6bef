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
use std::future::{Future, pending, poll_fn, ready};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use crate::common::{Fail, OnDrop, Probe, Root, on_wake, panics, poll_with, run, yields};
use errgroup::{
    CancelContext, CancelKind, Cancelled, ErrGroup, ErrSpawner, Panicked, Semaphore, Started,
    buffer_unordered, buffered, scope, try_for_each, try_for_each_stream, try_map, try_map_stream,
};
use futures::future::{FusedFuture, FutureExt};
use futures::stream::{self, FusedStream, Stream, StreamExt};

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

    /// Something that is only counted.
    fn quiet(&self) -> Quiet {
        self.0[0].fetch_add(1, SeqCst);
        Quiet(self.clone())
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

struct Quiet(Tally);

impl Drop for Quiet {
    fn drop(&mut self) {
        self.0.0[1].fetch_add(1, SeqCst);
    }
}

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

/// An error that panics when it is dropped, made of a payload that is a [`Tally`].
struct Noise(#[allow(dead_code, reason = "it is there to be dropped")] Loud);

impl From<Panicked> for Noise {
    fn from(panicked: Panicked) -> Self {
        let tally = panicked.into_payload().downcast::<Tally>();
        Noise(tally.unwrap().loud())
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
    ("tasks that run", |tally| {
        let mut group = unit_group();
        group.extend((0..3).map(|_| tally.task()));
        assert!(Root::new().poll(&mut group).is_pending());
        Box::new(group)
    }),
    ("tasks that wait", |tally| {
        let mut group = unit_group();
        group.extend((0..3).map(|_| tally.task()));
        Box::new(group)
    }),
    ("errors that aborted tasks have left", |tally| {
        let mut group = ErrGroup::<(), Noise>::new().catch_panics();
        for _ in 0..3 {
            let tally = tally.clone();
            let on_drop = OnDrop(move || resume_unwind(Box::new(tally.clone())));
            group.spawn(async move {
                let _on_drop = on_drop;
                Ok(())
            });
        }
        group.abort_all();
        Box::new(group)
    }),
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

// R4, S3, S4, C2: an executor that drops a future inside of `wake`

type Woken = Pin<Box<dyn Future<Output = ()> + Send>>;
type Act = Box<dyn FnOnce()>;

/// A future that pends, what wakes it, and what has to hold afterwards.
type Sleeper = fn(&Probe<Result<usize, Fail>>) -> (Woken, Act, Act);

fn group_of(probe: &Probe<Result<usize, Fail>>) -> ErrGroup<'static, usize, Fail> {
    let mut group = ErrGroup::new().limit(2);
    group.spawn(probe.task());
    group.spawn(pending());
    group.spawn(pending());
    group
}

fn finish(probe: &Probe<Result<usize, Fail>>) -> Act {
    let probe = probe.clone();
    Box::new(move || probe.finish(Ok(7)))
}

/// The probe was dropped with all the rest.
fn is_dropped(probe: &Probe<Result<usize, Fail>>) -> Act {
    let probe = probe.clone();
    Box::new(move || assert_eq!(probe.drops(), 1))
}

/// A group, and what else wakes it.
fn group_and(
    probe: &Probe<Result<usize, Fail>>,
    wake: impl FnOnce(&mut ErrGroup<'static, usize, Fail>) -> Act,
) -> (Woken, Act, Act) {
    let mut group = group_of(probe);
    let (wake, spawner) = (wake(&mut group), group.spawner());
    let is_dropped = is_dropped(probe);
    let after = Box::new(move || {
        is_dropped();
        assert!(spawner.is_closed() && spawner.is_empty());
        assert!(spawner.try_spawn(ready(Ok(1))).is_err());
    });
    (Box::pin(async { drop(group.await) }), wake, after)
}

const SLEEPERS: &[Row<Sleeper>] = &[
    ("a group and its task", |probe| {
        group_and(probe, |_| finish(probe))
    }),
    ("a group and its spawner", |probe| {
        group_and(probe, |group| {
            let spawner = group.spawner();
            Box::new(move || spawner.spawn(ready(Ok(1))))
        })
    }),
    ("a group and a change of its limit", |probe| {
        group_and(probe, |group| {
            let spawner = group.spawner();
            Box::new(move || spawner.set_limit(5))
        })
    }),
    ("a group and an abort of all", |probe| {
        group_and(probe, |group| {
            let spawner = group.spawner();
            Box::new(move || spawner.abort_all())
        })
    }),
    ("a group and an abort of one that runs", |probe| {
        group_and(probe, |group| {
            group.set_limit(3);
            let guard = group.spawn_abortable(pending()).abort_on_drop();
            Box::new(move || drop(guard))
        })
    }),
    ("a group and an abort of one that is queued", |probe| {
        group_and(probe, |group| {
            let handle = group.spawn_abortable(pending());
            Box::new(move || handle.abort())
        })
    }),
    ("a group that is kept open", |probe| {
        let mut group = ErrGroup::<usize, Fail>::new();
        let open = group.keep_open();
        let mut task = probe.task();
        let guarded = async move {
            drop((&mut group).await);
            drop(poll_fn(|cx| Pin::new(&mut task).poll(cx)).await);
        };
        (
            Box::pin(guarded),
            Box::new(move || drop(open)),
            is_dropped(probe),
        )
    }),
    ("a graceful group and its context", |probe| {
        let (context, mut group) =
            ErrGroup::<usize, Fail>::with_grace(&CancelContext::new(), pending::<()>);
        group.spawn(probe.task());
        let cancels = context.clone();
        let (is_dropped, is_cancelled) = (is_dropped(probe), context);
        (
            Box::pin(async { drop(group.await) }),
            Box::new(move || assert!(cancels.cancel())),
            Box::new(move || {
                is_dropped();
                assert_eq!(is_cancelled.reason().unwrap().kind(), CancelKind::Cancelled);
            }),
        )
    }),
    ("collect", |probe| {
        let group = group_of(probe);
        (
            Box::pin(async { drop(group.collect().await) }),
            finish(probe),
            is_dropped(probe),
        )
    }),
    ("next", |probe| {
        let mut group = group_of(probe);
        (
            Box::pin(async move { drop(group.next().await) }),
            finish(probe),
            is_dropped(probe),
        )
    }),
    ("ready", |probe| {
        let mut group = group_of(probe);
        (
            Box::pin(async move { _ = group.ready().await }),
            finish(probe),
            is_dropped(probe),
        )
    }),
    ("what is driven", |probe| {
        let mut group = ErrGroup::<usize, Fail>::new();
        group.spawn(pending());
        let task = probe.task();
        (
            Box::pin(async move { drop(group.drive(task).await) }),
            finish(probe),
            is_dropped(probe),
        )
    }),
    ("the body of a scope", |probe| {
        let task = probe.task();
        let scope = scope(async |s: ErrSpawner<'_, (), Fail>| {
            s.spawn(pending());
            task.await
        });
        (
            Box::pin(async { drop(scope.await) }),
            finish(probe),
            is_dropped(probe),
        )
    }),
    ("a handle", |probe| {
        let mut group = ErrGroup::<(), Fail>::new();
        let handle = group.spawn_with_handle(probe.task());
        assert!(Root::new().poll(&mut group).is_pending());
        let finish = finish(probe);
        let wake = Box::new(move || {
            finish();
            assert_eq!(run(group), Ok(()));
        });
        (
            Box::pin(async { drop(handle.await) }),
            wake,
            is_dropped(probe),
        )
    }),
    ("a start", |probe| {
        let mut group = ErrGroup::<(), Fail>::new();
        let (spawner, task) = (group.spawner(), probe.task());
        let start = async move {
            let up = spawner.start(async move |started: Started<usize>| {
                started.ready(task.await?);
                Ok(())
            });
            _ = up.await;
        };
        let finish = finish(probe);
        let wake = Box::new(move || {
            assert!(Root::new().poll(&mut group).is_pending());
            finish();
            assert_eq!(run(group), Ok(()));
        });
        (Box::pin(start), wake, is_dropped(probe))
    }),
    ("a wait for room", |probe| {
        let mut group = group_of(probe);
        let (spawner, other) = (group.spawner(), group.spawner());
        group.set_limit(3);
        assert!(Root::new().poll(&mut group).is_pending());
        let finish = finish(probe);
        let wake = Box::new(move || {
            finish();
            assert!(
                Root::new()
                    .poll_new(group.drive(pending::<()>()))
                    .is_pending()
            );
            assert_eq!((group.len(), run(other.ready())), (2, true));
        });
        (
            Box::pin(async move { _ = spawner.ready().await }),
            wake,
            is_dropped(probe),
        )
    }),
    ("a wait for a cancel", |_| {
        let context = CancelContext::new();
        let (waiting, below) = (context.cancelled(), context.child());
        let wake = Box::new(move || assert!(context.cancel()));
        let after = Box::new(move || assert!(below.is_cancelled()));
        (Box::pin(async { drop(waiting.await) }), wake, after)
    }),
    ("a wait for a deadline", |probe| {
        let context = CancelContext::new().with_deadline(probe.task());
        let waiting = context.cancelled();
        let after = Box::new(move || assert!(run(context.cancelled()).is_deadline()));
        (
            Box::pin(async { drop(waiting.await) }),
            finish(probe),
            after,
        )
    }),
    ("what runs in a context", |probe| {
        let run = CancelContext::new().run(probe.task());
        (
            Box::pin(async { drop(run.await) }),
            finish(probe),
            is_dropped(probe),
        )
    }),
    ("what runs in a context that is cancelled", |probe| {
        let context = CancelContext::new();
        let run = context.run(probe.task());
        let wake = Box::new(move || assert!(context.cancel()));
        (Box::pin(async { drop(run.await) }), wake, is_dropped(probe))
    }),
    ("a wait for a permit", |_| {
        let semaphore = Arc::new(Semaphore::new(1));
        let permit = semaphore.try_acquire_owned(1).unwrap();
        let waiting = semaphore.acquire_owned(1);
        let wake = Box::new(move || drop(permit));
        let after = Box::new(move || assert_eq!(semaphore.available(), 1));
        (Box::pin(async { drop(waiting.await) }), wake, after)
    }),
    ("a wait for more permits than are left", |_| {
        let semaphore = Arc::new(Semaphore::new(2));
        let permit = semaphore.try_acquire_owned(2).unwrap();
        let (waiting, other) = (semaphore.acquire_owned(2), semaphore.clone());
        let wake = Box::new(move || other.set_capacity(1));
        let after = Box::new(move || {
            drop(permit);
            assert_eq!(semaphore.available(), 1);
        });
        (Box::pin(async { drop(waiting.await) }), wake, after)
    }),
    ("a map", |probe| {
        let tasks = vec![probe.task()];
        let map = try_map(tasks, 2, |task| task);
        (
            Box::pin(async { drop(map.await) }),
            finish(probe),
            is_dropped(probe),
        )
    }),
    ("a map without values", |probe| {
        let map = try_for_each(vec![probe.task()], 2, |task| async { task.await.map(drop) });
        (
            Box::pin(async { drop(map.await) }),
            finish(probe),
            is_dropped(probe),
        )
    }),
    ("a map of a stream", |probe| {
        let items = Box::pin(stream::once(probe.task()));
        let map = try_map_stream(items, 2, ready);
        (
            Box::pin(async { drop(map.await) }),
            finish(probe),
            is_dropped(probe),
        )
    }),
    ("a buffer", |probe| {
        let mut outputs = Box::pin(buffered(stream::iter([probe.task()]), 2, |task| task));
        (
            Box::pin(async move { drop(outputs.next().await) }),
            finish(probe),
            is_dropped(probe),
        )
    }),
    ("a buffer without order", |probe| {
        let mut outputs = Box::pin(buffer_unordered(stream::iter([probe.task()]), 2, |task| {
            task
        }));
        (
            Box::pin(async move { drop(outputs.next().await) }),
            finish(probe),
            is_dropped(probe),
        )
    }),
];

#[test]
fn an_executor_may_drop_a_future_inside_of_wake() {
    for (name, make) in SLEEPERS {
        for (panics, unwinds) in [(false, false), (true, false), (false, true), (true, true)] {
            let probe = Probe::new();
            let (future, wake, after) = make(&probe);
            let place = Arc::new(Mutex::new(Some(future)));
            let in_waker = place.clone();
            let waker = on_wake(move || {
                let future = in_waker.lock().unwrap().take();
                drop(future);
                if panics {
                    resume_unwind(Box::new("wake"));
                }
            });
            let mut future = place.lock().unwrap().take().unwrap();
            assert!(poll_with(&mut future, &waker).is_pending(), "{name}");
            drop(waker);
            *place.lock().unwrap() = Some(future);
            let woken = caught(|| {
                if unwinds {
                    let mut wake = Some(wake);
                    // A panic of the waker itself would leave a destructor of this test.
                    let _guard = OnDrop(|| _ = caught(wake.take().unwrap()));
                    resume_unwind(Box::new("the first"));
                }
                wake();
            });
            assert_eq!(woken.is_none(), panics || unwinds, "{name}");
            assert!(place.lock().unwrap().is_none(), "{name}: it was not woken");
            after();
        }
    }
}

// M1, M2: streams, iterators and closures of maps

/// Where something panics, at the third item.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Next,
    /// The destructor of the stream, at its end.
    End,
    Call,
    Poll,
    /// The destructor of a future that is done.
    Done,
}

type Items = stream::BoxStream<'static, (usize, Quiet)>;
type Work = Pin<Box<dyn Future<Output = Result<Quiet, Fail>> + Send>>;
type Function = Box<dyn FnMut((usize, Quiet)) -> Work + Send>;

fn bang() -> ! {
    resume_unwind(Box::new("bang"))
}

fn items(tally: &Tally, at: At) -> Items {
    let (held, counts) = (tally.quiet(), tally.clone());
    let items = stream::iter(0..5).map(move |number| {
        let _held = &held;
        if (number, at) == (2, At::Next) {
            bang();
        }
        (number, counts.quiet())
    });
    match at {
        At::End => Box::pin(Noisy(items, tally.loud())),
        _ => Box::pin(items),
    }
}

fn function(tally: &Tally, at: At) -> Function {
    let (held, counts) = (tally.quiet(), tally.clone());
    Box::new(move |(number, item)| {
        let _held = &held;
        match at {
            At::Call if number == 2 => bang(),
            At::Poll if number == 2 => Box::pin(async move {
                let _item = item;
                bang()
            }),
            At::Done if number == 2 => Box::pin(counts.after(ready(Ok(item)))),
            // One that takes its time is still running.
            _ if number == 1 => Box::pin(async {
                yields(3).await;
                Ok(item)
            }),
            _ => Box::pin(ready(Ok(item))),
        }
    })
}

/// Runs to its end. Then asks whether it is over.
type Map = Box<dyn FnMut(Ask) -> bool>;

enum Ask {
    Run,
    IsOver,
}

type MakeMap = fn(Items, Function) -> Map;

const MAPS: &[Row<MakeMap>] = &[
    ("try_map", |items, f| {
        let mut map = Box::pin(try_map_stream(items, 3, f));
        Box::new(move |ask| match ask {
            Ask::Run => run(&mut map).is_ok(),
            Ask::IsOver => map.is_terminated(),
        })
    }),
    ("try_for_each", |items, mut f| {
        let unit = move |item| f(item).map(|result| result.map(drop));
        let mut map = Box::pin(try_for_each_stream(items, 3, unit));
        Box::new(move |ask| match ask {
            Ask::Run => run(&mut map).is_ok(),
            Ask::IsOver => map.is_terminated(),
        })
    }),
    ("buffered", |items, f| {
        let mut outputs = Box::pin(buffered(items, 3, f));
        Box::new(move |ask| match ask {
            Ask::Run => run(outputs.by_ref().all(async |output| output.is_ok())),
            Ask::IsOver => outputs.is_terminated(),
        })
    }),
    ("buffer_unordered", |items, f| {
        let mut outputs = Box::pin(buffer_unordered(items, 3, f));
        Box::new(move |ask| match ask {
            Ask::Run => run(outputs.by_ref().all(async |output| output.is_ok())),
            Ask::IsOver => outputs.is_terminated(),
        })
    }),
];

#[test]
fn a_panic_of_a_stream_or_a_function_ends_a_map_and_drops_all_that_it_has() {
    for (name, make) in MAPS {
        for at in [At::Next, At::End, At::Call, At::Poll, At::Done] {
            let name = format!("{name}, {at:?}");
            let tally = Tally::default();
            let mut map = make(items(&tally, at), function(&tally, at));
            assert_eq!(caught(|| map(Ask::Run)), None, "{name}");
            // At once, while it is still here.
            tally.is_even(&name);
            assert!(map(Ask::IsOver), "{name}");
            assert_eq!(
                panics(|| map(Ask::Run)),
                "polled after it was over",
                "{name}"
            );
            tally.is_even(&name);
        }
    }
}

#[test]
fn a_panic_of_an_iterator_is_that_of_who_calls() {
    struct Bang(At, #[allow(dead_code, reason = "it is counted")] Quiet);

    struct Given(Bang);

    impl IntoIterator for Given {
        type Item = (usize, Quiet);
        type IntoIter = Bang;

        fn into_iter(self) -> Bang {
            match self.0.0 {
                At::Call => bang(),
                _ => self.0,
            }
        }
    }

    impl Iterator for Bang {
        type Item = (usize, Quiet);

        fn next(&mut self) -> Option<Self::Item> {
            match self.0 {
                At::Next => bang(),
                _ => Some((0, self.1.0.quiet())),
            }
        }

        fn size_hint(&self) -> (usize, Option<usize>) {
            match self.0 {
                At::End => bang(),
                _ => (usize::MAX, None),
            }
        }
    }

    for at in [At::Next, At::End, At::Call] {
        let tally = Tally::default();
        let f = function(&tally, at);
        let items = Given(Bang(at, tally.quiet()));
        assert!(caught(|| run(try_map(items, 2, f)).is_ok()).is_none());
        tally.is_even("map");
        // And of a group.
        let mut group = ErrGroup::<Quiet, Fail>::new();
        let items = Given(Bang(at, tally.quiet()));
        let value = tally.quiet();
        group.spawn(ready(Ok(value)));
        let mut left = 3;
        let extended = caught(|| {
            group.extend(items.into_iter().map_while(|(_, item)| {
                left -= 1;
                (left > 0).then(|| ready(Ok(item)))
            }));
        });
        let count = if at == At::End { 3 } else { 1 };
        assert_eq!((extended.is_some(), group.len()), (at == At::End, count));
        assert_eq!(run(group.collect()).unwrap().len(), count);
        tally.is_even("group");
    }
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

// P1 to P5 at size

#[test]
fn among_a_million_tasks_those_that_panic_take_no_other_along() {
    const MILLION: usize = 1_000_000;

    /// Ends, panics, or never ends and panics when it is dropped.
    struct One(usize, Option<Quiet>, bool);

    impl Future for One {
        type Output = Result<usize, Fail>;

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
            if !mem::replace(&mut self.2, true) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.0 % 1_000 {
                0 => bang(),
                1 => Poll::Pending,
                _ => Poll::Ready(Ok(self.0)),
            }
        }
    }

    impl Drop for One {
        fn drop(&mut self) {
            drop(self.1.take());
            if self.0 % 1_000 < 2 {
                bang();
            }
        }
    }

    for catches in [false, true] {
        let tally = Tally::default();
        let mut group = ErrGroup::new().keep_going();
        if catches {
            group = group.catch_panics();
        }
        group.extend((0..MILLION).map(|number| One(number, Some(tally.quiet()), false)));
        let mut panics = 0;
        let root = Root::new();
        loop {
            match caught(|| root.poll_new(group.drive(pending::<()>()))) {
                None => panics += 1,
                Some(_) if root.wakes() == 0 => break,
                Some(_) => {}
            }
        }
        let few = MILLION / 1_000;
        assert_eq!((panics, group.len()), (if catches { 0 } else { few }, few));
        assert_eq!(tally.made() - tally.dropped(), few);
        assert_eq!(caught(|| group.abort_all()).is_some(), catches);
        tally.is_even("tasks");
        let results = run(group.settle());
        let values = results.iter().flatten().copied();
        assert!(values.eq((0..MILLION).filter(|number| number % 1_000 > 1)));
        let errors = results.len() - (MILLION - 2 * few);
        assert_eq!(errors, if catches { 2 * few } else { 0 });
    }
}

/// So much is enough for polling, unwinding and dropping a thousand levels without optimization.
const STACK: usize = 64 << 20;

#[test]
fn panics_come_through_a_thousand_nested_groups() {
    const LEVELS: usize = 1_000;
    type Task = Pin<Box<dyn Future<Output = Result<(), Fail>> + Send>>;

    fn nested(tally: &Tally, leaf: Task, catches: bool) -> Task {
        let mut task = leaf;
        for _ in 0..LEVELS {
            let mut group = ErrGroup::new();
            if catches {
                group = group.catch_panics();
            }
            group.spawn(tally.task());
            group.spawn(task);
            group.spawn(tally.task());
            task = Box::pin(group);
        }
        task
    }

    let body = || {
        for catches in [false, true] {
            let tally = Tally::default();
            // The panic of a leaf. On its way it meets those of destructors.
            let evil = tally.evil();
            let leaf = Box::pin(async { resume_unwind(Box::new(evil)) });
            let mut outermost = nested(&tally, leaf, catches);
            assert!(caught(|| run(&mut outermost)).is_none());
            caught(|| drop(outermost));
            tally.is_even("a leaf that panics");
            // Nobody panics before all is dropped.
            for unwinds in [false, true] {
                let mut outermost = nested(&tally, Box::pin(pending()), catches);
                assert!(Root::new().poll(&mut outermost).is_pending());
                let dropped = caught(move || {
                    let _outermost = outermost;
                    if unwinds {
                        bang();
                    }
                });
                assert!(dropped.is_none());
                tally.is_even("all of it");
            }
        }
    };
    let thread = std::thread::Builder::new().stack_size(STACK);
    thread.spawn(body).unwrap().join().unwrap();
}
