"""A neuron's own visible samples on a way of their own to its read-out."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES
from omnimouse_cli.model.initialize import linear

# B batch, S samples of the window, A asked samples, G target neurons, M width of the model


class Targets(NamedTuple):
    """The neurons that are asked for.

    Args:
        neurons: int64 `(batch, targets)`: rows of the session's table.
        responses: `(batch, 60, targets)`: their samples, hidden ones too, which are not read.
        strategy: What is seen and asked.
        num_shared: How many of them, the first ones, are visible neurons.
    """

    neurons: Tensor
    responses: Tensor
    strategy: Strategy
    num_shared: int


class OwnHistory(nn.Module):
    """Through shared latents a neuron's own past is hard to see; here it is not.

    Args:
        d_model: Width of the model.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.project = linear(2 * NUM_RESPONSE_SAMPLES, d_model, bias=False)
        # From each visible sample, and from its being visible, to each asked time.
        self.filter = nn.Parameter(torch.zeros(NUM_RESPONSE_SAMPLES, 2 * NUM_RESPONSE_SAMPLES))

    def query(self, targets: Targets) -> Tensor:
        """Give what visible samples add to queries: `(batch, targets, model width)`."""
        history_BSG, seen_SG = seen_history(targets)
        of_sample_MS, of_being_seen_MS = self.project.weight.chunk(2, dim=1)
        query_BGM = functional.linear(history_BSG.transpose(1, 2), of_sample_MS)
        return query_BGM + functional.linear(seen_SG.T, of_being_seen_MS)

    def drive(self, targets: Targets) -> Tensor:
        """Give what visible samples add to the drive: `(batch, asked samples, targets)`."""
        assert targets.strategy.targets is not None
        history_BSG, seen_SG = seen_history(targets)
        filter_AS = self.filter[slice(*targets.strategy.targets)]
        of_sample_AS, of_being_seen_AS = filter_AS.chunk(2, dim=1)
        return of_sample_AS @ history_BSG + of_being_seen_AS @ seen_SG


def seen_history(targets: Targets) -> tuple[Tensor, Tensor]:
    """Give visible samples of target neurons, 0 where hidden, and 1 where they are visible.

    Returns:
        `(batch, 60, targets)` and `(60, targets)`.
    """
    responses_BSG = targets.responses
    seen_SG = visible_samples(
        targets.strategy, responses_BSG.shape[2], targets.num_shared, responses_BSG
    )
    return responses_BSG.where(seen_SG, 0.0), seen_SG.to(responses_BSG.dtype)


def has_history(strategy: Strategy, num_shared: int) -> bool:
    """Whether any target neuron is visible at any time."""
    first, last = strategy.full_population_range
    return strategy.prefix is not None and (num_shared > 0 or first < last)


def visible_samples(strategy: Strategy, num_targets: int, num_shared: int, like: Tensor) -> Tensor:
    """Say which samples of which target neurons are visible.

    Returns:
        bool `(60, targets)` on the device of `like`.
    """
    sample_S1 = torch.arange(NUM_RESPONSE_SAMPLES, device=like.device)[:, None]
    shared_G = torch.arange(num_targets, device=like.device) < num_shared
    first, last = strategy.visible_range
    everyone_first, everyone_last = strategy.full_population_range
    of_visible_S1 = (sample_S1 >= first) & (sample_S1 < last)
    of_everyone_S1 = (sample_S1 >= everyone_first) & (sample_S1 < everyone_last)
    return torch.where(shared_G, of_visible_S1, of_everyone_S1)
