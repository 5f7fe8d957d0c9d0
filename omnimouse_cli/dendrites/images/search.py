"""Random settings, the same number for every competitor, chosen on validation images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from omnimouse_cli.dendrites.images.images import Images
from omnimouse_cli.dendrites.images.plan import NetworkKind, Plan, num_convolutions
from omnimouse_cli.dendrites.images.procedure import Budget, course_of
from omnimouse_cli.dendrites.images.settings import MLP_PROFILE, Setting
from omnimouse_cli.dendrites.images.trainees import Trainee, data_of
from omnimouse_cli.seeds import derive_seed

# Seeds of the search are never those of the comparison.
FIRST_SEED, NUM_SEEDS = 1_000_000, 2
LEARNING_RATES = (3e-4, 1e-2)
WEIGHT_DECAYS = (1e-4, 1e-1)
DROPOUTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)

PlanFor = Callable[[tuple[int, ...]], Plan]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One setting that was tried, and its mean lowest validation loss and its accuracy there."""

    setting: Setting
    loss: float
    accuracy: float


def profiles(network: NetworkKind, image: tuple[int, int, int]) -> tuple[tuple[int, ...], ...]:
    """Give the relative widths that a search may choose; the first is the paper's.

    An `mlp` may be deeper and narrower, a `cnn` may grow less or more with depth.
    """
    if network == "mlp":
        return (MLP_PROFILE, (1, 1), (1, 1, 1, 1))
    rest = num_convolutions(image)
    return ((1, *[2] * rest), (1,) * (rest + 1), (1, *[2] * (rest - 1), 4))


def drawn_settings(
    count: int, default: Setting, choices: Sequence[tuple[int, ...]], seed: int
) -> list[Setting]:
    """Draw settings: the first is the default, and every competitor tries the same ones.

    Args:
        count: How many.
        default: Of the comparison without a search.
        choices: Profiles.
        seed: Of the draw.
    """
    generator = np.random.default_rng(derive_seed(seed, "search"))
    drawn = [
        Setting(
            learning_rate=float(np.exp(generator.uniform(*np.log(LEARNING_RATES)))),
            weight_decay=float(np.exp(generator.uniform(*np.log(WEIGHT_DECAYS)))),
            dropout=float(generator.choice(DROPOUTS)),
            profile=choices[int(generator.integers(len(choices)))],
        )
        for _ in range(count - 1)
    ]
    return [default, *drawn]


def search(
    plan_for: PlanFor,
    settings: Sequence[Setting],
    images: Images,
    budget: Budget,
    *,
    seed: int,
    most_images: int | None,
    device: torch.device,
    tick: Callable[[], None],
) -> list[Trial]:
    """Train with every setting, settings of one profile at once; test images are not looked at.

    Args:
        plan_for: Gives the network of a profile.
        settings: What is tried.
        images: All.
        budget: Of one training, as in the comparison.
        seed: Of the comparison.
        most_images: As in the comparison.
        device: Where.
        tick: Called after every epoch.

    Returns:
        One trial per setting, in their order.
    """
    trials: dict[int, Trial] = {}
    for profile in dict.fromkeys(setting.profile for setting in settings):
        places = [place for place, one in enumerate(settings) if one.profile == profile]
        trainees = [
            Trainee(seed=derive_seed(seed, FIRST_SEED + number), setting=settings[place])
            for place in places
            for number in range(NUM_SEEDS)
        ]
        seeds = [one.seed for one in trainees]
        data = data_of(images, seeds, most_images=most_images, device=device)
        last = course_of(plan_for(profile), trainees, data, budget, tick=tick).last
        losses = last.losses.nan_to_num(nan=torch.inf).min(dim=1)
        right = last.accuracies.gather(1, losses.indices[:, None])[:, 0]
        for place, loss, accuracy in zip(
            places,
            losses.values.view(-1, NUM_SEEDS).mean(dim=1).tolist(),
            right.view(-1, NUM_SEEDS).mean(dim=1).tolist(),
            strict=True,
        ):
            trials[place] = Trial(setting=settings[place], loss=loss, accuracy=accuracy)
    return [trials[place] for place in range(len(settings))]
