//! `buffered` and `buffer_unordered`: streams of what 64 futures at a time give. A unit is an item.

use futures::pin_mut;
use futures::stream::{self, Stream, StreamExt};
use futures_buffered::BufferedStreamExt;
use futures_lite::future::block_on;

use super::yielding;
use crate::row::{Contender, Room, Row};
use crate::tasks::{item, sum_below};
use crate::watch::time;

const LIMIT: usize = 64;
const ITEMS: usize = 10_000;

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for yields in [0, 1, 4] {
        let items = move || stream::iter(0..ITEMS);
        let futures = move || items().map(move |index| item(index, yields));
        let errgroup = move || errgroup::buffered(items(), LIMIT, move |index| item(index, yields));
        let contenders = vec![
            drained("errgroup", errgroup),
            drained("buffered", move || futures().buffered(LIMIT)),
            drained("futures-buffered", move || {
                futures().buffered_ordered(LIMIT)
            }),
        ];
        let name = format!("`buffered` at a limit of 64, {}", yielding(yields));
        rows.push(Row::new(Room::Streams, name, "item", contenders));
    }
    for yields in [0, 1, 4] {
        let items = move || stream::iter(0..ITEMS);
        let futures = move || items().map(move |index| item(index, yields));
        let errgroup =
            move || errgroup::buffer_unordered(items(), LIMIT, move |index| item(index, yields));
        let contenders = vec![
            drained("errgroup", errgroup),
            drained("buffer_unordered", move || {
                futures().buffer_unordered(LIMIT)
            }),
            drained("futures-buffered", move || {
                futures().buffered_unordered(LIMIT)
            }),
        ];
        let name = format!("`buffer_unordered` at a limit of 64, {}", yielding(yields));
        rows.push(Row::new(Room::Streams, name, "item", contenders));
    }
    rows
}

/// The stream has to give every item.
fn drained<S>(name: &'static str, stream: impl Fn() -> S + 'static) -> Contender
where
    S: Stream<Item = Result<usize, ()>>,
{
    Contender::new(name, move || {
        time(ITEMS, || {
            block_on(async {
                let values = stream();
                pin_mut!(values);
                let mut sum = 0;
                while let Some(value) = values.next().await {
                    sum += value.unwrap();
                }
                assert_eq!(sum, sum_below(ITEMS));
            });
        })
    })
}
