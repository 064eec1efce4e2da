"""What every kind of source has in common: rows read from files, and the check that an array is a volume."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.formatting import times
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.storage.paths import AnyPath

Voxels = npt.NDArray[Any]

_THROUGH_BYTES = 1_000_000  # read at a time, where voxels must be put in another order


class VolumeReader(Protocol):
    """A volume of some kind that is open for reading."""

    volume: Volume

    @property
    def paths(self) -> tuple[AnyPath, ...]:
        """The files by which it is known, the first of them for messages."""

    def read(self, start: Triple, out: Voxels) -> None:
        """Fill `out` with the voxels from `start` on.

        `out` is of the volume's dtype, lies within the volume, is not empty and may have any strides. Several
        threads call this at once.
        """

    def close(self) -> None:
        """Let go of the files; no thread may be reading."""


class FileHandles:
    """Unbuffered handles on the files of a volume, one for each thread that reads.

    A thread keeps only its last file open: a volume may be spread over thousands.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)
        self._handles: dict[int, tuple[int, FileIO]] = {}
        self._closed = False

    def readinto(self, file: int, at: int, buffer: memoryview) -> int:
        """Fill `buffer` with the bytes from `at` on; returns how many there were."""
        handle = self._handle(file)
        handle.seek(at)
        done = 0
        while done < len(buffer):  # one call may give less, such as 2 GiB on Linux
            count = handle.readinto(buffer[done:])
            if not count:
                break
            done += count
        return done

    def close(self) -> None:
        """Close all handles; no thread may be reading."""
        self._closed = True
        while self._handles:
            _, (_, handle) = self._handles.popitem()
            handle.close()

    def _handle(self, file: int) -> FileIO:
        if self._closed:
            raise ValueError("read of a closed source")
        thread = threading.get_ident()  # a new thread may take over the number, and handle, of one that ended
        index, handle = self._handles.get(thread, (-1, None))
        if handle is None or index != file:
            if handle is not None:
                handle.close()
            handle = self.paths[file].open("rb", buffering=0)  # closed by close()
            self._handles[thread] = (file, handle)
        return handle


class RowReader(Protocol):
    """Reads voxels out of files."""

    def read(self, files: FileHandles, start: Triple, out: Voxels) -> None:
        """As `VolumeReader.read`."""


class FileVolumeReader:
    """A `VolumeReader` of a volume whose place in its files is known.

    Parameters
    ----------
    volume : Volume
    rows : RowReader
        How to read it.
    paths : sequence of Path
        The files that `rows` counts.
    """

    def __init__(self, volume: Volume, rows: RowReader, paths: Sequence[Path]) -> None:
        self.volume = volume
        self._rows = rows
        self._files = FileHandles([path.absolute() for path in paths])

    @property
    def paths(self) -> tuple[Path, ...]:
        return self._files.paths

    def read(self, start: Triple, out: Voxels) -> None:
        self._rows.read(self._files, start, out)

    def close(self) -> None:
        self._files.close()


@dataclass(frozen=True)
class PlainRows:
    """Rows that lie in the file as they are.

    Attributes
    ----------
    offsets : numpy.ndarray
        Where each strip lies, by slice and strip.
    rows : int
        Rows in a strip.
    row_bytes : int
        Bytes in a row.
    swap : bool
        The file has the other byte order than this machine.
    file_of_slice : tuple of int or None
        Which file holds each slice; None where there is only one.
    """

    offsets: npt.NDArray[np.int64]
    rows: int
    row_bytes: int
    swap: bool
    file_of_slice: tuple[int, ...] | None = None

    def read(self, files: FileHandles, start: Triple, out: Voxels) -> None:
        if out.strides[2] == out.itemsize or out.shape[2] == 1:
            self._read_in_order(files, start, out)
            return
        # By way of rows as they lie in the file; as many slices at once as is good for the cache.
        depth, height, _ = out.shape
        rows = min(height, max(1, _THROUGH_BYTES // self.row_bytes))
        slices = min(depth, max(1, _THROUGH_BYTES // (self.row_bytes * rows)))
        through = np.empty((slices, rows, out.shape[2]), out.dtype)
        for z in range(0, depth, slices):
            for y in range(0, height, rows):
                target = out[z : z + slices, y : y + rows]
                part = through[: target.shape[0], : target.shape[1]]
                self._read_in_order(files, (start[0] + z, start[1] + y, start[2]), part)
                target[...] = part

    def _read_in_order(self, files: FileHandles, start: Triple, out: Voxels) -> None:
        z0, y0, x0 = start
        y1 = y0 + out.shape[1]
        for z, target in enumerate(out, start=z0):
            for strip in range(y0 // self.rows, -(-y1 // self.rows)):
                top = strip * self.rows
                first, last = max(y0, top), min(y1, top + self.rows)
                at = int(self.offsets[z, strip]) + (first - top) * self.row_bytes + x0 * out.itemsize
                self._fill(files, z, at, target[first - y0 : last - y0])
            if self.swap:
                target.byteswap(inplace=True)

    def _fill(self, files: FileHandles, z: int, at: int, target: Voxels) -> None:
        file = self.file_of_slice[z] if self.file_of_slice else 0
        together = target.flags.c_contiguous and target.shape[1] * target.itemsize == self.row_bytes
        for part in [target] if together else target:
            buffer = part.reshape(-1).view(np.uint8)
            count = files.readinto(file, at, buffer.data)
            if count < buffer.size:
                raise SourceError(
                    f"Slice {z + 1} of {len(self.offsets)} of {files.paths[file]} ended early: {buffer.size:,} bytes "
                    f"were wanted at byte {at:,} and {count:,} were there. Has the file changed since it was opened?"
                )
            at += buffer.size if together else self.row_bytes


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
