"""Losses on the windows of a tier that is not trained on, for every row of every regime."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from omnimouse_cli.batch.batch import Batch, to_device
from omnimouse_cli.batch.dataset import Dataset, SessionInfo
from omnimouse_cli.batch.reader import WindowReader
from omnimouse_cli.batch.selection import scored_mask, select
from omnimouse_cli.batch.strategies import regime_strategies
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.batch.windows import WindowTable
from omnimouse_cli.config.data import NUM_BEHAVIOR_SAMPLES, NUM_RESPONSE_SAMPLES, DataConfig
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.evaluate.records import LOSS, MODEL, NEURONS, OVERALL, EvalRecord
from omnimouse_cli.seeds import derive_seed
from omnimouse_cli.train.forward import forward_losses
from omnimouse_cli.train.parallel.world import World
from omnimouse_cli.train.state import TrainState

BEHAVIOR = "behavior"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowLoss:
    """The losses of one session under one row.

    Args:
        row: What was seen and asked.
        session: Session key.
        num_neurons: Neurons of the session, its weight among sessions.
        num_windows: Windows that the losses are means over.
        num_outputs: Neurons and channels that were predicted, by target.
        samples_per_window: Scored samples of each of them in a window, by target.
        losses: Mean loss by target, without a target of which nothing is scored.
    """

    row: Strategy
    session: str
    num_neurons: int
    num_windows: int
    num_outputs: dict[str, int]
    samples_per_window: dict[str, int]
    losses: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What a validation found.

    Args:
        records: As in `eval.json`, with metric `loss`.
        neural_loss: Mean over the rows that ask for responses, of the mean over sessions weighted
            by their neurons; None without a window to validate on.
    """

    records: tuple[EvalRecord, ...]
    neural_loss: float | None


def validation_sessions(config: RunConfig, dataset: Dataset) -> tuple[SessionInfo, ...]:
    """Give the sessions that validate.

    Raises:
        ShardError: One of those that the configuration names is not in the data set.
    """
    if config.train.validation_sessions is None:
        return dataset.sessions
    return tuple(dataset.session(key) for key in config.train.validation_sessions)


def validate(state: TrainState, config: RunConfig, dataset: Dataset, world: World) -> Validation:
    """Compute the losses of every row on every session; each rank does the sessions it owns.

    Args:
        state: Model and tables; unchanged.
        config: Of the run.
        dataset: What is trained on; windows of `train.validation_tiers` are read.
        world: The ranks.

    Returns:
        The same validation on every rank, whatever the number of ranks.
    """
    data = validation_data(config)
    reader = WindowReader(dataset, data)
    mine: list[RowLoss] = []
    training = state.core.training
    state.core.eval()
    with torch.no_grad():
        for session in validation_sessions(config, dataset):
            windows = dataset.windows(data, session.key)
            if session.key in state.tables.owned and windows.num_windows:
                batches = partial(_batches, reader, session, windows, data)
                mine += [
                    _row_loss(state, config, session, row, batches()) for row in rows_of(session)
                ]
    state.core.train(training)
    order = [session.key for session in dataset.sessions]
    losses = [loss for part in world.all_gather(mine) for loss in part]
    losses.sort(key=lambda loss: order.index(loss.session))
    return summarize(losses, "+".join(data.tiers))


def validation_data(config: RunConfig) -> DataConfig:
    """Give the data configuration of validation: windows that do not overlap, no blanks."""
    return dataclasses.replace(
        config.data,
        tiers=config.train.validation_tiers,
        include_blanks=False,
        stride_samples=NUM_RESPONSE_SAMPLES,
    )


def rows_of(session: SessionInfo) -> tuple[Strategy, ...]:
    """Give the rows that a session can have."""
    return regime_strategies(
        "all",
        population=session.num_neurons,
        stimulus=session.frame_shape is not None,
        behavior=bool(session.channels),
    )


def _row_loss(
    state: TrainState,
    config: RunConfig,
    session: SessionInfo,
    row: Strategy,
    batches: Iterable[Batch],
) -> RowLoss:
    device = next(state.core.parameters()).device
    num_neurons = min(session.num_neurons, config.data.max_neurons)
    selection = select(row, num_neurons=num_neurons, num_windows=1, generator=None)
    scored_samples = scored_mask(row, selection).sum(dim=0)
    sums: dict[str, float] = {}
    count = 0
    for batch in batches:
        losses = forward_losses(
            state.core,
            batch=to_device(batch, device, config.data),
            table=state.tables.owned[session.key],
            animal=session.animal,
            strategy=row,
            selection=select(
                row,
                num_neurons=num_neurons,
                num_windows=batch.num_windows,
                generator=None,
            ).to(device),
            config=config,
        )
        for target, loss in zip((NEURONS, BEHAVIOR), losses, strict=True):
            if loss is not None:
                sums[target] = sums.get(target, 0.0) + float(loss) * batch.num_windows
        count += batch.num_windows
    return RowLoss(
        row=row,
        session=session.key,
        num_neurons=session.num_neurons,
        num_windows=count,
        num_outputs={NEURONS: selection.num_targets, BEHAVIOR: len(session.channels)},
        samples_per_window={
            NEURONS: int(scored_samples.max()) if selection.num_targets else 0,
            BEHAVIOR: NUM_BEHAVIOR_SAMPLES,
        },
        losses={target: total / count for target, total in sums.items()},
    )


def _batches(
    reader: WindowReader, session: SessionInfo, windows: WindowTable, data: DataConfig
) -> Iterator[Batch]:
    """Read all windows of a session with the same neurons in each."""
    neurons = validation_neurons(session, data.max_neurons)
    for first in range(0, windows.num_windows, data.batch_size):
        last = min(first + data.batch_size, windows.num_windows)
        grid = windows.grid_index(np.arange(first, last))
        yield reader.read(session.key, grid, np.tile(neurons, (last - first, 1)))


def validation_neurons(session: SessionInfo, max_neurons: int) -> NDArray[np.int64]:
    """Choose the neurons of a session that validate: all, or a subset that no seed changes."""
    if session.num_neurons <= max_neurons:
        return np.arange(session.num_neurons)
    generator = np.random.default_rng(derive_seed("validation", session.key))
    return np.sort(generator.permutation(session.num_neurons)[:max_neurons])


def summarize(losses: Sequence[RowLoss], tier: str) -> Validation:
    """Turn losses of sessions into records, with an overall one for each row and target.

    Args:
        losses: Of every session and row.
        tier: What the windows are of.
    """
    records: list[EvalRecord] = []
    overall: dict[str, float] = {}
    for name in dict.fromkeys(loss.row.name for loss in losses):
        of_row = [loss for loss in losses if loss.row.name == name]
        for target in (NEURONS, BEHAVIOR):
            scored = [loss for loss in of_row if target in loss.losses]
            records += [_record(loss, target, tier) for loss in scored]
            if not scored:
                continue
            weights = [loss.num_neurons for loss in scored]
            mean = float(np.average([loss.losses[target] for loss in scored], weights=weights))
            records.append(_overall(records[-len(scored) :], mean))
            if target == NEURONS:
                overall[name] = mean
    return Validation(
        records=tuple(records),
        neural_loss=float(np.mean(list(overall.values()))) if overall else None,
    )


def _record(loss: RowLoss, target: str, tier: str) -> EvalRecord:
    return EvalRecord(
        regime=loss.row.family,
        strategy=loss.row.name,
        inputs=loss.row.inputs,
        session=loss.session,
        tier=tier,
        target=target,
        metric=LOSS,
        predictor=MODEL,
        value=loss.losses[target],
        neurons=loss.num_outputs[target],
        windows=loss.num_windows,
        samples=loss.num_windows * loss.samples_per_window[target],
    )


def _overall(records: Sequence[EvalRecord], value: float) -> EvalRecord:
    return dataclasses.replace(
        records[0],
        session=OVERALL,
        value=value,
        neurons=sum(record.neurons for record in records),
        windows=sum(record.windows for record in records),
        samples=sum(record.samples for record in records),
    )
