"""What the series of a file's ROIs are: rates, dF/F, fluorescence, or none of the neurons'."""

import re
from typing import Literal

from omnimouse_cli.recording.nwb.series import is_series
from omnimouse_cli.recording.nwb.tree import Node
from omnimouse_cli.recording.recording import ResponseKind

# From the best to the least: the first that a file has is taken.
Role = Literal["rate", "dff", "corrected", "denoised", "demixed", "raw"]
ROLES: tuple[Role, ...] = ("rate", "dff", "corrected", "denoised", "demixed", "raw")
ROLE_WORDS: dict[Role, str] = {
    "rate": "events or deconvolved activity",
    "dff": "dF/F",
    "corrected": "fluorescence corrected for neuropil",
    "denoised": "denoised fluorescence",
    "demixed": "demixed fluorescence",
    "raw": "raw fluorescence",
}

_CORRECTED = re.compile(r"correct|subtract", re.IGNORECASE)
_EXCLUDED = (
    (re.compile(r"true_?false|binary|boolean", re.IGNORECASE), "whether there are events"),
    (re.compile(r"baseline|residual|background|noise_?std|_snr", re.IGNORECASE), "background"),
)
_NEUROPIL = re.compile(r"neuropil|surround", re.IGNORECASE)
_NAMES: tuple[tuple[Role, re.Pattern[str]], ...] = (
    ("rate", re.compile(r"event|deconv|spike|spks|inferred|firing", re.IGNORECASE)),
    ("dff", re.compile(r"d(elta)?_?f_?(over|/|by|of|_)?_?f|dff|\u0394f", re.IGNORECASE)),
    ("corrected", _CORRECTED),
    ("denoised", re.compile(r"denois", re.IGNORECASE)),
    ("demixed", re.compile(r"demix", re.IGNORECASE)),
)
# Interfaces of NWB 1 have no type, but a fixed name.
_RESPONSE_INTERFACES = frozenset({"DfOverF", "Fluorescence"})


def is_response_series(node: Node, parent: Node | None) -> bool:
    """Return whether a group holds activity of ROIs: by its type, that of its parent, or `rois`.

    Args:
        node: The group.
        parent: The group that it is in; None if unknown.
    """
    if not is_series(node):
        return False
    ancestry = node.attributes.get("ancestry", ())
    if node.neurodata_type == "RoiResponseSeries" or "RoiResponseSeries" in ancestry:
        return True
    if node.get("rois") is not None:
        return True
    return parent is not None and interface_type(parent) in _RESPONSE_INTERFACES


def interface_type(node: Node) -> str:
    """Return the type of an interface; in NWB 1 its name says it."""
    kind = node.neurodata_type
    return node.name if kind in ("", "Interface", "Module") else kind


def find_role(path: str, container_type: str) -> tuple[Role | None, str]:
    """Return the role of a series by its name, then by the names of what it is in.

    Args:
        path: Path of the series inside the file.
        container_type: Type of the container of the series.

    Returns:
        The role, None if the series is not of neurons; and what it is in words.

    Example:
        >>> find_role("/processing/ophys/DfOverF/DfOverFEvents", "DfOverF")
        ('rate', 'events or deconvolved activity')
        >>> find_role("/processing/ophys/Neuropil/plane0", "Fluorescence")
        (None, 'neuropil')
    """
    found: Role | None = None
    # The name of the series counts most, then its container's, then the module's.
    for name in reversed(path.strip("/").split("/")[1:]):
        if not _CORRECTED.search(name):
            if _NEUROPIL.search(name):
                return None, "neuropil"
            for pattern, words in _EXCLUDED:
                if pattern.search(name):
                    return None, words
        found = next((role for role, pattern in _NAMES if pattern.search(name)), None)
        if found is not None:
            break
    if container_type == "DfOverF" and found != "rate":
        found = "dff"
    found = found or "raw"
    return found, ROLE_WORDS[found]


def kind_of(role: Role) -> ResponseKind:
    """Return the kind of responses of a role."""
    return role if role in ("rate", "dff") else "fluorescence"
