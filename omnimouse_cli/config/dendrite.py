"""The dendritic feed-forward: which inner network, who shares it, how it starts."""

from dataclasses import dataclass
from typing import Literal

from omnimouse_cli.config.checks import require_one_of, require_positive

# Tiles of more units leave a processor's first cache, and no kernel is made for them.
MAX_HIDDEN = 64
# The configuration of a run holds the table and its range whether the function is frozen or not:
# these values are allowed either way.
CELLS, MAX_CELLS = 256, 2048
# Functions are distilled within this range; of a trained run's pairs of arguments less than 1 in
# 1,000 has a larger one.
RANGE = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DendriteConfig:
    """A learned function of two arguments in place of `silu(a) * b`, in the video encoder too.

    It is used when `feed_forward` is `dendritic`, and when it is `learned`: then the second
    argument is 1, and a distilled SwiGLU starts as SiLU.

    Args:
        hidden: Units of a hidden layer of the inner network; 64 at most.
        depth: Hidden layers: `2 -> hidden -> 1` or `2 -> hidden -> hidden -> 1` (published: 64, 2).
        inner: Its non-linearity: `relu`, or `smoothstep`, a cubic that saturates as tanh does.
        sharing: One function for the whole `model` (published), or one for each `layer`.
        cell_types: Functions that have an equal share of a layer's units each.
        normalize: Normalize both arguments of a token together, without parameters (published).
        start: `swiglu`, distilled from it; `noise`, smoothed noise (published); or `xavier`.
        freeze: Keep the function fixed, as initialized or as loaded by `--init-from`.
        table: Cells along each argument of the lookup table of a frozen function, an even number;
            None computes the function always; `auto` uses a table of 256 cells where the inner
            network is too large for a GPU's registers, and computes smaller ones.
        table_range: The largest argument of the table's grid, which begins at its negative; beyond
            it, values continue along rays from 0.
    """

    hidden: int = 8
    depth: Literal[1, 2] = 1
    inner: Literal["relu", "smoothstep"] = "relu"
    sharing: Literal["model", "layer"] = "layer"
    cell_types: int = 1
    normalize: bool = False
    start: Literal["swiglu", "noise", "xavier"] = "swiglu"
    freeze: bool = False
    table: Literal["auto"] | int | None = "auto"
    table_range: float = RANGE

    def __post_init__(self) -> None:
        """Refuse values that cannot work."""
        require_positive(hidden=self.hidden, cell_types=self.cell_types)
        cells = None if self.table == "auto" else self.table
        require_positive(table=cells, table_range=self.table_range)
        require_one_of(("relu", "smoothstep"), inner=self.inner)
        require_one_of(("model", "layer"), sharing=self.sharing)
        require_one_of(("swiglu", "noise", "xavier"), start=self.start)
        if self.depth not in (1, 2):
            raise ValueError(f"`depth` must be 1 or 2: {self.depth}")
        if self.hidden > MAX_HIDDEN:
            raise ValueError(
                f"`hidden` must be at most {MAX_HIDDEN}, as the inner network of every unit has "
                f"to stay in a processor's registers or first cache: {self.hidden}"
            )
        if cells is not None and (cells % 2 or cells > MAX_CELLS):
            raise ValueError(f"`table` must be an even number of cells up to {MAX_CELLS}: {cells}")
        if not self.freeze and ((cells or CELLS) != CELLS or self.table_range != RANGE):
            raise ValueError(
                "`table` and `table_range` apply only to a frozen function, and `freeze` is off: "
                f"{self.table}, {self.table_range}"
            )
