"""The table of source formats.

To add a format, write one module and one entry of `FORMATS`. Detection, error messages, file dialogs, help texts and
the README's table are made from that entry, and a test compares napari's manifest with it. The module of a format, with
its libraries, is imported only when a source of that format is opened.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .inputs import Input
from .recognize import AIM_020, AIM_030, COMPOUND_FILE, HDF5, ISQ, is_hdf5, is_metaimage, is_nifti, is_vol
from .source_format import SourceFormat

if TYPE_CHECKING:
    from .base import Holds, VolumeReader


def _open_tiff(source: Input) -> VolumeReader:
    from .tiff.open import open_tiff

    return open_tiff(source, TIFF.endings)


def _look_at_tiff(path: Path) -> Holds:
    from .tiff.peek import look_at_tiff

    return look_at_tiff(path)


def _look_at_image(path: Path) -> Holds:
    from .image_slices import look_at_image

    return look_at_image(path)


def _look_at_dicom(path: Path) -> Holds:
    from .dicom.open import look_at_dicom

    return look_at_dicom(path)


def _open_hdf5(source: Input) -> VolumeReader:
    from .hdf5.open import open_hdf5

    return open_hdf5(source)


def _open_npy(source: Input) -> VolumeReader:
    from .npy import open_npy

    return open_npy(source.local_path)


def _open_metaimage(source: Input) -> VolumeReader:
    from .metaimage import open_metaimage

    return open_metaimage(source)


def _open_nrrd(source: Input) -> VolumeReader:
    from .nrrd import open_nrrd

    return open_nrrd(source)


def _open_nifti(source: Input) -> VolumeReader:
    from .nifti import open_nifti

    return open_nifti(source)


def _open_mrc(source: Input) -> VolumeReader:
    from .mrc import open_mrc

    return open_mrc(source)


def _open_vol(source: Input) -> VolumeReader:
    from .vol import open_vol

    return open_vol(source)


def _open_raw(source: Input) -> VolumeReader:
    from .raw import open_raw

    return open_raw(source)


def _open_zarr(source: Input) -> VolumeReader:
    from .zarr import open_zarr

    return open_zarr(source)


def _open_slices(source: Input) -> VolumeReader:
    from .slices import open_folder

    return open_folder(source, TIFF.endings)


def _open_dicom(source: Input) -> VolumeReader:
    from .dicom.open import open_dicom

    return open_dicom(source)


def _open_dicom_folder(source: Input) -> VolumeReader:
    from .dicom.open import open_dicom_folder

    return open_dicom_folder(source)


def _open_scanco(source: Input) -> VolumeReader:
    from .scanco import open_scanco

    return open_scanco(source)


def _open_txm(source: Input) -> VolumeReader:
    from .txm import open_txm

    return open_txm(source)


def _is_zarr(source: Input) -> bool:
    from napari_ct_pyramid.omezarr.kind import kind_of

    return kind_of(source.path) is not None


def _is_dicom_folder(source: Input) -> bool:
    from .dicom.detection import is_dicom_folder
    from .image_header import IMAGE_KINDS

    others = TIFF.endings + tuple(ending for kind in IMAGE_KINDS for ending in kind.endings)
    return isinstance(source.path, Path) and is_dicom_folder(source.path, source.pattern, others)


TIFF = SourceFormat(
    name="a TIFF",
    opener=_open_tiff,
    endings=(".tif", ".tiff", ".btf", ".tf8", ".tf2"),
    magic=(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    holds=_look_at_tiff,
    several=True,
    in_napari=True,
    examples="`scan.tif`",
    readme="TIFF and BigTIFF with one page a slice, ImageJ stacks (over 4 GB too), OME-TIFF (in several files too), "
    "stacks of MetaMorph and other microscopes, tiled and compressed pages, either byte order: whatever tifffile reads "
    "as one z, y, x volume",
    phrase="a TIFF that holds one volume",
)
"""The format of single files, and of the slices in a folder."""

RAW = SourceFormat(
    name="a file of voxels without a header",
    opener=_open_raw,
    endings=(".raw",),
    in_napari=True,
    examples="`scan.raw`",
    readme="voxels without a header, whose shape and type are options",
    phrase="a file of voxels without a header, with its shape and type stated",
)
"""The format of a file whose shape and type the user states."""

_ARCHIVE = "Try unpacking it first."

# In the order in which they are tried. A folder of slices is last: every folder might be one.
FORMATS: tuple[SourceFormat, ...] = (
    TIFF,
    SourceFormat(
        name="an HDF5 file",
        opener=_open_hdf5,
        endings=(".h5", ".hdf5", ".nxs"),
        magic=(HDF5,),
        is_file=is_hdf5,
        arrays=True,
        several=True,
        extra="hdf5",
        in_napari=True,
        examples="`scan.h5`, `scan.h5::/entry/data/data`",
        readme="HDF5, NeXus, MATLAB 7.3, Imaris, BigDataViewer (extra `hdf5`): the only dataset with three axes, the "
        "one that NeXus prefers, or the one that is named; external links, virtual datasets; all threads decode chunks",
        phrase="an HDF5 file, with the path of a dataset if it has several, as in scan.h5::/entry/data/data",
    ),
    SourceFormat(
        name="a NumPy array",
        opener=_open_npy,
        endings=(".npy",),
        magic=(b"\x93NUMPY",),
        examples="`scan.npy`",
        readme="NumPy, C or Fortran order",
        phrase="a NumPy file",
    ),
    SourceFormat(
        name="a MetaImage",
        opener=_open_metaimage,
        endings=(".mhd", ".mha"),
        is_file=is_metaimage,
        several=True,
        in_napari=True,
        examples="`scan.mhd`, `scan.mha`",
        readme="MetaImage, with its data in the same file, in another, or in one for each slice; in one file, also "
        "compressed",
        phrase="a MetaImage",
    ),
    SourceFormat(
        name="an NRRD volume",
        opener=_open_nrrd,
        endings=(".nrrd", ".nhdr"),
        magic=(b"NRRD",),
        several=True,
        extra="nrrd",
        in_napari=True,
        examples="`scan.nrrd`, `scan.nhdr`",
        readme="NRRD (extra `nrrd`), raw or gzip, with its data in the same file or in others",
        phrase="an NRRD volume",
    ),
    SourceFormat(
        name="a NIfTI volume",
        opener=_open_nifti,
        endings=(".nii", ".nii.gz"),
        is_file=is_nifti,
        several=True,
        extra="nifti",
        in_napari=True,
        examples="`scan.nii`, `scan.nii.gz`",
        readme="NIfTI-1 and NIfTI-2 (extra `nifti`), also compressed, or with its data in an `.img` file",
        phrase="a NIfTI volume",
    ),
    SourceFormat(
        name="an MRC volume",
        opener=_open_mrc,
        endings=(".mrc", ".rec", ".map"),
        magic=(b"MAP ", b"MAP\0"),
        magic_at=208,
        several=True,
        extra="mrc",
        in_napari=True,
        examples="`scan.mrc`, `scan.rec`, `scan.map`",
        readme="MRC and CCP4 (extra `mrc`), either byte order, any order of axes",
        phrase="an MRC or CCP4 volume",
    ),
    SourceFormat(
        name="a .vol file",
        opener=_open_vol,
        endings=(".vol", ".vgi", ".pcr", ".vol.info"),
        is_file=is_vol,
        in_napari=True,
        examples="`scan.vgi`, `scan.vol`",
        readme="the volumes of VGStudio, Nikon and GE phoenix, by their `.vgi` or `.pcr` file, and of PyHST, by their "
        "`.vol.info` file",
        phrase="a .vol file with its .vgi, .pcr or .vol.info file beside it",
    ),
    RAW,
    SourceFormat(
        name="a Zarr",
        opener=_open_zarr,
        is_folder=_is_zarr,
        remote=True,
        several=True,
        arrays=True,
        examples="`scan.ome.zarr`, `scan.zarr::/a`",
        readme="the finest level of an OME-Zarr, or a Zarr array (v2 or v3, with shards too): to write it with other "
        "chunks or levels",
        phrase="an OME-Zarr, or a Zarr array",
    ),
    SourceFormat(
        name="a Zeiss scan",
        opener=_open_txm,
        endings=(".txm", ".txrm"),
        magic=(COMPOUND_FILE,),
        in_napari=True,
        examples="`scan.txm`",
        readme="Zeiss (Xradia) reconstructions of uint16 or float32, and the projections of a `.txrm`",
        phrase="a Zeiss .txm",
    ),
    SourceFormat(
        name="a Scanco volume",
        opener=_open_scanco,
        endings=(".isq", ".aim"),
        magic=(ISQ, AIM_030, AIM_020),
        in_napari=True,
        examples="`scan.isq`, `scan.aim`",
        readme="Scanco ISQ, and AIM of versions 020 and 030, uncompressed",
        phrase="a Scanco .isq or .aim",
    ),
    SourceFormat(
        name="a DICOM file",
        opener=_open_dicom,
        holds=_look_at_dicom,
        endings=(".dcm", ".ima", ".dicom"),
        magic=(b"DICM",),
        magic_at=128,
        extra="dicom",
        in_napari=True,
        examples="`scan.dcm`",
        readme="a DICOM file of many frames (extra `dicom`), in the order of their positions; compressed ones too",
        phrase="a DICOM file of many frames",
    ),
    SourceFormat(
        name="a folder of DICOM slices",
        opener=_open_dicom_folder,
        is_folder=_is_dicom_folder,
        arrays=True,
        extra="dicom",
        examples="`series/`, `series/::3`",
        readme="DICOM files with one slice each (extra `dicom`), in the order of their positions, from which the "
        "voxel size comes; the only series, or the one whose number is named; gaps are errors",
        phrase="a folder of DICOM slices, with the number of a series if it has several, as in series/::3",
    ),
    SourceFormat(
        name="a folder of slices",
        opener=_open_slices,
        is_folder=lambda _: True,
        examples="`slices/`, `'scan/slice_*.tif'`",
        readme="one image a slice (TIFF, PNG, BMP, JPEG 2000 or JPEG, in grey), in the order of their numbers; a "
        "missing slice, or one that differs, is an error that names the file. The voxel size comes from the log of the "
        "scanner beside them: SkyScan and NRecon `.log`, Nikon `.xtekct`, phoenix `.pcr`, RX Solutions "
        "`unireconstruction.xml`",
        phrase="a folder of slices, or a pattern of their names, such as scan/slice_*.tif",
    ),
    SourceFormat(name="a PNG image", magic=(b"\x89PNG",), slice_endings=(".png",), holds=_look_at_image),
    SourceFormat(name="a JPEG image", magic=(b"\xff\xd8\xff",), slice_endings=(".jpg", ".jpeg"), holds=_look_at_image),
    SourceFormat(name="a BMP image", magic=(b"BM",), slice_endings=(".bmp",), holds=_look_at_image),
    SourceFormat(
        name="a JPEG 2000 image",
        magic=(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
        slice_endings=(".jp2", ".j2k", ".jpx", ".j2c"),
        holds=_look_at_image,
    ),
    SourceFormat(name="a NetCDF file", magic=(b"CDF",), hint="Try saving it as NetCDF-4, which is HDF5."),
    SourceFormat(name="a gzip archive", magic=(b"\x1f\x8b",), hint=_ARCHIVE),
    SourceFormat(name="a ZIP archive", magic=(b"PK\x03\x04",), hint=_ARCHIVE),
    SourceFormat(name="a RAR archive", magic=(b"Rar!",), hint=_ARCHIVE),
    SourceFormat(name="a 7-Zip archive", magic=(b"7z\xbc\xaf",), hint=_ARCHIVE),
    SourceFormat(name="a PDF document", magic=(b"%PDF",)),
)
