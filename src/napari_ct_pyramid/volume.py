"""A volume as a frozen value: what is known of it without its voxels. Everything is in z, y, x."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np  # not at run time: the command line's --help must not wait for it

    from .rescale import Rescale

Triple = tuple[int, int, int]
VoxelSize = tuple[float, float, float]


@dataclass(frozen=True)
class Volume:
    """What a source holds.

    Attributes
    ----------
    name : str
        A name for people, such as the file's stem.
    shape : tuple of int
        Voxels along z, y, x.
    dtype : numpy.dtype
        Of the voxels as read, in the machine's byte order.
    format : str
        What the source is, for people: ``"BigTIFF, one page a slice"``.
    compression : str
        ``"none"``, or the name of the codec.
    voxel_size : tuple of float or None
        Along z, y, x, in `unit`; None where the source does not say.
    unit : str or None
        An NGFF unit of length, such as ``"micrometer"``; None where unknown.
    voxel_size_from : str or None
        Where the voxel size was found, for people: ``"ImageJ metadata"``.
    grain : tuple of int
        Voxels along z, y, x that are read or decoded together: 1 along z and y where rows lie plainly in a file,
        more where whole strips, tiles or chunks must be decoded. Reads that begin and end between grains decode
        nothing twice.
    grain_start : tuple of int
        How far within its grain the first voxel lies.
    rescale : Rescale or None
        What its voxels stand for, where they were grey values of another type before.
    """

    name: str
    shape: Triple
    dtype: np.dtype
    format: str
    compression: str = "none"
    voxel_size: VoxelSize | None = None
    unit: str | None = None
    voxel_size_from: str | None = None
    grain: Triple = (1, 1, 1)
    grain_start: Triple = (0, 0, 0)
    rescale: Rescale | None = None

    @property
    def row_step(self) -> int:
        """Rows (y) of a grain."""
        return self.grain[1]

    @property
    def nbytes(self) -> int:
        """Bytes of all voxels, uncompressed."""
        return math.prod(self.shape) * self.dtype.itemsize
