//! How long work takes.

use std::hint::black_box;
use std::time::Instant;

use cpu_time::ThreadTime;

use crate::tasks;

/// Measures work that is not one call.
pub(crate) struct Watch(Clock);

enum Clock {
    Thread(ThreadTime),
    Wall(Instant),
}

impl Watch {
    /// Counts the processor's time of this thread, so that other programs do not matter.
    pub(crate) fn start() -> Self {
        Self(Clock::Thread(ThreadTime::now()))
    }

    /// Counts all time, for work of several threads, and for waiting.
    pub(crate) fn start_wall() -> Self {
        Self(Clock::Wall(Instant::now()))
    }

    /// The nanoseconds since the start, for each of so many units.
    pub(crate) fn per(self, units: usize) -> f64 {
        let time = match self.0 {
            Clock::Thread(start) => start.elapsed(),
            Clock::Wall(start) => start.elapsed(),
        };
        time.as_nanos() as f64 / units as f64
    }
}

/// How many nanoseconds of the processor each of so many units of work took.
pub(crate) fn time<R>(units: usize, work: impl FnOnce() -> R) -> f64 {
    let watch = Watch::start();
    black_box(work());
    watch.per(units)
}

/// The same of work that has to end so many tasks.
pub(crate) fn time_tasks<R>(units: usize, tasks: usize, work: impl FnOnce() -> R) -> f64 {
    let before = tasks::ended();
    let cost = time(units, work);
    assert_eq!(tasks::ended() - before, tasks, "tasks that have ended");
    cost
}
