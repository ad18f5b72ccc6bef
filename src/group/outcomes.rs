//! What a group keeps of the tasks that ended, until somebody asks.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::mem;
use core::ops::Range;

use crate::error::Errors;
use crate::util::panic::sequence;

/// Kept values and errors, in the order in which they came.
pub(crate) struct Outcomes<T, E> {
    values: VecDeque<T>,
    /// The index of each value.
    indices: Indices,
    errors: VecDeque<Kept<E>>,
    /// How many values were kept before the first of `values`.
    taken: usize,
}

struct Kept<E> {
    index: usize,
    /// How many values were kept before this error.
    rank: usize,
    error: E,
}

impl<T, E> Default for Outcomes<T, E> {
    fn default() -> Self {
        Outcomes {
            values: VecDeque::new(),
            indices: Indices::new::<T>(),
            errors: VecDeque::new(),
            taken: 0,
        }
    }
}

impl<T, E> Outcomes<T, E> {
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.errors.is_empty()
    }

    pub(crate) fn has_value(&self) -> bool {
        !self.values.is_empty()
    }

    pub(crate) fn has_error(&self) -> bool {
        !self.errors.is_empty()
    }

    pub(crate) fn push_value(&mut self, index: usize, value: T) {
        self.values.push_back(value);
        self.indices.push(index);
    }

    pub(crate) fn push_error(&mut self, index: usize, error: E) {
        self.errors.push_back(Kept {
            index,
            rank: self.taken + self.values.len(),
            error,
        });
    }

    pub(crate) fn last_error(&self) -> Option<&E> {
        self.errors.back().map(|kept| &kept.error)
    }

    /// The outcome that came first.
    pub(crate) fn pop(&mut self) -> Option<(usize, Result<T, E>)> {
        match self.errors.front() {
            Some(kept) if kept.rank <= self.taken => {
                let Kept { index, error, .. } = self.errors.pop_front()?;
                Some((index, Err(error)))
            }
            _ => {
                let value = self.values.pop_front()?;
                self.taken += 1;
                Some((self.indices.pop()?, Ok(value)))
            }
        }
    }

    pub(crate) fn pop_value(&mut self) -> Option<T> {
        self.values.pop_front()
    }

    pub(crate) fn pop_error(&mut self) -> Option<E> {
        self.errors.pop_front().map(|kept| kept.error)
    }

    /// Drops everything but the first error.
    pub(crate) fn drop_all_but_failure(&mut self) {
        self.taken += self.values.len();
        self.indices = Indices::new::<T>();
        let later = self.errors.split_off(self.errors.len().min(1));
        sequence(|steps| {
            steps.drop_each(mem::take(&mut self.values));
            steps.drop_each(later);
        });
    }

    /// The values in spawn order.
    pub(crate) fn take_values(&mut self) -> Vec<T> {
        let values = mem::take(&mut self.values);
        let Indices::Each(indices) = &self.indices else {
            // Values of size zero are all alike.
            return values.into();
        };
        let following = indices.iter().skip(1);
        if indices.iter().zip(following).all(|(a, b)| a < b) {
            return values.into();
        }
        let mut pairs: Vec<_> = indices.iter().zip(values).collect();
        pairs.sort_unstable_by_key(|pair| pair.0);
        pairs.into_iter().map(|pair| pair.1).collect()
    }

    /// All values in spawn order, or all errors.
    pub(crate) fn take_all(&mut self) -> Result<Vec<T>, Errors<E>> {
        if self.errors.is_empty() {
            Ok(self.take_values())
        } else {
            Err(self.take_errors())
        }
    }

    pub(crate) fn take_errors(&mut self) -> Errors<E> {
        let total = self.values.len() + self.errors.len();
        let errors = mem::take(&mut self.errors).into_iter();
        Errors::new(errors.map(|kept| (kept.index, kept.error)).collect(), total)
    }

    /// Every outcome in spawn order.
    pub(crate) fn take_results(&mut self) -> Vec<Result<T, E>> {
        let count = self.values.len() + self.errors.len();
        let mut pairs = Vec::with_capacity(count);
        let values = mem::take(&mut self.values).into_iter().map(Ok);
        match mem::replace(&mut self.indices, Indices::new::<T>()) {
            Indices::Each(indices) => pairs.extend(indices.into_iter().zip(values)),
            Indices::Merged(runs) => pairs.extend(runs.indices().zip(values)),
        }
        let errors = mem::take(&mut self.errors).into_iter();
        pairs.extend(errors.map(|kept| (kept.index, Err(kept.error))));
        pairs.sort_by_key(|pair: &(usize, _)| pair.0);
        pairs.into_iter().map(|pair| pair.1).collect()
    }
}

/// One after the other, whatever their destructors do.
impl<T, E> Drop for Outcomes<T, E> {
    fn drop(&mut self) {
        if !self.is_empty() {
            sequence(|steps| {
                steps.drop_each(mem::take(&mut self.values));
                steps.drop_each(mem::take(&mut self.errors));
            });
        }
    }
}

/// The indices of kept values.
enum Indices {
    /// One for each value, in the order in which they came.
    Each(VecDeque<usize>),
    /// Of values of size zero: they are all alike, so that it is enough to know which indices
    /// have one. A group that runs for years keeps the results of a billion tasks in no memory.
    Merged(Runs),
}

impl Indices {
    fn new<T>() -> Self {
        if mem::size_of::<T>() == 0 {
            Indices::Merged(Runs::default())
        } else {
            Indices::Each(VecDeque::new())
        }
    }

    fn push(&mut self, index: usize) {
        match self {
            Indices::Each(indices) => indices.push_back(index),
            Indices::Merged(runs) => runs.insert(index),
        }
    }

    /// Takes out the one that came first; of values of size zero the lowest.
    fn pop(&mut self) -> Option<usize> {
        match self {
            Indices::Each(indices) => indices.pop_front(),
            Indices::Merged(runs) => runs.remove_first(),
        }
    }
}

/// A set of numbers, as runs of neighbours. It takes memory for the gaps, that is for the tasks
/// that are not done yet.
#[derive(Default)]
struct Runs {
    /// The run that grew last: tasks mostly end in spawn order, and then this is all there is.
    last: Range<usize>,
    /// The start and the end of every other run. Runs never touch.
    others: BTreeMap<usize, usize>,
}

impl Runs {
    fn insert(&mut self, number: usize) {
        if number != self.last.end {
            self.put_back();
            let before = self.others.range(..=number).next_back();
            self.last = match before.map(|(&start, &end)| start..end) {
                Some(before) if before.end == number => {
                    self.others.remove(&before.start);
                    before
                }
                _ => number..number,
            };
        }
        self.last.end = number + 1;
        if let Some(end) = self.others.remove(&self.last.end) {
            self.last.end = end;
        }
    }

    fn remove_first(&mut self) -> Option<usize> {
        self.put_back();
        let (start, end) = self.others.pop_first()?;
        self.last = start + 1..end;
        Some(start)
    }

    fn put_back(&mut self) {
        let last = mem::take(&mut self.last);
        if !last.is_empty() {
            self.others.insert(last.start, last.end);
        }
    }

    fn indices(mut self) -> impl Iterator<Item = usize> {
        self.put_back();
        self.others.into_iter().flat_map(|(start, end)| start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn runs_merge_with_the_neighbours_on_both_sides() {
        let mut runs = Runs::default();
        for number in [5, 0, 2, 6, 1, 9, 8] {
            runs.insert(number);
        }
        runs.put_back();
        assert_eq!(runs.others, BTreeMap::from([(0, 3), (5, 7), (8, 10)]));
        assert_eq!(runs.remove_first(), Some(0));
        assert_eq!(runs.indices().collect::<Vec<_>>(), [1, 2, 5, 6, 8, 9]);
    }

    #[test]
    fn outcomes_come_out_in_the_order_in_which_they_came() {
        let mut outcomes = Outcomes::default();
        outcomes.push_value(2, 'c');
        outcomes.push_error(0, "a");
        outcomes.push_value(1, 'b');
        assert_eq!(outcomes.pop(), Some((2, Ok('c'))));
        outcomes.push_error(3, "d");
        let rest: Vec<_> = core::iter::from_fn(|| outcomes.pop()).collect();
        assert_eq!(rest, vec![(0, Err("a")), (1, Ok('b')), (3, Err("d"))]);
    }

    #[test]
    fn results_of_size_zero_stand_in_spawn_order_between_errors() {
        let mut outcomes = Outcomes::default();
        for index in [4, 0, 3] {
            outcomes.push_value(index, ());
        }
        outcomes.push_error(2, "c");
        outcomes.push_error(1, "b");
        assert_eq!(
            outcomes.take_results(),
            vec![Ok(()), Err("b"), Err("c"), Ok(()), Ok(())]
        );
    }
}
