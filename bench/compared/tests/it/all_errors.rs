//! All the errors: of three tasks, two fail.

use std::time::Duration;

use errgroup::ErrGroup;
use futures::executor::block_on;
use futures::stream::{self, StreamExt};
use futures_concurrency::prelude::*;
use tokio::task::JoinSet;
use tokio_graceful_shutdown::{SubsystemBuilder, Toplevel};
use tokio_util::task::TaskTracker;

use crate::common::{Outcome, Subsystem, Task, one_thread};
use crate::go;

const ALL: [Outcome; 3] = [Err("no route"), Ok(()), Err("no disk")];

fn tasks() -> impl Iterator<Item = Task> {
    ALL.into_iter()
        .map(|outcome| -> Task { Box::pin(async move { outcome }) })
}

#[track_caller]
fn are_all(outcomes: impl IntoIterator<Item = Outcome>) {
    let mut errors: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    errors.sort_unstable();
    assert_eq!(errors, ["no disk", "no route"]);
}

#[test]
fn errgroup_returns_all_errors() {
    let mut group = ErrGroup::new();
    group.extend(tasks());
    let errors = block_on(group.wait_all()).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "2 of 3 tasks failed: task 0: no route; task 2: no disk"
    );
}

#[test]
fn a_join_set_gives_every_outcome() {
    let all = async { tasks().collect::<JoinSet<_>>().join_all().await };
    are_all(one_thread().block_on(all));
}

#[test]
fn a_tracker_leaves_every_outcome_to_a_handle() {
    one_thread().block_on(async {
        let tracker = TaskTracker::new();
        let handles: Vec<_> = tasks().map(|task| tracker.spawn(task)).collect();
        tracker.close();
        let () = tracker.wait().await;
        let outcomes = futures::future::join_all(handles).await;
        are_all(outcomes.into_iter().map(Result::unwrap));
    });
}

#[test]
fn futures_unordered_gives_every_outcome() {
    are_all(block_on(
        tasks()
            .collect::<stream::FuturesUnordered<_>>()
            .collect::<Vec<_>>(),
    ));
}

#[test]
fn buffer_unordered_gives_every_outcome() {
    are_all(block_on(
        stream::iter(tasks())
            .buffer_unordered(2)
            .collect::<Vec<_>>(),
    ));
}

#[test]
fn futures_buffered_gives_every_outcome() {
    are_all(block_on(futures_buffered::join_all(tasks())));
}

#[test]
fn futures_concurrency_gives_every_outcome() {
    are_all(block_on(tasks().collect::<Vec<_>>().join()));
}

#[test]
fn moro_leaves_every_outcome_to_a_handle() {
    are_all(block_on(moro::async_scope!(|scope| {
        let handles: Vec<_> = tasks().map(|task| scope.spawn(task)).collect();
        futures::future::join_all(handles).await
    })));
}

#[test]
fn a_toplevel_returns_the_errors_of_all_subsystems() {
    one_thread().block_on(async {
        let toplevel: Toplevel = Toplevel::new(async |s: &mut Subsystem| {
            for task in tasks() {
                let name = "one";
                s.start(SubsystemBuilder::new(
                    name,
                    async move |_: &mut Subsystem| task.await,
                ));
            }
        });
        let result = toplevel
            .handle_shutdown_requests(Duration::from_secs(1))
            .await;
        let errors = result.unwrap_err().into_subsystem_errors();
        assert_eq!(errors.len(), 2);
    });
}

#[test]
fn go_returns_the_first_error_alone() {
    go::says("all errors: no route");
}
