"""NIfTI-1 and NIfTI-2 files (.nii, .nii.gz, and .hdr with .img): https://nifti.nimh.nih.gov/nifti-1."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import nibabel

from napari_ct_pyramid.calibration import Calibration
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import VoxelSize
from napari_ct_pyramid.units import find_unit

from .base import VolumeReader, check_dtype
from .header import bad_header, choose_part, from_single, open_voxels, placement
from .inputs import Input
from .links import linked_file
from .recognize import GZIP, decoded, nifti_magic
from .voxel_size import FoundVoxelSize, found_voxel_size, positive

_HEAD_BYTES = 4096


class _Kind(NamedTuple):
    """The class of a header, its bytes, and where voxels begin at the earliest: a smaller offset means that one."""

    header: type[nibabel.Nifti1Header]
    size: int
    first: int
    is_pair: bool


_KINDS = {
    b"n+1": _Kind(nibabel.Nifti1Header, 348, 352, False),
    b"ni1": _Kind(nibabel.Nifti1Pair.header_class, 348, 0, True),
    b"n+2": _Kind(nibabel.Nifti2Header, 540, 544, False),
    b"ni2": _Kind(nibabel.Nifti2Pair.header_class, 540, 0, True),
}


def open_nifti(source: Input) -> VolumeReader:
    """Open a NIfTI volume, compressed with gzip or not.

    Raises
    ------
    SourceError
        If it is not a volume, or a file is damaged.
    """
    path = source.local_path
    with path.open("rb") as file:
        stored = file.read(_HEAD_BYTES)
    head = decoded(stored)
    magic = nifti_magic(head)
    if magic is None:
        raise bad_header(path, "is not one of NIfTI")
    kind = _KINDS[magic]
    compressed = stored.startswith(GZIP)
    if len(head) < kind.size:
        raise bad_header(path, "ends early")
    header = kind.header(head[: kind.size], check=False)
    dtype = header.get_data_dtype()
    part = choose_part(path, [int(size) for size in header.get_data_shape()], source.options)
    size = _voxel_size(header)
    translation, notes = _placement(header, size.voxel_size)
    volume = Volume(
        name=source.stem.removesuffix(".nii").removesuffix(".hdr"),
        shape=part.shape,
        dtype=check_dtype(path, dtype),
        format="NIfTI",
        voxel_size=size.voxel_size,
        unit=size.unit,
        voxel_size_from=size.origin,
        translation=translation,
        calibration=_calibration(header),
        notes=notes,
    )
    offset = float(header["vox_offset"])
    if not math.isfinite(offset):
        raise bad_header(path, f"has a vox_offset of {offset:g}")
    data = path
    if kind.is_pair:
        name = f"{path.name[: path.name.lower().index('.hdr')]}.img{'.gz' if compressed else ''}"
        data = linked_file(source, Path(name), "its volume")
    return open_voxels(
        volume,
        dtype,
        data,
        max(int(offset), kind.first),
        index=part.index,
        deflated_at=0 if compressed else None,
        headers=(path,) if kind.is_pair else (),
    )


def _calibration(header: nibabel.Nifti1Header) -> Calibration | None:
    """From scl_slope and scl_inter; None if the voxels are the grey values."""
    slope, intercept = header.get_slope_inter()
    if slope is None or (slope, intercept) == (1, 0):
        return None
    return Calibration(from_single(slope), from_single(intercept))


def _voxel_size(header: nibabel.Nifti1Header) -> FoundVoxelSize:
    x, y, z = (positive(from_single(value)) for value in header["pixdim"][1:4])
    unit = find_unit(header.get_xyzt_units()[0])
    return found_voxel_size((z, y, x), [unit] * 3, "NIfTI pixdim")


def _placement(header: nibabel.Nifti1Header, size: VoxelSize | None) -> tuple[VoxelSize, tuple[str, ...]]:
    """From the sform or the qform, if the header has one."""
    if header["sform_code"] <= 0 and header["qform_code"] <= 0:
        return (0.0, 0.0, 0.0), ()
    try:
        affine = header.get_sform() if header["sform_code"] > 0 else header.get_qform()
    except (ValueError, nibabel.spatialimages.HeaderDataError):
        return (0.0, 0.0, 0.0), ("Its qform is not a rotation: ignored.",)
    origin = [from_single(value) for value in affine[:3, 3]]
    return placement(affine[:3, :3].T.tolist(), origin, size)
