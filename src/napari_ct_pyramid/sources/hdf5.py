"""HDF5 and NeXus files: finds the dataset that is the volume, and how to read it without waiting for other threads.

h5py does one thing at a time, whatever the number of threads. So h5py only gives the positions of plain rows and of
chunks whose filters are known: they are read from the file and decoded here. All else is read with h5py.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.formatting import times
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import Triple

from .base import VolumeReader, Voxels, check_dtype, check_shape, list_arrays, volume_axes
from .hdf5_chunks import find_chunks, names_of_filters
from .hdf5_voxel_size import find_voxel_size
from .row_reader import FileVolumeReader, PlainRows, RowReader, is_swapped


def open_hdf5(path: Path, inside: str | None) -> VolumeReader:
    """Open a dataset of an HDF5 file.

    Parameters
    ----------
    path : Path
    inside : str or None
        Path of the dataset; None for the only one that has three axes.

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
        granularity = (1, *shape[1:])  # a virtual dataset is made of slices, most often
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
