"""Writes a simulated session as an experanto session folder, and its ground truth."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from omnimouse_cli.recording.simulated.activity import Activity
from omnimouse_cli.recording.simulated.population import Population
from omnimouse_cli.recording.simulated.schedule import PlannedTrial, Timeline
from omnimouse_cli.recording.simulated.settings import (
    FRAME_HEIGHT,
    FRAME_RATE_HZ,
    FRAME_WIDTH,
    GREY,
    GREY_STD,
    RESPONSE_RATE_HZ,
)
from omnimouse_cli.recording.simulated.truth import TRUTH_FOLDER

NATIVE_RATE_HZ = 8
Fields = Mapping[str, Any]


def _write_yaml(path: Path, fields: Fields) -> None:
    path.write_text(yaml.safe_dump(dict(fields), sort_keys=False))


def _write_sequence_meta(
    folder: Path,
    *,
    start_seconds: float,
    end_seconds: float,
    rate_hz: float,
    shape: tuple[int, int],
    dtype: str,
    fields: Fields | None = None,
) -> None:
    meta = {
        "modality": "sequence",
        "start_time": float(start_seconds),
        "end_time": float(end_seconds),
        "sampling_rate": float(rate_hz),
        "n_signals": shape[1],
        "n_timestamps": shape[0],
        "dtype": dtype,
        "is_mem_mapped": True,
        "phase_shift_per_signal": False,
        **(fields or {}),
    }
    _write_yaml(folder / "meta.yml", meta)


def write_behavior(
    folder: Path, values: NDArray[np.float64], *, start_seconds: float, rate_hz: float
) -> None:
    """Write a behavior device.

    Args:
        folder: The device's folder.
        values: `(rows, channels)`.
        start_seconds: Absolute time of the first row.
        rate_hz: Rows per second.
    """
    (folder / "meta").mkdir(parents=True)
    values.tofile(folder / "data.mem")
    for name, statistic in (("means", np.nanmean), ("stds", np.nanstd)):
        np.save(folder / "meta" / f"{name}.npy", statistic(values, axis=0)[None])
    _write_sequence_meta(
        folder,
        start_seconds=start_seconds,
        end_seconds=start_seconds + (len(values) - 1) / rate_hz,
        rate_hz=rate_hz,
        shape=(len(values), values.shape[1]),
        dtype="float64",
    )


def _trial_fields(trial: PlannedTrial, number: int, first_flip: int) -> dict[str, Any]:
    """Return the fields of a trial's yml file."""
    fields: dict[str, Any] = {
        "modality": "INVALID" if trial.kind == "invalid" else trial.kind,
        "first_frame_idx": first_flip,
        "image_size": [FRAME_HEIGHT, FRAME_WIDTH],
        "trial_idx": number,
    }
    if trial.kind == "video":
        fields["num_frames"] = trial.num_flips
    if trial.kind in ("video", "image"):
        kind = "stimulus.Clip" if trial.kind == "video" else "stimulus.Frame"
        fields |= {"stim_type": kind, "condition": trial.condition}
        fields |= {"tier": trial.tier, "valid_trial": True}
    else:
        fields["interleave_value"] = GREY
    return fields


class ScreenWriter:
    """Writes the screen device trial by trial; keeps the trials' fields for combined_meta.json."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fields: dict[str, dict[str, Any]] = {}
        self._flips = 0
        (folder / "data").mkdir(parents=True)
        (folder / "meta").mkdir()

    def add(self, trial: PlannedTrial, frames: NDArray[np.uint8]) -> None:
        """Write the next trial."""
        name = f"{len(self._fields):05d}"
        fields = _trial_fields(trial, len(self._fields), self._flips)
        self._fields[name] = fields
        self._flips += trial.num_flips
        _write_yaml(self._folder / "meta" / f"{name}.yml", fields)
        if trial.kind == "video":
            np.save(self._folder / "data" / f"{name}.npy", frames)
        elif trial.kind == "image":
            np.save(self._folder / "data" / f"{name}.npy", frames[0])

    def finish(self, flip_seconds: NDArray[np.float64]) -> None:
        """Write the absolute times of the flips and the files on all trials."""
        assert len(flip_seconds) == self._flips, "every stored frame has one flip"
        np.save(self._folder / "timestamps.npy", flip_seconds)
        np.save(self._folder / "meta" / "means.npy", np.array([float(GREY)]))
        np.save(self._folder / "meta" / "stds.npy", np.array([GREY_STD]))
        _write_yaml(self._folder / "meta.yml", {"modality": "screen", "frame_rate": FRAME_RATE_HZ})
        (self._folder / "combined_meta.json").write_text(json.dumps(self._fields, indent=1))


class ResponseWriter:
    """Writes the responses device and the expected responses of the ground truth, row by row."""

    def __init__(self, folder: Path, timeline: Timeline, population: Population) -> None:
        shape = (timeline.num_rows, population.num_neurons)
        self._folder = folder / "responses"
        self._timeline = timeline
        self._population = population
        self._responses = (self._folder / "data.mem").open("wb")
        self._expected = [
            np.lib.format.open_memmap(
                folder / TRUTH_FOLDER / f"{name}.npy",
                mode="w+",
                dtype=np.float32,
                shape=shape,
            )
            for name in ("expected_stimulus_behavior", "expected_state")
        ]
        self._row = 0
        self._count = 0
        self._sums = np.zeros((2, population.num_neurons))

    def add(self, activity: Activity, missing: NDArray[np.bool_]) -> None:
        """Append rows; responses of `missing` rows, bool `(rows,)`, are written as NaN."""
        rows = slice(self._row, self._row + len(missing))
        responses = activity.responses.astype(np.float32)
        responses[missing] = np.nan
        self._responses.write(responses.tobytes())
        self._expected[0][rows] = activity.expected_stimulus_behavior
        self._expected[1][rows] = activity.expected_state
        kept = responses[~missing].astype(np.float64)
        self._sums += kept.sum(axis=0), (kept**2).sum(axis=0)
        self._count += len(kept)
        self._row = rows.stop

    def finish(self) -> None:
        """Close the files; write meta.yml, the statistics and the neurons."""
        self._responses.close()
        for expected in self._expected:
            expected.flush()
        timeline, population = self._timeline, self._population
        (self._folder / "meta").mkdir()
        _write_sequence_meta(
            self._folder,
            start_seconds=timeline.responses_start,
            end_seconds=timeline.responses_end,
            rate_hz=RESPONSE_RATE_HZ,
            shape=(timeline.num_rows, population.num_neurons),
            dtype="float32",
            fields={
                "original_sampling_rate": NATIVE_RATE_HZ,
                "neuron_properties": {
                    "unit_ids": "meta/unit_ids.npy",
                    "cell_motor_coordinates": "meta/cell_motor_coordinates.npy",
                },
            },
        )
        mean, square = self._sums / self._count
        std = np.sqrt(np.maximum(square - mean**2, 0.0))
        np.save(self._folder / "meta" / "means.npy", mean[None])
        np.save(self._folder / "meta" / "stds.npy", std[None])
        np.save(self._folder / "meta" / "unit_ids.npy", population.unit_id)
        np.save(self._folder / "meta" / "cell_motor_coordinates.npy", population.position_um)
