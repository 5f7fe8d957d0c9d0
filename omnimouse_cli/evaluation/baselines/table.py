"""The baselines that a model is compared with: all in one table, all with one signature."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from omnimouse_cli.errors import ConfigError
from omnimouse_cli.evaluation.baselines.autoregressive import (
    predict_ar,
    predict_dlinear,
    predict_nlinear,
)
from omnimouse_cli.evaluation.baselines.cebra import predict_cebra
from omnimouse_cli.evaluation.baselines.ceiling import predict_ceiling
from omnimouse_cli.evaluation.baselines.energy_ridge import predict_energy_ridge
from omnimouse_cli.evaluation.baselines.factor_model import predict_factor_model
from omnimouse_cli.evaluation.baselines.glm import predict_glm
from omnimouse_cli.evaluation.baselines.persistence import predict_persistence
from omnimouse_cli.evaluation.baselines.poco import predict_poco
from omnimouse_cli.evaluation.baselines.psth import predict_psth
from omnimouse_cli.evaluation.baselines.reduced_rank import predict_reduced_rank
from omnimouse_cli.evaluation.baselines.ridge import predict_ridge
from omnimouse_cli.evaluation.baselines.smoothed_psth import predict_smoothed_psth
from omnimouse_cli.evaluation.baselines.tcn import predict_tcn
from omnimouse_cli.evaluation.baselines.train_mean import predict_train_mean
from omnimouse_cli.evaluation.records import CEILING
from omnimouse_cli.evaluation.scorer import Piece
from omnimouse_cli.evaluation.targets import Targets
from omnimouse_cli.text import suggest_name

# A predictor takes the targets and the training tiers. It returns its predictions, in any pieces
# that together hold every window and output once; or, where a recording gives it nothing to
# predict from, the reason; or None where it is not defined for such targets.
Predictor = Callable[[Targets, tuple[str, ...]], Iterator[Piece] | str | None]

# Words of `eval --baselines` beside names.
FAST, ALL = "fast", "all"


class Baseline(NamedTuple):
    """A predictor and how it is shown.

    Args:
        predict: The predictor.
        label: Its name in tables and figures.
        color: Its color in figures, from Okabe and Ito's palette, which is safe for color-blind
            readers.
        regimes: Regimes that it is defined for.
        text: What it is, in one line.
        paper: Source; empty where a formula needs none.
        cost: `fast`: minutes for a session; `slow`: trained, far longer.
    """

    predict: Predictor
    label: str
    color: str
    regimes: tuple[str, ...]
    text: str
    paper: str = ""
    cost: Literal["fast", "slow"] = "fast"


EVERY_REGIME = ("predict", "decode", "forecast", "population")

# To add a baseline, write a module here with one function of the signature `Predictor`, and add
# it to this table. Records, neurons.npz, the figure and the printed table follow from the table.
BASELINES: dict[str, Baseline] = {
    "ridge": Baseline(
        predict_ridge,
        "ridge",
        "#D55E00",
        EVERY_REGIME,
        "ridge regression on binned inputs: responses, screen patches, behavior",
        "Hoerl & Kennard 1970",
    ),
    "reduced_rank": Baseline(
        predict_reduced_rank,
        "reduced-rank ridge",
        "#56B4E9",
        ("population",),
        "ridge regression through few components that all target neurons share",
        "Mukherjee & Zhu 2011",
    ),
    "factor_model": Baseline(
        predict_factor_model,
        "factor model",
        "#F0E442",
        ("population",),
        "posterior mean of the factors of factor analysis, given the visible neurons",
        "Yu et al. 2009",
    ),
    "ar": Baseline(
        predict_ar,
        "AR",
        "#56B4E9",
        ("forecast",),
        "linear in each neuron's own past, for each sample ahead",
    ),
    "nlinear": Baseline(
        predict_nlinear,
        "NLinear",
        "#0072B2",
        ("forecast",),
        "linear in the past less its last sample",
        "Zeng et al. 2023",
    ),
    "dlinear": Baseline(
        predict_dlinear,
        "DLinear",
        "#F0E442",
        ("forecast",),
        "linear in trend and remainder of the past",
        "Zeng et al. 2023",
    ),
    "poco": Baseline(
        predict_poco,
        "POCO-like",
        "#56B4E9",
        ("forecast",),
        "network of each neuron's own past, conditioned on the population, which a GRU reads",
        "Duan et al. 2025",
        cost="slow",
    ),
    "tcn": Baseline(
        predict_tcn,
        "TCN",
        "#0072B2",
        ("decode",),
        "dilated convolutions in time over all neurons",
        "Bai, Kolter & Koltun 2018",
        cost="slow",
    ),
    "cebra": Baseline(
        predict_cebra,
        "CEBRA",
        "#009E73",
        ("decode",),
        "nearest neighbors in an embedding of all neurons by behavior, by its own package",
        "Schneider, Lee & Mathis 2023",
        cost="slow",
    ),
    "persistence": Baseline(
        predict_persistence,
        "persistence",
        "#009E73",
        ("forecast",),
        "each neuron stays at its last visible sample",
    ),
    "psth": Baseline(
        predict_psth,
        "training PSTH",
        "#CC79A7",
        ("predict", "forecast", "population"),
        "mean training response to the stimulus at the time since its onset",
    ),
    "psth_smoothed": Baseline(
        predict_smoothed_psth,
        "smoothed training PSTH",
        "#CC79A7",
        ("predict", "forecast", "population"),
        "training PSTH averaged over nearby times with a Gaussian",
        "Nawrot, Aertsen & Rotter 1999",
    ),
    "glm": Baseline(
        predict_glm,
        "GLM",
        "#0072B2",
        ("predict",),
        "sum of responses to stimuli, as a function of the time since each onset, and of behavior",
        "Pillow et al. 2008",
    ),
    "energy_ridge": Baseline(
        predict_energy_ridge,
        "ridge on energies",
        "#009E73",
        ("predict",),
        "ridge regression on motion energies of the screen and on behavior",
        "Nishimoto et al. 2011",
    ),
    "train_mean": Baseline(
        predict_train_mean,
        "training mean",
        "#999999",
        EVERY_REGIME,
        "mean over the training trials",
    ),
    CEILING: Baseline(
        predict_ceiling,
        "noise ceiling",
        "#E69F00",
        EVERY_REGIME,
        "score of the best prediction that the inputs of a simulated recording allow",
    ),
}


def select_baselines(words: Sequence[str]) -> dict[str, Baseline]:
    """Return the baselines that some words name, in the order of the table.

    The noise ceiling, which is known of simulated recordings, stands beside any baseline.

    Args:
        words: `fast`, `all` or names of baselines; none of them selects nothing.

    Raises:
        ConfigError: A word is none of them; the hint names the nearest.

    Example:
        >>> list(select_baselines(["ridge", "psth"]))
        ['ridge', 'psth', 'ceiling']
    """
    for word in words:
        if word not in (FAST, ALL, *BASELINES):
            raise ConfigError(
                f"there is no baseline {word}",
                hint=suggest_name(word, (FAST, ALL, *BASELINES)),
            )
    return {
        name: baseline
        for name, baseline in BASELINES.items()
        if ALL in words
        or name in words
        or (FAST in words and baseline.cost == FAST)
        or (words and name == CEILING)
    }
