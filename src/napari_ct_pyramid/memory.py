"""How much memory this process holds, as the operating system counts it."""

from __future__ import annotations

import sys

import psutil


def resident_memory() -> int:
    """Resident memory now, in bytes."""
    return int(psutil.Process().memory_info().rss)


def peak_resident_memory() -> int:
    """The most resident memory so far, in bytes."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB
