"""Scanco files, written from the published layouts. (ITK, which writes them too, is too large for the tests.)"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

Triple = tuple[float, float, float]
AIM_TYPES = {"int8": 0x00010001, "uint8": 0x00160001, "int16": 0x00020002, "uint16": 0x00170002, "int32": 0x00030004}


def vax_float(value: float) -> bytes:
    (bits,) = struct.unpack("<I", struct.pack("<f", value * 4))
    return struct.pack("<HH", bits >> 16, bits & 0xFFFF)


def vax_double(value: float) -> bytes:
    (bits,) = struct.unpack("<Q", struct.pack("<d", value * 4))
    return struct.pack("<4H", *(bits >> shift & 0xFFFF for shift in (48, 32, 16, 0)))


def write_isq(
    path: Path,
    volume: np.ndarray,
    sizes: Triple = (60.7, 60.7, 60.7),
    *,
    mu_scaling: int = 8192,
    density: tuple[float, float, str] | None = None,
    kind: int = 3,
) -> Path:
    """An ISQ of int16. Voxel sizes (z, y, x) are in micrometers."""
    calibration = bytearray(1024)
    extended = bytearray(512)
    if density:
        extended[8:24] = b"Calibration     "
        extended[24:28] = struct.pack("<i", 2)
        calibration[28:92] = b"70 kVp, 0.5 Al".ljust(64)
        calibration[632:636] = struct.pack("<i", 1)
        calibration[648:664] = density[2].encode().ljust(16)
        calibration[664:680] = vax_double(density[0]) + vax_double(density[1])
    more = bytes(extended + calibration) if density else b""
    z, y, x = volume.shape
    lengths = [round(size * n) for size, n in zip(reversed(sizes), (x, y, z), strict=True)]
    header = bytearray(512)
    header[:16] = b"CTDATA-HEADER_V1"
    struct.pack_into("<5i", header, 16, kind, 512 + len(more) + volume.nbytes, 0, 1, 2)
    struct.pack_into("<6i", header, 44, x, y, z, *lengths)
    struct.pack_into(
        "<6i", header, 68, int(sizes[0]), int(sizes[0]), 0, int(volume.min()), int(volume.max()), mu_scaling
    )
    struct.pack_into("<i", header, 508, len(more) // 512)
    path.write_bytes(bytes(header) + more + volume.astype("<i2").tobytes())
    return path


def write_aim(
    path: Path,
    volume: np.ndarray,
    version: str = "020",
    sizes: Triple = (0.0607, 0.0607, 0.0607),
    *,
    position: tuple[int, int, int] = (0, 0, 0),
    log: dict[str, Any] | None = None,
    code: int | None = None,
) -> Path:
    """An AIM. Voxel sizes (z, y, x) are in millimeters, the position is in voxels."""
    lines = ["! Processing Log", "!" + "-" * 70, f"{'Created by':30}ISQ_TO_AIM (IPL)"]
    lines += [f"{key:30}  {value}    " for key, value in (log or {}).items()]
    text = ("\n".join(lines) + "\n").encode()
    shape = volume.shape[::-1]
    number = AIM_TYPES[volume.dtype.name] if code is None else code
    triples = [*position[::-1], *shape, *[0] * 15]
    if version == "030":
        nanometers = [round(size * 1e6) for size in reversed(sizes)]
        own = struct.pack("<4i24q16x", 0, 0, 0, number, *triples, *nanometers)
        before = b"AIMDATA_V030   \0" + struct.pack("<5q", 40, len(own), len(text), volume.nbytes, 0)
    else:
        own = struct.pack("<6i21i", 16, 0, 0, 0, 0, number, *triples)
        own += b"".join(vax_float(size) for size in reversed(sizes)) + bytes(20)
        before = struct.pack("<5i", 20, len(own), len(text), volume.nbytes, 0)
    path.write_bytes(before + own + text + volume.astype(volume.dtype.newbyteorder("<")).tobytes())
    return path
