"""What is chosen in each fold of the form, in one line. Uses no Qt."""

from __future__ import annotations

import math

from napari_ct_pyramid.model.formatting import count, times
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.options import ConversionOptions


def fold_words(options: ConversionOptions, plan: Plan | None) -> dict[str, str]:
    """A line for each fold, by its name.

    Parameters
    ----------
    options : ConversionOptions
    plan : Plan or None
        The plan that was made with these options, where there is one.
    """
    lines = {
        "Raw file": [
            times(options.raw_shape) if options.raw_shape else "shape unknown",
            options.raw_dtype or "type unknown",
        ],
        "Pyramid": _pyramid(options, plan),
        "Voxels": _voxels(options, plan),
        "Format": _format(options),
        "Machine": [f"at most {_round_size(options.max_memory)}", count(options.thread_count, "thread")],
    }
    return {name: " · ".join(parts) for name, parts in lines.items()}


def _pyramid(options: ConversionOptions, plan: Plan | None) -> list[str]:
    z, y, x = options.chunks
    levels = len(plan.levels) if plan else options.num_levels
    parts = [
        f"{z}³" if z == y == x else times(options.chunks),
        count(levels, "level") if levels else "automatic levels",
    ]
    parts.append(options.method)
    if options.downsample != (2, 2, 2):
        parts.append("isotropic" if options.downsample is None else times(options.downsample))
    return parts


def _voxels(options: ConversionOptions, plan: Plan | None) -> list[str]:
    if options.dtype is None:
        parts = [f"{plan.volume.dtype} as in the file" if plan else "as in the file"]
    elif isinstance(options.window, tuple):
        parts = [f"{options.dtype}, {options.window[0]:g} to {options.window[1]:g}"]
    else:
        parts = [f"{options.dtype}, automatic window"]
    if options.channel is not None:
        parts.append(f"channel {options.channel}")
    if options.time is not None:
        parts.append(f"time {options.time}")
    if options.axes != "zyx":
        parts.append(f"axes {options.axes}")
    return [*parts, "a part" if options.crop else "all of it"]


def _format(options: ConversionOptions) -> list[str]:
    parts = [f"OME-Zarr {options.ome_zarr_version}"]
    if options.ome_zarr_version != "0.4":
        shards = options.shards
        parts.append(f"shards of {times(shards)}" if isinstance(shards, tuple) else "shards" if shards else "no shards")
    return [*parts, "not compressed" if options.compressor == "none" else options.compressor]


def _round_size(size: int) -> str:
    """``"4 GB"``, ``"1.5 GB"``, ``"500 MB"``."""
    power = 3 if size >= 1e9 else 2
    return f"{math.floor(size / 1000**power * 100) / 100:g} {'GB' if power == 3 else 'MB'}"
