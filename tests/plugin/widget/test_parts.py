"""Parts of the window: long paths, low windows."""

from __future__ import annotations

from pathlib import Path

import napari

from tests.helpers.dock import (
    add_widget,
    wait_until,
    write_tiff,
)


def test_a_long_path_is_shown_with_its_middle_left_out(shown_viewer: napari.Viewer, tmp_path: Path) -> None:
    folder = tmp_path / ("a_long_name_" * 8) / ("another_one_" * 8)
    folder.mkdir(parents=True)
    source = write_tiff(folder / "scan.tif")
    assert len(str(source)) > 200
    widget = add_widget(shown_viewer, source)
    line = widget.form.source.line_edit.native
    assert line.text() == str(source)
    assert line.toolTip() == str(source)
    assert widget.width() < 420

    def seen(path: str) -> object:
        line.setText(path)
        return line.grab().toImage()

    path = str(source)
    middle = len(path) // 2
    assert seen(path[:middle] + "XXX" + path[middle + 3 :]) == seen(path)
    assert seen("/XX" + path[3:]) != seen(path)
    assert seen(path[:-8] + "XXXX.tif") != seen(path)


def test_a_low_window_scrolls_and_keeps_convert_in_sight(shown_viewer: napari.Viewer, source: Path) -> None:
    widget = add_widget(shown_viewer, source)
    for fold in widget.form.folds.values():
        fold.button.click()
    shown_viewer.window._qt_window.resize(1000, 480)
    wait_until(lambda: widget.visibleRegion().boundingRect().height() == widget.height() <= 480)
    convert = widget.status_panel.convert
    assert widget.rect().contains(convert.geometry().translated(widget.status_panel.pos()))
    assert convert.visibleRegion().boundingRect().size() == convert.size()
