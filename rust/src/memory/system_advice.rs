//! Hints to the operating system about reads and writes to come. A refused hint only costs speed.

use std::fs::File;
use std::ops::Range;

/// Announce that a range of a file is read soon, or that all of it is read in random order.
#[cfg(target_os = "linux")]
pub(super) fn advise_file(file: &File, soon: Option<Range<usize>>) {
    use std::os::fd::AsRawFd;

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

/// Reserve disk space for bytes of a file, which makes writing them faster.
///
/// Where the disk has no space, or cannot reserve any, the write itself fails or succeeds.
#[cfg(target_os = "linux")]
pub(crate) fn reserve(file: &File, bytes: Range<u64>) {
    use std::os::fd::AsRawFd;

    let length = bytes.end.saturating_sub(bytes.start);
    if let (Ok(start), Ok(length @ 1..)) = (i64::try_from(bytes.start), i64::try_from(length)) {
        // SAFETY: the call touches no memory of this process, and the file is open.
        let _ = unsafe { libc::fallocate(file.as_raw_fd(), 0, start, length) };
    }
}

/// Start writing bytes of a file to the disk without waiting; this is no sync.
#[cfg(target_os = "linux")]
pub(crate) fn start_writeback(file: &File, bytes: Range<u64>) {
    use std::os::fd::AsRawFd;

    let length = bytes.end.saturating_sub(bytes.start);
    let (Ok(start), Ok(length)) = (i64::try_from(bytes.start), i64::try_from(length)) else {
        return;
    };
    // SAFETY: the call touches no memory of this process, and the file is open.
    let _ = unsafe {
        libc::sync_file_range(file.as_raw_fd(), start, length, libc::SYNC_FILE_RANGE_WRITE)
    };
}

/// Other systems are given no hints.
#[cfg(not(target_os = "linux"))]
mod no_advice {
    use super::{File, Range};

    pub(in crate::memory) fn advise_file(_: &File, _: Option<Range<usize>>) {}
    pub(crate) fn reserve(_: &File, _: Range<u64>) {}
    pub(crate) fn start_writeback(_: &File, _: Range<u64>) {}
}
#[cfg(not(target_os = "linux"))]
pub(super) use no_advice::advise_file;
#[cfg(not(target_os = "linux"))]
pub(crate) use no_advice::{reserve, start_writeback};
