"""The options as fields. magicgui makes them from `ConversionOptions`. They know nothing of plans.

An option of `ConversionOptions` gets a field by itself. Where it stands is in `GROUPS`, its label, tooltip and example
are in `wording`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QLineEdit, QWidget

from napari_ct_pyramid.errors import Advice, CtPyramidError, RequestError
from napari_ct_pyramid.model.formatting import format_size, numbers
from napari_ct_pyramid.model.memory import machine_memory
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import AUTO, ConversionOptions, Triple
from napari_ct_pyramid.plugin.wording import EXAMPLES, TIPS, label
from napari_ct_pyramid.units import parse_voxel_size

from .field_makers import DEFAULTS, default, make_field
from .parts import RED, NoWheel, Quiet

GROUPS: dict[str, tuple[str, ...]] = {
    "Raw file": ("raw_shape", "raw_dtype", "raw_offset"),
    "Pyramid": ("chunks", "num_levels", "method", "downsample", "edges"),
    "Voxels": ("dtype", "window", "calibration", "air", "water", "crop", "axes", "channel", "time"),
    "Format": ("ome_zarr_version", "shards", "compressor"),
    "Machine": ("max_memory", "threads"),
}
"""The folds of the form, and the options in each. An option that is named nowhere is at the end of "Voxels"."""

ON_FORM = ("voxel_size", "unit", "overwrite")
"""The options that are always in sight."""

OF_SOURCE = (
    *GROUPS["Raw file"], "window", "calibration", "air", "water", "crop", "axes", "channel", "time", "follow_links",
    *ON_FORM,
)  # fmt: skip
"""Options that depend on the source: another source gets their defaults, and they are not remembered."""

OF_SOME_SOURCES = ("channel", "time", "follow_links")
"""Options that apply only to a source that has several volumes, or refers to files elsewhere."""


class UnknownUnitError(RequestError):
    """A voxel size was typed without a unit, and the file states none."""


class MachineMemoryError(RequestError):
    """The memory budget is more than the machine has.

    Attributes
    ----------
    most : int
        Bytes that can be asked for.
    """

    def __init__(self, *parts: Any, most: int = 0) -> None:
        super().__init__(*parts)
        self.most = most


@dataclass(frozen=True)
class OptionField:
    """One option's field: the widget, and how to read it and write it.

    `read` returns what the user chose or typed. `write` takes that, or a value of `ConversionOptions`.
    """

    name: str
    default: Any
    widget: Any
    label: QLabel
    read: Callable[[], Any]
    write: Callable[[Any], None]


class OptionFields(QObject):
    """The fields of all options."""

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.fields: dict[str, OptionField] = {}
        self._filled: dict[str, Any] = {}  # what the file states, as the field shows it
        self._narrow = False  # the source's voxels have 8 bits
        self._asked: set[str] = set()  # of `OF_SOME_SOURCES`: what the source needs
        self._quiet = Quiet()
        for option in dataclasses.fields(ConversionOptions):
            self._add(option)
        self._at_first = {name: field.read() for name, field in self.fields.items()}
        self._show_what_applies()

    def _add(self, option: dataclasses.Field[Any]) -> None:
        name = option.name
        widget, read, write = make_field(option)
        head = QLabel(label(name))
        tip = TIPS.get(name) or str(option.metadata["help"])
        tip = tip[0].upper() + tip[1:]
        for part in (head, widget.native, *widget.native.findChildren(QWidget)):
            part.setToolTip(part.toolTip() or tip)
            part.setAccessibleName(part.accessibleName() or label(name))
            if isinstance(part, QLineEdit) and not part.placeholderText():
                part.setPlaceholderText(EXAMPLES.get(name, ""))
        for part in (widget.native, *widget.native.findChildren(QWidget)):
            if isinstance(part, QComboBox):
                NoWheel(part)
        widget.changed.connect(lambda _value: self._on_changed())
        self.fields[name] = OptionField(name, default(option), widget, head, read, write)

    def values(self) -> dict[str, Any]:
        """What the fields ask for, as the user chose or typed it.

        A field that does not apply asks for its default, and one that shows what the file states asks for nothing.
        """
        found = {name: self._value(name) for name in self.fields}
        with suppress(RequestError):
            if found["voxel_size"] and parse_voxel_size(found["voxel_size"])[1]:
                found["unit"] = None  # the text has its own
        return found

    def _value(self, name: str) -> Any:
        field = self.fields[name]
        if not self._applies(name):
            return field.default
        value = field.read()
        return None if name in self._filled and value == self._filled[name] else value

    def options(self) -> ConversionOptions:
        """The options that the fields ask for.

        Raises
        ------
        RequestError
            If a field holds an invalid value.
        """
        options = ConversionOptions(**self.values())
        if options.voxel_size and not options.unit and not self.fields["unit"].read():
            raise UnknownUnitError(
                f"A voxel size of {numbers(sorted(set(options.voxel_size)))} needs a unit: choose it (",
                Advice("unit"),
                ").",
            )
        if options.max_memory > (most := machine_memory()):
            raise MachineMemoryError(
                f"This machine has {format_size(most)} of memory; {format_size(options.max_memory)} were asked for.",
                most=most // 5 * 4,
            )
        return options

    def invalid(self) -> set[str]:
        """The fields whose value alone is invalid."""
        return {name for name, value in self.values().items() if not _is_valid(name, value)}

    def mark(self, names: Iterable[str]) -> None:
        """Draw red frames around these fields, and around no others."""
        names = set(names)
        for name, field in self.fields.items():
            for line in [field.widget.native, *field.widget.native.findChildren(QLineEdit)]:
                if isinstance(line, QLineEdit):
                    style = f"QLineEdit {{ border: 1px solid rgb({RED}); }}" if name in names else ""
                    if line.styleSheet() != style:
                        line.setStyleSheet(style)

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

    def reset(self, *names: str) -> None:
        """Write the defaults of options into their fields."""
        for name in names:
            self._filled.pop(name, None)
            self.set(name, self.fields[name].default)

    @property
    def differ(self) -> bool:
        """Whether an option that is in a fold has not its default."""
        return any(
            self.fields[name].read() != at_first for name, at_first in self._at_first.items() if name not in ON_FORM
        )

    def to_remember(self) -> dict[str, Any]:
        """The values that suit other sources, too."""
        return {
            name: value for name, value in self.values().items() if name not in OF_SOURCE and _is_valid(name, value)
        }

    def recall(self, values: dict[str, Any]) -> None:
        """Write values that were remembered into the fields; one that is invalid by now is left out."""
        for name, value in values.items():
            if name in self.fields and name not in OF_SOURCE and _is_valid(name, value):
                with suppress(ValueError, TypeError):
                    self.set(name, value)

    def form(self, names: Iterable[str]) -> QWidget:
        """Some of the fields with their labels."""
        metrics = next(iter(self.fields.values())).label.fontMetrics()
        labels = (field.label.text() for name, field in self.fields.items() if name not in ON_FORM)
        fields = [self.fields[name] for name in names]
        return form([(field.label, field.widget.native) for field in fields],
                    max(labels, key=metrics.horizontalAdvance))  # fmt: skip

    # What the file states

    def show_volume(self, volume: Volume | None, extent: Triple | None) -> None:
        """Fill in the voxel size and unit of the source, and what applies to its voxels."""
        self._narrow = volume is not None and volume.dtype.itemsize == 1
        if volume:
            self._fill("voxel_size", volume.voxel_size and numbers(_one_or_three(volume.voxel_size)))
            self._fill("unit", volume.unit if volume.voxel_size else None)
        self.fields["crop"].widget.show_extent(extent)
        self._show_what_applies()

    def show_needs(self, error: Exception | None) -> None:
        """Enable what the source needs, by the error of opening it. It stays enabled for this source."""
        if isinstance(error, CtPyramidError):
            advised = {part.name for part in error.message.parts if isinstance(part, Advice)}
            self._asked |= advised & {*OF_SOME_SOURCES}
            self._show_what_applies()

    def forget_needs(self) -> None:
        """The source is another one."""
        self._asked.clear()
        self._show_what_applies()

    def show_several(self) -> None:
        """Each of several files may state something else."""
        self._narrow = False
        self._asked.update(OF_SOME_SOURCES)
        for name in ("voxel_size", "unit"):
            self._fill(name, None)
        self.show_automatic_levels(None)
        self._show_what_applies()

    def show_automatic_levels(self, count: int | None) -> None:
        """Show how many levels "auto" means; None if that is unknown."""
        self.fields["num_levels"].widget.native.setItemText(0, AUTO if count is None else f"{AUTO} ({count})")

    @property
    def from_file(self) -> bool:
        """Whether the voxel size and its unit are those of the file."""
        return (
            bool(self._filled.get("voxel_size")) and self._value("voxel_size") is None and self._value("unit") is None
        )

    def _fill(self, name: str, value: Any) -> None:
        """Show what the file states, unless the user typed something else."""
        field = self.fields[name]
        with self._quiet():
            if field.read() in (None, self._filled.get(name)):
                field.write(value)
                if name in self._filled or value is not None:
                    self._filled[name] = field.read()
            else:
                self._filled[name] = value

    # What applies

    def _applies(self, name: str) -> bool:
        if name == "shards":
            return bool(self.fields["ome_zarr_version"].read() != "0.4")
        if name == "window":
            return self._applies("dtype") and self.fields["dtype"].read() is not None
        if name in OF_SOME_SOURCES:
            return name in self._asked or self.fields[name].read() != self.fields[name].default
        return not (name == "dtype" and self._narrow)

    def _show_what_applies(self) -> None:
        one_level = self.fields["num_levels"].read() == 1
        for name in ("shards", "dtype", "window", "method", "downsample", *OF_SOME_SOURCES):
            field = self.fields[name]
            applies = self._applies(name) and not (one_level and name in ("method", "downsample"))
            field.widget.native.setEnabled(applies)
            field.label.setEnabled(applies)

    def _on_changed(self) -> None:
        if len(self.fields) == len(dataclasses.fields(ConversionOptions)):
            self._show_what_applies()
        if not self._quiet:
            self.changed.emit()

    def split_unit(self) -> None:
        """Move a unit that was typed after the voxel size into its own field."""
        text = self.fields["voxel_size"].read()
        if text and text != self._filled.get("voxel_size"):
            with suppress(RequestError):
                size, unit = parse_voxel_size(text)
                with self._quiet():
                    if unit:
                        self.set("unit", unit)
                    self.set("voxel_size", _one_or_three(size))
                self.changed.emit()


def in_group(group: str) -> list[str]:
    """The options in a fold."""
    named = {name for names in GROUPS.values() for name in names} | set(ON_FORM)
    rest = [option.name for option in dataclasses.fields(ConversionOptions) if option.name not in named]
    return [*GROUPS[group], *(rest if group == "Voxels" else [])]


def _is_valid(name: str, value: Any) -> bool:
    given: dict[str, Any] = {"chunks": DEFAULTS["chunks"], "dtype": "uint8", "ome_zarr_version": "0.5", name: value}
    try:
        ConversionOptions(**given)
    except RequestError:
        return False
    return True


def _one_or_three(size: Sequence[float]) -> Sequence[float]:
    return size[:1] if len(set(size)) == 1 else size


def form(rows: Sequence[tuple[QLabel | str, QWidget]], longest: str) -> QWidget:
    """Labels and fields in two columns. The column of labels is as wide as the `longest` needs."""
    widget = QWidget()
    layout = QFormLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setVerticalSpacing(4)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    layout.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    for name, field in rows:
        head = QLabel(name) if isinstance(name, str) else name
        head.setFixedWidth(head.fontMetrics().horizontalAdvance(longest) + 16)  # napari's style indents it
        head.setToolTip(head.toolTip() or field.toolTip())
        layout.addRow(head, field)
    return widget
