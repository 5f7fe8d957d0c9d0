"""Which series of a file are the responses: the best role, all of its planes."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.nwb.rois import Rois, find_rois, num_rois
from omnimouse_cli.recording.nwb.roles import (
    ROLE_WORDS,
    ROLES,
    Role,
    find_role,
    interface_type,
    is_response_series,
    kind_of,
)
from omnimouse_cli.recording.nwb.series import is_series, natural_key, read_times
from omnimouse_cli.recording.nwb.tree import Node

# Planes may lack the last frames of others: a scan that stops amid a volume.
_MAX_MISSING_ROWS = 5
# Series with so many columns are places, as of the pupil.
_MAX_COORDINATES = 3
_DIGITS = re.compile(r"\d+")
_CHANNEL = re.compile(r"chan(?:nel)?_?\d+|(?<![a-z])(?:red|green)(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """A series of the activity of ROIs.

    Args:
        node: The series.
        role: What it is; None if it is not of neurons.
        words: The same in words.
    """

    node: Node
    role: Role | None
    words: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plane:
    """One series of the responses.

    Args:
        node: The series.
        times: float64 `(rows,)`: times of its rows.
        is_transposed: Whether its data are `(roi, time)`.
        rois: The ROIs of its columns.
    """

    node: Node
    times: NDArray[np.float64]
    is_transposed: bool
    rois: Rois

    @property
    def data(self) -> Node:
        """The dataset of the series."""
        data = self.node.get("data")
        assert data is not None, "a series has data"
        return data


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """The responses of a file.

    Args:
        planes: Their series in order.
        role: What they are; None if neither name nor type of a series that the user names says so.
        candidates: All series of ROIs in the file.
        notes: One sentence for each thing that was assumed, repaired or left out.
    """

    planes: tuple[Plane, ...]
    role: Role | None
    candidates: tuple[Candidate, ...]
    notes: tuple[str, ...]


def choose_responses(root: Node, series: str | None, rate_hz: float | None) -> Choice:
    """Choose the series that are the responses of a file.

    Args:
        root: The root of the file.
        series: Path of a series, or of a group of series, or a kind (`rate`, `dff`,
            `fluorescence`) that the user names.
        rate_hz: Rate where the file has none, as the user says.

    Raises:
        RecordingError: The file has no responses, or several between which no rule decides, or a
            series is damaged.
    """
    candidates = find_candidates(root)
    of_kind = [c for c in candidates if c.role is not None and kind_of(c.role) == series]
    role: Role | None
    if series is None or of_kind:
        chosen, role = _best(root, of_kind or candidates)
    else:
        chosen, role = _named(root, series)
    planes = [open_plane(node, rate_hz) for node in chosen]
    _require_planes(planes)
    notes = [
        f"{plane.node.path}: stored as ROI x time and transposed"
        for plane in planes
        if plane.is_transposed
    ]
    for plane in planes:
        notes.extend(plane.rois.notes)
    notes.extend(_fewer_rois(candidates, chosen, role))
    return Choice(planes=tuple(planes), role=role, candidates=tuple(candidates), notes=tuple(notes))


def find_candidates(root: Node) -> list[Candidate]:
    """Return all series of the activity of ROIs, in natural order of their paths."""
    found = []
    stack: list[tuple[Node, Node | None]] = [(root, None)]
    # Hard links, and links to other files, may lead back to a group above.
    seen_groups: set[tuple[object, ...]] = set()
    while stack:
        node, parent = stack.pop()
        if is_response_series(node, parent):
            container = "" if parent is None else interface_type(parent)
            role, words = find_role(node.path, container)
            data = node.get("data")
            if data is None or 0 in data.shape:
                role, words = None, "empty"
            found.append(Candidate(node=node, role=role, words=words))
            continue
        if node.name in ("specifications", "stimulus") or node.is_dataset:
            continue
        if node.identity not in seen_groups:
            seen_groups.add(node.identity)
            stack.extend((child, node) for child in node.children(soft_links=False))
    return sorted(found, key=lambda candidate: natural_key(candidate.node.path))


def _named(root: Node, series: str) -> tuple[list[Node], Role | None]:
    """Return the series at a path that the user names."""
    path = series.removesuffix("/data") if series != "/data" else series
    node = root.get(path)
    if node is None:
        candidates = find_candidates(root)
        if not candidates:
            raise _no_traces(root, candidates)
        roles = [role for role in ROLES if any(item.role == role for item in candidates)]
        kinds = dict.fromkeys(kind_of(role) for role in roles)
        choices = ", ".join([*kinds, *(item.node.path for item in candidates)])
        raise RecordingError(
            f"{root.file} has no series {series}", hint=f"--series takes one of: {choices}"
        )
    nodes = [node] if is_series(node) else [child for child in node.children() if is_series(child)]
    nodes.sort(key=lambda child: natural_key(child.path))
    if not nodes:
        raise RecordingError(
            f"{node.where} is no time series and holds none",
            hint="--series takes the path of a series or of a group of series (one per plane)",
        )
    container = root.get(nodes[0].path.rpartition("/")[0])
    role, _ = find_role(nodes[0].path, "" if container is None else interface_type(container))
    is_of_rois = is_response_series(nodes[0], container)
    # Nothing says that a series without ROIs is of fluorescence.
    return nodes, role if is_of_rois or role != "raw" else None


def _best(root: Node, candidates: list[Candidate]) -> tuple[list[Node], Role]:
    roles = {candidate.role for candidate in candidates}
    role = next((role for role in ROLES if role in roles), None)
    if role is None:
        raise _no_traces(root, candidates)
    nodes: list[Node] = []
    seen: set[tuple[object, ...]] = set()
    for candidate in candidates:
        data = candidate.node.get("data")
        if candidate.role != role or data is None or data.identity in seen:
            continue
        seen.add(data.identity)
        nodes.append(candidate.node)
    return nodes, role


def _no_traces(root: Node, candidates: list[Candidate]) -> RecordingError:
    """Return the error of a file without responses, which says what the file has instead."""
    if candidates:
        kinds = ", ".join(f"{item.node.path} ({item.words})" for item in candidates)
        return RecordingError(
            f"{root.file} has no responses of neurons, only {kinds}",
            hint="add the traces of the neurons, or name a series: --series PATH",
        )
    movies, others, damaged = _other_series(root)
    if movies:
        return RecordingError(
            f"{root.file} has no traces: it holds the film of the microscope only "
            f"({', '.join(movies)})",
            hint="extract traces from the film (suite2p, CaImAn), and convert those",
        )
    if damaged:
        return RecordingError(
            f"{root.file} has no traces of neurons: {damaged[0]} lacks its `data`, or both "
            "`timestamps` and `starting_time`",
            hint="; ".join(root.problems) or "write the file again",
        )
    hint = "; ".join(root.problems) or "a recording without neural activity cannot be used"
    if others:
        hint = f"if one of these is the activity, name it: --series {others[0]}"
    return RecordingError(
        f"{root.file} has no traces of neurons: no RoiResponseSeries stands in it", hint=hint
    )


def _other_series(root: Node) -> tuple[list[str], list[str], list[str]]:
    """Return paths of films, of other series of many columns, and of series that lack a part."""
    movies: list[str] = []
    others: list[str] = []
    damaged: list[str] = []
    for node in root.walk():
        if node.path.startswith(("/stimulus", "/specifications")):
            continue
        if not is_series(node):
            if node.neurodata_type == "RoiResponseSeries":
                damaged.append(node.path)
            continue
        data = node.get("data")
        if node.neurodata_type in ("TwoPhotonSeries", "OnePhotonSeries"):
            movies.append(node.path)
        elif data is not None and len(data.shape) == 2 and min(data.shape) > _MAX_COORDINATES:
            others.append(node.path)
    return movies, others, damaged


def open_plane(node: Node, rate_hz: float | None) -> Plane:
    """Open one series of responses.

    Args:
        node: The series.
        rate_hz: Rate where the file has none, as the user says.

    Raises:
        RecordingError: Its shape, times or ROIs contradict each other.
    """
    data = node.get("data")
    assert data is not None, "a series has data"
    if data.dtype.kind not in "fiu" or len(data.shape) not in (1, 2) or 0 in data.shape:
        raise RecordingError(
            f"{data.where} cannot be responses: shape {data.shape}, type {data.dtype}",
            hint="responses are numbers, time x ROI; name another series: --series",
        )
    is_transposed = _is_transposed(node, data)
    num_rows = data.shape[1] if is_transposed else data.shape[0]
    num_columns = int(np.prod(data.shape)) // num_rows
    times = read_times(node, num_rows, rate_hz)
    return Plane(
        node=node,
        times=times,
        is_transposed=is_transposed,
        rois=find_rois(node, num_columns),
    )


def _is_transposed(node: Node, data: Node) -> bool:
    """Return whether data are `(roi, time)`: by the number of times, else by that of ROIs."""
    if len(data.shape) == 1:
        return False
    first, second = data.shape
    timestamps = node.get("timestamps")
    if timestamps is not None and timestamps.shape and first != second:
        # Where neither fits, `read_times` says so.
        return timestamps.shape[0] == second
    rois = num_rois(node)
    if first == second:
        # Only NWB 1 has ROIs first by its rules.
        return node.get("rois") is None and node.neurodata_type != "RoiResponseSeries"
    return rois is not None and rois == first and rois != second


def _require_planes(planes: list[Plane]) -> None:
    """Check that the series are different planes of one population, scanned with one clock."""
    first = planes[0]
    for number, plane in enumerate(planes):
        for other in planes[:number]:
            if not _are_planes(plane, other):
                raise _ambiguous(other, plane, "are of the same ROIs or plane")
        if plane is first:
            continue
        offset = clock_offset(first, plane)
        if offset is None:
            raise _ambiguous(first, plane, "have different clocks")


def _ambiguous(one: Plane, other: Plane, reason: str) -> RecordingError:
    return RecordingError(
        f"{one.node.file}: {one.node.path} and {other.node.path} have equal rank and {reason}, "
        "so that they are not planes of one population",
        hint=f"name the one to take: --series {one.node.path}",
    )


def _are_planes(one: Plane, other: Plane) -> bool:
    channels = [_CHANNEL.findall(plane.node.path) for plane in (one, other)]
    if channels[0] != channels[1]:
        return False
    tables = one.rois.table, other.rois.table
    names = [_DIGITS.sub("#", plane.node.path) for plane in (one, other)]
    if tables[0] is not None and tables[1] is not None:
        if tables[0].identity == tables[1].identity:
            return not np.intersect1d(one.rois.rows, other.rois.rows).size
        planes = one.rois.plane, other.rois.plane
        if planes[0] is not None and planes[1] is not None:
            return planes[0].identity != planes[1].identity or names[0] == names[1]
    return names[0] == names[1]


def clock_offset(one: Plane, other: Plane) -> float | None:
    """Return how long after the rows of one plane those of another were scanned, in seconds.

    Returns:
        Seconds, less than a period; None if the planes do not have one clock.
    """
    num_rows = min(len(one.times), len(other.times))
    if abs(len(one.times) - len(other.times)) > _MAX_MISSING_ROWS or num_rows < 2:
        return None
    difference = other.times[:num_rows] - one.times[:num_rows]
    period = float(np.median(np.diff(one.times[:num_rows])))
    offset = float(np.median(difference))
    if not np.isfinite(difference).all():
        # The check of the times says which is not finite.
        return 0.0
    if abs(offset) >= period or np.abs(difference - offset).max() > period / 2:
        return None
    return offset


def _fewer_rois(candidates: list[Candidate], chosen: list[Node], role: Role | None) -> list[str]:
    """Return a note if another role has more series: ROIs that the chosen one lacks."""
    if role is None:
        return []
    for other in ROLES:
        num_other = sum(candidate.role == other for candidate in candidates)
        if num_other > len(chosen) and other != role:
            return [
                f"{ROLE_WORDS[role]} ({len(chosen)} series) is taken, though there are {num_other} "
                f"series of {ROLE_WORDS[other]}"
            ]
    return []


def describe(choice: Choice) -> str:
    """Return a sentence on which series are taken and what else there is."""
    taken = {plane.node.path for plane in choice.planes}
    others = [
        f"{candidate.node.path} ({candidate.words})"
        for candidate in choice.candidates
        if candidate.node.path not in taken
    ]
    words = "responses" if choice.role is None else ROLE_WORDS[choice.role]
    sentence = f"responses are {words}: {', '.join(sorted(taken, key=natural_key))}"
    return f"{sentence}; not taken: {', '.join(others)}" if others else sentence
