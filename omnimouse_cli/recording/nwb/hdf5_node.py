"""Nodes of an HDF5 file."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.nwb.tree import MAX_LINKS, Node, decode_attribute, path_in_folder

# What h5py raises where an object of a file is damaged.
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError)


class _OpenFiles:
    """The file and the files that it links to, each opened once."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._roots: dict[Path, h5py.File] = {}

    def root(self, path: Path) -> h5py.File:
        """Return the root of a file, opened if it is not yet."""
        if path not in self._roots:
            self._roots[path] = self._stack.enter_context(_open_file(path))
        return self._roots[path]

    def close(self) -> None:
        """Close all files."""
        self._stack.close()


@contextlib.contextmanager
def open_hdf5(path: Path) -> Iterator[Node]:
    """Open an HDF5 file for reading and yield its root; linked files are closed with it.

    Raises:
        RecordingError: The file is truncated or damaged.
    """
    files = _OpenFiles()
    try:
        yield HDF5Node(files.root(path), "/", path, [], files)
    finally:
        files.close()


def _open_file(path: Path) -> h5py.File:
    try:
        # Some network file systems have no locks.
        return h5py.File(path, "r", locking="best-effort")
    except _DAMAGE as error:
        text = str(error)
        hint = "download or copy the file again"
        if "unable to lock" in text:
            hint = "close the program that is writing the file"
        raise RecordingError(
            f"{path} ({path.stat().st_size} bytes) is damaged and cannot be opened as HDF5: "
            f"{_reason(text)}",
            hint=hint,
        ) from error


def _reason(text: str) -> str:
    """Return the part in brackets of a message of HDF5, which is the reason."""
    start, end = text.find("("), text.rfind(")")
    return text[start + 1 : end] if 0 <= start < end else text


class HDF5Node(Node):
    """A group or dataset of an HDF5 file."""

    def __init__(
        self,
        item: h5py.Group | h5py.Dataset,
        path: str,
        file: Path,
        problems: list[str],
        files: _OpenFiles,
    ) -> None:
        super().__init__(file, path, problems, is_dataset=isinstance(item, h5py.Dataset))
        self._item = item
        self._files = files

    @property
    def identity(self) -> tuple[object, ...]:
        """File number and address of the object."""
        try:
            info = h5py.h5o.get_info(self._item.id)
        except _DAMAGE:
            return (self.file, self.path)
        return (info.fileno, info.addr)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a dataset; empty for a scalar."""
        return tuple(self._item.shape or ()) if self._item.shape is not None else (0,)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values of a dataset; object for text."""
        dtype: np.dtype[Any] = self._item.dtype
        return np.dtype(object) if dtype.kind == "S" else dtype

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of the chunks of a dataset; None if it has none."""
        chunks: tuple[int, ...] | None = self._item.chunks
        return chunks

    @property
    def num_unwritten_chunks(self) -> int:
        """Number of chunks that are not there and are read as the fill value."""
        if self.chunks is None:
            return 0
        counts = [-(-size // chunk) for size, chunk in zip(self.shape, self.chunks, strict=True)]
        try:
            return math.prod(counts) - int(self._item.id.get_num_chunks())
        except _DAMAGE:
            return 0

    def __getitem__(self, selection: Any) -> NDArray[Any]:  # noqa: ANN401 - slices and integers
        """Return a part of a dataset; text as objects of type str."""
        dataset = self._item
        if dataset.shape is None:
            return np.empty(0)
        self._require_own_storage()
        try:
            if h5py.check_string_dtype(dataset.dtype) is not None:
                dataset = dataset.asstr("utf-8", errors="replace")
            return np.asarray(dataset[selection])
        except _DAMAGE as error:
            text = str(error)
            hint = "the file is damaged here; download or copy it again"
            if "filter" in text:
                hint = (
                    "it is compressed in a way that h5py lacks: pip install hdf5plugin, or repack"
                )
            raise RecordingError(
                f"{self.where} cannot be read: {_reason(text)}", hint=hint
            ) from error

    def _require_own_storage(self) -> None:
        """Refuse values that the dataset takes from files outside the folder of its file."""
        names = [entry[0] for entry in self._item.external or ()]
        if self._item.is_virtual:
            names += [source.file_name for source in self._item.virtual_sources()]
        for name in names:
            if name != "." and path_in_folder(self.file, name) is None:
                raise RecordingError(
                    f"{self.where} takes its values from {name}, outside the folder of the file",
                    hint="copy the values into the file, or the other file beside it",
                )

    def reference(self, attribute: str) -> Node | None:
        """Return the node that an attribute refers to; None without one."""
        try:
            value = self._item.attrs.get(attribute)
        except _DAMAGE:
            return None
        if isinstance(value, str) and value.startswith("/"):
            return self.get(value)
        return self.dereference(value)

    def dereference(self, value: Any) -> Node | None:  # noqa: ANN401 - a reference of h5py
        """Return the node that a value of a dataset refers to; None if it is no reference."""
        if not isinstance(value, h5py.Reference) or not value:
            return None
        try:
            path = h5py.h5r.get_name(value, self._item.id)
            # A region has the name of the dataset that it is a part of.
            return self.get(path.decode("utf-8", "replace")) if path else None
        except _DAMAGE:
            return None

    def _read_attributes(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        try:
            for name in self._item.attrs:
                value = self._item.attrs[name]
                if not isinstance(value, h5py.Reference | h5py.Empty):
                    values[name] = decode_attribute(value)
        except _DAMAGE as error:
            self.report(f"{self.path}: its attributes cannot be read: {_reason(str(error))}")
        return values

    def _names(self) -> list[str]:
        try:
            return list(self._item)
        except _DAMAGE as error:
            self.report(f"{self.path} cannot be read: {_reason(str(error))}")
            return []

    def _is_soft_link(self, name: str) -> bool:
        try:
            return isinstance(self._item.get(name, getlink=True), h5py.SoftLink)
        except _DAMAGE:
            # Following it reports the damage.
            return False

    def _child(self, name: str, num_links: int) -> Node | None:
        path = f"{self.path.rstrip('/')}/{name}"
        try:
            link = self._item.get(name, getlink=True)
            if link is None:
                return None
            if isinstance(link, h5py.SoftLink):
                return self._follow(path, link.path, num_links + 1)
            if isinstance(link, h5py.ExternalLink):
                return self._follow_into_file(path, link.filename, link.path, num_links + 1)
            item = self._item[name]
        except _DAMAGE as error:
            self.report(f"{path} cannot be read: {_reason(str(error))}")
            return None
        # Named datatypes hold no values.
        if not isinstance(item, h5py.Group | h5py.Dataset):
            return None
        return HDF5Node(item, path, self.file, self.problems, self._files)

    def _follow(self, path: str, target: str, num_links: int) -> Node | None:
        node = self.get(target, num_links) if num_links <= MAX_LINKS else None
        if node is None:
            self.report(f"{path} is a link to {target}, which does not exist")
        return node

    def _follow_into_file(
        self, path: str, filename: str, target: str, num_links: int
    ) -> Node | None:
        """Return the node of another file, whose path is that of the other file."""
        other = path_in_folder(self.file, filename)
        if other is None:
            self.report(f"{path} is a link to {filename}, outside the folder: not followed")
            return None
        if not other.is_file():
            self.report(f"{path} is a link to {filename}, which is missing")
            return None
        if num_links > MAX_LINKS:
            return None
        try:
            root = self._files.root(other)
        except RecordingError as error:
            self.report(f"{path} is a link: {error.message}")
            return None
        start = HDF5Node(root, "/", other, self.problems, self._files)
        node = start.get(target, num_links)
        if not isinstance(node, HDF5Node):
            self.report(f"{path} is a link to {target} of {filename}, which does not exist")
            return None
        return node

    def _root(self) -> Node:
        root = self._files.root(self.file)
        return HDF5Node(root, "/", self.file, self.problems, self._files)
