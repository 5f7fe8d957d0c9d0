"""The learned vectors of neurons, with their positions, and as one table for other programs."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.api.neurons import Neurons
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import write_atomically, write_text

F32 = NDArray[np.float32]
SUFFIXES = (".csv", ".npz", ".safetensors")
COORDINATES = ("x_um", "y_um", "z_um")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embeddings:
    """What a run has learned of a session.

    Vectors of sessions of one run can be compared with each other; vectors of different runs lie in
    spaces of their own.

    Args:
        session: Session key.
        animal: Animal key.
        vectors: float32 `(neurons, d_embedding)`: the embedding of each neuron.
        biases: float32 `(neurons,)`: bias of each neuron's read-out.
        session_vector: float32 `(d_embedding,)`: the embedding of the session.
        neurons: Ids, positions, areas, layers and scores, in the same order.
    """

    session: str
    animal: str
    vectors: F32
    biases: F32
    session_vector: F32
    neurons: Neurons

    def __len__(self) -> int:
        return len(self.vectors)

    def __repr__(self) -> str:
        return f"Embeddings: {self.vectors.shape} of the neurons of {self.session}"


def write_embeddings(path: Path, embeddings: Sequence[Embeddings]) -> tuple[str, ...]:
    """Write embeddings of sessions of one run as one table, a row for each neuron.

    A CSV file has all columns. A .npz file has an array for each, but one of all vectors,
    `vectors` `(rows, d_embedding)`. A .safetensors file holds no texts: sessions, animals, areas
    and layers are numbers there, whose names are in its metadata as JSON, and -1 stands for none.

    Args:
        path: The file; its suffix selects the format.
        embeddings: One for each session.

    Returns:
        Names of the columns.

    Raises:
        OmniMouseError: The suffix is another one, or the disk is full.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise OmniMouseError(
            f"{path} has no suffix of a table of embeddings: {', '.join(SUFFIXES)}",
            hint="for example --out embeddings.csv",
        )
    columns = _columns(embeddings)
    vectors = np.concatenate([one.vectors for one in embeddings])
    if suffix == ".csv":
        names = [*columns, *(f"e{number}" for number in range(vectors.shape[1]))]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(names)
        # NumPy's text is the shortest that reads back as the same number.
        cells = [[_cell(value) for value in values] for values in (*columns.values(), *vectors.T)]
        writer.writerows(zip(*cells, strict=True))
        write_text(path, text.getvalue())
        return tuple(names)
    arrays = {**columns, "vectors": vectors}
    with write_atomically(path) as stream:
        if suffix == ".npz":
            np.savez_compressed(stream, allow_pickle=False, **arrays)
        else:
            stream.write(_safetensors(arrays))
    return tuple(arrays)


def _columns(embeddings: Sequence[Embeddings]) -> dict[str, NDArray[Any]]:
    """Return the columns beside the vectors; those that no session has are left out.

    What only some sessions have is -1, NaN or empty in the others.
    """
    columns: dict[str, list[NDArray[Any]]] = {}
    for one in embeddings:
        known, size = one.neurons, len(one)
        position = known.position_um
        if position is None:
            position = np.full((size, 3), np.nan, np.float32)
        of_session: dict[str, NDArray[Any]] = {
            "session": np.full(size, one.session),
            "animal": np.full(size, one.animal),
            "neuron": np.arange(size),
            "unit_id": np.full(size, -1) if known.unit_id is None else known.unit_id,
            **dict(zip(COORDINATES, position.T, strict=True)),
            "area": np.full(size, "") if known.area is None else known.area,
            "layer": np.full(size, "") if known.layer is None else known.layer,
            "predict_score": known.scores.get("predict", np.full(size, np.nan)),
            "bias": one.biases,
        }
        for name, values in of_session.items():
            columns.setdefault(name, []).append(values)
    facts = [one.neurons for one in embeddings]
    is_known = {
        "unit_id": any(one.unit_id is not None for one in facts),
        **dict.fromkeys(COORDINATES, any(one.position_um is not None for one in facts)),
        "area": any(one.area is not None for one in facts),
        "layer": any(one.layer is not None for one in facts),
        "predict_score": any("predict" in one.scores for one in facts),
    }
    return {
        name: np.concatenate(parts) for name, parts in columns.items() if is_known.get(name, True)
    }


def _cell(value: object) -> str:
    return "" if value != value else str(value)  # noqa: PLR0124 - NaN, which is not known


def _safetensors(arrays: dict[str, NDArray[Any]]) -> bytes:
    from safetensors.numpy import save

    metadata = {"format": "omnimouse-embeddings", "version": "1"}
    tensors = {}
    for name, values in arrays.items():
        if values.dtype.kind == "U":
            names, numbers = np.unique(values[values != ""], return_inverse=True)
            coded = np.full(len(values), -1, np.int64)
            coded[values != ""] = numbers
            metadata[name] = json.dumps(names.tolist())
            tensors[name] = coded
        else:
            tensors[name] = np.ascontiguousarray(values)
    return save(tensors, metadata)
