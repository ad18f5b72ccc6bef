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
mod work;

const WHOLE: Plan = Plan {
    time: Duration::from_millis(1_000),
    at_least: 3,
    at_most: 201,
};

const QUICK: Plan = Plan {
    time: Duration::ZERO,
    at_least: 1,
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
    let mut measured = measure_all(rows, if args.quick { QUICK } else { WHOLE });
    let go = match args.go {
        true => go::add(&mut measured, args.quick),
        false => Err("Go: left out.".into()),
    };
    let went = match &go {
        Ok(version) => version.clone(),
        Err(why) => {
            eprintln!("{why}");
            why.clone()
        }
    };

    print!("{}", report::table(&measured));
    if let Some(out) = &args.out {
        report::write(out, &measured, &went, start.elapsed())?;
        eprintln!("\nWritten to {}.", out.display());
    }
    Ok(())
}

fn measure_all(rows: Vec<Row>, plan: Plan) -> Vec<Measured> {
    let style = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len} {msg:48}");
    let bar = ProgressBar::new(rows.len() as u64).with_style(style.expect("it is well-formed"));
    let mut measured = Vec::new();
    for row in rows {
        bar.set_message(row.name.clone());
        bar.tick();
        measured.push(measure::run(row, plan));
        bar.inc(1);
    }
    bar.finish_and_clear();
    measured
}
