//! The header of a shard: a safetensors header with the names, types, shapes and places of tensors.
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
        Ok(later) if later > VERSION => {
            let reason =
                format!("it has shard version {later}; this omnimouse reads version {VERSION}");
            Err(Error::later_version(path, reason))
        }
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
mod tests {
    use super::*;

    const METADATA: &str = r#""__metadata__":{"format":"omnimouse-shard","version":"1"}"#;

    /// The bytes before the data, padded to a page.
    fn head(table: &str) -> Vec<u8> {
        let mut text = table.to_owned();
        while !(LENGTH_BYTES + text.len()).is_multiple_of(DATA_ALIGNMENT_BYTES) {
            text.push(' ');
        }
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }

    fn parse(table: &str, data: usize) -> Result<Header> {
        let head = head(table);
        super::parse(
            &head,
            (head.len() + data) as u64,
            Path::new("a.safetensors"),
        )
    }

    fn two_tensors() -> String {
        format!(
            r#"{{{METADATA},
            "x":{{"dtype":"F16","shape":[4,3],"data_offsets":[0,24]}},
            "y":{{"dtype":"F64","shape":[1],"data_offsets":[24,32]}}}}"#
        )
    }

    #[test]
    fn names_types_shapes_and_bytes_are_returned() {
        let header = parse(&two_tensors(), 32).expect("a good file");
        assert_eq!(header.metadata["version"], "1");
        assert_eq!(header.data_start, DATA_ALIGNMENT_BYTES);
        let expected = Tensor {
            dtype: Dtype::F64,
            shape: vec![1],
            bytes: DATA_ALIGNMENT_BYTES + 24..DATA_ALIGNMENT_BYTES + 32,
        };
        assert_eq!(header.tensors["y"], expected);
    }

    #[test]
    fn a_file_of_another_length_is_refused_and_the_missing_tensor_named() {
        for (data, words) in [
            (0, "`x` ends at byte 4120, the file at 4096"),
            (23, "`x`"),
            (24, "`y` ends at byte 4128"),
            (31, "cut short: tensor `y`"),
            (33, "damaged: it has 4129 bytes, its tensors end at 4128"),
        ] {
            let reason = parse(&two_tensors(), data).expect_err(words).to_string();
            assert!(reason.contains(words), "{reason}");
        }
    }

    #[test]
    fn every_truncation_of_a_file_is_refused_by_name() {
        let path = std::env::temp_dir().join(format!("omnimouse-header-{}", std::process::id()));
        let mut whole = head(&two_tensors());
        whole.resize(whole.len() + 32, 0);
        for length in (0..whole.len()).step_by(5).chain([1, 7, 8, 9]) {
            std::fs::write(&path, &whole[..length]).expect("a file");
            let refused = RangeFile::open(&path, crate::memory::Access::Read).and_then(|file| {
                let mut buffer = Vec::new();
                super::parse(read_head(&file, &mut buffer)?, file.num_bytes(), &path)
            });
            let reason = refused.expect_err("cut").to_string();
            assert!(reason.contains("omnimouse-header"), "{length}: {reason}");
            assert!(reason.contains("is cut short"), "{length}: {reason}");
        }
        std::fs::remove_file(&path).expect("removed");
    }

    #[test]
    fn tensors_that_break_a_rule_are_named() {
        let cases = [
            (
                r#""x":{"dtype":"F12","shape":[1],"data_offsets":[0,4]}"#,
                "F12",
            ),
            (
                r#""x":{"dtype":"BOOL","shape":[4],"data_offsets":[0,4]}"#,
                "`x` has the type BOOL",
            ),
            (
                r#""x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}"#,
                "shape",
            ),
            (
                r#""x":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}"#,
                "`x`",
            ),
            (
                r#""x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}"#,
                "`x`",
            ),
            (
                r#""u":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},
                "x":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}"#,
                "`x`",
            ),
            (
                r#""u":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},
                "x":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}"#,
                "`x` starts inside a number",
            ),
            (
                r#""x":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,4]}"#,
                "overflow",
            ),
            (
                r#""x":{"dtype":"U8","shape":[0],"data_offsets":[18446744073709551615,18446744073709551615]}"#,
                "`x`",
            ),
            (
                r#""x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}"#,
                "cannot be read",
            ),
        ];
        for (tensors, words) in cases {
            let reason = parse(&format!("{{{METADATA},{tensors}}}"), 4).expect_err(tensors);
            let reason = reason.to_string();
            assert!(reason.contains(words), "{tensors}: {reason}");
            assert!(reason.starts_with("a.safetensors is damaged: "), "{reason}");
        }
    }

    #[test]
    fn headers_of_other_files_and_versions_are_refused() {
        let cases = [
            ("[]", "is damaged: its header cannot be read"),
            ("{", "is damaged: its header cannot be read"),
            (
                r#"{"__metadata__":{"a":1}}"#,
                "is damaged: its header cannot be read",
            ),
            ("{}", "is not an omnimouse shard"),
            (
                r#"{"__metadata__":{"format":"pt","version":"1"}}"#,
                "is not an omnimouse shard",
            ),
            (
                r#"{"__metadata__":{"format":"omnimouse-shard"}}"#,
                "its version is ``",
            ),
            (
                r#"{"__metadata__":{"format":"omnimouse-shard","version":"0"}}"#,
                "its version is `0`",
            ),
            // A later version is named whatever its tensors are.
            (
                r#"{"__metadata__":{"format":"omnimouse-shard","version":"9"},"x":[]}"#,
                "shard version 9; this omnimouse reads version 1",
            ),
        ];
        for (table, words) in cases {
            let reason = parse(table, 0).expect_err(words).to_string();
            assert!(reason.contains(words), "{table}: {reason}");
        }
        let unaligned = [&24_u64.to_le_bytes()[..], two_tensors().as_bytes()].concat();
        let refused = super::parse(&unaligned, 1000, Path::new("a.safetensors"));
        let reason = refused.expect_err("inside a page").to_string();
        assert!(reason.contains("inside a page"), "{reason}");
    }
}
