"""The dock widget in a real napari window, from one state to the next."""

from __future__ import annotations

from pathlib import Path

import napari
import numpy as np
import pytest
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QApplication

from napari_ct_pyramid import open_pyramid
from napari_ct_pyramid.errors import ConversionError
from napari_ct_pyramid.plugin.export_dialog import ExportDialog
from napari_ct_pyramid.plugin.widget.widget import ConvertWidget, WidgetState
from tests.helpers.dock import (
    add_widget,
    enabled,
    gated,
    offers,
    press,
    said,
    volume,
    wait_for,
    wait_for_progress,
    wait_until,
    write_tiff,
)


def test_a_conversion_from_state_to_state(viewer: napari.Viewer, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    widget = add_widget(viewer, source)
    panel = widget.status_panel
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()) or True)
    with gated(monkeypatch, slices=16) as gate:
        press(widget, "Convert")
        assert widget.state is WidgetState.RUNNING
        assert enabled(widget) == {"Cancel"}
        assert panel.status.text() == "Starting…"
        wait_for_progress(widget)
        assert 0 < panel.bar.value() < 1000
        assert panel.bar.text().endswith("%")
        assert "/s" in panel.status.text()
        assert enabled(widget) == {"Cancel"}
        gate.open()
        wait_for(widget, WidgetState.DONE)
    assert enabled(widget) == {"form"}
    assert offers(widget) == ["Show in napari", "Neuroglancer", "Folder", "Verify", "Export…"]
    assert not widget.plan_panel.needs.isVisibleTo(widget)  # it is made
    assert not panel.bar.isVisibleTo(widget)
    assert "Made scan.ome.zarr: 3 levels" in said(widget)
    press(widget, "Folder")
    assert opened == [str(source.parent)]
    press(widget, "Export…")
    [dialog] = [window for window in QApplication.topLevelWidgets() if isinstance(window, ExportDialog)]
    assert "scan" in dialog.windowTitle()
    dialog.reject()
    made = open_pyramid(source.with_name("scan.ome.zarr"))
    assert np.array_equal(np.asarray(made.levels[0].array), volume())
    widget.set_source("")
    assert widget.state is WidgetState.EMPTY
    assert not said(widget)
    assert enabled(widget) == {"form"}


def test_a_cancelled_conversion_resumes(viewer: napari.Viewer, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    widget = add_widget(viewer, source)
    output = source.with_name("scan.ome.zarr")
    with gated(monkeypatch, slices=16) as gate:
        press(widget, "Convert")
        wait_for_progress(widget)
        press(widget, "Cancel")
        assert widget.state is WidgetState.CANCELLING
        assert enabled(widget) == set()
        assert widget.status_panel.cancel.text() == "Cancelling…"
        gate.open()
        wait_for(widget, WidgetState.READY)
    assert "Cancelled" in widget.status_panel.message.words.text()
    assert enabled(widget) == {"form", "Resume"}
    assert not viewer.layers
    assert output.exists()
    assert not (output / ".zattrs").exists()
    assert widget.plan_panel.resumes.isVisibleTo(widget)
    asked = widget.form.request().options
    widget.form.options.set("num_levels", 2)
    widget.form.options.set("chunks", "visualization")
    widget.form.options.set("voxel_size", "3 2 2")
    wait_for(widget, WidgetState.WRONG)
    for words in ("unfinished", "the number of levels (was 3, is 2)", "the voxel size (was 0.5 × 0.5 × 0.5, is 3"):
        assert words in widget.status_panel.message.words.text()
    press(widget, "Use its options")
    wait_for(widget, WidgetState.READY)
    assert widget.form.request().options == asked
    assert enabled(widget) == {"form", "Resume"}
    press(widget, "Resume")
    wait_for(widget, WidgetState.DONE)
    assert np.array_equal(np.asarray(open_pyramid(output).levels[0].array), volume())


def test_a_failure_is_shown_in_the_dock_and_as_a_notification_and_can_be_resumed(
    viewer: napari.Viewer, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari.utils.notifications import notification_manager

    widget = add_widget(viewer, source)
    with gated(monkeypatch, slices=16) as gate:
        press(widget, "Convert")
        wait_for_progress(widget)
        gate.fail(ConversionError("The disk is on fire"))
        wait_for(widget, WidgetState.READY)
    assert "The disk is on fire" in widget.status_panel.message.words.text()
    notification = notification_manager.records[-1]
    assert notification.severity == "error"
    assert "The disk is on fire" in notification.message
    assert "Resume" in notification.message
    assert enabled(widget) == {"form", "Resume"}
    assert "blocks are done" in widget.plan_panel.resumes.words.text()
    assert not viewer.layers
    press(widget, "Resume")
    wait_for(widget, WidgetState.DONE)
    assert open_pyramid(source.with_name("scan.ome.zarr")).levels[0].stored_shape == (44, 64, 96)


def test_two_conversions_one_after_the_other(viewer: napari.Viewer, source: Path) -> None:
    widget = add_widget(viewer, source)
    press(widget, "Convert")
    wait_for(widget, WidgetState.DONE)
    other = write_tiff(source.with_name("other.tif"), seed=3)
    widget.set_source(other)
    assert not widget.status_panel.message.isVisibleTo(widget)
    wait_for(widget, WidgetState.READY)
    press(widget, "Convert")
    wait_for(widget, WidgetState.DONE)
    wait_until(lambda: len(viewer.layers) == 2)
    assert [layer.name for layer in viewer.layers] == ["scan", "other"]
    for name, seed in (("scan", 0), ("other", 3)):
        made = open_pyramid(source.with_name(f"{name}.ome.zarr"))
        assert np.array_equal(np.asarray(made.levels[0].array), volume(seed))


def test_the_layer_of_an_overwritten_output_is_removed(viewer: napari.Viewer, source: Path) -> None:
    widget = add_widget(viewer, source)
    press(widget, "Convert")
    wait_for(widget, WidgetState.DONE)
    wait_until(lambda: len(viewer.layers) == 1)
    (old,) = viewer.layers
    other = viewer.add_image(np.zeros((4, 4, 4)))
    widget.form.options.set("num_levels", 2)
    wait_for(widget, WidgetState.WRONG)
    press(widget, "Overwrite it")
    wait_for(widget, WidgetState.READY)
    press(widget, "Convert")
    assert list(viewer.layers) == [other]
    wait_for(widget, WidgetState.DONE)
    wait_until(lambda: len(viewer.layers) == 2)
    assert viewer.layers[1] is not old
    assert len(viewer.layers[1].data) == 2


def test_a_conversion_continues_without_its_dock_and_the_next_dock_shows_it(
    viewer: napari.Viewer, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget = add_widget(viewer, source)
    with gated(monkeypatch, slices=16) as gate:
        press(widget, "Convert")
        wait_for_progress(widget)
        viewer.window.remove_dock_widget(widget)
        widget.deleteLater()
        del widget
        QApplication.processEvents()
        another = ConvertWidget(viewer)
        viewer.window.add_dock_widget(another, name="Again")
        assert another.state is WidgetState.RUNNING
        assert another.form.source_path == str(source)
        assert enabled(another) == {"Cancel"}
        gate.open()
        wait_for(another, WidgetState.DONE)
    assert "Made scan.ome.zarr" in another.status_panel.message.words.text()


def test_without_a_preview_there_is_no_layer(viewer: napari.Viewer, source: Path) -> None:
    widget = add_widget(viewer, source)
    widget.form.live.native.click()
    press(widget, "Convert")
    wait_for(widget, WidgetState.DONE)
    assert not viewer.layers
