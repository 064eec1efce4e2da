"""Pictures that napari opens as layers of their own, and that are slices of one volume: offers to open that.

The plugin has no reader for PNG and the like: with one, napari would ask for every picture which reader to use. So it
looks at the layers of a window, while that shows the converter.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from napari.viewer import Viewer
from qtpy.QtCore import QObject, QTimer

from napari_ct_pyramid.sources.formats import FORMATS
from napari_ct_pyramid.sources.grouping import volumes_of_slices

from .notices import offer
from .slices import offer_all_slices, open_source_layer
from .viewer_hooks import is_opened_in_window, is_opening_files

_PICTURES = tuple(ending for kind in FORMATS for ending in kind.slice_endings)
_OPENING_MS = 20  # between two checks whether napari has opened all files


class PictureOffers(QObject):
    """Offers the volume of the pictures that a user opens in a window.

    Parameters
    ----------
    viewer : Viewer
    parent : QObject
        While it exists, offers are made.
    """

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._opened: dict[str, Any] = {}  # a layer for each file
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_OPENING_MS)
        self._pause.timeout.connect(self._look)
        inserted = viewer.layers.events.inserted
        inserted.connect(self._note)
        parent.destroyed.connect(lambda: inserted.disconnect(self._note))

    def _note(self, event: Any) -> None:
        path = event.value.source.path
        if path and str(path).lower().endswith(_PICTURES) and is_opened_in_window():
            self._opened[str(path)] = event.value
            self._pause.start()

    def _look(self) -> None:
        if is_opening_files():
            self._pause.start()
            return
        opened, self._opened = self._opened, {}
        if len(opened) == 1:
            offer_all_slices(Path(next(iter(opened))))
        volumes: dict[str, list[Any]] = {}
        for path, volume in volumes_of_slices(list(opened)).items():
            volumes.setdefault(volume, []).append(opened[path])
        for volume, layers in volumes.items():
            words = f"{len(layers):,} of these pictures are slices of {Path(volume).name}."
            offer(words, {"Open as one volume": partial(self._open, volume, layers)})

    def _open(self, volume: str, pictures: Sequence[Any]) -> None:
        """Open a volume in place of its pictures."""
        before = len(self._viewer.layers)
        open_source_layer(volume)
        if len(self._viewer.layers) > before:
            for layer in pictures:
                if layer in self._viewer.layers:
                    self._viewer.layers.remove(layer)
