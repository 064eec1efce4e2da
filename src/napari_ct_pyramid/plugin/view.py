"""Opens napari with one volume in it: `ct-pyramid view`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ct_pyramid.errors import RequestError
from napari_ct_pyramid.storage.object_store import RemotePath
from napari_ct_pyramid.storage.paths import AnyPath, PathLike, any_path

if TYPE_CHECKING:
    from napari.viewer import Viewer


_WINDOW = (1280, 860)  # of a picture: legible in a README
_QUIET = 0.5  # seconds without drawing, after which a window is taken to be complete
_PATIENCE = 60.0


def view(path: PathLike, screenshot: str | os.PathLike[str] | None = None) -> None:
    """Show a TIFF or an OME-Zarr in napari, until its window is closed.

    Parameters
    ----------
    path : path
        The volume.
    screenshot : path, optional
        Save a picture of the window here, once it is drawn, and close it.

    Raises
    ------
    SourceError
        If it is no volume that can be read. napari is not opened then.
    RequestError
        If there is no display, or the picture cannot be saved.
    """
    path = any_path(path).absolute()
    _check(path)
    if screenshot is not None and not Path(screenshot).absolute().parent.is_dir():
        raise RequestError(f"There is no folder {Path(screenshot).absolute().parent} to save a picture in.")
    _check_display()
    import napari

    viewer = napari.Viewer()
    viewer.open(str(path), plugin="napari-ct-pyramid")
    if screenshot is None:
        napari.run()
        return
    viewer.window.resize(*_WINDOW)
    _wait_until_drawn(viewer)
    viewer.reset_view()  # the room for the picture is known only now
    _wait_until_drawn(viewer)
    try:
        viewer.screenshot(str(screenshot), canvas_only=False, flash=False)
    except (OSError, ValueError) as error:
        raise RequestError(f"The picture could not be saved as {screenshot}: {error}") from error
    finally:
        viewer.close()


def _check(path: AnyPath) -> None:
    """Raise what opening would raise, before a window comes up."""
    if isinstance(path, RemotePath) or path.is_dir():
        from napari_ct_pyramid.omezarr.reader import open_pyramid

        open_pyramid(path)
    else:
        from napari_ct_pyramid.sources.registry import open_source

        open_source(path).close()


def _check_display() -> None:
    if sys.platform == "linux" and not os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY"}:
        raise RequestError(
            "napari needs a display, and there is none here. On a machine without a screen, a picture of the window "
            "can be saved: run the same under xvfb-run -a."
        )


def _wait_until_drawn(viewer: Viewer) -> None:
    from qtpy.QtWidgets import QApplication

    from .viewer_hooks import on_canvas_drawn

    drawn = begun = time.monotonic()

    def note() -> None:
        nonlocal drawn
        drawn = time.monotonic()

    on_canvas_drawn(viewer, note)
    while time.monotonic() - drawn < _QUIET and time.monotonic() - begun < _PATIENCE:
        QApplication.processEvents()
        if not all(layer.loaded for layer in viewer.layers):
            note()
        time.sleep(0.01)
