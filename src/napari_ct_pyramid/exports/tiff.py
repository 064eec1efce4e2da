"""The headers of TIFF files: tifffile writes all but the voxels, for which it leaves space.

ImageJ's description: https://imagej.net/ij/developer/api/ij/ij/io/FileInfo.html, and what its TiffDecoder reads.
OME-XML: https://docs.openmicroscopy.org/ome-model/
"""

from __future__ import annotations

import math
import mmap
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from napari_ct_pyramid.model.version import __version__
from napari_ct_pyramid.units import UNIT_SYMBOLS

from .facts import Facts

SOFTWARE = "napari-ct-pyramid"
"""How the tag Software of the TIFFs of this package begins."""

_MOST_BYTES = 2**32 - 2**25  # of a TIFF that is not a BigTIFF; the pages take less than the rest
_LARGEST = 2**32 - 1  # of the two numbers of a resolution
_PAGE_BYTES = 400  # of the tags of a page, about


def begin_tiff(path: Path, facts: Facts) -> int:
    """Write a TIFF with one page a slice and without voxels.

    Returns
    -------
    int
        The position of the voxels, which lie one after another.
    """
    return _begin(path, facts, facts.shape, imagej_description(facts))


def begin_slice(path: Path, facts: Facts) -> int:
    """Write a TIFF of one slice without voxels; returns their position."""
    return _begin(path, facts, facts.shape[1:], imagej_description(facts, slices=1))


def begin_ome_tiff(path: Path, facts: Facts) -> int:
    """Write an OME-TIFF without voxels; returns their position."""
    metadata: dict[str, Any] = {"axes": "ZYX", "Name": facts.name}
    if facts.voxel_size:
        symbol = UNIT_SYMBOLS.get(facts.unit or "", "reference frame")  # of the units in the OME schema
        for axis, size in zip("ZYX", facts.in_unit(facts.unit if facts.unit in UNIT_SYMBOLS else None), strict=True):
            metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": symbol}
    if facts.calibration:
        stated = {name: str(value) for name, value in facts.calibration.to_json().items() if value is not None}
        metadata["MapAnnotation"] = stated
    return _begin(path, facts, facts.shape, None, ome=True, metadata=metadata)


def imagej_description(facts: Facts, slices: int | None = None) -> str:
    """The description with which ImageJ knows the slices, their distance, the unit, and what voxels stand for."""
    count = slices or facts.shape[0]
    lines = ["ImageJ=1.54f", f"images={count}", *([f"slices={count}"] if count > 1 else [])]
    if facts.voxel_size and _resolution(facts):
        lines += [f"unit={_imagej_unit(facts.unit)}", f"spacing={facts.voxel_size[0]!r}"]
    lines += ["loop=false", *_imagej_calibration(facts)]
    return "".join(f"{line}\n" for line in lines)


def _resolution(facts: Facts) -> tuple[float, float] | None:
    """Pixels in a unit along x and y; None if they are unknown, or a TIFF has no number for them.

    The description must then not state a unit: it would be that of pixels of size 1.
    """
    if not facts.voxel_size:
        return None
    _, y, x = facts.voxel_size
    pixels = 1 / x, 1 / y
    return pixels if all(1 / _LARGEST <= value <= _LARGEST for value in pixels) else None


def _imagej_unit(unit: str | None) -> str:
    symbol = UNIT_SYMBOLS.get(unit or "", unit or "pixel")
    return _escaped({"in": "inch"}.get(symbol, symbol))


def _imagej_calibration(facts: Facts) -> list[str]:
    """A straight line, cf=0, from stored values to grey values. ImageJ takes it only with a unit."""
    calibration = facts.calibration
    if calibration is None:
        return []
    slope, intercept = calibration.slope, calibration.intercept
    if facts.dtype.name == "int16":
        intercept -= 32768 * slope  # ImageJ holds signed voxels as unsigned ones, 32768 higher
    return ["cf=0", f"c0={intercept!r}", f"c1={slope!r}", f"vunit={_escaped(calibration.unit or 'Gray Value')}"]


def _escaped(text: str) -> str:
    """As ImageJ writes letters outside of ASCII."""
    return "".join(letter if letter.isascii() else f"\\u{ord(letter):04X}" for letter in text)


def _begin(
    path: Path,
    facts: Facts,
    shape: Sequence[int],
    description: str | None,
    *,
    ome: bool = False,
    metadata: dict[str, Any] | None = None,
) -> int:
    import tifffile

    pages = math.prod(shape[:-2])
    size = math.prod(shape) * facts.dtype.itemsize
    resolution: dict[str, Any] = {}
    if not ome and (pixels := _resolution(facts)):
        resolution = {"resolution": pixels, "resolutionunit": 1}
    big = size + pages * _PAGE_BYTES > _MOST_BYTES
    order: Literal["<", ">"] = "<" if sys.byteorder == "little" else ">"
    with tifffile.TiffWriter(path, bigtiff=big, byteorder=order, ome=ome, shaped=False) as writer:
        place = writer.write(
            shape=tuple(shape),
            dtype=facts.dtype,
            photometric="minisblack",
            rowsperstrip=shape[-2],
            software=f"{SOFTWARE} {__version__}",
            description=description,
            metadata=metadata,
            returnoffset=True,
            align=mmap.PAGESIZE,  # so that voxels are written in whole pages
            **resolution,
        )
    assert place
    return place[0]


def is_ours(path: Path) -> bool:
    """Whether a file is a TIFF that this package wrote."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tif:
            return str(tif.pages.first.tags.valueof(305, "")).startswith(SOFTWARE)
    except (OSError, ValueError, tifffile.TiffFileError):
        return False
