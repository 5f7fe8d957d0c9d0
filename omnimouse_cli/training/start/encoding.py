"""The regression of responses on stimulus and behavior, in closed form."""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from omnimouse_cli.model.shortcuts.encoding import EncodingShortcut
from omnimouse_cli.training.start.session_data import SessionData

# W windows, T time steps, N neurons, D columns of the regression, R rank, F random features,
# K columns that random features are drawn for, P their principal components

# What all sessions share is estimated from so many neurons.
MOST_NEURONS = 512
# Least squares follow large transients of single neurons; deviations are clipped, in their
# standard deviations, where that predicts better.
CLIPS = (3.0, math.inf)
# Penalties per row of the regression, for columns of unit mean square.
PENALTIES = (0.3, 1.0, 3.0, 10.0)
# Length scales of the Gaussian kernel, in units of the stimulus's root mean square.
LENGTH_SCALES = (0.35, 0.7)
RANKS = (2, 4, 8, 12, 16, 24, 32, 48)
# Random features are drawn for this many principal components of the stimulus.
STIMULUS_COMPONENTS = 24
# Without a validation tier.
DEFAULT_PENALTY, DEFAULT_LENGTH_SCALE = 0.3, 0.7


def choose_components(
    train: Sequence[SessionData], held_out: Sequence[SessionData], encoding: EncodingShortcut
) -> tuple[dict[str, Tensor], str]:
    """Choose the components that predict held-out responses best.

    Args:
        train: Training windows of sessions.
        held_out: Validation windows of the same sessions; none if they have no validation tier.
        encoding: Its means and random features are changed.

    Returns:
        The buffers of the shortcut by their names in `linear_paths`, and what was chosen as a text;
        neither where the sessions have no stimulus and no behavior.
    """
    has_stimulus = _set_means(train, encoding)
    if not has_stimulus and all(data.behavior is None for data in train):
        return {}, ""
    # Each session gives its share of the neurons, evenly spaced.
    steps = [-(-data.predicted.shape[2] * len(train) // MOST_NEURONS) for data in train]
    # What does not predict held-out responses is left out.
    best, text = 0.0 if held_out else -1.0, "none, as it does not predict the validation tier"
    buffers: dict[str, Tensor] = {}
    num_rows = sum(len(data.responses) for data in train) * train[0].predicted.shape[1] / len(train)
    clips = CLIPS if held_out else CLIPS[:1]
    scales = LENGTH_SCALES if held_out else (DEFAULT_LENGTH_SCALE,)
    for length_scale in scales if has_stimulus else (math.inf,):
        if has_stimulus:
            _draw_random_features(train, encoding, length_scale)
        shared = _shared_buffers(encoding)
        buffers = buffers or shared
        square_DD, crosses = _normal_equations(train, encoding, clips, steps)
        of_held_out = [
            (data.columns(encoding), data.predicted[..., ::step])
            for data, step in zip(held_out, steps, strict=False)
        ]
        penalties = PENALTIES if held_out else (DEFAULT_PENALTY,)
        # A factorization takes longer than all else, and serves every clipping.
        factors = [(penalty, _factorize(square_DD, penalty)) for penalty in penalties]
        pairs = itertools.product(zip(clips, crosses, strict=True), factors)
        for (clip, cross_DN), (penalty, factor) in pairs:
            components_DR, weights_NR = _regress(square_DD, cross_DN, factor, encoding.rank)
            full = components_DR.shape[1]
            ranks = [*(rank for rank in RANKS if rank < full and held_out), full]
            for rank, score in zip(
                ranks, _score(components_DR, weights_NR, ranks, of_held_out), strict=True
            ):
                if score > best:
                    best = score
                    text = f"rank {rank}, penalty {penalty:g}, {describe_clip(clip)}"
                    if has_stimulus:
                        text += f", length scale {length_scale:g}"
                    found = _component_buffers(components_DR[:, :rank], square_DD, encoding)
                    # Counted in rows, so that it weighs more in sessions with fewer rows.
                    found["encoding.prior"] *= penalty * num_rows
                    buffers = {**shared, **found, "encoding.clip": torch.tensor(clip)}
    return buffers, text


def fit_weights(data: SessionData, encoding: EncodingShortcut) -> Tensor:
    """Return the weights of a session's neurons for the components: `(neurons, rank)`."""
    both_DR = torch.cat([encoding.get_buffer("of_stimulus"), encoding.get_buffer("of_behavior")])
    if not both_DR.any():
        return torch.zeros(data.responses.shape[2], encoding.rank)
    state = (data.columns(encoding) @ both_DR).flatten(0, 1).double()
    y, clip = data.predicted.flatten(0, 1), float(encoding.get_buffer("clip"))
    y = (y - y.mean(0)).clamp(-clip, clip)
    square_RR = (state.T @ state).cpu() / len(state)
    prior_RR = encoding.get_buffer("prior").double().cpu() / len(state)
    cross_RN = (state.T @ y.double()).cpu() / len(state)
    weights_NR: Tensor = torch.linalg.solve(square_RR + prior_RR, cross_RN).T.float()
    return weights_NR


def _set_means(train: Sequence[SessionData], encoding: EncodingShortcut) -> bool:
    """Set the mean contrasts, and return whether there is a stimulus."""
    contrasts = [data.contrasts for data in train if data.contrasts is not None]
    if contrasts:
        means = torch.stack([each.mean((0, 1)) for each in contrasts]).mean(0)
        encoding.get_buffer("means").copy_(means)
    return bool(contrasts)


def _draw_random_features(
    train: Sequence[SessionData], encoding: EncodingShortcut, length_scale: float
) -> None:
    """Set random features whose products approximate a Gaussian kernel of a length scale."""
    frequencies_KF = encoding.get_buffer("frequencies")
    num_features = frequencies_KF.shape[1]
    # The same in every run: with so many features another draw gives nearly the same kernel.
    generator = torch.Generator().manual_seed(0)
    means = [data.screen_means(encoding) for data in train if data.contrasts is not None]
    square_KK = torch.stack([(x.T @ x).double().cpu() / len(x) for x in means]).mean(0)
    variance_K, vectors_KK = torch.linalg.eigh(square_KK)
    leading_KP = vectors_KK.flip(1)[:, :STIMULUS_COMPONENTS]
    deviation = variance_K.clamp(min=0).flip(0)[:STIMULUS_COMPONENTS].sum().clamp(min=1e-12).sqrt()
    normal_PF = torch.randn(
        leading_KP.shape[1], num_features, generator=generator, dtype=torch.float64
    )
    frequencies_KF.copy_(leading_KP @ normal_PF / (deviation * length_scale))
    phases_F = 2 * math.pi * torch.rand(num_features, generator=generator)
    encoding.get_buffer("phases").copy_(phases_F)
    cosines = [torch.cos(x @ frequencies_KF + encoding.get_buffer("phases")).mean(0) for x in means]
    encoding.get_buffer("offsets").copy_(torch.stack(cosines).mean(0))


def _shared_buffers(encoding: EncodingShortcut) -> dict[str, Tensor]:
    names = ("means", "frequencies", "phases", "offsets")
    return {f"encoding.{name}": encoding.get_buffer(name).clone() for name in names}


def _normal_equations(
    train: Sequence[SessionData],
    encoding: EncodingShortcut,
    clips: Sequence[float],
    steps: Sequence[int],
) -> tuple[Tensor, list[Tensor]]:
    """Return mean products over sessions, float64, on the CPU.

    Args:
        train: Training windows of sessions.
        encoding: Makes the columns.
        clips: Where deviations of responses are clipped.
        steps: Of each session every so many neurons are used.

    Returns:
        `(columns, columns)`: of columns. For each clip `(columns, neurons)`: of columns and
        deviations of responses.
    """
    num_columns = sum(encoding.get_buffer(name).shape[0] for name in ("of_stimulus", "of_behavior"))
    square_DD = torch.zeros(num_columns, num_columns, dtype=torch.float64)
    crosses: list[list[Tensor]] = [[] for _ in clips]
    for data, step in zip(train, steps, strict=True):
        x = data.columns(encoding).flatten(0, 1)
        y = data.predicted[..., ::step].flatten(0, 1)
        y = y - y.mean(0)
        square_DD += (x.T @ x).cpu() / (len(x) * len(train))
        for each, clip in zip(crosses, clips, strict=True):
            each.append((x.T @ y.clamp(-clip, clip)).double().cpu() / len(x))
    return square_DD, [torch.cat(each, dim=1) for each in crosses]


def _factorize(square_DD: Tensor, penalty: float) -> Tensor:
    """Return the Cholesky factor of a ridge regression on columns of unit mean square."""
    scale_D = _scale(square_DD)
    scaled_DD = square_DD / scale_D
    scaled_DD /= scale_D[:, None]
    scaled_DD.diagonal().add_(penalty)
    factor_DD: Tensor = torch.linalg.cholesky(scaled_DD)
    return factor_DD


def _regress(
    square_DD: Tensor, cross_DN: Tensor, factor_DD: Tensor, rank: int
) -> tuple[Tensor, Tensor]:
    """Return the leading components of a ridge regression, and the weights of neurons."""
    scale_D = _scale(square_DD)
    cross_DN = cross_DN / scale_D[:, None]
    slopes_DN = torch.cholesky_solve(cross_DN, factor_DD)
    _, vectors_NN = torch.linalg.eigh(cross_DN.T @ slopes_DN)
    leading_NR = vectors_NN.flip(1)[:, :rank]
    return slopes_DN @ leading_NR / scale_D[:, None], leading_NR


def _scale(square_DD: Tensor) -> Tensor:
    """Return the root mean square of each column."""
    return square_DD.diagonal().clamp(min=1e-8).sqrt()


def _component_buffers(
    components_DR: Tensor, square_DD: Tensor, encoding: EncodingShortcut
) -> dict[str, Tensor]:
    """Return components of unit variance, so that weights of neurons are comparable."""
    deviation_R = (components_DR * (square_DD @ components_DR)).sum(0).clamp(min=1e-12).sqrt()
    unit_DR = components_DR / deviation_R
    # The penalty of `_regress`, expressed for the weights of components.
    used, missing = unit_DR.shape[1], encoding.rank - unit_DR.shape[1]
    scaled_DR = square_DD.diagonal().clamp(min=1e-8)[:, None] * unit_DR
    prior_RR = torch.eye(encoding.rank, dtype=torch.float64)
    prior_RR[:used, :used] = unit_DR.T @ scaled_DR
    result_DR = functional.pad(unit_DR, (0, missing)).float()
    num_stimulus = encoding.get_buffer("of_stimulus").shape[0]
    return {
        "encoding.of_stimulus": result_DR[:num_stimulus],
        "encoding.of_behavior": result_DR[num_stimulus:],
        "encoding.prior": prior_RR.float(),
    }


def _score(
    components_DR: Tensor,
    weights_NR: Tensor,
    ranks: Sequence[int],
    held_out: Sequence[tuple[Tensor, Tensor]],
) -> list[float]:
    """Return for each rank the mean correlation over held-out neurons; 0 without windows."""
    scores: list[list[Tensor]] = [[] for _ in ranks]
    first = 0
    for columns_WTD, recorded_WTN in held_out:
        last = first + recorded_WTN.shape[2]
        states_WTR = columns_WTD @ components_DR.to(columns_WTD)
        weights_RN = weights_NR[first:last].T.to(columns_WTD)
        for each, rank in zip(scores, ranks, strict=True):
            each.append(correlation(states_WTR[..., :rank] @ weights_RN[:rank], recorded_WTN))
        first = last
    return [float(torch.cat(each).mean()) if each else 0.0 for each in scores]


def correlation(predicted_WTN: Tensor, recorded_WTN: Tensor) -> Tensor:
    """Return the correlation of each neuron, 0 for a constant."""
    x, y = predicted_WTN.flatten(0, 1), recorded_WTN.flatten(0, 1)
    x, y = x - x.mean(0), y - y.mean(0)
    norm_N = x.norm(dim=0) * y.norm(dim=0)
    result_N: Tensor = ((x * y).sum(0) / norm_N.clamp(min=1e-12)).nan_to_num()
    return result_N


def describe_clip(clip: float) -> str:
    """Return how deviations are clipped, as words."""
    unit = "standard deviation" if clip == 1 else "standard deviations"
    return "not clipped" if math.isinf(clip) else f"clipped at {clip:g} {unit}"
