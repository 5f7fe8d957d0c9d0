"""The dendritic feed-forward: which inner network, who shares it, how it starts."""

from dataclasses import dataclass
from typing import Literal

from omnimouse_cli.config.checks import require_one_of, require_positive

# Beyond, a tile of units leaves a processor's first cache and no kernel here is made for it.
MOST_HIDDEN = 64
# A distilled SwiGLU of relu is .16 % off, in a table that stays in a processor's second cache.
# Runs have this and the range in their configuration, frozen or not: other defaults have to leave
# these allowed.
CELLS, MOST_CELLS = 256, 2048
# Where functions are distilled; of a trained run's pairs of arguments less than 1 in 1,000 has a
# larger one.
RANGE = 4.0


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
        table: Cells along each argument of the table that a frozen function is read from, an even
            number; None computes the network all the same.
        table_range: The largest argument of the table's grid, which begins at its negative; beyond,
            values go on along rays from 0.
    """

    hidden: int = 8
    depth: Literal[1, 2] = 1
    inner: Literal["relu", "smoothstep"] = "relu"
    sharing: Literal["model", "layer"] = "layer"
    cell_types: int = 1
    normalize: bool = False
    start: Literal["swiglu", "noise", "xavier"] = "swiglu"
    freeze: bool = False
    table: int | None = CELLS
    table_range: float = RANGE

    def __post_init__(self) -> None:
        """Refuse values that cannot work."""
        require_positive(hidden=self.hidden, cell_types=self.cell_types)
        require_positive(table=self.table, table_range=self.table_range)
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
        if self.table is not None and (self.table % 2 or self.table > MOST_CELLS):
            raise ValueError(
                f"`table` must be an even number of cells up to {MOST_CELLS}: {self.table}"
            )
        if not self.freeze and (self.table or CELLS, self.table_range) != (CELLS, RANGE):
            raise ValueError(
                "`table` and `table_range` are of a frozen function, and `freeze` is off: "
                f"{self.table}, {self.table_range}"
            )
