"""Linear filters in time, and their read-out by neuron."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES

# B batch, R signals, A target samples, T samples that are filtered, G target neurons,
# N neurons of the session

ALL_SAMPLES = range(NUM_RESPONSE_SAMPLES)


class LagFilter(nn.Module):
    """A stationary filter for each of several signals: its values depend on the lag alone.

    A filter between any two samples of a window has 3,600 values; one by lag has a few dozen, which
    minutes of recording can determine.

    Args:
        num_signals: Number of signals.
        earliest: Longest lag, in samples: how far back a filter reaches.
        latest: Shortest lag; below 0 a filter reaches ahead.
        times: Times of the signals' samples, in response samples.
        start: Initial values `(lags,)` from the shortest to the longest; None is 0.
        shared_by: Number of consecutive signals that share a filter.
    """

    def __init__(
        self,
        num_signals: int,
        *,
        earliest: int,
        latest: int = 0,
        times: Sequence[int] = ALL_SAMPLES,
        start: Tensor | None = None,
        shared_by: int = 1,
    ) -> None:
        super().__init__()
        self.shared_by = shared_by
        num_lags = earliest - latest + 1
        values = torch.zeros(num_lags) if start is None else start
        self.values = nn.Parameter(values.repeat(num_signals // shared_by, 1))
        lag_ST = torch.arange(NUM_RESPONSE_SAMPLES)[:, None] - torch.tensor(times) - latest
        within_ST = (lag_ST >= 0) & (lag_ST < num_lags)
        self.register_buffer("lag", lag_ST.clamp(0, num_lags - 1), persistent=False)
        self.register_buffer("within", within_ST, persistent=False)

    def forward(self, samples: tuple[int, int]) -> Tensor:
        """Return the filters as matrices `(signals, target samples, times)`.

        Args:
            samples: First target sample, and the sample after the last one.
        """
        rows = slice(*samples)
        # PyTorch does not promise in which order threads add up the gradient of plain indexing.
        matrix_ATR = functional.embedding(self.get_buffer("lag")[rows], self.values.T)
        matrix_RAT = (matrix_ATR * self.get_buffer("within")[rows][:, :, None]).permute(2, 0, 1)
        return matrix_RAT.repeat_interleave(self.shared_by, dim=0)


def filtered_readout(
    filter_RAT: Tensor, state_BTR: Tensor, weights_NR: Tensor, neurons_BG: Tensor
) -> Tensor:
    """Filter a state in time and sum it with the weights of target neurons.

    Args:
        filter_RAT: From each time step to each target sample, for each entry of the state.
        state_BTR: State.
        weights_NR: Weights of every neuron of the session.
        neurons_BG: Target neurons, as rows of the weights.

    Returns:
        `(batch, target samples, targets)`.
    """
    filtered_RAB = filter_RAT @ state_BTR.permute(2, 1, 0)
    weights_BGR = functional.embedding(neurons_BG, weights_NR)
    return filtered_RAB.permute(2, 1, 0) @ weights_BGR.transpose(1, 2)
