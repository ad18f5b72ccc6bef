//! Tasks that wait to be started.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;

use crate::group::shared::Shared;
use crate::util::panic::Sequence;

/// Where a task waits.
#[derive(Clone, Copy)]
pub(crate) enum Lane {
    Regular,
    /// The limit does not hold it up.
    Express,
}

pub(crate) struct Queue<F> {
    /// The body of a scope, which starts before everything else.
    body: Option<F>,
    regular: Line<F>,
    /// Most groups have none of these; not empty if it is there.
    express: Option<Box<Line<F>>>,
}

impl<F> Queue<F> {
    pub(crate) fn new() -> Self {
        Queue {
            body: None,
            regular: Line::new(),
            express: None,
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        !self.has_regular() && !self.has_express()
    }

    #[inline]
    pub(crate) fn has_regular(&self) -> bool {
        !self.regular.is_empty()
    }

    /// Whether there is something that the limit does not hold up.
    #[inline]
    pub(crate) fn has_express(&self) -> bool {
        self.express.is_some() || self.body.is_some()
    }

    pub(crate) fn indices(&self) -> impl Iterator<Item = usize> {
        let express = self.express.as_deref().into_iter();
        express.chain([&self.regular]).flat_map(Line::indices)
    }

    pub(crate) fn has_body(&self) -> bool {
        self.body.is_some()
    }

    pub(crate) fn set_body(&mut self, body: F) {
        self.body = Some(body);
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, index: usize, task: F, lane: Lane) {
        match lane {
            Lane::Regular => self.regular.push(index, task),
            Lane::Express => self.express().push(index, task),
        }
    }

    #[cold]
    fn express(&mut self) -> &mut Line<F> {
        self.express.get_or_insert_with(|| Box::new(Line::new()))
    }

    fn tidy(&mut self) {
        drop(self.express.take_if(|express| express.is_empty()));
    }

    #[inline]
    pub(crate) fn pop_regular(&mut self) -> Option<(usize, F)> {
        self.regular.pop()
    }

    /// Whether the first of the regular lane was spawned before the first of the express lane.
    pub(crate) fn regular_is_first(&self) -> bool {
        let express = self.express.as_ref().and_then(|express| express.first());
        let regular = self.regular.first();
        regular.is_some_and(|regular| express.is_none_or(|express| regular < express))
    }

    pub(crate) fn take_body(&mut self) -> Option<F> {
        self.body.take()
    }

    /// The first of the express lane that still belongs there. Those that have come to count in
    /// the meantime go to the others.
    #[cold]
    pub(crate) fn pop_express(&mut self, shared: &Shared) -> Option<(usize, F)> {
        let mut first = None;
        while let Some((index, task)) = self.express.as_mut().and_then(|express| express.pop()) {
            if shared.is_uncounted(index) {
                first = Some((index, task));
                break;
            }
            self.regular.insert(index, task);
        }
        self.tidy();
        first
    }

    /// Changes places with `other`, if there is no task here.
    pub(crate) fn swap_if_empty(&mut self, other: &mut Self) -> bool {
        let is_empty = self.is_empty();
        if is_empty {
            // Places of tasks that were taken out, whose indices are lower than those that come.
            self.regular.clear();
            mem::swap(self, other);
        }
        is_empty
    }

    /// Moves all of `other` to the end.
    pub(crate) fn append(&mut self, other: Self) {
        self.regular.append(other.regular);
        if let Some(express) = other.express {
            self.express().append(*express);
        }
    }

    /// Takes out one task.
    pub(crate) fn take(&mut self, index: usize) -> Option<F> {
        let express = |queue: &mut Self| queue.express.as_mut()?.take(index);
        let task = self.regular.take(index).or_else(|| express(self));
        self.tidy();
        task
    }

    /// Takes out the tasks below an index, with these, but never the body of a scope.
    pub(crate) fn take_below(&mut self, index: usize) -> Vec<(usize, F)> {
        let mut taken = Vec::new();
        self.regular.take_below(index, &mut taken);
        if let Some(express) = &mut self.express {
            express.take_below(index, &mut taken);
        }
        self.tidy();
        taken
    }

    /// Drops all tasks, where they are: each is perhaps a group with a queue, and so on.
    pub(crate) fn drop_each(mut self, steps: &mut Sequence) {
        if let Some(body) = self.body.take() {
            steps.run(|| drop(body));
        }
        if let Some(express) = &mut self.express {
            express.drop_each(steps);
        }
        self.regular.drop_each(steps);
    }
}

/// Tasks in the order of their indices, which is that of spawning.
///
/// # Invariants
///
/// 1. The places are sorted by their indices; those of `few` come before those of `more`.
/// 2. The very first `to` tasks went to `few`, and those after them to `more`.
/// 3. Places of tasks that have left are empty, and `len` are not. All before the place `from` are
///    empty, counted from the first of `few`. In `more` there are not many more empty ones than
///    others, or than were pushed there since there were not: so it costs O(1) to pop a task and
///    O(log n) to take one out, in the long run, however many there are.
struct Line<F> {
    /// Most groups have no more tasks than find a place here.
    few: [Place<F>; FEW],
    more: Vec<Place<F>>,
    from: usize,
    to: usize,
    len: usize,
}

struct Place<F> {
    index: usize,
    task: Option<F>,
}

/// So many places a line has from the start.
const FEW: usize = 4;
/// So many more are made when these are not enough.
const CAPACITY: usize = 16;
/// So many empty places do not matter.
const GAPS: usize = 32;

impl<F> Place<F> {
    const EMPTY: Self = Place {
        index: 0,
        task: None,
    };

    fn index(&self) -> Option<usize> {
        self.task.as_ref().map(|_| self.index)
    }
}

impl<F> Line<F> {
    const fn new() -> Self {
        Line {
            few: [const { Place::EMPTY }; FEW],
            more: Vec::new(),
            from: 0,
            to: 0,
            len: 0,
        }
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The index of the first.
    fn first(&self) -> Option<usize> {
        self.indices().next()
    }

    fn indices(&self) -> impl Iterator<Item = usize> {
        let places = self.few.iter().chain(&self.more).skip(self.from);
        places.filter_map(Place::index)
    }

    /// Drops all tasks, and leaves places that are good for nothing.
    fn drop_each(&mut self, steps: &mut Sequence) {
        for place in self.few.iter_mut().chain(&mut self.more) {
            if let Some(task) = place.task.take() {
                steps.run(|| drop(task));
            }
        }
    }

    #[inline(always)]
    fn push(&mut self, index: usize, task: F) {
        let task = Some(task);
        let place = Place { index, task };
        if let Some(vacant) = self.few.get_mut(self.to) {
            *vacant = place;
            self.to += 1;
        } else {
            if self.more.len() == self.more.capacity() {
                self.make_room();
            }
            self.more.push(place);
        }
        self.len += 1;
    }

    /// Makes room in `more`, which is full: by letting go the empty places if these are the most.
    #[cold]
    fn make_room(&mut self) {
        if self.more.capacity() == 0 {
            self.more.reserve_exact(CAPACITY);
        } else if self.more.len() > 2 * self.len {
            self.close_up();
        }
    }

    /// Lets the empty places of `more` go.
    fn close_up(&mut self) {
        self.more.retain(|place| place.task.is_some());
        self.from = self.from.min(FEW);
    }

    /// Puts a task between the others.
    #[cold]
    fn insert(&mut self, index: usize, task: F) {
        self.spread();
        let place = self.more.partition_point(|place| place.index < index);
        let task = Some(task);
        self.more.insert(place, Place { index, task });
        self.len += 1;
    }

    /// Forgets the places, of which all are empty.
    fn clear(&mut self) {
        self.from = self.to;
        self.more.clear();
    }

    /// Moves everything to `more`, where then no place is empty.
    fn spread(&mut self) {
        let few = mem::replace(&mut self.few, [const { Place::EMPTY }; FEW]);
        self.more.splice(..0, few);
        (self.from, self.to) = (FEW, FEW);
        self.close_up();
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<(usize, F)> {
        if self.len == 0 {
            return None;
        }
        loop {
            let place = match self.few.get_mut(self.from) {
                None => &mut self.more[self.from - FEW],
                Some(place) => place,
            };
            self.from += 1;
            if let Some(task) = place.task.take() {
                self.len -= 1;
                return Some((place.index, task));
            }
        }
    }

    fn take(&mut self, index: usize) -> Option<F> {
        let few = self
            .few
            .iter_mut()
            .find(|place| place.index() == Some(index));
        let place = few.or_else(|| {
            let more = &mut self.more;
            let place = more.binary_search_by_key(&index, |place| place.index);
            more.get_mut(place.ok()?)
        });
        let task = place?.task.take()?;
        self.len -= 1;
        if self.more.len() > 2 * self.len + GAPS {
            self.close_up();
        }
        Some(task)
    }

    fn take_below(&mut self, index: usize, taken: &mut Vec<(usize, F)>) {
        while self.first().is_some_and(|first| first < index) {
            taken.extend(self.pop());
        }
    }

    fn append(&mut self, mut other: Self) {
        if self.is_empty() {
            *self = other;
        } else {
            // What is pushed next comes after all of it.
            self.spread();
            other.spread();
            self.more.append(&mut other.more);
            self.len += other.len;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::vec;

    // H6
    #[test]
    fn what_is_taken_out_of_the_middle_leaves_few_gaps_and_the_order() {
        let mut line = Line::new();
        for index in 0..1_000 {
            line.push(index, index);
        }
        for index in (0..1_000).filter(|index| index % 10 != 3) {
            assert_eq!(line.take(index), Some(index));
            assert_eq!(line.take(index), None);
            assert!(line.more.len() <= 2 * line.len + GAPS);
        }
        assert_eq!(line.len, 100);
        let mut taken = Vec::new();
        line.take_below(14, &mut taken);
        assert_eq!(taken, vec![(3, 3), (13, 13)]);
        line.insert(20, 20);
        let rest: Vec<_> = core::iter::from_fn(|| line.pop())
            .map(|(index, _)| index)
            .collect();
        assert_eq!(rest[..4], [20, 23, 33, 43]);
        assert_eq!(
            (rest.len(), line.len, line.from),
            (99, 0, FEW + line.more.len())
        );
    }

    /// Numbers that look random (xorshift).
    struct Random(u64);

    impl Random {
        fn below(&mut self, end: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 16) as usize % end
        }
    }

    // R8, H6
    #[test]
    fn a_line_is_a_sorted_map_whatever_comes_and_goes() {
        const STEPS: usize = 20_000;
        let mut random = Random(0x2545_f491_4f6c_dd1d);
        let mut line = Line::new();
        let mut map = BTreeMap::new();
        // Those that may be put in later, as tasks that begin to count.
        let mut later = Vec::new();
        let mut next = 0;
        for step in 0..STEPS {
            // Mostly a few, at times many.
            let full = if step / 1_000 % 4 == 3 { 100 } else { 6 };
            match random.below(16) {
                0..=5 if map.len() < full => {
                    line.push(next, next);
                    map.insert(next, next);
                    next += 1;
                }
                6 => {
                    later.push(next);
                    next += 1;
                }
                7 if !later.is_empty() => {
                    let index = later.swap_remove(random.below(later.len()));
                    line.insert(index, index);
                    map.insert(index, index);
                }
                8 | 9 if next > 0 => {
                    let index = next - 1 - random.below(next.min(2 * full));
                    assert_eq!(line.take(index), map.remove(&index));
                }
                10 if random.below(20) == 0 => {
                    let end = (next + 2).saturating_sub(random.below(full));
                    let mut taken = Vec::new();
                    line.take_below(end, &mut taken);
                    let rest = map.split_off(&end);
                    assert!(taken.into_iter().eq(mem::replace(&mut map, rest)));
                }
                11 => {
                    let mut other = Line::new();
                    for _ in 0..random.below(7) {
                        other.push(next, next);
                        map.insert(next, next);
                        next += 1;
                    }
                    for _ in 0..random.below(3) {
                        if let Some((index, _)) = other.pop() {
                            map.remove(&index);
                        }
                    }
                    line.append(other);
                }
                12 if map.is_empty() => line.clear(),
                _ => assert_eq!(line.pop(), map.pop_first()),
            }
            assert!(line.indices().eq(map.keys().copied()), "step {step}");
            assert_eq!(
                (line.len, line.first()),
                (map.len(), map.keys().next().copied())
            );
        }
    }
}
