"""The factor shortcut: the expectation of responses given the visible ones, for any subset."""

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES
from omnimouse_cli.config.model import (
    FIELD_WEIGHTS,
    MOST_PAIRED_FACTORS,
    DecoderConfig,
    num_correction_features,
)
from omnimouse_cli.model.inputs import ModelInputs, TargetNeurons
from omnimouse_cli.model.sequences import ResponseSegment

# B batch, S visible samples, V visible neurons, A target samples, G target neurons, R factors,
# N neurons of the session, P components of the encoding shortcut, F features of the correction,
# C channels of the data set, L bins of lags

# Conjugate gradients; with the diagonal as preconditioner the error is then below 1e-3.
NUM_ITERATIONS = 24
LEAST_EIGENVALUE = 1e-5
# Features of the correction look so many samples back and ahead.
LAG_SAMPLES = 4


class TimeBasis(NamedTuple):
    """Matrices in time for one set of visible and target samples.

    Args:
        whiten: Of each segment `(S, S)`: makes the private part of responses white in time.
        modes: `(R, S, S)`: eigenvectors of the covariance of each factor, times the roots of
            eigenvalues.
        readout: `(R, A, S)`: from these modes to target samples.
        private: Of each segment `(A, S)`: from whitened samples of a neuron's own private part.
        corrected: Whether the model has a correction, known without asking the device.
    """

    whiten: tuple[Tensor, ...]
    modes: Tensor
    readout: Tensor
    private: tuple[Tensor, ...]
    corrected: bool


class Posterior(NamedTuple):
    """Posterior means of factors.

    Args:
        at_targets: `(B, A, R)`: at target samples.
        at_visible: Of each segment `(B, S, R)`: at its samples, whitened in time.
    """

    at_targets: Tensor
    at_visible: tuple[Tensor, ...]


class LinearWeights(NamedTuple):
    """Weights of the neurons of a session in the linear models.

    Args:
        encoding: `(N, P)`: by which responses follow the components of the encoding shortcut.
        loadings: `(N, R)`: loadings on factors.
        log_noise: `(N,)`: logarithm of the variance of the private part.
        correction: `(N, F)`: weights of non-linear features of the factors.
        decoding: `(N, C x L + 1)`: weights and center of the decoding shortcut; `(N, 0)` without
            behavior channels.
        field: `(N, 4)`: row and column of the center of the receptive field from the middle of the
            screen, in positions of the stimulus shortcut, and logarithms of their uncertainties as
            a share of the spread of unknown ones; None where fields are not fitted.
        tuning: `(N, energies)`: weights of the motion energies about the center; None where they
            are not fitted.
    """

    encoding: Tensor
    loadings: Tensor
    log_noise: Tensor
    correction: Tensor
    decoding: Tensor
    field: Tensor | None = None
    tuning: Tensor | None = None


def split_weights(weights_NP: Tensor, decoder: DecoderConfig) -> LinearWeights:
    """Return the parts of a session's `neuron_weights`, which no gradient reaches."""
    rank = decoder.linear_rank
    assert rank, "the model has linear models"
    fields = FIELD_WEIGHTS if decoder.fits_fields else 0
    energies = decoder.num_tuning_weights
    sizes = [rank, rank, 1, num_correction_features(rank), fields, energies]
    encoding_NP, loadings_NR, log_noise_N1, correction_NF, field_N4, tuning_NE, decoding_ND = (
        torch.split(weights_NP.detach(), [*sizes, weights_NP.shape[1] - sum(sizes)], dim=1)
    )
    return LinearWeights(
        encoding_NP,
        loadings_NR,
        log_noise_N1[:, 0],
        correction_NF,
        decoding_ND,
        field_N4 if fields else None,
        tuning_NE if energies else None,
    )


def correction_features(factors_BAR: Tensor) -> Tensor:
    """Return non-linear features of posterior means: `(batch, target samples, features)`.

    The means themselves, earlier and later ones (those at the edges are held), absolute values,
    products of pairs of the first factors, and a constant.

    Example:
        >>> correction_features(torch.tensor([[[2.0, -3.0]]]))
        tensor([[[ 2., -3.,  2., -3.,  2., -3.,  2.,  3.,  4., -6.,  9.,  1.]]])
    """
    index = torch.arange(factors_BAR.shape[1], device=factors_BAR.device)
    first_BAR = factors_BAR[..., :MOST_PAIRED_FACTORS]
    return torch.cat(
        [
            factors_BAR,
            factors_BAR[:, (index - LAG_SAMPLES).clamp(min=0)],
            factors_BAR[:, (index + LAG_SAMPLES).clamp(max=len(index) - 1)],
            factors_BAR.abs(),
            *(
                first_BAR[..., number : number + 1] * first_BAR[..., number:]
                for number in range(first_BAR.shape[2])
            ),
            torch.ones_like(factors_BAR[..., :1]),
        ],
        dim=2,
    )


class FactorShortcut(nn.Module):
    """A Gaussian-process factor model; nothing in it is learned by gradient descent.

    Responses are loadings times factors plus a private part. Each factor has an autocovariance, all
    private parts share one. The expectation given any visible neurons and samples is exact, but for
    private parts across two segments. Source: Yu et al., J. Neurophysiol. 102 (2009).
    Factors are inferred from clipped deviations: large transients of single neurons say little
    about the others. Responses are not linear in factors, so that of neurons which are hidden while
    others are visible, a regression on features of the factors predicts what the model leaves.

    Args:
        rank: Factors.
    """

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.rank = rank
        self.register_buffer("shared", torch.zeros(rank, NUM_RESPONSE_SAMPLES))
        private_S = torch.zeros(NUM_RESPONSE_SAMPLES)
        private_S[0] = 1.0
        self.register_buffer("private", private_S)
        # In standard deviations of a neuron, which normalized responses have as their unit.
        self.register_buffer("clip", torch.tensor(float("inf")))
        # Of the regression that corrects the model; infinite without a correction.
        self.register_buffer("penalty", torch.tensor(float("inf")))
        self._bases: dict[tuple[Any, ...], TimeBasis] = {}

    def forward(
        self,
        inputs: ModelInputs,
        targets: TargetNeurons,
        weights: LinearWeights,
        mean_N: Tensor,
        encoding_BSP: Tensor | None,
    ) -> Tensor:
        """Return the expected deviation of target neurons: `(batch, target samples, targets)`.

        Args:
            inputs: Prepared forward pass with visible responses.
            targets: Target neurons.
            weights: Of all neurons of the session.
            mean_N: Their mean responses.
            encoding_BSP: Components of the encoding shortcut; None where they are hidden.
        """
        segments = inputs.sequences.segments
        basis = self._basis(segments, targets, mean_N.device)
        posterior = self.infer(inputs, targets, weights, mean_N, encoding_BSP)
        loadings_BGR = weights.loadings[targets.neurons]
        result_BAG = posterior.at_targets @ loadings_BGR.transpose(1, 2)
        whole = inputs.task.num_visible >= inputs.task.num_neurons
        parts = zip(segments, basis.whiten, basis.private, posterior.at_visible, strict=True)
        for segment, whiten_SS, private_AS, of_segment_BSR in parts:
            everyone = whole or segment.all_neurons
            count = targets.neurons.shape[1] if everyone else targets.num_shared
            if count == 0:
                continue
            samples, own = slice(segment.first, segment.last), slice(count)
            own_BSG = _deviation(
                targets.responses[:, samples, own],
                targets.neurons[:, own],
                weights,
                mean_N,
                None if encoding_BSP is None else encoding_BSP[:, samples],
            )
            explained_BSG = of_segment_BSR @ loadings_BGR[:, own].transpose(1, 2)
            result_BAG[..., own] += private_AS @ (whiten_SS @ own_BSG - explained_BSG)
        if basis.corrected and not whole and _others_are_visible(segments, targets):
            hidden_BG = targets.neurons[:, targets.num_shared :]
            features_BAF = correction_features(posterior.at_targets)
            correction_BAG = features_BAF @ weights.correction[hidden_BG].transpose(1, 2)
            result_BAG[..., targets.num_shared :] += correction_BAG
        return result_BAG

    def infer(
        self,
        inputs: ModelInputs,
        targets: TargetNeurons,
        weights: LinearWeights,
        mean_N: Tensor,
        encoding_BSP: Tensor | None,
    ) -> Posterior:
        """Return the posterior means of the factors given visible responses; see `forward`."""
        segments, clip = inputs.sequences.segments, self.get_buffer("clip")
        basis = self._basis(segments, targets, mean_N.device)
        sums, precisions = [], []
        for segment, whiten_SS in zip(segments, basis.whiten, strict=True):
            responses_BSV, index_BV = inputs.visible_responses(segment)
            of_segment = (
                None if encoding_BSP is None else encoding_BSP[:, segment.first : segment.last]
            )
            deviation_BSV = _deviation(responses_BSV, index_BV, weights, mean_N, of_segment)
            white_BSV = whiten_SS @ torch.clamp(deviation_BSV, -clip, clip)
            loadings_BVR = weights.loadings[index_BV]
            scaled_BVR = loadings_BVR * torch.exp(-weights.log_noise[index_BV])[..., None]
            sums.append((white_BSV @ scaled_BVR).permute(2, 1, 0))
            precisions.append(scaled_BVR.transpose(1, 2) @ loadings_BVR)
        lengths = [segment.last - segment.first for segment in segments]
        weights_RSB = _solve(basis.modes, torch.cat(sums, dim=1), precisions, lengths)
        factors_BSR = (basis.modes @ weights_RSB).permute(2, 1, 0)
        return Posterior(
            (basis.readout @ weights_RSB).permute(2, 1, 0),
            torch.split(factors_BSR, lengths, dim=1),
        )

    def _basis(
        self, segments: tuple[ResponseSegment, ...], targets: TargetNeurons, device: torch.device
    ) -> TimeBasis:
        """Return the matrices of a strategy, kept until the autocovariances change."""
        samples = targets.strategy.targets
        assert samples is not None, "responses are predicted"
        shared_RS, private_S = self.get_buffer("shared"), self.get_buffer("private")
        penalty = self.get_buffer("penalty")
        ranges = tuple((segment.first, segment.last) for segment in segments)
        versions = (
            *(buffer._version for buffer in (shared_RS, private_S, penalty)),
            shared_RS.data_ptr(),
        )
        key = (ranges, samples, device, versions)
        # A new dictionary, as other threads may read the old one.
        bases = self._bases
        if key not in bases:
            basis = _time_basis(shared_RS, private_S, ranges, samples)
            basis = basis._replace(corrected=math.isfinite(float(penalty)))
            bases = {one: kept for one, kept in bases.items() if one[3] == versions} | {key: basis}
            self._bases = bases
        return bases[key]


def _deviation(
    responses_BSV: Tensor,
    index_BV: Tensor,
    weights: LinearWeights,
    mean_N: Tensor,
    encoding_BSP: Tensor | None,
) -> Tensor:
    """Return what means, stimulus and behavior leave of responses."""
    result_BSV = responses_BSV - mean_N[index_BV][:, None]
    if encoding_BSP is None:
        return result_BSV
    return result_BSV - encoding_BSP @ weights.encoding[index_BV].transpose(1, 2)


def _others_are_visible(segments: tuple[ResponseSegment, ...], targets: TargetNeurons) -> bool:
    """Whether only a part of the neurons is visible, and is so at all target samples."""
    first, last = targets.strategy.targets or (0, 0)
    return any(
        segment.first <= first and last <= segment.last and not segment.all_neurons
        for segment in segments
    )


def _solve(
    modes_RSS: Tensor, sums_RSB: Tensor, precisions: list[Tensor], lengths: list[int]
) -> Tensor:
    """Return the weights of the modes, `(factors, modes, batch)`, by conjugate gradients."""
    transposed_RSS = modes_RSS.transpose(1, 2)

    def apply(w_RSB: Tensor) -> Tensor:
        parts = torch.split(modes_RSS @ w_RSB, lengths, dim=1)
        mixed = [
            torch.einsum("brq,qsb->rsb", precision_BRR, part)
            for precision_BRR, part in zip(precisions, parts, strict=True)
        ]
        return w_RSB + transposed_RSS @ torch.cat(mixed, dim=1)

    diagonal_RSB = torch.ones_like(sums_RSB)
    squares = torch.split(modes_RSS.square(), lengths, dim=1)
    for square, precision_BRR in zip(squares, precisions, strict=True):
        of_factor_RB = precision_BRR.diagonal(dim1=1, dim2=2).T
        diagonal_RSB = diagonal_RSB + square.sum(1)[..., None] * of_factor_RB[:, None]
    w_RSB = torch.zeros_like(sums_RSB)
    residual_RSB = transposed_RSS @ sums_RSB
    scaled_RSB = residual_RSB / diagonal_RSB
    direction_RSB = scaled_RSB
    inner_B = (residual_RSB * scaled_RSB).sum((0, 1))
    for _ in range(NUM_ITERATIONS):
        applied_RSB = apply(direction_RSB)
        curvature_B = (direction_RSB * applied_RSB).sum((0, 1))
        # A window whose visible responses are all at their means has nothing to solve.
        step_B = inner_B / curvature_B.clamp(min=1e-30)
        w_RSB = w_RSB + step_B * direction_RSB
        residual_RSB = residual_RSB - step_B * applied_RSB
        scaled_RSB = residual_RSB / diagonal_RSB
        previous_B, inner_B = inner_B, (residual_RSB * scaled_RSB).sum((0, 1))
        direction_RSB = scaled_RSB + inner_B / previous_B.clamp(min=1e-30) * direction_RSB
    return w_RSB


def _time_basis(
    shared_RS: Tensor,
    private_S: Tensor,
    ranges: tuple[tuple[int, int], ...],
    targets: tuple[int, int],
) -> TimeBasis:
    as_tensor = partial(torch.as_tensor, dtype=shared_RS.dtype, device=shared_RS.device)
    shared = [covariance(row, 0.0) for row in shared_RS.double().cpu().numpy()]
    private = covariance(private_S.double().cpu().numpy(), 1e-3)
    whiten = [inverse_root(private[first:last, first:last]) for first, last in ranges]
    visible = np.concatenate([np.arange(*each) for each in ranges])
    predicted = np.arange(*targets)
    all_whiten = np.zeros((len(visible), len(visible)))
    first = 0
    for block in whiten:
        all_whiten[first : first + len(block), first : first + len(block)] = block
        first += len(block)
    modes, readout = [], []
    for of_factor in shared:
        white = all_whiten @ of_factor[np.ix_(visible, visible)] @ all_whiten.T
        values, vectors = np.linalg.eigh(white)
        kept = values > LEAST_EIGENVALUE * max(values[-1], 1e-30)
        roots = np.sqrt(np.where(kept, values, 1.0))
        modes.append(vectors * np.where(kept, roots, 0.0))
        crossed = of_factor[np.ix_(predicted, visible)] @ all_whiten.T @ vectors
        readout.append(crossed * np.where(kept, 1 / roots, 0.0))
    own = [
        private[slice(*targets), slice(*each)] @ block.T
        for each, block in zip(ranges, whiten, strict=True)
    ]
    return TimeBasis(
        whiten=tuple(map(as_tensor, whiten)),
        modes=as_tensor(np.stack(modes)),
        readout=as_tensor(np.stack(readout)),
        private=tuple(map(as_tensor, own)),
        corrected=False,
    )


def covariance(autocovariance: np.ndarray, floor: float) -> np.ndarray:
    """Return the nearest positive semidefinite matrix to that of a stationary process.

    Args:
        autocovariance: `(lags,)`.
        floor: Least eigenvalue.
    """
    index = np.arange(len(autocovariance))
    values, vectors = np.linalg.eigh(autocovariance[np.abs(index[:, None] - index)])
    result: np.ndarray = (vectors * np.maximum(values, floor)) @ vectors.T
    return result


def inverse_root(matrix: np.ndarray) -> np.ndarray:
    """Return the symmetric inverse square root of a positive definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    result: np.ndarray = (vectors / np.sqrt(np.maximum(values, 1e-4))) @ vectors.T
    return result
