"""``.vol`` files, whose header is a file beside them.

- ``.vgi``: Volume Graphics (VGStudio), also written by Nikon and GE phoenix.
- ``.pcr``: GE phoenix datos|x.
- ``.vol.info``: PyHST (ESRF).
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.units import find_unit

from .base import VolumeReader, check_dtype
from .header import LONGEST, bad_header, floats, integers, open_voxels
from .inputs import Input
from .links import linked_file
from .raw import open_raw
from .recognize import VOL_HEADERS
from .voxel_size import FoundVoxelSize, found_voxel_size, positive

_VGI_TYPES = {
    "unsigned integer": "u", "unsigned": "u", "integer": "i", "signed integer": "i", "signed": "i", "float": "f",
}  # fmt: skip
_PCR_TYPES = {1: "u1", 5: "<u2", 10: "<f4"}


@dataclass(frozen=True)
class _Description:
    """What a header states.

    Attributes
    ----------
    data : str
        The file with the voxels, as the header names it.
    offset : int
        Bytes before the first voxel; -1 if the voxels are at the end of the file.
    """

    format: str
    data: str
    shape: Triple
    dtype: np.dtype
    offset: int
    size: FoundVoxelSize
    notes: tuple[str, ...] = ()


def open_vol(source: Input) -> VolumeReader:
    """Open a ``.vol`` by its header, or by the options if it has none.

    Raises
    ------
    SourceError
        If the header is not understood, or a file is damaged, missing or elsewhere.
    """
    path = source.local_path
    header = _header_of(path)
    if header is None:
        return open_raw(source)
    described = next(read for ending, read in _READERS.items() if header.name.lower().endswith(ending))(header)
    named = PureWindowsPath(described.data)  # which also understands the separator of other systems
    beside = header.with_name(named.name) if named.name else header
    notes = described.notes
    if path != header:  # a copy keeps the name of its original in its header
        file = path
        if named.name.lower() != path.name.lower():
            notes = (*notes, f"Its header {header.name} names another file, {named.name or 'none'}.")
    else:
        file = beside if beside.is_file() else linked_file(source, Path(described.data), "its volume")
    offset = described.offset
    if offset < 0:
        offset = file.stat().st_size - int(np.prod(described.shape, dtype=object)) * described.dtype.itemsize
    volume = Volume(
        name=file.stem,
        shape=described.shape,
        dtype=check_dtype(path, described.dtype),
        format=described.format,
        voxel_size=described.size.voxel_size,
        unit=described.size.unit,
        voxel_size_from=described.size.origin,
        notes=notes,
    )
    return open_voxels(volume, described.dtype, file, offset, headers=(header,))


def _header_of(path: Path) -> Path | None:
    """The header of a ``.vol``, or the file itself if it is a header."""
    if path.name.lower().endswith(VOL_HEADERS):
        return path
    beside = {other.name.lower(): other for other in path.parent.iterdir()}
    names = [ending.replace(".vol", path.suffix) if ending == ".vol.info" else ending for ending in VOL_HEADERS]
    return next((beside[name] for name in (path.stem.lower() + end.lower() for end in names) if name in beside), None)


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(LONGEST).decode("utf-8", "replace")


def _read_vgi(path: Path) -> _Description:
    """Sections in braces and brackets, with ``key = value``."""
    volumes: dict[str, dict[str, dict[str, str]]] = {}
    section: dict[str, str] = {}
    group: dict[str, dict[str, str]] = {}
    for line in map(str.strip, _text(path).splitlines()):
        if match := re.fullmatch(r"\{(.+)\}", line):
            group = volumes.setdefault(match[1].lower(), {})
        elif match := re.fullmatch(r"\[(.+)\]", line):
            section = group.setdefault(match[1].lower(), {})
        else:
            key, separator, value = (part.strip() for part in line.partition("="))
            if separator:
                section[key.lower()] = value
    files = [section for group in volumes.values() for name, section in group.items() if re.fullmatch(r"file\d*", name)]
    if len(files) != 1:
        raise SourceError(f"{path} names {len(files)} files of voxels, and one can be read. Try saving one volume.")
    file = files[0]
    if file.get("fileformat", "raw").lower() != "raw":
        raise SourceError(
            f"The voxels of {path} are in a file of type {file['fileformat'][:40]}, not raw. Try its own path."
        )
    shape = _shape(path, "Size", file.get("size", ""))
    bits = integers(path, "BitsPerElement", file.get("bitsperelement", ""), 1)[0]
    kind = _VGI_TYPES.get(file.get("datatype", "").lower())
    if kind is None or bits not in (8, 16, 32, 64):
        raise bad_header(path, f"has voxels of the type {file.get('datatype', '')[:40]!r} with {bits} bits")
    geometry = next((group["geometry"] for group in volumes.values() if "geometry" in group), {})
    size = FoundVoxelSize()
    if "resolution" in geometry:
        x, y, z = (positive(value) for value in floats(path, "resolution", geometry["resolution"], 3))
        size = found_voxel_size((z, y, x), [find_unit(geometry.get("unit"))] * 3, "VGI resolution")
    return _Description(
        format="VGI + VOL",
        data=file.get("name", path.with_suffix(".vol").name),
        shape=shape,
        dtype=np.dtype(f"<{kind}{bits // 8}"),
        offset=max(-1, integers(path, "SkipHeader", file.get("skipheader", "0"), 1)[0]),
        size=size,
        notes=_roi_note(path, file, shape),
    )


def _roi_note(path: Path, file: Mapping[str, str], shape: Triple) -> tuple[str, ...]:
    if "regionofintereststart" not in file or "regionofinterestend" not in file:
        return ()
    start = integers(path, "RegionOfInterestStart", file["regionofintereststart"], 3)
    end = integers(path, "RegionOfInterestEnd", file["regionofinterestend"], 3)
    if start == [0, 0, 0] and end == [n - 1 for n in reversed(shape)]:
        return ()
    return ("Its header shows only a part of the volume (RegionOfInterest). All of it is read; a crop reads a part.",)


def _read_pcr(path: Path) -> _Description:
    parser = configparser.ConfigParser(interpolation=None, strict=False, allow_no_value=True)
    try:
        parser.read_string(_text(path))
        section: Mapping[str, str] = parser["VolumeData"]
    except (configparser.Error, KeyError):
        raise bad_header(path, "has no section [VolumeData]") from None
    shape = _shape(path, "Volume_Size", " ".join(section.get(f"Volume_Size{axis}") or "" for axis in "XYZ"))
    code = integers(path, "Format", section.get("Format") or "", 1)[0]
    if code not in _PCR_TYPES:
        raise SourceError(f"{path} has voxels of the format {code}, which is not known. Try saving it in 16 bits.")
    size = positive(section.get("VoxelSizeRec"))
    return _Description(
        format="PCR + VOL",
        data=section.get("VOL_File") or path.with_suffix(".vol").name,
        shape=shape,
        dtype=np.dtype(_PCR_TYPES[code]),
        offset=0,
        size=found_voxel_size([size] * 3, ["millimeter"] * 3, "PCR VoxelSizeRec"),
    )


def _read_info(path: Path) -> _Description:
    lines = (line.partition("=") for line in _text(path).splitlines() if not line.lstrip().startswith("!"))
    values = {key.strip().upper(): value.strip() for key, _, value in lines}
    shape = _shape(path, "NUM", " ".join(values.get(f"NUM_{axis}", "") for axis in "XYZ"))
    order = ">" if values.get("BYTEORDER", "LOWBYTEFIRST").upper() == "HIGHBYTEFIRST" else "<"
    kind = values.get("DATA_TYPE", "FLOAT").lower()
    try:
        dtype = np.dtype(f"{order}{np.dtype({'float': 'float32'}.get(kind, kind)).str[1:]}")
    except TypeError:
        raise bad_header(path, f"has the DATA_TYPE {kind[:40]!r}, which is not known") from None
    size = positive(values.get("VOXELSIZE"))
    return _Description(
        format="VOL with PyHST info",
        data=path.name[: -len(".info")],
        shape=shape,
        dtype=dtype,
        offset=0,
        size=found_voxel_size([size] * 3, ["micrometer"] * 3, "PyHST voxelSize"),
    )


def _shape(path: Path, key: str, text: str) -> Triple:
    """A shape z, y, x from sizes along x, y, z."""
    x, y, z = integers(path, key, text, 3)
    if min(x, y, z) < 1:
        raise bad_header(path, f"has the size {x} × {y} × {z}")
    return z, y, x


_READERS: dict[str, Callable[[Path], _Description]] = {".vgi": _read_vgi, ".pcr": _read_pcr, ".info": _read_info}
