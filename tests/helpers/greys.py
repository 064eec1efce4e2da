"""An oracle for rescaled voxels."""

from __future__ import annotations

import numpy as np


def check_nearest(stored: np.ndarray, voxels: np.ndarray, low: float, high: float) -> None:
    """By what stored values stand for: none that could have been stored is nearer to what was there."""
    top = int(np.iinfo(stored.dtype).max)
    slope = (high - low) / top
    wide = voxels.astype("f8")
    assert (stored[np.isnan(wide) | (wide <= low)] == 0).all()
    assert (stored[wide >= high] == top).all()
    inside = (wide > low) & (wide < high)
    away = np.abs(stored[inside] * slope + low - wide[inside])
    assert (away <= slope / 2 * (1 + 1e-9) + 1e-12 * max(abs(low), abs(high))).all()
