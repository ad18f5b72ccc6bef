//! Runs what errgroup has where there is no standard library, and no executor but this one.
//!
//! Its result is 0 if all is as it should be, or else the number of the first check that failed: as
//! the exit status of a program, or from `run`, which is what a WebAssembly module exports. A panic
//! and a future that nobody wakes end it at once.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod checks;
mod executor;
mod platform;

const CHECKS: [fn() -> bool; 8] = [
    checks::a_group_collects_in_order,
    checks::the_first_error_drops_the_rest,
    checks::a_group_has_a_thousand_tasks,
    checks::contexts_are_a_tree_with_deadlines,
    checks::a_grace_ends_who_does_not_listen,
    checks::a_semaphore_is_weighted_and_fair,
    checks::a_scope_starts_and_awaits_tasks,
    checks::maps_keep_the_order,
];

fn run() -> i32 {
    let failed = CHECKS.iter().position(|check| !check());
    match failed {
        Some(index) => index as i32 + 1,
        None if !platform::sections_were_balanced() => -1,
        None => 0,
    }
}
