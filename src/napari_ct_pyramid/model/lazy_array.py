"""An array whose voxels are read only when they are needed, by a function that it is given."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from types import EllipsisType
from typing import TYPE_CHECKING, Any

import numpy as np

from .volume import Box

if TYPE_CHECKING:
    import numpy as np


class LazyArray:
    """An array-like that stays lazy when it is sliced with step 1, and is read when it is indexed or made an array.

    napari needs this to show volumes larger than memory: it first crops a level to the screen, and takes the slice
    afterwards, so cropping must not read yet (an ordinary Zarr array would read whole chunks). Every array that results
    from slicing is read with a single call of `read`.

    Parameters
    ----------
    read : callable
        Takes one slice for each axis (start and stop within `shape`, step at least 1), and returns the voxels in them,
        with as many axes.
    shape : tuple of int
        Voxels along each axis.
    dtype : numpy.dtype
        Of the voxels.
    chunks : tuple of int
        Voxels that are read together, along each axis. napari aligns its requests to them.
    start : tuple of int, optional
        Where this array begins, in the coordinates of `read`.
    path : path, optional
        Where the voxels are stored, so that nothing replaces them while they are read.
    """

    def __init__(
        self,
        read: Callable[[Box], np.ndarray],
        shape: tuple[int, ...],
        dtype: np.dtype,
        chunks: tuple[int, ...],
        start: tuple[int, ...] | None = None,
        path: Any = None,
    ) -> None:
        self._read = read
        self.path = path
        self._start = start or (0,) * len(shape)
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.chunks = chunks

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an array without axes")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<LazyArray {self.dtype} {' x '.join(map(str, self.shape))}>"

    def __getitem__(self, key: Any) -> LazyArray | np.ndarray:
        """Only slices with step 1 give another `LazyArray`. An index or another step reads the voxels."""
        keys = self._full_key(key)
        crop: list[slice] = []  # what to read
        finish: list[int | slice] = []  # the key to apply to the voxels that were read
        lazy = True
        for axis, (part, size) in enumerate(zip(keys, self.shape, strict=True)):
            if isinstance(part, slice):
                start, stop, step = part.indices(size)
                count = len(range(start, stop, step))
                if step < 0:  # read forwards, and reverse afterwards
                    start, step = start + (count - 1) * step, -step
                    finish.append(slice(None, None, -1))
                else:
                    finish.append(slice(None))
                lazy &= step == 1 and finish[-1] == slice(None)
                crop.append(slice(start, start + (count - 1) * step + 1 if count else start, step))
            else:
                index = _index(part)
                if not -size <= index < size:
                    raise IndexError(f"index {index} is out of bounds for axis {axis} with size {size}")
                index %= size
                crop.append(slice(index, index + 1, 1))
                finish.append(0)
                lazy = False
        if lazy:
            begin = tuple(s.start + o for s, o in zip(crop, self._start, strict=True))
            shape = tuple(s.stop - s.start for s in crop)
            return LazyArray(self._read, shape, self.dtype, self.chunks, begin, self.path)
        return self._load(tuple(crop))[tuple(finish)]

    def crop(self, shape: tuple[int, ...]) -> LazyArray:
        """The first voxels along each axis."""
        return LazyArray(self._read, shape, self.dtype, self.chunks, self._start, self.path)

    def every(self, steps: tuple[int, ...]) -> LazyArray:
        """Every nth voxel along each axis."""

        def read(box: Box) -> np.ndarray:
            spread = (slice(s.start * n, (s.stop - 1) * n + 1, s.step * n) for s, n in zip(box, steps, strict=True))
            return self._load(tuple(spread))

        shape = tuple(math.ceil(size / n) for size, n in zip(self.shape, steps, strict=True))
        chunks = tuple(max(1, size // n) for size, n in zip(self.chunks, steps, strict=True))
        return LazyArray(read, shape, self.dtype, chunks, path=self.path)

    def take(self, axis: int, index: int) -> LazyArray:
        """The array at one index of an axis, without that axis. Stays lazy, unlike ``array[index]``."""

        def read(box: Box) -> np.ndarray:
            return self._load((*box[:axis], slice(index, index + 1, 1), *box[axis:])).squeeze(axis)

        shape, chunks = ((*t[:axis], *t[axis + 1 :]) for t in (self.shape, self.chunks))
        return LazyArray(read, shape, self.dtype, chunks, path=self.path)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("a lazy array must be read: it cannot be converted without a copy")
        return self._load(tuple(slice(0, n, 1) for n in self.shape)).astype(dtype or self.dtype, copy=False)

    def _load(self, crop: Box) -> np.ndarray:
        shape = tuple(len(range(s.start, s.stop, s.step)) for s in crop)
        if 0 in shape:
            return np.empty(shape, self.dtype)
        return self._read(tuple(slice(s.start + o, s.stop + o, s.step) for s, o in zip(crop, self._start, strict=True)))

    def _full_key(self, key: Any) -> tuple[Any, ...]:
        """`key` with an index or slice for every axis."""
        keys: tuple[Any, ...] = key if isinstance(key, tuple) else (key,)
        dots = [i for i, part in enumerate(keys) if isinstance(part, EllipsisType)]
        if len(keys) - len(dots) > self.ndim or len(dots) > 1:
            raise IndexError(f"{len(keys)} indices for an array with {self.ndim} axes")
        at = dots[0] if dots else len(keys)
        missing = (slice(None),) * (self.ndim - len(keys) + len(dots))
        return keys[:at] + missing + keys[at + len(dots) :]


def _index(part: Any) -> int:
    try:
        return operator.index(part)
    except TypeError:
        raise IndexError(
            f"a lazy array takes whole numbers and slices, not {type(part).__name__}; make it an array first"
        ) from None


_SAMPLED_CHUNKS = 8


def sample_chunks(level: LazyArray) -> list[np.ndarray]:
    """A few chunks from all over a level; all of them if they are few. The first is in the middle."""
    import numpy as np

    grid = [math.ceil(size / chunk) for size, chunk in zip(level.shape, level.chunks, strict=True)]
    indices = [tuple(n // 2 for n in grid)]
    if math.prod(grid) <= _SAMPLED_CHUNKS:
        indices = list(np.ndindex(*grid))
    step = 0
    while len(indices) < min(_SAMPLED_CHUNKS, math.prod(grid)):
        step += 1  # Roberts' sequence leaves no large gaps, in any number of dimensions
        places = [(0.5 + step / _ROOTS[len(grid)] ** (axis + 1)) % 1 for axis in range(len(grid))]
        index = tuple(int(place * n) for place, n in zip(places, grid, strict=True))
        if index not in indices:
            indices.append(index)
    return [
        np.asarray(level[tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, level.chunks, strict=True))])
        for index in indices
    ]


_ROOTS = (1.0, 1.618033988749895, 1.324717957244746, 1.2207440846057596, 1.1673039782614187, 1.1347241384015194)
"""The positive roots of x**(d + 1) = x + 1 for d dimensions: http://extremelearning.com.au (M. Roberts, 2018)."""
