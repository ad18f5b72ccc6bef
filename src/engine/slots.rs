//! Where the tasks of a chunk are.

use alloc::vec::Vec;
use core::mem;
use core::task::Waker;

use crate::engine::wakers::Wakers;
use crate::util::panic::Sequence;
use crate::util::sync::SLOTS;

pub(super) struct Slot<F> {
    pub(super) task: Option<F>,
    pub(super) index: usize,
    /// Made with the first task here, or one slot before, and kept for those after it. The very
    /// first slot has none: its waker is the parker.
    pub(super) waker: Option<Waker>,
}

impl<F> Slot<F> {
    const EMPTY: Self = Slot {
        task: None,
        index: 0,
        waker: None,
    };
}

/// The slots of a chunk. They are made in order.
pub(super) struct Slots<F> {
    /// Most groups have so few tasks that they need no memory but this for them.
    few: [Slot<F>; FEW],
    /// Those after them.
    more: Vec<Slot<F>>,
    /// So many of them have their wakers, or need none of their own.
    equipped: usize,
}

const FEW: usize = if SLOTS < 4 { SLOTS } else { 4 };

impl<F> Slots<F> {
    pub(super) const fn new() -> Self {
        Slots {
            few: [const { Slot::EMPTY }; FEW],
            more: Vec::new(),
            equipped: 0,
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut Slot<F>> {
        match place.checked_sub(FEW) {
            None => Some(&mut self.few[place]),
            Some(place) => self.more.get_mut(place),
        }
    }

    /// The slot at this place, made if it is the next, with its waker if it has one of its own.
    #[inline]
    pub(super) fn equipped(
        &mut self,
        place: usize,
        wakers: impl FnOnce(usize) -> Wakers,
    ) -> &mut Slot<F> {
        if place >= self.equipped {
            self.equipped = place + 1;
            match wakers(place) {
                Wakers::OfParker => {}
                Wakers::One(waker) => self.get_or_add(place).waker = Some(waker),
                Wakers::Both(pair) => self.equip(place, pair),
            }
        }
        self.get_mut(place).expect("it was just made")
    }

    #[inline(never)]
    fn equip(&mut self, place: usize, [first, second]: [Waker; 2]) {
        self.get_or_add(place).waker = Some(first);
        if place + 1 < SLOTS {
            self.get_or_add(place + 1).waker = Some(second);
            self.equipped += 1;
        }
    }

    #[inline]
    fn get_or_add(&mut self, place: usize) -> &mut Slot<F> {
        if place == FEW + self.more.len() {
            self.add();
        }
        self.get_mut(place).expect("slots are made in order")
    }

    #[inline(never)]
    fn add(&mut self) {
        if self.more.len() == self.more.capacity() {
            self.grow();
        }
        self.more.push(Slot::EMPTY);
    }

    /// Not by `reserve`: to reallocate takes an allocator longer than to allocate.
    #[cold]
    #[allow(
        clippy::unnecessary_min_or_max,
        reason = "for loom a chunk has no more than `FEW`"
    )]
    fn grow(&mut self) {
        let capacity = 4 * (FEW + self.more.len()) - FEW;
        let mut more = Vec::with_capacity(capacity.min(SLOTS - FEW));
        more.append(&mut self.more);
        self.more = more;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot<F>> {
        self.few.iter().chain(&self.more)
    }

    /// Drops the tasks, and each slot with its task, while it is at hand.
    pub(super) fn drop_tasks(&mut self, steps: &mut Sequence) {
        let few = self
            .few
            .iter_mut()
            .map(|slot| mem::replace(slot, Slot::EMPTY));
        for slot in few.chain(mem::take(&mut self.more)) {
            if let Some(task) = slot.task {
                steps.run(|| drop(task));
            }
        }
    }
}
