//! Runs `go/main.go`, if `go` and Debian's `golang-golang-x-sync-dev` are there, and is silent
//! otherwise.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

const GOPATH: &str = "/usr/share/gocode";

fn program() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        let has_go = Command::new("go").arg("version").output().is_ok();
        if !has_go
            || !Path::new(GOPATH)
                .join("src/golang.org/x/sync/errgroup")
                .exists()
        {
            eprintln!("skipped: needs golang-go and golang-golang-x-sync-dev");
            return None;
        }
        let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let program = temporary.join("errgroup-compared-go");
        let built = Command::new("go")
            .args(["build", "-o"])
            .arg(&program)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/go/main.go"))
            .env("GO111MODULE", "off")
            .env("GOPATH", GOPATH)
            .env("GOCACHE", temporary.join("go-cache"))
            .output()
            .unwrap();
        assert!(
            built.status.success(),
            "{}",
            String::from_utf8_lossy(&built.stderr)
        );
        Some(program)
    };
    PROGRAM.get_or_init(build).as_deref()
}

fn run(program: &Path, argument: &str) -> Output {
    Command::new(program).arg(argument).output().unwrap()
}

/// The program prints this line.
#[track_caller]
pub(crate) fn says(line: &str) {
    static OUTPUT: OnceLock<Option<String>> = OnceLock::new();
    let output = OUTPUT.get_or_init(|| {
        let output = run(program()?, "all");
        assert!(output.status.success(), "{output:?}");
        Some(String::from_utf8(output.stdout).unwrap())
    });
    if let Some(output) = output {
        assert!(output.lines().any(|said| said == line), "{output}");
    }
}

/// What is left of a program one of whose tasks panics.
pub(crate) fn panics() -> Option<Output> {
    Some(run(program()?, "panic"))
}
