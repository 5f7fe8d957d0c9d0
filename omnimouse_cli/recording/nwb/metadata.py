"""Session, animal, date, licence and citation of an NWB file."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from omnimouse_cli.recording.nwb.profiles import Profile, microns_session
from omnimouse_cli.recording.nwb.tree import Node
from omnimouse_cli.recording.recording import Provenance

# How far above the file `dandiset.yaml` is looked for.
_MAX_FOLDERS = 6
_MAX_YAML_BYTES = 2**20
_NOT_IN_A_KEY = re.compile(r"[^\w.+-]+")
_WORDS = re.compile(r"[^\W_]+")
_DANDI_NAME = re.compile(r"sub-(?P<animal>[^_]+)(?:_ses-(?P<session>[^_]+))?")
# Dates of NWB 1, as `Thu Feb  4 10:25:24 2016`.
_VERSION_1_DATES = ("%a %b %d %H:%M:%S %Y", "%a %b %d %Y %H:%M:%S", "%d/%m/%Y %H:%M:%S")


def read_keys(root: Node, profile: Profile) -> tuple[str, str]:
    """Return the keys of session and animal.

    A session id that names neither the animal nor a unique session is preceded by the animal's key,
    because animals have sessions of one name, as of one day.

    Args:
        root: The root of the file.
        profile: The data set.
    """
    name = _DANDI_NAME.match(root.file.name)
    subject = root.child_text("general/subject/subject_id")
    animal = _key(subject or (name["animal"] if name else "")) or _stem(root.file)
    stated = root.child_text("general/metadata/ophys_experiment_id")
    stated = stated or root.child_text("general/session_id") or (name["session"] if name else None)
    session = _key(stated or "") or _stem(root.file)
    if profile.is_microns:
        session = microns_session(session, animal) or session
    if not profile.session_is_unique and animal not in _WORDS.findall(session):
        session = f"{animal}-{session}"
    return session, animal


def _key(text: str) -> str:
    """Return text that can be a file name."""
    return _NOT_IN_A_KEY.sub("_", text.strip()).strip("._")


def _stem(path: Path) -> str:
    return _key(path.name.removesuffix(".zarr").removesuffix(".nwb")) or "session"


def read_origin(root: Node) -> tuple[float, list[str]]:
    """Return the absolute time (Unix epoch) of second 0 of the file's clocks, and notes.

    Without a date it is 0.
    """
    path = "timestamps_reference_time"
    text = root.child_text(path)
    if text is None:
        path = "session_start_time"
        text = root.child_text(path)
    if text is None:
        return 0.0, ["the file has no session_start_time: its times count from 1970"]
    date = _parse_date(text)
    if date is None:
        return 0.0, [f"{path} is no date ({text!r}): times count from 1970"]
    notes = []
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
        notes.append(f"{path} has no time zone ({text}): taken as UTC")
    if (date.hour, date.minute, date.second) == (0, 0, 0):
        notes.append(f"{path} is a date without a time ({text})")
    return date.timestamp(), notes


def _parse_date(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    for layout in _VERSION_1_DATES:
        try:
            return datetime.strptime(" ".join(text.split()), layout)
        except ValueError:
            continue
    return None


def read_provenance(
    root: Node, *, series: str, excluded: dict[str, int]
) -> tuple[Provenance, list[str]]:
    """Return where the responses come from and under which terms, and notes.

    NWB has no field for a licence; DANDI writes it into `dandiset.yaml` above the files.

    Args:
        root: The root of the file.
        series: Path of the responses.
        excluded: Number of excluded ROIs by reason.
    """
    dandiset, notes = _find_dandiset(root.file)
    stated = dandiset.get("license") or []
    stated = stated if isinstance(stated, list) else [stated]
    licences = [str(item).removeprefix("spdx:") for item in stated]
    publications = root.get("general/related_publications")
    citation = _text(dandiset.get("citation"))
    if citation is None and publications is not None and publications.is_dataset:
        citation = "; ".join(text for text in publications.texts() if text.strip()) or None
    parts = [root.child_text(f"general/{name}") for name in ("institution", "lab")]
    provenance = Provenance(
        series=series,
        excluded=excluded,
        licence=", ".join(licences) or None,
        citation=citation,
        doi=_text(dandiset.get("doi")),
        institution=", ".join(part for part in parts if part) or None,
    )
    return provenance, notes


def _find_dandiset(file: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of the nearest `dandiset.yaml` above a file; empty without one."""
    for folder in list(file.absolute().parents)[:_MAX_FOLDERS]:
        path = folder / "dandiset.yaml"
        if not path.is_file():
            continue
        try:
            if path.stat().st_size > _MAX_YAML_BYTES:
                return {}, [f"{path} is too large to be read"]
            fields = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            return {}, [f"{path} cannot be read: licence and citation are unknown"]
        return (fields if isinstance(fields, dict) else {}), []
    return {}, []


def _text(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None
