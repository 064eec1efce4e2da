"""Counts voxels of level 0 while it streams.

A small volume is counted whole. Of others, a fixed sample is counted: in every slice, one of each 15 neighbouring rows,
as good as at random, but always the same. Every voxel is as likely to be in the sample as any other,
and the sample has no period that a structure could have, too. Threads, blocks, budget, resume and clusters change
nothing. Whole rows take a fraction of the time of single voxels, which lie in as many lines of the processor's cache as
all voxels do. Padding, NaN and infinities are never counted.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from .histogram import KEYS, LINEAR, Bins, Histogram, from_order, pack

CELL = 15
"""One of so many neighbouring rows is in the sample."""

_PIECE = 65_536  # voxels at a time: they and their indices fit in a core's second-level cache

_TILE = 64  # slices, and cells in each


class _Share:
    """What one thread has counted, and its buffers: new arrays of this size would take longer than counting."""

    def __init__(self, dtype: np.dtype) -> None:
        self.table = np.zeros(KEYS + LINEAR, np.int64)
        self.waiting = np.empty(_PIECE, dtype)  # voxels that are not counted yet: a few at a time would take longer
        self.buffer = self.waiting.data  # copies rows without giving up the interpreter's lock, which takes longer
        self.size = 0  # of those
        self.indices = np.empty(_PIECE, np.intp)
        if dtype.itemsize > 2:
            self.places = np.empty(_PIECE, dtype if dtype.kind == "f" else np.float64)


class Counter:
    """Counts the voxels of a part of a volume. Several threads may count at once.

    Parameters
    ----------
    bins : Bins
    """

    def __init__(self, bins: Bins) -> None:
        self._bins = bins
        self._dtype = np.dtype(bins.dtype)
        self._shares: list[_Share] = []
        self._of_thread = threading.local()

    def count(self, voxels: np.ndarray, z: int, y: int, *, finite: np.ndarray | None = None) -> None:
        """Count voxels.

        Parameters
        ----------
        voxels : numpy.ndarray
            Whole rows (z, y, x).
        z, y : int
            Where the first of them is in the volume.
        finite : numpy.ndarray, optional
            Mask of those to count, if it is not all.
        """
        share = self._share()
        if self._bins.whole:
            self._collect(share, voxels.ravel() if finite is None else voxels[finite])
            return
        for at in sampled_rows(z, y, *voxels.shape[:2]):
            self._collect(share, voxels[at] if finite is None else voxels[at][finite[at]])

    def histogram(self) -> Histogram:
        """The histogram of all that was counted."""
        total = np.zeros(KEYS + LINEAR, np.int64)
        for share in self._shares:
            self._count_waiting(share)
            total += share.table
        if self._dtype.itemsize == 1:  # pairs of voxels were counted; see `_count_values`
            pairs = total[:KEYS].reshape(256, 256)
            ordered = np.roll(pairs.sum(axis=0) + pairs.sum(axis=1), 128 if self._dtype.kind == "i" else 0)
            total[:KEYS] = 0
            total[:256] = ordered
            total[0 if self._dtype.kind != "i" else 128] -= total[-1]  # half of a pair
            total[-1] = 0
        elif self._dtype.itemsize == 2 and self._dtype.kind == "i":
            total[:KEYS] = np.roll(total[:KEYS], KEYS // 2)
        elif self._dtype.itemsize == 2 and self._dtype.kind == "f":
            patterns = from_order(np.arange(KEYS, dtype=np.uint16))
            total[:KEYS] = np.where(np.isfinite(patterns.view(np.float16)), total[patterns], 0)
        return pack(total)

    def _share(self) -> _Share:
        """What this thread has counted."""
        if not hasattr(self._of_thread, "share"):
            self._of_thread.share = _Share(self._dtype)
            self._shares.append(self._of_thread.share)
        share: _Share = self._of_thread.share
        return share

    def _collect(self, share: _Share, voxels: np.ndarray) -> None:
        """Copy voxels, whose buffer is used again, until there are enough to count them together."""
        while voxels.size >= (room := _PIECE - share.size):
            share.buffer[share.size :] = voxels[:room].data
            share.size = _PIECE
            self._count_waiting(share)
            voxels = voxels[room:]
        end = share.size + voxels.size
        share.buffer[share.size : end] = voxels.data
        share.size = end

    def _count_waiting(self, share: _Share) -> None:
        voxels, share.size = share.waiting[: share.size], 0
        if self._dtype.itemsize <= 2:
            self._count_values(share, voxels)
        else:
            self._count_wide(share, voxels)

    def _count_values(self, share: _Share, voxels: np.ndarray) -> None:
        """Count each value. Bytes are counted two at a time: half as many steps."""
        if self._dtype.itemsize == 1 and voxels.size % 2:
            voxels = np.append(voxels.view(np.uint8), np.uint8(0))
            share.table[-1] += 1
        patterns = voxels.view(np.uint16)
        indices = share.indices[: patterns.size]
        indices[...] = patterns
        np.add.at(share.table, indices, 1)

    def _count_wide(self, share: _Share, voxels: np.ndarray) -> None:
        """Count values in the bins of equal width, and what lies outside of these by its first 16 bits."""
        places, indices = share.places[: voxels.size], share.indices[: voxels.size]
        width = (self._bins.high - self._bins.low) / LINEAR
        with np.errstate(over="ignore"):
            # One bin more: what lies below all bins is zero, and the conversion to an integer rounds down.
            np.subtract(voxels, places.dtype.type(self._bins.low - width), out=places)
            np.multiply(places, places.dtype.type(1 / width), out=places)
        np.clip(places, 0, LINEAR + 1, out=places)
        np.copyto(indices, places, casting="unsafe")
        counts = np.bincount(indices, minlength=LINEAR + 2)
        share.table[KEYS:] += counts[1:-1]
        if counts[0] or counts[-1]:
            outside = voxels[(indices == 0) | (indices == LINEAR + 1)]
            limit = np.finfo(np.float32).max
            bits = np.clip(outside, -limit, limit).astype(np.float32).view(np.uint32)
            np.add.at(share.table, (_to_order32(bits) >> 16).astype(np.intp), 1)


def sampled_rows(z: int, y: int, slices: int, rows: int) -> Iterator[tuple[int, int]]:
    """The rows in a part of a volume that belong to its sample.

    Parameters
    ----------
    z, y : int
        Where the part begins in the volume.
    slices, rows : int
        Its extent.

    Yields
    ------
    tuple of int
        The slice and the row of each, in the part.
    """
    for i in range(z, z + slices):
        for cell in range(y // CELL, (y + rows - 1) // CELL + 1):
            row = cell * CELL + _rows_of_cells(i // _TILE, cell // _TILE)[i % _TILE * _TILE + cell % _TILE]
            if y <= row < y + rows:
                yield i - z, row - y


@lru_cache(256)
def _rows_of_cells(z: int, y: int) -> bytes:
    """The row of each cell that is in the sample, in a tile of cells: computed together, they take less time."""
    slices, cells = np.arange(z * _TILE, (z + 1) * _TILE), np.arange(y * _TILE, (y + 1) * _TILE)
    return (pseudo_random(slices[:, None], cells) % CELL).astype(np.uint8).tobytes()


def pseudo_random(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A pseudo-random number for each pair: the finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    with np.errstate(over="ignore"):
        mixed: np.ndarray = a.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + b.astype(np.uint64) * np.uint64(
            0xD1B54A32D192ED03
        )
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def _to_order32(bits: np.ndarray) -> np.ndarray:
    """Integers in the order of the floating-point numbers with these bits."""
    negative = bits >> np.uint32(31) != 0
    return np.where(negative, ~bits, bits | np.uint32(0x80000000))
