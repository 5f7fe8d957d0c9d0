"""A learned function of two arguments, and how a training run's arguments are measured."""

from dataclasses import dataclass
from pathlib import Path

from omnimouse_cli.dendrites.surface import F64, Frame, Function

ALL_LAYERS = "all"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LearnedFunction:
    """One function of two arguments in one layer.

    Args:
        run: Name of the run's folder.
        network: Which of a run's networks, or the size of the run's model.
        layer: Its name; `all` pools the layers that share the function.
        cell_type: Number of its kind of units.
        seed: Number of the training, or the seed of the run.
        is_whole: Whether `arguments` are of all units that have the function, so that it counts.
        function: Takes float64 `(rows, 2)` and gives `(rows,)`.
        arguments: float64 `(rows, 2)` that its units were given.
        frame: In which it is described; None for arguments that were normalised.
    """

    run: str
    network: str
    layer: str
    cell_type: int = 0
    seed: int
    is_whole: bool
    function: Function
    arguments: F64
    frame: Frame | None = None

    @property
    def place(self) -> tuple[str, str, int]:
        """What is one function in every run: network, layer and cell type."""
        return self.network, self.layer, self.cell_type


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """How the arguments of a training run are measured; a comparison has kept its own.

    Args:
        tier: Over whose windows the run's model is run.
        shards: Where these are; None takes the run's own.
        seed: Of the choice of tokens.
        device: Where the model runs, `cpu` or `cuda`.
    """

    tier: str = "test"
    shards: Path | None = None
    seed: int = 0
    device: str = "cpu"
