"""How much memory this process holds, as the operating system counts it; and arrays that give theirs back to it."""

from __future__ import annotations

import math
import mmap
import os
import re
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil

PROCESS_BYTES = 180_000_000
"""The bare process: the interpreter with numpy, tifffile, tensorstore and ome-zarr imported, measured."""

_GROWTH_BYTES = 60_000_000  # of a process that has begun already: what it may still import, measured;
_LATER_GROWTH_BYTES = 10_000_000  # and of one that has imported all of it


def own_array(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Zeros in pages of their own, which the system has back as soon as the array is gone.

    What other arrays leave stays with the process in amounts that nobody can foresee, and the next conversion in the
    same process would have to do with less.
    """
    size = max(1, math.prod(shape) * dtype.itemsize)
    # By default, where there is a choice, such pages are made to be shared with other processes, and slower.
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE) if os.name == "posix" else mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_HUGEPAGE"):  # as numpy does
        with suppress(OSError):
            pages.madvise(mmap.MADV_HUGEPAGE)
    return np.ndarray(shape, dtype, pages)


def page_buffer(size: int) -> memoryview:
    """Memory for `size` bytes that begins and ends at a page."""
    return own_array((pages(size),), np.dtype(np.uint8)).data


def resident_memory() -> int:
    """Resident memory now, in bytes."""
    return int(psutil.Process().memory_info().rss)


def process_memory() -> int:
    """What the process will hold without a conversion's buffers, in bytes."""
    growth = _LATER_GROWTH_BYTES if "ome_zarr.writer" in sys.modules else _GROWTH_BYTES
    return max(PROCESS_BYTES, resident_memory() + growth)


def peak_resident_memory() -> int:
    """The most resident memory so far, in bytes."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    if sys.platform == "linux":
        # Not ru_maxrss, which begins at what the parent held when it started this process.
        high_water = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
        if high_water:
            return int(high_water[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def pages(size: int) -> int:
    """Bytes of the whole pages that hold so many."""
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
