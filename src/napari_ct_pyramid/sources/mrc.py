"""MRC and CCP4 files (.mrc, .rec, .map): https://www.ccpem.ac.uk/mrc-format/mrc2014/."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
from mrcfile import utils
from mrcfile.dtypes import HEADER_DTYPE

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import VoxelSize

from .base import VolumeReader, check_dtype
from .header import bad_header, choose_part, from_single, open_voxels
from .inputs import Input
from .views import Transposed
from .voxel_size import FoundVoxelSize, found_voxel_size, positive

_HEADER_BYTES = 1024
_AXES = {1: "x", 2: "y", 3: "z"}
_IMOD = 1146047817  # the stamp of files by IMOD: https://bio3d.colorado.edu/imod/doc/mrc_format.txt
_IMOD_AT = 152
_SIGNED_BYTES = 1
_VOLUME_STACK = range(401, 631)  # space groups of files with several volumes


def open_mrc(source: Input) -> VolumeReader:
    """Open an MRC or CCP4 volume.

    Raises
    ------
    SourceError
        If it is not a volume, or the file is damaged.
    """
    path = source.local_path
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    if len(head) < _HEADER_BYTES:
        raise bad_header(path, "ends early")
    order, header = _parse(path, head)
    dtype = _dtype(path, header, order, head)
    columns, rows, sections = (int(header[name]) for name in ("nx", "ny", "nz"))
    if int(header["ispg"]) in _VOLUME_STACK and 0 < int(header["mz"]) < sections:
        raise SourceError(
            f"{path} holds {sections // int(header['mz'])} volumes of {int(header['mz'])} slices. Try saving one of "
            "them on its own."
        )
    part = choose_part(path, (columns, rows, sections), source.options)
    axes = _axes(path, header)
    size = _voxel_size(header)
    translation, notes = _placement(header, axes, size.voxel_size, imod=_imod_flags(head, order) is not None)
    volume = Volume(
        name=source.stem,
        shape=part.shape,
        dtype=check_dtype(path, dtype),
        format="MRC",
        voxel_size=_in_file_order(size.voxel_size, axes),
        unit=size.unit,
        voxel_size_from=size.origin,
        translation=_in_file_order(translation, axes) or (0.0, 0.0, 0.0),
        notes=notes,
    )
    extended = int(header["nsymbt"])
    if extended < 0:
        raise bad_header(path, f"has an extended header of {extended} bytes")
    reader = open_voxels(volume, dtype, path, _HEADER_BYTES + extended)
    return reader if axes == "zyx" else Transposed(reader, axes)


def _parse(path: Path, head: bytes) -> tuple[str, Any]:
    """The byte order, and the fields. Some programs write no machine stamp, or a wrong one: mode and sizes decide."""
    try:
        order = utils.byte_order_from_machine_stamp(np.frombuffer(head, HEADER_DTYPE)[0]["machst"])
    except ValueError:
        order = "<"
    both = [
        (order, np.frombuffer(head, HEADER_DTYPE.newbyteorder(order))[0]) for order in dict.fromkeys([order, *"<>"])
    ]
    valid = [(order, header) for order, header in both if 0 <= int(header["mode"]) < 128]
    if not valid:
        raise bad_header(path, "has no valid mode in either byte order")
    size = path.stat().st_size
    return next(((order, header) for order, header in valid if _fits(header, size)), valid[0])


def _fits(header: Any, size: int) -> bool:
    """Whether a file of this size can hold so many voxels. In the wrong byte order, sizes are in the millions."""
    sizes = [int(header[name]) for name in ("nx", "ny", "nz")]
    return min(sizes) > 0 and math.prod(sizes) <= size


def _dtype(path: Path, header: Any, order: str, head: bytes) -> np.dtype:
    mode = int(header["mode"])
    try:
        dtype = np.dtype(f"{order}{np.dtype(utils.dtype_from_mode(mode)).str[1:]}")
    except ValueError:
        raise SourceError(
            f"{path} has voxels of MRC mode {mode}, which cannot be read. Try saving it as mode 1, 2, 6 or 12."
        ) from None
    flags = _imod_flags(head, order)
    if mode == 0 and flags is not None and not flags & _SIGNED_BYTES:
        return np.dtype("u1")
    return dtype


def _imod_flags(head: bytes, order: str) -> int | None:
    """The flags that IMOD writes; None in a file by another program."""
    stamp, flags = struct.unpack_from(f"{order}ii", head, _IMOD_AT)
    return int(flags) if stamp == _IMOD else None


def _axes(path: Path, header: Any) -> str:
    """The axes of the file, the slowest first: sections, rows, columns."""
    numbers = [int(header[name]) for name in ("maps", "mapr", "mapc")]
    if not any(numbers):
        return "zyx"
    if sorted(numbers) != [1, 2, 3]:
        raise bad_header(path, f"gives its columns, rows and sections the axes {numbers[::-1]}")
    return "".join(_AXES[number] for number in numbers)


def _voxel_size(header: Any) -> FoundVoxelSize:
    """The cell, in angstrom, divided by the grid; unknown if the header does not state both."""
    sizes = [
        positive(float(header["cella"][axis]) / int(header[f"m{axis}"])) if int(header[f"m{axis}"]) > 0 else None
        for axis in "zyx"
    ]
    rounded = [None if size is None else float(f"{size:.7g}") for size in sizes]  # they are of single precision
    return found_voxel_size(rounded, ["angstrom"] * 3, "MRC cell size")


def _placement(header: Any, axes: str, size: VoxelSize | None, *, imod: bool) -> tuple[VoxelSize, tuple[str, ...]]:
    """The origin along z, y, x or, without one, the start of the columns, rows and sections."""
    notes: list[str] = []
    angles = [float(header["cellb"][name]) for name in ("alpha", "beta", "gamma")]
    if any(angle not in (0, 90) for angle in angles):
        notes.append(f"Its cell has angles of {', '.join(f'{angle:g}' for angle in angles)}°: taken for 90°.")
    origin = [from_single(header["origin"][axis]) for axis in "zyx"]
    starts = dict(zip(axes, (int(header[name]) for name in ("nzstart", "nystart", "nxstart")), strict=True))
    if size is None or not all(map(math.isfinite, origin)) or not (any(origin) or any(starts.values())):
        return (0.0, 0.0, 0.0), tuple(notes)
    if imod:
        return (0.0, 0.0, 0.0), (*notes, "Its origin is left out: IMOD means something else by it.")
    if any(origin):
        z, y, x = origin
    else:
        z, y, x = (starts[axis] * step for axis, step in zip("zyx", size, strict=True))
    return (z, y, x), tuple(notes)


def _in_file_order(values: VoxelSize | None, axes: str) -> VoxelSize | None:
    """Values along z, y, x, in the order of the axes of the file."""
    if values is None:
        return None
    first, second, third = (values["zyx".index(axis)] for axis in axes)
    return first, second, third
