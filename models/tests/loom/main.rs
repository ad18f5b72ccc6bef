//! Models of what threads may do to each other. loom runs each of them in every order with at most so
//! many preemptions as `model` is told, mostly three:
//!
//! ```text
//! cargo test --release -p errgroup-models
//! ```
//!
//! All atomics and locks of this crate go through loom (see `src/util/sync.rs`). Stand-ins made of its
//! locks promise what event-listener's `Event` and futures' `FuturesUnordered` do; whether those keep
//! their promises is their own affair. A chunk of tasks has three slots here, not 64.
//!
//! A wake that is lost leaves a thread that waits for ever, which loom reports as a deadlock. What
//! a thread hands to a task goes through `Relaxed` cells, so that only the wake can order it.

mod engine;
mod group;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize as Count;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll, Wake, Waker};

use errgroup::{CancelContext, CancelKind, Cancelled, ErrGroup, Semaphore};
use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering::Relaxed;
use loom::sync::{Mutex, Notify};
use loom::thread;

/// Runs a model with at most so many preemptions.
#[track_caller]
fn model(preemptions: usize, f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    let orders = Arc::new(Count::new(0));
    let count = orders.clone();
    builder.check(move || {
        count.fetch_add(1, SeqCst);
        f();
    });
    println!("{} orders", orders.load(SeqCst));
}

/// A waker on which its thread waits.
#[derive(Default)]
struct Flag(Notify);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify();
    }
}

/// Polls a future only when it was woken.
fn block_on<F: Future>(future: F) -> F::Output {
    let flag = Arc::new(Flag::default());
    let waker = Waker::from(flag.clone());
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        flag.0.wait();
    }
}

/// Polls a future once, and never comes back for its sake.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// A number that a future waits for: with no order but the one that a wake makes.
#[derive(Default)]
struct Cell {
    value: AtomicUsize,
    /// Plain std: filled before there are threads.
    waker: std::sync::Mutex<Option<Waker>>,
}

impl Cell {
    async fn reaches(&self, value: usize) {
        poll_fn(|cx| {
            if self.value.load(Relaxed) >= value {
                return Poll::Ready(());
            }
            let mut waker = self.waker.lock().unwrap();
            waker.get_or_insert_with(|| cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn waker(&self) -> Waker {
        self.waker.lock().unwrap().clone().unwrap()
    }
}

/// An event that may happen before, while and after somebody begins to wait.
#[derive(Default)]
struct Event(Mutex<(bool, Option<Waker>)>);

impl Event {
    fn set(&self) {
        let waker = {
            let mut state = self.0.lock().unwrap();
            state.0 = true;
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn wait(&self) {
        poll_fn(|cx| {
            let mut state = self.0.lock().unwrap();
            if state.0 {
                return Poll::Ready(());
            }
            let old = state.1.replace(cx.waker().clone());
            drop(state);
            drop(old);
            Poll::Pending
        })
        .await;
    }
}

/// Counts a task that was dropped.
struct Dropped(Arc<Count>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

// Tasks: R2, R4.

type Group = ErrGroup<'static, (), ()>;

#[test]
fn a_task_is_polled_after_its_wake_and_sees_what_came_before() {
    model(3, || {
        let cell = Arc::new(Cell::default());
        let mut group = Group::new();
        let theirs = cell.clone();
        group.spawn(async move {
            theirs.reaches(1).await;
            Ok(())
        });
        assert!(poll_once(&mut group).is_pending());
        let waker = cell.waker();
        let other = thread::spawn(move || {
            cell.value.store(1, Relaxed);
            waker.wake();
        });
        block_on(group).unwrap();
        other.join().unwrap();
    });
}

#[test]
fn a_task_that_is_woken_twice_is_polled_after_the_second() {
    model(3, || {
        let cell = Arc::new(Cell::default());
        let mut group = Group::new();
        let theirs = cell.clone();
        group.spawn(async move {
            theirs.reaches(2).await;
            Ok(())
        });
        assert!(poll_once(&mut group).is_pending());
        let waker = cell.waker();
        let other = thread::spawn(move || {
            for value in [1, 2] {
                cell.value.store(value, Relaxed);
                waker.wake_by_ref();
            }
        });
        block_on(group).unwrap();
        other.join().unwrap();
    });
}

/// Two tasks of one chunk.
fn pair(cells: &[Arc<Cell>; 2]) -> (Group, [Waker; 2]) {
    let mut group = Group::new();
    for cell in cells {
        let cell = cell.clone();
        group.spawn(async move {
            cell.reaches(1).await;
            Ok(())
        });
    }
    assert!(poll_once(&mut group).is_pending());
    (group, [cells[0].waker(), cells[1].waker()])
}

#[test]
fn two_tasks_of_a_chunk_are_woken_by_one_thread() {
    model(3, || {
        let cells = [Arc::new(Cell::default()), Arc::new(Cell::default())];
        let (group, wakers) = pair(&cells);
        let other = thread::spawn(move || {
            for (cell, waker) in cells.iter().zip(wakers) {
                cell.value.store(1, Relaxed);
                waker.wake();
            }
        });
        block_on(group).unwrap();
        other.join().unwrap();
    });
}

#[test]
fn a_task_that_is_done_when_it_is_woken_takes_no_wake_of_another_along() {
    model(3, || {
        let cells = [Arc::new(Cell::default()), Arc::new(Cell::default())];
        let (group, wakers) = pair(&cells);
        let other = thread::spawn(move || {
            cells[0].value.store(1, Relaxed);
            wakers[0].wake_by_ref();
            wakers[0].wake_by_ref();
            cells[1].value.store(1, Relaxed);
            wakers[1].wake_by_ref();
        });
        block_on(group).unwrap();
        other.join().unwrap();
    });
}

#[test]
fn two_tasks_of_a_chunk_are_woken_by_two_threads() {
    model(3, || {
        let cells = [Arc::new(Cell::default()), Arc::new(Cell::default())];
        let (group, wakers) = pair(&cells);
        let mut others = Vec::new();
        for (cell, waker) in cells.into_iter().zip(wakers) {
            others.push(thread::spawn(move || {
                cell.value.store(1, Relaxed);
                waker.wake();
            }));
        }
        block_on(group).unwrap();
        join(others);
    });
}

#[test]
fn a_late_wake_of_a_task_that_is_done_takes_nothing_from_the_next_one_in_its_slot() {
    model(3, || {
        let (cell, event) = (Arc::new(Cell::default()), Arc::new(Event::default()));
        let mut group = Group::new();
        let theirs = cell.clone();
        group.spawn(async move {
            theirs.reaches(1).await;
            Ok(())
        });
        assert!(poll_once(&mut group).is_pending());
        let (waker, theirs) = (cell.waker(), event.clone());
        let other = thread::spawn(move || {
            cell.value.store(1, Relaxed);
            waker.wake_by_ref();
            waker.wake();
            theirs.set();
        });
        assert_eq!(block_on(group.next()), Some(Ok(())));
        // The same slot, and so the same waker.
        group.spawn(async move {
            event.wait().await;
            Ok(())
        });
        block_on(group).unwrap();
        other.join().unwrap();
    });
}

#[test]
fn a_wake_through_a_nested_group_reaches_the_root() {
    model(3, || {
        let cell = Arc::new(Cell::default());
        let mut inner = Group::new();
        let theirs = cell.clone();
        inner.spawn(async move {
            theirs.reaches(1).await;
            Ok(())
        });
        let mut group = Group::new();
        group.spawn(inner);
        assert!(poll_once(&mut group).is_pending());
        let waker = cell.waker();
        let other = thread::spawn(move || {
            cell.value.store(1, Relaxed);
            waker.wake();
        });
        block_on(group).unwrap();
        other.join().unwrap();
    });
}

#[test]
fn a_group_may_be_dropped_while_its_task_is_woken() {
    model(3, || {
        let cell = Arc::new(Cell::default());
        let dropped = Arc::new(Count::new(0));
        let (theirs, guard) = (cell.clone(), Dropped(dropped.clone()));
        let mut group = Group::new();
        group.spawn(async move {
            let _guard = guard;
            theirs.reaches(2).await;
            Ok(())
        });
        assert!(poll_once(&mut group).is_pending());
        let (waker, ours) = (cell.waker(), cell.clone());
        let other = thread::spawn(move || {
            cell.value.fetch_add(1, Relaxed);
            waker.wake();
        });
        assert!(poll_once(&mut group).is_pending());
        // The drop of a task touches nothing of loom's: this makes it try both orders.
        ours.value.fetch_add(0, Relaxed);
        drop(group);
        assert_eq!(dropped.load(SeqCst), 1);
        other.join().unwrap();
    });
}

// What is polled beside the tasks: R12.

#[test]
fn what_drives_a_group_is_polled_after_its_wake() {
    model(3, || {
        let cell = Arc::new(Cell::default());
        let theirs = cell.clone();
        let mut group = Group::new();
        group.spawn(std::future::pending());
        let mut driving = pin!(group.drive(theirs.reaches(2)));
        assert!(poll_once(&mut driving).is_pending());
        let waker = cell.waker();
        let other = thread::spawn(move || {
            for value in [1, 2] {
                cell.value.store(value, Relaxed);
                waker.wake_by_ref();
            }
        });
        assert_eq!(block_on(driving), Some(()));
        other.join().unwrap();
    });
}

#[test]
fn a_task_and_what_drives_its_group_are_woken_by_two_threads() {
    model(3, || {
        let (of_task, beside) = (Arc::new(Cell::default()), Arc::new(Cell::default()));
        let (first, second) = (of_task.clone(), beside.clone());
        let done = Arc::new(Event::default());
        let by_task = done.clone();
        let mut group = Group::new();
        group.spawn(async move {
            first.reaches(1).await;
            by_task.set();
            Ok(())
        });
        let mut driving = pin!(group.drive(async {
            second.reaches(1).await;
            done.wait().await;
        }));
        assert!(poll_once(&mut driving).is_pending());
        let mut others = Vec::new();
        for cell in [of_task, beside] {
            let waker = cell.waker();
            others.push(thread::spawn(move || {
                cell.value.store(1, Relaxed);
                waker.wake();
            }));
        }
        assert_eq!(block_on(driving), Some(()));
        join(others);
    });
}

// Spawning: R8, R9, R10.

#[test]
fn a_task_that_is_spawned_while_the_group_parks_runs() {
    model(3, || {
        let event = Arc::new(Event::default());
        let theirs = event.clone();
        let mut group = Group::new();
        group.spawn(async move {
            theirs.wait().await;
            Ok(())
        });
        let spawner = group.spawner();
        let other = thread::spawn(move || {
            spawner.spawn(async move {
                event.set();
                Ok(())
            });
        });
        block_on(group).unwrap();
        other.join().unwrap();
    });
}

#[test]
fn a_task_that_is_spawned_while_the_group_takes_another_runs() {
    model(3, || {
        let event = Arc::new(Event::default());
        let theirs = event.clone();
        let mut group = Group::new();
        group.spawn(async move {
            theirs.wait().await;
            Ok(())
        });
        let spawner = group.spawner();
        let other = thread::spawn(move || {
            spawner.spawn(async { Ok(()) });
            spawner.spawn(async move {
                event.set();
                Ok(())
            });
        });
        block_on(group).unwrap();
        other.join().unwrap();
    });
}

#[test]
fn a_task_that_is_spawned_at_the_end_runs_or_is_refused() {
    model(3, || {
        let (ran, dropped) = (Arc::new(Count::new(0)), Arc::new(Count::new(0)));
        let group = ErrGroup::<usize, ()>::new();
        let spawner = group.spawner();
        let (theirs, guard) = (ran.clone(), Dropped(dropped.clone()));
        let other = thread::spawn(move || {
            let task = async move {
                let _guard = guard;
                theirs.fetch_add(1, SeqCst);
                Ok(7)
            };
            let taken = spawner.try_spawn(task).is_ok();
            assert!(taken || spawner.is_closed());
            taken
        });
        let values = block_on(group.collect()).unwrap();
        let (ran_by_then, dropped_by_then) = (ran.load(SeqCst), dropped.load(SeqCst));
        let taken = other.join().unwrap();
        assert_eq!(values.len(), usize::from(taken));
        assert_eq!(ran.load(SeqCst), usize::from(taken));
        assert_eq!(ran_by_then, ran.load(SeqCst));
        assert!(!taken || dropped_by_then == 1);
        assert_eq!(dropped.load(SeqCst), 1);
    });
}

#[test]
fn two_threads_spawn_and_every_task_runs_or_is_refused() {
    model(3, || {
        let (ran, dropped) = (Arc::new(Count::new(0)), Arc::new(Count::new(0)));
        let mut group = ErrGroup::<usize, ()>::new();
        group.spawn(async { Ok(0) });
        let mut others = Vec::new();
        for value in [1, 2] {
            let (spawner, ran, guard) = (group.spawner(), ran.clone(), Dropped(dropped.clone()));
            others.push(thread::spawn(move || {
                spawner.spawn(async move {
                    let _guard = guard;
                    ran.fetch_add(1, SeqCst);
                    Ok(value)
                });
            }));
        }
        let values = block_on(group.wait_all()).unwrap();
        assert_eq!(values.len(), 1 + ran.load(SeqCst));
        join(others);
        assert_eq!(values.len(), 1 + ran.load(SeqCst));
        assert_eq!(dropped.load(SeqCst), 2);
    });
}

#[test]
fn try_spawn_takes_one_of_two_at_a_limit_of_one() {
    model(3, || {
        let group = Group::new().limit(1);
        let others = [group.spawner(), group.spawner()].map(|spawner| {
            thread::spawn(move || match spawner.try_spawn(async { Ok(()) }) {
                Ok(()) => 1,
                Err(refused) => {
                    assert!(refused.is_full());
                    0
                }
            })
        });
        let taken: usize = others.map(|other| other.join().unwrap()).iter().sum();
        assert_eq!(taken, 1);
        assert_eq!(group.len(), 1);
        block_on(group).unwrap();
    });
}

#[test]
fn try_spawn_keeps_to_the_limit_while_tasks_end() {
    model(3, || {
        let (taken, ended) = (Arc::new(Count::new(0)), Arc::new(Count::new(0)));
        let mut group = Group::new().limit(1);
        let others = [group.spawner(), group.spawner()].map(|spawner| {
            let (taken, ended) = (taken.clone(), ended.clone());
            thread::spawn(move || {
                let theirs = ended.clone();
                let task = async move {
                    theirs.fetch_add(1, SeqCst);
                    Ok(())
                };
                if spawner.try_spawn(task).is_ok() {
                    // All that were taken before, but one, have ended.
                    let before = taken.fetch_add(1, SeqCst);
                    assert!(ended.load(SeqCst) >= before);
                }
            })
        });
        block_on(&mut group).unwrap();
        join(others);
        block_on(group).unwrap();
        assert_eq!(taken.load(SeqCst), ended.load(SeqCst));
        assert!(taken.load(SeqCst) >= 1);
    });
}

#[test]
fn who_waits_for_room_is_woken_when_a_task_ends() {
    model(3, || {
        let mut group = Group::new().limit(1);
        group.spawn(async { Ok(()) });
        let spawner = group.spawner();
        let other = thread::spawn(move || assert!(block_on(spawner.ready())));
        block_on(&mut group).unwrap();
        other.join().unwrap();
    });
}

#[test]
fn who_waits_for_room_is_woken_when_the_group_closes() {
    model(3, || {
        let mut group = Group::new().limit(1);
        group.spawn(async { Ok(()) });
        let spawner = group.spawner();
        let other = thread::spawn(move || {
            while block_on(spawner.ready()) && !spawner.is_closed() {
                thread::yield_now();
            }
        });
        block_on(group.collect()).unwrap();
        other.join().unwrap();
    });
}

#[test]
fn who_waits_for_room_is_woken_when_the_group_fails_or_is_dropped() {
    model(3, || {
        let mut group = Group::new().limit(1);
        group.spawn(std::future::pending());
        let spawner = group.spawner();
        let other = thread::spawn(move || assert!(!block_on(spawner.ready())));
        assert!(poll_once(&mut group).is_pending());
        drop(group);
        other.join().unwrap();
    });
}

#[test]
fn who_waits_for_room_is_woken_when_the_limit_is_raised() {
    model(3, || {
        let mut group = Group::new().limit(1);
        group.spawn(std::future::pending());
        let (waiting, raising) = (group.spawner(), group.spawner());
        let others = [
            thread::spawn(move || assert!(block_on(waiting.ready()))),
            thread::spawn(move || raising.set_limit(2)),
        ];
        assert!(poll_once(&mut group).is_pending());
        join(others);
    });
}

#[test]
fn a_raised_limit_starts_what_is_queued() {
    model(3, || {
        let event = Arc::new(Event::default());
        let theirs = event.clone();
        let mut group = Group::new().limit(1);
        group.spawn(async move {
            theirs.wait().await;
            Ok(())
        });
        group.spawn(async move {
            event.set();
            Ok(())
        });
        let spawner = group.spawner();
        let other = thread::spawn(move || spawner.set_limit(2));
        block_on(group).unwrap();
        other.join().unwrap();
    });
}

// Handles: H1, H2.

#[test]
fn a_handle_gets_the_value_of_its_task() {
    model(3, || {
        let group = Group::new();
        let handle = group.spawner().spawn_with_handle(async { Ok(7) });
        let other = thread::spawn(move || assert_eq!(block_on(handle).unwrap(), 7));
        block_on(group).unwrap();
        other.join().unwrap();
    });
}

#[test]
fn a_task_that_is_aborted_while_the_group_parks_is_dropped() {
    model(3, || {
        let mut group = Group::new();
        let handle = group
            .spawner()
            .spawn_with_handle(std::future::pending::<Result<(), ()>>());
        assert!(poll_once(&mut group).is_pending());
        let other = thread::spawn(move || {
            handle.abort();
            assert_eq!(block_on(handle).unwrap_err().kind(), CancelKind::Cancelled);
        });
        block_on(group).unwrap();
        other.join().unwrap();
    });
}

#[test]
fn a_task_that_is_aborted_before_or_while_it_starts_is_dropped() {
    model(3, || {
        let group = Group::new();
        let handle = group
            .spawner()
            .spawn_with_handle(std::future::pending::<Result<(), ()>>());
        let other = thread::spawn(move || {
            handle.abort();
            assert_eq!(block_on(handle).unwrap_err().kind(), CancelKind::Cancelled);
        });
        block_on(group).unwrap();
        other.join().unwrap();
    });
}

// Contexts: C1, C2, C3.

fn cause(reason: &Cancelled) -> String {
    reason.cause().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn a_cancel_reaches_who_just_begins_to_wait() {
    model(3, || {
        let context = CancelContext::new();
        let data = Arc::new(AtomicUsize::new(0));
        let (theirs, written) = (context.clone(), data.clone());
        let other = thread::spawn(move || {
            written.store(1, Relaxed);
            assert!(theirs.cancel_with("first"));
        });
        assert_eq!(cause(&block_on(context.cancelled())), "first");
        assert_eq!(data.load(Relaxed), 1);
        other.join().unwrap();
    });
}

#[test]
fn who_sees_a_context_cancelled_sees_what_came_before() {
    model(3, || {
        let context = CancelContext::new();
        let grandchild = context.child().child();
        let data = Arc::new(AtomicUsize::new(0));
        let written = data.clone();
        let other = thread::spawn(move || {
            written.store(1, Relaxed);
            context.cancel();
        });
        if grandchild.is_cancelled() {
            assert_eq!(data.load(Relaxed), 1);
            assert!(grandchild.check().is_err());
        }
        other.join().unwrap();
        assert!(grandchild.is_cancelled());
    });
}

#[test]
fn a_cancel_reaches_who_waits_far_below() {
    model(3, || {
        let root = CancelContext::new();
        let leaf = root.child().child();
        let other = thread::spawn(move || assert!(root.cancel_with("root")));
        assert_eq!(cause(&block_on(leaf.cancelled())), "root");
        other.join().unwrap();
    });
}

#[test]
fn a_cancel_reaches_two_who_link_the_same_path_at_once() {
    model(2, || {
        let root = CancelContext::new();
        let middle = root.child();
        let mut others = Vec::new();
        for leaf in [middle.child(), middle.child()] {
            others.push(thread::spawn(move || {
                assert_eq!(cause(&block_on(leaf.cancelled())), "root");
            }));
        }
        drop(middle);
        assert!(root.cancel_with("root"));
        join(others);
    });
}

#[test]
fn two_cancels_on_one_path_are_seen_in_one_order_by_all() {
    model(3, || {
        let root = CancelContext::new();
        let child = root.child();
        let grandchild = child.child();
        let (first, second) = (root.clone(), child.clone());
        let of_root = thread::spawn(move || first.cancel_with("root"));
        let of_child = thread::spawn(move || second.cancel_with("child"));

        let seen = grandchild.reason().as_ref().map(cause);
        if let Some(seen) = &seen {
            assert_eq!(&cause(&child.reason().unwrap()), seen);
        }
        assert!(of_root.join().unwrap());
        let won = of_child.join().unwrap();

        let end = cause(&grandchild.reason().unwrap());
        assert_eq!(end, if won { "child" } else { "root" });
        assert_eq!(cause(&child.reason().unwrap()), end);
        assert_eq!(cause(&root.reason().unwrap()), "root");
        assert!(seen.is_none_or(|seen| seen == end));
    });
}

#[test]
fn two_cancels_on_one_path_agree_with_who_waits() {
    model(2, || {
        let root = CancelContext::new();
        let child = root.child();
        let grandchild = child.child();
        let mut waiting = grandchild.cancelled();
        assert!(poll_once(&mut waiting).is_pending());
        let (first, second) = (root.clone(), child.clone());
        let of_root = thread::spawn(move || first.cancel_with("root"));
        let of_child = thread::spawn(move || second.cancel_with("child"));
        let seen = cause(&block_on(waiting));
        assert_eq!(cause(&child.reason().unwrap()), seen);
        assert!(of_root.join().unwrap());
        let won = of_child.join().unwrap();
        assert_eq!(seen, if won { "child" } else { "root" });
        assert_eq!(cause(&grandchild.reason().unwrap()), seen);
    });
}

// C1: all the nodes between the two, and who is just linked below them.
#[test]
fn two_cancels_on_one_path_agree_with_who_just_begins_to_wait() {
    model(2, || {
        let root = CancelContext::new();
        let child = root.child();
        let grandchild = child.child();
        let (first, second) = (root.clone(), child.clone());
        let of_root = thread::spawn(move || first.cancel_with("root"));
        let of_child = thread::spawn(move || second.cancel_with("child"));
        let seen = cause(&block_on(grandchild.child().cancelled()));
        for context in [&grandchild, &child] {
            assert_eq!(cause(&context.reason().unwrap()), seen);
        }
        assert!(of_root.join().unwrap());
        assert_eq!(of_child.join().unwrap(), seen == "child");
    });
}

// C1: what is below the lower one has its reason, whoever carries one down.
#[test]
fn two_who_ask_and_two_who_cancel_on_one_path_agree() {
    model(2, || {
        let root = CancelContext::new();
        let child = root.child();
        let leaf = child.child().child();
        let (first, second, third) = (root.clone(), child.clone(), leaf.clone());
        let of_root = thread::spawn(move || first.cancel_with("root"));
        let of_child = thread::spawn(move || second.cancel_with("child"));
        let asks = |leaf: CancelContext| leaf.reason().as_ref().map(cause);
        let theirs = thread::spawn(move || asks(third));
        let ours = asks(leaf.clone());
        assert!(of_root.join().unwrap());
        let won = of_child.join().unwrap();
        let end = asks(leaf).unwrap();
        assert_eq!(end, if won { "child" } else { "root" });
        for seen in [ours, theirs.join().unwrap()].into_iter().flatten() {
            assert_eq!(seen, end);
        }
    });
}

// C1
#[test]
fn who_sees_a_context_cancelled_comes_too_late_below_it() {
    model(3, || {
        let root = CancelContext::new();
        let child = root.child();
        let theirs = root.clone();
        let other = thread::spawn(move || assert!(theirs.cancel_with("root")));
        if root.is_cancelled() {
            assert!(!child.cancel_with("late"));
            assert_eq!(cause(&child.reason().unwrap()), "root");
        }
        other.join().unwrap();
    });
}

// C3
#[test]
fn a_deadline_that_is_made_while_its_parent_is_cancelled_is_dropped() {
    model(3, || {
        let dropped = Arc::new(Count::new(0));
        let guard = Dropped(dropped.clone());
        let root = CancelContext::new();
        let parent = root.child();
        let other = thread::spawn(move || assert!(root.cancel_with("root")));
        let context = parent.with_deadline(async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        });
        other.join().unwrap();
        assert_eq!(dropped.load(SeqCst), 1);
        assert_eq!(cause(&context.reason().unwrap()), "root");
    });
}

#[test]
fn a_deadline_that_wakes_during_its_poll_is_polled_again() {
    model(3, || {
        let event = Arc::new(Event::default());
        let theirs = event.clone();
        let context = CancelContext::new().with_deadline(async move { theirs.wait().await });
        let other = thread::spawn(move || event.set());
        assert!(block_on(context.cancelled()).is_deadline());
        other.join().unwrap();
    });
}

#[test]
fn a_deadline_reaches_two_who_poll_it_at_once() {
    model(2, || {
        let event = Arc::new(Event::default());
        let theirs = event.clone();
        let context = CancelContext::new().with_deadline(async move { theirs.wait().await });
        let below = context.child();
        let others = [
            thread::spawn(move || event.set()),
            thread::spawn(move || assert!(block_on(below.cancelled()).is_deadline())),
        ];
        assert!(block_on(context.cancelled()).is_deadline());
        join(others);
    });
}

#[test]
fn a_deadline_is_dropped_by_a_cancel_during_its_poll() {
    model(3, || {
        let dropped = Arc::new(Count::new(0));
        let guard = Dropped(dropped.clone());
        let event = Arc::new(Event::default());
        let root = CancelContext::new();
        let context = root.with_deadline(async move {
            let _guard = guard;
            event.wait().await;
        });
        let other = thread::spawn(move || assert!(root.cancel_with("root")));
        assert_eq!(cause(&block_on(context.cancelled())), "root");
        other.join().unwrap();
        assert_eq!(dropped.load(SeqCst), 1);
    });
}

#[test]
fn a_waiter_that_is_dropped_during_the_cancel_harms_no_other() {
    model(3, || {
        let root = CancelContext::new();
        let context = root.child();
        let (mut first, second) = (context.cancelled(), context.cancelled());
        assert!(poll_once(&mut first).is_pending());
        let others = [
            thread::spawn(move || assert!(root.cancel())),
            thread::spawn(move || drop(first)),
        ];
        drop(context);
        block_on(second);
        join(others);
    });
}

#[test]
fn a_child_that_is_dropped_during_the_cancel_harms_no_other() {
    model(3, || {
        let root = CancelContext::new();
        let (first, second) = (root.child(), root.child());
        let mut waiting = first.cancelled();
        assert!(poll_once(&mut waiting).is_pending());
        drop(first);
        let theirs = root.clone();
        let others = [
            thread::spawn(move || assert!(theirs.cancel())),
            thread::spawn(move || drop(waiting)),
        ];
        block_on(second.cancelled());
        join(others);
    });
}

// Groups with contexts: C5, G1.

#[derive(Debug)]
struct Failed;

impl From<Cancelled> for Failed {
    fn from(_: Cancelled) -> Self {
        Failed
    }
}

#[test]
fn a_cancel_from_outside_begins_the_grace_of_a_parked_group() {
    model(3, || {
        let parent = CancelContext::new();
        let (_, mut group) = ErrGroup::<(), Failed>::with_grace(&parent, || std::future::ready(()));
        group.spawn(std::future::pending());
        let other = thread::spawn(move || assert!(parent.cancel()));
        assert!(block_on(group).is_err());
        other.join().unwrap();
    });
}

// Semaphores: S1, S3, S5.

#[test]
fn permits_that_are_given_back_reach_who_just_begins_to_wait() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::new(1));
        let permit = semaphore.try_acquire_owned(1).unwrap();
        let other = thread::spawn(move || drop(permit));
        drop(block_on(semaphore.acquire(1)).unwrap());
        other.join().unwrap();
        assert_eq!(semaphore.available(), 1);
    });
}

#[test]
fn a_permit_hands_on_what_was_written_under_it() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::new(1));
        let data = Arc::new(AtomicUsize::new(0));
        let step = |semaphore: &Semaphore, data: &AtomicUsize| {
            let _permit = block_on(semaphore.acquire(1)).unwrap();
            data.store(data.load(Relaxed) + 1, Relaxed);
        };
        let others = [0, 1].map(|_| {
            let (semaphore, data) = (semaphore.clone(), data.clone());
            thread::spawn(move || step(&semaphore, &data))
        });
        join(others);
        step(&semaphore, &data);
        assert_eq!(data.load(Relaxed), 3);
        assert_eq!(semaphore.available(), 1);
    });
}

#[test]
fn a_grant_hands_on_what_was_written_under_permits_that_another_granted() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::new(2));
        let data = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let permits = [0, 1].map(|_| semaphore.try_acquire_owned(1).unwrap());
        let mut waiting = semaphore.acquire(2);
        assert!(poll_once(&mut waiting).is_pending());
        let mut others = Vec::new();
        for (index, permit) in permits.into_iter().enumerate() {
            let data = data.clone();
            others.push(thread::spawn(move || {
                data[index].store(1, Relaxed);
                drop(permit);
            }));
        }
        let permit = block_on(waiting).unwrap();
        assert_eq!(data[0].load(Relaxed), 1);
        assert_eq!(data[1].load(Relaxed), 1);
        join(others);
        drop(permit);
        assert_eq!(semaphore.available(), 2);
    });
}

#[test]
fn two_who_wait_share_what_two_give_back() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::new(3));
        let (one, two) = (
            semaphore.try_acquire_owned(1).unwrap(),
            semaphore.try_acquire_owned(2).unwrap(),
        );
        let theirs = semaphore.clone();
        let others = [
            thread::spawn(move || {
                drop(one);
                drop(two);
            }),
            thread::spawn(move || {
                assert_eq!(block_on(theirs.acquire(2)).unwrap().permits(), 2);
            }),
        ];
        assert_eq!(block_on(semaphore.acquire(3)).unwrap().permits(), 3);
        join(others);
        assert_eq!(semaphore.available(), 3);
    });
}

#[test]
fn who_is_dropped_with_a_grant_or_without_lets_the_next_one_go() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::new(1));
        let permit = semaphore.try_acquire_owned(1).unwrap();
        let mut first = semaphore.acquire_owned(1);
        assert!(poll_once(&mut first).is_pending());
        let others = [
            thread::spawn(move || drop(permit)),
            thread::spawn(move || drop(first)),
        ];
        drop(block_on(semaphore.acquire(1)).unwrap());
        join(others);
        assert_eq!(semaphore.available(), 1);
    });
}

#[test]
fn who_wanted_much_and_is_dropped_lets_the_next_one_go() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::new(2));
        let _held = semaphore.try_acquire(1).unwrap();
        let mut first = semaphore.acquire_owned(2);
        assert!(poll_once(&mut first).is_pending());
        let other = thread::spawn(move || drop(first));
        drop(block_on(semaphore.acquire(1)).unwrap());
        other.join().unwrap();
        assert_eq!(semaphore.available(), 1);
    });
}

#[test]
fn try_acquire_makes_and_loses_no_permits() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::new(1));
        let permit = semaphore.try_acquire_owned(1).unwrap();
        let inside = Arc::new(Count::new(1));
        let (theirs, count) = (semaphore.clone(), inside.clone());
        let trying = thread::spawn(move || {
            if let Some(_permit) = theirs.try_acquire(1) {
                assert_eq!(count.fetch_add(1, SeqCst), 0);
                thread::yield_now();
                count.fetch_sub(1, SeqCst);
            }
        });
        let (theirs, count) = (semaphore.clone(), inside.clone());
        let waiting = thread::spawn(move || {
            let _permit = block_on(theirs.acquire(1)).unwrap();
            assert_eq!(count.fetch_add(1, SeqCst), 0);
            thread::yield_now();
            count.fetch_sub(1, SeqCst);
        });
        inside.fetch_sub(1, SeqCst);
        drop(permit);
        trying.join().unwrap();
        waiting.join().unwrap();
        assert_eq!(semaphore.available(), 1);
    });
}

// Who wakes, and a capacity that changes: S4, S6.

#[test]
fn two_who_free_permits_wake_all_whom_they_serve() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::new(2));
        let permits = [0, 1].map(|_| semaphore.try_acquire_owned(1).unwrap());
        let flags = [0, 1].map(|_| Arc::new(Flag::default()));
        let mut waiting = [0, 1].map(|_| semaphore.acquire(1));
        for (waiting, flag) in waiting.iter_mut().zip(&flags) {
            let waker = Waker::from(flag.clone());
            let polled = std::pin::Pin::new(waiting).poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
        }
        let others = permits.map(|permit| thread::spawn(move || drop(permit)));
        for (waiting, flag) in waiting.iter_mut().zip(&flags) {
            let waker = Waker::from(flag.clone());
            let mut cx = Context::from_waker(&waker);
            while std::pin::Pin::new(&mut *waiting).poll(&mut cx).is_pending() {
                flag.0.wait();
            }
        }
        join(others);
        drop(waiting);
        assert_eq!(semaphore.available(), 2);
    });
}

/// Frees a permit when it is woken.
struct Frees(std::sync::Mutex<Option<errgroup::OwnedPermit>>);

impl Wake for Frees {
    fn wake(self: Arc<Self>) {
        let permit = self.0.lock().unwrap().take();
        drop(permit);
    }
}

#[test]
fn what_a_waker_frees_while_another_thread_frees_more_reaches_who_waits() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::new(3));
        let [one, two, three] = [0, 1, 2].map(|_| semaphore.try_acquire_owned(1).unwrap());
        let mut first = semaphore.acquire(1);
        let waker = Waker::from(Arc::new(Frees(std::sync::Mutex::new(Some(three)))));
        let polled = std::pin::Pin::new(&mut first).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        let others = [
            thread::spawn(move || drop(one)),
            thread::spawn(move || drop(two)),
        ];
        // It needs what all three free, one of whom is the waker.
        assert_eq!(block_on(semaphore.acquire(2)).unwrap().permits(), 2);
        drop(block_on(first).unwrap());
        join(others);
        assert_eq!(semaphore.available(), 3);
    });
}

#[test]
fn a_raised_capacity_hands_on_what_was_written_before() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::new(0));
        let data = Arc::new(AtomicUsize::new(0));
        let (theirs, written) = (semaphore.clone(), data.clone());
        let other = thread::spawn(move || {
            written.store(1, Relaxed);
            theirs.set_capacity(1);
        });
        if let Some(_permit) = semaphore.try_acquire(1) {
            assert_eq!(data.load(Relaxed), 1);
        }
        other.join().unwrap();
        assert_eq!(semaphore.available(), 1);
    });
}

#[test]
fn a_capacity_that_is_lowered_and_raised_loses_no_permit_and_no_waiter() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::new(2));
        let permit = semaphore.try_acquire_owned(1).unwrap();
        let theirs = semaphore.clone();
        let others = [
            thread::spawn(move || drop(permit)),
            thread::spawn(move || {
                theirs.set_capacity(0);
                theirs.set_capacity(1);
            }),
        ];
        // Refused while there are none, or served.
        if let Ok(permit) = block_on(semaphore.acquire(1)) {
            assert_eq!(permit.permits(), 1);
        }
        join(others);
        assert_eq!((semaphore.capacity(), semaphore.available()), (1, 1));
        assert!(semaphore.try_acquire(1).is_some());
    });
}

#[test]
fn who_begins_to_wait_for_too_much_while_the_capacity_is_lowered_is_refused() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::new(2));
        let permit = semaphore.try_acquire_owned(1).unwrap();
        let theirs = semaphore.clone();
        let other = thread::spawn(move || theirs.set_capacity(1));
        assert_eq!(block_on(semaphore.acquire(2)).unwrap_err().capacity, 1);
        drop(permit);
        other.join().unwrap();
        assert_eq!(semaphore.available(), 1);
    });
}

// S3, S6
#[test]
fn who_leaves_while_the_capacity_changes_takes_no_permit_along() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::new(1));
        let permit = semaphore.try_acquire_owned(1).unwrap();
        let mut first = semaphore.acquire_owned(1);
        assert!(poll_once(&mut first).is_pending());
        let theirs = semaphore.clone();
        let others = [
            thread::spawn(move || drop(first)),
            thread::spawn(move || theirs.set_capacity(2)),
        ];
        drop(block_on(semaphore.acquire(1)).unwrap());
        join(others);
        drop(permit);
        assert_eq!((semaphore.capacity(), semaphore.available()), (2, 2));
    });
}

// S5, S6
#[test]
fn of_two_capacities_that_are_set_at_once_one_holds() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::new(2));
        let permit = semaphore.try_acquire_owned(1).unwrap();
        let others = [1, 3].map(|capacity| {
            let semaphore = semaphore.clone();
            thread::spawn(move || semaphore.set_capacity(capacity))
        });
        drop(permit);
        join(others);
        let capacity = semaphore.capacity();
        assert!(capacity == 1 || capacity == 3);
        assert_eq!(semaphore.available(), capacity);
        assert!(semaphore.try_acquire(capacity).is_some());
    });
}
