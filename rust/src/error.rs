//! What can go wrong with a shard, as sentences that name the file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A failure that the user of a data set can understand.
#[derive(Debug)]
pub enum Error {
    /// The operating system refused.
    Io {
        /// The file that was asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The operating system refused to write to a shard.
    Write(io::Error),
    /// The file is not what its format promises.
    Damaged {
        /// The shard.
        path: PathBuf,
        /// Which promise is broken.
        reason: String,
    },
    /// The caller asked for something that the shard does not hold.
    Request {
        /// The shard.
        path: PathBuf,
        /// What was asked, and what there is.
        reason: String,
    },
    /// A mistake of this crate.
    Internal(String),
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A broken promise of the file at `path`.
    pub fn damaged(path: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_path_buf(),
            reason: reason.into(),
        }
    }

    /// A request that the file at `path` cannot serve.
    pub fn request(path: &Path, reason: impl Into<String>) -> Self {
        Self::Request {
            path: path.to_path_buf(),
            reason: reason.into(),
        }
    }

    /// A refusal of the operating system.
    pub fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_path_buf(),
            source,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, source } => {
                write!(formatter, "{} cannot be read: {source}", path.display())
            }
            Self::Write(source) => write!(formatter, "the shard cannot be written: {source}"),
            Self::Damaged { path, reason } | Self::Request { path, reason } => {
                write!(formatter, "{}: {reason}", path.display())
            }
            Self::Internal(reason) => write!(formatter, "the loader failed: {reason}"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(feature = "python")]
mod python {
    use std::io::ErrorKind;

    use pyo3::exceptions::{PyFileNotFoundError, PyOSError, PyRuntimeError, PyValueError};
    use pyo3::prelude::*;

    use super::Error;
    use crate::exceptions::ShardFormatError;

    impl From<Error> for PyErr {
        fn from(error: Error) -> Self {
            let text = error.to_string();
            match error {
                Error::Io { source, .. } if source.kind() == ErrorKind::NotFound => {
                    PyFileNotFoundError::new_err(text)
                }
                Error::Io { .. } | Error::Write(_) => PyOSError::new_err(text),
                Error::Damaged { .. } => ShardFormatError::new_err(text),
                Error::Request { .. } => PyValueError::new_err(text),
                Error::Internal(_) => PyRuntimeError::new_err(text),
            }
        }
    }
}
