//! One module for each row of the table "Compared with", and in it a test for each peer whose cell
//! can be shown by a program. README.md lists them.

mod common;
mod go;

mod all_errors;
mod any_executor;
mod borrow;
mod cause;
mod cores;
mod detach;
mod fail_fast;
mod grace;
mod limit;
mod no_std;
mod order;
mod panics;
mod spawn_inside;
mod starvation;
mod table;
