"""Small Sensorium sets, written as the competition's exporter writes them."""

import io
import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

NEURONS = 5
PADDED = 70
LENGTHS = (66, 70, 61, 66, 64, 62)
TIERS = ("oracle", "train", "live_test_main", "oracle", "none", "train")
# Numbers 0 to 5 in the order of presentation are files 1, 0, 4, 3, 5, 2.
TRIAL_INDEX = ("2", "1", "9", "4--5", "3", "7")
WITHHELD = 2


def padded(values, length):
    """Return values with NaN after `length` on their last axis."""
    padded = values.astype(np.float32)
    padded[..., length:] = np.nan
    return padded


def video_arrays(rng):
    """The arrays of a video set by file name; files 0 and 3 show one clip."""
    arrays: dict[str, Any] = {}
    clips = [rng.integers(0, 256, (9, 16, PADDED)) for _ in TIERS]
    clips[3] = clips[0]
    for number, length in enumerate(LENGTHS):
        responses = rng.gamma(0.5, 1.0, (NEURONS, PADDED))
        # The first neuron is silent.
        responses[0] = 0.0
        if number == WITHHELD:
            responses[:] = 0.0
        arrays[f"data/videos/{number}.npy"] = padded(clips[number], length)
        arrays[f"data/responses/{number}.npy"] = padded(responses, length)
        arrays[f"data/behavior/{number}.npy"] = padded(rng.random((2, PADDED)) + 1, length)
        arrays[f"data/pupil_center/{number}.npy"] = padded(rng.random((2, PADDED)), length)
    arrays["meta/trials/tiers.npy"] = np.array(TIERS)
    arrays["meta/trials/trial_idx.npy"] = np.array(TRIAL_INDEX)
    arrays["meta/neurons/unit_ids.npy"] = np.arange(11, 11 + NEURONS)
    arrays["meta/neurons/cell_motor_coordinates.npy"] = rng.integers(-300, 300, (NEURONS, 3))
    arrays["meta/neurons/area.npy"] = np.array(["V1"] * 3 + ["LM"] * 2)
    arrays["meta/statistics/videos/all/mean.npy"] = np.zeros((9, 16, PADDED))
    return arrays


def image_arrays(rng):
    """The arrays of an image set by file name; files 1 and 4 show one image."""
    arrays: dict[str, Any] = {}
    images = [rng.integers(0, 256, (1, 18, 32), dtype=np.uint8) for _ in range(6)]
    images[4] = images[1]
    for number, image in enumerate(images):
        arrays[f"data/images/{number}.npy"] = image
        arrays[f"data/responses/{number}.npy"] = rng.gamma(1.0, 1.0, NEURONS).astype(np.float32)
        arrays[f"data/behavior/{number}.npy"] = rng.random(3).astype(np.float32) + 1
        arrays[f"data/pupil_center/{number}.npy"] = rng.random(2).astype(np.float32)
    arrays["meta/trials/tiers.npy"] = np.array(
        ["train", "test", "train", "validation", "test", "train"]
    )
    arrays["meta/trials/trial_idx.npy"] = np.array([5, 4, 3, 2, 1, 0])
    arrays["meta/trials/frame_image_id.npy"] = np.array([10, 11, 12, 13, 11, 15])
    arrays["meta/trials/frame_image_class.npy"] = np.array(["imagenet"] * 6)
    return arrays


def write_folder(folder: Path, arrays: dict[str, Any]) -> Path:
    for name, array in arrays.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(array, bytes):
            path.write_bytes(array)
        elif isinstance(array, dict):
            path.write_text(json.dumps(array))
        else:
            np.save(path, array)
    return folder


def write_zip(path: Path, arrays: dict[str, Any], *, top: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            stream = io.BytesIO()
            if isinstance(array, bytes):
                stream.write(array)
            elif isinstance(array, dict):
                stream.write(json.dumps(array).encode())
            else:
                np.save(stream, array)
            archive.writestr(top + name, stream.getvalue())
    return path


@pytest.fixture
def make_set(tmp_path):
    """`make_set(changes, static=, zipped=)`: the path of a set, and its arrays.

    `changes` replaces files by name; None removes one.
    """

    def make(changes=None, *, static=False, zipped=False, name=None):
        arrays = (image_arrays if static else video_arrays)(np.random.default_rng(0))
        arrays |= changes or {}
        arrays = {key: array for key, array in arrays.items() if array is not None}
        kind, end = ("static", "GrayImageNet-94c6ff995dac583098847cfecd43e7b6")
        if not static:
            kind, end = ("dynamic", "Video-9b4f6a1a067fe51e15306b9628efea20")
        name = name or f"{kind}77-1-2-{end}"
        if zipped:
            path = write_zip(tmp_path / f"{name}.zip", arrays, top=f"{name}/")
        else:
            path = write_folder(tmp_path / name, arrays)
        return SimpleNamespace(path=path, arrays=arrays)

    return make
