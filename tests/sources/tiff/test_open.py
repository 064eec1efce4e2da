"""TIFFs of every kind, whole and in boxes, against tifffile reading them whole."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_ct_pyramid.sources.base import Source
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.sources import blocks, read_box
from tests.helpers.tiff_kinds import KINDS, SHAPE, VOLUME
from tests.helpers.tiffs import ASCII, LONG, Array, Page, coordinates, pages_of, write_pages

Kind = tuple[str, Source, Array]


@pytest.fixture(params=KINDS, scope="module")
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kind]:
    """A source of every kind, and its voxels."""
    path = tmp_path_factory.mktemp("kind") / "volume.tif"
    written = KINDS[request.param][0](path)
    with open_source(path) as source:
        expected = tifffile.imread(path)
        if KINDS[request.param][2] != "JPEG":  # the only lossy one
            np.testing.assert_array_equal(expected.squeeze(), written.squeeze())
        yield request.param, source, expected.squeeze()


def test_whole_and_in_blocks(kind: Kind) -> None:
    _, source, expected = kind
    whole = np.empty(source.volume.shape, source.volume.dtype)
    source.read(0, SHAPE[0], 0, SHAPE[1], whole)
    np.testing.assert_array_equal(whole, expected)
    for z0, z1, y0, y1 in blocks(1, SHAPE, 15):
        for wider in (0, 5):  # rows that are contiguous in memory, and rows that are not
            np.testing.assert_array_equal(read_box(source, z0, z1, y0, y1, wider), expected[z0:z1, y0:y1])


def test_rows_in_steps_of_any_height(kind: Kind) -> None:
    _, source, expected = kind
    # a view that is contiguous along y too, as most buffers are
    for step in (1, 8, 16):
        for y0 in range(0, SHAPE[1], step):
            y1 = min(y0 + step, SHAPE[1])
            out = np.empty((SHAPE[0], y1 - y0, SHAPE[2]), source.volume.dtype)
            source.read(0, SHAPE[0], y0, y1, out)
            np.testing.assert_array_equal(out, expected[:, y0:y1])


def test_name_shape_format_and_compression(kind: Kind) -> None:
    name, source, expected = kind
    volume = source.volume
    assert (volume.name, volume.shape, volume.dtype) == ("volume", SHAPE, expected.dtype)
    assert volume.dtype.isnative
    assert (volume.format, volume.compression, volume.row_step) == KINDS[name][1:]


def test_many_threads_at_once(kind: Kind) -> None:
    _, source, expected = kind
    together = threading.Barrier(4)

    def read(seed: int) -> int:
        together.wait()
        good = 0
        for z0, z1, y0, y1 in blocks(seed, SHAPE, 25):
            good += np.array_equal(read_box(source, z0, z1, y0, y1), expected[z0:z1, y0:y1])
        return good

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, range(4))) == [25] * 4


@pytest.mark.parametrize(
    "dtype",
    ["float16", "float32", "float64", "uint8", "uint16", "uint32", "int8", "int16", "int32"],
)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}], ids=["plain", "compressed"])
def test_types(tmp_path: Path, dtype: str, order: str, options: dict[str, Any]) -> None:
    volume = coordinates((3, 10, 12), dtype)
    if np.dtype(dtype).kind != "u":
        volume -= np.array(50, dtype)
    tifffile.imwrite(tmp_path / "v.tif", volume, byteorder=order, photometric="minisblack", **options)
    with open_source(tmp_path / "v.tif") as source:
        assert source.volume.dtype == dtype
        np.testing.assert_array_equal(read_box(source, 0, 3, 0, 10), volume)


def test_slices_beyond_4_gb_in_one_page(tmp_path: Path) -> None:
    """ImageJ's way: a classic TIFF with one directory, and slices one after another past what it can point at."""
    shape = (5000, 1000, 1000)
    text = f"ImageJ=1.54f\nimages={shape[0]}\nslices={shape[0]}\nunit=um\nspacing=3\nloop=false\n\0".encode()
    page = Page(np.zeros(shape[1:], "uint8"), tags={270: (ASCII, text)})
    path = write_pages(tmp_path / "huge.tif", [page], big=False, order=">", directory_first=True)
    begin = path.stat().st_size - 1_000_000
    with path.open("r+b") as file:  # sparse: takes next to no disk
        file.truncate(begin + shape[0] * 1_000_000)
        for z in (0, 4294, 4999):
            file.seek(begin + z * 1_000_000 + 700 * 1000)
            file.write(bytes([z % 251] * 1000))
    with open_source(path) as source:
        assert (source.volume.shape, source.volume.dtype) == (shape, np.uint8)
        for z in (0, 4294, 4999):
            rows = read_box(source, z, z + 1, 699, 702)
            assert (rows[0, 1] == z % 251).all()
            assert not rows[0, [0, 2]].any()


def test_pages_that_share_their_pixels(tmp_path: Path) -> None:
    """Any number of pages may point at the same place: the volume is larger than the file."""
    with tifffile.TiffFile(write_pages(tmp_path / "v.tif", pages_of(VOLUME[:2]))) as tif:
        at = tif.pages.first.dataoffsets[0]
    pages = [*pages_of(VOLUME[:1]), *(Page(VOLUME[0][:0].reshape(0, 37), 45) for _ in range(40))]
    for page in pages[1:]:
        page.tags = {257: (LONG, [45]), 273: (LONG, [at]), 279: (LONG, [VOLUME[0].nbytes])}
    path = write_pages(tmp_path / "v.tif", pages)
    with open_source(path) as source:
        assert source.volume.shape == (41, 45, 37)
        assert source.volume.nbytes > 10 * path.stat().st_size
        assert (read_box(source, 0, 41, 5, 9) == VOLUME[0, 5:9]).all()


def test_counts_may_be_left_out_of_plain_pages(tmp_path: Path) -> None:
    pages = pages_of(VOLUME)
    for page in pages:
        page.tags[279] = None
    with open_source(write_pages(tmp_path / "v.tif", pages)) as source:
        np.testing.assert_array_equal(read_box(source, 0, 6, 0, 45), VOLUME)
