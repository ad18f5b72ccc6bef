//! User code that panics in odd places: wakers that panic when they are cloned, woken or dropped,
//! destructors, payloads with destructors, conversions, subscribers. Whatever panics, the next
//! call gives what was won, and nobody becomes deaf.
use std::any::Any;
use std::future::{Future, pending, poll_fn, ready};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::pin::Pin;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::common::{Event, hooked};
use crate::common::{Fail, Probe, ProbeTask, Root, kind, run};
use errgroup::{
    CancelContext, CancelKind, Cancelled, ErrGroup, ErrSpawner, buffer_unordered, buffered, scope,
    try_for_each, try_map,
};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, BoxStream, StreamExt};

type Group = ErrGroup<'static, usize, Fail>;

/// A waker that panics at the next event of the armed kind, once.
struct Trap {
    state: Arc<TrapState>,
    waker: Option<Waker>,
}

#[derive(Default)]
struct TrapState {
    armed: Mutex<Option<Event>>,
    sprung: AtomicUsize,
    wakes: AtomicUsize,
}

const EVENTS: [Event; 3] = [Event::Clone, Event::Wake, Event::Drop];

impl Trap {
    fn new() -> Self {
        let state = Arc::new(TrapState::default());
        let hook = state.clone();
        let waker = hooked(move |event| {
            let mut armed = hook.armed.lock().unwrap();
            if *armed == Some(event) {
                *armed = None;
                drop(armed);
                hook.sprung.fetch_add(1, SeqCst);
                resume_unwind(Box::new("trap"));
            }
            hook.wakes
                .fetch_add(usize::from(event == Event::Wake), SeqCst);
        });
        Trap {
            state,
            waker: Some(waker),
        }
    }

    fn arm(&self, event: Event) {
        *self.state.armed.lock().unwrap() = Some(event);
    }

    fn disarm(&self) {
        *self.state.armed.lock().unwrap() = None;
    }

    fn poll<F: Future + Unpin + ?Sized>(&self, future: &mut F) -> Result<Poll<F::Output>, Payload> {
        let waker = self.waker.as_ref().unwrap();
        caught(|| Pin::new(future).poll(&mut Context::from_waker(waker)))
    }
}

/// Its own waker is nobody's.
impl Drop for Trap {
    fn drop(&mut self) {
        mem::forget(self.waker.take());
    }
}

type Payload = Box<dyn Any + Send>;

fn ignore<T>(_: T) {}

fn caught<R>(f: impl FnOnce() -> R) -> Result<R, Payload> {
    catch_unwind(AssertUnwindSafe(f))
}

/// A payload that panics when it is dropped.
struct Evil;

impl Drop for Evil {
    fn drop(&mut self) {
        panic!("payload");
    }
}

/// Forgets a payload, which may be evil.
fn forget<R>(result: Result<R, Payload>) -> Option<R> {
    result.map_err(mem::forget).ok()
}

/// A future with a destructor that panics with something that may be evil.
struct Bomb<F>(F, fn());

impl<F: Future + Unpin> Future for Bomb<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<F> Drop for Bomb<F> {
    fn drop(&mut self) {
        (self.1)();
    }
}

const BLASTS: [fn(); 2] = [|| resume_unwind(Box::new("destructor")), || panic_any(Evil)];

/// Runs `body` in a process of its own, as what it tests for is an abort.
fn alone(test: &str, body: impl FnOnce()) {
    const ALONE: &str = "ERRGROUP_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return body();
    }
    let (_crate, module) = module_path!().split_once("::").unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::{test}"), "--test-threads=1"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout);
    let errors = String::from_utf8_lossy(&child.stderr);
    assert!(text.contains("running 1 test"), "{text}");
    assert!(child.status.success(), "{}: {text}{errors}", child.status);
}

/// Calls by reference, which never end while the only task is running and the limit is 1.
type Call = for<'a> fn(&'a mut Group) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

const CALLS: &[(&str, Call)] = &[
    (".await", |group| Box::pin(async { drop(group.await) })),
    ("next", |group| Box::pin(async { drop(group.next().await) })),
    ("results", |group| {
        Box::pin(async { drop(futures::StreamExt::next(&mut group.results()).await) })
    }),
    ("ready", |group| Box::pin(async { _ = group.ready().await })),
    ("drive", |group| {
        Box::pin(async { group.drive(pending::<()>()).await.unwrap_or(()) })
    }),
];

// P5: wakers of those who wait

#[test]
fn a_group_is_not_deaf_after_its_waker_has_panicked() {
    for (first, one) in CALLS {
        for (second, other) in CALLS {
            for event in EVENTS {
                let what = format!("{event:?} in {first}, then {second}");
                let (trap, root, probe) = (Trap::new(), Root::new(), Probe::new());
                let mut group = Group::new().limit(1);
                group.spawn(probe.task());
                if event == Event::Clone {
                    trap.arm(event);
                }
                forget(trap.poll(&mut one(&mut group)));
                match event {
                    Event::Clone => {}
                    Event::Wake => {
                        trap.arm(event);
                        forget(caught(|| probe.wake()));
                    }
                    Event::Drop => {
                        trap.arm(event);
                        forget(caught(|| root.poll(&mut other(&mut group))));
                    }
                }
                assert_eq!(trap.state.sprung.load(SeqCst), 1, "{what}");
                trap.disarm();
                assert!(root.poll(&mut other(&mut group)).is_pending(), "{what}");
                root.wakes();
                probe.finish(Ok(7));
                assert_eq!(root.wakes(), 1, "{what}: deaf");
                assert_eq!(
                    root.poll_new(group.next()),
                    Poll::Ready(Some(Ok(7))),
                    "{what}"
                );
            }
        }
    }
}

#[test]
fn a_group_is_not_deaf_to_spawners_after_its_waker_has_panicked() {
    for event in EVENTS {
        let (trap, root) = (Trap::new(), Root::new());
        let mut group = Group::new();
        group.spawn(pending());
        let spawner = group.spawner();
        if event == Event::Clone {
            trap.arm(event);
        }
        forget(trap.poll(&mut group));
        trap.arm(event);
        match event {
            Event::Wake => forget(caught(|| spawner.spawn(pending()))),
            _ => forget(caught(|| ignore(root.poll(&mut group)))),
        };
        trap.disarm();
        assert!(root.poll(&mut group).is_pending(), "{event:?}");
        root.wakes();
        spawner.spawn(ready(Err("late".into())));
        assert_eq!(root.wakes(), 1, "{event:?}: deaf");
        assert_eq!(root.poll(&mut group), Poll::Ready(Err("late".into())));
    }
}

#[test]
fn a_graceful_group_is_not_deaf_to_its_context_after_its_waker_has_panicked() {
    for event in EVENTS {
        let (trap, root) = (Trap::new(), Root::new());
        let (context, mut group) =
            ErrGroup::<(), Fail>::with_grace(&CancelContext::new(), || ready(()));
        group.spawn(pending());
        if event == Event::Clone {
            trap.arm(event);
        }
        forget(trap.poll(&mut group));
        if event == Event::Drop {
            trap.arm(event);
            forget(caught(|| ignore(root.poll(&mut group))));
        }
        trap.disarm();
        assert!(root.poll(&mut group).is_pending(), "{event:?}");
        root.wakes();
        context.cancel();
        assert_ne!(root.wakes(), 0, "{event:?}: deaf");
        let reason = Fail::Cancelled(CancelKind::Cancelled);
        assert_eq!(root.poll(&mut group), Poll::Ready(Err(reason)));
    }
}

#[test]
fn a_graceful_group_cancels_its_context_though_its_waker_panics_as_it_is_dropped() {
    type End = fn(&Trap, Group);
    let ends: [(CancelKind, End); 2] = [
        (CancelKind::TaskFailed, |trap, mut group| {
            assert!(trap.poll(&mut group).is_err());
            assert_eq!(run(&mut group), Err("no".into()));
        }),
        (CancelKind::Finished, |_, group| {
            assert!(caught(|| drop(group)).is_err());
        }),
    ];
    for (expected, end) in ends {
        let (trap, probe) = (Trap::new(), Probe::new());
        let (context, mut group) = Group::with_context(&CancelContext::new());
        group.spawn(probe.task());
        assert!(trap.poll(&mut group).unwrap().is_pending());
        probe.finish(Err("no".into()));
        trap.arm(Event::Drop);
        end(&trap, group);
        assert_eq!(kind(&context), Some(expected));
    }
}

#[test]
fn a_deadline_is_not_lost_when_the_waker_of_who_waits_panics_as_it_is_dropped() {
    let (trap, root, time) = (Trap::new(), Root::new(), Probe::new());
    let context = CancelContext::new().with_deadline(time.task());
    let (mut first, mut second) = (context.cancelled(), context.cancelled());
    assert!(trap.poll(&mut first).unwrap().is_pending());
    assert!(root.poll(&mut second).is_pending());
    time.set(());
    trap.arm(Event::Drop);
    assert!(trap.poll(&mut first).is_err());
    assert_eq!(kind(&context), Some(CancelKind::DeadlineExceeded));
    assert_eq!(root.wakes(), 1);
    assert!(root.poll(&mut first).is_ready());
}

#[test]
fn a_handle_is_not_deaf_after_its_waker_has_panicked() {
    for event in EVENTS {
        let (trap, root, probe) = (Trap::new(), Root::new(), Probe::new());
        let mut group = ErrGroup::<(), Fail>::new().keep_going();
        let mut handle = group.spawner().spawn_with_handle(probe.task());
        let other = Root::new();
        assert!(other.poll(&mut group).is_pending());
        if event == Event::Clone {
            trap.arm(event);
        }
        forget(trap.poll(&mut handle));
        trap.arm(event);
        match event {
            Event::Clone => {}
            Event::Drop => _ = forget(caught(|| ignore(root.poll(&mut handle)))),
            Event::Wake => {
                probe.finish(Ok(7));
                forget(caught(|| ignore(other.poll(&mut group))));
            }
        }
        trap.disarm();
        assert_ne!(trap.state.sprung.load(SeqCst), 0, "{event:?}");
        if event != Event::Wake {
            assert!(root.poll(&mut handle).is_pending(), "{event:?}");
            root.wakes();
            probe.finish(Ok(7));
            assert_eq!(other.poll(&mut group), Poll::Ready(Ok(())));
            assert_eq!(root.wakes(), 1, "{event:?}: deaf");
        }
        let Poll::Ready(Ok(7)) = root.poll(&mut handle) else {
            panic!("{event:?}: the value is lost");
        };
        assert_eq!(run(&mut group), Ok(()));
    }
}

#[test]
fn who_waits_for_a_start_is_not_deaf_after_its_waker_has_panicked() {
    for event in [Event::Clone, Event::Drop] {
        let (trap, root) = (Trap::new(), Root::new());
        let mut group = ErrGroup::<(), Fail>::new();
        let spawner = group.spawner();
        let gate = Probe::<()>::new();
        let task = gate.task();
        let mut start = Box::pin(spawner.start(async move |started| {
            task.await;
            started.ready(7);
            Ok(())
        }));
        if event == Event::Drop {
            assert!(trap.poll(&mut start).unwrap().is_pending());
            assert!(Root::new().poll(&mut group).is_pending());
            trap.arm(event);
            // An async fn that has panicked is over; but the task must not be harmed by that.
            forget(caught(|| ignore(root.poll(&mut start))));
        } else {
            trap.arm(event);
            forget(trap.poll(&mut start));
            assert!(Root::new().poll(&mut group).is_pending());
        }
        trap.disarm();
        forget(caught(|| ignore(start)));
        assert!(root.poll(&mut group).is_pending());
        root.wakes();
        gate.finish(());
        assert_eq!(root.wakes(), 1, "{event:?}");
        assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())), "{event:?}");
    }
}

#[test]
fn who_waits_for_room_is_not_deaf_after_a_waker_has_panicked() {
    for event in EVENTS {
        let (trap, root) = (Trap::new(), Root::new());
        let probe = Probe::new();
        let mut group = Group::new().limit(1);
        group.spawn(probe.task());
        let other = Root::new();
        assert!(other.poll_new(group.drive(pending::<()>())).is_pending());
        let spawner = group.spawner();
        let mut first = Box::pin(spawner.ready());
        let mut second = Box::pin(spawner.ready());
        if event == Event::Clone {
            trap.arm(event);
        }
        forget(trap.poll(&mut first));
        if event == Event::Drop {
            trap.arm(event);
            forget(caught(|| ignore(root.poll(&mut first))));
        }
        trap.disarm();
        assert!(root.poll(&mut second).is_pending(), "{event:?}");
        root.wakes();
        if event == Event::Wake {
            trap.arm(event);
        }
        probe.finish(Ok(7));
        forget(caught(|| {
            ignore(other.poll_new(group.drive(pending::<()>())))
        }));
        assert_ne!(root.wakes(), 0, "{event:?}: deaf");
        assert_eq!(root.poll(&mut second), Poll::Ready(true), "{event:?}");
        trap.disarm();
        forget(caught(|| ignore(first)));
        assert_eq!(run(group.settle()), [Ok(7)], "{event:?}");
    }
}

#[test]
fn a_map_is_not_deaf_after_its_waker_has_panicked() {
    for event in EVENTS {
        let (trap, root) = (Trap::new(), Root::new());
        let probes = crate::common::probes::<Result<usize, Fail>>(2);
        let tasks: Vec<_> = probes.iter().map(Probe::task).collect();
        let mut map = Box::pin(try_map(tasks, 2, |task| task));
        if event == Event::Clone {
            trap.arm(event);
        }
        forget(trap.poll(&mut map));
        trap.arm(event);
        match event {
            Event::Clone => {}
            Event::Drop => _ = forget(caught(|| ignore(root.poll(&mut map)))),
            Event::Wake => _ = forget(caught(|| probes[0].wake())),
        }
        trap.disarm();
        // No item and no value was lost, so that it can go on.
        assert!(root.poll(&mut map).is_pending(), "{event:?}");
        root.wakes();
        probes[1].finish(Ok(2));
        assert_eq!(root.wakes(), 1, "{event:?}: deaf");
        assert!(root.poll(&mut map).is_pending(), "{event:?}");
        probes[0].finish(Ok(1));
        assert_eq!(
            root.poll(&mut map),
            Poll::Ready(Ok(vec![1, 2])),
            "{event:?}"
        );
    }
}

#[test]
fn a_buffer_is_not_deaf_after_its_waker_has_panicked() {
    type Make = fn(Vec<ProbeTask<usize>>) -> BoxStream<'static, usize>;
    let makes: [Make; 2] = [
        |tasks| Box::pin(buffered(stream::iter(tasks), 2, |task| task)),
        |tasks| Box::pin(buffer_unordered(stream::iter(tasks), 2, |task| task)),
    ];
    for (make, unordered) in makes.into_iter().zip([false, true]) {
        for event in EVENTS {
            let (trap, root) = (Trap::new(), Root::new());
            let probes = crate::common::probes::<usize>(2);
            let mut outputs = make(probes.iter().map(Probe::task).collect());
            if event == Event::Clone {
                trap.arm(event);
            }
            forget(trap.poll(&mut outputs.next()));
            trap.arm(event);
            match event {
                Event::Clone => {}
                Event::Drop => _ = forget(caught(|| ignore(root.poll(&mut outputs.next())))),
                Event::Wake => _ = forget(caught(|| probes[0].wake())),
            }
            assert_eq!(trap.state.sprung.load(SeqCst), 1, "{event:?}");
            trap.disarm();
            // No item and no output was lost, so that it can go on.
            assert!(root.poll(&mut outputs.next()).is_pending(), "{event:?}");
            root.wakes();
            probes[1].finish(1);
            assert_eq!(root.wakes(), 1, "{event:?}: deaf");
            let second = Poll::Ready(Some(1));
            let next = root.poll(&mut outputs.next());
            assert_eq!(next == second, unordered, "{event:?}");
            root.wakes();
            probes[0].finish(0);
            assert_eq!(root.wakes(), usize::from(!unordered), "{event:?}: deaf");
            let next = root.poll(&mut outputs.next());
            assert_eq!(next, Poll::Ready(Some(0)), "{event:?}");
            let last = root.poll(&mut outputs.next());
            let expected = if unordered { Poll::Ready(None) } else { second };
            assert_eq!(last, expected, "{event:?}");
        }
    }
}

// H2, P5
#[test]
fn an_abort_is_not_lost_when_the_waker_of_the_group_panics() {
    let (trap, root) = (Trap::new(), Root::new());
    let mut group = ErrGroup::<(), Fail>::new();
    let task = group.spawn_abortable(pending());
    assert!(trap.poll(&mut group).unwrap().is_pending());
    trap.arm(Event::Wake);
    assert!(caught(|| task.abort()).is_err());
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
    assert!(task.is_finished());
}

// P1, P5: dropped while unwinding

/// Polls with a waker whose drop panics, and drops the future while unwinding.
#[track_caller]
fn drop_while_unwinding<F: Future + Unpin>(mut future: F) {
    let trap = Trap::new();
    assert!(trap.poll(&mut future).unwrap().is_pending());
    trap.arm(Event::Drop);
    let payload = caught(move || {
        let _future = future;
        resume_unwind(Box::new("the first"));
    });
    // If it is kept elsewhere, it is dropped later.
    trap.disarm();
    assert_eq!(payload.unwrap_err().downcast_ref(), Some(&"the first"));
}

/// Drops what wakes a group, while unwinding, and the waker panics. The group hears of it.
fn wake_while_unwinding<G>(guard: impl FnOnce(&mut ErrGroup<'static, (), Fail>) -> G) {
    let (trap, root) = (Trap::new(), Root::new());
    let mut group = ErrGroup::new();
    let guard = guard(&mut group);
    assert!(trap.poll(&mut group).unwrap().is_pending());
    trap.arm(Event::Wake);
    let payload = caught(move || {
        let _guard = guard;
        resume_unwind(Box::new("the first"));
    });
    assert_eq!(payload.unwrap_err().downcast_ref(), Some(&"the first"));
    assert_eq!(trap.state.sprung.load(SeqCst), 1);
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
}

macro_rules! dropped_while_unwinding {
    ($($name:ident: $body:block)*) => {$(
        #[test]
        fn $name() {
            alone(stringify!($name), || $body);
        }
    )*};
}

dropped_while_unwinding! {
    a_group_that_is_dropped_while_unwinding_with_a_bad_waker_does_not_abort: {
        let mut group = Group::new();
        group.spawn(pending());
        drop_while_unwinding(group);
    }
    a_graceful_group_that_is_dropped_while_unwinding_with_a_bad_waker_does_not_abort: {
        let (_context, mut group) =
            ErrGroup::<usize, Fail>::with_grace(&CancelContext::new(), pending::<()>);
        group.spawn(pending());
        drop_while_unwinding(group);
    }
    a_finisher_that_is_dropped_while_unwinding_with_a_bad_waker_does_not_abort: {
        let mut group = Group::new();
        group.spawn(pending());
        drop_while_unwinding(Box::pin(group.settle()));
    }
    a_driven_future_that_is_dropped_while_unwinding_with_a_bad_waker_does_not_abort: {
        let mut group = Group::new();
        group.spawn(pending());
        drop_while_unwinding(Box::pin(async move { group.drive(pending::<()>()).await }));
    }
    a_scope_that_is_dropped_while_unwinding_with_a_bad_waker_does_not_abort: {
        drop_while_unwinding(Box::pin(scope(async |s: ErrSpawner<'_, (), Fail>| {
            s.spawn(pending());
            pending::<Result<(), Fail>>().await
        })));
    }
    a_handle_that_is_dropped_while_unwinding_with_a_bad_waker_does_not_abort: {
        let group = ErrGroup::<(), Fail>::new();
        drop_while_unwinding(group.spawner().spawn_with_handle(pending::<Result<(), Fail>>()));
    }
    a_wait_for_room_that_is_dropped_while_unwinding_with_a_bad_waker_does_not_abort: {
        let mut group = Group::new().limit(1);
        group.spawn(pending());
        let spawner = group.spawner();
        drop_while_unwinding(Box::pin(async move { spawner.ready().await }));
    }
    a_start_that_is_dropped_while_unwinding_with_a_bad_waker_does_not_abort: {
        let group = ErrGroup::<(), Fail>::new();
        let spawner = group.spawner();
        drop_while_unwinding(Box::pin(async move {
            let start = spawner.start(|started| async move {
                let _started: errgroup::Started<()> = started;
                pending().await
            });
            start.await.map(drop)
        }));
    }
    a_guard_that_keeps_a_group_open_and_wakes_it_while_unwinding_does_not_abort: {
        wake_while_unwinding(|group| group.keep_open());
    }
    a_guard_that_aborts_a_task_and_wakes_its_group_while_unwinding_does_not_abort: {
        wake_while_unwinding(|group| group.spawn_abortable(pending()).abort_on_drop());
    }
    a_map_that_is_dropped_while_unwinding_with_a_bad_waker_does_not_abort: {
        drop_while_unwinding(Box::pin(try_for_each([()], 1, |()| pending::<Result<(), Fail>>())));
    }
    a_map_with_values_that_is_dropped_while_unwinding_with_a_bad_waker_does_not_abort: {
        drop_while_unwinding(Box::pin(try_map([()], 1, |()| pending::<Result<(), Fail>>())));
    }
    a_buffer_that_is_dropped_while_unwinding_with_a_bad_waker_does_not_abort: {
        let outputs = Box::pin(buffered(stream::iter([()]), 1, |()| pending::<()>()));
        drop_while_unwinding(outputs.into_future());
    }
    a_buffer_without_order_that_is_dropped_while_unwinding_with_a_bad_waker_does_not_abort: {
        let outputs = Box::pin(buffer_unordered(stream::iter([()]), 1, |()| pending::<()>()));
        drop_while_unwinding(outputs.into_future());
    }
    a_wait_for_a_cancel_that_is_dropped_while_unwinding_with_a_bad_waker_does_not_abort: {
        let context = CancelContext::new();
        drop_while_unwinding(context.cancelled());
        drop_while_unwinding(context.child().with_deadline(pending::<()>()).cancelled());
    }
    a_run_that_is_dropped_while_unwinding_with_a_bad_waker_does_not_abort: {
        let context = CancelContext::new();
        drop_while_unwinding(Box::pin(context.run(pending::<()>())));
        let context = context.with_deadline(pending::<()>());
        drop_while_unwinding(Box::pin(context.run(pending::<()>())));
    }
    a_map_whose_futures_and_items_panic_when_dropped_while_unwinding_does_not_abort: {
        drop_while_unwinding(Box::pin(try_map([(), (), ()], 2, |()| {
            Bomb(pending::<Result<(), Fail>>(), || panic_any(Evil))
        })));
    }
}

// P4, P5: destructors

/// All ways to end a group, as results.
type Finish = fn(Group) -> Vec<Result<usize, Fail>>;

const FINISHES: &[(&str, Finish)] = &[
    (".await", |group| vec![run(group).map(|()| 0)]),
    ("collect", |group| match run(group.collect()) {
        Ok(values) => values.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    }),
    ("wait_all", |group| match run(group.wait_all()) {
        Ok(values) => values.into_iter().map(Ok).collect(),
        Err(errors) => errors
            .into_vec()
            .into_iter()
            .map(|(_, error)| Err(error))
            .collect(),
    }),
    ("settle", |group| run(group.settle())),
    ("first_ok", |group| match run(group.first_ok()) {
        Ok(value) => vec![Ok(value)],
        Err(errors) => errors
            .into_vec()
            .into_iter()
            .map(|(_, error)| Err(error))
            .collect(),
    }),
    ("next", |mut group| {
        std::iter::from_fn(|| run(group.next())).collect()
    }),
    ("ready", |mut group| {
        // Whether there is room, or it has failed.
        run(group.ready());
        std::iter::from_fn(|| run(group.next())).collect()
    }),
    ("drive", |mut group| {
        run(group.drive(ready(())));
        std::iter::from_fn(|| run(group.next())).collect()
    }),
];

#[test]
fn an_error_is_not_lost_when_the_destructor_of_its_task_panics() {
    // Also with a payload that panics when it is dropped.
    for blast in BLASTS {
        for (first, call) in CALLS {
            for (second, finish) in FINISHES {
                let mut group = Group::new().limit(1);
                group.spawn(Bomb(ready(Err("no".into())), blast));
                let result = caught(|| Root::new().poll(&mut call(&mut group)));
                assert!(forget(result).is_none(), "{first}: no panic");
                let expected: [Result<usize, Fail>; 1] = [Err("no".into())];
                assert_eq!(finish(group), expected, "{first}, then {second}");
            }
        }
    }
}

#[test]
fn a_value_is_not_lost_when_the_destructor_of_its_task_panics() {
    for blast in BLASTS {
        for (first, call) in CALLS.iter().filter(|(name, _)| *name != ".await") {
            let mut group = Group::new().limit(1);
            group.spawn(Bomb(ready(Ok(7)), blast));
            let result = caught(|| Root::new().poll(&mut call(&mut group)));
            assert!(forget(result).is_none(), "{first}: no panic");
            assert_eq!(run(group.settle()), [Ok(7)], "{first}");
        }
    }
}

#[test]
fn a_value_whose_task_panics_as_it_is_dropped_is_discarded_by_the_next_await() {
    let (root, probe) = (Root::new(), Probe::new());
    let mut group = Group::new();
    group.spawn(Bomb(ready(Ok(7)), BLASTS[0]));
    group.spawn(probe.task());
    assert!(caught(|| ignore(root.poll_new(group.next()))).is_err());
    assert!(root.poll(&mut group).is_pending());
    assert!(root.poll_new(group.next()).is_pending());
    probe.finish(Ok(8));
    assert_eq!(run(group.settle()), [Ok(8)]);
}

#[test]
fn an_error_is_not_lost_to_the_destructor_of_its_task_if_panics_are_caught() {
    // What came first stays the root cause; the payload of the panic is thrown away, evil or not.
    for blast in BLASTS {
        for (name, finish) in FINISHES {
            let mut group = Group::new().limit(1).catch_panics();
            group.spawn(Bomb(ready(Err("no".into())), blast));
            let results = match forget(caught(|| run(group.drive(pending::<()>())))) {
                Some(driven) => {
                    assert_eq!(driven, None);
                    finish(group)
                }
                // Its payload has panicked, which is nobody's error.
                None => finish(group),
            };
            assert_eq!(results, [Err("no".into())], "{name}");
        }
    }
}

#[test]
fn a_failure_is_not_lost_when_destructors_of_siblings_panic() {
    for blast in BLASTS {
        for (first, call) in CALLS {
            for (second, finish) in FINISHES {
                if ["next", "results"].contains(first) {
                    continue;
                }
                let mut group = Group::new().limit(3);
                for _ in 0..2 {
                    group.spawn(Bomb(pending(), blast));
                }
                group.spawn(ready(Err("no".into())));
                // Queued.
                group.spawn(Bomb(pending(), blast));
                let result = caught(|| Root::new().poll(&mut call(&mut group)));
                assert!(forget(result).is_none(), "{first}: no panic");
                assert_eq!(group.len(), 0, "{first}");
                let expected: [Result<usize, Fail>; 1] = [Err("no".into())];
                assert_eq!(finish(group), expected, "{first}, then {second}");
            }
        }
    }
}

#[test]
fn outcomes_add_up_whatever_panics_between_them() {
    /// Panics with evil when it is polled.
    fn evil() -> impl Future<Output = Result<usize, Fail>> + Send + 'static {
        poll_fn(|_| panic_any(Evil))
    }

    for (name, call) in CALLS.iter().filter(|(name, _)| *name != ".await") {
        for blast in BLASTS {
            let mut group = Group::new().limit(4).keep_going();
            group.spawn(ready(Ok(0)));
            group.spawn(Bomb(ready(Ok(1)), blast));
            group.spawn(evil());
            group.spawn(Bomb(ready(Err("two".into())), blast));
            group.spawn(evil());
            group.spawn(Bomb(evil().boxed(), blast));
            group.spawn(ready(Ok(3)));
            group.spawn(Bomb(ready(Ok(4)), blast));
            let mut given = Vec::new();
            let mut panics = 0;
            if !["next", "results"].contains(name) {
                for _ in 0..5 {
                    let result = caught(|| Root::new().poll(&mut call(&mut group)));
                    panics += usize::from(forget(result).is_none());
                }
            }
            loop {
                match forget(caught(|| run(group.next()))) {
                    Some(Some(outcome)) => given.push(outcome),
                    Some(None) => break,
                    None => panics += 1,
                }
                assert!(panics <= 6, "{name}");
            }
            given.sort_by_key(|outcome| *outcome.as_ref().unwrap_or(&2));
            let expected = [Ok(0), Ok(1), Err("two".into()), Ok(3), Ok(4)];
            assert_eq!((given.as_slice(), panics), (&expected[..], 6), "{name}");
        }
    }
}

#[test]
fn a_failure_is_not_lost_when_kept_values_panic_as_they_are_dropped() {
    struct Loud;

    impl Drop for Loud {
        fn drop(&mut self) {
            resume_unwind(Box::new("value"));
        }
    }

    let make = || {
        let mut group = ErrGroup::<Loud, Fail>::new().keep_going();
        group.spawn(ready(Ok(Loud)));
        group.spawn(ready(Err("no".into())));
        group.spawn(ready(Ok(Loud)));
        assert_eq!(run(group.drive(ready(()))), Some(()));
        // `.await` discards values.
        assert!(forget(caught(|| run(&mut group))).is_none());
        group
    };
    assert_eq!(run(make()), Err("no".into()));
    let mut group = make();
    assert_eq!(
        run(group.next_indexed()).map(|it| (it.0, it.1.err())),
        Some((1, Some("no".into())))
    );
    // What is kept from then on has its own index.
    group.spawn(ready(Ok(Loud)));
    let value = run(group.next_indexed()).unwrap();
    assert_eq!(value.0, 3);
    assert!(forget(caught(|| drop(value))).is_none());
}

// M1, P5

#[test]
fn a_map_keeps_its_first_error_when_a_destructor_of_a_sibling_panics() {
    alone(
        "a_map_keeps_its_first_error_when_a_destructor_of_a_sibling_panics",
        || {
            for blast in BLASTS {
                for first in [false, true] {
                    let mut map = Box::pin(try_map(tasks::<usize>(first, blast), 2, |task| task));
                    let items = tasks::<()>(first, blast);
                    let mut each = Box::pin(try_for_each(items, 2, |task| task));
                    assert_eq!(twice(&mut map).map(drop), Err("no".into()), "{first}");
                    assert_eq!(twice(&mut each), Err("no".into()), "{first}");
                }
            }
        },
    );

    /// With `first`, the future of the error itself panics when it is dropped.
    fn tasks<T: Send + 'static>(
        first: bool,
        blast: fn(),
    ) -> Vec<BoxFuture<'static, Result<T, Fail>>> {
        match first {
            true => vec![
                pending().boxed(),
                Bomb(ready(Err("no".into())), blast).boxed(),
            ],
            false => vec![
                Bomb(pending(), blast).boxed(),
                ready(Err("no".into())).boxed(),
                pending().boxed(),
            ],
        }
    }

    /// Returned, or kept for the next poll.
    #[track_caller]
    fn twice<F: Future + Unpin>(map: &mut F) -> F::Output {
        for _ in 0..2 {
            if let Some(poll) = forget(caught(|| Root::new().poll(map))) {
                let Poll::Ready(result) = poll else {
                    panic!("it goes on after an error");
                };
                return result;
            }
        }
        panic!("the error is lost");
    }
}

// C4, P5

#[test]
fn what_a_context_runs_is_not_lost_when_its_destructor_panics() {
    for blast in BLASTS {
        let (root, context) = (Root::new(), CancelContext::new());
        let mut done = Box::pin(context.run(Bomb(ready(7), blast)));
        assert_eq!(root.poll(&mut done).map(Result::ok), Poll::Ready(Some(7)));

        let cancels = poll_fn(|_| {
            context.cancel();
            Poll::<()>::Pending
        });
        for mut cancelled in [
            Box::pin(context.run(Bomb(cancels.boxed(), blast))),
            Box::pin(context.run(Bomb(pending().boxed(), blast))),
        ] {
            let result = root.poll(&mut cancelled);
            assert!(matches!(result, Poll::Ready(Err(_))), "{result:?}");
        }
    }
}

// C4, P5
#[test]
fn what_a_context_runs_is_not_lost_when_a_waker_panics_as_it_is_dropped() {
    let (trap, context, done) = (Trap::new(), CancelContext::new(), AtomicBool::new(false));
    let mut work = context.run(poll_fn(|_| match done.load(SeqCst) {
        true => Poll::Ready(7),
        false => Poll::Pending,
    }));
    assert!(trap.poll(&mut work).unwrap().is_pending());
    done.store(true, SeqCst);
    trap.arm(Event::Drop);
    assert_eq!(
        Root::new().poll(&mut work).map(Result::ok),
        Poll::Ready(Some(7))
    );
    assert_eq!(trap.state.sprung.load(SeqCst), 1);
}

// P1, P5: graces

#[test]
fn a_grace_that_is_over_cuts_though_its_destructor_panics() {
    for blast in BLASTS {
        for (name, finish) in FINISHES {
            let grace = move || Bomb(ready(()), blast);
            let (context, mut group) = ErrGroup::with_grace(&CancelContext::new(), grace);
            let probe = Probe::new();
            group.spawn(probe.task());
            context.cancel();
            assert!(forget(caught(|| ignore(Root::new().poll(&mut group)))).is_none());
            assert!(probe.is_dropped(), "{name}");
            let reason = Fail::Cancelled(CancelKind::Cancelled);
            assert_eq!(finish(group), [Err(reason)], "{name}");
        }
    }
}

// R6, R7
#[test]
fn an_outcome_comes_before_those_of_a_grace_though_the_destructor_of_its_task_panics() {
    for blast in BLASTS {
        let make = |outcome: Result<usize, Fail>| {
            let (context, mut group) = Group::with_grace(&CancelContext::new(), || ready(()));
            group.spawn(Bomb(ready(outcome), blast));
            assert!(forget(caught(|| ignore(Root::new().poll_new(group.next())))).is_none());
            group.spawn(pending());
            context.cancel();
            group
        };
        for (name, finish) in FINISHES {
            assert_eq!(
                finish(make(Err("no".into())))[0],
                Err("no".into()),
                "{name}"
            );
        }
        for outcome in [Ok(7), Err("no".into())] {
            let mut group = make(outcome.clone());
            let given: Vec<_> = std::iter::from_fn(|| run(group.next())).collect();
            let reason = Fail::Cancelled(CancelKind::Cancelled);
            assert_eq!(given, [outcome, Err(reason)]);
        }
    }
}

#[test]
fn a_grace_that_is_over_cuts_though_its_output_panics_as_it_is_dropped() {
    for blast in BLASTS {
        let grace = move || ready(Bomb((), blast));
        let (context, mut group) = ErrGroup::<(), Fail>::with_grace(&CancelContext::new(), grace);
        group.spawn(pending());
        context.cancel();
        let reason = Fail::Cancelled(CancelKind::Cancelled);
        assert_eq!(run(group), Err(reason));
    }
}

#[test]
fn a_grace_that_panics_when_polled_and_when_dropped_does_not_abort() {
    alone(
        "a_grace_that_panics_when_polled_and_when_dropped_does_not_abort",
        || {
            for blast in BLASTS {
                let root = Root::new();
                let poll = poll_fn(|_| -> Poll<()> { resume_unwind(Box::new("poll")) });
                let grace = move || Bomb(poll, blast);
                let (context, mut group) =
                    ErrGroup::<(), Fail>::with_grace(&CancelContext::new(), grace);
                let probe = Probe::new();
                group.spawn(probe.task());
                context.cancel();
                let payload = caught(|| ignore(root.poll(&mut group))).unwrap_err();
                assert_eq!(payload.downcast_ref(), Some(&"poll"));
                // It is gone, and cuts nothing.
                assert!(root.poll(&mut group).is_pending());
                probe.finish(Ok(()));
                assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
            }
        },
    );
}

// P5: conversions

/// An error that cannot be made of a cancellation, at first or ever.
#[derive(Debug, PartialEq)]
enum Stubborn {
    Text(&'static str),
    Cancelled,
}

static STUBBORN: AtomicBool = AtomicBool::new(false);
/// Only one test at a time may make the conversion panic.
static ONE: Mutex<()> = Mutex::new(());

impl From<Cancelled> for Stubborn {
    fn from(_: Cancelled) -> Self {
        if STUBBORN.load(SeqCst) {
            resume_unwind(Box::new("conversion"));
        }
        Stubborn::Cancelled
    }
}

/// A group whose grace is over, and whose errors cannot be made.
fn stubborn() -> ErrGroup<'static, usize, Stubborn> {
    STUBBORN.store(true, SeqCst);
    let (context, mut group) = ErrGroup::with_grace(&CancelContext::new(), || ready(()));
    group.spawn(pending());
    group.spawn(pending());
    context.cancel();
    group
}

#[test]
fn a_group_that_was_cut_is_never_ok_though_its_error_could_not_be_made() {
    let _one = ONE.lock().unwrap_or_else(|poison| poison.into_inner());
    type Call = fn(&mut ErrGroup<'static, usize, Stubborn>) -> bool;
    // Whether it says that all is well.
    let calls: [(&str, Call); 4] = [
        (".await", |group| run(group).is_ok()),
        ("next", |group| {
            run(group.next()).is_none_or(|outcome| outcome.is_ok())
        }),
        ("ready", |group| run(group.ready())),
        ("drive", |group| run(group.drive(ready(()))).is_some()),
    ];
    type Finish = fn(ErrGroup<'static, usize, Stubborn>) -> bool;
    let finishes: [(&str, Finish); 6] = [
        (".await", |group| run(group).is_ok()),
        ("collect", |group| run(group.collect()).is_ok()),
        ("wait_all", |group| run(group.wait_all()).is_ok()),
        ("settle", |group| {
            !run(group.settle()).contains(&Err(Stubborn::Cancelled))
        }),
        ("first_ok", |group| {
            run(group.first_ok())
                .map_err(|errors| assert!(!errors.is_empty()))
                .is_ok()
        }),
        ("next", |mut group| {
            run(group.next()).is_none_or(|outcome| outcome.is_ok())
        }),
    ];
    for (first, call) in calls {
        for (second, finish) in finishes {
            // It panics once, or always.
            for once in [true, false] {
                let mut group = stubborn();
                assert_ne!(forget(caught(|| call(&mut group))), Some(true), "{first}");
                STUBBORN.store(!once, SeqCst);
                let well = forget(caught(|| finish(group)));
                assert_ne!(well, Some(true), "{first}, then {second}, once: {once}");
                // It may go on to panic only if the conversion does.
                assert!(well.is_some() || !once, "{first}, then {second}");
            }
        }
    }
    STUBBORN.store(false, SeqCst);
}

#[test]
fn a_failure_before_the_grace_is_kept_though_errors_for_the_rest_cannot_be_made() {
    let _one = ONE.lock().unwrap_or_else(|poison| poison.into_inner());
    STUBBORN.store(true, SeqCst);
    let (_context, mut group) =
        ErrGroup::<(), Stubborn>::with_grace(&CancelContext::new(), || ready(()));
    group.spawn(pending());
    group.spawn(ready(Err(Stubborn::Text("no"))));
    let result = match forget(caught(|| run(&mut group))) {
        Some(result) => result,
        None => run(&mut group),
    };
    STUBBORN.store(false, SeqCst);
    assert_eq!(result, Err(Stubborn::Text("no")));
}

#[test]
fn a_failure_is_not_lost_when_its_cause_cannot_be_made() {
    for keep_going in [false, true] {
        for (name, finish) in FINISHES {
            if keep_going && ["ready", "drive"].contains(name) {
                continue;
            }
            let (context, group) = ErrGroup::with_context(&CancelContext::new());
            let mut group = group
                .cause_from(|_| resume_unwind(Box::new("cause")))
                .limit(1);
            if keep_going {
                group = group.keep_going();
            }
            group.spawn(ready(Err("no".into())));
            assert!(
                forget(caught(|| ignore(
                    Root::new().poll_new(group.drive(pending::<()>()))
                )))
                .is_none()
            );
            // Siblings are told all the same.
            assert_eq!(
                context.reason().unwrap().kind(),
                CancelKind::TaskFailed,
                "{name}"
            );
            assert_eq!(finish(group), [Err("no".into())], "{name}");
        }
    }
}

// P5: wakers of others

#[test]
fn no_outcome_is_lost_when_the_waker_of_somebody_who_waits_for_room_panics() {
    for (first, call) in CALLS {
        for outcome in [Ok(7), Err(Fail::Text("no"))] {
            if *first == ".await" && outcome.is_ok() {
                continue;
            }
            let (trap, probe) = (Trap::new(), Probe::new());
            let mut group = Group::new().limit(1);
            group.spawn(probe.task());
            assert!(Root::new().poll(&mut call(&mut group)).is_pending());
            let spawner = group.spawner();
            let mut room = Box::pin(spawner.ready());
            assert!(trap.poll(&mut room).unwrap().is_pending());
            probe.finish(outcome.clone());
            trap.arm(Event::Wake);
            let result = if ["next", "results"].contains(first) {
                forget(caught(|| run(group.next()))).flatten()
            } else {
                forget(caught(|| ignore(Root::new().poll(&mut call(&mut group)))));
                None
            };
            trap.disarm();
            assert_eq!(trap.state.sprung.load(SeqCst), 1, "{first}");
            // Given now, or kept.
            let result = result.or_else(|| match *first {
                ".await" => run(&mut group).err().map(Err),
                _ => run(group.next()),
            });
            assert_eq!(result, Some(outcome), "{first}");
            drop(room);
        }
    }
}

#[test]
fn no_outcome_is_lost_when_the_waker_of_a_handle_panics() {
    for (name, finish) in [
        (
            "await",
            (|group| run(group)) as fn(ErrGroup<'static, (), Fail>) -> Result<(), Fail>,
        ),
        ("collect", |group| run(group.collect()).map(drop)),
        ("wait_all", |group| {
            run(group.wait_all())
                .map(drop)
                .map_err(|errors| errors.into_first().unwrap())
        }),
    ] {
        let (trap, probe) = (Trap::new(), Probe::<Result<usize, Fail>>::new());
        let mut group = ErrGroup::<(), Fail>::new();
        let mut handle = group.spawner().spawn_with_handle(probe.task());
        group.spawn(pending());
        assert!(
            Root::new()
                .poll_new(group.drive(pending::<()>()))
                .is_pending()
        );
        assert!(trap.poll(&mut handle).unwrap().is_pending());
        probe.finish(Err("no".into()));
        trap.arm(Event::Wake);
        forget(caught(|| {
            ignore(Root::new().poll_new(group.drive(pending::<()>())))
        }));
        trap.disarm();
        assert_eq!(finish(group), Err("no".into()), "{name}");
        assert!(run(handle).is_err());
    }
}

// H2, P3, P5

#[test]
fn an_aborted_task_whose_destructor_panics_is_an_error_if_panics_are_caught() {
    for queued in [false, true] {
        let mut group = ErrGroup::<(), Fail>::new()
            .limit(1)
            .keep_going()
            .catch_panics();
        let gate = Probe::new();
        if queued {
            group.spawn(gate.task());
        }
        let handle = group
            .spawner()
            .spawn_with_handle(Bomb(pending::<Result<(), Fail>>(), || {
                resume_unwind(Box::new("destructor"))
            }));
        let root = Root::new();
        assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
        assert_eq!((group.running(), group.queued()), (1, usize::from(queued)));
        handle.abort();
        let polled = caught(|| root.poll_new(group.drive(pending::<()>())).is_pending());
        assert_eq!(forget(polled), Some(true), "queued: {queued}");
        if queued {
            gate.finish(Ok(()));
        }
        let mut results = run(group.settle());
        results.retain(Result::is_err);
        let expected = [Err(Fail::Panicked("destructor".into()))];
        assert_eq!(results, expected, "queued: {queued}");
    }
}

#[test]
fn aborted_tasks_whose_destructors_panic_take_no_other_along() {
    for catch in [false, true] {
        for blast in BLASTS {
            let mut group = ErrGroup::<(), Fail>::new().limit(2).keep_going();
            if catch {
                group = group.catch_panics();
            }
            let probes = crate::common::probes(2);
            group.spawn(probes[0].task());
            let spawner = group.spawner();
            let bomb = || spawner.spawn_with_handle(Bomb(pending::<Result<(), Fail>>(), blast));
            let handles = [bomb(), bomb(), bomb()];
            group.spawn(probes[1].task());
            let root = Root::new();
            assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
            handles.iter().for_each(|handle| handle.abort());
            for _ in 0..8 {
                forget(caught(|| {
                    ignore(root.poll_new(group.drive(pending::<()>())))
                }));
            }
            assert_eq!((group.running(), group.queued()), (2, 0));
            assert!(handles.iter().all(|handle| handle.is_finished()));
            probes[0].finish(Ok(()));
            probes[1].finish(Err("one".into()));
            let errors = run(group.wait_all()).unwrap_err().into_vec();
            assert!(errors.contains(&(4, "one".into())), "{errors:?}");
        }
    }
}

// P3, P5
#[test]
fn an_outcome_that_could_not_be_given_is_not_lost_to_a_task_that_is_aborted() {
    // As many as may be polled in one go.
    const BUDGET: usize = 256;
    let (trap, root) = (Trap::new(), Root::new());
    let mut group = Group::new().limit(2).catch_panics();
    group.extend((0..BUDGET).map(|number| ready(Ok(number))));
    let spawner = group.spawner();
    let queued = spawner.spawn_abortable(pending());
    let mut room = Box::pin(spawner.ready());
    assert!(trap.poll(&mut room).unwrap().is_pending());
    trap.arm(Event::Wake);
    for number in 0..BUDGET - 1 {
        let outcome = root.poll_new(group.next());
        assert_eq!(outcome, Poll::Ready(Some(Ok(number))));
    }
    // There is room now.
    assert!(caught(|| ignore(root.poll_new(group.next()))).is_err());
    queued.abort();
    assert!(root.poll_new(group.drive(pending::<()>())).is_pending());
    assert_eq!(run(group.next()), Some(Ok(BUDGET - 1)));
    assert_eq!(run(group.next()), None);
    assert!(queued.is_finished());
}

#[cfg(feature = "tracing")]
mod subscribers {
    use super::*;
    use std::sync::Once;
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Dispatch, Metadata, Subscriber};

    /// Panics once, at the event of the armed kind.
    #[derive(Clone, Default)]
    struct Touchy(Arc<TouchyState>);

    #[derive(Default)]
    struct TouchyState {
        armed: AtomicUsize,
        ids: AtomicUsize,
    }

    const KINDS: [usize; 5] = [1, 2, 3, 4, 5];

    impl Touchy {
        fn at(&self, kind: usize) {
            if self
                .0
                .armed
                .compare_exchange(kind, 0, SeqCst, SeqCst)
                .is_ok()
            {
                resume_unwind(Box::new("subscriber"));
            }
        }
    }

    impl Subscriber for Touchy {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            let id = self.0.ids.fetch_add(1, SeqCst) + 1;
            Id::from_u64(id.try_into().unwrap())
        }

        fn record(&self, _: &Id, _: &Record<'_>) {
            self.at(1);
        }

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, _: &tracing::Event<'_>) {
            self.at(2);
        }

        fn enter(&self, _: &Id) {
            self.at(3);
        }

        fn exit(&self, _: &Id) {
            self.at(4);
        }

        fn try_close(&self, _: Id) -> bool {
            self.at(5);
            true
        }
    }

    fn told<R>(f: impl FnOnce(&Touchy) -> R) -> R {
        // Somebody listens on every thread: while there is only one subscriber, a test that has none
        // and comes to an event first turns it off for all.
        static ON_ALL: Once = Once::new();
        let on_all = || Dispatch::new(Touchy::default());
        ON_ALL.call_once(|| tracing::dispatcher::set_global_default(on_all()).unwrap());
        let touchy = Touchy::default();
        tracing::dispatcher::with_default(&Dispatch::new(touchy.clone()), || f(&touchy))
    }

    #[test]
    fn a_group_hears_of_a_task_whose_spawning_makes_a_subscriber_panic() {
        type Spawn = fn(&mut Group);
        let ways: [Spawn; 2] = [
            |group| group.spawn(ready(Ok(7))),
            |group| group.spawner().spawn(ready(Ok(7))),
        ];
        for spawn in ways {
            told(|touchy| {
                let root = Root::new();
                let mut group = Group::new();
                group.spawn(pending());
                assert!(root.poll_new(group.next()).is_pending());
                touchy.0.armed.store(2, SeqCst);
                assert!(caught(|| spawn(&mut group)).is_err());
                assert_eq!(root.wakes(), 1);
                assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Ok(7))));
            });
        }
    }

    #[test]
    fn a_subscriber_that_panics_at_the_end_of_a_background_task_swallows_no_outcome() {
        for kind in KINDS {
            for error in [false, true] {
                told(|touchy| {
                    let root = Root::new();
                    let probe = Probe::<Result<(), Fail>>::new();
                    let mut group = ErrGroup::<(), Fail>::new();
                    group.spawner().spawn_background(probe.task());
                    let other = Probe::<Result<(), Fail>>::new();
                    group.spawn(other.task());
                    assert!(root.poll_new(group.next()).is_pending());
                    probe.finish(if error { Err("no".into()) } else { Ok(()) });
                    touchy.0.armed.store(kind, SeqCst);
                    let mut given = Vec::new();
                    let caught = forget(caught(|| root.poll_new(group.next())));
                    if let Some(Poll::Ready(outcome)) = caught {
                        given.extend(outcome);
                    }
                    touchy.0.armed.store(0, SeqCst);
                    other.finish(Ok(()));
                    while let Some(outcome) = run(group.next()) {
                        given.push(outcome);
                    }
                    given.sort_by_key(Result::is_ok);
                    let (ok, no) = (Ok(()), Err("no".into()));
                    // A subscriber that panics before the poll of a task takes that along (P2).
                    if error && kind != 3 {
                        assert_eq!(given, [no, ok], "{kind}");
                    } else {
                        given.retain(Result::is_ok);
                        assert_eq!(given, [ok], "{kind}");
                    }
                });
            }
        }
    }

    #[test]
    fn a_subscriber_that_panics_at_the_end_of_a_task_swallows_no_outcome_of_others() {
        for kind in KINDS {
            told(|touchy| {
                let root = Root::new();
                let probes = crate::common::probes::<Result<usize, Fail>>(3);
                let mut group: Group = probes.iter().map(Probe::task).collect();
                assert!(root.poll_new(group.next()).is_pending());
                let mut given = Vec::new();
                for (number, probe) in probes.iter().enumerate() {
                    probe.finish(Ok(number));
                    touchy
                        .0
                        .armed
                        .store(if number == 1 { kind } else { 0 }, SeqCst);
                    let polled = forget(caught(|| root.poll_new(group.next())));
                    if let Some(Poll::Ready(Some(outcome))) = polled {
                        given.push(outcome);
                    }
                }
                touchy.0.armed.store(0, SeqCst);
                while let Some(outcome) = run(group.next()) {
                    given.push(outcome);
                }
                given.retain(|outcome| *outcome != Ok(1));
                assert_eq!(given, [Ok(0), Ok(2)], "{kind}");
                assert_eq!(group.len(), 0, "{kind}");
            });
        }
    }
}
