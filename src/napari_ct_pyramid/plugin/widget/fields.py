"""The options as fields of a form, made by magicgui from `ConversionOptions`: no help or default is written here."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from magicgui.widgets import CheckBox, ComboBox, Container, LineEdit
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QWidget

from napari_ct_pyramid.errors import CONVERT, RESUME, VIEW, Advice
from napari_ct_pyramid.model.formatting import numbers, times
from napari_ct_pyramid.options import (
    COMPRESSORS,
    DTYPES,
    METHODS,
    NAMED_CHUNKS,
    OME_ZARR_VERSIONS,
    UNITS,
    ConversionOptions,
    VoxelSize,
    available_cores,
)

from .parts import NoWheel

_LABELS = {
    "num_levels": "Levels",
    "max_memory": "Memory",
    "dtype": "Type",
    "ome_zarr_version": "OME-Zarr",
}  # the others read as they are called
_CUSTOM = "custom"
_COMMON_UNITS = ("nanometer", "micrometer", "millimeter", "centimeter", "meter")
_FROM_FILE = "as in the file"
_LABEL_LETTERS = 15
_AUTO = "auto"


@dataclass(frozen=True)
class OptionField:
    """One option's field: the widget, and how to read and write what a user would have written."""

    name: str
    label: str
    rare: bool
    widget: Any
    read: Callable[[], Any]
    write: Callable[[Any], None]


class OptionFields(QObject):
    """All options' fields, in the order of `ConversionOptions`."""

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.fields: dict[str, OptionField] = {}
        for option in dataclasses.fields(ConversionOptions):
            widget, read, write = _MAKERS.get(option.name, _text)(option)
            tip = str(option.metadata["help"])
            widget.tooltip = tip[0].upper() + tip[1:]
            field = OptionField(option.name, label(option.name), option.metadata["rare"], widget, read, write)
            self.fields[option.name] = field
            widget.changed.connect(lambda _value: self.changed.emit())
            for part in (widget.native, *widget.native.findChildren(QWidget)):
                if isinstance(part, QComboBox):
                    NoWheel(part)

    def values(self) -> dict[str, Any]:
        """What the fields say, for `ConversionOptions`."""
        return {name: field.read() for name, field in self.fields.items()}

    def set(self, name: str, value: Any) -> None:
        """Write an option's value into its field."""
        self.fields[name].write(value)

    def reset(self, name: str) -> None:
        """Write an option's default into its field."""
        self.set(name, _default(next(f for f in dataclasses.fields(ConversionOptions) if f.name == name)))

    def form(self, *, rare: bool) -> QWidget:
        """The usual fields with their labels, or the rare ones."""
        return form([(field.label, field.widget.native) for field in self.fields.values() if field.rare == rare])

    def show_file(self, voxel_size: VoxelSize | None, unit: str | None) -> None:
        """Say in the empty fields what the file says."""
        known = f"{numbers(voxel_size)} in the file" if voxel_size else "unknown in the file"
        self.fields["voxel_size"].widget.native.setPlaceholderText(known)
        self.fields["unit"].widget.native.setItemText(0, f"{_FROM_FILE} ({unit})" if unit else _FROM_FILE)

    def show_files(self) -> None:
        """Say in the empty fields that every file may say something else."""
        self.fields["voxel_size"].widget.native.setPlaceholderText("as in each file")
        self.fields["unit"].widget.native.setItemText(0, _FROM_FILE)
        self.show_automatic_levels(None)

    def show_automatic_levels(self, count: int | None) -> None:
        """Say how many levels "auto" came to."""
        self.fields["num_levels"].widget.native.setItemText(0, _AUTO if count is None else f"{_AUTO} ({count})")


def form(rows: list[tuple[str, QWidget]]) -> QWidget:
    """Labels and fields in two columns, that of the labels as wide as in every other form."""
    widget = QWidget()
    layout = QFormLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    layout.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
    for name, field in rows:
        head = QLabel(name)
        head.setFixedWidth(head.fontMetrics().averageCharWidth() * _LABEL_LETTERS)
        head.setToolTip(field.toolTip())
        layout.addRow(head, field)
    return widget


def label(name: str) -> str:
    """An option's name for people."""
    return _LABELS.get(name, name.replace("_", " ").capitalize())


def wording(advice: Advice) -> str:
    """An option, or something to do, as the widget writes it."""
    if advice.name == RESUME:
        return "Resume continues it"
    if advice.name == CONVERT:
        return f"convert {advice.value} with this widget"
    if advice.name == VIEW:
        return f"drop {advice.value} on napari"
    name = f"“{label(advice.name)}”"
    return name if advice.value is None or advice.value is True else f"{name}: {advice.value}"


_Made = tuple[Any, Callable[[], Any], Callable[[Any], None]]


def _default(option: dataclasses.Field[Any]) -> Any:
    return next(iter(NAMED_CHUNKS)) if option.name == "chunks" else option.default


def _text(option: dataclasses.Field[Any]) -> _Made:
    field = LineEdit(value="" if option.default is None else str(option.default))

    def write(value: Any) -> None:
        field.value = "" if value is None else str(value)

    return field, lambda: field.value.strip() or None, write


def _numbers(option: dataclasses.Field[Any]) -> _Made:
    field, read, write_text = _text(option)

    def write(value: Any) -> None:
        write_text(value if value is None or isinstance(value, str) else " ".join(map(repr, value)))

    return field, lambda: _spaced(read()), write


def _chunks(option: dataclasses.Field[Any]) -> _Made:
    choices = [(f"{name.capitalize()}  {times(shape)}", name) for name, shape in NAMED_CHUNKS.items()]
    name = ComboBox(choices=[*choices, ("Custom", _CUSTOM)], value=_default(option))
    text = LineEdit(value=numbers(NAMED_CHUNKS[name.value]))
    both = Container(widgets=[name, text], labels=False)
    both.margins = (0, 0, 0, 0)
    text.visible = False
    text.native.setPlaceholderText("z y x")

    def show(choice: str) -> None:
        text.visible = choice == _CUSTOM
        if choice in NAMED_CHUNKS:
            text.value = numbers(NAMED_CHUNKS[choice])  # to begin with, should it be made another

    def write(value: Any) -> None:
        if not isinstance(value, str):
            value = next((known for known, shape in NAMED_CHUNKS.items() if shape == tuple(value)), numbers(value))
        name.value = value if value in NAMED_CHUNKS else _CUSTOM
        if value not in NAMED_CHUNKS:
            text.value = value

    name.changed.connect(show)
    return both, lambda: _spaced(text.value) if name.value == _CUSTOM else name.value, write


def _choice(choices: list[tuple[str, Any]]) -> Callable[[dataclasses.Field[Any]], _Made]:
    """A menu of words and values; the first one stands for whatever is not in it."""

    def make(option: dataclasses.Field[Any]) -> _Made:
        values = [value for _, value in choices]
        field = ComboBox(choices=[(words, number) for number, (words, _) in enumerate(choices)])
        field.native.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)

        def write(value: Any) -> None:
            field.value = values.index(value) if value in values else 0

        write(option.default)
        return field, lambda: values[field.value], write

    return make


def _switch(option: dataclasses.Field[Any]) -> _Made:
    field = CheckBox(value=bool(option.default), text="")

    def write(value: Any) -> None:
        field.value = bool(value)

    return field, lambda: field.value, write


def _spaced(text: str | None) -> str | None:
    """Numbers as people write them, parted by spaces: ``"32×256×256"`` is ``"32 256 256"``."""
    return re.sub(r"\s*[×x,;*]\s*|\s+", " ", text).strip() if text else None


def _numbers_to(most: int) -> list[tuple[str, Any]]:
    return [(str(number), number) for number in range(1, most + 1)]


_units = [(_FROM_FILE, None), *((u, u) for u in (*_COMMON_UNITS, *(u for u in UNITS if u not in _COMMON_UNITS)))]

_FACTORS = ("2 2 2", "1 2 2", "2 1 2", "2 2 1", "1 1 2", "1 2 1", "2 1 1")

_MAKERS: dict[str, Callable[[dataclasses.Field[Any]], _Made]] = {
    "chunks": _chunks,
    "num_levels": _choice([(_AUTO, None), *_numbers_to(16)]),
    "dtype": _choice([(_FROM_FILE, None), *((name, name) for name in DTYPES)]),
    "window": _numbers,
    "voxel_size": _numbers,
    "method": _choice([(name, name) for name in METHODS]),
    "downsample": _choice(
        [
            (factors.replace(" ", " × "), factors)
            for factors in ("2 2 2", "1 2 2", "2 1 2", "2 2 1", "1 1 2", "1 2 1", "2 1 1")
        ]
        + [("auto, until voxels are alike", _AUTO)]
    ),
    "edges": _choice([("strict", "strict"), ("pad with zeros", "pad")]),
    "compressor": _choice([(name, name) for name in COMPRESSORS]),
    "ome_zarr_version": _choice([(version, version) for version in OME_ZARR_VERSIONS]),
    "shards": _numbers,
    "unit": _choice(_units),
    "threads": _choice([(f"all cores ({available_cores()})", None), *_numbers_to(max(16, available_cores()))]),
    "overwrite": _switch,
}
