//! The public surface, used as it is written down, by somebody who has only read that: by value,
//! through generics, in structs and in signatures.
#![allow(clippy::type_complexity, elided_lifetimes_in_paths)]

use std::borrow::Cow;
use std::cell::Cell;
use std::error::Error;
use std::fmt::{self, Debug, Display};
use std::future::{Future, pending, ready};
use std::io;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use crate::common::{Probe, Root, run, yields};
use errgroup::{
    Acquire, AcquireOwned, CancelContext, CancelKind, Cancelled, Cancelling, DropGuard, ErrGroup,
    ErrSpawner, Errors, Group, LocalErrGroup, LocalErrSpawner, OwnedPermit, Permit, Results, Run,
    Semaphore, Spawner, StartError, Started, TaskHandle, TooLarge, TryForEach, TryMap,
    TrySpawnError, local_scope, local_scope_in, scope, scope_in, try_for_each, try_for_each_stream,
    try_map, try_map_stream,
};
use futures::future::{BoxFuture, FusedFuture, FutureExt, LocalBoxFuture};
use futures::stream::{FusedStream, StreamExt};

type BoxError = Box<dyn Error + Send + Sync>;

/// No trait at all, not `'static`.
struct Bare<'a>(&'a str);

impl From<Cancelled> for Bare<'_> {
    fn from(_: Cancelled) -> Self {
        Bare("cancelled")
    }
}

fn is_send<T: Send>(value: T) -> T {
    value
}
fn is_sync<T: Sync>(value: T) -> T {
    value
}
fn is_static<T: 'static>(value: T) -> T {
    value
}
fn is_unpin<T: Unpin>(value: T) -> T {
    value
}
fn is_fused<T: FusedFuture>(value: T) -> T {
    value
}
fn is_unwind_safe<T: UnwindSafe + RefUnwindSafe>(value: T) -> T {
    value
}
fn gives<O, F: Future<Output = O>>(future: F) -> F {
    future
}

// --- groups -----------------------------------------------------------------------------------

fn empty<'a, E>() -> ErrGroup<'a, (), E> {
    ErrGroup::new()
}

fn empty_local<'a, E>() -> LocalErrGroup<'a, (), E> {
    LocalErrGroup::new()
}

fn spawn_any<'env, T, E, Fut>(group: &mut ErrGroup<'env, T, E>, future: Fut)
where
    Fut: Future<Output = Result<T, E>> + Send + 'env,
{
    group.spawn(future);
}

fn spawn_any_local<'env, T, E>(
    group: &mut LocalErrGroup<'env, T, E>,
    future: impl Future<Output = Result<T, E>> + 'env,
) {
    group.spawn(future);
}

fn try_spawn_any<'env, T, E, Fut>(
    group: &mut ErrGroup<'env, T, E>,
    future: Fut,
) -> Result<(), TrySpawnError<Fut>>
where
    Fut: Future<Output = Result<T, E>> + Send + 'env,
{
    group.try_spawn::<Fut>(future)
}

fn spawn_from_anywhere<'env, T, E, Fut>(spawner: &ErrSpawner<'env, T, E>, future: Fut)
where
    Fut: Future<Output = Result<T, E>> + Send + 'env,
{
    spawner.spawn(future);
}

fn spawn_from_anywhere_local<'env, T, E, Fut>(spawner: &LocalErrSpawner<'env, T, E>, future: Fut)
where
    Fut: Future<Output = Result<T, E>> + 'env,
{
    spawner.spawn(future);
}

fn try_spawn_from_anywhere<'env, T, E, Fut>(
    spawner: &ErrSpawner<'env, T, E>,
    future: Fut,
) -> Result<(), TrySpawnError<Fut>>
where
    Fut: Future<Output = Result<T, E>> + Send + 'env,
{
    spawner.try_spawn::<Fut>(future)
}

fn handle_of<'env, U, E, Fut>(spawner: &ErrSpawner<'env, (), E>, future: Fut) -> TaskHandle<U>
where
    Fut: Future<Output = Result<U, E>> + Send + 'env,
    U: Send + 'env,
{
    spawner.spawn_with_handle(future)
}

fn local_handle_of<'env, U, E, Fut>(
    spawner: &LocalErrSpawner<'env, (), E>,
    future: Fut,
) -> TaskHandle<U>
where
    Fut: Future<Output = Result<U, E>> + 'env,
    U: 'env,
{
    spawner.spawn_with_handle(future)
}

async fn start_any<'env, U, E, B, Fut>(
    spawner: &ErrSpawner<'env, (), E>,
    body: B,
) -> Result<U, StartError>
where
    B: FnOnce(Started<U>) -> Fut,
    Fut: Future<Output = Result<(), E>> + Send + 'env,
    U: Send + 'env,
{
    spawner.start::<U, B, Fut>(body).await
}

fn background_any<'env, E, Fut>(spawner: &ErrSpawner<'env, (), E>, future: Fut)
where
    Fut: Future<Output = Result<(), E>> + Send + 'env,
{
    spawner.spawn_background(future);
}

fn named_any<'env, E, Fut>(
    spawner: &ErrSpawner<'env, (), E>,
    name: impl Into<Cow<'static, str>>,
    future: Fut,
) where
    Fut: Future<Output = Result<(), E>> + Send + 'env,
{
    spawner.spawn_named(name, future);
}

#[test]
fn tasks_are_spawned_through_generic_functions() {
    let text = String::from("borrowed");
    let mut group = ErrGroup::<'_, Bare<'_>, Bare<'_>>::new().limit(3);
    spawn_any(&mut group, async { Ok(Bare(&text)) });
    spawn_any(&mut group, ready(Ok(Bare(&text[..2]))));
    assert!(try_spawn_any(&mut group, async { Ok(Bare("more")) }).is_ok());
    let refused = try_spawn_any(&mut group, async { Ok(Bare("too much")) });
    let refused: TrySpawnError<_> = refused.err().unwrap();
    assert!(refused.is_full());
    spawn_from_anywhere(&group.spawner(), refused.into_inner());
    let refused = try_spawn_from_anywhere(&group.spawner(), ready(Ok(Bare(""))));
    assert!(refused.is_err_and(|refused| refused.is_full()));
    let values = run(group.collect()).ok().unwrap();
    let values: Vec<_> = values.iter().map(|value| value.0).collect();
    assert_eq!(values, ["borrowed", "bo", "more", "too much"]);

    let shared = Rc::new(Cell::new(0));
    let mut group = LocalErrGroup::<Rc<Cell<u8>>, Bare<'_>>::new();
    spawn_any_local(&mut group, ready(Ok(shared.clone())));
    spawn_from_anywhere_local(&group.spawner(), async { Ok(shared.clone()) });
    assert_eq!(run(group.collect()).ok().unwrap().len(), 2);
}

#[test]
fn boxed_futures_and_functions_are_tasks() {
    async fn task() -> io::Result<u8> {
        Ok(1)
    }
    let mut group: ErrGroup<'_, u8, io::Error> = Group::new();
    let boxed: BoxFuture<'_, io::Result<u8>> = Box::pin(task());
    group.spawn(boxed);
    group.spawn(task());
    group.spawn(Box::pin(task()));
    group.try_spawn(ready(Ok(4))).unwrap();
    group.extend([task(), task()]);
    assert_eq!(run(group.collect()).unwrap(), [1, 1, 1, 4, 1, 1]);
    let mut group: LocalErrGroup<'_, u8, io::Error> = Group::default();
    let boxed: LocalBoxFuture<'_, io::Result<u8>> = Box::pin(task());
    group.spawn(boxed);
    assert_eq!(run(group.collect()).unwrap(), [1]);
}

#[test]
fn a_group_is_made_in_all_the_ways() {
    run(async {
        empty::<Bare<'_>>().await.ok().unwrap();
        empty_local::<Bare<'_>>().await.ok().unwrap();
        ErrGroup::<(), ()>::default().await.unwrap();
        let parent = CancelContext::new();
        let (context, group): (CancelContext, ErrGroup<'_, (), Bare<'_>>) =
            ErrGroup::with_context(&parent);
        group.await.ok().unwrap();
        assert_eq!(context.reason().unwrap().kind(), CancelKind::Finished);
        let (_, group) = LocalErrGroup::<(), Bare<'_>>::with_context(&parent);
        group.await.ok().unwrap();
        let group = ErrGroup::<u8, io::Error>::new()
            .keep_going()
            .limit(2)
            .cause_from(|error: &io::Error| error.to_string().into());
        assert_eq!(group.collect().await.unwrap(), []);
        let group: ErrGroup<'_, u8, ()> = (0..2).map(|n| async move { Ok(n) }).collect();
        assert_eq!(group.collect().await, Ok(vec![0, 1]));
        let group = ErrGroup::from_iter([ready(Ok::<_, ()>(1))]);
        assert_eq!(group.settle().await, [Ok(1)]);
        let futures = (0..2).map(|n| async move { Ok::<_, ()>(Rc::new(n)) });
        futures.collect::<LocalErrGroup<_, _>>().await.unwrap();
        let futures = (0..2).map(|n| async move { Ok::<_, ()>(n) });
        futures.collect::<ErrGroup<_, _>>().await.unwrap();
    });
}

#[test]
fn catch_panics_needs_no_more_than_from_panicked() {
    use errgroup::Panicked;

    struct Mine;
    impl From<Panicked> for Mine {
        fn from(_: Panicked) -> Self {
            Mine
        }
    }
    fn catching<'a, E: From<Panicked>>() -> ErrGroup<'a, (), E> {
        ErrGroup::new().catch_panics()
    }
    for group in [catching::<Mine>(), ErrGroup::new().catch_panics()] {
        let mut group = group;
        group.spawn(async { panic!("no") });
        assert!(run(group).is_err());
    }
    let mut group = catching::<BoxError>();
    group.spawn(async { panic!("{}", "formatted") });
    let error = run(group).unwrap_err();
    let panicked: Box<Panicked> = error.downcast().unwrap();
    let message: Option<&str> = panicked.message();
    assert_eq!(message, Some("formatted"));
    assert_eq!(
        *panicked.into_payload().downcast::<String>().unwrap(),
        "formatted"
    );
    let mut group = catching::<Panicked>();
    group.spawn(async { std::panic::panic_any(7_u8) });
    let panicked = run(group).unwrap_err();
    assert_eq!(panicked.message(), None);
    let resumed = std::panic::catch_unwind(move || -> u8 { panicked.resume() });
    assert_eq!(*resumed.unwrap_err().downcast::<u8>().unwrap(), 7);
}

#[test]
fn a_grace_is_any_function_that_makes_any_future() {
    fn timer() -> impl Future<Output = u8> + Send {
        ready(1)
    }
    async fn plain() {}
    struct Timer(&'static str);
    impl Timer {
        fn after(self) -> std::future::Ready<io::Result<&'static str>> {
            ready(Ok(self.0))
        }
    }
    fn graced<'env, G, S, E>(grace: G) -> (CancelContext, ErrGroup<'env, (), E>)
    where
        G: FnOnce() -> S + Send + 'env,
        S: Future + Send + 'env,
        E: From<Cancelled> + 'env,
    {
        ErrGroup::with_grace::<G, S>(&CancelContext::new(), grace)
    }
    let boxed = |future: BoxFuture<'static, u8>| move || future;
    let text = String::from("captured");
    fn ends<'a>((context, mut group): (CancelContext, ErrGroup<'a, (), Bare<'a>>)) {
        group.spawn(pending());
        context.cancel();
        assert_eq!(run(group).err().unwrap().0, "cancelled");
    }
    ends(graced(timer));
    ends(graced(plain));
    ends(graced(|| async {}));
    ends(graced(async || {}));
    ends(graced(|| ready(5)));
    ends(graced(|| Timer("six").after()));
    ends(graced(boxed(Box::pin(async { 7 }))));
    ends(graced(|| async { _ = &text }));
    ends(graced(move || async move { drop(text) }));
    ends(ErrGroup::with_grace(&CancelContext::new(), || async {
        yields(3).await
    }));

    let shared = Rc::new(Cell::new(0));
    let counted = shared.clone();
    let (context, mut group) =
        LocalErrGroup::<(), Bare<'_>>::with_grace(&CancelContext::new(), move || async move {
            counted.set(1);
        });
    group.spawn(pending());
    context.cancel();
    assert!(run(group).is_err());
    assert_eq!(shared.get(), 1);
}

#[test]
fn every_way_to_drive_and_to_finish_gives_what_it_says() {
    run(async {
        let fill = || {
            let mut group = ErrGroup::<u8, String>::new();
            group.spawn(ready(Ok(1)));
            group.spawn(ready(Err("two".to_string())));
            group
        };
        let one: Result<(), String> = fill().await;
        let all: Result<Vec<u8>, String> = fill().collect().await;
        let errors: Result<Vec<u8>, Errors<String>> = fill().wait_all().await;
        let every: Vec<Result<u8, String>> = fill().settle().await;
        let first: Result<u8, Errors<String>> = fill().first_ok().await;
        assert_eq!(one, Err("two".into()));
        assert_eq!(all, Err("two".into()));
        assert_eq!(errors.unwrap_err().into_vec(), [(1, "two".to_string())]);
        assert_eq!(every, [Ok(1), Err("two".into())]);
        assert_eq!(first.unwrap(), 1);

        let mut group = fill().limit(2);
        let (running, queued, len): (usize, usize, usize) =
            (group.running(), group.queued(), group.len());
        assert_eq!((running, queued, len), (0, 2, 2));
        assert!(!group.is_empty());
        let driven: Option<char> = group.drive(async { 'x' }).await;
        assert_eq!(driven, None);
        let there_is_room: bool = group.ready().await;
        assert!(!there_is_room);
        let outcome: Option<Result<u8, String>> = group.next().await;
        assert_eq!(outcome, Some(Ok(1)));
        let mut results: Results<'_, '_, u8, String> = group.results();
        assert_eq!(results.next().await, Some(Err("two".into())));
        assert_eq!(results.next().await, None);
        assert!(results.is_terminated());
        group.set_limit(1);
        group.abort_all();
        let awaited: Result<(), String> = (&mut group).await;
        assert_eq!(awaited, Ok(()));
        assert!(is_fused(&mut group).is_terminated());
    });
}

#[test]
fn futures_of_groups_are_named_or_boxed_in_structs() {
    struct Service {
        group: ErrGroup<'static, (), io::Error>,
        spawner: ErrSpawner<'static, (), io::Error>,
        local: LocalErrGroup<'static, Rc<u8>, Bare<'static>>,
        context: CancelContext,
        waiting: Cancelling,
        work: Run<std::future::Ready<u8>>,
        guard: Option<DropGuard>,
        permit: Option<OwnedPermit>,
        acquire: AcquireOwned,
        handle: TaskHandle<u8>,
        finishing: BoxFuture<'static, io::Result<Vec<u8>>>,
    }
    struct Borrowing<'a> {
        group: ErrGroup<'a, &'a str, Bare<'a>>,
        permit: Permit<'a>,
        acquire: Acquire<'a>,
    }
    let semaphore = Arc::new(Semaphore::new(2));
    let context = CancelContext::new();
    let group = ErrGroup::new();
    let mut service = Service {
        spawner: group.spawner(),
        handle: group.spawner().spawn_with_handle(ready(Ok(9))),
        group,
        local: LocalErrGroup::new(),
        waiting: context.cancelled(),
        work: context.run(ready(1)),
        guard: Some(context.drop_guard()),
        permit: semaphore.try_acquire_owned(1),
        acquire: semaphore.acquire_owned(1),
        context,
        finishing: Box::pin(ErrGroup::new().collect()),
    };
    run(async {
        service.spawner.spawn(async { Ok(()) });
        (&mut service.group).await.unwrap();
        assert_eq!((&mut service.handle).await.unwrap(), 9);
        (&mut service.local).await.ok().unwrap();
        assert_eq!((&mut service.work).await.unwrap(), 1);
        assert_eq!(service.permit.take().unwrap().permits(), 1);
        assert_eq!((&mut service.acquire).await.unwrap().permits(), 1);
        assert_eq!(service.finishing.as_mut().await.unwrap(), []);
        drop(service.guard.take());
        assert_eq!((&mut service.waiting).await.kind(), CancelKind::Cancelled);
        assert!(service.context.is_cancelled());
    });
    let semaphore = Semaphore::new(3);
    let mut borrowing = Borrowing {
        group: ErrGroup::new(),
        permit: semaphore.try_acquire(1).unwrap(),
        acquire: semaphore.acquire(2),
    };
    borrowing.group.spawn(async { Ok("text") });
    run(async {
        borrowing.group.await.ok().unwrap();
        drop(borrowing.permit);
        assert_eq!(borrowing.acquire.await.unwrap().permits(), 2);
    });
}

#[test]
fn groups_and_all_that_they_make_are_send_through_generics() {
    fn whole<'a, T: Send + 'a, E: Send + From<Cancelled> + 'a>(
        parent: &CancelContext,
    ) -> impl Future<Output = Result<(), E>> + Send + use<'a, T, E> {
        let (context, mut group) = ErrGroup::<'a, T, E>::with_context(parent);
        async move {
            is_send(&context);
            is_send(group.ready()).await;
            is_send(group.drive(async {})).await;
            is_send(group.next()).await;
            is_unpin(is_sync(is_send(group.results()))).next().await;
            is_send(group.spawner().ready()).await;
            group.await
        }
    }
    fn finishers<'a, T: Send + 'a, E: Send + 'a>() {
        drop(is_send(ErrGroup::<'a, T, E>::new().collect()));
        drop(is_send(ErrGroup::<'a, T, E>::new().wait_all()));
        drop(is_send(ErrGroup::<'a, T, E>::new().settle()));
        drop(is_send(ErrGroup::<'a, T, E>::new().first_ok()));
        drop(is_fused(is_unpin(is_sync(is_send(
            ErrGroup::<'a, T, E>::new(),
        )))));
        drop(is_sync(is_send(ErrGroup::<'a, T, E>::new().spawner())));
    }
    finishers::<Cell<u8>, Bare<'_>>();
    run(is_send(whole::<Cell<u8>, Bare<'_>>(&CancelContext::new())))
        .ok()
        .unwrap();
    drop(is_unpin(LocalErrGroup::<Rc<u8>, Rc<u8>>::new()));
    drop(is_fused(LocalErrGroup::<Rc<u8>, Rc<u8>>::new()));
}

#[test]
fn a_context_and_a_semaphore_may_cross_a_catch_of_panics() {
    drop(is_unwind_safe(CancelContext::new()));
    drop(is_unwind_safe(CancelContext::new().cancelled()));
    drop(is_unwind_safe(Semaphore::new(1)));
}

#[test]
fn a_flavour_is_chosen_by_a_generic_parameter_of_the_caller() {
    // `Group` and `Spawner` are generic over the flavour; what needs no task works for both.
    fn about(group: &impl Debug) -> String {
        format!("{group:?}")
    }
    let group = ErrGroup::<Bare<'_>, Bare<'_>>::new();
    assert_eq!(about(&group), "Group { tasks: [], .. }");
    assert_eq!(
        about(&LocalErrGroup::<Bare<'_>, Bare<'_>>::new()),
        "Group { tasks: [], .. }"
    );
    let spawner: Spawner<'_, _, _, _> = group.spawner();
    assert!(about(&spawner.clone()).starts_with("Spawner"));
}

// --- spawners and handles -----------------------------------------------------------------------

#[test]
fn a_spawner_has_all_its_methods_for_send_and_local_tasks() {
    let group = ErrGroup::<(), Bare<'_>>::new();
    let spawner: ErrSpawner<'_, (), Bare<'_>> = is_sync(is_send(group.spawner()));
    let other = spawner.clone();
    spawn_from_anywhere(&spawner, async { Ok(()) });
    let mut handle = handle_of(&other, async { Ok(Cell::new(1)) });
    background_any(&spawner, pending());
    named_any(&spawner, "name", async { Ok(()) });
    named_any(&spawner, String::from("owned"), async { Ok(()) });
    named_any(&spawner, Cow::Borrowed("cow"), async { Ok(()) });
    spawner.set_limit(100);
    let counts: (usize, usize, usize) = (spawner.running(), spawner.queued(), spawner.len());
    assert_eq!(counts, (0, 5, 5));
    assert!(!spawner.is_closed());
    assert_eq!((handle.index(), handle.is_finished()), (1, false));
    let ready: bool = run(spawner.ready());
    assert!(ready);
    run(group).ok().unwrap();
    assert!(handle.is_finished() && !is_fused(&mut handle).is_terminated());
    assert_eq!(run(is_send(&mut handle)).unwrap().get(), 1);
    assert!(handle.is_terminated());
    handle.abort();

    let shared = Rc::new(1);
    let group = LocalErrGroup::<(), Bare<'_>>::new();
    let spawner: LocalErrSpawner<'_, (), Bare<'_>> = group.spawner();
    let handle = local_handle_of(&spawner, async { Ok(shared.clone()) });
    spawner.spawn_background(async {
        _ = &shared;
        pending().await
    });
    spawner.spawn_named(format!("{}", 1), async {
        _ = &shared;
        Ok(())
    });
    run(group).ok().unwrap();
    assert_eq!(run(handle).unwrap(), shared);
}

#[test]
fn a_handle_resolves_to_a_value_or_to_a_reason() {
    fn outcome<U>(handle: TaskHandle<U>) -> impl Future<Output = Result<U, Cancelled>> {
        gives::<Result<U, Cancelled>, _>(is_unpin(handle))
    }
    let group = ErrGroup::<(), io::Error>::new();
    let handle = group
        .spawner()
        .spawn_with_handle(pending::<io::Result<u8>>());
    handle.abort();
    drop(group.spawner().spawn_with_handle(async { Ok("detached") }));
    run(group).unwrap();
    let reason = run(outcome(handle)).unwrap_err();
    assert_eq!(reason.kind(), CancelKind::Cancelled);
    // `?` makes an `io::Error` of it, in a scope for example.
    async fn asks(handle: TaskHandle<u8>) -> io::Result<u8> {
        Ok(handle.await?)
    }
    let handle = ErrGroup::<(), io::Error>::new()
        .spawner()
        .spawn_with_handle(ready(Ok(1)));
    assert_eq!(run(asks(handle)).unwrap_err().kind(), io::ErrorKind::Other);
}

#[test]
fn start_takes_functions_and_closures_of_all_sorts() {
    async fn function(started: Started<u8>) -> io::Result<()> {
        started.ready(1);
        Ok(())
    }
    let text = String::from("borrowed");
    let text = &text;
    let scope = scope(async move |s| {
        assert_eq!(start_any(&s, function).await, Ok(1));
        assert_eq!(s.start(function).await, Ok(1));
        let value: Result<&str, StartError> = s
            .start(|started| async move {
                started.ready(text.as_str());
                Ok(())
            })
            .await;
        assert_eq!(value, Ok("borrowed"));
        let value = s
            .start(async |started: Started<Cell<u8>>| {
                started.ready(Cell::new(3));
                Ok(())
            })
            .await;
        assert_eq!(value.unwrap().get(), 3);
        let none = s.start(|_: Started<()>| async { Ok(()) }).await;
        let error: StartError = none.unwrap_err();
        let error: Box<dyn Error + Send + Sync + 'static> = error.into();
        assert!(error.source().is_none());
        Ok::<_, io::Error>(())
    });
    run(scope).unwrap();
}

// --- scopes -------------------------------------------------------------------------------------

fn in_scope<'env, R, E, B, Fut>(body: B) -> impl Future<Output = Result<R, E>> + Send
where
    B: FnOnce(ErrSpawner<'env, (), E>) -> Fut + Send + 'env,
    Fut: Future<Output = Result<R, E>> + Send + 'env,
    R: Send + 'env,
    E: Send + 'env,
{
    scope::<'env, R, E, B, Fut>(body)
}

fn in_local_scope<'env, R, E, B, Fut>(body: B) -> impl Future<Output = Result<R, E>>
where
    B: FnOnce(LocalErrSpawner<'env, (), E>) -> Fut + 'env,
    Fut: Future<Output = Result<R, E>> + 'env,
    R: 'env,
    E: 'env,
{
    local_scope(body)
}

fn in_graceful_scope<'env, R, E, G, S, B, Fut>(
    parent: &CancelContext,
    grace: G,
    body: B,
) -> impl Future<Output = Result<R, E>> + Send
where
    G: FnOnce() -> S + Send + 'env,
    S: Future + Send + 'env,
    B: FnOnce(ErrSpawner<'env, (), E>, CancelContext) -> Fut + Send + 'env,
    Fut: Future<Output = Result<R, E>> + Send + 'env,
    R: Send + 'env,
    E: From<Cancelled> + Send + 'env,
{
    scope_in(parent, grace, body)
}

#[test]
fn the_body_of_a_scope_is_a_closure_of_any_sort() {
    async fn function(spawner: ErrSpawner<'_, (), io::Error>) -> io::Result<u8> {
        spawner.spawn(async { Ok(()) });
        Ok(1)
    }
    let text = String::from("borrowed");
    let count = Cell::new(0);
    run(async {
        assert_eq!(in_scope(function).await.unwrap(), 1);
        let two = scope(async |s| {
            let text = &text;
            let length = s.spawn_with_handle(async move { Ok(text.len()) });
            let length = length.await?;
            Ok::<_, Cancelled>(length)
        });
        assert_eq!(is_send(two).await.unwrap(), 8);
        let three = scope(|s| async move {
            s.spawn(async { Ok(()) });
            Ok::<_, Bare<'_>>(Cell::new(3))
        });
        assert_eq!(is_send(three).await.ok().unwrap().get(), 3);
        let four = in_scope(async move |s| {
            s.spawn(async { Err(4) });
            pending::<Result<(), u8>>().await
        });
        assert_eq!(four.await, Err(4));
        let five = in_local_scope(async |s| {
            for _ in 0..5 {
                s.spawn(async {
                    count.set(count.get() + 1);
                    Ok::<_, Rc<u8>>(())
                });
            }
            Ok(&count)
        });
        assert_eq!(five.await.unwrap().get(), 5);
        let parent = CancelContext::new();
        let six = in_graceful_scope(&parent, pending::<()>, async |s, context: CancelContext| {
            s.spawn(async { Err(io::Error::other("six")) });
            Ok(context.cancelled().await.kind())
        });
        assert_eq!(is_send(six).await.unwrap_err().to_string(), "six");
        let seven = scope_in(
            &parent,
            || async {},
            |_, context| async move {
                context.cancel();
                pending::<Result<(), Bare<'_>>>().await
            },
        );
        assert_eq!(seven.await.err().unwrap().0, "cancelled");
        let eight = local_scope_in(
            &parent,
            async || count.set(8),
            async |_, context| {
                context.cancel();
                pending::<Result<(), Bare<'_>>>().await
            },
        );
        assert!(eight.await.is_err());
        assert_eq!(count.get(), 8);
    });
}

#[test]
fn the_body_of_a_scope_runs_only_when_the_scope_is_polled() {
    let ran = Cell::new(false);
    let body = |_: LocalErrSpawner<'_, (), ()>| {
        ran.set(true);
        ready(Ok(()))
    };
    drop(local_scope(body));
    assert!(!ran.get());
    let scope = local_scope(body);
    assert!(!ran.get());
    run(scope).unwrap();
    assert!(ran.get());
}

#[test]
fn the_future_of_a_scope_borrows_no_parent_and_may_be_static() {
    fn spawn<F: Future + Send + 'static>(future: F) -> F {
        future
    }
    let scope = {
        let parent = CancelContext::new();
        spawn(scope_in(
            &parent,
            || async {},
            async |s, context| {
                let deadline = context.clone();
                s.spawn(async move {
                    deadline.check()?;
                    Ok(())
                });
                Ok::<_, BoxError>(1)
            },
        ))
    };
    assert_eq!(run(scope).unwrap(), 1);
    assert_eq!(run(spawn(scope_of_string())).unwrap(), "x");
}

fn scope_of_string() -> impl Future<Output = Result<String, String>> + Send + 'static {
    scope(async |s| {
        let x = s.spawn_with_handle(async { Ok("x".to_string()) });
        x.await.map_err(|reason| reason.to_string())
    })
}

// --- contexts -----------------------------------------------------------------------------------

#[test]
fn a_cause_is_anything_that_becomes_a_boxed_error() {
    let cause = |context: &CancelContext| context.reason().unwrap().cause().unwrap().to_string();
    let context = || CancelContext::new();
    let one = context();
    let first: bool = one.cancel_with("text");
    assert!(first && !one.cancel());
    assert_eq!(cause(&one), "text");
    let two = context();
    two.cancel_with(format!("{}", 2));
    assert_eq!(cause(&two), "2");
    let three = context();
    let boxed: BoxError = Box::new(io::Error::other("three"));
    three.cancel_with(boxed);
    assert_eq!(cause(&three), "three");
    let four = context();
    four.cancel_with(io::Error::other("four"));
    assert_eq!(cause(&four), "four");
    let five = context();
    five.cancel_with(Cow::Borrowed("five"));
    assert_eq!(cause(&five), "five");
    // A reason is an error, and so a cause.
    let six = context();
    six.cancel_with(one.reason().unwrap());
    assert_eq!(cause(&six), "cancelled");
    let source = six.reason().unwrap();
    let source = source.source().unwrap().source().unwrap();
    assert_eq!(source.to_string(), "text");
}

#[test]
fn deadlines_and_triggers_take_any_future() {
    let root = CancelContext::default();
    run(async {
        let reason: Cancelled = root.with_deadline(async { 5 }).cancelled().await;
        assert!(reason.is_deadline() && reason.cause().is_none());
        assert_eq!(reason.kind(), CancelKind::DeadlineExceeded);
        let late = |cause: &'static str| root.with_deadline_cause(ready(()), cause);
        assert_eq!(
            late("late").cancelled().await.cause().unwrap().to_string(),
            "late"
        );
        let owned = root.with_deadline_cause(yields(1), String::from("owned"));
        assert_eq!(
            owned.run(pending::<()>()).await.unwrap_err().to_string(),
            "deadline exceeded"
        );
        let error = root.with_deadline_cause(ready(()), io::Error::other("io"));
        assert!(error.cancelled().await.source().unwrap().is::<io::Error>());
        let boxed: BoxError = "boxed".into();
        _ = root.with_deadline_cause(pending::<()>(), boxed);
        let signal = root.with_trigger(async { "a signal" });
        assert_eq!(signal.cancelled().await.kind(), CancelKind::Cancelled);
        let signal = root.with_trigger::<String>(ready("text".to_string()));
        assert_eq!(
            signal.cancelled().await.cause().unwrap().to_string(),
            "text"
        );
        let signal = root.with_trigger::<io::Error>(async { io::Error::other("x") });
        assert!(signal.cancelled().await.source().unwrap().is::<io::Error>());
        let boxed: BoxFuture<'static, BoxError> = Box::pin(async { "dyn".into() });
        assert!(root.with_trigger(boxed).run(pending::<()>()).await.is_err());
        assert!(!root.is_cancelled());
    });
}

#[test]
fn the_futures_of_a_context_have_the_traits_that_they_should() {
    let context = is_sync(is_send(is_static(CancelContext::new())));
    let other: CancelContext = context.clone();
    let mut waiting: Cancelling = is_fused(is_unpin(is_sync(is_send(is_static(
        context.child().cancelled(),
    )))));
    let text = String::from("borrowed");
    let work: Run<_> = is_send(context.run(async { text.len() }));
    assert_eq!(run(gives::<Result<usize, Cancelled>, _>(work)).unwrap(), 8);
    let unpin: Run<std::future::Ready<u8>> = is_unpin(context.run(ready(1)));
    drop(unpin);
    let guard: DropGuard = is_send(context.drop_guard());
    let same: CancelContext = guard.disarm();
    assert!(!same.is_cancelled() && context.check().is_ok() && context.reason().is_none());
    drop(context.drop_guard());
    assert!(other.is_cancelled() && other.check().is_err());
    assert!(!waiting.is_terminated());
    let reason: Cancelled = run(&mut waiting);
    assert!(waiting.is_terminated());
    assert_eq!(reason.kind(), CancelKind::Cancelled);
    fn fails(context: &CancelContext) -> Result<(), Cancelled> {
        context.check()?;
        unreachable!()
    }
    assert!(fails(&context).is_err());
}

#[cfg(feature = "time")]
#[test]
fn a_timeout_is_a_duration() {
    use errgroup::time::sleep;
    let context = CancelContext::new().with_timeout(Duration::ZERO);
    assert!(context.is_cancelled() && context.reason().unwrap().is_deadline());
    run(is_unpin(is_send(is_static(sleep(Duration::ZERO)))));
    let (_, group) = ErrGroup::<(), io::Error>::with_grace(&context, || sleep(Duration::ZERO));
    drop(group);
}

#[cfg(feature = "tokio")]
#[test]
fn tasks_of_tokio_are_tasks_of_a_group() {
    use errgroup::on_tokio::{spawn, spawn_blocking};
    fn both() -> ErrGroup<'static, u8, io::Error> {
        let mut group = ErrGroup::new();
        group.spawn(spawn(async { Ok(1) }));
        group.spawn(is_unpin(is_send(spawn_blocking(|| Ok(2)))));
        group
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let values = runtime.unwrap().block_on(async { both().collect().await });
    assert_eq!(values.unwrap(), [1, 2]);
}

#[test]
fn what_holds_groups_scopes_and_maps_over_an_await_may_be_spawned() {
    fn spawn<F: Future + Send + 'static>(future: F) -> BoxFuture<'static, F::Output> {
        Box::pin(future)
    }
    async fn of_a_reference(group: &mut ErrGroup<'_, usize, BoxError>, text: &str) -> usize {
        group.drive(async { text.len() }).await.unwrap_or(0)
    }
    let groups = spawn(async {
        let texts = vec![String::from("a"), String::from("bc")];
        let (context, mut group) = ErrGroup::<&str, BoxError>::with_context(&CancelContext::new());
        for text in &texts {
            let context = &context;
            group.spawn(async move { Ok(context.run(async { text.as_str() }).await?) });
        }
        assert_eq!(group.drive(context.run(async { 5 })).await.unwrap()?, 5);
        let mut lengths = ErrGroup::<usize, BoxError>::new().limit(1);
        lengths.extend(texts.iter().map(|text| async move { Ok(text.len()) }));
        assert_eq!(of_a_reference(&mut lengths, &texts[0]).await, 1);
        while let Some(length) = lengths.results().next().await {
            length?;
        }
        Ok::<_, BoxError>(group.collect().await?.concat())
    });
    assert_eq!(run(groups).unwrap(), "abc");
    let scopes = spawn(async {
        let texts = vec![String::from("a"), String::from("bc")];
        let parent = CancelContext::new();
        let lengths = scope(async |s| {
            let mut handles = Vec::new();
            for text in &texts {
                handles.push(s.spawn_with_handle(async move { Ok(text.len()) }));
            }
            let up = async |started: Started<()>| {
                started.ready(());
                Ok(())
            };
            s.start(up).await?;
            let mut lengths = Vec::new();
            for handle in handles {
                lengths.push(handle.await?);
            }
            Ok::<_, BoxError>(lengths)
        })
        .await?;
        let graceful = scope_in(
            &parent,
            || async {},
            async |s, context| {
                for text in &texts {
                    let context = context.clone();
                    s.spawn(async move { Ok(context.run(async { drop(text.clone()) }).await?) });
                }
                Ok::<_, BoxError>(())
            },
        );
        graceful.await?;
        Ok::<_, BoxError>(lengths)
    });
    assert_eq!(run(scopes).unwrap(), [1, 2]);
    let maps = spawn(async {
        let texts = vec![String::from("a"), String::from("bc")];
        let semaphore = Semaphore::new(1);
        let lengths = try_map(&texts, 2, |text| {
            let semaphore = &semaphore;
            async move {
                let _permit = semaphore.acquire(1).await?;
                Ok::<_, BoxError>(text.len())
            }
        });
        let lengths = lengths.await?;
        try_for_each(texts.iter().enumerate(), 2, |(number, text)| async move {
            assert!(number < 2 && !text.is_empty());
            Ok::<_, BoxError>(())
        })
        .await?;
        Ok::<_, BoxError>(lengths)
    });
    assert_eq!(run(maps).unwrap(), [1, 2]);
}

// --- semaphores ---------------------------------------------------------------------------------

static CONNECTIONS: Semaphore = Semaphore::new(4);

struct Pool {
    slots: Semaphore,
}

impl Pool {
    const fn new() -> Self {
        #[expect(
            clippy::declare_interior_mutable_const,
            reason = "to see that it can be"
        )]
        const ONE: Semaphore = Semaphore::new(1);
        Pool { slots: ONE }
    }
}

static POOL: Pool = Pool::new();

#[test]
fn a_semaphore_is_made_in_a_static_and_in_a_const() {
    fn acquired(n: usize) -> Acquire<'static> {
        CONNECTIONS.acquire(n)
    }
    let permit: Permit<'static> = run(acquired(3)).unwrap();
    assert_eq!((CONNECTIONS.capacity(), CONNECTIONS.available()), (4, 1));
    assert!(CONNECTIONS.try_acquire(2).is_none());
    drop(is_sync(is_send(permit)));
    assert_eq!(CONNECTIONS.available(), 4);
    let held = POOL.slots.try_acquire(1);
    assert!(held.is_some() && POOL.slots.try_acquire(1).is_none());
}

#[test]
fn a_semaphore_gives_owned_permits_through_its_arc() {
    let semaphore = Arc::new(is_sync(is_send(Semaphore::new(2))));
    let future: AcquireOwned = semaphore.acquire_owned(1);
    let permit: OwnedPermit = run(is_fused(is_unpin(is_send(is_static(future))))).unwrap();
    assert_eq!(permit.permits(), 1);
    let other: Option<OwnedPermit> = semaphore.try_acquire_owned(1);
    drop(semaphore);
    drop((is_static(permit), is_send(other)));
    let semaphore = Semaphore::new(1);
    drop(is_fused(is_unpin(is_send(semaphore.acquire(1)))));
    let zero: Result<Permit<'_>, TooLarge> = run(semaphore.acquire(0));
    assert_eq!(zero.unwrap().permits(), 0);
}

#[test]
fn too_large_says_what_was_asked_for() {
    let semaphore = Arc::new(Semaphore::new(2));
    match run(semaphore.acquire(5)) {
        Err(TooLarge {
            requested,
            capacity,
            ..
        }) => assert_eq!((requested, capacity), (5, 2)),
        Ok(_) => unreachable!(),
    }
    let error = run(semaphore.acquire_owned(usize::MAX)).unwrap_err();
    assert_eq!((error.requested, error.capacity), (usize::MAX, 2));
    assert!(semaphore.try_acquire(usize::MAX).is_none());
    assert!(semaphore.try_acquire_owned(3).is_none());
}

// --- maps ---------------------------------------------------------------------------------------

fn mapped<I, F, Fut, T, E>(
    items: I,
    limit: usize,
    f: F,
) -> TryMap<futures::stream::Iter<I::IntoIter>, F, Fut, T>
where
    I: IntoIterator,
    F: FnMut(I::Item) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    try_map::<I, F, Fut, T, E>(items, limit, f)
}

fn for_each<I, F, Fut, E>(
    items: I,
    limit: usize,
    f: F,
) -> TryForEach<futures::stream::Iter<I::IntoIter>, F, Fut>
where
    I: IntoIterator,
    F: FnMut(I::Item) -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    try_for_each::<I, F, Fut, E>(items, limit, f)
}

#[test]
fn the_map_helpers_take_anything_that_can_be_iterated_over() {
    let texts = vec![String::from("a"), String::from("bc")];
    run(async {
        let lengths = mapped(
            &texts,
            2,
            |text| async move { Ok::<_, Bare<'_>>(text.len()) },
        );
        assert_eq!(lengths.await.ok().unwrap(), [1, 2]);
        let lengths = try_map(texts.iter(), 1, async |text: &String| {
            Ok::<_, Bare<'_>>(Bare(text))
        });
        assert_eq!(is_send(lengths).await.ok().unwrap()[1].0, "bc");
        let mut sum = 0;
        let sums = for_each(1..=4, usize::MAX, |n| {
            sum += n;
            ready(Ok::<(), ()>(()))
        });
        sums.await.unwrap();
        assert_eq!(sum, 10);
        let stream = futures::stream::iter([1, 2, 3]);
        let map = try_map_stream(stream, 3, |n| ready(if n < 3 { Ok(n) } else { Err(n) }));
        assert_eq!(is_fused(map).await, Err(3));
        let stream = futures::stream::iter([1, 2, 3]).map(Rc::new);
        let each = try_for_each_stream(stream, 3, |_| ready(Ok::<(), ()>(())));
        assert_eq!(is_fused(each).await, Ok(()));
        fn boxed<'a>(items: &'a [u8]) -> BoxFuture<'a, io::Result<Vec<u8>>> {
            Box::pin(try_map(items, 2, |item| async move { Ok(*item) }))
        }
        assert_eq!(boxed(&[1, 2]).await.unwrap(), [1, 2]);
    });
    for limited in [
        std::panic::catch_unwind(|| drop(try_map([1], 0, |_| ready(Ok::<_, ()>(()))))),
        std::panic::catch_unwind(|| drop(try_for_each([1], 0, |_| ready(Ok::<_, ()>(()))))),
    ] {
        limited.unwrap_err();
    }
}

// --- errors -------------------------------------------------------------------------------------

#[test]
fn every_error_becomes_a_boxed_one() {
    fn cancelled(context: &CancelContext) -> Result<(), Box<dyn Error>> {
        Ok(context.check()?)
    }
    fn cancelled_there(context: &CancelContext) -> Result<(), BoxError> {
        Ok(context.check()?)
    }
    fn full<'a>(group: &mut ErrGroup<'a, (), Bare<'a>>) -> Result<(), Box<dyn Error + 'a>> {
        group.try_spawn(async { Ok(()) })?;
        Ok(())
    }
    async fn large(semaphore: &Semaphore) -> Result<(), BoxError> {
        drop(semaphore.acquire(2).await?);
        Ok(())
    }
    async fn all(group: ErrGroup<'_, (), String>) -> Result<(), BoxError> {
        group.wait_all().await?;
        Ok(())
    }
    async fn not_up(spawner: &ErrSpawner<'_, (), String>) -> Result<(), BoxError> {
        spawner.start(|_: Started<()>| async { Ok(()) }).await?;
        Ok(())
    }
    let context = CancelContext::new();
    assert!(cancelled(&context).is_ok());
    context.cancel();
    assert_eq!(cancelled(&context).unwrap_err().to_string(), "cancelled");
    assert!(cancelled_there(&context).unwrap_err().is::<Cancelled>());
    let mut group = ErrGroup::new().limit(1);
    assert!(full(&mut group).is_ok());
    assert!(full(&mut group).is_err());
    assert!(run(large(&Semaphore::new(1))).unwrap_err().is::<TooLarge>());
    let mut group = ErrGroup::new();
    group.spawn(async { Err("no".to_string()) });
    assert!(run(all(group)).unwrap_err().is::<Errors<String>>());
    let over = ErrGroup::new().spawner();
    assert!(run(not_up(&over)).unwrap_err().is::<StartError>());
}

/// Prints its chain for `{:#}`, as anyhow does.
#[derive(Debug)]
struct Chained(&'static str, &'static str);

impl Display for Chained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)?;
        if f.alternate() {
            write!(f, ": {}", self.1)?;
        }
        Ok(())
    }
}

#[test]
fn errors_are_listed_with_what_the_alternate_form_adds() {
    let mut group = ErrGroup::<(), Chained>::new();
    group.spawn(ready(Ok(())));
    group.spawn(async {
        yields(1).await;
        Err(Chained("open", "not found"))
    });
    group.spawn(ready(Err(Chained("read", "interrupted"))));
    let errors: Errors<Chained> = run(group.wait_all()).unwrap_err();
    let plain = errors.to_string();
    assert!(plain.contains("open: not found") && plain.contains("read: interrupted"));
    assert_eq!(format!("{errors:#}"), plain);
    assert_eq!(
        (errors.len(), errors.total(), errors.is_empty()),
        (2, 3, false)
    );
    let listed: Vec<(usize, &Chained)> = errors.iter().collect();
    assert_eq!((listed[0].0, listed[1].0), (1, 2));
    assert_eq!(errors.iter().len(), 2);
    assert_eq!(errors.first().unwrap().0, "read");
    // `Chained` is no error, but `Errors` of it is.
    let error: &dyn Error = &errors;
    assert!(error.source().is_none());
    assert!(format!("{errors:?}").contains("Chained"));
    assert_eq!(errors.into_first().unwrap().1, "interrupted");
    // Neither `Display` nor `Debug`.
    let mut group = ErrGroup::<(), Bare<'_>>::new();
    group.spawn(ready(Err(Bare("bare"))));
    let errors = run(group.wait_all()).err().unwrap();
    let pairs: Vec<(usize, Bare<'_>)> = errors.into_vec();
    assert_eq!((pairs[0].0, pairs[0].1.0), (0, "bare"));
    let none = run(ErrGroup::<(), Bare<'_>>::new().first_ok())
        .err()
        .unwrap();
    assert!(none.is_empty() && none.first().is_none() && none.into_first().is_none());
}

#[test]
fn a_reason_tells_its_cause_once() {
    let context = CancelContext::new();
    context.cancel_with(io::Error::other("the disk is full"));
    let reason: Cancelled = context.reason().unwrap().clone();
    assert!(!reason.to_string().contains("disk"));
    assert!(!format!("{reason:#}").contains("disk"));
    let cause: Option<&(dyn Error + Send + Sync + 'static)> = reason.cause();
    assert_eq!(cause.unwrap().to_string(), "the disk is full");
    let source: Option<&(dyn Error + 'static)> = reason.source();
    assert!(source.unwrap().is::<io::Error>());
    assert!(CancelContext::new().child().reason().is_none());
    let kinds = [
        CancelKind::Cancelled,
        CancelKind::DeadlineExceeded,
        CancelKind::TaskFailed,
        CancelKind::Finished,
    ];
    assert!(kinds.contains(&reason.kind()) && !reason.is_deadline());
    is_sync(is_send(is_static(reason)));
}

#[test]
fn errors_become_errors_of_io_with_their_kinds() {
    use errgroup::Panicked;
    use io::ErrorKind::{InvalidInput, Other, TimedOut};

    fn of(error: impl Into<io::Error>) -> io::Error {
        error.into()
    }
    let context = CancelContext::new().with_deadline(async {});
    let error = of(run(context.cancelled()));
    assert_eq!(error.kind(), TimedOut);
    assert!(error.get_ref().unwrap().is::<Cancelled>());
    let context = CancelContext::new();
    context.cancel_with("cause");
    let error = of(context.reason().unwrap());
    assert_eq!(error.kind(), Other);
    assert_eq!(error.source().unwrap().to_string(), "cause");
    let (context, group) = ErrGroup::<(), ()>::with_context(&CancelContext::new());
    drop(group);
    assert_eq!(of(context.reason().unwrap()).kind(), Other);
    let error = of(run(Semaphore::new(1).acquire(2)).unwrap_err());
    assert_eq!(error.kind(), InvalidInput);
    let mut group = ErrGroup::<(), Panicked>::new().catch_panics();
    group.spawn(async { panic!("no") });
    let error = of(run(group).unwrap_err());
    assert_eq!(error.kind(), Other);
    assert!(error.get_ref().unwrap().is::<Panicked>());
}

#[test]
fn a_refused_future_comes_back_whatever_it_is() {
    struct Opaque(PhantomData<Rc<u8>>);
    impl Future for Opaque {
        type Output = Result<(), ()>;
        fn poll(
            self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Self::Output> {
            std::task::Poll::Ready(Ok(()))
        }
    }
    fn is_error<Fut>(error: &TrySpawnError<Fut>) -> String
    where
        TrySpawnError<Fut>: Error,
    {
        format!("{error} {error:?}")
    }
    let mut group = LocalErrGroup::<(), ()>::new().limit(1);
    group.spawn(pending());
    let refused: TrySpawnError<Opaque> = group.try_spawn(Opaque(PhantomData)).unwrap_err();
    assert!(!is_error(&refused).is_empty() && refused.is_full());
    let opaque: Opaque = refused.into_inner();
    let spawner = group.spawner();
    drop(group);
    let refused = spawner.try_spawn(opaque).unwrap_err();
    assert!(!refused.is_full());
    _ = refused.into_inner();
}

// --- the rest -----------------------------------------------------------------------------------

#[test]
fn the_rows_from_go_to_here_are_code() {
    use std::convert::Infallible;

    async fn f() -> Result<(), Infallible> {
        Ok(())
    }
    async fn task() -> io::Result<()> {
        Ok(())
    }
    fn sleep(_: Duration) -> impl Future<Output = ()> + Send + 'static {
        yields(3)
    }
    let three_seconds = Duration::from_secs(3);
    let parent = CancelContext::new();
    run(async {
        let mut group = ErrGroup::<(), Infallible>::new();
        group.spawn(f());
        let Ok(()) = group.await;
        let ran = Cell::new(0);
        let mut group = LocalErrGroup::new().keep_going();
        for number in 0..3 {
            let ran = &ran;
            group.spawn(async move {
                ran.set(ran.get() + 1);
                Err::<(), _>(number)
            });
        }
        assert_eq!((group.await, ran.get()), (Err(0), 3));
        let (ctx, mut group) = ErrGroup::with_context(&parent);
        group.spawn(task());
        group.await?;
        assert!(ctx.is_cancelled());
        let (ctx, mut group) = ErrGroup::with_grace(&parent, || sleep(three_seconds));
        group.spawn(pending::<io::Result<()>>());
        ctx.cancel();
        assert!(group.await.is_err());
        let mut group = ErrGroup::new().limit(1);
        for _ in 0..3 {
            group.ready().await;
            group.spawn(task());
            assert_eq!(group.len(), 1);
        }
        let spawner = group.spawner().clone();
        group.spawn(async move {
            spawner.spawn(task());
            Ok(())
        });
        group.set_limit(2);
        drop(group.try_spawn(task()).unwrap_err().into_inner());
        group.collect().await?;
        drop(ErrGroup::<(), ()>::new().wait_all());

        let ctx = parent.child();
        ctx.cancel();
        let ctx = parent.child();
        ctx.cancel_with("cause");
        assert_eq!(ctx.reason().unwrap().cause().unwrap().to_string(), "cause");
        let ctx = parent.with_deadline(sleep(three_seconds));
        assert!(ctx.run(pending::<()>()).await.unwrap_err().is_deadline());
        let ctx = parent.child();
        {
            let _guard = ctx.drop_guard();
        }
        ctx.cancelled().await;
        assert!(ctx.is_cancelled());
        assert!(ctx.check().is_err());
        assert!(ctx.run(ready(())).await.is_err());
        let signal = async { "signal" };
        assert!(
            parent
                .with_trigger(signal)
                .run(pending::<()>())
                .await
                .is_err()
        );
        let ctx = parent.with_deadline_cause(sleep(three_seconds), "the lease has run out");
        let reason = ctx.cancelled().await;
        assert!(reason.is_deadline());
        assert_eq!(reason.cause().unwrap().to_string(), "the lease has run out");
        let (ctx, calls) = (parent.child(), AtomicUsize::new(0));
        let f = || calls.fetch_add(1, SeqCst);
        let mut group = ErrGroup::<(), Infallible>::new();
        let mut after = || {
            group.spawn_abortable(async {
                ctx.cancelled().await;
                f();
                Ok(())
            })
        };
        let (handle, stop) = (after(), after());
        stop.abort();
        group.spawn_background(async {
            ctx.cancelled().await;
            f();
            Ok(())
        });
        assert_eq!(group.next().now_or_never(), None);
        ctx.cancel();
        let Ok(()) = group.await;
        assert!(handle.is_finished() && stop.is_finished());
        assert_eq!(calls.into_inner(), 2);
        let without_cancel = CancelContext::new();
        assert!(ctx.is_cancelled() && !without_cancel.is_cancelled());
        let sem = Semaphore::new(2);
        let permit = parent.run(sem.acquire(2)).await??;
        assert!(sem.try_acquire(1).is_none());
        drop(permit);
        assert_eq!(sem.available(), 2);
        let values = try_map([1, 2], 2, |item| async move { io::Result::Ok(item) }).await?;
        try_for_each(values, 2, |_| task()).await?;
        scope(async |s| {
            s.spawn(task());
            io::Result::Ok(())
        })
        .await
    })
    .unwrap();
}

#[test]
fn a_group_is_a_stream_of_results_for_whoever_takes_streams() {
    async fn count(mut stream: impl FusedStream<Item = Result<u8, ()>> + Unpin) -> usize {
        let mut count = 0;
        while stream.next().await.is_some() {
            count += 1;
        }
        assert!(stream.is_terminated());
        count
    }
    let mut group = ErrGroup::new();
    group.spawn(ready(Ok(1)));
    group.spawn(ready(Err(())));
    assert_eq!(run(count(group.results())), 2);
}

#[test]
fn a_group_is_polled_as_the_future_that_it_is() {
    let root = Root::new();
    let probe = Probe::new();
    let mut group = ErrGroup::<(), ()>::new();
    group.spawn(probe.task());
    assert!(!group.is_terminated());
    assert!(root.poll(&mut group).is_pending());
    probe.finish(Ok(()));
    let mut pinned = pin!(group);
    let mut context = std::task::Context::from_waker(root.waker());
    assert!(pinned.as_mut().poll(&mut context).is_ready());
    assert!(pinned.is_terminated());
    // Any time again.
    assert!(pinned.as_mut().poll(&mut context).is_ready());
    let boxed: Pin<Box<dyn FusedFuture<Output = Result<(), ()>> + Send + Sync>> =
        Box::pin(ErrGroup::<(), ()>::new());
    run(boxed).unwrap();
}

#[test]
fn a_duration_is_waited_for_with_any_timer() {
    fn timer(after: Duration) -> impl Future<Output = std::time::Instant> + Send + 'static {
        smol::Timer::after(after)
    }
    let context = CancelContext::new().with_deadline(timer(Duration::from_millis(1)));
    let (_own, mut group) =
        ErrGroup::<(), io::Error>::with_grace(&context, || timer(Duration::from_millis(1)));
    group.spawn(pending());
    let error = smol::block_on(group);
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::TimedOut);
}
