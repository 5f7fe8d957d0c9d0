//! A read-only file whose ranges are mapped into memory, or read into a buffer.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use memmap2::{Advice, Mmap};

use super::bus_guard::BusGuard;
use super::system_advice::advise_file;
use crate::error::{Error, Result};

/// How the bytes of a file are accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Map the file into memory; falls back to reading where the file system cannot map.
    Map,
    /// Read ranges into a buffer.
    Read,
}

/// A read-only file whose ranges are mapped or read.
#[derive(Debug)]
pub struct RangeFile {
    path: PathBuf,
    file: File,
    num_bytes: u64,
    // Declared before the map, and hence dropped before it.
    guard: Option<BusGuard>,
    map: Option<Mmap>,
}

impl RangeFile {
    /// Open the file at `path`.
    ///
    /// # Errors
    /// The file does not exist, cannot be read, or is empty.
    pub fn open(path: &Path, access: Access) -> Result<Self> {
        let failed = |source| Error::io(path, source);
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(failed(ErrorKind::IsADirectory.into()));
        }
        if metadata.len() == 0 {
            return Err(Error::cut_short(path, "it is empty"));
        }
        let map = match access {
            Access::Read => None,
            Access::Map => map_file(&file).map_err(failed)?,
        };
        if let Some(map) = &map {
            // Pages around a fault belong to other windows; what is needed is requested explicitly.
            let _ = map.advise(Advice::Random);
        } else {
            advise_file(&file, None);
        }
        Ok(Self {
            path: path.to_path_buf(),
            file,
            num_bytes: metadata.len(),
            guard: map.as_ref().map(|map| BusGuard::new(map)),
            map,
        })
    }

    /// The path that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length when it was opened.
    pub fn num_bytes(&self) -> u64 {
        self.num_bytes
    }

    /// Whether the file is mapped; else its ranges are read.
    pub fn is_mapped(&self) -> bool {
        self.map.is_some()
    }

    /// A range of the file: of the map, or read into `buffer`.
    ///
    /// # Errors
    /// The file cannot be read.
    ///
    /// # Panics
    /// The range lies beyond the length at opening.
    pub fn bytes<'a>(&'a self, range: Range<usize>, buffer: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        if let Some(map) = &self.map {
            return Ok(&map[range]);
        }
        buffer.resize(range.len(), 0);
        self.file
            .read_exact_at(buffer, range.start as u64)
            .map_err(|source| Error::io(&self.path, source))?;
        Ok(buffer)
    }

    /// Check that the file is still as long as it was.
    ///
    /// # Errors
    /// It is shorter, or its length cannot be determined.
    pub fn check_size(&self) -> Result<()> {
        let metadata = self.file.metadata();
        let now = metadata
            .map_err(|source| Error::io(&self.path, source))?
            .len();
        let then = self.num_bytes;
        if now < then {
            let reason = format!("it shrank while it was open: from {then} to {now} bytes");
            return Err(Error::damaged(&self.path, reason));
        }
        Ok(())
    }

    /// Check that no page of the map was missing when it was read.
    ///
    /// # Errors
    /// A page could not be read.
    pub fn check_pages(&self) -> Result<()> {
        if self.guard.as_ref().is_some_and(BusGuard::is_broken) {
            self.check_size()?;
            let reason = "it shrank or became unreadable while it was read";
            return Err(Error::damaged(&self.path, reason));
        }
        Ok(())
    }

    /// Ask the system to read a range soon. A refusal only costs speed.
    pub fn advise(&self, range: Range<usize>) {
        if let Some(map) = &self.map {
            // The advice is a hint that a file system may not know; reading works without it.
            let _ = map.advise_range(Advice::WillNeed, range.start, range.len());
        } else {
            advise_file(&self.file, Some(range));
        }
    }
}

/// Map a whole file into memory; None where its file system cannot.
fn map_file(file: &File) -> io::Result<Option<Mmap>> {
    // SAFETY: the mapping is private to `RangeFile` and read only. Writers of shards rename
    // complete files into place and never change them again, so the file keeps its size. Where
    // another program truncates it, `check_size` reports that before the next window, and
    // `BusGuard` maps zeros in place of missing pages, so that reading them is an error and does
    // not kill the process.
    match unsafe { Mmap::map(file) } {
        Ok(map) => Ok(Some(map)),
        Err(error) if error.raw_os_error().is_some_and(is_unmappable) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether an error of the system means that files of this kind cannot be mapped.
///
/// `omnimouse_cli/shard/read.py` has the same list, and `batch/sessions.py` warns the user.
fn is_unmappable(error: i32) -> bool {
    [
        libc::ENODEV,
        libc::EACCES,
        libc::EINVAL,
        libc::ENOSYS,
        libc::EOPNOTSUPP,
    ]
    .contains(&error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("omnimouse-{name}-{}", std::process::id()))
    }

    fn cut(path: &Path, num_bytes: u64) {
        let file = File::options().write(true).open(path).expect("a file");
        file.set_len(num_bytes).expect("cut");
    }

    #[test]
    fn missing_and_empty_files_and_folders_are_errors() {
        let folder = scratch("memory");
        std::fs::create_dir_all(&folder).expect("a folder");
        let empty = folder.join("empty");
        std::fs::write(&empty, b"").expect("a file");
        for access in [Access::Map, Access::Read] {
            for path in [&empty, &folder] {
                let error = RangeFile::open(path, access).expect_err("refused");
                assert!(
                    matches!(error, Error::CutShort { .. } | Error::Io { .. }),
                    "{error}"
                );
            }
            let missing = RangeFile::open(&folder.join("missing"), access);
            assert!(matches!(missing, Err(Error::Io { .. })));
        }
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn mapped_and_read_ranges_are_the_same_bytes() {
        let path = scratch("ranges");
        let whole: Vec<u8> = (0..20_000_u32).map(|place| (place % 251) as u8).collect();
        std::fs::write(&path, &whole).expect("a file");
        for access in [Access::Map, Access::Read] {
            let file = RangeFile::open(&path, access).expect("a file");
            assert_eq!(file.num_bytes(), 20_000);
            assert_eq!(file.is_mapped(), access == Access::Map);
            let mut buffer = Vec::new();
            for range in [0..1, 4095..4097, 19_999..20_000, 7..7, 0..20_000] {
                file.advise(range.clone());
                let bytes = file.bytes(range.clone(), &mut buffer).expect("bytes");
                assert_eq!(bytes, &whole[range]);
            }
            file.check_pages().expect("whole");
        }
        std::fs::remove_file(&path).expect("removed");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_cannot_be_mapped_is_read() {
        // A file whose length is not 0 and which the kernel reads, but does not map.
        let path = Path::new("/sys/kernel/uevent_seqnum");
        let Ok(content) = std::fs::read(path) else {
            return;
        };
        let file = RangeFile::open(path, Access::Map).expect("read");
        assert!(!file.is_mapped());
        let mut buffer = Vec::new();
        file.advise(0..1);
        let first = file.bytes(0..1, &mut buffer).expect("a digit");
        assert_eq!(first, &content[..1]);
        file.check_pages().expect("nothing is mapped");
        let beyond = file
            .bytes(4000..4001, &mut buffer)
            .expect_err("it is shorter");
        assert!(beyond.to_string().contains("uevent_seqnum"), "{beyond}");
    }

    #[test]
    fn other_errors_of_mapping_stay_errors() {
        for error in [libc::ENOMEM, libc::EAGAIN, libc::EPERM, libc::EMFILE] {
            assert!(!is_unmappable(error));
        }
        for error in [libc::ENODEV, libc::EINVAL] {
            assert!(is_unmappable(error));
        }
    }

    #[test]
    fn a_file_that_shrinks_is_noticed() {
        let path = scratch("shrink");
        std::fs::write(&path, vec![7; 10_000]).expect("a file");
        let files = [Access::Map, Access::Read].map(|access| RangeFile::open(&path, access));
        cut(&path, 9999);
        for file in files {
            let message = file
                .expect("a file")
                .check_size()
                .expect_err("cut")
                .to_string();
            assert!(message.contains("shrank") && message.contains("omnimouse-shrink"));
        }
        std::fs::remove_file(&path).expect("removed");
    }

    #[test]
    fn missing_pages_are_zeros_and_an_error_and_do_not_kill_the_process() {
        let path = scratch("gone");
        for _ in 0..3 {
            std::fs::write(&path, vec![7; 1_000_000]).expect("a file");
            let file = RangeFile::open(&path, Access::Map).expect("mapped");
            let other = RangeFile::open(&path, Access::Map).expect("mapped");
            cut(&path, 100);
            let mut buffer = Vec::new();
            let bytes = file.bytes(0..1_000_000, &mut buffer).expect("mapped");
            assert!(bytes[..100].iter().all(|byte| *byte == 7));
            assert!(bytes[100..].iter().all(|byte| *byte == 0));
            let message = file.check_pages().expect_err("gone").to_string();
            assert!(message.contains("shrank") && message.contains("omnimouse-gone"));
            other.check_pages().expect("nothing of it was read");
        }
        std::fs::remove_file(&path).expect("removed");
    }
}
