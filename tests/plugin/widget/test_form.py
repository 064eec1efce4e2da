"""The form: a source, its output and its facts, however they are chosen."""

from __future__ import annotations

from pathlib import Path

import napari
import numpy as np
import pytest
import tifffile
from qtpy.QtWidgets import QFileDialog, QLineEdit

from napari_ct_pyramid import open_pyramid
from napari_ct_pyramid.plugin.widget.plan_panel import HINT
from napari_ct_pyramid.plugin.widget.widget import ConvertWidget, WidgetState
from tests.helpers.dock import (
    add_widget,
    drop_on,
    enabled,
    offers,
    press,
    volume,
    wait_for,
    wait_until,
    write_tiff,
)
from tests.helpers.screen import settle


def test_a_source_brings_its_facts_its_output_and_a_plan(viewer: napari.Viewer, source: Path) -> None:
    widget = ConvertWidget(viewer)
    assert widget.state is WidgetState.EMPTY
    assert widget.plan_panel.hint.text() == HINT
    assert enabled(widget) == {"form"}
    widget.set_source(source)
    wait_for(widget, WidgetState.READY)
    assert enabled(widget) == {"form", "Convert"}
    assert widget.form.facts.text() == "42 × 64 × 96 · float32 · 1.03 MB"
    assert widget.form.output_path == str(source.with_name("scan.ome.zarr"))
    assert widget.form.options.fields["num_levels"].widget.native.currentText() == "auto (1)"
    widget.form.options.set("num_levels", 3)
    wait_for(widget, WidgetState.READY)
    table = widget.plan_panel.table.text().replace("×\N{ZERO WIDTH SPACE}", " × ").replace("\N{NO-BREAK SPACE}", " ")
    for cell in ("44 × 64 × 96", "22 × 32 × 48", "11 × 16 × 24", "0.5 µm", "1 µm", "2 µm", "1.08 MB"):
        assert f">{cell}<" in table
    assert " of 4 GB" in widget.plan_panel.memory.words.text()
    assert " of " in widget.plan_panel.disk.words.text()


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


def choose(widget: ConvertWidget, entry: str) -> None:
    """Choose an entry of the menu Browse."""
    widget.form.browse.fill()
    (action,) = [action for action in widget.form.browse.menu.actions() if action.text() == entry]
    action.trigger()


def test_a_file_dialog_chooses_the_source(viewer: napari.Viewer, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    widget = add_widget(viewer)
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: ([str(source)], ""))
    choose(widget, "File…")
    wait_for(widget, WidgetState.READY)
    assert widget.form.source_path == str(source)


def test_a_folder_of_slices_is_chosen_and_what_was_opened_lately_is_offered(
    viewer: napari.Viewer, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = source.with_name("slices")
    folder.mkdir()
    for z, plane in enumerate(volume()[:20]):
        tifffile.imwrite(folder / f"slice_{z:03}.tif", plane)
    widget = add_widget(viewer)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    choose(widget, "Folder of slices…")
    wait_for(widget, WidgetState.READY)
    assert widget.form.source_path == str(folder)
    assert widget.form.facts.text().startswith("20 × 64 × 96")
    widget.set_source(source)
    wait_for(widget, WidgetState.READY)
    another = add_widget(viewer)  # napari may have been started again in between
    choose(another, "slices")
    wait_for(another, WidgetState.READY)
    assert another.form.source_path == str(folder)


def test_the_file_of_the_selected_layer_can_be_the_source(viewer: napari.Viewer, source: Path) -> None:
    def entries() -> list[str]:
        widget.form.browse.fill()
        return [action.text() for action in widget.form.browse.menu.actions()]

    widget = add_widget(viewer)
    viewer.add_image(np.zeros((4, 4)))
    assert not [words for words in entries() if words.startswith("Selected layer")]
    viewer.open(source, plugin="napari-ct-pyramid")
    choose(widget, "Selected layer: scan.tif")
    wait_for(widget, WidgetState.READY)
    assert widget.form.source_path == str(source)


def test_voxels_without_a_header_ask_for_their_shape(viewer: napari.Viewer, tmp_path: Path) -> None:
    path = tmp_path / "scan_96x64x42_16bit.raw"
    path.write_bytes(volume(dtype="uint16").tobytes())
    widget = add_widget(viewer, write_tiff(tmp_path / "scan.tif"))
    raw = widget.form.folds["Raw file"]
    assert not raw.isVisibleTo(widget)
    widget.set_source(path)
    wait_for(widget, WidgetState.WRONG)
    assert raw.isVisibleTo(widget)
    assert offers(widget) == ["Read it as 42 × 64 × 96, uint16"]
    press(widget, offers(widget)[0])
    wait_for(widget, WidgetState.READY)
    assert widget.form.facts.text() == "42 × 64 × 96 · uint16 · 516 kB"
    press(widget, "Convert")
    wait_for(widget, WidgetState.DONE)
    made = open_pyramid(tmp_path / "scan_96x64x42_16bit.ome.zarr")
    assert np.array_equal(np.asarray(made.levels[0].array), volume(dtype="uint16"))
    widget.set_source(tmp_path / "scan.tif")
    assert not raw.isVisibleTo(widget)
    wait_for(widget, WidgetState.READY)
    assert widget.form.request().options.raw_shape is None


@pytest.mark.parametrize("selected", [False, True], ids=["drawn", "selected"])
def test_a_rectangle_in_the_viewer_is_the_crop(viewer: napari.Viewer, source: Path, selected: bool) -> None:
    viewer.open(source, plugin="napari-ct-pyramid")
    widget = add_widget(viewer, source)
    crop = widget.form.options.fields["crop"]
    corners = np.array([[4, 10, 20], [4, 10, 50.4], [4, 39.6, 50.4], [4, 39.6, 20]])
    if selected:
        layer = viewer.add_shapes([corners * 0.5], shape_type="rectangle")  # in micrometers
        viewer.layers.selection = {layer}
        widget.form.draw_crop.click()
    else:
        widget.form.draw_crop.click()
        layer = viewer.layers["Crop"]
        assert viewer.layers.selection.active is layer
        assert layer.mode == "add_rectangle"
        layer.add_rectangles(corners)
    wait_until(lambda: crop.read() is not None)
    assert crop.read() == ",10:40,20:51"
    wait_for(widget, WidgetState.READY)
    assert widget.form.facts.text().startswith("42 × 30 × 31 of 42 × 64 × 96")
    press(widget, "Convert")
    wait_for(widget, WidgetState.DONE)
    made = open_pyramid(source.with_name("scan.ome.zarr"))
    assert np.array_equal(np.asarray(made.levels[0].array), volume()[:, 10:40, 20:51])


def test_options_are_remembered_and_set_back(viewer: napari.Viewer, source: Path) -> None:
    widget = add_widget(viewer, source)
    options = widget.form.options
    for name, value in {"dtype": "uint8", "window": "0 200", "crop": "0:20,,", "max_memory": "3G"}.items():
        options.set(name, value)
    options.set("compressor", "zstd")
    options.set("chunks", "nonsense")
    widget.form.folds["Machine"].button.click()
    widget.form.live.value = False
    another = ConvertWidget(viewer)  # after the next start of napari
    again = another.form
    values = again.options.values()
    assert (values["dtype"], values["compressor"], values["max_memory"]) == ("uint8", "zstd", "3G")
    assert (values["window"], values["crop"]) == (None, None)  # of that volume
    assert values["chunks"] == "visualization"  # nonsense is not remembered
    assert not again.live.value
    assert [name for name, fold in again.folds.items() if fold.button.isChecked()] == ["Pyramid", "Machine"]
    assert again.defaults.isVisibleTo(again)
    again.defaults.click()
    assert not again.defaults.isVisibleTo(again)
    third = ConvertWidget(viewer)
    assert again.options.options() == third.form.options.options()
    assert again.options.values()["compressor"] == "lz4"


def test_slices_dropped_together_are_one_volume(viewer: napari.Viewer, tmp_path: Path) -> None:
    folder = tmp_path / "slices"
    folder.mkdir()
    for z, plane in enumerate(volume()[:12]):
        tifffile.imwrite(folder / f"slice_{z:03}.tif", plane)
    widget = add_widget(viewer)
    assert drop_on(widget, *sorted(folder.iterdir()))
    wait_for(widget, WidgetState.READY)
    assert not widget.several
    assert widget.form.facts.text().startswith("12 × 64 × 96")


def test_the_dock_leaves_the_canvas_usable_in_a_small_window(shown_viewer: napari.Viewer, source: Path) -> None:
    shown_viewer.add_image(np.zeros((4, 5, 6)))
    window = shown_viewer.window._qt_window
    window.resize(800, 600)
    widget = add_widget(shown_viewer, source)
    for fold in widget.form.folds.values():
        fold.button.setChecked(True)
    settle(shown_viewer)
    window.resize(800, 600)
    settle(shown_viewer)
    assert widget.width() <= 300
    assert shown_viewer.window._qt_viewer.width() >= 200
    assert window.width() <= 840
