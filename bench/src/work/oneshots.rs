//! 10,000 tasks that each wait for a oneshot, which other threads complete while they are run. A
//! unit is a task, from the word to the threads to the end of all tasks.

use std::sync::Barrier;
use std::thread;

use futures::channel::oneshot;

use crate::row::{Contender, Room, Row};
use crate::sets::{Set, contenders};
use crate::tasks::{end, ended};
use crate::watch::Watch;

const TASKS: usize = 10_000;

pub(crate) fn rows() -> Vec<Row> {
    let row = |name, threads| {
        let contenders = contenders![completed(threads): Errgroup, Unordered, Buffered,
            ConcurrencyGroup, Unicycle, Joined, Executor];
        Row::new(Room::Oneshots, name, "task", contenders).median()
    };
    vec![
        row("10,000 oneshots completed from another thread", 1),
        row("10,000 oneshots completed from four threads", 4),
    ]
}

fn completed<S: Set>(threads: usize) -> Contender {
    Contender::new(S::NAME, move || {
        let (mut senders, receivers): (Vec<_>, Vec<_>) =
            (0..TASKS).map(|_| oneshot::channel::<()>()).unzip();
        let barrier = Barrier::new(threads + 1);
        let before = ended();
        let cost = thread::scope(|scope| {
            for _ in 0..threads {
                let part = senders.split_off(senders.len() - TASKS / threads);
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    for sender in part {
                        sender.send(()).unwrap();
                    }
                });
            }
            S::block_on(async {
                let mut set = S::new();
                for receiver in receivers {
                    set.add(async {
                        receiver.await.map_err(drop)?;
                        end()
                    });
                }
                // Polled, so that they wait, as well as one can tell.
                for _ in 0..TASKS / 32 {
                    set.turn().await;
                }
                let watch = Watch::start_wall();
                barrier.wait();
                set.finish().await.unwrap();
                watch.per(TASKS)
            })
        });
        assert_eq!(ended() - before, TASKS, "tasks that have ended");
        cost
    })
}
