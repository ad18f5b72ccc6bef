//! Nobody starves, also when something is given out once for each poll of the whole, as tokio's
//! cooperative budget is: 128 units for each poll of a task of the runtime. Whoever is polled
//! first may take all of them.
//!
//! What "nobody starves" means here: in `TURNS` polls for each of `n` greedy tasks, each of them
//! gets at least `FLOOR` times what one poll gives out (its even share is `TURNS` times), and then
//! once more in as many polls. That leaves room for whoever throws dice.

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn, ready};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::common::{Fail, Probe, Root};
use errgroup::{
    CancelContext, ErrGroup, ErrSpawner, LocalErrGroup, buffer_unordered, buffered, scope,
    scope_in, try_for_each, try_for_each_stream, try_map, try_map_stream,
};
use futures::StreamExt;
use futures::channel::mpsc;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, FuturesUnordered};

type Unit = Result<(), Fail>;
type Task = BoxFuture<'static, Unit>;
type Whole = Pin<Box<dyn Future<Output = ()>>>;

/// How many polls of the whole there are for each of those who want all.
const TURNS: usize = 24;
/// How many times what a poll gives out everybody gets in that time.
const FLOOR: usize = 3;

/// What is given out once for each poll of the whole.
#[derive(Clone)]
struct Units {
    left: Arc<AtomicUsize>,
    per_poll: usize,
    wakes: Wakes,
    late: Arc<Mutex<Vec<Waker>>>,
}

/// When somebody who has not got enough is woken.
#[derive(Clone, Copy, Debug)]
enum Wakes {
    /// In the middle of its poll: so does who wakes itself, and tokio outside of its workers.
    AtOnce,
    /// After the poll of the whole, the first of them first.
    Later,
    /// After the poll of the whole, the last of them first: so does tokio.
    Backwards,
}

const ALL_WAKES: [Wakes; 3] = [Wakes::AtOnce, Wakes::Later, Wakes::Backwards];

/// How many units somebody has got.
type Count = Arc<AtomicUsize>;

impl Units {
    fn new(per_poll: usize, wakes: Wakes) -> Self {
        Units {
            left: Arc::default(),
            per_poll,
            wakes,
            late: Arc::default(),
        }
    }

    /// With all kinds of wakes.
    fn all(per_poll: usize) -> [Self; 3] {
        ALL_WAKES.map(|wakes| Units::new(per_poll, wakes))
    }

    fn wake(&self, cx: &Context<'_>) {
        match self.wakes {
            Wakes::AtOnce => cx.waker().wake_by_ref(),
            _ => self.late.lock().unwrap().push(cx.waker().clone()),
        }
    }

    fn take(&self) -> bool {
        let one_less = |left: usize| left.checked_sub(1);
        self.left.fetch_update(SeqCst, SeqCst, one_less).is_ok()
    }

    /// Takes units as long as there are any, then wakes itself.
    fn greedy<R>(&self, count: &Count) -> impl Future<Output = R> + Send + 'static + use<R> {
        let (units, count) = (self.clone(), count.clone());
        poll_fn(move |cx| {
            while units.take() {
                count.fetch_add(1, SeqCst);
            }
            units.wake(cx);
            Poll::Pending
        })
    }

    /// Waits for one unit, as a timer or a channel does under tokio.
    fn one(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let units = self.clone();
        poll_fn(move |cx| {
            if units.take() {
                return Poll::Ready(());
            }
            units.wake(cx);
            Poll::Pending
        })
    }

    /// Takes one unit in each poll, and wakes itself.
    fn modest<R>(&self, count: &Count) -> impl Future<Output = R> + Send + 'static + use<R> {
        let (units, count) = (self.clone(), count.clone());
        poll_fn(move |cx| {
            count.fetch_add(usize::from(units.take()), SeqCst);
            units.wake(cx);
            Poll::Pending
        })
    }

    fn all_greedy(&self, counts: &[Count]) -> Vec<Task> {
        counts
            .iter()
            .map(|count| self.greedy(count).boxed())
            .collect()
    }

    /// Polls the whole once.
    fn poll(&self, whole: &mut Whole) -> Poll<()> {
        self.left.store(self.per_poll, SeqCst);
        let root = Root::new();
        let poll = root.poll(whole);
        let mut late = std::mem::take(&mut *self.late.lock().unwrap());
        if let Wakes::Backwards = self.wakes {
            late.reverse();
        }
        late.into_iter().for_each(Waker::wake);
        assert!(poll.is_ready() || root.wakes() > 0, "it sleeps for ever");
        poll
    }

    /// Polls the whole, which never ends.
    #[track_caller]
    fn polls(&self, whole: &mut Whole, polls: usize) {
        for _ in 0..polls {
            assert_eq!(self.poll(whole), Poll::Pending);
        }
    }

    /// Polls until the whole ends, and gives the number of polls.
    #[track_caller]
    fn run(&self, whole: &mut Whole, at_most: usize) -> usize {
        for poll in 1..=at_most {
            if self.poll(whole).is_ready() {
                return poll;
            }
        }
        panic!("it has not ended in {at_most} polls");
    }

    /// Everybody gets a part of the units, and goes on to get it.
    #[track_caller]
    fn assert_fair(&self, what: &str, whole: &mut Whole, counts: &[Count], polls: usize) {
        // Large groups take their time.
        let (windows, floor) = match counts.len() {
            ..=130 => (2, FLOOR * self.per_poll),
            131..=256 => (1, FLOOR * self.per_poll),
            _ => (1, self.per_poll),
        };
        for window in 0..windows {
            counts.iter().for_each(|count| count.store(0, SeqCst));
            self.polls(whole, polls);
            let got: Vec<_> = counts.iter().map(|count| count.load(SeqCst)).collect();
            let poor = got.iter().filter(|&&got| got < floor).count();
            let (least, most) = (got.iter().min().unwrap(), got.iter().max().unwrap());
            assert_eq!(
                poor,
                0,
                "{what}, {:?}: of {} tasks, with {} units for each of {polls} polls, {poor} got less \
                 than {floor} in window {window} (from {least} to {most})",
                self.wakes,
                got.len(),
                self.per_poll
            );
        }
    }
}

fn counts(n: usize) -> Vec<Count> {
    (0..n).map(|_| Count::default()).collect()
}

fn boxed<R: 'static>(future: impl Future<Output = R> + 'static) -> Whole {
    Box::pin(future.map(drop))
}

fn group(tasks: Vec<Task>) -> ErrGroup<'static, (), Fail> {
    tasks.into_iter().collect()
}

type Way = fn(Vec<Task>) -> Whole;

/// All ways to drive tasks.
const WAYS: &[(&str, Way)] = &[
    (".await", |tasks| boxed(group(tasks))),
    ("collect", |tasks| boxed(group(tasks).collect())),
    ("wait_all", |tasks| boxed(group(tasks).wait_all())),
    ("settle", |tasks| boxed(group(tasks).settle())),
    ("first_ok", |tasks| boxed(group(tasks).first_ok())),
    ("next", |tasks| {
        let mut group = group(tasks);
        boxed(async move { while group.next().await.is_some() {} })
    }),
    ("next, made for each poll", |tasks| {
        let mut group = group(tasks);
        boxed(poll_fn::<(), _>(move |cx| {
            let next = pin!(group.next());
            next.poll(cx).map(drop)
        }))
    }),
    ("results", |tasks| {
        let mut group = group(tasks);
        boxed(async move { group.results().for_each(|_| ready(())).await })
    }),
    ("ready", |tasks| {
        let limit = tasks.len();
        let mut group = group(tasks).limit(limit);
        boxed(async move { group.ready().await })
    }),
    ("drive", |tasks| {
        let mut group = group(tasks);
        boxed(async move { group.drive(pending::<()>()).await })
    }),
    ("keep_going", |tasks| boxed(group(tasks).keep_going())),
    ("with_context", |tasks| {
        let (_, mut group) = ErrGroup::with_context(&CancelContext::new());
        group.extend(tasks);
        boxed(group)
    }),
    ("with_grace, in the grace", |tasks| {
        let (context, mut group) = ErrGroup::with_grace(&CancelContext::new(), pending::<()>);
        group.extend(tasks);
        context.cancel();
        boxed(group)
    }),
    ("local", |tasks| {
        boxed(tasks.into_iter().collect::<LocalErrGroup<'_, _, _>>())
    }),
    ("spawner", |tasks| {
        let group = ErrGroup::new();
        let spawner = group.spawner();
        tasks.into_iter().for_each(|task| spawner.spawn(task));
        boxed(group)
    }),
    ("scope", |tasks| {
        boxed(scope(async |s: ErrSpawner<'_, (), Fail>| {
            tasks.into_iter().for_each(|task| s.spawn(task));
            Ok(())
        }))
    }),
    ("scope_in", |tasks| {
        let context = CancelContext::new();
        boxed(async move {
            scope_in(&context, pending::<()>, async |s, _| {
                tasks.into_iter().for_each(|task| s.spawn(task));
                pending::<Unit>().await
            })
            .await
        })
    }),
    ("try_for_each", |tasks| {
        let limit = tasks.len();
        boxed(try_for_each(tasks, limit, |task| task))
    }),
    ("try_map", |tasks| {
        let limit = tasks.len();
        boxed(try_map(tasks, limit, |task| task))
    }),
    ("try_for_each_stream", |tasks| {
        let limit = tasks.len() + 1;
        let stream = stream::iter(tasks).chain(stream::pending());
        boxed(try_for_each_stream(stream, limit, |task| task))
    }),
    ("try_map_stream", |tasks| {
        let limit = tasks.len() + 1;
        let stream = stream::iter(tasks).chain(stream::pending());
        boxed(try_map_stream(stream, limit, |task| task))
    }),
    ("buffered", |tasks| {
        let limit = tasks.len() + 1;
        let stream = stream::iter(tasks).chain(stream::pending());
        boxed(buffered(stream, limit, |task| task).for_each(|_| ready(())))
    }),
    ("buffer_unordered", |tasks| {
        let limit = tasks.len() + 1;
        let stream = stream::iter(tasks).chain(stream::pending());
        boxed(buffer_unordered(stream, limit, |task| task).for_each(|_| ready(())))
    }),
];

// R2

#[test]
fn each_of_n_greedy_tasks_gets_its_share() {
    for n in [2, 3, 4, 5, 10, 63, 64, 65, 128, 129] {
        for units in Units::all(128) {
            let counts = counts(n);
            let mut whole = boxed(group(units.all_greedy(&counts)));
            units.assert_fair(&format!("{n}"), &mut whole, &counts, TURNS * n);
        }
    }
    // As many as one poll takes on, and more.
    for (n, units) in [
        (256, Units::new(1, Wakes::AtOnce)),
        (256, Units::new(1, Wakes::Backwards)),
        (257, Units::new(1, Wakes::AtOnce)),
        (257, Units::new(1, Wakes::Backwards)),
        (512, Units::new(1, Wakes::AtOnce)),
        (1000, Units::new(1, Wakes::Backwards)),
    ] {
        let counts = counts(n);
        let mut whole = boxed(group(units.all_greedy(&counts)));
        units.assert_fair(&format!("{n}"), &mut whole, &counts, 20 * n);
    }
}

#[test]
fn each_of_n_greedy_tasks_gets_its_share_of_little() {
    for per_poll in [1, 2, 3, 7, 64, 128] {
        for n in [2, 3, 4, 7, 64, 65, 129] {
            for units in Units::all(per_poll) {
                let counts = counts(n);
                let mut whole = boxed(group(units.all_greedy(&counts)));
                units.assert_fair(&format!("{n}"), &mut whole, &counts, TURNS * n);
            }
        }
    }
}

#[test]
fn each_of_n_greedy_tasks_gets_its_share_however_they_are_driven() {
    // Larger numbers of them are awaited, above.
    for (n, per_poll) in [(2, 128), (3, 128), (64, 8), (65, 8)] {
        for (name, way) in WAYS {
            for units in Units::all(per_poll) {
                let counts = counts(n);
                let mut whole = way(units.all_greedy(&counts));
                // What else is polled, a body or a stream, may have turns of its own.
                units.assert_fair(name, &mut whole, &counts, 2 * TURNS * n);
            }
        }
    }
}

#[test]
fn each_of_257_greedy_tasks_gets_its_share_however_they_are_driven() {
    for (name, way) in WAYS {
        if ["next", "drive", "scope", "try_for_each", "buffered"].contains(name) {
            let (units, counts) = (Units::new(1, Wakes::AtOnce), counts(257));
            let mut whole = way(units.all_greedy(&counts));
            units.assert_fair(name, &mut whole, &counts, 16 * 257);
        }
    }
}

#[test]
fn modest_tasks_get_their_share_beside_each_other() {
    // With 128 units for each poll, others get their units in the next polls.
    for n in [2, 64, 128, 129] {
        for per_poll in [1, 7, 128] {
            for units in Units::all(per_poll) {
                let counts = counts(n);
                let tasks = counts
                    .iter()
                    .map(|count| units.modest(count).boxed())
                    .collect();
                let mut whole = boxed(group(tasks));
                let polls = TURNS * n;
                units.polls(&mut whole, polls);
                let least = counts.iter().map(|count| count.load(SeqCst)).min();
                assert!(least >= Some(FLOOR), "{n} {per_poll}: {least:?}");
            }
        }
    }
}

#[test]
fn modest_tasks_get_their_share_beside_greedy_ones() {
    for n in [2, 3, 10, 64, 65, 130] {
        for units in Units::all(128) {
            let counts = counts(n);
            let tasks = counts.iter().enumerate().map(|(index, count)| {
                if index % 2 == 0 {
                    units.greedy(count).boxed()
                } else {
                    units.modest(count).boxed()
                }
            });
            let mut whole = boxed(group(tasks.collect()));
            units.polls(&mut whole, 2 * TURNS * n);
            let least = counts.iter().map(|count| count.load(SeqCst)).min();
            assert!(least >= Some(FLOOR), "{n}: {least:?}");
        }
    }
}

#[test]
fn who_sleeps_is_served_when_it_is_woken_beside_greedy_tasks() {
    for n in [1, 2, 3, 64, 255, 256, 300] {
        for place in [0, n / 2, n] {
            for units in Units::all(128) {
                let sleeper = Probe::<()>::new();
                let mut tasks = units.all_greedy(&counts(n));
                let (sleep, one) = (sleeper.task(), units.one());
                let woken = async move {
                    sleep.await;
                    one.await;
                    Err("awake".into())
                };
                tasks.insert(place, woken.boxed());
                let mut whole = boxed(group(tasks));
                units.polls(&mut whole, 10);
                sleeper.finish(());
                units.run(&mut whole, TURNS * (n + 1));
            }
        }
    }
}

#[test]
fn readers_of_channels_that_are_never_empty_all_read() {
    for n in [2, 3, 64, 65, 200] {
        for units in Units::all(128) {
            let counts = counts(n);
            let (senders, readers): (Vec<_>, Vec<_>) = (0..n)
                .map(|index| {
                    let (sender, mut receiver) = mpsc::unbounded::<()>();
                    let (units, count) = (units.clone(), counts[index].clone());
                    let reader = async move {
                        loop {
                            units.one().await;
                            receiver.next().await.unwrap();
                            count.fetch_add(1, SeqCst);
                        }
                    };
                    (sender, reader)
                })
                .unzip();
            let mut whole = boxed(readers.into_iter().collect::<ErrGroup<'_, (), Fail>>());
            let mut got = vec![0; n];
            let fill = || {
                let mut fresh = Vec::new();
                for (index, sender) in senders.iter().enumerate() {
                    let read = counts[index].load(SeqCst);
                    fresh.push(read);
                    while sender.len() < 128 {
                        sender.unbounded_send(()).unwrap();
                    }
                }
                fresh
            };
            for _ in 0..2 {
                for _ in 0..TURNS * n {
                    fill();
                    units.polls(&mut whole, 1);
                }
                let now = fill();
                for (index, (now, before)) in now.iter().zip(&got).enumerate() {
                    assert!(
                        now - before >= FLOOR * 128,
                        "{n}: {index} read {}",
                        now - before
                    );
                }
                got = now;
            }
        }
    }
}

#[test]
fn queued_tasks_get_their_turn_beside_greedy_ones() {
    // Two slots are taken for ever. What is queued goes through the third.
    for (greedy, slots) in [
        (1, 1),
        (2, 1),
        (2, 3),
        (63, 1),
        (64, 2),
        (100, 10),
        (255, 1),
        (256, 1),
        (300, 2),
    ] {
        for first in [false, true] {
            for units in Units::all(128) {
                let queued = 20;
                let ended = Count::default();
                let mut group = ErrGroup::<(), Fail>::new().limit(greedy + slots);
                let short = || {
                    (0..queued).map(|_| {
                        let (one, ended) = (units.one(), ended.clone());
                        async move {
                            one.await;
                            ended.fetch_add(1, SeqCst);
                            Ok(())
                        }
                    })
                };
                if first {
                    group.extend(short());
                }
                group.extend(units.all_greedy(&counts(greedy)));
                if !first {
                    group.extend(short());
                }
                let mut whole = boxed(group);
                let mut polls = 0;
                while ended.load(SeqCst) < queued {
                    assert!(
                        polls < TURNS * queued * (greedy + slots),
                        "{greedy} + {slots}: {} of {queued}",
                        ended.load(SeqCst)
                    );
                    units.polls(&mut whole, 1);
                    polls += 1;
                }
            }
        }
    }
}

#[test]
fn tasks_that_come_and_go_do_not_keep_greedy_ones_from_their_share() {
    // In each poll a task comes that wants one unit and ends.
    for n in [2, 3, 30, 64, 100] {
        for units in Units::all(128) {
            let counts = counts(n);
            let mut group = group(units.all_greedy(&counts));
            let spawner = group.spawner();
            let ended = Count::default();
            let polls = 4 * TURNS * n;
            let mut whole = boxed(async move { group.drive(pending::<()>()).await });
            for poll in 0..polls {
                if poll % 2 == 0 {
                    let (one, ended) = (units.one(), ended.clone());
                    spawner.spawn(async move {
                        one.await;
                        ended.fetch_add(1, SeqCst);
                        Ok(())
                    });
                }
                units.polls(&mut whole, 1);
            }
            let got: Vec<_> = counts.iter().map(|count| count.load(SeqCst)).collect();
            let least = *got.iter().min().unwrap();
            assert!(least >= FLOOR * 64, "{n}: {got:?}");
            let ended = ended.load(SeqCst);
            assert!(ended >= polls / 8, "{n}: {ended} of {}", polls / 2);
        }
    }
}

#[test]
fn tasks_that_are_woken_from_elsewhere_do_not_keep_greedy_ones_from_their_share() {
    // Who is woken varies from poll to poll, with every small period.
    for n in [2, 3, 5] {
        for idle in [1, 2, 3, 5, 70] {
            for period in 1..=4 {
                for units in Units::all(128) {
                    let counts = counts(n);
                    let probes = crate::common::probes::<Unit>(idle);
                    let mut tasks = units.all_greedy(&counts);
                    for (index, probe) in probes.iter().enumerate() {
                        tasks.insert(index * 2 % (tasks.len() + 1), probe.task().boxed());
                    }
                    let mut whole = boxed(group(tasks));
                    units.polls(&mut whole, 1);
                    for poll in 0..4 * TURNS * (n + idle) {
                        if poll % period == 0 {
                            probes.iter().for_each(Probe::wake);
                        }
                        units.polls(&mut whole, 1);
                    }
                    let got: Vec<_> = counts.iter().map(|count| count.load(SeqCst)).collect();
                    let floor = FLOOR * 128;
                    assert!(
                        got.iter().all(|&got| got >= floor),
                        "{n} beside {idle} woken every {period}: {got:?}"
                    );
                }
            }
        }
    }
}

// R12

#[test]
fn a_driven_future_is_served_beside_greedy_tasks() {
    for n in [1, 2, 3, 64, 65, 255, 256, 257, 600] {
        for per_poll in [1, 128] {
            for units in Units::all(per_poll) {
                let mut group = group(units.all_greedy(&counts(n)));
                let one = units.one();
                let mut whole = boxed(async move {
                    group.drive(one).await.unwrap();
                });
                // It comes first in every second poll.
                units.run(&mut whole, TURNS);
            }
        }
    }
}

#[test]
fn a_greedy_driven_future_and_greedy_tasks_all_get_their_share() {
    for n in [1, 2, 3, 4, 63, 64, 65, 128, 257, 512] {
        for units in Units::all(128) {
            let counts = counts(n);
            let beside = Count::default();
            let mut group = group(units.all_greedy(&counts));
            let greedy = units.greedy::<()>(&beside);
            let mut whole = boxed(async move { group.drive(greedy).await });
            let polls = 2 * TURNS * n;
            units.assert_fair("drive", &mut whole, &counts, polls);
            let (got, all) = (beside.load(SeqCst), 128 * polls);
            assert!(got >= all / 8, "{n}: {got} of {all}");
        }
    }
}

#[test]
fn futures_that_are_driven_one_after_the_other_and_greedy_tasks_all_get_their_share() {
    // Each of these ends with one unit, so that many of them are driven in one poll.
    for n in [1, 2, 3, 64, 65, 257] {
        for per_poll in [2, 128] {
            for units in Units::all(per_poll) {
                let counts = counts(n);
                let served = Count::default();
                let mut group = group(units.all_greedy(&counts));
                let (given, count) = (units.clone(), served.clone());
                let mut whole = boxed(async move {
                    loop {
                        group.drive(given.one()).await.unwrap();
                        count.fetch_add(1, SeqCst);
                    }
                });
                let polls = 2 * TURNS * n;
                units.assert_fair("drive", &mut whole, &counts, polls);
                let (got, all) = (served.load(SeqCst), polls);
                assert!(got >= all / 8, "{n}: {got} of {all}");
            }
        }
    }
}

#[test]
fn a_future_that_is_driven_anew_in_each_poll_and_greedy_tasks_all_get_their_share() {
    // As in a `select!`: the future of `drive` is dropped and made again.
    for n in [1, 2, 3, 64, 65] {
        for units in Units::all(128) {
            let counts = counts(n);
            let beside = Count::default();
            let mut group = group(units.all_greedy(&counts));
            let (given, count) = (units.clone(), beside.clone());
            let mut whole = boxed(poll_fn::<(), _>(move |cx| {
                let drive = pin!(group.drive(given.greedy::<()>(&count)));
                drive.poll(cx).map(drop)
            }));
            let polls = 2 * TURNS * n;
            units.assert_fair("drive", &mut whole, &counts, polls);
            let (got, all) = (beside.load(SeqCst), 128 * polls);
            assert!(got >= all / 8, "{n}: {got} of {all}");
        }
    }
}

// R13

#[test]
fn the_body_of_a_scope_is_served_beside_greedy_tasks() {
    for n in [1, 2, 3, 64, 65, 255, 256, 257] {
        for units in Units::all(128) {
            let tasks = units.all_greedy(&counts(n));
            let given = units.clone();
            let mut whole = boxed(scope(async move |s: ErrSpawner<'_, (), Fail>| {
                tasks.into_iter().for_each(|task| s.spawn(task));
                crate::common::yields(3).await;
                given.one().await;
                Err::<(), _>("served".into())
            }));
            units.run(&mut whole, TURNS * (n + 1));
        }
    }
}

#[test]
fn a_greedy_body_and_greedy_tasks_all_get_their_share() {
    for n in [1, 2, 3, 63, 64, 65, 257] {
        for units in Units::all(128) {
            let counts = counts(n + 1);
            let (body, tasks) = counts.split_last().unwrap();
            let (body, tasks) = (units.greedy::<Unit>(body), units.all_greedy(tasks));
            let mut whole = boxed(scope(async move |s: ErrSpawner<'_, (), Fail>| {
                tasks.into_iter().for_each(|task| s.spawn(task));
                body.await
            }));
            units.assert_fair("scope", &mut whole, &counts, 2 * TURNS * (n + 1));
        }
    }
}

#[test]
fn a_greedy_body_and_greedy_tasks_of_a_scope_with_a_context_all_get_their_share() {
    for n in [1, 2, 64, 65] {
        for units in Units::all(128) {
            let counts = counts(n + 1);
            let (body, tasks) = counts.split_last().unwrap();
            let (body, tasks) = (units.greedy::<Unit>(body), units.all_greedy(tasks));
            let context = CancelContext::new();
            let mut whole = boxed(async move {
                scope_in(&context, pending::<()>, async move |s, _| {
                    tasks.into_iter().for_each(|task| s.spawn(task));
                    body.await
                })
                .await
            });
            units.assert_fair("scope_in", &mut whole, &counts, 2 * TURNS * (n + 1));
        }
    }
}

// R2

#[test]
fn the_stream_of_a_map_is_served_beside_greedy_futures() {
    // Only the first items take units; the others come one for a unit, and end at once.
    for n in [1, 2, 3, 64, 65, 255, 256, 257] {
        for units in Units::all(128) {
            let came = Count::default();
            let tasks = units.all_greedy(&counts(n));
            let (given, count) = (units.clone(), came.clone());
            let items = stream::iter(tasks).chain(stream::unfold((), move |()| {
                let (one, count) = (given.one(), count.clone());
                async move {
                    one.await;
                    count.fetch_add(1, SeqCst);
                    Some((ready(Ok(())).boxed(), ()))
                }
            }));
            let mut whole = boxed(try_for_each_stream(items, n + 1, |task| task));
            let polls = 4 * TURNS;
            units.polls(&mut whole, n.div_ceil(100));
            units.polls(&mut whole, polls);
            let came = came.load(SeqCst);
            assert!(came >= polls / 8, "{n}: {came} in {polls} polls");
        }
    }
}

#[test]
fn a_greedy_stream_of_a_map_and_greedy_futures_all_get_their_share() {
    for n in [1, 2, 3, 64, 65] {
        for units in Units::all(128) {
            let counts = counts(n);
            let beside = Count::default();
            let tasks = units.all_greedy(&counts);
            let mut greedy = Box::pin(units.greedy::<Option<Task>>(&beside));
            let items =
                stream::iter(tasks).chain(stream::poll_fn(move |cx| greedy.as_mut().poll(cx)));
            let mut whole = boxed(try_for_each_stream(items, n + 1, |task| task));
            let polls = 2 * TURNS * n;
            units.assert_fair("stream", &mut whole, &counts, polls);
            let (got, all) = (beside.load(SeqCst), 128 * polls);
            assert!(got >= all / 8, "{n}: {got} of {all}");
        }
    }
}

#[test]
fn a_stream_that_always_has_an_item_does_not_keep_futures_from_their_units() {
    // An item for a unit; its future wants one more, but not in its first poll.
    for limit in [1, 2, 10, 100] {
        for per_poll in [1, 2, 128] {
            for units in Units::all(per_poll) {
                let ended = Count::default();
                let (given, count) = (units.clone(), ended.clone());
                let items = stream::unfold((), move |()| given.one().map(|()| Some(((), ()))));
                let given = units.clone();
                let mut whole = boxed(try_for_each_stream(items, limit, move |()| {
                    let (given, count) = (given.clone(), count.clone());
                    async move {
                        crate::common::yields(1).await;
                        given.one().await;
                        count.fetch_add(1, SeqCst);
                        Ok::<_, ()>(())
                    }
                }));
                let mut before = 0;
                for _ in 0..2 {
                    units.polls(&mut whole, 8 * TURNS);
                    let now = ended.load(SeqCst);
                    assert!(now - before >= TURNS / 2, "{limit} {per_poll}: {now}");
                    before = now;
                }
            }
        }
    }
}

// C3, G1

/// Writes down each of its polls, and always wakes itself.
fn writes<R>(log: &Arc<Mutex<String>>, letter: char) -> impl Future<Output = R> + Send + use<R> {
    let log = log.clone();
    poll_fn(move |cx| {
        log.lock().unwrap().push(letter);
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

/// The exception to R2: they take no turns.
#[test]
fn a_deadline_and_a_grace_come_first_in_every_poll() {
    for in_grace in [false, true] {
        let log = Arc::default();
        let parent = CancelContext::new();
        let (_, mut group) = if in_grace {
            parent.cancel();
            let grace = writes::<()>(&log, 'g');
            ErrGroup::<(), Fail>::with_grace(&parent, || grace)
        } else {
            ErrGroup::with_context(&parent.with_deadline(writes::<()>(&log, 'g')))
        };
        (0..2).for_each(|_| group.spawn(writes(&log, 't')));
        let root = Root::new();
        for _ in 0..20 {
            assert!(root.poll(&mut group).is_pending());
            let polled = std::mem::take(&mut *log.lock().unwrap());
            assert_eq!(polled, "gtt", "{in_grace}");
        }
    }
}

// R2, R3

/// Groups in a group, each with greedy tasks. The outer one begins with each inner one in turn,
/// and it must not be the same task of the inner one's that comes first whenever it does.
#[test]
fn greedy_tasks_of_groups_in_a_group_all_get_their_share() {
    for (outer, inner) in [
        (2, 2),
        (2, 4),
        (3, 3),
        (4, 2),
        (2, 3),
        (6, 4),
        (8, 8),
        (16, 5),
    ] {
        for units in Units::all(128) {
            let counts = counts(outer * inner);
            let groups = counts
                .chunks(inner)
                .map(|counts| group(units.all_greedy(counts)).boxed());
            let mut whole = boxed(group(groups.collect()));
            let what = format!("{outer} groups of {inner}");
            units.assert_fair(&what, &mut whole, &counts, 4 * TURNS * counts.len());
        }
    }
}

#[test]
fn greedy_tasks_of_a_group_beside_a_greedy_one_all_get_their_share() {
    for (alone, inner) in [(1, 2), (1, 4), (2, 3), (3, 2), (3, 4), (3, 64)] {
        for units in Units::all(128) {
            let counts = counts(alone + inner);
            let (outer, inner) = counts.split_at(alone);
            let mut tasks = units.all_greedy(outer);
            tasks.push(group(units.all_greedy(inner)).boxed());
            let mut whole = boxed(group(tasks));
            let what = format!("{alone} beside a group of {}", inner.len());
            units.assert_fair(&what, &mut whole, &counts, 4 * TURNS * counts.len() * 2);
        }
    }
}

#[test]
fn greedy_tasks_of_a_group_that_is_driven_beside_another_all_get_their_share() {
    for (outer, inner) in [(1, 2), (2, 2), (2, 4), (3, 3), (5, 8)] {
        for units in Units::all(128) {
            let counts = counts(outer + inner);
            let (first, second) = counts.split_at(outer);
            let mut outer = group(units.all_greedy(first));
            let mut inner = group(units.all_greedy(second));
            let mut whole = boxed(async move { outer.drive(inner.next()).await });
            let what = format!("{} driving {}", first.len(), second.len());
            units.assert_fair(&what, &mut whole, &counts, 4 * TURNS * counts.len());
        }
    }
}

#[test]
fn greedy_tasks_three_groups_deep_all_get_their_share() {
    for n in [2, 3, 4] {
        for units in Units::all(128) {
            let counts = counts(n * n * n);
            let mut tasks = units.all_greedy(&counts);
            for _ in 0..2 {
                let mut groups = Vec::new();
                while !tasks.is_empty() {
                    groups.push(group(tasks.drain(..n).collect()).boxed());
                }
                tasks = groups;
            }
            let mut whole = boxed(group(tasks));
            units.assert_fair(
                &format!("{n}"),
                &mut whole,
                &counts,
                8 * TURNS * counts.len(),
            );
        }
    }
}

/// A reason to use this crate: `FuturesUnordered`, and all that is built on it, lets tasks starve
/// for ever. Under tokio, where wakes come after the poll, all but two of any number do.
#[test]
fn futures_unordered_lets_greedy_tasks_starve() {
    for n in [2, 3, 4, 5, 10, 64, 257] {
        for units in Units::all(128) {
            let counts = counts(n);
            let mut set: FuturesUnordered<_> = units.all_greedy(&counts).into_iter().collect();
            let mut whole = boxed(async move { set.next().await });
            units.polls(&mut whole, TURNS * n);
            let starving = counts.iter().filter(|count| count.load(SeqCst) == 0);
            let expected = match units.wakes {
                Wakes::Later => n - 1,
                // The first and the last take turns.
                Wakes::Backwards => n - 2,
                // It ends its poll after two that have woken themselves.
                Wakes::AtOnce if n % 2 == 0 => n / 2,
                Wakes::AtOnce => 0,
            };
            assert_eq!(starving.count(), expected, "{n}");
        }
    }
}

/// The setting shows what it is to show: with everything given to whoever comes first, and the
/// same one first each time, all others get nothing.
#[test]
fn the_setting_starves_all_but_the_first_if_tasks_are_always_polled_in_the_same_order() {
    let (units, counts) = (Units::new(7, Wakes::AtOnce), counts(3));
    let tasks = Rc::new(RefCell::new(units.all_greedy(&counts)));
    let mut whole = boxed(poll_fn::<(), _>(move |cx| {
        for task in &mut *tasks.borrow_mut() {
            assert!(task.as_mut().poll(cx).is_pending());
        }
        Poll::Pending
    }));
    units.polls(&mut whole, 10);
    let got: Vec<_> = counts.iter().map(|count| count.load(SeqCst)).collect();
    assert_eq!(got, [70, 0, 0]);
}
