"""The options as fields of a form. magicgui makes them from `ConversionOptions`, with its help texts and defaults."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from magicgui.widgets import CheckBox, ComboBox, Container, LineEdit
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QWidget

from napari_ct_pyramid.errors import RequestError
from napari_ct_pyramid.model.formatting import numbers, times
from napari_ct_pyramid.options import (
    AUTO,
    COMPRESSORS,
    DTYPES,
    EDGES,
    METHODS,
    NAMED_CHUNKS,
    OME_ZARR_VERSIONS,
    ConversionOptions,
    VoxelSize,
    available_cores,
)
from napari_ct_pyramid.plugin.wording import VALUE_WORDS, label
from napari_ct_pyramid.units import UNITS

from .parts import NoWheel

_CUSTOM = "custom"
_COMMON_UNITS = ("nanometer", "micrometer", "millimeter", "centimeter", "meter")
_FROM_FILE = "as in the file"
_LABEL_LETTERS = 15
_MOST_LEVELS = 16


@dataclass(frozen=True)
class OptionField:
    """One option's field: the widget, and how to read it and write it.

    `read` returns what the user chose or typed. `write` takes that, or a value of `ConversionOptions`.
    """

    name: str
    label: str
    rare: bool
    widget: Any
    read: Callable[[], Any]
    write: Callable[[Any], None]


class OptionFields(QObject):
    """The fields of all options, in the order of `ConversionOptions`."""

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
        """What the fields hold, as the user chose or typed it."""
        return {name: field.read() for name, field in self.fields.items()}

    def options(self) -> ConversionOptions:
        """The options that the fields ask for.

        Raises
        ------
        RequestError
            If a field holds an invalid value.
        """
        return ConversionOptions(**self.values())

    def show(self, options: ConversionOptions) -> None:
        """Write options into the fields. If the fields mean these options already, they stay as the user typed them."""
        with suppress(RequestError):
            if self.options() == options:
                return
        for name in self.fields:
            self.set(name, getattr(options, name))
        if options.ome_zarr_version == "0.4":
            self.reset("shards")  # 0.4 has no shards, so the field's text has no meaning

    def set(self, name: str, value: Any) -> None:
        """Write an option's value into its field."""
        self.fields[name].write(value)

    def reset(self, name: str) -> None:
        """Write an option's default into its field."""
        self.set(name, _default(next(f for f in dataclasses.fields(ConversionOptions) if f.name == name)))

    def form(self, *, rare: bool) -> QWidget:
        """The rare fields with their labels, or all others."""
        return form([(field.label, field.widget.native) for field in self.fields.values() if field.rare == rare])

    def show_file(self, voxel_size: VoxelSize | None, unit: str | None) -> None:
        """Show in the empty fields what the file states."""
        known = f"{numbers(voxel_size)} in the file" if voxel_size else "unknown in the file"
        self.fields["voxel_size"].widget.native.setPlaceholderText(known)
        self.fields["unit"].widget.native.setItemText(0, f"{_FROM_FILE} ({unit})" if unit else _FROM_FILE)

    def show_files(self) -> None:
        """Show in the empty fields that each file may state something else."""
        self.fields["voxel_size"].widget.native.setPlaceholderText("as in each file")
        self.fields["unit"].widget.native.setItemText(0, _FROM_FILE)
        self.show_automatic_levels(None)

    def show_automatic_levels(self, count: int | None) -> None:
        """Show how many levels "auto" means; None if that is unknown."""
        self.fields["num_levels"].widget.native.setItemText(0, AUTO if count is None else f"{AUTO} ({count})")


def form(rows: list[tuple[str, QWidget]]) -> QWidget:
    """Labels and fields in two columns. The column of labels has the same width in every form."""
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
            text.value = numbers(NAMED_CHUNKS[choice])  # to start from, if the user wants another

    def write(value: Any) -> None:
        if not isinstance(value, str):
            value = next((known for known, shape in NAMED_CHUNKS.items() if shape == tuple(value)), numbers(value))
        name.value = value if value in NAMED_CHUNKS else _CUSTOM
        if value not in NAMED_CHUNKS:
            text.value = value

    name.changed.connect(show)
    return both, lambda: _spaced(text.value) if name.value == _CUSTOM else name.value, write


def _crop(option: dataclasses.Field[Any]) -> _Made:
    field, read, write_text = _text(option)

    def write(value: Any) -> None:
        if value is not None and not isinstance(value, str):
            value = ",".join(":".join("" if end is None else str(end) for end in ends) for ends in value)
        write_text(value)

    return field, read, write


def _size(option: dataclasses.Field[Any]) -> _Made:
    field, read, write_text = _text(option)

    def write(value: Any) -> None:
        write_text(_size_text(value) if isinstance(value, int) else value)

    return field, read, write


def _shards(option: dataclasses.Field[Any]) -> _Made:
    field, read, write_numbers = _numbers(option)
    return field, read, lambda value: write_numbers("none" if value is None else value)


def _choice(choices: list[tuple[str, Any]]) -> Callable[[dataclasses.Field[Any]], _Made]:
    """A menu of words for values of `ConversionOptions`. The first one also represents values that are not listed."""

    def make(option: dataclasses.Field[Any]) -> _Made:
        values = [value for _, value in choices]
        field = ComboBox(choices=[(words, number) for number, (words, _) in enumerate(choices)])
        field.native.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)

        def write(value: Any) -> None:
            given: dict[str, Any] = {"chunks": next(iter(NAMED_CHUNKS)), option.name: value}
            plain = getattr(ConversionOptions(**given), option.name)
            field.value = values.index(plain) if plain in values else 0

        write(option.default)
        return field, lambda: values[field.value], write

    return make


def _switch(option: dataclasses.Field[Any]) -> _Made:
    field = CheckBox(value=bool(option.default), text="")

    def write(value: Any) -> None:
        field.value = bool(value)

    return field, lambda: field.value, write


def _spaced(text: str | None) -> str | None:
    """Numbers with spaces between them, whatever the user typed there: ``"32 256 256"`` for ``"32×256×256"``."""
    return re.sub(r"\s*[×x,;*]\s*|\s+", " ", text).strip() if text else None


def _size_text(size: int) -> str:
    """A size as a user would type it, to the byte: ``"4G"``, ``"1400M"``."""
    for factor, letter in ((10**9, "G"), (10**6, "M"), (10**3, "K")):
        if size % factor == 0:
            return f"{size // factor}{letter}"
    return str(size)


def _numbers_to(most: int) -> list[tuple[str, Any]]:
    return [(str(number), number) for number in range(1, most + 1)]


def _named(names: Sequence[str]) -> list[tuple[str, Any]]:
    return [(name, name) for name in names]


_units = [(_FROM_FILE, None), *_named([*_COMMON_UNITS, *(unit for unit in UNITS if unit not in _COMMON_UNITS)])]

_FACTORS = ((2, 2, 2), (1, 2, 2), (2, 1, 2), (2, 2, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1))

_MAKERS: dict[str, Callable[[dataclasses.Field[Any]], _Made]] = {
    "chunks": _chunks,
    "num_levels": _choice([(AUTO, None), *_numbers_to(_MOST_LEVELS)]),
    "dtype": _choice([(_FROM_FILE, None), *_named(DTYPES)]),
    "window": _numbers,
    "method": _choice(_named(METHODS)),
    "downsample": _choice(
        [*((times(factors), factors) for factors in _FACTORS), ("auto: make voxels isotropic", None)]
    ),
    "edges": _choice([(VALUE_WORDS["edges"][name], name) for name in EDGES]),
    "max_memory": _size,
    "compressor": _choice(_named(COMPRESSORS)),
    "ome_zarr_version": _choice(_named(OME_ZARR_VERSIONS)),
    "shards": _shards,
    "voxel_size": _numbers,
    "unit": _choice(_units),
    "crop": _crop,
    "follow_links": _switch,
    "threads": _choice([(f"all cores ({available_cores()})", None), *_numbers_to(max(16, available_cores()))]),
    "overwrite": _switch,
}
