"""Decodes the pixels of DICOM frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np

from napari_ct_pyramid.sources.base import VolumeReader, Voxels
from napari_ct_pyramid.sources.decoding import JPEG_2000

from .frames import PixelStorage

_JPEG, _LOSSLESS, _LS = "JPEG", "lossless JPEG", "JPEG-LS"
UNCOMPRESSED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
"""Transfer syntaxes of plain pixels: implicit, explicit little-endian, and explicit big-endian."""

CODECS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    # by transfer syntax (PS3.5, annex A): the name of the codec, and its decoder
    "1.2.840.10008.1.2.4.50": (_JPEG, imagecodecs.jpeg8_decode),
    "1.2.840.10008.1.2.4.51": (_JPEG, imagecodecs.jpeg8_decode),
    "1.2.840.10008.1.2.4.57": (_LOSSLESS, imagecodecs.ljpeg_decode),
    "1.2.840.10008.1.2.4.70": (_LOSSLESS, imagecodecs.ljpeg_decode),
    "1.2.840.10008.1.2.4.80": (_LS, imagecodecs.jpegls_decode),
    "1.2.840.10008.1.2.4.81": (_LS, imagecodecs.jpegls_decode),
    "1.2.840.10008.1.2.4.90": (JPEG_2000, imagecodecs.jpeg2k_decode),
    "1.2.840.10008.1.2.4.91": (JPEG_2000, imagecodecs.jpeg2k_decode),
    "1.2.840.10008.1.2.4.201": (JPEG_2000, imagecodecs.jpeg2k_decode),
    "1.2.840.10008.1.2.4.202": (JPEG_2000, imagecodecs.jpeg2k_decode),
    "1.2.840.10008.1.2.4.203": (JPEG_2000, imagecodecs.jpeg2k_decode),
}
RLE = "1.2.840.10008.1.2.5"


def dtype_of(storage: PixelStorage) -> np.dtype:
    """The type of the voxels, in the machine's byte order."""
    kind = "f" if storage.kind == "f" else "i" if storage.signed else "u"
    return np.dtype(f"{kind}{storage.allocated // 8}")


def decoder_of(storage: PixelStorage) -> tuple[str, Callable[[Any], Any]] | None:
    """The name of the codec of compressed frames, and what makes an image of their bytes; None if there is none."""
    dtype = dtype_of(storage)
    shape = storage.rows, storage.columns
    if storage.syntax == RLE:

        def decode_rle(data: Any) -> Voxels:
            decoded = imagecodecs.dicomrle_decode(data, dtype=dtype.newbyteorder("<"))
            voxels = np.frombuffer(decoded, dtype.newbyteorder("<"), shape[0] * shape[1])
            return without_unused_bits(voxels.reshape(shape).astype(dtype, copy=False), storage)

        return "RLE", decode_rle
    if storage.syntax not in CODECS:
        return None
    name, codec = CODECS[storage.syntax]

    def decode(data: Any) -> Voxels:
        image = np.asarray(codec(data))
        if image.dtype.kind == "u":  # most codecs know no signed values: the bits are right
            image = image.astype(f"u{dtype.itemsize}", copy=False).view(dtype)
            return without_unused_bits(image, storage)
        return image.astype(dtype, copy=False)

    return name, decode


def without_unused_bits(voxels: Voxels, storage: PixelStorage) -> Voxels:
    """Clear the bits above those that are stored, which may hold anything; negative values keep their sign."""
    unused = storage.allocated - storage.stored
    if unused:
        voxels = voxels if voxels.flags.writeable else voxels.copy()
        np.left_shift(voxels, unused, out=voxels)
        np.right_shift(voxels, unused, out=voxels)
    return voxels


class StoredBits:
    """A volume of plain pixels of which only some bits are used.

    Parameters
    ----------
    source : VolumeReader
        Reads all bits.
    storage : PixelStorage
    """

    def __init__(self, source: VolumeReader, storage: PixelStorage) -> None:
        self.volume = source.volume
        self._source, self._storage = source, storage

    @property
    def paths(self) -> Any:
        return self._source.paths

    def read(self, start: Any, out: Voxels) -> None:
        self._source.read(start, out)
        without_unused_bits(out, self._storage)

    def close(self) -> None:
        self._source.close()
