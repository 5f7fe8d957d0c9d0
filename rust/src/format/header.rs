//! The header of a shard: a safetensors header with the names, types, shapes and bytes of tensors.
//!
//! The crate `safetensors` parses it and checks that the tensors follow each other without gaps or
//! overlaps; the rest of the rules is checked here.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use safetensors::tensor::{Dtype as AnyDtype, Metadata, TensorInfo};
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::memory::RangeFile;

/// The format's name in the metadata.
pub const FORMAT: &str = "omnimouse-shard";
/// The format version that this crate reads.
pub const VERSION: u64 = 1;
/// The data start at a multiple of this.
pub const DATA_ALIGNMENT_BYTES: usize = 4096;
/// Bytes before the JSON text: its length as a little-endian integer.
const LENGTH_BYTES: usize = 8;
/// The limit of the safetensors format; a larger length is a damaged file.
const MAX_HEADER_BYTES: usize = 100_000_000;

/// The number types of tensors in a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// One byte, unsigned.
    U8,
    /// Four bytes, signed.
    I32,
    /// Eight bytes, signed.
    I64,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of a single-precision number.
    Bf16,
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 double precision.
    F64,
}

impl Dtype {
    /// Bytes of one number.
    pub fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::I32 | Self::F32 => 4,
            Self::I64 | Self::F64 => 8,
        }
    }

    /// The type's name in a safetensors header.
    pub fn name(self) -> &'static str {
        match self {
            Self::U8 => "U8",
            Self::I32 => "I32",
            Self::I64 => "I64",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::F32 => "F32",
            Self::F64 => "F64",
        }
    }

    fn new(dtype: AnyDtype) -> Option<Self> {
        Some(match dtype {
            AnyDtype::U8 => Self::U8,
            AnyDtype::I32 => Self::I32,
            AnyDtype::I64 => Self::I64,
            AnyDtype::F16 => Self::F16,
            AnyDtype::BF16 => Self::Bf16,
            AnyDtype::F32 => Self::F32,
            AnyDtype::F64 => Self::F64,
            _ => return None,
        })
    }
}

/// One tensor of a file; its bytes lie within the file and match its shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Number type.
    pub dtype: Dtype,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Its bytes, counted from the start of the file.
    pub bytes: Range<usize>,
}

/// The checked header of a shard.
#[derive(Debug)]
pub struct Header {
    /// Text by name: format, version, checksum and description.
    pub metadata: BTreeMap<String, String>,
    /// Tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
    /// Where the data start in the file.
    pub data_start: usize,
}

/// The part of a header that other versions of the format have as well.
#[derive(Deserialize)]
struct AnyVersion {
    #[serde(rename = "__metadata__", default)]
    metadata: BTreeMap<String, String>,
}

/// Read the bytes before the data of a shard: the length field and the JSON text.
///
/// # Errors
/// The file is cut short or no safetensors file.
pub fn read_head<'a>(file: &'a RangeFile, buffer: &'a mut Vec<u8>) -> Result<&'a [u8]> {
    let (path, file_bytes) = (file.path(), file.num_bytes());
    if file_bytes < LENGTH_BYTES as u64 {
        let reason = format!("it has {file_bytes} bytes, which is no header");
        return Err(Error::cut_short(path, reason));
    }
    let mut length = [0; LENGTH_BYTES];
    length.copy_from_slice(file.bytes(0..LENGTH_BYTES, buffer)?);
    let length = u64::from_le_bytes(length);
    let Some(end) = usize::try_from(length)
        .ok()
        .filter(|length| *length <= MAX_HEADER_BYTES)
        .map(|length| LENGTH_BYTES + length)
    else {
        let reason = format!("its header would have {length} bytes");
        return Err(Error::damaged(path, reason));
    };
    if end as u64 > file_bytes {
        let reason = format!("its header ends at byte {end}, the file at {file_bytes}");
        return Err(Error::cut_short(path, reason));
    }
    file.bytes(0..end, buffer)
}

/// Parse and check a header.
///
/// # Arguments
/// `head` has the bytes before the data, `file_bytes` is the length of the file at `path`.
///
/// # Errors
/// The file is no shard, of a later version, damaged or cut short.
pub fn parse(head: &[u8], file_bytes: u64, path: &Path) -> Result<Header> {
    let text = head.get(LENGTH_BYTES..).unwrap_or_default();
    // A later version may have other rules for tensors, so the version is checked first.
    let AnyVersion { metadata } = serde_json::from_slice(text)
        .map_err(|error| Error::damaged(path, format!("its header cannot be read: {error}")))?;
    check_version(&metadata, path)?;
    let parsed: Metadata = serde_json::from_slice(text)
        .map_err(|error| Error::damaged(path, format!("its header cannot be read: {error}")))?;
    let data_start = head.len();
    if !data_start.is_multiple_of(DATA_ALIGNMENT_BYTES) {
        let reason = format!("its data start at byte {data_start}, inside a page");
        return Err(Error::damaged(path, reason));
    }
    let mut tensors = BTreeMap::new();
    for (name, info) in parsed.tensors() {
        let tensor = check_tensor(info, data_start)
            .map_err(|reason| Error::damaged(path, format!("tensor `{name}` {reason}")))?;
        tensors.insert(name, tensor);
    }
    let header = Header {
        metadata,
        tensors,
        data_start,
    };
    check_length(&header, file_bytes, path)?;
    Ok(header)
}

fn check_version(metadata: &BTreeMap<String, String>, path: &Path) -> Result<()> {
    if metadata.get("format").map(String::as_str) != Some(FORMAT) {
        let reason = format!("its header does not state the format `{FORMAT}`");
        return Err(Error::not_a_shard(path, reason));
    }
    let found = metadata.get("version").map_or("", String::as_str);
    match found.parse::<u64>() {
        Ok(VERSION) => Ok(()),
        Ok(later) if later > VERSION => Err(Error::later_version(path, later)),
        _ => Err(Error::damaged(path, format!("its version is `{found}`"))),
    }
}

fn check_tensor(info: &TensorInfo, data_start: usize) -> std::result::Result<Tensor, String> {
    let Some(dtype) = Dtype::new(info.dtype) else {
        return Err(format!(
            "has the type {}, which shards do not have",
            info.dtype
        ));
    };
    let (first, last) = info.data_offsets;
    if !first.is_multiple_of(dtype.size()) {
        return Err(format!("starts inside a number, at byte {first}"));
    }
    let Some(end) = data_start.checked_add(last) else {
        return Err(format!("ends at byte {last}, which is too large"));
    };
    Ok(Tensor {
        dtype,
        shape: info.shape.clone(),
        bytes: data_start + first..end,
    })
}

/// Check that the tensors end where the file ends.
fn check_length(header: &Header, file_bytes: u64, path: &Path) -> Result<()> {
    let ends = || {
        header
            .tensors
            .iter()
            .map(|(name, tensor)| (tensor.bytes.end as u64, name))
    };
    let end = ends()
        .max()
        .map_or(header.data_start as u64, |(end, _)| end);
    if file_bytes > end {
        let reason = format!("it has {file_bytes} bytes, its tensors end at {end}");
        return Err(Error::damaged(path, reason));
    }
    match ends().filter(|(end, _)| *end > file_bytes).min() {
        None => Ok(()),
        Some((end, name)) => {
            let reason = format!("tensor `{name}` ends at byte {end}, the file at {file_bytes}");
            Err(Error::cut_short(path, reason))
        }
    }
}

#[cfg(test)]
mod tests;
