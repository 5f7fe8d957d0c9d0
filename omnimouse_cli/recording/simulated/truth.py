"""The known answer of a simulated recording: what could be expected of every response, exactly."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.files import read_document
from omnimouse_cli.recording.simulated.activity import unsmooth
from omnimouse_cli.recording.simulated.dynamics import expected_gain
from omnimouse_cli.recording.simulated.population import Population
from omnimouse_cli.recording.simulated.settings import DECAY

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
TRUTH_FOLDER = "truth"


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What is known about one simulated recording; rows are rows of the response clock.

    Args:
        session: Session key.
        expected_stimulus_behavior: float32 `(rows, neurons)`: the expected response given all of
            the stimulus and behavior. Memory-mapped.
        expected_state: float32 `(rows, neurons)`: the same, given the shared state as well.
        state: float32 `(rows, states)`: the shared state.
        behavior: float32 `(rows, channels)`: true behavior, in standard deviations.
        channels: Names of the behavior channels.
        behavior_center, behavior_scale: `(channels,)`: mean and standard deviation in raw units.
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

    def expected_predict(self, rows: I64) -> F32:
        """Give E[response | stimulus, behavior] at `rows`: `(*rows.shape, neurons)`.

        No predictor that sees the stimulus and the behavior only correlates better.
        """
        return np.asarray(self.expected_stimulus_behavior[rows])

    def expected_population(self, rows: I64) -> F32:
        """Give E[response | stimulus, behavior, shared state] at `rows`: `(*rows.shape, neurons)`.

        Whatever the other neurons tell, they tell about the shared state: no predictor from them,
        the stimulus and the behavior correlates better.
        """
        return np.asarray(self.expected_state[rows])

    def expected_forecast(
        self, last_seen_row: I64, rows: I64, responses_at_last_seen: NDArray[np.floating[Any]]
    ) -> F32:
        """Give E[response | all up to the last seen row, all of stimulus and behavior].

        The shared state at the last seen row is taken as known, so that no predictor from the past
        responses, the stimulus and the behavior correlates better.

        Args:
            last_seen_row: `(windows,)`.
            rows: `(windows, steps)`, ascending, later than the last seen row, the same number of
                rows after it in every window.
            responses_at_last_seen: `(windows, neurons)`.

        Returns:
            float32 `(windows, steps, neurons)`.
        """
        ahead = rows - last_seen_row[:, None]
        if ahead.size == 0:
            return np.zeros((*rows.shape, self.population.num_neurons), np.float32)
        if np.any(ahead != ahead[0]) or np.any(np.diff(ahead[0]) <= 0) or ahead[0, 0] < 1:
            raise ValueError(
                "`rows` must be ascending, after `last_seen_row`, alike in each window"
            )
        horizon = int(ahead[0, -1])
        span = last_seen_row[:, None] + np.arange(horizon + 1)
        smoothed = self.expected_stimulus_behavior[span].astype(np.float64)
        rate = unsmooth(np.moveaxis(smoothed[:, 1:], 1, 0), smoothed[:, 0])
        state = self.state[last_seen_row].astype(np.float64)
        expected = np.asarray(responses_at_last_seen, dtype=np.float64)
        wanted = {int(step): position for position, step in enumerate(ahead[0])}
        result = np.empty((*rows.shape, self.population.num_neurons), np.float32)
        for step in range(1, horizon + 1):
            gain = expected_gain(state, step, self.population.loading)
            expected = DECAY * expected + (1 - DECAY) * rate[step - 1] * gain
            if step in wanted:
                result[:, wanted[step]] = expected
        return result


def save_parameters(folder: Path, **arrays: NDArray[Any]) -> None:
    """Write the small arrays of a truth folder."""
    with (folder / "parameters.npz").open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def has_truth(recording_path: Path) -> bool:
    """Tell whether a recording is a simulated one whose answer is known."""
    return (recording_path / TRUTH_FOLDER / "truth.json").is_file()


def load_truth(recording_path: Path) -> Truth:
    """Open what is known about a simulated recording; the long arrays stay on the disk.

    Args:
        recording_path: The session folder that `simulate` wrote.

    Raises:
        RecordingError: There is no known answer, or it is damaged.
    """
    folder = recording_path / TRUTH_FOLDER
    if not has_truth(recording_path):
        raise RecordingError(
            f"{recording_path} has no known answer: truth/truth.json is missing",
            hint="only recordings that `omnimouse simulate` wrote have one",
        )
    facts = read_document(folder / "truth.json", "truth")
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
        session=facts["session"],
        channels=tuple(facts["channels"]),
        behavior_center=center,
        behavior_scale=scale,
        population=Population(**small),
        **long,
    )
