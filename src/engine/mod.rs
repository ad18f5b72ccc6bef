//! Polling a set of tasks: fairly, and waking the parent no more than it must.

mod arrivals;
pub(crate) mod beside;
mod chunk;
mod far;
pub(crate) mod parker;
mod rounds;
mod slots;
mod tasks;
mod wakers;

use alloc::vec::Vec;
use core::future::Future;

use crate::engine::parker::Parker;
use crate::engine::rounds::Rounds;
use crate::util::panic::sequence;
use crate::util::sync::Arc;

pub(crate) use crate::engine::chunk::{Done, Source};
pub(crate) use crate::engine::tasks::Tasks;

/// Running tasks, and what they are polled with.
pub(crate) struct Engine<F, S> {
    /// Made with the first thing that has to be shared.
    parker: Option<Arc<Parker<S>>>,
    pub(crate) rounds: Rounds<F, S>,
}

impl<F, S> Engine<F, S>
where
    F: Future + Unpin,
    S: Default + Send + Sync + 'static,
{
    pub(crate) fn new() -> Self {
        Engine {
            parker: None,
            rounds: Rounds::new(),
        }
    }

    /// The parker, made if there is none.
    #[inline]
    pub(crate) fn parker(&mut self) -> &Arc<Parker<S>> {
        self.parts().0
    }

    /// The same, and the rounds, which poll tasks with it.
    #[inline]
    pub(crate) fn parts(&mut self) -> (&Arc<Parker<S>>, &mut Rounds<F, S>) {
        let parker = self.parker.get_or_insert_with(Arc::default);
        (parker, &mut self.rounds)
    }

    /// What is shared, if there is something.
    #[inline]
    pub(crate) fn shared(&self) -> Option<&Arc<Parker<S>>> {
        self.parker.as_ref()
    }

    /// The indices of the tasks, in no order.
    pub(crate) fn indices(&self) -> impl Iterator<Item = usize> {
        self.rounds.tasks.indices()
    }

    /// Takes out the tasks whose indices are below this one, with these, in no order.
    pub(crate) fn take_below(&mut self, index: usize) -> Vec<(usize, F)> {
        let (parker, rounds) = self.parts();
        let taken = rounds.tasks.take_below(parker, index);
        if self.len() == 0 {
            // So that the wakers of all of them wake nobody any more.
            self.take_tasks();
        }
        taken
    }
}

impl<F, S> Engine<F, S> {
    /// How many tasks there are.
    pub(crate) fn len(&self) -> usize {
        self.parker.as_ref().map_or(0, |parker| parker.len())
    }

    /// Takes all tasks out.
    pub(crate) fn take_tasks(&mut self) -> Tasks<F, S> {
        if let Some(parker) = &self.parker {
            parker.clear();
        }
        self.rounds.take_tasks()
    }
}

/// Whoever has it has taken the tasks out, to drop them one after the other, whatever their
/// destructors do.
impl<F, S> Drop for Engine<F, S> {
    fn drop(&mut self) {
        // Wakers of tasks that are kept elsewhere must not keep the parent's alive.
        if let Some(parker) = &self.parker {
            let waker = parker.take_waker();
            sequence(|steps| steps.run(|| drop(waker)));
        }
    }
}
