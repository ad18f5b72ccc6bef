//! `buffered` and `buffer_unordered`: streams of outputs.

use std::cell::Cell;
use std::future::ready;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;

use crate::common::{Probe, Root, probes, run, yields};
use errgroup::{buffer_unordered, buffered};
use futures::channel::mpsc;
use futures::stream::{self, FusedStream, StreamExt};

// M2

#[test]
fn outputs_come_in_the_order_of_items_or_of_completion() {
    let root = Root::new();
    let tasks = probes::<usize>(4);
    let mut ordered = buffered(stream::iter(&tasks), 3, Probe::task);
    assert!(root.poll(&mut ordered.next()).is_pending());
    assert_eq!(tasks.each_ref_polls(), [1, 1, 1, 0]);
    tasks[1].finish(1);
    assert_eq!(root.wakes(), 1);
    assert!(root.poll(&mut ordered.next()).is_pending());
    // What is done and waits for its turn keeps its place: three are between source and consumer.
    assert_eq!(tasks.each_ref_polls(), [1, 2, 1, 0]);
    tasks[0].finish(0);
    assert_eq!(root.poll(&mut ordered.next()), Poll::Ready(Some(0)));
    assert_eq!(root.poll(&mut ordered.next()), Poll::Ready(Some(1)));
    assert!(root.poll(&mut ordered.next()).is_pending());
    assert_eq!(tasks[3].polls(), 1);
    tasks[3].finish(3);
    assert!(root.poll(&mut ordered.next()).is_pending());
    tasks[2].finish(2);
    assert_eq!(root.poll(&mut ordered.next()), Poll::Ready(Some(2)));
    assert_eq!(root.poll(&mut ordered.next()), Poll::Ready(Some(3)));
    assert_eq!(root.poll(&mut ordered.next()), Poll::Ready(None));
    drop(ordered);

    let tasks = probes::<usize>(4);
    let mut unordered = buffer_unordered(stream::iter(&tasks), 3, Probe::task);
    assert!(root.poll(&mut unordered.next()).is_pending());
    assert_eq!(tasks.each_ref_polls(), [1, 1, 1, 0]);
    for index in [1, 3, 0, 2] {
        tasks[index].finish(index);
        assert_eq!(root.poll(&mut unordered.next()), Poll::Ready(Some(index)));
        if index == 1 {
            // It goes on pulling when it is polled again.
            assert!(root.poll(&mut unordered.next()).is_pending());
            assert_eq!(tasks[3].polls(), 1);
        }
    }
    assert_eq!(root.poll(&mut unordered.next()), Poll::Ready(None));
}

trait Polls {
    fn each_ref_polls(&self) -> Vec<usize>;
}

impl<R> Polls for Vec<Probe<R>> {
    fn each_ref_polls(&self) -> Vec<usize> {
        self.iter().map(Probe::polls).collect()
    }
}

/// Counts what is between the source and the consumer.
#[test]
fn never_more_than_the_limit_are_between_source_and_consumer() {
    for limit in [1, 2, 3, 64, 65, 300] {
        for slow in [1, 2, 7] {
            let (pulled, given, running) = (Cell::new(0), Cell::new(0_usize), Cell::new(0));
            let source = || stream::iter(0..1000_usize).inspect(|_| pulled.set(pulled.get() + 1));
            let f = |n: usize| {
                running.set(running.get() + 1);
                let running = &running;
                async move {
                    yields(n * 7 % slow).await;
                    running.set(running.get() - 1);
                    n
                }
            };
            let mut ordered = buffered(source(), limit, f);
            run(async {
                while let Some(n) = ordered.next().await {
                    assert_eq!(n, given.get());
                    assert!(pulled.get() - given.get() <= limit, "{limit}");
                    given.set(given.get() + 1);
                }
            });
            drop(ordered);
            assert_eq!((pulled.get(), given.get()), (1000, 1000));

            pulled.set(0);
            let mut seen = Vec::new();
            let mut unordered = buffer_unordered(source(), limit, f);
            run(async {
                while let Some(n) = unordered.next().await {
                    assert!(running.get() <= limit, "{limit}");
                    seen.push(n);
                }
            });
            drop(unordered);
            seen.sort_unstable();
            assert_eq!(seen, Vec::from_iter(0..1000));
        }
    }
}

#[test]
fn both_refill_while_they_yield() {
    // Were a place only filled when nothing is ready, the tasks behind would start late.
    let root = Root::new();
    for ordered in [true, false] {
        let tasks = probes::<usize>(6);
        tasks[0].set(0);
        tasks[1].set(1);
        let source = stream::iter(tasks.clone());
        let f = |task: Probe<usize>| task.task();
        let mut stream = if ordered {
            buffered(source, 2, f).left_stream()
        } else {
            buffer_unordered(source, 2, f).right_stream()
        };
        let mut given = vec![root.poll(&mut stream.next()), root.poll(&mut stream.next())];
        given.sort_by_key(|poll| format!("{poll:?}"));
        assert_eq!(given, [Poll::Ready(Some(0)), Poll::Ready(Some(1))]);
        assert!(root.poll(&mut stream.next()).is_pending());
        assert_eq!(tasks.each_ref_polls(), [1, 1, 1, 1, 0, 0], "{ordered}");
    }
}

#[test]
fn errors_are_outputs_like_others() {
    let f = |n: usize| ready(if n % 2 == 0 { Ok(n) } else { Err(n) });
    let all: Vec<_> = run(buffered(stream::iter(0..4), 2, f).collect());
    assert_eq!(all, [Ok(0), Err(1), Ok(2), Err(3)]);
    let mut all: Vec<_> = run(buffer_unordered(stream::iter(0..4), 2, f).collect());
    all.sort_unstable();
    assert_eq!(all, [Ok(0), Ok(2), Err(1), Err(3)]);
}

#[test]
fn both_end_with_their_source_and_are_fused() {
    let root = Root::new();
    let (sender, receiver) = mpsc::unbounded::<usize>();
    let mut stream = buffered(receiver, 4, ready);
    assert!(root.poll(&mut stream.next()).is_pending());
    assert!(!stream.is_terminated());
    sender.unbounded_send(1).unwrap();
    assert_eq!(root.wakes(), 1);
    assert_eq!(root.poll(&mut stream.next()), Poll::Ready(Some(1)));
    drop(sender);
    assert_eq!(root.poll(&mut stream.next()), Poll::Ready(None));
    assert!(stream.is_terminated());
    assert_eq!(root.poll(&mut stream.next()), Poll::Ready(None));

    let mut stream = buffer_unordered(stream::empty::<usize>(), 4, ready);
    assert!(!stream.is_terminated());
    assert_eq!(root.poll(&mut stream.next()), Poll::Ready(None));
    assert!(stream.is_terminated());
    assert_eq!(root.poll(&mut stream.next()), Poll::Ready(None));
}

#[test]
fn a_source_that_has_nothing_holds_up_nobody() {
    let root = Root::new();
    let tasks = probes::<usize>(2);
    let source = stream::iter(tasks.clone()).chain(stream::pending());
    let mut stream = buffered(source, 8, |task| task.task());
    assert!(root.poll(&mut stream.next()).is_pending());
    tasks[1].finish(1);
    assert!(root.poll(&mut stream.next()).is_pending());
    tasks[0].finish(0);
    assert_eq!(root.poll(&mut stream.next()), Poll::Ready(Some(0)));
    assert_eq!(root.poll(&mut stream.next()), Poll::Ready(Some(1)));
    assert!(root.poll(&mut stream.next()).is_pending());
}

// M1

#[test]
fn what_is_over_has_dropped_its_source_and_its_function() {
    let alive = Arc::new(());
    for ordered in [true, false] {
        let (held, in_source) = (alive.clone(), alive.clone());
        let f = move |n: usize| {
            let _held = &held;
            ready(n)
        };
        let source = stream::iter(0..3_usize).inspect(move |_| {
            let _held = &in_source;
        });
        let mut stream = if ordered {
            buffered(source, 2, f).left_stream()
        } else {
            buffer_unordered(source, 2, f).right_stream()
        };
        run(async { while stream.next().await.is_some() {} });
        assert_eq!(Arc::strong_count(&alive), 1, "{ordered}");
        drop(stream);
    }
}

#[test]
fn a_source_that_has_ended_is_dropped_while_the_last_futures_run() {
    let root = Root::new();
    for ordered in [true, false] {
        let alive = Arc::new(());
        let (held, in_source) = (alive.clone(), alive.clone());
        let task = Probe::new();
        let f = move |task: Probe<usize>| {
            let _held = &held;
            task.task()
        };
        let source = stream::iter([task.clone()]).inspect(move |_| {
            let _held = &in_source;
        });
        let mut stream = if ordered {
            buffered(source, 2, f).left_stream()
        } else {
            buffer_unordered(source, 2, f).right_stream()
        };
        assert!(root.poll(&mut stream.next()).is_pending());
        assert_eq!(Arc::strong_count(&alive), 1, "{ordered}");
        task.finish(1);
        assert_eq!(root.poll(&mut stream.next()), Poll::Ready(Some(1)));
    }
}

#[test]
fn dropping_drops_what_runs_and_what_waits() {
    let root = Root::new();
    let tasks = probes::<Arc<()>>(3);
    let alive = Arc::new(());
    let mut stream = buffered(stream::iter(tasks.clone()), 3, |task| task.task());
    assert!(root.poll(&mut stream.next()).is_pending());
    tasks[1].finish(alive.clone());
    assert!(root.poll(&mut stream.next()).is_pending());
    drop(stream);
    assert_eq!(Arc::strong_count(&alive), 1);
    assert!(tasks.iter().all(|task| task.drops() == 1));
}

#[test]
fn a_limit_of_0_panics_at_the_call() {
    let panics = |f: &dyn Fn()| catch_unwind(AssertUnwindSafe(f)).is_err();
    assert!(panics(&|| drop(buffered(stream::iter([1]), 0, ready))));
    assert!(panics(&|| drop(buffer_unordered(
        stream::iter([1]),
        0,
        ready
    ))));
}

// R2

#[test]
fn a_future_is_polled_only_when_it_was_woken_and_at_most_256_in_one_poll() {
    let root = Root::new();
    let tasks = probes::<usize>(600);
    let mut stream = buffer_unordered(stream::iter(tasks.clone()), 600, |task| task.task());
    let mut before = 0;
    while root.poll(&mut stream.next()).is_pending() {
        let now: usize = tasks.iter().map(Probe::polls).sum();
        assert!(now - before <= 256);
        before = now;
        if root.wakes() == 0 {
            break;
        }
    }
    assert_eq!(before, 600);
    tasks[300].wake();
    assert_eq!(root.wakes(), 1);
    assert!(root.poll(&mut stream.next()).is_pending());
    assert_eq!(tasks.iter().map(Probe::polls).sum::<usize>(), 601);
    assert_eq!(tasks[300].polls(), 2);
}

// R2
#[test]
fn no_future_is_polled_twice_in_one_poll_whatever_was_left_of_the_one_before() {
    for ordered in [true, false] {
        for limit in (100..300).step_by(7) {
            let poll = Cell::new(0);
            let twice = Cell::new(0);
            let f = |n: usize| {
                let (poll, twice) = (&poll, &twice);
                let (mut left, mut polled) = (n % 5, usize::MAX);
                std::future::poll_fn(move |cx| {
                    if mem::replace(&mut polled, poll.get()) == poll.get() {
                        twice.set(twice.get() + 1);
                    }
                    if left == 0 {
                        return Poll::Ready(());
                    }
                    left -= 1;
                    cx.waker().wake_by_ref();
                    Poll::Pending
                })
            };
            let source = stream::iter(0..2000);
            let mut stream = if ordered {
                buffered(source, limit, f).left_stream()
            } else {
                buffer_unordered(source, limit, f).right_stream()
            };
            let root = Root::new();
            while root.poll(&mut stream.next()) != Poll::Ready(None) {
                poll.set(poll.get() + 1);
            }
            assert_eq!(twice.get(), 0, "{ordered}, {limit}");
        }
    }
}
