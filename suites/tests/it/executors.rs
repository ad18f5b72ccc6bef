//! The same behaviour on every executor, with its own timers where it has some.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::common::panics;
use errgroup::{
    CancelContext, CancelKind, Cancelled, ErrGroup, ErrSpawner, Semaphore, Started, scope, scope_in,
};
use futures::channel::mpsc;
use futures::stream::StreamExt;

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// Sleeps for so many milliseconds.
type Sleep = fn(u64) -> BoxFuture<'static, ()>;

/// Long enough to never pass in a test that works.
const FOR_EVER: u64 = 60_000;

#[derive(Debug, PartialEq)]
enum Fail {
    Text(&'static str),
    Cancelled(CancelKind),
}

impl From<Cancelled> for Fail {
    fn from(reason: Cancelled) -> Self {
        Fail::Cancelled(reason.kind())
    }
}

/// Everything, one after the other. It is `Send` and `'static`, as `tokio::spawn` wants it, though
/// the tasks borrow.
async fn suite(sleep: Sleep) {
    let start = Instant::now();
    an_error_drops_siblings_that_borrow(sleep).await;
    the_limit_holds(sleep).await;
    tasks_spawn_tasks(sleep).await;
    a_deadline_ends_a_graceful_group_in_time(sleep).await;
    a_grace_drops_what_does_not_listen(sleep).await;
    a_scope_has_handles(sleep).await;
    a_graceful_scope_cleans_up(sleep).await;
    a_semaphore_is_fair_between_tasks(sleep).await;
    drive_runs_tasks_beside_an_accept_loop(sleep).await;
    another_thread_may_spawn_and_wake().await;
    let elapsed = start.elapsed();
    assert!(elapsed < Duration::from_millis(FOR_EVER / 2), "{elapsed:?}");
}

// R5
async fn an_error_drops_siblings_that_borrow(sleep: Sleep) {
    let names = ["one".to_string(), "two".to_string()];
    let dropped = AtomicUsize::new(0);
    struct Count<'a>(&'a AtomicUsize);
    impl Drop for Count<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let mut group = ErrGroup::new();
    for _ in 0..100 {
        for name in &names {
            let count = Count(&dropped);
            group.spawn(async move {
                let _count = count;
                sleep(FOR_EVER).await;
                Ok(name.len())
            });
        }
    }
    group.spawn(async {
        sleep(2).await;
        Err("no")
    });
    assert_eq!(group.collect().await, Err("no"));
    assert_eq!(dropped.into_inner(), 200);
}

// R8
async fn the_limit_holds(sleep: Sleep) {
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let mut group = ErrGroup::<usize, ()>::new().limit(4);
    for index in 0..40 {
        let (now, most) = (&now, &most);
        group.spawn(async move {
            most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
            sleep(index % 3).await;
            now.fetch_sub(1, SeqCst);
            Ok(index as usize)
        });
    }
    let values: Vec<usize> = (0..40).collect();
    assert_eq!(group.collect().await, Ok(values));
    assert_eq!(most.into_inner(), 4);
}

// R10
async fn tasks_spawn_tasks(sleep: Sleep) {
    // An `async fn` that spawned itself would have to be `Send` to know whether it is.
    #[allow(clippy::manual_async_fn)]
    fn tree<'a>(
        depth: usize,
        count: &'a AtomicUsize,
        sleep: Sleep,
        spawner: ErrSpawner<'a, (), ()>,
    ) -> impl Future<Output = Result<(), ()>> + Send + 'a {
        async move {
            count.fetch_add(1, SeqCst);
            if depth > 0 {
                sleep(1).await;
                for _ in 0..3 {
                    spawner.spawn(tree(depth - 1, count, sleep, spawner.clone()));
                }
            }
            Ok(())
        }
    }
    let count = AtomicUsize::new(0);
    let mut group = ErrGroup::new().limit(5);
    group.spawn(tree(4, &count, sleep, group.spawner()));
    group.await.unwrap();
    assert_eq!(count.into_inner(), 1 + 3 + 9 + 27 + 81);
}

// C3, C5
async fn a_deadline_ends_a_graceful_group_in_time(sleep: Sleep) {
    let parent = CancelContext::new().with_deadline(sleep(20));
    let (context, mut group) = ErrGroup::<u64, Fail>::with_context(&parent);
    for index in 0..10 {
        let context = &context;
        group.spawn(async move {
            match context.run(sleep(FOR_EVER)).await {
                Ok(()) => panic!("the deadline is first"),
                Err(reason) => assert_eq!(reason.kind(), CancelKind::DeadlineExceeded),
            }
            sleep(1).await;
            Ok(index)
        });
    }
    assert_eq!(group.collect().await, Ok((0..10).collect()));
    assert!(context.is_cancelled());
}

// G1
async fn a_grace_drops_what_does_not_listen(sleep: Sleep) {
    let polite = AtomicUsize::new(0);
    let parent = CancelContext::new().with_deadline(sleep(5));
    let (context, mut group) = ErrGroup::<(), Fail>::with_grace(&parent, || sleep(20));
    group.spawn(async {
        context.cancelled().await;
        sleep(1).await;
        polite.fetch_add(1, SeqCst);
        Ok(())
    });
    group.spawn(async {
        sleep(FOR_EVER).await;
        Ok(())
    });
    let result = group.await;
    assert_eq!(result, Err(Fail::Cancelled(CancelKind::DeadlineExceeded)));
    assert_eq!(polite.into_inner(), 1);
}

// R13, H1 to H4
async fn a_scope_has_handles(sleep: Sleep) {
    let words = ["a", "bb", "ccc"];
    let beats = AtomicUsize::new(0);
    let total = scope(async |s: ErrSpawner<'_, (), Fail>| {
        s.set_limit(2);
        s.spawn_background(async {
            loop {
                beats.fetch_add(1, SeqCst);
                sleep(1).await;
            }
        });
        let up = s.start(async |started: Started<&str>| {
            sleep(1).await;
            started.ready("up");
            sleep(1).await;
            Ok(())
        });
        assert_eq!(up.await, Ok("up"));
        let handles: Vec<_> = words
            .iter()
            .map(|word| {
                s.spawn_with_handle(async {
                    sleep(2).await;
                    Ok(word.len())
                })
            })
            .collect();
        let aborted = s.spawn_with_handle(async {
            sleep(FOR_EVER).await;
            Ok(())
        });
        aborted.abort();
        assert_eq!(
            aborted.await.map_err(|reason| reason.kind()),
            Err(CancelKind::Cancelled)
        );
        let mut total = 0;
        for handle in handles {
            total += handle.await?;
        }
        Ok(total)
    });
    assert_eq!(total.await, Ok(6));
    assert!(beats.into_inner() > 0);
}

async fn a_graceful_scope_cleans_up(sleep: Sleep) {
    let parent = CancelContext::new();
    let cleaned = AtomicUsize::new(0);
    let result = scope_in(
        &parent,
        || sleep(FOR_EVER),
        async |s: ErrSpawner<'_, (), Fail>, context| {
            for _ in 0..5 {
                let (context, cleaned) = (context.clone(), &cleaned);
                s.spawn(async move {
                    context.cancelled().await;
                    sleep(1).await;
                    cleaned.fetch_add(1, SeqCst);
                    Ok(())
                });
            }
            s.spawn(async {
                sleep(2).await;
                Err(Fail::Text("no"))
            });
            let reason = context.cancelled().await;
            cleaned.fetch_add(1, SeqCst);
            Err::<(), _>(reason.into())
        },
    );
    assert_eq!(result.await, Err(Fail::Text("no")));
    assert_eq!(cleaned.into_inner(), 6);
}

// S1
async fn a_semaphore_is_fair_between_tasks(sleep: Sleep) {
    let semaphore = Semaphore::new(2);
    let order = std::sync::Mutex::new(Vec::new());
    let mut group = ErrGroup::<(), errgroup::TooLarge>::new();
    for index in 0..12 {
        let (semaphore, order) = (&semaphore, &order);
        group.spawn(async move {
            let permit = semaphore.acquire(1 + index % 2).await?;
            order.lock().unwrap().push(index);
            sleep(1).await;
            drop(permit);
            Ok(())
        });
    }
    group.await.unwrap();
    let order = order.into_inner().unwrap();
    assert!(order.is_sorted(), "{order:?}");
    assert_eq!((order.len(), semaphore.available()), (12, 2));
}

// R9, R12
async fn drive_runs_tasks_beside_an_accept_loop(sleep: Sleep) {
    let (connections, mut listener) = mpsc::unbounded();
    let mut client = ErrGroup::<(), Fail>::new();
    client.spawn(async {
        for connection in 0..10 {
            sleep(1).await;
            connections.unbounded_send(connection).unwrap();
        }
        connections.close_channel();
        Ok(())
    });
    let served = AtomicUsize::new(0);
    let server = async {
        let mut group = ErrGroup::<(), Fail>::new().limit(3);
        while group.ready().await {
            let Some(Some(_)) = group.drive(listener.next()).await else {
                break;
            };
            group.spawn(async {
                sleep(3).await;
                served.fetch_add(1, SeqCst);
                Ok(())
            });
        }
        group.await
    };
    let (client, server) = futures::join!(client, server);
    client.and(server).unwrap();
    assert_eq!(served.into_inner(), 10);
}

// R4, R10
async fn another_thread_may_spawn_and_wake() {
    for _ in 0..20 {
        let (give, get) = futures::channel::oneshot::channel();
        let mut group = ErrGroup::<(), ()>::new();
        let spawner = group.spawner();
        let count = Arc::new(AtomicUsize::new(0));
        let inner = count.clone();
        group.spawn(async move { get.await.map_err(|_| ()) });
        std::thread::spawn(move || {
            for _ in 0..10 {
                let count = inner.clone();
                spawner.spawn(async move {
                    count.fetch_add(1, SeqCst);
                    Ok(())
                });
            }
            give.send(()).unwrap();
        });
        group.await.unwrap();
        assert_eq!(count.load(SeqCst), 10);
    }
}

// The executors

/// For those without timers of their own.
fn io_sleep(millis: u64) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        async_io::Timer::after(Duration::from_millis(millis)).await;
    })
}

#[test]
fn on_smol() {
    smol::block_on(suite(|millis| {
        Box::pin(async move {
            smol::Timer::after(Duration::from_millis(millis)).await;
        })
    }));
}

#[test]
fn spawned_on_smol() {
    smol::block_on(smol::spawn(suite(io_sleep)));
}

#[test]
fn on_async_std() {
    fn sleep(millis: u64) -> BoxFuture<'static, ()> {
        Box::pin(async_std::task::sleep(Duration::from_millis(millis)))
    }
    async_std::task::block_on(suite(sleep));
    async_std::task::block_on(async_std::task::spawn(suite(sleep)));
}

#[test]
fn on_an_async_executor_with_one_thread() {
    let executor = async_executor::Executor::new();
    let task = executor.spawn(suite(io_sleep));
    async_io::block_on(executor.run(task));
}

#[test]
fn on_a_local_executor() {
    let executor = async_executor::LocalExecutor::new();
    let task = executor.spawn(suite(io_sleep));
    async_io::block_on(executor.run(task));
}

#[test]
fn on_an_async_executor_with_four_threads() {
    let executor = async_executor::Executor::new();
    let (stop, stopped) = async_std::channel::bounded::<()>(1);
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| async_io::block_on(executor.run(stopped.recv())));
        }
        // Several at once, so that they are moved between the threads.
        let tasks: Vec<_> = (0..4).map(|_| executor.spawn(suite(io_sleep))).collect();
        tasks.into_iter().for_each(async_io::block_on);
        drop(stop);
    });
}

// §8: the handles of an executor are tasks, and the work is done on its threads.
#[test]
fn a_task_of_an_executor_is_a_task_of_a_group() {
    let executor = async_executor::Executor::new();
    let (stop, stopped) = async_std::channel::bounded::<()>(1);
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| async_io::block_on(executor.run(stopped.recv())));
        }
        let here = std::thread::current().id();
        let mut group = ErrGroup::<_, ()>::new();
        for _ in 0..20 {
            group.spawn(executor.spawn(async { Ok(std::thread::current().id()) }));
        }
        let ids = async_io::block_on(group.collect()).unwrap();
        assert!(ids.iter().all(|id| *id != here));

        // And it is cancelled when a sibling fails.
        let held = Arc::new(());
        let inner = held.clone();
        let mut group = ErrGroup::<(), &str>::new();
        group.spawn(executor.spawn(async move {
            let _inner = inner;
            std::future::pending().await
        }));
        group.spawn(async {
            io_sleep(2).await;
            Err("no")
        });
        assert_eq!(async_io::block_on(group), Err("no"));
        while Arc::strong_count(&held) > 1 {
            std::thread::yield_now();
        }
        drop(stop);
    });
}

// §8, P1
#[test]
fn a_task_of_an_executor_that_is_gone_panics_the_group_unless_it_is_fallible() {
    let mut group = ErrGroup::<(), &str>::new();
    let executor = async_executor::Executor::new();
    group.spawn(executor.spawn(std::future::pending()));
    drop(executor);
    assert!(!panics(|| async_io::block_on(group)).is_empty());

    let mut group = ErrGroup::<(), &str>::new();
    let executor = async_executor::Executor::new();
    let task = executor.spawn(std::future::pending()).fallible();
    group.spawn(async { task.await.unwrap_or(Err("the executor is gone")) });
    drop(executor);
    assert_eq!(async_io::block_on(group), Err("the executor is gone"));
}

fn tokio_sleep(millis: u64) -> BoxFuture<'static, ()> {
    Box::pin(tokio::time::sleep(Duration::from_millis(millis)))
}

#[test]
fn on_tokio_with_one_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(suite(tokio_sleep));
    runtime.block_on(async { tokio::spawn(suite(tokio_sleep)).await.unwrap() });
}

#[test]
fn on_tokio_with_four_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(suite(tokio_sleep));
    runtime.block_on(async {
        let spawned: Vec<_> = (0..4).map(|_| tokio::spawn(suite(tokio_sleep))).collect();
        for task in spawned {
            task.await.unwrap();
        }
    });
}

// Its cooperative budget makes everything pending that is tokio's own; the group must go on.
#[test]
fn more_work_than_the_budget_of_tokio_allows_is_done() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let count = AtomicUsize::new(0);
    runtime
        .block_on(scope(async |s: ErrSpawner<'_, (), ()>| {
            for _ in 0..1000 {
                s.spawn(async {
                    for _ in 0..10 {
                        tokio::task::coop::consume_budget().await;
                    }
                    count.fetch_add(1, SeqCst);
                    Ok(())
                });
            }
            Ok(())
        }))
        .unwrap();
    assert_eq!(count.into_inner(), 1000);
}

#[test]
fn on_a_local_pool() {
    futures::executor::LocalPool::new().run_until(suite(io_sleep));
}

#[test]
fn on_a_thread_pool() {
    use futures::task::SpawnExt;
    let pool = futures::executor::ThreadPool::builder()
        .pool_size(2)
        .create()
        .unwrap();
    let handles: Vec<_> = (0..2)
        .map(|_| pool.spawn_with_handle(suite(io_sleep)).unwrap())
        .collect();
    futures::executor::block_on(futures::future::join_all(handles));
}

#[test]
fn on_pollster() {
    pollster::block_on(suite(io_sleep));
}

// Paused clocks: the times are exact

fn paused<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

fn seconds(seconds: u64) -> tokio::time::Sleep {
    tokio::time::sleep(Duration::from_secs(seconds))
}

async fn timed<F: Future>(future: F) -> (F::Output, u64) {
    let start = tokio::time::Instant::now();
    let output = future.await;
    // A timer of tokio is a millisecond late.
    (output, start.elapsed().as_secs())
}

#[test]
fn the_suite_runs_with_a_paused_clock() {
    paused(suite(tokio_sleep));
}

#[test]
fn a_deadline_passes_at_its_time() {
    paused(async {
        let parent = CancelContext::new().with_deadline(seconds(100));
        let (context, mut group) = ErrGroup::<(), Fail>::with_context(&parent);
        for _ in 0..10 {
            group.spawn(async {
                context.cancelled().await;
                Ok(())
            });
        }
        assert_eq!(timed(group).await, (Ok(()), 100));
        assert!(context.reason().unwrap().is_deadline());
    });
}

#[test]
fn a_grace_begins_with_the_deadline_and_ends_at_its_time() {
    paused(async {
        let parent = CancelContext::new().with_deadline(seconds(100));
        let (_context, mut group) = ErrGroup::<(), Fail>::with_grace(&parent, || seconds(30));
        group.spawn(std::future::pending());
        let dropped = Err(Fail::Cancelled(CancelKind::DeadlineExceeded));
        assert_eq!(timed(group).await, (dropped, 130));
    });
}

#[test]
fn a_grace_begins_with_the_first_error() {
    paused(async {
        let parent = CancelContext::new();
        let (_context, mut group) = ErrGroup::<(), Fail>::with_grace(&parent, || seconds(30));
        group.spawn(std::future::pending());
        group.spawn(async {
            seconds(5).await;
            Err(Fail::Text("no"))
        });
        group.spawn(async {
            seconds(20).await;
            Err(Fail::Text("later"))
        });
        assert_eq!(timed(group).await, (Err(Fail::Text("no")), 35));
    });
}

#[test]
fn a_group_is_done_before_the_grace_is_over_if_all_have_returned() {
    paused(async {
        let parent = CancelContext::new().with_deadline(seconds(10));
        let (context, mut group) = ErrGroup::<(), Fail>::with_grace(&parent, || seconds(30));
        group.spawn(async {
            context.cancelled().await;
            seconds(7).await;
            Ok(())
        });
        assert_eq!(timed(group).await, (Ok(()), 17));
    });
}

#[test]
fn a_graceful_scope_ends_when_its_grace_is_over() {
    paused(async {
        let parent = CancelContext::new().with_deadline(seconds(10));
        let scope = scope_in(
            &parent,
            || seconds(30),
            async |s: ErrSpawner<'_, (), Fail>, context| {
                s.spawn(std::future::pending());
                context.cancelled().await;
                std::future::pending::<Result<(), _>>().await
            },
        );
        let dropped = Err(Fail::Cancelled(CancelKind::DeadlineExceeded));
        assert_eq!(timed(scope).await, (dropped, 40));
    });
}

#[test]
fn tasks_sleep_at_the_same_time_and_queued_ones_after_them() {
    paused(async {
        let mut group = ErrGroup::<(), ()>::new().limit(10);
        for _ in 0..30 {
            group.spawn(async {
                seconds(10).await;
                Ok(())
            });
        }
        assert_eq!(timed(group).await, (Ok(()), 30));
    });
}
