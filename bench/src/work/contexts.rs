//! Contexts of errgroup, and the `CancellationToken` of tokio-util.

use std::hint::black_box;

use errgroup::CancelContext;
use futures::poll;
use futures_lite::future::block_on;
use tokio_util::sync::CancellationToken;

use crate::row::{Contender, Room, Row};
use crate::watch::{Watch, time};

pub(crate) fn rows() -> Vec<Row> {
    let row = |name: String, unit, contenders| Row::new(Room::Contexts, name, unit, contenders);
    let mut rows = Vec::new();
    for depth in [1, 3, 10] {
        let name = format!("`is_cancelled` {depth} deep");
        rows.push(row(name, "call", asked(depth)));
    }
    rows.push(row(
        "a child context made and dropped".into(),
        "child",
        children(),
    ));
    let name = "a cancel with 10,000 waiters".into();
    rows.push(row(name, "waiter", cancelled()));
    rows
}

/// Asks a context that has so many above it and is not cancelled.
fn asked(depth: usize) -> Vec<Contender> {
    const CALLS: usize = 100_000;
    vec![
        Contender::new("errgroup", move || {
            let mut context = CancelContext::new();
            for _ in 0..depth {
                context = context.child();
            }
            time(CALLS, || {
                for _ in 0..CALLS {
                    assert!(!black_box(&context).is_cancelled());
                }
            })
        }),
        Contender::new("CancellationToken", move || {
            let mut token = CancellationToken::new();
            for _ in 0..depth {
                token = token.child_token();
            }
            time(CALLS, || {
                for _ in 0..CALLS {
                    assert!(!black_box(&token).is_cancelled());
                }
            })
        }),
    ]
}

fn children() -> Vec<Contender> {
    const CHILDREN: usize = 10_000;
    vec![
        Contender::new("errgroup", || {
            let parent = CancelContext::new();
            time(CHILDREN, || {
                for _ in 0..CHILDREN {
                    drop(black_box(parent.child()));
                }
            })
        }),
        Contender::new("CancellationToken", || {
            let parent = CancellationToken::new();
            time(CHILDREN, || {
                for _ in 0..CHILDREN {
                    drop(black_box(parent.child_token()));
                }
            })
        }),
    ]
}

/// All wait; then the cancel, after which each is polled and dropped.
fn cancelled() -> Vec<Contender> {
    const WAITERS: usize = 10_000;
    vec![
        Contender::new("errgroup", || {
            block_on(async {
                let context = CancelContext::new();
                let mut waiters: Vec<_> = (0..WAITERS)
                    .map(|_| Box::pin(context.cancelled()))
                    .collect();
                for waiter in &mut waiters {
                    assert!(poll!(waiter).is_pending());
                }
                let watch = Watch::start();
                context.cancel();
                for mut waiter in waiters {
                    assert!(poll!(&mut waiter).is_ready());
                }
                watch.per(WAITERS)
            })
        }),
        Contender::new("CancellationToken", || {
            block_on(async {
                let token = CancellationToken::new();
                let mut waiters: Vec<_> =
                    (0..WAITERS).map(|_| Box::pin(token.cancelled())).collect();
                for waiter in &mut waiters {
                    assert!(poll!(waiter).is_pending());
                }
                let watch = Watch::start();
                token.cancel();
                for mut waiter in waiters {
                    assert!(poll!(&mut waiter).is_ready());
                }
                watch.per(WAITERS)
            })
        }),
    ]
}
