"""An experanto session folder as a recording: its devices with clocks from one origin."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.experanto.neurons import read_neurons
from omnimouse_cli.recording.experanto.screen import ScreenDevice, open_screen
from omnimouse_cli.recording.experanto.sequence import RESPONSES, SequenceDevice, open_sequence
from omnimouse_cli.recording.meta import Meta, read_json, read_yaml
from omnimouse_cli.recording.options import OpenOptions
from omnimouse_cli.recording.recording import Content, Provenance, Recording, Signal
from omnimouse_cli.recording.session_key import choose_session_key

MARKERS = "responses/meta.yml or screen/meta.yml (an experanto session)"

# These behavior devices come first; others follow by name.
_FIRST_BEHAVIOR = ("eye_tracker", "treadmill")
_SCAN_FIELDS = ("animal_id", "session", "scan_idx")
_SCAN_IN_NAME = re.compile(r"dynamic(\d+-\d+-\d+)")
_REST_OF_NAME = re.compile(r"dynamic(.+?)(?:_gaze.*)?")


def is_session(path: Path) -> bool:
    """Return whether a folder looks like an experanto session, even a damaged one."""
    devices, files = ("responses", "screen"), ("meta.yml", "data.mem", "data.npy", "timestamps.npy")
    return any((path / device / file).is_file() for device in devices for file in files)


def open_session(path: Path, options: OpenOptions) -> Recording:
    """Open a session folder of either version of the experanto library; rows stay on disk.

    Args:
        path: The session's folder.
        options: Licence and citation are kept; the others are not about experanto sessions.

    Raises:
        RecordingError: A file is missing, damaged or contradicts another one.
    """
    metas, excluded = _read_metas(path)
    devices: dict[str, SequenceDevice] = {}
    screen: ScreenDevice | None = None
    # Responses come first: windows lie on a grid that begins with them.
    for name, meta in sorted(metas.items(), key=lambda item: item[0] != RESPONSES):
        modality = meta.text("modality").lower()
        if modality == "screen":
            screen = open_screen(path / name, meta)
        elif modality == "sequence":
            responses = devices.get(RESPONSES)
            grid_start = None if responses is None else responses.signal.clock.start_seconds
            devices[name] = open_sequence(path / name, meta, grid_start=grid_start)
        else:
            excluded[name] = f"a device of modality {modality} cannot be read"
    if RESPONSES not in devices:
        found = ", ".join(metas)
        raise RecordingError(
            f"{path} has no responses: a device of modality `sequence` in a folder named "
            f"`responses` was looked for, {found} found",
            hint="a recording without neural activity cannot be used",
        )
    return _assemble(path, metas[RESPONSES], devices, screen, excluded=excluded, options=options)


def _assemble(
    path: Path,
    responses_meta: Meta,
    devices: dict[str, SequenceDevice],
    screen: ScreenDevice | None,
    *,
    excluded: Mapping[str, str],
    options: OpenOptions,
) -> Recording:
    """Return the recording with all times relative to the earliest start of a device.

    Args:
        path: The session's folder.
        responses_meta: The meta.yml of the responses.
        devices: Sequence devices by name.
        screen: The screen; None without one.
        excluded: Folders that are not taken, with the reason.
        options: For licence and citation.
    """
    _require_overlap(path, devices, screen)
    starts = [device.signal.clock.start_seconds for device in devices.values()]
    if screen is not None:
        starts.append(float(screen.flips[0]))
    origin = min(starts)
    frames, trials = screen.relative_to(origin) if screen is not None else (None, ())
    responses = devices[RESPONSES]
    behavior = sorted(
        (name for name in devices if name != RESPONSES),
        key=lambda name: (name not in _FIRST_BEHAVIOR, name),
    )
    neurons, neuron_notes = read_neurons(
        path / RESPONSES,
        responses_meta,
        num_neurons=responses.signal.num_channels,
        delay_seconds=responses.delay_seconds,
    )
    native_rate_hz = responses_meta.optional_number("original_sampling_rate")
    if native_rate_hz is None and responses.is_resampled:
        native_rate_hz = responses.stored_rate_hz
    session = _read_session_key(path, options.key)
    notes: dict[str, tuple[str, ...]] = {
        name: (f"{name}: {why} and is excluded",) for name, why in excluded.items()
    }
    notes |= {name: device.notes for name, device in devices.items()}
    contents = [devices[name].content for name in (RESPONSES, *behavior)]
    if screen is None:
        notes["screen"] = ("screen: absent, so there are no trials",)
    else:
        notes["screen"] = screen.notes
        contents.append(screen.content)
    contents += [
        Content(path=name, what="folder", use=f"not taken: {excluded[name]}")
        for name in sorted(excluded)
    ]
    return Recording(
        path=path,
        session=session,
        animal=session.split("-", 1)[0] or session,
        origin_seconds=origin,
        responses=_relative_to(origin, responses.signal),
        neurons=neurons,
        trials=trials,
        screen=frames,
        behavior=tuple(_relative_to(origin, devices[name].signal) for name in behavior),
        native_rate_hz=native_rate_hz,
        notes=(*(note for name in sorted(notes) for note in notes[name]), *neuron_notes),
        response_kind=responses.response_kind,
        provenance=Provenance(
            series=responses.content.path, licence=options.licence, citation=options.citation
        ),
        contents=tuple(contents),
    )


def _relative_to(origin_seconds: float, signal: Signal) -> Signal:
    start_seconds = signal.clock.start_seconds - origin_seconds
    clock = dataclasses.replace(signal.clock, start_seconds=start_seconds)
    return dataclasses.replace(signal, clock=clock)


def _require_overlap(
    path: Path, devices: dict[str, SequenceDevice], screen: ScreenDevice | None
) -> None:
    """Raise RecordingError for a device that was recorded at another time than the responses."""
    clocks = {name: device.signal.clock for name, device in devices.items()}
    spans = {name: (clock.start_seconds, clock.end_seconds) for name, clock in clocks.items()}
    if screen is not None:
        spans["screen"] = (float(screen.flips[0]), float(screen.flips[-1]))
    first, last = spans[RESPONSES]
    for name, (other_first, other_last) in spans.items():
        if last <= other_first or first >= other_last:
            raise RecordingError(
                f"{path}: responses (from {first:.3f} to {last:.3f} s) and {name} (from "
                f"{other_first:.3f} to {other_last:.3f} s) share no time",
                hint="all devices must count seconds from one origin; check `start_time`",
            )


def _read_metas(path: Path) -> tuple[dict[str, Meta], dict[str, str]]:
    """Read the meta.yml of every device, and return why other folders are not taken."""
    metas, excluded = {}, {}
    for folder in sorted(path.iterdir()):
        if not folder.is_dir() or folder.name.startswith("."):
            continue
        has_data = (folder / "data.mem").is_file() or (folder / "data.npy").is_file()
        if (folder / "meta.yml").is_file() or folder.name in ("responses", "screen"):
            metas[folder.name] = read_yaml(folder / "meta.yml")
        elif has_data:
            excluded[folder.name] = "has data but no meta.yml"
    return metas, excluded


def _read_session_key(folder: Path, stated: str | None) -> str:
    """Return the key that the user states, else the one by the rules of the experanto library.

    Its key is `data_key` of meta.json; else its `scan_key`; else the scan in a folder name with
    "dynamic"; else the folder name.

    Raises:
        RecordingError: The key cannot be used as a file name.
    """
    path = folder / "meta.json"
    meta = read_json(path) if path.is_file() else Meta(source=str(path), values={})
    key = meta.optional_text("data_key") or _scan_key(meta.values.get("scan_key"))
    if key is None:
        name = folder.resolve().name
        match = _SCAN_IN_NAME.search(name) or _REST_OF_NAME.fullmatch(name)
        key = match[1] if match else name
    return choose_session_key(key, stated, source=meta.source, hint="correct `data_key`")


def _scan_key(scan: Any) -> str | None:  # noqa: ANN401 - any JSON value
    if not isinstance(scan, dict) or any(scan.get(field) is None for field in _SCAN_FIELDS):
        return None
    return "-".join(str(scan[field]) for field in _SCAN_FIELDS)
