"""Exports the volume of a layer: what, as which kind of file, and where; with progress and what was made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.QtCore import QTimer, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_ct_pyramid.errors import CtPyramidError, OutputExistsError, sentence
from napari_ct_pyramid.exports.kinds import META_IMAGE, NRRD, OME_TIFF, OME_ZARR_FOLDER, ONE_FILE, SLICES, TIFF, Kind
from napari_ct_pyramid.exports.plan import ExportPlan
from napari_ct_pyramid.exports.result import Export
from napari_ct_pyramid.model.formatting import shorten
from napari_ct_pyramid.options import SCALED_DTYPES, ExportOptions

from .export_job import ExportJob
from .export_planner import ExportPlanner
from .export_source import ExportSource, shown_part
from .export_words import cancelled_words, level_words, plan_words, result_words
from .widget.activity_bar import progress_words
from .widget.field_makers import CropEdit
from .wording import wording

if TYPE_CHECKING:
    from napari.viewer import Viewer

_KINDS: tuple[tuple[str, Kind], ...] = (
    ("TIFF, for Fiji and others (.tif)", TIFF),
    ("OME-TIFF (.ome.tif)", OME_TIFF),
    ("Folder of TIFF slices", SLICES),
    ("MetaImage (.mhd and .raw)", META_IMAGE),
    ("NRRD (.nrrd)", NRRD),
    ("OME-Zarr (.ome.zarr)", OME_ZARR_FOLDER),
    ("OME-Zarr in one file (.ozx)", ONE_FILE),
)
_PAUSE_MS = 200  # after the last change of a field
_ERROR_STYLE = "color: rgb(230, 90, 80);"
_WIDTH = 430
_STEPS = 1000


class ExportDialog(QDialog):
    """What to export of a layer, and where.

    Parameters
    ----------
    viewer : napari.Viewer
    layer : napari.layers.Layer
    source : ExportSource
        What the layer shows.
    parent : QWidget, optional
    """

    def __init__(self, viewer: Viewer, layer: Any, source: ExportSource, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._layer, self._source = viewer, layer, source
        self._job: ExportJob | None = None
        self.setWindowTitle(f"Export {shorten(source.name, 60)}")
        self.kind = QComboBox()
        for words, kind in _KINDS:
            self.kind.addItem(words, kind)
        self.level = QComboBox()
        for number, volume in enumerate(source.levels):
            self.level.addItem(level_words(number, volume))
        self.crop = CropEdit()
        self.crop.show_extent(source.levels[0].shape)
        self.use_shown = QPushButton("What is shown")
        self.type = QComboBox()
        self._fill_types()
        self.low, self.high = QLineEdit(), QLineEdit()
        self._fill_window()
        self.grey = QCheckBox("Grey values")
        self.output = QLineEdit()
        self.browse = QPushButton("Browse…")
        self.replace = QCheckBox("Replace what is there")
        self.message = QLabel()
        self.bar = QProgressBar()
        self.go, self.cancel = QPushButton("Export"), QPushButton("Close")
        self.show_it, self.open_folder = QPushButton("Show in napari"), QPushButton("Folder")
        self._planner = ExportPlanner(self)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._lay_out()
        self._name_output()
        self._connect()
        self._changed()

    # --- fields

    @property
    def options(self) -> ExportOptions:
        """What the fields ask for.

        Raises
        ------
        RequestError
            If a field cannot be understood.
        """
        dtype = self.type.currentData()
        window = f"{self.low.text().strip()} {self.high.text().strip()}" if dtype in SCALED_DTYPES else None
        asked: dict[str, Any] = {
            "level": self.level.currentIndex(),
            "crop": self.crop.read(),
            "dtype": dtype,
            "window": window,
            "grey_values": self.grey.isChecked(),
            "overwrite": self.replace.isChecked(),
        }
        return ExportOptions(**self._source.options, **asked)

    @property
    def output_text(self) -> str:
        """The output, as the functions take it: a folder of slices may have any name."""
        text = str(Path(self.output.text().strip()).expanduser()) if self.output.text().strip() else ""
        return f"{text}/" if text and self.kind.currentData() is SLICES else text

    def _fill_types(self) -> None:
        volume = self._source.levels[0]
        self.type.addItem(f"{volume.dtype}, as it is", None)
        if not volume.is_labels:
            for name in SCALED_DTYPES:
                if volume.dtype.kind == "f" or volume.dtype.itemsize > int(name[4:]) // 8:
                    self.type.addItem(f"{name}, scaled from the window", name)

    def _fill_window(self) -> None:
        limits = getattr(self._layer, "contrast_limits", None) or (0, 1)
        for field, value in zip((self.low, self.high), limits, strict=True):
            field.setText(f"{float(value):.7g}")

    def _name_output(self) -> None:
        """Give the output the ending of the kind, and a name that is not that of the source."""
        kind: Kind = self.kind.currentData()
        ending = kind.endings[0] if kind.endings else ""
        text = self.output.text().strip()
        before = Path(text) if text else self._source.folder / self._source.name
        known = sorted((end for _, one in _KINDS for end in one.endings), key=len, reverse=True)
        stem = next((before.name.removesuffix(end) for end in known if before.name.lower().endswith(end)), before.name)
        named = before.with_name(stem + ending)
        if not text and named.exists():
            named = before.with_name(f"{stem}-export{ending}")
        self.output.setText(str(named))

    def _choose_output(self) -> None:
        kind: Kind = self.kind.currentData()
        pattern = " ".join(f"*{ending}" for ending in kind.endings)
        what = "Name of the folder" if kind is SLICES else "Name of the file"
        # The dialog of the system would ask whether to replace; this one has a box for that.
        path, _ = QFileDialog.getSaveFileName(
            self, what, self.output.text(), f"{kind.name} ({pattern})" if pattern else "All files (*)",
            options=QFileDialog.Option.DontConfirmOverwrite,
        )  # fmt: skip
        if path:
            self.output.setText(path)
            self._name_output()

    def _use_shown(self) -> None:
        part = shown_part(self._viewer, self._layer)
        if part is None:
            self._say("Nothing of this layer is on the screen.", is_error=True)
            return
        self.crop.write(None if part == (None,) * 3 else [ends or (None, None) for ends in part])

    # --- the plan

    def _changed(self, *_: object) -> None:
        scaled = self.type.currentData() in SCALED_DTYPES
        self.low.setEnabled(scaled)
        self.high.setEnabled(scaled)
        self.go.setEnabled(False)
        self.show_it.hide()
        self.open_folder.hide()
        self._pause.start()

    def _plan(self) -> None:
        if not self.output_text:
            self._say("Choose where to write the export.", is_error=True)
            return
        try:
            self._planner.ask(self._source.source, self.output_text, self.options)
        except CtPyramidError as error:
            self._show_plan(error)

    def _show_plan(self, answer: ExportPlan | BaseException) -> None:
        if self._job:
            return
        exists = isinstance(answer, OutputExistsError) and answer.replaceable
        if exists or not self.replace.isChecked():
            self.replace.setVisible(exists)
        self.go.setEnabled(isinstance(answer, ExportPlan))
        if isinstance(answer, ExportPlan):
            self._say(plan_words(answer))
        elif exists:
            self._say(f"{Path(self.output_text).name} exists already.", is_error=True)
        else:
            self._say(sentence(answer, wording), is_error=True)

    # --- the export

    def start(self) -> None:
        """Export."""
        try:
            job = ExportJob(self._source.source, self.output_text, self.options, self)
        except CtPyramidError as error:
            self._say(sentence(error, wording), is_error=True)
            return
        self._job = job
        self._set_running(True)
        self._say("Starting …")
        job.progressed.connect(self._on_progress)
        job.ended.connect(self._on_ended)
        job.start()

    def reject(self) -> None:
        """Cancel the export that runs; otherwise, close."""
        if self._job:
            self.cancel.setEnabled(False)
            self._say("Cancelling …")
            self._job.cancel()
        else:
            super().reject()

    def _on_progress(self, progress: Any) -> None:
        self.bar.setMaximum(_STEPS)
        self.bar.setValue(round(_STEPS * progress.fraction))
        self._say(progress_words(progress))

    def _on_ended(self, job: ExportJob) -> None:
        self._job = None
        self._set_running(False)
        if isinstance(job.outcome, Export):
            self._say(result_words(job.outcome))
            self.show_it.show()
            self.open_folder.show()
            self.go.setEnabled(False)
            self.replace.setChecked(False)
            self.replace.hide()
        elif isinstance(job.outcome, Exception):
            self._say(sentence(job.outcome, wording), is_error=True)
        else:
            self._say(cancelled_words(self.kind.currentData()))
        self._pause.stop()

    def _set_running(self, running: bool) -> None:
        self._form_widget.setEnabled(not running)
        self.bar.setVisible(running)
        self.bar.setMaximum(0)
        self.cancel.setText("Cancel" if running else "Close")
        self.cancel.setEnabled(True)
        self.go.setEnabled(not running)
        self.show_it.hide()
        self.open_folder.hide()

    def _show_output(self) -> None:
        try:
            self._viewer.open(self.output_text.rstrip("/"), plugin="napari-ct-pyramid")
        except (CtPyramidError, OSError, ValueError) as error:
            show_error(sentence(error, wording))

    def _say(self, words: str, *, is_error: bool = False) -> None:
        self.message.setStyleSheet(_ERROR_STYLE if is_error else "")
        self.message.setText(words)
        self.adjustSize()

    def _connect(self) -> None:
        self.kind.currentIndexChanged.connect(lambda: self._name_output())
        for signal in (
            self.kind.currentIndexChanged, self.level.currentIndexChanged, self.type.currentIndexChanged,
            self.low.textChanged, self.high.textChanged, self.output.textChanged, self.grey.toggled,
            self.replace.toggled,
        ):  # fmt: skip
            signal.connect(self._changed)
        self.crop.changed.connect(self._changed)
        self._pause.timeout.connect(self._plan)
        self._planner.answered.connect(self._show_plan)
        self.use_shown.clicked.connect(self._use_shown)
        self.browse.clicked.connect(self._choose_output)
        self.go.clicked.connect(self.start)
        self.cancel.clicked.connect(self.reject)
        self.show_it.clicked.connect(self._show_output)
        self.open_folder.clicked.connect(
            lambda: QDesktopServices.openUrl(QUrl.fromLocalFile(str(Path(self.output_text).parent)))
        )
        self.finished.connect(self.deleteLater)

    def _lay_out(self) -> None:
        volume = self._source.levels[0]
        self._form_widget = QWidget()
        form = QFormLayout(self._form_widget)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Save as", self.kind)
        if len(self._source.levels) > 1:
            form.addRow("Level", self.level)
        form.addRow("Part  z y x", _row(self.crop.native, self.use_shown))
        if self.type.count() > 1:
            form.addRow("Type", self.type)
            form.addRow("Window", _row(self.low, QLabel("to"), self.high))
        if volume.calibration:
            self.grey.setText(f"Grey values:  {volume.calibration.formula}")
            self.grey.setToolTip("Write what the stored values stand for, instead of them")
            form.addRow("", self.grey)
        form.addRow("Output", _row(self.output, self.browse))
        form.addRow("", self.replace)
        self.replace.hide()
        self.message.setWordWrap(True)
        self.message.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.MinimumExpanding)
        self.bar.hide()
        self.bar.setTextVisible(False)
        for button in (self.show_it, self.open_folder):
            button.hide()
        for button in (self.use_shown, self.browse, self.cancel, self.show_it, self.open_folder):
            button.setAutoDefault(False)
        buttons = QHBoxLayout()
        buttons.addWidget(self.show_it)
        buttons.addWidget(self.open_folder)
        buttons.addStretch(1)
        buttons.addWidget(self.cancel)
        buttons.addWidget(self.go)
        column = QVBoxLayout(self)
        for part in (self._form_widget, self.message, self.bar):
            column.addWidget(part)
        column.addLayout(buttons)
        self.setMinimumWidth(_WIDTH)
        names = {self.kind: "Kind of file", self.level: "Level of the OME-Zarr", self.type: "Type of the voxels",
                 self.low: "Grey value that becomes the smallest", self.high: "Grey value that becomes the largest",
                 self.output: "Where to write the export"}  # fmt: skip
        for field, name in names.items():
            field.setAccessibleName(name)
            field.setToolTip(name)
        self.use_shown.setToolTip("The part of this layer that is on the screen; all slices")


def _row(*parts: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for place, part in enumerate(parts):
        row.addWidget(part, int(place == 0 or isinstance(part, QLineEdit)))
    return row
