//! The table of the crate docs, cell by cell, for both flavours: what an error does, by how the
//! group was made and by what drives it.

use std::future::{pending, ready};
use std::task::Poll;

use crate::common::{Fail, Probe, Root, kind, run};
use errgroup::{CancelContext, CancelKind};
use futures::StreamExt;

type Outcome = Result<u32, Fail>;

/// The tasks of one group at a limit of 3: one that fails, a sibling that ends when it is told
/// to, one that waits for the context and reports it as an error, and one in the queue.
struct Tasks {
    fails: Probe<Outcome>,
    sibling: Probe<Outcome>,
    listener: Probe<Outcome>,
    queued: Probe<Outcome>,
}

impl Tasks {
    fn new() -> Self {
        let tasks = Tasks {
            fails: Probe::new(),
            sibling: Probe::new(),
            listener: Probe::new(),
            queued: Probe::new(),
        };
        tasks.queued.set(Ok(3));
        tasks
    }

    fn drops(&self) -> [usize; 4] {
        [&self.fails, &self.sibling, &self.listener, &self.queued].map(Probe::drops)
    }

    fn polls(&self) -> [usize; 4] {
        [&self.fails, &self.sibling, &self.listener, &self.queued].map(Probe::polls)
    }
}

fn text(text: &'static str) -> Fail {
    Fail::Text(text)
}

macro_rules! both_flavours {
    ($($item:item)*) => {
        mod sending {
            use super::*;
            use errgroup::ErrGroup as Group;
            $($item)*
        }

        mod local {
            use super::*;
            use errgroup::LocalErrGroup as Group;
            $($item)*
        }
    };
}

both_flavours! {
    type TheGroup = Group<'static, u32, Fail>;

    fn fill(group: TheGroup, tasks: &Tasks) -> TheGroup {
        let mut group = group.limit(3);
        group.spawn(tasks.fails.task());
        group.spawn(tasks.sibling.task());
        group.spawn(tasks.listener.task());
        group.spawn(tasks.queued.task());
        group
    }

    /// A graceful group whose third task reports the cancellation.
    fn fill_graceful((context, group): (CancelContext, TheGroup), tasks: &Tasks) -> TheGroup {
        let mut group = group.limit(3);
        group.spawn(tasks.fails.task());
        group.spawn(tasks.sibling.task());
        let listener = tasks.listener.task();
        group.spawn(async move {
            let reason = context.cancelled().await;
            let counted = listener;
            drop(counted);
            Err(reason.into())
        });
        group.spawn(tasks.queued.task());
        group
    }

    fn with_context() -> (CancelContext, TheGroup) {
        Group::with_context(&CancelContext::new())
    }

    /// A graceful group, and the end of its grace.
    fn with_grace() -> ((CancelContext, TheGroup), Probe<()>) {
        let grace = Probe::new();
        let future = grace.clone();
        (Group::with_grace(&CancelContext::new(), move || future.task()), grace)
    }

    // `new()`

    #[test]
    fn fail_fast_await_drops_siblings_and_queue_in_the_same_poll() {
        let (root, tasks) = (Root::new(), Tasks::new());
        let mut group = fill(Group::new(), &tasks);
        assert!(root.poll(&mut group).is_pending());
        tasks.fails.finish(Err(text("no")));
        assert_eq!(root.poll(&mut group), Poll::Ready(Err(text("no"))));
        assert_eq!((tasks.drops(), tasks.polls()), ([1; 4], [2, 1, 1, 0]));
    }

    #[test]
    fn fail_fast_collect_drops_siblings_and_queue_in_the_same_poll() {
        let (root, tasks) = (Root::new(), Tasks::new());
        let mut collect = Box::pin(fill(Group::new(), &tasks).collect());
        assert!(root.poll(&mut collect).is_pending());
        tasks.fails.finish(Err(text("no")));
        assert_eq!(root.poll(&mut collect), Poll::Ready(Err(text("no"))));
        assert_eq!((tasks.drops(), tasks.polls()), ([1; 4], [2, 1, 1, 0]));
    }

    #[test]
    fn fail_fast_and_keep_going_wait_all_runs_everything_to_its_end() {
        for group in [Group::new(), Group::new().keep_going()] {
            let (root, tasks) = (Root::new(), Tasks::new());
            let mut all = Box::pin(fill(group, &tasks).wait_all());
            assert!(root.poll(&mut all).is_pending());
            tasks.fails.finish(Err(text("no")));
            assert!(root.poll(&mut all).is_pending());
            assert_eq!((tasks.drops(), tasks.polls()), ([1, 0, 0, 1], [2, 1, 1, 1]));
            tasks.listener.finish(Err(text("late")));
            assert!(root.poll(&mut all).is_pending());
            tasks.sibling.finish(Ok(1));
            let Poll::Ready(Err(errors)) = root.poll(&mut all) else { panic!() };
            assert_eq!(errors.total(), 4);
            assert_eq!(errors.into_vec(), [(0, text("no")), (2, text("late"))]);
        }
    }

    #[test]
    fn fail_fast_and_keep_going_settle_runs_everything_to_its_end() {
        for group in [Group::new(), Group::new().keep_going()] {
            let (root, tasks) = (Root::new(), Tasks::new());
            let mut settle = Box::pin(fill(group, &tasks).settle());
            assert!(root.poll(&mut settle).is_pending());
            tasks.fails.finish(Err(text("no")));
            assert!(root.poll(&mut settle).is_pending());
            tasks.listener.finish(Ok(2));
            tasks.sibling.finish(Ok(1));
            let outcomes = vec![Err(text("no")), Ok(1), Ok(2), Ok(3)];
            assert_eq!(root.poll(&mut settle), Poll::Ready(outcomes));
        }
    }

    #[test]
    fn fail_fast_and_keep_going_first_ok_drops_the_rest_at_the_first_success() {
        for group in [Group::new(), Group::new().keep_going()] {
            let (root, tasks) = (Root::new(), Tasks::new());
            let mut group = fill(group, &tasks);
            group.spawn(tasks.queued.task());
            let mut first = Box::pin(group.first_ok());
            assert!(root.poll(&mut first).is_pending());
            tasks.listener.finish(Err(text("no")));
            // The queued one takes the slot, and succeeds.
            assert_eq!(root.poll(&mut first).map(Result::unwrap), Poll::Ready(3));
            assert_eq!((tasks.drops(), tasks.polls()), ([1, 1, 1, 2], [1, 1, 2, 1]));
        }
    }

    #[test]
    fn fail_fast_ready_and_drive_keep_the_failure_for_the_finishing_call() {
        for drives in [false, true] {
            let (root, tasks) = (Root::new(), Tasks::new());
            let mut group = fill(Group::new(), &tasks);
            tasks.fails.set(Err(text("no")));
            if drives {
                assert_eq!(root.poll_new(group.drive(pending::<()>())), Poll::Ready(None));
            } else {
                assert_eq!(root.poll_new(group.ready()), Poll::Ready(false));
            }
            assert_eq!(tasks.drops(), [1; 4]);
            assert_eq!(tasks.polls()[3], 0);
            assert_eq!(root.poll(&mut group), Poll::Ready(Err(text("no"))));
        }
    }

    #[test]
    fn fail_fast_and_keep_going_next_and_results_give_every_outcome() {
        for group in [Group::new(), Group::new().keep_going()] {
            let (root, tasks) = (Root::new(), Tasks::new());
            let mut group = fill(group, &tasks);
            tasks.fails.set(Err(text("no")));
            assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Err(text("no")))));
            assert_eq!(tasks.drops(), [1, 0, 0, 0]);
            assert_eq!(
                root.poll(&mut group.results().next()),
                Poll::Ready(Some(Ok(3)))
            );
            assert!(root.poll_new(group.next()).is_pending());
            tasks.listener.finish(Err(text("late")));
            tasks.sibling.finish(Ok(1));
            let mut rest: Vec<_> = run(group.results().collect());
            rest.sort_by_key(Result::is_err);
            assert_eq!(rest, [Ok(1), Err(text("late"))]);
            assert_eq!(root.poll_new(group.next()), Poll::Ready(None));
            assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
        }
    }

    // `.keep_going()`

    #[test]
    fn keep_going_await_and_collect_run_everything_and_then_give_the_first_error() {
        for collects in [false, true] {
            let (root, tasks) = (Root::new(), Tasks::new());
            let mut group = fill(Group::new().keep_going(), &tasks);
            let mut finish = Box::pin(async move {
                if collects {
                    group.collect().await.map(drop)
                } else {
                    (&mut group).await
                }
            });
            assert!(root.poll(&mut finish).is_pending());
            tasks.listener.finish(Err(text("first")));
            assert!(root.poll(&mut finish).is_pending());
            assert_eq!(tasks.drops(), [0, 0, 1, 1]);
            tasks.fails.finish(Err(text("second")));
            assert!(root.poll(&mut finish).is_pending());
            tasks.sibling.finish(Ok(1));
            assert_eq!(root.poll(&mut finish), Poll::Ready(Err(text("first"))));
        }
    }

    #[test]
    fn keep_going_ready_and_drive_keep_the_outcomes() {
        let (root, tasks) = (Root::new(), Tasks::new());
        let mut group = fill(Group::new().keep_going(), &tasks);
        tasks.fails.set(Err(text("no")));
        assert_eq!(root.poll_new(group.ready()), Poll::Ready(true));
        assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
        assert_eq!(tasks.drops(), [1, 0, 0, 1]);
        tasks.listener.finish(Ok(2));
        tasks.sibling.finish(Ok(1));
        assert_eq!(root.poll_new(group.drive(ready(()))), Poll::Ready(Some(())));
        assert!(group.is_empty());
        assert_eq!(run(group.settle()), [Err(text("no")), Ok(1), Ok(2), Ok(3)]);
    }

    // `with_context`

    #[test]
    fn with_context_await_and_collect_cancel_and_wait_for_what_runs() {
        for collects in [false, true] {
            let (root, tasks) = (Root::new(), Tasks::new());
            let (context, group) = with_context();
            let mut group = fill_graceful((context.clone(), group), &tasks);
            let mut finish = Box::pin(async move {
                if collects {
                    group.collect().await.map(drop)
                } else {
                    (&mut group).await
                }
            });
            assert!(root.poll(&mut finish).is_pending());
            assert_eq!(kind(&context), None);
            tasks.fails.finish(Err(text("no")));
            assert!(root.poll(&mut finish).is_pending());
            assert_eq!(kind(&context), Some(CancelKind::TaskFailed));
            while root.wakes() > 0 {
                assert!(root.poll(&mut finish).is_pending());
            }
            // The listener has ended, the sibling runs on, the queue is gone.
            assert_eq!((tasks.drops(), tasks.polls()), ([1, 0, 1, 1], [2, 1, 0, 0]));
            tasks.sibling.finish(Ok(1));
            assert_eq!(root.poll(&mut finish), Poll::Ready(Err(text("no"))));
        }
    }

    #[test]
    fn with_context_wait_all_and_settle_cancel_but_still_start_queued_tasks() {
        for settles in [false, true] {
            let (root, tasks) = (Root::new(), Tasks::new());
            let (context, group) = with_context();
            let mut group = fill_graceful((context.clone(), group), &tasks);
            let seen = context.clone();
            group.spawn(async move { Err(seen.check().unwrap_err().into()) });
            let mut finish = Box::pin(async move {
                if settles {
                    group.settle().await
                } else {
                    group.wait_all().await.unwrap_err().into_vec().into_iter()
                        .map(|(_, error)| Err(error)).collect()
                }
            });
            assert!(root.poll(&mut finish).is_pending());
            tasks.fails.finish(Err(text("no")));
            while root.wakes() > 0 {
                assert!(root.poll(&mut finish).is_pending());
            }
            assert_eq!(kind(&context), Some(CancelKind::TaskFailed));
            assert_eq!((tasks.drops(), tasks.polls()), ([1, 0, 1, 1], [2, 1, 0, 1]));
            tasks.sibling.finish(Ok(1));
            let cancelled = Err(Fail::Cancelled(CancelKind::TaskFailed));
            let mut expected = vec![Err(text("no")), Ok(1), cancelled.clone(), Ok(3), cancelled];
            expected.retain(|outcome| settles || outcome.is_err());
            assert_eq!(root.poll(&mut finish), Poll::Ready(expected));
        }
    }

    #[test]
    fn with_context_first_ok_cancels_nothing_for_errors() {
        let (root, tasks) = (Root::new(), Tasks::new());
        let (context, group) = with_context();
        tasks.queued.set(Err(text("queued")));
        let mut first = Box::pin(fill_graceful((context.clone(), group), &tasks).first_ok());
        tasks.fails.set(Err(text("no")));
        assert!(root.poll(&mut first).is_pending());
        assert_eq!(kind(&context), None);
        assert_eq!(tasks.polls(), [1, 1, 0, 1]);
        tasks.sibling.finish(Ok(1));
        assert_eq!(root.poll(&mut first).map(Result::unwrap), Poll::Ready(1));
        // Only the end of the group does.
        assert_eq!(kind(&context), Some(CancelKind::Finished));
        assert_eq!(tasks.drops(), [1; 4]);
    }

    #[test]
    fn with_context_ready_and_drive_return_at_once_and_leave_the_rest_for_later() {
        for drives in [false, true] {
            let (root, tasks) = (Root::new(), Tasks::new());
            let (context, group) = with_context();
            let mut group = fill_graceful((context.clone(), group), &tasks);
            assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
            tasks.fails.finish(Err(text("no")));
            if !drives {
                group.set_limit(1);
            }
            if drives {
                assert_eq!(root.poll_new(group.drive(pending::<()>())), Poll::Ready(None));
            } else {
                assert_eq!(root.poll_new(group.ready()), Poll::Ready(false));
            }
            assert_eq!(kind(&context), Some(CancelKind::TaskFailed));
            assert_eq!((tasks.drops()[1], tasks.drops()[3], tasks.polls()[3]), (0, 1, 0));
            assert!(root.poll(&mut group).is_pending());
            tasks.sibling.finish(Ok(1));
            assert_eq!(root.run(&mut group).0, Err(text("no")));
        }
    }

    #[test]
    fn with_context_next_and_results_cancel_nothing() {
        let (root, tasks) = (Root::new(), Tasks::new());
        let (context, group) = with_context();
        let mut group = fill_graceful((context.clone(), group), &tasks);
        tasks.fails.set(Err(text("no")));
        assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Err(text("no")))));
        assert_eq!(root.poll(&mut group.results().next()), Poll::Ready(Some(Ok(3))));
        assert!(root.poll_new(group.next()).is_pending());
        assert_eq!(kind(&context), None);
        assert_eq!(tasks.drops(), [1, 0, 0, 1]);
        tasks.sibling.finish(Ok(1));
        assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Ok(1))));
        context.cancel();
        let cancelled = Fail::Cancelled(CancelKind::Cancelled);
        assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Err(cancelled))));
        assert_eq!(root.poll_new(group.next()), Poll::Ready(None));
    }

    #[test]
    fn with_context_keep_going_await_cancels_but_runs_everything() {
        let (root, tasks) = (Root::new(), Tasks::new());
        let (context, group) = with_context();
        let mut group = fill_graceful((context.clone(), group.keep_going()), &tasks);
        tasks.fails.set(Err(text("no")));
        assert!(root.poll(&mut group).is_pending());
        assert_eq!(kind(&context), Some(CancelKind::TaskFailed));
        while root.wakes() > 0 {
            assert!(root.poll(&mut group).is_pending());
        }
        assert_eq!((tasks.drops(), tasks.polls()[3]), ([1, 0, 1, 1], 1));
        tasks.sibling.finish(Ok(1));
        assert_eq!(root.poll(&mut group), Poll::Ready(Err(text("no"))));
    }

    // `with_grace`

    #[test]
    fn with_grace_await_and_collect_drop_what_still_runs_when_the_grace_is_over() {
        for collects in [false, true] {
            let (root, tasks) = (Root::new(), Tasks::new());
            let ((context, group), grace) = with_grace();
            let mut group = fill_graceful((context.clone(), group), &tasks);
            let mut finish = Box::pin(async move {
                if collects {
                    group.collect().await.map(drop)
                } else {
                    (&mut group).await
                }
            });
            assert!(root.poll(&mut finish).is_pending());
            assert_eq!(grace.polls(), 0);
            tasks.fails.finish(Err(text("no")));
            assert!(root.poll(&mut finish).is_pending());
            assert_eq!((tasks.drops()[1], tasks.drops()[3]), (0, 1));
            assert!(grace.polls() > 0);
            grace.finish(());
            assert_eq!(root.run(&mut finish).0, Err(text("no")));
            assert_eq!((tasks.drops(), tasks.polls()[3]), ([1; 4], 0));
        }
    }

    #[test]
    fn with_grace_await_and_collect_give_the_reason_if_there_was_no_error_before() {
        for collects in [false, true] {
            let (root, tasks) = (Root::new(), Tasks::new());
            let ((context, group), grace) = with_grace();
            let mut group = fill(group, &tasks);
            let mut finish = Box::pin(async move {
                if collects {
                    group.collect().await.map(drop)
                } else {
                    (&mut group).await
                }
            });
            assert!(root.poll(&mut finish).is_pending());
            context.cancel();
            assert!(root.poll(&mut finish).is_pending());
            tasks.fails.finish(Ok(0));
            assert!(root.poll(&mut finish).is_pending());
            assert_eq!(tasks.drops(), [1, 0, 0, 1]);
            grace.finish(());
            let cancelled = Fail::Cancelled(CancelKind::Cancelled);
            assert_eq!(root.poll(&mut finish), Poll::Ready(Err(cancelled)));
            assert_eq!(tasks.drops(), [1; 4]);
        }
    }

    #[test]
    fn with_grace_await_is_good_if_every_task_succeeds_within_the_grace() {
        let (root, tasks) = (Root::new(), Tasks::new());
        let ((context, group), grace) = with_grace();
        let mut group = fill(group, &tasks);
        assert!(root.poll(&mut group).is_pending());
        context.cancel();
        for probe in [&tasks.fails, &tasks.sibling, &tasks.listener] {
            probe.finish(Ok(0));
        }
        assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
        assert_eq!((grace.polls(), tasks.polls()[3]), (1, 1));
    }

    #[test]
    fn with_grace_wait_all_and_settle_count_dropped_and_queued_tasks_as_cancelled() {
        for settles in [false, true] {
            let (root, tasks) = (Root::new(), Tasks::new());
            let ((context, group), grace) = with_grace();
            let group = fill(group, &tasks);
            let spawner = group.spawner();
            let mut finish = Box::pin(async move {
                if settles {
                    group.settle().await
                } else {
                    group.wait_all().await.unwrap_err().into_vec().into_iter()
                        .map(|(_, error)| Err(error)).collect()
                }
            });
            assert!(root.poll(&mut finish).is_pending());
            context.cancel();
            grace.set(());
            spawner.spawn(tasks.queued.task());
            tasks.fails.finish(Ok(0));
            let cancelled = Err(Fail::Cancelled(CancelKind::Cancelled));
            let expected = vec![cancelled; 5];
            assert_eq!(root.poll(&mut finish), Poll::Ready(expected));
            assert_eq!((tasks.drops(), tasks.polls()), ([1, 1, 1, 2], [1, 1, 1, 0]));
        }
    }

    #[test]
    fn with_grace_first_ok_counts_dropped_tasks_as_errors() {
        let (root, tasks) = (Root::new(), Tasks::new());
        let ((context, group), grace) = with_grace();
        let mut first = Box::pin(fill(group, &tasks).first_ok());
        tasks.queued.set(Err(text("queued")));
        tasks.listener.set(Err(text("no")));
        assert!(root.poll(&mut first).is_pending());
        assert_eq!((kind(&context), grace.polls()), (None, 0));
        context.cancel();
        assert!(root.poll(&mut first).is_pending());
        grace.finish(());
        let Poll::Ready(Err(errors)) = root.poll(&mut first) else { panic!() };
        assert_eq!(errors.first(), Some(&text("no")));
        let cancelled = Fail::Cancelled(CancelKind::Cancelled);
        let all = [
            (0, cancelled.clone()),
            (1, cancelled),
            (2, text("no")),
            (3, text("queued")),
        ];
        assert_eq!(errors.into_vec(), all);
    }

    #[test]
    fn with_grace_ready_and_drive_fail_when_the_grace_is_over() {
        for drives in [false, true] {
            let (root, tasks) = (Root::new(), Tasks::new());
            let ((context, group), grace) = with_grace();
            let mut group = fill(group, &tasks);
            let poll = |group: &mut TheGroup| if drives {
                root.poll_new(group.drive(pending::<()>())).map(|output| output.is_some())
            } else {
                root.poll_new(group.ready())
            };
            assert!(poll(&mut group).is_pending());
            context.cancel();
            assert!(poll(&mut group).is_pending());
            grace.finish(());
            assert_eq!(poll(&mut group), Poll::Ready(false));
            assert_eq!(tasks.drops(), [1; 4]);
            assert!(!group.try_spawn(ready(Ok(1))).unwrap_err().is_full());
            let cancelled = Fail::Cancelled(CancelKind::Cancelled);
            assert_eq!(root.poll(&mut group), Poll::Ready(Err(cancelled)));
        }
    }

    #[test]
    fn with_grace_next_and_results_yield_the_outcome_of_dropped_tasks() {
        let (root, tasks) = (Root::new(), Tasks::new());
        let grace = Probe::<()>::new();
        let future = grace.clone();
        let (context, group) = Group::with_grace(&CancelContext::new(), move || future.task());
        let mut group = fill(group, &tasks);
        tasks.sibling.set(Err(text("mine")));
        assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Err(text("mine")))));
        tasks.queued.set(Ok(3));
        context.cancel();
        grace.set(());
        let cancelled = Fail::Cancelled(CancelKind::Cancelled);
        let rest: Vec<_> = run(group.results().collect());
        assert_eq!(rest, vec![Err(cancelled); 3]);
        assert_eq!(tasks.polls()[3], 0);
        assert_eq!(root.poll_new(group.next()), Poll::Ready(None));
    }
}
