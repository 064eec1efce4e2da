"""What the header of an exported file states."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_ct_pyramid.calibration import Calibration
from napari_ct_pyramid.options import Triple, VoxelSize
from napari_ct_pyramid.units import UNITS


@dataclass(frozen=True)
class Facts:
    """What the header of an exported file states.

    Attributes
    ----------
    name : str
        Of the volume.
    shape : tuple of int
        Voxels along z, y, x.
    dtype : numpy.dtype
    voxel_size : tuple of float or None
        Along z, y, x, in `unit`; None if it is unknown.
    unit : str or None
        An NGFF unit of length.
    translation : tuple of float
        Where the centre of the first voxel is, along z, y, x, in `unit`; in voxels if the voxel size is unknown.
    calibration : Calibration or None
        What the voxels stand for; None if they are grey values.
    """

    name: str
    shape: Triple
    dtype: np.dtype
    voxel_size: VoxelSize | None
    unit: str | None
    translation: VoxelSize
    calibration: Calibration | None

    def in_unit(self, unit: str | None) -> VoxelSize:
        """The voxel size in another unit; as it is where either unit is unknown. It must be known."""
        assert self.voxel_size is not None
        return self._converted(self.voxel_size, unit)

    def place_in(self, unit: str | None) -> VoxelSize:
        """The translation in another unit; as it is where either unit is unknown."""
        return self._converted(self.translation, unit)

    def _converted(self, values: VoxelSize, unit: str | None) -> VoxelSize:
        if self.unit is None or unit is None or self.unit == unit:
            return values
        # 15 digits, so that 0.65 µm are 0.00065 mm.
        z, y, x = (float(f"{value * UNITS[self.unit] / UNITS[unit]:.15g}") for value in values)
        return z, y, x
