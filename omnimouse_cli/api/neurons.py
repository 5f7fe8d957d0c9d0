"""The neurons of a session: ids, positions, areas, and scores where a run was evaluated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.probing.scores import newest_scores
from omnimouse_cli.shard import Shard

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Neurons:
    """What is known of the neurons of a session, in the order of the columns of its responses.

    Args:
        session: Session key.
        num_neurons: Number of neurons.
        unit_id: int64 `(neurons,)`: numbers in the recording; None if it has none.
        position_um: float32 `(neurons, 3)` in micrometres; None if the recording has none.
        area: Text `(neurons,)`: visual areas, empty where one is not known; None without areas.
        layer: Text `(neurons,)`: cortical layers, as `area`.
        scores: Of the newest evaluation that scored the session: the single-trial correlation of
            the model, float64 `(neurons,)`, by masking strategy; NaN where a neuron has none.
        evaluation: Folder of that evaluation; None without one.
    """

    session: str
    num_neurons: int
    unit_id: NDArray[np.int64] | None = None
    position_um: NDArray[np.float32] | None = None
    area: NDArray[np.str_] | None = None
    layer: NDArray[np.str_] | None = None
    scores: Mapping[str, F64] = field(default_factory=dict)
    evaluation: Path | None = None

    def __len__(self) -> int:
        return self.num_neurons

    def __repr__(self) -> str:
        facts = ("unit_id", "position_um", "area", "layer")
        known = [name for name in facts if getattr(self, name) is not None]
        scored = f", scores of {', '.join(self.scores)}" if self.scores else ""
        return (
            f"Neurons: {self.num_neurons} of {self.session}, {', '.join(known) or 'no ids'}{scored}"
        )


def describe_neurons(
    session: str, num_neurons: int, *, shard: Shard | None = None, runs: Sequence[Path] = ()
) -> Neurons:
    """Return the neurons of a session.

    Args:
        session: Session key.
        num_neurons: Number of neurons.
        shard: The shard of the session; without it ids, positions and areas are those that an
            evaluation of the run has, if any.
        runs: Folder of a run, or of each run of an ensemble, whose newest evaluation gives scores.
    """
    found = newest_scores(runs, f"{session}/") if runs else None
    path, arrays = (None, {}) if found is None else found
    if shard is None:
        known = {name: arrays.get(name) for name in ("unit_id", "position_um", "area", "layer")}
    else:
        known = {
            "unit_id": shard.unit_id,
            "position_um": shard.position_um,
            "area": shard.area,
            "layer": shard.layer,
        }
    return Neurons(
        session=session,
        num_neurons=num_neurons,
        scores=_scores(arrays, num_neurons),
        evaluation=None if path is None else path.parent,
        **known,
    )


def _scores(arrays: Mapping[str, NDArray[Any]], num_neurons: int) -> dict[str, F64]:
    """Return the model's correlation of every neuron by strategy."""
    scores = {}
    for name, values in arrays.items():
        if name.endswith("/neurons/model"):
            folder = name.removesuffix("/model")
            of_all = np.full(num_neurons, np.nan)
            of_all[arrays[f"{folder}/index"]] = values
            scores[folder.removesuffix("/neurons")] = of_all
    return scores
