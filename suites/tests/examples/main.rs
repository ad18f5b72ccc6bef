//! The examples, as real processes.

mod example;

#[cfg(unix)]
mod examples;
#[cfg(all(unix, feature = "std"))] // Asks a server that makes `io::Error`s of cancellations.
mod http_server;
#[cfg(unix)]
mod programs;
#[cfg(feature = "tracing")]
mod timeline;
