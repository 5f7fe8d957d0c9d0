"""The exact expected response of a simulated session to any stimulus, in any behavior."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.files import read_document
from omnimouse_cli.recording.simulated.activity import mean_behavior_gain, smooth
from omnimouse_cli.recording.simulated.behavior import MAX_SHIFT_PIXELS, shift_of_gaze
from omnimouse_cli.recording.simulated.paired_inputs import PairedDrive, make_drive
from omnimouse_cli.recording.simulated.settings import (
    FRAME_HEIGHT,
    FRAME_WIDTH,
    GREY,
    MODEL_VERSION,
)
from omnimouse_cli.recording.simulated.stimulus import StimulusDrive
from omnimouse_cli.recording.simulated.truth import TRUTH_FOLDER, Truth, load_truth

F64 = NDArray[np.float64]


class ExpectedResponse:
    """E[response | stimulus, behavior] of a simulated session, averaged over the shared state.

    Args:
        truth: Ground truth of the session.
        drive: What drives its neurons.

    Attributes:
        truth: Ground truth of the session: channels, centers and scales of behavior, neurons.
        mean_energy: What divides the energy of each neuron: of Gabors, its mean over calibration
            clips; `(neurons,)`.
        scale: Expected rate at mean energy and a behavior gain of 1, `(neurons,)`.
    """

    def __init__(self, truth: Truth, drive: StimulusDrive | PairedDrive) -> None:
        self.truth = truth
        self.mean_energy = drive.mean_energy
        self._drive = drive
        recorded = np.asarray(truth.behavior, np.float64)
        coupling = truth.population.coupling
        self.scale = truth.population.activity / mean_behavior_gain(recorded, coupling)

    def __call__(
        self,
        frames: NDArray[np.number],
        behavior: NDArray[np.floating] | None = None,
        *,
        gaze_shift: F64 | None = None,
        previous: F64 | None = None,
    ) -> F64:
        """Return the expected response at each row; before the first row, the screen was grey.

        Args:
            frames: Grey levels 0 to 255 of the frame shown at each row of 1/30 s, any number type,
                `(..., rows, 36, 64)`; leading axes are stimuli.
            behavior: Behavior in standard deviations from the session's mean (`truth` has both),
                `(5,)` or `(rows, 5)`, the same for all stimuli; None is the mean.
            gaze_shift: Shift of the receptive fields, `(2,)` or `(rows, 2)` screen pixels down and
                right, at most 6; None computes it from the pupil position in `behavior`.
            previous: Expected response before the first row, `(neurons,)`; None is the stationary
                response to grey in the behavior of the first row.

        Returns:
            `(..., rows, neurons)` in units of the recording.

        Raises:
            ValueError: An argument has another shape, or behavior is not finite.
        """
        rows = _require_rows(frames)
        state = np.zeros(len(self.truth.channels)) if behavior is None else behavior
        state = _expand("behavior", state, rows, len(self.truth.channels))
        if gaze_shift is None:
            shift = self.gaze_shift(state)
        else:
            shift = _expand("gaze_shift", gaze_shift, rows, 2)
            if np.abs(shift).max() > MAX_SHIFT_PIXELS:
                raise ValueError(f"`gaze_shift` must be at most {MAX_SHIFT_PIXELS:g} pixels")
        population = self.truth.population
        gain = self.scale * np.exp(state @ population.coupling.T)
        if previous is None:
            self._drive.forget()
            grey = np.full((1, FRAME_HEIGHT, FRAME_WIDTH), GREY, np.float32)
            previous = gain[0] * self._drive.gain(grey, shift[:1], state[:1])[0]
        stimuli = np.asarray(frames, np.float32).reshape(-1, rows, FRAME_HEIGHT, FRAME_WIDTH)
        responses = np.empty((len(stimuli), rows, population.num_neurons))
        for stimulus, response in zip(stimuli, responses, strict=True):
            self._drive.forget()
            response[:] = smooth(self._drive.gain(stimulus, shift, state) * gain, previous)
        return responses.reshape(*frames.shape[:-2], population.num_neurons)

    def gaze_shift(self, behavior: NDArray[np.floating]) -> F64:
        """Return the shift of the receptive fields in a state of behavior.

        Args:
            behavior: In standard deviations from the session's mean, `(..., 5)`.

        Returns:
            `(..., 2)` screen pixels, down and right.
        """
        return shift_of_gaze(behavior[..., :2] * self.truth.behavior_scale[:2])


def load_expected_response(recording_path: Path) -> ExpectedResponse:
    """Read the simulated neurons of a recording as functions of stimulus and behavior.

    Args:
        recording_path: The session folder that `simulate` wrote.

    Raises:
        RecordingError: There is no ground truth, it is damaged, or another version of the
            simulation made it.
    """
    truth = load_truth(recording_path)
    identity = read_document(recording_path / TRUTH_FOLDER / "truth.json", "truth")["identity"]
    if identity["model_version"] != MODEL_VERSION:
        raise RecordingError(
            f"{recording_path} was simulated by version {identity['model_version']} of the "
            f"simulation, and this is version {MODEL_VERSION}",
            hint="simulate the recording again with --force",
        )
    drive = make_drive(truth.population, identity["seed"], identity["number"])
    return ExpectedResponse(truth, drive)


def _require_rows(frames: NDArray[np.number]) -> int:
    if frames.ndim < 3 or frames.shape[-2:] != (FRAME_HEIGHT, FRAME_WIDTH) or not frames.shape[-3]:
        raise ValueError(
            f"`frames` must be (..., rows, {FRAME_HEIGHT}, {FRAME_WIDTH}): {frames.shape}"
        )
    return int(frames.shape[-3])


def _expand(name: str, values: NDArray[np.floating], rows: int, columns: int) -> F64:
    """Return values `(columns,)` or `(rows, columns)` as `(rows, columns)`.

    Raises:
        ValueError: They have another shape, or are not finite.
    """
    if values.shape not in ((columns,), (rows, columns)):
        raise ValueError(f"`{name}` must be ({columns},) or ({rows}, {columns}): {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"`{name}` must be finite")
    return np.ascontiguousarray(np.broadcast_to(np.asarray(values, np.float64), (rows, columns)))
