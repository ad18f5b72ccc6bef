//! One task of very many does something, and the others do nothing.

use std::future::Future;

use super::thousands;
use crate::row::{Contender, Room, Row};
use crate::sets::{ConcurrencyGroup, Set, contenders};
use crate::tasks::{Bell, Outcome, answers, ended, idle, task};
use crate::watch::Watch;

const IDLE: usize = 10_000;

pub(crate) fn rows() -> Vec<Row> {
    let row = |name, unit, contenders| Row::new(Room::Idle, name, unit, contenders);
    let mut rows = Vec::new();
    for (order, shuffled) in [("in order", false), ("in random order", true)] {
        let name = format!("one of 10,000 idle tasks woken, {order}");
        let contenders = contenders![woken(shuffled): Errgroup, Unordered, Buffered,
            ConcurrencyGroup, Unicycle, Joined, Executor];
        rows.push(row(name, "wake", contenders));
    }
    for idle in [0, 1_000, 100_000] {
        let name = format!("one comes and goes beside {} idle ones", thousands(idle));
        let mut contenders = contenders![beside(idle): Errgroup, Unordered, Buffered, Unicycle,
            Joined, Executor];
        // It looks at every task whenever one was woken: minutes.
        if idle < 100_000 {
            contenders.push(beside::<ConcurrencyGroup>(idle));
        }
        rows.push(row(name, "task", contenders).curve("beside", idle));
    }
    rows
}

/// Wakes every task once, and lets it answer before the next is woken.
fn woken<S: Set>(shuffled: bool) -> Contender {
    let mut order: Vec<usize> = (0..IDLE).collect();
    if shuffled {
        fastrand::Rng::with_seed(9).shuffle(&mut order);
    }
    Contender::new(S::NAME, move || {
        S::block_on(async {
            let bells: Vec<Bell> = (0..IDLE).map(|_| Bell::default()).collect();
            let mut set = settled::<S, _>(bells.iter().map(Bell::answer)).await;

            let before = answers();
            let watch = Watch::start();
            for (number, &index) in order.iter().enumerate() {
                bells[index].ring();
                while answers() <= before + number {
                    set.turn().await;
                }
            }
            let cost = watch.per(IDLE);
            set.clear().await;
            assert_eq!(answers() - before, IDLE, "one answer to each ring");
            cost
        })
    })
}

/// Adds one that yields once, lets it run to its end, and then adds the next.
fn beside<S: Set>(idle_tasks: usize) -> Contender {
    const COME: usize = 1_000;
    Contender::new(S::NAME, move || {
        S::block_on(async {
            let mut set = settled::<S, _>((0..idle_tasks).map(|_| idle())).await;

            let before = ended();
            let watch = Watch::start();
            for number in 0..COME {
                set.add(task(1));
                while ended() <= before + number {
                    set.turn().await;
                }
            }
            let cost = watch.per(COME);
            set.clear().await;
            cost
        })
    })
}

/// A set of tasks that wait, each of which was polled.
pub(super) async fn settled<S, F>(tasks: impl ExactSizeIterator<Item = F>) -> S
where
    S: Set,
    F: Future<Output = Outcome> + Send + 'static,
{
    let polled = answers() + tasks.len();
    let mut set = S::new();
    for task in tasks {
        set.add(task);
    }
    while answers() < polled {
        set.turn().await;
    }
    set
}
