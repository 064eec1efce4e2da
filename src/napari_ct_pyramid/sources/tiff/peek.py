"""A quick look at a TIFF: whether it is one volume, a single slice, or something else. It reads no voxels."""

from __future__ import annotations

from pathlib import Path

from tifffile import TiffFile, TiffPage

from napari_ct_pyramid.sources.base import Holds

from .quiet import quiet
from .series import SPECIAL_KINDS

_SLICE_AXES = "ZIQ"  # tifffile's letters for slices, and for an axis without a name


def look_at_tiff(path: Path) -> Holds:
    """What a TIFF holds, by its first two pages and its metadata.

    A damaged file counts as a volume: opening it tells what is wrong.
    """
    try:
        with quiet(), TiffFile(path) as tif:
            return _look(tif)
    except Exception:  # noqa: BLE001  tifffile raises errors of every kind on damaged files
        return "volume"


def _look(tif: TiffFile) -> Holds:
    pages = _first_pages(tif)
    whole = [page for page in pages if not page.is_reduced] or pages
    first = whole[0]
    if first.samplesperpixel > 1:
        return "other"
    if tif.is_imagej and tif.imagej_metadata:  # with a palette, if it was shown in other colors than greys
        return _look_at_imagej(tif.imagej_metadata, first)
    if first.photometric in _COLORS:
        return "other"
    if any(getattr(tif, f"is_{kind}", False) for kind in SPECIAL_KINDS):
        return _look_at_series(tif)
    if first.imagedepth > 1:
        return "volume"
    if len(whole) == 1:
        return "slice" if len(pages) < _FIRST_PAGES else "volume"
    # All pages are alike in a volume. Opening it checks them all; that would take too long here.
    second = whole[1]
    return "volume" if (second.shape, second.dtype) == (first.shape, first.dtype) else "other"


_FIRST_PAGES = 4
_COLORS = (2, 3, 5, 6, 8)  # RGB, palette, CMYK, YCbCr, CIELab


def _first_pages(tif: TiffFile) -> list[TiffPage]:
    """The first few pages: there may be smaller copies between the slices."""
    pages = []
    for number in range(_FIRST_PAGES):
        try:
            page = tif.pages.get(number)
        except IndexError:
            break
        if isinstance(page, TiffPage):
            pages.append(page)
    return pages


def _look_at_imagej(metadata: dict[str, object], first: TiffPage) -> Holds:
    def size(name: str) -> int:
        value = metadata.get(name, 1)
        return value if isinstance(value, int) else 1

    if size("frames") > 1 or size("channels") > 1:
        return "other"
    return "volume" if max(size("slices"), size("images"), first.imagedepth) > 1 else "slice"


def _look_at_series(tif: TiffFile) -> Holds:
    """What a file of a special kind holds, for which tifffile reads all of its metadata."""
    images = [series for series in tif.series if not series.keyframe.is_reduced]
    found = {
        ("".join(a for a, n in zip(s.axes, s.shape, strict=True) if n > 1 or a in "YX"), s.shape, s.dtype)
        for s in images
    }
    if len(found) != 1:
        return "other"
    ((axes, _, _),) = found
    if axes == "YX":
        return "slice" if len(images) == 1 else "volume"
    return "volume" if len(images) == 1 and len(axes) == 3 and axes[0] in _SLICE_AXES and axes[1:] == "YX" else "other"
