//! Random programs on a semaphore, against a queue and two numbers.
use std::collections::VecDeque;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::Poll;

use super::{Alarm, config, pick};
use crate::common::poll_with;
use errgroup::{AcquireOwned, OwnedPermit, Semaphore};
use futures::future::FusedFuture;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    /// Makes a request, and polls it if so told.
    Acquire(usize, bool, Then),
    Try(usize),
    /// With one of two wakers.
    Poll(usize, usize),
    DropRequest(usize),
    DropPermit(usize),
    SetCapacity(usize),
}

/// For a waker, when it is woken first.
type Then = super::Then<Op>;

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    New,
    /// With the waker that was given last.
    Waiting(usize),
    Granted,
    /// The capacity was less.
    Refused(usize),
    Held,
    Gone,
}

struct Request {
    permits: usize,
    state: State,
    /// How often each of its wakers has to have been woken.
    wakes: [usize; 2],
    alarms: [Alarm; 2],
    future: Option<AcquireOwned>,
    permit: Option<OwnedPermit>,
}

/// The model, and beside it what it is compared with.
struct World {
    capacity: usize,
    queue: VecDeque<usize>,
    requests: Vec<Request>,
    semaphore: Arc<Semaphore>,
    /// A waker has panicked.
    panicked: bool,
    faults: Vec<String>,
}

impl World {
    /// How many are in somebody's hands, or granted.
    fn out(&self) -> usize {
        let is_out = |request: &&Request| matches!(request.state, State::Granted | State::Held);
        let requests = self.requests.iter().filter(is_out);
        requests.map(|request| request.permits).sum()
    }

    /// Whether so many could be handed out, if nobody waits.
    fn has(&self, permits: usize) -> bool {
        self.out() + permits <= self.capacity
    }

    fn settle(&mut self, id: usize, state: State) {
        let request = &mut self.requests[id];
        if let State::Waiting(waker) = mem::replace(&mut request.state, state) {
            request.wakes[waker] += 1;
        }
    }

    /// Serves those who are first.
    fn serve(&mut self) {
        while let Some(&id) = self.queue.front() {
            if !self.has(self.requests[id].permits) {
                return;
            }
            self.settle(id, State::Granted);
            self.queue.pop_front();
        }
    }

    fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
        for id in mem::take(&mut self.queue) {
            match self.requests[id].permits > capacity {
                true => self.settle(id, State::Refused(capacity)),
                false => self.queue.push_back(id),
            }
        }
        self.serve();
    }

    /// What a poll has to return: `None` if it is pending, and otherwise the capacity that is too
    /// small, if it is.
    fn poll(&mut self, id: usize, waker: usize) -> Option<Result<(), usize>> {
        let (permits, capacity) = (self.requests[id].permits, self.capacity);
        let (state, result) = match self.requests[id].state {
            State::New if permits > capacity => (State::Gone, Some(Err(capacity))),
            State::New if self.queue.is_empty() && self.has(permits) => (State::Held, Some(Ok(()))),
            State::New => {
                self.queue.push_back(id);
                (State::Waiting(waker), None)
            }
            State::Waiting(_) => (State::Waiting(waker), None),
            State::Granted => (State::Held, Some(Ok(()))),
            State::Refused(capacity) => (State::Gone, Some(Err(capacity))),
            State::Held | State::Gone => unreachable!(),
        };
        self.requests[id].state = state;
        result
    }

    fn leave(&mut self, id: usize) {
        self.queue.retain(|&queued| queued != id);
        self.requests[id].state = State::Gone;
        self.serve();
    }

    fn fault(&mut self, text: String) {
        self.faults.push(text);
    }

    fn compare(&mut self) {
        let real = (self.semaphore.capacity(), self.semaphore.available());
        let model = (self.capacity, self.capacity.saturating_sub(self.out()));
        if real != model {
            self.fault(format!("capacity, available: {real:?}, expected {model:?}"));
        }
        let mut faults = Vec::new();
        for (id, request) in self.requests.iter().enumerate() {
            for (number, alarm) in request.alarms.iter().enumerate() {
                let kept = usize::from(request.state == State::Waiting(number));
                let (real, model) = ((alarm.wakes(), alarm.kept()), (request.wakes[number], kept));
                if real != model {
                    faults.push(format!("{id}: wakes, clones: {real:?}, expected {model:?}"));
                }
            }
        }
        let futures = self
            .requests
            .iter()
            .filter(|request| request.future.is_some());
        let permits = self
            .requests
            .iter()
            .filter(|request| request.permit.is_some());
        if Arc::strong_count(&self.semaphore) != 1 + futures.count() + permits.count() {
            faults.push("somebody keeps the semaphore".to_string());
        }
        self.faults.extend(faults);
    }
}

#[derive(Clone)]
struct Shared(Arc<Mutex<World>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    fn add(&self, permits: usize, then: Then) -> usize {
        let then = Arc::new(Mutex::new(then));
        let alarm = || {
            let (world, then) = (Arc::downgrade(&self.0), then.clone());
            Alarm::new(move || woken(&world, &then))
        };
        let mut world = self.lock();
        let future = world.semaphore.acquire_owned(permits);
        world.requests.push(Request {
            permits,
            state: State::New,
            wakes: [0, 0],
            alarms: [alarm(), alarm()],
            future: Some(future),
            permit: None,
        });
        world.requests.len() - 1
    }

    fn pick(&self, number: usize, is: impl Fn(&Request) -> bool) -> Option<usize> {
        let world = self.lock();
        let all = (0..world.requests.len()).filter(|&id| is(&world.requests[id]));
        pick(all, number)
    }

    /// Does it in the model first: wakers that are woken find the model up to date.
    fn act(&self, op: &Op) -> Option<()> {
        match *op {
            Op::Acquire(permits, polled, ref then) => {
                let id = self.add(permits, then.clone());
                if polled {
                    self.poll(id, 0);
                }
            }
            Op::Try(permits) => {
                let id = self.add(permits, Then::Nothing);
                let mut world = self.lock();
                world.requests[id].future = None;
                let takes = world.queue.is_empty() && world.has(permits);
                world.requests[id].state = if takes { State::Held } else { State::Gone };
                let permit = world.semaphore.try_acquire_owned(permits);
                let real = permit.as_ref().map(OwnedPermit::permits);
                let model = takes.then_some(permits);
                if real != model {
                    world.fault(format!("try_acquire: {real:?}, expected {model:?}"));
                }
                world.requests[id].permit = permit;
            }
            Op::Poll(number, waker) => {
                let id = self.pick(number, |request| request.future.is_some())?;
                self.poll(id, waker);
            }
            Op::DropRequest(number) => {
                let id = self.pick(number, |request| request.future.is_some())?;
                let mut world = self.lock();
                let future = world.requests[id].future.take();
                world.leave(id);
                drop(world);
                drop(future);
            }
            Op::DropPermit(number) => {
                let id = self.pick(number, |request| request.permit.is_some())?;
                let mut world = self.lock();
                let permit = world.requests[id].permit.take();
                world.leave(id);
                drop(world);
                drop(permit);
            }
            Op::SetCapacity(capacity) => {
                let mut world = self.lock();
                world.set_capacity(capacity);
                let semaphore = world.semaphore.clone();
                drop(world);
                semaphore.set_capacity(capacity);
            }
        }
        Some(())
    }

    fn poll(&self, id: usize, waker: usize) {
        let mut world = self.lock();
        let model = world.poll(id, waker);
        let request = &mut world.requests[id];
        let mut future = request.future.take().unwrap();
        let poll = poll_with(&mut future, &request.alarms[waker].waker);
        let permits = request.permits;
        let real = match &poll {
            Poll::Pending => None,
            Poll::Ready(Ok(permit)) if permit.permits() == permits => Some(Ok(())),
            Poll::Ready(Ok(_)) => Some(Err(usize::MAX)),
            Poll::Ready(Err(error)) if error.requested == permits => Some(Err(error.capacity)),
            Poll::Ready(Err(_)) => Some(Err(usize::MAX)),
        };
        if future.is_terminated() != real.is_some() || real != model {
            world.fault(format!("{id}: {real:?}, expected {model:?}"));
        }
        match poll {
            Poll::Pending => world.requests[id].future = Some(future),
            Poll::Ready(result) => world.requests[id].permit = result.ok(),
        }
    }
}

fn woken(world: &Weak<Mutex<World>>, then: &Mutex<Then>) {
    let Some(world) = world.upgrade().map(Shared) else {
        return;
    };
    super::once(
        then,
        || world.lock().panicked = true,
        |op| _ = world.act(op),
    );
}

fn run(capacity: usize, ops: &[Op]) -> Vec<String> {
    let world = Shared(Arc::new(Mutex::new(World {
        capacity,
        queue: VecDeque::new(),
        requests: Vec::new(),
        semaphore: Arc::new(Semaphore::new(capacity)),
        panicked: false,
        faults: Vec::new(),
    })));
    // At last everything is dropped, in turns.
    let count = 2 * ops.len();
    let ends = (0..2 * count).map(|number| match number % 2 {
        0 => Op::DropRequest(number),
        _ => Op::DropPermit(number),
    });
    for op in ops.iter().cloned().chain(ends) {
        let panicked = catch_unwind(AssertUnwindSafe(|| world.act(&op))).is_err();
        let mut world = world.lock();
        if panicked != mem::take(&mut world.panicked) {
            world.fault("a panic was lost or made".to_string());
        }
        world.compare();
        if !world.faults.is_empty() {
            world.fault(format!("after {op:?}"));
            return mem::take(&mut world.faults);
        }
    }
    let world = world.lock();
    assert_eq!(world.out(), 0);
    Vec::new()
}

fn ops() -> impl Strategy<Value = Op> {
    fn op(then: impl Strategy<Value = Then> + 'static) -> impl Strategy<Value = Op> {
        let number = 0..12_usize;
        prop_oneof![
            6 => (0..6_usize, prop::bool::weighted(0.8), then)
                .prop_map(|(permits, polled, then)| Op::Acquire(permits, polled, then)),
            1 => (0..4_usize).prop_map(Op::Try),
            3 => (number.clone(), 0..2_usize).prop_map(|(id, waker)| Op::Poll(id, waker)),
            2 => number.clone().prop_map(Op::DropRequest),
            3 => number.prop_map(Op::DropPermit),
            1 => (0..8_usize).prop_map(Op::SetCapacity),
        ]
    }
    let inner = op(Just(Then::Nothing)).prop_map(|op| Then::Do(Box::new(op)));
    op(prop_oneof![6 => Just(Then::Nothing), 1 => Just(Then::Panic), 3 => inner])
}

proptest! {
    #![proptest_config(config())]

    // S1-S6, P1
    #[test]
    fn random_requests_are_served_in_their_order(
        capacity in 0..8_usize,
        ops in prop::collection::vec(ops(), 0..60),
    ) {
        let faults = run(capacity, &ops);
        prop_assert!(faults.is_empty(), "{:#?}", faults);
    }
}
