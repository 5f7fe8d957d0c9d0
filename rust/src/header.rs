//! The header of a safetensors file: names, types, shapes and checked byte ranges.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use serde_json::{Map, Value};

/// Bytes in front of the JSON text: its length as a little-endian integer.
pub const LENGTH_BYTES: usize = 8;
/// The limit of the format itself; a larger length is a damaged file, not a large header.
const MAX_HEADER_BYTES: usize = 100_000_000;

/// How the numbers of a tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
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
}

/// One tensor of a file; its bytes are known to lie in the file and to fit its shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// How its numbers are stored.
    pub dtype: Dtype,
    /// Lengths of its axes.
    pub shape: Vec<usize>,
    /// Its bytes, counted from the start of the file.
    pub bytes: Range<usize>,
}

/// What the header says.
#[derive(Debug)]
pub struct Header {
    /// Free text by name.
    pub metadata: BTreeMap<String, String>,
    /// Tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
}

#[derive(Deserialize)]
struct Entry {
    dtype: Dtype,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

/// Say how many bytes stand before the data, from the file's first ones and its length.
///
/// # Errors
/// The reason why the file is no safetensors file, or not all of one.
pub fn head_bytes(start: &[u8], file_bytes: u64) -> Result<usize, String> {
    let Some((length, _)) = start.split_first_chunk::<LENGTH_BYTES>() else {
        return Err(format!("it is cut short: it has only {file_bytes} bytes"));
    };
    let length = u64::from_le_bytes(*length);
    let fits = usize::try_from(length)
        .ok()
        .filter(|length| *length <= MAX_HEADER_BYTES)
        .ok_or_else(|| format!("it is no safetensors file: a header of {length} bytes"))?;
    if LENGTH_BYTES as u64 + length > file_bytes {
        return Err(format!(
            "it is cut short: its header has {length} bytes, the file {file_bytes}"
        ));
    }
    Ok(LENGTH_BYTES + fits)
}

/// Read and check a header.
///
/// # Errors
/// The reason why the bytes are no header of a file of this length.
pub fn parse(head: &[u8], file_bytes: u64) -> Result<Header, String> {
    let text = head.get(LENGTH_BYTES..).unwrap_or_default();
    let mut content: Map<String, Value> =
        serde_json::from_slice(text).map_err(|error| format!("its header is no JSON: {error}"))?;
    let metadata = match content.remove("__metadata__") {
        None => BTreeMap::new(),
        Some(value) => serde_json::from_value(value)
            .map_err(|error| format!("its metadata is not text by name: {error}"))?,
    };
    let mut tensors = BTreeMap::new();
    for (name, value) in content {
        let tensor = tensor(value, head.len()).map_err(|why| format!("tensor {name}: {why}"))?;
        tensors.insert(name, tensor);
    }
    check_cover(&tensors, head.len(), file_bytes)?;
    Ok(Header { metadata, tensors })
}

fn tensor(value: Value, data_start: usize) -> Result<Tensor, String> {
    let entry: Entry = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let (first, last) = entry.data_offsets;
    let size = entry
        .shape
        .iter()
        .try_fold(entry.dtype.size(), |size, axis| size.checked_mul(*axis))
        .ok_or_else(|| format!("its shape {:?} is too large", entry.shape))?;
    if last.checked_sub(first) != Some(size) {
        return Err(format!(
            "its offsets {first} to {last} do not fit its shape {:?}",
            entry.shape
        ));
    }
    let end = data_start
        .checked_add(last)
        .ok_or_else(|| format!("its offset {last} is too large"))?;
    Ok(Tensor {
        dtype: entry.dtype,
        shape: entry.shape,
        bytes: end - size..end,
    })
}

/// Check that the tensors cover the data without holes and without overlaps, to the file's end.
fn check_cover(
    tensors: &BTreeMap<String, Tensor>,
    data_start: usize,
    file_bytes: u64,
) -> Result<(), String> {
    let mut ranges: Vec<_> = tensors.iter().map(|(name, t)| (&t.bytes, name)).collect();
    ranges.sort_by_key(|(bytes, _)| (bytes.start, bytes.end));
    let mut end = data_start;
    for (bytes, name) in ranges {
        if bytes.start != end {
            return Err(format!(
                "tensor {name} starts at byte {}, not {end}",
                bytes.start
            ));
        }
        end = bytes.end;
    }
    let end = end as u64;
    if end > file_bytes {
        return Err(format!(
            "it is cut short: its header describes {end} bytes, the file has {file_bytes}"
        ));
    }
    if end < file_bytes {
        return Err(format!(
            "its header describes {end} bytes, the file has {file_bytes}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Dtype, Header, LENGTH_BYTES, Tensor, head_bytes};

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    fn parse(file: &[u8]) -> Result<Header, String> {
        let start = &file[..file.len().min(LENGTH_BYTES)];
        let head = head_bytes(start, file.len() as u64)?;
        super::parse(&file[..head], file.len() as u64)
    }

    const TWO: &str = r#"{"__metadata__":{"a":"b"},
        "x":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]},
        "y":{"dtype":"F64","shape":[1],"data_offsets":[12,20]}}"#;

    #[test]
    fn a_header_gives_names_types_shapes_and_bytes() {
        let header = parse(&file(TWO, 20)).expect("a good file");
        assert_eq!(header.metadata["a"], "b");
        let start = LENGTH_BYTES + TWO.len();
        let expected = Tensor {
            dtype: Dtype::F64,
            shape: vec![1],
            bytes: start + 12..start + 20,
        };
        assert_eq!(header.tensors["y"], expected);
    }

    #[test]
    fn every_truncation_is_refused() {
        let whole = file(TWO, 20);
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let reason = parse(&file(TWO, 21)).expect_err("a byte too many");
        assert!(reason.contains("the file has"), "{reason}");
    }

    #[test]
    fn broken_promises_are_named() {
        let cases = [
            (
                r#"{"x":{"dtype":"F12","shape":[1],"data_offsets":[0,4]}}"#,
                "F12",
            ),
            (
                r#"{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#,
                "shape",
            ),
            (
                r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#,
                "offsets",
            ),
            (
                r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
                "starts",
            ),
            (
                r#"{"x":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,4]}}"#,
                "too large",
            ),
            (
                r#"{"x":{"dtype":"U8","shape":[0],"data_offsets":[18446744073709551615,18446744073709551615]}}"#,
                "too large",
            ),
            (
                r#"{"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#,
                "tensor x",
            ),
            (r#"{"__metadata__":{"a":1}}"#, "metadata"),
            ("[]", "JSON"),
            ("{", "JSON"),
        ];
        for (header, word) in cases {
            let reason = parse(&file(header, 4)).expect_err(header);
            assert!(reason.contains(word), "{header}: {reason}");
        }
    }

    #[test]
    fn an_absurd_header_length_is_refused() {
        let mut bytes = u64::MAX.to_le_bytes().to_vec();
        bytes.extend_from_slice(b"{}");
        assert!(parse(&bytes).is_err());
    }
}
