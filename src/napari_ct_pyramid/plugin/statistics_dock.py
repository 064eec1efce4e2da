"""The dock "Statistics": histogram, numbers and threshold of the selected layer's OME-Zarr."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_ct_pyramid.errors import CtPyramidError, SaveError, sentence
from napari_ct_pyramid.model.formatting import percent, shorten
from napari_ct_pyramid.omezarr.labels import LABELS
from napari_ct_pyramid.sources.lazy_levels import SourceArray
from napari_ct_pyramid.statistics.options import StatsOptions
from napari_ct_pyramid.statistics.result import VolumeStatistics
from napari_ct_pyramid.statistics.run import iter_statistics
from napari_ct_pyramid.storage.paths import any_path

from .dock import share_place
from .histogram_plot import HistogramPlot
from .mask import Mask, mask_layer
from .origins import finest, origin_of
from .saving import saved_from_dock
from .widget.worker import StepsWorker
from .wording import wording
from .writer import write_layers

if TYPE_CHECKING:
    from napari.viewer import Viewer

_STEPS = 1000  # of the slider
_AT_ONCE_BYTES = 64_000_000  # a level of at most so many bytes is counted as soon as its layer is selected
_NUMBERS = ("Voxels", "Minimum", "Maximum", "Mean", "Std", "Median", "NaN, infinite", "Above")
_NOTHING = "Select the layer of an OME-Zarr."
_LARGE = "it has no coarse level to count at once. Count all voxels for its numbers."
_SEVERAL = "statistics of images with several time points are not supported yet."


class StatisticsDock(QWidget):
    """Shows the statistics of the selected layer: those of a coarse level at once, of all voxels when asked.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)  # layers must be themselves, not proxies
        self._layer: Any = None
        self._worker: StepsWorker | None = None
        self._mask: Mask | None = None
        self._mask_layer: Any = None
        self._threshold: float | None = None  # the field shows it, and is read only when its text changes
        self._shown = ""
        self._exact = False  # whether `found` is of all voxels
        self.found: VolumeStatistics | None = None
        self.title = QLabel(_NOTHING)
        self.title.setWordWrap(True)
        self.plot = HistogramPlot()
        self.numbers = {name: QLabel("") for name in _NUMBERS}
        self.count_all = QPushButton("Count all voxels")
        self.count_all.setToolTip("Reads the finest level: the numbers are then exact")
        self.bar = QProgressBar()
        self.bar.setRange(0, _STEPS)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, _STEPS)
        self.value = QLineEdit()
        self.value.setMaximumWidth(160)
        self.value.setToolTip("The threshold: voxels above this value are in the mask")
        self.otsu = QPushButton("Otsu")
        self.otsu.setToolTip("The value that separates two classes of voxels best")
        self.show_mask = QCheckBox("Show what is above")
        self.save_mask = QPushButton("Save mask")
        self.save_mask.setToolTip("As labels of the image, in its OME-Zarr: convert a volume of another format first")
        self.export_table = QPushButton("Export table…")
        self.export_table.setToolTip("A line for each slice, as CSV. It needs the numbers of all voxels")
        self._arrange()
        self._connect()
        self._select()
        share_place(self)

    def _arrange(self) -> None:
        grid = QGridLayout()
        grid.setVerticalSpacing(2)
        for row, (name, label) in enumerate(self.numbers.items()):
            grid.addWidget(QLabel(name), row, 0)
            grid.addWidget(label, row, 1, Qt.AlignmentFlag.AlignRight)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        grid.setColumnStretch(1, 1)
        threshold = QHBoxLayout()
        for widget, stretch in ((QLabel("Threshold"), 0), (self.value, 1), (self.otsu, 0)):
            threshold.addWidget(widget, stretch)
        buttons = QHBoxLayout()
        buttons.addWidget(self.save_mask)
        buttons.addWidget(self.export_table)
        layout = QVBoxLayout(self)
        layout.addWidget(self.title)
        layout.addWidget(self.plot, 1)
        layout.addWidget(self.slider)
        layout.addLayout(threshold)
        layout.addWidget(self.show_mask)
        layout.addLayout(grid)
        layout.addWidget(self.bar)
        layout.addWidget(self.count_all)
        layout.addLayout(buttons)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)

    def _connect(self) -> None:
        self._viewer.layers.selection.events.active.connect(self._select)
        self._viewer.layers.events.removed.connect(self._removed)
        self.count_all.clicked.connect(lambda: self._cancel() if self._worker else self._count(0))
        self.slider.valueChanged.connect(lambda step: self._set_threshold(self._value_at(step), move=False))
        self.value.editingFinished.connect(self._typed)
        self.otsu.clicked.connect(lambda: self._set_threshold(self.found.threshold if self.found else None))
        self.show_mask.toggled.connect(self._toggle_mask)
        self.save_mask.clicked.connect(self._save_mask)
        self.export_table.clicked.connect(self._export)

    # --- the layer

    def _select(self, event: object = None) -> None:  # noqa: ARG002
        layer = self._viewer.layers.selection.active
        if layer is None or layer is self._layer or layer is self._mask_layer:
            self._show_state()
            return
        if getattr(layer, "contrast_limits", None) is None or origin_of(layer) is None:
            return  # the numbers of the last one stay
        self._cancel()
        if self._layer is not None:
            self._layer.events.contrast_limits.disconnect(self._show_window)
        self.show_mask.setChecked(False)
        self._layer, self.found = layer, None
        layer.events.contrast_limits.connect(self._show_window)
        self.title.setText(shorten(layer.name, 40))
        self.plot.show_counts(np.zeros(1), np.zeros(0, int))
        self._show_numbers()
        self._show_window()
        if (level := _level_at_once(layer)) is not None:
            self._count(level)
        else:
            self.title.setText(f"{shorten(layer.name, 40)}: {_LARGE}")
            self._show_state()

    def _removed(self, event: Any) -> None:
        if event.value is self._mask_layer:
            self._mask_layer = self._mask = None
            self.show_mask.setChecked(False)
        if event.value is self._layer:
            self._cancel()
            self._layer, self.found = None, None
            self.title.setText(_NOTHING)
            self.plot.show_counts(np.zeros(1), np.zeros(0, int))
            self._show_state()

    def _show_window(self, event: object = None) -> None:  # noqa: ARG002
        if self._layer is not None:
            low, high = self._layer.contrast_limits
            self.plot.show_window((float(low), float(high)))

    # --- counting

    def _count(self, level: int) -> None:
        if self._layer is None:
            return
        origin = origin_of(self._layer)
        if origin is None:
            show_error("The voxels of this layer are not those of its OME-Zarr any more.")
            return
        if _has_time_points(self._layer):
            self.title.setText(f"{shorten(self._layer.name, 40)}: {_SEVERAL}")
            return
        options = StatsOptions(level=level, channel=origin.channel, per_slice=True)
        worker = self._worker = StepsWorker(iter_statistics, any_path(origin.path), options)
        worker.may_continue.set()
        worker.yielded.connect(lambda progress: self.bar.setValue(int(progress.fraction * _STEPS)))
        worker.returned.connect(lambda found: self._show(found, level) if worker is self._worker else None)
        worker.errored.connect(lambda error: show_error(sentence(error, wording)))
        worker.finished.connect(lambda: self._ended(worker))
        worker.start()
        self._show_state()

    def _cancel(self) -> None:
        if self._worker:
            self._worker.quit()
            self._worker = None
        self._show_state()

    def _ended(self, worker: StepsWorker) -> None:
        if worker is self._worker:
            self._worker = None
        self._show_state()

    def _show(self, found: VolumeStatistics, level: int) -> None:
        before = self._threshold if self.found else None
        self.found, self._exact = found, level == 0
        where = "all voxels" if level == 0 else f"level {level}, which is a mean"
        self.title.setText(f"{shorten(found.name, 40)}: {where}")
        self.plot.show_counts(found.edges, found.counts)
        self._show_numbers()
        self._set_threshold(before if before is not None else found.threshold)

    def _show_numbers(self) -> None:
        found = self.found
        if found is None or found.mean is None:
            for label in self.numbers.values():
                label.setText("")
            return
        self.numbers["Voxels"].setText(f"{found.count:,}")
        for name, number in (("Minimum", found.minimum), ("Maximum", found.maximum), ("Mean", found.mean),
                             ("Std", found.std), ("Median", found.percentiles.get(50.0))):  # fmt: skip
            self.numbers[name].setText(f"{number:.6g}")
        self.numbers["NaN, infinite"].setText(f"{found.nans:,}, {found.infinities:,}")

    # --- the threshold

    def _value_at(self, step: int) -> float:
        low, high = (float(self.found.edges[0]), float(self.found.edges[-1])) if self.found else (0.0, 1.0)
        width = (high - low) / _STEPS
        value = low + width * step
        return round(value, 2 - math.floor(math.log10(width))) if 0 < width < math.inf else value

    def _typed(self) -> None:
        if self.value.text() == self._shown:
            return
        try:
            value = float(self.value.text().replace(",", "."))
        except ValueError:
            return
        if math.isfinite(value):
            self._set_threshold(value)

    def _set_threshold(self, value: float | None, *, move: bool = True) -> None:
        found = self.found
        if found is None or value is None or not found.counts.size:
            return
        if move:
            low, high = float(found.edges[0]), float(found.edges[-1])
            self.slider.blockSignals(True)
            self.slider.setValue(round(_STEPS * (value - low) / (high - low)))
            self.slider.blockSignals(False)
        self._threshold = value = float(value)
        self._shown = repr(value).removesuffix(".0")
        self.value.setText(self._shown)
        self.value.setCursorPosition(0)
        self.plot.show_threshold(value)
        if value == found.threshold and found.above is not None:
            share = percent(found.above)
        else:
            share = f"about {percent(float(found.counts[found.edges[:-1] > value].sum()) / found.count)}"
        self.numbers["Above"].setText(share)
        if self._mask and self._mask_layer is not None:
            self._mask.threshold = value
            self._mask_layer.refresh(extent=False)

    # --- the mask

    def _toggle_mask(self, on: bool) -> None:
        value = self._threshold
        if on and self._layer is not None and value is not None:
            levels = list(self._layer.data) if self._layer.multiscale else [self._layer.data]
            self._mask = Mask(levels, value)
            self._mask_layer = mask_layer(self._layer, self._mask)
            self._viewer.add_layer(self._mask_layer)
            self._viewer.layers.selection.active = self._layer
        elif self._mask_layer is not None and self._mask_layer in self._viewer.layers:
            self._viewer.layers.remove(self._mask_layer)
        self._show_state()

    def _save_mask(self) -> None:
        if self._mask_layer is None or self._layer is None or (origin := origin_of(self._layer)) is None:
            return
        value = self._shown.replace(".", "_").replace("-", "minus")
        target = any_path(origin.path) / LABELS / f"above_{value}"
        try:
            with saved_from_dock():
                write_layers(str(target), [self._mask_layer.as_layer_data_tuple()])
        except (SaveError, CtPyramidError) as error:
            show_error(sentence(error, wording))
            return
        show_info(f"The mask is in the OME-Zarr, as labels {target.name}.")

    def _export(self) -> None:
        if self.found is None:
            return
        name = f"{self.found.name}-slices.csv"
        path, _ = QFileDialog.getSaveFileName(self, "Export Table", name, "CSV (*.csv)")
        if path:
            try:
                Path(path).write_text(self.found.to_csv(), encoding="utf-8")
            except OSError as error:
                show_error(f"{path} could not be written: {error.strerror or error}.")

    def _show_state(self) -> None:
        busy, known = self._worker is not None, self.found is not None and self.found.mean is not None
        self.bar.setVisible(busy)
        self.count_all.setText("Cancel" if busy else "Count all voxels")
        self.count_all.setEnabled(self._layer is not None and not (known and self._exact))
        for widget in (self.slider, self.value, self.otsu, self.show_mask):
            widget.setEnabled(known)
        self.save_mask.setEnabled(self._mask_layer is not None and not isinstance(finest(self._layer), SourceArray))
        self.export_table.setEnabled(known and not busy)

    def closeEvent(self, event: Any) -> None:  # noqa: N802  of Qt
        """Stop what runs."""
        self._cancel()
        super().closeEvent(event)


def _level_at_once(layer: Any) -> int | None:
    """The finest level that is counted at once; None if only the whole, large volume can be counted."""
    levels = list(layer.data) if layer.multiscale else [layer.data]
    small = [k for k, level in enumerate(levels) if np.prod(level.shape) * level.dtype.itemsize <= _AT_ONCE_BYTES]
    if isinstance(levels[0], SourceArray):  # only an OME-Zarr has coarse levels
        return 0 if 0 in small else None
    return small[0] if small else len(levels) - 1


def _has_time_points(layer: Any) -> bool:
    """Whether a layer has several time points, or other volumes side by side."""
    shape = finest(layer).shape
    named = zip(layer.axis_labels, shape, strict=True)
    return np.prod(shape[:-3]) > 1 or any(size > 1 and name.lower() in ("t", "time") for name, size in named)
