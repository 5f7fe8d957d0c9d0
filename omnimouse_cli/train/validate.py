"""Validation: losses on windows that are not trained on, for every strategy of every regime."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.batch.dataset import Dataset, SessionInfo
from omnimouse_cli.batch.masking import applies
from omnimouse_cli.batch.reader import WindowReader
from omnimouse_cli.batch.selection import scored_mask, select
from omnimouse_cli.batch.strategies import regime_strategies
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.batch.windows import WindowTable
from omnimouse_cli.config.data import NUM_BEHAVIOR_SAMPLES, NUM_RESPONSE_SAMPLES, DataConfig
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.evaluate.records import LOSS, MODEL, NEURONS, OVERALL, EvalRecord
from omnimouse_cli.seeds import derive_seed
from omnimouse_cli.train.parallel.world import World
from omnimouse_cli.train.state import TrainState
from omnimouse_cli.train.step import compute_batch_losses

BEHAVIOR = "behavior"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLoss:
    """The losses of one session under one strategy.

    Args:
        strategy: Inputs and targets.
        session: Session key.
        num_neurons: Neurons of the session, its weight among sessions.
        num_windows: Windows that the losses are means over.
        num_outputs: Number of predicted neurons and channels, by target.
        samples_per_window: Scored samples of each of them in a window, by target.
        losses: Mean loss by target; a target without a scored sample is missing.
        behavior_fraction: Share of the behavior samples that are not lost.
    """

    strategy: Strategy
    session: str
    num_neurons: int
    num_windows: int
    num_outputs: dict[str, int]
    samples_per_window: dict[str, int]
    losses: dict[str, float]
    behavior_fraction: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """The result of a validation.

    Args:
        records: Records as in `eval.json`, with metric `loss`.
        neural_loss: Mean over the strategies whose targets are responses, of the mean over sessions
            weighted by their neurons; None without a window.
    """

    records: tuple[EvalRecord, ...]
    neural_loss: float | None


def validation_sessions(config: RunConfig, dataset: Dataset) -> tuple[SessionInfo, ...]:
    """Return the sessions that are used for validation.

    Raises:
        ShardError: The data set lacks a session of `train.validation_sessions`.
    """
    if config.train.validation_sessions is None:
        return dataset.sessions
    return tuple(dataset.session(key) for key in config.train.validation_sessions)


def validation_data(config: RunConfig) -> DataConfig:
    """Return the data configuration of validation: windows that do not overlap, no blanks."""
    return dataclasses.replace(
        config.data,
        tiers=config.train.validation_tiers,
        include_blanks=False,
        stride_samples=NUM_RESPONSE_SAMPLES,
    )


def validate(state: TrainState, config: RunConfig, dataset: Dataset, world: World) -> Validation:
    """Compute the losses of all strategies; each rank computes the sessions that it owns.

    The whole model is evaluated, also while only its shortcuts are trained.

    Args:
        state: Core and session embeddings; no parameter changes.
        config: Resolved configuration.
        dataset: Its windows of `train.validation_tiers` are read.
        world: The ranks.

    Returns:
        The same validation on every rank, whatever the number of ranks.
    """
    data = validation_data(config)
    reader = WindowReader(dataset, data)
    state.core.shortcuts_only = False
    training = state.core.training
    state.core.eval()
    owned: list[SessionLoss] = []
    with torch.no_grad():
        for session in validation_sessions(config, dataset):
            windows = dataset.windows(data, session.key)
            if session.key not in state.embeddings.owned or not windows.num_windows:
                continue
            for strategy in validation_strategies(session):
                batches = _read_batches(reader, session, windows, data)
                owned.append(_session_loss(state, config, session, strategy, batches))
    state.core.train(training)
    keys = [session.key for session in dataset.sessions]
    losses = [loss for part in world.all_gather(owned) for loss in part]
    losses.sort(key=lambda loss: keys.index(loss.session))
    return summarize(losses, "+".join(data.tiers))


def validation_strategies(session: SessionInfo) -> tuple[Strategy, ...]:
    """Return the evaluation strategies that apply to a session."""
    strategies = regime_strategies(
        "all",
        population=session.num_neurons,
        stimulus=session.frame_shape is not None,
        behavior=bool(session.channels),
    )
    return tuple(strategy for strategy in strategies if applies(strategy, session))


def _session_loss(
    state: TrainState,
    config: RunConfig,
    session: SessionInfo,
    strategy: Strategy,
    batches: Iterable[Batch],
) -> SessionLoss:
    num_neurons = min(session.num_neurons, config.data.max_neurons)
    selection = select(strategy, num_neurons=num_neurons, num_windows=1, generator=None)
    scored_samples = scored_mask(strategy, selection).sum(dim=0)
    sums: dict[str, float] = {}
    # Windows that each loss is a mean over: of behavior, by the share that is not lost.
    weights = {NEURONS: 0.0, BEHAVIOR: 0.0}
    num_windows = 0
    for batch in batches:
        losses = compute_batch_losses(
            state.core,
            batch,
            embeddings=state.embeddings.owned[session.key],
            animal=session.animal,
            strategy=strategy,
            selection=select(
                strategy, num_neurons=num_neurons, num_windows=batch.num_windows, generator=None
            ),
            config=config,
        )
        fractions = (1.0, batch.behavior_fraction)
        for target, loss, fraction in zip(weights, losses, fractions, strict=True):
            weight = batch.num_windows * fraction
            weights[target] += weight
            if loss is not None and weight:
                sums[target] = sums.get(target, 0.0) + float(loss) * weight
        num_windows += batch.num_windows
    return SessionLoss(
        strategy=strategy,
        session=session.key,
        num_neurons=session.num_neurons,
        num_windows=num_windows,
        num_outputs={NEURONS: selection.num_targets, BEHAVIOR: len(session.channels)},
        samples_per_window={
            NEURONS: int(scored_samples.max()) if selection.num_targets else 0,
            BEHAVIOR: NUM_BEHAVIOR_SAMPLES,
        },
        losses={target: total / weights[target] for target, total in sums.items()},
        behavior_fraction=weights[BEHAVIOR] / max(num_windows, 1),
    )


def _read_batches(
    reader: WindowReader, session: SessionInfo, windows: WindowTable, data: DataConfig
) -> Iterator[Batch]:
    """Read all windows of a session, each with the same neurons."""
    neurons = validation_neurons(session, data.max_neurons)
    for first in range(0, windows.num_windows, data.batch_size):
        last = min(first + data.batch_size, windows.num_windows)
        grid = windows.grid_index(np.arange(first, last))
        yield reader.read(session.key, grid, np.tile(neurons, (last - first, 1)))


def validation_neurons(session: SessionInfo, max_neurons: int) -> NDArray[np.int64]:
    """Return the neurons of a session that are used: all, or a subset that no seed changes."""
    if session.num_neurons <= max_neurons:
        return np.arange(session.num_neurons)
    generator = np.random.default_rng(derive_seed("validation", session.key))
    return np.sort(generator.permutation(session.num_neurons)[:max_neurons])


def summarize(losses: Sequence[SessionLoss], tier: str) -> Validation:
    """Return the records of all sessions, and one over them for each strategy and target.

    Args:
        losses: One per session and strategy.
        tier: Tier of the windows, for the records.
    """
    records: list[EvalRecord] = []
    neural_losses: list[float] = []
    for name in dict.fromkeys(loss.strategy.name for loss in losses):
        of_strategy = [loss for loss in losses if loss.strategy.name == name]
        for target in (NEURONS, BEHAVIOR):
            scored = [loss for loss in of_strategy if target in loss.losses]
            if not scored:
                continue
            of_sessions = [_record(loss, target, tier) for loss in scored]
            weights = [loss.num_neurons for loss in scored]
            mean = float(np.average([loss.losses[target] for loss in scored], weights=weights))
            overall = dataclasses.replace(
                of_sessions[0],
                session=OVERALL,
                value=mean,
                neurons=sum(record.neurons for record in of_sessions),
                windows=sum(record.windows for record in of_sessions),
                samples=sum(record.samples for record in of_sessions),
            )
            records += [*of_sessions, overall]
            if target == NEURONS:
                neural_losses.append(mean)
    return Validation(
        records=tuple(records),
        neural_loss=float(np.mean(neural_losses)) if neural_losses else None,
    )


def _record(loss: SessionLoss, target: str, tier: str) -> EvalRecord:
    fraction = loss.behavior_fraction if target == BEHAVIOR else 1.0
    return EvalRecord(
        regime=loss.strategy.family,
        strategy=loss.strategy.name,
        inputs=loss.strategy.inputs,
        session=loss.session,
        tier=tier,
        target=target,
        metric=LOSS,
        predictor=MODEL,
        value=loss.losses[target],
        neurons=loss.num_outputs[target],
        windows=loss.num_windows,
        samples=round(loss.num_windows * loss.samples_per_window[target] * fraction),
    )
