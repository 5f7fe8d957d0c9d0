"""Session I: inner networks begin as smoothed noise."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omnimouse_cli.dendrites.images.adam import StackedAdam
from omnimouse_cli.dendrites.images.inner import inner_reference, inner_weights
from omnimouse_cli.dendrites.images.trainees import Trainee, generators_of
from omnimouse_cli.seeds import derive_seed

EXTENT, STEP = 5.0, 0.1
SIGMA = 1 / 3
LEARNING_RATE = 1e-3
ROWS = 1000


def smoothed_noise(arity: int, seed: int) -> NDArray[np.float32]:
    """Give uniform noise from -1 to 1 on the grid, smoothed with a Gaussian.

    Args:
        arity: Dimensions of the grid.
        seed: Of the noise.

    Returns:
        float32 `(101,) * arity`.
    """
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).uniform(-1, 1, (_points(),) * arity)
    return np.asarray(gaussian_filter(noise, SIGMA / STEP), np.float32)


def pretrain_inner(
    sizes: Sequence[int],
    trainees: Sequence[Trainee],
    *,
    steps: int,
    device: torch.device,
    tick: Callable[[], None],
) -> tuple[list[Tensor], Tensor]:
    """Train an inner network of each trainee to its own smoothed noise, from Xavier weights.

    Args:
        sizes: Widths from arguments to the output.
        trainees: Whose.
        steps: Of Adam.
        device: Where.
        tick: Called after every step.

    Returns:
        Weights as of `inner_weights`, and float32 `(trainees,)`: the share of the noise's variance
        that each function has.
    """
    arity = sizes[0]
    line = torch.linspace(-EXTENT, EXTENT, _points())
    grid_MN = torch.cartesian_prod(*[line] * arity).view(-1, arity).to(device)
    targets = [smoothed_noise(arity, derive_seed(one.seed, "noise", arity)) for one in trainees]
    target_SM = torch.from_numpy(np.stack(targets)).flatten(1).to(device)
    weights = [
        weight.to(device).requires_grad_()
        for weight in inner_weights(sizes, generators_of(trainees, "inner", arity))
    ]
    optimizer = StackedAdam(
        {str(place): weight for place, weight in enumerate(weights)},
        torch.full((len(trainees),), LEARNING_RATE, device=device),
        torch.zeros(len(trainees), device=device),
    )
    rows = generators_of(trainees, "inner rows", arity)
    for _ in range(steps):
        drawn = [torch.randint(len(grid_MN), (ROWS,), generator=one) for one in rows]
        some_SR = torch.stack(drawn).to(device)
        error = inner_reference(grid_MN[some_SR], weights) - target_SM.gather(1, some_SR)
        optimizer.step(torch.autograd.grad(error.square().mean(dim=1).sum(), weights))
        tick()
    with torch.no_grad():
        left = inner_reference(grid_MN.expand(len(trainees), -1, -1), weights) - target_SM
        explained = 1 - left.var(dim=1) / target_SM.var(dim=1)
    return [weight.detach() for weight in weights], explained.cpu()


def _points() -> int:
    return round(2 * EXTENT / STEP) + 1
