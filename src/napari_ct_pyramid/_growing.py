"""A level of an OME-Zarr while it is being written: what of it is there, without waiting for it twice.

It knows neither the conversion nor the window.
"""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np

from .errors import SourceError
from .lazy import Box

_KEPT = 2  # boxes of a level: napari asks for what is on the screen, and for the thumbnail
_KEPT_BYTES = 300_000_000
_SAMPLES = 65_536


class GrowingLevel:
    """Reads boxes of a level that is being written.

    The boxes that were read last are kept, and what is asked for again comes from there: the window only ever
    waits for voxels once. `renew` brings them up to date, in a thread of somebody else's.

    Parameters
    ----------
    read : callable
        Reads a box as it is on disk.
    chunks : tuple of int
        Of the level: one that is just being written cannot be read, and counts as not there yet.
    dtype : numpy.dtype
        Of the voxels.
    """

    def __init__(self, read: Callable[[Box], np.ndarray], chunks: tuple[int, ...], dtype: np.dtype) -> None:
        self._read_disk = read
        self._chunks = chunks
        self._dtype = dtype
        self._kept: OrderedDict[tuple[tuple[int, int, int], ...], np.ndarray] = OrderedDict()
        self._growing = True

    def read(self, box: Box) -> np.ndarray:
        """The voxels in a box, as of the last `renew` if they are kept."""
        key = tuple((s.start, s.stop, s.step) for s in box)
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        voxels = self.read_now(box)
        if self._growing and voxels.nbytes <= _KEPT_BYTES:
            self._kept[key] = voxels
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return voxels

    def read_now(self, box: Box) -> np.ndarray:
        """The voxels in a box, as they are on disk; zeros where there are none yet."""
        try:
            return self._read_disk(box)
        except SourceError:
            if not self._growing:
                raise
        whole = tuple(slice(s.start, s.stop, 1) for s in box)
        voxels = np.zeros([s.stop - s.start for s in whole], self._dtype)
        for part in _parts(whole, self._chunks):
            with suppress(SourceError):
                there = tuple(slice(p.start - s.start, p.stop - s.start) for p, s in zip(part, whole, strict=True))
                voxels[there] = self._read_disk(part)
        return voxels[tuple(slice(None, None, s.step) for s in box)]

    def renew(self) -> None:
        """Read again what is kept."""
        for key in list(self._kept):
            voxels = self.read_now(tuple(slice(*part) for part in key))
            if key in self._kept:
                self._kept[key] = voxels

    def samples(self) -> np.ndarray:
        """Some voxels of what is kept."""
        kept = [voxels.ravel() for voxels in list(self._kept.values())]
        return np.concatenate([np.zeros(0, self._dtype), *(v[:: math.ceil(v.size / _SAMPLES)] for v in kept)])

    def stop(self) -> None:
        """The level is whole: keep nothing any more."""
        self._growing = False
        self._kept.clear()


def _parts(box: Box, chunks: tuple[int, ...]) -> Iterator[Box]:
    """A box, cut where chunks meet."""
    cuts = [
        [slice(max(s.start, at), min(s.stop, at + c), 1) for at in range(s.start // c * c, s.stop, c)]
        for s, c in zip(box, chunks, strict=True)
    ]
    return itertools.product(*cuts)


def written(plane: np.ndarray, chunks: tuple[int, ...]) -> np.ndarray:
    """The voxels of those chunks of a plane (y, x) that hold anything, thinned out."""
    rows, columns = chunks[-2:]
    tiles = [
        plane[y : y + rows, x : x + columns].ravel()
        for y in range(0, plane.shape[0], rows)
        for x in range(0, plane.shape[1], columns)
    ]
    return np.concatenate([np.zeros(0, plane.dtype), *(tile[::4] for tile in tiles if tile.any())])
