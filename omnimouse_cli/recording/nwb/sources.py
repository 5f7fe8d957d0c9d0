"""Finds what an NWB file says of its stimulus: series, films, tables, and templates."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.nwb.tables import is_table, stimulus_name
from omnimouse_cli.recording.nwb.tree import Node
from omnimouse_cli.recording.options import OpenOptions

SourceKind = Literal["indices", "film", "table", "features", "intervals", "unknown"]

_PRESENTATION = "stimulus/presentation"
_TEMPLATES = "stimulus/templates"
_FILM_TYPES = ("ImageSeries", "OpticalSeries")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Something that says what was on the screen.

    Args:
        node: A series or a table.
        kind: `indices` of templates, a `film`, a `table` of times, `features`: parameters by row of
            NWB 1, `intervals`: on and off, or `unknown`.
    """

    node: Node
    kind: SourceKind


def find_sources(root: Node, options: OpenOptions) -> list[Source]:
    """Return what a file says of its stimulus.

    These are all series and tables below stimulus/presentation, all tables below intervals, and
    films in acquisition whose name or description speaks of a stimulus (others are of the eye).

    Args:
        root: Root of the file.
        options: With `stimulus`, only this series, film or table is taken, beside tables of trials.

    Raises:
        RecordingError: There is nothing at the path that the options name.
    """
    tables = [
        Source(node=node, kind="table") for node in _children(root, "intervals") if is_table(node)
    ]
    if options.stimulus is not None:
        node = require_node(root, options.stimulus, "--stimulus")
        chosen = Source(node=node, kind=_classify(root, node))
        if chosen.kind == "unknown":
            raise RecordingError(
                f"{node.where} is no stimulus: neither a series of indices or images nor a table",
                hint="`omnimouse inspect FILE` lists what the file holds",
            )
        return [chosen, *(table for table in tables if table.node.path != node.path)]
    sources = [
        Source(node=node, kind=_classify(root, node)) for node in _children(root, _PRESENTATION)
    ]
    sources += [
        Source(node=node, kind="film")
        for node in _children(root, "acquisition")
        if node.neurodata_type in _FILM_TYPES
        and "stimul" in f"{node.name} {node.attributes.get('description', '')}".lower()
    ]
    return sources + tables


def require_node(root: Node, path: str, option: str) -> Node:
    """Return the node at a path that an option, as `--stimulus`, names.

    Raises:
        RecordingError: There is nothing at this path.
    """
    node = root.get(path if path.startswith("/") else f"/{path}")
    if node is None:
        found = [table.path for table in root.walk() if table.get("start_time") is not None]
        if option == "--stimulus":
            found = [series.path for series in _children(root, _PRESENTATION)] + found
        raise RecordingError(
            f"{root.file} has no {path}, which {option} names",
            hint=f"{option} takes one of: {', '.join(dict.fromkeys(found))}"
            if found
            else "the file has none",
        )
    return node


def find_templates(root: Node, series: Node) -> Node | None:
    """Return the templates that a series of indices shows: linked, or of its name."""
    for name in ("indexed_images", "indexed_timeseries"):
        linked = series.get(name)
        if linked is not None:
            return linked
    path = series.child_text("indexed_timeseries_path")
    if path is not None and root.get(path) is not None:
        return root.get(path)
    wanted = stimulus_name(series.name)
    return next(
        (node for node in _children(root, _TEMPLATES) if stimulus_name(node.name) == wanted), None
    )


def list_templates(root: Node) -> list[Node]:
    """Return all templates of a file."""
    return _children(root, _TEMPLATES)


def has_times(node: Node) -> bool:
    """Return whether a series has timestamps, or a start and a rate."""
    return node.get("timestamps") is not None or stated_rate(node) > 0


def stated_rate(node: Node) -> float:
    """Return the rate that a series states, in hertz; 0 without one."""
    start = node.get("starting_time")
    rate = None if start is None else start.attributes.get("rate")
    return float(rate) if isinstance(rate, int | float | np.number) and rate > 0 else 0.0


def describe(node: Node) -> str:
    """Return type and shape of a node, for the user."""
    data = node.get("data")
    shown = node if node.is_dataset else data
    kind = node.neurodata_type or "series"
    if shown is not None and shown.is_dataset:
        return f"{kind} {' x '.join(map(str, shown.shape))}"
    starts = node.get("start_time")
    if starts is not None and starts.is_dataset and starts.shape:
        return f"{kind}, {starts.shape[0]} rows"
    return f"{kind}, {len(node.names())} objects"


def _classify(root: Node, node: Node) -> SourceKind:
    if is_table(node):
        return "table"
    data = node.get("data")
    kind: SourceKind = "unknown"
    if node.neurodata_type in _FILM_TYPES or node.get("external_file") is not None:
        kind = "film"
    elif data is None or not data.is_dataset or data.dtype.kind not in "buif":
        kind = "unknown"
    elif len(data.shape) == 2 and (features := node.get("features")) and features.is_dataset:
        kind = "features"
    elif node.neurodata_type == "IndexSeries" or find_templates(root, node) is not None:
        kind = "indices"
    elif len(data.shape) in (3, 4):
        kind = "film"
    elif len(data.shape) == 1 and data.shape[0] and bool((np.abs(data.read()) == 1).all()):
        kind = "intervals"
    return kind


def _children(root: Node, path: str) -> list[Node]:
    group = root.get(path)
    return [] if group is None else group.children()
