"""GLM of conditions x lags: responses to each stimulus add up over the time since its onsets."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from omnimouse_cli.batch.windows import BLANK_KIND
from omnimouse_cli.config.data import RESPONSE_RATE_HZ
from omnimouse_cli.evaluation.baselines.choose import find_choice, training_windows
from omnimouse_cli.evaluation.baselines.problem import Problem
from omnimouse_cli.evaluation.baselines.regression import Design
from omnimouse_cli.evaluation.baselines.ridge import solve_ridge
from omnimouse_cli.evaluation.baselines.ridge_features import behavior_columns
from omnimouse_cli.evaluation.baselines.scaling import ColumnGroups
from omnimouse_cli.evaluation.baselines.search import Best
from omnimouse_cli.evaluation.scorer import Piece
from omnimouse_cli.evaluation.session_reader import F32, F64, I64
from omnimouse_cli.evaluation.stimulus import AFTERMATH_SECONDS, in_tiers, is_kind, stimulus_phases
from omnimouse_cli.evaluation.targets import Targets
from omnimouse_cli.recording.recording import FLIP_TOLERANCE_SECONDS

# Distances of basis functions to choose from; larger ones where columns would be too many.
BUMP_SECONDS = (0.1, 0.2, 0.3, 0.45)
MAX_COLUMNS = 2_000
# Fewer basis functions of each stimulus than this are no time course.
MIN_BUMPS = 4
# What a stimulus adds to the mean response to all of them is less certain than that mean.
CONDITION_WEIGHTS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)


def predict_glm(targets: Targets, tiers: tuple[str, ...]) -> Iterator[Piece] | str | None:
    """Predict a linear sum of responses to the stimuli so far, and of behavior where it is shown.

    A Gaussian GLM with one filter per stimulus, on a basis of raised cosines of the time since an
    onset: Pillow et al., Nature 454 (2008); the ridge penalty is chosen on the validation tier.

    Returns:
        The predictions; a reason where stimuli have no names or training did not show them; None
        without the stimulus among the inputs, with responses among them, or for behavior.
    """
    if targets.is_behavior or "stimulus" not in targets.inputs or "responses" in targets.inputs:
        return None
    choice = find_choice(targets, tiers)
    if isinstance(choice, str):
        return choice
    onsets = Onsets.find(targets, tiers)
    if isinstance(onsets, str):
        return onsets
    grid = training_windows(targets.reader, tiers)
    tried: dict[int, tuple[Best, Problem]] = {}
    for seconds in BUMP_SECONDS:
        number = onsets.num_bumps(seconds)
        if number >= MIN_BUMPS and number not in tried:
            groups = ConditionColumns(targets=targets, onsets=onsets, num_bumps=number)
            problem = Design.make(targets, groups, choice, grid).problem()
            tried[number] = problem.choose(), problem
    if not tried:
        return f"{onsets.num_conditions:,} stimuli are too many for a time course of each"
    best, problem = max(tried.values(), key=lambda each: each[0].score)
    return solve_ridge(problem, targets, best)


@dataclass(frozen=True, kw_only=True, eq=False)
class Onsets:
    """When each stimulus of a session appeared.

    Args:
        seconds: float64 `(onsets,)`, ascending.
        condition: int64 `(onsets,)`: rows of the stimuli that training shows; -1 for others.
        num_conditions: Stimuli that training shows.
        response_seconds: Length of the longest stimulus, and of the response that outlasts it.
    """

    seconds: F64
    condition: I64
    num_conditions: int
    response_seconds: float

    @classmethod
    def find(cls, targets: Targets, tiers: tuple[str, ...]) -> "Onsets | str":
        """Return the onsets of a session, or the reason why a GLM has no stimuli.

        Args:
            targets: Some stimulus in its windows has to be one of the training tiers.
            tiers: Training tiers.
        """
        reader = targets.reader
        trials = reader.shard.trials
        named = np.flatnonzero((trials.condition >= 0) & ~is_kind(reader.shard, BLANK_KIND))
        condition = trials.condition[named].astype(np.int64)
        conditions = np.unique(condition[in_tiers(reader.shard, tiers)[named]])
        seconds = reader.sample_seconds(targets.windows.grid, targets.samples)
        scored = stimulus_phases(reader.shard, seconds).condition
        if not np.isin(scored, conditions).any():
            return "no stimulus of the scored trials was shown in training"
        durations = trials.end_seconds[named] - trials.start_seconds[named]
        return cls(
            seconds=trials.start_seconds[named] - FLIP_TOLERANCE_SECONDS,
            condition=np.where(
                np.isin(condition, conditions), np.searchsorted(conditions, condition), -1
            ),
            num_conditions=len(conditions),
            response_seconds=float(durations.max()) + AFTERMATH_SECONDS,
        )

    def num_bumps(self, seconds: float) -> int:
        """Return the number of basis functions of a response, at most so many seconds apart."""
        most = MAX_COLUMNS // (self.num_conditions + 1)
        return min(int(self.response_seconds / seconds) + 1, most)

    def bumps(self, elapsed: F64, number: int) -> F32:
        """Return raised cosines at times since an onset, any shape: float32 `(*shape, number)`."""
        spacing = self.response_seconds / number
        distance = elapsed[..., None] / spacing - np.arange(number)
        values = 0.5 + 0.5 * np.cos(np.pi * np.clip(distance, -1.0, 1.0))
        values[elapsed < 0] = 0.0
        return values.astype(np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class ConditionColumns(ColumnGroups):
    """Columns of a GLM: time courses of all stimuli together, of each, and behavior.

    Args:
        onsets: Of the stimuli.
        num_bumps: Basis functions of a response.
    """

    onsets: Onsets
    num_bumps: int

    @property
    def weights(self) -> list[tuple[float, ...]]:
        """For each group the weights to choose from."""
        behavior = [(1.0,)] if "behavior" in self.targets.inputs else []
        return [(1.0,), CONDITION_WEIGHTS, *behavior]

    def columns(self, grid: I64, samples: I64) -> list[F32]:
        """Return the groups, each float32 `(windows, samples, columns)`."""
        onsets, reader = self.onsets, self.targets.reader
        video = self.targets.strategy.video
        assert video is not None, "the strategy shows the stimulus"
        seconds = reader.sample_seconds(grid, (0, 1)) + samples / RESPONSE_RATE_HZ
        # An onset after the last visible frame is not known.
        last_seen = reader.sample_seconds(grid, (video[1] - 1, video[1]))
        last = np.searchsorted(onsets.seconds, np.minimum(seconds, last_seen), side="right") - 1
        of_each = np.zeros((*seconds.shape, onsets.num_conditions, self.num_bumps), np.float32)
        of_all = np.zeros((*seconds.shape, self.num_bumps), np.float32)
        position = np.indices(seconds.shape)
        while True:
            elapsed = seconds - onsets.seconds[np.maximum(last, 0)]
            recent = (last >= 0) & (elapsed < onsets.response_seconds)
            if not recent.any():
                break
            values = onsets.bumps(elapsed[recent], self.num_bumps)
            condition = onsets.condition[last[recent]]
            of_all[recent] += values
            known = condition >= 0
            # A sample has at most one onset in each pass.
            window, sample = position[:, recent][:, known]
            of_each[window, sample, condition[known]] += values[known]
            last = np.where(recent, last - 1, -1)
        groups = [of_all, of_each.reshape(*seconds.shape, -1)]
        if "behavior" in self.targets.inputs:
            groups.append(behavior_columns(self.targets, grid, samples))
        return groups
