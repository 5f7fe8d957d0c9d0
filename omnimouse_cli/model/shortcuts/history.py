"""The history shortcut: from a neuron's own visible samples to its read-out."""

import torch
from torch import Tensor, nn

from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES
from omnimouse_cli.model.initialize import linear
from omnimouse_cli.model.inputs import TargetNeurons

# B batch, S samples of the window, K samples and whether they are visible,
# A target samples, G target neurons, M width of the model


class HistoryShortcut(nn.Module):
    """Adds a neuron's own visible samples to its decoder query and, filtered, to its drive.

    Through latents that all neurons share, a neuron's own past is hard to learn.

    Args:
        d_model: Width of the model.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.project = linear(2 * NUM_RESPONSE_SAMPLES, d_model, bias=False)
        # From each visible sample, and from its being visible, to each sample of the window.
        self.filter = nn.Parameter(torch.zeros(NUM_RESPONSE_SAMPLES, 2 * NUM_RESPONSE_SAMPLES))

    def query(self, targets: TargetNeurons) -> Tensor:
        """Return the term of the decoder queries: `(batch, targets, model width)`."""
        history_BSG, visible_SG = visible_history(targets)
        both_BKG = torch.cat([history_BSG, visible_SG.expand_as(history_BSG)], dim=1)
        query_BGM: Tensor = self.project(both_BKG.transpose(1, 2))
        return query_BGM

    def forward(self, targets: TargetNeurons) -> Tensor:
        """Return the term of the drive: `(batch, target samples, targets)`."""
        assert targets.strategy.targets is not None
        history_BSG, visible_SG = visible_history(targets)
        filter_AS = self.filter[slice(*targets.strategy.targets)]
        sample_weight_AS, visible_weight_AS = filter_AS.chunk(2, dim=1)
        return sample_weight_AS @ history_BSG + visible_weight_AS @ visible_SG


def has_history(strategy: Strategy, num_shared: int) -> bool:
    """Whether any target neuron is visible at any time."""
    first, last = strategy.full_population_range
    return strategy.prefix is not None and (num_shared > 0 or first < last)


def visible_history(targets: TargetNeurons) -> tuple[Tensor, Tensor]:
    """Return samples of target neurons, 0 where they are hidden, and 1 where they are visible.

    Returns:
        `(batch, 60, targets)` and `(60, targets)`.
    """
    responses_BSG, strategy = targets.responses, targets.strategy
    device = responses_BSG.device
    sample_S1 = torch.arange(NUM_RESPONSE_SAMPLES, device=device)[:, None]
    is_shared_G = torch.arange(responses_BSG.shape[2], device=device) < targets.num_shared
    first, last = strategy.visible_range
    all_first, all_last = strategy.full_population_range
    visible_SG = torch.where(
        is_shared_G,
        (sample_S1 >= first) & (sample_S1 < last),
        (sample_S1 >= all_first) & (sample_S1 < all_last),
    )
    return responses_BSG.where(visible_SG, 0.0), visible_SG.to(responses_BSG.dtype)
