"""A measured quantity of behavior: values with times, channels and units."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.nwb.roles import is_response_series
from omnimouse_cli.recording.nwb.series import is_series, natural_key, read_times, scale_of
from omnimouse_cli.recording.nwb.tree import Node

# Groups without behavior: stimuli, film of the microscope, schemas.
_NO_BEHAVIOR = ("/stimulus", "/specifications", "/general", "/intervals", "/units")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measure:
    """One quantity of behavior.

    Args:
        node: A series whose times it has.
        paths: Paths of the series that it is made of.
        times: float64 `(samples,)`, seconds of the file; may hold NaN.
        values: float64 `(samples, channels)`.
        channels: Names of the channels.
        units: Units of the values.
        source_units: Units as the file states them.
        use: What it is, in words.
        alternatives: Paths of the series that could have been taken instead.
    """

    node: Node
    paths: tuple[str, ...]
    times: NDArray[np.float64]
    values: NDArray[np.float64]
    channels: tuple[str, ...]
    units: tuple[str, ...]
    source_units: tuple[str, ...]
    use: str
    alternatives: tuple[str, ...] = ()


def behavior_series(root: Node) -> list[Node]:
    """Return every series of numbers that may be behavior, in natural order of their paths."""
    found = []
    stack = [root]
    seen_groups: set[tuple[object, ...]] = set()
    while stack:
        node = stack.pop()
        if node.is_dataset or node.path.startswith(_NO_BEHAVIOR):
            continue
        if is_series(node):
            data = node.get("data")
            # Films and traces are no behavior.
            is_small = data is not None and len(data.shape) <= 2 and data.dtype.kind in "fiub"
            if is_small and not is_response_series(node, None):
                found.append(node)
        elif node.identity not in seen_groups:
            seen_groups.add(node.identity)
            stack.extend(node.children(soft_links=False))
    return sorted(found, key=lambda node: natural_key(node.path))


def require_path(root: Node, path: str, option: str) -> Node:
    """Return the node at a path that the user names.

    Raises:
        RecordingError: There is none.
    """
    node = root.get(path.removesuffix("/data"))
    if node is None:
        found = ", ".join(series.path for series in behavior_series(root)) or "none"
        raise RecordingError(
            f"{root.file} has no {path}, which {option} names", hint=f"series of the file: {found}"
        )
    return node


def num_columns(series: Node) -> int:
    """Return the number of columns of a series; 0 if it has no samples."""
    data = series.get("data")
    if data is None or not data.shape or 0 in data.shape:
        return 0
    return 1 if len(data.shape) == 1 else data.shape[1]


def read_series(series: Node) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return times and values of a series, conversion and offset applied.

    Returns:
        float64 `(samples,)` in seconds of the file, and float64 `(samples, columns)`.

    Raises:
        RecordingError: Times and values contradict each other, or cannot be read.
    """
    data = series.get("data")
    assert data is not None, "a series has data"
    if num_columns(series) == 0:
        raise RecordingError(f"{data.where} is empty", hint="leave the series out of the file")
    values = data.numbers()
    values = values.reshape(len(values), -1)
    scale = scale_of(series, values.shape[1])
    times = read_times(series, len(values))
    return times, values if scale.is_identity else values * scale.factor + scale.offset
