"""neurons.csv: one row for each neuron, with its position and its score by every predictor."""

import csv
import io
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.evaluation.records import NEURONS

INDEX = "index"
FACTS = ("unit_id", "x_um", "y_um", "z_um", "area", "layer")
Columns = dict[str, NDArray[Any]]


def format_neurons(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the text of the table.

    Columns are session, neuron (its column in the shard), unit id, position in micrometres, area,
    layer, and `<strategy>/<predictor>` for each score; a cell is empty where nothing is known.

    Args:
        arrays: The arrays of `neurons.npz`.
    """
    tables = {session: _session_columns(arrays, session) for session in _sessions(arrays)}
    scores = dict.fromkeys(
        name for columns in tables.values() for name in columns if name not in FACTS
    )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["session", "neuron", *FACTS, *scores])
    for session, columns in tables.items():
        num_neurons = max((len(values) for values in columns.values()), default=0)
        empty = [""] * num_neurons
        cells = [_cells(columns[name]) if name in columns else empty for name in (*FACTS, *scores)]
        for neuron, row in enumerate(zip(*cells, strict=True)):
            writer.writerow([session, neuron, *row])
    return text.getvalue()


def _sessions(arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    return list(dict.fromkeys(name.split("/")[0] for name in arrays))


def _session_columns(arrays: Mapping[str, NDArray[Any]], session: str) -> Columns:
    """Return the columns of a session, each with all of its neurons."""
    prefix = f"{session}/"
    own = {
        name[len(prefix) :]: values for name, values in arrays.items() if name.startswith(prefix)
    }
    columns = {name: values for name, values in own.items() if "/" not in name}
    position = columns.pop("position_um", None)
    if position is not None:
        columns |= {f"{axis}_um": position[:, number] for number, axis in enumerate("xyz")}
    groups = list(_score_groups(own))
    lengths = [len(values) for values in columns.values()]
    lengths += [int(index.max(initial=-1)) + 1 for _, index, _ in groups]
    for strategy, index, scores in groups:
        for predictor, values in scores.items():
            column = np.full(max(lengths), np.nan)
            column[index] = values
            columns[f"{strategy}/{predictor}"] = column
    return columns


def _score_groups(own: Columns) -> Iterator[tuple[str, NDArray[Any], Columns]]:
    """Yield each strategy that predicts neurons, these neurons, and their scores by predictor."""
    suffix = f"/{NEURONS}/{INDEX}"
    for name, index in own.items():
        if name.endswith(suffix):
            strategy = name.removesuffix(suffix)
            folder = f"{strategy}/{NEURONS}/"
            scores = {key[len(folder) :]: own[key] for key in own if key.startswith(folder)}
            del scores[INDEX]
            yield strategy, index, scores


def _cells(values: NDArray[Any]) -> list[Any]:
    """Return values as cells: floats with six digits, nothing for NaN."""
    cells: list[Any] = values.tolist()
    if values.dtype.kind != "f":
        return cells
    return ["" if math.isnan(value) else f"{value:.6g}" for value in cells]
