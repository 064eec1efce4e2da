"""The widget and the reader with an object store in memory, which needs no server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np

from napari_ct_pyramid.plugin.menus import ome_zarrs
from napari_ct_pyramid.plugin.widget.widget import WidgetState
from napari_ct_pyramid.storage.remote_path import RemotePath
from tests.helpers.dock import add_widget, enabled, press, volume, wait_for, write_tiff

URL = "memory://from-napari/scan.ome.zarr"


def test_a_file_is_converted_to_a_store_and_opened_from_there(
    make_napari_viewer: Callable[..., napari.Viewer], tmp_path: Path
) -> None:
    viewer = make_napari_viewer()
    widget = add_widget(viewer, write_tiff(tmp_path / "scan.tif"))
    widget.form.output.line_edit.value = URL
    wait_for(widget, WidgetState.READY)
    widget.status_panel.convert.click()
    wait_for(widget, WidgetState.DONE)
    assert widget.form.output_path == URL
    assert [path.name for path in tmp_path.iterdir()] == ["scan.tif"]
    assert not viewer.layers
    press(widget, "Show in napari")
    (layer,) = viewer.layers
    assert np.array_equal(np.asarray(layer.data[0]), volume())
    assert (layer.name, layer.source.path) == ("scan", URL)
    assert tuple(layer.scale) == (0.5, 0.5, 0.5)
    assert ome_zarrs([layer]) == [RemotePath(URL)]
    press(widget, "Verify")
    wait_for(widget, WidgetState.RUNNING)
    wait_for(widget, WidgetState.DONE)
    assert "scan.tif" in widget.status_panel.message.words.text()  # which it was compared with
    assert enabled(widget) == {"form"}
