"""The neurons of a session folder: their ids and positions, which both are optional."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.experanto.files import read_array
from omnimouse_cli.recording.meta import Meta
from omnimouse_cli.recording.npy_header import read_npy_header
from omnimouse_cli.recording.pickles import read_pickled
from omnimouse_cli.recording.recording import Neurons

_MAX_DIGITS = 19


def read_neurons(
    folder: Path, meta: Meta, *, num_neurons: int, delay_seconds: NDArray[np.float32] | None
) -> tuple[Neurons, list[str]]:
    """Read unit ids and positions from the files of `neuron_properties` or the usual ones.

    Args:
        folder: The folder of the responses.
        meta: Its meta.yml.
        num_neurons: Number of columns of the responses.
        delay_seconds: float32 `(num_neurons,)`: how late each neuron was scanned; None if unknown.

    Returns:
        The neurons, and notes for the user.

    Raises:
        RecordingError: A file does not fit the number of neurons, or is damaged.
    """
    notes: list[str] = []
    ids_path = _find_property(folder, meta, "unit_ids", notes)
    position_path = _find_property(folder, meta, "cell_motor_coordinates", notes)
    neurons = Neurons(
        num_neurons=num_neurons,
        unit_id=None if ids_path is None else _read_ids(ids_path, num_neurons, notes),
        position_um=None
        if position_path is None
        else _read_positions(position_path, num_neurons, notes),
        delay_seconds=delay_seconds,
        area=_read_texts(folder, meta, "area", num_neurons, notes),
        layer=_read_texts(folder, meta, "layer", num_neurons, notes),
    )
    return neurons, notes


def _find_property(folder: Path, meta: Meta, name: str, notes: list[str]) -> Path | None:
    properties = meta.values.get("neuron_properties")
    stated = properties.get(name) if isinstance(properties, dict) else None
    path = folder / (str(stated) if stated else f"meta/{name}.npy")
    if path.is_file():
        return path
    if stated:
        notes.append(f"responses: {stated} is named by neuron_properties but missing")
    return None


def _read_texts(
    folder: Path, meta: Meta, name: str, num_neurons: int, notes: list[str]
) -> NDArray[np.str_] | None:
    """Return a text per neuron; None without a file, or with a note if it does not hold that."""
    path = _find_property(folder, meta, name, notes)
    if path is None:
        return None
    try:
        texts = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        notes.append(f"responses: {path.name} is not used: {error}")
        return None
    if texts.shape != (num_neurons,) or texts.dtype.kind not in "US":
        notes.append(
            f"responses: {path.name} is not used: {texts.dtype} of shape {texts.shape}, not a text "
            f"for each of {num_neurons} neurons"
        )
        return None
    return np.char.strip(texts.astype(np.str_))


def _read_ids(path: Path, num_neurons: int, notes: list[str]) -> NDArray[np.int64] | None:
    """Return unit ids that are whole numbers, or texts of digits; else None, with a note."""
    try:
        header = read_npy_header(path)
        if header.dtype.hasobject:
            values = read_pickled(path, hint="store the ids as numbers, or remove the file")
            stored: NDArray[Any] = np.array([str(value) for value in np.ravel(values)])
        else:
            stored = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise RecordingError(
            f"{path} cannot be read as an array: {error}", hint="copy or export the file again"
        ) from error
    if stored.size != num_neurons:
        raise RecordingError(
            f"{path} has {stored.size} unit ids, but `n_signals` is {num_neurons}",
            hint="correct `n_signals` in responses/meta.yml, or export the responses again",
        )
    name = f"responses: {path.name}"
    ids = _to_numbers(stored.reshape(-1))
    if isinstance(ids, str):
        notes.append(f"{name}: {ids}; ids must be whole numbers, so neurons have none")
        return None
    if stored.dtype.kind in "US":
        notes.append(f"{name} holds texts of digits, which are taken as numbers")
    return ids


def _to_numbers(stored: NDArray[Any]) -> NDArray[np.int64] | str:
    """Return the ids as int64, or which of them is none that int64 holds."""
    kind = stored.dtype.kind
    if kind in "US":
        return _texts_to_numbers(stored)
    if kind not in "iubf":
        return f"values of dtype {stored.dtype} are no numbers"
    is_number = np.ones(len(stored), np.bool_)
    if kind == "u":
        is_number = stored <= np.uint64(np.iinfo(np.int64).max)
    elif kind == "f":
        with np.errstate(invalid="ignore"):
            # Beyond 2^53 neighboring whole numbers are one float.
            is_number = (stored % 1 == 0) & (np.abs(stored) <= 2.0**53)
    if is_number.all():
        return stored.astype(np.int64)
    return f"{stored[~is_number][0]} is no whole number of 64 bits with a sign"


def _texts_to_numbers(stored: NDArray[Any]) -> NDArray[np.int64] | str:
    texts = [
        value.decode(errors="replace") if isinstance(value, bytes) else value
        for value in stored.tolist()
    ]
    for text in texts:
        is_number = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
        # A text of another spelling, as "007", would not be its number.
        if not is_number or text != str(int(text)) or int(text) >= 2**63:
            return f"{text[:40]!r} is no number"
    return np.array([int(text) for text in texts], np.int64)


def _read_positions(path: Path, num_neurons: int, notes: list[str]) -> NDArray[np.float32]:
    """Return positions in micrometres, `(num_neurons, 3)`; an unknown depth is NaN."""
    stored = read_array(path)
    shape = stored.shape
    if shape not in ((num_neurons, 3), (num_neurons, 2)) and shape in (
        (3, num_neurons),
        (2, num_neurons),
    ):
        stored = stored.T
        notes.append(f"responses: {path.name} of shape {shape} was transposed")
    if stored.shape == (num_neurons, 2):
        unknown = np.full((num_neurons, 1), np.nan)
        stored = np.concatenate((stored.astype(np.float64), unknown), axis=1)
        notes.append(f"responses: {path.name} has x and y only; z is unknown (NaN)")
    if stored.shape != (num_neurons, 3):
        raise RecordingError(
            f"{path} must have shape ({num_neurons}, 3): {shape}",
            hint="one row of x, y, z in micrometres per neuron",
        )
    return stored.astype(np.float32)
