//! Good headers, and every rule that a header can break.

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
        ("7", "is damaged: its header cannot be read"),
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
