//! No `std`: a crate that has its own panic handler cannot be built together with `std`, which has
//! one, too. So each peer is checked as the dependency of such a crate, with as few features as it
//! can have.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

/// What the compiler says of a crate that uses `item` of the given dependency.
fn check(name: &str, dependency: &str, item: &str) -> Result<(), String> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();

    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let package = temporary.join("errgroup-compared-no-std").join(name);
    fs::create_dir_all(&package).unwrap();
    let dependency = dependency.replace("ROOT", root);
    let manifest = format!(
        "[package]\nname = \"{name}-without-std\"\nedition = \"2021\"\n\
         [lib]\npath = \"lib.rs\"\n[dependencies]\n{dependency}\n[workspace]\n"
    );
    fs::write(package.join("Cargo.toml"), manifest).unwrap();
    let source = format!(
        "#![no_std]\npub use {item};\n#[panic_handler]\n\
         fn panic(_: &core::panic::PanicInfo<'_>) -> ! {{ loop {{}} }}\n"
    );
    fs::write(package.join("lib.rs"), source).unwrap();
    // The versions that all the other tests have.
    fs::copy(
        Path::new(root).join("Cargo.lock"),
        package.join("Cargo.lock"),
    )
    .unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["check", "--offline", "--quiet"])
        .current_dir(&package)
        .env(
            "CARGO_TARGET_DIR",
            temporary.join("errgroup-compared-no-std/target"),
        )
        .output()
        .unwrap();
    let complaints = String::from_utf8(output.stderr).unwrap();
    output.status.success().then_some(()).ok_or(complaints)
}

#[track_caller]
fn wants_std(name: &str, dependency: &str, item: &str) {
    let complaints = check(name, dependency, item).unwrap_err();
    assert!(complaints.contains("E0152"), "{complaints}");
    assert!(complaints.contains("crate `std`"), "{complaints}");
}

#[test]
fn errgroup_does_without_std() {
    let dependency = r#"errgroup = { path = "ROOT", default-features = false }"#;
    check("errgroup", dependency, "errgroup::ErrGroup").unwrap();
}

#[test]
fn a_join_set_wants_std() {
    let dependency = r#"tokio = { version = "1", default-features = false, features = ["rt"] }"#;
    wants_std("tokio", dependency, "tokio::task::JoinSet");
}

#[test]
fn a_tracker_wants_std() {
    let dependency =
        r#"tokio-util = { version = "0.7", default-features = false, features = ["rt"] }"#;
    wants_std("tokio-util", dependency, "tokio_util::task::TaskTracker");
}

#[test]
fn futures_unordered_and_buffer_unordered_do_without_std() {
    let dependency =
        r#"futures = { version = "0.3", default-features = false, features = ["alloc"] }"#;
    check(
        "futures",
        dependency,
        "futures::stream::{BufferUnordered, FuturesUnordered}",
    )
    .unwrap();
}

#[test]
fn futures_buffered_does_without_std() {
    let dependency = r#"futures-buffered = { version = "0.2", default-features = false }"#;
    check(
        "futures-buffered",
        dependency,
        "futures_buffered::FuturesUnordered",
    )
    .unwrap();
}

#[test]
fn futures_concurrency_does_without_std() {
    let dependency = r#"futures-concurrency = { version = "7", default-features = false, features = ["alloc"] }"#;
    check(
        "futures-concurrency",
        dependency,
        "futures_concurrency::future::FutureGroup",
    )
    .unwrap();
}

#[test]
fn moro_wants_std() {
    let dependency = r#"moro = { version = "0.4", default-features = false }"#;
    wants_std("moro", dependency, "moro::Scope");
}

#[test]
fn subsystems_want_std() {
    let dependency = r#"tokio-graceful-shutdown = { version = "0.20", default-features = false }"#;
    wants_std(
        "tokio-graceful-shutdown",
        dependency,
        "tokio_graceful_shutdown::Toplevel",
    );
}
