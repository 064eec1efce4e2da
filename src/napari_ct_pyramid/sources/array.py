"""Arrays as a source: of NumPy, Dask, Zarr, xarray, or anything else with a shape, a dtype, and slices.

No library of arrays is imported: ``numpy.asarray`` makes voxels of a slice.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.volume import Volume, chunk_box, intersection, touched, within
from napari_ct_pyramid.omezarr.streaming import MappedLevel
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.storage.paths import AnyPath

from .base import VolumeReader, Voxels, check_dtype, check_shape, volume_axes
from .inputs import ArrayInput
from .views import Transposed

_PIECE_BYTES = 8_000_000  # read at a time, unless a chunk of the array is larger
_LIBRARIES = {"numpy": "NumPy", "dask": "Dask", "zarr": "Zarr", "h5py": "HDF5"}


def open_array(source: ArrayInput) -> VolumeReader:
    """Open an array as a volume. Its voxels are read when they are asked for.

    Booleans become 0 and 1. Integers of 64 bits become integers of 32 bits, in which all their values must fit.

    Raises
    ------
    SourceError
        If it does not have three axes that are longer than 1, or its voxels cannot be converted.
    """
    data = source.data
    if isinstance(data, np.ma.MaskedArray):
        raise SourceError(f"{source} is a masked array, and a volume has no mask. Try converting array.filled(value).")
    names = getattr(data, "dims", None)
    axis_names = tuple(map(str, names)) if isinstance(names, tuple) else ()
    if axis_names:  # of xarray
        data = data.data
    try:
        shape, dtype = tuple(map(int, data.shape)), np.dtype(data.dtype)
    except (TypeError, ValueError) as error:
        raise SourceError(
            f"{source} has a shape or a type that NumPy does not know ({error}). Try converting numpy.asarray(array)."
        ) from error
    z, y, x = check_shape(source, shape)
    axes = volume_axes(shape)
    assert axes is not None
    stored = check_dtype(source, _storable(source, data, dtype))
    as_stored = "" if stored == dtype.newbyteorder("=") else f" of {dtype.name}, stored as {stored.name}"
    volume = Volume(
        name=source.name,
        shape=(z, y, x),
        dtype=stored,
        format=f"{_kind(data)}{as_stored}",
        voxel_size=source.voxel_size,
        unit=source.unit,
        translation=source.translation,
        voxel_size_from=source.voxel_size_from if source.voxel_size else None,
        granularity=_granularity(data, shape, axes),
        decoding_bytes=data.block_bytes if isinstance(data, MappedLevel) else 0,
        is_labels=source.is_labels,
        notes=source.notes,
        calibration=source.calibration,
        rescale=source.rescale,
        reduction=source.reduction,
        finest_shape=source.finest_shape,
        finest_start=source.finest_start,
    )
    reader: VolumeReader = _ArrayReader(source, data, axes, volume)
    order = "".join(axis_names[axis] for axis in axes) if axis_names else "zyx"
    return Transposed(reader, order) if order != "zyx" and sorted(order) == ["x", "y", "z"] else reader


class _ArrayReader:
    """Reads boxes of an array.

    Parameters
    ----------
    source : ArrayInput
    data : array
    axes : tuple of int
        The axes that are z, y, x. All others have length 1.
    volume : Volume
    """

    paths: tuple[AnyPath, ...] = ()

    def __init__(self, source: ArrayInput, data: Any, axes: Triple, volume: Volume) -> None:
        self.volume = volume
        self._source = source
        self._data = data
        self._axes = axes
        if isinstance(data, np.ndarray):
            self._piece = volume.shape
        elif isinstance(data, MappedLevel):  # it would compute several blocks with threads of its own
            self._piece = volume.granularity
        else:
            self._piece = _piece(volume.granularity, volume.shape, volume.dtype.itemsize)

    def read(self, start: Triple, out: Voxels) -> None:
        box = tuple(slice(first, first + size) for first, size in zip(start, out.shape, strict=True))
        for index in touched(box, self._piece):
            part = intersection(box, chunk_box(index, self._piece, self.volume.shape))
            place: list[int | slice] = [0] * len(self._data.shape)
            for axis, wanted in zip(self._axes, part, strict=True):
                place[axis] = wanted
            voxels = self._load(tuple(place))
            target = out[within(part, box)]
            if voxels.dtype.itemsize > target.itemsize:
                self._check_range(voxels)
            target[...] = voxels

    def close(self) -> None:
        self._data = None

    def _load(self, place: tuple[int | slice, ...]) -> Voxels:
        try:
            return np.asarray(self._data[place])
        except (MemoryError, SourceError):
            raise
        except Exception as error:  # whatever computes a lazy array may fail in any way
            why = str(error).strip().split("\n")[0] or type(error).__name__
            raise SourceError(f"{self._source} could not be read: {why}.") from error

    def _check_range(self, voxels: Voxels) -> None:
        limits = np.iinfo(self.volume.dtype)
        if voxels.min() < limits.min or voxels.max() > limits.max:
            raise _too_large(self._source, voxels.dtype)


def _storable(source: ArrayInput, data: Any, dtype: np.dtype) -> np.dtype:
    """The type in which voxels of a type are stored."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind not in "iu" or dtype.itemsize <= 4:
        return dtype
    if not isinstance(data, np.ndarray):  # its values are checked when they are read
        return np.dtype(f"{dtype.kind}4")
    low, high = int(data.min()), int(data.max())
    found = next((np.dtype(t) for t in ("u4", "i4") if np.iinfo(t).min <= low and high <= np.iinfo(t).max), None)
    if found is None:
        raise _too_large(source, dtype)
    return found


def _too_large(source: ArrayInput, dtype: np.dtype) -> SourceError:
    return SourceError(
        f"{source} has values of {dtype.name} that do not fit in 32 bits. Try converting it to float64 first: "
        'array.astype("float64").'
    )


def _granularity(data: Any, shape: tuple[int, ...], axes: Triple) -> Triple:
    """Voxels of a chunk of the array along z, y, x: of Zarr one number an axis, of Dask the size of each chunk."""
    chunks = getattr(data, "chunks", None)
    if not isinstance(chunks, tuple) or len(chunks) != len(shape):
        return 1, 1, shape[axes[2]]
    sizes = [max(size) if isinstance(size, tuple) else int(size) for size in chunks]
    z, y, x = (max(1, min(sizes[axis], shape[axis])) for axis in axes)
    return z, y, x


def _piece(chunk: Triple, shape: Triple, itemsize: int) -> Triple:
    """Voxels along z, y, x that are read together: whole chunks."""
    z, y, x = chunk
    size = z * y * x * itemsize
    along_x = max(1, min(math.ceil(shape[2] / x), _PIECE_BYTES // size))
    along_y = max(1, min(math.ceil(shape[1] / y), _PIECE_BYTES // (size * along_x)))
    return z, y * along_y, x * along_x


def _kind(data: Any) -> str:
    """What an array is, for people: "NumPy array", "Dask array"."""
    library = type(data).__module__.partition(".")[0]
    return f"{_LIBRARIES.get(library, 'lazy')} array"
