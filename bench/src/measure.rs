//! Runs the contenders of a row turn by turn, for many rounds.

use std::time::{Duration, Instant};

use crate::row::{Counts, Mark, Row};

/// How long, and how often.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// For a row. A round that has begun is ended.
    pub(crate) time: Duration,
    pub(crate) at_least: usize,
    /// When even that takes longer than this, no further round begins.
    pub(crate) too_long: Duration,
    pub(crate) at_most: usize,
}

/// A row that was run.
pub(crate) struct Measured {
    pub(crate) row: Row,
    /// The first is errgroup.
    pub(crate) figures: Vec<Figure>,
}

/// What a unit of work costs with one of the contenders.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) mark: Option<Mark>,
    pub(crate) rounds: usize,
    pub(crate) minimum: f64,
    pub(crate) median: f64,
    /// The one of both that counts.
    pub(crate) cost: f64,
}

impl Figure {
    pub(crate) fn new(
        name: &'static str,
        mark: Option<Mark>,
        counts: Counts,
        rounds: usize,
        [minimum, median]: [f64; 2],
    ) -> Self {
        let cost = match counts {
            Counts::Minimum => minimum,
            Counts::Median => median,
        };
        Self {
            name,
            mark,
            rounds,
            minimum,
            median,
            cost,
        }
    }
}

impl Measured {
    pub(crate) fn errgroup(&self) -> &Figure {
        &self.figures[0]
    }

    /// The cheapest of those who do the same.
    pub(crate) fn best(&self) -> Option<&Figure> {
        let peers = self.figures[1..].iter().filter(|peer| peer.mark.is_none());
        peers.min_by(|one, other| one.cost.total_cmp(&other.cost))
    }

    /// What errgroup costs, if that of the best peer is 1.
    pub(crate) fn ratio(&self) -> Option<f64> {
        Some(self.errgroup().cost / self.best()?.cost)
    }

    /// Is errgroup dearer than the best peer, by what the table shows of a ratio?
    pub(crate) fn is_lost(&self) -> bool {
        self.ratio().is_some_and(|ratio| ratio >= 1.005)
    }
}

pub(crate) fn run(row: Row, plan: Plan) -> Measured {
    let mut costs: Vec<Vec<f64>> = row.contenders.iter().map(|_| Vec::new()).collect();
    let start = Instant::now();
    let mut rounds = 0;
    let more = |rounds| {
        let time = match rounds < plan.at_least {
            true => plan.too_long,
            false => plan.time,
        };
        rounds < plan.at_most && start.elapsed() < time
    };
    while rounds == 0 || more(rounds) {
        // Whoever comes after a certain other one has its caches, so the order changes.
        let mut order: Vec<usize> = (0..costs.len()).collect();
        order.rotate_left(rounds % costs.len());
        if rounds / costs.len() % 2 == 1 {
            order.reverse();
        }
        for index in order {
            costs[index].push((row.contenders[index].run)());
        }
        rounds += 1;
    }
    let figures = row
        .contenders
        .iter()
        .zip(costs)
        .map(|(contender, mut costs)| {
            costs.sort_by(f64::total_cmp);
            let figures = [costs[0], costs[costs.len() / 2]];
            Figure::new(contender.name, contender.mark, row.counts, rounds, figures)
        });
    Measured {
        figures: figures.collect(),
        row,
    }
}

/// None if there is nothing.
pub(crate) fn geometric_mean(ratios: impl Iterator<Item = f64>) -> Option<f64> {
    let logarithms: Vec<f64> = ratios.map(f64::ln).collect();
    if logarithms.is_empty() {
        return None;
    }
    Some((logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp())
}
