//! Running code of the user that may panic, so that one panic does not stop the rest.

use core::mem;
use core::task::Waker;

use crate::util::sync::{Payload, catch, panicking, resume};

/// Runs steps of which each may panic, and lets the first panic go on when all have run.
///
/// With `std`: a panic in one step stops no other. If the thread was panicking already, it is
/// swallowed, because a second one that leaves a destructor would abort the process. Without
/// `std` nothing can be caught, and the first panic leaves at once.
pub(crate) fn sequence<R>(steps: impl FnOnce(&mut Sequence) -> R) -> R {
    let mut sequence = Sequence { first: None };
    let result = steps(&mut sequence);
    match sequence.first {
        None => result,
        Some(payload) if panicking() => {
            discard(payload);
            result
        }
        Some(payload) => resume(payload),
    }
}

/// Runs steps of which each may panic, for what is on its way out with a result: that is not to be
/// lost, so the panics end here.
pub(crate) fn in_passing(steps: impl FnOnce(&mut Sequence)) {
    let mut sequence = Sequence { first: None };
    steps(&mut sequence);
    if let Some(payload) = sequence.first {
        discard(payload);
    }
}

/// The steps that [`sequence`] runs.
pub(crate) struct Sequence {
    first: Option<Payload>,
}

impl Sequence {
    pub(crate) fn run(&mut self, step: impl FnOnce()) {
        if let Err(payload) = catch(step) {
            match self.first {
                None => self.first = Some(payload),
                Some(_) => discard(payload),
            }
        }
    }

    /// Drops every item of `items`.
    pub(crate) fn drop_each<I>(&mut self, items: I)
    where
        I: IntoIterator,
    {
        for item in items {
            self.run(|| drop(item));
        }
    }
}

/// Drops what a panic carried. The destructor of a payload is code of the user, too, and its panic
/// has a payload. A chain of these that does not seem to end is forgotten: that is better than to
/// hang.
pub(crate) fn discard(payload: Payload) {
    let mut next = Some(payload);
    for _ in 0..LONGEST_CHAIN {
        let Some(payload) = next else { return };
        next = catch(|| drop(payload)).err();
    }
    mem::forget(next);
}

/// How many payloads are dropped of which each one comes from the destructor of the one before.
const LONGEST_CHAIN: usize = 16;

/// Drops `value`; if its destructor panics while the thread is panicking, the panic ends here.
pub(crate) fn drop_quietly<T>(value: T) {
    sequence(|steps| steps.run(|| drop(value)));
}

/// Wakes every waker, whatever the others do.
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    sequence(|steps| {
        for waker in wakers {
            steps.run(|| waker.wake());
        }
    });
}
