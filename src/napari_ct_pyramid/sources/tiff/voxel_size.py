"""The voxel size that a TIFF states in its OME-XML, ImageJ, MetaMorph or tifffile description.

The resolution tags of a TIFF give only x and y, so they are used only if a description gives z. Nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

from tifffile import TiffFile, TiffPage

from napari_ct_pyramid.parsing import parse_json
from napari_ct_pyramid.sources.voxel_size import FoundVoxelSize, found_voxel_size, positive, shortest
from napari_ct_pyramid.units import find_unit

_RESOLUTION_UNITS = {2: "inch", 3: "centimeter"}  # in the tag 296


def find_voxel_size(tif: TiffFile, *, of_slice: bool = False) -> FoundVoxelSize:
    """The voxel size that the file states, if it states one.

    With `of_slice`, the file is one slice of a volume. A missing spacing along z then has no meaning.
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
    return FoundVoxelSize()


def _from_ome(xml: str) -> FoundVoxelSize:
    try:
        pixels = next(element for element in ET.fromstring(xml).iter() if element.tag.endswith("Pixels"))
    except (ET.ParseError, StopIteration):
        return FoundVoxelSize()
    return _from_physical_sizes(pixels.attrib, "OME-XML")


def _from_physical_sizes(attributes: Mapping[str, Any], origin: str) -> FoundVoxelSize:
    sizes = [positive(attributes.get(f"PhysicalSize{axis}")) for axis in "ZYX"]
    # In the OME schema, a size without a unit is in micrometers.
    units = [find_unit(attributes.get(f"PhysicalSize{axis}Unit", "µm")) for axis in "ZYX"]
    return found_voxel_size(sizes, units, origin)


def _from_imagej(metadata: Mapping[str, Any], page: TiffPage, of_slice: bool) -> FoundVoxelSize:
    # ImageJ writes no spacing if it is 1. tifffile, which writes "ImageJ=1.11a", writes none if it is unknown.
    default = None if of_slice or metadata.get("ImageJ") == "1.11a" else 1.0
    spacing = positive(metadata.get("spacing", default))
    sizes = [spacing, *(_as_spacing(page, code, spacing) for code in (283, 282))]
    names = metadata.get("unit"), metadata.get("yunit"), metadata.get("zunit")
    if any(name and name != names[0] for name in names[1:]):  # x, y and z in different units
        return FoundVoxelSize()
    unit = find_unit(_unescaped(names[0]))
    if page.tags.valueof(296) in _RESOLUTION_UNITS and _RESOLUTION_UNITS[page.tags.valueof(296)] != unit:
        return (
            FoundVoxelSize()
        )  # ImageJ states the unit of the resolution in both places alike: another program wrote it
    if unit is None and all(size is None or size == 1 for size in sizes):
        return FoundVoxelSize()  # the image was never calibrated
    return found_voxel_size(sizes, [unit] * 3, "ImageJ metadata")


def _unescaped(text: Any) -> str:
    r"""A text without the escapes of ImageJ, which writes ``\u00B5m`` for µm."""
    return re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), str(text or ""))


def _from_metamorph(metadata: Mapping[str, Any]) -> FoundVoxelSize:
    """Distances between slices are in micrometers, whatever the unit of pixels is."""
    distances = {float(distance) for distance in metadata.get("ZDistance", ())}
    if not metadata.get("SpatialCalibration") or len(distances) != 1:
        return FoundVoxelSize()
    unit = find_unit(metadata.get("CalibrationUnits"))
    sizes = [positive(value) for value in (distances.pop(), metadata.get("YCalibration"), metadata.get("XCalibration"))]
    return found_voxel_size(sizes, ["micrometer", unit, unit], "MetaMorph metadata") if unit else FoundVoxelSize()


def _from_json(description: str, page: TiffPage) -> FoundVoxelSize:
    """The voxel size in the JSON that tifffile writes, which holds the metadata of its caller."""
    try:
        metadata = parse_json(description)
    except ValueError:
        return FoundVoxelSize()
    if not isinstance(metadata, dict):
        return FoundVoxelSize()
    if "PhysicalSizeZ" in metadata:
        return _from_physical_sizes(metadata, "TIFF description")
    unit = find_unit(metadata.get("unit"))
    resolution_unit = {**_RESOLUTION_UNITS, 4: "millimeter", 5: "micrometer"}.get(page.resolutionunit, unit)
    if unit is None:
        return FoundVoxelSize()
    sizes = [positive(metadata.get("spacing")), *_pixel_size(page)]
    return found_voxel_size(sizes, [unit, resolution_unit, resolution_unit], "TIFF description and resolution")


def _pixel_size(page: TiffPage) -> tuple[float | None, float | None]:
    """Height and width of a pixel according to the resolution tags, in their unit."""
    return _resolution(page, 283), _resolution(page, 282)


def _as_spacing(page: TiffPage, code: int, spacing: float | None) -> float | None:
    """The size of a pixel; the spacing of slices, if ImageJ may have written that.

    ImageJ writes the pixels in a unit as millionths, and cuts the rest off: 39525/1000000 for 25.3. With the spacing it
    writes all digits.
    """
    value = page.tags.valueof(code)
    size = _resolution(page, code)
    if spacing is None or size is None or 1_000_000 % value[1]:
        return size
    pixels = value[0] * 1_000_000 // value[1]  # some writers reduce the fraction
    return spacing if 1e6 / (pixels + 1) <= spacing <= 1e6 / (pixels - 0.5) else size


def _resolution(page: TiffPage, code: int) -> float | None:
    value = page.tags.valueof(code)
    if not isinstance(value, tuple) or len(value) != 2 or not all(isinstance(n, int) and n > 0 for n in value):
        return None
    pixels, per = value
    # Most programs keep six or seven digits of a resolution: 1538461/1000000 means 0.65.
    return shortest(per / pixels, 1 / pixels if pixels >= 100_000 else 0)
