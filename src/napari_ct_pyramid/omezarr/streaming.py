"""Streams a function over a lazy array, block by block, with threads and within a memory budget."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np

from napari_ct_pyramid.errors import Advice, BudgetError, RequestError
from napari_ct_pyramid.model.formatting import format_size
from napari_ct_pyramid.model.lazy_array import LazyArray
from napari_ct_pyramid.model.memory import process_memory
from napari_ct_pyramid.model.volume import Box, box_shape, chunk_box, intersection, touched, within
from napari_ct_pyramid.options import ExportOptions, available_cores
from napari_ct_pyramid.parsing import parse_size

BLOCK_BYTES = 16_000_000
"""The size of a block, unless a chunk is larger, or the budget needs smaller ones."""

_MAPPED_BYTES = 4_000_000  # of a block that a function is applied to: a conversion has to hold whole ones
_COPIES = 6  # of a block for each thread: read, decoded, what the function makes of it, and what waits


@dataclass(frozen=True)
class Block:
    """A block of a volume.

    Attributes
    ----------
    box : tuple of slice
        Where it is in the volume, without the overlap.
    voxels : numpy.ndarray
        Its voxels, with the overlap: less of it at the edges of the volume.
    inner : tuple of slice
        Where the block is in `voxels`.
    """

    box: Box
    voxels: np.ndarray
    inner: Box


def iter_blocks(
    array: LazyArray,
    *,
    max_memory: str | int = "1G",
    overlap: int | Sequence[int] = 0,
    block: Sequence[int | None] | None = None,
    threads: int | None = None,
    function: Callable[[Block], Any] | None = None,
    kinds: Sequence[str | None] = (),
) -> Iterator[Any]:
    """The blocks of an array, or what a function makes of each, in order; threads read them ahead.

    See `PyramidLevel.blocks`; `kinds` are the types of the axes.
    """
    options = ExportOptions(max_memory=parse_size(max_memory), threads=threads)
    halo, asked, workers = _halo(overlap, array.ndim, kinds), options.max_memory, options.thread_count
    left = asked - process_memory()
    most = min(BLOCK_BYTES, left // (_COPIES * workers))
    shape = block_shape(array, block, most, kinds)
    together = _read_together(array, shape, most, kinds)
    wide = (min(n + 2 * h, size) for n, h, size in zip(together, halo, array.shape, strict=True))
    needed = _COPIES * math.prod(wide) * array.dtype.itemsize
    if needed > left:
        smallest = math.ceil((needed + process_memory()) / 1e6) * 1_000_000
        text = f"{smallest // 1_000_000}MB"
        raise BudgetError(
            f"A budget of {format_size(asked)} is too small for blocks of {' × '.join(map(str, shape))} voxels: the "
            f"smallest that works is {text} (",
            Advice("max_memory", text),
            ").",
            smallest=smallest,
            process=process_memory(),
        )
    workers = max(1, min(workers, left // needed))

    def work(region: Box) -> list[Any]:
        blocks = read_blocks(array, region, shape, halo)
        return [function(found) for found in blocks] if function else list(blocks)

    waiting: deque[Future[list[Any]]] = deque()
    with ThreadPoolExecutor(workers, "ct-pyramid-blocks") as pool:
        try:
            for number in touched(tuple(slice(0, n) for n in array.shape), together):
                waiting.append(pool.submit(work, chunk_box(number, together, array.shape)))
                if len(waiting) > workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def read_blocks(array: LazyArray, region: Box, shape: tuple[int, ...], halo: Sequence[int]) -> Iterator[Block]:
    """Read a region of whole blocks at once, and yield its blocks with the voxels around them."""
    around = _with_halo(region, halo, array.shape)
    voxels = np.asarray(array[around])
    for number in touched(region, shape):
        box = chunk_box(number, shape, array.shape)
        wide = _with_halo(box, halo, array.shape)
        own = voxels[within(wide, around)]
        if own.size < voxels.size and any(halo):
            own = own.copy()  # a function may write to what it gets
        yield Block(box, own, within(box, wide))


def _with_halo(box: Box, halo: Sequence[int], shape: Sequence[int]) -> Box:
    return tuple(slice(max(0, s.start - h), min(n, s.stop + h)) for s, h, n in zip(box, halo, shape, strict=True))


def block_shape(
    array: LazyArray,
    asked: Sequence[int | None] | None,
    most: int = BLOCK_BYTES,
    kinds: Sequence[str | None] = (),
    halo: Sequence[int] = (),
) -> tuple[int, ...]:
    """Voxels of a block: whole chunks, as many as are worth the work of a thread, of one channel and time point.

    Parameters
    ----------
    array : LazyArray
    asked : sequence of (int or None), optional
        None along an axis: all of it.
    most : int
        Bytes of a block, unless a chunk is larger.
    kinds : sequence of (str or None)
        The types of the axes; if not given, all are of space.
    halo : sequence of int
        Voxels around a block that are read with it: most of what is read shall be the block.
    """
    if asked is not None:
        sizes = _whole_numbers(asked, array.shape)
        if len(sizes) != array.ndim or min(sizes, default=0) < 1:
            raise RequestError(
                f"{asked!r} is not a block of a volume with {array.ndim} axes: it takes a size for each."
            )
        return tuple(map(min, sizes, array.shape))
    space = _in_space(array.ndim, kinds)
    found = [min(c, n) if s else 1 for c, n, s in zip(array.chunks, array.shape, space, strict=True)]
    for axis in (axis for axis in reversed(range(array.ndim)) if space[axis]):
        least = 4 * halo[axis] if halo else 1
        while found[axis] < array.shape[axis] and (
            found[axis] < least or 2 * math.prod(found) * array.dtype.itemsize <= most
        ):
            found[axis] = min(2 * found[axis], array.shape[axis])
    return tuple(found)


def _read_together(array: LazyArray, block: tuple[int, ...], most: int, kinds: Sequence[str | None]) -> tuple[int, ...]:
    """Voxels of as many blocks as are read at once: whole slices that are thinner than the chunks, several together.

    Otherwise each chunk would be decoded for each of its slices, or be kept in the cache, which no budget counts.
    """
    cut = [axis for axis, (n, size) in enumerate(zip(block, array.shape, strict=True)) if n < size]
    if len(cut) != 1 or not _in_space(array.ndim, kinds)[cut[0]]:
        return block
    axis = cut[0]
    count = min(array.chunks[axis] // block[axis], most // (math.prod(block) * array.dtype.itemsize))
    least = 2 if block[axis] == 1 < array.chunks[axis] else 1
    return *block[:axis], block[axis] * max(least, count), *block[axis + 1 :]


class MappedLevel(LazyArray):
    """A level with a function applied to its blocks, when they are read. It can be converted like any array.

    Parameters
    ----------
    level : PyramidLevel
    function : callable
        Takes voxels, and returns as many.
    overlap, block, dtype
        See `PyramidLevel.map_blocks`.
    """

    def __init__(
        self,
        level: Any,
        function: Callable[[np.ndarray], np.ndarray],
        *,
        overlap: int | Sequence[int] = 0,
        block: Sequence[int | None] | None = None,
        dtype: Any = None,
    ) -> None:
        self.level = level
        self._function = function
        self._source = level.array
        self._halo = _halo(overlap, self._source.ndim, level.axis_types)
        self._is_typed = dtype is not None
        self._block = block_shape(self._source, block, _MAPPED_BYTES, level.axis_types, self._halo)
        together = _read_together(self._source, self._block, BLOCK_BYTES, level.axis_types)
        result = _type_of(dtype or self._source.dtype)
        super().__init__(self._compute, self._source.shape, result, together, path=self._source.path)

    @property
    def block_bytes(self) -> int:
        """Memory that a thread takes for what is read together, about: the function may need more."""
        wide = (min(n + 2 * h, size) for n, h, size in zip(self.chunks, self._halo, self.shape, strict=True))
        return int(_COPIES * math.prod(wide) * max(self.dtype.itemsize, self._source.dtype.itemsize))

    def _compute(self, box: Box) -> np.ndarray:
        whole = tuple(slice(s.start, s.stop) for s in box)
        out = np.empty(box_shape(whole), self.dtype)

        def work(number: tuple[int, ...]) -> None:
            region = chunk_box(number, self.chunks, self.shape)
            for block in read_blocks(self._source, region, self._block, self._halo):
                wanted = intersection(block.box, whole)
                if all(s.start < s.stop for s in wanted):
                    out[within(wanted, whole)] = self._apply(block)[within(wanted, block.box)]

        indices = list(touched(whole, self.chunks))
        if len(indices) == 1:
            work(indices[0])
        else:
            with ThreadPoolExecutor(available_cores(), "ct-pyramid-blocks") as pool:
                list(pool.map(work, indices))
        return out[tuple(slice(None, None, s.step) for s in box)]

    def _apply(self, block: Block) -> np.ndarray:
        """What the function makes of a block, without the overlap."""
        shape = block.voxels.shape
        made = np.asarray(self._function(block.voxels))
        if made.shape != shape:
            raise RequestError(
                f"The function returned {made.shape} voxels for {shape}: it must return as many as it gets."
            )
        casting: Any = "same_kind" if self.dtype.kind in "fc" else "safe"  # integers would wrap
        if not self._is_typed and not np.can_cast(made.dtype, self.dtype, casting):
            raise RequestError(
                f"The function returned {made.dtype.name}, which does not fit in {self.dtype.name}. Name the type "
                f"of the result, as in map_blocks(function, dtype={made.dtype.name!r})."
            )
        return _fitting(made[block.inner], self.dtype)


def _type_of(asked: Any) -> np.dtype:
    try:
        dtype: np.dtype = np.dtype(asked)
    except TypeError as error:
        raise RequestError(f"{asked!r} is not a type of voxels. Try one such as uint8 or float32.") from error
    return dtype


def _fitting(made: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Values for an array of a type: fractions are rounded, and what does not fit is an error."""
    if made.dtype.kind == "c" and dtype.kind != "c":
        raise RequestError(
            f"The function returned {made.dtype.name}, of which {dtype.name} holds only the real part. Return "
            "numpy.real(values) or numpy.abs(values)."
        )
    if dtype.kind not in "iu" or np.can_cast(made.dtype, dtype, "safe") or not made.size:
        return made
    low, high, limits = made.min(), made.max(), np.iinfo(dtype)
    if not (limits.min - 0.5 <= low and high < limits.max + 0.5):  # nor NaN
        raise RequestError(
            f"The function returned values from {low:g} to {high:g}, which do not fit in {dtype.name}. Return "
            f"numpy.clip(values, {limits.min}, {limits.max}), or name another type."
        )
    return np.rint(made).clip(limits.min, limits.max) if made.dtype.kind == "f" else made


def _in_space(axes: int, kinds: Sequence[str | None]) -> list[bool]:
    return [kind in ("space", None) for kind in kinds or (None,) * axes]


def _halo(overlap: int | Sequence[int], axes: int, kinds: Sequence[str | None]) -> tuple[int, ...]:
    """The overlap along each axis: one number is along the axes of space."""
    found = _whole_numbers(overlap, ())
    if len(found) == 1 and not isinstance(overlap, Sequence):
        found = tuple(found[0] * s for s in _in_space(axes, kinds))
    if len(found) != axes or min(found, default=-1) < 0:
        raise RequestError(
            f"{overlap!r} is not an overlap: it takes a number of voxels, or one for each of the {axes} axes."
        )
    return found


def _whole_numbers(values: Any, where_none: Sequence[int]) -> tuple[int, ...]:
    """One whole number or several; for None the one at its place. Empty if they are something else."""
    try:
        some = list(values) if isinstance(values, Iterable) else [values]
        none = [*where_none, *some][: len(some)]
        return tuple(index(there if value is None else value) for value, there in zip(some, none, strict=True))
    except TypeError:
        return ()
