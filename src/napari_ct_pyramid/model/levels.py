"""Computes the levels of a pyramid from the shape of its volume."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from napari_ct_pyramid.errors import Advice, LevelsError
from napari_ct_pyramid.options import COARSEST_AXIS, ConversionOptions, Triple, VoxelSize

from .formatting import count, times
from .volume import Volume

T = TypeVar("T")


@dataclass(frozen=True)
class Level:
    """One level of the pyramid.

    Attributes
    ----------
    path : str
        Of the level's array in the group: ``"0"``, ``"1"``, …
    shape, chunks : tuple of int
        Along z, y, x, in voxels. Padding is included.
    dtype : numpy.dtype
        Of the voxels; all levels have the same.
    reduction : tuple of int
        Voxels of level 0 that one voxel of this level spans, along z, y, x.
    voxel_size, translation : tuple of float
        Along z, y, x, in the volume's unit. A voxel of level 0 is 1.0 where the voxel size is unknown.
    shards : tuple of int or None
        Voxels of one file along z, y, x; None where each file holds one chunk.
    """

    path: str
    shape: Triple
    chunks: Triple
    dtype: np.dtype
    reduction: Triple
    voxel_size: VoxelSize
    translation: VoxelSize
    shards: Triple | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all voxels, uncompressed."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def chunk_count(self) -> int:
        """All chunks of the level, including those at its edges."""
        return math.prod(math.ceil(n / c) for n, c in zip(self.shape, self.chunks, strict=True))

    @property
    def file_count(self) -> int:
        """Files that hold its chunks."""
        return math.prod(math.ceil(n / s) for n, s in zip(self.shape, self.shards or self.chunks, strict=True))

    @property
    def chunks_per_shard(self) -> int:
        """Chunks that fit in a shard, which may reach beyond the level's edges."""
        return math.prod(self._shard_grid)

    def chunks_in_shard(self, number: Triple) -> int:
        """Chunks of the level in the shard with this number (z, y, x)."""
        grid = (math.ceil(n / c) for n, c in zip(self.shape, self.chunks, strict=True))
        return math.prod(min(s, n - i * s) for i, s, n in zip(number, self._shard_grid, grid, strict=True))

    def place_in_shard(self, index: Triple) -> tuple[Triple, int]:
        """The shard (z, y, x) of a chunk (z, y, x), and the number of the chunk in that shard."""
        shard, slot = place_in_shard(index, self._shard_grid)
        return _triple(shard), slot

    @property
    def _shard_grid(self) -> Triple:
        z, y, x = (s // c for s, c in zip(self.shards or self.chunks, self.chunks, strict=True))
        return z, y, x

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it."""
        return {
            "path": self.path,
            "shape": list(self.shape),
            "chunks": list(self.chunks),
            "shards": list(self.shards) if self.shards else None,
            "scale": list(self.voxel_size),
            "translation": list(self.translation),
            "bytes": self.nbytes,
        }


def make_levels(volume: Volume, options: ConversionOptions, voxel_size: VoxelSize | None) -> tuple[Level, ...]:
    """The levels that the options ask for, from the finest to the coarsest, without shards.

    Raises
    ------
    LevelsError
        If the volume cannot be halved that often.
    """
    size = voxel_size or (1.0, 1.0, 1.0)
    first = _place_of_first(volume, size)
    reductions = _reductions(volume.shape, options, size)
    coarsest = reductions[-1]
    padded = [math.ceil(n / r) * r for n, r in zip(volume.shape, coarsest, strict=True)]
    if len(reductions) < (options.num_levels or 0) or (options.edges == "strict" and padded[1:] != [*volume.shape[1:]]):
        raise _too_many(volume.shape, options, reductions)
    between = options.method != "stride"
    dtype = np.dtype(options.dtype) if options.dtype else volume.dtype
    return tuple(
        Level(
            path=str(k),
            shape=_triple(n // r for n, r in zip(padded, reduction, strict=True)),
            chunks=options.chunks,
            dtype=dtype,
            reduction=reduction,
            voxel_size=_triple(s * r for s, r in zip(size, reduction, strict=True)),
            # The mean of two voxels lies between them; the first of two keeps its place.
            translation=_triple(t + s * (r - 1) / 2 * between for t, s, r in zip(first, size, reduction, strict=True)),
        )
        for k, reduction in enumerate(reductions)
    )


def _place_of_first(volume: Volume, size: VoxelSize) -> VoxelSize:
    """Where the centre of the first voxel is. Another voxel size than the source's moves it as it moves all others."""
    stated = volume.voxel_size or (1.0, 1.0, 1.0)
    if size == stated:
        return volume.translation
    return _triple(t * s / before for t, s, before in zip(volume.translation, size, stated, strict=True))


def factors_between(finer: Level, coarser: Level) -> Triple:
    """Voxels of the finer level that one voxel of the coarser level spans, along z, y, x."""
    return _triple(b // a for a, b in zip(finer.reduction, coarser.reduction, strict=True))


def _reductions(shape: Triple, options: ConversionOptions, voxel_size: VoxelSize) -> list[Triple]:
    """The reductions of as many levels as asked for; fewer if a level is a single voxel before that."""
    reductions: list[Triple] = [(1, 1, 1)]
    while True:
        last = reductions[-1]
        sizes = _triple(math.ceil(n / r) for n, r in zip(shape, last, strict=True))
        factors = options.downsample or _auto_factors([s * r for s, r in zip(voxel_size, last, strict=True)])
        if options.num_levels:
            enough = len(reductions) == options.num_levels
        else:
            # With automatic factors, every axis is halved at some level.
            halved = options.downsample or (2, 2, 2)
            enough = all(n <= COARSEST_AXIS or f == 1 for n, f in zip(sizes, halved, strict=True))
        if enough or sizes == (1, 1, 1):
            return reductions
        reductions.append(_triple(r * f for r, f in zip(last, factors, strict=True)))


def _auto_factors(voxel_size: Sequence[float]) -> Triple:
    """2 along the axes whose voxels are less than twice as large as the smallest, so that voxels become isotropic."""
    limit = 2 * min(voxel_size) * (1 - 1e-6)
    return _triple(2 if size < limit else 1 for size in voxel_size)


def _too_many(shape: Triple, options: ConversionOptions, reductions: list[Triple]) -> LevelsError:
    if options.edges == "pad":
        most = len(reductions)
    else:
        most = sum(shape[1] % r[1] == 0 and shape[2] % r[2] == 0 for r in reductions)
    fewer = (f"Ask for {count(most, 'level')}{' or fewer' * (most > 1)} (", Advice("num_levels", most), ")")
    if len(reductions) < (options.num_levels or 0):
        left = f"A volume of {times(shape)} voxels is too small for {options.num_levels:,} levels."
        return LevelsError(f"{left} ", *fewer, ".", most=most)
    asked = f"{'the automatic ' if options.num_levels is None else ''}{len(reductions)} levels"
    _, by_y, by_x = reductions[-1]
    by = f"y and x must be divisible by {by_y}" if by_y == by_x else f"y must be divisible by {by_y} and x by {by_x}"
    return LevelsError(
        f"For {asked}, {by}, and this volume has y = {shape[1]:,} and x = {shape[2]:,}. ",
        *fewer,
        ", or to pad y and x with zeros (",
        Advice("edges", "pad"),
        "), or crop the volume.",
        most=most,
        paddable=True,
    )


def _triple(values: Iterable[T]) -> tuple[T, T, T]:
    z, y, x = values
    return z, y, x


def place_in_shard(index: Iterable[int], grid: Iterable[int]) -> tuple[tuple[int, ...], int]:
    """The shard that a chunk is in, and the chunk's number there, where shards hold a `grid` of chunks."""
    shard, slot = [], 0
    for i, n in zip(index, grid, strict=True):
        shard.append(i // n)
        slot = slot * n + i % n
    return tuple(shard), slot
