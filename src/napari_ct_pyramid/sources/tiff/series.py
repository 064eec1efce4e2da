"""Finds the pages of a TIFF that are the slices of the volume, in order, for every kind of TIFF that tifffile knows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tifffile import TiffFile, TiffPage, TiffPageSeries

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.formatting import times
from napari_ct_pyramid.options import SourceOptions
from napari_ct_pyramid.sources.choice import choose

from . import validation
from .pages import Page, PageList, read_pages


@dataclass(frozen=True)
class Slices:
    """The pages that are the slices of a volume, in order.

    Attributes
    ----------
    axes, shape : str, tuple of int
        The letters and sizes that tifffile gives, without axes of length 1.
    format : str
        The kind of TIFF, for the user.
    pages : sequence of Page
    total : int or None
        Number of pages in the file, for messages; None if the file is cut short.
    files : tuple of Path
        The files of these pages.
    file_of_page : tuple of int or None
        The file of each page; None if there is only one file.
    contiguous_at : int or None
        Position of the first slice if all slices are contiguous. Then the others need no page of their own.
    contiguous_step : int
        Slices of the file from one slice of the volume to the next.
    """

    axes: str
    shape: tuple[int, ...]
    format: str
    pages: Sequence[Page]
    total: int | None
    files: tuple[Path, ...]
    file_of_page: tuple[int, ...] | None = None
    contiguous_at: int | None = None
    contiguous_step: int = 1


def find_slices(path: Path, tif: TiffFile, page_list: PageList) -> tuple[TiffPage, Slices]:
    """The first page of a file's only volume, and its slices: all are stored in the same way as that page."""
    pages = _without_copies(page_list.pages)
    keyframe = tif.pages.get(pages[0].number - 1)
    assert isinstance(keyframe, TiffPage)
    validation.check_page(path, keyframe)
    validation.check_alike(path, pages, _total(page_list))
    # If the file is cut short, tifffile finds fewer slices without an error, so it is not asked.
    series = None if page_list.flaw else _special_series(path, tif)
    if series is None:
        return keyframe, _plain(path, tif, keyframe, pages, page_list)
    return keyframe, _special(path, tif, keyframe, series, pages, page_list)


def _without_copies(pages: Sequence[Page]) -> list[Page]:
    """The pages without those that are a smaller copy or a mask of another one, according to their tags."""
    first = next((page for page in pages if not page.reduced), pages[0]).storage
    size = first.length, first.width
    return [page for page in pages if not page.reduced or (page.storage.length, page.storage.width) == size]


_CHOSEN = {"T": "time", "C": "channel"}

# Kinds of TIFF that are more than a sequence of pages, in the order in which tifffile tries them.
SPECIAL_KINDS = {
    "shaped": "tifffile", "lsm": "Zeiss LSM", "mmstack": "Micro-Manager stack", "ome": "OME-TIFF",
    "imagej": "ImageJ TIFF stack", "ndtiff": "NDTiff", "fluoview": "FluoView TIFF", "stk": "MetaMorph stack",
    "sis": "Olympus SIS", "svs": "Aperio SVS", "scn": "Leica SCN", "qpi": "PerkinElmer QPI", "ndpi": "Hamamatsu NDPI",
    "bif": "Ventana BIF", "avs": "Argos AVS", "eer": "EER", "philips": "Philips TIFF", "scanimage": "ScanImage TIFF",
    "nih": "NIH Image TIFF", "mdgel": "MD Gel",
}  # fmt: skip


def _special_series(path: Path, tif: TiffFile) -> TiffPageSeries | None:
    """The one image of a file of a special kind; None for a plain sequence of pages.

    tifffile needs much time and memory to find the series of thousands of plain pages, so those are not asked for.
    """
    if not any(getattr(tif, f"is_{kind}", False) for kind in SPECIAL_KINDS):
        return None
    images = [series for series in tif.series if not series.keyframe.is_reduced]
    if not images or images[0].kind not in SPECIAL_KINDS or _is_appended(images):
        return None
    if len(images) > 1:
        some = ", ".join(f"{times(image.shape)} {image.dtype}" for image in images[:4])
        raise SourceError(
            f"{path} has {len(images)} images: {some}{', ...' if len(images) > 4 else ''}. "
            "Try saving the one that you want as a file of its own."
        )
    if images[0].transform is not None:
        raise SourceError(
            f"{path} has data that must be computed before it is a volume ({images[0].kind}). "
            "Try opening it in the program that wrote it, and saving it as a plain TIFF."
        )
    return images[0]


def _is_appended(images: Sequence[TiffPageSeries]) -> bool:
    """Whether a stack was written page by page, as with tifffile's ``append``: each page is then an image for tifffile.

    All pages have been found to be alike.
    """
    return len(images) > 1 and all(
        image.kind == "shaped" and len(image) == 1 and image.axes == "YX" for image in images
    )


def chosen_slices(path: Path, slices: Slices, options: SourceOptions) -> Slices:
    """The slices of one channel and one time point.

    Raises
    ------
    SeveralVolumesError
        If there are several, and the options choose none.
    """
    leading, shape = slices.axes[:-2], slices.shape[:-2]
    sizes = {_CHOSEN[axis]: n for axis, n in zip(leading, shape, strict=True) if axis in _CHOSEN}
    of_slices = [axis for axis in leading if axis not in _CHOSEN]
    if slices.axes[-2:] != "YX" or len(of_slices) != 1 or len({*leading}) != len(leading):
        sizes = {}  # not a volume, which is reported elsewhere
    chosen = choose(path, sizes, options)
    if not sizes:
        return slices
    place = tuple(chosen[_CHOSEN[axis]] if axis in _CHOSEN else slice(None) for axis in leading)
    numbers = np.arange(math.prod(shape)).reshape(shape)[place]
    slices = replace(slices, axes=f"{of_slices[0]}YX", shape=(len(numbers), *slices.shape[-2:]))
    if slices.contiguous_at is not None:
        _, height, width = slices.shape
        storage = slices.pages[0].storage
        slice_bytes = height * width * storage.bits // 8
        step = int(numbers[1] - numbers[0]) if len(numbers) > 1 else 1
        at = slices.contiguous_at + int(numbers[0]) * slice_bytes
        return replace(slices, contiguous_at=at, contiguous_step=step)
    files = slices.file_of_page
    return replace(
        slices,
        pages=[slices.pages[number] for number in numbers],
        file_of_page=tuple(files[number] for number in numbers) if files else None,
    )


def _plain(path: Path, tif: TiffFile, keyframe: TiffPage, pages: list[Page], page_list: PageList) -> Slices:
    """One page a slice, or one page with all slices."""
    contiguous_at = None
    if len(pages) == 1 and keyframe.is_final and not page_list.flaw:
        # For tifffile, an ImageJ stack that is cut short is a single page.
        expected = int((tif.imagej_metadata or {}).get("images", 1)) if tif.is_imagej else keyframe.imagedepth
        first = keyframe.dataoffsets[0]
        validation.check_contiguous(path, expected, _slice_bytes(keyframe), first, page_list.file_size)
        contiguous_at = first if keyframe.imagedepth > 1 else None
    sizes = {"I": len(pages), "Z": keyframe.imagedepth, "Y": keyframe.imagelength, "X": keyframe.imagewidth}
    axes = "".join(axis for axis, size in sizes.items() if size > 1 or axis in "YX")
    return Slices(
        axes=axes,
        shape=tuple(sizes[axis] for axis in axes),
        format=_format(tif, "", len(pages)),
        pages=pages,
        total=_total(page_list),
        files=(path,),
        contiguous_at=contiguous_at,
    )


def _special(
    path: Path, tif: TiffFile, keyframe: TiffPage, series: TiffPageSeries, pages: list[Page], page_list: PageList
) -> Slices:
    """Slices that tifffile finds by the file's metadata."""
    sizes = [(axis, size) for axis, size in zip(series.axes, series.shape, strict=True) if size > 1 or axis in "YX"]
    axes, shape = "".join(axis for axis, _ in sizes), tuple(size for _, size in sizes)
    if series.dataoffset is not None:
        slices = math.prod(shape) // (keyframe.imagelength * keyframe.imagewidth)
        validation.check_contiguous(path, slices, _slice_bytes(keyframe), series.dataoffset, page_list.file_size)
        kind = _format(tif, series.kind, len(pages))
        return Slices(axes, shape, kind, pages, _total(page_list), (path,), contiguous_at=series.dataoffset)
    pages, files, file_of_page = _pages_of(path, tif, series, page_list)
    validation.check_alike(path, pages, len(pages))
    expected = math.prod(shape) // (keyframe.imagedepth * keyframe.imagelength * keyframe.imagewidth)
    if expected != len(pages):
        raise SourceError(
            f"{path} is cut short or damaged: it has {len(pages)} pages, and its metadata state {expected} "
            f"({times(shape)} voxels). Try copying or writing the file again."
        )
    kind = _format(tif, series.kind, len(pages)) + (f", {len(files)} files" if len(files) > 1 else "")
    return Slices(axes, shape, kind, pages, len(pages), files, file_of_page)


def _pages_of(
    path: Path, tif: TiffFile, series: TiffPageSeries, page_list: PageList
) -> tuple[list[Page], tuple[Path, ...], tuple[int, ...] | None]:
    """The pages of a series, which may be in several files."""
    root = Path(tif.filehandle.path)
    pages_by_offset = {root: {page.at: page for page in page_list.pages}}
    numbers = {root: 0}
    pages: list[Page] = []
    file_of_page: list[int] = []
    for number, frame in enumerate(series, start=1):
        if frame is None:
            raise SourceError(
                f"{path} is not complete: page {number} of {len(series)} of its volume is missing. "
                "Try putting all files of the volume in one folder, or writing it again."
            )
        file = Path(frame.parent.filehandle.path)
        if file not in pages_by_offset:
            other = read_pages(file)
            validation.check_complete(file, other.flaw)
            pages_by_offset[file] = {page.at: page for page in other.pages}
            numbers[file] = len(numbers)
        page = pages_by_offset[file].get(frame.offset)
        if (
            page is None or tif.is_lsm
        ):  # tifffile corrects the offsets of LSM, and adds pages that some kinds of TIFF leave out
            offsets, counts = np.array(frame.dataoffsets, np.int64), np.array(frame.databytecounts, np.int64)
            page = Page(number, frame.offset, page_list.pages[0].storage, offsets, counts, jpeg_tables=frame.jpegtables)
        pages.append(replace(page, number=number))
        file_of_page.append(numbers[file])
    return pages, (path, *list(numbers)[1:]), tuple(file_of_page) if len(numbers) > 1 else None


def _total(page_list: PageList) -> int | None:
    return None if page_list.flaw else len(page_list.pages)


def _slice_bytes(keyframe: TiffPage) -> int:
    assert keyframe.dtype is not None
    return keyframe.imagelength * keyframe.imagewidth * keyframe.dtype.itemsize


def _format(tif: TiffFile, kind: str, pages: int) -> str:
    if kind and kind != "shaped":
        return SPECIAL_KINDS[kind]
    return f"{'BigTIFF' if tif.is_bigtiff else 'TIFF'}, {'one page a slice' if pages > 1 else 'all slices in one page'}"
