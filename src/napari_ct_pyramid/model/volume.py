"""The description of a volume, and boxes of voxels with the chunks that they touch. Everything is in z, y, x."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_ct_pyramid.options import Triple, VoxelSize

if TYPE_CHECKING:
    from napari_ct_pyramid.calibration import Calibration

    from .intensity import Rescale


@dataclass(frozen=True)
class Volume:
    """The description of a source's volume, without its voxels.

    Attributes
    ----------
    name : str
        A name to show, such as the file's name without its suffix.
    shape : tuple of int
        Voxels along z, y, x.
    dtype : numpy.dtype
        Of the voxels as read, in the machine's byte order.
    stored_dtype : numpy.dtype or None
        Of the voxels in the source, where it is another than that of those that are read.
    format : str
        The kind of source, to show: ``"BigTIFF, one page a slice"``.
    compression : str
        ``"none"``, or the name of the codec.
    voxel_size : tuple of float or None
        Along z, y, x, in `unit`; None if the source does not give it.
    unit : str or None
        An NGFF unit of length, such as ``"micrometer"``; None where unknown.
    voxel_size_from : str or None
        Where the voxel size was found, to show: ``"ImageJ metadata"``.
    translation : tuple of float
        Where the centre of the first voxel is, along z, y, x, in `unit`; in voxels if the voxel size is unknown.
    channel, color : str or None
        What the source calls the channel that is read, and its colour as six hexadecimal digits.
    notes : tuple of str
        What the source states and this package does not understand, or takes for something else: sentences to show.
    granularity : tuple of int
        Extent along z, y, x of a read unit, which is always read or decoded as a whole. It is 1 along z and y if the
        file holds plain rows, and larger if whole strips, tiles or chunks must be decoded. Reads that begin and end
        between units decode nothing twice.
    decoding_bytes : int
        Memory that decoding a read unit takes beside its voxels and its compressed bytes.
    granularity_start : tuple of int
        Position of the first voxel within its read unit.
    calibration : Calibration or None
        What the voxels stand for, if the source states it.
    rescale : Rescale or None
        How grey values were stored as these voxels; None if the voxels are the grey values.
    is_labels : bool
        Whether each value names an object, so that values have no mean.
    reduction : tuple of float
        Voxels of the finest level that one voxel spans, along z, y, x.
    finest_shape : tuple of int or None
        Voxels of the finest level along z, y, x; None where this is that level.
    finest_start : tuple of float
        Where the finest level begins within the first voxel, in voxels of the finest level: a part of an image may
        begin within a voxel of a coarser level.
    """

    name: str
    shape: Triple
    dtype: np.dtype
    format: str
    compression: str = "none"
    voxel_size: VoxelSize | None = None
    unit: str | None = None
    voxel_size_from: str | None = None
    translation: VoxelSize = (0.0, 0.0, 0.0)
    channel: str | None = None
    color: str | None = None
    notes: tuple[str, ...] = ()
    granularity: Triple = (1, 1, 1)
    decoding_bytes: int = 0
    granularity_start: Triple = (0, 0, 0)
    calibration: Calibration | None = None
    rescale: Rescale | None = None
    stored_dtype: np.dtype | None = None
    is_labels: bool = False
    reduction: tuple[float, float, float] = (1.0, 1.0, 1.0)
    finest_shape: Triple | None = None
    finest_start: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def row_step(self) -> int:
        """Rows (y) of a read unit."""
        return self.granularity[1]

    @property
    def nbytes(self) -> int:
        """Bytes of all voxels, uncompressed."""
        return math.prod(self.shape) * self.dtype.itemsize


Box = tuple[slice, ...]
"""One slice an axis, start and stop within the array, step at least 1."""


def touched(box: Box, chunks: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The indices of the chunks that a box touches."""
    return itertools.product(*(range(s.start // c, (s.stop - 1) // c + 1) for s, c in zip(box, chunks, strict=True)))


def chunk_box(index: tuple[int, ...], chunks: tuple[int, ...], shape: tuple[int, ...]) -> Box:
    """The voxels of a chunk, cut at the edges of its array."""
    return tuple(slice(i * c, min((i + 1) * c, n)) for i, c, n in zip(index, chunks, shape, strict=True))


def intersection(a: Box, b: Box) -> Box:
    """The voxels (step 1) that are in both boxes."""
    return tuple(slice(max(s.start, t.start), min(s.stop, t.stop)) for s, t in zip(a, b, strict=True))


def within(part: Box, box: Box) -> Box:
    """A part of a box, counted from the corner of the box."""
    return tuple(slice(p.start - s.start, p.stop - s.start) for p, s in zip(part, box, strict=True))


def overlap(box: Box, index: tuple[int, ...], chunks: tuple[int, ...]) -> tuple[Box, Box]:
    """The part of a box (step 1) in a chunk, counted from the corner of the chunk and from that of the box."""
    chunk = tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, chunks, strict=True))
    part = intersection(box, chunk)
    return within(part, chunk), within(part, box)


def overlaps(box: Box, chunks: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], Box, Box]]:
    """The chunks that a box (step 1) touches: each index, with the two parts that `overlap` gives.

    Faster than `touched` and `overlap`, which matters where a chunk is a strip of one row.
    """
    for parts in itertools.product(*(_overlaps(s, c) for s, c in zip(box, chunks, strict=True))):
        index, inside, target = zip(*parts, strict=True)
        yield index, inside, target


def _overlaps(part: slice, size: int) -> list[tuple[int, slice, slice]]:
    """Like `overlaps`, along one axis."""
    found = []
    for index in range(part.start // size, (part.stop - 1) // size + 1):
        corner = index * size
        first, last = max(part.start, corner), min(part.stop, corner + size)
        found.append((index, slice(first - corner, last - corner), slice(first - part.start, last - part.start)))
    return found


def box_shape(box: Box) -> tuple[int, ...]:
    """Voxels of a box (step 1) along each axis."""
    return tuple(s.stop - s.start for s in box)
