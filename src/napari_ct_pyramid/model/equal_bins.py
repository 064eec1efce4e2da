"""Bins of equal width between two values, counted as `numpy.histogram` counts them."""

from __future__ import annotations

import numpy as np

_PIECE = 32_768  # voxels at a time: as float64, they fit in a core's second-level cache


def edges_between(low: float, high: float, bins: int) -> np.ndarray:
    """The edges that `numpy.histogram` uses, as float64: the last bin holds its upper edge, too."""
    if low == high:
        low, high = low - 0.5, high + 0.5
    if not np.isfinite(high - low):  # float64 cannot hold the difference
        return 2 * np.linspace(low / 2, high / 2, bins + 1)
    return np.linspace(low, high, bins + 1)


def count_between(voxels: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Finite voxels in each bin; none lies outside of the edges."""
    bins = edges.size - 1
    counts = np.zeros(bins, np.int64)
    with np.errstate(over="ignore", divide="ignore"):
        low, scale = edges[0], bins / (edges[-1] - edges[0])
        # Otherwise the edges themselves are rounded, and not of equal width.
        is_even = 0 < scale < np.inf and max(abs(low), abs(edges[-1])) * scale < 1e8
    flat = np.ascontiguousarray(voxels).ravel()
    for at in range(0, flat.size, _PIECE):
        piece = flat[at : at + _PIECE].astype(np.float64)
        if voxels.dtype.kind == "f" and not (np.isfinite(piece.min()) and np.isfinite(piece.max())):
            piece = piece[np.isfinite(piece)]
        if not is_even:
            places = np.searchsorted(edges, piece, side="right") - 1
        else:
            exact = (piece - low) * scale
            places = exact.astype(np.intp)
            near = np.flatnonzero(np.abs(exact - np.rint(exact)) < 1e-6)  # rounding may have moved these
            places[near] = np.searchsorted(edges, piece[near], side="right") - 1
        counts += np.bincount(np.clip(places, 0, bins - 1), minlength=bins)
    return counts
