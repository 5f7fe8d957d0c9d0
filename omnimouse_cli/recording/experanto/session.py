"""An experanto session folder as a recording: its devices on one clock from one origin."""

from pathlib import Path

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.experanto.identity import animal_of, read_session_key
from omnimouse_cli.recording.experanto.meta import Meta, read_yaml
from omnimouse_cli.recording.experanto.neurons import read_neurons
from omnimouse_cli.recording.experanto.screen import ScreenDevice, open_screen
from omnimouse_cli.recording.experanto.sequence import SequenceDevice, open_sequence
from omnimouse_cli.recording.recording import Recording

LOOKED_FOR = "responses/meta.yml or screen/meta.yml (an experanto session)"

_FIRST_BEHAVIOR = ("eye_tracker", "treadmill")


def is_session(path: Path) -> bool:
    """Say whether a folder looks like an experanto session, a damaged one included."""
    devices, files = ("responses", "screen"), ("meta.yml", "data.mem", "data.npy", "timestamps.npy")
    return any((path / device / file).is_file() for device in devices for file in files)


def open_session(path: Path) -> Recording:
    """Open a session folder of either code line of the library; the rows stay on disk.

    Args:
        path: The session's folder.

    Raises:
        RecordingError: The folder is not what its format promises.
    """
    metas, notes = _device_metas(path)
    sequences: dict[str, SequenceDevice] = {}
    screen: ScreenDevice | None = None
    for name, meta in metas.items():
        modality = meta.text("modality").lower()
        if modality == "screen":
            screen = open_screen(path / name, meta)
            notes.extend(screen.notes)
        elif modality == "sequence":
            sequences[name] = open_sequence(path / name, meta)
            notes.extend(sequences[name].notes)
        else:
            notes.append(f"{name}: a device of modality {modality} is not read and was left out")
    if "responses" not in sequences:
        found = ", ".join(metas)
        raise RecordingError(
            f"{path} has no responses: a device of modality `sequence` in a folder named "
            f"`responses` was looked for, {found} found",
            hint="a recording without neural activity cannot be used",
        )
    return _assemble(path, sequences, screen, notes)


def _assemble(
    path: Path,
    sequences: dict[str, SequenceDevice],
    screen: ScreenDevice | None,
    notes: list[str],
) -> Recording:
    responses = sequences["responses"]
    starts = [device.clock.start for device in sequences.values()]
    if screen is None:
        notes.append("screen: absent, so there are no trials and no tiers")
    else:
        starts.append(float(screen.flips[0]))
        _require_shared_time(path, responses, screen)
    origin = min(starts)
    shown, trials = screen.since(origin) if screen is not None else (None, ())
    neurons, neuron_notes = read_neurons(
        path / "responses", responses.meta, num_neurons=responses.num_columns
    )
    session = read_session_key(path)
    return Recording(
        path=path,
        session=session,
        animal=animal_of(session),
        origin_seconds=origin,
        responses=responses.since(origin),
        neurons=neurons,
        trials=trials,
        screen=shown,
        behavior=tuple(
            sequences[name].since(origin)
            for name in sorted(sequences, key=_behavior_order)
            if name != "responses"
        ),
        native_rate_hz=responses.meta.optional_number("original_sampling_rate"),
        notes=(*notes, *neuron_notes),
    )


def _require_shared_time(path: Path, responses: SequenceDevice, screen: ScreenDevice) -> None:
    measured, shown = responses.clock.since(0.0), screen.flips
    first, last = measured.start_seconds, measured.end_seconds
    if last <= shown[0] or first >= shown[-1]:
        raise RecordingError(
            f"{path}: responses (from {first:.3f} to {last:.3f} s) and screen (from "
            f"{shown[0]:.3f} to {shown[-1]:.3f} s) share no time",
            hint="all devices must count seconds from one origin; check `start_time`",
        )


def _device_metas(path: Path) -> tuple[dict[str, Meta], list[str]]:
    """Read every device's meta.yml, in an order that does not depend on the file system."""
    metas, notes = {}, []
    for folder in sorted(path.iterdir()):
        if not folder.is_dir() or folder.name.startswith("."):
            continue
        has_data = (folder / "data.mem").is_file() or (folder / "data.npy").is_file()
        if (folder / "meta.yml").is_file() or folder.name in ("responses", "screen"):
            metas[folder.name] = read_yaml(folder / "meta.yml")
        elif has_data:
            notes.append(f"{folder.name}: has data but no meta.yml and was left out")
    return metas, notes


def _behavior_order(name: str) -> tuple[int, str]:
    known = _FIRST_BEHAVIOR.index(name) if name in _FIRST_BEHAVIOR else len(_FIRST_BEHAVIOR)
    return known, name
