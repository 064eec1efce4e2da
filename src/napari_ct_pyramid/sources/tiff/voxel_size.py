"""The voxel size that a TIFF tells plainly, in its OME-XML, ImageJ, MetaMorph or tifffile description. Never a guess.

The resolution tags of a TIFF speak of x and y only, so they count only where something else tells z.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

from tifffile import TiffFile, TiffPage

from napari_ct_pyramid.options import UNITS, VoxelSize


class Found(NamedTuple):
    """A voxel size along z, y, x, its NGFF unit if that is known, and where it was found."""

    voxel_size: VoxelSize | None = None
    unit: str | None = None
    origin: str | None = None


def find_voxel_size(tif: TiffFile, *, of_slice: bool = False) -> Found:
    """The voxel size that the file tells, or nothing.

    With `of_slice` the file is one slice of a volume: what it leaves out of z says nothing.
    """
    page = tif.pages.first
    if tif.is_ome:
        return _from_ome(tif.ome_metadata or "")
    if tif.is_imagej:
        return _from_imagej(tif.imagej_metadata or {}, page, of_slice)
    if tif.is_stk:
        return _from_metamorph(tif.stk_metadata or {})
    if page.shaped_description is not None:
        return _from_json(page.shaped_description, page)
    return Found()


_SYMBOLS = {
    "Å": "angstrom", "pm": "picometer", "nm": "nanometer", "µm": "micrometer", "um": "micrometer",
    "µ": "micrometer", "micron": "micrometer", "mm": "millimeter", "cm": "centimeter", "dm": "decimeter",
    "m": "meter", "km": "kilometer", "in": "inch", '"': "inch", "ft": "foot", "yd": "yard", "mi": "mile",
}  # fmt: skip
_METERS = {
    "angstrom": 1e-10, "picometer": 1e-12, "nanometer": 1e-9, "micrometer": 1e-6, "millimeter": 1e-3,
    "centimeter": 1e-2, "decimeter": 1e-1, "meter": 1.0, "kilometer": 1e3, "inch": 0.0254,
}  # fmt: skip


def parse_unit_name(text: Any) -> str | None:
    """The NGFF unit that a name or symbol means, such as ``µm`` or ``microns``; None if there is none."""
    name = str(text or "").strip()
    name = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), name)  # as ImageJ writes them
    name = name.replace("\N{GREEK SMALL LETTER MU}", "µ").replace("\N{ANGSTROM SIGN}", "Å")
    if name in _SYMBOLS:
        return _SYMBOLS[name]
    name = name.lower().replace("metre", "meter").removesuffix("s")
    return name if name in UNITS else _SYMBOLS.get(name) if len(name) > 2 else None


def _from_ome(xml: str) -> Found:
    try:
        pixels = next(element for element in ET.fromstring(xml).iter() if element.tag.endswith("Pixels"))
    except (ET.ParseError, StopIteration):
        return Found()
    return _from_physical_sizes(pixels.attrib, "OME-XML")


def _from_physical_sizes(attributes: Mapping[str, Any], origin: str) -> Found:
    sizes = [positive(attributes.get(f"PhysicalSize{axis}")) for axis in "ZYX"]
    # the OME schema: a size without a unit is in micrometers
    units = [parse_unit_name(attributes.get(f"PhysicalSize{axis}Unit", "µm")) for axis in "ZYX"]
    return found_sizes(sizes, units, origin)


def _from_imagej(metadata: Mapping[str, Any], page: TiffPage, of_slice: bool) -> Found:
    # ImageJ leaves a spacing of 1 out; tifffile, which signs as 1.11a, leaves out one that it was not told.
    default = None if of_slice or metadata.get("ImageJ") == "1.11a" else 1.0
    sizes = [positive(metadata.get("spacing", default)), *_pixel_size(page)]
    names = metadata.get("unit"), metadata.get("yunit"), metadata.get("zunit")
    if any(name and name != names[0] for name in names[1:]):  # an odd one: x, y and z in different units
        return Found()
    unit = parse_unit_name(names[0])
    if unit is None and all(size is None or size == 1 for size in sizes):
        return Found()  # what an image has that nobody calibrated
    return found_sizes(sizes, [unit] * 3, "ImageJ metadata")


def _from_metamorph(metadata: Mapping[str, Any]) -> Found:
    """Distances between slices are in micrometers, whatever the unit of pixels is."""
    distances = {float(distance) for distance in metadata.get("ZDistance", ())}
    if not metadata.get("SpatialCalibration") or len(distances) != 1:
        return Found()
    unit = parse_unit_name(metadata.get("CalibrationUnits"))
    sizes = [positive(value) for value in (distances.pop(), metadata.get("YCalibration"), metadata.get("XCalibration"))]
    return found_sizes(sizes, ["micrometer", unit, unit], "MetaMorph metadata") if unit else Found()


def _from_json(description: str, page: TiffPage) -> Found:
    """The description that tifffile writes holds whatever its caller wished to be kept."""
    try:
        metadata = json.loads(description)
    except ValueError:
        return Found()
    if not isinstance(metadata, dict):
        return Found()
    if "PhysicalSizeZ" in metadata:
        return _from_physical_sizes(metadata, "TIFF description")
    unit = parse_unit_name(metadata.get("unit"))
    resolution_unit = {2: "inch", 3: "centimeter", 4: "millimeter", 5: "micrometer"}.get(page.resolutionunit, unit)
    if unit is None:
        return Found()
    sizes = [positive(metadata.get("spacing")), *_pixel_size(page)]
    return found_sizes(sizes, [unit, resolution_unit, resolution_unit], "TIFF description and resolution")


def found_sizes(sizes: list[float | None], units: list[str | None], origin: str) -> Found:
    """A finding if all three sizes are there, in the unit of z."""
    z, y, x = sizes
    if z is None or y is None or x is None:
        return Found()
    unit = units[0]
    if units[2] == "inch" and round(1 / x) in (72, 96):  # dots of a screen
        return Found()
    if len(set(units)) > 1:
        if not all(name in _METERS for name in units):
            return Found()
        y, x = (
            _shortest(size * _METERS[str(name)] / _METERS[str(unit)], 1e-12)
            for size, name in zip((y, x), units[1:], strict=True)
        )
    return Found((z, y, x), unit, origin if unit else f"{origin}, which names no unit")


def _pixel_size(page: TiffPage) -> tuple[float | None, float | None]:
    """Height and width of a pixel by the resolution tags, in whatever their unit is."""
    return _resolution(page, 283), _resolution(page, 282)


def _resolution(page: TiffPage, code: int) -> float | None:
    value = page.tags.valueof(code)
    if not isinstance(value, tuple) or len(value) != 2 or not all(isinstance(n, int) and n > 0 for n in value):
        return None
    pixels, per = value
    # Six or seven digits are what most writers keep of a resolution: 1538461/1000000 means 0.65.
    return _shortest(per / pixels, 1 / pixels if pixels >= 100_000 else 0)


def _shortest(value: float, tolerance: float) -> float:
    """The number of fewest digits within a relative tolerance."""
    for digits in range(1, 16):
        rounded = float(f"{value:.{digits}g}")
        if abs(rounded - value) <= tolerance * value:
            return rounded
    return value


def positive(value: Any) -> float | None:
    try:
        number = abs(float(value))  # ImageJ writes a negative spacing for a stack that runs downwards
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None
