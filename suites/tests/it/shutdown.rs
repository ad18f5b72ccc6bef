//! Runtimes that go down while groups run on them, and what is left in the hands of others.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::common::{Fail, OnDrop, Root};
use errgroup::{
    AbortHandle, CancelContext, CancelKind, ErrGroup, ErrSpawner, KeepOpen, Semaphore, StartError,
    Started, TaskHandle,
};

/// Long enough for anything that is going to happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// So many tasks a group has that hold a permit each; half of them are queued.
const TASKS: usize = 100;

type Spawner = ErrSpawner<'static, (), Fail>;
type Starting = Pin<Box<dyn Future<Output = Result<(), StartError>> + Send>>;

/// What others have of a group.
struct Left {
    spawner: Spawner,
    context: CancelContext,
    handle: TaskHandle<u8>,
    abort: AbortHandle,
    open: KeepOpen,
    starting: Starting,
}

/// A task that holds a permit, and sleeps for ever by the means of its runtime. It tells when it is
/// dropped.
fn task<T>(
    told: mpsc::Sender<()>,
    permits: Arc<Semaphore>,
    sleep: Sleep,
) -> impl Future<Output = Result<T, Fail>> + Send {
    let guard = OnDrop(move || told.send(()).unwrap());
    async move {
        let _guard = guard;
        let _permit = permits.acquire(1).await;
        sleep().await;
        pending().await
    }
}

/// Makes a future that is ready much later.
type Sleep = fn() -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs a group, of which it sends away what others may have, for ever.
async fn main(
    told: mpsc::Sender<()>,
    permits: Arc<Semaphore>,
    sleep: Sleep,
    left: mpsc::Sender<Left>,
) {
    let (context, group) = ErrGroup::<(), Fail>::with_grace(&CancelContext::new(), sleep);
    let mut group = group.limit(TASKS / 2);
    for _ in 0..TASKS - 3 {
        group.spawn(task(told.clone(), permits.clone(), sleep));
    }
    group.spawn_background(task(told.clone(), permits.clone(), sleep));
    let handle = group.spawn_with_handle(task(told.clone(), permits.clone(), sleep));
    let abort = group.spawn_abortable(task(told, permits, sleep));
    let spawner = group.spawner();
    let starter = spawner.clone();
    let mut starting: Starting = Box::pin(async move {
        let body = async |started: Started<()>| {
            let _started = started;
            pending().await
        };
        starter.start(body).await
    });
    assert!(Root::new().poll(&mut starting).is_pending());
    let open = group.keep_open();
    // From a task, so that the group is running when they hear of it.
    group.spawn_background(async move {
        let all = Left {
            spawner,
            context,
            handle,
            abort,
            open,
            starting,
        };
        left.send(all).unwrap();
        pending().await
    });
    _ = group.await;
    unreachable!("it does not end");
}

/// Runs `main` on a runtime, which `goes_down` when it was told that all tasks are there.
fn check(sleep: Sleep, run: impl FnOnce(Pin<Box<dyn Future<Output = ()> + Send>>, &dyn Fn())) {
    let (told, dropped) = mpsc::channel();
    let permits = Arc::new(Semaphore::new(TASKS / 4));
    let (sender, left) = mpsc::channel();
    let main = main(told, permits.clone(), sleep, sender);
    let got = std::cell::OnceCell::new();
    run(Box::pin(main), &|| {
        let left = left.recv_timeout(PATIENCE).expect("the group runs");
        assert!(got.set(left).is_ok());
    });
    let Left {
        spawner,
        context,
        handle,
        abort,
        open,
        starting,
    } = got.into_inner().expect("the runtime has run");

    // R1: another thread may drop them a little later than the call returns that lets it go down.
    let dropped = std::iter::from_fn(|| match dropped.recv_timeout(PATIENCE) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("a task is left"),
        told => told.ok(),
    });
    assert_eq!(dropped.count(), TASKS);
    assert_eq!(permits.available(), TASKS / 4); // S1
    let reason = futures::executor::block_on(handle).unwrap_err();
    assert_eq!(reason.kind(), CancelKind::Finished); // H1
    assert!(abort.is_finished()); // H6
    assert_eq!(futures::executor::block_on(starting), Err(StartError)); // H4
    let reason = futures::executor::block_on(context.cancelled());
    assert_eq!(reason.kind(), CancelKind::Finished); // C5
    assert!(!futures::executor::block_on(spawner.ready()) && spawner.is_closed()); // R9
    assert_eq!((spawner.len(), spawner.running()), (0, 0));
    assert!(spawner.try_spawn(async { Ok(()) }).is_err()); // R7
    drop(open); // R14
}

fn tokio_sleep() -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(tokio::time::sleep(10 * PATIENCE))
}

fn io_sleep() -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async { _ = async_io::Timer::after(10 * PATIENCE).await })
}

#[test]
fn a_group_goes_down_with_a_runtime_of_tokio_with_one_thread() {
    check(tokio_sleep, |main, wait| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.spawn(main);
        runtime.block_on(async {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        });
        wait();
        drop(runtime);
    });
}

#[test]
fn a_group_goes_down_with_a_runtime_of_tokio_with_two_threads() {
    let ways: [fn(tokio::runtime::Runtime); 3] = [
        drop,
        |runtime| runtime.shutdown_timeout(PATIENCE),
        |runtime| runtime.shutdown_background(),
    ];
    for way in ways {
        check(tokio_sleep, |main, wait| {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_time()
                .build()
                .unwrap();
            runtime.spawn(main);
            wait();
            way(runtime);
        });
    }
}

#[test]
fn a_group_goes_down_with_an_async_executor() {
    check(io_sleep, |main, wait| {
        let executor = async_executor::Executor::new();
        executor.spawn(main).detach();
        while executor.try_tick() {}
        wait();
        drop(executor);
    });
}

#[test]
fn a_group_goes_down_with_a_local_executor() {
    check(io_sleep, |main, wait| {
        let executor = async_executor::LocalExecutor::new();
        executor.spawn(main).detach();
        while executor.try_tick() {}
        wait();
        drop(executor);
    });
}

#[test]
fn a_group_goes_down_with_a_local_pool() {
    use futures::task::LocalSpawnExt;

    check(io_sleep, |main, wait| {
        let mut pool = futures::executor::LocalPool::new();
        pool.spawner().spawn_local(main).unwrap();
        pool.run_until_stalled();
        wait();
        drop(pool);
    });
}

#[test]
fn a_group_goes_down_with_the_task_of_smol_that_polls_it() {
    check(io_sleep, |main, wait| {
        let task = smol::spawn(main);
        wait();
        futures::executor::block_on(task.cancel());
    });
}
