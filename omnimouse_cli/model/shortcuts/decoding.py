"""The decoding shortcut: a linear regression of behavior on the responses around it."""

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.batch.batch import copy_without_wait
from omnimouse_cli.config.data import (
    BEHAVIOR_RATE_HZ,
    NUM_BEHAVIOR_SAMPLES,
    NUM_RESPONSE_SAMPLES,
    RESPONSE_RATE_HZ,
)
from omnimouse_cli.config.model import DECODING_BINS
from omnimouse_cli.model.inputs import ModelInputs

# B batch, S response samples, V visible neurons, N neurons of the session, T behavior samples,
# C channels, L bins of lags


class DecodingShortcut(nn.Module):
    """Weighted sums over visible responses around a behavior sample; nothing in it is learned.

    The weights of neurons are those of a ridge regression (`training/start/decoding.py`).
    Deviations of responses from a center are clipped: a large transient says little more than a
    small one. Where only part of the population is visible, weights are kept: the prediction is
    nearer to the mean then.

    Args:
        num_channels: Behavior channels of the data set.
    """

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.num_channels = num_channels
        # In standard deviations of a neuron, which normalized responses have as their unit.
        self.register_buffer("clip", torch.tensor(float("inf")))
        # Of the regression; infinite leaves it out.
        self.register_buffer("penalty", torch.tensor(float("inf")))

    def forward(self, inputs: ModelInputs, weights_ND: Tensor) -> Tensor:
        """Return the term of the session's channels: `(batch, channels of the session, 40)`.

        Args:
            inputs: Prepared forward pass with visible responses.
            weights_ND: `(neurons, channels of the data set x bins + 1)`: weights, and the center.
        """
        center_N = weights_ND[:, -1]
        weights_NCL = weights_ND[:, :-1].reshape(-1, self.num_channels, len(DECODING_BINS))
        weights_ND = weights_NCL[:, inputs.channels].flatten(1)
        segments, parts = inputs.sequences.segments, []
        for segment in segments:
            responses_BSV, index_BV = inputs.visible_responses(segment)
            deviations_BSV = clip_deviations(
                responses_BSV, center_N[index_BV][:, None], self.get_buffer("clip")
            )
            sums_BSD = deviations_BSV @ functional.embedding(index_BV, weights_ND)
            num_after = NUM_RESPONSE_SAMPLES - segment.last
            parts.append(functional.pad(sums_BSD, (0, 0, segment.first, num_after)))
        visible = (segments[0].first, segments[-1].last)
        return average_sums(torch.stack(parts).sum(0), bin_averages(visible, weights_ND.device))


def clip_deviations(responses: Tensor, center: Tensor, clip: Tensor) -> Tensor:
    """Return the deviations of responses from a center, clipped."""
    return torch.clamp(responses - center, -clip, clip)


def average_sums(sums_BSD: Tensor, averages_TLS: Tensor) -> Tensor:
    """Add up the averages of weighted sums, each in its own bin.

    Args:
        sums_BSD: `(batch, 60, channels x bins)`.
        averages_TLS: Of `bin_averages`.

    Returns:
        `(batch, channels, 40)`.
    """
    sums_BSCL = sums_BSD.view(*sums_BSD.shape[:2], -1, averages_TLS.shape[1])
    return torch.einsum("tls,bscl->bct", averages_TLS.to(sums_BSD.dtype), sums_BSCL)


# Caches are not traced by a compiler.
@torch.compiler.disable  # type: ignore[untyped-decorator]
@lru_cache(maxsize=128)
def bin_averages(visible: tuple[int, int], device: torch.device) -> Tensor:
    """Return the matrix that averages visible samples in bins around each behavior sample.

    Args:
        visible: Half-open range of visible samples.
        device: Where it is needed.

    Returns:
        `(40, bins, 60)`: a bin that lies outside of the window takes the nearest sample of the
        window; one without a visible sample is 0.
    """
    # Cached values outlive an evaluation; made in inference mode, they could not be trained with.
    with torch.inference_mode(mode=False):
        averages_TLS = torch.zeros(NUM_BEHAVIOR_SAMPLES, len(DECODING_BINS), NUM_RESPONSE_SAMPLES)
        for sample in range(NUM_BEHAVIOR_SAMPLES):
            # The latest response sample at or before the behavior sample.
            center = sample * int(RESPONSE_RATE_HZ) // int(BEHAVIOR_RATE_HZ)
            for number, (first, last) in enumerate(DECODING_BINS):
                low = min(max(center + first, 0), NUM_RESPONSE_SAMPLES - 1)
                high = min(max(center + last, low + 1), NUM_RESPONSE_SAMPLES)
                low, high = max(low, visible[0]), min(high, visible[1])
                if low < high:
                    averages_TLS[sample, number, low:high] = 1 / (high - low)
        return copy_without_wait(averages_TLS, device)
