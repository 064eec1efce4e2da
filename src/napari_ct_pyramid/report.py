"""What a conversion says of itself: `Progress` on the way, a `Receipt` at the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar

from .levels import Level
from .paths import AnyPath
from .plan import Plan
from .rescale import Rescale
from .tally import Tally

Step = TypeVar("Step")
Result = TypeVar("Result")


def run_through(steps: Generator[Step, None, Result], show: Callable[[Step], object] | None = None) -> Result:
    """Run a job to its end, show each step, and give what it returns. It is cancelled if it cannot be shown."""
    with closing(steps):
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                result: Result = end.value
                return result
            if show:
                show(step)


@dataclass(frozen=True)
class Progress:
    """How far a conversion is.

    Attributes
    ----------
    output : Path or RemotePath
    plan : Plan
        What is being done; the same in every progress of a conversion.
    blocks_done, blocks : int
        Blocks whose chunks are all safely on disk, and all blocks.
    bytes_done, bytes_total : int
        Of the source's voxels.
    seconds : float
        Since the first voxel was read, without pauses between an interruption and going on.
    fraction : float
        Of all the work, from 0 to 1.
    """

    output: AnyPath
    plan: Plan
    blocks_done: int
    blocks: int
    bytes_done: int
    bytes_total: int
    seconds: float
    fraction: float

    @property
    def bytes_per_second(self) -> float:
        """Voxels of the source a second, in bytes."""
        return self.bytes_done / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """At the rate so far; None before there is one."""
        return self.seconds * (1 - self.fraction) / self.fraction if self.fraction else None


@dataclass(frozen=True)
class Rescaled:
    """What became of voxels that were stored as integers of fewer bits.

    Attributes
    ----------
    rescale : Rescale
        What was done to them.
    minimum, maximum : float
        Of the finite voxels of the source, as they were; inf and -inf where there is none.
    clipped : int
        Voxels outside of the window, infinities among them.
    clipped_share : float
        Of all voxels of the source, from 0 to 1.
    """

    rescale: Rescale
    minimum: float
    maximum: float
    clipped: int
    clipped_share: float

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it."""
        empty = self.minimum > self.maximum  # infinity is no JSON
        return {
            **self.rescale.to_json(),
            "minimum": None if empty else self.minimum,
            "maximum": None if empty else self.maximum,
            "clipped": self.clipped,
            "clipped_share": self.clipped_share,
        }


def rescaled(plan: Plan, tally: Tally) -> Rescaled | None:
    """What became of the voxels of a conversion; None where they stayed as they were."""
    if plan.rescale is None:
        return None
    share = tally.clipped / math.prod(plan.volume.shape)
    return Rescaled(plan.rescale, tally.minimum, tally.maximum, tally.clipped, share)


@dataclass(frozen=True)
class Receipt:
    """What a conversion made, and what it took.

    Attributes
    ----------
    output : Path or RemotePath
    ome_zarr_version : str
    levels : tuple of Level
    seconds : float
        From the request to the finished volume; with those of blocks that were done before an interruption.
    bytes_read, bytes_written : int
        Voxels read from the source; files written.
    peak_memory_bytes : int
        Peak resident memory of the process; on a cluster the largest of any worker.
    minimum, maximum : float
        Of the finite voxels of level 0, as they are stored.
    nans, infinities : int
        Voxels of the source that are not finite.
    window : tuple of float
        The display window: the 0.1 and 99.9 percentiles of the coarsest level, as stored.
    rescaled : Rescaled or None
        What became of the voxels where another type was asked for.
    workers : int
        Of a cluster, that made blocks; 0 where this process did.
    """

    output: AnyPath
    ome_zarr_version: str
    levels: tuple[Level, ...]
    seconds: float
    bytes_read: int
    bytes_written: int
    peak_memory_bytes: int
    minimum: float
    maximum: float
    nans: int
    infinities: int
    window: tuple[float, float]
    rescaled: Rescaled | None = None
    workers: int = 0

    @property
    def bytes_per_second(self) -> float:
        """Voxels of the source a second, in bytes, everything included."""
        return self.bytes_read / self.seconds

    @property
    def gb_per_s(self) -> float:
        """The same in gigabytes (10**9 bytes)."""
        return self.bytes_per_second / 1e9

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it."""
        return {
            "output": str(self.output),
            "ome_zarr_version": self.ome_zarr_version,
            "levels": [level.to_json() for level in self.levels],
            "seconds": round(self.seconds, 3),
            "bytes_read": self.bytes_read,
            "bytes_written": self.bytes_written,
            "peak_memory_bytes": self.peak_memory_bytes,
            "gb_per_s": round(self.gb_per_s, 4),
            "minimum": self.minimum,
            "maximum": self.maximum,
            "nans": self.nans,
            "infinities": self.infinities,
            "window": list(self.window),
            "rescaled": self.rescaled.to_json() if self.rescaled else None,
            "workers": self.workers,
        }
