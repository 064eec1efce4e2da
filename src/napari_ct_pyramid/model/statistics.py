"""What voxels come to when they are counted: their extremes, and those that are no finite numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np  # not at run time: the journal is read where no voxel is


@dataclass(frozen=True)
class Statistics:
    """Of some voxels; two of them add up.

    Attributes
    ----------
    minimum, maximum : float
        Of the finite voxels; inf and -inf while there are none.
    nans, infinities : int
        Voxels that are not finite.
    clipped : int
        Voxels outside of the window in which they are stored, infinities among them.
    """

    minimum: float = math.inf
    maximum: float = -math.inf
    nans: int = 0
    infinities: int = 0
    clipped: int = 0

    def __add__(self, other: Statistics) -> Statistics:
        return Statistics(
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
            self.nans + other.nans,
            self.infinities + other.infinities,
            self.clipped + other.clipped,
        )


def voxel_statistics(array: np.ndarray) -> Statistics:
    """Count the voxels of an array that is not empty."""
    import numpy as np

    low, high = array.min(), array.max()
    if array.dtype.kind != "f" or (np.isfinite(low) and np.isfinite(high)):
        return Statistics(float(low), float(high))
    finite = array[np.isfinite(array)]
    nans = int(np.count_nonzero(np.isnan(array)))
    infinities = array.size - finite.size - nans
    if not finite.size:
        return Statistics(nans=nans, infinities=infinities)
    return Statistics(float(finite.min()), float(finite.max()), nans, infinities)
