"""The registry of source formats, and `open_source`, which finds a source's format in it.

To add a format, write one module and one entry of `FORMATS`. Detection, error messages, file dialogs, help texts and
the README's table are made from that entry, and a test compares napari's manifest with it. The module of a format, with
its libraries, is imported only when a source of that format is opened.
"""

from __future__ import annotations

import difflib
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ct_pyramid.errors import RequestError, SourceError, SourceNotFoundError
from napari_ct_pyramid.storage.paths import AnyPath, PathLike
from napari_ct_pyramid.storage.remote_path import RemotePath

from .inputs import INSIDE, Input, parse_input

if TYPE_CHECKING:
    from napari_ct_pyramid.options import Crop

    from .base import Source, VolumeReader


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
        Its files begin with one of these. Empty for a format that is a folder.
    magic_at : int
        Position of the magic bytes.
    is_folder : callable or None
        Whether a folder is of this format.
    remote : bool
        Whether it can also be read from object stores.
    arrays : bool
        Whether it may hold several arrays, so that ``::`` names one of them.
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
    """

    name: str
    opener: Callable[[Input], VolumeReader] | None = None
    endings: tuple[str, ...] = ()
    magic: tuple[bytes, ...] = ()
    magic_at: int = 0
    is_folder: Callable[[AnyPath], bool] | None = None
    remote: bool = False
    arrays: bool = False
    extra: str | None = None
    in_napari: bool = False
    examples: str = ""
    readme: str = ""
    phrase: str = ""
    hint: str = ""

    def matches(self, head: bytes) -> bool:
        """Whether a file with these first bytes is of this format."""
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

    return open_tiff(source.local_path)


def _open_hdf5(source: Input) -> VolumeReader:
    from .hdf5 import open_hdf5

    return open_hdf5(source.local_path, source.inside)


def _open_npy(source: Input) -> VolumeReader:
    from .npy import open_npy

    return open_npy(source.local_path)


def _open_zarr(source: Input) -> VolumeReader:
    from .zarr import open_zarr

    return open_zarr(source)


def _open_slices(source: Input) -> VolumeReader:
    from .slices import open_folder

    return open_folder(source.local_path, source.pattern, source.stem, TIFF.endings)


def _is_zarr(path: AnyPath) -> bool:
    from napari_ct_pyramid.omezarr.kind import kind_of

    return kind_of(path) is not None


TIFF = SourceFormat(
    name="a TIFF",
    opener=_open_tiff,
    endings=(".tif", ".tiff", ".btf", ".tf8", ".tf2"),
    magic=(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    in_napari=True,
    examples="`scan.tif`",
    readme="TIFF and BigTIFF with one page a slice, ImageJ stacks (over 4 GB too), OME-TIFF (in several files too), "
    "stacks of MetaMorph and other microscopes, tiled and compressed pages, either byte order: whatever tifffile reads "
    "as one z, y, x volume",
    phrase="a TIFF that holds one volume",
)
"""The format of single files, and of the slices in a folder."""

_SLICE = "A volume takes all its slices: try saving them as TIFFs, in a folder of their own."
_ARCHIVE = "Try unpacking it first."

# In the order in which they are tried. A folder of slices is last: every folder might be one.
FORMATS: tuple[SourceFormat, ...] = (
    TIFF,
    SourceFormat(
        name="an HDF5 file",
        opener=_open_hdf5,
        endings=(".h5", ".hdf5", ".nxs"),
        magic=(b"\x89HDF\r\n\x1a\n",),
        arrays=True,
        extra="hdf5",
        in_napari=True,
        examples="`scan.h5`, `scan.h5::/entry/data/data`",
        readme="HDF5 and NeXus (extra `hdf5`): the only dataset with three axes, or the one that is named; all threads "
        "decode chunks",
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
        arrays=True,
        examples="`scan.ome.zarr`, `scan.zarr::/a`",
        readme="the finest level of an OME-Zarr, or a Zarr array (v2 or v3, with shards too): to write it with other "
        "chunks or levels",
        phrase="an OME-Zarr, or a Zarr array",
    ),
    SourceFormat(
        name="a folder of slices",
        opener=_open_slices,
        is_folder=lambda _: True,
        examples="`slices/`, `'scan/slice_*.tif'`",
        readme="one TIFF a slice, in the order of their numbers; a missing slice, or one that differs, is an error "
        "that names the file",
        phrase="a folder of slices, or a pattern of their names, such as scan/slice_*.tif",
    ),
    SourceFormat(name="a PNG image", magic=(b"\x89PNG",), hint=_SLICE),
    SourceFormat(name="a JPEG image", magic=(b"\xff\xd8\xff",), hint=_SLICE),
    SourceFormat(name="a BMP image", magic=(b"BM",), hint=_SLICE),
    SourceFormat(name="a DICOM file", magic=(b"DICM",), magic_at=128, hint=_SLICE),
    SourceFormat(name="an NRRD volume", magic=(b"NRRD",)),
    SourceFormat(name="a NetCDF file", magic=(b"CDF",), hint="Try saving it as NetCDF-4, which is HDF5."),
    SourceFormat(name="a gzip archive", magic=(b"\x1f\x8b",), hint=_ARCHIVE),
    SourceFormat(name="a ZIP archive", magic=(b"PK\x03\x04",), hint=_ARCHIVE),
    SourceFormat(name="a RAR archive", magic=(b"Rar!",), hint=_ARCHIVE),
    SourceFormat(name="a 7-Zip archive", magic=(b"7z\xbc\xaf",), hint=_ARCHIVE),
    SourceFormat(name="a PDF document", magic=(b"%PDF",)),
)
_READABLE = tuple(kind for kind in FORMATS if kind.opener)
_SAVE_AS_TIFF = "Try saving it as a TIFF."
_HEAD_BYTES = max(kind.magic_at + len(magic) for kind in FORMATS for magic in kind.magic)


ENDINGS = tuple(ending for kind in _READABLE for ending in kind.endings)
"""The endings of all files that can be read."""

NAPARI_ENDINGS = tuple(ending for kind in _READABLE if kind.in_napari for ending in kind.endings)
"""The endings of the files that the plugin offers to open in napari. Its manifest lists them, too."""

FILE_FILTER = f"Volumes ({' '.join(f'*{ending}' for ending in ENDINGS)});;All files (*)"
"""The filter of Qt's file dialogs."""

INPUTS = "; ".join(kind.phrase for kind in _READABLE)
"""What a user may give as a source, for help texts."""


def readme_table() -> str:
    """The table of the formats in the README."""
    lines = [f"| {kind.examples} | {kind.readme} |" for kind in _READABLE]
    return "\n".join(["| INPUT | what |", "| --- | --- |", *lines])


def open_source(path: PathLike, *, axes: str = "zyx", crop: Crop | None = None) -> Source:
    """Open a volume for reading.

    Parameters
    ----------
    path : path-like
        A TIFF or BigTIFF file that holds one volume; a folder of slices, each a TIFF, or a pattern of their names
        (``"scan/slice_*.tif"``); an HDF5 or NeXus file, with the path of a dataset if it has several with three
        axes (``"scan.h5::/entry/data/data"``); a NumPy file; an OME-Zarr image, whose finest level is read; or a
        Zarr array.
    axes : str
        The order of its axes, from the slowest to the fastest.
    crop : tuple, optional
        Read only this part, along z, y, x, in the form of `ConversionOptions.crop`.

    Returns
    -------
    Source
        A context manager. Close it when done.

    Raises
    ------
    SourceNotFoundError
        If there is no such file.
    SourceError
        If it is not a volume that can be read. Every page of a TIFF is checked, so that a damaged one is found now.
    RequestError
        If the part is not within the volume.
    """
    from .base import Source

    source = parse_input(path)
    name = "a volume"
    try:
        kind = find_format(source)
        name = kind.name
        reader = kind.open(source)
    except SourceError:
        raise
    except PermissionError as exc:
        raise SourceError(f"{path} may not be read by this user. Try changing its permissions.") from exc
    except Exception as exc:  # libraries raise errors of every kind on damaged files
        raise SourceError(
            f"{path} could not be read as {name}{_reason(exc)}. It may be damaged: try opening it in another "
            "program, such as Fiji, and saving it again."
        ) from exc
    try:
        return Source(_view(reader, axes, crop))
    except RequestError:
        reader.close()
        raise


def find_format(source: Input) -> SourceFormat:
    """The format of an INPUT.

    Raises
    ------
    SourceError
        If it has none of the formats.
    SourceNotFoundError
        If there is no such file.
    """
    if isinstance(source.path, RemotePath):
        return _format_in_store(source.path)
    try:
        mode = source.path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise SourceNotFoundError(
            f"There is no {'folder' if source.pattern else 'file'} {source.path}{_nearest(source.path)}"
        ) from exc
    if stat.S_ISDIR(mode):
        return _format_of_folder(source)
    if not stat.S_ISREG(mode):
        raise SourceError(f"{source.path} is not an ordinary file. Try the path of a file that holds a volume.")
    return _format_of_file(source, source.path)


def _format_of_file(source: Input, path: Path) -> SourceFormat:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    kind = next((kind for kind in FORMATS if kind.matches(head)), None)
    if source.inside is not None and not (kind and kind.arrays):
        raise _without_arrays(source)
    if kind and kind.opener:
        return kind
    if not head:
        raise SourceError(f"{path} is empty. Try copying or writing the file again.")
    found = kind.name if kind else f"something else (it begins with {head[:8]!r})"
    hint = kind.hint if kind and kind.hint else _SAVE_AS_TIFF
    raise SourceError(f"{path} is not a volume that can be read: it looks like {found}. {hint}")


def _format_of_folder(source: Input) -> SourceFormat:
    kind = next(kind for kind in _READABLE if kind.is_folder and kind.is_folder(source.path))
    if source.inside is not None and not kind.arrays:
        raise _without_arrays(source)
    return kind


def _format_in_store(path: RemotePath) -> SourceFormat:
    remote = [kind for kind in _READABLE if kind.remote]
    for kind in remote:
        if kind.is_folder and kind.is_folder(path):
            return kind
    if not path.exists():
        raise SourceNotFoundError(f"There is nothing at {path}. Try its full address.")
    names = " or ".join(kind.name for kind in remote)
    raise SourceError(
        f"{path} is not {names}, and nothing else can be read from an object store. Try copying it to this machine."
    )


def _without_arrays(source: Input) -> SourceError:
    names = " or ".join(kind.name for kind in _READABLE if kind.arrays)
    return SourceError(
        f"{source.path} is not {names}, so it has no array {INSIDE}/{source.inside}. Try its path alone."
    )


def _nearest(path: Path) -> str:
    """What to try instead of a file that does not exist: one with nearly the same name, if there is one."""
    try:
        names = [other.name for other in path.parent.iterdir()]
    except OSError:
        return f": there is no folder {path.parent}."
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.8)
    return f". Did you mean {path.with_name(near[0])}?" if near else ". Try its full path."


def _reason(error: Exception) -> str:
    """The text of an error, if it was written for people."""
    if isinstance(error, OSError):
        return f" ({error.strerror or error})"
    return f" ({error})" if isinstance(error, ValueError) and str(error) else ""


def _view(reader: VolumeReader, axes: str, crop: Crop | None) -> VolumeReader:
    if axes == "zyx" and crop is None:
        return reader
    from .views import Cropped, Transposed

    transposed = reader if axes == "zyx" else Transposed(reader, axes)
    return transposed if crop is None else Cropped(transposed, crop)
