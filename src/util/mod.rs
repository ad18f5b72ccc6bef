//! What everything else stands on.

pub(crate) mod list;
pub(crate) mod panic;
pub(crate) mod sync;
pub(crate) mod waiters;
