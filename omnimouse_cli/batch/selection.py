"""The visible and the target neurons of a batch, and which target samples are scored."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from omnimouse_cli.batch.batch import copy_without_wait
from omnimouse_cli.batch.strategy import REFERENCE_POPULATION, Strategy, is_visible

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Visible and target neurons of every window, as positions on the batch's neuron axis.

    Each window has an order of its neurons: the first ones are visible, the last ones are targets.
    The overlap of the two is therefore at the same positions in every window.

    Args:
        visible: int64 `(batch, visible)`: neurons whose responses are inputs.
        targets: int64 `(batch, targets)`: neurons whose responses are predicted.
        num_neurons: Number of neurons of the batch.
        num_shared: Number of targets, the first ones, that are visible too.
    """

    visible: Tensor
    targets: Tensor
    num_neurons: int
    num_shared: int

    @property
    def num_visible(self) -> int:
        """Number of visible neurons of a window."""
        return self.visible.shape[1]

    @property
    def num_targets(self) -> int:
        """Number of target neurons of a window."""
        return self.targets.shape[1]

    def to(self, device: torch.device) -> "Selection":
        """Return the selection on a device."""
        return Selection(
            visible=copy_without_wait(self.visible, device),
            targets=copy_without_wait(self.targets, device),
            num_neurons=self.num_neurons,
            num_shared=self.num_shared,
        )


def num_visible(strategy: Strategy, num_neurons: int) -> int:
    """Return how many of `num_neurons` neurons are visible under a strategy."""
    if strategy.num_visible is None:
        return num_neurons
    return _scale_count(strategy.num_visible, strategy, num_neurons)


def num_targets(strategy: Strategy, num_neurons: int, max_targets: int | None) -> int:
    """Return how many of `num_neurons` neurons are targets: at most `max_targets` unless None."""
    if strategy.targets is None:
        return 0
    targets = num_neurons
    if strategy.num_targets is not None:
        targets = _scale_count(strategy.num_targets, strategy, num_neurons)
    return targets if max_targets is None else min(targets, max_targets)


def _scale_count(count: int, strategy: Strategy, num_neurons: int) -> int:
    if count == 0:
        return 0
    if not strategy.literal_counts and num_neurons < REFERENCE_POPULATION:
        count = max(1, round(count * num_neurons / REFERENCE_POPULATION))
    return min(count, num_neurons)


def select(
    strategy: Strategy,
    *,
    num_neurons: int,
    num_windows: int,
    generator: torch.Generator | None,
    max_targets: int | None = None,
    device: torch.device = CPU,
) -> Selection:
    """Choose the visible and the target neurons of every window.

    Args:
        strategy: Counts of visible and target neurons.
        num_neurons: Number of neurons of the batch.
        num_windows: Number of windows of the batch.
        generator: Draws a permutation of the neurons for each window (training); None takes the
            recording's order (evaluation).
        max_targets: Largest number of target neurons; None has no limit.
        device: Where the selection is needed; it is the same on every device.

    Returns:
        The first neurons of the order as visible neurons, the last ones as targets.

    Example:
        >>> strategy = Strategy(name="s", family="predict", num_visible=0, video=(0, 60))
        >>> select(strategy, num_neurons=3, num_windows=1, generator=None).targets
        tensor([[0, 1, 2]])
    """
    visible = num_visible(strategy, num_neurons)
    targets = num_targets(strategy, num_neurons, max_targets)
    if generator is None:
        order = torch.arange(num_neurons, device=device).expand(num_windows, -1)
    else:
        draws = torch.rand(num_windows, num_neurons, generator=generator)
        # Thousands of neurons take a CPU milliseconds to sort, and a GPU much less.
        order = copy_without_wait(draws, device).argsort(dim=1, stable=True)
    return Selection(
        visible=order[:, :visible],
        targets=order[:, num_neurons - targets :],
        num_neurons=num_neurons,
        num_shared=max(0, visible + targets - num_neurons),
    )


@lru_cache(maxsize=1024)
def scored_samples(strategy: Strategy) -> tuple[tuple[bool, ...], tuple[bool, ...]]:
    """Return which target samples are scored, for visible and for hidden target neurons.

    A sample is scored if it lies outside the visible samples of its neuron and outside the
    interpolation buffer around them.

    Returns:
        For visible neurons, and for the others: one bool per target sample.
    """
    samples = range(*strategy.targets) if strategy.targets else range(0)
    return (
        tuple(not is_visible(sample, strategy.visible_range) for sample in samples),
        tuple(not is_visible(sample, strategy.full_population_range) for sample in samples),
    )


def continues_inputs(strategy: Strategy, num_neurons: int) -> bool:
    """Return whether a neuron is an input at some samples and scored at others, as in forecasts.

    Without a time course in the window, the input is what is to be predicted.

    Example:
        >>> forecast = Strategy(name="s", family="forecast", prefix=(0, 25), context=(0, 60))
        >>> continues_inputs(forecast, 100)
        True
    """
    if strategy.targets is None:
        return False
    visible, targets = num_visible(strategy, num_neurons), num_targets(strategy, num_neurons, None)
    is_shared = visible + targets > num_neurons and any(scored_samples(strategy)[0])
    return is_shared or strategy.full_population_prefix > 0


def scored_mask(strategy: Strategy, selection: Selection) -> Tensor:
    """Return bool `(target samples, targets)`: which predictions a loss or a score may use."""
    device = selection.targets.device
    hidden = torch.arange(selection.num_targets, device=device) >= selection.num_shared
    return _scored_samples_on(strategy, device)[hidden.long()].T


@lru_cache(maxsize=1024)
def _scored_samples_on(strategy: Strategy, device: torch.device) -> Tensor:
    """Return bool `(2, target samples)`: `scored_samples` on a device, copied there only once."""
    # A cached tensor outlives an evaluation; created in inference mode, it could not be trained
    # with.
    with torch.inference_mode(mode=False):
        return copy_without_wait(torch.tensor(scored_samples(strategy), dtype=torch.bool), device)
