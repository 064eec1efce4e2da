"""The plan of a conversion: levels, blocks, memory and files, computed before anything is written."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise, starmap
from typing import Any

from napari_ct_pyramid.calibration import Calibration
from napari_ct_pyramid.errors import Advice, DiskSpaceError, Message, RequestError
from napari_ct_pyramid.options import AUTO, ConversionOptions, Triple, VoxelSize

from .blocks import BLOCK_BYTES, BlockId, Region, Stage, decodings, fit_budget
from .formatting import count, format_size, html_table, times
from .histogram import Bins
from .intensity import Rescale
from .levels import Level, factors_between, make_levels
from .memory import PROCESS_BYTES
from .rescaling import rescaling
from .sharding import with_shards
from .volume import Volume, touched


@dataclass(frozen=True)
class Plan:
    """The plan of a conversion. Comparable and picklable.

    Attributes
    ----------
    volume : Volume
        The source.
    options : ConversionOptions
        What the user asked for.
    voxel_size, unit, voxel_size_from
        As in `Volume`; the options take precedence.
    levels : tuple of Level
    stages : tuple of Stage
    threads : int
        As many of the requested threads as the budget allows.
    chunk_buffers : int
        Chunks that may be compressed and not on disk yet.
    memory : tuple of (str, int)
        The memory ledger: each use of memory, and its bytes at the peak.
    bytes_out_estimate : int
        Bytes expected on disk.
    bytes_free : int or None
        Free bytes on the output's disk; None where unknown.
    warnings : tuple of Message
    workers : int
        Workers of the cluster that makes the blocks, when it is planned; 0 where this process makes them.
    rescale : Rescale or None
        How the voxels are rescaled; None where they are not.
    bins : Bins or None
        In which the voxels are counted for the histogram; None to leave the histogram out.
    blocks_done : int
        Blocks that are done in the unfinished conversion that this one resumes.
    seconds_estimate : float or None
        Expected time for the remaining work, from the rate at which a sample was read and compressed. The speed of the
        output's disk is not part of it. None where no sample was taken.
    """

    volume: Volume
    options: ConversionOptions
    voxel_size: VoxelSize | None
    unit: str | None
    voxel_size_from: str | None
    levels: tuple[Level, ...]
    stages: tuple[Stage, ...]
    threads: int
    chunk_buffers: int
    memory: tuple[tuple[str, int], ...]
    bytes_out_estimate: int
    bytes_free: int | None
    warnings: tuple[Message, ...]
    workers: int = 0
    rescale: Rescale | None = None
    bins: Bins | None = None
    blocks_done: int = 0
    seconds_estimate: float | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        size = " × ".join(map(str, self.volume.shape))
        return (
            f"<Plan for {self.volume.name}: {size} {self.volume.dtype}, {count(len(self.levels), 'level')}, "
            f"{format_size(self.peak_memory_bytes)} of memory>"
        )

    def _repr_html_(self) -> str:
        rows = [(level.path, times(level.shape), times(level.chunks), format_size(level.nbytes))
                for level in self.levels]  # fmt: skip
        return html_table(repr(self).strip("<>"), ("Level", "Shape", "Chunks", "Size"), rows)

    @property
    def peak_memory_bytes(self) -> int:
        """The peak resident memory of the process, or of each worker, by the ledger."""
        return sum(size for _, size in self.memory)

    @property
    def blocks(self) -> int:
        """The number of blocks of all stages."""
        return len(self.block_ids)

    @cached_property
    def _regions(self) -> dict[BlockId, Region]:
        return {
            (number, block): region
            for number, stage in enumerate(self.stages)
            for block, region in enumerate(stage.blocks())
        }

    @property
    def block_ids(self) -> Collection[BlockId]:
        """The blocks of all stages."""
        return self._regions.keys()

    def chunks_of(self, block: BlockId) -> Iterator[tuple[int, Triple]]:
        """The chunks that a block holds: level, and index along z, y, x. Always in the same order.

        Raises
        ------
        ValueError
            If there is no such block.
        """
        if block not in self._regions:
            raise ValueError(f"the plan has no block {block}")
        stage = self.stages[block[0]]
        for number in range(stage.first, stage.top + 1):
            yield from self._chunks_in(stage, number, self._regions[block])

    def _chunks_in(self, stage: Stage, number: int, region: Region) -> Iterator[tuple[int, Triple]]:
        """The chunks of a level in a region of the stage's base level."""
        z0, z1, y0, y1 = region
        level, (z, y, _) = self.levels[number], stage.span(number)
        box = (slice(z0 // z, z1 // z), slice(y0 // y, y1 // y), slice(0, level.shape[2]))
        for index in touched(box, level.chunks):
            yield number, (index[0], index[1], index[2])

    def chunks_read_for(self, block: BlockId) -> Iterator[tuple[int, Triple]]:
        """The chunks of an earlier stage from which a block is made; none where it is made from the source."""
        stage = self.stages[block[0]]
        if not stage.from_source:
            yield from self._chunks_in(stage, stage.base, self._regions[block])

    def block_of(self, level: int, index: Triple) -> BlockId:
        """The block that holds a chunk."""
        number = next(n for n, stage in enumerate(self.stages) if stage.first <= level <= stage.top)
        z, y, _ = (i * c for i, c in zip(index, self.levels[level].chunks, strict=True))
        return number, self.stages[number].block_of(level, z, y)

    @property
    def files(self) -> int:
        """The number of files of the output: chunks or shards, and metadata."""
        of_group = 2 if self.options.ome_zarr_version == "0.4" else 1
        return sum(level.file_count + 1 for level in self.levels) + of_group

    @property
    def meaning(self) -> Rescale | None:
        """What stored voxels stand for: the source's rescaling and this one together; None where there is neither."""
        before = self.volume.rescale
        return before.then(self.rescale) if before and self.rescale else self.rescale or before

    @property
    def calibration(self) -> Calibration | None:
        """What stored voxels stand for; None where they are the grey values themselves."""
        stated = self.options.calibration or self.volume.calibration
        if self.rescale is None:
            return stated
        return (stated or Calibration(1.0, 0.0)).after(self.rescale.slope, self.rescale.intercept)

    @property
    def method(self) -> str:
        """How a level is made from the one before: ``"2x2x2 local mean"``."""
        steps = dict.fromkeys(starmap(factors_between, pairwise(self.levels))) or [(2, 2, 2)]
        name = self.options.method
        sizes = " and ".join("x".join(map(str, step)) for step in steps)
        return f"{sizes} {name}" if name == "stride" else f"{sizes} local {name}"

    def values_text(self) -> str:
        """What stored voxels stand for, for people; empty where they are the grey values themselves."""
        if self.calibration is None:
            return ""
        if self.rescale is None:
            stated = self.options.calibration is None
            return f"as in the source, where {self.calibration.formula}" if stated else self.calibration.formula
        low, high = self.rescale.low, self.rescale.high
        automatic = " (automatic)" if self.options.window == AUTO else ""
        types = f"{self.volume.dtype} as {self.rescale.dtype}"
        return f"{types}, window {low:g} to {high:g}{automatic}; {self.calibration.formula}"

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
            "dtype": str(self.levels[0].dtype),
            "rescale": self.meaning.to_json() if self.meaning else None,
            "calibration": self.calibration.to_json() if self.calibration else None,
            "method": self.method,
            "edges": self.options.edges,
            "blocks": self.blocks,
            "blocks_done": self.blocks_done,
            "workers": self.workers,
            "files": self.files,
            "memory": dict(self.memory),
            "peak_memory_bytes": self.peak_memory_bytes,
            "max_memory_bytes": self.options.max_memory,
            "bytes_out_estimate": self.bytes_out_estimate,
            "bytes_free": self.bytes_free,
            "seconds_estimate": None if self.seconds_estimate is None else round(self.seconds_estimate, 1),
            "warnings": [str(warning) for warning in self.warnings],
        }


def make_plan(
    volume: Volume,
    options: ConversionOptions,
    *,
    window: tuple[float, float] | None = None,
    compression_ratio: float = 1.0,
    bytes_free: int | None = None,
    process_memory: int = PROCESS_BYTES,
    workers: int = 0,
    in_transit: int = 0,
) -> Plan:
    """Plan a conversion.

    Parameters
    ----------
    volume, options
        The source, and what the user asked for.
    window : tuple of float, optional
        The window that was found, where the options ask for an automatic one.
    compression_ratio : float
        Bytes before compression by bytes after it, measured on a sample.
    bytes_free : int or None
        Free bytes on the output's disk; None skips the comparison.
    process_memory : int
        Resident memory of the process without the conversion's buffers, in bytes.
    workers : int
        Workers of the cluster that will make the blocks; 0 where this process will.
    in_transit : int
        Bytes in buffers of the libraries that transfer data to and from an object store.

    Raises
    ------
    RequestError
        If the source's voxels cannot be stored as the requested type, or are labels, which have no mean.
    LevelsError
        If y or x cannot be halved as often as requested.
    BudgetError
        If the budget is too small for any plan.
    DiskSpaceError
        If the output would not fit.
    """
    voxel_size = options.voxel_size or volume.voxel_size
    unit = options.unit or volume.unit
    _check_labels(volume, options)
    rescale = rescaling(volume, options, window)
    levels = make_levels(volume, options, voxel_size)
    fit = fit_budget(volume, options, levels, process_memory, in_transit)
    plan = Plan(
        volume=volume,
        options=options,
        voxel_size=voxel_size,
        unit=unit if voxel_size else None,
        voxel_size_from="the options" if options.voxel_size else volume.voxel_size_from,
        levels=with_shards(levels, fit.stages, options),
        stages=fit.stages,
        threads=fit.threads,
        chunk_buffers=fit.chunk_buffers,
        memory=fit.ledger,
        bytes_out_estimate=round(sum(level.nbytes for level in levels) / compression_ratio),
        bytes_free=bytes_free,
        warnings=tuple(_warnings(volume, options, levels, fit.stages, fit.threads, workers)),
        workers=workers,
        rescale=rescale,
    )
    if bytes_free is not None and plan.bytes_out_estimate > bytes_free:
        raise DiskSpaceError(
            f"The output needs about {format_size(plan.bytes_out_estimate)}, and its disk has "
            f"{format_size(bytes_free)} free. Free some space, or choose an output on another disk.",
            needed=plan.bytes_out_estimate,
            free=bytes_free,
        )
    return plan


def _warnings(
    volume: Volume,
    options: ConversionOptions,
    levels: tuple[Level, ...],
    stages: tuple[Stage, ...],
    threads: int,
    workers: int,
) -> Iterator[Message]:
    yield from map(Message.of, volume.notes)
    for axis, step, size, what in zip(
        "zyx", levels[-1].reduction, volume.shape, ("slice", "row", "column"), strict=True
    ):
        if step > size:
            yield Message.of(
                f"{len(levels)} levels halve {axis} {step.bit_length() - 1} times, and there are {count(size, what)}: "
                "the coarsest levels are mostly padding."
            )
    cell = stages[0].cell
    often = decodings(volume, cell, 0) * decodings(volume, cell, 1)
    if often > 1.005:
        yield Message.of(
            f"The source is {_stored(volume)} {times(volume.granularity)} voxels, and this budget holds {cell[0]:,} "
            f"slices of {cell[1]:,} rows at a time: each piece is read and decoded {often:.1f} times. "
            "A larger budget (", Advice("max_memory"), ") is faster.",
        )  # fmt: skip
    block = stages[0].block_voxels * volume.dtype.itemsize
    if isinstance(options.shards, tuple) and block > BLOCK_BYTES:
        yield Message.of(
            f"A block holds whole shards, and is {format_size(block)} of the source: so much is done again after an "
            "interruption. Smaller shards (", Advice("shards"), ") lose less.",
        )  # fmt: skip
    if threads < options.thread_count:
        yield Message.of(
            f"This budget is enough for {threads} of {options.thread_count} threads. A larger one (",
            Advice("max_memory"), ") is faster.",
        )  # fmt: skip
    most = max(sum(1 for _ in stage.blocks()) for stage in stages)
    if workers > most:
        yield Message.of(
            f"There are {count(workers, 'worker')}, but at most {count(most, 'block')} can be made at once."
        )
    if options.unit and not (options.voxel_size or volume.voxel_size):
        yield Message.of(
            f"The unit {options.unit} is not used: no voxel size is known. Give one (", Advice("voxel_size"), ")."
        )
    if options.voxel_size and not (options.unit or volume.unit):
        yield Message.of(
            "The voxel size has no unit, so nobody can tell how large a voxel is. Give one (",
            Advice("unit", "micrometer"), ").",
        )  # fmt: skip


def _stored(volume: Volume) -> str:
    return "in pieces of" if volume.compression == "none" else f"compressed ({volume.compression}) in pieces of"


def _check_labels(volume: Volume, options: ConversionOptions) -> None:
    """Make sure that labels stay labels."""
    if not volume.is_labels:
        return
    if options.method in ("mean", "median"):
        raise RequestError(
            f"The voxels are labels, and the {options.method} of two labels names another object. Ask for the most "
            "frequent label (",
            Advice("method", "mode"),
            ").",
        )
    if options.dtype:
        raise RequestError(
            "The voxels are labels, which another type would change. Leave the type out (", Advice("dtype"), ")."
        )
