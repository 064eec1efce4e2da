"""MetaImage files (.mhd with its data beside it, and .mha): https://itk.org/Wiki/ITK/MetaIO/Documentation."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from napari_ct_pyramid.calibration import read_calibration
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
_SLOPE, _INTERCEPT = "ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset"
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
        calibration=read_calibration({"slope": header.get(_SLOPE), "intercept": header.get(_INTERCEPT, 0)}),
    )
    return _open_data(source, header, listed, end, sizes, volume, dtype, part.index)


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
    source: Input,
    header: dict[str, str],
    listed: list[str],
    end: int,
    sizes: list[int],
    volume: Volume,
    dtype: np.dtype,
    index: int,
) -> VolumeReader:
    path = source.local_path
    count = math.prod(sizes[3:])  # of volumes
    volume_bytes = math.prod(volume.shape) * dtype.itemsize
    skip = integers(path, "HeaderSize", header.get("HeaderSize", "0"), 1)[0]
    compressed = _is_true(header.get("CompressedData", "False"))
    if skip < -1 or (compressed and skip == -1):
        raise bad_header(path, f"has HeaderSize = {skip}{', and its voxels are compressed' * compressed}")
    name = header[_LAST]
    parts = _parts(path, name, listed, sizes)
    if parts:
        if compressed:
            raise compressed_slices(path)
        of_volume = len(parts) // count
        found = [
            linked_file(source, Path(part), f"a part of its volume (its {_LAST})")
            for part in parts[index * of_volume : (index + 1) * of_volume]
        ]
        raw = [
            RawFile(file, _offset(file, skip, volume_bytes // of_volume), volume.shape[0] // of_volume)
            for file in found
        ]
        return open_raw_rows(volume, dtype, raw, [path])
    if name.upper() == "LOCAL":
        if 0 < skip < end:
            raise bad_header(path, f"has HeaderSize = {skip}, and {end} bytes")
        file, headers, skip = path, [], skip or end
    else:
        file, headers = linked_file(source, Path(name), f"its {_LAST}"), [path]
    if compressed:
        return open_voxels(volume, dtype, file, 0, index=index, deflated_at=skip, headers=headers)
    return open_voxels(volume, dtype, file, _offset(file, skip, count * volume_bytes), index=index, headers=headers)


def _offset(file: Path, skip: int, size: int) -> int:
    """Where the voxels begin: at HeaderSize or, if that is -1, where they end with the file."""
    return file.stat().st_size - size if skip == -1 else skip


def _parts(path: Path, text: str, listed: list[str], sizes: list[int]) -> list[str]:
    """The files that hold a part of the voxels each; empty if one file holds them all.

    A part is one step along the last axis, unless a list states how many axes a part has.
    """
    axes = len(sizes) - 1
    words = text.split()
    if words[:1] and words[0].upper() == "LIST":
        names = listed
        if len(words) > 1:
            axes = integers(path, _LAST, " ".join(words[1:]), 1)[0]
    elif NUMBERED.fullmatch(text):
        given: list[int] = []  # first, last, step
        while len(given) < 3 and words[-1].isdecimal():
            given.insert(0, int(words.pop()))
        pattern = " ".join(words)
        first = given[0] if given else 1
        last = given[1] if len(given) > 1 else first + sizes[-1] - 1
        step = given[2] if len(given) > 2 else 1
        numbers = range(first, last + 1, step) if step else range(0)
        names = [pattern % number for number in numbers[: sizes[-1] + 1]]
    else:
        return []
    needed = math.prod(sizes[axes:])
    what = {2: "slices", 3: "volumes"}.get(axes)
    if what is None or len(names) != needed:
        why = f"{len(names)} files for {needed} {what}" if what else f"files of {axes} axes"
        raise bad_header(path, f"has {_LAST} = {text[:60]!r}, which names {why}")
    return names
