"""Errors in the panel of the plan."""

from __future__ import annotations

import shutil
from pathlib import Path

import napari
import pytest

from napari_ct_pyramid.plugin.widget.widget import WidgetState
from tests.helpers.dock import (
    add_widget,
    enabled,
    offers,
    wait_for,
    write_tiff,
)


def test_a_full_disk_is_reported(viewer: napari.Viewer, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 1000))  # type: ignore[attr-defined]
    widget = add_widget(viewer)
    widget.set_source(source)
    wait_for(widget, WidgetState.WRONG)
    assert "1.00 kB" in widget.status_panel.message.words.text()
    assert offers(widget) == ["Check again"]


def test_nonsense_in_a_field_is_reported_at_once(viewer: napari.Viewer, source: Path) -> None:
    widget = add_widget(viewer, source)
    before = widget.form.options.values()
    for name, value, words in (
        ("chunks", "64 64", "'64 64' is not a chunk size"),
        ("max_memory", "4X", "'4X' is not a size"),
        ("chunks", "5000", "125,000,000,000 voxels"),
        ("max_memory", "999999T", "This machine has"),
        ("voxel_size", "wide", "'wide' is not a voxel size"),
    ):
        widget.form.options.set(name, value)
        assert widget.state is WidgetState.WRONG
        assert words in widget.status_panel.message.words.text()
        assert enabled(widget) == {"form"}
        widget.form.options.set(name, before[name])
        assert widget.state is WidgetState.PLANNING
        assert enabled(widget) == {"form"}
    wait_for(widget, WidgetState.READY)


def test_a_source_that_cannot_be_read_is_reported(viewer: napari.Viewer, tmp_path: Path) -> None:
    widget = add_widget(viewer, write_tiff(tmp_path / "scan.tif"))
    assert widget.form.facts.isVisibleTo(widget)
    (tmp_path / "cut short.tif").write_bytes(b"II*")
    (tmp_path / "folder.tif").mkdir()
    for name in ("cut short.tif", "folder.tif", "nothing.tif"):
        widget.set_source(tmp_path / name)
        wait_for(widget, WidgetState.WRONG)
        assert name in widget.status_panel.message.words.text()
        assert not widget.form.facts.isVisibleTo(widget)
        assert enabled(widget) == {"form"}
