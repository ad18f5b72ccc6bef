//! `Semaphore`: weighted permits, first come, first served.

use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::ops::Deref;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use futures::future::FusedFuture;

use crate::error::TooLarge;
use crate::util::list::{Key, List};
use crate::util::panic::{Sequence, wake_all};
use crate::util::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire as Acq, Relaxed, Release},
};
use crate::util::sync::{Arc, Lock, const_fn};
use crate::util::waiters::{self, Waiter, Waiters};

/// A number of permits, of which each holder takes as many as its work weighs.
///
/// It is strictly fair: permits are granted in the order in which the futures of
/// [`acquire`](Semaphore::acquire) were first polled. Whoever asks for many holds up those who
/// came later and ask for few, so that no request is passed over for ever.
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
    capacity: usize,
    queue: Lock<Queue>,
}

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
        pub const fn new(permits: usize) -> Self {
            assert!(permits <= usize::MAX / 2, "a semaphore can have at most usize::MAX / 2 permits");
            Semaphore {
                word: AtomicUsize::new(permits << 1),
                capacity: permits,
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
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many permits nobody has at this moment.
    ///
    /// That many need not be to be had: they may be too few for the first who waits.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = errgroup::Semaphore::new(3);
    /// let permit = semaphore.try_acquire(2);
    /// assert_eq!(semaphore.available(), 1);
    /// # drop(permit);
    /// ```
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
    #[inline]
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
    pub fn try_acquire_owned(self: &Arc<Self>, n: usize) -> Option<OwnedPermit> {
        Held::try_new(self.clone(), n).map(OwnedPermit)
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("capacity", &self.capacity)
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

/// Raised in `word` while somebody waits without a grant.
const QUEUED: usize = 1;

/// Those who wait, and those who were granted and do not know it yet.
///
/// # Invariants
///
/// 1. The free permits in `word`, the permits of the `Held`s and those of the granted entries add
///    up to `capacity`: every step moves permits between two of them with one operation on
///    `word`.
/// 2. The granted entries stand before all others. `head` is the first of the others.
/// 3. While the lock is free, `QUEUED` is up exactly if there is a `head`.
/// 4. While `QUEUED` is up, free permits become fewer only under the lock.
/// 5. Whoever frees permits and finds `QUEUED` up, in one operation, locks and grants. So while
///    the lock is free and nobody is on the way to it, the head wants more than is free.
/// 6. No waker is cloned, woken or dropped under the lock.
///
/// # Why no grant is lost
///
/// To begin to wait is one operation on `word`, under the lock, that finds too few permits and
/// raises `QUEUED`. To give back is another. If the first comes first, the second sees `QUEUED`,
/// and finds the entry, because the lock was not free until it was made. If the second comes
/// first, the first sees its permits.
///
/// # Orderings
///
/// Taking permits is `Acquire` and freeing them is `Release`, so that whoever gets a permit sees
/// what its last holder did (`a_permit_hands_on_what_was_written_under_it`). Every change of
/// `word` is a read-modify-write and so continues the release sequences of all before it; those
/// that take or free nothing are `Relaxed`. A grant goes to the one that waits through the lock.
struct Queue {
    waiters: Waiters<Request>,
    head: Option<Key>,
}

struct Request {
    permits: usize,
    granted: bool,
}

impl Queue {
    const fn new() -> Self {
        Queue {
            waiters: List::new(),
            head: None,
        }
    }

    /// If the entry is granted, takes it out; otherwise lends the list in which it stands.
    fn unless_granted(&mut self, key: Key) -> Option<&mut Waiters<Request>> {
        if self.waiters.get_mut(key).data.granted {
            self.waiters.remove(key);
            return None;
        }
        Some(&mut self.waiters)
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

    #[cold]
    fn serve(&self) {
        wake_all(self.queue.with(|queue| self.grant(queue)));
    }

    /// Grants what can be granted, and lowers `QUEUED` if nobody waits any more. Returns the
    /// wakers of those who were served.
    fn grant(&self, queue: &mut Queue) -> impl Iterator<Item = Waker> + use<> {
        let (mut first, mut more) = (None, Vec::new());
        // Permits that are freed from here on are for whoever freed them to grant.
        let word = self.word.load(Relaxed);
        let mut free = word >> 1;
        while let Some(key) = queue.head {
            let waiter = queue.waiters.get_mut(key);
            let Some(rest) = free.checked_sub(waiter.data.permits) else {
                break;
            };
            free = rest;
            waiter.data.granted = true;
            match waiter.waker.take() {
                Some(waker) if first.is_none() => first = Some(waker),
                waker => more.extend(waker),
            }
            queue.head = queue.waiters.next(key);
        }
        let mut taken = word & !QUEUED;
        taken -= free << 1;
        if queue.head.is_none() {
            taken |= word & QUEUED;
        }
        if taken != 0 {
            self.word.fetch_sub(taken, Acq);
        }
        first.into_iter().chain(more)
    }

    /// Enters the queue and returns the place; or takes the permits after all.
    fn enter(&self, waiter: &mut Option<Waiter<Request>>) -> Option<Key> {
        self.queue.with(|queue| {
            let n = waiter.as_ref()?.data.permits;
            let entered = self.word.fetch_update(Acq, Relaxed, |word| {
                Some(take(word, n).unwrap_or(word | QUEUED))
            });
            if entered.is_ok_and(|before| take(before, n).is_some()) {
                return None;
            }
            let key = queue.waiters.push_back(waiter.take()?);
            queue.head.get_or_insert(key);
            Some(key)
        })
    }

    /// Gives up a place in the queue, and the permits if they were granted.
    #[cold]
    fn leave(&self, key: Key) {
        let (waiter, wakers) = self.queue.with(|queue| {
            if queue.head == Some(key) {
                queue.head = queue.waiters.next(key);
            }
            let waiter = queue.waiters.remove(key);
            if waiter.data.granted {
                self.word.fetch_add(waiter.data.permits << 1, Release);
            }
            (waiter, self.grant(queue))
        });
        let mut sequence = Sequence::default();
        for waker in wakers {
            sequence.run(|| waker.wake());
        }
        sequence.run(|| drop(waiter));
        sequence.finish();
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
        if permits <= semaphore.capacity && semaphore.try_take(permits) {
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
    /// The place in the queue, from the first poll that did not complete.
    key: Option<Key>,
}

impl<S> Acquiring<S>
where
    S: Deref<Target = Semaphore>,
{
    fn new(semaphore: S, permits: usize) -> Self {
        Acquiring {
            semaphore: Some(semaphore),
            permits,
            key: None,
        }
    }

    #[inline]
    fn poll(&mut self, waker: &Waker) -> Poll<Result<Held<S>, TooLarge>> {
        let semaphore = self.semaphore.as_deref().expect("polled after completion");
        if self.key.is_none()
            && self.permits <= semaphore.capacity
            && semaphore.try_take(self.permits)
        {
            return Poll::Ready(Ok(self.complete()));
        }
        self.poll_queue(waker)
    }

    #[cold]
    fn poll_queue(&mut self, waker: &Waker) -> Poll<Result<Held<S>, TooLarge>> {
        let semaphore = self.semaphore.as_deref().expect("polled after completion");
        if self.permits > semaphore.capacity {
            let error = TooLarge::new(self.permits, semaphore.capacity);
            self.semaphore = None;
            return Poll::Ready(Err(error));
        }
        // The destructor of a waker may panic: not before the permits are in safe hands.
        if let Some(key) = self.key {
            let queue = &semaphore.queue;
            let (waits, old) =
                waiters::refresh(queue, key, waker, |queue| queue.unless_granted(key));
            if waits {
                return Poll::Pending;
            }
            let held = self.complete();
            drop(old);
            Poll::Ready(Ok(held))
        } else {
            let mut waiter = Some(Waiter {
                waker: Some(waker.clone()),
                data: Request {
                    permits: self.permits,
                    granted: false,
                },
            });
            self.key = semaphore.enter(&mut waiter);
            if self.key.is_some() {
                return Poll::Pending;
            }
            let held = self.complete();
            drop(waiter);
            Poll::Ready(Ok(held))
        }
    }

    /// The permits have been taken, and there is no place in the queue any more.
    #[inline]
    fn complete(&mut self) -> Held<S> {
        self.key = None;
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
        if let (Some(key), Some(semaphore)) = (self.key, &self.semaphore) {
            semaphore.leave(key);
        }
    }
}
