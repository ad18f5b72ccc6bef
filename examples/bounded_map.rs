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

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

use errgroup::{CancelContext, try_map};
use indicatif::{ProgressBar, ProgressStyle};
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
        counts: Counts::new(),
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

    jobs.counts.bar.finish_and_clear();
    let (elapsed, counts) = (start.elapsed().as_secs_f64(), &jobs.counts);
    println!(
        "after {elapsed:.1} s: {} done, {} not finished, {} still running, {} never started",
        counts.done.get(),
        counts.started.get() - counts.done.get(),
        counts.running.get(),
        ITEMS - counts.started.get(),
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
    counts: Counts,
}

impl Jobs {
    /// Squares slowly.
    async fn run(&self, item: u32) -> Result<u32, String> {
        let running = Running::new(&self.counts);
        if self.error && item == FAILING {
            Timer::after(self.failure).await;
            return Err(format!("item {item} is bad"));
        }
        Timer::after(self.time).await;
        running.done();
        Ok(item * item)
    }
}

/// What has become of the items.
struct Counts {
    started: Cell<u32>,
    running: Cell<u32>,
    done: Cell<u32>,
    /// Draws nothing if stderr is no terminal.
    bar: ProgressBar,
}

impl Counts {
    fn new() -> Self {
        let style = ProgressStyle::with_template("[{bar:40}] {msg}").expect("it is well-formed");
        Counts {
            started: Cell::new(0),
            running: Cell::new(0),
            done: Cell::new(0),
            bar: ProgressBar::new(ITEMS.into()).with_style(style),
        }
    }

    fn show(&self) {
        self.bar.set_position(self.done.get().into());
        self.bar.set_message(self.to_string());
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (done, running) = (self.done.get(), self.running.get());
        let queued = ITEMS - self.started.get();
        write!(f, "{done} done, {running} running, {queued} queued")
    }
}

/// A job that runs, until it is dropped.
struct Running<'a>(&'a Counts);

impl<'a> Running<'a> {
    fn new(counts: &'a Counts) -> Self {
        counts.started.set(counts.started.get() + 1);
        counts.running.set(counts.running.get() + 1);
        counts.show();
        Running(counts)
    }

    fn done(self) {
        self.0.done.set(self.0.done.get() + 1);
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
        self.0.show();
    }
}
