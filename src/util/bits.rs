//! A set of small numbers that finds the next one quickly.

use alloc::vec::Vec;

const BITS: usize = usize::BITS as usize;

/// A set of numbers, as bits. `insert` and `remove` take constant time; `next_from` looks at one
/// word for each `BITS * BITS` numbers that it passes over.
///
/// # Invariant
///
/// A bit of `filled` is set exactly if that word of `words` is not 0.
#[derive(Default)]
pub(crate) struct Bits {
    words: Vec<usize>,
    filled: Vec<usize>,
}

impl Bits {
    #[inline]
    pub(crate) fn insert(&mut self, number: usize) {
        let word = number / BITS;
        if self.words.len() <= word {
            self.grow(word);
        }
        self.words[word] |= 1 << (number % BITS);
        self.filled[word / BITS] |= 1 << (word % BITS);
    }

    #[cold]
    fn grow(&mut self, word: usize) {
        self.words.resize(word + 1, 0);
        self.filled.resize(word / BITS + 1, 0);
    }

    pub(crate) fn remove(&mut self, number: usize) {
        let word = number / BITS;
        if let Some(bits) = self.words.get_mut(word) {
            *bits &= !(1 << (number % BITS));
            if *bits == 0 {
                self.filled[word / BITS] &= !(1 << (word % BITS));
            }
        }
    }

    pub(crate) fn contains(&self, number: usize) -> bool {
        let word = self.words.get(number / BITS);
        word.is_some_and(|bits| bits & (1 << (number % BITS)) != 0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.filled.iter().all(|&bits| bits == 0)
    }

    /// The lowest number that is not below `number`.
    pub(crate) fn next_from(&self, number: usize) -> Option<usize> {
        let word = number / BITS;
        let bits = self.words.get(word)? & from(number);
        if bits != 0 {
            return Some(word * BITS + bits.trailing_zeros() as usize);
        }
        let mut group = (word + 1) / BITS;
        let mut filled = self.filled.get(group)? & from(word + 1);
        while filled == 0 {
            group += 1;
            filled = *self.filled.get(group)?;
        }
        let word = group * BITS + filled.trailing_zeros() as usize;
        Some(word * BITS + self.words[word].trailing_zeros() as usize)
    }
}

/// The bits of a word from that of `number` on.
fn from(number: usize) -> usize {
    usize::MAX << (number % BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn a_set_finds_the_next_number_over_any_gap() {
        let mut bits = Bits::default();
        let mut model = BTreeSet::new();
        let mut seed = 7_usize;
        for _ in 0..4_000 {
            seed = seed.wrapping_mul(1_103_515_245).wrapping_add(12_345) % (1 << 31);
            // Some numbers in one word, some far apart.
            let number = (seed >> 8) % if seed & 16 == 0 { 100 } else { 70_000 };
            if seed & 32 == 0 {
                bits.insert(number);
                model.insert(number);
            } else {
                bits.remove(number);
                model.remove(&number);
            }
            assert_eq!(
                bits.next_from(number),
                model.range(number..).next().copied()
            );
            assert_eq!(bits.contains(number), model.contains(&number));
            assert_eq!(bits.next_from(0), model.first().copied());
            assert_eq!(bits.is_empty(), model.is_empty());
        }
    }
}
