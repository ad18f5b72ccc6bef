//! The figures, as Markdown and as CSV.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;

use crate::measure::{Figure, Measured, geometric_mean};
use crate::row::{Counts, Mark, Measure, Room};

/// A table for each room, the mean over all of them, and what the marks mean.
pub(crate) fn table(rows: &[Measured]) -> String {
    let mut text = String::new();
    for room in Room::all() {
        let rows: Vec<&Measured> = rows.iter().filter(|row| row.row.room == room).collect();
        if !rows.is_empty() {
            write_room(&mut text, room, &rows);
        }
    }
    let ratios: Vec<f64> = rows.iter().filter_map(Measured::ratio).collect();
    if let Some(mean) = geometric_mean(ratios.iter().copied()) {
        let count = ratios.len();
        text += &format!("**Geometric mean of the ratios of {count} rows: {mean:.2}.**\n\n");
    }
    text += &lost(rows);
    let shown = |mark| {
        rows.iter()
            .any(|row| row.figures.iter().any(|it| it.mark == Some(mark)))
    };
    for mark in Mark::ALL.into_iter().filter(|&mark| shown(mark)) {
        text += &format!("{} {}.  \n", mark.sign(), mark.footnote());
    }
    text
}

/// Where a peer is cheaper, the worst first.
fn lost(rows: &[Measured]) -> String {
    let mut lost: Vec<&Measured> = rows.iter().filter(|row| row.is_lost()).collect();
    lost.sort_by(|one, other| {
        other
            .ratio()
            .partial_cmp(&one.ratio())
            .expect("they are numbers")
    });
    if lost.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "errgroup is dearer than the best peer in {} of them:\n\n",
        lost.len()
    );
    for row in lost {
        if let (Some(ratio), Some(best)) = (row.ratio(), row.best()) {
            text += &format!("- {ratio:.2}: {}, against {}\n", row.row.name, best.name);
        }
    }
    text + "\n"
}

fn write_room(text: &mut String, room: Room, rows: &[&Measured]) {
    let mut write_all = || {
        writeln!(text, "### {}\n", room.title())?;
        writeln!(text, "| | per | errgroup | best peer | ratio | others |")?;
        writeln!(text, "|---|---|--:|---|--:|---|")?;
        for measured in rows {
            let row = &measured.row;
            let best = measured.best();
            let others = measured.figures[1..]
                .iter()
                .filter(|it| best.is_none_or(|best| !std::ptr::eq(*it, best)));
            let others: Vec<String> = others.map(|it| named(it, row.measure)).collect();
            let median = match row.counts {
                Counts::Minimum => "",
                Counts::Median => ", median",
            };
            writeln!(
                text,
                "| {} | {}{median} | {} | {} | {} | {} |",
                row.name,
                row.unit,
                amount(measured.errgroup().cost, row.measure),
                best.map_or("–".into(), |best| named(best, row.measure)),
                match measured.ratio() {
                    Some(ratio) if measured.is_lost() => format!("**{ratio:.2}**"),
                    Some(ratio) => format!("{ratio:.2}"),
                    None => "–".into(),
                },
                others.join(", "),
            )?;
        }
        let ratios = rows.iter().filter_map(|row| row.ratio());
        if let Some(mean) = geometric_mean(ratios) {
            writeln!(text, "| *geometric mean* | | | | *{mean:.2}* | |")?;
        }
        writeln!(text)
    };
    write_all().expect("a string takes everything");
}

fn named(figure: &Figure, measure: Measure) -> String {
    let sign = figure.mark.map_or("", Mark::sign);
    format!("{}{sign} {}", figure.name, amount(figure.cost, measure))
}

/// With three digits, and a unit.
fn amount(cost: f64, measure: Measure) -> String {
    let (number, unit) = match measure {
        Measure::Allocations => return format!("{cost:.2}"),
        Measure::Bytes => return format!("{cost:.0} B"),
        Measure::Nanoseconds if cost < 1e3 => (cost, "ns"),
        Measure::Nanoseconds if cost < 1e6 => (cost / 1e3, "µs"),
        Measure::Nanoseconds => (cost / 1e6, "ms"),
    };
    match number {
        0.0..10.0 => format!("{number:.2} {unit}"),
        10.0..100.0 => format!("{number:.1} {unit}"),
        _ => format!("{number:.0} {unit}"),
    }
}

/// A line for each figure.
pub(super) fn csv(path: &Path, rows: &[Measured]) -> Result<(), Box<dyn Error>> {
    let mut csv = csv::Writer::from_path(path)?;
    csv.write_record([
        "kind",
        "row",
        "measure",
        "unit",
        "contender",
        "mark",
        "rounds",
        "minimum",
        "median",
        "counts",
        "ratio to best peer",
    ])?;
    for measured in rows {
        let row = &measured.row;
        for figure in &measured.figures {
            let ratio = measured.best().map(|best| figure.cost / best.cost);
            csv.write_record([
                row.room.title(),
                &row.name,
                match row.measure {
                    Measure::Nanoseconds => "nanoseconds",
                    Measure::Allocations => "allocations",
                    Measure::Bytes => "bytes",
                },
                row.unit,
                figure.name,
                figure.mark.map_or("", Mark::footnote),
                &figure.rounds.to_string(),
                &format!("{:.3}", figure.minimum),
                &format!("{:.3}", figure.median),
                match row.counts {
                    Counts::Minimum => "minimum",
                    Counts::Median => "median",
                },
                &ratio.map_or(String::new(), |ratio| format!("{ratio:.3}")),
            ])?;
        }
    }
    csv.flush()?;
    Ok(())
}
