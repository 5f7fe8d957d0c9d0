"""Receptive fields: maps by reverse correlation with noise and by gradients, fitted Gaussians."""

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from omnimouse_cli.probing.session_model import WINDOWS_AT_ONCE, SessionModel
from omnimouse_cli.probing.stimuli import SparseNoise
from omnimouse_cli.probing.tuning import row_correlation
from omnimouse_cli.reporter import Reporter, Silent

# N neurons, W windows, Y rows and X columns of a map, P positions of a map, K parameters of a fit

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
# Ridge penalty of the regression on squares, as a share of the windows' variance.
PENALTY = 0.02
FIT_ITERATIONS = 60
# Standard deviation in pixels of the smoothing, and of the Gaussians from which fits start.
START_PX = 3.0
NEURONS_AT_ONCE = 512
# The residual of a fit is noise outside of so many standard deviations.
NOISE_DISTANCE = 2.5
# Below this precision (in pixels^-2) a Gaussian is wider than any screen.
LEAST_PRECISION = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReceptiveMap:
    """Maps of where on the screen stimuli drive neurons.

    Args:
        values: float64 `(neurons, rows, columns)`.
        row_px: float64 `(rows,)`: rows of the screen at which the map is known.
        column_px: float64 `(columns,)`.
        reliability: float64 `(neurons,)`: correlation of the maps from both halves of the windows;
            NaN where it is not known.
        sample_variance_px2: Variance of positions within a square of the map, which widens it.
        is_energy: Whether values are energies, or else amplitudes: a linear filter with a Gaussian
            envelope of standard deviation s has a map of energies of standard deviation
            s / sqrt(2), and one of amplitudes of s.
    """

    values: F64
    row_px: F64
    column_px: F64
    reliability: F64
    sample_variance_px2: float
    is_energy: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GaussianFit:
    """Two-dimensional Gaussians fitted to maps; arrays are float64.

    Sizes are those of the Gaussian envelope of a linear filter with this map.

    Args:
        center_px: `(neurons, 2)`: row and column; the center of the top left pixel is (0, 0).
        size_px: `(neurons, 2)`: standard deviations along the long and the short axis.
        orientation_deg: `(neurons,)`: the long axis, 0 to 180, counter-clockwise from horizontal.
        snr: `(neurons,)`: height over the standard deviation of the residual outside of 2.5
            standard deviations from the center, negative for a dip.
        explained: `(neurons,)`: share of the map's variance that the fit explains.
    """

    center_px: F64
    size_px: F64
    orientation_deg: F64
    snr: F64
    explained: F64


def map_by_noise(
    model: SessionModel, noise: SparseNoise, neurons: I64, reporter: Reporter | None = None
) -> ReceptiveMap:
    """Regress responses on which squares of the screen show noise.

    The weight of a square is what noise in it adds to the mean response of a window: reverse
    correlation with the contrast of the stimulus, which maps neurons that ignore its sign too.
    Correlations between squares are removed by the regression.

    Args:
        model: The neurons; runs of an ensemble are averaged.
        noise: The stimuli.
        neurons: int64 `(neurons,)`: columns of the recording.
        reporter: Shows progress.
    """
    reporter = reporter or Silent()
    num_windows = len(noise.shown)
    task = "receptive fields by noise"
    reporter.start(task, num_windows)
    parts = []
    for first in range(0, num_windows, WINDOWS_AT_ONCE):
        frames = noise.frames(first, first + WINDOWS_AT_ONCE)
        responses = model.mean_responses(frames, np.tile(neurons, (len(frames), 1)))
        parts.append(responses.mean(axis=0))
        reporter.advance(task, len(frames))
    reporter.finish(task)
    responses_WN = np.concatenate(parts).astype(np.float64)
    shown_WP = noise.shown.reshape(num_windows, -1).astype(np.float64)
    halves = [_regress(shown_WP[half::2], responses_WN[half::2]) for half in (0, 1)]
    rows, columns = noise.square_centers()
    weights_NP = _regress(shown_WP, responses_WN)
    return ReceptiveMap(
        values=weights_NP.reshape(-1, len(rows), len(columns)),
        row_px=rows,
        column_px=columns,
        reliability=row_correlation(*halves),
        sample_variance_px2=noise.square_px**2 / 12,
        is_energy=True,
    )


def _regress(shown_WP: F64, responses_WN: F64) -> F64:
    """Return the ridge weights of squares: `(neurons, squares)`."""
    centered_WP = shown_WP - shown_WP.mean(axis=0)
    gram_PP = centered_WP.T @ centered_WP
    penalty = PENALTY * np.trace(gram_PP) / len(gram_PP)
    # Two windows may show the same squares.
    gram_PP[np.diag_indices(len(gram_PP))] += penalty + 1e-9
    moments_PN = centered_WP.T @ (responses_WN - responses_WN.mean(axis=0))
    return np.asarray(np.linalg.solve(gram_PP, moments_PN).T)


def map_by_gradient(
    model: SessionModel,
    video_WTYX: F32,
    neurons: I64,
    reporter: Reporter | None = None,
) -> ReceptiveMap:
    """Average the size of the gradient of the response by each pixel over windows.

    The gradient is that of the response averaged over the second half of a window and over runs;
    its size at a pixel is the root mean square over frames. The gradient itself averages to nothing
    in neurons that ignore the sign of contrast. Each window is divided by its norm, so that no
    single one decides; windows without a finite gradient, as of a grey screen, are left out.

    Args:
        model: The neurons.
        video_WTYX: float32 `(windows, 60, height, width)`, scaled as a model takes it.
        neurons: int64 `(neurons,)`: columns of the recording.
        reporter: Shows progress.
    """
    reporter = reporter or Silent()
    num_windows, num_neurons = len(video_WTYX), len(neurons)
    height, width = model.frame_shape
    sums_HNYX = np.zeros((2, num_neurons, height, width))
    counts_HN = np.zeros((2, num_neurons, 1, 1))
    # One window for one neuron: windows do not depend on each other, so that one pass backwards
    # gives the gradients of as many neurons as it has windows.
    pairs = list(itertools.product(range(num_windows), range(num_neurons)))
    task = "receptive fields by gradient"
    reporter.start(task, len(pairs))
    for first in range(0, len(pairs), WINDOWS_AT_ONCE):
        window_B, index_B = np.array(pairs[first : first + WINDOWS_AT_ONCE]).T
        video = torch.from_numpy(video_WTYX[window_B]).to(model.device).requires_grad_()
        neurons_B1 = torch.from_numpy(neurons[index_B, None])
        response = model.predict_windows(video, neurons_BN=neurons_B1).mean(dim=(0, 2)).sum()
        (gradient_BTYX,) = torch.autograd.grad(response, video)
        size_BYX = gradient_BTYX.double().square().mean(dim=1).sqrt().cpu().numpy()
        norm_B = np.sqrt((size_BYX**2).sum(axis=(1, 2)))
        kept = np.isfinite(norm_B) & (norm_B > 0)
        into = (window_B[kept] % 2, index_B[kept])
        np.add.at(sums_HNYX, into, size_BYX[kept] / norm_B[kept, None, None])
        np.add.at(counts_HN, into, 1)
        reporter.advance(task, len(window_B))
    reporter.finish(task)
    halves = [one.reshape(num_neurons, -1) for one in sums_HNYX]
    return ReceptiveMap(
        values=sums_HNYX.sum(axis=0) / np.maximum(counts_HN.sum(axis=0), 1),
        row_px=np.arange(height, dtype=np.float64),
        column_px=np.arange(width, dtype=np.float64),
        reliability=row_correlation(halves[0], halves[1]),
        sample_variance_px2=1 / 12,
        is_energy=False,
    )


def fit_gaussians(found: ReceptiveMap) -> GaussianFit:
    """Fit a two-dimensional Gaussian on a constant to every map, by least squares.

    Levenberg-Marquardt steps of all neurons at once, from the largest value of each smoothed map.
    """
    row_P, column_P = (
        grid.ravel() for grid in np.meshgrid(found.row_px, found.column_px, indexing="ij")
    )
    maps_NP = found.values.reshape(len(found.values), -1)
    # Single pixels are no receptive field.
    smoothed_NYX = _smoothing(found.row_px) @ found.values @ _smoothing(found.column_px).T
    smoothed_NP = smoothed_NYX.reshape(maps_NP.shape)
    parts = []
    for first in range(0, len(maps_NP), NEURONS_AT_ONCE):
        rows = slice(first, first + NEURONS_AT_ONCE)
        parts.append(_fit(maps_NP[rows], smoothed_NP[rows], row_P, column_P))
    parameters_NK = np.concatenate([part[0] for part in parts])
    residual_NP = np.concatenate([part[1] for part in parts])
    return _describe(parameters_NK, residual_NP, maps_NP, (row_P, column_P), found)


def _smoothing(position_px: F64) -> F64:
    """Return weights of a Gaussian average about each position: `(positions, positions)`."""
    weights = np.exp(-(((position_px[:, None] - position_px) / START_PX) ** 2) / 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _fit(maps_NP: F64, smoothed_NP: F64, row_P: F64, column_P: F64) -> tuple[F64, F64]:
    """Return the parameters height, offset, row, column and the precision's three numbers."""
    scale_N = np.maximum(np.abs(maps_NP).max(axis=1), np.finfo(np.float64).tiny)
    maps_NP, smoothed_NP = maps_NP / scale_N[:, None], smoothed_NP / scale_N[:, None]
    offset_N = np.median(smoothed_NP, axis=1)
    peak_N = np.abs(smoothed_NP - offset_N[:, None]).argmax(axis=1)
    start = 1 / (2 * START_PX**2)
    parameters_NK = np.stack(
        [
            smoothed_NP[np.arange(len(maps_NP)), peak_N] - offset_N,
            offset_N,
            row_P[peak_N],
            column_P[peak_N],
            np.full(len(maps_NP), start),
            np.zeros(len(maps_NP)),
            np.full(len(maps_NP), start),
        ],
        axis=1,
    )
    damping_N = np.full(len(maps_NP), 1e-2)
    value_NP, jacobian_NPK = _gaussian(parameters_NK, row_P, column_P)
    for _ in range(FIT_ITERATIONS):
        residual_NP = maps_NP - value_NP
        gram_NKK = np.einsum("npk,npl->nkl", jacobian_NPK, jacobian_NPK)
        slope_NK = np.einsum("npk,np->nk", jacobian_NPK, residual_NP)
        diagonal_NK = np.einsum("nkk->nk", gram_NKK).copy()
        index = np.arange(diagonal_NK.shape[1])
        gram_NKK[:, index, index] += damping_N[:, None] * diagonal_NK + 1e-12
        step_NK = np.linalg.solve(gram_NKK, slope_NK[..., None])[..., 0]
        tried_NK = parameters_NK + step_NK
        tried_value_NP, tried_jacobian_NPK = _gaussian(tried_NK, row_P, column_P)
        error_N = (residual_NP**2).sum(axis=1)
        tried_error_N = ((maps_NP - tried_value_NP) ** 2).sum(axis=1)
        better_N = _is_valid(tried_NK, row_P, column_P) & (tried_error_N < error_N)
        parameters_NK = np.where(better_N[:, None], tried_NK, parameters_NK)
        value_NP = np.where(better_N[:, None], tried_value_NP, value_NP)
        jacobian_NPK = np.where(better_N[:, None, None], tried_jacobian_NPK, jacobian_NPK)
        damping_N = np.clip(np.where(better_N, damping_N / 3, damping_N * 4), 1e-9, 1e9)
    parameters_NK[:, :2] *= scale_N[:, None]
    return parameters_NK, (maps_NP - value_NP) * scale_N[:, None]


def _gaussian(parameters_NK: F64, row_P: F64, column_P: F64) -> tuple[F64, F64]:
    """Return the Gaussians at the positions, and their derivatives by the parameters."""
    height, offset, row, column, a, b, c = (one[:, None] for one in parameters_NK.T)
    down, right = row_P - row, column_P - column
    distance = a * down**2 + 2 * b * down * right + c * right**2
    bell = np.exp(-np.clip(distance, 0.0, 700.0) / 2)
    scaled = height * bell
    jacobian_NPK = np.stack(
        [
            bell,
            np.ones_like(bell),
            scaled * (a * down + b * right),
            scaled * (b * down + c * right),
            -scaled * down**2 / 2,
            -scaled * down * right,
            -scaled * right**2 / 2,
        ],
        axis=2,
    )
    return offset + scaled, jacobian_NPK


def _is_valid(parameters_NK: F64, row_P: F64, column_P: F64) -> NDArray[np.bool_]:
    """Whether Gaussians are bounded and lie on the screen."""
    _, _, row, column, a, b, c = parameters_NK.T
    determinant = a * c - b**2
    valid: NDArray[np.bool_] = (
        (a > 0)
        & (c > 0)
        & (determinant > LEAST_PRECISION * (a + c))
        & (row >= row_P[0] - 1)
        & (row <= row_P[-1] + 1)
        & (column >= column_P[0] - 1)
        & (column <= column_P[-1] + 1)
    )
    return valid


def _describe(
    parameters_NK: F64,
    residual_NP: F64,
    maps_NP: F64,
    position: tuple[F64, F64],
    found: ReceptiveMap,
) -> GaussianFit:
    height, _, row, column, a, b, c = parameters_NK.T
    precision = np.stack([np.stack([a, b], axis=-1), np.stack([b, c], axis=-1)], axis=-1)
    variance_NK, axes_NKK = np.linalg.eigh(np.linalg.inv(precision))
    wide_N = np.sqrt(variance_NK[:, 1])
    variance_NK = np.maximum(variance_NK - found.sample_variance_px2, 0.0)
    variance_NK *= 2 if found.is_energy else 1
    down, right = axes_NKK[:, 0, 1], axes_NKK[:, 1, 1]
    distance_NP = np.hypot(position[0] - row[:, None], position[1] - column[:, None])
    outside_NP = distance_NP > NOISE_DISTANCE * wide_N[:, None]
    count_N = np.maximum(outside_NP.sum(axis=1), 1)
    noise_N = np.sqrt((residual_NP**2 * outside_NP).sum(axis=1) / count_N)
    # Where the Gaussian covers the whole map, all of the residual is taken.
    noise_N = np.where(outside_NP.sum(axis=1) < 10, residual_NP.std(axis=1), noise_N)
    variation_N = ((maps_NP - maps_NP.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    known_N = variation_N > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        snr_N = height / noise_N
        explained_N = 1 - (residual_NP**2).sum(axis=1) / variation_N
    return GaussianFit(
        center_px=np.where(known_N[:, None], np.stack([row, column], axis=1), np.nan),
        size_px=np.where(known_N[:, None], np.sqrt(variance_NK[:, ::-1]), np.nan),
        orientation_deg=np.where(known_N, np.rad2deg(np.arctan2(-down, right)) % 180, np.nan),
        snr=np.where(known_N, snr_N, np.nan),
        explained=np.where(known_N, explained_N, np.nan),
    )
