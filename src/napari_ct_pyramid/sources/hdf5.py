"""HDF5 and NeXus files: finds the dataset that is the volume, its voxel size, and how to read it.

h5py lets only one thread work at a time. So this package asks h5py only for the positions of plain rows and of chunks
whose filters it knows, and reads and decodes these itself, with all threads. h5py reads everything else.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.formatting import times
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.units import find_unit

from .base import VolumeReader, Voxels, check_dtype, check_shape, list_arrays, volume_axes
from .hdf5_chunks import find_chunks, names_of_filters
from .row_reader import FileVolumeReader, PlainRows, RowReader, is_swapped
from .voxel_size import FoundVoxelSize, found_voxel_size, positive


def open_hdf5(path: Path, inside: str | None) -> VolumeReader:
    """Open a dataset of an HDF5 file.

    Parameters
    ----------
    path : Path
    inside : str or None
        Path of the dataset; None if the file has only one with three axes.

    Raises
    ------
    SourceError
        If there is no such dataset, or it is not a volume.
    """
    with suppress(ImportError):
        import hdf5plugin  # noqa: F401  more filters, if it is installed
    file = h5py.File(path, "r")
    try:
        return _open(path, file, _find(path, file, inside))
    except BaseException:
        file.close()
        raise


def _find(path: Path, file: h5py.File, inside: str | None) -> h5py.Dataset:
    if inside:
        found = file.get(inside)
        if not isinstance(found, h5py.Dataset):
            what = "has no dataset" if found is None else "has a group, not a dataset, at"
            raise SourceError(f"{path} {what} /{inside}. {_choice(file)}")
        if volume_axes(found.shape or ()) is None:
            shape = times(found.shape) if found.shape else "one value of type"
            raise SourceError(
                f"{path}::/{inside} is not a volume of z, y, x: it has {shape} {found.dtype}. {_choice(file)}"
            )
        return found
    volumes = _volumes(file)
    if len(volumes) == 1:
        return volumes[0]
    if not volumes:
        raise SourceError(f"{path} has no dataset with three axes. Try another file.")
    raise SourceError(
        f"{path} has {len(volumes)} datasets with three axes, and none was named. {_choice(file)} Name one, as in "
        f"{path.name}::{volumes[0].name}."
    )


def _volumes(file: h5py.File) -> list[h5py.Dataset]:
    """All datasets that may be volumes, sorted by path. One that has several names is listed once."""
    found: list[h5py.Dataset] = []

    def visit(_name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "iufc" and volume_axes(item.shape or ()):
            found.append(item)

    file.visititems(visit)
    return sorted(found, key=lambda dataset: str(dataset.name))


def _choice(file: h5py.File) -> str:
    """A sentence with the datasets that may be volumes."""
    return list_arrays([(dataset.name, dataset.shape, dataset.dtype) for dataset in _volumes(file)], "dataset")


def _open(path: Path, file: h5py.File, dataset: h5py.Dataset) -> VolumeReader:
    where = f"{path}::{dataset.name}"
    dtype = check_dtype(where, dataset.dtype)
    shape = check_shape(where, dataset.shape)
    axes = volume_axes(dataset.shape)
    assert axes is not None
    size = find_voxel_size(dataset, axes)
    filters = names_of_filters(where, dataset)
    rows: RowReader | None = None
    granularity = (1, 1, shape[2])
    layout = ""
    if dataset.chunks:
        granularity = tuple(min(dataset.chunks[axis], n) for axis, n in zip(axes, shape, strict=True))
        layout = f", chunks of {times(granularity)}"
        rows = find_chunks(dataset, axes, dtype)
    elif dataset.is_virtual:
        granularity = (1, *shape[1:])  # a virtual dataset usually consists of slices
        layout = ", virtual"
    elif not dataset.external:
        rows = _contiguous(dataset, shape)
    volume = Volume(
        name=path.stem,
        shape=shape,
        dtype=dtype,
        format=f"HDF5, {dataset.name}{layout}",
        compression=", ".join(filters) or "none",
        voxel_size=size.voxel_size,
        unit=size.unit,
        voxel_size_from=size.origin,
        granularity=granularity,
    )
    if rows is None:
        return _DatasetReader(volume, path, file, dataset, axes)
    file.close()
    return FileVolumeReader(volume, rows, [path])


def _contiguous(dataset: h5py.Dataset, shape: Triple) -> RowReader | None:
    begin = dataset.id.get_offset()
    if begin is None:  # nothing was ever written
        return None
    row_bytes = shape[2] * dataset.dtype.itemsize
    offsets = begin + np.arange(shape[0], dtype=np.int64)[:, None] * shape[1] * row_bytes
    return PlainRows(offsets, shape[1], row_bytes, swap=is_swapped(dataset.dtype))


class _DatasetReader:
    """Reads a dataset with h5py, one thread after another."""

    def __init__(self, volume: Volume, path: Path, file: h5py.File, dataset: h5py.Dataset, axes: Triple) -> None:
        self.volume = volume
        self.paths = (path.absolute(),)
        self._file, self._dataset, self._axes = file, dataset, axes
        self._lock = threading.Lock()

    def read(self, start: Triple, out: Voxels) -> None:
        if not self._file:
            raise ValueError("read of a closed source")
        place: list[Any] = [0] * self._dataset.ndim
        for axis, first, size in zip(self._axes, start, out.shape, strict=True):
            place[axis] = slice(first, first + size)
        try:
            with self._lock:
                out[...] = self._dataset[tuple(place)]
        except (OSError, RuntimeError, ValueError) as exc:
            raise SourceError(
                f"{self.paths[0]} could not be read from slice {start[0] + 1} on: {exc}. It may be damaged there: try "
                "copying the file again."
            ) from exc

    def close(self) -> None:
        self._file.close()


# Fiji, ilastik and PlantSeg write element_size_um. The other names are common ones.
_NAMES = re.compile(r"(element|voxel|pixel)[ _]?size(?:[ _](um|µm|nm|mm|m))?", re.IGNORECASE)
_UNEVEN = 1e-3  # of a spacing: coordinates that differ more are not those of a regular grid


def find_voxel_size(dataset: h5py.Dataset, axes: Triple) -> FoundVoxelSize:
    """The voxel size along `axes` (z, y, x) that the dataset or its group states."""
    for name, value, unit, kind in _named(dataset):
        sizes = [positive(size) for size in np.ravel(value)] if np.size(value) in (1, 3) else []
        if sizes and None not in sizes:
            found = found_voxel_size(sizes * (3 // len(sizes)), [unit] * 3, f"HDF5 {kind} {name}")
            if found.voxel_size:
                return found
    return _from_coordinates(dataset, axes)


def _named(dataset: h5py.Dataset) -> Iterator[tuple[str, Any, str | None, str]]:
    """Everything that is named like a voxel size: name, value, unit, and whether it is an attribute or a dataset."""
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
    """An attribute as text. In HDF5, a text may also be bytes, or an array of one text."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.ravel()[0]
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")
