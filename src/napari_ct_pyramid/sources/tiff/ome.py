"""Volumes in several OME-TIFF files, which name each other: https://docs.openmicroscopy.org/ome-model/latest/ome-tiff/"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from tifffile import TiffFile, TiffFileError

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.sources.inputs import Input
from napari_ct_pyramid.sources.links import linked_file

from .quiet import quiet


@dataclass(frozen=True)
class OmeFiles:
    """The other files that the OME-XML of a TIFF names.

    Attributes
    ----------
    names : tuple of str
        Those that hold pages of the volume, without the file itself.
    master : str or None
        The file that has the OME-XML, if it is another one.
    """

    names: tuple[str, ...] = ()
    master: str | None = None


def ome_files(xml: str) -> OmeFiles:
    """The files that an OME-XML names."""
    try:
        root = ET.fromstring(xml)
    except ET.ParseError:
        return OmeFiles()
    own = root.attrib.get("UUID")
    names, master = [], None
    for element in root.iter():
        tag = element.tag.rpartition("}")[2]
        if tag == "BinaryOnly":
            master = element.attrib.get("MetadataFile")
        elif tag == "UUID" and "FileName" in element.attrib and (element.text or "").strip() != own:
            names.append(element.attrib["FileName"])
    return OmeFiles(tuple(dict.fromkeys(names)), master)


def check_ome_files(source: Input, tif: TiffFile) -> None:
    """The other files must exist, and be in the folder of the source unless the user allows others.

    Raises
    ------
    SourceError
        If one does not, or the OME-XML is in a file that is not a TIFF.
    """
    files = ome_files(tif.ome_metadata or "")
    for name in files.names:
        linked_file(source, Path(name), "a part of its volume")
    if files.master:
        path = source.local_path
        raise SourceError(
            f"{path} is a part of an OME-TIFF, whose order and voxel size are in {files.master}. "
            + (
                f"Try {path.parent / files.master}."
                if files.master.lower().endswith((".tif", ".tiff", ".btf", ".tf2", ".tf8"))
                else "That file cannot be read: try saving the volume as one OME-TIFF (in Fiji, with Bio-Formats)."
            )
        )


def find_ome_set(folder: Path, names: Sequence[str]) -> Path | None:
    """The file whose OME-XML states the order of these files; None if they do not name each other."""
    first = folder / min(names)
    files = _read(first)
    if files.master and files.master in names:
        return folder / files.master
    return first if files.names or files.master else None


def check_ome_set(folder: Path, names: Sequence[str], used: Sequence[Path]) -> None:
    """The OME-XML must name just the files that are there.

    Raises
    ------
    SourceError
        If a file is not part of the volume.
    """
    surplus = sorted({*names} - {file.name for file in used})
    if surplus:
        raise SourceError(
            f"{surplus[0]} in {folder} is not a part of the volume of the other OME-TIFFs, by their metadata. Try "
            "moving all that is not a slice elsewhere, or the path of one file of the volume that you want."
        )


def _read(file: Path) -> OmeFiles:
    try:
        with quiet(), TiffFile(file) as tif:
            return ome_files(tif.ome_metadata or "") if tif.is_ome else OmeFiles()
    except (OSError, TiffFileError, ValueError, IndexError):  # reported when the slices are opened
        return OmeFiles()
