"""A thread that has the stages of a plan done, one after another, and tells whoever waits what stopped it."""

from __future__ import annotations

import itertools
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from napari_ct_pyramid.model import downsample
from napari_ct_pyramid.model.blocks import Region, Stage, read_extent
from napari_ct_pyramid.model.memory import own_array
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.model.statistics import Statistics
from napari_ct_pyramid.omezarr.journal import Checksum
from napari_ct_pyramid.options import Triple

from .buffers import (
    Block,
    BufferRing,
    ChunkGrid,
    Chunks,
    ChunkWrite,
    FinishedBlock,
    PaddedReader,
    Rows,
    StageBuffers,
    Write,
)
from .progress import ProgressTracker


class Stopped(Exception):
    """It was stopped from outside."""


class BackgroundRunner(ABC):
    """Has a plan carried out in the background, whoever does the work.

    Parameters
    ----------
    plan : Plan
    name : str
        Of the thread.
    """

    def __init__(self, plan: Plan, name: str) -> None:
        self._plan = plan
        self._thread = threading.Thread(target=self._conduct, name=name)
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._failing = threading.Lock()

    def start(self) -> None:
        """Begin, in the background."""
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; True once everything is done.

        Raises
        ------
        Exception
            Whatever stopped it.
        """
        self._thread.join(seconds)
        if self._thread.is_alive():
            return False
        if self._error:
            raise self._error
        return True

    def stop(self) -> None:
        """End as soon as what is in hand is done, and wait for that."""
        self._stop.set()
        if self._begun:
            self._thread.join()

    @property
    def _begun(self) -> bool:
        return self._thread.ident is not None

    @abstractmethod
    def _run_stage(self, number: int, stage: Stage) -> None:
        """Do what of a stage is to be done; raise `Stopped` soon after `_stop` is set."""

    def _conduct(self) -> None:
        try:
            for number, stage in enumerate(self._plan.stages):
                self._run_stage(number, stage)
        except BaseException as error:  # noqa: BLE001  handed to whoever waits
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """What goes wrong first is the reason; all else follows from it."""
        with self._failing:
            self._error = self._error or error
        self._stop.set()


T = TypeVar("T")
R = TypeVar("R")


class Engine(BackgroundRunner):
    """Runs a plan in threads of its own.

    Parameters
    ----------
    source, plan, store
        What to do, and with what.
    work : ProgressTracker
        The blocks of the plan that are to be done; it is kept up to date.
    keep : callable, optional
        Called with every block whose chunks have all been written, in a thread of its own and in order; once it
        returns, the block is done.
    """

    def __init__(
        self,
        source: Rows,
        plan: Plan,
        store: Chunks,
        tracker: ProgressTracker,
        keep: Callable[[FinishedBlock], None] | None = None,
    ) -> None:
        super().__init__(plan, "ct-pyramid")
        self._reader = PaddedReader(source, plan, read_extent(plan.volume, plan.stages[0].cell))
        self._store = store
        self._tracker = tracker
        self._keep = keep
        self._pool = ThreadPoolExecutor(plan.threads, "ct-pyramid")
        self._keeper = ThreadPoolExecutor(1, "ct-pyramid-keeper")
        self._own = threading.local()

    def stop(self) -> None:
        """End as soon as the rows and chunks now in hand are done, and wait for that."""
        super().stop()
        self._pool.shutdown()
        self._keeper.shutdown()

    def _fail_if_failed(self, write: Future[Checksum]) -> None:
        error = write.exception()
        if error:
            self._fail(error)

    def _run_stage(self, number: int, stage: Stage) -> None:
        todo = self._tracker.todo(number)
        if not todo:
            return
        dtype = self._plan.levels[0].dtype
        buffers = StageBuffers(
            stage,
            grids=BufferRing(
                ChunkGrid(stage.cell_shape(0), self._plan.levels[0].chunks, dtype) for _ in range(stage.grids)
            ),
            cells={
                level: BufferRing([own_array(stage.cell_shape(level), dtype)])
                for level in range(stage.base + stage.from_source, stage.top + 1)
            },
        )
        span_z, span_y, _ = stage.span(stage.top)
        unsafe: deque[Future[None]] = deque()
        for n, region in todo:
            block = Block(number, n, region)
            z0, z1, y0, y1 = region
            for cell in stage.cells((z0 // span_z, z1 // span_z, y0 // span_y, y1 // span_y)):
                self._make(buffers, block, stage.top, cell, None)
            unsafe.append(self._keeper.submit(self._keep_safe, block))
            while unsafe and unsafe[0].done():
                unsafe.popleft().result()
        # The next stage reads what this one wrote, and the volume is whole only when all of it is safe.
        for one in unsafe:
            one.result()

    def _keep_safe(self, block: Block) -> None:
        """Wait until a block is safely on disk, and count it."""
        try:
            made = block.made()
            if self._keep:
                self._keep(made)
            self._tracker.count_block(made.statistics)
        except BaseException as error:
            self._fail(error)
            raise

    def _make(self, buffers: StageBuffers, block: Block, level: int, region: Region, into: np.ndarray | None) -> None:
        """Make a cell: get its voxels, reduce them `into` its part of the cell above, write them."""
        stage = buffers.stage
        if level == stage.base and stage.from_source:
            self._make_from_source(buffers, block, region, into)
            return
        z0, z1, y0, y1 = region
        cell = buffers.cells[level].next()[: z1 - z0, : y1 - y0]
        if level == stage.base:
            self._read_back(stage, level, region, cell)
        else:
            fz, fy, _ = stage.factors[level - 1 - stage.base]
            for part in stage.cells((fz * z0, fz * z1, fy * y0, fy * y1)):
                place = _within((part[0] // fz, part[1] // fz, part[2] // fy, part[3] // fy), region)
                self._make(buffers, block, level - 1, part, cell[place])
        if into is not None:
            fz = stage.factors[level - stage.base][0]
            self._all(lambda z: self._reduce(cell[fz * z : fz * (z + 1)], into[z : z + 1]), range(into.shape[0]))
        if level != stage.base:
            buffers.cells[level].keep(self._write(block, level, region, lambda box: cell[box]))

    def _make_from_source(self, buffers: StageBuffers, block: Block, region: Region, into: np.ndarray | None) -> None:
        """Read some slices at a time, some rows at once, and reduce and sort them while the cache holds them."""
        stage = buffers.stage
        z0, z1, y0, y1 = region
        deep, step = read_extent(self._plan.volume, stage.cell)
        grid = buffers.grids.next()

        def read(z: int) -> tuple[int, Statistics]:
            end = min(z + deep, z1)
            found = Statistics()
            for y in range(y0, y1, step):
                part = (z, end, y, min(y + step, y1))
                rows = self._own_rows(deep, step)[: end - z, : part[3] - y]
                found += self._reader.read(z, y, rows)
                for i in range(end - z):
                    grid.put(z + i - z0, y - y0, rows[i])
                if into is not None:
                    fz, fy, _ = stage.factors[0]
                    of_above = (z0 // fz, z1 // fz, y0 // fy, y1 // fy)
                    self._reduce(rows, into[_within((z // fz, end // fz, y // fy, part[3] // fy), of_above)])
            return self._tracker.rows_of(stage, (z, end, y0, y1)), found

        for reading in self._begin(read, range(z0, z1, deep)):
            count, found = reading.result()
            self._tracker.count_rows(stage, count)
            block.statistics += found
        buffers.grids.keep(self._write(block, 0, region, lambda box: grid.chunk(box)))

    def _reduce(self, array: np.ndarray, out: np.ndarray) -> None:
        downsample.reduce(array, out, self._plan.options.method)

    def _own_rows(self, slices: int, rows: int) -> np.ndarray:
        """This thread's buffer for rows of some slices."""
        if not hasattr(self._own, "rows"):
            finest = self._plan.levels[0]
            self._own.rows = own_array((slices, rows, finest.shape[2]), finest.dtype)
        buffer: np.ndarray = self._own.rows
        return buffer

    def _write(
        self, block: Block, level: int, region: Region, voxels: Callable[[tuple[slice, ...]], np.ndarray]
    ) -> list[Write]:
        """Begin to write a cell chunk by chunk; `voxels` gives those of a box within the cell."""

        def write(chunk: ChunkWrite, index: Triple) -> Future[Checksum]:
            if self._stop.is_set():
                chunk.cancel()
                raise Stopped
            written = chunk.write(voxels(self._box(level, region, index)))
            written.add_done_callback(self._fail_if_failed)
            return written

        writes = []
        for index in self._chunks(level, region):
            writes.append(self._pool.submit(write, self._store.begin_chunk(level, index), index))
            block.chunks.append((level, index, writes[-1]))
        return writes

    def _read_back(self, stage: Stage, level: int, region: Region, cell: np.ndarray) -> None:
        """Read a cell that an earlier stage wrote."""

        def read(index: Triple) -> None:
            cell[self._box(level, region, index)] = self._store.read_chunk(level, index)

        self._all(read, self._chunks(level, region))
        self._tracker.count_rows(stage, (region[1] - region[0]) * (region[3] - region[2]))

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


def _within(part: Region, region: Region) -> tuple[slice, slice]:
    """Where a part of a region is in it, along z and y."""
    z, y = region[0], region[2]
    return slice(part[0] - z, part[1] - z), slice(part[2] - y, part[3] - y)
