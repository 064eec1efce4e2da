"""Reads a level of an OME-Zarr while it is being written, and caches what was read."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.downsample import reduce
from napari_ct_pyramid.model.intensity import some_of
from napari_ct_pyramid.model.volume import Box, box_shape, overlaps, within
from napari_ct_pyramid.options import Triple

_KEPT = 2  # boxes of a level: napari reads the one on the screen, and the one for the thumbnail
_KEPT_BYTES = 300_000_000  # the largest box that is cached
_FINER_BYTES = 256_000_000  # at most, to decode of a finer level where chunks of this one are missing
_THIN = 0.25  # boxes up to this part of a chunk's depth are decoded in part
_SAMPLES = 65_536  # voxels of each cached box
_SHARE = 4  # of a plane's voxels, one in so many is a sample


class GrowingLevel:
    """Reads boxes of a level that is being written.

    The boxes that were read last are cached, so that the caller waits for the same voxels only once. `renew` reads them
    again; another thread should call it.

    Parameters
    ----------
    read : callable
        Reads a box from disk. Raises a `SourceError` if one of its chunks is just being written.
    is_there : callable
        Whether the chunk with this index (z, y, x) exists, complete or not.
    chunks : tuple of int
        Along z, y, x.
    dtype : numpy.dtype
        Of the voxels on disk.
    finer : GrowingLevel, optional
        The next finer level, which is written first. Missing chunks are computed from it.
    factors : tuple of int, optional
        Voxels of the finer level for each voxel of this level, along z, y, x.
    method : str, optional
        How one voxel is made from them; see `downsample.reduce`.
    nan : bool
        Whether voxels that are not written yet are NaN. All voxels are floats then. Otherwise they are 0.

    Attributes
    ----------
    dtype : numpy.dtype
        Of the voxels that are read.
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
        *,
        nan: bool = False,
    ) -> None:
        self._read_disk = read
        self._is_there = is_there
        self._chunks = chunks
        self._rounded = nan and dtype.kind in "iu"
        self._unwritten = math.nan if nan else 0
        # A float of 32 bits is what napari draws. It holds all integers of 16 bits.
        self.dtype = np.dtype(dtype if dtype.kind == "f" and dtype.itemsize > 4 else np.float32) if nan else dtype
        self._finer = finer
        self._factors = factors
        self._method = method
        self._kept: OrderedDict[tuple[tuple[int, int, int], ...], np.ndarray] = OrderedDict()
        self._growing = True

    def read(self, box: Box) -> np.ndarray:
        """The voxels in a box: as of the last `renew` if the box is cached, otherwise as they are on disk now."""
        key = _key(box)
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
        """The voxels in a box as they are on disk now; 0 or NaN where there are none yet."""
        return self._read_existing(box)[0] if self._growing else self._read_disk(box).astype(self.dtype, copy=False)

    @property
    def kept_boxes(self) -> list[Box]:
        """The boxes that were read last."""
        return [tuple(slice(*part) for part in key) for key in list(self._kept)]

    def renew(self) -> None:
        """Read all cached boxes again. Missing chunks are computed from the finer levels."""
        for key in list(self._kept):
            box = tuple(slice(start, stop, 1) for start, stop, _ in key)
            voxels = self._read_or_compute(box)[tuple(slice(None, None, step) for _, _, step in key)]
            if key in self._kept:
                self._kept[key] = voxels

    def samples(self) -> np.ndarray:
        """A sample of the voxels in the cached boxes."""
        kept = [some_of(voxels.ravel(), _SAMPLES) for voxels in list(self._kept.values())]
        return np.concatenate([np.zeros(0, self.dtype), *kept])

    def stop(self) -> None:
        """The level is complete: read from disk only, and cache nothing any more."""
        self._growing = False
        self._kept.clear()

    def _read_or_compute(self, box: Box) -> np.ndarray:
        """The voxels in a box, from this level or, where chunks are missing, from finer ones."""
        voxels, missing = self._read_existing(box)
        if self._finer is None or not missing:
            return voxels
        hull = tuple(
            slice(min(part[axis].start for part in missing), max(part[axis].stop for part in missing), 1)
            for axis in range(len(box))
        )
        fine = tuple(slice(f * s.start, f * s.stop, 1) for f, s in zip(self._factors, hull, strict=True))
        if self._finer._decoded_bytes(fine) <= _FINER_BYTES:
            reduced = np.empty(box_shape(hull), self.dtype)
            reduce(self._finer._read_or_compute(fine), reduced, self._method)
            if self._rounded:
                np.rint(reduced, out=reduced)
            for part in missing:
                voxels[within(part, box)] = reduced[within(part, hull)]
        return voxels

    def _read_existing(self, box: Box) -> tuple[np.ndarray, list[Box]]:
        """The voxels of a box from the chunks that exist, 0 or NaN elsewhere; and the missing parts of the box."""
        whole = tuple(slice(s.start, s.stop, 1) for s in box)
        existing: list[Box] = []
        missing: list[Box] = []
        for index, part in _parts(whole, self._chunks):
            (existing if self._is_there(index) else missing).append(part)
        if not existing:
            return np.full([len(range(s.start, s.stop, s.step)) for s in box], self._unwritten, self.dtype), missing
        try:
            voxels = self._read_disk(box).astype(self.dtype, copy=False)
            for part in missing if self._unwritten else ():
                voxels[_stepped(part, box)] = self._unwritten
            return voxels, missing
        except SourceError:  # a chunk is just being written
            voxels = np.full(box_shape(whole), self._unwritten, self.dtype)
            for part in existing:
                try:
                    voxels[within(part, whole)] = self._read_disk(part)
                except SourceError:
                    missing.append(part)
            return voxels[tuple(slice(None, None, s.step) for s in box)], missing

    def _decoded_bytes(self, box: Box) -> int:
        """Bytes that are decoded to read a box: whole chunks, but of a box that is thin along z only its slices."""
        sizes = [c * (math.ceil(s.stop / c) - s.start // c) for s, c in zip(box, self._chunks, strict=True)]
        depth = box[0].stop - box[0].start
        if depth <= self._chunks[0] * _THIN:
            sizes[0] = depth
        return int(math.prod(sizes) * self.dtype.itemsize)


def written(plane: np.ndarray) -> np.ndarray:
    """A sample of the voxels of a plane that are written, which is to say, finite."""
    finite = plane[np.isfinite(plane)]
    return some_of(finite, finite.size // _SHARE)


def read_ahead(
    read: Callable[[Box], np.ndarray], boxes: Iterable[Box]
) -> tuple[Callable[[Box], np.ndarray], Callable[[], None]]:
    """A function that reads like `read`, but has read some boxes already; and one that makes it forget them."""
    kept = {_key(box): read(box) for box in boxes}

    def read_kept(box: Box) -> np.ndarray:
        voxels = kept.get(_key(box))
        return read(box) if voxels is None else voxels

    return read_kept, kept.clear


def _key(box: Box) -> tuple[tuple[int, int, int], ...]:
    return tuple((s.start, s.stop, s.step) for s in box)


def _stepped(part: Box, box: Box) -> Box:
    """The voxels of a part (step 1) of a box, counted in the steps of the box from its corner."""
    return tuple(
        slice(-((s.start - p.start) // s.step), -((s.start - p.stop) // s.step)) for p, s in zip(part, box, strict=True)
    )


def _parts(box: Box, chunks: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], Box]]:
    """The chunks that a box touches: the index of each, and the part of the box in it."""
    for index, _, target in overlaps(box, chunks):
        yield index, tuple(slice(s.start + t.start, s.start + t.stop, 1) for s, t in zip(box, target, strict=True))
