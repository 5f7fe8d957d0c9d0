"""Pupil and gaze of an NWB file."""

import re
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.nwb.measure import Measure, num_columns, read_series
from omnimouse_cli.recording.nwb.profiles import Profile
from omnimouse_cli.recording.nwb.roles import interface_type
from omnimouse_cli.recording.nwb.series import unit_of
from omnimouse_cli.recording.nwb.tree import Node
from omnimouse_cli.recording.units import normal_unit

_SIZE = re.compile(r"area|diam|size|radius|radii", re.IGNORECASE)
_AREA = re.compile(r"\barea\b|\^2|\u00b2|squared", re.IGNORECASE)
_RADIUS = re.compile(r"(?P<before>.*?)(?P<which>minor|major)(?P<after>.*radi.*)", re.IGNORECASE)
_PLACE = re.compile(
    r"gaze|(pupil|eye)_?(location|position|cent(er|re))|screen_?coordinates|pupil_tracking",
    re.IGNORECASE,
)
_NO_EYE = re.compile(
    r"corneal|cr_|blink|eyelid|likely|confidence|angle|velocity|phi", re.IGNORECASE
)
_LESS = re.compile(r"raw|unfiltered", re.IGNORECASE)
_HORIZONTAL = re.compile(r"\b(x|azimuth|horizontal|meridian)\b", re.IGNORECASE)
_VERTICAL = re.compile(r"\b(y|altitude|elevation|vertical)\b", re.IGNORECASE)
# Samples that are compared to find which column of one table is which of another.
_NUM_COMPARED = 20_000
_GAZE_RANKS = (("degrees", "rad"), ("cm", "mm", "m", "um", "in"), ("px",))
_NUM_AXES = 2


def find_pupil(
    series: list[Node], profile: Profile, notes: list[str], *, is_named: bool
) -> Measure | None:
    """Return the size of the pupil, a diameter or radius; None if the file has none.

    Areas become their square root. Two radii become their mean.

    Args:
        series: All series of behavior, or those that the user names.
        profile: The data set.
        notes: Is appended to.
        is_named: Whether the user names the series.
    """
    ranked = sorted(
        (rank, number, node)
        for number, node in enumerate(series)
        if (rank := _pupil_rank(node, is_named=is_named)) is not None
    )
    for rank, number, node in ranked:
        try:
            pupil = _read_pupil(node, series, profile, notes)
        except RecordingError as error:
            notes.append(f"{node.path}: not taken as pupil, because {error.message}")
            continue
        equal = [
            other.path
            for other_rank, other_number, other in ranked
            if other_rank == rank and other_number != number and other.path not in pupil.paths
        ]
        if equal:
            notes.append(
                f"pupil is {node.path}; {', '.join(equal)} would do as well (--pupil PATH)"
            )
        others = (other.path for _, _, other in ranked if other.path not in pupil.paths)
        return replace(pupil, alternatives=tuple(others))
    return None


def _pupil_rank(node: Node, *, is_named: bool) -> tuple[int, ...] | None:
    """Return how likely a series is the size of the pupil, 0 best; None if it is not."""
    is_ellipse = node.get("area") is not None and "pupil" in node.name.lower()
    if is_ellipse:
        return (0, 0)
    if num_columns(node) != 1 or _NO_EYE.search(node.name):
        return None
    container = node.get(node.path.rpartition("/")[0] or "/")
    is_tracking = container is not None and "PupilTracking" in interface_type(container)
    is_pupil = "pupil" in node.name.lower() or is_tracking
    if not is_named and not (is_pupil and (_SIZE.search(node.name) or is_tracking)):
        return None
    return (0 if _SIZE.search(node.name) else 1, 1 if _LESS.search(node.name) else 0)


def _read_pupil(node: Node, series: list[Node], profile: Profile, notes: list[str]) -> Measure:
    area = node.get("area")
    if area is not None and num_columns(node) != 1:
        return _read_ellipse(node, area, notes)
    match = _RADIUS.fullmatch(node.name)
    if match:
        both = _radii(node, match, series)
        if len(both) == _NUM_AXES:
            return _mean_radius(both, notes)
    times, values = read_series(node)
    stated = unit_of(node) or profile.pupil_unit
    unit = normal_unit(stated)
    text = f"{node.name.replace('_', ' ')} {stated} {node.attributes.get('description', '')}"
    is_area = bool(_AREA.search(text)) or (profile.pupil_size_is_area and "size" in node.name)
    if is_area:
        return _from_area(node, times, values, stated, notes)
    return Measure(
        node=node,
        paths=(node.path,),
        times=times,
        values=values,
        channels=("pupil_size",),
        units=(unit,),
        source_units=(stated,),
        use="pupil",
    )


def _read_ellipse(node: Node, area: Node, notes: list[str]) -> Measure:
    """Read the area that stands beside the centre in a series of ellipses."""
    times, centres = read_series(node)
    values = area.numbers().reshape(-1, 1)
    if len(values) != len(centres):
        raise RecordingError(f"{area.path} has {len(values)} rows, the centres {len(centres)}")
    stated = area.attributes.get("unit", f"{unit_of(node)}^2" if unit_of(node) else "")
    return _from_area(node, times, values, str(stated), notes)


def _from_area(
    node: Node,
    times: NDArray[np.float64],
    values: NDArray[np.float64],
    stated: str,
    notes: list[str],
) -> Measure:
    with np.errstate(invalid="ignore"):
        size = np.sqrt(values)
    notes.append(
        f"{node.path}: the pupil is an area; `pupil_size` is its square root, `pupil_area` the "
        "area itself"
    )
    unit = normal_unit(stated).replace("^2", "")
    return Measure(
        node=node,
        paths=(node.path,),
        times=times,
        values=np.concatenate((size, values), axis=1),
        channels=("pupil_size", "pupil_area"),
        units=(unit, f"{unit}^2" if unit else ""),
        source_units=(stated, stated),
        use="pupil",
    )


def _radii(node: Node, match: re.Match[str], series: list[Node]) -> list[Node]:
    """Return the series of the major and of the minor radius."""
    names = [f"{match['before']}{which}{match['after']}" for which in ("major", "minor")]
    parent = node.path.rpartition("/")[0]
    paths = [f"{parent}/{name}".lower() for name in names]
    return [other for path in paths for other in series if other.path.lower() == path]


def _mean_radius(radii: list[Node], notes: list[str]) -> Measure:
    """Return the mean of two radii, and the major one."""
    (times, major), (_, minor) = (read_series(node) for node in radii)
    if len(major) != len(minor):
        raise RecordingError(f"{radii[0].path} and {radii[1].path} have other lengths")
    stated = unit_of(radii[0])
    notes.append(
        f"`pupil_size` is the mean of {radii[0].path} and {radii[1].path}; `pupil_major_radius` is "
        "the first"
    )
    unit = normal_unit(stated)
    return Measure(
        node=radii[0],
        paths=(radii[0].path, radii[1].path),
        times=times,
        values=np.concatenate(((major + minor) / 2, major), axis=1),
        channels=("pupil_size", "pupil_major_radius"),
        units=(unit, unit),
        source_units=(stated, stated),
        use="pupil",
    )


def find_gaze(
    series: list[Node], profile: Profile, notes: list[str], *, is_named: bool
) -> Measure | None:
    """Return where the eye looks, `pupil_x` and `pupil_y`; None if the file has no such series.

    Degrees are taken before centimetres, those before pixels.

    Args:
        series: All series of behavior, or those that the user names.
        profile: The data set.
        notes: Is appended to.
        is_named: Whether the user names the series.
    """
    found = [node for node in series if _is_gaze(node, is_named=is_named)]
    ranked = sorted(found, key=lambda node: _gaze_rank(node, profile))
    for node in ranked:
        try:
            times, values = read_series(node)
            horizontal, reason = _horizontal_column(node, times, values, found)
        except RecordingError as error:
            notes.append(f"{node.path}: not taken as gaze, because {error.message}")
            continue
        unit = _gaze_unit(node, profile)
        stated = unit_of(node)
        notes.append(f"{node.path}: column {horizontal} is the horizontal axis, {reason}")
        if unit != normal_unit(stated):
            notes.append(
                f"{node.path}: taken as {unit}, though the file says {stated or 'nothing'}"
            )
        return Measure(
            node=node,
            paths=(node.path,),
            times=times,
            values=values[:, [horizontal, 1 - horizontal]],
            channels=("pupil_x", "pupil_y"),
            units=(unit, unit),
            source_units=(stated, stated),
            use="gaze",
            alternatives=tuple(other.path for other in found if other.path != node.path),
        )
    return None


def _is_gaze(node: Node, *, is_named: bool) -> bool:
    if num_columns(node) != _NUM_AXES or _NO_EYE.search(node.name):
        return False
    if is_named or _PLACE.search(node.name):
        return True
    container = node.get(node.path.rpartition("/")[0] or "/")
    # The outline of the eye has an area; it is not where the eye looks.
    is_tracking = container is not None and interface_type(container) == "EyeTracking"
    return is_tracking and node.get("area") is None


def _gaze_unit(node: Node, profile: Profile) -> str:
    return dict(profile.gaze_units).get(node.name, normal_unit(unit_of(node)))


def _gaze_rank(node: Node, profile: Profile) -> tuple[int, int]:
    unit = _gaze_unit(node, profile)
    rank = next((i for i, units in enumerate(_GAZE_RANKS) if unit in units), len(_GAZE_RANKS))
    return rank, 1 if _LESS.search(node.name) else 0


def _horizontal_column(
    node: Node,
    times: NDArray[np.float64],
    values: NDArray[np.float64],
    others: list[Node],
) -> tuple[int, str]:
    """Return which column is horizontal, and why: no order of angles is a rule of all files."""
    frame = node.child_text("reference_frame") or ""
    text = f"{node.attributes.get('description', '')} {node.attributes.get('comments', '')} {frame}"
    horizontal, vertical = _HORIZONTAL.search(text), _VERTICAL.search(text)
    if horizontal and vertical:
        column = 0 if horizontal.start() < vertical.start() else 1
        return column, "as its description says"
    is_angle = "spherical" in node.name or normal_unit(unit_of(node)) in _GAZE_RANKS[0]
    if is_angle:
        for other in others:
            if normal_unit(unit_of(other)) in _GAZE_RANKS[0] or other.path == node.path:
                continue
            other_times, other_values = read_series(other)
            if len(other_times) == len(times):
                column = _most_alike(values, other_values[:, 0])
                return column, f"because it moves with x of {other.path}"
    if "spherical" in node.name:
        return 1, "because AllenSDK lists altitude before azimuth"
    return 0, "by NWB's order x, y: the file does not say it"


def _most_alike(values: NDArray[np.float64], x: NDArray[np.float64]) -> int:
    """Return which of two columns correlates more with `x`."""
    step = max(1, len(x) // _NUM_COMPARED)
    table = np.column_stack((values, x))[::step]
    table = table[np.isfinite(table).all(axis=1)]
    if len(table) <= _NUM_AXES:
        return 0
    # Ranks, so that single wrong values do not count.
    ranks = table.argsort(axis=0).argsort(axis=0).astype(np.float64)
    ranks -= ranks.mean(axis=0)
    return int(np.argmax(np.abs(ranks[:, :2].T @ ranks[:, 2])))
