"""Decodes whole strips to where their voxels belong, without a copy on the way, by the codecs that can do that."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from tifffile import TiffPage

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.sources.base import FileHandles, Voxels

from .pages import IntArray

_CODECS = {5: "lzw", 8: "deflate", 32773: "packbits", 32946: "deflate", 34925: "lzma", 34926: "zstd", 50000: "zstd"}
_HORIZONTAL = 2  # the predictor: each voxel is the difference from the one before


@dataclass(frozen=True)
class WholeStrips:
    """How the strips of a file are decoded in place.

    Attributes
    ----------
    codec : callable
        Of imagecodecs.
    predicted : bool
        Voxels are differences from the one before in the row.
    swap : bool
        The file has the other byte order than this machine.
    length : int
        Rows of a page.
    """

    codec: Callable[..., Any]
    predicted: bool
    swap: bool
    length: int

    def decode(self, data: bytearray, out: Voxels) -> bool:
        """Fill `out` (y, x) with a strip; False if it was not to be: then `out` holds nothing of use."""
        if not out.flags.c_contiguous:
            return False
        try:
            found = self.codec(data, out=out.reshape(-1).view(np.uint8))
        except Exception:  # noqa: BLE001  whatever a codec makes of damaged data: somebody else says what is wrong
            return False
        if len(found) != out.nbytes:
            return False
        if self.swap:
            out.byteswap(inplace=True)
        if self.predicted:
            imagecodecs.delta_decode(out, axis=-1, out=out)
        return True


def whole_strips(key: TiffPage, swap: bool) -> WholeStrips | None:
    """How strips of pages such as `key` are decoded in place; None where that is not for here."""
    name = _CODECS.get(int(key.compression))
    simple = not key.is_tiled and key.imagedepth == 1 and key.fillorder == 1 and key.predictor in (1, _HORIZONTAL)
    if name is None or not simple or key.dtype is None or (key.predictor != 1 and key.dtype.kind == "f"):
        return None
    return WholeStrips(getattr(imagecodecs, f"{name}_decode"), key.predictor != 1, swap, key.imagelength)


Decode = Callable[..., tuple[Voxels | None, tuple[int, ...], tuple[int, ...]]]


@dataclass(frozen=True)
class EncodedSegments:
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
    strips : WholeStrips or None
        How those of which all is wanted are decoded in place; None where they cannot be.
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
        slices, rows, columns = self.segment
        (z0, y0, x0), (z1, y1, x1) = start, (a + n for a, n in zip(start, out.shape, strict=True))
        for page in range(z0 // self.depth, -(-z1 // self.depth)):
            base = page * self.depth
            low, high = max(z0 - base, 0), min(z1 - base, self.depth)
            for k, j, i in itertools.product(
                range(low // slices, -(-high // slices)),
                range(y0 // rows, -(-y1 // rows)),
                range(x0 // columns, -(-x1 // columns)),
            ):
                index = (k * self.grid[1] + j) * self.grid[2] + i
                data = self._data(files, page, index)
                if self.strips and data:
                    top, bottom = j * rows, min((j + 1) * rows, self.strips.length)
                    all_wanted = y0 <= top and bottom <= y1 and out.shape[2] == columns
                    if all_wanted and self.strips.decode(data, out[base - z0, top - y0 : bottom - y0]):
                        continue
                voxels, (_, z, y, x, _), shape = self._decoded(files, page, index, data)
                # the part of this strip or tile that was asked for, in the coordinates of the page
                first_z, last_z = max(z, low), min(z + shape[0], high)
                first_y, last_y = max(y, y0), min(y + shape[1], y1)
                first_x, last_x = max(x, x0), min(x + shape[2], x1)
                target = out[
                    base + first_z - z0 : base + last_z - z0, first_y - y0 : last_y - y0, first_x - x0 : last_x - x0
                ]
                target[...] = (
                    self.nodata
                    if voxels is None
                    else voxels[first_z - z : last_z - z, first_y - y : last_y - y, first_x - x : last_x - x, 0]
                )

    def _data(self, files: FileHandles, page: int, index: int) -> bytearray | None:
        """A strip or tile as it is in the file; None where it was left out."""
        at, count = int(self.offsets[page, index]), int(self.counts[page, index])
        if not at or not count:
            return None
        data = bytearray(count)
        if files.readinto(self._file(page), at, memoryview(data)) < count:
            raise self._damaged(files, page, index, "the file ended early")
        return data

    def _decoded(
        self, files: FileHandles, page: int, index: int, data: bytearray | None
    ) -> tuple[Voxels | None, tuple[int, ...], tuple[int, ...]]:
        tables = {"jpegtables": self.jpeg_tables[page]} if self.jpeg_tables and data else {}
        try:
            return self.decode(data, index, **tables)
        except Exception as exc:  # whatever a codec makes of damaged data
            raise self._damaged(files, page, index, str(exc) or type(exc).__name__) from exc

    def _file(self, page: int) -> int:
        return self.file_of_page[page] if self.file_of_page else 0

    def _damaged(self, files: FileHandles, page: int, index: int, why: str) -> SourceError:
        part = f", strip or tile {index + 1} of {self.offsets.shape[1]}," if self.offsets.shape[1] > 1 else ""
        return SourceError(
            f"Page {page + 1} of {len(self.offsets)}{part} of {files.paths[self._file(page)]} could not be decoded: "
            f"{why}. The file is damaged there."
        )
