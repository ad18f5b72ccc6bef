//! A set of small numbers that finds the next one quickly.

use alloc::vec::Vec;
use core::mem;

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

    /// Moves all numbers of `other` here.
    pub(crate) fn append(&mut self, other: &mut Bits) {
        while let Some(word) = next_in(&other.filled, 0) {
            other.filled[word / BITS] &= !(1 << (word % BITS));
            if self.words.len() <= word {
                self.grow(word);
            }
            self.words[word] |= mem::take(&mut other.words[word]);
            self.filled[word / BITS] |= 1 << (word % BITS);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.filled.iter().all(|&bits| bits == 0)
    }

    /// The lowest number that is not below `number`.
    pub(crate) fn next_from(&self, number: usize) -> Option<usize> {
        let word = number / BITS;
        if let Some(bit) = lowest_from(*self.words.get(word)?, number % BITS) {
            return Some(word * BITS + bit);
        }
        let word = next_in(&self.filled, word + 1)?;
        Some(word * BITS + self.words[word].trailing_zeros() as usize)
    }
}

fn next_in(words: &[usize], number: usize) -> Option<usize> {
    let mut from = number % BITS;
    for (word, &bits) in words.iter().enumerate().skip(number / BITS) {
        if let Some(bit) = lowest_from(bits, from) {
            return Some(word * BITS + bit);
        }
        from = 0;
    }
    None
}

fn lowest_from(bits: usize, from: usize) -> Option<usize> {
    let ahead = bits & (usize::MAX << from);
    (ahead != 0).then(|| ahead.trailing_zeros() as usize)
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
            assert_eq!(bits.next_from(0), model.first().copied());
            assert_eq!(bits.is_empty(), model.is_empty());
        }
    }
}
