"""The buffers of a stage, and how they are used in turn. Voxels of the source are kept chunk by chunk."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from napari_ct_pyramid.model.blocks import Stage
from napari_ct_pyramid.model.memory import own_array
from napari_ct_pyramid.model.volume import Box, box_shape
from napari_ct_pyramid.options import Triple

from .blocks import Write


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
