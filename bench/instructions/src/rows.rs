//! The rows of the table: what is counted, how often, who does the same, and what errgroup aims at.

use crate::{groups, maps, waiting};

/// Who does the work.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Column {
    Errgroup,
    /// `FuturesUnordered` of boxed futures, or its `buffer_unordered` or `buffered`.
    Fu,
    /// The same of futures-buffered.
    Fb,
    /// `try_join_all` of boxed futures.
    Ja,
    /// `FuturesUnordered` with a `CancellationToken` beside.
    FuToken,
    Moro,
    Tokio,
    TokioUtil,
}

/// Does so many units of work, in the way that a parameter says.
type Work = fn(units: usize, parameter: usize);

pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// One for each figure.
    pub(crate) parameters: &'static [usize],
    /// What errgroup aims at, for each figure. Nothing if the row is only looked at.
    pub(crate) goals: &'static [u64],
    /// The second figure and those after it are what comes on top of the first.
    pub(crate) on_top: bool,
    /// The work is done once for so many units and once for so many more: the difference counts.
    /// The smaller one has in it what happens once, as memory that is asked for; if it is 0, that
    /// is counted, too.
    pub(crate) units: [usize; 2],
    pub(crate) columns: &'static [(Column, Work)],
}

use Column::*;

const fn row(
    name: &'static str,
    parameters: &'static [usize],
    goals: &'static [u64],
    units: [usize; 2],
    columns: &'static [(Column, Work)],
) -> Row {
    Row {
        name,
        parameters,
        goals,
        on_top: false,
        units,
        columns,
    }
}

macro_rules! whole_group {
    ($m:literal) => {
        &[
            (Errgroup, groups::whole::errgroup::<$m>),
            (Fu, groups::whole::fu::<$m>),
            (Fb, groups::whole::fb::<$m>),
            (Ja, groups::whole::ja::<$m>),
        ]
    };
}

macro_rules! peers {
    ($($path:ident)::+) => {
        &[
            (Errgroup, $($path)::+::errgroup),
            (Fu, $($path)::+::fu),
            (Fb, $($path)::+::fb),
        ]
    };
}

macro_rules! idle {
    ($m:literal) => {
        &[
            (Errgroup, groups::idle::errgroup::<$m>),
            (Fu, groups::idle::fu::<$m>),
            (Fb, groups::idle::fb::<$m>),
        ]
    };
}

pub(crate) static ROWS: &[Row] = &[
    row(
        "a group of 1, ready / 1 yield",
        &[0, 1],
        &[1_050, 1_400],
        [400, 800],
        whole_group!(1),
    ),
    row(
        "a group of 3, ready / 1 yield",
        &[0, 1],
        &[1_800, 2_600],
        [400, 800],
        whole_group!(3),
    ),
    row(
        "a group of 10, ready / 1 yield",
        &[0, 1],
        &[5_000, 7_700],
        [200, 400],
        whole_group!(10),
    ),
    row(
        "a group of 50, ready / 1 yield",
        &[0, 1],
        &[25_000, 39_000],
        [50, 100],
        whole_group!(50),
    ),
    row(
        "a scope of 3, 1 yield",
        &[1],
        &[3_200],
        [400, 800],
        &[
            (Errgroup, groups::scope::errgroup),
            (Fu, groups::whole::fu::<3>),
            (Moro, groups::scope::moro),
        ],
    ),
    row(
        "a graceful group of 3, 1 yield",
        &[1],
        &[3_600],
        [400, 800],
        &[
            (Errgroup, groups::graceful::errgroup),
            (FuToken, groups::graceful::fu),
        ],
    ),
    row(
        "`try_map` of 3, ready / 1 yield",
        &[0, 1],
        &[1_600, 2_300],
        [400, 800],
        &[
            (Errgroup, maps::whole::errgroup::<3>),
            (Fu, maps::whole::fu::<3>),
            (Fb, maps::whole::fb::<3>),
        ],
    ),
    row(
        "`try_map` of 50, 1 yield",
        &[1],
        &[30_000],
        [50, 100],
        &[
            (Errgroup, maps::whole::errgroup::<50>),
            (Fu, maps::whole::fu::<50>),
            (Fb, maps::whole::fb::<50>),
        ],
    ),
    row(
        "one of 10,000, ready / 1 / 4 yields",
        &[0, 1, 4],
        &[500, 700, 950],
        [0, 10_000],
        peers!(groups::many),
    ),
    row(
        "queued at a limit of 64, futures made before, ready / 1 / 4 yields",
        &[0, 1, 4],
        &[480, 590, 820],
        [10_000, 20_000],
        peers!(groups::queued),
    ),
    row(
        "fed by `ready`, limit 64, ready / 1 / 4 yields",
        &[0, 1, 4],
        &[330, 450, 690],
        [10_000, 20_000],
        peers!(groups::fed),
    ),
    row(
        "an item of `try_map`, limit 64, ready / 1 / 4 yields",
        &[0, 1, 4],
        &[130, 270, 500],
        [10_000, 20_000],
        peers!(maps::many),
    ),
    row(
        "an item of `try_for_each`, limit 64, ready / 1 / 4 yields",
        &[0, 1, 4],
        &[100, 210, 400],
        [10_000, 20_000],
        peers!(maps::each),
    ),
    Row {
        on_top: true,
        ..row(
            "an idle task (one of 10,000): start / drop / wake and end",
            &[groups::idle::START, groups::idle::DROP, groups::idle::WAKE],
            &[776, 340, 900],
            [0, 10_000],
            idle!(10_000),
        )
    },
    Row {
        on_top: true,
        ..row(
            "an idle task (one of 50): start / drop / wake and end",
            &[groups::idle::START, groups::idle::DROP, groups::idle::WAKE],
            &[],
            [1_000, 2_000],
            idle!(50),
        )
    },
    row(
        "one that comes and goes beside 0 / 1,000 idle ones, 1 yield",
        &[0, 1_000],
        &[650, 700],
        [1_000, 2_000],
        peers!(groups::churn),
    ),
    row(
        "one wake in a group of 3 idle tasks",
        &[0],
        &[],
        [1_000, 2_000],
        peers!(groups::wake),
    ),
    row(
        "a waiter of a context, made, cancelled, polled",
        &[0],
        &[600],
        [1_000, 2_000],
        &[
            (Errgroup, waiting::context::errgroup),
            (TokioUtil, waiting::context::tokio_util),
        ],
    ),
    row(
        "acquire, 64 tasks for 8 permits",
        &[0],
        &[700],
        [6_400, 12_800],
        &[
            (Errgroup, waiting::semaphore::errgroup),
            (Tokio, waiting::semaphore::tokio),
        ],
    ),
];
