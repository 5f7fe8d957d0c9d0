"""The dendritic feed-forward: which inner network, who shares it, how it starts."""

from dataclasses import dataclass
from typing import Literal

from omnimouse_cli.config.checks import require_one_of, require_positive

# Beyond, a tile of units leaves a processor's first cache and no kernel here is made for it.
MOST_HIDDEN = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class DendriteConfig:
    """A learned function of two arguments in place of `silu(a) * b`, in the video encoder too.

    It is used when `feed_forward` is `dendritic`.

    Args:
        hidden: Units of a hidden layer of the inner network; 64 at most.
        depth: Hidden layers: `2 -> hidden -> 1` or `2 -> hidden -> hidden -> 1` (published: 64, 2).
        inner: Its non-linearity: `relu`, or `smoothstep`, a cubic that saturates as tanh does.
        sharing: One function for the whole `model` (published), or one for each `layer`.
        cell_types: Functions that have an equal share of a layer's units each.
        normalize: Normalise both arguments of a token together, without parameters (published).
        start: `swiglu`, distilled from it; `noise`, smoothed noise (published); or `xavier`.
        freeze: Leave the function as it starts, or as `--init-from` brings it.
    """

    hidden: int = 8
    depth: Literal[1, 2] = 1
    inner: Literal["relu", "smoothstep"] = "relu"
    sharing: Literal["model", "layer"] = "layer"
    cell_types: int = 1
    normalize: bool = False
    start: Literal["swiglu", "noise", "xavier"] = "swiglu"
    freeze: bool = False

    def __post_init__(self) -> None:
        """Refuse values that cannot work."""
        require_positive(hidden=self.hidden, cell_types=self.cell_types)
        require_one_of(("relu", "smoothstep"), inner=self.inner)
        require_one_of(("model", "layer"), sharing=self.sharing)
        require_one_of(("swiglu", "noise", "xavier"), start=self.start)
        if self.depth not in (1, 2):
            raise ValueError(f"`depth` must be 1 or 2: {self.depth}")
        if self.hidden > MOST_HIDDEN:
            raise ValueError(
                f"`hidden` must be at most {MOST_HIDDEN}, as the inner network of every unit has "
                f"to stay in a processor's registers or first cache: {self.hidden}"
            )
