//! What every error type says, in one table.

use std::error::Error;
use std::fmt::{Debug, Display};
use std::future::{pending, ready};
#[cfg(feature = "std")]
use std::io;

use crate::common::run;
use errgroup::{CancelContext, Cancelled, ErrGroup, Errors, Semaphore, Started, TrySpawnError};

/// `Display`, which is the same for `{:#}`; `Debug`; and the text of the source.
#[track_caller]
fn says<E: Error>(error: E, display: &str, debug: &str, source: Option<&str>) {
    assert_eq!(error.to_string(), display);
    assert_eq!(format!("{error:#}"), display);
    assert_eq!(format!("{error:?}"), debug);
    let of_source = error.source().map(ToString::to_string);
    assert_eq!(of_source.as_deref(), source);
    // As users of errors expect: no capital letter, no full stop, one line.
    assert!(!display.starts_with(char::is_uppercase), "{display}");
    assert!(!display.ends_with('.') && !display.contains('\n'));
}

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

#[test]
fn every_error_says_what_happened_and_leaves_its_cause_to_the_source() {
    says(
        cancelled(),
        "cancelled",
        "Cancelled { kind: Cancelled, cause: None }",
        None,
    );
    says(
        cancelled_with_cause(),
        "cancelled",
        r#"Cancelled { kind: Cancelled, cause: Some("the disk is full") }"#,
        Some("the disk is full"),
    );
    says(
        deadline(),
        "deadline exceeded",
        "Cancelled { kind: DeadlineExceeded, cause: None }",
        None,
    );
    says(
        deadline_with_cause(),
        "deadline exceeded",
        r#"Cancelled { kind: DeadlineExceeded, cause: Some("out of patience") }"#,
        Some("out of patience"),
    );
    says(
        task_failed(),
        "a task of the group failed",
        r#"Cancelled { kind: TaskFailed, cause: Some("no route") }"#,
        Some("no route"),
    );
    says(
        finished(),
        "the group has finished",
        "Cancelled { kind: Finished, cause: None }",
        None,
    );
    says(
        errors::<String>([]),
        "0 of 0 tasks failed",
        "Errors { errors: [], total: 0 }",
        None,
    );
    says(
        errors([Err("no route")]),
        "1 of 1 tasks failed: task 0: no route",
        r#"Errors { errors: [(0, "no route")], total: 1 }"#,
        None,
    );
    says(
        two_of_three(),
        "2 of 3 tasks failed: task 1: no route; task 2: no disk",
        r#"Errors { errors: [(1, "no route"), (2, "no disk")], total: 3 }"#,
        None,
    );
    says(
        errors([Err(cancelled_with_cause())]),
        "1 of 1 tasks failed: task 0: cancelled",
        "Errors { errors: [(0, Cancelled { kind: Cancelled, \
         cause: Some(\"the disk is full\") })], total: 1 }",
        None,
    );
    says(
        full(),
        "the group is at its limit",
        "TrySpawnError { full: true, .. }",
        None,
    );
    says(
        closed(),
        "the group has failed or is closed",
        "TrySpawnError { full: false, .. }",
        None,
    );
    says(
        not_up(),
        "the task ended before it was up",
        "StartError",
        None,
    );
    says(
        run(Semaphore::new(2).acquire(3)).unwrap_err(),
        "3 permits were requested of a semaphore that has 2",
        "TooLarge { requested: 3, capacity: 2 }",
        None,
    );
}

#[cfg(feature = "std")]
#[test]
fn every_panic_says_its_text_if_it_has_one() {
    use errgroup::Panicked;

    fn panicked(f: impl FnOnce() + Send + 'static) -> Panicked {
        let mut group = ErrGroup::<(), Panicked>::new().catch_panics();
        group.spawn(async {
            f();
            Ok(())
        });
        run(group).unwrap_err()
    }
    for (panicked, display, debug) in [
        (
            panicked(|| panic!("no cheese")),
            "a task panicked: no cheese",
            r#"Panicked { message: Some("no cheese"), .. }"#,
        ),
        (
            panicked(|| panic!("no {}", "cheese".to_owned())),
            "a task panicked: no cheese",
            r#"Panicked { message: Some("no cheese"), .. }"#,
        ),
        (
            panicked(|| std::panic::panic_any(7)),
            "a task panicked",
            "Panicked { message: None, .. }",
        ),
    ] {
        says(panicked, display, debug, None);
    }
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
