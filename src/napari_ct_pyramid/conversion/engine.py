"""Makes the blocks of a plan with threads of this process: reads rows, reduces them level by level, writes chunks."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from napari_ct_pyramid.model import downsample
from napari_ct_pyramid.model.blocks import Region, Stage, read_extent
from napari_ct_pyramid.model.counter import Counter
from napari_ct_pyramid.model.memory import own_array
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.model.statistics import Statistics
from napari_ct_pyramid.model.volume import Box, chunk_box, touched, within
from napari_ct_pyramid.omezarr.checksums import Checksum
from napari_ct_pyramid.options import Triple

from .background import BackgroundRunner, Stopped
from .buffers import (
    BlockInProgress,
    BufferRing,
    ChunkGrid,
    ChunkStore,
    FinishedBlock,
    PendingChunk,
    StageBuffers,
    Write,
)
from .padded_reader import PaddedReader, VoxelSource
from .progress import ProgressTracker

T = TypeVar("T")
R = TypeVar("R")


class Engine(BackgroundRunner):
    """Carries out a plan with threads of this process.

    Parameters
    ----------
    source : VoxelSource
    plan : Plan
    store : ChunkStore
    tracker : ProgressTracker
        Knows the blocks that are to be made; the engine counts in it what is done.
    on_finished : callable, optional
        Called with each block whose chunks have all been written, in a thread of its own and in order. The block
        counts as done when the call returns.
    """

    def __init__(
        self,
        source: VoxelSource,
        plan: Plan,
        store: ChunkStore,
        tracker: ProgressTracker,
        on_finished: Callable[[FinishedBlock], None] | None = None,
    ) -> None:
        super().__init__(plan, "ct-pyramid")
        self._reader = PaddedReader(source, plan, read_extent(plan.volume, plan.stages[0].cell))
        self._store = store
        self._tracker = tracker
        self._on_finished = on_finished
        self._pool = ThreadPoolExecutor(plan.threads, "ct-pyramid")
        self._finisher = ThreadPoolExecutor(1, "ct-pyramid-finisher")
        self._of_thread = threading.local()

    def stop(self) -> None:
        """Stop after the rows and chunks that are being read and written now, and wait until then."""
        super().stop()
        self._pool.shutdown()
        self._finisher.shutdown()

    def _fail_if_failed(self, write: Future[Checksum]) -> None:
        error = write.exception()
        if error:
            self._fail(error)

    def _run_stage(self, number: int, stage: Stage) -> None:
        blocks = self._tracker.blocks_to_do(number)
        if not blocks:
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
        finishing: deque[Future[None]] = deque()
        for n, (z0, z1, y0, y1) in blocks:
            block = BlockInProgress((number, n), counter=self._counter(stage))
            for cell in stage.cells((z0 // span_z, z1 // span_z, y0 // span_y, y1 // span_y)):
                self._make(buffers, block, stage.top, cell, None)
            finishing.append(self._finisher.submit(self._finish, block))
            while finishing and finishing[0].done():
                finishing.popleft().result()
        # The next stage reads what this one wrote, and the volume is complete only when all blocks are finished.
        for one in finishing:
            one.result()

    def _counter(self, stage: Stage) -> Counter | None:
        """For the voxels of a block; None where it has none of the source, or no histogram is asked for."""
        if not (stage.from_source and self._plan.bins):
            return None
        return Counter(self._plan.bins)

    def _finish(self, block: BlockInProgress) -> None:
        """Wait until a block is written, pass it on, and count it."""
        try:
            finished = block.finish()
            if self._on_finished:
                self._on_finished(finished)
            self._tracker.count_block(finished.statistics)
        except BaseException as error:
            self._fail(error)
            raise

    def _make(
        self, buffers: StageBuffers, block: BlockInProgress, level: int, region: Region, into: np.ndarray | None
    ) -> None:
        """Make a cell: get its voxels, reduce them `into` its part of the cell above, and write them."""
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
                place = _part_of((part[0] // fz, part[1] // fz, part[2] // fy, part[3] // fy), region)
                self._make(buffers, block, level - 1, part, cell[place])
        if into is not None:
            fz = stage.factors[level - stage.base][0]
            self._all(lambda z: self._reduce(cell[fz * z : fz * (z + 1)], into[z : z + 1]), range(into.shape[0]))
        if level != stage.base:
            buffers.cells[level].hold(self._write(block, level, region, lambda box: cell[box]))

    def _make_from_source(
        self, buffers: StageBuffers, block: BlockInProgress, region: Region, into: np.ndarray | None
    ) -> None:
        """Read a few rows of a few slices at a time; reduce and copy them while they are in the processor's cache."""
        stage = buffers.stage
        z0, z1, y0, y1 = region
        depth, height = read_extent(self._plan.volume, stage.cell)
        grid = buffers.grids.next()

        def read(z: int) -> tuple[int, Statistics]:
            end = min(z + depth, z1)
            statistics = Statistics()
            for y in range(y0, y1, height):
                part = (z, end, y, min(y + height, y1))
                rows = self._row_buffer(depth, height)[: end - z, : part[3] - y]
                statistics += self._reader.read(z, y, rows, block.counter)
                for i in range(end - z):
                    grid.put(z + i - z0, y - y0, rows[i])
                if into is not None:
                    fz, fy, _ = stage.factors[0]
                    above = (z0 // fz, z1 // fz, y0 // fy, y1 // fy)
                    self._reduce(rows, into[_part_of((z // fz, end // fz, y // fy, part[3] // fy), above)])
            return self._tracker.rows_of(stage, (z, end, y0, y1)), statistics

        for reading in self._submit(read, range(z0, z1, depth)):
            rows, statistics = reading.result()
            self._tracker.count_rows(stage, rows)
            block.statistics += statistics
        buffers.grids.hold(self._write(block, 0, region, lambda box: grid.chunk(box)))

    def _reduce(self, array: np.ndarray, out: np.ndarray) -> None:
        downsample.reduce(array, out, self._plan.options.method)

    def _row_buffer(self, slices: int, rows: int) -> np.ndarray:
        """This thread's buffer for rows of a few slices."""
        if not hasattr(self._of_thread, "rows"):
            finest = self._plan.levels[0]
            self._of_thread.rows = own_array((slices, rows, finest.shape[2]), finest.dtype)
        buffer: np.ndarray = self._of_thread.rows
        return buffer

    def _write(
        self, block: BlockInProgress, level: int, region: Region, voxels: Callable[[Box], np.ndarray]
    ) -> list[Write]:
        """Begin to write a cell chunk by chunk; `voxels` gives those of a box within the cell."""

        def write(chunk: PendingChunk, box: Box) -> Future[Checksum]:
            if self._stop.is_set():
                chunk.cancel()
                raise Stopped
            written = chunk.write(voxels(box))
            written.add_done_callback(self._fail_if_failed)
            return written

        writes = []
        for index, box in self._chunks(level, region):
            writes.append(self._pool.submit(write, self._store.begin_chunk(level, index), box))
            block.chunks.append((level, index, writes[-1]))
        return writes

    def _read_back(self, stage: Stage, level: int, region: Region, cell: np.ndarray) -> None:
        """Read a cell that an earlier stage wrote."""

        def read(chunk: tuple[Triple, Box]) -> None:
            index, box = chunk
            cell[box] = self._store.read_chunk(level, index)

        self._all(read, self._chunks(level, region))
        self._tracker.count_rows(stage, (region[1] - region[0]) * (region[3] - region[2]))

    def _chunks(self, level: int, region: Region) -> Iterator[tuple[Triple, Box]]:
        """The chunks in a region: index, and where each lies within the region's cell."""
        array = self._plan.levels[level]
        z0, z1, y0, y1 = region
        cell = (slice(z0, z1), slice(y0, y1), slice(0, array.shape[2]))
        for z, y, x in touched(cell, array.chunks):
            yield (z, y, x), within(chunk_box((z, y, x), array.chunks, (z1, y1, array.shape[2])), cell)

    def _submit(self, work: Callable[[T], R], items: Iterable[T]) -> list[Future[R]]:
        """Have the threads do `work` for every item."""

        def unless_stopped(item: T) -> R:
            if self._stop.is_set():
                raise Stopped
            return work(item)

        return [self._pool.submit(unless_stopped, item) for item in items]

    def _all(self, work: Callable[[T], None], items: Iterable[T]) -> None:
        """Have the threads do `work` for every item, and wait until it is done."""
        for one in self._submit(work, items):
            one.result()


def _part_of(part: Region, region: Region) -> tuple[slice, slice]:
    """Where a part of a region lies in it, along z and y."""
    z, y = region[0], region[2]
    return slice(part[0] - z, part[1] - z), slice(part[2] - y, part[3] - y)
