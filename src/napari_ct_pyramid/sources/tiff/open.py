"""Opens a TIFF, or one TIFF for each slice: finds the volume and the positions of its rows, or what is wrong with it.

Every page is checked here, before anything is written.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tifffile import PHOTOMETRIC, TiffFile, TiffPage

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.sources.decoding import float_predictor_bytes, jpeg_2000_bytes
from napari_ct_pyramid.sources.inputs import Input
from napari_ct_pyramid.sources.row_reader import FileVolumeReader, PlainRows, RowReader, is_swapped
from napari_ct_pyramid.storage.paths import image_name

from . import validation
from .ome import check_ome_files
from .pages import IntArray, Page, read_pages
from .quiet import quiet
from .segments import Decode, EncodedSegments, whole_strips
from .series import Slices, chosen_slices, find_slices
from .voxel_size import find_voxel_size

_JPEG_2000 = (33003, 33004, 33005, 34712)
_FLOAT_PREDICTOR = 3


def open_tiff(source: Input, endings: Sequence[str] = ()) -> FileVolumeReader:
    """Open a TIFF that holds one volume.

    Parameters
    ----------
    source : Input
    endings : sequence of str
        Of the names of files that may be slices, which are offered in place of a single slice.

    Raises
    ------
    SourceError
        If it holds no volume or several, or is damaged.
    """
    path = source.local_path
    page_list = read_pages(path)
    if not page_list.pages:
        validation.check_complete(path, page_list.flaw or "it has no page")
    with quiet(), TiffFile(path) as tif:
        if tif.is_ome:
            check_ome_files(source, tif)
        keyframe, slices = find_slices(path, tif, page_list)
        slices = chosen_slices(path, slices, source.options)
        rows = _rows(path, tif, keyframe, slices)
        validation.check_complete(path, page_list.flaw)
        validation.check_axes(path, slices.axes, slices.shape, endings)
        z, y, x = slices.shape
        size = find_voxel_size(tif)
    volume = Volume(
        name=image_name(path.stem),
        shape=(z, y, x),
        dtype=validation.check_page(path, keyframe),
        format=slices.format,
        compression=validation.compression_name(int(keyframe.compression)),
        voxel_size=size.voxel_size,
        unit=size.unit,
        voxel_size_from=size.origin,
        notes=_color_note(keyframe),
        granularity=granularity_of(rows, (z, y, x)),
        decoding_bytes=_decoding_bytes(keyframe, rows),
    )
    return FileVolumeReader(volume, rows, slices.files)


def _color_note(keyframe: TiffPage) -> tuple[str, ...]:
    """A sentence about pages that have a table of colors, as ImageJ writes for another than the grey one."""
    if keyframe.photometric != PHOTOMETRIC.PALETTE:
        return ()
    return ("Its pages have a table of colors, which is left out: the voxels are the values that it colors.",)


def granularity_of(rows: RowReader, shape: Triple) -> Triple:
    """The size of the smallest part that can be read alone: a plain row, or a strip or tile."""
    z, y, x = rows.segment if isinstance(rows, EncodedSegments) else (1, 1, shape[2])
    return min(z, shape[0]), min(y, shape[1]), min(x, shape[2])


def _decoding_bytes(keyframe: TiffPage, rows: RowReader) -> int:
    """Memory that decoding a strip or tile takes beside its voxels and its compressed bytes."""
    if not isinstance(rows, EncodedSegments) or keyframe.dtype is None:
        return 0
    if int(keyframe.compression) in _JPEG_2000:
        return jpeg_2000_bytes(rows.segment)
    if int(keyframe.predictor) == _FLOAT_PREDICTOR:
        return float_predictor_bytes(rows.segment, keyframe.dtype.itemsize)
    return 0


def open_slices(where: Path, name: str, files: Sequence[Path], notes: Sequence[str] = ()) -> FileVolumeReader:
    """Open a volume that has one file for each slice. Only the directories of the files are read.

    Parameters
    ----------
    where : Path
        The folder or pattern, for messages.
    name : str
        The name of the volume.
    files : sequence of Path
        The slices in order, two or more.
    notes : sequence of str
        What to tell the user about them.

    Raises
    ------
    SourceError
        If one is damaged, is not a TIFF, or differs from the first one.
    """
    pages: list[Page] = []
    order = None
    for number, file in enumerate(files, start=1):
        validation.check_head(file)
        page_list = read_pages(file)
        if page_list.flaw or not page_list.pages:
            validation.check_complete(file, page_list.flaw or "it has no page")
        own = [page for page in page_list.pages if not page.reduced] or page_list.pages
        validation.check_single(file, own)
        order = order or page_list.order
        validation.check_order(file, page_list.order, files[0], order)
        pages.append(replace(own[0], number=number, file=file.name))
        if number > 1:
            validation.check_alike(where, [pages[0], pages[-1]], None)
    with quiet(), TiffFile(files[0]) as tif:
        keyframe = next(page for page in tif.pages if isinstance(page, TiffPage) and page.offset == pages[0].at)
        dtype = validation.check_page(files[0], keyframe)
        shape = len(files), keyframe.imagelength, keyframe.imagewidth
        slices = Slices("ZYX", shape, "", pages, None, tuple(files), tuple(range(len(files))))
        rows = _rows(where, tif, keyframe, slices)
        size = find_voxel_size(tif, of_slice=True)
    volume = Volume(
        name=name,
        shape=shape,
        dtype=dtype,
        format=f"{len(files):,} TIFF files, one a slice",
        compression=validation.compression_name(int(keyframe.compression)),
        voxel_size=size.voxel_size,
        unit=size.unit,
        voxel_size_from=f"{size.origin} of {files[0].name}" if size.origin else None,
        notes=(*notes, *_color_note(keyframe)),
        granularity=granularity_of(rows, shape),
        decoding_bytes=_decoding_bytes(keyframe, rows),
    )
    return FileVolumeReader(volume, rows, slices.files)


def _rows(path: Path, tif: TiffFile, keyframe: TiffPage, slices: Slices) -> RowReader:
    """Check every strip and tile; return what reads their rows."""
    assert keyframe.dtype is not None
    row_bytes = keyframe.imagewidth * keyframe.dtype.itemsize
    swap = is_swapped(keyframe.dtype.newbyteorder(tif.byteorder))
    if slices.contiguous_at is not None:
        number = slices.shape[0]
        slice_bytes = keyframe.imagelength * row_bytes
        offsets = (
            slices.contiguous_at + np.arange(number, dtype=np.int64)[:, None] * slice_bytes * slices.contiguous_step
        )
        return PlainRows(offsets, keyframe.imagelength, row_bytes, swap)

    pages = slices.pages
    encoded = keyframe.compression != 1 or keyframe.predictor != 1 or keyframe.fillorder != 1
    encoded |= validation.is_packed(keyframe)
    plain = not encoded and not keyframe.is_tiled and keyframe.imagedepth == 1
    segment = _segment(keyframe, joined=plain and all(len(page.offsets) == 1 for page in pages))
    grid = (
        -(-keyframe.imagedepth // segment[0]),
        -(-keyframe.imagelength // segment[1]),
        -(-keyframe.imagewidth // segment[2]),
    )
    validation.check_strip_numbers(path, pages, slices.total, math.prod(grid), plain)
    decoded = _decoded_bytes(keyframe, segment, grid)
    offsets, counts = _table(pages, decoded)
    sizes = np.array([file.stat().st_size for file in slices.files], np.int64)
    sizes = sizes[list(slices.file_of_page)] if slices.file_of_page else sizes.repeat(len(pages))
    validation.check_strips(path, pages, slices.total, (offsets, counts), decoded, plain, sizes)
    if plain:
        return PlainRows(offsets, segment[1], row_bytes, swap, slices.file_of_page)
    tables = tuple(page.jpeg_tables for page in pages)
    return EncodedSegments(
        offsets=offsets,
        counts=counts,
        depth=keyframe.imagedepth,
        segment=segment,
        grid=grid,
        decode=_decoder(slices.files[0], keyframe),
        nodata=keyframe.nodata,
        jpeg_tables=tables if any(tables) else None,
        file_of_page=slices.file_of_page,
        strips=whole_strips(keyframe, swap),
    )


def _segment(keyframe: TiffPage, joined: bool) -> Triple:
    """Slices, rows and columns of a strip or tile."""
    if keyframe.is_tiled:
        return keyframe.tiledepth, keyframe.tilelength, keyframe.tilewidth
    return 1, keyframe.imagelength if joined else keyframe.rowsperstrip, keyframe.imagewidth


def _decoded_bytes(keyframe: TiffPage, segment: Triple, grid: Triple) -> IntArray:
    """Bytes of each strip or tile of a page when it is decoded."""
    assert keyframe.dtype is not None
    voxels = np.full(math.prod(grid), math.prod(segment), np.int64)
    if not keyframe.is_tiled:  # the last strip ends where the image ends
        voxels[grid[1] - 1 :: grid[1]] -= (grid[1] * segment[1] - keyframe.imagelength) * keyframe.imagewidth
    return voxels * keyframe.dtype.itemsize


def _table(pages: Sequence[Page], decoded: IntArray) -> tuple[IntArray, IntArray]:
    """Positions and bytes of the strips or tiles of all pages, by page and strip."""
    number = len(decoded)
    before = np.cumsum(decoded) - decoded
    offsets = np.empty((len(pages), number), np.int64)
    counts = np.empty_like(offsets)
    for row, page in enumerate(pages):
        at, count = page.offsets, page.counts
        if len(at) == 1:  # the strips of this page are contiguous; those of other pages need not be
            at = at + before
            count = np.clip(count[:1] - before, 0, decoded) if number > 1 and len(count) else count
        offsets[row], counts[row] = at[:number], count[:number] if len(count) else decoded
    return offsets, counts


def _decoder(path: Path, keyframe: TiffPage) -> Decode:
    """The decoder of tifffile for a page. It comes from a second `TiffFile`, which keeps no other pages in memory."""
    with TiffFile(path) as tif:
        page = tif.pages.get(keyframe.index)
        assert isinstance(page, TiffPage)
        decode: Decode = page.decode
    try:
        decode(None, 0)  # an unknown codec raises here, not in the middle of a conversion
    except Exception as exc:  # codecs raise errors of every kind
        name = validation.compression_name(int(keyframe.compression))
        raise SourceError(
            f"{path} is compressed with {name}, which cannot be decoded here ({exc}). Try "
            "`pip install imagecodecs`, or saving it without compression."
        ) from exc
    return decode
