"""Validation: losses on windows that are not trained on, for every strategy of every regime."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from omnimouse_cli.batch.batch import copy_without_wait, to_device
from omnimouse_cli.batch.dataset import Dataset, SessionInfo
from omnimouse_cli.batch.masking import applies
from omnimouse_cli.batch.reader import WindowReader
from omnimouse_cli.batch.selection import Selection, scored_samples, select
from omnimouse_cli.batch.strategies import regime_strategies
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.data import NUM_BEHAVIOR_SAMPLES
from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.evaluation.records import MODEL, NEURONS
from omnimouse_cli.model.build import Core, unsupported_reason
from omnimouse_cli.model.losses import Losses
from omnimouse_cli.model.session_embeddings import SessionEmbeddings
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.state import TrainState
from omnimouse_cli.training.step import compute_batch_losses
from omnimouse_cli.training.validation_baselines import baseline_losses
from omnimouse_cli.training.validation_records import (
    BEHAVIOR,
    ChannelLoss,
    SessionLoss,
    Validation,
    summarize,
)
from omnimouse_cli.training.validation_windows import (
    sample_windows,
    validation_data,
    validation_neurons,
    validation_sessions,
    windows_per_session,
)

# Numbers of batch and strategy, predictor, losses, share of behavior that is not lost.
_OfBatch = tuple[int, int, str, Losses, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationBatch:
    """Windows of one session that one rank evaluates together, under every strategy.

    Args:
        session: Index of the session in the data set.
        windows: int64 `(batch,)`: numbers of the windows.
    """

    session: int
    windows: NDArray[np.int64]


class BatchLosses(NamedTuple):
    """The losses of a batch under one strategy.

    Args:
        batch: Number of the batch in the validation.
        strategy: Number of the strategy among those of the session.
        predictor: `model`, or a baseline.
        neural: Mean neural loss; None without a target.
        behavior: Mean behavior loss; None without a target.
        behavior_fraction: Share of the behavior samples that are not lost.
        channels: Sum of the losses of each behavior channel of the session, and number of its
            samples that are not lost; empty without a target.
    """

    batch: int
    strategy: int
    predictor: str
    neural: float | None
    behavior: float | None
    behavior_fraction: float
    channels: tuple[tuple[float, float], ...] = ()


def validate(
    state: TrainState, config: RunConfig, dataset: Dataset, world: World
) -> Validation | None:
    """Compute the losses of all strategies; rank r of R evaluates the batches r, r + R, ...

    The whole model is evaluated, also while only its shortcuts are trained.

    Args:
        state: Core and session embeddings; no parameter changes.
        config: Resolved configuration.
        dataset: Its windows of `train.validation_tiers` are read.
        world: The ranks.

    Returns:
        The same validation on every rank, whatever the number of ranks; None if any rank got a
        signal to stop, which is noticed between two batches.
    """
    batches = _validation_batches(config, dataset)
    reader = WindowReader(dataset, validation_data(config))
    state.core.shortcuts_only = False
    training = state.core.training
    state.core.eval()
    losses: list[_OfBatch] = []
    is_stopped = False
    with torch.no_grad():
        for first in range(0, len(batches), world.num_ranks):
            is_stopped = world.is_stopping()
            if is_stopped:
                break
            # Batches of one session follow each other, so ranks have equal work in a round.
            of_ranks = [*batches[first : first + world.num_ranks]]
            indices: list[int | None] = [batch.session for batch in of_ranks]
            indices += [None] * (world.num_ranks - len(of_ranks))
            embeddings = state.embeddings.receive(indices, trained=False)
            if embeddings is not None:
                number = first + world.rank
                losses += [
                    (number, *of_predictor)
                    for of_predictor in _evaluate_batch(
                        state.core,
                        embeddings,
                        config,
                        dataset,
                        reader=reader,
                        batch=batches[number],
                    )
                ]
    state.core.train(training)
    if is_stopped:
        return None
    parts = [part for of_rank in world.all_gather(_to_numbers(losses)) for part in of_rank]
    session_losses = _average(sorted(parts), batches, config, dataset)
    return summarize(session_losses, "+".join(config.train.validation_tiers))


def _validation_batches(config: RunConfig, dataset: Dataset) -> list[ValidationBatch]:
    """Return the batches of a validation, session by session, the same on every rank."""
    data, limit, size = validation_data(config), windows_per_session(config), config.data.batch_size
    indices = {session.key: index for index, session in enumerate(dataset.sessions)}
    batches = []
    for index in sorted(indices[session.key] for session in validation_sessions(config, dataset)):
        table = dataset.windows(data, dataset.sessions[index].key)
        windows = sample_windows(table.num_windows, limit)
        batches += [
            ValidationBatch(session=index, windows=windows[first : first + size])
            for first in range(0, len(windows), size)
        ]
    return batches


def _evaluate_batch(
    core: Core,
    embeddings: SessionEmbeddings,
    config: RunConfig,
    dataset: Dataset,
    *,
    reader: WindowReader,
    batch: ValidationBatch,
) -> Iterator[tuple[int, str, Losses, float]]:
    """Yield number, predictor, losses and share of behavior that is not lost, by strategy."""
    session = dataset.sessions[batch.session]
    neurons = validation_neurons(session, config.data.max_neurons)
    grid = dataset.windows(validation_data(config), session.key).grid_index(batch.windows)
    recorded = reader.read(session.key, grid, np.tile(neurons, (len(grid), 1)))
    fraction = recorded.behavior_fraction
    device = embeddings.neuron_biases.device
    # Copied once for all strategies.
    on_device = to_device(recorded, device, config.data)
    scaled = dataset.scaled_mean(config.data, session.key)
    mean = copy_without_wait(torch.from_numpy(scaled[neurons]), device)
    assert config.model.response_loss is not None, "resolved before training"
    for number, strategy in enumerate(validation_strategies(session, config.model)):
        selection = select(
            strategy,
            num_neurons=len(neurons),
            num_windows=len(grid),
            generator=None,
            device=device,
        )
        losses = compute_batch_losses(
            core,
            on_device,
            embeddings=embeddings,
            animal=session.animal,
            strategy=strategy,
            selection=selection,
            config=config,
            by_channel=True,
        )
        yield number, MODEL, losses, fraction
        for baseline, of_baseline in baseline_losses(
            on_device, strategy, selection, mean, config.model.response_loss
        ):
            yield number, baseline, of_baseline, fraction


def _to_numbers(losses: Sequence[_OfBatch]) -> list[BatchLosses]:
    """Return losses as numbers; the host waits for the device only here."""
    present = [value.flatten() for *_, of, _ in losses for value in of if value is not None]
    values = iter(torch.cat(present).tolist() if present else [])
    return [
        BatchLosses(
            batch=batch,
            strategy=strategy,
            predictor=predictor,
            neural=None if of.neural is None else next(values),
            behavior=None if of.behavior is None else next(values),
            behavior_fraction=fraction,
            channels=_take_channels(of, values),
        )
        for batch, strategy, predictor, of, fraction in losses
    ]


def _take_channels(losses: Losses, values: Iterator[float]) -> tuple[tuple[float, float], ...]:
    """Return sum and number of each channel's losses, which follow each other in `values`."""
    if losses.channels is None:
        return ()
    num_channels = losses.channels.shape[1]
    sums, counts = (list(itertools.islice(values, num_channels)) for _ in range(2))
    return tuple(zip(sums, counts, strict=True))


def validation_strategies(session: SessionInfo, model: ModelConfig) -> tuple[Strategy, ...]:
    """Return the evaluation strategies that apply to a session and that a model can predict."""
    strategies = regime_strategies(
        "all",
        population=session.num_neurons,
        stimulus=session.frame_shape is not None,
        behavior=bool(session.channels),
        causal=False,
    )
    return tuple(
        strategy
        for strategy in strategies
        if applies(strategy, session) and unsupported_reason(model, strategy) is None
    )


def _average(
    parts: Sequence[BatchLosses],
    batches: Sequence[ValidationBatch],
    config: RunConfig,
    dataset: Dataset,
) -> list[SessionLoss]:
    """Average over the batches of each session and strategy, in the order of the batches."""
    grouped: dict[tuple[int, int, str], list[BatchLosses]] = {}
    for part in parts:
        key = (batches[part.batch].session, part.strategy, part.predictor)
        grouped.setdefault(key, []).append(part)
    strategies = {
        index: validation_strategies(dataset.sessions[index], config.model) for index, *_ in grouped
    }
    return [
        _session_loss(
            dataset.sessions[index],
            strategies[index][number],
            predictor,
            [(part, len(batches[part.batch].windows)) for part in of_session],
            config,
            channels=[
                name
                for name in dataset.behavior_channels
                if name in dataset.sessions[index].channels
            ],
        )
        for (index, number, predictor), of_session in sorted(grouped.items())
    ]


def _session_loss(
    session: SessionInfo,
    strategy: Strategy,
    predictor: str,
    parts: Sequence[tuple[BatchLosses, int]],
    config: RunConfig,
    *,
    channels: Sequence[str],
) -> SessionLoss:
    """Return the losses of a session under a strategy, from those of batches of some windows.

    Args:
        session: The session.
        strategy: Inputs and targets.
        predictor: `model`, or a baseline.
        parts: Losses of each batch, and its number of windows.
        config: Resolved configuration.
        channels: Behavior channels of the session, in the order of a batch.
    """
    sums: dict[str, float] = {}
    # Windows that each loss is a mean over: of behavior, by the share that is not lost.
    weights = {NEURONS: 0.0, BEHAVIOR: 0.0}
    for part, num_windows in parts:
        losses = (part.neural, part.behavior)
        fractions = (1.0, part.behavior_fraction)
        for target, loss, fraction in zip(weights, losses, fractions, strict=True):
            weight = num_windows * fraction
            weights[target] += weight
            if loss is not None and weight:
                sums[target] = sums.get(target, 0.0) + loss * weight
    num_windows = sum(number for _, number in parts)
    num_neurons = min(session.num_neurons, config.data.max_neurons)
    selection = select(strategy, num_neurons=num_neurons, num_windows=1, generator=None)
    return SessionLoss(
        strategy=strategy,
        predictor=predictor,
        session=session.key,
        num_neurons=session.num_neurons,
        num_windows=num_windows,
        num_outputs={NEURONS: selection.num_targets, BEHAVIOR: len(session.channels)},
        samples_per_window={
            NEURONS: _samples_per_window(strategy, selection),
            BEHAVIOR: NUM_BEHAVIOR_SAMPLES,
        },
        losses={target: total / weights[target] for target, total in sums.items()},
        behavior_fraction=weights[BEHAVIOR] / max(num_windows, 1),
        channels=_sum_channels(channels, [part.channels for part, _ in parts if part.channels]),
    )


def _sum_channels(
    names: Sequence[str], parts: Sequence[tuple[tuple[float, float], ...]]
) -> dict[str, ChannelLoss]:
    """Return the loss of each channel over all batches; one whose samples are all lost has none."""
    totals = np.array(parts, np.float64).sum(axis=0) if parts else []
    return {
        name: ChannelLoss(loss=total / count, samples=round(count))
        for name, (total, count) in zip(names, totals, strict=False)
        if count
    }


def _samples_per_window(strategy: Strategy, selection: Selection) -> int:
    """Return the scored samples of a target neuron: the most that any of them has."""
    of_visible, of_hidden = map(sum, scored_samples(strategy))
    shared, hidden = selection.num_shared, selection.num_targets - selection.num_shared
    return max(of_visible if shared else 0, of_hidden if hidden else 0)
