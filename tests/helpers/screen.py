"""What is on napari's canvas, and drops onto it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QApplication

PLUGIN = "napari-ct-pyramid"


def settle(viewer: napari.Viewer, quiet: float = 0.1) -> None:
    """Let napari draw until there is nothing left to draw."""
    drawn = begun = time.monotonic()

    def note(_event: Any) -> None:
        nonlocal drawn
        drawn = time.monotonic()

    draw = viewer.window._qt_viewer.canvas._scene_canvas.events.draw
    draw.connect(note)
    while time.monotonic() - drawn < quiet and time.monotonic() - begun < 30:
        QApplication.processEvents()
        time.sleep(0.005)
    draw.disconnect(note)


def gray_at(viewer: napari.Viewer, *worlds: tuple[float, float]) -> list[int]:
    """How bright the canvas is at some points (y, x), given in world coordinates of a 2D view."""
    canvas, camera = still_picture(viewer), viewer.scene.camera
    found = []
    for world in worlds:
        away = (np.array(world) - camera.center[-2:]) * camera.zoom
        row, column = np.round(np.array(canvas.shape[:2]) / 2 + away).astype(int)
        found.append(int(canvas[row, column, 0]))
    return found


def still_picture(viewer: napari.Viewer) -> np.ndarray:
    """The canvas, once it stays the same: a window that has just changed may go on changing for a while."""
    last = np.zeros(0)
    while True:
        settle(viewer)
        canvas = np.asarray(viewer.screenshot(canvas_only=True, flash=False))
        if np.array_equal(canvas, last):
            return canvas
        last = canvas


def drop(viewer: napari.Viewer, *paths: Path) -> None:
    """Drop files onto the window, as from a file manager."""
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    event = QDropEvent(
        QPointF(200, 200),
        Qt.DropAction.CopyAction,
        mime,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    viewer.window._qt_viewer.dropEvent(event)
