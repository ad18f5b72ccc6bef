//! `Send`, `Sync` and `Unpin` of what the other two files leave: permits, the futures of semaphores
//! and maps, flavours, and what the features add. No public type is in none of them.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::future::{Pending, Ready};
use std::marker::PhantomPinned;
use std::rc::Rc;

use errgroup::flavor::{Accepts, Flavor, Local, Sending};
use errgroup::{
    AbortHandle, AbortOnDrop, Acquire, AcquireOwned, BufferUnordered, Buffered, Group, KeepOpen,
    OwnedPermit, Permit, Semaphore, Spawner, TryForEach, TryMap,
};
use futures::stream::Iter;

use super::auto_traits::{Fallback, has};

/// `Send`, and not `Sync`.
type NotSync = Cell<u8>;
/// Neither.
type NotSend = Rc<u8>;

type Items<T> = Iter<std::vec::IntoIter<T>>;

#[test]
fn semaphores_permits_and_their_futures_are_everything() {
    assert!(has!(Semaphore: Send + Sync + Unpin));
    assert!(has!(Permit<'static>: Send + Sync + Unpin) && !has!(Permit<'static>: Clone));
    assert!(has!(OwnedPermit: Send + Sync + Unpin) && !has!(OwnedPermit: Clone));
    assert!(has!(Acquire<'static>: Send + Sync + Unpin));
    assert!(has!(AcquireOwned: Send + Sync + Unpin));
}

#[test]
fn handles_without_values_are_everything() {
    assert!(has!(AbortHandle: Send + Sync + Unpin + Clone));
    assert!(has!(AbortOnDrop: Send + Sync + Unpin) && !has!(AbortOnDrop: Clone));
    assert!(has!(KeepOpen: Send + Sync + Unpin));
}

#[test]
fn flavours_are_what_the_names_of_groups_and_spawners_say() {
    assert!(has!(Group<'static, NotSync, NotSync, Sending>: Send + Sync + Unpin));
    assert!(
        !has!(Group<'static, (), (), Local>: Send) && !has!(Group<'static, (), (), Local>: Sync)
    );
    assert!(has!(Spawner<'static, NotSync, NotSync, Sending>: Send + Sync + Unpin));
    assert!(!has!(Spawner<'static, (), (), Local>: Send));
    assert!(!has!(Spawner<'static, (), (), Local>: Sync));
    assert!(has!(Spawner<'static, NotSend, NotSend, Local>: Unpin + Clone));
    assert!(has!(Sending: Flavor + Send + Sync) && has!(Local: Flavor + Send + Sync));
    assert!(has!(Sending: Accepts<'static, Ready<NotSync>>));
    assert!(!has!(Sending: Accepts<'static, Ready<NotSend>>));
    assert!(has!(Local: Accepts<'static, Ready<NotSend>>));
}

#[test]
fn maps_are_send_and_sync_if_items_closure_futures_and_values_are() {
    type Each<T, F> = TryForEach<Items<T>, F, Pending<()>>;
    assert!(has!(Each<u8, fn()>: Send + Sync));
    assert!(has!(Each<NotSync, fn()>: Send));
    assert!(!has!(Each<NotSend, fn()>: Send) && !has!(Each<NotSend, fn()>: Sync));
    assert!(!has!(Each<u8, NotSend>: Send) && !has!(Each<u8, NotSend>: Sync));
    type Over<Fut> = TryForEach<Items<u8>, fn(), Fut>;
    assert!(has!(Over<Ready<NotSync>>: Send));
    assert!(!has!(Over<Ready<NotSend>>: Send) && !has!(Over<Ready<NotSend>>: Sync));
    type Map<T> = TryMap<Items<u8>, fn(), Pending<()>, T>;
    assert!(has!(Map<u8>: Send + Sync) && has!(Map<NotSync>: Send));
    assert!(!has!(Map<NotSend>: Send) && !has!(Map<NotSend>: Sync));
}

#[test]
fn buffers_are_send_and_sync_if_items_closure_futures_and_outputs_are() {
    type In<Fut, O> = Buffered<Items<u8>, fn(), Fut, O>;
    type As<Fut, O> = BufferUnordered<Items<u8>, fn(), Fut, O>;
    assert!(has!(In<Pending<()>, u8>: Send + Sync) && has!(As<Pending<()>, u8>: Send + Sync));
    assert!(has!(In<Pending<()>, NotSync>: Send) && has!(As<Pending<()>, NotSync>: Send));
    assert!(!has!(In<Pending<()>, NotSend>: Send) && !has!(As<Pending<()>, NotSend>: Send));
    assert!(!has!(In<Ready<NotSend>, u8>: Send) && !has!(As<Ready<NotSend>, u8>: Send));
}

/// Only the items stand in a map itself; each future has a box.
#[test]
fn maps_and_buffers_are_unpin_if_their_items_are() {
    type Pinned = PhantomPinned;
    type Each<S> = TryForEach<S, fn(), Pinned>;
    assert!(has!(Each<Items<u8>>: Unpin) && !has!(Each<Pinned>: Unpin));
    type Map<S> = TryMap<S, fn(), Pinned, Pinned>;
    assert!(has!(Map<Items<u8>>: Unpin) && !has!(Map<Pinned>: Unpin));
    type In<S> = Buffered<S, fn(), Pinned, Pinned>;
    assert!(has!(In<Items<u8>>: Unpin) && !has!(In<Pinned>: Unpin));
    type As<S> = BufferUnordered<S, fn(), Pinned, Pinned>;
    assert!(has!(As<Items<u8>>: Unpin) && !has!(As<Pinned>: Unpin));
}

#[cfg(feature = "time")]
#[test]
fn sleep_is_everything() {
    use errgroup::time::Sleep;
    assert!(has!(Sleep: Send + Sync + Unpin));
}

#[cfg(feature = "tokio")]
#[test]
fn tasks_on_tokio_are_send_and_sync_if_their_values_are_send() {
    use errgroup::on_tokio::{Task, TryTask};
    assert!(has!(Task<NotSync>: Send + Sync) && has!(TryTask<NotSync>: Send + Sync));
    assert!(!has!(Task<NotSend>: Send) && !has!(TryTask<NotSend>: Send));
    assert!(!has!(Task<NotSend>: Sync) && !has!(TryTask<NotSend>: Sync));
    assert!(has!(Task<PhantomPinned>: Unpin) && has!(TryTask<PhantomPinned>: Unpin));
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// What `lib.rs` exports, and what the public modules of features have, whether they are on or not:
/// types, and the traits and aliases that stand beside them.
pub(crate) fn public_names() -> BTreeSet<String> {
    let code = include_str!("../../src/lib.rs").lines();
    let code: String = code.filter(|line| !line.trim().starts_with("//")).collect();
    let mut types: BTreeSet<String> = code
        .split("pub use ")
        .skip(1)
        .flat_map(|export| words(export.split(';').next().unwrap()))
        .filter(|name| name.starts_with(char::is_uppercase))
        .map(String::from)
        .collect();
    let modules = [
        include_str!("../../src/on_tokio.rs"),
        include_str!("../../src/time.rs"),
    ];
    for module in modules {
        let rest = module.split("\npub struct ").skip(1);
        types.extend(rest.map(|rest| words(rest).next().unwrap().into()));
    }
    types
}

#[test]
fn no_public_type_is_left_out() {
    let types = public_names();
    assert!(types.len() > 30, "{types:?}");
    let tests = [
        include_str!("auto_traits.rs"),
        include_str!("auto_traits_handles.rs"),
        include_str!("auto_traits_every.rs"),
    ];
    let tests = tests.into_iter().flat_map(words);
    let tested: BTreeSet<String> = tests.map(String::from).collect();
    assert_eq!(types.difference(&tested).collect::<Vec<_>>(), [&""; 0]);
}
