//! How tasks are woken: words, chunks and the parker. R2, R3, R4.

use super::*;

/// A task that waits for an event, and then makes another one happen.
async fn relay(from: Arc<Event>, to: Option<Arc<Event>>) -> Result<(), ()> {
    from.wait().await;
    if let Some(to) = to {
        to.set();
    }
    Ok(())
}

/// A task that waits until its cell reaches a value.
async fn counting(cell: Arc<Cell>, value: usize) -> Result<(), ()> {
    cell.reaches(value).await;
    Ok(())
}

fn cells<const N: usize>() -> [Arc<Cell>; N] {
    [(); N].map(|()| Arc::default())
}

/// A group with such tasks, all of them started.
fn started<const N: usize>(cells: &[Arc<Cell>; N]) -> Group {
    let mut group = Group::new();
    for cell in cells {
        group.spawn(counting(cell.clone(), 1));
    }
    assert!(poll_once(&mut group).is_pending());
    group
}

fn reach(cell: &Cell, value: usize) {
    let waker = cell.waker();
    cell.value.store(value, Relaxed);
    waker.wake_by_ref();
}

/// Like `block_on`, but polls once more without being woken before it waits.
fn block_on_restlessly<F: Future + Unpin>(mut future: F) -> F::Output {
    let flag = Arc::new(Flag::default());
    let waker = Waker::from(flag.clone());
    let mut cx = Context::from_waker(&waker);
    loop {
        for _ in 0..2 {
            if let Poll::Ready(output) = std::pin::Pin::new(&mut future).poll(&mut cx) {
                return output;
            }
        }
        flag.0.wait();
    }
}

// The first word and the parker.

// R4: the waker of the first slot is the parker itself.
#[test]
fn a_task_in_the_first_slot_is_woken_while_it_is_polled_and_while_its_group_parks() {
    model(3, || {
        let event = Arc::new(Event::default());
        let mut group = Group::new();
        group.spawn(relay(event.clone(), None));
        let other = thread::spawn(move || event.set());
        block_on(group).unwrap();
        other.join().unwrap();
    });
}

// R4
#[test]
fn a_task_in_the_second_slot_is_woken_while_it_is_polled_and_while_its_group_parks() {
    model(3, || {
        let [first, second] = [Arc::new(Event::default()), Arc::new(Event::default())];
        let mut group = Group::new();
        group.spawn(relay(first.clone(), None));
        group.spawn(relay(second.clone(), Some(first)));
        let other = thread::spawn(move || second.set());
        block_on(group).unwrap();
        other.join().unwrap();
    });
}

/// Counts its wakes.
#[derive(Default)]
struct Counter(Count);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

// R3
#[test]
fn two_wakes_of_a_parked_group_by_two_threads_wake_its_parent_once() {
    model(3, || {
        let cells = cells::<2>();
        let mut group = started(&cells);
        let counter = Arc::new(Counter::default());
        let waker = Waker::from(counter.clone());
        let poll = std::pin::Pin::new(&mut group).poll(&mut Context::from_waker(&waker));
        assert!(poll.is_pending());
        join(cells.map(|cell| thread::spawn(move || reach(&cell, 1))));
        assert_eq!(counter.0.load(SeqCst), 1);
        assert_eq!(poll_once(&mut group), Poll::Ready(Ok(())));
    });
}

// R3, R4
#[test]
fn a_group_that_is_polled_for_no_reason_while_it_is_woken_loses_no_wake() {
    model(3, || {
        let cell = Arc::new(Cell::default());
        let mut group = Group::new();
        group.spawn(counting(cell.clone(), 2));
        assert!(poll_once(&mut group).is_pending());
        let other = thread::spawn(move || {
            reach(&cell, 1);
            reach(&cell, 2);
        });
        block_on_restlessly(group).unwrap();
        other.join().unwrap();
    });
}

// Slots that are used again.

// R2, R4
#[test]
fn a_late_wake_of_a_vacated_slot_takes_nothing_from_the_next_task_there_and_no_place_from_it() {
    model(3, || {
        let cells = cells::<2>();
        let mut group = started(&cells);
        let event = Arc::new(Event::default());
        let theirs = event.clone();
        let [first, second] = cells;
        let other = thread::spawn(move || {
            reach(&second, 1);
            second.waker().wake();
            theirs.set();
            reach(&first, 1);
        });
        assert_eq!(block_on(group.next()), Some(Ok(())));
        group.spawn(relay(event, None));
        block_on(group).unwrap();
        other.join().unwrap();
    });
}

// R4, R7: a failure takes all tasks out at once.
#[test]
fn wakes_from_before_a_failure_take_nothing_from_the_tasks_after_it() {
    model(2, || {
        let cell = Arc::new(Cell::default());
        let mut group = Group::new();
        group.spawn(counting(cell.clone(), 9));
        assert!(poll_once(&mut group).is_pending());
        let event = Arc::new(Event::default());
        let theirs = event.clone();
        let other = thread::spawn(move || {
            let waker = cell.waker();
            waker.wake_by_ref();
            waker.wake();
            theirs.set();
        });
        group.spawn(async { Err(()) });
        assert_eq!(block_on(&mut group), Err(()));
        group.spawn(relay(event, None));
        block_on(group).unwrap();
        other.join().unwrap();
    });
}

// R4, R13
#[test]
fn wakes_from_before_an_abort_of_all_take_nothing_from_the_tasks_after_it() {
    model(3, || {
        let cell = Arc::new(Cell::default());
        let mut group = Group::new();
        group.spawn(counting(cell.clone(), 9));
        assert!(poll_once(&mut group).is_pending());
        let event = Arc::new(Event::default());
        let theirs = event.clone();
        let other = thread::spawn(move || {
            let waker = cell.waker();
            waker.wake_by_ref();
            waker.wake();
            theirs.set();
        });
        group.abort_all();
        group.spawn(relay(event, None));
        block_on(group).unwrap();
        other.join().unwrap();
    });
}

// Further chunks: here the first has three slots, and each further one two and the bit that stands for
// none.

// R4
#[test]
fn the_first_task_of_the_second_chunk_is_woken_while_the_chunk_is_made() {
    model(3, || {
        let events = [(); 4].map(|()| Arc::new(Event::default()));
        let mut group = Group::new();
        let mut next = None;
        for event in &events {
            group.spawn(relay(event.clone(), next.replace(event.clone())));
        }
        let other = thread::spawn(move || events[3].set());
        block_on(group).unwrap();
        other.join().unwrap();
    });
}

// R2, R4
#[test]
fn a_task_of_the_second_chunk_is_polled_after_each_wake_and_sees_what_came_before() {
    model(3, || {
        let cell = Arc::new(Cell::default());
        let mut group = Group::new();
        for _ in 0..3 {
            group.spawn(std::future::pending());
        }
        group.spawn(counting(cell.clone(), 2));
        assert!(poll_once(&mut group).is_pending());
        let other = thread::spawn(move || {
            reach(&cell, 1);
            reach(&cell, 2);
        });
        assert_eq!(block_on(group.next()), Some(Ok(())));
        other.join().unwrap();
    });
}

// R4
#[test]
fn tasks_of_the_first_and_the_second_chunk_are_woken_by_two_threads() {
    model(2, || {
        let cells = cells::<4>();
        let mut group = started(&cells);
        let [first, second, .., last] = cells;
        let others = [
            thread::spawn(move || {
                reach(&first, 1);
                reach(&second, 1);
            }),
            thread::spawn(move || reach(&last, 1)),
        ];
        for _ in 0..3 {
            assert_eq!(block_on(group.next()), Some(Ok(())));
        }
        join(others);
    });
}

// R4
#[test]
fn tasks_of_two_further_chunks_are_woken_by_two_threads() {
    model(2, || {
        let cells = cells::<6>();
        let mut group = started(&cells);
        let [_, _, _, fourth, fifth, sixth] = cells;
        let others = [
            thread::spawn(move || {
                reach(&fourth, 1);
                reach(&sixth, 1);
            }),
            thread::spawn(move || reach(&fifth, 1)),
        ];
        for _ in 0..3 {
            assert_eq!(block_on(group.next()), Some(Ok(())));
        }
        join(others);
    });
}

// R4
#[test]
fn two_tasks_of_a_further_chunk_are_woken_by_two_threads() {
    model(3, || {
        let cells = cells::<5>();
        let mut group = started(&cells);
        let [.., fourth, fifth] = cells;
        let others = [fourth, fifth].map(|cell| thread::spawn(move || reach(&cell, 1)));
        for _ in 0..2 {
            assert_eq!(block_on(group.next()), Some(Ok(())));
        }
        join(others);
    });
}

// R4
#[test]
fn a_task_of_a_further_chunk_is_woken_while_another_starts_there() {
    model(3, || {
        let cells = cells::<4>();
        let mut group = started(&cells);
        let [.., last] = cells;
        let other = thread::spawn(move || reach(&last, 1));
        group.spawn(async { Ok(()) });
        for _ in 0..2 {
            assert_eq!(block_on(group.next()), Some(Ok(())));
        }
        other.join().unwrap();
    });
}

// R4: when both further chunks are empty, one of them goes.
#[test]
fn a_late_wake_of_a_chunk_that_is_gone_takes_nothing_from_the_next_one_of_its_number() {
    model(2, || {
        let cells = cells::<6>();
        let mut group = started(&cells);
        let event = Arc::new(Event::default());
        let theirs = event.clone();
        let [_, _, _, fourth, fifth, sixth] = cells;
        reach(&fifth, 1);
        assert_eq!(block_on(group.next()), Some(Ok(())));
        let other = thread::spawn(move || {
            for cell in [&fourth, &sixth] {
                reach(cell, 1);
            }
            fourth.waker().wake();
            sixth.waker().wake();
            theirs.set();
        });
        for _ in 0..2 {
            assert_eq!(block_on(group.next()), Some(Ok(())));
        }
        assert!(poll_once(&mut pin!(group.next())).is_pending());
        for _ in 0..2 {
            group.spawn(std::future::pending());
        }
        group.spawn(relay(event, None));
        assert_eq!(block_on(group.next()), Some(Ok(())));
        other.join().unwrap();
    });
}

// R2, H2: the owner may be told of a chunk in which nothing is woken any more.
#[test]
fn a_task_of_a_further_chunk_is_woken_while_it_is_aborted() {
    model(3, || {
        let cells = cells::<4>();
        let group = started(&cells);
        let spawner = group.spawner();
        let [.., last] = cells;
        let other = thread::spawn(move || reach(&last, 0));
        spawner.abort_all();
        block_on(group).unwrap();
        other.join().unwrap();
    });
}

/// Lets the group go on once.
async fn yield_once() {
    let mut is_first = true;
    poll_fn(|cx| {
        if std::mem::take(&mut is_first) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

// R2, R4, R13: the body and two others fill the first chunk.
#[test]
fn a_further_chunk_is_handed_over_once_though_its_woken_task_is_gone() {
    model(2, || {
        let scope = errgroup::scope(async |s| {
            let first = Arc::new(Cell::default());
            let [event, done] = [(); 2].map(|()| Arc::new(Event::default()));
            for _ in 0..2 {
                s.spawn(std::future::pending());
            }
            s.spawn(counting(first.clone(), 1));
            yield_once().await;
            let other = event.clone();
            let others = [
                thread::spawn(move || reach(&first, 0)),
                thread::spawn(move || other.set()),
            ];
            s.abort_all();
            yield_once().await;
            for _ in 0..2 {
                s.spawn(std::future::pending());
            }
            s.spawn(relay(event, Some(done.clone())));
            done.wait().await;
            join(others);
            Err::<(), _>(())
        });
        assert_eq!(block_on(std::pin::pin!(scope)), Err(()));
    });
}

// R2, R4
#[test]
fn a_late_wake_in_a_further_chunk_takes_nothing_from_the_next_task_there() {
    model(3, || {
        let cells = cells::<4>();
        let mut group = started(&cells);
        let event = Arc::new(Event::default());
        let theirs = event.clone();
        let [.., last] = cells;
        let other = thread::spawn(move || {
            reach(&last, 1);
            last.waker().wake();
            theirs.set();
        });
        assert_eq!(block_on(group.next()), Some(Ok(())));
        group.spawn(relay(event, None));
        assert_eq!(block_on(group.next()), Some(Ok(())));
        other.join().unwrap();
    });
}
