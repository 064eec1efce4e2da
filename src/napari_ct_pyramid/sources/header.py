"""What headers of volumes have in common: text and numbers in them, sizes along the axes, and the place in space."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.formatting import times
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import SourceOptions, Triple, VoxelSize

from .base import VolumeReader
from .choice import choose
from .deflated_rows import open_deflated_rows
from .raw_rows import RawFile, open_raw_rows

LONGEST = 1_000_000
"""Bytes of a header, at most: a file whose header does not end before this is something else."""

NUMBERED = re.compile(r"[^%]*%0?\d?\d?[du][^%]*")
"""A name for the files of slices with a place for their number, as in C: ``slice_%03d.raw``."""

_STRAIGHT = 1e-4  # of a voxel: what axes may deviate, since headers round their directions


def bad_header(path: Path, what: str) -> SourceError:
    """The error for a header that states something impossible, or not enough."""
    return SourceError(f"The header of {path} {what}. Try writing the file again.")


def several_values(path: Path, count: int) -> SourceError:
    """The error for a file with several values for each voxel, such as colors."""
    return SourceError(
        f"{path} has {count} values for each voxel, and a volume has one. Try saving one of them on its own."
    )


def compressed_slices(path: Path) -> SourceError:
    """The error for a header that names a compressed file for each slice."""
    return SourceError(f"{path} has a compressed file for each slice. Try saving it uncompressed.")


def floats(path: Path, key: str, text: str, count: int) -> list[float]:
    """The finite numbers of a line of a header, of which there must be `count`.

    Raises
    ------
    SourceError
        If there are not.
    """
    try:
        found = [float(word) for word in text.split()]
    except ValueError:
        found = []
    if len(found) != count or not all(map(math.isfinite, found)):
        raise bad_header(path, f"has {key} = {text[:60]!r}, which is not {count} numbers")
    return found


def integers(path: Path, key: str, text: str, count: int) -> list[int]:
    """The whole numbers of a line of a header, of which there must be `count`.

    Raises
    ------
    SourceError
        If there are not.
    """
    found = floats(path, key, text, count)
    if any(value != int(value) for value in found):
        raise bad_header(path, f"has {key} = {text[:60]!r}, which is not {count} whole numbers")
    return [int(value) for value in found]


def from_single(value: Any) -> float:
    """The number that was meant by one of single precision: 0.65 instead of 0.6499999761581421."""
    return float(str(np.float32(value)))


@dataclass(frozen=True)
class Part:
    """The volume to read, of a file that may hold one for each time point.

    Attributes
    ----------
    shape : tuple of int
        Voxels along the axes of the file, the slowest first.
    index : int
        How many volumes of this shape come before it.
    """

    shape: Triple
    index: int


def choose_part(path: Path, sizes: Sequence[int], options: SourceOptions) -> Part:
    """The volume that the options choose.

    Parameters
    ----------
    path : Path
    sizes : sequence of int
        Along the axes of the file, the fastest first: x, y, z, and then time.
    options : SourceOptions

    Raises
    ------
    SourceError
        If it is not a volume of three axes.
    SeveralVolumesError
        If there are several, and none was chosen.
    """
    sizes = list(sizes)
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    if len(sizes) < 3 or len(sizes) > 4 or min(sizes) < 1:
        raise SourceError(
            f"{path} is not a volume of z, y, x: its shape is {times(sizes[::-1])}. Try saving one volume of it on "
            "its own."
        )
    index = choose(path, {"time": sizes[3] if len(sizes) > 3 else 1}, options)["time"]
    return Part((sizes[2], sizes[1], sizes[0]), index)


def placement(
    directions: Sequence[Sequence[float]], origin: Sequence[float], sizes: VoxelSize | None
) -> tuple[VoxelSize, tuple[str, ...]]:
    """Where the first voxel is, along z, y, x, with a note if that cannot be kept.

    Parameters
    ----------
    directions : sequence
        For each axis of the file, the fastest first, its direction along x, y, z, of any length.
    origin : sequence of float
        The centre of the first voxel along x, y, z.
    sizes : tuple of float or None
        The voxel size, if it is known: a place without one means nothing.
    """
    matrix = np.asarray(directions, float)
    lengths = np.linalg.norm(matrix, axis=1)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or not lengths.all():
        return (0.0, 0.0, 0.0), ("Its header gives directions of the axes that are not those of a volume: ignored.",)
    if np.abs(matrix / lengths[:, None] - np.eye(3)).max() > _STRAIGHT:
        return (0.0, 0.0, 0.0), (
            "Its header turns or flips the axes in space. The voxels keep their order in the file, and the position in "
            "space is left out.",
        )
    x, y, z = (float(value) for value in origin)
    if sizes is None or not all(map(math.isfinite, (x, y, z))):
        return (0.0, 0.0, 0.0), ()
    return (z, y, x), ()


def open_voxels(
    volume: Volume,
    dtype: np.dtype,
    path: Path,
    offset: int,
    *,
    index: int = 0,
    deflated_at: int | None = None,
    headers: Sequence[Path] = (),
) -> VolumeReader:
    """Open the voxels of one file.

    Parameters
    ----------
    volume : Volume
        Its axes are those of the file, the slowest first.
    dtype : numpy.dtype
        Of the voxels in the file, with their byte order.
    path : Path
    offset : int
        Bytes before the first voxel; in a compressed file, decoded bytes.
    index : int
        How many volumes of this shape come before it.
    deflated_at : int or None
        Position in the file at which a gzip or zlib stream begins; None if the voxels are not compressed.
    headers : sequence of Path
        Other files on which the volume depends.

    Raises
    ------
    SourceError
        If the file is too short or damaged.
    """
    offset += index * math.prod(volume.shape) * dtype.itemsize
    if deflated_at is None:
        return open_raw_rows(volume, dtype, [RawFile(path, offset, volume.shape[0])], headers)
    return open_deflated_rows(volume, dtype, path, position=deflated_at, skip=offset, headers=headers)
