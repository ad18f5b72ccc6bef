//! What is done: one module for each kind of work, with its rows.

use crate::row::Row;

mod chains;
mod contexts;
mod echo;
mod failures;
mod idle;
mod limits;
mod many;
mod maps;
mod memory;
mod oneshots;
mod semaphores;
mod small;
mod streams;
mod timers;
mod trees;

/// All rows, in the order of the table.
pub(crate) fn rows() -> Vec<Row> {
    let works = [
        small::rows,
        maps::small_rows,
        many::rows,
        limits::rows,
        maps::rows,
        streams::rows,
        idle::rows,
        oneshots::rows,
        failures::rows,
        trees::rows,
        chains::rows,
        contexts::rows,
        semaphores::rows,
        timers::rows,
        echo::rows,
        memory::rows,
    ];
    works.into_iter().flat_map(|rows| rows()).collect()
}

/// "ready", "1 yield", "4 yields".
fn yielding(yields: usize) -> String {
    match yields {
        0 => "ready".into(),
        1 => "1 yield".into(),
        _ => format!("{yields} yields"),
    }
}

/// 1,000,000 instead of 1000000.
pub(crate) fn thousands(number: usize) -> String {
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
