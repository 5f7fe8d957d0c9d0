"""How well the model knows its own errors: log-likelihood, and coverage of predictive intervals.

A trained model predicts means. The distributions about them are fitted to the validation tier, one
for each neuron, and scored on the tier of the evaluation.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from omnimouse_cli.config.model import ResponseLoss
from omnimouse_cli.evaluation.baselines.choose import VALIDATION_TIER, validation_windows
from omnimouse_cli.evaluation.distributions import (
    F64,
    Distribution,
    Family,
    are_counts,
    coverage,
    fit_distribution,
)
from omnimouse_cli.evaluation.forward import predict_draws
from omnimouse_cli.evaluation.records import (
    COVERAGES,
    LOG_LIKELIHOOD,
    LOG_LIKELIHOOD_GAIN,
    NEURONS,
    EvalOptions,
)
from omnimouse_cli.evaluation.scored_value import ScoredValue
from omnimouse_cli.evaluation.scorer import Piece, PredictorScores
from omnimouse_cli.evaluation.session_reader import F32
from omnimouse_cli.evaluation.targets import Targets
from omnimouse_cli.metrics.resamples import block_weights, resampled_means
from omnimouse_cli.run.load import LoadedRun

PREDICTIVE = "predictive distribution"
# Windows of the validation tier, evenly spaced, that distributions are fitted to.
MOST_WINDOWS = 100
CHUNK_OUTPUTS = 256
# A predicted rate counts as at least this share of the neuron's mean rate: one response at a
# predicted rate of 0 would be infinitely unlikely.
RATE_FLOOR = 1e-3
LEAST_RATE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PredictiveFit:
    """Distributions of the target neurons about two means.

    Args:
        model: About the prediction of the model.
        constant: About the mean response in training trials, of the same family.
    """

    model: Distribution
    constant: Distribution


class Calibration:
    """Gathers the scores of the predictive distributions of the model, piece by piece.

    Args:
        targets: The scored responses.
        fit: Distributions of the outputs.
    """

    def __init__(self, targets: Targets, fit: PredictiveFit) -> None:
        self._targets = targets
        self._fit = fit
        shape = (targets.windows.num_blocks, targets.num_outputs)
        self._counts = np.zeros(shape)
        names = (LOG_LIKELIHOOD, LOG_LIKELIHOOD_GAIN, *COVERAGES)
        self._sums = {name: np.zeros(shape) for name in names}

    def add(self, piece: Piece) -> None:
        """Add predictions; every window and output comes once."""
        truth = _scored_truth(self._targets, piece.windows, piece.outputs)
        block = self._targets.windows.block[piece.windows]
        for number in np.unique(block):
            self._add_block(
                (number, piece.outputs),
                _by_sample(truth[block == number]),
                _by_sample(piece.values[block == number]),
            )

    def _add_block(self, index: tuple[int, slice], truth: F32, prediction: F32) -> None:
        outputs = index[1]
        model, constant = self._fit.model[outputs], self._fit.constant[outputs]
        recorded = _recorded(self._targets, truth, outputs)
        mean = _train_means(self._targets, outputs, model.family)
        scores = model.score(recorded, _means(self._targets, prediction, outputs, model.family))
        reference = constant.log_likelihood(recorded, mean)
        values = {
            LOG_LIKELIHOOD: scores.log_likelihood,
            LOG_LIKELIHOOD_GAIN: scores.log_likelihood - reference,
        }
        for name, level in COVERAGES.items():
            values[name] = coverage(scores.below, scores.up_to, level)
        known = ~np.isnan(truth)
        self._counts[index] += known.sum(axis=0)
        for name, value in values.items():
            self._sums[name][index] += np.where(known, value, 0.0).sum(axis=0)

    def numbers(self, number: ScoredValue) -> Iterator[ScoredValue]:
        """Yield the mean of each metric over samples of neurons that have a distribution.

        `log_likelihood` is in nats per sample, of responses in the unit of the recording;
        `log_likelihood_gain` is that less the one of a model that always predicts the mean of the
        training trials, with distributions of the same family.

        Args:
            number: Any number over the same targets.
        """
        exists = self._fit.model.exists & self._fit.constant.exists
        record = replace(
            number.record,
            neurons=int(exists.sum()),
            excluded=int((~exists).sum()),
            distribution=self._fit.model.family,
        )
        number = replace(number, record=record, outputs=number.outputs[exists])
        weights = block_weights(number.num_blocks)
        counts = self._counts[:, exists].sum(axis=1)
        for name, sums_of_outputs in self._sums.items():
            sums = sums_of_outputs[:, exists].sum(axis=1)
            known = bool(counts.any() and np.isfinite(sums).all())
            yield number.derive(
                metric=name,
                value=float(sums.sum() / counts.sum()) if known else None,
                resamples=resampled_means(sums, counts, weights) if known else None,
            )


def with_calibration(
    models: Sequence[PredictorScores], calibrations: Sequence[Calibration]
) -> list[PredictorScores]:
    """Return the scores of the model in each view with those of its distributions, if any.

    Args:
        models: Scores of the model, one for each view of the targets.
        calibrations: As many, or none.
    """
    if not calibrations:
        return list(models)
    return [
        replace(scores, numbers=(*scores.numbers, *one.numbers(scores.correlations[NEURONS])))
        for scores, one in zip(models, calibrations, strict=True)
    ]


def fit_predictive(
    run: LoadedRun, draws: Sequence[Targets], options: EvalOptions
) -> list[PredictiveFit] | str:
    """Fit distributions about the predictions of a model for windows of the validation tier.

    Args:
        run: The model.
        draws: Responses that a strategy predicts in a session, for each draw of context neurons.
        options: `device` and `batch_windows` are used.

    Returns:
        The distributions of each draw; a reason where there are none.
    """
    windows = validation_windows(draws[0], run.config.data.tiers)
    if windows is None or draws[0].windows.tier == VALIDATION_TIER:
        return "it needs a validation tier that is neither trained on nor scored, to be fitted to"
    if len(windows) > MOST_WINDOWS:
        chosen = np.linspace(0, len(windows) - 1, MOST_WINDOWS).astype(int)
        windows = windows.subset(chosen.tolist())
    fitted = [replace(targets, windows=windows) for targets in draws]
    predictions: list[list[F32]] = [[] for _ in fitted]
    for number, (piece,) in predict_draws(run, [[targets] for targets in fitted], options):
        predictions[number].append(_by_sample(piece.values))
    everything = slice(None)
    return [
        fit_outputs(
            targets,
            _by_sample(_scored_truth(targets, everything, everything)),
            np.concatenate(values),
            run.response_loss,
        )
        for targets, values in zip(fitted, predictions, strict=True)
    ]


def fit_outputs(
    targets: Targets, truth: F32, predictions: F32, response_loss: ResponseLoss
) -> PredictiveFit:
    """Fit the distributions of every output.

    A model trained by squared error has `normal` distributions. Rates have `poisson` ones where the
    loss is Poisson and responses are counts; of other rates a Poisson likelihood is no density but
    a quasi-likelihood, so that their distributions are `zero-inflated gamma`.

    Args:
        targets: Responses.
        truth: float32 `(samples, outputs)`: scaled responses, NaN where they are not scored.
        predictions: The same shape.
        response_loss: Loss that the model was trained by.
    """
    family: Family = "normal" if response_loss == "gaussian" else "zero-inflated gamma"
    if response_loss == "poisson" and are_counts(_recorded(targets, truth, slice(None))):
        family = "poisson"
    models, constants = [], []
    for first in range(0, targets.num_outputs, CHUNK_OUTPUTS):
        outputs = slice(first, first + CHUNK_OUTPUTS)
        recorded = _recorded(targets, truth[:, outputs], outputs)
        means = _means(targets, predictions[:, outputs], outputs, family)
        models.append(fit_distribution(family, recorded, means).parameters)
        constant = np.broadcast_to(_train_means(targets, outputs, family), means.shape)
        constants.append(fit_distribution(family, recorded, constant).parameters)
    return PredictiveFit(
        model=Distribution(family=family, parameters=np.concatenate(models, axis=1)),
        constant=Distribution(family=family, parameters=np.concatenate(constants, axis=1)),
    )


def _scored_truth(targets: Targets, windows: slice, outputs: slice) -> F32:
    """Return scaled responses `(windows, samples, outputs)`, NaN where they are not scored."""
    truth = targets.truth(targets.windows.grid[windows], outputs)
    if targets.excluded is not None:
        truth[targets.excluded[windows]] = np.nan
    return truth


def _by_sample(values: F32) -> F32:
    return values.reshape(-1, values.shape[2])


def _recorded(targets: Targets, scaled: F32, outputs: slice) -> F64:
    """Return responses in the unit of the recording."""
    neurons, reader = targets.outputs[outputs], targets.reader
    return scaled.astype(np.float64) * reader.scale[neurons] + reader.shift[neurons]


def _means(targets: Targets, prediction: F32, outputs: slice, family: Family) -> F64:
    recorded = _recorded(targets, prediction, outputs)
    if family == "normal":
        return recorded
    return np.maximum(recorded, RATE_FLOOR * _train_means(targets, outputs, family))


def _train_means(targets: Targets, outputs: slice, family: Family) -> F64:
    mean = _recorded(targets, targets.train_mean[outputs], outputs)
    return mean if family == "normal" else np.maximum(mean, LEAST_RATE)
