"""Frames of any shape and range become grey levels."""

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.arrays.frames import open_frames
from omnimouse_cli.recording.arrays.npy import open_npy


@pytest.fixture
def save(tmp_path):
    def save_frames(values):
        np.save(tmp_path / "frames.npy", values)
        return open_frames(open_npy(tmp_path / "frames.npy"))

    return save_frames


LEVELS = np.arange(5 * 3 * 4).reshape(5, 3, 4) * 4
NUMBERS = np.array([4, 0, 1, 2, 1])


@pytest.mark.parametrize(
    ("values", "scaled"),
    [
        (LEVELS.astype(np.uint8), False),
        (LEVELS.astype(np.float64), False),
        (LEVELS.astype(np.int64), False),
        (LEVELS / 255, True),
        (LEVELS / 127.5 - 1, True),
        (np.where(LEVELS == 236, 236 / 255 + 4e-4, LEVELS / 255 - 4e-4), True),
        ((LEVELS / 255).astype(np.float32), True),
        (LEVELS.astype(np.uint8)[..., None], False),
        (np.repeat(LEVELS[..., None], 3, axis=-1).astype(np.uint8), False),
        (np.asfortranarray(LEVELS.astype(np.uint8)), False),
    ],
)
def test_frames_are_the_same_grey_levels_however_they_are_stored(save, values, scaled):
    frames = save(values)
    assert (frames.num_frames, frames.height, frames.width) == (5, 3, 4)
    np.testing.assert_array_equal(frames.read(NUMBERS), LEVELS[NUMBERS])
    assert any("were scaled to grey levels" in note for note in frames.notes) == scaled


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.float32])
def test_black_and_white_as_0_and_1_is_scaled(save, dtype):
    frames = save((LEVELS % 8 == 0).astype(dtype))
    np.testing.assert_array_equal(frames.read(np.arange(5)), 255 * (LEVELS % 8 == 0))


def test_color_is_luma(save):
    color = np.zeros((1, 2, 2, 3), np.uint8)
    color[..., 1] = 100
    frames = save(color)
    assert frames.read(np.array([0])).tolist() == [[[59, 59], [59, 59]]]
    assert frames.notes == ("frames: color was made grey (luma)",)
    transparent = save(np.concatenate([color, color[..., :1] + 7], axis=3))
    assert transparent.read(np.array([0])).tolist() == [[[59, 59], [59, 59]]]
    assert transparent.notes[0].endswith("(luma); its fourth channel is ignored")


def test_one_grey_is_found(save):
    values = LEVELS.astype(np.uint8)
    values[2] = 127
    assert save(values).grey_level(2) == 127
    assert save(values).grey_level(1) is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((4, 5)), r"its shape is \(4, 5\)"),
        (np.zeros((3, 4, 5, 7)), r"its shape is \(3, 4, 5, 7\)"),
        (np.zeros((0, 4, 5)), r"its shape is \(0, 4, 5\)"),
    ],
)
def test_what_are_no_frames_is_said(save, values, message):
    with pytest.raises(RecordingError, match=message):
        save(values)


@pytest.mark.parametrize("values", [LEVELS - 20.0, LEVELS * 10.0, np.where(LEVELS, LEVELS, np.nan)])
def test_values_that_are_no_grey_levels_are_refused(save, values):
    with pytest.raises(
        RecordingError, match=r"grey levels (must lie between 0 and 255|from 0 to 255, or 0 to 1)"
    ):
        save(values).read(np.arange(5))
