"""What is counted of each tile of a volume, in up to three readings. Counts of tiles are added up, and are picklable.

1. The moments of each slice, and all voxels by the upper 16 bits of their patterns: of 8 and 16 bits, that is all.
2. Of wider types: the histogram, whose edges are the extremes, and the ranks of the percentiles.
3. Of each slice, or of wider types: the voxels above Otsu's threshold, which the histogram gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from napari_ct_pyramid.model.equal_bins import count_between
from napari_ct_pyramid.model.moments import Moments, count_above, moments_of
from napari_ct_pyramid.model.order_counts import KEYS, Ranks, count_keys


class Reading(Protocol):
    """What is counted while a volume is read once."""

    def count(self, voxels: np.ndarray) -> Any:
        """What is counted of a tile (z, y, x)."""

    def add(self, counted: Any, z: int) -> None:
        """Add what was counted of a tile that begins at slice `z`."""

    def merge(self, other: Any) -> None:
        """Add what another reading of the same kind has counted, of other tiles."""


@dataclass
class FirstReading:
    """See the module.

    Parameters
    ----------
    slices : int
    limit : float or None
        A threshold, if it is known.
    """

    slices: int
    limit: float | None

    def __post_init__(self) -> None:
        self.moments = Moments.empty(self.slices)
        self.keys = np.zeros(KEYS, np.int64)

    def count(self, voxels: np.ndarray) -> tuple[Moments, np.ndarray]:
        return moments_of(voxels, self.limit), count_keys(voxels)

    def add(self, counted: tuple[Moments, np.ndarray], z: int) -> None:
        self.moments.add(counted[0], z)
        self.keys += counted[1]

    def merge(self, other: FirstReading) -> None:
        self.add((other.moments, other.keys), 0)


@dataclass
class SecondReading:
    """See the module.

    Parameters
    ----------
    edges : numpy.ndarray
        Of the bins.
    ranks : Ranks
    """

    edges: np.ndarray
    ranks: Ranks

    def __post_init__(self) -> None:
        self.counts = np.zeros(self.edges.size - 1, np.int64)
        self.lower = np.zeros((self.ranks.tables, KEYS), np.int64)

    def count(self, voxels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return count_between(voxels, self.edges), self.ranks.count_lower(voxels)

    def add(self, counted: tuple[np.ndarray, np.ndarray], z: int) -> None:  # noqa: ARG002
        self.counts += counted[0]
        self.lower += counted[1]

    def merge(self, other: SecondReading) -> None:
        self.add((other.counts, other.lower), 0)


@dataclass
class ThirdReading:
    """See the module.

    Parameters
    ----------
    slices : int
    limit : float
        The threshold.
    """

    slices: int
    limit: float

    def __post_init__(self) -> None:
        self.above = np.zeros(self.slices, np.int64)

    def count(self, voxels: np.ndarray) -> np.ndarray:
        return np.array([count_above(plane, self.limit) for plane in voxels])

    def add(self, counted: np.ndarray, z: int) -> None:
        self.above[z : z + counted.size] += counted

    def merge(self, other: ThirdReading) -> None:
        self.add(other.above, 0)
