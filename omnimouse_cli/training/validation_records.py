"""The result of a validation: losses of sessions as records, and their mean."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.data import BEHAVIOR_RATE_HZ, RESPONSE_RATE_HZ
from omnimouse_cli.evaluation.records import LOSS, MODEL, NEURONS, OVERALL, EvalRecord
from omnimouse_cli.text import pluralize
from omnimouse_cli.training.validation_baselines import PERSISTENCE, TRAIN_MEAN

BEHAVIOR = "behavior"
# Baselines of a validation, by their names in tables of `eval`.
LABELS = {TRAIN_MEAN: "training mean", PERSISTENCE: "persistence"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelLoss:
    """The loss of one behavior channel: its mean over so many samples that are not lost."""

    loss: float
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLoss:
    """The losses of one session under one strategy.

    Args:
        strategy: Inputs and targets.
        predictor: `model`, or a baseline.
        session: Session key.
        num_neurons: Neurons of the session, its weight among sessions.
        num_windows: Windows that the losses are means over.
        num_outputs: Number of predicted neurons and channels, by target.
        samples_per_window: Scored samples of each of them in a window, by target.
        losses: Mean loss by target; a target without a scored sample is missing.
        behavior_fraction: Share of the behavior samples that are not lost.
        channels: Loss of each behavior channel, by its name; empty without a target.
    """

    strategy: Strategy
    predictor: str
    session: str
    num_neurons: int
    num_windows: int
    num_outputs: dict[str, int]
    samples_per_window: dict[str, int]
    losses: dict[str, float]
    behavior_fraction: float = 1.0
    channels: dict[str, ChannelLoss] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """The result of a validation.

    Args:
        records: Records as in `eval.json`, with metric `loss`, of the model and of baselines.
        neural_loss: Of the model: mean over the strategies whose targets are responses, of the
            mean over sessions weighted by their neurons; None without a window.
    """

    records: tuple[EvalRecord, ...]
    neural_loss: float | None


def summarize(losses: Sequence[SessionLoss], tier: str) -> Validation:
    """Return the records of all sessions, and one over them for each strategy and predictor.

    Args:
        losses: One per session and strategy.
        tier: Tier of the windows, for the records.
    """
    records: list[EvalRecord] = []
    neural_losses: list[float] = []
    predictors = (MODEL, *LABELS)
    ordered = sorted(losses, key=lambda loss: predictors.index(loss.predictor))
    for name, predictor in dict.fromkeys((one.strategy.name, one.predictor) for one in ordered):
        of_strategy = [
            loss for loss in losses if (loss.strategy.name, loss.predictor) == (name, predictor)
        ]
        # A channel of one of these names has no record of its own.
        targets = dict.fromkeys((NEURONS, BEHAVIOR))
        targets |= dict.fromkeys(channel for loss in of_strategy for channel in loss.channels)
        for target in targets:
            scored = [loss for loss in of_strategy if _has_target(loss, target)]
            if not scored:
                continue
            of_sessions = [_record(loss, target, tier) for loss in scored]
            overall = _average_sessions(of_sessions, [loss.num_neurons for loss in scored])
            records += [*of_sessions, overall]
            if target == NEURONS and predictor == MODEL:
                assert overall.value is not None, "a mean of losses"
                neural_losses.append(overall.value)
    return Validation(
        records=tuple(records),
        neural_loss=float(np.mean(neural_losses)) if neural_losses else None,
    )


def _has_target(loss: SessionLoss, target: str) -> bool:
    return target in (loss.losses if target in (NEURONS, BEHAVIOR) else loss.channels)


def _average_sessions(of_sessions: Sequence[EvalRecord], weights: Sequence[int]) -> EvalRecord:
    """Return the record over all sessions, which are weighted by their neurons."""
    return dataclasses.replace(
        of_sessions[0],
        session=OVERALL,
        value=float(np.average([record.value for record in of_sessions], weights=weights)),
        neurons=sum(record.neurons for record in of_sessions),
        windows=sum(record.windows for record in of_sessions),
        samples=sum(record.samples for record in of_sessions),
        scored_seconds=sum(record.scored_seconds or 0.0 for record in of_sessions),
    )


def describe_validation(validation: Validation) -> str:
    """Return the model's neural loss, and those of the baselines where these are defined.

    Means over strategies differ by their strategies, so that persistence, which only forecasts
    have, stands beside the model's loss of forecasts.
    """
    overall = {
        (record.strategy, record.predictor): record.value
        for record in validation.records
        if (record.session, record.target) == (OVERALL, NEURONS) and record.value is not None
    }
    parts = []
    for baseline, label in LABELS.items():
        strategies = [name for name, predictor in overall if predictor == baseline]
        if strategies:
            model, other = (
                float(np.mean([overall[name, predictor] for name in strategies]))
                for predictor in (MODEL, baseline)
            )
            of = "of forecasts " if baseline == PERSISTENCE else ""
            parts.append(f"{of}{model:.4f} ({label} {other:.4f})")
    return ", ".join(parts)


def describe_infinite_records(validation: Validation) -> str | None:
    """Return a sentence about losses that are not finite; None without one."""
    infinite = [
        record
        for record in validation.records
        if record.session != OVERALL
        and record.predictor == MODEL
        and record.value is not None
        and not math.isfinite(record.value)
    ]
    if not infinite:
        return None
    first = infinite[0]
    others = (
        f", and {pluralize(len(infinite) - 1, 'other loss', 'other losses')}"
        if infinite[1:]
        else ""
    )
    return (
        f"the validation loss is not a finite number: {first.strategy} of session {first.session} "
        f"({first.target}) is {first.value}{others}"
    )


def _record(loss: SessionLoss, target: str, tier: str) -> EvalRecord:
    if target in (NEURONS, BEHAVIOR):
        fraction = loss.behavior_fraction if target == BEHAVIOR else 1.0
        samples = round(loss.num_windows * loss.samples_per_window[target] * fraction)
        value, num_outputs = loss.losses[target], loss.num_outputs[target]
    else:
        samples, value, num_outputs = loss.channels[target].samples, loss.channels[target].loss, 1
    rate_hz = RESPONSE_RATE_HZ if target == NEURONS else BEHAVIOR_RATE_HZ
    return EvalRecord(
        regime=loss.strategy.family,
        strategy=loss.strategy.name,
        inputs=loss.strategy.inputs,
        session=loss.session,
        tier=tier,
        target=target,
        metric=LOSS,
        predictor=loss.predictor,
        value=value,
        neurons=num_outputs,
        windows=loss.num_windows,
        samples=samples,
        scored_seconds=samples / rate_hz,
    )
