"""The form: source, output, and every option. It does not know whether a request can be carried out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from magicgui.types import FileDialogMode
from magicgui.widgets import CheckBox, FileEdit
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QPushButton, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_ct_pyramid.plugin.wording import volume_facts
from napari_ct_pyramid.sources.registry import FILE_FILTER, INPUTS

from .fields import OptionFields, form
from .parts import ElideMiddle, text_label
from .planner import PlanAnswer, PlanRequest
from .remedies import Remedy

_SOURCE_TIP = f"The volume to convert: {INPUTS}. It can also be dropped here."


class Form(QWidget):
    """All fields, with their labels."""

    changed = Signal()
    several_chosen = Signal(list)  # paths, in the file dialog

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._quiet = False
        self._layer_file: str | None = None
        self.source = _prepared(_SourceEdit(self.several_chosen.emit), _SOURCE_TIP)
        self.source.filter = FILE_FILTER
        self.facts = text_label()
        self.facts.hide()
        self.use_layer = QPushButton("Use selected layer")
        self.output = _prepared(FileEdit(mode=FileDialogMode.OPTIONAL_FILE), "The OME-Zarr folder to make")
        self.folder = _prepared(
            FileEdit(mode=FileDialogMode.EXISTING_DIRECTORY), "The folder in which the OME-Zarr folders are made"
        )
        self.folder.line_edit.native.setPlaceholderText("beside each source")
        self.options = OptionFields(self)
        self.live = CheckBox(value=True, text="")
        self.live.tooltip = "Show the output as a layer that fills in while the conversion runs"
        self.fold = QToolButton()
        self.rare = self.options.form(rare=True)
        self._for_one, self._for_several = self._lay_out()
        self._unfold(False)
        self.show_several(False)
        self.offer_layer_file(None)
        self.source.line_edit.changed.connect(self._source_changed)
        self.output.line_edit.changed.connect(self._output_changed)
        self.folder.line_edit.changed.connect(self._output_changed)
        self.options.changed.connect(self._changed)
        self.use_layer.clicked.connect(self._use_layer)
        self.fold.toggled.connect(self._unfold)

    @property
    def source_path(self) -> str:
        """The text in the field of the source."""
        return str(self.source.line_edit.value).strip()

    @property
    def output_path(self) -> str:
        """The text in the field of the output."""
        return str(self.output.line_edit.value).strip()

    def request(self) -> PlanRequest:
        """The request that the fields make.

        Raises
        ------
        RequestError
            If the field of an option holds an invalid value.
        """
        return PlanRequest(self.source_path, self.output_path, self.options.options())

    def output_folder(self) -> str:
        """The folder for the outputs of several sources; if empty, each goes beside its source."""
        return str(self.folder.line_edit.value).strip()

    def show_several(self, several: bool) -> None:
        """Hide or show the fields that are for one volume: its path, its facts and its output."""
        for row in self._for_one:
            row.setVisible(not several)
        self._for_several.setVisible(several)
        if several:
            self.facts.hide()
            self.options.show_files()
        self.offer_layer_file(self._layer_file)

    def set_source(self, path: str) -> None:
        """Fill in a source. The output follows when it is known."""
        self.source.line_edit.value = path

    def set_request(self, request: PlanRequest) -> None:
        """Fill in everything, without the signal `changed`."""
        with self._quietly():
            self.source.line_edit.value = request.source
            self.output.line_edit.value = request.output
            self.options.show(request.options)

    def apply(self, remedy: Remedy) -> None:
        """Set the values of a remedy."""
        for name, value in remedy.values.items():
            if name == "output":
                self.output.line_edit.value = value
            else:
                self.options.set(name, value)

    def show_answer(self, answer: PlanAnswer) -> None:
        """Fill in what planning found out: the facts, the default output, the number of levels."""
        with self._quietly():
            if answer.output and not self.output.line_edit.value:
                self.output.line_edit.value = answer.output
        plan, volume = answer.plan, answer.volume
        self.facts.setVisible(volume is not None)
        if volume:
            self.facts.setText(volume_facts(volume, plan.voxel_size if plan else None, plan.unit if plan else None))
            self.facts.setToolTip(f"{volume.format}, compression: {volume.compression}")
        self.options.show_file(volume.voxel_size if volume else None, volume.unit if volume else None)
        automatic = plan is not None and answer.request.options.num_levels is None
        self.options.show_automatic_levels(len(plan.levels) if plan and automatic else None)

    def offer_layer_file(self, path: str | None) -> None:
        """Offer the file that the selected layer was opened from; None if there is none."""
        self._layer_file = path
        another = path is not None and path != self.source.line_edit.value
        self.use_layer.setVisible(another and self._for_several.isHidden())
        self.use_layer.setToolTip(path or "")

    def _lay_out(self) -> tuple[list[QWidget], QWidget]:
        self.fold.setText(" More options")
        self.fold.setCheckable(True)
        self.fold.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.fold.setAutoRaise(True)
        source, output = form([("Source", self.source.native)]), form([("Output", self.output.native)])
        folder = form([("Output", self.folder.native)])
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (source, self.facts, self.use_layer, output, folder):
            column.addWidget(part)
        column.addWidget(self.options.form(rare=False))
        column.addWidget(self.fold, alignment=Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self.rare)
        column.addWidget(form([("Live preview", self.live.native)]))
        return [source, output], folder

    def _unfold(self, shown: bool) -> None:
        self.rare.setVisible(shown)
        self.fold.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)

    def _use_layer(self) -> None:
        if self._layer_file:
            self.set_source(self._layer_file)

    def _source_changed(self) -> None:
        if self._quiet:
            return
        with self._quietly():
            self.output.line_edit.value = ""  # until the plan gives the new one
            self.options.reset("overwrite")
        self.facts.hide()
        self.offer_layer_file(self._layer_file)
        self._changed()

    def _output_changed(self) -> None:
        if self._quiet:
            return
        with self._quietly():
            self.options.reset("overwrite")  # the user allowed it for another output
        self._changed()

    def _changed(self) -> None:
        if not self._quiet:
            self.changed.emit()

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        self._quiet, before = True, self._quiet
        try:
            yield
        finally:
            self._quiet = before


class _SourceEdit(FileEdit):
    """A field for one file. Its dialog also takes several, which it passes on."""

    def __init__(self, several: Callable[[list[str]], object]) -> None:
        super().__init__(mode=FileDialogMode.EXISTING_FILE)
        self._several = several
        self.choose_btn.changed.disconnect()  # magicgui's own dialog takes one file
        self.choose_btn.changed.connect(self._choose)

    def _choose(self) -> None:
        start = str(Path(self.line_edit.value).expanduser().absolute())
        paths, _ = QFileDialog.getOpenFileNames(None, "Choose one or more volumes", start, self.filter)
        if len(paths) == 1:
            self.line_edit.value = paths[0]
        elif paths:
            self._several(paths)


_Edit = TypeVar("_Edit", bound=FileEdit)


def _prepared(edit: _Edit, tip: str) -> _Edit:
    edit.choose_btn.text = "Browse…"
    edit.tooltip = tip
    edit.choose_btn.native.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
    ElideMiddle(edit.line_edit.native)
    return edit
