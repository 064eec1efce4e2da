"""The dock with the widget, and the command Layers > Data > Convert to OME-Zarr… that opens it.

napari makes the widget by its name in the manifest, so this module does not import it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
from napari.utils.notifications import show_info

from .layers import source_file

if TYPE_CHECKING:
    from napari.viewer import Viewer


PLUGIN, TITLE = "napari-ct-pyramid", "Convert to OME-Zarr"
"""The widget's names in the manifest."""


def show_in_widget(viewer: Viewer, files: Sequence[str | Path]) -> None:
    """Show the viewer's only dock of the widget, opened if there is none, and fill in some files."""
    widget = _open_widget(viewer)
    widget.set_sources(files)
    if widget.busy:
        name = Path(files[0]).name if len(files) == 1 else f"{len(files)} files"
        show_info(f"{name} can be converted after the current job.")


def convert_layer() -> None:
    """Show the widget, with the file of the selected layer filled in: a menu command of napari."""
    viewer = napari.current_viewer()
    if viewer is None:
        return
    path = source_file(viewer.layers.selection.active)
    if path is None:
        show_info("Select a layer that was opened from a TIFF or an HDF5 file, then try again.")
        return
    _open_widget(viewer).set_sources([path])


def _open_widget(viewer: Viewer) -> Any:
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, TITLE)
    dock.show()
    dock.raise_()
    return widget
