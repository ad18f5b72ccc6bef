//! Running code of the user that may panic, so that one panic does not stop the rest.

use core::task::Waker;

use crate::util::sync::{Payload, catch, panicking, resume};

/// Runs steps of which each may panic. The first panic goes on when all have run.
///
/// With `std`: a panic in one step stops no other. If the thread was panicking already, it is
/// swallowed, because a second one that leaves a destructor would abort the process. Without
/// `std` nothing can be caught, and the first panic leaves at once.
#[derive(Default)]
pub(crate) struct Sequence {
    first: Option<Payload>,
}

impl Sequence {
    pub(crate) fn run(&mut self, step: impl FnOnce()) {
        let mut caught = catch(step).err();
        // The destructor of a payload is code of the user, too, and its panic has a payload.
        while let Some(payload) = caught {
            if self.first.is_none() {
                self.first = Some(payload);
                return;
            }
            caught = catch(|| drop(payload)).err();
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

    /// Resumes the first panic, if there was one.
    pub(crate) fn finish(mut self) {
        if let Some(payload) = self.first.take() {
            if panicking() {
                // Forgotten rather than dropped: a destructor that panics here would abort.
                core::mem::forget(payload);
            } else {
                resume(payload)
            }
        }
    }
}

/// Drops `value`; if its destructor panics while the thread is panicking, the panic ends here.
pub(crate) fn drop_quietly<T>(value: T) {
    let mut sequence = Sequence::default();
    sequence.run(|| drop(value));
    sequence.finish();
}

/// Wakes every waker, whatever the others do.
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    let mut sequence = Sequence::default();
    for waker in wakers {
        sequence.run(|| waker.wake());
    }
    sequence.finish();
}
