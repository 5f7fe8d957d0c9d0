"""A neuron's own visible samples on a way of their own to its read-out."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES
from omnimouse_cli.model.initialize import linear

# B batch, S samples of the window, A asked samples, G target neurons, M width of the model


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

    def forward(
        self, responses_BSG: Tensor, strategy: Strategy, num_shared: int
    ) -> tuple[Tensor, Tensor]:
        """Give what a neuron's visible samples add to its query and to its drive.

        Args:
            responses_BSG: Samples of the target neurons, hidden ones too; those are not read.
            strategy: What is seen and asked.
            num_shared: How many targets, the first ones, are visible neurons.

        Returns:
            `(batch, targets, model width)` and `(batch, asked samples, targets)`.
        """
        assert strategy.targets is not None
        seen_SG = visible_samples(strategy, responses_BSG.shape[2], num_shared, responses_BSG)
        history_BSG = responses_BSG.where(seen_SG, 0.0)
        seen_SG = seen_SG.to(responses_BSG.dtype)
        of_sample_MS, of_being_seen_MS = self.project.weight.chunk(2, dim=1)
        query_BGM = functional.linear(history_BSG.transpose(1, 2), of_sample_MS)
        query_BGM = query_BGM + functional.linear(seen_SG.T, of_being_seen_MS)
        filter_AS = self.filter[slice(*strategy.targets)]
        of_sample_AS, of_being_seen_AS = filter_AS.chunk(2, dim=1)
        drive_BAG = of_sample_AS @ history_BSG + of_being_seen_AS @ seen_SG
        return query_BGM, drive_BAG


def has_history(strategy: Strategy, num_shared: int) -> bool:
    """Whether any target neuron is visible at any time."""
    first, last = strategy.everyone_range
    return strategy.prefix is not None and (num_shared > 0 or first < last)


def visible_samples(strategy: Strategy, num_targets: int, num_shared: int, like: Tensor) -> Tensor:
    """Say which samples of which target neurons are visible.

    Returns:
        bool `(60, targets)` on the device of `like`.
    """
    sample_S1 = torch.arange(NUM_RESPONSE_SAMPLES, device=like.device)[:, None]
    shared_G = torch.arange(num_targets, device=like.device) < num_shared
    first, last = strategy.visible_range
    everyone_first, everyone_last = strategy.everyone_range
    of_visible_S1 = (sample_S1 >= first) & (sample_S1 < last)
    of_everyone_S1 = (sample_S1 >= everyone_first) & (sample_S1 < everyone_last)
    return torch.where(shared_G, of_visible_S1, of_everyone_S1)
