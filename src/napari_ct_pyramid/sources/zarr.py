"""An OME-Zarr image or a Zarr array (v2 or v3, with or without shards) as a source, to write other levels or chunks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_ct_pyramid.errors import SourceError, UnfinishedError
from napari_ct_pyramid.model.formatting import times
from napari_ct_pyramid.model.volume import Volume, chunk_box, intersection, touched, within
from napari_ct_pyramid.omezarr.array import ZarrArray
from napari_ct_pyramid.omezarr.kind import ZARR_FILES, is_array, names_multiscales
from napari_ct_pyramid.omezarr.reader import Pyramid, open_pyramid
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.paths import AnyPath, relative_to
from napari_ct_pyramid.units import find_unit

from .base import VolumeReader, Voxels, check_dtype, check_shape, list_arrays, volume_axes
from .inputs import INSIDE, Input
from .views import Cropped, Transposed
from .voxel_size import FoundVoxelSize, found_voxel_size

_DEPTH = 5  # of nested folders that are searched for arrays


def open_zarr(source: Input) -> VolumeReader:
    """Open the finest level of an OME-Zarr image, or an array.

    Raises
    ------
    SourceError
        If it is neither of them, does not have three axes, or has several arrays and none was named.
    """
    path = source.path / source.inside if source.inside else source.path
    if not path.is_dir():
        raise SourceError(f"{source.path} has nothing at /{source.inside}. {_choice(source.path)}")
    if not is_array(path):
        try:
            return _open_image(source.stem, open_pyramid(path))
        except UnfinishedError:
            raise
        except SourceError:
            if names_multiscales(path):
                raise
        arrays = _arrays(path)
        if len(arrays) != 1:
            example = f" Name one, as in {path.name}{INSIDE}/{relative_to(arrays[0][0], path)}." if arrays else ""
            raise SourceError(f"{path} is not an OME-Zarr image, and no array was named. {_choice(path)}{example}")
        path = arrays[0][0]
    array = ZarrArray(path)
    version = array.metadata["zarr_format"]
    return _ZarrReader(array, path, _volume(source.stem, array, str(path), f"Zarr array, v{version}"))


def _open_image(name: str, pyramid: Pyramid) -> VolumeReader:
    level = pyramid.levels[0]
    path = pyramid.path / level.path
    array = ZarrArray(path)
    axes = volume_axes(array.shape)
    volume = _volume(name, array, str(pyramid.path), f"OME-Zarr {pyramid.ome_zarr_version}, level {level.path}")
    assert axes is not None
    size = _voxel_size(pyramid, axes)
    volume = replace(
        volume,
        calibration=pyramid.calibration,
        rescale=pyramid.rescale,
        is_labels=pyramid.is_labels,
        voxel_size=size.voxel_size,
        unit=size.unit,
        voxel_size_from=size.origin,
    )
    reader: VolumeReader = _ZarrReader(array, pyramid.path, volume)
    if pyramid.original_shape:  # without the padding
        stop = [pyramid.original_shape[axis] for axis in axes]
        if tuple(stop) != volume.shape:
            reader = Cropped(reader, tuple((None, n) for n in stop))
    names = "".join(pyramid.axes[axis] for axis in axes)
    return Transposed(reader, names) if names != "zyx" and sorted(names) == ["x", "y", "z"] else reader


def _voxel_size(pyramid: Pyramid, axes: Triple) -> FoundVoxelSize:
    """The scale of the finest level, with the unit names of NGFF: other programs also write ``um`` or ``µm``."""
    sizes = [pyramid.levels[0].scale[axis] for axis in axes]
    stated = [pyramid.units[axis] for axis in axes]
    origin = "its OME-Zarr metadata"
    if not pyramid.scale_is_valid:
        return FoundVoxelSize()
    if not any(stated) and sizes == [1, 1, 1]:  # programs write this if they do not know the voxel size
        return FoundVoxelSize()
    unknown = sorted({name for name in stated if name and find_unit(name) is None})
    if unknown:
        z, y, x = sizes
        names = " and ".join(map(repr, unknown))
        return FoundVoxelSize((z, y, x), None, f"{origin}, without the unit {names}, which is not known")
    return found_voxel_size(sizes, [find_unit(name) for name in stated], origin)


def _volume(name: str, array: ZarrArray, where: str, format: str) -> Volume:
    dtype = check_dtype(where, array.dtype)
    shape = check_shape(where, array.shape)
    axes = volume_axes(array.shape)
    assert axes is not None
    z, y, x = (min(array.chunks[axis], array.shape[axis]) for axis in axes)
    return Volume(
        name=name,
        shape=shape,
        dtype=dtype,
        format=f"{format}, chunks of {times((z, y, x))}",
        compression=array.compression,
        granularity=(z, y, x),
    )


class _ZarrReader:
    """Reads an array one chunk at a time, so that it takes no more memory than planned."""

    def __init__(self, array: ZarrArray, root: AnyPath, volume: Volume) -> None:
        self.volume = volume
        self._array: ZarrArray | None = array
        axes = volume_axes(array.shape)
        assert axes is not None
        self._axes = axes
        folders = dict.fromkeys((root, array.path))
        self.paths = tuple(
            (folder / name).absolute() for folder in folders for name in ZARR_FILES if (folder / name).is_file()
        )

    def read(self, start: Triple, out: Voxels) -> None:
        if self._array is None:
            raise ValueError("read of a closed source")
        box = tuple(slice(first, first + size) for first, size in zip(start, out.shape, strict=True))
        chunk = self.volume.granularity
        for index in touched(box, chunk):
            part = intersection(box, chunk_box(index, chunk, self.volume.shape))
            place = [slice(0, 1, 1)] * len(self._array.shape)
            for axis, wanted in zip(self._axes, part, strict=True):
                place[axis] = slice(wanted.start, wanted.stop, 1)
            target = out[within(part, box)]
            target[...] = self._array.read_once(tuple(place)).reshape(target.shape)

    def close(self) -> None:
        self._array = None


def _arrays(root: AnyPath) -> list[tuple[AnyPath, ZarrArray]]:
    """The arrays with three axes in a group and the groups in it."""
    found = []
    for path, below, names in storage_of(root).walk():
        if ".zarray" in names or ("zarr.json" in names and is_array(path)):
            below.clear()  # chunks
            try:
                array = ZarrArray(path)
            except SourceError:
                continue
            if volume_axes(array.shape):
                found.append((path, array))
        elif len(relative_to(path, root).parts) >= _DEPTH:
            below.clear()
    return sorted(found, key=lambda one: str(one[0]))


def _choice(root: AnyPath) -> str:
    """A sentence with the arrays that may be volumes."""
    found = [(f"/{relative_to(path, root)}", array.shape, np.dtype(array.dtype)) for path, array in _arrays(root)]
    return list_arrays(found, "array")
