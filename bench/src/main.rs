//! Compares the speed of errgroup with that of its peers: see README.md.

use std::error::Error;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::measure::{Measured, Plan};
use crate::row::Row;

mod args;
mod go;
mod heap;
mod machine;
mod measure;
mod report;
mod row;
mod sets;
mod tasks;
mod watch;
mod work;

const WHOLE: Plan = Plan {
    time: Duration::from_millis(800),
    at_least: 3,
    too_long: Duration::from_secs(15),
    at_most: 201,
};

/// When so much time has gone, the machine is busy elsewhere, and the rows that are left get less.
const LATE: Duration = Duration::from_secs(150);

const HURRIED: Plan = Plan {
    time: Duration::from_millis(300),
    at_least: 2,
    too_long: Duration::from_secs(5),
    at_most: 201,
};

const QUICK: Plan = Plan {
    time: Duration::ZERO,
    at_least: 1,
    too_long: Duration::ZERO,
    at_most: 1,
};

/// What a quick run leaves out.
const LARGE: usize = 100_000;

fn main() -> Result<(), Box<dyn Error>> {
    let args = args::parse()?;
    let rows: Vec<Row> = work::rows()
        .into_iter()
        .filter(|row| {
            args.filter
                .as_ref()
                .is_none_or(|filter| row.name.contains(filter))
        })
        .filter(|row| !args.quick || row.curve.is_none_or(|(_, tasks)| tasks < LARGE))
        .collect();
    if args.list {
        rows.iter().for_each(|row| println!("{}", row.name));
        return Ok(());
    }
    if rows.is_empty() {
        return Err("no row has that in its name: try --list".into());
    }

    let start = Instant::now();
    let steps = rows.len() + if args.go { go::RUNS.len() } else { 0 };
    let bar = progress_bar(steps);
    let plan = || match start.elapsed() > LATE {
        _ if args.quick => QUICK,
        true => HURRIED,
        false => WHOLE,
    };
    let mut measured: Vec<Measured> = rows
        .into_iter()
        .map(|row| {
            bar.set_message(row.name.clone());
            bar.tick();
            let measured = measure::run(row, plan());
            bar.inc(1);
            measured
        })
        .collect();
    let go = match args.go {
        true => go::add(&mut measured, args.quick, &bar),
        false => Err("Go: left out.".into()),
    };
    bar.finish_and_clear();
    let go = go.unwrap_or_else(|why| {
        eprintln!("{why}");
        why
    });

    print!("{}", report::table(&measured));
    if let Some(out) = &args.out {
        report::write(out, &measured, &go, start.elapsed())?;
        eprintln!("\nWritten to {}.", out.display());
    }
    Ok(())
}

fn progress_bar(steps: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len} {msg:48}");
    ProgressBar::new(steps as u64).with_style(style.expect("it is well-formed"))
}
