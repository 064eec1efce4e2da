"""Opens whatever holds a volume, and reads any block of its rows.

Finds out what kind it is and leaves the rest to what knows that kind: `_tiff`, and the modules of `_sources`. Knows
nothing of levels, chunks and budgets.
"""

from __future__ import annotations

import difflib
import stat
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from napari_ct_pyramid.errors import RequestError, SourceError, SourceNotFoundError
from napari_ct_pyramid.omezarr.journal import JOURNAL
from napari_ct_pyramid.omezarr.metadata import is_zarr
from napari_ct_pyramid.storage.object_store import RemotePath
from napari_ct_pyramid.storage.paths import AnyPath, PathLike

from .inputs import INSIDE, Input, parse_input

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_ct_pyramid.options import Crop

    from .base import VolumeReader


def open_source(path: PathLike, *, axes: str = "zyx", crop: Crop | None = None) -> Source:
    """Open a volume for reading.

    Parameters
    ----------
    path : path-like
        A TIFF or BigTIFF file that holds one volume; a folder of slices, each a TIFF, or a pattern of their names
        (``"scan/slice_*.tif"``); an HDF5 or NeXus file, with the path of a dataset where it has several of three axes
        (``"scan.h5::/entry/data/data"``); a NumPy file; an OME-Zarr image, whose finest level it is, or a Zarr array.
    axes : str
        How its axes lie, from the slowest to the fastest.
    crop : tuple, optional
        Only this part of it, along z, y, x, as `ConversionOptions` has it.

    Returns
    -------
    Source
        To be closed when done: it is a context manager.

    Raises
    ------
    SourceNotFoundError
        If there is no such file.
    SourceError
        If it is not a volume that can be read. Every page is looked at, so that a bad one is found now.
    RequestError
        If the part is not within it.
    """
    asked = parse_input(path)
    kind = "a volume"
    try:
        kind, opener = _find_kind(asked)
        reader = opener()
    except SourceError:
        raise
    except PermissionError as exc:
        raise SourceError(f"{path} may not be read by this user. Try changing its permissions.") from exc
    except Exception as exc:  # libraries meet damaged files with errors of every kind
        raise SourceError(
            f"{path} could not be read as {kind}{_reason(exc)}. It may be damaged: try opening it in another "
            "program, such as Fiji, and saving it again."
        ) from exc
    try:
        return Source(_view(reader, axes, crop))
    except RequestError:
        reader.close()
        raise


def _view(reader: VolumeReader, axes: str, crop: Crop | None) -> VolumeReader:
    if axes == "zyx" and crop is None:
        return reader
    from .views import Cropped, Transposed

    turned = reader if axes == "zyx" else Transposed(reader, axes)
    return turned if crop is None else Cropped(turned, crop)


class Source:
    """A volume that is open for reading. Made by `open_source`.

    Attributes
    ----------
    volume : Volume
        What it holds.
    """

    def __init__(self, reader: VolumeReader) -> None:
        self.volume = reader.volume
        self._reader = reader

    @property
    def files(self) -> tuple[AnyPath, ...]:
        """The files that hold it, or by which it is known at least."""
        return self._reader.paths

    def read(self, z0: int, z1: int, y0: int, y1: int, out: npt.NDArray[Any]) -> None:
        """Read rows ``y0`` to ``y1`` of slices ``z0`` to ``z1``, in full width.

        Any number of threads may call it at once; each has its own handle on the file.

        Parameters
        ----------
        z0, z1, y0, y1 : int
            A block within the volume; the ends are not part of it.
        out : numpy.ndarray
            Filled with the voxels: shape (z1 - z0, y1 - y0, x), of the volume's dtype. May be a view with strides
            along z and y; along x its voxels must lie one after another.

        Raises
        ------
        SourceError
            If the data is not there any more, or cannot be decoded.
        """
        volume = self.volume
        z, y, x = volume.shape
        if not (0 <= z0 <= z1 <= z and 0 <= y0 <= y1 <= y):
            raise ValueError(f"block z {z0} to {z1}, y {y0} to {y1} is not within a volume of shape {volume.shape}")
        if out.shape == (z1 - z0, y1 - y0, x) and not out.size:
            return
        if out.shape != (z1 - z0, y1 - y0, x) or out.dtype != volume.dtype or out.strides[2] != out.itemsize:
            raise ValueError(f"cannot read into an array of shape {out.shape}, {out.dtype}, strides {out.strides}")
        try:
            self._reader.read((z0, y0, 0), out)
        except OSError as exc:
            if isinstance(exc, SourceError):
                raise
            raise SourceError(
                f"{exc.filename or self.files[0]} could not be read ({exc.strerror or exc}). "
                "Try again when its disk can be reached."
            ) from exc

    def close(self) -> None:
        """Close the file; no thread may be reading."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _reason(error: Exception) -> str:
    """What an error says, if it was written for people."""
    if isinstance(error, OSError):
        return f" ({error.strerror or error})"
    return f" ({error})" if isinstance(error, ValueError) and str(error) else ""


_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HDF5, _NUMPY = b"\x89HDF\r\n\x1a\n", b"\x93NUMPY"
_OTHERS = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"BM": "a BMP image",
    b"NRRD": "an NRRD volume",
    b"\x1f\x8b": "a gzip archive",
    b"PK\x03\x04": "a ZIP archive",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"%PDF": "a PDF document",
    b"CDF": "a NetCDF file",
}


def _find_kind(asked: Input) -> tuple[str, Callable[[], VolumeReader]]:
    """The kind of a source, and how to open it. Each kind imports what it needs when it is opened."""
    if isinstance(asked.path, RemotePath):
        return _kind_in_store(asked, asked.path)
    return _kind_of_path(asked, asked.path)


def _kind_of_path(asked: Input, path: Path) -> tuple[str, Callable[[], VolumeReader]]:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise SourceNotFoundError(
            f"There is no {'folder' if asked.pattern else 'file'} {path}{_nearest(path)}"
        ) from exc
    if stat.S_ISDIR(mode):
        return _kind_of_folder(asked, path)
    if not stat.S_ISREG(mode):
        raise SourceError(f"{path} is not an ordinary file, where a volume is needed.")
    with path.open("rb") as file:
        head = file.read(132)
    if head.startswith(_HDF5):
        return "an HDF5 file", lambda: _open_hdf5(path, asked.inside)
    if asked.inside is not None:
        raise SourceError(f"{path} is a file without parts: {INSIDE}/{asked.inside} is for HDF5 files and Zarr groups.")
    if head[:4] in _TIFF:
        return "a TIFF", lambda: _open_tiff(path)
    if head.startswith(_NUMPY):
        return "a NumPy array", lambda: _open_npy(path)
    if not head:
        raise SourceError(f"{path} is empty, where a volume is needed. Try copying it again.")
    looks = next((what for magic, what in _OTHERS.items() if head.startswith(magic)), None)
    if looks is None:
        looks = "a DICOM file" if head[128:] == b"DICM" else f"something else (it begins with {head[:8]!r})"
    raise SourceError(f"{path} is no volume that can be read: it looks like {looks}. Try saving it as a TIFF.")


def _kind_in_store(asked: Input, path: RemotePath) -> tuple[str, Callable[[], VolumeReader]]:
    if is_zarr(path) or (path / JOURNAL).is_file():
        return "a Zarr", lambda: _open_zarr(asked)
    if not path.exists():
        raise SourceNotFoundError(f"There is nothing at {path}. Try its full address.")
    raise SourceError(
        f"{path} is no Zarr, and nothing else is read from an object store. Copy it to this machine first."
    )


def _kind_of_folder(asked: Input, path: Path) -> tuple[str, Callable[[], VolumeReader]]:
    if is_zarr(path) or (path / JOURNAL).is_file():
        return "a Zarr", lambda: _open_zarr(asked)
    if asked.inside is not None:
        raise SourceError(f"{path} is no Zarr group, so there is no {INSIDE}/{asked.inside} in it.")
    return "a folder of slices", lambda: _open_folder(path, asked)


def _open_tiff(path: Path) -> VolumeReader:
    from napari_ct_pyramid.sources.tiff.layout import open_tiff

    return open_tiff(path)


def _open_hdf5(path: Path, inside: str | None) -> VolumeReader:
    from .hdf5 import open_hdf5

    return open_hdf5(path, inside)


def _open_npy(path: Path) -> VolumeReader:
    from .npy import open_npy

    return open_npy(path)


def _open_zarr(asked: Input) -> VolumeReader:
    from .zarr import open_zarr

    return open_zarr(asked)


def _open_folder(path: Path, asked: Input) -> VolumeReader:
    from .slices import open_folder

    return open_folder(path, asked.pattern, asked.stem)


def _nearest(path: Path) -> str:
    """What is there instead of a missing file: one whose name is nearly the same, or not even the folder."""
    try:
        names = [other.name for other in path.parent.iterdir()]
    except OSError:
        return f": there is no folder {path.parent}."
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.8)
    return f". Did you mean {path.with_name(near[0])}?" if near else ". Try its full path."
