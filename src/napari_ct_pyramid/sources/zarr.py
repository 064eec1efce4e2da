"""An OME-Zarr image or a Zarr array, v2 or v3, with shards or without, as a source: for other levels or chunks."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from napari_ct_pyramid.errors import SourceError, UnfinishedError
from napari_ct_pyramid.model.formatting import times
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.omezarr.array import ZarrArray
from napari_ct_pyramid.omezarr.metadata import ZARR_FILES
from napari_ct_pyramid.omezarr.reader import Pyramid, open_pyramid
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.storage.local import walk
from napari_ct_pyramid.storage.paths import AnyPath, relative_to

from .base import VolumeReader, Voxels, check_dtype, check_shape, volume_axes
from .inputs import INSIDE, Input
from .views import Cropped, Transposed

_DEEP = 5  # folders below each other that are looked through
_SHOWN = 12  # arrays in a message


def open_zarr(asked: Input) -> VolumeReader:
    """Open the finest level of an OME-Zarr image, or an array.

    Raises
    ------
    SourceError
        If it is neither, or not of three axes, or there are several arrays and none was named.
    """
    path = asked.path / asked.inside if asked.inside else asked.path
    if not path.is_dir():
        raise SourceError(f"{asked.path} has nothing at /{asked.inside}. {_choice(asked.path)}")
    if not _is_array(path):
        try:
            return _open_image(asked.stem, open_pyramid(path))
        except UnfinishedError:
            raise
        except SourceError:
            if _has_multiscales(path):
                raise
        arrays = _arrays(path)
        if len(arrays) != 1:
            raise SourceError(f"{path} is no OME-Zarr image, and no array was named in it. {_choice(path, name=True)}")
        path = arrays[0][0]
    array = ZarrArray(path)
    version = array.metadata["zarr_format"]
    return _ZarrReader(array, path, _volume(asked.stem, array, str(path), f"Zarr array, v{version}"))


def _open_image(name: str, pyramid: Pyramid) -> VolumeReader:
    level = pyramid.levels[0]
    path = pyramid.path / level.path
    array = ZarrArray(path)
    axes = volume_axes(array.shape)
    volume = _volume(name, array, str(pyramid.path), f"OME-Zarr {pyramid.ome_zarr_version}, level {level.path}")
    assert axes is not None
    z, y, x = (level.scale[axis] for axis in axes)
    units = {pyramid.units[axis] for axis in axes}
    unit = units.pop() if len(units) == 1 else None
    known = not units and (unit is not None or (z, y, x) != (1, 1, 1))  # ones are what is written of the unknown
    volume = replace(volume, rescale=pyramid.rescale)
    if known:
        volume = replace(volume, voxel_size=(z, y, x), unit=unit, voxel_size_from="its OME-Zarr metadata")
    reader: VolumeReader = _ZarrReader(array, pyramid.path, volume)
    if pyramid.original_shape:  # without what it was padded with
        stop = [pyramid.original_shape[axis] for axis in axes]
        if tuple(stop) != volume.shape:
            reader = Cropped(reader, tuple((None, n) for n in stop))
    names = "".join(pyramid.axes[axis] for axis in axes)
    return Transposed(reader, names) if names != "zyx" and sorted(names) == ["x", "y", "z"] else reader


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
    """Reads an array a chunk at a time, so that memory is no more than was planned for."""

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
        cuts = [_cuts(*stretch) for stretch in zip(start, out.shape, self.volume.granularity, strict=True)]
        for piece in itertools.product(*cuts):
            place = [slice(0, 1, 1)] * len(self._array.shape)
            for axis, (first, last) in zip(self._axes, piece, strict=True):
                place[axis] = slice(first, last, 1)
            target = out[tuple(slice(a - s, b - s) for (a, b), s in zip(piece, start, strict=True))]
            target[...] = self._array.read_once(tuple(place)).reshape(target.shape)

    def close(self) -> None:
        self._array = None


def _cuts(start: int, size: int, granularity: int) -> list[tuple[int, int]]:
    """A stretch, split where read units meet."""
    edges = range(start // granularity * granularity + granularity, start + size, granularity)
    return list(itertools.pairwise([start, *edges, start + size]))


def _is_array(path: AnyPath) -> bool:
    try:
        ZarrArray(path)
    except SourceError:
        return (path / ".zarray").is_file()
    return True


def _has_multiscales(path: AnyPath) -> bool:
    return any(
        (path / name).is_file() and b'"multiscales"' in (path / name).read_bytes() for name in (".zattrs", "zarr.json")
    )


def _arrays(root: AnyPath) -> list[tuple[AnyPath, ZarrArray]]:
    """Those of three axes in a group and the groups in it."""
    found = []
    for path, below, names in walk(root):
        if ".zarray" in names or ("zarr.json" in names and _is_array(path)):
            below.clear()  # chunks
            try:
                array = ZarrArray(path)
            except SourceError:
                continue
            if volume_axes(array.shape):
                found.append((path, array))
        elif len(relative_to(path, root).parts) >= _DEEP:
            below.clear()
    return sorted(found, key=lambda one: str(one[0]))


def _choice(root: AnyPath, *, name: bool = False) -> str:
    arrays = _arrays(root)
    if not arrays:
        return "There is no array of three axes in it."
    some = ", ".join(
        f"/{relative_to(path, root)} ({times(array.shape)} {np.dtype(array.dtype)})" for path, array in arrays[:_SHOWN]
    )
    more = f", and {len(arrays) - _SHOWN:,} more" if len(arrays) > _SHOWN else ""
    how = f" Name one, as in {root.name}{INSIDE}/{relative_to(arrays[0][0], root)}." if name else ""
    return f"Arrays of three axes in it are {some}{more}.{how}"
