"""What is made from the table of formats: the endings, help texts, and `open_source`, which finds a source's format."""

from __future__ import annotations

import difflib
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ct_pyramid.errors import Advice, CtPyramidError, RequestError, SourceError, SourceNotFoundError
from napari_ct_pyramid.options import SourceOptions
from napari_ct_pyramid.storage.paths import INSIDE
from napari_ct_pyramid.storage.remote_path import RemotePath, nothing_on_the_web

from .choice import choose
from .formats import FORMATS, RAW
from .inputs import ArrayInput, Input, SourceLike, parse_input
from .names import single_slice
from .source_format import SourceFormat

if TYPE_CHECKING:
    from napari_ct_pyramid.options import Crop

    from .base import Source, VolumeReader


_READABLE = tuple(kind for kind in FORMATS if kind.opener)
_SAVE_AS_TIFF = "Try saving it as a TIFF."
_HEAD_BYTES = 1024  # in which every format is recognized, also in a compressed file

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


def open_source(
    path: SourceLike, options: SourceOptions | None = None, *, level: int = 0, grey: bool = False
) -> Source:
    """Open a volume for reading.

    Parameters
    ----------
    path : path-like, array or ArrayInput
        A file of any kind in the table of formats, such as a TIFF or BigTIFF that holds one volume; a folder of slices
        (TIFF, PNG, DICOM …) or a pattern of their names (``"scan/slice_*.tif"``); an HDF5 or NeXus file, with the path
        of a dataset if it has several with three axes (``"scan.h5::/entry/data/data"``); an OME-Zarr image, whose
        finest level is read; or a Zarr array.
    options : SourceOptions, optional
        What to read of it, such as a part or a channel. `ConversionOptions` are such options, too.
    level : int
        The level of an OME-Zarr to read. A crop is in voxels of level 0 all the same.
    grey : bool
        Read the grey values that the voxels stand for.

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
        If the part is not within the volume, or there is no such level.
    """
    from .base import Source
    from .grey_values import grey_values
    from .narrowed import narrowed

    options = options or SourceOptions()
    source = parse_input(path, options, level)
    reader = _open_array(source, options) if isinstance(source, ArrayInput) else _open_path(source)
    try:
        if level and reader.volume.finest_shape is None:
            raise RequestError(
                f"{reader.volume.name} ({reader.volume.format}) has one level, and level {level} was asked for. Leave "
                "the level out (", Advice("level"), ").",
            )  # fmt: skip
        reader = narrowed(reader, options)
        return Source(_view(grey_values(reader) if grey else reader, options.axes, options.crop))
    except CtPyramidError:
        reader.close()
        raise


def _open_array(source: ArrayInput, options: SourceOptions) -> VolumeReader:
    from .array import open_array

    reader = open_array(source)
    choose(source, {}, options)
    return reader


def _open_path(source: Input) -> VolumeReader:
    path, name = source.path, "a volume"
    try:
        kind = find_format(source)
        name = kind.name
        if not kind.several:
            choose(source.path, {}, source.options)
        return kind.open(source)
    except CtPyramidError:
        raise
    except PermissionError as exc:
        raise SourceError(f"{path} may not be read by this user. Try changing its permissions.") from exc
    except Exception as exc:  # libraries raise errors of every kind on damaged files
        if isinstance(path, RemotePath) and isinstance(exc, OSError):
            raise SourceError(
                f"{path} could not be read{_reason(exc)}. Check the address and the connection, and try again."
            ) from exc
        raise SourceError(
            f"{path} could not be read as {name}{_reason(exc)}. It may be damaged: try opening it in another "
            "program, such as Fiji, and saving it again."
        ) from exc


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
    options = source.options
    if options.raw_shape or options.raw_dtype or options.raw_offset:
        return RAW
    kind = next((kind for kind in FORMATS if kind.is_file and kind.is_file(path, head)), None)
    kind = kind or next((kind for kind in FORMATS if kind.matches(head)), None)
    if kind is None and path.suffix.lower() in RAW.endings:
        return RAW
    if source.inside is not None and not (kind and kind.arrays):
        raise _without_arrays(source)
    if kind and kind.opener:
        return kind
    if not head:
        raise SourceError(f"{path} is empty. Try copying or writing the file again.")
    if kind and kind.slice_endings:
        raise single_slice(path, kind.name, kind.slice_endings)
    if kind:
        hint = kind.hint or _SAVE_AS_TIFF
        raise SourceError(f"{path} is not a volume that can be read: it looks like {kind.name}. {hint}")
    raise SourceError(
        f"{path} is not a volume that can be read: it begins with {head[:8]!r}, which no known format does. "
        f"{_SAVE_AS_TIFF} If it has voxels without a header, state their shape and type (",
        Advice("raw_shape"), " and ", Advice("raw_dtype"), ").",
    )  # fmt: skip


def _format_of_folder(source: Input) -> SourceFormat:
    kind = next(kind for kind in _READABLE if kind.is_folder and kind.is_folder(source))
    if source.inside is not None and not kind.arrays:
        raise _without_arrays(source)
    return kind


def _format_in_store(path: RemotePath) -> SourceFormat:
    remote = [kind for kind in _READABLE if kind.remote]
    for kind in remote:
        if kind.is_folder and kind.is_folder(Input(path)):
            return kind
    if not path.exists():
        raise SourceNotFoundError(nothing_on_the_web(path) or f"There is nothing at {path}. Try its full address.")
    names = " or ".join(kind.name for kind in remote)
    raise SourceError(
        nothing_on_the_web(path)
        or f"{path} is not {names}, and nothing else can be read from an object store. Try copying it to this machine."
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
