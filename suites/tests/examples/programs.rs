//! The classic programs among the examples, as real processes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::example::{self, End, PATIENCE, Process};

#[test]
fn bounded_map_is_ended_by_the_error_that_comes_before_the_deadline() {
    let start = Instant::now();
    let end = run("bounded_map", &["--scale", "0.2"]);
    assert!(start.elapsed() >= Duration::from_millis(900));
    end.expect_code(1);
    // The jobs that ran have been dropped, and nobody has started since.
    let [told] = &*end.stdout else {
        panic!("{end:?}");
    };
    let counts = " s: 5 done, 5 not finished, 0 still running, 10 never started";
    assert!(told.ends_with(counts), "{end:?}");
    assert_eq!(
        end.stderr,
        ["Error: ended by an error: item 10 is bad"],
        "{end:?}"
    );
}

#[test]
fn bounded_map_is_ended_by_the_deadline_if_nothing_fails() {
    let start = Instant::now();
    let end = run("bounded_map", &["--no-error", "--scale", "0.2"]);
    assert!(start.elapsed() >= Duration::from_millis(1200));
    end.expect_code(1);
    let [told] = &*end.stdout else {
        panic!("{end:?}");
    };
    let counts = " s: 5 done, 5 not finished, 0 still running, 10 never started";
    assert!(told.ends_with(counts), "{end:?}");
    assert_eq!(
        end.stderr,
        ["Error: ended by the context: deadline exceeded"],
        "{end:?}"
    );
}

#[test]
fn bounded_map_gives_all_results_in_order_before_a_later_deadline() {
    let start = Instant::now();
    let end = run(
        "bounded_map",
        &["--no-error", "--deadline", "20", "--scale", "0.1"],
    );
    // Four times five jobs of 0.3 s; one after the other they would take 6 s.
    assert!(start.elapsed() >= Duration::from_millis(1200));
    end.expect_code(0);
    let (told, results) = end.stdout.split_first().expect("it says something");
    let counts = " s: 20 done, 0 not finished, 0 still running, 0 never started";
    assert!(told.ends_with(counts), "{end:?}");
    let expected: Vec<_> = (1..=20)
        .map(|item| format!("item {item}: {}", item * item))
        .collect();
    assert_eq!(results, expected);
    // No bar, because this is no terminal.
    assert_eq!(end.stderr.len(), 0, "{end:?}");
}

#[test]
fn bounded_map_is_ended_by_the_error_however_late_the_deadline_is() {
    let end = run("bounded_map", &["--deadline", "1e6", "--scale", "0.01"]);
    end.expect_code(1);
    assert_eq!(end.stderr, ["Error: ended by an error: item 10 is bad"]);
}

#[test]
#[cfg(target_os = "linux")] // Elsewhere, `script` takes other arguments.
fn bounded_map_shows_a_bar_on_a_terminal() {
    if !exists("script") {
        return;
    }
    let bounded_map = example::binary("bounded_map");
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command"]);
    script.arg(format!("{} --scale 0.1", bounded_map.display()));
    let end = Process::spawn(script.arg("/dev/null").env("TERM", "xterm")).end();
    end.expect_code(1);
    let told = end.stdout.join("\n");
    assert!(told.contains("] 0 done, 5 running, 15 queued"), "{told:?}");
    assert!(told.contains("Error: ended by an error: item 10 is bad"));
}

#[test]
fn bounded_map_says_what_is_wrong_with_its_arguments() {
    for (args, said) in [
        (&["--scale", "0"] as &[_], "\"0\": a number above 0"),
        (&["--scale", "-1"], "\"-1\": a number above 0"),
        (&["--scale", "NaN"], "\"NaN\": a number above 0"),
        (&["--scale", "inf"], "too big"),
        (&["--deadline", "soon"], "\"soon\": a number above 0"),
        (&["--deadline"], "--deadline"),
        (&["--no-errors"], "--no-errors"),
        (&["7"], "7"),
    ] {
        run("bounded_map", args).expect_error(said);
    }
}

/// "", "abc" and "message digest" of RFC 1321.
const VECTORS: [(&str, &str); 3] = [
    ("", "d41d8cd98f00b204e9800998ecf8427e"),
    ("abc", "900150983cd24fb0d6963f7d28e17f72"),
    ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
];

#[test]
fn md5_all_prints_digests_in_the_order_of_the_paths() {
    let folder = folder("digests");
    fs::create_dir(folder.join("a")).unwrap();
    fs::create_dir(folder.join("empty")).unwrap();
    // Not as texts, where a dot comes before a slash.
    let names = ["A", "a/nother", "a/z", "a.txt", "b"];
    let mut expected = Vec::new();
    for (name, (text, digest)) in names.iter().zip(VECTORS.iter().cycle()) {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        expected.push(format!("{digest}  {}", path.display()));
    }
    let end = md5_all(&folder);
    end.expect_code(0);
    assert_eq!(end.stdout, expected);
    assert_eq!(end.stderr.len(), 0, "{end:?}");
}

#[test]
fn md5_all_agrees_with_md5sum_about_this_crate() {
    let end = run("md5_all", &[]);
    end.expect_code(0);
    let manifest = example::root().join("Cargo.toml");
    let manifest = format!("  {}", manifest.display());
    assert!(end.stdout.iter().any(|line| line.ends_with(&manifest)));

    if !exists("md5sum") {
        return;
    }
    let paths = end.stdout.iter().map(|line| &line[34..]);
    // Files come and go under `.git`.
    let lasting = |path: &&str| !path.contains("/.");
    let mut md5sum = Command::new("md5sum");
    let sums = Process::spawn(md5sum.args(paths.filter(lasting))).end();
    sums.expect_code(0);
    assert!(sums.stdout.len() >= 20, "{sums:?}");
    for line in &sums.stdout {
        assert!(end.stdout.contains(line), "{line}");
    }
}

#[test]
fn md5_all_reads_more_files_than_it_opens_at_once() {
    let folder = folder("many");
    for number in 0..200 {
        fs::write(folder.join(format!("{number:03}")), "abc").unwrap();
    }
    let end = md5_all(&folder);
    end.expect_code(0);
    let expected: Vec<_> = (0..200)
        .map(|number| {
            let path = folder.join(format!("{number:03}"));
            format!("{}  {}", VECTORS[1].1, path.display())
        })
        .collect();
    assert_eq!(end.stdout, expected);
}

#[test]
fn md5_all_names_the_file_that_is_not_there_any_more() {
    let folder = folder("dangling");
    fs::write(folder.join("a"), "abc").unwrap();
    symlink("nowhere", folder.join("b")).unwrap();
    fs::write(folder.join("c"), "abc").unwrap();
    let end = md5_all(&folder);
    end.expect_error(&format!("{}: ", folder.join("b").display()));
}

#[test]
fn md5_all_names_the_file_that_cannot_be_read() {
    // Can be opened, but not read: there is nothing at its beginning.
    let file = Path::new("/proc/self/mem");
    if file.exists() {
        md5_all(file).expect_error("/proc/self/mem: ");
    }
}

#[test]
fn md5_all_names_the_file_that_it_may_not_read() {
    use std::os::unix::fs::PermissionsExt;

    let folder = folder("forbidden");
    let file = folder.join("secret");
    fs::write(&file, "abc").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    // Nothing is forbidden to root.
    if fs::read(&file).is_err() {
        md5_all(&folder).expect_error(&format!("{}: ", file.display()));
    }
}

#[test]
fn md5_all_names_the_folder_that_is_not_there() {
    md5_all(Path::new("/nowhere/at/all")).expect_error("/nowhere/at/all");
}

#[test]
fn md5_all_is_not_caught_in_a_loop_of_links() {
    let folder = folder("loops");
    fs::create_dir(folder.join("sub")).unwrap();
    symlink("..", folder.join("sub/up")).unwrap();
    symlink(".", folder.join("here")).unwrap();
    fs::write(folder.join("sub/file"), "abc").unwrap();
    symlink("sub/file", folder.join("link")).unwrap();
    let end = md5_all(&folder);
    end.expect_code(0);
    let expected = ["link", "sub/file"]
        .map(|name| format!("{}  {}", VECTORS[1].1, folder.join(name).display()));
    assert_eq!(end.stdout, expected);

    // A link to itself leads nowhere.
    symlink("self", folder.join("self")).unwrap();
    md5_all(&folder).expect_error(&format!("{}: ", folder.join("self").display()));
}

#[test]
fn md5_all_does_not_wait_for_a_pipe() {
    let folder = folder("pipe");
    let made = Command::new("mkfifo").arg(folder.join("pipe")).status();
    if made.is_ok_and(|status| status.success()) {
        md5_all(&folder).expect(0, &[]);
    }
}

#[test]
fn md5_all_passes_over_caches() {
    let folder = folder("caches");
    fs::create_dir(folder.join("cache")).unwrap();
    fs::write(folder.join("cache/CACHEDIR.TAG"), "").unwrap();
    fs::write(folder.join("cache/file"), "").unwrap();
    md5_all(&folder).expect(0, &[]);
}

#[test]
fn md5_all_takes_one_folder() {
    run("md5_all", &["one", "two"]).expect_error("two");
    run("md5_all", &["--sum"]).expect_error("--sum");
}

#[test]
fn crawler_visits_each_page_once_and_reports_what_is_broken() {
    let end = run("crawler", &[]);
    end.expect_code(0);
    let [site, requests, pages, broken @ ..] = &*end.stdout else {
        panic!("{end:?}");
    };
    assert!(site.starts_with("crawling http://127.0.0.1:"), "{site}");
    // 300 pages, and 7 places where there is none: counted by the site.
    let peak = requests
        .strip_prefix("307 requests, at most ")
        .expect(requests);
    let peak = peak.strip_suffix(" at once").expect(requests);
    let peak: u32 = peak.parse().expect(requests);
    assert!((2..=8).contains(&peak), "{requests}");

    assert_eq!(pages, "300 pages, 12 broken links");
    let mut expected: Vec<_> = (17..300)
        .step_by(50)
        .flat_map(|page| {
            let link = |to| format!("/page/{page} -> /gone/{to}");
            [link(page.to_string()), link("for-good".into())]
        })
        .collect();
    expected.sort();
    assert_eq!(broken, expected);
}

#[test]
fn crawler_stops_at_the_first_broken_link_if_it_is_strict() {
    let end = run("crawler", &["--strict"]);
    end.expect_code(1);
    let [error] = &*end.stderr else {
        panic!("{end:?}");
    };
    assert!(error.starts_with("Error: /gone/"), "{error}");
    assert!(error.ends_with(": 404 Not Found"), "{error}");
    let [_, requests] = &*end.stdout else {
        panic!("{end:?}");
    };
    let requests = requests.split(' ').next().expect("not empty");
    assert!(requests.parse::<u32>().expect(requests) < 300);
}

#[test]
fn crawler_says_what_is_wrong_with_its_arguments() {
    run("crawler", &["http://localhost"]).expect_error("http://localhost");
}

#[test]
fn parallel_counts_the_same_on_all_threads() {
    let end = run("parallel", &["--below", "100000"]);
    end.expect_code(0);
    let [one, all] = &*end.stdout else {
        panic!("{end:?}");
    };
    let cores = std::thread::available_parallelism().unwrap();
    for (line, threads) in [(one, "1 thread".into()), (all, format!("{cores} threads"))] {
        let time = line.strip_prefix(&format!("{threads}: 9592 primes in "));
        let time = time.and_then(|time| time.strip_suffix(" s")).expect(line);
        assert!(time.parse::<f64>().expect(line) > 0.0);
    }
}

#[test]
fn parallel_says_what_is_wrong_with_its_arguments() {
    run("parallel", &["--below", "many"]).expect_error("many");
    run("parallel", &["1000"]).expect_error("1000");
}

/// Runs an example to its end.
fn run(example: &str, args: &[&str]) -> End {
    let start = Instant::now();
    let end = Process::spawn(Command::new(example::binary(example)).args(args)).end();
    assert!(start.elapsed() < 2 * PATIENCE);
    end
}

fn md5_all(path: &Path) -> End {
    Process::spawn(Command::new(example::binary("md5_all")).arg(path)).end()
}

impl End {
    /// It failed with one line that contains `said`, and did nothing else.
    #[track_caller]
    fn expect_error(&self, said: &str) {
        self.expect(1, &[]);
        assert_eq!(self.stderr.len(), 1, "{self:?}");
        assert!(self.stderr[0].starts_with("Error: "), "{self:?}");
        assert!(self.stderr[0].contains(said), "{said}: {self:?}");
    }
}

/// A folder that is empty.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("md5_all")
        .join(name);
    _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn exists(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}
