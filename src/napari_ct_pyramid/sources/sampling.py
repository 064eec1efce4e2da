"""Some rows of a source that stand for all of it."""

from __future__ import annotations

import math

import numpy as np

from .registry import Source

_BYTES = 4_000_000
_PLACES = 128
_FEW_PLACES = 8  # whatever it takes to decode them
_DECODED_BYTES = 100_000_000


def a_few_rows(source: Source) -> np.ndarray:
    """Stretches of rows here and there, the same every time: few enough to be read for every plan."""
    depth, rows, columns = source.volume.shape
    height = min(rows, math.ceil(_BYTES / _FEW_PLACES / (columns * source.volume.dtype.itemsize)))
    places = sorted({(depth - 1) * i // (_FEW_PLACES - 1) for i in range(_FEW_PLACES)})
    sample = np.empty((len(places), height, columns), source.volume.dtype)
    for i, z in enumerate(places):
        y = (rows - height) * i // len(places)
        source.read(z, z + 1, y, y + height, sample[i : i + 1])
    return sample


def spread_rows(source: Source) -> np.ndarray:
    """Rows from all over a source, the same every time; all of them where there are few.

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
    sample = np.empty((places, rows, columns), volume.dtype)
    for i in range(places):
        z = (2 * i + 1) * depth // (2 * places)
        # Along y by the golden ratio, which leaves no large gaps however many places there are.
        y = i * 618_034 % 1_000_000 * (height - rows) // 1_000_000
        source.read(z, z + 1, y, y + rows, sample[i : i + 1])
    return sample
