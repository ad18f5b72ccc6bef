//! What differs between `std`, `no_std` and loom. No other file has such a switch.
//!
//! `--cfg errgroup_loom`, with `std` alone, puts the atomics and locks into the hands of loom. The
//! package in `models` sets it, whose tests are `cargo test --release -p errgroup-models`. It is
//! not `--cfg loom`, to which dependencies of ours react too. `Arc` and `Weak` stay alloc's: loom's
//! make no wakers, and what they count decides nothing here but when memory is freed.

pub(crate) use alloc::sync::{Arc, Weak};

pub(crate) use imp::{Lock, Payload, catch, panicking, resume};
#[cfg(not(errgroup_loom))]
pub(crate) use imp::{SetOnce, TryLock};

#[cfg(not(errgroup_loom))]
pub(crate) use core::sync::atomic;
#[cfg(errgroup_loom)]
pub(crate) use loom::sync::atomic;

#[cfg(errgroup_loom)]
pub(crate) use self::model::{Event, EventListener, SLOTS, SetOnce, TryLock, seed};
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
#[path = "../../models/stand_ins.rs"]
mod model;

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
    #[cfg(not(errgroup_loom))]
    use std::sync::OnceLock;
    use std::sync::PoisonError;

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
    #[cfg(not(errgroup_loom))]
    pub(crate) struct SetOnce<T>(OnceLock<T>);

    #[cfg(not(errgroup_loom))]
    impl<T> SetOnce<T> {
        pub(crate) fn new() -> Self {
            SetOnce(OnceLock::new())
        }

        pub(crate) fn get(&self) -> Option<&T> {
            self.0.get()
        }

        pub(crate) fn set(&self, value: T) {
            _ = self.0.set(value);
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
