"""The linear models of a training, computed in closed form from the train tier."""

import itertools
import math
import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.config.model import num_correction_features
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.model.omnimouse import OmniMouse
from omnimouse_cli.model.shortcuts.factors import FactorShortcut
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.start.correction import (
    correction_moments,
    factor_weights,
    population_inputs,
)
from omnimouse_cli.training.start.decoding import choose_decoding, fit_decoding
from omnimouse_cli.training.start.encoding import (
    CLIPS,
    MOST_NEURONS,
    choose_components,
    correlation,
    describe_clip,
    fit_weights,
)
from omnimouse_cli.training.start.factor_analysis import FactorModel, fit_factors
from omnimouse_cli.training.start.gaze import describe_gaze, fit_gaze
from omnimouse_cli.training.start.receptive_fields import fit_fields
from omnimouse_cli.training.start.session_data import SessionData, TrainingReader
from omnimouse_cli.training.start.stimulus_share import choose_stimulus_share
from omnimouse_cli.training.start.tuning import fit_tuning
from omnimouse_cli.training.state import TrainState

# W windows, T time steps, S samples, N neurons, D columns of the regression, R rank

# What all sessions share is estimated from so many of them, evenly spaced.
MOST_SESSIONS = 4
# Of the correction of the factor model; smaller ones hardly help where the stimulus is hidden, and
# harm where it is visible too.
CORRECTION_PENALTIES = (0.1, 0.3, 1.0, 3.0)
# Overlapping windows of a session; fewer do not tell what more than a hundred features add.
LEAST_CORRECTION_WINDOWS = 200
# Given one of these shares of the population, the others are predicted; the first one decides on
# rank and clipping, all decide on the correction.
CHOICE_SHARES = (1 / 2, 1 / 16)


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

    Ranks, penalties, clipping and the share of the stimulus are those that predict the validation
    tier best.

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
    world.activity.begin("linear models")
    reader = TrainingReader(core, config, dataset)
    if shared:
        found = world.on_first_rank(lambda: _fit_shared(reader, core, sessions, reporter))
        _assign(core, found)
    for session in sessions:
        if session in state.embeddings.owned:
            weights = state.embeddings.owned[session].neuron_weights
            weights.copy_(_fit_session(reader, core, session))
    state.counters.elapsed_seconds += time.perf_counter() - start_time


def _assign(core: OmniMouse, found: Mapping[str, Tensor]) -> None:
    """Copy values into the buffers and parameters of `linear_paths`."""
    tensors = dict(core.linear_paths.named_buffers())
    tensors |= dict(core.linear_paths.named_parameters())
    for name, value in found.items():
        tensors[name].copy_(value)


def _fit_shared(
    reader: TrainingReader, core: OmniMouse, sessions: Sequence[str], reporter: Reporter
) -> dict[str, Tensor]:
    """Return what sessions share, by the names of buffers in `linear_paths`, on the CPU.

    The gaze, which is learned too, is a parameter there. Where tuning is fitted, the core is given
    these values, too.
    """
    encoding = core.linear_paths.encoding
    assert encoding is not None, "the core has linear models"
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
    components, text = choose_components(train, held_out, encoding)
    of_factors, of_population = _choose_factors(train, held_out, core)
    if text:
        reporter.say(f"linear model of stimulus and behavior: {text}")
    reporter.say(f"linear model of the population: {of_population}")
    of_decoding, of_behavior = choose_decoding(train, held_out)
    if of_behavior:
        reporter.say(f"linear model of behavior: {of_behavior}")
    found = components | of_factors | of_decoding
    stimulus = core.linear_paths.stimulus
    if config.model.decoder.num_tuning_weights and stimulus is not None:
        _assign(core, found)
        pairs = [(key, each) for key, each in zip(used, training, strict=True) if each is not None]
        if stimulus.gaze is not None:
            gaze = fit_gaze(reader, core, pairs)
            reporter.say(f"gaze: {describe_gaze(gaze, core.behavior_channels, config.model.video)}")
            found["stimulus.gaze"] = gaze
            _assign(core, found)
        of_stimulus = found.get("encoding.of_stimulus")
        if held_out and of_stimulus is not None and of_stimulus.any():
            triples = [(*pair, other) for pair, other in zip(pairs, held_out, strict=True)]
            share = choose_stimulus_share(reader, core, triples)
            text = f"{share:.0%} is added to receptive fields"
            reporter.say(f"of the linear model of the stimulus, {text}")
            found["encoding.stimulus_share"] = torch.tensor(share)
    return {name: value.cpu() for name, value in found.items()}


def _choose_factors(
    train: Sequence[SessionData], held_out: Sequence[SessionData], core: OmniMouse
) -> tuple[dict[str, Tensor], str]:
    """Return the buffers of the factor model, and the number of factors and clipping as a text."""
    shortcut = core.linear_paths.factors
    assert shortcut is not None, "the core has linear models"
    most = shortcut.get_buffer("shared").shape[0]
    ranks = sorted({rank for rank in (4, 8, 16, 24, 32, 48) if rank < most} | {most})
    steps = [-(-data.responses.shape[2] * len(train) // MOST_NEURONS) for data in train]
    fitted = [data.apart[..., ::step] for data, step in zip(train, steps, strict=True)]
    scored = [data.responses[..., ::step] for data, step in zip(held_out, steps, strict=False)]
    best, buffers, text, chosen = -1.0, {}, "", []
    for clip, rank in itertools.product(CLIPS, ranks) if held_out else [(CLIPS[0], most)]:
        models = [fit_factors(each, rank, most, clip=clip) for each in fitted]
        made = {
            "factors.shared": torch.stack([each.shared for each in models]).mean(0),
            "factors.private": torch.stack([each.private for each in models]).mean(0),
            "factors.clip": torch.tensor(clip),
            # Without a correction.
            "factors.penalty": torch.tensor(math.inf),
        }
        score = _score_factors(scored, models, made, core, shares=CHOICE_SHARES[:1])
        if score > best:
            best, buffers, chosen = score, made, models
            text = f"{rank} factors (Gaussian processes), {describe_clip(clip)}"
    if not held_out or min(len(each.responses) for each in train) < LEAST_CORRECTION_WINDOWS:
        return buffers, f"{text}, no correction"
    # Windows may overlap in this regression.
    fitted = [data.responses[..., ::step] for data, step in zip(train, steps, strict=True)]
    buffers["factors.penalty"] = _choose_penalty(fitted, scored, chosen, buffers, core)
    penalty = float(buffers["factors.penalty"])
    found = "no correction" if math.isinf(penalty) else f"a correction with penalty {penalty:g}"
    return buffers, f"{text}, {found}"


def _choose_penalty(
    fitted: Sequence[Tensor],
    scored: Sequence[Tensor],
    models: Sequence[FactorModel],
    buffers: Mapping[str, Tensor],
    core: OmniMouse,
) -> Tensor:
    """Return the penalty of the correction; infinite where none predicts held-out responses."""
    moments = [
        correction_moments(responses, model, _build_shortcut(buffers, responses.device), core)
        for responses, model in zip(fitted, models, strict=True)
    ]
    result = buffers["factors.penalty"]
    best = _score_factors(scored, models, buffers, core, shares=CHOICE_SHARES)
    for penalty in torch.tensor(CORRECTION_PENALTIES):
        corrections = [each.solve(float(penalty)) for each in moments]
        corrected = {**buffers, "factors.penalty": penalty}
        score = _score_factors(
            scored, models, corrected, core, shares=CHOICE_SHARES, corrections=corrections
        )
        if score > best:
            best, result = score, penalty
    return result


def _build_shortcut(buffers: Mapping[str, Tensor], device: torch.device) -> FactorShortcut:
    shortcut = FactorShortcut(len(buffers["factors.shared"])).to(device)
    for name, value in shortcut.named_buffers():
        value.copy_(buffers[f"factors.{name}"])
    return shortcut


def _score_factors(
    scored: Sequence[Tensor],
    models: Sequence[FactorModel],
    buffers: Mapping[str, Tensor],
    core: OmniMouse,
    *,
    shares: Sequence[float],
    corrections: Sequence[Tensor | None] = (None,) * MOST_SESSIONS,
) -> float:
    """Return the mean correlation over neurons given each share of the population.

    Without held-out responses it is 0.
    """
    scores = []
    for responses_WSN, model, correction_NF in zip(scored, models, corrections, strict=False):
        device = responses_WSN.device
        shortcut = _build_shortcut(buffers, device)
        weights = factor_weights(model, device, correction_NF)
        generator = torch.Generator().manual_seed(0)
        order_N = torch.rand(responses_WSN.shape[2], generator=generator).argsort().to(device)
        for share in shares:
            inputs = population_inputs(responses_WSN, order_N, share, core)
            targets = inputs.target_neurons()
            predicted = shortcut(inputs, targets, weights, model.mean.to(device), None)
            scores.append(correlation(predicted, targets.responses[:, 30:]))
    return float(torch.cat(scores).mean()) if scores else 0.0


def _fit_session(reader: TrainingReader, core: OmniMouse, session: str) -> Tensor:
    """Return the weights of a session's neurons: `(neurons, weights)`."""
    encoding, factors = core.linear_paths.encoding, core.linear_paths.factors
    assert encoding is not None, "the core has linear models"
    assert factors is not None, "the core has linear models"
    data = reader.training(session)
    num_neurons = reader.dataset.session(session).num_neurons
    num_channels = len(core.behavior_channels)
    if data is None:
        num_weights = reader.config.model.decoder.num_neuron_weights(num_channels)
        return torch.zeros(num_neurons, num_weights)
    # Unused factors have autocovariances of 0.
    rank = int(factors.get_buffer("shared").any(dim=1).sum())
    clip = float(factors.get_buffer("clip"))
    model = fit_factors(data.apart, max(rank, 1), len(factors.get_buffer("shared")), clip=clip)
    correction_NF = torch.zeros(num_neurons, num_correction_features(factors.rank))
    penalty = float(factors.get_buffer("penalty"))
    if math.isfinite(penalty) and len(data.responses) >= LEAST_CORRECTION_WINDOWS:
        correction_NF = correction_moments(data.responses, model, factors, core).solve(penalty)
    decoding_ND = fit_decoding(data, core.linear_paths.decoding)
    parts = [fit_weights(data, encoding), model.loadings, model.log_noise[:, None], correction_NF]
    if reader.config.model.decoder.fits_fields:
        parts.append(fit_fields(reader, core, session, data))
    if reader.config.model.decoder.num_tuning_weights:
        parts.append(fit_tuning(reader, core, session, data, parts[-1]))
    return torch.cat([*parts, decoding_ND], dim=1)
