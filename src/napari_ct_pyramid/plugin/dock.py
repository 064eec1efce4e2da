"""Shows the widget in its dock, and fills it in. The docks of the plugin share one place.

napari makes the widget by its name in the manifest, so this module does not import it.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info

from napari_ct_pyramid.storage.paths import AnyPath

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QDockWidget, QWidget


PLUGIN, TITLE = "napari-ct-pyramid", "Convert to OME-Zarr"
"""The names of the plugin and the widget in the manifest."""


def show_in_widget(viewer: Viewer, files: Sequence[str | Path]) -> None:
    """Show the widget in the viewer, which has at most one, and fill in some files."""
    widget = open_widget(viewer)
    widget.set_sources(files)
    if widget.busy:
        name = Path(files[0]).name if len(files) == 1 else f"{len(files)} files"
        show_info(f"{name} can be converted after the current job.")


def show_to_resume(viewer: Viewer, output: AnyPath) -> None:
    """Show the widget, with the source, the options and the output of an unfinished conversion filled in."""
    from napari_ct_pyramid.conversion.resume import find_resumable

    found = find_resumable(output)
    if found is None:
        show_error(
            f"{output.name} is unfinished, and its journal cannot be read: convert its source again, with “Overwrite”."
        )
        return
    widget = open_widget(viewer)
    if widget.busy:
        show_info(f"{output.name} is unfinished. Drop it again after the current job, to resume it.")
        return
    if found.source:
        widget.set_source(str(found.source))
    for name, value in found.options.items():
        widget.form.options.set(name, value)
    widget.form.output.line_edit.value = str(output)
    if found.source is None:
        show_info(f"{output.name} is unfinished. To resume it, choose its source, {found.name}, as the input.")


def open_widget(viewer: Viewer) -> Any:
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, TITLE)
    dock.show()
    dock.raise_()
    return widget


def share_place(widget: QWidget) -> None:
    """Have the docks of this plugin share one place as tabs, once napari has put a new widget into its dock.

    napari puts the dock that a user opens below the others. In a small window, one of two such docks would be cut off.
    A dock that the user has moved elsewhere stays there.
    """
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QMainWindow

    # A timer that belongs to the widget and refers to it would be a cycle, and PyQt6 crashes when Python frees it.
    reference = weakref.ref(widget)

    def show_as_tab() -> None:
        widget = reference()
        if widget is None:
            return
        docks = [dock for dock in _docks_of(widget) if not dock.isFloating()]
        own = next((dock for dock in docks if dock.isAncestorOf(widget)), None)
        if own is None:
            return
        window = own.parentWidget()
        assert isinstance(window, QMainWindow)
        for other in docks:
            if other is not own and window.dockWidgetArea(other) == window.dockWidgetArea(own):
                window.tabifyDockWidget(other, own)
                own.raise_()
                return

    timer = QTimer(widget)
    timer.setSingleShot(True)
    timer.timeout.connect(show_as_tab)
    timer.start(0)


def _docks_of(widget: QWidget) -> list[QDockWidget]:
    """The docks of this plugin in the window of a widget."""
    from qtpy.QtWidgets import QDockWidget

    docks = widget.window().findChildren(QDockWidget)
    return [dock for dock in docks if dock.objectName().endswith(f"({PLUGIN})")]
