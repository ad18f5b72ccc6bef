//! Everybody may finish, and all errors are told.
//!
//! ```sh
//! cargo run --example all_errors
//! ```

use std::time::Duration;

use errgroup::ErrGroup;
use smol::Timer;

fn main() {
    smol::block_on(async {
        for (index, outcome) in checks().settle().await.iter().enumerate() {
            match outcome {
                Ok(answer) => println!("task {index}: {answer}"),
                Err(error) => println!("task {index} failed: {error}"),
            }
        }

        // The same again, for those who want all or nothing.
        match checks().wait_all().await {
            Ok(answers) => println!("{answers:?}"),
            Err(errors) => println!("{errors}"),
        }
    });
}

/// Three tasks, the second of which fails, and long before the others are done.
fn checks() -> ErrGroup<'static, &'static str, String> {
    let mut group = ErrGroup::new();
    group.spawn(check("database", 60, true));
    group.spawn(check("cache", 20, false));
    group.spawn(check("mail", 40, true));
    group
}

async fn check(name: &str, ms: u64, healthy: bool) -> Result<&str, String> {
    Timer::after(Duration::from_millis(ms)).await;
    if healthy {
        Ok(name)
    } else {
        Err(format!("{name} does not answer"))
    }
}
