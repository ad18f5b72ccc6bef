//! A map that is over holds nothing: not its source, not its function, not what it kept.

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn, ready};
use std::marker::PhantomPinned;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::common::{OnDrop, Root, panics, run};
use errgroup::{
    buffer_unordered, buffered, try_for_each, try_for_each_stream, try_map, try_map_stream,
};
use futures::channel::mpsc;
use futures::future::{BoxFuture, FusedFuture, FutureExt};
use futures::stream::{FusedStream, Stream, StreamExt, iter};

type Task = BoxFuture<'static, Result<Arc<()>, &'static str>>;

/// A source that holds something.
struct Source {
    tasks: std::vec::IntoIter<Task>,
    /// At its end.
    panics: bool,
    _alive: Arc<()>,
}

impl Iterator for Source {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        let next = self.tasks.next();
        assert!(next.is_some() || !self.panics, "no more");
        next
    }
}

/// A stream of the same, which is not `Unpin`, so that it has to be dropped in its place.
struct Stays(RefCell<Source>, PhantomPinned);

impl Stream for Stays {
    type Item = Task;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Task>> {
        Poll::Ready(self.0.borrow_mut().next())
    }
}

/// What keeps `alive` alive: a source, a function, values, and futures.
fn source(alive: &Arc<()>, fails: bool) -> Source {
    let value = || {
        let value = alive.clone();
        ready(Ok(value)).boxed()
    };
    let mut tasks = vec![value(), value()];
    if fails {
        let held = alive.clone();
        tasks.push(
            async move {
                let _held = held;
                pending().await
            }
            .boxed(),
        );
        tasks.push(value());
        tasks.push(async { Err("no") }.boxed());
        tasks.push(value());
    }
    Source {
        tasks: tasks.into_iter(),
        panics: false,
        _alive: alive.clone(),
    }
}

#[track_caller]
fn assert_empty<F, T>(alive: &Arc<()>, fails: bool, map: F)
where
    F: Future<Output = Result<T, &'static str>> + FusedFuture,
{
    let root = Root::new();
    let mut map = std::pin::pin!(map);
    let mut cx = Context::from_waker(root.waker());
    let Poll::Ready(result) = map.as_mut().poll(&mut cx) else {
        panic!("it is not over");
    };
    assert_eq!(result.is_err(), fails);
    drop(result);
    assert!(map.is_terminated());
    // It is still there.
    assert_eq!(Arc::strong_count(alive), 1, "fails: {fails}");
    assert_eq!(root.clones(), 0, "a waker is left");
}

// M1

#[test]
fn a_map_that_is_over_has_dropped_its_source_its_function_and_its_values() {
    for fails in [false, true] {
        let alive = Arc::new(());
        let held = alive.clone();
        let f = move |task: Task| {
            let _held = &held;
            task
        };
        assert_empty(&alive, fails, try_map(source(&alive, fails), 3, f));

        let held = alive.clone();
        let f = move |task: Task| {
            let _held = &held;
            task.map(|result| result.map(drop))
        };
        assert_empty(&alive, fails, try_for_each(source(&alive, fails), 3, f));

        let held = alive.clone();
        let f = move |task: Task| {
            let _held = &held;
            task
        };
        let stays = Stays(source(&alive, fails).into(), PhantomPinned);
        assert_empty(&alive, fails, try_map_stream(stays, 3, f));

        let held = alive.clone();
        let f = move |task: Task| {
            let _held = &held;
            task.map(|result| result.map(drop))
        };
        let stays = Stays(source(&alive, fails).into(), PhantomPinned);
        assert_empty(&alive, fails, try_for_each_stream(stays, 3, f));
    }
}

#[test]
fn a_source_that_has_ended_is_dropped_at_the_end_at_the_latest() {
    let alive = Arc::new(());
    assert_empty(
        &alive,
        false,
        try_map(source(&alive, false), 1, |task| task),
    );
}

/// Where a map panics at its third item.
#[derive(Clone, Copy, Debug)]
enum Where {
    Source,
    Function,
    Poll,
    Destructor,
}

/// What keeps `alive` alive, and panics while the first item is not done.
fn panicking(alive: &Arc<()>, at: Where) -> (Source, impl FnMut(Task) -> Task + use<>) {
    let held = alive.clone();
    let first = async move {
        let _held = held;
        pending().await
    };
    let mut tasks = vec![first.boxed(), ready(Ok(alive.clone())).boxed()];
    match at {
        Where::Source => {}
        Where::Function => tasks.push(pending().boxed()),
        Where::Poll => tasks.push(async { panic!("no more") }.boxed()),
        Where::Destructor => {
            let guard = OnDrop(|| panic!("no more"));
            let third = poll_fn(move |_| {
                let _held = &guard;
                Poll::Ready(Ok(Arc::default()))
            });
            tasks.push(third.boxed());
        }
    }
    let source = Source {
        tasks: tasks.into_iter(),
        panics: matches!(at, Where::Source),
        _alive: alive.clone(),
    };
    let (held, mut calls) = (alive.clone(), 0);
    let f = move |task| {
        let _held = &held;
        calls += 1;
        assert!(calls < 3 || !matches!(at, Where::Function), "no more");
        task
    };
    (source, f)
}

// M1, M2, P1
#[test]
fn a_map_that_has_panicked_drops_everything_and_panics_when_it_is_polled_again() {
    let root = Root::new();
    for at in [
        Where::Source,
        Where::Function,
        Where::Poll,
        Where::Destructor,
    ] {
        let alive = Arc::new(());
        let check = |poll: &mut dyn FnMut()| {
            assert_eq!(panics(&mut *poll), "no more", "{at:?}");
            // It is still there.
            assert_eq!(Arc::strong_count(&alive), 1, "{at:?}");
            assert_eq!(root.clones(), 0, "{at:?}: a waker is left");
            assert_eq!(panics(poll), "polled after it was over", "{at:?}");
        };
        let (source, f) = panicking(&alive, at);
        let mut map = Box::pin(try_map(source, 3, f));
        check(&mut || _ = root.poll(&mut map));
        assert!(map.is_terminated());

        let (source, mut f) = panicking(&alive, at);
        let f = move |task| f(task).map(|result| result.map(drop));
        let mut each = Box::pin(try_for_each(source, 3, f));
        check(&mut || _ = root.poll(&mut each));
        assert!(each.is_terminated());

        let (source, f) = panicking(&alive, at);
        let mut ordered = Box::pin(buffered(iter(source), 3, f));
        check(&mut || _ = root.poll(&mut ordered.next()));
        assert!(ordered.is_terminated());

        let (source, f) = panicking(&alive, at);
        let mut unordered = Box::pin(buffer_unordered(iter(source), 3, f));
        check(&mut || _ = root.poll(&mut unordered.next()));
        assert!(unordered.is_terminated());
    }
}

#[test]
fn a_map_that_is_over_keeps_no_channel_open_in_a_select() {
    // The first error ends the map, which is then only looked at.
    let (sender, receiver) = mpsc::channel::<u32>(4);
    let result = run(async move {
        let mut sender = sender;
        sender.try_send(1).unwrap();
        let mut map = try_for_each_stream(receiver, 2, |_| ready(Err::<(), _>("no")));
        let mut told = None;
        let closed = futures::future::poll_fn(|cx| match sender.poll_ready(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(error.is_disconnected()),
            _ => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        });
        let mut closed = closed.fuse();
        // A producer that goes on as long as somebody may want what it has.
        for _ in 0..100 {
            futures::select_biased! {
                result = map => told = Some(result),
                closed = closed => return (told, closed),
                default => {}
            }
        }
        (told, false)
    });
    assert_eq!(result, (Some(Err("no")), true));
}

#[test]
fn a_map_that_is_over_by_its_end_keeps_no_sender_waiting() {
    let (sender, receiver) = mpsc::unbounded::<u32>();
    // The stream ends before the channel does.
    sender.unbounded_send(1).unwrap();
    let mut map = Box::pin(try_map_stream(receiver.take(1), 2, |n| {
        ready(Ok::<_, ()>(n))
    }));
    assert_eq!(Root::new().poll(&mut map), Poll::Ready(Ok(vec![1])));
    assert!(sender.is_closed());
    drop(map);
}
