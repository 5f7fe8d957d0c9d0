"""A forecaster of each neuron that is conditioned on the population, as in POCO.

Source: Duan, Chen et al., "POCO: scalable neural forecasting through population conditioning"
(NeurIPS 2025, arXiv 2506.14957). As there, one network maps a neuron's own past to its future, and
the state of the population scales and shifts its hidden units, for each neuron by its embedding.
Unlike there, the population is read by a GRU instead of a Perceiver, and goes on in time after the
visible responses end, so that stimulus and behavior can be inputs, too.

Budget: that of network.py, for two settings.
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.evaluation.baselines.network import predict_network
from omnimouse_cli.evaluation.baselines.network_data import ColumnScaling, choose_windows
from omnimouse_cli.evaluation.scorer import Piece
from omnimouse_cli.evaluation.targets import Targets

# B batch, S samples, J columns, T bins of time, H hidden units, N neurons, A target samples,
# K width of neuron embeddings

BIN_SAMPLES = 5
HISTORY_UNITS, NEURON_WIDTH = 64, 32
# Units of the GRU, and the share of the inputs that is dropped in training.
SETTINGS = ((64, 0.2), (128, 0.5))


def predict_poco(targets: Targets, tiers: tuple[str, ...]) -> Iterator[Piece] | str | None:
    """Train on the training tiers and forecast the scored windows.

    Returns:
        The predictions; a reason where the training tiers are too short; None where the target
        neurons are not all visible before the targets and only there.
    """
    prefix = targets.strategy.prefix
    if targets.is_behavior or prefix is None or prefix[1] > targets.samples[0]:
        return None
    selection = targets.selection
    if not selection.num_visible == selection.num_targets == selection.num_neurons:
        return None
    choice = choose_windows(targets, tiers)
    if isinstance(choice, str):
        return choice
    builders = [partial(Forecaster, units=units, dropout=share) for units, share in SETTINGS]
    return predict_network(builders, targets, choice)


class Forecaster(nn.Module):
    """Maps the visible columns of a window to the target samples of all neurons.

    Args:
        scaling: Decides sizes and scaling.
        units: Hidden units of the GRU.
        dropout: Share of the inputs of the GRU and of its states that is dropped in training.
    """

    def __init__(self, scaling: ColumnScaling, *, units: int, dropout: float) -> None:
        super().__init__()
        targets = scaling.targets
        assert targets.strategy.prefix is not None
        self.prefix, self.samples = targets.strategy.prefix, targets.samples
        num_neurons, past = targets.num_outputs, self.prefix[1] - self.prefix[0]
        self.read = nn.Linear(len(scaling.mean), units)
        self.gru = nn.GRU(units, units, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.write = nn.Linear(units, num_neurons)
        nn.init.zeros_(self.write.weight)
        self.history = nn.Linear(past, HISTORY_UNITS)
        self.neurons = nn.Parameter(torch.randn(num_neurons, NEURON_WIDTH))
        self.condition = nn.Linear(units, NEURON_WIDTH)
        self.scale_and_shift = nn.Linear(NEURON_WIDTH, 2 * HISTORY_UNITS)
        self.future = nn.Linear(HISTORY_UNITS, targets.num_samples)
        # Predictions are in the units of the responses, the columns are scaled.
        self.register_buffer("mean", torch.from_numpy(scaling.mean[:num_neurons]))
        self.register_buffer("std", torch.from_numpy(scaling.std[:num_neurons]))

    def forward(self, columns_BSJ: Tensor) -> Tensor:
        """Return `(windows, target samples, neurons)`, in the units of the responses."""
        mean_N, std_N = self.get_buffer("mean"), self.get_buffer("std")
        # The last bin is shorter where bins do not divide the window.
        binned_BJT = functional.avg_pool1d(columns_BSJ.transpose(1, 2), BIN_SAMPLES)
        state_BTH, _ = self.gru(self.read(self.dropout(binned_BJT.transpose(1, 2))))
        state_BTH = self.dropout(state_BTH)
        drive_BNT = self.write(state_BTH).transpose(1, 2)
        # A bin's state stands for its center.
        drive_BNS = functional.interpolate(
            drive_BNT, scale_factor=BIN_SAMPLES, mode="linear", align_corners=False
        )
        last_BH = state_BTH[:, self.prefix[1] // BIN_SAMPLES - 1]
        condition_BNK = self.condition(last_BH)[:, None] * self.neurons
        scale_BNH, shift_BNH = self.scale_and_shift(condition_BNK).chunk(2, dim=-1)
        past_BNS = columns_BSJ[:, slice(*self.prefix), : len(mean_N)].transpose(1, 2)
        hidden_BNH = functional.gelu(self.history(past_BNS) * (1 + scale_BNH) + shift_BNH)
        future_BNA = self.future(hidden_BNH) + drive_BNS[:, :, slice(*self.samples)]
        future_BAN: Tensor = future_BNA.transpose(1, 2) * std_N + mean_N
        return future_BAN
