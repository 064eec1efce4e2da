"""What of an HDF5 file is the volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_ct_pyramid.options import Triple, VoxelSize
from napari_ct_pyramid.sources.voxel_size import FoundVoxelSize

from .files import Item


@dataclass(frozen=True)
class Chosen:
    """The dataset that is the volume, and what of it.

    Attributes
    ----------
    item : Item
    place : tuple of (int or None)
        For each axis of the dataset the index to read, or None for the three axes of the volume.
    order : str
        The names of those three axes.
    dtype : numpy.dtype or None
        Of the voxels, where it is not the type of the dataset.
    shape : tuple of int or None
        Along the three axes, without padding; None where nothing is padded.
    size : FoundVoxelSize or None
        The voxel size that the program which wrote the file keeps elsewhere; None to look for it at the dataset.
    translation, channel, color, notes
        As in `Volume`.
    """

    item: Item
    place: tuple[int | None, ...]
    order: str = "zyx"
    dtype: np.dtype | None = None
    shape: Triple | None = None
    size: FoundVoxelSize | None = None
    translation: VoxelSize = (0.0, 0.0, 0.0)
    channel: str | None = None
    color: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def axes(self) -> Triple:
        """The axes of the dataset that are the volume's, in the order of the dataset."""
        first, second, third = (axis for axis, index in enumerate(self.place) if index is None)
        return first, second, third
