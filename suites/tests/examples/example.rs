//! Runs an example as a process of its own.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// Long enough for a machine that is busy with other things. Nothing here should ever take so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The features that this test was built with.
const FEATURES: &[&str] = &[
    #[cfg(feature = "std")]
    "std",
    #[cfg(feature = "critical-section")]
    "critical-section",
    #[cfg(feature = "time")]
    "time",
    #[cfg(feature = "tokio")]
    "tokio",
    #[cfg(feature = "tracing")]
    "tracing",
];

/// Where `cargo` finds every example.
pub(crate) fn root() -> &'static Path {
    let suites = Path::new(env!("CARGO_MANIFEST_DIR"));
    suites.parent().expect("it is a folder of errgroup")
}

/// The binary of an example, up to date: `cargo test --test ..` builds no examples. It has the
/// features of this test, so that there is nothing to build again after a plain `cargo test`.
pub(crate) fn binary(example: &str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());

    let mut built = BUILT.lock().expect("all examples so far could be built");
    if let Some(binary) = built.get(example) {
        return binary.clone();
    }
    // TARGET/PROFILE/deps/this_test-0123, or TARGET/TRIPLE/PROFILE/deps/this_test-0123.
    let test = env::current_exe().expect("a test knows where it is");
    let profile = test.ancestors().nth(2).expect("it lies two levels deep");
    let target = profile.parent().expect("at least three");
    let target = match env::var("CARGO_BUILD_TARGET") {
        Ok(triple) if target.ends_with(&triple) => target.parent().expect("at least four"),
        _ => target,
    };
    let status = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["build", "--quiet", "--example", example])
        .args(["--no-default-features", "--features", &FEATURES.join(",")])
        .args([
            "--profile",
            if profile.ends_with("debug") {
                "dev"
            } else {
                "release"
            },
        ])
        .arg("--target-dir")
        .arg(target)
        .status()
        .expect("cargo runs");
    assert!(status.success(), "cargo cannot build the example {example}");

    let binary = profile.join("examples").join(example);
    assert!(binary.exists(), "there is no {}", binary.display());
    built.insert(example.into(), binary.clone());
    binary
}

/// A running process, which does not outlive the test.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) stdout: Lines,
    pub(crate) stderr: Lines,
}

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Process {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        Process {
            stdout: Lines::of(child.stdout.take().expect("it is piped")),
            stderr: Lines::of(child.stderr.take().expect("it is piped")),
            child,
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> End {
        let start = Instant::now();
        while self.is_running() {
            assert!(start.elapsed() < PATIENCE, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
        End {
            status: self.child.wait().expect("it is our child"),
            stdout: self.stdout.rest(),
            stderr: self.stderr.rest(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// The lines that a process writes.
pub(crate) struct Lines(Receiver<String>);

impl Lines {
    /// Reads ahead, so that the process is never held up by a full pipe.
    pub(crate) fn of(pipe: impl Read + Send + 'static) -> Lines {
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                _ = sender.send(line);
            }
        });
        Lines(lines)
    }

    /// Waits for the next one.
    #[track_caller]
    pub(crate) fn next(&self) -> String {
        let line = self.0.recv_timeout(PATIENCE);
        line.unwrap_or_else(|error| panic!("no line: {error}"))
    }

    /// Waits until the process has closed the pipe.
    fn rest(&self) -> Vec<String> {
        self.0.iter().collect()
    }
}

/// How a process ended, and what it wrote that was not read before.
#[derive(Debug)]
pub(crate) struct End {
    status: ExitStatus,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
}

impl End {
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, stdout: &[&str]) {
        self.expect_code(code);
        assert_eq!(self.stdout, stdout, "{self:?}");
    }

    #[track_caller]
    pub(crate) fn expect_code(&self, code: i32) {
        assert_eq!(self.status.code(), Some(code), "{self:?}");
    }
}
