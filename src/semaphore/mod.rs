//! `Semaphore`: weighted permits, first come, first served.

mod permits;

use core::fmt;
use core::future::Future;
use core::ops::Deref;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use futures::future::FusedFuture;

use crate::error::TooLarge;
use crate::semaphore::permits::{Permits, Place};
use crate::util::sync::{Arc, const_fn};

/// Limits how much is done at once: a number of permits, of which everybody takes as many as the
/// work weighs.
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
    permits: Permits,
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
        #[must_use]
        #[track_caller]
        pub const fn new(permits: usize) -> Self {
            Semaphore {
                permits: Permits::new(permits),
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
        self.permits.capacity()
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
    #[track_caller]
    pub fn set_capacity(&self, permits: usize) {
        self.permits.set_capacity(permits);
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
        self.permits.available()
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
    /// [`TooLarge`], if `n` is more than the [`capacity`](Semaphore::capacity): at once, or when that
    /// is [lowered](Semaphore::set_capacity) while the request waits.
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
    ///
    /// The compiler warns of permits that are thrown away:
    ///
    /// ```compile_fail
    /// #![deny(unused_must_use)]
    /// let semaphore = std::sync::Arc::new(errgroup::Semaphore::new(3));
    /// semaphore.try_acquire_owned(2);
    /// ```
    ///
    /// ```
    /// #![deny(unused_must_use)]
    /// let semaphore = std::sync::Arc::new(errgroup::Semaphore::new(3));
    /// let permit = semaphore.try_acquire_owned(2);
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
        if semaphore.permits.try_take(permits) {
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
        self.semaphore.permits.give_back(self.permits);
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
        if matches!(self.place, Place::Outside) && semaphore.permits.try_take(self.permits) {
            return Poll::Ready(Ok(self.complete()));
        }
        self.poll_queue(waker)
    }

    #[inline(never)]
    fn poll_queue(&mut self, waker: &Waker) -> Poll<Result<Held<S>, TooLarge>> {
        let semaphore = self.semaphore.as_deref().expect("polled after completion");
        let (n, place) = (self.permits, &mut self.place);
        let settled = match *place {
            Place::Outside => semaphore.permits.enter(n, waker, place),
            Place::Queued(key) => semaphore.permits.wait(n, key, waker, place),
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
                Place::Queued(key) => semaphore.permits.leave(key),
                Place::Served => semaphore.permits.give_back(self.permits),
            }
        }
    }
}
