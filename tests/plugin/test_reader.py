"""napari's reader contributions: which paths they accept, and that they open them in a window."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
import zarr

from napari_ct_pyramid.errors import SourceError, UnfinishedError
from napari_ct_pyramid.plugin.reader import get_ome_zarr_reader, get_volume_reader
from tests.helpers.omezarr import flat_indices, pyramid_of, write_image, write_unfinished
from tests.helpers.screen import PLUGIN, quarters, write_stack


def plain_folder(path: Path) -> None:
    path.mkdir()


def zarr_array(path: Path) -> None:
    zarr.create_array(path, shape=(4, 4), dtype="u1", zarr_format=2)


def zarr_array_v3(path: Path) -> None:
    zarr.create_array(path, shape=(4, 4), dtype="u1", zarr_format=3)


def zarr_group(path: Path) -> None:
    zarr.open_group(path, mode="w", zarr_format=2).attrs["multiscale"] = "no"


def zarr_group_v3(path: Path) -> None:
    zarr.open_group(path, mode="w", zarr_format=3).attrs["ome"] = {"plate": {}}


def broken_metadata(path: Path) -> None:
    path.mkdir()
    (path / ".zattrs").write_text("[1")


@pytest.mark.parametrize("make", [plain_folder, zarr_array, zarr_array_v3, zarr_group, zarr_group_v3, broken_metadata])
def test_a_folder_that_is_not_an_image_is_declined(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "a.zarr")
    assert get_ome_zarr_reader(str(tmp_path / "a.zarr")) is None


def test_missing_and_several_paths_are_declined(tmp_path: Path) -> None:
    image = str(write_image(tmp_path / "a.zarr", [flat_indices((4, 4, 4))]))
    assert get_ome_zarr_reader(image) is not None
    assert get_ome_zarr_reader([image]) is not None
    assert get_ome_zarr_reader([image, image]) is None
    assert get_ome_zarr_reader(image + "/0") is None
    assert get_ome_zarr_reader(str(tmp_path / "nothing")) is None
    assert get_volume_reader(str(tmp_path / "nothing.tif")) is None


def test_the_error_names_an_unfinished_conversion(viewer: napari.Viewer, tmp_path: Path) -> None:
    path = write_unfinished(tmp_path / "scan.ome.zarr")
    with pytest.raises(UnfinishedError) as caught:
        viewer.open(path, plugin=PLUGIN)
    assert "scan.ome.zarr" in str(caught.value)
    assert not viewer.layers


def test_without_a_viewer_a_tiff_is_read_as_layers(tmp_path: Path, qapp: Any) -> None:
    path = write_stack(tmp_path / "scan.tif", quarters((8, 16, 16)))
    reader = get_volume_reader(str(path))
    assert reader is not None
    ((levels, _, kind),) = reader(str(path))
    assert kind == "image"
    assert np.array_equal(np.asarray(levels[0]), quarters((8, 16, 16)))
    qapp.processEvents()


def test_a_broken_tiff_is_one_error_with_its_name(viewer: napari.Viewer, tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_text("not a TIFF")
    with pytest.raises(SourceError, match=r"a\.tif"):
        viewer.open(tmp_path / "a.tif", plugin=PLUGIN)


def test_an_archive_is_opened_as_the_folder_in_it(viewer: napari.Viewer, tmp_path: Path) -> None:
    levels = pyramid_of(flat_indices((16, 24, 32)), 2)
    folder = write_image(tmp_path / "scan.ome.zarr", levels, version="0.5", voxel_size=0.65)
    archive = Path(shutil.make_archive(str(tmp_path / "scan.zarr"), "zip", folder))
    archive = archive.rename(tmp_path / "scan.ozx")
    (layer,) = viewer.open(str(archive), plugin=None)  # as a drop
    assert layer.source.reader_plugin == PLUGIN
    assert layer.name == "volume"
    assert all(np.array_equal(np.asarray(a), b) for a, b in zip(layer.data, levels, strict=True))
