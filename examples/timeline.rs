//! Draws when the tasks of a scope ran, on the terminal and as a file for a trace viewer.
//!
//! ```sh
//! cargo run --features tracing --example timeline -- trace.json
//! ```
//!
//! Open `trace.json` with <https://ui.perfetto.dev> or `chrome://tracing`.
//!
//! With the feature `tracing` every task runs in a span, and events say what becomes of it. That
//! is all that is used here: tracing-chrome makes the file of it, and the small layer below the
//! drawing.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::{self, Display};
use std::fs::File;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use errgroup::scope;
use smol::Timer;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_chrome::{ChromeLayerBuilder, EventOrSpan, TraceStyle};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

const HELP: &str = "\
Usage: timeline PATH

Draws when the tasks of a scope ran, and writes it as a trace file.

  PATH    where to write the trace file
  --help  this text";

/// The parts of a service, and how long each step of their start takes, in milliseconds.
const PARTS: &[(&str, &[u64])] = &[
    ("config", &[20]),
    ("database", &[40, 60, 30]),
    ("cache", &[30, 30]),
    ("templates", &[30, 30, 30, 30, 30]),
    ("search", &[50, 100]),
    ("mail", &[30, 60_000]),
    ("reports", &[60_000]),
    ("backups", &[60_000]),
];

fn main() -> ExitCode {
    let done = match parse_args() {
        Ok(Some(path)) => run(&path),
        Ok(None) => say(HELP),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            _ = writeln!(io::stderr(), "timeline: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Where to write; none if it was help that was asked for.
fn parse_args() -> Result<Option<String>, lexopt::Error> {
    use lexopt::prelude::*;

    let mut path = None;
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Value(value) if path.is_none() => path = Some(value.string()?),
            Short('h') | Long("help") => return Ok(None),
            _ => return Err(arg.unexpected()),
        }
    }
    path.map_or_else(
        || Err("PATH is missing: see --help".into()),
        |path| Ok(Some(path)),
    )
}

/// Starts a service, and shows how that went.
fn run(path: &str) -> Result<(), Box<dyn Error>> {
    let file = File::create(path).map_err(|error| format!("cannot write {path}: {error}"))?;
    let timeline = Timeline::new();
    let (chrome, written) = ChromeLayerBuilder::new()
        .writer(file)
        // A span lasts until it is closed, not only while it is entered: tasks overlap.
        .trace_style(TraceStyle::Async)
        .name_fn(Box::new(|of| match of {
            EventOrSpan::Event(event) => Fields::of_event(event).message,
            EventOrSpan::Span(span) => match span.extensions().get::<Fields>() {
                Some(fields) => fields.name.clone(),
                None => span.name().into(),
            },
        }))
        .include_args(true)
        .include_locations(false)
        .build();

    let subscriber = Registry::default().with(timeline.clone()).with(chrome);
    let started = tracing::subscriber::with_default(subscriber, || smol::block_on(start_all()));
    drop(written); // Waits until all of it is.

    say(&timeline)?;
    match started {
        Ok(()) => say("all parts are up")?,
        Err(error) => say(format_args!("failed: {error}"))?,
    }
    say(format_args!("wrote {path}"))
}

/// Starts all parts, three at a time.
async fn start_all() -> Result<(), String> {
    scope(async |s| {
        s.set_limit(3);
        for &(part, steps) in PARTS {
            s.spawn_named(part, start(part, steps));
        }
        Ok(())
    })
    .await
}

/// Takes its time. The search has lost its index.
async fn start(part: &str, steps: &[u64]) -> Result<(), String> {
    for &ms in steps {
        Timer::after(Duration::from_millis(ms)).await;
    }
    if part == "search" {
        return Err(format!("{part} has no index"));
    }
    Ok(())
}

/// Remembers what the tasks of a group did, and when.
#[derive(Clone)]
struct Timeline {
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
    fn new() -> Self {
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
struct Fields {
    message: String,
    index: u64,
    name: String,
}

impl Fields {
    fn of_event(event: &Event<'_>) -> Fields {
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

/// Like `println!`, but does not panic when nobody reads.
fn say(line: impl Display) -> Result<(), Box<dyn Error>> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}
