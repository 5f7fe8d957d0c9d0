"""Which neurons of a batch a strategy shows and asks for, and which asked samples are scored."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from omnimouse_cli.batch.strategy import REFERENCE_POPULATION, Strategy, is_seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Neurons of every window, as positions in the batch's neuron axis.

    Which of the target neurons are visible is the same in every window: the last targets of an
    order of which the first are visible.

    Args:
        visible: int64 `(batch, visible)`.
        targets: int64 `(batch, targets)`.
        num_neurons: Neurons of the batch.
        num_shared: How many targets, the first ones, are visible neurons.
    """

    visible: Tensor
    targets: Tensor
    num_neurons: int
    num_shared: int

    @property
    def num_visible(self) -> int:
        """Neurons that are seen in a window."""
        return self.visible.shape[1]

    @property
    def num_targets(self) -> int:
        """Neurons that are asked for in a window."""
        return self.targets.shape[1]

    def to(self, device: torch.device | str) -> "Selection":
        """The same selection on a device."""
        return Selection(
            visible=self.visible.to(device, non_blocking=True),
            targets=self.targets.to(device, non_blocking=True),
            num_neurons=self.num_neurons,
            num_shared=self.num_shared,
        )


def num_visible(strategy: Strategy, num_neurons: int) -> int:
    """Neurons of a population whose responses a strategy shows."""
    if strategy.num_visible is None:
        return num_neurons
    return _scaled(strategy.num_visible, strategy, num_neurons)


def num_targets(strategy: Strategy, num_neurons: int, max_targets: int | None) -> int:
    """Neurons of a population that a strategy asks for; `max_targets` is of 4096."""
    if strategy.targets is None:
        return 0
    asked = num_neurons
    if strategy.num_targets is not None:
        asked = _scaled(strategy.num_targets, strategy, num_neurons)
    return asked if max_targets is None else min(asked, max_targets)


def _scaled(count: int, strategy: Strategy, num_neurons: int) -> int:
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
) -> Selection:
    """Choose the visible and the asked neurons of every window.

    Args:
        strategy: What is seen and asked.
        num_neurons: Neurons of the batch.
        num_windows: Windows of the batch.
        generator: Draws a permutation of the neurons for each window (training); None takes the
            recording's order (evaluation).
        max_targets: Most neurons that are asked for; None has no limit.

    Returns:
        The first neurons of the order as visible ones, the last ones as targets.

    Example:
        >>> strategy = Strategy(name="s", family="predict", num_visible=0, video=(0, 60))
        >>> select(strategy, num_neurons=3, num_windows=1, generator=None).targets
        tensor([[0, 1, 2]])
    """
    visible = num_visible(strategy, num_neurons)
    targets = num_targets(strategy, num_neurons, max_targets)
    if generator is None:
        order = torch.arange(num_neurons).expand(num_windows, -1)
    else:
        draws = torch.rand(num_windows, num_neurons, generator=generator)
        order = draws.argsort(dim=1, stable=True)
    return Selection(
        visible=order[:, :visible],
        targets=order[:, num_neurons - targets :],
        num_neurons=num_neurons,
        num_shared=max(0, visible + targets - num_neurons),
    )


@lru_cache(maxsize=1024)
def scored_samples(strategy: Strategy) -> tuple[tuple[bool, ...], tuple[bool, ...]]:
    """Say which of the asked samples count for visible and for hidden target neurons.

    A sample counts where it lies outside everything that is seen of its neuron, by the
    interpolation buffer.

    Returns:
        For neurons that are visible, and for the others: one bool per asked sample.
    """
    asked = range(*strategy.targets) if strategy.targets else range(0)
    return (
        tuple(not is_seen(sample, strategy.visible_range) for sample in asked),
        tuple(not is_seen(sample, strategy.everyone_range) for sample in asked),
    )


def scored_mask(strategy: Strategy, selection: Selection) -> Tensor:
    """Give bool `(asked samples, targets)`: which predictions a loss or a score may use."""
    of_visible, of_hidden = scored_samples(strategy)
    shared, targets = selection.num_shared, selection.num_targets
    device = selection.targets.device
    pair = torch.tensor([of_visible, of_hidden], dtype=torch.bool, device=device)
    hidden = (torch.arange(targets, device=device) >= shared).long()
    return pair[hidden].T
