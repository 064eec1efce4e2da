"""Integers of 64 bits, and masks of True and False, as integers of fewer bits, where every value fits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_ct_pyramid.errors import Advice, SourceError
from napari_ct_pyramid.options import DTYPES, SourceOptions, Triple
from napari_ct_pyramid.storage.paths import AnyPath

from .base import WIDE_DTYPES, Source, VolumeReader, Voxels
from .sampling import spread_rows


def narrowed(reader: VolumeReader, options: SourceOptions) -> VolumeReader:
    """The volume with voxels of a type that can be converted; the reader itself if they are of one already.

    Raises
    ------
    SourceError
        If its integers have 64 bits, and no type was asked for.
    """
    volume = reader.volume
    if volume.dtype.name not in WIDE_DTYPES:
        return reader
    if volume.dtype.kind == "b":
        note = "True and False are stored as 1 and 0. For a mask, the method mode keeps these values at every level."
        return Narrowed(reader, np.dtype(np.uint8), note)
    if not options.offers_dtype:
        note = f"Voxels of {volume.dtype} are counted as float64, which rounds those beyond 9,007,199,254,740,992."
        return Narrowed(reader, np.dtype(np.float64), note)
    if options.dtype is None:
        raise _no_type(reader)
    return Narrowed(reader, np.dtype(options.dtype))


def _no_type(reader: VolumeReader) -> SourceError:
    """The error for integers of 64 bits, which states their range and the types that may be enough."""
    sample = spread_rows(Source(reader))
    low, high = int(sample.min()), int(sample.max())
    enough = [name for name in DTYPES if np.iinfo(name).min <= low and high <= np.iinfo(name).max]
    what = (
        f"{reader.paths[0]} has voxels of a type that cannot be converted: {reader.volume.dtype}. In a sample, they "
        f"are {low:,} to {high:,}"
    )
    if not enough:
        return SourceError(f"{what}, which fits no type that can be stored. Try saving them as floats.")
    return SourceError(f"{what}: ask for a type in which every value fits (", Advice("dtype", enough[0]), ").")


class Narrowed:
    """A volume whose voxels have fewer bits than in the source.

    Parameters
    ----------
    source : VolumeReader
    dtype : numpy.dtype
        The type of the voxels. One that does not fit is an error when it is read.
    note : str, optional
        What to tell the user about it.
    """

    def __init__(self, source: VolumeReader, dtype: np.dtype, note: str | None = None) -> None:
        self._source = source
        volume = source.volume
        self.volume = replace(
            volume,
            dtype=dtype,
            stored_dtype=volume.dtype,
            format=f"{volume.format}; {volume.dtype} as {dtype}",
            notes=(*volume.notes, *([note] if note else [])),
        )

    @property
    def paths(self) -> tuple[AnyPath, ...]:
        return self._source.paths

    def read(self, start: Triple, out: Voxels) -> None:
        voxels = np.empty(out.shape, self._source.volume.dtype)
        self._source.read(start, voxels)
        if voxels.dtype.kind != "b" and self.volume.dtype.kind != "f":
            limits = np.iinfo(self.volume.dtype)
            for extreme in (voxels.argmin(), voxels.argmax()):
                place = np.unravel_index(extreme, voxels.shape)
                if not limits.min <= int(voxels[place]) <= limits.max:
                    z, y, x = (first + int(index) for first, index in zip(start, place, strict=True))
                    raise SourceError(
                        f"{self.paths[0]} has the value {int(voxels[place]):,} at {z} {y} {x} (z y x), which does not "
                        f"fit into {self.volume.dtype}. Ask for another type (", Advice("dtype"), ").",
                    )  # fmt: skip
        out[...] = voxels

    def close(self) -> None:
        self._source.close()
