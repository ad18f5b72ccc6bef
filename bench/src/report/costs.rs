//! What each row costs, with all of its contenders: a plot for each sheet of rows.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use super::Plot;
use super::style::{self, Area, Axis, Drawn, Shape, Side, coloured_text, shape, text};
use crate::measure::{Figure, Measured};
use crate::row::{Measure, SHEETS};

const WIDTH: i32 = 1_100;
const LEFT: i32 = 360;
const RIGHT: i32 = 810;
const TOP: i32 = 78;
const BOTTOM: i32 = 50;
const LINE: i32 = 20;

pub(super) fn draw(out: &Path, rows: &[Measured]) -> Result<Vec<Plot>, Box<dyn Error>> {
    let mut plots = Vec::new();
    for (name, title, rooms) in SHEETS {
        for (measure, suffix, what) in [
            (Measure::Nanoseconds, "", "time"),
            (Measure::Allocations, "-allocations", "allocations"),
            (Measure::Bytes, "-bytes", "bytes"),
        ] {
            let here =
                |row: &&Measured| rooms.contains(&row.row.room) && row.row.measure == measure;
            let rows: Vec<&Measured> = rows.iter().filter(here).collect();
            if rows.is_empty() {
                continue;
            }
            let file = format!("costs-{name}{suffix}.svg");
            let title = format!("{title}: {what}");
            draw_sheet(&out.join(&file), &title, measure, &rows)?;
            plots.push(Plot { file, title });
        }
    }
    Ok(plots)
}

fn draw_sheet(path: &Path, title: &str, measure: Measure, rows: &[&Measured]) -> Drawn {
    let headings = 1 + rows
        .windows(2)
        .filter(|two| two[0].row.room != two[1].row.room)
        .count();
    let bottom = TOP + LINE * (rows.len() + headings) as i32;
    let area = SVGBackend::new(path, (WIDTH as u32, (bottom + BOTTOM) as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let costs = rows
        .iter()
        .flat_map(|row| row.figures.iter().map(|figure| figure.cost));
    let axis = Axis::of(costs, [LEFT, RIGHT]);

    text(&area, (16, 20), Side::Right, 20, title)?;
    legend(&area)?;
    for value in axis.small_steps() {
        let x = axis.pixel(value);
        let line = vec![(x, TOP), (x, bottom)];
        area.draw(&PathElement::new(line, RGBColor(242, 242, 242)))?;
    }
    for value in axis.steps() {
        let x = axis.pixel(value);
        area.draw(&PathElement::new(vec![(x, TOP), (x, bottom)], style::GREY))?;
        text(
            &area,
            (x, bottom + 12),
            Side::Middle,
            14,
            &style::step(value, measure),
        )?;
    }
    let label = match measure {
        Measure::Nanoseconds => "time for one unit of work (logarithmic; left is better)",
        Measure::Allocations => "allocations for a task (logarithmic; left is better)",
        Measure::Bytes => "bytes for a task (logarithmic; left is better)",
    };
    text(
        &area,
        ((LEFT + RIGHT) / 2, bottom + 34),
        Side::Middle,
        14,
        label,
    )?;
    text(
        &area,
        (RIGHT + 24, TOP - 10),
        Side::Right,
        13,
        "ratio : best peer",
    )?;

    let mut y = TOP + LINE / 2;
    let mut room = None;
    for row in rows {
        if room != Some(row.row.room) {
            room = Some(row.row.room);
            coloured_text(
                &area,
                (16, y),
                Side::Right,
                14,
                style::BLUE,
                row.row.room.title(),
            )?;
            y += LINE;
        }
        draw_row(&area, &axis, y, row)?;
        y += LINE;
    }
    area.present()?;
    Ok(())
}

fn legend(area: &Area<'_>) -> Drawn {
    let y = 48;
    for (x, what, mark) in [
        (LEFT, "errgroup", Look::Errgroup),
        (LEFT + 100, "the best peer", Look::Best),
        (LEFT + 220, "other peers", Look::Peer),
        (
            LEFT + 330,
            "does other work (has a mark in the table)",
            Look::Marked,
        ),
    ] {
        mark.draw(area, (x, y))?;
        text(area, (x + 12, y), Side::Right, 14, what)?;
    }
    Ok(())
}

fn draw_row(area: &Area<'_>, axis: &Axis, y: i32, row: &Measured) -> Drawn {
    let label = format!("{}, per {}", row.row.name, row.row.unit);
    text(area, (LEFT - 14, y), Side::Left, 13, &label)?;
    area.draw(&PathElement::new(vec![(LEFT, y), (RIGHT, y)], style::LIGHT))?;

    let best = row.best();
    let look = |index: usize, figure: &Figure| match () {
        () if index == 0 => Look::Errgroup,
        () if figure.mark.is_some() => Look::Marked,
        () if best.is_some_and(|best| std::ptr::eq(best, figure)) => Look::Best,
        () => Look::Peer,
    };
    // What matters most comes last, and lies on top.
    for layer in [Look::Marked, Look::Peer, Look::Best, Look::Errgroup] {
        for (index, figure) in row.figures.iter().enumerate() {
            if look(index, figure) == layer {
                layer.draw(area, (axis.pixel(figure.cost), y))?;
            }
        }
    }
    if let (Some(best), Some(ratio)) = (best, row.ratio()) {
        let what = format!("{ratio:.2} : {}", best.name);
        text(area, (RIGHT + 24, y), Side::Right, 13, &what)?;
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Look {
    Errgroup,
    Best,
    Peer,
    Marked,
}

impl Look {
    fn draw(self, area: &Area<'_>, at: (i32, i32)) -> Drawn {
        match self {
            Self::Errgroup => shape(area, at, Shape::Disc, 5, style::VERMILLION),
            // Its corners are seen also if both cost the same.
            Self::Best => shape(area, at, Shape::Diamond, 7, style::BLUE),
            Self::Peer => shape(area, at, Shape::Ring, 4, style::SKY),
            Self::Marked => shape(area, at, Shape::Cross, 3, style::GREY),
        }
    }
}
