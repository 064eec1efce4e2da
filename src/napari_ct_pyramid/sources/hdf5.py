"""HDF5 and NeXus files: finds the dataset that is the volume, and how to read it without waiting for others.

h5py does one thing at a time, whatever the number of threads. So rows and chunks that need no help of it are read
from the file at the places that it told, and decoded here; only the rest is left to it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.formatting import times
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.sources.tiff.voxel_size import Found, found_sizes, parse_unit_name, positive

from .base import FileVolumeReader, PlainRows, RowReader, VolumeReader, Voxels, check_dtype, check_shape, volume_axes
from .hdf5_chunks import find_chunks, names_of_filters
from .npy import is_swapped

if TYPE_CHECKING:
    import h5py


_SHOWN = 12  # datasets in a message


def open_hdf5(path: Path, inside: str | None) -> VolumeReader:
    """Open a dataset of an HDF5 file.

    Parameters
    ----------
    path : Path
    inside : str or None
        Path of the dataset; None for the only one of three axes there is.

    Raises
    ------
    SourceError
        If there is no such dataset, or it is no volume, or h5py is missing.
    """
    try:
        import h5py
    except ImportError as exc:
        raise SourceError(
            f"{path} is an HDF5 file, which takes h5py to read. To get it: pip install 'napari-ct-pyramid[hdf5]'"
        ) from exc
    with suppress(ImportError):
        import hdf5plugin  # noqa: F401  more filters, for those who have it
    file = h5py.File(path, "r")
    try:
        return _open(path, file, _find(path, file, inside))
    except BaseException:
        file.close()
        raise


def _find(path: Path, file: h5py.File, inside: str | None) -> h5py.Dataset:
    import h5py

    if inside:
        found = file.get(inside)
        if isinstance(found, h5py.Dataset) and volume_axes(found.shape or ()) is None:
            raise SourceError(f"{path}::/{inside} is no volume of z, y, x: {_told(found)}. {_choice(file)}")
        if not isinstance(found, h5py.Dataset):
            what = "has no dataset" if found is None else "has a group, not a dataset, at"
            raise SourceError(f"{path} {what} /{inside}. {_choice(file)}")
        return found
    volumes = _volumes(file)
    if len(volumes) == 1:
        return volumes[0]
    if not volumes:
        raise SourceError(f"{path} has no dataset of three axes. {_choice(file)}")
    raise SourceError(f"{path} has {len(volumes)} datasets of three axes, and none was named. {_choice(file, path)}")


def _volumes(file: h5py.File) -> list[h5py.Dataset]:
    """All that may be volumes, by their paths; what has several names once."""
    import h5py

    found: list[h5py.Dataset] = []

    def look(_name: str, thing: Any) -> None:
        if isinstance(thing, h5py.Dataset) and thing.dtype.kind in "iufc" and volume_axes(thing.shape or ()):
            found.append(thing)

    file.visititems(look)
    return sorted(found, key=lambda dataset: str(dataset.name))


def _choice(file: h5py.File, path: Path | None = None) -> str:
    volumes = _volumes(file)
    if not volumes:
        return "There is none of three axes in it."
    some = ", ".join(f"{dataset.name} ({_told(dataset)})" for dataset in volumes[:_SHOWN])
    more = f", and {len(volumes) - _SHOWN:,} more" if len(volumes) > _SHOWN else ""
    how = f" Name one, as in {path.name}::{volumes[0].name}" if path else ""
    return f"Those of three axes are {some}{more}.{how}{'.' if how else ''}"


def _told(dataset: h5py.Dataset) -> str:
    return f"{times(dataset.shape) if dataset.shape else 'one value'} {dataset.dtype}"


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
        granularity = (1, *shape[1:])  # what it is made of is most often slices
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
        return _Dataset(volume, path, file, dataset, axes)
    file.close()
    return FileVolumeReader(volume, rows, [path])


def _contiguous(dataset: h5py.Dataset, shape: Triple) -> RowReader | None:
    begin = dataset.id.get_offset()
    if begin is None:  # nothing was ever written
        return None
    row_bytes = shape[2] * dataset.dtype.itemsize
    offsets = begin + np.arange(shape[0], dtype=np.int64)[:, None] * shape[1] * row_bytes
    return PlainRows(offsets, shape[1], row_bytes, swap=is_swapped(dataset.dtype))


class _Dataset:
    """A dataset that only h5py can read, one thread after another."""

    def __init__(
        self, volume: Volume, path: Path, file: h5py.File, dataset: h5py.Dataset, axes: tuple[int, int, int]
    ) -> None:
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
                f"{self.paths[0]} could not be read from slice {start[0] + 1} on: {exc}. It may be damaged there."
            ) from exc

    def close(self) -> None:
        self._file.close()


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
