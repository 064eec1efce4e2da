"""What an array of any kind must be to be a volume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.text import times
from napari_ct_pyramid.volume import Triple

_DTYPES = {"float16", "float32", "float64", "uint8", "uint16", "uint32", "int8", "int16", "int32"}


def check_dtype(where: object, dtype: np.dtype) -> np.dtype:
    """The type in the machine's byte order, of those that can be converted."""
    native = dtype.newbyteorder("=")
    if native.name not in _DTYPES:
        raise SourceError(
            f"{where} holds voxels of a type that cannot be converted: {native.name}. Try converting it first to "
            "integers of 8, 16 or 32 bits, or floats of 16, 32 or 64."
        )
    return native


def volume_axes(shape: Sequence[int]) -> tuple[int, int, int] | None:
    """Which axes are z, y, x: the three there are, or what is left without as many of length 1 as it takes."""
    extra = len(shape) - 3
    ones = [axis for axis, size in enumerate(shape) if size == 1]
    if extra < 0 or len(ones) < extra or 0 in shape:
        return None
    z, y, x = (axis for axis in range(len(shape)) if axis not in ones[:extra])
    return z, y, x


def check_shape(where: object, shape: Sequence[int]) -> Triple:
    """The shape along z, y, x."""
    axes = volume_axes(shape)
    if axes is None:
        raise SourceError(
            f"{where} is no volume of z, y, x: its shape is {times(shape) or 'that of one number'}. Try saving one "
            "volume of it on its own."
        )
    return shape[axes[0]], shape[axes[1]], shape[axes[2]]
