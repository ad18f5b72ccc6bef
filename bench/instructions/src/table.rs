//! The table, as Markdown.

use std::fmt::Write;

use crate::rows::{Column, Row};

pub(crate) struct Measured {
    pub(crate) row: &'static Row,
    pub(crate) cells: Vec<Cell>,
}

/// The instructions that one of the columns needed.
pub(crate) struct Cell {
    pub(crate) who: Column,
    pub(crate) figures: Vec<u64>,
}

impl Measured {
    pub(crate) fn of(&self, who: Column) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.who == who)
    }
}

pub(crate) fn markdown(rows: &[Measured]) -> String {
    let mut table = String::from(
        "| | errgroup | FU | FB | JA | others | goal |\n|---|---|---|---|---|---|---|\n",
    );
    for measured in rows {
        let cell = |who| {
            measured
                .of(who)
                .map_or("–".into(), |cell| join(&cell.figures))
        };
        let others = [
            (Column::FuToken, "FU + CancellationToken"),
            (Column::Moro, "moro"),
            (Column::Tokio, "tokio"),
            (Column::TokioUtil, "tokio-util"),
        ];
        let others: Vec<String> = others
            .into_iter()
            .filter_map(|(who, name)| Some(format!("{name} {}", join(&measured.of(who)?.figures))))
            .collect();
        let others = if others.is_empty() {
            "–".into()
        } else {
            others.join(", ")
        };
        let goal = match measured.row.goals {
            [] => "–".into(),
            goals => format!("≤ {}", join(goals)),
        };
        writeln!(
            table,
            "| {} | {} | {} | {} | {} | {others} | {goal} |",
            measured.row.name,
            cell(Column::Errgroup),
            cell(Column::Fu),
            cell(Column::Fb),
            cell(Column::Ja),
        )
        .expect("a string takes everything");
    }
    table
}

/// The file that is kept.
pub(crate) fn file(table: &str, versions: &str) -> String {
    format!(
        "# Instructions for one unit of work\n\n\
         Written by `cargo run --release -p errgroup-instructions`, with {versions}.\n\
         What is counted, and what the columns are: [README.md](README.md).\n\n\
         {table}"
    )
}

/// The goals that errgroup misses, in words.
pub(crate) fn missed(rows: &[Measured]) -> Vec<String> {
    let mut missed = Vec::new();
    for measured in rows {
        let Some(cell) = measured.of(Column::Errgroup) else {
            continue;
        };
        for (index, (&figure, &goal)) in cell.figures.iter().zip(measured.row.goals).enumerate() {
            if figure > goal {
                let which = if measured.row.goals.len() > 1 {
                    format!(", figure {}", index + 1)
                } else {
                    String::new()
                };
                missed.push(format!(
                    "{}{which}: {} > {}",
                    measured.row.name,
                    thousands(figure),
                    thousands(goal)
                ));
            }
        }
    }
    missed
}

fn join(figures: &[u64]) -> String {
    let figures: Vec<String> = figures.iter().map(|&figure| thousands(figure)).collect();
    figures.join(" / ")
}

pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
