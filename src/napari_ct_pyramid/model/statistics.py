"""Statistics of voxels: the smallest and largest value, and the numbers of voxels that are not finite or clipped."""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .histogram import Histogram

if TYPE_CHECKING:
    import numpy as np  # not at run time: commands that touch no voxel read the journal, too


@dataclass(frozen=True)
class Statistics:
    """The statistics of some voxels. The sum of two gives the statistics of both sets of voxels together.

    Attributes
    ----------
    minimum, maximum : float
        Of the finite voxels; inf and -inf where there are none.
    nans, infinities : int
        Voxels that are not finite.
    clipped : int
        Voxels outside the window in which they are stored, infinities included.
    histogram : Histogram or None
        Of the finite voxels, as stored, in the bins of the plan; None where it is unknown.
    """

    minimum: float = math.inf
    maximum: float = -math.inf
    nans: int = 0
    infinities: int = 0
    clipped: int = 0
    histogram: Histogram | None = Histogram()

    def __add__(self, other: Statistics) -> Statistics:
        return Statistics(
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
            self.nans + other.nans,
            self.infinities + other.infinities,
            self.clipped + other.clipped,
            None if self.histogram is None or other.histogram is None else self.histogram + other.histogram,
        )

    def to_json(self) -> dict[str, Any]:
        """As the journal of a conversion holds it."""
        empty = self.minimum > self.maximum  # JSON has no infinity
        return {
            "minimum": None if empty else self.minimum,
            "maximum": None if empty else self.maximum,
            "nans": self.nans,
            "infinities": self.infinities,
            "clipped": self.clipped,
            "histogram": None if self.histogram is None else b64encode(self.histogram.packed).decode(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Statistics:
        """The statistics that `to_json` wrote. Other entries are ignored.

        Raises
        ------
        KeyError, TypeError, ValueError
            If something else wrote them.
        """
        limits, numbers = (value["minimum"], value["maximum"]), (value["nans"], value["infinities"], value["clipped"])
        if not all(limit is None or type(limit) in (int, float) for limit in limits):
            raise TypeError(f"{limits} are not numbers")
        if not all(type(number) is int and number >= 0 for number in numbers):
            raise TypeError(f"{numbers} are not numbers of voxels")
        return cls(
            math.inf if value["minimum"] is None else value["minimum"],
            -math.inf if value["maximum"] is None else value["maximum"],
            value["nans"],
            value["infinities"],
            value["clipped"],
            None if value.get("histogram") is None else Histogram(b64decode(value["histogram"])),
        )


def voxel_statistics(voxels: np.ndarray) -> Statistics:
    """The statistics of an array with at least one voxel; `clipped` is 0."""
    import numpy as np

    low, high = voxels.min(), voxels.max()
    if voxels.dtype.kind != "f" or (np.isfinite(low) and np.isfinite(high)):
        return Statistics(float(low), float(high))
    finite = voxels[np.isfinite(voxels)]
    nans = int(np.count_nonzero(np.isnan(voxels)))
    infinities = voxels.size - finite.size - nans
    if not finite.size:
        return Statistics(nans=nans, infinities=infinities)
    return Statistics(float(finite.min()), float(finite.max()), nans, infinities)
