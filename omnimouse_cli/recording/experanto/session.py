"""An experanto session folder as a recording: its devices with clocks from one origin."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.experanto.meta import Meta, read_array, read_json, read_yaml
from omnimouse_cli.recording.experanto.screen import ScreenDevice, open_screen
from omnimouse_cli.recording.experanto.sequence import open_sequence
from omnimouse_cli.recording.options import OpenOptions
from omnimouse_cli.recording.recording import Neurons, Recording, Signal

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


def open_session(path: Path, _options: OpenOptions) -> Recording:
    """Open a session folder of either version of the experanto library; rows stay on disk.

    Args:
        path: The session's folder.
        _options: None of them is about experanto sessions.

    Raises:
        RecordingError: A file is missing, damaged or contradicts another one.
    """
    metas, notes = _read_metas(path)
    signals: dict[str, Signal] = {}
    screen: ScreenDevice | None = None
    for name, meta in metas.items():
        modality = meta.text("modality").lower()
        if modality == "screen":
            screen = open_screen(path / name, meta)
            notes.extend(screen.notes)
        elif modality == "sequence":
            signals[name], device_notes = open_sequence(path / name, meta)
            notes.extend(device_notes)
        else:
            notes.append(f"{name}: a device of modality {modality} cannot be read and is excluded")
    if "responses" not in signals:
        found = ", ".join(metas)
        raise RecordingError(
            f"{path} has no responses: a device of modality `sequence` in a folder named "
            f"`responses` was looked for, {found} found",
            hint="a recording without neural activity cannot be used",
        )
    return _assemble(path, metas["responses"], signals, screen, notes)


def _assemble(
    path: Path,
    responses_meta: Meta,
    signals: dict[str, Signal],
    screen: ScreenDevice | None,
    notes: list[str],
) -> Recording:
    """Return the recording with all times relative to the earliest start of a device."""
    starts = [signal.clock.start_seconds for signal in signals.values()]
    if screen is None:
        notes.append("screen: absent, so there are no trials")
    else:
        starts.append(float(screen.flips[0]))
        _require_overlap(path, signals["responses"], screen)
    origin = min(starts)
    frames, trials = screen.relative_to(origin) if screen is not None else (None, ())
    signals = {name: _relative_to(origin, signal) for name, signal in signals.items()}
    responses = signals.pop("responses")
    neurons, neuron_notes = _read_neurons(
        path / "responses", responses_meta, num_neurons=responses.num_channels
    )
    session = _read_session_key(path)
    return Recording(
        path=path,
        session=session,
        animal=session.split("-", 1)[0] or session,
        origin_seconds=origin,
        responses=responses,
        neurons=neurons,
        trials=trials,
        screen=frames,
        behavior=tuple(
            signals[name]
            for name in sorted(signals, key=lambda name: (name not in _FIRST_BEHAVIOR, name))
        ),
        native_rate_hz=responses_meta.optional_number("original_sampling_rate"),
        notes=(*notes, *neuron_notes),
    )


def _relative_to(origin_seconds: float, signal: Signal) -> Signal:
    start_seconds = signal.clock.start_seconds - origin_seconds
    clock = dataclasses.replace(signal.clock, start_seconds=start_seconds)
    return dataclasses.replace(signal, clock=clock)


def _require_overlap(path: Path, responses: Signal, screen: ScreenDevice) -> None:
    first, last = responses.clock.start_seconds, responses.clock.end_seconds
    flips = screen.flips
    if last <= flips[0] or first >= flips[-1]:
        raise RecordingError(
            f"{path}: responses (from {first:.3f} to {last:.3f} s) and screen (from "
            f"{flips[0]:.3f} to {flips[-1]:.3f} s) share no time",
            hint="all devices must count seconds from one origin; check `start_time`",
        )


def _read_metas(path: Path) -> tuple[dict[str, Meta], list[str]]:
    """Read the meta.yml of every device, in alphabetical order, and return notes for the user."""
    metas, notes = {}, []
    for folder in sorted(path.iterdir()):
        if not folder.is_dir() or folder.name.startswith("."):
            continue
        has_data = (folder / "data.mem").is_file() or (folder / "data.npy").is_file()
        if (folder / "meta.yml").is_file() or folder.name in ("responses", "screen"):
            metas[folder.name] = read_yaml(folder / "meta.yml")
        elif has_data:
            notes.append(f"{folder.name}: has data but no meta.yml and is excluded")
    return metas, notes


def _read_session_key(folder: Path) -> str:
    """Return the session key by the rules of the experanto library.

    The key is `data_key` of meta.json; else its `scan_key`; else the scan in a folder name with
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
    if "/" in key or "\\" in key or key.startswith("."):
        raise RecordingError(
            f"{meta.source}: the session key must be usable as a file name: {key!r}",
            hint="correct `data_key`",
        )
    return key


def _scan_key(scan: Any) -> str | None:  # noqa: ANN401 - any JSON value
    if not isinstance(scan, dict) or any(scan.get(field) is None for field in _SCAN_FIELDS):
        return None
    return "-".join(str(scan[field]) for field in _SCAN_FIELDS)


def _read_neurons(folder: Path, meta: Meta, *, num_neurons: int) -> tuple[Neurons, list[str]]:
    """Read unit ids and positions from the files of `neuron_properties` or the usual ones.

    Args:
        folder: The folder of the responses.
        meta: Its meta.yml.
        num_neurons: Number of columns of the responses.

    Returns:
        The neurons, and notes for the user.

    Raises:
        RecordingError: A file does not fit the number of neurons.
    """
    notes: list[str] = []
    unit_id = _read_property(folder, meta, "unit_ids", notes)
    position = _read_property(folder, meta, "cell_motor_coordinates", notes)
    if unit_id is not None:
        path, values = unit_id
        if values.size != num_neurons:
            raise RecordingError(
                f"{path} has {values.size} unit ids, but `n_signals` is {num_neurons}",
                hint="correct `n_signals` in responses/meta.yml, or export the responses again",
            )
    if position is not None and position[1].shape != (num_neurons, 3):
        raise RecordingError(
            f"{position[0]} must have shape ({num_neurons}, 3): {position[1].shape}",
            hint="one row of x, y, z in micrometres per neuron",
        )
    neurons = Neurons(
        num_neurons=num_neurons,
        unit_id=None if unit_id is None else unit_id[1].reshape(-1).astype(np.int64),
        position_um=None if position is None else position[1].astype(np.float32),
    )
    return neurons, notes


def _read_property(
    folder: Path, meta: Meta, name: str, notes: list[str]
) -> tuple[Path, NDArray[Any]] | None:
    properties = meta.values.get("neuron_properties")
    stated = properties.get(name) if isinstance(properties, dict) else None
    path = folder / (str(stated) if stated else f"meta/{name}.npy")
    if path.is_file():
        return path, read_array(path)
    if stated:
        notes.append(f"responses: {stated} is named by neuron_properties but missing")
    return None
