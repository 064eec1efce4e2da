"""Counts voxels of level 0 while it streams.

A small volume is counted whole. Of others, a fixed sample is counted: in every slice, one of each 15 neighbouring rows,
as good as at random, but always the same. Every voxel is as likely to be in the sample as any other,
and the sample has no period that a structure could have, too. Threads, blocks, budget, resume and clusters change
nothing. Whole rows take a fraction of the time of single voxels, which lie in as many lines of the processor's cache as
all voxels do. Padding, NaN and infinities are never counted.
"""

from __future__ import annotations

import threading

import numpy as np

from .histogram import KEYS, LINEAR, Bins, Histogram, from_order, pack

CELL = 15
"""One of so many neighbouring rows is in the sample."""

_ENOUGH = 65_536  # voxels of a sample that are counted together
_PIECE = 32_768  # voxels at a time: their indices fit in a core's second-level cache


class _Share:
    """What one thread has counted."""

    def __init__(self) -> None:
        self.table = np.zeros(KEYS + LINEAR, np.int64)
        self.indices = np.empty(_PIECE, np.intp)
        self.waiting: list[np.ndarray] = []  # samples that are not counted yet: many small ones take longer


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
        sample = voxels.ravel() if self._bins.whole else take_sample(voxels, z, y)
        if finite is not None:
            sample = sample[finite.ravel() if self._bins.whole else take_sample(finite, z, y)]
        if self._dtype.itemsize <= 2:
            self._count_values(share, sample)
            return
        share.waiting.append(sample.copy() if sample.base is not None else sample)  # the buffer is used again
        if sum(map(len, share.waiting)) >= _ENOUGH:
            self._count_wide(share)

    def histogram(self) -> Histogram:
        """The histogram of all that was counted."""
        total = np.zeros(KEYS + LINEAR, np.int64)
        for share in self._shares:
            if share.waiting:
                self._count_wide(share)
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
            self._of_thread.share = _Share()
            self._shares.append(self._of_thread.share)
        share: _Share = self._of_thread.share
        return share

    def _count_values(self, share: _Share, flat: np.ndarray) -> None:
        """Count each value. Bytes are counted two at a time: half as many steps."""
        if self._dtype.itemsize == 1 and flat.size % 2:
            flat = np.append(flat.view(np.uint8), np.uint8(0))
            share.table[-1] += 1
        patterns = flat.view(np.uint16)
        for at in range(0, patterns.size, _PIECE):
            piece = patterns[at : at + _PIECE]
            indices = share.indices[: piece.size]
            indices[...] = piece
            np.add.at(share.table, indices, 1)

    def _count_wide(self, share: _Share) -> None:
        """Count the samples that wait for it."""
        sample, table = np.concatenate(share.waiting), share.table
        share.waiting.clear()
        with np.errstate(over="ignore"):
            places = sample - sample.dtype.type(self._bins.low) if sample.dtype.kind == "f" else sample - self._bins.low
            places *= LINEAR / (self._bins.high - self._bins.low)
        np.clip(places, -1, LINEAR, out=places)
        places += 1  # now all are zero or above, where the conversion to an integer rounds down
        indices = places.astype(np.intp)
        counts = np.bincount(indices, minlength=LINEAR + 2)
        table[KEYS:] += counts[1:-1]
        if counts[0] or counts[-1]:
            outside = sample[(indices == 0) | (indices == LINEAR + 1)]
            limit = np.finfo(np.float32).max
            bits = np.clip(outside, -limit, limit).astype(np.float32).view(np.uint32)
            np.add.at(table, (_to_order32(bits) >> 16).astype(np.intp), 1)


def take_sample(voxels: np.ndarray, z: int, y: int) -> np.ndarray:
    """The voxels of some rows that belong to the sample of their volume, in one dimension.

    Parameters
    ----------
    voxels : numpy.ndarray
        Whole rows (z, y, x).
    z, y : int
        Where the first of them is in the volume.
    """
    depth, height, _ = voxels.shape
    slices, rows = np.arange(z, z + depth)[:, None], np.arange(y, y + height)
    chosen = pseudo_random(slices, rows // CELL) % CELL == rows % CELL
    return np.ravel(voxels[chosen])


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
