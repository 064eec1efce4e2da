"""Streams a function over a lazy array, block by block, with threads and within a memory budget."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_ct_pyramid.errors import Advice, BudgetError, RequestError
from napari_ct_pyramid.model.formatting import format_size
from napari_ct_pyramid.model.lazy_array import LazyArray
from napari_ct_pyramid.model.memory import process_memory
from napari_ct_pyramid.model.volume import Box, box_shape, chunk_box, intersection, touched, within
from napari_ct_pyramid.options import available_cores
from napari_ct_pyramid.parsing import parse_size

BLOCK_BYTES = 16_000_000
"""The size of a block, unless a chunk is larger, or the budget needs smaller ones."""

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
    halo, asked = _halo(overlap, array.ndim, kinds), parse_size(max_memory)
    workers = threads or available_cores()
    left = asked - process_memory()
    shape = block_shape(array, block, left // (_COPIES * workers), kinds)
    needed = _COPIES * math.prod(n + 2 * h for n, h in zip(shape, halo, strict=True)) * array.dtype.itemsize
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

    def work(box: Box) -> Any:
        found = read_block(array, box, halo)
        return function(found) if function else found

    waiting: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(workers, "ct-pyramid-blocks") as pool:
        try:
            for index in itertools.product(*(range(math.ceil(n / s)) for n, s in zip(array.shape, shape, strict=True))):
                waiting.append(pool.submit(work, chunk_box(index, shape, array.shape)))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def read_block(array: LazyArray, box: Box, halo: Sequence[int]) -> Block:
    """Read a block with the voxels around it."""
    around = tuple(
        slice(max(0, s.start - h), min(n, s.stop + h)) for s, h, n in zip(box, halo, array.shape, strict=True)
    )
    return Block(box, np.asarray(array[around]), within(box, around))


def block_shape(
    array: LazyArray,
    asked: Sequence[int | None] | None,
    most: int = BLOCK_BYTES,
    kinds: Sequence[str | None] = (),
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
    """
    if asked is not None:
        if len(asked) != array.ndim or any(n is not None and n < 1 for n in asked):
            raise RequestError(
                f"{asked!r} is not a block of a volume with {array.ndim} axes: it takes a size for each."
            )
        return tuple(size if n is None else min(n, size) for n, size in zip(asked, array.shape, strict=True))
    space = _in_space(array.ndim, kinds)
    found = [min(c, n) if s else 1 for c, n, s in zip(array.chunks, array.shape, space, strict=True)]
    most = min(BLOCK_BYTES, most)
    for axis in (axis for axis in reversed(range(array.ndim)) if space[axis]):
        while found[axis] < array.shape[axis] and 2 * math.prod(found) * array.dtype.itemsize <= most:
            found[axis] = min(2 * found[axis], array.shape[axis])
    return tuple(found)


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
        chunks = block_shape(self._source, block, kinds=level.axis_types)
        super().__init__(self._compute, self._source.shape, np.dtype(dtype or self._source.dtype), chunks)

    def _compute(self, box: Box) -> np.ndarray:
        whole = tuple(slice(s.start, s.stop) for s in box)
        out = np.empty(box_shape(whole), self.dtype)
        indices = list(touched(whole, self.chunks))

        def work(index: tuple[int, ...]) -> None:
            part = chunk_box(index, self.chunks, self._source.shape)
            block = read_block(self._source, part, self._halo)
            made = np.asarray(self._function(block.voxels))
            if made.shape != block.voxels.shape:
                raise RequestError(
                    f"The function returned {made.shape} voxels for {block.voxels.shape}: it must return as many as "
                    "it gets."
                )
            casting: Any = "same_kind" if self.dtype.kind in "fc" else "safe"  # integers would wrap
            if not self._is_typed and not np.can_cast(made.dtype, self.dtype, casting):
                raise RequestError(
                    f"The function returned {made.dtype.name}, which does not fit in {self.dtype.name}. Name the type "
                    f"of the result, as in map_blocks(function, dtype={made.dtype.name!r})."
                )
            wanted = intersection(part, whole)
            out[within(wanted, whole)] = made[block.inner][within(wanted, part)]

        if len(indices) == 1:
            work(indices[0])
        else:
            with ThreadPoolExecutor(available_cores(), "ct-pyramid-blocks") as pool:
                list(pool.map(work, indices))
        return out[tuple(slice(None, None, s.step) for s in box)]


def _in_space(axes: int, kinds: Sequence[str | None]) -> list[bool]:
    return [kind in ("space", None) for kind in kinds or (None,) * axes]


def _halo(overlap: int | Sequence[int], axes: int, kinds: Sequence[str | None]) -> tuple[int, ...]:
    """The overlap along each axis: one number is along the axes of space."""
    found = tuple(overlap * s for s in _in_space(axes, kinds)) if isinstance(overlap, int) else tuple(overlap)
    if len(found) != axes or min(found) < 0:
        raise RequestError(
            f"{overlap!r} is not an overlap: it takes a number of voxels, or one for each of the {axes} axes."
        )
    return found
