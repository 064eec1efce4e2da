"""Makes the voxels of a coarser level from those of the finer one, by any method and whole factors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, cast

import numpy as np

from napari_ct_pyramid.conversion.audit.methods import CENTRE
from napari_ct_pyramid.conversion.audit.regions import finer_box, parts
from napari_ct_pyramid.model import downsample
from napari_ct_pyramid.model.volume import Box, within
from napari_ct_pyramid.omezarr.array import ZarrArray

_BYTES_A_VOXEL = 3  # copies of the finer voxels at a time: as read, with whole groups, and within the library
_SCRATCH = 2 * downsample.NEIGHBOURS_BYTES


def make(finer: ZarrArray, box: Box, shape: Sequence[int], factors: Sequence[int], method: str) -> np.ndarray:
    """The voxels in a box of a coarser level of a `shape`. A group that the edge cuts is made of what there is."""
    out = np.empty([s.stop - s.start for s in box], finer.dtype)
    for part in parts(box, finer.chunks, factors):
        fine = finer.read_once(finer_box(part, factors, finer.shape, shape))
        reduce(fine, out[within(part, box)], factors, method)
    return out


def bytes_of_task(finer: ZarrArray, file: Sequence[int], factors: Sequence[int]) -> int:
    """The most memory that making one file takes, which has so many voxels along each axis."""
    whole = tuple(slice(0, n) for n in file)
    part = next(parts(whole, finer.chunks, factors))  # the largest
    fine = math.prod((s.stop - s.start) * f for s, f in zip(part, factors, strict=True))
    coarse = math.prod(file)
    return int((fine * _BYTES_A_VOXEL + coarse * 3) * finer.dtype.itemsize + _SCRATCH)


def reduce(fine: np.ndarray, out: np.ndarray, factors: Sequence[int], method: str) -> None:
    """Make a box of voxels of the finer ones.

    Parameters
    ----------
    fine : numpy.ndarray
        Along each axis as long as `out`, times the factor; it may be longer or shorter.
    out : numpy.ndarray
    factors : sequence of int
    method : str
        One of those of `downsample.reduce`, or `CENTRE`.
    """
    lengths = [m * f for m, f in zip(out.shape, factors, strict=True)]
    fine = fine[tuple(map(slice, lengths))]
    if method in (CENTRE, "stride"):
        starts = [f // 2 if method == CENTRE else 0 for f in factors]
        places = [
            np.minimum(np.arange(m) * f + start, n - 1)
            for m, f, start, n in zip(out.shape, factors, starts, fine.shape, strict=True)
        ]
        out[...] = fine[np.ix_(*places)]
    elif set(factors) <= {1, 2} and set(factors[:-3]) <= {1} and out.ndim > 2 and _has_wider(out.dtype):
        missing = [(0, n - m) for n, m in zip(lengths, fine.shape, strict=True)]
        if any(after for _, after in missing):
            fine = np.pad(fine, missing, mode="edge")  # a voxel counted twice is the mean of what there is
        for index in np.ndindex(out.shape[:-3]):
            downsample.reduce(fine[index], out[index], method)
    else:
        import tensorstore as ts

        way = cast("Literal['mean', 'median', 'mode', 'min', 'max']", method)
        store = ts.downsample(ts.array(np.ascontiguousarray(fine)), list(factors), way)
        out[...] = store.read().result()


def _has_wider(dtype: np.dtype) -> bool:
    """Whether `downsample.reduce` can add voxels of this type."""
    return dtype.kind == "f" or (dtype.kind in "iu" and dtype.itemsize <= 4)
