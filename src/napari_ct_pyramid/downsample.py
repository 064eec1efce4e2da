"""An array to one of half its size, by local mean. Knows nothing of files, chunks or levels."""

from __future__ import annotations

import math
import threading

import numpy as np

METHOD = "2x2x2 local mean"

# Rows are taken in groups whose intermediate sums stay in a core's second-level cache.
_GROUP_BYTES = 512 * 1024


def halve(array: np.ndarray, out: np.ndarray) -> None:
    """The 2x2x2 local mean of `array`, into `out`.

    Floats agree with `skimage.transform.downscale_local_mean` within rounding; integers are
    rounded to the nearest, ties to even. A NaN makes every mean NaN that it takes part in.

    Parameters
    ----------
    array : numpy.ndarray
        Shape (2z, 2y, 2x); each axis may be a strided view.
    out : numpy.ndarray
        Shape (z, y, x), of the same dtype.
    """
    depth, rows, columns = out.shape
    if array.shape != (2 * depth, 2 * rows, 2 * columns) or array.dtype != out.dtype:
        raise ValueError(f"{array.dtype} {array.shape} is not twice {out.dtype} {out.shape}")
    wide = _sum_dtype(array.dtype)
    group = max(1, min(rows, _GROUP_BYTES // (4 * columns * wide.itemsize)))
    planes, pairs = _scratch(group, columns, wide)
    for z in range(depth):
        upper, lower = array[2 * z], array[2 * z + 1]
        for y in range(0, rows, group):
            n = min(group, rows - y)
            both, half = planes[: 2 * n], pairs[:n]
            np.add(upper[2 * y : 2 * (y + n)], lower[2 * y : 2 * (y + n)], out=both, dtype=wide)
            np.add(both[0::2], both[1::2], out=half)
            _mean_of_columns(half, out[z, y : y + n])


def scratch_bytes(columns: int, dtype: np.dtype) -> int:
    """Memory that each thread needs to halve rows of so many columns."""
    row = 4 * columns * _sum_dtype(dtype).itemsize
    return 2 * max(_GROUP_BYTES, row)


_own = threading.local()


def _scratch(rows: int, columns: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Where this thread keeps sums of two slices (2 rows, 2 columns) and of two rows; made once and kept."""
    shape = (3 * rows, 2 * columns)
    buffer = getattr(_own, "buffer", None)
    if buffer is None or buffer.nbytes < math.prod(shape) * dtype.itemsize:
        buffer = _own.buffer = np.empty(math.prod(shape) * dtype.itemsize, np.uint8)
    sums = buffer[: math.prod(shape) * dtype.itemsize].view(dtype).reshape(shape)
    return sums[: 2 * rows], sums[2 * rows :]


def _mean_of_columns(sums: np.ndarray, out: np.ndarray) -> None:
    left, right = sums[:, 0::2], sums[:, 1::2]
    if out.dtype == sums.dtype:
        np.add(left, right, out=out)
        out *= out.dtype.type(0.125)
        return
    total = left + right
    if out.dtype.kind == "f":
        out[...] = total * total.dtype.type(0.125)
        return
    # Add just under half, and one more where the whole part is odd: ties then go to even.
    odd = (total >> 3) & 1
    total += 3
    total += odd
    total >>= 3
    out[...] = total


def _sum_dtype(dtype: np.dtype) -> np.dtype:
    """Where eight values can be summed without loss (integers) or without overflow (float16)."""
    if dtype.kind == "f":
        return np.dtype(np.float32) if dtype.itemsize == 2 else dtype
    return np.dtype(f"{dtype.kind}{2 * dtype.itemsize}")
