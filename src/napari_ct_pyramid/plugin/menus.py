"""The dock with the widget: opened where it is needed, one a window, and filled in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import napari
from napari.utils.notifications import show_info

from napari_ct_pyramid.plugin.widget.form import layer_file
from napari_ct_pyramid.plugin.widget.widget import ConvertWidget

PLUGIN, TITLE = "napari-ct-pyramid", "Convert to OME-Zarr"


def open_widget(viewer: napari.viewer.Viewer) -> ConvertWidget:
    """The one dock with the widget, opened if need be, in sight."""
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, TITLE)
    dock.show()
    dock.raise_()
    return widget


def offer(viewer: napari.viewer.Viewer, files: Sequence[Path]) -> None:
    """Bring the widget up, filled in with files that were opened."""
    widget = open_widget(viewer)
    widget.set_sources(files)
    if widget.busy:
        names = files[0].name if len(files) == 1 else f"{len(files)} files"
        show_info(f"{names} can be converted when this has ended.")


def convert_layer() -> None:
    """Bring the widget up, filled in with the selected layer's file: a command of napari's menus."""
    viewer = napari.current_viewer()
    if viewer is None:
        return
    path = layer_file(viewer.layers.selection.active)
    if path is None:
        show_info("Select a layer that was opened from a TIFF or an HDF5 file, then choose this again.")
        return
    open_widget(viewer).set_sources([path])
