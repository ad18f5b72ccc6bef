//! `results/README.md`.

use std::fmt::Write;
use std::time::Duration;

use super::{Plot, table};
use crate::machine;
use crate::measure::Measured;

pub(super) fn page(rows: &[Measured], plots: &[Plot], go: &str, took: Duration) -> String {
    let mut text = String::from(
        "# What errgroup and its peers cost\n\n\
         Written by `cargo run --release` in `bench/`; what is compared and how is in its \
         [README](../README.md). All figures are in [results.csv](results.csv).\n\n\
         A ratio is the cost of errgroup, if that of the cheapest peer that does the same work is \
         1: less is better. Who has a ¹ to ⁶ does other work, is shown for comparison, and is not \
         taken for a peer; the end of the page says why. Of the echo server, 5 µs for a request are \
         200,000 requests a second.\n\n",
    );
    text += &machine::description(go);
    writeln!(text, "- all of it took {} s\n", took.as_secs()).expect("a string takes everything");
    for Plot { file, title } in plots {
        writeln!(text, "![{title}]({file})\n").expect("a string takes everything");
    }
    text += &table(rows);
    text
}
