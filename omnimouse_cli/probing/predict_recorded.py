"""Predictions for recorded windows, the same that an evaluation scores, with the measurements."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from omnimouse_cli.batch.dataset import Dataset, require_tiers
from omnimouse_cli.config.data import BEHAVIOR_RATE_HZ, NUM_BEHAVIOR_SAMPLES
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.evaluation.draws import draw_targets
from omnimouse_cli.evaluation.forward import predict_draws
from omnimouse_cli.evaluation.records import EvalOptions
from omnimouse_cli.evaluation.session_reader import SessionReader
from omnimouse_cli.evaluation.strategies import evaluated_strategies, require_regime
from omnimouse_cli.evaluation.targets import Targets
from omnimouse_cli.evaluation.windows import find_windows, windows_of_strategy
from omnimouse_cli.probing.session_model import SCALED_UNIT
from omnimouse_cli.reporter import Reporter, Silent
from omnimouse_cli.run.ensemble import require_alike
from omnimouse_cli.run.load import LoadedRun

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
PROGRESS_TASK = "predicting"
_SILENT = Silent()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedPrediction:
    """What a strategy predicts in the scored windows of a session, and what was measured.

    Time is the samples of one window after the other, so that a time in several windows comes
    several times; `scored` marks the samples that an evaluation counts.

    Args:
        session: Session key.
        tier: Tier of the scored trials.
        strategy: Name of the masking strategy.
        regime: `predict`, `decode`, `forecast` or `population`.
        draw: Number of the draw of context neurons; None where all neurons or none are context.
        target: `responses` or `behavior`.
        predicted: float32 `(time, outputs)`: the mean over runs.
        measured: float32 `(time, outputs)`: NaN where the sample is lost or an input of the model.
        std: float32 `(time, outputs)`: standard deviation of the prediction over runs (divisor
            n - 1); None for one run.
        time_seconds: float64 `(time,)`: times of the samples, from the recording's origin.
        window: int64 `(time,)`: number of the window of each sample.
        scored: bool `(time,)`: whether an evaluation scores the sample if `measured` is not NaN.
        neurons: int64 `(outputs,)`: columns of the recording; None for behavior.
        channels: Behavior channels; empty for responses.
        units: Unit of each output; empty where it is not known.
    """

    session: str
    tier: str
    strategy: str
    regime: str
    draw: int | None
    target: Literal["responses", "behavior"]
    predicted: F32
    measured: F32
    std: F32 | None
    time_seconds: F64
    window: I64
    scored: NDArray[np.bool_]
    neurons: I64 | None
    channels: tuple[str, ...]
    units: tuple[str, ...]

    @property
    def name(self) -> str:
        """Strategy, target and draw, as `population-16/responses/draw-0`."""
        draw = "" if self.draw is None else f"/draw-{self.draw}"
        return f"{self.strategy}/{self.target}{draw}"

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by their names in a file."""
        outputs: dict[str, NDArray[Any]] = {"channel": np.array(self.channels)}
        if self.neurons is not None:
            outputs = {"neuron": self.neurons}
        return {
            "predicted": self.predicted,
            "measured": self.measured,
            **({} if self.std is None else {"std": self.std}),
            "time_seconds": self.time_seconds,
            "window": self.window,
            "scored": self.scored,
            **outputs,
        }


def predictable_sessions(
    runs: Sequence[LoadedRun],
    dataset: Dataset,
    sessions: Sequence[str],
    options: EvalOptions,
    reporter: Reporter,
) -> list[str]:
    """Return the sessions for which `predict_recording` has something to predict.

    Args:
        runs: One run, or several as an ensemble.
        dataset: Shards of the sessions.
        sessions: Session keys.
        options: As `predict_recording` takes them.
        reporter: Receives a warning with each session that is left out and the reason.

    Raises:
        OmniMouseError: Runs differ, or nothing can be predicted in any session.
    """
    for session, run in itertools.product(sessions, runs[1:]):
        require_alike(runs[0], run, session)
    if len(sessions) == 1:
        dataset.session(sessions[0])
    stored = [one for one in dataset.sessions if one.key in sessions]
    require_tiers(stored, (options.tier,))
    config = runs[0].config
    windows = find_windows(stored, options, require_behavior=config.data.require_behavior)
    found = {one.key: evaluated_strategies(one, options, config.model)[0] for one in stored}
    reasons = {
        "without a shard": [key for key in sessions if key not in found],
        f"without windows of tier {options.tier}": [key for key in found if key not in windows],
        f"without a strategy of {options.regime}": [key for key in windows if not found[key]],
    }
    left_out = list(itertools.chain.from_iterable(reasons.values()))
    kept = [key for key in sessions if key not in left_out]
    if not kept:
        raise _no_strategy(options, ", ".join(sessions))
    for reason, keys in reasons.items():
        if keys:
            reporter.warn(f"sessions {reason} are left out: {', '.join(keys)}")
    return kept


def _no_strategy(options: EvalOptions, sessions: str) -> OmniMouseError:
    return OmniMouseError(
        f"no strategy of {options.regime} is available in session {sessions}",
        hint="choose another regime with --regime; `omnimouse regimes` lists them",
    )


def predict_recording(
    runs: Sequence[LoadedRun],
    dataset: Dataset,
    session: str,
    *,
    options: EvalOptions,
    scaled: bool = False,
    reporter: Reporter = _SILENT,
) -> Iterator[RecordedPrediction]:
    """Yield the predictions of a regime for recorded windows: those of `evaluate`, bit for bit.

    Args:
        runs: One run, or several as an ensemble.
        dataset: Shards of the session.
        session: Session key.
        options: `regime` (also the name of a strategy), `tier`, `stride_samples`, `draws`, `seed`,
            `stimulus`, `behavior`, `device` and `batch_windows` are used. Fewer `draws` than in an
            evaluation are its first ones.
        scaled: Whether responses stay in standard deviations and behavior in z-scores, as in
            training, instead of the units of the recording.
        reporter: Receives progress and why strategies are not available.

    Yields:
        One prediction for each strategy, draw of context neurons and target.

    Raises:
        OmniMouseError: The session or regime does not exist, runs differ, the tier has no windows,
            or no strategy of the regime is available.
    """
    require_regime(options.regime)
    for run in runs[1:]:
        require_alike(runs[0], run, session)
    config = runs[0].config
    info = dataset.session(session)
    require_tiers([info], (options.tier,))
    windows = find_windows([info], options, require_behavior=config.data.require_behavior)[session]
    strategies, unavailable = evaluated_strategies(info, options, config.model)
    for item in unavailable:
        reporter.say(f"{session}: {item.strategy} is not available: {item.reason}")
    if not strategies:
        raise _no_strategy(options, session)
    reader = SessionReader(dataset, config.data, session)
    task = f"{PROGRESS_TASK} {session}"
    reporter.start(task, len(strategies))
    for strategy in strategies:
        of_strategy = windows_of_strategy(
            info, windows, strategy, options, require_behavior=config.data.require_behavior
        )
        for targets in draw_targets(strategy, reader, of_strategy, options):
            yield from _predict(runs, targets, options, scaled=scaled)
        reporter.advance(task, note=strategy.name)
    reporter.finish(task)


def _predict(
    runs: Sequence[LoadedRun], targets: Sequence[Targets], options: EvalOptions, *, scaled: bool
) -> Iterator[RecordedPrediction]:
    """Yield the predictions of one draw: responses, behavior or both."""
    scorable = [one for one in targets if one.num_outputs and not _is_input(one)]
    if not scorable:
        return
    predicted = [
        np.empty((len(runs), len(one.windows), one.num_samples, one.num_outputs), np.float32)
        for one in scorable
    ]
    for number, run in enumerate(runs):
        for _, pieces in predict_draws(run, [scorable], options):
            for values, piece in zip(predicted, pieces, strict=True):
                values[number, piece.windows, :, piece.outputs] = piece.values
    for one, values in zip(scorable, predicted, strict=True):
        yield _recorded(one, values, scaled=scaled)


def _is_input(targets: Targets) -> bool:
    return targets.visible is not None and bool(targets.visible.all())


def _recorded(targets: Targets, predicted: F32, *, scaled: bool) -> RecordedPrediction:
    """Return the record of predictions, float32 `(runs, windows, samples, outputs)`."""
    session, strategy, windows = targets.reader.session, targets.strategy, targets.windows
    shift, scale, units = _units(targets, scaled=scaled)
    measured = targets.truth(windows.grid) * scale + shift
    excluded = targets.excluded
    shape = (len(windows), targets.num_samples)
    scored = np.ones(shape, np.bool_) if excluded is None else ~excluded
    several = len(predicted) > 1
    # As `run.ensemble` averages predictions, so that both agree to the last bit.
    mean = torch.from_numpy(predicted).mean(dim=0).numpy() if several else predicted[0]
    std = predicted.std(axis=0, ddof=1) * scale if several else None
    return RecordedPrediction(
        session=session.key,
        tier=windows.tier,
        strategy=strategy.name,
        regime=strategy.family,
        draw=None if targets.order is None else targets.draw,
        target="behavior" if targets.is_behavior else "responses",
        predicted=_flat(mean * scale + shift),
        measured=_flat(measured),
        std=None if std is None else _flat(std),
        time_seconds=_seconds(targets).reshape(-1),
        window=np.repeat(np.arange(len(windows)), targets.num_samples),
        scored=scored.reshape(-1),
        neurons=None if targets.is_behavior else targets.outputs,
        channels=targets.reader.channels if targets.is_behavior else (),
        units=units,
    )


def _flat(values: F32) -> F32:
    return values.reshape(-1, values.shape[-1])


def _seconds(targets: Targets) -> F64:
    """Return times from the recording's origin, float64 `(windows, samples)`."""
    if not targets.is_behavior:
        return targets.reader.sample_seconds(targets.windows.grid, targets.samples)
    offsets = np.arange(NUM_BEHAVIOR_SAMPLES) / BEHAVIOR_RATE_HZ
    return targets.windows.start_seconds[:, None] + offsets


def _units(targets: Targets, *, scaled: bool) -> tuple[F32, F32, tuple[str, ...]]:
    """Return shift, scale and unit of each output, by which predictions are converted."""
    reader, outputs = targets.reader, targets.outputs
    zeros, ones = np.zeros(len(outputs), np.float32), np.ones(len(outputs), np.float32)
    if scaled:
        unit = "z-score" if targets.is_behavior else SCALED_UNIT
        return zeros, ones, (unit,) * len(outputs)
    if not targets.is_behavior:
        units = (reader.session.response_kind,) * len(outputs)
        return reader.shift[outputs], reader.scale[outputs], units
    names = [""] * len(outputs)
    for device in reader.shard.description.behavior:
        for column, channel in enumerate(device.channels):
            if channel in reader.channels:
                at = reader.channels.index(channel)
                zeros[at], ones[at] = device.mean[column], device.std[column]
                names[at] = device.units[column] if device.units else ""
    return zeros, ones, tuple(names)
