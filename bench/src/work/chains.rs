//! Tasks that all wait for one mutex, and get it one after the other: futures-rs#2526, where the
//! cost of a task grew with their number, because tokio's budget makes each of them wake itself.
//! A unit is a task.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::thousands;
use crate::row::{Contender, Room, Row};
use crate::sets::{Set, block_on_tokio, contenders};
use crate::tasks::end;
use crate::watch::time_tasks;

pub(crate) fn rows() -> Vec<Row> {
    let row = |tasks| {
        let name = format!("a chain of {} tasks through a mutex", thousands(tasks));
        let contenders =
            contenders![chained(tasks): Errgroup, Unordered, Buffered, Unicycle, Joined];
        Row::new(Room::Chains, name, "task", contenders).curve("mutex", tasks)
    };
    [1_000, 10_000, 100_000].map(row).into()
}

fn chained<S: Set>(tasks: usize) -> Contender {
    Contender::new(S::NAME, move || {
        let rounds = (10_000 / tasks).max(1);
        time_tasks(rounds * tasks, rounds * tasks, || {
            // tokio for all of them: its budget is the point.
            block_on_tokio(async {
                for _ in 0..rounds {
                    let mutex = Arc::new(Mutex::new(()));
                    let guard = mutex.clone().lock_owned().await;
                    let mut set = S::new();
                    for _ in 0..tasks {
                        let mutex = mutex.clone();
                        set.add(async move {
                            drop(mutex.lock().await);
                            end()
                        });
                    }
                    set.turn().await;
                    drop(guard);
                    set.finish().await.unwrap();
                }
            });
        })
    })
}
