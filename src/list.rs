//! A list with stable keys: entries stand in the order in which they came, and any of them can
//! be taken out.

use alloc::vec::Vec;
use core::mem;

/// Where an entry stands. Good until the entry is removed.
pub(crate) type Key = usize;

/// The end of a chain of keys.
const NONE: Key = usize::MAX;

/// A list that has become empty keeps at most this many slots.
const KEPT: usize = 32;

/// A doubly linked list in a slab: `push_back` and `remove` take constant time, and memory is
/// reused.
///
/// # Invariants
///
/// 1. A slot with a value is in the chain `head` → `next` → … → `tail`; `previous` leads back.
/// 2. A slot without one is in the chain `free` → `next` → …, once.
/// 3. `len` is the number of slots with a value. If it is 0, there are no slots at all, and
///    capacity for at most `KEPT`.
pub(crate) struct List<T> {
    slots: Vec<Slot<T>>,
    head: Key,
    tail: Key,
    free: Key,
    len: usize,
}

struct Slot<T> {
    value: Option<T>,
    previous: Key,
    next: Key,
}

impl<T> List<T> {
    pub(crate) const fn new() -> Self {
        List {
            slots: Vec::new(),
            head: NONE,
            tail: NONE,
            free: NONE,
            len: 0,
        }
    }

    pub(crate) fn push_back(&mut self, value: T) -> Key {
        let slot = Slot {
            value: Some(value),
            previous: self.tail,
            next: NONE,
        };
        let key = self.free;
        let key = if key == NONE {
            self.slots.push(slot);
            self.slots.len() - 1
        } else {
            self.free = self.slots[key].next;
            self.slots[key] = slot;
            key
        };
        match self.tail {
            NONE => self.head = key,
            tail => self.slots[tail].next = key,
        }
        self.tail = key;
        self.len += 1;
        key
    }

    /// Takes an entry out.
    ///
    /// # Panics
    ///
    /// If there is no entry at `key`.
    pub(crate) fn remove(&mut self, key: Key) -> T {
        let slot = &mut self.slots[key];
        let value = slot.value.take().expect("the key is good");
        let (previous, next) = (slot.previous, mem::replace(&mut slot.next, self.free));
        self.free = key;
        match previous {
            NONE => self.head = next,
            previous => self.slots[previous].next = next,
        }
        match next {
            NONE => self.tail = previous,
            next => self.slots[next].previous = previous,
        }
        self.len -= 1;
        if self.len == 0 {
            self.free = NONE;
            // Every slot was filled since the list was last empty, so that clearing them costs
            // no more than filling them did.
            self.slots.clear();
            if self.slots.capacity() > KEPT {
                self.slots = Vec::new();
            }
        }
        value
    }

    /// # Panics
    ///
    /// If there is no entry at `key`.
    pub(crate) fn get_mut(&mut self, key: Key) -> &mut T {
        self.slots[key].value.as_mut().expect("the key is good")
    }

    /// The entry after `key`.
    pub(crate) fn next(&self, key: Key) -> Option<Key> {
        let next = self.slots[key].next;
        (next != NONE).then_some(next)
    }

    /// Calls `f` with every entry, in order.
    pub(crate) fn for_each(&mut self, mut f: impl FnMut(&mut T)) {
        let mut at = self.head;
        while at != NONE {
            let slot = &mut self.slots[at];
            at = slot.next;
            f(slot.value.as_mut().expect("only entries are linked"));
        }
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        List::new()
    }
}

/// In order.
impl<T> IntoIterator for List<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter {
            next: self.head,
            slots: self.slots,
        }
    }
}

pub(crate) struct IntoIter<T> {
    slots: Vec<Slot<T>>,
    next: Key,
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let slot = self.slots.get_mut(self.next)?;
        self.next = slot.next;
        slot.value.take()
    }
}
