"""The running speed of an NWB file, in cm/s."""

import re
from dataclasses import replace

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.nwb.measure import Measure, num_columns, read_series, require_path
from omnimouse_cli.recording.nwb.profiles import Profile
from omnimouse_cli.recording.nwb.series import is_series, unit_of
from omnimouse_cli.recording.nwb.tree import Node
from omnimouse_cli.recording.units import CM_PER_SECOND, implausible_speed, normal_unit

_NAME = re.compile(r"running|speed|velocity|treadmill|wheel|locomot|\bball\b", re.IGNORECASE)
_SPEED = re.compile(r"running|speed|velocity", re.IGNORECASE)
_OTHER = re.compile(
    r"pupil|eye|gaze|accel|position|angle|rotation|distance|displacement|\bdx\b|v_in|v_sig|voltage|"
    r"lick|reward|camera|frame|motion_?correction|whisk|head",
    re.IGNORECASE,
)
_LESS = re.compile(r"raw|unfiltered", re.IGNORECASE)
_ANGULAR = ("rad/s", "degrees/s", "rpm", "rev/s", "rotations/s")
_UNKNOWN = ("", "a.u.", "au", "arbitrary units", "arbitrary unit", "arb", "unitless")


def find_running(
    root: Node, series: list[Node], named: str | None, profile: Profile, notes: list[str]
) -> Measure | None:
    """Return the running speed in cm/s; None if the file has none.

    Args:
        root: The root of the file.
        series: All series of behavior.
        named: Path that the user names.
        profile: The data set.
        notes: Is appended to.

    Raises:
        RecordingError: What the user names is no series with one column.
    """
    others: tuple[str, ...] = ()
    if named is not None:
        node = require_path(root, named, "--running")
        if not is_series(node) or num_columns(node) != 1:
            raise RecordingError(
                f"{node.where} is no series with one column", hint="--running takes a speed"
            )
    else:
        ranked = sorted(
            (rank, number, node)
            for number, node in enumerate(series)
            if (rank := _rank(node, profile)) is not None
        )
        if not ranked:
            return None
        node = ranked[0][2]
        others = tuple(other.path for _, _, other in ranked[1:])
        equal = [other.path for rank, _, other in ranked[1:] if rank == ranked[0][0]]
        if equal:
            notes.append(
                f"running is {node.path}; {', '.join(equal)} would do as well (--running PATH)"
            )
    try:
        return replace(_read(node, profile, notes), alternatives=others)
    except RecordingError as error:
        notes.append(f"{node.path}: not taken as running, because {error.message}")
        return None


def _rank(node: Node, profile: Profile) -> tuple[int, ...] | None:
    """Return how likely a series is the running speed, 0 best; None if it is not."""
    path = node.path.replace("_", " ")
    if num_columns(node) != 1 or not _NAME.search(path):
        return None
    if _OTHER.search(node.name) or "pupil" in path.lower():
        return None
    unit = profile.running_unit or normal_unit(unit_of(node))
    is_speed = unit in CM_PER_SECOND
    if not is_speed and unit not in _ANGULAR and unit not in _UNKNOWN:
        return None
    return (
        0 if is_speed else 1,
        1 if _LESS.search(node.name) else 0,
        0 if _SPEED.search(path) else 1,
    )


def _read(node: Node, profile: Profile, notes: list[str]) -> Measure:
    times, values = read_series(node)
    stated = unit_of(node)
    unit = profile.running_unit or normal_unit(stated)
    if profile.running_unit is not None and normal_unit(stated) != profile.running_unit:
        notes.append(
            f"{node.path}: taken as {unit}, as the data set's publisher says (file: "
            f"{stated or 'no unit'})"
        )
    factor = CM_PER_SECOND.get(unit)
    if factor is None:
        notes.append(f"{node.path}: running in {stated or 'an unknown unit'} cannot become cm/s")
    else:
        values = values * factor
        fastest = implausible_speed(values)
        if fastest is not None:
            notes.append(
                f"{node.path}: the 99th percentile of running is {fastest:.3g} cm/s, which is "
                "unusual for a mouse: its unit may be another than the file says"
            )
    return Measure(
        node=node,
        paths=(node.path,),
        times=times,
        values=values,
        channels=("running",),
        units=("cm/s" if factor is not None else stated,),
        source_units=(stated or unit,),
        use="running",
    )
