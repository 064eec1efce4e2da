"""The voxel size that an HDF5 file states: in attributes or datasets with a known name, or in NeXus axes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from napari_ct_pyramid.options import Triple, find_unit

from .voxel_size import FoundVoxelSize, found_voxel_size, positive

# Fiji, ilastik and PlantSeg write element_size_um; the others speak for themselves.
_NAMES = re.compile(r"(element|voxel|pixel)[ _]?size(?:[ _](um|µm|nm|mm|m))?", re.IGNORECASE)
_UNEVEN = 1e-3  # of a spacing: coordinates that differ more are not those of a regular grid


def find_voxel_size(dataset: h5py.Dataset, axes: Triple) -> FoundVoxelSize:
    """The voxel size by the dataset or its group, along the axes that are z, y, x."""
    for name, value, unit, kind in _named(dataset):
        sizes = [positive(size) for size in np.ravel(value)] if np.size(value) in (1, 3) else []
        if sizes and None not in sizes:
            found = found_voxel_size(sizes * (3 // len(sizes)), [unit] * 3, f"HDF5 {kind} {name}")
            if found.voxel_size:
                return found
    return _from_coordinates(dataset, axes)


def _named(dataset: h5py.Dataset) -> Iterator[tuple[str, Any, str | None, str]]:
    """Everything whose name means a voxel size: its name, value, unit, and whether it is an attribute or a dataset."""
    for owner in (dataset, dataset.parent):
        for name in owner.attrs:
            if match := _NAMES.fullmatch(name):
                units = (owner.attrs.get(f"{name}{end}") for end in ("_units", "_unit"))
                stated = next((unit for unit in units if unit is not None), match[2])
                yield name, owner.attrs[name], find_unit(_text(stated)), "attribute"
    for name, item in dataset.parent.items():
        if (match := _NAMES.fullmatch(name)) and isinstance(item, h5py.Dataset) and item.dtype.kind in "iuf":
            stated = item.attrs.get("units", item.attrs.get("unit", match[2]))
            if item.size in (1, 3):
                yield item.name, item[()], find_unit(_text(stated)), "dataset"


def _from_coordinates(dataset: h5py.Dataset, axes: Triple) -> FoundVoxelSize:
    """NeXus: the group names a dataset of coordinates for each axis. https://manual.nexusformat.org/datarules.html"""
    names = dataset.parent.attrs.get("axes")
    if names is None or len(np.ravel(names)) != dataset.ndim:
        return FoundVoxelSize()
    sizes: list[float | None] = []
    units: list[str | None] = []
    for axis in axes:
        coordinates = dataset.parent.get(_text(np.ravel(names)[axis]))
        if not isinstance(coordinates, h5py.Dataset) or coordinates.shape != (dataset.shape[axis],):
            return FoundVoxelSize()
        if coordinates.size < 2:
            return FoundVoxelSize()
        steps = np.diff(coordinates[()].astype(float))
        size = positive(steps.mean())
        if size is None or np.abs(np.abs(steps) - size).max() > _UNEVEN * size:
            return FoundVoxelSize()
        sizes.append(float(f"{size:.9g}"))
        units.append(find_unit(_text(coordinates.attrs.get("units"))))
    if units == [None] * 3 and all(size == 1 for size in sizes):  # these only count voxels
        return FoundVoxelSize()
    return found_voxel_size(sizes, units, "NeXus axes")


def _text(value: Any) -> str:
    """An attribute as text: HDF5 also has texts of bytes, and lists of one."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.ravel()[0]
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")
