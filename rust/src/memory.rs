//! The crate's only unsafe code: files mapped, memory that Python allocated, wide instructions.

use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::{Advice, Mmap};

use crate::error::{Error, Result};

/// A file mapped into memory, read only.
#[derive(Debug)]
pub struct MappedFile {
    path: PathBuf,
    file: File,
    map: Mmap,
}

impl MappedFile {
    /// Map the whole file at `path`.
    ///
    /// # Errors
    /// The file does not exist, cannot be read or is empty.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::io(path, source))?;
        let metadata = file.metadata().map_err(|source| Error::io(path, source))?;
        if !metadata.is_file() {
            return Err(Error::damaged(path, "it is not a file"));
        }
        if metadata.len() == 0 {
            return Err(Error::damaged(path, "it is empty"));
        }
        // SAFETY: the mapping is private to this struct and read only. That the file keeps its
        // size while it is read is promised by the writers of shards, who rename complete files
        // into place and never touch them again; `check_size` is called before every window, so
        // that a shard that somebody cut short all the same becomes an error.
        let map = unsafe { Mmap::map(&file) }.map_err(|source| Error::io(path, source))?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
            map,
        })
    }

    /// Where the file was when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Check that the file is still as long as its mapping.
    ///
    /// # Errors
    /// It is shorter, or cannot be asked.
    pub fn check_size(&self) -> Result<()> {
        let metadata = self.file.metadata();
        let now = metadata
            .map_err(|source| Error::io(&self.path, source))?
            .len();
        let then = self.map.len() as u64;
        if now < then {
            let reason = format!("it shrank while it was open: from {then} to {now} bytes");
            return Err(Error::damaged(&self.path, reason));
        }
        Ok(())
    }

    /// Ask the system to read a range soon, in one go. A refusal only costs speed.
    pub fn advise(&self, start: usize, length: usize) {
        // The advice is a hint that a file system may not know; reading works without it.
        let _ = self.map.advise_range(Advice::WillNeed, start, length);
    }
}

/// Work that is compiled twice: for every processor of its kind, and for its wider instructions.
///
/// What `run` calls must be inlined into it to be compiled for them.
pub(crate) trait Accelerated {
    /// Do the work; `FUSED` says that multiplying and adding at once is one instruction.
    fn run<const FUSED: bool>(self);
}

/// Do the work with the widest instructions that this processor has.
pub(crate) fn accelerated(work: impl Accelerated) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the two lines above have seen that the processor has these instructions.
        return unsafe { with_avx2(work) };
    }
    work.run::<{ cfg!(target_arch = "aarch64") }>();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn with_avx2(work: impl Accelerated) {
    work.run::<true>();
}

#[cfg(feature = "python")]
mod exported {
    use pyo3::buffer::{Element, PyBuffer};
    use pyo3::exceptions::PyValueError;
    use pyo3::prelude::*;

    /// Memory that a Python object exports for writing, held for as long as this lives.
    pub(crate) struct Exported<T: Element>(PyBuffer<T>);

    impl<T: Element> Exported<T> {
        /// Take the memory of `object`, which must be contiguous, writable and of type `T`.
        pub(crate) fn new(name: &str, object: &Bound<'_, PyAny>) -> PyResult<Self> {
            let buffer = PyBuffer::<T>::get(object)
                .map_err(|error| PyValueError::new_err(format!("`{name}`: {error}")))?;
            if buffer.readonly() || !buffer.is_c_contiguous() {
                let message = format!("`{name}` must be contiguous and writable");
                return Err(PyValueError::new_err(message));
            }
            Ok(Self(buffer))
        }

        /// The memory.
        pub(crate) fn as_slice(&self) -> &[T] {
            match self.0.as_slice_ptr() {
                // SAFETY: the exporter keeps the memory in place until the buffer is released,
                // which `self` prevents. Nobody writes meanwhile: within this crate `&self`
                // excludes it, and `omnimouse_cli/batch/loader.py` hands a slot's memory to its
                // callers only while the slot is not with the loader.
                Some(memory) => unsafe { memory.as_ref() },
                None => &[],
            }
        }

        /// The memory, for writing.
        pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
            match self.0.as_slice_ptr() {
                // SAFETY: as above, with `&mut self` in place of `&self`; that the memory is
                // writable was checked at construction.
                Some(mut memory) => unsafe { memory.as_mut() },
                None => &mut [],
            }
        }
    }
}

#[cfg(feature = "python")]
mod rows {
    use pyo3::buffer::PyBuffer;
    use pyo3::exceptions::PyValueError;
    use pyo3::prelude::*;

    /// Rows of float32 that a Python object exports for reading, each without gaps.
    pub(crate) struct ExportedRows(PyBuffer<f32>);

    impl ExportedRows {
        /// Take the memory of `object`, which must have two dimensions and no gaps in its rows.
        pub(crate) fn new(name: &str, object: &Bound<'_, PyAny>) -> PyResult<Self> {
            let buffer = PyBuffer::<f32>::get(object)
                .map_err(|error| PyValueError::new_err(format!("`{name}`: {error}")))?;
            let is_aligned = buffer.buf_ptr().cast::<f32>().is_aligned();
            let has_rows = match (buffer.shape(), buffer.strides()) {
                ([rows, columns], [step, inner]) => {
                    let touching = isize::try_from(4 * *columns).is_ok_and(|row| *step >= row);
                    (*columns <= 1 || *inner == 4) && (*rows <= 1 || touching && step % 4 == 0)
                }
                _ => false,
            };
            if !has_rows || !is_aligned {
                let message = format!("`{name}` must be rows of numbers side by side");
                return Err(PyValueError::new_err(message));
            }
            Ok(Self(buffer))
        }

        /// Rows and columns.
        pub(crate) fn shape(&self) -> (usize, usize) {
            (self.0.shape()[0], self.0.shape()[1])
        }

        /// Numbers from one row to the next.
        pub(crate) fn stride(&self) -> usize {
            let (rows, columns) = self.shape();
            let step = usize::try_from(self.0.strides()[0]).unwrap_or(0) / 4;
            if rows <= 1 { columns } else { step }
        }

        /// From the first number of the first row to the last of the last row.
        pub(crate) fn as_slice(&self) -> &[f32] {
            let (rows, columns) = self.shape();
            if rows == 0 || columns == 0 {
                return &[];
            }
            let length = (rows - 1) * self.stride() + columns;
            let start = self.0.buf_ptr().cast::<f32>().cast_const();
            // SAFETY: shape and strides, checked at construction, say that the exporter's memory
            // reaches from the first row's first number to the last row's last, aligned; it stays
            // in place until the buffer is released, which `self` prevents. Nobody writes
            // meanwhile: `omnimouse_cli/kernels/dendrite/native.py` passes outputs that it has
            // just allocated, and torch's own rule forbids changing a tensor that is in use.
            unsafe { std::slice::from_raw_parts(start, length) }
        }
    }
}

#[cfg(feature = "python")]
pub(crate) use exported::Exported;
#[cfg(feature = "python")]
pub(crate) use rows::ExportedRows;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_empty_files_and_folders_are_errors() {
        let folder = std::env::temp_dir().join(format!("omnimouse-memory-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let empty = folder.join("empty");
        std::fs::write(&empty, b"").expect("a file");
        assert!(matches!(
            MappedFile::open(&empty),
            Err(Error::Damaged { .. })
        ));
        assert!(matches!(
            MappedFile::open(&folder),
            Err(Error::Damaged { .. })
        ));
        let missing = MappedFile::open(&folder.join("missing"));
        assert!(matches!(missing, Err(Error::Io { .. })));
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn a_file_that_shrinks_is_noticed() {
        let path = std::env::temp_dir().join(format!("omnimouse-shrink-{}", std::process::id()));
        std::fs::write(&path, vec![7; 10_000]).expect("a file");
        let mapped = MappedFile::open(&path).expect("mapped");
        assert_eq!(mapped.bytes().len(), 10_000);
        mapped.advise(5000, 100);
        mapped.check_size().expect("still whole");
        File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_len(9999))
            .expect("cut");
        let message = mapped.check_size().expect_err("cut").to_string();
        assert!(message.contains("shrank") && message.contains("omnimouse-shrink"));
        std::fs::remove_file(&path).expect("removed");
    }
}
