//! Unwind safety of handles, spawners, contexts and semaphores.

use std::cell::Cell;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};

use errgroup::{
    AbortHandle, AbortOnDrop, CancelContext, ErrSpawner, KeepOpen, LocalErrSpawner, Semaphore,
    Started, TaskHandle,
};
#[cfg(feature = "std")]
use errgroup::{ErrGroup, LocalErrGroup};

/// A type that may be seen after a panic.
fn safe<T: ?Sized + UnwindSafe + RefUnwindSafe>(_: PhantomData<T>) {}

#[test]
fn handles_are_unwind_safe_whatever_their_values_are() {
    safe(PhantomData::<TaskHandle<u8>>);
    safe(PhantomData::<TaskHandle<Cell<u8>>>);
    safe(PhantomData::<Started<u8>>);
    safe(PhantomData::<Started<Cell<u8>>>);
}

#[test]
fn handles_without_values_are_unwind_safe() {
    safe(PhantomData::<AbortHandle>);
    safe(PhantomData::<AbortOnDrop>);
    safe(PhantomData::<KeepOpen>);
}

#[cfg(feature = "std")]
#[test]
fn groups_are_unwind_safe_whatever_their_values_and_errors_are() {
    safe(PhantomData::<ErrGroup<'static, Cell<u8>, Cell<u8>>>);
    safe(PhantomData::<LocalErrGroup<'static, Cell<u8>, Cell<u8>>>);
}

#[test]
fn spawners_are_unwind_safe_whatever_their_values_and_errors_are() {
    safe(PhantomData::<ErrSpawner<'static, (), ()>>);
    safe(PhantomData::<ErrSpawner<'static, Cell<u8>, Cell<u8>>>);
    safe(PhantomData::<LocalErrSpawner<'static, (), ()>>);
}

#[test]
fn contexts_and_semaphores_are_unwind_safe() {
    safe(PhantomData::<CancelContext>);
    safe(PhantomData::<Semaphore>);
}
