"""The activations that compete: how many arguments, learned or not, normalised or not."""

from dataclasses import dataclass

# Names, in the order of tables. What the others are measured against comes first.
DENDRITIC, LEARNED_SCALAR = "dendritic", "learned-scalar"
RELU, RELU_PLAIN = "relu", "relu-unnormalised"
SWIGLU, MAXOUT = "swiglu", "maxout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """One kind of unit.

    Args:
        name: In tables and files.
        arity: Pre-activations that a unit takes.
        learned: Whether units share a small network that is trained.
        normalised: Whether pre-activations are normalised per image, without parameters.
    """

    name: str
    arity: int
    learned: bool = False
    normalised: bool = True


ACTIVATIONS = {
    one.name: one
    for one in (
        Activation(name=DENDRITIC, arity=2, learned=True),
        Activation(name=LEARNED_SCALAR, arity=1, learned=True),
        Activation(name=RELU, arity=1),
        Activation(name=RELU_PLAIN, arity=1, normalised=False),
        Activation(name=SWIGLU, arity=2),
        Activation(name=MAXOUT, arity=2),
    )
}
