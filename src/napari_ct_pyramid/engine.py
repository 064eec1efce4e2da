"""Carries a plan out: walks blocks and cells depth first, with a few threads and the plan's buffers.

Knows where voxels come from and go to only as something to read rows of and something to write chunks to.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from . import downsample
from .chunkgrid import ChunkGrid
from .plan import Plan
from .stages import Region, Stage, read_rows
from .volume import Triple

T = TypeVar("T")
R = TypeVar("R")


class Rows(Protocol):
    """Where the source's voxels come from."""

    def read(self, z0: int, z1: int, y0: int, y1: int, out: np.ndarray, /) -> None:
        """Fill `out` (z, y, x) with a region, all of x. Several threads call this at once."""


class Chunks(Protocol):
    """Where the levels go to. Several threads call it at once."""

    def read_chunk(self, level: int, index: Triple, /) -> np.ndarray:
        """A chunk that was written, in a buffer of the calling thread's."""

    def write_chunk(self, level: int, index: Triple, voxels: np.ndarray, /) -> Future[None]:
        """Write a chunk; it is safely on disk when the future is done."""


class Stopped(Exception):
    """The engine was stopped from outside."""


Writes = list[Future[Future[None]]]
"""Chunks being written. The outer futures: their voxels are no longer needed; the inner: safely on disk."""


class _Turns(Generic[T]):
    """The buffers of a level, used in turns."""

    def __init__(self, buffers: Iterable[T]) -> None:
        self._buffers = deque(buffers)
        self._writes: deque[Writes] = deque()

    def next(self) -> T:
        """The buffer used longest ago, once what it held has been written."""
        if len(self._writes) == len(self._buffers):
            for write in self._writes.popleft():
                write.result()
        self._buffers.rotate()
        return self._buffers[0]

    def keep(self, writes: Writes) -> None:
        """Leave the buffer just used alone until these are done."""
        self._writes.append(writes)


@dataclass
class _Bench:
    """A stage at work. Voxels of the source are kept chunk by chunk, those of a level above as one array."""

    stage: Stage
    grids: _Turns[ChunkGrid]
    cells: dict[int, _Turns[np.ndarray]]


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
        self._pool = ThreadPoolExecutor(plan.threads, "ct-pyramid")
        self._own = threading.local()
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._writes: Writes = []  # of the block at work
        self._unsafe_blocks: deque[Writes] = deque()
        self._rows_total = sum(_rows_of(plan, stage) for stage in plan.stages)
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
        """End as soon as the rows and chunks now in hand are done, and wait for that."""
        self._stop.set()
        if self._conductor.is_alive():
            self._conductor.join()
        self._pool.shutdown()

    def _conduct(self) -> None:
        try:
            for stage in self._plan.stages:
                self._run_stage(stage)
        except BaseException as error:  # noqa: BLE001  handed to whoever waits
            self._error = error
            self._stop.set()

    def _run_stage(self, stage: Stage) -> None:
        dtype = self._plan.volume.dtype
        bench = _Bench(
            stage,
            grids=_Turns(
                ChunkGrid(stage.cell_shape(0), self._plan.levels[0].chunks, dtype) for _ in range(stage.grids)
            ),
            cells={
                level: _Turns([np.empty(stage.cell_shape(level), dtype)])
                for level in range(max(1, stage.base), stage.top + 1)
            },
        )
        steps = stage.top - stage.base
        for z0, z1, y0, y1 in stage.blocks():
            for cell in stage.cells((z0 >> steps, z1 >> steps, y0 >> steps, y1 >> steps)):
                self._make(bench, stage.top, cell, None)
            self._unsafe_blocks.append(self._writes)
            self._writes = []
            self._count_blocks(wait=False)
        # The next stage reads what this one wrote, and the volume is whole only when all of it is safe.
        self._count_blocks(wait=True)

    def _make(self, bench: _Bench, level: int, region: Region, into: np.ndarray | None) -> None:
        """Make a cell: get its voxels, average them `into` its quadrant of the cell above, write them."""
        if level == 0:
            self._make_from_source(bench, region, into)
            return
        stage = bench.stage
        z0, z1, y0, y1 = region
        cell = bench.cells[level].next()[: z1 - z0, : y1 - y0]
        if level == stage.base:
            self._read_back(level, region, cell)
        else:
            for part in stage.cells((2 * z0, 2 * z1, 2 * y0, 2 * y1)):
                z, y = part[0] // 2 - z0, part[2] // 2 - y0
                quadrant = cell[z : z + (part[1] - part[0]) // 2, y : y + (part[3] - part[2]) // 2]
                self._make(bench, level - 1, part, quadrant)
        if into is not None:
            depth = into.shape[0]
            self._all(lambda z: downsample.halve(cell[2 * z : 2 * z + 2], into[z : z + 1]), range(depth))
        if level != stage.base:
            writes = self._write(level, region, lambda box: cell[box])
            bench.cells[level].keep(writes)

    def _make_from_source(self, bench: _Bench, region: Region, into: np.ndarray | None) -> None:
        """Read two slices at a time, some rows at once, and average and sort them while the cache holds them."""
        volume = self._plan.volume
        z0, z1, y0, y1 = region
        step = read_rows(volume, bench.stage.cell[1])
        grid = bench.grids.next()

        def read(z: int) -> tuple[int, float, float]:
            slices = max(0, min(z + 2, volume.shape[0]) - z)
            low, high = np.inf, -np.inf
            for y in range(y0, y1, step):
                end = min(y + step, y1)
                rows = self._own_rows(step)[:, : end - y]
                rows[slices:] = 0  # padding
                if slices:
                    self._source.read(z, z + slices, y, end, rows[:slices])
                    least, most = _finite_extremes(rows[:slices])
                    low, high = min(low, least), max(high, most)
                for i in range(min(2, z1 - z)):
                    grid.put(z + i - z0, y - y0, rows[i])
                if into is not None:
                    half = (z - z0) // 2
                    downsample.halve(rows, into[half : half + 1, (y - y0) // 2 : (end - y0) // 2])
            return slices, low, high

        for reading in self._begin(read, range(z0, z1, 2)):
            slices, low, high = reading.result()
            self._rows_done += slices * (y1 - y0)
            self.bytes_done += slices * (y1 - y0) * volume.shape[2] * volume.dtype.itemsize
            self.extremes = (min(self.extremes[0], low), max(self.extremes[1], high))
        bench.grids.keep(self._write(0, region, lambda box: grid.chunk(box)))

    def _own_rows(self, rows: int) -> np.ndarray:
        """This thread's buffer for rows of two slices."""
        if not hasattr(self._own, "rows"):
            volume = self._plan.volume
            self._own.rows = np.empty((2, rows, volume.shape[2]), volume.dtype)
        buffer: np.ndarray = self._own.rows
        return buffer

    def _write(self, level: int, region: Region, voxels: Callable[[tuple[slice, ...]], np.ndarray]) -> Writes:
        """Begin to write a cell chunk by chunk; `voxels` gives those of a box within the cell."""

        def write(index: Triple) -> Future[None]:
            return self._store.write_chunk(level, index, voxels(self._box(level, region, index)))

        writes = self._begin(write, self._chunks(level, region))
        self._writes += writes
        return writes

    def _read_back(self, level: int, region: Region, cell: np.ndarray) -> None:
        """Read a cell that an earlier stage wrote."""

        def read(index: Triple) -> None:
            cell[self._box(level, region, index)] = self._store.read_chunk(level, index)

        self._all(read, self._chunks(level, region))
        self._rows_done += (region[1] - region[0]) * (region[3] - region[2])

    def _chunks(self, level: int, region: Region) -> Iterator[Triple]:
        """Indices of the chunks in a region."""
        z0, z1, y0, y1 = region
        (cz, cy, cx), width = self._plan.levels[level].chunks, self._plan.levels[level].shape[2]
        return itertools.product(range(z0 // cz, -(-z1 // cz)), range(y0 // cy, -(-y1 // cy)), range(-(-width // cx)))

    def _box(self, level: int, region: Region, index: Triple) -> tuple[slice, ...]:
        """Where a chunk lies within the cell of a region."""
        z0, z1, y0, y1 = region
        extent = (z1 - z0, y1 - y0, self._plan.levels[level].shape[2])
        starts = (i * c - o for i, c, o in zip(index, self._plan.levels[level].chunks, (z0, y0, 0), strict=True))
        return tuple(
            slice(start, min(start + c, n))
            for start, c, n in zip(starts, self._plan.levels[level].chunks, extent, strict=True)
        )

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
        """Count the blocks that are safely on disk; all that were begun, if need be by waiting."""
        while self._unsafe_blocks:
            writes = self._unsafe_blocks[0]
            if not wait and not all(write.done() and write.result().done() for write in writes):
                return
            for write in writes:
                write.result().result()
            self._unsafe_blocks.popleft()
            self.blocks_done += 1


def _rows_of(plan: Plan, stage: Stage) -> int:
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
