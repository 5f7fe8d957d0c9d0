"""Memory that a step frees stays with the process, for the next step."""

import contextlib
import ctypes

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Tell glibc's malloc not to give memory back to the system between steps.

    By default every large tensor is mapped anew, page by page, in every step: a third of the time
    of a short step on a CPU. The most that a step ever needed stays resident until the process
    ends. Other allocators are left as they are.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, _NEVER)
