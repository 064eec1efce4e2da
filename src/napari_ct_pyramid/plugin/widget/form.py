"""The form: input, voxel size, output, and folds with all other options.

It does not know whether a request can be carried out.
"""

from __future__ import annotations

from collections.abc import Sequence

from magicgui.types import FileDialogMode
from magicgui.widgets import CheckBox
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_ct_pyramid.errors import RequestError, UnknownShapeError
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import Triple
from napari_ct_pyramid.plugin.origins import LayerInput
from napari_ct_pyramid.plugin.wording import volume_facts
from napari_ct_pyramid.sources.inputs import ArrayInput
from napari_ct_pyramid.sources.registry import FILE_FILTER, INPUTS

from .browse import BrowseMenu
from .fields import GROUPS, OF_SOURCE, ON_FORM, OptionFields, UnknownUnitError, form, in_group
from .fold_words import fold_words
from .parts import Fold, Quiet, same_width, text_label
from .path_fields import path_field
from .planner import PlanAnswer, PlanRequest
from .preferences import Preferences
from .remedies import Offer
from .size_note import SizeNote

_LONGEST_LABEL = "Voxel size"  # beside the fields that are always in sight
_SOURCE_TIP = f"The volume to convert: {INPUTS}. It can also be dropped here."
_OUTPUT_TIP = "The OME-Zarr to make. Nothing is overwritten unasked."
_FOLDER_TIP = "The folder in which the OME-Zarrs are made"
_FOLD_TIPS = {
    "Raw file": "What a file without a header does not state: its shape and the type of its voxels",
    "Pyramid": "The resolutions that are stored, and the blocks in which they are stored",
    "Voxels": "Which voxels are converted, and how they are stored",
    "Format": "The format of the files",
    "Machine": "How much of this machine the conversion may use",
}


class Form(QWidget):
    """All fields, with their labels."""

    changed = Signal()
    files_chosen = Signal(list)  # paths, in the menu Browse

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._quiet = Quiet()
        self._array: ArrayInput | None = None
        self._extent: Triple | None = None  # of the whole source, once it is known
        self.preferences = Preferences()
        self.source = path_field("Input", _SOURCE_TIP, "scan.tif", FileDialogMode.EXISTING_FILE)
        self.browse = BrowseMenu(self.source.choose_btn.native, FILE_FILTER, self.preferences)
        self.facts = text_label()
        self.size_note = SizeNote()
        self.output = path_field("Output", _OUTPUT_TIP, "beside the input", FileDialogMode.OPTIONAL_FILE)
        self.folder = path_field("Output folder", _FOLDER_TIP, "beside each input", FileDialogMode.EXISTING_DIRECTORY)
        self.options = OptionFields(self)
        self.draw_crop = QPushButton("Draw a rectangle")
        self.draw_crop.setToolTip("Draw the part to convert as a rectangle in the viewer, or use the selected one")
        self.live = CheckBox(value=self.preferences.read("live", True), text="Show it while it grows")
        self.live.tooltip = "Show the output as a layer that fills in while the conversion runs"
        self.defaults = QPushButton("Defaults")
        self.defaults.setToolTip("Set all options in the folds to what they were at the very first start")
        self.folds: dict[str, Fold] = {}
        self._for_one, self._for_several = self._lay_out()
        self.options.recall(self.preferences.read("options", {}))
        self.facts.hide()
        self.show_several(False)
        self._show_summaries(None)
        self._show_rest()
        self._connect()

    def _connect(self) -> None:
        self.source.line_edit.changed.connect(self._source_changed)
        self.output.line_edit.changed.connect(self._output_changed)
        self.folder.line_edit.changed.connect(self._output_changed)
        self.browse.chosen.connect(self.files_chosen)
        self.browse.layer_chosen.connect(self.set_layer)
        self.options.changed.connect(self._options_changed)
        self.options.fields["voxel_size"].widget.native.editingFinished.connect(self.options.split_unit)
        self.live.changed.connect(lambda live: self.preferences.write("live", live))
        self.defaults.clicked.connect(self._set_defaults)

    @property
    def source_path(self) -> str:
        """The text in the field of the input."""
        return str(self.source.line_edit.value).strip()

    @property
    def source_value(self) -> str | ArrayInput:
        """The input: a path, or an array that was given."""
        return self._array or self.source_path

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
        return PlanRequest(self.source_value, self.output_path, self.options.options())

    @property
    def extent(self) -> Triple | None:
        """Voxels of the whole source along z, y, x; None if that is unknown."""
        return self._extent

    def set_crop(self, ranges: Sequence[tuple[int, int] | None]) -> None:
        """Crop along some axes, and leave the others (None) as they are."""
        crop = self.options.fields["crop"]
        before = (crop.read() or ",,").split(",")
        crop.write(
            ",".join(old if new is None else f"{new[0]}:{new[1]}" for old, new in zip(before, ranges, strict=True))
        )

    def differs_from(self, request: PlanRequest) -> bool:
        """Whether the fields ask for other options by now."""
        try:
            return self.options.options() != request.options
        except RequestError:
            return True

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
            with self._quiet():
                self.options.show_several()
            self._show_size_note(None)
        else:
            self.options.forget_needs()

    def set_source(self, source: str | ArrayInput) -> None:
        """Fill in a source. The output follows when it is known."""
        array = source if isinstance(source, ArrayInput) else None
        if array is not None and self._array is not array:
            with self._quiet():
                self.source.line_edit.value = ""
        self.source.line_edit.value = str(source)
        if array is not None:
            self._array = array
            self.source.line_edit.native.setReadOnly(True)
            self._changed()

    def set_layer(self, layer: LayerInput) -> None:
        """Fill in what a layer shows."""
        self.set_source(layer.source)
        for name, value in layer.options.items():
            self.options.set(name, value)

    def set_request(self, request: PlanRequest, volume: Volume | None = None) -> None:
        """Fill in everything, without the signal `changed`."""
        with self._quiet():
            self.source.line_edit.value = str(request.source)
            self._array = request.source if isinstance(request.source, ArrayInput) else None
            self.output.line_edit.value = request.output
            self.options.show(request.options)
            if volume:
                self.options.show_volume(volume, self._extent)
        self._show_raw(request.options.raw_shape is not None)
        self._show_rest()

    def apply(self, offer: Offer) -> None:
        """Set the values of a remedy."""
        for name, value in offer.value.items():
            if name == "output":
                self.output.line_edit.value = value
            else:
                self.options.set(name, value)

    def show_answer(self, answer: PlanAnswer) -> None:
        """Fill in what planning found out: the facts, the voxel size, the default output, the number of levels."""
        plan, volume, options = answer.plan, answer.volume, answer.request.options
        if volume and options.crop is None:
            self._extent = volume.shape
        with self._quiet():
            if answer.output and not self.output.line_edit.value:
                self.output.line_edit.value = answer.output
            self.options.show_volume(volume, self._extent)
            self.options.show_needs(answer.error)
        self.facts.setVisible(volume is not None)
        if volume:
            self.facts.setText(volume_facts(volume, self._extent))
            self.facts.setToolTip(f"{volume.format}, compression: {volume.compression}")
            if isinstance(answer.request.source, str):
                self.preferences.add_recent(answer.request.source)
        self._show_size_note(volume)
        if isinstance(answer.error, UnknownShapeError):
            self._show_raw(True)
            self.folds["Raw file"].button.setChecked(True)
        self.options.show_automatic_levels(len(plan.levels) if plan and options.num_levels is None else None)
        self._show_summaries(plan)

    def show_invalid(self, error: RequestError | None) -> None:
        """Mark the fields with invalid values, and open their folds; None if all are valid."""
        names = self.options.invalid() if error else set()
        if isinstance(error, UnknownUnitError):
            names.add("voxel_size")
            self.size_note.say("choose its unit", amber=True)
        self.options.mark(names)
        for group, fold in self.folds.items():
            if names & set(in_group(group)):
                fold.button.setChecked(True)

    def _lay_out(self) -> tuple[list[QWidget], QWidget]:
        source, output, folder = (
            form([(name, edit.native)], _LONGEST_LABEL)
            for name, edit in (("Input", self.source), ("Output", self.output), ("Output", self.folder))
        )
        fields = self.options.fields
        size = QWidget()
        row = QHBoxLayout(size)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        fields["voxel_size"].widget.native.setMinimumWidth(64)
        row.addWidget(fields["voxel_size"].widget.native, 1)
        unit = fields["unit"].widget.native
        unit.setMinimumWidth(68)
        unit.setMaximumWidth(84)
        unit.setMinimumContentsLength(5)
        row.addWidget(unit)
        self.overwrite = form([(fields["overwrite"].label, fields["overwrite"].widget.native)], _LONGEST_LABEL)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        size_row = form([(fields["voxel_size"].label, size)], _LONGEST_LABEL)
        for part in (source, self.facts, size_row, self.size_note.label):
            column.addWidget(part)
        for part in (output, folder, self.overwrite):
            column.addWidget(part)
        opened = self.preferences.read("folds", [])
        for group in GROUPS:
            content = self.options.form(in_group(group))
            if group == "Voxels":
                rows = content.layout()
                rows.insertRow(in_group(group).index("crop") + 1, "", self.draw_crop)
            fold = self.folds[group] = Fold(group, content, _FOLD_TIPS[group])
            fold.button.setChecked(group in opened)
            fold.toggled.connect(self._remember_folds)
            column.addWidget(fold)
        column.addWidget(self.defaults, alignment=Qt.AlignmentFlag.AlignRight)
        column.addWidget(self.live.native)
        self._show_raw(False)
        self._show_rest()
        return [source, output], folder

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802  Qt's name
        """Let the fields, and the lines that sum up the folds, begin and end below one another."""
        super().showEvent(event)
        same_width(fold.button for fold in self.folds.values())
        same_width(edit.choose_btn.native for edit in (self.source, self.output, self.folder))

    # What the fields say

    def _show_size_note(self, volume: Volume | None) -> None:
        from_file = self.options.from_file
        typed = not from_file and bool(self.options.fields["voxel_size"].read())
        self.size_note.show_origin(volume, typed=typed, from_file=from_file)

    def _show_summaries(self, plan: object) -> None:
        try:
            words = fold_words(self.options.options(), plan)  # type: ignore[arg-type]
        except RequestError:
            return
        for name, fold in self.folds.items():
            fold.summary.setText(words[name])
            fold.summary.setToolTip(words[name])

    def _show_raw(self, shown: bool) -> None:
        self.folds["Raw file"].setVisible(shown)

    def _show_rest(self) -> None:
        """Show the fields that are in sight only if they matter."""
        self.defaults.setVisible(self.options.differ)
        self.overwrite.setVisible(bool(self.options.fields["overwrite"].read()))

    # What the user changes

    def _source_changed(self) -> None:
        if self._quiet:
            return
        self._array = None
        self._extent = None
        self.source.line_edit.native.setReadOnly(False)
        with self._quiet():
            self.output.line_edit.value = ""  # until the plan gives the new one
            self.options.reset(*OF_SOURCE)
            self.options.forget_needs()
            self.options.show_volume(None, None)
        self._show_raw(False)
        self.facts.hide()
        self._show_size_note(None)
        self._show_rest()
        self._changed()

    def _output_changed(self) -> None:
        if self._quiet:
            return
        with self._quiet():
            self.options.reset("overwrite")  # the user allowed it for another output
        self._show_rest()
        self._changed()

    def _options_changed(self) -> None:
        if self._quiet:
            return
        self._show_rest()
        self._show_summaries(None)
        self.preferences.write("options", self.options.to_remember())
        self._changed()

    def _set_defaults(self) -> None:
        with self._quiet():
            self.options.reset(*(name for name in self.options.fields if name not in ON_FORM))
        self._options_changed()

    def _remember_folds(self) -> None:
        self.preferences.write("folds", [name for name, fold in self.folds.items() if fold.button.isChecked()])

    def _changed(self) -> None:
        if not self._quiet:
            self.changed.emit()
