"""Reading a shard: its description, and its tensors as memory-mapped arrays."""

import errno
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import ShardError
from omnimouse_cli.shard.checksum import compute_checksum, require_known_algorithm
from omnimouse_cli.shard.description import BehaviorDescription, ShardDescription, from_json
from omnimouse_cli.shard.format import NUMPY_DTYPES, Header, TensorEntry, read_header

# Errors of systems for files that cannot be mapped; `rust/src/memory/file.rs` has the same list.
UNMAPPABLE = (errno.ENODEV, errno.EACCES, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
# Prefixes of recorded values, which are read in parts. All other tensors are small and are compared
# with their checksum, so that nothing is derived from damaged bytes.
RECORDED = ("responses", "screen.frames", "behavior.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialTable:
    """The trials of a session, one row each.

    Args:
        start_seconds: float64 `(trials,)`, from the recording's origin.
        end_seconds: float64 `(trials,)`.
        tier: int32 `(trials,)`: row of the description's `tiers`, -1 for none.
        kind: int32 `(trials,)`: row of `kinds`.
        condition: int32 `(trials,)`: row of `conditions`, -1 for none.
    """

    start_seconds: NDArray[np.float64]
    end_seconds: NDArray[np.float64]
    tier: NDArray[np.int32]
    kind: NDArray[np.int32]
    condition: NDArray[np.int32]


class Shard:
    """One session; its arrays are read on demand.

    Args:
        path: The file.
        header: Header of the file.
        description: Description of the session, from the header.
    """

    def __init__(self, path: Path, header: Header, description: ShardDescription) -> None:
        self.path = path
        self.header = header
        self.description = description
        self._verified: set[str] = set()

    @cached_property
    def _bytes(self) -> NDArray[np.uint8] | None:
        try:
            return np.memmap(self.path, dtype=np.uint8, mode="r", offset=self.header.data_start)
        except OSError as error:
            if error.errno not in UNMAPPABLE:
                raise
            return None

    @property
    def is_mapped(self) -> bool:
        """Whether the file is memory-mapped; arrays are read on access if it cannot be."""
        return self._bytes is not None

    def tensor(self, name: str) -> NDArray[Any]:
        """Return the tensor `name` as a read-only view of the file; bfloat16 as its bits in uint16.

        Tensors other than recorded values are compared with their checksum at their first use.

        Raises:
            ShardError: The shard has no such tensor, or it is damaged.
        """
        entry = self._entry(name)
        if self._bytes is None:
            values = self._read(name, 0, entry.shape[0])
        else:
            values = np.ndarray(
                entry.shape,
                dtype=NUMPY_DTYPES[entry.dtype],
                buffer=self._bytes.data,
                offset=entry.first_byte,
            )
        if name not in self._verified and not name.startswith(RECORDED):
            require_checksum(self, name, compute_checksum(values.tobytes()))
            self._verified.add(name)
        return values

    def _entry(self, name: str) -> TensorEntry:
        entry = self.header.tensors.get(name)
        if entry is None:
            raise ShardError(
                f"{self.path} has no tensor `{name}`: it has {', '.join(self.header.tensors)}"
            )
        return entry

    def _read(self, name: str, first: int, last: int) -> NDArray[Any]:
        entry, dtype = self._entry(name), NUMPY_DTYPES[self._entry(name).dtype]
        width = math.prod(entry.shape[1:])
        first_byte = self.header.data_start + entry.first_byte + first * width * dtype.itemsize
        count = (last - first) * width
        values = np.fromfile(self.path, dtype, count, offset=first_byte)
        if len(values) < count:
            raise ShardError(f"{self.path} has become shorter while tensor `{name}` was read")
        values.flags.writeable = False
        return values.reshape(last - first, *entry.shape[1:])

    def _optional(self, name: str) -> NDArray[Any] | None:
        return self.tensor(name) if name in self.header.tensors else None

    @property
    def response_dtype(self) -> str:
        """`F16`, `BF16` or `F32`."""
        return self.header.tensors["responses"].dtype

    @property
    def responses(self) -> NDArray[Any]:
        """`(samples, neurons)` as stored; bfloat16 as its bits, use `read_responses` for values."""
        return self.tensor("responses")

    def read_responses(self, first: int, last: int) -> NDArray[np.float32]:
        """Return responses of the rows `first` to `last` (exclusive): float32 `(rows, neurons)`."""
        if self._bytes is None:
            rows = range(self._entry("responses").shape[0])[first:last]
            stored = self._read("responses", rows.start, rows.stop)
        else:
            stored = self.responses[first:last]
        if self.response_dtype == "BF16":
            return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return stored.astype(np.float32)

    @property
    def frames(self) -> NDArray[np.uint8]:
        """uint8 `(frames, height, width)`: the distinct frames."""
        return self.tensor("screen.frames")

    @property
    def flip_seconds(self) -> NDArray[np.float64]:
        """float64 `(flips,)`: time at which each frame appeared, in seconds."""
        return self.tensor("screen.flip_seconds")

    @property
    def frame_index(self) -> NDArray[np.int64]:
        """int64 `(flips,)`: the row of `frames` that is shown from a flip on."""
        return self.tensor("screen.frame_index")

    def behavior(self, name: str) -> NDArray[np.float32]:
        """Return a behavior signal, float32 `(samples, channels)`; missing samples are NaN."""
        return self.tensor(f"behavior.{name}")

    def device(self, name: str) -> BehaviorDescription:
        """Return the description of a behavior signal.

        Raises:
            ShardError: The session has no such signal.
        """
        for device in self.description.behavior:
            if device.name == name:
                return device
        raise ShardError(f"{self.path} has no behavior signal `{name}`")

    @property
    def neuron_mean(self) -> NDArray[np.float32]:
        """float32 `(neurons,)` on the statistics tier."""
        return self.tensor("neurons.mean")

    @property
    def neuron_std(self) -> NDArray[np.float32]:
        """float32 `(neurons,)` on the statistics tier, ddof 0; 0 where a neuron is constant."""
        return self.tensor("neurons.std")

    @property
    def file_mean(self) -> NDArray[np.float32] | None:
        """float32 `(neurons,)`: means of the recording; None if it has none."""
        return self._optional("neurons.file_mean")

    @property
    def file_std(self) -> NDArray[np.float32] | None:
        """float32 `(neurons,)`: standard deviations of the recording; None if it has none."""
        return self._optional("neurons.file_std")

    @property
    def unit_id(self) -> NDArray[np.int64] | None:
        """int64 `(neurons,)`: unit numbers of the recording; None if it has none."""
        return self._optional("neurons.unit_id")

    @property
    def position_um(self) -> NDArray[np.float32] | None:
        """float32 `(neurons, 3)` in micrometres; None if the recording has none."""
        return self._optional("neurons.position_um")

    @property
    def delay_seconds(self) -> NDArray[np.float32] | None:
        """float32 `(neurons,)`: how long after its row's time each neuron was scanned, if known."""
        return self._optional("neurons.delay_seconds")

    @property
    def area(self) -> NDArray[np.str_] | None:
        """Text `(neurons,)`: visual areas, empty where one is not known; None without areas."""
        return self._texts("neurons.area", self.description.responses.areas)

    @property
    def layer(self) -> NDArray[np.str_] | None:
        """Text `(neurons,)`: cortical layers, as `area`."""
        return self._texts("neurons.layer", self.description.responses.layers)

    def _texts(self, tensor: str, names: tuple[str, ...]) -> NDArray[np.str_] | None:
        number = self._optional(tensor)
        # The number -1 of what is not known takes the last entry, an empty text.
        return None if number is None else np.array([*names, ""])[number]

    @property
    def trials(self) -> TrialTable:
        """The trials in the order of their time."""
        return TrialTable(
            start_seconds=self.tensor("trials.start_seconds"),
            end_seconds=self.tensor("trials.end_seconds"),
            tier=self.tensor("trials.tier"),
            kind=self.tensor("trials.kind"),
            condition=self.tensor("trials.condition"),
        )

    def valid(self, name: str) -> NDArray[np.float64]:
        """Return the half-open times in which a modality is valid: float64 `(intervals, 2)`."""
        return self.tensor(f"valid.{name}")


def require_checksum(shard: Shard, name: str, checksum: str) -> None:
    """Check that the bytes of a tensor are those that were written.

    Args:
        shard: The shard.
        name: Name of the tensor.
        checksum: Checksum of the bytes that were read.

    Raises:
        LaterVersionError: The stored checksum has an unknown algorithm.
        ShardError: The bytes are others, or the shard has no checksum of the tensor.
    """
    expected = shard.description.checksums.get(name, "")
    if expected:
        require_known_algorithm(expected, shard.path)
    if checksum != expected:
        raise ShardError(
            f"{shard.path} is damaged: tensor `{name}` does not match its checksum",
            hint="copy it again, or run `omnimouse preprocess --force` on its recording",
        )


def open_shard(path: Path) -> Shard:
    """Open a shard; its length and header are checked, its data are not read.

    Raises:
        ShardError: The file is missing, no shard, of a later version, damaged or cut short.
    """
    header = read_header(path)
    try:
        description = from_json(header.description)
    except ValueError as error:
        raise ShardError(
            f"{path} is damaged: {error}", hint="preprocess the recording again"
        ) from error
    for name in _required(description):
        if name not in header.tensors:
            raise ShardError(
                f"{path} is damaged: tensor `{name}` is missing",
                hint="preprocess the recording again",
            )
    return Shard(path, header, description)


def _required(description: ShardDescription) -> list[str]:
    names = ["responses", "neurons.mean", "neurons.std"]
    names += [f"trials.{column}" for column in TrialTable.__dataclass_fields__]
    names += [f"valid.{modality}" for modality in description.modalities]
    names += [f"behavior.{device.name}" for device in description.behavior]
    if description.screen is not None:
        names += ["screen.frames", "screen.flip_seconds", "screen.frame_index"]
    return names
