//! A failure among idle siblings: from the wake of the task that fails until its error is there
//! and all siblings were dropped. A unit is a sibling.

use super::idle::settled;
use super::thousands;
use crate::row::{Contender, Room, Row};
use crate::sets::{Set, contenders};
use crate::tasks::{Bell, answers, idle};
use crate::watch::Watch;

pub(crate) fn rows() -> Vec<Row> {
    let row = |siblings| {
        let name = format!("a failure among {} idle siblings", thousands(siblings));
        let contenders = contenders![failing(siblings): Errgroup, Unordered, Buffered,
            ConcurrencyGroup, Unicycle, Joined];
        Row::new(Room::Failures, name, "sibling", contenders).curve("failure", siblings)
    };
    vec![row(10_000), row(1_000_000)]
}

fn failing<S: Set>(siblings: usize) -> Contender {
    Contender::new(S::NAME, move || {
        S::block_on(async {
            let bell = Bell::default();
            let mut set = settled::<S, _>((0..siblings).map(|_| idle())).await;
            let polled = answers();
            set.add(bell.fail());
            while answers() == polled {
                set.turn().await;
            }

            let watch = Watch::start();
            bell.ring();
            assert_eq!(set.finish().await, Err(()));
            watch.per(siblings)
        })
    })
}
