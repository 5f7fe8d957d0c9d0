"""Files of predictions: `.npz`, `.safetensors` or `.nwb`, with a JSON document beside each."""

import importlib.util
import json
import struct
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import PARTIAL_SUFFIX, partial_name, translate_full_disk, write_atomically
from omnimouse_cli.probing.predict_nwb import write_nwb
from omnimouse_cli.recording.session_key import key_as_file_name
from omnimouse_cli.shard import Shard

SUFFIXES = (".npz", ".safetensors", ".nwb")
# Extra of omnimouse that installs the library that writes NWB files.
NWB_EXTRA = "nwb-write"
# Names of data types in safetensors files.
_SAFETENSORS = {"float32": "F32", "float64": "F64", "int64": "I64", "bool": "BOOL"}
_COPY_BYTES = 16 * 2**20
Arrays = Mapping[str, NDArray[Any]]


class GrowingArrays:
    """Arrays that grow along their first axis, each in a file of its own.

    Args:
        folder: An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._streams: dict[str, BinaryIO] = {}
        self._layouts: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}

    def append(self, name: str, rows: NDArray[Any]) -> None:
        """Append `(rows, ...)` to the array `name`.

        Raises:
            OmniMouseError: The disk is full.
        """
        if name not in self._streams:
            path = self._folder / str(len(self._streams))
            self._streams[name] = path.open("wb")
            self._layouts[name] = rows.dtype, rows.shape[1:]
        with translate_full_disk(self._folder):
            self._streams[name].write(np.ascontiguousarray(rows).tobytes())

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all arrays, memory-mapped; nothing can be appended afterwards."""
        found: dict[str, NDArray[Any]] = {}
        for number, (name, stream) in enumerate(self._streams.items()):
            with translate_full_disk(self._folder):
                stream.close()
            dtype, shape = self._layouts[name]
            flat = np.memmap(self._folder / str(number), dtype, "r")
            found[name] = flat.reshape(-1, *shape)
        return found

    def close(self) -> None:
        """Close the files."""
        for stream in self._streams.values():
            stream.close()


@contextmanager
def grow_arrays(path: Path) -> Iterator[GrowingArrays]:
    """Yield arrays that grow in a temporary folder beside a file, which is removed at the end.

    Args:
        path: The file that will hold them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=path.parent, prefix=f"{partial_name(path)}.", suffix=PARTIAL_SUFFIX
    ) as folder:
        arrays = GrowingArrays(Path(folder))
        try:
            yield arrays
        finally:
            arrays.close()


def output_paths(out: Path, sessions: Sequence[str], *, force: bool) -> dict[str, Path]:
    """Return the file of each session: `out` itself for one, `NAME.SESSION.npz` for several.

    The folder is made.

    Raises:
        OmniMouseError: The suffix is not one of `SUFFIXES`, or a file exists and `force` is False.
        OSError: The folder cannot be made or written.
    """
    if out.suffix not in SUFFIXES:
        raise OmniMouseError(
            f"the name of a prediction ends in {', '.join(SUFFIXES)}: {out}",
            hint="for example --out prediction.npz",
        )
    paths = {sessions[0]: out}
    if len(sessions) > 1:
        paths = {
            key: out.with_name(f"{out.stem}.{key_as_file_name(key)}{out.suffix}")
            for key in sessions
        }
    for path in paths.values():
        for file in (path, document_path(path)):
            if file.exists() and (not force or not file.is_file()):
                raise OmniMouseError(
                    f"{file} exists and is not overwritten",
                    hint="name another file with --out, or overwrite it with --force",
                )
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=out.parent, suffix=PARTIAL_SUFFIX):
        pass
    return paths


def document_path(path: Path) -> Path:
    """Return the JSON document beside a file of predictions."""
    return path.with_suffix(".json")


def neuron_arrays(num_neurons: int, shard: Shard | None) -> dict[str, NDArray[Any]]:
    """Return what is known of the neurons of a session: columns, unit ids, positions, areas."""
    known: dict[str, NDArray[Any]] = {"neuron": np.arange(num_neurons)}
    if shard is not None:
        of_shard: dict[str, NDArray[Any] | None] = {
            "unit_id": shard.unit_id,
            "position_um": shard.position_um,
            "area": shard.area,
            "layer": shard.layer,
        }
        known |= {name: values for name, values in of_shard.items() if values is not None}
    return known


def write_arrays(path: Path, arrays: Arrays, document: Mapping[str, Any]) -> None:
    """Write arrays, which may be memory-mapped, in the format of the file's suffix, atomically.

    Args:
        path: The file.
        arrays: Numbers and texts by name.
        document: The JSON document of the prediction; an NWB file holds it as text.

    Raises:
        OmniMouseError: The disk is full, or a library is not installed.
    """
    if path.suffix == ".nwb":
        write_nwb(path, arrays, document)
        return
    with write_atomically(path) as stream:
        if path.suffix == ".npz":
            np.savez(stream, **dict[str, Any](arrays))
        else:
            _write_safetensors(stream, arrays)


def _write_safetensors(stream: BinaryIO, arrays: Arrays) -> None:
    """Write arrays of numbers in parts; texts become JSON lists in the metadata."""
    header: dict[str, Any] = {"__metadata__": {"format": "np"}}
    numbers = {}
    offset = 0
    for name, values in arrays.items():
        if values.dtype.kind == "U":
            header["__metadata__"][name] = json.dumps(values.tolist())
            continue
        numbers[name] = values
        header[name] = {
            "dtype": _SAFETENSORS[values.dtype.name],
            "shape": list(values.shape),
            "data_offsets": [offset, offset + values.nbytes],
        }
        offset += values.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    # Data begin at a multiple of eight bytes.
    text = text.ljust(-(-len(text) // 8) * 8)
    stream.write(struct.pack("<Q", len(text)) + text)
    for values in numbers.values():
        flat = np.ascontiguousarray(values).reshape(-1)
        step = max(1, _COPY_BYTES // flat.dtype.itemsize)
        for first in range(0, len(flat), step):
            stream.write(flat[first : first + step].tobytes())


def require_writer(path: Path) -> None:
    """Check that the library that writes the format of a file is installed.

    Raises:
        OmniMouseError: A library is missing.
    """
    if path.suffix == ".nwb" and importlib.util.find_spec("pynwb") is None:
        raise OmniMouseError(
            f"{path} cannot be written without pynwb, which is not installed",
            hint=f"pip install 'omnimouse[{NWB_EXTRA}]'",
        )
