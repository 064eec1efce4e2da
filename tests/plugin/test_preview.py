"""The live preview in a window: what has been written of a growing volume, and the finished layer in the end."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from napari.utils.notifications import notification_manager

from napari_ct_pyramid.errors import ConversionError
from napari_ct_pyramid.plugin.preview import LivePreview
from napari_ct_pyramid.plugin.widget.widget import ConvertWidget, WidgetState
from tests.helpers.dock import SHAPE, Gate, add_widget, gated, volume, wait_for, wait_until, write_tiff
from tests.helpers.screen import PLUGIN, gray_at, process_events, settle, sliced, write_stack


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
    assert np.isnan(np.asarray(layer.data[0][40])).all()
    assert np.isnan(np.asarray(layer.data[2][9])).all()
    low, high = layer.contrast_limits
    assert voxels.min() <= low < high <= voxels.max()
    before = gray_at(viewer, (16, 24), (8, 8))

    finish(half_way, gate, viewer)
    (layer,) = viewer.layers
    assert np.array_equal(np.asarray(layer.data[0]), voxels)
    assert layer.data[0].dtype == voxels.dtype
    assert np.isfinite(np.asarray(layer.data[2][9])).all()
    assert viewer.canvas.overlays.scale_bar.visible
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


def test_the_status_bar_follows_the_voxels_below_a_cursor_that_rests(
    viewer: napari.Viewer, half_way: ConvertWidget, gate: Gate
) -> None:
    thread = viewer.window._qt_window.status_thread  # private: it waits for a cursor that moves, and does not run here
    viewer.mouse_over_canvas = True
    viewer.dims.set_current_step(0, 40)  # not written yet
    settle(viewer)
    viewer.cursor.position = (40 * 0.5, 10 * 0.5, 20 * 0.5)
    thread.calculate_status()
    assert "nan" in str(viewer.status)
    thread._need_status_update.clear()
    finish(half_way, gate, viewer)
    assert thread._need_status_update.is_set()
    thread.calculate_status()
    assert viewer.status["value"].endswith(f"{volume()[40, 10, 20]:.3g}")


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
    assert np.isnan(sliced(layer)[-4:]).all()
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
    shutil.rmtree(source.with_name("scan.ome.zarr").rename(source.with_name("deleted")))  # in one step
    gate.open()
    wait_for(half_way, WidgetState.READY)
    assert "scan.ome.zarr" in half_way.status_panel.message.words.text()
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


# Over the layer of the source


def begin(viewer: napari.Viewer, source: Path) -> tuple[Any, Any, ConvertWidget]:
    """Open a source, and convert it until it is held up: the layers of the source and of the output."""
    (below,) = viewer.open(source, plugin=PLUGIN)
    settle(viewer)
    for dock in list(viewer.window.dock_widgets):
        viewer.window.remove_dock_widget(viewer.window.dock_widgets[dock])
    widget = add_widget(viewer, source)
    widget.status_panel.convert.click()
    wait_until(lambda: len(viewer.layers) == 2)
    above = viewer.layers[1]
    wait_until(lambda: np.isfinite(sliced(above)).any())
    return below, above, widget


def write_integers(path: Path) -> Path:
    """Integers, of which a quarter is 0: a voxel of the volume like any other."""
    voxels = volume(dtype="uint8")
    voxels[:, : SHAPE[1] // 4] = 0
    metadata = {"axes": "ZYX", "spacing": 0.5, "unit": "um"}
    return write_stack(path, voxels, imagej=True, resolution=(2, 2), metadata=metadata)


@pytest.mark.parametrize("ndisplay", [2, 3])
@pytest.mark.parametrize("write", [write_tiff, write_integers])
def test_what_is_not_written_shows_the_source(
    viewer: napari.Viewer, tmp_path: Path, gate: Gate, write: Callable[[Path], Path], ndisplay: int
) -> None:
    below, above, widget = begin(viewer, write(tmp_path / "scan.tif"))
    viewer.dims.order = (1, 0, 2)  # z runs down the canvas
    viewer.dims.set_current_step(1, 8)  # the zeros of the integers
    viewer.dims.ndisplay = ndisplay
    below.colormap = above.colormap = "gray"
    below.contrast_limits = (-1, 0)  # all of it is bright, the zeros too
    above.contrast_limits = (-1e4, 1e4)  # all of it is half as bright
    viewer.fit_to_view(layers=[above])
    column = middle_column(viewer)
    edge = len(column) * 32 // 42  # the first 32 slices of 42 are written
    assert np.allclose(column[3 : edge - 4], 128, atol=4)
    assert (column[edge + 4 : -3] > 160).all()
    finish(widget, gate, viewer)
    assert np.allclose(middle_column(viewer)[3:-3], 128, atol=4)
    assert not below.visible


def middle_column(viewer: napari.Viewer) -> np.ndarray:
    """The brightness of the canvas from top to bottom, in the middle, without the background."""
    process_events()
    picture = np.asarray(viewer.screenshot(canvas_only=True, flash=False))[:, :, 0].astype(int)
    column = picture[:, picture.shape[1] // 2]
    return column[column > 20]


def test_the_output_takes_the_place_of_the_source(viewer: napari.Viewer, source: Path, gate: Gate) -> None:
    above_all = viewer.add_points(np.zeros((1, 3)), name="points")
    (below,) = viewer.open(source, plugin=PLUGIN)
    viewer.layers.move(1, 0)
    below.colormap, below.gamma, below.contrast_limits, below.opacity = "viridis", 0.7, (90, 150), 0.8
    widget = add_widget(viewer, source)
    settle(viewer)
    viewer.reset_view()
    before = gray_at(viewer, (16 * 0.5, 24 * 0.5), (4, 4))
    widget.status_panel.convert.click()
    wait_until(lambda: len(viewer.layers) == 3)
    layer = viewer.layers[1]
    assert [one.name for one in viewer.layers] == ["scan.tif", "scan", "points"]
    assert below.visible
    finish(widget, gate, viewer)
    assert viewer.layers[:] == [below, layer, above_all]
    assert [one.name for one in viewer.layers] == ["scan.tif", "scan", "points"]
    assert not below.visible
    assert layer.visible
    assert layer.contrast_limits == [90, 150]
    assert (layer.colormap.name, layer.gamma, layer.opacity, layer.blending) == ("viridis", 0.7, 0.8, below.blending)
    for name in ("scale", "translate", "units", "axis_labels"):
        assert np.array_equal(getattr(layer, name), getattr(below, name)), name
    assert np.allclose(gray_at(viewer, (16 * 0.5, 24 * 0.5), (4, 4)), before, atol=2)


def test_the_name_that_the_user_gave_the_source_goes_to_the_output(
    viewer: napari.Viewer, source: Path, gate: Gate
) -> None:
    (below,) = viewer.open(source, plugin=PLUGIN)
    below.name = "femur"
    widget = add_widget(viewer, source)
    widget.status_panel.convert.click()
    wait_until(lambda: len(viewer.layers) == 2)
    finish(widget, gate, viewer)
    assert [one.name for one in viewer.layers] == ["scan.tif", "femur"]


def test_a_cancelled_conversion_leaves_the_source_as_it_was(viewer: napari.Viewer, source: Path, gate: Gate) -> None:
    below, _, widget = begin(viewer, source)
    assert below.name == "scan.tif"
    widget.status_panel.cancel.click()
    gate.open()
    wait_for(widget, WidgetState.READY)
    assert viewer.layers[:] == [below]
    assert below.name == "scan"
    assert below.visible
    assert viewer.canvas.overlays.scale_bar.visible  # napari crashes if it is hidden and shown again


def test_contrast_is_that_of_the_stored_values(viewer: napari.Viewer, source: Path, gate: Gate) -> None:
    (below,) = viewer.open(source, plugin=PLUGIN)
    below.contrast_limits = (80, 160)
    widget = add_widget(viewer, source)
    widget.form.options.set("dtype", "uint8")
    widget.form.options.set("window", "60 180")
    wait_for(widget, WidgetState.READY)
    settle(viewer)
    before = gray_at(viewer, (8, 12), (4, 4))
    widget.status_panel.convert.click()
    wait_until(lambda: len(viewer.layers) == 2)
    finish(widget, gate, viewer)
    layer = viewer.layers[1]
    assert layer.data[0].dtype == np.uint8
    assert layer.contrast_limits == [42, 212]  # 255 / 120 a grey value
    assert np.allclose(gray_at(viewer, (8, 12), (4, 4)), before, atol=3)


def test_in_a_queue_the_view_follows_the_volume_that_runs(
    viewer: napari.Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [write_tiff(tmp_path / f"{name}.tif", seed) for seed, name in enumerate("ab")]
    opened = [viewer.open(path, plugin=PLUGIN)[0] for path in sources]
    opened[1].translate = (1000, 1000, 1000)
    widget = add_widget(viewer)
    with gated(monkeypatch, only="b") as gate:
        gate.slices = 32
        widget.set_sources(sources)
        wait_for(widget, WidgetState.READY)
        widget.status_panel.convert.click()
        wait_until(lambda: len(viewer.layers) == 4)
        assert {layer.name for layer in viewer.layers if layer.visible} == {"b", "b.tif"}
        gate.open()
        wait_for(widget, WidgetState.DONE)
        wait_until(lambda: not LivePreview.under_way)
    assert [layer.name for layer in viewer.layers if layer.visible] == ["b"]
    settle(viewer)
    shown = viewer.layers["b"]
    assert np.isfinite(sliced(shown)).all()
    low, high = shown.extent.world
    centre = np.array(viewer.scene.camera.center[-2:])
    assert ((centre > low[1:]) & (centre < high[1:])).all()


def test_source_and_output_have_one_voxel_size_and_one_unit(viewer: napari.Viewer, tmp_path: Path, gate: Gate) -> None:
    source = write_stack(tmp_path / "scan.tif", volume(), metadata=None)  # which states none
    (below,) = viewer.open(source, plugin=PLUGIN)
    settle(viewer)
    before = gray_at(viewer, (16, 24), (50, 80))
    widget = add_widget(viewer, source)
    widget.form.options.set("voxel_size", "0.65")
    widget.form.options.set("unit", "um")
    wait_for(widget, WidgetState.READY)
    widget.status_panel.convert.click()
    wait_until(lambda: len(viewer.layers) == 2)
    layer = viewer.layers[1]
    for one in (below, layer):
        assert tuple(one.scale) == (0.65, 0.65, 0.65)
        assert [str(unit) for unit in one.units] == ["micrometer"] * 3
    finish(widget, gate, viewer)
    places = (16 * 0.65, 24 * 0.65), (50 * 0.65, 80 * 0.65)
    assert np.allclose(gray_at(viewer, *places), before, atol=2)
    assert not notification_manager.records  # such as "Inconsistent units"
