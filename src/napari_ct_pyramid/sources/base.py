"""What all source formats share: the open source, its reader, and the checks that an array is a volume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Literal, Protocol, Self
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.formatting import times
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.storage.paths import AnyPath

Voxels = npt.NDArray[Any]

Holds = Literal["volume", "slice", "other"]
"""What a file holds: one volume, one slice of one, or something else, such as a color picture or a time series."""


class VolumeReader(Protocol):
    """Reads any box of a volume. Each format has its own."""

    volume: Volume

    @property
    def paths(self) -> tuple[AnyPath, ...]:
        """If one of these files changes, the volume has changed. Messages name the first one."""

    def read(self, start: Triple, out: Voxels) -> None:
        """Fill `out` with the box of voxels that begins at `start`.

        `out` has the volume's dtype, fits into the volume, is not empty and may have any strides. Several threads
        may call this at once.
        """

    def close(self) -> None:
        """Close the files. No thread may be reading."""


class Source:
    """A volume that is open for reading. `open_source` makes it.

    Attributes
    ----------
    volume : Volume
        Shape, type, voxel size and format.
    """

    def __init__(self, reader: VolumeReader) -> None:
        self.volume = reader.volume
        self._reader = reader
        self._opened = uuid4().hex

    @property
    def files(self) -> tuple[AnyPath, ...]:
        """If one of these files changes, the volume has changed. For a Zarr, these are its metadata files."""
        return self._reader.paths

    @property
    def start(self) -> Triple:
        """The first voxel that is read along z, y, x, which is above 0 for a part of a volume."""
        start: Triple = getattr(self._reader, "start", (0, 0, 0))
        return start

    @property
    def in_memory(self) -> str | None:
        """A text that no other opened source has, if this one has no files by which it could be recognized."""
        return None if self.files else self._opened

    def read(self, z0: int, z1: int, y0: int, y1: int, out: Voxels) -> None:
        """Read rows ``y0`` to ``y1`` of slices ``z0`` to ``z1``, in full width.

        Any number of threads may call this at once.

        Parameters
        ----------
        z0, z1, y0, y1 : int
            A box within the volume; the ends are not part of it.
        out : numpy.ndarray
            Filled with the voxels: shape (z1 - z0, y1 - y0, x), of the volume's dtype. It may be a view with strides
            along z and y, but must be contiguous along x.

        Raises
        ------
        SourceError
            If the file is missing by now, or its data cannot be decoded.
        """
        volume = self.volume
        z, y, x = volume.shape
        if not (0 <= z0 <= z1 <= z and 0 <= y0 <= y1 <= y):
            raise ValueError(f"block z {z0} to {z1}, y {y0} to {y1} is not within a volume of shape {volume.shape}")
        if out.shape == (z1 - z0, y1 - y0, x) and not out.size:
            return
        if out.shape != (z1 - z0, y1 - y0, x) or out.dtype != volume.dtype or out.strides[2] != out.itemsize:
            raise ValueError(f"cannot read into an array of shape {out.shape}, {out.dtype}, strides {out.strides}")
        self.read_box((z0, y0, 0), out)

    def read_box(self, start: Triple, out: Voxels) -> None:
        """Read a box of voxels. Any number of threads may call this at once.

        Parameters
        ----------
        start : tuple of int
            Its first voxel, along z, y, x.
        out : numpy.ndarray
            Filled with the voxels: of the box's shape, which must lie within the volume and not be empty, and of the
            volume's dtype. It may have any strides.

        Raises
        ------
        SourceError
            If the file is missing by now, or its data cannot be decoded.
        """
        try:
            self._reader.read(start, out)
        except OSError as exc:
            if isinstance(exc, SourceError):
                raise
            raise SourceError(
                f"{exc.filename or (self.files or [self.volume.name])[0]} could not be read ({exc.strerror or exc}). "
                "Try again when its disk can be reached."
            ) from exc

    def close(self) -> None:
        """Close the files. No thread may be reading."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


DTYPES = ("float16", "float32", "float64", "uint8", "uint16", "uint32", "int8", "int16", "int32")
"""The types of voxels that can be converted."""

WIDE_DTYPES = ("int64", "uint64", "bool")
"""The types that are read, but stored as others."""

MOST_VOXELS = 10**15
"""No volume has more, but damaged metadata may say so. Planning such a conversion would never end."""

_LISTED = 12  # arrays in a message, at most

CONVERTIBLE = "integers of 8, 16, 32 or 64 bits, or floats of 16, 32 or 64"
"""The same, for messages."""


def check_dtype(where: object, dtype: np.dtype) -> np.dtype:
    """The type in the machine's byte order.

    Raises
    ------
    SourceError
        If voxels of this type cannot be converted.
    """
    native = dtype.newbyteorder("=")
    if native.name not in (*DTYPES, *WIDE_DTYPES):
        raise SourceError(
            f"{where} has voxels of a type that cannot be converted: {native.name}. Try converting them first to "
            f"{CONVERTIBLE}."
        )
    return native


def volume_axes(shape: Sequence[int]) -> Triple | None:
    """The three axes that are z, y, x, without surplus axes of length 1; None if that does not leave three."""
    extra = len(shape) - 3
    ones = [axis for axis, size in enumerate(shape) if size == 1]
    if extra < 0 or len(ones) < extra or 0 in shape:
        return None
    z, y, x = (axis for axis in range(len(shape)) if axis not in ones[:extra])
    return z, y, x


def list_arrays(arrays: Sequence[tuple[str, Sequence[int], object]], what: str) -> str:
    """A sentence for messages: the arrays of a file that may be volumes, by name, shape and type."""
    if not arrays:
        return f"It has no {what} with three axes."
    some = ", ".join(f"{name} ({times(shape)} {dtype})" for name, shape, dtype in arrays[:_LISTED])
    more = f", and {len(arrays) - _LISTED:,} more" if len(arrays) > _LISTED else ""
    return f"Its {what}s with three axes are {some}{more}."


def check_shape(where: object, shape: Sequence[int]) -> Triple:
    """The shape along z, y, x.

    Raises
    ------
    SourceError
        If the array does not have three axes, or its size is absurd.
    """
    axes = volume_axes(shape)
    if axes is None:
        raise SourceError(
            f"{where} is not a volume of z, y, x: its shape is {times(shape) or 'that of one number'}. Try saving one "
            "volume of it on its own."
        )
    if math.prod(shape) > MOST_VOXELS:
        raise SourceError(
            f"{where} says that its shape is {times(shape)}, which is more than {MOST_VOXELS:,} voxels. Its metadata "
            "are probably damaged: try writing it again."
        )
    return shape[axes[0]], shape[axes[1]], shape[axes[2]]
