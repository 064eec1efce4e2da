"""How the plugin words options, errors and volumes: an option by the label of its field. Knows no Qt."""

from __future__ import annotations

import math
from collections.abc import Mapping

from napari_ct_pyramid.errors import (
    CONVERT,
    RESUME,
    VIEW,
    Advice,
    BudgetError,
    ConversionError,
    CtPyramidError,
    RequestError,
    sentence,
)
from napari_ct_pyramid.model.formatting import format_size, numbers, times
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import Triple, VoxelSize
from napari_ct_pyramid.parsing import parse_size
from napari_ct_pyramid.sources.inputs import ArrayInput
from napari_ct_pyramid.storage.paths import any_path
from napari_ct_pyramid.units import UNIT_SYMBOLS

_LABELS = {
    "num_levels": "Levels",
    "max_memory": "Memory",
    "dtype": "Type",
    "ome_zarr_version": "OME-Zarr",
    "raw_shape": "Shape",
    "raw_dtype": "Type",
    "raw_offset": "Offset",
}  # the other labels are the names of the options

VALUE_WORDS: Mapping[str, Mapping[str, str]] = {
    "edges": {"strict": "refuse odd sizes", "pad": "pad with zeros"},
}
"""Values of options that the form shows in other words."""

TIPS: Mapping[str, str] = {
    "chunks": "The volume is stored in blocks of this many voxels along z, y and x. 128 × 128 × 128 is good for "
    "looking in every direction, 32 × 256 × 256 for work slice by slice.",
    "num_levels": "How many resolutions are stored, each half as fine as the one before. With auto, the coarsest is "
    "small enough for a quick view in 3D.",
    "method": "How voxels become one voxel of the next level: their mean for grey values, the most frequent value "
    "(mode) for labels.",
    "downsample": "How many voxels along z, y and x become one voxel of the next level. Auto keeps voxels as close to "
    "cubes as possible.",
    "edges": "What happens if a size cannot be halved evenly: a few rows of zeros are added, which this plugin hides "
    "again when it shows the volume; or the conversion is refused.",
    "dtype": "Store smaller numbers, to save space. The grey values within the window are spread over them.",
    "window": "The lowest and the highest grey value to keep, such as -0.5 2. Values beyond them are clipped. Empty: "
    "all but the most extreme thousandth at either end.",
    "crop": "Convert only a part: the first voxel and the one after the last, along each axis.",
    "calibration": "What the stored values stand for: a slope, an intercept and a unit, such as 0.5 -1000 HU. They are "
    "kept beside the voxels, which stay as they are.",
    "air": "The stored value of air. Together with that of water, grey values are in Hounsfield units.",
    "water": "The stored value of water. Together with that of air, grey values are in Hounsfield units.",
    "raw_shape": "How many voxels the file holds along z, y and x, such as 800 1024 1024.",
    "raw_dtype": "The type of the voxels, such as uint8, uint16, float32, or >u2 if the bytes are in the other order.",
    "raw_offset": "How many bytes stand before the first voxel.",
    "axes": "The order of the axes in the file, from the slowest to the fastest. zyx is usual.",
    "channel": "Which channel to convert, from 0, if the file has several.",
    "time": "Which time point to convert, from 0, if the file has several.",
    "follow_links": "Also read files outside of the folder of this file, if the file refers to them.",
    "max_memory": "The most memory that the whole program, napari included, may take during the conversion, such as 4G "
    "or 500M. More is faster, up to a point.",
    "compressor": "lz4 is fast, zstd makes smaller files, none stores the voxels as they are.",
    "ome_zarr_version": "0.4 is read by nearly every program. 0.5 can put many chunks in one file (a shard), which is "
    "kinder to file systems. 0.6 is the newest, which few programs read yet.",
    "shards": "With OME-Zarr 0.5 and newer: the size along z, y and x of the voxels in one file, such as 1024 1024 "
    "1024; or none, for one file per chunk.",
    "voxel_size": "The size of a voxel, such as 0.65 µm or 650 nm; or three sizes along z, y and x.",
    "unit": "The unit of the voxel size.",
    "threads": "How many processor cores work at the same time.",
    "overwrite": "Delete what is at the output now, and make it again.",
}
"""What each option is for, in a user's words. An option that is missing here has its help text as its tooltip."""

EXAMPLES: Mapping[str, str] = {
    "window": "automatic",
    "max_memory": "4G",
    "calibration": "0.5 -1000 HU",
    "raw_shape": "800 1024 1024",
    "raw_dtype": "uint16",
    "raw_offset": "0",
    "shards": "auto",
    "axes": "zyx",
    "voxel_size": "0.65",
    "channel": "0",
    "time": "0",
}
"""What an empty field shows: an example, or what empty means."""


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
        words = sentence(error, lambda a: wording(Advice(a.name, enough) if a.name == "max_memory" else a))
        holds = f" This program, napari included, already holds {format_size(error.process)}." if error.process else ""
        return words + holds
    return sentence(error, wording)


def cause_words(error: Exception) -> str:
    """Why a conversion failed, without what became of its output."""
    cause = error.__cause__
    known = isinstance(error, ConversionError) and isinstance(cause, (CtPyramidError, OSError, MemoryError))
    return error_words(cause if known and isinstance(cause, Exception) else error)


def enough_memory(error: BudgetError) -> int:
    """A round size above the smallest budget, since the memory of the process itself varies."""
    size = error.smallest
    step = 10 ** max(7, math.floor(math.log10(size)) - 1)
    return math.ceil(size * 1.1 / step) * step


def source_name(source: str | ArrayInput) -> str:
    """What a user calls a source: the name of its file or folder, or of the array."""
    return source.name if isinstance(source, ArrayInput) else any_path(source).name


def volume_facts(volume: Volume, extent: Triple | None = None) -> str:
    """A volume in one line: ``"512 × 2560 × 2560 · float32 · 13.4 GB"``; with an extent, as a part of it."""
    of = f" of {times(extent)}" if extent and extent != volume.shape else ""
    return " · ".join([times(volume.shape) + of, str(volume.dtype), format_size(volume.nbytes)])


def voxel_size_words(size: VoxelSize, unit: str | None) -> str:
    """``"0.65 µm"``, or three numbers where they differ along z, y, x."""
    each = numbers(size[:1] if len(set(size)) == 1 else size)
    return f"{each} {UNIT_SYMBOLS.get(unit, unit)}" if unit else each


def _size(value: object) -> str:
    try:
        return format_size(parse_size(str(value)))
    except RequestError:
        return str(value)
