"""Data sets whose files need more than the rules: what their publishers say elsewhere."""

import re
from dataclasses import dataclass

import numpy as np

from omnimouse_cli.recording.nwb.tree import Node

_MICRONS_SESSION = re.compile(r"(\d+)-scan-(\d+)")
_ALLEN = "allen institute"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What is known of the files of one data set.

    Args:
        name: Name of the data set; empty for any other file.
        session_is_unique: Whether session ids differ between animals.
        pupil_size_is_area: Whether `pupil_size` is an area whatever its unit says.
        pupil_unit: Unit of the pupil where the file says none.
        running_unit: Unit of the running speed whatever the file says; None: the file is right.
        gaze_units: Unit of a gaze series by its name, whatever the file says.
    """

    name: str = ""
    session_is_unique: bool = False
    pupil_size_is_area: bool = False
    pupil_unit: str = ""
    running_unit: str | None = None
    gaze_units: tuple[tuple[str, str], ...] = ()

    @property
    def is_microns(self) -> bool:
        """Whether the file is of the MICrONS functional data set."""
        return self.name == MICRONS.name


GENERIC = Profile()
# Allen Brain Observatory: session ids are numbers of one data base. AllenSDK documents the pupil
# as an area in pixels, the location in centimetres on the monitor and in degrees. Source:
# allensdk.core.brain_observatory_nwb_data_set.
_ALLEN_GAZE = (("pupil_location_spherical", "degrees"), ("pupil_location", "cm"))
ALLEN = Profile(
    name="Allen Brain Observatory",
    session_is_unique=True,
    pupil_size_is_area=True,
    pupil_unit="px^2",
    gaze_units=_ALLEN_GAZE,
)
# Files of version 1 give the running speed another unit than AllenSDK, which says cm/s.
ALLEN_NWB1 = Profile(
    name="Allen Brain Observatory (NWB 1)",
    session_is_unique=True,
    pupil_size_is_area=True,
    pupil_unit="px^2",
    running_unit="cm/s",
    gaze_units=_ALLEN_GAZE,
)
MICRONS = Profile(name="MICrONS functional (DANDI 000402)")


def is_version_1(root: Node) -> bool:
    """Return whether a file is of NWB 1, which states its version in a dataset."""
    version = root.get("nwb_version")
    return version is not None and version.is_dataset


def find_profile(root: Node) -> Profile:
    """Return the profile of the data set that a file belongs to; `GENERIC` for any other.

    Args:
        root: The root of the file.
    """
    institution = (root.child_text("general/institution") or "").lower()
    pipeline = root.get("processing/brain_observatory_pipeline")
    if pipeline is not None or institution.startswith(_ALLEN):
        return ALLEN_NWB1 if is_version_1(root) else ALLEN
    session = root.child_text("general/session_id") or ""
    intervals = root.get("intervals")
    names = set() if intervals is None else {node.name for node in intervals.children()}
    if _MICRONS_SESSION.fullmatch(session) and names & {"Clip", "Monet2", "Trippy"}:
        return MICRONS
    return GENERIC


def microns_session(session_id: str, animal: str) -> str | None:
    """Return the key `animal-session-scan` of a session id of MICrONS; None if it is another.

    Example:
        >>> microns_session("4-scan-7", "17797")
        '17797-4-7'
    """
    match = _MICRONS_SESSION.fullmatch(session_id)
    return f"{animal}-{match[1]}-{match[2]}" if match else None


def microns_unit_ids(plane_name: str, plane_number: int, mask_ids: np.ndarray) -> np.ndarray:
    """Return ids that are unique in a scan of MICrONS, whose masks are counted in each field.

    Args:
        plane_name: Name of the table of ROIs, as `PlaneSegmentation3`.
        plane_number: Number of the plane, counted from 1, for a name without a number.
        mask_ids: int64 `(neurons,)`.

    Returns:
        int64 `(neurons,)`: 10,000 times the field, plus the mask.
    """
    digits = re.search(r"(\d+)$", plane_name)
    field = int(digits[1]) if digits else plane_number
    return field * 10_000 + mask_ids
