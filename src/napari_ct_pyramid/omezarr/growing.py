"""A level of an OME-Zarr while it is being written: what of it is there, without waiting for it twice.

It knows neither the conversion nor the window.
"""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator

import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.downsample import reduce
from napari_ct_pyramid.model.volume import Box
from napari_ct_pyramid.options import Triple

_KEPT = 2  # boxes of a level: napari asks for what is on the screen, and for the thumbnail
_KEPT_BYTES = 300_000_000
_FINER_BYTES = 256_000_000  # of a finer level, to stand in for what is not there yet
_THIN = 0.25  # boxes up to this part of a chunk's depth are decoded in part
_SAMPLES = 65_536


class GrowingLevel:
    """Reads boxes of a level that is being written.

    The boxes that were read last are kept, and what is asked for again comes from there: the window only ever
    waits for voxels once. `renew` brings them up to date, in a thread of somebody else's.

    Parameters
    ----------
    read : callable
        Reads a box as it is on disk; it fails with a `SourceError` where a chunk is just being written.
    is_there : callable
        Whether the chunk with an index (z, y, x) has been begun.
    chunks : tuple of int
        Along z, y, x.
    dtype : numpy.dtype
        Of the voxels.
    finer : GrowingLevel, optional
        The level before, which grows first: what it comes to stands in for chunks that are not there yet.
    factors : tuple of int, optional
        Voxels of that level that one of this spans, along z, y, x.
    method : str, optional
        How these become one.
    """

    def __init__(
        self,
        read: Callable[[Box], np.ndarray],
        is_there: Callable[[tuple[int, ...]], bool],
        chunks: tuple[int, ...],
        dtype: np.dtype,
        finer: GrowingLevel | None = None,
        factors: Triple = (2, 2, 2),
        method: str = "mean",
    ) -> None:
        self._read_disk = read
        self._is_there = is_there
        self._chunks = chunks
        self._dtype = dtype
        self._finer = finer
        self._factors = factors
        self._method = method
        self._kept: OrderedDict[tuple[tuple[int, int, int], ...], np.ndarray] = OrderedDict()
        self._growing = True

    def read(self, box: Box) -> np.ndarray:
        """The voxels in a box: as of the last `renew` if they are kept, else what is on disk of this level."""
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
        """The voxels in a box as they are on disk, zeros where there are none yet."""
        return self._read_there(box)[0] if self._growing else self._read_disk(box)

    def renew(self) -> None:
        """Read again what is kept, with the help of the finer levels."""
        for key in list(self._kept):
            box = tuple(slice(start, stop, 1) for start, stop, _ in key)
            voxels = self._look(box)[tuple(slice(None, None, step) for _, _, step in key)]
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

    def _look(self, box: Box) -> np.ndarray:
        """The voxels in a box, from this level or from finer ones."""
        voxels, missing = self._read_there(box)
        if self._finer is None or not missing:
            return voxels
        hull = tuple(
            slice(min(part[axis].start for part in missing), max(part[axis].stop for part in missing), 1)
            for axis in range(len(box))
        )
        fine = tuple(slice(f * s.start, f * s.stop, 1) for f, s in zip(self._factors, hull, strict=True))
        if self._finer._decoded_bytes(fine) <= _FINER_BYTES:
            reduced = np.empty(_shape(hull), self._dtype)
            reduce(self._finer._look(fine), reduced, self._method)
            for part in missing:
                voxels[_within(part, box)] = reduced[_within(part, hull)]
        return voxels

    def _read_there(self, box: Box) -> tuple[np.ndarray, list[Box]]:
        """What is on disk of a box, zeros elsewhere; and the parts that are not there."""
        whole = tuple(slice(s.start, s.stop, 1) for s in box)
        there: list[Box] = []
        missing: list[Box] = []
        for index, part in _parts(whole, self._chunks):
            (there if self._is_there(index) else missing).append(part)
        if not there:
            return np.zeros([len(range(s.start, s.stop, s.step)) for s in box], self._dtype), missing
        try:
            return self._read_disk(box), missing
        except SourceError:  # some chunk is just being written
            voxels = np.zeros(_shape(whole), self._dtype)
            for part in there:
                try:
                    voxels[_within(part, whole)] = self._read_disk(part)
                except SourceError:
                    missing.append(part)
            return voxels[tuple(slice(None, None, s.step) for s in box)], missing

    def _decoded_bytes(self, box: Box) -> int:
        """Bytes of chunks that are decoded for a box; of a slice along z, hardly more than itself."""
        sizes = [c * (math.ceil(s.stop / c) - s.start // c) for s, c in zip(box, self._chunks, strict=True)]
        depth = box[0].stop - box[0].start
        if depth <= self._chunks[0] * _THIN:
            sizes[0] = depth
        return int(math.prod(sizes) * self._dtype.itemsize)


def written(plane: np.ndarray, chunks: tuple[int, ...]) -> np.ndarray:
    """The voxels of those chunks of a plane (y, x) that hold anything, thinned out."""
    rows, columns = chunks[-2:]
    tiles = [
        plane[y : y + rows, x : x + columns].ravel()
        for y in range(0, plane.shape[0], rows)
        for x in range(0, plane.shape[1], columns)
    ]
    return np.concatenate([np.zeros(0, plane.dtype), *(tile[::4] for tile in tiles if tile.any())])


def _parts(box: Box, chunks: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], Box]]:
    """The chunks that a box lies in, by index, and the part of the box in each."""
    ranges = [range(s.start // c, (s.stop - 1) // c + 1) for s, c in zip(box, chunks, strict=True)]
    for index in itertools.product(*ranges):
        yield (
            index,
            tuple(
                slice(max(s.start, i * c), min(s.stop, (i + 1) * c), 1)
                for i, s, c in zip(index, box, chunks, strict=True)
            ),
        )


def _shape(box: Box) -> tuple[int, ...]:
    return tuple(s.stop - s.start for s in box)


def _within(part: Box, box: Box) -> Box:
    """Where a part of a box is, counted from the box's beginning."""
    return tuple(slice(p.start - s.start, p.stop - s.start) for p, s in zip(part, box, strict=True))
