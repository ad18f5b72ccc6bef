//! Thousands of live tasks that come and go: beyond 4,096 of them, chunks of slots fill more than
//! a word.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::common::{Probe, Root, yields};
use errgroup::{ErrGroup, LocalErrGroup};

type Unit = Result<(), ()>;

/// Numbers that look random, the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// What a task and its owner share.
#[derive(Default)]
struct Line {
    waker: RefCell<Option<Waker>>,
    ends: Cell<bool>,
}

struct Live(Rc<Line>, usize);

impl Future for Live {
    type Output = Result<usize, ()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.0.ends.get() {
            return Poll::Ready(Ok(self.1));
        }
        *self.0.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// So many live tasks, of which one after the other ends, and another comes.
fn churn(live: usize, completions: usize) {
    let root = Root::new();
    let mut dice = Dice(live as u64 + 1);
    let mut group = LocalErrGroup::<usize, ()>::new();
    let mut tasks = Vec::new();
    for index in 0..live {
        tasks.push((Rc::new(Line::default()), index));
        group.spawn(Live(tasks[index].0.clone(), index));
    }
    let settle = |group: &mut LocalErrGroup<'_, usize, ()>| {
        loop {
            assert!(root.poll_new(group.next()).is_pending());
            if root.wakes() == 0 {
                break;
            }
        }
    };
    settle(&mut group);
    let mut before = None;
    for (round, next) in (live..).take(completions).enumerate() {
        let place = dice.below(live);
        let (line, index) = &tasks[place];
        line.ends.set(true);
        let waker = line.waker.borrow_mut().take().unwrap();
        waker.wake();
        assert_eq!(root.wakes(), 1, "{live}: in round {round}");
        assert_eq!(root.poll_new(group.next()), Poll::Ready(Some(Ok(*index))));
        tasks[place] = (Rc::new(Line::default()), next);
        group.spawn(Live(tasks[place].0.clone(), next));
        assert!(root.poll_new(group.next()).is_pending());
        assert_eq!((root.wakes(), group.len()), (0, live));
        // When it has found its size.
        if round == completions / 4 {
            before = Some(crate::allocator::bytes());
        }
    }
    let grown = crate::allocator::bytes() - before.unwrap();
    assert!(grown.unsigned_abs() < 8192, "{live}: {grown} bytes more");
    // Nobody is lost among them.
    tasks.iter().for_each(|(line, _)| line.ends.set(true));
    tasks
        .iter()
        .for_each(|(line, _)| line.waker.borrow_mut().take().unwrap().wake());
    let mut expected: Vec<_> = tasks.iter().map(|(_, index)| *index).collect();
    expected.sort_unstable();
    assert_eq!(crate::common::run(group.collect()), Ok(expected));
}

// R2, R3, R10

#[test]
fn tasks_that_come_and_go_among_thousands_are_found_and_leave_nothing_behind() {
    for live in [1, 63, 64, 65, 128, 4095, 4096, 4097, 8192] {
        churn(live, 20_000);
    }
}

#[test]
fn a_burst_of_thousands_leaves_nothing_behind() {
    let root = Root::new();
    let mut group = ErrGroup::<(), ()>::new();
    group.spawn(pending());
    let burst = |group: &mut ErrGroup<'_, (), ()>| {
        for _ in 0..10_000 {
            group.spawn(async {
                yields(1).await;
                Ok(())
            });
        }
        let mut ended = 0;
        while ended < 10_000 {
            if root.poll_new(group.next()).is_ready() {
                ended += 1;
            }
        }
        while root.poll_new(group.next()).is_pending() && root.wakes() > 0 {}
    };
    burst(&mut group);
    let before = crate::allocator::bytes();
    for _ in 0..3 {
        burst(&mut group);
    }
    let grown = crate::allocator::bytes() - before;
    assert!(grown < 8192, "{grown} bytes more");
}

/// Spawns probes a few at a time, so that the queue stays small, and lets the group come to rest.
fn spawn_probes(root: &Root, group: &mut ErrGroup<'_, (), ()>, count: usize) -> Vec<Probe<Unit>> {
    let probes = crate::common::probes(count);
    for some in probes.chunks(16) {
        group.extend(some.iter().map(Probe::task));
        rest(root, group);
    }
    probes
}

fn rest(root: &Root, group: &mut ErrGroup<'_, (), ()>) {
    while root.poll_new(group.drive(pending::<()>())).is_pending() && root.wakes() > 0 {}
}

// R10
#[test]
fn tasks_that_have_gone_take_their_places_along() {
    const CHUNKS: usize = 64;
    let (root, mut group) = (Root::new(), ErrGroup::<(), ()>::new());
    group.extend((0..=usize::BITS).map(|_| pending()));
    rest(&root, &mut group);
    let before = crate::allocator::bytes();
    let probes = spawn_probes(&root, &mut group, CHUNKS * usize::BITS as usize);
    probes.iter().for_each(|probe| probe.finish(Ok(())));
    drop(probes);
    rest(&root, &mut group);
    let left = crate::allocator::bytes() - before;
    // The list of chunks stays as long as it was, and so does one chunk.
    let bound = (CHUNKS * 12 + 200) * usize::BITS as usize;
    assert!(left < bound as isize, "{left} bytes are left");
}

// P2, R10
#[cfg(feature = "std")]
#[test]
fn tasks_that_panic_leave_their_places_to_those_after_them() {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    let (root, mut group) = (Root::new(), ErrGroup::<(), ()>::new());
    group.extend((0..usize::BITS).map(|_| pending()));
    rest(&root, &mut group);
    let mut before = None;
    for _ in 0..4 {
        let probes: Vec<Probe<()>> = crate::common::probes(8 * usize::BITS as usize);
        for some in probes.chunks(16) {
            group.extend(some.iter().map(|probe| {
                let task = probe.task();
                async {
                    task.await;
                    resume_unwind(Box::new(()))
                }
            }));
            rest(&root, &mut group);
        }
        for probe in &probes {
            probe.finish(());
            root.wakes();
            let mut poll = || root.poll_new(group.drive(pending::<()>())).is_pending();
            while catch_unwind(AssertUnwindSafe(&mut poll)).is_ok() {
                assert_ne!(root.wakes(), 0, "only the end of a budget holds it up");
            }
        }
        drop(probes);
        rest(&root, &mut group);
        assert_eq!(group.len(), usize::BITS as usize);
        let now = crate::allocator::bytes();
        let grown = now - *before.get_or_insert(now);
        assert!(grown < 8192, "{grown} bytes more");
    }
}

// P2, R10
#[cfg(feature = "std")]
#[test]
fn the_last_of_a_chunk_that_panics_in_a_second_pass_takes_its_chunk_along() {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::sync::{Arc, Mutex};

    for ready_comes_next in [false, true] {
        let (root, mut group) = (Root::new(), ErrGroup::<(), ()>::new());
        // A task of the first chunk ends those of the second while it is polled.
        let ending: Arc<Mutex<Vec<Probe<()>>>> = Arc::default();
        let (theirs, bell) = (ending.clone(), Probe::<Unit>::new());
        let mut bell_task = bell.task();
        group.spawn(std::future::poll_fn(move |cx| {
            for probe in theirs.lock().unwrap().drain(..) {
                probe.finish(());
            }
            Pin::new(&mut bell_task).poll(cx)
        }));
        group.extend((1..usize::BITS).map(|_| pending()));
        rest(&root, &mut group);
        let mut before = None;
        for _ in 0..20 {
            let probes: Vec<Probe<()>> = crate::common::probes(usize::BITS as usize - 1);
            let last = probes.len() - 1;
            group.extend(probes.iter().enumerate().map(|(index, probe)| {
                let task = probe.task();
                async move {
                    task.await;
                    if index == last {
                        resume_unwind(Box::new(()));
                    }
                    Ok(())
                }
            }));
            rest(&root, &mut group);
            *ending.lock().unwrap() = probes;
            bell.wake();
            let poll = catch_unwind(AssertUnwindSafe(|| root.poll(&mut group).is_pending()));
            assert!(poll.is_err());
            if ready_comes_next {
                assert!(root.poll_new(group.ready()).is_ready());
            }
            rest(&root, &mut group);
            assert_eq!(group.len(), usize::BITS as usize);
            let now = crate::allocator::bytes();
            let grown = now - *before.get_or_insert(now);
            assert!(grown < 8192, "{grown} bytes more");
        }
    }
}

// R10
#[test]
fn a_place_in_a_chunk_that_was_full_is_the_next_ones() {
    let (root, mut group) = (Root::new(), ErrGroup::<(), ()>::new());
    // The first chunk, and as many as find a place in the second one.
    let mut probes = spawn_probes(&root, &mut group, 2 * usize::BITS as usize - 1);
    let mut before = None;
    // The last of the first chunk makes what keeps the outcomes; those after it add nothing to it.
    for (place, probe) in probes.iter_mut().enumerate().skip(usize::BITS as usize - 1) {
        probe.finish(Ok(()));
        rest(&root, &mut group);
        *probe = Probe::new();
        group.spawn(probe.task());
        rest(&root, &mut group);
        let now = crate::allocator::bytes();
        let grown = now - *before.get_or_insert(now);
        assert_eq!(grown, 0, "more bytes for the task at {place}");
    }
}
