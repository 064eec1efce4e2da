"""An OME-Zarr image or a Zarr array (v2 or v3, with or without shards) as a source, to write other levels or chunks."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from napari_ct_pyramid.errors import SourceError, SourceNotFoundError, UnfinishedError
from napari_ct_pyramid.model.formatting import times
from napari_ct_pyramid.model.volume import Volume, chunk_box, intersection, touched, within
from napari_ct_pyramid.omezarr.array import ZarrArray
from napari_ct_pyramid.omezarr.channels import Channel
from napari_ct_pyramid.omezarr.kind import (
    ZARR_FILES,
    is_array,
    is_group,
    is_unfinished,
    names_multiscales,
    read_attributes,
)
from napari_ct_pyramid.omezarr.level import find_reduction
from napari_ct_pyramid.omezarr.reader import Pyramid, open_pyramid
from napari_ct_pyramid.options import Triple, VoxelSize
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.paths import INSIDE, AnyPath, relative_to
from napari_ct_pyramid.units import find_unit

from .axis_labels import choose_place, known_axes, order_of
from .base import VolumeReader, Voxels, check_dtype, check_shape, list_arrays, volume_axes
from .choice import choose
from .inputs import Input, check_level
from .links import check_files, is_plain
from .views import Cropped, Transposed
from .voxel_size import FoundVoxelSize, found_voxel_size

_DEPTH = 5  # of nested folders that are searched for arrays


def open_zarr(source: Input) -> VolumeReader:
    """Open a level of an OME-Zarr image, or an array.

    Raises
    ------
    SourceError
        If it is neither of them, does not have three axes, or has several arrays and none was named.
    RequestError
        If the image has no such level.
    """
    path = source.path / source.inside if source.inside else source.path
    if source.inside and is_unfinished(source.path):
        open_pyramid(source.path)  # raises an error that states how much of it is done
    if not (path.is_dir() or is_group(path) or is_array(path)):  # a web server has no folders
        if not source.inside:
            raise SourceNotFoundError(f"There is no Zarr at {path}. Try its full address.")
        raise SourceError(f"{source.path} has nothing at /{source.inside}. {_choice(source.path)}")
    if not is_array(path):
        try:
            pyramid = open_pyramid(path)
            return _open_image(source, pyramid)
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
    return _open_array(source, path)


def _open_array(source: Input, path: AnyPath) -> VolumeReader:
    """Open an array: by the names of its axes, if it has names for z, y and x."""
    array = ZarrArray(path)
    names = _names_of_axes(array)
    order = order_of(names) if names else None
    notes: tuple[str, ...] = ()
    if names and order:
        place = choose_place(path, names, array.shape, source.options)
    else:
        choose(path, {}, source.options)
        check_shape(path, array.shape)
        axes = volume_axes(array.shape)
        assert axes is not None
        place = tuple(None if axis in axes else 0 for axis in range(len(array.shape)))
        if names:
            stated = ", ".join(names[axis] for axis in axes)
            notes = (f"The names of its axes, {stated}, are not used: they are taken for z, y, x.",)
    check_shape(path, [array.shape[axis] for axis in _axes(place)])
    version = array.metadata["zarr_format"]
    volume = _volume(source.stem, array, place, str(path), f"Zarr array, v{version}")
    reader = _ZarrReader(source, array, path, replace(volume, notes=notes), place)
    return Transposed(reader, order) if order and order != "zyx" else reader


def _names_of_axes(array: ZarrArray) -> list[str] | None:
    """As `known_axes`, from the names that Zarr v3 has, and that xarray writes in v2."""
    labels = array.metadata.get("dimension_names") or read_attributes(array.path).get("_ARRAY_DIMENSIONS")
    return known_axes(labels, array.shape) if isinstance(labels, list) else None


def _open_image(source: Input, pyramid: Pyramid) -> VolumeReader:
    check_level(pyramid.path, len(pyramid.levels), source.level)
    level = pyramid.levels[source.level]
    array = ZarrArray(pyramid.path / level.path)
    order, place = _place(source, pyramid)
    kind = f"OME-Zarr {pyramid.ome_zarr_version}, level {level.path}"
    volume = _volume(source.stem, array, place, str(pyramid.path), kind)
    axes = _axes(place)
    size, translation, notes = find_geometry(pyramid, axes)
    channel = _channel(pyramid, place)
    volume = replace(
        volume,
        calibration=pyramid.calibration,
        rescale=pyramid.rescale,
        is_labels=pyramid.is_labels,
        voxel_size=size.voxel_size,
        unit=size.unit,
        voxel_size_from=size.origin,
        translation=translation,
        channel=channel.label if channel and channel.label != pyramid.name else None,
        color=channel.color if channel else None,
        notes=(*pyramid.notes, *notes),
    )
    if source.level:
        volume = _at_level(volume, pyramid, source.level, axes)
    reader: VolumeReader = _ZarrReader(source, array, pyramid.path, volume, place)
    if pyramid.original_shape and not source.level:  # without the padding
        stop = [pyramid.original_shape[axis] for axis in axes]
        if tuple(stop) != volume.shape:
            reader = Cropped(reader, tuple((None, n) for n in stop))
    return reader if order == "zyx" else Transposed(reader, order)


def _at_level(volume: Volume, pyramid: Pyramid, number: int, axes: Triple) -> Volume:
    """The volume of a coarser level, without padding, from what is known of the finest."""
    finest, level = pyramid.levels[0], pyramid.levels[number]
    factors = [find_reduction(finest, level, axis) for axis in axes]
    z, y, x = (level.array.shape[axis] for axis in axes)
    # The translation is in the unit of the voxel size, which may be another than that of the axis.
    # Where the voxel size is unknown, a voxel of the finest level is 1, so that all levels lie on one another.
    size, before = volume.voxel_size or (1.0, 1.0, 1.0), [finest.scale[axis] for axis in axes]
    units = [s / b for s, b in zip(size, before, strict=True)]
    moved = [(level.translation[axis] - finest.translation[axis]) * u for axis, u in zip(axes, units, strict=True)]
    return replace(
        volume,
        shape=(z, y, x),
        voxel_size=(size[0] * factors[0], size[1] * factors[1], size[2] * factors[2]),
        translation=(
            volume.translation[0] + moved[0],
            volume.translation[1] + moved[1],
            volume.translation[2] + moved[2],
        ),
        reduction=(factors[0], factors[1], factors[2]),
        finest_shape=(finest.array.shape[axes[0]], finest.array.shape[axes[1]], finest.array.shape[axes[2]]),
    )


def _place(source: Input, pyramid: Pyramid) -> tuple[str, tuple[int | None, ...]]:
    """The names of the axes in space, and the index along each other axis. The types of the axes decide.

    Raises
    ------
    SourceError
        If there are not three axes in space.
    SeveralVolumesError
        If there are several channels or time points, and none was chosen.
    """
    kinds = [kind or "unknown" for kind in pyramid.axis_types]
    shape = pyramid.levels[0].shape
    space = [axis for axis, kind in enumerate(kinds) if kind == "space"]
    others = {axis for axis, n in enumerate(shape) if n > 1 and kinds[axis] not in ("space", "channel", "time")}
    if len(space) != 3 or others or 0 in shape or len({*kinds}) < len(kinds) - 2:
        named = ", ".join(f"{name} ({kind}) {n:,}" for name, kind, n in zip(pyramid.axes, kinds, shape, strict=True))
        array = f"{source.path}{INSIDE}/{relative_to(pyramid.path / pyramid.levels[0].path, source.path)}"
        hint = f" If its metadata are wrong, name its array, of which all axes are taken for z, y, x: {array}"
        raise SourceError(
            f"{pyramid.path} is not a volume of z, y, x: its axes are {named}.{hint * bool(volume_axes(shape))}"
        )
    sizes = {kind: n for kind, n in zip(kinds, shape, strict=True) if kind in ("channel", "time")}
    chosen = choose(pyramid.path, sizes, source.options)
    names = "".join(pyramid.axes[axis] for axis in space).lower()
    order = names if sorted(names) == ["x", "y", "z"] else "zyx"
    return order, tuple(None if kind == "space" else chosen.get(kind, 0) for kind in kinds)


def _axes(place: tuple[int | None, ...]) -> Triple:
    first, second, third = (axis for axis, index in enumerate(place) if index is None)
    return first, second, third


def _channel(pyramid: Pyramid, place: tuple[int | None, ...]) -> Channel | None:
    """What the metadata state of the channel that is read."""
    numbers = [index or 0 for index, kind in zip(place, pyramid.axis_types, strict=True) if kind == "channel"]
    number = numbers[0] if numbers else 0
    return pyramid.channels[number] if number < len(pyramid.channels) else None


def find_geometry(pyramid: Pyramid, axes: Triple) -> tuple[FoundVoxelSize, VoxelSize, list[str]]:
    """The voxel size, where the first voxel is, and what of this is not understood."""
    size = _voxel_size(pyramid, axes)
    scale = [pyramid.levels[0].scale[axis] for axis in axes]
    translation = [pyramid.levels[0].translation[axis] for axis in axes]
    stated = [pyramid.units[axis] for axis in axes]
    notes = []
    if size.voxel_size:  # in the unit of z
        translation = [t * s / before for t, s, before in zip(translation, size.voxel_size, scale, strict=True)]
        if any(stated) and size.unit is None:
            names = " and ".join(sorted({repr(unit) for unit in stated if unit and find_unit(unit) is None}))
            notes.append(f"The unit {names} of its axes is not one of length, and left out.")
    elif any(stated) or not pyramid.scale_is_valid:
        translation = [0.0, 0.0, 0.0]
        if pyramid.scale_is_valid:
            units = ", ".join(str(unit or "none") for unit in stated)
            notes.append(f"The units of its axes are {units}: they cannot be compared, so the voxel size is left out.")
    z, y, x = translation
    return size, (z, y, x), notes


def _voxel_size(pyramid: Pyramid, axes: Triple) -> FoundVoxelSize:
    """The scale of the finest level, with the unit names of NGFF: other programs also write ``um`` or ``µm``."""
    sizes = [pyramid.levels[0].scale[axis] for axis in axes]
    stated = [pyramid.units[axis] for axis in axes]
    origin = "its OME-Zarr metadata"
    if not pyramid.scale_is_valid:
        return FoundVoxelSize()
    if not any(stated) and sizes == [1, 1, 1]:  # programs write this if they do not know the voxel size
        return FoundVoxelSize()
    return found_voxel_size(sizes, [find_unit(name) for name in stated], origin)


def _volume(name: str, array: ZarrArray, place: tuple[int | None, ...], where: str, format: str) -> Volume:
    dtype = check_dtype(where, array.dtype)
    axes = _axes(place)
    z, y, x = (min(array.chunks[axis], array.shape[axis]) for axis in axes)
    return Volume(
        name=name,
        shape=(array.shape[axes[0]], array.shape[axes[1]], array.shape[axes[2]]),
        dtype=dtype,
        format=f"{format}, chunks of {times((z, y, x))}",
        compression=array.compression,
        granularity=(z, y, x),
    )


class _ZarrReader:
    """Reads an array one chunk at a time, so that it takes no more memory than planned."""

    def __init__(
        self, source: Input, array: ZarrArray, root: AnyPath, volume: Volume, place: tuple[int | None, ...]
    ) -> None:
        self.volume = volume
        self._source = source
        self._checked: set[str] = set()  # folders of chunks
        self._array: ZarrArray | None = array
        self._axes = _axes(place)
        self._all_axes = tuple(slice(None) if index is None else np.newaxis for index in place)
        self._place = [slice(index or 0, (index or 0) + 1, 1) for index in place]  # of the other axes
        folders = dict.fromkeys((root, array.path))
        files = [folder / name for folder in folders for name in ZARR_FILES if (folder / name).is_file()]
        self._check_files(files)
        self.paths = tuple(file.absolute() for file in files)

    def read(self, start: Triple, out: Voxels) -> None:
        if self._array is None:
            raise ValueError("read of a closed source")
        box = tuple(slice(first, first + size) for first, size in zip(start, out.shape, strict=True))
        chunk = self.volume.granularity
        for index in touched(box, chunk):
            part = intersection(box, chunk_box(index, chunk, self.volume.shape))
            place = list(self._place)
            for axis, wanted in zip(self._axes, part, strict=True):
                place[axis] = slice(wanted.start, wanted.stop, 1)
            self._check_files(self._array.files(tuple(place)))
            self._array.read_into(tuple(place), out[within(part, box)][self._all_axes])

    def _check_files(self, files: Iterable[AnyPath]) -> None:
        if not isinstance(self._source.path, Path):
            return
        for file in cast("Iterable[Path]", files):
            folder = os.path.dirname(file)  # noqa: PTH120  thrice as fast, and there may be millions of files
            if folder not in self._checked or not is_plain(file):
                check_files(self._source, self._source.path, [file])
                self._checked.add(folder)

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
            if volume_axes(array.shape) or order_of(_names_of_axes(array) or ()):
                found.append((path, array))
        elif len(relative_to(path, root).parts) >= _DEPTH:
            below.clear()
    return sorted(found, key=lambda one: str(one[0]))


def _choice(root: AnyPath) -> str:
    """A sentence with the arrays that may be volumes."""
    found = [(f"/{relative_to(path, root)}", array.shape, np.dtype(array.dtype)) for path, array in _arrays(root)]
    return list_arrays(found, "array")
