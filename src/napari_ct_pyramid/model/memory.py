"""Measures the memory of this process, and makes arrays whose memory returns to the operating system."""

from __future__ import annotations

import math
import mmap
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np  # not at run time: napari asks our readers for every file, and they need no more than `pages`

PROCESS_BYTES = 150_000_000
"""Memory of a process without buffers: measured 65 to 125 MB, with the libraries that read the source or use S3."""

_GROWTH_BYTES = 25_000_000  # of the libraries that a process may still import when the source is open, measured


def own_array(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Zeros in pages of their own, which return to the system as soon as the array is freed.

    The allocator keeps an unpredictable part of other arrays' memory, and the next conversion in the same process would
    have less.
    """
    import numpy as np

    size = max(1, math.prod(shape) * dtype.itemsize)
    # By default, such pages are shared with child processes, which makes them slower.
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE) if os.name == "posix" else mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_HUGEPAGE"):  # as numpy does
        with suppress(OSError):
            pages.madvise(mmap.MADV_HUGEPAGE)
    return np.ndarray(shape, dtype, pages)


def page_buffer(size: int) -> memoryview:
    """Memory for at least `size` bytes that begins and ends at a page boundary."""
    import numpy as np

    return own_array((pages(size),), np.dtype(np.uint8)).data


def resident_memory() -> int:
    """Resident memory of this process now, in bytes."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def machine_memory() -> int:
    """Memory of this machine, in bytes."""
    import psutil

    return int(psutil.virtual_memory().total)


def process_memory() -> int:
    """Resident memory that this process will reach without a conversion's buffers, in bytes."""
    return max(PROCESS_BYTES, resident_memory() + _GROWTH_BYTES)


def peak_resident_memory() -> int:
    """Peak resident memory of this process so far, in bytes."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    if sys.platform == "linux":
        # Not ru_maxrss, which starts at the memory of the parent when it started this process.
        high_water = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
        if high_water:
            return int(high_water[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def pages(size: int) -> int:
    """The size rounded up to whole pages, in bytes."""
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
