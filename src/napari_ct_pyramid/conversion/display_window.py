"""The display window of a finished pyramid, so that no reader has to look through the volume for it."""

from __future__ import annotations

import math

import numpy as np

from napari_ct_pyramid.model.intensity import PERCENT
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.model.statistics import Statistics
from napari_ct_pyramid.omezarr.writer import Store

_CHUNKS = 64  # looked at, of the coarsest level, spread evenly
_SAMPLES = 65_536  # of each


def display_window(store: Store, plan: Plan, statistics: Statistics) -> dict[str, float]:
    """The omero window: exact extremes as min and max, percentiles of the coarsest level as start and end.

    Parameters
    ----------
    store : Store
        With all levels written.
    plan : Plan
    statistics : Statistics
        Of level 0, as the source has it.

    Returns
    -------
    dict
        In values as they are stored.
    """
    level = plan.levels[-1]
    # Voxels that padding takes part in would pull the window towards zero.
    shape = tuple(n // r or 1 for n, r in zip(plan.volume.shape, level.reduction, strict=True))
    grid = list(np.ndindex(*(math.ceil(n / c) for n, c in zip(shape, level.chunks, strict=True))))
    samples = [np.zeros(0, level.dtype)]
    for index in grid[:: math.ceil(len(grid) / _CHUNKS)]:
        inside = tuple(slice(n - i * c) for n, i, c in zip(shape, index, level.chunks, strict=True))
        voxels = store.read_chunk(len(plan.levels) - 1, index)[inside].ravel()
        samples.append(voxels[:: math.ceil(voxels.size / _SAMPLES)].copy())
    found = np.concatenate(samples)
    found = found[np.isfinite(found)]
    low, high = statistics.minimum, statistics.maximum
    if low > high:  # no voxel is finite
        low = high = 0.0
    elif plan.rescale:
        low, high = plan.rescale.stored(low), plan.rescale.stored(high)
    start, end = np.percentile(found.astype(np.float64), PERCENT) if found.size else (low, high)
    if not start < end:
        start, end = low, high
    if not start < end:  # the volume is of one value: anything wider shows it
        end = start + 1
    number = int if level.dtype.kind in "iu" else float
    return {"min": number(low), "max": number(high), "start": float(start), "end": float(end)}
