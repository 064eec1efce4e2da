"""The words of the dialog that exports. Knows no Qt."""

from __future__ import annotations

from napari_ct_pyramid.exports.kinds import OME_ZARR_FOLDER, Kind
from napari_ct_pyramid.exports.plan import ExportPlan
from napari_ct_pyramid.exports.result import Export
from napari_ct_pyramid.model.formatting import count, duration, format_size, numbers, times
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.units import UNIT_SYMBOLS

from .wording import wording


def level_words(number: int, volume: Volume) -> str:
    """A level in the menu of levels."""
    unit = UNIT_SYMBOLS.get(volume.unit or "", volume.unit or "")
    size = volume.voxel_size
    if size is None:
        return f"{number}:  {times(volume.shape)}"
    return f"{number}:  {times(volume.shape)}   {numbers(size[:1] if len(set(size)) == 1 else size)} {unit}"


def plan_words(plan: ExportPlan) -> str:
    """What will be written, and warnings."""
    about = "about " if plan.conversion else ""
    free = f" ({format_size(plan.bytes_free)} free)" if plan.bytes_free is not None else ""
    files = f" in {count(plan.files, 'file')}" if plan.files > 1 else ""
    what = f"{times(plan.volume.shape)} voxels of {plan.dtype}, {about}{format_size(plan.bytes_out)}{files}{free}"
    return "\n".join([what, *(warning.worded(wording) for warning in plan.warnings)])


def result_words(made: Export) -> str:
    """What was made."""
    return f"Made {made.output.name}: {format_size(made.bytes_written)} in {duration(made.seconds)}."


def cancelled_words(kind: Kind) -> str:
    """What a cancelled export leaves."""
    if kind is OME_ZARR_FOLDER:
        return "Cancelled. The OME-Zarr is unfinished: export again to go on."
    return "Cancelled. Nothing was written."
