//! Runs fallible futures together, on any executor, without spawning.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod context;
mod error;
mod list;
mod panic;
mod semaphore;
mod sync;
mod waiters;

sync::std_only! {
    pub use error::Panicked;
}
pub use context::{CancelContext, Cancelling, DropGuard, Run};
pub use error::{CancelKind, Cancelled, Errors, TooLarge, TrySpawnError};
pub use semaphore::{Acquire, AcquireOwned, OwnedPermit, Permit, Semaphore};
