//! Errors of this crate, as sentences that name the file.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::format::header::VERSION;

/// What can fail.
#[derive(Debug)]
pub enum Error {
    /// The operating system cannot read a file.
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The operating system cannot write a shard.
    Write(io::Error),
    /// The file is no shard.
    NotAShard {
        /// The file.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// The shard is of a later format version.
    LaterVersion {
        /// The shard.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
    /// The shard ends too early.
    CutShort {
        /// The shard.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// The shard breaks a rule of its format.
    Damaged {
        /// The shard.
        path: PathBuf,
        /// The rule and the value.
        reason: String,
    },
    /// The caller requested something that the shard does not contain.
    Request {
        /// The shard.
        path: PathBuf,
        /// What was requested, and what there is.
        reason: String,
    },
    /// A mistake in this crate or in the code that calls it.
    Internal(String),
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The file at `path` cannot be read.
    pub fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        Self::Io { path, source }
    }

    /// The file at `path` is no shard.
    pub fn not_a_shard(path: &Path, reason: impl Into<String>) -> Self {
        let (path, reason) = (path.to_path_buf(), reason.into());
        Self::NotAShard { path, reason }
    }

    /// The shard at `path` is of a later version.
    pub fn later_version(path: &Path, version: u64) -> Self {
        let path = path.to_path_buf();
        Self::LaterVersion { path, version }
    }

    /// The shard at `path` ends too early.
    pub fn cut_short(path: &Path, reason: impl Into<String>) -> Self {
        let (path, reason) = (path.to_path_buf(), reason.into());
        Self::CutShort { path, reason }
    }

    /// The shard at `path` breaks a rule of its format.
    pub fn damaged(path: &Path, reason: impl Into<String>) -> Self {
        let (path, reason) = (path.to_path_buf(), reason.into());
        Self::Damaged { path, reason }
    }

    /// The shard at `path` does not contain what was requested.
    pub fn request(path: &Path, reason: impl Into<String>) -> Self {
        let (path, reason) = (path.to_path_buf(), reason.into());
        Self::Request { path, reason }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, source }
                if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) =>
            {
                write!(formatter, "{} is not a file", path.display())
            }
            Self::Io { path, source } => {
                write!(formatter, "{} cannot be read: {source}", path.display())
            }
            Self::Write(source) => write!(formatter, "the shard cannot be written: {source}"),
            Self::NotAShard { path, reason } => {
                let path = path.display();
                write!(formatter, "{path} is not an omnimouse shard: {reason}")
            }
            Self::CutShort { path, reason } => {
                write!(formatter, "{} is cut short: {reason}", path.display())
            }
            Self::Damaged { path, reason } => {
                write!(formatter, "{} is damaged: {reason}", path.display())
            }
            Self::LaterVersion { path, version } => {
                let path = path.display();
                write!(
                    formatter,
                    "{path} has shard version {version}; this omnimouse reads version {VERSION}"
                )
            }
            Self::Request { path, reason } => write!(formatter, "{}: {reason}", path.display()),
            Self::Internal(reason) => write!(formatter, "the extension failed: {reason}"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(feature = "python")]
mod python {
    use pyo3::exceptions::{PyFileNotFoundError, PyOSError, PyRuntimeError, PyValueError};
    use pyo3::prelude::*;

    use super::{Error, ErrorKind};
    use crate::exceptions::{LaterVersionError, ShardFormatError};

    impl From<Error> for PyErr {
        fn from(error: Error) -> Self {
            let text = error.to_string();
            match error {
                Error::Io { source, .. } if source.kind() == ErrorKind::NotFound => {
                    PyFileNotFoundError::new_err(text)
                }
                Error::Io { .. } | Error::Write(_) => PyOSError::new_err(text),
                Error::LaterVersion { .. } => LaterVersionError::new_err(text),
                Error::NotAShard { .. } | Error::CutShort { .. } | Error::Damaged { .. } => {
                    ShardFormatError::new_err(text)
                }
                Error::Request { .. } => PyValueError::new_err(text),
                Error::Internal(_) => PyRuntimeError::new_err(text),
            }
        }
    }
}
