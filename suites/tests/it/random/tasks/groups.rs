//! Random programs on all kinds of groups.
use std::future::{Future, poll_fn, ready};
use std::marker::PhantomData;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};

use super::{
    Aim, AtDrop, Counts, Fault, Last, Script, Scripted, Shared, State, Step, Value, World, calling,
    finish, patience, poll_once, scripts,
};
use crate::common::Root;
use crate::random::config;
use errgroup::{CancelContext, CancelKind, StartError, Started};
use futures::{FutureExt, StreamExt};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Spawn(Script),
    /// More than a word has bits, or more than one poll takes on.
    SpawnMany(usize, Script),
    TrySpawn(Script),
    SpawnerSpawn(Script),
    SpawnWithHandle(Script),
    SpawnAbortable(Script),
    SetLimit(usize),
    /// Wakes a task that waits, which goes on.
    Release(usize),
    /// Wakes a task for nothing.
    Wake(usize),
    Abort(usize),
    AbortAll,
    /// At the next poll.
    SpawnerAbortAll,
    Cancel,
    GraceOver,
    /// Polls so often, and then drops the future if it is not ready.
    Ready(usize),
    Drive(usize, usize),
    Next(usize),
    Await(usize),
    /// Waits so many polls until the task is up; it may be before it is spawned.
    Start(usize, bool, Script),
    SpawnerStart(bool, Script),
    Background(Script),
    KeepOpen,
    DropOpen(usize),
}

#[derive(Clone, Debug, PartialEq)]
enum End {
    Await,
    Collect,
    WaitAll,
    Settle,
    FirstOk,
    Next,
    Scope(Script),
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    FailFast,
    Context,
    Grace,
}

#[derive(Clone, Debug)]
struct Program {
    kind: Kind,
    keep_going: bool,
    catch: bool,
    limit: Option<usize>,
    units: usize,
    late: bool,
    ops: Vec<Op>,
    end: End,
}

impl Program {
    fn world(&self) -> World {
        let mut world = World::new(self.limit.unwrap_or(usize::MAX), self.late);
        world.keep_going = self.keep_going;
        world.graceful = self.kind != Kind::FailFast;
        world.catch = self.catch;
        world
    }

    fn patience(&self) -> usize {
        patience(
            self.ops
                .iter()
                .flat_map(|op| {
                    let (count, script) = match op {
                        Op::Spawn(script)
                        | Op::TrySpawn(script)
                        | Op::SpawnerSpawn(script)
                        | Op::SpawnWithHandle(script)
                        | Op::SpawnAbortable(script)
                        | Op::Start(_, _, script)
                        | Op::SpawnerStart(_, script)
                        | Op::Background(script) => (1, Some(script)),
                        Op::SpawnMany(count, script) => (*count, Some(script)),
                        _ => (0, None),
                    };
                    script.into_iter().cycle().take(count)
                })
                .chain(match &self.end {
                    End::Scope(body) => Some(body),
                    _ => None,
                }),
        )
    }
}

type Unit = ();

/// What comes of a task that somebody waits for to be up, if that is known.
fn started(world: &World, id: &Mutex<Option<usize>>) -> Option<Result<usize, StartError>> {
    let id = (*id.lock().unwrap())?;
    let task = &world.tasks[id];
    match task.is_up {
        true => Some(Ok(id)),
        false => task.gone.then_some(Err(StartError)),
    }
}

/// What groups do only if they are of `()`.
macro_rules! special {
    ($Group:ident) => {
        type Handle = errgroup::TaskHandle<usize>;
        type Starting = Boxed<'static, Result<usize, StartError>>;

        fn spawn_with_handle(
            world: &Shared,
            id: usize,
            script: Script,
            spawner: &Spawns,
        ) -> Option<Handle> {
            let task = task_with::<usize>(world, id, script, spawner, None);
            Some(spawner.spawn_with_handle(task))
        }

        fn spawn_background(world: &Shared, script: Script, spawner: &Spawns) {
            let id = world.lock().add_as(&script, false, Counts::Background);
            spawner.spawn_background(task(world, id, script, spawner));
        }

        /// Makes a task when it is called, that is in the first poll.
        fn body(
            world: &Shared,
            spawner: &Spawns,
            early: bool,
            script: Script,
            id: &Arc<Mutex<Option<usize>>>,
        ) -> impl FnOnce(Started<usize>) -> Boxed<'static, Outcome> + use<> {
            let (world, spawner, told) = (world.clone(), spawner.clone(), id.clone());
            move |started| {
                let id = world.lock().add_as(&script, false, Counts::Starting);
                *told.lock().unwrap() = Some(id);
                let mut started = Some(started);
                if early {
                    world.lock().up(id);
                    started.take().unwrap().ready(id);
                }
                task_with(&world, id, script, &spawner, started)
            }
        }

        fn start<'a>(
            group: &'a mut Group<'static, V, Fault>,
            world: &Shared,
            spawner: &Spawns,
            early: bool,
            script: Script,
            id: &Arc<Mutex<Option<usize>>>,
        ) -> Option<Boxed<'a, Option<Result<usize, StartError>>>> {
            Some(Box::pin(
                group.start(body(world, spawner, early, script, id)),
            ))
        }

        fn spawner_start(
            world: &Shared,
            spawner: &Spawns,
            early: bool,
            script: Script,
            id: &Arc<Mutex<Option<usize>>>,
        ) -> Option<Starting> {
            let body = body(world, spawner, early, script, id);
            let spawner = spawner.clone();
            Some(Box::pin(async move { spawner.start(body).await }))
        }

        fn scope(
            group: Group<'static, V, Fault>,
            world: &Shared,
            script: Script,
        ) -> Boxed<'static, Option<Result<usize, Fault>>> {
            let world = world.clone();
            let scope = group.scope(move |spawner| {
                let id = world.lock().add_body(&script);
                task_with(&world, id, script, &spawner, None)
            });
            Box::pin(scope.map(Some))
        }
    };
}

macro_rules! plain {
    ($Group:ident) => {
        type Handle = errgroup::TaskHandle<usize>;
        type Starting = Boxed<'static, Result<usize, StartError>>;

        fn spawn_with_handle(
            world: &Shared,
            id: usize,
            script: Script,
            spawner: &Spawns,
        ) -> Option<Handle> {
            spawner.spawn(task(world, id, script, spawner));
            None
        }

        fn spawn_background(_: &Shared, _: Script, _: &Spawns) {}

        fn start<'a>(
            _: &'a mut Group<'static, V, Fault>,
            _: &Shared,
            _: &Spawns,
            _: bool,
            _: Script,
            _: &Arc<Mutex<Option<usize>>>,
        ) -> Option<Boxed<'a, Option<Result<usize, StartError>>>> {
            None
        }

        fn spawner_start(
            _: &Shared,
            _: &Spawns,
            _: bool,
            _: Script,
            _: &Arc<Mutex<Option<usize>>>,
        ) -> Option<Starting> {
            None
        }

        fn scope(
            group: Group<'static, V, Fault>,
            world: &Shared,
            _: Script,
        ) -> Boxed<'static, Option<Result<usize, Fault>>> {
            world.lock().ending = true;
            calling(world, || drop(group));
            Box::pin(ready(None))
        }
    };
}

/// What runs a program on a group; written once for all groups.
macro_rules! runner {
    ($name:ident, $Group:ident, $Spawner:ident, $Boxed:ident, $Value:ident, $special:ident) => {
        mod $name {
            use super::*;
            use errgroup::{AbortHandle, $Group as Group, $Spawner as Spawner};
            use futures::future::$Boxed as Boxed;

            type V = $Value;
            type Outcome = Result<V, Fault>;
            type Spawns = Spawner<'static, V, Fault>;

            $special!($Group);

            fn task(
                world: &Shared,
                id: usize,
                script: Script,
                spawner: &Spawns,
            ) -> Boxed<'static, Outcome> {
                task_with(world, id, script, spawner, None)
            }

            /// A task of any value, which says so when it is up.
            fn task_with<T: super::Value>(
                world: &Shared,
                id: usize,
                script: Script,
                spawner: &Spawns,
                started: Option<Started<usize>>,
            ) -> Boxed<'static, Result<T, Fault>> {
                let (shared, spawner) = (world.clone(), spawner.clone());
                let started = Mutex::new(started);
                Box::pin(Scripted {
                    world: world.clone(),
                    id,
                    steps: script.steps.into(),
                    last: script.last,
                    at_drop: script.at_drop,
                    spawn: move |step, welcome| match step {
                        Step::Spawn(script) => {
                            let child = shared.lock().add(&script, false);
                            if shared.lock().tasks[id].gone {
                                shared.lock().is_open(child);
                            }
                            spawner.spawn(task(&shared, child, script, &spawner));
                            let mut world = shared.lock();
                            match world.tasks[id].gone {
                                true => world.spawned_at_drop(child, welcome),
                                false => world.unsure = None,
                            }
                        }
                        Step::SetLimit(limit) => spawner.set_limit(limit),
                        Step::Up => {
                            if let Some(started) = started.lock().unwrap().take() {
                                shared.lock().up(id);
                                started.ready(id);
                            }
                        }
                        _ => unreachable!(),
                    },
                    value: PhantomData,
                })
            }

            fn result(id: usize, error: Option<Fault>) -> Outcome {
                error.map_or(Ok(V::of(id)), Err)
            }

            pub(super) fn run(program: &Program) -> Vec<String> {
                let world = Shared(Arc::new(Mutex::new(program.world())));
                let root = Root::new();
                let parent = CancelContext::new();
                let (context, mut group) = match program.kind {
                    Kind::FailFast => (parent, Group::new()),
                    Kind::Context => Group::with_context(&parent),
                    Kind::Grace => {
                        let world = world.clone();
                        Group::with_grace(&parent, move || {
                            poll_fn(move |cx| {
                                let mut world = world.lock();
                                if world.grace_over {
                                    world.grace_is_over();
                                    return Poll::Ready(());
                                }
                                world.grace_waker = Some(cx.waker().clone());
                                Poll::Pending
                            })
                        })
                    }
                };
                if program.keep_going {
                    group = group.keep_going();
                }
                if program.catch {
                    group = group.catch_panics();
                }
                if let Some(limit) = program.limit {
                    group = group.limit(limit);
                }
                let spawner = group.spawner();
                let mut handles: Vec<(usize, Handle)> = Vec::new();
                let mut starts: Vec<(Arc<Mutex<Option<usize>>>, Starting)> = Vec::new();
                let mut opens = Vec::new();
                let mut aborts: Vec<(usize, AbortHandle)> = Vec::new();
                let units = program.units;
                for (number, op) in program.ops.iter().cloned().enumerate() {
                    let text = format!("{op:?}");
                    match op {
                        Op::Spawn(script) => {
                            let id = world.lock().add(&script, false);
                            group.spawn(task(&world, id, script, &spawner));
                        }
                        Op::SpawnMany(count, script) => {
                            for _ in 0..count {
                                let script = script.clone();
                                let id = world.lock().add(&script, false);
                                group.spawn(task(&world, id, script, &spawner));
                            }
                        }
                        Op::SpawnerSpawn(script) => {
                            let id = world.lock().add(&script, false);
                            spawner.spawn(task(&world, id, script, &spawner));
                        }
                        Op::TrySpawn(script) => {
                            let full = world.len() >= world.lock().limit;
                            let closed = world.lock().refuses();
                            let id = world.lock().add(&script, full);
                            let refused = group.try_spawn(task(&world, id, script, &spawner)).err();
                            if world.lock().unsure.is_none() {
                                let told = refused.as_ref().map(|error| error.is_full());
                                let expected = (full || closed).then_some(!closed);
                                if told != expected {
                                    let text = format!("R8: {told:?} and not {expected:?}");
                                    world.lock().fault(text);
                                }
                            }
                            drop(refused);
                        }
                        Op::SpawnWithHandle(script) => {
                            let id = world.lock().add(&script, false);
                            let handle = spawn_with_handle(&world, id, script, &spawner);
                            handles.extend(handle.map(|handle| (id, handle)));
                        }
                        Op::SpawnAbortable(script) => {
                            let id = world.lock().add(&script, false);
                            let task = task(&world, id, script, &spawner);
                            let handle = match number % 2 {
                                0 => group.spawn_abortable(task),
                                _ => spawner.spawn_abortable(task),
                            };
                            aborts.push((id, handle));
                        }
                        Op::SetLimit(limit) => {
                            world.lock().limit = limit;
                            group.set_limit(limit);
                        }
                        Op::Release(number) | Op::Wake(number) => {
                            let mut locked = world.lock();
                            let count = locked.tasks.len();
                            let mut waker = None;
                            if count > 0 {
                                let task = &mut locked.tasks[number % count];
                                if task.state == State::Running {
                                    task.released |= text.starts_with("Release");
                                    task.wake();
                                    waker = task.waker.clone();
                                }
                            }
                            drop(locked);
                            waker.into_iter().for_each(Waker::wake);
                        }
                        Op::Abort(number) => {
                            let number = number % (handles.len() + aborts.len()).max(1);
                            let abort = |id| {
                                let mut locked = world.lock();
                                if locked.is_live(id) {
                                    locked.abort(id);
                                    locked.tasks[id].aborted_alone = true;
                                }
                            };
                            if let Some((id, handle)) = handles.get(number) {
                                abort(*id);
                                handle.abort();
                            } else if let Some((id, handle)) = aborts.get(number - handles.len()) {
                                abort(*id);
                                handle.abort();
                            }
                        }
                        Op::AbortAll | Op::SpawnerAbortAll => {
                            let mut locked = world.lock();
                            let live: Vec<_> = (0..locked.tasks.len())
                                .filter(|&id| locked.is_live(id))
                                .collect();
                            for id in live {
                                locked.abort(id);
                            }
                            drop(locked);
                            if text == "SpawnerAbortAll" {
                                spawner.abort_all();
                                continue;
                            }
                            world.lock().pausing = true;
                            calling(&world, || group.abort_all());
                            world.lock().pausing = false;
                            if !world.lock().is_empty() {
                                world.lock().fault("abort_all: not all were dropped");
                            }
                        }
                        Op::Cancel => {
                            context.cancel();
                            let mut locked = world.lock();
                            if locked.graceful {
                                locked.cancelled.get_or_insert(CancelKind::Cancelled);
                            }
                        }
                        Op::GraceOver => {
                            let mut locked = world.lock();
                            locked.grace_over = program.kind == Kind::Grace;
                            let waker = locked.grace_waker.take();
                            drop(locked);
                            waker.into_iter().for_each(Waker::wake);
                        }
                        Op::Ready(polls) => {
                            world.lock().aim = Aim::Keep;
                            let mut future = Box::pin(group.ready());
                            for _ in 0..polls {
                                match poll_once(&root, &world, units, future.as_mut()) {
                                    Some(Poll::Pending) => {}
                                    Some(Poll::Ready(room)) => {
                                        let mut locked = world.lock();
                                        let has = locked.queued() + locked.running() < locked.limit;
                                        if room != (!locked.refuses() && has) {
                                            let text = format!("R9: room {room} in {locked:?}");
                                            locked.fault(text);
                                        }
                                        break;
                                    }
                                    None => break,
                                }
                            }
                        }
                        Op::Drive(polls, yields) => {
                            world.lock().aim = Aim::Keep;
                            let mut future = Box::pin(group.drive(crate::common::yields(yields)));
                            for _ in 0..polls {
                                let unmet = world.lock().failed;
                                match poll_once(&root, &world, units, future.as_mut()) {
                                    Some(Poll::Pending) => {}
                                    Some(Poll::Ready(output)) => {
                                        let mut locked = world.lock();
                                        // An output that came before the failure, in the same
                                        // poll, is not lost.
                                        let ok = match output {
                                            None => locked.failed,
                                            Some(()) => !unmet,
                                        };
                                        if !ok {
                                            locked.fault(format!("R12: {output:?}"));
                                        }
                                        break;
                                    }
                                    None => break,
                                }
                            }
                        }
                        Op::Next(polls) => {
                            world.lock().aim = Aim::Next;
                            // Three ways that differ in how they are called.
                            let mut future: Pin<Box<dyn Future<Output = _>>> = match number % 3 {
                                0 => Box::pin(group.next().map(|it| it.map(|it| (None, it)))),
                                1 => {
                                    let indexed = |(index, outcome)| (Some(index), outcome);
                                    Box::pin(group.next_indexed().map(move |it| it.map(indexed)))
                                }
                                _ => {
                                    let mut results = group.results();
                                    let next = async move { results.next().await };
                                    Box::pin(next.map(|it| it.map(|it| (None, it))))
                                }
                            };
                            for _ in 0..polls {
                                match poll_once(&root, &world, units, future.as_mut()) {
                                    Some(Poll::Pending) => {}
                                    Some(Poll::Ready(outcome)) => {
                                        next(&world, outcome);
                                        break;
                                    }
                                    None => break,
                                }
                            }
                        }
                        Op::Start(polls, early, script) => {
                            world.lock().aim = Aim::Keep;
                            let id = Arc::new(Mutex::new(None));
                            let start = start(&mut group, &world, &spawner, early, script, &id);
                            let Some(mut future) = start else {
                                continue;
                            };
                            for _ in 0..polls {
                                let unmet = world.lock().failed;
                                let poll = poll_once(&root, &world, units, future.as_mut());
                                let mut locked = world.lock();
                                let expected = started(&locked, &id);
                                let (ends, ok) = match poll {
                                    Some(Poll::Pending) => {
                                        (false, !locked.asleep || expected.is_none())
                                    }
                                    Some(Poll::Ready(None)) => (true, locked.failed),
                                    Some(Poll::Ready(started)) => {
                                        (true, started == expected && !unmet)
                                    }
                                    None => (true, true),
                                };
                                if !ok {
                                    locked.fault(format!("H4: {poll:?}, expected {expected:?}"));
                                }
                                if ends {
                                    break;
                                }
                            }
                        }
                        Op::SpawnerStart(early, script) => {
                            let id = Arc::new(Mutex::new(None));
                            let start = spawner_start(&world, &spawner, early, script, &id);
                            starts.extend(start.map(|start| (id, start)));
                        }
                        Op::Background(script) => {
                            spawn_background(&world, script, &spawner);
                        }
                        Op::KeepOpen => {
                            world.lock().open_by += 1;
                            opens.push(group.keep_open());
                        }
                        Op::DropOpen(number) => {
                            if let Some(number) = number.checked_rem(opens.len()) {
                                world.lock().open_by -= 1;
                                drop(opens.swap_remove(number));
                            }
                        }
                        Op::Await(polls) => {
                            world.lock().aim = Aim::Result;
                            for _ in 0..polls {
                                match poll_once(&root, &world, units, Pin::new(&mut group)) {
                                    Some(Poll::Pending) => {}
                                    Some(Poll::Ready(result)) => {
                                        awaited(&world, result);
                                        break;
                                    }
                                    None => break,
                                }
                            }
                        }
                    }
                    let mut locked = world.lock();
                    locked.unsure = None;
                    let expected = (locked.running(), locked.queued());
                    let told = (group.running(), group.queued());
                    if told != expected {
                        locked.fault(format!("counts {told:?}, expected {expected:?}"));
                    }
                    if locked.graceful {
                        let kind = context.reason().map(|reason| reason.kind());
                        if kind != locked.cancelled {
                            let expected = locked.cancelled;
                            locked.fault(format!("C5: {kind:?}, expected {expected:?}"));
                        }
                    }
                    if locked.failed && !locked.graceful && !locked.is_empty() {
                        locked.fault("R5: siblings are left");
                    }
                    drop(locked);
                    starts.retain_mut(|(id, start)| {
                        let poll = root.poll(start);
                        let mut locked = world.lock();
                        let expected = started(&locked, id).map_or(Poll::Pending, Poll::Ready);
                        if poll != expected {
                            locked.fault(format!("H4: {poll:?}, expected {expected:?}"));
                        }
                        poll.is_pending()
                    });
                    let mut locked = world.lock();
                    // It may have spawned its task only now.
                    locked.unsure = None;
                    for (id, handle) in &aborts {
                        if handle.is_finished() != locked.tasks[*id].gone {
                            locked.fault(format!("H6: {id}: {handle:?}"));
                        }
                    }
                    if !locked.faults.is_empty() {
                        locked.fault(format!("after operation {number}, {text}"));
                        let faults = mem::take(&mut locked.faults);
                        locked.ending = true;
                        return faults;
                    }
                }
                drop(opens);
                let mut locked = world.lock();
                locked.open_by = 0;
                locked.hurry = true;
                let mut wakers = Vec::new();
                for task in &mut locked.tasks {
                    if task.state == State::Running {
                        task.wake();
                        wakers.extend(task.waker.clone());
                    }
                }
                locked.aim = match program.end {
                    End::Await | End::Scope(_) => Aim::Result,
                    End::Collect => Aim::Keep,
                    End::WaitAll | End::Settle => Aim::All,
                    End::FirstOk => Aim::FirstOk,
                    End::Next | End::Drop => Aim::Next,
                };
                locked.consumed = !matches!(program.end, End::Await | End::Next | End::Drop);
                drop(locked);
                wakers.into_iter().for_each(Waker::wake);
                match program.end.clone() {
                    End::Await => {
                        let polls = program.patience();
                        let ended = (0..polls).find_map(|_| {
                            let poll = poll_once(&root, &world, units, Pin::new(&mut group));
                            match poll {
                                Some(Poll::Ready(result)) => Some(result),
                                _ => None,
                            }
                        });
                        match ended {
                            Some(result) => awaited(&world, result),
                            None => world.lock().fault("R2: it has not ended"),
                        }
                        world.lock().ending = true;
                        calling(&world, || drop(group));
                    }
                    End::Next => {
                        let polls = program.patience();
                        let ended = (0..polls).any(|_| {
                            let poll = poll_once(&root, &world, units, pin!(group.next()));
                            let Some(Poll::Ready(outcome)) = poll else {
                                return false;
                            };
                            next(&world, outcome.map(|outcome| (None, outcome)));
                            outcome.is_none()
                        });
                        if !ended {
                            world.lock().fault("R2: it has not ended");
                        }
                        world.lock().ending = true;
                        calling(&world, || drop(group));
                    }
                    End::Collect => {
                        if let Some(result) =
                            finish(&root, &world, program.patience(), units, group.collect())
                        {
                            let locked = world.lock();
                            let values = locked.sorted().into_iter().map(|(_, id, _)| V::of(id));
                            let expected = locked
                                .first_error()
                                .map_or(Ok(values.collect::<Vec<_>>()), Err);
                            check(locked, result == expected, || {
                                format!("collect: {result:?}, expected {expected:?}")
                            });
                        }
                    }
                    End::WaitAll => {
                        if let Some(result) =
                            finish(&root, &world, program.patience(), units, group.wait_all())
                        {
                            let locked = world.lock();
                            let all = locked.sorted();
                            let text = format!("wait_all: {result:?}, expected {all:?}");
                            let first = locked.first_error();
                            let ok = match result {
                                Ok(values) => {
                                    first.is_none()
                                        && values
                                            .into_iter()
                                            .eq(all.iter().map(|&(_, id, _)| V::of(id)))
                                }
                                Err(errors) => {
                                    first == errors.first().copied()
                                        && errors.into_vec().into_iter().eq(all.iter().filter_map(
                                            |&(index, _, error)| error.map(|error| (index, error)),
                                        ))
                                }
                            };
                            check(locked, ok, || text);
                        }
                    }
                    End::Settle => {
                        if let Some(results) =
                            finish(&root, &world, program.patience(), units, group.settle())
                        {
                            let locked = world.lock();
                            let expected: Vec<_> = locked
                                .sorted()
                                .into_iter()
                                .map(|(_, id, error)| result(id, error))
                                .collect();
                            check(locked, are_alike(&results, &expected), || {
                                format!("settle: {results:?}, expected {expected:?}")
                            });
                        }
                    }
                    End::FirstOk => {
                        if let Some(result) =
                            finish(&root, &world, program.patience(), units, group.first_ok())
                        {
                            let locked = world.lock();
                            let kept = &locked.kept;
                            let first = kept.iter().find(|(_, error)| error.is_none());
                            let text = format!("first_ok: {result:?}, expected {kept:?}");
                            let ok = match (result, first) {
                                (Ok(value), Some(&(id, _))) => value == V::of(id),
                                (Err(errors), None) => errors.into_vec().into_iter().eq(locked
                                    .sorted()
                                    .into_iter()
                                    .filter_map(|(index, _, error)| {
                                        error.map(|error| (index, error))
                                    })),
                                _ => false,
                            };
                            check(locked, ok, || text);
                        }
                    }
                    End::Scope(body) => {
                        let fails = world.lock().failed && world.lock().first_error().is_some();
                        let first = world.lock().tasks.len();
                        let scope = scope(group, &world, body);
                        if let Some(Some(result)) =
                            finish(&root, &world, program.patience(), units, scope)
                        {
                            let locked = world.lock();
                            let expected = locked.first_error().map_or(Ok(first), Err);
                            let body = locked.tasks.iter().find(|task| task.counts == Counts::Body);
                            let ok = result == expected && body.is_none() == fails;
                            check(locked, ok, || {
                                format!("scope: {result:?}, expected {expected:?}")
                            });
                        }
                    }
                    End::Drop => {
                        world.lock().ending = true;
                        calling(&world, || drop(group));
                    }
                }
                let mut locked = world.lock();
                // R1, R10: everything is dropped, once.
                if let Some(id) = locked.tasks.iter().position(|task| !task.gone) {
                    locked.fault(format!("R10: {id} was not dropped"));
                }
                if !spawner.is_closed() || spawner.len() > 0 {
                    locked.fault(format!("{spawner:?}"));
                }
                if locked.graceful {
                    let kind = context.reason().map(|reason| reason.kind());
                    let expected = locked.cancelled.or(Some(CancelKind::Finished));
                    if kind != expected {
                        locked.fault(format!("C5: {kind:?}, expected {expected:?}"));
                    }
                }
                for (id, start) in starts {
                    let poll = root.poll_new(start);
                    let expected = started(&locked, &id).map_or(Poll::Pending, Poll::Ready);
                    if poll != expected {
                        locked.fault(format!("H4: at last {poll:?}, expected {expected:?}"));
                    }
                }
                for (id, handle) in handles {
                    let ended_well = locked.tasks[id].state == State::Ended && locked.value_of(id);
                    match root.poll_new(handle).map(Result::ok) {
                        Poll::Ready(value) if value == ended_well.then_some(id) => {}
                        poll => locked.fault(format!("H1: {id}: {poll:?}")),
                    }
                }
                for (id, handle) in aborts {
                    let task = &locked.tasks[id];
                    let index = match task.state {
                        State::Refused => usize::MAX,
                        _ => task.index,
                    };
                    if !handle.is_finished() || handle.index() != index {
                        locked.fault(format!("H6: {id}: {handle:?}"));
                    }
                }
                mem::take(&mut locked.faults)
            }

            fn check(mut locked: MutexGuard<'_, World>, ok: bool, text: impl FnOnce() -> String) {
                if !ok && !locked.open {
                    locked.fault(text());
                }
            }

            fn next(world: &Shared, outcome: Option<(Option<usize>, Outcome)>) {
                let mut locked = world.lock();
                // Of values of size zero the lowest index comes first, whose ever it is.
                let is_value = matches!(outcome, Some((_, Ok(_))));
                let is_alike = is_value && mem::size_of::<V>() == 0;
                let asked = outcome.as_ref().and_then(|(index, _)| *index);
                let expected = locked.kept.pop_front().map(|(id, error)| {
                    let index = asked.map(|asked| match is_alike {
                        true => asked,
                        false => locked.tasks[id].index,
                    });
                    (index, result(id, error))
                });
                if outcome != expected && !locked.open {
                    locked.fault(format!("next: {outcome:?}, expected {expected:?}"));
                }
                match outcome {
                    Some(_) => locked.handed_over(),
                    None => locked.found_empty(false),
                }
            }

            fn awaited(world: &Shared, result: Result<(), Fault>) {
                let mut locked = world.lock();
                let expected = locked.first_error().map_or(Ok(()), Err);
                if result != expected && !locked.open {
                    locked.fault(format!(".await: {result:?}, expected {expected:?}"));
                }
                locked.kept.clear();
                let failed = locked.failed;
                locked.handed_over();
                locked.found_empty(failed);
            }
        }
    };
}

runner!(sending, ErrGroup, ErrSpawner, BoxFuture, usize, plain);
runner!(
    local,
    LocalErrGroup,
    LocalErrSpawner,
    LocalBoxFuture,
    usize,
    plain
);
runner!(
    sending_of_unit,
    ErrGroup,
    ErrSpawner,
    BoxFuture,
    Unit,
    special
);
runner!(
    local_of_unit,
    LocalErrGroup,
    LocalErrSpawner,
    LocalBoxFuture,
    Unit,
    special
);

fn ops() -> impl Strategy<Value = Op> {
    // Of little that they do, as the bound on the polls grows with both.
    let step = prop_oneof![Just(Step::Yield), Just(Step::Wait), Just(Step::Take)];
    let last = prop_oneof![8 => Just(Last::Ok), 1 => Just(Last::Err)];
    let steps = proptest::collection::vec(step, 0..2);
    let counts = prop_oneof![4 => Just(3_usize), 4 => Just(65), 3 => Just(140), 1 => Just(300)];
    let many = (counts, steps, last).prop_map(|(count, steps, last)| {
        let at_drop = AtDrop::Nothing;
        let script = Script {
            steps,
            last,
            at_drop,
        };
        Op::SpawnMany(count, script)
    });
    prop_oneof![
        6 => scripts().prop_map(Op::Spawn),
        2 => scripts().prop_map(Op::TrySpawn),
        3 => scripts().prop_map(Op::SpawnerSpawn),
        4 => scripts().prop_map(Op::SpawnWithHandle),
        4 => scripts().prop_map(Op::SpawnAbortable),
        1 => (1..5_usize).prop_map(Op::SetLimit),
        1 => (60..200_usize).prop_map(Op::SetLimit),
        2 => many,
        4 => (0..20_usize).prop_map(Op::Release),
        4 => (0..400_usize).prop_map(Op::Release),
        2 => (0..400_usize).prop_map(Op::Wake),
        4 => (0..20_usize).prop_map(Op::Abort),
        1 => Just(Op::AbortAll),
        1 => Just(Op::SpawnerAbortAll),
        1 => Just(Op::Cancel),
        1 => Just(Op::GraceOver),
        2 => (1..4_usize).prop_map(Op::Ready),
        3 => (1..4_usize, 0..4_usize).prop_map(|(polls, yields)| Op::Drive(polls, yields)),
        4 => (1..4_usize).prop_map(Op::Next),
        2 => (1..4_usize).prop_map(Op::Await),
        2 => (1..4_usize, prop::bool::weighted(0.2), scripts())
            .prop_map(|(polls, early, script)| Op::Start(polls, early, script)),
        2 => (prop::bool::weighted(0.2), scripts())
            .prop_map(|(early, script)| Op::SpawnerStart(early, script)),
        2 => scripts().prop_map(Op::Background),
        1 => Just(Op::KeepOpen),
        2 => (0..4_usize).prop_map(Op::DropOpen),
    ]
}

fn programs() -> impl Strategy<Value = Program> {
    let kind = prop_oneof![Just(Kind::FailFast), Just(Kind::Context), Just(Kind::Grace)];
    let end = prop_oneof![
        Just(End::Await),
        Just(End::Collect),
        Just(End::WaitAll),
        Just(End::Settle),
        Just(End::FirstOk),
        Just(End::Next),
        scripts().prop_map(End::Scope),
        Just(End::Drop),
    ];
    let limit = proptest::option::of(prop_oneof![1..5_usize, 60..150_usize]);
    let ops = proptest::collection::vec(ops(), 0..24);
    (
        kind,
        any::<bool>(),
        any::<bool>(),
        limit,
        1..4_usize,
        any::<bool>(),
        ops,
        end,
    )
        .prop_map(
            |(kind, keep_going, catch, limit, units, late, ops, end)| Program {
                kind,
                keep_going,
                catch,
                limit,
                units,
                late,
                ops,
                end,
            },
        )
}

/// Of values of size zero nothing is kept but their indices, of which `next` gives the lowest: where
/// the others stand between the errors is not what it would be.
fn are_alike<T: PartialEq>(given: &[Result<T, Fault>], expected: &[Result<T, Fault>]) -> bool {
    fn errors<T>(results: &[Result<T, Fault>]) -> Vec<&Fault> {
        results
            .iter()
            .filter_map(|result| result.as_ref().err())
            .collect()
    }
    let is_unit = mem::size_of::<T>() == 0 && given.len() == expected.len();
    given == expected || (is_unit && errors(given) == errors(expected))
}

proptest! {
    #![proptest_config(config())]

    // R1-R12, G1, H1, H2, H6, P1-P3, C5
    #[test]
    fn random_programs_do_as_the_model_says(program in programs()) {
        type Run = fn(&Program) -> Vec<String>;
        let runners: [(&str, Run); 4] = [
            ("ErrGroup", sending::run),
            ("LocalErrGroup", local::run),
            ("ErrGroup of ()", sending_of_unit::run),
            ("LocalErrGroup of ()", local_of_unit::run),
        ];
        for (name, run) in runners {
            let faults = run(&program);
            prop_assert!(faults.is_empty(), "{}: {:#?}", name, faults);
        }
    }
}
