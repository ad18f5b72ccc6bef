//! Twenty slow jobs, five at a time, with a deadline for all of them; and the tenth fails.
//!
//! ```sh
//! cargo run --example bounded_map                               # the error ends it, after 4.5 s
//! cargo run --example bounded_map -- --no-error                 # the deadline does, after 6 s
//! cargo run --example bounded_map -- --no-error --deadline 20   # all results, after 12 s
//! cargo run --example bounded_map -- --scale 0.1                # ten times as fast
//! ```
//!
//! `try_map` gives the results in order or the first error, and `run` the deadline if that comes
//! first. Either way, what was running has been dropped when they return.

mod progress;

use std::time::{Duration, Instant};

use errgroup::{CancelContext, try_map};
use progress::{Progress, Running};
use smol::Timer;

const ITEMS: u32 = 20;
const AT_ONCE: usize = 5;
/// How many seconds a job takes, and when in the course of that it fails.
const JOB: f64 = 3.0;
const FAILURE: f64 = 1.5;
const FAILING: u32 = 10;

fn main() -> Result<(), lexopt::Error> {
    use lexopt::prelude::*;

    let (mut error, mut deadline, mut scale) = (true, 6.0, 1.0);
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("no-error") => error = false,
            Long("deadline") => deadline = args.value()?.parse_with(positive)?,
            Long("scale") => scale = args.value()?.parse_with(positive)?,
            _ => return Err(arg.unexpected()),
        }
    }
    let seconds = |seconds: f64| {
        Duration::try_from_secs_f64(seconds * scale).map_err(|error| error.to_string())
    };
    let jobs = Jobs {
        time: seconds(JOB)?,
        failure: seconds(FAILURE)?,
        error,
        progress: Progress::new(ITEMS),
    };
    Ok(smol::block_on(run(&jobs, seconds(deadline)?))?)
}

fn positive(text: &str) -> Result<f64, &'static str> {
    match text.parse() {
        Ok(number) if number > 0.0 => Ok(number),
        _ => Err("a number above 0 is needed"),
    }
}

async fn run(jobs: &Jobs, deadline: Duration) -> Result<(), String> {
    let start = Instant::now();
    let context = CancelContext::new().with_deadline(Timer::after(deadline));
    let work = try_map(1..=ITEMS, AT_ONCE, |item| jobs.run(item));
    let outcome = context.run(work).await;

    let (elapsed, progress) = (start.elapsed().as_secs_f64(), &jobs.progress);
    progress.clear();
    println!(
        "after {elapsed:.1} s: {} done, {} not finished, {} still running, {} never started",
        progress.done.get(),
        progress.started.get() - progress.done.get(),
        progress.running.get(),
        progress.never_started(),
    );
    match outcome {
        Ok(Ok(results)) => {
            for (item, result) in (1..).zip(results) {
                println!("item {item}: {result}");
            }
            Ok(())
        }
        Ok(Err(error)) => Err(format!("ended by an error: {error}")),
        Err(reason) => Err(format!("ended by the context: {reason}")),
    }
}

struct Jobs {
    time: Duration,
    failure: Duration,
    error: bool,
    progress: Progress,
}

impl Jobs {
    /// Squares slowly.
    async fn run(&self, item: u32) -> Result<u32, String> {
        let running = Running::new(&self.progress);
        if self.error && item == FAILING {
            Timer::after(self.failure).await;
            return Err(format!("item {item} is bad"));
        }
        Timer::after(self.time).await;
        running.done();
        Ok(item * item)
    }
}
