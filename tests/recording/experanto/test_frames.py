"""The header of a trial's file, in every version of the format."""

import errno

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.experanto.frames import read_frame_header, read_frames

FRAMES = np.arange(7 * 4 * 5, dtype=np.uint8).reshape(7, 4, 5)


def written(path, version, frames=FRAMES):
    with path.open("wb") as stream:
        np.lib.format.write_array(stream, frames, version=version)
    return path


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_is_read(tmp_path, version):
    file = read_frame_header(written(tmp_path / "0.npy", version), video=True)
    assert (file.num_frames, file.height, file.width, file.color) == (7, 4, 5, False)
    np.testing.assert_array_equal(read_frames(file, 0, len(FRAMES)), FRAMES)


def test_a_file_is_complete_to_the_byte(tmp_path):
    path = written(tmp_path / "0.npy", (1, 0))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(RecordingError, match="1 byte is missing at its end"):
        read_frame_header(path, video=True)
    # Bytes after the frames are ignored, as NumPy does.
    path.write_bytes(whole + b"x")
    assert read_frame_header(path, video=True).num_frames == 7


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY", b"no array at all", b"\x93NUMPY\x01\x00\xff"]
)
def test_what_is_no_array_is_named(tmp_path, content):
    path = tmp_path / "0.npy"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=r"0\.npy cannot be read as frames"):
        read_frame_header(path, video=True)


def test_an_unknown_version_is_refused(tmp_path):
    path = written(tmp_path / "0.npy", (1, 0))
    content = bytearray(path.read_bytes())
    content[6] = 9
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="cannot be read as frames"):
        read_frame_header(path, video=True)


def test_objects_are_not_frames(tmp_path):
    path = tmp_path / "0.npy"
    np.save(path, np.array([[[{}]]], dtype=object), allow_pickle=True)
    with pytest.raises(RecordingError, match="frames must be numbers"):
        read_frame_header(path, video=True)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(7, 4, 5), (7, 4, 5, 3)])
def test_blocks_are_read_without_a_memory_map(tmp_path, monkeypatch, order, shape):
    frames = np.random.default_rng(0).integers(0, 256, shape).astype(np.int16)
    path = tmp_path / "0.npy"
    np.save(path, np.asarray(frames, order=order))
    file = read_frame_header(path, video=True)
    expected = read_frames(file, 0, 7)

    def refuse(*args, **kwargs):
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(np.lib.format, "open_memmap", refuse)
    monkeypatch.setattr(np, "memmap", refuse)
    np.testing.assert_array_equal(read_frames(file, 2, 5), expected[2:5])
    assert read_frames(file, 3, 3).shape == (0, 4, 5)


def test_a_file_cut_short_after_its_header_was_read_is_named(tmp_path):
    path = written(tmp_path / "0.npy", (1, 0))
    file = read_frame_header(path, video=True)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RecordingError, match="it was cut short while it was read"):
        read_frames(file, 0, 7)
