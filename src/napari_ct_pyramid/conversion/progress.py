"""What a conversion says of itself: `Progress` on the way, a `Receipt` at the end."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

from napari_ct_pyramid.model.blocks import Region, Stage
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.model.statistics import Statistics
from napari_ct_pyramid.omezarr.journal import BlockId
from napari_ct_pyramid.storage.paths import AnyPath

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


class ProgressTracker:
    """The blocks of a plan.

    Parameters
    ----------
    plan : Plan
    done : mapping, optional
        Blocks that need not be done again, and the tallies of their voxels.
    only : BlockId, optional
        The one block that is to be done, where it is not all of them.

    Attributes
    ----------
    blocks_done : int
        Blocks whose chunks are all safely on disk.
    bytes_done : int
        Bytes of the source's voxels that have been read, now or before.
    statistics : Statistics
        Of level 0, in the blocks that are done.
    """

    def __init__(
        self, plan: Plan, done: Mapping[BlockId, Statistics] | None = None, only: BlockId | None = None
    ) -> None:
        self._plan = plan
        self._done = done or {}
        self._only = only
        self._rows_total = sum(self.rows_of(stage, region) for stage in plan.stages for region in stage.blocks())
        self.rows_done = 0
        self.blocks_done = 0
        self.bytes_done = 0
        self.statistics = Statistics()
        for number, stage in enumerate(plan.stages):
            for block, region in enumerate(stage.blocks()):
                if (number, block) in self._done:
                    self.count_rows(stage, self.rows_of(stage, region))
                    self.count_block(self._done[number, block])

    @property
    def fraction(self) -> float:
        """Of the work, from 0 to 1."""
        return self.rows_done / self._rows_total

    def todo(self, number: int) -> list[tuple[int, Region]]:
        """The blocks of a stage that are to be done: the number of each, and where it lies."""
        blocks = enumerate(self._plan.stages[number].blocks())
        if self._only:
            return [(n, region) for n, region in blocks if (number, n) == self._only]
        return [(n, region) for n, region in blocks if (number, n) not in self._done]

    def rows_of(self, stage: Stage, region: Region) -> int:
        """Rows that a stage reads for a region of its base level; the source has no padding."""
        z0, z1, y0, y1 = region
        if stage.from_source:
            depth, rows, _ = self._plan.volume.shape
            z0, z1, y0, y1 = min(z0, depth), min(z1, depth), min(y0, rows), min(y1, rows)
        return (z1 - z0) * (y1 - y0)

    def count_rows(self, stage: Stage, rows: int) -> None:
        """So many more rows of a stage's base level have been read."""
        volume = self._plan.volume
        self.rows_done += rows
        if stage.from_source:
            self.bytes_done += rows * volume.shape[2] * volume.dtype.itemsize

    def count_block(self, statistics: Statistics) -> None:
        """One more block is done."""
        self.blocks_done += 1
        self.statistics += statistics
