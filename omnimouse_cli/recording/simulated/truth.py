"""The ground truth of a simulated recording: the exact expectation of every response."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.files import read_document
from omnimouse_cli.recording.simulated.activity import expected_gain, unsmooth
from omnimouse_cli.recording.simulated.population import Population
from omnimouse_cli.recording.simulated.settings import DECAY

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
TRUTH_FOLDER = "truth"


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The ground truth of one simulated recording; rows are those of the response clock.

    Args:
        session: Session key.
        expected_stimulus_behavior: Expected response given stimulus and behavior, float32
            `(rows, neurons)`, memory-mapped.
        expected_state: Expected response given the shared state as well, float32
            `(rows, neurons)`, memory-mapped.
        state: The shared state, float32 `(rows, 4)`.
        behavior: True behavior in standard deviations, float32 `(rows, channels)`.
        channels: Names of the behavior channels.
        behavior_center, behavior_scale: Mean and standard deviation in raw units, `(channels,)`.
        population: The neurons.
    """

    session: str
    expected_stimulus_behavior: F32
    expected_state: F32
    state: F32
    behavior: F32
    channels: tuple[str, ...]
    behavior_center: F64
    behavior_scale: F64
    population: Population

    @property
    def has_reference_decoder(self) -> bool:
        """Whether the reference decoder, which inverts gains of behavior, fits these neurons."""
        return self.population.inputs is None

    def expected_predict(self, rows: I64) -> F32:
        """Return E[response | stimulus, behavior] at `rows`: `(*rows.shape, neurons)`.

        No predictor from stimulus and behavior alone has a higher correlation.
        """
        return np.asarray(self.expected_stimulus_behavior[rows])

    def expected_population(self, rows: I64) -> F32:
        """Return E[response | stimulus, behavior, state] at `rows`: `(*rows.shape, neurons)`.

        Other neurons are informative about the shared state only, so that no predictor from them,
        the stimulus and the behavior has a higher correlation.
        """
        return np.asarray(self.expected_state[rows])

    def expected_forecast(
        self, last_input_row: I64, rows: I64, last_responses: NDArray[np.floating[Any]]
    ) -> F32:
        """Return E[response | past responses, stimulus, behavior] at `rows`.

        The shared state at the last input row is given, so that no predictor from the past
        responses, the stimulus and the behavior has a higher correlation.

        Args:
            last_input_row: Last row of the past, `(windows,)`.
            rows: Rows to predict, `(windows, steps)`, ascending, after the last input row, at the
                same distances from it in every window.
            last_responses: Responses at the last input row, `(windows, neurons)`.

        Returns:
            float32 `(windows, steps, neurons)`.
        """
        ahead = rows - last_input_row[:, None]
        if ahead.size == 0:
            return np.zeros((*rows.shape, self.population.num_neurons), np.float32)
        if np.any(ahead != ahead[0]) or np.any(np.diff(ahead[0]) <= 0) or ahead[0, 0] < 1:
            raise ValueError(
                "`rows` must be ascending, after `last_input_row`, alike in each window"
            )
        horizon = int(ahead[0, -1])
        span = last_input_row[:, None] + np.arange(horizon + 1)
        smoothed = self.expected_stimulus_behavior[span].astype(np.float64)
        rate = unsmooth(np.moveaxis(smoothed[:, 1:], 1, 0), smoothed[:, 0])
        state = self.state[last_input_row].astype(np.float64)
        expected = np.asarray(last_responses, dtype=np.float64)
        positions = {int(step): position for position, step in enumerate(ahead[0])}
        result = np.empty((*rows.shape, self.population.num_neurons), np.float32)
        for step in range(1, horizon + 1):
            gain = expected_gain(state, step, self.population.loading)
            expected = DECAY * expected + (1 - DECAY) * rate[step - 1] * gain
            if step in positions:
                result[:, positions[step]] = expected
        return result


def has_truth(recording_path: Path) -> bool:
    """Return whether a recording is a simulated one with ground truth."""
    return (recording_path / TRUTH_FOLDER / "truth.json").is_file()


def load_truth(recording_path: Path) -> Truth:
    """Open the ground truth of a simulated recording; the long arrays are memory-mapped.

    Args:
        recording_path: The session folder that `simulate` wrote.

    Raises:
        RecordingError: There is no ground truth, or it is damaged.
    """
    folder = recording_path / TRUTH_FOLDER
    if not has_truth(recording_path):
        raise RecordingError(
            f"{recording_path} has no ground truth: truth/truth.json is missing",
            hint="only recordings that `omnimouse simulate` wrote have one",
        )
    description = read_document(folder / "truth.json", "truth")
    names = ("expected_stimulus_behavior", "expected_state", "state", "behavior")
    try:
        long = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}
        with np.load(folder / "parameters.npz") as arrays:
            small = dict(arrays)
    except (OSError, ValueError, EOFError) as error:
        raise RecordingError(
            f"{folder} is damaged: {error}", hint="simulate the recording again with --force"
        ) from error
    center, scale = small.pop("behavior_center"), small.pop("behavior_scale")
    return Truth(
        session=description["session"],
        channels=tuple(description["channels"]),
        behavior_center=center,
        behavior_scale=scale,
        population=Population(**small),
        **long,
    )
