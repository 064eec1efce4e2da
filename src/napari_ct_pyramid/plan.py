"""What a conversion will do, worked out beforehand: levels, blocks, memory, files. Pure arithmetic.

A *stage* reads one level (the source itself, for the first stage) and makes the levels above it,
block by block. A *block* holds whole chunks of every level its stage makes and shares none with
another block. Inside a block the work goes *cell* by cell, depth first: one cell a level is in
memory, each a row of whole chunks that spans all of x.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from . import downsample
from .errors import BudgetError, DiskSpaceError, LevelsError
from .options import ConversionOptions
from .sizes import format_size
from .volume import Triple, Volume, VoxelSize

COARSEST = 512
"""No axis of the coarsest level is longer than this, with automatic levels: napari shows it in 3D at once."""

PROCESS_BYTES = 170_000_000
"""The bare process: the interpreter with numpy, tifffile, tensorstore and ome-zarr imported, measured."""

_BLOCK_BYTES = 4_000_000_000  # work that a crash may cost, at most
_CACHE_BYTES = 1_000_000  # a core's second-level cache
_CELL_BYTES = 256_000_000  # a larger cell gains no speed

Region = tuple[int, int, int, int]
"""z0, z1, y0, y1 in voxels of some level; all of x."""


@dataclass(frozen=True)
class Level:
    """One level of the pyramid.

    Attributes
    ----------
    path : str
        Of the level's array in the store: ``"0"``, ``"1"``, …
    shape, chunks : tuple of int
        Along z, y, x, in voxels. Padding is included.
    voxel_size, translation : tuple of float
        Along z, y, x, in the volume's unit (1.0 a voxel of level 0 where none is known).
    nbytes : int
        Uncompressed.
    """

    path: str
    shape: Triple
    chunks: Triple
    voxel_size: VoxelSize
    translation: VoxelSize
    nbytes: int

    @property
    def chunk_count(self) -> int:
        """Chunks that the level has, those at its edges included."""
        return math.prod(math.ceil(n / c) for n, c in zip(self.shape, self.chunks, strict=True))

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it."""
        return {
            "path": self.path,
            "shape": list(self.shape),
            "chunks": list(self.chunks),
            "scale": list(self.voxel_size),
            "translation": list(self.translation),
            "bytes": self.nbytes,
        }


@dataclass(frozen=True)
class Stage:
    """Levels `base` + 1 to `top`, made from level `base`; the first stage writes its base as well.

    `shape` is level `base`'s. `block` and `cell` are extents (z, y) in voxels: of a block on level `base`,
    of a cell on any level. With `ahead`, the next cell of the source is read while the last is being written.
    """

    base: int
    top: int
    shape: Triple
    block: tuple[int, int]
    cell: tuple[int, int]
    ahead: bool

    def blocks(self) -> Iterator[Region]:
        """The blocks, as regions of level `base`."""
        return _tiles((0, self.shape[0], 0, self.shape[1]), self.block)

    def cells(self, region: Region) -> Iterator[Region]:
        """The cells of a region of whole cells on any level, z outermost."""
        return _tiles(region, self.cell)

    def cell_shape(self, level: int) -> Triple:
        """The largest cell on a level, in voxels."""
        steps = 2 ** (level - self.base)
        rows = min(self.cell[1], self.block[1] // steps, self.shape[1] // steps)
        return (min(self.cell[0], self.shape[0] // steps), rows, self.shape[2] // steps)

    @property
    def grids(self) -> int:
        """Cells of the source that are in memory at once, sorted by chunk."""
        return 0 if self.base else 1 + self.ahead


@dataclass(frozen=True)
class Plan:
    """A conversion, worked out. Comparable and picklable.

    Attributes
    ----------
    volume : Volume
        The source.
    options : ConversionOptions
        What was asked for.
    voxel_size, unit, voxel_size_from
        As `Volume` has them, after the options had their say.
    levels : tuple of Level
    stages : tuple of Stage
    threads : int
        As many of those asked for as the budget allows.
    memory : tuple of (str, int)
        The ledger: what takes memory, and how many bytes of it, at the peak.
    bytes_out_estimate : int
        Expected on disk.
    bytes_free : int or None
        On the output's disk; None where unknown.
    warnings : tuple of str
    """

    volume: Volume
    options: ConversionOptions
    voxel_size: VoxelSize | None
    unit: str | None
    voxel_size_from: str | None
    levels: tuple[Level, ...]
    stages: tuple[Stage, ...]
    threads: int
    memory: tuple[tuple[str, int], ...]
    bytes_out_estimate: int
    bytes_free: int | None
    warnings: tuple[str, ...]

    @property
    def peak_memory_bytes(self) -> int:
        """The peak resident memory of the process, from the ledger."""
        return sum(size for _, size in self.memory)

    @cached_property
    def blocks(self) -> int:
        """Blocks, of all stages."""
        return sum(1 for stage in self.stages for _ in stage.blocks())

    @property
    def files(self) -> int:
        """Files of the output: chunks, an array's metadata for each level, the group's and its attributes."""
        return sum(level.chunk_count + 1 for level in self.levels) + 2

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it."""
        return {
            "source": {
                "name": self.volume.name,
                "format": self.volume.format,
                "shape": list(self.volume.shape),
                "dtype": str(self.volume.dtype),
                "bytes": self.volume.nbytes,
                "compression": self.volume.compression,
            },
            "voxel_size": list(self.voxel_size) if self.voxel_size else None,
            "unit": self.unit,
            "voxel_size_from": self.voxel_size_from,
            "levels": [level.to_json() for level in self.levels],
            "blocks": self.blocks,
            "files": self.files,
            "memory": dict(self.memory),
            "peak_memory_bytes": self.peak_memory_bytes,
            "max_memory_bytes": self.options.max_memory,
            "bytes_out_estimate": self.bytes_out_estimate,
            "bytes_free": self.bytes_free,
            "warnings": list(self.warnings),
        }

    def describe(self) -> str:
        """The plan for people, in some lines of text."""
        volume = self.volume
        lines = [
            f"Source       {volume.name}: {volume.format}, {_times(volume.shape)} {volume.dtype}, "
            f"{format_size(volume.nbytes)}, compression {volume.compression}",
            f"Voxel size   {self._voxel_size_text()}",
            "",
            *_table(
                ("Level", "Shape (z y x)", "Chunks", "Voxel size", "Size"),
                [
                    (level.path, _times(level.shape), _times(level.chunks), self._scale_text(level),
                     format_size(level.nbytes))
                    for level in self.levels
                ],
            ),
            "",
            *_table(
                ("Memory", "Size"),
                [(item, format_size(size)) for item, size in self.memory]
                + [("peak, of a budget of " + format_size(self.options.max_memory),
                    format_size(self.peak_memory_bytes))],
            ),
            "",
            f"Work         {self.blocks:,} blocks with {self.threads} thread{'s' * (self.threads > 1)}",
            f"Output       {self.files:,} files, about {format_size(self.bytes_out_estimate)}"
            + (f" of {format_size(self.bytes_free)} free" if self.bytes_free is not None else ""),
        ]  # fmt: skip
        return "\n".join(lines + [f"Warning      {warning}" for warning in self.warnings])

    def _voxel_size_text(self) -> str:
        if self.voxel_size is None:
            return "unknown; --voxel-size and --unit can give it"
        return f"{_numbers(self.voxel_size)} {self.unit or '(unit unknown)'} (z y x), from {self.voxel_size_from}"

    def _scale_text(self, level: Level) -> str:
        return _numbers(level.voxel_size) if self.voxel_size else "unknown"


def make_plan(
    volume: Volume,
    options: ConversionOptions,
    *,
    compression_ratio: float = 1.0,
    bytes_free: int | None = None,
    process_memory: int = PROCESS_BYTES,
) -> Plan:
    """Work a conversion out.

    Parameters
    ----------
    volume, options
        What is there, and what was asked for.
    compression_ratio : float
        Bytes before by bytes after, as sampled.
    bytes_free : int or None
        Free on the output's disk; None skips the comparison.
    process_memory : int
        Resident memory of the process without the conversion's buffers, in bytes.

    Raises
    ------
    LevelsError
        If y or x cannot be halved as often as asked.
    BudgetError
        If the budget is too small for any plan.
    DiskSpaceError
        If the output would not fit.
    """
    voxel_size = options.voxel_size or volume.voxel_size
    unit = options.unit or volume.unit
    levels = _make_levels(volume, options, voxel_size)
    stages, threads, memory = _fit_budget(volume, options, levels, process_memory)
    plan = Plan(
        volume=volume,
        options=options,
        voxel_size=voxel_size,
        unit=unit if voxel_size else None,
        voxel_size_from="--voxel-size" if options.voxel_size else volume.voxel_size_from,
        levels=levels,
        stages=stages,
        threads=threads,
        memory=memory,
        bytes_out_estimate=round(sum(level.nbytes for level in levels) / compression_ratio),
        bytes_free=bytes_free,
        warnings=tuple(_warnings(volume, options, levels, stages, threads)),
    )
    if bytes_free is not None and plan.bytes_out_estimate > bytes_free:
        raise DiskSpaceError(
            f"The output needs about {format_size(plan.bytes_out_estimate)} and {format_size(bytes_free)} are free "
            "there. Free some space, or choose an output on another disk.",
            needed=plan.bytes_out_estimate,
            free=bytes_free,
        )
    return plan


def _make_levels(volume: Volume, options: ConversionOptions, voxel_size: VoxelSize | None) -> tuple[Level, ...]:
    count = options.num_levels or _auto_levels(volume.shape)
    step = 2 ** (count - 1)
    depth, rows, columns = volume.shape
    if rows % step or columns % step:
        most = _most_levels(rows, columns)
        asked = f"{count} levels" if options.num_levels else f"the automatic {count} levels"
        raise LevelsError(
            f"For {asked}, y and x must be divisible by {step}, and this volume has y = {rows:,} and x = {columns:,}. "
            f"Ask for {most} level{'s' * (most > 1)} or fewer (-l {most}), or crop the volume.",
            most=most,
        )
    padded = (math.ceil(depth / step) * step, rows, columns)
    size = voxel_size or (1.0, 1.0, 1.0)
    levels = []
    for k in range(count):
        shape = (padded[0] >> k, padded[1] >> k, padded[2] >> k)
        levels.append(
            Level(
                path=str(k),
                shape=shape,
                chunks=options.chunks,
                voxel_size=(size[0] * 2**k, size[1] * 2**k, size[2] * 2**k),
                # A mean of two voxels sits between them.
                translation=(size[0] * (2**k - 1) / 2, size[1] * (2**k - 1) / 2, size[2] * (2**k - 1) / 2),
                nbytes=math.prod(shape) * volume.dtype.itemsize,
            )
        )
    return tuple(levels)


def _auto_levels(shape: Triple) -> int:
    return 1 + ((max(shape) - 1) // COARSEST).bit_length()


def _most_levels(rows: int, columns: int) -> int:
    both = math.gcd(rows, columns)
    return (both & -both).bit_length()


def _fit_budget(
    volume: Volume, options: ConversionOptions, levels: tuple[Level, ...], process_memory: int
) -> tuple[tuple[Stage, ...], int, tuple[tuple[str, int], ...]]:
    """The stages with the largest cells that gain speed, the threads, and the memory they take."""
    asked = options.thread_count
    best = None
    for rows, ahead in _cell_choices(volume, options):
        stages = _make_stages(volume, options, levels, rows, ahead)
        cells = _cells_bytes(volume, options, stages)
        a_thread = _thread_bytes(volume, options, rows)
        left = options.max_memory - process_memory - cells
        threads = min(asked, left // a_thread)
        if best is None and threads < 1:
            smallest = _ceil_mb(process_memory + cells + a_thread)
            text = f"{smallest // 1_000_000:,} MB".replace(",", "")
            raise BudgetError(
                f"A budget of {format_size(options.max_memory)} is too small for this volume with chunks of "
                f"{_times(options.chunks)}: the smallest that works is {text} (--max-memory {text.replace(' ', '')}). "
                "Smaller chunks need less.",
                smallest=smallest,
            )
        # All the threads come before larger cells.
        if best is None or threads == asked:
            ledger = (
                ("the program itself", process_memory),
                ("cells of the levels", cells),
                (f"{threads} thread{'s' * (threads > 1)} at work", threads * a_thread),
            )
            best = (stages, threads, ledger)
    assert best is not None  # the first choice is the best so far, or an error
    return best


def _cell_choices(volume: Volume, options: ConversionOptions) -> Iterator[tuple[int, bool]]:
    """Rows of a cell, and whether to read ahead: from what takes least memory to what is fastest."""
    depth, rows = _even_multiple(options.chunks[0]), _even_multiple(options.chunks[1])
    row_bytes = depth * volume.shape[2] * volume.dtype.itemsize
    yield rows, False
    if volume.row_step > 1:
        # Only whole strips are decoded once: that gains more than reading ahead.
        while rows < volume.shape[1]:
            rows *= 2
            yield rows, False
        yield rows, True
        return
    yield rows, True
    while rows < volume.shape[1] and 2 * rows * row_bytes <= _CELL_BYTES:
        rows *= 2
        yield rows, True


def _make_stages(
    volume: Volume, options: ConversionOptions, levels: tuple[Level, ...], cell_rows: int, ahead: bool
) -> tuple[Stage, ...]:
    cell = (_even_multiple(options.chunks[0]), cell_rows)
    least_rows = _even_multiple(options.chunks[1])
    stages = []
    base = 0
    while True:
        shape = levels[base].shape
        top = base
        steps = 1
        while top + 1 < len(levels):
            # A block's extent does not depend on the budget unless a cell is higher than it.
            larger = (cell[0] * 2 * steps, max(least_rows * 2 * steps, cell_rows))
            size = min(larger[0], shape[0]) * min(larger[1], shape[1]) * shape[2] * volume.dtype.itemsize
            if top > base and size > _BLOCK_BYTES:
                break
            top, steps = top + 1, steps * 2
        block = (cell[0] * steps, max(least_rows * steps, cell_rows))
        stages.append(Stage(base=base, top=top, shape=shape, block=block, cell=cell, ahead=ahead))
        base = top
        if base + 1 >= len(levels):
            return tuple(stages)


def _cells_bytes(volume: Volume, options: ConversionOptions, stages: tuple[Stage, ...]) -> int:
    """Of the largest stage, since one runs after the other."""
    return volume.dtype.itemsize * max(
        stage.grids * math.prod(math.ceil(n / c) * c for n, c in zip(stage.cell_shape(0), options.chunks, strict=True))
        + sum(math.prod(stage.cell_shape(k)) for k in range(max(1, stage.base), stage.top + 1))
        for stage in stages
    )


def _thread_bytes(volume: Volume, options: ConversionOptions, cell_rows: int) -> int:
    """What each thread needs for itself: to read, to average, to compress (a chunk before and after), to decode."""
    itemsize = volume.dtype.itemsize
    # A strip or row of tiles as decoded, and what it is decoded from.
    decoding = 0 if volume.row_step == 1 else 2 * volume.row_step * volume.shape[2] * itemsize
    rows = 2 * read_rows(volume, cell_rows) * volume.shape[2] * itemsize
    averaging = downsample.scratch_bytes(volume.shape[2], volume.dtype)
    return rows + averaging + 2 * math.prod(options.chunks) * itemsize + decoding


def read_rows(volume: Volume, cell_rows: int) -> int:
    """Rows of two slices that are read and averaged at once: an even number that a core's cache holds.

    Where rows come in strips, it is all of a cell's, so that a strip is decoded once.
    """
    if volume.row_step > 1:
        return cell_rows
    row_bytes = volume.shape[2] * volume.dtype.itemsize
    return min(cell_rows, max(2, _CACHE_BYTES // (2 * row_bytes) // 2 * 2))


def _warnings(
    volume: Volume, options: ConversionOptions, levels: tuple[Level, ...], stages: tuple[Stage, ...], threads: int
) -> Iterator[str]:
    step = 2 ** (len(levels) - 1)
    if step > volume.shape[0]:
        yield (
            f"{len(levels)} levels halve z {len(levels) - 1} times, and there are {volume.shape[0]} slices: "
            f"the coarsest levels are mostly padding."
        )
    first = stages[0].cell[1]
    if volume.row_step > 1 and first % volume.row_step and first < volume.shape[1]:
        times = _decodings(volume.shape[1], first, volume.row_step)
        yield (
            f"The pages are {volume.compression}-compressed in strips of {volume.row_step:,} rows, and this budget "
            f"holds {first:,} rows at a time: each strip is decoded {times:.1f} times. A larger --max-memory is faster."
        )
    if threads < options.thread_count:
        yield (
            f"This budget is enough for {threads} of {options.thread_count} threads. A larger --max-memory is faster."
        )
    if options.unit and not (options.voxel_size or volume.voxel_size):
        yield f"The unit {options.unit} is not used: no voxel size is known. --voxel-size gives one."


def _decodings(rows: int, cell: int, step: int) -> float:
    """How often a strip of `step` rows is decoded, on average, when cells of `cell` rows are read."""
    reads = sum(math.ceil(min(y + cell, rows) / step) - y // step for y in range(0, rows, cell))
    return reads / math.ceil(rows / step)


def _even_multiple(chunk: int) -> int:
    """The smallest multiple of a chunk that can be halved, so that half a cell ends between two voxels."""
    return chunk * (1 + chunk % 2)


def _tiles(region: Region, extent: tuple[int, int]) -> Iterator[Region]:
    z0, z1, y0, y1 = region
    for z in range(z0, z1, extent[0]):
        for y in range(y0, y1, extent[1]):
            yield (z, min(z + extent[0], z1), y, min(y + extent[1], y1))


def _ceil_mb(size: int) -> int:
    return math.ceil(size / 1e6) * 1_000_000


def _times(shape: Triple) -> str:
    return " × ".join(str(n) for n in shape)


def _numbers(size: VoxelSize) -> str:
    return " ".join(f"{n:g}" for n in size)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    last = len(head) - 1
    return [
        "  ".join(cell.rjust(w) if i == last else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True)))
        for row in [head, *rows]
    ]
