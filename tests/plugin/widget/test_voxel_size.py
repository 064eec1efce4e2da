"""The voxel size on the form: what the file states, what a user types, and the unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
import pytest
import tifffile

from napari_ct_pyramid import open_pyramid
from napari_ct_pyramid.plugin.widget.widget import ConvertWidget, WidgetState
from tests.helpers.dock import add_widget, enabled, offers, press, said, volume, wait_for, write_tiff


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A TIFF without a voxel size."""
    tifffile.imwrite(tmp_path / "plain.tif", volume(), photometric="minisblack")
    return tmp_path / "plain.tif"


def shown(widget: ConvertWidget) -> tuple[str, str]:
    """The texts of the field and of the menu with the unit."""
    fields = widget.form.options.fields
    return fields["voxel_size"].widget.native.text(), fields["unit"].widget.native.currentText()


def type_size(widget: ConvertWidget, text: str) -> None:
    """Type a voxel size, and leave the field."""
    line = widget.form.options.fields["voxel_size"].widget.native
    line.setText(text)
    line.editingFinished.emit()


def note(widget: ConvertWidget) -> str:
    """The words below the field."""
    label = widget.form.size_note.label
    return label.text() if label.isVisibleTo(widget) else ""


def test_the_field_is_filled_from_the_file_and_asks_for_nothing(viewer: napari.Viewer, source: Path) -> None:
    widget = add_widget(viewer, source)
    assert shown(widget) == ("0.5", "µm")
    assert note(widget).startswith("from the file (")
    asked = widget.form.request().options
    assert (asked.voxel_size, asked.unit) == (None, None)
    assert ">0.5 µm<" in widget.plan_panel.table.text()


def test_an_unknown_voxel_size_is_asked_for_and_does_not_stop_the_conversion(
    viewer: napari.Viewer, plain: Path
) -> None:
    widget = add_widget(viewer, plain)
    assert shown(widget) == ("", "unit?")
    assert note(widget).startswith("unknown")
    assert "color" in widget.form.size_note.label.styleSheet()
    assert enabled(widget) == {"form", "Convert"}
    assert ">unknown<" in widget.plan_panel.table.text()


@pytest.mark.parametrize(
    ("text", "after", "size", "unit"),
    [
        ("0,65 µm", ("0.65", "µm"), (0.65,) * 3, "micrometer"),
        ("0.65 um", ("0.65", "µm"), (0.65,) * 3, "micrometer"),
        ("650 nm", ("650", "nm"), (650.0,) * 3, "nanometer"),
        ("0.00065 mm", ("0.00065", "mm"), (0.00065,) * 3, "millimeter"),
        ("1.3 x 0.65 x 0.65 µm", ("1.3 0.65 0.65", "µm"), (1.3, 0.65, 0.65), "micrometer"),
    ],
)
def test_a_unit_after_the_size_goes_into_its_own_field(
    viewer: napari.Viewer, plain: Path, text: str, after: tuple[str, str], size: Any, unit: str
) -> None:
    widget = add_widget(viewer, plain)
    told: list[Any] = []
    widget.voxel_size_changed.connect(lambda *values: told.append(values))
    type_size(widget, text)
    assert shown(widget) == after
    wait_for(widget, WidgetState.READY)
    asked = widget.form.request().options
    assert (asked.voxel_size, asked.unit) == (size, unit)
    assert told[-1] == (str(plain), size, unit)


def test_a_size_without_a_unit_asks_for_one(viewer: napari.Viewer, plain: Path) -> None:
    widget = add_widget(viewer, plain)
    type_size(widget, "0,65")
    assert widget.state is WidgetState.WRONG
    assert "unit" in said(widget)
    assert enabled(widget) == {"form"}
    assert offers(widget) == ["µm", "nm", "mm"]
    press(widget, "µm")
    wait_for(widget, WidgetState.READY)
    assert ">0.65 µm<" in widget.plan_panel.table.text()
    press(widget, "Convert")
    wait_for(widget, WidgetState.DONE)
    made = open_pyramid(plain.with_name("plain.ome.zarr"))
    assert made.levels[0].scale == (0.65, 0.65, 0.65)
    assert made.units == ("micrometer",) * 3


def test_a_typed_size_overrides_the_file_in_its_unit_until_there_is_another_file(
    viewer: napari.Viewer, source: Path
) -> None:
    widget = add_widget(viewer, source)
    type_size(widget, "2")
    wait_for(widget, WidgetState.READY)
    assert note(widget) == "typed; the file says 0.5 µm"
    assert ">2 µm<" in widget.plan_panel.table.text()
    type_size(widget, "0.5")  # as in the file
    wait_for(widget, WidgetState.READY)
    assert widget.form.request().options.voxel_size is None
    type_size(widget, "650 nm")
    wait_for(widget, WidgetState.READY)
    assert ">650 nm<" in widget.plan_panel.table.text()
    widget.set_source(write_tiff(source.with_name("other.tif")))
    wait_for(widget, WidgetState.READY)
    assert shown(widget) == ("0.5", "µm")


@pytest.mark.parametrize("text", ["wide", "0", "-1 µm", "1 2", "0.65 parsnips"])
def test_nonsense_is_marked_and_explained(viewer: napari.Viewer, source: Path, text: str) -> None:
    widget = add_widget(viewer, source)
    type_size(widget, text)
    assert widget.state is WidgetState.WRONG
    assert text.rsplit(maxsplit=1)[-1] in said(widget)
    assert "border" in widget.form.options.fields["voxel_size"].widget.native.styleSheet()
    type_size(widget, "")
    wait_for(widget, WidgetState.READY)
    assert widget.form.options.fields["voxel_size"].widget.native.styleSheet() == ""
