//! Remembers what the tasks of a group did, and draws it: a layer for tracing.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// What the tasks of a group did, and when.
#[derive(Clone)]
pub(crate) struct Timeline {
    start: Instant,
    /// By index.
    rows: Arc<Mutex<BTreeMap<u64, Row>>>,
}

/// What one task did.
#[derive(Default)]
struct Row {
    name: String,
    spawned: Duration,
    started: Option<Duration>,
    /// From when to when.
    polls: Vec<(Duration, Duration)>,
    ended: Duration,
    how: Option<char>,
}

impl Timeline {
    pub(crate) fn new() -> Self {
        Timeline {
            start: Instant::now(),
            rows: Arc::default(),
        }
    }

    /// Notes something of the task that has the span `id`, and the time.
    fn note<S>(&self, id: &Id, context: &Context<'_, S>, note: impl FnOnce(&mut Row, Duration))
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let now = self.start.elapsed();
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions().get::<Fields>() {
            note(
                self.rows.lock().unwrap().entry(fields.index).or_default(),
                now,
            );
        }
    }
}

impl<S> Layer<S> for Timeline
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().name() == "errgroup.task" {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            let name = fields.name.clone();
            let span = context.span(id).expect("it is new");
            span.extensions_mut().insert(fields);
            self.note(id, &context, |row, _| row.name = name);
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        self.note(id, &context, |row, now| row.polls.push((now, now)));
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        self.note(id, &context, |row, now| {
            if let Some((_, end)) = row.polls.last_mut() {
                *end = now;
            }
        });
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let fields = Fields::of_event(event);
        if fields.message == "spawned" {
            let spawned = self.start.elapsed();
            let mut rows = self.rows.lock().unwrap();
            rows.entry(fields.index).or_default().spawned = spawned;
        } else if let Some(span) = context.event_span(event) {
            self.note(&span.id(), &context, |row, now| match &*fields.message {
                "started" => row.started = Some(now),
                "finished" => row.end(now, 'o'),
                "failed" => row.end(now, 'x'),
                "dropped" => row.end(now, '-'),
                _ => {}
            });
        }
    }
}

impl Row {
    fn end(&mut self, at: Duration, how: char) {
        self.ended = at;
        self.how = Some(how);
    }

    /// What it did in a while.
    fn cell(&self, from: Duration, to: Duration) -> char {
        let started = self.started.unwrap_or(self.ended);
        match self.how {
            Some(how) if (from..to).contains(&self.ended) => how,
            _ if self.ended < from || to <= self.spawned => ' ',
            _ if self.polls.iter().any(|poll| poll.0 < to && from <= poll.1) => '#',
            _ if from < started => ':',
            _ => '.',
        }
    }
}

/// A line for each task.
impl Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const COLUMNS: u32 = 60;

        let rows = self.rows.lock().unwrap();
        let end = rows.values().map(|row| row.ended).max().unwrap_or_default();
        // A bit more than needed, so that the end is in the last column.
        let column = end / COLUMNS + Duration::from_nanos(1);
        for (index, row) in &*rows {
            let cells = (0..COLUMNS).map(|at| row.cell(column * at, column * (at + 1)));
            let cells: String = cells.collect();
            writeln!(f, "{index:2} {:10} {}", row.name, cells.trim_end())?;
        }
        writeln!(f, "one column is {:.1} ms", column.as_secs_f64() * 1e3)?;
        write!(
            f,
            ": queued  # polled  . waiting  o finished  x failed  - dropped"
        )
    }
}

/// What spans and events of errgroup say.
#[derive(Default)]
pub(crate) struct Fields {
    pub(crate) message: String,
    index: u64,
    pub(crate) name: String,
}

impl Fields {
    pub(crate) fn of_event(event: &Event<'_>) -> Fields {
        let mut fields = Fields::default();
        event.record(&mut fields);
        fields
    }
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "index" {
            self.index = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "name" {
            self.name = value.into();
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }
}
