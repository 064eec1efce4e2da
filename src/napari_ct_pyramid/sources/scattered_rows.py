"""Reads rows of slices whose bytes lie in several parts of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.options import Triple

from .base import Voxels
from .row_reader import FileHandles

_COPY_BYTES = 1_000_000  # read at a time, and then copied: as much as fits in the processor's cache


@dataclass(frozen=True)
class ScatteredRows:
    """A `RowReader` of slices that are stored uncompressed, each in one or more parts.

    Attributes
    ----------
    parts : sequence of sequence of (int, int)
        For each slice, position and size in bytes of its parts, in their order.
    row_bytes : int
        Bytes in a row.
    swap : bool
        Whether the file's byte order differs from the machine's.
    """

    parts: Sequence[Sequence[tuple[int, int]]]
    row_bytes: int
    swap: bool

    def read(self, files: FileHandles, start: Triple, out: Voxels) -> None:
        z0, y0, x0 = start
        _, height, width = out.shape
        rows = min(height, max(1, _COPY_BYTES // self.row_bytes))
        buffer = np.empty((rows, self.row_bytes // out.itemsize), out.dtype)
        for z, target in enumerate(out, start=z0):
            for y in range(0, height, rows):
                part = buffer[: min(rows, height - y)]
                self._fill(files, z, (y0 + y) * self.row_bytes, memoryview(part.reshape(-1).view(np.uint8)))
                target[y : y + rows] = (part.byteswap() if self.swap else part)[:, x0 : x0 + width]

    def _fill(self, files: FileHandles, z: int, at: int, buffer: memoryview) -> None:
        """Fill `buffer` with the bytes of a slice from position `at` of the slice on."""
        done = 0
        for offset, size in self.parts[z]:
            if at < size and done < len(buffer):
                wanted = buffer[done : done + size - at]
                if files.readinto(0, offset + at, wanted) < len(wanted):
                    raise SourceError(
                        f"Slice {z + 1} of {len(self.parts)} of {files.paths[0]} ends early. The file has changed "
                        "since it was opened: try again when it is complete."
                    )
                done += len(wanted)
                at = 0
            else:
                at -= size
