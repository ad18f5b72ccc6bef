//! The table "From tokio and futures to here" in the README, as code.

use std::convert::Infallible;
use std::future::{Future, pending, ready};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use crate::common::{Fail, Probe};
use errgroup::{
    CancelContext, ErrGroup, ErrSpawner, LocalErrGroup, Semaphore, Started, buffer_unordered,
    buffered, on_tokio, scope, scope_in, try_for_each_stream, try_map, try_map_stream,
};
use futures::{FutureExt, StreamExt, stream};
use tokio::time::sleep;

fn on_a_runtime<R>(future: impl Future<Output = R>) -> R {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(future)
}

fn three() -> impl Iterator<Item = impl Future<Output = Result<u32, Fail>> + Send> {
    (0..3).map(|n| async move { Ok(n) })
}

#[test]
fn the_rows_of_join_set_are_code() {
    on_a_runtime(async {
        let mut group = ErrGroup::<u32, Fail>::new();
        group.spawn(async { Ok(1) });
        group.spawn(on_tokio::spawn(async { Ok(2) }));
        group.spawn(on_tokio::spawn_blocking(|| Ok(3)));
        let mut outcomes = Vec::new();
        while let Some(outcome) = group.next().await {
            outcomes.push(outcome.unwrap());
        }
        outcomes.sort_unstable();
        assert_eq!(outcomes, [1, 2, 3]);

        let handle = group.spawn_abortable(pending());
        drop(group.spawn_abortable(pending()).abort_on_drop());
        handle.abort();
        assert_eq!(group.next().await, None);

        let handle = group.spawn_abortable(ready(Ok(4)));
        assert_eq!(group.next_indexed().await, Some((handle.index(), Ok(4))));
        assert_eq!(group.next().now_or_never().flatten(), None);
        group.spawn(ready(Ok(5)));
        assert_eq!(group.next().now_or_never().flatten(), Some(Ok(5)));

        group.spawn(pending());
        group.abort_all();
        group.extend(three());
        assert_eq!(group.collect().await, Ok(vec![0, 1, 2]));

        let mut group = LocalErrGroup::<u32, Fail>::new();
        let local = Rc::new(6);
        group.spawn(async move { Ok(*local) });
        assert_eq!(group.next().await, Some(Ok(6)));

        // `shutdown`
        let task = Probe::<Result<u32, Fail>>::new();
        let mut group = ErrGroup::new();
        group.spawn(task.task());
        assert_eq!(group.next().now_or_never(), None);
        drop(group);
        assert!(task.is_dropped());
        let said_goodbye = Arc::new(AtomicUsize::new(0));
        let grace = || sleep(Duration::from_secs(60));
        let (context, mut group) = ErrGroup::with_grace(&CancelContext::new(), grace);
        group.spawn(async {
            context.cancelled().await;
            said_goodbye.fetch_add(1, SeqCst);
            Ok::<_, Fail>(())
        });
        let (asked, says) = (context.clone(), said_goodbye.clone());
        group.spawn(on_tokio::spawn(async move {
            asked.cancelled().await;
            says.fetch_add(1, SeqCst);
            Ok(())
        }));
        context.cancel();
        group.await.unwrap();
        assert_eq!(said_goodbye.load(SeqCst), 2);

        let mut group = ErrGroup::<u32, Fail>::new().catch_panics();
        group.spawn(async { std::panic::resume_unwind(Box::new("boom")) });
        assert_eq!(group.next().await, Some(Err(Fail::Panicked("boom".into()))));
    });
}

#[test]
fn the_rows_of_task_tracker_and_cancellation_token_are_code() {
    on_a_runtime(async {
        let mut group = ErrGroup::<u32, Fail>::new();
        let (open, spawner) = (group.keep_open(), group.spawner());
        assert_eq!(group.next().now_or_never(), None);
        let elsewhere = tokio::spawn(async move {
            spawner.spawn(ready(Ok(1)));
            drop(open);
        });
        assert_eq!(group.collect().await, Ok(vec![1]));
        elsewhere.await.unwrap();

        let context = CancelContext::new();
        let child = context.child();
        assert_eq!(child.run(async { 7 }).await.unwrap(), 7);
        let waiting = tokio::spawn(child.cancelled());
        {
            let guard = context.drop_guard();
            _ = guard.disarm();
        }
        assert!(!context.is_cancelled());
        context.cancel_with("the cause");
        let reason = waiting.await.unwrap();
        assert_eq!(reason.cause().unwrap().to_string(), "the cause");
        // Also a future that is always ready.
        assert!(child.run(async { 7 }).await.is_err());
        assert!(child.reason().is_some());
        let context = CancelContext::new();
        drop(context.drop_guard());
        assert!(context.is_cancelled());
    });
}

#[test]
fn the_rows_of_futures_are_code() {
    on_a_runtime(async {
        let all = three().collect::<ErrGroup<'_, _, _>>().collect().await;
        assert_eq!(all, Ok(vec![0, 1, 2]));
        let all = three().collect::<ErrGroup<'_, _, _>>().settle().await;
        assert_eq!(all, [Ok(0), Ok(1), Ok(2)]);
        let first = three().collect::<ErrGroup<'_, _, _>>().first_ok().await;
        assert_eq!(first.unwrap(), 0);
        let failing = (0..2).map(|_| async { Err::<u32, _>(Fail::Text("no")) });
        let errors = failing.collect::<ErrGroup<'_, _, _>>().first_ok().await;
        assert_eq!(errors.unwrap_err().into_vec().len(), 2);
        let mut group = three().collect::<ErrGroup<'_, _, _>>();
        assert_eq!(group.next_indexed().await, Some((0, Ok(0))));
        assert_eq!(group.len(), 2);
        assert_eq!(group.results().count().await, 2);

        async fn f(n: u32) -> u32 {
            n * 10
        }
        let numbers = || stream::iter(1..=3);
        let outputs: Vec<_> = buffered(numbers(), 2, f).collect().await;
        assert_eq!(outputs, [10, 20, 30]);
        let mut outputs: Vec<_> = buffer_unordered(numbers(), 2, f).collect().await;
        outputs.sort_unstable();
        assert_eq!(outputs, [10, 20, 30]);
        let tried = async |n| Ok::<_, Infallible>(f(n).await);
        assert_eq!(
            try_map_stream(numbers(), 2, tried).await,
            Ok(vec![10, 20, 30])
        );
        assert_eq!(try_map(1..=3, 2, tried).await, Ok(vec![10, 20, 30]));
        try_for_each_stream(numbers(), usize::MAX, async |n| {
            f(n).await;
            Ok::<_, Infallible>(())
        })
        .await
        .unwrap();
        let result = try_for_each_stream(numbers(), 2, async |n| match n {
            2 => Err(n),
            _ => Ok(()),
        });
        assert_eq!(result.await, Err(2));

        let semaphore = Arc::new(Semaphore::new(1));
        let permit = semaphore.acquire_owned(1).await.unwrap();
        assert!(semaphore.try_acquire(1).is_none());
        semaphore.set_capacity(2);
        assert!(semaphore.try_acquire(1).is_some());
        drop(permit);
        semaphore.set_capacity(1);
        assert_eq!((semaphore.capacity(), semaphore.available()), (1, 1));
    });
}

#[test]
fn the_rows_of_moro_and_trio_are_code() {
    on_a_runtime(async {
        async fn f() -> Result<(), Fail> {
            Ok(())
        }
        async fn up(started: Started<u16>) -> Result<(), Fail> {
            started.ready(8080);
            Ok(())
        }
        let value = scope(async |s: ErrSpawner<'_, (), Fail>| {
            s.spawn(f());
            let value = s.spawn_with_handle(ready(Ok(7))).await?;
            assert_eq!(s.start(up).await, Ok(8080));
            s.spawn(pending());
            s.abort_all();
            Ok(value)
        });
        assert_eq!(value.await, Ok(7));
        let failing = scope(async |s: ErrSpawner<'_, (), Fail>| {
            s.spawn(async { Err(Fail::Text("no")) });
            pending::<Result<(), Fail>>().await
        });
        assert_eq!(failing.await, Err(Fail::Text("no")));
        let limited = ErrGroup::<(), Fail>::new().limit(8).scope(async |s| {
            s.spawn(f());
            Ok(s.current_limit())
        });
        assert_eq!(limited.await, Ok(8));

        let parent = CancelContext::new();
        let grace = || sleep(Duration::from_secs(60));
        let stopped = scope_in(&parent, grace, async |s, context| {
            let inner = context.clone();
            s.spawn(async move {
                inner.cancelled().await;
                Ok(())
            });
            context.cancel();
            Ok::<_, Fail>("goodbye")
        });
        assert_eq!(stopped.await, Ok("goodbye"));

        let timer = || sleep(Duration::from_millis(1));
        let late = || pending::<()>();
        let fails_after = async {
            parent.with_deadline(timer()).run(late()).await?;
            Ok::<_, Fail>(())
        };
        assert!(fails_after.await.is_err());
        assert_eq!(parent.with_deadline(timer()).run(late()).await.ok(), None);

        let mut group = ErrGroup::<(), Fail>::new();
        group.extend((0..3).map(|_| async { Err(Fail::Text("no")) }));
        assert_eq!(group.wait_all().await.unwrap_err().into_vec().len(), 3);
    });
}
