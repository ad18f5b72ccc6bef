//! What is said on the command line.

use std::path::PathBuf;
use std::process::exit;

use lexopt::prelude::*;

const HELP: &str = "\
Compares the speed of errgroup with that of its peers.

cargo run --release -- [FILTER] [OPTIONS]

FILTER      only rows whose name contains it; nothing is written without --out
--quick     one round of each row, without the largest: does it work at all?
--out DIR   where results are written, instead of bench/results
--no-go     without the program in bench/go, also where there is Go
--list      the names of the rows, and nothing else
";

pub(crate) struct Args {
    pub(crate) filter: Option<String>,
    pub(crate) quick: bool,
    /// Where to write. None if nothing is to be written.
    pub(crate) out: Option<PathBuf>,
    pub(crate) go: bool,
    pub(crate) list: bool,
}

pub(crate) fn parse() -> Result<Args, lexopt::Error> {
    let mut args = Args {
        filter: None,
        quick: false,
        out: None,
        go: true,
        list: false,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Value(filter) if args.filter.is_none() => args.filter = Some(filter.string()?),
            Long("quick") => args.quick = true,
            Long("out") => args.out = Some(parser.value()?.into()),
            Long("no-go") => args.go = false,
            Long("list") => args.list = true,
            Short('h') | Long("help") => {
                print!("{HELP}");
                exit(0);
            }
            _ => return Err(arg.unexpected()),
        }
    }
    if args.out.is_none() && args.filter.is_none() && !args.quick {
        args.out = Some([env!("CARGO_MANIFEST_DIR"), "results"].iter().collect());
    }
    Ok(args)
}
