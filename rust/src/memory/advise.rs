//! What the system is told of coming reads of a file that is not mapped.

use std::fs::File;
use std::ops::Range;
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;

/// Tell the system that a range of a file is read soon, or all of it in no order.
#[cfg(target_os = "linux")]
pub(super) fn advise_file(file: &File, soon: Option<Range<usize>>) {
    let advice = if soon.is_some() {
        libc::POSIX_FADV_WILLNEED
    } else {
        libc::POSIX_FADV_RANDOM
    };
    // An empty range at 0 is the whole file.
    let range = soon.unwrap_or(0..0);
    let (Ok(start), Ok(length)) = (range.start.try_into(), range.len().try_into()) else {
        return;
    };
    // SAFETY: the call takes no memory, and `file` keeps its descriptor open.
    let _ = unsafe { libc::posix_fadvise(file.as_raw_fd(), start, length, advice) };
}

/// Elsewhere files are read without advice.
#[cfg(not(target_os = "linux"))]
pub(super) fn advise_file(_: &File, _: Option<Range<usize>>) {}
