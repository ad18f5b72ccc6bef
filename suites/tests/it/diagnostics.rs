//! What rustc says of programs that do not compile. Its texts change: only a few words are asked for.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Checks a program that uses a built errgroup.
fn check(name: &str, program: &str, library: &Path) -> Output {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("diagnostics-{name}"));
    fs::create_dir_all(&folder).unwrap();
    let source = folder.join("main.rs");
    fs::write(&source, program).unwrap();
    let mut library_is = OsString::from("errgroup=");
    library_is.push(library);
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()));
    if let Some(triple) = std::env::var_os("CARGO_BUILD_TARGET") {
        rustc.arg("--target").arg(triple);
    }
    rustc
        .args(["--edition=2024", "--emit=metadata", "--extern"])
        .arg(library_is)
        .arg("-L")
        .arg(library.parent().unwrap())
        .arg("--out-dir")
        .arg(&folder)
        .arg(source)
        .output()
        .unwrap()
}

/// What rustc says of a program that does not compile, while its twin does.
fn complaint(name: &str, program: &str, twin: &str) -> String {
    let test = std::env::current_exe().unwrap();
    let libraries = fs::read_dir(test.parent().unwrap()).unwrap();
    let libraries = libraries.map(|entry| entry.unwrap().path());
    let mut libraries: Vec<PathBuf> = libraries
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("liberrgroup-") && name.ends_with(".rlib")
        })
        .collect();
    // The one of the last build, as far as it fits.
    libraries.sort_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
    let fits = |library: &&PathBuf| check(name, twin, library).status.success();
    let library = libraries
        .iter()
        .rfind(fits)
        .expect("the twin compiles with some library");
    let output = check(name, program, library);
    assert!(!output.status.success(), "it compiles");
    String::from_utf8(output.stderr).unwrap()
}

fn spawns_an_rc(group: &str) -> String {
    format!(
        "fn main() {{
            let text = std::rc::Rc::new(\"text\");
            let mut group = errgroup::{group}::<usize, ()>::new();
            group.spawn(async move {{ Ok(text.len()) }});
        }}"
    )
}

// §3
#[test]
fn an_rc_in_an_err_group_is_told_of_local_err_group() {
    let (program, twin) = (spawns_an_rc("ErrGroup"), spawns_an_rc("LocalErrGroup"));
    let text = complaint("rc", &program, &twin);
    assert!(text.contains("use a `LocalErrGroup`"), "{text}");
}

/// Names that nobody can import: modules that are private.
fn private_names(text: &str) -> Vec<&str> {
    let rooms = [
        "context::",
        "engine::",
        "error::",
        "group::",
        "map::",
        "semaphore::",
        "util::",
    ];
    let is_private = |name: &&str| rooms.iter().any(|room| name.starts_with(room));
    text.split("errgroup::")
        .skip(1)
        .filter(is_private)
        .collect()
}

// §3
#[test]
fn an_rc_in_an_err_group_is_told_of_in_names_that_can_be_imported() {
    let ways = [
        ("spawn", "group.spawn(async { drop(rc); Ok(()) })"),
        (
            "spawner",
            "group.spawner().spawn(async { drop(rc); Ok(()) })",
        ),
        (
            "try-spawn",
            "_ = group.try_spawn(async { drop(rc); Ok(()) })",
        ),
        (
            "background",
            "group.spawn_background(async { drop(rc); Ok(()) })",
        ),
        ("value", "_ = group.spawn_with_handle(async { Ok(rc) })"),
        (
            "start",
            "_ = group.start(async |_: Started<()>| { drop(rc); Ok(()) })",
        ),
        ("extend", "group.extend([async { drop(rc); Ok(()) }])"),
        (
            "collect",
            "group = [async { drop(rc); Ok(()) }].into_iter().collect()",
        ),
        ("scope", "_ = group.scope(async |_| { drop(rc); Ok(()) })"),
        (
            "grace",
            "group = Group::with_grace(&CancelContext::new(), || async { drop(rc); }).1",
        ),
    ];
    for (name, way) in ways {
        let program = |group| {
            format!(
                "#![allow(unused)]
                use errgroup::*;
                use std::rc::Rc;
                fn give(rc: Rc<u8>, mut group: {group}<'static, (), Cancelled>) {{ {way}; }}
                fn main() {{}}"
            )
            .replace("async {", "async move {")
        };
        let name = format!("names-{name}");
        let text = complaint(&name, &program("ErrGroup"), &program("LocalErrGroup"));
        assert!(text.contains("use a `LocalErrGroup`"), "{text}");
        assert!(private_names(&text).is_empty(), "{text}");
    }
}

// §3
#[test]
fn a_function_that_is_for_both_flavours_gets_a_bound_that_compiles() {
    let program = |bound| {
        format!(
            "pub fn len<K{bound}>(group: &errgroup::Group<'_, (), (), K>) -> usize {{ group.len() }} fn main() {{}}"
        )
    };
    let bound = ": errgroup::flavor::Flavor";
    let text = complaint("flavor", &program(""), &program(bound));
    assert!(text.contains(bound), "{text}");
    assert!(private_names(&text).is_empty(), "{text}");
}
