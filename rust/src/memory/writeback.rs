//! What the system is asked to do for a file that is about to be written.

use std::fs::File;
use std::ops::Range;

/// Ask for room on the disk for bytes of a file: they are then written in less time.
///
/// Where the disk has no room, or cannot reserve any, whoever writes will see.
#[cfg(target_os = "linux")]
pub(crate) fn reserve(file: &File, bytes: Range<u64>) {
    use std::os::fd::AsRawFd;

    let length = bytes.end.saturating_sub(bytes.start);
    if let (Ok(start), Ok(length @ 1..)) = (i64::try_from(bytes.start), i64::try_from(length)) {
        // SAFETY: the call touches no memory of this process, and the file is open.
        let _ = unsafe { libc::fallocate(file.as_raw_fd(), 0, start, length) };
    }
}

/// Other systems find room when bytes are written.
#[cfg(not(target_os = "linux"))]
pub(crate) fn reserve(_: &File, _: Range<u64>) {}

/// Ask that bytes of a file go to the disk soon, without waiting for them; makes nothing safe.
#[cfg(target_os = "linux")]
pub(crate) fn begin_writeback(file: &File, bytes: Range<u64>) {
    use std::os::fd::AsRawFd;

    let length = bytes.end.saturating_sub(bytes.start);
    let (Ok(start), Ok(length)) = (i64::try_from(bytes.start), i64::try_from(length)) else {
        return;
    };
    // SAFETY: the call touches no memory of this process, and the file is open. A file that knows
    // no writeback refuses; what was not begun early is waited for when the file is synced.
    let _ = unsafe {
        libc::sync_file_range(file.as_raw_fd(), start, length, libc::SYNC_FILE_RANGE_WRITE)
    };
}

/// Other systems begin when they like.
#[cfg(not(target_os = "linux"))]
pub(crate) fn begin_writeback(_: &File, _: Range<u64>) {}
