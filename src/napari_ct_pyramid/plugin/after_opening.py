"""The steps that follow after napari has added the layers of a file.

Layer data cannot express all that a layer needs. A reader calls `prepare_layers`, which waits for Qt's next event
loop. If the file can be converted, the widget then opens with that file filled in.
"""

from __future__ import annotations

from pathlib import Path

from napari_ct_pyramid.storage.paths import AnyPath

_OPENING_MS = 20  # between two checks whether napari has opened all files

_convertible: list[str] = []  # opened volumes that are not in the widget yet


def prepare_layers(convertible: str | Path | None = None) -> None:
    """Prepare all layers of this plugin after napari has added them. Does nothing without Qt.

    Parameters
    ----------
    convertible : path, optional
        The INPUT with which to fill in the widget.
    """
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QApplication

    if QApplication.instance() is not None:
        if convertible:
            _convertible.append(str(convertible))
        QTimer.singleShot(0, _prepare)


def _prepare() -> None:
    from .preparing import prepare_viewer
    from .viewer_hooks import open_viewers

    for viewer in open_viewers():  # a script may open volumes in a window that is not the active one
        prepare_viewer(viewer)
    _offer_conversion()


def _offer_conversion() -> None:
    """Fill in the widget with all files that were opened together."""
    import napari
    from qtpy.QtCore import QTimer

    from .dock import show_in_widget
    from .viewer_hooks import is_opening_files

    if is_opening_files():
        QTimer.singleShot(_OPENING_MS, _offer_conversion)
        return
    files, _convertible[:] = list(_convertible), []
    viewer = napari.current_viewer()
    if viewer is not None and files:
        show_in_widget(viewer, files)
        if len(viewer.layers) == 1:
            QTimer.singleShot(0, viewer.reset_view)  # a new dock, or the layer's controls, made the canvas smaller


def resume_later(output: AnyPath) -> None:
    """Fill in the widget with an unfinished conversion, once napari has opened all files."""
    from qtpy.QtCore import QTimer

    QTimer.singleShot(0, lambda: _resume(output))


def _resume(output: AnyPath) -> None:
    import napari

    from .dock import show_to_resume

    viewer = napari.current_viewer()
    if viewer is not None:
        show_to_resume(viewer, output)
