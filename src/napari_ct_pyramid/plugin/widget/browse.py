"""The menu of the button Browse: files, a folder, the selected layer, and what was opened lately."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton

from napari_ct_pyramid.model.formatting import shorten
from napari_ct_pyramid.plugin.origins import LayerInput
from napari_ct_pyramid.plugin.wording import source_name

from .preferences import Preferences

_NAME = 40  # letters


class BrowseMenu(QObject):
    """Chooses inputs.

    Parameters
    ----------
    button : QPushButton
        It gets the menu.
    filters : str
        Of the file dialog.
    preferences : Preferences
        It knows what was opened lately.
    """

    chosen = Signal(list)  # of paths
    layer_chosen = Signal(object)  # LayerInput

    def __init__(self, button: QPushButton, filters: str, preferences: Preferences) -> None:
        super().__init__(button)
        self._filters = filters
        self._preferences = preferences
        self._folder = ""
        self.layer_input: Callable[[], LayerInput | None] = lambda: None
        """Gives what the selected layer shows; None if that cannot be converted."""
        self.menu = QMenu(button)
        self.menu.setToolTipsVisible(True)
        self.menu.aboutToShow.connect(self.fill)
        button.setMenu(self.menu)

    def fill(self) -> None:
        """Fill the menu with what can be chosen now."""
        self.menu.clear()
        self._add("File…", "One or more files", self._choose_files)
        self._add("Folder of slices…", "A folder with one image per slice, or an OME-Zarr", self._choose_folder)
        layer = self.layer_input()
        if layer:
            name = source_name(layer.source)
            self._add(
                f"Selected layer: {shorten(name, _NAME)}", str(layer.source), lambda: self.layer_chosen.emit(layer)
            )
        if recent := self._preferences.recent:
            self.menu.addSeparator()
            for path in recent:
                self._add(shorten(Path(path).name, _NAME), path, lambda path=path: self.chosen.emit([path]))  # type: ignore[misc]

    def _add(self, words: str, tip: str, choose: Callable[[], object]) -> None:
        action = self.menu.addAction(words.replace("&", "&&"))
        assert action is not None
        action.setToolTip(tip)
        action.triggered.connect(lambda _checked=False: choose())

    def _choose_files(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(None, "Choose one or more volumes", self._start(), self._filters)
        if paths:
            self._folder = str(Path(paths[0]).parent)
            self.chosen.emit(paths)

    def _choose_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(None, "Choose a folder of slices, or an OME-Zarr", self._start())
        if path:
            self._folder = str(Path(path).parent)
            self.chosen.emit([path])

    def _start(self) -> str:
        recent = self._preferences.recent
        return self._folder or (str(Path(recent[0]).parent) if recent else "")
