"""Zeiss (Xradia) volumes: ``.txm`` has the slices of a reconstruction, ``.txrm`` the projections of a scan.

They are compound files with one stream for each image. The streams and their types are those that the readers of
dxchange (https://github.com/data-exchange/dxchange) know.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.volume import Volume

from .base import VolumeReader
from .compound_file import CompoundFile, Extent, FlawError
from .inputs import Input
from .row_reader import FileVolumeReader, PlainRows, RowReader, is_swapped
from .scattered_rows import ScatteredRows
from .voxel_size import FoundVoxelSize, found_voxel_size, positive, shortest

ENDINGS = (".txm", ".txrm")
_TYPES: dict[int, np.dtype] = {5: np.dtype("<u2"), 10: np.dtype("<f4")}
_FLOAT_DIGITS = 1e-6  # of a voxel size, which is stored as a float of 32 bits
_IMAGE = re.compile(r"imagedata\d+/image(\d+)")
_AGAIN = "Try copying the file again."


def open_txm(source: Input) -> VolumeReader:
    """Open the images of a file as one volume.

    Raises
    ------
    SourceError
        If it is another kind of compound file, damaged, or an image is missing.
    """
    path = source.local_path
    try:
        return _open(path, source.stem)
    except FlawError as exc:
        raise SourceError(f"{path} is cut short or damaged: {exc}. {_AGAIN}") from exc


def _open(path: Path, name: str) -> VolumeReader:
    file = CompoundFile(path)
    if "imageinfo/imagewidth" not in file.sizes:
        raise SourceError(
            f"{path} is a compound file (OLE) without the images of a Zeiss (Xradia) scan. Try another file."
        )
    width, height, number, code = (
        _integer(path, file, f"ImageInfo/{key}") for key in ("ImageWidth", "ImageHeight", "NoOfImages", "DataType")
    )
    if code not in _TYPES:
        raise SourceError(
            f"{path} has voxels of type {code} of Zeiss, where 5 (uint16) and 10 (float32) can be read. Try exporting "
            "it as TIFF."
        )
    dtype = _TYPES[code]
    parts = _images(path, file, number, width * height * dtype.itemsize)
    projections = path.suffix.lower() == ".txrm"
    size = FoundVoxelSize() if projections else _voxel_size(file)
    volume = Volume(
        name=name,
        shape=(number, height, width),
        dtype=dtype.newbyteorder("="),
        format="Zeiss TXRM, one projection a slice" if projections else "Zeiss TXM",
        voxel_size=size.voxel_size,
        unit=size.unit,
        voxel_size_from=size.origin,
        granularity=(1, 1, width),
        notes=("These are projections, not slices of a volume: the first axis is an angle.",) if projections else (),
    )
    return FileVolumeReader(volume, _rows(parts, height, width * dtype.itemsize, dtype), [path])


def _integer(path: Path, file: CompoundFile, name: str) -> int:
    data = file.read(name) if file.sizes.get(name.lower(), 0) == 4 else b""
    value = struct.unpack("<I", data)[0] if data else 0
    if not value:
        raise SourceError(f"{path} is not complete: it does not state {name}. {_AGAIN}")
    return int(value)


def _images(path: Path, file: CompoundFile, number: int, size: int) -> list[list[Extent]]:
    """The parts of each image, in the order of their numbers."""
    names = {int(match[1]): name for name in file.sizes if (match := _IMAGE.fullmatch(name))}
    missing = next((n for n in range(1, number + 1) if n not in names), None)
    if missing is not None:
        raise SourceError(
            f"{path} is not complete: it has {len(names):,} of {number:,} images, and image {missing:,} is missing. "
            "Try copying or reconstructing it again."
        )
    if number == 1:
        raise SourceError(f"{path} has a single image, and a volume has two or more slices. Try a .txm file.")
    wrong = next((n for n in range(1, number + 1) if file.sizes[names[n]] != size), None)
    if wrong is not None:
        raise SourceError(
            f"{path} is damaged: image {wrong:,} of {number:,} has {file.sizes[names[wrong]]:,} bytes, where {size:,} "
            f"are expected. {_AGAIN}"
        )
    return [file.extents(names[n]) for n in range(1, number + 1)]


def _rows(parts: list[list[Extent]], height: int, row_bytes: int, dtype: np.dtype) -> RowReader:
    if any(len(extents) > 1 for extents in parts):
        return ScatteredRows(parts, row_bytes, is_swapped(dtype))
    offsets = np.array([extents[0].offset for extents in parts], np.int64)
    return PlainRows(offsets[:, None], height, row_bytes, is_swapped(dtype))


def _voxel_size(file: CompoundFile) -> FoundVoxelSize:
    """The size of a pixel in micrometers, which is that of a voxel along all axes."""
    if file.sizes.get("imageinfo/pixelsize", 0) != 4:
        return FoundVoxelSize()
    size = positive(struct.unpack("<f", file.read("ImageInfo/PixelSize"))[0])
    if size is None:
        return FoundVoxelSize()
    return found_voxel_size([shortest(size, _FLOAT_DIGITS)] * 3, ["micrometer"] * 3, "Zeiss ImageInfo/PixelSize")
