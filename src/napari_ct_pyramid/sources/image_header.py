"""The headers of image files that hold one slice: PNG, BMP, JPEG and JPEG 2000.

A folder may have thousands of slices, so only as much is read as states the size and the type, and whether the file
is complete. Sources: PNG (https://www.w3.org/TR/png-3/), BMP (BITMAPINFOHEADER), JPEG (ITU-T T.81, annex B) and
JPEG 2000 (ITU-T T.800, annexes A and I).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from .decoding import JPEG_2000

_TAIL = 1024  # bytes in which the mark of the end must be: some programs append a few more


class HeaderError(Exception):
    """The file is not an image that can be a slice. The text says why: ``has colours``."""


@dataclass(frozen=True)
class ImageHeader:
    """What the slices of a volume must have in common.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns.
    dtype : numpy.dtype
    coding : str
        How voxels are stored, if not all images of this kind store them alike.
    """

    shape: tuple[int, int]
    dtype: np.dtype
    coding: str = ""


@dataclass(frozen=True)
class ImageKind:
    """A kind of image file.

    Attributes
    ----------
    name : str
    endings : tuple of str
        Of the names of its files.
    compression : str
        Its codec; ``"none"`` for plain voxels.
    parse : callable
        Reads the header of a file of a given size in bytes.
    decode : callable
        Makes the image (y, x) of the bytes of a file.
    """

    name: str
    endings: tuple[str, ...]
    compression: str
    parse: Callable[[IO[bytes], int], ImageHeader]
    decode: Callable[[Any], Any]


DAMAGED = "is cut short or damaged"
_COLOURS = "has colours, where a volume has grey values"


def _take(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise HeaderError(DAMAGED)
    return data


def _check_end(file: IO[bytes], size: int, mark: bytes) -> None:
    """The mark that ends a file must be there: some decoders fill what is missing with grey."""
    file.seek(max(0, size - _TAIL))
    if mark not in file.read(_TAIL):
        raise HeaderError(DAMAGED)


def _header(height: int, width: int, bits: int, signed: bool = False, coding: str = "") -> ImageHeader:
    if not height or not width:
        raise HeaderError(f"has no voxels: {height} × {width} pixels")
    if bits > 32:
        raise HeaderError(f"has {bits} bits in a voxel, which cannot be read")
    size = 1 if bits <= 8 else 2 if bits <= 16 else 4
    return ImageHeader((height, width), np.dtype(f"{'i' if signed else 'u'}{size}"), coding)


def _parse_png(file: IO[bytes], size: int) -> ImageHeader:
    start = _take(file, 33)
    if start[:8] != b"\x89PNG\r\n\x1a\n" or start[12:16] != b"IHDR":
        raise HeaderError("is not a PNG, although its name ends like one")
    width, height, bits, colour = struct.unpack(">IIBB", start[16:26])
    _check_end(file, size, b"IEND")
    if colour == 3 and bits == 8:
        file.seek(33)
        _check_palette(_png_palette(file), 3)
    elif colour not in (0, 4):
        raise HeaderError(_COLOURS)
    elif bits not in (1, 8, 16):
        raise HeaderError(f"has {bits} bits in a pixel, where 1, 8 and 16 can be read")
    return _header(height, width, bits, coding="1 bit" if bits == 1 else "")


def _png_palette(file: IO[bytes]) -> bytes:
    while True:
        length, name = struct.unpack(">I4s", _take(file, 8))
        if name == b"PLTE":
            return _take(file, min(length, 768))
        if name == b"IDAT":
            raise HeaderError(DAMAGED)
        file.seek(length + 4, 1)


def _check_palette(palette: bytes, step: int) -> None:
    """A palette must be the plain grey scale. With any other, the voxels would not be what viewers show."""
    colours = np.frombuffer(palette, np.uint8).reshape(-1, step)[:, :3]
    if (colours != np.arange(len(colours))[:, None]).any():
        raise HeaderError("has a palette that is not the plain grey scale")


def _decode_png(data: Any) -> Any:
    import imagecodecs

    image = imagecodecs.png_decode(data)
    return image if image.ndim == 2 else image[..., 0]  # of a palette, or with transparency


@dataclass(frozen=True)
class _Bitmap:
    """Where a BMP stores its rows."""

    width: int
    height: int
    bits: int
    at: int
    upwards: bool
    palette: bytes

    @property
    def row_bytes(self) -> int:
        return (self.width * self.bits + 31) // 32 * 4


def _bitmap(start: bytes) -> _Bitmap:
    if start[:2] != b"BM":
        raise HeaderError("is not a BMP, although its name ends like one")
    if len(start) < 54:
        raise HeaderError(DAMAGED)
    at, header = struct.unpack("<II", start[10:18])
    if header < 40:
        raise HeaderError("is a BMP of OS/2, which cannot be read")
    width, height, _, bits, compression = struct.unpack("<iiHHI", start[18:34])
    if compression:
        raise HeaderError("is compressed, which cannot be read")
    if bits not in (1, 8):
        raise HeaderError(
            _COLOURS if bits in (16, 24, 32) else f"has {bits} bits in a pixel, where 1 and 8 can be read"
        )
    colours = struct.unpack("<I", start[46:50])[0] or 2**bits
    palette = start[14 + header : 14 + header + 4 * min(colours, 2**bits)]
    if width <= 0 or height == 0 or len(palette) % 4 or not palette:
        raise HeaderError(DAMAGED)
    return _Bitmap(width, abs(height), bits, at, height > 0, palette)


def _parse_bmp(file: IO[bytes], size: int) -> ImageHeader:
    bitmap = _bitmap(file.read(2048))
    if bitmap.bits == 8:
        _check_palette(bitmap.palette, 4)
    else:
        _white(bitmap)
    if size < bitmap.at + bitmap.row_bytes * bitmap.height:
        raise HeaderError(DAMAGED)
    return _header(bitmap.height, bitmap.width, 8, coding="1 bit" if bitmap.bits == 1 else "")


def _white(bitmap: _Bitmap) -> int:
    """Which of its two colours is white; the other one must be black."""
    colours = [bitmap.palette[at : at + 3] for at in range(0, len(bitmap.palette), 4)]
    black_and_white = [b"\0\0\0", b"\xff\xff\xff"]
    if sorted(colours) != black_and_white:
        raise HeaderError("has a palette that is not black and white")
    return colours.index(black_and_white[1])


def _decode_bmp(data: Any) -> Any:
    bitmap = _bitmap(bytes(data[:2048]))
    stored = np.frombuffer(data, np.uint8, bitmap.row_bytes * bitmap.height, bitmap.at)
    rows = stored.reshape(bitmap.height, bitmap.row_bytes)[:: -1 if bitmap.upwards else 1]
    if bitmap.bits == 8:
        return rows[:, : bitmap.width]
    bits = np.unpackbits(rows, axis=1)[:, : bitmap.width]
    return (bits == _white(bitmap)) * np.uint8(255)


def _parse_jpeg(file: IO[bytes], size: int) -> ImageHeader:
    if _take(file, 2) != b"\xff\xd8":
        raise HeaderError("is not a JPEG, although its name ends like one")
    while True:
        marker = _take(file, 2)
        while marker[1] == 0xFF:  # padding
            marker = marker[1:] + _take(file, 1)
        if marker[0] != 0xFF or marker[1] in (0xD9, 0xDA):
            raise HeaderError(DAMAGED)
        length = struct.unpack(">H", _take(file, 2))[0]
        if 0xC0 <= marker[1] <= 0xCF and marker[1] not in (0xC4, 0xC8, 0xCC):
            break
        file.seek(length - 2, 1)
    bits, height, width, samples = struct.unpack(">BHHB", _take(file, 6))
    if samples != 1:
        raise HeaderError(_COLOURS)
    _check_end(file, size, b"\xff\xd9")
    return _header(height, width, bits, coding=f"{bits} bits")


def _decode_jpeg(data: Any) -> Any:
    import imagecodecs

    return imagecodecs.jpeg8_decode(data)


def _parse_jpeg2000(file: IO[bytes], size: int) -> ImageHeader:
    _find_codestream(file)
    if _take(file, 4) != b"\xff\x4f\xff\x51":
        raise HeaderError("is not a JPEG 2000 image, although its name ends like one")
    _, _, right, bottom, left, top, *_, samples = struct.unpack(">HHIIIIIIIIH", _take(file, 38))
    depth, across, down = _take(file, 3)
    if samples != 1:
        raise HeaderError(_COLOURS)
    if (across, down) != (1, 1) or right <= left or bottom <= top:
        raise HeaderError(DAMAGED)
    _check_end(file, size, b"\xff\xd9")
    bits = (depth & 0x7F) + 1
    return _header(bottom - top, right - left, bits, signed=depth > 0x7F, coding=f"{bits} bits")


def _find_codestream(file: IO[bytes]) -> None:
    """Go to the codestream, which may be in a box of a JP2 file."""
    if _take(file, 12) != b"\0\0\0\x0cjP  \r\n\x87\n":
        file.seek(0)
        return
    while True:
        length, name = struct.unpack(">I4s", _take(file, 8))
        before = 8
        if length == 1:
            length, before = struct.unpack(">Q", _take(file, 8))[0], 16
        if name == b"jp2c":
            return
        if name == b"jp2h" and b"pclr" in _take(file, max(0, length - before)):
            raise HeaderError("has a palette, where a volume has grey values")
        if length < before:
            raise HeaderError(DAMAGED)
        if name != b"jp2h":
            file.seek(length - before, 1)


def _decode_jpeg2000(data: Any) -> Any:
    import imagecodecs

    return imagecodecs.jpeg2k_decode(data)


IMAGE_KINDS = (
    ImageKind("PNG", (".png",), "Deflate", _parse_png, _decode_png),
    ImageKind("BMP", (".bmp",), "none", _parse_bmp, _decode_bmp),
    ImageKind("JPEG 2000", (".jp2", ".j2k", ".jpx", ".j2c"), JPEG_2000, _parse_jpeg2000, _decode_jpeg2000),
    ImageKind("JPEG", (".jpg", ".jpeg"), "JPEG", _parse_jpeg, _decode_jpeg),
)
"""The kinds of images, besides TIFF, that a folder of slices may have."""
