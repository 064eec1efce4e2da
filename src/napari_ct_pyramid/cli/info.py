"""What `ct-pyramid info` tells of a TIFF or an OME-Zarr, for people and as JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from napari_ct_pyramid.errors import SourceError, UnfinishedError
from napari_ct_pyramid.model.formatting import (
    count,
    duration,
    format_size,
    grey_formula,
    numbers,
    percent,
    table,
    times,
)
from napari_ct_pyramid.storage.paths import AnyPath

if TYPE_CHECKING:
    from napari_ct_pyramid.omezarr.reader import Pyramid
    from napari_ct_pyramid.sources.base import Source


def read_info(path: AnyPath) -> dict[str, Any]:
    """What is at `path`, as `--json` prints it: the same keys for every kind of volume.

    Raises
    ------
    SourceError
        If it is no volume that can be read.
    """
    from napari_ct_pyramid.omezarr.journal import JOURNAL
    from napari_ct_pyramid.omezarr.metadata import is_zarr

    not_an_image = None
    if is_zarr(path) or (path / JOURNAL).is_file():
        from napari_ct_pyramid.omezarr.reader import open_pyramid

        try:
            return _pyramid_info(open_pyramid(path))
        except UnfinishedError:
            raise
        except SourceError as error:
            not_an_image = error
    from napari_ct_pyramid.sources.registry import open_source

    try:
        with open_source(path) as source:
            return _volume_info(path, source)
    except SourceError:
        if not_an_image:
            raise not_an_image from None
        raise


def describe_info(info: dict[str, Any]) -> str:
    """The same for people, in some lines of text."""
    size = format_size(info["bytes"])
    if info["file_bytes"] is not None:
        size += f" ({format_size(info['file_bytes'])} on disk)"
    levels, receipt = info["levels"], info["receipt"]
    shape = f"{times(info['shape'])} ({' '.join(info['axes'])})"
    if levels and levels[0]["shape"] != info["shape"]:
        shape += f", stored as {times(levels[0]['shape'])}"
    lines = [
        info["path"],
        f"  Format       {info['format']}",
        f"  Shape        {shape}",
        f"  Type         {info['dtype']}",
        *([f"  Values       {_values_text(info['rescale'])}"] if info["rescale"] else []),
        f"  Size         {size}",
        f"  Voxel size   {_voxel_size_text(info)}",
        f"  Compression  {info['compression']}",
    ]
    if receipt:
        lines += _receipt_lines(receipt)
    if levels:
        head = ("Level", "Shape", "Chunks", "Voxel size", "Size")
        rows = [
            (level["path"], times(level["shape"]), times(level["chunks"]), numbers(level["scale"]),
             format_size(level["bytes"]))
            for level in levels
        ]  # fmt: skip
        lines += ["", *(f"  {line}" for line in table(head, rows))]
    return "\n".join(lines)


def _receipt_lines(receipt: dict[str, Any]) -> list[str]:
    """Where it came from; nothing of what a receipt of another version does not have."""
    try:
        source, checked = receipt["source"], receipt["verified"]
        nans = f", {receipt['nans']:,} NaN" if receipt["nans"] else ""
        budget = format_size(receipt["options"]["max_memory"])
        by = f", by {count(receipt['workers'], 'worker')}" if receipt.get("workers") else ""
        lines = [
            f"  Made from    {source['name']} ({source['format']}, {format_size(source['size'])})",
            f"  Made on      {receipt['finished']}",
            f"  Made in      {duration(receipt['seconds'])}, {format_size(round(receipt['gb_per_s'] * 1e9))}/s, with "
            f"{format_size(receipt['peak_memory_bytes'])} of {budget} of memory{by}",
            f"  Voxels       {receipt['minimum']:g} to {receipt['maximum']:g}{nans}",
        ]
        if rescaled := receipt.get("rescaled"):
            lines.append(f"  Clipped      {percent(rescaled['clipped_share'])}, {count(rescaled['clipped'], 'voxel')}")
        if checked is None:
            return [*lines, "  Verified     never"]
        problems = f"{checked['problems']:,} problems" if checked["problems"] else "whole and true"
        repaired = ", repaired" if checked["repaired"] else ""
        return [*lines, f"  Verified     {checked['when']}: {problems}{repaired}"]
    except (KeyError, TypeError, ValueError):
        return []


def _values_text(rescale: dict[str, Any]) -> str:
    low, high = rescale["window"]
    formula = grey_formula(rescale["slope"], rescale["intercept"])
    return f"were {rescale['source_dtype']} in a window of {low:g} to {high:g}; {formula}"


def _voxel_size_text(info: dict[str, Any]) -> str:
    if info["voxel_size"] is None:
        return "unknown"
    unit = info["unit"] or "(unit unknown)"
    return f"{numbers(info['voxel_size'])} {unit}, from {info['voxel_size_from']}"


def _volume_info(path: AnyPath, source: Source) -> dict[str, Any]:
    volume = source.volume
    return {
        "path": str(path),
        "format": volume.format,
        "axes": ["z", "y", "x"],
        "shape": list(volume.shape),
        "dtype": str(volume.dtype),
        "rescale": volume.rescale.to_json() if volume.rescale else None,
        "bytes": volume.nbytes,
        "file_bytes": sum(file.stat().st_size for file in source.files),
        "voxel_size": list(volume.voxel_size) if volume.voxel_size else None,
        "unit": volume.unit,
        "voxel_size_from": volume.voxel_size_from,
        "compression": volume.compression,
        "levels": [],
        "receipt": None,
    }


def _pyramid_info(pyramid: Pyramid) -> dict[str, Any]:
    from napari_ct_pyramid.conversion.receipt import read_receipt

    first = pyramid.levels[0]
    shape = pyramid.original_shape or first.shape
    space = [i for i, kind in enumerate(pyramid.axis_types) if kind == "space"]
    voxel_size = [first.scale[i] for i in space]
    units = {pyramid.units[i] for i in space}
    unit = units.pop() if len(units) == 1 else None
    # A scale of ones is what a volume gets of which nothing is known.
    known = unit is not None or any(size != 1 for size in voxel_size)
    return {
        "path": str(pyramid.path),
        "format": f"OME-Zarr {pyramid.ome_zarr_version}",
        "axes": list(pyramid.axes),
        "shape": list(shape),
        "dtype": str(first.dtype),
        "rescale": pyramid.rescale.to_json() if pyramid.rescale else None,
        "bytes": math.prod(shape) * first.dtype.itemsize,
        "file_bytes": None,  # counting many thousands of files takes longer than anyone waits
        "voxel_size": voxel_size if known else None,
        "unit": unit,
        "voxel_size_from": "its OME-Zarr metadata" if known else None,
        "compression": pyramid.compression,
        "levels": [
            {
                "path": level.path,
                "shape": list(level.shape),
                "chunks": list(level.chunks),
                "scale": list(level.scale),
                "translation": list(level.translation),
                "bytes": math.prod(level.shape) * level.dtype.itemsize,
            }
            for level in pyramid.levels
        ],
        "receipt": read_receipt(pyramid.path),
    }
