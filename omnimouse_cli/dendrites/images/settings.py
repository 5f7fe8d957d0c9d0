"""Settings of a comparison, and hyperparameters of one training."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from omnimouse_cli.dendrites.images.architecture import ACTIVATIONS, NETWORKS, NetworkKind
from omnimouse_cli.seeds import derive_seed

# The paper's MLP has 64 units a layer, its CNN 60, 120, 120, 120; images of 8 x 8 need fewer.
MLP_UNITS, CNN_UNITS, SMALL_CNN_UNITS = 64, 60, 12
# On small images the paper's inner network would hold a third of all parameters; the small one has
# the share that it has in the paper.
INNER, SMALL_INNER = (64, 64), (32, 32)
SMALL_SIDE = 16
QUICK_IMAGES = 2000
# What is usual for MNIST and CIFAR; 8 x 8 cells average over many pixels.
EPSILON_GRAY, EPSILON_COLOR, EPSILON_SMALL = 0.3, 8 / 255, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameters:
    """Hyperparameters of one training.

    Args:
        learning_rate: Learning rate of Adam.
        weight_decay: Decoupled decay of weights; biases do not decay.
        dropout: Probability that an activation is dropped, after every hidden layer.
        profile: Relative widths of the hidden layers, at the same number of parameters.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    dropout: float = 0.5
    profile: tuple[int, ...] = (1, 1, 1)

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"`learning_rate` must be positive: {self.learning_rate}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"`dropout` must be from 0 to below 1: {self.dropout}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonSettings:
    """Everything that determines the numbers of a comparison; a folder holds one comparison.

    Args:
        data: Name or path of the images.
        networks: Kinds of networks.
        activations: Names of the compared activations.
        seeds: Trainings of each network and activation.
        seed: Seed from which all others are derived.
        epochs: Epochs of every session on images, the same for every activation.
        pretrain_steps: Optimizer steps that fit the inner networks to smoothed noise.
        batch: Images per training step.
        inner: Hidden widths of inner networks; None takes the default for the size of the images.
        dropout: Dropout probability without a search.
        search: Random hyperparameters tried for each activation; 0 searches nothing.
        most_images: Largest number of images used; None uses all.
        robustness: Whether corruptions and attacks are measured.
        attack_images: Test images of each seed that are attacked.
        epsilon: Largest change of a pixel by an attack, with pixels from 0 to 1; None takes the
            usual value for the kind of images.
        attack_steps: Steps of projected gradient descent.
        attack_restarts: Random starts of projected gradient descent.
        attack_queries: Queries of the gradient-free attack, per image.
    """

    data: str
    networks: tuple[NetworkKind, ...] = NETWORKS
    activations: tuple[str, ...] = tuple(ACTIVATIONS)
    seeds: int = 20
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

    def derive_seeds(self) -> list[int]:
        """Return the seeds of the trainings, which all candidates share."""
        return [derive_seed(self.seed, number) for number in range(self.seeds)]

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "ComparisonSettings":
        """Return the settings that a file holds; fields that are not known are ignored."""
        known = {field.name for field in dataclasses.fields(cls)}
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in stored.items()
            if name in known
        }
        return cls(**values)


def shorten(settings: ComparisonSettings) -> ComparisonSettings:
    """Return the same comparison with few seeds, epochs and images, for a trial run."""
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


def get_inner_widths(settings: ComparisonSettings, image: tuple[int, int, int]) -> tuple[int, ...]:
    """Return the hidden widths of the inner network for images `(channels, height, width)`."""
    if settings.inner is not None:
        return settings.inner
    return SMALL_INNER if min(image[1:]) < SMALL_SIDE else INNER


def get_reference_units(network: NetworkKind, image: tuple[int, int, int]) -> int:
    """Return the first layer's units in the dendritic network that sets the parameter count."""
    if network == "mlp":
        return MLP_UNITS
    return SMALL_CNN_UNITS if min(image[1:]) < SMALL_SIDE else CNN_UNITS


def get_attack_epsilon(settings: ComparisonSettings, image: tuple[int, int, int]) -> float:
    """Return the largest change of a pixel by an attack, with pixels from 0 to 1."""
    if settings.epsilon is not None:
        return settings.epsilon
    if image[0] > 1:
        return EPSILON_COLOR
    return EPSILON_SMALL if min(image[1:]) < SMALL_SIDE else EPSILON_GRAY
