//! What differs between `std`, `no_std` and loom. No other file has such a switch.
//!
//! `--cfg errgroup_loom`, with `std` alone, puts the atomics and locks into the hands of loom. The
//! package in `models` sets it, whose tests are `cargo test --release -p errgroup-models`. It is
//! not `--cfg loom`, to which dependencies of ours react too. `Arc` and `Weak` stay alloc's: loom's
//! make no wakers, and what they count decides nothing here but when memory is freed.

pub(crate) use alloc::sync::{Arc, Weak};

#[cfg(not(errgroup_loom))]
pub(crate) use imp::TryLock;
pub(crate) use imp::{Lock, Payload, SetOnce, catch, panicking, resume};

#[cfg(not(errgroup_loom))]
pub(crate) use core::sync::atomic;
#[cfg(errgroup_loom)]
pub(crate) use loom::sync::atomic;

#[cfg(errgroup_loom)]
pub(crate) use self::model::{Event, EventListener, SLOTS, TryLock, seed};
#[cfg(not(errgroup_loom))]
pub(crate) use event_listener::{Event, EventListener};

/// How many tasks a chunk has: one for each bit of a word.
#[cfg(not(errgroup_loom))]
pub(crate) const SLOTS: usize = usize::BITS as usize;

/// A number that others do not have.
#[cfg(not(errgroup_loom))]
pub(crate) fn seed<T>(place: &T) -> usize {
    core::ptr::from_ref(place).addr()
}

/// What only loom needs: stand-ins for what is made of atomics that it would not see.
#[cfg(errgroup_loom)]
mod model {
    use alloc::collections::BTreeMap;
    use core::future::Future;
    use core::mem;
    use core::pin::Pin;
    use core::task::{Context, Poll, Waker};

    use super::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
    use super::atomic::{AtomicBool, AtomicUsize};
    use super::{Arc, Lock};

    /// So few that four tasks make a second chunk, which has place for two.
    pub(crate) const SLOTS: usize = 3;

    /// The same each time: a model must do the same whenever the order is the same.
    pub(crate) fn seed<T>(_: &T) -> usize {
        0x9e3779b9
    }

    /// Promises what that of event-listener does, and no more: whoever listens is notified, or sees
    /// what was done before a notification that missed him; wakers are woken, cloned and dropped
    /// while the list is locked; a listener that is dropped hands its notification on. Who finds the
    /// list locked may leave his notification to the one who has it.
    #[derive(Default)]
    pub(crate) struct Event(Arc<List>);

    #[derive(Default)]
    struct List {
        listeners: Lock<Listeners>,
        /// How many are to be notified.
        left: AtomicUsize,
    }

    #[derive(Default)]
    struct Listeners {
        next: usize,
        /// In the order in which they came.
        states: BTreeMap<usize, State>,
    }

    enum State {
        Waiting(Option<Waker>),
        Notified,
    }

    pub(crate) struct EventListener {
        number: usize,
        list: Arc<List>,
    }

    impl Event {
        pub(crate) fn listen(&self) -> EventListener {
            let number = self.0.with(|listeners| {
                listeners.next += 1;
                let state = State::Waiting(None);
                listeners.states.insert(listeners.next, state);
                listeners.next
            });
            EventListener {
                number,
                list: self.0.clone(),
            }
        }

        pub(crate) fn notify(&self, count: usize) {
            self.0.left.fetch_max(count, AcqRel);
            self.0.notify_left();
        }
    }

    impl List {
        fn with<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> R {
            let result = self.listeners.with(f);
            self.notify_left();
            result
        }

        fn notify_left(&self) {
            let is_left = || self.left.fetch_add(0, AcqRel) > 0;
            let notify = |listeners: &mut Listeners| listeners.notify(self.left.swap(0, AcqRel));
            while is_left() && self.listeners.try_with(notify).is_some() {}
        }
    }

    impl Listeners {
        fn notify(&mut self, count: usize) {
            let is_waiting = |state: &&mut State| matches!(state, State::Waiting(_));
            for state in self.states.values_mut().filter(is_waiting).take(count) {
                if let State::Waiting(Some(waker)) = mem::replace(state, State::Notified) {
                    waker.wake();
                }
            }
        }
    }

    impl Future for EventListener {
        type Output = ();

        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            self.list.with(|listeners| {
                let state = listeners.states.get_mut(&self.number);
                if let Some(State::Waiting(waker)) = state {
                    *waker = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                listeners.states.remove(&self.number);
                Poll::Ready(())
            })
        }
    }

    impl Drop for EventListener {
        fn drop(&mut self) {
            self.list.with(|listeners| {
                if let Some(State::Notified) = listeners.states.remove(&self.number) {
                    listeners.notify(1);
                }
            });
        }
    }

    /// A lock for which nobody waits. Who finds it taken has seen so without any order, and perhaps
    /// as it was before: a compare-exchange that fails is no more than that, though loom's is.
    #[derive(Default)]
    pub(crate) struct TryLock<T> {
        is_taken: AtomicBool,
        value: std::sync::Mutex<T>,
    }

    impl<T> TryLock<T> {
        pub(crate) fn try_with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
            let flag = &self.is_taken;
            let take = || flag.compare_exchange(false, true, Acquire, Relaxed);
            if flag.load(Relaxed) || take().is_err() {
                // Or loom would go on for ever with who looks again and again.
                loom::thread::yield_now();
                return None;
            }
            let result = f(&mut self.value.lock().expect("nothing panics here"));
            flag.store(false, Release);
            Some(result)
        }
    }
}

/// Items that exist only with the feature `std`.
macro_rules! std_only {
    ($($item:item)*) => {
        $(
            #[cfg(feature = "std")]
            #[cfg_attr(docsrs, doc(cfg(feature = "std")))]
            $item
        )*
    };
}
pub(crate) use std_only;

/// A `const fn`; except for loom, whose atomics and locks cannot be made at compile time.
macro_rules! const_fn {
    ($(#[$attribute:meta])* $vis:vis const fn $($rest:tt)*) => {
        #[cfg(not(errgroup_loom))]
        $(#[$attribute])* $vis const fn $($rest)*
        #[cfg(errgroup_loom)]
        $(#[$attribute])* $vis fn $($rest)*
    };
}
pub(crate) use const_fn;

impl<T: Default> Default for Lock<T> {
    fn default() -> Self {
        Lock::new(T::default())
    }
}

impl<T> Default for SetOnce<T> {
    fn default() -> Self {
        SetOnce::new()
    }
}

/// As with std's mutex. Only our own code runs while it is locked.
impl<T> core::panic::RefUnwindSafe for Lock<T> {}

/// It is set once, whole.
impl<T: core::panic::RefUnwindSafe> core::panic::RefUnwindSafe for SetOnce<T> {}
impl<T: core::panic::UnwindSafe> core::panic::UnwindSafe for SetOnce<T> {}

/// Everything that stands on the standard library.
///
/// `Lock` gives its value to a closure and to nobody else, so that a lock and a critical
/// section can stand behind the same name. No closure may run code of the user: no poll, no
/// wake, no clone or drop of a waker, no destructor of a future or value.
#[cfg(feature = "std")]
mod imp {
    use alloc::boxed::Box;
    use std::any::Any;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    #[cfg(errgroup_loom)]
    use loom::sync::Mutex;
    #[cfg(not(errgroup_loom))]
    use std::sync::Mutex;
    use std::sync::{OnceLock, PoisonError};

    pub(crate) struct Lock<T>(Mutex<T>);

    impl<T> Lock<T> {
        super::const_fn! {
            pub(crate) const fn new(value: T) -> Self {
                Lock(Mutex::new(value))
            }
        }

        pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
            f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }

        /// `None` if the lock is taken.
        pub(crate) fn try_with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
            self.0.try_lock().ok().map(|mut value| f(&mut value))
        }

        pub(crate) fn get_mut(&mut self) -> &mut T {
            self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// A lock for which nobody waits, so that who lets it go need not look for anybody.
    #[cfg(not(errgroup_loom))]
    #[derive(Default)]
    pub(crate) struct TryLock<T>(spin::Mutex<T>);

    #[cfg(not(errgroup_loom))]
    impl<T> TryLock<T> {
        /// `None` if the lock is taken.
        pub(crate) fn try_with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
            self.0.try_lock().map(|mut value| f(&mut value))
        }
    }

    /// As for a `Lock`.
    #[cfg(not(errgroup_loom))]
    impl<T> core::panic::RefUnwindSafe for TryLock<T> {}

    /// A value that is set once, and then read without a lock. Of several who set it the first wins.
    pub(crate) struct SetOnce<T> {
        value: OnceLock<T>,
        /// Shows loom what `value` does inside: a load that acquires, a store that releases.
        #[cfg(errgroup_loom)]
        is_set: super::atomic::AtomicBool,
        /// Orders nothing. Of those who loaded before a store loom remembers the last alone, and
        /// if that is the storing thread, tries no other order; of changes it forgets none.
        #[cfg(errgroup_loom)]
        touched: super::atomic::AtomicBool,
    }

    #[cfg(not(errgroup_loom))]
    impl<T> SetOnce<T> {
        pub(crate) fn new() -> Self {
            let value = OnceLock::new();
            SetOnce { value }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            self.value.get()
        }

        pub(crate) fn set(&self, value: T) {
            _ = self.value.set(value);
        }
    }

    #[cfg(errgroup_loom)]
    impl<T> SetOnce<T> {
        pub(crate) fn new() -> Self {
            SetOnce {
                value: OnceLock::new(),
                is_set: super::atomic::AtomicBool::new(false),
                touched: super::atomic::AtomicBool::new(false),
            }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            self.touch();
            let is_set = self.is_set.load(super::atomic::Ordering::Acquire);
            is_set.then(|| self.value.get()).flatten()
        }

        pub(crate) fn set(&self, value: T) {
            _ = self.value.set(value);
            self.touch();
            self.is_set.store(true, super::atomic::Ordering::Release);
        }

        fn touch(&self) {
            self.touched.swap(true, super::atomic::Ordering::Relaxed);
        }
    }

    /// What a panic carries.
    pub(crate) type Payload = Box<dyn Any + Send>;

    pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Payload> {
        catch_unwind(AssertUnwindSafe(f))
    }

    pub(crate) fn resume(payload: Payload) -> ! {
        resume_unwind(payload)
    }

    pub(crate) fn panicking() -> bool {
        std::thread::panicking()
    }
}

#[cfg(not(feature = "std"))]
mod imp {
    use alloc::boxed::Box;
    use core::convert::Infallible;

    pub(crate) use self::Lock as TryLock;
    #[cfg(feature = "critical-section")]
    pub(crate) use self::section::Lock;
    #[cfg(not(feature = "critical-section"))]
    pub(crate) use self::spinning::Lock;

    #[cfg(not(feature = "critical-section"))]
    mod spinning {
        pub(crate) struct Lock<T>(spin::Mutex<T>);

        impl<T> Lock<T> {
            pub(crate) const fn new(value: T) -> Self {
                Lock(spin::Mutex::new(value))
            }

            pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
                f(&mut self.0.lock())
            }

            pub(crate) fn try_with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
                self.0.try_lock().map(|mut value| f(&mut value))
            }

            pub(crate) fn get_mut(&mut self) -> &mut T {
                self.0.get_mut()
            }
        }
    }

    #[cfg(feature = "critical-section")]
    mod section {
        use core::cell::RefCell;
        use critical_section::Mutex;

        pub(crate) struct Lock<T>(Mutex<RefCell<T>>);

        impl<T> Lock<T> {
            pub(crate) const fn new(value: T) -> Self {
                Lock(Mutex::new(RefCell::new(value)))
            }

            pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
                critical_section::with(|section| f(&mut self.0.borrow_ref_mut(section)))
            }

            pub(crate) fn try_with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
                critical_section::with(|section| {
                    let mut value = self.0.borrow(section).try_borrow_mut().ok()?;
                    Some(f(&mut value))
                })
            }

            pub(crate) fn get_mut(&mut self) -> &mut T {
                self.0.get_mut().get_mut()
            }
        }
    }

    pub(crate) struct SetOnce<T>(spin::Once<T>);

    impl<T> SetOnce<T> {
        pub(crate) fn new() -> Self {
            SetOnce(spin::Once::new())
        }

        pub(crate) fn get(&self) -> Option<&T> {
            self.0.get()
        }

        pub(crate) fn set(&self, value: T) {
            self.0.call_once(|| value);
        }
    }

    /// Without `std` no panic can be caught.
    pub(crate) struct Payload(Box<Infallible>);

    pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Payload> {
        Ok(f())
    }

    pub(crate) fn resume(payload: Payload) -> ! {
        match *payload.0 {}
    }

    pub(crate) fn panicking() -> bool {
        false
    }
}
