"""The voxel size that an HDF5 file states in attributes, datasets or coordinates. Nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.sources.voxel_size import FoundVoxelSize, found_voxel_size, positive
from napari_ct_pyramid.units import find_unit

# Fiji, ilastik and PlantSeg write element_size_um. The other names are common ones.
_NAMES = re.compile(r"(element|voxel|pixel)[ _]?size(?:[ _](um|µm|nm|mm|m))?", re.IGNORECASE)
_NAMES_OF_ONE = re.compile(r"(element|voxel|pixel)[ _]?size[ _]([zyx])(?:[ _](um|µm|nm|mm|m))?", re.IGNORECASE)
_UNEVEN = 1e-3  # of a spacing: coordinates that differ more are not those of a regular grid

# Where programs write the size of a voxel, from the root of the file. The sizes of a detector's pixels are elsewhere:
# they are larger, by the magnification.
_PLACES = (
    # Data Exchange, of the Advanced Photon Source: https://dxfile.readthedocs.io/
    "measurement/instrument/detection_system/objective/resolution",
    # nabu and tomoscan, of the European Synchrotron, beside the group of the dataset
    "../configuration/processing_options/reconstruction/voxel_size_cm",
    "../configuration/nabu_config/reconstruction/voxel_size_cm",
    "../configuration/voxel_size",
)


def find_voxel_size(dataset: h5py.Dataset, axes: Triple, order: str = "zyx") -> FoundVoxelSize:
    """The voxel size along `axes`, named `order`, that the dataset, its group or its program's usual place states."""
    for name, value, unit, kind in _named(dataset):
        sizes = [positive(size) for size in np.ravel(value)] if np.size(value) in (1, 3) else []
        if sizes and None not in sizes:
            found = found_voxel_size(sizes * (3 // len(sizes)), [unit] * 3, f"HDF5 {kind} {name}")
            if found.voxel_size:
                return found
    return _from_one_each(dataset, order) or _from_coordinates(dataset, axes)


def _named(dataset: h5py.Dataset) -> Iterator[tuple[str, Any, str | None, str]]:
    """Everything that is named like a voxel size: name, value, unit, and whether it is an attribute or a dataset."""
    for owner in (dataset, dataset.parent):
        for name in owner.attrs:
            if match := _NAMES.fullmatch(name):
                yield name, owner.attrs[name], _unit_of(owner.attrs, name, match[2]), "attribute"
    for name in dataset.parent:
        if (match := _NAMES.fullmatch(name)) and (item := _numbers(dataset.parent, name)) is not None:
            yield item.name, item[()], _unit_of(item.attrs, "", match[2]), "dataset"
    for place in _PLACES:
        start, path = (dataset.parent.parent, place[3:]) if place.startswith("../") else (dataset.file["/"], place)
        if (item := _numbers(start, path)) is not None:
            yield item.name, item[()], _unit_of(item.attrs, "", place.rpartition("_")[2]), "dataset"


def _numbers(group: h5py.Group, name: str) -> h5py.Dataset | None:
    """A dataset of one or three numbers in the same file."""
    if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
        return None
    item = group.get(name)
    plain = isinstance(item, h5py.Dataset) and item.dtype.kind in "iuf" and item.size in (1, 3)
    return item if plain and not item.is_virtual and not item.external else None


def _unit_of(attributes: Any, name: str, suffix: str | None) -> str | None:
    """The unit that stands beside a value, or in its name."""
    names = ("units", "unit") if not name else (f"{name}_units", f"{name}_unit")
    stated = next((unit for unit in map(attributes.get, names) if unit is not None), suffix)
    return find_unit(text_of(stated))


def _from_one_each(dataset: h5py.Dataset, order: str) -> FoundVoxelSize | None:
    """A size for each axis: ``pixel_size_z``, ``pixel_size_y``, ``pixel_size_x``."""
    for owner in (dataset, dataset.parent):
        found: dict[str, tuple[float | None, str | None]] = {}
        for name in owner.attrs:
            if (match := _NAMES_OF_ONE.fullmatch(name)) and np.size(owner.attrs[name]) == 1:
                size = positive(np.ravel(owner.attrs[name])[0])
                found[match[2].lower()] = size, _unit_of(owner.attrs, name, match[3])
        if {*found} == {*"zyx"}:
            sizes, units = zip(*(found[axis] for axis in order), strict=True)
            stated = found_voxel_size(sizes, units, "HDF5 attributes for each axis")
            if stated.voxel_size:
                return stated
    return None


def _from_coordinates(dataset: h5py.Dataset, axes: Triple) -> FoundVoxelSize:
    """The step of the coordinates along each axis."""
    names = dataset.parent.attrs.get("axes")  # NeXus: https://manual.nexusformat.org/datarules.html
    by_name = names is not None and len(np.ravel(names)) == dataset.ndim
    sizes: list[float | None] = []
    units: list[str | None] = []
    for axis in axes:
        coordinates = dataset.parent.get(text_of(np.ravel(names)[axis])) if by_name else scale_of(dataset, axis)
        if not isinstance(coordinates, h5py.Dataset) or coordinates.shape != (dataset.shape[axis],):
            return FoundVoxelSize()
        if coordinates.size < 2:
            return FoundVoxelSize()
        steps = np.diff(coordinates[()].astype(float))
        size = positive(steps.mean())
        if size is None or np.abs(np.abs(steps) - size).max() > _UNEVEN * size:
            return FoundVoxelSize()
        sizes.append(float(f"{size:.9g}"))
        units.append(find_unit(text_of(coordinates.attrs.get("units"))))
    if units == [None] * 3 and all(size == 1 for size in sizes):  # these only count voxels
        return FoundVoxelSize()
    return found_voxel_size(sizes, units, "NeXus axes" if by_name else "HDF5 dimension scales")


def scale_of(dataset: h5py.Dataset, axis: int) -> h5py.Dataset | None:
    """The dimension scale of an axis, as NetCDF writes it; None if it has none, or several."""
    try:
        scales = dataset.dims[axis].values()
    except (KeyError, OSError, RuntimeError, ValueError):  # a reference to what is not there any more
        return None
    return scales[0] if len(scales) == 1 else None


def text_of(value: Any) -> str:
    """An attribute as text. In HDF5, a text may also be bytes, or an array of one text, or of letters."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "S":
            value = b"".join(value.ravel().tolist())
        elif value.size == 1:
            value = value.ravel()[0]
    return value.decode(errors="replace") if isinstance(value, bytes) else str("" if value is None else value)
