"""Scanco volumes: ``.isq``, and ``.aim`` of versions 020 and 030. All numbers are little-endian.

The layouts are those of ITK's reader (https://github.com/KitwareMedical/ITKIOScanco). The headers come from OpenVMS:
their floats are those of a VAX.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from napari_ct_pyramid.calibration import Calibration
from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.formatting import times
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import Triple, VoxelSize

from .base import VolumeReader
from .inputs import Input
from .raw_rows import RawFile, open_raw_rows
from .recognize import AIM_030, ISQ
from .voxel_size import found_voxel_size, positive, shortest

_BLOCK = 512
_MOST_HEADER = 100_000_000  # bytes; a processing log may be long
_FLOAT_DIGITS = 1e-6  # of a voxel size, which is stored as a float of 32 bits
_AIM_TYPES: dict[int, np.dtype] = {
    0x00010001: np.dtype("i1"), 0x00160001: np.dtype("u1"), 0x000D0001: np.dtype("u1"),
    0x00020002: np.dtype("<i2"), 0x00170002: np.dtype("<u2"), 0x00030004: np.dtype("<i4"),
}  # fmt: skip
_AIM_OTHERS = {
    0x00150001: "compressed bits", 0x00060001: "packed bits", 0x00080002: "compressed bytes", 0x001A0004: "floats",
}  # fmt: skip
_AGAIN = "Try copying or exporting the file again."


@dataclass(frozen=True)
class _Header:
    """What a header states."""

    kind: str
    shape: Triple
    dtype: np.dtype
    data: int  # position of the voxels
    sizes: list[float | None]  # of a voxel along z, y, x
    unit: str
    origin: str
    first: Triple = (0, 0, 0)  # the position of the first voxel, in voxels
    calibration: tuple[float, float, str] | None = None  # slope, intercept and unit of the grey values


def open_scanco(source: Input) -> VolumeReader:
    """Open an ISQ or AIM volume.

    Raises
    ------
    SourceError
        If it has projections, is of a type that cannot be read, or is cut short.
    """
    path = source.local_path
    with path.open("rb") as file:
        start = file.read(_BLOCK)
        try:
            header = (_read_isq if start.startswith(ISQ) else _read_aim)(path, file, start)
        except struct.error as exc:
            raise SourceError(f"{path} is cut short: its header is not complete. {_AGAIN}") from exc
    if min(header.shape) < 1:
        raise SourceError(f"{path} is damaged: its header states {times(header.shape)} voxels. {_AGAIN}")
    size = found_voxel_size(header.sizes, [header.unit] * 3, header.origin)
    first: VoxelSize = (0.0, 0.0, 0.0)
    if size.voxel_size:
        z, y, x = (number * step for number, step in zip(header.first, size.voxel_size, strict=True))
        first = z, y, x
    volume = Volume(
        name=source.stem,
        shape=header.shape,
        dtype=header.dtype.newbyteorder("="),
        format=header.kind,
        voxel_size=size.voxel_size,
        unit=size.unit,
        voxel_size_from=size.origin,
        translation=first,
        calibration=Calibration(*header.calibration) if header.calibration else None,
    )
    return open_raw_rows(volume, header.dtype, [RawFile(path, header.data, header.shape[0])])


def _read_isq(path: Path, file: IO[bytes], start: bytes) -> _Header:
    kind = struct.unpack_from("<i", start, 16)[0]
    *counts, um_x, um_y, um_z = struct.unpack_from("<6i", start, 44)
    mu_scaling = struct.unpack_from("<i", start, 88)[0]
    blocks = struct.unpack_from("<i", start, 508)[0]
    if kind == 9 or um_z == 0 or path.suffix.lower().startswith((".rsq", ".rad")):
        raise SourceError(f"{path} has projections, not a reconstructed volume. Try the .isq file.")
    data = (blocks + 1) * _BLOCK
    if not _BLOCK <= data <= _MOST_HEADER:
        raise SourceError(f"{path} is damaged: its header states {blocks:,} blocks. {_AGAIN}")
    file.seek(0)
    density = _isq_density(file.read(data))
    lengths = (um_z, um_y, um_x)
    shape = counts[2], counts[1], counts[0]
    return _Header(
        kind="Scanco ISQ",
        shape=shape,
        dtype=np.dtype("<i2"),
        data=data,
        # A length is rounded to micrometers, so that a voxel size has as many digits as that allows.
        sizes=[
            shortest(length / n, 0.5 / length) if length > 0 and n > 0 else None
            for length, n in zip(lengths, shape, strict=True)
        ],
        unit="micrometer",
        origin="Scanco header",
        calibration=_calibration(mu_scaling, *density),
    )


def _isq_density(header: bytes) -> tuple[float, float, str]:
    """Slope, intercept and unit of the density, from the block of the header that is named Calibration."""
    nothing = 0.0, 0.0, ""
    at, block = _BLOCK, 1
    if header[at + 8 : at + 24] == b"MultiHeader     ":
        at, block = at + _BLOCK, block + 1
    for i in range(4):
        entry = header[at + 128 * i : at + 128 * (i + 1)]
        if len(entry) < 28:
            return nothing
        size = struct.unpack_from("<i", entry, 24)[0]
        if entry[8:24] == b"Calibration     ":
            own = header[(1 + block) * _BLOCK : (1 + block + size) * _BLOCK]
            if len(own) < 2 * _BLOCK:
                return nothing
            unit = own[648:664].split(b"\0")[0].decode("latin-1").strip()
            return _vax_double(own[664:672]), _vax_double(own[672:680]), unit
        block += max(size, 0)
    return nothing


def _read_aim(path: Path, file: IO[bytes], start: bytes) -> _Header:
    new = start.startswith(AIM_030)
    integer, at = ("q", 16) if new else ("i", 0)
    before, struct_size, log_size = struct.unpack_from(f"<3{integer}", start, at)
    at += before
    if before != struct.calcsize(f"5{integer}") or min(struct_size, log_size) < 0:
        raise SourceError(f"{path} is damaged: its header has sizes that do not exist. {_AGAIN}")
    data = at + struct_size + log_size
    if data > _MOST_HEADER:
        raise SourceError(f"{path} is damaged: its header states {data:,} bytes of header. {_AGAIN}")
    file.seek(at)
    own = file.read(struct_size)
    log = file.read(log_size).decode("latin-1")
    code = struct.unpack_from("<i", own, 12 if new else 20)[0]
    triples = np.array(struct.unpack_from(f"<21{integer}", own, 16 if new else 24)).reshape(7, 3)[:, ::-1]  # z, y, x
    if code not in _AIM_TYPES:
        name = _AIM_OTHERS.get(code, f"type {code:#010x}")
        raise SourceError(
            f"{path} stores its voxels as {name}, which cannot be read. Try exporting it as short (16 bits)."
        )
    sizes: list[float | None]
    if new:
        nanometers = struct.unpack_from("<3q", own, 16 + 7 * 24)
        sizes = [shortest(n * 1e-6, 1e-12) if n > 0 else None for n in reversed(nanometers)]
    else:
        floats = [_vax_float(own[at : at + 4]) for at in (116, 112, 108)]
        sizes = [shortest(size, _FLOAT_DIGITS) if (size := positive(value)) else None for value in floats]
    position, shape = triples[0], triples[1]
    return _Header(
        kind=f"Scanco AIM, version {'030' if new else '020'}",
        shape=(int(shape[0]), int(shape[1]), int(shape[2])),
        dtype=_AIM_TYPES[code],
        data=data,
        sizes=sizes,
        unit="millimeter",
        origin="Scanco header",
        first=(int(position[0]), int(position[1]), int(position[2])),
        calibration=_aim_calibration(log),
    )


def _aim_calibration(log: str) -> tuple[float, float, str] | None:
    """Slope, intercept and unit, from the processing log: a key, two spaces or more, and a value in each line."""
    values = dict(re.findall(r"^(\S.*?) {2,}(.*?)\s*$", log, re.MULTILINE))

    def number(key: str, parse: Callable[[str], float] = float) -> float:
        try:
            return parse(values.get(key, ""))
        except ValueError:
            return 0.0

    return _calibration(
        number("Mu_Scaling"), number("Density: slope"), number("Density: intercept"), values.get("Density: unit", "")
    )


def _calibration(mu_scaling: float, slope: float, intercept: float, unit: str) -> tuple[float, float, str] | None:
    """What a stored value stands for: the density if it is known, otherwise the attenuation; None if neither is.

    A stored value divided by `mu_scaling` is the attenuation in 1/cm, of which the density is a linear function.
    """
    if not mu_scaling > 0 or not all(map(math.isfinite, (mu_scaling, slope, intercept))):
        return None
    if slope > 0 and unit:
        return slope / mu_scaling, intercept, unit
    return (1 / mu_scaling, 0.0, "1/cm") if mu_scaling > 1 else None


def _vax_float(data: bytes) -> float:
    """A VAX F float: halves in another order than those of IEEE 754, and another bias of the exponent."""
    low, high = struct.unpack("<HH", data)
    return float(struct.unpack("<f", struct.pack("<I", low << 16 | high))[0]) / 4


def _vax_double(data: bytes) -> float:
    """A VAX G float, of 64 bits."""
    words = struct.unpack("<4H", data)
    value = words[0] << 48 | words[1] << 32 | words[2] << 16 | words[3]
    return float(struct.unpack("<d", struct.pack("<Q", value))[0]) / 4
