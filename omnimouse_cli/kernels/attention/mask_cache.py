"""A cache of masks that is bounded by the memory they take."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Mask = TypeVar("Mask")


class MaskCache(Generic[Key, Mask]):
    """Keeps the most recently used masks; threads may share it.

    Args:
        build: Builds the mask of a key.
        size_bytes: Returns the memory of a mask.
        limit_bytes: Largest memory of all masks; the newest is kept whatever its size.
    """

    def __init__(
        self, build: Callable[[Key], Mask], size_bytes: Callable[[Mask], int], limit_bytes: int
    ) -> None:
        self._build = build
        self._size_bytes = size_bytes
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[Key, tuple[Mask, int]] = OrderedDict()
        self.used_bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Key) -> Mask:
        """Return the mask of a key; build it if it is not cached."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]
            mask = self._build(key)
            size = self._size_bytes(mask)
            self._kept[key] = (mask, size)
            self.used_bytes += size
            while self.used_bytes > self._limit_bytes and len(self._kept) > 1:
                _, (_, dropped) = self._kept.popitem(last=False)
                self.used_bytes -= dropped
            return mask
