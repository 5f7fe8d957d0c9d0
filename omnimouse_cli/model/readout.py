"""From asked neurons to queries, and from decoded queries to responses."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.batch.strategy import QUERY_SAMPLES, Strategy
from omnimouse_cli.config.model import DecoderConfig, ResponseLoss
from omnimouse_cli.model.initialize import linear
from omnimouse_cli.model.own_history import OwnHistory, has_history
from omnimouse_cli.model.table import activate

LARGEST_LOG_GAIN = 3.0

# B batch, S samples, G target neurons, A asked samples, T query times, L queries, N neurons,
# M width of the model


class Asked(NamedTuple):
    """What is asked of the target neurons.

    Args:
        neurons: int64 `(batch, targets)`: rows of the session's table.
        query: `(batch, targets, model width)`, the same at every query time.
        drive: `(batch, asked samples, targets)` that comes past the transformer, if any.
    """

    neurons: Tensor
    query: Tensor
    drive: Tensor | None


class Added(NamedTuple):
    """What comes to the read-out past the transformer, each `(batch, asked samples, targets)`.

    Args:
        drives: What neurons are driven by: the stimulus, their own past.
        gains: What their responses are multiplied with, in logarithms: behavior and the
            population's state change how much a neuron answers, less what it answers to.
    """

    drives: list[Tensor]
    gains: list[Tensor]


class ResponseReadout(nn.Module):
    """A query asks for five samples of one neuron.

    Args:
        d_model: Width of the model.
        config: Of the decoder.
        response_loss: Decides what turns drive into responses.
    """

    def __init__(self, d_model: int, config: DecoderConfig, response_loss: ResponseLoss) -> None:
        super().__init__()
        self.project = linear(d_model, QUERY_SAMPLES, bias=False)
        self.own_history = OwnHistory(d_model) if config.own_history else None
        self.beta = config.softplus_beta
        self.response_loss = response_loss

    def ask(
        self,
        identity_NM: Tensor,
        neurons_BG: Tensor,
        responses_BSG: Tensor,
        strategy: Strategy,
        num_shared: int,
    ) -> Asked:
        """Make the queries of the target neurons.

        Args:
            identity_NM: Of every neuron of the session.
            neurons_BG: Which ones are asked for.
            responses_BSG: Their samples; hidden ones are not read.
            strategy: What is seen and asked.
            num_shared: How many targets, the first ones, are visible neurons.
        """
        query_BGM = functional.embedding(neurons_BG, identity_NM)
        if self.own_history is None or not has_history(strategy, num_shared):
            return Asked(neurons_BG, query_BGM, None)
        added_BGM, drive_BAG = self.own_history(responses_BSG, strategy, num_shared)
        return Asked(neurons_BG, query_BGM + added_BGM, drive_BAG)

    def forward(self, x_BLM: Tensor, neurons_BG: Tensor, added: Added, biases_N1: Tensor) -> Tensor:
        """Read responses out.

        Args:
            x_BLM: Decoded queries, the targets of one query time together.
            neurons_BG: Whom they asked for.
            added: What comes past the transformer.
            biases_N1: Of every neuron of the session.

        Returns:
            float32 `(batch, asked samples, targets)`.
        """
        batch, queries, _ = x_BLM.shape
        targets = neurons_BG.shape[1]
        samples_BTGA = self.project(x_BLM).view(batch, queries // targets, targets, QUERY_SAMPLES)
        drive_BAG: Tensor = samples_BTGA.transpose(2, 3).flatten(1, 2).float()
        drive_BAG = drive_BAG + biases_N1[:, 0][neurons_BG][:, None]
        for added_BAG in added.drives:
            drive_BAG = drive_BAG + added_BAG.float()
        if not added.gains:
            return self.activate(drive_BAG)
        gain_BAG = torch.stack(added.gains).sum(0).float()
        if self.response_loss == "gaussian":
            # Centred responses have no zero from which to scale.
            return drive_BAG + gain_BAG
        return self.activate(drive_BAG) * bounded_gain(gain_BAG)

    def activate(self, drive: Tensor) -> Tensor:
        """Turn drive into responses."""
        return activate(drive, response_loss=self.response_loss, beta=self.beta)


def bounded_gain(log_gain: Tensor) -> Tensor:
    """Give a factor between exp(-3) and exp(3): an outlier of the behavior is not multiplied up."""
    bounded = LARGEST_LOG_GAIN * torch.tanh(log_gain / LARGEST_LOG_GAIN)
    return torch.exp(bounded)


def of_neurons(responses_BSN: Tensor, positions_BG: Tensor) -> Tensor:
    """Take the responses of some neurons of every window: `(batch, samples, neurons)`."""
    index_BSG = positions_BG[:, None].expand(-1, responses_BSN.shape[1], -1)
    return torch.gather(responses_BSN, 2, index_BSG)
