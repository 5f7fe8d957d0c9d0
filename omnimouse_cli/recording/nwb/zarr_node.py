"""Nodes of a Zarr store, as hdmf-zarr writes NWB: versions 2 and 3 of Zarr."""

import itertools
import lzma
import zlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import zarr
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.files import parse_json
from omnimouse_cli.recording.nwb.tree import MAX_LINKS, Node, decode_attribute, path_in_folder

# Codecs of Python objects that only decode text. Others, as pickle, would run what a store says.
_TEXT_CODECS = frozenset({"vlen-utf8", "vlen-bytes", "json2"})
# What codecs raise for damaged chunks, and zarr for damaged metadata.
_DAMAGE = (
    ValueError, TypeError, LookupError, AttributeError, OSError, RuntimeError, EOFError,
    zlib.error, lzma.LZMAError,
)  # fmt: skip
_METADATA = ("zarr.json", ".zarray", ".zgroup")


def open_zarr(path: Path) -> Node:
    """Return the root of a Zarr store.

    Raises:
        RecordingError: The folder is no Zarr store.
    """
    if not any((path / name).is_file() for name in _METADATA):
        raise RecordingError(
            f"{path} is no Zarr store: it has neither zarr.json nor .zgroup",
            hint="copy the whole folder again, hidden files included",
        )
    return ZarrNode(path, "/", [])


class ZarrNode(Node):
    """A group or dataset of a Zarr store; every dataset is a folder."""

    def __init__(self, file: Path, path: str, problems: list[str]) -> None:
        self._folder = file / path.strip("/")
        self._version = 3 if (self._folder / "zarr.json").is_file() else 2
        self._metadata: dict[str, Any] = {}
        if self._version == 3:
            self._metadata = _read_json(self._folder / "zarr.json")
            is_dataset = self._metadata.get("node_type") == "array"
        else:
            is_dataset = (self._folder / ".zarray").is_file()
            if is_dataset:
                self._metadata = _read_json(self._folder / ".zarray")
        super().__init__(file, path, problems, is_dataset=is_dataset)

    @cached_property
    def _raw_attributes(self) -> Mapping[str, Any]:
        if self._version == 3:
            attributes = self._metadata.get("attributes", {})
        else:
            path = self._folder / ".zattrs"
            attributes = _read_json(path) if path.is_file() else {}
        return attributes if isinstance(attributes, dict) else {}

    @cached_property
    def _links(self) -> dict[str, dict[str, Any]]:
        links = self._raw_attributes.get("zarr_link", [])
        return {str(link["name"]): link for link in links if isinstance(link, dict)}

    @property
    def identity(self) -> tuple[object, ...]:
        """Store and path."""
        return (self.file, self.path)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a dataset; empty for a scalar."""
        shape = tuple(int(size) for size in self._metadata.get("shape", ()))
        # hdmf-zarr stores a scalar as one value.
        return () if self._raw_attributes.get("zarr_dtype") == "scalar" else shape

    @property
    def _is_object(self) -> bool:
        return self._version == 2 and self._metadata.get("dtype") == "|O"

    @cached_property
    def _array(self) -> Any:  # noqa: ANN401 - a zarr array of any type
        _require_safe(self.where, self._metadata)
        try:
            return zarr.open_array(str(self._folder), mode="r")
        except _DAMAGE as error:
            raise RecordingError(
                f"{self.where} cannot be read as Zarr: {error}", hint="copy the store again"
            ) from error

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values of a dataset; object for text."""
        if self._is_object:
            return np.dtype(object)
        dtype: np.dtype[Any] = np.dtype(self._array.dtype)
        return np.dtype(object) if dtype.kind in "SUTO" else dtype

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of the chunks of a dataset."""
        if self._version == 2:
            return tuple(int(size) for size in self._metadata["chunks"])
        chunks: tuple[int, ...] = tuple(self._array.chunks)
        return chunks

    @property
    def num_unwritten_chunks(self) -> int:
        """Number of chunks that are not there and are read as the fill value."""
        return int(self._array.nchunks - self._array.nchunks_initialized)

    def __getitem__(self, selection: Any) -> NDArray[Any]:  # noqa: ANN401 - slices and integers
        """Return a part of a dataset; text as objects of type str."""
        try:
            if self._is_object:
                values = self._read_objects()
                return np.asarray(values.reshape(self.shape)[selection])
            is_scalar = self.shape == () and self._array.ndim == 1
            values = np.asarray(self._array[0] if is_scalar else self._array[selection])
        except _DAMAGE as error:
            raise RecordingError(
                f"{self.where} cannot be read: {error}",
                hint="the store is damaged here; copy it again",
            ) from error
        return _decoded(values) if values.dtype.kind in "SUTO" else values

    def _read_objects(self) -> NDArray[Any]:
        """Return all of a dataset of text; zarr 3 reads no codec of hdmf-zarr for objects."""
        _require_safe(self.where, self._metadata)
        shape, chunks = self._metadata["shape"], self._metadata["chunks"]
        separator = self._metadata.get("dimension_separator", ".")
        codecs = [self._metadata["compressor"], *reversed(self._metadata["filters"] or [])]
        values = np.full(shape, "", dtype=object)
        counts = [-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True)]
        for index in itertools.product(*(range(count) for count in counts)):
            path = self._folder / (separator.join(map(str, index)) or "0")
            if not path.is_file():
                continue
            data: Any = path.read_bytes()
            for codec in codecs:
                data = numcodecs.get_codec(codec).decode(data) if codec is not None else data
            place = tuple(
                slice(number * chunk, min((number + 1) * chunk, size))
                for number, chunk, size in zip(index, chunks, shape, strict=True)
            )
            block = np.asarray(data, dtype=object).reshape(chunks)
            values[place] = block[tuple(slice(0, part.stop - part.start) for part in place)]
        return _decoded(values)

    def reference(self, attribute: str) -> Node | None:
        """Return the node that an attribute refers to; None without one."""
        value = self._raw_attributes.get(attribute)
        if isinstance(value, dict) and isinstance(value.get("value"), dict):
            value = value["value"]
        if isinstance(value, str) and value.startswith("/"):
            return self.get(value)
        return self.dereference(value)

    def dereference(self, value: Any) -> Node | None:  # noqa: ANN401 - JSON
        """Return the node that a value of a dataset refers to; None if it is no reference."""
        if isinstance(value, str) and value.startswith("{"):
            try:
                value = parse_json(value)
            except ValueError:
                return None
        if isinstance(value, dict) and isinstance(value.get("path"), str):
            return self._follow(self.path, value, 0)
        return None

    def _read_attributes(self) -> dict[str, Any]:
        return {
            name: tuple(value) if isinstance(value, list) else decode_attribute(value)
            for name, value in self._raw_attributes.items()
            if not isinstance(value, dict) and name != "zarr_link"
        }

    def _names(self) -> list[str]:
        names = [
            path.name
            for path in self._folder.iterdir()
            if any((path / name).is_file() for name in _METADATA)
        ]
        return sorted({*names, *self._links})

    def _is_soft_link(self, name: str) -> bool:
        return name in self._links and self._links[name].get("source", ".") == "."

    def _child(self, name: str, num_links: int) -> Node | None:
        path = f"{self.path.rstrip('/')}/{name}"
        if name in self._links:
            return self._follow(path, self._links[name], num_links + 1)
        folder = self._folder / name
        if not any((folder / metadata).is_file() for metadata in _METADATA):
            return None
        try:
            return ZarrNode(self.file, path, self.problems)
        except RecordingError as error:
            self.report(error.message)
            return None

    def _follow(self, path: str, link: dict[str, Any], num_links: int) -> Node | None:
        """Return the node that a link or a reference leads to, in this or another store."""
        target, source = str(link.get("path", "")), str(link.get("source", "."))
        store: Path | None = self.file
        if source != ".":
            store = path_in_folder(self.file, source)
            if store is None:
                self.report(f"{path} is a link to {source}, outside the folder: not followed")
                return None
        assert store is not None
        node = None
        if num_links <= MAX_LINKS and store.is_dir():
            node = ZarrNode(store, "/", self.problems).get(f"/{target.lstrip('/')}", num_links)
        if node is None:
            self.report(f"{path} is a link to {target} of {source}, which does not exist")
        return node

    def _root(self) -> Node:
        return ZarrNode(self.file, "/", self.problems)


def _require_safe(where: str, metadata: Mapping[str, Any]) -> None:
    """Refuse codecs that run what the store says."""
    if "codecs" in metadata:
        codecs = [str(codec.get("name")) for codec in metadata["codecs"]]
    else:
        entries = [metadata.get("compressor"), *(metadata.get("filters") or [])]
        codecs = [str(entry["id"]) for entry in entries if entry]
    is_object = metadata.get("dtype") == "|O"
    has_text_codec = any(codec in _TEXT_CODECS for codec in codecs)
    unsafe = [codec for codec in codecs if "pickle" in codec]
    if unsafe or (is_object and not has_text_codec):
        raise RecordingError(
            f"{where} holds Python objects ({', '.join(codecs) or 'no codec'}), which are not read",
            hint="export the file again with a newer hdmf-zarr, or as HDF5",
        )


def _decoded(values: NDArray[Any]) -> NDArray[Any]:
    """Return text as objects of type str."""
    result = np.empty(values.shape, dtype=object)
    for index, value in np.ndenumerate(values):
        is_bytes = isinstance(value, bytes)
        result[index] = value.decode("utf-8", "replace") if is_bytes else _plain(value)
    return result


def _plain(value: Any) -> Any:  # noqa: ANN401 - text, or a reference in JSON
    return value if isinstance(value, dict) else str(value)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecordingError(
            f"{path} is damaged: it is no JSON", hint="copy the store again"
        ) from error
    if not isinstance(value, dict):
        raise RecordingError(f"{path} is damaged: it is no object of JSON", hint="copy it again")
    return value
