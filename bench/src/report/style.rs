//! What the plots have in common. The colours are those of Okabe and Ito, which colour-blind people
//! can tell apart; shapes differ as well.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::row::Measure;

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Drawn = Result<(), Box<dyn Error>>;

pub(super) const BLACK: RGBColor = RGBColor(0, 0, 0);
pub(super) const GREY: RGBColor = RGBColor(120, 120, 120);
pub(super) const LIGHT_GREY: RGBColor = RGBColor(170, 170, 170);
pub(super) const LIGHT: RGBColor = RGBColor(222, 222, 222);
pub(super) const VERMILLION: RGBColor = RGBColor(213, 94, 0);
pub(super) const BLUE: RGBColor = RGBColor(0, 114, 178);
pub(super) const SKY: RGBColor = RGBColor(86, 180, 233);
pub(super) const GREEN: RGBColor = RGBColor(0, 158, 115);
pub(super) const ORANGE: RGBColor = RGBColor(230, 159, 0);
pub(super) const PURPLE: RGBColor = RGBColor(204, 121, 167);

/// Where the text stands as seen from its point: left of it, right of it, or around it.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Left,
    Right,
    Middle,
}

/// Its middle is at the height of the point.
pub(super) fn text(area: &Area<'_>, at: (i32, i32), side: Side, size: i32, what: &str) -> Drawn {
    coloured_text(area, at, side, size, BLACK, what)
}

pub(super) fn coloured_text(
    area: &Area<'_>,
    at: (i32, i32),
    side: Side,
    size: i32,
    colour: RGBColor,
    what: &str,
) -> Drawn {
    let side = match side {
        Side::Left => HPos::Right,
        Side::Right => HPos::Left,
        Side::Middle => HPos::Center,
    };
    let style = ("sans-serif", size)
        .into_text_style(area)
        .color(&colour)
        .pos(Pos::new(side, VPos::Center));
    // Names of functions are in code quotes elsewhere.
    area.draw(&Text::new(what.replace('`', ""), at, style))?;
    Ok(())
}

#[derive(Clone, Copy)]
pub(super) enum Shape {
    Disc,
    Ring,
    Diamond,
    Triangle,
    Square,
    Cross,
    Plus,
}

pub(super) fn shape(
    area: &Area<'_>,
    (x, y): (i32, i32),
    shape: Shape,
    radius: i32,
    colour: RGBColor,
) -> Drawn {
    let r = radius;
    let filled = |points: Vec<(i32, i32)>| Polygon::new(points, colour.filled());
    let line = |from, to| PathElement::new(vec![from, to], colour.stroke_width(2));
    match shape {
        Shape::Disc => area.draw(&Circle::new((x, y), r, colour.filled()))?,
        Shape::Ring => area.draw(&Circle::new((x, y), r, colour.stroke_width(2)))?,
        Shape::Diamond => {
            let r = r + 1;
            area.draw(&filled(vec![
                (x, y - r),
                (x + r, y),
                (x, y + r),
                (x - r, y),
            ]))?;
        }
        Shape::Triangle => {
            area.draw(&filled(vec![(x, y - r), (x + r, y + r), (x - r, y + r)]))?;
        }
        Shape::Square => {
            let corners = vec![
                (x - r, y - r),
                (x + r, y - r),
                (x + r, y + r),
                (x - r, y + r),
            ];
            area.draw(&filled(corners))?;
        }
        Shape::Cross => {
            area.draw(&line((x - r, y - r), (x + r, y + r)))?;
            area.draw(&line((x - r, y + r), (x + r, y - r)))?;
        }
        Shape::Plus => {
            area.draw(&line((x - r, y), (x + r, y)))?;
            area.draw(&line((x, y - r), (x, y + r)))?;
        }
    }
    Ok(())
}

/// A logarithmic axis, from one power of ten to another, over these pixels.
pub(super) struct Axis {
    powers: [i32; 2],
    pixels: [i32; 2],
}

impl Axis {
    /// Shows all of these values.
    pub(super) fn of(values: impl Iterator<Item = f64>, pixels: [i32; 2]) -> Self {
        let (low, high) = values
            .filter(|value| *value > 0.0)
            .map(f64::log10)
            .fold((f64::MAX, f64::MIN), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        let low = low.floor() as i32;
        Self {
            powers: [low, (high.ceil() as i32).max(low + 1)],
            pixels,
        }
    }

    pub(super) fn pixel(&self, value: f64) -> i32 {
        let [low, high] = self.powers.map(f64::from);
        let [from, to] = self.pixels.map(f64::from);
        // What is nothing stands at the edge.
        let part = ((value.log10() - low) / (high - low)).max(0.0);
        (from + part * (to - from)).round() as i32
    }

    /// The powers of ten.
    pub(super) fn steps(&self) -> impl Iterator<Item = f64> + use<> {
        let [low, high] = self.powers;
        (low..=high).map(|power| 10_f64.powi(power))
    }

    /// Two to nine between each two of them.
    pub(super) fn small_steps(&self) -> impl Iterator<Item = f64> + use<> {
        let [low, high] = self.powers;
        (low..high).flat_map(|power| (2..10).map(move |n| f64::from(n) * 10_f64.powi(power)))
    }
}

/// What stands at a step of an axis.
pub(super) fn step(value: f64, measure: Measure) -> String {
    let (value, unit) = match measure {
        Measure::Nanoseconds if value < 1e3 => (value, " ns"),
        Measure::Nanoseconds if value < 1e6 => (value / 1e3, " µs"),
        Measure::Nanoseconds => (value / 1e6, " ms"),
        Measure::Bytes if value < 1e3 => (value, " B"),
        Measure::Bytes => (value / 1e3, " kB"),
        Measure::Allocations => (value, ""),
    };
    // A power of ten has no more digits than its sign says.
    let digits = (-value.log10().floor()).max(0.0) as usize;
    format!("{value:.digits$}{unit}")
}
