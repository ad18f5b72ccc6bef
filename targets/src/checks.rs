//! What has to hold, each with an executor of its own.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::pending;

use errgroup::{
    CancelContext, Cancelled, ErrGroup, LocalErrGroup, Semaphore, Started, buffered, scope,
    try_for_each, try_map,
};
use futures::stream::{self, StreamExt};

use crate::executor::{block_on, turns};

#[derive(Debug, PartialEq)]
enum Failure {
    Cancelled,
    Failed(usize),
}

impl From<Cancelled> for Failure {
    fn from(_: Cancelled) -> Self {
        Failure::Cancelled
    }
}

/// Counts when it is dropped.
struct Counted<'a>(&'a Cell<usize>);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

pub(crate) fn a_group_collects_in_order() -> bool {
    let words = ["one", "two", "three", "four", "five"].map(String::from);
    let mut group = ErrGroup::<usize, Failure>::new().limit(2);
    for (number, word) in words.iter().enumerate() {
        group.spawn(async move {
            turns(5 - number).await;
            Ok(word.len())
        });
    }
    block_on(group.collect()) == Ok([3, 3, 5, 4, 4].to_vec())
}

pub(crate) fn the_first_error_drops_the_rest() -> bool {
    let dropped = Cell::new(0);
    let mut group = LocalErrGroup::<(), Failure>::new();
    for number in 0..5 {
        let counted = Counted(&dropped);
        group.spawn(async move {
            let _counted = counted;
            turns(1).await;
            if number == 2 {
                return Err(Failure::Failed(number));
            }
            pending().await
        });
    }
    block_on(group) == Err(Failure::Failed(2)) && dropped.get() == 5
}

pub(crate) fn a_group_has_a_thousand_tasks() -> bool {
    let mut group = ErrGroup::<usize, Failure>::new();
    for number in 0..500 {
        let spawner = group.spawner();
        group.spawn(async move {
            turns(number % 3).await;
            spawner.spawn(async move {
                turns(number % 5).await;
                Ok(1000)
            });
            Ok(number)
        });
    }
    let sum = |values: Vec<usize>| values.into_iter().sum::<usize>();
    block_on(group.collect()).map(sum) == Ok(500 * 499 / 2 + 500 * 1000)
}

pub(crate) fn contexts_are_a_tree_with_deadlines() -> bool {
    let root = CancelContext::new();
    let child = root.child();
    let timely = child.with_deadline(turns(3));
    let late = block_on(timely.run(turns(9)));
    let is_late = late.is_err_and(|reason| reason.is_deadline());
    let is_alone = timely.is_cancelled() && !child.is_cancelled();
    let cancelled = block_on(async {
        let mut group = ErrGroup::<(), Failure>::new();
        group.spawn(async {
            turns(2).await;
            root.cancel_with("over");
            Ok(())
        });
        group.drive(child.cancelled()).await
    });
    let cause = cancelled.and_then(|reason| reason.cause().map(ToString::to_string));
    is_late && is_alone && cause.as_deref() == Some("over")
}

pub(crate) fn a_grace_ends_who_does_not_listen() -> bool {
    let parent = CancelContext::new();
    let said_goodbye = RefCell::new(Vec::new());
    let (context, mut group) = LocalErrGroup::<(), Failure>::with_grace(&parent, || turns(4));
    group.spawn(async {
        context.cancelled().await;
        turns(2).await;
        said_goodbye.borrow_mut().push("a task");
        Ok(())
    });
    group.spawn(pending());
    parent.cancel();
    let result = block_on(group);
    result == Err(Failure::Cancelled) && *said_goodbye.borrow() == ["a task"]
}

pub(crate) fn a_semaphore_is_weighted_and_fair() -> bool {
    let permits = Semaphore::new(3);
    let order = RefCell::new(Vec::new());
    let mut group = LocalErrGroup::<(), Failure>::new();
    for (number, weight) in [2, 3, 1].into_iter().enumerate() {
        let (permits, order) = (&permits, &order);
        group.spawn(async move {
            let permit = permits.acquire(weight).await;
            let permit = permit.map_err(|_| Failure::Failed(number))?;
            order.borrow_mut().push(number);
            turns(2).await;
            drop(permit);
            Ok(())
        });
    }
    let result = block_on(group);
    let is_too_large = block_on(permits.acquire(4)).is_err();
    // There was room for the last while the second was waiting.
    result == Ok(()) && *order.borrow() == [0, 1, 2] && is_too_large && permits.available() == 3
}

pub(crate) fn a_scope_starts_and_awaits_tasks() -> bool {
    let result = block_on(scope(async |s| {
        s.spawn_background(pending());
        let port = s.start(async |started: Started<u16>| {
            turns(2).await;
            started.ready(8080);
            turns(2).await;
            Ok(())
        });
        let port = port.await.map_err(|_| Failure::Failed(1))?;
        let answer = s.spawn_with_handle(async move {
            turns(1).await;
            Ok(port + 1)
        });
        answer.await.map_err(Failure::from)
    }));
    result == Ok(8081)
}

pub(crate) fn maps_keep_the_order() -> bool {
    let doubled = try_map(0..100_usize, 8, |number| async move {
        turns(number % 7).await;
        Ok::<_, Failure>(number * 2)
    });
    let is_doubled = block_on(doubled) == Ok((0..100).map(|number| number * 2).collect());
    let failed = try_for_each(0.., 3, |number| async move {
        turns(1).await;
        (number < 50).then_some(()).ok_or(Failure::Failed(number))
    });
    let has_failed = block_on(failed) == Err(Failure::Failed(50));
    let squares = buffered(stream::iter(0..20_usize), 4, |number| async move {
        turns(20 - number).await;
        number * number
    });
    let are_squares = block_on(squares.collect::<Vec<_>>()).into_iter();
    is_doubled && has_failed && are_squares.eq((0..20).map(|number| number * number))
}
