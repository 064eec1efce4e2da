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
    space = _space(pyramid)
    limits = [size * _factor(pyramid, axis, unit) for size, axis in zip(asked[-len(space) :], space, strict=True)]
    fine = [
        level
        for level in pyramid.levels
        if all(level.scale[axis] <= limit * (1 + 1e-6) for axis, limit in zip(space, limits, strict=True))
    ]
    found: PyramidLevel = fine[-1] if fine else pyramid.levels[0]
    return found


def cropped(pyramid: Any, crop: Any, bounds: Mapping[str, Any], unit: str | None) -> Any:
    """See `Pyramid.crop`."""
    finest = pyramid.levels[0]
    first, last = [0] * finest.ndim, list(finest.shape)
    space = _space(pyramid)
    ranges: dict[int, tuple[Any, Any]] = {}
    for axis, part in zip(space[-3:], parse_crop(crop) or (), strict=False):
        ranges[axis] = part  # noqa: PERF403
    for name, part in bounds.items():
        if name not in pyramid.axes or not isinstance(part, Sequence) or len(part) != 2:
            raise RequestError(
                f"{name}={part!r} is not a part of this image: its axes are {', '.join(pyramid.axes)}, and each "
                "takes a first and a last value."
            )
        axis = pyramid.axes.index(name)
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


def _space(pyramid: Any) -> list[int]:
    return [axis for axis, kind in enumerate(pyramid.axis_types) if kind == "space"]


def _factor(pyramid: Any, axis: int, unit: str | None) -> float:
    """How many of the axis's units one of a unit is; 1 without a unit."""
    if unit is None:
        return 1.0
    own = find_unit(pyramid.units[axis]) if pyramid.units[axis] else None
    if own is None:
        raise RequestError(f"The image does not state a unit of {pyramid.axes[axis]}, so {unit} means nothing in it.")
    return UNITS[unit] / UNITS[own]
