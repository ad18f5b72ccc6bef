//! 65,536 timers of 100 µs on tokio, 256 at a time. tokio's clock ticks once a millisecond, so
//! most of the time is waiting, and what counts is that nobody waits for one tick more than
//! necessary. A unit is a timer.

use std::time::Duration;

use errgroup::{ErrGroup, try_for_each};
use futures::pin_mut;
use futures::stream::{self, StreamExt, TryStreamExt};
use futures_buffered::BufferedStreamExt;
use tokio::runtime::Builder;
use tokio::time::sleep;

use crate::row::{Contender, Room, Row};
use crate::sets::{Outcomes, contenders};
use crate::tasks::{Outcome, end, ended};
use crate::watch::Watch;

const TIMERS: usize = 65_536;
const LIMIT: usize = 256;

pub(crate) fn rows() -> Vec<Row> {
    let row = |name, contenders| Row::new(Room::Timers, name, "timer", contenders).median();
    let mut groups = vec![timed("errgroup", async || {
        let mut group = ErrGroup::<(), ()>::new().limit(LIMIT);
        for _ in 0..TIMERS {
            assert!(group.ready().await);
            group.spawn(timer());
        }
        group.await.unwrap();
    })];
    groups.extend(contenders![fed(): Unordered, Buffered, ConcurrencyGroup, Unicycle, Joined]);
    vec![
        row("65,536 timers, 256 at a time in a group", groups),
        row("65,536 timers, 256 at a time in a map", maps()),
    ]
}

async fn timer() -> Outcome {
    sleep(Duration::from_micros(100)).await;
    end()
}

fn fed<S: Outcomes>() -> Contender {
    timed(S::NAME, async || {
        let mut set = S::new();
        for index in 0..TIMERS {
            if index >= LIMIT {
                set.next().await.unwrap().unwrap();
            }
            set.add(timer());
        }
        set.finish().await.unwrap();
    })
}

fn maps() -> Vec<Contender> {
    let timers = || stream::iter(0..TIMERS).map(|_| timer());
    vec![
        timed("errgroup", async || {
            try_for_each(0..TIMERS, LIMIT, |_| timer()).await.unwrap();
        }),
        timed("try_for_each_concurrent", async || {
            let items = stream::iter(0..TIMERS).map(Ok::<_, ()>);
            let each = items.try_for_each_concurrent(LIMIT, |_| timer());
            each.await.unwrap();
        }),
        timed("buffer_unordered", async move || {
            let outcomes = timers().buffer_unordered(LIMIT);
            pin_mut!(outcomes);
            while let Some(outcome) = outcomes.next().await {
                outcome.unwrap();
            }
        }),
        timed("futures-buffered", async move || {
            let outcomes = timers().buffered_unordered(LIMIT);
            pin_mut!(outcomes);
            while let Some(outcome) = outcomes.next().await {
                outcome.unwrap();
            }
        }),
    ]
}

fn timed(name: &'static str, work: impl AsyncFn() + 'static) -> Contender {
    Contender::new(name, move || {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let before = ended();
        let watch = Watch::start_wall();
        runtime.block_on(work());
        let cost = watch.per(TIMERS);
        assert_eq!(ended() - before, TIMERS, "timers that were over");
        cost
    })
}
