"""Windows of grey values: found from a sample, and used to store grey values as integers of fewer bits.

The grey value of a stored voxel is ``stored * slope + intercept``, as with DICOM's Rescale Slope and Rescale Intercept
(PS3.3, C.11.1).
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .counter import pseudo_random
from .histogram import Bins, quantiles
from .statistics import Statistics

if TYPE_CHECKING:
    import numpy as np


PERCENT = (0.1, 99.9)
"""The percentiles of the voxels at which a display window, or an automatic window, begins and ends."""

_SHARES = (PERCENT[0] / 100, PERCENT[1] / 100)

_PIECE = 16_384  # voxels at a time: as float64 and with a mask, they fit in a core's second-level cache


@dataclass(frozen=True)
class Rescale:
    """How grey values are stored.

    Attributes
    ----------
    source_dtype : numpy.dtype
        Of the grey values.
    dtype : numpy.dtype
        Of the stored values: unsigned integers.
    low, high : float
        The window: grey values that become the smallest and the largest stored value. Values beyond them are clipped,
        and a NaN becomes the smallest.
    """

    source_dtype: np.dtype
    dtype: np.dtype
    low: float
    high: float

    @property
    def slope(self) -> float:
        """Difference of the grey values of two neighbouring stored values."""
        return (self.high - self.low) / self._top

    @property
    def intercept(self) -> float:
        """The grey value that is stored as 0."""
        return self.low

    def apply(self, voxels: np.ndarray, out: np.ndarray) -> int:
        """Fill `out` with the stored values of `voxels`, rounded to the nearest, ties to even.

        Parameters
        ----------
        voxels : numpy.ndarray
            Grey values, shape (z, y, x).
        out : numpy.ndarray
            Of the same shape and of `dtype`.

        Returns
        -------
        int
            Voxels outside of the window: infinities count, NaN does not.
        """
        rows = max(1, _PIECE // voxels.shape[2])
        clipped = 0
        with np.errstate(invalid="ignore"):  # signalling NaNs would give a warning
            for image, stored in zip(voxels, out, strict=True):
                for y in range(0, len(image), rows):
                    clipped += self._apply(image[y : y + rows], stored[y : y + rows])
        return clipped

    def stored(self, grey: float) -> int:
        """The stored value of one grey value."""
        out = np.empty((1, 1, 1), self.dtype)
        self.apply(np.full((1, 1, 1), grey), out)
        return int(out.item())

    def then(self, other: Rescale) -> Rescale:
        """This rescaling followed by another, as one."""
        low, high = (value * self.slope + self.intercept for value in (other.low, other.high))
        return Rescale(self.source_dtype, other.dtype, low, high)

    def to_json(self) -> dict[str, Any]:
        """As written to an image's metadata."""
        return {
            "source_dtype": self.source_dtype.name,
            "window": [self.low, self.high],
            "slope": self.slope,
            "intercept": self.intercept,
        }

    @property
    def _top(self) -> int:
        return int(np.iinfo(self.dtype).max)

    def _apply(self, voxels: np.ndarray, out: np.ndarray) -> int:
        exact, mask = _scratch(voxels.shape)
        exact[...] = voxels
        clipped = int(np.count_nonzero(np.less(exact, self.low, out=mask)))
        clipped += int(np.count_nonzero(np.greater(exact, self.high, out=mask)))
        np.clip(exact, self.low, self.high, out=exact)
        if voxels.dtype.kind == "f" and np.isnan(exact, out=mask).any():
            exact[mask] = self.low
        exact -= self.low
        exact *= self._top / (self.high - self.low)
        out[...] = np.rint(exact, out=exact)
        return clipped


def read_rescale(value: Any, dtype: np.dtype) -> Rescale | None:
    """The rescaling in the metadata of an image whose voxels are of `dtype`; None where there is no valid one."""
    try:
        low, high = map(float, value["window"])
        found = Rescale(np.dtype(value["source_dtype"]), dtype, low, high)
        return found if dtype.kind == "u" and has_finite_slope(low, high, dtype) else None
    except (KeyError, TypeError, ValueError):
        return None


def percentile_limits(voxels: np.ndarray) -> tuple[float, float] | None:
    """The `PERCENT` percentiles of the finite voxels; None if there are none, or both percentiles are equal."""
    finite = voxels[np.isfinite(voxels)].astype(np.float64)
    if not finite.size:
        return None
    low, high = (float(value) for value in np.percentile(finite, PERCENT))
    return (low, high) if low < high else None


def automatic_window(sample: np.ndarray) -> tuple[float, float]:
    """A window for all voxels, from a sample of them. It leaves out the darkest and the brightest voxels."""
    finite = sample[np.isfinite(sample)]
    if not finite.size:
        return 0.0, 1.0
    low, high = percentile_limits(finite) or (float(finite.min()), float(finite.max()))
    if sample.dtype.kind != "f":
        low, high = float(math.floor(low)), float(math.ceil(high))
    if not low < high:  # all voxels have one value, which is kept exactly
        high = low + max(1.0, abs(low) / 1e6)
    return low, high


def some_of(voxels: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the voxels, from all over the array, in one dimension.

    One of each few neighbours is taken, at a place that is as good as random: places at equal steps would lie in a few
    columns, and a structure with the same period would be missed, or be all that is seen.
    """
    flat = np.ravel(voxels)
    if flat.size <= most or not most:
        return flat[:most]
    numbers = np.arange(most, dtype=np.int64)
    within = pseudo_random(numbers, np.zeros(1, np.int64)) / 2.0**64
    places = ((numbers + within) * (flat.size / most)).astype(np.int64)
    chosen: np.ndarray = flat[np.minimum(places, flat.size - 1)]
    return chosen


def estimated_limits(samples: list[Any]) -> tuple[float, float]:
    """A display window from some voxels, such as a few chunks of a level."""
    voxels = np.concatenate([some_of(sample, 100_000) for sample in samples])
    finite = voxels[np.isfinite(voxels)]
    low = float(finite[0]) if finite.size else 0.0
    return percentile_limits(finite) or (low, low + max(1.0, abs(low) / 1e6))


def display_window(
    statistics: Statistics, bins: Bins, rescale: Rescale | None = None, before: tuple[float, float] | None = None
) -> dict[str, float]:
    """The omero window of an image: the extremes as min and max, percentiles of level 0 as start and end.

    Parameters
    ----------
    statistics : Statistics
        Of all voxels of the source, with the histogram of level 0.
    bins : Bins
        Of the histogram.
    rescale : Rescale, optional
        How the voxels were stored, where that changed them.
    before : tuple of float, optional
        Start and end for an image whose histogram is unknown. Default: the extremes.

    Returns
    -------
    dict
        min, max, start and end, in stored values.
    """
    low, high = statistics.minimum, statistics.maximum
    if low > high:  # no voxel is finite
        low = high = 0.0
    elif rescale:
        low, high = rescale.stored(low), rescale.stored(high)
    start, end = before or (low, high)
    if statistics.histogram is not None:
        found = quantiles(bins, statistics.histogram, _SHARES) or (low, high)
        start, end = (min(max(value, low), high) for value in found)
    if not start < end:  # all voxels but very few are equal
        start, end = low, high if low < high else low + 1
    number = int if np.dtype(bins.dtype).kind in "iu" else float
    return {"min": number(low), "max": number(high), "start": float(start), "end": float(end)}


def scratch_bytes(columns: int) -> int:
    """Bytes that each thread needs to rescale rows of this many columns."""
    return max(columns, _PIECE) * 9


def has_finite_slope(low: float, high: float, dtype: np.dtype) -> bool:
    """Whether the slope of a window, and its inverse, can be computed."""
    slope = (high - low) / int(np.iinfo(dtype).max)
    return math.isfinite(slope) and slope > 0 and math.isfinite(1 / slope)


_own = threading.local()


def _scratch(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Floats and a mask in buffers of this thread, which are made once and kept."""
    size = math.prod(shape)
    buffers = getattr(_own, "buffers", None)
    if buffers is None or buffers[0].size < size:
        capacity = max(size, _PIECE)
        buffers = _own.buffers = np.empty(capacity, np.float64), np.empty(capacity, np.bool_)
    floats, mask = buffers
    return floats[:size].reshape(shape), mask[:size].reshape(shape)
