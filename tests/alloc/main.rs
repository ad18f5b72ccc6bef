//! What it costs: allocations and bytes. A binary of its own, because all of its tests run on an
//! allocator that counts.

mod allocator;
#[path = "../common/mod.rs"]
mod common;

mod allocations;
mod churn;
mod context_memory;
mod handles_memory;
mod map_alloc;
mod scale;
mod semaphore_memory;
