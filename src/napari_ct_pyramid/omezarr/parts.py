"""Chooses a level of a pyramid by its voxel size, and cuts a part out of all levels. Reads nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from napari_ct_pyramid.errors import RequestError
from napari_ct_pyramid.model.lazy_array import LazyArray
from napari_ct_pyramid.options import parse_crop
from napari_ct_pyramid.units import UNITS, find_unit, parse_unit, parse_voxel_size

from .level import PyramidLevel, find_reduction


def level_with(pyramid: Any, voxel_size: Any) -> PyramidLevel:
    """See `Pyramid.at`."""
    asked, unit = parse_voxel_size(voxel_size)
    limits = {
        axis: size * _factor(pyramid, axis, unit)
        for axis, size in zip(_zyx(pyramid), asked, strict=True)
        if axis is not None
    }
    fine = [
        level
        for level in pyramid.levels
        if all(level.scale[axis] <= limit * (1 + 1e-6) for axis, limit in limits.items())
    ]
    found: PyramidLevel = fine[-1] if fine else pyramid.levels[0]
    return found


def cropped(pyramid: Any, crop: Any, bounds: Mapping[str, Any], unit: str | None) -> Any:
    """See `Pyramid.crop`."""
    finest = pyramid.levels[0]
    first, last = [0] * finest.ndim, list(finest.shape)
    ranges = _ranges(pyramid, crop)
    for name, part in bounds.items():
        if name not in pyramid.axes or not isinstance(part, Sequence) or len(part) != 2:
            raise RequestError(
                f"{name}={part!r} is not a part of this image: its axes are {', '.join(pyramid.axes)}, and each "
                "takes a first and a last value."
            )
        axis = pyramid.axes.index(name)
        if any(v is not None and not _is_number(v, whole=unit is None) for v in part):
            raise RequestError(
                f"{name}={part!r} is not a part of this image: "
                + ("it takes numbers." if unit else 'without a unit, it takes whole voxels. Try adding unit="mm".')
            )
        ranges[axis] = (part[0], part[1])
        if unit is not None:
            factor, scale = _factor(pyramid, axis, parse_unit(unit)), finest.scale[axis]
            start = finest.translation[axis]
            # A voxel belongs to the part if its centre does.
            ends = [None if v is None else math.ceil((v * factor - start) / scale - 1e-9) for v in part]
            ranges[axis] = (ends[0], ends[1])
    for axis, (begin, end) in ranges.items():
        size = finest.shape[axis]
        first[axis] = 0 if begin is None else int(begin) + size * (begin < 0 and unit is None)
        last[axis] = size if end is None else int(end) + size * (end < 0 and unit is None)
        if unit is not None:
            first[axis], last[axis] = max(0, first[axis]), min(size, last[axis])
        if not 0 <= first[axis] < last[axis] <= size:
            raise RequestError(
                f"The part from {begin} to {end} along {pyramid.axes[axis]} is empty, or beyond the {size:,} voxels."
            )
    levels = tuple(_part(level, finest, first, last) for level in pyramid.levels)
    return replace(pyramid, levels=levels, original_shape=levels[0].shape)


def _ranges(pyramid: Any, crop: Any) -> dict[int, tuple[Any, Any]]:
    """The range of each axis in space, from a part in z, y, x."""
    ranges = {}
    for name, axis, part in zip("zyx", _zyx(pyramid), parse_crop(crop) or ((None, None),) * 3, strict=True):
        if axis is not None:
            ranges[axis] = part
        elif part not in ((None, None), (0, None), (0, 1), (None, 1)):
            raise RequestError(f"The image has no axis {name}. Leave out its range, as in ,0:10,0:10.")
    return ranges


def _part(level: PyramidLevel, finest: PyramidLevel, first: list[int], last: list[int]) -> PyramidLevel:
    """All voxels of a level that have a share in a part of the finest."""
    none = (0,) * level.ndim
    reduction = tuple(find_reduction(finest, level, axis) for axis in range(level.ndim))
    box = []
    for a, b, origin, r, start, n in zip(
        first, last, finest.start or none, reduction, level.start or none, level.shape, strict=True
    ):
        begin = min(math.floor((origin + a) / r + 1e-9) - start, n - 1)
        box.append(slice(begin, max(begin + 1, min(n, math.ceil((origin + b) / r - 1e-9) - start))))
    array = level.array[tuple(box)]
    assert isinstance(array, LazyArray)
    return replace(
        level,
        stored_shape=array.shape,
        translation=tuple(t + s.start * size for t, s, size in zip(level.translation, box, level.scale, strict=True)),
        array=array,
        reduction=reduction,
        start=tuple(start + s.start for start, s in zip(level.start or none, box, strict=True)),
    )


def _is_number(value: Any, *, whole: bool) -> bool:
    try:
        return math.isfinite(value) and (not whole or int(value) == value)
    except (TypeError, ValueError, OverflowError):
        return False


def _zyx(pyramid: Any) -> list[int | None]:
    """The axes z, y and x: by their names, or if these are others, in this order. None for one that there is not."""
    space = [axis for axis, kind in enumerate(pyramid.axis_types) if kind == "space"]
    named = {pyramid.axes[axis]: axis for axis in space}
    if named.keys() <= set("zyx"):
        return [named.get(name) for name in "zyx"]
    return [*[None] * (3 - len(space)), *space[-3:]]


def _factor(pyramid: Any, axis: int, unit: str | None) -> float:
    """How many of the axis's units one of a unit is; 1 without a unit."""
    if unit is None:
        return 1.0
    own = find_unit(pyramid.units[axis]) if pyramid.units[axis] else None
    if own is None:
        raise RequestError(f"The image does not state a unit of {pyramid.axes[axis]}, so {unit} means nothing in it.")
    return UNITS[unit] / UNITS[own]
