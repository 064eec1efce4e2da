"""Several volumes in the widget of a real napari window: a list, worked off one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_ct_pyramid import open_pyramid
from napari_ct_pyramid.errors import ConversionError
from napari_ct_pyramid.plugin.widget import disk_watch
from napari_ct_pyramid.plugin.widget.queue_panel import info, reason
from napari_ct_pyramid.plugin.widget.widget import ConvertWidget, WidgetState
from tests.helpers.dock import (
    add_widget,
    drop_on,
    enabled,
    gated,
    press,
    said,
    volume,
    wait_for,
    wait_until,
    write_tiff,
)


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    """Four volumes, a to d, of different voxels."""
    return [write_tiff(tmp_path / f"{name}.tif", seed) for seed, name in enumerate("abcd")]


def listed(widget: ConvertWidget) -> dict[str, str]:
    """What the table says: names, and the state of each."""
    table = widget.queue_panel.table
    assert widget.queue_panel.isVisibleTo(widget)
    rows = [table.topLevelItem(row) for row in range(table.topLevelItemCount())]
    assert [row.text(0) for row in rows] == [item.name.name for item in widget.queue.batch.items]
    shown = {row.text(0): row.text(1).partition(",")[0] for row in rows}
    return {name: "running" if words.endswith("%") else words for name, words in shown.items()}


def take_off(widget: ConvertWidget, name: str) -> None:
    """Select a row, and press Remove."""
    table = widget.queue_panel.table
    table.clearSelection()
    table.topLevelItem(list(listed(widget)).index(name)).setSelected(True)
    widget.queue_panel.remove.click()


def is_made(source: Path, seed: int, folder: Path | None = None) -> bool:
    made = open_pyramid((folder or source.parent) / f"{source.stem}.ome.zarr")
    return np.array_equal(np.asarray(made.levels[0].array), volume(seed))


def test_five_volumes_and_the_one_in_the_middle_is_broken(
    viewer: napari.Viewer, sources: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"II*")
    folder = tmp_path / "made"
    folder.mkdir()
    widget = add_widget(viewer)
    assert drop_on(widget, *sources[:2], broken, *sources[2:])
    wait_for(widget, WidgetState.READY)
    names = ["a.tif", "b.tif", "broken.tif", "c.tif", "d.tif"]
    states = ["waiting", "waiting", "not possible", "waiting", "waiting"]
    assert list(listed(widget).items()) == list(zip(names, states, strict=True))
    assert "II*" in reason(widget.queue.batch.items[2])
    assert "1 of 5 volumes cannot be converted" in said(widget)
    assert widget.queue_panel.head.text() == "5 volumes · 4.13 MB"
    assert " of " in widget.plan_panel.disk.words.text()
    assert not widget.form.source.native.isVisibleTo(widget)
    assert not widget.form.output.native.isVisibleTo(widget)
    widget.form.folder.line_edit.value = str(folder)
    wait_for(widget, WidgetState.READY)
    assert enabled(widget) == {"form", "Convert 4 volumes"}

    press(widget, "Convert 4 volumes")
    assert enabled(widget) == {"Cancel"}
    wait_for(widget, WidgetState.DONE)
    assert list(listed(widget).values()) == ["done", "done", "not possible", "done", "done"]
    assert said(widget).startswith("4 of 5 made in ")
    assert "broken.tif: " in said(widget)
    assert all(is_made(source, seed, folder) for seed, source in enumerate(sources))
    wait_until(lambda: len(viewer.layers) == 4)
    assert [layer.name for layer in viewer.layers if layer.visible] == ["d"]

    write_tiff(broken, 7)
    press(widget, "Try again")
    wait_for(widget, WidgetState.READY)
    press(widget, "Convert 1 volume")
    wait_for(widget, WidgetState.DONE)
    assert set(listed(widget).values()) == {"done"}
    assert is_made(broken, 7, folder)
    press(widget, "Clear")
    assert widget.state is WidgetState.EMPTY
    assert widget.form.source.native.isVisibleTo(widget)
    assert not widget.queue_panel.isVisibleTo(widget)


def test_cancel_stops_one_and_leaves_the_rest_waiting(
    viewer: napari.Viewer, sources: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    widget = add_widget(viewer)
    widget.set_sources(sources)
    wait_for(widget, WidgetState.READY)
    with gated(monkeypatch, slices=16, only="b") as gate:
        press(widget, "Convert 4 volumes")
        wait_until(lambda: widget.queue.batch.run.place[0] == 2 and widget.queue.batch.items[1].fraction > 0)
        wait_until(lambda: widget.status_panel.bar.text().startswith("2 of 4 · "))
        wait_until(lambda: "b.ome.zarr" in widget.status_panel.status.text())
        take_off(widget, "b.tif")  # not while it runs
        take_off(widget, "c.tif")
        assert listed(widget) == {"a.tif": "done", "b.tif": "running", "d.tif": "waiting"}
        press(widget, "Cancel")
        gate.open()
        wait_for(widget, WidgetState.READY)
    assert list(listed(widget)) == ["a.tif", "b.tif", "d.tif"]
    assert info(widget.queue.batch.items[1]).endswith("% done")
    assert said(widget).startswith("1 of 3 made")
    assert "Cancelled: 2 volumes left to convert. b.ome.zarr is unfinished" in said(widget)
    assert not sources[3].with_name("d.ome.zarr").exists()
    assert [layer.name for layer in viewer.layers] == ["a"]

    press(widget, "Convert 2 volumes")
    wait_for(widget, WidgetState.DONE)
    assert is_made(sources[1], 1)
    assert is_made(sources[3], 3)
    assert not sources[2].with_name("c.ome.zarr").exists()


def test_volumes_added_while_a_job_runs(
    viewer: napari.Viewer, sources: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c, d = sources
    widget = add_widget(viewer, a)
    with gated(monkeypatch) as gate:
        press(widget, "Convert")
        assert drop_on(widget, b)  # to be converted, too
        widget.set_source(c)  # was opened to be looked at
        wait_until(lambda: all(entry.plan for entry in widget.queue.batch.items))
        assert listed(widget) == {"a.tif": "running", "b.tif": "waiting", "c.tif": "waiting"}
        gate.open()
        wait_for(widget, WidgetState.READY)
    assert listed(widget) == {"a.tif": "done", "b.tif": "done", "c.tif": "waiting"}
    assert said(widget).startswith("2 of 2 made")
    assert enabled(widget) == {"form", "Convert 1 volume"}
    assert is_made(b, 1)
    for name in ("a.tif", "b.tif"):
        take_off(widget, name)
    wait_for(widget, WidgetState.READY)
    assert widget.form.source_path == str(c)  # the last one has the field
    assert enabled(widget) == {"form", "Convert"}
    assert drop_on(widget, d)
    wait_for(widget, WidgetState.READY)
    assert widget.form.source_path == str(d)


def pause_of_watch(widget: ConvertWidget) -> None:
    """Wait until the widget has looked at the disk twice."""
    looks: list[Any] = []
    watch = widget.findChild(disk_watch.DiskWatch)
    compare = watch._compare
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watch, "_compare", lambda found: (compare(found), looks.append(found)))
        watch._look()
        wait_until(lambda: len(looks) == 1)
        watch._look()
        wait_until(lambda: len(looks) == 2)


def test_a_conversion_that_fails_does_not_stop_the_others(
    viewer: napari.Viewer, sources: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari.utils.notifications import notification_manager

    widget = add_widget(viewer)
    widget.form.live.value = False
    widget.set_sources(sources[:3])
    wait_for(widget, WidgetState.READY)
    with gated(monkeypatch, slices=16, only="b") as gate:
        press(widget, "Convert 3 volumes")
        wait_until(lambda: widget.queue.batch.items[1].fraction > 0)
        viewer.window.remove_dock_widget(widget)  # the conversion continues without its dock
        widget.deleteLater()
        del widget
        QApplication.processEvents()
        widget = ConvertWidget(viewer)
        viewer.window.add_dock_widget(widget, name="Again")
        assert listed(widget) == {"a.tif": "done", "b.tif": "running", "c.tif": "waiting"}
        assert enabled(widget) == {"Cancel"}
        gate.fail(ConversionError("The disk is on fire"))
        wait_for(widget, WidgetState.DONE)
    assert listed(widget) == {"a.tif": "done", "b.tif": "failed", "c.tif": "done"}
    assert "b.tif: The disk is on fire" in said(widget)
    assert notification_manager.records[-1].message.startswith("b.tif: The disk is on fire")
    pause_of_watch(widget)
    assert "b.tif: The disk is on fire" in said(widget)  # the half output of b is no news
    press(widget, "Try again")
    wait_for(widget, WidgetState.READY)
    assert enabled(widget) == {"form", "Convert 1 volume"}


def test_the_same_error_of_several_volumes_has_one_remedy(
    viewer: napari.Viewer, sources: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    widget = add_widget(viewer)
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: ([str(path) for path in sources], ""))
    widget.form.browse.fill()
    widget.form.browse.menu.actions()[0].trigger()
    wait_for(widget, WidgetState.READY)
    widget.form.options.set("num_levels", 9)
    wait_for(widget, WidgetState.WRONG)
    assert set(listed(widget).values()) == {"not possible"}
    assert "4 of 4 volumes cannot be converted" in said(widget)
    assert enabled(widget) == {"form"}
    press(widget, "Use 8 levels")
    wait_for(widget, WidgetState.READY)
    widget.form.options.set("max_memory", "4X")
    assert widget.state is WidgetState.WRONG
    assert "4X" in said(widget)
    widget.form.options.set("max_memory", "4G")
    wait_for(widget, WidgetState.READY)

    twin = sources[0].with_name("twin")
    twin.mkdir()
    write_tiff(twin / "a.tif")
    widget.form.folder.line_edit.value = str(sources[0].parent)
    widget.set_sources([twin / "a.tif"])
    wait_for(widget, WidgetState.WRONG)
    assert "a.ome.zarr" in said(widget)
    take_off(widget, "d.tif")
    wait_for(widget, WidgetState.WRONG)
    widget.form.folder.line_edit.value = ""
    wait_for(widget, WidgetState.READY)
    assert enabled(widget) == {"form", "Convert 4 volumes"}
