"""Volumes with headers, by writers that are not ours or, where there is none, as the format is published.

Each writer returns the INPUT; the voxels are those it was given, but with the same type.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mrcfile
import nibabel
import nrrd
import numpy as np
import SimpleITK

Write = Callable[[Path, np.ndarray], Path]
"""Writes a volume (z, y, x) into a folder. Returns the file that a user names."""

SIZES_MM = (0.03, 0.02, 0.01)
"""The voxel size along z, y, x that they have: in mm, or the same in another unit."""


def metaimage(name: str, *, compressed: bool = False) -> Write:
    def write(folder: Path, voxels: np.ndarray) -> Path:
        image = SimpleITK.GetImageFromArray(voxels)
        image.SetSpacing(SIZES_MM[::-1])
        image.SetOrigin((1.0, 2.0, 3.0))
        SimpleITK.WriteImage(image, str(folder / name), compressed)
        return folder / name

    return write


def metaimage_text(folder: Path, voxels: np.ndarray, data: str, lines: tuple[str, ...] = ()) -> Path:
    """The header of a MetaImage, written as published."""
    kinds = {"u2": "MET_USHORT", "f4": "MET_FLOAT", "u1": "MET_UCHAR", "i2": "MET_SHORT"}
    header = [
        "ObjectType = Image",
        "NDims = 3",
        f"DimSize = {' '.join(map(str, voxels.shape[::-1]))}",
        f"ElementType = {kinds[voxels.dtype.str[1:]]}",
        f"ElementByteOrderMSB = {voxels.dtype.byteorder == '>'}",
        "ElementSpacing = 0.01 0.02 0.03",
        "Offset = 1 2 3",
        *lines,
        f"ElementDataFile = {data}",
    ]
    (folder / "scan.mhd").write_text("\n".join(header) + "\n")
    return folder / "scan.mhd"


def metaimage_big_endian(folder: Path, voxels: np.ndarray) -> Path:
    swapped = voxels.astype(voxels.dtype.newbyteorder(">"))
    (folder / "scan.raw").write_bytes(b"x" * 7 + swapped.tobytes())
    return metaimage_text(folder, swapped, "scan.raw", ("HeaderSize = -1",))


def metaimage_list(folder: Path, voxels: np.ndarray) -> Path:
    names = [f"part {z}.raw" for z in range(len(voxels))]
    for name, image in zip(names, voxels, strict=True):
        (folder / name).write_bytes(b"abc" + image.tobytes())
    return metaimage_text(folder, voxels, "LIST\n" + "\n".join(names), ("HeaderSize = 3",))


def metaimage_pattern(folder: Path, voxels: np.ndarray) -> Path:
    for z, image in enumerate(voxels):
        (folder / f"s_{2 * z + 10:03d}.raw").write_bytes(image.tobytes())
    return metaimage_text(folder, voxels, f"s_%03d.raw 10 {2 * len(voxels) + 8} 2")


NRRD_SPACE: dict[str, Any] = {
    "space": "left-posterior-superior",
    "space directions": np.diag(SIZES_MM[::-1]),
    "space origin": [1, 2, 3],
    "space units": ["mm", "mm", "mm"],
}


def nrrd_file(name: str, **header: Any) -> Write:
    def write(folder: Path, voxels: np.ndarray) -> Path:
        fields = {"encoding": "raw", **NRRD_SPACE, **header}
        nrrd.write(str(folder / name), voxels, fields, detached_header=name.endswith("nhdr"), index_order="C")
        return folder / name

    return write


def nrrd_by_itk(folder: Path, voxels: np.ndarray) -> Path:
    return metaimage("scan.nrrd", compressed=True)(folder, voxels)


def nrrd_list(folder: Path, voxels: np.ndarray) -> Path:
    """Each slice in a file of its own, with a line and two bytes before the voxels."""
    names = [f"part{z}.raw" for z in range(len(voxels))]
    for name, image in zip(names, voxels, strict=True):
        (folder / name).write_bytes(b"P5 of a kind\nxx" + image.tobytes())
    return _nrrd_text(folder, voxels, "LIST\n" + "\n".join(names))


def nrrd_pattern(folder: Path, voxels: np.ndarray) -> Path:
    """Slices whose numbers go down."""
    count = len(voxels)
    for z, image in enumerate(voxels):
        (folder / f"s{count - z}.raw").write_bytes(b"P5 of a kind\nxx" + image.tobytes())
    return _nrrd_text(folder, voxels, f"s%d.raw {count} 1 -1")


def _nrrd_text(folder: Path, voxels: np.ndarray, data: str) -> Path:
    kinds = {"u2": "unsigned short", "f4": "float"}
    lines = [
        "NRRD0004",
        "# a comment",
        f"type: {kinds[voxels.dtype.str[1:]]}",
        "dimension: 3",
        f"sizes: {' '.join(map(str, voxels.shape[::-1]))}",
        "spacings: 10 20 30",
        'units: "um" "um" "um"',
        "encoding: raw",
        "endian: little",
        "line skip: 1",
        "byte skip: 2",
        f"data file: {data}",
    ]
    (folder / "scan.nhdr").write_text("\n".join(lines) + "\n")
    return folder / "scan.nhdr"


def nifti(
    name: str, image_class: Any = nibabel.Nifti1Image, unit: str = "mm", scale: float = 1, endian: str = "<"
) -> Write:
    def write(folder: Path, voxels: np.ndarray) -> Path:
        affine = np.diag([*(size * scale for size in SIZES_MM[::-1]), 1])
        affine[:3, 3] = np.array([1, 2, 3]) * scale
        header = image_class.header_class(endianness=endian)
        header.set_data_dtype(voxels.dtype.newbyteorder(endian))
        header.set_xyzt_units(unit)
        image = image_class(voxels.T, affine, header)
        image.header.set_xyzt_units(unit)
        nibabel.save(image, folder / name)
        return folder / name

    return write


def mrc(order: str = "<", axes: str = "zyx") -> Write:
    """`axes` are those of the file, the slowest first."""

    def write(folder: Path, voxels: np.ndarray) -> Path:
        stored = np.ascontiguousarray(voxels.transpose(["zyx".index(axis) for axis in axes]))
        with mrcfile.new(folder / "scan.mrc", overwrite=True) as file:
            file.set_data(stored.astype(stored.dtype.newbyteorder(order)))
            file.set_volume()
            header = file.header
            header.maps, header.mapr, header.mapc = (" xyz".index(axis) for axis in axes)
            for axis, size, count in zip("zyx", SIZES_MM, voxels.shape, strict=True):
                header[f"m{axis}"] = count
                header.cella[axis] = size * 1e7 * count
            header.origin.x, header.origin.y, header.origin.z = 1e7, 2e7, 3e7
            file.set_extended_header(np.zeros(96, "V1"))
        return folder / "scan.mrc"

    return write


def vgi(folder: Path, voxels: np.ndarray, lines: str = "", skip: int = 0) -> Path:
    """As several programs write it, such as VGStudio and simulators of scanners."""
    kind = {"u": "unsigned integer", "i": "integer", "f": "float"}[voxels.dtype.kind]
    bits = 8 * voxels.itemsize
    size = " ".join(map(str, voxels.shape[::-1]))
    end = " ".join(str(n - 1) for n in voxels.shape[::-1])
    (folder / "scan.vol").write_bytes(b"s" * skip + voxels.tobytes())
    (folder / "scan.vgi").write_text(
        f"{{volume1}}\n[representation]\nsize = {size}\ndatatype = {kind}\ndatarange = 0 -1\nbitsperelement = {bits}\n"
        f"[file1]\nRegionOfInterestStart = 0 0 0\nRegionOfInterestEnd = {end}\nSkipHeader = {skip}\nFileFormat = raw\n"
        f"Size = {size}\nName = scan.vol\nDatatype = {kind}\ndatarange = 0 -1\nBitsPerElement = {bits}\n{lines}"
        "{volumeprimitive12}\n[geometry]\nresolution = 0.01 0.02 0.03\nunit = mm\n[volume]\nvolume = volume1\n"
        "[description]\ntext = scan\n"
    )
    return folder / "scan.vgi"


def vol_of_vgi(folder: Path, voxels: np.ndarray) -> Path:
    return vgi(folder, voxels, skip=5).with_suffix(".vol")


KINDS: dict[str, Write] = {
    "MetaImage, .mha": metaimage("scan.mha"),
    "MetaImage, .mhd": metaimage("scan.mhd"),
    "MetaImage, .mha, compressed": metaimage("scan.mha", compressed=True),
    "MetaImage, .mhd, compressed": metaimage("scan.mhd", compressed=True),
    "MetaImage, big-endian, at the end": metaimage_big_endian,
    "MetaImage, list": metaimage_list,
    "MetaImage, pattern": metaimage_pattern,
    "NRRD": nrrd_file("scan.nrrd"),
    "NRRD, gzip": nrrd_file("scan.nrrd", encoding="gzip"),
    "NRRD, beside": nrrd_file("scan.nhdr"),
    "NRRD, beside, gzip": nrrd_file("scan.nhdr", encoding="gzip"),
    "NRRD, by ITK": nrrd_by_itk,
    "NRRD, list": nrrd_list,
    "NRRD, pattern": nrrd_pattern,
    "NIfTI": nifti("scan.nii"),
    "NIfTI, compressed": nifti("scan.nii.gz", unit="micron", scale=1000),
    "NIfTI, big-endian": nifti("scan.nii", endian=">"),
    "NIfTI, pair": nifti("scan.hdr", nibabel.Nifti1Pair),
    "NIfTI, compressed pair": nifti("scan.hdr.gz", nibabel.Nifti1Pair),
    "NIfTI-2": nifti("scan.nii", nibabel.Nifti2Image),
    "NIfTI-2, compressed": nifti("scan.nii.gz", nibabel.Nifti2Image, unit="meter", scale=0.001),
    "MRC": mrc(),
    "MRC, big-endian": mrc(">"),
    "MRC, xzy": mrc(axes="xzy"),
    "VGI": vgi,
    "VOL of VGI": vol_of_vgi,
}
