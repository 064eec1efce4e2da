"""From bytes in files to rows of voxels: the two ways in which a TIFF can hold them.

Both know where every strip or tile lies, and read any block of rows straight into the caller's array. Neither
keeps state between reads: any number of threads may call them.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.volume import Triple

from .pages import IntArray

Voxels = npt.NDArray[Any]


class Files:
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


class Rows(Protocol):
    """Reads blocks of rows."""

    @property
    def row_step(self) -> int:
        """The fewest rows that can be read on their own."""

    def read(self, files: Files, z0: int, z1: int, y0: int, y1: int, out: Voxels) -> None:
        """Fill `out` (slices, rows, all columns)."""


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

    offsets: IntArray
    rows: int
    row_bytes: int
    swap: bool
    file_of_slice: tuple[int, ...] | None = None

    @property
    def row_step(self) -> int:
        return 1

    def read(self, files: Files, z0: int, z1: int, y0: int, y1: int, out: Voxels) -> None:
        for z in range(z0, z1):
            target = out[z - z0]
            for strip in range(y0 // self.rows, -(-y1 // self.rows)):
                top = strip * self.rows
                first, last = max(y0, top), min(y1, top + self.rows)
                at = int(self.offsets[z, strip]) + (first - top) * self.row_bytes
                self._fill(files, z, at, target[first - y0 : last - y0])
            if self.swap:
                target.byteswap(inplace=True)

    def _fill(self, files: Files, z: int, at: int, target: Voxels) -> None:
        file = self.file_of_slice[z] if self.file_of_slice else 0
        for part in [target] if target.flags.c_contiguous else target:
            buffer = part.reshape(-1).view(np.uint8)
            count = files.readinto(file, at, buffer.data)
            if count < buffer.size:
                raise SourceError(
                    f"Slice {z + 1} of {len(self.offsets)} of {files.paths[file]} ended early: {buffer.size:,} bytes "
                    f"were wanted at byte {at:,} and {count:,} were there. Has the file changed since it was opened?"
                )
            at += buffer.size


Decode = Callable[..., tuple[Voxels | None, tuple[int, ...], tuple[int, ...]]]


@dataclass(frozen=True)
class CodedSegments:
    """Strips or tiles that must be decoded: compressed, tiled, or otherwise not plain rows.

    Attributes
    ----------
    offsets, counts : numpy.ndarray
        Where each strip or tile lies and its bytes, by page and index.
    depth : int
        Slices in a page.
    segment : tuple of int
        Slices, rows and columns in a strip or tile.
    grid : tuple of int
        Strips or tiles of a page along z, y, x.
    decode : callable
        tifffile's decoder of these pages.
    nodata : float
        What fills strips or tiles that were left out of the file.
    jpeg_tables : tuple of bytes or None
        For each page; None where there are none.
    file_of_page : tuple of int or None
        Which file holds each page; None where there is only one.
    """

    offsets: IntArray
    counts: IntArray
    depth: int
    segment: Triple
    grid: Triple
    decode: Decode
    nodata: float
    jpeg_tables: tuple[bytes | None, ...] | None = None
    file_of_page: tuple[int, ...] | None = None

    @property
    def row_step(self) -> int:
        return self.segment[1]

    def read(self, files: Files, z0: int, z1: int, y0: int, y1: int, out: Voxels) -> None:
        slices, rows, _ = self.segment
        for page in range(z0 // self.depth, -(-z1 // self.depth)):
            base = page * self.depth
            low, high = max(z0 - base, 0), min(z1 - base, self.depth)
            for k, j, i in itertools.product(
                range(low // slices, -(-high // slices)), range(y0 // rows, -(-y1 // rows)), range(self.grid[2])
            ):
                index = (k * self.grid[1] + j) * self.grid[2] + i
                voxels, (_, z, y, x, _), shape = self._decoded(files, page, index)
                # the part of this strip or tile that was asked for, in the coordinates of the page
                first_z, last_z = max(z, low), min(z + shape[0], high)
                first_y, last_y = max(y, y0), min(y + shape[1], y1)
                last_x = min(x + shape[2], out.shape[2])
                target = out[base + first_z - z0 : base + last_z - z0, first_y - y0 : last_y - y0, x:last_x]
                target[...] = (
                    self.nodata
                    if voxels is None
                    else voxels[first_z - z : last_z - z, first_y - y : last_y - y, : last_x - x, 0]
                )

    def _decoded(self, files: Files, page: int, index: int) -> tuple[Voxels | None, tuple[int, ...], tuple[int, ...]]:
        at, count = int(self.offsets[page, index]), int(self.counts[page, index])
        if not at or not count:
            return self.decode(None, index)
        file = self.file_of_page[page] if self.file_of_page else 0
        tables = {"jpegtables": self.jpeg_tables[page]} if self.jpeg_tables else {}
        data = bytearray(count)
        try:
            if files.readinto(file, at, memoryview(data)) < count:
                raise EOFError("the file ended early")
            return self.decode(data, index, **tables)
        except Exception as exc:  # whatever a codec makes of damaged data
            part = f", strip or tile {index + 1} of {self.offsets.shape[1]}," if self.offsets.shape[1] > 1 else ""
            raise SourceError(
                f"Page {page + 1} of {len(self.offsets)}{part} of {files.paths[file]} could not be decoded: "
                f"{str(exc) or type(exc).__name__}. The file is damaged there."
            ) from exc
