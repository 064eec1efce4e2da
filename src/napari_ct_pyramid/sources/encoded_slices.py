"""Slices that are each decoded as a whole, such as PNG images or compressed DICOM frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.options import Triple

from .base import Voxels
from .row_reader import FileHandles


@dataclass(frozen=True)
class EncodedSlices:
    """A `RowReader` of slices that are each decoded as a whole.

    Attributes
    ----------
    offsets, counts : numpy.ndarray
        Position and size in bytes of each slice in its file.
    shape : tuple of int
        Rows and columns of a slice.
    dtype : numpy.dtype
        Of the decoded voxels, in the machine's byte order.
    decode : callable
        Makes the image (y, x) of the bytes of a slice.
    file_of_slice : tuple of int or None
        The file that holds each slice; None if there is only one file.
    """

    offsets: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    shape: tuple[int, int]
    dtype: np.dtype
    decode: Callable[[bytearray], Any]
    file_of_slice: tuple[int, ...] | None = None

    def read(self, files: FileHandles, start: Triple, out: Voxels) -> None:
        z0, y0, x0 = start
        _, height, width = out.shape
        for z, target in enumerate(out, start=z0):
            target[...] = self.image(files, z)[y0 : y0 + height, x0 : x0 + width]

    def image(self, files: FileHandles, z: int) -> Voxels:
        """A whole slice.

        Raises
        ------
        SourceError
            If it cannot be decoded, or is not of the expected shape and type.
        """
        file = self.file_of_slice[z] if self.file_of_slice else 0
        data = bytearray(int(self.counts[z]))
        try:
            if files.readinto(file, int(self.offsets[z]), memoryview(data)) < len(data):
                raise EOFError("the file ends early")
            image = np.asarray(self.decode(data))
        except OSError as exc:
            if exc.errno is not None:
                raise
            raise self._damaged(files, z, str(exc)) from exc
        except Exception as exc:  # codecs raise errors of every kind on damaged data
            raise self._damaged(files, z, str(exc) or type(exc).__name__) from exc
        if (image.shape, image.dtype.newbyteorder("=")) != (self.shape, self.dtype):
            raise self._damaged(files, z, f"it decodes to {image.shape} {image.dtype}, not {self.shape} {self.dtype}")
        return image

    def _damaged(self, files: FileHandles, z: int, reason: str) -> SourceError:
        file = self.file_of_slice[z] if self.file_of_slice else 0
        return SourceError(
            f"Slice {z + 1} of {len(self.offsets)} of {files.paths[file]} could not be decoded: {reason}. The file is "
            "damaged there: try copying or writing it again."
        )
