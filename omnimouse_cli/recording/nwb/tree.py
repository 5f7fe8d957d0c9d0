"""The groups and datasets of an NWB file, the same for HDF5 and Zarr."""

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.extras import require_extra

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Links from link to link are followed this often, so that a circle ends.
MAX_LINKS = 16


class Node(ABC):
    """A group or a dataset of an NWB file.

    Text is decoded, links and references lead to nodes. What cannot be followed or read is left out
    and named in `problems`.

    Args:
        file: The file or the store.
        path: Path inside it, without soft links, as `/processing/ophys`.
        problems: One sentence for each thing that could not be followed; one list for all nodes.
        is_dataset: Whether it is a dataset, not a group.
    """

    def __init__(self, file: Path, path: str, problems: list[str], *, is_dataset: bool) -> None:
        self.file = file
        self.path = path
        self.problems = problems
        self.is_dataset = is_dataset

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def where(self) -> str:
        """File and path inside it, for messages."""
        return f"{self.file}: {self.path}"

    @cached_property
    def attributes(self) -> Mapping[str, Any]:
        """Attributes but references: text as str, arrays of text as a tuple of str, numbers."""
        return self._read_attributes()

    @property
    def neurodata_type(self) -> str:
        """The type that NWB gives it, as `RoiResponseSeries`; empty without one."""
        value = self.attributes.get("neurodata_type", "")
        return value if isinstance(value, str) else ""

    @property
    @abstractmethod
    def identity(self) -> tuple[object, ...]:
        """Equal for two nodes that are the same object, whatever their paths."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of a dataset; empty for a scalar."""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """Type of the values of a dataset; object for text."""

    @property
    @abstractmethod
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of the pieces in which a dataset is stored; None if it is one piece."""

    @property
    @abstractmethod
    def num_unwritten_chunks(self) -> int:
        """Number of chunks of a dataset that are not there and are read as the fill value."""

    @abstractmethod
    def __getitem__(self, selection: Any) -> NDArray[Any]:  # noqa: ANN401 - slices and integers
        """Return a part of a dataset, as in numpy; text as objects of type str.

        Raises:
            RecordingError: It cannot be read, as from a damaged file.
        """

    @abstractmethod
    def reference(self, attribute: str) -> "Node | None":
        """Return the node that an attribute refers to; None without one."""

    @abstractmethod
    def dereference(self, value: Any) -> "Node | None":  # noqa: ANN401 - as the file's library has it
        """Return the node that a value of a dataset refers to; None if it is no reference."""

    @abstractmethod
    def _read_attributes(self) -> dict[str, Any]: ...

    @abstractmethod
    def _names(self) -> list[str]:
        """Names of the children, in the order of the file."""

    @abstractmethod
    def _is_soft_link(self, name: str) -> bool: ...

    @abstractmethod
    def _child(self, name: str, num_links: int) -> "Node | None":
        """Return a child after its links; None if it is missing or cannot be followed."""

    @abstractmethod
    def _root(self) -> "Node": ...

    def get(self, path: str, num_links: int = 0) -> "Node | None":
        """Return the node at a path, from here or from the root (`/...`); None if there is none.

        Args:
            path: Names with `/` between them; links are followed.
            num_links: Number of links followed so far.
        """
        node: Node | None = self._root() if path.startswith("/") else self
        for name in path.split("/"):
            if node is None or node.is_dataset or name == "..":
                return node if name == "" else None
            if name not in ("", "."):
                node = node._child(name, num_links)
        return node

    def report(self, problem: str) -> None:
        """Add a sentence to `problems`, once."""
        if problem not in self.problems:
            self.problems.append(problem)

    def names(self) -> list[str]:
        """Return the names of what a group holds, without opening it."""
        return [] if self.is_dataset else self._names()

    def children(self, *, soft_links: bool = True) -> "list[Node]":
        """Return what a group holds.

        Args:
            soft_links: Whether to include what stands elsewhere in the file and is linked here.
        """
        if self.is_dataset:
            return []
        names = [name for name in self._names() if soft_links or not self._is_soft_link(name)]
        nodes = (self._child(name, 0) for name in names)
        return [node for node in nodes if node is not None]

    def walk(self) -> "Iterator[Node]":
        """Iterate over everything below, each once: groups before what they hold."""
        seen = {self.identity}
        stack = [iter(self.children(soft_links=False))]
        while stack:
            child = next(stack[-1], None)
            if child is None:
                stack.pop()
            elif child.identity not in seen:
                seen.add(child.identity)
                yield child
                stack.append(iter(child.children(soft_links=False)))

    def read(self, first: int = 0, last: int | None = None) -> NDArray[Any]:
        """Return rows `first` to `last` (excluded; None: all) of a dataset; a scalar as it is."""
        return self[first:last] if self.shape else self[()]

    def numbers(self) -> NDArray[np.float64]:
        """Return the values of a dataset as float64, in its shape.

        Raises:
            RecordingError: It holds something else.
        """
        if self.dtype.kind not in "fiub":
            raise RecordingError(
                f"{self.where} must hold numbers, not {self.dtype}", hint="correct the file"
            )
        return np.asarray(self.read(), dtype=np.float64)

    def texts(self) -> list[str]:
        """Return the values of a dataset as text, flattened."""
        return [_as_text(value) for value in np.atleast_1d(self.read()).ravel()]

    def child_text(self, path: str) -> str | None:
        """Return the text of a dataset below; None if it is missing or empty."""
        node = self.get(path)
        if node is None or not node.is_dataset:
            return None
        return "; ".join(node.texts()).strip() or None

    def child_number(self, path: str) -> float | None:
        """Return the number of a scalar dataset below; None if it is missing or no number."""
        node = self.get(path)
        if node is None or not node.is_dataset or not np.issubdtype(node.dtype, np.number):
            return None
        values = np.atleast_1d(node.read()).ravel()
        return float(values[0]) if values.size == 1 else None


def _as_text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def decode_attribute(value: Any) -> Any:  # noqa: ANN401 - any value of an attribute
    """Return an attribute with text decoded: one text as str, several as a tuple, numbers as is."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray) and value.dtype.kind in "SUO":
        texts = tuple(_as_text(item) for item in value.ravel())
        return texts[0] if value.ndim == 0 else texts
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return value[()]
    return value


def path_in_folder(file: Path, target: str) -> Path | None:
    """Return the path of another file that `file` names, if it lies in the folder of `file`.

    Args:
        file: The file that holds the link.
        target: Path of the other file, relative to the folder of `file`.

    Returns:
        The path; None if it leads out of the folder. Symbolic links of the file system are not
        resolved: data managers as git-annex keep files elsewhere.
    """
    folder = file.parent.absolute()
    path = Path(os.path.normpath(folder / target))
    return path if path != folder and path.is_relative_to(os.path.normpath(folder)) else None


@contextlib.contextmanager
def open_tree(path: Path) -> Iterator[Node]:
    """Open an NWB file or store for reading and yield its root.

    Args:
        path: A file of HDF5, or a folder of Zarr.

    Raises:
        RecordingError: The file is damaged or no NWB, or the library that reads it is missing.
    """
    if path.is_dir():
        require_extra("zarr", "zarr", path)
        from omnimouse_cli.recording.nwb.zarr_node import open_zarr

        yield open_zarr(path)
        return
    require_extra("h5py", "nwb", path)
    from omnimouse_cli.recording.nwb.hdf5_node import open_hdf5

    with path.open("rb") as file:
        signature = file.read(len(HDF5_SIGNATURE))
    if signature != HDF5_SIGNATURE:
        hint = "download or copy the file again"
        if signature.startswith((b"version ", b"/annex/")):
            hint = (
                "this is a placeholder of git; get the data first (`git lfs pull`, `datalad get`)"
            )
        raise RecordingError(f"{path} is no HDF5 file, which NWB is", hint=hint)
    with open_hdf5(path) as root:
        yield root
