"""Count, extremes, mean and variance of each slice, and of many together.

Parts are combined as in T. F. Chan, G. H. Golub and R. J. LeVeque, "Updating formulae and a pairwise algorithm for
computing sample variances" (1979): stable where the mean is large and the variance is small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_PIECE = 65_536  # voxels at a time: as float64, they fit in a core's second-level cache


@dataclass
class Moments:
    """Of some slices; each attribute has one number for each slice.

    Attributes
    ----------
    counts : numpy.ndarray
        Finite voxels.
    nans, infinities : numpy.ndarray
        Voxels that are not finite.
    low, high : numpy.ndarray
        The smallest and the largest finite value; inf and -inf where there is none.
    mean : numpy.ndarray
        Of the finite voxels, float64.
    squares : numpy.ndarray
        Sum of the squared differences from the mean, float64.
    above : numpy.ndarray
        Finite voxels above the threshold, if one was given.
    """

    counts: np.ndarray
    nans: np.ndarray
    infinities: np.ndarray
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    squares: np.ndarray
    above: np.ndarray

    @classmethod
    def empty(cls, slices: int) -> Moments:
        """Of no voxels."""
        return cls(
            counts=np.zeros(slices, np.int64),
            nans=np.zeros(slices, np.int64),
            infinities=np.zeros(slices, np.int64),
            low=np.full(slices, math.inf),
            high=np.full(slices, -math.inf),
            mean=np.zeros(slices),
            squares=np.zeros(slices),
            above=np.zeros(slices, np.int64),
        )

    def add(self, other: Moments, z: int) -> None:
        """Add those of slices from `z` on."""
        here = slice(z, z + len(other.counts))
        before = self.counts[here].astype(np.float64)
        total = np.maximum(before + other.counts, 1)
        with np.errstate(over="ignore", invalid="ignore"):  # of numbers near the largest, there is no variance
            difference = other.mean - self.mean[here]
            self.mean[here] += difference * (other.counts / total)
            self.squares[here] += other.squares + difference * (before * other.counts / total) * difference
        for mine, added in ((self.counts, other.counts), (self.nans, other.nans),
                            (self.infinities, other.infinities), (self.above, other.above)):  # fmt: skip
            mine[here] += added
        self.low[here] = np.minimum(self.low[here], other.low)
        self.high[here] = np.maximum(self.high[here], other.high)

    def total(self) -> Moments:
        """Of all slices together, in arrays of one number."""
        n, mean = self.counts, 0.0
        if n.sum():
            mean = math.fsum(n / n.sum() * self.mean)
        with np.errstate(over="ignore", invalid="ignore"):
            squares = (self.squares + (self.mean - mean) * n * (self.mean - mean)).sum()
        return Moments(
            counts=np.array([n.sum()]),
            nans=np.array([self.nans.sum()]),
            infinities=np.array([self.infinities.sum()]),
            low=np.array([self.low.min(initial=math.inf)]),
            high=np.array([self.high.max(initial=-math.inf)]),
            mean=np.array([mean]),
            squares=np.array([squares]),
            above=np.array([self.above.sum()]),
        )

    @property
    def std(self) -> np.ndarray:
        """Standard deviations of the finite voxels, as `numpy.std` defines them."""
        std: np.ndarray = np.sqrt(self.squares / np.maximum(self.counts, 1))
        return std


def moments_of(voxels: np.ndarray, limit: float | None = None) -> Moments:
    """Of the slices of an array (z, y, x); `above` counts the voxels above `limit`."""
    found = Moments.empty(len(voxels))
    for z, plane in enumerate(voxels):
        flat = plane.ravel()
        for at in range(0, flat.size, _PIECE):
            found.add(_of_piece(flat[at : at + _PIECE], limit), z)
    return found


def _of_piece(voxels: np.ndarray, limit: float | None) -> Moments:
    found = Moments.empty(1)
    finite = voxels
    if voxels.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            all_finite = math.isfinite(voxels.min()) and math.isfinite(voxels.max())
        if not all_finite:
            finite = voxels[np.isfinite(voxels)]
            found.nans[0] = np.count_nonzero(np.isnan(voxels))
            found.infinities[0] = voxels.size - finite.size - found.nans[0]
    found.counts[0] = finite.size
    if not finite.size:
        return found
    found.low[0], found.high[0] = finite.min(), finite.max()
    exact = finite.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = exact.sum() / finite.size
        if math.isinf(mean):  # the largest numbers of float64
            mean = (exact / finite.size).sum()
        exact -= mean
        np.multiply(exact, exact, out=exact)
        found.mean[0], found.squares[0] = mean, exact.sum()
    if limit is not None:
        found.above[0] = count_above(finite, limit)
    return found


def count_above(voxels: np.ndarray, limit: float) -> int:
    """How many finite voxels lie above a limit, compared as exact numbers."""
    dtype = voxels.dtype
    if dtype.kind != "f":
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        whole = math.floor(limit) if math.isfinite(limit) else limit
        if whole < low:
            return voxels.size
        return 0 if whole >= high else int(np.count_nonzero(voxels > dtype.type(whole)))
    with np.errstate(over="ignore"):
        nearest = dtype.type(limit)
    if float(nearest) > limit:
        nearest = np.nextafter(nearest, dtype.type(-np.inf))
    top = np.finfo(dtype).max
    return int(np.count_nonzero((voxels > nearest) & (voxels <= top)))
