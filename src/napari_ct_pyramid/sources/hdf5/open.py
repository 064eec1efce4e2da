"""Opens the dataset of an HDF5 file that is the volume."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.formatting import times
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.sources.base import VolumeReader, Voxels, check_dtype
from napari_ct_pyramid.sources.inputs import Input
from napari_ct_pyramid.sources.raw_rows import RawFile, open_raw_rows
from napari_ct_pyramid.sources.row_reader import FileVolumeReader, PlainRows, RowReader, is_swapped
from napari_ct_pyramid.sources.views import Cropped, Transposed

from .chosen import Chosen
from .chunks import find_chunks, names_of_filters
from .files import Item, LinkedFiles
from .find import find_volume
from .virtual import MappedFiles, external_parts, unmapped_note
from .voxel_size import find_voxel_size


def open_hdf5(source: Input) -> VolumeReader:
    """Open a dataset of an HDF5 file: the one that is named, or the one that the file itself or its program prefers, or
    the only one with three axes.

    Raises
    ------
    SourceError
        If there is no such dataset, or it is not a volume, or a file to which a link leads is missing.
    """
    with suppress(ImportError):
        import hdf5plugin  # noqa: F401  more filters, if it is installed
    linked = LinkedFiles(source)
    try:
        chosen = find_volume(linked)
        reader = _open(linked, chosen)
    except BaseException:
        linked.close()
        raise
    if not isinstance(reader, _DatasetReader):
        linked.close()
    if chosen.shape is not None and chosen.shape != reader.volume.shape:  # padded
        reader = Cropped(reader, tuple((None, n) for n in chosen.shape))
    return reader if chosen.order == "zyx" else Transposed(reader, chosen.order)


def _open(linked: LinkedFiles, chosen: Chosen) -> VolumeReader:
    item, axes = chosen.item, chosen.axes
    path, dataset = item.path, item.node
    where = f"{linked.source.path}::{item.name}"
    stored = dataset.dtype if chosen.dtype is None else chosen.dtype.newbyteorder(dataset.dtype.byteorder)
    dtype = check_dtype(where, stored)
    shape = dataset.shape[axes[0]], dataset.shape[axes[1]], dataset.shape[axes[2]]
    size = find_voxel_size(dataset, axes, chosen.order) if chosen.size is None else chosen.size
    filters = names_of_filters(where, dataset)
    volume = Volume(
        name=linked.source.stem,
        shape=shape,
        dtype=dtype,
        format=f"HDF5, {item.name}",
        compression=", ".join(filters) or "none",
        voxel_size=size.voxel_size,
        unit=size.unit,
        voxel_size_from=size.origin,
        translation=chosen.translation,
        channel=chosen.channel,
        color=chosen.color,
        granularity=(1, 1, shape[2]),
        notes=(*chosen.notes, *_matlab_note(dataset)),
    )
    others = [file for file in item.files if file != path]
    if dataset.chunks:
        granularity = tuple(min(dataset.chunks[axis], n) for axis, n in zip(axes, shape, strict=True))
        volume = replace(
            volume, format=f"{volume.format}, chunks of {times(granularity)}", granularity=_triple(granularity)
        )
        rows = find_chunks(dataset, chosen.place, stored)
        if rows:
            return FileVolumeReader(volume, rows, [path], others)
    elif dataset.is_virtual:
        mapped = MappedFiles(linked, item)
        others += mapped.files
        volume = replace(
            volume,
            format=f"{volume.format}, virtual",
            granularity=(1, *shape[1:]),  # a virtual dataset usually consists of slices
            notes=(*volume.notes, *unmapped_note(item, mapped.unmapped)),
        )
    elif dataset.external:
        files = _raw_files(item, external_parts(linked, item), shape, stored)
        volume = replace(volume, format=f"{volume.format}, in files of its own")
        return open_raw_rows(volume, stored, files, [path, *others])
    elif plain := _plain_rows(chosen, shape, stored):
        return FileVolumeReader(volume, plain, [path], others)
    return _DatasetReader(volume, linked, chosen, stored, others)


def _plain_rows(chosen: Chosen, shape: Triple, stored: np.dtype) -> RowReader | None:
    """A reader of a dataset without chunks; None if it has no voxels in the file, or its rows are not contiguous."""
    dataset = chosen.item.node
    begin = dataset.id.get_offset()
    if begin is None:  # nothing was ever written
        return None
    strides = [math.prod(dataset.shape[axis + 1 :]) * stored.itemsize for axis in range(dataset.ndim)]
    row_bytes = shape[2] * stored.itemsize
    if (strides[chosen.axes[2]], strides[chosen.axes[1]]) != (stored.itemsize, row_bytes):
        return None
    begin += sum(index * stride for index, stride in zip(chosen.place, strides, strict=True) if index)
    offsets = begin + np.arange(shape[0], dtype=np.int64)[:, None] * strides[chosen.axes[0]]
    return PlainRows(offsets, shape[1], row_bytes, swap=is_swapped(stored))


def _raw_files(item: Item, parts: Sequence[tuple[Path, int, int]], shape: Triple, dtype: np.dtype) -> list[RawFile]:
    """The files of a dataset with external storage, each with whole slices."""
    slice_bytes = shape[1] * shape[2] * dtype.itemsize
    if item.node.ndim != 3 or any(size % slice_bytes for _, _, size in parts):
        raise SourceError(
            f"The dataset {item.name} of {item.path} is spread over {len(parts)} files that do not hold whole slices. "
            "Try saving it as a dataset of its own."
        )
    return [RawFile(file, offset, size // slice_bytes) for file, offset, size in parts]


def _matlab_note(dataset: h5py.Dataset) -> tuple[str, ...]:
    """What to know about an array of MATLAB, whose first axis is the fastest: here it is the last one, x."""
    if "MATLAB_class" not in dataset.attrs:
        return ()
    return (
        "MATLAB stores the axes of an array in reverse order: its first axis is x here, its second y, its third z. If "
        "its first axis was that of rows, y and x are exchanged here: the option axes, as zxy, turns them.",
    )


class _DatasetReader:
    """Reads a dataset with h5py, one thread after another."""

    def __init__(
        self, volume: Volume, linked: LinkedFiles, chosen: Chosen, stored: np.dtype, others: Sequence[Path]
    ) -> None:
        self.volume = volume
        self.paths = tuple(path.absolute() for path in (chosen.item.path, *others))
        self._linked: LinkedFiles | None = linked
        self._dataset, self._chosen, self._stored = chosen.item.node, chosen, stored
        self._lock = threading.Lock()

    def read(self, start: Triple, out: Voxels) -> None:
        if self._linked is None:
            raise ValueError("read of a closed source")
        place: list[Any] = list(self._chosen.place)
        for axis, first, size in zip(self._chosen.axes, start, out.shape, strict=True):
            place[axis] = slice(first, first + size)
        try:
            with self._lock:
                out[...] = self._dataset[tuple(place)].view(self._stored)
        except (OSError, RuntimeError, ValueError) as exc:
            raise SourceError(
                f"{self.paths[0]} could not be read from slice {start[0] + 1} on: {exc}. It may be damaged there: try "
                "copying the file again."
            ) from exc

    def close(self) -> None:
        if self._linked:
            self._linked.close()
        self._linked = None


def _triple(values: Sequence[int]) -> Triple:
    z, y, x = values
    return z, y, x
