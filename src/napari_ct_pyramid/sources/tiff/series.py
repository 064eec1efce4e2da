"""Which pages of a TIFF make the volume, and in what order: by tifffile's understanding of the many kinds of TIFF."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tifffile import TiffFile, TiffPage, TiffPageSeries

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.formatting import times

from . import check
from .pages import Chain, Page, walk


@dataclass(frozen=True)
class Slices:
    """The pages that make a volume, in order.

    Attributes
    ----------
    axes, shape : str, tuple of int
        By tifffile's letters, without axes of length 1.
    format : str
        The kind of TIFF, for people.
    pages : sequence of Page
        The pages.
    total : int or None
        Pages there are in the file, for messages; None where the file is cut short.
    files : tuple of str
        The files in which they lie.
    file_of_page : tuple of int or None
        Which of the files holds each page; None where there is only one.
    run : int or None
        Where slices lie one after another in a file that may have a page for the first one only.
    """

    axes: str
    shape: tuple[int, ...]
    format: str
    pages: Sequence[Page]
    total: int | None
    files: tuple[Path, ...]
    file_of_page: tuple[int, ...] | None = None
    run: int | None = None


def find_slices(path: Path, tif: TiffFile, chain: Chain) -> tuple[TiffPage, Slices]:
    """The slices of the one volume of a file, and a page for all: they are all stored as this one is."""
    pages = _without_copies(chain.pages)
    key = tif.pages.get(pages[0].number - 1)
    assert isinstance(key, TiffPage)
    check.check_page(path, key)
    check.check_alike(path, pages, _total(chain))
    # tifffile makes the best of a chain that breaks off: then it is not asked
    series = None if chain.flaw else _special_series(path, tif)
    if series is None:
        return key, _plain(path, tif, key, pages, chain)
    return key, _special(path, tif, key, series, pages, chain)


def _without_copies(pages: Sequence[Page]) -> list[Page]:
    """The pages that are not, by their own account, a smaller copy or a mask of another."""
    first = next((page for page in pages if not page.reduced), pages[0]).storage
    size = first.length, first.width
    return [page for page in pages if not page.reduced or (page.storage.length, page.storage.width) == size]


# Kinds of TIFF that are more than one slice after another, in the order in which tifffile tries them.
_SPECIAL = {
    "shaped": "tifffile", "lsm": "Zeiss LSM", "mmstack": "Micro-Manager stack", "ome": "OME-TIFF",
    "imagej": "ImageJ TIFF stack", "ndtiff": "NDTiff", "fluoview": "FluoView TIFF", "stk": "MetaMorph stack",
    "sis": "Olympus SIS", "svs": "Aperio SVS", "scn": "Leica SCN", "qpi": "PerkinElmer QPI", "ndpi": "Hamamatsu NDPI",
    "bif": "Ventana BIF", "avs": "Argos AVS", "eer": "EER", "philips": "Philips TIFF", "scanimage": "ScanImage TIFF",
    "nih": "NIH Image TIFF", "mdgel": "MD Gel",
}  # fmt: skip


def _special_series(path: Path, tif: TiffFile) -> TiffPageSeries | None:
    """The one image of a file that is more than a plain sequence of pages; None where it is not.

    Thousands of plain pages are not worth tifffile's time and memory for their series.
    """
    if not any(getattr(tif, f"is_{kind}", False) for kind in _SPECIAL):
        return None
    images = [series for series in tif.series if not series.keyframe.is_reduced]
    if not images or images[0].kind not in _SPECIAL:
        return None
    if len(images) > 1:
        some = ", ".join(f"{times(image.shape)} {image.dtype}" for image in images[:4])
        raise SourceError(
            f"{path} holds {len(images)} images: {some}{', ...' if len(images) > 4 else ''}. "
            "Try saving the volume that you want as its own file."
        )
    if images[0].transform is not None:
        raise SourceError(f"{path} holds data that must be computed before it is a volume ({images[0].kind}).")
    return images[0]


def _plain(path: Path, tif: TiffFile, key: TiffPage, pages: list[Page], chain: Chain) -> Slices:
    """Pages one after another, each a slice; or one page that holds them all."""
    run = None
    if len(pages) == 1 and key.is_final and not chain.flaw:
        # a stack of ImageJ's whose end is missing is no stack for tifffile
        promised = int((tif.imagej_metadata or {}).get("images", 1)) if tif.is_imagej else key.imagedepth
        check.check_run(path, promised, _slice_bytes(key), key.dataoffsets[0], chain.file_size)
        run = key.dataoffsets[0] if key.imagedepth > 1 else None
    sizes = {"I": len(pages), "Z": key.imagedepth, "Y": key.imagelength, "X": key.imagewidth}
    axes = "".join(axis for axis, size in sizes.items() if size > 1 or axis in "YX")
    return Slices(
        axes=axes,
        shape=tuple(sizes[axis] for axis in axes),
        format=_format(tif, "", len(pages)),
        pages=pages,
        total=_total(chain),
        files=(path,),
        run=run,
    )


def _special(
    path: Path, tif: TiffFile, key: TiffPage, series: TiffPageSeries, pages: list[Page], chain: Chain
) -> Slices:
    """Slices that tifffile knows by the file's metadata."""
    sizes = [(axis, size) for axis, size in zip(series.axes, series.shape, strict=True) if size > 1 or axis in "YX"]
    axes, shape = "".join(axis for axis, _ in sizes), tuple(size for _, size in sizes)
    if series.dataoffset is not None:
        slices = math.prod(shape) // (key.imagelength * key.imagewidth)
        check.check_run(path, slices, _slice_bytes(key), series.dataoffset, chain.file_size)
        kind = _format(tif, series.kind, len(pages))
        return Slices(axes, shape, kind, pages, _total(chain), (path,), run=series.dataoffset)
    pages, files, file_of_page = _pages_of(path, tif, series, chain)
    check.check_alike(path, pages, len(pages))
    promised = math.prod(shape) // (key.imagedepth * key.imagelength * key.imagewidth)
    if promised != len(pages):
        raise SourceError(
            f"{path} is cut short or damaged: it has {len(pages)} pages, and its metadata tell of {promised} "
            f"({times(shape)} voxels). Try copying or writing the file again."
        )
    kind = _format(tif, series.kind, len(pages)) + (f", {len(files)} files" if len(files) > 1 else "")
    return Slices(axes, shape, kind, pages, len(pages), files, file_of_page)


def _pages_of(
    path: Path, tif: TiffFile, series: TiffPageSeries, chain: Chain
) -> tuple[list[Page], tuple[Path, ...], tuple[int, ...] | None]:
    """The pages of a series, which may lie in several files."""
    root = Path(tif.filehandle.path)
    chains = {root: {page.at: page for page in chain.pages}}
    numbers = {root: 0}
    pages: list[Page] = []
    file_of_page: list[int] = []
    for number, frame in enumerate(series, start=1):
        if frame is None:
            raise SourceError(
                f"{path} is not complete: page {number} of {len(series)} of its volume is in no file here. "
                "Try putting all files of the volume in one folder, or writing it again."
            )
        file = Path(frame.parent.filehandle.path)
        if file not in chains:
            other = walk(file)
            check.check_whole(file, other.flaw)
            chains[file] = {page.at: page for page in other.pages}
            numbers[file] = len(numbers)
        page = chains[file].get(frame.offset)
        if page is None or tif.is_lsm:  # tifffile mends the offsets of LSM, and makes up pages of some others
            offsets, counts = np.array(frame.dataoffsets, np.int64), np.array(frame.databytecounts, np.int64)
            page = Page(number, frame.offset, chain.pages[0].storage, offsets, counts, jpeg_tables=frame.jpegtables)
        pages.append(replace(page, number=number))
        file_of_page.append(numbers[file])
    return pages, (path, *list(numbers)[1:]), tuple(file_of_page) if len(numbers) > 1 else None


def _total(chain: Chain) -> int | None:
    return None if chain.flaw else len(chain.pages)


def _slice_bytes(key: TiffPage) -> int:
    assert key.dtype is not None
    return key.imagelength * key.imagewidth * key.dtype.itemsize


def _format(tif: TiffFile, kind: str, pages: int) -> str:
    if kind and kind != "shaped":
        return _SPECIAL[kind]
    return f"{'BigTIFF' if tif.is_bigtiff else 'TIFF'}, {'one page a slice' if pages > 1 else 'all slices in one page'}"
