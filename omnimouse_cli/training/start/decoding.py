"""The linear decoder of a training: ridge regression of behavior on responses, per session."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES
from omnimouse_cli.config.model import DECODING_BINS
from omnimouse_cli.model.shortcuts.decoding import (
    DecodingShortcut,
    average_sums,
    bin_averages,
    clip_deviations,
)
from omnimouse_cli.training.start.encoding import describe_clip
from omnimouse_cli.training.start.session_data import SessionData

# W windows, S response samples, T behavior samples, N neurons, K principal components or neurons,
# L bins of lags, C channels, G groups of them, D columns of the regression (L x K), X rows

# Penalties per row, in mean squares of the columns.
PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
# Deviations of responses are clipped at so many of their standard deviations.
CLIPS = (0.25, 1.0, math.inf)
# Without a validation tier.
DEFAULT_PENALTY, DEFAULT_CLIP = 3.0, 1.0
# Larger populations are described by so many of their principal components, found in so many
# samples.
NUM_COMPONENTS, BASIS_SAMPLES = 256, 8000
# Centers converge by a fixed share per iteration; of a window every so many samples count.
CENTER_ITERATIONS, CENTER_STEP = 30, 10
# Behavior is read at 10 Hz, of so many windows: more costs time and hardly tells more.
SAMPLE_STEP, MOST_WINDOWS, WINDOWS_AT_ONCE = 2, 700, 32


class Group(NamedTuple):
    """Normal equations of channels that lose the same samples; float64, on the CPU.

    Args:
        channels: Their numbers.
        square: `(D, D)`: mean product of columns.
        cross: `(D, channels of the group)`: of columns and behavior.
    """

    channels: Tensor
    square: Tensor
    cross: Tensor


class DecodingRegression(NamedTuple):
    """Ridge regression of the behavior of a session.

    Args:
        basis: float64 `(N, K)`, on the CPU: columns are averages of these sums over neurons; None
            if they are averages of the neurons.
        center: `(N,)`: response from which a neuron deviates.
        clip: At which deviations are clipped.
        groups: Together they hold all channels of the data set.
    """

    basis: Tensor | None
    center: Tensor
    clip: Tensor
    groups: list[Group]

    def solve(self, penalty: float) -> Tensor:
        """Return the weights of neurons: `(neurons, channels x bins)`, and their center."""
        slopes = []
        for group in self.groups:
            scale = float(group.square.diagonal().mean().clamp(min=1e-8))
            penalized_DD = group.square + penalty * scale * torch.eye(len(group.square))
            factor_DD = torch.linalg.cholesky(penalized_DD)
            slopes.append(torch.cholesky_solve(group.cross, factor_DD))
        order_C = torch.cat([group.channels for group in self.groups]).argsort()
        slopes_DC = torch.cat(slopes, dim=1)[:, order_C]
        slopes_LKC = slopes_DC.view(len(DECODING_BINS), -1, len(order_C))
        weights_NCL = slopes_LKC.permute(1, 2, 0)
        if self.basis is not None:
            weights_NCL = torch.einsum("nk,kcl->ncl", self.basis, weights_NCL)
        weights_ND = weights_NCL.flatten(1).float()
        return torch.cat([weights_ND, self.center.cpu()[:, None]], dim=1)


def choose_decoding(
    train: Sequence[SessionData], held_out: Sequence[SessionData]
) -> tuple[dict[str, Tensor], str]:
    """Choose the penalty and the clipping by which held-out behavior is decoded best.

    Args:
        train: Training windows of sessions.
        held_out: Validation windows of the same sessions; none without such a tier.

    Returns:
        The buffers of the decoding shortcut by their names in `linear_paths`, and a text; none
        without behavior.
    """
    pairs = [
        (data, other)
        for data, other in zip(train, held_out or train, strict=True)
        if data.traces is not None and other.traces is not None
    ]
    if not pairs:
        return {}, ""
    best, found = 0.0, (math.inf, math.inf)
    if not held_out:
        found = DEFAULT_CLIP, DEFAULT_PENALTY
    for clip in CLIPS if held_out else ():
        regressions = [decoding_regression(data, clip) for data, _ in pairs]
        for penalty in PENALTIES:
            scores = [
                _score(other, regression, penalty)
                for (_, other), regression in zip(pairs, regressions, strict=True)
            ]
            score = sum(scores) / len(scores)
            if score > best:
                best, found = score, (clip, penalty)
    clip, penalty = found
    text = f"penalty {penalty:g}, {describe_clip(clip)}"
    if math.isinf(penalty):
        text = "none, as it does not predict the validation tier"
    return {"decoding.clip": torch.tensor(clip), "decoding.penalty": torch.tensor(penalty)}, text


def fit_decoding(data: SessionData, shortcut: DecodingShortcut | None) -> Tensor:
    """Return the weights of a session's neurons, of the decoding shortcut.

    Args:
        data: Training windows.
        shortcut: Holds penalty and clipping; None without behavior channels.

    Returns:
        `(neurons, channels of the data set x bins + 1)`; `(neurons, 0)` without behavior channels.
    """
    num_neurons = data.responses.shape[2]
    if shortcut is None:
        return torch.zeros(num_neurons, 0)
    penalty, clip = (float(shortcut.get_buffer(name)) for name in ("penalty", "clip"))
    if data.traces is None or math.isinf(penalty):
        return torch.zeros(num_neurons, shortcut.num_channels * len(DECODING_BINS) + 1)
    return decoding_regression(data, clip).solve(penalty)


def decoding_regression(data: SessionData, clip: float) -> DecodingRegression:
    """Return the regression of behavior on bins of responses, of windows with behavior."""
    assert data.traces is not None, "the session has behavior"
    step = -(-len(data.responses) // MOST_WINDOWS)
    limit, center_N = data.responses.new_tensor(clip), _center(data.responses, clip)
    x_WSK = clip_deviations(data.responses[::step], center_N, limit)
    traces_WTC = data.traces[::step, :, ::SAMPLE_STEP].transpose(1, 2)
    windows, samples, _ = traces_WTC.shape
    basis_NK = _basis(x_WSK, windows * samples // len(DECODING_BINS))
    if basis_NK is not None:
        x_WSK = x_WSK @ basis_NK
    # Sizes that depend on data are found on the CPU.
    lost_CX = traces_WTC.isnan().flatten(0, 1).T.cpu()
    kinds_GX, kind_C = torch.unique(lost_CX, dim=0, return_inverse=True)
    groups = []
    for number, lost_X in enumerate(kinds_GX):
        channels = (kind_C == number).nonzero()[:, 0]
        known_WT = ~lost_X.view(windows, samples)
        square_DD, cross_DC = _products(x_WSK, traces_WTC[:, :, channels], known_WT)
        groups.append(Group(channels, square_DD, cross_DC))
    basis_NK = None if basis_NK is None else basis_NK.double().cpu()
    return DecodingRegression(basis_NK, center_N, limit, groups)


def _center(responses_WSN: Tensor, clip: float) -> Tensor:
    """Return the center of each neuron, about which clipped deviations have a mean of 0.

    Source: Huber, Ann. Math. Statist. 35 (1964).
    """
    responses_XN = responses_WSN[:, ::CENTER_STEP].flatten(0, 1)
    center_N = responses_XN.sort(dim=0).values[len(responses_XN) // 2]
    for _ in range(CENTER_ITERATIONS):
        center_N = center_N + (responses_XN - center_N).clamp(-clip, clip).mean(0)
    return center_N


def _products(x_WSK: Tensor, traces_WTC: Tensor, known_WT: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean products of columns, and of columns and behavior, of known samples.

    Args:
        x_WSK: Deviations of neurons, or sums over them.
        traces_WTC: Behavior.
        known_WT: On the CPU: which samples are not lost.
    """
    averages_TLS = bin_averages((0, NUM_RESPONSE_SAMPLES), x_WSK.device)[::SAMPLE_STEP]
    num_columns, num_channels = averages_TLS.shape[1] * x_WSK.shape[2], traces_WTC.shape[2]
    square_DD = torch.zeros(num_columns, num_columns, dtype=torch.float64)
    cross_DC = torch.zeros(num_columns, num_channels, dtype=torch.float64)
    num_rows = int(known_WT.sum())
    if num_rows == 0:
        return square_DD, cross_DC
    known_WT1 = known_WT.to(x_WSK)[..., None]
    known_WTC = traces_WTC.nan_to_num() * known_WT1
    deviations_WTC = (known_WTC - known_WTC.sum((0, 1)) / num_rows) * known_WT1
    parts = (torch.split(x, WINDOWS_AT_ONCE) for x in (x_WSK, deviations_WTC, known_WT1))
    for some_WSK, some_WTC, some_WT1 in zip(*parts, strict=True):
        columns_WTLK = torch.einsum("tls,wsk->wtlk", averages_TLS, some_WSK)
        columns_XD = (columns_WTLK.flatten(2) * some_WT1).flatten(0, 1)
        square_DD += (columns_XD.T @ columns_XD).double().cpu()
        cross_DC += (columns_XD.T @ some_WTC.flatten(0, 1)).double().cpu()
    return square_DD / num_rows, cross_DC / num_rows


def _basis(deviations_WSN: Tensor, most: int) -> Tensor | None:
    """Return the principal components of a large population: `(neurons, components)`.

    Args:
        deviations_WSN: Clipped deviations of responses.
        most: Most components: without more columns than rows the cost is bounded.
    """
    num_neurons = deviations_WSN.shape[2]
    wanted = min(num_neurons, NUM_COMPONENTS, max(most, 1))
    if wanted >= num_neurons:
        return None
    samples_XN = deviations_WSN.flatten(0, 1)
    samples_XN = samples_XN[:: -(-len(samples_XN) // BASIS_SAMPLES)].cpu()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, _, basis_NK = torch.svd_lowrank(samples_XN, min(wanted, *samples_XN.shape))
    return basis_NK.to(deviations_WSN)


def _score(held_out: SessionData, regression: DecodingRegression, penalty: float) -> float:
    """Return the mean correlation over channels of held-out behavior."""
    assert held_out.traces is not None, "the session has behavior"
    deviations_WSN = clip_deviations(held_out.responses, regression.center, regression.clip)
    weights_ND = regression.solve(penalty)[:, :-1]
    averages_TLS = bin_averages((0, NUM_RESPONSE_SAMPLES), deviations_WSN.device)
    predicted_WCT = average_sums(deviations_WSN @ weights_ND.to(deviations_WSN), averages_TLS)
    scores = []
    for predicted_WT, recorded_WT in zip(
        predicted_WCT.cpu().unbind(1), held_out.traces.cpu().unbind(1), strict=True
    ):
        known_WT = ~recorded_WT.isnan()
        x_X, y_X = predicted_WT[known_WT], recorded_WT[known_WT]
        x_X, y_X = x_X - x_X.mean(), y_X - y_X.mean()
        # 0 for a channel that is constant or lost.
        scores.append(float((x_X @ y_X) / (x_X.norm() * y_X.norm()).clamp(min=1e-12)))
    return sum(scores) / len(scores)
