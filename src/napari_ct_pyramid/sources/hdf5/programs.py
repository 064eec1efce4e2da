"""The files of programs that keep a pyramid of one image in HDF5: Imaris, and BigDataViewer and BigStitcher of Fiji.

Imaris: https://imaris.oxinst.com/support/imaris-file-format
BigDataViewer: https://imagej.net/plugins/bdv/#about-the-bigdataviewer-data-format
"""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

import h5py
import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.sources.base import volume_axes
from napari_ct_pyramid.sources.choice import choose
from napari_ct_pyramid.sources.voxel_size import FoundVoxelSize, found_voxel_size, positive
from napari_ct_pyramid.units import find_unit

from .chosen import Chosen
from .files import Item, LinkedFiles
from .voxel_size import text_of

_IMARIS = re.compile(r"/?DataSet/ResolutionLevel 0/TimePoint (\d+)/Channel (\d+)/Data")
_BDV = re.compile(r"/?t(\d{5,})/s(\d{2,})/0/cells")


def find_by_program(linked: LinkedFiles) -> Chosen | None:
    """The finest level of the channel and the time point that are chosen; None for a file of another kind.

    Raises
    ------
    SourceError
        If it lacks that dataset.
    SeveralVolumesError
        If there are several, and none was chosen.
    """
    root, named = linked.root.node, linked.source.inside
    if isinstance(root.get("DataSet/ResolutionLevel 0"), h5py.Group):
        if named is None:
            return _imaris(linked, *_choose(linked, "DataSet/ResolutionLevel 0", "TimePoint ", "Channel "))
        return _imaris(linked, *map(int, match.groups())) if (match := _IMARIS.fullmatch(named)) else None
    times = [name for name in root if re.fullmatch(r"t\d{5,}", name)]
    if times and any(re.fullmatch(r"s\d{2,}", name) for name in root):
        if named is None:
            return _bdv(linked, *_choose(linked, "", "t", "s"))
        return _bdv(linked, *map(int, match.groups())) if (match := _BDV.fullmatch(named)) else None
    return None


def _choose(linked: LinkedFiles, group: str, time: str, channel: str) -> tuple[int, int]:
    """The numbers of the time point and of the channel, from groups with these names and a number."""
    root = linked.root.node[group] if group else linked.root.node
    times = _numbers(root, time)
    channels = _numbers(root[times[0][1]], channel) if times else []
    sizes = {"time": len(times), "channel": len(channels)}
    chosen = choose(linked.source.path, sizes, linked.source.options)
    if not times or not channels:
        raise SourceError(f"{linked.source.path} has no image. Try another file.")
    return times[chosen["time"]][0], channels[chosen["channel"]][0]


def _numbers(group: h5py.Group, begin: str) -> list[tuple[int, str]]:
    return sorted((int(name[len(begin) :]), name) for name in group if re.fullmatch(begin + r"\d+", name))


def _volume(linked: LinkedFiles, name: str) -> Item:
    item = linked.find(name)
    if item is None or not isinstance(item.node, h5py.Dataset) or volume_axes(item.node.shape or ()) is None:
        raise SourceError(f"{linked.source.path} is not complete: it has no volume {name}. Try copying it again.")
    return item


def _imaris(linked: LinkedFiles, time: int, channel: int) -> Chosen:
    item = _volume(linked, f"/DataSet/ResolutionLevel 0/TimePoint {time}/Channel {channel}/Data")
    stored = item.node.shape
    attributes = item.node.parent.attrs
    sizes = [_whole(attributes.get(f"ImageSize{axis}")) for axis in "ZYX"]  # without padding up to whole chunks
    notes: tuple[str, ...] = ()
    shape = stored
    if all(size and size <= n for size, n in zip(sizes, stored, strict=True)):
        shape = tuple(sizes)
    else:
        notes = ("The file does not state the size of its image, which may be padded with zeros.",)
    about = _attributes(linked, "DataSetInfo/Image")
    ends = [(_number(about.get(f"ExtMin{axis}")), _number(about.get(f"ExtMax{axis}"))) for axis in (2, 1, 0)]
    extents = [(low, high) for low, high in ends if low is not None and high is not None and high > low]
    size, translation = FoundVoxelSize(), (0.0, 0.0, 0.0)
    if len(extents) == len(shape):
        each = [float(f"{(high - low) / n:.9g}") for (low, high), n in zip(extents, shape, strict=True)]
        unit = find_unit(text_of(about.get("Unit")) or "um")
        size = found_voxel_size(each, [unit] * 3, "Imaris metadata")
        z, y, x = (float(f"{low + s / 2:.9g}") for (low, _), s in zip(extents, each, strict=True))
        translation = z, y, x
    of_channel = _attributes(linked, f"DataSetInfo/Channel {channel}")
    return Chosen(
        item,
        (None,) * 3,
        shape=_triple(shape),
        size=size,
        translation=translation,
        channel=text_of(of_channel.get("Name")).strip() or None,
        color=_color(text_of(of_channel.get("Color"))),
        notes=notes,
    )


def _attributes(linked: LinkedFiles, group: str) -> Any:
    found = linked.find(group)
    return found.node.attrs if found else {}


def _whole(value: Any) -> int:
    text = text_of(value).strip()
    return int(text) if text.isdecimal() else 0


def _number(value: Any) -> float | None:
    try:
        number = float(text_of(value))
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _color(text: str) -> str | None:
    """``"FF8000"`` for ``"1.000 0.500 0.000"``."""
    try:
        parts = [round(255 * float(part)) for part in text.split()]
    except (OverflowError, ValueError):
        return None
    return "".join(f"{part:02X}" for part in parts) if len(parts) == 3 and {*parts} <= {*range(256)} else None


def _bdv(linked: LinkedFiles, time: int, setup: int) -> Chosen:
    item = _volume(linked, f"/t{time:05}/s{setup:02}/0/cells")
    notes: tuple[str, ...] = ()
    dtype = None
    if item.node.dtype == np.dtype("i2"):  # HDF5 of BigDataViewer has no other type for uint16
        dtype = np.dtype("u2")
        notes = ("BigDataViewer stores uint16 as int16: the voxels are taken for uint16.",)
    size, name = _bdv_setup(linked, setup)
    return Chosen(item, (None,) * 3, dtype=dtype, size=size, channel=name, notes=notes)


def _bdv_setup(linked: LinkedFiles, setup: int) -> tuple[FoundVoxelSize, str | None]:
    """The voxel size and the name of a setup, from the XML file beside the HDF5 file."""
    xml = linked.source.local_path.with_suffix(".xml")
    try:
        root = ET.parse(xml).getroot()
    except (OSError, ET.ParseError):
        return FoundVoxelSize(), None
    found = [one for one in root.iter("ViewSetup") if (one.findtext("id") or "").strip() == str(setup)]
    if len(found) != 1:
        return FoundVoxelSize(), None
    texts = (found[0].findtext("voxelSize/size") or "").split()
    sizes = [positive(text) for text in reversed(texts)]  # x y z
    unit = find_unit(found[0].findtext("voxelSize/unit"))
    if len(sizes) != 3 or (unit is None and sizes == [1, 1, 1]):
        return FoundVoxelSize(), found[0].findtext("name")
    return found_voxel_size(sizes, [unit] * 3, f"BigDataViewer XML {xml.name}"), found[0].findtext("name")


def _triple(values: Any) -> Triple:
    z, y, x = values
    return int(z), int(y), int(x)
