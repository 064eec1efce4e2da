"""What is wrong with a request, and the buttons that correct it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
import pytest

from napari_ct_pyramid.errors import BudgetError, LevelsError
from napari_ct_pyramid.model.formatting import format_size
from napari_ct_pyramid.plugin.widget.remedies import remedies
from napari_ct_pyramid.plugin.widget.widget import WidgetState
from tests.helpers.dock import (
    add_widget,
    enabled,
    offers,
    press,
    said,
    wait_for,
)


def test_wrong_options_have_remedies(viewer: napari.Viewer, source: Path) -> None:
    widget = add_widget(viewer, source)
    options, box = widget.form.options, widget.status_panel.message

    options.set("num_levels", 9)
    wait_for(widget, WidgetState.WRONG)
    assert enabled(widget) == {"form"}
    assert "9 levels" in box.words.text()
    assert " -l " not in box.words.text()  # a flag of the command line
    assert not widget.plan_panel.table.isVisibleTo(widget)
    press(widget, "Use 8 levels")
    wait_for(widget, WidgetState.READY)
    assert widget.plan_panel.shows_plan

    options.set("edges", "strict")
    wait_for(widget, WidgetState.WRONG)
    assert offers(widget) == ["Pad the edges", "Use 6 levels"]
    press(widget, "Pad the edges")
    wait_for(widget, WidgetState.READY)
    assert options.values()["edges"] == "pad"

    options.set("max_memory", "1M")
    wait_for(widget, WidgetState.WRONG)
    assert "1.00 MB" in box.words.text()
    (button,) = [b for b in box.buttons if b.text().startswith("Use ")]
    button.click()
    wait_for(widget, WidgetState.READY)
    assert format_size(options.options().max_memory) == button.text().removeprefix("Use ")
    assert widget.plan_panel.shows_plan


def test_an_existing_output_can_be_overwritten_or_get_another_name(viewer: napari.Viewer, source: Path) -> None:
    widget = add_widget(viewer, source)
    press(widget, "Convert")
    wait_for(widget, WidgetState.DONE)
    widget.set_source("")
    widget.set_source(source)
    wait_for(widget, WidgetState.DONE)  # it is just what would be made
    widget.form.options.set("num_levels", 2)
    wait_for(widget, WidgetState.WRONG)
    assert "scan.ome.zarr" in said(widget)
    press(widget, "Use another name")
    wait_for(widget, WidgetState.READY)
    assert widget.form.output_path == str(source.with_name("scan-2.ome.zarr"))
    widget.set_source("")
    widget.set_source(source)
    wait_for(widget, WidgetState.WRONG)
    press(widget, "Overwrite it")
    wait_for(widget, WidgetState.READY)
    assert widget.form.request().options.overwrite
    assert widget.form.output_path == str(source.with_name("scan.ome.zarr"))


def test_overwriting_is_not_offered_for_other_folders(viewer: napari.Viewer, source: Path) -> None:
    folder = source.with_name("scan.ome.zarr")
    folder.mkdir()
    (folder / "letters.txt").write_text("dear")
    widget = add_widget(viewer)
    widget.set_source(source)
    wait_for(widget, WidgetState.WRONG)
    assert [button.text() for button in widget.status_panel.message.buttons] == ["Use another name"]


@pytest.mark.parametrize(
    ("error", "words", "values"),
    [
        (LevelsError("", most=1), "Use 1 level", {"num_levels": 1}),
        (LevelsError("", most=6), "Use 6 levels", {"num_levels": 6}),
        (BudgetError("", smallest=1_234_567_890), "Use 1.40 GB", {"max_memory": 1_400_000_000}),
        (BudgetError("", smallest=412_000_000), "Use 460 MB", {"max_memory": 460_000_000}),
    ],
)
def test_the_remedy_of_an_error(error: Exception, words: str, values: dict[str, Any]) -> None:
    (remedy,) = remedies(error, "")
    assert (remedy.words, remedy.value) == (words, values)
    if isinstance(error, BudgetError):
        assert values["max_memory"] > error.smallest
