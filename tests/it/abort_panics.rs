//! `abort_all` in a group that catches panics: destructors that panic leave errors, which wait in
//! the group until it is polled.

use std::future::{Future, pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use crate::common::{Fail, OnDrop, Root, run, yields};
use errgroup::{CancelContext, CancelKind, ErrGroup, Panicked};
use futures::future::FusedFuture;

type Group = ErrGroup<'static, (), Fail>;

/// Never ends, and panics with this text when it is dropped.
fn bomb<R>(text: &'static str) -> impl Future<Output = R> + Send + 'static + use<R> {
    let on_drop = OnDrop(move || resume_unwind(Box::new(text)));
    poll_fn(move |_| {
        let _on_drop = &on_drop;
        Poll::Pending
    })
}

fn error(text: &str) -> Fail {
    Fail::Panicked(text.into())
}

/// Aborts a bomb that runs, so that its error waits.
fn leave(group: &mut Group, root: &Root, text: &'static str) {
    group.spawn(bomb(text));
    assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
    group.abort_all();
}

// H2, P3
#[test]
fn ready_takes_in_what_a_task_that_was_aborted_has_left_before_it_says_that_there_is_room() {
    let root = Root::new();
    let mut group = Group::new().catch_panics();
    group.spawn(bomb("first"));
    group.spawn(bomb("second"));
    group.abort_all();
    assert_eq!(
        root.poll_new(group.next()),
        Poll::Ready(Some(Err(error("first"))))
    );
    assert_eq!(root.poll_new(group.ready()), Poll::Ready(false));
}

// R6, P3
#[test]
fn errors_that_abort_all_leaves_come_in_the_order_in_which_they_arose() {
    let ways: [fn(&mut Group); 3] = [
        |group| group.abort_all(),
        |group| group.spawner().abort_all(),
        // One by one, while it is queued.
        |group| {
            group.set_limit(1);
            group.spawn(pending());
            group.spawn_abortable(bomb("third")).abort();
        },
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let root = Root::new();
        let mut group = Group::new().catch_panics();
        group.spawn(bomb("first"));
        group.spawn(bomb("second"));
        group.abort_all();
        if number < 2 {
            group.spawn(bomb("third"));
        }
        way(&mut group);
        for text in ["first", "second", "third"] {
            let outcome = root.poll_new(group.next());
            assert_eq!(outcome, Poll::Ready(Some(Err(error(text)))), "{number}");
        }
    }
}

// P3, P5, R6, G1
#[test]
fn a_grace_that_is_over_takes_no_error_along_that_abort_all_has_left() {
    let make = || {
        let root = Root::new();
        let (context, mut group) = Group::with_grace(&CancelContext::new(), || ready(()));
        group = group.catch_panics();
        leave(&mut group, &root, "first");
        group.spawn(bomb("second"));
        group.abort_all();
        group.spawn(pending());
        context.cancel();
        group
    };
    assert_eq!(run(make()), Err(error("first")));
    assert_eq!(run(make().collect()), Err(error("first")));
    let cut = Fail::Cancelled(CancelKind::Cancelled);
    let all = [(0, error("first")), (1, error("second")), (2, cut)];
    assert_eq!(run(make().wait_all()).unwrap_err().into_vec(), all);
    assert_eq!(run(make().first_ok()).unwrap_err().into_vec(), all);
    let results = run(make().settle());
    assert!(results.into_iter().eq(all.clone().map(|it| Err(it.1))));
    let mut group = make();
    for (index, error) in all.clone() {
        assert_eq!(run(group.next_indexed()), Some((index, Err(error))));
    }
    assert_eq!(run(group.next()), None);
    let mut group = make();
    assert!(!run(group.ready()));
    assert_eq!(run(group), Err(error("first")));
    let mut group = make();
    assert_eq!(run(group.drive(pending::<()>())), None);
    assert_eq!(run(&mut group), Err(error("first")));
    assert_eq!(run(group), Ok(()));
}

/// Cannot be made of a panic with the text "no".
#[derive(Debug, PartialEq)]
struct Picky(String);

impl From<Panicked> for Picky {
    fn from(panicked: Panicked) -> Self {
        match panicked.message() {
            Some("no") => resume_unwind(Box::new("conversion")),
            text => Picky(text.unwrap_or("?").into()),
        }
    }
}

// P5
#[test]
fn abort_all_loses_no_error_when_another_one_cannot_be_made() {
    for by_spawner in [false, true] {
        let root = Root::new();
        let mut group = ErrGroup::<(), Picky>::new().catch_panics();
        let spawner = group.spawner();
        assert_eq!(root.poll_new(group.next()), Poll::Ready(None));
        assert!(group.is_terminated());
        for text in ["one", "no", "two"] {
            group.spawn(bomb(text));
        }
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            if by_spawner {
                spawner.abort_all();
                drop(root.poll_new(group.next()));
            } else {
                group.abort_all();
            }
        }));
        assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"conversion"));
        assert_eq!((group.len(), group.is_terminated()), (0, false));
        // The group takes tasks again, and nothing is lost.
        spawner.spawn(ready(Ok(())));
        for text in ["one", "two"] {
            let outcome = Some(Err(Picky(text.into())));
            assert_eq!(root.poll_new(group.next()), Poll::Ready(outcome));
            assert!(!group.is_terminated());
        }
        assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Ok(()))));
        assert_eq!(root.poll_new(group.next()), Poll::Ready(None));
        assert!(group.is_terminated());
    }
}

// P1, P5, R7
#[test]
fn destructors_may_use_the_spawner_while_abort_all_catches_their_panics() {
    let root = Root::new();
    let mut group = Group::new().catch_panics().keep_going().limit(3);
    let spawner = group.spawner();
    let refused = Arc::new(AtomicUsize::new(0));
    let seen = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..5 {
        let (spawner, refused) = (spawner.clone(), refused.clone());
        let seen = seen.clone();
        let on_drop = OnDrop(move || {
            seen.lock()
                .unwrap()
                .push((spawner.running(), spawner.queued(), spawner.len()));
            refused.fetch_add(
                usize::from(spawner.try_spawn(ready(Ok(()))).is_err()),
                SeqCst,
            );
            spawner.spawn(ready(Ok(())));
            spawner.spawn_background(pending());
            drop(spawner.keep_open());
            spawner.set_limit(2);
            spawner.abort_all();
            resume_unwind(Box::new("destructor"));
        });
        group.spawn(async move {
            let _on_drop = on_drop;
            pending().await
        });
    }
    assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
    root.wakes();
    // Also while the thread unwinds.
    struct Guard<'a>(&'a mut Group);
    impl Drop for Guard<'_> {
        fn drop(&mut self) {
            self.0.abort_all();
        }
    }
    let guard = AssertUnwindSafe(Guard(&mut group));
    let panicked = catch_unwind(move || {
        let _guard = guard;
        resume_unwind(Box::new(7_u8));
    });
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&7_u8));
    assert_eq!(*seen.lock().unwrap(), [(0, 0, 0); 5]);
    assert_eq!((refused.load(SeqCst), root.wakes()), (5, 1));
    assert_eq!((group.current_limit(), group.is_closed()), (2, false));
    spawner.spawn(ready(Ok(())));
    let results = run(group.settle());
    assert_eq!(results[..5], vec![Err(error("destructor")); 5]);
    assert_eq!(results[5..], [Ok(())]);
}

// P3, H1
#[test]
fn the_handle_of_an_aborted_task_says_so_and_its_group_has_the_error() {
    let root = Root::new();
    let mut group = Group::new().catch_panics();
    let mut running = group.spawn_with_handle::<(), _>(bomb("running"));
    assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
    let mut queued = group.spawn_with_handle::<(), _>(bomb("queued"));
    group.abort_all();
    for handle in [&mut running, &mut queued] {
        let Poll::Ready(Err(reason)) = root.poll(handle) else {
            panic!("it waits, or has a value");
        };
        assert_eq!(reason.kind(), CancelKind::Cancelled);
    }
    let errors = run(group.wait_all()).unwrap_err().into_vec();
    assert_eq!(errors, [(0, error("running")), (1, error("queued"))]);
}

// P3, P4, R7, H3
#[test]
fn errors_that_abort_all_leaves_are_outcomes_in_every_way_to_drive() {
    let make = || {
        let root = Root::new();
        let mut group = Group::new().catch_panics();
        group.spawn_background(bomb("background"));
        leave(&mut group, &root, "bomb");
        assert_eq!(root.wakes(), 1);
        group.spawn(ready(Ok(())));
        group
    };
    assert!(run(make().first_ok()).is_ok());
    assert!(!run(make().ready()));
    assert_eq!(run(make().drive(ready(()))), None);
    let mut group = make();
    assert!(run(&mut group).is_err());
    assert_eq!(run(&mut group), Ok(()));
    let mut group = make().keep_going();
    assert!(run(group.ready()));
    assert_eq!(run(group.drive(ready(()))), Some(()));
    assert_eq!(run(group.settle()).len(), 3);
    // The body of a scope.
    let group = Group::new().catch_panics();
    let result = run(group.scope(async |s| {
        s.spawn(bomb("bomb"));
        s.abort_all();
        Ok(5)
    }));
    assert_eq!(result, Err(error("bomb")));
    let mut after = 0;
    let group = ErrGroup::<(), Fail>::new().catch_panics().keep_going();
    let result = run(group.scope(async |s| {
        s.spawn(bomb("bomb"));
        s.abort_all();
        yields(1).await;
        after = s.len();
        s.spawn(ready(Ok(())));
        after += s.len();
        Ok(5)
    }));
    assert_eq!((result, after), (Err(error("bomb")), 1));
}
