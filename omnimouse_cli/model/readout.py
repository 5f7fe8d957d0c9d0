"""From asked neurons to queries, and from decoded queries to responses."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.batch.strategy import QUERY_SAMPLES
from omnimouse_cli.config.model import DecoderConfig, ResponseLoss
from omnimouse_cli.model.initialize import linear
from omnimouse_cli.model.own_history import OwnHistory, Targets, has_history
from omnimouse_cli.model.session_embeddings import activate

LARGEST_LOG_GAIN = 3.0

# B batch, S samples, G target neurons, A asked samples, T query times, L queries, N neurons,
# M width of the model


class Added(NamedTuple):
    """What comes to the read-out past the transformer, each `(batch, asked samples, targets)`.

    Args:
        drives: What neurons are driven by: the stimulus, the population.
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

    def ask(self, identity_NM: Tensor, targets: Targets) -> Tensor:
        """Make the queries of the target neurons, the same at every query time.

        Args:
            identity_NM: Of every neuron of the session.
            targets: Which ones are asked for.

        Returns:
            `(batch, targets, model width)`.
        """
        query_BGM = functional.embedding(targets.neurons, identity_NM)
        if self.own_history is None or not has_history(targets.strategy, targets.num_shared):
            return query_BGM
        return query_BGM + self.own_history.query(targets)

    def forward(
        self, x_BLM: Tensor | None, targets: Targets, added: Added, biases_N1: Tensor
    ) -> Tensor:
        """Read responses out.

        Args:
            x_BLM: Decoded queries, the targets of one query time together; None for what comes
                past the transformer alone.
            targets: Whom they asked for.
            added: What comes past the transformer from other neurons, stimulus and behavior.
            biases_N1: Of every neuron of the session.

        Returns:
            float32 `(batch, asked samples, targets)`.
        """
        assert targets.strategy.targets is not None
        first, last = targets.strategy.targets
        bias_BG = biases_N1[:, 0][targets.neurons]
        drive_BAG = bias_BG[:, None].expand(-1, last - first, -1)
        if x_BLM is not None:
            drive_BAG = drive_BAG + self._samples(x_BLM, targets.neurons.shape[1])
        if self.own_history is not None and has_history(targets.strategy, targets.num_shared):
            drive_BAG = drive_BAG + self.own_history.drive(targets).float()
        for added_BAG in added.drives:
            drive_BAG = drive_BAG + added_BAG.float()
        if not added.gains:
            return self.activate(drive_BAG)
        gain_BAG = torch.stack(added.gains).sum(0).float()
        if self.response_loss == "gaussian":
            # Centred responses have no zero from which to scale.
            return drive_BAG + gain_BAG
        return self.activate(drive_BAG) * bounded_gain(gain_BAG)

    def _samples(self, x_BLM: Tensor, num_targets: int) -> Tensor:
        """Turn decoded queries into float32 `(batch, asked samples, targets)`."""
        batch, queries, _ = x_BLM.shape
        times = queries // num_targets
        samples_BTGA = self.project(x_BLM).view(batch, times, num_targets, QUERY_SAMPLES)
        samples_BAG: Tensor = samples_BTGA.transpose(2, 3).flatten(1, 2).float()
        return samples_BAG

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
