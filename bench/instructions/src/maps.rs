//! Maps: items that become futures, so many at a time, without a box for each.

use std::hint::black_box;

use errgroup::{try_for_each, try_map};
use futures::pin_mut;
use futures::stream::{self, StreamExt, TryStreamExt};
use futures_buffered::BufferedStreamExt;
use futures_lite::future::block_on;

use crate::tasks::{item, task};

const LIMIT: usize = 64;

/// A whole map of `M` items; all may run at a time.
pub(crate) mod whole {
    use super::*;

    pub(crate) fn errgroup<const M: usize>(n: usize, yields: usize) {
        block_on(async {
            for _ in 0..n {
                try_map(0..black_box(M), LIMIT, |i| item(i, yields))
                    .await
                    .unwrap();
            }
        });
    }

    pub(crate) fn fu<const M: usize>(n: usize, yields: usize) {
        block_on(async {
            for _ in 0..n {
                let futures = stream::iter(0..black_box(M)).map(|i| item(i, yields));
                futures
                    .buffered(LIMIT)
                    .try_collect::<Vec<_>>()
                    .await
                    .unwrap();
            }
        });
    }

    pub(crate) fn fb<const M: usize>(n: usize, yields: usize) {
        block_on(async {
            for _ in 0..n {
                let futures = stream::iter(0..black_box(M)).map(|i| item(i, yields));
                let mapped = futures.buffered_ordered(LIMIT);
                mapped.try_collect::<Vec<_>>().await.unwrap();
            }
        });
    }
}

/// One map of very many items; a unit is an item.
pub(crate) mod many {
    use super::*;

    pub(crate) fn errgroup(n: usize, yields: usize) {
        block_on(try_map(0..n, LIMIT, |i| item(i, yields))).unwrap();
    }

    pub(crate) fn fu(n: usize, yields: usize) {
        let futures = stream::iter(0..n).map(|i| item(i, yields));
        block_on(futures.buffered(LIMIT).try_collect::<Vec<_>>()).unwrap();
    }

    pub(crate) fn fb(n: usize, yields: usize) {
        let futures = stream::iter(0..n).map(|i| item(i, yields));
        block_on(futures.buffered_ordered(LIMIT).try_collect::<Vec<_>>()).unwrap();
    }
}

/// The same without values.
pub(crate) mod each {
    use super::*;

    pub(crate) fn errgroup(n: usize, yields: usize) {
        block_on(try_for_each(0..n, LIMIT, |i| task(i, yields))).unwrap();
    }

    pub(crate) fn fu(n: usize, yields: usize) {
        block_on(async {
            let futures = stream::iter(0..n).map(|i| task(i, yields));
            let outcomes = futures.buffer_unordered(LIMIT);
            pin_mut!(outcomes);
            while let Some(outcome) = outcomes.next().await {
                outcome.unwrap();
            }
        });
    }

    pub(crate) fn fb(n: usize, yields: usize) {
        block_on(async {
            let futures = stream::iter(0..n).map(|i| task(i, yields));
            let outcomes = futures.buffered_unordered(LIMIT);
            pin_mut!(outcomes);
            while let Some(outcome) = outcomes.next().await {
                outcome.unwrap();
            }
        });
    }
}
