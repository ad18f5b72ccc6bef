//! What Go's `errgroup`, `semaphore` and `context` do, done here; and where this crate does
//! something else on purpose, what.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use std::thread;

use crate::common::{Fail, Probe, Root, probes, run, yields};
use errgroup::{CancelContext, CancelKind, Cancelled, ErrGroup, Semaphore};
use futures::future::{join, pending};

fn cause(reason: &Cancelled) -> Option<String> {
    reason.cause().map(ToString::to_string)
}

/// `reason`, of which the context must have one.
#[track_caller]
fn reason(context: &CancelContext) -> Cancelled {
    context.reason().expect("it is cancelled")
}

mod group {
    use super::*;

    // R6, C5. Go: `errOnce` stores the error, and then cancels.
    #[test]
    fn the_first_error_is_stored_before_the_cancel() {
        let root = Root::new();
        let (context, group) = ErrGroup::<(), _>::with_context(&CancelContext::new());
        let mut group = group.cause_from(|error: &String| error.clone().into());
        for _ in 0..3 {
            group.spawn(async {
                let reason = context.cancelled().await;
                Err(format!("a sibling: {}", cause(&reason).unwrap()))
            });
        }
        let first = Probe::new();
        group.spawn(first.task());
        assert!(root.poll(&mut group).is_pending());
        first.finish(Err("the root cause".into()));
        let error = Err("the root cause".into());
        assert_eq!(root.poll(&mut group), Poll::Ready(error));
        assert_eq!(reason(&context).kind(), CancelKind::TaskFailed);
    }

    // R6. Different: in Go such a loop ends with the "context canceled" of `Acquire`.
    #[test]
    fn the_error_of_a_semaphore_under_the_context_never_replaces_the_first() {
        let semaphore = Semaphore::new(2);
        let (context, mut group) = ErrGroup::<(), Fail>::with_context(&CancelContext::new());
        let mut spawned = 0;
        let result = run(async {
            for number in 0..10 {
                let Some(permit) = group.drive(semaphore.acquire(1)).await else {
                    break;
                };
                spawned += 1;
                let context = &context;
                group.spawn(async move {
                    let _permit = permit;
                    if number == 3 {
                        return Err(Fail::Text("the disk is full"));
                    }
                    context.run(yields(1 + number)).await?;
                    Ok(())
                });
            }
            group.await
        });
        assert_eq!(result, Err(Fail::Text("the disk is full")));
        assert!(spawned < 10);
        assert_eq!(semaphore.available(), 2);
    }

    // C5. Go: `Wait` cancels the context, with an error or not.
    #[test]
    fn the_context_is_done_after_wait_also_on_success() {
        let parent = CancelContext::new();
        let (context, mut group) = ErrGroup::<(), ()>::with_context(&parent);
        group.spawn(async { Ok(()) });
        assert!(!context.is_cancelled());
        run(group).unwrap();
        // Go says "context canceled"; here one can tell.
        assert_eq!(reason(&context).kind(), CancelKind::Finished);
        assert!(!parent.is_cancelled());

        let (context, mut group) = ErrGroup::<(), ()>::with_context(&parent);
        group.spawn(async { Err(()) });
        run(group).unwrap_err();
        assert_eq!(reason(&context).kind(), CancelKind::TaskFailed);
        assert!(!parent.is_cancelled());

        // A group without tasks is no exception.
        let (context, group) = ErrGroup::<(), ()>::with_context(&parent);
        run(group).unwrap();
        assert_eq!(reason(&context).kind(), CancelKind::Finished);
    }

    // C5. Different: Go leaks what a forgotten group holds; here dropping it ends everything.
    #[test]
    fn the_context_is_done_after_a_group_that_was_dropped() {
        let (context, mut group) = ErrGroup::<(), ()>::with_context(&CancelContext::new());
        group.spawn(pending());
        drop(group);
        assert_eq!(reason(&context).kind(), CancelKind::Finished);
    }

    // Go: nothing in `errgroup` selects on the parent; only what the functions do ends them.
    #[test]
    fn the_group_never_watches_the_parent() {
        let root = Root::new();
        let parent = CancelContext::new();
        let (context, mut group) = ErrGroup::<(), Fail>::with_context(&parent);
        let probes = probes(2);
        group.spawn(probes[0].task());
        group.spawn(probes[1].task());
        assert!(root.poll(&mut group).is_pending());
        parent.cancel();
        assert!(context.is_cancelled());
        assert!(root.poll(&mut group).is_pending());
        // Also what is spawned now runs, and `Wait` returns no error of the context's.
        let late = Probe::new();
        group.spawn(late.task());
        probes.iter().for_each(|probe| probe.finish(Ok(())));
        assert!(root.poll(&mut group).is_pending());
        assert_eq!(late.polls(), 1);
        late.finish(Ok(()));
        assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
    }

    // G1. Different: a group with a grace watches its context, and so the parent.
    #[test]
    fn a_group_with_a_grace_does_watch_the_parent() {
        let root = Root::new();
        let parent = CancelContext::new();
        let (_context, mut group) = ErrGroup::<(), Fail>::with_grace(&parent, || async {});
        group.spawn(pending());
        assert!(root.poll(&mut group).is_pending());
        parent.cancel();
        let error = Err(Fail::Cancelled(CancelKind::Cancelled));
        assert_eq!(root.poll(&mut group), Poll::Ready(error));
    }

    // Go: the zero `Group` has no context, waits for all, and returns the first error.
    #[test]
    fn the_zero_value_waits_for_all_and_gives_the_first_error() {
        let done = AtomicUsize::new(0);
        let mut group = ErrGroup::<(), usize>::new().keep_going();
        for number in 0..10 {
            let done = &done;
            group.spawn(async move {
                // The later ones are done first.
                yields(10 - number).await;
                done.fetch_add(1, SeqCst);
                if number % 2 == 0 { Err(number) } else { Ok(()) }
            });
        }
        assert_eq!(run(group), Err(8));
        assert_eq!(done.into_inner(), 10);
    }

    // R5. Different: what is called `new` here drops the siblings.
    #[test]
    fn a_new_group_does_not_wait_for_all() {
        let mut group = ErrGroup::<(), _>::new();
        group.spawn(pending());
        group.spawn(async { Err("no") });
        assert_eq!(run(group), Err("no"));
    }

    #[test]
    fn a_group_without_tasks_has_no_error() {
        assert_eq!(run(ErrGroup::<(), ()>::new()), Ok(()));
        assert_eq!(run(ErrGroup::<(), ()>::new().keep_going()), Ok(()));
    }

    // R8. Go: `TryGo` says no at the limit.
    #[test]
    fn try_go_refuses_at_the_limit() {
        let (root, probes) = (Root::new(), probes::<Result<(), ()>>(3));
        let mut group = ErrGroup::new().limit(2);
        assert!(group.try_spawn(probes[0].task()).is_ok());
        assert!(group.try_spawn(probes[1].task()).is_ok());
        assert!(group.try_spawn(probes[2].task()).unwrap_err().is_full());
        assert!(root.poll(&mut group).is_pending());
        probes[0].finish(Ok(()));
        assert!(root.poll(&mut group).is_pending());
        assert!(group.try_spawn(probes[2].task()).is_ok());
    }

    // R8. Different: Go's `Go` blocks at the limit, and deadlocks if all who run do it.
    #[test]
    fn go_does_not_block_at_the_limit() {
        let mut group = ErrGroup::<u32, ()>::new().limit(1);
        let spawner = group.spawner();
        group.spawn(async move {
            spawner.spawn(async { Ok(2) });
            Ok(1)
        });
        assert_eq!(run(group.collect()), Ok(vec![1, 2]));
    }

    // R8. Different: in Go a limit of 0 lets `Go` block for ever.
    #[test]
    #[should_panic(expected = "the limit of a group must not be 0")]
    fn a_limit_of_0_panics() {
        drop(ErrGroup::<(), ()>::new().limit(0));
    }

    // R8. Different: Go panics if the limit is changed while anything runs.
    #[test]
    fn the_limit_may_be_changed_at_any_time() {
        let root = Root::new();
        let mut group = ErrGroup::<(), ()>::new().limit(1);
        group.extend((0..3).map(|_| pending()));
        assert!(root.poll(&mut group).is_pending());
        assert_eq!(group.running(), 1);
        group.set_limit(3);
        assert!(root.poll(&mut group).is_pending());
        assert_eq!(group.running(), 3);
    }

    // R5, R7. Different: in Go what is given to a failed group starts all the same.
    #[test]
    fn nothing_starts_after_the_failure() {
        let probe = Probe::<Result<(), _>>::new();
        let (context, mut group) = ErrGroup::with_context(&CancelContext::new());
        let mut group = {
            let spawner = group.spawner();
            let (context, probe) = (&context, probe.clone());
            group.spawn(async { Err("no") });
            group.spawn(async move {
                context.cancelled().await;
                spawner.spawn(probe.task());
                assert!(spawner.try_spawn(probe.task()).is_err());
                Ok(())
            });
            group
        };
        assert_eq!(run(&mut group), Err("no"));
        assert_eq!(probe.polls(), 0);
    }

    // R7. Different: Go's group keeps its first error for every later `Wait`.
    #[test]
    fn a_group_can_be_used_again_after_its_error() {
        let mut group = ErrGroup::<(), _>::new();
        group.spawn(async { Err("no") });
        assert_eq!(run(&mut group), Err("no"));
        group.spawn(async { Ok(()) });
        assert_eq!(run(&mut group), Ok(()));
    }
}

mod semaphore {
    use super::*;

    // S1
    #[test]
    fn strict_fifo() {
        let (root, semaphore) = (Root::new(), Semaphore::new(4));
        let held = semaphore.try_acquire(4).unwrap();
        let mut large = semaphore.acquire(4);
        let mut small = semaphore.acquire(1);
        assert!(root.poll(&mut large).is_pending());
        assert!(root.poll(&mut small).is_pending());
        drop(held);
        // Enough for the small one too, had it come first.
        assert!(root.poll(&mut small).is_pending());
        let Poll::Ready(Ok(permit)) = root.poll(&mut large) else {
            panic!("it came first");
        };
        assert!(root.poll(&mut small).is_pending());
        drop(permit);
        assert!(root.poll(&mut small).is_ready());
    }

    // S1
    #[test]
    fn try_acquire_fails_while_anybody_waits() {
        let (root, semaphore) = (Root::new(), Semaphore::new(3));
        let held = semaphore.try_acquire(1).unwrap();
        let mut waiting = semaphore.acquire(3);
        assert!(root.poll(&mut waiting).is_pending());
        assert_eq!(semaphore.available(), 2);
        assert!(semaphore.try_acquire(1).is_none());
        drop(waiting);
        assert!(semaphore.try_acquire(1).is_some());
        drop(held);
    }

    // C4, S5
    #[test]
    fn a_done_context_fails_acquire_even_uncontended() {
        let semaphore = Semaphore::new(1);
        let context = CancelContext::new();
        context.cancel_with("too late");
        let error = run(context.run(semaphore.acquire(1))).unwrap_err();
        assert_eq!(cause(&error).unwrap(), "too late");
        assert_eq!(semaphore.available(), 1);
    }

    // C4, S5. Go: "Acquired the semaphore after we were canceled. Pretend we didn't."
    #[test]
    fn a_context_that_is_done_wins_over_a_permit_that_was_granted() {
        let (root, semaphore) = (Root::new(), Semaphore::new(1));
        let context = CancelContext::new();
        let held = semaphore.try_acquire(1).unwrap();
        let mut acquire = Box::pin(context.run(semaphore.acquire(1)));
        assert!(root.poll(&mut acquire).is_pending());
        drop(held);
        assert_eq!(semaphore.available(), 0);
        context.cancel();
        assert!(matches!(root.poll(&mut acquire), Poll::Ready(Err(_))));
        assert_eq!(semaphore.available(), 1);
    }

    // S3
    #[test]
    fn cancel_of_the_head_waiter_lets_the_next_ones_go() {
        let (root, semaphore) = (Root::new(), Semaphore::new(2));
        let context = CancelContext::new();
        let held = semaphore.try_acquire(1).unwrap();
        let mut head = Box::pin(context.run(semaphore.acquire(2)));
        let mut next = semaphore.acquire(1);
        assert!(root.poll(&mut head).is_pending());
        assert!(root.poll(&mut next).is_pending());
        context.cancel();
        assert!(matches!(root.poll(&mut head), Poll::Ready(Err(_))));
        assert!(root.poll(&mut next).is_ready());
        drop(held);
    }

    // S2. Different: Go waits until the context is done, which may be
    // never. Here it is an error at once.
    #[test]
    fn a_request_above_the_size_never_holds_up_others() {
        let (root, semaphore) = (Root::new(), Semaphore::new(2));
        let held = semaphore.try_acquire(2).unwrap();
        let mut large = semaphore.acquire(3);
        let Poll::Ready(Err(error)) = root.poll(&mut large) else {
            panic!("it can never be met");
        };
        assert_eq!((error.requested, error.capacity), (3, 2));
        let mut small = semaphore.acquire(1);
        assert!(root.poll(&mut small).is_pending());
        drop(held);
        assert!(root.poll(&mut small).is_ready());
        drop(small);
        assert!(semaphore.try_acquire(3).is_none());
        assert!(semaphore.try_acquire(2).is_some());
    }
}

mod context {
    use super::*;

    // C1
    #[test]
    fn the_first_cancel_wins() {
        let context = CancelContext::new();
        assert!(context.cancel_with("first"));
        assert!(!context.cancel_with("second"));
        assert!(!context.cancel());
        assert_eq!(cause(&reason(&context)).unwrap(), "first");
    }

    // C1
    #[test]
    fn cancelling_a_child_does_not_touch_its_parent() {
        let parent = CancelContext::new();
        parent.child().cancel();
        assert!(!parent.is_cancelled());
    }

    // C1
    #[test]
    fn a_child_of_a_cancelled_parent_is_cancelled_at_birth_with_its_cause() {
        let parent = CancelContext::new();
        parent.cancel_with("the parent's");
        let child = parent.child();
        assert!(!child.cancel_with("its own"));
        assert_eq!(cause(&reason(&child)).unwrap(), "the parent's");
        let child = parent.with_deadline(std::future::ready(()));
        assert!(!reason(&child).is_deadline());
        // Also the context of a group.
        let (child, _group) = ErrGroup::<(), ()>::with_context(&parent);
        assert_eq!(cause(&reason(&child)).unwrap(), "the parent's");
    }

    // C1
    #[test]
    fn a_child_cancelled_first_keeps_its_own_cause() {
        let parent = CancelContext::new();
        let child = parent.child();
        let grandchild = child.child();
        child.cancel_with("its own");
        parent.cancel_with("the parent's");
        for context in [&child, &grandchild] {
            assert_eq!(cause(&reason(context)).unwrap(), "its own");
        }
        assert_eq!(cause(&reason(&parent)).unwrap(), "the parent's");
    }

    // C3. Go: `Cause` is `DeadlineExceeded`. Here that is the kind, and the cause is free for
    // what Go has `WithTimeoutCause` for.
    #[test]
    fn a_deadlines_cause_is_deadline_exceeded() {
        let root = Root::new();
        let context = CancelContext::new().with_deadline(async {});
        let Poll::Ready(reason) = root.poll(&mut context.cancelled()) else {
            panic!("the deadline has passed");
        };
        assert_eq!(reason.kind(), CancelKind::DeadlineExceeded);
        assert_eq!(reason.to_string(), "deadline exceeded");
        assert!(reason.cause().is_none());

        let context = CancelContext::new().with_deadline_cause(async {}, "too slow");
        let Poll::Ready(reason) = root.poll(&mut context.cancelled()) else {
            panic!("the deadline has passed");
        };
        assert!(reason.is_deadline());
        assert_eq!(cause(&reason).unwrap(), "too slow");
    }

    // C1, C3. Go: a child's deadline cannot be later than its parent's.
    #[test]
    fn the_earlier_deadline_wins() {
        let root = Root::new();
        let (early, late) = (Probe::<()>::new(), Probe::<()>::new());
        let parent = CancelContext::new().with_deadline_cause(early.task(), "early");
        let child = parent.with_deadline_cause(late.task(), "late");
        let mut done = child.cancelled();
        assert!(root.poll(&mut done).is_pending());
        early.finish(());
        let Poll::Ready(reason) = root.poll(&mut done) else {
            panic!("the deadline has passed");
        };
        assert_eq!(cause(&reason).unwrap(), "early");
        assert!(late.is_dropped());
    }

    // C3. Different: in Go a timer of the runtime cancels. Here nobody does who does not poll.
    #[test]
    fn a_deadline_that_nobody_polls_is_not_seen() {
        let context = CancelContext::new().with_deadline(async {});
        assert!(!context.is_cancelled());
        assert!(run(context.run(async {})).is_err());
        assert!(context.is_cancelled());
    }

    // C1. Go: `context.Cause` gives the very error, which `errors.As` can look into.
    #[test]
    fn the_cause_is_the_error_that_was_given() {
        #[derive(Debug, PartialEq)]
        struct Signal(i32);

        impl fmt::Display for Signal {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "signal {}", self.0)
            }
        }

        impl Error for Signal {}

        let context = CancelContext::new();
        let child = context.child();
        context.cancel_with(Signal(15));
        let reason = reason(&child);
        assert_eq!(reason.cause().unwrap().downcast_ref(), Some(&Signal(15)));
        assert_eq!(reason.source().unwrap().to_string(), "signal 15");
    }

    // C2, H2. Go: `AfterFunc` runs its function in a goroutine of its own.
    #[test]
    fn after_func_is_a_group_around_the_work() {
        for (cancels, stops) in [(true, false), (false, true), (false, false)] {
            let (ctx, ran) = (&CancelContext::new(), &AtomicUsize::new(0));
            let f = || _ = ran.fetch_add(1, SeqCst);
            let work = async {
                let (ctx, mut group) = ErrGroup::<(), Cancelled>::with_context(ctx);
                group.spawn(async { ctx.run(yields(3)).await });
                group.await
            };
            let canceller = async {
                yields(1).await;
                if cancels {
                    ctx.cancel();
                }
            };
            let result = run(async {
                let mut after = ErrGroup::<(), Infallible>::new();
                let handle = after.spawn_abortable(async {
                    ctx.cancelled().await;
                    f();
                    Ok(())
                });
                let (result, ()) = join(after.drive(work), canceller).await;
                if stops {
                    handle.abort(); // `stop()`
                    ctx.cancel();
                }
                if ctx.is_cancelled() {
                    after.await.unwrap();
                }
                result.unwrap()
            });
            assert_eq!(result.is_err(), cancels);
            assert_eq!(ran.load(SeqCst), usize::from(cancels));
        }
    }

    // C2
    #[test]
    fn a_cancel_racing_with_a_wait_is_never_lost() {
        const ROUNDS: usize = 500;
        let contexts: Vec<_> = (0..ROUNDS).map(|_| CancelContext::new()).collect();
        let seen = Mutex::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for context in &contexts {
                    context.cancel();
                }
            });
            for _ in 0..2 {
                scope.spawn(|| {
                    for context in &contexts {
                        // Blocks for ever if the wake is lost.
                        let child = context.child();
                        let reason = futures::executor::block_on(child.cancelled());
                        assert_eq!(reason.kind(), CancelKind::Cancelled);
                        *seen.lock().unwrap() += 1;
                    }
                });
            }
        });
        assert_eq!(seen.into_inner().unwrap(), 2 * ROUNDS);
    }
}
