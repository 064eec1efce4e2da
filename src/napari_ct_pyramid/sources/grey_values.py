"""The grey values of a volume that was rescaled or is calibrated: ``stored × slope + intercept``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_ct_pyramid.calibration import Calibration
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.storage.paths import AnyPath

from .base import DTYPES, VolumeReader, Voxels

_PIECE = 65_536  # voxels at a time, so that their floats stay in the processor's cache


def grey_values(reader: VolumeReader) -> VolumeReader:
    """The volume with the grey values that its voxels stand for; the reader itself where nothing states these."""
    volume = reader.volume
    if volume.calibration is None:
        note = "Nothing states what the voxels stand for, so they are taken as they are."
        reader.volume = replace(volume, notes=(*volume.notes, note))
        return reader
    return GreyValues(reader, volume.calibration)


class GreyValues:
    """A volume whose voxels are the grey values that those of the source stand for.

    Where the voxels were made by a rescaling alone, they get the type that they had before it, rounded to the nearest
    value of that type. Otherwise they are floats that hold every grey value.

    Parameters
    ----------
    source : VolumeReader
    calibration : Calibration
        What its voxels stand for.
    """

    def __init__(self, source: VolumeReader, calibration: Calibration) -> None:
        self._source = source
        self._calibration = calibration
        volume = source.volume
        self.volume = replace(
            volume,
            dtype=_dtype(volume, calibration),
            stored_dtype=volume.stored_dtype or volume.dtype,
            format=f"{volume.format}; {calibration.formula}",
            calibration=None,
            rescale=None,
        )

    @property
    def paths(self) -> tuple[AnyPath, ...]:
        return self._source.paths

    def read(self, start: Triple, out: Voxels) -> None:
        stored = np.empty(out.shape, self._source.volume.dtype)
        self._source.read(start, stored)
        rows = max(1, _PIECE // out.shape[2])
        for voxels, target in zip(stored, out, strict=True):
            for y in range(0, len(voxels), rows):
                self._convert(voxels[y : y + rows], target[y : y + rows])

    def _convert(self, stored: Voxels, out: Voxels) -> None:
        grey = stored.astype(np.float64)
        grey *= self._calibration.slope
        grey += self._calibration.intercept
        if out.dtype.kind != "f":
            limits = np.iinfo(out.dtype)
            np.clip(np.rint(grey, out=grey), limits.min, limits.max, out=grey)
        out[...] = grey

    def close(self) -> None:
        self._source.close()


def _dtype(volume: Volume, calibration: Calibration) -> np.dtype:
    rescale = volume.rescale
    only_rescaled = rescale and calibration == Calibration(rescale.slope, rescale.intercept)
    if rescale and only_rescaled and rescale.source_dtype.name in DTYPES:
        return rescale.source_dtype
    exact_in_float32 = volume.dtype.itemsize <= 2 or volume.dtype == np.float32
    return np.dtype(np.float32 if exact_in_float32 else np.float64)
