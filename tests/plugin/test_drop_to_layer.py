"""From a file dropped onto napari's window to the finished layer, and napari closed during a conversion."""

from __future__ import annotations

from pathlib import Path

import napari
import numpy as np
import psutil
import pytest
from napari._qt.dialogs import qt_reader_dialog
from napari.layers import Image

from napari_ct_pyramid.plugin.menus import convert_layer
from napari_ct_pyramid.plugin.widget.jobs import ConversionJob
from napari_ct_pyramid.plugin.widget.widget import ConvertWidget, WidgetState
from tests.helpers.dock import (
    CHUNKS,
    LEVELS,
    add_widget,
    gated,
    volume,
    wait_for,
    wait_for_progress,
    wait_until,
    write_tiff,
)
from tests.helpers.screen import drop, gray_at, settle


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_tiff(tmp_path / "scan.tif")


def docked(viewer: napari.Viewer) -> ConvertWidget:
    """The one widget in the window."""
    found = [w for w in viewer.window.dock_widgets.values() if isinstance(w, ConvertWidget)]
    assert len(found) == 1
    return found[0]


def brightness(layer: Image, value: float) -> float:
    """Of a voxel in a linear gray map."""
    low, high = layer.contrast_limits
    return 255 * min(1, max(0, (value - low) / (high - low)))


def test_from_a_drop_to_the_finished_layer(
    shown_viewer: napari.Viewer, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = shown_viewer
    asked: list[str] = []

    class Choice(qt_reader_dialog.QtReaderDialog):
        def get_user_choices(self) -> tuple[str, bool]:
            asked.extend(button.text() for button in self.reader_btn_group.buttons())
            return "CT Pyramid", False

    monkeypatch.setattr(qt_reader_dialog, "QtReaderDialog", Choice)
    drop(viewer, source)
    assert asked[0] == "CT Pyramid"
    wait_until(lambda: len(viewer.window.dock_widgets) > 0)
    widget = docked(viewer)
    wait_for(widget, WidgetState.READY)
    (tiff,) = viewer.layers
    assert widget.form.source_path == str(source)

    widget.form.options.set("chunks", CHUNKS)
    widget.form.options.set("num_levels", LEVELS)
    wait_for(widget, WidgetState.READY)
    widget.status_panel.convert.click()
    wait_for(widget, WidgetState.DONE)
    wait_until(lambda: len(viewer.layers) == 2 and viewer.layers[1].contrast_limits[1] > 1)
    settle(viewer)

    made = viewer.layers[1]
    assert (made.name, tiff.visible) == ("scan", False)  # in the place of the source
    assert tuple(made.scale) == tuple(tiff.scale) == (0.5, 0.5, 0.5)
    assert [str(unit) for unit in made.units] == ["micrometer"] * 3
    assert tuple(made.axis_labels) == ("z", "y", "x")
    assert made.source.path == str(source.with_name("scan.ome.zarr"))
    assert made.contrast_limits == tiff.contrast_limits

    # On the canvas, slice by slice, against the source: in the middle of voxels, at full resolution.
    viewer.dims.set_current_step(0, 20)
    viewer.scene.camera.zoom = 16
    viewer.scene.camera.center = (0, 16, 24)
    for z in (0, 20, 41):
        viewer.dims.set_current_step(0, z)
        points = [(y, x) for y in (26, 32, 40) for x in (36, 48, 60)]
        shown = gray_at(viewer, *((0.5 * y, 0.5 * x) for y, x in points))
        expected = [brightness(made, float(volume()[z, y, x])) for y, x in points]
        assert np.allclose(shown, expected, atol=3)

    drop(viewer, source)  # one dock, however many drops
    wait_until(lambda: len(viewer.layers) == 3)
    settle(viewer)
    assert docked(viewer) is widget


def test_the_layers_menu_converts_the_selected_layer(viewer: napari.Viewer, source: Path) -> None:
    convert_layer()
    assert not viewer.window.dock_widgets
    viewer.open(source, plugin="napari")
    convert_layer()
    wait_for(docked(viewer), WidgetState.READY)
    assert docked(viewer).form.source_path == "The layer scan"  # which is in memory


def test_napari_closed_during_a_conversion(
    shown_viewer: napari.Viewer, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = shown_viewer
    with gated(monkeypatch, slices=16) as gate:
        widget = add_widget(viewer, source)
        widget.status_panel.convert.click()
        wait_for_progress(widget)
        wait_until(lambda: len(viewer.layers) == 1)
        assert str(source) in open_files_in(source.parent)
        viewer.close()
        gate.open()
        wait_until(lambda: not ConversionJob.of(viewer))
    assert not open_files_in(source.parent)
    output = source.with_name("scan.ome.zarr")
    assert (output / ".zgroup").exists()
    assert not (output / ".zattrs").exists()


def open_files_in(folder: Path) -> list[str]:
    """Open files of this process in a folder."""
    return [file.path for file in psutil.Process().open_files() if Path(file.path).is_relative_to(folder)]
