"""After files were dropped, one dock shows the widget with all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
import pytest
from napari._qt.dialogs import qt_reader_dialog
from qtpy.QtWidgets import QLineEdit

from tests.helpers.dock import wait_until
from tests.helpers.screen import drop, quarters, write_stack


@pytest.fixture
def viewer(small_viewer: napari.Viewer) -> napari.Viewer:
    return small_viewer


@pytest.fixture(autouse=True)
def _our_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """In napari's dialog, a user chooses our reader. (Private, as a user cannot be simulated in a modal dialog.)"""
    monkeypatch.setattr(qt_reader_dialog.QtReaderDialog, "get_user_choices", lambda self: ("CT Pyramid", False))


def docks(viewer: napari.Viewer) -> list[Any]:
    return list(viewer.window.dock_widgets.values())


def test_each_dropped_tiff_is_filled_in_in_the_same_widget(viewer: napari.Viewer, tmp_path: Path) -> None:
    for number in range(3):
        path = write_stack(tmp_path / f"scan{number}.tif", quarters((8, 16, 16)))
        drop(viewer, path)
        wait_until(lambda path=path: any(path.name in shown_text(dock) for dock in docks(viewer)))
        assert len(docks(viewer)) == 1
    assert [layer.name for layer in viewer.layers] == ["scan0", "scan1", "scan2"]


def test_tiffs_dropped_together_are_listed_in_one_widget(viewer: napari.Viewer, tmp_path: Path) -> None:
    paths = [write_stack(tmp_path / f"scan{number}.tif", quarters((8, 16, 16))) for number in range(3)]
    drop(viewer, *paths)
    wait_until(lambda: docks(viewer))
    (dock,) = docks(viewer)
    assert [str(item.source) for item in dock.queue.batch.items] == [str(path) for path in paths]
    assert [layer.name for layer in viewer.layers] == ["scan0", "scan1", "scan2"]


def shown_text(widget: Any) -> str:
    return " ".join(edit.text() for edit in widget.findChildren(QLineEdit))
