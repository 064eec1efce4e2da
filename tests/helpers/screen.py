"""Volumes to look at, what napari's canvas shows, and drops onto the window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
import numpy as np
import tifffile
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QApplication

from napari_ct_pyramid.plugin.viewer_hooks import on_canvas_drawn

from .dock import wait_until

PLUGIN = "napari-ct-pyramid"


FULL_RANGE = {"channels": [{"window": {"min": 0, "max": 255, "start": 0, "end": 255}}]}
"""Metadata of an image whose grey values are shown as they are."""


def quarters(shape: tuple[int, int, int]) -> np.ndarray:
    """Slice z is 4 z, and 40, 80 and 120 more to the right, below, and both."""
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    return (4 * z + 80 * (y >= shape[1] // 2) + 40 * (x >= shape[2] // 2)).astype("u1")


def write_stack(path: Path, voxels: np.ndarray, **options: Any) -> Path:
    """A TIFF of voxels of 3 x 2 x 2 micrometers, as ImageJ writes it unless there are options."""
    if not options:
        options = {"imagej": True, "resolution": (0.5, 0.5), "metadata": {"axes": "ZYX", "spacing": 3, "unit": "um"}}
    tifffile.imwrite(path, voxels, photometric="minisblack", **options)
    return path


def settle(viewer: napari.Viewer, rounds: int = 40) -> None:
    """Let Qt handle events until napari has drawn nothing in many rounds, however long a round takes."""
    quiet = 0

    def note() -> None:
        nonlocal quiet
        quiet = 0

    def is_quiet() -> bool:
        nonlocal quiet
        quiet += 1
        return quiet > rounds

    disconnect = on_canvas_drawn(viewer, note)
    wait_until(is_quiet)
    disconnect()


def process_events() -> None:
    """Let Qt handle the events that wait, and those that follow from them."""
    for _ in range(3):
        QApplication.processEvents()


def sliced(layer: Any) -> np.ndarray:
    """The voxels that napari has read to draw a layer."""
    return layer._slice.image.raw  # no public name in napari 0.9.2


def gray_at(viewer: napari.Viewer, *worlds: tuple[float, float]) -> list[int]:
    """The brightness of the canvas at some points (y, x) in world coordinates of a 2D view."""
    canvas, camera = still_picture(viewer), viewer.scene.camera
    found = []
    for world in worlds:
        away = (np.array(world) - camera.center[-2:]) * camera.zoom
        row, column = np.round(np.array(canvas.shape[:2]) / 2 + away).astype(int)
        found.append(int(canvas[row, column, 0]))
    return found


def still_picture(viewer: napari.Viewer) -> np.ndarray:
    """The canvas, once two pictures are the same: a window may change for a while after it was changed."""
    last = np.zeros(0)
    while True:
        settle(viewer)
        canvas = np.asarray(viewer.screenshot(canvas_only=True, flash=False))
        if np.array_equal(canvas, last):
            return canvas
        last = canvas


def drop(viewer: napari.Viewer, *paths: Path | str) -> None:
    """Drop files onto the window, as from a file manager, or addresses, as from a browser."""
    mime = QMimeData()
    mime.setUrls([QUrl(path) if isinstance(path, str) else QUrl.fromLocalFile(str(path)) for path in paths])
    event = QDropEvent(
        QPointF(200, 200),
        Qt.DropAction.CopyAction,
        mime,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    viewer.window._qt_viewer.dropEvent(event)  # private: Qt sends drops to it, where the window is shown
