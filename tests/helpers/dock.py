"""The widget in a window, small volumes for it, and conversions that a test can hold up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QPushButton, QWidget

from napari_ct_pyramid.plugin.widget.widget import ConvertWidget, WidgetState
from napari_ct_pyramid.sources.base import Source

SHAPE = (42, 64, 96)
CHUNKS = "16 16 16"
LEVELS = 3


def volume(seed: int = 0, dtype: str = "float32") -> np.ndarray:
    """A smooth volume without zeros."""
    z, y, x = np.indices(SHAPE)
    return (100 + 10 * seed + z + np.sin(y / 9) * 20 + np.cos(x / 7) * 20).astype(dtype)


def write_tiff(path: Path, seed: int = 0, **metadata: Any) -> Path:
    """The volume as a BigTIFF with its voxel size."""
    tifffile.imwrite(
        path,
        volume(seed),
        bigtiff=True,
        photometric="minisblack",
        resolution=(20_000, 20_000),
        resolutionunit="CENTIMETER",
        metadata={"axes": "ZYX", "spacing": 0.5, "unit": "micrometer", **metadata},
    )
    return path


def add_widget(viewer: napari.Viewer, source: Path | None = None) -> ConvertWidget:
    """The widget in a dock, with small chunks. With a source, it is ready to convert."""
    widget = ConvertWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Convert to OME-Zarr")
    widget.form.options.set("chunks", CHUNKS)
    widget.form.options.set("num_levels", LEVELS)
    if source:
        widget.set_source(source)
        wait_for(widget, WidgetState.READY)
    return widget


def wait_until(true: Callable[[], object], seconds: float = 120) -> None:
    """Let Qt handle events until a condition is true. Time in which this process sleeps does not count."""
    last, waited = time.monotonic(), 0.0
    while not true():
        QApplication.processEvents()
        assert waited < seconds, f"not true after {seconds} seconds"
        time.sleep(0.002)
        now = time.monotonic()
        waited, last = waited + min(1, now - last), now  # the process may be suspended, with all its threads


def wait_for(widget: ConvertWidget, *stages: WidgetState) -> None:
    """Let Qt handle events until the widget is in one of some states."""
    try:
        wait_until(lambda: widget.state in stages)
    except AssertionError:
        said = widget.status_panel.message.words.text()
        raise AssertionError(f"the widget stands at {widget.state}: {said}") from None


def wait_for_progress(widget: ConvertWidget) -> None:
    """Let Qt handle events until the progress bar shows some progress."""
    wait_until(lambda: widget.status_panel.bar.value() > 0)


def enabled(widget: ConvertWidget) -> set[str]:
    """Those of Convert and Cancel that are visible and enabled, and "form" if the fields are enabled."""
    panel = widget.status_panel
    found = {b.text() for b in (panel.convert, panel.cancel) if b.isVisibleTo(widget) and b.isEnabled()}
    return found | ({"form"} if widget.form.isEnabled() else set())


def said(widget: ConvertWidget) -> str:
    """The text of the message box; empty if there is none."""
    box = widget.status_panel.message
    return box.words.text() if box.isVisibleTo(widget) else ""


def offers(widget: ConvertWidget) -> list[str]:
    """The buttons of the message box."""
    box = widget.status_panel.message
    return [button.text() for button in box.buttons] if box.isVisibleTo(widget) else []


def press(widget: ConvertWidget, words: str) -> None:
    """Press a visible button, given its text."""
    buttons = [b for b in widget.findChildren(QPushButton) if b.text() == words and b.isVisibleTo(widget)]
    assert len(buttons) == 1, words
    buttons[0].click()


def drop_on(target: QWidget, *paths: Path) -> bool:
    """Drop files on a widget, as from a file manager. False if the widget does not accept them."""
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    rest = (Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    enter = QDragEnterEvent(QPoint(5, 5), *rest)
    QApplication.sendEvent(target, enter)
    if enter.isAccepted():
        QApplication.sendEvent(target, QDropEvent(QPointF(5, 5), *rest))
    return enter.isAccepted()


class Gate:
    """Lets a conversion read a number of slices, and then holds it up."""

    def __init__(self) -> None:
        self.slices = 0
        self.error: Exception | None = None
        self._open = threading.Event()

    def open(self) -> None:
        """Let the conversion read all the rest."""
        self._open.set()

    def fail(self, error: Exception) -> None:
        """Let the next read fail."""
        self.error = error
        self.open()

    def pass_through(self, z: int) -> None:
        while z >= self.slices and not self._open.wait(0.005):
            pass
        if self.error:
            error, self.error = self.error, None
            raise error


@contextmanager
def gated(monkeypatch: pytest.MonkeyPatch, slices: int = 0, only: str | None = None) -> Iterator[Gate]:
    """Hold conversions, or only those of volumes of a name, up once they have read the first `slices` slices."""
    gate = Gate()
    gate.slices = slices
    read = Source.read

    def held_up(self: Source, z0: int, *rest: Any) -> None:
        concerned = only is None or self.volume.name == only
        if concerned and threading.current_thread().name.startswith("ct-pyramid_"):  # not the samples for the plan
            gate.pass_through(z0)
        read(self, z0, *rest)

    monkeypatch.setattr(Source, "read", held_up)
    try:
        yield gate
    finally:
        gate.open()
