//! What the crate promises, polled by hand: one module for each thing it does. Tests that need
//! a runtime, a subscriber or the binaries of the examples are in `suites`.

#[path = "../common/mod.rs"]
mod common;

mod abort;
mod abort_cost;
#[cfg(feature = "std")]
mod abort_panics;
mod auto_traits;
mod auto_traits_every;
mod auto_traits_handles;
mod auto_traits_unwind;
mod buffered;
mod chunks;
mod compared;
mod context;
mod context_deadline;
mod context_tree;
mod context_wakers;
mod deadline;
mod drive;
mod failing;
mod fairness;
#[cfg(feature = "std")]
mod faults;
mod futurelock;
mod go_parity;
mod grace;
mod graceful_empty;
mod group_methods;
mod group_scope;
mod handles;
mod keep_open;
mod limits;
mod map;
mod map_over;
mod misuse;
#[cfg(feature = "std")]
mod panics;
#[cfg(feature = "std")]
mod panics_odd;
mod running;
mod scope;
mod semaphore;
mod semaphore_stress;
mod slot_wakers;
mod start_limit;
#[cfg(feature = "std")]
mod surface;
mod sync_futures;
mod table;
mod text;
mod threads;
mod threads_odd;
