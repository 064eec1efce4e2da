"""Decides how many chunks are in a shard, so that a volume is dozens of files instead of tens of thousands."""

from __future__ import annotations

import math
from dataclasses import replace

from napari_ct_pyramid.errors import Advice, RequestError
from napari_ct_pyramid.options import ConversionOptions, Triple

from .blocks import Stage
from .formatting import times
from .levels import Level

SHARD_BYTES = 2**30
"""An automatic shard holds at most this many bytes of voxels: 128 chunks of 128 x 128 x 128 float32."""


def with_shards(levels: tuple[Level, ...], stages: tuple[Stage, ...], options: ConversionOptions) -> tuple[Level, ...]:
    """The levels, with the shards that the user asked for. A block holds whole shards of every level.

    Raises
    ------
    RequestError
        If the shards do not hold whole chunks.
    """
    if options.shards is None:
        return levels
    sharded = list(levels)
    for stage in stages:
        for k in range(stage.first, stage.top + 1):
            most = _chunks_of_block(levels[k], stage, k)
            if isinstance(options.shards, str):  # automatic
                number = _automatic(levels[k], most)
            else:
                number = _asked(options.shards, levels[k].chunks, most)
            z, y, x = (n * c for n, c in zip(number, levels[k].chunks, strict=True))
            sharded[k] = replace(levels[k], shards=(z, y, x))
    return tuple(sharded)


def _chunks_of_block(level: Level, stage: Stage, k: int) -> Triple:
    """Chunks of a level in a block, along z, y, x."""
    z, y = stage.extent(k)
    return z // level.chunks[0], y // level.chunks[1], math.ceil(level.shape[2] / level.chunks[2])


def _automatic(level: Level, most: Triple) -> Triple:
    """As many chunks as `SHARD_BYTES` allows: the shortest side is doubled as long as possible."""
    number = [1, 1, 1]
    growing = [0, 1, 2]
    while growing:
        axis = min(growing, key=lambda a: number[a] * level.chunks[a])
        double = 2 * number[axis]
        size = math.prod(number) * 2 * math.prod(level.chunks) * level.dtype.itemsize
        if size <= SHARD_BYTES and _fits(double, most, axis):
            number[axis] = double
        else:
            growing.remove(axis)
    return number[0], number[1], number[2]


def _fits(number: int, most: Triple, axis: int) -> bool:
    # A block spans all of x, so the last shard along x may be incomplete.
    return number < 2 * most[axis] if axis == 2 else most[axis] % number == 0


def _asked(shards: Triple, chunks: Triple, most: Triple) -> Triple:
    """The shards that the user asked for; on coarser levels no more than one block holds."""
    if any(s % c for s, c in zip(shards, chunks, strict=True)):
        raise RequestError(
            f"Shards of {times(shards)} do not hold whole chunks of {times(chunks)}: every side must be a multiple of "
            "the chunk's. Ask for such shards, or for automatic ones (",
            Advice("shards", "auto"),
            ").",
        )
    number = tuple(s // c for s, c in zip(shards, chunks, strict=True))
    return math.gcd(number[0], most[0]), math.gcd(number[1], most[1]), number[2]
