//! Nobody starves under tokio, which gives out 128 units for each poll of a task of the runtime:
//! each message, each tick, each `consume_budget` costs one.

use std::future::{Future, pending, poll_fn, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;

use crate::common::Fail;
use errgroup::{
    CancelContext, ErrGroup, ErrSpawner, buffer_unordered, buffered, scope, scope_in,
    try_for_each_stream, try_map_stream,
};
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, FuturesUnordered};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::consume_budget;
use tokio::time::{interval, sleep, timeout};

/// Long enough for anything that is going to happen.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many messages there are for each reader.
const MESSAGES: usize = 40_000;

type Unit = Result<(), &'static str>;

fn runtimes() -> [Runtime; 2] {
    [
        Builder::new_current_thread().enable_all().build().unwrap(),
        Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap(),
    ]
}

/// Runs it on either runtime, as its root and as a task of it.
#[track_caller]
fn awakes<F>(make: impl Fn() -> F)
where
    F: Future<Output = Unit> + Send + 'static,
{
    for runtime in runtimes() {
        let awake = runtime.block_on(async { timeout(PATIENCE, make()).await });
        assert_eq!(awake, Ok(Err("awake")), "as the root");
        let whole = make();
        let spawned = runtime.spawn(async { timeout(PATIENCE, whole).await });
        assert_eq!(runtime.block_on(spawned).unwrap(), Ok(Err("awake")));
    }
}

/// Takes all that is given out, for ever.
async fn busy<R>() -> R {
    loop {
        consume_budget().await;
    }
}

async fn sleeper() -> Unit {
    sleep(Duration::from_millis(20)).await;
    Err("awake")
}

/// Channels that are never empty, and how many messages of each have been read.
struct Channels {
    receivers: Vec<UnboundedReceiver<()>>,
    read: Vec<Arc<AtomicUsize>>,
}

impl Channels {
    fn new(count: usize) -> Self {
        let receivers = (0..count).map(|_| {
            let (sender, receiver) = unbounded_channel();
            (0..MESSAGES).for_each(|_| sender.send(()).unwrap());
            receiver
        });
        Channels {
            receivers: receivers.collect(),
            read: (0..count).map(|_| Arc::default()).collect(),
        }
    }

    /// A task that reads, and fails when nothing is left, which ends the group.
    fn reader(&mut self) -> impl Future<Output = Unit> + Send + 'static + use<> {
        let mut receiver = self.receivers.pop().unwrap();
        let read = self.read[self.receivers.len()].clone();
        async move {
            while receiver.recv().await.is_some() {
                read.fetch_add(1, SeqCst);
            }
            Err("all read")
        }
    }

    fn read(&self) -> Vec<usize> {
        self.read.iter().map(|read| read.load(SeqCst)).collect()
    }

    /// When the first has read all that it has, everybody has read a part.
    #[track_caller]
    fn assert_fair(&self) {
        let read = self.read();
        assert!(read.contains(&MESSAGES), "{read:?}");
        assert!(read.iter().all(|&read| read >= MESSAGES / 8), "{read:?}");
    }
}

// R2

#[test]
fn who_sleeps_wakes_up_beside_busy_tasks() {
    for others in [1, 2, 3] {
        for place in [0, others] {
            awakes(|| {
                let mut group = ErrGroup::new();
                for index in 0..=others {
                    if index == place {
                        group.spawn(sleeper());
                    } else {
                        group.spawn(busy());
                    }
                }
                group
            });
        }
    }
}

#[test]
fn readers_of_channels_that_are_never_empty_all_read() {
    for n in [2, 3, 5, 64] {
        for runtime in runtimes() {
            let mut channels = Channels::new(n);
            let group: ErrGroup<'_, _, _> = (0..n).map(|_| channels.reader()).collect();
            assert_eq!(runtime.block_on(group), Err("all read"));
            channels.assert_fair();
        }
    }
}

#[test]
fn readers_of_channels_that_are_never_empty_all_read_in_a_spawned_task() {
    for n in [2, 3] {
        for runtime in runtimes() {
            let mut channels = Channels::new(n);
            let group: ErrGroup<'_, _, _> = (0..n).map(|_| channels.reader()).collect();
            let result = runtime.block_on(runtime.spawn(group));
            assert_eq!(result.unwrap(), Err("all read"));
            channels.assert_fair();
        }
    }
}

#[test]
fn readers_in_two_groups_of_a_group_all_read() {
    for runtime in runtimes() {
        let mut channels = Channels::new(4);
        let mut outer = ErrGroup::new();
        for _ in 0..2 {
            let inner: ErrGroup<'_, _, _> = (0..2).map(|_| channels.reader()).collect();
            outer.spawn(inner);
        }
        assert_eq!(runtime.block_on(outer), Err("all read"));
        channels.assert_fair();
    }
}

#[test]
fn a_stream_that_ticks_ticks_beside_a_busy_future() {
    awakes(|| async {
        let mut ticks = Some(interval(Duration::from_millis(5)));
        let mut left = 4;
        let items = stream::poll_fn(move |cx| {
            let tick = ticks.as_mut().unwrap().poll_tick(cx);
            tick.map(|_| Some(()))
        });
        try_for_each_stream(items, 3, |()| {
            left -= 1;
            let left = left;
            async move {
                match left {
                    0 => Err("awake"),
                    // The first two ticks are busy for ever.
                    2.. => busy().await,
                    _ => Ok(()),
                }
            }
        })
        .await
    });
}

#[test]
fn a_stream_that_is_never_empty_and_readers_all_read() {
    for runtime in runtimes() {
        let mut channels = Channels::new(3);
        let readers = [channels.reader().boxed(), channels.reader().boxed()];
        let (mut receiver, read) = (channels.receivers.pop().unwrap(), channels.read[0].clone());
        let jobs = stream::poll_fn(move |cx| receiver.poll_recv(cx)).map(move |()| {
            let read = read.clone();
            async move {
                read.fetch_add(1, SeqCst);
                Ok(())
            }
            .boxed()
        });
        let end = stream::iter([ready(Err("all read")).boxed()]);
        let all = stream::iter(readers).chain(jobs).chain(end);
        let result = runtime.block_on(try_for_each_stream(all, 3, |task| task));
        assert_eq!(result, Err("all read"));
        channels.assert_fair();
    }
}

#[test]
fn readers_in_maps_and_buffers_all_read() {
    type Way = fn(Vec<BoxFuture<'static, Unit>>) -> BoxFuture<'static, Unit>;
    let ways: [Way; 3] = [
        |readers| {
            let map = try_map_stream(stream::iter(readers), 3, |reader| reader);
            map.map(|result| result.map(drop)).boxed()
        },
        |readers| {
            let mut outputs = Box::pin(buffered(stream::iter(readers), 3, |reader| reader));
            async move { outputs.next().await.unwrap() }.boxed()
        },
        |readers| {
            let mut outputs = Box::pin(buffer_unordered(stream::iter(readers), 3, |reader| reader));
            async move { outputs.next().await.unwrap() }.boxed()
        },
    ];
    for way in ways {
        for runtime in runtimes() {
            let mut channels = Channels::new(3);
            let whole = way((0..3).map(|_| channels.reader().boxed()).collect());
            assert_eq!(runtime.block_on(whole), Err("all read"));
            channels.assert_fair();
        }
    }
}

// R12

#[test]
fn a_driven_timer_ends_beside_busy_tasks() {
    for others in [1, 2, 3] {
        awakes(|| async move {
            let mut group = ErrGroup::<(), &str>::new();
            group.extend((0..others).map(|_| busy()));
            group.drive(sleeper()).await.unwrap()
        });
    }
}

#[test]
fn tasks_sleep_and_wake_up_beside_a_busy_driven_future() {
    awakes(|| async move {
        let mut group = ErrGroup::<(), &str>::new();
        group.spawn(sleeper());
        group.spawn(busy());
        assert_eq!(group.drive(busy::<()>()).await, None);
        group.await
    });
}

#[test]
fn a_driven_reader_and_readers_all_read() {
    for n in [1, 2, 3] {
        for runtime in runtimes() {
            let mut channels = Channels::new(n + 1);
            runtime.block_on(async {
                let mut group: ErrGroup<'_, _, _> = (0..n).map(|_| channels.reader()).collect();
                _ = group.drive(channels.reader()).await;
            });
            channels.assert_fair();
        }
    }
}

#[test]
fn messages_that_are_driven_one_by_one_and_readers_all_read() {
    for runtime in runtimes() {
        let mut channels = Channels::new(3);
        runtime.block_on(async {
            let mut group: ErrGroup<'_, _, _> = (0..2).map(|_| channels.reader()).collect();
            let mut receiver = channels.receivers.pop().unwrap();
            while let Some(Some(())) = group.drive(receiver.recv()).await {
                channels.read[0].fetch_add(1, SeqCst);
            }
        });
        channels.assert_fair();
    }
}

#[test]
fn select_of_a_reader_and_next_lets_all_read() {
    for runtime in runtimes() {
        let mut channels = Channels::new(3);
        runtime.block_on(async {
            let mut group: ErrGroup<'_, _, _> = (0..2).map(|_| channels.reader()).collect();
            let mut receiver = channels.receivers.pop().unwrap();
            loop {
                tokio::select! {
                    Some(()) = receiver.recv() => {
                        channels.read[0].fetch_add(1, SeqCst);
                    }
                    _ = group.next() => break,
                    else => break,
                }
            }
        });
        // The tasks of the group take what a poll gives out, each time that `select!` comes to it:
        // one message in two calls is left to the reader.
        let read = channels.read();
        assert!(read[0] >= MESSAGES / 256, "{read:?}");
        assert!(
            read[1..].iter().all(|&read| read >= MESSAGES / 8),
            "{read:?}"
        );
    }
}

// R13

#[test]
fn a_body_sleeps_and_wakes_up_beside_busy_tasks() {
    for others in [1, 2] {
        awakes(move || {
            scope(async move |s: ErrSpawner<'_, (), &str>| {
                (0..others).for_each(|_| s.spawn(busy()));
                sleeper().await
            })
        });
        awakes(move || async move {
            let context = CancelContext::new();
            let result = scope_in(&context, pending::<()>, async move |s, context| {
                for _ in 0..others {
                    let context = context.clone();
                    s.spawn(async move {
                        // Goes when it is told, as a good task does.
                        context.run(busy::<()>()).await.unwrap_err();
                        Ok(())
                    });
                }
                sleeper().await.map_err(Fail::from)
            });
            match result.await {
                Err::<(), _>(Fail::Text(text)) => Err(text),
                other => panic!("{other:?}"),
            }
        });
    }
}

#[test]
fn a_body_that_reads_and_readers_all_read() {
    for runtime in runtimes() {
        let mut channels = Channels::new(3);
        let result = runtime.block_on(scope(async |s: ErrSpawner<'_, (), _>| {
            (0..2).for_each(|_| s.spawn(channels.reader()));
            channels.reader().await
        }));
        assert_eq!(result, Err("all read"));
        channels.assert_fair();
    }
}

/// The same with `FuturesUnordered`: some read, and at least half of them starve.
#[test]
fn futures_unordered_lets_readers_starve() {
    for n in [4, 10, 64] {
        for runtime in runtimes() {
            let mut channels = Channels::new(n);
            let mut set: FuturesUnordered<_> = (0..n).map(|_| channels.reader()).collect();
            let first = runtime.block_on(async { set.next().await });
            assert_eq!(first, Some(Err("all read")));
            let read = channels.read();
            let starving = read.iter().filter(|&&read| read < 256).count();
            assert!(starving >= n / 2, "{read:?}");
        }
    }
}

/// The setting shows what it is to show.
#[test]
fn readers_that_are_always_polled_in_the_same_order_starve_but_for_the_first() {
    for runtime in runtimes() {
        let mut channels = Channels::new(3);
        let mut readers: Vec<_> = (0..3).map(|_| Box::pin(channels.reader())).collect();
        let first = runtime.block_on(poll_fn(|cx| {
            let polls = readers.iter_mut().map(|reader| reader.as_mut().poll(cx));
            let polls: Vec<_> = polls.collect();
            polls
                .into_iter()
                .find(Poll::is_ready)
                .unwrap_or(Poll::Pending)
        }));
        assert_eq!(first, Err("all read"));
        // They are taken from the end.
        let [third, second, MESSAGES] = channels.read()[..] else {
            panic!("{:?}", channels.read());
        };
        assert!(third == 0 && second < 256, "{third} {second}");
    }
}
