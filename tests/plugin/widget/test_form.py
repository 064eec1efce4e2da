"""The form: a source, its output and its facts, however they are chosen."""

from __future__ import annotations

from pathlib import Path

import napari
import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog, QLineEdit

from napari_ct_pyramid.plugin.widget.plan_panel import HINT
from napari_ct_pyramid.plugin.widget.widget import ConvertWidget, WidgetState
from tests.helpers.dock import (
    add_widget,
    drop_on,
    enabled,
    press,
    volume,
    wait_for,
    write_tiff,
)


def test_a_source_brings_its_facts_its_output_and_a_plan(viewer: napari.Viewer, source: Path) -> None:
    widget = ConvertWidget(viewer)
    assert widget.state is WidgetState.EMPTY
    assert widget.plan_panel.hint.text() == HINT
    assert enabled(widget) == {"form"}
    widget.set_source(source)
    wait_for(widget, WidgetState.READY)
    assert enabled(widget) == {"form", "Convert"}
    assert widget.form.facts.text() == "42 × 64 × 96 · float32 · 1.03 MB · 0.5 µm"
    assert widget.form.output_path == str(source.with_name("scan.ome.zarr"))
    assert widget.form.options.fields["num_levels"].widget.native.currentText() == "auto (1)"
    widget.form.options.set("num_levels", 3)
    wait_for(widget, WidgetState.READY)
    table = widget.plan_panel.table.text()
    for cell in ("44 × 64 × 96", "22 × 32 × 48", "11 × 16 × 24", "0.5 µm", "1 µm", "2 µm", "1.08 MB"):
        assert f">{cell}<" in table
    assert " of 4.00 GB" in widget.plan_panel.memory.words.text()
    assert widget.plan_panel.disk.words.text().endswith("free")


def test_an_unknown_voxel_size_is_shown_and_can_be_given(viewer: napari.Viewer, tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", volume(), photometric="minisblack")
    widget = add_widget(viewer, tmp_path / "a.tif")
    assert widget.form.facts.text().endswith("voxel size unknown")
    widget.form.options.set("voxel_size", "2 0.5 0.5")
    widget.form.options.set("unit", "millimeter")
    wait_for(widget, WidgetState.READY)
    assert widget.form.facts.text().endswith("2 0.5 0.5 mm")
    assert ">4 1 1 mm<" in widget.plan_panel.table.text()


def test_another_source_gets_another_output_and_no_permission_to_overwrite(viewer: napari.Viewer, source: Path) -> None:
    widget = add_widget(viewer, source)
    widget.form.output.line_edit.value = str(source.with_name("mine.ome.zarr"))
    widget.form.options.set("overwrite", True)
    wait_for(widget, WidgetState.READY)
    assert widget.form.request().options.overwrite
    widget.set_source(write_tiff(source.with_name("other.tif")))
    wait_for(widget, WidgetState.READY)
    request = widget.form.request()
    assert request.output == str(source.with_name("other.ome.zarr"))
    assert not request.options.overwrite


def test_a_file_dropped_anywhere_on_the_dock_becomes_the_source(viewer: napari.Viewer, source: Path) -> None:
    widget = add_widget(viewer)
    assert drop_on(widget, source)
    wait_for(widget, WidgetState.READY)
    assert widget.form.source_path == str(source)
    # A line edit would take the path for text, were it asked first.
    assert not any(line.acceptDrops() for line in widget.findChildren(QLineEdit))
    assert not viewer.layers


def test_a_file_dialog_chooses_the_source(viewer: napari.Viewer, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    widget = add_widget(viewer)
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: ([str(source)], ""))
    widget.form.source.choose_btn.native.click()
    wait_for(widget, WidgetState.READY)
    assert widget.form.source_path == str(source)


def test_the_file_of_the_selected_layer_can_be_the_source(viewer: napari.Viewer, source: Path) -> None:
    widget = add_widget(viewer)
    assert not widget.form.use_layer.isVisibleTo(widget)
    viewer.add_image(np.zeros((4, 4, 4)))
    assert not widget.form.use_layer.isVisibleTo(widget)
    viewer.open(source, plugin="napari")
    assert widget.form.use_layer.isVisibleTo(widget)
    press(widget, "Use selected layer")
    wait_for(widget, WidgetState.READY)
    assert widget.form.source_path == str(source)
    assert not widget.form.use_layer.isVisibleTo(widget)
