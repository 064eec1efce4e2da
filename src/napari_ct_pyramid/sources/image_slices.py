"""Slices that are images of other kinds than TIFF: PNG, BMP, JPEG and JPEG 2000."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.formatting import times
from napari_ct_pyramid.model.volume import Volume

from .base import Holds
from .decoding import JPEG_2000, jpeg_2000_bytes
from .encoded_slices import EncodedSlices
from .image_header import DAMAGED, IMAGE_KINDS, HeaderError, ImageHeader, ImageKind
from .row_reader import FileHandles, FileVolumeReader

_AGAIN = "Try copying or writing the file again."
_GREY = "Try saving the slices as grey values of 8 or 16 bits (in Fiji: Image > Type)."


def open_image_slices(
    where: Path, name: str, files: Sequence[Path], kind: ImageKind, *, notes: Sequence[str] = ()
) -> FileVolumeReader:
    """Open a volume that has one image for each slice.

    The header of every image is read. The first image is decoded, to find out at once if that is impossible.

    Parameters
    ----------
    where : Path
        The folder or pattern, for messages.
    name : str
        The name of the volume.
    files : sequence of Path
        The slices in order.
    kind : ImageKind
        What they must be.
    notes : sequence of str
        What the user should know of the choice of these files.

    Raises
    ------
    SourceError
        If one is damaged, has colours, is of another kind, or differs from the first one.
    """
    sizes = []
    first: ImageHeader | None = None
    for path in files:
        header, size = _read_header(where, path, kind)
        first = first or header
        if header != first:
            raise SourceError(
                f"{path.name} in {where} has {_describe(header)}, but {files[0].name} has {_describe(first)}. The "
                "slices of a volume must all be alike: try removing those that differ, or saving them again."
            )
        sizes.append(size)
    assert first is not None
    counts = np.array(sizes, np.int64)
    rows = EncodedSlices(np.zeros_like(counts), counts, first.shape, first.dtype, kind.decode, tuple(range(len(files))))
    handles = FileHandles(files)
    try:
        rows.image(handles, 0)
    finally:
        handles.close()
    height, width = first.shape
    volume = Volume(
        name=name,
        shape=(len(files), height, width),
        dtype=first.dtype,
        format=f"{len(files):,} {kind.name} files, one a slice",
        compression=kind.compression,
        granularity=(1, height, width),
        decoding_bytes=jpeg_2000_bytes(first.shape) if kind.compression == JPEG_2000 else 0,
        notes=tuple(notes),
    )
    return FileVolumeReader(volume, rows, files)


def _read_header(where: Path, path: Path, kind: ImageKind) -> tuple[ImageHeader, int]:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        if not size:
            raise SourceError(f"{path} is empty. {_AGAIN}")
        try:
            return kind.parse(file, size), size
        except HeaderError as exc:
            advice = _AGAIN if DAMAGED in str(exc) else _GREY
            raise SourceError(f"{path.name} in {where} {exc}. {advice}") from exc


def look_at_image(path: Path) -> Holds:
    """Whether an image is a slice, or something else: one with colors. A damaged one counts as a slice."""
    kind = next(kind for kind in IMAGE_KINDS if path.suffix.lower() in kind.endings)
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            kind.parse(file, size)
    except HeaderError as exc:
        return "slice" if DAMAGED in str(exc) else "other"
    return "slice"


def _describe(header: ImageHeader) -> str:
    return f"{times(header.shape)} pixels of {header.dtype}{f', {header.coding}' if header.coding else ''}"
