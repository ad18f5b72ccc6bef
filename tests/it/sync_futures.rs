//! The futures of all methods are `Send` and `Sync` when values and errors are `Send`.

use std::cell::Cell;
use std::future::pending;

use errgroup::{
    CancelContext, Cancelled, ErrGroup, ErrSpawner, Started, buffer_unordered, buffered, scope,
    scope_in, try_for_each, try_map,
};
use futures::stream;

/// `Send`, and not `Sync`.
type Value = Cell<u8>;

fn is_both<T: Send + Sync>(_: T) {}

struct Failure(#[allow(dead_code, reason = "only its type matters")] Value);

impl From<Cancelled> for Failure {
    fn from(_: Cancelled) -> Self {
        Failure(Cell::new(0))
    }
}

fn group<'env>() -> ErrGroup<'env, Value, Failure> {
    let mut group = ErrGroup::new();
    // Tasks need not be `Sync`.
    let task = Cell::new(1);
    group.spawn(async move {
        pending::<()>().await;
        Ok(task)
    });
    group
}

#[test]
fn the_futures_of_a_group_are_send_and_sync() {
    let mut one = group();
    is_both(one.ready());
    is_both(one.next());
    is_both(one.next_indexed());
    is_both(one.results());
    is_both(one.drive(pending::<()>()));
    is_both(group().collect());
    is_both(group().wait_all());
    is_both(group().settle());
    is_both(group().first_ok());
    is_both(group());
    is_both(async { group().await.map_err(drop) });
    is_both(group().keep_open());
    is_both(group().spawn_abortable(async { Ok(Cell::new(1)) }));
}

#[test]
fn the_futures_of_a_graceful_group_are_send_and_sync() {
    let grace = || async { Cell::new(1) };
    let (_context, mut group) =
        ErrGroup::<Value, Failure>::with_grace(&CancelContext::new(), grace);
    is_both(group.ready());
    is_both(group.next());
    is_both(group.drive(pending::<()>()));
    is_both(group.collect());
}

#[test]
fn the_futures_of_groups_spawners_and_handles_with_values_are_send_and_sync() {
    let mut group = ErrGroup::<(), Failure>::new();
    let spawner = group.spawner();
    is_both(spawner.ready());
    is_both(spawner.spawn_with_handle(pending::<Result<Value, Failure>>()));
    is_both(spawner.start(async |started: Started<u8>| {
        started.ready(1);
        Ok(())
    }));
    is_both(group.start(async |started: Started<u8>| {
        started.ready(1);
        Ok(())
    }));
}

/// Whatever the future of the body holds.
#[test]
fn scopes_are_send_and_sync_when_their_closures_are() {
    let group = ErrGroup::<(), Failure>::new().limit(3);
    is_both(group.scope(async |s: ErrSpawner<'_, (), Failure>| {
        let held = Cell::new(0);
        s.spawn(async { Ok(()) });
        pending::<()>().await;
        Ok(held)
    }));
    is_both(scope(async |s: ErrSpawner<'_, (), Failure>| {
        let held = Cell::new(0);
        s.spawn(async { Ok(()) });
        pending::<()>().await;
        Ok(held)
    }));
    let grace = || async { Cell::new(1) };
    is_both(scope_in(
        &CancelContext::new(),
        grace,
        async |s: ErrSpawner<'_, (), Failure>, context| {
            let held = Cell::new(0);
            s.spawn(async { Ok(()) });
            context.cancelled().await;
            Ok(held)
        },
    ));
}

#[test]
fn maps_and_buffers_are_what_their_parts_are() {
    is_both(try_map([1], 1, |n| std::future::ready(Ok::<i32, ()>(n))));
    is_both(try_for_each([1], 1, |_| {
        std::future::ready(Ok::<(), ()>(()))
    }));
    is_both(buffered(stream::iter([1]), 1, std::future::ready));
    is_both(buffer_unordered(stream::iter([1]), 1, std::future::ready));
}
