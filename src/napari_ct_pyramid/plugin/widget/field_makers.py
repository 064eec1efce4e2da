"""Makes the field of each option: a widget of magicgui's, and how to read it and write it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

from magicgui.widgets import CheckBox, ComboBox, Container, LineEdit
from qtpy.QtWidgets import QComboBox

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
    Triple,
    available_cores,
)
from napari_ct_pyramid.plugin.wording import VALUE_WORDS
from napari_ct_pyramid.units import UNIT_SYMBOLS, UNITS

DEFAULTS = {"chunks": next(iter(NAMED_CHUNKS)), "edges": "pad"}
"""The values of the form at the start, where they are not the defaults of `ConversionOptions`."""

_CUSTOM = "custom"
_COMMON_UNITS = ("nanometer", "micrometer", "millimeter", "centimeter", "meter")
_FROM_FILE = "as in the file"
_MOST_LEVELS = 16

_Made = tuple[Any, Callable[[], Any], Callable[[Any], None]]


def default(option: dataclasses.Field[Any]) -> Any:
    """An option's value at the start."""
    return DEFAULTS.get(option.name, option.default)


def _text(option: dataclasses.Field[Any]) -> _Made:
    field = LineEdit(value="" if option.default is None else str(option.default))

    def write(value: Any) -> None:
        field.value = "" if value is None else str(value)

    return field, lambda: field.value.strip() or option.default, write


def _numbers(option: dataclasses.Field[Any]) -> _Made:
    field, read, write_text = _text(option)

    def write(value: Any) -> None:
        write_text(value if value is None or isinstance(value, str) else " ".join(map(repr, value)))

    return field, lambda: _spaced(read()), write


def _voxel_size(option: dataclasses.Field[Any]) -> _Made:
    field, read, write_text = _text(option)

    def write(value: Any) -> None:
        if value is not None and not isinstance(value, str):
            parts = [short if float(short := f"{size:g}") == size else repr(size) for size in value]
            value = " ".join(parts[:1] if len(set(parts)) == 1 else parts)
        write_text(value)

    return field, read, write


def _chunks(option: dataclasses.Field[Any]) -> _Made:
    choices = [(f"{_chunk_words(shape)}  {name}", name) for name, shape in NAMED_CHUNKS.items()]
    name = ComboBox(choices=[*choices, ("Custom", _CUSTOM)], value=default(option))
    _may_shrink(name)
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


def _chunk_words(shape: Triple) -> str:
    return f"{shape[0]}³" if len(set(shape)) == 1 else times(shape)


class CropEdit(Container):  # type: ignore[type-arg]
    """A range of voxels for each axis, with the extent of the volume as placeholder."""

    def __init__(self) -> None:
        self._lines = [LineEdit(name=axis) for axis in "zyx"]
        super().__init__(widgets=self._lines, layout="horizontal", labels=False)
        self.margins = (0, 0, 0, 0)
        for axis, line in zip("zyx", self._lines, strict=True):
            line.native.setMinimumWidth(30)
            line.native.setAccessibleName(f"Crop along {axis}")
        self.show_extent(None)

    def show_extent(self, extent: Triple | None) -> None:
        """Show how many voxels there are along z, y, x; None if that is unknown."""
        for axis, line, end in zip("zyx", self._lines, extent or (None,) * 3, strict=True):
            line.native.setPlaceholderText(axis if end is None else f"0:{end}")
            of = "" if end is None else f", which go from 0 to {end}"
            line.native.setToolTip(f"First voxel along {axis} and the one after the last, such as 100:200{of}")

    def read(self) -> str | None:
        """As in `ConversionOptions`."""
        texts = [re.sub(r"\s*[-–]\s*", ":", str(line.value).strip()) for line in self._lines]
        return ",".join(texts) if any(texts) else None

    def write(self, value: Any) -> None:
        """Write a crop: a text, or pairs along z, y, x."""
        if value is None:
            texts = ["", "", ""]
        elif isinstance(value, str):
            texts = [*value.split(","), "", ""][:3]
        else:
            ranges = [":".join("" if end is None else str(end) for end in ends) for ends in value]
            texts = ["" if text == ":" else text for text in ranges]
        for line, text in zip(self._lines, texts, strict=True):
            line.value = text


def _crop(_option: dataclasses.Field[Any]) -> _Made:
    field = CropEdit()
    return field, field.read, field.write


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
        _may_shrink(field)

        def write(value: Any) -> None:
            given: dict[str, Any] = {"chunks": DEFAULTS["chunks"], option.name: value}
            plain = getattr(ConversionOptions(**given), option.name)
            field.value = values.index(plain) if plain in values else 0

        write(default(option))
        return field, lambda: values[field.value], write

    return make


def _may_shrink(menu: ComboBox) -> None:
    """Let a menu be narrower than its longest entry."""
    menu.native.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)


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


_units = [
    ("unit?", None),
    *(
        (UNIT_SYMBOLS.get(unit, unit), unit)
        for unit in (*_COMMON_UNITS, *(unit for unit in UNITS if unit not in _COMMON_UNITS))
    ),
]

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
    "voxel_size": _voxel_size,
    "unit": _choice(_units),
    "crop": _crop,
    "follow_links": _switch,
    "threads": _choice([(f"all cores ({available_cores()})", None), *_numbers_to(max(16, available_cores()))]),
    "raw_shape": _numbers,
    "overwrite": _switch,
}


def make_field(option: dataclasses.Field[Any]) -> _Made:
    """An option's field, and functions that read it and write it.

    An option without a maker of its own gets the field that suits the form of its values.
    """
    metavar = option.metadata["metavar"]
    if option.name in _MAKERS:
        return _MAKERS[option.name](option)
    if metavar is None:
        return _switch(option)
    if re.fullmatch(r"[a-z0-9]+( \| [a-z0-9]+)+", metavar):
        unset = [("as in the file", None)] if option.default is None else []
        return _choice([*unset, *_named(metavar.split(" | "))])(option)
    return _text(option)
