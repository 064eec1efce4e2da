"""The headers of MetaImage and NRRD, whose voxels follow as they are.

MetaImage: https://itk.org/Wiki/ITK/MetaIO/Documentation. NRRD: https://teem.sourceforge.net/nrrd/format.html.
Both state sizes in millimeters: programs that read them take every number for one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from .facts import Facts

_MET_TYPES = {
    "int8": "MET_CHAR", "uint8": "MET_UCHAR", "int16": "MET_SHORT", "uint16": "MET_USHORT", "int32": "MET_INT",
    "uint32": "MET_UINT", "float32": "MET_FLOAT", "float64": "MET_DOUBLE",
}  # fmt: skip
_NRRD_TYPES = {"float32": "float", "float64": "double"}
_MILLIMETER = "millimeter"


def metaimage_header(facts: Facts, data: str) -> bytes:
    """The header of a MetaImage.

    Parameters
    ----------
    facts : Facts
    data : str
        The file that holds the voxels; ``LOCAL`` if they follow in the same file.
    """
    lines = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": str(sys.byteorder == "big"),
        "CompressedData": "False",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "DimSize": _fastest_first(facts.shape),
        "ElementType": _MET_TYPES[facts.dtype.name],
    }
    if facts.voxel_size:
        lines["ElementSpacing"] = _fastest_first(facts.in_unit(_MILLIMETER))
    lines["Offset"] = _fastest_first(facts.place_in(_MILLIMETER))
    if facts.calibration:
        lines["ElementToIntensityFunctionSlope"] = repr(facts.calibration.slope)
        lines["ElementToIntensityFunctionOffset"] = repr(facts.calibration.intercept)
    lines["ElementDataFile"] = data  # the last line
    return "".join(f"{key} = {value}\n" for key, value in lines.items()).encode()


def nrrd_header(facts: Facts) -> bytes:
    """The header of an NRRD, with the empty line that ends it."""
    x, y, z = reversed(facts.in_unit(_MILLIMETER) if facts.voxel_size else (1.0, 1.0, 1.0))
    unit = _MILLIMETER if facts.unit else None
    lines = [
        "NRRD0005",
        f"type: {_NRRD_TYPES.get(facts.dtype.name, facts.dtype.name)}",
        "dimension: 3",
        "space dimension: 3",
        f"sizes: {_fastest_first(facts.shape)}",
        f"space directions: ({x!r},0,0) (0,{y!r},0) (0,0,{z!r})",
        "kinds: domain domain domain",
        f"endian: {sys.byteorder}",
        "encoding: raw",
        *(['space units: "mm" "mm" "mm"'] if facts.voxel_size and unit else []),
        f"space origin: ({_fastest_first(facts.place_in(_MILLIMETER), ',')})",
        *([f"calibration:={facts.calibration}"] if facts.calibration else []),
    ]
    return "".join(f"{line}\n" for line in [*lines, ""]).encode()


def _fastest_first(values: Iterable[float], between: str = " ") -> str:
    z, y, x = values
    return between.join(map(repr, (x, y, z)))
