"""How the plugin words options, errors and volumes: an option by the label of its field. Knows no Qt."""

from __future__ import annotations

import math
from collections.abc import Mapping

from napari_ct_pyramid.errors import CONVERT, RESUME, VIEW, Advice, BudgetError, RequestError, sentence
from napari_ct_pyramid.model.formatting import format_size, numbers, times
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import VoxelSize
from napari_ct_pyramid.parsing import parse_size
from napari_ct_pyramid.units import UNIT_SYMBOLS

_LABELS = {
    "num_levels": "Levels",
    "max_memory": "Memory",
    "dtype": "Type",
    "ome_zarr_version": "OME-Zarr",
}  # the other labels are the names of the options

VALUE_WORDS: Mapping[str, Mapping[str, str]] = {
    "edges": {"strict": "strict", "pad": "pad with zeros"},
}
"""Values of options that the form shows in other words."""


def label(name: str) -> str:
    """The label of an option's field."""
    return _LABELS.get(name, name.replace("_", " ").capitalize())


def wording(advice: Advice) -> str:
    """An option, or something to do, as the widget writes it: ``“Memory”: 4.00 GB``."""
    if advice.name == RESUME:
        return "Resume continues it"
    if advice.name == CONVERT:
        return f"convert {advice.value} with this widget"
    if advice.name == VIEW:
        return f"drop {advice.value} on napari"
    name = f"“{label(advice.name)}”"
    if advice.value is None or advice.value is True:
        return name
    if advice.name == "max_memory":
        return f"{name}: {_size(advice.value)}"
    value = str(advice.value)
    return f"{name}: {VALUE_WORDS.get(advice.name, {}).get(value, value)}"


def error_words(error: Exception) -> str:
    """What went wrong, in one line, with options as the widget writes them."""
    if isinstance(error, BudgetError) and error.smallest:
        enough = enough_memory(error)  # the size on the button
        return sentence(error, lambda a: wording(Advice(a.name, enough) if a.name == "max_memory" else a))
    return sentence(error, wording)


def enough_memory(error: BudgetError) -> int:
    """A round size above the smallest budget, since the memory of the process itself varies."""
    size = error.smallest
    step = 10 ** max(7, math.floor(math.log10(size)) - 1)
    return math.ceil(size * 1.1 / step) * step


def volume_facts(volume: Volume, voxel_size: VoxelSize | None = None, unit: str | None = None) -> str:
    """A volume in one line: ``"512 × 2560 × 2560 · float32 · 13.4 GB · 0.65 µm"``."""
    size = voxel_size or volume.voxel_size
    known = voxel_size_words(size, unit or volume.unit) if size else "voxel size unknown"
    return " · ".join([times(volume.shape), str(volume.dtype), format_size(volume.nbytes), known])


def voxel_size_words(size: VoxelSize, unit: str | None) -> str:
    """``"0.65 µm"``, or three numbers where they differ along z, y, x."""
    each = numbers(size[:1] if len(set(size)) == 1 else size)
    return f"{each} {UNIT_SYMBOLS.get(unit, unit)}" if unit else each


def _size(value: object) -> str:
    try:
        return format_size(parse_size(str(value)))
    except RequestError:
        return str(value)
