"""Who is in the columns of the responses: unit ids and positions."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.experanto.meta import Meta, read_array
from omnimouse_cli.recording.recording import Neurons


def read_neurons(folder: Path, meta: Meta, *, num_neurons: int) -> tuple[Neurons, list[str]]:
    """Read unit ids and positions, where `neuron_properties` or the usual file names lead to them.

    Args:
        folder: The folder of the responses.
        meta: Its meta.yml.
        num_neurons: Columns of the responses.

    Returns:
        The neurons, and notes for the user.

    Raises:
        RecordingError: A file is there but does not fit the number of neurons.
    """
    notes: list[str] = []
    unit_id = _read_property(folder, meta, "unit_ids", notes)
    position = _read_property(folder, meta, "cell_motor_coordinates", notes)
    if unit_id is not None:
        path, values = unit_id
        if values.size != num_neurons:
            raise RecordingError(
                f"{path} has {values.size} unit ids, but `n_signals` is {num_neurons}",
                hint="correct `n_signals` in responses/meta.yml, or export the responses again",
            )
    if position is not None and position[1].shape != (num_neurons, 3):
        raise RecordingError(
            f"{position[0]} must have shape ({num_neurons}, 3): {position[1].shape}",
            hint="one row of x, y, z in micrometres per neuron",
        )
    neurons = Neurons(
        num_neurons=num_neurons,
        unit_id=None if unit_id is None else unit_id[1].reshape(-1).astype(np.int64),
        position_um=None if position is None else position[1].astype(np.float32),
    )
    return neurons, notes


def _read_property(
    folder: Path, meta: Meta, name: str, notes: list[str]
) -> tuple[Path, NDArray[Any]] | None:
    listed = meta.values.get("neuron_properties")
    stated = listed.get(name) if isinstance(listed, dict) else None
    path = folder / (str(stated) if stated else f"meta/{name}.npy")
    if path.is_file():
        return path, read_array(path)
    if stated:
        notes.append(f"responses: {stated} is named by neuron_properties but missing")
    return None
