//! Random programs, each step of which has to do what a small model says.
//!
//! `PROPTEST_CASES=100000` makes it a long run. A program that failed is kept by its seed in
//! `proptest-regressions`, and comes first in every run; the file is to be committed with the mend.
use proptest::test_runner::{Config, RngSeed};

mod tasks;

/// The same programs each time, unless it is to be a long run.
fn config() -> Config {
    let mut config = Config::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.rng_seed = RngSeed::Fixed(7);
    }
    config
}
