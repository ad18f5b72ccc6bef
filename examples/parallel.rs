//! A group polls its tasks on one thread. With an executor between, they use all of them.
//!
//! ```sh
//! cargo run --release --example parallel
//! cargo run --release --example parallel -- --below 1000000
//! ```
//!
//! Counts primes, first as tasks of a group, then as tasks of an `async_executor::Executor` that
//! runs on several threads, and whose handles are tasks of a group. Such a handle cancels on drop,
//! so that the first error stops everything here, too.

use std::convert::Infallible;
use std::ops::Range;
use std::thread;
use std::time::Instant;

use errgroup::ErrGroup;
use smol::Executor;
use smol::channel;

const PARTS: u32 = 64;

fn main() -> Result<(), lexopt::Error> {
    use lexopt::prelude::*;

    let mut below = 5_000_000;
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("below") => below = args.value()?.parse()?,
            _ => return Err(arg.unexpected()),
        }
    }
    let threads = thread::available_parallelism()
        .map_err(|error| error.to_string())?
        .get();
    time("1 thread", || on_one_thread(below));
    time(&format!("{threads} threads"), || on_threads(threads, below));
    Ok(())
}

fn time(name: &str, count: impl FnOnce() -> usize) {
    let start = Instant::now();
    let primes = count();
    println!(
        "{name}: {primes} primes in {:.3} s",
        start.elapsed().as_secs_f64()
    );
}

fn on_one_thread(below: u32) -> usize {
    let mut group = ErrGroup::new();
    for part in parts(below) {
        group.spawn(count_primes(part));
    }
    sum(group)
}

fn on_threads(threads: usize, below: u32) -> usize {
    let executor = Executor::new();
    // Closed when the sender is dropped, also by a panic.
    let (running, stopped) = channel::bounded::<Infallible>(1);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| smol::block_on(executor.run(stopped.recv())));
        }
        let _running = running;
        let mut group = ErrGroup::new();
        for part in parts(below) {
            group.spawn(executor.spawn(count_primes(part)));
        }
        sum(group)
    })
}

fn sum(group: ErrGroup<'_, usize, Infallible>) -> usize {
    let Ok(counts) = smol::block_on(group.collect());
    counts.iter().sum()
}

/// The numbers in parts, of which there are enough to keep everybody busy to the end.
fn parts(below: u32) -> impl Iterator<Item = Range<u32>> {
    let border = move |part| (u64::from(below) * u64::from(part) / u64::from(PARTS)) as u32;
    (0..PARTS).map(move |part| border(part)..border(part + 1))
}

/// Has nothing to wait for: it keeps a processor busy.
async fn count_primes(numbers: Range<u32>) -> Result<usize, Infallible> {
    Ok(numbers.filter(|&number| is_prime(number)).count())
}

fn is_prime(number: u32) -> bool {
    number >= 2 && (2..=number.isqrt()).all(|divisor| number % divisor != 0)
}
