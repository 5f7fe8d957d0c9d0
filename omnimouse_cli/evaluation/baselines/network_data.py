"""What networks among the baselines are given: windows to train on and to stop by, in memory."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from omnimouse_cli.config.data import NUM_BEHAVIOR_SAMPLES, NUM_RESPONSE_SAMPLES
from omnimouse_cli.evaluation.baselines.bins import BEHAVIOR_AT_RESPONSES
from omnimouse_cli.evaluation.baselines.choose import Choice, evenly_spaced, find_choice
from omnimouse_cli.evaluation.baselines.screen_features import screen_features
from omnimouse_cli.evaluation.session_reader import F32, I64
from omnimouse_cli.evaluation.targets import Targets

# Starts of windows are 1/30 s apart: half a second between windows takes every sample four times.
WINDOWS_PER_START = 15
LEAST_WINDOWS = 4 * WINDOWS_PER_START
MOST_VALUES = 150_000_000
SCALING_WINDOWS, WINDOWS_AT_ONCE = 128, 32


def choose_windows(targets: Targets, tiers: tuple[str, ...]) -> Choice | str:
    """Return the windows to train on and to stop by; a reason where there are too few."""
    return find_choice(targets, tiers, fewest=LEAST_WINDOWS, with_sklearn=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NetworkData:
    """Windows in memory, with what a network is given and what it is to predict.

    Args:
        columns: float32 `(windows, 60, columns)`; what is hidden or lost is 0, the mean.
        truth: float32 `(windows, samples, outputs)`; NaN where it is lost or not scored.
    """

    columns: Tensor
    truth: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ColumnScaling:
    """Scales columns to a mean of 0 and a standard deviation of 1 over training windows.

    Args:
        targets: What is predicted.
        mean: float32 `(columns,)`.
        std: float32 `(columns,)`.
    """

    targets: Targets
    mean: F32
    std: F32

    @classmethod
    def fit(cls, targets: Targets, training: I64) -> "ColumnScaling":
        """Compute mean and standard deviation from some of the training windows."""
        values = read_columns(targets, evenly_spaced(training, SCALING_WINDOWS))
        mean, std = np.nanmean(values, axis=(0, 1)), np.nanstd(values, axis=(0, 1))
        return cls(targets=targets, mean=mean, std=np.where(std > 1e-6, std, 1.0))

    def columns(self, grid: I64) -> Tensor:
        """Read the columns of windows, scaled."""
        scaled = (read_columns(self.targets, grid) - self.mean) / self.std
        return torch.from_numpy(np.nan_to_num(scaled).astype(np.float32))

    def load(self, grid: I64) -> NetworkData:
        """Read columns and truth of as many of the windows as fit in memory."""
        grid = evenly_spaced(grid, MOST_VALUES // (NUM_RESPONSE_SAMPLES * len(self.mean)))
        parts = [
            grid[first : first + WINDOWS_AT_ONCE] for first in range(0, len(grid), WINDOWS_AT_ONCE)
        ]
        return NetworkData(
            columns=torch.cat([self.columns(part) for part in parts]),
            truth=torch.from_numpy(np.concatenate([self.targets.truth(part) for part in parts])),
        )


def read_columns(targets: Targets, grid: I64) -> F32:
    """Return responses, screen and behavior that a strategy shows; NaN where they are hidden.

    Args:
        targets: Their strategy decides.
        grid: int64 `(windows,)`.

    Returns:
        float32 `(windows, 60, columns)`: visible neurons, features of the screen, channels.
    """
    strategy, reader = targets.strategy, targets.reader
    parts = []
    if strategy.prefix is not None:
        visible = targets.selection.visible[0].numpy()
        shown = reader.responses(grid, strategy.prefix, visible)
        parts.append(_place(shown, strategy.prefix))
    if "stimulus" in targets.inputs:
        assert strategy.video is not None
        parts.append(_place(screen_features(reader, grid, strategy.video), strategy.video))
    if "behavior" in targets.inputs:
        shown = targets.input_behavior(grid)
        placed = np.full((len(grid), NUM_BEHAVIOR_SAMPLES, shown.shape[2]), np.nan, np.float32)
        placed[:, slice(*strategy.behavior_samples)] = shown
        parts.append(placed[:, BEHAVIOR_AT_RESPONSES])
    return np.concatenate(parts, axis=2)


def _place(values: F32, samples: tuple[int, int]) -> F32:
    """Place samples of a part of the window in the whole window, with NaN around them."""
    placed = np.full((len(values), NUM_RESPONSE_SAMPLES, values.shape[2]), np.nan, np.float32)
    placed[:, slice(*samples)] = values
    return placed
