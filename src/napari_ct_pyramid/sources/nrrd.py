"""NRRD files (.nrrd, and .nhdr with its data beside it): https://teem.sourceforge.net/nrrd/format.html."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nrrd
import numpy as np

from napari_ct_pyramid.calibration import Calibration, parse_calibration
from napari_ct_pyramid.errors import RequestError, SourceError
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import VoxelSize
from napari_ct_pyramid.units import find_unit

from .base import VolumeReader, check_dtype
from .header import (
    LONGEST,
    NUMBERED,
    Part,
    bad_header,
    choose_part,
    compressed_slices,
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
    "i1": "signed char, int8, int8_t",
    "u1": "uchar, unsigned char, uint8, uint8_t",
    "i2": "short, short int, signed short, signed short int, int16, int16_t",
    "u2": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    "i4": "int, signed int, int32, int32_t",
    "u4": "uint, unsigned int, uint32, uint32_t",
    "i8": "longlong, long long, long long int, signed long long, signed long long int, int64, int64_t",
    "u8": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
    "f4": "float",
    "f8": "double",
}
_DTYPES = {name: dtype for dtype, names in _TYPES.items() for name in names.split(", ")}
_ORDERS = {"little": "<", "big": ">"}
_GZIP = ("gzip", "gz")
_ALONG_SPACE = ("domain", "space", "???", "none")
_DATA_FILE = re.compile(rb"data ?file: *(.*?)\s*$", re.IGNORECASE)


def open_nrrd(source: Input) -> VolumeReader:
    """Open an NRRD volume: uncompressed in one or several files, or compressed with gzip in one.

    Raises
    ------
    SourceError
        If it is not a volume, or a file is damaged, missing or elsewhere.
    """
    path = source.local_path
    header, listed, end = _read_header(path)
    missing = [field for field in ("type", "dimension", "sizes", "encoding") if field not in header]
    if missing:
        raise bad_header(path, f"has no {missing[0]!r}")
    encoding = str(header["encoding"]).lower()
    if encoding not in ("raw", *_GZIP):
        raise SourceError(
            f"The voxels of {path} are encoded as {encoding[:40]}, and only raw and gzip can be read. Try saving it as "
            "one of these."
        )
    dtype = _dtype(path, header)
    sizes = [int(size) for size in header["sizes"]]
    if len(sizes) != header["dimension"]:
        raise bad_header(path, f"has {len(sizes)} sizes for {header['dimension']} axes")
    values = _values_first(path, header, sizes)
    part = choose_part(path, sizes[values:], source.options)
    axes = slice(values, values + 3)
    size = _voxel_size(header, axes)
    translation, notes = _placement(header, axes, size.voxel_size)
    volume = Volume(
        name=source.stem,
        shape=part.shape,
        dtype=check_dtype(path, dtype),
        format="NRRD",
        voxel_size=size.voxel_size,
        unit=size.unit,
        voxel_size_from=size.origin,
        translation=translation,
        notes=notes,
        calibration=_calibration(header),
    )
    return _open_data(source, header, listed, end, volume, dtype, part)


def _read_header(path: Path) -> tuple[dict[str, Any], list[str], int]:
    """The fields, the files of a list of files, and the position after the header."""
    with path.open("rb") as file:
        text = file.read(LONGEST)
    lines: list[bytes] = []
    listed: list[str] | None = None
    at = 0
    for line in text.splitlines(keepends=True):
        at += len(line)
        if not line.strip():
            break
        if listed is not None:  # the names of files are the last lines of a header
            listed.append(line.decode("utf-8", "replace").strip())
            continue
        lines.append(line)
        found = _DATA_FILE.match(line)
        if found and found[1].upper().startswith(b"LIST"):
            listed = []
    else:
        if not any(_DATA_FILE.match(line) for line in lines):
            raise bad_header(path, "does not end")
    return dict(nrrd.read_header(lines)), listed or [], at


def _dtype(path: Path, header: dict[str, Any]) -> np.dtype:
    code = _DTYPES.get(header["type"])
    if code is None:
        raise bad_header(path, f"has the type {header['type'][:40]!r}, which is not known")
    dtype = np.dtype(code)
    if dtype.itemsize == 1:
        return dtype
    order = _ORDERS.get(str(header.get("endian", "")).lower())
    if order is None:
        raise bad_header(path, "does not state the byte order of its voxels ('endian')")
    return np.dtype(order + code)


def _values_first(path: Path, header: dict[str, Any], sizes: Sequence[int]) -> int:
    """1 if the fastest axis is not one of space, and has one value for each voxel; otherwise 0."""
    kind = str((header.get("kinds") or ["domain"])[0]).lower()
    directions = header.get("space directions")
    beside = directions is not None and len(directions) == len(sizes) and not np.isfinite(directions[0]).any()
    if kind in _ALONG_SPACE and not beside:
        return 0
    if sizes[0] != 1:
        raise several_values(path, sizes[0])
    return 1


def _voxel_size(header: dict[str, Any], axes: slice) -> FoundVoxelSize:
    directions = header.get("space directions")
    if directions is not None:
        lengths = np.linalg.norm(np.asarray(directions, float)[axes], axis=1)
        x, y, z = (positive(length) for length in lengths)
        units = {find_unit(unit) for unit in header.get("space units", [])}
        return found_voxel_size((z, y, x), [units.pop() if len(units) == 1 else None] * 3, "NRRD space directions")
    spacings = list(header.get("spacings", []))[axes]
    if len(spacings) != 3:
        return FoundVoxelSize()
    names = [*header.get("units", []), *[""] * 4][axes]
    x, y, z = (positive(spacing) for spacing in spacings)
    return found_voxel_size((z, y, x), [find_unit(name) for name in reversed(names)], "NRRD spacings")


def _placement(header: dict[str, Any], axes: slice, size: VoxelSize | None) -> tuple[VoxelSize, tuple[str, ...]]:
    directions = header.get("space directions")
    if directions is None:
        return (0.0, 0.0, 0.0), ()
    origin = [float(value) for value in header.get("space origin", [0, 0, 0])]
    if len(origin) != 3:
        return (0.0, 0.0, 0.0), ()
    return placement(np.asarray(directions, float)[axes].tolist(), origin, size)


def _calibration(header: dict[str, Any]) -> Calibration | None:
    """What an export of this package states in a key of its own."""
    try:
        return parse_calibration(header.get("calibration"))
    except RequestError:
        return None


def _open_data(
    source: Input, header: dict[str, Any], listed: list[str], end: int, volume: Volume, dtype: np.dtype, part: Part
) -> VolumeReader:
    path = source.local_path
    is_raw = str(header["encoding"]).lower() == "raw"
    line_skip = int(header.get("line skip", header.get("lineskip", 0)))
    byte_skip = int(header.get("byte skip", header.get("byteskip", 0)))
    if line_skip < 0 or byte_skip < -1 or (byte_skip == -1 and not is_raw):
        raise bad_header(path, f"has a line skip of {line_skip} and a byte skip of {byte_skip}")
    name = header.get("data file", header.get("datafile"))
    names = _slice_names(path, header, str(name or ""), listed, volume.shape[0])
    if names:
        if not is_raw:
            raise compressed_slices(path)
        size = math.prod(volume.shape[1:]) * dtype.itemsize
        files = [linked_file(source, Path(name), "a slice (its data file)") for name in names]
        return open_raw_rows(
            volume, dtype, [RawFile(file, _offset(file, 0, line_skip, byte_skip, size), 1) for file in files], [path]
        )
    file = path if name is None else linked_file(source, Path(name), "its data file")
    headers = () if name is None else (path,)
    begin = end if name is None else 0
    if is_raw:
        volumes = math.prod(int(size) for size in header["sizes"])
        offset = _offset(file, begin, line_skip, byte_skip, volumes * dtype.itemsize)
        return open_voxels(volume, dtype, file, offset, index=part.index, headers=headers)
    position = _offset(file, begin, line_skip, 0, 0)
    return open_voxels(volume, dtype, file, byte_skip, index=part.index, deflated_at=position, headers=headers)


def _offset(file: Path, begin: int, line_skip: int, byte_skip: int, size: int) -> int:
    """Where the voxels begin: after some lines and bytes, or at the end of the file."""
    if byte_skip == -1:
        return file.stat().st_size - size
    if line_skip:
        with file.open("rb") as lines:
            lines.seek(begin)
            for _ in range(line_skip):
                if not lines.readline(LONGEST):
                    break
            begin = lines.tell()
    return begin + byte_skip


def _slice_names(path: Path, header: dict[str, Any], text: str, listed: list[str], depth: int) -> list[str]:
    """The names of the files of the slices, if each slice is in its own file."""
    words = text.split()
    if words[:1] and words[0].upper() == "LIST":
        names, rest = listed, words[1:]
    elif len(words) in (4, 5) and NUMBERED.fullmatch(words[0]):
        low, high, step = integers(path, "data file", " ".join(words[1:4]), 3)
        if not step:
            raise bad_header(path, "has a data file with a step of 0")
        numbers = range(low, high + (1 if step > 0 else -1), step)
        names, rest = [words[0] % number for number in numbers[: depth + 1]], words[4:]
    else:
        return []
    if rest not in ([], ["2"]) or header["dimension"] != 3 or len(names) != depth:
        raise bad_header(path, f"names {len(names)} data files for {depth} slices")
    return names
