"""After every failure, what the message says and what it offers agree, and lead on. In a real napari window."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
import tifffile

from napari_ct_pyramid import open_pyramid
from napari_ct_pyramid.conversion.convert import plan_conversion
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.plugin.widget import disk_watch, planner
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


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes on a disk are noticed at once."""
    monkeypatch.setattr(disk_watch, "_PAUSE_MS", 20)


def is_made(output: Path) -> bool:
    return np.array_equal(np.asarray(open_pyramid(output).levels[0].array), volume())


def take_away(output: Path) -> None:
    """Delete an output in one step: the conversion may be writing into it."""
    shutil.rmtree(output.rename(output.with_name("deleted")))


def half_way(widget: ConvertWidget) -> None:
    press(widget, "Convert")
    wait_for_progress(widget)


def test_an_output_that_is_deleted_meanwhile_is_made_anew(
    viewer: napari.Viewer, source: Path, watched: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget = add_widget(viewer, source)
    output = source.with_name("scan.ome.zarr")
    widget.form.live.value = False
    with gated(monkeypatch, slices=16) as gate:
        half_way(widget)
        take_away(output)
        gate.open()
        wait_for(widget, WidgetState.READY)
    assert "Resume" not in said(widget)
    assert "from the beginning" in said(widget)
    assert enabled(widget) == {"form", "Convert"}
    press(widget, "Convert")
    wait_for(widget, WidgetState.DONE)
    assert is_made(output)
    shutil.rmtree(output)  # also after it was made
    wait_for(widget, WidgetState.READY)
    assert said(widget) == ""
    assert enabled(widget) == {"form", "Convert"}


def test_a_source_that_is_gone_or_cut_short_can_be_tried_again_when_it_is_back(
    viewer: napari.Viewer, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget = add_widget(viewer, source)
    whole = source.read_bytes()
    with gated(monkeypatch, slices=16) as gate:
        half_way(widget)
        source.write_bytes(whole[: len(whole) // 3])
        gate.fail(OSError(5, "Input/output error", str(source)))
        wait_for(widget, WidgetState.WRONG)
    assert "scan.tif" in said(widget)
    assert "Resume" not in said(widget)
    assert offers(widget) == ["Try again"]
    source.unlink()
    press(widget, "Try again")
    wait_for(widget, WidgetState.WRONG)
    assert "no file" in said(widget)
    source.write_bytes(whole)
    press(widget, "Try again")
    wait_until(lambda: widget.state is not WidgetState.PLANNING and "no file" not in said(widget))
    if widget.state is not WidgetState.READY:  # the time of its last change is another
        press(widget, "Overwrite it")
        wait_for(widget, WidgetState.READY)
    widget.status_panel.convert.click()
    wait_for(widget, WidgetState.DONE)
    assert is_made(source.with_name("scan.ome.zarr"))


def test_a_source_that_comes_back_is_noticed(viewer: napari.Viewer, source: Path, watched: None) -> None:
    elsewhere = source.rename(source.with_name("moved.tif"))
    widget = add_widget(viewer)
    widget.set_source(source)
    wait_for(widget, WidgetState.WRONG)
    elsewhere.rename(source)
    wait_for(widget, WidgetState.READY)
    assert said(widget) == ""


def test_a_slice_more_is_noticed(viewer: napari.Viewer, tmp_path: Path, watched: None) -> None:
    folder = tmp_path / "slices"
    folder.mkdir()
    for z in range(8):
        tifffile.imwrite(folder / f"slice_{z}.tif", volume()[z])
    widget = add_widget(viewer)
    widget.set_source(str(folder / "slice_*.tif"))  # the output goes into the same folder
    wait_for(widget, WidgetState.READY)
    tifffile.imwrite(folder / "slice_8.tif", volume()[8])
    wait_until(lambda: widget._answer is not None and widget._answer.volume.shape[0] == 9)


def test_a_missing_folder_is_made_or_noticed(viewer: napari.Viewer, source: Path, watched: None) -> None:
    widget = add_widget(viewer, source)
    folder = source.parent / "not" / "there"
    widget.form.output.line_edit.value = str(folder / "scan.ome.zarr")
    wait_for(widget, WidgetState.WRONG)
    assert offers(widget) == ["Make it", "Check again"]
    press(widget, "Make it")
    wait_for(widget, WidgetState.READY)
    assert folder.is_dir()
    folder.rmdir()
    wait_for(widget, WidgetState.WRONG)
    folder.mkdir()
    wait_for(widget, WidgetState.READY)


def test_a_disk_with_space_again_is_noticed(
    viewer: napari.Viewer, source: Path, watched: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(source.parent)
    free = 1000
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))
    widget = add_widget(viewer)
    widget.set_source(source)
    wait_for(widget, WidgetState.WRONG)
    assert offers(widget) == ["Check again"]
    free = 10**12
    wait_for(widget, WidgetState.READY)


def test_what_changes_during_the_planning_is_noticed(
    viewer: napari.Viewer, source: Path, watched: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plan_and_put_back(*asked: Any) -> Plan:
        try:
            return plan_conversion(*asked)
        finally:
            if elsewhere.exists():
                elsewhere.rename(source)

    elsewhere = source.rename(source.with_name("moved.tif"))
    monkeypatch.setattr(planner, "plan_conversion", plan_and_put_back)
    widget = add_widget(viewer)
    widget.set_source(source)
    wait_for(widget, WidgetState.READY)


def test_a_disk_that_becomes_full_leaves_a_conversion_that_resumes(
    viewer: napari.Viewer, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget = add_widget(viewer, source)
    usage = shutil.disk_usage(source.parent)
    with gated(monkeypatch, slices=16) as gate, pytest.MonkeyPatch.context() as full:
        half_way(widget)
        full.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
        gate.fail(OSError(28, "No space left on device"))
        wait_for(widget, WidgetState.WRONG)
        assert "No space left on device" in said(widget)
        assert "Resume" not in said(widget)  # it cannot be resumed yet
        assert offers(widget) == ["Check again"]
    press(widget, "Check again")
    wait_for(widget, WidgetState.READY)
    press(widget, "Resume")
    wait_for(widget, WidgetState.DONE)
    assert is_made(source.with_name("scan.ome.zarr"))


def test_an_output_that_is_there_and_verified_is_one_state_with_one_message(
    viewer: napari.Viewer, source: Path
) -> None:
    widget = add_widget(viewer, source)
    press(widget, "Convert")
    wait_for(widget, WidgetState.DONE)
    widget.set_source("")
    widget.set_source(source)
    wait_for(widget, WidgetState.DONE)
    assert "there already" in said(widget)
    assert widget.plan_panel.shows_plan
    press(widget, "Verify")
    wait_until(lambda: said(widget).startswith("Verified"))
    wait_for(widget, WidgetState.DONE)
    assert enabled(widget) == {"form"}
    assert said(widget).startswith("Verified")
    widget.form.options.set("num_levels", 1)
    wait_for(widget, WidgetState.WRONG)
    assert offers(widget)[:2] == ["Overwrite it", "Use another name"]


def test_verifying_an_output_that_is_gone_leads_back_to_convert(viewer: napari.Viewer, source: Path) -> None:
    widget = add_widget(viewer, source)
    press(widget, "Convert")
    wait_for(widget, WidgetState.DONE)
    shutil.rmtree(source.with_name("scan.ome.zarr"))
    press(widget, "Verify")
    wait_for(widget, WidgetState.READY)
    assert enabled(widget) == {"form", "Convert"}


def test_one_failure_of_six_is_one_red_row(viewer: napari.Viewer, tmp_path: Path, watched: None) -> None:
    sources = [write_tiff(tmp_path / f"{name}.tif", seed) for seed, name in enumerate("abcde")]
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"II*\0" + bytes(20))
    widget = add_widget(viewer)
    widget.form.live.value = False
    widget.set_sources([*sources[:2], broken, *sources[2:]])
    wait_for(widget, WidgetState.READY)
    press(widget, "Convert 5 volumes")
    wait_for(widget, WidgetState.DONE)
    assert said(widget).startswith("5 of 6 made in ")
    box = widget.status_panel.message.styleSheet()
    assert offers(widget)[0] == "Show in napari"
    table = widget.queue_panel.table
    inks = {table.topLevelItem(row).text(0): table.topLevelItem(row).foreground(0) for row in range(6)}
    assert [name for name, ink in inks.items() if ink.color().red() > 200] == ["broken.tif"]
    press(widget, "Show in napari")
    assert [layer.name for layer in viewer.layers] == list("abcde")
    write_tiff(broken)
    wait_for(widget, WidgetState.READY)
    press(widget, "Convert 1 volume")
    wait_for(widget, WidgetState.DONE)
    assert said(widget).startswith("6 of 6 made")
    assert widget.status_panel.message.styleSheet() != box


def test_the_smallest_budget_is_told_with_what_this_program_already_holds(viewer: napari.Viewer, source: Path) -> None:
    widget = add_widget(viewer, source)
    widget.form.options.set("max_memory", "10M")
    wait_for(widget, WidgetState.WRONG)
    assert "napari included, already holds" in said(widget)
    widget.status_panel.message.buttons[0].click()
    wait_for(widget, WidgetState.READY)
