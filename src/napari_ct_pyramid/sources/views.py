"""Views of a source: its axes in another order, or a part of it. A view reads only the voxels that are asked for."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TypeVar

from napari_ct_pyramid.errors import Advice, RequestError
from napari_ct_pyramid.model.formatting import times
from napari_ct_pyramid.options import Crop, Triple
from napari_ct_pyramid.storage.paths import AnyPath

from .base import VolumeReader, Voxels

T = TypeVar("T")


class _View:
    """What all views have in common: the files of their source."""

    def __init__(self, source: VolumeReader) -> None:
        self._source = source

    @property
    def paths(self) -> tuple[AnyPath, ...]:
        return self._source.paths

    def close(self) -> None:
        self._source.close()


class Transposed(_View):
    """A volume whose axes are in another order in the source.

    Parameters
    ----------
    source : VolumeReader
        Its volume calls its axes z, y, x, in this order, whatever they really are.
    axes : str
        The real names of these axes, such as ``"xzy"``.
    """

    def __init__(self, source: VolumeReader, axes: str) -> None:
        super().__init__(source)
        volume = source.volume
        self._place = tuple(axes.index(axis) for axis in "zyx")  # of z, y, x: the axis of the source
        self._order = tuple("zyx".index(axis) for axis in axes)  # of each axis of the source: its position in z, y, x
        self.volume = replace(
            volume,
            shape=self._transposed(volume.shape),
            voxel_size=self._transposed(volume.voxel_size) if volume.voxel_size else None,
            translation=self._transposed(volume.translation),
            granularity=self._transposed(volume.granularity),
            reduction=self._transposed(volume.reduction),
            finest_shape=self._transposed(volume.finest_shape) if volume.finest_shape else None,
            finest_start=self._transposed(volume.finest_start),
            granularity_start=self._transposed(volume.granularity_start),
            format=f"{volume.format}; axes {axes}",
        )

    def read(self, start: Triple, out: Voxels) -> None:
        first, second, third = (start[place] for place in self._order)
        self._source.read((first, second, third), out.transpose(self._order))

    def _transposed(self, values: tuple[T, T, T]) -> tuple[T, T, T]:
        z, y, x = (values[place] for place in self._place)
        return z, y, x


class Cropped(_View):
    """A part of a volume.

    Parameters
    ----------
    source : VolumeReader
    crop : Crop
        Start and stop along z, y, x, as in a Python slice, in voxels of the finest level; None for the edge of the
        volume. A voxel of a coarser level that has a share in the part belongs to it.

    Raises
    ------
    RequestError
        If the part is not within the volume, or is empty.

    Attributes
    ----------
    start : tuple of int
        The first voxel of the part, in voxels of the level that is read.
    """

    def __init__(self, source: VolumeReader, crop: Crop) -> None:
        super().__init__(source)
        volume = source.volume
        finest = volume.finest_shape or volume.shape
        asked = [_bounds(*part, size, axis) for part, size, axis in zip(crop, finest, "zyx", strict=True)]
        (z0, z1), (y0, y1), (x0, x1) = map(_at_level, asked, volume.finest_start, volume.reduction, volume.shape)
        self.start = z0, y0, x0
        units = zip(self.start, volume.granularity_start, volume.granularity, strict=True)
        starts = [(start + offset) % size for start, offset, size in units]
        sizes = volume.voxel_size or (1.0, 1.0, 1.0)
        moved = [t + first * s for t, first, s in zip(volume.translation, self.start, sizes, strict=True)]
        self.volume = replace(
            volume,
            translation=(moved[0], moved[1], moved[2]),
            shape=(z1 - z0, y1 - y0, x1 - x0),
            granularity_start=(starts[0], starts[1], starts[2]),
            finest_shape=None,
            finest_start=(0.0, 0.0, 0.0),
            format=f"{volume.format}; cropped from {times(volume.shape)}",
        )

    def read(self, start: Triple, out: Voxels) -> None:
        z, y, x = (a + b for a, b in zip(self.start, start, strict=True))
        self._source.read((z, y, x), out)


def _bounds(start: int | None, stop: int | None, size: int, axis: str) -> tuple[int, int]:
    first = 0 if start is None else start + size * (start < 0)
    last = size if stop is None else stop + size * (stop < 0)
    if 0 <= first < last <= size:
        return first, last
    asked = f"{'' if start is None else start}:{'' if stop is None else stop}"
    what = "is empty" if 0 <= first <= size and 0 <= last <= size else f"goes beyond the {size:,} voxels of the volume"
    raise RequestError(f"The crop {asked} along {axis} {what}. Choose a part from 0 to {size} (", Advice("crop"), ").")


def _at_level(bounds: tuple[int, int], begin: float, reduction: float, size: int) -> tuple[int, int]:
    """The voxels of a level that have a share in voxels of the finest level. There is at least one."""
    if reduction == 1:
        return bounds
    first, last = ((bound + begin) / reduction for bound in bounds)
    start = min(math.floor(first + 1e-9), size - 1)
    return start, max(start + 1, min(math.ceil(last - 1e-9), size))
