//! What one task costs, by how many there are.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use super::Plot;
use super::style::{self, Area, Axis, Drawn, Shape, Side, shape, text};
use crate::measure::Measured;
use crate::row::Measure;
use crate::work::thousands;

const WIDTH: i32 = 500;
const HEIGHT: i32 = 400;
const LEFT: i32 = 76;
const TOP: i32 = 44;
const LEGEND: i32 = 84;

/// Who is drawn, and how. The order is that of the legend, and the last lies on top.
const LOOKS: [(&str, Shape, RGBColor); 9] = [
    ("Go, GOMAXPROCS=1", Shape::Plus, style::LIGHT_GREY),
    ("Go", Shape::Cross, style::GREY),
    ("JoinSet", Shape::Square, style::ORANGE),
    ("async-executor", Shape::Cross, style::BLACK),
    ("futures-concurrency", Shape::Plus, style::PURPLE),
    ("unicycle", Shape::Ring, style::GREEN),
    ("FuturesUnordered", Shape::Diamond, style::BLUE),
    ("futures-buffered", Shape::Triangle, style::SKY),
    ("errgroup", Shape::Disc, style::VERMILLION),
];

pub(super) fn draw(out: &Path, rows: &[Measured]) -> Result<Vec<Plot>, Box<dyn Error>> {
    let mut plots = Vec::new();
    for (file, title, curves) in [
        (
            "tasks.svg",
            "One task of very many in one group",
            &["ready", "1 yield", "4 yields", "16 yields"] as &[&str],
        ),
        (
            "mutex.svg",
            "One task of very many that wait for a mutex",
            &["mutex"],
        ),
    ] {
        let curves: Vec<(&str, Vec<&Measured>)> = curves
            .iter()
            .map(|&name| (name, curve(rows, name)))
            .filter(|(_, rows)| rows.len() > 1)
            .collect();
        if curves.is_empty() {
            continue;
        }
        draw_panels(&out.join(file), title, &curves)?;
        plots.push(Plot {
            file: file.into(),
            title: title.into(),
        });
    }
    Ok(plots)
}

fn curve<'a>(rows: &'a [Measured], name: &str) -> Vec<&'a Measured> {
    let rows = rows.iter();
    rows.filter(|row| row.row.curve.is_some_and(|(curve, _)| curve == name))
        .collect()
}

/// Two beside each other, with the same axes, so that they can be compared.
fn draw_panels(path: &Path, title: &str, curves: &[(&str, Vec<&Measured>)]) -> Drawn {
    let columns = curves.len().min(2);
    let lines = curves.len().div_ceil(columns);
    let width = WIDTH * 2;
    let height = LEGEND + HEIGHT * lines as i32;
    let area = SVGBackend::new(path, (width as u32, height as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    text(&area, (16, 20), Side::Right, 20, title)?;
    let all: Vec<&Measured> = curves
        .iter()
        .flat_map(|(_, rows)| rows.iter().copied())
        .collect();
    legend(&area, &all)?;
    for (index, (name, rows)) in curves.iter().enumerate() {
        let panel_width = width / columns as i32;
        let left = panel_width * (index % columns) as i32;
        let top = LEGEND + HEIGHT * (index / columns) as i32;
        let panel = Panel {
            area: &area,
            x: Axis::of(sizes(&all), [left + LEFT, left + panel_width - 40]),
            y: Axis::of(costs(&all), [top + HEIGHT - 60, top + TOP]),
            left,
            top,
            width: panel_width,
        };
        let title = if curves.len() > 1 { name } else { "" };
        panel.draw(title, rows)?;
    }
    area.present()?;
    Ok(())
}

fn sizes(rows: &[&Measured]) -> impl Iterator<Item = f64> {
    rows.iter().filter_map(|row| Some(row.row.curve?.1 as f64))
}

fn costs(rows: &[&Measured]) -> impl Iterator<Item = f64> {
    let drawn = |name| LOOKS.iter().any(|(look, ..)| *look == name);
    rows.iter()
        .flat_map(|row| row.figures.iter())
        .filter(move |figure| drawn(figure.name))
        .map(|figure| figure.cost)
}

fn legend(area: &Area<'_>, rows: &[&Measured]) -> Drawn {
    let there = |name| {
        rows.iter()
            .any(|row| row.figures.iter().any(|it| it.name == name))
    };
    let looks = LOOKS.iter().rev().filter(|(name, ..)| there(*name));
    for (index, &(name, mark, colour)) in looks.enumerate() {
        let x = 24 + 195 * (index as i32 % 5);
        let y = 50 + 20 * (index as i32 / 5);
        let line = vec![(x - 12, y), (x + 12, y)];
        area.draw(&PathElement::new(line, colour.stroke_width(2)))?;
        shape(area, (x, y), mark, 5, colour)?;
        text(area, (x + 20, y), Side::Right, 14, name)?;
    }
    Ok(())
}

struct Panel<'a, 'b> {
    area: &'a Area<'b>,
    x: Axis,
    y: Axis,
    left: i32,
    top: i32,
    width: i32,
}

impl Panel<'_, '_> {
    fn draw(&self, title: &str, rows: &[&Measured]) -> Drawn {
        self.grid(title)?;
        for (name, mark, colour) in LOOKS {
            let points: Vec<(i32, i32)> = rows
                .iter()
                .filter_map(|row| {
                    let figure = row.figures.iter().find(|figure| figure.name == name)?;
                    let (_, tasks) = row.row.curve?;
                    Some((self.x.pixel(tasks as f64), self.y.pixel(figure.cost)))
                })
                .collect();
            self.area
                .draw(&PathElement::new(points.clone(), colour.stroke_width(2)))?;
            for point in points {
                shape(self.area, point, mark, 5, colour)?;
            }
        }
        Ok(())
    }

    fn grid(&self, title: &str) -> Drawn {
        let (left, right) = (self.left + LEFT, self.left + self.width - 40);
        let (top, bottom) = (self.top + TOP, self.top + HEIGHT - 60);
        let middle = (left + right) / 2;
        text(self.area, (middle, self.top + 22), Side::Middle, 16, title)?;
        for value in self.y.small_steps() {
            let y = self.y.pixel(value);
            let line = vec![(left, y), (right, y)];
            self.area
                .draw(&PathElement::new(line, RGBColor(240, 240, 240)))?;
        }
        for value in self.y.steps() {
            let y = self.y.pixel(value);
            self.area
                .draw(&PathElement::new(vec![(left, y), (right, y)], style::GREY))?;
            let label = style::step(value, Measure::Nanoseconds);
            text(self.area, (left - 8, y), Side::Left, 14, &label)?;
        }
        for value in self.x.steps() {
            let x = self.x.pixel(value);
            self.area
                .draw(&PathElement::new(vec![(x, top), (x, bottom)], style::LIGHT))?;
            let label = thousands(value as usize);
            text(self.area, (x, bottom + 14), Side::Middle, 14, &label)?;
        }
        let label = "number of tasks (both axes are logarithmic)";
        text(self.area, (middle, bottom + 36), Side::Middle, 14, label)?;
        text(
            self.area,
            (self.left + 16, self.top + 22),
            Side::Right,
            14,
            "time per task",
        )
    }
}
