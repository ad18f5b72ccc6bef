//! Draws when the tasks of a scope ran, on the terminal and as a file for a trace viewer.
//!
//! ```sh
//! cargo run --features tracing --example timeline -- trace.json
//! ```
//!
//! Open `trace.json` with <https://ui.perfetto.dev> or `chrome://tracing`.
//!
//! With the feature `tracing` every task runs in a span, and events say what becomes of it. That
//! is all that is used here: tracing-chrome makes the file of it, and the layer in `drawing.rs` the
//! lines.

mod drawing;

use std::error::Error;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use drawing::{Fields, Timeline};
use errgroup::scope;
use smol::Timer;
use tracing_chrome::{ChromeLayerBuilder, EventOrSpan, TraceStyle};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;

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

/// Like `println!`, but does not panic when nobody reads.
fn say(line: impl Display) -> Result<(), Box<dyn Error>> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}
