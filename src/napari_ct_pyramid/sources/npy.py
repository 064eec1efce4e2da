"""NumPy files, which hold one array: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.volume import Volume

from .base import VolumeReader, check_dtype, check_shape
from .raw_rows import RawFile, open_raw_rows
from .views import Transposed


def open_npy(path: Path) -> VolumeReader:
    """Open an array of voxels, in C or Fortran order.

    Raises
    ------
    SourceError
        If it is not a volume, or the file is damaged.
    """
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
        else:
            raise SourceError(
                f"{path} is a NumPy file of version {version[0]}, which is for arrays with named fields. Try saving "
                "the field that holds the voxels on its own."
            )
        begin = file.tell()
    native = check_dtype(path, dtype)
    z, y, x = check_shape(path, shape)
    volume = Volume(
        name=path.stem,
        shape=(x, y, z) if fortran else (z, y, x),
        dtype=native,
        format="NumPy array, Fortran order" if fortran else "NumPy array",
    )
    reader = open_raw_rows(volume, dtype, [RawFile(path, begin, volume.shape[0])])
    return Transposed(reader, "xyz") if fortran else reader
