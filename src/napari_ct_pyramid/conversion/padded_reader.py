"""Reads level 0 from a source: adds the padding, rescales grey values, and takes their statistics."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Protocol

import numpy as np

from napari_ct_pyramid.model.blocks import Extent, is_read_apart
from napari_ct_pyramid.model.counter import Counter
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.model.statistics import Statistics, voxel_statistics


class VoxelSource(Protocol):
    """Where the voxels of level 0 come from."""

    def read(self, z0: int, z1: int, y0: int, y1: int, out: np.ndarray, /) -> None:
        """Fill `out` (z, y, x) with whole rows of a region. Several threads call this at once."""


class PaddedReader:
    """Reads level 0 from a source. Several threads may read at once, each in a buffer of its own where it needs one.

    Parameters
    ----------
    source : VoxelSource
    plan : Plan
    extent : tuple of int
        Slices and rows that are read at once, at most.
    """

    def __init__(self, source: VoxelSource, plan: Plan, extent: Extent) -> None:
        self._source = source
        self._volume = plan.volume
        self._extent = extent
        self._rescale = plan.rescale
        self._needs_buffer = is_read_apart(plan.volume, plan.levels[0])
        self._of_thread = threading.local()

    def read(self, z: int, y: int, out: np.ndarray, counter: Counter | None = None) -> Statistics:
        """Fill `out` (z, y, x) with the rows from slice `z` and row `y` on, and count the voxels in them.

        Returns
        -------
        Statistics
            Of the source's voxels among them, before they are rescaled. The histogram is left to the counter.
        """
        depth, height, width = self._volume.shape
        slices, rows = (max(0, min(n, size)) for n, size in zip(out.shape, (depth - z, height - y), strict=False))
        out[slices:] = 0
        out[:slices, rows:] = 0
        out[:slices, :rows, width:] = 0
        if not slices * rows:
            return Statistics()
        inside = out[:slices, :rows, :width]
        voxels = self._buffer()[:slices, :rows] if self._needs_buffer else inside
        self._source.read(z, z + slices, y, y + rows, voxels)
        statistics = voxel_statistics(voxels)
        if self._rescale:
            statistics = replace(statistics, clipped=self._rescale.apply(voxels, inside))
        elif self._needs_buffer:
            inside[...] = voxels
        if counter:
            all_finite = statistics.nans == statistics.infinities == 0
            counter.count(inside, z, y, finite=None if all_finite else np.isfinite(voxels))
        return statistics

    def _buffer(self) -> np.ndarray:
        """This thread's buffer for voxels of the source."""
        if not hasattr(self._of_thread, "voxels"):
            self._of_thread.voxels = np.empty((*self._extent, self._volume.shape[2]), self._volume.dtype)
        buffer: np.ndarray = self._of_thread.voxels
        return buffer
