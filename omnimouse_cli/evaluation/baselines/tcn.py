"""A temporal convolutional network that decodes behavior from all visible neurons.

Source: Bai, Kolter & Koltun, "An empirical evaluation of generic convolutional and recurrent
networks for sequence modeling" (arXiv 1803.01271): residual blocks of dilated convolutions. The
convolutions here reach to both sides, as the responses of the whole window are inputs.

Budget: that of network.py, for two settings.
"""

from collections.abc import Iterator
from functools import partial

from torch import Tensor, nn

from omnimouse_cli.evaluation.baselines.bins import RESPONSES_AT_BEHAVIOR
from omnimouse_cli.evaluation.baselines.network import predict_network
from omnimouse_cli.evaluation.baselines.network_data import ColumnScaling, choose_windows
from omnimouse_cli.evaluation.scorer import Piece
from omnimouse_cli.evaluation.targets import Targets

# B batch, S response samples, J columns, T behavior samples, C channels, H hidden units

# Two convolutions of three samples per block: the last block sees two seconds.
DILATIONS = (1, 2, 4, 8)
KERNEL_SAMPLES = 3
# Hidden units, and the share of the columns and of hidden units that is dropped in training.
SETTINGS = ((32, 0.2), (64, 0.5))


def predict_tcn(targets: Targets, tiers: tuple[str, ...]) -> Iterator[Piece] | str | None:
    """Train on the training tiers and decode the scored windows.

    Returns:
        The predictions; a reason where the training tiers are too short; None where behavior is not
        decoded from responses.
    """
    if not targets.is_behavior or targets.strategy.prefix is None:
        return None
    choice = choose_windows(targets, tiers)
    if isinstance(choice, str):
        return choice
    builders = [partial(Tcn, units=units, dropout=share) for units, share in SETTINGS]
    return predict_network(builders, targets, choice)


class Tcn(nn.Module):
    """Maps the visible columns of a window to its behavior.

    Args:
        scaling: Decides sizes.
        units: Hidden units of every block.
        dropout: Share of columns and hidden units that is dropped in training.
    """

    def __init__(self, scaling: ColumnScaling, *, units: int, dropout: float) -> None:
        super().__init__()
        self.drop_columns = nn.Dropout1d(dropout)
        self.read = nn.Conv1d(len(scaling.mean), units, 1)
        self.blocks = nn.ModuleList(_block(units, dilation, dropout) for dilation in DILATIONS)
        self.write = nn.Conv1d(units, scaling.targets.num_outputs, 1)

    def forward(self, columns_BSJ: Tensor) -> Tensor:
        """Return `(windows, 40, channels)`, z-scored."""
        # Whole neurons are dropped, so that no single one is relied on.
        x_BHS = self.read(self.drop_columns(columns_BSJ.transpose(1, 2)))
        for block in self.blocks:
            x_BHS = x_BHS + block(x_BHS)
        behavior_BTC: Tensor = self.write(x_BHS)[:, :, RESPONSES_AT_BEHAVIOR].transpose(1, 2)
        return behavior_BTC


def _block(units: int, dilation: int, dropout: float) -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(2):
        convolution = nn.Conv1d(
            units,
            units,
            KERNEL_SAMPLES,
            dilation=dilation,
            padding=dilation * (KERNEL_SAMPLES // 2),
        )
        layers += [convolution, nn.GELU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)
