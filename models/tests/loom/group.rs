//! What threads do to a group from outside: spawning, ending, waiting, aborting.

use super::*;

use std::sync::atomic::AtomicBool;

type Aborted = Result<(), ()>;

// Spawning and the end: R10, R14.

// R10
#[test]
fn a_task_that_is_spawned_while_a_group_is_found_empty_is_found_the_next_time() {
    model(3, || {
        let mut group = Group::new();
        let spawner = group.spawner();
        let other = thread::spawn(move || assert!(spawner.try_spawn(async { Ok(()) }).is_ok()));
        let first = block_on(group.next());
        other.join().unwrap();
        let second = block_on(group.next());
        assert!(first.is_some() != second.is_some());
    });
}

// R14
#[test]
fn a_task_that_is_spawned_before_the_last_keep_open_is_dropped_runs() {
    model(3, || {
        let ran = Arc::new(Count::new(0));
        let group = Group::new();
        let (spawner, open) = (group.spawner(), group.keep_open());
        let theirs = ran.clone();
        let other = thread::spawn(move || {
            spawner.spawn(async move {
                theirs.fetch_add(1, SeqCst);
                Ok(())
            });
            drop(open);
        });
        block_on(group).unwrap();
        assert_eq!(ran.load(SeqCst), 1);
        other.join().unwrap();
    });
}

// R14
#[test]
fn the_end_of_a_group_sees_what_was_done_before_each_keep_open_was_dropped() {
    model(3, || {
        let data = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let group = Group::new();
        let others = [0, 1].map(|index| {
            let (open, data) = (group.keep_open(), data.clone());
            thread::spawn(move || {
                data[index].store(1, Relaxed);
                drop(open);
            })
        });
        block_on(group).unwrap();
        assert_eq!(data.each_ref().map(|data| data.load(Relaxed)), [1, 1]);
        join(others);
    });
}

// R10
#[test]
fn who_sees_a_group_closed_sees_what_its_tasks_did() {
    model(3, || {
        let data = Arc::new(AtomicUsize::new(0));
        let mut group = Group::new();
        let (spawner, theirs) = (group.spawner(), data.clone());
        group.spawn(async move {
            theirs.store(1, Relaxed);
            Ok(())
        });
        let other = thread::spawn(move || {
            if spawner.is_closed() {
                assert_eq!(data.load(Relaxed), 1);
            }
        });
        block_on(group.collect()).unwrap();
        other.join().unwrap();
    });
}

// Scopes: R13.

// R13
#[test]
fn a_body_is_woken_from_a_thread() {
    model(3, || {
        let event = Arc::new(Event::default());
        let theirs = event.clone();
        let other = thread::spawn(move || theirs.set());
        let scope = errgroup::scope(async |_| {
            event.wait().await;
            Ok::<_, ()>(7)
        });
        assert_eq!(block_on(scope), Ok(7));
        other.join().unwrap();
    });
}

// R13
#[test]
fn a_body_gets_the_value_of_a_task_that_is_woken_from_a_thread() {
    model(3, || {
        let event = Arc::new(Event::default());
        let theirs = event.clone();
        let other = thread::spawn(move || theirs.set());
        let scope = errgroup::scope(async |s| {
            let handle = s.spawn_with_handle(async {
                event.wait().await;
                Ok::<_, ()>(7)
            });
            Ok(handle.await.unwrap())
        });
        assert_eq!(block_on(scope), Ok(7));
        other.join().unwrap();
    });
}

// Counting: R8, R9, H3.

// H3: `len` is read piece by piece.
#[test]
fn a_task_that_counts_is_counted_while_others_come_and_go() {
    model(3, || {
        let mut group = Group::new();
        let spawner = group.spawner();
        group.spawn(std::future::pending());
        assert!(poll_once(&mut group).is_pending());
        let other = thread::spawn(move || assert!(!spawner.is_empty()));
        group.spawn_background(std::future::pending());
        group.spawn_background(async { Ok(()) });
        group.spawn(async { Ok(()) });
        assert!(poll_once(&mut group).is_pending());
        other.join().unwrap();
    });
}

// R9: the failure of another task makes no room.
#[test]
fn there_is_no_room_in_a_group_that_fails() {
    model(3, || {
        let mut group = Group::new().limit(1);
        group.spawn(std::future::pending());
        let spawner = group.spawner();
        group.spawn_background(async { Err(()) });
        let other = thread::spawn(move || assert!(!block_on(spawner.ready())));
        assert_eq!(block_on(group.collect()), Err(()));
        other.join().unwrap();
    });
}

// R9
#[test]
fn who_waits_for_room_and_goes_away_takes_nothing_from_the_next() {
    model(3, || {
        let mut group = Group::new().limit(1);
        group.spawn(async { Ok(()) });
        let (leaving, staying) = (group.spawner(), group.spawner());
        let others = [
            thread::spawn(move || {
                let mut ready = Box::pin(leaving.ready());
                _ = poll_once(&mut ready);
            }),
            thread::spawn(move || assert!(block_on(staying.ready()))),
        ];
        block_on(&mut group).unwrap();
        join(others);
    });
}

type Waiting = std::pin::Pin<Box<dyn Future<Output = bool> + Send>>;

/// Drops somebody who waits when it is woken.
struct Drops(std::sync::Mutex<Option<Waiting>>, AtomicBool);

impl Wake for Drops {
    fn wake(self: Arc<Self>) {
        let waiting = self.0.lock().unwrap().take();
        drop(waiting);
        self.1.store(true, SeqCst);
    }
}

// R9, C2: a waker is code of the user, and runs under no lock.
#[test]
fn a_waker_may_drop_another_who_waits_for_room() {
    model(3, || {
        let mut group = Group::new().limit(1);
        group.spawn(async { Ok(()) });
        let waiting = |spawner: errgroup::ErrSpawner<'static, (), ()>| -> Waiting {
            Box::pin(async move { spawner.ready().await })
        };
        let (mut first, mut second) = (waiting(group.spawner()), waiting(group.spawner()));
        assert!(poll_once(&mut second).is_pending());
        let drops = Arc::new(Drops(
            std::sync::Mutex::new(Some(second)),
            AtomicBool::new(false),
        ));
        let waker = Waker::from(drops.clone());
        assert!(
            first
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        let other = thread::spawn(move || drop(first));
        block_on(&mut group).unwrap();
        other.join().unwrap();
        let is_left = drops.0.lock().unwrap().is_some();
        assert!(is_left != drops.1.load(SeqCst));
    });
}

// Aborting: H2, H6, R13.

/// Ends when the test does.
fn held(group: &mut Group) -> Arc<Event> {
    let event = Arc::new(Event::default());
    let theirs = event.clone();
    group.spawn(async move {
        theirs.wait().await;
        Ok(())
    });
    event
}

fn is_aborted(handle: errgroup::TaskHandle<Aborted>) -> bool {
    block_on(handle).unwrap_err().kind() == CancelKind::Cancelled
}

// H2
#[test]
fn a_queued_task_that_is_aborted_is_dropped_though_nothing_ends() {
    model(3, || {
        let mut group = Group::new().limit(1);
        let event = held(&mut group);
        let handle = group.spawn_with_handle(std::future::pending::<Result<Aborted, ()>>());
        let other = thread::spawn(move || {
            handle.abort();
            assert!(is_aborted(handle));
            event.set();
        });
        block_on(group).unwrap();
        other.join().unwrap();
    });
}

// H2: the second abort may come while the first is being answered.
#[test]
fn a_task_that_is_spawned_and_aborted_while_another_abort_is_answered_is_dropped() {
    model(2, || {
        let mut group = Group::new().limit(1);
        let event = held(&mut group);
        let first = group.spawn_with_handle(std::future::pending::<Result<Aborted, ()>>());
        let spawner = group.spawner();
        let other = thread::spawn(move || {
            first.abort();
            let second = spawner.spawn_with_handle(std::future::pending::<Result<Aborted, ()>>());
            second.abort();
            assert!(is_aborted(second));
            event.set();
        });
        block_on(group).unwrap();
        other.join().unwrap();
    });
}

// H6
#[test]
fn a_task_that_is_aborted_sees_what_was_done_before() {
    model(3, || {
        let data = Arc::new(AtomicUsize::new(0));
        let guard = Sees(data.clone());
        let group = Group::new();
        let handle = group.spawner().spawn_abortable(async move {
            let _guard = guard;
            std::future::pending().await
        });
        let other = thread::spawn(move || {
            data.store(1, Relaxed);
            handle.abort();
        });
        block_on(group).unwrap();
        other.join().unwrap();
    });
}

/// Sees that it is dropped after something was done.
struct Sees(Arc<AtomicUsize>);

impl Drop for Sees {
    fn drop(&mut self) {
        assert_eq!(self.0.load(Relaxed), 1);
    }
}

// H6
#[test]
fn who_finds_a_task_finished_sees_what_its_destructor_did() {
    model(3, || {
        let data = Arc::new(AtomicUsize::new(0));
        let theirs = Does(data.clone());
        let mut group = Group::new();
        let handle = group.spawn_abortable(async move {
            let _guard = theirs;
            Ok(())
        });
        let other = thread::spawn(move || {
            if handle.is_finished() {
                assert_eq!(data.load(Relaxed), 1);
            }
        });
        block_on(group).unwrap();
        other.join().unwrap();
    });
}

struct Does(Arc<AtomicUsize>);

impl Drop for Does {
    fn drop(&mut self) {
        self.0.store(1, Relaxed);
    }
}

// H6
#[test]
fn two_threads_abort_one_task() {
    model(2, || {
        let dropped = Arc::new(Count::new(0));
        let guard = Dropped(dropped.clone());
        let mut group = Group::new();
        let handle = group.spawn_abortable(async move {
            let _guard = guard;
            std::future::pending().await
        });
        let others = [handle.clone(), handle].map(|handle| thread::spawn(move || handle.abort()));
        block_on(group).unwrap();
        assert_eq!(dropped.load(SeqCst), 1);
        join(others);
    });
}

// R13: only what was spawned before.
#[test]
fn an_abort_of_all_from_a_thread_drops_what_came_before_it_and_nothing_after() {
    model(3, || {
        let ran = Arc::new(Count::new(0));
        let mut group = Group::new();
        group.spawn(std::future::pending());
        let spawner = group.spawner();
        let theirs = ran.clone();
        let other = thread::spawn(move || {
            spawner.spawn(std::future::pending());
            spawner.abort_all();
            // Refused, if the group is over or just dropping.
            let task = async move {
                theirs.fetch_add(1, SeqCst);
                Ok(())
            };
            spawner.try_spawn(task).is_ok()
        });
        block_on(&mut group).unwrap();
        let taken = other.join().unwrap();
        block_on(group).unwrap();
        assert_eq!(ran.load(SeqCst), usize::from(taken));
    });
}

// R13: while it drops them, it takes nothing.
#[test]
fn the_room_of_tasks_that_are_aborted_is_given_away_only_when_they_are_dropped() {
    model(3, || {
        let data = Arc::new(AtomicUsize::new(0));
        let guard = Does(data.clone());
        let mut group = Group::new().limit(1);
        group.spawn(async move {
            let _guard = guard;
            std::future::pending().await
        });
        let spawner = group.spawner();
        let other = thread::spawn(move || {
            if spawner.try_spawn(async { Ok(()) }).is_ok() {
                assert_eq!(data.load(Relaxed), 1);
            }
        });
        group.abort_all();
        other.join().unwrap();
        block_on(group).unwrap();
    });
}

// R13
#[test]
fn two_aborts_of_all_drop_what_came_before_each() {
    model(3, || {
        let mut group = Group::new();
        group.spawn(std::future::pending());
        let spawner = group.spawner();
        let other = thread::spawn(move || {
            spawner.abort_all();
            spawner.spawn(std::future::pending());
            spawner.abort_all();
        });
        block_on(&mut group).unwrap();
        other.join().unwrap();
        block_on(group).unwrap();
    });
}

// R13
#[test]
fn the_one_of_two_aborts_of_all_that_means_less_takes_nothing_from_the_other() {
    model(3, || {
        let mut group = Group::new();
        group.spawn(std::future::pending());
        let (first, second) = (group.spawner(), group.spawner());
        let others = [
            thread::spawn(move || first.abort_all()),
            thread::spawn(move || {
                second.spawn(std::future::pending());
                second.abort_all();
            }),
        ];
        join(others);
        block_on(group).unwrap();
    });
}

// Handles: H1, H2.

// H1: whose waker changes while the value comes.
#[test]
fn a_handle_that_moves_to_another_task_gets_its_value_there() {
    model(3, || {
        let group = Group::new();
        let mut handle = group.spawner().spawn_with_handle(async { Ok(7) });
        let other = thread::spawn(move || block_on(group).unwrap());
        if poll_once(&mut handle).is_pending() {
            assert_eq!(block_on(handle).unwrap(), 7);
        }
        other.join().unwrap();
    });
}

// H1, H2
#[test]
fn a_task_that_is_aborted_as_it_completes_gives_its_value_or_says_that_it_was() {
    model(3, || {
        let group = Group::new();
        let handle = group.spawner().spawn_with_handle(async { Ok(7) });
        let other = thread::spawn(move || {
            handle.abort();
            match block_on(handle) {
                Ok(value) => assert_eq!(value, 7),
                Err(reason) => assert_eq!(reason.kind(), CancelKind::Cancelled),
            }
        });
        block_on(group).unwrap();
        other.join().unwrap();
    });
}

// H1
#[test]
fn the_value_of_a_task_is_dropped_once_if_its_handle_goes_as_it_comes() {
    model(3, || {
        let dropped = Arc::new(Count::new(0));
        let guard = Dropped(dropped.clone());
        let group = Group::new();
        let handle = group.spawner().spawn_with_handle(async { Ok(guard) });
        let other = thread::spawn(move || drop(handle));
        block_on(group).unwrap();
        other.join().unwrap();
        assert_eq!(dropped.load(SeqCst), 1);
    });
}

// Refusing: H1.

/// Why a handle has no value, if it is known by now.
fn refusal(handle: errgroup::TaskHandle<()>) -> Option<CancelKind> {
    let result = handle.is_finished().then(|| block_on(handle))?;
    Some(result.err()?.kind())
}

// H1
#[test]
fn a_task_that_is_refused_because_its_group_has_failed_says_so() {
    model(3, || {
        let mut group = Group::new();
        group.spawn(async { Err(()) });
        let spawner = group.spawner();
        let other = thread::spawn(move || {
            let handle = spawner.spawn_with_handle(async { Ok(()) });
            refusal(handle).is_none_or(|kind| kind == CancelKind::TaskFailed)
        });
        assert_eq!(block_on(&mut group), Err(()));
        assert!(other.join().unwrap());
    });
}

// H1, R13
#[test]
fn a_task_that_is_refused_because_all_are_aborted_says_so() {
    model(3, || {
        let mut group = Group::new();
        group.spawn(std::future::pending());
        let spawner = group.spawner();
        let other = thread::spawn(move || {
            let handle = spawner.spawn_with_handle(async { Ok(()) });
            refusal(handle).is_none_or(|kind| kind == CancelKind::Cancelled)
        });
        group.abort_all();
        assert!(other.join().unwrap());
    });
}

// H1, G1
#[test]
fn a_task_that_is_refused_because_the_grace_is_over_says_why_the_context_was_cancelled() {
    model(3, || {
        let parent = CancelContext::new();
        let (context, mut group) =
            ErrGroup::<(), Failed>::with_grace(&parent, || std::future::ready(()));
        group.spawn(std::future::pending());
        let spawner = group.spawner();
        assert!(context.cancel());
        let other = thread::spawn(move || {
            let handle = spawner.spawn_with_handle(std::future::pending());
            refusal(handle).is_none_or(|kind| kind == CancelKind::Cancelled)
        });
        assert!(block_on(&mut group).is_err());
        assert!(other.join().unwrap());
    });
}

// Spawners and what else is made by several threads.

// R10: who was taken before the end may go on to spawn.
#[test]
fn a_task_that_is_taken_at_the_end_may_spawn_another() {
    model(3, || {
        let group = ErrGroup::<bool, ()>::new();
        let spawner = group.spawner();
        let other = thread::spawn(move || {
            let within = spawner.clone();
            let task = async move { Ok(within.try_spawn(async { Ok(true) }).is_ok()) };
            spawner.try_spawn(task).is_ok()
        });
        let values = block_on(group.collect()).unwrap();
        let taken = other.join().unwrap();
        assert_eq!(values, if taken { vec![true, true] } else { vec![] });
    });
}

// R8
#[test]
fn two_threads_make_the_first_spawner() {
    model(3, || {
        let group = Arc::new(ErrGroup::<usize, ()>::new());
        let others = [1, 2].map(|value| {
            let group = group.clone();
            thread::spawn(move || group.spawner().spawn(async move { Ok(value) }))
        });
        join(others);
        let group = Arc::into_inner(group).unwrap();
        let mut values = block_on(group.collect()).unwrap();
        values.sort_unstable();
        assert_eq!(values, [1, 2]);
    });
}

// R14
#[test]
fn a_keep_open_that_is_made_before_the_last_is_dropped_keeps_the_group_open() {
    model(3, || {
        let ran = Arc::new(Count::new(0));
        let group = Group::new();
        let (spawner, first, theirs) = (group.spawner(), group.keep_open(), ran.clone());
        let other = thread::spawn(move || {
            let second = spawner.keep_open();
            drop(first);
            spawner.spawn(async move {
                theirs.fetch_add(1, SeqCst);
                Ok(())
            });
            drop(second);
        });
        let third = group.keep_open();
        drop(third);
        block_on(group).unwrap();
        assert_eq!(ran.load(SeqCst), 1);
        other.join().unwrap();
    });
}

// H3
#[test]
fn a_background_task_from_a_thread_holds_up_nobody_and_is_dropped() {
    model(3, || {
        let dropped = Arc::new(Count::new(0));
        let guard = Dropped(dropped.clone());
        let mut group = Group::new().limit(1);
        group.spawn(async { Ok(()) });
        let spawner = group.spawner();
        let other = thread::spawn(move || {
            spawner.spawn_background(async move {
                let _guard = guard;
                std::future::pending().await
            });
        });
        block_on(group).unwrap();
        other.join().unwrap();
        assert_eq!(dropped.load(SeqCst), 1);
    });
}

// H5
#[test]
fn a_task_gets_its_name_from_a_thread_while_the_group_is_printed() {
    model(3, || {
        let mut group = Group::new();
        let spawner = group.spawner();
        let other = thread::spawn(move || spawner.spawn_named("reader", async { Ok(()) }));
        _ = format!("{group:?}");
        assert!(poll_once(&mut group).is_ready());
        other.join().unwrap();
        let rest = format!("{group:?}");
        assert_eq!(rest.contains("reader"), !group.is_empty(), "{rest}");
    });
}

// Tasks that start: H4.

type Begun = Arc<std::sync::Mutex<Option<errgroup::Started<usize>>>>;

/// Runs a task whose `Started` goes to a thread, and gives what comes of the start, and how many
/// tasks count then.
fn start(tell: fn(errgroup::Started<usize>)) -> (Result<usize, errgroup::StartError>, usize) {
    let mut group = Group::new();
    let spawner = group.spawner();
    let begun = Begun::default();
    let theirs = begun.clone();
    let mut starting = Box::pin(spawner.start(async move |started| {
        *theirs.lock().unwrap() = Some(started);
        std::future::pending().await
    }));
    assert!(poll_once(&mut starting).is_pending());
    assert!(poll_once(&mut group).is_pending());
    let started = begun.lock().unwrap().take().unwrap();
    let other = thread::spawn(move || tell(started));
    let up = block_on(starting);
    let len = spawner.len();
    other.join().unwrap();
    drop(group);
    (up, len)
}

// H4
#[test]
fn who_waits_for_a_task_that_is_up_finds_it_counted() {
    model(3, || {
        let (up, len) = start(|started| started.ready(7));
        assert_eq!((up.unwrap(), len), (7, 1));
    });
}

// H4
#[test]
fn who_waits_for_a_task_that_will_not_be_up_is_told() {
    model(3, || assert!(start(drop).0.is_err()));
}

// H4, R8
#[test]
fn a_task_that_says_that_it_is_up_as_it_ends_is_counted_no_more() {
    model(3, || {
        let mut group = Group::new();
        let spawner = group.spawner();
        let (begun, event) = (Begun::default(), Arc::new(Event::default()));
        let (theirs, end) = (begun.clone(), event.clone());
        let mut starting = Box::pin(spawner.start(async move |started| {
            *theirs.lock().unwrap() = Some(started);
            end.wait().await;
            Ok(())
        }));
        assert!(poll_once(&mut starting).is_pending());
        assert!(poll_once(&mut group).is_pending());
        let started = begun.lock().unwrap().take().unwrap();
        let others = [
            thread::spawn(move || started.ready(7)),
            thread::spawn(move || event.set()),
        ];
        block_on(&mut group).unwrap();
        join(others);
        assert_eq!((spawner.len(), spawner.running()), (0, 0));
        _ = block_on(starting);
    });
}

// Maps.

// R4
#[test]
fn a_future_of_a_map_is_woken_from_a_thread() {
    model(3, || {
        let event = Arc::new(Event::default());
        let theirs = event.clone();
        let other = thread::spawn(move || theirs.set());
        let items = futures::stream::iter([1, 2]);
        let map = errgroup::try_map_stream(items, 2, |item| {
            let event = event.clone();
            async move {
                if item == 1 {
                    event.wait().await;
                }
                Ok::<_, ()>(item)
            }
        });
        assert_eq!(block_on(map), Ok(vec![1, 2]));
        other.join().unwrap();
    });
}
