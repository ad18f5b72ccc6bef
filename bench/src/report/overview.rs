//! The plot that says most: the ratio of each row, by kind of work.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use super::Plot;
use super::style::{self, Drawn, Shape, Side, coloured_text, shape, text};
use crate::measure::{Measured, geometric_mean};
use crate::row::Room;

const WIDTH: i32 = 900;
const LEFT: i32 = 250;
const RIGHT: i32 = 780;
const TOP: i32 = 84;
const LINE: i32 = 24;
// GitHub shows it at 850 pixels and less, where these are still legible.
const TEXT: i32 = 17;
const SMALL: i32 = 16;
const LARGE: i32 = 18;
/// The axis goes from one of it to so many. What is beyond stands at the edge.
const WIDEST: f64 = 8.0;

pub(super) fn draw(out: &Path, rows: &[Measured]) -> Result<Vec<Plot>, Box<dyn Error>> {
    let kinds: Vec<(Room, Vec<f64>)> = Room::all()
        .map(|room| {
            let rows = rows.iter().filter(|row| row.row.room == room);
            (room, rows.filter_map(Measured::ratio).collect())
        })
        .filter(|(_, ratios): &(_, Vec<f64>)| !ratios.is_empty())
        .collect();
    let Some(all) = geometric_mean(kinds.iter().flat_map(|(_, ratios)| ratios.iter().copied()))
    else {
        return Ok(Vec::new());
    };
    let plot = Plot {
        file: "overview.svg".into(),
        title: "The cost of errgroup, if that of the best peer is 1".into(),
    };
    draw_kinds(&out.join(&plot.file), &plot.title, &kinds, all)?;
    Ok(vec![plot])
}

fn pixel(ratio: f64) -> i32 {
    let part = (ratio.ln() / WIDEST.ln()).clamp(-1.0, 1.0) / 2.0 + 0.5;
    LEFT + (f64::from(RIGHT - LEFT) * part).round() as i32
}

fn draw_kinds(path: &Path, title: &str, kinds: &[(Room, Vec<f64>)], all: f64) -> Drawn {
    let bottom = TOP + LINE * (kinds.len() as i32 + 1);
    let area = SVGBackend::new(path, (WIDTH as u32, (bottom + 56) as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    text(&area, (16, 20), Side::Right, 22, title)?;
    shape(&area, (LEFT, 50), Shape::Ring, 4, style::VERMILLION)?;
    text(&area, (LEFT + 12, 50), Side::Right, TEXT, "a row")?;
    shape(&area, (LEFT + 80, 50), Shape::Diamond, 7, style::VERMILLION)?;
    text(
        &area,
        (LEFT + 94, 50),
        Side::Right,
        TEXT,
        "geometric mean of these rows",
    )?;
    coloured_text(
        &area,
        (pixel(1.0) - 8, TOP - 12),
        Side::Left,
        SMALL,
        style::BLUE,
        "cheaper",
    )?;
    coloured_text(
        &area,
        (pixel(1.0) + 8, TOP - 12),
        Side::Right,
        SMALL,
        style::BLUE,
        "dearer",
    )?;
    text(
        &area,
        (RIGHT + 28, TOP - 12),
        Side::Right,
        SMALL,
        "mean, rows",
    )?;

    for ratio in [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0] {
        let line = vec![(pixel(ratio), TOP), (pixel(ratio), bottom)];
        match ratio == 1.0 {
            true => area.draw(&PathElement::new(line, style::BLUE.stroke_width(2)))?,
            false => area.draw(&PathElement::new(line, style::LIGHT))?,
        }
        text(
            &area,
            (pixel(ratio), bottom + 12),
            Side::Middle,
            TEXT,
            &ratio.to_string(),
        )?;
    }
    let label = "cost of errgroup / cost of the best peer that does the same (logarithmic)";
    text(
        &area,
        ((LEFT + RIGHT) / 2, bottom + 36),
        Side::Middle,
        TEXT,
        label,
    )?;

    let mut y = TOP + LINE / 2;
    for (room, ratios) in kinds {
        let mean = geometric_mean(ratios.iter().copied()).expect("there are some");
        text(&area, (LEFT - 18, y), Side::Left, TEXT, room.title())?;
        area.draw(&PathElement::new(vec![(LEFT, y), (RIGHT, y)], style::LIGHT))?;
        for &ratio in ratios {
            shape(&area, (pixel(ratio), y), Shape::Ring, 4, style::VERMILLION)?;
        }
        shape(
            &area,
            (pixel(mean), y),
            Shape::Diamond,
            7,
            style::VERMILLION,
        )?;
        let what = format!("{mean:.2},  {}", ratios.len());
        text(&area, (RIGHT + 28, y), Side::Right, TEXT, &what)?;
        y += LINE;
    }
    let count: usize = kinds.iter().map(|(_, ratios)| ratios.len()).sum();
    coloured_text(
        &area,
        (LEFT - 18, y),
        Side::Left,
        LARGE,
        style::BLUE,
        "All of it",
    )?;
    shape(&area, (pixel(all), y), Shape::Diamond, 8, style::BLACK)?;
    let what = format!("{all:.2},  {count}");
    coloured_text(
        &area,
        (RIGHT + 28, y),
        Side::Right,
        LARGE,
        style::BLUE,
        &what,
    )?;
    area.present()?;
    Ok(())
}
