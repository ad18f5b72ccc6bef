//! What becomes of a panic in a task.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::Duration;

use errgroup::{ErrGroup, Panicked};
use futures::executor::block_on;
use futures::stream::{self, StreamExt};
use futures_concurrency::prelude::*;
use tokio::task::JoinSet;
use tokio_graceful_shutdown::errors::SubsystemError;
use tokio_graceful_shutdown::{SubsystemBuilder, Toplevel};
use tokio_util::task::TaskTracker;

use crate::common::{Counts, Fine, Subsystem, Task, one_thread};
use crate::go;

const WHAT: &str = "out of cheese";

/// An idle task, and one that panics.
fn tasks(counts: &Counts) -> Vec<Task> {
    vec![counts.stubborn(), Box::pin(async { panic!("{WHAT}") })]
}

/// The panic goes on in whoever polls, and the sibling is dropped on its way.
#[track_caller]
fn is_passed_on<F: Future<Output: Debug>>(all: impl FnOnce(Vec<Task>) -> F) {
    let counts = Counts::default();
    let tasks = tasks(&counts);
    let panic = catch_unwind(AssertUnwindSafe(|| block_on(all(tasks)))).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&WHAT.to_string()));
    assert_eq!(counts.dropped(), 1);
}

#[test]
fn a_panic_in_errgroup_is_passed_on() {
    is_passed_on(|tasks| {
        let mut group = ErrGroup::new();
        group.extend(tasks);
        group
    });
}

#[test]
fn a_panic_in_errgroup_is_an_error_with_catch_panics() {
    #[derive(Debug)]
    struct Error(String);
    impl From<Panicked> for Error {
        fn from(panicked: Panicked) -> Self {
            Error(panicked.to_string())
        }
    }
    let counts = Counts::default();
    let mut group = ErrGroup::<(), Error>::new().catch_panics();
    for task in tasks(&counts) {
        group.spawn(async {
            task.await.unwrap();
            Ok(())
        });
    }
    let Error(says) = block_on(group).unwrap_err();
    assert_eq!(says, "a task panicked: out of cheese");
    assert_eq!(counts.dropped(), 1);
}

#[test]
fn a_panic_in_a_join_set_is_an_error_beside_those_of_the_task() {
    one_thread().block_on(async {
        let counts = Counts::default();
        let mut set: JoinSet<_> = tasks(&counts).into_iter().collect();
        assert!(set.join_next().await.unwrap().unwrap_err().is_panic());
        assert_eq!(set.len(), 1);
    });
}

#[test]
fn a_panic_in_a_tracker_is_lost_unless_somebody_asks_its_handle() {
    one_thread().block_on(async {
        let tracker = TaskTracker::new();
        let handle = tracker.spawn(async { panic!("{WHAT}") });
        tracker.close();
        let () = tracker.wait().await;
        assert!(handle.await.unwrap_err().is_panic());
    });
}

#[test]
fn a_panic_in_futures_unordered_is_passed_on() {
    is_passed_on(|tasks| {
        tasks
            .into_iter()
            .collect::<stream::FuturesUnordered<_>>()
            .count()
    });
}

#[test]
fn a_panic_in_buffer_unordered_is_passed_on() {
    is_passed_on(|tasks| stream::iter(tasks).buffer_unordered(2).count());
}

#[test]
fn a_panic_in_futures_buffered_is_passed_on() {
    is_passed_on(futures_buffered::join_all);
}

#[test]
fn a_panic_in_futures_concurrency_is_passed_on() {
    is_passed_on(|tasks| tasks.join());
}

const IN_MORO: &str = "panics::the_process_that_a_panic_in_moro_aborts";

#[test]
#[ignore = "aborts"]
fn the_process_that_a_panic_in_moro_aborts() {
    let all = moro::async_scope!(|scope| {
        drop(scope.spawn(async { panic!("{WHAT}") }));
    });
    let caught = catch_unwind(AssertUnwindSafe(|| block_on(all)));
    println!("caught: {}", caught.is_err());
}

#[cfg(unix)]
#[test]
fn a_panic_in_moro_aborts_the_process() {
    use std::os::unix::process::ExitStatusExt;
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", IN_MORO, "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let (said, complained) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    const SIGABRT: i32 = 6;
    assert_eq!(output.status.signal(), Some(SIGABRT), "{said}{complained}");
    assert!(
        said.contains("running 1 test") && !said.contains("caught"),
        "{said}"
    );
    assert!(complained.contains(WHAT), "{complained}");
}

#[test]
fn a_panic_in_a_subsystem_is_an_error_and_shuts_the_others_down() {
    one_thread().block_on(async {
        let counts = Counts::default();
        let asked = counts.clone();
        let toplevel: Toplevel = Toplevel::new(async move |s: &mut Subsystem| {
            s.start(SubsystemBuilder::new(
                "asked",
                async move |s: &mut Subsystem| -> Fine {
                    s.on_shutdown_requested().await;
                    asked.goodbye();
                    Ok(())
                },
            ));
            s.start(SubsystemBuilder::new(
                "panics",
                async |_: &mut Subsystem| -> Fine { panic!("{WHAT}") },
            ));
        });
        let result = toplevel
            .handle_shutdown_requests(Duration::from_secs(1))
            .await;
        let errors = result.unwrap_err().into_subsystem_errors();
        assert!(matches!(&*errors, [SubsystemError::Panicked(name)] if &**name == "/panics"));
        assert_eq!(counts.goodbyes(), 1);
    });
}

#[test]
fn a_panic_in_go_ends_the_program() {
    let Some(output) = go::panics() else { return };
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("panic: out of cheese"));
    // Neither the `Wait` nor the `recover` of the caller saw it.
    assert_eq!(output.stdout, b"");
}
