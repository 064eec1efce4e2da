"""How a conversion is divided into stages, blocks and cells, so that it fits the memory budget.

A *stage* reads one level (for the first stage, the source) and makes the coarser levels from it, block by block. A
*block* holds whole chunks of every level that its stage makes, and shares none with another block. A block is made
*cell* by cell, depth first: memory holds one cell of each level. A cell is a row of whole chunks that spans all of x.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from napari_ct_pyramid.errors import Advice, BudgetError
from napari_ct_pyramid.options import ConversionOptions, Triple

from . import downsample
from . import intensity as rescale
from .formatting import count, format_size, times
from .levels import Level, factors_between
from .volume import Volume

CELL_BYTES = 256_000_000
"""The largest size of a cell of the source: a larger one gains no speed."""

_CACHE_BYTES = 1_000_000  # a core's second-level cache
_CHUNKS_AHEAD = 6  # compressed chunks that wait for the disk, besides one for each thread; more gain no speed
_DECODING_BYTES = 16_000_000  # for each thread: memory of temporary buffers that the allocator keeps, measured
_FEW_DECODINGS = 1.05  # average for each strip: to avoid the rest is not worth the memory

BLOCK_BYTES = 4_000_000_000
"""The largest part of the source in a block, unless the user asked for larger shards. After a crash, at most the blocks
that were being made are lost."""

Extent = tuple[int, int]
"""Voxels along z and y."""

Region = tuple[int, int, int, int]
"""z0, z1, y0, y1 in voxels of some level; all of x."""

BlockId = tuple[int, int]
"""Number of the stage, and of the block within the stage."""


@dataclass(frozen=True)
class Stage:
    """Levels `base` + 1 to `top`, made from level `base`. The first stage also writes its base.

    Attributes
    ----------
    base, top : int
        Numbers of levels.
    factors : tuple of (int, int, int)
        The factor of each step from one level to the next, along z, y, x.
    shape : tuple of int
        Shape of level `base`, in voxels along z, y, x.
    block, cell : tuple of int
        Voxels along z and y of a block on level `base`, and of a cell on any level.
    ahead : bool
        Whether the next cell of the source is read while the last one is being written.
    from_source : bool
        Whether level `base` is read from the source; otherwise it is read back from the output.
    """

    base: int
    top: int
    factors: tuple[Triple, ...]
    shape: Triple
    block: Extent
    cell: Extent
    ahead: bool
    from_source: bool

    @property
    def block_voxels(self) -> int:
        """Voxels of level `base` that the largest block holds."""
        return min(self.block[0], self.shape[0]) * min(self.block[1], self.shape[1]) * self.shape[2]

    @property
    def first(self) -> int:
        """The finest level that the stage writes."""
        return self.base if self.from_source else self.base + 1

    def extent(self, level: int) -> Extent:
        """Slices and rows of a level that a block holds."""
        z, y, _ = self.span(level)
        return self.block[0] // z, self.block[1] // y

    def blocks(self) -> Iterator[Region]:
        """The blocks, as regions of level `base`. Those in the middle of z come first, since users look there first."""
        blocks = _tiles((0, self.shape[0], 0, self.shape[1]), self.block)
        return iter(sorted(blocks, key=lambda block: abs(block[0] + block[1] - self.shape[0])))

    def cells(self, region: Region) -> Iterator[Region]:
        """The cells of a region of whole cells on any level, z outermost."""
        return _tiles(region, self.cell)

    def cell_shape(self, level: int) -> Triple:
        """The largest cell on a level, in voxels."""
        z, y, x = self.span(level)
        depth = min(self.cell[0], self.block[0] // z, self.shape[0] // z)
        return (depth, min(self.cell[1], self.block[1] // y, self.shape[1] // y), self.shape[2] // x)

    def span(self, level: int) -> Triple:
        """Voxels of level `base` that one voxel of a level spans, along z, y, x."""
        z, y, x = (math.prod(steps) for steps in zip((1, 1, 1), *self.factors[: level - self.base], strict=True))
        return z, y, x

    @property
    def grids(self) -> int:
        """Cells of the source that are in memory at once, each sorted by chunk."""
        return 1 + self.ahead if self.from_source else 0

    def block_of(self, level: int, z: int, y: int) -> int:
        """The number of the block, in the order of `blocks`, that holds a voxel of a level."""
        z, y = z * self.span(level)[0], y * self.span(level)[1]
        return next(n for n, (z0, z1, y0, y1) in enumerate(self.blocks()) if z0 <= z < z1 and y0 <= y < y1)


class Fit(NamedTuple):
    """The stages that a budget allows, and the memory ledger: the name and the bytes of each use of memory."""

    stages: tuple[Stage, ...]
    threads: int
    chunk_buffers: int
    ledger: tuple[tuple[str, int], ...]


def fit_budget(
    volume: Volume, options: ConversionOptions, levels: tuple[Level, ...], process_memory: int, in_transit: int = 0
) -> Fit:
    """The largest cells and the most threads that fit the budget and gain speed.

    Raises
    ------
    BudgetError
        If even the smallest cells do not fit.
    """
    asked = options.thread_count
    best, speed = None, 0.0
    for cell, ahead in _cell_choices(volume, options):
        stages = _make_stages(volume, options, levels, cell, ahead)
        cells = _cells_bytes(levels[0], options, stages)
        a_thread = _thread_bytes(volume, options, levels[0], cell)
        chunk = math.prod(options.chunks) * levels[0].dtype.itemsize
        chunks_ahead = _CHUNKS_AHEAD if ahead else 1
        fixed = process_memory + in_transit + cells + chunks_ahead * chunk
        left = options.max_memory - fixed
        threads = min(asked, left // a_thread)
        if best is None and threads < 1:
            smallest = _ceil_mb(fixed + a_thread)
            text = f"{smallest // 1_000_000} MB"
            raise BudgetError(
                f"A budget of {format_size(options.max_memory)} is too small for this volume with chunks of "
                f"{times(options.chunks)}: the smallest that works is {text} (",
                Advice("max_memory", text.replace(" ", "")),
                "). Smaller chunks need less.",
                smallest=smallest,
                process=process_memory,
            )
        # More threads gain more than larger cells, unless a larger one saves decoding.
        possible = threads / (decodings(volume, cell, 0) * decodings(volume, cell, 1))
        if best is None or threads == asked or possible > speed:
            speed = possible
            ledger = (
                ("the program itself", process_memory),
                ("cells of the levels", cells),
                ("compressed chunks on their way to disk", (threads + chunks_ahead) * chunk),
                (f"{count(threads, 'thread')} at work", threads * (a_thread - chunk)),
                *([("to and from the object store", in_transit)] if in_transit else []),
            )
            best = Fit(stages, threads, threads + chunks_ahead, ledger)
    assert best is not None  # the first choice is the best so far, or an error
    return best


def _cell_choices(volume: Volume, options: ConversionOptions) -> Iterator[tuple[Extent, bool]]:
    """Extents of a cell, each with whether to read ahead: from the one with the least memory to the fastest."""
    cell = least = _least_cell(options)
    row_bytes = volume.shape[2] * volume.dtype.itemsize
    yield cell, False
    # A strip, tile or chunk is decoded once only if a cell holds all of it: that gains more than reading ahead.
    for axis in (1, 0):
        while decodings(volume, cell, axis) > _FEW_DECODINGS:
            larger = (2 * cell[0], cell[1]) if axis == 0 else (cell[0], 2 * cell[1])
            if math.prod(larger) * row_bytes > BLOCK_BYTES and cell[axis] >= volume.granularity[axis]:
                break
            cell = larger
            yield cell, False
    if cell != least:
        yield cell, True
        return
    yield cell, True
    while cell[1] < volume.shape[1] and 2 * math.prod(cell) * row_bytes <= CELL_BYTES:
        cell = (cell[0], 2 * cell[1])
        yield cell, True


def _least_cell(options: ConversionOptions) -> Extent:
    return _even_multiple(options.chunks[0]), _even_multiple(options.chunks[1])


def _make_stages(
    volume: Volume, options: ConversionOptions, levels: tuple[Level, ...], cell: Extent, ahead: bool
) -> tuple[Stage, ...]:
    least = _least_cell(options)
    # Blocks do not depend on the budget, so that a conversion can be resumed with another budget.
    choices = [choice for choice, _ in _cell_choices(volume, options)]
    most = max(choice[0] for choice in choices), max(choice[1] for choice in choices)
    # The user gives the shards of level 0. On a coarser level, a shard holds the chunks of one block.
    shards = options.shards[:2] if isinstance(options.shards, tuple) else (1, 1)
    factors = [factors_between(finer, coarser) for finer, coarser in pairwise(levels)]
    stages: list[Stage] = []
    base = 0
    while True:
        shape = levels[base].shape
        top = base
        span = (1, 1)
        whole = (1, 1) if stages else shards
        block = _block(least, most, span, whole)
        while top + 1 < len(levels):
            span = span[0] * factors[top][0], span[1] * factors[top][1]
            larger = _block(least, most, span, whole)
            if top > base and larger != block and _block_bytes(volume, shape, larger) > BLOCK_BYTES:
                break
            top, block = top + 1, larger
        stages.append(
            Stage(
                base=base,
                top=top,
                factors=tuple(factors[base:top]),
                shape=shape,
                block=block,
                cell=cell,
                ahead=ahead,
                from_source=base == 0,
            )
        )
        base = top
        if base + 1 >= len(levels):
            return tuple(stages)


def _block(least: Extent, most: Extent, span: Extent, shards: Extent) -> Extent:
    """The extent of a block: whole chunks of every level, at least the largest cell, and whole shards.

    `span` is how many voxels of the base level one voxel of the coarsest level spans.
    """
    z, y = max(least[0] * span[0], most[0]), max(least[1] * span[1], most[1])
    return math.lcm(z, shards[0]), math.lcm(y, shards[1])


def _block_bytes(volume: Volume, shape: Triple, block: Extent) -> int:
    """Bytes of the source that a block holds."""
    return min(block[0], shape[0]) * min(block[1], shape[1]) * shape[2] * volume.dtype.itemsize


def _cells_bytes(finest: Level, options: ConversionOptions, stages: tuple[Stage, ...]) -> int:
    """Bytes of the cells of the largest stage: only one stage runs at a time."""
    return finest.dtype.itemsize * max(
        stage.grids * math.prod(math.ceil(n / c) * c for n, c in zip(stage.cell_shape(0), options.chunks, strict=True))
        + sum(math.prod(stage.cell_shape(k)) for k in range(stage.base + stage.from_source, stage.top + 1))
        for stage in stages
    )


def _thread_bytes(volume: Volume, options: ConversionOptions, finest: Level, cell: Extent) -> int:
    """Bytes that each thread needs: to read, average and decode, and for a chunk before and after compression."""
    itemsize = (volume.stored_dtype or volume.dtype).itemsize
    # Decoded strips, or a decoded row of tiles or chunks, and the bytes from which they are decoded.
    unit_rows = volume.granularity[0] * volume.granularity[1]
    decoding = volume.decoding_bytes
    if unit_rows > 1:
        decoding += max(min(_DECODING_BYTES, volume.nbytes), 2 * unit_rows * volume.shape[2] * itemsize)
    extent = math.prod(read_extent(volume, cell))
    rows = extent * finest.shape[2] * finest.dtype.itemsize
    if is_read_apart(volume, finest):
        rows += extent * volume.shape[2] * volume.dtype.itemsize
    if volume.stored_dtype:
        rows += extent * volume.shape[2] * itemsize
    if volume.dtype != finest.dtype:
        rows += rescale.scratch_bytes(volume.shape[2])
    averaging = downsample.scratch_bytes(finest.shape[2], finest.dtype, options.method)
    # A chunk with its padding, one that was read back, and one compressed.
    return rows + averaging + 3 * math.prod(options.chunks) * finest.dtype.itemsize + decoding


def is_read_apart(volume: Volume, finest: Level) -> bool:
    """Whether rows are read into a buffer of their own, because those of level 0 are wider or have another type."""
    return (volume.shape[2], volume.dtype) != (finest.shape[2], finest.dtype)


def read_extent(volume: Volume, cell: Extent) -> Extent:
    """Slices and rows that are read and averaged at once: even numbers, as many as fit in a core's cache.

    Where a read unit is more than a row, they are whole units, or the whole cell where its edges lie within units: then
    each unit is decoded as few times as possible.
    """
    least = [2, 2]
    for axis in (0, 1):
        unit = volume.granularity[axis]
        if unit > 1:
            split = cell[axis] % unit or volume.granularity_start[axis] % unit
            least[axis] = cell[axis] if split else min(cell[axis], _even_multiple(unit))
    slices = min(least[0], _even_multiple(volume.shape[0]))
    in_cache = _CACHE_BYTES // (slices * volume.shape[2] * volume.dtype.itemsize)
    return slices, min(cell[1], _even_multiple(volume.shape[1]), max(least[1], in_cache // least[1] * least[1]))


def decodings(volume: Volume, cell: Extent, axis: int) -> float:
    """How often a read unit is decoded, on average, along z (0) or y (1) when cells of this extent are read."""
    size, step, start = volume.shape[axis], volume.granularity[axis], volume.granularity_start[axis]
    if step == 1:
        return 1
    extent = cell[axis]
    reads = sum(-(-(min(at + extent, size) + start) // step) - (at + start) // step for at in range(0, size, extent))
    return reads / (-(-(size + start) // step))


def _even_multiple(chunk: int) -> int:
    """The smallest even multiple of a chunk size. Half of it is a whole number of voxels."""
    return chunk * (1 + chunk % 2)


def _tiles(region: Region, extent: tuple[int, int]) -> Iterator[Region]:
    z0, z1, y0, y1 = region
    for z in range(z0, z1, extent[0]):
        for y in range(y0, y1, extent[1]):
            yield (z, min(z + extent[0], z1), y, min(y + extent[1], y1))


def _ceil_mb(size: int) -> int:
    return math.ceil(size / 1e6) * 1_000_000
