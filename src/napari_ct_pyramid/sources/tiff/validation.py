"""Checks that a TIFF holds a volume. Each error states what is wrong, and what to try."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tifffile import COMPRESSION, TiffPage

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.formatting import format_size, times
from napari_ct_pyramid.sources.base import CONVERTIBLE, DTYPES, WIDE_DTYPES
from napari_ct_pyramid.sources.names import single_slice

from .pages import IntArray, Page, PixelStorage, is_tiff

_KINDS = {1: "uint", 2: "int", 3: "float", 5: "complex int", 6: "complex"}
_AXES = {
    "T": "time", "C": "channel", "Z": "z", "Y": "y", "X": "x", "I": "page", "Q": "unnamed", "P": "position",
    "R": "tile", "A": "angle", "H": "lifetime", "E": "wavelength", "M": "mosaic", "L": "exposure",
}  # fmt: skip
_SLICES = "ZIQ"  # pages along an axis without a name are slices

_CODECS = {
    1: "none", 5: "LZW", 7: "JPEG", 8: "Deflate", 32773: "PackBits", 32946: "Deflate", 33004: "JPEG 2000",
    34712: "JPEG 2000", 34887: "LERC", 34925: "LZMA", 34926: "Zstandard", 34933: "PNG", 50000: "Zstandard",
    50001: "WebP", 50002: "JPEG XL",
}  # fmt: skip

# Blank slices are compressed to a ten-thousandth of their size or less. A large strip or tile that decodes to more than
# a hundred thousand times its size is damaged.
_MOST_COMPRESSED = 100_000
_LARGE = 256 * 2**20

_MOST_PACKED_BITS = 16

_BATCH = 64  # pages checked together: all pages together, each of thousands of strips, would take much memory

_AGAIN = "Try copying or writing the file again."


def compression_name(number: int) -> str:
    """The name of a codec, for the user; ``"none"`` for uncompressed pages."""
    try:
        return _CODECS.get(number) or COMPRESSION(number).name
    except ValueError:
        return f"unknown codec {number}"


def check_page(path: Path, page: TiffPage) -> np.dtype[Any]:
    """The first page must hold grey values of a type that can be converted; returns the type."""
    if not page.imagelength or not page.imagewidth or not page.imagedepth:
        raise SourceError(
            f"{path} has no voxels: its pages have {times((page.imagelength, page.imagewidth))} pixels. {_AGAIN}"
        )
    if page.samplesperpixel > 1:
        raise SourceError(
            f"{path} has colours: {page.samplesperpixel} samples per pixel, where a volume has one. "
            "Try converting it to grey values first (in Fiji: Image > Type > 16-bit or 32-bit)."
        )
    dtype = page.dtype
    if (
        dtype is None
        or dtype.name not in (*DTYPES, *WIDE_DTYPES)
        or not (
            page.bitspersample == 8 * dtype.itemsize or (is_packed(page) and page.bitspersample <= _MOST_PACKED_BITS)
        )
    ):
        kind = _KINDS.get(page.sampleformat, "type unknown")
        raise SourceError(
            f"{path} has voxels of a type that cannot be converted: {kind}, {page.bitspersample} bits. Try "
            f"converting them first (in Fiji: Image > Type) to {CONVERTIBLE}."
        )
    if min((page.tiledepth, page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip,)) < 1:
        raise SourceError(f"{path} is damaged: its pages have strips or tiles of size 0. {_AGAIN}")
    return dtype.newbyteorder("=")


def is_packed(page: TiffPage) -> bool:
    """Whether voxels are integers without a sign that share bytes, as masks of 1 bit and pictures of 12 bits do."""
    return page.dtype is not None and page.dtype.kind in "ub" and 0 < page.bitspersample < 8 * page.dtype.itemsize


def check_axes(path: Path, axes: str, shape: Sequence[int], endings: Sequence[str]) -> None:
    """The axes, without those of length 1, must be slices, y, x. `endings` are those of files that may be slices."""
    if axes == "YX":
        raise single_slice(path, f"a single image of {times(shape)} pixels (y, x)", endings)
    if 0 in shape or len(axes) != 3 or axes[0] not in _SLICES or axes[1:] != "YX":
        named = ", ".join(f"{_AXES.get(axis, axis)} {size}" for axis, size in zip(axes, shape, strict=True))
        raise SourceError(
            f"{path} is not a volume of z, y, x: its axes are {named}. Try saving one volume of it as its own file (in "
            "Fiji: Image > Duplicate, or Image > Properties if slices are labelled as frames or channels)."
        )


def name_page(page: Page, total: int | None) -> str:
    """A page, for messages. `total` is None if the number of pages is unknown."""
    if page.file:
        return page.file
    return f"page {page.number} of {total}" if total else f"page {page.number}"


def check_alike(path: Path, pages: Sequence[Page], total: int | None) -> None:
    """All pages must be stored in the same way as the first one."""
    first = pages[0]
    for page in pages:
        if page.storage is not first.storage and page.storage != first.storage:
            ours, theirs = _difference(page.storage, first.storage)
            name = page.file or name_page(page, total).capitalize()
            raise SourceError(
                f"{name} of {path} {ours}, but {name_page(first, None)} {theirs}. "
                f"The {'slices' if page.file else 'pages'} of a volume must all be alike: try removing those that "
                "differ, or saving the volume again as one stack."
            )


def _difference(ours: PixelStorage, theirs: PixelStorage) -> tuple[str, str]:
    for describe in (_describe_shape, _describe_samples, _describe_dtype, _describe_compression):
        if describe(ours) != describe(theirs):
            return describe(ours), describe(theirs)
    name = next(name for name in ours._fields if getattr(ours, name) != getattr(theirs, name))
    return f"has {getattr(ours, name)} as its {name.replace('_', ' ')}", f"has {getattr(theirs, name)}"


def _describe_shape(storage: PixelStorage) -> str:
    depth = (storage.depth,) if storage.depth > 1 else ()
    return f"has {times((*depth, storage.length, storage.width))} pixels"


def _describe_samples(storage: PixelStorage) -> str:
    return f"has {storage.samples} samples per pixel"


def _describe_dtype(storage: PixelStorage) -> str:
    return f"is {_KINDS.get(storage.sample_format, 'of unknown type ')}{storage.bits}"


def _describe_compression(storage: PixelStorage) -> str:
    name = compression_name(storage.compression)
    return "is not compressed" if name == "none" else f"is compressed with {name}"


def check_head(file: Path) -> None:
    """A file must begin like a TIFF."""
    with file.open("rb") as opened:
        head = opened.read(4)
    if not is_tiff(head):
        raise SourceError(f"{file} is {'not a TIFF, although its name ends like one' if head else 'empty'}. {_AGAIN}")


def check_single(file: Path, pages: Sequence[Page]) -> None:
    """A file in a folder of slices must have one slice."""
    if len(pages) != 1 or pages[0].storage.depth != 1:
        deep = len(pages) == 1
        raise SourceError(
            f"{file} has {pages[0].storage.depth if deep else len(pages)} slices, where each file of a folder of "
            "slices has one. Try removing it, or giving its path alone if it is the whole volume."
        )


def check_order(file: Path, order: str, first: Path, first_order: str) -> None:
    """All files of a folder must have the same byte order."""
    if order != first_order:
        raise SourceError(
            f"{file} is {order}-endian, but {first.name} is {first_order}-endian. The slices of a volume must all "
            "be alike: try saving them again."
        )


def check_complete(path: Path, flaw: str | None) -> None:
    """All pages must have been read."""
    if flaw:
        raise SourceError(f"{path} is cut short or damaged: {flaw}. {_AGAIN}")


def check_contiguous(path: Path, slices: int, slice_bytes: int, offset: int, file_size: int) -> None:
    """Contiguous slices must all be in the file."""
    whole, rest = divmod(max(file_size - offset, 0), slice_bytes)
    if whole < slices:
        raise _cut_short(path, f"slice {whole + 1} of {slices}", rest, slice_bytes)


def _cut_short(path: Path, what: str, present: int, expected: int) -> SourceError:
    has = f"has {present:,} of its {expected:,} bytes in the file" if expected else "has no data"
    return SourceError(f"{path} is cut short: {what} {has}. {_AGAIN}")


def check_strip_numbers(path: Path, pages: Sequence[Page], total: int | None, number: int, plain: bool) -> None:
    """All pages must give the positions of all their strips or tiles."""
    for page in pages:
        given = min(len(page.offsets), len(page.counts))
        # One plain strip may represent several contiguous ones, and needs no count.
        if given < number and not (plain and len(page.offsets) == 1):
            raise SourceError(
                f"{path} is damaged: {name_page(page, total)} should have {number:,} strips or tiles, and has "
                f"{given:,}. {_AGAIN}"
            )


def check_strips(
    path: Path,
    pages: Sequence[Page],
    total: int | None,
    table: tuple[IntArray, IntArray],
    decoded: IntArray,
    plain: bool,
    file_sizes: IntArray,
) -> None:
    """All strips or tiles of all pages must be within their file.

    Parameters
    ----------
    table : tuple of numpy.ndarray
        Their positions and sizes in bytes, by page and strip.
    decoded : numpy.ndarray
        The bytes of each strip or tile of a page when it is decoded.
    plain : bool
        Whether they are plain rows, which must all be in the file. Others may be missing: those are blank.
    file_sizes : numpy.ndarray
        The size in bytes of each page's file.
    """
    for first in range(0, len(pages), _BATCH):
        batch = slice(first, first + _BATCH)
        offsets, counts = table[0][batch], table[1][batch]
        expected = np.broadcast_to(decoded, counts.shape) if plain else counts
        present = np.clip(np.minimum(file_sizes[batch, None] - offsets, counts), 0, expected) * (offsets > 0)
        bad = (present < expected).any(axis=1) | (present.sum(axis=1) == 0) | (counts < 0).any(axis=1)
        if bad.any():
            row = int(bad.argmax())
            lost = int(present[row].sum()), max(int(expected[row].sum()), 0)
            raise _cut_short(path, name_page(pages[first + row], total), *lost)
        too_large = ((present > 0) & (decoded > np.maximum(_LARGE, _MOST_COMPRESSED * present))).any(axis=1)
        if too_large.any():
            row = int(too_large.argmax())
            raise SourceError(
                f"{path} is damaged: {name_page(pages[first + row], total)} would decode {int(present[row].sum()):,} "
                f"bytes to {format_size(float(decoded.sum()))}. {_AGAIN}"
            )
