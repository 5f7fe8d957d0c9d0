"""The read-out of responses: decoder queries of target neurons, and their predicted responses."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.batch.strategy import QUERY_SAMPLES
from omnimouse_cli.config.model import DecoderConfig, ResponseLoss
from omnimouse_cli.model.initialize import linear
from omnimouse_cli.model.inputs import TargetNeurons
from omnimouse_cli.model.session_embeddings import activate, inverse_activate
from omnimouse_cli.model.shortcuts import Contributions, HistoryShortcut, has_history

MAX_LOG_GAIN = 3.0
# Linear models predict at least this share of the mean rate.
LEAST_RATE = 0.1

# B batch, G target neurons, A target samples, T query times, L queries, N neurons of the session,
# M width of the model


class ResponseReadout(nn.Module):
    """Each query predicts five samples of one neuron.

    Args:
        d_model: Width of the model.
        config: Configuration of the decoder.
        response_loss: Decides the non-linearity of predicted responses.
    """

    def __init__(self, d_model: int, config: DecoderConfig, response_loss: ResponseLoss) -> None:
        super().__init__()
        self.project = linear(d_model, QUERY_SAMPLES, bias=False)
        if config.linear_rank:
            # What the linear models leave is learned from 0.
            nn.init.zeros_(self.project.weight)
        self.own_history = HistoryShortcut(d_model) if config.own_history else None
        self.beta = config.softplus_beta
        self.response_loss = response_loss

    def queries(self, identity_NM: Tensor, targets: TargetNeurons) -> Tensor:
        """Return the queries of the target neurons, the same at every query time.

        Args:
            identity_NM: Identity of every neuron of the session.
            targets: Target neurons.

        Returns:
            `(batch, targets, model width)`.
        """
        query_BGM = functional.embedding(targets.neurons, identity_NM)
        if self.own_history is None or not has_history(targets.strategy, targets.num_shared):
            return query_BGM
        return query_BGM + self.own_history.query(targets)

    def forward(
        self,
        x_BLM: Tensor | None,
        targets: TargetNeurons,
        shortcuts: Contributions,
        biases_N1: Tensor,
    ) -> Tensor:
        """Predict responses.

        Args:
            x_BLM: Decoded queries, the targets of one query time together; None if the transformer
                is left out.
            targets: Target neurons.
            shortcuts: Terms of the population, stimulus and behavior shortcuts.
            biases_N1: Bias of every neuron of the session.

        Returns:
            float32 `(batch, target samples, targets)`.
        """
        assert targets.strategy.targets is not None
        first, last = targets.strategy.targets
        bias_BG = biases_N1[:, 0][targets.neurons]
        drive_BAG = bias_BG[:, None].expand(-1, last - first, -1)
        if shortcuts.deviation is not None:
            drive_BAG = self._deviate(drive_BAG, shortcuts.deviation)
        if x_BLM is not None:
            drive_BAG = drive_BAG + self._samples(x_BLM, targets.neurons.shape[1])
        if self.own_history is not None and has_history(targets.strategy, targets.num_shared):
            drive_BAG = drive_BAG + self.own_history(targets)
        for term_BAG in shortcuts.drives:
            drive_BAG = drive_BAG + term_BAG
        if not shortcuts.gains:
            return self.activate(drive_BAG)
        gain_BAG = torch.stack(shortcuts.gains).sum(0)
        if self.response_loss == "gaussian":
            # Centred responses have no zero from which to scale.
            return drive_BAG + gain_BAG
        return self.activate(drive_BAG) * bounded_gain(gain_BAG)

    def _samples(self, x_BLM: Tensor, num_targets: int) -> Tensor:
        """Project decoded queries to `(batch, target samples, targets)`."""
        batch, queries, _ = x_BLM.shape
        times = queries // num_targets
        samples_BTGA = self.project(x_BLM).view(batch, times, num_targets, QUERY_SAMPLES)
        samples_BAG: Tensor = samples_BTGA.transpose(2, 3).flatten(1, 2)
        return samples_BAG

    def _deviate(self, drive_BAG: Tensor, deviation_BAG: Tensor) -> Tensor:
        """Return the drive whose response is larger by an expected deviation."""
        if self.response_loss == "gaussian":
            return drive_BAG + deviation_BAG
        resting_BAG = self.activate(drive_BAG)
        # A linear model also predicts rates below 0.
        response_BAG = torch.maximum(resting_BAG + deviation_BAG, LEAST_RATE * resting_BAG)
        return inverse_activate(response_BAG, response_loss=self.response_loss, beta=self.beta)

    def activate(self, drive: Tensor) -> Tensor:
        """Return the responses to a drive."""
        return activate(drive, response_loss=self.response_loss, beta=self.beta)


def bounded_gain(log_gain: Tensor) -> Tensor:
    """Return a factor between exp(-3) and exp(3), so that outliers of behavior do no harm."""
    bounded = MAX_LOG_GAIN * torch.tanh(log_gain / MAX_LOG_GAIN)
    return torch.exp(bounded)
