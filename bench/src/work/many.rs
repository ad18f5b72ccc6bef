//! From 100 to 1,000,000 tasks in one group, from its making to its drop. A unit is a task, its
//! share of the memory included.

use super::{thousands, yielding};
use crate::row::{Contender, Mark, Room, Row};
use crate::sets::{JoinAll, Run, Tracked, contenders};
use crate::tasks::task;
use crate::watch::time_tasks;

const SIZES: [usize; 5] = [100, 1_000, 10_000, 100_000, 1_000_000];
/// Of all groups of a round together, at least.
const TASKS: usize = 10_000;

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (yields, curve) in [
        (0, "ready"),
        (1, "1 yield"),
        (4, "4 yields"),
        (16, "16 yields"),
    ] {
        for size in SIZES {
            let name = format!("one of {}, {}", thousands(size), yielding(yields));
            let mut contenders = contenders![one(size, yields): Errgroup, Unordered, Buffered,
                ConcurrencyGroup, Unicycle, Joined, Executor];
            contenders.push(one::<JoinAll>(size, yields));
            contenders.push(one::<Tracked>(size, yields).mark(Mark::NoOutcomes));
            rows.push(Row::new(Room::Many, name, "task", contenders).curve(curve, size));
        }
    }
    rows
}

fn one<R: Run>(size: usize, yields: usize) -> Contender {
    Contender::new(R::NAME, move || {
        let groups = (TASKS / size).max(1);
        time_tasks(groups * size, groups * size, || {
            R::block_on(async {
                for _ in 0..groups {
                    R::run((0..size).map(|_| task(yields))).await.unwrap();
                }
            });
        })
    })
}
