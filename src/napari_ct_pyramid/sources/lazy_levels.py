"""The levels of a source that can be shown before it is converted: all voxels, and every nth voxel.

Pages are read when they are shown. The coarse level takes seconds and little memory, however large the file is.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import TypeVar

import numpy as np

from napari_ct_pyramid.model.lazy_array import LazyArray
from napari_ct_pyramid.model.volume import Box
from napari_ct_pyramid.options import Triple, available_cores

from .base import Source

SAMPLE_BYTES = 64_000_000
"""The most memory that the coarse level takes."""

SAMPLE_READ_BYTES = 1_000_000_000
"""The most bytes of the file that are read for the whole coarse level, in at most `SAMPLE_READS` pieces."""

SAMPLE_READS = 65_536

_Part = TypeVar("_Part")

LARGEST_PAGE = 8192
"""The most rows and columns of a level for 2D: every graphics card can show this."""

_LARGEST_AXIS = 2048  # of the coarse level: every graphics card can show this in 3D
_TILE = 512  # rows and columns of a chunk, which napari reads together


class SourceArray(LazyArray):
    """All voxels of a source.

    Parameters
    ----------
    source : Source
        It is closed when no array uses it any more.
    """

    def __init__(self, source: Source) -> None:
        self.reader = _BoxReader(source)
        weakref.finalize(self.reader, source.close)
        _, rows, columns = shape = source.volume.shape
        self._row_step = source.volume.row_step
        step = min(rows, max(_TILE, self._row_step))
        super().__init__(self.reader.read, shape, source.volume.dtype, (1, step, min(_TILE, columns)))

    def bytes_read_for(self, displayed: Iterable[int]) -> int:
        """Bytes of voxels that a picture along these axes reads."""
        slices, rows, columns = self.shape
        if 0 not in displayed:
            slices = 1
        elif 1 not in displayed:
            rows = min(rows, self._row_step)
        return slices * rows * columns * self.dtype.itemsize


def source_levels(source: Source) -> list[LazyArray]:
    """The levels, the finest first: all voxels, and for a large volume a sample that can be shown in 3D."""
    whole = SourceArray(source)
    step = 1
    while not _fits(tuple(math.ceil(n / step) for n in whole.shape), whole.dtype):
        step += 1
    if step == 1:
        return [whole]
    shrink = math.ceil(max(whole.shape[1:]) / LARGEST_PAGE)
    between = [whole.every((1, shrink, shrink))] if shrink > 1 else []
    return [whole, *between, _Samples(whole.reader, step).array]


def _fits(shape: tuple[int, ...], dtype: np.dtype) -> bool:
    return math.prod(shape) * dtype.itemsize <= SAMPLE_BYTES and max(shape) <= _LARGEST_AXIS


class _BoxReader:
    """Reads boxes of a source with several threads."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def read(self, box: Box) -> np.ndarray:
        """Read a box: several slices at the same time, or several strips if it has only one slice."""
        volume = self.source.volume
        z, y, x = box
        slices = range(z.start, z.stop, z.step)
        out = np.empty(
            (len(slices), len(range(y.start, y.stop, y.step)), len(range(x.start, x.stop, x.step))), volume.dtype
        )

        def fill(k: int) -> None:
            rows = np.empty((1, y.stop - y.start, volume.shape[2]), volume.dtype)
            self.source.read(slices[k], slices[k] + 1, y.start, y.stop, rows)
            out[k] = rows[0, :: y.step, x]

        if len(slices) > 1:
            _run(fill, range(len(slices)))
            return out
        rows = np.empty((1, y.stop - y.start, volume.shape[2]), volume.dtype)
        strips = math.ceil(len(rows[0]) / volume.row_step)
        step = volume.row_step * math.ceil(strips / _thread_count())
        edges = [y.start, *range(y.start // step * step + step, y.stop, step), y.stop]

        def read_part(part: tuple[int, int]) -> None:
            first, last = part
            self.source.read(z.start, z.start + 1, first, last, rows[:, first - y.start : last - y.start])

        _run(read_part, pairwise(edges))
        out[0] = rows[0, :: y.step, x]
        return out


class _Samples:
    """Every nth voxel of a source. It keeps the slices that it has read: together they are small.

    Parameters
    ----------
    reader : _BoxReader
    step : int
        n for rows and columns. For slices, n is larger where this would read too much.
    """

    def __init__(self, reader: _BoxReader, step: int) -> None:
        self._reader = reader  # keeps the file open
        volume = reader.source.volume
        self._parts = _parts_with(range(0, volume.shape[1], step), volume.row_step, volume.shape[1])
        row_bytes = volume.shape[2] * volume.dtype.itemsize
        bytes_read = sum(last - first for first, last in self._parts) * row_bytes
        most = max(1, min(SAMPLE_READ_BYTES // bytes_read, SAMPLE_READS // len(self._parts)))
        self._steps: Triple = (max(step, math.ceil(volume.shape[0] / most)), step, step)
        shape = tuple(math.ceil(n / s) for n, s in zip(volume.shape, self._steps, strict=True))
        self._kept: np.ndarray | None = None
        self._known = [False] * shape[0]
        self.array = LazyArray(self._read, shape, volume.dtype, (1, *shape[1:]))

    def _read(self, box: Box) -> np.ndarray:
        if self._kept is None:
            self._kept = np.empty(self.array.shape, self.array.dtype)
        slices = range(box[0].start, box[0].stop, box[0].step)
        _run(self._read_slice, [k for k in slices if not self._known[k]])
        return self._kept[box].copy()

    def _read_slice(self, k: int) -> None:
        assert self._kept is not None
        z, step = k * self._steps[0], self._steps[1]
        for first, last in self._parts:
            rows = np.empty((1, last - first, self._reader.source.volume.shape[2]), self.array.dtype)
            self._reader.source.read(z, z + 1, first, last, rows)
            wanted = math.ceil(first / step)  # the first sampled row from `first` on
            found = rows[0, wanted * step - first :: step, :: self._steps[2]]
            self._kept[k, wanted : wanted + len(found)] = found
        self._known[k] = True


def _parts_with(rows: range, row_step: int, height: int) -> list[tuple[int, int]]:
    """The rows to read to get these rows of a page: all rows of the strips that hold them."""
    strips = sorted({row // row_step for row in rows})
    return [(strip * row_step, min((strip + 1) * row_step, height)) for strip in strips]


def _thread_count() -> int:
    return max(4, available_cores())  # a few more than cores, since some wait for the disk


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_thread_count(), "ct-pyramid-source")


def _run(function: Callable[[_Part], None], parts: Iterable[_Part]) -> None:
    for _ in _threads().map(function, parts):
        pass  # raises the exception of a thread
