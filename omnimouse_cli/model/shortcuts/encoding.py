"""The encoding shortcut: reduced-rank regression of responses on motion energies and behavior."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES
from omnimouse_cli.model.motion_energy import TIMES
from omnimouse_cli.model.shortcuts.behavior import sample_and_hold

# B batch, T time steps, F energies, Y rows and X columns of positions, C channels, S samples,
# D columns of the regression, K entries of a signal, R rank

# Energies are averaged over this many parts of the screen.
PART_ROWS, PART_COLUMNS = 2, 3
# Half-open ranges of lags that are averaged, in time steps of 1/15 s: fine after a change, coarse
# for its decay. Movement also follows activity, so behavior reaches ahead.
STIMULUS_BINS = ((0, 1), (1, 2), (2, 4), (4, 6), (6, 10), (10, 15))
BEHAVIOR_BINS = ((-2, 0), (0, 2), (2, 4), (4, 9))
# Random Fourier features of the contrasts.
RANDOM_FEATURES = 1000
LEAST_ENERGY = 1e-12


class Components(NamedTuple):
    """Components at each sample, `(batch, 60, rank)` each.

    Args:
        whole: Components of stimulus and behavior.
        beside_drive: The same, those of the stimulus times `stimulus_share`: receptive fields see
            the stimulus too.
    """

    whole: Tensor
    beside_drive: Tensor


class EncodingShortcut(nn.Module):
    """Time courses by which stimulus and behavior change responses; nothing in it is learned.

    They are the leading components of a ridge regression (`training/start/encoding.py`), and each
    neuron has a weight for each of them. Regressors are behavior, contrasts (square roots of
    energies) in parts of the screen, and random Fourier features of the contrasts' means over the
    screen, which approximate a regression with a Gaussian kernel: responses may be any smooth
    function of the stimulus. Source: Rahimi & Recht, Random features for large-scale kernel
    machines, NeurIPS 2007.

    Args:
        num_features: Motion energies of a position; 0 without a stimulus shortcut.
        grid: Rows and columns of positions.
        num_channels: Behavior channels of the data set.
        rank: Components.
    """

    def __init__(
        self, num_features: int, grid: tuple[int, int], num_channels: int, rank: int
    ) -> None:
        super().__init__()
        self.rank = rank
        self.parts = min(grid[0], PART_ROWS), min(grid[1], PART_COLUMNS)
        num_parts = num_features * self.parts[0] * self.parts[1]
        num_random = RANDOM_FEATURES if num_features else 0
        columns = num_parts * len(STIMULUS_BINS) + num_random, num_channels * len(BEHAVIOR_BINS)
        self.register_buffer("means", torch.zeros(num_parts))
        # A random feature is cos(frequencies * contrasts + phase) - offset. They are drawn in
        # `training/start/encoding.py`; until then all are 0.
        num_means = num_features * len(STIMULUS_BINS)
        self.register_buffer("frequencies", torch.zeros(num_means, num_random))
        self.register_buffer("phases", torch.zeros(num_random))
        self.register_buffer("offsets", torch.ones(num_random))
        # Larger deviations of responses, in their standard deviations, are clipped in the fit.
        self.register_buffer("clip", torch.tensor(float("inf")))
        # Of the components of the stimulus, the share that predictions add to the drive.
        self.register_buffer("stimulus_share", torch.tensor(1.0))
        self.register_load_state_dict_pre_hook(_add_stimulus_share)  # type: ignore[no-untyped-call]
        # The penalty of a neuron's weights, in rows of the regression.
        self.register_buffer("prior", torch.eye(rank))
        self.register_buffer("of_stimulus", torch.zeros(columns[0], rank))
        self.register_buffer("of_behavior", torch.zeros(columns[1], rank))

    def contrasts(self, energy_BTFYX: Tensor) -> Tensor:
        """Return the contrast of each part of the screen: `(batch, 30, features x parts)`."""
        parts = functional.adaptive_avg_pool2d(energy_BTFYX.flatten(0, 1), self.parts)
        # The root of 0, the energy of a uniform screen, has no gradient.
        contrast_BTK: Tensor = parts.clamp_min(LEAST_ENERGY).sqrt()
        contrast_BTK = contrast_BTK.reshape(*energy_BTFYX.shape[:2], -1)
        return contrast_BTK

    def stimulus_columns(self, contrast_BTK: Tensor) -> Tensor:
        """Return the columns of the regression: `(batch, 30, columns)`."""
        lagged_BTD = self.lagged_contrasts(contrast_BTK)
        angles_BTF = self.screen_means(lagged_BTD) @ self.get_buffer("frequencies")
        random_BTF = torch.cos(angles_BTF + self.get_buffer("phases")) - self.get_buffer("offsets")
        return torch.cat([lagged_BTD, random_BTF], dim=2)

    def lagged_contrasts(self, contrast_BTK: Tensor) -> Tensor:
        """Return the contrasts of each part at each lag: `(batch, 30, bins x features x parts)`."""
        return average_lags(contrast_BTK - self.get_buffer("means"), STIMULUS_BINS)

    def screen_means(self, lagged_BTD: Tensor) -> Tensor:
        """Return the means of lagged contrasts over the screen: `(batch, 30, bins x features)`."""
        num_parts = self.parts[0] * self.parts[1]
        return lagged_BTD.reshape(*lagged_BTD.shape[:2], -1, num_parts).mean(-1)

    def forward(
        self, energy_BTFYX: Tensor | None, behavior_BCS: Tensor | None, channels: Tensor
    ) -> Components:
        """Return the components at each sample, of inputs of which at least one is visible.

        Args:
            energy_BTFYX: Motion energies `(batch, steps, features, rows, columns)`; None if hidden.
                Samples after the last of their steps have no components: they repeat the last.
            behavior_BCS: Behavior `(batch, channels of the data set, 40)`; None if hidden.
            channels: Numbers of the session's channels.
        """
        parts = []
        if energy_BTFYX is not None:
            columns_BTD = self.stimulus_columns(self.contrasts(energy_BTFYX))
            of_stimulus_BTR = columns_BTD @ self.get_buffer("of_stimulus")
            share = self.get_buffer("stimulus_share")
            parts.append(Components(of_stimulus_BTR, share * of_stimulus_BTR))
        if behavior_BCS is not None:
            columns_BTD = behavior_columns(behavior_BCS, channels)
            of_behavior_BTR = columns_BTD @ self.get_buffer("of_behavior")
            if parts:
                of_behavior_BTR = of_behavior_BTR[:, : parts[0].whole.shape[1]]
            parts.append(Components(of_behavior_BTR, of_behavior_BTR))
        return Components(
            *(interpolate_steps(torch.stack(each).sum(0)) for each in zip(*parts, strict=True))
        )


def _add_stimulus_share(
    _module: nn.Module, state_dict: dict[str, Tensor], prefix: str, *_: object
) -> None:
    """Set the share of a run from before there was one: it adds all of the components."""
    state_dict.setdefault(f"{prefix}stimulus_share", torch.tensor(1.0))


def behavior_columns(behavior_BCS: Tensor, channels: Tensor) -> Tensor:
    """Return the columns of the regression, 0 for channels that the session lacks.

    Returns:
        `(batch, 30, channels of the data set x bins)`.
    """
    present_BCS = torch.zeros_like(behavior_BCS)
    present_BCS[:, channels] = behavior_BCS[:, channels]
    held_BTC = sample_and_hold(present_BCS)[:, TIMES.start :: TIMES.step]
    return average_lags(held_BTC, BEHAVIOR_BINS)


def average_lags(x_BTK: Tensor, bins: Sequence[tuple[int, int]]) -> Tensor:
    """Average over ranges of lags; outside of the window the signal is 0.

    Example:
        >>> average_lags(torch.tensor([[[1.0], [2.0], [4.0]]]), ((0, 1), (1, 3), (-1, 0)))[0].T
        tensor([[1.0000, 2.0000, 4.0000],
                [0.0000, 0.5000, 1.5000],
                [2.0000, 4.0000, 0.0000]])
    """
    steps = x_BTK.shape[1]
    longest, ahead = max(last for _, last in bins), max(-first for first, _ in bins)
    padded_BTK = functional.pad(x_BTK, (0, 0, longest, max(ahead, 0)))
    sums_BTK = functional.pad(padded_BTK.cumsum(1), (0, 0, 1, 0))
    parts = []
    for first, last in bins:
        low, high = longest - last + 1, longest - first + 1
        total_BTK = sums_BTK[:, high : high + steps] - sums_BTK[:, low : low + steps]
        parts.append(total_BTK / (last - first))
    return torch.cat(parts, dim=2)


def interpolate_steps(x_BTK: Tensor) -> Tensor:
    """Interpolate linearly between time steps: `(batch, 60, ...)`; beyond them it is held."""
    sample, last = torch.arange(NUM_RESPONSE_SAMPLES, device=x_BTK.device), x_BTK.shape[1] - 1
    before = ((sample - TIMES.start).clamp(min=0) // TIMES.step).clamp(max=last)
    after = ((sample + TIMES.step - 1 - TIMES.start).clamp(min=0) // TIMES.step).clamp(max=last)
    return (x_BTK[:, before] + x_BTK[:, after]) / 2
