"""The voxel size that an HDF5 file names plainly: in attributes, or by the coordinates of NeXus. Never a guess."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ct_pyramid._tiff.voxel_size import Found, found_sizes, parse_unit_name, positive

if TYPE_CHECKING:
    import h5py

# element_size_um is Fiji's, ilastik's and plant-seg's; the others are said by their names.
_NAMES = re.compile(r"(element|voxel|pixel)[ _]?size(?:[ _](um|µm|nm|mm|m))?", re.IGNORECASE)
_UNEVEN = 1e-3  # of a spacing: coordinates that differ more are not those of a regular grid


def find_voxel_size(dataset: h5py.Dataset, axes: tuple[int, int, int]) -> Found:
    """What the dataset says, or else its group, along the axes that are z, y, x."""
    for name, value, unit, origin in _named(dataset):
        sizes = [positive(size) for size in np.ravel(value)] if np.size(value) in (1, 3) else []
        if sizes and None not in sizes:
            found = found_sizes(sizes * (3 // len(sizes)), [unit] * 3, f"HDF5 {origin} {name}")
            if found.voxel_size:
                return found
    return _from_coordinates(dataset, axes)


def _named(dataset: h5py.Dataset) -> Iterator[tuple[str, Any, str | None, str]]:
    """Names that mean a voxel size, with value, unit and what kind of thing they are."""
    import h5py

    for owner in (dataset, dataset.parent):
        for name in owner.attrs:
            if match := _NAMES.fullmatch(name):
                units = (owner.attrs.get(f"{name}{end}") for end in ("_units", "_unit"))
                told = next((unit for unit in units if unit is not None), match[2])
                yield name, owner.attrs[name], parse_unit_name(_text(told)), "attribute"
    for name, thing in dataset.parent.items():
        if (match := _NAMES.fullmatch(name)) and isinstance(thing, h5py.Dataset) and thing.dtype.kind in "iuf":
            told = thing.attrs.get("units", thing.attrs.get("unit", match[2]))
            if thing.size in (1, 3):
                yield thing.name, thing[()], parse_unit_name(_text(told)), "dataset"


def _from_coordinates(dataset: h5py.Dataset, axes: tuple[int, int, int]) -> Found:
    """NeXus: the group names a dataset of coordinates for each axis. https://manual.nexusformat.org/datarules.html"""
    import h5py

    names = dataset.parent.attrs.get("axes")
    if names is None or len(np.ravel(names)) != dataset.ndim:
        return Found()
    sizes: list[float | None] = []
    units: list[str | None] = []
    for axis in axes:
        along = dataset.parent.get(_text(np.ravel(names)[axis]))
        if not isinstance(along, h5py.Dataset) or along.shape != (dataset.shape[axis],) or along.size < 2:
            return Found()
        steps = np.diff(along[()].astype(float))
        size = positive(steps.mean())
        if size is None or np.abs(np.abs(steps) - size).max() > _UNEVEN * size:
            return Found()
        sizes.append(float(f"{size:.9g}"))
        units.append(parse_unit_name(_text(along.attrs.get("units"))))
    if units == [None] * 3 and all(size == 1 for size in sizes):  # numbers of voxels
        return Found()
    return found_sizes(sizes, units, "NeXus axes")


def _text(value: Any) -> str:
    """HDF5 has texts of bytes as well, and lists of one."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.ravel()[0]
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")
