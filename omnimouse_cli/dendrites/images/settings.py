"""What a comparison is: data, competitors, seeds, the budget that all have alike."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from omnimouse_cli.dendrites.images.activation import ACTIVATIONS
from omnimouse_cli.dendrites.images.plan import NETWORKS, NetworkKind

# The paper's MLP has 64 units a layer, its CNN 60, 120, 120, 120; images of 8 x 8 need fewer.
MLP_UNITS, CNN_UNITS, SMALL_CNN_UNITS = 64, 60, 12
MLP_PROFILE = (1, 1, 1)
# On small images the paper's inner network would hold a third of all parameters; here it has the
# share that it has in the paper.
INNER, SMALL_INNER = (64, 64), (32, 32)
SMALL_SIDE = 16
QUICK_IMAGES = 2000
# What is usual for MNIST and CIFAR; 8 x 8 cells average over many pens' pixels.
EPSILON_GRAY, EPSILON_COLOR, EPSILON_SMALL = 0.3, 8 / 255, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Hyper-parameters of one training.

    Args:
        learning_rate: Of Adam.
        weight_decay: Decoupled, of weights and not of biases.
        dropout: Share of activations dropped after every hidden layer.
        profile: Relative widths of the hidden layers; the number of parameters is the same for all.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    dropout: float = 0.5
    profile: tuple[int, ...] = MLP_PROFILE

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"`learning_rate` must be positive: {self.learning_rate}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"`dropout` must be from 0 to below 1: {self.dropout}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One comparison; a folder holds results of one.

    Args:
        data: Name or path of the images.
        networks: Kinds of outer networks.
        activations: Names of the competitors.
        seeds: Trainings of each competitor.
        seed: Of everything that is random.
        epochs: Of every session on images, for every competitor.
        pretrain_steps: Of Adam, to bring inner networks to smoothed noise.
        batch: Images of a step.
        inner: Hidden widths of inner networks; None is what suits the images.
        dropout: Where nothing is searched.
        search: Random settings that each competitor tries; 0 is no search.
        most_images: No more than so many are used; None is all.
        robustness: Whether corruptions and attacks are tried.
        attack_images: Test images of each seed that are attacked.
        epsilon: Largest change of a pixel in an attack; None is what is usual for such images.
        attack_steps: Of projected gradient descent.
        attack_restarts: Random starts of it.
        attack_queries: Of the attack without gradients, per image.
    """

    data: str
    networks: tuple[NetworkKind, ...] = NETWORKS
    activations: tuple[str, ...] = tuple(ACTIVATIONS)
    seeds: int = 10
    seed: int = 0
    epochs: int = 60
    pretrain_steps: int = 5000
    batch: int = 50
    inner: tuple[int, ...] | None = None
    dropout: float = 0.5
    search: int = 0
    most_images: int | None = None
    robustness: bool = True
    attack_images: int = 100
    epsilon: float | None = None
    attack_steps: int = 40
    attack_restarts: int = 4
    attack_queries: int = 300

    def __post_init__(self) -> None:
        if self.seeds < 2:
            raise ValueError(f"`seeds` must be at least 2, for an interval: {self.seeds}")
        if min(self.epochs, self.batch, self.pretrain_steps) < 1:
            raise ValueError("`epochs`, `batch` and `pretrain_steps` must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"`dropout` must be from 0 to below 1: {self.dropout}")
        if self.epsilon is not None and not 0 < self.epsilon < 1:
            raise ValueError(f"`epsilon` must be between 0 and 1: {self.epsilon}")

    def to_dict(self) -> dict[str, Any]:
        """Give the fields for JSON."""
        return dataclasses.asdict(self)


def quick(settings: Settings) -> Settings:
    """Give the same comparison at a length that shows that it runs, not what comes out."""
    return dataclasses.replace(
        settings,
        seeds=min(settings.seeds, 3),
        epochs=12,
        pretrain_steps=1000,
        most_images=QUICK_IMAGES,
        attack_images=20,
        attack_steps=10,
        attack_restarts=2,
        attack_queries=40,
    )


def inner_widths(settings: Settings, image: tuple[int, int, int]) -> tuple[int, ...]:
    """Give the hidden widths of the inner network."""
    if settings.inner is not None:
        return settings.inner
    return SMALL_INNER if min(image[1:]) < SMALL_SIDE else INNER


def reference_units(network: NetworkKind, image: tuple[int, int, int]) -> int:
    """Give the units of the first layer of the dendritic network that others are matched to."""
    if network == "mlp":
        return MLP_UNITS
    return SMALL_CNN_UNITS if min(image[1:]) < SMALL_SIDE else CNN_UNITS


def attack_epsilon(settings: Settings, image: tuple[int, int, int]) -> float:
    """Give the largest change of a pixel that attacks may make, of 1."""
    if settings.epsilon is not None:
        return settings.epsilon
    if image[0] > 1:
        return EPSILON_COLOR
    return EPSILON_SMALL if min(image[1:]) < SMALL_SIDE else EPSILON_GRAY
