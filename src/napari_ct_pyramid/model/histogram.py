"""Histograms of level 0: their bins, their sum, the values below which a share of the voxels lies.

Voxels of at most 16 bits are counted each value on its own. Others are counted in narrow bins of equal width; what lies
outside of these, by the first 16 bits of its floating-point number.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np  # not at run time: commands that touch no voxel read the journal, too

COUNTED_WHOLE = 2_000_000
"""A volume of at most so many voxels is counted whole. To count all of a larger one would take too long: 1.6 ns a voxel
of 16 bits, which is a third of the processor time of its conversion."""

KEYS = 65_536
"""Bins of 16-bit values."""

LINEAR = 8_192
"""Bins of equal width, which wider types have, too."""


BINS_SAMPLE = 100_000
"""Voxels from which the bins are chosen: more would take longer, and not change them."""


@dataclass(frozen=True)
class Bins:
    """The bins in which voxels of a type are counted.

    The first 65,536 are those of 16-bit values, in their order, or of the first 16 bits of floating-point numbers. The
    others, which wider types have, are of equal width from `low` to `high`.

    Attributes
    ----------
    dtype : str
        Type of the voxels, as numpy writes it.
    low, high : float
        Where the bins of equal width begin and end; not used by types of at most 16 bits.
    whole : bool
        Whether all voxels are counted, instead of a sample.
    """

    dtype: str
    low: float = 0.0
    high: float = 1.0
    whole: bool = True

    def edges(self, bins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The smallest value of each bin, and the smallest above it, as float64. Equal ones: a single value."""
        import numpy as np

        dtype = np.dtype(self.dtype)
        if dtype.itemsize <= 2 and dtype.kind != "f":
            values = bins.astype(np.float64) + (np.iinfo(dtype).min if dtype.kind == "i" else 0)
            return values, values + 1
        if dtype.itemsize <= 2:
            values = from_order(bins.astype(np.uint16)).view(np.float16).astype(np.float64)
            return values, values
        width = (self.high - self.low) / LINEAR
        left = self.low + (bins - KEYS) * width
        right = left + width
        keys = bins < KEYS
        first = _from_order32(bins[keys].astype(np.uint32) << 16)
        last = _from_order32((bins[keys].astype(np.uint32) << 16) | 0xFFFF)
        left[keys], right[keys] = first.astype(np.float64), last.astype(np.float64)
        return left, right


def choose_bins(dtype: np.dtype, voxels: int, sample: np.ndarray) -> Bins:
    """The bins for a volume.

    Parameters
    ----------
    dtype : numpy.dtype
        Of its voxels, as stored.
    voxels : int
        Their number.
    sample : numpy.ndarray
        Some of them. They decide where the bins are narrow, for types of more than 16 bits.
    """
    import numpy as np

    if dtype.itemsize <= 2:
        return Bins(dtype.str, whole=voxels <= COUNTED_WHOLE)
    finite = sample[np.isfinite(sample)].astype(np.float64)
    low, high = (float(value) for value in np.percentile(finite, (0.5, 99.5))) if finite.size else (0.0, 1.0)
    # The sample is of a few places: leave as much room at both ends again.
    room = max(high - low, abs(low) * 1e-6, abs(high) * 1e-6, 1e-30)
    # Differences of voxels and bins must be finite.
    limit = float(np.finfo(dtype).max) / 4 if dtype.kind == "f" else math.inf
    low, high = max(low - room, -limit), min(high + room, limit)
    return Bins(dtype.str, *((low, high) if low < high else (-limit, limit)), voxels <= COUNTED_WHOLE)


@dataclass(frozen=True)
class Histogram:
    """Numbers of voxels in `Bins`. The sum of two gives that of both sets of voxels together.

    Attributes
    ----------
    packed : bytes
        Numbers of the bins that are not empty, and of the voxels in each, compressed.
    """

    packed: bytes = b""

    @property
    def bins(self) -> np.ndarray:
        """Numbers of the bins that are not empty, rising."""
        return self._unpack()[0]

    @property
    def counts(self) -> np.ndarray:
        """Voxels in each bin of `bins`."""
        return self._unpack()[1]

    def __add__(self, other: Histogram) -> Histogram:
        if not (self.packed and other.packed):
            return Histogram(self.packed or other.packed)
        import numpy as np

        size = KEYS + LINEAR
        total = np.zeros(size, np.int64)
        for one in (self, other):
            bins, counts = one._unpack()
            total[bins] += counts
        return pack(total)

    def _unpack(self) -> tuple[np.ndarray, np.ndarray]:
        import numpy as np

        if not self.packed:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        data = zlib.decompress(self.packed)
        (size,) = struct.unpack_from("<I", data)
        bins = np.cumsum(np.frombuffer(data, "<u4", size, 4).astype(np.int64))
        return bins, np.frombuffer(data, "<i8", size, 4 + 4 * size).astype(np.int64)


def pack(counts: np.ndarray) -> Histogram:
    """The histogram with these numbers of voxels, one for each bin."""
    import numpy as np

    bins = np.flatnonzero(counts)
    if not bins.size:
        return Histogram()
    steps = np.diff(bins, prepend=0).astype("<u4")
    return Histogram(
        zlib.compress(struct.pack("<I", bins.size) + steps.tobytes() + counts[bins].astype("<i8").tobytes(), 1)
    )


SHOWN_BINS = 256
"""The most bins of a histogram that is written down."""


def quantiles(bins: Bins, histogram: Histogram, shares: tuple[float, ...]) -> tuple[float, ...] | None:
    """The values below which these shares of the voxels lie; None if no voxel was counted.

    Where a bin holds many values, they are taken to be evenly spread in it.
    """
    import numpy as np

    counts = histogram.counts
    if not counts.size:
        return None
    left, right = bins.edges(histogram.bins)
    whole_numbers = np.dtype(bins.dtype).itemsize <= 2
    order = np.argsort(left, kind="stable")
    left, right, counts = left[order], right[order], counts[order]
    above = np.cumsum(counts)
    found = []
    for share in shares:
        rank = share * (above[-1] - 1)
        at = int(np.searchsorted(above, rank, side="right"))
        within = (rank - (above[at] - counts[at]) + 0.5) / counts[at]
        found.append(float(left[at] if whole_numbers else left[at] + within * (right[at] - left[at])))
    return tuple(found)


def histogram_json(bins: Bins, histogram: Histogram, minimum: float, maximum: float) -> dict[str, Any] | None:
    """A histogram as the receipt states it; None if no voxel was counted.

    Parameters
    ----------
    bins : Bins
    histogram : Histogram
    minimum, maximum : float
        Of all voxels that are finite.

    Returns
    -------
    dict
        ``edges``, rising, one more than ``counts``: the counts are those of the voxels from an edge up to the next.
        ``exact``: whether all voxels were counted, or a sample. The bins are of equal width, but for the first and the
        last, which reach as far as there are voxels.
    """
    import numpy as np

    counts = histogram.counts
    if not counts.size:
        return None
    left, right = bins.edges(histogram.bins)
    integers = np.dtype(bins.dtype).kind in "iub"
    ends = quantiles(bins, histogram, (0.0005, 0.9995))
    assert ends
    low, high = ends
    room = 0.1 * (high - low)
    low, high = max(minimum, low - room), min(maximum, high + room)
    edges: np.ndarray
    if integers:
        top = maximum + 1
        if top - minimum <= SHOWN_BINS:
            edges = np.arange(minimum, top + 1)
        else:
            width = max(1, math.ceil((high - low + 1) / (SHOWN_BINS - 2)))
            inner = math.floor(low) + width * np.arange(math.ceil((high - low + 1) / width) + 1)
            edges = np.unique(np.concatenate([[minimum], inner[(inner > minimum) & (inner < top)], [top]]))
    elif low < high:
        edges = np.unique(np.concatenate([[minimum], np.linspace(low, high, SHOWN_BINS - 1), [maximum]]))
    else:
        edges = np.unique([minimum, maximum])
    if edges.size == 1:  # one value
        edges = np.array([minimum, np.nextafter(minimum, np.inf)])
    values = left if np.dtype(bins.dtype).itemsize <= 2 else (left + right) / 2
    places = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, edges.size - 2)
    shown = np.bincount(places, weights=counts, minlength=edges.size - 1)
    number = int if integers else float
    return {
        "edges": [number(edge) for edge in edges],
        "counts": [int(count) for count in shown],
        "exact": bins.whole,
    }


def _from_order32(order: np.ndarray) -> np.ndarray:
    """The floating-point numbers that `_to_order32` ordered. Those beyond the finite ones are the nearest finite."""
    import numpy as np

    limit = float(np.finfo(np.float32).max)
    bits = np.where(order >> np.uint32(31) != 0, order & np.uint32(0x7FFFFFFF), ~order).astype(np.uint32)
    return np.nan_to_num(bits.view(np.float32), nan=0.0, posinf=limit, neginf=-limit)


def from_order(order: np.ndarray) -> np.ndarray:
    """The bits of the 16-bit floating-point numbers in their order."""
    import numpy as np

    return np.where(order >> np.uint16(15) != 0, order & np.uint16(0x7FFF), ~order).astype(np.uint16)
