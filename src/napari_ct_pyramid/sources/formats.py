"""The table of source formats.

To add a format, write one module and one entry of `FORMATS`. Detection, error messages, file dialogs, help texts and
the README's table are made from that entry, and a test compares napari's manifest with it. The module of a format, with
its libraries, is imported only when a source of that format is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ct_pyramid.errors import SourceError

from .inputs import Input

if TYPE_CHECKING:
    from .base import Holds, VolumeReader


@dataclass(frozen=True, kw_only=True)
class SourceFormat:
    """A kind of file or folder that holds a volume, or that a user may take for one.

    Attributes
    ----------
    name : str
        What a user calls one, with its article: ``"a TIFF"``.
    opener : callable or None
        Opens an INPUT of this format; None for a format that cannot be read.
    endings : tuple of str
        The endings of its files' names, the most common one first.
    magic : tuple of bytes
        Its files begin with one of these.
    magic_at : int
        Position of the magic bytes.
    is_file : callable or None
        Whether a file is of this format, from its path and its first bytes: for formats whose files do not begin with
        magic bytes. It is asked before the magic bytes of any format.
    is_folder : callable or None
        Whether a folder, or what its pattern matches, is of this format.
    holds : callable or None
        What a file of this format holds, by a quick look; None if each is taken for a volume. Files of a format that
        has it may be slices.
    remote : bool
        Whether it can also be read from object stores.
    arrays : bool
        Whether it may hold several arrays, so that ``::`` names one of them.
    several : bool
        Whether it may hold several channels or time points, from which its opener chooses.
    extra : str or None
        The extra of this package that brings the library it needs.
    in_napari : bool
        Whether the plugin offers to open files with these endings in napari.
    examples, readme : str
        The two cells of its line in the README's table.
    phrase : str
        What a user may give as INPUT, for help texts.
    hint : str
        What to try with a format that cannot be read.
    slice_endings : tuple of str
        For a format whose file is one slice of a volume: the endings of such files' names.
    """

    name: str
    opener: Callable[[Input], VolumeReader] | None = None
    endings: tuple[str, ...] = ()
    magic: tuple[bytes, ...] = ()
    magic_at: int = 0
    is_file: Callable[[Path, bytes], bool] | None = None
    is_folder: Callable[[Input], bool] | None = None
    holds: Callable[[Path], Holds] | None = None
    remote: bool = False
    arrays: bool = False
    several: bool = False
    extra: str | None = None
    in_napari: bool = False
    examples: str = ""
    readme: str = ""
    phrase: str = ""
    hint: str = ""
    slice_endings: tuple[str, ...] = ()

    def matches(self, head: bytes) -> bool:
        """Whether a file with these first bytes has the magic bytes of this format."""
        return any(head.startswith(magic, self.magic_at) for magic in self.magic)

    def open(self, source: Input) -> VolumeReader:
        """Open an INPUT of this format.

        Raises
        ------
        SourceError
            If it is not a volume that can be read, or the library for it is not installed.
        """
        assert self.opener is not None
        try:
            return self.opener(source)
        except ImportError as exc:
            if self.extra is None:
                raise
            raise SourceError(
                f"{source.path} is {self.name}, and the library that reads it could not be loaded ({exc}). Install it: "
                f"pip install 'napari-ct-pyramid[{self.extra}]'"
            ) from exc


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


def _is_hdf5(path: Path, head: bytes) -> bool:
    """Whether it has the signature of HDF5, which may follow a block of the user, as in MATLAB's files."""
    if head.startswith(_HDF5):
        return True
    at, size = 512, path.stat().st_size
    with path.open("rb") as file:
        while at + len(_HDF5) <= min(size, _USER_BLOCK):
            file.seek(at)
            if file.read(len(_HDF5)) == _HDF5:
                return True
            at *= 2
    return False


def _open_npy(source: Input) -> VolumeReader:
    from .npy import open_npy

    return open_npy(source.local_path)


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
    in_napari=True,
    examples="`scan.tif`",
    readme="TIFF and BigTIFF with one page a slice, ImageJ stacks (over 4 GB too), OME-TIFF (in several files too), "
    "stacks of MetaMorph and other microscopes, tiled and compressed pages, either byte order: whatever tifffile reads "
    "as one z, y, x volume",
    phrase="a TIFF that holds one volume",
)
"""The format of single files, and of the slices in a folder."""

_HDF5 = b"\x89HDF\r\n\x1a\n"
_USER_BLOCK = 2**20  # bytes before the signature, at most
_ARCHIVE = "Try unpacking it first."

# In the order in which they are tried. A folder of slices is last: every folder might be one.
FORMATS: tuple[SourceFormat, ...] = (
    TIFF,
    SourceFormat(
        name="an HDF5 file",
        opener=_open_hdf5,
        endings=(".h5", ".hdf5", ".nxs"),
        magic=(_HDF5,),
        is_file=_is_hdf5,
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
        magic=(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",),
        in_napari=True,
        examples="`scan.txm`",
        readme="Zeiss (Xradia) reconstructions of uint16 or float32, and the projections of a `.txrm`",
        phrase="a Zeiss .txm",
    ),
    SourceFormat(
        name="a Scanco volume",
        opener=_open_scanco,
        endings=(".isq", ".aim"),
        magic=(b"CTDATA-HEADER_V1", b"AIMDATA_V030", b"\x14\0\0\0\x8c\0\0\0"),
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
    SourceFormat(name="an NRRD volume", magic=(b"NRRD",)),
    SourceFormat(name="a NetCDF file", magic=(b"CDF",), hint="Try saving it as NetCDF-4, which is HDF5."),
    SourceFormat(name="a gzip archive", magic=(b"\x1f\x8b",), hint=_ARCHIVE),
    SourceFormat(name="a ZIP archive", magic=(b"PK\x03\x04",), hint=_ARCHIVE),
    SourceFormat(name="a RAR archive", magic=(b"Rar!",), hint=_ARCHIVE),
    SourceFormat(name="a 7-Zip archive", magic=(b"7z\xbc\xaf",), hint=_ARCHIVE),
    SourceFormat(name="a PDF document", magic=(b"%PDF",)),
)
