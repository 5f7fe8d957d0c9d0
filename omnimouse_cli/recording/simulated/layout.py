"""Writes the parts of an experanto session folder: devices, trials, and what describes them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from omnimouse_cli.recording.simulated.schedule import PlannedTrial
from omnimouse_cli.recording.simulated.settings import (
    FRAME_HEIGHT,
    FRAME_RATE_HZ,
    FRAME_WIDTH,
    GREY,
    GREY_STD,
)

Facts = Mapping[str, Any]


def write_yaml(path: Path, content: Facts) -> None:
    """Write a small YAML file in the order of its keys."""
    path.write_text(yaml.safe_dump(dict(content), sort_keys=False))


def write_sequence(
    folder: Path,
    values: NDArray[np.floating[Any]] | None,
    *,
    start_seconds: float,
    end_seconds: float,
    rate_hz: float,
    shape: tuple[int, int],
    dtype: str,
    facts: Facts | None = None,
) -> None:
    """Write a sequence device; `values` is None where `data.mem` has been streamed already."""
    (folder / "meta").mkdir(parents=True, exist_ok=True)
    if values is not None:
        values.astype(dtype).tofile(folder / "data.mem")
        for name, statistic in (("means", np.nanmean), ("stds", np.nanstd)):
            np.save(folder / "meta" / f"{name}.npy", statistic(values, axis=0)[None])
    description = {
        "modality": "sequence",
        "start_time": float(start_seconds),
        "end_time": float(end_seconds),
        "sampling_rate": float(rate_hz),
        "n_signals": shape[1],
        "n_timestamps": shape[0],
        "dtype": dtype,
        "is_mem_mapped": True,
        "phase_shift_per_signal": False,
        **(facts or {}),
    }
    write_yaml(folder / "meta.yml", description)


def trial_facts(trial: PlannedTrial, number: int, first_flip: int) -> dict[str, Any]:
    """Give the fields of one trial's yml file."""
    facts: dict[str, Any] = {
        "modality": "INVALID" if trial.kind == "invalid" else trial.kind,
        "first_frame_idx": first_flip,
        "image_size": [FRAME_HEIGHT, FRAME_WIDTH],
        "trial_idx": number,
    }
    if trial.kind == "video":
        facts["num_frames"] = trial.num_flips
    if trial.kind in ("video", "image"):
        kind = "stimulus.Clip" if trial.kind == "video" else "stimulus.Frame"
        facts |= {"stim_type": kind, "condition": trial.condition}
        facts |= {"tier": trial.tier, "valid_trial": True}
    else:
        facts["interleave_value"] = GREY
    return facts


class ScreenWriter:
    """Writes the screen device trial by trial; keeps the trials' facts for the combined file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._facts: dict[str, dict[str, Any]] = {}
        self._flips = 0
        (folder / "data").mkdir(parents=True)
        (folder / "meta").mkdir()

    def add(self, trial: PlannedTrial, frames: NDArray[np.uint8]) -> None:
        """Write the next trial."""
        name = f"{len(self._facts):05d}"
        facts = trial_facts(trial, len(self._facts), self._flips)
        self._facts[name] = facts
        self._flips += trial.num_flips
        write_yaml(self._folder / "meta" / f"{name}.yml", facts)
        if trial.kind == "video":
            np.save(self._folder / "data" / f"{name}.npy", frames)
        elif trial.kind == "image":
            np.save(self._folder / "data" / f"{name}.npy", frames[0])

    def finish(self, flip_seconds: NDArray[np.float64]) -> None:
        """Write the flips (absolute times) and what concerns all trials."""
        assert len(flip_seconds) == self._flips, "every stored frame has one flip"
        np.save(self._folder / "timestamps.npy", flip_seconds)
        np.save(self._folder / "meta" / "means.npy", np.array([float(GREY)]))
        np.save(self._folder / "meta" / "stds.npy", np.array([GREY_STD]))
        write_yaml(self._folder / "meta.yml", {"modality": "screen", "frame_rate": FRAME_RATE_HZ})
        (self._folder / "combined_meta.json").write_text(json.dumps(self._facts, indent=1))
