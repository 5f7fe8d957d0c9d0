"""The tree of an NWB file: links, references, text, damage; the same for Zarr."""

import json
import sys

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.nwb.tree import open_tree

h5py = pytest.importorskip("h5py")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.nwb"
    with h5py.File(path, "w") as file:
        file["group/data"] = np.arange(12.0).reshape(6, 2)
        file["group/text"] = "µm"
        file["group/fixed"] = np.array([b"one", b"two"])
        file["group/number"] = 3
        file["group"].attrs["neurodata_type"] = b"TimeSeries"
        file["group"].attrs["names"] = ["a", "b"]
        file["group"].attrs["target"] = file["group/data"].ref
        file["soft"] = h5py.SoftLink("/group/data")
        file["twice"] = h5py.SoftLink("/soft")
        file["circle"] = h5py.SoftLink("/circle")
        file["broken"] = h5py.SoftLink("/nowhere")
    return path


def test_text_numbers_attributes_and_references_are_decoded(path):
    with open_tree(path) as root:
        group = root.get("group")
        assert group.neurodata_type == "TimeSeries"
        assert group.attributes["names"] == ("a", "b")
        assert group.child_text("text") == "µm"
        assert group.get("fixed").texts() == ["one", "two"]
        assert group.child_number("number") == 3.0
        assert group.child_number("text") is None
        assert group.reference("target").path == "/group/data"
        assert group.reference("names") is None
        np.testing.assert_array_equal(group.get("data").read(2, 4), [[4.0, 5.0], [6.0, 7.0]])
        np.testing.assert_array_equal(group.get("data")[1:3, 1], [3.0, 5.0])


def test_links_lead_to_the_same_object_and_broken_ones_are_named(path):
    with open_tree(path) as root:
        data = root.get("group/data")
        for name in ("soft", "twice"):
            assert root.get(name).path == "/group/data"
            assert root.get(name).identity == data.identity
        assert root.get("circle") is None
        assert root.get("broken") is None
        assert root.get("group/../group") is None
        assert sorted(root.problems) == [
            "/broken is a link to /nowhere, which does not exist",
            "/circle is a link to /circle, which does not exist",
        ]


def test_walk_visits_each_object_once(path):
    with open_tree(path) as root:
        paths = [node.path for node in root.walk()]
    assert paths.count("/group/data") == 1
    assert len(paths) == 5


def test_links_into_files_of_the_folder_are_followed_others_are_not(tmp_path, path):
    outside = tmp_path / "outside.h5"
    with h5py.File(outside, "w") as file:
        file["secret"] = np.arange(3)
    folder = tmp_path / "folder"
    folder.mkdir()
    with h5py.File(folder / "beside.h5", "w") as file:
        file["inner/data"] = np.arange(4)
    (folder / "damaged.h5").write_bytes(b"no")
    with h5py.File(folder / "a.nwb", "w") as file:
        file["inside"] = h5py.ExternalLink("beside.h5", "/inner")
        file["up"] = h5py.ExternalLink("../outside.h5", "/secret")
        file["absolute"] = h5py.ExternalLink(str(outside), "/secret")
        file["missing"] = h5py.ExternalLink("gone.h5", "/secret")
        file["damaged"] = h5py.ExternalLink("damaged.h5", "/secret")
    with open_tree(folder / "a.nwb") as root:
        data = root.get("inside/data")
        np.testing.assert_array_equal(data.read(), np.arange(4))
        # File and path lead to the data again.
        locator = (data.file, data.path)
        assert [root.get(name) for name in ("up", "absolute", "missing", "damaged")] == [None] * 4
        text = "\n".join(root.problems)
    for part in ("../outside.h5, outside the folder", "gone.h5, which is missing", "is damaged"):
        assert part in text
    with open_tree(locator[0]) as root:
        np.testing.assert_array_equal(root.get(locator[1]).read(), np.arange(4))


def test_values_of_files_outside_the_folder_are_refused(tmp_path):
    (tmp_path / "raw.bin").write_bytes(bytes(range(8)))
    folder = tmp_path / "folder"
    folder.mkdir()
    with h5py.File(folder / "a.nwb", "w") as file:
        file.create_dataset(
            "data", shape=(8,), dtype="u1", external=[(str(tmp_path / "raw.bin"), 0, 8)]
        )
    with (
        open_tree(folder / "a.nwb") as root,
        pytest.raises(RecordingError, match=r"raw\.bin, outside the folder"),
    ):
        root.get("data").read()


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_truncated_file_is_damaged(tmp_path, path, share):
    data = path.read_bytes()
    short = tmp_path / "short.nwb"
    short.write_bytes(data[: int(len(data) * share)])
    with (
        pytest.raises(RecordingError, match=r"short\.nwb .* damaged .*truncated file") as error,
        open_tree(short),
    ):
        pass
    assert "copy the file again" in error.value.hint


def test_a_damaged_chunk_is_named(tmp_path):
    path = tmp_path / "a.nwb"
    with h5py.File(path, "w") as file:
        data = np.random.default_rng(0).normal(size=(1000, 4))
        dataset = file.create_dataset("data", data=data, compression="gzip", chunks=(1000, 4))
        offset = dataset.id.get_chunk_info(0).byte_offset
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * 64)
    with (
        open_tree(path) as root,
        pytest.raises(RecordingError, match=r"a\.nwb: /data cannot be read"),
    ):
        root.get("data").read()


def test_other_files_are_no_hdf5(tmp_path):
    path = tmp_path / "a.nwb"
    path.write_text("hello")
    with pytest.raises(RecordingError, match="is no HDF5 file"), open_tree(path):
        pass
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(RecordingError) as error, open_tree(path):
        pass
    assert "git lfs pull" in error.value.hint


def test_the_extra_is_named_where_the_library_is_missing(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(RecordingError) as error, open_tree(path):
        pass
    assert "pip install 'omnimouse[nwb]'" in error.value.hint


def _write_store(folder, version):
    zarr = pytest.importorskip("zarr")
    root = zarr.open_group(folder, mode="w", zarr_format=version)
    root.attrs["nwb_version"] = "2.7.0"
    group = root.create_group("group")
    array = group.create_array("data", shape=(6, 2), chunks=(4, 2), dtype="f8")
    array[:] = np.arange(12.0).reshape(6, 2)
    source = group.create_array("rois", shape=(2,), dtype="i8")
    source.attrs["table"] = {
        "value": {"path": "/group/data", "source": "."}, "zarr_dtype": "object",
    }  # fmt: skip
    group.attrs["zarr_link"] = [{"name": "again", "path": "/group/data", "source": "."}]
    group.attrs["colnames"] = ["a", "b"]


@pytest.mark.parametrize("version", [2, 3])
def test_a_zarr_store_has_the_same_face(tmp_path, version):
    folder = tmp_path / "a.nwb.zarr"
    _write_store(str(folder), version)
    with open_tree(folder) as root:
        assert root.attributes["nwb_version"] == "2.7.0"
        group = root.get("group")
        assert group.attributes["colnames"] == ("a", "b")
        data = group.get("data")
        assert (data.shape, data.dtype, data.chunks) == ((6, 2), np.float64, (4, 2))
        np.testing.assert_array_equal(data.read(2, 4), [[4.0, 5.0], [6.0, 7.0]])
        assert group.get("again").path == "/group/data"
        assert group.get("rois").reference("table").path == "/group/data"
        assert [node.path for node in root.walk()] == ["/group", "/group/data", "/group/rois"]


def test_text_of_a_zarr_store_is_read_and_pickles_are_refused(tmp_path):
    pytest.importorskip("zarr")
    numcodecs = pytest.importorskip("numcodecs")
    folder = tmp_path / "a.nwb.zarr"
    folder.mkdir()
    (folder / ".zgroup").write_text('{"zarr_format": 2}')

    def write(name, codec):
        (folder / name).mkdir()
        metadata = {
            "chunks": [2], "shape": [3], "compressor": None, "dtype": "|O", "fill_value": 0,
            "filters": [codec.get_config()], "order": "C", "zarr_format": 2,
        }  # fmt: skip
        (folder / name / ".zarray").write_text(json.dumps(metadata))
        for number, texts in enumerate((["a", "é"], ["c", ""])):
            chunk = codec.encode(np.array(texts, dtype=object))
            (folder / name / str(number)).write_bytes(bytes(chunk))

    write("utf8", numcodecs.VLenUTF8())
    write("json", numcodecs.JSON())
    write("pickle", numcodecs.Pickle())
    with open_tree(folder) as root:
        assert root.get("utf8").texts() == ["a", "é", "c"]
        assert root.get("json").texts() == ["a", "é", "c"]
        with pytest.raises(RecordingError, match="Python objects"):
            root.get("pickle").read()


def test_a_folder_that_is_no_store_is_refused(tmp_path):
    pytest.importorskip("zarr")
    folder = tmp_path / "a.nwb.zarr"
    folder.mkdir()
    with pytest.raises(RecordingError, match="no Zarr store"), open_tree(folder):
        pass


def test_a_damaged_chunk_of_a_zarr_store_is_named(tmp_path):
    zarr = pytest.importorskip("zarr")
    numcodecs = pytest.importorskip("numcodecs")
    folder = tmp_path / "a.nwb.zarr"
    group = zarr.open_group(str(folder), mode="w", zarr_format=2)
    compressor = numcodecs.Zlib()
    array = group.create_array("data", shape=(4,), chunks=(4,), dtype="f8", compressors=compressor)
    array[:] = np.arange(4)
    chunk = folder / "data/0"
    chunk.write_bytes(chunk.read_bytes()[:4] + b"\xff\xff\xff")
    with open_tree(folder) as root, pytest.raises(RecordingError, match="/data cannot be read"):
        root.get("data").read()
