//! `Semaphore`: weighted permits, first come, first served.

use core::fmt;
use core::future::Future;
use core::mem;
use core::ops::Deref;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use futures::future::FusedFuture;

use crate::error::TooLarge;
use crate::util::list::{Key, List};
use crate::util::panic::sequence;
use crate::util::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire as Acq, Relaxed, Release},
};
use crate::util::sync::{Arc, Lock, const_fn};
use crate::util::waiters::{Errand, Errands, Waiter, Waiters};

/// A number of permits, of which each holder takes as many as its work weighs.
///
/// It is strictly fair: permits are granted in the order in which the futures of
/// [`acquire`](Semaphore::acquire) were first polled. Whoever asks for many holds up those who
/// came later and ask for few, so that no request is passed over for ever.
///
/// Wakers are woken by whoever gives permits back, one after the other: if they give back more, or
/// another thread does meanwhile, that one wakes for them, too. So a waker that blocks delays the
/// wakes of others, though not their permits.
///
/// This is Go's `golang.org/x/sync/semaphore.Weighted`, with permits that give themselves back,
/// and an error for a request that can never be met instead of a wait until the context is done.
///
/// # Examples
///
/// At most 100 MB of images are decoded at the same time.
///
/// ```
/// use errgroup::Semaphore;
///
/// # futures::executor::block_on(async {
/// let memory = Semaphore::new(100);
///
/// let small = memory.acquire(20).await?;
/// let large = memory.acquire(80).await?;
/// assert!(memory.try_acquire(1).is_none());
///
/// drop(small);
/// assert_eq!(memory.available(), 20);
/// # drop(large);
/// # Ok::<_, errgroup::TooLarge>(())
/// # }).unwrap();
/// ```
pub struct Semaphore {
    /// Twice the number of free permits, plus `QUEUED`.
    word: AtomicUsize,
    /// Changed only under the lock of `queue`.
    capacity: AtomicUsize,
    queue: Lock<Queue>,
}

/// As many permits as `word` can count.
const MOST: usize = usize::MAX / 2;

impl Semaphore {
    const_fn! {
        /// Makes a semaphore with `permits` permits, all of them free.
        ///
        /// # Panics
        ///
        /// If `permits` is more than `usize::MAX / 2`.
        ///
        /// # Examples
        ///
        /// ```
        /// use errgroup::Semaphore;
        ///
        /// static CONNECTIONS: Semaphore = Semaphore::new(8);
        /// assert_eq!(CONNECTIONS.capacity(), 8);
        /// ```
        #[must_use]
        pub const fn new(permits: usize) -> Self {
            assert!(permits <= MOST, "a semaphore can have at most usize::MAX / 2 permits");
            Semaphore {
                word: AtomicUsize::new(permits << 1),
                capacity: AtomicUsize::new(permits),
                queue: Lock::new(Queue::new()),
            }
        }
    }

    /// How many permits there are in all.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = errgroup::Semaphore::new(3);
    /// let permit = semaphore.try_acquire(2);
    /// assert_eq!(semaphore.capacity(), 3);
    /// # drop(permit);
    /// ```
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity.load(Relaxed)
    }

    /// Changes how many permits there are in all.
    ///
    /// If there are more, those who wait get theirs. If there are fewer, nothing is taken from
    /// anybody: what is out beyond the new capacity comes back first, and until then nobody gets
    /// permits, not even 0 of them. Whoever waits for more than the new capacity is woken and gets
    /// [`TooLarge`], and holds up nobody; permits that were granted already stay granted.
    ///
    /// Lowering costs O(those who wait).
    ///
    /// # Panics
    ///
    /// If `permits` is more than `usize::MAX / 2`. And if a waker panics, when all others have
    /// been woken (without `std`, at once).
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = errgroup::Semaphore::new(4);
    /// let three = semaphore.try_acquire(3).unwrap();
    ///
    /// semaphore.set_capacity(2);
    /// assert_eq!((semaphore.capacity(), semaphore.available()), (2, 0));
    /// drop(three);
    /// assert_eq!(semaphore.available(), 2);
    ///
    /// semaphore.set_capacity(8);
    /// assert_eq!(semaphore.available(), 8);
    /// ```
    pub fn set_capacity(&self, permits: usize) {
        assert!(
            permits <= MOST,
            "a semaphore can have at most usize::MAX / 2 permits"
        );
        self.change(|queue| {
            let before = self.capacity();
            self.capacity.store(permits, Relaxed);
            if let Some(more) = permits.checked_sub(before) {
                let forgiven = queue.owed.min(more);
                queue.owed -= forgiven;
                self.word.fetch_add((more - forgiven) << 1, Release);
            } else {
                queue.owed += self.withdraw(before - permits);
                queue.refuse(permits);
            }
            self.grant(queue);
        });
    }

    /// How many permits nobody has at this moment.
    ///
    /// It may be impossible to get them: if the first who waits wants more, they are kept for it.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = errgroup::Semaphore::new(3);
    /// let permit = semaphore.try_acquire(2);
    /// assert_eq!(semaphore.available(), 1);
    /// # drop(permit);
    /// ```
    #[must_use]
    pub fn available(&self) -> usize {
        self.word.load(Relaxed) >> 1
    }

    /// Waits until `n` permits are free and everyone who came earlier has been served, and takes
    /// them.
    ///
    /// Equivalent to: `async fn acquire(&self, n: usize) -> Result<Permit<'_>, TooLarge>`
    ///
    /// The place in the queue is that of the first poll. A request for 0 permits waits for its
    /// turn, too.
    ///
    /// # Errors
    ///
    /// [`TooLarge`], at once, if `n` is more than the [`capacity`](Semaphore::capacity).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in the queue, and the permits if they were granted
    /// already; whoever is next gets its turn. Nothing is lost but the place.
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it has completed.
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::Semaphore;
    ///
    /// # futures::executor::block_on(async {
    /// let semaphore = Semaphore::new(3);
    /// let permit = semaphore.acquire(2).await.unwrap();
    /// assert_eq!(permit.permits(), 2);
    ///
    /// let error = semaphore.acquire(4).await.unwrap_err();
    /// assert_eq!(error.to_string(), "4 permits were requested of a semaphore that has 3");
    /// # });
    /// ```
    #[inline]
    pub fn acquire(&self, n: usize) -> Acquire<'_> {
        Acquire(Acquiring::new(self, n))
    }

    /// Takes `n` permits if they are free and nobody waits: Go's `TryAcquire`.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = errgroup::Semaphore::new(3);
    /// let permit = semaphore.try_acquire(2).unwrap();
    /// assert!(semaphore.try_acquire(2).is_none());
    /// drop(permit);
    /// assert!(semaphore.try_acquire(2).is_some());
    /// ```
    ///
    /// A permit that is thrown away is given back at once, of which the compiler warns:
    ///
    /// ```compile_fail
    /// #![deny(unused_must_use)]
    /// let semaphore = errgroup::Semaphore::new(3);
    /// semaphore.try_acquire(2);
    /// ```
    ///
    /// ```
    /// #![deny(unused_must_use)]
    /// let semaphore = errgroup::Semaphore::new(3);
    /// let permit = semaphore.try_acquire(2);
    /// ```
    #[inline]
    #[must_use = "the permits are given back when this is dropped"]
    pub fn try_acquire(&self, n: usize) -> Option<Permit<'_>> {
        Held::try_new(self, n).map(Permit)
    }

    /// Waits like [`acquire`](Semaphore::acquire), for permits that own the semaphore, to be
    /// moved into tasks that are `'static`.
    ///
    /// Equivalent to:
    /// `async fn acquire_owned(self: &Arc<Self>, n: usize) -> Result<OwnedPermit, TooLarge>`
    ///
    /// # Errors
    ///
    /// As with [`acquire`](Semaphore::acquire).
    ///
    /// # Cancel safety
    ///
    /// As with [`acquire`](Semaphore::acquire).
    ///
    /// # Panics
    ///
    /// As with [`acquire`](Semaphore::acquire).
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::Semaphore;
    /// use std::sync::Arc;
    ///
    /// # futures::executor::block_on(async {
    /// let semaphore = Arc::new(Semaphore::new(3));
    /// let permit = semaphore.acquire_owned(2).await.unwrap();
    /// std::thread::spawn(move || drop(permit));
    /// # });
    /// ```
    #[inline]
    pub fn acquire_owned(self: &Arc<Self>, n: usize) -> AcquireOwned {
        AcquireOwned(Acquiring::new(self.clone(), n))
    }

    /// Takes permits that own the semaphore, like [`try_acquire`](Semaphore::try_acquire).
    ///
    /// # Examples
    ///
    /// ```
    /// use errgroup::Semaphore;
    /// use std::sync::Arc;
    ///
    /// let semaphore = Arc::new(Semaphore::new(3));
    /// let permit = semaphore.try_acquire_owned(3).unwrap();
    /// assert!(semaphore.try_acquire_owned(1).is_none());
    /// # drop(permit);
    /// ```
    #[inline]
    #[must_use = "the permits are given back when this is dropped"]
    pub fn try_acquire_owned(self: &Arc<Self>, n: usize) -> Option<OwnedPermit> {
        Held::try_new(self.clone(), n).map(OwnedPermit)
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("capacity", &self.capacity())
            .field("available", &self.available())
            .finish_non_exhaustive()
    }
}

/// Permits of a [`Semaphore`], given back when this is dropped.
///
/// # Examples
///
/// ```
/// use errgroup::{Permit, Semaphore};
///
/// struct Connection<'a> {
///     _permit: Permit<'a>,
/// }
///
/// let semaphore = Semaphore::new(1);
/// let connection = semaphore.try_acquire(1).map(|_permit| Connection { _permit });
/// assert_eq!(semaphore.available(), 0);
/// drop(connection);
/// assert_eq!(semaphore.available(), 1);
/// ```
#[must_use = "the permits are given back when this is dropped"]
pub struct Permit<'a>(Held<&'a Semaphore>);

/// Permits that own their [`Semaphore`], given back when this is dropped.
///
/// # Examples
///
/// ```
/// use errgroup::Semaphore;
/// use std::sync::Arc;
///
/// let semaphore = Arc::new(Semaphore::new(1));
/// let permit = semaphore.try_acquire_owned(1).unwrap();
/// std::thread::spawn(move || drop(permit)).join().unwrap();
/// assert_eq!(semaphore.available(), 1);
/// ```
#[must_use = "the permits are given back when this is dropped"]
pub struct OwnedPermit(Held<Arc<Semaphore>>);

/// The future of [`Semaphore::acquire`].
///
/// # Examples
///
/// ```
/// use errgroup::{Acquire, Semaphore};
///
/// static SEMAPHORE: Semaphore = Semaphore::new(1);
///
/// let acquire: Acquire<'static> = SEMAPHORE.acquire(1);
/// # futures::executor::block_on(async {
/// assert_eq!(acquire.await.unwrap().permits(), 1);
/// # });
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct Acquire<'a>(Acquiring<&'a Semaphore>);

/// The future of [`Semaphore::acquire_owned`].
///
/// # Examples
///
/// ```
/// use errgroup::{AcquireOwned, Semaphore};
/// use std::sync::Arc;
///
/// let acquire: AcquireOwned = Arc::new(Semaphore::new(1)).acquire_owned(1);
/// # futures::executor::block_on(async {
/// assert_eq!(acquire.await.unwrap().permits(), 1); // It keeps the semaphore.
/// # });
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct AcquireOwned(Acquiring<Arc<Semaphore>>);

impl Permit<'_> {
    /// How many permits these are.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = errgroup::Semaphore::new(3);
    /// assert_eq!(semaphore.try_acquire(2).unwrap().permits(), 2);
    /// ```
    #[must_use]
    pub fn permits(&self) -> usize {
        self.0.permits
    }
}

impl OwnedPermit {
    /// How many permits these are.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = std::sync::Arc::new(errgroup::Semaphore::new(3));
    /// assert_eq!(semaphore.try_acquire_owned(2).unwrap().permits(), 2);
    /// ```
    #[must_use]
    pub fn permits(&self) -> usize {
        self.0.permits
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permit").field(&self.permits()).finish()
    }
}

impl fmt::Debug for OwnedPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedPermit").field(&self.permits()).finish()
    }
}

impl<'a> Future for Acquire<'a> {
    type Output = Result<Permit<'a>, TooLarge>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx.waker()).map_ok(Permit)
    }
}

impl Future for AcquireOwned {
    type Output = Result<OwnedPermit, TooLarge>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx.waker()).map_ok(OwnedPermit)
    }
}

impl FusedFuture for Acquire<'_> {
    fn is_terminated(&self) -> bool {
        self.0.semaphore.is_none()
    }
}

impl FusedFuture for AcquireOwned {
    fn is_terminated(&self) -> bool {
        self.0.semaphore.is_none()
    }
}

impl fmt::Debug for Acquire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Acquire").field(&self.0.permits).finish()
    }
}

impl fmt::Debug for AcquireOwned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AcquireOwned")
            .field(&self.0.permits)
            .finish()
    }
}

/// Raised in `word` while free permits are not for everybody: somebody waits for them without a
/// grant, or the semaphore itself does, because more are out than its capacity.
const QUEUED: usize = 1;

/// Those who wait, and those who were served and do not know it yet.
///
/// # Invariants
///
/// 1. The free permits in `word`, the permits of the `Held`s, of the granted entries and of the
///    futures at `Place::Served` add up to the capacity and what is `owed`: every step moves
///    permits between two of them with one operation on `word`. While something is owed, nothing
///    is free.
/// 2. The granted entries stand before all that wait. `head` is the first that waits.
/// 3. While the lock is free, `QUEUED` is up exactly if there is a `head` or something is owed.
/// 4. While `QUEUED` is up, free permits become fewer only under the lock.
/// 5. Whoever frees permits and finds `QUEUED` up, in one operation, locks and grants. So while
///    the lock is free and nobody is on the way to it, the head wants more than is free.
/// 6. Nobody waits for more than the capacity.
/// 7. No waker is cloned, woken or dropped under the lock.
/// 8. While the lock is free and there are errands, `running` is up, and somebody who will lock
///    again has raised it. So errands are never forgotten, and never run in a recursion: an errand
///    that makes more of them leaves them to the one who runs it.
///
/// # Why no grant is lost
///
/// To begin to wait is one operation on `word`, under the lock, that finds too few permits and
/// raises `QUEUED` (or finds it up). To give back is another. If the first comes first, the second
/// sees `QUEUED`, and finds the entry, because the lock was not free until it was made. If the
/// second comes first, the first sees its permits, or whoever gives them back still has to lock.
///
/// # Orderings
///
/// Taking permits is `Acquire` and freeing them is `Release`, so that whoever gets a permit sees
/// what its last holder did (`a_permit_hands_on_what_was_written_under_it`), or what was done
/// before the capacity was raised (`a_raised_capacity_hands_on_what_was_written_before`). Every
/// change of `word` is a read-modify-write and so continues the release sequences of all before
/// it; those that take or free nothing are `Relaxed`. A grant goes to the one that waits through
/// the lock. `capacity` is written under the lock, where the decisions are that depend on it.
struct Queue {
    waiters: Waiters<Request>,
    head: Option<Key>,
    /// Permits that are out beyond the capacity: the next that come back are not for anybody.
    owed: usize,
    /// Wakers that have left `waiters`.
    errands: Errands,
    /// Whether somebody runs the errands.
    running: bool,
}

enum Request {
    Waiting { permits: usize },
    Granted { permits: usize },
    Refused { capacity: usize },
}

impl Queue {
    const fn new() -> Self {
        Queue {
            waiters: List::new(),
            head: None,
            owed: 0,
            errands: Errands::new(),
            running: false,
        }
    }

    /// Settles everyone who waits for more than `capacity`.
    fn refuse(&mut self, capacity: usize) {
        let errands = &mut self.errands;
        self.waiters.for_each(|waiter| match waiter.data {
            Request::Waiting { permits } if permits > capacity => {
                waiter.data = Request::Refused { capacity };
                if let Some(waker) = waiter.waker.take() {
                    errands.push(Errand::Wake(waker));
                }
            }
            _ => {}
        });
    }

    /// The next errand for the one who runs them.
    fn next_errand(&mut self) -> Option<Errand> {
        let errand = self.errands.pop();
        self.running = errand.is_some();
        errand
    }
}

/// `word` after `n` permits were taken, if that is possible.
fn take(word: usize, n: usize) -> Option<usize> {
    if word & QUEUED == 0 && word >> 1 >= n {
        Some(word - (n << 1))
    } else {
        None
    }
}

impl Semaphore {
    #[inline]
    fn try_take(&self, n: usize) -> bool {
        self.word
            .fetch_update(Acq, Relaxed, |word| take(word, n))
            .is_ok()
    }

    #[inline]
    fn give_back(&self, n: usize) {
        if self.word.fetch_add(n << 1, Release) & QUEUED != 0 {
            self.serve();
        }
    }

    /// Takes `n` permits, as far as they are free. Returns how many were not, and if there are any,
    /// raises `QUEUED`.
    fn withdraw(&self, n: usize) -> usize {
        let withdrawn = self.word.fetch_update(Acq, Relaxed, |word| {
            Some(match (word >> 1).checked_sub(n) {
                Some(free) => free << 1 | word & QUEUED,
                None => QUEUED,
            })
        });
        let (Ok(before) | Err(before)) = withdrawn;
        n.saturating_sub(before >> 1)
    }

    #[inline(never)]
    fn serve(&self) {
        self.change(|queue| self.grant(queue));
    }

    /// Changes the queue, and then runs the errands, unless somebody is at it already.
    #[inline]
    fn change(&self, change: impl FnOnce(&mut Queue)) {
        let errand = self.queue.with(|queue| {
            change(queue);
            if queue.running {
                None
            } else {
                queue.next_errand()
            }
        });
        if let Some(errand) = errand {
            self.run_errands(errand);
        }
    }

    /// Runs this errand and all others, until there are none.
    #[inline]
    fn run_errands(&self, errand: Errand) {
        /// Goes on if a panic could not be caught.
        struct Handover<'a>(&'a Semaphore);

        impl Drop for Handover<'_> {
            fn drop(&mut self) {
                if let Some(errand) = self.0.queue.with(Queue::next_errand) {
                    self.0.run_errands(errand);
                }
            }
        }

        let handover = Handover(self);
        sequence(|steps| {
            let mut next = Some(errand);
            while let Some(errand) = next {
                steps.run(|| errand.run());
                next = self.queue.with(Queue::next_errand);
            }
            mem::forget(handover);
        });
    }

    /// Pays what is owed, grants what can be granted, and lowers `QUEUED` if nothing is owed and
    /// nobody waits any more.
    #[inline]
    fn grant(&self, queue: &mut Queue) {
        // Permits that are freed from here on are for whoever freed them to grant.
        let word = self.word.load(Relaxed);
        let paid = queue.owed.min(word >> 1);
        queue.owed -= paid;
        let mut free = (word >> 1) - paid;
        while let Some(key) = queue.head {
            let waiter = queue.waiters.get_mut(key);
            if let Request::Waiting { permits } = waiter.data {
                if permits > free || queue.owed > 0 {
                    break;
                }
                free -= permits;
                waiter.data = Request::Granted { permits };
                if let Some(waker) = waiter.waker.take() {
                    queue.errands.push(Errand::Wake(waker));
                }
            }
            queue.head = queue.waiters.next(key);
        }
        let mut taken = (word & !QUEUED) - (free << 1);
        if queue.head.is_none() && queue.owed == 0 {
            taken |= word & QUEUED;
        }
        if taken != 0 {
            self.word.fetch_sub(taken, Acq);
        }
    }

    /// Enters the queue, or takes the permits after all.
    #[inline]
    fn enter(&self, n: usize, waker: &Waker, place: &mut Place) -> Result<(), TooLarge> {
        // Dropped after unlocking if it is not needed.
        let mut own = Some(waker.clone());
        self.queue.with(|queue| {
            let capacity = self.capacity();
            if n > capacity {
                return Err(TooLarge::new(n, capacity));
            }
            let entered = self.word.fetch_update(Acq, Relaxed, |word| {
                take(word, n).or((word & QUEUED == 0).then_some(word | QUEUED))
            });
            if entered.is_ok_and(|before| before >> 1 >= n) {
                *place = Place::Served;
                return Ok(());
            }
            let key = queue.waiters.push_back(Waiter {
                waker: own.take(),
                data: Request::Waiting { permits: n },
            });
            queue.head.get_or_insert(key);
            *place = Place::Queued(key);
            Ok(())
        })
    }

    /// Leaves the queue if the request was granted or refused; otherwise sees to it that `waker`
    /// will be woken.
    #[inline]
    fn wait(&self, n: usize, key: Key, waker: &Waker, place: &mut Place) -> Result<(), TooLarge> {
        let mut own = None;
        loop {
            let settled = self.queue.with(|queue| {
                let waiter = queue.waiters.get_mut(key);
                if let Request::Waiting { .. } = waiter.data {
                    // Mostly the same task polls again, and nothing needs to be cloned.
                    let known = &mut waiter.waker;
                    if own.is_some() {
                        mem::swap(known, &mut own);
                    } else if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
                        return None;
                    }
                    return Some(Ok(()));
                }
                Some(match queue.waiters.remove(key).data {
                    Request::Refused { capacity } => {
                        *place = Place::Outside;
                        Err(TooLarge::new(n, capacity))
                    }
                    _ => {
                        *place = Place::Served;
                        Ok(())
                    }
                })
            });
            if let Some(settled) = settled {
                return settled;
            }
            own = Some(waker.clone());
        }
    }

    /// Gives up a place in the queue, and the permits if they were granted.
    #[inline(never)]
    fn leave(&self, key: Key) {
        self.change(|queue| {
            if queue.head == Some(key) {
                queue.head = queue.waiters.next(key);
            }
            let waiter = queue.waiters.remove(key);
            if let Request::Granted { permits } = waiter.data {
                self.word.fetch_add(permits << 1, Release);
            }
            self.grant(queue);
            if let Some(waker) = waiter.waker {
                queue.errands.push(Errand::Drop(waker));
            }
        });
    }
}

/// Permits that are in somebody's hands.
struct Held<S>
where
    S: Deref<Target = Semaphore>,
{
    semaphore: S,
    permits: usize,
}

impl<S> Held<S>
where
    S: Deref<Target = Semaphore>,
{
    #[inline]
    fn try_new(semaphore: S, permits: usize) -> Option<Self> {
        if semaphore.try_take(permits) {
            Some(Held { semaphore, permits })
        } else {
            None
        }
    }
}

impl<S> Drop for Held<S>
where
    S: Deref<Target = Semaphore>,
{
    #[inline]
    fn drop(&mut self) {
        self.semaphore.give_back(self.permits);
    }
}

/// Both futures.
struct Acquiring<S>
where
    S: Deref<Target = Semaphore>,
{
    /// `None` when it has completed.
    semaphore: Option<S>,
    permits: usize,
    place: Place,
}

/// How far a request has come.
enum Place {
    /// It has not been polled.
    Outside,
    Queued(Key),
    /// The permits are taken and have not been handed out: the destructor of a waker comes first,
    /// and may panic.
    Served,
}

impl<S> Acquiring<S>
where
    S: Deref<Target = Semaphore>,
{
    fn new(semaphore: S, permits: usize) -> Self {
        Acquiring {
            semaphore: Some(semaphore),
            permits,
            place: Place::Outside,
        }
    }

    #[inline]
    fn poll(&mut self, waker: &Waker) -> Poll<Result<Held<S>, TooLarge>> {
        let semaphore = self.semaphore.as_deref().expect("polled after completion");
        if matches!(self.place, Place::Outside) && semaphore.try_take(self.permits) {
            return Poll::Ready(Ok(self.complete()));
        }
        self.poll_queue(waker)
    }

    #[inline(never)]
    fn poll_queue(&mut self, waker: &Waker) -> Poll<Result<Held<S>, TooLarge>> {
        let semaphore = self.semaphore.as_deref().expect("polled after completion");
        let (n, place) = (self.permits, &mut self.place);
        let settled = match *place {
            Place::Outside => semaphore.enter(n, waker, place),
            Place::Queued(key) => semaphore.wait(n, key, waker, place),
            Place::Served => Ok(()),
        };
        if let Err(error) = settled {
            self.semaphore = None;
            return Poll::Ready(Err(error));
        }
        match self.place {
            Place::Served => Poll::Ready(Ok(self.complete())),
            _ => Poll::Pending,
        }
    }

    /// Hands the permits out, which have been taken.
    #[inline]
    fn complete(&mut self) -> Held<S> {
        self.place = Place::Outside;
        Held {
            semaphore: self.semaphore.take().expect("not completed before"),
            permits: self.permits,
        }
    }
}

impl<S> Drop for Acquiring<S>
where
    S: Deref<Target = Semaphore>,
{
    #[inline]
    fn drop(&mut self) {
        if let Some(semaphore) = &self.semaphore {
            match self.place {
                Place::Outside => {}
                Place::Queued(key) => semaphore.leave(key),
                Place::Served => semaphore.give_back(self.permits),
            }
        }
    }
}
