//! A row of the table: one kind of work, and all who do it.

/// Kinds of work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Room {
    Groups,
    Scopes,
    Graceful,
    SmallMaps,
    Many,
    Limited,
    Maps,
    Streams,
    Idle,
    Oneshots,
    Failures,
    Nested,
    Chains,
    Contexts,
    Semaphores,
    Timers,
    Echo,
    Memory,
}

/// Rooms that are drawn on one sheet.
pub(crate) const SHEETS: [(&str, &str, &[Room]); 6] = [
    (
        "few",
        "A few tasks",
        &[Room::Groups, Room::Scopes, Room::Graceful, Room::SmallMaps],
    ),
    ("many", "Very many tasks in one group", &[Room::Many]),
    (
        "limit",
        "At most 64 at a time",
        &[Room::Limited, Room::Maps, Room::Streams],
    ),
    (
        "wakes",
        "Wakes, failures, trees and chains",
        &[
            Room::Idle,
            Room::Oneshots,
            Room::Failures,
            Room::Nested,
            Room::Chains,
        ],
    ),
    (
        "waiting",
        "Contexts, semaphores, timers and sockets",
        &[Room::Contexts, Room::Semaphores, Room::Timers, Room::Echo],
    ),
    ("memory", "Memory", &[Room::Memory]),
];

impl Room {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        SHEETS
            .iter()
            .flat_map(|(_, _, rooms)| rooms.iter().copied())
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Groups => "Groups of 1 to 50",
            Self::Scopes => "Scopes of 1 to 50",
            Self::Graceful => "Graceful groups of 1 to 50",
            Self::SmallMaps => "Maps of 1 to 50",
            Self::Many => "100 to 1,000,000 in one group",
            Self::Limited => "Groups with a limit of 64",
            Self::Maps => "Maps with a limit of 64",
            Self::Streams => "Streams with a limit of 64",
            Self::Idle => "One task among idle ones",
            Self::Oneshots => "Oneshots from other threads",
            Self::Failures => "Failures among idle tasks",
            Self::Nested => "Trees and nests",
            Self::Chains => "Chains through a mutex",
            Self::Contexts => "Contexts",
            Self::Semaphores => "Semaphores",
            Self::Timers => "Timers of tokio",
            Self::Echo => "A server of tokio",
            Self::Memory => "Memory",
        }
    }
}

/// What is measured. Less is better in all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Measure {
    Nanoseconds,
    Allocations,
    Bytes,
}

/// Which of the many rounds counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Counts {
    /// On one thread nothing makes work shorter than it is, and much makes it longer. The
    /// processor's time counts.
    Minimum,
    /// With several threads or a clock, the shortest round was lucky. All time counts.
    Median,
}

/// Why somebody is shown, but is not taken for a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mark {
    PollsAll,
    Unfair,
    NoOutcomes,
    NoOrder,
    NoBody,
    OtherLanguage,
}

impl Mark {
    pub(crate) const ALL: [Self; 6] = [
        Self::PollsAll,
        Self::Unfair,
        Self::NoOutcomes,
        Self::NoOrder,
        Self::NoBody,
        Self::OtherLanguage,
    ];

    /// What stands behind the name.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::PollsAll => "¹",
            Self::Unfair => "²",
            Self::NoOutcomes => "³",
            Self::NoOrder => "⁴",
            Self::NoBody => "⁵",
            Self::OtherLanguage => "⁶",
        }
    }

    pub(crate) fn footnote(self) -> &'static str {
        match self {
            Self::PollsAll => {
                "polls every task at each wake, and so knows no wakes: cheap for a few tasks that \
                 do nothing, dear for others"
            }
            Self::Unfair => {
                "whoever comes at the right moment overtakes those who wait; no weights"
            }
            Self::NoOutcomes => "drops the tasks' outcomes: no error is seen, and ends nothing",
            Self::NoOrder => "gives the values in any order",
            Self::NoBody => {
                "no scope: all tasks are there before the first poll, and neither a body nor a \
                 task can spawn"
            }
            Self::OtherLanguage => {
                "another scheduler with threads of its own, preemption and a collector; its tasks \
                 borrow nothing, and are not dropped but asked to return"
            }
        }
    }
}

/// One who does the work of a row.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) mark: Option<Mark>,
    /// Does the work once, and says what a unit of it cost.
    pub(crate) run: Box<dyn Fn() -> f64>,
}

impl Contender {
    pub(crate) fn new(name: &'static str, run: impl Fn() -> f64 + 'static) -> Self {
        Self {
            name,
            mark: None,
            run: Box::new(run),
        }
    }

    pub(crate) fn mark(self, mark: Mark) -> Self {
        Self {
            mark: Some(mark),
            ..self
        }
    }
}

pub(crate) struct Row {
    pub(crate) room: Room,
    pub(crate) name: String,
    /// What is counted: the cost is that of one.
    pub(crate) unit: &'static str,
    pub(crate) measure: Measure,
    pub(crate) counts: Counts,
    /// The first is errgroup.
    pub(crate) contenders: Vec<Contender>,
    /// The curve to which it belongs, and how many tasks there are.
    pub(crate) curve: Option<(&'static str, usize)>,
}

impl Row {
    pub(crate) fn new(
        room: Room,
        name: impl Into<String>,
        unit: &'static str,
        contenders: Vec<Contender>,
    ) -> Self {
        Self {
            room,
            name: name.into(),
            unit,
            measure: Measure::Nanoseconds,
            counts: Counts::Minimum,
            contenders,
            curve: None,
        }
    }

    pub(crate) fn median(self) -> Self {
        Self {
            counts: Counts::Median,
            ..self
        }
    }

    pub(crate) fn measure(self, measure: Measure) -> Self {
        Self { measure, ..self }
    }

    pub(crate) fn curve(self, name: &'static str, tasks: usize) -> Self {
        Self {
            curve: Some((name, tasks)),
            ..self
        }
    }
}
