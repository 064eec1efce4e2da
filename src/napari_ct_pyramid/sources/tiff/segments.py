"""Strips and tiles that must be decoded: by tifffile or, with some codecs, directly into the array without a copy.

tifffile (2026.3.3) alone would take 4 to 14 % more processor time for strips of LZW, zlib and zstd, and 48 to 80 % more
for PackBits: medians of 15 runs in turns with pages of 2048 × 2048 uint16 and float32. Conversions of such files wait
for the decoder, on all cores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from tifffile import TiffPage

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.volume import Box, overlaps
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.sources.base import Voxels
from napari_ct_pyramid.sources.row_reader import FileHandles

from .pages import IntArray

_CODECS = {5: "lzw", 8: "deflate", 32773: "packbits", 32946: "deflate", 34925: "lzma", 34926: "zstd", 50000: "zstd"}
_HORIZONTAL = 2  # the predictor: each voxel is the difference from the one before


@dataclass(frozen=True)
class WholeStrips:
    """Decodes whole strips directly into an array.

    Attributes
    ----------
    codec : callable
        A decoder of imagecodecs.
    predicted : bool
        Whether each voxel is stored as the difference from the one before it in the row.
    swap : bool
        Whether the file's byte order differs from the machine's.
    length : int
        Rows of a page.
    """

    codec: Callable[..., Any]
    predicted: bool
    swap: bool
    length: int

    def decode(self, data: bytearray, out: Voxels) -> bool:
        """Fill `out` (y, x) with a strip. If this returns False, it failed, and `out` has no valid voxels."""
        if not out.flags.c_contiguous:
            return False
        try:
            found = self.codec(data, out=out.reshape(-1).view(np.uint8))
        except Exception:  # noqa: BLE001  the data is damaged: tifffile decodes it again, for its error message
            return False
        if len(found) != out.nbytes:
            return False
        if self.swap:
            out.byteswap(inplace=True)
        if self.predicted:
            imagecodecs.delta_decode(out, axis=-1, out=out)
        return True


def whole_strips(page: TiffPage, swap: bool) -> WholeStrips | None:
    """The decoder of whole strips of pages that are stored as `page` is; None if only tifffile can decode them."""
    name = _CODECS.get(int(page.compression))
    simple = not page.is_tiled and page.imagedepth == 1 and page.fillorder == 1 and page.predictor in (1, _HORIZONTAL)
    if page.dtype is None or page.bitspersample != 8 * page.dtype.itemsize:
        return None
    if name is None or not simple or (page.predictor != 1 and page.dtype.kind == "f"):
        return None
    return WholeStrips(getattr(imagecodecs, f"{name}_decode"), page.predictor != 1, swap, page.imagelength)


Decode = Callable[..., tuple[Voxels | None, tuple[int, ...], tuple[int, ...]]]
"""tifffile's decoder of a page. It returns a segment's voxels (None if it is not in the file), position and shape."""


@dataclass(frozen=True)
class EncodedSegments:
    """A `RowReader` for strips or tiles that must be decoded: compressed, tiled, or otherwise not plain rows.

    Attributes
    ----------
    offsets, counts : numpy.ndarray
        Position and size in bytes of each strip or tile, by page and index.
    depth : int
        Slices in a page.
    segment : tuple of int
        Slices, rows and columns in a strip or tile.
    grid : tuple of int
        Strips or tiles of a page along z, y, x.
    decode : callable
        tifffile's decoder of these pages.
    nodata : float
        The value of strips or tiles that are not in the file.
    jpeg_tables : tuple of bytes or None
        Those of each page; None if there are none.
    file_of_page : tuple of int or None
        The file of each page; None if there is only one file.
    strips : WholeStrips or None
        Decodes strips that are read as a whole; None if tifffile decodes all.
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
    strips: WholeStrips | None = None

    def read(self, files: FileHandles, start: Triple, out: Voxels) -> None:
        wanted = tuple(slice(first, first + size) for first, size in zip(start, out.shape, strict=True))
        page_shape = self.depth, self.grid[1] * self.segment[1], self.grid[2] * self.segment[2]
        for (page, _, _), box, target in overlaps(wanted, page_shape):
            self._read_page(files, page, box, out[target])

    def _read_page(self, files: FileHandles, page: int, box: Box, out: Voxels) -> None:
        """Fill `out` with a box of a page."""
        _, rows, columns = self.segment
        for (k, j, i), inside, target in overlaps(box, self.segment):
            number = (k * self.grid[1] + j) * self.grid[2] + i
            data = self._data(files, page, number)
            if self.strips and data:
                height = min(rows, self.strips.length - j * rows)  # the last strip ends with the page
                whole = inside[1:] == (slice(0, height), slice(0, columns))
                if whole and self.strips.decode(data, out[target[0].start, target[1], target[2]]):
                    continue
            voxels = self._decoded(files, page, number, data)
            out[target] = self.nodata if voxels is None else voxels[..., 0][inside]

    def _data(self, files: FileHandles, page: int, number: int) -> bytearray | None:
        """A strip or tile as it is in the file; None if it is not there."""
        at, count = int(self.offsets[page, number]), int(self.counts[page, number])
        if not at or not count:
            return None
        data = bytearray(count)
        if files.readinto(self._file(page), at, memoryview(data)) < count:
            raise self._damaged(files, page, number, "the file ends early")
        return data

    def _decoded(self, files: FileHandles, page: int, number: int, data: bytearray | None) -> Voxels | None:
        tables = {"jpegtables": self.jpeg_tables[page]} if self.jpeg_tables and data else {}
        try:
            return self.decode(data, number, **tables)[0]
        except Exception as exc:  # codecs raise errors of every kind on damaged data
            raise self._damaged(files, page, number, str(exc) or type(exc).__name__) from exc

    def _file(self, page: int) -> int:
        return self.file_of_page[page] if self.file_of_page else 0

    def _damaged(self, files: FileHandles, page: int, number: int, reason: str) -> SourceError:
        part = f", strip or tile {number + 1} of {self.offsets.shape[1]}," if self.offsets.shape[1] > 1 else ""
        return SourceError(
            f"Page {page + 1} of {len(self.offsets)}{part} of {files.paths[self._file(page)]} could not be decoded: "
            f"{reason}. The file is damaged there: try copying or writing it again."
        )
