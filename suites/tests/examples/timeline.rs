//! What the example `timeline` draws and writes.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::example::{self, End, Process};
use serde_json::Value;

const PARTS: [&str; 8] = [
    "config",
    "database",
    "cache",
    "templates",
    "search",
    "mail",
    "reports",
    "backups",
];

#[test]
fn draws_a_line_for_every_task() {
    let (end, _) = timeline("draws");
    end.expect_code(0);
    assert!(end.stderr.is_empty(), "{end:?}");
    let (rows, rest) = end.stdout.split_at(PARTS.len());

    let mut cells = BTreeMap::new();
    for ((index, name), row) in PARTS.into_iter().enumerate().zip(rows) {
        let head = format!("{index:2} {name:10} ");
        let drawn = row.strip_prefix(&head).expect(row);
        assert!(drawn.chars().count() <= 60, "{row}");
        cells.insert(name, drawn);
    }
    for (name, drawn) in &cells {
        let how = match *name {
            "search" => 'x',
            "mail" | "reports" | "backups" => '-',
            _ => 'o',
        };
        assert!(drawn.ends_with(how), "{name}: {drawn}");
        let inner = &drawn[..drawn.len() - 1];
        // Queued, then polled, then waiting and polled in turn.
        let running = inner.trim_start_matches(':');
        assert!(
            running.trim_matches(['.', '#']).is_empty(),
            "{name}: {drawn}"
        );
        assert!(
            running.is_empty() || running.starts_with('#'),
            "{name}: {drawn}"
        );
    }
    // All that is left ends with the failure, and one has never begun.
    for name in ["search", "mail", "reports", "backups"] {
        assert_eq!(cells[name].len(), 60, "{name}: {}", cells[name]);
    }
    assert_eq!(cells["backups"].trim_matches(':'), "-");
    // Three at a time begin at once.
    for name in ["config", "database", "cache"] {
        assert!(cells[name].starts_with('#'), "{name}: {}", cells[name]);
    }
    assert!(cells["search"].starts_with("::"));
    // It sleeps in each of its three steps. Columns may be wide, if the machine is slow.
    let polls = cells["database"]
        .split('.')
        .filter(|it| it.starts_with('#'));
    assert!((2..=3).contains(&polls.count()), "{}", cells["database"]);

    assert!(rest[0].starts_with("one column is "), "{rest:?}");
    assert!(rest[1].contains("x failed"), "{rest:?}");
    assert_eq!(rest[2], "failed: search has no index");
    assert!(rest[3].starts_with("wrote "), "{rest:?}");
    assert_eq!(rest.len(), 4);
}

#[test]
fn writes_a_begin_and_an_end_for_every_task() {
    let (_, trace) = timeline("writes");
    let mut spans: BTreeMap<u64, Vec<&Value>> = BTreeMap::new();
    for entry in trace.iter().filter(|it| it["ph"] == "b" || it["ph"] == "e") {
        let id = entry["id"].as_u64().expect("an asynchronous span has one");
        spans.entry(id).or_default().push(entry);
    }
    assert_eq!(spans.len(), PARTS.len());

    let mut times = BTreeMap::new();
    for pair in spans.values() {
        let [begin, end] = pair[..] else {
            panic!("{pair:?}");
        };
        assert_eq!((&begin["ph"], &end["ph"]), (&"b".into(), &"e".into()));
        for field in ["name", "cat", "pid", "args"] {
            assert_eq!(begin[field], end[field], "{pair:?}");
        }
        assert_eq!(begin["cat"], "errgroup");
        let index: usize = text(&begin["args"]["index"]).parse().unwrap();
        assert_eq!(begin["name"], PARTS[index]);
        assert_eq!(
            text(&begin["args"]["name"]),
            format!("{:?}", PARTS[index]),
            "{pair:?}"
        );
        let time = |entry: &Value| entry["ts"].as_f64().expect("it has a time");
        assert!(time(begin) <= time(end), "{pair:?}");
        times.insert(PARTS[index], (time(begin), time(end)));
    }
    // They overlap, and none encloses the other.
    let (database, templates) = (times["database"], times["templates"]);
    assert!(database.0 < templates.0 && templates.0 < database.1);
    assert!(database.1 < templates.1);
    // Microseconds: it slept for 130 ms.
    assert!(database.1 - database.0 >= 130_000.0, "{database:?}");
    // At no time more than three.
    for &(now, _) in times.values() {
        let running = times
            .values()
            .filter(|(begin, end)| *begin <= now && now < *end);
        assert!(running.count() <= 3, "{times:?}");
    }
}

#[test]
fn writes_what_became_of_the_tasks() {
    let (_, trace) = timeline("events");
    let count = |name: &str| {
        let of_name = |it: &&Value| it["ph"] == "i" && it["name"] == name;
        trace.iter().filter(of_name).count()
    };
    assert_eq!(count("spawned"), 8);
    assert_eq!(count("started"), 7);
    assert_eq!(count("finished"), 4);
    assert_eq!(count("failed"), 1);
    assert_eq!(count("dropped"), 3);
}

#[test]
fn says_what_is_wrong_with_its_arguments() {
    for (args, said) in [
        (&[] as &[_], "PATH"),
        (&["a", "b"], "\"b\""),
        (&["--fast"], "--fast"),
        (
            &["/no/such/folder/trace.json"],
            "/no/such/folder/trace.json",
        ),
    ] {
        let end = run(args);
        end.expect(1, &[]);
        assert_eq!(end.stderr.len(), 1, "{args:?}: {end:?}");
        assert!(end.stderr[0].contains(said), "{args:?}: {end:?}");
    }
}

#[test]
fn helps() {
    let end = run(&["--help"]);
    end.expect_code(0);
    assert!(end.stdout.join("\n").contains("PATH"), "{end:?}");
}

fn run(args: &[&str]) -> End {
    Process::spawn(Command::new(example::binary("timeline")).args(args)).end()
}

/// Runs the example to its end, and reads the file that it wrote.
fn timeline(test: &str) -> (End, Vec<Value>) {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("timeline-{test}.json"));
    let end = run(&[path.to_str().expect("a path of ours")]);
    let text = fs::read_to_string(&path).expect("it wrote a file");
    fs::remove_file(&path).expect("it is ours");
    let trace = serde_json::from_str(&text).expect("it is JSON");
    (end, trace)
}

fn text(value: &Value) -> &str {
    value.as_str().expect("it is a text")
}
