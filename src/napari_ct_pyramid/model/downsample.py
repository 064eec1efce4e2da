"""An array to a smaller one, by the mean or another method. Knows nothing of files, chunks or levels.

Rows are taken in groups that stay in a core's second-level cache together with what is made of them on the way.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from itertools import pairwise

import numpy as np

_GROUP_BYTES = 512 * 1024
_NEIGHBOURS_BYTES = 1024 * 1024

Make = Callable[[np.ndarray, np.ndarray], None]

# Pairs to be put in order, one after the other, for 1, 2, 4 or 8 to be sorted.
_NETWORKS: dict[int, tuple[tuple[int, int], ...]] = {
    1: (),
    2: ((0, 1),),
    4: ((0, 1), (2, 3), (0, 2), (1, 3), (1, 2)),
    8: (
        (0, 2), (1, 3), (4, 6), (5, 7), (0, 4), (1, 5), (2, 6), (3, 7), (0, 1), (2, 3),
        (4, 5), (6, 7), (2, 4), (3, 5), (1, 4), (3, 6), (1, 2), (3, 4), (5, 6),
    ),
}  # fmt: skip


def reduce(array: np.ndarray, out: np.ndarray, method: str = "mean") -> None:
    """Make one voxel of every 2x2x2 voxels of `array`, or of fewer where an axis stays as it is.

    Parameters
    ----------
    array : numpy.ndarray
        Shape (z, y, x), each once or twice as long as that of `out`; each axis may be a strided view.
    out : numpy.ndarray
        Shape (z, y, x), of the same dtype.
    method : str
        ``mean``: floats agree with `skimage.transform.downscale_local_mean` within rounding; integers are rounded
        to the nearest, ties to even. ``median``: the mean of the two in the middle, as `numpy.median` has it,
        integers rounded as above. ``mode``: what is there most often; of several, the smallest. ``min``, ``max``.
        ``stride``: the first voxel of each group.
        A NaN makes every voxel NaN that it takes part in, whatever the method.
    """
    factors = [n // m if m else 0 for n, m in zip(array.shape, out.shape, strict=True)]
    whole = all(f in (1, 2) and n == f * m for f, n, m in zip(factors, array.shape, out.shape, strict=True))
    if not whole or array.dtype != out.dtype:
        raise ValueError(f"{array.dtype} {array.shape} is not once or twice {out.dtype} {out.shape}")
    fz, fy, fx = factors
    if method == "stride" or fz * fy * fx == 1:
        out[...] = array[::fz, ::fy, ::fx]
        return
    make = _MAKERS[method]
    depth, rows, columns = out.shape
    group = max(1, _voxels(array.dtype, method) // columns)
    with np.errstate(invalid="ignore", over="ignore"):  # infinities may cancel out, and sums become one
        for z in range(depth):
            planes = array[fz * z : fz * (z + 1)]
            for y in range(0, rows, group):
                make(planes[:, fy * y : fy * min(y + group, rows)], out[z, y : y + group])


def scratch_bytes(columns: int, dtype: np.dtype, method: str) -> int:
    """Memory that each thread needs to reduce rows of so many columns, all its temporary arrays together."""
    voxels = max(columns, _voxels(dtype, method))
    if method in _SORTING:
        return voxels * (9 * dtype.itemsize + 3 * _wide(dtype).itemsize)
    return voxels * 9 * _wide(dtype).itemsize


def _voxels(dtype: np.dtype, method: str) -> int:
    """How many to make at once."""
    if method in _SORTING:
        return _NEIGHBOURS_BYTES // (9 * dtype.itemsize)
    return _GROUP_BYTES // (4 * _wide(dtype).itemsize)


_own = threading.local()


def _scratch(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array in this thread's buffer, which is made once and kept."""
    size = math.prod(shape) * dtype.itemsize
    buffer = getattr(_own, "buffer", None)
    if buffer is None or buffer.nbytes < size:
        buffer = _own.buffer = np.empty(size, np.uint8)
    array: np.ndarray = buffer[:size].view(dtype).reshape(shape)
    return array


def _mean(planes: np.ndarray, out: np.ndarray) -> None:
    count = planes.size // out.size
    sums = _fold(planes, np.add, _wide(out.dtype), len(out))
    left, right = (sums[:, 0::2], sums[:, 1::2]) if sums.shape[1] > out.shape[1] else (sums, None)
    if right is not None and out.dtype == sums.dtype:
        np.add(left, right, out=out)
        out *= out.dtype.type(1 / count)
    else:
        _divide(left if right is None else left + right, count, out)


def _extreme(ufunc: np.ufunc) -> Make:
    def make(planes: np.ndarray, out: np.ndarray) -> None:
        found = _fold(planes, ufunc, out.dtype, len(out))
        if found.shape[1] > out.shape[1]:
            ufunc(found[:, 0::2], found[:, 1::2], out=out)
        else:
            out[...] = found
        _settle_zeros(out)

    return make


def _fold(planes: np.ndarray, ufunc: np.ufunc, dtype: np.dtype, rows: int) -> np.ndarray:
    """The planes taken together as one, and then pairs of its rows where there are twice as many."""
    _, height, width = planes.shape
    scratch = _scratch((height + rows, width), dtype)
    both, pairs = scratch[:height], scratch[height:]
    if len(planes) == 2:
        ufunc(planes[0], planes[1], out=both, dtype=dtype)
    elif height == rows or planes.dtype != dtype:
        both[...] = planes[0]
    else:
        both = planes[0]
    if height == rows:
        return both
    ufunc(both[0::2], both[1::2], out=pairs)
    return pairs


def _median(planes: np.ndarray, out: np.ndarray) -> None:
    neighbours, spare = _neighbours(planes, out)
    half = len(neighbours) // 2
    lower, upper = neighbours[:half], neighbours[half:]
    spare = _sort(upper, _sort(lower, spare))
    # Of each pair the lower one is below the middle and the upper one above it.
    for a, b in zip(lower, reversed(upper), strict=True):
        np.minimum(a, b, out=spare)
        np.maximum(a, b, out=b)
        a[...] = spare
    low, high = lower[0], upper[0]
    for a, b in zip(lower[1:], upper[1:], strict=True):
        np.maximum(low, a, out=low)
        np.minimum(high, b, out=high)
    _divide(np.add(low, high, dtype=_wide(out.dtype)), 2, out)
    _settle_zeros(out)


def _mode(planes: np.ndarray, out: np.ndarray) -> None:
    ordered, spare = _neighbours(planes, out)
    _sort(ordered, spare)
    out[...] = ordered[0]
    run, longest = np.ones((2, *out.shape), np.uint8)
    for before, value in pairwise(ordered):
        run *= (before == value).view(np.uint8)
        run += 1
        np.copyto(out, value, where=run > longest)  # not where as long: of several, the smallest
        np.maximum(longest, run, out=longest)
    _settle_zeros(out)


def _neighbours(planes: np.ndarray, out: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Of every voxel to be, the voxels that it is made of, each kind in an array of its own; and one array to spare."""
    fy, fx = (n // m for n, m in zip(planes.shape[1:], out.shape, strict=True))
    kinds = [plane[y::fy, x::fx] for plane in planes for y in range(fy) for x in range(fx)]
    *arrays, spare = _scratch((len(kinds) + 1, *out.shape), out.dtype)
    for array, kind in zip(arrays, kinds, strict=True):
        array[...] = kind
    return arrays, spare


def _sort(arrays: list[np.ndarray], spare: np.ndarray) -> np.ndarray:
    """Put values in order from the first array to the last, place by place; gives the array that is to spare then."""
    for i, j in _NETWORKS[len(arrays)]:
        a, b = arrays[i], arrays[j]
        np.minimum(a, b, out=spare)
        np.maximum(a, b, out=b)
        arrays[i], spare = spare, a
    return spare


def _divide(total: np.ndarray, count: int, out: np.ndarray) -> None:
    """`total` by 2, 4 or 8 into `out`; integers to the nearest, ties to even. Spoils `total`."""
    if out.dtype.kind == "f":
        np.multiply(total, total.dtype.type(1 / count), out=out, casting="same_kind")
        return
    # Add just under half, and one more where the whole part is odd: ties then go to even.
    bits = count.bit_length() - 1
    odd = (total >> bits) & 1
    total += count // 2 - 1
    total += odd
    total >>= bits
    out[...] = total


def _settle_zeros(out: np.ndarray) -> None:
    """Zeros have no sign any more: which of two zeros is the smaller depends on where they lie."""
    if out.dtype.kind == "f":
        out += out.dtype.type(0)


def _wide(dtype: np.dtype) -> np.dtype:
    """Where eight values can be summed without loss (integers) or without overflow (float16)."""
    if dtype.kind == "f":
        return np.dtype(np.float32) if dtype.itemsize == 2 else dtype
    return np.dtype(f"{dtype.kind}{2 * dtype.itemsize}")


_MAKERS: dict[str, Make] = {
    "mean": _mean,
    "median": _median,
    "mode": _mode,
    "min": _extreme(np.minimum),
    "max": _extreme(np.maximum),
}
_SORTING = ("median", "mode")
