"""Sets name, voxel size, unit and contrast of an OME-Zarr right, from its layer in napari.

Only metadata are written. Every layer of the OME-Zarr then shows what its metadata state.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_ct_pyramid.conversion.edit import edit
from napari_ct_pyramid.errors import CtPyramidError, sentence
from napari_ct_pyramid.omezarr.kind import kind_of
from napari_ct_pyramid.omezarr.labels import LABELS
from napari_ct_pyramid.omezarr.reader import Pyramid, open_pyramid
from napari_ct_pyramid.storage.paths import AnyPath, any_path
from napari_ct_pyramid.storage.remote_path import RemotePath
from napari_ct_pyramid.units import UNIT_SYMBOLS, find_unit

from .background import Background
from .layers import CONTRAST_RANGE, pyramid_layers
from .origins import finest, layers_showing, note_origin, origin_of
from .voxel_sizes import give_place
from .wording import wording

if TYPE_CHECKING:
    from napari.viewer import Viewer


_UNITS = ("micrometer", "nanometer", "millimeter", "centimeter", "meter", "angstrom")  # of the menu


class EditDialog(QDialog):
    """Name, voxel size, unit and contrast of an OME-Zarr, filled in with what its metadata state.

    Parameters
    ----------
    viewer : napari.Viewer
    layer : napari.layers.Layer
        Opened from the OME-Zarr.
    pyramid : Pyramid
        The OME-Zarr.
    parent : QWidget, optional
    """

    def __init__(self, viewer: Viewer, layer: Any, pyramid: Pyramid, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._layer, self._pyramid = viewer, layer, pyramid
        self.setWindowTitle(f"Edit {pyramid.path.name}")
        self.name = QLineEdit(pyramid.name)
        self.voxel_size = QLineEdit(_size_text(pyramid))
        self.voxel_size.setPlaceholderText("such as 0.65, or 1.3 0.65 0.65 along z, y, x")
        self.unit = QComboBox()
        self._fill_units()
        self.low, self.high = QLineEdit(), QLineEdit()
        self.use_contrast = QPushButton("Use the layer's")
        self.problem = QLabel()
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Save | QDialogButtonBox.StandardButton.Cancel)
        self._show_contrast(pyramid.window[2:] if pyramid.window else None)
        self._lay_out(has_contrast=has_contrast(layer))
        self._before = self._values()
        self.use_contrast.clicked.connect(lambda: self._show_contrast(layer.contrast_limits))
        self._is_writing = False
        self.buttons.accepted.connect(self.save)
        self.buttons.rejected.connect(self.reject)
        self.finished.connect(self._delete)

    def save(self) -> None:
        """Write what has changed, then close. Where that is not possible, the dialog states why and stays open."""
        now = self._values()
        changes = {name: value for name, value in now.items() if value != self._before[name]}
        if "voxel_size" in changes and now["unit"]:
            changes["unit"] = now["unit"]
        if not changes:
            self.accept()
            return
        path = self._pyramid.path

        def show(edited: list[Pyramid]) -> None:
            for pyramid in edited:
                show_edited(self._viewer, pyramid, contrast="window" in changes)
            self.accept()

        self._set_writing(True)
        Background(
            self._viewer,
            f"Editing {path.name}",
            lambda: _edited(path, **changes),
            show,
            self._show_problem,
            finish=lambda: self._set_writing(False),
            writes=True,
        )

    def _show_problem(self, error: CtPyramidError) -> None:
        words = sentence(error, wording)
        if not self.isVisible():  # it was closed meanwhile
            show_error(words)
            self._delete()
            return
        self.problem.setText(words)
        self.problem.show()
        self.adjustSize()

    def _set_writing(self, on: bool) -> None:
        self._is_writing = on
        for part in (self.name, self.voxel_size, self.unit, self.low, self.high, self.use_contrast, self.buttons):
            part.setEnabled(not on)

    def _delete(self) -> None:
        if not self._is_writing:
            self.deleteLater()

    def _values(self) -> dict[str, Any]:
        low, high = self.low.text().strip(), self.high.text().strip()
        return {
            "name": self.name.text(),
            "voxel_size": self.voxel_size.text().strip() or None,
            "unit": self.unit.currentData(),
            "window": f"{low} {high}" if low or high else None,
        }

    def _fill_units(self) -> None:
        stated = find_unit(self._pyramid.units[-1])
        if stated is None:
            self.unit.addItem("unknown", None)
        for unit in dict.fromkeys([*_UNITS, *([stated] if stated else [])]):
            self.unit.addItem(UNIT_SYMBOLS.get(unit, unit), unit)
        self.unit.setCurrentIndex(self.unit.findData(stated))

    def _show_contrast(self, limits: Any) -> None:
        for field, value in zip((self.low, self.high), limits or ("", ""), strict=True):
            field.setText(value if value == "" else f"{float(value):.7g}")

    def _lay_out(self, *, has_contrast: bool) -> None:
        size, contrast = QHBoxLayout(), QHBoxLayout()
        size.addWidget(self.voxel_size, 1)
        size.addWidget(self.unit)
        for part in (self.low, QLabel("to"), self.high, self.use_contrast):
            contrast.addWidget(part)
        form = QFormLayout()
        form.addRow("Name", self.name)
        form.addRow("Voxel size", size)
        if has_contrast:
            form.addRow("Contrast", contrast)
        hint = QLabel("No voxel is changed: this is written to the metadata, at once.")
        for label in (hint, self.problem):
            label.setWordWrap(True)
        self.problem.setStyleSheet("color: rgb(230, 90, 80);")
        self.problem.hide()
        column = QVBoxLayout(self)
        column.addLayout(form)
        for part in (hint, self.problem, self.buttons):
            column.addWidget(part)
        self.setMinimumWidth(380)
        names = {self.name: "Name", self.voxel_size: "Voxel size", self.unit: "Unit of the voxel size"}
        names |= {self.low: "Value that is shown as black", self.high: "Value that is shown as white"}
        for field, name in names.items():
            field.setAccessibleName(name)
            field.setToolTip(name)


def save_contrast(viewer: Viewer, layers: Sequence[Any]) -> None:
    """Write the contrast limits of layers to the OME-Zarrs that they were opened from."""
    asked: dict[AnyPath, tuple[float, float]] = {}
    for layer in layers:
        origin = origin_of(layer)
        assert origin is not None
        low, high = map(float, layer.contrast_limits)
        asked[any_path(origin.path)] = low, high
    for path, window in asked.items():
        Background(
            viewer,
            f"Saving the contrast of {path.name}",
            partial(_edited, path, window=window),
            partial(_show_contrast, viewer, window),
            writes=True,
        )


def _show_contrast(viewer: Viewer, window: tuple[float, float], edited: list[Pyramid]) -> None:
    """Say which contrast an OME-Zarr now has."""
    low, high = window
    show_edited(viewer, edited[0], contrast=False)
    show_info(f"{edited[0].path.name} will open with the contrast {low:.5g} to {high:.5g}.")


def _edited(path: AnyPath, **changes: Any) -> list[Pyramid]:
    """Edit an OME-Zarr, and open it and those of its labels that were edited with it."""
    done = edit(path, **changes)
    return [open_pyramid(each) for each in (done.path, *(done.path / LABELS / name for name in done.labels))]


def is_editable(layer: Any) -> bool:
    """Whether a layer shows an OME-Zarr as it is. Nothing but an OME-Zarr is opened from another machine."""
    origin = origin_of(layer)
    path = any_path(origin.path) if origin else None
    return isinstance(path, RemotePath) or (path is not None and kind_of(path) is not None)


def show_edited(viewer: Viewer, pyramid: Pyramid, *, contrast: bool) -> None:
    """Give all layers of an OME-Zarr the place and the name that its metadata state, and with `contrast` that, too."""
    for layer in list(layers_showing(viewer, str(pyramid.path))):
        origin = origin_of(layer)
        assert origin is not None
        _, settings, _ = pyramid_layers(pyramid)[origin.channel or 0]
        note_origin([finest(layer)], settings, origin.channel)
        give_place(viewer, layer, settings)
        layer.name = settings["name"]
        if contrast and "contrast_limits" in settings:
            layer.contrast_limits_range = settings["metadata"].get(CONTRAST_RANGE, settings["contrast_limits"])
            layer.contrast_limits = settings["contrast_limits"]


def has_contrast(layer: Any) -> bool:
    """Whether the contrast limits of a layer are those that its OME-Zarr states for the first channel."""
    origin = origin_of(layer)
    return hasattr(layer, "contrast_limits") and not (origin and origin.channel)


def _size_text(pyramid: Pyramid) -> str:
    """The voxel size as a user writes it; empty if it is unknown."""
    scale = pyramid.levels[0].scale
    sizes = [size for size, kind in zip(scale, pyramid.axis_types, strict=True) if kind == "space"]
    if not any(pyramid.units) and set(sizes) == {1.0}:
        return ""
    texts = [f"{size:.10g}" for size in sizes]
    return texts[0] if len(set(texts)) == 1 else " ".join(texts)
