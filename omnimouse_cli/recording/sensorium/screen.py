"""The stimulus of a Sensorium set: frames as grey levels, and trials with the flips they have."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.recording import Monitor, Screen, Trial
from omnimouse_cli.recording.sensorium.layout import Layout
from omnimouse_cli.recording.sensorium.store import Store

# Interpolation in time may exceed the range of grey levels by this.
_OVERSHOOT = 1.0
# Where frames are from 0 to 1, this many stimuli show it.
_NUM_SAMPLED = 5
_CLASS = "meta/trials/frame_image_class.npy"
_IMAGE_IDS = (
    "meta/trials/frame_image_id.npy",
    "meta/trials/colorframeprojector_image_id.npy",
)


class StimulusReader:
    """Reads the frames of trials as grey levels.

    Args:
        store: The files of the set.
        files: Files of the stimulus by number of the trial.
        layout: Where the trials lie.
        is_static: Whether a trial is an image, `(height, width)` or `(channels, height, width)`;
            else it is a video with time as the last axis.

    Attributes:
        height: Rows of a frame of the first trial.
        width: Columns.
        notes: What was assumed.
    """

    def __init__(
        self, store: Store, files: Mapping[int, str], layout: Layout, *, is_static: bool
    ) -> None:
        self._store = store
        self._files = files
        self._layout = layout
        self._is_static = is_static
        self._scale = 1.0
        self.notes: list[str] = []
        numbers = [trial.number for trial in layout.trials]
        header = store.read_header(files[numbers[0]])
        shape = header.shape
        self._require_frames(files[numbers[0]], shape, header.dtype)
        self.height, self.width = shape[-2:] if is_static else shape[-3:-1]
        if len(shape) == (3 if is_static else 4) and shape[0] > 1:
            self.notes.append(f"frames have {shape[0]} color channels: their mean is taken as grey")
        self._find_scale(numbers)

    def read(self, index: int, first: int, last: int) -> NDArray[np.uint8]:
        """Return frames `first` to `last` (excluded) of a placed trial: `(n, height, width)`.

        Raises:
            RecordingError: A value is not finite or not a grey level.
        """
        file = self._files[self._layout.trials[index].number]
        values = self._frames(file)[first:last] * self._scale
        low, high = float(values.min()), float(values.max())
        if not (low >= -_OVERSHOOT and high <= 255 + _OVERSHOOT):
            raise RecordingError(
                f"{self._store.where(file)}: frames must be grey levels from 0 to 255: found "
                f"{low:g} to {high:g}",
                hint="store the frames as the competition has them",
            )
        return np.ascontiguousarray(np.rint(np.clip(values, 0, 255)), np.uint8)

    def _frames(self, file: str) -> NDArray[Any]:
        """Return the frames of a file, `(frames, height, width)`, padding included."""
        values = self._store.read_array(file)
        self._require_frames(file, values.shape, values.dtype)
        if self._is_static:
            channels = values.astype(np.float32).reshape(-1, *values.shape[-2:])
            return np.asarray(channels.mean(axis=0, keepdims=True))
        if values.ndim == 4:
            values = values.astype(np.float32).mean(axis=0)
        return np.moveaxis(values, -1, 0)

    def _require_frames(self, file: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        num_axes = (2, 3) if self._is_static else (3, 4)
        if len(shape) not in num_axes or 0 in shape or dtype.kind not in "iuf":
            expected = "(channels, height, width)" if self._is_static else "(height, width, time)"
            raise RecordingError(
                f"{self._store.where(file)} must hold numbers of shape {expected}: {dtype} of "
                f"shape {shape}",
                hint="download or copy it again",
            )

    def _find_scale(self, numbers: list[int]) -> None:
        sampled = numbers[:: max(1, len(numbers) // _NUM_SAMPLED)]
        peak = max(float(np.nanmax(self._frames(self._files[number]))) for number in sampled)
        if 0 < peak <= 1:
            self._scale = 255.0
            self.notes.append("frames are from 0 to 1 and are multiplied by 255")


def open_screen(
    store: Store, files: Mapping[int, str], layout: Layout, *, is_static: bool
) -> tuple[Screen, tuple[Trial, ...], list[str]]:
    """Return the screen, the trials, and notes for the user.

    Raises:
        RecordingError: A file is missing, damaged or has another shape.
    """
    reader = StimulusReader(store, files, layout, is_static=is_static)
    conditions = _image_names(store, layout.num_files, reader.notes) if is_static else {}
    trials = []
    for trial in layout.trials:
        condition = conditions.get(trial.number)
        trials.append(
            Trial(
                start_seconds=layout.seconds(trial.first_row),
                end_seconds=layout.seconds(trial.first_row + trial.num_rows),
                kind="image" if is_static else "video",
                tier=trial.tier,
                condition=condition,
                # Every row of the time axis shows a frame.
                first_flip=trial.first_row,
                num_flips=trial.num_rows,
                identified_by_frames=condition is None,
            )
        )
    screen = Screen(
        flip_seconds=np.arange(layout.clock.num_samples) / layout.clock.rate_hz,
        frame_height=reader.height,
        frame_width=reader.width,
        read_frames=reader.read,
        monitor=Monitor(policy="the monitor"),
    )
    return screen, tuple(trials), reader.notes


def _image_names(store: Store, num_trials: int, notes: list[str]) -> dict[int, str]:
    """Return class and number of the image of each trial; none where the set has no names."""
    file = next((one for one in _IMAGE_IDS if one in store.files), None)
    numbers = None if file is None else store.read_texts(file, num_trials, notes)
    if numbers is None:
        return {}
    classes = store.read_texts(_CLASS, num_trials, notes) if _CLASS in store.files else None
    names = zip(classes or ["image"] * num_trials, numbers, strict=True)
    return {trial: f"{kind} {number}" for trial, (kind, number) in enumerate(names)}
