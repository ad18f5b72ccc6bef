//! What everything else stands on.

pub(crate) mod bits;
pub(crate) mod list;
pub(crate) mod panic;
pub(crate) mod sync;
pub(crate) mod waiters;
pub(crate) mod waker;
