"""The voxel size in the log that a scanner or its reconstruction program leaves beside the slices.

The logs that are known, each with the keys that state the size of the volume, so that a log of other slices is noticed:

- ``.log`` of Bruker SkyScan and NRecon: ``Pixel Size (um)`` of [Reconstruction], otherwise that of [Acquisition];
- ``.xtekct`` of Nikon (X-Tek): ``VoxelSizeX``, ``VoxelSizeY`` and ``VoxelSizeZ`` in ``Units``;
- ``.pcr`` of phoenix datos|x: ``VoxelSizeRec`` in mm;
- ``unireconstruction.xml`` of RX Solutions, here or in the folder above: ``voxelSize`` of ``volume``, in mm.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from napari_ct_pyramid.model.formatting import times
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.units import find_unit

from .voxel_size import FoundVoxelSize, found_voxel_size, positive

_MOST_BYTES = 2_000_000  # of a log
_MOST_LOGS = 20
_RX = "unireconstruction.xml"


@dataclass(frozen=True)
class ScannerLog:
    """What a log states.

    Attributes
    ----------
    path : Path
    voxel_size : FoundVoxelSize
    slices : int or None
        How many slices were written.
    image : tuple of int or None
        Rows and columns of a slice.
    projections : tuple of int or None
        Number, rows and columns of the projections, which may lie beside the log as well.
    """

    path: Path
    voxel_size: FoundVoxelSize
    slices: int | None = None
    image: tuple[int, int] | None = None
    projections: Triple | None = None


def find_log(folder: Path, names: Sequence[str]) -> ScannerLog | None:
    """The log that belongs to the slices with these names; None if there is none, or several that differ."""
    logs = list(_logs(folder))
    prefix = _plain(re.sub(r"\d+$", "", Path(names[0]).stem))
    ranks = (
        lambda log: _plain(log.path.stem) == prefix,
        lambda log: log.slices == len(names),
        lambda log: prefix.startswith(_plain(log.path.stem)),
        lambda log: log.image is not None,  # a log that states no size may be one of any other scan
    )
    for belongs in ranks:
        some = [log for log in logs if belongs(log)]
        if some and all((log.voxel_size[:2], log.image) == (some[0].voxel_size[:2], some[0].image) for log in some):
            return some[0]
        if some:
            logs = some
    return None


def check_log(log: ScannerLog, shape: Triple) -> tuple[FoundVoxelSize, tuple[str, ...]]:
    """The voxel size of the slices, and what does not fit.

    Parameters
    ----------
    log : ScannerLog
    shape : tuple of int
        Of the volume.

    Returns
    -------
    size : FoundVoxelSize
    notes : tuple of str
        Sentences for the user.
    """
    name = log.path.name
    if shape == log.projections and shape != (log.slices, *(log.image or ())):
        return FoundVoxelSize(), (
            f"These are projections according to {name}, not slices of a volume: the first axis is an angle.",
        )
    if log.image and log.image != shape[1:]:
        return FoundVoxelSize(), (
            f"{name} is a log of slices with {times(log.image)} pixels, and these have {times(shape[1:])}: its voxel "
            "size is not used.",
        )
    if log.slices and log.slices != shape[0]:
        return log.voxel_size, (f"According to {name} there are {log.slices:,} slices; here are {shape[0]:,}.",)
    return log.voxel_size, ()


def _plain(stem: str) -> str:
    return stem.rstrip("_-~. ").lower()


def _logs(folder: Path) -> Iterator[ScannerLog]:
    """The logs in a folder that can be read, by name."""
    try:
        paths = [path for path in sorted(folder.iterdir()) if _parser(path) and path.name[0] != "."][:_MOST_LOGS]
    except OSError:
        return
    for path in [*paths, folder.absolute().parent / _RX]:
        parse = _parser(path)
        try:
            if parse and path.is_file() and path.stat().st_size <= _MOST_BYTES:
                log = parse(path, path.read_bytes())
                if log:
                    yield log
        except (OSError, ValueError, configparser.Error, ET.ParseError):
            continue  # it is a log of something else


def _parser(path: Path) -> Callable[[Path, bytes], ScannerLog | None] | None:
    if path.name.lower() == _RX:
        return _parse_rx_solutions
    return _PARSERS.get(path.suffix.lower())


def _sections(data: bytes) -> Mapping[str, Mapping[str, str]]:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=", allow_no_value=True)
    parser.read_string(data.decode("utf-8-sig", "replace"))
    return {name.lower(): dict(parser[name]) for name in parser.sections()}


def _count(section: Mapping[str, str], key: str) -> int | None:
    try:
        number = int(section.get(key) or "")
    except ValueError:
        return None
    return number if number > 0 else None


def _image(section: Mapping[str, str], rows: str, columns: str) -> tuple[int, int] | None:
    height, width = _count(section, rows), _count(section, columns)
    return (height, width) if height and width else None


def _parse_skyscan(path: Path, data: bytes) -> ScannerLog | None:
    sections = _sections(data)
    reconstruction, acquisition = sections.get("reconstruction", {}), sections.get("acquisition", {})
    if not acquisition and not reconstruction:
        return None
    pixel, where = _skyscan_pixel(reconstruction), "[Reconstruction] Pixel Size"
    step = 1.0
    if pixel is None:
        pixel, where = _skyscan_pixel(acquisition), "[Acquisition] Image Pixel Size"
    else:
        step = positive(reconstruction.get("section to section step")) or 1.0
    if pixel is None:
        return None
    raw = _image(acquisition, "number of rows", "number of columns")
    files = _count(acquisition, "number of files")
    return ScannerLog(
        path,
        found_voxel_size([pixel * step, pixel, pixel], ["micrometer"] * 3, f"{path.name}, {where}"),
        slices=_count(reconstruction, "sections count"),
        image=_image(reconstruction, "result image height (pixels)", "result image width (pixels)"),
        projections=(files, *raw) if files and raw else None,
    )


def _skyscan_pixel(section: Mapping[str, str]) -> float | None:
    keys = ("pixel size (um)", "image pixel size (um)", "pixel size (µm)", "image pixel size (µm)")
    return next((size for key in keys if (size := positive(section.get(key)))), None)


def _parse_nikon(path: Path, data: bytes) -> ScannerLog | None:
    section = _sections(data).get("xtekct", {})
    sizes = [positive(section.get(f"voxelsize{axis}")) for axis in "zyx"]
    unit = find_unit(section.get("units") or "mm")
    image = _image(section, "voxelsy", "voxelsx")
    if unit is None or None in sizes or image is None:
        return None
    raw = _image(section, "detectorpixelsy", "detectorpixelsx")
    number = _count(section, "projections")
    return ScannerLog(
        path,
        found_voxel_size(sizes, [unit] * 3, f"{path.name}, VoxelSizeX"),
        slices=_count(section, "voxelsz"),
        image=image,
        projections=(number, *raw) if number and raw else None,
    )


def _parse_phoenix(path: Path, data: bytes) -> ScannerLog | None:
    section = _sections(data).get("volumedata", {})
    size = positive(section.get("voxelsizerec"))
    image = _image(section, "volume_sizey", "volume_sizex")
    if size is None or image is None:
        return None
    found = found_voxel_size([size] * 3, ["millimeter"] * 3, f"{path.name}, VoxelSizeRec")
    return ScannerLog(path, found, slices=_count(section, "volume_sizez"), image=image)


def _parse_rx_solutions(path: Path, data: bytes) -> ScannerLog | None:
    if b"<!ENTITY" in data:  # entities may expand without limit
        return None
    volume = ET.fromstring(data).find(".//volume")
    size = volume.find("voxelSize") if volume is not None else None
    shape = volume.find("size") if volume is not None else None
    if size is None or shape is None:
        return None
    sizes = [positive(size.get(axis)) for axis in "ZYX"]
    image = _image(shape.attrib, "Y", "X")
    if None in sizes or image is None:
        return None
    found = found_voxel_size(sizes, ["millimeter"] * 3, f"{path.name}, voxelSize")
    return ScannerLog(path, found, slices=_count(shape.attrib, "Z"), image=image)


_PARSERS: dict[str, Callable[[Path, bytes], ScannerLog | None]] = {
    ".log": _parse_skyscan,
    ".xtekct": _parse_nikon,
    ".pcr": _parse_phoenix,
}
