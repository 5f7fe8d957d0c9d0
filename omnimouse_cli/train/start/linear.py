"""The linear models of a training, computed in closed form from one pass over the train tier."""

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from omnimouse_cli.batch.batch import Batch, to_device
from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.batch.reader import WindowReader
from omnimouse_cli.batch.selection import select
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.batch.windows import window_table
from omnimouse_cli.config.data import NUM_FRAMES, NUM_RESPONSE_SAMPLES
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.model.inputs import channel_numbers, prepare_inputs
from omnimouse_cli.model.motion_energy import TIMES
from omnimouse_cli.model.omnimouse import OmniMouse
from omnimouse_cli.model.shortcuts.encoding import EncodingShortcut, behavior_columns
from omnimouse_cli.model.shortcuts.factors import FactorShortcut, LinearWeights
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.train.parallel.world import World
from omnimouse_cli.train.start.factor_analysis import FactorModel, fit_factors
from omnimouse_cli.train.state import TrainState

# W windows, S samples, N neurons, D columns of the regression, R rank

# What all sessions share is estimated from so many of them, evenly spaced, and from so many windows
# and neurons of each.
MOST_SESSIONS, MOST_WINDOWS, MOST_NEURONS = 4, 1500, 1024
MOST_VALUES = 60_000_000
STRIDE_SAMPLES = 30
# Penalties per row of the regression, for columns of unit variance.
PENALTIES = (0.03, 0.1, 0.3, 1.0)
# Of the unit variance of components.
SHRINKAGE = 0.03
# Second halves of windows are predicted: what came before is visible.
FIRST_STEP = len(TIMES) // 2
WINDOWS_AT_ONCE = 16
# Given half of the population, the other half is predicted.
CHOICE = Strategy(
    name="half",
    family="population",
    num_visible=2048,
    num_targets=2048,
    prefix=(30, 60),
    context=(30, 60),
    behavior="absent",
)


class SessionData(NamedTuple):
    """What windows of one session hold.

    Args:
        responses: `(windows, 60, neurons)`, scaled.
        contrasts: `(windows, 30, features x parts)` of the screen; None without one.
        behavior: `(windows, 15, columns)` of the regression; None without behavior.
    """

    responses: Tensor
    contrasts: Tensor | None
    behavior: Tensor | None

    @property
    def predicted(self) -> Tensor:
        """Responses at the time steps of the columns."""
        return self.responses[:, TIMES.start :: TIMES.step][:, FIRST_STEP:]

    @property
    def apart(self) -> Tensor:
        """Responses of windows that do not overlap."""
        return self.responses[:: NUM_RESPONSE_SAMPLES // STRIDE_SAMPLES]

    def columns(self, encoding: EncodingShortcut) -> Tensor:
        """Return the columns of the regression: `(windows, 15, columns)`."""
        shape = (*self.predicted.shape[:2], encoding.get_buffer("of_stimulus").shape[0])
        parts = [self.responses.new_zeros(shape)]
        if self.contrasts is not None:
            parts = [
                encoding.stimulus_columns(some)[:, FIRST_STEP:]
                for some in self.contrasts.split(WINDOWS_AT_ONCE)
            ]
        shape = (*shape[:2], encoding.get_buffer("of_behavior").shape[0])
        zeros = self.responses.new_zeros(shape)
        behavior = zeros if self.behavior is None else self.behavior
        return torch.cat([torch.cat(parts), behavior], dim=2)


class Regression(NamedTuple):
    """Normal equations of a session.

    Args:
        square: `(columns, columns)`: mean product of columns.
        cross: `(columns, neurons)`: mean product of columns and deviations of responses.
    """

    square: Tensor
    cross: Tensor


@torch.no_grad()
def start_linear_models(
    state: TrainState,
    *,
    sessions: Sequence[str],
    shared: bool,
    config: RunConfig,
    dataset: Dataset,
    world: World,
    reporter: Reporter,
) -> None:
    """Compute the linear models of a core that has them; the time counts as training.

    Rank and penalty are those that predict the validation tier best.

    Args:
        state: Buffers of the core and `neuron_weights` of sessions are set, the clock advanced.
        sessions: Sessions whose neurons have no weights yet.
        shared: Whether what sessions share is computed too, or kept as it is.
        config: Configuration of the training.
        dataset: Data set of the training.
        world: The ranks; the first one computes what sessions share.
        reporter: Receives ranks and penalty.
    """
    start_time = time.perf_counter()
    core = state.core
    if not isinstance(core, OmniMouse) or core.linear_paths.encoding is None:
        return
    reader = _Reader(core, config, dataset)
    if shared:
        found = world.on_first_rank(lambda: _fit_shared(reader, core, sessions, reporter))
        buffers = dict(core.linear_paths.named_buffers())
        for name, value in found.items():
            buffers[name].copy_(value)
    for session in sessions:
        if session in state.embeddings.owned:
            weights = state.embeddings.owned[session].neuron_weights
            weights.copy_(_fit_session(reader, core, session))
    state.counters.elapsed_seconds += time.perf_counter() - start_time


class _Reader:
    """Reads training and validation windows of sessions."""

    def __init__(self, core: OmniMouse, config: RunConfig, dataset: Dataset) -> None:
        self.config, self.dataset = config, dataset
        self._core = core
        self._windows = WindowReader(dataset, config.data)
        self._kept: dict[str, SessionData] = {}

    def training(self, session: str, *, keep: bool = False) -> SessionData | None:
        """Return windows of the training tiers; `keep`: they are asked for again."""
        data = self._kept.pop(session, None) or self.read(session, self.config.data.tiers)
        if keep and data is not None:
            self._kept[session] = data
        return data

    def read(self, session: str, tiers: Sequence[str]) -> SessionData | None:
        """Return windows of some tiers, evenly spaced; None if there is none."""
        info = self.dataset.session(session)
        data = self.config.data
        table = window_table(
            info.shard,
            tiers=tiers,
            include_blanks=data.include_blanks,
            require_behavior=data.require_behavior,
            stride_samples=STRIDE_SAMPLES,
        )
        if not table.num_windows:
            return None
        of_window = NUM_RESPONSE_SAMPLES * info.num_neurons
        most = min(MOST_WINDOWS, max(WINDOWS_AT_ONCE, MOST_VALUES // of_window))
        step = -(-table.num_windows // most)
        grid = table.grid_index(np.arange(0, table.num_windows, step))
        parts = [
            self._part(self._windows.read(session, grid[first : first + WINDOWS_AT_ONCE]))
            for first in range(0, len(grid), WINDOWS_AT_ONCE)
        ]
        joined = [
            None if values[0] is None else torch.cat(values) for values in zip(*parts, strict=True)
        ]
        return SessionData(*joined)

    def _part(self, batch: Batch) -> SessionData:
        paths = self._core.linear_paths
        assert paths.encoding is not None, "the core has linear models"
        device = paths.encoding.get_buffer("means").device
        batch = to_device(batch, device, self.config.data)
        contrasts = behavior = None
        if paths.stimulus is not None and batch.video is not None:
            energy_BTFYX = paths.stimulus.energy(batch.video, (0, NUM_FRAMES))
            contrasts = paths.encoding.contrasts(energy_BTFYX)
        if batch.behavior is not None:
            channels = channel_numbers(batch, device)
            columns_BTD = behavior_columns(batch.behavior.nan_to_num(), channels)
            behavior = columns_BTD[:, FIRST_STEP:]
        return SessionData(batch.responses, contrasts, behavior)


def _fit_shared(
    reader: _Reader, core: OmniMouse, sessions: Sequence[str], reporter: Reporter
) -> dict[str, Tensor]:
    """Return the buffers that sessions share, by their names in `linear_paths`."""
    chosen = np.unique(np.linspace(0, len(sessions) - 1, min(MOST_SESSIONS, len(sessions))))
    used = [sessions[int(number)] for number in chosen]
    config = reader.config
    training = [reader.training(session, keep=True) for session in used]
    validation = [reader.read(session, config.train.validation_tiers) for session in used]
    train = [each for each in training if each is not None]
    held_out = [
        other
        for each, other in zip(training, validation, strict=True)
        if each is not None and other is not None
    ]
    held_out = held_out if len(held_out) == len(train) else []
    contrasts = [data.contrasts for data in train if data.contrasts is not None]
    if contrasts:
        means = torch.stack([each.mean((0, 1)) for each in contrasts]).mean(0)
        core.linear_paths.encoding.get_buffer("means").copy_(means)
    components, text = _choose_components(train, held_out, core)
    autocovariances, factors = _choose_factors(train, held_out, core)
    if text:
        reporter.say(f"linear model of stimulus and behavior: {text}")
    reporter.say(f"linear model of the population: {factors} factors (Gaussian processes)")
    return components | autocovariances


def _normal_equations(data: SessionData, encoding: EncodingShortcut) -> Regression:
    x, y = data.columns(encoding).flatten(0, 1), data.predicted.flatten(0, 1)
    y = y - y.mean(0)
    return Regression(
        (x.T @ x).double() / len(x),
        (x.T @ y).double() / len(x),
    )


def _choose_components(
    train: Sequence[SessionData], held_out: Sequence[SessionData], core: OmniMouse
) -> tuple[dict[str, Tensor], str]:
    """Return the components of the regression, and rank and penalty as a text."""
    encoding = core.linear_paths.encoding
    assert encoding is not None, "the core has linear models"
    with_columns = [
        data for data in train if data.contrasts is not None or data.behavior is not None
    ]
    if not with_columns:
        return {}, ""
    equations = [_normal_equations(data, encoding) for data in train]
    of_held_out = [data.columns(encoding) for data in held_out]
    square_DD = torch.stack([each.square for each in equations]).mean(0)
    scale_D = square_DD.diagonal().clamp(min=1e-8).sqrt()
    scaled_DD = square_DD / scale_D / scale_D[:, None]
    crosses = [
        each.cross[:, :: -(-each.cross.shape[1] // MOST_NEURONS)] / scale_D[:, None]
        for each in equations
    ]
    cross_DN = torch.cat(crosses, dim=1)
    ranks = [rank for rank in (2, 4, 8, 12, 16, 24, 32, 48) if rank < encoding.rank]
    best = (-1.0, 0, 0.0, torch.zeros(0))
    for penalty in PENALTIES:
        eye = torch.eye(len(scaled_DD), dtype=torch.float64, device=scaled_DD.device)
        weights_DN = torch.cholesky_solve(
            cross_DN, torch.linalg.cholesky(scaled_DD + penalty * eye)
        )
        _, vectors_NN = torch.linalg.eigh(cross_DN.T @ weights_DN)
        leading_NR = vectors_NN.flip(1)[:, : encoding.rank]
        components_DR = weights_DN @ leading_NR / scale_D[:, None]
        for rank in [*ranks, leading_NR.shape[1]]:
            score = _score_components(
                components_DR[:, :rank].float(),
                leading_NR[:, :rank].float(),
                of_held_out,
                [data.predicted for data in held_out],
            )
            if score > best[0]:
                best = (score, rank, penalty, components_DR[:, :rank])
    _, rank, penalty, components_DR = best
    if not rank:
        return {}, "none, as it does not predict the validation tier"
    result_DR = components_DR.new_zeros(len(square_DD), encoding.rank)
    # Of unit variance, so that weights of neurons are comparable.
    deviation_R = (components_DR * (square_DD @ components_DR)).sum(0).clamp(min=1e-12).sqrt()
    result_DR[:, :rank] = components_DR / deviation_R
    num_stimulus = encoding.get_buffer("of_stimulus").shape[0]
    buffers = {
        "encoding.means": encoding.get_buffer("means").clone(),
        "encoding.of_stimulus": result_DR[:num_stimulus].float(),
        "encoding.of_behavior": result_DR[num_stimulus:].float(),
    }
    return buffers, f"rank {rank}, penalty {penalty:g}"


def _score_components(
    components_DR: Tensor,
    weights_NR: Tensor,
    columns: Sequence[Tensor],
    predicted: Sequence[Tensor],
) -> float:
    """Return the mean correlation over held-out neurons; 0 without held-out windows."""
    scores, first = [], 0
    for columns_WTD, recorded_WTN in zip(columns, predicted, strict=True):
        every = -(-recorded_WTN.shape[2] // MOST_NEURONS)
        chosen_WTN = recorded_WTN[..., ::every]
        last = first + chosen_WTN.shape[2]
        predicted_WTN = columns_WTD @ components_DR @ weights_NR[first:last].T
        scores.append(_correlation(predicted_WTN, chosen_WTN))
        first = last
    return float(torch.cat(scores).mean()) if scores else 0.0


def _correlation(predicted_WTN: Tensor, recorded_WTN: Tensor) -> Tensor:
    x, y = (
        each.flatten(0, 1) - each.flatten(0, 1).mean(0) for each in (predicted_WTN, recorded_WTN)
    )
    norms = x.norm(dim=0) * y.norm(dim=0)
    return ((x * y).sum(0) / norms.clamp(min=1e-12)).nan_to_num()


def _choose_factors(
    train: Sequence[SessionData], held_out: Sequence[SessionData], core: OmniMouse
) -> tuple[dict[str, Tensor], int]:
    """Return the autocovariances of the factor model, and the number of factors."""
    shortcut = core.linear_paths.factors
    assert shortcut is not None, "the core has linear models"
    most = shortcut.get_buffer("shared").shape[0]
    ranks = sorted({rank for rank in (4, 8, 16, 24, 32, 48) if rank < most} | {most})
    best: tuple[float, int, dict[str, Tensor]] = (-1.0, 0, {})
    for rank in ranks if held_out else ranks[-1:]:
        models = [fit_factors(data.apart, rank, most) for data in train]
        buffers = {
            "factors.shared": torch.stack([each.shared for each in models]).mean(0),
            "factors.private": torch.stack([each.private for each in models]).mean(0),
        }
        scores = [
            _score_factors(data.responses, model, buffers, core)
            for data, model in zip(held_out, models, strict=False)
        ]
        score = float(torch.cat(scores).mean()) if scores else 0.0
        if score > best[0]:
            best = (score, rank, buffers)
    return best[2], best[1]


def _score_factors(
    responses_WSN: Tensor, model: FactorModel, buffers: Mapping[str, Tensor], core: OmniMouse
) -> Tensor:
    """Return the correlation of each neuron of one half, given the other half."""
    windows, _, neurons = responses_WSN.shape
    shortcut = FactorShortcut(len(model.shared)).to(responses_WSN.device)
    shortcut.get_buffer("shared").copy_(buffers["factors.shared"])
    shortcut.get_buffer("private").copy_(buffers["factors.private"])
    generator = torch.Generator().manual_seed(0)
    order = torch.rand(neurons, generator=generator).argsort()
    selection = select(CHOICE, num_neurons=neurons, num_windows=windows, generator=None)
    batch = Batch(
        number=-1,
        session="",
        responses=responses_WSN[..., order],
        neuron_index=order.to(responses_WSN.device).repeat(windows, 1),
        video=None,
        behavior=None,
        behavior_present=np.zeros(len(core.behavior_channels), bool),
        start_seconds=np.zeros(windows),
    )
    inputs = prepare_inputs(core.config, batch, CHOICE, selection)
    targets = inputs.target_neurons()
    weights = LinearWeights(torch.zeros_like(model.loadings), model.loadings, model.log_noise)
    predicted = shortcut(inputs, targets, weights, model.mean, None)
    return _correlation(predicted, targets.responses[:, 30:])


def _fit_session(reader: _Reader, core: OmniMouse, session: str) -> Tensor:
    """Return the weights of a session's neurons: `(neurons, weights)`."""
    encoding, factors = core.linear_paths.encoding, core.linear_paths.factors
    assert encoding is not None, "the core has linear models"
    assert factors is not None, "the core has linear models"
    data = reader.training(session)
    num_neurons = reader.dataset.session(session).num_neurons
    weights_NR = torch.zeros(num_neurons, encoding.rank)
    if data is None:
        return torch.zeros(num_neurons, reader.config.model.decoder.num_neuron_weights)
    both_DR = torch.cat([encoding.get_buffer("of_stimulus"), encoding.get_buffer("of_behavior")])
    if both_DR.any():
        state = (data.columns(encoding) @ both_DR).flatten(0, 1).double()
        y = data.predicted.flatten(0, 1)
        square_RR = state.T @ state / len(state)
        eye = torch.eye(len(square_RR), dtype=square_RR.dtype, device=square_RR.device)
        cross_RN = state.T @ (y - y.mean(0)).double() / len(state)
        weights_NR = torch.linalg.solve(square_RR + SHRINKAGE * eye, cross_RN).T.float()
    # Unused factors have autocovariances of 0.
    rank = int((factors.get_buffer("shared")[:, 0] > 0).sum())
    model = fit_factors(data.apart, max(rank, 1), len(factors.get_buffer("shared")))
    return torch.cat([weights_NR, model.loadings, model.log_noise[:, None]], dim=1)
