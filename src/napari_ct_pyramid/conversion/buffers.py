"""Voxels kept chunk by chunk in memory, so that each chunk can be compressed where it lies."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

import numpy as np

from napari_ct_pyramid.model.blocks import Extent, Region, Stage, is_read_apart
from napari_ct_pyramid.model.memory import own_array
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.model.statistics import Statistics, voxel_statistics
from napari_ct_pyramid.omezarr.journal import BlockId, Checksum
from napari_ct_pyramid.options import Triple


class ChunkGrid:
    """A box of voxels whose chunks are each contiguous.

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
        """Copy rows (y, x) in, that begin at `y` of slice `z` and span the box along x."""
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

    def chunk(self, box: tuple[slice, ...]) -> np.ndarray:
        """The voxels of a box that begins at the corner of a chunk and lies within it."""
        index = tuple(s.start // c for s, c in zip(box, self._chunks, strict=True))
        voxels: np.ndarray = self._voxels[index][tuple(slice(s.stop - s.start) for s in box)]
        return voxels


T = TypeVar("T")


class Rows(Protocol):
    """Where the source's voxels come from."""

    def read(self, z0: int, z1: int, y0: int, y1: int, out: np.ndarray, /) -> None:
        """Fill `out` (z, y, x) with a region, all of x. Several threads call this at once."""


class ChunkWrite(Protocol):
    """A chunk that is to be written: one of the two is called, by any thread."""

    def write(self, voxels: np.ndarray, /) -> Future[Checksum]:
        """Write it; it is written when the future has its checksum."""

    def cancel(self) -> None:
        """Write it never."""


class Chunks(Protocol):
    """Where the levels go to. Several threads call it at once."""

    def read_chunk(self, level: int, index: Triple, /) -> np.ndarray:
        """A chunk that was written, in a buffer of the calling thread's."""

    def begin_chunk(self, level: int, index: Triple, /) -> ChunkWrite:
        """Begin to write a chunk. Called by one thread; it may have to wait there."""


Write = Future[Future[Checksum]]
"""A chunk being written. The outer future: its voxels are no longer needed; the inner: it is written."""


@dataclass(frozen=True)
class FinishedBlock:
    """A block that is made. Picklable.

    Attributes
    ----------
    id : BlockId
        What a journal calls it.
    chunks : tuple of (int, Triple, Checksum)
        Level, index and checksum of each of its chunks.
    statistics : Statistics
        Of its voxels, where they are of level 0.
    """

    id: BlockId
    chunks: tuple[tuple[int, Triple, Checksum], ...]
    statistics: Statistics


@dataclass
class Block:
    """A block as it is being made.

    Attributes
    ----------
    stage : int
        Number of its stage.
    number : int
        Of the block within the stage.
    region : Region
        Where it lies on the stage's base level.
    chunks : list of (int, Triple, Write)
        Its chunks so far: level, index, and what becomes of it.
    statistics : Statistics
        Of its voxels so far.
    """

    stage: int
    number: int
    region: Region
    chunks: list[tuple[int, Triple, Write]] = field(default_factory=list)
    statistics: Statistics = Statistics()

    @property
    def id(self) -> BlockId:
        """What a journal calls it."""
        return self.stage, self.number

    def made(self) -> FinishedBlock:
        """It, once all of its chunks are written: waits for that."""
        chunks = tuple((level, index, write.result().result()) for level, index, write in self.chunks)
        return FinishedBlock(self.id, chunks, self.statistics)


class BufferRing(Generic[T]):
    """The buffers of a level, used in turns."""

    def __init__(self, buffers: Iterable[T]) -> None:
        self._buffers = deque(buffers)
        self._writes: deque[list[Write]] = deque()

    def next(self) -> T:
        """The buffer used longest ago, once what it held has been written."""
        if len(self._writes) == len(self._buffers):
            for write in self._writes.popleft():
                write.result()
        self._buffers.rotate()
        return self._buffers[0]

    def keep(self, writes: list[Write]) -> None:
        """Leave the buffer just used alone until these are done."""
        self._writes.append(writes)


@dataclass
class StageBuffers:
    """A stage at work. Voxels of the source are kept chunk by chunk, those of a level above as one array."""

    stage: Stage
    grids: BufferRing[ChunkGrid]
    cells: dict[int, BufferRing[np.ndarray]]


class PaddedReader:
    """Reads level 0 from a source. Several threads may read at once, each in a buffer of its own where it takes one.

    Parameters
    ----------
    source : Rows
    plan : Plan
    extent : tuple of int
        Slices and rows that are read at once, at most.
    """

    def __init__(self, source: Rows, plan: Plan, extent: Extent) -> None:
        self._source = source
        self._volume = plan.volume
        self._extent = extent
        self._rescale = plan.rescale
        self._apart = is_read_apart(plan.volume, plan.levels[0])
        self._own = threading.local()

    def read(self, z: int, y: int, rows: np.ndarray) -> Statistics:
        """Fill `rows` (z, y, x) with those that begin at a slice and row; the statistics is of the source's voxels."""
        depth, height, width = self._volume.shape
        slices, lines = (max(0, min(n, size)) for n, size in zip(rows.shape, (depth - z, height - y), strict=False))
        rows[slices:] = 0
        rows[:slices, lines:] = 0
        rows[:slices, :lines, width:] = 0
        if not slices * lines:
            return Statistics()
        inside = rows[:slices, :lines, :width]
        voxels = self._own_voxels()[:slices, :lines] if self._apart else inside
        self._source.read(z, z + slices, y, y + lines, voxels)
        if self._rescale:
            return replace(voxel_statistics(voxels), clipped=self._rescale.apply(voxels, inside))
        if self._apart:
            inside[...] = voxels
        return voxel_statistics(voxels)

    def _own_voxels(self) -> np.ndarray:
        """This thread's buffer for what is read."""
        if not hasattr(self._own, "voxels"):
            self._own.voxels = np.empty((*self._extent, self._volume.shape[2]), self._volume.dtype)
        buffer: np.ndarray = self._own.voxels
        return buffer
