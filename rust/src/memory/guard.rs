//! A shard that shrinks under its mapping: missing pages become zeros, and a word of warning.

use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst};

use libc::{c_int, c_void, siginfo_t};

/// A mapped range whose missing pages become zeros instead of the end of the process.
#[derive(Debug)]
pub(super) struct Guard(&'static Region);

/// A range that the signal handler may look at at any time, and hence is never freed.
#[derive(Debug, Default)]
struct Region {
    is_taken: AtomicBool,
    is_broken: AtomicBool,
    start: AtomicUsize,
    end: AtomicUsize,
    next: AtomicPtr<Region>,
}

static FIRST: AtomicPtr<Region> = AtomicPtr::new(ptr::null_mut());
static BEFORE: AtomicPtr<libc::sigaction> = AtomicPtr::new(ptr::null_mut());
static INSTALLED: Once = Once::new();

impl Guard {
    /// Guard mapped memory, until this is dropped.
    pub(super) fn new(map: &[u8]) -> Self {
        INSTALLED.call_once(install);
        let free = regions().find(|region| !region.is_taken.swap(true, SeqCst));
        let region = free.unwrap_or_else(add_region);
        region.is_broken.store(false, SeqCst);
        let addresses = map.as_ptr_range();
        region.end.store(addresses.end.addr(), SeqCst);
        region.start.store(addresses.start.addr(), SeqCst);
        Self(region)
    }

    /// Whether a page was missing.
    pub(super) fn is_broken(&self) -> bool {
        self.0.is_broken.load(SeqCst)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.end.store(0, SeqCst);
        self.0.is_taken.store(false, SeqCst);
    }
}

fn regions() -> impl Iterator<Item = &'static Region> {
    let follow = |link: &AtomicPtr<Region>| {
        // SAFETY: links are null or point to a region of `add_region`, which is never freed.
        unsafe { link.load(SeqCst).as_ref() }
    };
    std::iter::successors(follow(&FIRST), move |region| follow(&region.next))
}

fn add_region() -> &'static Region {
    let region: &'static Region = Box::leak(Box::default());
    region.is_taken.store(true, SeqCst);
    let place = ptr::from_ref(region).cast_mut();
    let mut first = FIRST.load(SeqCst);
    loop {
        region.next.store(first, SeqCst);
        match FIRST.compare_exchange(first, place, SeqCst, SeqCst) {
            Ok(_) => return region,
            Err(now) => first = now,
        }
    }
}

fn install() {
    // SAFETY: `sigaction` only reads and writes the structs that it is given, for which zeros are
    // a value; the handler does nothing that a signal handler may not do.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let before = Box::leak(Box::new(std::mem::zeroed::<libc::sigaction>()));
        action.sa_sigaction = handle as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(libc::SIGBUS, ptr::null(), before);
        BEFORE.store(before, SeqCst);
        libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut());
    }
}

/// Answer a SIGBUS: put a page of zeros where a guarded one is missing, or pass the signal on.
extern "C" fn handle(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the system hands over a valid `info`; `mmap` and `sysconf` are system calls that
    // take no lock, and the page lies in a mapping that its owner keeps while the guard lives.
    unsafe {
        let address = (*info).si_addr().addr();
        let is_inside = |region: &&Region| {
            (region.start.load(SeqCst)..region.end.load(SeqCst)).contains(&address)
        };
        let size = usize::try_from(libc::sysconf(libc::_SC_PAGESIZE)).unwrap_or(4096);
        if let Some(region) = regions().find(is_inside) {
            let page = (*info).si_addr().map_addr(|address| address & !(size - 1));
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
            if libc::mmap(page, size, libc::PROT_READ, flags, -1, 0) != libc::MAP_FAILED {
                region.is_broken.store(true, SeqCst);
                return;
            }
        }
        pass_on(signal, info, context);
    }
}

/// Do what would have been done without a guard.
///
/// # Safety
/// Called by a signal handler with what it was given.
unsafe fn pass_on(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: `install` stored what `sigaction` told, so that a handler is one of its kind; with
    // the default in place the instruction faults once more, and the process ends as it would.
    unsafe {
        let before = &*BEFORE.load(SeqCst);
        match before.sa_sigaction {
            libc::SIG_DFL | libc::SIG_IGN => {
                libc::sigaction(signal, before, ptr::null_mut());
            }
            handler if before.sa_flags & libc::SA_SIGINFO != 0 => {
                let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
                    std::mem::transmute(handler);
                handler(signal, info, context);
            }
            handler => {
                let handler: extern "C" fn(c_int) = std::mem::transmute(handler);
                handler(signal);
            }
        }
    }
}
