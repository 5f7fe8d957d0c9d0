//! The handler of SIGBUS: pages that a mapped file has lost become zeros, and are reported.

use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst};

use libc::{c_int, c_void, siginfo_t};

/// A mapped range whose missing pages become zeros instead of killing the process.
#[derive(Debug)]
pub(super) struct BusGuard(&'static Region);

/// A range that the signal handler may read at any time, and that is therefore never freed.
#[derive(Debug, Default)]
struct Region {
    is_taken: AtomicBool,
    is_broken: AtomicBool,
    start: AtomicUsize,
    end: AtomicUsize,
    next: AtomicPtr<Region>,
}

static FIRST: AtomicPtr<Region> = AtomicPtr::new(ptr::null_mut());
static PREVIOUS: AtomicPtr<libc::sigaction> = AtomicPtr::new(ptr::null_mut());
static INSTALLED: Once = Once::new();

impl BusGuard {
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

impl Drop for BusGuard {
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
        PREVIOUS.store(before, SeqCst);
        libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut());
    }
}

/// Handle a SIGBUS: map a page of zeros where a guarded one is missing, or pass the signal on.
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

/// Do what the process would do without this handler.
///
/// # Safety
/// Called by a signal handler with what it was given.
unsafe fn pass_on(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: `install` stored what `sigaction` returned, so the handler has the type that its
    // flags state; with the default restored the instruction faults again and ends the process.
    unsafe {
        let before = &*PREVIOUS.load(SeqCst);
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
