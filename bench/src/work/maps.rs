//! `try_map` and `try_for_each`: items that become futures, without a box for each. A unit is a
//! whole map if it is small, and an item if it is large.

use std::hint::black_box;
use std::num::NonZeroUsize;

use errgroup::{try_for_each, try_map};
use futures::pin_mut;
use futures::stream::{self, StreamExt, TryStreamExt};
use futures_buffered::{BufferedStreamExt, BufferedTryStreamExt};
use futures_concurrency::prelude::*;
use futures_lite::future::block_on;

use super::yielding;
use crate::row::{Contender, Mark, Room, Row};
use crate::tasks::{item, sum_below, task};
use crate::watch::{time, time_tasks};

const LIMIT: usize = 64;
const ITEMS: usize = 10_000;

/// Of 1, 3, 10 and 50 items, which may all run at a time.
pub(crate) fn small_rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for size in [1, 3, 10, 50] {
        for yields in [0, 1] {
            let name = format!("`try_map` of {size}, {}", yielding(yields));
            rows.push(Row::new(
                Room::SmallMaps,
                name,
                "map",
                mapped(size, yields, true),
            ));
        }
    }
    rows
}

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for yields in [0, 1, 4] {
        let name = format!("`try_map` at a limit of 64, {}", yielding(yields));
        let contenders = mapped(ITEMS, yields, false);
        rows.push(Row::new(Room::Maps, name, "item", contenders));
    }
    for yields in [0, 1, 4] {
        let name = format!("`try_for_each` at a limit of 64, {}", yielding(yields));
        rows.push(Row::new(Room::Maps, name, "item", each(yields)));
    }
    rows
}

/// Maps that give a vector in the order of the items.
fn mapped(size: usize, yields: usize, whole: bool) -> Vec<Contender> {
    let maps = ITEMS / size;
    let units = if whole { maps } else { maps * size };
    /// So many maps, one after the other, each of which has to give its items.
    fn all(
        name: &'static str,
        [units, maps, size]: [usize; 3],
        map: impl AsyncFn() -> Result<Vec<usize>, ()> + 'static,
    ) -> Contender {
        Contender::new(name, move || {
            time(units, || {
                block_on(async {
                    for _ in 0..maps {
                        let values = map().await.unwrap();
                        assert_eq!(values.iter().sum::<usize>(), sum_below(size));
                    }
                });
            })
        })
    }
    let futures = move || stream::iter(0..black_box(size)).map(move |index| item(index, yields));
    let numbers = [units, maps, size];
    vec![
        all("errgroup", numbers, async move || {
            try_map(0..black_box(size), LIMIT, |index| item(index, yields)).await
        }),
        all("buffered", numbers, async move || {
            futures().buffered(LIMIT).try_collect().await
        }),
        all("try_buffered", numbers, async move || {
            futures().map(Ok).try_buffered(LIMIT).try_collect().await
        }),
        all(
            "futures-buffered buffered_ordered",
            numbers,
            async move || futures().buffered_ordered(LIMIT).try_collect().await,
        ),
        all(
            "futures-buffered try_buffered_ordered",
            numbers,
            async move || {
                let futures = futures().map(Ok);
                futures.try_buffered_ordered(LIMIT).try_collect().await
            },
        ),
        all("futures-concurrency", numbers, async move || {
            let items: Vec<usize> = (0..black_box(size)).collect();
            let mapped = items.into_co_stream().limit(NonZeroUsize::new(LIMIT));
            mapped
                .map(async |index| item(index, yields).await)
                .collect()
                .await
        })
        .mark(Mark::NoOrder),
    ]
}

/// Maps without values.
fn each(yields: usize) -> Vec<Contender> {
    let all =
        |name, work: Box<dyn Fn()>| Contender::new(name, move || time_tasks(ITEMS, ITEMS, &work));
    let futures = move || stream::iter(0..ITEMS).map(move |_| task(yields));
    let errgroup = move || {
        block_on(try_for_each(0..ITEMS, LIMIT, |_| task(yields))).unwrap();
    };
    let for_each = move || {
        let items = stream::iter(0..ITEMS).map(Ok::<_, ()>);
        block_on(items.try_for_each_concurrent(LIMIT, |_| task(yields))).unwrap();
    };
    let buffer_unordered = move || {
        block_on(async {
            let outcomes = futures().buffer_unordered(LIMIT);
            pin_mut!(outcomes);
            while let Some(outcome) = outcomes.next().await {
                outcome.unwrap();
            }
        });
    };
    let buffered = move || {
        block_on(async {
            let outcomes = futures().buffered_unordered(LIMIT);
            pin_mut!(outcomes);
            while let Some(outcome) = outcomes.next().await {
                outcome.unwrap();
            }
        });
    };
    let concurrency = move || {
        let items: Vec<usize> = (0..ITEMS).collect();
        let limited = items.into_co_stream().limit(NonZeroUsize::new(LIMIT));
        let each = limited.try_for_each(async |_| task(yields).await);
        block_on(each).unwrap();
    };
    vec![
        all("errgroup", Box::new(errgroup)),
        all("try_for_each_concurrent", Box::new(for_each)),
        all("buffer_unordered", Box::new(buffer_unordered)),
        all("futures-buffered buffered_unordered", Box::new(buffered)),
        all("futures-concurrency", Box::new(concurrency)),
    ]
}
