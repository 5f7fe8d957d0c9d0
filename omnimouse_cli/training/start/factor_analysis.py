"""Factor analysis of a population, and the autocovariances of its factors, from moments."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES

# W windows, S samples, N neurons, R factors, L lags

NUM_ITERATIONS = 20
# Of a population's variance, private parts have at least this share.
LEAST_NOISE = 0.02
# Larger populations are not worth the covariance of every pair.
MOST_NEURONS = 2048
MOST_ROWS = 20_000


class FactorModel(NamedTuple):
    """A factor model of one session.

    Args:
        mean: `(N,)`: mean responses.
        loadings: `(N, R)`, from the factor that is best determined to the worst; 0 beyond the rank.
        log_noise: `(N,)`: logarithm of the variance of the private part of each neuron.
        shared: `(R, 60)`: autocovariance of each factor, by lag.
        private: `(60,)`: autocorrelation of private parts, by lag.
    """

    mean: Tensor
    loadings: Tensor
    log_noise: Tensor
    shared: Tensor
    private: Tensor


def fit_factors(
    responses_WSN: Tensor, rank: int, num_columns: int, *, clip: float = math.inf
) -> FactorModel:
    """Fit by maximum likelihood in each sample, and by least squares over lags.

    Products with all responses are computed on their device, equations of factors on the CPU.

    Args:
        responses_WSN: `(windows, 60, neurons)`, on any device; the result is on the CPU.
        rank: Factors, at most the number of neurons.
        num_columns: Columns of the result.
        clip: Larger deviations from the mean are clipped to it.
    """
    num_neurons = responses_WSN.shape[2]
    rank = min(rank, num_columns, max(1, num_neurons // 2))
    mean_N = responses_WSN.mean((0, 1))
    x_WSN = (responses_WSN - mean_N).clamp(-clip, clip)
    loadings_NR, noise_N = _factor_analysis(x_WSN.flatten(0, 1), rank)
    loadings_NR = _rotate(loadings_NR, noise_N)
    shared_RS, private_S = _autocovariances(x_WSN, loadings_NR, noise_N)
    missing = num_columns - rank
    return FactorModel(
        mean_N.cpu(),
        torch.nn.functional.pad(loadings_NR, (0, missing)),
        noise_N.log(),
        torch.nn.functional.pad(shared_RS, (0, 0, 0, missing)),
        private_S,
    )


def _factor_analysis(x_KN: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return loadings and noise variances by expectation maximization (Rubin & Thayer 1982)."""
    rows, num_neurons = x_KN.shape
    variance_N = x_KN.square().mean(0).clamp(min=1e-6).cpu()
    if num_neurons <= MOST_NEURONS:
        covariance_NN = (x_KN.T @ x_KN / rows).cpu()

        def multiply(y_NR: Tensor) -> Tensor:
            return covariance_NN @ y_NR

    else:
        some_KN = x_KN[:: -(-rows // MOST_ROWS)]

        def multiply(y_NR: Tensor) -> Tensor:
            return (some_KN.T @ (some_KN @ y_NR.to(x_KN.device)) / len(some_KN)).cpu()

    generator = torch.Generator().manual_seed(0)
    basis_NR = torch.randn(num_neurons, rank, generator=generator)
    for _ in range(20):
        basis_NR = torch.linalg.qr(multiply(basis_NR))[0]
    power_R = (basis_NR * multiply(basis_NR)).sum(0).clamp(min=1e-6)
    loadings_NR = basis_NR * power_R.sqrt()
    noise_N = torch.maximum(variance_N - loadings_NR.square().sum(1), 0.05 * variance_N)
    eye = torch.eye(rank)
    for _ in range(NUM_ITERATIONS):
        scaled_NR = loadings_NR / noise_N[:, None]
        posterior_RR = torch.linalg.inv(eye + loadings_NR.T @ scaled_NR)
        projection_NR = scaled_NR @ posterior_RR
        cross_NR = multiply(projection_NR)
        second_RR = posterior_RR + projection_NR.T @ cross_NR
        loadings_NR = torch.linalg.solve(second_RR, cross_NR.T).T
        explained_N = (loadings_NR * cross_NR).sum(1)
        noise_N = torch.maximum(variance_N - explained_N, LEAST_NOISE * variance_N)
    return loadings_NR, noise_N


def _rotate(loadings_NR: Tensor, noise_N: Tensor) -> Tensor:
    """Rotate factors so that their precisions are diagonal, and order them by it."""
    _, vectors_RR = torch.linalg.eigh(loadings_NR.T @ (loadings_NR / noise_N[:, None]))
    rotated_NR = loadings_NR @ vectors_RR.flip(1)
    # Signs are arbitrary; the same data give the same signs.
    signs_R = torch.where(rotated_NR.sum(0) < 0, -1.0, 1.0)
    result_NR: Tensor = rotated_NR * signs_R
    return result_NR


def _autocovariances(x_WSN: Tensor, loadings_NR: Tensor, noise_N: Tensor) -> tuple[Tensor, Tensor]:
    """Return the autocovariances of factors and the autocorrelation of private parts.

    At each lag the covariances of all pairs of neurons are products of loadings with those of the
    factors, in the sense of least squares; neurons with themselves are left to the private part.
    """
    sums_WSR = x_WSN @ loadings_NR.to(x_WSN.device)
    own, of_sums = [], []
    for lag in range(NUM_RESPONSE_SAMPLES):
        count = x_WSN.shape[0] * (NUM_RESPONSE_SAMPLES - lag)
        later, earlier = slice(lag, None), slice(0, NUM_RESPONSE_SAMPLES - lag)
        own.append((x_WSN[:, later] * x_WSN[:, earlier]).sum((0, 1)) / count)
        of_sums.append((sums_WSR[:, later] * sums_WSR[:, earlier]).sum((0, 1)) / count)
    own_LN, of_sums_LR = torch.stack(own).cpu(), torch.stack(of_sums).cpu()
    squares_NR = loadings_NR.square()
    system_RR = (loadings_NR.T @ loadings_NR).square() - squares_NR.T @ squares_NR
    ridge = 1e-6 * system_RR.diagonal().abs().mean()
    shared_RL = torch.linalg.solve(
        system_RR + ridge * torch.eye(len(system_RR)), (of_sums_LR - own_LN @ squares_NR).T
    )
    private_L = ((own_LN - (squares_NR @ shared_RL).T) / noise_N).mean(1)
    return shared_RL, private_L / private_L[0]
