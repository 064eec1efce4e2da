"""What of a plan is to be done, and how far that is, whoever does it."""

from __future__ import annotations

from collections.abc import Mapping

from .journal import BlockId
from .plan import Plan
from .stages import Region, Stage
from .tally import Tally


class Work:
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
    tally : Tally
        Of level 0, in the blocks that are done.
    """

    def __init__(self, plan: Plan, done: Mapping[BlockId, Tally] | None = None, only: BlockId | None = None) -> None:
        self._plan = plan
        self._done = done or {}
        self._only = only
        self._rows_total = sum(self.rows_of(stage, region) for stage in plan.stages for region in stage.blocks())
        self.rows_done = 0
        self.blocks_done = 0
        self.bytes_done = 0
        self.tally = Tally()
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

    def count_block(self, tally: Tally) -> None:
        """One more block is done."""
        self.blocks_done += 1
        self.tally += tally
