"""Voxels kept chunk by chunk in memory, so that each chunk can be compressed where it lies."""

from __future__ import annotations

import math

import numpy as np

from .memory import own_array
from .volume import Triple


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
