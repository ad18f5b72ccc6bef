//! Runs the program in `go/`, which does the same work in Go.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

use indicatif::ProgressBar;

use crate::measure::{Figure, Measured};
use crate::row::Mark;

/// With all processors, which is what it does by itself, and with one.
pub(crate) const RUNS: [(&str, Option<&str>); 2] = [("Go", None), ("Go, GOMAXPROCS=1", Some("1"))];

/// Adds what Go needs to the rows that it knows. Gives its version, or why there is nothing.
pub(crate) fn add(rows: &mut [Measured], quick: bool, bar: &ProgressBar) -> Result<String, String> {
    let version = command(&["version"])
        .output()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                "Go: left out, because there is no `go` (Debian has it in golang-go and \
             golang-golang-x-sync-dev)."
                    .into()
            }
            _ => format!("Go: left out, because `go version` failed: {error}"),
        })?;
    let version = String::from_utf8_lossy(&version.stdout).trim().to_string();
    let program = std::env::temp_dir().join(format!("errgroup-bench-go-{}", std::process::id()));
    build(&program)?;
    let result = RUNS.into_iter().try_for_each(|(name, processors)| {
        bar.set_message(name);
        bar.tick();
        run(&program, rows, name, processors, quick)?;
        bar.inc(1);
        Ok(())
    });
    // It is in a folder for such things, should that fail.
    let _ = std::fs::remove_file(&program);
    result.map(|()| version)
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new("go");
    command.args(arguments);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("go"));
    command
}

/// With the modules of `go.mod`, or with Debian's packages, which need no network.
fn build(program: &Path) -> Result<(), String> {
    let mut said = String::new();
    for debian in [true, false] {
        let mut command = command(&["build", "-o"]);
        command.arg(program).arg(".");
        match debian {
            true => command.envs([("GO111MODULE", "off"), ("GOPATH", "/usr/share/gocode")]),
            // It may write down the checksums of what it downloads.
            false => command.env("GOFLAGS", "-mod=mod"),
        };
        let output = command.output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        said += &String::from_utf8_lossy(&output.stderr);
    }
    Err(format!(
        "Go: left out, because bench/go cannot be built:\n{said}"
    ))
}

/// It prints the row's name, the rounds, the minimum and the median, with tabs between.
fn run(
    program: &Path,
    rows: &mut [Measured],
    name: &'static str,
    processors: Option<&str>,
    quick: bool,
) -> Result<(), String> {
    let mut command = Command::new(program);
    command.stderr(Stdio::inherit());
    command.envs(processors.map(|number| ("GOMAXPROCS", number)));
    if quick {
        command.arg("-quick");
    }
    for measured in rows.iter() {
        command.arg(&measured.row.name);
    }
    let output = command.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("Go: bench/go ended with {}", output.status));
    }
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [row, rounds, minimum, median] = fields[..] else {
            return Err(format!("Go: bench/go said {line:?}"));
        };
        let number = |text: &str| text.parse::<f64>().map_err(|error| error.to_string());
        let rounds = rounds.parse().map_err(|error| format!("Go: {error}"))?;
        let numbers = [number(minimum)?, number(median)?];
        if let Some(measured) = rows.iter_mut().find(|measured| measured.row.name == row) {
            let counts = measured.row.counts;
            let figure = Figure::new(name, Some(Mark::OtherLanguage), counts, rounds, numbers);
            measured.figures.push(figure);
        }
    }
    Ok(())
}
