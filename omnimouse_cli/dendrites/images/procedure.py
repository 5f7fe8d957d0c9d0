"""The training procedure: three sessions for learned activations, one for fixed ones; a search."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omnimouse_cli.dendrites.images.architecture import Architecture
from omnimouse_cli.dendrites.images.data import Images, SplitData, split_for_seeds
from omnimouse_cli.dendrites.images.network import (
    Weights,
    apply_inner_reference,
    init_inner_weights,
    init_outer_weights,
    name_inner_weights,
)
from omnimouse_cli.dendrites.images.settings import ComparisonSettings, Hyperparameters
from omnimouse_cli.dendrites.images.training import (
    Replicate,
    SessionResult,
    StackedAdamW,
    make_generators,
    train_session,
)
from omnimouse_cli.seeds import derive_seed

# Session I: noise on a grid from -EXTENT to EXTENT, smoothed with a Gaussian, in argument units.
EXTENT, STEP = 5.0, 0.1
SIGMA = 1 / 3
GRID_POINTS = round(2 * EXTENT / STEP) + 1
PRETRAIN_LEARNING_RATE = 1e-3
PRETRAIN_ROWS = 1000
# Seeds of the search differ from those of the comparison.
FIRST_SEARCH_SEED, NUM_SEARCH_SEEDS = 1_000_000, 2
LEARNING_RATES = (3e-4, 1e-2)
WEIGHT_DECAYS = (1e-4, 1e-1)
DROPOUTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingResult:
    """Networks of all sessions.

    Args:
        final: The session whose networks are compared.
        joint: Session II, in which inner and outer network learn together; None for a fixed
            activation.
        pretrained: Weights of the inner networks before session II; empty for a fixed activation.
        pretraining_r2: float32 `(seeds,)`, R2 of session I; None for a fixed activation.
    """

    final: SessionResult
    joint: SessionResult | None
    pretrained: Weights
    pretraining_r2: Tensor | None


def train_networks(
    architecture: Architecture,
    replicates: Sequence[Replicate],
    data: SplitData,
    settings: ComparisonSettings,
    *,
    on_epoch: Callable[[], None],
) -> TrainingResult:
    """Train networks of one activation.

    A fixed activation has one session. A learned one has three: its inner network is fitted to
    smoothed noise (I), inner and outer network are trained together (II), and a new outer network
    is trained around the frozen inner network of the best epoch (III).

    Args:
        architecture: Architecture of the networks.
        replicates: Seed and hyperparameters of each network.
        data: Images and their split for each seed.
        settings: Epochs, batch size and pretraining steps.
        on_epoch: Called after every epoch.
    """
    device = data.pixels.device

    def train(session: int, inner: Weights, *, freeze_inner: bool = False) -> SessionResult:
        generators = make_generators(replicates, "outer", architecture.network, session)
        outer = init_outer_weights(architecture, generators)
        return train_session(
            architecture,
            {name: weight.to(device) for name, weight in outer.items()} | inner,
            replicates,
            data,
            session=session,
            epochs=settings.epochs,
            batch=settings.batch,
            freeze_inner=freeze_inner,
            on_epoch=on_epoch,
        )

    if not architecture.activation.learned:
        return TrainingResult(final=train(3, {}), joint=None, pretrained={}, pretraining_r2=None)
    seeds = tuple(replicate.seed for replicate in replicates)
    weights, r2 = pretrain_inner(
        architecture.inner_sizes, seeds, steps=settings.pretrain_steps, device=device
    )
    pretrained = name_inner_weights(weights)
    joint = train(2, pretrained)
    inner = {name: joint.weights[name] for name in pretrained}
    final = train(3, inner, freeze_inner=True)
    return TrainingResult(final=final, joint=joint, pretrained=pretrained, pretraining_r2=r2)


# Neither the kind of network nor the images matter in session I.
@functools.lru_cache(maxsize=4)
def pretrain_inner(
    sizes: tuple[int, ...], seeds: tuple[int, ...], *, steps: int, device: torch.device
) -> tuple[list[Tensor], Tensor]:
    """Fit an inner network per seed to its own smoothed noise, from Xavier weights (session I).

    Args:
        sizes: Widths from arguments to output.
        seeds: They determine noise and initial weights.
        steps: Optimizer steps.
        device: Device of the networks.

    Returns:
        Weights as `init_inner_weights` returns them, and R2 of each function, float32 `(seeds,)`.
    """
    arity = sizes[0]
    replicates = [Replicate(seed=seed, hyperparameters=Hyperparameters()) for seed in seeds]
    line = torch.linspace(-EXTENT, EXTENT, GRID_POINTS)
    grid_MN = torch.cartesian_prod(*[line] * arity).view(-1, arity).to(device)
    targets = [
        make_smoothed_noise(arity, derive_seed(one.seed, "noise", arity)) for one in replicates
    ]
    target_SM = torch.from_numpy(np.stack(targets)).flatten(1).to(device)
    weights = [
        weight.to(device).requires_grad_()
        for weight in init_inner_weights(sizes, make_generators(replicates, "inner", arity))
    ]
    optimizer = StackedAdamW(
        {str(number): weight for number, weight in enumerate(weights)},
        torch.full((len(replicates),), PRETRAIN_LEARNING_RATE, device=device),
        torch.zeros(len(replicates), device=device),
    )
    generators = make_generators(replicates, "inner rows", arity)
    for _ in range(steps):
        drawn = [torch.randint(len(grid_MN), (PRETRAIN_ROWS,), generator=one) for one in generators]
        rows_SR = torch.stack(drawn).to(device)
        error = apply_inner_reference(grid_MN[rows_SR], weights) - target_SM.gather(1, rows_SR)
        optimizer.step(torch.autograd.grad(error.square().mean(dim=1).sum(), weights))
    with torch.no_grad():
        fitted_SM = apply_inner_reference(grid_MN.expand(len(replicates), -1, -1), weights)
        r2 = 1 - (fitted_SM - target_SM).var(dim=1) / target_SM.var(dim=1)
    return [weight.detach() for weight in weights], r2.cpu()


def make_smoothed_noise(arity: int, seed: int) -> NDArray[np.float32]:
    """Return uniform noise from -1 to 1 on the grid of session I, smoothed: `(101,) * arity`."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).uniform(-1, 1, (GRID_POINTS,) * arity)
    return np.asarray(gaussian_filter(noise, SIGMA / STEP), np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Hyperparameters of the search, their mean lowest validation loss and the accuracy there."""

    hyperparameters: Hyperparameters
    loss: float
    accuracy: float


def draw_hyperparameters(
    count: int, default: Hyperparameters, profiles: Sequence[tuple[int, ...]], seed: int
) -> list[Hyperparameters]:
    """Draw random hyperparameters; the first are the default. Equal seeds draw the same.

    Args:
        count: Number of hyperparameters.
        default: Hyperparameters of a comparison without a search.
        profiles: Relative widths to choose from.
        seed: Seed of the draw.
    """
    generator = np.random.default_rng(derive_seed(seed, "search"))
    drawn = [
        Hyperparameters(
            learning_rate=float(np.exp(generator.uniform(*np.log(LEARNING_RATES)))),
            weight_decay=float(np.exp(generator.uniform(*np.log(WEIGHT_DECAYS)))),
            dropout=float(generator.choice(DROPOUTS)),
            profile=profiles[int(generator.integers(len(profiles)))],
        )
        for _ in range(count - 1)
    ]
    return [default, *drawn]


def search_hyperparameters(
    build: Callable[[tuple[int, ...]], Architecture],
    candidates: Sequence[Hyperparameters],
    images: Images,
    settings: ComparisonSettings,
    *,
    device: torch.device,
    on_epoch: Callable[[], None],
) -> list[Trial]:
    """Train with every candidate, those of one profile at once; test images are not used.

    Args:
        build: Returns the architecture of a profile.
        candidates: Hyperparameters to try.
        images: The data set.
        settings: Settings of the comparison.
        device: Device of the networks.
        on_epoch: Called after every epoch.

    Returns:
        One trial per candidate, in their order.
    """
    trials: dict[int, Trial] = {}
    for profile in dict.fromkeys(one.profile for one in candidates):
        numbers = [number for number, one in enumerate(candidates) if one.profile == profile]
        replicates = [
            Replicate(
                seed=derive_seed(settings.seed, FIRST_SEARCH_SEED + seed),
                hyperparameters=candidates[number],
            )
            for number in numbers
            for seed in range(NUM_SEARCH_SEEDS)
        ]
        data = split_for_seeds(
            images,
            [replicate.seed for replicate in replicates],
            max_images=settings.most_images,
            device=device,
        )
        result = train_networks(build(profile), replicates, data, settings, on_epoch=on_epoch)
        losses = result.final.losses.nan_to_num(nan=torch.inf).min(dim=1)
        accuracies = result.final.accuracies.gather(1, losses.indices[:, None])[:, 0]
        for number, loss, accuracy in zip(
            numbers,
            losses.values.view(-1, NUM_SEARCH_SEEDS).mean(dim=1).tolist(),
            accuracies.view(-1, NUM_SEARCH_SEEDS).mean(dim=1).tolist(),
            strict=True,
        ):
            trials[number] = Trial(hyperparameters=candidates[number], loss=loss, accuracy=accuracy)
    return [trials[number] for number in range(len(candidates))]
