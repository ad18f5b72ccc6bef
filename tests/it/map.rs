//! What `try_map` and its siblings do with items, step by step.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};

use crate::common::{OnDrop, Probe, Root, probes, restless, run, yields};
use errgroup::{
    TryForEach, TryMap, buffered, try_for_each, try_for_each_stream, try_map, try_map_stream,
};
use futures::channel::mpsc;
use futures::future::{FusedFuture, pending, ready};
use futures::stream::{self, Stream, StreamExt};

type Outcome = Result<usize, &'static str>;

/// The numbers from 0, counted as they are taken.
fn counted(taken: &Cell<usize>) -> impl Iterator<Item = usize> {
    (0..).inspect(|_| taken.set(taken.get() + 1))
}

// M1
#[test]
fn nothing_is_taken_before_the_first_poll() {
    let taken = Cell::new(0);
    let work = try_map(counted(&taken), 3, |_| pending::<Outcome>());
    assert_eq!(taken.get(), 0);
    drop(work);
    assert_eq!(taken.get(), 0);
}

// M1
#[test]
fn an_item_is_taken_when_there_is_room_for_it() {
    let (root, taken, probes) = (Root::new(), Cell::new(0), probes::<Outcome>(8));
    let mut work = Box::pin(try_map(counted(&taken), 3, |item| probes[item].task()));
    for _ in 0..2 {
        assert!(root.poll(&mut work).is_pending());
        assert_eq!(taken.get(), 3);
    }
    // Its place is filled by the poll that finds it done.
    probes[1].finish(Ok(1));
    assert_eq!(taken.get(), 3);
    assert!(root.poll(&mut work).is_pending());
    assert_eq!(taken.get(), 4);
    assert_eq!((probes[1].drops(), probes[3].polls()), (1, 1));

    probes[0].finish(Ok(0));
    probes[3].finish(Ok(3));
    assert!(root.poll(&mut work).is_pending());
    assert_eq!(taken.get(), 6);
    assert_eq!(probes[6].polls(), 0);
}

// M1
#[test]
fn no_more_than_the_limit_run_at_once() {
    let (running, peak) = (Cell::new(0), Cell::new(0));
    let work = try_for_each(0..1000, 7, |item| {
        let (running, peak) = (&running, &peak);
        async move {
            running.set(running.get() + 1);
            peak.set(peak.get().max(running.get()));
            yields(item % 5).await;
            running.set(running.get() - 1);
            Ok::<_, ()>(())
        }
    });
    run(work).unwrap();
    assert_eq!((running.get(), peak.get()), (0, 7));
}

// M1
#[test]
fn values_come_in_the_order_of_the_items() {
    let (root, probes) = (Root::new(), probes::<Outcome>(5));
    let mut work = Box::pin(try_map(0..5, 5, |item| probes[item].task()));
    assert!(root.poll(&mut work).is_pending());
    for item in [3, 0, 4, 2] {
        probes[item].finish(Ok(10 * item));
        assert!(root.poll(&mut work).is_pending());
    }
    probes[1].finish(Ok(10));
    assert_eq!(
        root.poll(&mut work),
        Poll::Ready(Ok(vec![0, 10, 20, 30, 40]))
    );
}

// M1
#[test]
fn values_come_in_the_order_of_the_items_however_long_each_takes() {
    for limit in [1, 2, 63, 64, 65, 300, usize::MAX] {
        let work = try_map(0..1000, limit, |item| async move {
            yields(item * 7 % 11).await;
            Ok::<_, ()>(item)
        });
        assert_eq!(run(work).unwrap(), (0..1000).collect::<Vec<_>>());
    }
}

// M1
#[test]
fn without_items_it_is_done_at_once() {
    let root = Root::new();
    let none = || 0..0usize;
    let f = |_| pending::<Outcome>();
    let g = |_| pending::<Result<(), ()>>();
    assert_eq!(
        root.poll_new(try_map(none(), 1, f)),
        Poll::Ready(Ok(vec![]))
    );
    assert_eq!(
        root.poll_new(try_for_each(none(), 1, g)),
        Poll::Ready(Ok(()))
    );
    assert_eq!(
        root.poll_new(try_map_stream(stream::iter(none()), 1, f)),
        Poll::Ready(Ok(vec![]))
    );
    assert_eq!(
        root.poll_new(try_for_each_stream(stream::iter(none()), 1, g)),
        Poll::Ready(Ok(()))
    );
    assert_eq!(root.wakes(), 0);
}

// M1
#[test]
fn the_first_error_in_time_drops_the_rest_and_is_returned_in_the_same_poll() {
    let (root, taken, probes) = (Root::new(), Cell::new(0), probes::<Outcome>(200));
    let mut work = Box::pin(try_map(counted(&taken), 100, |item| probes[item].task()));
    assert!(root.poll(&mut work).is_pending());
    // The other one would have come later, though its item is the first.
    probes[0].set(Err("0"));
    probes[99].finish(Err("99"));
    assert_eq!(root.poll(&mut work), Poll::Ready(Err("99")));
    // Not when the future is dropped: before the poll returned.
    assert!(probes[..100].iter().all(|probe| probe.drops() == 1));
    assert!(probes[100..].iter().all(|probe| probe.polls() == 0));
    assert_eq!(taken.get(), 100);
}

// M1
#[test]
fn an_error_stops_the_taking_though_there_is_room() {
    let (root, taken) = (Root::new(), Cell::new(0));
    let work = try_for_each(counted(&taken), 1000, |item| async move {
        if item == 5 {
            return Err("five");
        }
        pending().await
    });
    assert_eq!(root.poll_new(work), Poll::Ready(Err("five")));
    assert_eq!(taken.get(), 6);
}

// M1
#[test]
fn the_place_of_one_that_failed_is_not_filled() {
    let (root, taken, probes) = (Root::new(), Cell::new(0), probes::<Outcome>(3));
    let mut work = Box::pin(try_map(counted(&taken), 2, |item| probes[item].task()));
    assert!(root.poll(&mut work).is_pending());
    probes[0].finish(Err("no"));
    probes[1].finish(Ok(1));
    assert_eq!(root.poll(&mut work), Poll::Ready(Err("no")));
    // The other one was not even polled.
    assert_eq!((taken.get(), probes[1].polls()), (2, 1));
}

// M1
#[test]
fn an_endless_iterator_ends_with_an_error() {
    for limit in [1, 4, 1000] {
        let work = try_map(0u64.., limit, |item| async move {
            yields((item % 3) as usize).await;
            if item < 5000 { Ok(()) } else { Err(item) }
        });
        let error = run(work).unwrap_err();
        // The first in time, which may be a later item.
        assert!(
            (5000..5000 + limit.max(4) as u64).contains(&error),
            "{error}"
        );
    }
}

// M1
#[test]
fn a_limit_of_0_panics_at_the_call() {
    fn message<R>(f: impl FnOnce() -> R) -> String {
        let payload = catch_unwind(AssertUnwindSafe(f)).err().expect("it panics");
        (*payload.downcast::<&str>().expect("a plain text")).into()
    }

    let taken = Cell::new(0);
    let f = |_| ready(Ok::<_, ()>(()));
    for message in [
        message(|| try_map(counted(&taken), 0, f)),
        message(|| try_for_each(counted(&taken), 0, f)),
        message(|| try_map_stream(stream::iter(counted(&taken)), 0, f)),
        message(|| try_for_each_stream(stream::iter(counted(&taken)), 0, f)),
        // Also if there is nothing to do.
        message(|| try_for_each([0; 0], 0, f)),
    ] {
        assert!(message.contains("limit must not be 0"), "{message}");
    }
    assert_eq!(taken.get(), 0);
}

// M1
#[test]
fn items_and_futures_may_borrow() {
    let words = ["one".to_string(), "three".to_string()];
    let longest = Cell::new(0);
    let longest = &longest;
    let lengths = run(try_map(&words, 2, |word| async move {
        longest.set(longest.get().max(word.len()));
        Ok::<_, ()>(word.as_str())
    }));
    assert_eq!((lengths.unwrap(), longest.get()), (vec!["one", "three"], 5));
}

// M1
#[test]
fn a_stream_that_has_nothing_does_not_hold_up_what_runs() {
    let (root, probes) = (Root::new(), probes::<Outcome>(3));
    let (sender, items) = mpsc::unbounded::<usize>();
    let mut work = Box::pin(try_map_stream(items, 2, |item| probes[item].task()));
    assert!(root.poll(&mut work).is_pending());
    sender.unbounded_send(0).unwrap();
    assert_eq!(root.wakes(), 1);
    assert!(root.poll(&mut work).is_pending());
    assert_eq!(probes[0].polls(), 1);

    // Woken while the stream has nothing.
    probes[0].wake();
    assert_eq!(root.wakes(), 1);
    assert!(root.poll(&mut work).is_pending());
    assert_eq!(probes[0].polls(), 2);
    probes[0].finish(Ok(0));
    assert!(root.poll(&mut work).is_pending());
    assert_eq!(probes[0].drops(), 1);

    // And it has something again when nothing runs.
    root.wakes();
    sender.unbounded_send(1).unwrap();
    sender.unbounded_send(2).unwrap();
    drop(sender);
    assert_eq!(root.wakes(), 1);
    assert!(root.poll(&mut work).is_pending());
    probes[2].finish(Ok(2));
    probes[1].finish(Ok(1));
    assert_eq!(root.poll(&mut work), Poll::Ready(Ok(vec![0, 1, 2])));
}

// M1
#[test]
fn an_error_does_not_wait_for_a_stream_that_has_nothing() {
    let (root, probe) = (Root::new(), Probe::new());
    let items = stream::iter([0]).chain(stream::pending());
    let mut work = Box::pin(try_for_each_stream(items, 2, |_| probe.task()));
    assert!(root.poll(&mut work).is_pending());
    probe.finish(Err("no"));
    assert_eq!(root.poll(&mut work), Poll::Ready(Err("no")));
}

// M1
#[test]
fn a_stream_is_polled_only_for_what_there_is_room_for_and_not_after_its_end() {
    let (root, polls, probes) = (Root::new(), Cell::new(0), probes::<Outcome>(4));
    // Panics when it is polled after its end.
    let mut items = Some(0..4);
    let items = stream::poll_fn(|_| {
        polls.set(polls.get() + 1);
        let item = items.as_mut().expect("polled after its end").next();
        if item.is_none() {
            items = None;
        }
        Poll::Ready(item)
    });
    let mut work = Box::pin(try_map_stream(items, 3, |item| probes[item].task()));
    assert!(root.poll(&mut work).is_pending());
    probes[0].wake();
    assert!(root.poll(&mut work).is_pending());
    assert_eq!(polls.get(), 3);

    for (item, polled) in [(2, 4), (0, 5), (1, 5)] {
        probes[item].finish(Ok(item));
        assert!(root.poll(&mut work).is_pending());
        assert_eq!(polls.get(), polled);
    }
    probes[3].finish(Ok(3));
    assert_eq!(root.poll(&mut work), Poll::Ready(Ok(vec![0, 1, 2, 3])));
}

// M1
#[test]
fn a_stream_that_yields_is_polled_again() {
    let mut items = 0..10;
    let mut yielded = false;
    let items = stream::poll_fn(move |cx| {
        yielded = !yielded;
        if yielded {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(items.next())
    });
    let work = try_map_stream(items, 3, |item| ready(Ok::<_, ()>(item)));
    assert_eq!(run(work).unwrap(), (0..10).collect::<Vec<_>>());
}

// R2, R3
#[test]
fn only_what_was_woken_is_polled_and_wakes_the_parent_once() {
    let (root, probes) = (Root::new(), probes::<Outcome>(300));
    let mut work = Box::pin(try_map(0..300, 200, |item| probes[item].task()));
    assert!(root.poll(&mut work).is_pending());
    assert_eq!(root.wakes(), 0);

    for _ in 0..3 {
        probes[7].wake();
        probes[7].wake();
        probes[150].wake();
        assert_eq!(root.wakes(), 1);
        assert!(root.poll(&mut work).is_pending());
        assert_eq!(root.wakes(), 0);
    }
    probes[8].finish(Ok(8));
    assert_eq!(root.wakes(), 1);
    assert!(root.poll(&mut work).is_pending());
    // What was started in its place is no reason to wake anybody.
    assert_eq!((root.wakes(), probes[200].polls()), (0, 1));
    for (item, probe) in probes.iter().enumerate() {
        let polls = match item {
            7 | 150 => 4,
            8 => 2,
            201.. => 0,
            _ => 1,
        };
        assert_eq!(probe.polls(), polls, "{item}");
    }
}

// R3
#[test]
fn a_poll_for_nothing_polls_nothing() {
    let (root, probe) = (Root::new(), Probe::<Outcome>::new());
    let mut work = Box::pin(try_map(0..5, 1, |_| probe.task()));
    for _ in 0..3 {
        assert!(root.poll(&mut work).is_pending());
    }
    assert_eq!((root.wakes(), probe.polls()), (0, 1));
}

// R2
#[test]
fn the_parent_gets_its_turn_between_256_items() {
    let (root, taken) = (Root::new(), Cell::new(0));
    let items = counted(&taken).take(1000);
    let mut work = Box::pin(try_for_each(items, 8, |_| ready(Ok::<_, ()>(()))));
    for so_far in [256, 512, 768] {
        assert!(root.poll(&mut work).is_pending());
        assert_eq!((taken.get(), root.wakes()), (so_far, 1));
    }
    assert_eq!(root.poll(&mut work), Poll::Ready(Ok(())));
}

// R3
#[test]
fn a_budget_that_is_spent_when_there_is_no_room_wakes_nobody() {
    let root = Root::new();
    let mut work = Box::pin(try_map(0..300, 8, async |item| {
        if item >= 248 {
            pending::<()>().await;
        }
        Ok::<_, ()>(())
    }));
    assert!(root.poll(&mut work).is_pending());
    assert_eq!(root.wakes(), 0);
    // What runs is below the limit, but what has come too early is not.
    let mut outputs = Box::pin(buffered(stream::iter(0..300), 8, async |item| {
        if item == 248 {
            pending::<()>().await;
        }
    }));
    for _ in 0..248 {
        assert!(root.poll(&mut outputs.next()).is_ready());
    }
    assert!(root.poll(&mut outputs.next()).is_pending());
    assert_eq!(root.wakes(), 0);
}

// R2
#[test]
fn the_parent_gets_its_turn_while_tasks_wake_themselves() {
    let (root, polls) = (Root::new(), Arc::new(AtomicUsize::new(0)));
    let mut work = Box::pin(try_map(0..1000, 1000, |_| restless::<Outcome>(&polls)));
    for round in 1..20 {
        assert!(root.poll(&mut work).is_pending());
        assert!(polls.load(SeqCst) <= 256 * round);
        assert_eq!(root.wakes(), 1);
    }
}

// R2
#[test]
fn restless_tasks_do_not_keep_items_out() {
    let (root, taken) = (Root::new(), Cell::new(0));
    let polls = Arc::new(AtomicUsize::new(0));
    let mut work = Box::pin(try_map(counted(&taken), 600, |_| {
        restless::<Outcome>(&polls)
    }));
    for _ in 0..600 {
        assert!(root.poll(&mut work).is_pending());
    }
    assert_eq!(taken.get(), 600);
}

// R2
#[test]
fn a_stream_that_wakes_itself_keeps_no_future_out_however_many_there_are() {
    let root = Root::new();
    let polls: Vec<Arc<AtomicUsize>> = (0..600).map(|_| Arc::default()).collect();
    let greedy = stream::poll_fn(|cx| {
        cx.waker().wake_by_ref();
        Poll::Pending
    });
    let items = stream::iter(&polls).chain(greedy);
    let mut work = Box::pin(try_map_stream(items, 601, restless::<Outcome>));
    for _ in 0..120 {
        assert!(root.poll(&mut work).is_pending());
    }
    // Of 256 in each poll, 51 are the share of one.
    let least = polls.iter().map(|polls| polls.load(SeqCst)).min();
    assert!(least >= Some(25), "{least:?}");
}

// R2
#[test]
fn endless_items_do_not_keep_a_woken_task_out() {
    let (root, probe) = (Root::new(), Probe::<Outcome>::new());
    let mut work = Box::pin(try_map(0.., 2, |item| {
        let probe = probe.clone();
        async move {
            if item == 0 {
                probe.task().await
            } else {
                Ok(item)
            }
        }
    }));
    for _ in 0..10 {
        assert!(root.poll(&mut work).is_pending());
    }
    probe.finish(Err("enough"));
    assert_eq!(root.poll(&mut work), Poll::Ready(Err("enough")));
}

// R4
#[test]
fn wakers_may_outlive_it() {
    let (root, probe) = (Root::new(), Probe::<Outcome>::new());
    let mut work = Box::pin(try_map([0], 1, |_| probe.task()));
    assert!(root.poll(&mut work).is_pending());
    let waker = probe.waker();
    drop(work);
    root.wakes();
    waker.wake();
    assert_eq!(probe.drops(), 1);
}

// R4
#[test]
fn any_thread_may_wake() {
    let work = try_map(0..1000u32, 50, |item| async move {
        let (sender, receiver) = futures::channel::oneshot::channel();
        std::thread::spawn(move || sender.send(item));
        receiver.await
    });
    let values = futures::executor::block_on(work).unwrap();
    assert_eq!(values, (0..1000).collect::<Vec<_>>());
}

/// A value that counts how many there are.
struct Counted<'a>(&'a Cell<isize>);

impl<'a> Counted<'a> {
    fn new(count: &'a Cell<isize>) -> Self {
        count.set(count.get() + 1);
        Counted(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

// M1
#[test]
fn each_future_is_dropped_as_soon_as_it_is_done() {
    let (root, probes) = (Root::new(), probes::<Outcome>(2));
    let mut work = Box::pin(try_map(0..2, 2, |item| probes[item].task()));
    assert!(root.poll(&mut work).is_pending());
    probes[0].finish(Ok(0));
    assert!(root.poll(&mut work).is_pending());
    assert_eq!((probes[0].drops(), probes[1].drops()), (1, 0));
}

// M1
#[test]
fn dropping_it_drops_what_runs_and_the_values_so_far() {
    let (root, count) = (Root::new(), Cell::new(0));
    let mut work = Box::pin(try_map(0..100, 10, |item| {
        let captured = Counted::new(&count);
        let count = &count;
        async move {
            let _captured = captured;
            if item % 7 == 3 {
                pending::<()>().await;
            }
            Ok::<_, ()>(Counted::new(count))
        }
    }));
    assert!(root.poll(&mut work).is_pending());
    // All that run, and the values before and between them.
    assert_eq!(count.get(), 67);
    drop(work);
    assert_eq!(count.get(), 0);
}

// M1
#[test]
fn with_an_error_the_values_so_far_are_dropped() {
    let count = Cell::new(0);
    let result = run(try_map(0..100, 10, |item| {
        let count = &count;
        async move {
            yields(item % 3).await;
            if item == 50 {
                return Err(item);
            }
            Ok(Counted::new(count))
        }
    }));
    assert_eq!(result.err(), Some(50));
    assert_eq!(count.get(), 0);
}

// M1
#[test]
fn each_value_is_given_once() {
    let count = Cell::new(0);
    let values = run(try_map(0..100, 10, |item| {
        let count = &count;
        async move {
            yields(item % 3).await;
            Ok::<_, ()>(Counted::new(count))
        }
    }));
    assert_eq!(
        (values.as_ref().ok().unwrap().len(), count.get()),
        (100, 100)
    );
    drop(values);
    assert_eq!(count.get(), 0);
}

#[test]
fn it_is_terminated_once_it_has_returned() {
    let (root, probe) = (Root::new(), Probe::<Outcome>::new());
    let mut work = Box::pin(try_map([0], 1, |_| probe.task()));
    assert!(!work.is_terminated());
    assert!(root.poll(&mut work).is_pending());
    assert!(!work.is_terminated());
    probe.finish(Ok(7));
    assert_eq!(root.poll(&mut work), Poll::Ready(Ok(vec![7])));
    assert!(work.is_terminated());

    let mut work = Box::pin(try_for_each([0], 1, |_| ready(Err("no"))));
    assert!(!work.is_terminated());
    assert_eq!(root.poll(&mut work), Poll::Ready(Err("no")));
    assert!(work.is_terminated());
}

#[test]
#[should_panic(expected = "polled after it was over")]
fn polling_it_once_more_panics() {
    let root = Root::new();
    let mut work = Box::pin(try_map([0], 1, |_| ready(Ok::<_, ()>(()))));
    assert!(root.poll(&mut work).is_ready());
    drop(root.poll(&mut work));
}

/// Polls it to its panic; then it panics in every poll.
#[track_caller]
fn panics<W: FusedFuture>(root: &Root, work: Pin<&mut W>, expected: &str) {
    let mut work = work;
    let mut poll = || {
        let poll = catch_unwind(AssertUnwindSafe(|| root.poll(&mut work)));
        let payload = poll.err().expect("it panics");
        let message = payload.downcast::<&str>();
        *message.expect("a plain text")
    };
    assert_eq!(poll(), expected);
    assert_eq!(poll(), "polled after it was over");
    assert!(work.is_terminated());
}

// P1
#[test]
fn a_panic_of_the_closure_goes_on_out_of_the_poll() {
    let (root, probes) = (Root::new(), probes::<Outcome>(2));
    let mut work = Box::pin(try_map(0.., 5, |item| match probes.get(item) {
        Some(probe) => probe.task(),
        None => panic!("no more"),
    }));
    panics(&root, work.as_mut(), "no more");
    drop(work);
    assert!(
        probes
            .iter()
            .all(|probe| (probe.polls(), probe.drops()) == (1, 1))
    );
}

// P1
#[test]
fn a_panic_of_the_iterator_goes_on_out_of_the_poll() {
    let (root, probe) = (Root::new(), Probe::<Outcome>::new());
    let items = (0..2).inspect(|&item| assert!(item < 1, "no more"));
    let mut work = Box::pin(try_map(items, 5, |_| probe.task()));
    panics(&root, work.as_mut(), "no more");
    drop(work);
    assert_eq!(probe.drops(), 1);
}

// P1
#[test]
fn a_panic_of_a_future_goes_on_out_of_the_poll() {
    let (root, probe, count) = (Root::new(), Probe::<Outcome>::new(), Cell::new(0));
    let mut work = Box::pin(try_map(0..3, 5, |item| {
        let (probe, captured) = (probe.clone(), Counted::new(&count));
        async move {
            let _captured = captured;
            match item {
                0 => Ok(0),
                1 => probe.task().await,
                _ => {
                    yields(1).await;
                    panic!("out of cheese")
                }
            }
        }
    }));
    assert!(root.poll(&mut work).is_pending());
    panics(&root, work.as_mut(), "out of cheese");
    drop(work);
    assert_eq!((probe.drops(), count.get()), (1, 0));
}

// P1
#[cfg(feature = "std")]
#[test]
fn it_may_be_dropped_while_unwinding() {
    let probes = probes::<Outcome>(3);
    let dropped = catch_unwind(AssertUnwindSafe(|| {
        let root = Root::new();
        let mut work = Box::pin(try_map(0..3, 3, |item| probes[item].task()));
        assert!(root.poll(&mut work).is_pending());
        panic!("elsewhere")
    }));
    assert!(dropped.is_err());
    assert!(probes.iter().all(|probe| probe.drops() == 1));
}

// P4
#[cfg(feature = "std")]
#[test]
fn siblings_whose_destructors_panic_do_not_stop_the_others_from_being_dropped() {
    let (root, count, probe) = (Root::new(), Cell::new(0), Probe::<Outcome>::new());
    let mut work = Box::pin(try_map(0..200, 200, |item| {
        let probe = (item == 199).then(|| probe.clone());
        let guard = OnDrop({
            let count = &count;
            move || {
                count.set(count.get() + 1);
                assert!(item % 100 != 50, "cannot be dropped");
            }
        });
        async move {
            let _guard = guard;
            match probe {
                Some(probe) => probe.task().await,
                None => pending().await,
            }
        }
    }));
    assert!(root.poll(&mut work).is_pending());
    probe.finish(Err("no"));
    // P5: the error is returned, whatever panics.
    assert_eq!(root.poll(&mut work), Poll::Ready(Err("no")));
    assert_eq!(count.get(), 200);
    assert!(work.is_terminated());
}

// P1
#[test]
fn a_destructor_that_panics_after_success_goes_on_out_of_the_poll() {
    let (root, probe) = (Root::new(), Probe::<Outcome>::new());
    let mut work = Box::pin(try_map(0..2, 2, |item| {
        let probe = probe.clone();
        // Dropped with the future, not at the end of its run.
        let guard = OnDrop(move || assert!(item != 1, "cannot be dropped"));
        Guarded(guard, (item == 0).then(|| probe.task()))
    }));
    panics(&root, work.as_mut(), "cannot be dropped");
    drop(work);
    assert_eq!(probe.drops(), 1);
}

/// Ready at once, if there is nothing to run.
struct Guarded<G, F>(G, Option<F>);

impl<G: Unpin, F: Future<Output = Outcome> + Unpin> Future for Guarded<G, F> {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        match &mut self.1 {
            Some(future) => Pin::new(future).poll(cx),
            None => Poll::Ready(Ok(0)),
        }
    }
}

#[test]
fn debug_shows_how_far_it_is() {
    let root = Root::new();
    let mut work = Box::pin(try_map(0..9, 4, |_| pending::<Outcome>()));
    assert!(root.poll(&mut work).is_pending());
    assert_eq!(
        format!("{work:?}"),
        "TryMap { limit: 4, taken: 4, running: 4, over: false, .. }"
    );
    let work = try_for_each(0..9, 4, |_| pending::<Result<(), ()>>());
    assert_eq!(
        format!("{work:?}"),
        "TryForEach { limit: 4, taken: 0, running: 0, over: false, .. }"
    );
}

#[test]
fn it_goes_where_its_parts_go() {
    fn send<T: Send>(_: T) {}
    fn sync<T: Sync>(_: &T) {}

    let f = |item: usize| async move { Ok::<_, ()>(item) };
    let work = try_map(0..1, 1, f);
    sync(&work);
    send(work);
    let g = |_: usize| async { Ok::<_, ()>(()) };
    let work = try_for_each_stream(stream::iter(0..1), 1, g);
    sync(&work);
    send(work);
    // Values are kept for whoever polls it, so they have to be `Send` and nothing else.
    send(try_map(0..1, 1, |_| async { Ok::<_, ()>(Cell::new(0)) }));

    // The types can be named.
    fn named<S, F, Fut, T>(map: TryMap<S, F, Fut, T>) -> TryMap<S, F, Fut, T> {
        map
    }
    fn named_too<S, F, Fut>(each: TryForEach<S, F, Fut>) -> TryForEach<S, F, Fut> {
        each
    }
    drop(named(try_map(0..1, 1, f)));
    drop(named_too(try_for_each(0..1, 1, g)));
}

/// A stream of one's own, which is neither `Unpin` nor fused.
#[test]
fn any_stream_will_do() {
    fn numbers() -> impl Stream<Item = usize> {
        stream::unfold(0, |number| async move {
            yields(1).await;
            (number < 100).then_some((number, number + 1))
        })
    }
    let work = try_map_stream(numbers(), 10, |item| ready(Ok::<_, ()>(item)));
    assert_eq!(run(work).unwrap(), (0..100).collect::<Vec<_>>());
}
