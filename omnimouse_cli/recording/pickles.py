"""Reads pickled `.npy` files of numbers, texts and containers; nothing in them is executed."""

import datetime
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.npy_header import parse_npy_header


def read_pickled(path: Path, *, hint: str) -> Any:  # noqa: ANN401 - whatever the file holds
    """Return what a pickled `.npy` file holds.

    Only numbers, texts, containers, dates, paths (as texts) and NumPy arrays are made.

    Args:
        path: The file.
        hint: For the user, if it cannot be read.

    Raises:
        RecordingError: The file is damaged, is not pickled, or names anything else to be made or
            called.
    """
    try:
        with path.open("rb") as stream:
            dtype = parse_npy_header(stream).dtype
            if not dtype.hasobject:
                raise ValueError(f"it is an array of {dtype}")
            content = stream.read()
        return _Unpickler(io.BytesIO(content), encoding="latin1").load()
    except RecordingError:
        raise
    # Damaged bytes can make any of the allowed constructors fail.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RecordingError(f"{path} cannot be read as a pickle: {reason}", hint=hint) from error


def read_pickled_dict(path: Path) -> dict[str, Any]:
    """Return the dictionary in a pickled `.npy` file, as ops.npy, settings.npy or db.npy.

    Args:
        path: The file.

    Raises:
        RecordingError: As in `read_pickled`, or the file holds no dictionary.
    """
    hint = "copy the file again, or move it away and give the rate with --rate"
    value = read_pickled(path, hint=hint)
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if not isinstance(value, dict):
        raise RecordingError(
            f"{path} must hold a dictionary: it holds a {type(value).__name__}", hint=hint
        )
    return {str(key): item for key, item in value.items()}


class _Unpickler(pickle.Unpickler):
    """Makes NumPy arrays, dates and texts, and refuses everything else by name."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as in the base class
        if module.split(".", maxsplit=1)[0] == "pathlib" and name.endswith("Path"):
            return _join_path
        found = _ALLOWED.get((module.replace("numpy._core", "numpy.core"), name))
        if found is None:
            raise pickle.UnpicklingError(
                f"it names {module}.{name}, which is not needed for data and is not run"
            )
        return found


def _reconstruct(kind: type, shape: tuple[int, ...], typecode: Any) -> Any:  # noqa: ANN401
    """Return the empty array that the pickle's state fills, as NumPy's function does."""
    if kind is not np.ndarray or shape not in ((0,), ()):
        raise pickle.UnpicklingError(f"it makes an array of type {kind} and shape {shape}")
    return np.ndarray.__new__(np.ndarray, shape, np.dtype(typecode))


def _scalar(dtype: np.dtype[Any], content: bytes | str) -> Any:  # noqa: ANN401 - any NumPy scalar
    if dtype.hasobject:
        raise pickle.UnpicklingError("it makes a scalar of Python objects")
    # Pickles of Python 2 hold the bytes as a text.
    raw = content.encode("latin1") if isinstance(content, str) else content
    return np.frombuffer(raw, dtype, count=1)[0]


def _from_buffer(buffer: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], order: str) -> Any:  # noqa: ANN401 - an array of any dtype
    if dtype.hasobject or order not in ("C", "F"):
        raise pickle.UnpicklingError(f"it makes an array of {dtype} in order {order}")
    flat = np.frombuffer(buffer, dtype)
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it encodes a text as {encoding}")
    return text.encode("latin1")


def _join_path(*parts: str) -> str:
    return "/".join(str(part) for part in parts)


# What may be made or called, by module and name. NumPy's own functions are replaced by narrow ones.
_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): dict,
    ("builtins", "set"): set,
    ("datetime", "datetime"): datetime.datetime,
    ("datetime", "date"): datetime.date,
    ("datetime", "time"): datetime.time,
    ("datetime", "timedelta"): datetime.timedelta,
    ("datetime", "timezone"): datetime.timezone,
}
