//! Random programs on `buffered`, `buffer_unordered`, `try_map` and `try_for_each`.
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::mem;
use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::{
    Aim, AtDrop, Fault, Last, Script, Scripted, Shared, State, Step, Value, World, patience,
    poll_once,
};
use crate::common::{OnDrop, Root};
use crate::random::config;
use errgroup::{buffer_unordered, buffered, try_for_each_stream, try_map_stream};
use futures::future::FusedFuture;
use futures::stream::{FusedStream, Stream, StreamExt};
use proptest::prelude::*;

/// What a source does in its polls, one after the other.
#[derive(Clone, Debug)]
enum Piece {
    Item(Script),
    /// Wakes itself and is pending.
    Yield,
    /// Is pending until it is woken from outside.
    Wait,
    Panic,
}

#[derive(Clone, Debug)]
enum Op {
    Poll,
    /// Wakes a task that waits, which goes on.
    Release(usize),
    /// Wakes a task for nothing.
    Wake(usize),
    /// Wakes a source that waits, which goes on.
    Flow,
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Buffered,
    Unordered,
    TryMap,
    TryForEach,
}

#[derive(Clone, Debug)]
struct Program {
    kind: Kind,
    limit: usize,
    units: usize,
    late: bool,
    pieces: Vec<Piece>,
    ops: Vec<Op>,
}

/// Where the items come from.
#[derive(Debug)]
struct Source {
    pieces: VecDeque<Piece>,
    /// It was pending in its last poll, and was not woken since.
    waits: bool,
    released: bool,
    ended: bool,
    gone: bool,
    waker: Option<Waker>,
    /// How many outputs were given.
    given: usize,
}

#[derive(Clone)]
struct Items {
    world: Shared,
    source: Arc<Mutex<Source>>,
    kind: Kind,
}

impl Items {
    /// Whether one more may be taken.
    fn has_room(&self) -> bool {
        let between = self.world.lock().tasks.len() - self.source.lock().unwrap().given;
        let limit = self.world.lock().limit;
        self.world.len() < limit && (self.kind != Kind::Buffered || between < limit)
    }

    /// The stream is pending. If nobody was woken it must have nothing to do.
    fn sleeps(&self) {
        if !self.world.lock().asleep {
            return;
        }
        let has_room = self.has_room();
        let source = self.source.lock().unwrap();
        let mut world = self.world.lock();
        if has_room && !source.ended && !source.waits {
            world.fault("M2: sleeps, but there is room for an item");
        }
        let is_ready = match self.kind {
            Kind::Buffered => world.tasks.get(source.given).is_some_and(ended),
            Kind::Unordered => !world.kept.is_empty(),
            Kind::TryMap | Kind::TryForEach => false,
        };
        if is_ready {
            world.fault("M2: sleeps, but has an output");
        }
    }

    /// What came of the one whose turn it is, if it is known.
    fn next(&self) -> Option<Result<usize, Fault>> {
        let mut source = self.source.lock().unwrap();
        let mut world = self.world.lock();
        let at = match self.kind {
            Kind::Buffered => {
                let is_next = |&(id, _): &(usize, _)| id == source.given;
                world.kept.iter().position(is_next)?
            }
            _ => 0,
        };
        let (id, error) = world.kept.remove(at)?;
        source.given += 1;
        Some(error.map_or(Ok(id), Err))
    }

    /// M1, M2: it is over, and nothing is left.
    fn is_over(&self, is_terminated: bool) {
        let gone = self.source.lock().unwrap().gone;
        let mut world = self.world.lock();
        if !gone || !is_terminated || world.tasks.iter().any(|task| !task.gone) {
            world.fault(format!(
                "M1: source dropped {gone}, terminated {is_terminated}"
            ));
        }
    }
}

fn ended(task: &super::TaskState) -> bool {
    task.state == State::Ended
}

impl Stream for Items {
    type Item = Script;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Script>> {
        let has_room = self.has_room();
        let mut source = self.source.lock().unwrap();
        let mut world = self.world.lock();
        if !has_room || source.ended || world.failed {
            world.fault("M1: the source was polled, and should not be");
        }
        source.waker = Some(cx.waker().clone());
        source.waits = false;
        match source.pieces.pop_front() {
            Some(Piece::Item(script)) => Poll::Ready(Some(script)),
            Some(Piece::Yield) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Piece::Wait) => {
                if mem::take(&mut source.released) || world.hurry {
                    cx.waker().wake_by_ref();
                } else {
                    source.waits = true;
                    source.pieces.push_front(Piece::Wait);
                }
                Poll::Pending
            }
            Some(Piece::Panic) => {
                (world.panicked, world.ending) = (true, true);
                drop((source, world));
                resume_unwind(Box::new(()));
            }
            None => {
                source.ended = true;
                world.open_by = 0;
                Poll::Ready(None)
            }
        }
    }
}

/// What all four come to: outputs, or one result.
trait Map {
    /// `None` when it is over.
    fn poll(&mut self, items: &Items, cx: &mut Context<'_>) -> Poll<Option<()>>;
    fn is_terminated(&self) -> bool;
}

struct Outputs<S>(S);

impl<S: FusedStream<Item = Result<usize, Fault>> + Unpin> Map for Outputs<S> {
    fn poll(&mut self, items: &Items, cx: &mut Context<'_>) -> Poll<Option<()>> {
        let poll = self.0.poll_next_unpin(cx);
        if let Poll::Ready(output) = poll {
            let expected = items.next();
            if output != expected {
                let mut world = items.world.lock();
                world.fault(format!("M2: {output:?}, expected {expected:?}"));
            }
        }
        poll.map(|output| output.map(drop))
    }

    fn is_terminated(&self) -> bool {
        self.0.is_terminated()
    }
}

/// The future, and what it gives for so many items.
struct Whole<F, T>(F, fn(usize) -> T);

impl<T, F> Map for Whole<F, T>
where
    T: std::fmt::Debug + PartialEq,
    F: FusedFuture<Output = Result<T, Fault>> + Unpin,
{
    fn poll(&mut self, items: &Items, cx: &mut Context<'_>) -> Poll<Option<()>> {
        let poll = Pin::new(&mut self.0).poll(cx);
        if let Poll::Ready(result) = &poll {
            let mut world = items.world.lock();
            let expected = match world.first_error() {
                Some(error) => Err(error),
                None => Ok((self.1)(world.tasks.len())),
            };
            if *result != expected {
                world.fault(format!("M1: {result:?}, expected {expected:?}"));
            }
        }
        poll.map(|_| None)
    }

    fn is_terminated(&self) -> bool {
        self.0.is_terminated()
    }
}

fn task<T: Value>(
    world: &Shared,
    script: Script,
) -> Scripted<T, impl Fn(Step, Option<bool>) + use<T>> {
    let id = world.lock().add(&script, false);
    Scripted {
        world: world.clone(),
        id,
        steps: script.steps.into(),
        last: script.last,
        at_drop: script.at_drop,
        spawn: |_, _| unreachable!(),
        value: PhantomData,
    }
}

fn make(program: &Program, items: &Items) -> Box<dyn Map> {
    let source = items.source.clone();
    // It is dropped with the stream.
    let on_drop = OnDrop(move || source.lock().unwrap().gone = true);
    let stream = items.clone().inspect(move |_| _ = &on_drop);
    let (world, limit) = (items.world.clone(), program.limit);
    match program.kind {
        Kind::Buffered => {
            let f = move |script| task::<usize>(&world, script);
            Box::new(Outputs(buffered(stream, limit, f)))
        }
        Kind::Unordered => {
            let f = move |script| task::<usize>(&world, script);
            Box::new(Outputs(buffer_unordered(stream, limit, f)))
        }
        Kind::TryMap => {
            let f = move |script| task::<usize>(&world, script);
            let all = |count| (0..count).collect::<Vec<_>>();
            Box::new(Whole(try_map_stream(stream, limit, f), all))
        }
        Kind::TryForEach => {
            let f = move |script| task::<()>(&world, script);
            Box::new(Whole(try_for_each_stream(stream, limit, f), |_| ()))
        }
    }
}

fn run(program: &Program) -> Vec<String> {
    let mut world = World::new(program.limit, program.late);
    // As of a group that is driven by `next`, or is awaited.
    world.aim = match program.kind {
        Kind::Buffered | Kind::Unordered => Aim::Next,
        Kind::TryMap | Kind::TryForEach => Aim::Keep,
    };
    world.consumed = true;
    // By its source.
    world.open_by = 1;
    let items = Items {
        world: Shared(Arc::new(Mutex::new(world))),
        source: Arc::new(Mutex::new(Source {
            pieces: program.pieces.iter().cloned().collect(),
            waits: false,
            released: false,
            ended: false,
            gone: false,
            waker: None,
            given: 0,
        })),
        kind: program.kind,
    };
    let world = &items.world;
    let root = Root::new();
    let mut map = Some(make(program, &items));
    let scripts = program.pieces.iter().filter_map(|piece| match piece {
        Piece::Item(script) => Some(script),
        _ => None,
    });
    let patience = patience(scripts) + 2 * program.pieces.len();
    let ends = std::iter::repeat_n(Op::Poll, patience);
    for (number, op) in program.ops.iter().cloned().chain(ends).enumerate() {
        let Some(open) = &mut map else {
            break;
        };
        if number == program.ops.len() {
            hurry(&items);
        }
        let mut waker = None;
        match op {
            Op::Poll => {
                let poll = std::future::poll_fn(|cx| open.poll(&items, cx));
                match poll_once(&root, world, program.units, pin!(poll)) {
                    Some(Poll::Pending) => items.sleeps(),
                    Some(Poll::Ready(Some(()))) => {}
                    // A panic ends it, too.
                    Some(Poll::Ready(None)) | None => {
                        items.is_over(open.is_terminated());
                        map = None;
                    }
                }
            }
            Op::Release(number) | Op::Wake(number) => {
                let mut world = world.lock();
                if let Some(id) = number.checked_rem(world.tasks.len()) {
                    let task = &mut world.tasks[id];
                    if task.state == State::Running {
                        task.released |= matches!(op, Op::Release(_));
                        task.wake();
                        waker = task.waker.clone();
                    }
                }
            }
            Op::Flow => {
                let mut source = items.source.lock().unwrap();
                source.released = true;
                source.waits = false;
                waker = source.waker.clone();
            }
            Op::Drop => {
                world.lock().ending = true;
                map = None;
                items.is_over(true);
            }
        }
        waker.into_iter().for_each(Waker::wake);
        let mut world = world.lock();
        if !world.faults.is_empty() {
            world.ending = true;
            world.fault(format!("after operation {number}, {op:?}"));
            return mem::take(&mut world.faults);
        }
    }
    if map.is_some() {
        let mut world = world.lock();
        world.ending = true;
        world.fault("R2: it has not ended");
    }
    drop(map);
    let mut world = world.lock();
    mem::take(&mut world.faults)
}

/// From now on nobody waits for anybody outside.
fn hurry(items: &Items) {
    let mut world = items.world.lock();
    world.hurry = true;
    let mut wakers = Vec::new();
    for task in &mut world.tasks {
        if task.state == State::Running {
            task.wake();
            wakers.extend(task.waker.clone());
        }
    }
    drop(world);
    let mut source = items.source.lock().unwrap();
    source.waits = false;
    wakers.extend(source.waker.clone());
    drop(source);
    wakers.into_iter().for_each(Waker::wake);
}

fn programs() -> impl Strategy<Value = Program> {
    let kind = prop_oneof![
        Just(Kind::Buffered),
        Just(Kind::Unordered),
        Just(Kind::TryMap),
        Just(Kind::TryForEach)
    ];
    let step = prop_oneof![
        3 => Just(Step::Yield),
        3 => Just(Step::Wait),
        3 => Just(Step::Take),
        1 => Just(Step::Hog),
    ];
    let last = prop_oneof![40 => Just(Last::Ok), 2 => Just(Last::Err), 1 => Just(Last::Panic)];
    let script = (prop::collection::vec(step, 0..3), last).prop_map(|(steps, last)| Script {
        steps,
        last,
        at_drop: AtDrop::Nothing,
    });
    let piece = prop_oneof![
        80 => script.prop_map(Piece::Item),
        8 => Just(Piece::Yield),
        8 => Just(Piece::Wait),
        1 => Just(Piece::Panic),
    ];
    let pieces = prop_oneof![
        4 => prop::collection::vec(piece.clone(), 0..12),
        1 => prop::collection::vec(piece, 0..300),
    ];
    let op = prop_oneof![
        8 => Just(Op::Poll),
        4 => (0..12_usize).prop_map(Op::Release),
        2 => (0..300_usize).prop_map(Op::Release),
        2 => (0..300_usize).prop_map(Op::Wake),
        2 => Just(Op::Flow),
    ];
    let ops = prop::collection::vec(op, 0..40);
    let limit = prop_oneof![3 => 1..5_usize, 1 => 60..300_usize, 1 => Just(usize::MAX)];
    (
        kind,
        limit,
        1..4_usize,
        any::<bool>(),
        pieces,
        ops,
        prop::bool::weighted(0.1),
    )
        .prop_map(|(kind, limit, units, late, pieces, mut ops, drops)| {
            ops.extend(drops.then_some(Op::Drop));
            Program {
                kind,
                limit,
                units,
                late,
                pieces,
                ops,
            }
        })
}

proptest! {
    #![proptest_config(config())]

    // M1, M2, R2
    #[test]
    fn random_maps_do_as_the_model_says(program in programs()) {
        let faults = run(&program);
        prop_assert!(faults.is_empty(), "{:#?}", faults);
    }
}
