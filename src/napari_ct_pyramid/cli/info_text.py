"""The text of `ct-pyramid info`: the facts about a volume, and what its receipt states."""

from __future__ import annotations

from typing import Any

from napari_ct_pyramid.calibration import Calibration
from napari_ct_pyramid.model.formatting import count, format_size, numbers, percent, table, times

from .plot import plot_histogram
from .render import CORRECT, time_and_rate


def describe_info(info: dict[str, Any]) -> str:
    """The facts about a volume, as `info.read_info` found them."""
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
        *([f"  Values       {_values_text(info)}"] if info["calibration"] else []),
        f"  Size         {size}",
        f"  Voxel size   {_known_voxel_size_text(info)}",
        f"  Compression  {info['compression']}",
        *(f"  Labels       {info['path']}::{path}" for path in info["labels"]),
        *(f"  Note         {note}" for note in info["notes"]),
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
    """What the receipt of an OME-Zarr states; no lines if another version wrote it with other keys."""
    try:
        source, checked = receipt["source"], receipt["verified"]
        nans = f", {receipt['nans']:,} NaN" if receipt["nans"] else ""
        budget = format_size(receipt["options"]["max_memory"])
        by = f", by {count(receipt['workers'], 'worker')}" if receipt.get("workers") else ""
        lines = [
            f"  Made from    {source['name']} ({source['format']}, {format_size(source['size'])})",
            f"  Made on      {receipt['finished']}",
            f"  Made in      {time_and_rate(receipt['seconds'], round(receipt['gb_per_s'] * 1e9))}, with "
            f"{format_size(receipt['peak_memory_bytes'])} of {budget} of memory{by}"
            + (", over the budget" if receipt.get("over_budget_bytes") else ""),
            f"  Voxels       {receipt['minimum']:g} to {receipt['maximum']:g}{nans}",
        ]
        if rescaled := receipt.get("rescaled"):
            lines.append(f"  Clipped      {percent(rescaled['clipped_share'])}, {count(rescaled['clipped'], 'voxel')}")
        if histogram := receipt.get("histogram"):
            how = "all voxels" if histogram["exact"] else "a sample of the voxels"
            first, *rows = plot_histogram(histogram)
            lines += [f"  Histogram    {first}", *(f"{'':15}{row}" for row in rows), f"{'':15}of {how}; logarithmic"]
        if edited := receipt.get("edited"):
            what = [name.replace("_", " ") for name, value in edited.items() if value is not None and name != "when"]
            lines.append(f"  Edited       {edited['when']}: {', '.join(what)}")
        if checked is None:
            return [*lines, "  Verified     never"]
        problems = count(checked["problems"], "problem") if checked["problems"] else CORRECT
        repaired = ", repaired" if checked["repaired"] else ""
        return [*lines, f"  Verified     {checked['when']}: {problems}{repaired}"]
    except (KeyError, IndexError, AttributeError, TypeError, ValueError, ArithmeticError):
        return []


def _values_text(info: dict[str, Any]) -> str:
    """What the voxels stand for, and what they were before they were stored in fewer bits."""
    formula, rescale = Calibration(**info["calibration"]).formula, info["rescale"]
    if rescale is None:
        return formula
    low, high = rescale["window"]
    return f"were {rescale['source_dtype']} in a window of {low:g} to {high:g}; {formula}"


def _known_voxel_size_text(info: dict[str, Any]) -> str:
    if info["voxel_size"] is None:
        return "unknown"
    unit = info["unit"] or "(unit unknown)"
    return f"{numbers(info['voxel_size'])} {unit}, from {info['voxel_size_from']}"
