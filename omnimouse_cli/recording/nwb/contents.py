"""What an NWB file holds and what it is taken for, for `omnimouse inspect FILE`."""

import numpy as np

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.nwb.responses import Choice
from omnimouse_cli.recording.nwb.roles import ROLE_WORDS
from omnimouse_cli.recording.nwb.series import is_series, starting_time, unit_of
from omnimouse_cli.recording.nwb.tree import Node
from omnimouse_cli.recording.recording import Content
from omnimouse_cli.recording.times import mean_rate

# The stimulus part of the reader lists these.
_OF_STIMULUS = ("/stimulus", "/intervals", "/specifications")
_FILMS = ("TwoPhotonSeries", "OnePhotonSeries", "ImageSeries", "ImageMaskSeries")
_NOT_TAKEN = {
    "PlaneSegmentation": "the table of ROIs of other responses",
    "Units": "a table of spike times",
    "Images": "pictures",
    "DynamicTable": "a table that is not needed",
    "TimeIntervals": "a table of times outside /intervals",
}


def list_contents(
    root: Node, choice: Choice, behavior: dict[str, str], stimulus: tuple[Content, ...]
) -> tuple[Content, ...]:
    """Return a row for each series, table and collection of images of a file.

    Args:
        root: The root of the file.
        choice: The responses.
        behavior: What each series of behavior is taken for, by its path.
        stimulus: Rows of the stimulus; no path of theirs gets another row.
    """
    listed = {content.path for content in stimulus}
    uses = _response_uses(choice) | behavior
    rows = []
    stack = [root]
    seen_groups: set[tuple[object, ...]] = set()
    while stack:
        node = stack.pop()
        if node.is_dataset or node.path.startswith(_OF_STIMULUS) or node.path in listed:
            continue
        kind = node.neurodata_type
        if is_series(node):
            rows.append(_content(node, _describe_series(node), uses))
        elif "colnames" in node.attributes or kind == "Images":
            rows.append(_content(node, _describe_group(node), uses))
        elif node.identity not in seen_groups:
            seen_groups.add(node.identity)
            stack.extend(node.children(soft_links=False))
    return tuple(sorted((*rows, *stimulus), key=lambda content: content.path))


def _response_uses(choice: Choice) -> dict[str, str]:
    uses = {}
    taken = "responses" if choice.role is None else ROLE_WORDS[choice.role]
    for candidate in choice.candidates:
        reason = f"{taken} taken instead" if candidate.role is not None else "not of neurons"
        uses[candidate.node.path] = f"not taken: {candidate.words}; {reason}"
    for plane in choice.planes:
        uses[plane.node.path] = f"responses: {taken}"
        if plane.rois.table is not None:
            uses[plane.rois.table.path] = "ROIs of the responses"
    return uses


def _content(node: Node, what: str, uses: dict[str, str]) -> Content:
    use = uses.get(node.path)
    if use is None:
        kind = node.neurodata_type
        reason = "a film" if kind in _FILMS else _NOT_TAKEN.get(kind, "no rule takes it")
        use = f"not taken: {reason}"
    return Content(path=node.path, what=what, use=use)


def _describe_series(node: Node) -> str:
    data = node.get("data")
    assert data is not None, "a series has data"
    shape = " x ".join(map(str, data.shape)) or "1"
    parts = [f"{node.neurodata_type or 'TimeSeries'} {shape} {data.dtype}"]
    rate = _rate(node)
    if rate is not None:
        parts.append(f"{rate:.4g} Hz")
    unit = unit_of(node)
    if unit:
        parts.append(unit)
    return ", ".join(parts)


def _rate(node: Node) -> float | None:
    """Return about how many samples a second a series has."""
    timestamps = node.get("timestamps")
    try:
        if timestamps is None:
            return starting_time(node)[1]
        if timestamps.dtype.kind not in "fiu":
            return None
        times = np.asarray(timestamps.read(0, 1000), dtype=np.float64).ravel()
    except RecordingError:
        return None
    times = times[np.isfinite(times)]
    return mean_rate(times) if times.size > 1 and (np.diff(times) > 0).all() else None


def _describe_group(node: Node) -> str:
    kind = node.neurodata_type
    if kind == "Images":
        return f"Images, {len(node.children())} images"
    ids = node.get("id")
    num_rows = ids.shape[0] if ids is not None and ids.shape else 0
    columns = node.attributes.get("colnames", ())
    names = ", ".join(columns) if isinstance(columns, tuple) else str(columns)
    return f"{kind} of {num_rows} rows: {names}"
