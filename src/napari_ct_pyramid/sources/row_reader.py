"""Reads rows of voxels from files. Each thread has its own file handles."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import Triple

from .base import Voxels

_COPY_BYTES = (
    1_000_000  # copied at a time if the rows of `out` are not contiguous: so many fit in the processor's cache
)


class FileHandles:
    """Unbuffered handles of the files of a volume, one for each thread that reads.

    A thread keeps open only the file that it read last: a volume may have thousands of files.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)
        self._handles: dict[int, tuple[int, FileIO]] = {}
        self._closed = False

    def readinto(self, file: int, at: int, buffer: memoryview) -> int:
        """Fill `buffer` with the bytes from position `at` on; returns how many the file had."""
        handle = self._handle(file)
        handle.seek(at)
        done = 0
        while done < len(buffer):  # one call may return less, such as 2 GiB on Linux
            count = handle.readinto(buffer[done:])
            if not count:
                break
            done += count
        return done

    def close(self) -> None:
        """Close all handles. No thread may be reading."""
        self._closed = True
        while self._handles:
            _, (_, handle) = self._handles.popitem()
            handle.close()

    def _handle(self, file: int) -> FileIO:
        if self._closed:
            raise ValueError("read of a closed source")
        thread = threading.get_ident()  # a new thread may get the number, and so the handle, of one that ended
        index, handle = self._handles.get(thread, (-1, None))
        if handle is None or index != file:
            if handle is not None:
                handle.close()
            handle = self.paths[file].open("rb", buffering=0)  # closed by close()
            self._handles[thread] = (file, handle)
        return handle


class RowReader(Protocol):
    """Reads voxels from files that are open already."""

    def read(self, files: FileHandles, start: Triple, out: Voxels) -> None:
        """Fill `out` with the voxels from `start` on, as `VolumeReader.read` does."""


class FileVolumeReader:
    """A `VolumeReader` that finds all voxels at known positions of files.

    Parameters
    ----------
    volume : Volume
    rows : RowReader
        Reads its voxels.
    paths : sequence of Path
        The files, in the order in which `rows` counts them.
    headers : sequence of Path
        Other files on which the volume depends.
    """

    def __init__(self, volume: Volume, rows: RowReader, paths: Sequence[Path], headers: Sequence[Path] = ()) -> None:
        self.volume = volume
        self._rows = rows
        self._files = FileHandles([path.absolute() for path in paths])
        self._headers = tuple(path.absolute() for path in headers)

    @property
    def paths(self) -> tuple[Path, ...]:
        return *self._files.paths, *self._headers

    def read(self, start: Triple, out: Voxels) -> None:
        self._rows.read(self._files, start, out)

    def close(self) -> None:
        self._files.close()


@dataclass(frozen=True)
class PlainRows:
    """A `RowReader` of rows that are stored uncompressed.

    Attributes
    ----------
    offsets : numpy.ndarray
        Position of each strip in its file, by slice and strip.
    rows : int
        Rows in a strip.
    row_bytes : int
        Bytes in a row.
    swap : bool
        Whether the file's byte order differs from the machine's.
    file_of_slice : tuple of int or None
        The file that holds each slice; None if there is only one file.
    """

    offsets: npt.NDArray[np.int64]
    rows: int
    row_bytes: int
    swap: bool
    file_of_slice: tuple[int, ...] | None = None

    def read(self, files: FileHandles, start: Triple, out: Voxels) -> None:
        if out.strides[2] == out.itemsize or out.shape[2] == 1:
            self._read_contiguous(files, start, out)
            return
        # Rows are read as they are in the file, then copied: at a time, as many as fit in the cache.
        depth, height, _ = out.shape
        rows = min(height, max(1, _COPY_BYTES // self.row_bytes))
        slices = min(depth, max(1, _COPY_BYTES // (self.row_bytes * rows)))
        buffer = np.empty((slices, rows, out.shape[2]), out.dtype)
        for z in range(0, depth, slices):
            for y in range(0, height, rows):
                target = out[z : z + slices, y : y + rows]
                part = buffer[: target.shape[0], : target.shape[1]]
                self._read_contiguous(files, (start[0] + z, start[1] + y, start[2]), part)
                target[...] = part

    def _read_contiguous(self, files: FileHandles, start: Triple, out: Voxels) -> None:
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
        all_at_once = target.flags.c_contiguous and target.shape[1] * target.itemsize == self.row_bytes
        for part in [target] if all_at_once else target:
            buffer = part.reshape(-1).view(np.uint8)
            count = files.readinto(file, at, buffer.data)
            if count < buffer.size:
                raise SourceError(
                    f"Slice {z + 1} of {len(self.offsets)} of {files.paths[file]} ends early: it has {count:,} of the "
                    f"{buffer.size:,} bytes expected at byte {at:,}. The file has changed since it was opened: try "
                    "again when it is complete."
                )
            at += buffer.size if all_at_once else self.row_bytes


def is_swapped(dtype: np.dtype) -> bool:
    """Whether a type's byte order differs from the machine's."""
    return dtype.byteorder == {"little": ">", "big": "<"}[sys.byteorder]
