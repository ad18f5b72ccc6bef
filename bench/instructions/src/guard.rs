//! Holds the counts against the table that is committed.

use crate::rows::Column;
use crate::table::{Measured, thousands};

/// By how much a figure may grow unseen: the layout of the program moves all of them a little.
const PERCENT: u64 = 3;

/// The table that is committed.
pub(crate) struct Committed(String);

impl Committed {
    pub(crate) fn read(path: &str) -> std::io::Result<Self> {
        std::fs::read_to_string(path).map(Committed)
    }

    /// Whether it was counted with the same compiler, libraries and allocator. Others count otherwise.
    pub(crate) fn is_of(&self, versions: &str) -> bool {
        self.0.contains(&format!("with {versions}."))
    }

    fn figures(&self, row: &str) -> Option<Vec<u64>> {
        let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect();
        let mut rows = self.0.lines().map(cells);
        let row = rows.find(|cells: &Vec<String>| cells.get(1).is_some_and(|name| name == row))?;
        let figures = row.get(2)?.split(" / ");
        figures
            .map(|figure| figure.replace(',', "").parse().ok())
            .collect()
    }

    /// The figures of errgroup that have grown, in words, and the rows that are not in the table.
    pub(crate) fn grown(&self, rows: &[Measured]) -> Vec<String> {
        let mut grown = Vec::new();
        for measured in rows {
            let Some(cell) = measured.of(Column::Errgroup) else {
                continue;
            };
            let name = measured.row.name;
            let before = self.figures(name).unwrap_or_default();
            if before.len() != cell.figures.len() {
                grown.push(format!("{name}: not in the table"));
            }
            for (index, (&now, &before)) in cell.figures.iter().zip(&before).enumerate() {
                if now * 100 > before * (100 + PERCENT) {
                    grown.push(format!(
                        "{name}, figure {}: {} → {}",
                        index + 1,
                        thousands(before),
                        thousands(now)
                    ));
                }
            }
        }
        grown
    }
}
