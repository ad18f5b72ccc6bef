//! Those who wait for a context, or for a permit.

use errgroup::{CancelContext, Semaphore};
use futures::poll;
use futures::stream::{FuturesUnordered, StreamExt};
use futures_lite::future::{block_on, yield_now};
use tokio_util::sync::CancellationToken;

/// Waiters of one context, all polled before it is cancelled and once after; a unit is a waiter.
pub(crate) mod context {
    use super::*;

    const WAITERS: usize = 1_000;

    pub(crate) fn errgroup(n: usize, _: usize) {
        block_on(async {
            for _ in 0..n / WAITERS {
                let context = CancelContext::new();
                let mut waiters: Vec<_> = (0..WAITERS)
                    .map(|_| Box::pin(context.cancelled()))
                    .collect();
                for waiter in &mut waiters {
                    assert!(poll!(waiter).is_pending());
                }
                context.cancel();
                for waiter in &mut waiters {
                    assert!(poll!(waiter).is_ready());
                }
            }
        });
    }

    pub(crate) fn tokio_util(n: usize, _: usize) {
        block_on(async {
            for _ in 0..n / WAITERS {
                let token = CancellationToken::new();
                let mut waiters: Vec<_> =
                    (0..WAITERS).map(|_| Box::pin(token.cancelled())).collect();
                for waiter in &mut waiters {
                    assert!(poll!(waiter).is_pending());
                }
                token.cancel();
                for waiter in &mut waiters {
                    assert!(poll!(waiter).is_ready());
                }
            }
        });
    }
}

/// Tasks that want a permit again and again, of which there are fewer than tasks; a unit is a
/// permit had.
pub(crate) mod semaphore {
    use super::*;

    const TASKS: usize = 64;
    const PERMITS: usize = 8;

    pub(crate) fn errgroup(n: usize, _: usize) {
        let semaphore = &Semaphore::new(PERMITS);
        let mut tasks: FuturesUnordered<_> = (0..TASKS)
            .map(async |_| {
                for _ in 0..n / TASKS {
                    let _permit = semaphore.acquire(1).await.unwrap();
                    yield_now().await;
                }
            })
            .collect();
        block_on(async { while tasks.next().await.is_some() {} });
    }

    pub(crate) fn tokio(n: usize, _: usize) {
        let semaphore = &tokio::sync::Semaphore::new(PERMITS);
        let mut tasks: FuturesUnordered<_> = (0..TASKS)
            .map(async |_| {
                for _ in 0..n / TASKS {
                    let _permit = semaphore.acquire().await.unwrap();
                    yield_now().await;
                }
            })
            .collect();
        block_on(async { while tasks.next().await.is_some() {} });
    }
}
