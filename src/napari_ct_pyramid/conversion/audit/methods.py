"""Finds by which method a level was made from the finer one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from napari_ct_pyramid.model.volume import Box

from .image import Level

_FIRST = ("mean", "stride")  # tried on every block; the others where none of these fits
_ROUNDING = 1.0  # integers that were rounded in any direction differ by less
_RELATIVE = {2: 2e-3, 4: 1e-5, 8: 1e-9}  # of floats, by their size in bytes
_ALIKE = 0.5  # correlation with the mean, from which on a block is a smoothed copy
_FARTHEST = 4.0  # from the mean, in spreads: a voxel of the window is 1 away, a smoothed one of a slope up to 2
_FLAT = 0.05  # of the usual spread, at least: beside a flat block may be something whose smoothed edge reaches into it

GAUSSIAN, NONE, CONSTANT = "gaussian-like", "none", "constant"
MEAN, STRIDE, CENTRE = "mean", "stride", "stride from the centre"
METHODS = (MEAN, STRIDE, CENTRE, "median", "max", "min", "mode")
"""By which voxels are made exactly."""

_LARGEST = float(np.finfo("f4").max) / 8  # of what is kept: sums of a few do not overflow
_JUDGE_BYTES = 50  # for each block: flags, and numbers of 32 bits


@dataclass
class Comparison:
    """A block of a level, compared with the same block of the finer one.

    Attributes
    ----------
    differences : dict
        By method: the largest absolute difference.
    allowed : float
        The largest difference that is rounding.
    allowed_mean : float
        The same for the mean of wide integers: some programs halve one axis after another, and round each time.
    residual : float
        Root mean square of the difference from the mean.
    spread : float
        Root mean square of the differences of the finer voxels from their mean.
    correlation : float or None
        With the mean; None for blocks of a single value.
    new_odd : int
        Voxels that are NaN or infinite where none of the finer ones is.
    from_nothing : bool
        Whether there is a voxel that is a number where all of the finer ones are NaN or infinite.
    """

    differences: dict[str, float] = field(default_factory=dict)
    allowed: float = 0.0
    allowed_mean: float = 0.0
    residual: float = 0.0
    spread: float = 0.0
    correlation: float | None = None
    new_odd: int = 0
    from_nothing: bool = False

    def fits(self, method: str) -> bool:
        """Whether the block is what a method makes."""
        allowed = self.allowed_mean if method == MEAN else self.allowed
        return self.differences.get(method, math.inf) <= max(allowed, self.allowed)


class Comparisons:
    """The comparisons of the blocks of a level: a table with a short row for each, since there may be millions.

    Parameters
    ----------
    blocks : int
        How many there will be at most.
    axes : int
    """

    def __init__(self, blocks: int, axes: int) -> None:
        self._rows = np.zeros(blocks, _row(axes))
        self._count = 0

    @staticmethod
    def nbytes(blocks: int, axes: int) -> int:
        """The memory of a table, with what `judge` takes."""
        return blocks * (_row(axes).itemsize + _JUDGE_BYTES)

    def add(self, box: Box, result: Comparison) -> None:
        """Add the comparison of a block, which is in `box` of the level."""
        row = self._rows[self._count]
        row["start"], row["stop"] = [s.start for s in box], [s.stop for s in box]
        for number, method in enumerate(METHODS):
            if method in result.differences:
                row["tried"] |= 1 << number
                row["fits"] |= result.fits(method) << number
                row["differences"][number] = _narrow(result.differences[method])
        row["from_nothing"] = result.from_nothing
        row["tells"] = result.correlation is not None
        row["correlation"] = result.correlation or 0.0
        for name in ("allowed", "residual", "spread"):
            row[name] = _narrow(getattr(result, name))
        self._count += 1

    @property
    def rows(self) -> np.ndarray:
        """The table so far."""
        return self._rows[: self._count]

    def differences(self, method: str) -> np.ndarray:
        """The largest difference of each block from what a method makes; 0 where it was not tried."""
        found: np.ndarray = self.rows["differences"][:, METHODS.index(method)]
        return found


def _row(axes: int) -> np.dtype:
    return np.dtype(
        [
            ("start", "u4", (axes,)),
            ("stop", "u4", (axes,)),
            ("differences", "f4", (len(METHODS),)),
            ("allowed", "f4"),
            ("residual", "f4"),
            ("spread", "f4"),
            ("correlation", "f4"),
            ("tried", "u1"),  # a bit for each method
            ("fits", "u1"),
            ("from_nothing", "?"),
            ("tells", "?"),  # whether it has a correlation
        ]
    )


def _narrow(value: float) -> float:
    """A value that a 32-bit float holds, and a few times that."""
    return min(value, _LARGEST)


@dataclass(frozen=True)
class Method:
    """How a whole level was made, and which of its blocks were not, by their numbers."""

    name: str
    largest_difference: float
    wrong: np.ndarray


def whole_factors(finer: Level, coarser: Level) -> tuple[int, ...] | None:
    """How many voxels of the finer level one of the coarser has along each axis; None if these are no whole numbers."""
    found = []
    for axis, (n, m) in enumerate(zip(finer.shape, coarser.shape, strict=True)):
        if not m or m > n:
            return None
        options = [round(n / m), n // m, math.ceil(n / m)]
        if finer.scale and coarser.scale:
            ratio = coarser.scale[axis] / finer.scale[axis] if finer.scale[axis] else math.inf
            options[:0] = [round(ratio)] if math.isfinite(ratio) else []
        factor = next((f for f in options if f >= 1 and n // f <= m <= math.ceil(n / f)), None)
        if factor is None:
            return None
        found.append(factor)
    return tuple(found)


def compare(fine: np.ndarray, coarse: np.ndarray, factors: Sequence[int]) -> Comparison:
    """Compare a block with the finer one.

    Parameters
    ----------
    fine : numpy.ndarray
        Along each axis as long as `coarse`, times the factor; at the edges of a level it may be longer or shorter.
    coarse : numpy.ndarray
    factors : sequence of int
    """
    shape = [min(n // f, m) for n, m, f in zip(fine.shape, coarse.shape, factors, strict=True)]
    if 0 in shape:
        return Comparison()
    inner = fine[tuple(slice(n * f) for n, f in zip(shape, factors, strict=True))]
    found = coarse[tuple(map(slice, shape))].astype("f8")
    windows = _windows(inner.astype("f8"), shape, factors)
    whole = np.isfinite(windows).all(axis=-1)
    finite = whole & np.isfinite(found)
    new_odd, from_nothing = int(np.count_nonzero(whole & ~finite)), False
    if not finite.all():
        from_nothing = bool((np.isfinite(found) & ~np.isfinite(windows).any(axis=-1)).any())
        windows, found = windows[finite], found[finite]
        if not found.size:
            return Comparison(new_odd=new_odd, from_nothing=from_nothing)
    scale = float(np.abs(windows).max(initial=0.0))
    result = Comparison(allowed=_allowed(fine.dtype, coarse.dtype, scale), new_odd=new_odd, from_nothing=from_nothing)
    if coarse.dtype.kind in "iu" and coarse.dtype.itemsize > 1:
        result.allowed_mean = 2 * _ROUNDING - 1e-9
    mean = windows.mean(axis=-1)
    centre = _centre(factors)
    makers: dict[str, Callable[[], np.ndarray]] = {
        "mean": lambda: mean,
        "stride": lambda: windows[..., 0],
        CENTRE: lambda: windows[..., centre],
        "median": lambda: np.median(windows, axis=-1),
        "max": lambda: windows.max(axis=-1),
        "min": lambda: windows.min(axis=-1),
        "mode": lambda: _mode(windows),
    }
    for method, make in makers.items():
        if method not in _FIRST and any(map(result.fits, _FIRST)):
            break
        result.differences[method] = float(np.abs(make() - found).max())
    difference = found - mean
    result.residual = float(np.sqrt(np.mean(difference**2)))
    result.spread = float(np.sqrt(np.mean(windows.var(axis=-1))))
    if mean.std() > 0 and found.std() > 0:
        result.correlation = float(np.corrcoef(mean.ravel(), found.ravel())[0, 1])
    return result


def judge(blocks: Comparisons) -> Method:
    """By which method most blocks of a level were made, and the numbers of those that were not."""
    rows = blocks.rows
    used, telling = rows["tried"] != 0, rows["tells"]
    few = int(telling.sum())
    if not few:
        wrong = used & (rows["fits"] == 0)
        name = NONE if used.any() and wrong.sum() == used.sum() else CONSTANT
        return _method(name, blocks, used, wrong)
    votes = [int(np.count_nonzero(telling & _has(rows["fits"], method))) for method in METHODS]
    most = max(votes)
    if 2 * most > few or (most and few == 2):
        # The nearest of those that fit alike: the mean of labels from 0 to 2 may differ by no more than rounding does.
        likely = [method for method, number in zip(METHODS, votes, strict=True) if number == most]
        best = min(likely, key=lambda method: float(blocks.differences(method)[_has(rows["fits"], method)].max()))
        fits = _has(rows["fits"], best)
        # Where another method fits, this one may not have been tried: both may give the same there.
        ambiguous = ~_has(rows["tried"], best) & _has(rows["fits"], MEAN) & ~telling
        return _method(best, blocks, fits, used & ~fits & ~ambiguous)
    alike = telling & _is_like(rows, float(np.median(rows["spread"][telling])))
    if 2 * int(alike.sum()) <= few:
        return _method(NONE, blocks, used, used)
    wrong = used & ~_is_like(rows, float(np.median(rows["spread"][alike])))
    return _method(GAUSSIAN, blocks, used & ~wrong, wrong)


def _method(name: str, blocks: Comparisons, measured: np.ndarray, wrong: np.ndarray) -> Method:
    found = blocks.differences(name if name in METHODS else MEAN)[measured]
    return Method(name, float(found.max(initial=0.0)), np.flatnonzero(wrong))


def _has(bits: np.ndarray, method: str) -> np.ndarray:
    found: np.ndarray = bits & (1 << METHODS.index(method)) != 0
    return found


def _is_like(rows: np.ndarray, usual: float) -> np.ndarray:
    """Which blocks are smoothed copies of the finer ones. `usual` is the spread of most blocks."""
    other = rows["tells"] & (rows["correlation"] < _ALIKE)
    near = _FARTHEST * np.maximum(rows["spread"], _FLAT * usual) + rows["allowed"]
    found: np.ndarray = rows["residual"] <= np.where(other, rows["allowed"], near)
    return found


def _windows(array: np.ndarray, shape: Sequence[int], factors: Sequence[int]) -> np.ndarray:
    """The voxels that make each coarse one, along a last axis, in their order in `array`."""
    parts = array.reshape([n for pair in zip(shape, factors, strict=True) for n in pair])
    axes = [*range(0, 2 * len(shape), 2), *range(1, 2 * len(shape), 2)]
    return parts.transpose(axes).reshape(*shape, math.prod(factors))


def _centre(factors: Sequence[int]) -> int:
    return int(np.ravel_multi_index([f // 2 for f in factors], tuple(factors)))


def _mode(windows: np.ndarray) -> np.ndarray:
    """The most frequent value of each window, the smallest of several."""
    ordered = np.sort(windows, axis=-1)
    counts = np.zeros(ordered.shape, np.int16)
    for k in range(ordered.shape[-1]):
        counts += ordered == ordered[..., k : k + 1]
    return np.take_along_axis(ordered, counts.argmax(axis=-1)[..., None], axis=-1)[..., 0]


def _allowed(fine: np.dtype, coarse: np.dtype, scale: float) -> float:
    if coarse.kind in "iub":
        return _ROUNDING - 1e-9
    return _RELATIVE.get(max(2, min(fine.itemsize, coarse.itemsize)), 1e-5) * scale + 1e-300
