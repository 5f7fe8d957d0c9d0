"""Networks among the baselines: their inputs, their training and early stopping, their predictions.

Budget: at most 30 passes over the training windows for each of a few settings. A pass takes a
window for every half second, other ones than the pass before. Training ends after 4 passes without
a lower loss on the validation tier; the best weights of the best setting are kept. Everything
random follows from a fixed seed.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from omnimouse_cli.batch.windows import window_table
from omnimouse_cli.config.data import (
    BEHAVIOR_RATE_HZ,
    NUM_BEHAVIOR_SAMPLES,
    NUM_RESPONSE_SAMPLES,
    RESPONSE_RATE_HZ,
)
from omnimouse_cli.evaluate.baselines.ridge import training_windows
from omnimouse_cli.evaluate.baselines.ridge_features import screen_features
from omnimouse_cli.evaluate.scorer import Piece
from omnimouse_cli.evaluate.session_reader import F32, I64
from omnimouse_cli.evaluate.targets import Targets

MOST_PASSES, PATIENCE = 30, 4
# A pass over all windows would take every sample sixty times.
WINDOWS_PER_START = 15
BATCH_WINDOWS = 32
LEARNING_RATE, WEIGHT_DECAY, MOST_GRADIENT = 2e-3, 1e-2, 1.0
LEAST_WINDOWS = 4 * WINDOWS_PER_START
HELD_OUT_SHARE = 0.2
VALIDATION_TIER, VALIDATION_STRIDE = "validation", 30
SCALING_WINDOWS = 128
SEED = 0


class WindowSplit(NamedTuple):
    """Windows of one session, as grid indices.

    Args:
        training: int64: windows to train on.
        validation: int64: windows to stop by.
    """

    training: I64
    validation: I64


def split_windows(targets: Targets, tiers: tuple[str, ...]) -> WindowSplit | str:
    """Return the training windows and those of the validation tier.

    Where there is no validation tier, or where it is what is scored, the last part of the training
    time takes its place.

    Args:
        targets: What is predicted, with the scored windows.
        tiers: Training tiers.

    Returns:
        The windows; a reason where there are too few.
    """
    training, reader = training_windows(targets, tiers), targets.reader
    if len(training) < LEAST_WINDOWS:
        return f"the tiers {', '.join(tiers)} have only {len(training)} windows to train on"
    table = window_table(
        reader.shard,
        tiers=(VALIDATION_TIER,),
        include_blanks=False,
        require_behavior=reader.require_behavior,
        stride_samples=VALIDATION_STRIDE,
    )
    validation = np.sort(table.grid_index(np.arange(table.num_windows)))
    is_usable = VALIDATION_TIER not in tiers and len(validation) > 0
    if is_usable and not np.isin(targets.windows.grid, validation).any():
        return WindowSplit(training, validation)
    border = training[int(len(training) * (1 - HELD_OUT_SHARE))]
    held_out = training[training >= border][:: VALIDATION_STRIDE // 2]
    return WindowSplit(training[training < border - NUM_RESPONSE_SAMPLES], held_out)


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkInputs:
    """What a strategy shows of a window, as columns at each response sample.

    Args:
        targets: What is predicted.
        mean: float32 `(columns,)`: over training windows.
        std: float32 `(columns,)`.
    """

    targets: Targets
    mean: F32
    std: F32

    @classmethod
    def fit(cls, targets: Targets, training: I64) -> "NetworkInputs":
        """Scale columns to a mean of 0 and a standard deviation of 1 on some training windows."""
        count = min(SCALING_WINDOWS, len(training))
        some = training[np.linspace(0, len(training) - 1, count).astype(np.int64)]
        values = read_columns(targets, some)
        mean, std = np.nanmean(values, axis=(0, 1)), np.nanstd(values, axis=(0, 1))
        return cls(targets=targets, mean=mean, std=np.where(std > 1e-6, std, 1.0))

    def read(self, grid: I64) -> Tensor:
        """Return float32 `(windows, 60, columns)`; what is hidden or lost is 0, the mean."""
        scaled = (read_columns(self.targets, grid) - self.mean) / self.std
        return torch.from_numpy(np.nan_to_num(scaled).astype(np.float32))


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
        sample = np.arange(NUM_RESPONSE_SAMPLES) * BEHAVIOR_RATE_HZ / RESPONSE_RATE_HZ
        parts.append(placed[:, (sample + 1e-4).astype(np.int64)])
    return np.concatenate(parts, axis=2)


def _place(values: F32, samples: tuple[int, int]) -> F32:
    """Place samples of a part of the window in the whole window, with NaN around them."""
    placed = np.full((len(values), NUM_RESPONSE_SAMPLES, values.shape[2]), np.nan, np.float32)
    placed[:, slice(*samples)] = values
    return placed


def predict_network(
    builders: list[Callable[[NetworkInputs], nn.Module]], targets: Targets, split: WindowSplit
) -> Iterator[Piece]:
    """Train a network under several settings and predict the scored windows with the best one.

    Args:
        builders: Each returns a network of one setting, which maps inputs `(windows, 60, columns)`
            to predictions `(windows, samples, outputs)`.
        targets: What is predicted.
        split: Windows to train on and to stop by.
    """
    inputs = NetworkInputs.fit(targets, split.training)
    with torch.random.fork_rng():
        fits = []
        for build in builders:
            torch.manual_seed(SEED)
            fits.append(_train(build(inputs), inputs, split))
    _, network = min(fits, key=lambda fit: fit[0])
    for windows in targets.window_slices():
        with torch.inference_mode():
            values = network(inputs.read(targets.windows.grid[windows]))
        yield Piece(windows, slice(None), values.numpy())


def _train(
    network: nn.Module, inputs: NetworkInputs, split: WindowSplit
) -> tuple[float, nn.Module]:
    """Return the lowest validation loss and the network with the weights that had it."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    order = np.random.default_rng(SEED)
    best, weights, since_best = np.inf, copy.deepcopy(network.state_dict()), 0
    for _ in range(MOST_PASSES):
        network.train()
        chosen = order.permutation(split.training)[: len(split.training) // WINDOWS_PER_START]
        for first in range(0, len(chosen), BATCH_WINDOWS):
            optimizer.zero_grad()
            grid = np.sort(chosen[first : first + BATCH_WINDOWS])
            loss, _ = _squared_error(network, inputs, grid)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), MOST_GRADIENT)
            optimizer.step()
        loss_now = _validation_loss(network, inputs, split.validation)
        if loss_now < best:
            best, weights, since_best = loss_now, copy.deepcopy(network.state_dict()), 0
            continue
        since_best += 1
        if since_best == PATIENCE:
            break
    network.load_state_dict(weights)
    return float(best), network.eval()


def _squared_error(network: nn.Module, inputs: NetworkInputs, grid: I64) -> tuple[Tensor, Tensor]:
    """Return the mean squared error of what is scored and not lost, and the number of values."""
    truth = torch.from_numpy(inputs.targets.truth(grid))
    known = ~truth.isnan()
    error = (network(inputs.read(grid)) - truth.nan_to_num(0.0)).square() * known
    count = known.sum()
    return error.sum() / count.clamp(min=1), count


def _validation_loss(network: nn.Module, inputs: NetworkInputs, grid: I64) -> float:
    network.eval()
    total, values = 0.0, 0
    with torch.inference_mode():
        for first in range(0, len(grid), BATCH_WINDOWS):
            loss, count = _squared_error(network, inputs, grid[first : first + BATCH_WINDOWS])
            total, values = total + float(loss) * int(count), values + int(count)
    return total / max(values, 1)
