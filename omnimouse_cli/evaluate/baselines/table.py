"""The baselines that a model is compared with: all in one table, all with one signature."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from omnimouse_cli.evaluate.baselines.ceiling import predict_ceiling
from omnimouse_cli.evaluate.baselines.persistence import predict_persistence
from omnimouse_cli.evaluate.baselines.psth import predict_psth
from omnimouse_cli.evaluate.baselines.ridge import predict_ridge
from omnimouse_cli.evaluate.baselines.train_mean import predict_train_mean
from omnimouse_cli.evaluate.records import CEILING
from omnimouse_cli.evaluate.scorer import Piece
from omnimouse_cli.evaluate.targets import Targets

# A predictor takes the targets and the training tiers. It returns its predictions, in any pieces
# that together hold every window and output once; or, where a recording gives it nothing to
# predict from, the reason; or None where it is not defined for such targets.
Predictor = Callable[[Targets, tuple[str, ...]], Iterator[Piece] | str | None]


class Baseline(NamedTuple):
    """A predictor and how it is shown.

    Args:
        predict: The predictor.
        label: Its name in tables and figures.
        color: Its color in figures, from Okabe and Ito's palette, which is safe for color-blind
            readers.
    """

    predict: Predictor
    label: str
    color: str


# To add a baseline, write a module here with one function of the signature `Predictor`, and add
# it to this table. Records, neurons.npz, the figure and the printed table follow from the table.
BASELINES: dict[str, Baseline] = {
    "ridge": Baseline(predict_ridge, "ridge", "#D55E00"),
    "persistence": Baseline(predict_persistence, "persistence", "#009E73"),
    "psth": Baseline(predict_psth, "PSTH", "#CC79A7"),
    "train_mean": Baseline(predict_train_mean, "train mean", "#999999"),
    CEILING: Baseline(predict_ceiling, "noise ceiling", "#E69F00"),
}
