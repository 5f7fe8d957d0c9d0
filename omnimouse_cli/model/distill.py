"""Deterministic fit of an inner network to a function of two arguments."""

from typing import NamedTuple

import torch
from torch import Tensor

from omnimouse_cli.kernels.dendrite import DendriticFunction
from omnimouse_cli.kernels.dendrite.reference import activate, reference_dendrite

# N points, H hidden units, P weights of a function

# Up to this number of weights least squares takes a moment; larger networks use L-BFGS.
MAX_LEAST_SQUARES_WEIGHTS = 100
NUM_ITERATIONS, NUM_GRADIENT_ITERATIONS = 60, 60
TOLERANCE = 1e-6


class Fit(NamedTuple):
    """A fitted network.

    Args:
        weights: float32 `(1, weights)`.
        relative_error: Root mean square of the difference over that of the target, both weighted
            by the density of the arguments.
    """

    weights: Tensor
    relative_error: float


def distill(
    function: DendriticFunction,
    points_N2: Tensor,
    target_N: Tensor,
    density_N: Tensor,
    *,
    seed: int = 0,
    starts: int = 8,
) -> Fit:
    """Fit a network to values at points, from several random initializations.

    Args:
        function: Shape of the network.
        points_N2: float64 arguments.
        target_N: float64 values at these points.
        density_N: float64 weight of each point.
        seed: Seed of the initializations.
        starts: Number of initializations; large networks have one.
    """
    root_N = (density_N / density_N.sum()).sqrt()
    center_2 = (points_N2 * root_N.square()[:, None]).sum(0)
    scale_2 = ((points_N2 - center_2).square() * root_N.square()[:, None]).sum(0).sqrt()
    scale_2 = scale_2.clamp(min=1e-6)
    size = (target_N * root_N).square().sum().sqrt().clamp(min=1e-12)
    # Networks are fitted to standardized arguments and values.
    x_N2, y_N = (points_N2 - center_2) / scale_2, target_N / size
    is_small = function.depth == 1 and function.num_weights <= MAX_LEAST_SQUARES_WEIGHTS
    fits = [
        (_least_squares if is_small else _minimize)(
            function, _random(function, seed + start), (x_N2, y_N, root_N)
        )
        for start in range(starts if is_small else 1)
    ]
    cost, weights_P = min(fits, key=lambda fit: fit[0])
    weights_1P = weights_P[None].clone()
    first, *_, last = function.layers(weights_1P)
    first[..., :2] /= scale_2
    first[..., 2] -= (first[..., :2] * center_2).sum(-1)
    last *= size
    layers = [first, *function.layers(weights_1P)[1:-1], last]
    flat = torch.cat([layer.reshape(1, -1) for layer in layers], dim=1)
    return Fit(flat.float(), cost**0.5)


def _random(function: DendriticFunction, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    weights_1P = torch.randn(1, function.num_weights, generator=generator, dtype=torch.float64)
    scales = [1.0, *[function.hidden**-0.5] * function.depth]
    layers = [
        layer.reshape(-1) * scale
        for layer, scale in zip(function.layers(weights_1P), scales, strict=True)
    ]
    return torch.cat(layers)


Problem = tuple[Tensor, Tensor, Tensor]


def _least_squares(
    function: DendriticFunction, weights_P: Tensor, problem: Problem
) -> tuple[float, Tensor]:
    """Minimize by Levenberg-Marquardt: damped Gauss-Newton steps."""
    damping = 1e-2
    residual_N, slopes_NP = _linearize(function, weights_P, problem)
    cost = float(residual_N @ residual_N)
    for _ in range(NUM_ITERATIONS):
        normal_PP = slopes_NP.T @ slopes_NP
        diagonal_P = normal_PP.diagonal().clamp(min=1e-9)
        step_P = torch.linalg.solve(
            normal_PP + damping * diagonal_P.diag(), -(slopes_NP.T @ residual_N)
        )
        new_N, new_NP = _linearize(function, weights_P + step_P, problem)
        new = float(new_N @ new_N)
        if new < cost:
            gain, cost = cost - new, new
            weights_P, residual_N, slopes_NP = weights_P + step_P, new_N, new_NP
            damping = max(damping / 4, 1e-10)
            if gain < TOLERANCE * cost:
                break
        else:
            damping *= 5
            if damping > 1e8:
                break
    return cost, weights_P


def _linearize(
    function: DendriticFunction, weights_P: Tensor, problem: Problem
) -> tuple[Tensor, Tensor]:
    """Return the residuals and their Jacobian."""
    x_N2, y_N, root_N = problem
    first, last = function.layers(weights_P[None])
    inputs_N3 = torch.cat([x_N2, torch.ones_like(x_N2[:, :1])], dim=1)
    u_NH = inputs_N3 @ first[0].T
    z_NH = activate(u_NH, function.inner)
    if function.inner == "relu":
        slope_NH = (u_NH > 0).to(u_NH.dtype)
    else:
        slope_NH = 1.5 - 1.5 * u_NH.clamp(-1, 1).square()
    inputs_NI = torch.cat([z_NH, torch.ones_like(z_NH[:, :1])], dim=1)
    q_NH = slope_NH * last[0, 0, :-1]
    slopes_NP = torch.cat([(q_NH[:, :, None] * inputs_N3[:, None]).flatten(1), inputs_NI], dim=1)
    return (inputs_NI @ last[0, 0] - y_N) * root_N, slopes_NP * root_N[:, None]


def _minimize(
    function: DendriticFunction, weights_P: Tensor, problem: Problem
) -> tuple[float, Tensor]:
    x_N2, y_N, root_N = problem
    a_N1, b_N1 = x_N2[:, :1].contiguous(), x_N2[:, 1:].contiguous()
    leaf_1P = weights_P[None].clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [leaf_1P], max_iter=NUM_GRADIENT_ITERATIONS, history_size=20, line_search_fn="strong_wolfe"
    )

    def cost() -> Tensor:
        optimizer.zero_grad()
        values_N = reference_dendrite(a_N1, b_N1, leaf_1P, function)[:, 0]
        total = ((values_N - y_N) * root_N).square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total.detach()

    with torch.enable_grad():
        optimizer.step(cost)  # type: ignore[no-untyped-call]
        final = cost()
    return float(final), leaf_1P.detach()[0]
