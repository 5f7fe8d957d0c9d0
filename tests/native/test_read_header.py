"""The header of a shard, as the extension hands it to Python."""

import json

import pytest

from omnimouse_cli import _native


def test_metadata_tensors_and_the_bytes_before_the_data_are_returned(write_file, good_table):
    path = write_file(good_table)
    metadata, entries, head = _native.read_header(path)
    assert metadata == good_table["__metadata__"]
    assert json.loads(head[8:]) == good_table
    assert len(head) % 4096 == 0
    expected = [
        (name, entry["dtype"], entry["shape"], *entry["data_offsets"])
        for name, entry in good_table.items()
        if name != "__metadata__"
    ]
    assert entries == sorted(expected, key=lambda entry: entry[3:])


def test_a_later_version_has_an_error_of_its_own(write_file, good_table):
    good_table["__metadata__"]["version"] = "2"
    # Rules of tensors may change with the version.
    good_table["responses"] = "somewhere else"
    path = write_file(good_table)
    for read in (_native.read_header, _native.Shard):
        with pytest.raises(_native.LaterVersionError, match=r"1-1-1\.safetensors has .* version 2"):
            read(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("F16", [100, 2], 352, 750), "shape"),
        (("F16", [100, 2], 350, 750), "`responses`"),
        (("I16", [100, 2], 352, 752), "`responses` has the type I16"),
        (("F64", [50], 352, 752), None),
        (("F64", [2**40, 2**40], 352, 752), "overflow"),
    ],
)
def test_tensors_that_break_a_rule_are_refused(write_file, good_table, tensor, change, reason):
    good_table["responses"] = tensor(*change)
    path = write_file(good_table)
    if reason is None:
        assert _native.read_header(path)[1][3][1] == "F64"
        return
    with pytest.raises(_native.ShardFormatError, match=reason) as caught:
        _native.read_header(path)
    assert "1-1-1.safetensors is damaged" in str(caught.value)


def test_data_that_do_not_start_on_a_page_are_refused(write_file, good_table):
    path = write_file(good_table)
    whole = path.read_bytes()
    text = whole[8:4096].rstrip()
    path.write_bytes(len(text).to_bytes(8, "little") + text + whole[4096:])
    with pytest.raises(_native.ShardFormatError, match="inside a page"):
        _native.read_header(path)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(OSError, match="is not a file"):
        _native.read_header(tmp_path)
