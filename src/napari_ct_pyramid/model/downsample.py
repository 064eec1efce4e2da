"""Downsamples an array by the mean or another method.

Rows are processed in groups that fit in a core's second-level cache together with all temporary arrays.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from itertools import pairwise

import numpy as np

GROUP_BYTES = 512 * 1024
NEIGHBOURS_BYTES = 1024 * 1024

Make = Callable[[np.ndarray, np.ndarray], None]

# Sorting networks: pairs to put in order, one after the other, that sort 1, 2, 4 or 8 values.
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
    """Make one voxel of every 2x2x2 voxels of `array`; an axis that is not downsampled counts 1 instead of 2.

    Parameters
    ----------
    array : numpy.ndarray
        Shape (z, y, x), each axis as long as that of `out` or twice as long; it may be a strided view.
    out : numpy.ndarray
        Shape (z, y, x), of the same dtype.
    method : str
        ``mean``: floats agree with `skimage.transform.downscale_local_mean` within rounding; integers are rounded
        to the nearest, ties to even. ``median``: the mean of the two middle values, as `numpy.median` computes it,
        integers rounded as above. ``mode``: the most frequent value, the smallest of several. ``min``, ``max``.
        ``stride``: the first voxel of each group.
        With every method, a group that holds a NaN becomes NaN.
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
    """Bytes that each thread needs to reduce rows of this many columns: all temporary arrays together."""
    voxels = max(columns, _voxels(dtype, method))
    if method in _SORTING:
        return voxels * (9 * dtype.itemsize + 3 * _wide(dtype).itemsize)
    return voxels * 9 * _wide(dtype).itemsize


def _voxels(dtype: np.dtype, method: str) -> int:
    """How many voxels to make at once."""
    if method in _SORTING:
        return NEIGHBOURS_BYTES // (9 * dtype.itemsize)
    return GROUP_BYTES // (4 * _wide(dtype).itemsize)


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
    """The planes combined to one; then its rows combined in pairs, if there are twice as many as `rows`."""
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
    # Of each pair, the smaller value belongs to the lower half and the larger one to the upper half.
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
        np.copyto(out, value, where=run > longest)  # not where equally long: the smallest of several wins
        np.maximum(longest, run, out=longest)
    _settle_zeros(out)


def _neighbours(planes: np.ndarray, out: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """The voxels of every group: one array for each place in the group, and one spare array."""
    fy, fx = (n // m for n, m in zip(planes.shape[1:], out.shape, strict=True))
    kinds = [plane[y::fy, x::fx] for plane in planes for y in range(fy) for x in range(fx)]
    *arrays, spare = _scratch((len(kinds) + 1, *out.shape), out.dtype)
    for array, kind in zip(arrays, kinds, strict=True):
        array[...] = kind
    return arrays, spare


def _sort(arrays: list[np.ndarray], spare: np.ndarray) -> np.ndarray:
    """Sort the values of the arrays, voxel by voxel, from the first array to the last. Returns the spare array."""
    for i, j in _NETWORKS[len(arrays)]:
        a, b = arrays[i], arrays[j]
        np.minimum(a, b, out=spare)
        np.maximum(a, b, out=b)
        arrays[i], spare = spare, a
    return spare


def _divide(total: np.ndarray, count: int, out: np.ndarray) -> None:
    """`total` by 2, 4 or 8 into `out`; integers to the nearest, ties to even. Overwrites `total`."""
    if out.dtype.kind == "f":
        np.multiply(total, total.dtype.type(1 / count), out=out, casting="same_kind")
        return
    # Adding just under half, plus one where the quotient is odd, rounds ties to even.
    bits = count.bit_length() - 1
    odd = (total >> bits) & 1
    total += count // 2 - 1
    total += odd
    total >>= bits
    out[...] = total


def _settle_zeros(out: np.ndarray) -> None:
    """Make all zeros positive: which of two zeros is the smaller would depend on their order."""
    if out.dtype.kind == "f":
        out += out.dtype.type(0)


def _wide(dtype: np.dtype) -> np.dtype:
    """A type in which eight values can be summed without loss (integers) or overflow (float16)."""
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
