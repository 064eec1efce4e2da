"""Volumes whose voxels are stored uncompressed: in one file, or in several files of one or more slices each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_ct_pyramid.errors import SourceError, SourceNotFoundError
from napari_ct_pyramid.model.formatting import times
from napari_ct_pyramid.model.volume import Volume

from .base import VolumeReader
from .row_reader import FileVolumeReader, PlainRows, is_swapped


@dataclass(frozen=True)
class RawFile:
    """A file with slices of voxels.

    Attributes
    ----------
    path : Path
    offset : int
        Position of its first voxel, in bytes.
    slices : int
        Slices that it holds.
    """

    path: Path
    offset: int
    slices: int


def open_raw_rows(
    volume: Volume, dtype: np.dtype, files: Sequence[RawFile], headers: Sequence[Path] = ()
) -> VolumeReader:
    """Open a volume whose voxels follow each other in files, the last axis fastest.

    Parameters
    ----------
    volume : Volume
        Its axes are those of the files, the slowest first. For another order, put the reader into a `Transposed`. Its
        granularity is not used.
    dtype : numpy.dtype
        Of the voxels in the files, with their byte order.
    files : sequence of RawFile
        In the order of the slices; together they hold all slices.
    headers : sequence of Path
        Other files on which the volume depends.

    Raises
    ------
    SourceNotFoundError
        If a file does not exist.
    SourceError
        If a file is too short.
    """
    depth, height, width = volume.shape
    if sum(file.slices for file in files) != depth:
        raise ValueError(f"{len(files)} files have {sum(file.slices for file in files)} of {depth} slices")
    row_bytes = width * dtype.itemsize
    slice_bytes = height * row_bytes
    for file in files:
        _check_length(file, slice_bytes, volume)
    offsets = np.concatenate([file.offset + slice_bytes * np.arange(file.slices, dtype=np.int64) for file in files])
    numbers = np.repeat(np.arange(len(files)), [file.slices for file in files])
    rows = PlainRows(
        offsets[:, None],
        height,
        row_bytes,
        swap=is_swapped(dtype),
        file_of_slice=tuple(numbers.tolist()) if len(files) > 1 else None,
    )
    return FileVolumeReader(replace(volume, granularity=(1, 1, width)), rows, [file.path for file in files], headers)


def _check_length(file: RawFile, slice_bytes: int, volume: Volume) -> None:
    try:
        present = file.path.stat().st_size - file.offset
    except FileNotFoundError as exc:
        raise SourceNotFoundError(
            f"{file.path}, which holds voxels of {volume.name}, does not exist. Try copying it to where its header is."
        ) from exc
    needed = file.slices * slice_bytes
    if file.offset < 0 or present < needed:
        raise SourceError(
            f"{file.path} is cut short: it has {max(present, 0):,} of the {needed:,} bytes of its voxels "
            f"({times((file.slices, *volume.shape[1:]))} {volume.dtype}). Try copying or writing the file again."
        )
