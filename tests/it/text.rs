//! What every public type says, in one table: `Debug`, and `Display` of those that have it.

use std::any::type_name;
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::{self, Debug, Display, Write};
use std::future::{Future, pending, ready};
#[cfg(feature = "std")]
use std::io;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use crate::auto_traits_every::public_names;
use crate::common::{Event, Root, hooked, run};
use errgroup::{
    CancelContext, CancelKind, Cancelled, ErrGroup, Errors, LocalErrGroup, Semaphore, Started,
    TrySpawnError, buffer_unordered, buffered, try_for_each, try_map,
};
use futures::stream;

/// The names of the types of which there was a row.
#[derive(Default)]
struct Table(BTreeSet<String>);

/// `row!(table, value, "debug")` for what has no `Display`; `row!(table, error, "debug", "display")`
/// for an error, and the text of its source as the fifth if it has one.
macro_rules! row {
    ($table:expr, $value:expr, $debug:expr) => {
        match &$value {
            value => {
                assert_eq!((&Displayed(value)).display(), None);
                $table.debug(value, $debug);
            }
        }
    };
    ($table:expr, $value:expr, $debug:expr, $display:expr) => {
        row!($table, $value, $debug, $display, None)
    };
    ($table:expr, $value:expr, $debug:expr, $display:expr, $source:expr) => {
        match &$value {
            value => {
                assert_eq!((&Displayed(value)).display().as_deref(), Some($display));
                $table.debug(value, $debug);
                says(value, $display, $source);
            }
        }
    };
}

/// Finds out whether a value has `Display`: the first of the two traits is preferred where both
/// would do.
struct Displayed<'a, T>(&'a T);

trait ByDisplay {
    fn display(&self) -> Option<String>;
}

impl<T: Display> ByDisplay for Displayed<'_, T> {
    fn display(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

trait ByNothing {
    fn display(&self) -> Option<String> {
        None
    }
}

impl<T> ByNothing for &Displayed<'_, T> {}

impl Table {
    #[track_caller]
    fn debug<T: Debug>(&mut self, value: &T, debug: &str) {
        assert_eq!(format!("{value:?}"), debug);
        // The same on many lines.
        let unspaced = |text: &str| text.replace([' ', '\n', ','], "");
        assert_eq!(unspaced(&format!("{value:#?}")), unspaced(debug));
        let path = type_name::<T>().split('<').next().unwrap();
        self.0.insert(path.rsplit("::").next().unwrap().into());
    }
}

/// `Display`, which is the same for `{:#}`, and the text of the source.
#[track_caller]
fn says<E: Error>(error: &E, display: &str, source: Option<&str>) {
    assert_eq!(error.to_string(), display);
    assert_eq!(format!("{error:#}"), display);
    let of_source = error.source().map(ToString::to_string);
    assert_eq!(of_source.as_deref(), source);
    // As users of errors expect: no capital letter, no full stop, one line.
    assert!(!display.starts_with(char::is_uppercase), "{display}");
    assert!(!display.ends_with('.') && !display.contains('\n'));
}

/// Prints nothing, so that whoever prints a value of it does not compile.
struct Mute;

type Mutes = ErrGroup<'static, Mute, Mute>;

fn cancelled() -> Cancelled {
    let context = CancelContext::new();
    context.cancel();
    context.reason().unwrap()
}

fn cancelled_with_cause() -> Cancelled {
    let context = CancelContext::new();
    context.cancel_with("the disk is full");
    context.reason().unwrap()
}

fn deadline() -> Cancelled {
    run(CancelContext::new().with_deadline(ready(())).cancelled())
}

fn deadline_with_cause() -> Cancelled {
    let context = CancelContext::new().with_deadline_cause(ready(()), "out of patience");
    run(context.cancelled())
}

fn task_failed() -> Cancelled {
    let (context, group) = ErrGroup::<(), _>::with_context(&CancelContext::new());
    let mut group = group.cause_from(|error: &&str| (*error).into());
    group.spawn(ready(Err("no route")));
    run(group).unwrap_err();
    context.reason().unwrap()
}

fn finished() -> Cancelled {
    let (context, group) = ErrGroup::<(), ()>::with_context(&CancelContext::new());
    drop(group);
    context.reason().unwrap()
}

fn errors<E>(outcomes: impl IntoIterator<Item = Result<(), E>>) -> Errors<E>
where
    E: Send + 'static,
{
    let mut group = ErrGroup::new().keep_going();
    group.extend(outcomes.into_iter().map(ready));
    match run(group.first_ok()) {
        Err(errors) => errors,
        Ok(()) => unreachable!("none is well"),
    }
}

fn two_of_three() -> Errors<&'static str> {
    let mut group = ErrGroup::new();
    group.extend([Ok(()), Err("no route"), Err("no disk")].map(ready));
    run(group.wait_all()).unwrap_err()
}

fn full() -> TrySpawnError<impl Sized> {
    let mut group = ErrGroup::<(), ()>::new().limit(1);
    group.spawn(pending());
    group.try_spawn(pending()).unwrap_err()
}

fn closed() -> TrySpawnError<impl Sized> {
    let spawner = ErrGroup::<(), ()>::new().spawner();
    spawner.try_spawn(pending()).unwrap_err()
}

fn not_up() -> errgroup::StartError {
    let spawner = ErrGroup::<(), ()>::new().spawner();
    run(spawner.start(async |_: Started<()>| Ok(()))).unwrap_err()
}

/// The public names of which there is no value to print.
const NO_VALUES: [&str; 8] = [
    // Traits.
    "Accepts",
    "Flavor",
    // Other names of `Group` and `Spawner`.
    "ErrGroup",
    "LocalErrGroup",
    "ErrSpawner",
    "LocalErrSpawner",
    // Enums without variants.
    "Sending",
    "Local",
];

#[test]
fn every_public_type_says_what_it_is() {
    let mut table = Table::default();
    errors_say(&mut table);
    contexts_say(&mut table);
    groups_say(&mut table);
    handles_say(&mut table);
    a_task_that_starts_says(&mut table);
    semaphores_say(&mut table);
    maps_say(&mut table);
    #[cfg(feature = "std")]
    panics_say(&mut table);
    #[cfg(feature = "time")]
    timers_say(&mut table);
    #[cfg(feature = "tokio")]
    tasks_on_tokio_say(&mut table);

    table.0.extend(NO_VALUES.map(String::from));
    let off: &[(bool, &[&str])] = &[
        (cfg!(feature = "std"), &["Panicked"]),
        (cfg!(feature = "time"), &["Sleep"]),
        (cfg!(feature = "tokio"), &["Task", "TryTask"]),
    ];
    let off = off.iter().filter(|(is_on, _)| !is_on);
    table
        .0
        .extend(off.flat_map(|(_, names)| *names).map(ToString::to_string));
    assert_eq!(table.0, public_names());
}

fn errors_say(table: &mut Table) {
    row!(
        table,
        cancelled(),
        "Cancelled { kind: Cancelled, cause: None }",
        "cancelled"
    );
    row!(
        table,
        cancelled_with_cause(),
        r#"Cancelled { kind: Cancelled, cause: Some("the disk is full") }"#,
        "cancelled",
        Some("the disk is full")
    );
    row!(
        table,
        deadline(),
        "Cancelled { kind: DeadlineExceeded, cause: None }",
        "deadline exceeded"
    );
    row!(
        table,
        deadline_with_cause(),
        r#"Cancelled { kind: DeadlineExceeded, cause: Some("out of patience") }"#,
        "deadline exceeded",
        Some("out of patience")
    );
    row!(
        table,
        task_failed(),
        r#"Cancelled { kind: TaskFailed, cause: Some("no route") }"#,
        "a task of the group failed",
        Some("no route")
    );
    row!(
        table,
        finished(),
        "Cancelled { kind: Finished, cause: None }",
        "the group has finished"
    );

    row!(table, CancelKind::Cancelled, "Cancelled");
    row!(table, CancelKind::DeadlineExceeded, "DeadlineExceeded");
    row!(table, CancelKind::TaskFailed, "TaskFailed");
    row!(table, CancelKind::Finished, "Finished");

    row!(
        table,
        errors::<String>([]),
        "Errors { errors: [], total: 0 }",
        "0 of 0 tasks failed"
    );
    row!(
        table,
        errors([Err("no route")]),
        r#"Errors { errors: [(0, "no route")], total: 1 }"#,
        "1 of 1 tasks failed: task 0: no route"
    );
    row!(
        table,
        two_of_three(),
        r#"Errors { errors: [(1, "no route"), (2, "no disk")], total: 3 }"#,
        "2 of 3 tasks failed: task 1: no route; task 2: no disk"
    );
    row!(
        table,
        errors([Err(cancelled_with_cause())]),
        "Errors { errors: [(0, Cancelled { kind: Cancelled, \
         cause: Some(\"the disk is full\") })], total: 1 }",
        "1 of 1 tasks failed: task 0: cancelled"
    );

    row!(
        table,
        full(),
        "TrySpawnError { full: true, .. }",
        "the group is at its limit"
    );
    row!(
        table,
        closed(),
        "TrySpawnError { full: false, .. }",
        "the group has failed or is closed"
    );
    row!(
        table,
        not_up(),
        "StartError",
        "the task ended before it was up"
    );
    row!(
        table,
        run(Semaphore::new(2).acquire(3)).unwrap_err(),
        "TooLarge { requested: 3, capacity: 2 }",
        "3 permits were requested of a semaphore that has 2"
    );
}

#[cfg(feature = "std")]
fn panics_say(table: &mut Table) {
    use errgroup::Panicked;

    fn panicked(f: impl FnOnce() + Send + 'static) -> Panicked {
        let mut group = ErrGroup::<(), Panicked>::new().catch_panics();
        group.spawn(async {
            f();
            Ok(())
        });
        run(group).unwrap_err()
    }
    row!(
        table,
        panicked(|| panic!("no cheese")),
        r#"Panicked { message: Some("no cheese"), .. }"#,
        "a task panicked: no cheese"
    );
    row!(
        table,
        panicked(|| panic!("no {}", "cheese".to_owned())),
        r#"Panicked { message: Some("no cheese"), .. }"#,
        "a task panicked: no cheese"
    );
    row!(
        table,
        panicked(|| std::panic::panic_any(7)),
        "Panicked { message: None, .. }",
        "a task panicked"
    );
}

fn contexts_say(table: &mut Table) {
    let open = CancelContext::new();
    row!(table, open.clone(), "CancelContext { cancelled: None, .. }");
    row!(
        table,
        open.cancelled(),
        "Cancelling { cancelled: None, .. }"
    );
    row!(
        table,
        open.run(pending::<Mute>()),
        "Run { cancelled: None, .. }"
    );
    let guard = open.drop_guard();
    row!(
        table,
        guard,
        "DropGuard(CancelContext { cancelled: None, .. })"
    );
    let below = open.child();
    drop(guard);
    row!(
        table,
        below.clone(),
        "CancelContext { cancelled: Some(Cancelled), .. }"
    );
    row!(
        table,
        below.cancelled(),
        "Cancelling { cancelled: Some(Cancelled), .. }"
    );
    row!(
        table,
        below.run(pending::<Mute>()),
        "Run { cancelled: Some(Cancelled), .. }"
    );
    row!(
        table,
        below.drop_guard(),
        "DropGuard(CancelContext { cancelled: Some(Cancelled), .. })"
    );

    let late = CancelContext::new().with_deadline(ready(()));
    run(late.cancelled());
    row!(
        table,
        late,
        "CancelContext { cancelled: Some(DeadlineExceeded), .. }"
    );
    let (failed, mut group) = ErrGroup::<Mute, _>::with_context(&CancelContext::new());
    group.spawn(ready(Err("no")));
    run(group).unwrap_err();
    row!(
        table,
        failed,
        "CancelContext { cancelled: Some(TaskFailed), .. }"
    );
    let (over, group) = Mutes::with_context(&CancelContext::new());
    drop(group);
    row!(
        table,
        over,
        "CancelContext { cancelled: Some(Finished), .. }"
    );
}

/// A cause that holds what it cancels.
#[derive(Debug)]
struct Round(CancelContext);

impl Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "round {:?}", self.0)
    }
}

impl Error for Round {}

#[test]
fn a_cause_that_holds_its_context_comes_to_an_end() {
    let context = CancelContext::new();
    context.cancel_with(Round(context.clone()));
    assert_eq!(
        format!("{:?}", context.reason().unwrap()),
        "Cancelled { kind: Cancelled, cause: \
         Some(Round(CancelContext { cancelled: Some(Cancelled), .. })) }"
    );
}

fn groups_say(table: &mut Table) {
    let root = Root::new();
    row!(table, Mutes::new(), "Group { tasks: [], .. }");
    row!(
        table,
        LocalErrGroup::<Mute, Mute>::new(),
        "Group { tasks: [], .. }"
    );

    let mut group = ErrGroup::<(), Mute>::new().limit(1);
    group.spawn(pending());
    group.spawn_named("reader", pending());
    group.spawn_background(pending());
    assert!(root.poll(&mut group).is_pending());
    let open = group.keep_open();
    let spawner = group.spawner();
    row!(
        table,
        spawner,
        "Spawner { running: 1, queued: 1, closed: false }"
    );
    let listed = "Group { tasks: [0: running, 1 \"reader\": queued, 2: running], limit: 1, \
                  kept_open: 1, .. }";
    row!(table, group.results(), &format!("Results({listed})"));
    row!(table, group, listed);
    let pretty = "Group {
    tasks: [
        0: running,
        1 \"reader\": queued,
        2: running,
    ],
    limit: 1,
    kept_open: 1,
    ..
}";
    assert_eq!(format!("{group:#?}"), pretty);
    drop(open);
    group.spawn(ready(Err(Mute)));
    group.set_limit(usize::MAX);
    assert!(matches!(
        root.poll_new(group.drive(pending::<Mute>())),
        Poll::Ready(None)
    ));
    row!(table, group, "Group { tasks: [], failed: true, .. }");
    drop(group);
    row!(
        table,
        spawner,
        "Spawner { running: 0, queued: 0, closed: true }"
    );

    let (context, mut group) = Mutes::with_context(&CancelContext::new());
    context.cancel();
    assert!(root.poll(&mut group).is_ready());
    row!(table, group, "Group { tasks: [], closed: true, .. }");
}

fn handles_say(table: &mut Table) {
    let root = Root::new();
    let mut group = ErrGroup::<(), Mute>::new();
    let handle = group.spawn_with_handle(ready(Ok(Mute)));
    row!(
        table,
        handle,
        "TaskHandle { index: 0, finished: false, .. }"
    );
    let abort = group.spawn_abortable(pending());
    row!(table, abort, "AbortHandle { index: 1, finished: false }");
    let open = [group.keep_open(), group.keep_open()];
    let [one, other] = open;
    row!(table, one, "KeepOpen { kept_open: 2, .. }");
    drop(other);
    row!(table, one, "KeepOpen { kept_open: 1, .. }");
    drop(one);

    assert!(root.poll(&mut group).is_pending());
    row!(table, handle, "TaskHandle { index: 0, finished: true, .. }");
    assert!(matches!(run(handle), Ok(Mute)));
    abort.abort();
    assert!(root.poll(&mut group).is_ready());
    row!(table, abort, "AbortHandle { index: 1, finished: true }");
    row!(
        table,
        abort.abort_on_drop(),
        "AbortOnDrop(AbortHandle { index: 1, finished: true })"
    );
}

fn a_task_that_starts_says(table: &mut Table) {
    let mut group = ErrGroup::<(), Mute>::new();
    let start = group.start(|started: Started<Mute>| {
        row!(table, started, "Started { .. }");
        async move {
            row!(table, started, "Started { index: 0, .. }");
            started.ready(Mute);
            Ok(())
        }
    });
    assert!(matches!(run(start), Some(Ok(Mute))));
}

fn semaphores_say(table: &mut Table) {
    let semaphore = Arc::new(Semaphore::new(5));
    row!(
        table,
        Semaphore::new(5),
        "Semaphore { capacity: 5, available: 5, .. }"
    );
    let permit = semaphore.try_acquire(2).unwrap();
    row!(table, permit, "Permit(2)");
    let owned = semaphore.try_acquire_owned(1).unwrap();
    row!(table, owned, "OwnedPermit(1)");
    row!(
        table,
        *semaphore,
        "Semaphore { capacity: 5, available: 2, .. }"
    );
    let root = Root::new();
    let mut acquire = semaphore.acquire(4);
    assert!(root.poll(&mut acquire).is_pending());
    row!(table, acquire, "Acquire(4)");
    row!(table, semaphore.acquire_owned(5), "AcquireOwned(5)");
    semaphore.set_capacity(1);
    table.debug(&*semaphore, "Semaphore { capacity: 1, available: 0, .. }");
}

fn maps_say(table: &mut Table) {
    let root = Root::new();
    let all = |n| (0..n).map(|_| Mute);
    let mut map = Box::pin(try_map(all(9), 4, |_| pending::<Result<Mute, Mute>>()));
    row!(
        table,
        *map,
        "TryMap { limit: 4, taken: 0, running: 0, over: false, .. }"
    );
    assert!(root.poll(&mut map).is_pending());
    row!(
        table,
        *map,
        "TryMap { limit: 4, taken: 4, running: 4, over: false, .. }"
    );
    let mut each = Box::pin(try_for_each(all(9), 4, |_| ready(Err(Mute))));
    assert!(root.poll(&mut each).is_ready());
    row!(
        table,
        *each,
        "TryForEach { limit: 4, taken: 1, running: 0, over: true, .. }"
    );
    let items = || stream::iter(all(9));
    let buffered = buffered(items(), 4, |_: Mute| pending::<Mute>());
    row!(
        table,
        buffered,
        "Buffered { limit: 4, taken: 0, running: 0, over: false, .. }"
    );
    let unordered = buffer_unordered(items(), 4, |_: Mute| pending::<Mute>());
    row!(
        table,
        unordered,
        "BufferUnordered { limit: 4, taken: 0, running: 0, over: false, .. }"
    );
}

#[cfg(feature = "time")]
fn timers_say(table: &mut Table) {
    use errgroup::time::sleep;

    row!(
        table,
        sleep(Duration::from_secs(3600)),
        "Sleep { will_fire: true, .. }"
    );
    row!(
        table,
        sleep(Duration::MAX),
        "Sleep { will_fire: false, .. }"
    );
    // Nobody has polled it, and it is late all the same.
    let late = CancelContext::new().with_timeout(Duration::ZERO);
    row!(
        table,
        late,
        "CancelContext { cancelled: Some(DeadlineExceeded), .. }"
    );
}

#[cfg(feature = "tokio")]
fn tasks_on_tokio_say(table: &mut Table) {
    use errgroup::on_tokio;

    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().unwrap();
    runtime.block_on(async {
        let task = on_tokio::spawn(async { (tokio::task::id(), Mute) });
        let before = format!("{task:?}");
        let (id, Mute) = task.await;
        assert_eq!(before, format!("Task({id:?})"));
        let task = on_tokio::try_spawn(async { (tokio::task::id(), Mute) });
        let before = format!("{task:?}");
        let Ok((id, Mute)) = task.await else {
            unreachable!("the runtime is up");
        };
        assert_eq!(before, format!("TryTask({id:?})"));
        for name in ["Task", "TryTask"] {
            table.0.insert(name.into());
        }
    });
}

/// Calls a closure for each piece that is written.
struct Sink<F>(F);

impl<F: FnMut()> Write for Sink<F> {
    fn write_str(&mut self, _: &str) -> fmt::Result {
        (self.0)();
        Ok(())
    }
}

/// Runs `f` on a thread of its own, and fails if that hangs.
fn without_a_hang(f: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        f();
        done.send(()).unwrap();
    });
    match wait.recv_timeout(Duration::from_secs(20)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        _ => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
    }
}

/// Where it is printed to is code of the user.
#[test]
fn nothing_is_locked_while_it_is_printed() {
    without_a_hang(|| {
        let root = Root::new();
        let mut group = ErrGroup::<(), ()>::new().limit(1);
        let handle = group.spawn_with_handle(pending::<Result<(), ()>>());
        group.spawn_named("reader", pending());
        assert!(root.poll(&mut group).is_pending());
        let spawner = group.spawner();
        let open = group.keep_open();
        write!(
            Sink(|| {
                spawner.spawn_named("writer", pending());
                handle.abort();
                drop(spawner.keep_open());
                let _ = format!("{group:?} {spawner:?} {handle:?} {open:?}");
                assert!(!group.is_empty() && !handle.is_finished());
            }),
            "{group:?} {spawner:?} {handle:?} {open:?}"
        )
        .unwrap();

        let semaphore = Semaphore::new(3);
        let permit = semaphore.try_acquire(1).unwrap();
        let mut acquire = semaphore.acquire(3);
        assert!(root.poll(&mut acquire).is_pending());
        let mut capacity = 3;
        write!(
            Sink(|| {
                capacity += 1;
                semaphore.set_capacity(capacity);
                let _ = format!("{semaphore:?} {permit:?}");
            }),
            "{semaphore:?} {permit:?} {acquire:?}"
        )
        .unwrap();

        let context = CancelContext::new();
        let below = context.child();
        let mut waiting = below.cancelled();
        assert!(root.poll(&mut waiting).is_pending());
        write!(
            Sink(|| {
                context.cancel();
                assert!(below.child().is_cancelled());
                let _ = format!("{context:?} {below:?}");
            }),
            "{context:?} {below:?} {waiting:?}"
        )
        .unwrap();
    });
}

/// A waker that is cloned, woken and dropped, a task that is polled, and one that is dropped.
#[test]
fn whatever_is_called_back_may_print() {
    without_a_hang(|| {
        let context = CancelContext::new();
        let semaphore = Arc::new(Semaphore::new(1));
        let mut group = ErrGroup::<(), ()>::new().limit(2);
        let spawner = group.spawner();
        let abort = group.spawn_abortable(pending());
        let print = {
            let (context, semaphore) = (context.clone(), semaphore.clone());
            let (spawner, abort) = (spawner.clone(), abort.clone());
            move || _ = format!("{context:?} {semaphore:?} {spawner:?} {abort:?}")
        };
        let (events, told) = mpsc::channel();
        let events = std::sync::Mutex::new(events);
        let waker = hooked({
            let print = print.clone();
            move |event| {
                print();
                events.lock().unwrap().send(event).unwrap();
            }
        });
        let held = semaphore.try_acquire(1).unwrap();
        let mut waits = (
            Box::pin(semaphore.acquire(1)),
            context.cancelled(),
            Box::pin(spawner.ready()),
            group.spawn_with_handle(async move {
                let dropped = crate::common::OnDrop(print.clone());
                print();
                drop(dropped);
                Ok::<_, ()>(())
            }),
        );
        let mut cx = std::task::Context::from_waker(&waker);
        assert!(waits.0.as_mut().poll(&mut cx).is_pending());
        assert!(pin!(&mut waits.1).poll(&mut cx).is_pending());
        assert!(waits.2.as_mut().poll(&mut cx).is_pending());
        assert!(pin!(&mut waits.3).poll(&mut cx).is_pending());
        assert!(pin!(&mut group).poll(&mut cx).is_pending());
        let mut left = (Box::pin(semaphore.acquire(1)), context.cancelled());
        assert!(left.0.as_mut().poll(&mut cx).is_pending());
        assert!(pin!(&mut left.1).poll(&mut cx).is_pending());
        drop(left);
        drop(held);
        context.cancel();
        abort.abort();
        assert!(pin!(&mut group).poll(&mut cx).is_ready());
        drop(waits);
        drop(group);
        let told: Vec<_> = told.try_iter().collect();
        for event in [Event::Clone, Event::Wake, Event::Drop] {
            assert!(told.contains(&event), "{told:?}");
        }
    });
}

// §3
#[cfg(feature = "std")]
#[test]
fn errors_of_io_say_the_same_and_have_the_same_source() {
    use io::ErrorKind::{InvalidInput, Other, TimedOut};

    #[track_caller]
    fn says<E>(make: impl Fn() -> E, kind: io::ErrorKind)
    where
        E: Error + Into<io::Error> + 'static,
    {
        let (error, of_io): (E, io::Error) = (make(), make().into());
        assert_eq!(of_io.kind(), kind);
        assert_eq!(of_io.to_string(), error.to_string());
        assert!(of_io.get_ref().is_some_and(|inner| inner.is::<E>()));
        let texts = [of_io.source(), error.source()];
        let [of_io, source] = texts.map(|source| source.map(ToString::to_string));
        assert_eq!(of_io, source);
    }
    says(cancelled, Other);
    says(cancelled_with_cause, Other);
    says(deadline, TimedOut);
    says(deadline_with_cause, TimedOut);
    says(task_failed, Other);
    says(finished, Other);
    says(
        || run(Semaphore::new(2).acquire(3)).unwrap_err(),
        InvalidInput,
    );
}

/// Reads through `io::copy`, which tries again after an interruption.
#[cfg(feature = "std")]
#[test]
fn loops_of_the_standard_library_end_when_a_reader_is_cancelled() {
    struct Reader<'a>(&'a CancelContext, usize);
    impl io::Read for Reader<'_> {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            assert!(self.1 < 10, "it is tried again and again");
            self.0.check()?;
            Ok(0)
        }
    }
    let context = CancelContext::new();
    context.cancel();
    let error = io::copy(&mut Reader(&context, 0), &mut io::sink()).unwrap_err();
    assert!(error.get_ref().unwrap().is::<Cancelled>());
}

// Nothing here needs more of `E` than it prints.
#[test]
fn errors_print_what_is_no_error_itself() {
    fn prints<E: Display + Debug>(errors: Errors<E>) -> [String; 2] {
        [errors.to_string(), format!("{errors:?}")]
    }
    let [display, debug] = prints(errors([Err(7)]));
    assert_eq!(display, "1 of 1 tasks failed: task 0: 7");
    assert_eq!(debug, "Errors { errors: [(0, 7)], total: 1 }");
}
