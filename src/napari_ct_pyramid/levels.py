"""The levels of a pyramid, from the shape of its volume."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .errors import LevelsError
from .options import ConversionOptions
from .text import count
from .volume import Triple, Volume, VoxelSize

COARSEST = 512
"""No axis of the coarsest level is longer than this, with automatic levels: napari shows it in 3D at once."""


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


def make_levels(volume: Volume, options: ConversionOptions, voxel_size: VoxelSize | None) -> tuple[Level, ...]:
    number = options.num_levels or _auto_levels(volume.shape)
    step = 2 ** (number - 1)
    depth, rows, columns = volume.shape
    if rows % step or columns % step:
        most = _most_levels(rows, columns)
        asked = f"{number} levels" if options.num_levels else f"the automatic {number} levels"
        raise LevelsError(
            f"For {asked}, y and x must be divisible by {step}, and this volume has y = {rows:,} and x = {columns:,}. "
            f"Ask for {count(most, 'level')}{' or fewer' * (most > 1)} (-l {most}), or crop the volume.",
            most=most,
        )
    padded = (math.ceil(depth / step) * step, rows, columns)
    size = voxel_size or (1.0, 1.0, 1.0)
    levels = []
    for k in range(number):
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
