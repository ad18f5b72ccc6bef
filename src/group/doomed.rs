//! Tasks that were aborted.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

/// What is left of a task that was aborted.
pub(super) enum Remains<E, F> {
    Task(F),
    /// Its destructor has panicked, which was caught.
    Error(E),
}

/// What is left of tasks that were aborted, with their indices, in the order in which it is dropped
/// or given out. Most groups never have any.
pub(super) struct Doomed<E, F>(Option<Box<All<E, F>>>);

type All<E, F> = VecDeque<(usize, Remains<E, F>)>;

impl<E, F> Default for Doomed<E, F> {
    fn default() -> Self {
        Doomed(None)
    }
}

impl<E, F> Doomed<E, F> {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|all| all.is_empty())
    }

    pub(super) fn push(&mut self, index: usize, remains: Remains<E, F>) {
        self.0.get_or_insert_default().push_back((index, remains));
    }

    pub(super) fn pop(&mut self) -> Option<(usize, Remains<E, F>)> {
        self.0.as_mut()?.pop_front()
    }
}

impl<E, F> IntoIterator for Doomed<E, F> {
    type Item = (usize, Remains<E, F>);
    type IntoIter = alloc::collections::vec_deque::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.map_or_else(All::new, |all| *all).into_iter()
    }
}
