//! What everything was run on, and compiled with.

use std::env;
use std::fs;
use std::process::Command;
use std::thread;

/// As Markdown, a line for each.
pub(crate) fn description(go: &str) -> String {
    let rustc = env::var_os("RUSTC").unwrap_or("rustc".into());
    let lines = [
        ("processor", processor()),
        (
            "threads of it",
            thread::available_parallelism().ok().map(|n| n.to_string()),
        ),
        ("load of the last minute at the end", load()),
        ("system", output("uname", &["-sm"])),
        (
            "errgroup",
            output("git", &["describe", "--always", "--dirty"]),
        ),
        ("compiler", output(rustc, &["--version"])),
        ("Go", Some(go.into())),
        ("date", output("date", &["-u", "+%Y-%m-%d"])),
        ("peers", peers()),
    ];
    let lines =
        lines.map(|(what, text)| format!("- {what}: {}\n", text.as_deref().unwrap_or("not known")));
    lines.concat()
}

fn output(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().into())
}

fn processor() -> Option<String> {
    let linux = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(": ")?.1.into())
    });
    linux.or_else(|| output("sysctl", &["-n", "machdep.cpu.brand_string"]))
}

fn load() -> Option<String> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    Some(text.split(' ').next()?.into())
}

/// "futures 0.3.34, tokio 1.54.1, .."
fn peers() -> Option<String> {
    let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
    let arguments = "tree -p errgroup-bench --depth 1 --prefix none".split(' ');
    let tree = output(cargo, &arguments.collect::<Vec<_>>())?;
    let tools = [
        "cpu-time ",
        "csv ",
        "fastrand ",
        "indicatif ",
        "lexopt ",
        "plotters ",
    ];
    let peers = tree
        .lines()
        // Those with a path are ours.
        .filter(|line| !line.contains('(') && !tools.iter().any(|tool| line.starts_with(tool)))
        .map(|line| line.replace(" v", " "));
    Some(peers.collect::<Vec<_>>().join(", "))
}
