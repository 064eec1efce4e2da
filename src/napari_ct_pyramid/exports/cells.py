"""How a volume is cut into cells that are copied one after another within the memory budget.

A *cell* holds whole rows of some slices, and is read in *units*, which threads read at the same time. Where the budget
allows, both begin and end between the strips, tiles or chunks of the source, so that each is decoded once.

`model.tiles` cuts a volume for work whose result is small, so that each thread keeps a tile of its own, in any order. A
file of voxels is written from its beginning in large pieces, which several threads fill together: a cell is shared, and
the budget counts cells and what threads need apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from napari_ct_pyramid.model.formatting import count
from napari_ct_pyramid.model.intensity import scratch_bytes
from napari_ct_pyramid.model.tiles import reading_bytes, too_small
from napari_ct_pyramid.model.volume import Box, Volume
from napari_ct_pyramid.options import Triple

CELL_BYTES = 128_000_000
"""The largest size of a cell, unless a row of chunks is larger: more gains no speed."""

_UNIT_BYTES = 4_000_000  # read at a time by each thread, at least
_TEMPORARY_BYTES = 16_000_000  # of each thread: what decoders take, and the allocator keeps


@dataclass(frozen=True)
class Cells:
    """How a volume is copied.

    Attributes
    ----------
    cell : tuple of int
        Voxels of a cell, at most.
    unit : tuple of int
        Voxels of a unit, at most.
    start : tuple of int
        Position of the first voxel within its unit.
    buffers : int
        Cells in memory.
    threads : int
    ledger : tuple of (str, int)
        Each use of memory, and its bytes.
    """

    cell: Triple
    unit: Triple
    start: Triple
    buffers: int
    threads: int
    ledger: tuple[tuple[str, int], ...]

    def boxes(self, shape: Triple) -> Iterator[Box]:
        """The cells of a volume, slice by slice."""
        whole = tuple(slice(0, n) for n in shape)
        yield from _cut(whole, (self.cell[0], self.cell[1], shape[2]), (self.start[0], self.start[1], 0))

    def units(self, box: Box) -> Iterator[Box]:
        """The units of a cell."""
        yield from _cut(box, self.unit, self.start)


def make_cells(volume: Volume, dtype: np.dtype, threads: int, max_memory: int, process_memory: int) -> Cells:
    """Cut a volume so that it is copied within a budget, with as many of the threads as possible.

    Parameters
    ----------
    volume : Volume
        The source.
    dtype : numpy.dtype
        Of the voxels that are written.
    threads : int
    max_memory : int
        The budget, in bytes.
    process_memory : int
        Resident memory of the process without buffers, in bytes.

    Raises
    ------
    BudgetError
        If the budget is too small.
    """
    best: Cells | None = None
    smallest = 0
    for cell, unit, buffers in _choices(volume, dtype):
        fixed = process_memory + buffers * math.prod(cell) * dtype.itemsize
        each = _thread_bytes(volume, dtype, unit) + math.prod(cell[1:]) * dtype.itemsize  # rows of a slice in pages
        smallest = fixed + each if not smallest else min(smallest, fixed + each)
        possible = min(threads, (max_memory - fixed) // each)
        if possible > (best.threads if best else 0):
            ledger = (
                ("the program itself", process_memory),
                (f"{count(buffers, 'cell')} of the volume", buffers * math.prod(cell) * dtype.itemsize),
                (f"{count(possible, 'thread')} at work", possible * each),
            )
            best = Cells(cell, unit, volume.granularity_start, buffers, possible, ledger)
    if best is None:
        raise too_small(max_memory, smallest, process_memory)
    return best


def _choices(volume: Volume, dtype: np.dtype) -> Iterator[tuple[Triple, Triple, int]]:
    """Cells, units and numbers of buffers, from the fastest to the one with the least memory."""
    z, y, x = volume.shape
    grain = (min(volume.granularity[0], z), min(volume.granularity[1], y), min(volume.granularity[2], x))
    row_bytes = x * max(dtype.itemsize, volume.dtype.itemsize)
    depth, height = grain[:2]
    while height < y and depth * 2 * height * row_bytes <= CELL_BYTES:
        height *= 2
    if height >= y:
        while depth < z and 2 * depth * y * row_bytes <= CELL_BYTES:
            depth *= 2
    large = (min(depth, z), min(height, y), x)
    for cell in dict.fromkeys([large, (grain[0], grain[1], x)]):
        for buffers in (3, 2, 1):
            yield cell, _unit(cell, grain, volume.dtype.itemsize), buffers
    least = (grain[0], grain[1], x)
    while least[0] > 1 or least[1] > 1:  # a strip, tile or chunk is decoded for each of its parts
        least = (-(-least[0] // 2), least[1], x) if least[0] > 1 else (1, -(-least[1] // 2), x)
        yield least, _unit(least, grain, volume.dtype.itemsize), 1


def _unit(cell: Triple, grain: Triple, itemsize: int) -> Triple:
    """Whole read units in a cell, as few as are worth the work of a thread."""
    unit = [min(g, c) for g, c in zip(grain, cell, strict=True)]
    for axis in (2, 1, 0):
        while unit[axis] < cell[axis] and math.prod(unit) * itemsize < _UNIT_BYTES:
            unit[axis] = min(2 * unit[axis], cell[axis])
    return unit[0], unit[1], unit[2]


def _thread_bytes(volume: Volume, dtype: np.dtype, unit: Triple) -> int:
    """Bytes that each thread needs: to decode, and for voxels of another type than that which is written."""
    voxels = math.prod(unit)
    apart = voxels * volume.dtype.itemsize + scratch_bytes(unit[2]) if volume.dtype != dtype else 0
    return min(_TEMPORARY_BYTES, volume.nbytes) + reading_bytes(volume, voxels) + apart


def _cut(box: Box, sizes: Triple, start: Triple) -> Iterator[Box]:
    """The parts of a box between multiples of these sizes, counted from `start` voxels before the volume."""
    z, y, x = (
        [slice(a, b) for a, b in pairwise(_edges(part, size, offset))]
        for part, size, offset in zip(box, sizes, start, strict=True)
    )
    for first in z:
        for second in y:
            for third in x:
                yield first, second, third


def _edges(part: slice, size: int, offset: int) -> list[int]:
    first = (part.start + offset) // size * size + size - offset
    return [part.start, *range(first, part.stop, size), part.stop]
