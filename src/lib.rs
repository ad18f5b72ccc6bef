//! Runs fallible futures together, on any executor, without spawning.
//!
//! # What an error does
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod context;
mod driver;
mod error;
mod graceful;
mod group;
mod inbox;
mod kind;
mod list;
mod outcomes;
mod panic;
mod parent;
mod spawner;
mod sync;
mod tasks;
mod waiters;

pub use context::{CancelContext, Cancelling, DropGuard, Run};
sync::std_only! {
    pub use error::Panicked;
}
pub use error::{CancelKind, Cancelled, Errors, TooLarge, TrySpawnError};
pub use group::{ErrGroup, Group, LocalErrGroup, Results};
pub use spawner::{ErrSpawner, LocalErrSpawner, Spawner};
