//! What comes of the items, until it is given.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem;

use crate::util::panic::sequence;

/// Outputs that wait for whoever takes them.
pub(super) struct Outputs<O> {
    /// The first place is that of the next output to be given.
    waiting: VecDeque<Option<O>>,
    /// How many were given.
    pub(super) given: usize,
}

impl<O> Default for Outputs<O> {
    fn default() -> Self {
        Outputs {
            waiting: VecDeque::new(),
            given: 0,
        }
    }
}

impl<O> Outputs<O> {
    /// Puts an output into its place.
    pub(super) fn put(&mut self, index: usize, output: O) {
        let place = index - self.given;
        if self.waiting.len() <= place {
            self.waiting.resize_with(place + 1, || None);
        }
        self.waiting[place] = Some(output);
    }

    /// Puts an output after those that came before.
    pub(super) fn push(&mut self, _: usize, output: O) {
        self.waiting.push_back(Some(output));
    }

    pub(super) fn take(&mut self) -> Option<O> {
        let output = self.waiting.front_mut()?.take()?;
        self.waiting.pop_front();
        self.given += 1;
        Some(output)
    }
}

/// One after the other, whatever their destructors do.
impl<O> Drop for Outputs<O> {
    fn drop(&mut self) {
        if !self.waiting.is_empty() {
            sequence(|steps| steps.drop_each(mem::take(&mut self.waiting)));
        }
    }
}

/// Where the values of a map go.
pub(super) trait Keep<T>: Default {
    fn put(&mut self, index: usize, value: T);
}

/// There are none.
#[derive(Default)]
pub(super) struct Nothing;

impl Keep<()> for Nothing {
    fn put(&mut self, _: usize, (): ()) {}
}

/// Values on their way into the order of the items.
pub(super) struct Values<T> {
    /// Those of the first items.
    pub(super) done: Vec<T>,
    /// Those that came too early; the first place is that of the item after `done`.
    early: VecDeque<Option<T>>,
}

impl<T> Default for Values<T> {
    fn default() -> Self {
        Values::new(0)
    }
}

impl<T> Values<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Values {
            done: Vec::with_capacity(capacity),
            early: VecDeque::new(),
        }
    }
}

/// One after the other, whatever their destructors do.
impl<T> Drop for Values<T> {
    fn drop(&mut self) {
        if !(self.done.is_empty() && self.early.is_empty()) {
            sequence(|steps| {
                steps.drop_each(mem::take(&mut self.done));
                steps.drop_each(mem::take(&mut self.early));
            });
        }
    }
}

impl<T> Keep<T> for Values<T> {
    fn put(&mut self, index: usize, value: T) {
        let place = index - self.done.len();
        if place == 0 && self.early.is_empty() {
            self.done.push(value);
            return;
        }
        if self.early.len() <= place {
            self.early.resize_with(place + 1, || None);
        }
        self.early[place] = Some(value);
        while let Some(Some(_)) = self.early.front() {
            self.done.extend(self.early.pop_front().flatten());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_find_their_order() {
        let mut values = Values::new(0);
        for index in [2, 0, 4, 1, 3, 5] {
            values.put(index, index);
        }
        assert_eq!(values.done, [0, 1, 2, 3, 4, 5]);
        assert!(values.early.is_empty());
    }
}
