//! The nodes of which contexts are handles, and how a cancellation goes down their tree.

use alloc::boxed::Box;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::future::Future;
use core::mem;
use core::panic::RefUnwindSafe;
use core::pin::Pin;
use core::ptr;
use core::task::{Context, Poll, Waker};

use crate::error::{CancelKind, Cancelled};
use crate::util::list::{Key, List};
use crate::util::panic::{Sequence, sequence};
use crate::util::sync::atomic::{AtomicU32, Ordering::Relaxed};
use crate::util::sync::{Arc, Lock, Payload, SetOnce, Weak};
use crate::util::waiters::{Waiter, Waiters};

/// One context of the tree.
///
/// Nodes own their parents. A parent knows only those of its descendants that have something to
/// lose when it is cancelled: a waiter, or a source. All others cost it nothing, and find
/// out by looking up when they are asked.
///
/// # Invariants
///
/// *Set* means that `reason` is.
///
/// 1. A node is set once and for ever, under the lock of its `state`. The same critical section
///    takes out the waiters, the linked children and the source; a set node takes no new ones.
/// 2. Whoever sets a node then, unlocked, sets each of the children, for which the same holds, and
///    when all below are set wakes the waiters and drops the sources (`spread`). A child that is
///    set already is skipped, because whoever set it does the same.
/// 3. Except while `spread` is on its way to it, a node is set by its own cancel, or to the
///    reason of its parent: `settle` and `spread` carry a reason from a set node to its child,
///    and if the child turns out to be set, its own reason from there on. So no two nodes
///    disagree about what came first.
/// 4. `link` changes only under the lock of the parent, once, from `UNLINKED` to the node's place
///    in `children` there; and only if the parent is not set. Only then does the parent know it.
/// 5. A node with a waiter or source is linked, and so is every node above it up to the first set
///    one; or the thread that put it there is in `link`, on its way up, and will look whether the
///    node is cancelled when it is done.
/// 6. No code of the user runs while a `state` is locked, and no thread locks two.
///
/// # Why no cancel is lost
///
/// A waiter does this: (a) enter `waiters` unless the node is set; (b) link upwards, each node
/// under the lock of its parent, up to a node that is linked already; (c) look at all flags up to
/// the root, and settle if one is up. Let some ancestor be cancelled by a thread C.
///
/// - C sets the ancestor before a link to it is made under the same lock: then the linking thread
///   synchronises with C, sees the flag in (c), and sets every node down to its own, and their
///   linked children. If it stopped in (b) below that link because another thread had made the
///   link there and is still on its way up, then that thread sees the flag in its own (c), and
///   its `spread` comes down through the lock sections that made the links.
/// - C sets it after the link was made: then C finds the child. It comes down the same way, and
///   for each node the argument repeats. At the node itself, C takes out the waiter if (a) came
///   before; otherwise (a) found the node set, and (c) finds the flag up.
pub(crate) struct Node {
    pub(crate) parent: Option<Arc<Node>>,
    /// Whether its deadline has passed, if that can be told without polling anything.
    due: Option<Due>,
    /// Who sees a context cancelled sees what was written before the cancel
    /// (`what_was_written_before_the_cancel_is_seen`): setting is `Release`, reading `Acquire`.
    reason: SetOnce<Cancelled>,
    /// `Relaxed` suffices: it is written under the lock of the parent, and who reads it elsewhere
    /// relies only on that section having come before the next one of that lock.
    link: AtomicU32,
    /// Whether it was made with a source.
    has_source: bool,
    /// Whether it or a node above it was made with a source.
    pub(crate) driven: bool,
    state: Lock<State>,
}

/// Tells without a lock whether a deadline has passed.
pub(crate) type Due = Box<dyn Fn() -> bool + Send + Sync>;

struct State {
    waiters: Waiters,
    /// Most nodes have none.
    children: Option<Box<List<Weak<Node>>>>,
    source: Slot,
}

/// Not in the list of the parent.
const UNLINKED: Key = Key::MAX;

/// The place of the future that cancels a node.
///
/// It is polled outside of the lock, by whoever finds it here; others who come meanwhile leave,
/// because its waker will wake them too. `Absent` if there was none, or it has completed, panicked
/// or been dropped.
enum Slot {
    Absent,
    Idle(Box<Source>),
    /// Somebody polls it now. `woken` if its waker was called since.
    Polled {
        woken: bool,
    },
}

struct Source {
    future: Pin<Box<dyn Future<Output = Fired> + Send>>,
    waker: Waker,
}

/// What comes of a source.
pub(crate) struct Fired {
    pub(crate) reason: Cancelled,
    /// The cause could not be made, so that the reason has none: that panic goes on when all know
    /// the reason.
    pub(crate) late: Option<Payload>,
}

/// A node is in order whenever user code runs, so a panic leaves nothing broken to be seen.
impl RefUnwindSafe for Node {}

/// What a node hands out when it is set.
struct Released {
    waiters: Waiters,
    children: Option<Box<List<Weak<Node>>>>,
    source: Option<Box<Source>>,
}

/// What the nodes below one hand out when they are set.
#[derive(Default)]
struct ReleasedBelow {
    wakers: Vec<Waker>,
    sources: Vec<Source>,
}

fn wakers_of(waiters: Waiters) -> impl Iterator<Item = Waker> {
    waiters.into_iter().filter_map(|waiter| waiter.waker)
}

impl Node {
    pub(crate) fn new(parent: Option<&Arc<Node>>, has_source: bool) -> Self {
        // Looking at the parent alone makes a long chain cheap to build; a cancel farther up is
        // found when somebody asks.
        let reason = SetOnce::new();
        if let Some(of_parent) = parent.and_then(|parent| parent.reason.get()) {
            reason.set(of_parent.clone());
        }
        Node {
            due: None,
            link: AtomicU32::new(UNLINKED),
            has_source,
            driven: has_source || parent.is_some_and(|parent| parent.driven),
            // What is cancelled needs nobody to look up to.
            parent: parent.filter(|_| reason.get().is_none()).cloned(),
            reason,
            state: Lock::new(State {
                waiters: List::new(),
                children: None,
                source: Slot::Absent,
            }),
        }
    }

    /// Makes a child of `parent` with a source.
    pub(crate) fn with_source(
        parent: &Arc<Self>,
        future: Pin<Box<dyn Future<Output = Fired> + Send>>,
        due: Option<Due>,
    ) -> Arc<Self> {
        let mut node = Node::new(Some(parent), true);
        node.due = due;
        let node = Arc::new(node);
        let mut source = Some(Box::new(Source {
            future,
            waker: Waker::from(Arc::new(Signal {
                node: Arc::downgrade(&node),
            })),
        }));
        node.state.with(|state| {
            if !node.is_set() {
                state.source = source.take().map_or(Slot::Absent, Slot::Idle);
            }
        });
        drop(source);
        // Only a node that its ancestors know is reached by their cancel, which has to drop the
        // source.
        node.link();
        node.settle();
        node
    }

    /// The reason, if it is stored here already.
    pub(crate) fn own_reason(&self) -> Option<&Cancelled> {
        self.reason.get()
    }

    fn is_set(&self) -> bool {
        self.reason.get().is_some()
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.nearest_set().is_some()
    }

    /// Of what kind the reason is, without writing it down anywhere.
    pub(crate) fn kind(&self) -> Option<CancelKind> {
        let nearest = self.nearest_set()?;
        let reason = nearest.reason.get();
        Some(reason.map_or(CancelKind::DeadlineExceeded, Cancelled::kind))
    }

    fn is_due(&self) -> bool {
        self.due.as_ref().is_some_and(|due| due())
    }

    /// The first node on the way from this one to the root that is set, or due to be.
    fn nearest_set(&self) -> Option<&Node> {
        let mut node = self;
        while !node.is_set() && !node.is_due() {
            node = node.parent.as_deref()?;
        }
        Some(node)
    }

    /// Stores the reason of the nearest set ancestor in every node from there down to this one,
    /// and returns what this one has.
    pub(crate) fn settle(&self) -> Option<&Cancelled> {
        let top = self.nearest_set()?;
        if ptr::eq(top, self) && top.is_set() {
            return top.reason.get();
        }
        sequence(|steps| {
            if !top.is_set() {
                let reason = Cancelled::new(CancelKind::DeadlineExceeded, None);
                top.spread(&reason, steps);
            }
            let mut reason = top.reason.get()?;
            let mut path = Vec::new();
            let mut node = self;
            while !ptr::eq(node, top) {
                path.push(node);
                node = node.parent.as_deref()?;
            }
            while let Some(node) = path.pop() {
                node.spread(reason, steps);
                reason = node.reason.get()?;
            }
            Some(reason)
        })
    }

    /// Returns whether this was the first cancellation.
    pub(crate) fn cancel(&self, reason: Cancelled) -> bool {
        if self.settle().is_some() {
            return false;
        }
        sequence(|steps| self.spread(&reason, steps))
    }

    /// Sets this node and whatever is linked below it, and then wakes and drops what they had.
    /// Returns whether this node was set by it.
    ///
    /// In this order a cancel does not recurse: code of the user that goes on to a node below
    /// finds it set, and nothing there that is still to be woken or dropped.
    fn spread(&self, reason: &Cancelled, steps: &mut Sequence) -> bool {
        let Some(released) = self.set(reason) else {
            return false;
        };
        let below = match released.children {
            None => ReleasedBelow::default(),
            Some(children) => Self::set_below(*children, reason, steps),
        };
        for waker in wakers_of(released.waiters) {
            steps.run(|| waker.wake());
        }
        for waker in below.wakers {
            steps.run(|| waker.wake());
        }
        steps.drop_each(released.source);
        steps.drop_each(below.sources);
        true
    }

    /// Sets these nodes and whatever is linked below them.
    #[inline(never)] // Its part of the stack is free again when wakers run.
    fn set_below(
        children: List<Weak<Node>>,
        reason: &Cancelled,
        steps: &mut Sequence,
    ) -> ReleasedBelow {
        // A timeout that has passed came before this cancel, though nobody has looked.
        let deadline = Cancelled::new(CancelKind::DeadlineExceeded, None);
        let mut all = ReleasedBelow::default();
        let mut below: Vec<_> = children.into_iter().map(|child| (child, false)).collect();
        while let Some((child, parent_late)) = below.pop() {
            let Some(child) = child.upgrade() else {
                continue;
            };
            let late = parent_late || child.is_due();
            if let Some(released) = child.set(if late { &deadline } else { reason }) {
                let children = released.children.into_iter().flat_map(|children| *children);
                below.extend(children.map(|child| (child, late)));
                all.wakers.extend(wakers_of(released.waiters));
                all.sources.extend(released.source.map(|source| *source));
            }
            // We may have become the last owner.
            steps.run(|| drop(child));
        }
        all
    }

    /// Sets this node alone, if it is not set.
    fn set(&self, reason: &Cancelled) -> Option<Released> {
        let reason = reason.clone();
        self.state.with(|state| {
            if self.is_set() {
                return None;
            }
            self.reason.set(reason);
            Some(Released {
                waiters: mem::take(&mut state.waiters),
                children: mem::take(&mut state.children),
                source: match mem::replace(&mut state.source, Slot::Absent) {
                    Slot::Idle(source) => Some(source),
                    // Whoever polls it will find the node set, and drops it.
                    Slot::Polled { .. } | Slot::Absent => None,
                },
            })
        })
    }

    /// Makes this node and those above it known to their parents.
    fn link(self: &Arc<Self>) {
        let mut node = self;
        while let Some(parent) = &node.parent {
            if node.link.load(Relaxed) != UNLINKED {
                return;
            }
            parent.state.with(|state| {
                if !parent.is_set() && node.link.load(Relaxed) == UNLINKED {
                    let children = state.children.get_or_insert_default();
                    let key = children.push_back(Arc::downgrade(node));
                    node.link.store(key, Relaxed);
                }
            });
            node = parent;
        }
    }

    /// Registers a waiter, for the first time or once more. The caller has to look again whether
    /// the node is cancelled.
    pub(crate) fn register(self: &Arc<Self>, key: &mut Option<Key>, waker: &Waker) {
        if let Some(key) = *key {
            // Mostly the same task polls again, and nothing needs to be cloned.
            let is_known = self.state.with(|state| {
                let known = &self.open(state)?.get_mut(key).waker;
                Some(known.as_ref().is_some_and(|known| known.will_wake(waker)))
            });
            if is_known != Some(false) {
                return;
            }
        }
        let is_new = key.is_none();
        let mut waker = Some(waker.clone());
        self.state.with(|state| {
            let Some(waiters) = self.open(state) else {
                return;
            };
            match *key {
                Some(key) => mem::swap(&mut waiters.get_mut(key).waker, &mut waker),
                None => {
                    let waker = waker.take();
                    *key = Some(waiters.push_back(Waiter { waker, data: () }));
                }
            }
        });
        if is_new {
            self.link();
        }
        // The one before, or one that nobody needs: afterwards, because that may panic.
        drop(waker);
    }

    /// The list for new waiters, if the node is not set.
    fn open<'a>(&self, state: &'a mut State) -> Option<&'a mut Waiters> {
        (!self.is_set()).then_some(&mut state.waiters)
    }

    /// Takes a waiter out, unless the cancel did.
    pub(crate) fn deregister(&self, key: Key) -> Option<Waker> {
        if self.is_set() {
            return None;
        }
        self.state.with(|state| self.open(state)?.remove(key).waker)
    }

    /// Polls the source of this node, if there is one and nobody else polls it.
    pub(crate) fn poll_source(&self) -> Option<Fired> {
        if !self.has_source || self.is_set() {
            return None;
        }
        let mut source =
            self.state.with(
                |state| match mem::replace(&mut state.source, Slot::Absent) {
                    Slot::Idle(source) => {
                        state.source = Slot::Polled { woken: false };
                        Some(source)
                    }
                    other => {
                        state.source = other;
                        None
                    }
                },
            )?;

        let mut polled = None;
        sequence(|steps| {
            steps.run(|| {
                let mut cx = Context::from_waker(&source.waker);
                polled = Some(source.future.as_mut().poll(&mut cx));
            });

            // It goes back only if it is pending, and the node was not set meanwhile.
            let mut source = Some(source);
            let woken =
                self.state.with(
                    |state| match mem::replace(&mut state.source, Slot::Absent) {
                        Slot::Polled { woken } if matches!(polled, Some(Poll::Pending)) => {
                            state.source = source.take().map_or(Slot::Absent, Slot::Idle);
                            woken
                        }
                        _ => false,
                    },
                );
            steps.run(|| drop(source));
            if woken {
                self.wake_below(steps);
            }
        });
        match polled {
            Some(Poll::Ready(fired)) => Some(fired),
            _ => None,
        }
    }

    /// Wakes every waiter of this node and of those below it; they stay registered. Like `spread`,
    /// it takes out all wakers before it wakes one.
    fn wake_below(&self, steps: &mut Sequence) {
        let (mut wakers, mut below) = (Vec::new(), Vec::new());
        self.state
            .with(|state| state.take_wakers(&mut wakers, &mut below));
        while let Some(child) = below.pop() {
            if let Some(child) = child.upgrade() {
                child
                    .state
                    .with(|state| state.take_wakers(&mut wakers, &mut below));
                steps.run(|| drop(child));
            }
        }
        for waker in wakers {
            steps.run(|| waker.wake());
        }
    }

    /// Takes apart what must not be left to the compiler. Returns the parent, which the caller
    /// may be the last to own.
    fn dismantle(&mut self, steps: &mut Sequence) -> Option<Arc<Node>> {
        let parent = self.parent.take();
        if let Some(parent) = &parent {
            let link = self.link.load(Relaxed);
            if link != UNLINKED && !parent.is_set() {
                parent.state.with(|state| {
                    if let Some(children) = &mut state.children {
                        children.remove(link);
                    }
                });
            }
        }
        let state = self.state.get_mut();
        let source = mem::replace(&mut state.source, Slot::Absent);
        if self.has_source {
            steps.run(|| drop(source));
        }
        if self.is_set() {
            let reason = mem::take(&mut self.reason);
            steps.run(|| drop(reason));
        }
        parent
    }
}

impl State {
    fn take_wakers(&mut self, wakers: &mut Vec<Waker>, below: &mut Vec<Weak<Node>>) {
        self.waiters
            .for_each(|waiter| wakers.extend(waiter.waker.take()));
        if let Some(children) = &mut self.children {
            children.for_each(|child| below.push(child.clone()));
        }
    }
}

impl Drop for Node {
    /// A chain of a million nodes is dropped in a loop.
    fn drop(&mut self) {
        sequence(|steps| {
            let mut parent = self.dismantle(steps);
            while let Some(mut node) = parent.and_then(Arc::into_inner) {
                parent = node.dismantle(steps);
            }
        });
    }
}

/// Wakes for a source. It outlives the node if somebody keeps the waker.
struct Signal {
    node: Weak<Node>,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let Some(node) = self.node.upgrade() else {
            return;
        };
        let idle = node.state.with(|state| match &mut state.source {
            Slot::Absent => false,
            Slot::Idle(_) => true,
            Slot::Polled { woken } => {
                *woken = true;
                false
            }
        });
        sequence(|steps| {
            if idle {
                node.wake_below(steps);
            }
            steps.run(|| drop(node));
        });
    }
}
