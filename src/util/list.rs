//! A list with stable keys: entries stand in the order in which they came, and any of them can
//! be taken out.

use alloc::vec::Vec;

/// Where an entry stands. Good until the entry is removed.
pub(crate) type Key = u32;

/// The end of a chain of keys.
const NONE: Key = Key::MAX;

/// A list that has become empty keeps at most this many slots.
const KEPT: usize = 32;

/// A doubly linked list in a slab: `push_back` and `remove` take constant time, and memory is
/// reused. The first entry stands in the list itself, so that one alone costs no allocation.
///
/// # Invariants
///
/// 1. A slot with a value is in the chain `head` → `next` → … → `tail`; `previous` leads back.
/// 2. A slot of `slots` without one is in the chain `free` → `next` → …, once.
/// 3. `len` is the number of slots with a value. If it is 0, `slots` is empty, and has capacity
///    for at most `KEPT`.
pub(crate) struct List<T> {
    /// The slot with key 0.
    first: Slot<T>,
    /// The others, from key 1 on.
    slots: Vec<Slot<T>>,
    head: Key,
    tail: Key,
    free: Key,
    len: Key,
}

struct Slot<T> {
    value: Option<T>,
    previous: Key,
    next: Key,
}

impl<T> List<T> {
    pub(crate) const fn new() -> Self {
        List {
            first: Slot {
                value: None,
                previous: NONE,
                next: NONE,
            },
            slots: Vec::new(),
            head: NONE,
            tail: NONE,
            free: NONE,
            len: 0,
        }
    }

    /// # Panics
    ///
    /// If the list has `u32::MAX` entries.
    pub(crate) fn push_back(&mut self, value: T) -> Key {
        let slot = Slot {
            value: Some(value),
            previous: self.tail,
            next: NONE,
        };
        let key = if self.first.value.is_none() {
            self.first = slot;
            0
        } else if self.free != NONE {
            let key = self.free;
            self.free = self.slot(key).next;
            *self.slot_mut(key) = slot;
            key
        } else {
            let key = Key::try_from(self.slots.len() + 1).unwrap_or(NONE);
            assert!(key != NONE, "too many entries");
            self.slots.push(slot);
            key
        };
        match self.tail {
            NONE => self.head = key,
            tail => self.slot_mut(tail).next = key,
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
    #[inline]
    pub(crate) fn remove(&mut self, key: Key) -> T {
        let free = self.free;
        let slot = self.slot_mut(key);
        let value = slot.value.take().expect("the key is good");
        let (previous, next) = (slot.previous, slot.next);
        if key != 0 {
            slot.next = free;
            self.free = key;
        }
        match previous {
            NONE => self.head = next,
            previous => self.slot_mut(previous).next = next,
        }
        match next {
            NONE => self.tail = previous,
            next => self.slot_mut(next).previous = previous,
        }
        self.len -= 1;
        if self.len == 0 && !self.slots.is_empty() {
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
        self.slot_mut(key).value.as_mut().expect("the key is good")
    }

    fn slot(&self, key: Key) -> &Slot<T> {
        match key.checked_sub(1) {
            None => &self.first,
            Some(index) => &self.slots[index as usize],
        }
    }

    fn slot_mut(&mut self, key: Key) -> &mut Slot<T> {
        match key.checked_sub(1) {
            None => &mut self.first,
            Some(index) => &mut self.slots[index as usize],
        }
    }

    /// The entry after `key`.
    pub(crate) fn next(&self, key: Key) -> Option<Key> {
        let next = self.slot(key).next;
        (next != NONE).then_some(next)
    }

    /// Calls `f` with every entry, in order.
    pub(crate) fn for_each(&mut self, mut f: impl FnMut(&mut T)) {
        let mut at = self.head;
        while at != NONE {
            let slot = self.slot_mut(at);
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
        IntoIter(self)
    }
}

/// Breaks the links as it goes.
pub(crate) struct IntoIter<T>(List<T>);

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if self.0.head == NONE {
            return None;
        }
        let slot = self.0.slot_mut(self.0.head);
        let next = slot.next;
        let value = slot.value.take();
        self.0.head = next;
        value
    }
}
