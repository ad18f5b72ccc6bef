//! Counts the instructions of errgroup and of its peers, under valgrind: see the README beside.

mod groups;
mod guard;
mod maps;
mod measure;
mod rows;
mod table;
mod tasks;
mod waiting;

use std::error::Error;
use std::process::ExitCode;

use guard::Committed;
use rows::{Column, ROWS};

const USAGE: &str = "\
cargo run --release -p errgroup-instructions [-- [--check] [--guard] [FILTER]]

Without a FILTER every row is counted, and the table is written to RESULTS.md.
FILTER   count only the rows whose name contains it, and write nothing
--check  say which goals are missed, and fail if one is
--guard  count errgroup alone, write nothing, and fail if a figure has grown by more than 3 %
         over RESULTS.md; to renew that, count without any of these";

enum Command {
    Count {
        filter: String,
        check: bool,
        guard: bool,
    },
    Work {
        row: usize,
        column: usize,
        figure: usize,
        units: usize,
    },
    Help,
}

fn main() -> ExitCode {
    let outcome = match command() {
        Ok(Command::Count {
            filter,
            check,
            guard,
        }) => match guard {
            true => compare(&filter),
            false => count(&filter, check),
        },
        Ok(Command::Work {
            row,
            column,
            figure,
            units,
        }) => {
            let row = &ROWS[row];
            (row.columns[column].1)(units, row.parameters[figure]);
            Ok(true)
        }
        Ok(Command::Help) => {
            println!("{USAGE}");
            Ok(true)
        }
        Err(error) => Err(format!("{error}\n\n{USAGE}").into()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Result<Command, lexopt::Error> {
    use lexopt::prelude::*;

    let (mut filter, mut check, mut guard) = (String::new(), false, false);
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("check") => check = true,
            Long("guard") => guard = true,
            Long("help") | Short('h') => return Ok(Command::Help),
            // What runs under valgrind.
            Long("work") => {
                return Ok(Command::Work {
                    row: args.value()?.parse()?,
                    column: args.value()?.parse()?,
                    figure: args.value()?.parse()?,
                    units: args.value()?.parse()?,
                });
            }
            Value(value) if filter.is_empty() => filter = value.string()?,
            _ => return Err(arg.unexpected()),
        }
    }
    Ok(Command::Count {
        filter,
        check,
        guard,
    })
}

/// The table that is committed.
const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md");

fn rows_like(filter: &str) -> Result<Vec<usize>, String> {
    let rows: Vec<usize> = (0..ROWS.len())
        .filter(|&row| ROWS[row].name.contains(filter))
        .collect();
    if rows.is_empty() {
        let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        return Err(format!(
            "no row is named like {filter:?}:\n{}",
            names.join("\n")
        ));
    }
    Ok(rows)
}

/// Counts errgroup alone, and gives whether nothing has grown since the table was written.
fn compare(filter: &str) -> Result<bool, Box<dyn Error>> {
    let committed = Committed::read(RESULTS)?;
    let versions = measure::versions()?;
    if !committed.is_of(&versions) {
        println!("skipped: RESULTS.md was not counted with {versions}");
        return Ok(true);
    }
    let measured = measure::rows(&rows_like(filter)?, |who| who == Column::Errgroup)?;
    let grown = committed.grown(&measured);
    for row in &grown {
        println!("grown: {row}");
    }
    println!("{} figures have grown since RESULTS.md", grown.len());
    Ok(grown.is_empty())
}

/// Counts, prints the table, and gives whether nothing that is checked was missed.
fn count(filter: &str, check: bool) -> Result<bool, Box<dyn Error>> {
    let measured = measure::rows(&rows_like(filter)?, |_| true)?;
    let table = table::markdown(&measured);
    print!("{table}");
    if filter.is_empty() {
        std::fs::write(RESULTS, table::file(&table, &measure::versions()?))?;
    }
    let missed = table::missed(&measured);
    if check {
        println!();
        for miss in &missed {
            println!("missed: {miss}");
        }
        println!("{} goals are missed", missed.len());
    }
    Ok(!check || missed.is_empty())
}
