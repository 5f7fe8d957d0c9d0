"""The layers of a network, its number of parameters, and widths that match another's."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from omnimouse_cli.dendrites.images.activation import Activation

NetworkKind = Literal["mlp", "cnn"]
NETWORKS: tuple[NetworkKind, ...] = ("mlp", "cnn")
KERNEL = 3
MOST_CONVOLUTIONS = 3
WIDEST = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One hidden layer.

    Args:
        kind: `conv` is 3 x 3 without padding.
        num_in: Channels, or numbers, that come in.
        units: Activations that go out (per pixel).
        side: Height and width of the map that the units form; 1, 1 for a dense layer.
        pool: Whether a 2 x 2 maximum follows.
    """

    kind: Literal["dense", "conv"]
    num_in: int
    units: int
    side: tuple[int, int] = (1, 1)
    pool: bool = False

    @property
    def fan_in(self) -> int:
        """Numbers that a pre-activation sums over."""
        return self.num_in * (KERNEL**2 if self.kind == "conv" else 1)

    @property
    def side_out(self) -> tuple[int, int]:
        """Height and width after pooling."""
        return (self.side[0] // 2, self.side[1] // 2) if self.pool else self.side


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One network.

    Args:
        network: Its kind.
        activation: Of all its units.
        layers: Hidden layers in order.
        num_classes: Outputs.
        inner: Hidden widths of the inner network, used where the activation is learned.
    """

    network: NetworkKind
    activation: Activation
    layers: tuple[Layer, ...]
    num_classes: int
    inner: tuple[int, ...]

    @property
    def inner_sizes(self) -> tuple[int, ...]:
        """Widths of the inner network from arguments to its one output; empty where it is fixed."""
        return (self.activation.arity, *self.inner, 1) if self.activation.learned else ()

    @property
    def num_inner_parameters(self) -> int:
        """Weights and biases of the one inner network."""
        return sum((a + 1) * b for a, b in itertools.pairwise(self.inner_sizes))

    @property
    def num_parameters(self) -> int:
        """All weights and biases."""
        hidden = sum(
            (layer.fan_in + 1) * layer.units * self.activation.arity for layer in self.layers
        )
        last = self.layers[-1].units
        return hidden + (last + 1) * self.num_classes + self.num_inner_parameters


def plan_of(
    network: NetworkKind,
    activation: Activation,
    widths: Sequence[int],
    *,
    image: tuple[int, int, int],
    num_classes: int,
    inner: tuple[int, ...],
) -> Plan:
    """Lay out a network.

    An `mlp` has dense layers of `widths` units. A `cnn` has up to three convolutions, each pooled
    while the map is at least 2 pixels wide, and then one dense layer on all that is left.

    Args:
        network: The kind.
        activation: Of its units.
        widths: Units of each layer, in order.
        image: Channels, height, width.
        num_classes: Outputs.
        inner: Hidden widths of the inner network.
    """
    layers = _dense(widths, image) if network == "mlp" else _convolutional(widths, image)
    return Plan(
        network=network,
        activation=activation,
        layers=tuple(layers),
        num_classes=num_classes,
        inner=inner,
    )


def _dense(widths: Sequence[int], image: tuple[int, int, int]) -> Iterator[Layer]:
    num_in = image[0] * image[1] * image[2]
    for units in widths:
        yield Layer(kind="dense", num_in=num_in, units=units)
        num_in = units


def num_convolutions(image: tuple[int, int, int]) -> int:
    """How many convolutions an image is large enough for.

    Example:
        >>> num_convolutions((1, 8, 8)), num_convolutions((3, 32, 32))
        (2, 3)
    """
    height, width = image[1:]
    count = 0
    while count < MOST_CONVOLUTIONS and min(height, width) >= KERNEL:
        count += 1
        height, width = height - KERNEL + 1, width - KERNEL + 1
        if min(height, width) >= 2:
            height, width = height // 2, width // 2
    return count


def _convolutional(widths: Sequence[int], image: tuple[int, int, int]) -> Iterator[Layer]:
    num_in, height, width = image
    count = num_convolutions(image)
    assert len(widths) == count + 1, "a width for each convolution and one for the dense layer"
    for units in widths[:count]:
        side = (height - KERNEL + 1, width - KERNEL + 1)
        layer = Layer(kind="conv", num_in=num_in, units=units, side=side, pool=min(side) >= 2)
        yield layer
        (height, width), num_in = layer.side_out, units
    yield Layer(kind="dense", num_in=num_in * height * width, units=widths[count])


def matched_plan(
    network: NetworkKind,
    activation: Activation,
    profile: Sequence[int],
    num_parameters: int,
    *,
    image: tuple[int, int, int],
    num_classes: int,
    inner: tuple[int, ...],
) -> Plan:
    """Choose widths in the proportions of `profile` with as many parameters as asked for.

    All layers grow together as far as the number allows, then the last one alone.

    Args:
        network: The kind.
        activation: Of its units.
        profile: Relative widths of the layers.
        num_parameters: Wanted in all.
        image: Channels, height, width.
        num_classes: Outputs.
        inner: Hidden widths of the inner network.

    Raises:
        ValueError: Even the narrowest network has more.
    """

    def plan(unit: int, extra: int) -> Plan:
        widths = [unit * share for share in profile]
        widths[-1] += extra
        return plan_of(
            network, activation, widths, image=image, num_classes=num_classes, inner=inner
        )

    def distance(extra: int) -> int:
        return abs(plan(unit, extra).num_parameters - num_parameters)

    if plan(1, 0).num_parameters > num_parameters:
        raise ValueError(f"no {network} of {activation.name} has only {num_parameters} parameters")
    unit = 1
    while unit < WIDEST and plan(unit + 1, 0).num_parameters <= num_parameters:
        unit += 1
    extra = 0
    while distance(extra + 1) < distance(extra):
        extra += 1
    return plan(unit, extra)
