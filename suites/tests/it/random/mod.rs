//! Random programs, each step of which has to do what a small model says.
//!
//! `PROPTEST_CASES=100000` makes it a long run. A program that failed is kept by its seed in
//! `proptest-regressions`, and comes first in every run; the file is to be committed with the mend.
use std::mem;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

use proptest::test_runner::{Config, RngSeed};

mod contexts;
mod semaphores;
mod tasks;

/// The same programs each time, unless it is to be a long run.
fn config() -> Config {
    let mut config = Config::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.rng_seed = RngSeed::Fixed(7);
    }
    config
}

/// One of those that there are.
fn pick(all: impl Iterator<Item = usize>, number: usize) -> Option<usize> {
    let all: Vec<_> = all.collect();
    all.get(number.checked_rem(all.len())?).copied()
}

/// What a part of the program does when its time has come.
#[derive(Clone, Debug)]
enum Then<Op> {
    Nothing,
    Panic,
    Do(Box<Op>),
}

/// Does that, and nothing when it comes again.
fn once<Op>(then: &Mutex<Then<Op>>, panics: impl FnOnce(), act: impl FnOnce(&Op)) {
    let then = mem::replace(&mut *then.lock().unwrap(), Then::Nothing);
    match then {
        Then::Nothing => {}
        Then::Panic => {
            panics();
            resume_unwind(Box::new(()));
        }
        Then::Do(op) => act(&op),
    }
}

/// A waker that counts how often it is woken, and how often it is kept, and is a part of the
/// program: it does something when it is woken.
struct Alarm {
    bell: Arc<Bell>,
    waker: Waker,
}

struct Bell {
    wakes: AtomicUsize,
    hook: Box<dyn Fn() + Send + Sync>,
}

impl Alarm {
    fn new(hook: impl Fn() + Send + Sync + 'static) -> Self {
        let bell = Arc::new(Bell {
            wakes: AtomicUsize::new(0),
            hook: Box::new(hook),
        });
        let waker = Waker::from(bell.clone());
        Alarm { bell, waker }
    }

    fn wakes(&self) -> usize {
        self.bell.wakes.load(SeqCst)
    }

    /// How many clones somebody keeps.
    fn kept(&self) -> usize {
        Arc::strong_count(&self.bell) - 2
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, SeqCst);
        (self.hook)();
    }
}
