//! What comes from spawners: the mail of a group, made with its first spawner.

use alloc::vec::Vec;
use core::future::poll_fn;
use core::mem;

use crate::error::{Cancelled, TrySpawnError};
use crate::group::queue::{Lane, Queue};
use crate::group::room::{Room, Waiting};
use crate::group::shared::{Gate, Hub, MAIL};
use crate::util::sync::{Arc, Lock};

/// Why a task was not taken.
pub(crate) enum Refused {
    Full,
    Closed,
}

impl Refused {
    pub(crate) fn error<Fut>(&self, future: Fut) -> TrySpawnError<Fut> {
        TrySpawnError::new(future, matches!(self, Refused::Full))
    }
}

/// The tasks that spawners have sent, and those who wait for room.
///
/// # Invariant
///
/// A task is in `incoming` only if `MAIL` was raised since the owner last looked. The owner takes
/// all of it, locked, before it decides that it is done.
pub(crate) struct Mail<F> {
    pub(crate) hub: Arc<Hub>,
    /// What was spawned by spawners, or by the owner since there are spawners. All of it comes
    /// after what is in the owner's queue.
    incoming: Lock<Queue<F>>,
    /// Those who wait until there is room.
    room: Room,
}

/// Why a task would not be taken just now, if so.
pub(crate) fn closed(hub: &Hub) -> Option<Refused> {
    (hub.shared.gate() != Gate::Open).then_some(Refused::Closed)
}

/// The same for a task whose handle has to say why. The reason goes when the group opens again, so
/// that it is read where the gate is.
pub(crate) fn closed_because(hub: &Hub) -> Option<Cancelled> {
    closed(hub).map(|_| hub.shared.reason())
}

/// The same for a task that is taken only if there is room.
pub(crate) fn closed_or_full(hub: &Hub) -> Option<Refused> {
    closed(hub).or_else(|| (!hub.shared.has_room()).then_some(Refused::Full))
}

/// Takes a task into `queue`, unless `refusal` has something against it, and gives its index.
/// `make` makes it of what is given and its index.
#[inline]
pub(crate) fn admit<F, B, R>(
    queue: &mut Queue<F>,
    hub: &Arc<Hub>,
    task: B,
    lane: Lane,
    refusal: fn(&Hub) -> Option<R>,
    make: impl FnOnce(B, usize, &Arc<Hub>) -> F,
) -> Result<usize, (B, R)> {
    if let Some(refused) = refusal(hub) {
        return Err((task, refused));
    }
    let index = hub.shared.count();
    queue.push(index, make(task, index, hub), lane);
    Ok(index)
}

impl<F> Mail<F> {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Mail {
            hub,
            incoming: Lock::new(Queue::new()),
            room: Room::default(),
        }
    }

    /// Takes a task, unless `refusal` has something against it. `make` makes it of what is given
    /// and its index, and is called under the lock: it runs no code of the user.
    pub(crate) fn push<B, R>(
        &self,
        task: B,
        lane: Lane,
        refusal: fn(&Hub) -> Option<R>,
        make: impl FnOnce(B, usize, &Arc<Hub>) -> F,
    ) -> Result<(), (B, R)> {
        let hub = &self.hub;
        let index = self.incoming.with(|incoming| {
            let index = admit(incoming, hub, task, lane, refusal, make)?;
            hub.shared.ask(MAIL);
            Ok(index)
        })?;
        hub.shared.trace.spawned(index, || hub.wake());
        Ok(())
    }

    /// Waits until there is room (true), or the group takes nothing more (false).
    pub(crate) async fn ready(&self) -> bool {
        let mut waiting = Waiting::new(&self.room);
        poll_fn(|cx| waiting.poll(cx, || self.readiness())).await
    }

    fn readiness(&self) -> Option<bool> {
        // In this order: who sees that the tasks of a group are gone sees why.
        let has_room = self.hub.shared.has_room();
        match self.hub.shared.gate() {
            Gate::Open => has_room.then_some(true),
            Gate::Paused => None,
            Gate::Failed | Gate::Closed => Some(false),
        }
    }

    /// Wakes those who wait for room if there is some, or never will be.
    pub(crate) fn notice_room(&self) {
        if self.readiness().is_some() {
            self.room.notify();
        }
    }
}

/// For the owner.
impl<F> Mail<F> {
    /// Moves what spawners have sent to the owner's queue. If there is nothing, the gate may be
    /// turned in the same section.
    pub(crate) fn collect(&self, queue: &mut Queue<F>, end: Option<Gate>) {
        self.take(queue, end, |is_empty| is_empty);
    }

    /// Turns the gate after `change`, in one section, and moves what was sent to the owner's queue.
    pub(crate) fn turn(&self, queue: &mut Queue<F>, gate: Gate, change: impl FnOnce()) {
        self.take(queue, Some(gate), |_| {
            change();
            true
        });
    }

    fn take(&self, queue: &mut Queue<F>, gate: Option<Gate>, turns: impl FnOnce(bool) -> bool) {
        let incoming = self.incoming.with(|incoming| {
            let is_empty = incoming.is_empty();
            if let Some(gate) = gate.filter(|_| turns(is_empty)) {
                self.hub.shared.turn(gate);
            }
            if is_empty || queue.swap_if_empty(incoming) {
                return None;
            }
            Some(mem::replace(incoming, Queue::new()))
        });
        if let Some(incoming) = incoming {
            queue.append(incoming);
        }
    }

    /// The indices of the tasks that the owner has not seen yet, unless somebody just sends one.
    pub(crate) fn unseen(&self) -> Vec<usize> {
        let indices = |incoming: &mut Queue<F>| incoming.indices().collect();
        self.incoming.try_with(indices).unwrap_or_default()
    }
}
