"""Opens napari with one volume, or saves a picture of its window: `ct-pyramid view`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ct_pyramid.errors import Advice, RequestError
from napari_ct_pyramid.storage.paths import AnyPath, PathLike, image_path
from napari_ct_pyramid.storage.remote_path import RemotePath

if TYPE_CHECKING:
    from napari.viewer import Viewer


_PICTURE_SIZE = (1280, 860)  # of the window, in pixels
_QUIET_SECONDS = 0.5  # after this time without drawing, the window counts as complete
_MOST_SECONDS = 60.0


def view(path: PathLike, screenshot: str | os.PathLike[str] | None = None) -> None:
    """Show a TIFF or an OME-Zarr in napari, until its window is closed.

    Parameters
    ----------
    path : path
        The volume.
    screenshot : path, optional
        Save a picture of the window in this file, once it is drawn, and close the window.

    Raises
    ------
    SourceError
        If the volume cannot be read. napari is not opened then.
    RequestError
        If there is no display, or if the picture cannot be saved.
    """
    path = image_path(path).absolute()
    _check(path)
    if screenshot is not None and not Path(screenshot).absolute().parent.is_dir():
        raise RequestError(f"The picture cannot be saved: there is no folder {Path(screenshot).absolute().parent}.")
    _check_display()
    import napari

    viewer = napari.Viewer()
    viewer.open(str(path), plugin="napari-ct-pyramid")
    if screenshot is None:
        napari.run()
        return
    viewer.window.resize(*_PICTURE_SIZE)
    _wait_until_drawn(viewer)
    viewer.reset_view()  # before, the size of the canvas was unknown
    _wait_until_drawn(viewer)
    try:
        viewer.screenshot(str(screenshot), canvas_only=False, flash=False)
    except (OSError, ValueError) as error:
        raise RequestError(f"The picture could not be saved as {screenshot}: {error}") from error
    finally:
        viewer.close()


def _check(path: AnyPath) -> None:
    """Raise the error that opening would raise, before there is a window."""
    if isinstance(path, RemotePath) or path.is_dir():
        from napari_ct_pyramid.omezarr.reader import open_pyramid

        open_pyramid(path)
    else:
        from napari_ct_pyramid.sources.registry import open_source

        open_source(path).close()


def _check_display() -> None:
    if sys.platform == "linux" and not os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY"}:
        raise RequestError(
            "napari needs a display, and there is none here. On a machine without a screen, run this under xvfb-run, "
            "and save a picture of the window with ",
            Advice("screenshot"),
            ".",
        )


def _wait_until_drawn(viewer: Viewer) -> None:
    from qtpy.QtWidgets import QApplication

    from .viewer_hooks import on_canvas_drawn

    drawn = begun = time.monotonic()

    def note() -> None:
        nonlocal drawn
        drawn = time.monotonic()

    on_canvas_drawn(viewer, note)
    while time.monotonic() - drawn < _QUIET_SECONDS and time.monotonic() - begun < _MOST_SECONDS:
        QApplication.processEvents()
        if not all(layer.loaded for layer in viewer.layers):
            note()
        time.sleep(0.01)
