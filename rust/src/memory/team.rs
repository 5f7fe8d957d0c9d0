//! Threads that work together: those of the OpenMP library that torch brings, if there is one.

use std::ffi::{c_uint, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::thread;

/// Have as many threads do the same work at once, and wait for all of them.
///
/// After each of torch's operators its threads go on spinning for a while; beside them threads of
/// our own would get half of a core. Whoever is given this work has to share it.
pub(crate) fn together(threads: usize, work: impl Fn() + Sync) {
    if threads <= 1 {
        return work();
    }
    let panic = Mutex::new(None);
    let guarded = || {
        // A panic must not leave a function that C calls.
        if let Err(reason) = catch_unwind(AssertUnwindSafe(&work))
            && let Ok(mut panic) = panic.lock()
        {
            *panic = Some(reason);
        }
    };
    if !with_openmp(threads, &guarded) {
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(guarded);
            }
            guarded();
        });
    }
    if let Some(reason) = panic.into_inner().ok().flatten() {
        resume_unwind(reason);
    }
}

#[cfg(target_os = "linux")]
type Parallel =
    unsafe extern "C" fn(unsafe extern "C" fn(*mut c_void), *mut c_void, c_uint, c_uint);

#[cfg(target_os = "linux")]
fn with_openmp<W: Fn() + Sync>(threads: usize, work: &W) -> bool {
    unsafe extern "C" fn call<W: Fn() + Sync>(work: *mut c_void) {
        // SAFETY: this is the `work` below, which outlives the call of `parallel`; it is shared by
        // threads, as `Sync` allows, and changed by nobody.
        unsafe { (*work.cast::<W>().cast_const())() };
    }

    // SAFETY: a library that is already loaded is found by its name, and nothing is loaded; the
    // names end with a zero. It is never closed, so that its functions stay where they are.
    let symbol = unsafe {
        let library = libc::dlopen(
            c"libgomp.so.1".as_ptr(),
            libc::RTLD_NOLOAD | libc::RTLD_LAZY,
        );
        if library.is_null() {
            return false;
        }
        libc::dlsym(library, c"GOMP_parallel".as_ptr())
    };
    if symbol.is_null() {
        return false;
    }
    // SAFETY: under this name libgomp, and what stands in for it, has had a function of this type
    // since version 4 of its interface: work, its argument, the number of threads, and no flags. It
    // returns once every thread has returned from the work.
    unsafe {
        let parallel = std::mem::transmute::<*mut c_void, Parallel>(symbol);
        let threads = c_uint::try_from(threads).unwrap_or(1);
        parallel(
            call::<W>,
            std::ptr::from_ref(work).cast_mut().cast(),
            threads,
            0,
        );
    }
    true
}

#[cfg(not(target_os = "linux"))]
fn with_openmp<W: Fn() + Sync>(_: usize, _: &W) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn every_thread_does_the_work_and_a_panic_of_one_is_told_once_all_are_done() {
        let count = AtomicUsize::new(0);
        together(3, || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.load(Ordering::Relaxed), 3);
        let failed = catch_unwind(AssertUnwindSafe(|| {
            together(3, || {
                assert!(count.fetch_add(1, Ordering::Relaxed) != 4, "the second one");
            });
        }));
        assert!(failed.is_err());
        assert_eq!(count.load(Ordering::Relaxed), 6);
    }
}
