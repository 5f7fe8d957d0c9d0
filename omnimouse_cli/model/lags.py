"""Filters that know only how long ago something was, not where in the window it was."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES

# R filters, A asked samples, T samples that are filtered, K lags

EVERY_SAMPLE = range(NUM_RESPONSE_SAMPLES)


class LagFilter(nn.Module):
    """One filter for each of several signals.

    A filter between any two samples of a window has 3,600 numbers; by their distance alone it has a
    few dozen, which minutes of recording can decide.

    Args:
        num_signals: Filters.
        earliest: Longest lag, in samples: how far back a filter reaches.
        latest: Shortest lag; below 0 a filter reaches ahead.
        times: Of the signals' samples, on the responses' clock.
        start: Value at every lag, `(lags,)` from the shortest to the longest; None is 0.
    """

    def __init__(
        self,
        num_signals: int,
        *,
        earliest: int,
        latest: int = 0,
        times: Sequence[int] = EVERY_SAMPLE,
        start: Tensor | None = None,
    ) -> None:
        super().__init__()
        num_lags = earliest - latest + 1
        values = torch.zeros(num_lags) if start is None else start
        self.values = nn.Parameter(values.repeat(num_signals, 1))
        lag_ST = torch.arange(NUM_RESPONSE_SAMPLES)[:, None] - torch.tensor(times) - latest
        within_ST = (lag_ST >= 0) & (lag_ST < num_lags)
        self.register_buffer("lag", lag_ST.clamp(0, num_lags - 1), persistent=False)
        self.register_buffer("within", within_ST, persistent=False)

    def forward(self, asked: tuple[int, int]) -> Tensor:
        """Give the filters as matrices to asked samples: `(signals, asked, times)`."""
        rows = slice(*asked)
        # PyTorch does not promise in which order threads add up the gradient of plain indexing.
        matrix_ATR = functional.embedding(self.get_buffer("lag")[rows], self.values.T)
        return (matrix_ATR * self.get_buffer("within")[rows][:, :, None]).permute(2, 0, 1)
