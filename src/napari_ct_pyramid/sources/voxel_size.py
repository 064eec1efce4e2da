"""The voxel size that a source states: three sizes in one unit, and where they were found.

Nothing is guessed: a voxel size that a source does not state clearly stays unknown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from napari_ct_pyramid.options import VoxelSize
from napari_ct_pyramid.units import UNITS

_SCREEN_DOTS = (72, 96)  # per inch: programs write these for an image without a resolution

NO_UNIT = ", which names no unit"
"""The end of the origin of a voxel size without a unit."""


class FoundVoxelSize(NamedTuple):
    """A voxel size along z, y, x, its NGFF unit if known, and where it was found. All None if none was found."""

    voxel_size: VoxelSize | None = None
    unit: str | None = None
    origin: str | None = None


def found_voxel_size(sizes: Sequence[float | None], units: Sequence[str | None], origin: str) -> FoundVoxelSize:
    """The voxel size in the unit of z, if all three sizes are there and their units can be compared.

    Parameters
    ----------
    sizes : sequence of float or None
        Along z, y, x.
    units : sequence of str or None
        NGFF units; None where unknown.
    origin : str
        Where they were found, for the user.
    """
    z, y, x = sizes
    if z is None or y is None or x is None:
        return FoundVoxelSize()
    unit = units[0]
    if units[2] == "inch" and round(1 / x) in _SCREEN_DOTS:
        return FoundVoxelSize()
    if len(set(units)) > 1:
        meters = [UNITS.get(name or "") for name in units]
        if meters[0] is None or meters[1] is None or meters[2] is None:
            return FoundVoxelSize()
        y, x = shortest(y * meters[1] / meters[0], 1e-12), shortest(x * meters[2] / meters[0], 1e-12)
    return FoundVoxelSize((z, y, x), unit, origin if unit else f"{origin}{NO_UNIT}")


def shortest(value: float, tolerance: float) -> float:
    """The number with the fewest digits within a relative tolerance."""
    for digits in range(1, 16):
        rounded = float(f"{value:.{digits}g}")
        if abs(rounded - value) <= tolerance * value:
            return rounded
    return value


def positive(value: Any) -> float | None:
    """A size as a number; None if the value is not a finite number other than zero."""
    try:
        number = abs(float(value))  # ImageJ writes a negative spacing for a stack that runs downwards
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None
