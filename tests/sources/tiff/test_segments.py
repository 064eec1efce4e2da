"""Strips and tiles: decoded in place, no more of them than is asked for, blank where they are left out, and damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.sources.registry import open_source
from tests.helpers.sources import read_box
from tests.helpers.tiff_kinds import KINDS, SHAPE, VOLUME


@pytest.mark.parametrize("name", ["lzw", "deflate", "zstd", "lzma", "packbits", "predictor", "imagej, compressed"])
def test_whole_strips_are_decoded_in_place(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(page: object, data: object, *args: object) -> None:
        assert data is None, "decoded by tifffile, and copied"

    written = KINDS[name][0](tmp_path / "volume.tif")
    monkeypatch.setattr(tifffile.TiffPage, "decode", decode)
    with open_source(tmp_path / "volume.tif") as source:
        np.testing.assert_array_equal(read_box(source, 0, SHAPE[0], 0, SHAPE[1]), written)


def test_tiles_that_were_left_out_are_blank(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tif"
    with tifffile.TiffWriter(path) as tif:
        for image in VOLUME:
            tiles = (image[y : y + 16, x : x + 16] for y in (0, 16, 32) for x in (0, 16, 32))
            cut = (np.pad(tile, [(0, 16 - tile.shape[0]), (0, 16 - tile.shape[1])]) for tile in tiles)
            kept = (None if k == 4 else tile for k, tile in enumerate(cut))
            tif.write(
                kept, shape=image.shape, dtype="float32", tile=(16, 16), compression="zlib", metadata=None,
                contiguous=False,
            )  # fmt: skip
    expected = tifffile.imread(path)
    assert (expected[:, 16:32, 16:32] == 0).all()
    with open_source(path) as source:
        np.testing.assert_array_equal(read_box(source, 0, 6, 0, 45), expected)


@pytest.mark.parametrize(
    "options", [{}, {"rowsperstrip": 1}, {"tile": (16, 16)}, {"compression": "packbits"}, {"volumetric": True}]
)
@pytest.mark.parametrize("width", [32, 37])
def test_masks_of_one_bit(tmp_path: Path, options: dict[str, Any], width: int) -> None:
    mask = VOLUME[..., :width] % 3 == 0
    tifffile.imwrite(tmp_path / "mask.tif", mask, photometric="minisblack", **options)
    with open_source(tmp_path / "mask.tif") as source:
        assert source.volume.dtype == np.uint8
        np.testing.assert_array_equal(read_box(source, 1, SHAPE[0], 3, 40), mask[1:, 3:40])


@pytest.mark.parametrize("options", [{"rowsperstrip": 8}, {"tile": (16, 16)}], ids=["strips", "tiles"])
def test_only_what_is_needed_is_decoded(tmp_path: Path, bytes_read: list[int], options: dict[str, Any]) -> None:
    path = tmp_path / "v.tif"
    tifffile.imwrite(path, VOLUME, compression="zlib", **options)
    with tifffile.TiffFile(path) as tif:
        counts = [page.databytecounts for page in tif.pages]
    with open_source(path) as source:
        step, across = source.volume.row_step, 3 if "tile" in options else 1
        for y0 in range(0, 45, step):  # in steps of row_step, nothing is decoded twice
            y1 = min(y0 + step, 45)
            source.read(2, 3, y0, y1, np.empty((1, y1 - y0, 37), "float32"))
        assert bytes_read == list(counts[2])
        bytes_read.clear()
        source.read(4, 5, step + 1, step + 2, np.empty((1, 1, 37), "float32"))
        assert bytes_read == list(counts[4][across : 2 * across])


def test_data_that_cannot_be_decoded(tmp_path: Path) -> None:
    path = tmp_path / "v.tif"
    tifffile.imwrite(path, VOLUME, compression="zlib", rowsperstrip=15, metadata=None)
    with tifffile.TiffFile(path) as tif:
        page = tif.pages.get(3)
        at, count = page.dataoffsets[1], page.databytecounts[1]
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\x55" * count)
    with open_source(path) as source:
        read_box(source, 0, 3, 0, 45)  # the others are fine
        with pytest.raises(SourceError, match=r"Page 4 of 6, strip or tile 2 of 3, of .*v\.tif"):
            read_box(source, 0, 6, 0, 45)
