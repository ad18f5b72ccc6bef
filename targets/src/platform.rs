//! What the standard library would do. Whatever is `unsafe` by the rules of the language is here.
#![allow(
    unsafe_code,
    reason = "exported symbols, calls into C, and critical sections are"
)]

use core::panic::PanicInfo;

#[global_allocator]
static MEMORY: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

pub(crate) use sections::were_balanced as sections_were_balanced;

#[cfg(target_family = "wasm")]
mod entry {
    use super::PanicInfo;

    // SAFETY: Nothing else in the module has this name.
    #[unsafe(no_mangle)]
    extern "C" fn run() -> i32 {
        crate::run()
    }

    #[panic_handler]
    fn panic(_: &PanicInfo<'_>) -> ! {
        core::arch::wasm32::unreachable()
    }
}

#[cfg(unix)]
mod entry {
    use alloc::string::ToString;

    use super::PanicInfo;

    // SAFETY: This is the `main` that the C library calls, and there is no other.
    #[unsafe(no_mangle)]
    extern "C" fn main(_: libc::c_int, _: *const *const libc::c_char) -> libc::c_int {
        crate::run()
    }

    #[panic_handler]
    fn panic(info: &PanicInfo<'_>) -> ! {
        let text = info.to_string();
        // SAFETY: The pointer and the length are those of a string that is alive. `_exit` may be
        // called at any time.
        unsafe {
            libc::write(2, text.as_ptr().cast(), text.len());
            libc::_exit(101)
        }
    }
}

/// Critical sections for a program of one thread that no interrupt disturbs. They count, to show
/// that they are used.
#[cfg(feature = "critical-section")]
mod sections {
    use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use critical_section::{Impl, RawRestoreState};

    static ENTERED: AtomicUsize = AtomicUsize::new(0);
    static LEFT: AtomicUsize = AtomicUsize::new(0);

    struct OneThread;
    critical_section::set_impl!(OneThread);

    // SAFETY: There is one thread, and nothing interrupts it.
    unsafe impl Impl for OneThread {
        unsafe fn acquire() -> RawRestoreState {
            ENTERED.fetch_add(1, Relaxed);
        }

        unsafe fn release((): RawRestoreState) {
            LEFT.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn were_balanced() -> bool {
        let entered = ENTERED.load(Relaxed);
        entered > 0 && entered == LEFT.load(Relaxed)
    }
}

#[cfg(not(feature = "critical-section"))]
mod sections {
    pub(crate) fn were_balanced() -> bool {
        true
    }
}
