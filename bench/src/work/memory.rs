//! What tasks allocate: idle ones, and such that come and go. A unit is a task, with its share of
//! what the set needs.

use errgroup::ErrGroup;

use super::idle::settled;
use crate::heap::{Heap, Used};
use crate::row::{Contender, Measure, Room, Row};
use crate::sets::{Errgroup, Outcomes, Set, Who, contenders};
use crate::tasks::{idle, task};

pub(crate) fn rows() -> Vec<Row> {
    let allocations: fn(Used) -> f64 = |used| used.calls;
    let idle = |name, figure: fn(Used) -> f64| {
        let contenders = contenders![waiting(figure): Errgroup, Unordered, Buffered,
            ConcurrencyGroup, Unicycle, Joined, Executor];
        Row::new(Room::Memory, name, "task", contenders)
    };
    let steady = |name, figure: fn(Used) -> f64| {
        let mut contenders = vec![passing_group(figure)];
        contenders.extend(contenders![passing(figure): Unordered, Buffered,
            ConcurrencyGroup, Unicycle, Joined]);
        Row::new(Room::Memory, name, "task", contenders)
    };
    vec![
        idle("allocations of 100,000 idle tasks", allocations).measure(Measure::Allocations),
        idle("bytes of 100,000 idle tasks", |used| used.live).measure(Measure::Bytes),
        steady("allocations of tasks that come and go", allocations).measure(Measure::Allocations),
        steady("bytes asked for by tasks that come and go", |used| {
            used.asked
        })
        .measure(Measure::Bytes),
    ]
}

/// What they hold while they wait.
fn waiting<S: Set>(figure: fn(Used) -> f64) -> Contender {
    const TASKS: usize = 100_000;
    Contender::new(S::NAME, move || {
        S::block_on(async {
            let before = Heap::now();
            let set = settled::<S, _>((0..TASKS).map(|_| idle())).await;
            let used = Heap::now().since(before, TASKS);
            set.clear().await;
            figure(used)
        })
    })
}

const LIMIT: usize = 64;
/// They fill the set, and nothing is counted.
const FIRST: usize = 1_000;
const TASKS: usize = 10_000;

/// 64 at a time, of which each yields once; when one has ended the next is added.
fn passing<S: Outcomes>(figure: fn(Used) -> f64) -> Contender {
    Contender::new(S::NAME, move || {
        S::block_on(async {
            let mut set = S::new();
            let mut before = Heap::now();
            for index in 0..FIRST + TASKS {
                if index == FIRST {
                    before = Heap::now();
                }
                if index >= LIMIT {
                    set.next().await.unwrap().unwrap();
                }
                set.add(task(1));
            }
            let used = Heap::now().since(before, TASKS);
            set.clear().await;
            figure(used)
        })
    })
}

/// The same with a limit.
fn passing_group(figure: fn(Used) -> f64) -> Contender {
    Contender::new(Errgroup::NAME, move || {
        Errgroup::block_on(async {
            let mut group = ErrGroup::<(), ()>::new().limit(LIMIT);
            let mut before = Heap::now();
            for index in 0..FIRST + TASKS {
                if index == FIRST {
                    before = Heap::now();
                }
                assert!(group.ready().await);
                group.spawn(task(1));
            }
            figure(Heap::now().since(before, TASKS))
        })
    })
}
