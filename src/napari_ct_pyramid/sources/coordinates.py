"""The voxel size and the place that the coordinates of an xarray state. The library is not imported."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from napari_ct_pyramid.options import VoxelSize
from napari_ct_pyramid.units import UNITS, find_unit

from .base import volume_axes

_EVEN = 1e-3  # of a step: by how much coordinates may be off, as those of float32 are


class Spacing(NamedTuple):
    """What coordinates state of the axes z, y, x.

    Attributes
    ----------
    voxel_size : tuple of float or None
        In `unit`.
    unit : str or None
        An NGFF unit of length.
    translation : tuple of float
        Where the centre of the first voxel is, in `unit`.
    note : str or None
        Why there is no voxel size, although there are coordinates.
    """

    voxel_size: VoxelSize | None = None
    unit: str | None = None
    translation: VoxelSize = (0.0, 0.0, 0.0)
    note: str | None = None


def spacing_of(array: Any) -> Spacing:
    """What the coordinates of an array state; nothing for arrays of other libraries."""
    names, coordinates = getattr(array, "dims", None), getattr(array, "coords", None)
    axes = volume_axes(array.shape)
    if not isinstance(names, tuple) or coordinates is None or axes is None:
        return Spacing()
    stated = [names[axis] for axis in axes if names[axis] in coordinates]
    if not stated:
        return Spacing()
    places = [np.asarray(coordinates[name]) for name in stated]
    uneven = [str(name) for name, place in zip(stated, places, strict=True) if not _is_even(place)]
    units = [_unit_of(coordinates[name]) for name in stated]
    why = None
    if len(stated) < 3:
        why = "only some axes have them"
    elif uneven:
        why = f"those of {' and '.join(uneven)} do not rise in even steps"
    elif len({unit is None for unit in units}) > 1:
        why = "only some of them state a unit of length"
    if why:
        return Spacing(note=f"The coordinates of the array are not used for the voxel size: {why}.")
    factors = [UNITS[unit] / UNITS[units[0]] if unit and units[0] else 1.0 for unit in units]
    # 12 digits, so that steps of 0.65 are 0.65.
    size = [float(f"{(p[-1] - p[0]) / (p.size - 1) * f:.12g}") for p, f in zip(places, factors, strict=True)]
    start = [float(p[0]) * f for p, f in zip(places, factors, strict=True)]
    return Spacing((size[0], size[1], size[2]), units[0], (start[0], start[1], start[2]))


def _is_even(places: np.ndarray) -> bool:
    if places.ndim != 1 or places.size < 2 or places.dtype.kind not in "iuf":
        return False
    steps = np.diff(places.astype(float))
    mean = steps.mean()
    return bool(np.isfinite(mean) and mean > 0 and np.abs(steps - mean).max() <= _EVEN * mean)


def _unit_of(coordinate: Any) -> str | None:
    stated = [coordinate.attrs.get(name) for name in ("units", "unit")]
    return next((unit for text in stated if text and (unit := find_unit(text))), None)
