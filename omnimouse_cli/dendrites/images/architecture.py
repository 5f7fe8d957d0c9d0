"""Architectures: activation, layers, number of parameters, and widths that match a given number."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

# Names of activations, in the order of tables; the first is compared with all others.
DENDRITIC, LEARNED_SCALAR = "dendritic", "learned-scalar"
RELU, RELU_UNNORMALIZED = "relu", "relu-unnormalised"
SWIGLU, MAXOUT = "swiglu", "maxout"
SINGLU, POLYGLU, XIELU = "singlu", "polyglu", "xielu"

NetworkKind = Literal["mlp", "cnn"]
NETWORKS: tuple[NetworkKind, ...] = ("mlp", "cnn")
KERNEL = 3
MAX_CONVOLUTIONS = 3
MAX_WIDTH = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """One kind of unit.

    Args:
        name: Name in tables and files.
        arity: Number of pre-activations that a unit takes.
        learned: Whether all units share a small trained network.
        normalized: Whether pre-activations pass a LayerNorm without parameters.
    """

    name: str
    arity: int
    learned: bool = False
    normalized: bool = True


ACTIVATIONS = {
    activation.name: activation
    for activation in (
        Activation(name=DENDRITIC, arity=2, learned=True),
        Activation(name=LEARNED_SCALAR, arity=1, learned=True),
        Activation(name=RELU, arity=1),
        Activation(name=RELU_UNNORMALIZED, arity=1, normalized=False),
        Activation(name=SWIGLU, arity=2),
        Activation(name=MAXOUT, arity=2),
        Activation(name=SINGLU, arity=2),
        Activation(name=POLYGLU, arity=2),
        Activation(name=XIELU, arity=1),
    )
}
# Functions that PolyGLU chooses from.
NUM_ROUTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One hidden layer.

    Args:
        kind: `dense`, or `conv`: a 3 x 3 convolution without padding.
        num_in: Input channels or features.
        units: Output activations (per pixel).
        side: Height and width of the map that the units form; (1, 1) for a dense layer.
        pool: Whether 2 x 2 max-pooling follows.
    """

    kind: Literal["dense", "conv"]
    num_in: int
    units: int
    side: tuple[int, int] = (1, 1)
    pool: bool = False

    @property
    def fan_in(self) -> int:
        """Number of inputs that a pre-activation sums over."""
        return self.num_in * (KERNEL**2 if self.kind == "conv" else 1)

    @property
    def side_out(self) -> tuple[int, int]:
        """Height and width after pooling."""
        return (self.side[0] // 2, self.side[1] // 2) if self.pool else self.side

    def list_own_shapes(self, activation: Activation) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the parameters that an activation has in this layer, by name."""
        if activation.name == XIELU:
            return {"alpha": (2,)}
        if activation.name == POLYGLU:
            # Flat, as biases are, so that preferences do not decay.
            return {
                "preference": (self.units * NUM_ROUTES,),
                "route.weight": (NUM_ROUTES, self.num_in),
                "route.bias": (NUM_ROUTES,),
            }
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """The architecture of one network.

    Args:
        network: `mlp` or `cnn`.
        activation: Activation of all hidden units.
        layers: Hidden layers in order.
        image: Channels, height and width of an image.
        num_classes: Number of outputs.
        inner: Hidden widths of the inner network, used where the activation is learned.
    """

    network: NetworkKind
    activation: Activation
    layers: tuple[Layer, ...]
    image: tuple[int, int, int]
    num_classes: int
    inner: tuple[int, ...]

    @property
    def inner_sizes(self) -> tuple[int, ...]:
        """Widths of the inner network from arguments to output; empty for a fixed activation."""
        return (self.activation.arity, *self.inner, 1) if self.activation.learned else ()

    @property
    def num_inner_parameters(self) -> int:
        """Weights and biases of the inner network, which all units share."""
        return sum((a + 1) * b for a, b in itertools.pairwise(self.inner_sizes))

    @property
    def num_parameters(self) -> int:
        """All weights and biases."""
        hidden = sum(
            (layer.fan_in + 1) * layer.units * self.activation.arity for layer in self.layers
        )
        own = sum(
            math.prod(shape)
            for layer in self.layers
            for shape in layer.list_own_shapes(self.activation).values()
        )
        last = self.layers[-1].units
        return hidden + own + (last + 1) * self.num_classes + self.num_inner_parameters


def build_architecture(
    network: NetworkKind,
    activation: Activation,
    widths: Sequence[int],
    *,
    image: tuple[int, int, int],
    num_classes: int,
    inner: tuple[int, ...],
) -> Architecture:
    """Build an architecture from the widths of its layers.

    An `mlp` has dense layers only. A `cnn` has up to three convolutions, each pooled while the map
    is at least 2 pixels wide, and then one dense layer on the flattened map.

    Args:
        network: `mlp` or `cnn`.
        activation: Activation of all hidden units.
        widths: Units of each layer, in order.
        image: Channels, height and width of an image.
        num_classes: Number of outputs.
        inner: Hidden widths of the inner network.
    """
    num_in, height, width = image
    layers = []
    num_convolutions = count_convolutions(image) if network == "cnn" else 0
    assert network == "mlp" or len(widths) == num_convolutions + 1, (
        "a width for each convolution and one for the dense layer"
    )
    for units in widths[:num_convolutions]:
        side = (height - KERNEL + 1, width - KERNEL + 1)
        layer = Layer(kind="conv", num_in=num_in, units=units, side=side, pool=min(side) >= 2)
        layers.append(layer)
        (height, width), num_in = layer.side_out, units
    num_in *= height * width
    for units in widths[num_convolutions:]:
        layers.append(Layer(kind="dense", num_in=num_in, units=units))
        num_in = units
    return Architecture(
        network=network,
        activation=activation,
        layers=tuple(layers),
        image=image,
        num_classes=num_classes,
        inner=inner,
    )


def count_convolutions(image: tuple[int, int, int]) -> int:
    """Return how many convolutions an image is large enough for.

    Example:
        >>> count_convolutions((1, 8, 8)), count_convolutions((3, 32, 32))
        (2, 3)
    """
    height, width = image[1:]
    count = 0
    while count < MAX_CONVOLUTIONS and min(height, width) >= KERNEL:
        count += 1
        height, width = height - KERNEL + 1, width - KERNEL + 1
        if min(height, width) >= 2:
            height, width = height // 2, width // 2
    return count


def list_width_profiles(
    network: NetworkKind, image: tuple[int, int, int]
) -> tuple[tuple[int, ...], ...]:
    """Return the relative widths that a hyperparameter search may choose; the first is the paper's.

    An `mlp` may be deeper and narrower; a `cnn` may grow less or more with depth.
    """
    if network == "mlp":
        return ((1, 1, 1), (1, 1), (1, 1, 1, 1))
    rest = count_convolutions(image)
    return ((1, *[2] * rest), (1,) * (rest + 1), (1, *[2] * (rest - 1), 4))


def match_architecture(
    reference: Architecture, activation: Activation, profile: Sequence[int]
) -> Architecture:
    """Choose widths whose number of parameters matches that of another architecture.

    All layers grow together as far as the number allows, then the last one alone.

    Args:
        reference: Architecture with the same kind of network, images and inner widths.
        activation: Activation of all hidden units.
        profile: Relative widths of the layers.

    Raises:
        ValueError: Even the narrowest network has more parameters.
    """
    num_parameters = reference.num_parameters

    def build(unit: int, extra: int) -> Architecture:
        widths = [unit * share for share in profile]
        widths[-1] += extra
        return build_architecture(
            reference.network,
            activation,
            widths,
            image=reference.image,
            num_classes=reference.num_classes,
            inner=reference.inner,
        )

    def distance(extra: int) -> int:
        return abs(build(unit, extra).num_parameters - num_parameters)

    if build(1, 0).num_parameters > num_parameters:
        raise ValueError(
            f"no {reference.network} of {activation.name} has only {num_parameters} parameters"
        )
    unit = 1
    while unit < MAX_WIDTH and build(unit + 1, 0).num_parameters <= num_parameters:
        unit += 1
    extra = 0
    while distance(extra + 1) < distance(extra):
        extra += 1
    return build(unit, extra)
