"""Rows of a source as level 0 has them: of its type, and padded with zeros beyond the source's edges."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np

from .bench import Rows
from .plan import Plan
from .stages import Extent, is_read_apart
from .tally import Tally, tally


class Intake:
    """Reads level 0 from a source. Several threads may read at once, each in a buffer of its own where it takes one.

    Parameters
    ----------
    source : Rows
    plan : Plan
    extent : tuple of int
        Slices and rows that are read at once, at most.
    """

    def __init__(self, source: Rows, plan: Plan, extent: Extent) -> None:
        self._source = source
        self._volume = plan.volume
        self._extent = extent
        self._rescale = plan.rescale
        self._apart = is_read_apart(plan.volume, plan.levels[0])
        self._own = threading.local()

    def read(self, z: int, y: int, rows: np.ndarray) -> Tally:
        """Fill `rows` (z, y, x) with those that begin at a slice and row; the tally is of the source's voxels."""
        depth, height, width = self._volume.shape
        slices, lines = (max(0, min(n, size)) for n, size in zip(rows.shape, (depth - z, height - y), strict=False))
        rows[slices:] = 0
        rows[:slices, lines:] = 0
        rows[:slices, :lines, width:] = 0
        if not slices * lines:
            return Tally()
        inside = rows[:slices, :lines, :width]
        voxels = self._own_voxels()[:slices, :lines] if self._apart else inside
        self._source.read(z, z + slices, y, y + lines, voxels)
        if self._rescale:
            return replace(tally(voxels), clipped=self._rescale.apply(voxels, inside))
        if self._apart:
            inside[...] = voxels
        return tally(voxels)

    def _own_voxels(self) -> np.ndarray:
        """This thread's buffer for what is read."""
        if not hasattr(self._own, "voxels"):
            self._own.voxels = np.empty((*self._extent, self._volume.shape[2]), self._volume.dtype)
        buffer: np.ndarray = self._own.voxels
        return buffer
