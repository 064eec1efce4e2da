"""Opens a TIFF: says what volume it holds and where its rows lie, or why it cannot be read as a volume.

Everything that can be wrong with a file is found here, before anything is written.
"""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tifffile import TiffFile, TiffPage

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.sources.base import FileVolumeReader, PlainRows, RowReader
from napari_ct_pyramid.storage.paths import image_name

from . import check
from .pages import IntArray, Page, walk
from .segments import Decode, EncodedSegments, whole_strips
from .series import Slices, find_slices
from .voxel_size import find_voxel_size


def open_tiff(path: Path) -> FileVolumeReader:
    """Open a TIFF that holds one volume.

    Raises
    ------
    SourceError
        If it does not, or is damaged.
    """
    chain = walk(path)
    if not chain.pages:
        check.check_whole(path, chain.flaw or "it has no page")
    with _quiet(), TiffFile(path) as tif:
        key, slices = find_slices(path, tif, chain)
        rows = _rows(path, tif, key, slices)
        check.check_whole(path, chain.flaw)
        check.check_axes(path, slices.axes, slices.shape)
        z, y, x = slices.shape
        size = find_voxel_size(tif)
    volume = Volume(
        name=image_name(path.stem),
        shape=(z, y, x),
        dtype=check.check_page(path, key),
        format=slices.format,
        compression=check.compression_name(int(key.compression)),
        voxel_size=size.voxel_size,
        unit=size.unit,
        voxel_size_from=size.origin,
        granularity=granularity_of(rows, (z, y, x)),
    )
    return FileVolumeReader(volume, rows, slices.files)


def granularity_of(rows: RowReader, shape: Triple) -> Triple:
    """What is read at once: a plain row, or a strip or tile."""
    z, y, x = rows.segment if isinstance(rows, EncodedSegments) else (1, 1, shape[2])
    return min(z, shape[0]), min(y, shape[1]), min(x, shape[2])


def open_slices(where: Path, name: str, files: Sequence[Path]) -> FileVolumeReader:
    """Open a volume whose slices, in this order, are a file each.

    Of each only its directory is read.

    Parameters
    ----------
    where : Path
        The folder or pattern, for messages.
    name : str
        Of the volume.
    files : sequence of Path
        Two or more.

    Raises
    ------
    SourceError
        If one is damaged, is no TIFF, or is not as the first one is.
    """
    pages: list[Page] = []
    order = None
    for number, file in enumerate(files, start=1):
        check.check_head(file)
        chain = walk(file)
        if chain.flaw or not chain.pages:
            check.check_whole(file, chain.flaw or "it has no page")
        own = [page for page in chain.pages if not page.reduced] or chain.pages
        check.check_single(file, own)
        order = order or chain.order
        check.check_order(file, chain.order, files[0], order)
        pages.append(replace(own[0], number=number, file=file.name))
        if number > 1:
            check.check_alike(where, [pages[0], pages[-1]], None)
    with _quiet(), TiffFile(files[0]) as tif:
        key = next((page for page in tif.pages if isinstance(page, TiffPage) and page.offset == pages[0].at), None)
        assert key is not None
        dtype = check.check_page(files[0], key)
        shape = len(files), key.imagelength, key.imagewidth
        slices = Slices("ZYX", shape, "", pages, None, tuple(files), tuple(range(len(files))))
        rows = _rows(where, tif, key, slices)
        size = find_voxel_size(tif, of_slice=True)
    volume = Volume(
        name=name,
        shape=shape,
        dtype=dtype,
        format=f"{len(files):,} TIFF files, one a slice",
        compression=check.compression_name(int(key.compression)),
        voxel_size=size.voxel_size,
        unit=size.unit,
        voxel_size_from=f"{size.origin} of {files[0].name}" if size.origin else None,
        granularity=granularity_of(rows, shape),
    )
    return FileVolumeReader(volume, rows, slices.files)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No log of what tifffile tolerates: here that is either an error, said better, or of no interest."""
    thread = threading.get_ident()
    logger = logging.getLogger("tifffile")

    def from_others(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger.addFilter(from_others)
    try:
        yield
    finally:
        logger.removeFilter(from_others)


def _rows(path: Path, tif: TiffFile, key: TiffPage, slices: Slices) -> RowReader:
    """Where the rows lie, after a look at every strip and tile."""
    assert key.dtype is not None
    row_bytes = key.imagewidth * key.dtype.itemsize
    swap = tif.byteorder != {"little": "<", "big": ">"}[sys.byteorder] and key.dtype.itemsize > 1
    if slices.run is not None:
        number = slices.shape[0]
        offsets = slices.run + np.arange(number, dtype=np.int64)[:, None] * (key.imagelength * row_bytes)
        return PlainRows(offsets, key.imagelength, row_bytes, swap)

    pages = slices.pages
    plain = (
        key.compression == 1 and key.predictor == 1 and key.fillorder == 1 and not key.is_tiled and key.imagedepth == 1
    )
    segment = _segment(key, joined=plain and all(len(page.offsets) == 1 for page in pages))
    grid = (
        -(-key.imagedepth // segment[0]),
        -(-key.imagelength // segment[1]),
        -(-key.imagewidth // segment[2]),
    )
    check.check_strip_numbers(path, pages, slices.total, math.prod(grid), plain)
    unpacked = _unpacked(key, segment, grid)
    offsets, counts = _table(pages, unpacked)
    sizes = np.array([file.stat().st_size for file in slices.files], np.int64)
    sizes = sizes[list(slices.file_of_page)] if slices.file_of_page else sizes.repeat(len(pages))
    check.check_strips(path, pages, slices.total, (offsets, counts), unpacked, plain, sizes)
    if plain:
        return PlainRows(offsets, segment[1], row_bytes, swap, slices.file_of_page)
    tables = tuple(page.jpeg_tables for page in pages)
    return EncodedSegments(
        offsets=offsets,
        counts=counts,
        depth=key.imagedepth,
        segment=segment,
        grid=grid,
        decode=_decoder(slices.files[0], key),
        nodata=key.nodata,
        jpeg_tables=tables if any(tables) else None,
        file_of_page=slices.file_of_page,
        strips=whole_strips(key, swap),
    )


def _segment(key: TiffPage, joined: bool) -> Triple:
    """Slices, rows and columns of a strip or tile."""
    if key.is_tiled:
        return key.tiledepth, key.tilelength, key.tilewidth
    return 1, key.imagelength if joined else key.rowsperstrip, key.imagewidth


def _unpacked(key: TiffPage, segment: Triple, grid: Triple) -> IntArray:
    """Bytes of each strip or tile of a page when it is unpacked."""
    assert key.dtype is not None
    voxels = np.full(math.prod(grid), math.prod(segment), np.int64)
    if not key.is_tiled:  # the last strip ends with the image
        voxels[grid[1] - 1 :: grid[1]] -= (grid[1] * segment[1] - key.imagelength) * key.imagewidth
    return voxels * key.dtype.itemsize


def _table(pages: Sequence[Page], unpacked: IntArray) -> tuple[IntArray, IntArray]:
    """Where the strips or tiles of all pages begin, and their bytes, by page and strip."""
    number = len(unpacked)
    before = np.cumsum(unpacked) - unpacked
    offsets = np.empty((len(pages), number), np.int64)
    counts = np.empty_like(offsets)
    for row, page in enumerate(pages):
        at, count = page.offsets, page.counts
        if len(at) == 1:  # strips that follow one another, where those of other pages may not
            at = at + before
            count = np.clip(count[:1] - before, 0, unpacked) if number > 1 and len(count) else count
        offsets[row], counts[row] = at[:number], count[:number] if len(count) else unpacked
    return offsets, counts


def _decoder(path: Path, key: TiffPage) -> Decode:
    """The decoder that tifffile has for a page, from a file of its own that holds no other pages in memory."""
    with TiffFile(path) as tif:
        page = tif.pages.get(key.index)
        assert isinstance(page, TiffPage)
        decode: Decode = page.decode
    try:
        decode(None, 0)  # what cannot be decoded raises here, and not in the middle of a conversion
    except Exception as exc:  # whatever a codec does
        raise SourceError(
            f"{path} is compressed with {check.compression_name(int(key.compression))}, which cannot be decoded here "
            f"({exc}). Try `pip install imagecodecs`, or saving it without compression."
        ) from exc
    return decode
