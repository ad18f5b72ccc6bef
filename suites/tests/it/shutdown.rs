//! Runtimes and executors that go down while a group runs on them, and what others hear of that who
//! have handles, spawners, contexts and semaphores elsewhere.

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::{Arc, Barrier, Condvar, Mutex, mpsc};
use std::thread;

use crate::common::{Fail, OnDrop, kind, yields};
use crate::runtimes::{PATIENCE, current_thread, threads};
use errgroup::{
    AbortHandle, CancelContext, CancelKind, Cancelled, ErrGroup, ErrSpawner, KeepOpen, OwnedPermit,
    Semaphore, StartError, Started, TaskHandle, TooLarge,
};
use futures::channel::oneshot;
use futures::executor::{LocalPool, block_on};
use futures::{FutureExt, poll};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

/// One with threads of its own, and one without.
fn both() -> [Runtime; 2] {
    [threads(2), current_thread()]
}

/// The ways in which a runtime of tokio goes down.
const ENDS: [fn(Runtime); 3] = [drop, Runtime::shutdown_background, |runtime| {
    runtime.shutdown_timeout(PATIENCE)
}];

/// Knows how many futures there are that were neither ended nor dropped.
#[derive(Clone, Default)]
struct Alive(Arc<(Mutex<usize>, Condvar)>);

impl Alive {
    /// The same future. It counts from now on, until it is dropped.
    fn counted<Fut: Future>(&self, fut: Fut) -> impl Future<Output = Fut::Output> + use<Fut> {
        *self.0.0.lock().unwrap() += 1;
        let alive = self.clone();
        let guard = OnDrop(move || {
            *alive.0.0.lock().unwrap() -= 1;
            alive.0.1.notify_all();
        });
        async move {
            let _guard = guard;
            fut.await
        }
    }

    /// Waits until all are gone.
    #[track_caller]
    fn expect_none(&self) {
        let alive = self.0.0.lock().unwrap();
        let (alive, _) = (self.0.1)
            .wait_timeout_while(alive, PATIENCE, |alive| *alive > 0)
            .unwrap();
        assert_eq!(*alive, 0, "futures that were not dropped");
    }
}

/// What somebody gets who waits on a thread of its own.
struct Waiter<T>(mpsc::Receiver<T>);

impl<T: Send + 'static> Waiter<T> {
    /// When this returns, the future was polled once, and is pending.
    #[track_caller]
    fn new(fut: impl Future<Output = T> + Send + 'static) -> Self {
        let (waits, has_begun) = mpsc::channel();
        let (output, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut fut = pin!(fut);
            assert!(block_on(async { poll!(&mut fut) }).is_pending());
            waits.send(()).unwrap();
            _ = output.send(block_on(fut));
        });
        has_begun.recv_timeout(PATIENCE).expect("it has to wait");
        Waiter(receiver)
    }

    #[track_caller]
    fn output(self) -> T {
        self.0.recv_timeout(PATIENCE).expect("nobody waits in vain")
    }
}

/// How many tasks of `everything` hold a permit.
const WITH_PERMIT: usize = 8;

/// What others have of a group.
struct Outside {
    alive: Alive,
    parent: CancelContext,
    context: CancelContext,
    semaphore: Arc<Semaphore>,
    spawner: ErrSpawner<'static, (), Fail>,
    keep_open: KeepOpen,
    aborted: AbortHandle,
    running: TaskHandle<u8>,
    queued: TaskHandle<u8>,
    /// What the destructor of a task saw: why the context was cancelled, and whether the group was
    /// closed, and had given a future back.
    seen: mpsc::Receiver<(Option<CancelKind>, bool, bool)>,
}

/// A group with one of everything, for a runtime, that never ends by itself. The receiver is told
/// when all tasks that will have started, which is after the first poll.
fn everything() -> (ErrGroup<'static, (), Fail>, Outside, oneshot::Receiver<()>) {
    let alive = Alive::default();
    let parent = CancelContext::new();
    let (context, group) = ErrGroup::with_context(&parent);
    let mut group = group.limit(WITH_PERMIT + 3);
    let semaphore = Arc::new(Semaphore::new(WITH_PERMIT));
    let spawner = group.spawner();

    group.spawn_background(alive.counted(pending()));
    for _ in 0..WITH_PERMIT {
        let semaphore = semaphore.clone();
        group.spawn(alive.counted(async move {
            let _permit = semaphore.acquire_owned(1).await.unwrap();
            pending().await
        }));
    }
    let aborted = group.spawn_abortable(alive.counted(pending()));
    let (see, seen) = mpsc::channel();
    group.spawn(alive.counted({
        let (alive, context, spawner) = (alive.clone(), context.clone(), spawner.clone());
        let aborted = aborted.clone();
        let destructor = OnDrop(move || {
            spawner.spawn(alive.counted(pending()));
            spawner.set_limit(1_000);
            aborted.abort();
            let refused = spawner.try_spawn(alive.counted(pending())).is_err();
            see.send((kind(&context), spawner.is_closed(), refused))
                .unwrap();
        });
        async move {
            let _destructor = destructor;
            pending().await
        }
    }));
    let (start, started) = oneshot::channel();
    let running = group.spawn_with_handle(alive.counted(async move {
        start.send(()).unwrap();
        pending().await
    }));
    // Beyond the limit.
    let queued = group.spawn_with_handle(alive.counted(async { unreachable!() }));
    for _ in 0..3 {
        group.spawn(alive.counted(async { unreachable!() }));
    }

    let outside = Outside {
        alive,
        parent,
        context,
        semaphore,
        spawner,
        keep_open: group.keep_open(),
        aborted,
        running,
        queued,
        seen,
    };
    (group, outside, started)
}

/// The threads that wait for what a group outside has promised.
struct Waiting {
    running: Waiter<Result<u8, Cancelled>>,
    queued: Waiter<Result<u8, Cancelled>>,
    ready: Waiter<bool>,
    started: Waiter<Result<u8, StartError>>,
    reason: Waiter<Cancelled>,
    permit: Waiter<Result<OwnedPermit, TooLarge>>,
}

impl Outside {
    /// Runs `end`, while others wait for everything that can be waited for, and sees that all of
    /// them are answered, and that nothing is left.
    #[track_caller]
    fn see_the_end(self, end: impl FnOnce()) {
        let (room, starts) = (self.spawner.clone(), self.spawner.clone());
        let alive = self.alive.clone();
        let waiting = Waiting {
            running: Waiter::new(self.running),
            queued: Waiter::new(self.queued),
            ready: Waiter::new(async move { room.ready().await }),
            started: Waiter::new(async move {
                let body = |started: Started<u8>| {
                    alive.counted(async move {
                        let _started = started;
                        pending().await
                    })
                };
                starts.start(body).await
            }),
            reason: Waiter::new(self.context.cancelled()),
            permit: Waiter::new(self.semaphore.acquire_owned(1)),
        };
        end();

        // H1
        let kind_of = |result: Result<u8, Cancelled>| result.map_err(|reason| reason.kind());
        assert_eq!(kind_of(waiting.running.output()), Err(CancelKind::Finished));
        assert_eq!(kind_of(waiting.queued.output()), Err(CancelKind::Finished));
        assert!(!waiting.ready.output());
        waiting.started.output().unwrap_err();
        // C5
        assert_eq!(waiting.reason.output().kind(), CancelKind::Finished);
        assert!(!self.parent.is_cancelled());
        // S5
        drop(waiting.permit.output().unwrap());
        self.alive.expect_none();
        assert_eq!(self.semaphore.available(), WITH_PERMIT);

        let seen = self.seen.recv_timeout(PATIENCE);
        assert_eq!(seen, Ok((Some(CancelKind::Finished), true, true)));

        // Who comes late learns it, too.
        let spawner = self.spawner;
        assert!(spawner.is_closed());
        assert_eq!((spawner.len(), spawner.running()), (0, 0));
        let error = spawner.try_spawn(async { Ok(()) }).unwrap_err();
        assert!(!error.is_full());
        spawner.spawn(self.alive.counted(pending()));
        let late = spawner.spawn_with_handle(self.alive.counted(pending::<Result<u8, _>>()));
        assert_eq!(kind_of(block_on(late)), Err(CancelKind::Finished));
        assert!(!block_on(spawner.ready()));
        assert!(self.aborted.is_finished());
        self.aborted.abort();
        spawner.abort_all();
        drop((spawner.keep_open(), self.keep_open));
        self.alive.expect_none();
    }
}

#[test]
fn group_on_tokio_answers_everybody_when_the_runtime_goes_down() {
    for end in ENDS {
        for runtime in both() {
            let (group, outside, started) = everything();
            let owner = runtime.spawn(group);
            runtime.block_on(started).unwrap();
            outside.see_the_end(|| end(runtime));
            assert!(block_on(owner).unwrap_err().is_cancelled());
        }
    }
}

#[test]
fn group_on_tokio_answers_everybody_if_nobody_keeps_the_handle_of_its_task() {
    for end in ENDS {
        for runtime in both() {
            let (group, outside, started) = everything();
            drop(runtime.spawn(async move {
                let mut group = group;
                group.drive(pending::<()>()).await
            }));
            runtime.block_on(started).unwrap();
            outside.see_the_end(|| end(runtime));
        }
    }
}

#[test]
fn group_on_a_local_set_answers_everybody_when_that_is_dropped() {
    let runtime = current_thread();
    let local = LocalSet::new();
    let (group, outside, started) = everything();
    let owner = local.spawn_local(group);
    local.block_on(&runtime, started).unwrap();
    outside.see_the_end(|| drop(local));
    assert!(runtime.block_on(owner).unwrap_err().is_cancelled());
}

#[test]
fn group_in_block_on_answers_everybody_when_that_is_given_up() {
    let runtime = current_thread();
    let (mut group, outside, started) = everything();
    runtime.block_on(async {
        let mut started = started.fuse();
        futures::select! {
            _ = &mut group => unreachable!(),
            told = started => told.unwrap(),
        }
    });
    // It ends before the group, which does not need it.
    drop(runtime);
    assert!(!outside.spawner.is_closed());
    outside.see_the_end(|| drop(group));
}

#[test]
fn group_on_an_async_executor_answers_everybody_when_that_is_dropped() {
    let executor = async_executor::Executor::new();
    let (group, outside, started) = everything();
    let owner = executor.spawn(group).fallible();
    block_on(executor.run(started)).unwrap();
    outside.see_the_end(|| drop(executor));
    assert_eq!(block_on(owner), None);
}

#[test]
fn group_on_an_async_executor_with_threads_answers_everybody_when_that_is_dropped() {
    let executor = Arc::new(async_executor::Executor::new());
    let (group, outside, started) = everything();
    executor.spawn(group).detach();
    let (stops, runs): (Vec<_>, Vec<_>) = (0..3)
        .map(|_| {
            let (stop, stopped) = oneshot::channel::<()>();
            let executor = executor.clone();
            // The last of them drops it.
            let run = thread::spawn(move || block_on(executor.run(stopped)));
            (stop, run)
        })
        .unzip();
    drop(executor);
    block_on(started).unwrap();
    outside.see_the_end(|| drop(stops));
    for run in runs {
        run.join().unwrap().unwrap_err();
    }
}

#[test]
fn group_on_a_local_executor_answers_everybody_when_that_is_dropped() {
    let executor = async_executor::LocalExecutor::new();
    let (group, outside, started) = everything();
    let owner = executor.spawn(group).fallible();
    block_on(executor.run(started)).unwrap();
    outside.see_the_end(|| drop(executor));
    assert_eq!(block_on(owner), None);
}

#[test]
fn group_on_a_local_pool_answers_everybody_when_that_is_dropped() {
    use futures::task::LocalSpawnExt;
    let mut pool = LocalPool::new();
    let (group, outside, started) = everything();
    let owned = async { drop(group.await) };
    pool.spawner().spawn_local(owned).unwrap();
    pool.run_until(started).unwrap();
    outside.see_the_end(|| drop(pool));
}

#[test]
fn group_that_its_runtime_has_never_polled_answers_everybody() {
    type Own = Box<dyn FnOnce(ErrGroup<'static, (), Fail>)>;
    let runtime = current_thread();
    let executor = async_executor::Executor::new();
    let owners: [Own; 2] = [
        Box::new(move |group| {
            drop(runtime.spawn(group));
            drop(runtime);
        }),
        Box::new(move |group| {
            executor.spawn(group).detach();
            drop(executor);
        }),
    ];
    for own in owners {
        let (group, outside, _) = everything();
        let permits = outside.semaphore.clone();
        // Those of the tasks that would have them.
        let taken = permits.try_acquire_owned(WITH_PERMIT).unwrap();
        outside.see_the_end(|| {
            own(group);
            drop(taken);
        });
    }
}

// P4
#[test]
fn destructor_that_panics_while_the_runtime_goes_down_is_in_the_handle_of_the_owner() {
    for end in ENDS {
        for runtime in both() {
            let alive = Alive::default();
            let mut group = ErrGroup::<(), Fail>::new();
            let spawner = group.spawner();
            let (start, started) = oneshot::channel();
            for _ in 0..5 {
                group.spawn(alive.counted(pending()));
            }
            let destructor = OnDrop(|| panic!("in a destructor"));
            group.spawn(alive.counted(async move {
                let _destructor = destructor;
                pending().await
            }));
            let handle = group.spawn_with_handle(alive.counted(async {
                start.send(()).unwrap();
                pending::<Result<u8, _>>().await
            }));
            let owner = runtime.spawn(group);
            runtime.block_on(started).unwrap();
            let handle = Waiter::new(handle);
            end(runtime);
            let reason = handle.output().unwrap_err();
            assert_eq!(reason.kind(), CancelKind::Finished);
            let payload = block_on(owner).unwrap_err().into_panic();
            assert_eq!(payload.downcast_ref(), Some(&"in a destructor"));
            alive.expect_none();
            assert!(spawner.is_closed());
        }
    }
}

/// What other threads do with a group, again and again, until it is over.
#[derive(Clone)]
struct Busy {
    alive: Alive,
    spawner: ErrSpawner<'static, (), Fail>,
    semaphore: Arc<Semaphore>,
}

impl Busy {
    fn try_spawn(&self) {
        loop {
            let result = self.spawner.try_spawn(self.alive.counted(ok()));
            if result.is_err_and(|error| !error.is_full()) {
                return;
            }
        }
    }

    fn wait_for_room(&self) {
        while block_on(self.spawner.ready()) {
            self.spawner.spawn(self.alive.counted(ok()));
        }
    }

    fn wait_for_values(&self) {
        let task = || self.alive.counted(ok().map(|result| result.map(|()| 7)));
        let reason = loop {
            match block_on(self.spawner.spawn_with_handle(task())) {
                Ok(value) => assert_eq!(value, 7),
                Err(reason) => break reason,
            }
        };
        assert_eq!(reason.kind(), CancelKind::Finished);
    }

    fn abort(&self) {
        while !self.spawner.is_closed() {
            let task = self.spawner.spawn_abortable(self.alive.counted(pending()));
            task.abort();
            while !task.is_finished() {
                thread::yield_now();
            }
        }
    }

    fn use_permits(&self) {
        while !self.spawner.is_closed() {
            drop(block_on(self.semaphore.clone().acquire_owned(2)).unwrap());
        }
    }

    const ALL: [fn(&Self); 5] = [
        Self::try_spawn,
        Self::wait_for_room,
        Self::wait_for_values,
        Self::abort,
        Self::use_permits,
    ];
}

async fn ok() -> Result<(), Fail> {
    yields(1).await;
    Ok(())
}

// R10, S5: the runtime goes down at any moment of what they do.
#[test]
fn threads_that_use_a_group_all_the_time_end_when_its_runtime_goes_down() {
    for round in 0..60 {
        let runtime = threads(2);
        let alive = Alive::default();
        let mut group = ErrGroup::<(), Fail>::new().limit(8);
        let semaphore = Arc::new(Semaphore::new(3));
        for permits in [1, 2, 3] {
            let semaphore = semaphore.clone();
            group.spawn(alive.counted(async move {
                loop {
                    let _permit = semaphore.clone().acquire_owned(permits).await.unwrap();
                    yields(1).await;
                }
            }));
        }
        let busy = Busy {
            alive: alive.clone(),
            spawner: group.spawner(),
            semaphore: semaphore.clone(),
        };
        let (ends, ended) = mpsc::channel();
        let begin = Arc::new(Barrier::new(Busy::ALL.len() + 1));
        for act in Busy::ALL {
            let (busy, ends, begin) = (busy.clone(), ends.clone(), begin.clone());
            thread::spawn(move || {
                begin.wait();
                act(&busy);
                ends.send(()).unwrap();
            });
        }
        drop(ends);
        let owner = runtime.spawn(group);
        begin.wait();
        for _ in 0..round * 5 {
            drop(block_on(semaphore.clone().acquire_owned(1)).unwrap());
        }
        ENDS[round % ENDS.len()](runtime);
        for _ in Busy::ALL {
            ended
                .recv_timeout(PATIENCE)
                .expect("all threads end, and well");
        }
        assert!(block_on(owner).unwrap_err().is_cancelled());
        alive.expect_none();
        assert_eq!(semaphore.available(), 3);
    }
}

// What is the runtime's own, in a group that runs elsewhere

// P3
#[test]
fn timer_of_a_runtime_that_went_down_is_an_error_of_its_task() {
    for end in ENDS {
        for runtime in both() {
            let mut group = ErrGroup::<u8, Fail>::new().keep_going().catch_panics();
            let (start, started) = oneshot::channel();
            let entered = runtime.enter();
            let timer = tokio::time::sleep(PATIENCE);
            drop(entered);
            group.spawn(async move {
                timer.await;
                Ok(1)
            });
            group.spawn(async { Ok(2) });
            group.spawn(async {
                start.send(()).unwrap();
                Ok(3)
            });
            let group = Waiter::new(group.settle());
            block_on(started).unwrap();
            end(runtime);
            let outcomes = group.output();
            let Err(Fail::Panicked(text)) = &outcomes[0] else {
                panic!("{outcomes:?}");
            };
            assert!(
                text.contains("shutdown") || text.contains("shutting down"),
                "{text}"
            );
            assert_eq!(outcomes[1..], [Ok(2), Ok(3)]);
        }
    }
}

// R5
#[test]
fn socket_of_a_runtime_that_went_down_fails_the_group() {
    use tokio::net::TcpStream;

    for end in ENDS {
        for runtime in both() {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let stream = runtime.block_on(TcpStream::connect(address)).unwrap();
            let _peer = listener.accept().unwrap();
            let alive = Alive::default();
            let mut group = ErrGroup::<(), std::io::Error>::new();
            group.spawn(alive.counted(pending()));
            group.spawn(async move { stream.readable().await });
            let group = Waiter::new(group);
            end(runtime);
            group.output().unwrap_err();
            alive.expect_none();
        }
    }
}
