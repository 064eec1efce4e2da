"""Carries a plan out: walks blocks and cells depth first, with a few threads and one buffer a level.

Knows where voxels come from and go to only as something to read rows of and something to write chunks to.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from . import downsample
from .plan import Plan, Region, Stage
from .volume import Triple

T = TypeVar("T")
R = TypeVar("R")

# Rows are read and averaged in groups that a core's second-level cache holds.
_GROUP_BYTES = 1_000_000


class Rows(Protocol):
    """Where the source's voxels come from."""

    def read(self, z0: int, z1: int, y0: int, y1: int, out: np.ndarray, /) -> None:
        """Fill `out` (z, y, x) with a region, all of x. Several threads call this at once."""


class Chunks(Protocol):
    """Where the levels go to. Several threads call it at once."""

    def read_chunk(self, level: int, index: Triple, /) -> np.ndarray:
        """A chunk that was written, in a buffer of the calling thread."""

    def write_chunk(self, level: int, index: Triple, voxels: np.ndarray, /) -> Future[None]:
        """Write a chunk; it is safely on disk when the future is done."""


class Stopped(Exception):
    """The engine was stopped from outside."""


Writes = list[Future[Future[None]]]
"""Chunks being written. The outer future: its voxels are no longer needed; the inner one: safely on disk."""


@dataclass
class _Bench:
    """A stage at work: buffers for the cell of each level, in turns, and who still reads them."""

    stage: Stage
    buffers: dict[int, list[np.ndarray]]
    writes: dict[int, list[Writes]]

    def cell(self, level: int, region: Region) -> np.ndarray:
        """The buffer of a level whose turn it is, cut to a region, once it is no longer being read."""
        turns, writes = self.buffers[level], self.writes[level]
        turns.append(turns.pop(0))
        if len(writes) == len(turns):
            for write in writes.pop(0):
                write.result()
        z0, z1, y0, y1 = region
        return turns[-1][: z1 - z0, : y1 - y0]


class Engine:
    """Runs a plan in threads of its own.

    Attributes
    ----------
    blocks_done : int
        Blocks whose chunks are all safely on disk.
    bytes_done : int
        Bytes of the source's voxels that have been read.
    extremes : tuple of float
        Minimum and maximum of the finite voxels so far; (inf, -inf) while there are none.
    """

    def __init__(self, source: Rows, plan: Plan, store: Chunks) -> None:
        self._source = source
        self._plan = plan
        self._store = store
        self._conductor = threading.Thread(target=self._conduct, name="ct-pyramid")
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._pool = ThreadPoolExecutor(plan.threads, "ct-pyramid")
        self._writes: Writes = []  # of the block at work
        self._unsafe_blocks: deque[Writes] = deque()
        self._rows_total = sum(_rows(plan, stage) for stage in plan.stages)
        self._rows_done = 0
        self.blocks_done = 0
        self.bytes_done = 0
        self.extremes = (np.inf, -np.inf)

    @property
    def fraction(self) -> float:
        """Of the work, from 0 to 1."""
        return self._rows_done / self._rows_total

    def start(self) -> None:
        """Begin, in the background."""
        self._conductor.start()

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; True once everything is done.

        Raises
        ------
        Exception
            Whatever stopped the engine.
        """
        self._conductor.join(seconds)
        if self._conductor.is_alive():
            return False
        if self._error:
            raise self._error
        return True

    def stop(self) -> None:
        """End as soon as the rows that are being read have been read, and wait for that."""
        self._stop.set()
        if self._conductor.is_alive():
            self._conductor.join()
        self._pool.shutdown()

    def _conduct(self) -> None:
        try:
            for stage in self._plan.stages:
                self._run_stage(stage)
        except BaseException as error:  # handed to whoever waits
            self._error = error
            self._stop.set()

    def _run_stage(self, stage: Stage) -> None:
        levels = range(stage.base, stage.top + 1)
        buffers = {
            level: [np.empty(stage.cell_shape(level), self._plan.volume.dtype) for _ in range(stage.cell_buffers(level))]
            for level in levels
        }
        bench = _Bench(stage, buffers, {level: [] for level in levels})
        steps = stage.top - stage.base
        for z0, z1, y0, y1 in stage.blocks():
            for cell in stage.cells((z0 >> steps, z1 >> steps, y0 >> steps, y1 >> steps)):
                self._make(bench, stage.top, cell, None)
            self._unsafe_blocks.append(self._writes)
            self._writes = []
            self._count_blocks(wait=False)
        # The next stage reads what this one wrote, and the volume is whole only when all is safe.
        self._count_blocks(wait=True)

    def _make(self, bench: _Bench, level: int, region: Region, into: np.ndarray | None) -> None:
        """Make a cell: fill its buffer, average it `into` its quadrant of the cell above, and write it."""
        stage = bench.stage
        z0, z1, y0, y1 = region
        cell = bench.cell(level, region)
        if level == 0:
            self._read_source(region, cell, into)
        elif level == stage.base:
            self._read_back(level, region, cell)
        else:
            for part in stage.cells((2 * z0, 2 * z1, 2 * y0, 2 * y1)):
                z, y = part[0] // 2 - z0, part[2] // 2 - y0
                quadrant = cell[z : z + (part[1] - part[0]) // 2, y : y + (part[3] - part[2]) // 2]
                self._make(bench, level - 1, part, quadrant)
        if level and into is not None:
            depth = into.shape[0]
            self._all(lambda z: downsample.halve(cell[2 * z : 2 * z + 2], into[z : z + 1]), range(depth))
        if level == 0 or level != stage.base:
            writes = self._write(level, region, cell)
            bench.writes[level].append(writes)
            self._writes += writes

    def _write(self, level: int, region: Region, cell: np.ndarray) -> Writes:
        """Begin to write a cell, chunk by chunk."""

        def write(index: Triple) -> Future[None]:
            return self._store.write_chunk(level, index, cell[self._box(level, region, index)])

        return self._begin(write, self._chunks(level, region))

    def _read_back(self, level: int, region: Region, cell: np.ndarray) -> None:
        """Read a cell that an earlier stage wrote."""

        def read(index: Triple) -> None:
            cell[self._box(level, region, index)] = self._store.read_chunk(level, index)

        self._all(read, self._chunks(level, region))
        self._rows_done += (region[1] - region[0]) * (region[3] - region[2])

    def _chunks(self, level: int, region: Region) -> Iterator[Triple]:
        """Indices of the chunks in a region."""
        z0, z1, y0, y1 = region
        bounds = ((z0, z1), (y0, y1), (0, self._plan.levels[level].shape[2]))
        chunks = self._plan.levels[level].chunks
        return itertools.product(
            *(range(start // c, -(-end // c)) for (start, end), c in zip(bounds, chunks, strict=True))
        )  # type: ignore[return-value]  # three ranges make triples

    def _box(self, level: int, region: Region, index: Triple) -> tuple[slice, ...]:
        """Where a chunk lies in the cell of a region."""
        origin, chunks = (region[0], region[2], 0), self._plan.levels[level].chunks
        return tuple(slice(i * c - o, (i + 1) * c - o) for i, c, o in zip(index, chunks, origin, strict=True))

    def _read_source(self, region: Region, cell: np.ndarray, into: np.ndarray | None) -> None:
        """Read two slices at a time, and average them while they are still in the cache."""
        z0, z1, y0, y1 = region
        volume = self._plan.volume
        rows = y1 - y0
        if volume.row_step == 1:
            row_bytes = 2 * volume.shape[2] * volume.dtype.itemsize
            rows = max(2, _GROUP_BYTES // row_bytes // 2 * 2)

        def read(z: int) -> tuple[int, float, float]:
            slices = max(0, min(z + 2, z1, volume.shape[0]) - z)
            both = cell[z - z0 : z - z0 + 2]
            both[slices:] = 0  # padding
            low, high = np.inf, -np.inf
            for y in range(y0, y1, rows):
                end = min(y + rows, y1)
                group = both[:, y - y0 : end - y0]
                if slices:
                    self._source.read(z, z + slices, y, end, group[:slices])
                    least, most = _finite_extremes(group[:slices])
                    low, high = min(low, least), max(high, most)
                if into is not None:
                    half = (z - z0) // 2
                    downsample.halve(group, into[half : half + 1, (y - y0) // 2 : (end - y0) // 2])
            return slices, low, high

        for slices, low, high in (one.result() for one in self._begin(read, range(z0, z1, 2))):
            self._rows_done += slices * (y1 - y0)
            self.bytes_done += slices * (y1 - y0) * volume.shape[2] * volume.dtype.itemsize
            self.extremes = (min(self.extremes[0], low), max(self.extremes[1], high))

    def _begin(self, work: Callable[[T], R], items: Iterable[T]) -> list[Future[R]]:
        """Have `work` done for every item, by all threads."""

        def unless_stopped(item: T) -> R:
            if self._stop.is_set():
                raise Stopped
            return work(item)

        return [self._pool.submit(unless_stopped, item) for item in items]

    def _all(self, work: Callable[[T], None], items: Iterable[T]) -> None:
        """Do `work` for every item, on all threads, and wait for it."""
        for one in self._begin(work, items):
            one.result()

    def _count_blocks(self, wait: bool) -> None:
        """Count the blocks that are safe; all of them, if need be by waiting."""
        while self._unsafe_blocks:
            writes = self._unsafe_blocks[0]
            if not wait and not all(write.done() and write.result().done() for write in writes):
                return
            for write in writes:
                write.result().result()
            self._unsafe_blocks.popleft()
            self.blocks_done += 1


def _rows(plan: Plan, stage: Stage) -> int:
    """Rows that a stage reads; the source has no padding."""
    depth = plan.volume.shape[0] if stage.base == 0 else stage.shape[0]
    return depth * stage.shape[1]


def _finite_extremes(array: np.ndarray) -> tuple[float, float]:
    low, high = array.min(), array.max()
    if array.dtype.kind == "f" and not (np.isfinite(low) and np.isfinite(high)):
        finite = array[np.isfinite(array)]
        if not finite.size:
            return np.inf, -np.inf
        low, high = finite.min(), finite.max()
    return float(low), float(high)
