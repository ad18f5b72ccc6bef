//! What handles, spawners and scopes are: `Send`, `Sync`, `Unpin`, `'static`, or not.

use std::cell::Cell;
use std::future::{Future, pending};
use std::rc::Rc;

use errgroup::{
    CancelContext, ErrGroup, ErrSpawner, LocalErrGroup, LocalErrSpawner, StartError, Started,
    TaskHandle, local_scope, scope, scope_in,
};
use futures::future::FusedFuture;

fn is_send<T: Send + ?Sized>() {}
fn is_sync<T: Sync + ?Sized>() {}
fn is_unpin<T: Unpin + ?Sized>() {}
fn is_static<T: 'static + ?Sized>() {}

/// Compiles only if the type does not implement the trait: else the method is ambiguous.
macro_rules! is_not {
    ($trait:ident: $($type:ty),+ $(,)?) => {$({
        trait Ambiguous<A> {
            fn test() {}
        }
        impl<T: ?Sized> Ambiguous<()> for T {}
        struct Implements;
        impl<T: ?Sized + $trait> Ambiguous<Implements> for T {}
        <$type as Ambiguous<_>>::test();
    })+};
}

/// Nothing but `Send`.
type JustSend = Cell<u8>;
/// Nothing at all.
type Nothing = Rc<u8>;
/// Not `'static`, `Clone`, `Debug` or `Error`.
struct Plain<'a>(#[allow(dead_code, reason = "only its type matters")] &'a str);

#[test]
fn a_handle_is_send_and_sync_when_its_value_is_send() {
    is_send::<TaskHandle<JustSend>>();
    is_sync::<TaskHandle<JustSend>>();
    is_unpin::<TaskHandle<std::marker::PhantomPinned>>();
    is_static::<TaskHandle<u8>>();
    is_not!(Send: TaskHandle<Nothing>);
    is_not!(Sync: TaskHandle<Nothing>);
    // It is taken once.
    is_not!(Clone: TaskHandle<u8>);
}

#[test]
fn started_is_send_and_sync_when_its_value_is_send() {
    is_send::<Started<JustSend>>();
    is_sync::<Started<JustSend>>();
    is_unpin::<Started<std::marker::PhantomPinned>>();
    is_static::<Started<u8>>();
    is_not!(Send: Started<Nothing>);
    is_not!(Sync: Started<Nothing>);
    is_not!(Clone: Started<u8>);
}

#[test]
fn a_start_error_is_an_error_for_everybody() {
    fn is_error<T: std::error::Error + Send + Sync + Clone + PartialEq + 'static>() {}
    is_error::<StartError>();
}

#[test]
fn spawners_are_send_and_sync_when_the_errors_are_send() {
    is_send::<ErrSpawner<'_, (), JustSend>>();
    is_sync::<ErrSpawner<'_, (), JustSend>>();
    is_unpin::<ErrSpawner<'_, (), JustSend>>();
    is_not!(Send: LocalErrSpawner<'static, (), u8>);
    is_not!(Sync: LocalErrSpawner<'static, (), u8>);
}

#[test]
fn a_handle_may_leave_the_thread_of_a_local_group() {
    let group = LocalErrGroup::<(), Nothing>::new();
    let handle = group.spawner().spawn_with_handle(async {
        let local = Rc::new(5);
        Ok(*local)
    });
    let thread = std::thread::spawn(|| futures::executor::block_on(handle));
    assert!(futures::executor::block_on(group).is_ok());
    assert_eq!(thread.join().unwrap().unwrap(), 5);
}

#[test]
fn futures_of_spawners_are_send() {
    fn send<F: Future + Send>(future: F) -> F {
        future
    }
    let text = String::new();
    let group = ErrGroup::<(), Plain<'_>>::new();
    let spawner = group.spawner();
    drop(send(spawner.ready()));
    drop(send(spawner.start(async |started: Started<JustSend>| {
        let _borrowed = &text;
        started.ready(Cell::new(1));
        Ok(())
    })));
}

#[test]
fn scopes_need_nothing_of_values_and_errors_but_send() {
    fn send<F: Future + Send>(future: F) -> F {
        future
    }
    let text = String::from("text");
    drop(send(scope(async |s| {
        s.spawn(async { Err(Plain(&text)) });
        let handle = s.spawn_with_handle(async { Ok(Plain(&text)) });
        let _ = handle.await;
        Ok(Cell::new(1))
    })));

    struct Failure(#[allow(dead_code, reason = "only its type matters")] Cell<u8>);
    impl From<errgroup::Cancelled> for Failure {
        fn from(_: errgroup::Cancelled) -> Self {
            Failure(Cell::new(0))
        }
    }
    drop(send(scope_in(
        &CancelContext::new(),
        pending::<()>,
        async |s: ErrSpawner<'_, (), Failure>, context| {
            s.spawn(async {
                let _ = &text;
                Ok(())
            });
            context.check()?;
            Ok(Plain(&text))
        },
    )));
    drop(local_scope(async |s: LocalErrSpawner<'_, (), Nothing>| {
        s.spawn(async { Err(Rc::new(1)) });
        Ok(Rc::new(text.len()))
    }));
}

#[test]
fn a_handle_is_a_fused_future() {
    fn is_fused<F: FusedFuture>() {}
    is_fused::<TaskHandle<u8>>();
}
