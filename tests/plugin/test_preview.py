"""The live preview in a window: what has been written of a growing volume, and the finished layer in the end."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import napari
import numpy as np
import pytest

from napari_ct_pyramid.errors import ConversionError
from napari_ct_pyramid.plugin.preview import LivePreview
from napari_ct_pyramid.plugin.widget.widget import ConvertWidget, WidgetState
from tests.helpers.dock import SHAPE, Gate, add_widget, gated, volume, wait_for, wait_until, write_tiff
from tests.helpers.screen import PLUGIN, gray_at, settle, sliced


@pytest.fixture
def viewer(shown_viewer: napari.Viewer) -> napari.Viewer:
    return shown_viewer


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_tiff(tmp_path / "scan.tif")


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Conversions wait after 32 of the 42 slices."""
    with gated(monkeypatch, slices=32) as gate:
        yield gate


@pytest.fixture
def half_way(viewer: napari.Viewer, source: Path, gate: Gate) -> ConvertWidget:
    """A conversion that waits there, and its preview."""
    assert gate.slices == 32
    widget = add_widget(viewer, source)
    widget.status_panel.convert.click()
    wait_until(lambda: len(viewer.layers) == 1)
    layer = viewer.layers[0]
    wait_until(lambda: layer.contrast_limits[1] > 1 and sliced(layer).any())
    return widget


def finish(widget: ConvertWidget, gate: Gate, viewer: napari.Viewer) -> None:
    gate.open()
    wait_for(widget, WidgetState.DONE)
    wait_until(lambda: not LivePreview.under_way)
    settle(viewer)


def test_a_volume_grows_into_the_layer_that_the_reader_makes(
    viewer: napari.Viewer, half_way: ConvertWidget, gate: Gate, source: Path
) -> None:
    (layer,) = viewer.layers
    voxels = volume()
    assert viewer.dims.current_step[0] == SHAPE[0] // 2 - 1 or viewer.dims.current_step[0] == SHAPE[0] // 2
    assert [level.shape for level in layer.data] == [SHAPE, (21, 32, 48), (11, 16, 24)]
    assert np.array_equal(layer.data[0][10], voxels[10])
    assert not np.asarray(layer.data[0][40]).any()
    assert not np.asarray(layer.data[2][9]).any()
    low, high = layer.contrast_limits
    assert voxels.min() <= low < high <= voxels.max()
    before = gray_at(viewer, (16, 24), (8, 8))

    finish(half_way, gate, viewer)
    (layer,) = viewer.layers
    assert np.array_equal(np.asarray(layer.data[0]), voxels)
    assert np.asarray(layer.data[2][9]).any()
    # No visible jump: the slice on the screen looks almost the same.
    assert np.allclose(gray_at(viewer, (16, 24), (8, 8)), before, atol=40)

    (read,) = viewer.open(source.with_name("scan.ome.zarr"), plugin=PLUGIN)
    settle(viewer)
    for name in ("scale", "translate", "units", "axis_labels", "contrast_limits", "contrast_limits_range", "metadata"):
        assert np.array_equal(getattr(layer, name), getattr(read, name)), name
    assert (layer.name, read.name) == ("scan", "scan [1]")
    assert layer.source == read.source
    assert layer.colormap.name == read.colormap.name
    assert [level.shape for level in layer.data] == [level.shape for level in read.data]


def test_settings_that_the_user_changed_stay(viewer: napari.Viewer, half_way: ConvertWidget, gate: Gate) -> None:
    layer = viewer.layers[0]
    layer.contrast_limits = (10, 500)
    layer.name = "mine"
    layer.colormap = "viridis"
    finish(half_way, gate, viewer)
    assert layer.contrast_limits == [10, 500]
    assert layer.name == "mine"
    assert layer.colormap.name == "viridis"
    assert viewer.layers[0] is layer


def test_a_layer_that_the_user_removed_stays_removed(
    viewer: napari.Viewer, half_way: ConvertWidget, gate: Gate
) -> None:
    viewer.layers.clear()
    finish(half_way, gate, viewer)
    assert not viewer.layers


def test_the_layer_grows_in_3d(viewer: napari.Viewer, half_way: ConvertWidget, gate: Gate) -> None:
    viewer.dims.ndisplay = 3
    settle(viewer)
    layer = viewer.layers[0]
    assert not sliced(layer)[-4:].any()
    finish(half_way, gate, viewer)
    assert sliced(layer).shape == SHAPE
    assert sliced(layer)[-4:].all()


def test_a_failed_conversion_leaves_no_layer(viewer: napari.Viewer, half_way: ConvertWidget, gate: Gate) -> None:
    gate.fail(ConversionError("no"))
    wait_for(half_way, WidgetState.READY)
    assert not viewer.layers


def test_the_conversion_reports_an_output_that_vanished(
    viewer: napari.Viewer, half_way: ConvertWidget, gate: Gate, source: Path
) -> None:
    shutil.rmtree(source.with_name("scan.ome.zarr"))
    gate.open()
    wait_for(half_way, WidgetState.READY)
    assert "scan.ome.zarr" in half_way.status_panel.result.words.text()
    assert not viewer.layers


def test_the_camera_does_not_move_if_there_are_other_layers(viewer: napari.Viewer, source: Path, gate: Gate) -> None:
    viewer.add_image(np.ones((42, 64, 96), "f4"))
    camera = viewer.scene.camera
    camera.zoom = 3.5
    widget = add_widget(viewer, source)
    widget.status_panel.convert.click()
    wait_until(lambda: len(viewer.layers) == 2)
    finish(widget, gate, viewer)
    assert camera.zoom == 3.5
