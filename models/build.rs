//! Gives errgroup's atomics and locks to loom.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cfg=errgroup_loom");
    // What errgroup asks for, and this package has not.
    println!(
        "cargo::rustc-check-cfg=cfg(feature, values(\"critical-section\", \"time\", \"tokio\", \"tracing\"))"
    );
}
