"""How much memory this process holds, as the operating system counts it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import psutil


def resident_memory() -> int:
    """Resident memory now, in bytes."""
    return int(psutil.Process().memory_info().rss)


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
