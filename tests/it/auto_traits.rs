//! `Send`, `Sync` and `Unpin` of every public type, and what types a group must not ask for.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, ready};
use std::rc::Rc;

use crate::common::run;
use errgroup::{
    CancelContext, CancelKind, Cancelled, Cancelling, DropGuard, ErrGroup, ErrSpawner, Errors,
    LocalErrGroup, LocalErrSpawner, Results, Run, TooLarge, TrySpawnError, buffered,
};
use futures::stream::{self, StreamExt};

/// `Send`, and not `Sync`.
type NotSync = Cell<u8>;
/// Neither.
type NotSend = Rc<u8>;

/// Whether a type has a trait: the inherent constant wins over the one of the trait, if its
/// bounds are met.
pub(crate) trait Fallback {
    const HAS: bool = false;
}

macro_rules! has {
    ($type:ty: $($bound:tt)+) => {{
        #[allow(dead_code, reason = "only its type matters")]
        struct Probe<T: ?Sized>(std::marker::PhantomData<T>);
        impl<T: ?Sized> Fallback for Probe<T> {}
        #[allow(dead_code, reason = "only its type matters")]
        impl<T: ?Sized + $($bound)+> Probe<T> {
            const HAS: bool = true;
        }
        <Probe<$type>>::HAS
    }};
}
pub(crate) use has;

fn is_send<T: Send>(_: &T) {}

#[test]
fn a_group_of_send_tasks_is_send_and_sync_if_its_values_and_errors_are_send() {
    assert!(has!(ErrGroup<'static, (), ()>: Send));
    assert!(has!(ErrGroup<'static, (), ()>: Sync));
    assert!(has!(ErrGroup<'static, NotSync, NotSync>: Send));
    assert!(has!(ErrGroup<'static, NotSync, NotSync>: Sync));
    assert!(!has!(ErrGroup<'static, NotSend, ()>: Send));
    assert!(!has!(ErrGroup<'static, (), NotSend>: Send));
    assert!(!has!(ErrGroup<'static, NotSend, ()>: Sync));
    assert!(!has!(ErrGroup<'static, (), NotSend>: Sync));
    assert!(has!(ErrGroup<'static, NotSend, NotSend>: Unpin));
}

#[test]
fn a_local_group_is_neither() {
    assert!(!has!(LocalErrGroup<'static, (), ()>: Send));
    assert!(!has!(LocalErrGroup<'static, (), ()>: Sync));
    assert!(has!(LocalErrGroup<'static, NotSend, NotSend>: Unpin));
}

#[test]
fn a_spawner_is_send_and_sync_if_its_tasks_are_send() {
    // It holds only tasks, whatever they will return.
    assert!(has!(ErrSpawner<'static, (), ()>: Send));
    assert!(has!(ErrSpawner<'static, (), ()>: Sync));
    assert!(has!(ErrSpawner<'static, NotSync, NotSync>: Send));
    assert!(has!(ErrSpawner<'static, NotSync, NotSync>: Sync));
    assert!(has!(ErrSpawner<'static, NotSend, NotSend>: Clone));
    assert!(!has!(LocalErrSpawner<'static, (), ()>: Send));
    assert!(!has!(LocalErrSpawner<'static, (), ()>: Sync));
}

#[test]
fn results_are_send_and_sync_as_their_group_is() {
    assert!(has!(Results<'static, 'static, NotSync, NotSync>: Send));
    assert!(has!(Results<'static, 'static, NotSync, NotSync>: Sync));
    assert!(!has!(Results<'static, 'static, NotSend, ()>: Send));
    assert!(has!(Results<'static, 'static, NotSend, ()>: Unpin));
}

#[test]
fn contexts_and_errors_are_send_and_sync() {
    assert!(has!(CancelContext: Send) && has!(CancelContext: Sync));
    assert!(has!(CancelContext: Clone) && has!(CancelContext: Default));
    assert!(has!(Cancelling: Send) && has!(Cancelling: Sync) && has!(Cancelling: Unpin));
    assert!(has!(DropGuard: Send) && has!(DropGuard: Sync));
    assert!(has!(Run<NotSync>: Send) && !has!(Run<NotSend>: Send));
    assert!(has!(Cancelled: Send) && has!(Cancelled: Sync) && has!(Cancelled: std::error::Error));
    assert!(has!(CancelKind: Send) && has!(CancelKind: Copy) && has!(CancelKind: Eq));
    assert!(has!(TooLarge: Send) && has!(TooLarge: Sync) && has!(TooLarge: std::error::Error));
    assert!(has!(Errors<NotSync>: Send) && !has!(Errors<NotSync>: Sync));
    assert!(!has!(Errors<NotSend>: Send));
    assert!(has!(Errors<String>: std::error::Error) && !has!(Errors<()>: std::error::Error));
    // The future comes back as it is, and need not have any trait.
    assert!(has!(TrySpawnError<NotSend>: std::error::Error));
    assert!(has!(TrySpawnError<NotSync>: Send) && !has!(TrySpawnError<NotSend>: Send));
}

#[cfg(feature = "std")]
#[test]
fn a_caught_panic_is_send_and_sync_and_an_error() {
    use errgroup::Panicked;
    assert!(has!(Panicked: Send) && has!(Panicked: Sync));
    assert!(has!(Panicked: std::error::Error));
    assert!(has!(std::io::Error: From<Panicked>) && has!(std::io::Error: From<Cancelled>));
    assert!(has!(std::io::Error: From<TooLarge>));
}

#[test]
fn all_futures_of_a_group_are_send() {
    type Group = ErrGroup<'static, NotSync, NotSync>;
    is_send(&Group::new());
    is_send(&Group::new().collect());
    is_send(&Group::new().wait_all());
    is_send(&Group::new().settle());
    is_send(&Group::new().first_ok());
    let mut group = Group::new();
    is_send(&group.ready());
    is_send(&group.next());
    is_send(&group.results());
    is_send(&group.drive(ready(Cell::new(1))));
    let spawner = group.spawner();
    is_send(&spawner.ready());
    is_send(&group);
    let (context, group) = Group::with_context(&CancelContext::new());
    is_send(&context.cancelled());
    is_send(&context.run(pending::<()>()));
    is_send(&group);
}

/// Neither `Clone` nor `Debug`, not an error, and not `'static`.
struct Plain<'a>(&'a str);

type Group<'a> = ErrGroup<'a, Plain<'a>, Plain<'a>>;

#[test]
fn values_and_errors_need_not_be_static_clone_debug_or_errors() {
    let text = String::from("borrowed");
    let context = CancelContext::new();
    fn fill<'a>(mut group: Group<'a>, text: &'a str) -> Group<'a> {
        group.spawn(async move { Ok(Plain(text)) });
        group.spawn(async move { Err(Plain(&text[..4])) });
        group
    }
    let make = || fill(ErrGroup::new(), &text);
    assert_eq!(run(make()).err().unwrap().0, "borr");
    assert_eq!(run(make().collect()).err().unwrap().0, "borr");
    let errors = run(make().wait_all()).err().unwrap();
    assert_eq!(errors.first().unwrap().0, "borr");
    assert_eq!(run(make().settle()).len(), 2);
    assert_eq!(run(make().first_ok()).ok().unwrap().0, "borrowed");
    let mut group = make();
    let _ = format!("{group:?} {:?} {:?}", group.spawner(), Cell::new(1));
    let _ = format!("{:?}", group.results());
    assert_eq!(run(group.next()).unwrap().ok().unwrap().0, "borrowed");
    assert!(run(group.drive(ready(Plain(&text)))).is_none());
    let (_own, group) = Group::with_context(&context);
    assert!(run(fill(group, &text)).is_err());
}

impl From<Cancelled> for Plain<'_> {
    fn from(_: Cancelled) -> Self {
        Plain("cancelled")
    }
}

#[test]
fn a_graceful_group_and_its_grace_may_borrow() {
    let text = String::from("borrowed");
    let called = Cell::new(0);
    let parent = CancelContext::new();
    let (context, mut group) = LocalErrGroup::with_grace(&parent, || async {
        called.set(called.get() + text.len());
    });
    group.spawn(async {
        // Tasks may borrow the context that came with the group.
        context.cancelled().await;
        Ok(Plain(&text))
    });
    group.spawn(async {
        pending::<()>().await;
        Err(Plain(&text))
    });
    parent.cancel();
    assert_eq!(run(group).err().unwrap().0, "cancelled");
    assert_eq!(called.get(), 8);
}

#[test]
fn tasks_of_a_local_group_may_share_what_is_not_sync() {
    let log = RefCell::new(Vec::new());
    let shared = Rc::new(5);
    let mut group: LocalErrGroup<'_, Rc<u8>, Rc<u8>> = LocalErrGroup::new();
    for number in 0..3 {
        let (log, shared) = (&log, shared.clone());
        group.spawn(async move {
            log.borrow_mut().push(number);
            Ok(shared)
        });
    }
    assert_eq!(run(group.collect()).unwrap().len(), 3);
    assert_eq!(log.into_inner(), [0, 1, 2]);
}

#[test]
fn a_group_of_send_tasks_may_have_values_that_are_not_send() {
    // The group is then not `Send`, but works.
    let mut group: ErrGroup<'_, Rc<u8>, ()> = ErrGroup::new();
    group.spawn(async { Ok(Rc::new(1)) });
    assert_eq!(run(group.collect()), Ok(vec![Rc::new(1)]));
}

#[test]
fn groups_are_made_of_iterators_and_by_default() {
    let group: ErrGroup<'_, u8, ()> = (0..3).map(|number| async move { Ok(number) }).collect();
    assert_eq!(run(group.collect()), Ok(vec![0, 1, 2]));
    let mut group = LocalErrGroup::<Rc<u8>, ()>::default();
    group.extend((0..3).map(|number| async move { Ok(Rc::new(number)) }));
    assert_eq!(run(group.collect()).unwrap().len(), 3);
}

#[test]
fn a_spawner_may_be_shared_between_threads_by_reference() {
    let mut group = ErrGroup::<usize, ()>::new();
    let spawner = group.spawner();
    std::thread::scope(|scope| {
        for number in 0..4 {
            let spawner = &spawner;
            scope.spawn(move || spawner.spawn(async move { Ok(number) }));
        }
    });
    let mut values = run(async {
        let mut values = Vec::new();
        while let Some(value) = group.next().await {
            values.push(value.unwrap());
        }
        values
    });
    values.sort_unstable();
    assert_eq!(values, [0, 1, 2, 3]);
}

#[test]
fn a_group_is_looked_at_through_a_shared_reference_from_other_threads() {
    let mut group = ErrGroup::<NotSync, ()>::new();
    group.spawn(pending());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!((group.len(), group.running(), group.queued()), (1, 0, 1));
            let _ = format!("{group:?}");
            group.spawner().spawn(pending());
        });
    });
    assert_eq!(group.len(), 2);
}

#[test]
fn a_group_may_be_a_task_of_an_executor() {
    fn spawn<F: Future + Send + 'static>(future: F) -> F {
        future
    }
    let future = spawn(async {
        let mut group = ErrGroup::<u8, std::io::Error>::new().limit(2);
        let spawner = group.spawner();
        group.spawn(async move {
            spawner.spawn(async { Ok(2) });
            Ok(1)
        });
        assert!(group.ready().await);
        group.drive(ready(())).await;
        group.collect().await
    });
    assert_eq!(run(future).unwrap(), [1, 2]);
}

// R12
#[test]
fn a_future_that_drives_a_stream_of_borrowing_futures_is_send() {
    async fn page(site: &str, number: u32) -> String {
        format!("{site} {number}")
    }
    let crawl = async {
        let site = String::from("site");
        let mut pages = buffered(stream::iter(0..3), 2, |number| page(&site, number));
        let mut group = ErrGroup::<(), ()>::new();
        let mut count = 0;
        while let Some(Some(page)) = group.drive(pages.next()).await {
            assert_eq!(page, format!("site {count}"));
            count += 1;
        }
        count
    };
    is_send(&crawl);
    assert_eq!(run(crawl), 3);
}
