"""Blocks while they are made and once they are finished, and the buffers in which a stage makes them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

import numpy as np

from napari_ct_pyramid.model.blocks import BlockId, Stage
from napari_ct_pyramid.model.counter import Counter
from napari_ct_pyramid.model.memory import own_array
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.model.statistics import Statistics
from napari_ct_pyramid.model.volume import Box, box_shape
from napari_ct_pyramid.omezarr.checksums import Checksum, pack
from napari_ct_pyramid.options import Triple


class PendingChunk(Protocol):
    """A chunk that is to be written. Some thread calls one of the two methods, once."""

    def write(self, voxels: np.ndarray, /) -> Future[Checksum]:
        """Write the chunk. The future gets its checksum when it is written."""

    def cancel(self) -> None:
        """Do not write it after all."""


class ChunkStore(Protocol):
    """Where the chunks of all levels are written to, and read back from. Several threads use it at once."""

    def read_chunk(self, level: int, index: Triple, /) -> np.ndarray:
        """The voxels (z, y, x) of a chunk, in a buffer that the calling thread may use until its next call."""

    def begin_chunk(self, level: int, index: Triple, /) -> PendingChunk:
        """Begin to write a chunk. Only one thread calls this; it waits while too many chunks are being written."""


Write = Future[Future[Checksum]]
"""A chunk that is being written. The outer future ends when its voxels are no longer needed, the inner one when it
is written."""


ChunkChecksum = tuple[int, Triple, Checksum]
"""Level, index and checksum of a chunk."""


@dataclass(frozen=True)
class FinishedBlock:
    """A block whose chunks are all written. Picklable.

    Attributes
    ----------
    id : BlockId
        Its name in the journal.
    chunks : tuple of ChunkChecksum
        Level, index and checksum of each of its chunks.
    statistics : Statistics
        Of its voxels of the source; without voxels where it is made from another level.
    """

    id: BlockId
    chunks: tuple[ChunkChecksum, ...]
    statistics: Statistics

    def packed_checksums(self, plan: Plan) -> bytes:
        """The checksums of its chunks, as the journal holds them."""
        checksums = {(level, index): checksum for level, index, checksum in self.chunks}
        return pack(checksums[chunk] for chunk in plan.chunks_of(self.id))


@dataclass
class BlockInProgress:
    """A block that is being made.

    Attributes
    ----------
    id : BlockId
        Its name in the journal: numbers of its stage, and of the block within the stage.
    chunks : list of (int, Triple, Write)
        Its chunks so far: level, index, and how its writing goes.
    statistics : Statistics
        Of its voxels of the source so far, without their histogram.
    counter : Counter or None
        Counts its voxels for the histogram.
    """

    id: BlockId
    chunks: list[tuple[int, Triple, Write]] = field(default_factory=list)
    statistics: Statistics = Statistics()
    counter: Counter | None = None

    def finish(self) -> FinishedBlock:
        """Wait until all of its chunks are written."""
        chunks = tuple((level, index, write.result().result()) for level, index, write in self.chunks)
        statistics = self.statistics
        if self.counter:
            statistics = replace(statistics, histogram=self.counter.histogram())
        return FinishedBlock(self.id, chunks, statistics)


class ChunkGrid:
    """A box of voxels in which each chunk is contiguous, so that it is compressed where it lies.

    Parameters
    ----------
    shape : tuple of int
        Of the box, along z, y, x; it begins at the corner of a chunk.
    chunks : tuple of int
    dtype : numpy.dtype
    """

    def __init__(self, shape: Triple, chunks: Triple, dtype: np.dtype) -> None:
        self._chunks = chunks
        grid = tuple(math.ceil(n / c) for n, c in zip(shape, chunks, strict=True))
        self._voxels = own_array(grid + chunks, dtype)

    def put(self, z: int, y: int, rows: np.ndarray) -> None:
        """Copy rows (y, x) into slice `z`, from row `y` on. They have the width of the box."""
        cz, cy, cx = self._chunks
        slices = self._voxels[z // cz, :, :, z % cz]
        whole, rest = divmod(rows.shape[1], cx)
        done = 0
        while done < rows.shape[0]:
            row, first = divmod(y + done, cy)
            part = rows[done : done + cy - first]
            n = part.shape[0]
            target = slices[row, :, first : first + n]
            target[:whole] = part[:, : whole * cx].reshape(n, whole, cx).transpose(1, 0, 2)
            if rest:
                target[whole, :, :rest] = part[:, whole * cx :]
            done += n

    def chunk(self, box: Box) -> np.ndarray:
        """The voxels of a box that begins at the corner of a chunk and lies within that chunk."""
        index = tuple(s.start // c for s, c in zip(box, self._chunks, strict=True))
        voxels: np.ndarray = self._voxels[index][tuple(map(slice, box_shape(box)))]
        return voxels


T = TypeVar("T")


class BufferRing(Generic[T]):
    """The buffers of a level, which are used in turn."""

    def __init__(self, buffers: Iterable[T]) -> None:
        self._buffers = deque(buffers)
        self._writes: deque[list[Write]] = deque()

    def next(self) -> T:
        """The buffer used longest ago. Waits until its chunks are compressed."""
        if len(self._writes) == len(self._buffers):
            for write in self._writes.popleft():
                write.result()
        self._buffers.rotate()
        return self._buffers[0]

    def hold(self, writes: list[Write]) -> None:
        """Keep the buffer that `next` gave last until these chunks are compressed."""
        self._writes.append(writes)


@dataclass
class StageBuffers:
    """The buffers with which a stage is made.

    Attributes
    ----------
    stage : Stage
    grids : BufferRing of ChunkGrid
        For voxels of the source.
    cells : dict of int to BufferRing of numpy.ndarray
        For cells of the other levels, by level.
    """

    stage: Stage
    grids: BufferRing[ChunkGrid]
    cells: dict[int, BufferRing[np.ndarray]]
