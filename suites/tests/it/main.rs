//! errgroup together with others: executors, runtimes, their clocks, and subscribers.

#[path = "../../../tests/common/mod.rs"]
mod common;

mod diagnostics;
#[cfg(feature = "std")]
mod embassy;
#[cfg(feature = "std")]
mod errors;
mod executors;
mod fairness_tokio;
#[cfg(feature = "tokio")]
mod on_tokio;
mod paused_clock;
#[cfg(feature = "tokio")]
mod porting;
#[cfg(feature = "std")]
mod random;
#[cfg(feature = "std")]
mod runtimes;
#[cfg(feature = "std")]
mod servers;
#[cfg(feature = "std")]
mod shutdown;
#[cfg(feature = "time")]
mod time;
#[cfg(all(feature = "std", feature = "tracing"))]
mod tracing;
