//! What comes out: a table, a CSV, plots, and a page with all of them.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::measure::Measured;

mod costs;
mod curves;
mod overview;
mod page;
mod style;
mod table;

pub(crate) use table::table;

/// Writes all of it into this folder.
pub(crate) fn write(
    out: &Path,
    rows: &[Measured],
    go: &str,
    took: Duration,
) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(out)?;
    table::csv(&out.join("results.csv"), rows)?;
    let mut plots = overview::draw(out, rows)?;
    plots.extend(curves::draw(out, rows)?);
    plots.extend(costs::draw(out, rows)?);
    fs::write(out.join("README.md"), page::page(rows, &plots, go, took))?;
    Ok(())
}

/// A plot that was drawn.
struct Plot {
    file: String,
    title: String,
}
