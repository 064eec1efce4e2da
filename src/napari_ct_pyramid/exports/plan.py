"""The plan of an export: what is read, what is written, memory and disk, before anything is written."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_ct_pyramid.calibration import Calibration
from napari_ct_pyramid.errors import Advice, DiskSpaceError, Message
from napari_ct_pyramid.model.formatting import format_size
from napari_ct_pyramid.model.intensity import Rescale
from napari_ct_pyramid.model.memory import process_memory
from napari_ct_pyramid.model.plan import Plan
from napari_ct_pyramid.model.rescaling import rescaling
from napari_ct_pyramid.model.volume import Volume
from napari_ct_pyramid.options import ExportOptions
from napari_ct_pyramid.storage.factory import storage_of
from napari_ct_pyramid.storage.paths import AnyPath

from .cells import Cells, make_cells
from .facts import Facts
from .kinds import META_IMAGE, NRRD, SLICES, TIFF, Kind

_HEADER_BYTES = 4096  # of a file, at least
_PAGE_BYTES = 400  # of the tags of a page
_IMAGEJ_BYTES = 2**32  # of a TIFF, above which ImageJ needs a plugin to open it


_IN_IMAGEJ = {
    "float16": "cannot open voxels of {}",
    "float64": "cannot open voxels of {}",
    "int8": "shows negative voxels of {} as 128 to 255",
    "int32": "shows voxels of {} as float32, which rounds those above 16,777,216",
    "uint32": "shows voxels of {} as float32, which rounds those above 16,777,216",
}
"""What ImageJ does with types that it does not have."""


@dataclass(frozen=True)
class ExportPlan:
    """The plan of an export.

    Attributes
    ----------
    volume : Volume
        What is exported, as it is read: the level, the part, the order of axes.
    options : ExportOptions
        What the user asked for.
    output : Path or RemotePath
    kind : str
        Of the output, to show.
    dtype : numpy.dtype
        Of the voxels that are written.
    rescale : Rescale or None
        How the voxels are rescaled; None where they are not.
    threads : int
    memory : tuple of (str, int)
        Each use of memory, and its bytes at the peak.
    files : int
        How many files are written.
    bytes_out : int
        Bytes that the output takes; with compression, about.
    bytes_free : int or None
        Free bytes on the output's disk; None where unknown.
    warnings : tuple of Message
    cells : Cells or None
        How the voxels are copied; None for an OME-Zarr.
    conversion : Plan or None
        The plan of the conversion that makes an OME-Zarr; None for other outputs.
    seconds_estimate : float or None
        How long the export takes, about, at the rate at which a sample was read; None if none was.
    """

    volume: Volume
    options: ExportOptions
    output: AnyPath
    kind: str
    dtype: np.dtype
    rescale: Rescale | None
    threads: int
    memory: tuple[tuple[str, int], ...]
    files: int
    bytes_out: int
    bytes_free: int | None
    warnings: tuple[Message, ...]
    cells: Cells | None = None
    conversion: Plan | None = None
    seconds_estimate: float | None = None

    @property
    def peak_memory_bytes(self) -> int:
        """The peak resident memory of the process, by the ledger."""
        return sum(size for _, size in self.memory)

    @property
    def calibration(self) -> Calibration | None:
        """What the written voxels stand for; None where they are the grey values themselves."""
        stated = self.volume.calibration
        if self.rescale is None:
            return stated
        return (stated or Calibration(1.0, 0.0)).after(self.rescale.slope, self.rescale.intercept)

    @property
    def facts(self) -> Facts:
        """What the header of the output states."""
        volume = self.volume
        return Facts(
            name=volume.name,
            shape=volume.shape,
            dtype=self.dtype,
            voxel_size=volume.voxel_size,
            unit=volume.unit,
            translation=volume.translation,
            calibration=self.calibration,
        )

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it."""
        volume = self.volume
        return {
            "source": {"name": volume.name, "format": volume.format, "dtype": str(volume.dtype)},
            "output": str(self.output),
            "kind": self.kind,
            "level": self.options.level,
            "shape": list(volume.shape),
            "dtype": str(self.dtype),
            "voxel_size": list(volume.voxel_size) if volume.voxel_size else None,
            "unit": volume.unit,
            "translation": list(volume.translation),
            "rescale": self.rescale.to_json() if self.rescale else None,
            "calibration": self.calibration.to_json() if self.calibration else None,
            "files": self.files,
            "bytes_out": self.bytes_out,
            "bytes_free": self.bytes_free,
            "memory": dict(self.memory),
            "peak_memory_bytes": self.peak_memory_bytes,
            "max_memory_bytes": self.options.max_memory,
            "threads": self.threads,
            "seconds_estimate": None if self.seconds_estimate is None else round(self.seconds_estimate, 1),
            "levels": [level.to_json() for level in self.conversion.levels] if self.conversion else None,
            "warnings": [str(warning) for warning in self.warnings],
        }


def make_export_plan(
    volume: Volume, options: ExportOptions, output: AnyPath, kind: Kind, window: tuple[float, float] | None
) -> ExportPlan:
    """Plan an export to anything but an OME-Zarr.

    Parameters
    ----------
    volume : Volume
        The open source.
    options, output, kind
    window : tuple of float or None
        The window that was found, where the options ask for an automatic one.

    Raises
    ------
    RequestError
        If the voxels cannot have the requested type.
    BudgetError
        If the budget is too small.
    DiskSpaceError
        If the output would not fit.
    """
    rescale = rescaling(volume, options, window)
    dtype = rescale.dtype if rescale else volume.dtype
    if dtype == np.float16 and not kind.holds_half:
        dtype = np.dtype(np.float32)
    cells = make_cells(volume, dtype, options.thread_count, options.max_memory, process_memory())
    pages = volume.shape[0]
    files = pages if kind is SLICES else 2 if output.suffix.lower() == ".mhd" else 1
    size = math.prod(volume.shape) * dtype.itemsize + files * _HEADER_BYTES + pages * _PAGE_BYTES
    free = storage_of(output).bytes_free()
    if free is not None and size > free:
        raise DiskSpaceError(
            f"The output needs {format_size(size)}, and its disk has {format_size(free)} free. Free some space, or "
            "choose an output on another disk.",
            needed=size,
            free=free,
        )
    plan = ExportPlan(
        volume=volume,
        options=options,
        output=output,
        kind=kind.name,
        dtype=dtype,
        rescale=rescale,
        threads=cells.threads,
        memory=cells.ledger,
        files=files,
        bytes_out=size,
        bytes_free=free,
        warnings=(),
        cells=cells,
    )
    return replace(plan, warnings=tuple(_warnings(plan, kind)))


def _warnings(plan: ExportPlan, kind: Kind) -> Iterator[Message]:
    volume, dtype = plan.volume, plan.dtype
    yield from map(Message.of, volume.notes)
    if kind in (META_IMAGE, NRRD) and volume.voxel_size and not volume.unit:
        yield Message.of(
            "The unit of the voxel size is unknown, and programs that read this kind take it for millimeters."
        )
    for_imagej = kind in (TIFF, SLICES)
    if kind is TIFF and plan.bytes_out > _IMAGEJ_BYTES:
        yield Message.of("It is a BigTIFF, because it is larger than 4 GB: open it in Fiji with Bio-Formats.")
    if for_imagej and (how := _IN_IMAGEJ.get(dtype.name)):
        yield Message.of(f"ImageJ {how.format(dtype.name)}.")
    # ImageJ takes a calibration only with a voxel size.
    if plan.calibration and not (for_imagej and volume.voxel_size):
        shown = f"The header states {plan.calibration.formula}, but programs show the stored values."
        instead = (" To write the grey values themselves, ask for them (", Advice("grey_values", True), ").")
        yield Message.of(shown, *(() if plan.rescale else instead))
