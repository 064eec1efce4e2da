"""MetaImage files (.mhd with its data beside it, and .mha): https://itk.org/Wiki/ITK/MetaIO/Documentation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import VoxelSize

from .base import VolumeReader, check_dtype
from .header import (
    LONGEST,
    NUMBERED,
    bad_header,
    choose_part,
    compressed_slices,
    floats,
    integers,
    open_voxels,
    placement,
    several_values,
)
from .inputs import Input
from .links import linked_file
from .raw_rows import RawFile, open_raw_rows
from .voxel_size import FoundVoxelSize, found_voxel_size, positive

_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip
_SPACINGS = ("ElementSpacing", "ElementSize")
_ORIGINS = ("Offset", "Position", "Origin")
_MATRICES = ("TransformMatrix", "Rotation", "Orientation")
_ORDERS = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
_LAST = "ElementDataFile"  # the last line of a header


def open_metaimage(source: Input) -> VolumeReader:
    """Open a MetaImage: uncompressed in one or several files, or compressed in one.

    Raises
    ------
    SourceError
        If it is not a volume, or a file is damaged, missing or elsewhere.
    """
    path = source.local_path
    header, listed, end = _read_header(path)
    if header.get("ObjectType", "Image") != "Image":
        raise SourceError(f"{path} is a MetaIO file of type {header['ObjectType']}, not an image. Try another file.")
    if "DimSize" not in header:
        raise bad_header(path, "has no DimSize")
    sizes = integers(path, "DimSize", header["DimSize"], len(header["DimSize"].split()))
    part = choose_part(path, sizes, source.options)
    channels = integers(path, "ElementNumberOfChannels", header.get("ElementNumberOfChannels", "1"), 1)[0]
    if channels != 1:
        raise several_values(path, channels)
    dtype = _dtype(path, header)
    size = _voxel_size(path, header, len(sizes))
    translation, notes = _placement(path, header, len(sizes), size.voxel_size)
    if size.voxel_size == (1.0, 1.0, 1.0):
        notes = (*notes, "Its voxel size is 1 mm, which programs also write where they know none.")
    volume = Volume(
        name=source.stem,
        shape=part.shape,
        dtype=check_dtype(path, dtype),
        format="MetaImage",
        voxel_size=size.voxel_size,
        unit=size.unit,
        voxel_size_from=size.origin,
        translation=translation,
        notes=notes,
    )
    return _open_data(source, header, listed, end, volume, dtype, part.index)


def _read_header(path: Path) -> tuple[dict[str, str], list[str], int]:
    """The lines of a header, the files of a list of files, and the position after the header."""
    with path.open("rb") as file:
        text = file.read(LONGEST)
    header: dict[str, str] = {}
    at = 0
    for line in text.splitlines(keepends=True):
        at += len(line)
        key, separator, value = (part.strip() for part in line.decode("utf-8", "replace").partition("="))
        if separator:
            header[key] = value
        if key == _LAST:
            is_list = value.upper().startswith("LIST")
            listed = text[at:].decode("utf-8", "replace").splitlines() if is_list else []
            return header, [name.strip() for name in listed if name.strip()], at
    raise bad_header(path, f"has no {_LAST}, which ends it")


def _dtype(path: Path, header: dict[str, str]) -> np.dtype:
    name = header.get("ElementType", "")
    if name not in _TYPES:
        raise bad_header(path, f"has the ElementType {name[:40]!r}, which is not known")
    if not _is_true(header.get("BinaryData", "True")):
        raise SourceError(f"The voxels of {path} are written as text. Try saving them as binary data.")
    big = any(_is_true(header.get(key, "False")) for key in _ORDERS)
    return np.dtype(_TYPES[name]).newbyteorder(">" if big else "<")


def _is_true(text: str) -> bool:
    return text[:1].upper() in ("T", "1", "Y")


def _first(header: dict[str, str], keys: tuple[str, ...]) -> tuple[str, str] | None:
    return next(((key, header[key]) for key in keys if key in header), None)


def _voxel_size(path: Path, header: dict[str, str], axes: int) -> FoundVoxelSize:
    found = _first(header, _SPACINGS)
    if not found:
        return FoundVoxelSize()
    x, y, z = (positive(value) for value in floats(path, *found, axes)[:3])
    return found_voxel_size((z, y, x), ["millimeter"] * 3, f"MetaImage {found[0]}")


def _placement(
    path: Path, header: dict[str, str], axes: int, size: VoxelSize | None
) -> tuple[VoxelSize, tuple[str, ...]]:
    found = _first(header, _ORIGINS)
    origin = floats(path, *found, axes) if found else [0.0] * axes
    matrix = np.eye(axes)
    if found := _first(header, _MATRICES):
        matrix = np.reshape(floats(path, *found, axes * axes), (axes, axes))
    return placement(matrix[:3, :3].tolist(), origin[:3], size)


def _open_data(
    source: Input, header: dict[str, str], listed: list[str], end: int, volume: Volume, dtype: np.dtype, index: int
) -> VolumeReader:
    path = source.local_path
    slice_bytes = math.prod(volume.shape[1:]) * dtype.itemsize
    skip = integers(path, "HeaderSize", header.get("HeaderSize", "0"), 1)[0]
    compressed = _is_true(header.get("CompressedData", "False"))
    name = header[_LAST]
    names = list(_slice_names(path, name, listed, volume.shape[0]))
    if names:
        if compressed:
            raise compressed_slices(path)
        files = [linked_file(source, Path(name), f"a slice (its {_LAST})") for name in names]
        offsets = [_offset(file, skip, slice_bytes) for file in files]
        raw = [RawFile(file, offset, 1) for file, offset in zip(files, offsets, strict=True)]
        return open_raw_rows(volume, dtype, raw, [path])
    local = name.upper() == "LOCAL"
    file = path if local else linked_file(source, Path(name), f"its {_LAST}")
    offset = end if local else _offset(file, skip, volume.shape[0] * slice_bytes)
    headers = () if local else (path,)
    if compressed:
        return open_voxels(volume, dtype, file, 0, index=index, deflated_at=offset, headers=headers)
    return open_voxels(volume, dtype, file, offset, index=index, headers=headers)


def _offset(file: Path, skip: int, size: int) -> int:
    """Where the voxels begin: HeaderSize, or at the end of the file."""
    return file.stat().st_size - size if skip == -1 else skip


def _slice_names(path: Path, text: str, listed: list[str], depth: int) -> Iterator[str]:
    """The names of the files of the slices, if each slice is in its own file."""
    words = text.split()
    if words[:1] and words[0].upper() == "LIST":
        if words[1:] not in ([], ["2"]) or len(listed) != depth:
            raise bad_header(path, f"lists {len(listed)} files for {depth} slices")
        yield from listed
    elif NUMBERED.fullmatch(text):
        *pattern, low, high, step = words if len(words) > 3 else [*words[:1], "1", str(depth), "1"]
        numbers = integers(path, _LAST, f"{low} {high} {step}", 3)
        if numbers[2] < 1 or len(range(numbers[0], numbers[1] + 1, numbers[2])) != depth:
            raise bad_header(path, f"has {_LAST} = {text[:60]!r}, which does not name {depth} slices")
        for number in range(numbers[0], numbers[1] + 1, numbers[2]):
            yield " ".join(pattern) % number
