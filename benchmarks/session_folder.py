"""A session folder of random numbers, as large as a real one and written in seconds."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from synthetic import FRAME_SHAPE, MARGIN_SECONDS, RATE_HZ, TRIAL_SECONDS, Extent

ORIGIN_SECONDS = 1.6e9
ROWS_AT_ONCE = 1000


def write_session(folder: Path, extent: Extent, *, seed: int) -> None:
    """Write responses, eye tracker, treadmill and screen; four of five trials are for training.

    Args:
        folder: The session's folder; its name becomes the session key.
        extent: How large.
        seed: Seed of the random numbers.
    """
    rng = np.random.default_rng(seed)
    # Drawing every number anew would take longer than all that is measured.
    pool = rng.gamma(0.5, 2.0, (ROWS_AT_ONCE, extent.neurons)).astype(np.float32)
    start = ORIGIN_SECONDS + MARGIN_SECONDS
    shape = (extent.rows, extent.neurons)
    _write_device(
        folder / "responses", shape, start, RATE_HZ, lambda n: pool[rng.permutation(len(pool))[:n]]
    )
    for name, rate_hz, columns in (("eye_tracker", 20.0, 4), ("treadmill", 100.0, 1)):
        shape = (round(extent.seconds * rate_hz), columns)
        _write_device(
            folder / name,
            shape,
            ORIGIN_SECONDS,
            rate_hz,
            lambda n, columns=columns: rng.normal(size=(n, columns)).astype(np.float32),
        )
    _write_screen(folder / "screen", extent.seconds, rng)


def _write_device(
    folder: Path,
    shape: tuple[int, int],
    start: float,
    rate_hz: float,
    rows: Callable[[int], NDArray[np.float32]],
) -> None:
    num_rows, num_columns = shape
    _write_meta(
        folder,
        modality="sequence",
        start_time=start,
        end_time=start + (num_rows - 1) / rate_hz,
        sampling_rate=rate_hz,
        n_signals=num_columns,
        n_timestamps=num_rows,
        dtype="float32",
        is_mem_mapped=True,
        phase_shift_per_signal=False,
    )
    with (folder / "data.mem").open("wb") as stream:
        for first in range(0, num_rows, ROWS_AT_ONCE):
            stream.write(rows(min(ROWS_AT_ONCE, num_rows - first)).tobytes())


def _write_screen(folder: Path, seconds: float, rng: np.random.Generator) -> None:
    _write_meta(folder, modality="screen")
    (folder / "data").mkdir()
    num_trials, num_frames = int(seconds // TRIAL_SECONDS) + 1, round(TRIAL_SECONDS * RATE_HZ)
    trials = {}
    for number in range(num_trials):
        trials[f"{number:05d}"] = {
            "first_frame_idx": number * num_frames,
            "image_size": list(FRAME_SHAPE),
            "modality": "video",
            "tier": "validation" if number % 5 == 4 else "train",
            "num_frames": num_frames,
        }
        frames = rng.integers(0, 256, (num_frames, *FRAME_SHAPE), dtype=np.uint8)
        np.save(folder / "data" / f"{number:05d}.npy", frames)
    flips = ORIGIN_SECONDS + np.arange(num_trials * num_frames) / RATE_HZ
    np.save(folder / "timestamps.npy", flips)
    (folder / "combined_meta.json").write_text(json.dumps(trials))


def _write_meta(folder: Path, **fields: Any) -> None:  # noqa: ANN401 - whatever meta.yml holds
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "meta.yml").write_text(yaml.safe_dump(fields))
