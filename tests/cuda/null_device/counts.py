"""The counts that the null device keeps of a program's calls."""

import struct
from dataclasses import dataclass
from pathlib import Path

# In the order of `enum count` in device.h.
NAMES = (
    "launches",
    "driver_launches",
    "graph_launches",
    "products",
    "synchronizations",
    "pinned_copies",
    "pageable_copies",
    "copies_back",
    "bytes_to_device",
    "bytes_back",
    "allocations",
    "bytes_allocated",
    "peak_bytes",
)
KERNEL_NAME_BYTES = 248


@dataclass(frozen=True, slots=True)
class Counts:
    """Calls of a program until now.

    Args:
        values: Number by name, see device.h.
        kernels: Launches of each kernel that was compiled while the program ran, by its name.
    """

    values: dict[str, int]
    kernels: dict[str, int]

    def __getitem__(self, name: str) -> int:
        return self.values[name]


def read_counts(path: Path) -> Counts:
    """Read a file of counts, of a program that runs or has ended."""
    content = path.read_bytes()
    head = struct.Struct(f"{len(NAMES)}Q")
    kernels = struct.iter_unpack(f"{KERNEL_NAME_BYTES}sQ", content[head.size :])
    values = dict(zip(NAMES, head.unpack(content[: head.size]), strict=True))
    found = {name.rstrip(b"\0").decode(): launches for name, launches in kernels if name[0]}
    return Counts(values, found)
