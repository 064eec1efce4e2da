"""A quick look at a TIFF finds what opening it finds, for every kind of TIFF."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_ct_pyramid.errors import SourceError
from napari_ct_pyramid.sources.registry import open_source
from napari_ct_pyramid.sources.tiff.peek import look_at_tiff
from tests.helpers import microscopes, tiff_kinds
from tests.helpers.sources import read_whole

IMAGE = np.arange(300, dtype="u2").reshape(15, 20)


@pytest.mark.parametrize("name", tiff_kinds.KINDS)
def test_a_volume_is_recognized(tmp_path: Path, name: str) -> None:
    tiff_kinds.KINDS[name][0](tmp_path / "a.tif")
    assert look_at_tiff(tmp_path / "a.tif") == "volume"


@pytest.mark.parametrize("name", microscopes.KINDS)
def test_a_volume_of_a_microscope_is_recognized(tmp_path: Path, name: str) -> None:
    microscopes.KINDS[name][0](tmp_path / "a.tif")
    assert look_at_tiff(tmp_path / "a.tif") == "volume"


def save(shape: tuple[int, ...], dtype: str = "u1", **options: Any) -> Callable[[Path], None]:
    return lambda path: tifffile.imwrite(path, np.zeros(shape, dtype), **{"photometric": "minisblack", **options})


def several(path: Path) -> None:
    with tifffile.TiffWriter(path) as tif:
        tif.write(np.zeros((3, 9, 8), "u1"), photometric="minisblack")
        tif.write(np.zeros((4, 5, 6), "u2"), photometric="minisblack")


def unlike_pages(path: Path) -> None:
    with tifffile.TiffWriter(path) as tif:
        tif.write(np.zeros((9, 8), "u1"), metadata=None)
        tif.write(np.zeros((7, 8), "u1"), metadata=None)


OTHER: dict[str, Callable[[Path], None]] = {
    "RGB": save((15, 20, 3), photometric="rgb"),
    "RGB stack": save((4, 15, 20, 3), photometric="rgb"),
    "RGB in planes": save((3, 15, 20), photometric="rgb", planarconfig="separate"),
    "palette": save((15, 20), photometric="palette", colormap=np.zeros((3, 256), "u2")),
    "ImageJ time series": save((5, 15, 20), imagej=True, metadata={"axes": "TYX"}),
    "ImageJ channels": save((2, 15, 20), imagej=True, metadata={"axes": "CYX"}),
    "ImageJ 4D": save((5, 4, 15, 20), imagej=True, metadata={"axes": "TZYX"}),
    "OME time series": save((5, 15, 20), ome=True, metadata={"axes": "TYX"}),
    "OME 4D": save((5, 4, 15, 20), ome=True, metadata={"axes": "TZYX"}),
    "tifffile time series": save((5, 15, 20), metadata={"axes": "TYX"}),
    "several volumes": several,
    "pages that differ": unlike_pages,
}


@pytest.mark.parametrize("name", OTHER)
def test_what_is_no_volume_is_declined(tmp_path: Path, name: str) -> None:
    OTHER[name](tmp_path / "a.tif")
    assert look_at_tiff(tmp_path / "a.tif") == "other"
    with pytest.raises(SourceError):
        open_source(tmp_path / "a.tif")


def test_a_stack_that_imagej_shows_in_colors_is_a_volume(tmp_path: Path) -> None:
    values = np.arange(1500, dtype="u2").astype("u1").reshape(5, 15, 20)
    colors = np.random.default_rng(0).integers(0, 2**16, (3, 256)).astype("u2")
    tifffile.imwrite(tmp_path / "a.tif", values, imagej=True, metadata={"axes": "ZYX"}, colormap=colors)
    assert look_at_tiff(tmp_path / "a.tif") == "volume"
    with open_source(tmp_path / "a.tif") as source:
        np.testing.assert_array_equal(read_whole(source), values)
        assert len(source.volume.notes) == 1


@pytest.mark.parametrize(
    "options", [{}, {"metadata": None}, {"imagej": True}, {"ome": True}, {"compression": "zlib"}, {"bigtiff": True}]
)
def test_a_single_picture_is_a_slice(tmp_path: Path, options: dict[str, Any]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, **{"photometric": "minisblack", **options})
    assert look_at_tiff(tmp_path / "a.tif") == "slice"


@pytest.mark.parametrize("content", [b"", b"II*\0", b"not a TIFF at all", b"II*\0\x08\0\0\0\xff\xff"])
def test_a_damaged_file_counts_as_a_volume(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tif").write_bytes(content)
    assert look_at_tiff(tmp_path / "a.tif") == "volume"
