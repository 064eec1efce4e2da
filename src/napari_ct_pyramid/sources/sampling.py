"""Some rows of a source that represent all of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from napari_ct_pyramid.model.volume import Volume

from .base import Source, Voxels

_BYTES = 4_000_000
_PLACES = 512
_FEW_PLACES = 8  # at least, however long it takes to decode them
_DECODED_BYTES = 100_000_000  # at most, for more places than _FEW_PLACES
_COMPUTED_SHARE = 32  # of a lazy array, one in so many voxels is computed for a sample


def a_few_rows(source: Source) -> Voxels:
    """Rows from a few places, the same every time: few enough to be read for every plan.

    Their bytes identify the source in the journal of a conversion, so the choice of rows must never change. That of an
    array may: no other process knows it.
    """
    depth, height, columns = source.volume.shape
    rows = min(height, math.ceil(_BYTES / _FEW_PLACES / (columns * source.volume.dtype.itemsize)))
    if source.in_memory:
        return _of_few_units(source, rows)
    slices = sorted({(depth - 1) * i // (_FEW_PLACES - 1) for i in range(_FEW_PLACES)})
    return _read(source, [(z, (height - rows) * i // len(slices)) for i, z in enumerate(slices)], rows)


def _of_few_units(source: Source, rows: int) -> Voxels:
    """Rows of as few blocks of a lazy array as possible: it may take long to compute one."""
    volume = source.volume
    depth, height, columns = volume.shape
    deep, high, _ = volume.granularity
    share = volume.nbytes // (_COMPUTED_SHARE * deep * high * columns * volume.dtype.itemsize)
    places = max(1, min(_FEW_PLACES, depth, share))
    rows = min(rows, high) if high > 1 else rows
    starts = [
        ((2 * i + 1) * depth // (2 * places), (height - rows) * (i + 1) // (places + 1) // high * high)
        for i in range(places)
    ]
    return _read(source, starts, rows)


def spread_rows(source: Source) -> Voxels:
    """Rows from all parts of a source, the same every time. A small source is returned whole.

    Returns
    -------
    numpy.ndarray
        Shape (places, rows, x), of the source's dtype.
    """
    volume = source.volume
    depth, height, columns = volume.shape
    row_bytes = columns * volume.dtype.itemsize
    if volume.nbytes <= _BYTES:
        sample = np.empty(volume.shape, volume.dtype)
        source.read(0, depth, 0, height, sample)
        return sample
    decoded = volume.granularity[0] * volume.granularity[1] * row_bytes
    places = max(_FEW_PLACES, min(_PLACES, _DECODED_BYTES // decoded, _BYTES // row_bytes))
    rows = max(1, min(height, _BYTES // places // row_bytes))
    # Steps of the golden ratio along y leave no large gaps, whatever the number of places.
    starts = [
        ((2 * i + 1) * depth // (2 * places), i * 618_034 % 1_000_000 * (height - rows) // 1_000_000)
        for i in range(places)
    ]
    return _read(source, starts, rows)


def share_decoded(volume: Volume, sample: tuple[int, ...]) -> float:
    """How much of a volume was decoded to read a sample of the shape (places, rows, x), from 0 to 1.

    Whole strips, tiles or chunks are decoded, even where the sample takes only a few of their rows.
    """
    slices, height, _ = volume.granularity
    places, rows, _ = sample
    decoded = min(places * slices, volume.shape[0]) * min(-(-rows // height) * height, volume.shape[1])
    return decoded / (volume.shape[0] * volume.shape[1])


def _read(source: Source, starts: Sequence[tuple[int, int]], rows: int) -> Voxels:
    """Read `rows` rows, starting at each place (z, y)."""
    sample = np.empty((len(starts), rows, source.volume.shape[2]), source.volume.dtype)
    for (z, y), out in zip(starts, sample, strict=True):
        source.read(z, z + 1, y, y + rows, out[None])
    return sample
