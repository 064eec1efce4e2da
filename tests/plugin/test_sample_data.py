"""The samples in File > Open Sample > CT Pyramid."""

from __future__ import annotations

from pathlib import Path

import napari
import numpy as np
import pytest
import tifffile
from napari._app_model import get_app_model

from napari_ct_pyramid.omezarr.reader import open_pyramid
from napari_ct_pyramid.plugin import sample_data as _sample
from napari_ct_pyramid.sources.phantom import write_sample
from tests.helpers.dock import wait_until
from tests.helpers.screen import PLUGIN


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, for samples smaller than usual."""
    monkeypatch.setattr(_sample, "_folder", lambda: tmp_path)
    monkeypatch.setattr("napari_ct_pyramid.sources.phantom.write_sample", lambda path: write_sample(path, (20, 64, 64)))
    return tmp_path


def test_the_sample_as_a_tiff_can_be_converted(shown_viewer: napari.Viewer, cache: Path) -> None:
    viewer = shown_viewer
    (layer,) = viewer.open_sample(PLUGIN, "tiff")
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
    path = cache / "concrete.tif"
    assert np.array_equal(np.asarray(layer.data[0]), tifffile.imread(path))
    wait_until(lambda: viewer.window.dock_widgets)
    assert len(viewer.window.dock_widgets) == 1
    viewer.window.remove_dock_widget("all")
    get_app_model().commands.execute_command(f"{PLUGIN}.convert_layer").result()  # in the Layers menu
    assert len(viewer.window.dock_widgets) == 1
    written = path.stat().st_mtime_ns
    viewer.open_sample(PLUGIN, "tiff")
    assert path.stat().st_mtime_ns == written


def test_the_sample_as_an_ome_zarr(viewer: napari.Viewer, cache: Path) -> None:
    (layer,) = viewer.open_sample(PLUGIN, "ome-zarr")
    assert len(layer.data) == 3
    assert np.array_equal(np.asarray(layer.data[0]), tifffile.imread(cache / "concrete.tif"))
    assert not viewer.window.dock_widgets


def test_an_unfinished_sample_is_made_again(viewer: napari.Viewer, cache: Path) -> None:
    viewer.open_sample(PLUGIN, "ome-zarr")
    path = cache / "converted" / "concrete.ome.zarr"
    (path / ".zattrs").unlink()
    viewer.open_sample(PLUGIN, "ome-zarr")
    assert len(open_pyramid(path).levels) == 3
