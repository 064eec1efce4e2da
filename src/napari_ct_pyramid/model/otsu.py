"""Otsu's threshold, from a histogram.

N. Otsu, "A threshold selection method from gray-level histograms", IEEE Transactions on Systems, Man, and Cybernetics
9 (1979), 62-66: https://doi.org/10.1109/TSMC.1979.4310076. The result is that of `skimage.filters.threshold_otsu`.
"""

from __future__ import annotations

import numpy as np


def otsu_threshold(counts: np.ndarray, values: np.ndarray) -> float | None:
    """The value that best separates the voxels up to it from those above it.

    Parameters
    ----------
    counts : numpy.ndarray
        Voxels in each bin.
    values : numpy.ndarray
        The value that each bin stands for, rising.

    Returns
    -------
    float or None
        The largest variance between the two classes is at this value; None if all voxels are in one bin.
    """
    filled = np.flatnonzero(counts)
    if filled.size < 2:
        return None
    counts = counts.astype(np.float64)
    values = np.asarray(values, np.float64)
    scaled = values / 2.0**600 if max(abs(values[0]), abs(values[-1])) > 1e100 else values  # squares must be finite
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    moment = counts * scaled
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_below = np.cumsum(moment) / below
        mean_above = (np.cumsum(moment[::-1]) / np.cumsum(counts[::-1]))[::-1]
        between = below[:-1] * above[1:] * (mean_below[:-1] - mean_above[1:]) ** 2
    return float(values[int(np.nanargmax(between))])
