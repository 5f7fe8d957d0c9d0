"""Settings of glibc's memory allocator for a process that trains or evaluates on a CPU."""

import contextlib
import ctypes

# Parameters of mallopt, from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Keep glibc's malloc from returning memory to the system between steps and batches.

    By default every large tensor is mapped anew, page by page, in every step: a third of the time
    of a short step on a CPU, and a twelfth of that of an evaluation. The peak memory stays resident
    until the process ends. All threads share one heap: memory in a heap of a single thread would be
    returned to the system. Other allocators are left as they are.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, _NEVER)
        mallopt(_ARENA_MAX, 1)
