//! The first error drops everybody else, and nobody needs an `Arc`.
//!
//! ```sh
//! cargo run --example first_error
//! ```

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use errgroup::ErrGroup;
use smol::Timer;

fn main() {
    // Both stay here, on the stack; the tasks borrow them.
    let files = ["a.txt", "b.txt", "c.txt", "d.txt"].map(String::from);
    let loaded = AtomicUsize::new(0);

    let mut group = ErrGroup::new();
    for (file, ms) in files.iter().zip([10, 200, 60_000, 60_000]) {
        group.spawn(load(file, Duration::from_millis(ms), &loaded));
    }
    match smol::block_on(group) {
        Ok(()) => println!("all done"),
        Err(error) => println!("failed: {error}"),
    }
    println!("loaded {} of {}", loaded.into_inner(), files.len());
}

/// Takes its time. There is no `b.txt`.
async fn load(file: &str, time: Duration, loaded: &AtomicUsize) -> Result<(), String> {
    let _connection = Connection(file);
    Timer::after(time).await;
    if file == "b.txt" {
        return Err(format!("{file} not found"));
    }
    loaded.fetch_add(1, Relaxed);
    Ok(())
}

/// Something that has to be given back, however it ends.
struct Connection<'a>(&'a str);

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        println!("closing the connection of {}", self.0);
    }
}
