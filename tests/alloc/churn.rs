//! Thousands of live tasks that come and go: beyond 4,096 of them, chunks of slots fill more than
//! a word.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::common::{Root, yields};
use errgroup::{ErrGroup, LocalErrGroup};

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
